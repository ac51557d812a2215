//! How far it is from one point of an ellipsoid to another, and what point is so far away, after C. F. F. Karney, Algorithms for geodesics,
//! J. Geodesy 87, 43–55 (2013), with the series to the sixth order, and its companion GeographicLib (MIT licence). Why not the
//! library: `docs/decisions/0011-geodesics-of-our-own.md`.
//!
//! Knows positions, not shapes. The order of the operations and the form of each formula is that of the first
//! implementations, because distances are promised to the last digit: later ones round otherwise by some nanometers.

use std::f64::consts::PI;

use super::series::{a1, a2, c1, c1_reverted, c2, polynomial};
use super::vector::LonLat;

/// A step of Newton's is no longer believed after so many, and bisection ends after so many.
const NEWTON_STEPS: u32 = 20;
const STEPS: u32 = NEWTON_STEPS + f64::MANTISSA_DIGITS + 10;

const TOLERANCE: f64 = f64::EPSILON;
const DEGREE: f64 = PI / 180.0;

/// An ellipsoid that is no longer than wide.
pub(super) struct Geodesic {
    equator: f64,
    flattening: f64,
    /// The pole's radius by the equator's.
    ratio: f64,
    poles: f64,
    /// The square of the second eccentricity, and the third flattening.
    second: f64,
    third: f64,
    /// Below this the line is so short that the sphere is good enough.
    short: f64,
    a3: [f64; 6],
    c3: [f64; 15],
}

/// An angle by its sine and cosine.
#[derive(Clone, Copy)]
struct Angle {
    sin: f64,
    cos: f64,
}

/// Both ends of a line: their reduced latitudes, of which the first is the farther one from the equator and south, and the
/// difference of their longitudes.
struct Line {
    first: Angle,
    second: Angle,
    dn1: f64,
    dn2: f64,
    longitude: f64,
}

/// A line that leaves the first point in some direction: where and how it gets to the latitude of the second one.
struct Try {
    longitude: f64,
    arc: f64,
    sigma1: Angle,
    sigma2: Angle,
    epsilon: f64,
    slope: f64,
}

impl Angle {
    fn new(sin: f64, cos: f64) -> Angle {
        Angle { sin, cos }
    }

    fn unit(sin: f64, cos: f64) -> Angle {
        let length = length(sin, cos);
        Angle { sin: sin / length, cos: cos / length }
    }
}

impl Geodesic {
    pub(super) fn new(equator: f64, flattening: f64) -> Geodesic {
        let ratio = 1.0 - flattening;
        let second = flattening * (2.0 - flattening) / square(ratio);
        let n = flattening / (2.0 - flattening);
        let short = 0.1 * TOLERANCE.sqrt()
            / (flattening.abs().max(0.001) * f64::min(1.0, 1.0 - flattening / 2.0) / 2.0).sqrt();
        Geodesic {
            equator,
            flattening,
            ratio,
            poles: equator * ratio,
            second,
            third: n,
            short,
            a3: [
                1.0,
                (n - 1.0) / 2.0,
                (n * (3.0 * n - 1.0) - 2.0) / 8.0,
                ((-n - 3.0) * n - 1.0) / 16.0,
                (-2.0 * n - 3.0) / 64.0,
                -3.0 / 128.0,
            ],
            c3: [
                (1.0 - n) / 4.0,
                (1.0 - n * n) / 8.0,
                ((3.0 - n) * n + 3.0) / 64.0,
                (2.0 * n + 5.0) / 128.0,
                3.0 / 128.0,
                ((n - 3.0) * n + 2.0) / 32.0,
                ((-3.0 * n - 2.0) * n + 3.0) / 64.0,
                (n + 3.0) / 128.0,
                5.0 / 256.0,
                (n * (5.0 * n - 9.0) + 5.0) / 192.0,
                (9.0 - 10.0 * n) / 384.0,
                7.0 / 512.0,
                (7.0 - 14.0 * n) / 512.0,
                7.0 / 512.0,
                21.0 / 2560.0,
            ],
        }
    }

    /// The length of the shortest line between two points, in the unit of the equator's radius.
    pub(super) fn distance(&self, from: LonLat, to: LonLat) -> f64 {
        let degrees = rounded(difference(normal(from.lon), normal(to.lon))).abs();
        let (mut lat1, mut lat2) = (rounded(from.lat), rounded(to.lat));
        if lat1.abs() < lat2.abs() {
            (lat1, lat2) = (lat2, lat1);
        }
        if lat1 >= 0.0 {
            (lat1, lat2) = (-lat1, -lat2);
        }
        let line = self.line(lat1, lat2, degrees);
        let east = if degrees == 180.0 { 0.0 } else { line.longitude.sin() };
        if (lat1 == -90.0 || east == 0.0)
            && let Some(length) = self.along_meridian(&line)
        {
            return length;
        }
        if line.first.sin == 0.0
            && (self.flattening <= 0.0 || line.longitude <= PI - self.flattening * PI)
        {
            return self.equator * line.longitude;
        }
        match self.start(&line) {
            Start::Length(length) => length,
            Start::Direction(direction) => self.search(&line, direction),
        }
    }

    /// The point at a distance from another, in a direction that is given in degrees from the north to the east.
    pub(super) fn point(&self, from: LonLat, azimuth: f64, distance: f64) -> LonLat {
        let azimuth = rounded(normal(azimuth));
        let alpha = Angle::new(
            if azimuth == -180.0 { 0.0 } else { (azimuth * DEGREE).sin() },
            if azimuth.abs() == 90.0 { 0.0 } else { (azimuth * DEGREE).cos() },
        );
        let beta = self.reduced(from.lat);
        // The direction at the equator, and where the line is by then.
        let sin0 = alpha.sin * beta.cos;
        let cos0 = length(alpha.cos, alpha.sin * beta.sin);
        let is_level = beta.sin == 0.0 && alpha.cos == 0.0;
        let omega1 = Angle::new(sin0 * beta.sin, if is_level { 1.0 } else { beta.cos * alpha.cos });
        let sigma1 = Angle::unit(beta.sin, omega1.cos);
        let k2 = square(cos0) * self.second;
        let epsilon = expansion(k2);
        let (a1, c1) = (1.0 + a1(epsilon), c1(epsilon));
        let b1 = sine_series(sigma1, &c1);
        let tau1 = turned(sigma1, b1);
        let tau = distance / (self.poles * a1);
        let back = -sine_series(turned(tau1, tau), &c1_reverted(epsilon));
        let mut arc = tau - (back - b1);
        if self.flattening.abs() > 0.01 {
            // The reverted series is not good enough there: one step of Newton's method.
            let sigma2 = turned(sigma1, arc);
            let miss = a1 * (arc + (sine_series(sigma2, &c1) - b1)) - distance / self.poles;
            arc -= miss / (1.0 + k2 * square(sigma2.sin)).sqrt();
        }
        let mut sigma2 = turned(sigma1, arc);
        let sin2 = cos0 * sigma2.sin;
        let mut cos2 = length(sin0, cos0 * sigma2.cos);
        if cos2 == 0.0 {
            cos2 = f64::MIN_POSITIVE.sqrt();
            sigma2.cos = cos2;
        }
        let omega2 = Angle::new(sin0 * sigma2.sin, sigma2.cos);
        let omega = (omega2.sin * omega1.cos - omega2.cos * omega1.sin)
            .atan2(omega2.cos * omega1.cos + omega2.sin * omega1.sin);
        let c3 = self.c3(epsilon);
        let bend = sine_series(sigma2, &c3) - sine_series(sigma1, &c3);
        let h = -self.flattening * sin0 * self.a3(epsilon);
        let degrees = (omega + h * (arc + bend)) / DEGREE;
        LonLat {
            lon: normal(normal(from.lon) + normal(degrees % 360.0)),
            lat: sin2.atan2(self.ratio * cos2) / DEGREE,
        }
    }

    /// The reduced latitude of a latitude in degrees.
    fn reduced(&self, lat: f64) -> Angle {
        let phi = lat * DEGREE;
        let cos = if lat.abs() == 90.0 { f64::MIN_POSITIVE.sqrt() } else { phi.cos() };
        Angle::unit(self.ratio * phi.sin(), cos)
    }

    fn line(&self, lat1: f64, lat2: f64, degrees: f64) -> Line {
        let (first, mut second) = (self.reduced(lat1), self.reduced(lat2));
        // Latitudes that are opposite or the same must be so to the last bit.
        if first.cos < -first.sin {
            if second.cos == first.cos {
                second.sin = if second.sin < 0.0 { first.sin } else { -first.sin };
            }
        } else if second.sin.abs() == -first.sin {
            second.cos = first.cos;
        }
        let dn = |beta: Angle| (1.0 + self.second * square(beta.sin)).sqrt();
        let (dn1, dn2) = (dn(first), dn(second));
        Line { first, second, dn1, dn2, longitude: degrees * DEGREE }
    }

    /// The length along the meridian of both points, unless there is a shorter way.
    fn along_meridian(&self, line: &Line) -> Option<f64> {
        let sigma1 = Angle::new(line.first.sin, line.longitude.cos() * line.first.cos);
        let sigma2 = line.second;
        let arc = between(sigma1, sigma2);
        let (length, reduced) = self.lengths(self.third, arc, sigma1, sigma2, line);
        (arc < 1.0 || reduced >= 0.0).then_some(length * self.poles)
    }

    /// The length of a line and its reduced length, both by the pole's radius.
    fn lengths(
        &self,
        epsilon: f64,
        arc: f64,
        sigma1: Angle,
        sigma2: Angle,
        line: &Line,
    ) -> (f64, f64) {
        let part = |series: &[f64; 6]| sine_series(sigma2, series) - sine_series(sigma1, series);
        let (a1, a2) = (a1(epsilon), a2(epsilon));
        let b1 = (1.0 + a1) * part(&c1(epsilon));
        let b2 = (1.0 + a2) * part(&c2(epsilon));
        let j = (a1 - a2) * arc + (b1 - b2);
        let reduced = line.dn2 * (sigma1.cos * sigma2.sin)
            - line.dn1 * (sigma1.sin * sigma2.cos)
            - sigma1.cos * sigma2.cos * j;
        ((1.0 + a1) * arc + b1, reduced)
    }

    /// A direction to begin the search with; of short lines the length itself.
    fn start(&self, line: &Line) -> Start {
        let (one, two) = (line.first, line.second);
        let sine = two.sin * one.cos - two.cos * one.sin;
        let cosine = two.cos * one.cos + two.sin * one.sin;
        let sum = two.sin * one.cos + two.cos * one.sin;
        let is_short = cosine >= 0.0 && sine < 0.5 && two.cos * line.longitude < 0.5;
        let (mut omega, mut mean) = (line.longitude, 1.0);
        if is_short {
            let mut middle = square(one.sin + two.sin);
            middle /= middle + square(one.cos + two.cos);
            mean = (1.0 + self.second * middle).sqrt();
            omega /= self.ratio * mean;
        }
        let (sin, cos) = (omega.sin(), omega.cos());
        let mut alpha = Angle::new(
            two.cos * sin,
            if cos >= 0.0 {
                sine + two.cos * one.sin * square(sin) / (1.0 + cos)
            } else {
                sum - two.cos * one.sin * square(sin) / (1.0 - cos)
            },
        );
        let sigma =
            Angle::new(length(alpha.sin, alpha.cos), one.sin * two.sin + one.cos * two.cos * cos);
        if is_short && sigma.sin < self.short {
            return Start::Length(sigma.sin.atan2(sigma.cos) * self.poles * mean);
        }
        let is_plain = self.third.abs() >= 0.1
            || sigma.cos >= 0.0
            || sigma.sin >= 6.0 * self.third.abs() * PI * square(one.cos);
        if !is_plain {
            alpha = self.near_antipode(line, sum);
        }
        Start::Direction(if alpha.sin > 0.0 {
            Angle::unit(alpha.sin, alpha.cos)
        } else {
            Angle::new(1.0, 0.0)
        })
    }

    /// A direction to nearly the other side of the globe.
    fn near_antipode(&self, line: &Line, sum: f64) -> Angle {
        let (one, two) = (line.first, line.second);
        let epsilon = expansion(square(one.sin) * self.second);
        let scale = self.flattening * one.cos * self.a3(epsilon) * PI;
        let x = (line.longitude - PI) / scale;
        let y = sum / (scale * one.cos);
        if y > -200.0 * TOLERANCE && x > -1.0 - 1_000.0 * TOLERANCE.sqrt() {
            let sin = f64::min(1.0, -x);
            return Angle::new(sin, -(1.0 - square(sin)).sqrt());
        }
        let k = astroid(x, y);
        let omega = scale * (-x * k / (1.0 + k));
        let (sin, cos) = (omega.sin(), -omega.cos());
        Angle::new(two.cos * sin, sum - two.cos * one.sin * square(sin) / (1.0 - cos))
    }

    /// Newton's method, held within a bracket: turns the direction until the line hits the second point.
    fn search(&self, line: &Line, mut alpha: Angle) -> f64 {
        let tiny = f64::MIN_POSITIVE.sqrt();
        let (mut low, mut high) = (Angle::new(tiny, 1.0), Angle::new(tiny, -1.0));
        let (mut is_near, mut is_narrow) = (false, false);
        let mut tried = self.follow(line, alpha);
        for step in 0..STEPS {
            if step > 0 {
                tried = self.follow(line, alpha);
            }
            let miss = tried.longitude - line.longitude;
            let wanted = if is_near { 8.0 } else { 2.0 } * TOLERANCE;
            if is_narrow || miss.is_nan() || miss.abs() < wanted {
                break;
            }
            let steep = alpha.cos / alpha.sin;
            if miss > 0.0 && (step > NEWTON_STEPS || steep > high.cos / high.sin) {
                high = alpha;
            } else if miss < 0.0 && (step > NEWTON_STEPS || steep < low.cos / low.sin) {
                low = alpha;
            }
            if step < NEWTON_STEPS && tried.slope > 0.0 {
                let turn = -miss / tried.slope;
                let (sin, cos) = (turn.sin(), turn.cos());
                let turned = alpha.sin * cos + alpha.cos * sin;
                if turned > 0.0 && turn.abs() < PI {
                    alpha = Angle::unit(turned, alpha.cos * cos - alpha.sin * sin);
                    is_near = miss.abs() <= 16.0 * TOLERANCE;
                    continue;
                }
            }
            alpha = Angle::unit((low.sin + high.sin) / 2.0, (low.cos + high.cos) / 2.0);
            is_near = false;
            let limit = TOLERANCE * TOLERANCE.sqrt();
            is_narrow = (low.sin - alpha.sin).abs() + (low.cos - alpha.cos) < limit
                || (alpha.sin - high.sin).abs() + (alpha.cos - high.cos) < limit;
        }
        let Try { arc, sigma1, sigma2, epsilon, .. } = tried;
        self.lengths(epsilon, arc, sigma1, sigma2, line).0 * self.poles
    }

    /// Follows a line in a direction to the latitude of the second point.
    fn follow(&self, line: &Line, mut alpha: Angle) -> Try {
        let (one, two) = (line.first, line.second);
        if one.sin == 0.0 && alpha.cos == 0.0 {
            alpha.cos = -f64::MIN_POSITIVE.sqrt();
        }
        // The direction at the equator, and at the second point.
        let sin0 = alpha.sin * one.cos;
        let cos0 = length(alpha.cos, alpha.sin * one.sin);
        let cos2 = if two.cos != one.cos || two.sin.abs() != -one.sin {
            let rest = if one.cos < -one.sin {
                (two.cos - one.cos) * (one.cos + two.cos)
            } else {
                (one.sin - two.sin) * (one.sin + two.sin)
            };
            (square(alpha.cos * one.cos) + rest).sqrt() / two.cos
        } else {
            alpha.cos.abs()
        };
        let omega1 = Angle::new(sin0 * one.sin, alpha.cos * one.cos);
        let omega2 = Angle::new(sin0 * two.sin, cos2 * two.cos);
        let sigma1 = Angle::unit(one.sin, omega1.cos);
        let sigma2 = Angle::unit(two.sin, omega2.cos);
        let arc = between(sigma1, sigma2);
        let epsilon = expansion(square(cos0) * self.second);
        let c3 = self.c3(epsilon);
        let bend = sine_series(sigma2, &c3) - sine_series(sigma1, &c3);
        let h = -self.flattening * self.a3(epsilon);
        let longitude = between(omega1, omega2) + sin0 * h * (arc + bend);
        let slope = if cos2 == 0.0 {
            -2.0 * self.ratio * line.dn1 / one.sin
        } else {
            let reduced = self.lengths(epsilon, arc, sigma1, sigma2, line).1;
            reduced * (self.ratio / (cos2 * two.cos))
        };
        Try { longitude, arc, sigma1, sigma2, epsilon, slope }
    }

    fn a3(&self, epsilon: f64) -> f64 {
        polynomial(&self.a3, epsilon)
    }

    fn c3(&self, epsilon: f64) -> [f64; 5] {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = self.c3;
        let mut series = [
            polynomial(&[a, b, c, d, e], epsilon),
            polynomial(&[f, g, h, i], epsilon),
            polynomial(&[j, k, l], epsilon),
            polynomial(&[m, n], epsilon),
            o,
        ];
        let mut power = 1.0;
        for coefficient in &mut series {
            power *= epsilon;
            *coefficient *= power;
        }
        series
    }
}

enum Start {
    Length(f64),
    Direction(Angle),
}

fn square(x: f64) -> f64 {
    x * x
}

fn length(x: f64, y: f64) -> f64 {
    (x * x + y * y).sqrt()
}

/// The angle from one to the other, from 0 to half a circle.
fn between(from: Angle, to: Angle) -> f64 {
    let sin = f64::max(from.cos * to.sin - from.sin * to.cos, 0.0);
    sin.atan2(from.cos * to.cos + from.sin * to.sin)
}

/// An angle and another one, in radians, together.
fn turned(angle: Angle, by: f64) -> Angle {
    let (sin, cos) = (by.sin(), by.cos());
    Angle::new(angle.sin * cos + angle.cos * sin, angle.cos * cos - angle.sin * sin)
}

fn normal(degrees: f64) -> f64 {
    if degrees >= 180.0 {
        degrees - 360.0
    } else if degrees < -180.0 {
        degrees + 360.0
    } else {
        degrees
    }
}

/// From one longitude to the other, precise where it is small.
fn difference(from: f64, to: f64) -> f64 {
    let sum = -from + to;
    let up = sum - to;
    let rest = -((up + from) + ((sum - up) - to));
    let turn = if (sum - 180.0) + rest > 0.0 {
        -360.0
    } else if (sum + 180.0) + rest <= 0.0 {
        360.0
    } else {
        0.0
    };
    (sum + turn) + rest
}

/// Takes from tiny angles what would make trouble.
fn rounded(degrees: f64) -> f64 {
    const SMALL: f64 = 1.0 / 16.0;
    let angle = degrees.abs();
    let angle = if angle < SMALL { SMALL - (SMALL - angle) } else { angle };
    if degrees < 0.0 { -angle } else { angle }
}

fn expansion(k2: f64) -> f64 {
    k2 / (2.0 * (1.0 + (1.0 + k2).sqrt()) + k2)
}

/// The sum of the coefficients' parts of the sines of the even multiples of an angle, by Clenshaw's way.
fn sine_series(angle: Angle, coefficients: &[f64]) -> f64 {
    let Angle { sin, cos } = angle;
    let factor = 2.0 * (cos - sin) * (cos + sin);
    let (mut last, mut before) = (0.0, 0.0);
    for coefficient in coefficients.iter().rev() {
        (last, before) = (factor * last - before + coefficient, last);
    }
    2.0 * sin * cos * last
}

/// The positive root of k^4 + 2 k^3 - (x^2 + y^2 - 1) k^2 - 2 y^2 k - y^2.
fn astroid(x: f64, y: f64) -> f64 {
    let (p, q) = (square(x), square(y));
    let r = (p + q - 1.0) / 6.0;
    if q == 0.0 && r <= 0.0 {
        return 0.0;
    }
    let s = p * q / 4.0;
    let (r2, r3) = (square(r), r * square(r));
    let discriminant = s * (s + 2.0 * r3);
    let mut u = r;
    if discriminant >= 0.0 {
        let mut cube = s + r3;
        cube += if cube < 0.0 { -discriminant.sqrt() } else { discriminant.sqrt() };
        let root = cube.abs().powf(1.0 / 3.0).copysign(cube);
        u += root + if root != 0.0 { r2 / root } else { 0.0 };
    } else {
        let angle = (-discriminant).sqrt().atan2(-(s + r3));
        u += 2.0 * r * (angle / 3.0).cos();
    }
    let v = (square(u) + q).sqrt();
    let uv = if u < 0.0 { q / (v - u) } else { u + v };
    let w = (uv - q) / (2.0 * v);
    uv / ((uv + square(w)).sqrt() + w)
}

#[cfg(test)]
mod tests {
    use geographiclib_rs::InverseGeodesic;

    use super::*;
    use crate::testing::Random;

    const EQUATOR: f64 = 6_378_137.0;

    fn at(lon: f64, lat: f64) -> LonLat {
        LonLat { lon, lat }
    }

    /// Another implementation, of a later edition of the formulas.
    fn other(flattening: f64, from: LonLat, to: LonLat) -> f64 {
        let geodesic = geographiclib_rs::Geodesic::new(EQUATOR, flattening);
        geodesic.inverse(from.lat, from.lon, to.lat, to.lon)
    }

    #[test]
    fn another_implementation_finds_the_same_to_some_nanometers() {
        let mut random = Random::from_environment();
        let mut degrees = |from: i64, to: i64| {
            let steps = random.below(((to - from) * 1_000_000) as u64 + 1);
            from as f64 + steps as f64 / 1e6
        };
        for flattening in [1.0 / 298.257_223_563, 0.0, 1.0 / 150.0, 0.01] {
            let geodesic = Geodesic::new(EQUATOR, flattening);
            for round in 0..20_000 {
                let from = at(degrees(-180, 180), degrees(-90, 90));
                let to = match round % 4 {
                    // Near, at the other side, on the same meridian, anywhere.
                    0 => at(from.lon + degrees(0, 1) / 100.0, from.lat + degrees(-1, 1) / 100.0),
                    1 => at(from.lon + 179.0 + degrees(0, 1), -from.lat + degrees(-1, 1) / 2.0),
                    2 => at(from.lon, degrees(-90, 90)),
                    _ => at(degrees(-180, 180), degrees(-90, 90)),
                };
                let to = at(normal(to.lon), to.lat.clamp(-90.0, 90.0));
                let (found, expected) = (geodesic.distance(from, to), other(flattening, from, to));
                assert!(
                    (found - expected).abs() < 1e-7,
                    "{from:?} {to:?} {flattening}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn points_are_where_they_are_said_to_be() {
        use geographiclib_rs::DirectGeodesic;

        let mut random = Random::from_environment();
        for flattening in [1.0 / 298.257_223_563, 0.0, 0.02] {
            let geodesic = Geodesic::new(EQUATOR, flattening);
            let library = geographiclib_rs::Geodesic::new(EQUATOR, flattening);
            for _ in 0..5_000 {
                let from = at(random.below(360) as f64 - 180.0, random.below(181) as f64 - 90.0);
                let azimuth = random.below(3_600) as f64 / 10.0 - 180.0;
                let meters = random.below(9_000_000) as f64;
                let found = geodesic.point(from, azimuth, meters);
                let (lat, lon): (f64, f64) = library.direct(from.lat, from.lon, azimuth, meters);
                let missed = geodesic.distance(found, at(lon, lat));
                assert!(missed < 1e-6, "{from:?} {azimuth} {meters}: {missed}");
            }
        }
    }

    #[test]
    fn special_lines() {
        let earth = Geodesic::new(EQUATOR, 1.0 / 298.257_223_563);
        let quarter = earth.distance(at(0.0, 0.0), at(0.0, 90.0));
        assert!((quarter - 10_001_965.729_3).abs() < 1e-3, "{quarter}");
        for (from, to) in [
            (at(0.0, 0.0), at(90.0, 0.0)),
            (at(0.0, 0.0), at(180.0, 0.0)),
            (at(-180.0, 12.0), at(180.0, 12.0)),
            (at(20.0, -90.0), at(-70.0, 90.0)),
            (at(0.0, 30.0), at(180.0, -30.0)),
            (at(0.0, 30.0), at(179.9, -29.9)),
            (at(5.0, 5.0), at(5.0, 5.0)),
            (at(0.0, 1e-13), at(1e-13, 0.0)),
        ] {
            let (found, expected) =
                (earth.distance(from, to), other(1.0 / 298.257_223_563, from, to));
            assert!((found - expected).abs() < 1e-7, "{from:?} {to:?}: {found} for {expected}");
            assert_eq!(found, earth.distance(to, from));
        }
    }
}
