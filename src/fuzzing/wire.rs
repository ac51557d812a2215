//! The bytes of a driver's connection: the handshake, the frames behind it, the queries in them.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use photondb_protocol::frame::{FrameCodec, Received, write_response};
use photondb_protocol::handshake::scram::{SALT_SIZE, ScramCredentials, UserLookup};
use photondb_protocol::handshake::{Client, Handshake, NONCE_SIZE, Progress};
use photondb_protocol::limits::HANDSHAKE_INPUT_MAX;
use photondb_protocol::query;
use photondb_protocol::response::write_query_error;
use ring::{digest, hmac, pbkdf2};
use tokio_util::codec::Decoder;

const NONCE: [u8; NONCE_SIZE] = [b'n'; NONCE_SIZE];
const SALT: [u8; SALT_SIZE] = [b's'; SALT_SIZE];
/// Few, so that many handshakes can be tried.
const ROUNDS: NonZeroU32 = NonZeroU32::MIN;

/// An admin without a password, and a user with one.
struct Users;

impl UserLookup for Users {
    fn credentials(&self, user: &str) -> Option<ScramCredentials> {
        let password: &[u8] = match user {
            "admin" => b"",
            "bob" => b"secret",
            _ => return None,
        };
        Some(ScramCredentials::from_password(password, SALT, ROUNDS))
    }

    fn secret(&self) -> &[u8] {
        b"a secret"
    }
}

/// What is seen of a connection from the server's side.
#[derive(Debug, PartialEq)]
enum Event {
    Ready(Client),
    Refused(String),
    Query(u64, Bytes),
    TooLarge(u64, u32),
    NoFrames,
}

/// Reads bytes as all that a driver says. However they are cut into pieces, the server sees the same and answers the same.
pub fn check_connection(data: &[u8]) -> Result<(), String> {
    let whole = converse(data, data.len().max(1))?;
    let size = data.first().map_or(1, |byte| 1 + usize::from(*byte) % 7);
    let in_pieces = converse(data, size)?;
    if whole != in_pieces {
        return Err(format!("in pieces of {size}: {in_pieces:?}, whole: {whole:?}"));
    }
    for event in &whole.0 {
        if let Event::Query(token, body) = event
            && let Err(error) = query::parse(body)
        {
            let mut out = Vec::new();
            write_response(&mut out, *token, |out| write_query_error(out, &error));
        }
    }
    Ok(())
}

/// What is seen, and what is said.
fn converse(data: &[u8], size: usize) -> Result<(Vec<Event>, Vec<u8>), String> {
    let mut handshake = Some(Handshake::new("2.4.4-photondb", NONCE));
    let (mut codec, mut input) = (FrameCodec::default(), BytesMut::new());
    let (mut events, mut said) = (Vec::new(), Vec::new());
    for piece in data.chunks(size) {
        input.extend_from_slice(piece);
        while let Some(open) = &mut handshake {
            let _ = open.is_costly(&input, &Users);
            match open.feed(&mut input, &Users, &mut said) {
                Progress::NeedMore if input.len() > HANDSHAKE_INPUT_MAX => {
                    return Err(format!("it waits with {} bytes", input.len()));
                }
                Progress::NeedMore => break,
                Progress::Answered => {}
                Progress::Ready(client) => {
                    events.push(Event::Ready(client));
                    handshake = None;
                }
                Progress::Refused(error) => {
                    events.push(Event::Refused(error.message));
                    return Ok((events, said));
                }
            }
        }
        while handshake.is_none() {
            match codec.decode(&mut input) {
                Ok(Some(Received::Query { token, body })) => events.push(Event::Query(token, body)),
                Ok(Some(Received::TooLarge { token, size })) => {
                    events.push(Event::TooLarge(token, size));
                    return Ok((events, said));
                }
                Ok(None) => break,
                Err(_) => {
                    events.push(Event::NoFrames);
                    return Ok((events, said));
                }
            }
        }
    }
    Ok((events, said))
}

/// Connections of each version that log in, and then ask.
pub fn connection_seeds() -> Vec<Vec<u8>> {
    let number = |number: u32| number.to_le_bytes().to_vec();
    let frame = |token: u64, body: &[u8]| {
        [&token.to_le_bytes(), &number(body.len() as u32)[..], body].concat()
    };
    let asks = [frame(1, b"[1,[24,[1,1]],{}]"), frame(2, b"[4]"), frame(3, b"[5]")].concat();
    let too_large = [&7_u64.to_le_bytes()[..], &number(u32::MAX), b"[1"].concat();
    let json = number(0x7e69_70c7);
    let legacy = |version: u32| [number(version), number(0), json.clone()].concat();
    vec![
        [legacy(0x5f75_e83e), asks.clone()].concat(),
        [legacy(0x400c_2d20), asks.clone()].concat(),
        [legacy(0x400c_2d20), too_large].concat(),
        [login("admin", ""), asks.clone()].concat(),
        [login("bob", "secret"), asks.clone()].concat(),
        [login("bob", "wrong"), asks].concat(),
        [number(0x400c_2d20), number(3), b"key".to_vec(), json].concat(),
    ]
}

/// What a driver of V1_0 says until it is logged in.
fn login(user: &str, password: &str) -> Vec<u8> {
    let bare = format!("n={user},r=client");
    let nonce = format!("client{}", STANDARD.encode(NONCE));
    let first = format!("r={nonce},s={},i={ROUNDS}", STANDARD.encode(SALT));
    let without_proof = format!("c=biws,r={nonce}");
    let mut salted = [0; 32];
    let password = password.as_bytes();
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, &SALT, password, &mut salted);
    let sign = |key: &[u8], text: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
    };
    let client_key = sign(&salted, b"Client Key");
    let stored_key = digest::digest(&digest::SHA256, &client_key);
    let signature = sign(stored_key.as_ref(), format!("{bare},{first},{without_proof}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, sign)| key ^ sign).collect();
    let hello = format!(
        r#"{{"protocol_version":0,"authentication_method":"SCRAM-SHA-256","authentication":"n,,{bare}"}}"#
    );
    let proves = format!(r#"{{"authentication":"{without_proof},p={}"}}"#, STANDARD.encode(proof));
    let magic = 0x34c2_bdc3_u32.to_le_bytes();
    [&magic[..], hello.as_bytes(), b"\0", proves.as_bytes(), b"\0"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_log_in_and_ask() {
        let queries = |seed: &Vec<u8>| {
            let (events, _) = converse(seed, seed.len()).unwrap();
            events.iter().filter(|event| matches!(event, Event::Query(..))).count()
        };
        let counts: Vec<usize> = connection_seeds().iter().map(queries).collect();
        assert_eq!(counts, [3, 3, 0, 3, 3, 0, 0]);
    }
}
