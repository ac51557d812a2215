//! What must hold of any bytes that are read as a superblock: for the fuzz targets.
//! Must not know where bytes come from.

use std::io;

use super::reference::{NoSuperblock, Reference, Superblock, superblock_offsets};
use super::{FILE, Slab};
use crate::storage::StorageError;
use crate::storage::disk::{Disk, DiskFile, MemoryDisk};
use crate::storage::encoding::{BLOCK, seal_block};

/// Reads bytes as a superblock, as they are and with a checksum that is right, and then as those of a data file.
pub fn check_superblock(data: &[u8]) -> Result<(), String> {
    if let Some(block) = data.first_chunk::<BLOCK>() {
        check_block(block)?;
    }
    let blocks: Vec<[u8; BLOCK]> =
        data.chunks(128).take(4).filter_map(|contents| sealed(contents).try_into().ok()).collect();
    blocks.iter().try_for_each(check_block)?;
    let disk = MemoryDisk::new();
    let places = [superblock_offsets(0), superblock_offsets(1)].concat();
    let written = disk.create(FILE).and_then(|file| {
        let mut blocks = places.iter().zip(&blocks);
        blocks.try_for_each(|(place, block)| file.write_at(*place, block))
    });
    written.map_err(|error| error.to_string())?;
    match Slab::open(&disk) {
        Ok((_, superblock)) => {
            let known = blocks.iter().filter_map(|block| Superblock::decode(block).ok());
            let newest = known.max_by_key(|superblock| superblock.checkpoint);
            if newest.is_none_or(|newest| newest.checkpoint < superblock.checkpoint) {
                return Err("a superblock that nobody wrote".to_owned());
            }
            Ok(())
        }
        Err(
            StorageError::Corrupt { .. }
            | StorageError::Foreign { .. }
            | StorageError::OtherVersion { .. },
        ) => Ok(()),
        Err(error) => Err(format!("an error of another kind: {error}")),
    }
}

/// Contents of superblocks, four of a data file each.
pub fn superblock_seeds() -> Vec<Vec<u8>> {
    let superblock = Superblock {
        identity: [3; 16],
        checkpoint: 8,
        sequence: 1_000,
        next_tree: 99,
        extents: 12,
        meta_root: Some(Reference { grain: 300, length: 2_000, sum: 77 }),
        meta_entries: 5,
        least_length: 300,
    };
    let contents = |checkpoint, meta_root| {
        let mut bytes = Superblock { checkpoint, meta_root, ..superblock }.encode();
        bytes.truncate(128);
        bytes
    };
    let (newer, older) = (contents(8, superblock.meta_root), contents(7, None));
    vec![
        [&newer[..], &newer, &older, &older].concat(),
        [&newer[..], &[0; 128], &older].concat(),
        [&[0; 128], &newer[..], &[9; 128], &older].concat(),
        superblock.encode(),
    ]
}

/// Puts a superblock in its place, once.
pub(crate) fn write_superblock(file: &dyn DiskFile, superblock: &Superblock) -> io::Result<()> {
    let [first, _] = superblock_offsets(superblock.checkpoint);
    file.write_at(first, &superblock.encode())
}

fn check_block(block: &[u8; BLOCK]) -> Result<(), String> {
    match Superblock::decode(block) {
        Ok(superblock) => {
            let encoded: Option<[u8; BLOCK]> = superblock.encode().try_into().ok();
            let again = encoded.map(|block| Superblock::decode(&block));
            if again != Some(Ok(superblock)) || !Superblock::has_magic(block) {
                return Err("a superblock changes when it is written again".to_owned());
            }
            Ok(())
        }
        Err(NoSuperblock::Invalid | NoSuperblock::Version(_)) => Ok(()),
    }
}

fn sealed(contents: &[u8]) -> Vec<u8> {
    seal_block(contents.get(..BLOCK - 8).unwrap_or(contents).to_vec())
}
