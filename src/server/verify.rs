//! Looking through all data of a server that does not run: first the files, and then what is kept in them.
//! Knows who checks which part; nothing is changed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use crate::auth;
use crate::catalog::{self, DataError, DataReport};
use crate::limits::VERIFY_FINDINGS;
use crate::reql::ReqlFunctions;
use crate::storage::disk::FileDisk;
use crate::storage::{StorageError, TreeId, VerifyReport, verify_and_look};

/// What a directory holds in which everything is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// What the files hold.
    pub storage: VerifyReport,
    /// What the tables hold.
    pub data: DataReport,
}

/// Why a directory is not sound.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be looked through: the files are somebody's, or nothing can be read without what is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The catalog cannot be looked through.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What is wrong, each with its place.
    #[error("{}", .0.to_string())]
    Broken(Findings),
}

/// What is wrong, as far as it is listed.
#[derive(Debug, Default)]
pub struct Findings {
    /// Each with its place, up to `limits::VERIFY_FINDINGS`.
    pub listed: Vec<String>,
    /// How many there are beside those.
    pub others: u64,
}

impl fmt::Display for Findings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.listed.join("; "))?;
        match self.others {
            0 => Ok(()),
            others => write!(formatter, "; and {others} others"),
        }
    }
}

/// Keeps some findings and counts the others.
struct Kept<T> {
    kept: Vec<T>,
    others: u64,
}

impl<T> Kept<T> {
    fn new() -> Self {
        Self { kept: Vec::new(), others: 0 }
    }

    fn add<E>(&mut self, finding: T) -> Result<(), E> {
        if self.kept.len() < VERIFY_FINDINGS {
            self.kept.push(finding);
        } else {
            self.others += 1;
        }
        Ok(())
    }

    fn listed(self, text: impl FnMut(T) -> String) -> Result<(), VerifyError> {
        if self.kept.is_empty() {
            return Ok(());
        }
        let listed = self.kept.into_iter().map(text).collect();
        Err(VerifyError::Broken(Findings { listed, others: self.others }))
    }
}

/// Walks through all data of a server that does not run, and changes nothing. The files come first; what is kept in them
/// is looked at when they are sound.
pub fn verify(directory: &Path) -> Result<Verified, VerifyError> {
    let mut broken = Kept::new();
    let walked =
        verify_and_look(&FileDisk::new(directory), &mut |tree, error| broken.add((tree, error)));
    let names = match &walked {
        Ok((_, snapshot)) => catalog::tree_names(&**snapshot),
        Err(_) => BTreeMap::new(),
    };
    broken.listed(|(tree, error): (TreeId, StorageError)| match names.get(&tree) {
        Some(name) => format!("{name}: {error}"),
        None => format!("{tree}: {error}"),
    })?;
    let (storage, snapshot) = walked?;
    let mut broken = Kept::new();
    let data =
        catalog::check(&snapshot, &ReqlFunctions, &[auth::TREE], &mut |error| broken.add(error))?;
    broken.listed(|error: DataError| error.to_string())?;
    Ok(Verified { storage, data })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::catalog::{IndexDefinition, TableConfig};
    use crate::reql::Context;
    use crate::storage::store::{SlabEngine, SlabOptions};
    use crate::storage::{Durability, Engine, WriteBatch};

    fn engine(directory: &Path) -> Arc<SlabEngine> {
        let options = SlabOptions::new([7; 16], 64 << 20);
        Arc::new(SlabEngine::open(Arc::new(FileDisk::new(directory)), options).unwrap())
    }

    #[test]
    fn a_directory_is_verified_when_nobody_has_it_and_nothing_in_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let files = || -> Vec<(String, Vec<u8>)> {
            let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            let mut files: Vec<_> =
                names.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
            files.sort();
            files
        };
        let engine = engine(path);
        let context = Context::open(engine.clone(), "a").unwrap();
        let table = context.catalog.create_table("test", "t", &TableConfig::default()).unwrap();
        let function = "[69,[[2,[1]],[170,[[10,[1]],\"v\"]]]]".to_owned();
        let definition =
            IndexDefinition { function, query: String::new(), multi: false, geo: false };
        let last = context.catalog.create_index(table.value.id, "v", &definition).unwrap().commit;
        engine.wait_durable(last.sequence).unwrap();
        let refused = verify(path).unwrap_err();
        assert!(matches!(refused, VerifyError::Storage(StorageError::InUse { .. })), "{refused}");
        while !context.catalog.state().table("test", "t").unwrap().indexes["v"].index.is_ready() {
            std::thread::yield_now();
        }
        engine.close().unwrap();
        // The thread that has built the index lets go of it a moment later.
        let weak = Arc::downgrade(&engine);
        drop((engine, context, table));
        (0..10_000).find(|_| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            weak.strong_count() == 0
        });
        let before = files();
        let report = verify(path).unwrap();
        assert_eq!(report.data, DataReport { tables: 1, indexes: 1, ..DataReport::default() });
        assert_eq!(report.storage.trees, 4);
        assert!(files() == before, "it changed something");
        // Every image stands behind the first extent; a bit in the first one is enough.
        let data = path.join("slab.data");
        let mut bytes = fs::read(&data).unwrap();
        *bytes.get_mut(262_144 + 20).unwrap() ^= 1;
        fs::write(&data, bytes).unwrap();
        let error = verify(path).unwrap_err();
        assert!(error.to_string().contains("slab.data at "), "{error}");
    }

    /// What the log alone has is looked at as well.
    #[test]
    fn a_tree_that_belongs_to_nothing_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(folder.path());
        drop(Context::open(engine.clone(), "a").unwrap());
        let mut batch = WriteBatch::new(Durability::Hard);
        batch.create_tree(TreeId(77));
        engine.wait_durable(engine.apply(batch).unwrap().sequence).unwrap();
        drop(engine);
        let error = verify(folder.path()).unwrap_err();
        assert_eq!(error.to_string(), "tree 77 belongs to no table and no index");
    }

    #[test]
    fn all_damaged_places_are_listed_with_the_names_of_their_tables() {
        let folder = tempfile::tempdir().unwrap();
        let engine = engine(folder.path());
        let context = Context::open(engine.clone(), "a").unwrap();
        let mut trees = Vec::new();
        for name in ["one", "two"] {
            let table = context.catalog.create_table("test", name, &TableConfig::default());
            let tree = table.unwrap().value.table.tree();
            let mut batch = WriteBatch::new(Durability::Hard);
            for key in 0..1_000_u32 {
                batch.put(tree, key.to_be_bytes().to_vec(), vec![7; 900]);
            }
            engine.apply(batch).unwrap();
            trees.push(tree);
        }
        engine.close().unwrap();
        drop((context, engine));
        let data = folder.path().join("slab.data");
        let sound = fs::read(&data).unwrap();
        // Every so many bytes one is wrong: images of both tables are among them.
        let mut bytes = sound.clone();
        let is_value = |bytes: &[u8], at: usize| bytes.get(at - 8..at + 8) == Some(&[7; 16]);
        let places: Vec<_> =
            (270_000..bytes.len() - 8).step_by(50_021).filter(|at| is_value(&sound, *at)).collect();
        places.iter().for_each(|at| bytes[*at] ^= 1);
        fs::write(&data, bytes).unwrap();
        let Err(VerifyError::Broken(findings)) = verify(folder.path()) else {
            panic!("it is found sound");
        };
        assert!(findings.listed.len() > 10, "{findings:?}");
        assert!(findings.listed.len() <= places.len());
        for name in ["table `test.one`: ", "table `test.two`: "] {
            assert!(findings.listed.iter().any(|text| text.starts_with(name)), "{findings:?}");
        }
        assert!(findings.listed.iter().all(|text| text.contains("slab.data at ")), "{findings:?}");
    }
}
