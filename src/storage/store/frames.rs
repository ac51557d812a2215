//! The table of what the cache holds: numbered frames, each with a page or nothing, that any thread may look into while
//! another exchanges what is there. Must not know which page belongs where, nor when it has to go.
//!
//! The table grows in chunks that are never moved or given back; as many frames are made as there were ever pages at a
//! time. Looking takes no lock and counts no reference that is shared with another thread.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwapOption, Guard};

use crate::storage::btree::Page;

/// Frames of the first chunk; each chunk after it has twice as many as the one before.
const FIRST: u32 = 256;
/// Chunks for as many frames as can be numbered.
const CHUNKS: usize = (u32::MAX / FIRST).ilog2() as usize + 2;

pub(super) struct Frames {
    chunks: [OnceLock<Box<[ArcSwapOption<Page>]>>; CHUNKS],
    made: AtomicU32,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], made: AtomicU32::new(0) }
    }

    /// What is in a frame. Any number may be asked for.
    pub(super) fn load(&self, number: u32) -> Option<Guard<Option<Arc<Page>>>> {
        let (chunk, at) = place(number);
        Some(self.chunks.get(chunk)?.get()?.get(at)?.load())
    }

    /// Puts something into a frame, or nothing, and returns what was there.
    pub(super) fn swap(&self, number: u32, page: Option<Arc<Page>>) -> Option<Arc<Page>> {
        let (chunk, at) = place(number);
        self.chunks.get(chunk)?.get()?.get(at)?.swap(page)
    }

    /// A new frame, with nothing in it. `None` when no more can be numbered.
    pub(super) fn make(&self) -> Option<u32> {
        let more = |made: u32| made.checked_add(1);
        let number = self.made.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        let (chunk, _) = place(number);
        let empty = || (0..FIRST << chunk).map(|_| ArcSwapOption::empty()).collect();
        self.chunks.get(chunk)?.get_or_init(empty);
        Some(number)
    }
}

/// The chunk of a frame, and its index there.
fn place(number: u32) -> (usize, usize) {
    // With as many put before them as the first chunk has, all chunks begin at powers of two.
    let shifted = u64::from(number) + u64::from(FIRST);
    let chunk = shifted.ilog2() - FIRST.ilog2();
    (chunk as usize, (shifted - (u64::from(FIRST) << chunk)) as usize)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::storage::slab::Reference;

    #[test]
    fn every_number_has_its_place() {
        assert_eq!((place(0), place(255)), ((0, 0), (0, 255)));
        assert_eq!((place(256), place(767)), ((1, 0), (1, 511)));
        assert_eq!(place(768), (2, 0));
        let (chunk, at) = place(u32::MAX);
        assert!(chunk < CHUNKS && at < (FIRST as usize) << chunk);
    }

    #[test]
    fn frames_come_one_by_one_and_hold_what_is_put_into_them() {
        let frames = Frames::new();
        assert!(frames.load(0).is_none() && frames.load(u32::MAX).is_none());
        for number in 0..2_000_u32 {
            assert_eq!(frames.make(), Some(number));
            let reference = Reference { grain: u64::from(number), length: 1, sum: 5 };
            let page = Arc::new(Page::value(reference, Bytes::new()));
            assert!(frames.swap(number, Some(page)).is_none());
        }
        for number in 0..2_000_u32 {
            let held = frames.load(number).unwrap();
            assert_eq!(held.as_ref().unwrap().grain(), u64::from(number));
            let taken = frames.swap(number, None).unwrap();
            assert_eq!(taken.grain(), u64::from(number));
            assert!(frames.load(number).unwrap().is_none());
        }
    }
}
