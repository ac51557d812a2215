//! Character classes: `[...]`, `\d` and its kin, `\pL`, `[:alpha:]`.

use std::fmt::Write;

use regex::Regex;

use super::{Fault, Parsed, Translator};

const MISSING_BRACKET: &str = "missing ]";
const BAD_RANGE: &str = "invalid character class range";

/// Names of ASCII classes.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

/// Letters of the general categories of characters, and the second letters each may have.
const CATEGORIES: [(char, &str); 7] = [
    ('C', "cfos"),
    ('L', "lmotu"),
    ('M', "cen"),
    ('N', "dlo"),
    ('P', "cdefios"),
    ('S', "ckmo"),
    ('Z', "lps"),
];

impl<'a> Translator<'a> {
    /// A class in brackets.
    pub(super) fn class(&mut self) -> Parsed<()> {
        let whole = self.rest();
        self.step();
        self.out.push('[');
        if self.eat('^') {
            self.out.push('^');
        }
        let content = self.at;
        loop {
            match self.peek() {
                None => return Err(Fault::new(MISSING_BRACKET, whole)),
                // First of all, a bracket is one of the characters.
                Some(']') if self.at > content => break,
                Some(_) => self.item(whole)?,
            }
        }
        self.step();
        self.out.push(']');
        Ok(())
    }

    fn item(&mut self, whole: &'a str) -> Parsed<()> {
        if let Some(named) = self.posix()? {
            self.out.push_str(&named);
            return Ok(());
        }
        if let Some(class) = self.class_escape()? {
            self.out.push_str(&class);
            return Ok(());
        }
        let start = self.at;
        let low = self.character(whole)?;
        let mut high = low;
        let mut ahead = self.rest().chars();
        // A dash before the closing bracket is a dash.
        if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
            self.step();
            high = self.character(whole)?;
        }
        if high < low {
            return Err(Fault::new(BAD_RANGE, self.since(start)));
        }
        // Writing to a string does not fail.
        let (low, high) = (u32::from(low), u32::from(high));
        let _ = write!(self.out, r"\x{{{low:x}}}-\x{{{high:x}}}");
        Ok(())
    }

    fn character(&mut self, whole: &str) -> Parsed<char> {
        match self.peek() {
            None => Err(Fault::new(MISSING_BRACKET, whole)),
            Some('\\') => self.escape(),
            Some(c) => {
                self.step();
                Ok(c)
            }
        }
    }

    /// `[:name:]` or `[:^name:]` within brackets.
    fn posix(&mut self) -> Parsed<Option<String>> {
        let Some(after) = self.rest().strip_prefix("[:") else { return Ok(None) };
        let Some(end) = after.find(":]") else { return Ok(None) };
        let name = after.get(..end).unwrap_or_default();
        let written = self.rest().get(..end + "[::]".len()).unwrap_or_default();
        if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(Fault::new(BAD_RANGE, written));
        }
        self.at += written.len();
        Ok(Some(written.to_owned()))
    }

    /// `\d`, `\s`, `\w`, `\p` and their opposites, as a class that may stand alone or within brackets.
    pub(super) fn class_escape(&mut self) -> Parsed<Option<String>> {
        let class = match self.rest().as_bytes() {
            [b'\\', b'd', ..] => "[0-9]",
            [b'\\', b'D', ..] => "[^0-9]",
            [b'\\', b's', ..] => r"[\t\n\f\r ]",
            [b'\\', b'S', ..] => r"[^\t\n\f\r ]",
            [b'\\', b'w', ..] => "[0-9A-Za-z_]",
            [b'\\', b'W', ..] => "[^0-9A-Za-z_]",
            [b'\\', b'p' | b'P', ..] => return self.unicode_group().map(Some),
            _ => return Ok(None),
        };
        self.at += 2;
        Ok(Some(class.to_owned()))
    }

    /// `\pL`, `\p{Greek}`, `\p{^Greek}`, `\P...`.
    fn unicode_group(&mut self) -> Parsed<String> {
        let start = self.at;
        let mut negated = self.rest().starts_with(r"\P");
        self.at += 2;
        let name = match self.step() {
            None => return Err(Fault::new("invalid UTF-8", "")),
            Some('{') => {
                let Some(end) = self.rest().find('}') else {
                    let sequence = self.pattern.get(start..).unwrap_or_default();
                    return Err(Fault::new(BAD_RANGE, sequence));
                };
                let name = self.rest().get(..end).unwrap_or_default();
                self.at += end + 1;
                name
            }
            Some(letter) => self.since(self.at - letter.len_utf8()),
        };
        let name = match name.strip_prefix('^') {
            Some(name) => {
                negated = !negated;
                name
            }
            None => name,
        };
        if name == "Any" {
            return Ok(if negated { r"[^\x{0}-\x{10ffff}]" } else { r"[\x{0}-\x{10ffff}]" }.into());
        }
        let class = format!(r"\{}{{{name}}}", if negated { 'P' } else { 'p' });
        if is_group(name) && Regex::new(&class).is_ok() {
            return Ok(class);
        }
        Err(Fault::new(BAD_RANGE, self.since(start)))
    }
}

/// Whether RE2 has a group of that name: a general category, or a script by its full name.
fn is_group(name: &str) -> bool {
    let mut letters = name.chars();
    let (first, second, third) = (letters.next(), letters.next(), letters.next());
    let category = CATEGORIES.iter().find(|(category, _)| Some(*category) == first);
    match (category, second, third) {
        (Some(_), None, _) => true,
        (Some((_, seconds)), Some(second), None) => seconds.contains(second),
        _ => {
            let word = |part: &str| {
                let mut letters = part.chars();
                letters.next().is_some_and(|c| c.is_ascii_uppercase())
                    && letters.all(|c| c.is_ascii_lowercase())
            };
            name.len() > 2 && name.split('_').all(word) && !PROPERTIES.contains(&name)
        }
    }
}

/// Names that the crate knows besides scripts.
const PROPERTIES: [&str; 8] =
    ["Alphabetic", "Ascii", "Letter", "Lowercase", "Mark", "Number", "Punctuation", "Uppercase"];
