//! What the operator asks for: raw arguments, and the settings they come to once checked. Knows texts and addresses,
//! not what they are used for.

mod args;
mod settings;

pub use args::ServeArgs;
pub use settings::{Settings, SettingsError};
