//! What a backslash means, within a class and outside.

use super::{Fault, Parsed, Translator};

const BAD_ESCAPE: &str = "invalid escape sequence";
const LARGEST: u32 = 0x10_ffff;

impl Translator<'_> {
    /// A backslash outside a class.
    pub(super) fn backslash(&mut self) -> Parsed<()> {
        let mut ahead = self.rest().chars().skip(1);
        let assertion = match ahead.next() {
            Some('b') => r"(?-u:\b)",
            Some('B') => r"(?-u:\B)",
            Some('A') => r"\A",
            Some('z') => r"\z",
            // Any byte, of which a match within text always takes whole characters here.
            Some('C') => "(?s:.)",
            Some('Q') => {
                self.quoted();
                return Ok(());
            }
            _ => {
                return match self.class_escape()? {
                    Some(class) => {
                        self.out.push_str(&class);
                        self.set_operand(true);
                        Ok(())
                    }
                    None => {
                        let c = self.escape()?;
                        self.literal(c);
                        Ok(())
                    }
                };
            }
        };
        self.at += 2;
        self.out.push_str(assertion);
        self.set_operand(true);
        Ok(())
    }

    /// `\Q...\E`: text as it is.
    fn quoted(&mut self) {
        self.at += 2;
        while let Some(c) = self.peek() {
            if self.rest().starts_with(r"\E") {
                self.at += 2;
                return;
            }
            self.step();
            self.literal(c);
        }
    }

    /// The character that an escape stands for.
    pub(super) fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        self.step();
        let Some(c) = self.step() else { return Err(trailing_backslash()) };
        let found = match c {
            '1'..='7' if !matches!(self.peek(), Some('0'..='7')) => None,
            '0'..='7' => {
                let mut code = c.to_digit(8);
                for _ in 0..2 {
                    if let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) {
                        self.step();
                        code = code.map(|code| code * 8 + digit);
                    }
                }
                code
            }
            'x' => self.hexadecimal(),
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        let character = found.and_then(char::from_u32);
        character.ok_or_else(|| Fault::new(BAD_ESCAPE, self.since(start)))
    }

    /// `\x41` or `\x{41}`; what was read shows in the message.
    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.step()?;
        if first != '{' {
            let second = self.step()?;
            return Some(first.to_digit(16)? * 16 + second.to_digit(16)?);
        }
        let mut code = 0;
        let mut digits = 0;
        loop {
            let c = self.step()?;
            match c.to_digit(16) {
                Some(digit) => {
                    digits += 1;
                    code = code * 16 + digit;
                    if code > LARGEST {
                        return None;
                    }
                }
                None => return (c == '}' && digits > 0).then_some(code),
            }
        }
    }
}

fn trailing_backslash() -> Fault {
    Fault::new("trailing \\", "")
}
