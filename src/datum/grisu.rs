//! The digits of a double in JSON, by Grisu2: F. Loitsch, Printing Floating-Point Numbers Quickly and Accurately with Integers, PLDI
//! 2010. They read back as the same double, and are nearly always the fewest and nearest that do.
//!
//! RethinkDB prints with rapidjson, whose last step forgets to round when more than eight digits follow the point. The
//! digits are compared as text by those who call `coerceTo('string')` or `toJSON`, so this keeps to it.

/// Digits after the point up to which the last one is brought nearer to the double.
const ROUNDED_DIGITS: usize = 8;
/// The exponents of two that the product with a power of ten is brought to, at least.
const LEAST_EXPONENT: i32 = -61;
/// The exponent of the first power of ten in the table; each is eight above the one before.
const FIRST_POWER: i32 = -348;
/// Digits of the longest result.
const MOST_DIGITS: usize = 18;

const HIDDEN: u64 = 1 << 52;
/// The exponent of the last bit of a subnormal double.
const LEAST_BIT: i32 = -1074;

/// A number `fraction` times two to the `exponent`.
#[derive(Clone, Copy)]
struct Scaled {
    fraction: u64,
    exponent: i32,
}

/// Decimal digits, and the power of ten that the last of them counts.
pub(super) struct Digits {
    digits: [u8; MOST_DIGITS],
    len: usize,
    /// The exponent of the last digit.
    pub exponent: i32,
}

impl Scaled {
    fn normal(self) -> Scaled {
        let shift = self.fraction.leading_zeros();
        Scaled { fraction: self.fraction << shift, exponent: self.exponent - shift as i32 }
    }

    /// The product, rounded to 64 bits.
    fn times(self, other: Scaled) -> Scaled {
        let product = u128::from(self.fraction) * u128::from(other.fraction);
        let round = (product as u64) >> 63;
        let fraction = (product >> 64) as u64 + round;
        Scaled { fraction, exponent: self.exponent + other.exponent + 64 }
    }
}

impl Digits {
    /// The digits of a double that is finite and above 0.
    pub(super) fn of(value: f64) -> Digits {
        let (fraction, exponent) = match ((value.to_bits() >> 52) & 0x7ff, value.to_bits() % HIDDEN)
        {
            (0, fraction) => (fraction, LEAST_BIT),
            (biased, fraction) => (fraction + HIDDEN, LEAST_BIT - 1 + biased as i32),
        };
        // Halfway to the next doubles above and below.
        let above = Scaled { fraction: (fraction << 1) + 1, exponent: exponent - 1 }.normal();
        let below = if fraction == HIDDEN {
            Scaled { fraction: (fraction << 2) - 1, exponent: exponent - 2 }
        } else {
            Scaled { fraction: (fraction << 1) - 1, exponent: exponent - 1 }
        };
        let shift = (below.exponent - above.exponent) as u32;
        let below = Scaled { fraction: below.fraction << shift, exponent: above.exponent };
        let (power, exponent_of_ten) = power_for(above.exponent);
        let value = Scaled { fraction, exponent }.normal().times(power);
        let (mut above, mut below) = (above.times(power), below.times(power));
        // The products may be one off.
        above.fraction -= 1;
        below.fraction += 1;
        let mut digits = Digits { digits: [0; MOST_DIGITS], len: 0, exponent: exponent_of_ten };
        digits.generate(above, above.fraction - value.fraction, above.fraction - below.fraction);
        digits
    }

    /// The digits as text.
    pub(super) fn text(&self) -> &str {
        let digits = self.digits.get(..self.len).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }

    /// Takes digits of the upper bound until what is left is less than the width of the interval.
    fn generate(&mut self, above: Scaled, distance: u64, width: u64) {
        let point = above.exponent.unsigned_abs();
        let one = 1u64 << point;
        let (mut whole, mut part) = (above.fraction >> point, above.fraction % one);
        let mut places = decimal_places(whole);
        while places > 0 {
            let ten = 10u64.pow(places - 1);
            self.push(whole / ten);
            whole %= ten;
            places -= 1;
            let rest = (whole << point) + part;
            if rest <= width {
                self.exponent += places as i32;
                return self.round(width, rest, ten << point, distance);
            }
        }
        let (mut width, mut distance_scale, mut after) = (width, 1u64, 0usize);
        loop {
            part *= 10;
            width *= 10;
            after += 1;
            self.push(part >> point);
            part %= one;
            distance_scale = if after <= ROUNDED_DIGITS { distance_scale * 10 } else { 0 };
            if part < width {
                self.exponent -= after as i32;
                return self.round(width, part, one, distance.wrapping_mul(distance_scale));
            }
        }
    }

    /// Zeros in front are left out.
    fn push(&mut self, digit: u64) {
        if digit == 0 && self.len == 0 {
            return;
        }
        if let Some(place) = self.digits.get_mut(self.len) {
            // A digit is below ten.
            *place = b'0' + digit as u8;
            self.len += 1;
        }
    }

    /// Brings the last digit nearer to the double, within the interval.
    fn round(&mut self, width: u64, mut rest: u64, unit: u64, distance: u64) {
        let Some(last) = self.len.checked_sub(1).and_then(|at| self.digits.get_mut(at)) else {
            return;
        };
        while rest < distance
            && width - rest >= unit
            && (rest + unit < distance || distance - rest > rest + unit - distance)
        {
            *last -= 1;
            rest += unit;
        }
    }
}

fn decimal_places(number: u64) -> u32 {
    number.checked_ilog10().map_or(1, |places| places + 1)
}

/// The power of ten that brings a number of this exponent to one of -61 to -32, and the exponent of ten to make up for it.
fn power_for(exponent: i32) -> (Scaled, i32) {
    let exact = f64::from(LEAST_EXPONENT - exponent) * std::f64::consts::LOG10_2
        + f64::from(-FIRST_POWER - 1);
    // Positive, because no double's exponent is above 1024.
    let at = (exact.ceil() as usize >> 3) + 1;
    let (fraction, exponent) = POWERS.get(at).copied().unwrap_or((1 << 63, -63));
    (Scaled { fraction, exponent }, -(FIRST_POWER + 8 * at as i32))
}

/// Powers of ten from 10^-348 to 10^340: the upper 64 bits, rounded, and the exponent of two.
#[rustfmt::skip]
const POWERS: [(u64, i32); 87] = [
    (0xfa8fd5a0081c0288, -1220),
    (0xbaaee17fa23ebf76, -1193),
    (0x8b16fb203055ac76, -1166),
    (0xcf42894a5dce35ea, -1140),
    (0x9a6bb0aa55653b2d, -1113),
    (0xe61acf033d1a45df, -1087),
    (0xab70fe17c79ac6ca, -1060),
    (0xff77b1fcbebcdc4f, -1034),
    (0xbe5691ef416bd60c, -1007),
    (0x8dd01fad907ffc3c, -980),
    (0xd3515c2831559a83, -954),
    (0x9d71ac8fada6c9b5, -927),
    (0xea9c227723ee8bcb, -901),
    (0xaecc49914078536d, -874),
    (0x823c12795db6ce57, -847),
    (0xc21094364dfb5637, -821),
    (0x9096ea6f3848984f, -794),
    (0xd77485cb25823ac7, -768),
    (0xa086cfcd97bf97f4, -741),
    (0xef340a98172aace5, -715),
    (0xb23867fb2a35b28e, -688),
    (0x84c8d4dfd2c63f3b, -661),
    (0xc5dd44271ad3cdba, -635),
    (0x936b9fcebb25c996, -608),
    (0xdbac6c247d62a584, -582),
    (0xa3ab66580d5fdaf6, -555),
    (0xf3e2f893dec3f126, -529),
    (0xb5b5ada8aaff80b8, -502),
    (0x87625f056c7c4a8b, -475),
    (0xc9bcff6034c13053, -449),
    (0x964e858c91ba2655, -422),
    (0xdff9772470297ebd, -396),
    (0xa6dfbd9fb8e5b88f, -369),
    (0xf8a95fcf88747d94, -343),
    (0xb94470938fa89bcf, -316),
    (0x8a08f0f8bf0f156b, -289),
    (0xcdb02555653131b6, -263),
    (0x993fe2c6d07b7fac, -236),
    (0xe45c10c42a2b3b06, -210),
    (0xaa242499697392d3, -183),
    (0xfd87b5f28300ca0e, -157),
    (0xbce5086492111aeb, -130),
    (0x8cbccc096f5088cc, -103),
    (0xd1b71758e219652c, -77),
    (0x9c40000000000000, -50),
    (0xe8d4a51000000000, -24),
    (0xad78ebc5ac620000, 3),
    (0x813f3978f8940984, 30),
    (0xc097ce7bc90715b3, 56),
    (0x8f7e32ce7bea5c70, 83),
    (0xd5d238a4abe98068, 109),
    (0x9f4f2726179a2245, 136),
    (0xed63a231d4c4fb27, 162),
    (0xb0de65388cc8ada8, 189),
    (0x83c7088e1aab65db, 216),
    (0xc45d1df942711d9a, 242),
    (0x924d692ca61be758, 269),
    (0xda01ee641a708dea, 295),
    (0xa26da3999aef774a, 322),
    (0xf209787bb47d6b85, 348),
    (0xb454e4a179dd1877, 375),
    (0x865b86925b9bc5c2, 402),
    (0xc83553c5c8965d3d, 428),
    (0x952ab45cfa97a0b3, 455),
    (0xde469fbd99a05fe3, 481),
    (0xa59bc234db398c25, 508),
    (0xf6c69a72a3989f5c, 534),
    (0xb7dcbf5354e9bece, 561),
    (0x88fcf317f22241e2, 588),
    (0xcc20ce9bd35c78a5, 614),
    (0x98165af37b2153df, 641),
    (0xe2a0b5dc971f303a, 667),
    (0xa8d9d1535ce3b396, 694),
    (0xfb9b7cd9a4a7443c, 720),
    (0xbb764c4ca7a44410, 747),
    (0x8bab8eefb6409c1a, 774),
    (0xd01fef10a657842c, 800),
    (0x9b10a4e5e9913129, 827),
    (0xe7109bfba19c0c9d, 853),
    (0xac2820d9623bf429, 880),
    (0x80444b5e7aa7cf85, 907),
    (0xbf21e44003acdd2d, 933),
    (0x8e679c2f5e44ff8f, 960),
    (0xd433179d9c8cb841, 986),
    (0x9e19db92b4e31ba9, 1013),
    (0xeb96bf6ebadf77d9, 1039),
    (0xaf87023b9bf0ee6b, 1066),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn printed(value: f64) -> String {
        let digits = Digits::of(value);
        format!("{}e{}", digits.text(), digits.exponent)
    }

    #[test]
    fn digits_are_those_of_rapidjson() {
        for (value, expected) in [
            (0.1, "1e-1"),
            (1.5, "15e-1"),
            (1e300, "1e300"),
            (5e-324, "5e-324"),
            (f64::MAX, "17976931348623157e292"),
            (f64::MIN_POSITIVE, "22250738585072014e-324"),
            (9_007_199_254_740_994.0, "9007199254740994e0"),
            // The nearest digits would end in 4.
            (40_007_862.917_250_894, "40007862917250897e-9"),
        ] {
            assert_eq!(printed(value), expected, "{value}");
        }
    }

    #[test]
    fn digits_read_back_as_the_same_double() {
        let mut random = Random::from_environment();
        for _ in 0..100_000 {
            let value = f64::from_bits(random.below(u64::MAX)).abs();
            if value.is_finite() && value > 0.0 {
                assert_eq!(printed(value).parse(), Ok(value), "{value:e}");
            }
        }
    }
}
