//! Requests to other servers, for `r.http`: one request with its retries, redirects, authentication and cookies, and
//! what its answer is as a value.
//!
//! Knows HTTP and values; nothing of terms, options and streams. HTTP and HTTPS only. Requests run on a thread of their
//! own, so that neither TLS nor a slow server takes time from the network's workers; the query waits on its own thread
//! and goes on at once when it is cancelled.

mod body;
mod cookies;
mod digest;
mod exchange;
mod failure;
mod headers;
mod host;
mod policy;
mod request;
mod url;

use std::sync::Arc;
use std::time::Instant;

use crate::cancel::CancelFlag;
use crate::datum::Datum;
use crate::turns;

pub use cookies::Cookies;
pub use host::HttpHost;
pub use policy::{Network, Policy};
pub use request::{Auth, AuthKind, Method, Request, ResultFormat, encode_fields, field_text};

/// What a server answered, as values.
#[derive(Debug)]
pub struct Response {
    /// The last response's header: an object of texts by lower-case names.
    pub header: Datum,
    /// The body in the format asked for; null for HEAD.
    pub body: Datum,
    /// What the server wants to be told the next time.
    pub cookies: Cookies,
}

/// Why a request failed.
#[derive(Debug)]
pub enum HttpError {
    /// It ran into its own time limit.
    TimedOut,
    /// The operator allows no requests.
    SwitchedOff,
    /// The query was cancelled, or its time is over.
    Interrupted,
    /// There is no memory for its answer.
    TooMuch,
    /// Anything else; what was received so far comes along, null where there is nothing.
    Failed {
        /// What went wrong, without a period.
        text: String,
        /// The header, if it came to that.
        header: Datum,
        /// The body, if it came to that.
        body: Datum,
    },
}

/// Reads a JSON text, or says what the request then failed of.
pub type ReadJson<'a> = &'a dyn Fn(&str) -> Result<Datum, String>;

/// Told how many bytes of an answer have come, before they become a value; says whether they may.
pub type Receive<'a> = &'a dyn Fn(usize) -> bool;

/// Performs a request and reads its answer. Waits for it, at most until the deadline of the query.
pub fn perform(
    host: &HttpHost,
    request: &Arc<Request>,
    cookies: Cookies,
    cancel: &CancelFlag,
    deadline: Option<Instant>,
    receive: Receive<'_>,
    json: ReadJson<'_>,
) -> Result<Response, HttpError> {
    let received = {
        let _pause = turns::pause();
        host.exchange(request, cookies, cancel, deadline)?
    };
    if !receive(received.body.capacity()) {
        return Err(HttpError::TooMuch);
    }
    let failed =
        |text: String, header: Datum, body: Datum| HttpError::Failed { text, header, body };
    let header = headers::to_datum(&received.headers)
        .map_err(|text| failed(text, Datum::Null, Datum::Null))?;
    let content = match body::decode(&received.headers, received.body) {
        Ok(content) => content,
        Err(text) => return Err(failed(text, header, Datum::Null)),
    };
    if !(200..300).contains(&received.status) {
        let body = if content.is_empty() { Datum::Null } else { body::text(&content) };
        return Err(failed(format!("status code {}", received.status), header, body));
    }
    if request.method == Method::Head {
        return Ok(Response { header, body: Datum::Null, cookies: received.cookies });
    }
    match body::to_datum(&received.headers, &content, request.format, json) {
        Ok(body) => Ok(Response { header, body, cookies: received.cookies }),
        Err(text) => Err(failed(text, header, body::text(&content))),
    }
}

#[cfg(test)]
pub(crate) mod test_server;
#[cfg(test)]
mod tests;
