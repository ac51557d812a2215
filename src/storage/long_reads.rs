//! How much may be held of long values that were read from the data file. Their length is known before they are read, so
//! that a reader waits for room instead of taking what is not there. Knows bytes and threads; not what is read, nor
//! for whom: whoever evaluates something on a thread says there how long it waits.
//!
//! Who begins has half of the room; the other half is for those who hold some already. Otherwise readers of two values
//! would wait for each other, each with its first one.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::StorageError;
use crate::limits::LONG_READ_LOOK;

/// Waits for room by calling what it is given, which waits a moment and says whether there is room now. Gives
/// whether there was, before the patience was over.
pub type Patience = fn(wait: &mut dyn FnMut() -> bool) -> bool;

thread_local! {
    static PATIENCE: Cell<Option<Patience>> = const { Cell::new(None) };
    /// Whether something was read for what has this patience.
    static HAS_READ: Cell<bool> = const { Cell::new(false) };
}

/// Says how long this thread waits for room from now on, and gives what was said before. A thread without
/// patience waits for nobody: it is the server's own, or must not wait.
pub fn wait_for_long_values(patience: Option<Patience>) -> Option<Patience> {
    HAS_READ.set(false);
    PATIENCE.replace(patience)
}

/// The long values that are held.
#[derive(Debug)]
pub(super) struct LongReads {
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    held: u64,
    most: u64,
}

/// Bytes that one value has of the room, until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    reads: Arc<LongReads>,
    bytes: u64,
}

/// A long value with its room.
struct Roomed {
    value: Bytes,
    _room: Room,
}

impl Default for LongReads {
    /// Without a bound.
    fn default() -> Self {
        Self { state: Mutex::new(State { held: 0, most: u64::MAX }), freed: Condvar::new() }
    }
}

impl LongReads {
    /// Bounds what is held from now on.
    pub(super) fn set_most(&self, bytes: u64) {
        self.state().most = bytes;
        self.freed.notify_all();
    }

    /// Takes room for a value that is about to be read, as soon as there is some.
    pub(super) fn enter(self: &Arc<Self>, bytes: u64) -> Result<Room, StorageError> {
        let holds = HAS_READ.get();
        let entered = self.state().take(bytes, holds)
            || match PATIENCE.get() {
                Some(patience) => patience(&mut || self.wait(bytes, holds)),
                None => {
                    self.state().held += bytes;
                    true
                }
            };
        if !entered {
            return Err(StorageError::NoMemory { most: self.state().most });
        }
        HAS_READ.set(true);
        Ok(Room { reads: self.clone(), bytes })
    }

    /// Waits a moment. Whether room was taken then.
    fn wait(&self, bytes: u64, holds: bool) -> bool {
        let waited = self.freed.wait_timeout_while(self.state(), LONG_READ_LOOK, |state| {
            !state.has_room(bytes, holds)
        });
        waited.unwrap_or_else(PoisonError::into_inner).0.take(bytes, holds)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// One that is larger than all may be together gets its room when there is no other.
    fn has_room(&self, bytes: u64, holds: bool) -> bool {
        let most = if holds { self.most } else { self.most / 2 };
        self.held == 0 || self.held.saturating_add(bytes) <= most
    }

    fn take(&mut self, bytes: u64, holds: bool) -> bool {
        let has_room = self.has_room(bytes, holds);
        if has_room {
            self.held += bytes;
        }
        has_room
    }
}

impl Room {
    /// The value, which keeps the room for as long as anybody has a part of it.
    pub(super) fn with(self, value: Bytes) -> Bytes {
        Bytes::from_owner(Roomed { value, _room: self })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.reads.state().held -= self.bytes;
        self.reads.freed.notify_all();
    }
}

impl AsRef<[u8]> for Roomed {
    fn as_ref(&self) -> &[u8] {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(most: u64) -> Arc<LongReads> {
        let reads = Arc::new(LongReads::default());
        reads.set_most(most);
        reads
    }

    fn held(reads: &LongReads) -> u64 {
        reads.state().held
    }

    /// As a query begins that waits twice at most.
    fn begin() {
        wait_for_long_values(Some(|wait| wait() || wait()));
    }

    #[test]
    fn a_long_value_has_its_room_until_its_last_part_is_dropped() {
        let reads = reads(100);
        begin();
        let value = reads.enter(40).unwrap().with(Bytes::from(vec![7; 40]));
        let part = value.slice(3..5);
        drop(value);
        assert_eq!((held(&reads), &part[..]), (40, &[7, 7][..]));
        drop(part);
        assert_eq!(held(&reads), 0);
    }

    #[test]
    fn who_finds_no_room_in_time_fails_alone() {
        let reads = reads(100);
        begin();
        let first = reads.enter(40).unwrap();
        begin();
        assert!(matches!(reads.enter(40), Err(StorageError::NoMemory { most: 100 })));
        assert_eq!(held(&reads), 40);
        drop(first);
        assert!(reads.enter(1_000).is_ok(), "one may be larger than all");
        assert_eq!(held(&reads), 0);
    }

    #[test]
    fn who_waits_for_a_long_value_goes_on_once_another_is_dropped() {
        let reads = reads(100);
        let first = reads.enter(50).unwrap();
        let (there, go) = (reads.clone(), Arc::new(std::sync::Barrier::new(2)));
        let gone = go.clone();
        let waits = std::thread::spawn(move || {
            wait_for_long_values(Some(|wait| (0..1_000).any(|_| wait())));
            gone.wait();
            there.enter(50).map(|room| room.bytes)
        });
        go.wait();
        drop(first);
        assert!(waits.join().unwrap().is_ok());
        assert_eq!(held(&reads), 0);
    }

    #[test]
    fn who_has_one_long_value_does_not_wait_for_those_who_begin() {
        let reads = reads(100);
        begin();
        let first = reads.enter(50).unwrap();
        let second = reads.enter(50).unwrap();
        begin();
        assert!(reads.enter(1).is_err());
        drop(second);
        assert!(reads.enter(1).is_err(), "half is kept for those who go on");
        drop(first);
    }

    #[test]
    fn a_thread_without_patience_is_counted_and_does_not_wait() {
        let reads = reads(100);
        wait_for_long_values(None);
        let rooms = [reads.enter(90).unwrap(), reads.enter(90).unwrap()];
        assert_eq!(held(&reads), 180);
        drop(rooms);
        assert_eq!(held(&reads), 0);
    }
}
