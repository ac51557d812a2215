//! PhotonDB: a database server for RethinkDB drivers.

pub mod datum;
pub mod limits;
pub mod reql;
pub mod storage;
#[cfg(test)]
mod testing;
