//! See `photondb::fuzzing::check_superblock`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| photondb_fuzz::run(photondb::fuzzing::check_superblock, data));
