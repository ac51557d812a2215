//! The data file: images of any length up to an extent, in slots, each with a checksum that its reference carries.
//! Knows slots, extents and superblocks; must not know what an image holds, nor when a checkpoint is due.
//!
//! Reading takes no lock. Slots are taken and released by the one checkpoint that is being written, whose steps are:
//! [`Slab::store`] and [`Slab::release`] for what has changed, [`Slab::take_changes`] for the meta tree's records,
//! then [`Slab::commit`] with the new superblock. A slot that the last durable checkpoint refers to is never written.

mod audit;
mod class;
mod fill;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod map;
mod reference;
mod set;
mod space;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;

pub(crate) use self::audit::Audit;
pub(crate) use self::class::{EXTENT, GRAIN};
pub(crate) use self::fill::{Filler, slot_cost};
use self::reference::{NoSuperblock, VERSION, superblock_offsets};
pub(crate) use self::reference::{
    REFERENCE_BYTES, Reference, Superblock, decode_reference, encode_reference,
};
use self::space::Space;
pub(crate) use self::space::{Epoch, ExtentRecord, META};
use super::crossed::crossed;
use super::disk::{Disk, DiskFile, is_full};
use super::encoding::{BLOCK, checksum};
use super::{StorageError, allowance};
use crate::limits::{CHECKPOINT_SYNC_BYTES, PUNCHED_RANGES, READ_AHEAD_GAP_BYTES};
use crate::turns;

const FILE: &str = "slab.data";
const NEW_FILE: &str = "slab.data.new";

/// The data file of a store.
pub(crate) struct Slab {
    file: Box<dyn DiskFile>,
    space: Mutex<Space>,
    /// Whether a sync has failed.
    syncs: Mutex<bool>,
    /// Bytes that were stored since the last one, roughly.
    unsynced: AtomicU64,
    /// Bytes that were written, since the file was opened.
    written: AtomicU64,
    /// Whether the log has been told that a hole could not be made.
    refuses_holes: AtomicBool,
}

/// Whether the directory has a data file.
pub(crate) fn exists(disk: &dyn Disk) -> Result<bool, StorageError> {
    let names = disk.list().map_err(|error| StorageError::io("reading the directory", error))?;
    Ok(names.iter().any(|name| name == FILE))
}

/// Makes a data file with nothing in it, safe under its name when this returns.
pub(crate) fn create(disk: &dyn Disk, superblock: &Superblock) -> Result<(), StorageError> {
    let make = || {
        let file = disk.create(NEW_FILE)?;
        file.set_length(EXTENT)?;
        for offset in superblock_offsets(superblock.checkpoint) {
            file.write_at(offset, &superblock.encode())?;
        }
        file.sync()?;
        disk.rename(NEW_FILE, FILE)?;
        disk.sync_directory()
    };
    make().map_err(|error| StorageError::io(FILE, error))
}

impl Slab {
    /// Opens the data file with the newer of its superblocks. Which slots are in use is told to it afterwards, by
    /// [`Slab::restore`] and [`Slab::restore_meta`], up to [`Slab::finish_restoring`].
    pub(crate) fn open(disk: &dyn Disk) -> Result<(Self, Superblock), StorageError> {
        let file = disk.open(FILE).map_err(|error| StorageError::io(FILE, error))?;
        let superblock = newest_superblock(&*file)?;
        let length = file.length().map_err(|error| StorageError::io(FILE, error))?;
        if length < superblock.least_length {
            let least = superblock.least_length;
            let problem =
                format!("it has {length} bytes, its superblock says at least {least} (rule 15)");
            return Err(StorageError::corrupt(FILE, problem));
        }
        Ok((
            Self {
                file,
                space: Mutex::new(Space::new()),
                syncs: Mutex::default(),
                unsynced: AtomicU64::new(0),
                written: AtomicU64::new(0),
                refuses_holes: AtomicBool::new(false),
            },
            superblock,
        ))
    }

    /// Makes safe what was read by [`Slab::open`]. The superblock was written by a process that may have ended before it
    /// was synced, or because the sync failed: then the system has it in memory, takes it for written, and a sync alone
    /// would do nothing. All that it refers to had been synced before.
    pub(crate) fn make_safe(
        &self,
        disk: &dyn Disk,
        superblock: &Superblock,
    ) -> Result<(), StorageError> {
        let write_again = || {
            let [first, second] = superblock_offsets(superblock.checkpoint);
            self.file.write_at(first, &superblock.encode())?;
            // A file that was made before there were two has perhaps no room for another.
            match self.file.write_at(second, &superblock.encode()) {
                Err(error) if !is_full(&error) => return Err(error),
                _ => {}
            }
            self.file.sync()?;
            disk.sync_directory()
        };
        write_again().map_err(|error| StorageError::io(FILE, error))
    }

    /// The image that is referred to, when it is what it must be.
    pub(crate) fn read(&self, reference: Reference) -> Result<Bytes, StorageError> {
        let is_wanted = turns::is_wanted();
        if is_wanted {
            match self.read_from_memory(reference) {
                Err(StorageError::NotResident) => {}
                read => return read,
            }
        }
        // While a device is waited for, others have the processor.
        let _pause = is_wanted.then(turns::pause);
        self.read_with(reference, |offset, length| {
            let mut image = Vec::with_capacity(length);
            self.file.append_to(offset, length, &mut image)?;
            Ok(image)
        })
    }

    /// The same without waiting for a device: `NotResident` when the system does not have the image in memory, or when
    /// this thread has read as much as it may.
    pub(crate) fn read_at_once(&self, reference: Reference) -> Result<Bytes, StorageError> {
        if !allowance::take(reference.length as usize) {
            return Err(StorageError::NotResident);
        }
        self.read_from_memory(reference)
    }

    fn read_from_memory(&self, reference: Reference) -> Result<Bytes, StorageError> {
        self.read_with(reference, |offset, length| {
            let mut image = vec![0; length];
            self.file.read_at_once(offset, &mut image)?;
            Ok(image)
        })
    }

    /// Lets the device begin to read images that will be asked for soon. Those that lie close together are read in one
    /// piece, together with what is between them.
    pub(crate) fn will_read(&self, images: Vec<Reference>) {
        for piece in pieces(images) {
            self.file.will_read(piece.start, piece.end - piece.start);
        }
    }

    fn read_with(
        &self,
        reference: Reference,
        read: impl FnOnce(u64, usize) -> io::Result<Vec<u8>>,
    ) -> Result<Bytes, StorageError> {
        let place = || format!("{FILE} at {}", reference.offset());
        if u64::from(reference.length) > EXTENT {
            let problem = format!("an image of {} bytes (rule 4)", reference.length);
            return Err(StorageError::corrupt(place(), problem));
        }
        let image = match read(reference.offset(), reference.length as usize) {
            Ok(image) => image,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Err(StorageError::NotResident),
                io::ErrorKind::UnexpectedEof => {
                    let problem = "the file ends before it (rule 4)";
                    return Err(StorageError::corrupt(place(), problem));
                }
                _ => return Err(StorageError::io(place(), error)),
            },
        };
        let sum = checksum(&image);
        if sum != reference.sum {
            let problem =
                format!("its checksum is {sum:016x}, not {:016x} (rule 4)", reference.sum);
            return Err(StorageError::corrupt(place(), problem));
        }
        Ok(Bytes::from(image))
    }

    /// Writes an image into a free slot. It is safe after [`Slab::commit`].
    pub(crate) fn store(&self, tree: u64, image: &[u8]) -> Result<Reference, StorageError> {
        let grain = self.space().take(tree, image.len() as u64);
        let Some(grain) = grain else {
            let problem = format!("no slot has {} bytes", image.len());
            return Err(StorageError::corrupt(FILE, problem));
        };
        if let Err(error) = self.file.write_at(grain * GRAIN, image) {
            self.space().untake(grain);
            return Err(StorageError::io(FILE, error));
        }
        self.written.fetch_add(image.len() as u64, Ordering::Relaxed);
        let unsynced = self.unsynced.fetch_add(image.len() as u64, Ordering::Relaxed);
        if unsynced + image.len() as u64 >= CHECKPOINT_SYNC_BYTES {
            crossed("CHECKPOINT_SYNC_BYTES");
            self.sync()?;
        }
        Ok(Reference { grain, length: image.len() as u32, sum: checksum(image) })
    }

    /// Makes free at once what was stored by the checkpoint being written, and to which nothing refers.
    pub(crate) fn discard(&self, reference: Reference) {
        self.space().untake(reference.grain);
    }

    /// A checkpoint of this epoch was given up. What it has released is released by the next one, and is free when nobody
    /// holds that epoch or this one any more.
    pub(crate) fn give_up(&self, epoch: Weak<Epoch>) {
        self.space().give_up(epoch);
    }

    /// The checkpoint being written does without this image.
    pub(crate) fn release(&self, reference: Reference) -> Result<(), StorageError> {
        if self.space().release(reference) {
            return Ok(());
        }
        let place = format!("{FILE} at {}", reference.grain.saturating_mul(GRAIN));
        Err(StorageError::corrupt(place, "a slot that is not in use was referred to (rule 12)"))
    }

    /// The checkpoint being written does without anything of this tree.
    pub(crate) fn release_tree(&self, tree: u64) {
        self.space().release_tree(tree);
    }

    /// What the meta tree has to say anew of extents.
    pub(crate) fn take_changes(&self) -> Vec<(u64, Option<ExtentRecord>)> {
        self.space().take_changes()
    }

    /// Makes everything that was stored safe, and then the superblock that refers to it. `extents` and `least_length` of it are set here.
    /// After an error nothing may be written any more, unless it was [`StorageError::DiskFull`]. What was released is free once the epoch is not held any more.
    pub(crate) fn commit(
        &self,
        mut superblock: Superblock,
        epoch: Weak<Epoch>,
    ) -> Result<(), StorageError> {
        {
            let space = self.space();
            superblock.extents = space.end();
            superblock.least_length = space.least_length();
        }
        let write = || {
            let [first, second] = superblock_offsets(superblock.checkpoint);
            self.file.write_at(first, &superblock.encode())?;
            self.file.write_at(second, &superblock.encode())
        };
        self.sync()?;
        write().map_err(|error| StorageError::io(FILE, error))?;
        self.written.fetch_add(2 * BLOCK as u64, Ordering::Relaxed);
        self.sync()?;
        self.space().seal(epoch);
        Ok(())
    }

    /// Makes everything safe that was written before. A system tells of a failure only once, and to whoever asks first;
    /// therefore one after another asks, and after one failure all others fail.
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        let mut has_failed = self.syncs.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = match *has_failed {
            true => Err(io::Error::other("an earlier sync has failed")),
            false => self.file.sync(),
        };
        *has_failed = synced.is_err();
        self.unsynced.store(0, Ordering::Relaxed);
        synced.map_err(|error| StorageError::io(FILE, error))
    }

    /// An extent for a load, which has it for itself until it is adopted or given back.
    pub(crate) fn lend(&self) -> u64 {
        self.space().lend()
    }

    /// Takes back lent extents, to which nobody writes any more.
    pub(crate) fn take_back(&self, extents: Vec<u64>) {
        self.space().take_back(extents);
    }

    /// Writes an extent that is lent, from its start.
    pub(crate) fn write_extent(&self, extent: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let written = self.file.write_at(extent * EXTENT, bytes);
        written.map_err(|error| StorageError::io(FILE, error))
    }

    /// Lends extents that the log says were lent when it was written. The error names the broken rule.
    pub(crate) fn lend_again(&self, extents: &[(u64, ExtentRecord)]) -> Result<(), StorageError> {
        let length = self.file.length().map_err(|error| StorageError::io(FILE, error))?;
        let mut space = self.space();
        let ends = length.div_ceil(EXTENT);
        let lent =
            extents.iter().try_for_each(|(extent, record)| space.lend_again(*extent, record, ends));
        lent.map_err(|problem| StorageError::corrupt(FILE, problem))
    }

    /// The checkpoint being written has what was put into these extents, which were lent.
    pub(crate) fn adopt(&self, extents: &[(u64, ExtentRecord)]) -> Result<(), StorageError> {
        let mut space = self.space();
        let adopted = extents.iter().try_for_each(|(extent, record)| space.adopt(*extent, record));
        adopted.map_err(|problem| StorageError::corrupt(FILE, problem))
    }

    /// Makes free what may be overwritten by now. Returns the first grains of the slots: nobody reads what is there. Must
    /// not run beside the writing of a checkpoint, which could take such a slot again.
    pub(crate) fn reclaim(&self) -> Vec<u64> {
        let grains = self.space().reclaim();
        self.cut();
        grains
    }

    /// Whether what snapshots keep of slots that are not in use any more is much, beside those that are.
    pub(crate) fn is_much_pinned(&self) -> bool {
        self.space().is_much_pinned()
    }

    /// Gives back to the file system the room of what is free, until there is nothing left or `goes_on` is false: a file
    /// system may take milliseconds for each range. Must not run beside the writing of a checkpoint, which takes slots.
    /// What the file system refuses to take stays as it is, and can be used again.
    pub(crate) fn give_back(&self, goes_on: &dyn Fn() -> bool) {
        let extents = self.space().take_roomy(PUNCHED_RANGES);
        let ranges: Vec<_> = extents.iter().map(|number| (number * EXTENT, EXTENT)).collect();
        let given = self.punch(&ranges, goes_on);
        let (empty, roomy) = extents.split_at(given);
        self.space().put_back(empty, roomy);
        let surplus = self.space().surplus();
        let given = self.punch(&surplus, goes_on);
        self.space().keep(surplus.get(given..).unwrap_or_default());
        self.cut();
    }

    /// Gives back ranges of the file, and returns how many of them.
    fn punch(&self, ranges: &[(u64, u64)], goes_on: &dyn Fn() -> bool) -> usize {
        for (done, (offset, length)) in ranges.iter().enumerate() {
            if !goes_on() {
                return done;
            }
            if let Err(error) = self.file.punch_hole(*offset, *length) {
                // It is tried again every second.
                if !self.refuses_holes.swap(true, Ordering::Relaxed) {
                    tracing::warn!("{FILE} does not give back the room of what is free: {error}");
                }
                return done;
            }
        }
        ranges.len()
    }

    /// Cuts the file behind the last extent that somebody has.
    fn cut(&self) {
        // The lock is held until the file has been cut, since a load may take an extent there.
        let mut space = self.space();
        space.cut();
        let length = space.end() * EXTENT;
        let cut = || match self.file.length()? > length {
            true => self.file.set_length(length),
            false => Ok(()),
        };
        if let Err(error) = cut() {
            tracing::warn!("{FILE} cannot be cut: {error}");
        }
    }

    /// The length that the file has with the extents in use.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.space().end() * EXTENT
    }

    /// Bytes of the extents that somebody has.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.space().used() * EXTENT
    }

    /// Bytes that the file takes of the disk, where the system says so.
    pub(crate) fn allocated_bytes(&self) -> Option<u64> {
        self.file.allocated()
    }

    /// Bytes that were written since the file was opened.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// When the first of the checkpoints was done that a snapshot from before it has outlived.
    pub(crate) fn oldest_reader(&self) -> Option<Instant> {
        self.space().oldest_reader()
    }

    /// The bytes of all extents that a tree has.
    pub(crate) fn tree_bytes(&self, tree: u64) -> u64 {
        self.space().extents_of(tree) * EXTENT
    }

    /// Bytes of memory that the maps of the file take.
    pub(crate) fn map_bytes(&self) -> usize {
        self.space().map_bytes()
    }

    /// Whether something waits to be free that a snapshot may hold.
    pub(crate) fn has_waiting(&self) -> bool {
        self.space().has_waiting()
    }

    /// Puts in what the meta tree says of an extent.
    pub(crate) fn restore(&self, extent: u64, record: &ExtentRecord) -> Result<(), StorageError> {
        let restored = self.space().restore(extent, record);
        restored.map_err(|problem| StorageError::corrupt(FILE, problem))
    }

    /// Puts in an image of the meta tree itself.
    pub(crate) fn restore_meta(&self, reference: Reference) -> Result<(), StorageError> {
        let restored = self.space().restore_meta(reference);
        restored.map_err(|problem| StorageError::corrupt(FILE, problem))
    }

    /// Everything in use has been put in.
    pub(crate) fn finish_restoring(&self) {
        self.space().finish_restoring();
    }

    /// A comparison of what is in use with what is referred to.
    pub(crate) fn audit(&self) -> Audit {
        Audit::new(&self.space())
    }

    /// The live slots, as (tree, first grain).
    #[cfg(test)]
    pub(crate) fn live(&self) -> std::collections::BTreeSet<(u64, u64)> {
        self.space().live()
    }

    // A panic while the lock is held leaves at worst a slot that nobody uses.
    fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where images are in the file; those that lie close together are one piece.
fn pieces(mut images: Vec<Reference>) -> Vec<Range<u64>> {
    images.sort_unstable_by_key(|image| image.grain);
    let mut pieces: Vec<Range<u64>> = Vec::new();
    for image in images {
        let start = image.offset();
        let end = start.saturating_add(u64::from(image.length));
        match pieces.last_mut() {
            Some(last) if start <= last.end.saturating_add(READ_AHEAD_GAP_BYTES) => last.end = end,
            _ => pieces.push(start..end),
        }
    }
    pieces
}

/// Rules 1 and 2 of the format.
fn newest_superblock(file: &dyn DiskFile) -> Result<Superblock, StorageError> {
    let io = |error| StorageError::io(FILE, error);
    let length = file.length().map_err(io)?;
    let mut found: Option<Superblock> = None;
    let mut is_ours = false;
    let places = [0, 1].map(|checkpoint| superblock_offsets(checkpoint).map(|at| (checkpoint, at)));
    for (checkpoint, offset) in places.into_iter().flatten() {
        let mut block = [0; BLOCK];
        if offset + BLOCK as u64 > length {
            continue;
        }
        file.read_at(offset, &mut block).map_err(io)?;
        is_ours |= Superblock::has_magic(&block);
        match Superblock::decode(&block) {
            Ok(block) if block.checkpoint % 2 == checkpoint => {
                let is_newer = found.is_none_or(|other| other.checkpoint < block.checkpoint);
                found = if is_newer { Some(block) } else { found };
            }
            Ok(_) | Err(NoSuperblock::Invalid) => {}
            Err(NoSuperblock::Version(version)) => {
                return Err(StorageError::OtherVersion {
                    place: FILE.to_owned(),
                    found: version,
                    known: VERSION,
                });
            }
        }
    }
    match found {
        Some(superblock) => Ok(superblock),
        None if is_ours => Err(StorageError::corrupt(FILE, "it has no valid superblock (rule 1)")),
        None => Err(StorageError::Foreign {
            place: FILE.to_owned(),
            problem: "it does not begin as such a file does".to_owned(),
        }),
    }
}
