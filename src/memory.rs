//! What the process has of memory, and what a thread has taken of it. Knows the allocator of the binary and Linux'
//! files; not what memory is needed for.

use std::cell::Cell;
use std::fs;

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use tikv_jemalloc_ctl::{epoch, stats};

thread_local! {
    /// The allocator's counters of this thread: bytes it took, bytes it gave back.
    static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> =
        Option::zip(allocatedp::read().ok(), deallocatedp::read().ok());
    /// What of that is not for what the thread is at.
    static FOR_OTHERS: Cell<u64> = const { Cell::new(0) };
}

/// Bytes that this thread has taken from the allocator more than it has given back, modulo 2^64: only differences mean
/// something. Costs next to nothing. What is said to be for others does not count, nor anything where the allocator is not
/// that of the binary.
pub fn taken_by_thread() -> u64 {
    let taken = COUNTERS.with(|counters| match counters {
        Some((taken, given_back)) => taken.get().wrapping_sub(given_back.get()),
        None => 0,
    });
    taken.wrapping_sub(FOR_OTHERS.get())
}

/// Of what this thread takes, so many bytes are kept by something that has its own count, as a cache; a negative number
/// has been given back of that.
pub fn takes_for_others(bytes: i64) {
    FOR_OTHERS.set(FOR_OTHERS.get().wrapping_add_signed(bytes));
}

/// Bytes that the allocator of the binary has given to the process and not got back, each as large as it made it; 0
/// where the allocator is another. Takes some microseconds.
pub fn allocated() -> u64 {
    // Its numbers are those of the moment when somebody last asked for newer ones.
    let _ = epoch::advance();
    stats::allocated::read().map_or(0, |bytes| bytes as u64)
}

/// Bytes of the machine's memory that the process has; `None` when the system does not tell. Takes some microseconds.
pub fn resident() -> Option<u64> {
    resident_of(&fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_has_is_read_from_the_system() {
        let status = "Name:\tphotondb\nVmHWM:\t   20000 kB\nVmRSS:\t   12700 kB\nThreads:\t3\n";
        assert_eq!(resident_of(status), Some(12_700 * 1024));
        assert_eq!(resident_of("Name:\tphotondb\n"), None);
        assert_eq!(resident_of("VmRSS:\tmuch\n"), None);
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn what_another_allocator_gives_is_not_told() {
        let held = vec![1_u8; 64 << 20];
        assert!(allocated() < 64 << 20);
        assert_eq!(held.len(), 64 << 20);
    }

    #[test]
    fn what_is_taken_for_others_does_not_count() {
        let before = taken_by_thread();
        takes_for_others(100);
        assert_eq!(before.wrapping_sub(taken_by_thread()), 100);
        takes_for_others(-100);
        assert_eq!(taken_by_thread(), before);
    }

    #[test]
    fn another_allocator_is_not_counted() {
        let before = taken_by_thread();
        let held = vec![1_u8; 1 << 20];
        assert_eq!(taken_by_thread(), before);
        assert_eq!(held.len(), 1 << 20);
    }
}
