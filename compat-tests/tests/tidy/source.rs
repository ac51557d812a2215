//! A Rust file with its comments, literals and tests blanked out, so that rules see only code that ships.
//! Line and column of everything else stay as they are. Must not know rules.

/// One Rust file.
pub struct Source {
    /// Path from the top of the tree.
    pub path: String,
    /// The whole text.
    pub text: String,
    /// The text with comments and the insides of literals turned into spaces.
    pub code: String,
    /// `code` without what is compiled for tests only.
    pub shipped: String,
    /// True when the whole file is compiled for tests only.
    pub is_test: bool,
}

impl Source {
    /// Reads `text` as the file `path`.
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank_comments_and_literals(text);
        let shipped = blank_tests(&code);
        let is_test = path.contains("/tests/") || path.ends_with("/tests.rs");
        Self { path: path.into(), text: text.into(), code, shipped, is_test }
    }

    /// Code that ships: nothing of a test file.
    pub fn shipped(&self) -> &str {
        if self.is_test { "" } else { &self.shipped }
    }

    /// `path:line` of a byte position.
    pub fn place(&self, position: usize) -> String {
        let before = self.text.get(..position).unwrap_or_default();
        format!("{}:{}", self.path, before.matches('\n').count() + 1)
    }

    /// Lines that are not compiled for tests only.
    pub fn shipped_lines(&self) -> usize {
        if self.is_test {
            return 0;
        }
        let both = self.code.lines().zip(self.shipped.lines());
        both.filter(|(code, shipped)| code.trim().is_empty() || !shipped.trim().is_empty()).count()
    }

    /// Folders and file names that a `#[cfg(test)] mod name;` of this file declares.
    fn test_modules(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let folder = match name {
            "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let mut found = Vec::new();
        for (start, _) in self.code.match_indices(TEST_ATTRIBUTE) {
            let item = self.code.get(start..item_end(&self.code, start)).unwrap_or_default();
            let words: Vec<&str> = item.split_whitespace().collect();
            if let Some(at) = words.iter().position(|word| *word == "mod")
                && let Some(module) = words.get(at + 1).and_then(|word| word.strip_suffix(';'))
            {
                found.push(format!("{folder}/{module}.rs"));
                found.push(format!("{folder}/{module}/"));
            }
        }
        found
    }
}

/// Marks the files that some other file declares with `#[cfg(test)] mod name;`.
pub fn mark_test_files(sources: &mut [Source]) {
    let declared: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in sources {
        source.is_test |= declared.iter().any(|path| match path.ends_with('/') {
            true => source.path.starts_with(path.as_str()),
            false => source.path == *path,
        });
    }
}

const TEST_ATTRIBUTE: &str = "#[cfg(test)]";

/// Blanks every item under `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    let mut shipped = code.to_owned();
    while let Some(start) = shipped.find(TEST_ATTRIBUTE) {
        let end = item_end(&shipped, start);
        let blank = blanked(shipped.get(start..end).unwrap_or_default());
        shipped.replace_range(start..end, &blank);
    }
    shipped
}

/// Where the item that begins at `start` ends: after its `;` or its closing brace.
pub fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' if depth <= 1 => return offset + 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// Spaces in place of everything but line ends; the length in bytes stays.
fn blanked(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

fn blank_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (length, blank) = token(rest, code.chars().next_back());
        let length = length.max(next.len_utf8()).min(rest.len());
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if blank {
            code.push_str(&blanked(piece));
        } else {
            code.push_str(piece);
        }
        rest = after;
    }
    code
}

/// Length of the piece at the start of `rest`, and whether it is a comment or literal.
fn token(rest: &str, before: Option<char>) -> (usize, bool) {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), true)
    } else if rest.starts_with("/*") {
        (block_comment(rest), true)
    } else if rest.starts_with('"') {
        (quoted(rest, 1), true)
    } else if !in_word && (rest.starts_with("b\"") || rest.starts_with("c\"")) {
        (quoted(rest, 2), true)
    } else if !in_word && let Some(length) = raw_string(rest) {
        (length, true)
    } else if rest.starts_with('\'') {
        character(rest)
    } else {
        (1, false)
    }
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// A string whose first quote ends at `start`.
fn quoted(rest: &str, start: usize) -> usize {
    let mut escaped = false;
    for (offset, byte) in rest.bytes().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return offset + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after.get(hashes..)?.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let body = rest.len() - after.len() + hashes + 1;
    let found = rest.get(body..)?.find(&end)?;
    Some(body + found + end.len())
}

/// A character literal, or the quote of a lifetime.
fn character(rest: &str) -> (usize, bool) {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            let close = rest.get(from..).and_then(|tail| tail.find('\''));
            (close.map_or(1, |close| from + close + 1), true)
        }
        (Some(_), Some((at, '\''))) => (at + 1, true),
        _ => (1, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(text: &str) -> String {
        Source::new("src/a.rs", text).shipped.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_blank() {
        assert_eq!(shipped("a // b \"\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(shipped(r##"x("a\"b", b"c", r#"d"e"#, 'f', '\'', '"') y"##), "x( , , , , , ) y");
        assert_eq!(shipped("fn a<'b>(c: &'b str) {}"), "fn a<'b>(c: &'b str) {}");
        assert_eq!(shipped("ä(\"ö\") 'ü'"), "ä( )");
    }

    #[test]
    fn tests_are_blank_wherever_they_stand() {
        let text = "fn a() {}\n#[cfg(test)]\nfn b() { if c { d } }\nfn e() {}\n#[cfg(test)]\nmod tests {\n f(); }\n";
        assert_eq!(shipped(text), "fn a() {} fn e() {}");
        assert_eq!(shipped("#[cfg(test)]\nmod tests;\nfn a() {}"), "fn a() {}");
        let text = "//! Head.\n\nfn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(Source::new("src/a.rs", text).shipped_lines(), 3);
    }

    #[test]
    fn a_file_declared_for_tests_is_a_test_file() {
        let mut sources = [
            Source::new("src/a/mod.rs", "#[cfg(test)]\nmod checks;\nmod b;"),
            Source::new("src/a/checks.rs", ""),
            Source::new("src/a/checks/deep.rs", ""),
            Source::new("src/a/b.rs", "#[cfg(test)]\npub(crate) mod help;"),
            Source::new("src/a/b/help.rs", ""),
        ];
        mark_test_files(&mut sources);
        assert_eq!(sources.map(|source| source.is_test), [false, true, true, false, true]);
    }
}
