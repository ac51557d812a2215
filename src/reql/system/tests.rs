//! What can be done to the rows of system tables, and what is refused.

use crate::reql::terms::testing::{Outcome, Server};
use crate::storage::{Durability, WriteBatch};
use crate::table::PrimaryKey;

fn table(name: &str) -> String {
    format!(r#"[15,[[14,["rethinkdb"]],"{name}"]]"#)
}

/// The first error of a write.
#[track_caller]
fn refusal(server: &Server, query: &str) -> String {
    match server.run_with(query, "{}") {
        Outcome::Value(answer) => match answer["first_error"].as_str() {
            Some(error) => error.to_owned(),
            None => panic!("{query} succeeds: {answer}"),
        },
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn a_row_of_db_config_is_a_database() {
    let server = Server::new();
    let (table, insert) =
        (table("db_config"), |row: &str| format!("[56,[{},{row}]]", table("db_config")));
    let changed =
        |query: &str, what: &str| server.check(&format!(r#"[170,[{query},"{what}"]]"#), "1");
    changed(&insert(r#"{"name":"made"}"#), "inserted");
    server.check("[59,[]]", r#"["made","rethinkdb","test"]"#);
    changed(
        &format!(r#"[53,[[39,[{table},{{"name":"made"}}]],{{"name":"renamed"}}]]"#),
        "replaced",
    );
    changed(&format!(r#"[53,[[39,[{table},{{"name":"test"}}]],{{"name":"test"}}]]"#), "unchanged");
    changed(&format!(r#"[54,[[39,[{table},{{"name":"renamed"}}]]]]"#), "deleted");
    changed(&format!(r#"[54,[[16,[{table},"nothing"]]]]"#), "skipped");
    server.check("[59,[]]", r#"["rethinkdb","test"]"#);
    for (row, refused) in [
        (r#"{"name":"test"}"#, "Database `test` already exists."),
        (r#"{"name":"rethinkdb"}"#, "Database `rethinkdb` already exists."),
        (
            r#"{"name":"x","id":"2cbd07f5-1a0f-4b8c-8e8d-cf1a0b1a5b3e"}"#,
            "If you want to create a new table by inserting into `rethinkdb.db_config`, you must use an auto-generated \
             primary key.",
        ),
        (
            r#"{"name":"a b"}"#,
            "The change you're trying to make to `rethinkdb.db_config` has the wrong format. In `name`: \"a b\" is not a \
             valid db name; Use A-Z, a-z, 0-9, _ and - only",
        ),
        (
            r#"{"name":1}"#,
            "The change you're trying to make to `rethinkdb.db_config` has the wrong format. In `name`: Expected a db name; \
             got 1",
        ),
        (
            "{}",
            "The change you're trying to make to `rethinkdb.db_config` has the wrong format. Expected a field named `name`.",
        ),
        (
            r#"{"name":"x","b":1,"a":2}"#,
            "The change you're trying to make to `rethinkdb.db_config` has the wrong format. Unexpected key(s): a b",
        ),
    ] {
        assert_eq!(refusal(&server, &insert(row)), refused, "{row}");
    }
}

#[test]
fn a_row_of_table_config_is_a_table() {
    let server = Server::new();
    let insert = |row: &str| format!("[56,[{},{row}]]", table("table_config"));
    let made = r#"{"db":"test","name":"t","primary_key":"key","durability":"soft"}"#;
    server.check(&format!(r#"[170,[{},"inserted"]]"#, insert(made)), "1");
    server.check(
        r#"[33,[[174,[[15,["t"]]]],"durability","primary_key","write_acks","indexes"]]"#,
        r#"{"durability":"soft","primary_key":"key","write_acks":"majority","indexes":[]}"#,
    );
    server.succeed(r#"[75,[[15,["t"]],"i"]]"#);
    server.succeed(r#"[140,[[15,["t"]]]]"#);
    for (row, refused) in [
        (r#"{"db":"test","name":"t"}"#, "Table `test.t` already exists."),
        (
            r#"{"db":"test","name":"u","id":"x"}"#,
            "There is no existing table with the given ID. To create a new table by inserting into \
             `rethinkdb.table_config`, you must let the database generate the primary key automatically.",
        ),
        (r#"{"db":"none","name":"u"}"#, "Database `none` does not exist."),
        (r#"{"db":"test"}"#, "Expected a field named `name`."),
        (r#"{"name":"u"}"#, "Expected a field named `db`."),
        (
            r#"{"db":"test","name":"u","indexes":[2,["i"]]}"#,
            "The `indexes` field is read-only and can't be used to create indexes.",
        ),
        (
            r#"{"db":"test","name":"u","write_acks":"all"}"#,
            "In `write_acks`: Expected \"single\" or \"majority\", got: \"all\"",
        ),
        (r#"{"db":"test","name":"u","shards":1}"#, "In `shards`: Expected an array, got 1"),
        (r#"{"db":"test","name":"u","else":1}"#, "Unexpected key(s): else"),
    ] {
        let error = refusal(&server, &insert(row));
        assert!(error.ends_with(refused), "{row}: {error}");
    }
    let update = |change: &str| format!("[53,[{},{change}]]", table("table_config"));
    for (change, refused) in [
        (r#"{"primary_key":"id"}"#, "It's illegal to change a table's primary key"),
        (
            r#"{"indexes":[2,[]]}"#,
            "The change you're trying to make to `rethinkdb.table_config` has the wrong format. The `indexes` field is \
             read-only and can't be used to create or drop indexes.",
        ),
        (
            r#"{"write_hook":1}"#,
            "The change you're trying to make to `rethinkdb.table_config` has the wrong format. The `write_hook` field is \
             read-only and can't be used to create or drop a write hook function.",
        ),
        (
            r#"{"shards":[2,[{"primary_replica":"test","replicas":[2,["test","moon"]]}]]}"#,
            "The change you're trying to make to `rethinkdb.table_config` has the wrong format. In `shards`: In \
             `replicas`: Server `moon` does not exist or is not connected.",
        ),
        (
            r#"{"shards":[2,[{"primary_replica":"test","replicas":[2,[]]}]]}"#,
            "The change you're trying to make to `rethinkdb.table_config` has the wrong format. In `shards`: You must \
             specify at least one replica for each shard.",
        ),
        (
            r#"{"shards":[2,[]]}"#,
            "The change you're trying to make to `rethinkdb.table_config` has the wrong format. In `shards`: You must \
             specify at least one shard.",
        ),
    ] {
        assert_eq!(refusal(&server, &update(change)), refused, "{change}");
    }
    let shard = r#"{"primary_replica":"test","replicas":[2,["test"]]}"#;
    server.check(
        &format!(
            r#"[170,[{},"replaced"]]"#,
            update(&format!(r#"{{"shards":[2,[{shard},{shard}]]}}"#))
        ),
        "1",
    );
    server.check(r#"[43,[[170,[[174,[[15,["t"]]]],"shards"]]]]"#, "2");
    server.check(&format!(r#"[170,[[54,[{}]],"deleted"]]"#, table("table_config")), "1");
    server.check("[62,[]]", "[]");
}

#[test]
fn a_query_may_change_what_it_has_changed() {
    let server = Server::new();
    let rows = r#"[2,[{"name":"a"},{"name":"a"},{"name":"b"}]]"#;
    let answer = format!("[33,[[56,[{},{rows}]],\"inserted\",\"errors\"]]", table("db_config"));
    server.check(&answer, r#"{"inserted":2,"errors":1}"#);
}

#[test]
fn names_or_ids() {
    let server = Server::new();
    server.succeed(r#"[60,["t"]]"#);
    let by_id = r#"[15,[[14,["rethinkdb"]],"table_config"],{"identifier_format":"uuid"}]"#;
    let database = format!(r#"[170,[[45,[{},0]],"id"]]"#, table("db_config"));
    server.check(&format!(r#"[17,[[170,[[45,[{by_id},0]],"db"]],{database}]]"#), "true");
    let rename = format!(r#"[170,[[53,[{by_id},{{"name":"u"}}]],"replaced"]]"#);
    server.check(&rename, "1");
    server.check("[62,[]]", r#"["u"]"#);
    let refused = refusal(&server, &format!(r#"[53,[{by_id},{{"db":"test"}}]]"#));
    assert!(refused.ends_with("Expected a UUID; got \"test\""), "{refused}");
}

#[test]
fn the_heartbeat_has_its_bounds() {
    let server = Server::new();
    let cluster = table("cluster_config");
    let write = |change: &str| format!("[53,[{cluster},{change}]]");
    for (query, refused) in [
        (
            write(r#"{"heartbeat_timeout_secs":1}"#),
            "The heartbeat timeout must be at least two seconds",
        ),
        (write(r#"{"heartbeat_timeout_secs":"x"}"#), "Expected a number; got \"x\""),
        (write(r#"{"more":1}"#), "Unexpected key(s): more"),
        (
            format!("[54,[{cluster}]]"),
            "It's illegal to delete rows from the `rethinkdb.cluster_config` table.",
        ),
        (
            format!("[56,[{cluster},{{}}]]"),
            "It's illegal to insert new rows into the `rethinkdb.cluster_config` table.",
        ),
    ] {
        assert_eq!(refusal(&server, &query), refused, "{query}");
    }
}

#[test]
fn users_come_change_and_go() {
    let server = Server::new();
    let users = table("users");
    let insert = |row: &str| format!(r#"[56,[{users},{row}]]"#);
    let one = |query: &str, what: &str| server.check(&format!(r#"[170,[{query},"{what}"]]"#), "1");
    one(&insert(r#"{"id":"bob","password":"secret"}"#), "inserted");
    let bob = format!(r#"[16,[{users},"bob"]]"#);
    server.check(&bob, r#"{"id":"bob","password":true}"#);
    // What is shown may be written back.
    one(&format!(r#"[55,[{bob},{{"id":"bob","password":true}}]]"#), "unchanged");
    one(&format!(r#"[53,[{bob},{{"password":{{"password":"x","iterations":2}}}}]]"#), "replaced");
    one(&format!(r#"[53,[{bob},{{"password":false}}]]"#), "replaced");
    server.check(&bob, r#"{"id":"bob","password":false}"#);
    one(&format!("[54,[{bob}]]"), "deleted");
    server.check(&users, r#"[{"id":"admin","password":false}]"#);
    let admin = format!(r#"[16,[{users},"admin"]]"#);
    one(&format!(r#"[53,[{admin},{{"password":"x"}}]]"#), "replaced");
    server.check(&admin, r#"{"id":"admin","password":true}"#);
    for (query, refused) in [
        (format!("[54,[{admin}]]"), "The user `admin` can't be deleted."),
        (format!("[54,[{bob}]]"), "User `bob` not found."),
        (insert(r#"{"id":"z"}"#), "Expected a field named `password`."),
        (
            insert(r#"{"id":"z","password":1}"#),
            "Expected an object, string or boolean for `password`, got 1.",
        ),
        (
            insert(r#"{"id":"z","password":true}"#),
            "Expected an object or string to set the password, or `false` to keep it unset, got true.",
        ),
        (insert(r#"{"id":"z","password":"","c":1,"b":1}"#), "Unexpected key(s) `b`, `c`."),
        (insert(r#"{"id":1,"password":""}"#), "Expected a username as the primary key, got 1."),
        (
            insert(r#"{"id":"z","password":{"password":"p"}}"#),
            "Expected a field named `iterations`.",
        ),
        (insert(r#"{"id":"z","password":{"iterations":1}}"#), "Expected a field named `password`."),
        (
            insert(r#"{"id":"z","password":{"password":"p","iterations":1.5}}"#),
            "Expected `iterations` to be an integer greater than zero, got 1.5.",
        ),
        (
            insert(r#"{"id":"z","password":{"password":"p","iterations":1e9}}"#),
            "Expected `iterations` to be at most 1000000, got 1000000000.",
        ),
        (
            insert(r#"{"id":"z","password":{"password":1,"iterations":1}}"#),
            "Expected `password` to be a string, got 1.",
        ),
    ] {
        assert_eq!(refusal(&server, &query), refused, "{query}");
    }
    let generated = refusal(&server, &insert(r#"{"password":"x"}"#));
    assert!(generated.starts_with("Expected a username as the primary key, got \""), "{generated}");
}

#[test]
fn rows_of_permissions_are_merged_and_checked() {
    let server = Server::new();
    server.succeed(&format!(r#"[56,[{},{{"id":"bob","password":""}}]]"#, table("users")));
    server.succeed(r#"[60,["t"]]"#);
    let permissions = table("permissions");
    let insert = |row: &str| format!("[56,[{permissions},{row}]]");
    let one = |query: &str, what: &str| server.check(&format!(r#"[170,[{query},"{what}"]]"#), "1");
    let global = format!(r#"[16,[{permissions},[2,["bob"]]]]"#);
    let row = |rights: &str| format!(r#"{{"id":[2,["bob"]],"user":"bob","permissions":{rights}}}"#);
    one(&insert(&row(r#"{"read":true}"#)), "inserted");
    one(&format!(r#"[53,[{global},{{"permissions":{{"write":false}}}}]]"#), "replaced");
    let shown = r#"{"id":["bob"],"user":"bob","permissions":{"read":true,"write":false}}"#;
    server.check(&global, shown);
    // Nothing said is no row.
    one(&format!(r#"[53,[{global},{{"permissions":{{"read":null,"write":null}}}}]]"#), "deleted");
    server.check(&global, "null");
    let database = r#"[170,[[174,[[14,["test"]]]],"id"]]"#;
    let id = r#"[170,[[174,[[15,["t"]]]],"id"]]"#;
    let of_table = format!(r#"[2,["bob",{database},{id}]]"#);
    let made = format!(
        r#"{{"id":{of_table},"table":"t","database":"test","permissions":{{"config":true}}}}"#
    );
    one(&insert(&made), "inserted");
    server.check(
        &format!(r#"[34,[[16,[{permissions},{of_table}]],"id"]]"#),
        r#"{"database":"test","permissions":{"config":true},"table":"t","user":"bob"}"#,
    );
    one(&format!("[54,[[16,[{permissions},{of_table}]]]]"), "deleted");
    for (row, refused) in [
        (
            r#"{"id":"bob"}"#.to_owned(),
            "Expected an array of one to three items in the primary key, got \"bob\".",
        ),
        (r#"{"id":[2,[1]]}"#.to_owned(), "Expected a string as the username, got 1."),
        (r#"{"id":[2,["eve"]]}"#.to_owned(), "No user named `eve`."),
        (
            r#"{"id":[2,["bob","test"]]}"#.to_owned(),
            "Expected a UUID as the database, got \"test\".",
        ),
        (
            r#"{"id":[2,["bob","2cbd07f5-1a0f-4b8c-8e8d-cf1a0b1a5b3e"]]}"#.to_owned(),
            "No database with UUID `2cbd07f5-1a0f-4b8c-8e8d-cf1a0b1a5b3e` exists.",
        ),
        (r#"{"id":[2,["bob"]]}"#.to_owned(), "Expected a field `permissions`."),
        (row(r#"{"drop":true}"#), "Unexpected key(s) `drop`."),
        (
            r#"{"id":[2,["bob"]],"user":"eve","permissions":{}}"#.to_owned(),
            "The key `user` does not match the primary key.",
        ),
        (
            format!(r#"{{"id":[2,["bob",{database}]],"database":"rethinkdb","permissions":{{}}}}"#),
            "The key `database` does not match the primary key.",
        ),
        (
            format!(r#"{{"id":[2,["bob",{database}]],"table":"t","permissions":{{}}}}"#),
            "Unexpected key(s) `table`.",
        ),
        (
            format!(r#"{{"id":{of_table},"permissions":{{"connect":true}}}}"#),
            "The `connect` permission is only valid at the global scope.",
        ),
    ] {
        assert_eq!(refusal(&server, &insert(&row)), refused, "{row}");
    }
    let admin = format!(r#"[54,[[16,[{permissions},[2,["admin"]]]]]]"#);
    assert_eq!(refusal(&server, &admin), "The permissions of the user `admin` can't be modified.");
    assert_eq!(
        refusal(&server, &insert(r#"{"permissions":{}}"#)),
        "You must specify a primary key."
    );
}

#[test]
fn keys_of_rows_that_are_not_there() {
    let server = Server::new();
    let delete = |name: &str, key: &str| format!("[54,[[16,[{},{key}]]]]", table(name));
    let id = "2cbd07f5-1a0f-4b8c-8e8d-cf1a0b1a5b3e";
    for (query, refused) in [
        (delete("users", "5"), "Expected a username as the primary key, got 5."),
        (
            delete("permissions", r#""bob""#),
            "Expected an array of one to three items in the primary key, got \"bob\".",
        ),
        (delete("permissions", "[2,[7]]"), "Expected a string as the username, got 7."),
        (delete("permissions", r#"[2,["bob"]]"#), "No user named `bob`."),
        (
            delete("permissions", r#"[2,["admin"]]"#),
            "The permissions of the user `admin` can't be modified.",
        ),
        (
            delete("jobs", &format!(r#"[2,["index_construction","{id}"]]"#)),
            "Jobs of type `index_construction` cannot be interrupted.",
        ),
        (
            delete("logs", r#"[2,["a","b"]]"#),
            "It's illegal to write to the `rethinkdb.logs` system table.",
        ),
        (
            delete("current_issues", r#""a""#),
            "It's illegal to write to the `rethinkdb.current_issues` table.",
        ),
        (
            delete("cluster_config", r#""a""#),
            "It's illegal to delete rows from the `rethinkdb.cluster_config` table.",
        ),
    ] {
        assert_eq!(refusal(&server, &query), refused, "{query}");
    }
    for query in [
        delete("jobs", &format!(r#"[2,["query","{id}"]]"#)),
        delete("jobs", "true"),
        delete("table_config", "[2,[1]]"),
        delete("db_config", r#""x""#),
        delete("server_config", r#""x""#),
    ] {
        server
            .check(&format!(r#"[33,[{query},"skipped","errors"]]"#), r#"{"skipped":1,"errors":0}"#);
    }
}

#[test]
fn an_index_that_cannot_be_built_is_an_issue_until_it_is() {
    let server = Server::new();
    server.succeed(r#"[60,["t"]]"#);
    server.check(&table("current_issues"), "[]");
    let catalog = &server.context().catalog;
    let entry = catalog.state().table("test", "t").unwrap().clone();
    let key = PrimaryKey::encode(&"x".into()).unwrap();
    let write = |document: Option<&'static str>| {
        let mut batch = WriteBatch::new(Durability::Soft);
        match document {
            Some(bytes) => batch.put(entry.table.tree(), key.as_bytes().clone(), bytes),
            None => batch.delete(entry.table.tree(), key.as_bytes().clone()),
        };
        entry.table.engine().apply(batch).unwrap();
    };
    write(Some("no document"));
    server.succeed(r#"[75,[[15,["t"]],"i"]]"#);
    let index = catalog.state().table("test", "t").unwrap().indexes["i"].index.clone();
    while index.problem().is_none() {
        std::thread::yield_now();
    }
    let error = index.problem().unwrap();
    let of =
        |what: &str| format!(r#"[170,[[170,[[45,[{},0]],"{what}"]],"#, table("current_issues"));
    server.check(&format!(r#"{}"db"]]"#, of("info")), r#""test""#);
    server.check(&format!(r#"{}"table"]]"#, of("info")), r#""t""#);
    server.check(&format!(r#"{}"index"]]"#, of("info")), r#""i""#);
    let error = serde_json::to_string(&*error).unwrap();
    server.check(&format!(r#"{}"error"]]"#, of("info")), &error);
    let issue = format!("[45,[{},0]]", table("current_issues"));
    let fields = r#"["critical","description","id","info","type"]"#;
    server.check(&format!("[94,[{issue}]]"), fields);
    server.check(&format!(r#"[170,[{issue},"type"]]"#), r#""index_build_failed""#);
    let status = r#"[170,[[45,[[139,[[15,["t"]],"i"]],0]],"error"]]"#;
    server.check(status, &error);
    write(None);
    server.check(r#"[170,[[45,[[140,[[15,["t"]],"i"]],0]],"ready"]]"#, "true");
    server.check(&table("current_issues"), "[]");
}
