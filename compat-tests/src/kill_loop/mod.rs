//! Kills a server in the midst of writes, again and again on one directory, and looks each time whether it has lost
//! anything: what was acknowledged with hard durability must be there, what was not may be, and of all commits together
//! some prefix is left, of which no document and no insert is there by half. Tables, indexes, write hooks and users come
//! and go with the documents, and what an index leads to must be what the documents say.
//! Knows processes and clients; not what a server does to keep its promise.

mod client;
mod history;
mod indexes;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::client::{Client, part_of, read_all};
use self::history::{Documents, History, Setup, Survived};
use self::indexes::INDEXES;
use crate::harness::{HarnessError, Server, verify_data};
use crate::random::Random;

/// Clients that share a table, and those that have one of their own.
const SHARING: u64 = 5;
const ALONE: u64 = 3;
/// The table of those that share one.
const SHARED: &str = "shared";
/// Most milliseconds from the first query of a client to the kill.
const RUN_MILLISECONDS: usize = 400;
/// Most milliseconds from the start of a server to a kill that is meant to come before it is ready.
const START_MILLISECONDS: usize = 30;
/// Most milliseconds from SIGTERM to SIGKILL.
const STOP_MILLISECONDS: usize = 40;

/// What to do.
pub struct Plan {
    /// The server.
    pub binary: PathBuf,
    /// A folder for its data and its log.
    pub folder: PathBuf,
    /// How many times it is killed.
    pub cycles: u64,
    /// Decides everything that the machine's speed does not.
    pub seed: u64,
    /// Whether to keep, beside the data, what it was before the last start.
    pub keeps_before: bool,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Kills while clients wrote.
    pub killed_writing: u64,
    /// Kills between the start and the first answer, or thereabouts.
    pub killed_starting: u64,
    /// Kills after SIGTERM, before the server had ended.
    pub killed_stopping: u64,
    /// Servers that ended in order.
    pub stopped: u64,
    /// Directories that were verified.
    pub verified: u64,
    /// Operations sent.
    pub operations: u64,
    /// Those among them that had to last: acknowledged with hard durability, or before one that was.
    pub certain: u64,
    /// Those that had not to last, but did.
    pub lasted: u64,
    /// The longest time from a start to its first answer.
    pub slowest_start: Duration,
}

/// Why the loop ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum KillError {
    /// No server.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// The server broke a promise.
    #[error("{0}")]
    Broken(String),
}

/// How a server comes to its end.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum End {
    #[default]
    KilledWriting,
    KilledStarting,
    KilledStopping,
    Stopped,
}

const ENDS: [End; 20] = {
    let mut ends = [End::KilledWriting; 20];
    [ends[0], ends[1], ends[2]] = [End::KilledStarting; 3];
    [ends[3], ends[4]] = [End::KilledStopping; 2];
    ends[5] = End::Stopped;
    ends
};

/// Runs all cycles; `told` hears of each hundredth.
pub fn run(plan: &Plan, told: &mut dyn FnMut(u64, &Tally)) -> Result<Tally, KillError> {
    let mut random = Random::new(plan.seed, 0);
    let mut clients: Vec<Client> = (0..SHARING + ALONE).map(|n| new_client(n, plan.seed)).collect();
    let mut tally = Tally::default();
    for cycle in 1..=plan.cycles {
        let done = run_cycle(plan, cycle, &mut random, &mut clients, &mut tally);
        done.map_err(|error| in_cycle(cycle, error))?;
        if cycle % 100 == 0 {
            told(cycle, &tally);
        }
    }
    // What is left after the last kill is looked at as well.
    let mut server = start(plan, &mut random)?;
    server.wait_until_ready()?;
    let checked = check(&server, &mut clients, &mut tally);
    checked.map_err(|error| in_cycle(plan.cycles, with_log(error, &server)))?;
    drop(server);
    verify(plan, &mut tally)?;
    Ok(tally)
}

fn in_cycle(cycle: u64, error: KillError) -> KillError {
    match error {
        KillError::Broken(problem) => KillError::Broken(format!("cycle {cycle}: {problem}")),
        other => other,
    }
}

fn with_log(error: KillError, server: &Server) -> KillError {
    match error {
        KillError::Broken(problem) => {
            KillError::Broken(format!("{problem}\nthe server's log ends:\n{}", server.log_tail()))
        }
        other => other,
    }
}

fn new_client(number: u64, seed: u64) -> Client {
    let owns_table = number >= SHARING;
    Client {
        number,
        table: if owns_table { format!("own_{number}") } else { SHARED.to_owned() },
        owns_table,
        history: History::default(),
        random: Random::new(seed, 1 + number),
        version: 0,
        setup: Setup::default(),
    }
}

/// One start, and one end.
fn run_cycle(
    plan: &Plan,
    cycle: u64,
    random: &mut Random,
    clients: &mut [Client],
    tally: &mut Tally,
) -> Result<(), KillError> {
    // The first server lives until the tables are there.
    let end = if cycle == 1 { End::KilledWriting } else { random.pick(&ENDS) };
    let mut server = start(plan, random)?;
    if end == End::KilledStarting {
        sleep_up_to(random, START_MILLISECONDS);
        server.kill()?;
        tally.killed_starting += 1;
    } else {
        server.wait_until_ready()?;
        tally.slowest_start = tally.slowest_start.max(server.started_in());
        if cycle == 1 {
            client::create_table(server.address(), SHARED).map_err(KillError::Broken)?;
            for client in clients.iter_mut().filter(|client| !client.owns_table) {
                let indexes = (0..INDEXES.len()).collect();
                client.setup = Setup { table: true, indexes, ..Setup::default() };
                let setup = client.setup.clone();
                client.history.settle(Documents { setup, versions: BTreeMap::new() });
            }
        }
        let checked = check(&server, clients, tally)
            .and_then(|()| write_until_the_end(&mut server, end, random, clients, tally));
        if let Err(error) = checked {
            // Not in order: that would change the data that is to be looked at.
            server.kill()?;
            return Err(with_log(error, &server));
        }
    }
    if random.below(5) == 0 {
        verify(plan, tally)?;
    }
    Ok(())
}

fn start(plan: &Plan, random: &mut Random) -> Result<Server, KillError> {
    if plan.keeps_before && data(&plan.folder).exists() {
        copy(&data(&plan.folder), &plan.folder.join("before"))?;
    }
    let interval = random.pick(&["0.01", "0.1", "1"]);
    // The smallest cache: a checkpoint begins after a megabyte of changes.
    let arguments = ["--cache-size", "8", "--flush-interval", interval, "--no-http-admin"];
    Ok(Server::spawn(&plan.binary, &plan.folder, &arguments)?)
}

fn sleep_up_to(random: &mut Random, milliseconds: usize) {
    thread::sleep(Duration::from_micros(random.below(milliseconds * 1_000) as u64));
}

/// Lets all clients write and ends the server meanwhile.
fn write_until_the_end(
    server: &mut Server,
    end: End,
    random: &mut Random,
    clients: &mut [Client],
    tally: &mut Tally,
) -> Result<(), KillError> {
    let (address, ending) = (server.address(), AtomicBool::new(false));
    let mut complaints = Vec::new();
    thread::scope(|scope| {
        let writing: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| client.write(address, &ending)))
            .collect();
        sleep_up_to(random, RUN_MILLISECONDS);
        let ended = end_server(server, end, random, &ending);
        for client in writing {
            match client.join() {
                Ok(Ok(())) => {}
                Ok(Err(complaint)) => complaints.push(complaint),
                Err(_) => complaints.push("a client panicked".to_owned()),
            }
        }
        ended
    })?;
    match end {
        End::KilledWriting => tally.killed_writing += 1,
        End::KilledStarting => tally.killed_starting += 1,
        End::KilledStopping => tally.killed_stopping += 1,
        End::Stopped => tally.stopped += 1,
    }
    match complaints.into_iter().next() {
        None => Ok(()),
        Some(complaint) => Err(KillError::Broken(complaint)),
    }
}

fn end_server(
    server: &mut Server,
    end: End,
    random: &mut Random,
    ending: &AtomicBool,
) -> Result<(), KillError> {
    match end {
        End::KilledWriting | End::KilledStarting => {}
        End::KilledStopping => {
            ending.store(true, Ordering::SeqCst);
            server.ask_to_stop()?;
            sleep_up_to(random, STOP_MILLISECONDS);
        }
        End::Stopped => {
            ending.store(true, Ordering::SeqCst);
            return match server.stop()? {
                Some((status, _)) if status.success() => Ok(()),
                other => {
                    let problem = format!("the server did not stop in order: {other:?}");
                    // The clients end with it.
                    server.kill()?;
                    Err(KillError::Broken(problem))
                }
            };
        }
    }
    Ok(server.kill()?)
}

/// Reads everything and compares it with what the clients did.
fn check(server: &Server, clients: &mut [Client], tally: &mut Tally) -> Result<(), KillError> {
    let found = read_all(server.address()).map_err(KillError::Broken)?;
    let parts: Vec<Documents> = clients.iter().map(|client| part_of(client, &found)).collect();
    let known: usize = parts.iter().map(|part| part.versions.len()).sum();
    let all = found.tables.values().flat_map(|table| table.clients.values());
    let there: usize = all.map(BTreeMap::len).sum();
    if known != there {
        let problem = format!("{there} documents, of which {known} belong where they are");
        return Err(KillError::Broken(problem));
    }
    let mut survived = Vec::new();
    for (client, part) in clients.iter().zip(&parts) {
        let found = client.history.survived(part);
        let named = |problem| KillError::Broken(format!("client {}: {problem}", client.number));
        survived.push(found.map_err(named)?);
    }
    let pairs = || clients.iter().zip(&survived);
    let latest: Option<Instant> =
        pairs().filter_map(|(client, survived)| client.history.last_sent(*survived)).max();
    if let Some(latest) = latest {
        for (client, survived) in pairs() {
            if let Some(lost) = client.history.lost_before(*survived, latest) {
                let history = |(client, survived): (&Client, &Survived)| {
                    format!("{} {survived:?}\n{}", client.number, client.history.tail(latest))
                };
                let all: Vec<String> = pairs().map(history).collect();
                let problem = format!(
                    "client {}: {lost:?} is lost, but not what was sent after its acknowledgement\n{}",
                    client.number,
                    all.join("\n")
                );
                return Err(KillError::Broken(problem));
            }
        }
    }
    for ((client, part), survived) in clients.iter_mut().zip(parts).zip(survived) {
        let (sent, certain) = client.history.counts();
        tally.operations += sent as u64;
        tally.certain += certain as u64;
        tally.lasted += (survived.least - certain.min(survived.least)) as u64;
        client.setup = part.setup.clone();
        client.history.settle(part);
    }
    Ok(())
}

/// The server's own look at the directory.
fn verify(plan: &Plan, tally: &mut Tally) -> Result<(), KillError> {
    tally.verified += 1;
    match verify_data(&plan.binary, &plan.folder)? {
        None => Ok(()),
        Some(problem) => Err(KillError::Broken(format!("verify: {problem}"))),
    }
}

/// Makes a folder the same as another one.
fn copy(from: &Path, to: &Path) -> Result<(), KillError> {
    let copied = || -> io::Result<()> {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir(to)?;
        for entry in from.read_dir()? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    let what = "a copy of the data".to_owned();
    Ok(copied().map_err(|source| HarnessError::System { what, source })?)
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}
