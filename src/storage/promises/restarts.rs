//! Starts leave nothing behind: a server that is started again and again, and ends each time without closing its store,
//! needs no more files than one that is started once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{TREES, open};
use crate::limits::LOG_START_SEGMENTS;
use crate::storage::disk::{Disk, DiskFile, DiskLock, FaultyDisk, MemoryDisk};
use crate::storage::{Durability, Engine, KeyRange, ReadMode, WriteBatch};

const STARTS: u64 = 1_000;

/// Counts open files.
#[derive(Clone, Default)]
struct CountingDisk {
    disk: MemoryDisk,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct CountedFile {
    file: Box<dyn DiskFile>,
    open: Arc<AtomicUsize>,
}

impl CountingDisk {
    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(open, Ordering::Relaxed);
        Box::new(CountedFile { file, open: Arc::clone(&self.open) })
    }

    fn segments(&self) -> u64 {
        let names = self.disk.list().unwrap();
        names.iter().filter(|name| name.starts_with("slab.log")).count() as u64
    }
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Disk for CountingDisk {
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

impl DiskFile for CountedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn sync(&self) -> io::Result<()> {
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

/// Seen to fail when every start adds a segment, and when a start opens all segments there are.
#[test]
fn a_thousand_starts_leave_few_segments_and_open_few_files() {
    // One that crashes at once, and one that crashes after a commit.
    for commits in [0, 1] {
        let disk = CountingDisk::default();
        let engine = open(&disk).unwrap();
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.create_tree(TREES[0]);
        engine.apply(batch).unwrap();
        engine.wait_durable(engine.last_sequence()).unwrap();
        drop(engine);
        for start in 0..STARTS {
            let engine = open(&disk).unwrap();
            for _ in 0..commits {
                let mut batch = WriteBatch::new(Durability::Hard);
                batch.put(TREES[0], start.to_be_bytes().to_vec(), "value");
                engine.apply(batch).unwrap();
                engine.wait_durable(engine.last_sequence()).unwrap();
            }
            drop(engine);
            assert!(disk.segments() <= LOG_START_SEGMENTS + 2, "{} segments", disk.segments());
        }
        let most = disk.most.load(Ordering::Relaxed);
        assert!(most < 6, "{most} files open at once");
        let engine = open(&disk).unwrap();
        let snapshot = engine.snapshot().unwrap();
        let count = snapshot.count(TREES[0], &KeyRange::ALL, ReadMode::MayBlock).unwrap();
        assert_eq!(count, commits * STARTS);
    }
}

/// A process may end between making such a file and removing its name.
#[test]
fn a_start_removes_files_for_sorting() {
    let disk = FaultyDisk::new(1);
    drop(open(&disk).unwrap());
    for name in ["slab.sort.0", "slab.sort.17"] {
        disk.create(name).unwrap().write_at(0, b"left over").unwrap();
    }
    drop(open(&disk).unwrap());
    assert!(!disk.list().unwrap().iter().any(|name| name.starts_with("slab.sort")));
}
