//! Sockets: where clients connect, and the one loop that serves each of them whatever carries the bytes. Knows sessions
//! and users; nothing of what queries mean.

mod arriving;
pub mod connection;
mod doors;
mod quic;
mod tcp;
mod tls;

pub use doors::Doors;
pub use quic::{listen_quic, quic_config, serve_quic};
pub use tcp::{listen_tcp, serve_tcp};
pub use tls::{Certificate, CertificateError};

#[cfg(test)]
mod tests;
