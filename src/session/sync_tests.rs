//! What leaves a session when the disk is slow.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use photondb_protocol::numbers::Version;

use super::testing::{client, service_on};
use super::{Service, Session};
use crate::auth::Users;
use crate::catalog::{Catalog, NoFunctions};
use crate::changefeed::Hub;
use crate::reql::Context;
use crate::storage::memory::MemoryEngine;
use crate::storage::overlay::Overlay;
use crate::storage::{CommitSequence, DurableCallback, Engine, StorageError};

/// An engine whose disk is as slow as the test wants: nothing is durable until the test says so.
struct SlowDisk {
    memory: MemoryEngine,
    durable: Mutex<CommitSequence>,
    waiting: Mutex<Vec<(CommitSequence, DurableCallback)>>,
}

impl SlowDisk {
    fn new() -> Arc<Self> {
        Arc::new(SlowDisk {
            memory: MemoryEngine::new(),
            durable: Mutex::default(),
            waiting: Mutex::default(),
        })
    }

    /// Ends the sync under way.
    fn sync(&self, outcome: Result<(), StorageError>) {
        if outcome.is_ok() {
            *self.durable.lock().unwrap() = self.memory.last_sequence();
        }
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        for (_, callback) in waiting {
            callback(outcome.clone());
        }
    }
}

impl Overlay for SlowDisk {
    fn inner(&self) -> &dyn Engine {
        &self.memory
    }

    fn durable_sequence(&self) -> CommitSequence {
        *self.durable.lock().unwrap()
    }

    fn when_durable(&self, sequence: CommitSequence, callback: DurableCallback) {
        if self.is_durable(sequence) {
            return callback(Ok(()));
        }
        self.waiting.lock().unwrap().push((sequence, callback));
    }
}

fn session(disk: &Arc<SlowDisk>) -> Session {
    session_of(&service(disk))
}

fn session_of(service: &Arc<Service>) -> Session {
    Session::new(service.clone(), Version::V1_0, client())
}

fn service(disk: &Arc<SlowDisk>) -> Arc<Service> {
    let hub = Arc::new(Hub::default());
    let engine: Arc<dyn Engine> = disk.clone();
    let catalog = Catalog::open(engine.clone(), hub.clone(), Arc::new(NoFunctions)).unwrap();
    catalog.create_table("test", "t", &Default::default()).unwrap();
    let users = Arc::new(Users::open(&engine).unwrap());
    service_on(Context::new(catalog, hub, users, "test"))
}

/// What the session answers within a moment, as text.
async fn answers(session: &mut Session) -> String {
    let mut out = Vec::new();
    let polled = poll_fn(|context| session.poll_answers(context, true, &mut out));
    let _ = tokio::time::timeout(Duration::from_millis(100), polled).await;
    // What ran on the pool tells first that it waits; the answer is another event.
    poll_fn(|context| {
        let _ = session.poll_answers(context, true, &mut out);
        Poll::Ready(())
    })
    .await;
    String::from_utf8_lossy(&out).into_owned()
}

const INLINE: &[u8] = br#"[1,[56,[[15,["t"]],{"id":1}]],{}]"#;
const ON_POOL: &[u8] =
    br#"[1,[56,[[15,["t"]],[38,[[2,[2,3]],[69,[[2,[1]],{"id":[10,[1]]}]]]]]],{}]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_hard_write_is_answered_when_the_disk_has_it() {
    for query in [INLINE, ON_POOL] {
        let disk = SlowDisk::new();
        let mut session = session(&disk);
        let mut out = Vec::new();
        session.receive(7, query, &mut out);
        assert!(out.is_empty(), "answered before the sync");
        assert_eq!(answers(&mut session).await, "");
        assert!(!session.is_idle());
        disk.sync(Ok(()));
        let answer = answers(&mut session).await;
        assert!(answer.contains(r#""errors":0"#), "{answer}");
        assert!(session.is_idle());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_waits_for_the_disk_is_answered_though_others_need_its_memory() {
    let disk = SlowDisk::new();
    let service = service(&disk);
    let mut session = session_of(&service);
    service.holders.account().set_most(100);
    session.receive(7, INLINE, &mut Vec::new());
    assert_eq!(answers(&mut session).await, "");
    disk.sync(Ok(()));
    let answer = answers(&mut session).await;
    assert!(answer.contains(r#""inserted":1"#), "{answer}");
    // Nobody is told that it was ended.
    let text = String::from_utf8(service.metrics.text().unwrap()).unwrap();
    assert!(text.contains("photondb_queries_ended_total{bound=\"memory\"} 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_write_waits_for_nothing() {
    let disk = SlowDisk::new();
    let mut session = session(&disk);
    let mut out = Vec::new();
    session.receive(7, br#"[1,[56,[[15,["t"]],{"id":1}]],{"durability":"soft"}]"#, &mut out);
    assert!(String::from_utf8_lossy(&out).contains(r#""inserted":1"#));
    assert!(session.is_idle());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_sync_is_an_error_and_not_an_acknowledgement() {
    let disk = SlowDisk::new();
    let mut session = session(&disk);
    session.receive(7, INLINE, &mut Vec::new());
    disk.sync(Err(StorageError::Closed));
    let answer = answers(&mut session).await;
    assert!(answer.contains(r#""e":4200000"#), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn noreply_wait_waits_for_the_disk_too() {
    let disk = SlowDisk::new();
    let mut session = session(&disk);
    let mut out = Vec::new();
    let noreply = br#"[1,[56,[[15,["t"]],{"id":1}]],{"noreply":true}]"#;
    session.receive(1, noreply, &mut out);
    session.receive(2, b"[4]", &mut out);
    assert!(out.is_empty());
    disk.sync(Ok(()));
    let answer = answers(&mut session).await;
    assert!(answer.contains(r#"{"t":4,"r":[]}"#) && !answer.contains("inserted"), "{answer}");
}
