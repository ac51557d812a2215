//! Tests of the catalog: names and their errors, what survives, and two catalogs on one engine.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Mutex;

use super::*;
use crate::datum::Datum;
use crate::storage::memory::MemoryEngine;
use crate::storage::{Durability, KeyRange, ReadMode};
use crate::table::{CommittedChanges, Decision, Document, NoSink, PrimaryKey};

const WAIT: ReadMode = ReadMode::MayBlock;

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
    entry.table.reader(WAIT).unwrap().count(&KeyRange::ALL).unwrap()
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
    assert_eq!(
        text(state.table("rethinkdb", "users")),
        "The system table `rethinkdb.users` is not supported yet."
    );
    assert_eq!(text(state.table("rethinkdb", "nope")), "Table `rethinkdb.nope` does not exist.");
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
    assert!(items.table.reader(WAIT).unwrap().count(&KeyRange::ALL).is_err());
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
    let catalog = Catalog::open(Arc::new(MemoryEngine::new()), sink.clone()).unwrap();
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
        let text = text(Catalog::open(engine, Arc::new(NoSink)));
        assert!(text.contains(expected), "{text}");
    }
}
