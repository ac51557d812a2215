//! `current_issues`: what is wrong and will stay so until somebody does something. Its rows have RethinkDB's form; the kinds
//! are those that can be here.

use uuid::Uuid;

use crate::catalog::{Database, TableEntry};
use crate::datum::Datum;
use crate::reql::error::Result;

use super::Look;
use super::trouble::{Trouble, TroubleKind, troubles};

const INDEX_BUILD: &str = "index_build_failed";

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let mut rows: Vec<Datum> = troubles(look.context).into_iter().map(row).collect();
    for database in look.context.catalog.state().databases() {
        for table in database.tables() {
            for (name, entry) in &table.indexes {
                if let Some(problem) = entry.index.problem() {
                    let index = (name.as_str(), entry.index.id());
                    rows.push(index_build(look, (&**database, &**table), index, &problem));
                }
            }
        }
    }
    Ok(rows)
}

/// Of the disk and the data. Such a row is critical when something cannot be read, or nothing can be written.
fn row(trouble: Trouble) -> Datum {
    Datum::object([
        ("critical", Datum::Bool(trouble.kind != TroubleKind::DiskNearlyFull)),
        ("description", trouble.description.into()),
        ("id", trouble.id.into()),
        ("info", trouble.info),
        ("type", trouble.kind.name().into()),
    ])
}

fn index_build(
    look: &Look<'_>,
    (database, table): (&Database, &TableEntry),
    (index, id): (&str, Uuid),
    problem: &str,
) -> Datum {
    let description = format!(
        "The secondary index `{index}` of table `{}.{}` could not be built and cannot be used: {problem}. It is tried again \
         from time to time.",
        database.name, table.name
    );
    let info = Datum::object([
        ("db", look.database(&database.name, database.id)),
        ("error", Datum::string(problem)),
        ("index", index.into()),
        ("table", look.table(table)),
    ]);
    Datum::object([
        ("critical", Datum::Bool(false)),
        ("description", description.into()),
        // The same as long as the issue is there.
        ("id", id.to_string().into()),
        ("info", info),
        ("type", INDEX_BUILD.into()),
    ])
}
