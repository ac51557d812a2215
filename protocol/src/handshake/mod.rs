//! From the first byte of a connection to a known user: bytes in, bytes and a verdict out. This file reads the
//! version and keeps the state; `current` has the messages of V1_0, `legacy` those of V0_3 and V0_4, [`scram`] the
//! proofs. Knows no socket, no clock and no source of randomness: the nonce is an argument.

mod current;
mod legacy;
pub mod scram;

use bytes::{Buf, BytesMut};

use crate::numbers::Version;
use scram::UserLookup;

/// Bytes of randomness that the server adds to a client's nonce. As many as make every answer to a login longer than
/// the greeting before it, even to a client without a nonce of its own: `rethinkdbdash` looks for the end of the
/// second message only behind the length of the first when both arrive together.
pub const NONCE_SIZE: usize = 24;

/// The handshake of one connection.
#[derive(Debug)]
pub struct Handshake {
    server_version: String,
    nonce: [u8; NONCE_SIZE],
    state: State,
}

/// How far a handshake has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing more can be done with what has arrived.
    NeedMore,
    /// The output holds one message and more follow: send it, then feed again with what is left of the input. Each
    /// message leaves in a write of its own, as RethinkDB's do.
    Answered,
    /// Done. What is left of the input are frames.
    Ready(Client),
    /// The connection is to be closed once the output is sent. Further input is ignored.
    Refused(HandshakeError),
}

/// Who is at the other end, and how it speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The user's name; `admin` for clients that only know an authorization key.
    pub user: String,
    /// V0_3, V0_4 or V1_0. A V0_3 client runs one query at a time.
    pub version: Version,
}

/// Why a client was refused, for the log; what the client is told is in the output already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct HandshakeError {
    /// RethinkDB's number: 1 to 9 for a message at fault, 10 to 20 for a login at fault, -1 outside V1_0.
    pub code: i32,
    /// RethinkDB's text.
    pub message: String,
}

#[derive(Debug)]
enum State {
    Version,
    Legacy(Version),
    Current(current::State),
    Ended,
}

/// What one step of a handshake comes to.
enum Step<S> {
    NeedMore(S),
    /// Nothing was said.
    Next(S),
    /// One message was said.
    Answered(S),
    Ready(Client),
}

/// What a client is told for which there is no place, after the first bytes that it said: drivers that speak V1_0 read
/// nothing but JSON, and older ones nothing but a line.
pub fn turn_away(said: &[u8], message: &str) -> Vec<u8> {
    let mut output = Vec::new();
    if said.starts_with(&Version::V1_0.number().to_le_bytes()) {
        let error = HandshakeError { code: -1, message: message.to_owned() };
        current::write_refusal(&mut output, &error);
    } else {
        legacy::refuse(message.to_owned(), &mut output);
    }
    output
}

impl Handshake {
    /// Waits for the first byte of a connection. The nonce must be random and is good for one connection.
    pub fn new(server_version: impl Into<String>, nonce: [u8; NONCE_SIZE]) -> Handshake {
        Handshake { server_version: server_version.into(), nonce, state: State::Version }
    }

    /// Takes what it needs from the input and appends what is to be sent, at most one message, to the output. To be
    /// called again until the progress is [`Progress::Ready`] or [`Progress::Refused`]: after [`Progress::NeedMore`]
    /// with more input, after [`Progress::Answered`] at once.
    ///
    /// It never waits with more than [`crate::limits::HANDSHAKE_INPUT_MAX`] bytes of input left.
    pub fn feed(
        &mut self,
        input: &mut BytesMut,
        users: &impl UserLookup,
        output: &mut Vec<u8>,
    ) -> Progress {
        loop {
            let step = match std::mem::replace(&mut self.state, State::Ended) {
                State::Version => self.version(input, output),
                State::Legacy(version) => legacy::step(version, input, users, output)
                    .map(|step| step.map(|()| State::Legacy(version))),
                State::Current(state) => current::step(state, &self.nonce, input, users, output)
                    .map(|step| step.map(State::Current)),
                State::Ended => return Progress::NeedMore,
            };
            match step {
                Ok(Step::Next(state)) => self.state = state,
                Ok(Step::Answered(state)) => {
                    self.state = state;
                    return Progress::Answered;
                }
                Ok(Step::NeedMore(state)) => {
                    self.state = state;
                    return Progress::NeedMore;
                }
                Ok(Step::Ready(client)) => return Progress::Ready(client),
                Err(error) => return Progress::Refused(error),
            }
        }
    }

    /// Whether the next [`Handshake::feed`] with this input hashes a password, which may take long: it should not be
    /// called where others wait then.
    pub fn is_costly(&self, input: &[u8], users: &impl UserLookup) -> bool {
        match self.state {
            State::Legacy(_) => legacy::judges_key(input, users),
            State::Version => input.split_first_chunk::<4>().is_some_and(|(magic, rest)| {
                let version = Version::from_number(i64::from(u32::from_le_bytes(*magic)));
                matches!(version, Some(Version::V0_3 | Version::V0_4))
                    && legacy::judges_key(rest, users)
            }),
            State::Current(_) | State::Ended => false,
        }
    }

    fn version(
        &self,
        input: &mut BytesMut,
        output: &mut Vec<u8>,
    ) -> Result<Step<State>, HandshakeError> {
        let Some((magic, _)) = input.split_first_chunk::<4>() else {
            return Ok(Step::NeedMore(State::Version));
        };
        let magic = u32::from_le_bytes(*magic);
        input.advance(4);
        match Version::from_number(i64::from(magic)) {
            Some(version @ (Version::V0_3 | Version::V0_4)) => {
                Ok(Step::Next(State::Legacy(version)))
            }
            Some(Version::V1_0) => {
                current::hello(&self.server_version, output);
                Ok(Step::Answered(State::Current(current::State::First)))
            }
            Some(Version::V0_1 | Version::V0_2) => Err(legacy::refuse(
                "The PROTOBUF client protocol is no longer supported".to_owned(),
                output,
            )),
            None => Err(legacy::refuse(
                "Received an unsupported protocol version. This port is for RethinkDB queries. \
                 Does your client driver version not match the server?"
                    .to_owned(),
                output,
            )),
        }
    }
}

impl<S> Step<S> {
    fn map<T>(self, change: impl FnOnce(S) -> T) -> Step<T> {
        match self {
            Step::NeedMore(state) => Step::NeedMore(change(state)),
            Step::Next(state) => Step::Next(change(state)),
            Step::Answered(state) => Step::Answered(change(state)),
            Step::Ready(client) => Step::Ready(client),
        }
    }
}

#[cfg(test)]
mod tests;
