//! Who asks: HTTP's Basic authentication against the users that drivers log in as. A request without it is the admin's,
//! as a driver's connection is, and passes only while the admin has no password.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photondb_protocol::handshake::scram::UserLookup;
use tokio::time::timeout;

use crate::addresses::network;
use crate::auth::ADMIN;
use crate::limits;

use super::HttpState;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such user, or not the password.
    Wrong,
    /// The server failed to find out.
    Unknown,
    /// Others wait for it to find out.
    Busy,
    /// The request comes from a page of another site, or may do so; says why.
    Elsewhere(&'static str),
}

/// The user that a request comes from.
pub async fn user(
    state: &HttpState,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<String, Denied> {
    check_origin(headers)?;
    let (user, password) = match headers.get(header::AUTHORIZATION) {
        None => (ADMIN.to_owned(), String::new()),
        Some(value) => basic(value).ok_or(Denied::Wrong)?,
    };
    // A page may send a name and no password just as well as neither.
    if password.is_empty() {
        check_host(headers)?;
    }
    let credentials = state.users.credentials(&user).ok_or(Denied::Wrong)?;
    // Checking costs as much as the password is meant to cost; a bounded number is checked at a time, and a bounded number
    // waits for it: who waits has a place that nobody else can have.
    let _waiting = state.checked.enter(network(address)).ok_or(Denied::Busy)?;
    let check = timeout(limits::HTTP_PASSWORD_TIME, state.checks.clone().acquire_owned()).await;
    let check = check.map_err(|_| Denied::Busy)?.map_err(|_| Denied::Unknown)?;
    let checked = tokio::task::spawn_blocking(move || {
        let _check = check;
        credentials.is_password(password.as_bytes())
    });
    match checked.await {
        Ok(true) => Ok(user),
        Ok(false) => Err(Denied::Wrong),
        Err(_) => Err(Denied::Unknown),
    }
}

/// A browser tells which site a page is from. Pages of other sites may not ask.
fn check_origin(headers: &HeaderMap) -> Result<(), Denied> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let of_host = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match (of_host, host) {
        (Some((_, of)), Some(host)) if of.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(Denied::Elsewhere("The Origin header names another site than the Host header.")),
    }
}

/// A site can have its own name point to this server, so that its pages are of the same origin (DNS rebinding). It does not
/// know a password, and no such site can have an address or `localhost` as its name: one of the two is needed.
fn check_host(headers: &HeaderMap) -> Result<(), Denied> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if name.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost") {
        return Ok(());
    }
    Err(Denied::Elsewhere(
        "Without a password, the Host header must be an address or localhost. Log in, or use the server's address.",
    ))
}

/// `Basic`, and `user:password` in base64.
fn basic(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &str, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers.insert(header::HOST, host.parse().unwrap());
        headers
    }

    #[test]
    fn a_name_that_others_can_choose_is_no_host_without_a_password() {
        let check = |host| check_host(&with(header::ACCEPT, "*/*", host)).is_ok();
        for host in
            ["localhost", "LocalHost:8080", "127.0.0.1:8080", "[::1]:8080", "[::1]", "10.0.0.7"]
        {
            assert!(check(host), "{host}");
        }
        for host in ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
            assert!(!check(host), "{host}");
        }
        assert!(check_host(&HeaderMap::new()).is_err());
    }

    #[test]
    fn an_origin_must_be_that_of_the_host() {
        let check = |origin, host| check_origin(&with(header::ORIGIN, origin, host)).is_ok();
        assert!(check("http://localhost:8080", "localhost:8080"));
        assert!(check("https://DB.example", "db.example"));
        for origin in ["http://evil.example", "http://localhost:8081", "null", "localhost:8080"] {
            assert!(!check(origin, "localhost:8080"), "{origin}");
        }
        assert!(check_origin(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn basic_headers() {
        let read = |text: &str| basic(&HeaderValue::from_str(text).unwrap());
        let alice = Some(("alice".to_owned(), "a:b".to_owned()));
        assert_eq!(read(&format!("Basic {}", STANDARD.encode("alice:a:b"))), alice);
        assert_eq!(read(&format!("basic {}", STANDARD.encode("alice:a:b"))), alice);
        for text in ["Basic", "Basic !", "Bearer YTpi", &format!("Basic {}", STANDARD.encode("a"))]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
