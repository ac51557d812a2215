//! `r.format`: a text with the fields of an object put in the place of their names.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::Val;

/// `r.format("{name}", object)`
pub static FORMAT: TermSpec = TermSpec::pure(
    TermType::Format,
    "FORMAT",
    Chapter::StringManipulation,
    Arity::exactly(2),
    format_term,
);

fn format_term(args: &Args<'_>) -> Result<Val> {
    let template = args.str(0)?;
    let values = args.datum(1)?;
    let mut out = String::with_capacity(template.len());
    let mut rest = template.as_ref();
    while let Some((text, after)) = rest.split_once('{') {
        out.push_str(text);
        let Some((name, after)) = after.split_once('}') else {
            return Err(Error::logic("Parameter tag must be closed"));
        };
        if name.contains('{') {
            return Err(Error::logic("Nested template parameters are not allowed"));
        }
        match values.get_or_error(name)? {
            Datum::String(text) => out.push_str(text),
            other => {
                other.check_json()?;
                out.push_str(&other.to_json());
            }
        }
        rest = after;
    }
    out.push_str(rest);
    args.value(Datum::from(out))
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn names_become_values() {
        let values = r#"{"a":1,"b":"two","c":[2,[1,null]]}"#;
        check(&format!(r#"[197,["<{{a}} {{b}}> {{c}}",{values}]]"#), r#""<1 two> [1,null]""#);
        check(r#"[197,["plain",5]]"#, r#""plain""#);
    }

    #[test]
    fn faults() {
        let text = "Nested template parameters are not allowed";
        check_error(r#"[197,["{{a}}",{"a":1}]]"#, ErrorKind::Logic, text, "[]");
        let text = "No attribute `b` in object:\n{\n\t\"a\":\t1\n}";
        check_error(r#"[197,["{b}",{"a":1}]]"#, ErrorKind::NonExistence, text, "[]");
        let text = "Expected type OBJECT but found NUMBER.";
        check_error(r#"[197,["{b}",5]]"#, ErrorKind::Logic, text, "[]");
        check_error(r#"[197,["{b",5]]"#, ErrorKind::Logic, "Parameter tag must be closed", "[]");
    }
}
