//! Stored documents that turn out to be damaged while a query looks into them: they end it with an error that names them.
//! Knows how values tell of it; must not know what the query does.
//!
//! Values cannot fail: a field of a document is there or not. So a document that cannot be read unwinds to here.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::context::Context;
use super::error::{Error, Result};
use crate::datum::DamagedDocument;
use crate::storage::{Damage, Lost, ReadMode};
use crate::table::{PrimaryKey, Table};

/// Evaluates something; a damaged document is an error of it.
pub fn noticed<T>(context: &Context, evaluate: impl FnOnce() -> Result<T>) -> Result<T> {
    match caught(evaluate) {
        Ok(outcome) => outcome,
        Err(damaged) => Err(Error::op_failed(told(context, &damaged))),
    }
}

/// Computes something, unless a damaged document is in the way.
pub fn caught<T>(compute: impl FnOnce() -> T) -> std::result::Result<T, Box<DamagedDocument>> {
    // What is computed is thrown away with everything it has touched.
    catch_unwind(AssertUnwindSafe(compute)).map_err(|cause| match cause.downcast() {
        Ok(damaged) => damaged,
        Err(other) => resume_unwind(other),
    })
}

/// What is wrong, and with which document of which table. The document only knows itself, so it is looked for by the
/// keys that it would have.
fn told(context: &Context, damaged: &DamagedDocument) -> String {
    let DamagedDocument { document, error } = damaged;
    let state = context.catalog.state();
    for database in state.databases() {
        for entry in database.tables() {
            let table = &entry.table;
            let value = document.field(table.primary_key()).ok().flatten();
            let Some(key) = value.and_then(|value| PrimaryKey::encode(&value).ok()) else {
                continue;
            };
            let reader = table.reader();
            if reader
                .and_then(|reader| reader.get(&key, ReadMode::MayBlock))
                .is_ok_and(|found| found.as_ref() == Some(document))
            {
                note(table, &key, &error.to_string());
                return format!(
                    "Table `{}.{}` is not available: the document with the primary key {key}: {error}",
                    database.name, entry.name
                );
            }
        }
    }
    format!("A stored document cannot be read: {error}")
}

/// Tells those who watch over the server of a document that cannot be read.
pub fn note(table: &Table, key: &PrimaryKey, problem: &str) {
    table.engine().note_damage(Damage {
        tree: table.tree(),
        place: format!("the document with the primary key {key}"),
        problem: problem.to_owned(),
        lost: Lost::Entry(key.as_bytes().clone()),
    });
}

#[cfg(test)]
mod tests {
    use crate::datum::{Datum, StoredObject};
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, Server};
    use crate::storage::{Durability, WriteBatch};
    use crate::table::PrimaryKey;

    const TABLE: &str = r#"[15,[[14,["test"]],"t"]]"#;

    /// With a document under key 1 whose field `n` cannot be read, although its bytes are as they were written.
    fn with_damage() -> Server {
        let server = Server::new();
        server.succeed(r#"[60,["t"]]"#);
        let fields = [("id", Datum::Number(1.0)), ("n", Datum::Null)];
        let sound = StoredObject::encode(&Datum::object(fields)).unwrap();
        let mut bytes = sound.as_bytes().to_vec();
        let end = bytes.len();
        bytes[end - 5..].copy_from_slice(b"nuls}");
        let catalog = &server.context().catalog;
        let table = catalog.state().table("test", "t").unwrap().table.clone();
        let mut batch = WriteBatch::new(Durability::Soft);
        let key = PrimaryKey::encode(&Datum::Number(1.0)).unwrap();
        batch.put(table.tree(), key.as_bytes().clone(), bytes);
        catalog.engine().apply(batch).unwrap();
        server
    }

    #[track_caller]
    fn check(server: &Server, query: &str) {
        let expected = "Table `test.t` is not available: the document with the primary key 1: \
                        damaged document: an unknown word at byte 0";
        match server.run_with(query, "{}") {
            Outcome::Error(ErrorKind::OpFailed, text, _) => assert_eq!(text, expected, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn a_query_that_looks_into_a_damaged_document_names_it() {
        let server = with_damage();
        check(&server, &format!(r#"[170,[[16,[{TABLE},1]],"n"]]"#));
        check(&server, &format!(r#"[92,[[170,[[16,[{TABLE},1]],"n"]],0]]"#));
        check(&server, &format!(r#"[39,[{TABLE},{{"n":1}}]]"#));
        check(&server, &format!(r#"[53,[{TABLE},[69,[[2,[1]],{{"m":[170,[[10,[1]],"n"]]}}]]]]"#));
        server.check(&format!(r#"[170,[[16,[{TABLE},1]],"id"]]"#), "1");
        server.check(&format!("[43,[{TABLE}]]"), "1");
    }

    #[test]
    fn a_damaged_document_can_be_deleted_beside_its_indexes() {
        let server = with_damage();
        let twice = r#"[69,[[2,[1]],[24,[[170,[[10,[1]],"n"]],1]]]]"#;
        server.succeed(&format!(r#"[75,[{TABLE},"twice",{twice}]]"#));
        server.succeed(&format!(r#"[75,[{TABLE},"n"]]"#));
        server.succeed(&format!("[140,[{TABLE}]]"));
        server.check(&format!(r#"[170,[[54,[[16,[{TABLE},1]]]],"deleted"]]"#), "1");
        server.succeed(&format!(r#"[56,[{TABLE},{{"id":1,"n":2}}]]"#));
        server.check(&format!(r#"[78,[{TABLE},3],{{"index":"twice"}}]"#), r#"[{"id":1,"n":2}]"#);
    }
}
