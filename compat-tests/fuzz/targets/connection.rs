//! See `photondb::fuzzing::check_connection`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| photondb_fuzz::serve(photondb::fuzzing::check_connection, data));
