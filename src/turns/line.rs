//! A line in which nobody waits behind all that another has put there. Knows who puts there; not what waits.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

/// Whose something is. In many installations all clients are one user, so the address counts too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Whose {
    /// The name.
    pub user: Arc<str>,
    /// Where the user's client is.
    pub address: IpAddr,
}

/// Those who wait: users are served in turn, of a user the addresses in turn, and what has both in common in the order in
/// which it came.
#[derive(Debug)]
pub struct FairLine<T> {
    by_whose: HashMap<Whose, VecDeque<T>>,
    /// Those that have somebody waiting; the first is served next.
    order: VecDeque<Whose>,
    len: usize,
}

impl<T> Default for FairLine<T> {
    fn default() -> Self {
        Self { by_whose: HashMap::new(), order: VecDeque::new(), len: 0 }
    }
}

impl<T> FairLine<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many wait of these.
    pub fn len_of(&self, whose: &Whose) -> usize {
        self.by_whose.get(whose).map_or(0, VecDeque::len)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets somebody wait.
    pub fn push(&mut self, whose: &Whose, one: T) {
        let waiting = self.by_whose.entry(whose.clone()).or_default();
        if waiting.is_empty() {
            self.order.push_back(whose.clone());
        }
        waiting.push_back(one);
        self.len += 1;
    }

    /// Whether somebody waits who may be served.
    pub fn has(&self, may: impl FnMut(&Whose) -> bool) -> bool {
        self.order.iter().any(may)
    }

    /// Takes out who comes next of those that may be served. The user goes to the end with all addresses, and among these
    /// the one that was served.
    pub fn pop(&mut self, may: impl FnMut(&Whose) -> bool) -> Option<(Whose, T)> {
        let at = self.order.iter().position(may)?;
        let whose = self.order.remove(at)?;
        let waiting = self.by_whose.get_mut(&whose)?;
        let one = waiting.pop_front()?;
        self.len -= 1;
        let is_last = waiting.is_empty();
        // Stable, so that everybody else keeps the place. A line of one user is in that order already.
        if self.order.iter().any(|other| other.user != whose.user) {
            self.order.make_contiguous().sort_by_key(|other| other.user == whose.user);
        }
        if is_last {
            self.by_whose.remove(&whose);
        } else {
            self.order.push_back(whose.clone());
        }
        Some((whose, one))
    }

    /// Takes somebody out who waits no longer.
    pub fn remove(&mut self, whose: &Whose, is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let waiting = self.by_whose.get_mut(whose)?;
        let at = waiting.iter().position(is_it)?;
        let one = waiting.remove(at)?;
        self.len -= 1;
        if waiting.is_empty() {
            self.by_whose.remove(whose);
            self.order.retain(|other| other != whose);
        }
        Some(one)
    }
}

/// A user at the loopback address, or at another one of that network.
#[cfg(test)]
impl Whose {
    pub(crate) fn at(user: &str, last: u8) -> Whose {
        Whose { user: Arc::from(user), address: IpAddr::from([127, 0, 0, last]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(all: &[(&str, u8, u32)]) -> FairLine<u32> {
        let mut line = FairLine::default();
        all.iter().for_each(|(user, last, one)| line.push(&Whose::at(user, *last), *one));
        line
    }

    fn all(line: &mut FairLine<u32>) -> Vec<u32> {
        std::iter::from_fn(|| line.pop(|_| true)).map(|(_, one)| one).collect()
    }

    #[test]
    fn users_are_served_in_turn_and_each_in_the_order_of_its_own() {
        let mut line =
            line(&[("a", 1, 1), ("a", 1, 2), ("a", 1, 3), ("b", 1, 4), ("c", 1, 5), ("b", 1, 6)]);
        assert_eq!(line.len(), 6);
        assert_eq!(all(&mut line), [1, 4, 5, 2, 6, 3]);
        assert!(line.is_empty());
    }

    #[test]
    fn addresses_of_a_user_are_served_in_turn_and_take_no_turns_of_others() {
        let mut line = line(&[
            ("a", 1, 1),
            ("a", 1, 2),
            ("a", 2, 3),
            ("a", 3, 4),
            ("b", 1, 5),
            ("b", 1, 6),
            ("b", 1, 7),
        ]);
        assert_eq!(line.len_of(&Whose::at("a", 1)), 2);
        assert_eq!(all(&mut line), [1, 5, 3, 6, 4, 7, 2]);
    }

    #[test]
    fn who_may_not_be_served_keeps_its_place() {
        let mut line = line(&[("a", 1, 1), ("b", 1, 2), ("b", 1, 3)]);
        let is = |user: &'static str| move |whose: &Whose| *whose.user == *user;
        assert!(line.has(is("b")) && !line.has(is("c")));
        assert_eq!(line.pop(is("b")), Some((Whose::at("b", 1), 2)));
        assert_eq!(line.pop(is("c")), None);
        assert_eq!(all(&mut line), [1, 3]);
    }

    #[test]
    fn who_leaves_is_not_served() {
        let mut line = line(&[("a", 1, 1), ("a", 1, 2), ("b", 1, 3)]);
        assert_eq!(line.remove(&Whose::at("b", 1), |one| *one == 3), Some(3));
        assert_eq!(line.remove(&Whose::at("b", 1), |one| *one == 3), None);
        assert_eq!(line.remove(&Whose::at("a", 1), |one| *one == 1), Some(1));
        assert_eq!(all(&mut line), [2]);
    }
}
