//! Whether a store may write: it may not after a failure that leaves unknown what is on the disk, and takes no new
//! commits while the disk is full. Knows reasons; must not know files or threads.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StorageError;

/// The state of one store, shared by all that write its files.
#[derive(Debug, Default)]
pub struct Health {
    poison: OnceLock<String>,
    is_full: AtomicBool,
}

impl Health {
    /// Ends all writing for good, and says so in the log. Only the first cause counts.
    pub fn poison(&self, cause: &str) {
        if self.poison.set(cause.to_owned()).is_ok() {
            tracing::error!(
                "The storage engine stopped writing: {cause}. Reads go on. Mend the cause and restart the server."
            );
        }
    }

    /// The cause for which nothing may be written any more.
    pub fn cause(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// [`StorageError::Poisoned`] when nothing may be written any more.
    pub fn check(&self) -> Result<(), StorageError> {
        match self.cause() {
            None => Ok(()),
            Some(cause) => Err(StorageError::Poisoned { cause: cause.to_owned() }),
        }
    }

    /// The same, and [`StorageError::DiskFull`] while new commits have to wait for room on the disk.
    pub fn check_writable(&self) -> Result<(), StorageError> {
        self.check()?;
        if self.is_full() { Err(disk_full()) } else { Ok(()) }
    }

    /// Whether the disk was full when it was last asked.
    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Acquire)
    }

    /// Notes that there is no room on the disk, or that there is again. Says so in the log when that is new.
    pub fn set_full(&self, is_full: bool) {
        if self.is_full.swap(is_full, Ordering::AcqRel) == is_full {
            return;
        }
        if is_full {
            tracing::error!(
                "The disk of the data is full: writes are refused until there is room, reads go on"
            );
        } else {
            tracing::info!("The disk of the data has room again: writes go on");
        }
    }
}

fn disk_full() -> StorageError {
    StorageError::DiskFull { place: "the directory of the data".to_owned() }
}
