//! The series of geodesics in small numbers, to the sixth order, after C. F. F. Karney, Algorithms for geodesics, J. Geodesy 87,
//! 43–55 (2013). Knows numbers alone. The form of each is kept, as `geodesic.rs` says.

/// The polynomial with these coefficients, from the constant one on.
pub(super) fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| x * sum + coefficient)
}

/// A1 - 1: equation 17 of the paper.
pub(super) fn a1(epsilon: f64) -> f64 {
    let square = epsilon * epsilon;
    let sum = square * (square * (square + 4.0) + 64.0) / 256.0;
    (sum + epsilon) / (1.0 - epsilon)
}

/// A2 - 1: equation 42.
pub(super) fn a2(epsilon: f64) -> f64 {
    let square = epsilon * epsilon;
    let sum = square * (square * (25.0 * square + 36.0) + 64.0) / 256.0;
    sum * (1.0 - epsilon) - epsilon
}

/// The coefficients C1: equation 18.
pub(super) fn c1(epsilon: f64) -> [f64; 6] {
    let square = epsilon * epsilon;
    let d = powers(epsilon);
    [
        d[0] * ((6.0 - square) * square - 16.0) / 32.0,
        d[1] * ((64.0 - 9.0 * square) * square - 128.0) / 2048.0,
        d[2] * (9.0 * square - 16.0) / 768.0,
        d[3] * (3.0 * square - 5.0) / 512.0,
        -7.0 * d[4] / 1280.0,
        -7.0 * d[5] / 2048.0,
    ]
}

/// The coefficients C1': equation 21, the series of C1 reverted.
pub(super) fn c1_reverted(epsilon: f64) -> [f64; 6] {
    let square = epsilon * epsilon;
    let d = powers(epsilon);
    [
        d[0] * (square * (205.0 * square - 432.0) + 768.0) / 1536.0,
        d[1] * (square * (4005.0 * square - 4736.0) + 3840.0) / 12288.0,
        d[2] * (116.0 - 225.0 * square) / 384.0,
        d[3] * (2695.0 - 7173.0 * square) / 7680.0,
        3467.0 * d[4] / 7680.0,
        38081.0 * d[5] / 61440.0,
    ]
}

/// The coefficients C2: equation 43.
pub(super) fn c2(epsilon: f64) -> [f64; 6] {
    let square = epsilon * epsilon;
    let d = powers(epsilon);
    [
        d[0] * (square * (square + 2.0) + 16.0) / 32.0,
        d[1] * (square * (35.0 * square + 64.0) + 384.0) / 2048.0,
        d[2] * (15.0 * square + 80.0) / 768.0,
        d[3] * (7.0 * square + 35.0) / 512.0,
        63.0 * d[4] / 1280.0,
        77.0 * d[5] / 2048.0,
    ]
}

/// The first six powers.
fn powers(x: f64) -> [f64; 6] {
    let mut power = 1.0;
    [(); 6].map(|()| {
        power *= x;
        power
    })
}
