//! `getAll`: the documents with these keys. A key that comes twice gives its document twice.

use photondb_protocol::numbers::TermType;

use crate::datum::{Datum, DatumError, GEOMETRY};
use crate::limits::HASH_ORDER_ROWS;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Effect;
use crate::reql::selection::Selection;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{
    BatchSpec, BoxStream, Budget, IndexRow, IndexRows, NoRows, OnFirstRead, Origin, Pick, Shards,
    Stream, Unreadable, no_origin,
};
use crate::reql::table_ref::{TableIndex, TableRef};
use crate::reql::value::{Val, ValKind};
use crate::table::{Document, IndexRange, PrimaryKey, TableReader};

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
    let table = args.arg(0)?.into_table(args.env)?;
    let index = named_index(args, &table)?;
    let mut keys = Vec::with_capacity(args.len() - 1);
    for i in 1..args.len() {
        let val = args.arg(i)?;
        let at = val.at;
        let key = val.into_datum(args.env)?;
        if matches!(key, Datum::Null) {
            return Err(Error::non_existence("Keys cannot be NULL.").at(at));
        }
        if key.is_pseudo_type(GEOMETRY) {
            let message =
                "Cannot use a geospatial index with `get_all`. Use `get_intersecting` instead.";
            return Err(Error::logic(message).at(at));
        }
        keys.push(key);
    }
    let stream: BoxStream = match index {
        TableIndex::Primary => match keys.iter().map(PrimaryKey::encode).collect() {
            Ok(keys) => Box::new(DocumentsByKey::open(args.env, &table, keys)?),
            Err(first) => {
                let wrong = wrong_key(&keys, first, |key| PrimaryKey::encode(key).err());
                Box::new(Unreadable::new(wrong, args.node.id))
            }
        },
        TableIndex::Secondary(_) if keys.is_empty() => Box::new(NoRows),
        TableIndex::Secondary(name) => {
            // RethinkDB looks for keys in their order, whichever they were given in.
            keys.sort();
            let table = table.clone();
            Box::new(OnFirstRead::new(move |env| by_index(env, &table, &name, &keys)))
        }
    };
    args.val(ValKind::Selection(Selection { table, stream }))
}

/// What is said of keys of which one at least can be none. RethinkDB makes one range of all of them first, so that the
/// ends are judged before the others.
fn wrong_key(
    keys: &[Datum],
    first: DatumError,
    problem: impl Fn(&Datum) -> Option<DatumError>,
) -> DatumError {
    let ends = [keys.iter().min(), keys.iter().max()];
    ends.into_iter().flatten().find_map(problem).unwrap_or(first)
}

fn by_index(env: &Env, table: &TableRef, name: &str, keys: &[Datum]) -> Result<BoxStream> {
    let entry = table.ordered_index(name)?;
    let ranges = keys.iter().map(IndexRange::value).collect::<std::result::Result<_, _>>();
    let ranges =
        ranges.map_err(|first| wrong_key(keys, first, |key| IndexRange::value(key).err()))?;
    let row = IndexRow::Document;
    Ok(Box::new(IndexRows::open(env, table, &entry.index, ranges, None, row)?))
}

/// The index that the option names, or the primary one.
pub fn named_index(args: &Args<'_>, table: &TableRef) -> Result<TableIndex> {
    Ok(index_option(args, table)?.unwrap_or(TableIndex::Primary))
}

/// The index that the option names.
pub fn index_option(args: &Args<'_>, table: &TableRef) -> Result<Option<TableIndex>> {
    Ok(args.optarg_str("index")?.map(|name| table.index_named(&name)))
}

/// Reads documents one key after another at one commit point. Keys without a document are passed over. The documents of
/// a few keys come as RethinkDB would give them: docs/decisions/0009-the-order-of-unordered-rows.md
struct DocumentsByKey {
    table: TableRef,
    reader: TableReader,
    rows: Rows,
    /// Whether rows were asked for: before, RethinkDB does not know that there are none.
    is_begun: bool,
}

enum Rows {
    /// None of them read yet.
    Few(Vec<PrimaryKey>),
    /// They were read.
    Shards(Shards<Document>),
    /// As they come. One document ahead, so that the end is known with the last row.
    Many(Option<Document>, std::vec::IntoIter<PrimaryKey>),
}

impl std::fmt::Debug for DocumentsByKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DocumentsByKey").field("table", &self.table).finish_non_exhaustive()
    }
}

impl DocumentsByKey {
    fn open(env: &Env, table: &TableRef, mut keys: Vec<PrimaryKey>) -> Result<Self> {
        let (table, reader) = (table.clone(), env.stream_reader(table)?);
        // RethinkDB looks for keys in their order, whichever they were given in.
        keys.sort_unstable();
        let is_few = (2..=HASH_ORDER_ROWS).contains(&(keys.len() as u64)) && !table.is_system();
        let rows = if is_few { Rows::Few(keys) } else { Rows::Many(None, keys.into_iter()) };
        let is_begun = matches!(&rows, Rows::Many(_, keys) if keys.len() == 0);
        let mut stream = DocumentsByKey { table, reader, rows, is_begun };
        stream.read_ahead(env)?;
        Ok(stream)
    }

    fn read_ahead(&mut self, env: &Env) -> Result<()> {
        let Rows::Many(ahead, keys) = &mut self.rows else { return Ok(()) };
        for key in keys {
            let found = self.reader.get(&key, env.read_mode());
            *ahead = found.map_err(|error| env.table_error(&self.table, error))?;
            if ahead.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn read_few(&mut self, env: &Env) -> Result<()> {
        let Rows::Few(keys) = &self.rows else { return Ok(()) };
        let mut left = keys.iter();
        let shards = Shards::gather(|| {
            for key in left.by_ref() {
                let found = self.reader.get(key, env.read_mode());
                let found = found.map_err(|error| env.table_error(&self.table, error))?;
                if let Some(document) = found {
                    return Ok(Some((key.clone(), document.json().len(), document.detached())));
                }
            }
            Ok(None)
        })?;
        self.rows = match shards {
            Some(shards) => Rows::Shards(shards),
            None => Rows::Many(None, keys.clone().into_iter()),
        };
        self.read_ahead(env)
    }

    fn next(&mut self, env: &Env, pick: Pick) -> Result<Option<Document>> {
        self.is_begun = true;
        self.read_few(env)?;
        match &mut self.rows {
            Rows::Few(_) => Ok(None),
            Rows::Shards(shards) => Ok(shards.next(pick, env.batch_rows())),
            Rows::Many(ahead, _) => {
                let next = ahead.take();
                if next.is_some() {
                    self.read_ahead(env)?;
                }
                Ok(next)
            }
        }
    }
}

impl Stream for DocumentsByKey {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut budget = Budget::new(batch);
        let mut rows = Vec::new();
        while !budget.is_spent()
            && let Some(document) = self.next(env, batch.pick)?
        {
            let row = document.value();
            budget.take(&row);
            rows.push(row);
        }
        self.table.note_read(rows.len());
        Ok(rows)
    }

    fn shards(&mut self, env: &Env) -> Result<usize> {
        self.read_few(env)?;
        Ok(if let Rows::Shards(shards) = &self.rows { shards.count() } else { 0 })
    }

    fn is_exhausted(&self) -> bool {
        match &self.rows {
            Rows::Few(keys) => keys.is_empty(),
            Rows::Shards(shards) => shards.is_empty(),
            Rows::Many(ahead, _) => self.is_begun && ahead.is_none(),
        }
    }

    fn let_go(&mut self) {
        if let Rows::Many(Some(ahead), _) = &mut self.rows {
            *ahead = ahead.detached();
        }
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        Err(no_origin(false))
    }

    fn is_on_shards(&self) -> bool {
        true
    }

    fn asks_tables(&self) -> bool {
        true
    }
}
