//! Rules about one file at a time, and the rule of one row a term.

use std::collections::BTreeMap;

use crate::source::{Source, item_end};

/// Above this a file is split by meaning.
const LONGEST: usize = 900;
/// What code that ships must not contain. Written in two halves, so that this list does not find itself.
const FORBIDDEN: [(&str, &str); 8] = [
    (concat!("todo", "!("), "finish it, or answer that it is not supported"),
    (concat!("unimplemented", "!("), "finish it, or answer that it is not supported"),
    (concat!(".unwrap", "()"), "give a typed error"),
    (concat!("#[al", "low("), "use #[expect(lint, reason = ..)]"),
    (concat!("#![al", "low("), "use #![expect(lint, reason = ..)]"),
    (concat!("println", "!("), "log with tracing, or write to a named output"),
    (concat!("dbg", "!("), "remove it"),
    (concat!("uns", "afe "), "there is none in this tree"),
];
/// Where printing is the purpose: the command line, and the tools that judge from outside.
const MAY_PRINT: [&str; 3] = ["src/cli/", "src/main.rs", "compat-tests/"];
/// Where the binding of another engine cannot be called otherwise. The server does not contain it.
const MAY_BE_UNSAFE: &str = "compat-tests/benches/engines/src/stores/lmdb.rs";
/// Where the rows of the term registry are written, and how one begins.
const ROWS: &str = "src/reql/terms/";
const ROW: &str = ": TermSpec =";
const TERM: &str = "TermType::";

/// The file opens by saying what it is.
pub fn head(source: &Source) -> Vec<String> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![format!("{}: opens without `//!`", source.path)]
}

/// The file is short enough to be read.
pub fn length(source: &Source) -> Vec<String> {
    let lines = source.shipped_lines();
    if lines <= LONGEST {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines without tests, more than {LONGEST}", source.path)]
}

/// Nothing unfinished, unsafe or excused without a reason; no test is switched off.
pub fn forbidden(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for (needle, instead) in FORBIDDEN {
        let prints = needle.starts_with("print");
        if prints && MAY_PRINT.iter().any(|place| source.path.starts_with(place)) {
            continue;
        }
        if needle.starts_with("unsafe") && source.path == MAY_BE_UNSAFE {
            continue;
        }
        for (at, _) in source.shipped().match_indices(needle) {
            complaints.push(format!("{}: `{needle}`: {instead}", source.place(at)));
        }
    }
    // tests are held to these as well
    for (at, _) in source.code.match_indices(concat!("#[ig", "nore")) {
        complaints.push(format!("{}: a test that never runs", source.place(at)));
    }
    for opening in [concat!("#[exp", "ect("), concat!("#![exp", "ect(")] {
        for (at, _) in source.code.match_indices(opening) {
            if !gives_reason(source, at) {
                complaints.push(format!("{}: an exception without a reason", source.place(at)));
            }
        }
    }
    complaints
}

/// The rows of the registry: each row's term, and where it is written.
pub fn rows(sources: &[Source]) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with(ROWS)) {
        let code = source.shipped();
        for (at, _) in code.match_indices(ROW) {
            let item = code.get(at..item_end(code, at)).unwrap_or_default();
            let term = item.split_once(TERM).map_or("", |(_, after)| after);
            let end = term.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(term.len());
            rows.push((term.get(..end).unwrap_or_default().to_owned(), source.place(at)));
        }
    }
    rows
}

/// Each term of the wire has one row.
pub fn one_row_each(rows: Vec<(String, String)>) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (term, place) in rows {
        places.entry(term).or_default().push(place);
    }
    let twice = places.into_iter().filter(|(term, places)| term.is_empty() || places.len() > 1);
    twice.map(|(term, places)| format!("{} rows of {term:?}: {places:?}", places.len())).collect()
}

/// True when the attribute at `at` carries a text after `reason =`.
fn gives_reason(source: &Source, at: usize) -> bool {
    let end = source.code.get(at..).and_then(|code| code.find(")]")).unwrap_or_default();
    let attribute = source.text.get(at..at + end).unwrap_or_default();
    let reason = attribute.split_once("reason").map(|(_, reason)| reason.trim_start());
    let reason = reason.and_then(|reason| reason.strip_prefix('='));
    reason.is_some_and(|reason| reason.trim().trim_matches('"').trim().len() > 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Source) -> Vec<String>, text: &str) -> usize {
        rule(&Source::new("src/a.rs", text)).len()
    }

    #[test]
    fn a_file_without_a_head() {
        assert_eq!(found(head, "//! What it is.\n"), 0);
        assert_eq!(found(head, "use std::io;\n//! Late.\n"), 1);
        assert_eq!(found(head, "//!\n"), 1);
    }

    #[test]
    fn a_long_file() {
        let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"    f();\n".repeat(900) + "}\n";
        assert_eq!(found(length, &("fn f();\n".repeat(900) + &tests)), 0);
        assert_eq!(found(length, &"fn f();\n".repeat(901)), 1);
    }

    #[test]
    fn forbidden_words() {
        assert_eq!(found(forbidden, concat!("fn f() { to", "do!() }")), 1);
        assert_eq!(found(forbidden, concat!("fn f() { g().unw", "rap() }")), 1);
        assert_eq!(found(forbidden, concat!("#[al", "low(dead_code)]")), 1);
        assert_eq!(found(forbidden, concat!("#![al", "low(dead_code)]")), 1);
        assert_eq!(
            found(forbidden, "// todo!() and .unwrap() in words\nconst A: &str = \"todo!(\";"),
            0
        );
    }

    #[test]
    fn unsafe_code_has_one_place() {
        let text = concat!("fn f() { uns", "afe { g() } }");
        assert_eq!(found(forbidden, text), 1);
        assert_eq!(forbidden(&Source::new(MAY_BE_UNSAFE, text)).len(), 0);
    }

    #[test]
    fn tests_may_unwrap_but_not_be_switched_off() {
        let test = |body: &str| format!("#[cfg(test)]\nmod tests {{ {body} }}");
        assert_eq!(found(forbidden, &test("a().unwrap();")), 0);
        assert_eq!(found(forbidden, &test(concat!("#[ig", "nore]"))), 1);
    }

    #[test]
    fn an_exception_needs_a_reason() {
        let expect = concat!("#[exp", "ect(dead_code");
        assert_eq!(found(forbidden, &format!("{expect})]")), 1);
        assert_eq!(found(forbidden, &format!("{expect}, reason = \"\")]")), 1);
        assert_eq!(found(forbidden, &format!("{expect}, reason = \"read by the (macro)\")]")), 0);
        assert_eq!(found(forbidden, &format!("{expect},\n  reason = \"read later\"\n)]")), 0);
    }

    #[test]
    fn two_rows_of_one_term() {
        let row = |path: &str, term: &str| {
            let text = format!("pub static A{ROW} row({TERM}{term}, |args| {{ {TERM}Other; }});");
            Source::new(path, &text)
        };
        let (one, two) = (row("src/reql/terms/a.rs", "Add"), row("src/reql/terms/b.rs", "AddTo"));
        let found = rows(&[one, two]);
        assert_eq!(found.iter().map(|(term, _)| term).collect::<Vec<_>>(), ["Add", "AddTo"]);
        assert!(one_row_each(found).is_empty());
        let (one, again) = (row("src/reql/terms/a.rs", "Add"), row("src/reql/terms/c.rs", "Add"));
        assert_eq!(one_row_each(rows(&[one, again])).len(), 1);
        let nameless = Source::new("src/reql/terms/a.rs", "static A: TermSpec = row();");
        assert_eq!(one_row_each(rows(&[nameless])).len(), 1);
    }
}
