//! The end of the log that is written: one group after another, and the segments that came before.
//! Knows groups and files; must not know who waits for them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::segment::{GroupHeader, SegmentHeader, file_name, write_group};
use super::{LogEnd, LogOptions, Queue, Segment};
use crate::limits::{LOG_BUFFER_KEPT_BYTES, LOG_GROUP_BYTES, LOG_ROTATE_BYTES, LOG_SEGMENT_BYTES};
use crate::storage::crossed::crossed;
use crate::storage::disk::{Disk, DiskFile, is_full};
use crate::storage::encoding::{BLOCK, Identity};
use crate::storage::{CommitSequence, StorageError};

pub(super) struct Writer {
    disk: Arc<dyn Disk>,
    identity: Identity,
    segment_bytes: u64,
    /// Those before the one that is written, from the oldest on, with their lengths.
    before: Vec<(Segment, u64)>,
    /// The segment that is written; none before the first group since the start.
    file: Option<Box<dyn DiskFile>>,
    /// Its number, or that of the last one there is.
    segment: u64,
    /// Where the next group goes.
    offset: u64,
    /// For each group of the segment its last commit, and where it ends.
    ends: Vec<(u64, u64)>,
    group: u64,
    last: u64,
    buffer: Vec<u8>,
    /// Bytes of the groups it has written.
    written: u64,
    /// What has gone wrong, after which no file is altered any more.
    broken: Option<String>,
}

impl Queue {
    /// Commits for one group, from the oldest on.
    pub(super) fn take_group(&mut self) -> Vec<Bytes> {
        let mut bytes = 0;
        let fits = |commit: &&Bytes| {
            let begins_within = bytes < LOG_GROUP_BYTES;
            bytes += commit.len();
            begins_within
        };
        let count = self.commits.iter().take_while(fits).count();
        let rest = self.commits.split_off(count);
        if !rest.is_empty() {
            crossed("LOG_GROUP_BYTES");
        }
        let group = std::mem::replace(&mut self.commits, rest);
        self.bytes -= group.iter().map(Bytes::len).sum::<usize>();
        if self.commits.is_empty() {
            self.since = None;
        }
        group
    }
}

impl Writer {
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        options: &LogOptions,
        end: LogEnd,
    ) -> Result<Self, StorageError> {
        if let Some(unfinished) = end.unfinished {
            let name = file_name(unfinished);
            let removed = disk.remove(&name).and_then(|()| disk.sync_directory());
            removed.map_err(|error| StorageError::io(name, error))?;
        }
        if let Some((segment, _)) = end.segments.last() {
            make_safe(&*disk, segment.number, end.tail)?;
        }
        let mut before = Vec::new();
        for number in end.unneeded {
            // One that cannot be removed is tried again after the next checkpoint.
            if let Err(error) = disk.remove(&file_name(number)) {
                tracing::warn!("a log segment that is not needed stays: {error}");
                before.push((Segment { number, last: end.contained }, 0));
            }
        }
        before.extend(end.segments);
        // A damaged last group would be taken for a torn one. The header of a segment behind it says that it was there.
        let needs_witness = end.tail.0 > 0 && end.last > end.contained;
        let mut writer = Self {
            disk,
            identity: options.identity,
            segment_bytes: options.segment_bytes,
            before,
            file: None,
            segment: end.next_segment - 1,
            offset: 0,
            ends: Vec::new(),
            group: end.next_group,
            last: end.last.0,
            buffer: Vec::new(),
            written: 0,
            broken: None,
        };
        if needs_witness {
            match writer.next_segment() {
                // A store can be read on a full disk.
                Ok(()) | Err(StorageError::DiskFull { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(writer)
    }

    /// Writes and syncs one group, and returns the number of its last commit. After [`StorageError::DiskFull`] the log
    /// is as it was and the commits can be written again; after any other error nothing is written any more.
    pub(super) fn write(&mut self, commits: &[Bytes]) -> Result<u64, StorageError> {
        self.check()?;
        let written = self.try_write(commits);
        self.judge(&written);
        written
    }

    fn try_write(&mut self, commits: &[Bytes]) -> Result<u64, StorageError> {
        if self.file.is_none() || self.offset >= self.segment_bytes {
            if self.offset >= LOG_SEGMENT_BYTES {
                crossed("LOG_SEGMENT_BYTES");
            }
            self.next_segment()?;
        }
        let header = GroupHeader {
            commits: 0,
            number: self.group,
            segment: self.segment,
            first: self.last + 1,
            length: 0,
            sum: 0,
        };
        write_group(&mut self.buffer, &self.identity, header, commits);
        let place = |error| StorageError::io(file_name(self.segment), error);
        let Some(file) = &self.file else { return Err(StorageError::Closed) };
        if let Err(error) = file.write_at(self.offset, &self.buffer) {
            if is_full(&error) {
                // Gives back the room of what was written of the group. When that fails as well it stays, as what is
                // torn does: the next attempt begins at the same place.
                drop(file.set_length(self.offset));
            }
            return Err(place(error));
        }
        file.sync().map_err(place)?;
        self.offset += self.buffer.len() as u64;
        self.written += self.buffer.len() as u64;
        self.group += 1;
        self.last += commits.len() as u64;
        self.ends.push((self.last, self.offset));
        if self.buffer.capacity() > LOG_BUFFER_KEPT_BYTES {
            crossed("LOG_BUFFER_KEPT_BYTES");
            self.buffer = Vec::new();
        }
        Ok(self.last)
    }

    fn check(&self) -> Result<(), StorageError> {
        match &self.broken {
            None => Ok(()),
            Some(cause) => Err(StorageError::Poisoned { cause: cause.clone() }),
        }
    }

    /// Notes an error after which nothing may be written. The caller still holds the lock of the log's writer.
    fn judge<T>(&mut self, outcome: &Result<T, StorageError>) {
        match outcome {
            Ok(_) | Err(StorageError::DiskFull { .. }) => {}
            Err(error) => self.broken = Some(error.to_string()),
        }
    }

    /// Makes a first segment where there is none: a second checkpoint must not be without one.
    pub(super) fn ensure_segment(&mut self) -> Result<(), StorageError> {
        self.check()?;
        if self.file.is_some() || !self.before.is_empty() {
            return Ok(());
        }
        let made = self.next_segment();
        self.judge(&made);
        made
    }

    pub(super) fn written_bytes(&self) -> u64 {
        self.written
    }

    /// Bytes of all segments.
    pub(super) fn bytes(&self) -> u64 {
        self.before.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.offset
    }

    /// Goes on in a new segment when most of this one has nothing after the commit, and returns the segments that have
    /// nothing after it, from the oldest on; never all of them.
    pub(super) fn obsolete(&mut self, contained: CommitSequence) -> Result<Vec<u64>, StorageError> {
        self.check()?;
        let ends = self.ends.partition_point(|(last, _)| *last <= contained.0);
        let end = ends.checked_sub(1).and_then(|at| self.ends.get(at)).map_or(0, |(_, end)| *end);
        if end > LOG_ROTATE_BYTES.min(self.segment_bytes) && end >= self.offset / 2 {
            if end > LOG_ROTATE_BYTES && end < self.offset {
                crossed("LOG_ROTATE_BYTES");
            }
            let rotated = self.next_segment();
            self.judge(&rotated);
            match rotated {
                // It goes on in the one it has.
                Err(StorageError::DiskFull { .. }) => {}
                outcome => outcome?,
            }
        }
        let kept = usize::from(self.file.is_none());
        let removable = self.before.len().saturating_sub(kept);
        let obsolete = self.before.iter().take(removable);
        let obsolete = obsolete.take_while(|(segment, _)| segment.last <= contained);
        Ok(obsolete.map(|(segment, _)| segment.number).collect())
    }

    /// A segment has been removed.
    pub(super) fn forget(&mut self, number: u64) {
        self.before.retain(|(segment, _)| segment.number != number);
    }

    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    fn next_segment(&mut self) -> Result<(), StorageError> {
        let header = SegmentHeader {
            identity: self.identity,
            number: self.segment + 1,
            first_group: self.group,
            before: self.last,
        };
        let file = match make_segment(&*self.disk, &header) {
            Ok(file) => file,
            Err(full @ StorageError::DiskFull { .. }) => {
                // It has no header yet. It must not be there when more is written into the one before it.
                let name = file_name(header.number);
                return match self.disk.remove(&name) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(StorageError::io(name, io::Error::other(error)))
                    }
                    _ => Err(full),
                };
            }
            Err(error) => return Err(error),
        };
        if self.file.is_some() {
            let written = Segment { number: self.segment, last: CommitSequence(self.last) };
            self.before.push((written, self.offset));
        }
        self.file = Some(file);
        self.segment += 1;
        self.offset = BLOCK as u64;
        self.ends.clear();
        Ok(())
    }
}

/// A segment with a header, safe under its name.
fn make_segment(
    disk: &dyn Disk,
    header: &SegmentHeader,
) -> Result<Box<dyn DiskFile>, StorageError> {
    let name = file_name(header.number);
    let make = || {
        let file = disk.create(&name)?;
        file.write_at(0, &header.encode())?;
        file.sync()?;
        disk.sync_directory()?;
        Ok(file)
    };
    make().map_err(|error| StorageError::io(&name, error))
}

/// Makes safe what is last in a segment. It was written by a process that may have ended before it was synced, or
/// because the sync failed: then the system has it in memory, takes it for written, and a sync alone would do nothing.
fn make_safe(
    disk: &dyn Disk,
    number: u64,
    (start, length): (u64, u64),
) -> Result<(), StorageError> {
    let name = file_name(number);
    let write_again = || {
        let file = disk.open(&name)?;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_at(start, &mut bytes)?;
        file.write_at(start, &bytes)?;
        file.sync()
    };
    write_again().map_err(|error| StorageError::io(&name, error))
}
