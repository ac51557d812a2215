//! Manipulating databases.

mod databases;

use crate::reql::spec::TermSpec;

pub use databases::config_changes;

pub static ROWS: &[&TermSpec] = &[&databases::DB_CREATE, &databases::DB_DROP, &databases::DB_LIST];
