//! The handshake of V0_3 and V0_4: an authorization key, which is the admin user's password since RethinkDB 2.3,
//! and the name of a protocol. Knows nothing of other users.

use bytes::{Buf, BytesMut};

use super::scram::UserLookup;
use super::{Client, HandshakeError, Step};
use crate::limits;
use crate::numbers::{Protocol, Version};

const ADMIN: &str = "admin";

/// Whether all that follows the version is there, so that the key is judged next. That takes as long as the rounds of the
/// admin's password ask for.
pub(super) fn judges_key(input: &[u8], users: &impl UserLookup) -> bool {
    let Some((length, rest)) = input.split_first_chunk::<4>() else { return false };
    let length = u32::from_le_bytes(*length);
    length <= limits::AUTHORIZATION_KEY_MAX
        && rest.len() >= length as usize + 4
        && users.credentials(ADMIN).is_some_and(|admin| admin.iterations.get() > 1)
}

/// What follows the version: length of the key, the key, the protocol.
pub(super) fn step(
    version: Version,
    input: &mut BytesMut,
    users: &impl UserLookup,
    output: &mut Vec<u8>,
) -> Result<Step<()>, HandshakeError> {
    let Some((length, rest)) = input.split_first_chunk::<4>() else {
        return Ok(Step::NeedMore(()));
    };
    let length = u32::from_le_bytes(*length);
    if length > limits::AUTHORIZATION_KEY_MAX {
        let message = "Client provided an authorization key that is too long.".to_owned();
        return Err(refuse(message, output));
    }
    let Some((key, rest)) = rest.split_at_checked(length as usize) else {
        return Ok(Step::NeedMore(()));
    };
    // RethinkDB judges the key before it has the protocol; the two arrive together.
    let Some((protocol, _)) = rest.split_first_chunk::<4>() else {
        return Ok(Step::NeedMore(()));
    };
    if !users.credentials(ADMIN).is_some_and(|admin| admin.is_password(key)) {
        return Err(refuse("Incorrect authorization key.".to_owned(), output));
    }
    let protocol = u32::from_le_bytes(*protocol);
    match Protocol::from_number(i64::from(protocol)) {
        Some(Protocol::Json) => {}
        Some(Protocol::Protobuf) => {
            let message = "The PROTOBUF client protocol is no longer supported".to_owned();
            return Err(refuse(message, output));
        }
        None => {
            let number = protocol.cast_signed();
            let message = format!("Unrecognized protocol specified: '{number}'");
            return Err(refuse(message, output));
        }
    }
    input.advance(4 + length as usize + 4);
    output.extend_from_slice(b"SUCCESS\0");
    Ok(Step::Ready(Client { user: ADMIN.to_owned(), version }))
}

/// Tells a client that has not said V1_0 why it is refused.
pub(super) fn refuse(message: String, output: &mut Vec<u8>) -> HandshakeError {
    output.extend_from_slice(format!("ERROR: {message}\n\0").as_bytes());
    HandshakeError { code: -1, message }
}
