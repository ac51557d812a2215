//! What becomes of jobs: how many at once, in which order, whose.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::cancel::CancelFlag;
use crate::turns;

/// Longer than anything takes that does not wait for ever.
const LONG: Duration = Duration::from_secs(20);

fn pool(threads: usize) -> Arc<Pool> {
    Pool::new(Handle::current(), threads, 2)
}

fn user(name: &str) -> Whose {
    Whose::at(name, 1)
}

#[tokio::test]
async fn no_more_threads_than_allowed_and_every_job_runs() {
    let pool = pool(3);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (sender, receiver) = mpsc::channel();
    for i in 0..100 {
        let (running, most, sender) = (running.clone(), most.clone(), sender.clone());
        let job = move || {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            std::thread::yield_now();
            running.fetch_sub(1, Ordering::SeqCst);
            sender.send(i).unwrap();
        };
        put(&pool, &user(&format!("user {}", i % 7)), Box::new(job));
    }
    drop(sender);
    let mut done: Vec<i32> = receiver.iter().collect();
    done.sort_unstable();
    assert_eq!(done, (0..100).collect::<Vec<_>>());
    assert!(most.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn a_thread_that_is_called_in_vain_is_called_again() {
    let pool = pool(3);
    let (sender, receiver) = mpsc::channel();
    for i in 0..5_000 {
        let sender = sender.clone();
        put(&pool, &user(["bob", "alice"][i % 2]), Box::new(move || sender.send(()).unwrap()));
        if i % 3 > 0 {
            receiver.recv_timeout(LINGERS / 2).unwrap();
        }
    }
}

/// Puts a job on the pool, and lets it stay there.
fn put(pool: &Arc<Pool>, whose: &Whose, job: Job) {
    std::mem::forget(pool.run(whose, job));
}

/// Puts jobs that end when the lock is let go on the pool, for so many connections of a user as many as it admits of each.
fn occupy(pool: &Arc<Pool>, name: &str, connections: usize, lock: &Arc<Mutex<()>>) {
    occupy_from(pool, &user(name), connections, lock);
}

fn occupy_from(pool: &Arc<Pool>, whose: &Whose, connections: usize, lock: &Arc<Mutex<()>>) {
    for _ in 0..connections {
        let inbox = Arc::new(Inbox::default());
        for running in 0..limits::POOL_QUERIES_PER_CONNECTION {
            if !pool.admits(whose, running, &inbox) {
                break;
            }
            let lock = lock.clone();
            put(pool, whose, Box::new(move || drop(lock.lock())));
        }
    }
}

/// Jobs of a user, each of a connection of its own, of which so many must begin although others go on for ever.
#[track_caller]
fn check_begin(pool: &Arc<Pool>, name: &str, jobs: usize, lock: &Arc<Mutex<()>>) {
    check_begin_from(pool, &user(name), jobs, lock);
}

#[track_caller]
fn check_begin_from(pool: &Arc<Pool>, whose: &Whose, jobs: usize, lock: &Arc<Mutex<()>>) {
    let (sender, receiver) = mpsc::channel();
    for _ in 0..jobs {
        let (sender, lock) = (sender.clone(), lock.clone());
        assert!(pool.admits(whose, 0, &Arc::default()));
        let job = move || {
            sender.send(()).unwrap();
            drop(lock.lock());
        };
        put(pool, whose, Box::new(job));
    }
    for _ in 0..jobs {
        receiver.recv_timeout(LONG).unwrap();
    }
}

#[tokio::test]
async fn connections_with_endless_queries_leave_threads_to_others() {
    let pool = pool(limits::POOL_THREADS);
    let lock = Arc::new(Mutex::new(()));
    let guard = lock.lock().unwrap();
    occupy(&pool, "bob", limits::POOL_QUERIES_PER_CONNECTION, &lock);
    check_begin(&pool, "bob", limits::POOL_THREADS / 8, &lock);
    check_begin(&pool, "alice", limits::POOL_THREADS / 16, &lock);
    drop(guard);
}

#[tokio::test]
async fn a_user_with_many_connections_leaves_threads_to_other_users() {
    let pool = pool(limits::POOL_THREADS);
    let lock = Arc::new(Mutex::new(()));
    let guard = lock.lock().unwrap();
    // Each has a single query, so that all of them are admitted: most wait in line.
    occupy(&pool, "bob", 1, &lock);
    for _ in 0..4 * limits::POOL_THREADS {
        let lock = lock.clone();
        put(&pool, &user("bob"), Box::new(move || drop(lock.lock())));
    }
    for other in ["alice", "carol", "dan"] {
        check_begin(&pool, other, 4, &lock);
    }
    assert!(!pool.admits(&user("bob"), 1, &Arc::default()));
    assert!(pool.admits(&user("bob"), 0, &Arc::default()));
    drop(guard);
}

#[tokio::test]
async fn users_who_wait_for_a_thread_are_served_in_turn() {
    let pool = pool(1);
    let (lock, begun) = (Arc::new(Mutex::new(())), Arc::new(Barrier::new(2)));
    let guard = lock.lock().unwrap();
    let (first, waits) = (lock.clone(), begun.clone());
    let job = move || {
        waits.wait();
        drop(first.lock());
    };
    put(&pool, &user("bob"), Box::new(job));
    begun.wait();
    let (sender, receiver) = mpsc::channel();
    for name in ["bob", "bob", "bob", "alice", "alice"] {
        let sender = sender.clone();
        put(&pool, &user(name), Box::new(move || sender.send(name).unwrap()));
    }
    drop((guard, sender));
    let order: Vec<_> = receiver.iter().collect();
    assert_eq!(order, ["bob", "alice", "bob", "alice", "bob"]);
}

#[tokio::test]
async fn every_job_of_many_users_is_done_although_each_has_a_share() {
    let pool = pool(8);
    let (sender, receiver) = mpsc::channel();
    for i in 0..2_000 {
        let sender = sender.clone();
        let job = move || {
            if i % 50 == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            sender.send(()).unwrap();
        };
        put(&pool, &user(["bob", "alice", "carol"][i % 3]), Box::new(job));
    }
    drop(sender);
    for _ in 0..2_000 {
        receiver.recv_timeout(LONG).unwrap();
    }
}

#[tokio::test]
async fn who_was_held_back_is_told_when_a_thread_is_free() {
    let pool = pool(4);
    let lock = Arc::new(Mutex::new(()));
    let guard = lock.lock().unwrap();
    occupy(&pool, "bob", 4, &lock);
    let inbox = Arc::new(Inbox::default());
    assert!(!pool.admits(&user("bob"), 1, &inbox));
    let mut none = Vec::new();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(inbox.poll(&mut context, &mut none).is_pending());
    drop(guard);
    std::future::poll_fn(|context| inbox.poll(context, &mut none)).await;
    assert!(none.is_empty());
    while !pool.admits(&user("bob"), 1, &inbox) {
        std::future::poll_fn(|context| inbox.poll(context, &mut none)).await;
    }
}

#[tokio::test]
async fn a_job_that_panics_leaves_the_thread_and_the_turn_to_the_next() {
    let pool = Pool::new(Handle::current(), 1, 1);
    let (sender, receiver) = mpsc::channel();
    let barrier = Arc::new(Barrier::new(2));
    let waiting = barrier.clone();
    let panics = move || {
        turns::look(&CancelFlag::default(), None);
        waiting.wait();
        panic!("as the test wants it");
    };
    put(&pool, &user("bob"), Box::new(panics));
    let next = move || {
        turns::look(&CancelFlag::default(), None);
        sender.send(()).unwrap();
    };
    put(&pool, &user("bob"), Box::new(next));
    barrier.wait();
    receiver.recv_timeout(LONG).unwrap();
}

#[tokio::test]
async fn jobs_of_administration_need_no_turn() {
    let pool = Pool::new(Handle::current(), 4, 1);
    let (over, cancel) = (Arc::new(AtomicUsize::new(0)), CancelFlag::default());
    for _ in 0..3 {
        let (over, cancel) = (over.clone(), cancel.clone());
        let endless = move || {
            while over.load(Ordering::Relaxed) == 0 {
                turns::look(&cancel, None);
            }
        };
        put(&pool, &user("bob"), Box::new(endless));
    }
    // In turn with the others it would wait at least as long as one of them has.
    let mut took = Vec::new();
    for _ in 0..10 {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let job = move || {
            let began = std::time::Instant::now();
            turns::look(&CancelFlag::default(), None);
            sender.send(began.elapsed()).unwrap();
        };
        std::mem::forget(pool.run_in_lane(&user("admin"), Box::new(job)));
        took.push(receiver.await.unwrap());
    }
    assert!(took.iter().any(|took| *took < limits::TURN_QUANTUM / 2), "{took:?}");
    over.store(1, Ordering::Relaxed);
    cancel.cancel();
}

#[tokio::test]
async fn an_address_with_many_connections_leaves_threads_to_others_of_its_user() {
    let pool = pool(limits::POOL_THREADS);
    let lock = Arc::new(Mutex::new(()));
    let guard = lock.lock().unwrap();
    occupy(&pool, "bob", 4 * limits::POOL_THREADS, &lock);
    check_begin_from(&pool, &Whose::at("bob", 2), 16, &lock);
    check_begin_from(&pool, &Whose::at("bob", 3), 4, &lock);
    check_begin(&pool, "alice", 16, &lock);
    drop(guard);
}

#[tokio::test]
async fn threads_of_other_users_do_not_keep_a_connection_from_a_second() {
    let pool = pool(limits::POOL_THREADS);
    let lock = Arc::new(Mutex::new(()));
    let guard = lock.lock().unwrap();
    for last in 1..9 {
        occupy_from(&pool, &Whose::at("bob", last), limits::POOL_THREADS, &lock);
    }
    check_begin(&pool, "admin", 1, &lock);
    assert!(pool.admits(&user("admin"), 1, &Arc::default()));
    drop(guard);
}

#[tokio::test]
async fn a_job_whose_client_is_gone_leaves_the_line() {
    let pool = pool(1);
    let (lock, held) = (Arc::new(Mutex::new(())), Arc::new(()));
    let guard = lock.lock().unwrap();
    let endless = || {
        let lock = lock.clone();
        Box::new(move || drop(lock.lock()))
    };
    put(&pool, &user("bob"), endless());
    for _ in 0..limits::POOL_LANE_THREADS {
        std::mem::forget(pool.run_in_lane(&user("bob"), endless()));
    }
    while !pool.state().queue.is_empty() {
        std::thread::yield_now();
    }
    for _ in 0..100 {
        let (one, other) = (held.clone(), held.clone());
        let queued = pool.run(&user("bob"), Box::new(move || drop(one)));
        let in_lane = pool.run_in_lane(&user("bob"), Box::new(move || drop(other)));
        assert_eq!(Arc::strong_count(&held), 3);
        drop((queued, in_lane));
    }
    assert_eq!(Arc::strong_count(&held), 1);
    assert_eq!(pool.waiting(), 0);
    assert!(pool.state().lane_queue.is_empty());
    drop(guard);
}

#[tokio::test]
async fn a_job_that_has_begun_is_not_removed() {
    let pool = pool(1);
    let (sender, receiver) = mpsc::channel();
    let barrier = Arc::new(Barrier::new(2));
    let begun = barrier.clone();
    let job = move || {
        begun.wait();
        sender.send(()).unwrap();
    };
    let queued = pool.run(&user("bob"), Box::new(job));
    barrier.wait();
    assert!(!queued.remove());
    drop(queued);
    receiver.recv_timeout(LONG).unwrap();
}

#[tokio::test]
async fn who_asks_again_is_kept_once_and_who_is_gone_is_not_kept() {
    let pool = pool(4);
    let lock = Arc::new(Mutex::new(()));
    let guard = lock.lock().unwrap();
    occupy(&pool, "bob", 4, &lock);
    let inbox = Arc::new(Inbox::default());
    for _ in 0..1_000 {
        assert!(!pool.admits(&user("bob"), 1, &inbox));
        assert!(!pool.admits(&user("bob"), 1, &Arc::default()));
    }
    let held_back = pool.state().take_held_back();
    assert!(held_back.len() < 10, "{}", held_back.len());
    assert_eq!(held_back.iter().filter(|other| Arc::ptr_eq(other, &inbox)).count(), 1);
    drop(guard);
}

#[tokio::test]
async fn users_of_the_lane_are_served_in_turn() {
    let pool = pool(1);
    let lock = Arc::new(Mutex::new(()));
    let guard = lock.lock().unwrap();
    for _ in 0..limits::POOL_LANE_THREADS {
        let lock = lock.clone();
        let job = Box::new(move || drop(lock.lock()));
        std::mem::forget(pool.run_in_lane(&user("bob"), job));
    }
    let (sender, receiver) = mpsc::channel();
    let put_in_lane = |name, count| {
        for _ in 0..count {
            let sender = sender.clone();
            let job = Box::new(move || sender.send(name).unwrap());
            std::mem::forget(pool.run_in_lane(&user(name), job));
        }
    };
    put_in_lane("bob", 100);
    put_in_lane("admin", 1);
    drop((guard, sender));
    let order: Vec<_> = receiver.iter().collect();
    let at = order.iter().position(|name| *name == "admin");
    assert!(at < Some(2 + limits::POOL_LANE_THREADS), "{at:?}");
}
