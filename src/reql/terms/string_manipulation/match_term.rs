//! `match`: the first place where a regular expression fits a string.

use photondb_protocol::numbers::TermType;
use regex::bytes::Match;

use crate::datum::Datum;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

use super::compiled::compiled;

/// `string.match(regexp)`
pub static MATCH: TermSpec = TermSpec::pure(
    TermType::Match,
    "MATCH",
    Chapter::StringManipulation,
    Arity::exactly(2),
    match_term,
);

fn match_term(args: &Args<'_>) -> Result<Val> {
    let text = args.str(0)?;
    let regex = compiled(args.env, &args.str(1)?)?;
    let Some(groups) = regex.captures(text.as_bytes()) else {
        return args.value(Datum::Null);
    };
    let groups: Vec<Option<Match<'_>>> = groups.iter().collect();
    let Some((Some(whole), groups)) = groups.split_first() else {
        return args.value(Datum::Null);
    };
    let groups = groups.iter().map(|group| match group {
        Some(group) => Datum::object(place(group)),
        None => Datum::Null,
    });
    let groups = ("groups", Datum::array(groups.collect()));
    args.value(Datum::object(place(whole).into_iter().chain([groups])))
}

/// Where a group was found, in bytes, and what it holds.
fn place(found: &Match<'_>) -> [(&'static str, Datum); 3] {
    [
        ("str", Datum::string(&String::from_utf8_lossy(found.as_bytes()))),
        ("start", Datum::Number(found.start() as f64)),
        ("end", Datum::Number(found.end() as f64)),
    ]
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn the_first_match_with_its_groups() {
        check(r#"[97,["foo bar","x"]]"#, "null");
        check(
            r#"[97,["foo bar","(?P<a>b)|(c)"]]"#,
            r#"{"str":"b","start":4,"end":5,"groups":[{"str":"b","start":4,"end":5},null]}"#,
        );
        check(r#"[97,["İs","(?s).*"]]"#, r#"{"str":"İs","start":0,"end":3,"groups":[]}"#);
    }

    #[test]
    fn faults_name_the_portion() {
        let logic = |query: &str, text: &str, path: &str| {
            check_error(query, ErrorKind::Logic, text, path);
        };
        let text = "Error in regexp `(a)\\1` (portion `\\1`): invalid escape sequence: \\1";
        logic(r#"[97,["","(a)\\1"]]"#, text, "[]");
        logic("[97,[1,2]]", "Expected type STRING but found NUMBER.", "[0]");
        logic(r#"[97,["",2]]"#, "Expected type STRING but found NUMBER.", "[1]");
    }
}
