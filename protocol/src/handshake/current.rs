//! The handshake of V1_0: JSON objects, each ended by a zero byte, around a SCRAM login. Knows the fields of the
//! messages and their errors; the login itself is `scram`'s.

use bytes::{Buf, BytesMut};

use super::scram::{Login, UserLookup};
use super::{Client, HandshakeError, NONCE_SIZE, Step};
use crate::json::{self, Json};
use crate::limits;
use crate::numbers::Version;
use crate::text::write_string;

/// Which of the client's two messages comes next.
#[derive(Debug)]
pub(super) enum State {
    First,
    Last(Box<Login>),
}

/// The only version of the handshake so far.
const PROTOCOL_VERSION: f64 = 0.0;

/// Of the one fault that RethinkDB closes on without a word.
const SILENT: i32 = 0;

/// What the server says first.
pub(super) fn hello(server_version: &str, output: &mut Vec<u8>) {
    output.extend_from_slice(
        br#"{"max_protocol_version":0,"min_protocol_version":0,"server_version":"#,
    );
    write_string(output, server_version);
    output.extend_from_slice(b",\"success\":true}\0");
}

/// Reads one message and answers it.
pub(super) fn step(
    state: State,
    nonce: &[u8; NONCE_SIZE],
    input: &mut BytesMut,
    users: &impl UserLookup,
    output: &mut Vec<u8>,
) -> Result<Step<State>, HandshakeError> {
    let answered = match message_end(input) {
        Ok(None) => return Ok(Step::NeedMore(state)),
        Ok(Some(end)) => {
            let message = input.split_to(end);
            input.advance(1);
            answer(state, nonce, &message, users)
        }
        Err(error) => Err(error),
    };
    match answered {
        Ok((authentication, step)) => {
            output.extend_from_slice(br#"{"authentication":"#);
            write_string(output, &authentication);
            output.extend_from_slice(b",\"success\":true}\0");
            Ok(step)
        }
        Err(error) => {
            if error.code != SILENT {
                write_refusal(output, &error);
            }
            Err(error)
        }
    }
}

/// Writes why a client is refused.
pub(super) fn write_refusal(output: &mut Vec<u8>, error: &HandshakeError) {
    output.extend_from_slice(br#"{"error":"#);
    write_string(output, &error.message);
    let rest = format!(",\"error_code\":{},\"success\":false}}\0", error.code);
    output.extend_from_slice(rest.as_bytes());
}

/// Where the zero byte is, if it has arrived.
fn message_end(input: &BytesMut) -> Result<Option<usize>, HandshakeError> {
    match input.iter().take(limits::HANDSHAKE_MESSAGE_MAX - 1).position(|&byte| byte == 0) {
        None if input.len() >= limits::HANDSHAKE_MESSAGE_MAX => {
            Err(error(7, "Limited read buffer size."))
        }
        end => Ok(end),
    }
}

fn answer(
    state: State,
    nonce: &[u8; NONCE_SIZE],
    message: &[u8],
    users: &impl UserLookup,
) -> Result<(String, Step<State>), HandshakeError> {
    let invalid = || error(8, "Invalid JSON object.");
    let text = std::str::from_utf8(message).map_err(|_| invalid())?;
    let json = json::parse(text).map_err(|_| invalid())?;
    let Json::Object(fields) = json else {
        // An internal check of RethinkDB fails here, and nothing is answered.
        return Err(error(SILENT, "Expected a JSON object."));
    };
    if has_duplicates(&fields) {
        return Err(error(9, "Failed to convert JSON to datum."));
    }
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let authentication = || match field("authentication") {
        Some(Json::String(authentication)) => Ok(authentication.as_ref()),
        _ => Err(error(5, "Expected a string for `authentication`.")),
    };
    match state {
        State::First => {
            match field("protocol_version") {
                Some(Json::Number(version)) if *version == PROTOCOL_VERSION => {}
                Some(Json::Number(_)) => return Err(error(2, "Unsupported `protocol_version`.")),
                _ => return Err(error(1, "Expected a number for `protocol_version`.")),
            }
            match field("authentication_method") {
                Some(Json::String(method)) if method == "SCRAM-SHA-256" => {}
                Some(Json::String(_)) => {
                    return Err(error(4, "Unsupported `authentication_method`."));
                }
                _ => return Err(error(3, "Expected a string for `authentication_method`.")),
            }
            let (login, first) = Login::begin(authentication()?, nonce, users)?;
            Ok((first, Step::Answered(State::Last(Box::new(login)))))
        }
        State::Last(login) => {
            let (user, last) = login.finish(authentication()?)?;
            Ok((last, Step::Ready(Client { user, version: Version::V1_0 })))
        }
    }
}

fn has_duplicates<K: Ord, V>(fields: &[(K, V)]) -> bool {
    let mut names: Vec<&K> = fields.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| matches!(pair, [a, b] if a == b))
}

fn error(code: i32, message: &str) -> HandshakeError {
    HandshakeError { code, message: message.to_owned() }
}
