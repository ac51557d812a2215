//! PhotonDB: a database server for RethinkDB drivers.

pub mod limits;
pub mod storage;
#[cfg(test)]
mod testing;
