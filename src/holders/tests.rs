//! What is ended, of whom, and in which order.

use super::*;

type Ended = Arc<Mutex<Vec<(u64, u64)>>>;

fn with_most(most: u64) -> (Arc<Holders>, Ended) {
    let holders = Arc::new(Holders::default());
    holders.account().set_most(most);
    (holders, Arc::default())
}

fn owner(holders: &Arc<Holders>, address: &str) -> Arc<Owner> {
    holders.owner("admin".into(), address.parse().unwrap())
}

/// Notes the owner and the number of what is ended.
fn enter(owner: &Arc<Owner>, bytes: usize, ended: &Ended) -> Hold {
    let (ended, of) = (ended.clone(), owner.number);
    owner.enter(bytes, Box::new(move |number| ended.lock().push((of, number))))
}

fn is_empty(holders: &Holders) -> bool {
    let state = holders.state.lock();
    state.places.is_empty() && state.by_bytes.is_empty() && holders.account.held() == 0
}

#[test]
fn who_holds_most_loses_its_largest() {
    let (holders, ended) = with_most(100);
    let (one, other) = (owner(&holders, "192.0.2.1"), owner(&holders, "192.0.2.2"));
    let many: Vec<_> = [10, 30, 20].map(|bytes| enter(&one, bytes, &ended)).into();
    assert!(ended.lock().is_empty());
    let large = enter(&other, 50, &ended);
    // The largest of all is the other's, who has less.
    assert_eq!(*ended.lock(), [(one.number, many[1].number())]);
    assert_eq!(holders.account().held(), 80);
    let more = enter(&other, 25, &ended);
    assert_eq!(ended.lock()[1..], [(other.number, large.number())]);
    assert_eq!(holders.account().held(), 55);
    drop((many, large, more));
    assert!(is_empty(&holders));
    let alone = enter(&one, 1_000, &ended);
    assert_eq!(ended.lock()[2..], [(one.number, alone.number())]);
    drop(alone);
    assert!(is_empty(&holders));
}

#[test]
fn connections_of_one_address_are_counted_together() {
    let (holders, ended) = with_most(100);
    let victim = owner(&holders, "192.0.2.9");
    let crowd: Vec<_> = (0..4).map(|_| owner(&holders, "192.0.2.1")).collect();
    let mut held: Vec<_> = (0..60).map(|at| enter(&crowd[at % crowd.len()], 2, &ended)).collect();
    // None of them has as much as this.
    let own = enter(&victim, 40, &ended);
    assert!(ended.lock().iter().all(|(of, _)| *of != victim.number), "{:?}", ended.lock());
    assert_eq!(holders.account().held(), 100);
    // Of another user there it would have been the victim's: a name is not taken by its address.
    let named = holders.owner("alice".into(), "192.0.2.1".parse().unwrap());
    held.push(enter(&named, 10, &ended));
    assert!(ended.lock().iter().all(|(of, _)| *of != named.number), "{:?}", ended.lock());
    drop((own, held));
    assert!(is_empty(&holders));
}

#[test]
fn a_network_of_ipv6_is_one_owner() {
    let (holders, ended) = with_most(100);
    let victim = owner(&holders, "192.0.2.9");
    let own = enter(&victim, 30, &ended);
    let many: Vec<_> = (1..=20)
        .map(|at| enter(&owner(&holders, &format!("2001:db8::{at}:1")), 10, &ended))
        .collect();
    assert_eq!(ended.lock().len(), 13);
    assert!(ended.lock().iter().all(|(of, _)| *of != victim.number));
    drop((own, many));
    assert!(is_empty(&holders));
}

#[test]
fn what_is_ended_is_in_the_order_of_size_and_then_of_age() {
    let (holders, ended) = with_most(100);
    let one = owner(&holders, "192.0.2.1");
    let held = [20, 30, 30, 10].map(|bytes| enter(&one, bytes, &ended));
    let mut last = enter(&one, 1, &ended);
    for bytes in [15, 45, 75, 100] {
        last.update(bytes);
    }
    let numbers: Vec<u64> = ended.lock().iter().map(|(_, number)| *number).collect();
    // When it is the largest it is ended itself, and what it would be later counts no more.
    assert_eq!(numbers, [held[2].number(), last.number()]);
    assert_eq!(holders.account().held(), 60);
    drop((held, last));
    assert!(is_empty(&holders));
}

#[test]
fn small_holders_take_no_lock_of_all() {
    let (holders, ended) = with_most(1 << 30);
    let one = owner(&holders, "192.0.2.1");
    let all = holders.state.lock();
    let mut held: Vec<_> = (0..60).map(|_| enter(&one, 1_000, &ended)).collect();
    held[0].update(2_000);
    assert_eq!(holders.account().held(), 61_000);
    drop(all);
    held.push(enter(&one, 10_000, &ended));
    assert_eq!(holders.state.lock().by_bytes.last().unwrap().0, 71_000);
    drop(held);
    assert!(is_empty(&holders));
}

#[test]
fn many_with_little_are_ended_when_all_is_too_much() {
    let (holders, ended) = with_most(10_000_000);
    let owners: Vec<_> = (0..1_000).map(|_| owner(&holders, "192.0.2.1")).collect();
    let held: Vec<_> = owners.iter().map(|one| enter(one, 60_000, &ended)).collect();
    assert!(holders.account().held() <= 10_000_000);
    assert_eq!(ended.lock().len(), 1_000 - 10_000_000 / 60_000);
    drop(held);
    assert!(is_empty(&holders));
}

#[test]
fn a_hundred_thousand_holders_are_entered_and_left_at_once() {
    let (holders, ended) = with_most(100_000_000);
    let one = owner(&holders, "192.0.2.1");
    let began = Instant::now();
    let held: Vec<_> = (0..100_000).map(|_| enter(&one, 2_000, &ended)).collect();
    assert_eq!(ended.lock().len(), 50_000);
    drop(held);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert!(is_empty(&holders));
}

#[test]
fn room_is_made_by_those_who_hold_more() {
    let (holders, ended) = with_most(1_000);
    let (large, small) = (owner(&holders, "192.0.2.1"), owner(&holders, "192.0.2.2"));
    let held: Vec<_> = (0..80).map(|_| enter(&large, 10, &ended)).collect();
    let own = enter(&small, 100, &ended);
    assert_eq!(holders.make_room(50, 900), 0);
    assert_eq!(holders.make_room(45, 200), 50);
    assert_eq!(holders.leaving(), 50);
    // Nobody has more than the one for whom it is made.
    assert_eq!(holders.make_room(10_000, 200), 550);
    assert!(ended.lock().iter().all(|(of, _)| *of == large.number));
    assert_eq!((holders.leaving(), holders.account().held()), (600, 300));
    drop((held, own));
    assert!(is_empty(&holders));
}
