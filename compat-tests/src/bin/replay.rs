//! `replay`: runs the recorded scripts and byte exchanges against a server and compares every answer.
//! Only arguments, the order of work and the report; must not know how answers are got or compared.
#![expect(clippy::print_stdout, reason = "a command that reports to the person who runs it")]

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Parser;
use compat_tests::compare::difference;
use compat_tests::exchange::{self, Outcome};
use compat_tests::gaps::{Gaps, Verdict};
use compat_tests::harness::{Server, release_binary};
use compat_tests::player::Player;
use compat_tests::script::{self, Step, family};
use compat_tests::wire::Response;
use regex::Regex;

/// Longest piece of a query or answer that is printed.
const SHOWN_CHARACTERS: usize = 600;
/// The file of byte exchanges, beside the scripts.
const EXCHANGES: &str = "exchanges.json";

/// Replays recorded answers of RethinkDB 2.4.4 against a server and compares every one.
#[derive(Parser)]
struct Arguments {
    /// The server to start, when not that of the release build.
    #[arg(long, conflicts_with = "port")]
    server: Option<PathBuf>,
    /// Port of a server that runs already, on loopback.
    #[arg(long)]
    port: Option<u16>,
    /// Only scripts and exchanges whose id matches this pattern.
    #[arg(long)]
    only: Option<Regex>,
    /// How many differing steps to print of each file.
    #[arg(long, default_value_t = 5)]
    show: usize,
    /// Print an entry for the gap list for every step that differs, known or not.
    #[arg(long)]
    list_gaps: bool,
    /// The list of known gaps.
    #[arg(long)]
    gaps: Option<PathBuf>,
    /// Files of `oracle/`, or paths; by default all that the gap list does not put off.
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = arguments.gaps.clone().unwrap_or_else(|| here.join("known_gaps.toml"));
    let gaps = Gaps::load(&list)?;
    let (address, _server) = match arguments.port {
        Some(port) => (SocketAddr::from((Ipv4Addr::LOCALHOST, port)), None),
        None => {
            let binary = arguments.server.clone().unwrap_or_else(release_binary);
            let server = Server::start(&binary)?;
            (server.address(), Some(server))
        }
    };
    let mut replay = Replay::new(arguments, gaps, address);
    let by_name = !arguments.files.is_empty();
    for path in chosen_files(&arguments.files, &replay.gaps)? {
        replay.shown = 0;
        if path.ends_with(EXCHANGES) {
            replay.exchanges(&path)?;
        } else {
            replay.scripts(&path, by_name)?;
        }
    }
    Ok(replay.report())
}

/// The files named, or all of the oracle that are not put off.
fn chosen_files(named: &[PathBuf], gaps: &Gaps) -> Result<Vec<PathBuf>, io::Error> {
    let folder = script::oracle_folder();
    if !named.is_empty() {
        let found = |path: &PathBuf| if path.exists() { path.clone() } else { folder.join(path) };
        return Ok(named.iter().map(found).collect());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let entry = entry?;
        let put_off = entry.file_name().to_str().is_none_or(|name| gaps.file_not_yet(name));
        if !put_off {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// How many steps of a family were as recorded.
#[derive(Default, Clone, Copy)]
struct Count {
    steps: usize,
    good: usize,
}

/// One run: what it is held against and what came of it.
struct Replay<'a> {
    arguments: &'a Arguments,
    gaps: Gaps,
    address: SocketAddr,
    families: BTreeMap<String, Count>,
    passed: usize,
    known: usize,
    failed: usize,
    shown: usize,
}

impl<'a> Replay<'a> {
    fn new(arguments: &'a Arguments, gaps: Gaps, address: SocketAddr) -> Self {
        let families = BTreeMap::new();
        Self { arguments, gaps, address, families, passed: 0, known: 0, failed: 0, shown: 0 }
    }

    fn wanted(&self, id: &str) -> bool {
        self.arguments.only.as_ref().is_none_or(|only| only.is_match(id))
    }

    fn scripts(&mut self, path: &Path, by_name: bool) -> Result<(), Box<dyn Error>> {
        let mut player = Player::new(self.address);
        for script in script::load(path)? {
            let put_off = !by_name && self.gaps.family_not_yet(script.family());
            if put_off || !self.wanted(&script.id) {
                continue;
            }
            player.reset(&script).map_err(|error| format!("before {}: {error}", script.id))?;
            for (index, step) in script.steps.iter().enumerate() {
                let got = player.play(step);
                if step.want.is_some() {
                    let id = format!("{}#{index}", script.id);
                    let why = difference(step, &got);
                    let details = why.map(|why| (why, describe(step, &got)));
                    self.judge(&id, details);
                }
            }
        }
        Ok(())
    }

    fn exchanges(&mut self, path: &Path) -> Result<(), Box<dyn Error>> {
        let recorded: BTreeMap<String, Outcome> = serde_json::from_str(&fs::read_to_string(path)?)?;
        let mut cases = exchange::cases();
        cases.retain(|(name, _)| self.wanted(&exchange_id(name)));
        let mut differing = BTreeMap::new();
        for found in exchange::differences(self.address, &recorded, &cases) {
            let details = format!("  recorded {:?}\n  got      {:?}", found.want, found.got);
            differing.insert(found.name, details);
        }
        for (name, _) in cases {
            let details = differing.remove(name).map(|text| ("bytes".to_owned(), text));
            self.judge(&exchange_id(name), details);
        }
        Ok(())
    }

    /// Counts one step and prints it when it differs and is not known to.
    fn judge(&mut self, id: &str, details: Option<(String, String)>) {
        let count = self.families.entry(family(id).to_owned()).or_default();
        count.steps += 1;
        count.good += usize::from(details.is_none());
        let verdict = self.gaps.judge(id, details.is_none());
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Known => self.known += 1,
            Verdict::Unexpected => self.failed += 1,
        }
        let Some((why, text)) = details else { return };
        if self.arguments.list_gaps {
            println!("[[gap]]\nstep = {id:?}\nreason = \"\"\n");
        } else if verdict == Verdict::Unexpected && self.shown < self.arguments.show {
            self.shown += 1;
            println!("{id}: {why}\n{text}");
        }
    }

    /// Prints the table and the closing lines; true when nothing was unexpected.
    fn report(mut self) -> bool {
        println!();
        for (family, count) in &self.families {
            println!("{family:<40} {:>6} of {:>6}", count.good, count.steps);
        }
        if self.arguments.files.is_empty() {
            println!("not run, by the gap list: {}", self.gaps.not_yet().join(", "));
        }
        for step in self.gaps.stale() {
            println!("as recorded, but still in the gap list: {step}");
        }
        let stale = self.gaps.stale().len();
        self.passed = self.passed.saturating_sub(stale);
        self.failed += stale;
        if self.arguments.files.is_empty() && self.arguments.only.is_none() {
            for step in self.gaps.untouched() {
                println!("in the gap list, but no step that ran: {step}");
                self.failed += 1;
            }
        }
        let total: usize = self.families.values().map(|count| count.steps).sum();
        let good: usize = self.families.values().map(|count| count.good).sum();
        let share = 100.0 * good as f64 / total.max(1) as f64;
        println!("differing for a reason in the gap list: {}", self.known);
        println!("steps as recorded: {good} of {total} ({share:.2}%)");
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && total > 0
    }
}

/// The id under which the gap list knows an exchange.
fn exchange_id(name: &str) -> String {
    format!("exchange/bytes/{name}")
}

fn describe(step: &Step, got: &Response) -> String {
    let want = step.want.as_ref().map(ToString::to_string).unwrap_or_default();
    let got = serde_json::to_string(got).unwrap_or_default();
    format!(
        "  query    {}\n  recorded {}\n  got      {}",
        shorten(&step.describe()),
        shorten(&want),
        shorten(&got)
    )
}

fn shorten(text: &str) -> &str {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}
