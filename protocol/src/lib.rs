//! The ReQL wire protocol as pure functions: bytes in, events out.
//! Knows no socket, no clock and no task; TCP, TLS and QUIC share it.

#![deny(clippy::indexing_slicing, reason = "every byte here comes from outside")]

pub mod frame;
#[cfg(test)]
mod fuzz;
pub mod handshake;
pub mod json;
pub mod limits;
pub mod numbers;
pub mod pace;
pub mod query;
pub mod raw_term;
pub mod response;
pub mod text;
