//! Queries on a small server: any bytes as the body of a query, and queries that are made of the rows of terms, where
//! bytes decide which. What comes of them are answers and errors of the client's making, within a bound of memory.
//! `generate` makes the queries.

mod generate;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use photondb_protocol::json;
use photondb_protocol::query::{Query, parse};

use super::facts::Effect;
use super::http_client::Policy;
use super::server_facts::{ServerFacts, ServerNumbers};
use super::{
    Answer, CancelFlag, Context, ErrorKind, Failure, MemoryBounds, Program, RunRequest, run,
    write_watched,
};
use crate::datum::{Datum, write_json};
use crate::log_lines::LogLines;

/// What one evaluation may take: longer ones are the same again and again.
const TIME: Duration = Duration::from_millis(30);
/// What a query may hold, in bytes.
const BYTES: u64 = 32 << 20;
/// Batches that are read of a stream.
const BATCHES: usize = 4;
/// Bytes of a query: longer ones do not find more.
const LONGEST: usize = 64 * 1024;

thread_local! {
    /// The server of this thread, until a query may have changed it.
    static SERVER: RefCell<Option<Arc<Context>>> = const { RefCell::new(None) };
}

/// Reads bytes as the body of a query, and evaluates it.
pub fn check_query(data: &[u8]) -> Result<(), String> {
    let Some(data) = data.get(..data.len().min(LONGEST)) else { return Ok(()) };
    let Ok(Query::Start { term, optargs }) = parse(data) else { return Ok(()) };
    let now = Datum::object([
        ("$reql_type$", "TIME".into()),
        ("epoch_time", Datum::Number(1_400_000_000.0)),
        ("timezone", "+00:00".into()),
    ]);
    let Ok(program) = Program::compile(term, optargs, &now) else { return Ok(()) };
    let program = Arc::new(program);
    let context = SERVER.take().map_or_else(server, Ok)?;
    let checked = evaluate(&program, &context);
    if program.root().facts.effect < Effect::Write {
        SERVER.set(Some(context));
    }
    checked.map_err(|problem| format!("{problem}: {}", String::from_utf8_lossy(data)))
}

/// Makes a query as the bytes decide, and evaluates it.
pub fn check_made_query(data: &[u8]) -> Result<(), String> {
    check_query(generate::query(data).as_bytes())
}

fn evaluate(program: &Arc<Program>, context: &Arc<Context>) -> Result<(), String> {
    let cancel = CancelFlag::default();
    let request = RunRequest::new(cancel.clone(), true);
    let written = |value: &Datum, deadline| {
        let json = write_watched(context, &cancel, deadline, || {
            let mut json = Vec::new();
            write_json(value, &mut json);
            json
        });
        match json {
            // A reader has a bound on depth that values do not have.
            Ok(json) if json.len() < LONGEST && value.fits(100, LONGEST).is_ok() => {
                check_json(&json)
            }
            Ok(_) => Ok(()),
            Err(failure) => check_failure(&failure),
        }
    };
    let mut cursor = match run(program, context, request) {
        Ok(Answer::Atom { value, deadline, .. }) => return written(&value, deadline),
        Ok(Answer::Stream(cursor)) => cursor,
        Err(failure) => return check_failure(&failure),
    };
    for _ in 0..BATCHES {
        let batch = match cursor.next_batch() {
            Ok(batch) => batch,
            Err(failure) => return check_failure(&failure),
        };
        batch.rows.iter().try_for_each(|row| written(row, cursor.deadline()))?;
        if batch.done {
            break;
        }
    }
    Ok(())
}

fn check_json(text: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(text).map_err(|_| "an answer that is no text".to_owned())?;
    json::parse(text).map(drop).map_err(|error| format!("an answer that is no JSON: {error}"))
}

/// A fault of the server is no answer.
fn check_failure(failure: &Failure) -> Result<(), String> {
    match failure.kind {
        ErrorKind::Internal | ErrorKind::NotResident => Err(format!("{failure:?}")),
        _ => Ok(()),
    }
}

#[derive(Debug)]
struct NoNumbers;

impl ServerNumbers for NoNumbers {
    fn client_connections(&self) -> u64 {
        0
    }

    fn queries_total(&self) -> u64 {
        0
    }

    fn queries_per_sec(&self) -> f64 {
        0.0
    }
}

/// A server in memory that reaches nothing, with a table of some documents and its indexes.
pub fn server() -> Result<Arc<Context>, String> {
    let context = Context::in_memory("fuzz").map_err(|error| error.to_string())?;
    context.scripts.switch_off();
    context.http.set_policy(Policy { allowed: false, ..Policy::default() });
    context.set_query_timeout(TIME);
    context.set_facts(ServerFacts {
        id: "7c8ff3a1-61a5-4d55-8c87-7a3fd0ac4c0b".to_owned(),
        automatic_cache_bytes: 1 << 30,
        cache_bytes_most: None,
        memory: MemoryBounds::of(1 << 40, Some(BYTES)),
        driver_port: 1,
        http_port: Some(2),
        started: SystemTime::UNIX_EPOCH,
        log: Arc::new(LogLines::default()),
        numbers: Arc::new(NoNumbers),
    });
    let context = Arc::new(context);
    let rows = r#"[2,[{"id":1,"v":2,"a":[2,["x","y"]]},{"id":"b","v":null,"g":[159,[1,2]]},{"id":[2,[1,2]],"v":{"v":1}},{"id":3,"v":"é"},{"id":4}]]"#;
    for query in [
        r#"[60,["t"]]"#.to_owned(),
        r#"[60,["u"]]"#.to_owned(),
        r#"[75,[[15,["t"]],"v"]]"#.to_owned(),
        r#"[75,[[15,["t"]],"g"],{"geo":true}]"#.to_owned(),
        r#"[75,[[15,["t"]],"a"],{"multi":true}]"#.to_owned(),
        format!(r#"[56,[[15,["t"]],{rows}]]"#),
        r#"[140,[[15,["t"]]]]"#.to_owned(),
    ] {
        ask(&context, &query)?;
    }
    Ok(context)
}

/// Asks something that must succeed.
fn ask(context: &Arc<Context>, query: &str) -> Result<(), String> {
    let body = format!("[1,{query}]");
    let Ok(Query::Start { term, optargs }) = parse(body.as_bytes()) else { return Err(body) };
    let program = Program::compile(term, optargs, &Datum::Null).map_err(|error| error.message)?;
    let request = RunRequest::new(CancelFlag::default(), true);
    // A loaded machine may be slow to build an index: then it is not there yet.
    match run(&Arc::new(program), context, request) {
        Err(failure) if failure.kind != ErrorKind::TimedOut => Err(failure.message),
        _ => Ok(()),
    }
}

/// Bodies of queries of every kind.
pub fn query_seeds() -> Vec<Vec<u8>> {
    let queries = [
        r#"[1,[24,[1,1]],{}]"#,
        r#"[1,[38,[[173,[10]],[69,[[2,[1]],[24,[[10,[1]],1]]]]]],{"array_limit":5}]"#,
        r#"[1,[39,[[15,["t"]],[69,[[2,[1]],[17,[[170,[[10,[1]],"v"]],2]]]]]],{"profile":true}]"#,
        r#"[1,[182,[[15,["t"]],1,3],{"index":"v","left_bound":"open"}],{}]"#,
        r#"[1,[144,[[15,["t"]],"v"],{"index":"v"}],{}]"#,
        r#"[1,[35,[{"a":{"b":1}},{"a":[137,[{"c":2}]]}]],{}]"#,
        r#"[1,[56,[[15,["t"]],[2,[{"id":9},{"v":[103,[1]]}]],{"return_changes":true,"conflict":"replace"}]],{}]"#,
        r#"[1,[152,[[15,["t"]],{"include_initial":true,"squash":true}]],{}]"#,
        r#"[1,[15,[[14,["rethinkdb"]],"table_status"]],{}]"#,
        r#"[1,[92,[[98,["nothing"]],null]],{}]"#,
        r#"[1,[98,["{\"a\":[1,2.5e3,\"\\u00e9\"]}"]],{}]"#,
        r#"[1,[97,["name@domain","(?P<x>[a-z]+)@"]],{}]"#,
        r#"[1,[168,[[15,["t"]],[159,[1,2]],{"index":"g","max_dist":1e6,"unit":"km"}]],{}]"#,
        r#"[1,[187,[[15,["t"]],0,[69,[[2,[1,2]],[24,[[10,[1]],1]]]]],{"emit":[69,[[2,[1,2,3]],[2,[[10,[1]]]]]]}],{}]"#,
    ];
    queries.iter().map(|query| query.as_bytes().to_vec()).collect()
}

/// Bytes that decide upon queries. They mean nothing by themselves.
pub fn made_query_seeds() -> Vec<Vec<u8>> {
    (0..64_u32)
        .map(|seed| {
            let step = |at: u32| (at.wrapping_mul(2_654_435_761).wrapping_add(seed * 40_503)) >> 11;
            (0..200).map(|at| step(at + seed) as u8).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reql::terms;
    use crate::testing::Random;

    #[test]
    fn queries_of_all_terms_are_made_and_most_compile() {
        let mut random = Random::from_environment();
        let mut all = String::new();
        let mut compiled = 0;
        for _ in 0..3_000 {
            let query = generate::query(&random.bytes(300));
            let Ok(Query::Start { term, optargs }) = parse(query.as_bytes()) else {
                panic!("{query}");
            };
            compiled += usize::from(Program::compile(term, optargs, &Datum::Null).is_ok());
            all.push_str(&query);
        }
        assert!(compiled > 1_500, "{compiled}");
        let absent = terms::rows().filter(|row| !generate::LEFT_OUT.contains(&row.term));
        let absent = absent.filter(|row| !all.contains(&format!("[{},[", row.term.number())));
        assert_eq!(absent.map(|row| row.name).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn made_queries_are_answered() {
        let mut random = Random::from_environment();
        for seed in query_seeds() {
            check_query(&seed).unwrap();
        }
        for _ in 0..500 {
            check_made_query(&random.bytes(300)).unwrap();
        }
    }
}
