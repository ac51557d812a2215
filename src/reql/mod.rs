//! The query language: compiles terms, evaluates them, streams their rows.
//!
//! Knows values, tables, the catalog and changefeeds; nothing of sockets, connections and tokens. Synchronous: a
//! compiled query runs as plain code on the thread it is given, and says beforehand (`Facts::cost`) which kind of thread
//! that should be.
//!
//! `compile` turns a term tree into a [`Program`], `run` evaluates it to an [`Answer`]; `terms/` has a file for each
//! command or close family, with its row, its evaluation and its tests.

mod administrative;
mod catalog_errors;
pub mod compile;
pub mod context;
mod damage;
pub mod deadline;
pub mod env;
pub mod error;
pub mod eval;
pub mod facts;
pub mod function;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod glance;
pub mod grouped;
pub mod http_client;
mod index_function;
pub mod js;
mod literal;
mod memory_budget;
mod memory_meter;
mod named_uuid;
mod opening;
mod print;
mod program;
pub mod random;
#[cfg(test)]
mod read_tests;
mod row_rule;
mod run;
pub mod running;
pub mod scope;
pub mod selection;
mod server_facts;
pub mod sort;
pub mod spec;
mod stored_function;
pub mod stream;
pub mod system;
mod table_access;
pub mod table_ref;
pub mod terms;
mod top;
mod trace;
pub mod tree;
pub mod value;
#[cfg(test)]
mod walk_tests;
mod walk_watch;
mod watches;

pub use crate::cancel::CancelFlag;
pub use compile::CompileError;
pub use context::Context;
pub use error::{Error, ErrorKind};
pub use index_function::ReqlFunctions;
pub use memory_budget::{MemoryBounds, Passed};
pub use opening::OpenError;
pub use program::Program;
pub use run::{Answer, Batch, Cursor, Failure, RunRequest, read_watched, run, write_watched};
pub use server_facts::{ServerFacts, ServerNumbers};
