//! Reading the log when a store is opened: which segments count, where the log ends, what is torn and what is damaged.
//! The rules have their numbers in `docs/storage-format.md`. Must not know trees, nor what a commit does.

use bytes::Bytes;

use super::commit::{Logged, decode_all};
use super::segment::{
    GROUP_HEADER, GroupHeader, NoHeader, SegmentHeader, VERSION, file_name, number_of,
};
use super::{LogEnd, LogRead, Segment};
use crate::storage::disk::{Disk, DiskFile};
use crate::storage::encoding::{BLOCK, Identity, checksum};
use crate::storage::{CommitSequence, StorageError};

/// What is done with each commit, in order.
pub type Replay<'a> = &'a mut dyn FnMut(CommitSequence, Logged) -> Result<(), StorageError>;

/// Whether the directory has log segments.
pub fn has_segments(disk: &dyn Disk) -> Result<bool, StorageError> {
    Ok(!segment_numbers(disk)?.is_empty())
}

/// Hands out every commit after `contained` and says where the log ends. A log without segments ends at once, which
/// `may_be_missing` allows. Writes nothing.
pub fn replay(
    disk: &dyn Disk,
    identity: &Identity,
    contained: CommitSequence,
    may_be_missing: bool,
    commit: Replay<'_>,
) -> Result<LogEnd, StorageError> {
    let mut numbers = segment_numbers(disk)?;
    let unfinished = take_unfinished(disk, identity, &mut numbers)?;
    let read = LogRead::default();
    let segments = Vec::new();
    let mut end = LogEnd {
        next_segment: 1,
        next_group: 1,
        last: contained,
        segments,
        unneeded: Vec::new(),
        contained,
        tail: (0, 0),
        unfinished,
        read,
    };
    if numbers.is_empty() && may_be_missing {
        return Ok(end);
    }
    let first = first_needed(disk, identity, contained, &numbers)?;
    end.unneeded = numbers.drain(..first).collect();
    for (at, number) in numbers.into_iter().enumerate() {
        // One at a time: there may be more of them than a process may have files open.
        let file = SegmentFile::open(disk, identity, number)?;
        let header = file.expect_header((at > 0).then_some(&end))?;
        let mut reader = SegmentReader {
            identity,
            file: &file,
            offset: BLOCK as u64,
            length: file.length()?,
            group: header.first_group,
            last: header.before,
            tail: (0, BLOCK as u64),
        };
        while let Some((first, commits)) = reader.next_group()? {
            for (at, logged) in commits.into_iter().enumerate() {
                let sequence = CommitSequence(first + at as u64);
                if sequence > contained {
                    commit(sequence, logged)?;
                }
            }
        }
        end.read.segments += 1;
        end.read.groups += reader.group - header.first_group;
        end.read.commits += reader.last - header.before;
        end.read.bytes += reader.offset - BLOCK as u64;
        end.last = CommitSequence(reader.last);
        end.segments.push((Segment { number, last: end.last }, reader.length));
        end.next_segment = number + 1;
        end.next_group = reader.group;
        end.tail = reader.tail;
    }
    if end.last < contained {
        let problem =
            format!("it ends at commit {}, the data has {} (rule 7)", end.last.0, contained.0);
        return Err(StorageError::corrupt("the log", problem));
    }
    Ok(end)
}

/// Where the first segment is that is needed: the last one that begins no later than at the commit after `contained`.
fn first_needed(
    disk: &dyn Disk,
    identity: &Identity,
    contained: CommitSequence,
    numbers: &[u64],
) -> Result<usize, StorageError> {
    for (at, number) in numbers.iter().enumerate().rev() {
        let file = SegmentFile::open(disk, identity, *number)?;
        if file.header.is_ok_and(|header| header.before <= contained.0) {
            return Ok(at);
        }
    }
    let problem = format!("no segment goes on after commit {} (rule 7)", contained.0);
    Err(StorageError::corrupt("the log", problem))
}

fn segment_numbers(disk: &dyn Disk) -> Result<Vec<u64>, StorageError> {
    let names = disk.list().map_err(|error| StorageError::io("reading the directory", error))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

struct SegmentFile {
    number: u64,
    file: Box<dyn DiskFile>,
    header: Result<SegmentHeader, NoHeader>,
}

/// Rule 10: the last segment, when the machine stopped while it was being made.
fn take_unfinished(
    disk: &dyn Disk,
    identity: &Identity,
    numbers: &mut Vec<u64>,
) -> Result<Option<u64>, StorageError> {
    let Some(number) = numbers.last() else { return Ok(None) };
    let last = SegmentFile::open(disk, identity, *number)?;
    if last.header != Err(NoHeader::Invalid) {
        return Ok(None);
    }
    let reader = SegmentReader {
        identity,
        file: &last,
        offset: 0,
        length: last.length()?,
        group: 0,
        last: 0,
        tail: (0, 0),
    };
    if let Some(offset) = reader.later_group()? {
        let problem = format!("its header is damaged, and there is a group at {offset} (rule 10)");
        return Err(StorageError::corrupt(file_name(last.number), problem));
    }
    Ok(numbers.pop())
}

impl SegmentFile {
    fn open(disk: &dyn Disk, identity: &Identity, number: u64) -> Result<Self, StorageError> {
        let name = file_name(number);
        let file = disk.open(&name).map_err(|error| StorageError::io(&name, error))?;
        let length = file.length().map_err(|error| StorageError::io(&name, error))?;
        let mut block = [0; BLOCK];
        if length >= BLOCK as u64 {
            file.read_at(0, &mut block).map_err(|error| StorageError::io(&name, error))?;
        }
        let mut header = SegmentHeader::decode(&block);
        if let Ok(found) = &header {
            if found.identity != *identity {
                return Err(StorageError::corrupt(name, "it belongs to another store (rule 3)"));
            }
            if found.number != number {
                header = Err(NoHeader::Invalid);
            }
        }
        Ok(Self { number, file, header })
    }

    fn length(&self) -> Result<u64, StorageError> {
        self.file.length().map_err(|error| StorageError::io(file_name(self.number), error))
    }

    /// The header, when it goes on where the segment before it ends.
    fn expect_header(&self, before: Option<&LogEnd>) -> Result<&SegmentHeader, StorageError> {
        let corrupt = |problem: String| StorageError::corrupt(file_name(self.number), problem);
        let header = match &self.header {
            Ok(header) => header,
            Err(NoHeader::Invalid) => return Err(corrupt("its header is damaged".to_owned())),
            Err(NoHeader::Version(found)) => {
                let place = file_name(self.number);
                return Err(StorageError::OtherVersion { place, found: *found, known: VERSION });
            }
        };
        if let Some(before) = before {
            let expected = (before.next_segment, before.next_group, before.last.0);
            let found = (self.number, header.first_group, header.before);
            if expected != found {
                let problem = format!(
                    "it should be segment {} with group {} after commit {}, and is {} with {} after {} (rule 7)",
                    expected.0, expected.1, expected.2, found.0, found.1, found.2
                );
                return Err(corrupt(problem));
            }
        }
        Ok(header)
    }
}

/// The number of the first commit of a group, and all its commits.
type Group = (u64, Vec<Logged>);

struct SegmentReader<'a> {
    identity: &'a Identity,
    file: &'a SegmentFile,
    /// Where the next group should be.
    offset: u64,
    length: u64,
    /// Its number.
    group: u64,
    /// The last commit before it.
    last: u64,
    /// Where the group before it lies, or the header of the segment: start and length.
    tail: (u64, u64),
}

impl SegmentReader<'_> {
    /// The next group; `None` at the end of the log.
    fn next_group(&mut self) -> Result<Option<Group>, StorageError> {
        let Some((header, body)) = self.read_group()? else {
            return match self.later_group()? {
                None => Ok(None),
                Some(later) => {
                    let problem = format!(
                        "group {} is damaged: there is a later one at {later} (rule 9)",
                        self.group
                    );
                    Err(self.corrupt(problem))
                }
            };
        };
        let first = self.last + 1;
        if header.first != first || header.commits == 0 {
            let problem = format!("its first commit is {}, not {first} (rule 8)", header.first);
            return Err(self.corrupt(problem));
        }
        let Some(commits) = decode_all(body, header.commits) else {
            return Err(self.corrupt("its commits cannot be read".to_owned()));
        };
        self.tail = (self.offset, GROUP_HEADER as u64 + header.length);
        self.offset = self.offset.saturating_add(header.footprint());
        self.group += 1;
        self.last += u64::from(header.commits);
        Ok(Some((first, commits)))
    }

    /// The group that should be at the offset, if it is there and whole.
    fn read_group(&self) -> Result<Option<(GroupHeader, Bytes)>, StorageError> {
        let Some(header) = self.header_at(self.offset)? else { return Ok(None) };
        let start = self.offset + GROUP_HEADER as u64;
        let is_inside = header.length <= self.length.saturating_sub(start);
        if header.number != self.group || !is_inside {
            return Ok(None);
        }
        let Ok(length) = usize::try_from(header.length) else { return Ok(None) };
        let mut body = vec![0; length];
        self.read(start, &mut body)?;
        Ok((checksum(&body) == header.sum).then(|| (header, Bytes::from(body))))
    }

    /// Where behind the offset a group of this segment stands that is the next one or comes after it. At the offset
    /// itself the next one may be torn, but one that comes after it was written over it.
    fn later_group(&self) -> Result<Option<u64>, StorageError> {
        let (mut offset, mut least) = (self.offset, self.group + 1);
        while offset < self.length {
            if self.header_at(offset)?.is_some_and(|header| header.number >= least) {
                return Ok(Some(offset));
            }
            (offset, least) = (offset + BLOCK as u64, self.group);
        }
        Ok(None)
    }

    fn header_at(&self, offset: u64) -> Result<Option<GroupHeader>, StorageError> {
        if self.length.saturating_sub(offset) < GROUP_HEADER as u64 {
            return Ok(None);
        }
        let mut bytes = [0; GROUP_HEADER];
        self.read(offset, &mut bytes)?;
        let header = GroupHeader::decode(&bytes, self.identity);
        Ok(header.filter(|header| header.segment == self.file.number))
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let place = || format!("{} at {offset}", file_name(self.file.number));
        self.file.file.read_at(offset, buffer).map_err(|error| StorageError::io(place(), error))
    }

    fn corrupt(&self, problem: String) -> StorageError {
        let place = format!("{} at {}", file_name(self.file.number), self.offset);
        StorageError::corrupt(place, problem)
    }
}
