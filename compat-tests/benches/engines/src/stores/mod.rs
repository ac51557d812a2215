//! What a workload may ask of an engine, and which engines there are. Must not know workloads.

#[cfg(feature = "peers")]
mod fjall;
#[cfg(feature = "peers")]
mod lmdb;
#[cfg(feature = "peers")]
mod redb;
pub mod slab;

use std::fmt;
use std::path::Path;

use crate::Error;
use crate::data::Key;

/// An engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Engine {
    /// That of PhotonDB.
    Slab,
    /// redb: a copy-on-write B-tree.
    Redb,
    /// fjall: a log-structured merge tree.
    Fjall,
    /// LMDB, by its binding heed: a copy-on-write B-tree in mapped memory.
    Lmdb,
}

/// Entries that go in, lent one by one.
pub type Entries<'a> = dyn Iterator<Item = (Key, &'a [u8])> + 'a;

/// What is done with a value, or with a key and a value, that was read.
pub type See<'a> = dyn FnMut(&[u8]) + 'a;

/// An open store with one ordered tree. Whatever a call has acknowledged by returning is on disk, as far as the
/// operating system can tell: each engine asks it for the same, `fdatasync` or more.
pub trait Store: Sync {
    /// Fills the empty store with entries in ascending order, in the quickest way that the engine has.
    fn bulk_load<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error>;

    /// Sets entries in one transaction.
    fn put_all<'a>(&self, entries: &mut Entries<'a>) -> Result<(), Error>;

    /// Sets one entry in a transaction of its own. Called from many threads at once.
    fn put(&self, key: &Key, value: &[u8]) -> Result<(), Error>;

    /// Lends a view of one commit point to `work`.
    fn view(&self, work: &mut dyn FnMut(&dyn View) -> Result<(), Error>) -> Result<(), Error>;

    /// Reads one value in a view of its own, and says whether there was one.
    fn get_fresh(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error>;

    /// Closes the store in the orderly way.
    fn close(self: Box<Self>) -> Result<(), Error>;
}

/// One commit point.
pub trait View {
    /// Reads one value, and says whether there was one.
    fn get(&self, key: &Key, see: &mut See<'_>) -> Result<bool, Error>;

    /// Reads every entry, from the greatest key down if `backward`: `see` is given key and value one after the other.
    fn scan(&self, backward: bool, see: &mut See<'_>) -> Result<(), Error>;
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 4] = [Self::Slab, Self::Redb, Self::Fjall, Self::Lmdb];

    /// Those that were built in.
    pub fn built() -> Vec<Self> {
        Self::ALL
            .into_iter()
            .filter(|engine| *engine == Self::Slab || cfg!(feature = "peers"))
            .collect()
    }

    /// Opens the store of a directory, or makes one, with a cache of `cache_bytes` where the engine has one.
    pub fn open(self, directory: &Path, cache_bytes: usize) -> Result<Box<dyn Store>, Error> {
        match self {
            Self::Slab => Ok(Box::new(slab::SlabStore::open(directory, cache_bytes)?)),
            #[cfg(feature = "peers")]
            Self::Redb => Ok(Box::new(redb::RedbStore::open(directory, cache_bytes)?)),
            #[cfg(feature = "peers")]
            Self::Fjall => Ok(Box::new(fjall::FjallStore::open(directory, cache_bytes)?)),
            #[cfg(feature = "peers")]
            Self::Lmdb => Ok(Box::new(lmdb::LmdbStore::open(directory)?)),
            #[cfg(not(feature = "peers"))]
            _ => Err(format!("{self} is not built in: build with --features peers").into()),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Slab => "slab",
            Self::Redb => "redb",
            Self::Fjall => "fjall",
            Self::Lmdb => "lmdb",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Data, Kind};

    /// Every engine gives back what it was given, in order, also after it was closed and opened again.
    #[test]
    fn engines_give_back_what_they_were_given() {
        let data = Data::new(Kind::Random, 100);
        let sorted = Data::sorted(3_000);
        for engine in Engine::built() {
            let directory = tempfile::tempdir().unwrap();
            let store = engine.open(directory.path(), 16 << 20).unwrap();
            store
                .bulk_load(&mut sorted.iter().map(|(key, index)| (*key, data.value(*index))))
                .unwrap();
            let more: Vec<_> =
                (3_000..3_500).map(|index| (crate::data::key(index), index)).collect();
            store.put_all(&mut more.iter().map(|(key, index)| (*key, data.value(*index)))).unwrap();
            store.put(&crate::data::key(3_500), data.value(3_500)).unwrap();
            store.close().unwrap();

            let store = engine.open(directory.path(), 16 << 20).unwrap();
            let all = Data::sorted(3_501);
            let expected: Vec<Vec<u8>> = all
                .iter()
                .flat_map(|(key, index)| [key.to_vec(), data.value(*index).to_vec()])
                .collect();
            for backward in [false, true] {
                let mut seen = Vec::new();
                store
                    .view(&mut |view| view.scan(backward, &mut |bytes| seen.push(bytes.to_vec())))
                    .unwrap();
                if backward {
                    seen = seen.chunks(2).rev().flat_map(<[Vec<u8>]>::to_vec).collect();
                }
                assert!(seen == expected, "{engine}, backward {backward}");
            }
            for (key, index) in &all {
                let mut matching = false;
                let mut see = |value: &[u8]| matching = value == data.value(*index);
                assert!(store.get_fresh(key, &mut see).unwrap(), "{engine}");
                assert!(matching, "{engine}");
            }
            assert!(!store.get_fresh(&crate::data::key(9_999), &mut |_| ()).unwrap());
            store.close().unwrap();
        }
    }
}
