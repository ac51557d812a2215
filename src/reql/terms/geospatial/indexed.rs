//! `getIntersecting` and `getNearest`: documents found by a geospatial index.
//!
//! The index leads to the shapes in the cells that the wanted one touches; the shapes themselves decide.

use std::collections::HashSet;
use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::catalog::IndexEntry;
use crate::datum::Datum;
use crate::geo::{self, Cell, Ellipsoid, LonLat, point};
use crate::limits::{NEAREST_METERS, NEAREST_RESULTS};
use crate::reql::env::Env;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Determinism, Effect};
use crate::reql::selection::Selection;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{BatchSpec, Budget, OnFirstRead, Origin, Stream, no_origin};
use crate::reql::table_ref::TableRef;
use crate::reql::value::{Val, ValKind};
use crate::storage::Direction;
use crate::table::{Document, Index, IndexRange, IndexScan, IndexValue, PrimaryKey, TableReader};

use super::options::{ellipsoid, unit};
use super::{geometry, position, reach, work};

pub static GET_INTERSECTING: TermSpec = TermSpec {
    options: &["index"],
    ..row(TermType::GetIntersecting, "GET_INTERSECTING", get_intersecting)
};

pub static GET_NEAREST: TermSpec = TermSpec {
    options: &["geo_system", "index", "max_dist", "max_results", "unit"],
    ..row(TermType::GetNearest, "GET_NEAREST", get_nearest)
};

const fn row(term: TermType, name: &'static str, eval: fn(&Args<'_>) -> Result<Val>) -> TermSpec {
    TermSpec {
        effect: Effect::Read,
        determinism: Determinism::SingleServer,
        takes_table_whole: true,
        ..TermSpec::pure(term, name, Chapter::Geospatial, Arity::exactly(2), eval)
    }
}

fn get_intersecting(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let shape = args.arg(1)?;
    let name = named_index(args, &table, "get_intersecting")?;
    let shape = geometry(shape, args.env)?;
    let selected = table.clone();
    let stream = Box::new(OnFirstRead::new(move |env| {
        let index = geospatial(&table, &name, "get_intersecting")?;
        let cells = work(env, |effort| geo::cover(&shape, effort))?;
        let found = Candidates::open(env, &table, index, cells)?;
        let mut stream = Intersecting { found, shape: shape.clone(), next: None };
        stream.next = stream.read(env)?;
        Ok(Box::new(stream))
    }));
    args.val(ValKind::Selection(Selection { table: selected, stream }))
}

fn get_nearest(args: &Args<'_>) -> Result<Val> {
    let table = args.arg(0)?.into_table(args.env)?;
    let center = args.arg(1)?;
    let name = named_index(args, &table, "get_nearest")?;
    let center = position(&center.into_datum(args.env)?)?;
    let on = ellipsoid(args)?;
    let unit = unit(args)?;
    let mut within = NEAREST_METERS;
    if let Some(val) = args.optarg("max_dist")? {
        let at = val.at;
        let most = val.number(args.env)?;
        if most <= 0.0 {
            return Err(Error::logic("max_dist must be positive.").at(at));
        }
        within = unit.to_meters(most);
    }
    let mut results = NEAREST_RESULTS;
    if let Some(val) = args.optarg("max_results")? {
        let at = val.at;
        let most = val.integer(args.env)?;
        let most = usize::try_from(most).ok().filter(|most| *most > 0);
        results = most.ok_or_else(|| Error::logic("max_results must be positive.").at(at))?;
    }
    // What goes wrong in the index is not said of any term, as in RethinkDB.
    let in_index = |error: Error| error.at(NodeId::ROOT);
    let index = geospatial(&table, &name, "get_nearest").map_err(in_index)?;
    let search = Search { center, within, results, on };
    reach::check(args.env, &table, index, &search).map_err(in_index)?;
    let nearest = nearest(args.env, &table, index, &search)?;
    let mut rows = Vec::with_capacity(nearest.len());
    for (meters, document) in nearest {
        let dist = Datum::Number(unit.from_meters(meters));
        let doc = document.value();
        rows.push(Datum::object([("dist", dist), ("doc", doc)]));
    }
    args.env.check_array_size(rows.len())?;
    args.value(Datum::array(rows))
}

/// What `getNearest` looks for.
pub(super) struct Search {
    pub(super) center: LonLat,
    /// Meters.
    pub(super) within: f64,
    pub(super) results: usize,
    pub(super) on: Ellipsoid,
}

/// A document, and how many meters away it is.
pub(super) struct Found {
    pub(super) meters: f64,
    pub(super) key: PrimaryKey,
    document: Document,
}

/// The documents of an index that are so many meters around the center at most.
pub(super) fn around(
    env: &Env,
    table: &TableRef,
    index: &IndexEntry,
    search: &Search,
    within: f64,
) -> Result<Vec<Found>> {
    let center = point(search.center);
    let cells = geo::cover_around(search.center, within, &search.on);
    let mut found = Vec::new();
    let mut candidates = Candidates::open(env, table, index, cells)?;
    while let Some(Candidate { value, key, document }) = candidates.next(env)? {
        let meters = work(env, |effort| geo::distance(&center, &value, &search.on, effort))?;
        if meters <= within {
            found.push(Found { meters, key, document });
        }
    }
    Ok(found)
}

/// The nearest documents with their distances in meters. Looks ever farther around, until there are enough.
fn nearest(
    env: &Env,
    table: &TableRef,
    index: &IndexEntry,
    search: &Search,
) -> Result<Vec<(f64, Document)>> {
    /// The first distance is so much smaller than the last: most searches find enough near by.
    const STEPS: i32 = 10;
    for step in (0..=STEPS).rev() {
        let within = search.within / f64::from(4_i32.pow(step.unsigned_abs()));
        let mut found = around(env, table, index, search, within)?;
        if found.len() >= search.results || step == 0 {
            // Those at the same distance come by their shards, as in RethinkDB.
            found.sort_by(|one, other| {
                let shards = || one.key.hash_shard().cmp(&other.key.hash_shard());
                one.meters.total_cmp(&other.meters).then_with(shards)
            });
            found.truncate(search.results);
            return Ok(found.into_iter().map(|one| (one.meters, one.document)).collect());
        }
    }
    Ok(Vec::new())
}

fn named_index(args: &Args<'_>, table: &TableRef, term: &str) -> Result<Arc<str>> {
    let Some(index) = args.optarg_str("index")? else {
        return Err(Error::logic(format!("{term} requires an index argument.")));
    };
    if index == *table.table.primary_key() {
        return Err(Error::logic(format!("{term} cannot use the primary index.")));
    }
    Ok(index)
}

fn geospatial<'t>(table: &'t TableRef, name: &str, term: &str) -> Result<&'t IndexEntry> {
    let entry = table.index_entry(name)?;
    if entry.definition.geo {
        return Ok(entry);
    }
    Err(Error::logic(format!(
        "Index `{name}` is not a geospatial index.  {term} can only be used with a geospatial index."
    )))
}

/// The shapes in some cells, each once.
struct Candidates {
    table: TableRef,
    index: Arc<Index>,
    reader: TableReader,
    ranges: std::vec::IntoIter<IndexRange>,
    scan: Option<IndexScan>,
    seen: HashSet<(PrimaryKey, u32)>,
}

struct Candidate {
    /// The shape.
    value: Datum,
    key: PrimaryKey,
    document: Document,
}

impl Candidates {
    fn open(env: &Env, table: &TableRef, index: &IndexEntry, cells: Vec<Cell>) -> Result<Self> {
        Ok(Candidates {
            table: table.clone(),
            index: Arc::clone(&index.index),
            reader: env.stream_reader(table)?,
            ranges: ranges(cells).into_iter(),
            scan: None,
            seen: HashSet::new(),
        })
    }

    fn next(&mut self, env: &Env) -> Result<Option<Candidate>> {
        let failed = |error| env.table_error(&self.table, error);
        loop {
            env.check_interrupt()?;
            if let Some(scan) = &mut self.scan {
                scan.set_mode(env.read_mode());
                if let Some(found) = scan.next().map_err(failed)? {
                    let value = self.index.value_of(&found.document, found.tag);
                    if let Some(value) = value
                        && self.seen.insert((found.key.clone(), found.tag))
                    {
                        self.table.note_read(1);
                        let (key, document) = (found.key, found.document);
                        return Ok(Some(Candidate { value, key, document }));
                    }
                    continue;
                }
            }
            let Some(range) = self.ranges.next() else { return Ok(None) };
            let scan =
                self.reader.scan_index(&self.index, &range, Direction::Forward, env.read_mode());
            self.scan = Some(scan.map_err(failed)?);
        }
    }
}

/// Where entries are that are in one of the cells, or have one of them in theirs.
fn ranges(cells: Vec<Cell>) -> Vec<IndexRange> {
    let mut around = HashSet::new();
    let mut ranges = Vec::new();
    for cell in cells {
        for length in 1..cell.len() {
            if let Some(larger) = cell.get(..length)
                && around.insert(larger.to_vec())
            {
                ranges.push(IndexRange::bytes(&IndexValue::from_bytes(larger.to_vec())));
            }
        }
        ranges.push(IndexRange::beginning_with(cell));
    }
    ranges
}

/// The documents whose shapes meet a shape.
struct Intersecting {
    found: Candidates,
    shape: Datum,
    next: Option<Document>,
}

impl std::fmt::Debug for Intersecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intersecting").field("table", &self.found.table).finish_non_exhaustive()
    }
}

impl Intersecting {
    fn read(&mut self, env: &Env) -> Result<Option<Document>> {
        while let Some(Candidate { value, document, .. }) = self.found.next(env)? {
            if work(env, |effort| geo::intersects(&value, &self.shape, effort))? {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }
}

impl Stream for Intersecting {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut budget = Budget::new(batch);
        let mut rows = Vec::new();
        while !budget.is_spent()
            && let Some(document) = self.next.take()
        {
            budget.take_sized(document.json().len());
            rows.push(document.value());
            self.next = self.read(env)?;
        }
        Ok(rows)
    }

    fn is_exhausted(&self) -> bool {
        self.next.is_none()
    }

    fn let_go(&mut self) {
        if let Some(ahead) = &mut self.next {
            *ahead = ahead.detached();
        }
        if let Some(scan) = &mut self.found.scan {
            scan.let_go();
        }
    }

    fn origin(self: Box<Self>) -> Result<Origin> {
        Err(no_origin(false))
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Outcome, Server, check_error};

    #[test]
    fn arguments_are_checked() {
        let table = "Expected type TABLE but found DATUM:\n1";
        check_error("[166,[1,1]]", ErrorKind::Logic, table, "[0]");
        check_error("[168,[1,1]]", ErrorKind::Logic, table, "[0]");
        let server = Server::new();
        server.succeed(r#"[57,["db"]]"#);
        server.succeed(r#"[60,[[14,["db"]],"t"]]"#);
        let message = |term: u16, argument: &str, options: &str| {
            let query = format!(r#"[{term},[[15,[[14,["db"]],"t"]],{argument}],{{{options}}}]"#);
            match server.run_with(&query, "{}") {
                Outcome::Error(_, message, _) => message,
                other => panic!("{query}: {other:?}"),
            }
        };
        let (point, index) = ("[159,[1,2]]", r#""index":"i""#);
        assert_eq!(message(166, point, ""), "get_intersecting requires an index argument.");
        let primary = "get_nearest cannot use the primary index.";
        assert_eq!(message(168, point, r#""index":"id""#), primary);
        assert_eq!(message(166, "1", index), "Not a GEOMETRY pseudotype: `1`.");
        let far = r#""index":"i","max_dist":0"#;
        assert_eq!(message(168, point, far), "max_dist must be positive.");
        assert_eq!(message(168, point, index), "Index `i` was not found on table `db.t`.");
    }
}
