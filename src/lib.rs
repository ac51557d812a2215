//! PhotonDB: a database server for RethinkDB drivers.
