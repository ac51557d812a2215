//! Who runs when: threads that look all the time, and threads that wait.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc;
use std::thread;

use super::*;
use crate::limits::TURN_QUANTUM;

/// Longer than anything takes that does not wait for ever.
const LONG: Duration = Duration::from_secs(20);

fn user(name: &str) -> Whose {
    Whose::at(name, 1)
}

fn has_turn() -> bool {
    SEAT.with_borrow(|seat| seat.as_ref().is_some_and(|seat| seat.turn.is_some()))
}

fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < LONG, "it never came to that");
        thread::sleep(Duration::from_millis(1));
    }
}

/// That something takes no longer than that, at least once: other processes want the processors too.
#[track_caller]
fn check_takes(most: Duration, mut what: impl FnMut() -> Duration) {
    let took: Vec<_> = (0..10).map(|_| what()).collect();
    assert!(took.iter().any(|took| *took < most), "{took:?}");
}

fn until_waiting(turns: &Turns, count: usize) {
    until(|| turns.state().waiting() == count);
}

/// An evaluation that looks all the time until it is told that it is over.
fn endless(turns: &Arc<Turns>, whose: Whose, over: &AtomicBool, turns_had: &AtomicUsize) {
    turns.seat(&whose, || {
        let cancel = CancelFlag::default();
        let mut last = None;
        while !over.load(Ordering::Relaxed) {
            look(&cancel, None);
            let turn = SEAT.with_borrow(|seat| seat.as_ref().and_then(|seat| seat.turn));
            if turn != last {
                turns_had.fetch_add(1, Ordering::Relaxed);
                last = turn;
            }
        }
    });
}

/// Lets so many evaluations of a user go on while something is done.
fn among<T>(turns: &Arc<Turns>, name: &str, count: usize, work: impl FnOnce() -> T) -> T {
    let (over, ignored) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| endless(turns, user(name), &over, &ignored));
        }
        until(|| turns.running() + turns.state().waiting() == count);
        let done = catch_unwind(AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        done.unwrap()
    })
}

#[test]
fn an_evaluation_hands_over_when_its_time_is_up_and_others_wait() {
    let turns = Turns::strict(1);
    let over = AtomicBool::new(false);
    let had = [const { AtomicUsize::new(0) }; 3];
    thread::scope(|scope| {
        for had in &had {
            scope.spawn(|| endless(&turns, user("bob"), &over, had));
        }
        until(|| had.iter().all(|had| had.load(Ordering::Relaxed) >= 3));
        assert!(turns.running() <= 1);
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!((turns.running(), turns.state().waiting()), (0, 0));
}

#[test]
fn alone_it_keeps_its_turn() {
    let turns = Turns::strict(1);
    turns.seat(&user("bob"), || {
        let cancel = CancelFlag::default();
        look(&cancel, None);
        thread::sleep(TURN_QUANTUM * 2);
        look(&cancel, None);
        assert!(has_turn());
        assert_eq!(turns.state().waiting(), 0);
    });
    assert_eq!(turns.running(), 0);
}

#[test]
fn new_ones_come_before_those_that_go_on_for_long() {
    let turns = Turns::strict(1);
    among(&turns, "bob", 20, || {
        // All of them have had their time before.
        thread::sleep(TURN_QUANTUM * 25);
        check_takes(TURN_QUANTUM * 4, || {
            let began = Instant::now();
            turns.seat(&user("bob"), || look(&CancelFlag::default(), None));
            began.elapsed()
        });
    });
}

#[test]
fn who_goes_on_for_long_is_not_kept_waiting_by_new_ones() {
    let turns = Turns::strict(1);
    let (over, had) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| endless(&turns, user("bob"), &over, &had));
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Always a new one.
                    turns.seat(&user("bob"), || {
                        look(&CancelFlag::default(), None);
                        thread::sleep(Duration::from_millis(2));
                    });
                }
            });
        }
        until(|| had.load(Ordering::Relaxed) > 5);
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_user_with_many_evaluations_has_no_more_turns_than_one_with_few() {
    let turns = Turns::strict(1);
    let (over, many, one) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| endless(&turns, user("bob"), &over, &many));
        }
        until(|| many.load(Ordering::Relaxed) > 20);
        let before = many.load(Ordering::Relaxed);
        scope.spawn(|| endless(&turns, user("alice"), &over, &one));
        until(|| one.load(Ordering::Relaxed) > 20);
        let many = many.load(Ordering::Relaxed) - before;
        over.store(true, Ordering::Relaxed);
        assert!(many < 60, "{many} turns for twenty");
    });
}

#[test]
fn who_is_stopped_while_it_waits_for_its_turn_goes_on_at_once() {
    let turns = Turns::strict(1);
    let holder = CancelFlag::default();
    turns.seat(&user("bob"), || {
        look(&holder, None);
        check_takes(TURN_LOST / 4, || {
            let cancel = CancelFlag::default();
            thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    turns.seat(&user("bob"), || {
                        look(&cancel, None);
                        (Instant::now(), has_turn())
                    })
                });
                until_waiting(&turns, 1);
                let stopped = Instant::now();
                cancel.cancel();
                let (ended, has_turn) = waiting.join().unwrap();
                assert!(!has_turn, "it goes on without one");
                ended - stopped
            })
        });
        assert_eq!(turns.state().waiting(), 0);
    });
}

#[test]
fn nobody_waits_for_its_turn_beyond_its_deadline() {
    let turns = Turns::strict(1);
    turns.seat(&user("bob"), || {
        look(&CancelFlag::default(), None);
        check_takes(TURN_LOST / 2, || {
            let waiting = || {
                let began = Instant::now();
                let end = began + Duration::from_millis(20);
                turns.seat(&user("bob"), || look(&CancelFlag::default(), Some(end)));
                began.elapsed()
            };
            let waited = thread::scope(|scope| scope.spawn(waiting).join().unwrap());
            assert!(waited >= Duration::from_millis(20), "{waited:?}");
            waited
        });
    });
}

#[test]
fn a_pause_lets_another_run_and_the_turn_is_asked_for_after_it() {
    let turns = Turns::strict(1);
    turns.seat(&user("bob"), || {
        let cancel = CancelFlag::default();
        look(&cancel, None);
        let pause = pause();
        assert_eq!(turns.running(), 0);
        thread::scope(|scope| {
            let other = || turns.seat(&user("bob"), || look(&CancelFlag::default(), None));
            scope.spawn(other).join().unwrap();
        });
        look(&cancel, None);
        assert!(!has_turn(), "in a pause it takes none");
        drop(pause);
        assert!(!has_turn(), "nor where it would not look");
        look(&cancel, None);
        assert!(has_turn());
    });
}

#[test]
fn a_panic_gives_the_turn_back() {
    let turns = Turns::strict(1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        turns.seat(&user("bob"), || {
            look(&CancelFlag::default(), None);
            std::panic::resume_unwind(Box::new("as the test wants it"))
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(turns.running(), 0);
    assert!(SEAT.with_borrow(|seat| seat.is_none()));
}

/// A lock that an evaluation holds while it waits for its turn, and for which one waits that has a turn and does not tell.
#[test]
fn a_turn_is_lost_to_those_who_have_what_its_holder_waits_for() {
    let turns = Turns::strict(1);
    let lock = Mutex::new(());
    let (sender, locked) = mpsc::channel();
    turns.seat(&user("bob"), || {
        look(&CancelFlag::default(), None);
        thread::scope(|scope| {
            scope.spawn(|| {
                let guard = lock.lock();
                sender.send(()).unwrap();
                turns.seat(&user("bob"), || look(&CancelFlag::default(), None));
                drop(guard);
            });
            locked.recv().unwrap();
            until_waiting(&turns, 1);
            let began = Instant::now();
            drop(lock.lock());
            assert!(began.elapsed() < LONG);
        });
        // The turn is another's now, or nobody's; this one queues up.
        assert_eq!(turns.running(), 0);
        look(&CancelFlag::default(), None);
    });
    assert_eq!(turns.running(), 0);
}

#[test]
fn threads_without_a_seat_take_no_turns() {
    look(&CancelFlag::default(), None);
    drop(pause());
    assert!(!is_wanted() && !has_turn());
}

#[test]
fn those_that_have_run_least_come_first_and_none_is_forgotten() {
    let (mut state, now) = (State::default(), Instant::now());
    let mut waiting = Vec::new();
    for level in [Level::Long, Level::Brief, Level::New] {
        for _ in 0..20 {
            let place = state.begin_or_wait(0, now, level, &user("bob")).unwrap_err();
            waiting.push((level, place));
        }
    }
    let mut order = Vec::new();
    while !waiting.is_empty() {
        state.hand_over(1, now);
        let came = waiting.iter().position(|(_, place)| place.turn().is_some()).unwrap();
        let (level, place) = waiting.remove(came);
        state.end(place.turn());
        order.push(level);
    }
    let [new, brief, long] = [Level::New, Level::Brief, Level::Long];
    assert_eq!(order[..8], [new, new, new, brief, new, new, new, long]);
    let last_but = |level| order.iter().rposition(|other| *other == level).unwrap();
    assert!(last_but(new) < last_but(brief) && last_but(brief) < last_but(long));
    assert_eq!(state.waiting(), 0);
}

#[test]
fn who_waits_for_other_things_before_its_turn_is_over_comes_before_those_that_go_on() {
    let turns = Turns::strict(1);
    let waits_at = |used: Duration| {
        let cancel = CancelFlag::default();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                turns.seat(&user("bob"), || {
                    SEAT.with_borrow_mut(|seat| {
                        let seat = seat.as_mut().unwrap();
                        seat.ran = Ran { level: Level::Long, used };
                    });
                    look(&cancel, None);
                });
            });
            until_waiting(&turns, 1);
            let levels = [Level::New, Level::Brief, Level::Long];
            let at = levels.into_iter().find(|level| turns.state().waiting_at(*level) == 1);
            cancel.cancel();
            waiting.join().unwrap();
            at
        })
    };
    turns.seat(&user("bob"), || {
        look(&CancelFlag::default(), None);
        assert_eq!(waits_at(TURN_QUANTUM / 2), Some(Level::Brief));
        assert_eq!(waits_at(TURN_QUANTUM), Some(Level::Long));
    });
}

#[test]
fn addresses_of_a_user_have_turns_alike_however_many_evaluations_they_have() {
    let turns = Turns::strict(1);
    let (over, many, one) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| endless(&turns, Whose::at("bob", 1), &over, &many));
        }
        until(|| many.load(Ordering::Relaxed) > 20);
        let before = many.load(Ordering::Relaxed);
        scope.spawn(|| endless(&turns, Whose::at("bob", 2), &over, &one));
        until(|| one.load(Ordering::Relaxed) > 20);
        let many = many.load(Ordering::Relaxed) - before;
        over.store(true, Ordering::Relaxed);
        assert!(many < 60, "{many} turns for twenty");
    });
}

#[test]
fn what_goes_on_at_another_time_is_not_new_again() {
    let turns = Turns::strict(1);
    let mut ran = Ran::default();
    let mut levels = Vec::new();
    for _ in 0..4 {
        turns.seat(&user("bob"), || {
            go_on(ran);
            look(&CancelFlag::default(), None);
            thread::sleep(TURN_QUANTUM);
            ran = rest();
            assert!(!has_turn());
        });
        levels.push(ran.level);
    }
    assert_eq!(levels, [Level::New, Level::Brief, Level::Long, Level::Long]);
    assert_eq!(turns.running(), 0);
}

#[test]
fn what_is_over_soon_needs_no_turn() {
    let turns = Turns::new(1);
    turns.seat(&user("bob"), || {
        let cancel = CancelFlag::default();
        for _ in 0..TURN_FREE_LOOKS {
            look(&cancel, None);
            assert!(!has_turn());
        }
        look(&cancel, None);
        assert!(has_turn());
        drop(pause());
        look(&cancel, None);
        assert!(has_turn(), "it is no longer new");
    });
}
