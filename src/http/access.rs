//! Who asks: HTTP's Basic authentication against the users that drivers log in as. A request without it is the admin's,
//! as a driver's connection is, and passes only while the admin has no password.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use photondb_protocol::handshake::scram::UserLookup;

use crate::auth::ADMIN;

use super::HttpState;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No such user, or not the password.
    Wrong,
    /// The server failed to find out.
    Unknown,
}

/// The user that a request comes from.
pub async fn user(state: &HttpState, headers: &HeaderMap) -> Result<String, Denied> {
    let (user, password) = match headers.get(header::AUTHORIZATION) {
        None => (ADMIN.to_owned(), String::new()),
        Some(value) => basic(value).ok_or(Denied::Wrong)?,
    };
    let credentials = state.users.credentials(&user).ok_or(Denied::Wrong)?;
    // Checking costs as much as the password is meant to cost; a bounded number is checked at a time.
    let Ok(check) = state.checks.clone().acquire_owned().await else { return Err(Denied::Unknown) };
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
