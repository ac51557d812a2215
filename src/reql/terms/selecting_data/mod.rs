//! Selecting data.

mod between;
mod bounds;
mod db;
mod filter;
mod get;
mod get_all;
#[cfg(test)]
mod index_tests;
mod table;

use crate::reql::spec::TermSpec;

pub use db::default_database;
pub use filter::{Predicate, absent_passes};
pub use get_all::named_index;

pub static ROWS: &[&TermSpec] = &[
    &between::BETWEEN,
    &between::BETWEEN_DEPRECATED,
    &bounds::MAXVAL,
    &bounds::MINVAL,
    &db::DB,
    &filter::FILTER,
    &get::GET,
    &get_all::GET_ALL,
    &table::TABLE,
];
