//! Clients that do no harm, each on a connection of its own, which ask all the time while an attack runs: what they
//! wait, and whether anything fails, is what the attack does to others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::AttackError;
use crate::harness;
use crate::wire::{Connection, FIRST_ERROR, WireError, kind};

/// Pause between two questions of one prober.
const PAUSE: Duration = Duration::from_millis(8);
/// Documents of the table that is scanned.
const DOCUMENTS: usize = 1_000;
/// A health check that takes longer counts as not answered.
const HEALTH_WAITS: Duration = Duration::from_secs(1);
/// Changes that the feeds were to tell.
static CHANGES: AtomicU64 = AtomicU64::new(1);

/// `r.db('probe').table('t')`
const TABLE: &str = r#"[15,[[14,["probe"]],"t"]]"#;

/// One kind of question.
type Ask = Box<dyn FnMut() -> Result<(), AttackError> + Send>;

/// What one kind of question met while an attack ran.
pub struct Measured {
    /// The question.
    pub kind: &'static str,
    /// How many were answered.
    pub answered: usize,
    /// Half were answered sooner.
    pub median: Duration,
    /// 99 of 100 were answered sooner.
    pub p99: Duration,
    /// The longest wait.
    pub longest: Duration,
    /// What `p99` may be.
    pub bound: Duration,
    /// What failed, if anything did.
    pub failure: Option<String>,
}

impl Measured {
    /// What has failed, if anything has, however long it took.
    pub fn failed(&self) -> Option<String> {
        let failure = self.failure.as_ref()?;
        Some(format!("{} failed: {failure}", self.kind))
    }

    /// What is wrong with it, if anything is.
    pub fn complaint(&self) -> Option<String> {
        let Self { kind, p99, bound, .. } = self;
        if let Some(failed) = self.failed() {
            return Some(failed);
        }
        (p99 > bound).then(|| format!("p99 of {kind} is {p99:?}, not {bound:?}"))
    }
}

/// Probers at work.
pub struct Probers {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Measured>>,
}

impl Probers {
    /// Makes the table that they ask for.
    pub fn prepare(address: SocketAddr) -> Result<(), AttackError> {
        let mut connection = Connection::open(address, "admin", "")?;
        let rows: Vec<_> =
            (0..DOCUMENTS).map(|id| format!(r#"{{"id":{id},"v":{}}}"#, id % 7)).collect();
        for term in [
            r#"[57,["probe"]]"#.to_owned(),
            r#"[60,[[14,["probe"]],"t"]]"#.to_owned(),
            format!("[56,[{TABLE},[2,[{}]]]]", rows.join(",")),
            r#"[60,[[14,["probe"]],"other"]]"#.to_owned(),
            r#"[56,[[15,[[14,["probe"]],"other"]],[2,[{"id":1,"a":[2,[1,2]]},{"id":2,"a":{"b":1}}]]]]"#.to_owned(),
        ] {
            ask(&mut connection, &term)?;
        }
        Ok(())
    }

    /// Lets them begin.
    pub fn start(address: SocketAddr, http: SocketAddr) -> Result<Self, AttackError> {
        let over = Arc::new(AtomicBool::new(false));
        let (fast, write) = (Duration::from_millis(50), Duration::from_millis(100));
        let query = |term: String| -> Result<Ask, AttackError> {
            let mut connection = Connection::open(address, "admin", "")?;
            Ok(Box::new(move || ask(&mut connection, &term)))
        };
        let kinds: [(&'static str, Duration, Ask); 7] = [
            ("1 + 1", fast, query("[24,[1,1]]".into())?),
            ("get", fast, query(format!("[16,[{TABLE},7]]"))?),
            (
                "write",
                write,
                query(format!(
                    r#"[53,[[16,[{TABLE},8]],{{"u":[169,[]]}}],{{"non_atomic":true}}]"#
                ))?,
            ),
            ("scan", super::STRANGER_WAITS, query(format!(r#"[43,[[39,[{TABLE},{{"v":3}}]]]]"#))?),
            ("feed", write, feed(address)?),
            ("/health/live", HEALTH_WAITS, Box::new(move || health(http))),
            ("connecting", super::STRANGER_WAITS, Box::new(move || Ok(harness::answers(address)?))),
        ];
        let threads = kinds.into_iter().map(|(kind, bound, ask)| {
            let over = Arc::clone(&over);
            thread::spawn(move || probe(kind, bound, ask, &over))
        });
        let threads = threads.collect();
        Ok(Self { over, threads })
    }

    /// Ends them; gives what each met.
    pub fn finish(self) -> Vec<Measured> {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    }
}

/// Asks until it is over or a question fails.
fn probe(kind: &'static str, bound: Duration, mut ask: Ask, over: &AtomicBool) -> Measured {
    let (mut waits, mut failure) = (Vec::new(), None);
    while !over.load(Ordering::Relaxed) && failure.is_none() {
        let began = Instant::now();
        match ask() {
            Ok(()) => waits.push(began.elapsed()),
            Err(error) => failure = Some(format!("{error} after {:?}", began.elapsed())),
        }
        thread::sleep(PAUSE);
    }
    waits.sort_unstable();
    let share = |percent: usize| {
        let at = (waits.len() * percent).div_ceil(100).max(1) - 1;
        waits.get(at).copied().unwrap_or_default()
    };
    let (median, p99, longest) = (share(50), share(99), share(100));
    Measured { kind, answered: waits.len(), median, p99, longest, bound, failure }
}

/// Runs a term that must succeed.
fn ask(connection: &mut Connection, term: &str) -> Result<(), AttackError> {
    connection.send(1, format!("[1,{term},{{}}]").as_bytes())?;
    let answer = connection.answer_to(1)?;
    if kind(&answer).is_none_or(|kind| kind >= FIRST_ERROR) {
        return Err(AttackError::Misbehaved(format!("{term} was answered {}", json!(answer))));
    }
    Ok(())
}

/// Writes a document that a feed is open for, and waits for the change.
fn feed(address: SocketAddr) -> Result<Ask, AttackError> {
    const FEED: u64 = 7;
    let mut writer = Connection::open(address, "admin", "")?;
    let mut reader = Connection::open(address, "admin", "")?;
    reader.send(FEED, format!("[1,[152,[[16,[{TABLE},9]]]],{{}}]").as_bytes())?;
    reader.answer_to(FEED)?;
    Ok(Box::new(move || {
        reader.send_continue(FEED)?;
        // Each change is one, also after those of an attack before.
        let count = CHANGES.fetch_add(1, Ordering::Relaxed);
        let change = format!(r#"[53,[[16,[{TABLE},9]],{{"n":{count}}}]]"#);
        ask(&mut writer, &change)?;
        let answer = reader.answer_to(FEED)?;
        if kind(&answer) != Some(crate::wire::SUCCESS_PARTIAL) {
            return Err(AttackError::Misbehaved(format!("the feed ended: {}", json!(answer))));
        }
        Ok(())
    }))
}

/// Asks over HTTP, on a connection of its own, whether the server lives.
fn health(http: SocketAddr) -> Result<(), AttackError> {
    let mut socket = TcpStream::connect_timeout(&http, HEALTH_WAITS)?;
    socket.set_read_timeout(Some(HEALTH_WAITS))?;
    socket
        .write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    if !answer.starts_with("HTTP/1.1 200") {
        return Err(WireError::Malformed(answer).into());
    }
    Ok(())
}
