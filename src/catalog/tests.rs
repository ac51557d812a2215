//! Tests of the catalog: names and their errors, what survives, and two catalogs on one engine.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::*;
use crate::datum::Datum;
use crate::storage::disk::{CrashMode, FaultyDisk};
use crate::storage::memory::MemoryEngine;
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Direction, Durability, KeyRange, ReadMode};
use crate::table::{
    CommittedChanges, Decision, Document, Index, IndexFunction, IndexRange, NoSink, Ordered,
    PrimaryKey,
};
use crate::testing::Random;

const WAIT: ReadMode = ReadMode::MayBlock;

/// Functions that are the name of a field.
struct Fields;

#[derive(Debug)]
struct Field(String);

impl IndexFunctions for Fields {
    fn compile(&self, definition: &IndexDefinition) -> Result<CompiledIndex, String> {
        match definition.function.as_str() {
            "" => Err("no field".to_owned()),
            "priority" => Ok((Arc::new(Priority), Box::new(Ordered))),
            field => Ok((Arc::new(Field(field.to_owned())), Box::new(Ordered))),
        }
    }
}

impl IndexFunction for Field {
    fn value(&self, document: &Document) -> Option<Datum> {
        document.field(&self.0).unwrap()
    }
}

/// What the priority was of each thread that computed a value of an index.
static PRIORITIES: Mutex<Vec<i32>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Priority;

impl IndexFunction for Priority {
    fn value(&self, _document: &Document) -> Option<Datum> {
        PRIORITIES.lock().unwrap().push(rustix::process::getpriority_process(None).unwrap());
        None
    }
}

fn by_field(field: &str) -> IndexDefinition {
    IndexDefinition { function: field.into(), query: String::new(), multi: false, geo: false }
}

fn wait_until_built(catalog: &Catalog, table: TableId, name: &str) -> Arc<Index> {
    loop {
        let state = catalog.state();
        let index = &state.table_by_id(table).unwrap().indexes[name].index;
        if index.is_ready() {
            return Arc::clone(index);
        }
        std::thread::yield_now();
    }
}

fn found(catalog: &Catalog, table: TableId, index: &Arc<Index>) -> usize {
    let state = catalog.state();
    let reader = state.table_by_id(table).unwrap().table.reader().unwrap();
    let mut scan = reader.scan_index(index, &IndexRange::ALL, Direction::Forward, WAIT).unwrap();
    std::iter::from_fn(|| scan.next().unwrap()).count()
}

fn open(engine: Arc<dyn Engine>) -> Arc<Catalog> {
    Catalog::open(engine, Arc::new(NoSink), Arc::new(Fields)).unwrap()
}

fn catalog() -> Arc<Catalog> {
    open(Arc::new(MemoryEngine::new()))
}

fn create_table(catalog: &Catalog, database: &str, name: &str) -> Arc<TableEntry> {
    catalog.create_table(database, name, &TableConfig::default()).unwrap().value
}

fn insert(entry: &TableEntry, id: f64) {
    let value = Datum::object([("id", Datum::Number(id))]);
    let key = PrimaryKey::encode(&Datum::Number(id)).unwrap();
    let document = Document::encode(&value).unwrap();
    let decide = |_: Option<&Document>| Ok::<_, Infallible>(Decision::Put(document.clone()));
    entry.table.write_one(&key, Durability::Hard, WAIT, decide).unwrap();
}

fn count(entry: &TableEntry) -> u64 {
    entry.table.reader().unwrap().count(&KeyRange::ALL, WAIT).unwrap()
}

fn text<T>(result: Result<T, CatalogError>) -> String {
    result.err().expect("an error").to_string()
}

#[test]
fn a_new_catalog_has_the_default_database_and_the_system_tables() {
    let state = catalog().state();
    assert_eq!(state.database_names(), ["rethinkdb", "test"]);
    assert_eq!(state.table_names("test").unwrap(), [""; 0]);
    assert!(state.table_names("rethinkdb").unwrap().contains(&String::from("users")));
    let listed_elsewhere = text(state.table("rethinkdb", "users"));
    assert_eq!(listed_elsewhere, "Table `rethinkdb.users` does not exist.");
}

#[test]
fn databases_and_tables_come_and_go() {
    let catalog = catalog();
    let before = catalog.state();
    let database = catalog.create_database("shop").unwrap();
    assert!(catalog.engine().last_sequence() >= database.commit.sequence);
    assert_eq!(database.commit.durability, Durability::Hard);
    let config = TableConfig { primary_key: "key".into(), shards: 2, ..TableConfig::default() };
    let orders = catalog.create_table("shop", "orders", &config).unwrap().value;
    let items = create_table(&catalog, "shop", "items");
    assert_ne!(orders.id, items.id);
    assert_eq!(&**orders.table.primary_key(), "key");
    insert(&items, 1.0);
    assert_eq!((count(&orders), count(&items)), (0, 1));

    let state = catalog.state();
    assert_eq!(state.database_names(), ["rethinkdb", "shop", "test"]);
    assert_eq!(state.table_names("shop").unwrap(), ["items", "orders"]);
    assert_eq!(state.table("shop", "orders").unwrap().config, config);
    assert_eq!(state.table_by_id(items.id).unwrap().name, "items");
    assert_eq!(before.database_names(), ["rethinkdb", "test"], "a state never changes");

    let dropped = catalog.drop_table("shop", "items").unwrap().value;
    assert_eq!(dropped.id, items.id);
    assert!(items.table.reader().unwrap().count(&KeyRange::ALL, WAIT).is_err());
    let again = create_table(&catalog, "shop", "items");
    assert!(again.id != items.id && count(&again) == 0);

    let dropped = catalog.drop_database("shop").unwrap().value;
    assert_eq!(dropped.tables().count(), 2);
    assert_eq!(catalog.state().database_names(), ["rethinkdb", "test"]);
    let trees = catalog.engine().snapshot().unwrap().trees(WAIT).unwrap();
    assert_eq!(trees, [record::TREE], "the trees of dropped tables are gone");
}

#[test]
fn errors_are_told_in_rethinkdbs_words() {
    let catalog = catalog();
    create_table(&catalog, "test", "a");
    let default = TableConfig::default();
    let create = |database, name| text(catalog.create_table(database, name, &default));
    assert_eq!(create("test", "a"), "Table `test.a` already exists.");
    assert_eq!(create("nope", "a"), "Database `nope` does not exist.");
    assert_eq!(
        create("test", "bad-name!"),
        "Table name `bad-name!` invalid (Use A-Z, a-z, 0-9, _ and - only)."
    );
    assert_eq!(
        create("rethinkdb", "x"),
        "Database `rethinkdb` is special; you can't create new tables in it."
    );
    let create = |name| text(catalog.create_database(name));
    assert_eq!(create("test"), "Database `test` already exists.");
    assert_eq!(create("rethinkdb"), "Database `rethinkdb` already exists.");
    assert_eq!(create(""), "Database name `` invalid (Use A-Z, a-z, 0-9, _ and - only).");
    let drop_database = |name| text(catalog.drop_database(name));
    assert_eq!(drop_database("nope"), "Database `nope` does not exist.");
    assert_eq!(drop_database("rethinkdb"), "Database `rethinkdb` is special; you can't delete it.");
    assert_eq!(text(catalog.drop_table("test", "nope")), "Table `test.nope` does not exist.");
    assert_eq!(
        text(catalog.drop_table("rethinkdb", "users")),
        "Database `rethinkdb` is special; you can't drop tables in it."
    );
    assert_eq!(catalog.state().table_names("test").unwrap(), ["a"]);
}

#[test]
fn a_catalog_opened_again_is_the_same() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let config = TableConfig {
        primary_key: "k".into(),
        durability: Durability::Soft,
        write_acks: WriteAcks::Single,
        shards: 4,
    };
    let first = open(engine.clone());
    let database = first.create_database("shop").unwrap().value;
    let table = first.create_table("shop", "items", &config).unwrap().value;
    insert(&table, 1.0);
    let test = first.state().database("test").unwrap().id;
    drop(first);

    let second = open(engine);
    let state = second.state();
    assert_eq!(state.database("shop").unwrap().id, database.id);
    assert_eq!(state.database("test").unwrap().id, test, "made once");
    let found = state.table("shop", "items").unwrap();
    assert_eq!((found.id, &found.config, count(found)), (table.id, &config, 1));
    second.drop_database("test").unwrap();
    let third = open(second.engine().clone());
    assert_eq!(third.state().database_names(), ["rethinkdb", "shop"], "not made again");
}

#[test]
fn two_catalogs_on_one_engine_do_not_overwrite_each_other() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let open = || open(engine.clone());
    let (first, second) = (open(), open());
    let table = create_table(&first, "test", "a");
    create_table(&first, "test", "b");
    assert_eq!(
        text(second.create_table("test", "a", &TableConfig::default())),
        "Table `test.a` already exists.",
    );
    create_table(&second, "test", "c");
    assert_eq!(second.state().table_names("test").unwrap(), ["a", "b", "c"]);
    assert_eq!(second.state().table("test", "a").unwrap().id, table.id);
    create_table(&first, "test", "d");
    let entry = first.state().table("test", "a").unwrap().clone();
    assert!(Arc::ptr_eq(&entry.table, &table.table), "an open table stays the same");
    assert_eq!(open().state().table_names("test").unwrap(), ["a", "b", "c", "d"]);
}

#[test]
fn many_threads_create_each_table_once() {
    let catalog = catalog();
    let created: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let config = TableConfig::default();
                    let create = |number: &u32| {
                        catalog.create_table("test", &format!("t{number}"), &config).is_ok()
                    };
                    (0..50).filter(create).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(created, 50);
    let state = catalog.state();
    let trees: BTreeSet<_> =
        state.database("test").unwrap().tables().map(|table| table.primary_tree).collect();
    assert_eq!(trees.len(), 50);
}

#[derive(Default)]
struct Dropped(Mutex<Vec<TableId>>);

impl ChangeSink for Dropped {
    fn listens(&self, _table: TableId) -> bool {
        false
    }

    fn deliver(&self, _changes: CommittedChanges) {}

    fn dropped(&self, table: TableId) {
        self.0.lock().unwrap().push(table);
    }
}

#[test]
fn whoever_listens_is_told_of_dropped_tables() {
    let sink = Arc::new(Dropped::default());
    let catalog =
        Catalog::open(Arc::new(MemoryEngine::new()), sink.clone(), Arc::new(Fields)).unwrap();
    let ids = ["a", "b", "c"].map(|name| create_table(&catalog, "test", name).id);
    catalog.drop_table("test", "b").unwrap();
    catalog.drop_database("test").unwrap();
    assert_eq!(*sink.0.lock().unwrap(), [ids[1], ids[0], ids[2]]);
}

#[test]
fn a_damaged_catalog_is_refused_with_its_place() {
    for (key, value, expected) in [
        ("format", "2", "damaged catalog: format: an unknown format"),
        ("revision", "7", "damaged catalog: revision: not eight bytes"),
        ("dshort", "{}", "not an id"),
        ("t0123456789abcdef", "{}", "missing field"),
    ] {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        open(engine.clone());
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.put(record::TREE, key, value);
        engine.apply(batch).unwrap();
        let text = text(Catalog::open(engine, Arc::new(NoSink), Arc::new(Fields)));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn indexes_are_made_built_renamed_and_dropped() {
    let catalog = catalog();
    let table = create_table(&catalog, "test", "t").id;
    let state = catalog.state();
    for id in 0..700 {
        insert(state.table_by_id(table).unwrap(), f64::from(id));
    }
    catalog.create_index(table, "a", &by_field("id")).unwrap();
    let a = wait_until_built(&catalog, table, "a");
    assert_eq!(found(&catalog, table, &a), 700);
    insert(state.table_by_id(table).unwrap(), 700.0);
    assert_eq!(found(&catalog, table, &a), 701);
    let again = catalog.create_index(table, "a", &by_field("x"));
    assert_eq!(text(again), "Index `a` already exists on table `test.t`.");
    let renamed = catalog.rename_index(table, "a", "b", false).unwrap().value;
    assert_eq!(renamed.indexes["b"].index.id(), a.id());
    catalog.create_index(table, "c", &by_field("x")).unwrap();
    let c = wait_until_built(&catalog, table, "c");
    let refused = "Index `b` does not exist or index `c` already exists on table `test.t`.";
    assert_eq!(text(catalog.rename_index(table, "b", "c", false)), refused);
    catalog.rename_index(table, "b", "c", true).unwrap();
    assert!(c.is_dropped() && !a.is_dropped());
    catalog.rename_index(table, "c", "c", false).unwrap();
    let missing = "Index `b` does not exist on table `test.t`.";
    assert_eq!(text(catalog.drop_index(table, "b")), missing);
    catalog.drop_index(table, "c").unwrap();
    assert!(a.is_dropped());
    insert(state.table_by_id(table).unwrap(), 701.0);
    catalog.create_index(table, "d", &by_field("id")).unwrap();
    catalog.drop_table("test", "t").unwrap();
    assert_eq!(text(catalog.create_index(table, "e", &by_field("x"))), "The table was dropped.");
    let trees = catalog.engine().snapshot().unwrap().trees(WAIT).unwrap();
    assert_eq!(trees, [record::TREE], "the trees of dropped tables and indexes are gone");
}

#[test]
fn building_an_index_gives_way_to_queries() {
    let catalog = catalog();
    let table = create_table(&catalog, "test", "t");
    insert(&table, 1.0);
    catalog.create_index(table.id, "a", &by_field("priority")).unwrap();
    wait_until_built(&catalog, table.id, "a");
    let own = rustix::process::getpriority_process(Some(rustix::process::getpid())).unwrap();
    let lower = (own + crate::limits::BACKGROUND_NICENESS).min(19);
    assert_eq!(*PRIORITIES.lock().unwrap(), [lower]);
}

#[test]
fn writers_keep_up_the_indexes_that_several_have_made_and_dropped() {
    let catalog = catalog();
    let entry = create_table(&catalog, "test", "t");
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let (catalog, table) = (&catalog, entry.id);
            scope.spawn(move || {
                for _ in 0..30 {
                    catalog.create_index(table, name, &by_field("id")).unwrap();
                    catalog.drop_index(table, name).unwrap();
                }
                catalog.create_index(table, name, &by_field("id")).unwrap();
            });
        }
        scope.spawn(|| (0..300).for_each(|id| insert(&entry, f64::from(id))));
    });
    insert(&entry, 300.0);
    for name in ["a", "b", "c"] {
        let index = wait_until_built(&catalog, entry.id, name);
        assert_eq!(found(&catalog, entry.id, &index), 301, "{name}");
    }
}

#[test]
fn indexes_of_a_catalog_opened_again_are_there_and_built_to_the_end() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let first = open(engine.clone());
    let table = create_table(&first, "test", "t");
    first.create_index(table.id, "a", &by_field("id")).unwrap();
    wait_until_built(&first, table.id, "a");
    insert(first.state().table_by_id(table.id).unwrap(), 1.0);
    // One that was not finished: its record says so, and entries are missing.
    let changed = first.create_index(table.id, "b", &by_field("id")).unwrap();
    wait_until_built(&first, table.id, "b");
    let mut record = changed.value.record();
    record.indexes[1].is_built = false;
    let tree = TreeId(record.indexes[1].tree);
    let mut batch = WriteBatch::new(Durability::Soft);
    record::put_table(&mut batch, table.id.0, &record).unwrap();
    batch.drop_tree(tree);
    batch.create_tree(tree);
    engine.apply(batch).unwrap();
    drop(first);
    let second = open(engine);
    for name in ["a", "b"] {
        let index = wait_until_built(&second, table.id, name);
        assert_eq!(found(&second, table.id, &index), 1, "{name}");
    }
    let state = second.state();
    assert_eq!(*state.table_by_id(table.id).unwrap().indexes["a"].definition, by_field("id"));
    let damaged = second.create_index(table.id, "c", &by_field(""));
    assert!(text(damaged).ends_with("no field"));
}

/// Puts bytes under the key of a document, or takes them away.
fn spoil(entry: &TableEntry, document: Option<&'static [u8]>) {
    let key = PrimaryKey::encode(&Datum::Number(7.0)).unwrap();
    let mut batch = WriteBatch::new(Durability::Soft);
    match document {
        Some(bytes) => batch.put(entry.table.tree(), key.as_bytes().clone(), bytes),
        None => batch.delete(entry.table.tree(), key.as_bytes().clone()),
    };
    entry.table.engine().apply(batch).unwrap();
}

#[test]
fn an_index_that_cannot_be_built_says_why_and_is_built_later() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let catalog = open(engine.clone());
    let table = create_table(&catalog, "test", "t");
    insert(&table, 1.0);
    spoil(&table, Some(b"no document"));
    let changed = catalog.create_index(table.id, "a", &by_field("id")).unwrap();
    let first = Arc::clone(&changed.value.indexes["a"].index);
    while first.problem().is_none() {
        std::thread::yield_now();
    }
    let problem = first.problem().unwrap();
    assert!(problem.starts_with("the document with the primary key 7: "), "{problem}");
    let name = catalog.name_of(table.id, &first);
    assert_eq!(name, format!("index `a` of table `test.t` ({})", table.id.0), "in the log");
    // Whoever renames it, or writes meanwhile, is in nobody's way.
    catalog.rename_index(table.id, "a", "b", false).unwrap();
    insert(&table, 2.0);
    spoil(&table, None);
    let index = wait_until_built(&catalog, table.id, "b");
    assert_eq!((index.id(), index.problem()), (first.id(), None));
    assert!(first.is_dropped());
    assert_eq!(found(&catalog, table.id, &index), 2);
    let trees = engine.snapshot().unwrap().trees(WAIT).unwrap();
    assert_eq!(trees, [record::TREE, table.table.tree(), index.tree()]);
}

#[test]
fn an_index_that_was_being_built_begins_anew_whatever_its_trees_have() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let first = open(engine.clone());
    let table = create_table(&first, "test", "t");
    insert(&table, 1.0);
    insert(&table, 2.0);
    let changed = first.create_index(table.id, "a", &by_field("id")).unwrap();
    let built = wait_until_built(&first, table.id, "a");
    // As a stop leaves it amid catching up: the tree is loaded, and what writers have noted is not in it yet.
    let mut record = changed.value.record();
    record.indexes[0].is_built = false;
    let notes = TreeId(1_000);
    record.indexes[0].notes = Some(notes.0);
    let mut batch = WriteBatch::new(Durability::Soft);
    record::put_table(&mut batch, table.id.0, &record).unwrap();
    batch.create_tree(notes);
    batch.put(notes, "an entry", "x");
    batch.put(built.tree(), "an entry that is not any more", "");
    engine.apply(batch).unwrap();
    check(&engine.snapshot().unwrap(), &Fields, &[], &mut Err).unwrap();
    drop((first, changed));
    let second = open(engine.clone());
    let index = wait_until_built(&second, table.id, "a");
    assert_eq!(found(&second, table.id, &index), 2);
    check(&engine.snapshot().unwrap(), &Fields, &[], &mut Err).unwrap();
    let trees = engine.snapshot().unwrap().trees(WAIT).unwrap();
    assert_eq!(trees, [record::TREE, table.table.tree(), index.tree()]);
}

fn write_at_random(entry: &TableEntry, random: &mut Random) {
    let id = Datum::Number(random.below(3_000) as f64);
    let value = Datum::Number(random.below(50) as f64);
    let decision = match random.below(4) {
        0 => Decision::Delete,
        _ => Decision::Put(
            Document::encode(&Datum::object([("id", id.clone()), ("v", value)])).unwrap(),
        ),
    };
    let key = PrimaryKey::encode(&id).unwrap();
    let decide = |_: Option<&Document>| Ok::<_, Infallible>(decision.clone());
    entry.table.write_one(&key, Durability::Soft, WAIT, decide).unwrap();
}

fn check_once_built(catalog: &Catalog, table: TableId) {
    let names: Vec<_> =
        catalog.state().table_by_id(table).unwrap().indexes.keys().cloned().collect();
    let indexes = names.iter().map(|name| wait_until_built(catalog, table, name));
    let mut expected: Vec<_> = indexes.map(|index| index.tree()).collect();
    expected.extend([record::TREE, catalog.state().table_by_id(table).unwrap().table.tree()]);
    expected.sort_unstable();
    let snapshot = catalog.engine().snapshot().unwrap();
    // Compares all entries of all indexes with what the documents say.
    check(&snapshot, &Fields, &[], &mut Err).unwrap();
    assert_eq!(snapshot.trees(WAIT).unwrap(), expected);
}

/// Also after crashes at any moment of it.
#[test]
fn indexes_come_and_go_while_they_are_built_and_documents_are_written() {
    let mut random = Random::from_environment();
    let disk = FaultyDisk::new(random.next());
    let options = || SlabOptions {
        flush_interval: Some(Duration::from_millis(1)),
        ..SlabOptions::new([7; 16], 8 << 20)
    };
    let open_on = |disk: &FaultyDisk| {
        open(Arc::new(SlabEngine::open(Arc::new(disk.clone()), options()).unwrap()))
    };
    let catalog = open_on(&disk);
    let table = create_table(&catalog, "test", "t");
    (0..2_000).for_each(|_| write_at_random(&table, &mut random));
    catalog.engine().wait_durable(catalog.engine().last_sequence()).unwrap();
    let stop = AtomicBool::new(false);
    let mut crashed = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let mut random = Random::seeded(random.next());
            let (table, stop) = (&table, &stop);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    write_at_random(table, &mut random);
                }
            });
        }
        for round in 0..120 {
            let name = |random: &mut Random| ["a", "b", "c"][random.below(3) as usize];
            // Whether there is one of that name makes no difference here.
            match random.below(4) {
                0 => drop(catalog.drop_index(table.id, name(&mut random))),
                1 => {
                    let (old, new) = (name(&mut random), name(&mut random));
                    drop(catalog.rename_index(table.id, old, new, true));
                }
                _ => drop(catalog.create_index(table.id, name(&mut random), &by_field("v"))),
            }
            std::thread::sleep(Duration::from_millis(random.below(12)));
            if round % 20 == 0 {
                crashed.push(disk.crash(CrashMode::LoseAll));
            }
        }
        stop.store(true, Relaxed);
    });
    check_once_built(&catalog, table.id);
    for disk in crashed {
        check_once_built(&open_on(&disk), table.id);
    }
}

#[test]
fn databases_and_tables_are_renamed_and_configured() {
    let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let catalog = open(engine.clone());
    let other = catalog.create_database("other").unwrap().value;
    let table = create_table(&catalog, "test", "a");
    create_table(&catalog, "test", "b");
    insert(&table, 1.0);
    catalog.create_index(table.id, "i", &by_field("id")).unwrap();
    wait_until_built(&catalog, table.id, "i");
    let config = TableConfig { durability: Durability::Soft, shards: 3, ..table.config.clone() };
    let configure = |database, name| catalog.configure_table(table.id, database, name, &config);
    let taken = "Can't rename table `test.a` to `test.b` because table `test.b` already exists.";
    assert_eq!(text(configure("test", "b")), taken);
    assert_eq!(text(configure("nope", "a")), "Database `nope` does not exist.");
    let moved = configure("other", "c").unwrap().value;
    assert!(Arc::ptr_eq(&moved.table, &table.table), "an open table stays the same");
    assert_eq!(catalog.state().table_names("test").unwrap(), ["b"]);
    let taken = "Cannot rename database `other` to `test` because database `test` already exists.";
    assert_eq!(text(catalog.rename_database("other", "test")), taken);
    let special = "Database `rethinkdb` is special; you can't delete it.";
    assert_eq!(text(catalog.rename_database("rethinkdb", "x")), special);
    catalog.rename_database("other", "third").unwrap();
    let settings = ServerSettings {
        heartbeat_timeout_secs: 5.0,
        name: Some("other".to_owned()),
        tags: ["a".to_owned()].into(),
        cache_bytes: Some(1 << 30),
    };
    catalog.change_settings(|all| all.clone_from(&settings)).unwrap();
    drop(catalog);
    let again = open(engine);
    let state = again.state();
    assert_eq!(state.database_names(), ["rethinkdb", "test", "third"]);
    assert_eq!(state.database("third").unwrap().id, other.id);
    let found = state.table("third", "c").unwrap();
    assert_eq!((found.id, &found.config, count(found)), (table.id, &config, 1));
    assert!(found.indexes["i"].index.is_ready());
    assert_eq!(*state.settings(), settings);
}

/// A table with an index that are whole, and what a change of what is stored makes the check say.
fn checked(spoil: impl FnOnce(&TableEntry, &mut WriteBatch)) -> Result<DataReport, String> {
    let catalog = catalog();
    let table = create_table(&catalog, "test", "a");
    create_table(&catalog, "test", "b");
    catalog.create_index(table.id, "by_id", &by_field("id")).unwrap();
    let index = wait_until_built(&catalog, table.id, "by_id");
    let table = Arc::clone(catalog.state().table("test", "a").unwrap());
    insert(&table, 1.0);
    insert(&table, 2.0);
    assert_eq!(found(&catalog, table.id, &index), 2);
    let mut batch = WriteBatch::new(Durability::Hard);
    spoil(&table, &mut batch);
    if !batch.is_empty() {
        catalog.engine().apply(batch).unwrap();
    }
    let snapshot = catalog.engine().snapshot().unwrap();
    check(&snapshot, &Fields, &[], &mut Err).map_err(|error| error.to_string())
}

#[test]
fn a_catalog_whose_trees_and_indexes_agree_is_counted() {
    let report = checked(|_, _| {}).unwrap();
    assert_eq!(report, DataReport { tables: 2, documents: 2, indexes: 1, entries: 2 });
    let nothing: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
    let report = check(&nothing.snapshot().unwrap(), &Fields, &[], &mut Err).unwrap();
    assert_eq!(report, DataReport::default());
}

#[test]
fn trees_without_owners_and_tables_without_trees_are_found() {
    let wrong = |spoil: &dyn Fn(&TableEntry, &mut WriteBatch)| checked(spoil).unwrap_err();
    let orphan = wrong(&|_, batch| batch.create_tree(TreeId(999)));
    assert_eq!(orphan, "tree 999 belongs to no table and no index");
    let lost = wrong(&|table, batch| record::delete_table(batch, table.id.0));
    assert!(lost.ends_with(" belongs to no table and no index"), "{lost}");
    let tree = |table: &TableEntry| table.indexes["by_id"].index.tree();
    let gone = wrong(&|table, batch| batch.drop_tree(tree(table)));
    assert!(gone.starts_with("table `test.a`: index `by_id`: its tree "), "{gone}");
    let gone = wrong(&|table, batch| batch.drop_tree(table.primary_tree));
    assert!(gone.starts_with("table `test.a`: its tree "), "{gone}");
    let missing = wrong(&|table, batch| {
        batch.drop_tree(tree(table));
        batch.create_tree(tree(table));
    });
    assert_eq!(
        missing,
        "table `test.a`: index `by_id`: the document with the primary key 1 has no entry for 1"
    );
}

#[test]
fn what_is_listed_twice_is_found() {
    let wrong = |change: &dyn Fn(&mut TableRecord)| {
        let spoil = |table: &TableEntry, batch: &mut WriteBatch| {
            let mut record = table.record();
            change(&mut record);
            record::put_table(batch, table.id.0, &record).unwrap();
        };
        checked(spoil).unwrap_err()
    };
    let shared = wrong(&|record| record.indexes[0].tree = record.primary_tree);
    assert_eq!(shared, "table `test.a`: index `by_id`: its tree belongs to another one");
    let same = wrong(&|record| record.name = "b".into());
    assert_eq!(same, "table `test.b`: there are two of that name");
    let same = wrong(&|record| record.indexes.push(record.indexes[0].clone()));
    assert_eq!(same, "table `test.a`: two of its indexes have the same name");
    let lost = wrong(&|record| record.database = Uuid::nil());
    assert!(lost.ends_with("its database does not exist"), "{lost}");
}
