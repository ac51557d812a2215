//! `eqJoin`: elements paired with the documents of a table whose key they hold.
//!
//! An element without the key, or whose key no document has, is left out.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::function::{Func, Shortcut};
use crate::reql::selection::{TableIndex, TableRef};
use crate::reql::spec::{Arity, Chapter, Cost, Determinism, Effect, Grouping, TermSpec};
use crate::reql::stream::{Rows, Transform};
use crate::reql::terms::selecting_data::named_index;
use crate::reql::value::Val;
use crate::storage::Direction;
use crate::table::{IndexRange, PrimaryKey, TableReader};

use super::pair;

pub static EQ_JOIN: TermSpec = TermSpec {
    grouping: Grouping::Stream,
    cost: Cost::Heavy,
    effect: Effect::Read,
    determinism: Determinism::No,
    forbids_writes: true,
    options: &["index", "ordered"],
    ..TermSpec::pure(TermType::EqJoin, "EQ_JOIN", Chapter::Joins, Arity::exactly(3), eq_join)
};

fn eq_join(args: &Args<'_>) -> Result<Val> {
    let rows = Rows::of(args.arg(0)?, args.env)?;
    let func = args.func(1, Shortcut::GetField)?;
    let table = args.arg(2)?.into_table()?;
    let index = named_index(args, &table)?;
    // Results come in the order of the elements, whether `ordered` asks for it or not.
    let reader = args.env.reader(&table)?;
    rows.transform(args, Box::new(EqJoin { func, table, index, reader }))
}

struct EqJoin {
    func: Func,
    table: TableRef,
    index: TableIndex,
    reader: TableReader,
}

impl std::fmt::Debug for EqJoin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EqJoin").field("table", &self.table).finish_non_exhaustive()
    }
}

impl EqJoin {
    fn by_index(&self, env: &Env, row: &Datum, key: &Datum, out: &mut Vec<Datum>) -> Result<()> {
        let TableIndex::Secondary { entry, .. } = &self.index else { return Ok(()) };
        let failed = |error| env.table_error(&self.table, error);
        let range = IndexRange::value(key)?;
        let scan = self.reader.scan_index(&entry.index, &range, Direction::Forward);
        let mut scan = scan.map_err(failed)?;
        while let Some(found) = scan.next().map_err(failed)? {
            self.table.note_read(1);
            let right = found.document.value();
            out.push(pair(row.clone(), Some(right)));
            env.check_interrupt()?;
        }
        Ok(())
    }
}

impl Transform for EqJoin {
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        let key = match self.func.call_datum(env, std::slice::from_ref(&row)) {
            Ok(Datum::Null) => return Ok(()),
            Ok(key) => key,
            Err(error) if error.kind() == ErrorKind::NonExistence => return Ok(()),
            Err(error) => return Err(error),
        };
        let TableIndex::Primary = &self.index else { return self.by_index(env, &row, &key, out) };
        let key = PrimaryKey::encode(&key)?;
        let found = self.reader.get(&key).map_err(|error| env.table_error(&self.table, error))?;
        if let Some(document) = found {
            self.table.note_read(1);
            let right = document.value();
            out.push(pair(row, Some(right)));
        }
        Ok(())
    }
}
