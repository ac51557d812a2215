//! The options of `serve` as they are written. RethinkDB's names where RethinkDB has them.

use std::path::PathBuf;

use clap::Args;

/// Options of `photondb serve`.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Where data is kept
    #[arg(short = 'd', long, alias = "data-dir", value_name = "DIR")]
    pub directory: Option<PathBuf>,

    /// Address to listen on, or `all`; may be given more than once [default: loopback]
    #[arg(long, value_name = "all|ADDRESS")]
    pub bind: Vec<String>,

    /// Port for client drivers [default: 28015]
    #[arg(long, value_name = "PORT")]
    pub driver_port: Option<u16>,

    /// Port for HTTP [default: 8080]
    #[arg(long, value_name = "PORT")]
    pub http_port: Option<u16>,

    /// Added to the ports
    #[arg(short = 'o', long, value_name = "OFFSET")]
    pub port_offset: Option<u16>,

    /// The server's name
    #[arg(short = 'n', long, value_name = "NAME")]
    pub server_name: Option<String>,
}
