//! The thread on which requests run, and the clients that keep connections.
//! Knows nothing of what is asked.

use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use tokio::runtime::{Builder, Runtime};

use super::HttpError;
use super::cookies::Cookies;
use super::exchange::{Received, exchange};
use super::failure::{Failure, NoAddress};
use super::request::Request;
use crate::datum::Datum;
use crate::limits;
use crate::reql::env::CancelFlag;

/// What a server needs to ask others. Nothing runs before the first request.
#[derive(Debug, Default)]
pub struct HttpHost {
    started: Mutex<Option<Arc<Clients>>>,
    runtime: Mutex<Option<Runtime>>,
}

/// The clients: for servers that must prove who they are, and for the others.
#[derive(Debug)]
pub(super) struct Clients {
    trusting: Client,
    verifying: OnceLock<Option<Client>>,
}

impl HttpHost {
    /// Sends a request and waits for the answer, whatever its status.
    pub(super) fn exchange(
        &self,
        request: &Arc<Request>,
        cookies: Cookies,
        cancel: &CancelFlag,
        deadline: Option<Instant>,
    ) -> Result<Received, HttpError> {
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
        let trusting = client(false).map_err(|error| Failure::Other(error.to_string()))?;
        let clients = Arc::new(Clients { trusting, verifying: OnceLock::new() });
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
        if !verify || url.scheme() == "http" {
            return Ok(&self.trusting);
        }
        self.verifying.get_or_init(|| client(true).ok()).as_ref().ok_or(Failure::NoCertificates)
    }
}

fn client(verify: bool) -> reqwest::Result<Client> {
    Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .dns_resolver(Arc::new(Lookup))
        .pool_idle_timeout(limits::FETCH_IDLE)
        .pool_max_idle_per_host(limits::FETCH_IDLE_CONNECTIONS)
        .tls_danger_accept_invalid_certs(!verify)
        .build()
}

fn failed(failure: Failure) -> HttpError {
    HttpError::Failed { text: failure.to_string(), header: Datum::Null, body: Datum::Null }
}

/// The system's name lookup, with an error of its own type.
struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| NoAddress)?;
            let addresses: Vec<SocketAddr> = found.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
