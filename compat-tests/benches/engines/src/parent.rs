//! The parent: gives every step of every workload a process of its own, and every store a directory of its own. Must
//! not open a store itself, so that no engine finds memory or files of another.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::Error;
use crate::arguments::{Arguments, Role, Workload};
use crate::data::KEY_BYTES;
use crate::line::{Line, Lines};
use crate::measure::sizes;
use crate::stores::Engine;
use crate::workloads::READY;

/// Bytes of a value in `count`: what an entry of an index has.
const SMALL: usize = 8;
/// Bytes of a value in `recover`.
const MEDIUM: usize = 256;
/// Bytes of a value in `open`, `reclaim` and `stall`: a document.
const DOCUMENT: usize = 1_200;
/// How many times its cache the data of `beyond` is.
const BEYOND: u64 = 10;

/// Runs everything that was asked for, and gives the figures.
pub fn run(arguments: &Arguments) -> Result<Vec<Line>, Error> {
    let mut parent = Parent { arguments, lines: Vec::new() };
    let wanted = arguments.wanted();
    let compared: Vec<_> = wanted.iter().filter(|one| **one <= Workload::Beyond).collect();
    for value_bytes in &arguments.value_bytes {
        for workload in &compared {
            // Reads and scans are steps behind a load.
            let is_step = [Workload::Read, Workload::Scan].contains(workload);
            if is_step && wanted.contains(&Workload::Load) {
                continue;
            }
            if **workload == Workload::Scan && wanted.contains(&Workload::Read) {
                continue;
            }
            for engine in &arguments.engines {
                parent.compare(**workload, *engine, *value_bytes, &wanted)?;
            }
        }
    }
    for workload in wanted.iter().filter(|one| **one > Workload::Beyond) {
        parent.own(*workload)?;
    }
    Ok(parent.lines)
}

struct Parent<'a> {
    arguments: &'a Arguments,
    lines: Vec<Line>,
}

impl Parent<'_> {
    fn compare(
        &mut self,
        workload: Workload,
        engine: Engine,
        value_bytes: usize,
        wanted: &[Workload],
    ) -> Result<(), Error> {
        let store = self.directory()?;
        let mut arguments = self.arguments.clone();
        arguments.value_bytes = vec![value_bytes];
        match workload {
            Workload::RandomLoad => self.child(&arguments, Role::RandomLoad, engine, store.path()),
            Workload::Put => {
                for threads in &self.arguments.threads {
                    let store = self.directory()?;
                    arguments.threads = vec![*threads];
                    self.child(&arguments, Role::Put, engine, store.path())?;
                }
                Ok(())
            }
            Workload::Beyond => {
                let entry = (KEY_BYTES + value_bytes) as u64;
                arguments.keys = BEYOND * ((arguments.beyond_cache as u64) << 20) / entry;
                self.silent(&arguments, Role::Load, engine, store.path())?;
                self.child(&arguments, Role::Beyond, engine, store.path())
            }
            _ => {
                self.child(&arguments, Role::Load, engine, store.path())?;
                let sizes = sizes(store.path(), "")?;
                let lines = Lines::new("load", engine, value_bytes);
                self.add(lines.line("disk", sizes.disk as f64 / 1e6, "MB"));
                self.add(lines.line("length", sizes.length as f64 / 1e6, "MB"));
                for (step, role) in [(Workload::Read, Role::Read), (Workload::Scan, Role::Scan)] {
                    if wanted.contains(&step) {
                        self.child(&arguments, role, engine, store.path())?;
                    }
                }
                Ok(())
            }
        }
    }

    fn own(&mut self, workload: Workload) -> Result<(), Error> {
        let engine = Engine::Slab;
        let store = self.directory()?;
        let mut arguments = self.arguments.clone();
        arguments.value_bytes = vec![DOCUMENT];
        match workload {
            Workload::Count => {
                arguments.value_bytes = vec![SMALL];
                self.child(&arguments, Role::Count, engine, store.path())
            }
            Workload::Recover => {
                arguments.value_bytes = vec![MEDIUM];
                self.silent(&arguments, Role::Load, engine, store.path())?;
                arguments.keys = self.kill(&arguments, engine, store.path())?;
                self.child(&arguments, Role::RecoverOpen, engine, store.path())
            }
            Workload::Open => {
                arguments.keys = (arguments.open_size << 20) / (KEY_BYTES + DOCUMENT) as u64;
                self.silent(&arguments, Role::Load, engine, store.path())?;
                self.child(&arguments, Role::Open, engine, store.path())
            }
            Workload::Reclaim => {
                self.silent(&arguments, Role::Load, engine, store.path())?;
                self.child(&arguments, Role::Reclaim, engine, store.path())
            }
            _ => self.child(&arguments, Role::Stall, engine, store.path()),
        }
    }

    /// A new directory, which is removed with the value.
    fn directory(&self) -> Result<TempDir, Error> {
        Ok(match &self.arguments.directory {
            Some(directory) => {
                fs::create_dir_all(directory)?;
                TempDir::new_in(directory)?
            }
            None => TempDir::new()?,
        })
    }

    fn add(&mut self, line: Line) {
        println!("{line}");
        self.lines.push(line);
    }

    /// Runs a child and keeps its figures.
    fn child(
        &mut self,
        arguments: &Arguments,
        role: Role,
        engine: Engine,
        store: &Path,
    ) -> Result<(), Error> {
        for line in outcome(start(arguments, role, engine, store)?, role, engine)? {
            self.add(line);
        }
        Ok(())
    }

    /// Runs a child whose figures say nothing.
    fn silent(
        &self,
        arguments: &Arguments,
        role: Role,
        engine: Engine,
        store: &Path,
    ) -> Result<(), Error> {
        outcome(start(arguments, role, engine, store)?, role, engine).map(drop)
    }

    /// Runs a child that writes, and kills it when it says so. Gives the entries that must be there.
    fn kill(&self, arguments: &Arguments, engine: Engine, store: &Path) -> Result<u64, Error> {
        let mut child = start(arguments, Role::RecoverWrite, engine, store)?;
        let output = child.stdout.take().ok_or("a child without output")?;
        let mut said = String::new();
        BufReader::new(output).read_line(&mut said)?;
        child.kill()?;
        child.wait()?;
        let entries = said.trim().strip_prefix(READY).ok_or("the child ended too early")?;
        Ok(entries.trim().parse()?)
    }
}

fn start(arguments: &Arguments, role: Role, engine: Engine, store: &Path) -> Result<Child, Error> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments.for_child(role, engine, store).words());
    Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?)
}

/// Waits for a child and reads what it printed.
fn outcome(mut child: Child, role: Role, engine: Engine) -> Result<Vec<Line>, Error> {
    // Waiting would close it, at which the child would think that there is no parent any more.
    let _input = child.stdin.take();
    let mut text = String::new();
    if let Some(mut output) = child.stdout.take() {
        output.read_to_string(&mut text)?;
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("{role:?} on {engine} failed: {status}").into());
    }
    Ok(text.lines().filter_map(Line::parse).collect())
}
