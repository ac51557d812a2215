//! Feeds of system tables: what is changed on the server arrives, once, and nothing else does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::datum::Datum;
use crate::reql::terms::testing::{Outcome, Server};
use crate::reql::{Cursor, ErrorKind};

fn table(name: &str) -> String {
    format!(r#"[15,[[14,["rethinkdb"]],"{name}"]]"#)
}

fn changes(of: &str, options: &str) -> String {
    format!("[152,[{of}],{options}]")
}

/// The next rows, as many as wanted, without ids.
#[track_caller]
fn next(feed: &mut Cursor, wanted: usize) -> Vec<Value> {
    let began = Instant::now();
    let mut rows = Vec::new();
    while rows.len() < wanted {
        assert!(began.elapsed() < Duration::from_secs(30), "only {rows:?}");
        let batch = feed.next_batch().expect("a batch").rows;
        if batch.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
        rows.extend(batch.iter().map(json_of));
    }
    assert_eq!(rows.len(), wanted, "{rows:?}");
    rows
}

fn json_of(row: &Datum) -> Value {
    let mut text = Vec::new();
    crate::datum::write_json(row, &mut text);
    serde_json::from_slice(&text).unwrap()
}

/// Some fields of the row before and after a change.
fn fields(change: &Value, fields: &[&str]) -> Value {
    let some = |row: &Value| match row {
        Value::Object(row) => {
            fields.iter().map(|field| ((*field).to_owned(), row[*field].clone())).collect()
        }
        other => other.clone(),
    };
    json!([some(&change["old_val"]), some(&change["new_val"])])
}

#[test]
fn tables_come_change_and_go() {
    let server = Server::new();
    let mut config = server.open(&changes(&table("table_config"), r#"{"include_types":true}"#));
    let mut status = server.open(&changes(&table("table_status"), "{}"));
    server.succeed(r#"[60,["t"]]"#);
    let made = &next(&mut config, 1)[0];
    assert_eq!(made["type"], "add");
    assert_eq!(fields(made, &["name", "db"]), json!([null, {"name": "t", "db": "test"}]));
    let made = &next(&mut status, 1)[0];
    assert_eq!(fields(made, &["name"]), json!([null, {"name": "t"}]));
    server.succeed(r#"[75,[[15,["t"]],"i"]]"#);
    let index = &next(&mut config, 1)[0];
    assert_eq!(index["type"], "change");
    assert_eq!(fields(index, &["indexes"]), json!([{"indexes": []}, {"indexes": ["i"]}]));
    server.succeed(r#"[53,[[174,[[15,["t"]]]],{"name":"u","durability":"soft"}]]"#);
    let renamed = fields(&next(&mut config, 1)[0], &["name", "durability"]);
    let (hard, soft) =
        (json!({"name": "t", "durability": "hard"}), json!({"name": "u", "durability": "soft"}));
    assert_eq!(renamed, json!([hard, soft]));
    let renamed = fields(&next(&mut status, 1)[0], &["name"]);
    assert_eq!(renamed, json!([{"name": "t"}, {"name": "u"}]));
    // What changes no row is no change: documents, and a database beside.
    server.succeed(r#"[56,[[15,["u"]],{"id":1}]]"#);
    server.succeed(r#"[57,["other"]]"#);
    server.succeed(r#"[61,["u"]]"#);
    let gone = &next(&mut config, 1)[0];
    assert_eq!(gone["type"], "remove");
    assert_eq!(fields(gone, &["name"]), json!([{"name": "u"}, null]));
    assert_eq!(fields(&next(&mut status, 1)[0], &["name"]), json!([{"name": "u"}, null]));
}

#[test]
fn a_feed_may_begin_with_what_there_is() {
    let server = Server::new();
    server.succeed(r#"[57,["a"]]"#);
    let options = r#"{"include_initial":true,"include_states":true,"include_types":true}"#;
    let mut feed = server.open(&changes(&table("db_config"), options));
    let begin = next(&mut feed, 4);
    assert_eq!(begin[0], json!({"state": "initializing", "type": "state"}));
    let mut names = [&begin[1], &begin[2]].map(|row| {
        assert_eq!(row["type"], "initial");
        assert!(row.get("old_val").is_none());
        row["new_val"]["name"].as_str().unwrap()
    });
    names.sort_unstable();
    assert_eq!(names, ["a", "test"]);
    assert_eq!(begin[3], json!({"state": "ready", "type": "state"}));
    server.succeed(r#"[58,["a"]]"#);
    assert_eq!(fields(&next(&mut feed, 1)[0], &["name"]), json!([{"name": "a"}, null]));
    let states = r#"{"include_states":true}"#;
    let mut feed = server.open(&changes(&table("db_config"), states));
    assert_eq!(next(&mut feed, 1), [json!({"state": "ready"})]);
    assert!(feed.next_batch().unwrap().rows.is_empty());
}

#[test]
fn one_row_and_a_range() {
    let server = Server::new();
    let users = table("users");
    let initial = r#"{"include_initial":true}"#;
    let mut bob = server.open(&changes(&format!(r#"[16,[{users},"bob"]]"#), initial));
    let mut some = server.open(&changes(&format!(r#"[182,[{users},"b","c"]]"#), initial));
    let mut permissions = server.open(&changes(&table("permissions"), "{}"));
    assert_eq!(next(&mut bob, 1), [json!({"new_val": null})]);
    for name in ["alice", "bob", "carol"] {
        server.succeed(&format!(r#"[56,[{users},{{"id":"{name}","password":""}}]]"#));
    }
    let made = json!({"new_val": {"id": "bob", "password": false}, "old_val": null});
    assert_eq!(next(&mut bob, 1), std::slice::from_ref(&made));
    assert_eq!(next(&mut some, 1), std::slice::from_ref(&made));
    server.succeed(r#"[188,[[14,["test"]],"bob",{"read":true}]]"#);
    let granted = fields(&next(&mut permissions, 1)[0], &["user", "database", "permissions"]);
    assert_eq!(
        granted,
        json!([null, {"user": "bob", "database": "test", "permissions": {"read": true}}])
    );
    // The database's new name is news of the permissions too.
    server.succeed(r#"[53,[[174,[[14,["test"]]]],{"name":"renamed"}]]"#);
    let renamed = fields(&next(&mut permissions, 1)[0], &["database"]);
    assert_eq!(renamed, json!([{"database": "test"}, {"database": "renamed"}]));
    server.succeed(&format!(r#"[54,[[16,[{users},"bob"]]]]"#));
    assert_eq!(next(&mut bob, 1)[0]["new_val"], Value::Null);
    assert_eq!(next(&mut permissions, 1)[0]["new_val"], Value::Null);
}

#[test]
fn identifiers_in_both_formats() {
    let server = Server::new();
    let by_id = r#"[15,[[14,["rethinkdb"]],"table_config"],{"identifier_format":"uuid"}]"#;
    let mut names = server.open(&changes(&table("table_config"), "{}"));
    let mut ids = server.open(&changes(by_id, "{}"));
    server.succeed(r#"[60,["t"]]"#);
    let (name, id) = (next(&mut names, 1), next(&mut ids, 1));
    assert_eq!(name[0]["new_val"]["db"], "test");
    assert_eq!(id[0]["new_val"]["db"].as_str().unwrap().len(), 36);
    assert_eq!(name[0]["new_val"]["id"], id[0]["new_val"]["id"]);
}

#[test]
fn feeds_that_come_late_and_feeds_that_go() {
    let server = Server::new();
    let cluster = changes(&table("cluster_config"), "{}");
    let mut first = server.open(&cluster);
    let beat = |seconds: u32| {
        let change = format!(r#"{{"heartbeat_timeout_secs":{seconds}}}"#);
        server.succeed(&format!("[53,[{},{change}]]", table("cluster_config")));
    };
    beat(5);
    let mut second = server.open(&cluster);
    beat(6);
    // What was changed before somebody listened is told to the others alone.
    let second = next(&mut second, 1);
    assert_eq!(second[0]["old_val"]["heartbeat_timeout_secs"], 5);
    let seen = next(&mut first, 2);
    assert_eq!(seen[0]["new_val"]["heartbeat_timeout_secs"], 5);
    assert_eq!(seen[1..], second);
    drop(first);
    let mut again = server.open(&cluster);
    beat(7);
    assert_eq!(next(&mut again, 1)[0]["old_val"]["heartbeat_timeout_secs"], 6);
}

#[test]
fn every_system_table_has_a_feed() {
    let server = Server::new();
    for name in crate::catalog::system::SYSTEM_TABLES {
        let mut feed = server.open(&changes(&table(name), r#"{"squash":2.5}"#));
        assert!(feed.next_batch().unwrap().rows.is_empty(), "{name}");
        server.check(&format!("[52,[{}]]", changes(&table(name), "{}")), r#""STREAM""#);
    }
}

#[test]
fn what_is_made_of_rows_can_be_listened_to() {
    let server = Server::new();
    server.succeed(r#"[57,["other"]]"#);
    server.succeed(r#"[60,[[14,["other"]],"b"]]"#);
    server.succeed(r#"[60,["a"]]"#);
    let of_test = format!(r#"[39,[{},{{"db":"test"}}]]"#, table("table_config"));
    let options = r#"{"include_initial":true,"include_states":true,"include_types":true}"#;
    let mut filtered = server.open(&changes(&of_test, options));
    let begin = next(&mut filtered, 3);
    assert_eq!(begin[1]["new_val"]["name"], "a");
    let names = format!(r#"[33,[{},"name","db"]]"#, table("table_config"));
    let mut plucked = server.open(&changes(&names, "{}"));
    let name = r#"[69,[[2,[1]],[170,[[10,[1]],"name"]]]]"#;
    let mut mapped = server.open(&changes(&format!("[38,[{of_test},{name}]]"), "{}"));
    // Of another database; no name; then from one database to the other, which is a removal for who looks at one.
    server.succeed(r#"[61,[[14,["other"]],"b"]]"#);
    let gone = json!({"old_val": {"name": "b", "db": "other"}, "new_val": null});
    assert_eq!(next(&mut plucked, 1), [gone]);
    server.succeed(r#"[53,[[174,[[15,["a"]]]],{"durability":"soft"}]]"#);
    assert_eq!(next(&mut filtered, 1)[0]["type"], "change");
    server.succeed(r#"[53,[[174,[[15,["a"]]]],{"db":"other"}]]"#);
    let moved = &next(&mut filtered, 1)[0];
    assert_eq!((&moved["type"], &moved["new_val"]), (&json!("remove"), &Value::Null));
    assert_eq!(next(&mut mapped, 1), [json!({"old_val": "a", "new_val": null})]);
    let moved =
        json!({"old_val": {"name": "a", "db": "test"}, "new_val": {"name": "a", "db": "other"}});
    assert_eq!(next(&mut plucked, 1), [moved]);
}

#[test]
fn rows_that_a_feed_fails_on_are_none() {
    let server = Server::new();
    server.succeed(r#"[60,["t"]]"#);
    let half = r#"[69,[[2,[1]],[27,[[170,[[10,[1]],"n"]],2]]]]"#;
    let mut feed = server.open(&changes(&format!(r#"[38,[[15,["t"]],{half}]]"#), "{}"));
    for row in [r#"{"id":1,"n":"x"}"#, r#"{"id":1,"n":4}"#, r#"{"id":1}"#, r#"{"id":2}"#] {
        server.succeed(&format!(r#"[56,[[15,["t"]],{row}],{{"conflict":"replace"}}]"#));
    }
    let changes = [json!({"old_val": null, "new_val": 2}), json!({"old_val": 2, "new_val": null})];
    assert_eq!(next(&mut feed, 2), changes);
    assert!(feed.next_batch().unwrap().rows.is_empty());
}

#[test]
fn what_is_refused() {
    let server = Server::new();
    let offsets = r#"{"include_offsets":true}"#;
    let point = format!(r#"[16,[{},"admin"]]"#, table("users"));
    let ordered = format!(r#"[41,[{}],{{"index":"id"}}]"#, table("users"));
    let first = format!("[71,[{ordered},2]]");
    for (query, refused) in [
        (changes(&first, "{}"), "System tables don't support changefeeds on `.limit()`."),
        (changes(&table("users"), offsets), "Cannot include offsets for range subs."),
        (changes(&point, offsets), "Cannot include offsets for point subs."),
        (changes(&table("nope"), "{}"), "Table `rethinkdb.nope` does not exist."),
    ] {
        match server.run_with(&query, "{}") {
            Outcome::Error(ErrorKind::OpFailed, message, _) if message == refused => {}
            other => panic!("{query}: {other:?}"),
        }
    }
    let random = r#"[69,[[2,[1]],[18,[[151,[]],[170,[[10,[1]],"id"]]]]]]"#;
    for (query, refused) in [
        (
            format!("[71,[{},2]]", table("users")),
            "Cannot get changes on the first elements of an unordered stream.",
        ),
        (
            format!("[33,[{first},\"id\"]]"),
            "Changefeeds are not supported on queries that have a transformation following a `limit` term.  \
             Transformations include terms such as `filter`, `map`, `pluck`, etc.  Consider moving the transformation \
             before the `limit` term.",
        ),
        (
            format!("[39,[{},{random}]]", table("users")),
            "Cannot call `changes` after a non-deterministic function.",
        ),
        (
            format!("[40,[{},[69,[[2,[1]],[2,[]]]]]]", table("users")),
            "Cannot call `changes` after `concat_map`.",
        ),
        (format!("[42,[{}]]", table("users")), "Cannot call `changes` on an eager stream."),
        (
            format!(r#"[144,[{},"id"]]"#, table("users")),
            "Cannot call `changes` on an eager stream.",
        ),
        (format!(r#"[41,[{},"id"]]"#, table("users")), "Cannot call `changes` on an eager stream."),
    ] {
        let query = changes(&query, "{}");
        match server.run_with(&query, "{}") {
            Outcome::Error(ErrorKind::Logic, message, _) if message == refused => {}
            other => panic!("{query}: {other:?}"),
        }
    }
}
