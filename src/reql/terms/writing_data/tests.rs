//! Tables through their terms: the life of a small table, each answer in full.

use crate::reql::terms::testing::{Outcome, Server, check_batch};

const REPLACED: &str =
    r#"{"deleted":0,"errors":0,"inserted":0,"replaced":1,"skipped":0,"unchanged":0}"#;
const TABLE: &str = r#"[15,[[14,["test"]],"t"]]"#;

fn with_rows() -> Server {
    let server = Server::new();
    server.succeed(r#"[60,["t"]]"#);
    server.check(
        &format!(r#"[56,[{TABLE},[2,[{{"id":1,"n":10}},{{"id":2,"n":20}},{{"id":3,"n":30}}]]]]"#),
        r#"{"deleted":0,"errors":0,"inserted":3,"replaced":0,"skipped":0,"unchanged":0}"#,
    );
    server
}

#[test]
fn a_document_lives_from_insert_to_delete() {
    let server = with_rows();
    server.check(&format!("[16,[{TABLE},2]]"), r#"{"id":2,"n":20}"#);
    server.check(&format!("[16,[{TABLE},9]]"), "null");
    server.check(
        &format!(r#"[53,[[16,[{TABLE},2]],{{"n":21}}],{{"return_changes":true}}]"#),
        r#"{"changes":[{"new_val":{"id":2,"n":21},"old_val":{"id":2,"n":20}}],"deleted":0,"errors":0,
            "inserted":0,"replaced":1,"skipped":0,"unchanged":0}"#,
    );
    server.check(
        &format!(r#"[53,[[16,[{TABLE},9]],{{"n":21}}]]"#),
        r#"{"deleted":0,"errors":0,"inserted":0,"replaced":0,"skipped":1,"unchanged":0}"#,
    );
    server.check(
        &format!(r#"[55,[[16,[{TABLE},2]],{{"id":2,"m":1}}]]"#),
        r#"{"deleted":0,"errors":0,"inserted":0,"replaced":1,"skipped":0,"unchanged":0}"#,
    );
    server.check(
        &format!("[54,[[16,[{TABLE},2]]]]"),
        r#"{"deleted":1,"errors":0,"inserted":0,"replaced":0,"skipped":0,"unchanged":0}"#,
    );
    server.check(&format!("[43,[{TABLE}]]"), "2");
}

#[test]
fn a_conflict_is_resolved_as_asked() {
    let server = with_rows();
    let insert = |options: &str| format!(r#"[56,[{TABLE},{{"id":1,"m":1}}],{options}]"#);
    server.check(
        &insert("{}"),
        r#"{"deleted":0,"errors":1,"first_error":"Duplicate primary key `id`:\n{\n\t\"id\":\t1,\n\t\"n\":\t10\n}\n{\n\t\"id\":\t1,\n\t\"m\":\t1\n}","inserted":0,"replaced":0,"skipped":0,"unchanged":0}"#,
    );
    server.check(&insert(r#"{"conflict":"update"}"#), REPLACED);
    server.check(&format!("[16,[{TABLE},1]]"), r#"{"id":1,"m":1,"n":10}"#);
    let sum =
        r#"{"conflict":[69,[[2,[1,2,3]],{"id":1,"key":[10,[1]],"both":[2,[[10,[2]],[10,[3]]]]}]]}"#;
    server.check(&insert(sum), REPLACED);
    server.check(
        &format!("[16,[{TABLE},1]]"),
        r#"{"id":1,"key":"id","both":[{"id":1,"m":1,"n":10},{"id":1,"m":1}]}"#,
    );
    server.check(&insert(r#"{"conflict":"replace"}"#), REPLACED);
    server.check(&format!("[16,[{TABLE},1]]"), r#"{"id":1,"m":1}"#);
}

#[test]
fn a_literal_removes_a_field() {
    let server = with_rows();
    server.check(&format!(r#"[53,[[16,[{TABLE},1]],{{"n":[137,[]]}}]]"#), REPLACED);
    server.check(&format!("[16,[{TABLE},1]]"), r#"{"id":1}"#);
    let func = r#"[69,[[2,[1]],{"n":[137,[{"x":1}]]}]]"#;
    server.check(&format!("[53,[[16,[{TABLE},1]],{func}]]"), REPLACED);
    server.check(&format!("[16,[{TABLE},1]]"), r#"{"id":1,"n":{"x":1}}"#);
}

#[test]
fn null_changes_nothing() {
    let server = with_rows();
    let unchanged =
        r#"{"deleted":0,"errors":0,"inserted":0,"replaced":0,"skipped":0,"unchanged":1}"#;
    server.check(&format!("[53,[[16,[{TABLE},1]],null]]"), unchanged);
    let none = r#"{"deleted":0,"errors":0,"inserted":0,"replaced":0,"skipped":0,"unchanged":0}"#;
    let options = r#"{"return_changes":"always"}"#;
    server.check(&format!("[56,[{TABLE},[2,[]]],{options}]"), none);
}

#[test]
fn a_hook_sees_what_is_skipped_too() {
    let server = with_rows();
    server.succeed(&format!("[189,[{TABLE},[69,[[2,[1,2,3]],[35,[[10,[3]],{{\"k\":1}}]]]]]]"));
    let error = "Error in write hook: Cannot perform merge on a non-object non-sequence `null`.";
    for write in [format!("53,[[16,[{TABLE},9]],{{\"n\":21}}]"), format!("54,[[16,[{TABLE},9]]]")] {
        server.check(&format!("[170,[[{write}],\"first_error\"]]"), &format!("\"{error}\""));
    }
    let key = r#"[12,[[51,[[170,[[10,[1]],"primary_key"]],"string"]]]]"#;
    server.succeed(&format!("[189,[{TABLE},[69,[[2,[1,2,3]],{key}]]]]"));
    for (id, shown) in [(1, "1"), (9, "null")] {
        server.check(
            &format!("[170,[[54,[[16,[{TABLE},{id}]]]],\"first_error\"]]"),
            &format!("\"Error in write hook: {shown}\""),
        );
    }
}

#[test]
fn a_document_keeps_its_key() {
    let server = with_rows();
    server.check(
        &format!(r#"[53,[[16,[{TABLE},1]],{{"id":7}}]]"#),
        r#"{"deleted":0,"errors":1,"first_error":"Primary key `id` cannot be changed (`{\n\t\"id\":\t1,\n\t\"n\":\t10\n}` -> `{\n\t\"id\":\t7,\n\t\"n\":\t10\n}`).","inserted":0,"replaced":0,"skipped":0,"unchanged":0}"#,
    );
    server.check(
        &format!(r#"[55,[[16,[{TABLE},8]],{{"id":5}}]]"#),
        r#"{"deleted":0,"errors":1,"first_error":"Primary key `id` cannot be changed (null -> {\n\t\"id\":\t5\n})","inserted":0,"replaced":0,"skipped":0,"unchanged":0}"#,
    );
}

#[test]
fn ranges_and_keys_select() {
    let server = with_rows();
    // Unordered, as RethinkDB gives them: 3 lies in a shard before that of 2.
    server.check(&format!("[182,[{TABLE},2,9]]"), r#"[{"id":3,"n":30},{"id":2,"n":20}]"#);
    server.check(
        &format!("[182,[{TABLE},1,2],{{\"right_bound\":\"closed\",\"left_bound\":\"open\"}}]"),
        r#"[{"id":2,"n":20}]"#,
    );
    server.check(
        &format!("[78,[{TABLE},3,1,3,9]]"),
        r#"[{"id":3,"n":30},{"id":1,"n":10},{"id":3,"n":30}]"#,
    );
    server.check(
        &format!("[54,[[182,[{TABLE},2,9]]]]"),
        r#"{"deleted":2,"errors":0,"inserted":0,"replaced":0,"skipped":0,"unchanged":0}"#,
    );
}

#[test]
fn a_feed_hears_of_each_change_once() {
    let server = with_rows();
    let mut table = server
        .open(&format!("[152,[{TABLE}],{{\"include_initial\":true,\"include_states\":true}}]"));
    let mut point = server.open(&format!("[152,[[16,[{TABLE},2]]]]"));
    check_batch(&mut table, "[]");
    check_batch(&mut point, "[]");
    check_batch(
        &mut table,
        r#"[{"state":"initializing"},{"new_val":{"id":1,"n":10}},{"new_val":{"id":2,"n":20}},
            {"new_val":{"id":3,"n":30}},{"state":"ready"}]"#,
    );
    server.check(&format!(r#"[53,[[16,[{TABLE},2]],{{"n":21}}]]"#), REPLACED);
    let change = r#"[{"new_val":{"id":2,"n":21},"old_val":{"id":2,"n":20}}]"#;
    check_batch(&mut table, change);
    check_batch(&mut point, change);
    check_batch(&mut point, "[]");
}

#[test]
fn lists_of_made_keys_and_of_changes_are_cut_with_a_warning_each() {
    let server = with_rows();
    let five = "[38,[[173,[5]],[69,[[2,[1]],{}]]]]";
    let answer = |options: &str| {
        let query = format!("[56,[{TABLE},{five}],{options}]");
        match server.run_with(&query, r#"{"array_limit":3}"#) {
            Outcome::Value(answer) => answer,
            other => panic!("{other:?}"),
        }
    };
    let keys = "Too many generated keys (5), array truncated to 3.";
    let changes = "Too many changes, array truncated to 3.";
    let plain = answer("{}");
    assert_eq!(plain["inserted"], 5);
    assert_eq!(plain["generated_keys"].as_array().map(Vec::len), Some(3));
    assert_eq!(plain["warnings"], serde_json::json!([keys]));
    let told = answer(r#"{"return_changes":true}"#);
    assert_eq!(told["changes"].as_array().map(Vec::len), Some(3));
    assert_eq!(told["warnings"], serde_json::json!([changes, keys]));
}
