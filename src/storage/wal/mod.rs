//! The redo log: what makes a commit durable before any tree node is written.
//! Knows commits as operations, and files; must not know trees, nodes or checkpoints.
//!
//! [`Log::append`] gives a commit its number and puts it into a queue in memory. A thread takes everything that is
//! queued, writes it as one group, and syncs it: one sync serves all who wait. It does so at once when a hard commit is
//! in the queue, somebody waits for one, or there is enough for a group, and otherwise when the oldest commit has been
//! there for the flush interval.
//!
//! 1. A group is written only after the one before it has been synced.
//! 2. After a failed write or sync nothing is written any more: the log is poisoned, and says so to everyone. The writer
//!    knows it before its lock is free, so that nobody goes on in another segment behind a group of which it is unknown
//!    whether the disk has it.
//! 3. A start never writes into a segment that is there already ([`replay`] finds where the log ends). Where the log ends
//!    with groups that no checkpoint contains it makes the next one at once, whose header is witness to the last group;
//!    otherwise that is done when there is a group for it. So starts alone leave no segments behind, and a start on a
//!    full disk does without.
//!
//! **A full disk** is not such a failure. A group for which there was no room may be there in part, behind the end of
//! what was synced: bytes that nobody was told of. The file is cut there, the commits go back to the head of the queue,
//! and the same group, perhaps with more commits in it, is written at the same place the next time; what is left of the
//! first attempt is then overwritten, or stands where a torn group would. A segment for which there was no room has no
//! header and is removed; only then the one before it may go on. Everyone who waits is told
//! [`StorageError::DiskFull`], since waiting may take for ever: these commits are applied, and safe once there is room.
//! New ones are refused by the store before they get here. A sync that fails is never taken for want of room.

mod commit;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod replay;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use self::commit::{Logged, encode, encode_adoption, operations_of};
pub use self::replay::{Replay, has_segments, replay};
use self::segment::file_name;
use self::writer::Writer;
use super::crossed::crossed;
use super::disk::Disk;
use super::encoding::Identity;
use super::health::Health;
use super::{CommitSequence, DurableCallback, StorageError};
use crate::limits::{LOG_GROUP_BYTES, LOG_QUEUE_BYTES};
use crate::turns;

/// Where a log ends that has been read to its end, and what it consists of.
#[derive(Debug)]
pub struct LogEnd {
    /// The number of the segment to make.
    pub next_segment: u64,
    /// The number of the next group.
    pub next_group: u64,
    /// The last commit of the log.
    pub last: CommitSequence,
    /// Those that are needed, from the oldest on, with their lengths.
    pub segments: Vec<(Segment, u64)>,
    /// Those before them.
    pub unneeded: Vec<u64>,
    /// The last commit that the data file contains.
    pub contained: CommitSequence,
    /// What is last in the last of them, as its start and its length: nobody knows yet whether it is safe.
    pub tail: (u64, u64),
    /// The segment that was being made when the machine stopped, if there is one: rule 10 of the format.
    pub unfinished: Option<u64>,
    /// What was read.
    pub read: LogRead,
}

/// How much a log holds from the first segment on that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogRead {
    /// Segments.
    pub segments: u64,
    /// Groups in them.
    pub groups: u64,
    /// Commits in these.
    pub commits: u64,
    /// Bytes of the groups, as far as they take up whole blocks.
    pub bytes: u64,
}

/// A segment that is not written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub number: u64,
    /// The last commit in it or before it.
    pub last: CommitSequence,
}

/// How a log works.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The identity of the store.
    pub identity: Identity,
    /// A segment that has become so long is followed by another.
    pub segment_bytes: u64,
    /// How long a soft commit may wait for a sync. `None`: there is no thread, and a sync is done by whoever waits for
    /// one, which makes a run repeatable.
    pub flush_interval: Option<Duration>,
    /// The state of the store, of which the log is a part.
    pub health: Arc<Health>,
}

/// A log that is written. Dropping it does not write what is queued: [`Log::close`] does.
pub struct Log {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// There is something for the thread to do.
    wake: Condvar,
    /// The queue has become shorter, or the log has ended.
    room: Condvar,
    /// The last commit that is durable.
    durable: AtomicU64,
    writer: Mutex<Writer>,
    flush_interval: Option<Duration>,
    health: Arc<Health>,
    counters: Counters,
}

/// The log in numbers, kept beside the writer, who may be busy with the disk.
#[derive(Debug, Default)]
struct Counters {
    syncs: AtomicU64,
    written_bytes: AtomicU64,
    bytes: AtomicU64,
}

/// The log in numbers; those of syncs and written bytes begin at its opening.
#[derive(Debug, Clone, Copy)]
pub struct LogNumbers {
    /// Groups that were written and synced.
    pub syncs: u64,
    /// Bytes of these groups.
    pub written_bytes: u64,
    /// Bytes of all segments.
    pub bytes: u64,
}

struct Queue {
    commits: Vec<Bytes>,
    bytes: usize,
    /// When the oldest of them came.
    since: Option<Instant>,
    /// The number of the last commit that was queued.
    last: u64,
    /// Commits up to this one are to be synced without delay.
    wanted: u64,
    waiting: Vec<(u64, DurableCallback)>,
    state: State,
}

#[derive(Clone)]
enum State {
    Open,
    Closed,
    Poisoned(String),
}

impl State {
    fn check(&self) -> Result<(), StorageError> {
        match self {
            Self::Open => Ok(()),
            Self::Closed => Err(StorageError::Closed),
            Self::Poisoned(cause) => Err(StorageError::Poisoned { cause: cause.clone() }),
        }
    }
}

impl Log {
    /// Goes on behind the end of what was replayed, which is safe when this returns. The segments before what is needed
    /// are removed. The next one is made when there are groups that no checkpoint contains, and otherwise with the first
    /// group.
    pub fn begin(
        disk: Arc<dyn Disk>,
        options: &LogOptions,
        end: LogEnd,
    ) -> Result<Self, StorageError> {
        let last = end.last.0;
        let writer = Writer::begin(disk, options, end)?;
        let counters = Counters { bytes: AtomicU64::new(writer.bytes()), ..Counters::default() };
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                commits: Vec::new(),
                bytes: 0,
                since: None,
                last,
                wanted: 0,
                waiting: Vec::new(),
                state: State::Open,
            }),
            wake: Condvar::new(),
            room: Condvar::new(),
            durable: AtomicU64::new(last),
            writer: Mutex::new(writer),
            flush_interval: options.flush_interval,
            health: Arc::clone(&options.health),
            counters,
        });
        let thread = match options.flush_interval {
            None => None,
            Some(interval) => {
                let shared = Arc::clone(&shared);
                let thread = std::thread::Builder::new().name("log".to_owned());
                let run = move || shared.run_or_end(interval);
                let started = thread.spawn(run);
                Some(
                    started
                        .map_err(|error| StorageError::io("starting the log's thread", error))?,
                )
            }
        };
        Ok(Self { shared, thread: Mutex::new(thread) })
    }

    /// Waits until the queue has room for another commit. To be called with no lock held.
    pub fn wait_for_room(&self) -> Result<(), StorageError> {
        let mut queue = self.shared.queue();
        let _pause = (queue.bytes > LOG_QUEUE_BYTES).then(turns::pause);
        while queue.bytes > LOG_QUEUE_BYTES {
            crossed("LOG_QUEUE_BYTES");
            queue.state.check()?;
            self.shared.health.check_writable()?;
            if self.shared.flush_interval.is_none() {
                drop(queue);
                self.flush()?;
                queue = self.shared.queue();
                continue;
            }
            queue.wanted = queue.last;
            self.shared.wake.notify_one();
            queue = self.shared.room.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.state.check()
    }

    /// Whether the queue has room for another commit.
    pub fn has_room(&self) -> bool {
        self.shared.queue().bytes <= LOG_QUEUE_BYTES
    }

    /// Queues an encoded commit and returns its number. A hard one is synced without delay.
    pub fn append(&self, commit: Bytes, hard: bool) -> Result<CommitSequence, StorageError> {
        let mut queue = self.shared.queue();
        queue.state.check()?;
        queue.bytes += commit.len();
        queue.commits.push(commit);
        queue.last += 1;
        let is_wanted = hard || queue.bytes >= LOG_GROUP_BYTES;
        if is_wanted {
            queue.wanted = queue.last;
        }
        let wakes = is_wanted || queue.since.is_none();
        if queue.since.is_none() && self.shared.flush_interval.is_some() {
            queue.since = Some(Instant::now());
        }
        let sequence = CommitSequence(queue.last);
        drop(queue);
        if wakes {
            self.shared.wake.notify_one();
        }
        Ok(sequence)
    }

    /// Refuses to write any more, because of an error elsewhere in the store.
    pub fn poison(&self, cause: &str) {
        self.shared.poison(cause);
    }

    /// Whether commits can still be appended.
    pub fn check(&self) -> Result<(), StorageError> {
        self.shared.queue().state.check()?;
        self.shared.health.check()
    }

    /// The commit up to which everything is safe.
    pub fn durable(&self) -> CommitSequence {
        CommitSequence(self.shared.durable.load(Ordering::Acquire))
    }

    /// Calls back once everything up to the commit is safe, or cannot become so.
    pub fn when_durable(&self, sequence: CommitSequence, callback: DurableCallback) {
        if self.durable() >= sequence {
            return callback(Ok(()));
        }
        let mut queue = self.shared.queue();
        // What was synced between the two looks has nobody to call it any more.
        if self.durable() >= sequence {
            drop(queue);
            return callback(Ok(()));
        }
        if let Err(error) = queue.state.check() {
            drop(queue);
            return callback(Err(error));
        }
        queue.wanted = queue.wanted.max(sequence.0.min(queue.last));
        queue.waiting.push((sequence.0, callback));
        drop(queue);
        if self.shared.flush_interval.is_some() {
            self.shared.wake.notify_one();
        } else {
            // The callback has been told, should this fail.
            drop(self.flush());
        }
    }

    /// Writes and syncs everything queued, on this thread.
    pub fn flush(&self) -> Result<(), StorageError> {
        loop {
            let mut writer = self.shared.writer();
            if !self.shared.flush_some(&mut writer)? {
                return Ok(());
            }
        }
    }

    /// Makes a segment when there is none: only the first checkpoint may be without a log.
    pub fn ensure_segment(&self) -> Result<(), StorageError> {
        self.shared.writer().ensure_segment()
    }

    /// Removes the segments whose commits a checkpoint contains. One that cannot be removed is tried again the next
    /// time, and one that is gone is removed.
    pub fn cut(&self, contained: CommitSequence) -> Result<(), StorageError> {
        let (disk, obsolete) = {
            let mut writer = self.shared.writer();
            (writer.disk(), writer.obsolete(contained)?)
        };
        for number in obsolete {
            let name = file_name(number);
            // Whoever writes a group does not wait for it.
            match disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    // Those behind it stay as well, so that numbers follow each other.
                    tracing::warn!("a log segment that is not needed stays: {name}: {error}");
                    break;
                }
                _ => self.shared.writer().forget(number),
            }
        }
        let bytes = self.shared.writer().bytes();
        self.shared.counters.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The log as it is now. Waits for no disk.
    pub fn numbers(&self) -> LogNumbers {
        let counters = &self.shared.counters;
        LogNumbers {
            syncs: counters.syncs.load(Ordering::Relaxed),
            written_bytes: counters.written_bytes.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
        }
    }

    /// Makes everything safe and ends.
    pub fn close(&self) -> Result<(), StorageError> {
        let flushed = self.flush();
        self.shared.end(State::Closed);
        self.stop();
        flushed
    }

    fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It only ends by itself; a panic in it has been reported by then.
            drop(thread.join());
        }
    }
}

impl Counters {
    fn group_written(&self, writer: &Writer) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.written_bytes.store(writer.written_bytes(), Ordering::Relaxed);
        self.bytes.store(writer.bytes(), Ordering::Relaxed);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.end(State::Closed);
        self.stop();
    }
}

impl Shared {
    // A panic while one of the locks is held could leave a group half told; the writer's own state is set last.

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread. A panic in it ends the log, so that nobody waits for what will not come.
    fn run_or_end(&self, interval: Duration) {
        let run = AssertUnwindSafe(|| self.run(interval));
        if catch_unwind(run).is_err() {
            self.poison("the thread of the log has panicked");
        }
    }

    fn poison(&self, cause: &str) {
        self.health.poison(cause);
        self.end(State::Poisoned(cause.to_owned()));
    }

    /// The thread: flushes what is wanted, and what has waited for the interval.
    fn run(&self, interval: Duration) {
        loop {
            let mut queue = self.queue();
            loop {
                if queue.state.check().is_err() {
                    return;
                }
                let waited = queue.since.map(|since| since.elapsed());
                match waited {
                    Some(waited) if waited >= interval => break,
                    Some(_) if queue.wanted > self.durable.load(Ordering::Acquire) => break,
                    Some(waited) => {
                        let rest = interval - waited;
                        let woken = self.wake.wait_timeout(queue, rest);
                        queue = woken.unwrap_or_else(PoisonError::into_inner).0;
                    }
                    None => {
                        queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            }
            drop(queue);
            // Everyone who waits has been told of an error, and the loop ends by the state.
            drop(self.flush_some(&mut self.writer()));
        }
    }

    /// Writes and syncs one group and tells whom it concerns. Whether there was something to write.
    fn flush_some(&self, writer: &mut Writer) -> Result<bool, StorageError> {
        let mut queue = self.queue();
        queue.state.check()?;
        let commits = queue.take_group();
        drop(queue);
        if commits.is_empty() {
            return Ok(false);
        }
        match writer.write(&commits) {
            Ok(durable) => {
                self.counters.group_written(writer);
                self.durable.store(durable, Ordering::Release);
                self.tell_durable(durable);
                Ok(true)
            }
            Err(error @ StorageError::DiskFull { .. }) => {
                self.health.set_full(true);
                self.put_back(commits, &error);
                Err(error)
            }
            Err(error) => {
                self.poison(&error.to_string());
                Err(error)
            }
        }
    }

    /// Puts a group back for which there was no room, and tells everyone who waits. It is tried again after the flush
    /// interval, and when somebody asks.
    fn put_back(&self, mut commits: Vec<Bytes>, error: &StorageError) {
        let mut queue = self.queue();
        queue.bytes += commits.iter().map(Bytes::len).sum::<usize>();
        commits.append(&mut queue.commits);
        queue.commits = commits;
        queue.wanted = 0;
        if self.flush_interval.is_some() {
            queue.since = Some(Instant::now());
        }
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        self.room.notify_all();
        for (_, callback) in waiting {
            callback(Err(error.clone()));
        }
    }

    fn tell_durable(&self, durable: u64) {
        let mut queue = self.queue();
        let waiting = std::mem::take(&mut queue.waiting);
        let (told, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(sequence, _)| *sequence <= durable);
        queue.waiting = waiting;
        drop(queue);
        self.room.notify_all();
        for (_, callback) in told {
            callback(Ok(()));
        }
    }

    /// Ends the log, unless it has ended before, and tells everyone who waits.
    fn end(&self, state: State) {
        let mut queue = self.queue();
        if queue.state.check().is_ok() {
            queue.state = state;
        }
        let outcome = queue.state.check();
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        self.wake.notify_all();
        self.room.notify_all();
        for (_, callback) in waiting {
            callback(outcome.clone());
        }
    }
}
