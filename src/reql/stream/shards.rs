//! Rows in the order in which RethinkDB gives those of a small table: shard by shard, or from one shard after the other
//! in turn. Knows the order alone, not what the rows are. Why: docs/decisions/0009-the-order-of-unordered-rows.md

use std::collections::VecDeque;

use crate::limits::HASH_ORDER_BYTES;
use crate::reql::error::Result;
use crate::table::PrimaryKey;

use super::batch::Pick;

/// Rows by their hash shard, each shard in its own order.
#[derive(Debug)]
pub struct Shards<T> {
    /// Those that had rows, in the order of their numbers.
    shards: Vec<VecDeque<T>>,
    /// Rows that were taken in turn and not given yet.
    turn: VecDeque<T>,
}

impl<T> Default for Shards<T> {
    fn default() -> Self {
        Shards { shards: Vec::new(), turn: VecDeque::new() }
    }
}

impl<T> Shards<T> {
    /// Puts rows into their shards; each comes with the number of its shard.
    pub fn new(rows: impl IntoIterator<Item = (usize, T)>) -> Self {
        let mut shards: Vec<VecDeque<T>> = Vec::new();
        for (shard, row) in rows {
            while shards.len() <= shard {
                shards.push(VecDeque::new());
            }
            if let Some(shard) = shards.get_mut(shard) {
                shard.push_back(row);
            }
        }
        shards.retain(|shard| !shard.is_empty());
        Shards { shards, turn: VecDeque::new() }
    }

    /// Reads rows to their end: each with its document's key and length. `None` when they are so long that they are
    /// better given as they come.
    pub fn gather(
        mut next: impl FnMut() -> Result<Option<(PrimaryKey, usize, T)>>,
    ) -> Result<Option<Self>> {
        let mut rows = Vec::new();
        let mut bytes = 0;
        while let Some((key, length, row)) = next()? {
            bytes += length;
            if bytes > HASH_ORDER_BYTES {
                return Ok(None);
            }
            rows.push((key.hash_shard(), row));
        }
        Ok(Some(Shards::new(rows)))
    }

    /// Whether there are no more rows.
    pub fn is_empty(&self) -> bool {
        self.turn.is_empty() && self.shards.iter().all(VecDeque::is_empty)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.turn.len() + self.shards.iter().map(VecDeque::len).sum::<usize>()
    }

    /// How many shards had rows.
    pub fn count(&self) -> usize {
        self.shards.len()
    }

    /// The next row. Those that come in turn are read so many of a shard at a time.
    pub fn next(&mut self, pick: Pick, at_a_time: usize) -> Option<T> {
        match pick {
            Pick::Shard(shard) => self.shards.get_mut(shard).and_then(VecDeque::pop_front),
            Pick::ByShard if self.turn.is_empty() => {
                self.shards.iter_mut().find_map(VecDeque::pop_front)
            }
            Pick::ByShard | Pick::InTurn => {
                if self.turn.is_empty() {
                    self.turn = self.round(at_a_time);
                }
                self.turn.pop_front()
            }
        }
    }

    /// What comes of reading so many rows of each shard and taking them in turn.
    pub fn round(&mut self, at_a_time: usize) -> VecDeque<T> {
        let part =
            |shard: &mut VecDeque<T>| shard.drain(..shard.len().min(at_a_time.max(1))).collect();
        in_turn(self.shards.iter_mut().map(part))
    }
}

/// One row of each shard, and then again. A shard that is found to have no more gives its place to the last one, which
/// has to wait for the next round then: so does RethinkDB.
pub(super) fn in_turn<T>(shards: impl Iterator<Item = VecDeque<T>>) -> VecDeque<T> {
    let mut active: Vec<VecDeque<T>> = shards.filter(|shard| !shard.is_empty()).collect();
    let mut turn = VecDeque::with_capacity(active.iter().map(VecDeque::len).sum());
    while !active.is_empty() {
        let mut place = 0;
        while let Some(shard) = active.get_mut(place) {
            match shard.pop_front() {
                Some(row) => turn.push_back(row),
                None => drop(active.swap_remove(place)),
            }
            place += 1;
        }
    }
    turn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards() -> Shards<u32> {
        // As RethinkDB has the keys 0 to 29.
        let numbers: [(usize, &[u32]); 7] = [
            (0, &[20]),
            (1, &[4, 25, 26, 27]),
            (2, &[5, 10, 11, 12, 16, 18, 28]),
            (3, &[3, 9, 14]),
            (4, &[0, 2, 15, 17, 29]),
            (5, &[1, 8, 13, 19, 21]),
            (7, &[6, 7, 22, 23, 24]),
        ];
        Shards::new(numbers.iter().flat_map(|(n, rows)| rows.iter().map(|row| (*n, *row))))
    }

    fn all(mut shards: Shards<u32>, pick: Pick, at_a_time: usize) -> Vec<u32> {
        let mut rows = Vec::new();
        while let Some(row) = shards.next(pick, at_a_time) {
            rows.push(row);
            assert_eq!(rows.len() + shards.len(), 30);
        }
        rows
    }

    #[test]
    fn rows_come_as_they_were_recorded() {
        let by_shard = [
            20, 4, 25, 26, 27, 5, 10, 11, 12, 16, 18, 28, 3, 9, 14, 0, 2, 15, 17, 29, 1, 8, 13, 19,
            21, 6, 7, 22, 23, 24,
        ];
        assert_eq!(all(shards(), Pick::ByShard, 500), by_shard);
        let in_turn = [
            20, 4, 5, 3, 0, 1, 6, 25, 10, 9, 2, 8, 7, 26, 11, 14, 15, 13, 22, 27, 12, 17, 23, 16,
            19, 24, 29, 18, 21, 28,
        ];
        assert_eq!(all(shards(), Pick::InTurn, 500), in_turn);
    }

    #[test]
    fn few_rows_at_a_time_are_taken_in_rounds() {
        let rows = all(shards(), Pick::InTurn, 1);
        assert_eq!(rows[..14], [20, 4, 5, 3, 0, 1, 6, 25, 10, 9, 2, 8, 7, 26]);
        assert_eq!(rows[29], 28);
    }
}
