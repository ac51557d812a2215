//! Segments of the log as bytes: their names, headers and groups. `docs/storage-format.md` has the tables.
//! Knows bytes; must not know operations, threads or when to sync.

use bytes::Bytes;

use crate::storage::encoding::{
    BLOCK, Identity, Reader, checksum, open_block, seal_block, seeded_checksum,
};

/// Bytes of a group before its body.
pub(super) const GROUP_HEADER: usize = 56;

const MAGIC: &[u8; 8] = b"PHOTLOGS";
const GROUP_MAGIC: &[u8; 4] = b"GRUP";
pub(super) const VERSION: u32 = 1;
const NAME: &str = "slab.log.";

/// The file of a segment.
pub(super) fn file_name(number: u64) -> String {
    format!("{NAME}{number:016x}")
}

/// The segment in a file; `None` for a file that is none.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(NAME)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) identity: Identity,
    pub(super) number: u64,
    /// The number of its first group.
    pub(super) first_group: u64,
    /// The last commit before its first group.
    pub(super) before: u64,
}

/// Why a block is not the header of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// It is damaged, or was never written.
    Invalid,
    /// It is one, of a version that is not known here.
    Version(u32),
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.identity);
        for number in [self.number, self.first_group, self.before] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        seal_block(bytes)
    }

    pub(super) fn decode(block: &[u8]) -> Result<Self, NoHeader> {
        let contents = open_block(block).ok_or(NoHeader::Invalid)?;
        let mut reader = Reader::new(contents);
        if reader.array() != Some(*MAGIC) {
            return Err(NoHeader::Invalid);
        }
        let version = reader.u32().ok_or(NoHeader::Invalid)?;
        if version != VERSION {
            return Err(NoHeader::Version(version));
        }
        Self::decode_rest(&mut reader).ok_or(NoHeader::Invalid)
    }

    fn decode_rest(reader: &mut Reader<'_>) -> Option<Self> {
        reader.take(4)?;
        Some(Self {
            identity: reader.array()?,
            number: reader.number()?,
            first_group: reader.number()?,
            before: reader.number()?,
        })
    }
}

/// What stands before the commits of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupHeader {
    pub(super) commits: u32,
    pub(super) number: u64,
    pub(super) segment: u64,
    /// The number of its first commit.
    pub(super) first: u64,
    /// Bytes of the body.
    pub(super) length: u64,
    /// Checksum of the body.
    pub(super) sum: u64,
}

impl GroupHeader {
    pub(super) fn encode(&self, identity: &Identity) -> [u8; GROUP_HEADER] {
        let mut bytes = Vec::with_capacity(GROUP_HEADER);
        bytes.extend_from_slice(GROUP_MAGIC);
        bytes.extend_from_slice(&self.commits.to_le_bytes());
        for number in [self.number, self.segment, self.first, self.length, self.sum] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let sum = seeded_checksum(&bytes, seed(identity));
        bytes.extend_from_slice(&sum.to_le_bytes());
        let mut header = [0; GROUP_HEADER];
        header.copy_from_slice(&bytes);
        header
    }

    pub(super) fn decode(bytes: &[u8; GROUP_HEADER], identity: &Identity) -> Option<Self> {
        let (contents, sum) = bytes.split_last_chunk::<8>()?;
        if u64::from_le_bytes(*sum) != seeded_checksum(contents, seed(identity)) {
            return None;
        }
        let mut reader = Reader::new(contents);
        if reader.array() != Some(*GROUP_MAGIC) {
            return None;
        }
        Some(Self {
            commits: reader.u32()?,
            number: reader.number()?,
            segment: reader.number()?,
            first: reader.number()?,
            length: reader.number()?,
            sum: reader.u64()?,
        })
    }

    /// Bytes that the group takes up in the file.
    pub(super) fn footprint(&self) -> u64 {
        (GROUP_HEADER as u64).saturating_add(self.length).next_multiple_of(BLOCK as u64)
    }
}

/// A whole group as it is written, up to the end of its last block.
pub(super) fn write_group(
    buffer: &mut Vec<u8>,
    identity: &Identity,
    mut header: GroupHeader,
    commits: &[Bytes],
) {
    buffer.clear();
    let length = GROUP_HEADER + commits.iter().map(Bytes::len).sum::<usize>();
    buffer.reserve_exact(length.next_multiple_of(BLOCK));
    buffer.extend_from_slice(&[0; GROUP_HEADER]);
    for commit in commits {
        buffer.extend_from_slice(commit);
    }
    let body = buffer.get(GROUP_HEADER..).unwrap_or_default();
    header.length = body.len() as u64;
    header.sum = checksum(body);
    header.commits = commits.len() as u32;
    if let Some(head) = buffer.first_chunk_mut::<GROUP_HEADER>() {
        *head = header.encode(identity);
    }
    buffer.resize(buffer.len().next_multiple_of(BLOCK), 0);
}

fn seed(identity: &Identity) -> u64 {
    identity.first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STORAGE_NUMBER_MAX;

    #[test]
    fn names_are_numbers() {
        assert_eq!(file_name(255), "slab.log.00000000000000ff");
        assert_eq!(number_of("slab.log.00000000000000ff"), Some(255));
        for other in ["slab.log.ff", "slab.log.00000000000000FF", "slab.data", "slab.log."] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }

    #[test]
    fn headers_come_back_and_no_bit_may_change() {
        let identity = [9; 16];
        let header = SegmentHeader { identity, number: 3, first_group: 40, before: 500 };
        let block = header.encode();
        assert_eq!(SegmentHeader::decode(&block), Ok(header));
        let group =
            GroupHeader { commits: 2, number: 7, segment: 3, first: 501, length: 90, sum: 1 };
        let bytes = group.encode(&identity);
        assert_eq!(GroupHeader::decode(&bytes, &identity), Some(group));
        assert_eq!(GroupHeader::decode(&bytes, &[8; 16]), None, "of another store");
        for bit in 0..GROUP_HEADER * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&damaged, &identity), None);
            let mut damaged = block.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&damaged), Err(NoHeader::Invalid));
        }
    }

    #[test]
    fn a_number_that_no_log_comes_to_is_damage() {
        let identity = [9; 16];
        let group =
            GroupHeader { commits: 1, number: 7, segment: 3, first: 501, length: 9, sum: u64::MAX };
        assert!(GroupHeader::decode(&group.encode(&identity), &identity).is_some());
        let segment = SegmentHeader { identity, number: 3, first_group: 40, before: 500 };
        for number in [STORAGE_NUMBER_MAX + 1, u64::MAX] {
            let group = GroupHeader { number, ..group };
            assert_eq!(GroupHeader::decode(&group.encode(&identity), &identity), None);
            let segment = SegmentHeader { before: number, ..segment };
            assert_eq!(SegmentHeader::decode(&segment.encode()), Err(NoHeader::Invalid));
        }
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        let mut contents = MAGIC.to_vec();
        contents.extend_from_slice(&2_u32.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&seal_block(contents)), Err(NoHeader::Version(2)));
    }
}
