//! The beginning of a feed: what is still to be read of it, and which changes are in what was read.
//!
//! A range is read in portions, each at a commit point of its own that is let go of with the portion: a client may ask for
//! the next one in an hour. A change is told when it came after the portion that its key is in. Of keys that are not read
//! yet no change is told, since their portion will be of a later commit point. Knows keys and commits, not how they are read.

use std::collections::VecDeque;

use crate::storage::{CommitSequence, Direction, KeyRange};
use crate::table::{Document, PrimaryKey};

/// What is still to be read of the beginning.
pub(super) enum Initial {
    /// One document, there or not.
    Point(Option<Document>),
    /// The documents of a range, in this direction.
    Range(KeyRange, Direction),
    /// The rows of a system table.
    Rows(VecDeque<Document>),
}

/// At which commit points keys were read.
#[derive(Debug)]
pub(super) struct Contained {
    direction: Direction,
    /// The last key of each portion but the last, in the order in which they were read, and its commit point. As long as
    /// the feed begins there is one for each batch that the client has got, which is longer.
    portions: Vec<(PrimaryKey, CommitSequence)>,
    /// The commit point of all other keys, once they were read.
    rest: Option<CommitSequence>,
}

impl Contained {
    /// All keys as of this commit.
    pub(super) fn up_to(sequence: CommitSequence) -> Contained {
        Contained { direction: Direction::Forward, portions: Vec::new(), rest: Some(sequence) }
    }

    /// No key yet; they will be read in this direction.
    pub(super) fn nothing(direction: Direction) -> Contained {
        Contained { direction, portions: Vec::new(), rest: None }
    }

    /// All keys up to this one were read, those behind the last portion as of this commit.
    pub(super) fn add(&mut self, last: PrimaryKey, sequence: CommitSequence) {
        match self.portions.last_mut() {
            Some(portion) if portion.1 == sequence => portion.0 = last,
            _ => self.portions.push((last, sequence)),
        }
    }

    /// So were all others.
    pub(super) fn add_rest(&mut self, sequence: CommitSequence) {
        self.rest = Some(sequence);
    }

    /// Whether a change is in what was read, or will be.
    pub(super) fn has(&self, key: &PrimaryKey, sequence: CommitSequence) -> bool {
        let is_before = |(last, _): &(PrimaryKey, CommitSequence)| match self.direction {
            Direction::Forward => last < key,
            Direction::Backward => last > key,
        };
        let portion = self.portions.get(self.portions.partition_point(is_before));
        let read = portion.map(|(_, read)| *read).or(self.rest);
        read.is_none_or(|read| sequence <= read)
    }

    /// All changes from now on come after this one.
    pub(super) fn forget_before(&mut self, sequence: Option<CommitSequence>) {
        // The last portion is of the latest commit point.
        if self.rest < sequence && self.rest.is_some() {
            self.portions = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datum::Datum;

    #[test]
    fn a_change_is_contained_when_it_came_before_the_portion_of_its_key_was_read() {
        let key = |number: f64| PrimaryKey::encode(&Datum::Number(number)).unwrap();
        for direction in [Direction::Forward, Direction::Backward] {
            let place = |place: f64| match direction {
                Direction::Forward => key(place),
                Direction::Backward => key(-place),
            };
            let mut contained = Contained::nothing(direction);
            let has = |contained: &Contained, at: f64, sequence: u64| {
                contained.has(&place(at), CommitSequence(sequence))
            };
            assert!(has(&contained, 1.0, 99), "it will be read");
            contained.add(place(10.0), CommitSequence(5));
            contained.add(place(15.0), CommitSequence(5));
            contained.add(place(20.0), CommitSequence(7));
            for (at, sequence) in [(1.0, 5), (15.0, 5), (15.5, 7), (20.0, 7), (21.0, 99)] {
                assert!(has(&contained, at, sequence), "{at} {sequence}");
            }
            for (at, sequence) in [(1.0, 6), (15.0, 6), (15.5, 8), (20.0, 8)] {
                assert!(!has(&contained, at, sequence), "{at} {sequence}");
            }
            contained.add_rest(CommitSequence(9));
            assert!(has(&contained, 21.0, 9) && !has(&contained, 21.0, 10));
            contained.forget_before(Some(CommitSequence(9)));
            assert!(!has(&contained, 1.0, 6));
            contained.forget_before(Some(CommitSequence(10)));
            assert!(!has(&contained, 1.0, 11) && contained.portions.is_empty());
        }
    }
}
