//! What can be wrong with a name, or with the stored catalog. The texts are RethinkDB's where it has one.

use crate::storage::StorageError;

/// Whose name is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A database's.
    Database,
    /// A table's.
    Table,
}

impl std::fmt::Display for NameKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Database => "Database",
            Self::Table => "Table",
        })
    }
}

/// An error of the catalog.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// A name has other characters than it may have, or none.
    #[error("{kind} name `{name}` invalid (Use A-Z, a-z, 0-9, _ and - only).")]
    InvalidName {
        /// Whose name.
        kind: NameKind,
        /// The name.
        name: String,
    },
    /// There is a database of that name.
    #[error("Database `{database}` already exists.")]
    DatabaseExists {
        /// Its name.
        database: String,
    },
    /// There is no database of that name.
    #[error("Database `{database}` does not exist.")]
    NoSuchDatabase {
        /// The name.
        database: String,
    },
    /// There is a table of that name in the database.
    #[error("Table `{database}.{table}` already exists.")]
    TableExists {
        /// The database's name.
        database: String,
        /// The table's name.
        table: String,
    },
    /// There is no table of that name in the database.
    #[error("Table `{database}.{table}` does not exist.")]
    NoSuchTable {
        /// The database's name.
        database: String,
        /// The name.
        table: String,
    },
    /// A database cannot be given another's name.
    #[error("Cannot rename database `{old}` to `{new}` because database `{new}` already exists.")]
    DatabaseNotRenamed {
        /// Its name.
        old: String,
        /// The name it was to have.
        new: String,
    },
    /// A table cannot be given another's name.
    #[error("Can't rename table `{old}` to `{new}` because table `{new}` already exists.")]
    TableNotRenamed {
        /// Its database and name.
        old: String,
        /// Those it was to have.
        new: String,
    },
    /// The table that was used does not exist any more.
    #[error("The table was dropped.")]
    TableGone,
    /// There is an index of that name on the table.
    #[error("Index `{index}` already exists on table `{table}`.")]
    IndexExists {
        /// Its name.
        index: String,
        /// The table's database and name.
        table: String,
    },
    /// There is no index of that name on the table.
    #[error("Index `{index}` does not exist on table `{table}`.")]
    NoSuchIndex {
        /// The name.
        index: String,
        /// The table's database and name.
        table: String,
    },
    /// An index cannot be given another's name.
    #[error("Index `{old}` does not exist or index `{new}` already exists on table `{table}`.")]
    IndexNotRenamed {
        /// Its name, if there is one.
        old: String,
        /// The name it was to have.
        new: String,
        /// The table's database and name.
        table: String,
    },
    /// The database of system tables cannot be treated like others.
    #[error("Database `rethinkdb` is special; you can't {0}.")]
    SpecialDatabase(SpecialAction),
    /// The engine failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The stored catalog does not say what it must.
    #[error("damaged catalog: {place}: {problem}")]
    Damaged {
        /// Which record.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What was tried with the database of system tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialAction {
    /// To drop it.
    Drop,
    /// To create a table in it.
    CreateTable,
    /// To drop a table in it.
    DropTable,
}

impl std::fmt::Display for SpecialAction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Drop => "delete it",
            Self::CreateTable => "create new tables in it",
            Self::DropTable => "drop tables in it",
        })
    }
}
