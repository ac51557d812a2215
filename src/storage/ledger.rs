//! What changes take in memory until a checkpoint has written them: whatever is made for a change is charged to the
//! account of its epoch by an owner that takes the charge back when it is dropped, whoever drops it, and whenever.
//! Must not know what is charged, nor what follows from the sum.
//!
//! Bytes are counted as the allocator of the server rounds them, so that the sum is what the allocator has given.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// What the accounts of one store have in all.
#[derive(Debug, Default)]
struct Ledger {
    bytes: AtomicUsize,
}

/// What was made for changes in one epoch and is still there. Epochs are told apart by a number that grows with every
/// checkpoint that begins.
#[derive(Debug)]
pub(crate) struct Account {
    epoch: u64,
    bytes: AtomicUsize,
    ledger: Arc<Ledger>,
}

/// Some bytes of an account, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Charge {
    account: Arc<Account>,
    bytes: usize,
}

/// A piece of memory that is charged until the last part of it goes.
struct Block {
    bytes: Box<[u8]>,
    account: Arc<Account>,
}

impl Account {
    /// The first account of a store.
    pub(crate) fn first(epoch: u64) -> Arc<Self> {
        Arc::new(Self { epoch, bytes: AtomicUsize::new(0), ledger: Arc::default() })
    }

    /// The account of another epoch of the same store.
    pub(crate) fn of_epoch(&self, epoch: u64) -> Arc<Self> {
        let ledger = Arc::clone(&self.ledger);
        Arc::new(Self { epoch, bytes: AtomicUsize::new(0), ledger })
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Bytes of this account. They are a sum that is looked at; nothing else must be seen in order.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of all accounts of the store.
    pub(crate) fn bytes_of_all(&self) -> usize {
        self.ledger.bytes.load(Ordering::Relaxed)
    }

    /// Bytes as one piece of memory, which is charged until the last part of it goes.
    pub(crate) fn hold(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        let block = Block { bytes: bytes.into_boxed_slice(), account: Arc::clone(self) };
        self.add(block.weight());
        Bytes::from_owner(block)
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.ledger.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.ledger.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Charge {
    pub(crate) fn new(account: &Arc<Account>, bytes: usize) -> Self {
        account.add(bytes);
        Self { account: Arc::clone(account), bytes }
    }

    /// What is charged has become larger or smaller.
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.account.add(bytes - self.bytes);
        } else {
            self.account.subtract(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.subtract(self.bytes);
    }
}

impl Block {
    fn weight(&self) -> usize {
        // Beside its owner a shared piece of memory has a count of references, and how to drop it.
        allocated(self.bytes.len()) + allocated_shared::<Self>()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.account.subtract(self.weight());
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes of memory that an allocation of so many takes: allocators have four sizes to every doubling.
pub(crate) fn allocated(bytes: usize) -> usize {
    const LEAST: usize = 16;
    if bytes <= 4 * LEAST {
        return bytes.next_multiple_of(LEAST);
    }
    let step = bytes.next_power_of_two() / 8;
    bytes.next_multiple_of(step.max(LEAST))
}

/// The same for what is shared by counting references.
pub(crate) fn allocated_shared<T>() -> usize {
    const COUNTS: usize = 16;
    allocated(COUNTS + size_of::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_takes_one_of_four_sizes_to_every_doubling() {
        // As jemalloc lists them.
        let sizes = [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640];
        for bytes in 1..=640 {
            let expected = sizes.into_iter().find(|size| *size >= bytes);
            assert_eq!(Some(allocated(bytes)), expected, "{bytes}");
        }
        assert_eq!((allocated(0), allocated(14_337), allocated(16_385)), (0, 16_384, 20_480));
    }

    #[test]
    fn a_charge_counts_until_it_is_dropped() {
        let first = Account::first(1);
        let second = first.of_epoch(2);
        let mut charge = Charge::new(&first, 100);
        let other = Charge::new(&second, 7);
        assert_eq!((first.bytes(), second.bytes(), first.bytes_of_all()), (100, 7, 107));
        charge.set(40);
        charge.set(60);
        drop(other);
        assert_eq!((first.bytes(), second.bytes(), second.bytes_of_all()), (60, 0, 60));
        drop(charge);
        assert_eq!((first.bytes(), first.bytes_of_all()), (0, 0));
    }

    #[test]
    fn a_block_counts_until_its_last_part_goes() {
        let account = Account::first(1);
        let block = account.hold(vec![1; 10_000]);
        assert_eq!(account.bytes(), 10_240 + 48);
        let part = block.slice(5_000..5_001);
        drop(block);
        assert_eq!((account.bytes(), part.as_ref()), (10_240 + 48, [1].as_slice()));
        drop(part);
        assert_eq!(account.bytes(), 0);
        assert_eq!((account.hold(Vec::new()).len(), account.bytes()), (0, 0));
    }
}
