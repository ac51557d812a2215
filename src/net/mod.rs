//! Sockets: where clients connect, and the one loop that serves each of them whatever carries the bytes. Knows sessions
//! and users; nothing of what queries mean.

pub mod connection;
mod doors;
mod tcp;

pub use doors::Doors;
pub use tcp::{listen_tcp, serve_tcp};
