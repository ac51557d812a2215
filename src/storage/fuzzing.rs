//! What must hold of any bytes that are read as a store or a part of one: for the fuzz targets.
//! A store that the walk through everything finds sound can be written, and is sound afterwards.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, MemoryDisk};
use super::encoding::{Reader, checksum};
use super::slab::fuzzing::write_superblock;
use super::slab::{GRAIN, Reference, Superblock, decode_reference, encode_reference};
use super::store::{SlabEngine, SlabOptions};
use super::{
    Direction, Durability, Engine, KeyRange, ReadMode, Scanner, StorageError, TreeId, WriteBatch,
    verify_directory,
};

pub use super::btree::fuzzing::{check_node, node_seeds};
pub use super::slab::fuzzing::{check_superblock, superblock_seeds};
pub use super::wal::fuzzing::{check_records, check_segments, record_seeds, segment_seeds};

const DATA: &str = "slab.data";
const WAIT: ReadMode = ReadMode::MayBlock;
/// Grains of the data file that a script may write to.
const GRAINS: u16 = 2_048;
/// Trees, and entries of each, that are looked at.
const MOST: usize = 500;

/// Makes a data file by the instructions of some bytes: a superblock, and images that refer to one another with checksums
/// that are right. Opens it, reads it, and writes it.
pub fn check_store(data: &[u8]) -> Result<(), String> {
    let disk = MemoryDisk::new();
    make(&disk, data).map_err(|error| error.to_string())?;
    // Room that was lost by an earlier process is no damage, but an engine that knows of none calls it so.
    if typed(verify_directory(&disk))?.is_none_or(|report| report.lost_slots > 0) {
        return typed(use_store(&disk, false)).map(drop);
    }
    use_store(&disk, true).map_err(|error| format!("the walk has overlooked it: {error}"))?;
    let verified = verify_directory(&disk).map(drop);
    verified.map_err(|error| format!("it was sound before it was written: {error}"))
}

/// What was read, or nothing where it was refused as it may be.
fn typed<T>(outcome: Result<T, StorageError>) -> Result<Option<T>, String> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(
            StorageError::Corrupt { .. }
            | StorageError::Poisoned { .. }
            | StorageError::Foreign { .. }
            | StorageError::OtherVersion { .. },
        ) => Ok(None),
        Err(error) => Err(format!("an error of another kind: {error}")),
    }
}

fn options() -> SlabOptions {
    SlabOptions {
        flush_interval: None,
        log_segment_bytes: 8_192,
        reserve_bytes: 4_096,
        ..SlabOptions::new([7; 16], 1 << 20)
    }
}

/// Reads all trees of a store, at both ends, and changes them.
fn use_store(disk: &MemoryDisk, is_sound: bool) -> Result<(), StorageError> {
    let engine = SlabEngine::open(Arc::new(disk.clone()), options())?;
    let snapshot = engine.snapshot()?;
    for tree in snapshot.trees(WAIT)?.into_iter().take(MOST) {
        let mut batch = WriteBatch::new(Durability::Soft);
        for direction in [Direction::Forward, Direction::Backward] {
            let mut scanner = Scanner::new(snapshot.cursor(tree, &KeyRange::ALL, direction)?, WAIT);
            let mut left = MOST;
            while left > 0
                && let Some((key, _)) = scanner.next()?
            {
                left -= 1;
                if left.is_multiple_of(3) {
                    batch.delete(tree, key.to_vec());
                }
            }
        }
        snapshot.count(tree, &KeyRange::ALL, WAIT)?;
        batch.put(tree, b"another".to_vec(), vec![1; 100]);
        engine.apply(batch)?;
    }
    let mut batch = WriteBatch::new(Durability::Hard);
    // A name may be taken that the superblock says is free.
    let tree = engine.new_tree_id()?;
    if is_sound || !snapshot.has_tree(tree, WAIT)? {
        batch.create_tree(tree);
        batch.put(tree, b"key".to_vec(), vec![2; 9_000]);
    }
    engine.apply(batch)?;
    drop(snapshot);
    engine.checkpoint()?;
    engine.verify()?;
    engine.close()
}

/// Numbers of the superblock, then images: grain, length, how many references are put into it and where, bytes. The last
/// one is the root of the meta tree.
fn make(disk: &MemoryDisk, data: &[u8]) -> io::Result<()> {
    let mut reader = Reader::new(data);
    let mut number = || reader.array().map_or(0, u64::from_le_bytes);
    let [sequence, next_tree, extents, meta_entries, least_length] = [(); 5].map(|()| number());
    let file = disk.create(DATA)?;
    let mut images: Vec<Reference> = Vec::new();
    while let Some(reference) = image(&mut reader, &*file, &images)? {
        images.push(reference);
    }
    let superblock = Superblock {
        identity: [7; 16],
        checkpoint: 1,
        sequence,
        next_tree,
        extents,
        meta_root: images.last().copied(),
        meta_entries,
        least_length,
    };
    write_superblock(&*file, &superblock)
}

fn image(
    reader: &mut Reader<'_>,
    file: &dyn DiskFile,
    images: &[Reference],
) -> io::Result<Option<Reference>> {
    let (Some(grain), Some(length), Some([patches])) =
        (reader.array(), reader.array(), reader.array())
    else {
        return Ok(None);
    };
    let grain = u64::from(u16::from_le_bytes(grain) % GRAINS);
    let length = usize::from(u16::from_le_bytes(length));
    let patches: Vec<([u8; 2], [u8; 1])> =
        (0..patches).filter_map(|_| Some((reader.array()?, reader.array()?))).collect();
    let Some(bytes) = reader.take(length) else { return Ok(None) };
    let mut bytes = bytes.to_vec();
    for (offset, [image]) in patches {
        let reference = encode_reference(images.get(usize::from(image)).copied());
        let place = bytes.iter_mut().skip(usize::from(u16::from_le_bytes(offset)));
        place.zip(reference).for_each(|(to, from)| *to = from);
    }
    file.write_at(grain * GRAIN, &bytes)?;
    Ok(Some(Reference { grain, length: length as u32, sum: checksum(&bytes) }))
}

/// Instructions for stores that an engine has made.
pub fn store_seeds() -> Result<Vec<Vec<u8>>, StorageError> {
    let mut seeds = vec![seed_of(&MemoryDisk::new(), &[])?];
    for (entries, length) in [(3, 20), (40, 300), (300, 20), (2, 4_200)] {
        let lengths = (0..entries).map(|number| length + number % 7).collect::<Vec<_>>();
        seeds.push(seed_of(&MemoryDisk::new(), &lengths)?);
    }
    Ok(seeds)
}

/// Puts values of these lengths into a store of two trees, and tells how to make its data file.
fn seed_of(disk: &MemoryDisk, lengths: &[usize]) -> Result<Vec<u8>, StorageError> {
    let engine = SlabEngine::open(Arc::new(disk.clone()), options())?;
    let mut batch = WriteBatch::new(Durability::Soft);
    for tree in [TreeId(1_000), TreeId(1_001)].into_iter().filter(|_| !lengths.is_empty()) {
        batch.create_tree(tree);
        for (number, length) in lengths.iter().enumerate() {
            batch.put(tree, format!("key {number:05}").into_bytes(), vec![number as u8; *length]);
        }
    }
    engine.apply(batch)?;
    engine.close()?;
    drop(engine);
    let read = || -> io::Result<_> {
        let file = disk.open(DATA)?;
        let mut bytes = vec![0; file.length()? as usize];
        file.read_at(0, &mut bytes)?;
        Ok(bytes)
    };
    let file = read().map_err(|error| StorageError::io(DATA, error))?;
    let (_, superblock) = super::slab::Slab::open(disk)?;
    let mut images = Vec::new();
    if let Some(root) = superblock.meta_root {
        collect(&file, root, &mut images);
    }
    let mut seed = Vec::new();
    let Superblock { sequence, next_tree, extents, meta_entries, least_length, .. } = superblock;
    for number in [sequence, next_tree, extents, meta_entries, least_length] {
        seed.extend_from_slice(&number.to_le_bytes());
    }
    for reference in &images {
        write_image(&file, *reference, &images, &mut seed);
    }
    Ok(seed)
}

fn bytes_of(file: &[u8], reference: Reference) -> Option<&[u8]> {
    let start = usize::try_from(reference.grain.checked_mul(GRAIN)?).ok()?;
    let bytes = file.get(start..start.checked_add(reference.length as usize)?)?;
    (reference.length > 0 && checksum(bytes) == reference.sum).then_some(bytes)
}

/// Finds what an image refers to by trying its bytes as references. What is referred to comes first.
fn collect(file: &[u8], reference: Reference, images: &mut Vec<Reference>) {
    for place in bytes_of(file, reference).unwrap_or_default().windows(20) {
        let found = place.first_chunk().and_then(decode_reference);
        if let Some(found) = found
            && found != reference
            && !images.contains(&found)
            && bytes_of(file, found).is_some()
        {
            collect(file, found, images);
        }
    }
    images.push(reference);
}

fn write_image(file: &[u8], reference: Reference, images: &[Reference], seed: &mut Vec<u8>) {
    let bytes = bytes_of(file, reference).unwrap_or_default();
    let mut patches = Vec::new();
    for (offset, place) in bytes.windows(20).enumerate() {
        let found = place.first_chunk().and_then(decode_reference);
        if let Some(target) = images.iter().position(|image| Some(*image) == found) {
            patches.push((offset as u16, target as u8));
        }
    }
    seed.extend_from_slice(&(reference.grain as u16).to_le_bytes());
    seed.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    seed.push(patches.len() as u8);
    for (offset, target) in patches {
        seed.extend_from_slice(&offset.to_le_bytes());
        seed.push(target);
    }
    seed.extend_from_slice(bytes);
}
