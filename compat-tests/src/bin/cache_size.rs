//! `cache-size`: what the server's allocator has given, beside what it had at the start, while a table of many times the
//! cache is loaded, read by cursors and feeds that stand still and by queries that never end, updated, indexed and emptied.
//! Fails when it is more than `--cache-size` and a small part of it, or when the data file is many times what is in it.
//! The server's own counters are shown, and decide nothing.
#![expect(clippy::print_stdout, reason = "a command that reports to the person who runs it")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use clap::Parser;
use compat_tests::harness::{Server, release_binary};
use compat_tests::wire::{Connection, kind, take_rows};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// What may be there beyond the cache, in hundredths of it.
const BEYOND: u64 = 15;
/// What the data file may have, in sizes of the table: what is there, what is being written, and what may be kept.
const SIZES: u64 = 3;
/// Bytes of a document.
const DOCUMENT: u64 = 1_200;
/// Rounds of updates beside queries that are begun one after the other.
const ROUNDS: u64 = 6;
/// Documents of one query that writes.
const AT_ONCE: u64 = 500;
/// How often to look.
const LOOK: Duration = Duration::from_millis(20);
/// A prime that no number of documents here is a multiple of: its multiples visit all of them in no order.
const STEP: u64 = 1_000_003;
const ALLOCATED: &str = "photondb_memory_allocated_bytes";

/// Measures what the server takes of memory beside what it was told it may.
#[derive(Parser)]
struct Arguments {
    /// The server to start, when not that of the release build.
    #[arg(long)]
    server: Option<PathBuf>,
    /// What the server may cache, in megabytes.
    #[arg(long, default_value_t = 128)]
    cache: u64,
    /// How many times as large the table is.
    #[arg(long, default_value_t = 10)]
    caches: u64,
    /// Cursors that stand still.
    #[arg(long, default_value_t = 1_000)]
    cursors: u64,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            println!("cache-size: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<usize, Box<dyn Error>> {
    let binary = arguments.server.clone().unwrap_or_else(release_binary);
    let folder = tempfile::tempdir()?;
    let cache = arguments.cache.to_string();
    let mut server = Server::spawn(&binary, folder.path(), &["--cache-size", &cache])?;
    server.wait_until_ready()?;
    let mut client = Connection::open(server.address(), "admin", "")?;
    ask(&mut client, &json!([57, ["large"]]))?;
    ask(&mut client, &json!([60, [[14, ["large"]], "t"], { "durability": "soft" }]))?;
    let watch = Watch::new(server.http_address(), folder.path())?;
    let documents = arguments.caches * arguments.cache * 1_000_000 / DOCUMENT;
    let limit = (arguments.cache << 20) / 100 * (100 + BEYOND);
    let file_limit = documents * DOCUMENT * SIZES;
    let (mut passed, mut failed) = (0, 0);
    thread::scope(|scope| {
        watch.begin(scope);
        let outcome = workloads(arguments, server.address(), documents).into_iter().try_for_each(
            |(name, work)| {
                watch.most.store(0, Ordering::Relaxed);
                watch.most_file.store(0, Ordering::Relaxed);
                let began = Instant::now();
                work(&mut client)?;
                let most = watch.most.load(Ordering::Relaxed);
                let file = watch.most_file.load(Ordering::Relaxed);
                let good = most <= limit && file <= file_limit;
                *if good { &mut passed } else { &mut failed } += 1;
                let (result, took) = (if good { "ok  " } else { "FAIL" }, began.elapsed());
                println!(
                    "{result} {name}: at most {} of {} KB, file {} of {} KB, {took:.1?}",
                    most >> 10,
                    limit >> 10,
                    file >> 10,
                    file_limit >> 10
                );
                println!("     {}", watch.story()?);
                Ok::<_, Box<dyn Error>>(())
            },
        );
        watch.stops.store(true, Ordering::Relaxed);
        outcome
    })?;
    println!("{passed} passed, {failed} failed");
    Ok(failed)
}

type Work = Box<dyn Fn(&mut Connection) -> Result<(), Box<dyn Error>>>;

fn workloads(arguments: &Arguments, server: SocketAddr, documents: u64) -> Vec<(String, Work)> {
    let cursors = arguments.cursors;
    let updates = documents / 8;
    vec![
        (format!("a load of {} caches", arguments.caches), Box::new(move |c| fill(c, documents))),
        (
            format!("{cursors} idle cursors under updates"),
            Box::new(move |client| {
                let mut reader = Connection::open(server, "admin", "")?;
                // The more there are, the more the table has changed since the first.
                let part = updates / 10;
                for round in 0..10 {
                    for number in round * cursors / 10..(round + 1) * cursors / 10 {
                        // Each has read other documents than the rest.
                        let from = number * documents / cursors;
                        let rows = json!([182, [table(), from, [181, []]]]);
                        reader.start(&raw(&rows)?, &raw(&json!({}))?)?;
                    }
                    update(client, documents, round * part, (round + 1) * part)?;
                }
                Ok(())
            }),
        ),
        (
            "feeds that stand still amid their beginning".to_owned(),
            Box::new(move |client| {
                let mut reader = Connection::open(server, "admin", "")?;
                let feed = raw(&json!([152, [table()], { "include_initial": true }]))?;
                for round in 0..ROUNDS {
                    // Some have begun, and some have told of documents.
                    for number in 0..8 {
                        let (token, _) = reader.start(&feed, &raw(&json!({}))?)?;
                        for _ in 0..number % 2 {
                            reader.more(token)?;
                        }
                    }
                    update_all(client, documents, round)?;
                }
                Ok(())
            }),
        ),
        (
            "queries that go on for long under updates".to_owned(),
            Box::new(move |client| {
                let mut reader = Connection::open(server, "admin", "")?;
                // A while for each document, and none is ever found.
                let work = json!([145, [[173, [3_000]]]]);
                let never = json!([17, [[24, [work, [170, [variable(), "id"]]]], -1]]);
                let query = raw(&json!([1, [39, [table(), function(never)]], {}]))?;
                for round in 0..ROUNDS {
                    // Each begins amid updates.
                    update(client, documents, round * AT_ONCE, (round + 1) * AT_ONCE)?;
                    for number in 0..2 {
                        reader.send(1 + 2 * round + number, query.get().as_bytes())?;
                    }
                    update_all(client, documents, round)?;
                }
                Ok(())
            }),
        ),
        (
            "an index build".to_owned(),
            Box::new(|client| {
                ask(client, &json!([75, [table(), "group"]]))?;
                let ready = json!([170, [[45, [[139, [table(), "group"]], 0]], "ready"]]);
                while ask(client, &ready)? != json!(true) {
                    thread::sleep(Duration::from_millis(100));
                }
                Ok(())
            }),
        ),
        (
            "deletes at random".to_owned(),
            Box::new(move |client| {
                write(client, documents, 0, documents / 2, |one| json!([54, [one]]))
            }),
        ),
    ]
}

fn table() -> Value {
    json!([15, [[14, ["large"]], "t"]])
}

fn variable() -> Value {
    json!([10, [1]])
}

fn function(body: Value) -> Value {
    json!([69, [[2, [1]], body]])
}

/// Documents `{id: i, group: i % 1000, text: ...}`.
fn fill(client: &mut Connection, documents: u64) -> Result<(), Box<dyn Error>> {
    let text = "all work and no play ".repeat(54);
    let row = json!({
        "id": variable(),
        "group": [28, [variable(), 1000]],
        "text": [24, [text, [51, [variable(), "string"]]]],
    });
    for from in (0..documents).step_by(AT_ONCE as usize) {
        let to = documents.min(from + AT_ONCE);
        let rows = json!([38, [[173, [from, to]], function(row.clone())]]);
        let summary = ask(client, &json!([56, [table(), rows]]))?;
        if summary.get("inserted") != Some(&json!(to - from)) {
            return Err(format!("filling the table: {summary}").into());
        }
    }
    Ok(())
}

fn update(
    client: &mut Connection,
    documents: u64,
    from: u64,
    to: u64,
) -> Result<(), Box<dyn Error>> {
    write(client, documents, from, to, |one| json!([53, [one, { "seen": variable() }]]))
}

/// Gives every document another field.
fn update_all(client: &mut Connection, documents: u64, round: u64) -> Result<(), Box<dyn Error>> {
    let part = AT_ONCE * 4;
    for from in (0..documents).step_by(part as usize) {
        let to = documents.min(from + part);
        let soft = json!({ "durability": "soft" });
        let rows = json!([182, [table(), from, to]]);
        let summary = ask(client, &json!([53, [rows, { "round": round }], soft]))?;
        let done = |what: &str| summary.get(what).and_then(Value::as_u64).unwrap_or(0);
        if done("replaced") + done("unchanged") != to - from {
            return Err(format!("updating the table: {summary}").into());
        }
    }
    Ok(())
}

/// Does something with single documents that lie nowhere near each other.
fn write(
    client: &mut Connection,
    documents: u64,
    from: u64,
    to: u64,
    what: impl Fn(Value) -> Value,
) -> Result<(), Box<dyn Error>> {
    let one = json!([16, [table(), [28, [[26, [variable(), STEP]], documents]]]]);
    let what = function(what(one));
    for from in (from..to).step_by(AT_ONCE as usize) {
        let numbers = json!([173, [from, to.min(from + AT_ONCE)]]);
        let summary = ask(client, &json!([68, [numbers, what]]))?;
        if summary.get("errors") != Some(&json!(0)) {
            return Err(format!("writing: {summary}").into());
        }
    }
    Ok(())
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

fn raw(value: &Value) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(value.to_string())
}

/// Looks at the memory of a server, again and again.
struct Watch {
    http: SocketAddr,
    /// What the allocator had given before there was any data.
    base: u64,
    /// The most that it had given beside that.
    most: AtomicU64,
    /// The data file, and the most room that it has taken.
    file: PathBuf,
    most_file: AtomicU64,
    stops: AtomicBool,
}

impl Watch {
    fn new(http: SocketAddr, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let base = number(&numbers(http)?, ALLOCATED).ok_or("the server does not tell")?;
        let (most, most_file) = (AtomicU64::new(0), AtomicU64::new(0));
        let file = folder.join("data").join("slab.data");
        Ok(Self { http, base, most, file, most_file, stops: AtomicBool::new(false) })
    }

    fn begin<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        scope.spawn(|| {
            while !self.stops.load(Ordering::Relaxed) {
                let text = numbers(self.http).unwrap_or_default();
                let beside = number(&text, ALLOCATED).unwrap_or(0).saturating_sub(self.base);
                self.most.fetch_max(beside, Ordering::Relaxed);
                let file = self.file.metadata().map_or(0, |file| file.blocks() * 512);
                self.most_file.fetch_max(file, Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        });
    }

    /// What the server itself says it has, in kilobytes.
    fn story(&self) -> Result<String, Box<dyn Error>> {
        let text = numbers(self.http)?;
        let told = ["cache", "dirty", "retained", "map"].map(|what| {
            let bytes = number(&text, &format!("photondb_storage_{what}_bytes")).unwrap_or(0);
            format!("{what} {}", bytes >> 10)
        });
        let allocated = number(&text, ALLOCATED).unwrap_or(0).saturating_sub(self.base);
        let resident = number(&text, "photondb_memory_resident_bytes").unwrap_or(0);
        let told = told.join(", ");
        Ok(format!("now {} KB: {told}; resident {}", allocated >> 10, resident >> 10))
    }
}

/// The page with the numbers of the server.
fn numbers(http: SocketAddr) -> Result<String, Box<dyn Error>> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /_metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    // A large one may be told as 1.2e10.
    line.trim().parse::<f64>().ok().map(|number| number as u64)
}
