//! How every target runs its check: what it returns as wrong ends the run, and so does taking more memory than any input
//! of that length should.

use std::alloc::System;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// What a check may take besides, in bytes: the caches and files of a small store.
const BYTES: usize = 64 << 20;
/// What it may take for each byte of input: a key of an inner node is given there by the end of it, a child of 30 bytes,
/// and takes two kilobytes in memory.
const FACTOR: usize = 256;

/// Runs a check, within bounds.
pub fn run(check: fn(&[u8]) -> Result<(), String>, data: &[u8]) {
    let most = ALLOCATOR.allocated() + BYTES + FACTOR * data.len();
    ALLOCATOR.set_limit(most).expect("it was more than what is taken");
    let checked = check(data);
    ALLOCATOR.set_limit(usize::MAX).expect("there is no greater number");
    if let Err(problem) = checked {
        panic!("{problem}");
    }
}
