//! What goes wrong between two servers, told apart by type, in the words that RethinkDB's library for HTTP has for it.

use std::error::Error;
use std::io;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No address.
    #[error("URL using bad/illegal format or missing URL")]
    BadUrl,
    /// Neither HTTP nor HTTPS.
    #[error("Unsupported protocol")]
    BadScheme,
    /// A header line that is none.
    #[error("`{0}` is not a header line")]
    BadHeader(String),
    /// The request may not be sent even once.
    #[error("could not perform, no attempts allowed")]
    NoAttempts,
    /// The host has no address.
    #[error("Couldn't resolve host name")]
    Unresolved,
    /// Nobody listens there, or nobody answers.
    #[error("could not connect to server")]
    Unconnected,
    /// The server does not prove who it is.
    #[error("SSL peer certificate or SSH remote key was not OK")]
    Untrusted,
    /// No agreement on TLS.
    #[error("SSL connect error")]
    Tls,
    /// The certificates to check servers with cannot be had.
    #[error("Problem with the SSL CA cert (path? access rights?)")]
    NoCertificates,
    /// The connection broke while the request was sent.
    #[error("error when sending data")]
    Sending,
    /// The connection broke while the response was read.
    #[error("error when receiving data")]
    Receiving,
    /// The connection was closed instead of an answer.
    #[error("Server returned nothing (no headers, no data)")]
    Nothing,
    /// The body ended before its end.
    #[error("Transferred a partial file")]
    Partial,
    /// What came is not HTTP.
    #[error("Weird server reply")]
    Weird,
    /// One redirect more than allowed.
    #[error("Number of redirects hit maximum amount")]
    Redirects,
    /// More than the server will keep in memory.
    #[error("the response is larger than {0} bytes")]
    TooLarge(usize),
    /// The operator does not want requests there.
    #[error("requests to that address are not allowed (`--http-deny`)")]
    Denied,
    /// It is this server.
    #[error("requests to the server's own ports are not allowed")]
    Own,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// A host name without an address, as our own lookup reports it.
#[derive(Debug, thiserror::Error)]
#[error("the host name has no address")]
pub(super) struct NoAddress;

/// Why none of a host's addresses will do, as our own lookup reports it.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no request may go to the addresses of the host")]
pub(super) enum Refused {
    /// See [`Failure::Denied`].
    Denied,
    /// See [`Failure::Own`].
    Own,
}

impl Failure {
    /// Whether it may be over the next time.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self, Failure::Unconnected | Failure::Sending | Failure::Receiving)
    }

    /// What a request that got no response failed of.
    pub(super) fn of_request(error: &reqwest::Error) -> Failure {
        for cause in causes(error) {
            if cause.is::<NoAddress>() {
                return Failure::Unresolved;
            }
            match cause.downcast_ref::<Refused>() {
                Some(Refused::Denied) => return Failure::Denied,
                Some(Refused::Own) => return Failure::Own,
                None => {}
            }
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Failure::of_tls(error);
            }
            if let Some(error) = cause.downcast_ref::<hyper::Error>() {
                if error.is_incomplete_message() {
                    return Failure::Nothing;
                }
                if error.is_parse() {
                    return Failure::Weird;
                }
            }
        }
        if error.is_connect() {
            return Failure::Unconnected;
        }
        match io_kind(error) {
            Some(io::ErrorKind::BrokenPipe) => Failure::Sending,
            Some(_) => Failure::Receiving,
            None => Failure::last_of(error),
        }
    }

    /// What reading a response's body failed of.
    pub(super) fn of_body(error: &reqwest::Error) -> Failure {
        match io_kind(error) {
            Some(io::ErrorKind::UnexpectedEof) => Failure::Partial,
            Some(_) => Failure::Receiving,
            None if causes(error).any(|cause| cause.is::<hyper::Error>()) => Failure::Partial,
            None => Failure::last_of(error),
        }
    }

    fn of_tls(error: &rustls::Error) -> Failure {
        match error {
            rustls::Error::InvalidCertificate(_) => Failure::Untrusted,
            _ => Failure::Tls,
        }
    }

    fn last_of(error: &reqwest::Error) -> Failure {
        Failure::Other(causes(error).last().map_or_else(|| error.to_string(), ToString::to_string))
    }
}

/// The error's causes, itself first.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let first: Option<&(dyn Error + 'static)> = Some(error);
    std::iter::successors(first, |error| cause(*error))
}

/// An I/O error that wraps another one hides it from `source`.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn io_kind(error: &reqwest::Error) -> Option<io::ErrorKind> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}
