//! See `photondb::fuzzing::check_made_query`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| photondb_fuzz::serve(photondb::fuzzing::check_made_query, data));
