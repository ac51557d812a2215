//! `POST /api/query`: one ReQL query, without a driver.
//!
//! The body is JSON: `[term]`, `[term, options]` or `{"query": term, "options": {..}}`, with the term and the global
//! options in wire form: `[[24,[1,1]]]` is `r.expr(1).add(1)`. The content type must be `application/json`, which a
//! page of another site cannot send without being asked for.
//!
//! The answer to a query that gives one value is `{"value": ..}`; to one that gives a stream `{"rows": [..],
//! "complete": true}`, false when there were more rows than the server sends at once. Errors are `{"error": {"type": ..,
//! "message": .., "backtrace": [..]}}` with status 400 (not a query, or one that cannot run), 401 (not logged in), 403
//! (not allowed to, or from a page of another
//! site), 408, 413 (the body is too slow or too long), 415 (not JSON), 422 (it failed), 500 (the server failed) or 503 (it was stopped, its time
//! was over, or too many others are being answered).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use photondb_protocol::json::{self, Json};
use photondb_protocol::raw_term::{Frame, RawTerm};
use photondb_protocol::text::write_string;

use crate::addresses::network;
use crate::limits;
use crate::reql::{ErrorKind, Program};
use crate::session::{AskBounds, AskError, Asked, Client, NotRead, ask, ask_long};

use super::body::Received;

use super::HttpState;
use super::access::{self, Denied};
use super::body;
use super::connections::Peer;

type Query<'q> = (RawTerm<'q>, Vec<(Cow<'q, str>, RawTerm<'q>)>);

/// Answers one query.
pub async fn post(
    State(state): State<HttpState>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let address = peer.address;
    if state.shutdown.has_begun() {
        let refused = error(StatusCode::SERVICE_UNAVAILABLE, "OP_FAILED", STOPPING, &[]);
        return (CLOSE, refused).into_response();
    }
    if peer.is_reserved {
        // The next connection of this client may find a place where queries are answered.
        return (CLOSE, busy(CROWDED)).into_response();
    }
    let user: Arc<str> = match access::user(&state, &headers, address.ip()).await {
        Ok(user) => Arc::from(user),
        Err(Denied::Wrong) => return unauthorized(),
        Err(Denied::Elsewhere(why)) => {
            return error(StatusCode::FORBIDDEN, "PERMISSION_ERROR", why, &[]);
        }
        Err(Denied::Busy) => return busy("The server is checking as many passwords as it can."),
        Err(Denied::Unknown) => {
            let message = "The password could not be checked.";
            return error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message, &[]);
        }
    };
    if !is_json(&headers) {
        let message = "The content type must be application/json.";
        return error(StatusCode::UNSUPPORTED_MEDIA_TYPE, "CLIENT_ERROR", message, &[]);
    }
    let received = match body::receive(&headers, body, &state.bodies, network(address.ip())).await {
        Ok(received) => received,
        Err(refused) => {
            return error(refused.status(), "CLIENT_ERROR", &refused.to_string(), &[]);
        }
    };
    // Taken when the body is there: who sends none has nothing that others want.
    let Some(_evaluated) = state.queries.enter((user.clone(), network(address.ip()))) else {
        return busy(
            "The server evaluates as many queries over HTTP as it does at a time for you.",
        );
    };
    let bounds = AskBounds {
        rows: limits::HTTP_ROWS,
        bytes: limits::HTTP_ANSWER_BYTES,
        deadline: Instant::now() + Duration::from_secs(limits::HTTP_QUERY_SECONDS),
    };
    let client = Client { address, user };
    tokio::select! {
        biased;
        asked = evaluate(&state, client, received, bounds) => match asked {
            Ok(asked) => answer(asked),
            Err(failed) => failure(&failed),
        },
        () = state.shutdown.hurried() => {
            error(StatusCode::SERVICE_UNAVAILABLE, "OP_FAILED", INTERRUPTED, &[])
        }
    }
}

/// Reads and evaluates the query of a body, which is dropped once it is compiled.
async fn evaluate(
    state: &HttpState,
    client: Client,
    received: Received,
    bounds: AskBounds,
) -> Result<Asked, AskError> {
    let size = received.bytes.len();
    if size > limits::INLINE_BODY_BYTES {
        let compile = move |now: &_| {
            // All of it, so that its share goes with the bytes.
            let received = received;
            let (term, options) = read(&received.bytes)?;
            Ok(Program::compile(term, options, now))
        };
        return ask_long(&state.service, client, size, Box::new(compile), bounds).await;
    }
    let (term, options) = read(&received.bytes).map_err(AskError::NotRead)?;
    ask(&state.service, client, term, options, bounds).await
}

/// RethinkDB's words.
const INTERRUPTED: &str = "Query interrupted.  Did you shut down the server?";

const CROWDED: &str = "Every HTTP connection that may ask queries is taken.";

const STOPPING: &str = "The server is stopping.";

const CLOSE: [(HeaderName, HeaderValue); 1] =
    [(header::CONNECTION, HeaderValue::from_static("close"))];

/// For now.
fn busy(why: &str) -> Response {
    error(StatusCode::SERVICE_UNAVAILABLE, "OP_FAILED", &format!("{why} Try again."), &[])
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}

fn read(body: &[u8]) -> Result<Query<'_>, NotRead> {
    let plain = |message: &str| (message.to_owned(), Vec::new());
    let text = std::str::from_utf8(body).map_err(|_| plain("The body is not UTF-8."))?;
    let json = json::parse(text).map_err(|problem| (problem.to_string(), Vec::new()))?;
    let (term, options) = match json {
        Json::Array(items) => {
            let mut items = items.into_iter();
            match (items.next(), items.next(), items.next()) {
                (Some(term), options, None) => (term, options),
                _ => return Err(plain("The array must be [term] or [term, options].")),
            }
        }
        Json::Object(fields) => {
            let (mut term, mut options) = (None, None);
            for (name, value) in fields {
                match name.as_ref() {
                    "query" if term.is_none() => term = Some(value),
                    "options" if options.is_none() => options = Some(value),
                    _ => {
                        let message = format!("The field `{name}` is unknown, or there twice.");
                        return Err((message, Vec::new()));
                    }
                }
            }
            (term.ok_or_else(|| plain("The field `query` is missing."))?, options)
        }
        _ => return Err(plain("The body must be an array or an object.")),
    };
    let term = RawTerm::from_json(term).map_err(|problem| (problem.message, problem.path))?;
    let fields = match options {
        None => Vec::new(),
        Some(Json::Object(fields)) => fields,
        Some(_) => return Err(plain("The options must be an object.")),
    };
    let options = fields.into_iter().map(|(name, value)| {
        let value = RawTerm::from_json(value).map_err(|problem| plain(&problem.message))?;
        Ok((name, value))
    });
    Ok((term, options.collect::<Result<_, _>>()?))
}

fn answer(asked: Asked) -> Response {
    let body = match asked {
        Asked::Value(json) => [b"{\"value\":", &json[..], b"}\n"].concat(),
        Asked::Rows { json, complete } => {
            let end = if complete { "],\"complete\":true}\n" } else { "],\"complete\":false}\n" };
            [b"{\"rows\":[", &json[..], end.as_bytes()].concat()
        }
    };
    (StatusCode::OK, [JSON], body).into_response()
}

const JSON: (HeaderName, HeaderValue) =
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

fn failure(failed: &AskError) -> Response {
    match failed {
        AskError::NotRead((message, path)) => {
            error(StatusCode::BAD_REQUEST, "CLIENT_ERROR", message, path)
        }
        AskError::Compile(problem) => {
            error(StatusCode::BAD_REQUEST, "COMPILE_ERROR", &problem.message, &problem.path)
        }
        AskError::Run(failure) => {
            let (status, kind) = status(failure.kind);
            error(status, kind, &failure.message, &failure.path)
        }
        AskError::Feed => {
            let message = "A changefeed never ends; ask for it with a driver.";
            error(StatusCode::BAD_REQUEST, "QUERY_LOGIC", message, &[])
        }
        AskError::Terminated => {
            let message = "Query terminated by the `rethinkdb.jobs` table.";
            error(StatusCode::SERVICE_UNAVAILABLE, "OP_INDETERMINATE", message, &[])
        }
        AskError::NotDurable(cause) => {
            let message = format!("The write was applied but could not be made durable: {cause}");
            error(StatusCode::INTERNAL_SERVER_ERROR, "OP_INDETERMINATE", &message, &[])
        }
        AskError::TooLong(bytes) => {
            let message = format!("The answer is longer than {bytes} bytes.");
            error(StatusCode::UNPROCESSABLE_ENTITY, "RESOURCE_LIMIT", &message, &[])
        }
        AskError::Broken => {
            let message = "The server failed while it evaluated the query. The log tells more.";
            error(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", message, &[])
        }
    }
}

/// The status for a kind of run-time error, and the protocol's name of the kind.
fn status(kind: ErrorKind) -> (StatusCode, &'static str) {
    match kind {
        ErrorKind::Logic => (StatusCode::UNPROCESSABLE_ENTITY, "QUERY_LOGIC"),
        ErrorKind::NonExistence => (StatusCode::UNPROCESSABLE_ENTITY, "NON_EXISTENCE"),
        ErrorKind::ResourceLimit | ErrorKind::OutOfMemory => {
            (StatusCode::UNPROCESSABLE_ENTITY, "RESOURCE_LIMIT")
        }
        ErrorKind::User | ErrorKind::EmptyUser => (StatusCode::UNPROCESSABLE_ENTITY, "USER"),
        ErrorKind::OpFailed => (StatusCode::UNPROCESSABLE_ENTITY, "OP_FAILED"),
        ErrorKind::OpIndeterminate => (StatusCode::INTERNAL_SERVER_ERROR, "OP_INDETERMINATE"),
        ErrorKind::Permission => (StatusCode::FORBIDDEN, "PERMISSION_ERROR"),
        ErrorKind::TimedOut => (StatusCode::SERVICE_UNAVAILABLE, "OP_INDETERMINATE"),
        ErrorKind::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, "OP_FAILED"),
        ErrorKind::Internal | ErrorKind::NotResident => {
            (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL")
        }
    }
}

fn unauthorized() -> Response {
    let mut response =
        error(StatusCode::UNAUTHORIZED, "PERMISSION_ERROR", "Wrong user or password.", &[]);
    let challenge = HeaderValue::from_static("Basic realm=\"photondb\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn error(status: StatusCode, kind: &str, message: &str, path: &[Frame]) -> Response {
    let mut body = b"{\"error\":{\"type\":".to_vec();
    write_string(&mut body, kind);
    body.extend_from_slice(b",\"message\":");
    write_string(&mut body, message);
    body.extend_from_slice(b",\"backtrace\":[");
    for (index, frame) in path.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match frame {
            Frame::Position(position) => body.extend_from_slice(position.to_string().as_bytes()),
            Frame::Name(name) => write_string(&mut body, name),
        }
    }
    body.extend_from_slice(b"]}}\n");
    (status, [JSON], body).into_response()
}
