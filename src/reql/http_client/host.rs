//! The thread on which requests run, and the clients that keep connections.
//! Knows nothing of what is asked.

use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use tokio::runtime::{Builder, Runtime};

use super::HttpError;
use super::cookies::Cookies;
use super::exchange::{Received, exchange};
use super::failure::{Failure, NoAddress, Refused};
use super::policy::{Policy, is_of_this_machine};
use super::request::Request;
use crate::cancel::CancelFlag;
use crate::datum::Datum;
use crate::limits;

/// What a server needs to ask others. Nothing runs before the first request.
#[derive(Debug, Default)]
pub struct HttpHost {
    policy: OnceLock<Policy>,
    started: Mutex<Option<Arc<Clients>>>,
    runtime: Mutex<Option<Runtime>>,
}

/// The clients: for servers that must prove who they are, and for the others.
#[derive(Debug)]
pub(super) struct Clients {
    policy: Arc<Policy>,
    trusting: Client,
    verifying: OnceLock<Option<Client>>,
    /// The same for ports that are this server's on this machine: other machines may have them too.
    trusting_elsewhere: OnceLock<Option<Client>>,
    verifying_elsewhere: OnceLock<Option<Client>>,
}

impl HttpHost {
    /// Says where requests may go. Only the first word counts, and none after the first request.
    pub fn set_policy(&self, policy: Policy) {
        let _ = self.policy.set(policy);
    }

    /// Sends a request and waits for the answer, whatever its status.
    pub(super) fn exchange(
        &self,
        request: &Arc<Request>,
        cookies: Cookies,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<Received, HttpError> {
        if !self.policy.get_or_init(Policy::default).allowed {
            return Err(HttpError::SwitchedOff);
        }
        let clients = self.clients().map_err(failed)?;
        let (answer, answered) = sync_channel(1);
        let limit = Duration::from_millis(request.timeout);
        let asked = request.clone();
        let work = async move {
            let result = tokio::time::timeout(limit, exchange(&clients, &asked, cookies)).await;
            // The query may have gone on without it.
            let _ = answer.try_send(result);
        };
        let task = match self.runtime().as_ref() {
            Some(runtime) => runtime.spawn(work),
            None => return Err(failed(Failure::Other("the server stops".to_owned()))),
        };
        loop {
            match answered.recv_timeout(limits::FETCH_CANCEL_CHECK) {
                Ok(Ok(result)) => return result.map_err(failed),
                Ok(Err(_)) => return Err(HttpError::TimedOut),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(failed(Failure::Other("the request was given up".to_owned())));
                }
            }
            if cancel.is_cancelled() || deadline.is_some_and(|end| Instant::now() >= end) {
                task.abort();
                return Err(HttpError::Interrupted);
            }
        }
    }

    fn runtime(&self) -> std::sync::MutexGuard<'_, Option<Runtime>> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clients(&self) -> Result<Arc<Clients>, Failure> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = started.as_ref() {
            return Ok(clients.clone());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(limits::FETCH_LOOKUP_THREADS)
            .thread_name("http-client")
            .enable_all()
            .build()
            .map_err(|error| Failure::Other(error.to_string()))?;
        // One crypto library for the process; whoever comes first installs it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let policy = Arc::new(self.policy.get_or_init(Policy::default).clone());
        let trusting = client(false, Lookup::anywhere(&policy))
            .map_err(|error| Failure::Other(error.to_string()))?;
        let (verifying, trusting_elsewhere, verifying_elsewhere) = Default::default();
        let clients = Arc::new(Clients {
            policy,
            trusting,
            verifying,
            trusting_elsewhere,
            verifying_elsewhere,
        });
        *self.runtime() = Some(runtime);
        *started = Some(clients.clone());
        Ok(clients)
    }
}

impl Drop for HttpHost {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime().take() {
            // Never waits: it may be dropped where waiting is forbidden.
            runtime.shutdown_background();
        }
    }
}

impl Clients {
    /// The client for one address. Reading the system's certificates waits for the first request that needs them.
    pub(super) fn of(&self, url: &reqwest::Url, verify: bool) -> Result<&Client, Failure> {
        let verify = verify && url.scheme() != "http";
        let port = url.port_or_known_default().unwrap_or_default();
        self.check_address(url, port)?;
        let is_own_port = self.policy.own_ports.contains(&port);
        let slot = match (verify, is_own_port) {
            (false, false) => return Ok(&self.trusting),
            (true, false) => &self.verifying,
            (false, true) => &self.trusting_elsewhere,
            (true, true) => &self.verifying_elsewhere,
        };
        let lookup = Lookup { policy: self.policy.clone(), elsewhere: is_own_port };
        slot.get_or_init(|| client(verify, lookup).ok()).as_ref().ok_or(Failure::NoCertificates)
    }

    /// An address that is written in the request is not looked up.
    fn check_address(&self, url: &reqwest::Url, port: u16) -> Result<(), Failure> {
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match host.parse() {
            Ok(address) if !self.policy.allows(address) => Err(Failure::Denied),
            Ok(address) if self.policy.is_own(SocketAddr::new(address, port)) => Err(Failure::Own),
            _ => Ok(()),
        }
    }
}

fn client(verify: bool, lookup: Lookup) -> reqwest::Result<Client> {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .dns_resolver(Arc::new(lookup))
        .pool_idle_timeout(limits::FETCH_IDLE)
        .pool_max_idle_per_host(limits::FETCH_IDLE_CONNECTIONS)
        .tls_danger_accept_invalid_certs(!verify)
        .build()
}

fn failed(failure: Failure) -> HttpError {
    HttpError::Failed { text: failure.to_string(), header: Datum::Null, body: Datum::Null }
}

/// The system's name lookup, with errors of its own types, and without addresses that requests must not go to. What it
/// gives is what is connected to: a name cannot mean another address later.
#[derive(Clone)]
struct Lookup {
    policy: Arc<Policy>,
    /// Whether no address of this machine will do.
    elsewhere: bool,
}

impl Lookup {
    fn anywhere(policy: &Arc<Policy>) -> Lookup {
        Lookup { policy: policy.clone(), elsewhere: false }
    }

    fn judge(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        let count = found.len();
        let mut left = found;
        left.retain(|address| self.policy.allows(address.ip()));
        if left.is_empty() && count > 0 {
            return Err(Refused::Denied);
        }
        let any = !left.is_empty();
        left.retain(|address| !self.elsewhere || !is_of_this_machine(address.ip()));
        if left.is_empty() && any { Err(Refused::Own) } else { Ok(left) }
    }
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NoAddress)?;
            let addresses = lookup.judge(found.collect())?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
