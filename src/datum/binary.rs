//! Base64, the wire's form of byte strings, with RethinkDB's errors.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as PADDED};

use super::{DatumError, work};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Bytes that fill a line of 76 digits.
const LINE_BYTES: usize = 57;

/// Padded base64 in lines of 76 digits, as mail has them and RethinkDB sends them.
pub fn base64_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() / LINE_BYTES * 78 + 80);
    for line in bytes.chunks(LINE_BYTES) {
        work::step();
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        PADDED.encode_string(line, &mut text);
    }
    text
}

/// Reads base64 with or without padding; blanks and line ends may stand anywhere.
pub fn base64_bytes(text: &str) -> Result<Vec<u8>, DatumError> {
    let blank = |c: &char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut rest = text.chars().filter(|c| !blank(c));
    let mut digits = String::with_capacity(text.len());
    for (at, c) in rest.by_ref().enumerate() {
        if at.is_multiple_of(LINE_BYTES) {
            work::step();
        }
        match c {
            '=' => break,
            c if c.is_ascii_alphanumeric() || matches!(c, '+' | '/') => digits.push(c),
            bad => {
                return Err(DatumError::logic(format!("Invalid base64 character found: '{bad}'.")));
            }
        }
    }
    if digits.len() % 4 == 1 {
        return Err(DatumError::logic(
            "Invalid base64 length: 1 character remaining, cannot decode a full byte.",
        ));
    }
    if rest.any(|c| c != '=') {
        return Err(DatumError::logic(
            "Invalid base64 format, data found after padding character '='.",
        ));
    }
    LENIENT.decode(digits).map_err(|error| DatumError::logic(format!("Invalid base64: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_optional_and_faults_are_named() {
        assert_eq!(base64_bytes("AQID").unwrap(), [1, 2, 3]);
        assert_eq!(base64_bytes("AQI").unwrap(), [1, 2]);
        assert_eq!(base64_bytes("A QI=\n=").unwrap(), [1, 2]);
        assert_eq!(base64_text(&[1, 2]), "AQI=");
        let long = vec![7; 200];
        let text = base64_text(&long);
        assert_eq!(text.find("\r\n"), Some(76));
        assert_eq!(base64_bytes(&text).unwrap(), long);
        let text = |input| base64_bytes(input).unwrap_err().message;
        assert_eq!(text("****"), "Invalid base64 character found: '*'.");
        assert_eq!(
            text("A"),
            "Invalid base64 length: 1 character remaining, cannot decode a full byte."
        );
        assert_eq!(
            text("AQ==AQ"),
            "Invalid base64 format, data found after padding character '='."
        );
    }
}
