//! Tables: documents in trees of bytes.

pub mod document;
pub mod key;
