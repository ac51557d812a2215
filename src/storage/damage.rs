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
    /// Of a node the first grain of its image, as long as nobody has looked which entries it has.
    grain: Option<u64>,
}

impl Damages {
    /// Notes that the image of a node could not be read, if that is what the error says.
    pub(crate) fn note_node(&self, tree: u64, grain: u64, error: &StorageError) {
        if let Some((place, problem)) = told(error) {
            let damage = Damage { tree: TreeId(tree), place, problem, lost: Lost::Unknown };
            self.note(damage, Some(grain));
        }
    }

    /// Notes that the value of an entry could not be read, if that is what the error says.
    pub(crate) fn note_value(&self, tree: u64, key: &[u8], error: &StorageError) {
        if let Some((place, problem)) = told(error) {
            let lost = Lost::Entry(Bytes::copy_from_slice(key));
            self.note(Damage { tree: TreeId(tree), place, problem, lost }, None);
        }
    }

    /// Notes a read that has met damage.
    pub(crate) fn note(&self, damage: Damage, grain: Option<u64>) {
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
        places.push(Place { damage, grain });
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

    /// The places in the trees that there are; those of others are forgotten. Of a node that is new, `find` is asked
    /// which entries it has.
    pub(crate) fn list(
        &self,
        has_tree: impl Fn(TreeId) -> bool,
        find: impl Fn(TreeId, u64) -> Lost,
    ) -> Vec<Damage> {
        let unknown: Vec<(TreeId, u64)> = {
            let mut places = self.places();
            places.retain(|known| has_tree(known.damage.tree));
            places.iter().filter_map(|known| Some((known.damage.tree, known.grain?))).collect()
        };
        // Reading notes what it cannot read, so nothing is held meanwhile.
        for (tree, grain) in unknown {
            let lost = find(tree, grain);
            let mut places = self.places();
            let mut same = places.iter_mut();
            if let Some(known) =
                same.find(|known| known.damage.tree == tree && known.grain == Some(grain))
            {
                (known.damage.lost, known.grain) = (lost, None);
            }
        }
        self.places().iter().map(|known| known.damage.clone()).collect()
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

    #[test]
    fn a_place_is_listed_once_and_its_reads_are_counted() {
        let damages = Damages::default();
        for _ in 0..3 {
            damages.note_node(70, 5, &error(5));
        }
        damages.note_node(70, 5, &StorageError::NotResident);
        damages.note_value(71, b"key", &error(9));
        assert_eq!(damages.reads(), 4);
        let between = Lost::Between { after: None, before: Some("b".into()), entries: 3 };
        let listed = damages.list(|_| true, |_, _| between.clone());
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].lost, between);
        assert_eq!(listed[1].lost, Lost::Entry("key".into()));
        // It is looked for once.
        assert_eq!(damages.list(|_| true, |_, _| Lost::Unknown), listed);
        damages.forget(&listed[1]);
        assert_eq!(damages.list(|_| true, |_, _| Lost::Unknown).len(), 1);
        assert!(damages.list(|tree| tree != TreeId(70), |_, _| Lost::Unknown).is_empty());
        assert!(damages.list(|_| true, |_, _| Lost::Unknown).is_empty(), "it comes back");
    }

    #[test]
    fn the_places_are_bounded_and_the_reads_are_not() {
        let damages = Damages::default();
        (0..DAMAGED_PLACES * 2).for_each(|at| damages.note_node(70, at as u64, &error(at)));
        assert_eq!(damages.list(|_| true, |_, _| Lost::Unknown).len(), DAMAGED_PLACES);
        assert_eq!(damages.reads(), DAMAGED_PLACES as u64 * 2);
    }
}
