//! Checked settings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use super::args::ServeArgs;

const DRIVER_PORT: u16 = 28015;
const DIRECTORY: &str = "photondb_data";

/// What the server is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where data is kept.
    pub directory: PathBuf,
    /// Addresses of the listeners.
    pub bind: Vec<IpAddr>,
    /// Port for client drivers; 0 lets the system choose.
    pub driver_port: u16,
    /// The name, if one was given.
    pub server_name: Option<String>,
}

/// An option that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an address.
    #[error("--bind: `{0}` is neither `all` nor an IP address")]
    Bind(String),
    /// A port above the last one.
    #[error("--port-offset: port {port} and offset {offset} are more than 65535")]
    Port {
        /// The port.
        port: u16,
        /// What is added.
        offset: u16,
    },
}

impl Settings {
    /// Checks raw arguments and fills in what was not given.
    pub fn check(args: ServeArgs) -> Result<Settings, SettingsError> {
        let offset = args.port_offset.unwrap_or(0);
        let port = |given: Option<u16>, default: u16| {
            let port = given.unwrap_or(default);
            if port == 0 {
                return Ok(0);
            }
            port.checked_add(offset).ok_or(SettingsError::Port { port, offset })
        };
        let mut bind = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        for address in &args.bind {
            if address == "all" {
                bind = vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
                break;
            }
            let address = address.parse().map_err(|_| SettingsError::Bind(address.to_owned()))?;
            if !bind.contains(&address) {
                bind.push(address);
            }
        }
        Ok(Settings {
            directory: args.directory.unwrap_or_else(|| PathBuf::from(DIRECTORY)),
            bind,
            driver_port: port(args.driver_port, DRIVER_PORT)?,
            server_name: args.server_name,
        })
    }
}
