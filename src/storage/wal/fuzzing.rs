//! What must hold of any bytes that are read as a log: for the fuzz targets. Must not know where bytes come from.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::commit::decode_all;
use super::segment::{GROUP_HEADER, GroupHeader, SegmentHeader, file_name, write_group};
use super::{Log, LogEnd, LogOptions, Logged, encode, encode_adoption, replay};
use crate::storage::disk::{Disk, MemoryDisk};
use crate::storage::encoding::{BLOCK, Identity, Reader, seal_block};
use crate::storage::{CommitSequence, Operation, StorageError, TreeId};

const IDENTITY: Identity = *b"identity of logs";
/// Segments of a directory, and groups of a segment, at most.
const MOST: usize = 6;

/// Reads bytes as the commits of a group, the number of which comes first, and as headers. What is read is written as
/// it was.
pub fn check_records(data: &[u8]) -> Result<(), String> {
    if let Some(group) = data.first_chunk::<GROUP_HEADER>()
        && let Some(header) = GroupHeader::decode(group, &IDENTITY)
        && header.encode(&IDENTITY) != *group
    {
        return Err("the header of a group changes".to_owned());
    }
    let mut contents = data.to_vec();
    contents.truncate(BLOCK - 8);
    if let Ok(header) = SegmentHeader::decode(&seal_block(contents))
        && SegmentHeader::decode(&header.encode()) != Ok(header)
    {
        return Err("the header of a segment changes".to_owned());
    }
    let Some((count, body)) = data.split_first() else { return Ok(()) };
    let Some(commits) = decode_all(Bytes::copy_from_slice(body), (*count).into()) else {
        return Ok(());
    };
    let written: Vec<_> = commits.iter().flat_map(record_of).collect();
    if written != body {
        return Err("commits change when they are written again".to_owned());
    }
    Ok(())
}

/// Makes the segments of a log by the instructions of some bytes, with checksums that are right but where they say
/// otherwise, and reads it. What can be read goes on.
pub fn check_segments(data: &[u8]) -> Result<(), String> {
    let disk = MemoryDisk::new();
    let mut script = Script(Reader::new(data));
    let contained = CommitSequence(script.number());
    script.segments(&disk).map_err(|error| error.to_string())?;
    let read = |disk: &MemoryDisk| {
        let mut last = contained;
        let read = replay(disk, &IDENTITY, contained, contained.0 == 0, &mut |sequence, _| {
            let is_next = last.0.checked_add(1) == Some(sequence.0);
            last = sequence;
            if is_next { Ok(()) } else { Err(StorageError::Conflict) }
        });
        read.map(|end| (last, end))
    };
    let Some((last, end)) = typed(read(&disk))? else { return Ok(()) };
    if end.last != last {
        return Err(format!("it ends at {:?}, {last:?} was read", end.last));
    }
    match typed(read(&disk))? {
        Some((again, _)) if again == last => {}
        _ => return Err("it is read differently a second time".to_owned()),
    }
    let Some(appended) = typed(go_on(&disk, end))? else { return Ok(()) };
    match read(&disk) {
        Ok((again, _)) if again == appended => Ok(()),
        Ok((again, _)) => Err(format!("commit {appended:?} was acknowledged, {again:?} is there")),
        Err(error) => Err(format!("it cannot be read any more: {error}")),
    }
}

/// Writes one more commit behind the end of a log.
fn go_on(disk: &MemoryDisk, end: LogEnd) -> Result<CommitSequence, StorageError> {
    let options = LogOptions {
        identity: IDENTITY,
        segment_bytes: 2 * BLOCK as u64,
        flush_interval: None,
        health: Arc::default(),
    };
    let log = Log::begin(Arc::new(disk.clone()), &options, end)?;
    let sequence = log.append(encode(&[]), true)?;
    log.close()?;
    Ok(sequence)
}

/// What was read, or nothing where it was refused as it may be.
fn typed<T>(read: Result<T, StorageError>) -> Result<Option<T>, String> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(StorageError::Corrupt { .. } | StorageError::OtherVersion { .. }) => Ok(None),
        Err(error) => Err(format!("an error of another kind: {error}")),
    }
}

fn record_of(logged: &Logged) -> Bytes {
    match logged {
        Logged::Batch(operations) => encode(operations),
        Logged::Adoption(tree, what) => encode_adoption(*tree, what),
    }
}

/// Instructions, as they stand in the bytes.
struct Script<'a>(Reader<'a>);

impl Script<'_> {
    fn byte(&mut self) -> u8 {
        self.0.array().map_or(0, u8::from_le_bytes)
    }

    /// A small number, or one of the greatest there are.
    fn number(&mut self) -> u64 {
        match self.byte() {
            byte @ 240.. => u64::MAX - u64::from(u8::MAX - byte),
            byte => byte.into(),
        }
    }

    fn bytes(&mut self) -> Bytes {
        let length = usize::from(self.byte());
        Bytes::copy_from_slice(self.0.take(length).unwrap_or_default())
    }

    fn segments(&mut self, disk: &MemoryDisk) -> io::Result<()> {
        let mut made = 0;
        while !self.0.is_empty() && made < MOST {
            made += 1;
            let name = self.number();
            let [number, first_group, before] = [(); 3].map(|()| self.number());
            let header = SegmentHeader { identity: IDENTITY, number, first_group, before };
            let mut bytes = header.encode();
            let flags = self.byte();
            if flags & 1 != 0 {
                // A version, an identity or a checksum that is wrong.
                bytes.iter_mut().skip(usize::from(flags)).take(1).for_each(|byte| *byte ^= flags);
            }
            if flags & 2 != 0 {
                bytes.truncate(BLOCK - 8);
                bytes = seal_block(bytes);
            }
            for _ in 0..usize::from(flags >> 4) % MOST {
                self.group(&mut bytes);
            }
            bytes.extend_from_slice(&self.bytes());
            disk.create(&file_name(name))?.write_at(0, &bytes)?;
        }
        Ok(())
    }

    fn group(&mut self, segment: &mut Vec<u8>) {
        let [number, of, first] = [(); 3].map(|()| self.number());
        let (commits, flags) = (self.byte() % 8, self.byte());
        let commits: Vec<_> = (0..commits).map(|_| self.commit()).collect();
        let (mut group, mut header) =
            (Vec::new(), GroupHeader { commits: 0, number, segment: of, first, length: 0, sum: 0 });
        write_group(&mut group, &IDENTITY, header, &commits);
        if flags & 1 != 0
            && let Some(head) = group.first_chunk_mut::<GROUP_HEADER>()
            && let Some(written) = GroupHeader::decode(head, &IDENTITY)
        {
            header = GroupHeader { length: self.number(), commits: self.byte().into(), ..written };
            *head = header.encode(&IDENTITY);
        }
        if flags & 2 != 0 {
            let place = self.number() as usize % group.len();
            group.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= flags);
        }
        segment.extend_from_slice(&group);
    }

    fn commit(&mut self) -> Bytes {
        let (tree, bytes) = (TreeId(self.number()), self.bytes());
        match self.byte() % 8 {
            0 => encode(&[]),
            1 => encode(&[Operation::CreateTree(tree)]),
            2 => encode_adoption(tree, &bytes),
            3 => bytes,
            4 => encode(&[Operation::Delete { tree, key: bytes }]),
            _ => encode(&[Operation::Put {
                tree,
                key: bytes.slice(..bytes.len() / 2),
                value: bytes,
            }]),
        }
    }
}

/// The commits of a group behind their number.
pub fn record_seeds() -> Vec<Vec<u8>> {
    let tree = TreeId(7);
    let put = |key: &str, value: &str| Operation::Put {
        tree,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    let all = vec![
        Operation::CreateTree(tree),
        put("key", "value"),
        put("", ""),
        Operation::Delete { tree, key: Bytes::from("gone") },
        Operation::DropTree(tree),
    ];
    let records = [encode(&all), encode(&[]), encode_adoption(tree, &[1; 40]), encode(&all[1..2])];
    let mut seeds: Vec<_> = records.iter().map(|record| [&[1], &record[..]].concat()).collect();
    seeds.push([&[4], &records.concat()[..]].concat());
    let group = GroupHeader { commits: 1, number: 1, segment: 1, first: 1, length: 0, sum: 0 };
    let mut bytes = Vec::new();
    write_group(&mut bytes, &IDENTITY, group, &records[..1]);
    seeds.push(bytes);
    let header = SegmentHeader { identity: IDENTITY, number: 1, first_group: 1, before: 0 };
    seeds.push(header.encode());
    seeds
}

/// Instructions for logs that are whole, torn, and damaged.
pub fn segment_seeds() -> Vec<Vec<u8>> {
    // Number, segment and first commit of a group with two commits.
    let group = |number, segment, first, flags| {
        [&[number, segment, first, 2, flags][..], &[1, 0, 1], &[1, 4, b'k', b'e', b'y', b's', 5]]
            .concat()
    };
    let one = [&[1, 1, 1, 0, 0x20][..], &group(1, 1, 1, 0), &group(2, 1, 3, 0), &[0]].concat();
    let other = [&[2, 2, 3, 4, 0x10][..], &group(3, 2, 5, 0), &[3, 9, 9, 9]].concat();
    let torn = [&[2, 2, 3, 4, 0x10][..], &group(3, 2, 5, 2), &[60], &[0]].concat();
    let damaged = [&[1, 1, 1, 0, 0x20][..], &group(1, 1, 1, 2), &[60], &group(2, 1, 3, 0), &[0]];
    let last = [&[255, 255, 255, 254, 0x10][..], &group(255, 255, 255, 0), &[0]].concat();
    vec![
        vec![0],
        [&[0], &one[..]].concat(),
        [&[0], &one[..], &other].concat(),
        [&[3], &one[..], &torn].concat(),
        [&[0], &damaged.concat()[..]].concat(),
        [&[254], &last[..]].concat(),
    ]
}
