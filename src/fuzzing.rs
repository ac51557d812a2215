//! The checks that the fuzz targets of `compat-tests/fuzz` run, and what they start from. Compiled for them and for tests only.
//! Each takes any bytes. A decoder gives a value or a typed error, and what it reads is written as the same value; what
//! clients send is answered, or refused with an error of the client's. What a check finds wrong it returns as a text; a
//! panic is a finding as well.

mod wire;

use crate::table::PrimaryKey;

pub use wire::{check_connection, connection_seeds};

pub use crate::datum::fuzzing::{check_document, document_seeds};
pub use crate::http::fuzzing::{check_http, http_seeds};
pub use crate::reql::fuzzing::{check_made_query, check_query, made_query_seeds, query_seeds};
pub use crate::storage::fuzzing::{
    check_node, check_records, check_segments, check_store, check_superblock, node_seeds,
    record_seeds, segment_seeds, store_seeds, superblock_seeds,
};

/// Reads bytes as a primary key. The value that it stands for has one key.
pub fn check_key(data: &[u8]) -> Result<(), String> {
    let Some(value) = PrimaryKey::from_stored(data).value() else { return Ok(()) };
    let Ok(key) = PrimaryKey::encode(&value) else { return Ok(()) };
    match key.value() {
        Some(again) if again == value => Ok(()),
        again => Err(format!("{value:?} comes back as {again:?}")),
    }
}

/// Primary keys of every kind.
pub fn key_seeds() -> Vec<Vec<u8>> {
    use crate::datum::Datum;
    let values = [
        Datum::Number(-1.5),
        Datum::Bool(true),
        Datum::string("text"),
        Datum::Binary(vec![0, 1, 2].into()),
        Datum::array(vec![Datum::Number(1.0), Datum::string("a"), Datum::array(Vec::new())]),
    ];
    let keys = values.iter().filter_map(|value| PrimaryKey::encode(value).ok());
    keys.map(|key| key.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    type Check = fn(&[u8]) -> Result<(), String>;

    /// As the fuzz targets do it for hours.
    fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[random.below(seeds.len() as u64) as usize].clone();
        for _ in 0..random.below(4) {
            let at = random.below(bytes.len() as u64 + 1) as usize;
            match random.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.splice(at..at, random.bytes(3)).for_each(drop),
                _ if at < bytes.len() => bytes[at] = random.next() as u8,
                _ => {}
            }
        }
        bytes
    }

    #[test]
    fn what_clients_send_is_answered_or_refused() {
        let mut random = Random::from_environment();
        let targets: [(Check, Vec<Vec<u8>>, usize); 4] = [
            (check_connection, connection_seeds(), 2_000),
            (check_query, query_seeds(), 1_000),
            (check_made_query, made_query_seeds(), 200),
            (check_http, http_seeds(), 300),
        ];
        for (check, seeds, times) in targets {
            seeds.iter().for_each(|seed| check(seed).unwrap());
            for _ in 0..times {
                let bytes = mutate(&mut random, &seeds);
                check(&bytes).unwrap_or_else(|problem| panic!("{problem}: {bytes:?}"));
            }
        }
    }

    #[test]
    fn damaged_parts_of_a_store_are_values_or_errors() {
        let mut random = Random::from_environment();
        let targets: [(Check, Vec<Vec<u8>>, usize); 7] = [
            (check_node, node_seeds(), 3_000),
            (check_records, record_seeds(), 3_000),
            (check_segments, segment_seeds(), 1_000),
            (check_superblock, superblock_seeds(), 500),
            (check_store, store_seeds().unwrap(), 200),
            (check_document, document_seeds(), 1_000),
            (check_key, key_seeds(), 3_000),
        ];
        for (check, seeds, times) in targets {
            seeds.iter().for_each(|seed| check(seed).unwrap());
            for _ in 0..times {
                let bytes = mutate(&mut random, &seeds);
                check(&bytes).unwrap_or_else(|problem| panic!("{problem}: {bytes:?}"));
            }
        }
    }
}
