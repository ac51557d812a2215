//! Documents that are written out in a query: brought into the form in which tables keep them as they are compiled.
//! Knows terms as they come and the stored form; must not know tables. What is not plain is left to the compiler.

use std::borrow::Cow;

use photondb_protocol::numbers::TermType;
use photondb_protocol::raw_term::RawTerm;
use photondb_protocol::text::write_string;

use crate::datum::{Datum, Object, REQL_TYPE, StoredObject, number_to_json};
use crate::limits::{ARRAY_LIMIT, DOCUMENT_DEPTH};

type Field<'a> = (Cow<'a, str>, RawTerm<'a>);

/// The object of these fields, unless there is a term in it to be evaluated, a pseudo type, or something wrong.
pub(super) fn document(fields: &[Field<'_>]) -> Option<Datum> {
    let sorted = sorted(fields)?;
    let fields = sorted.into_iter().map(|(name, value)| (&**name, value));
    let stored = StoredObject::of_written(fields, |value, out| {
        write(value, out, DOCUMENT_DEPTH - 1).is_some()
    })?;
    Some(Datum::Object(Object::from_stored(stored)))
}

/// The fields in order, if no name comes twice and none makes a pseudo type of it.
fn sorted<'f, 'a>(fields: &'f [Field<'a>]) -> Option<Vec<&'f Field<'a>>> {
    let mut sorted: Vec<&Field<'_>> = fields.iter().collect();
    sorted.sort_by(|(left, _), (right, _)| left.as_bytes().cmp(right.as_bytes()));
    let is_plain = |pair: &[&Field<'_>]| match pair {
        [left, right] => left.0 != right.0,
        _ => true,
    };
    let no_name_twice = sorted.windows(2).all(is_plain);
    let no_type = fields.iter().all(|(name, _)| name != REQL_TYPE);
    (no_name_twice && no_type).then_some(sorted)
}

/// Appends a value as JSON.
fn write(term: &RawTerm<'_>, out: &mut Vec<u8>, levels: usize) -> Option<()> {
    match term {
        RawTerm::Null => out.extend_from_slice(b"null"),
        RawTerm::Bool(true) => out.extend_from_slice(b"true"),
        RawTerm::Bool(false) => out.extend_from_slice(b"false"),
        RawTerm::Number(number) => number_to_json(*number, out),
        RawTerm::String(text) => write_string(out, text),
        RawTerm::Object(fields) => {
            let below = levels.checked_sub(1)?;
            out.push(b'{');
            for (i, (name, value)) in sorted(fields)?.into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_string(out, name);
                out.push(b':');
                write(value, out, below)?;
            }
            out.push(b'}');
        }
        RawTerm::Term { kind: TermType::MakeArray, args, optargs }
            if optargs.is_empty() && args.len() <= ARRAY_LIMIT =>
        {
            let below = levels.checked_sub(1)?;
            out.push(b'[');
            for (i, value) in args.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write(value, out, below)?;
            }
            out.push(b']');
        }
        RawTerm::Term { .. } => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reql::terms::testing::{Server, check_compile_error, compile};
    use crate::reql::tree::{Node, Op};

    /// The documents of an insert.
    fn documents(query: &str) -> Vec<Node> {
        let program = compile(query, "{}").unwrap();
        let Op::Call(insert) = &program.root().op else { panic!("no call") };
        match &insert.args[1].op {
            Op::Call(array) => array.args.clone(),
            _ => vec![insert.args[1].clone()],
        }
    }

    fn stored(node: &Node) -> Option<String> {
        match &node.op {
            Op::Datum(Datum::Object(object)) => {
                object.stored().map(|stored| String::from_utf8_lossy(stored.json()).into_owned())
            }
            _ => None,
        }
    }

    const TABLE: &str = r#"[15,["t"]]"#;

    #[test]
    fn what_is_written_out_is_stored_as_it_is_compiled() {
        let row = r#"{"b":[2,[1.50,{"z":"\u00e9\n","y":null}]],"a":-0.0,"":true}"#;
        let text = "{\"\":true,\"a\":-0.0,\"b\":[1.5,{\"y\":null,\"z\":\"\u{e9}\\n\"}]}";
        for query in [format!("[56,[{TABLE},{row}]]"), format!("[56,[{TABLE},[2,[{row}]]]]")] {
            let documents = documents(&query);
            assert_eq!(stored(&documents[0]).as_deref(), Some(text), "{query}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_compiler() {
        for row in [
            r#"{"a":[24,[1,2]]}"#,
            r#"{"a":{"$reql_type$":"TIME","epoch_time":1,"timezone":"Z"}}"#,
            r#"{"a":[2,[[103,[]]]]}"#,
        ] {
            assert_eq!(stored(&documents(&format!("[56,[{TABLE},{row}]]"))[0]), None, "{row}");
        }
        // Nor is what is not stored.
        let program = compile(r#"[53,[[15,["t"]],{"a":1}]]"#, "{}").unwrap();
        let Op::Call(update) = &program.root().op else { panic!("no call") };
        assert!(matches!(update.args[1].op, Op::Object(_)));
    }

    #[test]
    fn errors_are_those_of_the_compiler() {
        let twice = format!(r#"[56,[{TABLE},[2,[{{"a":{{"b":1,"b":1}}}}]]]]"#);
        check_compile_error(&twice, "Duplicate object key: b.", r#"[1,0,"a"]"#);
    }

    #[test]
    fn documents_come_back_as_they_were_written() {
        let server = Server::new();
        server.succeed(r#"[57,["d"]]"#);
        server.succeed(r#"[60,[[14,["d"]],"t"]]"#);
        let table = r#"[15,[[14,["d"]],"t"]]"#;
        server
            .succeed(&format!(r#"[56,[{table},[2,[{{"id":1,"x":[2,[1,"\\"]]}},{{"x":{{}}}}]]]]"#));
        server.check(&format!("[16,[{table},1]]"), r#"{"id":1,"x":[1,"\\"]}"#);
        server.check(&format!("[43,[{table}]]"), "2");
        let again = format!(
            r#"[170,[[56,[{table},{{"id":1,"y":2}}],{{"conflict":"update","return_changes":true}}],"changes"]]"#
        );
        let (old, new) = (r#"{"id":1,"x":[1,"\\"]}"#, r#"{"id":1,"x":[1,"\\"],"y":2}"#);
        server.check(&again, &format!(r#"[{{"old_val":{old},"new_val":{new}}}]"#));
    }
}
