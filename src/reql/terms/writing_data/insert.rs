//! `insert`: puts new documents into a table; `conflict` says what happens where one is already.

use photondb_protocol::numbers::TermType;
use uuid::Uuid;

use crate::datum::{Datum, DatumType};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{BatchSpec, next_rows};
use crate::reql::value::{Val, ValKind};
use crate::table::PrimaryKey;

use super::apply::{Replacing, Writer};
use super::options::{ReturnChanges, WriteOptions};
use super::summary::Summary;

pub static INSERT: TermSpec = TermSpec {
    options: &["conflict", "durability", "return_changes", "return_vals", "ignore_write_hook"],
    forbids_writes: true,
    ..TermSpec::on_tables(
        Effect::Write,
        TermType::Insert,
        "INSERT",
        Chapter::WritingData,
        Arity::exactly(2),
        insert,
    )
};

/// What happens where a document is already.
enum Conflict {
    Error,
    Replace,
    Update,
    /// The function gets the key, the old and the new document.
    Resolve(Func),
}

fn insert(args: &Args<'_>) -> Result<Val> {
    let env = args.env;
    let table = args.arg(0)?.into_table(args.env)?;
    let return_changes = ReturnChanges::read(args)?;
    let conflict = conflict(args)?;
    let options = WriteOptions::with_changes(args, return_changes)?;
    let replacing = Replacing { options, apart: false };
    let mut job = Job {
        env,
        conflict,
        writer: Writer::of(args, table, replacing)?,
        summary: Summary::new(return_changes),
    };
    let documents = args.arg(1)?;
    let single = matches!(&documents.kind, ValKind::Datum(Datum::Object(_)));
    if single {
        job.insert(vec![documents.into_datum(env)?])?;
    } else {
        let mut stream = documents.into_stream(env)?;
        if stream.is_infinite() {
            return Err(Error::logic("Cannot insert an infinite stream."));
        }
        while !stream.is_exhausted() {
            job.insert(next_rows(stream.as_mut(), env, &BatchSpec::TERMINAL.in_turn())?)?;
        }
    }
    let summary = job.summary.into_datum(env);
    args.value(summary)
}

fn conflict(args: &Args<'_>) -> Result<Conflict> {
    let Some(val) = args.optarg("conflict")? else { return Ok(Conflict::Error) };
    if matches!(val.kind, ValKind::Func(_)) {
        let func = val.into_func(Shortcut::None, args.env)?;
        if !func.varies().is_fixed_in_query() {
            return Err(Error::logic(
                "The conflict function passed to `insert` must be deterministic.",
            ));
        }
        // A function without parameters takes any number of arguments.
        if func.arity().is_some_and(|arity| arity != 0 && arity != 3) {
            return Err(Error::logic(
                "The conflict function passed to `insert` should expect 3 arguments.",
            ));
        }
        return Ok(Conflict::Resolve(func));
    }
    let at = val.at;
    match &*val.str(args.env)? {
        "error" => Ok(Conflict::Error),
        "replace" => Ok(Conflict::Replace),
        "update" => Ok(Conflict::Update),
        other => Err(Error::logic(format!(
            "Conflict option `{other}` unrecognized (options are \"error\", \"replace\" and \"update\")."
        ))
        .at(at)),
    }
}

struct Job<'a> {
    env: &'a Env,
    conflict: Conflict,
    writer: Writer<'a>,
    summary: Summary,
}

impl Job<'_> {
    fn insert(&mut self, rows: Vec<Datum>) -> Result<()> {
        let mut keys = Vec::with_capacity(rows.len());
        let mut documents = Vec::with_capacity(rows.len());
        let mut generated = Vec::with_capacity(rows.len());
        let mut all_placed = true;
        for row in rows {
            match self.place(row) {
                Ok(placed) => {
                    keys.push(placed.key);
                    documents.push(placed.document);
                    generated.push(placed.is_generated);
                }
                Err(error) => {
                    self.summary.add_unplaced(self.env, error, all_placed);
                    all_placed = false;
                }
            }
        }
        let (env, conflict) = (self.env, &self.conflict);
        let primary_key = self.writer.table.table.primary_key().clone();
        let replacer = |at: usize, old: &Datum| {
            let new: &Datum =
                documents.get(at).ok_or_else(|| Error::internal("A row without a number."))?;
            resolve(env, conflict, &primary_key, old, new)
        };
        self.writer.insert(&keys, &generated, &replacer, &mut self.summary)
    }

    /// The key of a new document, made when it has none.
    fn place(&mut self, row: Datum) -> Result<Placed> {
        let primary_key = self.writer.table.table.primary_key();
        let Datum::Object(object) = row else {
            return Err(row.type_error(DatumType::Object).into());
        };
        match object.field(primary_key) {
            Some(value) => Ok(Placed {
                key: PrimaryKey::encode(&value)?,
                document: Datum::Object(object),
                is_generated: false,
            }),
            None => {
                let made = Datum::from(Uuid::new_v4().to_string());
                let key = PrimaryKey::encode(&made)?;
                self.summary.add_generated_key(self.env, made.clone());
                let document = Datum::Object(object.with(primary_key.clone(), made));
                Ok(Placed { key, document, is_generated: true })
            }
        }
    }
}

/// A new document and its key.
struct Placed {
    key: PrimaryKey,
    document: Datum,
    is_generated: bool,
}

fn resolve(
    env: &Env,
    conflict: &Conflict,
    primary_key: &str,
    old: &Datum,
    new: &Datum,
) -> Result<Datum> {
    if matches!(old, Datum::Null) {
        return Ok(new.clone());
    }
    match conflict {
        Conflict::Error => Err(Error::logic(format!(
            "Duplicate primary key `{primary_key}`:\n{}\n{}",
            old.truncated_print(),
            new.truncated_print()
        ))),
        Conflict::Replace => Ok(new.clone()),
        Conflict::Update => merge_document(old, new),
        Conflict::Resolve(func) => {
            // The key's name, as RethinkDB has it, although its documentation promises the key.
            let name = Datum::string(primary_key);
            func.call_datum(env, &[name, old.clone(), new.clone()])
        }
    }
}

/// A document with changes merged into it, as `update` and `conflict: "update"` do. A change that is no object takes
/// the document's place, and is refused there.
pub(super) fn merge_document(old: &Datum, change: &Datum) -> Result<Datum> {
    match change {
        Datum::Object(_) => Ok(crate::datum::merge(old, change)?),
        other => Ok(other.clone()),
    }
}
