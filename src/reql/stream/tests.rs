//! In which order rows come that nothing orders.

use serde_json::{Value, json};

use crate::reql::terms::testing::{Outcome, Server};

const TABLE: &str = r#"[15,[[14,["db"]],"t"]]"#;
/// What RethinkDB 2.4.4 gives of the keys 0 to 29.
const IN_TURN: [u32; 30] = [
    20, 4, 5, 3, 0, 1, 6, 25, 10, 9, 2, 8, 7, 26, 11, 14, 15, 13, 22, 27, 12, 17, 23, 16, 19, 24,
    29, 18, 21, 28,
];
const BY_SHARD: [u32; 30] = [
    20, 4, 25, 26, 27, 5, 10, 11, 12, 16, 18, 28, 3, 9, 14, 0, 2, 15, 17, 29, 1, 8, 13, 19, 21, 6,
    7, 22, 23, 24,
];

/// With the keys below a number, and an index on the rest of their division by three.
fn with_rows(rows: u32) -> Server {
    let server = Server::new();
    server.succeed(r#"[57,["db"]]"#);
    server.succeed(r#"[60,[[14,["db"]],"t"]]"#);
    server.succeed(&format!(r#"[75,[{TABLE},"rest"]]"#));
    server.succeed(&format!("[140,[{TABLE}]]"));
    let rows: Vec<_> = (0..rows).map(|id| json!({"id": id, "rest": id % 3})).collect();
    server.succeed(&format!("[56,[{TABLE},{}]]", json!([2, rows])));
    server
}

/// What a query answers; of rows the keys, of pairs both keys.
#[track_caller]
fn keys(server: &Server, query: &str, options: &str) -> Value {
    let key = |row: Value| match row {
        Value::Object(row) if row.contains_key("left") => {
            json!([row["left"]["id"], row["right"]["id"]])
        }
        Value::Object(row) => row["id"].clone(),
        other => other,
    };
    match server.run_with(query, options) {
        Outcome::Value(Value::Array(rows)) => rows.into_iter().map(key).collect(),
        Outcome::Value(value) => key(value),
        other => panic!("{query}: {other:?}"),
    }
}

#[track_caller]
fn check(server: &Server, query: &str, expected: impl serde::Serialize) {
    assert_eq!(keys(server, query, "{}"), json!(expected), "{query}");
}

const IS_ODD: &str = "[69,[[2,[1]],[17,[[28,[[170,[[10,[1]],\"id\"]],2]],1]]]]";

#[test]
fn rows_that_go_on_one_by_one_are_taken_in_turn() {
    let server = with_rows(30);
    check(&server, TABLE, IN_TURN);
    check(&server, &format!("[71,[{TABLE},7]]"), &IN_TURN[..7]);
    check(&server, &format!("[70,[{TABLE},7]]"), &IN_TURN[7..]);
    check(&server, &format!("[45,[{TABLE},9]]"), IN_TURN[9]);
    check(&server, &format!("[41,[{TABLE},\"none\"]]"), IN_TURN);
    check(&server, &format!(r#"[41,[{TABLE}],{{"index":"id"}}]"#), (0..30).collect::<Vec<_>>());
    let rows = keys(&server, TABLE, r#"{"max_batch_rows":1}"#);
    assert_eq!(rows.as_array().unwrap()[6..10], [6, 25, 10, 9]);
}

#[test]
fn rows_that_are_gathered_come_shard_by_shard() {
    let server = with_rows(30);
    check(&server, &format!(r#"[51,[{TABLE},"array"]]"#), BY_SHARD);
    let texts = format!(r#"[38,[{TABLE},[69,[[2,[1]],[51,[[170,[[10,[1]],"id"]],"string"]]]]]]"#);
    let sum = format!("[37,[{texts},[69,[[2,[1,2]],[24,[[10,[1]],[10,[2]]]]]]]]");
    let expected: String = BY_SHARD.iter().map(u32::to_string).collect();
    check(&server, &sum, expected);
}

#[test]
fn transformations_come_before_the_turns() {
    let server = with_rows(30);
    let odd = format!("[39,[{TABLE},{IS_ODD}]]");
    // 25 27 | 5 11 | 3 9 | 15 17 29 | 1 13 19 21 | 7 23
    check(&server, &odd, [25, 5, 3, 15, 1, 7, 27, 11, 9, 17, 13, 23, 19, 29, 21]);
    let twice = "[69,[[2,[1]],[2,[[170,[[10,[1]],\"id\"]],[170,[[10,[1]],\"id\"]]]]]]";
    let doubled = keys(&server, &format!("[40,[{odd},{twice}]]"), "{}");
    assert_eq!(
        doubled.as_array().unwrap()[..18],
        [25, 5, 3, 15, 1, 7, 25, 5, 3, 15, 1, 7, 27, 11, 9, 17, 13, 23]
    );
    assert_eq!(doubled.as_array().unwrap().len(), 30);
    check(&server, &format!("[71,[{odd},3]]"), [25, 5, 3]);
}

#[test]
fn keys_are_looked_for_in_their_order() {
    let server = with_rows(30);
    check(&server, &format!("[78,[{TABLE},28,12,20,4,4]]"), [20, 4, 12, 4, 28]);
    check(
        &server,
        &format!(r#"[51,[[78,[{TABLE},2,1],{{"index":"rest"}}],"array"]]"#),
        [20, 4, 25, 26, 10, 16, 28, 5, 11, 14, 2, 17, 29, 1, 13, 19, 8, 7, 22, 23],
    );
}

#[test]
fn a_key_that_comes_twice_gives_each_of_its_documents_twice_at_once() {
    let server = with_rows(30);
    let of = |key: &str| format!(r#"[78,[{TABLE},{key}],{{"index":"rest"}}]"#);
    let gathered = |key: &str| keys(&server, &format!(r#"[51,[{},"array"]]"#, of(key)), "{}");
    let (once, thrice) = (gathered("1"), gathered("1,1,1"));
    let once: Vec<&Value> = once.as_array().unwrap().iter().collect();
    let runs: Vec<&Value> = once.iter().flat_map(|key| [*key; 3]).collect();
    assert_eq!(thrice.as_array().unwrap().iter().collect::<Vec<_>>(), runs);
    check(&server, &format!("[43,[{}]]", of("1,2,1")), 30);
    check(&server, &format!("[43,[[70,[{},7]]]]", of("1,2,1")), 23);
    check(&server, &format!("[45,[[51,[{},\"array\"]],3]]", of("1,1")), once[1]);
}

#[test]
fn a_join_pairs_the_documents_of_a_batch_from_the_last() {
    let server = with_rows(30);
    let join = |options: &str| {
        format!(
            "[50,[[2,[{{\"id\":1}},{{\"id\":20}},{{\"id\":4}},{{\"id\":1}}]],\"id\",{TABLE}],{{{options}}}]"
        )
    };
    check(&server, &join(""), [[1, 1], [1, 1], [4, 4], [20, 20]]);
    check(&server, &join("\"ordered\":true"), [[1, 1], [20, 20], [4, 4], [1, 1]]);
    let batches = keys(&server, &join(""), r#"{"max_batch_rows":2}"#);
    assert_eq!(batches, json!([[1, 1], [20, 20], [1, 1], [4, 4]]));
}

#[test]
fn many_rows_come_in_the_order_of_their_keys() {
    let server = with_rows(257);
    let all: Vec<_> = (0..257).collect();
    check(&server, TABLE, &all);
    check(&server, &format!(r#"[51,[{TABLE},"array"]]"#), &all);
    let odd: Vec<_> = (0..257).filter(|id| id % 2 == 1).collect();
    check(&server, &format!("[39,[{TABLE},{IS_ODD}]]"), odd);
    let pairs: Vec<_> = (0..257).map(|id| [id, id]).collect();
    check(&server, &format!("[50,[{TABLE},\"id\",{TABLE}]]"), &pairs);
    // A range of few rows is few.
    let few = keys(&server, &format!("[182,[{TABLE},0,30]]"), "{}");
    assert_eq!(few, json!(IN_TURN));
}

#[test]
fn documents_of_small_tables_are_estimated() {
    let estimates = |rows| {
        let info = format!(r#"[170,[[79,[{TABLE}]],"doc_count_estimates"]]"#);
        keys(&with_rows(rows), &info, "{}")
    };
    assert_eq!(estimates(0), json!([0]));
    assert_eq!(estimates(30), json!([32]));
    assert_eq!(estimates(300), json!([300]));
}
