//! What is wrong with a text that is not JSON, in the words of the parser behind RethinkDB.
//!
//! Only texts that were refused come here, so it reads them a second time, without making values of them. It does not
//! recurse. A NUL ends the text, as it does there.

/// The sentence for the first fault.
pub(super) fn complaint(text: &str) -> String {
    match Checker::new(text).document() {
        Err(fault) => fault.to_owned(),
        // Refused by the stricter of two readers.
        Ok(()) => "Unspecific syntax error.".to_owned(),
    }
}

type Checked = Result<(), &'static str>;

const INVALID_VALUE: &str = "Invalid value.";
const INVALID_SURROGATE: &str = "The surrogate pair in string is invalid.";
const NUMBER_TOO_BIG: &str = "Number too big to be stored in double.";

#[derive(Clone, Copy, PartialEq)]
enum Open {
    Array,
    Object,
}

struct Checker<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Checker<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.as_bytes().split(|byte| *byte == 0).next().unwrap_or_default();
        Checker { text, at: 0 }
    }

    fn document(&mut self) -> Checked {
        if self.next_token().is_none() {
            return Err("The document is empty.");
        }
        let mut open: Vec<Open> = Vec::new();
        loop {
            if let Some(opened) = self.value()? {
                open.push(opened);
                continue;
            }
            // A value is complete: close what it completes.
            loop {
                match open.last() {
                    None => return self.end(),
                    Some(kind) => match (kind, self.next_token()) {
                        (Open::Array, Some(b',')) => {
                            self.at += 1;
                            break;
                        }
                        (Open::Object, Some(b',')) => {
                            self.at += 1;
                            self.name()?;
                            break;
                        }
                        (Open::Array, Some(b']')) | (Open::Object, Some(b'}')) => {
                            self.at += 1;
                            open.pop();
                        }
                        (Open::Array, _) => {
                            return Err("Missing a comma or ] after an array element.");
                        }
                        (Open::Object, _) => {
                            return Err("Missing a comma or } after an object member.");
                        }
                    },
                }
            }
        }
    }

    fn end(&mut self) -> Checked {
        match self.next_token() {
            None => Ok(()),
            Some(_) => Err("The document root must not follow by other values."),
        }
    }

    /// Reads a whole value, or the opening of one that is not empty.
    fn value(&mut self) -> Result<Option<Open>, &'static str> {
        match self.next_token() {
            Some(b'n') => self.word(b"null")?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'"') => self.string()?,
            Some(b'[') => {
                self.at += 1;
                if self.next_token() != Some(b']') {
                    return Ok(Some(Open::Array));
                }
                self.at += 1;
            }
            Some(b'{') => {
                self.at += 1;
                if self.next_token() != Some(b'}') {
                    self.name()?;
                    return Ok(Some(Open::Object));
                }
                self.at += 1;
            }
            _ => self.number()?,
        }
        Ok(None)
    }

    fn name(&mut self) -> Checked {
        if self.next_token() != Some(b'"') {
            return Err("Missing a name for object member.");
        }
        self.string()?;
        if self.next_token() != Some(b':') {
            return Err("Missing a colon after a name of object member.");
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Checked {
        if !self.rest().starts_with(word) {
            return Err(INVALID_VALUE);
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self) -> Checked {
        self.at += 1;
        loop {
            let Some(byte) = self.step() else {
                return Err("Missing a closing quotation mark in string.");
            };
            match byte {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                0..0x20 => return Err("Invalid escape character in string."),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Checked {
        match self.step() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => match self.hex()? {
                0xd800..0xdc00 => {
                    if self.step() != Some(b'\\') || self.step() != Some(b'u') {
                        return Err(INVALID_SURROGATE);
                    }
                    match self.hex()? {
                        0xdc00..0xe000 => Ok(()),
                        _ => Err(INVALID_SURROGATE),
                    }
                }
                0xdc00..0xe000 => Err(INVALID_SURROGATE),
                _ => Ok(()),
            },
            _ => Err("Invalid escape character in string."),
        }
    }

    fn hex(&mut self) -> Result<u32, &'static str> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.step().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or("Incorrect hex digit after \\u escape in string.")?;
        }
        Ok(code)
    }

    fn number(&mut self) -> Checked {
        let start = self.at;
        self.skip(b'-');
        if !self.skip(b'0') && self.digits() == 0 {
            return Err(INVALID_VALUE);
        }
        if self.skip(b'.') && self.digits() == 0 {
            return Err("Miss fraction part in number.");
        }
        if self.skip(b'e') || self.skip(b'E') {
            if !self.skip(b'+') {
                self.skip(b'-');
            }
            if self.digits() == 0 {
                return Err("Miss exponent in number.");
            }
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        let number = std::str::from_utf8(written).ok().and_then(|text| text.parse::<f64>().ok());
        match number {
            Some(number) if number.is_finite() => Ok(()),
            _ => Err(NUMBER_TOO_BIG),
        }
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn skip(&mut self, byte: u8) -> bool {
        let found = self.rest().first() == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn step(&mut self) -> Option<u8> {
        let byte = self.rest().first().copied()?;
        self.at += 1;
        Some(byte)
    }

    /// The next byte that is no blank; stays before it.
    fn next_token(&mut self) -> Option<u8> {
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.rest().iter().take_while(blank).count();
        self.rest().first().copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_sentence() {
        for (text, expected) in [
            ("", "The document is empty."),
            (" \n", "The document is empty."),
            ("{", "Missing a name for object member."),
            ("{\"a\":1,}", "Missing a name for object member."),
            ("{\"a\" 1}", "Missing a colon after a name of object member."),
            ("{\"a\":1 2}", "Missing a comma or } after an object member."),
            ("[1 2]", "Missing a comma or ] after an array element."),
            ("[1,]", INVALID_VALUE),
            ("[1", "Missing a comma or ] after an array element."),
            ("nul", INVALID_VALUE),
            ("-", INVALID_VALUE),
            ("01", "The document root must not follow by other values."),
            ("1.", "Miss fraction part in number."),
            ("1e", "Miss exponent in number."),
            ("1e999", NUMBER_TOO_BIG),
            ("1 2", "The document root must not follow by other values."),
            ("\"abc", "Missing a closing quotation mark in string."),
            ("\"\\x\"", "Invalid escape character in string."),
            ("\"\t\"", "Invalid escape character in string."),
            ("\"\\u12g4\"", "Incorrect hex digit after \\u escape in string."),
            ("\"\\ud834\"", INVALID_SURROGATE),
            ("\"\\udd1e\"", INVALID_SURROGATE),
        ] {
            assert_eq!(complaint(text), expected, "{text}");
        }
    }
}
