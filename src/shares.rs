//! A bounded number of places, of which nobody may have so many that none is left for others. Knows numbers and who holds
//! them; not what the places are for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Places, and how many of them each holder has.
///
/// A holder may have so many times the places that stay free. With seven times, one that has all to itself stops at seven
/// eighths, and the next one finds places; the more holders there are, the fewer each of them gets.
#[derive(Debug)]
pub struct Shares<K> {
    most: usize,
    times_free: usize,
    taken: usize,
    held: HashMap<K, usize>,
}

impl<K: Eq + Hash + Clone> Shares<K> {
    /// So many places, all free.
    pub fn new(most: usize, times_free: usize) -> Shares<K> {
        Shares { most, times_free, taken: 0, held: HashMap::new() }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How many this holder has.
    pub fn held_by(&self, holder: &K) -> usize {
        self.held.get(holder).copied().unwrap_or_default()
    }

    /// Whether this holder may have another one.
    pub fn admits(&self, holder: &K) -> bool {
        let free = self.most.saturating_sub(self.taken);
        let held = self.held_by(holder);
        // One stays free for who has none.
        free > 0 && (held == 0 || held < (free - 1).saturating_mul(self.times_free))
    }

    /// Gives one to a holder.
    pub fn take(&mut self, holder: K) {
        self.taken += 1;
        *self.held.entry(holder).or_default() += 1;
    }

    /// Takes one back.
    pub fn give_back(&mut self, holder: &K) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(held) = self.held.get_mut(holder) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(holder);
            }
        }
    }
}

/// The same for many threads: who is not admitted goes away.
#[derive(Debug)]
pub struct Room<K: Eq + Hash + Clone>(Mutex<Shares<K>>);

/// One place, given back when it is dropped.
#[derive(Debug)]
pub struct Inside<K: Eq + Hash + Clone> {
    room: Arc<Room<K>>,
    holder: K,
}

impl<K: Eq + Hash + Clone> Room<K> {
    /// Nobody is inside.
    pub fn new(most: usize, times_free: usize) -> Arc<Room<K>> {
        Arc::new(Room(Mutex::new(Shares::new(most, times_free))))
    }

    /// A place, if this holder may have another one.
    pub fn enter(self: &Arc<Self>, holder: K) -> Option<Inside<K>> {
        let mut shares = self.0.lock();
        if !shares.admits(&holder) {
            return None;
        }
        shares.take(holder.clone());
        drop(shares);
        Some(Inside { room: self.clone(), holder })
    }
}

impl<K: Eq + Hash + Clone> Drop for Inside<K> {
    fn drop(&mut self) {
        self.room.0.lock().give_back(&self.holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_leaves_places_to_the_next() {
        let room = Room::new(16, 7);
        let fill = |name| std::iter::from_fn(|| room.enter(name)).collect::<Vec<_>>();
        let (first, second) = (fill("first"), fill("second"));
        assert_eq!((first.len(), second.len()), (14, 1));
        let third = fill("third");
        assert_eq!(third.len(), 1);
        assert!(room.enter("fourth").is_none());
        drop((first, third));
        assert_eq!(room.0.lock().taken(), 1);
        assert_eq!(room.0.lock().held_by(&"first"), 0);
        drop(second);
        assert!(room.0.lock().held.is_empty());
    }

    #[test]
    fn where_there_is_one_place_anybody_may_have_it() {
        let room = Room::new(1, 7);
        let held = room.enter("first").unwrap();
        assert!(room.enter("second").is_none());
        drop(held);
        assert!(room.enter("second").is_some());
    }
}
