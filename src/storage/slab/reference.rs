//! References to images in the data file, and the superblock, which holds the first of them.
//! `docs/storage-format.md` has the tables. Must not know what an image means.

use super::class::GRAIN;
use crate::storage::encoding::{BLOCK, Identity, Reader, open_block, seal_block};

/// Bytes of a reference.
pub(crate) const REFERENCE_BYTES: usize = 20;

/// Where an image is, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reference {
    /// The first grain of its slot.
    pub(crate) grain: u64,
    /// Bytes of the image.
    pub(crate) length: u32,
    /// Its checksum.
    pub(crate) sum: u64,
}

impl Reference {
    /// Where the image begins in the file.
    pub(super) fn offset(self) -> u64 {
        self.grain.saturating_mul(GRAIN)
    }
}

/// A reference as stored, where there may be none.
pub(crate) fn encode_reference(reference: Option<Reference>) -> [u8; REFERENCE_BYTES] {
    let mut bytes = [0; REFERENCE_BYTES];
    if let Some(reference) = reference {
        let (grain, rest) = bytes.split_at_mut(8);
        let (length, sum) = rest.split_at_mut(4);
        grain.copy_from_slice(&reference.grain.to_le_bytes());
        length.copy_from_slice(&reference.length.to_le_bytes());
        sum.copy_from_slice(&reference.sum.to_le_bytes());
    }
    bytes
}

/// As [`encode_reference`] wrote it.
pub(crate) fn decode_reference(bytes: &[u8; REFERENCE_BYTES]) -> Option<Reference> {
    let mut reader = Reader::new(bytes);
    let (grain, length, sum) = (reader.u64()?, reader.u32()?, reader.u64()?);
    (grain != 0).then_some(Reference { grain, length, sum })
}

const MAGIC: &[u8; 8] = b"PHOTSLAB";
pub(super) const VERSION: u32 = 1;

/// Where a checkpoint puts its superblock, twice: one bit must not cost the newest state. What is before it is
/// overwritten sooner or later, and the log before it is cut.
pub(super) fn superblock_offsets(checkpoint: u64) -> [u64; 2] {
    let first = checkpoint % 2 * 131_072;
    [first, first + 65_536]
}

/// What everything else is found from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) identity: Identity,
    pub(crate) checkpoint: u64,
    /// The last commit whose effects are contained.
    pub(crate) sequence: u64,
    pub(crate) next_tree: u64,
    pub(crate) extents: u64,
    pub(crate) meta_root: Option<Reference>,
    pub(crate) meta_entries: u64,
    /// What the data file has at least, in bytes: the last slot in use begins before that. 0 when it is not known, as in
    /// files that were written before it was noted.
    pub(crate) least_length: u64,
}

/// Why a block is not a superblock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoSuperblock {
    Invalid,
    Version(u32),
}

impl Superblock {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.identity);
        for number in [self.checkpoint, self.sequence, self.next_tree, self.extents] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&encode_reference(self.meta_root));
        bytes.extend_from_slice(&self.meta_entries.to_le_bytes());
        bytes.extend_from_slice(&self.least_length.to_le_bytes());
        seal_block(bytes)
    }

    /// Whether a block was meant to be a superblock, of whatever version, damaged or not.
    pub(super) fn has_magic(block: &[u8; BLOCK]) -> bool {
        block.starts_with(MAGIC)
    }

    pub(super) fn decode(block: &[u8; BLOCK]) -> Result<Self, NoSuperblock> {
        let contents = open_block(block).ok_or(NoSuperblock::Invalid)?;
        let mut reader = Reader::new(contents);
        if reader.array() != Some(*MAGIC) {
            return Err(NoSuperblock::Invalid);
        }
        let version = reader.u32().ok_or(NoSuperblock::Invalid)?;
        if version != VERSION {
            return Err(NoSuperblock::Version(version));
        }
        Self::decode_rest(&mut reader).ok_or(NoSuperblock::Invalid)
    }

    fn decode_rest(reader: &mut Reader<'_>) -> Option<Self> {
        reader.take(4)?;
        Some(Self {
            identity: reader.array()?,
            checkpoint: reader.number()?,
            sequence: reader.number()?,
            next_tree: reader.number()?,
            extents: reader.number()?,
            meta_root: decode_reference(&reader.array()?),
            meta_entries: reader.number()?,
            least_length: reader.number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_comes_back_and_no_bit_may_change() {
        let superblock = Superblock {
            identity: [3; 16],
            checkpoint: 8,
            sequence: 1_000,
            next_tree: 99,
            extents: 12,
            meta_root: Some(Reference { grain: 300, length: 2_000, sum: 77 }),
            meta_entries: 5,
            least_length: 300_000,
        };
        let mut block: [u8; BLOCK] = superblock.encode().try_into().unwrap();
        assert_eq!(Superblock::decode(&block), Ok(superblock));
        for bit in 0..BLOCK * 8 {
            block[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Superblock::decode(&block), Err(NoSuperblock::Invalid));
            block[bit / 8] ^= 1 << (bit % 8);
        }
        let mut other = MAGIC.to_vec();
        other.extend_from_slice(&9_u32.to_le_bytes());
        let other: [u8; BLOCK] = seal_block(other).try_into().unwrap();
        assert_eq!(Superblock::decode(&other), Err(NoSuperblock::Version(9)));
    }

    #[test]
    fn a_number_that_no_store_comes_to_is_damage() {
        let superblock = Superblock {
            identity: [3; 16],
            checkpoint: 8,
            sequence: 1_000,
            next_tree: u64::MAX,
            extents: 12,
            meta_root: None,
            meta_entries: 0,
            least_length: 0,
        };
        let decode =
            |superblock: Superblock| Superblock::decode(&superblock.encode().try_into().unwrap());
        assert_eq!(decode(superblock), Err(NoSuperblock::Invalid));
        let superblock = Superblock { next_tree: 99, ..superblock };
        assert_eq!(decode(superblock), Ok(superblock));
        assert!(decode(Superblock { sequence: u64::MAX, ..superblock }).is_err());
    }

    #[test]
    fn nothing_is_a_reference_too() {
        assert_eq!(decode_reference(&encode_reference(None)), None);
        let reference = Reference { grain: 1 << 40, length: u32::MAX, sum: u64::MAX };
        assert_eq!(decode_reference(&encode_reference(Some(reference))), Some(reference));
    }
}
