//! The `photondb` binary: hands over to the command line.
fn main() {}
