//! `large-table`: fills a table many times as large as the server's cache, asks what reads all of it, and fails when an
//! answer is wrong, when the memory grows beyond the cache, or when a count takes longer than a walk down a tree.
#![expect(clippy::print_stdout, reason = "a command that reports to the person who runs it")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use compat_tests::harness::{Process, Server, release_binary};
use compat_tests::wire::{Connection, kind, take_rows};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// What the server may cache, in megabytes.
const CACHE: u64 = 16;
/// What it may hold beside the cache, in megabytes: its code, its log, and what it just gave back.
const BESIDE: u64 = 64;
/// Documents that are written with one query.
const AT_ONCE: u64 = 10_000;
/// What a count, or a place in an order, may take: far more than a walk down a tree, far less than a scan.
const AT_ONCE_FOUND: Duration = Duration::from_millis(5);
/// `SUCCESS_PARTIAL`
const MORE: u64 = 3;

/// Reads a table that does not fit into the cache in every way that streams.
#[derive(Parser)]
struct Arguments {
    /// The server to start, when not that of the release build.
    #[arg(long)]
    server: Option<PathBuf>,
    /// Documents, of about 1.2 KB each.
    #[arg(long, default_value_t = 150_000)]
    documents: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("large-table: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A query that reads the whole table, by name, and what it answers.
type Scan = (&'static str, Value, Value);

fn run(arguments: &Arguments) -> Result<usize, Box<dyn Error>> {
    let binary = arguments.server.clone().unwrap_or_else(release_binary);
    let folder = tempfile::tempdir()?;
    let cache = CACHE.to_string();
    let mut server = Server::spawn(&binary, folder.path(), &["--cache-size", &cache])?;
    server.wait_until_ready()?;
    let mut client = Connection::open(server.address(), "admin", "")?;
    fill(&mut client, arguments.documents)?;
    let (mut passed, mut failed) = (0, 0);
    let mut judge = |name: &str, good: bool, story: String| {
        println!("{} {name}: {story}", if good { "ok  " } else { "FAIL" });
        *if good { &mut passed } else { &mut failed } += 1;
    };
    for (name, term, expected) in scans(arguments.documents) {
        let began = Instant::now();
        let (found, peak) = watched(server.process(), || ask(&mut client, &term))?;
        let good = found == expected && peak <= CACHE + BESIDE;
        let wrong = if found == expected { String::new() } else { format!(", answered {found}") };
        judge(name, good, format!("{:.2?}, at most {peak} MB{wrong}", began.elapsed()));
    }
    let (rows, peak) = watched(server.process(), || stream(&mut client, &table()))?;
    let good = rows == arguments.documents && peak <= CACHE + BESIDE;
    judge("the whole table", good, format!("{rows} documents, at most {peak} MB"));
    for (name, term, expected) in places(arguments.documents) {
        let mut found = Value::Null;
        let quickest = (0..20).try_fold(Duration::MAX, |quickest, _| {
            let began = Instant::now();
            found = ask(&mut client, &term)?;
            Ok::<_, Box<dyn Error>>(quickest.min(began.elapsed()))
        })?;
        let good = found == expected && quickest <= AT_ONCE_FOUND;
        judge(name, good, format!("{quickest:.2?}, answered {found}"));
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed)
}

fn table() -> Value {
    json!([15, [[14, ["large"]], "t"]])
}

fn field(name: &str) -> Value {
    json!([170, [[10, [1]], name]])
}

fn function(body: Value) -> Value {
    json!([69, [[2, [1]], body]])
}

/// Documents `{id: i, group: i % 1000, turned: the number of documents - i, text: ...}`.
fn fill(client: &mut Connection, documents: u64) -> Result<(), Box<dyn Error>> {
    ask(client, &json!([57, ["large"]]))?;
    ask(client, &json!([60, [[14, ["large"]], "t"], { "durability": "soft" }]))?;
    ask(client, &json!([75, [table(), "turned"]]))?;
    let text = "all work and no play ".repeat(54);
    let row = json!({
        "id": [10, [1]],
        "group": [28, [[10, [1]], 1000]],
        "turned": [25, [documents, [10, [1]]]],
        "text": [24, [text, [51, [[10, [1]], "string"]]]],
    });
    for from in (0..documents).step_by(AT_ONCE as usize) {
        let to = documents.min(from + AT_ONCE);
        let rows = json!([38, [[173, [from, to]], function(row.clone())]]);
        let summary = ask(client, &json!([56, [table(), rows]]))?;
        if summary.get("inserted") != Some(&json!(to - from)) {
            return Err(format!("filling the table: {summary}").into());
        }
    }
    ask(client, &json!([138, [table()]]))?;
    Ok(())
}

fn scans(documents: u64) -> Vec<Scan> {
    let below = documents / 3;
    let sum = documents * (documents - 1) / 2;
    let adding = json!([69, [[2, [1, 2]], [24, [[10, [1]], [10, [2]]]]]]);
    let counting = json!([69, [[2, [1, 2]], [24, [[10, [1]], 1]]]]);
    let in_group = (0..documents).filter(|i| i % 1000 == 7).count();
    let below_function = function(json!([19, [field("id"), below]]));
    let last = documents - 1;
    vec![
        ("filter, count", json!([43, [[39, [table(), below_function]]]]), json!(below)),
        ("filter by an object", json!([43, [[39, [table(), { "group": 7 }]]]]), json!(in_group)),
        ("filter, nothing found", json!([86, [[39, [table(), { "group": -1 }]]]]), json!(true)),
        ("map, reduce", json!([37, [[38, [table(), function(field("id"))]], adding]]), json!(sum)),
        ("fold", json!([187, [table(), 0, counting]]), json!(documents)),
        ("sum of a field", json!([145, [table(), "id"]]), json!(sum)),
        ("least by a field", json!([170, [[147, [table(), "turned"]], "id"]]), json!(last)),
        (
            "group, count",
            json!([43, [[150, [[43, [[144, [table(), "group"]]]]]]]]),
            json!(documents.min(1000)),
        ),
        (
            "merge, count",
            json!([43, [[38, [table(), function(json!([35, [[10, [1]], { "x": 1 }]]))]]]]),
            json!(documents),
        ),
        (
            "distinct of a field",
            json!([43, [[42, [[170, [table(), "group"]]]]]]),
            json!(documents.min(1000)),
        ),
        (
            "the first rows of a sort",
            json!([31, [[45, [[41, [table(), "turned"]], 2]], "id"]]),
            json!(documents - 3),
        ),
    ]
}

fn places(documents: u64) -> Vec<Scan> {
    let ordered = |index: &str| json!([41, [table()], { "index": index }]);
    let (from, to) = (documents / 10, documents / 10 * 9);
    let range = json!([182, [table(), from, to], { "index": "turned" }]);
    let nth = json!([31, [[45, [ordered("turned"), to]], "turned"]]);
    let slice = json!([31, [[45, [[30, [ordered("turned"), to, to + 5]], 1]], "turned"]]);
    let skip = json!([31, [[45, [[71, [[70, [ordered("id"), to]], 5]], 4]], "id"]]);
    vec![
        ("count", json!([43, [table()]]), json!(documents)),
        ("is_empty", json!([86, [table()]]), json!(false)),
        ("count of a range", json!([43, [[182, [table(), from, to]]]]), json!(to - from)),
        ("count of a range of an index", json!([43, [range]]), json!(to - from)),
        ("nth of an index", nth, json!(to + 1)),
        ("slice of an index", slice, json!(to + 2)),
        ("skip, limit", skip, json!(to + 4)),
    ]
}

/// The answer to a query that answers one value.
fn ask(client: &mut Connection, term: &Value) -> Result<Value, Box<dyn Error>> {
    let (term, options) = (raw(term)?, raw(&json!({}))?);
    let mut answer = client.run(&term, &options)?;
    match take_rows(&mut answer).pop() {
        Some(value) if kind(&answer) == Some(1) => Ok(value),
        other => Err(format!("{term}: {other:?}").into()),
    }
}

/// Reads a stream to its end and gives the number of its rows.
fn stream(client: &mut Connection, term: &Value) -> Result<u64, Box<dyn Error>> {
    let (token, mut answer) = client.start(&raw(term)?, &raw(&json!({}))?)?;
    let mut rows = take_rows(&mut answer).len();
    while kind(&answer) == Some(MORE) {
        answer = client.more(token)?;
        rows += take_rows(&mut answer).len();
    }
    Ok(rows as u64)
}

fn raw(value: &Value) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(value.to_string())
}

/// What something gave, and the most memory that the server had meanwhile, in megabytes.
fn watched<T>(
    process: Process,
    work: impl FnOnce() -> Result<T, Box<dyn Error>>,
) -> Result<(T, u64), Box<dyn Error>> {
    process.forget_peak()?;
    let done = work()?;
    Ok((done, process.peak_resident()? >> 20))
}
