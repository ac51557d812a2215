//! Abuse: what no driver sends, and more of it than any would. While an attack runs, clients that do no harm must be
//! served in time; after it the server must answer as before and its memory must be back near where it was. Knows
//! sockets and `/proc`; must not know the server's insides.

mod load;
mod noise;
mod prober;
mod unread;
mod values;
mod waiting;

pub use prober::{Measured, Probers};

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{self, HarnessError, Process};
use crate::script::ScriptError;
use crate::wire::WireError;

/// Memory that an attack may leave behind: what an allocator keeps for the next query.
const LEFT_BEHIND: u64 = 32 << 20;
/// What the server is told to take of memory, in megabytes: little, so that attacks on it are brief.
pub const MEMORY_LIMIT: u64 = 512;
/// What it may take at most, in bytes: a tenth more.
const AT_ONCE: u64 = (MEMORY_LIMIT << 20) / 10 * 11;
/// How long the server may take to give memory back.
const RECOVERY: Duration = Duration::from_secs(2);
/// How long a stranger may wait for an answer while an attack is held back.
const STRANGER_WAITS: Duration = Duration::from_secs(2);

/// How much of the unbounded attacks to run.
#[derive(Clone, Copy)]
pub struct Extent {
    /// Random bytes to send.
    pub bytes: u64,
    /// Mutated frames to send.
    pub frames: u64,
    /// Queries of terms on awkward values, of all that there are.
    pub terms: usize,
}

/// A part of the whole, for every change.
pub const SLICE: Extent = Extent { bytes: 1_000_000, frames: 50_000, terms: 3_000 };
/// Ten million bytes and a million frames.
pub const FULL: Extent = Extent { bytes: 10_000_000, frames: 1_000_000, terms: usize::MAX };

/// Why an attack counts as one that succeeded.
#[derive(Debug, thiserror::Error)]
pub enum AttackError {
    /// A connection failed where the server should have answered or closed it.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server is gone, silent, or unknown to the system.
    #[error(transparent)]
    Server(#[from] HarnessError),
    /// The queries to mutate could not be read.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The server did something it must not.
    #[error("{0}")]
    Misbehaved(String),
}

impl From<io::Error> for AttackError {
    fn from(error: io::Error) -> Self {
        Self::Wire(error.into())
    }
}

/// Where attacks take place.
#[derive(Clone, Copy)]
pub struct Ground {
    /// The driver port.
    pub address: SocketAddr,
    /// The HTTP port.
    pub http: SocketAddr,
    /// The server's process.
    pub process: Process,
    /// How much to send.
    pub extent: Extent,
    /// Decides every random choice.
    pub seed: u64,
}

/// One attack: its name, and what it does; the text says what happened.
pub type Attack = (&'static str, fn(&Ground) -> Result<String, AttackError>);

/// All attacks, in the order in which they run.
pub const ATTACKS: [Attack; 22] = [
    ("random bytes", noise::random_bytes),
    ("mutated frames", noise::mutated_frames),
    ("queries nested 10,000 deep", load::deep_queries),
    ("values that grow and grow", load::growing_values),
    ("a frame of 130 MB", load::large_frame),
    ("2,000 queries at once", load::many_queries),
    ("2,000 streams at once", load::many_streams),
    ("frames without a pause", load::frames_without_pause),
    ("100 queries without end", load::endless_queries),
    ("300 queries of one user", load::one_user),
    ("a client that never reads", load::never_reads),
    ("300 clients that never read", unread::many_that_never_read),
    ("200 feeds that nobody reads", unread::unread_feeds),
    ("terms on awkward values", values::every_term),
    ("40 scans without end", waiting::endless_scans),
    ("272 updates of one document", waiting::one_document),
    ("1,100 HTTP requests unsaid", waiting::slow_requests),
    ("1,100 HTTP bodies unsent", waiting::missing_bodies),
    ("1,300 silent sockets", waiting::silent_sockets),
    ("legacy keys", waiting::legacy_keys),
    ("scripts without end", waiting::endless_scripts),
    ("scripts that are killed", unread::killed_scripts),
];

/// Attacks during which waits are measured and not judged: on a quiet machine they are within the bounds, and beyond them on
/// one that does something else, since the system copies hundreds of answers of a megabyte each.
const LATE: [&str; 1] = ["300 clients that never read"];

/// What an attack did to the server's memory, in bytes.
#[derive(Clone, Copy, Default)]
pub struct Memory {
    /// Before the attack.
    pub before: u64,
    /// The most during it.
    pub peak: u64,
    /// After it, when the server had time to give memory back.
    pub after: u64,
}

/// What an attack did.
pub struct Outcome {
    /// To the server's memory.
    pub memory: Memory,
    /// To others.
    pub others: Vec<Measured>,
    /// What happened, or what must not have.
    pub result: Result<String, AttackError>,
}

/// Runs one attack.
pub fn run(ground: &Ground, attack: Attack) -> Outcome {
    let (mut memory, mut others) = (Memory::default(), Vec::new());
    let result = measured(ground, attack, &mut memory, &mut others);
    Outcome { memory, others, result }
}

fn measured(
    ground: &Ground,
    (name, attack): Attack,
    memory: &mut Memory,
    others: &mut Vec<Measured>,
) -> Result<String, AttackError> {
    memory.before = ground.process.resident()?;
    ground.process.forget_peak()?;
    let probers = Probers::start(ground.address, ground.http)?;
    let story = attack(ground);
    others.extend(probers.finish());
    let story = story?;
    harness::answers(ground.address)?;
    memory.peak = ground.process.peak_resident()?;
    memory.after = settled(ground.process, memory.before)?;
    let complaint = if LATE.contains(&name) { Measured::failed } else { Measured::complaint };
    if let Some(complaint) = others.iter().find_map(complaint) {
        return Err(AttackError::Misbehaved(format!("{complaint}; {story}")));
    }
    if memory.peak > AT_ONCE {
        return Err(AttackError::Misbehaved(format!("more than {AT_ONCE} bytes at once; {story}")));
    }
    if memory.after > memory.before + LEFT_BEHIND {
        return Err(AttackError::Misbehaved(format!("memory did not come back; {story}")));
    }
    Ok(story)
}

/// Memory once it is back near `before`, or after waiting long enough for that.
fn settled(process: Process, before: u64) -> Result<u64, HarnessError> {
    let began = Instant::now();
    loop {
        let now = process.resident()?;
        if now <= before + LEFT_BEHIND / 2 || began.elapsed() > RECOVERY {
            return Ok(now);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Attacks from so many threads, each of which has its number; gives what came of each.
fn side_by_side<T: Send>(
    threads: u64,
    work: impl Fn(u64) -> Result<T, AttackError> + Sync,
) -> Result<Vec<T>, AttackError> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> =
            (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        let lost = |_| Err(AttackError::Misbehaved("an attacking thread was lost".into()));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(lost)).collect()
    })
}

/// A connection that does no harm must be served meanwhile.
fn stranger_is_served(ground: &Ground) -> Result<Duration, AttackError> {
    let began = Instant::now();
    harness::answers(ground.address)?;
    let waited = began.elapsed();
    if waited > STRANGER_WAITS {
        return Err(AttackError::Misbehaved(format!("a stranger waited {waited:?}")));
    }
    Ok(waited)
}
