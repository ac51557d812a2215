//! What the argument of a write is: when it is evaluated, what may vary in it, and whose its errors are.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::reql::ErrorKind;
use crate::reql::terms::testing::{Outcome, Server};

const TABLE: &str = r#"[15,[[14,["test"]],"t"]]"#;
const VARIES: &str =
    "Could not prove argument deterministic.  Maybe you want to use the non_atomic flag?";
const NON_ATOMIC: &str = r#"{"non_atomic":true}"#;

/// A table of documents with the keys 0 to 19.
fn with_rows() -> Server {
    let server = Server::new();
    server.succeed(r#"[60,["t"]]"#);
    let rows = r#"[38,[[173,[20]],[69,[[2,[1]],{"id":[10,[1]]}]]]]"#;
    server.succeed(&format!("[56,[{TABLE},{rows}]]"));
    server
}

fn value(server: &Server, query: &str) -> Value {
    match server.run_with(query, "{}") {
        Outcome::Value(value) => value,
        other => panic!("{query}: {other:?}"),
    }
}

/// The values of a field of all documents.
fn values(server: &Server, field: &str) -> Vec<Value> {
    let rows = value(server, &format!(r#"[170,[{TABLE},"{field}"]]"#));
    rows.as_array().unwrap().clone()
}

fn distinct(values: &[Value]) -> usize {
    values.iter().map(Value::to_string).collect::<BTreeSet<_>>().len()
}

#[track_caller]
fn refused(server: &Server, query: &str) {
    match server.run_with(query, "{}") {
        Outcome::Error(ErrorKind::Logic, text, place) if text == VARIES && place == "[]" => {}
        other => panic!("{query}: {other:?}"),
    }
}

/// A random UUID by its form: version 4, variant 1.
fn is_random_uuid(value: &Value) -> bool {
    let text = value.as_str().unwrap();
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [8, 4, 4, 4, 12]
        && parts[2].starts_with('4')
        && parts[3].starts_with(['8', '9', 'a', 'b'])
        && text.chars().all(|c| c == '-' || matches!(c, '0'..='9' | 'a'..='f'))
}

#[test]
fn uuid_in_an_update_differs_per_document() {
    for change in
        [r#"{"u":[169,[]]}"#, r#"[69,[[2,[1]],{"u":[169,[]]}]]"#, r#"[154,[[2,[{"u":[169,[]]}]]]]"#]
    {
        let server = with_rows();
        server.succeed(&format!("[53,[{TABLE},{change}],{NON_ATOMIC}]"));
        let made = values(&server, "u");
        assert_eq!((made.len(), distinct(&made)), (20, 20), "{change}");
        assert!(made.iter().all(is_random_uuid), "{change}");
    }
}

#[test]
fn random_values_in_an_update_differ_and_keep_their_bounds() {
    let server = with_rows();
    let change = r#"{"f":[151,[]],"i":[151,[1000000]],"g":[151,[-2,3],{"float":true}],"s":[81,[[173,[1000000]],2]]}"#;
    server.succeed(&format!("[53,[{TABLE},{change}],{NON_ATOMIC}]"));
    let within = |field: &str, from: f64, to: f64| {
        let made = values(&server, field);
        assert!(distinct(&made) > 15, "{field}");
        assert!(made.iter().all(|v| (from..to).contains(&v.as_f64().unwrap())), "{field}");
    };
    within("f", 0.0, 1.0);
    within("i", 0.0, 1_000_000.0);
    within("g", -2.0, 3.0);
    assert!(values(&server, "i").iter().all(|v| v.as_f64().unwrap().fract() == 0.0));
    let samples = values(&server, "s");
    assert!(distinct(&samples) > 15 && samples.iter().all(|s| s.as_array().unwrap().len() == 2));
}

#[test]
fn a_replacement_that_is_no_function_is_evaluated_once() {
    let server = with_rows();
    let document = r#"{"id":3,"u":[169,[]]}"#;
    let answer = value(&server, &format!("[55,[{TABLE},{document}],{NON_ATOMIC}]"));
    assert_eq!((&answer["replaced"], &answer["errors"]), (&1.into(), &19.into()));
    assert!(values(&server, "u").iter().all(is_random_uuid));
}

#[test]
fn rows_and_keys_made_for_an_insert_differ() {
    let server = with_rows();
    let rows = r#"[38,[[173,[20]],[69,[[2,[1]],{"u":[169,[]]}]]]]"#;
    let answer = value(&server, &format!("[56,[{TABLE},{rows}]]"));
    let keys = answer["generated_keys"].as_array().unwrap();
    assert_eq!((keys.len(), distinct(keys)), (20, 20));
    assert!(keys.iter().all(is_random_uuid));
    assert_eq!(distinct(&values(&server, "u")), 20);
}

#[test]
fn errors_in_the_argument_are_those_of_documents() {
    let server = with_rows();
    let failing = [
        (r#"[12,["no"]]"#, "no"),
        ("[27,[1,0]]", "Cannot divide by zero."),
        (r#"[24,["a",1]]"#, "Expected type STRING but found NUMBER."),
        ("[45,[[2,[]],0]]", "Index out of bounds: 0"),
    ];
    for (term, error) in failing {
        for change in [format!(r#"{{"x":{term}}}"#), term.to_owned()] {
            let query = format!("[53,[{TABLE},{change}]]");
            let answer = value(&server, &query);
            assert_eq!(answer["errors"], 20, "{query}");
            assert_eq!(answer["first_error"], error, "{query}");
        }
        let row = r#"{"id":1}"#;
        server.check(
            &format!(
                r#"[53,[[16,[{TABLE},1]],{{"x":{term}}}],{{"return_changes":"always"}}]"#
            ),
            &format!(
                r#"{{"changes":[{{"error":"{error}","new_val":{row},"old_val":{row}}}],"deleted":0,"errors":1,
                    "first_error":"{error}","inserted":0,"replaced":0,"skipped":0,"unchanged":0}}"#
            ),
        );
    }
}

#[test]
fn the_argument_is_not_evaluated_where_no_document_is() {
    let server = with_rows();
    let change = r#"{"x":[12,["no"]]}"#;
    server.check(
        &format!("[53,[[16,[{TABLE},99]],{change}]]"),
        r#"{"deleted":0,"errors":0,"inserted":0,"replaced":0,"skipped":1,"unchanged":0}"#,
    );
    server.check(
        &format!(r#"[53,[[39,[{TABLE},{{"id":99}}]],{change}]]"#),
        r#"{"deleted":0,"errors":0,"inserted":0,"replaced":0,"skipped":0,"unchanged":0}"#,
    );
}

#[test]
fn what_varies_is_refused_before_it_is_evaluated() {
    let server = with_rows();
    let failing = r#"[92,[[12,["e"]],[169,[]]]]"#;
    refused(&server, &format!(r#"[53,[{TABLE},{{"u":{failing}}}]]"#));
    refused(&server, &format!("[55,[{TABLE},{failing}]]"));
    let read = format!("[16,[{TABLE},1]]");
    refused(&server, &format!("[55,[{read},{read}]]"));
    refused(&server, &format!("[55,[{TABLE},[154,[[2,[{read}]]]]]]"));
    refused(&server, &format!(r#"[53,[{TABLE},[43,[[144,[{TABLE},"a"]]]]]]"#));
}

#[test]
fn geometry_is_refused_in_writes_but_for_points() {
    let server = with_rows();
    let (point, line) = ("[159,[1,2]]", "[160,[[2,[1,2]],[2,[3,4]]]]");
    let square = "[161,[[2,[0,0]],[2,[0,1]],[2,[1,1]]]]";
    for term in [
        line.to_owned(),
        square.to_owned(),
        "[165,[[2,[1,2]],5]]".to_owned(),
        r#"[157,[{"type":"Point","coordinates":[2,[1,2]]}]]"#.to_owned(),
        format!("[162,[{point},{point}]]"),
        format!("[163,[{point},{point}]]"),
        format!("[164,[{square},{point}]]"),
        format!("[167,[{line}]]"),
        format!("[171,[{square},{square}]]"),
    ] {
        refused(&server, &format!(r#"[53,[{TABLE},{{"g":{term}}}]]"#));
        refused(&server, &format!(r#"[55,[{TABLE},[69,[[2,[1]],{{"id":0,"g":{term}}}]]]]"#));
    }
    for term in [point.to_owned(), format!("[158,[{point}]]"), "[103,[]]".to_owned()] {
        let answer = value(&server, &format!(r#"[53,[{TABLE},{{"g":[137,[{term}]]}}]]"#));
        assert_eq!(answer["replaced"], 20, "{term}");
    }
}

#[test]
fn uuid_of_a_name_is_as_fixed_as_the_name() {
    let server = with_rows();
    let answer = value(&server, &format!(r#"[53,[{TABLE},{{"u":[169,["x"]]}}]]"#));
    assert_eq!(answer["replaced"], 20);
    assert_eq!(distinct(&values(&server, "u")), 1);
    refused(&server, &format!(r#"[53,[{TABLE},{{"u":[169,[[51,[[151,[]],"string"]]]]}}]]"#));
    refused(&server, &format!(r#"[53,[{TABLE},{{"u":[169,[[154,[[2,["x"]]]]]]}}]]"#));
}

#[test]
fn a_term_on_no_table_is_as_fixed_as_its_arguments() {
    let server = with_rows();
    let answer = value(&server, &format!(r#"[53,[{TABLE},{{"x":[16,[{{}},1]]}}]]"#));
    assert_eq!(answer["errors"], 20);
    refused(&server, &format!(r#"[53,[{TABLE},{{"x":[59,[]]}}]]"#));
}

#[test]
fn what_is_made_apart_removes_nothing_and_fails_outside_of_the_changes() {
    let server = with_rows();
    let none = "Expected type OBJECT but found NULL.";
    let uuid_then = |then: &str| format!("[69,[[2,[1]],[65,[[17,[[169,[]],0]],1,{then}]]]]");
    let options = r#"{"non_atomic":true,"return_changes":"always"}"#;
    let counts = format!(
        r#"{{"changes":[],"deleted":0,"errors":1,"first_error":"{none}","inserted":0,"replaced":0,"skipped":0,"unchanged":0}}"#
    );
    let replace = format!("[55,[[16,[{TABLE},1]],{}],{options}]", uuid_then("null"));
    server.check(&replace, &counts);
    let update = format!(r#"[53,[[16,[{TABLE},99]],{{"u":[169,[]]}}],{options}]"#);
    server.check(&update, &counts);
    let moved = uuid_then(r#"{"id":2}"#);
    let answer = value(&server, &format!("[55,[[16,[{TABLE},1]],{moved}],{NON_ATOMIC}]"));
    let text = "Primary key `id` cannot be changed (`{\n\t\"id\":\t1\n}` -> `{\n\t\"id\":\t2\n}`).";
    assert_eq!(answer["first_error"], text);
}

#[test]
fn r_args_holds_the_change_and_literals_in_it() {
    let server = with_rows();
    let change = r#"[154,[[2,[{"a":{"b":1}}]]]]"#;
    server.succeed(&format!("[53,[[16,[{TABLE},1]],{change}]]"));
    let change = r#"[154,[[2,[{"a":[137,[{"c":[2,[[137,[]],2]]}]]}]]]]"#;
    let answer = value(&server, &format!("[53,[[16,[{TABLE},1]],{change}]]"));
    assert_eq!(answer["errors"], 1, "{answer}");
    let change = r#"[154,[[2,[{"a":[2,[{"c":[137,[]]}]]}]]]]"#;
    server.succeed(&format!("[53,[[16,[{TABLE},1]],{change}]]"));
    server.check(&format!("[16,[{TABLE},1]]"), r#"{"id":1,"a":[{}]}"#);
    let nothing = format!("[53,[[16,[{TABLE},1]],[154,[[2,[]]]]]]");
    assert_eq!(value(&server, &nothing)["unchanged"], 1);
    let all = format!("[53,[[154,[[2,[{TABLE},{{}}]]]]]]");
    let Outcome::CompileError(text, _) = server.run_with(&all, "{}") else { panic!("{all}") };
    assert_eq!(text, "Expected 2 arguments but found 1.");
}

#[test]
fn update_and_delete_take_the_options_of_replace() {
    let server = with_rows();
    let one = format!("[16,[{TABLE},1]]");
    let obsolete =
        "Error: encountered obsolete optarg `return_vals`.  Use `return_changes` instead.";
    let writes = [
        format!("[53,[{one},{{}}]"),
        format!("[55,[{one},{{}}]"),
        format!("[54,[{one}]"),
        format!("[56,[{TABLE},{{}}]"),
    ];
    for write in &writes {
        match server.run_with(&format!(r#"{write},{{"return_vals":false}}]"#), "{}") {
            Outcome::Error(ErrorKind::Logic, text, place) => {
                assert_eq!((text.as_str(), place.as_str()), (obsolete, "[]"), "{write}");
            }
            other => panic!("{write}: {other:?}"),
        }
        // What is not text is a truth.
        let answer = value(&server, &format!(r#"{write},{{"return_changes":0}}]"#));
        assert!(answer.get("changes").is_some(), "{write}");
        let answer = value(&server, &format!(r#"{write},{{"return_changes":null}}]"#));
        assert!(answer.get("changes").is_none(), "{write}");
    }
    let all = format!(r#"[54,[{TABLE}],{{"non_atomic":true,"ignore_write_hook":true}}]"#);
    // One of the keys was made by the insert.
    assert_eq!(value(&server, &all)["deleted"], 21);
}

#[test]
fn a_conflict_may_be_resolved_by_a_function_without_parameters() {
    let server = with_rows();
    let insert = |function: &str| format!(r#"[56,[{TABLE},{{"id":1}}],{{"conflict":{function}}}]"#);
    let answer = value(&server, &insert(r#"[69,[[2,[]],{"id":1,"t":[103,[]]}]]"#));
    assert_eq!(answer["replaced"], 1);
    let message = "The conflict function passed to `insert` must be deterministic.";
    match server.run_with(&insert("[69,[[2,[1]],[169,[]]]]"), "{}") {
        Outcome::Error(_, text, _) => assert_eq!(text, message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn documents_without_a_place_are_one_change_together() {
    let server = with_rows();
    let insert = format!(r#"[56,[{TABLE},[2,[1,2,"x"]]],{{"return_changes":"always"}}]"#);
    let error = "Expected type OBJECT but found NUMBER.";
    server.check(
        &insert,
        &format!(
            r#"{{"changes":[{{"error":"{error}","new_val":null,"old_val":null}}],"deleted":0,"errors":3,
                "first_error":"{error}","inserted":0,"replaced":0,"skipped":0,"unchanged":0}}"#
        ),
    );
}

#[test]
fn a_hook_sees_no_option_of_the_query() {
    let server = with_rows();
    // It makes an array longer than the query allows, and takes a slice that a global option would shift.
    let made = r#"{"n":[43,[[51,[[173,[5]],"array"]]]],"s":[30,[[2,[1,2,3]],0,1]]}"#;
    let hook = format!("[69,[[2,[1,2,3]],[35,[[10,[3]],{made}]]]]");
    server.succeed(&format!("[189,[{TABLE},{hook}]]"));
    let options = r#"{"array_limit":2,"left_bound":"open","right_bound":"closed"}"#;
    let insert = format!(r#"[56,[{TABLE},{{"id":100}}],{{"return_changes":true}}]"#);
    let Outcome::Value(answer) = server.run_with(&insert, options) else { panic!("{insert}") };
    assert_eq!(answer["changes"][0]["new_val"]["n"], 5, "{answer}");
    assert_eq!(answer["changes"][0]["new_val"]["s"], serde_json::json!([1]));
}

#[test]
fn a_system_table_takes_no_hook() {
    let server = with_rows();
    let table = r#"[15,[[14,["rethinkdb"]],"table_config"]]"#;
    let query = format!("[189,[{table},[69,[[2,[1,2,3]],[10,[3]]]]]]");
    let message =
        "Database `rethinkdb` is special; you can't set a write hook on the tables in it.";
    match server.run_with(&query, "{}") {
        Outcome::Error(ErrorKind::OpFailed, text, place) => {
            assert_eq!((text.as_str(), place.as_str()), (message, "[]"));
        }
        other => panic!("{other:?}"),
    }
    server.check(&format!("[190,[{table}]]"), "null");
}

#[test]
fn every_form_of_now_is_one_time_within_a_write() {
    let server = with_rows();
    let forms = [
        "[103,[]]",
        "[103,[[154,[[2,[]]]]]]",
        "[24,[[103,[]],0]]",
        "[24,[[103,[[154,[[2,[]]]]]],0]]",
        "[64,[[69,[[2,[7]],[103,[[154,[[2,[]]]]]]]],1]]",
    ];
    for (at, now) in forms.iter().enumerate() {
        let document = format!("[16,[{TABLE},{at}]]");
        for change in [format!(r#"{{"t":{now}}}"#), format!(r#"[69,[[2,[1]],{{"u":{now}}}]]"#)] {
            let answer = value(&server, &format!("[53,[{document},{change}]]"));
            assert_eq!(answer["replaced"], 1, "{change}: {answer}");
        }
        let body = format!(r#"{{"id":{at},"v":{now}}}"#);
        let answer = value(&server, &format!("[55,[{document},[69,[[2,[1]],{body}]]]]"));
        assert_eq!(answer["replaced"], 1, "{body}: {answer}");
    }
}

#[test]
fn an_update_with_a_value_that_holds_one_part_many_times_is_refused_early() {
    let server = with_rows();
    for level in ["[2,[[10,[9]],[10,[9]]]]", r#"{"a":[10,[9]],"b":[10,[9]]}"#] {
        let shared = (0..40)
            .fold("1".to_owned(), |inner, _| format!("[64,[[69,[[2,[9]],{level}]],{inner}]]"));
        let point = format!("[16,[{TABLE},1]]");
        let began = std::time::Instant::now();
        let answer = value(&server, &format!(r#"[53,[{point},{{"x":{shared}}}]]"#));
        let replaced = format!(r#"[55,[{point},{{"id":1,"x":{shared}}}]]"#);
        let other = value(&server, &replaced);
        assert_eq!((&answer["errors"], &answer["first_error"]), (&1.into(), &other["first_error"]));
        assert!(began.elapsed().as_secs() < 60, "took {:?}", began.elapsed());
    }
}
