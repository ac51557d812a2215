//! Values that are kept outside of their leaf. `docs/storage-format.md` has the bytes.
//! Knows slots; must not know leaves.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::build::PutImage;
use super::{Sink, Source};
use crate::limits::STORAGE_VALUE_BYTES;
use crate::storage::ledger::{Account, Charge, allocated_shared};
use crate::storage::slab::{
    EXTENT, REFERENCE_BYTES, Reference, Slab, decode_reference, encode_reference,
};
use crate::storage::{ReadMode, StorageError};

/// Above this a value is kept outside of its leaf.
pub(super) const SHORT_VALUE: usize = 4_096;

/// A long value, in memory until a checkpoint has stored it. Shared by all versions of the leaf that has it.
#[derive(Debug)]
pub(crate) struct LongValue {
    length: u64,
    /// Until it is stored, and what was stored is safe.
    fresh: Mutex<Option<Bytes>>,
    stored: OnceLock<Reference>,
    _charge: Charge,
}

impl LongValue {
    pub(super) fn fresh(bytes: Bytes, account: &Arc<Account>) -> Self {
        let length = bytes.len() as u64;
        let charge = Charge::new(account, allocated_shared::<Self>());
        Self { length, fresh: Mutex::new(Some(bytes)), stored: OnceLock::new(), _charge: charge }
    }

    pub(super) fn stored(length: u64, reference: Reference, account: &Arc<Account>) -> Self {
        let stored = OnceLock::new();
        // A cell that was just made is empty.
        let _ = stored.set(reference);
        let charge = Charge::new(account, allocated_shared::<Self>());
        Self { length, fresh: Mutex::default(), stored, _charge: charge }
    }

    fn bytes(&self) -> Option<Bytes> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was stored is safe by now: it is read from there from now on.
    pub(super) fn let_go(&self) {
        if self.reference().is_some() {
            drop(self.fresh.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Bytes of it.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn reference(&self) -> Option<Reference> {
        self.stored.get().copied()
    }

    pub(super) fn read(&self, source: &dyn Source, mode: ReadMode) -> Result<Bytes, StorageError> {
        match (self.bytes(), self.reference()) {
            (Some(bytes), _) => Ok(bytes),
            (None, Some(reference)) => source.long_value(reference, self.length, mode),
            (None, None) => Err(StorageError::corrupt("a long value", "it is nowhere")),
        }
    }

    /// Gives it slots, unless it has them.
    pub(super) fn store(&self, tree: u64, sink: &dyn Sink) -> Result<(), StorageError> {
        let (Some(bytes), None) = (self.bytes(), self.reference()) else { return Ok(()) };
        let mut parts = Vec::new();
        let mut store_part = |part: &[u8]| {
            let reference = sink.store_part(tree, part)?;
            parts.push(reference);
            Ok(reference)
        };
        let reference = match store_long(&bytes, &mut store_part) {
            Ok(reference) => reference,
            Err(error) => {
                parts.into_iter().for_each(|part| sink.discard(part));
                return Err(error);
            }
        };
        // Only the one checkpoint that is being written sets it.
        let _ = self.stored.set(reference);
        Ok(())
    }

    /// Releases its slots. When the list of its parts cannot be read, their slots stay in use for nothing: the error is
    /// returned after everything else was done, and says what was left. Nothing else depends on it.
    pub(crate) fn release(&self, slab: &Slab) -> Result<Option<StorageError>, StorageError> {
        match self.parts(slab) {
            Ok(parts) => {
                parts.into_iter().try_for_each(|part| slab.release(part))?;
                Ok(None)
            }
            Err(error) => {
                self.reference().map_or(Ok(()), |list| slab.release(list))?;
                Ok(Some(error))
            }
        }
    }

    /// All images of it in the data file; none while it was not stored.
    pub(crate) fn parts(&self, slab: &Slab) -> Result<Vec<Reference>, StorageError> {
        let Some(reference) = self.reference() else { return Ok(Vec::new()) };
        if self.length <= EXTENT {
            return Ok(vec![reference]);
        }
        let mut parts = read_list(slab, reference, self.length)?;
        parts.push(reference);
        Ok(parts)
    }
}

/// Puts the images of a long value and returns the one that its leaf refers to.
pub(super) fn store_long(value: &[u8], put: PutImage<'_>) -> Result<Reference, StorageError> {
    if value.len() as u64 <= EXTENT {
        return put(value);
    }
    let mut list = Vec::new();
    for part in value.chunks(EXTENT as usize) {
        list.extend_from_slice(&encode_reference(Some(put(part)?)));
    }
    put(&list)
}

/// Reads a long value from the data file.
pub(crate) fn read_long_value(
    slab: &Slab,
    reference: Reference,
    length: u64,
) -> Result<Bytes, StorageError> {
    if length <= EXTENT {
        return slab.read(reference);
    }
    if length > STORAGE_VALUE_BYTES as u64 {
        return Err(StorageError::corrupt("a long value", format!("it has {length} bytes")));
    }
    let mut value = Vec::with_capacity(length as usize);
    for part in read_list(slab, reference, length)? {
        value.extend_from_slice(&slab.read(part)?);
    }
    if value.len() as u64 != length {
        let problem = format!("it has {} bytes, not {length}", value.len());
        return Err(StorageError::corrupt("a long value", problem));
    }
    Ok(Bytes::from(value))
}

fn read_list(
    slab: &Slab,
    reference: Reference,
    length: u64,
) -> Result<Vec<Reference>, StorageError> {
    let list = slab.read(reference)?;
    let (references, rest) = list.as_chunks::<REFERENCE_BYTES>();
    let parts: Option<Vec<_>> = references.iter().map(decode_reference).collect();
    match parts {
        Some(parts) if rest.is_empty() && parts.len() as u64 == length.div_ceil(EXTENT) => {
            Ok(parts)
        }
        _ => Err(StorageError::corrupt("a long value", "the list of its parts is damaged")),
    }
}
