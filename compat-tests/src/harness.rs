//! Starts a server of its own on free ports and a folder that vanishes, and stops it when dropped.
//! Knows the command line of `photondb serve` and `/proc`; must not know scripts.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use serde_json::value::RawValue;
use tempfile::TempDir;

use crate::player::no_options;
use crate::wire::{Connection, WireError};

/// A server that takes longer to its first answer has failed to start.
const START_LIMIT: Duration = Duration::from_secs(15);
/// A server that has not stopped this long after SIGTERM is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often to look whether the server has started or stopped.
const POLL: Duration = Duration::from_millis(2);

/// Why there is no server, or nothing known of it.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The process ended, or never answered; holds the end of its log.
    #[error("the server did not start ({reason}); its log ends:\n{log}")]
    NotStarted {
        /// What was seen.
        reason: String,
        /// Last lines of its output.
        log: String,
    },
    /// The server gave no answer to `1 + 1`, or a wrong one.
    #[error("the server does not answer: {0}")]
    Silent(String),
}

/// A running server. Dropping it stops the process, and removes its folder if it has one of its own.
pub struct Server {
    child: Child,
    address: SocketAddr,
    http: SocketAddr,
    log: PathBuf,
    started_in: Duration,
    _folder: Option<TempDir>,
}

impl Server {
    /// Starts `binary` with two free ports on loopback, and waits for its first answer.
    pub fn start(binary: &Path) -> Result<Self, HarnessError> {
        Self::start_with(binary, &[])
    }

    /// As [`Server::start`], with more arguments.
    pub fn start_with(binary: &Path, arguments: &[&str]) -> Result<Self, HarnessError> {
        let folder = TempDir::new().map_err(system("a folder for the server"))?;
        let mut server = Self::spawn(binary, folder.path(), arguments)?;
        server._folder = Some(folder);
        server.wait_until_ready()?;
        Ok(server)
    }

    /// Starts `binary` with more arguments and `data` and `log` in a folder that stays, and does not wait for it.
    /// The log is that of this start alone.
    pub fn spawn(binary: &Path, folder: &Path, arguments: &[&str]) -> Result<Self, HarnessError> {
        let path = folder.join("log");
        let log = File::create(&path).map_err(system("the server's log"))?;
        let errors = log.try_clone().map_err(system("the server's log"))?;
        let (address, http) = free_addresses().map_err(system("a free port"))?;
        let began = Instant::now();
        let child = Command::new(binary)
            .arg("serve")
            .args(["--bind", "127.0.0.1"])
            .args(["--driver-port", &address.port().to_string()])
            .args(["--http-port", &http.port().to_string()])
            .arg("--directory")
            .arg(folder.join("data"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(system(&binary.display().to_string()))?;
        let started_in = began.elapsed();
        Ok(Self { child, address, http, log: path, started_in, _folder: None })
    }

    /// Where drivers connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the HTTP server listens.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// From the start of the process to its first answer.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The process, for `/proc`.
    pub fn process(&self) -> Process {
        Process { id: self.child.id() }
    }

    /// The last lines the server wrote.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    /// Asks the process to end (SIGTERM) and gives its exit status and how long it took.
    /// `None` when it had to be killed.
    pub fn stop(&mut self) -> Result<Option<(ExitStatus, Duration)>, HarnessError> {
        let began = Instant::now();
        self.ask_to_stop()?;
        while began.elapsed() < STOP_LIMIT {
            if let Some(status) = self.child.try_wait().map_err(system("wait"))? {
                return Ok(Some((status, began.elapsed())));
            }
            thread::sleep(POLL);
        }
        self.child.kill().map_err(system("kill"))?;
        self.child.wait().map_err(system("wait"))?;
        Ok(None)
    }

    /// Ends the process at once (SIGKILL), whatever it is doing.
    pub fn kill(&mut self) -> Result<(), HarnessError> {
        self.child.kill().map_err(system("kill"))?;
        self.child.wait().map_err(system("wait")).map(drop)
    }

    /// Asks the process to end (SIGTERM) and does not wait for it.
    pub fn ask_to_stop(&self) -> Result<(), HarnessError> {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().map_err(system("kill")).map(drop)
    }

    /// Waits for the first answer of a process that was spawned.
    pub fn wait_until_ready(&mut self) -> Result<(), HarnessError> {
        let began = Instant::now();
        let spawned_in = self.started_in;
        loop {
            let reason = match answers(self.address) {
                Ok(()) => {
                    self.started_in = spawned_in + began.elapsed();
                    return Ok(());
                }
                Err(error) => error.to_string(),
            };
            if let Some(status) = self.child.try_wait().map_err(system("wait"))? {
                return Err(HarnessError::NotStarted {
                    reason: status.to_string(),
                    log: self.log_tail(),
                });
            }
            if began.elapsed() > START_LIMIT {
                return Err(HarnessError::NotStarted { reason, log: self.log_tail() });
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            // nothing can be done about a process that cannot be killed
            let _ = self.stop();
        }
    }
}

/// What the system knows of a running server.
#[derive(Clone, Copy)]
pub struct Process {
    /// Process id.
    pub id: u32,
}

impl Process {
    /// Resident memory in bytes.
    pub fn resident(self) -> Result<u64, HarnessError> {
        self.status_field("VmRSS:")
    }

    /// The most resident memory since [`forget_peak`](Self::forget_peak), in bytes.
    pub fn peak_resident(self) -> Result<u64, HarnessError> {
        self.status_field("VmHWM:")
    }

    /// Starts a new measurement of the peak.
    pub fn forget_peak(self) -> Result<(), HarnessError> {
        let path = format!("/proc/{}/clear_refs", self.id);
        fs::write(&path, "5").map_err(system(&path))
    }

    fn status_field(self, name: &str) -> Result<u64, HarnessError> {
        let path = format!("/proc/{}/status", self.id);
        let text = fs::read_to_string(&path).map_err(system(&path))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok());
        let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("no {name}"));
        kilobytes.map(|kilobytes: u64| kilobytes * 1024).ok_or_else(missing).map_err(system(&path))
    }
}

/// Connects and asks for `1 + 1`.
pub fn answers(address: SocketAddr) -> Result<(), HarnessError> {
    let ask = || -> Result<_, WireError> {
        let term = RawValue::from_string("[24,[1,1]]".into())?;
        Connection::open(address, "admin", "")?.run(&term, no_options())
    };
    let answer = ask().map_err(|error| HarnessError::Silent(error.to_string()))?;
    if answer.get("r") == Some(&json!([2])) {
        Ok(())
    } else {
        Err(HarnessError::Silent(format!("{answer:?}")))
    }
}

/// Lets `photondb verify` look at the data of a server that was spawned in a folder and does not run; gives what it
/// complains about. A server that was killed before it had made its files has none.
pub fn verify_data(binary: &Path, folder: &Path) -> Result<Option<String>, HarnessError> {
    let data = folder.join("data");
    let output = Command::new(binary)
        .arg("verify")
        .arg("--directory")
        .arg(&data)
        .output()
        .map_err(system("photondb verify"))?;
    if output.status.success() || !data.join("slab.data").exists() {
        return Ok(None);
    }
    let text = [output.stdout, output.stderr].concat();
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The server of the release build, in the tree this crate was built from.
pub fn release_binary() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    target.unwrap_or_else(default).join("release/photondb")
}

/// Ports that no system gives to outgoing connections by itself: one of those might be taken before the server asks for it.
const PORTS: Range<u32> = 10_000..32_000;

/// Two free ports.
fn free_addresses() -> io::Result<(SocketAddr, SocketAddr)> {
    Ok((free_address()?, free_address()?))
}

/// The next port that is free, beginning where another process probably does not.
fn free_address() -> io::Result<SocketAddr> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let many = PORTS.end - PORTS.start;
    let start = std::process::id().wrapping_mul(64);
    let mut problem = None;
    for _ in 0..many {
        let offset = start.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed)) % many;
        let port = u16::try_from(PORTS.start + offset).map_err(io::Error::other)?;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return listener.local_addr(),
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn system(what: &str) -> impl FnOnce(io::Error) -> HarnessError + use<> {
    let what = what.to_owned();
    move |source| HarnessError::System { what, source }
}
