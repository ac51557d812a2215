//! Sorting the keys of an index outside memory: what does not fit is written in sorted runs, which are merged at the end.
//! Knows bytes and room to put them; must not know what they are the keys of.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::sync::Arc;

use crate::limits::{SORT_BUFFER_BYTES, SORT_BUFFER_BYTES_MIN, SORT_RUNS};
use crate::storage::{Engine, Scratch, StorageError};

/// Parts in which memory for keys is taken. Twice as much each time would often be more than may be taken.
const GROWTHS: usize = 16;

/// Keys that come in any order, each once.
pub(super) struct Sorter<'a> {
    engine: &'a dyn Engine,
    /// Bytes of memory that they may take before they are written.
    most_bytes: usize,
    held: Held,
    /// How many there are.
    count: u64,
    /// Made when it is needed first.
    scratch: Option<Arc<Scratch>>,
    /// What was written: of each level less than so many runs that they become one of the next.
    levels: Vec<Vec<Run>>,
}

/// Keys in memory.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    keys: Vec<HeldKey>,
}

/// A key, and what it begins with: most comparisons need no more.
#[derive(Clone, Copy)]
struct HeldKey {
    first: u64,
    start: u32,
    length: u32,
}

/// Sorted keys in a file: of each two bytes of length and the bytes.
#[derive(Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
}

impl Held {
    fn memory(&self) -> usize {
        self.bytes.capacity() + self.keys.capacity() * size_of::<HeldKey>()
    }

    /// Makes room for a key in so much memory; false when there is none.
    fn make_room(&mut self, key: &[u8], most_bytes: usize) -> bool {
        let step = most_bytes / GROWTHS;
        let needs_bytes = self.bytes.capacity() - self.bytes.len() < key.len();
        let needs_keys = self.keys.capacity() == self.keys.len();
        let wanted =
            step.max(key.len()) * usize::from(needs_bytes) + step * usize::from(needs_keys);
        if self.memory() + wanted > most_bytes {
            return wanted == 0;
        }
        if needs_bytes {
            self.bytes.reserve_exact(step.max(key.len()));
        }
        if needs_keys {
            self.keys.reserve_exact(step / size_of::<HeldKey>());
        }
        true
    }

    fn push(&mut self, key: &[u8]) {
        let mut first = [0; 8];
        first.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        let first = u64::from_be_bytes(first);
        // Both are far below what 32 bits hold: see the limits of keys and of sorting.
        let (start, length) = (self.bytes.len() as u32, key.len() as u32);
        self.bytes.extend_from_slice(key);
        self.keys.push(HeldKey { first, start, length });
    }

    fn get(&self, key: &HeldKey) -> &[u8] {
        let start = key.start as usize;
        self.bytes.get(start..start + key.length as usize).unwrap_or_default()
    }

    fn sort(&mut self) {
        let mut keys = std::mem::take(&mut self.keys);
        keys.sort_unstable_by(|a, b| {
            a.first.cmp(&b.first).then_with(|| self.get(a).cmp(self.get(b)))
        });
        self.keys = keys;
    }
}

impl<'a> Sorter<'a> {
    /// Without keys. It takes about so many bytes of memory.
    pub(super) fn new(engine: &'a dyn Engine, most_bytes: usize) -> Self {
        let held = Held::default();
        Self { engine, most_bytes, held, count: 0, scratch: None, levels: Vec::new() }
    }

    /// Adds a key.
    pub(super) fn push(&mut self, key: &[u8]) -> Result<(), StorageError> {
        if !self.held.make_room(key, self.most_bytes) && !self.held.keys.is_empty() {
            self.spill()?;
        }
        self.held.push(key);
        self.count += 1;
        Ok(())
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> u64 {
        self.count
    }

    /// Bytes of the keys when all of them are in memory.
    pub(super) fn held_bytes(&self) -> Option<usize> {
        self.levels.is_empty().then_some(self.held.bytes.len())
    }

    /// What is written to and read from a file at a time: as many runs as are read at the same time take together what the
    /// keys have taken before.
    fn buffer_bytes(&self) -> usize {
        (self.most_bytes / SORT_RUNS).clamp(SORT_BUFFER_BYTES_MIN, SORT_BUFFER_BYTES)
    }

    /// Writes what is in memory.
    fn spill(&mut self) -> Result<(), StorageError> {
        let scratch = match &self.scratch {
            Some(scratch) => scratch.clone(),
            None => self.scratch.insert(Arc::new(self.engine.scratch()?)).clone(),
        };
        let buffer_bytes = self.buffer_bytes();
        self.held.sort();
        let mut writer = RunWriter::new(&scratch, buffer_bytes);
        for key in &self.held.keys {
            writer.push(self.held.get(key))?;
        }
        let mut run = writer.finish()?;
        self.held.keys.clear();
        self.held.bytes.clear();
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let Some(runs) = self.levels.get_mut(level) else { break };
            runs.push(run);
            if runs.len() < SORT_RUNS {
                break;
            }
            let runs = std::mem::take(runs);
            run = merge_runs(&scratch, &runs, buffer_bytes)?;
        }
        Ok(())
    }

    /// Its keys, ascending in each source. What is in memory is written first when other keys were.
    fn into_sources(mut self) -> Result<Vec<Source>, StorageError> {
        if !self.levels.is_empty() && !self.held.keys.is_empty() {
            self.spill()?;
        }
        let buffer_bytes = self.buffer_bytes();
        let Some(scratch) = self.scratch else {
            self.held.sort();
            return Ok(vec![Source::Held { held: self.held, next: 0 }]);
        };
        let runs = self.levels.into_iter().flatten();
        let reader = |run| Source::Written(RunReader::new(&scratch, run, buffer_bytes));
        Ok(runs.map(reader).collect())
    }
}

/// Makes one run of several.
fn merge_runs(
    scratch: &Arc<Scratch>,
    runs: &[Run],
    buffer_bytes: usize,
) -> Result<Run, StorageError> {
    let reader = |run: &Run| Source::Written(RunReader::new(scratch, *run, buffer_bytes));
    let mut merged = Merged::of(runs.iter().map(reader))?;
    let mut writer = RunWriter::new(scratch, buffer_bytes);
    while let Some(key) = merged.next()? {
        writer.push(key)?;
    }
    let run = writer.finish()?;
    runs.iter().for_each(|run| scratch.free(run.start, run.end - run.start));
    Ok(run)
}

/// Writes a run. Nobody else may write to the file meanwhile.
struct RunWriter<'a> {
    scratch: &'a Scratch,
    buffer: Vec<u8>,
    buffer_bytes: usize,
    run: Option<Run>,
}

impl<'a> RunWriter<'a> {
    fn new(scratch: &'a Scratch, buffer_bytes: usize) -> Self {
        Self { scratch, buffer: Vec::with_capacity(buffer_bytes), buffer_bytes, run: None }
    }

    fn push(&mut self, key: &[u8]) -> Result<(), StorageError> {
        if self.buffer.len() + key.len() + 2 > self.buffer_bytes {
            self.write()?;
        }
        // No key of a tree is longer.
        self.buffer.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.buffer.extend_from_slice(key);
        Ok(())
    }

    fn write(&mut self) -> Result<(), StorageError> {
        let at = self.scratch.append(&self.buffer)?;
        let run = self.run.get_or_insert(Run { start: at, end: at });
        run.end += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Run, StorageError> {
        self.write()?;
        Ok(self.run.unwrap_or(Run { start: 0, end: 0 }))
    }
}

/// Reads a run.
struct RunReader {
    scratch: Arc<Scratch>,
    rest: Run,
    buffer: Vec<u8>,
    buffer_bytes: usize,
    next: usize,
}

impl RunReader {
    fn new(scratch: &Arc<Scratch>, rest: Run, buffer_bytes: usize) -> Self {
        let (scratch, buffer) = (scratch.clone(), Vec::with_capacity(buffer_bytes));
        Self { scratch, rest, buffer, buffer_bytes, next: 0 }
    }

    /// Puts the next key into the place given; false at the end.
    fn next(&mut self, key: &mut Vec<u8>) -> Result<bool, StorageError> {
        if !self.has(2)? {
            return Ok(false);
        }
        let length = match self.buffer.get(self.next..) {
            Some([low, high, ..]) => usize::from(u16::from_le_bytes([*low, *high])),
            _ => return Ok(false),
        };
        self.next += 2;
        if !self.has(length)? {
            return Err(StorageError::corrupt("a file for sorting", "a key is cut off"));
        }
        key.clear();
        key.extend_from_slice(self.buffer.get(self.next..self.next + length).unwrap_or_default());
        self.next += length;
        Ok(true)
    }

    /// Whether so many bytes are there, which are read if need be.
    fn has(&mut self, bytes: usize) -> Result<bool, StorageError> {
        if self.buffer.len() - self.next < bytes {
            self.buffer.drain(..self.next);
            self.next = 0;
            let held = self.buffer.len();
            let left = self.rest.end - self.rest.start;
            let more = left.min((self.buffer_bytes - held) as u64);
            self.buffer.resize(held + more as usize, 0);
            let place = self.buffer.get_mut(held..).unwrap_or_default();
            self.scratch.read(self.rest.start, place)?;
            self.rest.start += more;
        }
        Ok(self.buffer.len() >= self.next + bytes)
    }
}

enum Source {
    Written(RunReader),
    Held { held: Held, next: usize },
}

impl Source {
    fn next(&mut self, key: &mut Vec<u8>) -> Result<bool, StorageError> {
        match self {
            Source::Written(reader) => reader.next(key),
            Source::Held { held, next } => {
                let Some(found) = held.keys.get(*next) else { return Ok(false) };
                *next += 1;
                key.clear();
                key.extend_from_slice(held.get(found));
                Ok(true)
            }
        }
    }
}

/// The keys of some sorters, ascending.
pub(super) struct Merged {
    heads: BinaryHeap<Head>,
    /// The key that was given last.
    given: Vec<u8>,
}

/// A source and the key that comes next of it; the least is the greatest to the heap.
struct Head {
    key: Vec<u8>,
    source: Source,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

impl Merged {
    /// Merges what these have.
    pub(super) fn new(sorters: Vec<Sorter<'_>>) -> Result<Self, StorageError> {
        let mut sources = Vec::new();
        for sorter in sorters {
            sources.append(&mut sorter.into_sources()?);
        }
        Self::of(sources.into_iter())
    }

    fn of(sources: impl Iterator<Item = Source>) -> Result<Self, StorageError> {
        let mut heads = BinaryHeap::new();
        for mut source in sources {
            let mut key = Vec::new();
            if source.next(&mut key)? {
                heads.push(Head { key, source });
            }
        }
        Ok(Self { heads, given: Vec::new() })
    }

    /// The next key; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, StorageError> {
        let Some(mut least) = self.heads.peek_mut() else { return Ok(None) };
        std::mem::swap(&mut self.given, &mut least.key);
        let Head { key, source } = &mut *least;
        if !source.next(key)? {
            PeekMut::pop(least);
        }
        Ok(Some(&self.given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::memory::MemoryEngine;
    use crate::testing::Random;

    #[test]
    fn keys_come_out_sorted_however_little_memory_there_is() {
        let mut random = Random::from_environment();
        let engine = MemoryEngine::new();
        for (most_bytes, count) in [(1 << 20, 1_000), (20_000, 9_000), (200, 9_000), (64, 0)] {
            let mut sorters = [0, 1].map(|_| Sorter::new(&engine, most_bytes));
            let mut all = Vec::new();
            for number in 0..count {
                let stem = ["", "a", "abcdefgh"][random.below(3) as usize];
                let text = format!("{stem}{}", random.below(1_000_000));
                let mut key = text.repeat(1 + random.below(20) as usize).into_bytes();
                key.extend_from_slice(&u64::to_be_bytes(number));
                sorters[random.below(2) as usize].push(&key).unwrap();
                all.push(key);
            }
            all.sort();
            let most_held = sorters.iter().map(|sorter| sorter.held.memory()).max().unwrap();
            assert!(most_held <= most_bytes.max(1_000), "{most_held} bytes in {most_bytes}");
            let is_deep = sorters.iter().any(|sorter| sorter.levels.len() > 1);
            assert_eq!(is_deep, most_bytes == 200, "{most_bytes}");
            let mut merged = Merged::new(sorters.into()).unwrap();
            for key in &all {
                assert_eq!(merged.next().unwrap(), Some(key.as_slice()));
            }
            assert_eq!(merged.next().unwrap(), None);
        }
    }
}
