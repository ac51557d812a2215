//! How stored structures are written and read: little-endian numbers, blocks with a checksum at their end.
//! Knows bytes; must not know what any of them mean.

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::limits::STORAGE_NUMBER_MAX;

/// What superblocks, log headers and log groups are aligned to. A disk rewrites no less than this at a time, so that
/// nothing that is safe lies in a block that is written again.
pub(super) const BLOCK: usize = 4_096;

/// Random bytes, drawn once, that all files of one store carry.
pub(super) type Identity = [u8; 16];

/// The checksum of an image.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// A checksum that is right only for this seed.
pub(super) fn seeded_checksum(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// Fills up to a whole block and puts the checksum at its end. The contents are shorter than that.
pub(super) fn seal_block(mut contents: Vec<u8>) -> Vec<u8> {
    contents.resize(BLOCK - 8, 0);
    let sum = checksum(&contents);
    contents.extend_from_slice(&sum.to_le_bytes());
    contents
}

/// The contents of a block whose checksum is right.
pub(super) fn open_block(block: &[u8]) -> Option<&[u8]> {
    let (contents, sum) = block.split_last_chunk::<8>()?;
    (block.len() == BLOCK && u64::from_le_bytes(*sum) == checksum(contents)).then_some(contents)
}

/// Reads what was written one behind the other. `None` when the bytes end too early.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A number of what a store counts.
    pub(super) fn number(&mut self) -> Option<u64> {
        self.u64().filter(|number| *number <= STORAGE_NUMBER_MAX)
    }
}

/// As [`Reader`], over bytes that are shared with what is taken from them.
#[derive(Debug, Clone)]
pub(super) struct SharedReader {
    bytes: Bytes,
    at: usize,
}

impl SharedReader {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Bytes that stay alive with all the others.
    pub(super) fn take(&mut self, length: usize) -> Option<Bytes> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let found = self.bytes.get(self.at..)?.first_chunk::<N>()?;
        self.at += N;
        Some(*found)
    }

    /// The next byte, which stays to be read.
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
