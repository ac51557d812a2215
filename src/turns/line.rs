//! A line in which nobody waits behind all that another has put there. Knows keys; not what waits.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Those who wait, by their key: the keys are served in turn, and those of one key in the order in which they came.
#[derive(Debug)]
pub struct FairLine<K, T> {
    by_key: HashMap<K, VecDeque<T>>,
    /// The keys that have somebody waiting; the first is served next.
    order: VecDeque<K>,
    len: usize,
}

impl<K, T> Default for FairLine<K, T> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), order: VecDeque::new(), len: 0 }
    }
}

impl<K: Clone + Eq + Hash, T> FairLine<K, T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets somebody wait.
    pub fn push(&mut self, key: &K, one: T) {
        let waiting = self.by_key.entry(key.clone()).or_default();
        if waiting.is_empty() {
            self.order.push_back(key.clone());
        }
        waiting.push_back(one);
        self.len += 1;
    }

    /// Whether somebody waits whose key may be served.
    pub fn has(&self, may: impl FnMut(&K) -> bool) -> bool {
        self.order.iter().any(may)
    }

    /// Takes out who comes next of those whose key may be served. The key goes to the end.
    pub fn pop(&mut self, may: impl FnMut(&K) -> bool) -> Option<(K, T)> {
        let at = self.order.iter().position(may)?;
        let key = self.order.remove(at)?;
        let waiting = self.by_key.get_mut(&key)?;
        let one = waiting.pop_front()?;
        self.len -= 1;
        if waiting.is_empty() {
            self.by_key.remove(&key);
        } else {
            self.order.push_back(key.clone());
        }
        Some((key, one))
    }

    /// Takes somebody out who waits no longer.
    pub fn remove(&mut self, key: &K, is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let waiting = self.by_key.get_mut(key)?;
        let at = waiting.iter().position(is_it)?;
        let one = waiting.remove(at)?;
        self.len -= 1;
        if waiting.is_empty() {
            self.by_key.remove(key);
            self.order.retain(|other| other != key);
        }
        Some(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(line: &mut FairLine<char, u32>) -> Vec<(char, u32)> {
        std::iter::from_fn(|| line.pop(|_| true)).collect()
    }

    #[test]
    fn keys_are_served_in_turn_and_each_in_the_order_of_its_own() {
        let mut line = FairLine::default();
        for (key, one) in [('a', 1), ('a', 2), ('a', 3), ('b', 4), ('c', 5), ('b', 6)] {
            line.push(&key, one);
        }
        assert_eq!(line.len(), 6);
        assert_eq!(all(&mut line), [('a', 1), ('b', 4), ('c', 5), ('a', 2), ('b', 6), ('a', 3)]);
        assert!(line.is_empty());
    }

    #[test]
    fn who_may_not_be_served_keeps_its_place() {
        let mut line = FairLine::default();
        for (key, one) in [('a', 1), ('b', 2), ('b', 3)] {
            line.push(&key, one);
        }
        assert!(line.has(|key| *key == 'b') && !line.has(|key| *key == 'c'));
        assert_eq!(line.pop(|key| *key == 'b'), Some(('b', 2)));
        assert_eq!(line.pop(|key| *key == 'c'), None);
        assert_eq!(all(&mut line), [('a', 1), ('b', 3)]);
    }

    #[test]
    fn who_leaves_is_not_served() {
        let mut line = FairLine::default();
        for (key, one) in [('a', 1), ('a', 2), ('b', 3)] {
            line.push(&key, one);
        }
        assert_eq!(line.remove(&'b', |one| *one == 3), Some(3));
        assert_eq!(line.remove(&'b', |one| *one == 3), None);
        assert_eq!(line.remove(&'a', |one| *one == 1), Some(1));
        assert_eq!(all(&mut line), [('a', 2)]);
    }
}
