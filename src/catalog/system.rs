//! The database of system tables: its name, and the names in it. What is in the tables is not known here.

/// The name of the database that always exists and holds the system tables.
pub const SYSTEM_DATABASE: &str = "rethinkdb";

/// The names of the system tables, sorted.
pub const SYSTEM_TABLES: [&str; 12] = [
    "cluster_config",
    "current_issues",
    "db_config",
    "jobs",
    "logs",
    "permissions",
    "server_config",
    "server_status",
    "stats",
    "table_config",
    "table_status",
    "users",
];
