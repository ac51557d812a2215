//! PhotonDB: a database server for RethinkDB drivers.

pub mod account;
pub mod addresses;
pub mod auth;
pub mod bell;
pub mod cancel;
pub mod catalog;
pub mod changefeed;
pub mod cli;
pub mod config;
pub mod datum;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod geo;
pub mod holders;
pub mod http;
pub mod limits;
pub mod log_lines;
pub mod memory;
pub mod meter;
pub mod metrics;
pub mod net;
pub mod panics;
pub mod priority;
pub mod reql;
pub mod seldom;
pub mod server;
pub mod session;
pub mod shares;
pub mod shutdown;
pub mod storage;
pub mod table;
#[cfg(test)]
mod testing;
pub mod turns;
mod unread;
