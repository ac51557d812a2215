//! Every term on values that hold one part many times over: none may keep a thread longer than a query on a network
//! worker is allowed, and each ends when its query is stopped.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::spec::TermSpec;
use super::terms::rows;
use super::terms::testing::{Server, compile};
use super::{Answer, CancelFlag, ErrorKind, Failure, RunRequest, run};

/// Far more than an evaluation may take without optimisation, and far less than a walk to the end of such a value.
const SOON: Duration = Duration::from_secs(4);

/// Levels of the values: 2^40 parts.
const LEVELS: usize = 40;

/// A term that makes such a value, from an innermost one and what each level makes of the level below, `[10,[N]]`.
fn doubled(innermost: &str, level: &str) -> String {
    (0..LEVELS)
        .fold(innermost.to_owned(), |inner, _| format!("[64,[[69,[[2,[9]],{level}]],{inner}]]"))
}

/// Queries that apply a term to such values, at each place and beside others.
fn queries(row: &TermSpec) -> Vec<String> {
    let number = row.term.number();
    let pair = "[2,[[10,[9]],[10,[9]]]]";
    let fields = r#"{"a":[10,[9]],"b":[10,[9]]}"#;
    let values = [
        doubled("null", pair),
        doubled(r#""a""#, pair),
        doubled("1", fields),
        format!("[2,[{},{}]]", doubled("1", pair), doubled("1", pair)),
        format!(r#"[2,[{{"id":1,"a":{0}}},{{"id":2,"a":{0}}}]]"#, doubled("1", fields)),
    ];
    let table = r#"[15,["t"]]"#;
    let row_is = |body: &str| format!("[69,[[2,[5]],{body}]]");
    let mut queries = Vec::new();
    for x in &values {
        let same = row_is(&format!("[17,[[10,[5]],{x}]]"));
        let firsts = [x.as_str(), table, "[12,[1]]"];
        for (at, first) in firsts.iter().enumerate() {
            let of = |arguments: &[&str]| format!("[{number},[{}]]", arguments.join(","));
            if at == 0 {
                queries.extend([of(&[]), of(&[x])]);
            }
            queries.extend([
                of(&[first, x]),
                of(&[first, "0", x]),
                of(&[first, x, x]),
                of(&[first, &same]),
                of(&[first, &row_is(x)]),
            ]);
        }
    }
    queries
}

fn start(server: &Server, query: &str, cancel: &CancelFlag, may_block: bool) -> Option<ErrorKind> {
    let program = Arc::new(compile(query, "{}").ok()?);
    let request = RunRequest::new(cancel.clone(), may_block);
    let ended = |failure: Failure| Some(failure.kind);
    match run(&program, server.context(), request) {
        Ok(Answer::Atom { .. }) => None,
        Ok(Answer::Stream(mut cursor)) => match cursor.next_batch() {
            Ok(_) => None,
            Err(failure) => ended(failure),
        },
        Err(failure) => ended(failure),
    }
}

fn with_table() -> Server {
    let server = Server::new();
    server.succeed(r#"[60,["t"]]"#);
    server.succeed(r#"[56,[[15,["t"]],[2,[{"id":1,"a":[2,[1,2]]},{"id":2,"a":{"b":1}}]]]]"#);
    server
}

#[test]
fn no_term_walks_a_shared_value_for_long_where_it_was_read() {
    let server = with_table();
    let mut moved = 0;
    for row in rows() {
        for query in queries(row) {
            let began = Instant::now();
            let ended = start(&server, &query, &CancelFlag::default(), false);
            let took = began.elapsed();
            assert!(took < SOON, "{} took {took:?}: {query}", row.name);
            moved += u32::from(ended == Some(ErrorKind::NotResident));
        }
    }
    assert!(moved > 100, "only {moved} queries moved to the pool");
}

#[test]
fn every_term_that_walks_a_shared_value_ends_when_it_is_stopped() {
    let server = with_table();
    let mut stopped = 0;
    for row in rows() {
        for query in queries(row) {
            // What is over where it was read needs no stopping.
            if start(&server, &query, &CancelFlag::default(), false) != Some(ErrorKind::NotResident)
            {
                continue;
            }
            let cancel = CancelFlag::default();
            let stop = cancel.clone();
            let began = Instant::now();
            let stopper = thread::spawn(move || {
                thread::sleep(Duration::from_millis(2));
                stop.cancel();
            });
            let ended = start(&server, &query, &cancel, true);
            let took = began.elapsed();
            stopper.join().unwrap();
            assert!(took < SOON, "{} took {took:?}: {query}", row.name);
            stopped += u32::from(ended == Some(ErrorKind::Cancelled));
        }
    }
    assert!(stopped > 50, "only {stopped} queries were stopped");
}

/// A text of 8 MB, which is more than may be gone through where a query was read.
fn long_text() -> String {
    let doubled = "[64,[[69,[[2,[9]],[24,[[10,[9]],[10,[9]]]]]],";
    let times = 13;
    format!("{}\"{}\"{}", doubled.repeat(times), "long ".repeat(205), "]]".repeat(times))
}

#[test]
fn no_term_goes_through_a_long_text_where_it_was_read() {
    let (server, text) = (with_table(), long_text());
    let cancel = CancelFlag::default();
    for term in ["141", "142", "149", "97", "24"] {
        let query = format!(r#"[{term},[{text},"x"]]"#);
        let alone = format!("[{term},[{text}]]");
        let ended = [&query, &alone].map(|query| start(&server, query, &cancel, false));
        assert!(ended.contains(&Some(ErrorKind::NotResident)), "term {term}: {ended:?}");
    }
    for row in rows() {
        let began = Instant::now();
        start(&server, &format!(r#"[{},[{text},"x"]]"#, row.term.number()), &cancel, false);
        assert!(began.elapsed() < SOON, "{} took {:?}", row.name, began.elapsed());
    }
}

#[test]
fn an_index_function_without_an_end_stops_no_writer() {
    let server = with_table();
    let x = doubled("1", "[2,[[10,[9]],[10,[9]]]]");
    let endless = [
        format!("[172,[{x}]]"),
        "[187,[[173,[3000000000]],0,[69,[[2,[6,7]],[24,[[10,[6]],1]]]]]]".to_owned(),
    ];
    for (at, body) in endless.iter().enumerate() {
        let began = Instant::now();
        let table = r#"[15,["t"]]"#;
        server.succeed(&format!(r#"[75,[{table},"h{at}",[69,[[2,[5]],{body}]]]]"#));
        server.succeed(&format!("[140,[{table}]]"));
        server.succeed(&format!(r#"[53,[[16,[{table},1]],{{"n":{at}}}]]"#));
        server.check(
            &format!(r#"[43,[[182,[{table},[180,[]],[181,[]]],{{"index":"h{at}"}}]]]"#),
            "0",
        );
        server.succeed(&format!(r#"[76,[{table},"h{at}"]]"#));
        assert!(began.elapsed() < 5 * SOON, "took {:?}", began.elapsed());
    }
}
