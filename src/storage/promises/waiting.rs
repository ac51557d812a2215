//! Promise 5: readers see one commit point and never block writers; writers of one tree never block those of another.
//! On a disk that keeps one thread waiting for as long as the test likes.

use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::Builder;
use std::time::Duration;

use super::WAIT;
use crate::storage::disk::{Disk, DiskFile, DiskLock, MemoryDisk};
use crate::storage::store::{SlabEngine, SlabOptions};
use crate::storage::{Durability, Engine, KeyRange, StorageError, TreeId, WriteBatch};

const TREES: [TreeId; 2] = [TreeId(1), TreeId(2)];
/// Entries of each tree: many leaves.
const ENTRIES: u64 = 2_000;
/// Longer than anything takes that does not wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a thread waits when it does something of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Sync,
}

/// Keeps the thread of a name from the disk.
#[derive(Default)]
struct Gate {
    closed_to: Mutex<Option<(&'static str, Kind)>>,
    is_held: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self, kind: Kind) {
        let is_meant = |gate: &Self| {
            let closed_to = *gate.closed_to.lock().unwrap();
            closed_to.is_some_and(|(name, what)| {
                what == kind && std::thread::current().name() == Some(name)
            })
        };
        let mut is_held = self.is_held.lock().unwrap();
        while is_meant(self) {
            *is_held = true;
            self.changed.notify_all();
            is_held = self.changed.wait(is_held).unwrap();
        }
        drop(is_held);
    }

    fn close(&self, thread: &'static str, kind: Kind) {
        *self.is_held.lock().unwrap() = false;
        *self.closed_to.lock().unwrap() = Some((thread, kind));
    }

    fn wait_until_held(&self) {
        let is_held = self.is_held.lock().unwrap();
        let waited = self.changed.wait_timeout_while(is_held, PATIENCE, |held| !*held);
        assert!(!waited.unwrap().1.timed_out(), "nobody came to the disk");
    }

    fn open(&self) {
        let _is_held = self.is_held.lock().unwrap();
        *self.closed_to.lock().unwrap() = None;
        self.changed.notify_all();
    }
}

#[derive(Clone)]
struct GatedDisk {
    disk: MemoryDisk,
    gate: Arc<Gate>,
}

struct GatedFile {
    file: Box<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl GatedDisk {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(GatedFile { file, gate: Arc::clone(&self.gate) })
    }
}

impl Disk for GatedDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(name).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(name).map(|file| self.file(file))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.disk.sync_directory()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.lock(name)
    }
}

impl DiskFile for GatedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.gate.pass(Kind::Read);
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.gate.pass(Kind::Write);
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.gate.pass(Kind::Sync);
        self.file.sync()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        self.file.punch_hole(offset, length)
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.file.allocate(length)
    }
}

fn put(engine: &SlabEngine, tree: TreeId, key: u64, value: u64) -> Result<(), StorageError> {
    let mut batch = WriteBatch::new(Durability::Soft);
    batch.put(tree, key.to_be_bytes().to_vec(), vec![value as u8; 200]);
    engine.apply(batch).map(drop)
}

fn get(engine: &SlabEngine, tree: TreeId, key: u64) -> u8 {
    let value = engine.snapshot().unwrap().get(tree, &key.to_be_bytes(), WAIT).unwrap();
    value.unwrap()[0]
}

/// A store with two trees, nothing of which is in memory.
fn store() -> (SlabEngine, Arc<Gate>) {
    let disk = GatedDisk { disk: MemoryDisk::new(), gate: Arc::default() };
    let options = || SlabOptions {
        flush_interval: Some(Duration::from_millis(1)),
        ..SlabOptions::new([7; 16], 8 << 20)
    };
    let open = || SlabEngine::open(Arc::new(disk.clone()), options()).unwrap();
    let engine = open();
    let mut batch = WriteBatch::new(Durability::Soft);
    for tree in TREES {
        batch.create_tree(tree);
        for key in 0..ENTRIES {
            batch.put(tree, key.to_be_bytes().to_vec(), vec![1; 200]);
        }
    }
    engine.apply(batch).unwrap();
    engine.close().unwrap();
    drop(engine);
    (open(), Arc::clone(&disk.gate))
}

/// Does something while a thread named `held` is kept waiting at the disk, and sees that it does not take as long as
/// that. Returns what the thread has to say once it is let go.
fn meanwhile<T: Send>(
    gate: &Gate,
    kind: Kind,
    held: impl FnOnce() -> T + Send,
    what: impl FnOnce() + Send,
) -> T {
    gate.close("held", kind);
    std::thread::scope(|scope| {
        let held = Builder::new().name("held".to_owned()).spawn_scoped(scope, held).unwrap();
        gate.wait_until_held();
        let (send, receive) = sync_channel(1);
        scope.spawn(move || {
            what();
            send.send(()).unwrap();
        });
        let done = receive.recv_timeout(PATIENCE);
        assert!(!held.is_finished(), "it was not kept waiting");
        gate.open();
        let said = held.join().unwrap();
        done.expect("it had to wait as well");
        said
    })
}

/// Seen to fail when a snapshot is read under the state's lock, and when the writer's lock of its tree is taken for it.
#[test]
fn promise_5_a_reader_that_waits_for_the_disk_keeps_nobody_waiting() {
    let (engine, gate) = store();
    let snapshot = engine.snapshot().unwrap();
    let read = || snapshot.get(TREES[0], &7_u64.to_be_bytes(), WAIT).unwrap().unwrap()[0];
    let seen = meanwhile(&gate, Kind::Read, read, || {
        for round in 0..100 {
            put(&engine, TREES[0], round, 9).unwrap();
            put(&engine, TREES[1], round, 9).unwrap();
        }
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.drop_tree(TREES[1]);
        batch.create_tree(TreeId(3));
        engine.apply(batch).unwrap();
        engine.wait_durable(engine.last_sequence()).unwrap();
        engine.checkpoint().unwrap();
        engine.checkpoint().unwrap();
        assert_eq!(get(&engine, TREES[0], 7), 9);
    });
    assert_eq!(seen, 1, "of another commit point than its snapshot");
    assert_eq!(snapshot.count(TREES[1], &KeyRange::ALL, WAIT).unwrap(), ENTRIES);
    assert_eq!(
        engine.snapshot().unwrap().get(TREES[0], &7_u64.to_be_bytes(), WAIT).unwrap().unwrap()[0],
        9
    );
}

/// Seen to fail when one lock serves the writers of all trees.
#[test]
fn promise_5_a_writer_that_waits_for_the_disk_keeps_no_writer_of_another_tree_waiting() {
    let (engine, gate) = store();
    let write = || put(&engine, TREES[0], 7, 9);
    meanwhile(&gate, Kind::Read, write, || {
        for round in 0..100 {
            put(&engine, TREES[1], round, 9).unwrap();
            assert_eq!(get(&engine, TREES[1], round), 9);
            assert_eq!(get(&engine, TREES[0], round), 1, "not applied yet");
        }
        engine.wait_durable(engine.last_sequence()).unwrap();
    })
    .unwrap();
    assert_eq!(get(&engine, TREES[0], 7), 9);
}

/// Seen to fail when trees come and go under a lock that every batch shares.
#[test]
fn promise_5_a_writer_that_waits_for_the_disk_keeps_no_tree_from_coming_or_going() {
    let (engine, gate) = store();
    let write = || put(&engine, TREES[0], 7, 9);
    let written = meanwhile(&gate, Kind::Read, write, || {
        let change = |make: u64, drop: u64| {
            let mut batch = WriteBatch::new(Durability::Hard);
            batch.create_tree(TreeId(make));
            batch.drop_tree(TreeId(drop));
            let commit = engine.apply(batch).unwrap();
            engine.wait_durable(commit.sequence).unwrap();
        };
        change(3, TREES[1].0);
        put(&engine, TreeId(3), 1, 9).unwrap();
        // Also the one that is being written, and one of the same name in its place.
        change(4, TREES[0].0);
        put(&engine, TreeId(4), 1, 9).unwrap();
        change(TREES[0].0, 3);
        put(&engine, TREES[0], 8, 8).unwrap();
        engine.checkpoint().unwrap();
    });
    written.unwrap();
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(snapshot.trees(WAIT).unwrap(), [TREES[0], TreeId(4)]);
    assert_eq!(snapshot.count(TREES[0], &KeyRange::ALL, WAIT).unwrap(), 2);
    assert_eq!((get(&engine, TREES[0], 7), get(&engine, TREES[0], 8)), (9, 8));
    engine.verify().unwrap();
}

/// What was read of a tree that is gone is applied to nothing.
#[test]
fn a_batch_whose_tree_goes_while_it_waits_for_the_disk_is_refused() {
    let (engine, gate) = store();
    let write = || {
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.put(TREES[1], "key", "value");
        batch.put(TREES[0], 7_u64.to_be_bytes().to_vec(), "value");
        engine.apply(batch).map(drop)
    };
    let written = meanwhile(&gate, Kind::Read, write, || {
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.drop_tree(TREES[1]);
        engine.apply(batch).unwrap();
    });
    assert!(matches!(written, Err(StorageError::NoSuchTree(tree)) if tree == TREES[1]));
    assert_eq!(get(&engine, TREES[0], 7), 1);
    engine.verify().unwrap();
}

/// Seen to fail when the state's lock is held while a checkpoint stores nodes.
#[test]
fn promise_5_a_checkpoint_that_waits_for_the_disk_keeps_nobody_waiting() {
    for kind in [Kind::Write, Kind::Sync] {
        let (engine, gate) = store();
        put(&engine, TREES[0], 3, 5).unwrap();
        engine.wait_durable(engine.last_sequence()).unwrap();
        meanwhile(
            &gate,
            kind,
            || engine.checkpoint(),
            || {
                for round in 0..100 {
                    put(&engine, TREES[0], round, 9).unwrap();
                    assert_eq!(get(&engine, TREES[0], round), 9);
                }
                engine.wait_durable(engine.last_sequence()).unwrap();
            },
        )
        .unwrap();
        engine.verify().unwrap();
        assert_eq!(get(&engine, TREES[0], 3), 9);
    }
}

/// Seen to fail when a commit is queued under the lock of the log's writer.
#[test]
fn promise_5_a_sync_of_the_log_keeps_no_reader_and_no_soft_commit_waiting() {
    let (engine, gate) = store();
    let flush = || engine.wait_durable(engine.last_sequence());
    // Before there is something to sync, which the clock may do as well.
    gate.close("log", Kind::Sync);
    put(&engine, TREES[0], 3, 5).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(flush);
        gate.wait_until_held();
        for round in 0..100 {
            put(&engine, TREES[0], round, 9).unwrap();
            assert_eq!(get(&engine, TREES[0], round), 9);
        }
        assert!(!waiting.is_finished() && !engine.is_durable(engine.last_sequence()));
        gate.open();
        waiting.join().unwrap().unwrap();
    });
}
