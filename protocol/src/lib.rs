//! The ReQL wire protocol as pure functions: bytes in, events out.
//! Knows no socket, no clock and no task; TCP, TLS and QUIC share it.
