//! What is in a file of the faulty disk: chunks that copies share until one of them changes, so that a crash costs no
//! more than what it leaves different. Must not know what is safe.

use std::sync::Arc;

/// Bytes that are shared together, and taken from the disk's room together.
pub(super) const CHUNK: usize = 4_096;

/// The bytes of a file. Holes take no room.
#[derive(Clone, Default)]
pub(super) struct Contents {
    /// `None` for zeros. Behind the end of the file a chunk has zeros as well.
    chunks: Vec<Option<Arc<[u8; CHUNK]>>>,
    length: usize,
    taken: usize,
}

impl Contents {
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Room that it takes on the disk.
    pub(super) fn room(&self) -> usize {
        self.taken * CHUNK
    }

    /// Room that a write would take in addition.
    pub(super) fn room_for(&self, start: usize, length: usize) -> usize {
        let chunks = start / CHUNK..(start + length).div_ceil(CHUNK);
        chunks.filter(|chunk| self.chunks.get(*chunk).is_none_or(Option::is_none)).count() * CHUNK
    }

    /// Fills the buffer; `None` when the file ends before that.
    pub(super) fn read(&self, start: usize, buffer: &mut [u8]) -> Option<()> {
        if start.checked_add(buffer.len())? > self.length {
            return None;
        }
        for (chunk, within, part) in pieces(start, buffer.len()) {
            let buffer = &mut buffer[part.clone()];
            match &self.chunks[chunk] {
                Some(bytes) => buffer.copy_from_slice(&bytes[within..within + part.len()]),
                None => buffer.fill(0),
            }
        }
        Some(())
    }

    pub(super) fn write(&mut self, start: usize, bytes: &[u8]) {
        self.resize(self.length.max(start + bytes.len()));
        for (chunk, within, part) in pieces(start, bytes.len()) {
            let held = self.chunks[chunk].get_or_insert_with(|| {
                self.taken += 1;
                Arc::new([0; CHUNK])
            });
            Arc::make_mut(held)[within..within + part.len()].copy_from_slice(&bytes[part]);
        }
    }

    pub(super) fn resize(&mut self, length: usize) {
        if length < self.length {
            self.zero(length, self.length - length);
            let kept = length.div_ceil(CHUNK);
            self.taken -= self.chunks.drain(kept..).flatten().count();
        }
        self.chunks.resize(length.div_ceil(CHUNK), None);
        self.length = length;
    }

    /// Zeros as far as the file goes. Whole chunks become holes.
    pub(super) fn zero(&mut self, start: usize, length: usize) {
        let end = start.saturating_add(length).min(self.length);
        for (chunk, within, part) in pieces(start, end.saturating_sub(start)) {
            let Some(held) = &mut self.chunks[chunk] else { continue };
            if part.len() == CHUNK {
                self.chunks[chunk] = None;
                self.taken -= 1;
            } else {
                Arc::make_mut(held)[within..within + part.len()].fill(0);
            }
        }
    }

    /// Takes over these bytes of another version of the file, in whole chunks, and its length.
    pub(super) fn take_over(&mut self, other: &Self, start: usize, length: usize) {
        self.resize(other.length);
        let end = (start + length).div_ceil(CHUNK).min(self.chunks.len());
        for chunk in start / CHUNK..end {
            let new = other.chunks[chunk].clone();
            self.taken += usize::from(new.is_some());
            self.taken -= usize::from(self.chunks[chunk].is_some());
            self.chunks[chunk] = new;
        }
    }
}

/// A run of bytes cut at the ends of chunks: the chunk, where in it, and which of the bytes.
fn pieces(
    start: usize,
    length: usize,
) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let end = start + length;
    (start / CHUNK..end.div_ceil(CHUNK)).filter(move |_| length > 0).map(move |chunk| {
        let from = start.max(chunk * CHUNK);
        let to = end.min((chunk + 1) * CHUNK);
        (chunk, from - chunk * CHUNK, from - start..to - start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    #[test]
    fn it_is_a_vector_that_knows_its_holes() {
        let mut random = Random::from_environment();
        let (mut contents, mut plain) = (Contents::default(), Vec::new());
        let (mut other, mut other_plain) = (contents.clone(), plain.clone());
        for _ in 0..2_000 {
            let (start, length) = (random.below(40_000) as usize, random.below(12_000) as usize);
            match random.below(8) {
                0..4 => {
                    let bytes = vec![random.next() as u8; length];
                    contents.write(start, &bytes);
                    plain.resize(plain.len().max(start + length), 0);
                    plain[start..start + length].copy_from_slice(&bytes);
                }
                4 | 5 => {
                    contents.zero(start, length);
                    let end = (start + length).min(plain.len());
                    plain[start.min(end)..end].fill(0);
                }
                6 => {
                    contents.resize(start);
                    plain.resize(start, 0);
                }
                _ => {
                    other.take_over(&contents, 0, contents.length());
                    other_plain.clone_from(&plain);
                }
            }
            for (contents, plain) in [(&contents, &plain), (&other, &other_plain)] {
                let mut found = vec![9; contents.length()];
                contents.read(0, &mut found).unwrap();
                assert!(found == *plain);
                assert_eq!(contents.taken, contents.chunks.iter().flatten().count());
            }
            assert!(contents.read(contents.length(), &mut [0]).is_none());
        }
    }
}
