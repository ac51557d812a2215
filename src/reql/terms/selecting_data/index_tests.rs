//! Tests of what is read by an index: when it is looked up, and what is blamed when it cannot be read.

use crate::reql::ErrorKind;
use crate::reql::terms::testing::{Outcome, Server};

const T: &str = r#"[15,[[14,["test"]],"t"]]"#;
const MISSING: &str = "Index `nope` was not found on table `test.t`.";

/// Four documents, with an index of each kind.
fn server() -> Server {
    let server = Server::new();
    server.succeed(r#"[60,[[14,["test"]],"t"]]"#);
    server.succeed(&format!(r#"[75,[{T},"a"]]"#));
    server.succeed(&format!(r#"[75,[{T},"ab",[69,[[2,[1]],[2,[[170,[[10,[1]],"a"]],1]]]]]]"#));
    server.succeed(&format!(r#"[75,[{T},"g"],{{"geo":true}}]"#));
    server.succeed(&format!("[140,[{T}]]"));
    let rows = r#"[2,[{"id":1,"a":2},{"id":2,"a":1},{"id":3,"a":"x"},{"id":4,"b":{"c":1}}]]"#;
    server.succeed(&format!("[56,[{T},{rows}]]"));
    server
}

#[track_caller]
fn refused(server: &Server, query: &str, kind: ErrorKind, text: &str, at: &str) {
    match server.run_with(query, "{}") {
        Outcome::Error(got, message, place) => {
            assert_eq!((got, message.as_str(), place.as_str()), (kind, text, at), "{query}");
        }
        other => panic!("{query}: {other:?}"),
    }
}

/// What reads an index that is not there.
fn selections() -> [String; 4] {
    [
        format!(r#"[182,[{T},0,1],{{"index":"nope"}}]"#),
        format!(r#"[78,[{T},1],{{"index":"nope"}}]"#),
        format!(r#"[41,[{T}],{{"index":"nope"}}]"#),
        format!(r#"[166,[{T},[159,[0,0]]],{{"index":"nope"}}]"#),
    ]
}

#[test]
fn an_index_is_looked_up_when_rows_are_read() {
    let server = server();
    for selection in selections() {
        server.succeed(&format!("[79,[{selection}]]"));
        server.succeed(&format!("[52,[{selection}]]"));
        server.check(&format!("[71,[{selection},0]]"), "[]");
        for reading in
            ["[43,[S]]", "[86,[S]]", "[92,[[33,[S,\"a\"]],[2,[]]]]", "[19,[1,[45,[S,0]]]]"]
        {
            let query = reading.replace('S', &selection);
            refused(&server, &query, ErrorKind::OpFailed, MISSING, "[]");
        }
    }
}

#[test]
fn a_type_error_comes_before_a_missing_index() {
    let server = server();
    for selection in selections() {
        let query = format!("[24,[{selection},1]]");
        let Outcome::Error(kind, text, at) = server.run_with(&query, "{}") else { panic!() };
        assert_eq!((kind, at.as_str()), (ErrorKind::Logic, "[0]"));
        assert!(text.starts_with("Expected type DATUM but found "), "{text}");
        assert!(text.ends_with(":\nSELECTION ON table(t)"), "{text}");
    }
}

#[test]
fn a_missing_index_of_an_aggregation_or_a_join_blames_the_query() {
    let server = server();
    for query in [
        format!(r#"[19,[0,[170,[[147,[{T}],{{"index":"nope"}}],"id"]]]]"#),
        format!(r#"[19,[0,[43,[[42,[{T}],{{"index":"nope"}}]]]]]"#),
        format!(r#"[19,[0,[150,[[43,[[144,[{T}],{{"index":"nope"}}]]]]]]]"#),
        format!(r#"[19,[0,[43,[[50,[{T},"a",{T}],{{"index":"nope"}}]]]]]"#),
    ] {
        refused(&server, &query, ErrorKind::OpFailed, MISSING, "[]");
    }
    // Without a key nothing is looked up.
    server.check(&format!(r#"[50,[{T},"none",{T}],{{"index":"nope"}}]"#), "[]");
}

#[test]
fn a_range_that_nothing_lies_in_asks_no_index() {
    let server = server();
    server.check(&format!(r#"[182,[{T},"a",2],{{"index":"nope"}}]"#), "[]");
    server.check(&format!(r#"[43,[[182,[{T},1,1],{{"index":"nope"}}]]]"#), "0");
    let closed = format!(r#"[182,[{T},1,1],{{"index":"nope","right_bound":"closed"}}]"#);
    refused(&server, &closed, ErrorKind::OpFailed, MISSING, "[]");
    server.check(&format!(r#"[78,[{T}],{{"index":"nope"}}]"#), "[]");
}

#[test]
fn a_value_that_can_be_no_key_is_told_to_who_reads_the_rows() {
    let server = server();
    let text = "Primary keys must be either a number, string, bool, pseudotype or array (got type OBJECT):\n{}";
    for selection in [format!("[78,[{T},1,{{}}]]"), format!("[182,[{T},1,{{}}]]")] {
        server.succeed(&format!("[79,[{selection}]]"));
        server.check(&format!("[71,[{selection},0]]"), "[]");
        let count = format!("[24,[1,[43,[{selection}]]]]");
        refused(&server, &count, ErrorKind::Logic, text, "[1,0]");
        let mapped = format!(r#"[24,[1,[43,[[170,[{selection},"a"]]]]]]"#);
        refused(&server, &mapped, ErrorKind::Logic, text, "[1,0]");
    }
    // Of many keys the least is judged first, then the greatest.
    let text = "Primary keys must be either a number, string, bool, pseudotype or array (got type OBJECT):\n{\n\t\"z\":\t1\n}";
    let both = format!(r#"[78,[{T},1,{{}},{{"z":1}}]]"#);
    refused(&server, &both, ErrorKind::Logic, text, "[]");
    let text = "Secondary keys must be a number, string, bool, pseudotype, or array (got {} of type OBJECT).";
    let secondary = format!(r#"[24,[1,[43,[[78,[{T},{{}}],{{"index":"a"}}]]]]]"#);
    refused(&server, &secondary, ErrorKind::Logic, text, "[]");
}

#[test]
fn between_reads_the_index_of_the_order() {
    let server = server();
    let ordered = format!(r#"[182,[[41,[{T}],{{"index":[74,["a"]]}}],1,3]]"#);
    server.check(&format!(r#"[170,[{ordered},"id"]]"#), "[1,2]");
}

#[test]
fn what_cannot_be_combined_is_blamed_on_the_table() {
    let server = server();
    let twice = format!("[43,[[182,[[182,[{T},1,2]],1,2]]]]");
    let text = "Cannot perform multiple BETWEENs on the same table.";
    refused(&server, &twice, ErrorKind::Logic, text, "[0,0,0]");
    let orders = format!(r#"[41,[[41,[{T}],{{"index":"id"}}]],{{"index":"a"}}]"#);
    let text = "Cannot perform multiple indexed ORDER_BYs on the same table.";
    refused(&server, &orders, ErrorKind::Logic, text, "[0,0]");
    let other = format!(r#"[41,[[182,[{T},1,2],{{"index":"nope"}}]],{{"index":"a"}}]"#);
    let text = "Cannot order by index `a` after calling BETWEEN on index `nope`.";
    refused(&server, &other, ErrorKind::Logic, text, "[0,0]");
    let other = format!(r#"[182,[[41,[{T}],{{"index":"a"}}],1,2],{{"index":"id"}}]"#);
    let text = "Cannot call BETWEEN on index `id` after ordering on index `a`.";
    refused(&server, &other, ErrorKind::Logic, text, "[0,0]");
}

#[test]
fn a_geospatial_index_is_refused_when_it_is_read() {
    let server = server();
    let by_value = format!(r#"[78,[{T},1],{{"index":"g"}}]"#);
    server.check(&format!("[52,[{by_value}]]"), r#""SELECTION<STREAM>""#);
    let text = "Index `g` is a geospatial index.  Only get_nearest and get_intersecting can use a geospatial index.";
    refused(&server, &format!("[19,[0,[43,[{by_value}]]]]"), ErrorKind::Logic, text, "[]");
    let by_shape = format!(r#"[166,[{T},[159,[0,0]]],{{"index":"a"}}]"#);
    server.check(&format!("[71,[{by_shape},0]]"), "[]");
    let text = "Index `a` is not a geospatial index.  get_intersecting can only be used with a geospatial index.";
    refused(&server, &format!("[43,[{by_shape}]]"), ErrorKind::Logic, text, "[]");
}

#[test]
fn a_geometry_is_no_key_of_get_all() {
    let server = server();
    let text = "Cannot use a geospatial index with `get_all`. Use `get_intersecting` instead.";
    for options in ["", r#",{"index":"a"}"#, r#",{"index":"nope"}"#] {
        let query = format!("[52,[[78,[{T},1,[159,[0,0]]]{options}]]]");
        refused(&server, &query, ErrorKind::Logic, text, "[0,2]");
    }
}

#[test]
fn an_error_of_a_row_that_lies_in_a_table_blames_the_query() {
    let server = server();
    let text = "Expected type NUMBER but found STRING.";
    refused(&server, &format!(r#"[24,[1,[145,[{T},"a"]]]]"#), ErrorKind::Logic, text, "[]");
    let grouped = format!(r#"[150,[[145,[[144,[{T},"b"]],"a"]]]]"#);
    refused(&server, &grouped, ErrorKind::Logic, text, "[]");
    // What was brought together is read by the term itself.
    refused(
        &server,
        &format!(r#"[24,[1,[145,[[70,[{T},0]],"a"]]]]"#),
        ErrorKind::Logic,
        text,
        "[1]",
    );
    refused(&server, &format!(r#"[24,[1,[145,[[42,[{T}]],"a"]]]]"#), ErrorKind::Logic, text, "[1]");
}

#[test]
fn an_order_by_index_of_what_is_no_table_is_refused_though_it_has_no_rows() {
    let server = server();
    let text = "Indexed order_by can only be performed on a TABLE or TABLE_SLICE. Make sure order_by comes before any \
                transformations (such as map) or filters.";
    for rows in [
        format!(r#"[78,[{T},9],{{"index":"a"}}]"#),
        format!("[78,[{T},9]]"),
        format!("[39,[[182,[{T},8,9]],true]]"),
    ] {
        let query = format!(r#"[41,[{rows}],{{"index":"a"}}]"#);
        refused(&server, &query, ErrorKind::Logic, text, "[]");
    }
    // Of an empty array nothing is ordered.
    server.check(r#"[41,[[2,[]]],{"index":"a"}]"#, "[]");
}

#[test]
fn minval_maxval_and_null_bytes_in_index_values() {
    let server = server();
    for (name, value) in [("mn", "[180,[]]"), ("mx", "[181,[]]"), ("mna", "[2,[[2,[[180,[]]]]]]")] {
        server.succeed(&format!(r#"[75,[{T},"{name}",[69,[[2,[1]],{value}]]]]"#));
        server.succeed(&format!("[140,[{T}]]"));
        server.check(&format!(r#"[43,[[41,[{T}],{{"index":"{name}"}}]]]"#), "0");
        server.check(&format!(r#"[42,[{T}],{{"index":"{name}"}}]"#), "[]");
        let text = "`min` found no entries in the specified index.";
        let least = format!(r#"[147,[{T}],{{"index":"{name}"}}]"#);
        refused(&server, &least, ErrorKind::Logic, text, "[]");
    }
    server.succeed(&format!(
        r#"[56,[{T},[2,[{{"id":5,"a":[2,["x\u0000y"]]}},{{"id":6,"a":"x\u0000"}}]]]]"#
    ));
    server.check(&format!(r#"[170,[[78,[{T},[2,["x\u0000y"]]],{{"index":"a"}}],"id"]]"#), "[5]");
    let rest = format!(r#"[182,[{T},[2,["x"]],[181,[]]],{{"index":"a"}}]"#);
    server.check(&format!(r#"[170,[[41,[{rest}],{{"index":"a"}}],"id"]]"#), "[5,2,1,3]");
}

#[test]
fn a_document_prints_as_its_value() {
    let server = server();
    let found = "Expected type TABLE but found SINGLE_SELECTION:\n{\n\t\"a\":\t1,\n\t\"id\":\t2\n}";
    refused(&server, &format!("[16,[[16,[{T},2]],1]]"), ErrorKind::Logic, found, "[0]");
    let nothing = "Expected type TABLE but found SINGLE_SELECTION:\nnull";
    refused(&server, &format!("[16,[[16,[{T},9]],1]]"), ErrorKind::NonExistence, nothing, "[0]");
    let nothing = "Cannot coerce NULL to ARRAY.";
    refused(
        &server,
        &format!(r#"[51,[[16,[{T},9]],"array"]]"#),
        ErrorKind::NonExistence,
        nothing,
        "[0]",
    );
    server.check(&format!("[43,[[16,[{T},2]]]]"), "2");
}

#[test]
fn what_is_made_of_a_sequence_counts_as_the_sequence() {
    let server = server();
    let text = "Cannot perform merge on a non-object non-sequence `4`.";
    refused(&server, &format!("[35,[[43,[{T}]],{{}}]]"), ErrorKind::Logic, text, "[0,0]");
    let text =
        "Expected type FUNCTION but found DATUM:\n[\n\t{\n\t\t\"a\":\t2,\n\t\t\"id\":\t1\n\t}\n]";
    let array = format!(r#"[40,[[2,[]],[51,[[78,[{T},1]],"array"]]]]"#);
    refused(&server, &array, ErrorKind::Logic, text, "[1,0]");
    // A value of a group is given by the term that takes it.
    let text = "Cannot perform merge on a non-object non-sequence `1`.";
    let grouped = format!(r#"[35,[[43,[[144,[{T},"a"]]]],{{}}]]"#);
    refused(&server, &grouped, ErrorKind::Logic, text, "[]");
}

#[test]
fn keys_of_eq_join_are_checked_at_the_ends_and_blame_the_last_transformation() {
    let server = server();
    let text = "Secondary keys must be a number, string, bool, pseudotype, or array (got {\n\t\"c\":\t1\n} of type OBJECT).";
    let join = format!(r#"[24,[1,[43,[[50,[{T},"b",{T}],{{"index":"a"}}]]]]]"#);
    refused(&server, &join, ErrorKind::Logic, text, "[]");
    let text = "Primary keys must be either a number, string, bool, pseudotype or array (got type OBJECT):\n{\n\t\"c\":\t1\n}";
    let join = format!(r#"[45,[[72,[[50,[{T},"b",{T}]]]],0]]"#);
    refused(&server, &join, ErrorKind::Logic, text, "[0]");
}

#[test]
fn a_union_gives_what_is_there_at_once_first() {
    let server = server();
    let (one, array) = (format!("[78,[{T},1]]"), r#"[2,[{"id":9}]]"#);
    server.check(&format!(r#"[170,[[44,[{one},{array}]],"id"]]"#), "[9,1]");
    let in_order = format!(r#"[44,[{one},{array}],{{"interleave":false}}]"#);
    server.check(&format!(r#"[170,[{in_order},"id"]]"#), "[1,9]");
    // Nothing is compared where only one sequence has rows.
    let none = format!(r#"[182,[{T},8,9]]"#);
    server.check(&format!(r#"[44,[{none},[173,[1]]],{{"interleave":"a"}}]"#), "[0]");
}

#[test]
fn the_systems_database_and_tables_have_fixed_ids() {
    let server = server();
    server.check(
        r#"[170,[[79,[[14,["rethinkdb"]]]],"id"]]"#,
        r#""b99b9572-8e53-5fef-9a2b-5e6aba3edf1c""#,
    );
    let table = r#"[79,[[15,[[14,["rethinkdb"]],"users"]]]]"#;
    server.check(
        &format!(r#"[170,[[170,[{table},"db"]],"id"]]"#),
        r#""b99b9572-8e53-5fef-9a2b-5e6aba3edf1c""#,
    );
}
