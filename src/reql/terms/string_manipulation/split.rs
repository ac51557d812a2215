//! `split`: a string cut at blanks, at a separator, or between characters.

use std::sync::LazyLock;

use photondb_protocol::numbers::TermType;
use regex::Regex;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

/// `string.split([separator[, max_splits]])`
pub static SPLIT: TermSpec = TermSpec::pure(
    TermType::Split,
    "SPLIT",
    Chapter::StringManipulation,
    Arity::between(1, 3),
    split,
);

fn split(args: &Args<'_>) -> Result<Val> {
    let text = args.str(0)?;
    let separator = if args.len() > 1 { args.datum(1)? } else { Datum::Null };
    let separator = match &separator {
        Datum::Null => None,
        other => Some(other.as_str()?.clone()),
    };
    let most = if args.len() > 2 { limit(args)? } else { usize::MAX };
    let mut pieces: Vec<Datum> = Vec::new();
    // A long text has millions of them: each is counted when it is cut, and more than an array may have are not cut.
    let mut take = |piece: &str| {
        args.env.check_interrupt()?;
        args.env.check_array_size(pieces.len() + 1)?;
        pieces.push(Datum::string(piece));
        Ok(())
    };
    match separator.as_deref() {
        None => at_blanks(&text, most, &mut take)?,
        Some("") => characters(&text, most, &mut take)?,
        Some(separator) => {
            text.splitn(most.saturating_add(1), separator).try_for_each(&mut take)?;
        }
    }
    args.value(pieces)
}

/// Takes the next piece.
type Take<'a> = &'a mut dyn FnMut(&str) -> Result<()>;

/// After how many pieces the rest stays whole.
fn limit(args: &Args<'_>) -> Result<usize> {
    let limit = args.integer(2)?;
    let most = args.env.array_limit().saturating_sub(1);
    match usize::try_from(limit) {
        Ok(limit) if limit <= most => Ok(limit),
        Err(_) if limit == -1 => Ok(usize::MAX),
        _ => Err(Error::logic(format!(
            "Error: `split` size argument must be in range [-1, {most}]."
        ))),
    }
}

fn at_blanks(text: &str, most: usize, take: Take<'_>) -> Result<()> {
    let (mut taken, mut rest) = (0, text);
    loop {
        let blank = if taken == most { None } else { rest.find(char::is_whitespace) };
        let (piece, after) = match blank {
            // The rest keeps the blanks within it and behind it.
            None => (rest.trim_start(), None),
            Some(at) => {
                let (piece, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
                let mut after = after.chars();
                after.next();
                (piece, Some(after.as_str()))
            }
        };
        if !piece.is_empty() {
            take(piece)?;
            taken += 1;
        }
        match after {
            Some(after) => rest = after,
            None => return Ok(()),
        }
    }
}

/// Each character with the combining ones after it.
fn characters(text: &str, most: usize, take: Take<'_>) -> Result<()> {
    // The pattern is a constant that the tests below compile.
    static CHARACTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?s).\p{M}*").ok());
    let Some(character) = CHARACTER.as_ref() else { return take(text) };
    let mut end = 0;
    for found in character.find_iter(text).take(most) {
        take(found.as_str())?;
        end = found.end();
    }
    match text.get(end..) {
        Some(rest) if !rest.is_empty() => take(rest),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, check, check_error, run_with};

    #[test]
    fn at_blanks() {
        check(r#"[149,[" foo  bar "]]"#, r#"["foo","bar"]"#);
        check(r#"[149,[" foo  bar baz ",null,1]]"#, r#"["foo","bar baz "]"#);
        check(r#"[149,[" foo  bar ",null,0]]"#, r#"["foo  bar "]"#);
        check(r#"[149,["  "]]"#, "[]");
        check("[149,[\"a\u{a0}b\u{2003}c\"]]", r#"["a","b","c"]"#);
    }

    #[test]
    fn at_a_separator() {
        check(r#"[149,["a,b,,c,",","]]"#, r#"["a","b","","c",""]"#);
        check(r#"[149,["a,b,,c,",",",2]]"#, r#"["a","b",",c,"]"#);
        check(r#"[149,["a,b",",",0]]"#, r#"["a,b"]"#);
        check(r#"[149,["",","]]"#, r#"[""]"#);
    }

    #[test]
    fn between_characters() {
        check(r#"[149,["e\u0301a",""]]"#, r#"["e\u0301","a"]"#);
        check(r#"[149,["abc","",1]]"#, r#"["a","bc"]"#);
        check(r#"[149,["",""]]"#, "[]");
        check(r#"[149,["abc","",3]]"#, r#"["a","b","c"]"#);
    }

    #[test]
    fn no_more_is_cut_than_an_array_may_have() {
        let text = "Array over size limit `2`.  To raise the number of allowed elements, modify the `array_limit` \
                    option to `.run` (not available in the Data Explorer), or use an index.";
        for query in [r#"[149,["abc",""]]"#, r#"[149,["a b c"]]"#, r#"[149,["a,b,c",","]]"#] {
            match run_with(query, r#"{"array_limit":2}"#) {
                Outcome::Error(ErrorKind::ResourceLimit, found, _) => assert_eq!(found, text),
                other => panic!("{query}: {other:?}"),
            }
        }
        check(r#"[149,["a,b,c",",",1]]"#, r#"["a","b,c"]"#);
    }

    #[test]
    fn faults() {
        let logic = |query: &str, text: &str, path: &str| {
            check_error(query, ErrorKind::Logic, text, path);
        };
        logic(r#"[149,["a",5]]"#, "Expected type STRING but found NUMBER.", "[]");
        logic(r#"[149,["a"," ",1.5]]"#, "Number not an integer: 1.5", "[2]");
        let text = "Error: `split` size argument must be in range [-1, 99999].";
        logic(r#"[149,["a"," ",-2]]"#, text, "[]");
        logic(r#"[149,["a"," ",100000]]"#, text, "[]");
    }
}
