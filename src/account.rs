//! Accounts of bytes: how much of one kind the process holds, and how much it may. Whoever makes something that lives
//! for long charges it here, and the charge is taken back when it is dropped. Knows nothing of what is held, nor of what
//! happens when it is too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are held, and how many may be.
#[derive(Debug)]
pub struct Account {
    held: AtomicU64,
    most: AtomicU64,
}

impl Default for Account {
    /// One without a bound.
    fn default() -> Account {
        Account { held: AtomicU64::new(0), most: AtomicU64::new(u64::MAX) }
    }
}

impl Account {
    /// Bounds it from now on.
    pub fn set_most(&self, bytes: u64) {
        self.most.store(bytes, Ordering::Relaxed);
    }

    /// Bytes that may be held.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }

    /// Bytes that are held.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// True when more is held than may be.
    pub fn is_over(&self) -> bool {
        self.held() > self.most()
    }

    /// Charges so many bytes for as long as the result lives.
    pub fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        let mut charge = Charge { account: self.clone(), bytes: 0 };
        charge.set(bytes);
        charge
    }
}

/// Bytes that are charged to an account until this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    bytes: u64,
}

impl Charge {
    /// Bytes that are charged.
    pub fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Charges so many bytes instead.
    pub fn set(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        if bytes >= self.bytes {
            self.account.held.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.account.held.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_taken_back() {
        let account = Arc::new(Account::default());
        account.set_most(10);
        let mut first = account.charge(7);
        let second = account.charge(3);
        assert_eq!((account.held(), account.is_over()), (10, false));
        first.set(8);
        assert_eq!((account.held(), account.is_over()), (11, true));
        first.set(1);
        drop(second);
        assert_eq!((account.held(), first.bytes()), (1, 1));
        drop(first);
        assert_eq!(account.held(), 0);
    }
}
