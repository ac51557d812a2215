//! The process in which scripts run: this binary, started for that alone. It reads jobs from its standard input, writes
//! results to its standard output, and ends when its input does. It has no file, no environment and no memory beyond a
//! bound. Whatever a script makes of its engine, the process can be killed.
//!
//! Knows pipes and the engine; nothing of queries.

use std::fs;
use std::io::{self, BufRead, BufReader, Write, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio, exit};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, setrlimit};

use super::wire::{self, GREETING};
use super::worker::Engine;
use super::{Outcome, ScriptError};
use crate::limits;
use crate::priority;

/// The argument that starts a helper.
pub const ARGUMENT: &str = "script-helper";

/// A helper as the server sees it.
#[derive(Debug)]
pub(super) struct Helper {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    process: Process,
}

/// A process that is killed at the latest when the last handle is dropped.
#[derive(Clone, Debug)]
struct Process(Arc<Killed>);

#[derive(Debug)]
struct Killed(Mutex<Child>);

/// Ends a helper from another thread than the one that waits for it, also while it is being started.
#[derive(Debug, Default)]
pub(super) struct Leash(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    process: Option<Process>,
    is_let_go: bool,
}

impl Leash {
    /// The helper has been started. Whether it is wanted still.
    pub(super) fn hold(&self, helper: &Helper) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.is_let_go {
            held.process = Some(helper.process.clone());
        }
        !held.is_let_go
    }

    /// Ends the helper, now or as soon as it has been started.
    pub(super) fn kill(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.is_let_go = true;
        if let Some(process) = held.process.take() {
            process.kill();
        }
    }
}

#[cfg(test)]
impl Leash {
    /// The process that is held.
    pub(super) fn id(&self) -> Option<u32> {
        self.0.lock().unwrap().process.as_ref().map(Process::id)
    }
}

#[cfg(test)]
impl Helper {
    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Helper {
    /// Starts a helper, and waits until it is there.
    pub(super) fn start() -> io::Result<Helper> {
        let mut child = command()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let process = Process(Arc::new(Killed(Mutex::new(child))));
        let (Some(input), Some(output)) = (input, output) else {
            return Err(io::Error::other("a helper has no pipes"));
        };
        let mut helper = Helper { input, output: BufReader::new(output), process };
        helper.await_greeting()?;
        Ok(helper)
    }

    fn await_greeting(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        while !line.ends_with(GREETING) {
            line.clear();
            if self.output.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// Whether it has not ended by itself, or by somebody else's wish.
    pub(super) fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// Runs a job. Waits for the result; killing the process ends that.
    pub(super) fn run(&mut self, job: &[u8]) -> Result<Outcome, ScriptError> {
        let asked = wire::write_frame(&mut self.input, job);
        let answer = asked.and_then(|()| wire::read_frame(&mut self.output));
        let answer = answer.ok().and_then(|frame| wire::read_result(&frame));
        answer.unwrap_or(Err(ScriptError::Crashed))
    }

    /// Forgets everything that scripts have left behind.
    pub(super) fn renew(&mut self) -> io::Result<()> {
        wire::write_frame(&mut self.input, wire::RENEW)
    }
}

impl Process {
    fn is_alive(&self) -> bool {
        let mut child = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(child.try_wait(), Ok(None))
    }

    #[cfg(test)]
    fn id(&self) -> u32 {
        self.0.0.lock().unwrap().id()
    }

    /// Ends the process, whatever it is at.
    fn kill(&self) {
        self.0.kill();
    }
}

impl Killed {
    fn kill(&self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Both fail only when it has ended and was waited for.
        drop(child.kill().and_then(|()| child.wait()));
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary that runs is found under this name also when its file was replaced or removed.
const OWN_BINARY: &str = "/proc/self/exe";

#[cfg(not(test))]
fn command() -> Command {
    let mut command = Command::new(OWN_BINARY);
    command.env_clear().arg(ARGUMENT);
    command
}

/// The binary of the tests is a helper when it is asked for one test, with this in its environment.
#[cfg(test)]
pub(super) const IN_TESTS: &str = "PHOTONDB_SCRIPT_HELPER";

#[cfg(test)]
fn command() -> Command {
    let mut command = Command::new(OWN_BINARY);
    command.env_clear().env(IN_TESTS, "yes");
    command.args([
        "--exact",
        "reql::js::tests::this_binary_is_a_helper_when_asked_to_be",
        "--nocapture",
    ]);
    command
}

/// Is a helper until the server wants it no more.
pub fn serve() -> ExitCode {
    confine();
    let (jobs, frames) = sync_channel(1);
    // Also while a script runs: a helper does not outlive its server.
    std::thread::spawn(move || {
        let mut input = BufReader::new(stdin());
        while let Ok(frame) = wire::read_frame(&mut input) {
            if jobs.send(frame).is_err() {
                break;
            }
        }
        exit(0);
    });
    let engine = std::thread::Builder::new()
        .stack_size(limits::SCRIPT_THREAD_STACK_BYTES)
        .spawn(move || run_jobs(&frames));
    match engine.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn run_jobs(frames: &std::sync::mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    let mut output = stdout().lock();
    output.write_all(GREETING)?;
    output.flush()?;
    let mut engine = None;
    while let Ok(frame) = frames.recv() {
        if frame == wire::RENEW {
            engine = None;
            continue;
        }
        let job = wire::read_job(&frame).ok_or_else(|| io::Error::other("no job"))?;
        drop(frame);
        let engine = match &mut engine {
            Some(engine) => engine,
            none => none.insert(Engine::new().map_err(io::Error::other)?),
        };
        let result = engine.run(&job);
        wire::write_frame(&mut output, &wire::write_result(&result))?;
    }
    Ok(())
}

/// Gives up what a script has no use for. What the system refuses stays: it is a second wall, not the first.
fn confine() {
    let exactly = |bound| Rlimit { current: Some(bound), maximum: Some(bound) };
    // When the machine runs out of memory, a helper is what it can do without.
    drop(fs::write("/proc/self/oom_score_adj", "1000"));
    priority::give_way_to_parent();
    let _ = setrlimit(Resource::As, exactly(limits::SCRIPT_PROCESS_BYTES));
    let _ = setrlimit(Resource::Core, exactly(0));
    // No file can be opened.
    let _ = setrlimit(Resource::Nofile, exactly(3));
}
