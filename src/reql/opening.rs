//! Opens what an engine holds: the catalog, whose indexes compute their values with functions of the query language, the
//! users, and the context that queries are run with. Knows all of the language; nothing of the language knows it.

use std::sync::Arc;

use crate::auth::{Users, UsersError};
use crate::catalog::{Catalog, CatalogError};
use crate::changefeed::Hub;
use crate::storage::Engine;
use crate::storage::memory::MemoryEngine;

use super::context::Context;
use super::index_function::ReqlFunctions;

/// Why what an engine holds cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Databases and tables.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Users.
    #[error(transparent)]
    Users(#[from] UsersError),
}

impl Context {
    /// A server over what the engine holds; a catalog and an admin are made in an engine that has none.
    pub fn open(engine: Arc<dyn Engine>, server_name: &str) -> Result<Self, OpenError> {
        let hub = Arc::new(Hub::default());
        let users = Arc::new(Users::open(&engine)?);
        let catalog = Catalog::open(engine, hub.clone(), Arc::new(ReqlFunctions))?;
        Ok(Self::new(catalog, hub, users, server_name))
    }

    /// A server that keeps everything in memory.
    pub fn in_memory(server_name: &str) -> Result<Self, OpenError> {
        Self::open(Arc::new(MemoryEngine::new()), server_name)
    }
}
