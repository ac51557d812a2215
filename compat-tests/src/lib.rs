//! Everything that judges the server from outside, over its sockets.
//! Knows the wire protocol and nothing of the server's insides.

pub mod abuse;
pub mod compare;
pub mod exchange;
pub mod gaps;
pub mod harness;
pub mod kill_loop;
pub mod model;
pub mod player;
pub mod properties;
pub mod random;
pub mod script;
pub mod wire;
