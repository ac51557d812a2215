//! Every bound of the wire, each with its reason. Bounds of evaluation and storage live with the server.

/// Bytes of one query's body, in bytes. RethinkDB's bound (128 MB less one); drivers know it.
pub const QUERY_SIZE_MAX: u32 = 134_217_727;

/// Bytes of an oversized body that are read and thrown away so that the client sees the error instead of a
/// broken connection. RethinkDB's bound (1 GB): a longer one is answered and closed at once.
pub const QUERY_DISCARD_MAX: u32 = 1_073_741_824;

/// Levels of arrays and objects in a query's JSON. A term costs two levels, so this is 4,096 nested terms; the
/// deepest query on record has 3,000. It bounds the recursion of everything that walks the tree later.
pub const JSON_DEPTH_MAX: usize = 8_192;

/// Values in a query's JSON, containers included. A tree takes up to 56 bytes for a value of two bytes of text, so
/// this keeps the tree of the largest query under a gigabyte; ordinary documents meet the size bound first.
pub const JSON_VALUES_MAX: usize = 16_777_216;

/// Bytes of one handshake message of V1_0, terminating zero included. RethinkDB's bound.
pub const HANDSHAKE_MESSAGE_MAX: usize = 2_048;

/// Bytes of a V0_3 or V0_4 authorization key. RethinkDB's bound.
pub const AUTHORIZATION_KEY_MAX: u32 = 2_048;

/// Bytes of input that an unfinished handshake may wait with: the longest message, or the longest key between its
/// length and the protocol.
pub const HANDSHAKE_INPUT_MAX: usize = 4 + AUTHORIZATION_KEY_MAX as usize + 4;

/// Bytes of one response's body: its length field has 32 bits. RethinkDB refuses the largest value too.
pub const RESPONSE_SIZE_MAX: u32 = u32::MAX - 1;
