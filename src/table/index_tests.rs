//! Tests of indexes against a plain model: what writers, the building and scans make of them.

use std::convert::Infallible;
use std::ops::Bound;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::*;
use crate::datum::Datum;
use crate::limits::SECONDARY_KEY_BYTES;
use crate::storage::memory::MemoryEngine;
use crate::storage::{Direction, Durability, KeyRange, WriteBatch};
use crate::testing::Random;

const SOFT: Durability = Durability::Soft;
const WAIT: ReadMode = ReadMode::MayBlock;

#[derive(Debug)]
struct Field(&'static str);

impl IndexFunction for Field {
    fn value(&self, document: &Document) -> Option<Datum> {
        document.field(self.0).unwrap()
    }
}

fn new_table() -> Table {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let tree = engine.new_tree_id().unwrap();
    let mut batch = WriteBatch::new(SOFT);
    batch.create_tree(tree);
    engine.apply(batch).unwrap();
    Table::new(TableId(Uuid::from_u128(1)), "id", tree, engine, Arc::new(NoSink))
}

fn new_index(table: &Table, field: &'static str, is_multi: bool) -> Arc<Index> {
    let tree = table.engine.new_tree_id().unwrap();
    let mut batch = WriteBatch::new(SOFT);
    batch.create_tree(tree);
    table.engine.apply(batch).unwrap();
    let (kind, function) = (Box::new(Ordered), Arc::new(Field(field)));
    Arc::new(Index::new(Uuid::new_v4(), tree, is_multi, kind, function, false))
}

fn key(number: u64) -> PrimaryKey {
    PrimaryKey::encode(&Datum::Number(number as f64)).unwrap()
}

fn value(random: &mut Random) -> Datum {
    let long = "q".repeat(SECONDARY_KEY_BYTES);
    match random.below(9) {
        0 => Datum::Null,
        1 => Datum::object([]),
        2 => Datum::string(&long[..SECONDARY_KEY_BYTES - 1]),
        3 | 4 => Datum::string(&format!("{long}{}", random.below(4))),
        5 => Datum::array((0..random.below(4)).map(|_| Datum::Number(1.0)).collect()),
        6 => Datum::array(vec![Datum::string(&long), Datum::Number(random.below(3) as f64)]),
        _ => Datum::Number(random.below(6) as f64),
    }
}

fn document(random: &mut Random, id: u64) -> Document {
    let mut fields = vec![("id", Datum::Number(id as f64))];
    if !random.once_in(10) {
        fields.push(("v", value(random)));
    }
    if !random.once_in(10) {
        fields.push(("m", Datum::array((0..random.below(4)).map(|_| value(random)).collect())));
    }
    Document::encode(&Datum::object(fields)).unwrap()
}

fn write_some(table: &Table, random: &mut Random, ids: u64) {
    let keys: Vec<_> = (0..1 + random.below(5)).map(|_| random.below(ids)).collect();
    let encoded: Vec<_> = keys.iter().map(|id| key(*id)).collect();
    let decide = |at: usize, _: Option<&Document>| {
        Ok::<_, Infallible>(match random.below(4) {
            0 => Decision::Delete,
            _ => Decision::Put(document(random, keys[at])),
        })
    };
    table.write(&encoded, SOFT, WAIT, decide).unwrap();
}

/// What an index has to say, as (value, primary key), by the documents alone.
fn expected(
    table: &Table,
    (field, is_multi): (&'static str, bool),
    range: &IndexRange,
) -> Vec<(Datum, PrimaryKey)> {
    let reader = table.reader(WAIT).unwrap();
    let mut scan = reader.scan(&KeyRange::ALL, Direction::Forward).unwrap();
    let mut found = Vec::new();
    while let Some((key, document)) = scan.next_with_key().unwrap() {
        let values = match document.field(field).unwrap() {
            Some(Datum::Array(elements)) if is_multi => elements.to_vec(),
            value => value.into_iter().collect(),
        };
        for value in values {
            if IndexValue::encode(&value).is_ok() && range.contains(&value) {
                found.push((value, key.clone()));
            }
        }
    }
    found.sort();
    found
}

fn scanned(scan: &mut IndexScan, index: &Index) -> Vec<(Datum, PrimaryKey)> {
    let mut found = Vec::new();
    while let Some(row) = scan.next().unwrap() {
        found.push((index.value_of(&row.document, row.tag).unwrap(), row.key));
    }
    found
}

fn random_range(random: &mut Random) -> IndexRange {
    let mut side = || match random.below(3) {
        0 => Bound::Unbounded,
        kind => loop {
            let value = value(random);
            if IndexValue::encode(&value).is_ok() {
                let included = kind == 1;
                break if included { Bound::Included(value) } else { Bound::Excluded(value) };
            }
        },
    };
    IndexRange::new(side(), side()).unwrap()
}

fn compare(table: &Table, (field, index): (&'static str, &Arc<Index>), random: &mut Random) {
    let range = random_range(random);
    let expected = expected(table, (field, field == "m"), &range);
    let reader = table.reader(WAIT).unwrap();
    let mut forward = reader.scan_index(index, &range, Direction::Forward).unwrap();
    assert!(scanned(&mut forward, index) == expected, "{range:?}");
    let mut backward = reader.scan_index(index, &range, Direction::Backward).unwrap();
    let mut found = scanned(&mut backward, index);
    // Against the order of the values; equal ones against that of the primary keys.
    found.reverse();
    assert!(found == expected, "{range:?} backward");
    if let Some(count) = reader.count_index(index, &range).unwrap() {
        assert_eq!(count, expected.len() as u64);
    }
    let skipped = random.below(expected.len() as u64 + 3);
    let first = random.below(3).min(expected.len() as u64);
    let mut scan = reader.scan_index(index, &range, Direction::Forward).unwrap();
    for _ in 0..first {
        scan.next().unwrap().unwrap();
    }
    let left = expected.len() as u64 - first;
    assert_eq!(scan.skip(skipped).unwrap(), skipped.min(left));
    let from = (first + skipped).min(expected.len() as u64) as usize;
    assert!(scanned(&mut scan, index) == expected[from..], "{first} read, {skipped} skipped");
}

#[test]
fn indexes_follow_their_documents() {
    let mut random = Random::from_environment();
    let table = new_table();
    let indexes = [new_index(&table, "v", false), new_index(&table, "m", true)];
    table.set_indexes(indexes.to_vec());
    for _ in 0..400 {
        write_some(&table, &mut random, 40);
        for index in ["v", "m"].into_iter().zip(&indexes) {
            compare(&table, index, &mut random);
        }
    }
}

#[test]
fn an_index_is_built_while_writers_go_on() {
    let mut random = Random::from_environment();
    for _ in 0..20 {
        let table = new_table();
        for _ in 0..300 {
            write_some(&table, &mut random, 700);
        }
        let indexes = [new_index(&table, "v", false), new_index(&table, "m", true)];
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                let seed = random.next();
                let (table, stop) = (&table, &stop);
                scope.spawn(move || {
                    let mut random = Random::seeded(seed);
                    while !stop.load(Relaxed) {
                        write_some(table, &mut random, 700);
                    }
                });
            }
            table.set_indexes(indexes.to_vec());
            for index in &indexes {
                assert!(!index.is_ready());
                assert!(table.build_index(index).unwrap());
                index.set_ready();
                assert_eq!(index.progress(), 1.0);
            }
            stop.store(true, Relaxed);
        });
        for index in ["v", "m"].into_iter().zip(&indexes) {
            compare(&table, index, &mut random);
        }
    }
}

#[test]
fn a_write_goes_on_when_an_index_is_dropped_and_its_building_ends() {
    let mut random = Random::from_environment();
    let table = new_table();
    // Some of them have the value.
    (0..20).for_each(|_| write_some(&table, &mut random, 60));
    let index = new_index(&table, "v", false);
    table.set_indexes(vec![index.clone()]);
    let stale = table.indexes();
    let mut batch = WriteBatch::new(SOFT);
    batch.drop_tree(index.tree());
    table.engine.apply(batch).unwrap();
    assert!(!table.build_index(&index).unwrap(), "its tree is gone");
    table.set_indexes(Vec::new());
    assert_eq!(stale.len(), 1);
    write_some(&table, &mut random, 9);
    let again = new_index(&table, "v", false);
    again.set_dropped();
    table.set_indexes(vec![again.clone()]);
    write_some(&table, &mut random, 60);
    let is_empty = table.reader(WAIT).unwrap().count(&KeyRange::ALL).unwrap() == 0;
    assert_eq!(table.build_index(&again).unwrap(), is_empty, "nothing to do, or told to stop");
}

#[test]
fn a_writer_whose_index_was_dropped_waits_until_it_is_told() {
    let table = new_table();
    let index = new_index(&table, "v", false);
    table.set_indexes(vec![index.clone()]);
    let changing = table.change_indexes();
    let mut batch = WriteBatch::new(SOFT);
    batch.drop_tree(index.tree());
    table.engine.apply(batch).unwrap();
    let value = Datum::object([("id", Datum::Number(1.0)), ("v", Datum::Number(2.0))]);
    let put = |_: Option<&Document>| {
        Ok::<_, Infallible>(Decision::Put(Document::encode(&value).unwrap()))
    };
    let refused = table.write_one(&key(1), SOFT, ReadMode::CachedOnly, put);
    assert!(matches!(
        refused,
        Err(WriteError::Table(TableError::Storage(StorageError::NotResident)))
    ));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| table.write_one(&key(1), SOFT, WAIT, put));
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(!writer.is_finished());
        table.set_indexes(Vec::new());
        drop(changing);
        assert!(writer.join().unwrap().unwrap().commit.is_some());
    });
}

#[test]
fn an_entry_that_leads_nowhere_is_an_error() {
    let table = new_table();
    let index = new_index(&table, "v", false);
    let value = IndexValue::encode(&Datum::Number(1.0)).unwrap();
    let mut batch = WriteBatch::new(SOFT);
    batch.put(index.tree(), value.entry(&key(1), 0), Bytes::new());
    table.engine.apply(batch).unwrap();
    let reader = table.reader(WAIT).unwrap();
    let mut scan = reader.scan_index(&index, &IndexRange::ALL, Direction::Forward).unwrap();
    assert!(matches!(scan.next(), Err(TableError::DamagedIndex { .. })));
}
