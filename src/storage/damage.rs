//! The damage that reads have met: each place once, as long as the tree is there that has it. Whoever meets damage tells
//! its caller with an error; this is for those who watch over the server and ran no query.
//! Knows trees and places; must not know tables, nor who is told.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::crossed::crossed;
use super::{StorageError, TreeId};
use crate::limits::DAMAGED_PLACES;

/// Something that could not be read because it is damaged, or because the device has lost it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The tree that has it.
    pub tree: TreeId,
    /// The file and the offset, or the document.
    pub place: String,
    /// What is wrong there.
    pub problem: String,
    /// Which entries of the tree cannot be read because of it.
    pub lost: Lost,
}

/// The entries that cannot be read because of a damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// It is not known which.
    Unknown,
    /// The one with this key.
    Entry(Bytes),
    /// All between two entries that can be read, of which one is missing where the tree has no other.
    Between {
        /// The key of the last entry before them.
        after: Option<Bytes>,
        /// The key of the first entry behind them.
        before: Option<Bytes>,
        /// How many they are.
        entries: u64,
    },
}

/// What was met so far.
#[derive(Debug, Default)]
pub(crate) struct Damages {
    places: Mutex<Vec<Place>>,
    reads: AtomicU64,
}

#[derive(Debug)]
struct Place {
    damage: Damage,
    kind: Kind,
}

/// What a damage is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A node whose image has this first grain. Nobody has looked which entries it has.
    NewNode(u64),
    Node,
    /// A value that is kept outside of its leaf.
    Value,
    /// Of what the bytes mean.
    Meaning,
}

/// Looks into the trees that there are, and notes nothing.
pub(crate) trait Look {
    /// Whether the tree is there.
    fn has_tree(&self, tree: TreeId) -> bool;

    /// Which entries are lost with the node that has this first grain.
    fn lost_with(&self, tree: TreeId, grain: u64) -> Lost;

    /// Whether there is an entry, with a value that cannot be read.
    fn is_damaged(&self, tree: TreeId, key: &[u8]) -> bool;

    /// Whether there is an entry.
    fn has_entry(&self, tree: TreeId, key: &[u8]) -> bool;
}

impl Damages {
    /// Notes that the image of a node could not be read, if that is what the error says.
    pub(crate) fn note_node(&self, tree: u64, grain: u64, error: &StorageError) {
        if let Some((place, problem)) = told(error) {
            let damage = Damage { tree: TreeId(tree), place, problem, lost: Lost::Unknown };
            self.note(damage, Kind::NewNode(grain));
        }
    }

    /// Notes that the value of an entry could not be read, if that is what the error says.
    pub(crate) fn note_value(&self, tree: u64, key: &[u8], error: &StorageError) {
        if let Some((place, problem)) = told(error) {
            let lost = Lost::Entry(Bytes::copy_from_slice(key));
            self.note(Damage { tree: TreeId(tree), place, problem, lost }, Kind::Value);
        }
    }

    /// Notes that what was read has no meaning, although it is as it was written.
    pub(crate) fn note_meaning(&self, damage: Damage) {
        self.note(damage, Kind::Meaning);
    }

    fn note(&self, damage: Damage, kind: Kind) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut places = self.places();
        let is_same =
            |known: &Place| known.damage.tree == damage.tree && known.damage.place == damage.place;
        if places.iter().any(is_same) {
            return;
        }
        if places.len() >= DAMAGED_PLACES {
            crossed("DAMAGED_PLACES");
            return;
        }
        places.push(Place { damage, kind });
    }

    /// Reads that have met damage, the same one any number of times.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Forgets a place: it is as it should be, or is not there any more.
    pub(crate) fn forget(&self, damage: &Damage) {
        self.places()
            .retain(|known| known.damage.tree != damage.tree || known.damage.place != damage.place);
    }

    /// The places that are still there. Of a node that is new it is found out which entries it has.
    pub(crate) fn list(&self, look: &dyn Look) -> Vec<Damage> {
        let known: Vec<(Damage, Kind)> =
            self.places().iter().map(|known| (known.damage.clone(), known.kind)).collect();
        // Nothing is held while it is read.
        for (damage, kind) in known {
            let is_there = look.has_tree(damage.tree)
                && match (&damage.lost, kind) {
                    (Lost::Entry(key), Kind::Value) => look.is_damaged(damage.tree, key),
                    (Lost::Entry(key), _) => look.has_entry(damage.tree, key),
                    _ => true,
                };
            if !is_there {
                self.forget(&damage);
            } else if let Kind::NewNode(grain) = kind {
                self.found(&damage, look.lost_with(damage.tree, grain));
            }
        }
        self.places().iter().map(|known| known.damage.clone()).collect()
    }

    fn found(&self, damage: &Damage, lost: Lost) {
        let mut places = self.places();
        if let Some(known) = places.iter_mut().find(|known| known.damage == *damage) {
            (known.damage.lost, known.kind) = (lost, Kind::Node);
        }
    }

    // A panic while it is held leaves the list as it was.
    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an error says that something cannot be read, and why; `None` for errors of other kinds.
fn told(error: &StorageError) -> Option<(String, String)> {
    match error {
        StorageError::Corrupt { place, problem } => Some((place.clone(), problem.clone())),
        StorageError::Io { place, source } => Some((place.clone(), source.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(at: usize) -> StorageError {
        StorageError::corrupt(format!("slab.data at {at}"), "its checksum is wrong (rule 3)")
    }

    /// A store in which there are trees up to a name, and every value is damaged or none.
    struct Trees(u64, bool);

    impl Look for Trees {
        fn has_tree(&self, tree: TreeId) -> bool {
            tree.0 <= self.0
        }

        fn lost_with(&self, _tree: TreeId, _grain: u64) -> Lost {
            Lost::Between { after: None, before: Some("b".into()), entries: 3 }
        }

        fn is_damaged(&self, _tree: TreeId, _key: &[u8]) -> bool {
            self.1
        }

        fn has_entry(&self, _tree: TreeId, _key: &[u8]) -> bool {
            self.1
        }
    }

    #[test]
    fn a_place_is_listed_once_and_its_reads_are_counted() {
        let damages = Damages::default();
        for _ in 0..3 {
            damages.note_node(70, 5, &error(5));
        }
        damages.note_node(70, 5, &StorageError::NotResident);
        damages.note_value(71, b"key", &error(9));
        assert_eq!(damages.reads(), 4);
        let look = Trees(71, true);
        let listed = damages.list(&look);
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].lost, look.lost_with(TreeId(70), 5));
        assert_eq!(listed[1].lost, Lost::Entry("key".into()));
        assert_eq!(damages.list(&look), listed);
    }

    #[test]
    fn what_is_not_there_any_more_is_forgotten() {
        let damages = Damages::default();
        damages.note_node(70, 5, &error(5));
        damages.note_value(69, b"key", &error(9));
        assert_eq!(damages.list(&Trees(70, false)).len(), 1, "the value was written anew");
        assert!(damages.list(&Trees(69, true)).is_empty(), "the tree is gone");
        assert!(damages.list(&Trees(71, true)).is_empty(), "it comes back");
    }

    #[test]
    fn the_places_are_bounded_and_the_reads_are_not() {
        let damages = Damages::default();
        (0..DAMAGED_PLACES * 2).for_each(|at| damages.note_node(70, at as u64, &error(at)));
        assert_eq!(damages.list(&Trees(70, true)).len(), DAMAGED_PLACES);
        assert_eq!(damages.reads(), DAMAGED_PLACES as u64 * 2);
    }
}
