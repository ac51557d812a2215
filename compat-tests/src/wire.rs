//! A blocking wire client: V1_0 handshake (SCRAM-SHA-256), frames, streams drained one answer at a time.
//! Written apart from the server's own handshake and frames on purpose, so that a mistake there is seen here.
//! Must not know scripts, comparison or the process it speaks to.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::num::NonZeroU32;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::SecureRandom;
use ring::{digest, hmac, pbkdf2, rand};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// First four bytes of a V1_0 connection, little-endian.
pub const MAGIC_V1_0: u32 = 0x34c2_bdc3;
/// First four bytes of a V0_4 connection, little-endian.
pub const MAGIC_V0_4: u32 = 0x400c_2d20;
/// The JSON protocol, as a legacy handshake names it.
pub const PROTOCOL_JSON: u32 = 0x7e69_70c7;

/// Query type: run a term.
pub const START: u8 = 1;
/// Query type: the next batch of a stream.
pub const CONTINUE: u8 = 2;
/// Query type: end a stream.
pub const STOP: u8 = 3;

/// Response type: the last batch of a stream.
pub const SUCCESS_SEQUENCE: u64 = 2;
/// Response type: a batch with more to come.
pub const SUCCESS_PARTIAL: u64 = 3;

/// Response types from here on are errors.
pub const FIRST_ERROR: u64 = 16;

/// A read that takes longer is a broken connection.
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// No recorded stream is longer; one that is would never end.
const MAX_ROWS: usize = 200_000;
/// Bytes asked of the socket at once.
const READ_CHUNK: usize = 1 << 16;

/// One answer of the server: the JSON object of a response frame.
pub type Response = Map<String, Value>;

/// Why a connection gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket failed, or stayed silent longer than the timeout.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("server closed the connection")]
    Closed,
    /// The handshake was refused; holds the server's own message.
    #[error("handshake refused: {0}")]
    Refused(String),
    /// What came back is not what the protocol allows.
    #[error("malformed answer: {0}")]
    Malformed(String),
    /// A stream went on past any recorded length.
    #[error("a stream of more than {MAX_ROWS} rows")]
    TooManyRows,
}

impl WireError {
    /// True when the read gave up waiting, so that the connection can still be used.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Io(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }
}

impl From<serde_json::Error> for WireError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// A connection that has passed the V1_0 handshake. Dropping it closes the socket.
pub struct Connection {
    socket: TcpStream,
    buffer: Vec<u8>,
    token: u64,
}

impl Connection {
    /// Connects as `user` and proves the password.
    pub fn open(
        address: impl ToSocketAddrs,
        user: &str,
        password: &str,
    ) -> Result<Self, WireError> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(READ_TIMEOUT))?;
        let mut connection = Self { socket, buffer: Vec::new(), token: 0 };
        connection.handshake(user, password)?;
        Ok(connection)
    }

    /// Runs a term and drains its stream. A feed never ends: use [`start`](Self::start) for one.
    pub fn run(&mut self, term: &RawValue, options: &RawValue) -> Result<Response, WireError> {
        let (token, first) = self.start(term, options)?;
        if kind(&first) != Some(SUCCESS_PARTIAL) {
            return Ok(first);
        }
        let mut answer = first;
        let mut rows = take_rows(&mut answer);
        while kind(&answer) == Some(SUCCESS_PARTIAL) {
            answer = self.more(token)?;
            if !matches!(kind(&answer), Some(SUCCESS_PARTIAL | SUCCESS_SEQUENCE)) {
                return Ok(answer);
            }
            rows.append(&mut take_rows(&mut answer));
            if rows.len() > MAX_ROWS {
                self.stop(token)?;
                return Err(WireError::TooManyRows);
            }
        }
        answer.insert("r".into(), Value::Array(rows));
        Ok(answer)
    }

    /// Sends START; gives the query's token and its first answer.
    pub fn start(
        &mut self,
        term: &RawValue,
        options: &RawValue,
    ) -> Result<(u64, Response), WireError> {
        self.token += 1;
        let token = self.token;
        self.send(token, format!("[{START},{term},{options}]").as_bytes())?;
        Ok((token, self.answer_to(token)?))
    }

    /// Asks for the next batch of a stream.
    pub fn more(&mut self, token: u64) -> Result<Response, WireError> {
        self.send_continue(token)?;
        self.answer_to(token)
    }

    /// Asks for the next batch without waiting for it.
    pub fn send_continue(&mut self, token: u64) -> Result<(), WireError> {
        self.send(token, format!("[{CONTINUE}]").as_bytes())
    }

    /// Ends a stream; gives the answer to the STOP, or to a CONTINUE that was still open.
    pub fn stop(&mut self, token: u64) -> Result<Response, WireError> {
        self.send_stop(token)?;
        self.answer_to(token)
    }

    /// Ends a stream without waiting for the answer.
    pub fn send_stop(&mut self, token: u64) -> Result<(), WireError> {
        self.send(token, format!("[{STOP}]").as_bytes())
    }

    /// The next answer that carries `token`; answers to others are passed over.
    pub fn answer_to(&mut self, token: u64) -> Result<Response, WireError> {
        loop {
            let (its_token, answer) = self.receive()?;
            if its_token == token {
                return Ok(answer);
            }
        }
    }

    /// As [`answer_to`](Self::answer_to), but a silence of `quiet` is a timeout error.
    /// Bytes of an answer that was cut by the timeout are kept for the next read.
    pub fn answer_within(&mut self, token: u64, quiet: Duration) -> Result<Response, WireError> {
        self.socket.set_read_timeout(Some(quiet))?;
        let answer = self.answer_to(token);
        self.socket.set_read_timeout(Some(READ_TIMEOUT))?;
        answer
    }

    /// Writes one frame: token, length, body.
    pub fn send(&mut self, token: u64, body: &[u8]) -> Result<(), WireError> {
        self.socket.write_all(&frame(token, body))?;
        Ok(())
    }

    /// The next frame, whichever query it answers.
    pub fn receive(&mut self) -> Result<(u64, Response), WireError> {
        let head = self.peek(HEADER)?;
        let (token, length) = parse_header(head)?;
        let body = self.peek(HEADER + length)?.get(HEADER..).unwrap_or_default();
        let answer = serde_json::from_slice(body)?;
        self.buffer.drain(..HEADER + length);
        Ok((token, answer))
    }

    /// The socket beneath, for what the protocol does not foresee.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// The first `count` bytes not yet consumed, read from the socket when needed.
    fn peek(&mut self, count: usize) -> Result<&[u8], WireError> {
        while self.buffer.len() < count {
            self.fill()?;
        }
        Ok(self.buffer.get(..count).unwrap_or_default())
    }

    fn fill(&mut self) -> Result<(), WireError> {
        let before = self.buffer.len();
        self.buffer.resize(before + READ_CHUNK, 0);
        let got = self.socket.read(self.buffer.get_mut(before..).unwrap_or_default());
        self.buffer.truncate(before + *got.as_ref().unwrap_or(&0));
        if got? == 0 { Err(WireError::Closed) } else { Ok(()) }
    }

    /// One step of the handshake: a JSON object that ends with a zero byte.
    fn handshake_reply(&mut self) -> Result<Response, WireError> {
        let end = loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == 0) {
                break end;
            }
            self.fill()?;
        };
        let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
        let text = String::from_utf8_lossy(&line).into_owned();
        match serde_json::from_str::<Response>(&text) {
            Ok(reply) if reply.get("success") == Some(&Value::Bool(true)) => Ok(reply),
            _ => Err(WireError::Refused(text)),
        }
    }

    fn authentication_reply(&mut self) -> Result<String, WireError> {
        let reply = self.handshake_reply()?;
        let text = reply.get("authentication").and_then(Value::as_str);
        text.map(str::to_owned).ok_or_else(|| WireError::Malformed("no authentication".into()))
    }

    fn send_line(&mut self, line: &Value) -> Result<(), WireError> {
        self.socket.write_all(format!("{line}\0").as_bytes())?;
        Ok(())
    }

    fn handshake(&mut self, user: &str, password: &str) -> Result<(), WireError> {
        let first_bare =
            format!("n={},r={}", user.replace('=', "=3D").replace(',', "=2C"), nonce()?);
        self.socket.write_all(&MAGIC_V1_0.to_le_bytes())?;
        self.send_line(&json!({
            "protocol_version": 0,
            "authentication_method": "SCRAM-SHA-256",
            "authentication": format!("n,,{first_bare}"),
        }))?;
        self.handshake_reply()?;
        let server_first = self.authentication_reply()?;
        let proof = Proof::new(&first_bare, &server_first, password)?;
        self.send_line(&json!({ "authentication": proof.client_final }))?;
        if self.authentication_reply()? == proof.server_final {
            Ok(())
        } else {
            Err(WireError::Refused("the server's signature is wrong".into()))
        }
    }
}

/// Bytes of token and length before every body.
const HEADER: usize = 12;

/// A frame of the driver protocol: token u64 LE, length u32 LE, body.
pub fn frame(token: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&token.to_le_bytes()[..], &length.to_le_bytes(), body].concat()
}

/// The type number of an answer.
pub fn kind(answer: &Response) -> Option<u64> {
    answer.get("t").and_then(Value::as_u64)
}

/// Moves the rows out of an answer.
pub fn take_rows(answer: &mut Response) -> Vec<Value> {
    match answer.remove("r") {
        Some(Value::Array(rows)) => rows,
        _ => Vec::new(),
    }
}

fn parse_header(head: &[u8]) -> Result<(u64, usize), WireError> {
    let short = || WireError::Malformed("short frame header".into());
    let (token, length) = head.split_first_chunk::<8>().ok_or_else(short)?;
    let length = length.first_chunk::<4>().ok_or_else(short)?;
    Ok((u64::from_le_bytes(*token), u32::from_le_bytes(*length) as usize))
}

fn nonce() -> Result<String, WireError> {
    let mut bytes = [0; 18];
    let filled = rand::SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| WireError::Malformed("no random bytes".into()))?;
    Ok(BASE64.encode(bytes))
}

/// Both last messages of SCRAM-SHA-256 (RFC 5802): the one to send and the one to expect.
struct Proof {
    client_final: String,
    server_final: String,
}

impl Proof {
    fn new(first_bare: &str, server_first: &str, password: &str) -> Result<Self, WireError> {
        let malformed = || WireError::Malformed(format!("server-first message {server_first}"));
        let field = |name: &str| {
            let mut parts = server_first.split(',');
            parts.find_map(|part| part.strip_prefix(name)).ok_or_else(malformed)
        };
        let salt = BASE64.decode(field("s=")?).map_err(|_| malformed())?;
        let rounds: NonZeroU32 = field("i=")?.parse().map_err(|_| malformed())?;
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, rounds, &salt, password.as_bytes(), &mut salted);

        let without_proof = format!("c=biws,r={}", field("r=")?);
        let signed = [first_bare, server_first, &without_proof].join(",");
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = sign(stored_key.as_ref(), signed.as_bytes());
        let bytes = client_key.as_ref().iter().zip(signature.as_ref());
        let proof: Vec<u8> = bytes.map(|(key, mask)| key ^ mask).collect();
        let server_key = sign(&salted, b"Server Key");
        Ok(Self {
            client_final: format!("{without_proof},p={}", BASE64.encode(proof)),
            server_final: format!(
                "v={}",
                BASE64.encode(sign(server_key.as_ref(), signed.as_bytes()))
            ),
        })
    }
}

fn sign(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn proof_of_the_rfc() {
        let proof = Proof::new(
            "n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "pencil",
        )
        .unwrap();
        assert!(proof.client_final.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert_eq!(proof.server_final, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn frame_is_token_length_body() {
        assert_eq!(frame(1, b"[4]"), b"\x01\0\0\0\0\0\0\0\x03\0\0\0[4]");
    }

    #[test]
    fn rounds_of_zero_are_refused() {
        assert!(Proof::new("n=a,r=b", "r=bc,s=AAAA,i=0", "").is_err());
    }
}
