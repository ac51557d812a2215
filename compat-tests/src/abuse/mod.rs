//! Abuse: what no driver sends, and more of it than any would. After each attack the server must answer as before
//! and its memory must be back near where it was. Knows sockets and `/proc`; must not know what queries mean.

mod load;
mod noise;

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{self, HarnessError, Process};
use crate::script::ScriptError;
use crate::wire::WireError;

/// Memory that an attack may leave behind: what an allocator keeps for the next query.
const LEFT_BEHIND: u64 = 32 << 20;
/// Memory that an attack may take while it runs: the largest query twice over, as text and as terms.
const AT_ONCE: u64 = 384 << 20;
/// How long the server may take to give memory back.
const RECOVERY: Duration = Duration::from_secs(15);
/// How long a stranger may wait for an answer while an attack is held back.
const STRANGER_WAITS: Duration = Duration::from_secs(2);

/// How much of the unbounded attacks to run.
#[derive(Clone, Copy)]
pub struct Extent {
    /// Random bytes to send.
    pub bytes: u64,
    /// Mutated frames to send.
    pub frames: u64,
}

/// A part of the whole, for every change.
pub const SLICE: Extent = Extent { bytes: 1_000_000, frames: 50_000 };
/// Ten million bytes and a million frames.
pub const FULL: Extent = Extent { bytes: 10_000_000, frames: 1_000_000 };

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
pub const ATTACKS: [Attack; 9] = [
    ("random bytes", noise::random_bytes),
    ("mutated frames", noise::mutated_frames),
    ("queries nested 10,000 deep", load::deep_queries),
    ("values that grow and grow", load::growing_values),
    ("a frame of 130 MB", load::large_frame),
    ("2,000 queries at once", load::many_queries),
    ("2,000 streams at once", load::many_streams),
    ("100 queries without end", load::endless_queries),
    ("a client that never reads", load::never_reads),
];

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

/// Runs one attack; gives what happened and the memory it took.
pub fn run(ground: &Ground, attack: Attack) -> (Memory, Result<String, AttackError>) {
    let mut memory = Memory::default();
    let result = measured(ground, attack, &mut memory);
    (memory, result)
}

fn measured(
    ground: &Ground,
    (_, attack): Attack,
    memory: &mut Memory,
) -> Result<String, AttackError> {
    memory.before = ground.process.resident()?;
    ground.process.forget_peak()?;
    let story = attack(ground)?;
    harness::answers(ground.address)?;
    memory.peak = ground.process.peak_resident()?;
    memory.after = settled(ground.process, memory.before)?;
    if memory.peak > memory.before + AT_ONCE {
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
