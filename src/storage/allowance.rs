//! How much a thread that must not wait may still read from the memory of the operating system. Such a read does not
//! wait for a device, but it copies and sums what it reads, and a network worker that does so serves nobody else.
//! Knows threads and bytes; not what is read, nor for whom.

use std::cell::Cell;

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Gives this thread so many bytes to read with [`ReadMode::CachedOnly`](super::ReadMode::CachedOnly), in place of what
/// it had left. A thread that was never given any reads none.
pub fn allow_reads_at_once(bytes: usize) {
    BYTES.set(bytes);
}

/// Takes so many bytes of what this thread may read. False when it has not so many left.
pub(super) fn take(bytes: usize) -> bool {
    let left = BYTES.get().checked_sub(bytes);
    left.map(|left| BYTES.set(left)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_takes_no_more_than_it_was_given() {
        assert!(!take(1) && take(0));
        allow_reads_at_once(10);
        assert!(take(4) && !take(7) && take(6) && !take(1));
        allow_reads_at_once(3);
        allow_reads_at_once(2);
        assert!(!take(3) && take(2));
    }

    #[test]
    fn what_one_thread_was_given_no_other_one_takes() {
        allow_reads_at_once(10);
        assert!(!std::thread::spawn(|| take(1)).join().unwrap());
        assert!(take(10));
    }
}
