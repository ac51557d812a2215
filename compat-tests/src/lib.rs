//! Everything that judges the server from outside, over its sockets.
//! Knows the wire protocol and nothing of the server's insides.
