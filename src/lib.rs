//! PhotonDB: a database server for RethinkDB drivers.

pub mod catalog;
pub mod changefeed;
pub mod datum;
pub mod limits;
pub mod reql;
pub mod storage;
pub mod table;
#[cfg(test)]
mod testing;
