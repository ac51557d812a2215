//! `getAll`: the documents with these keys. A key that comes twice gives its document twice.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::selection::{Selection, TableIndex, TableRef};
use crate::reql::spec::{Arity, Chapter, Effect, TermSpec};
use crate::reql::stream::{BatchSpec, BoxStream, Budget, IndexRow, IndexRows, Stream};
use crate::reql::value::{Val, ValKind};
use crate::storage::Direction;
use crate::table::{IndexRange, PrimaryKey, TableReader};

pub static GET_ALL: TermSpec = TermSpec {
    options: &["index"],
    ..TermSpec::on_tables(
        Effect::Read,
        TermType::GetAll,
        "GET_ALL",
        Chapter::SelectingData,
        Arity::at_least(1),
        get_all,
    )
};

fn get_all(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table()?;
    let index = index_of_keys(args, &table)?;
    let mut keys = Vec::with_capacity(args.len() - 1);
    for i in 1..args.len() {
        let val = args.arg(i)?;
        let at = val.at;
        let key = val.into_datum(args.env)?;
        if matches!(key, Datum::Null) {
            return Err(Error::non_existence("Keys cannot be NULL.").at(at));
        }
        keys.push(key);
    }
    let stream: BoxStream = match index {
        TableIndex::Primary => {
            let keys =
                keys.iter().map(PrimaryKey::encode).collect::<std::result::Result<_, _>>()?;
            Box::new(DocumentsByKey::open(args.env, &table, keys)?)
        }
        TableIndex::Secondary { entry, .. } => {
            let ranges =
                keys.iter().map(IndexRange::value).collect::<std::result::Result<_, _>>()?;
            let (forward, row) = (Direction::Forward, IndexRow::Document);
            Box::new(IndexRows::open(args.env, &table, &entry.index, ranges, forward, row)?)
        }
    };
    args.val(ValKind::Selection(Selection { table, stream }))
}

/// The index that the option names, or the primary one.
pub fn named_index(args: &Args<'_>, table: &TableRef) -> Result<TableIndex> {
    match args.optarg_str("index")? {
        Some(index) => table.index(&index),
        None => Ok(TableIndex::Primary),
    }
}

fn index_of_keys(args: &Args<'_>, table: &TableRef) -> Result<TableIndex> {
    if let Some(name) = args.optarg_str("index")?
        && table.entry.indexes.get(&*name).is_some_and(|entry| entry.definition.geo)
    {
        let message =
            "Cannot use a geospatial index with `get_all`. Use `get_intersecting` instead.";
        return Err(Error::logic(message).at(args.arg(1)?.at));
    }
    named_index(args, table)
}

/// Reads documents one key after another at one commit point. Keys without a document are passed over.
struct DocumentsByKey {
    table: TableRef,
    reader: TableReader,
    keys: std::vec::IntoIter<PrimaryKey>,
    next: Option<Datum>,
}

impl std::fmt::Debug for DocumentsByKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentsByKey").field("table", &self.table).finish_non_exhaustive()
    }
}

impl DocumentsByKey {
    fn open(env: &Env, table: &TableRef, keys: Vec<PrimaryKey>) -> Result<Self> {
        let reader = env.reader(table)?;
        let mut stream =
            DocumentsByKey { table: table.clone(), reader, keys: keys.into_iter(), next: None };
        stream.next = stream.read(env)?;
        Ok(stream)
    }

    fn read(&mut self, env: &Env) -> Result<Option<Datum>> {
        for key in self.keys.by_ref() {
            let found =
                self.reader.get(&key).map_err(|error| env.table_error(&self.table, error))?;
            if let Some(document) = found {
                return Ok(Some(document.value()));
            }
        }
        Ok(None)
    }
}

impl Stream for DocumentsByKey {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut budget = Budget::new(batch);
        let mut rows = Vec::new();
        while !budget.is_spent()
            && let Some(row) = self.next.take()
        {
            budget.take(&row);
            rows.push(row);
            self.next = self.read(env)?;
        }
        self.table.note_read(rows.len());
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.next.is_none()
    }
}
