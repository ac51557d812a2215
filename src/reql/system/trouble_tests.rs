//! What an operator is told of a full disk and of damage.

use std::sync::Arc;

use super::{Trouble, TroubleKind, troubles};
use crate::datum::{Datum, StoredObject};
use crate::reql::terms::testing::{Outcome, Server};
use crate::storage::disk::{CrashMode, FaultyDisk};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Durability, Lost, WriteBatch};
use crate::table::PrimaryKey;

const TABLE: &str = r#"[15,[[14,["test"]],"t"]]"#;
const ISSUES: &str = r#"[15,[[14,["rethinkdb"]],"current_issues"]]"#;

fn engine(disk: &FaultyDisk) -> Arc<SlabEngine> {
    let options = SlabOptions {
        flush_interval: None,
        reserve_bytes: 16_384,
        ..SlabOptions::new([7; 16], 8 << 20)
    };
    Arc::new(SlabEngine::open(Arc::new(disk.clone()), options).unwrap())
}

fn field(query: &str, field: &str) -> String {
    format!(r#"[170,[{query},"{field}"]]"#)
}

/// Adds this many documents, with numbers as keys.
fn insert(server: &Server, keys: std::ops::Range<u32>) -> Outcome {
    let text = "x".repeat(500);
    let rows: Vec<_> = keys.map(|key| format!(r#"{{"id":{key},"text":"{text}"}}"#)).collect();
    server.run_with(&format!("[56,[{TABLE},[2,[{}]]]]", rows.join(",")), "{}")
}

#[test]
fn a_full_disk_is_an_issue_and_takes_tables_their_readiness_for_writes() {
    let disk = FaultyDisk::new(1);
    let server = Server::on(engine(&disk));
    server.succeed(r#"[60,["t"]]"#);
    let status = format!(
        "[33,[{},\"ready_for_reads\",\"ready_for_writes\",\"all_replicas_ready\"]]",
        field(&format!("[175,[{TABLE}]]"), "status")
    );
    let ready = |writes: bool| {
        format!(
            r#"{{"all_replicas_ready":{writes},"ready_for_reads":true,"ready_for_writes":{writes}}}"#
        )
    };
    server.check(&status, &ready(true));
    server.check(ISSUES, "[]");
    disk.set_capacity(disk.used() + 100_000);
    let mut from = 0;
    while server.context().catalog.engine().check_writable().is_ok() {
        insert(&server, from..from + 100);
        from += 100;
        assert!(from < 100_000, "the disk does not become full");
    }
    server.check(&status, &ready(false));
    server.check(&format!("[43,[{TABLE}]]"), &format!("{}", count(&server)));
    server.check(
        &format!(r#"[33,[[116,[{ISSUES},0]],"type","critical","id"]]"#).replace("[116", "[45"),
        r#"{"critical":true,"id":"disk_full","type":"disk_full"}"#,
    );
    let found = troubles(server.context());
    assert!(found[0].description.contains("the directory of the data is full"), "{found:?}");
    disk.set_capacity(usize::MAX);
    // Without threads whoever writes finds out.
    insert(&server, from..from + 1);
    server.check(&status, &ready(true));
    server.check(ISSUES, "[]");
}

fn count(server: &Server) -> serde_json::Value {
    match server.run_with(&format!("[43,[{TABLE}]]"), "{}") {
        Outcome::Value(count) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_disk_that_is_nearly_full_is_an_issue_that_is_not_critical() {
    let disk = FaultyDisk::new(1);
    let server = Server::on(engine(&disk));
    disk.tell_room();
    disk.set_capacity(disk.used() + (100 << 20));
    let found = troubles(server.context());
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, TroubleKind::DiskNearlyFull);
    assert_eq!(found[0].info.get("available_bytes"), Some(&Datum::Number(f64::from(100 << 20))));
    server.check(&format!(r#"[170,[[45,[{ISSUES},0]],"critical"]]"#), "false");
    disk.set_capacity(disk.used() + (2 << 30));
    assert!(troubles(server.context()).is_empty());
}

#[test]
fn writing_that_has_stopped_is_an_issue() {
    let disk = FaultyDisk::new(1);
    let server = Server::on(engine(&disk));
    server.succeed(r#"[60,["t"]]"#);
    disk.fail_after(0);
    insert(&server, 0..10);
    let engine = server.context().catalog.engine();
    engine.wait_durable(engine.last_sequence()).unwrap_err();
    let found = troubles(server.context());
    assert_eq!(found[0].kind, TroubleKind::WritingStopped, "{found:?}");
}

/// A server over 2,000 documents and an index of them, with one bit of the data file flipped.
fn damaged(at: usize) -> Option<(Server, Trouble)> {
    let disk = FaultyDisk::new(1);
    let store = engine(&disk);
    let server = Server::on(store.clone());
    server.succeed(r#"[60,["t"]]"#);
    (0..20).for_each(|part| drop(insert(&server, part * 100..part * 100 + 100)));
    store.checkpoint().unwrap();
    drop((server, store));
    let disk = disk.crash(CrashMode::KeepAll);
    let tree = {
        let server = Server::on(engine(&disk));
        let table = server.context().catalog.state().table("test", "t").unwrap().table.clone();
        table.tree()
    };
    assert!(tree.0 > 0);
    disk.flip_bit("slab.data", at, 3);
    let server = Server::on(engine(&disk));
    assert!(troubles(server.context()).is_empty(), "nobody has read it");
    let read = server.run_with(TABLE, "{}");
    let Outcome::Error(..) = read else { return None };
    let found = troubles(server.context());
    assert_eq!(found.len(), 1, "{found:?}");
    Some((server, found[0].clone()))
}

#[test]
fn damage_that_a_query_meets_is_an_issue_that_says_which_keys_to_read_around() {
    let disk_bytes = 2_000_000;
    let mut met = 0;
    for at in (262_144 + 5_000..disk_bytes).step_by(100_003) {
        let Some((server, trouble)) = damaged(at) else { continue };
        met += 1;
        assert_eq!(trouble.kind, TroubleKind::DamagedData);
        assert!(
            trouble.description.starts_with("Damaged data in table `test.t` at slab.data at "),
            "{trouble:?}"
        );
        let lost = trouble.info.get("lost").unwrap().clone();
        let key = |name: &str| lost.get(name).unwrap().clone();
        let documents = key("documents").print();
        // What is read around it is all the rest.
        let json = |bound: Datum, none: &str| match bound {
            Datum::Null => none.to_owned(),
            bound => bound.print(),
        };
        let (after, before) = (json(key("after"), "[180,[]]"), json(key("before"), "[181,[]]"));
        let low = format!(
            r#"[43,[[32,[[182,[{TABLE},[180,[]],{after}],{{"right_bound":"closed"}}],"text"]]]]"#
        );
        let high = format!(r#"[43,[[32,[[182,[{TABLE},{before},[181,[]]]],"text"]]]]"#);
        let number = |query: &str| match server.run_with(query, "{}") {
            Outcome::Value(number) => number.as_f64().unwrap(),
            other => panic!("{query}: {other:?}"),
        };
        let all = number(&low) + number(&high) + documents.parse::<f64>().unwrap();
        assert_eq!(all, 2_000.0, "{trouble:?}");
        server.check(&format!(r#"[170,[[170,[[45,[{ISSUES},0]],"info"]],"table"]]"#), "\"t\"");
        server.succeed(r#"[61,["t"]]"#);
        server.check(ISSUES, "[]");
    }
    assert!(met > 3, "{met}");
}

#[test]
fn a_damaged_document_is_an_issue_until_it_is_gone() {
    let server = Server::on(engine(&FaultyDisk::new(1)));
    server.succeed(r#"[60,["t"]]"#);
    server.succeed(&format!(r#"[56,[{TABLE},{{"id":1,"n":null}}]]"#));
    let context = server.context().clone();
    let table = context.catalog.state().table("test", "t").unwrap().table.clone();
    let key = PrimaryKey::encode(&Datum::Number(1.0)).unwrap();
    let fields = [("id", Datum::Number(1.0)), ("n", Datum::Null)];
    let mut bytes = StoredObject::encode(&Datum::object(fields)).unwrap().as_bytes().to_vec();
    let end = bytes.len();
    bytes[end - 5..].copy_from_slice(b"nuls}");
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.put(table.tree(), key.as_bytes().clone(), bytes);
    context.catalog.engine().apply(batch).unwrap();
    assert!(matches!(
        server.run_with(&format!(r#"[170,[[16,[{TABLE},1]],"n"]]"#), "{}"),
        Outcome::Error(..)
    ));
    let found = troubles(&context);
    assert_eq!(found.len(), 1);
    assert!(found[0].description.contains("the document with the primary key 1"), "{found:?}");
    assert!(
        matches!(&context.catalog.engine().damage()[0].lost, Lost::Entry(found) if found == key.as_bytes())
    );
    server.succeed(&format!("[54,[[16,[{TABLE},1]]]]"));
    assert!(troubles(&context).is_empty());
}
