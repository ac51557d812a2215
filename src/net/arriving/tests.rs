//! Places for large frames, with a clock that is moved by hand.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;

fn poll(place: &mut Place, arrived: usize) -> Poll<Result<(), Evicted>> {
    place.poll(&Context::from_waker(Waker::noop()), arrived)
}

fn frames(most: u64) -> Arc<Frames> {
    let frames = Arc::new(Frames::default());
    frames.account().set_most(most);
    frames
}

/// A connection from this address.
fn sender(frames: &Arc<Frames>, address: u8) -> Sender {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, address));
    frames.of(Whose { user: "admin".into(), address })
}

/// A frame of a client that sends nothing else.
fn enter(frames: &Arc<Frames>, bytes: usize) -> Place {
    let connection = frames.state.lock().number();
    sender(frames, connection as u8).enter(1, bytes)
}

fn lost(sender: &mut Sender) -> Poll<u64> {
    sender.poll_lost(&Context::from_waker(Waker::noop()))
}

const IN: Poll<Result<(), Evicted>> = Poll::Ready(Ok(()));
const OUT: Poll<Result<(), Evicted>> = Poll::Ready(Err(Evicted));
const SOON: Duration = limits::LARGE_FRAME_PATIENCE;

#[test]
fn frames_wait_until_there_is_room_for_all_of_them() {
    let frames = frames(100);
    let mut first = enter(&frames, 60);
    let (mut large, mut small) = (enter(&frames, 60), enter(&frames, 50));
    assert_eq!(poll(&mut first, 0), IN);
    assert_eq!([poll(&mut large, 0), poll(&mut small, 0)], [Poll::Pending; 2]);
    let mut fits = enter(&frames, 40);
    assert_eq!((poll(&mut fits, 0), frames.account().held()), (IN, 100));
    drop((first, fits));
    assert_eq!((poll(&mut large, 0), poll(&mut small, 0)), (Poll::Pending, IN));
    drop(small);
    assert_eq!(poll(&mut large, 0), IN);
    drop(large);
    assert_eq!(frames.account().held(), 0);
    let mut larger_than_all = enter(&frames, 1_000);
    assert_eq!(poll(&mut larger_than_all, 0), IN);
}

#[test]
fn a_connection_and_an_address_leave_room_to_others() {
    let frames = frames(160);
    let fill = |sender: &Sender| -> Vec<Place> {
        let next = || Some(sender.enter(1, 10)).filter(|place| frames.has_place(place));
        std::iter::from_fn(next).collect()
    };
    let (one, two, three) = (sender(&frames, 1), sender(&frames, 1), sender(&frames, 2));
    let held = [fill(&one), fill(&two), fill(&three)];
    assert_eq!(held.each_ref().map(Vec::len), [4, 3, 2]);
    assert_eq!(poll(&mut sender(&frames, 3).enter(1, 70), 0), IN, "there is room for who has none");
    drop(held);
    assert!(frames.state.lock().is_empty());
}

#[test]
fn a_frame_that_has_to_wait_for_its_own_connection_holds_up_nobody() {
    let frames = frames(100);
    let one = sender(&frames, 1);
    let (_held, mut own) = (one.enter(1, 25), one.enter(2, 10));
    frames.state.lock().waiting_mut(own.number).unwrap().since -= limits::LARGE_FRAME_WAIT;
    assert_eq!(poll(&mut own, 0), Poll::Pending);
    assert_eq!(poll(&mut enter(&frames, 70), 0), IN);
    frames.make_room(Instant::now() + 10 * SOON);
    assert_eq!(poll(&mut own, 0), Poll::Pending, "nobody loses a frame for it");
    assert_eq!(frames.account().held(), 25);
}

#[test]
fn a_whole_frame_that_nobody_reads_makes_room_for_who_waits() {
    let frames = frames(100);
    let (mut busy, mut served) = (sender(&frames, 1), sender(&frames, 2));
    let (mut unread, read) = (busy.enter(7, 40), served.enter(8, 50));
    busy.has_arrived(&unread);
    served.has_arrived(&read);
    read.is_being_read();
    let later = Instant::now() + 2 * limits::LARGE_FRAME_WAIT;
    frames.make_room(later);
    assert_eq!((lost(&mut busy), frames.account().held()), (Poll::Pending, 90), "nobody waits");
    let mut waits = enter(&frames, 30);
    frames.make_room(Instant::now() + SOON);
    assert_eq!((poll(&mut waits, 0), lost(&mut busy)), (Poll::Pending, Poll::Pending), "not yet");
    frames.make_room(later);
    assert_eq!((poll(&mut waits, 0), lost(&mut busy)), (IN, Poll::Ready(7)));
    assert_eq!((lost(&mut served), poll(&mut unread, 40)), (Poll::Pending, OUT));
    drop((unread, read));
    assert_eq!(frames.account().held(), 30);
}

#[test]
fn a_frame_that_drips_makes_room_and_one_that_comes_at_a_fair_pace_does_not() {
    const MEGABYTE: usize = 1 << 20;
    let frames = frames(130 * MEGABYTE as u64);
    let (mut drips, mut fair) = (enter(&frames, 70 * MEGABYTE), enter(&frames, 59 * MEGABYTE));
    let began = Instant::now();
    let mut waits = enter(&frames, 3 * MEGABYTE);
    for second in 1..=10 {
        // Each comes on again and again.
        let at = began + second * Duration::from_secs(1);
        let seconds = second as usize;
        let mut state = frames.state.lock();
        if let Some(drips) = state.arriving_mut(drips.number) {
            drips.comes_on(seconds * limits::LARGE_FRAME_PACE_BYTES, None, at);
        }
        state.arriving_mut(fair.number).unwrap().comes_on(seconds * 2 * MEGABYTE, None, at);
        drop(state);
        frames.make_room(at);
    }
    assert_eq!((poll(&mut drips, 0), poll(&mut waits, 0)), (OUT, IN));
    assert_eq!(poll(&mut fair, 20 * MEGABYTE), IN);
}

#[test]
fn nobody_loses_a_frame_for_who_has_more() {
    let frames = frames(100);
    let (one, other) = (sender(&frames, 1), sender(&frames, 1));
    let (mut large, mut small) = (one.enter(1, 60), sender(&frames, 2).enter(1, 30));
    let mut more = other.enter(1, 20);
    let later = Instant::now() + SOON;
    // The small one alone is to blame.
    frames.state.lock().arriving_mut(large.number).unwrap().comes_on(1 << 20, None, later);
    frames.make_room(later);
    assert_eq!([poll(&mut large, 1 << 20), poll(&mut small, 0)], [IN; 2]);
    assert_eq!(poll(&mut more, 0), Poll::Pending);
    let mut least = enter(&frames, 20);
    frames.make_room(later);
    assert_eq!([poll(&mut small, 0), poll(&mut least, 0)], [OUT, IN]);
}

#[test]
fn a_large_frame_is_not_passed_for_ever() {
    let frames = frames(100);
    let first = enter(&frames, 50);
    let (mut large, mut small) = (enter(&frames, 90), enter(&frames, 60));
    frames.make_room(Instant::now());
    let number = large.number;
    frames.state.lock().waiting_mut(number).unwrap().since -= limits::LARGE_FRAME_WAIT;
    drop(first);
    assert_eq!((poll(&mut large, 0), poll(&mut small, 0)), (IN, Poll::Pending));
}

#[test]
fn who_does_not_come_on_makes_room_for_who_waits() {
    let frames = frames(100);
    let (mut stalls, mut small) = (enter(&frames, 80), enter(&frames, 10));
    let mut comes_on = enter(&frames, 10);
    frames.make_room(Instant::now() + SOON);
    assert_eq!(poll(&mut stalls, 0), IN, "nobody waits");
    let mut waits = enter(&frames, 50);
    let before = Instant::now();
    std::thread::sleep(Duration::from_millis(1));
    assert_eq!(poll(&mut comes_on, limits::LARGE_FRAME_PACE_BYTES), IN);
    frames.make_room(before + SOON);
    assert_eq!((poll(&mut stalls, 0), poll(&mut waits, 0)), (OUT, IN));
    assert_eq!((poll(&mut small, 0), poll(&mut comes_on, 0)), (IN, IN), "there was room");
    assert_eq!(frames.account().held(), 70);
}
