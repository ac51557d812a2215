//! `eqJoin`: elements paired with the documents of a table whose key they hold.
//!
//! An element without the key, or whose key no document has, is left out.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::function::{Func, Shortcut};
use crate::reql::selection::TableRef;
use crate::reql::spec::{Arity, Chapter, Cost, Determinism, Effect, Grouping, TermSpec};
use crate::reql::stream::{Rows, Transform};
use crate::reql::terms::selecting_data::check_index;
use crate::reql::value::Val;
use crate::table::{PrimaryKey, TableReader};

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
    check_index(args, &table)?;
    // Results come in the order of the elements, whether `ordered` asks for it or not.
    let reader = args.env.reader(&table)?;
    rows.transform(args, Box::new(EqJoin { func, table, reader }))
}

struct EqJoin {
    func: Func,
    table: TableRef,
    reader: TableReader,
}

impl std::fmt::Debug for EqJoin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EqJoin").field("table", &self.table).finish_non_exhaustive()
    }
}

impl Transform for EqJoin {
    fn apply(&self, env: &Env, row: Datum, out: &mut Vec<Datum>) -> Result<()> {
        let key = match self.func.call_datum(env, std::slice::from_ref(&row)) {
            Ok(Datum::Null) => return Ok(()),
            Ok(key) => PrimaryKey::encode(&key)?,
            Err(error) if error.kind() == ErrorKind::NonExistence => return Ok(()),
            Err(error) => return Err(error),
        };
        let found = self.reader.get(&key).map_err(|error| env.table_error(&self.table, error))?;
        if let Some(document) = found {
            let right = env.decode(&self.table, &document)?;
            out.push(pair(row, Some(right)));
        }
        Ok(())
    }
}
