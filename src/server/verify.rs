//! Looking through all data of a server that does not run: first the files, and then what is kept in them.
//! Knows who checks which part; nothing is changed.

use std::path::Path;

use crate::auth;
use crate::catalog::{self, DataError, DataReport};
use crate::reql::ReqlFunctions;
use crate::storage::disk::FileDisk;
use crate::storage::{StorageError, VerifyReport, verify_and_look};

/// What a directory holds in which everything is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// What the files hold.
    pub storage: VerifyReport,
    /// What the tables hold.
    pub data: DataReport,
}

/// The first thing that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The files break a rule of the format, or are somebody's.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The files are sound, but what they hold does not go together.
    #[error(transparent)]
    Data(#[from] DataError),
}

/// Walks through all data of a server that does not run, and changes nothing. The error is the first broken rule.
pub fn verify(directory: &Path) -> Result<Verified, VerifyError> {
    let (storage, snapshot) = verify_and_look(&FileDisk::new(directory))?;
    let data = catalog::check(&snapshot, &ReqlFunctions, &[auth::TREE])?;
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
    use crate::storage::{Durability, Engine, TreeId, WriteBatch};

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
        assert!(matches!(error, VerifyError::Storage(StorageError::Corrupt { .. })), "{error}");
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
}
