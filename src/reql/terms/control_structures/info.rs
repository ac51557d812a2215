//! `info`: what is known of a result: its type, and what is behind it.

use std::ops::Bound;
use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::catalog::SYSTEM_DATABASE;
use crate::datum::{Datum, ObjectBuilder};
use crate::limits::HASH_ORDER_ROWS;
use crate::reql::env::Env;
use crate::reql::error::Result;
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Effect};
use crate::reql::named_uuid::{system_database_id, system_table_id};
use crate::reql::print;
use crate::reql::selection::TableVal;
use crate::reql::spec::{Arity, Chapter, Grouping, TermSpec};
use crate::reql::table_ref::TableRef;
use crate::reql::value::{Val, ValKind};
use crate::storage::{Direction, KeyRange, ReadMode};
use crate::table::{HASH_SHARDS, TableError, TableReader};

use super::type_of::type_name;

/// `value.info()`
pub static INFO: TermSpec = TermSpec {
    grouping: Grouping::Whole,
    effect: Effect::Read,
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Info,
        "INFO",
        Chapter::ControlStructures,
        Arity::exactly(1),
        |args: &Args<'_>| args.value(info(args.env, &args.arg(0)?)?),
    )
};

fn info(env: &Env, val: &Val) -> Result<Datum> {
    let mut fields = Fields::typed(&type_name(val));
    match &val.kind {
        ValKind::Datum(Datum::Null | Datum::MinVal | Datum::MaxVal) => {}
        ValKind::Datum(datum) => {
            if let Datum::Binary(bytes) = datum {
                fields.set("count", Datum::Number(bytes.len() as f64));
            }
            fields.set("value", datum.try_print()?.into());
        }
        ValKind::Func(func) => fields.set("source_code", print::source(func).into()),
        ValKind::Database(database) => return database_info(env, &database.name),
        ValKind::Table(table) if table.is_slice() => slice(env, table, &mut fields)?,
        ValKind::Table(table) => return table_info(env, &table.table),
        ValKind::Selection(selection) => fields.set("table", table_info(env, &selection.table)?),
        ValKind::SingleSelection(single) => fields.set("table", table_info(env, &single.table)?),
        ValKind::Sequence(_) | ValKind::Grouped(_) | ValKind::GroupedStream(_) => {}
    }
    Ok(fields.build())
}

fn database_info(env: &Env, name: &str) -> Result<Datum> {
    let state = env.context.catalog.state();
    let id = match state.database(name) {
        Ok(database) => Datum::from(database.id.0.to_string()),
        Err(_) if name == SYSTEM_DATABASE => system_database_id(name)?.to_string().into(),
        // It was dropped since the query found it.
        Err(_) => Datum::Null,
    };
    let mut fields = Fields::typed("DB");
    fields.set("name", name.into());
    fields.set("id", id);
    Ok(fields.build())
}

fn table_info(env: &Env, table: &TableRef) -> Result<Datum> {
    let count = doc_count(&env.reader(table)?, env.read_mode())
        .map_err(|error| env.table_error(table, error))?;
    let mut fields = Fields::typed("TABLE");
    fields.set("db", database_info(env, &table.db)?);
    fields.set("doc_count_estimates", Datum::array(vec![Datum::Number(count as f64)]));
    let id = match table.is_system() {
        true => system_table_id(table.name())?,
        false => table.entry.id.0,
    };
    fields.set("id", id.to_string().into());
    let indexes = table.entry.indexes.keys().map(|name| name.as_str().into());
    fields.set("indexes", Datum::array(indexes.collect()));
    fields.set("name", table.name().into());
    fields.set("primary_key", Datum::String(table.table.primary_key().clone()));
    Ok(fields.build())
}

/// How many documents a table has. Of a small one this is RethinkDB's estimate: it counts the ends of key ranges, one more
/// than keys in each shard, and multiplies those of the fullest shard by how many such shards there could be.
fn doc_count(reader: &TableReader, mode: ReadMode) -> std::result::Result<u64, TableError> {
    let count = reader.count(&KeyRange::ALL, mode)?;
    if count > HASH_ORDER_ROWS {
        return Ok(count);
    }
    let mut ends = [0; HASH_SHARDS];
    let mut scan = reader.scan(&KeyRange::ALL, Direction::Forward, mode)?;
    while let Some((key, _)) = scan.next_with_key()? {
        if let Some(ends) = ends.get_mut(key.hash_shard()) {
            *ends = (*ends).max(1) + 1;
        }
    }
    let fullest = ends.into_iter().max().unwrap_or(0);
    Ok(ends.iter().sum::<u64>().checked_div(fullest).map_or(0, |shards| shards * fullest))
}

fn slice(env: &Env, slice: &TableVal, fields: &mut Fields) -> Result<()> {
    fields.set("table", table_info(env, &slice.table)?);
    fields.set("index", Datum::String(slice.index_name()));
    let sorting = match slice.order {
        None => "UNORDERED",
        Some(Direction::Forward) => "ASCENDING",
        Some(Direction::Backward) => "DESCENDING",
    };
    fields.set("sorting", sorting.into());
    let (left, right) = match slice.range.as_deref() {
        Some((left, right)) => (left.as_ref(), right.as_ref()),
        None => (Bound::Unbounded, Bound::Unbounded),
    };
    let unbounded = |bound: Bound<&Datum>, end: &Datum| match bound {
        Bound::Unbounded => true,
        Bound::Included(value) | Bound::Excluded(value) => value == end,
    };
    for (side, kind, bound, near, far) in [
        ("left_bound", "left_bound_type", left, Datum::MinVal, Datum::MaxVal),
        ("right_bound", "right_bound_type", right, Datum::MaxVal, Datum::MinVal),
    ] {
        match bound {
            bound if unbounded(bound, &near) => fields.set(kind, "unbounded".into()),
            Bound::Unbounded => {}
            Bound::Included(value) | Bound::Excluded(value) if *value == far => {
                fields.set(kind, "unachievable".into());
            }
            Bound::Included(value) => {
                fields.set(side, value.clone());
                fields.set(kind, "closed".into());
            }
            Bound::Excluded(value) => {
                fields.set(side, value.clone());
                fields.set(kind, "open".into());
            }
        }
    }
    Ok(())
}

struct Fields(ObjectBuilder);

impl Fields {
    fn typed(name: &str) -> Fields {
        let mut fields = Fields(ObjectBuilder::new());
        fields.set("type", name.into());
        fields
    }

    fn set(&mut self, name: &str, value: Datum) {
        self.0.insert(Arc::from(name), value);
    }

    fn build(self) -> Datum {
        self.0.build().into()
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::check;

    #[test]
    fn values_show_themselves() {
        check("[79,[null]]", r#"{"type":"NULL"}"#);
        check("[79,[1e300]]", r#"{"type":"NUMBER","value":"1e300"}"#);
        check(r#"[79,[{"a":1}]]"#, r#"{"type":"OBJECT","value":"{\n\t\"a\":\t1\n}"}"#);
        check(
            r#"[79,[{"$reql_type$":"BINARY","data":"AQI"}]]"#,
            r#"{"count":2,"type":"PTYPE<BINARY>","value":"{\"$reql_type$\":\"BINARY\",\"data\":\"AQI=\"}"}"#,
        );
    }

    #[test]
    fn functions_show_their_source() {
        check(
            "[79,[[69,[[2,[1,2]],[24,[[10,[1]],{\"a\":[2,[1,\"x\"]]}]]]]]]",
            r#"{"type":"FUNCTION",
                "source_code":"function (captures = [(no implicit)]) (args = [var1, var2]) r.add(var1, {\"a\": [1, \"x\"]})"}"#,
        );
        check(
            r#"[64,[[69,[[2,[1]],[79,[[69,[[2,[2]],[10,[1]]]]]]]],5]]"#,
            r#"{"type":"FUNCTION",
                "source_code":"function (captures = [(no implicit), var1: 5]) (args = [var2]) var1"}"#,
        );
    }
}
