//! Regular expressions as RE2 understands them, in terms of the `regex` crate.
//!
//! The two agree on almost everything, but not on what is an error, on what `\d`, `\w`, `\s` and `\b` mean (ASCII, in
//! RE2) and on some escapes. So an expression is read by RE2's rules and written anew, each part in a form that means
//! one thing. Faults are found in the order and with the texts of RE2. Knows nothing of terms and values.

mod class;
mod escape;

use std::fmt::Write;

use regex::bytes::{Regex, RegexBuilder};

use crate::limits;

/// What is wrong with an expression.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The part at fault.
    pub portion: String,
    /// RE2's text, the portion included.
    pub text: String,
}

impl Fault {
    fn new(what: &str, portion: &str) -> Fault {
        let text = if portion.is_empty() { what.to_owned() } else { format!("{what}: {portion}") };
        Fault { portion: portion.to_owned(), text }
    }
}

type Parsed<T> = Result<T, Fault>;

const MISSING_ARGUMENT: &str = "no argument for repetition operator";
const BAD_REPETITION: &str = "bad repetition operator";
const BAD_REPETITION_SIZE: &str = "invalid repetition size";
const BAD_PERL_OPERATOR: &str = "invalid perl operator";
const BAD_NAME: &str = "invalid named capture group";
const MISSING_PAREN: &str = "missing )";

/// RE2 repeats nothing more often.
const REPEAT_MAX: u32 = 1000;
/// Numbers of more digits are no repetitions, but text.
const REPEAT_DIGITS_MAX: usize = 8;
/// Groups within groups. The compiler behind recurses that deep.
const NEST_LIMIT: u32 = 500;

/// Why a pattern is not compiled.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It is no expression.
    Fault(Fault),
    /// It would take more than it may.
    TooLarge,
}

impl Failure {
    /// What RE2 says.
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::TooLarge => Fault::new("pattern too large - compile failed", ""),
        }
    }
}

/// An expression ready to search with, of no more than so many bytes. How long that takes is bounded by them, and by the
/// length of the pattern and its classes of Unicode, each of which has hundreds of ranges.
pub(super) fn compile(pattern: &str, most: usize) -> Result<Regex, Failure> {
    if pattern.len() > limits::REGEX_PATTERN_BYTES {
        return Err(Failure::TooLarge);
    }
    let translated = Translator::new(pattern).run().map_err(Failure::Fault)?;
    let classes = translated.match_indices("\\p").chain(translated.match_indices("\\P"));
    if classes.count() > limits::REGEX_CLASSES {
        return Err(Failure::TooLarge);
    }
    let mut builder = RegexBuilder::new(&translated);
    builder.nest_limit(NEST_LIMIT).size_limit(most).dfa_size_limit(limits::REGEX_SEARCH_BYTES);
    builder.build().map_err(|_| Failure::TooLarge)
}

struct Translator<'a> {
    pattern: &'a str,
    /// Where in the pattern the next character is.
    at: usize,
    out: String,
    /// Whether a repetition would have something to repeat, of each open group and of the innermost last.
    groups: Vec<bool>,
    /// Where in the output what would be repeated ends: flags may stand behind it.
    operand_end: usize,
    /// Where in the pattern the repetition just read began.
    repetition: Option<usize>,
    names: Vec<&'a str>,
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str) -> Self {
        Translator {
            pattern,
            at: 0,
            out: String::with_capacity(pattern.len() + 16),
            groups: vec![false],
            operand_end: 0,
            repetition: None,
            names: Vec::new(),
        }
    }

    fn run(mut self) -> Parsed<String> {
        while let Some(c) = self.peek() {
            let last_repetition = self.repetition.take();
            match c {
                '(' if self.rest().starts_with("(?") => self.perl_group()?,
                '(' => self.open("("),
                '|' => {
                    self.step();
                    self.out.push('|');
                    self.set_operand(false);
                }
                ')' => self.close()?,
                '^' | '$' | '.' => {
                    self.step();
                    self.out.push(c);
                    self.set_operand(true);
                }
                '[' => {
                    self.class()?;
                    self.set_operand(true);
                }
                '*' | '+' | '?' => {
                    let start = self.at;
                    self.step();
                    self.repeat(start, last_repetition)?;
                }
                '{' => self.counted(last_repetition)?,
                '\\' => self.backslash()?,
                _ => {
                    self.step();
                    self.literal(c);
                }
            }
        }
        if self.groups.len() > 1 {
            return Err(Fault::new(MISSING_PAREN, self.pattern));
        }
        Ok(self.out)
    }

    fn open(&mut self, opening: &str) {
        self.step();
        self.out.push_str(opening);
        self.groups.push(false);
    }

    fn close(&mut self) -> Parsed<()> {
        if self.groups.len() == 1 {
            return Err(Fault::new(MISSING_PAREN, self.pattern));
        }
        self.step();
        self.groups.pop();
        self.out.push(')');
        self.set_operand(true);
        Ok(())
    }

    /// A repetition whose operator began at `start` and has been read, but for a `?` behind it.
    fn repeat(&mut self, start: usize, last_repetition: Option<usize>) -> Parsed<()> {
        if self.peek() == Some('?') {
            self.step();
        }
        if let Some(first) = last_repetition {
            return Err(Fault::new(BAD_REPETITION, self.since(first)));
        }
        let operator = self.since(start);
        if self.groups.last() != Some(&true) {
            return Err(Fault::new(MISSING_ARGUMENT, operator));
        }
        // Flags behind the operand stay behind the repetition.
        self.out.insert_str(self.operand_end, operator);
        self.operand_end += operator.len();
        self.repetition = Some(start);
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,5}`; any other brace is text.
    fn counted(&mut self, last_repetition: Option<usize>) -> Parsed<()> {
        let start = self.at;
        self.step();
        let Some((least, most)) = self.bounds() else {
            self.at = start + 1;
            self.literal('{');
            return Ok(());
        };
        let lazy = self.peek() == Some('?');
        let end = self.at + usize::from(lazy);
        let operator = self.pattern.get(start..end).unwrap_or_default();
        let too_many = least > REPEAT_MAX || most.is_some_and(|most| most > REPEAT_MAX);
        if last_repetition.is_none() && (too_many || most.is_some_and(|most| most < least)) {
            return Err(Fault::new(BAD_REPETITION_SIZE, operator));
        }
        self.repeat(start, last_repetition)
    }

    fn bounds(&mut self) -> Option<(u32, Option<u32>)> {
        let least = self.integer()?;
        if self.eat('}') {
            return Some((least, Some(least)));
        }
        if !self.eat(',') {
            return None;
        }
        if self.eat('}') {
            return Some((least, None));
        }
        let most = self.integer()?;
        self.eat('}').then_some((least, Some(most)))
    }

    fn integer(&mut self) -> Option<u32> {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let digits = self.rest().get(..count)?;
        if count > REPEAT_DIGITS_MAX || (count > 1 && digits.starts_with('0')) {
            return None;
        }
        self.at += count;
        digits.parse().ok()
    }

    /// `(?P<name>`, `(?flags)` and `(?flags:`.
    fn perl_group(&mut self) -> Parsed<()> {
        let start = self.at;
        if let Some(named) = self.rest().strip_prefix("(?P<") {
            let Some(end) = named.find('>') else {
                return Err(Fault::new(BAD_NAME, self.rest()));
            };
            let name = named.get(..end).unwrap_or_default();
            let opening = self.pattern.get(start..start + end + "(?P<>".len()).unwrap_or_default();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(word) {
                return Err(Fault::new(BAD_NAME, opening));
            }
            if self.names.contains(&name) {
                return Err(Fault::new(BAD_NAME, name));
            }
            self.names.push(name);
            self.at += opening.len() - 1;
            // What it is called is not asked for, and the name may be one that the crate refuses.
            self.open("(");
            return Ok(());
        }
        self.at += "(?".len();
        let (mut on, mut off) = (String::new(), String::new());
        let mut negated = false;
        let mut flags_after_minus = false;
        loop {
            let c = self.peek();
            if c.is_some() {
                self.step();
            }
            match c {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    flags_after_minus = negated;
                    let (set, other) =
                        if negated { (&mut off, &mut on) } else { (&mut on, &mut off) };
                    other.retain(|c| c != flag);
                    if !set.contains(flag) {
                        set.push(flag);
                    }
                }
                Some('-') if !negated => negated = true,
                Some(end @ (':' | ')')) if !negated || flags_after_minus => {
                    self.flags(&on, &off, end);
                    return Ok(());
                }
                _ => return Err(Fault::new(BAD_PERL_OPERATOR, self.since(start))),
            }
        }
    }

    fn flags(&mut self, on: &str, off: &str, end: char) {
        if !(on.is_empty() && off.is_empty()) || end == ':' {
            let minus = if off.is_empty() { "" } else { "-" };
            // Writing to a string does not fail.
            let _ = write!(self.out, "(?{on}{minus}{off}{end}");
        }
        if end == ':' {
            self.groups.push(false);
        }
    }

    /// A character that stands for itself.
    fn literal(&mut self, c: char) {
        let mut buffer = [0; 4];
        self.out.push_str(&regex::escape(c.encode_utf8(&mut buffer)));
        self.set_operand(true);
    }

    fn set_operand(&mut self, there_is: bool) {
        if let Some(innermost) = self.groups.last_mut() {
            *innermost = there_is;
        }
        self.operand_end = self.out.len();
    }

    fn rest(&self) -> &'a str {
        self.pattern.get(self.at..).unwrap_or_default()
    }

    /// The pattern from a place to where reading is.
    fn since(&self, start: usize) -> &'a str {
        self.pattern.get(start..self.at).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(pattern: &str) -> Parsed<Regex> {
        super::compile(pattern, limits::REGEX_BYTES).map_err(Failure::fault)
    }

    fn first(pattern: &str, text: &str) -> Option<String> {
        let regex = compile(pattern).unwrap_or_else(|fault| panic!("{pattern}: {fault:?}"));
        regex.find(text.as_bytes()).map(|found| String::from_utf8_lossy(found.as_bytes()).into())
    }

    #[test]
    fn what_both_read_alike() {
        for (pattern, text, expected) in [
            ("o+?", "foo", "o"),
            ("(?i)FOO", "a foo", "foo"),
            ("(?i:F)O", "fO", "fO"),
            ("a|b|", "xb", ""),
            ("[^a-c]+", "abcde", "de"),
            (r"[\]x-]+", "a-]x", "-]x"),
            (r"[[:alpha:]\d]+", "é.a1", "a1"),
            (r"\pL+", "1é", "é"),
            (r"\p{Greek}", "aβ", "β"),
            (r"\P{Lu}", "Aa", "a"),
            ("(?s).+", "a\nb", "a\nb"),
            ("(?m)^b", "a\nb", "b"),
            ("x{2,3}", "xxxx", "xxx"),
            ("(a)(?:b)?", "a", "a"),
        ] {
            assert_eq!(first(pattern, text).as_deref(), Some(expected), "{pattern}");
        }
    }

    #[test]
    fn what_only_re2_reads_so() {
        assert_eq!(first(r"\d", "٣"), None);
        assert_eq!(first(r"\w+", "éa"), Some("a".into()));
        assert_eq!(first(r"\s", "\u{a0}\u{b}"), None);
        assert_eq!(first(r"\bb", "éb"), Some("b".into()));
        assert_eq!(first("x{,2}", "x{,2}"), Some("x{,2}".into()));
        assert_eq!(first("a{", "a{"), Some("a{".into()));
        assert_eq!(first(r"\Qa.b\E+", "a.bb"), Some("a.bb".into()));
        assert_eq!(first(r"\x{2603}\x41\101\_", "☃AA_"), Some("☃AA_".into()));
        assert_eq!(first("[a&&b]+", "a&b"), Some("a&b".into()));
        assert_eq!(first("[[a]+]", "[a]"), Some("[a]".into()));
        assert_eq!(first("a(?i)*B", "aab"), Some("aab".into()));
        assert_eq!(first("(?P<a_1>x)", "x"), Some("x".into()));
    }

    #[test]
    fn faults_are_those_of_re2() {
        for (pattern, what, portion) in [
            ("[", "missing ]", "["),
            ("x[a-", "missing ]", "[a-"),
            ("[b-a]", "invalid character class range", "b-a"),
            ("[[:foo:]]", "invalid character class range", "[:foo:]"),
            (r"\p{Foo}", "invalid character class range", r"\p{Foo}"),
            (r"\p{Greek", "invalid character class range", r"\p{Greek"),
            (r"(a)\1", "invalid escape sequence", r"\1"),
            (r"\Z", "invalid escape sequence", r"\Z"),
            (r"\x4", "invalid escape sequence", r"\x4"),
            (r"\x{110000}", "invalid escape sequence", r"\x{110000"),
            ("(?=look)", "invalid perl operator", "(?="),
            ("(?i", "invalid perl operator", "(?i"),
            ("(?<n>a)", "invalid perl operator", "(?<"),
            ("(?P<n", "invalid named capture group", "(?P<n"),
            ("(?P<a-b>x)", "invalid named capture group", "(?P<a-b>"),
            ("(?P<n>a)(?P<n>b)", "invalid named capture group", "n"),
            ("(a", "missing )", "(a"),
            ("a)", "missing )", "a)"),
            ("*", "no argument for repetition operator", "*"),
            ("(|+?)", "no argument for repetition operator", "+?"),
            ("a**", "bad repetition operator", "**"),
            ("a+?{2}", "bad repetition operator", "+?{2}"),
            ("a{2,1}", "invalid repetition size", "{2,1}"),
            ("a{1001}", "invalid repetition size", "{1001}"),
        ] {
            let fault = compile(pattern).expect_err(pattern);
            assert_eq!(fault, Fault::new(what, portion), "{pattern}");
        }
        let fault = compile(r"a\").expect_err("a backslash alone");
        assert_eq!((fault.portion.as_str(), fault.text.as_str()), ("", "trailing \\"));
    }

    #[test]
    fn whatever_is_accepted_compiles() {
        let parts = [
            "a",
            "é",
            "[",
            "]",
            "^",
            "-",
            "(",
            ")",
            "(?",
            "(?i)",
            "(?:",
            "(?P<n>",
            "|",
            "*",
            "+",
            "?",
            "{2}",
            "{",
            "}",
            ",",
            "\\",
            "\\d",
            "\\B",
            "\\Q",
            "\\E",
            "\\pL",
            "\\p{Greek}",
            "\\x{2603}",
            "[:alpha:]",
            "&&",
            "~~",
            "--",
            "#",
            " ",
            "$",
            ".",
            "1",
            ":",
            "<",
            ">",
            "\\z",
            "\\C",
            "(?-s:",
            "(?U)",
        ];
        let mut random = crate::testing::Random::from_environment();
        for _ in 0..1_000 {
            let pattern: String = (0..random.below(10))
                .filter_map(|_| parts.get(random.below(parts.len() as u64) as usize))
                .copied()
                .collect();
            if let Err(fault) = compile(&pattern) {
                assert!(!fault.text.starts_with("pattern too large"), "{pattern}");
            }
        }
    }

    #[test]
    fn a_pattern_of_many_megabytes_is_refused_unread() {
        let began = std::time::Instant::now();
        let fault = compile(&"a".repeat(64 << 20)).unwrap_err();
        assert_eq!(fault.text, "pattern too large - compile failed");
        assert!(began.elapsed() < std::time::Duration::from_secs(1));
    }
}
