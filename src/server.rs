//! The server: puts its parts together, opens its doors, waits for its end.

mod bounds;
#[cfg(test)]
mod config_tests;
mod directory;
mod machine;
mod memory_metrics;
mod numbers;
mod open_files;
#[cfg(test)]
mod operations_tests;
mod pid_file;
#[cfg(test)]
mod restart_tests;
mod signals;
mod storage_metrics;
mod store;
mod users;
mod verify;
mod watch;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::addresses::Addresses;
use crate::config::{Endpoint, QuerySettings, QuicSettings, Settings, StorageSettings};
use crate::holders::Holders;
use crate::http::{self, HttpState};
use crate::limits;
use crate::log_lines::LogLines;
use crate::metrics::Metrics;
use crate::net::{self, Certificate, CertificateError, Doors};
use crate::panics;
use crate::reql::http_client::{Network, Policy};
use crate::reql::{Context, OpenError, ServerFacts, js};
use crate::session::{Ended, Pool, Service};
use crate::shutdown::Shutdown;
use crate::storage::StorageError;
use crate::unread::Unread;

use bounds::{Bounds, Shares};
use directory::{Directory, DirectoryError};
use memory_metrics::{AccountMetric, LostMetric, MemoryMetrics};
use numbers::Counted;
use open_files::ConnectionBounds;
use pid_file::PidFile;
use signals::Signals;
pub use verify::{Findings, Verified, VerifyError, verify};

use store::StoreError;
use users::FirstPasswordError;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The folder cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A port is taken, or not ours to take.
    #[error("cannot listen for {purpose} on {address}: {source}")]
    Listen {
        /// Who was to connect there.
        purpose: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("QUIC: {0}")]
    Certificate(#[from] CertificateError),
    /// The certificate and its key do not go together, or the like.
    #[error("QUIC: {0}")]
    Quic(io::Error),
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(io::Error),
    /// The process id cannot be written.
    #[error("--pid-file: cannot write the process id to {path}: {source}")]
    PidFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The data cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog or the users cannot be opened.
    #[error("cannot open the data: {0}")]
    Open(#[from] OpenError),
    /// A new store cannot be written.
    #[error("cannot write the data: {0}")]
    Write(StorageError),
    /// What was written last could not be made durable.
    #[error("cannot close the data: {0}")]
    Close(StorageError),
    /// The engine broke down while it was being closed.
    #[error("cannot close the data: the storage engine failed")]
    CloseFailed,
    /// The numbers of the server have names that do not go together.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The admin cannot be given the first password.
    #[error(transparent)]
    FirstPassword(#[from] FirstPasswordError),
}

/// The argument of the command line that makes this binary a helper in which scripts run.
pub const SCRIPT_HELPER: &str = js::HELPER_ARGUMENT;

/// Is such a helper until its server wants it no more.
pub fn run_script_helper() -> ExitCode {
    js::serve_helper()
}

/// Starts the server on these threads and serves until SIGTERM or SIGINT. The caller is none of them.
pub async fn run(
    settings: Settings,
    log: Arc<LogLines>,
    workers: Handle,
) -> Result<(), ServerError> {
    let mut signals = Signals::register().map_err(ServerError::Signals)?;
    info!("Running photondb {}...", env!("CARGO_PKG_VERSION"));
    let directory = open_directory(&settings)?;
    let pid_file = settings.pid_file.as_deref().map(write_pid_file).transpose()?;
    let bounds = open_files::raise();
    let doors = open(&settings, &directory, bounds, log, workers.clone())?;
    let identity = directory.identity();
    info!("Server ready, \"{}\" {}", doors.service.context.server_name(), identity.id);
    let signal = signals.stop().await;
    info!("Server got {signal}; shutting down...");
    tokio::select! {
        () = stop_serving(&doors.shutdown) => {}
        signal = signals.stop() => warn!("Server got {signal} again; leaving at once"),
    }
    tokio::select! {
        closed = close(&doors, &workers) => closed?,
        signal = signals.stop() => warn!("Server got {signal} again; leaving at once"),
    }
    doors.shutdown.end();
    drop(pid_file);
    Ok(())
}

fn write_pid_file(path: &Path) -> Result<PidFile, ServerError> {
    PidFile::write(path).map_err(|source| ServerError::PidFile { path: path.to_owned(), source })
}

/// Brings what was written to the disk. May take a while, and is waited for on another thread, so that a signal is
/// heard.
async fn close(doors: &Doors, workers: &Handle) -> Result<(), ServerError> {
    let engine = doors.service.context.catalog.engine().clone();
    let closed = workers.spawn_blocking(move || engine.close()).await;
    closed.map_err(|_| ServerError::CloseFailed)?.map_err(ServerError::Close)
}

/// Opens the data and then the ports.
fn open(
    settings: &Settings,
    directory: &Directory,
    bounds: ConnectionBounds,
    log: Arc<LogLines>,
    workers: Handle,
) -> Result<Arc<Doors>, ServerError> {
    // Sockets belong to the threads that serve them.
    let _entered = workers.enter();
    let shutdown = Shutdown::new(workers.clone());
    let metrics = Arc::new(process_metrics()?);
    let context = Arc::new(open_data(settings, directory, &metrics)?);
    let unread = Arc::new(Unread::default());
    let holders = context.holders.clone();
    bound_what_waits(settings, &context, &unread, &holders, &metrics)?;
    // The runtime has a thread for each processor that the server may use.
    let running = workers.metrics().num_workers() * limits::TURNS_PER_PROCESSOR;
    let service = Arc::new(Service {
        context,
        pool: Pool::new(workers.clone(), limits::POOL_THREADS, running),
        metrics,
        unread,
        holders,
        ended: Ended::default(),
        slow_query: settings.queries.slow,
        identity: directory.identity().clone(),
    });
    if let Some(timeout) = settings.queries.timeout {
        service.context.set_query_timeout(timeout);
    }
    let users = service.context.users.clone();
    let engine = service.context.catalog.engine();
    users::set_first_password(&users, &**engine, &settings.initial_password)?;
    let http_state = HttpState::new(service.clone(), users.clone(), shutdown.clone());
    let of_one_address = || Addresses::new(settings.connections_per_address);
    let doors = Doors::with_places(service, users, shutdown, bounds.drivers, of_one_address());
    bound_what_arrives(settings, &doors)?;
    let driver_port = open_doors(settings, &doors)?;
    let mut http_port = None;
    if let Some(endpoint) = &settings.http {
        let (listeners, port) = listen(endpoint, "HTTP connections", open_tcp)?;
        http::serve(listeners, http_state, bounds.http, of_one_address());
        info!("Listening for HTTP connections on port {port}");
        http_port = Some(port);
    }
    let requests = policy(&settings.queries, driver_port, http_port);
    restrict_queries(&doors.service.context, &settings.queries, requests.clone());
    tell_facts(&doors, log, settings, driver_port, http_port);
    tell_bounds(&doors, settings, bounds, requests);
    let rates = numbers::tick(doors.service.clone(), doors.shutdown.clone());
    doors.shutdown.spawn(rates);
    doors.shutdown.spawn(watch::watch(doors.service.clone(), doors.shutdown.clone()));
    Ok(doors)
}

/// Bounds what waits for clients, and shows it among the numbers.
fn bound_what_waits(
    settings: &Settings,
    context: &Context,
    unread: &Unread,
    holders: &Holders,
    metrics: &Metrics,
) -> Result<(), prometheus::Error> {
    let feeds = "Changes that wait for feeds, in bytes.";
    let queries = "What queries and open streams hold while they wait, in bytes.";
    let answers = "Answers that clients have not read, in bytes.";
    for (name, help, account, part) in [
        ("photondb_feeds_waiting_bytes", feeds, context.hub.account(), limits::FEEDS_MACHINE_PART),
        ("photondb_answers_unread_bytes", answers, unread.account(), limits::UNREAD_MACHINE_PART),
        ("photondb_queries_held_bytes", queries, holders.account(), limits::HELD_MACHINE_PART),
    ] {
        account.set_most(store::part(settings.memory, part));
        metrics.add(Box::new(AccountMetric::new(name, help, account.clone())?))?;
    }
    let long_reads = store::part(settings.memory, limits::LONG_READS_MACHINE_PART);
    context.catalog.engine().set_long_read_bytes(long_reads);
    metrics.add(Box::new(LostMetric::new(context.hub.clone())?))
}

/// Bounds what arrives from clients, and shows it among the numbers.
fn bound_what_arrives(settings: &Settings, doors: &Doors) -> Result<(), prometheus::Error> {
    let (account, help) = (doors.frames.account(), "Large queries that are arriving, in bytes.");
    account.set_most(store::part(settings.memory, limits::LARGE_FRAMES_MACHINE_PART));
    let name = "photondb_frames_arriving_bytes";
    doors.service.metrics.add(Box::new(AccountMetric::new(name, help, account.clone())?))
}

/// The numbers of a server but for those of its engine, which adds its own.
fn process_metrics() -> Result<Metrics, prometheus::Error> {
    let metrics = Metrics::new()?;
    metrics.add(Box::new(panics::counter()?))?;
    metrics.add(Box::new(MemoryMetrics::new()?))?;
    Ok(metrics)
}

/// Tells what queries may not do: run scripts, or make requests, to some networks and to the server itself.
fn restrict_queries(context: &Context, settings: &QuerySettings, requests: Policy) {
    if settings.no_scripts {
        context.scripts.switch_off();
    }
    context.http.set_policy(requests);
}

/// What requests queries may make.
fn policy(settings: &QuerySettings, driver_port: u16, http_port: Option<u16>) -> Policy {
    let mut policy = Policy { allowed: !settings.no_requests, ..Policy::default() };
    if !settings.denied.defaults_too {
        policy.denied.clear();
    }
    let networks = settings.denied.networks.iter();
    policy.denied.extend(networks.filter_map(|text| Network::parse(text)));
    policy.own_ports = [Some(driver_port), http_port].into_iter().flatten().collect();
    policy
}

/// Tells queries what the server is, now that its ports are open.
fn tell_facts(
    doors: &Doors,
    log: Arc<LogLines>,
    settings: &Settings,
    driver_port: u16,
    http_port: Option<u16>,
) {
    let memory = store::memory(settings.memory);
    doors.service.context.set_facts(ServerFacts {
        id: doors.service.identity.id.clone(),
        automatic_cache_bytes: store::automatic_cache_bytes(memory),
        cache_bytes_most: store::cache_bytes_most(settings.memory, settings.queries.memory),
        memory: store::memory_bounds(memory, settings.queries.memory),
        driver_port,
        http_port,
        started: SystemTime::now(),
        log,
        numbers: Arc::new(Counted(doors.service.metrics.clone())),
    });
}

/// Tells the operator what bounds the server.
fn tell_bounds(
    doors: &Doors,
    settings: &Settings,
    connections: ConnectionBounds,
    requests: Policy,
) {
    let (memory, service) = (store::memory(settings.memory), &doors.service);
    if let Some(lowered) = bounds::lowered(settings.memory, machine::memory()) {
        warn!("{lowered}");
    }
    let shares = Shares {
        held: service.holders.account().most(),
        arriving: doors.frames.account().most(),
        unread: service.unread.account().most(),
        feeds: service.context.hub.account().most(),
        one_feed: service.context.hub.most_of_one() as u64,
    };
    let bounds = Bounds {
        memory,
        cache: service.context.catalog.engine().memory_bytes(),
        queries: store::memory_bounds(memory, settings.queries.memory),
        connections,
        of_one_address: settings.connections_per_address,
        timeout: settings.queries.timeout,
        slow: settings.queries.slow,
        shares,
        scripts: !settings.queries.no_scripts,
        requests,
    };
    bounds.tell();
}

/// Opens the data, and makes what a new server begins with.
fn open_data(
    settings: &Settings,
    directory: &Directory,
    metrics: &Metrics,
) -> Result<Context, ServerError> {
    let memory = store::memory(settings.memory);
    let engine = store::open(&settings.storage, memory, directory.path(), metrics)?;
    let context = Context::open(engine.clone(), &directory.identity().name)?;
    if let StorageSettings::Slab(slab) = &settings.storage {
        let most = store::cache_bytes_most(settings.memory, settings.queries.memory);
        store::settle_cache(slab.cache, memory, most, &context.catalog)?;
    }
    let (wanted, name) = (settings.server_name.as_deref(), context.server_name());
    if let Some(wanted) = wanted.filter(|wanted| **wanted != *name) {
        warn!("--server-name {wanted} is for a new directory: this server is \"{name}\" already");
    }
    // A catalog that was made just now must be the same after whatever comes.
    engine.wait_durable(engine.last_sequence()).map_err(ServerError::Write)?;
    Ok(context)
}

fn open_directory(settings: &Settings) -> Result<Directory, ServerError> {
    let wanted = settings.server_name.as_deref();
    let directory = Directory::open(&settings.directory, wanted)?;
    let path = directory.path().display();
    match (directory.is_new(), store::has_data(directory.path())) {
        (false, _) => info!("Using directory {path}"),
        (true, false) => info!("Initializing directory {path}"),
        (true, true) => warn!(
            "Using directory {path}, which has data and no server.json: the data stays as it is, and the server has a new id"
        ),
    }
    Ok(directory)
}

/// Takes one port on every address. IPv6 may be missing from a system: then IPv4 alone has to do.
fn listen<L>(
    endpoint: &Endpoint,
    purpose: &'static str,
    open: impl Fn(SocketAddr) -> io::Result<(L, u16)>,
) -> Result<(Vec<L>, u16), ServerError> {
    let mut listeners = Vec::new();
    let mut port = endpoint.port;
    for &ip in &endpoint.addresses {
        let address = SocketAddr::new(ip, port);
        let opened = match open(address) {
            Err(error) if ip.is_ipv6() && is_missing(&error) && ip.is_unspecified() => {
                debug!(%error, "no IPv6 here");
                open(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
            }
            Err(error) if ip.is_ipv6() && is_missing(&error) && !listeners.is_empty() => {
                debug!(%error, "no IPv6 here");
                continue;
            }
            opened => opened,
        };
        let failed = |source| ServerError::Listen { purpose, address, source };
        let (listener, found) = opened.map_err(failed)?;
        port = found;
        listeners.push(listener);
    }
    Ok((listeners, port))
}

fn open_tcp(address: SocketAddr) -> io::Result<(TcpListener, u16)> {
    let listener = net::listen_tcp(address)?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Opens the ports for drivers.
fn open_doors(settings: &Settings, doors: &Arc<Doors>) -> Result<u16, ServerError> {
    let purpose = "client driver connections";
    let (listeners, port) = listen(&settings.driver, purpose, open_tcp)?;
    for listener in listeners {
        doors.shutdown.spawn(net::serve_tcp(listener, doors.clone()));
    }
    info!("Listening for client driver connections on port {port}");
    if let Some(quic) = &settings.quic {
        open_quic(quic, doors)?;
    }
    Ok(port)
}

fn open_quic(settings: &QuicSettings, doors: &Arc<Doors>) -> Result<(), ServerError> {
    let certificate = match &settings.certificate {
        Some((chain, key)) => Certificate::read(chain, key)?,
        None => {
            warn!("QUIC has a certificate that was made just now: fit for development alone");
            Certificate::self_signed()?
        }
    };
    let config = net::quic_config(certificate).map_err(ServerError::Quic)?;
    let open = |address| {
        let endpoint = net::listen_quic(address, &config)?;
        let port = endpoint.local_addr()?.port();
        Ok((endpoint, port))
    };
    let (endpoints, port) = listen(&settings.endpoint, "client drivers over QUIC", open)?;
    for endpoint in endpoints {
        doors.shutdown.spawn(net::serve_quic(endpoint, doors.clone()));
    }
    info!("Listening for client driver connections over QUIC on UDP port {port}");
    Ok(())
}

/// Whether an address cannot be listened on because the system does not have it.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Of a system without IPv6; the standard library has no name for it.
const EAFNOSUPPORT: i32 = 97;

/// Lets queries end, then interrupts them, then leaves.
async fn stop_serving(shutdown: &Shutdown) {
    shutdown.begin();
    if timeout(limits::STOP_GRACE, shutdown.finished()).await.is_ok() {
        return;
    }
    shutdown.hurry();
    if timeout(limits::STOP_FLUSH, shutdown.finished()).await.is_err() {
        warn!("some clients were still being served when their time was over");
    }
}
