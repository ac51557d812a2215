//! Tests of indexes against a plain model: what writers, the building and scans make of them.

use std::convert::Infallible;
use std::ops::Bound;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::*;
use crate::datum::Datum;
use crate::limits::{INDEX_BUILD_THREAD_DOCUMENTS, SECONDARY_KEY_BYTES};
use crate::storage::disk::{FaultyDisk, MemoryDisk};
use crate::storage::memory::MemoryEngine;
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Direction, Durability, KeyRange, ReadMode, WriteBatch};
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
    table_in(Arc::new(MemoryEngine::new()))
}

fn table_in(engine: Arc<dyn Engine>) -> Table {
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

/// One that is to be built.
fn unbuilt_index(table: &Table, field: &'static str, is_multi: bool) -> Arc<Index> {
    let index = Arc::into_inner(new_index(table, field, is_multi)).unwrap();
    let notes = table.engine.new_tree_id().unwrap();
    let mut batch = WriteBatch::new(SOFT);
    batch.create_tree(notes);
    table.engine.apply(batch).unwrap();
    Arc::new(index.with_notes(notes))
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
    let reader = table.reader().unwrap();
    let mut scan = reader.scan(&KeyRange::ALL, Direction::Forward, WAIT).unwrap();
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
    let reader = table.reader().unwrap();
    let mut forward = reader.scan_index(index, &range, Direction::Forward, WAIT).unwrap();
    assert!(scanned(&mut forward, index) == expected, "{range:?}");
    let mut backward = reader.scan_index(index, &range, Direction::Backward, WAIT).unwrap();
    let mut found = scanned(&mut backward, index);
    // Against the order of the values; equal ones against that of the primary keys.
    found.reverse();
    assert!(found == expected, "{range:?} backward");
    if let Some(count) = reader.count_index(index, &range, WAIT).unwrap() {
        assert_eq!(count, expected.len() as u64);
    }
    let skipped = random.below(expected.len() as u64 + 3);
    let first = random.below(3).min(expected.len() as u64);
    let mut scan = reader.scan_index(index, &range, Direction::Forward, WAIT).unwrap();
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
        let indexes = [unbuilt_index(&table, "v", false), unbuilt_index(&table, "m", true)];
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
                let notes = index.notes().unwrap();
                let left = table.engine.snapshot().unwrap().count(notes, &KeyRange::ALL, WAIT);
                assert_eq!(left.unwrap(), 0, "every note was carried over");
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

/// Writes go on through all stages, on a table that is large enough to be sorted outside memory, cut into parts and
/// loaded, in a store with a small cache.
#[test]
fn a_large_index_is_loaded_while_writers_go_on() {
    let mut random = Random::from_environment();
    let options = SlabOptions::new([1; 16], 16 << 20);
    let engine: Arc<dyn Engine> =
        Arc::new(SlabEngine::open(Arc::new(MemoryDisk::new()), options).unwrap());
    let table = table_in(engine);
    let count = 2 * INDEX_BUILD_THREAD_DOCUMENTS + 10;
    let document = |id: u64, value: u64| {
        let text = format!("{:04}{}", value % 1_000, "x".repeat(40));
        let fields = [("id", Datum::Number(id as f64)), ("v", text.into())];
        Document::encode(&Datum::object(fields)).unwrap()
    };
    let all: Vec<u64> = (0..count).collect();
    for part in all.chunks(1_000) {
        let keys: Vec<_> = part.iter().map(|id| key(*id)).collect();
        let put = |at: usize, _: Option<&Document>| {
            Ok::<_, Infallible>(Decision::Put(document(part[at], part[at] * 7)))
        };
        table.write(&keys, SOFT, WAIT, put).unwrap();
    }
    let index = unbuilt_index(&table, "v", false);
    table.set_indexes(vec![index.clone()]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let seed = random.next();
        let (table, stop, document) = (&table, &stop, &document);
        scope.spawn(move || {
            let mut random = Random::seeded(seed);
            while !stop.load(Relaxed) {
                let (id, value) = (random.below(count + 100), random.next());
                let decision = match random.below(4) {
                    0 => Decision::Delete,
                    _ => Decision::Put(document(id, value)),
                };
                let decide = |_: Option<&Document>| Ok::<_, Infallible>(decision.clone());
                table.write_one(&key(id), SOFT, WAIT, decide).unwrap();
            }
        });
        let built = table.build_index(&index);
        stop.store(true, Relaxed);
        assert!(built.unwrap());
    });
    let progress = index.progress();
    assert!(progress > 0.9 && progress < 1.0, "{progress}");
    index.set_ready();
    let all = expected(&table, ("v", false), &IndexRange::ALL);
    let reader = table.reader().unwrap();
    let mut scan = reader.scan_index(&index, &IndexRange::ALL, Direction::Forward, WAIT).unwrap();
    assert!(scanned(&mut scan, &index) == all);
}

/// Documents with values of a kilobyte: so many that they are not sorted in memory alone.
fn fill_with_long_values(table: &Table, documents: u64) {
    let all: Vec<u64> = (0..documents).collect();
    for part in all.chunks(200) {
        let keys: Vec<_> = part.iter().map(|id| key(*id)).collect();
        let put = |at: usize, _: Option<&Document>| {
            let id = part[at];
            let text =
                format!("{:05}{}", id * 7_919 % 100_003, "x".repeat(SECONDARY_KEY_BYTES / 2));
            let fields = [("id", Datum::Number(id as f64)), ("v", text.into())];
            Ok::<_, Infallible>(Decision::Put(Document::encode(&Datum::object(fields)).unwrap()))
        };
        table.write(&keys, SOFT, WAIT, put).unwrap();
    }
}

/// The disk becomes full at many amounts of room: while entries are sorted, and while the tree is loaded.
#[test]
fn a_build_for_which_there_is_no_room_says_so_and_can_be_tried_again() {
    let (mut refused, mut built) = (0, 0);
    let disk = FaultyDisk::new(1);
    let options = SlabOptions {
        flush_interval: None,
        reserve_bytes: 65_536,
        ..SlabOptions::new([1; 16], 8 << 20)
    };
    let engine = Arc::new(SlabEngine::open(Arc::new(disk.clone()), options).unwrap());
    let table = table_in(engine.clone());
    fill_with_long_values(&table, 4_000);
    engine.checkpoint().unwrap();
    for room in (0..8).map(|part| part * 1_000_000) {
        let index = unbuilt_index(&table, "v", false);
        table.set_indexes(vec![index.clone()]);
        engine.checkpoint().unwrap();
        disk.set_capacity(disk.used() + room);
        let outcome = table.build_index(&index);
        disk.set_capacity(usize::MAX);
        assert_eq!(disk.failed(), None);
        match outcome {
            Ok(is_complete) => {
                assert!(is_complete);
                built += 1;
            }
            Err(TableError::Storage(StorageError::DiskFull { .. })) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        // Everybody else goes on.
        let document = Document::encode(&Datum::object([("id", Datum::Number(0.0))])).unwrap();
        let put = |_: Option<&Document>| Ok::<_, Infallible>(Decision::Put(document.clone()));
        table.write_one(&key(5_000 + room as u64), SOFT, WAIT, put).unwrap();
        table.set_indexes(Vec::new());
        let mut batch = WriteBatch::new(SOFT);
        index.trees().for_each(|tree| batch.drop_tree(tree));
        engine.apply(batch).unwrap();
        engine.verify().unwrap();
    }
    assert!(refused > 2 && built > 0, "{refused} refused, {built} built");
}

#[test]
fn a_build_that_is_told_to_stop_ends_soon_wherever_it_is() {
    let mut random = Random::from_environment();
    let options = SlabOptions::new([1; 16], 8 << 20);
    let engine = Arc::new(SlabEngine::open(Arc::new(MemoryDisk::new()), options).unwrap());
    let table = table_in(engine);
    fill_with_long_values(&table, 4_000);
    let whole = unbuilt_index(&table, "w", false);
    table.set_indexes(vec![whole.clone()]);
    let began = std::time::Instant::now();
    assert!(table.build_index(&whole).unwrap());
    let takes = began.elapsed().as_micros() as u64;
    let mut batch = WriteBatch::new(SOFT);
    whole.trees().for_each(|tree| batch.drop_tree(tree));
    table.engine.apply(batch).unwrap();
    let mut ended = [0, 0];
    for at in 0..12 {
        let index = unbuilt_index(&table, "v", false);
        table.set_indexes(vec![index.clone()]);
        let is_complete = std::thread::scope(|scope| {
            let build = scope.spawn(|| table.build_index(&index));
            // At any moment of it, the first one included.
            let after = if at == 0 { 0 } else { random.below(takes) };
            std::thread::sleep(std::time::Duration::from_micros(after));
            // As the catalog does it: gone first, and told afterwards.
            let mut batch = WriteBatch::new(SOFT);
            index.trees().for_each(|tree| batch.drop_tree(tree));
            table.engine.apply(batch).unwrap();
            index.set_dropped();
            build.join().unwrap().unwrap()
        });
        ended[usize::from(is_complete)] += 1;
        table.set_indexes(Vec::new());
    }
    assert!(ended[0] > 0, "{ended:?}");
    let trees = table.engine.snapshot().unwrap().trees(WAIT).unwrap();
    assert_eq!(trees, [table.tree()]);
}

/// What is made of each of these is more than a batch may have: 6,400 values of some 300 bytes.
#[test]
fn an_index_of_many_values_a_document_is_built() {
    let table = new_table();
    let values = (0..6_400).map(|n| Datum::string(&format!("{n:05}{}", "v".repeat(200))));
    let values = Datum::array(values.collect());
    let put = |id: u64| {
        let fields = [("id", Datum::Number(id as f64)), ("m", values.clone())];
        let document = Document::encode(&Datum::object(fields)).unwrap();
        table.write_one(&key(id), SOFT, WAIT, |_| {
            Ok::<_, Infallible>(Decision::Put(document.clone()))
        })
    };
    let documents = 100;
    (0..documents).for_each(|id| drop(put(id).unwrap()));
    let index = unbuilt_index(&table, "m", true);
    table.set_indexes(vec![index.clone()]);
    assert!(table.build_index(&index).unwrap());
    index.set_ready();
    let count = table.reader().unwrap().count_index(&index, &IndexRange::ALL, WAIT).unwrap();
    assert_eq!(count, Some(documents * 6_400));
}

/// Documents with even keys stay while odd ones come and go, and their values are so long that the documents say the order.
#[test]
fn a_scan_of_cut_values_whose_snapshot_is_let_go_gives_each_once() {
    let mut random = Random::from_environment();
    let stems = ["q", "r", "s"].map(|stem| stem.repeat(SECONDARY_KEY_BYTES));
    for direction in [Direction::Forward, Direction::Backward] {
        let table = new_table();
        let index = new_index(&table, "v", false);
        table.set_indexes(vec![index.clone()]);
        let put = |id: u64, value: u64| {
            let text = format!("{}{value}", stems[(id % 3) as usize]);
            let fields = [("id", Datum::Number(id as f64)), ("v", text.into())];
            let document = Document::encode(&Datum::object(fields)).unwrap();
            let decide =
                |_: Option<&Document>| Ok::<_, Infallible>(Decision::Put(document.clone()));
            table.write_one(&key(id), SOFT, WAIT, decide).unwrap();
        };
        (0..120).for_each(|id| put(id, id % 4));
        let (reader, handle) = table.renewable_reader().unwrap();
        let mut scan = reader.scan_index(&index, &IndexRange::ALL, direction, WAIT).unwrap();
        let mut given = Vec::new();
        while let Some(row) = scan.next().unwrap() {
            given.push(row.key);
            if random.once_in(3) {
                handle.release();
                for _ in 0..20 {
                    let odd = 2 * random.below(60) + 1;
                    let delete = |_: Option<&Document>| Ok::<_, Infallible>(Decision::Delete);
                    match random.below(2) {
                        0 => drop(table.write_one(&key(odd), SOFT, WAIT, delete).unwrap()),
                        _ => put(odd, odd % 4),
                    }
                }
            }
        }
        for id in 0..60 {
            let times = given.iter().filter(|given| **given == key(2 * id)).count();
            assert_eq!(times, 1, "{} {direction:?}", 2 * id);
        }
    }
}

/// An entry is of one commit point and its document of the next, when the snapshot is let go of just in between.
#[test]
fn a_scan_whose_snapshot_is_let_go_by_another_thread_gives_documents_that_have_the_value() {
    let mut random = Random::from_environment();
    let table = new_table();
    let index = new_index(&table, "v", false);
    table.set_indexes(vec![index.clone()]);
    let put = |id: u64, value: u64| {
        let fields = [("id", Datum::Number(id as f64)), ("v", Datum::Number(value as f64))];
        let document = Document::encode(&Datum::object(fields)).unwrap();
        let decide = |_: Option<&Document>| Ok::<_, Infallible>(Decision::Put(document.clone()));
        table.write_one(&key(id), SOFT, WAIT, decide).unwrap();
    };
    (0..100).for_each(|id| put(id, id % 2));
    let one = IndexRange::value(&Datum::Number(1.0)).unwrap();
    let (reader, handle) = table.renewable_reader().unwrap();
    let stops = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| while handle.release() && !stops.load(Relaxed) {});
        let (stops, put) = (&stops, &put);
        let mut other = Random::seeded(random.next());
        let table = &table;
        scope.spawn(move || {
            while !stops.load(Relaxed) {
                let id = other.below(100);
                match other.below(4) {
                    0 => {
                        let delete = |_: Option<&Document>| Ok::<_, Infallible>(Decision::Delete);
                        drop(table.write_one(&key(id), SOFT, WAIT, delete).unwrap());
                    }
                    _ => put(id, other.below(2)),
                }
            }
        });
        let scan_all = || -> Result<u64, TableError> {
            let mut scan = reader.scan_index(&index, &one, Direction::Forward, WAIT)?;
            let mut wrong = 0;
            while let Some(found) = scan.next()? {
                wrong += u64::from(found.document.field("v").unwrap() != Some(Datum::Number(1.0)));
            }
            Ok(wrong)
        };
        let outcomes: Result<u64, _> = (0..200).map(|_| scan_all()).sum();
        stops.store(true, Relaxed);
        assert_eq!(outcomes.unwrap(), 0);
    });
}

#[test]
fn a_write_goes_on_when_an_index_is_dropped_and_its_building_ends() {
    let mut random = Random::from_environment();
    let table = new_table();
    // Some of them have the value.
    (0..20).for_each(|_| write_some(&table, &mut random, 60));
    let index = unbuilt_index(&table, "v", false);
    table.set_indexes(vec![index.clone()]);
    let stale = table.indexes();
    let mut batch = WriteBatch::new(SOFT);
    batch.drop_tree(index.tree());
    table.engine.apply(batch).unwrap();
    assert!(!table.build_index(&index).unwrap(), "its tree is gone");
    table.set_indexes(Vec::new());
    assert_eq!(stale.len(), 1);
    write_some(&table, &mut random, 9);
    let again = unbuilt_index(&table, "v", false);
    again.set_dropped();
    table.set_indexes(vec![again.clone()]);
    write_some(&table, &mut random, 60);
    assert!(!table.build_index(&again).unwrap(), "told to stop");
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
    let reader = table.reader().unwrap();
    let mut scan = reader.scan_index(&index, &IndexRange::ALL, Direction::Forward, WAIT).unwrap();
    assert!(matches!(scan.next(), Err(TableError::DamagedIndex { .. })));
}
