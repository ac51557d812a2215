//! What the operator asks for: a table of options, their raw texts from three sources, and the settings they come to
//! once checked. Knows texts, addresses and paths; not what they are used for.

mod file;
mod options;
mod queries;
mod raw;
mod room;
mod settings;

pub use options::{OPTIONS, OptionSpec, Takes, find};
pub use queries::QuerySettings;
pub use raw::{Origin, RawOptions, unknown_variables};
pub use room::{NoRoom, automatic_cache_bytes, cache_bytes_most};
pub use settings::{
    CacheSize, Endpoint, InitialPassword, QuicSettings, Settings, SlabSettings, StorageSettings,
    directory,
};

/// An option that is not there, or cannot be what it was said to be. Names the option, the value and where it was
/// given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value that the option cannot have.
    #[error("{origin}: `{value}` is not {expected}")]
    Value {
        /// The option, as it was written there.
        origin: Origin,
        /// What was given.
        value: String,
        /// What would have been right.
        expected: &'static str,
    },
    /// An option of RethinkDB's that this server does not have.
    #[error("{origin}: not supported by this server: {reason}")]
    NotSupported {
        /// The option, as it was written there.
        origin: Origin,
        /// Why, or what to do instead.
        reason: &'static str,
    },
    /// No such option.
    #[error("{origin}: there is no such option")]
    Unknown {
        /// The option, as it was written there.
        origin: Origin,
    },
    /// A value for an option that takes none, or none for one that does.
    #[error("{origin}: {problem}")]
    Form {
        /// The option, as it was written there.
        origin: Origin,
        /// What is wrong.
        problem: &'static str,
    },
    /// Options that do not go together.
    #[error("{0}")]
    Combination(&'static str),
    /// The memory of the server does not hold what it is divided into.
    #[error(transparent)]
    Room(Box<NoRoom>),
    /// A port and the offset make no port.
    #[error("{origin}: port {port} and a --port-offset of {offset} are more than 65535")]
    Port {
        /// The option with the port.
        origin: Origin,
        /// The port.
        port: u16,
        /// What is added.
        offset: u16,
    },
    /// The config file cannot be read.
    #[error("the config file {path} cannot be read: {problem}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        problem: String,
    },
}
