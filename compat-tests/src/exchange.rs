//! Byte exchanges: handshakes good and bad, odd frames, odd queries, against `oracle/exchanges.json`.
//! Knows bytes alone; must not use the wire client, which can only speak properly.
//!
//! A case is a list of turns. In each turn bytes are sent, then everything that comes back within a quiet moment is
//! read. Kept: the text that came back (one character a byte) and whether the server closed the connection.
//! Nonces, salts, server ids, names and versions are masked.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use regex::bytes::Regex;
use serde::Deserialize;

use crate::wire::{MAGIC_V0_4, MAGIC_V1_0, PROTOCOL_JSON, frame};

const MAGIC_V0_1: u32 = 0x3f61_ba36;
const MAGIC_V0_2: u32 = 0x7230_81e1;
const MAGIC_V0_3: u32 = 0x5f75_e83e;
const PROTOCOL_PROTOBUF: u32 = 0x271f_fc41;

/// The silence after which a turn is over.
const QUIET: Duration = Duration::from_millis(400);
/// The silence allowed when a case is tried again alone, so that a busy machine is not taken for a difference.
const PATIENT: Duration = Duration::from_millis(1500);

/// What came back in one case.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    /// The text of each turn.
    pub answers: Vec<String>,
    /// Whether the server closed the connection.
    pub closed: bool,
}

/// A case whose outcome is not the recorded one.
pub struct Difference {
    /// Name of the case.
    pub name: &'static str,
    /// The recorded outcome, if any.
    pub want: Option<Outcome>,
    /// What came back, or why nothing did.
    pub got: Result<Outcome, String>,
}

/// A named list of turns.
pub type Case = (&'static str, Vec<Vec<u8>>);

/// Plays all cases at once; gives the differing ones, after a second, patient try of each alone.
pub fn differences(
    address: SocketAddr,
    recorded: &BTreeMap<String, Outcome>,
    cases: &[Case],
) -> Vec<Difference> {
    let masks = masks();
    let is_recorded = |name: &str, got: &Result<Outcome, String>| {
        got.as_ref().is_ok_and(|got| recorded.get(name) == Some(got))
    };
    let first: Vec<Result<Outcome, String>> = thread::scope(|scope| {
        let start = |(_, turns): &'_ Case| {
            let (turns, masks) = (turns.clone(), &masks);
            scope.spawn(move || play(address, &turns, masks, QUIET))
        };
        let running: Vec<_> = cases.iter().map(start).collect();
        let lost = |_| Err("the case did not end".to_owned());
        running.into_iter().map(|case| case.join().unwrap_or_else(lost)).collect()
    });
    let mut found = Vec::new();
    for ((name, turns), got) in cases.iter().zip(first) {
        if is_recorded(name, &got) {
            continue;
        }
        let got = play(address, turns, &masks, PATIENT);
        if !is_recorded(name, &got) {
            found.push(Difference { name, want: recorded.get(*name).cloned(), got });
        }
    }
    found
}

/// Every case, by the name it has in the recorded file.
pub fn cases() -> Vec<Case> {
    let mut cases = handshake_cases();
    cases.extend(legacy_cases());
    cases.extend(query_cases());
    cases.extend(cursor_cases());
    cases.extend(value_cases());
    cases
}

fn play(
    address: SocketAddr,
    turns: &[Vec<u8>],
    masks: &[(Regex, &'static [u8])],
    quiet: Duration,
) -> Result<Outcome, String> {
    let mut socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(quiet)).map_err(|error| error.to_string())?;
    let mut outcome = Outcome { answers: Vec::new(), closed: false };
    for turn in turns {
        let mut bytes = Vec::new();
        outcome.closed = socket.write_all(turn).is_err() || read_all(&mut socket, &mut bytes);
        outcome.answers.push(mask(bytes, masks));
        if outcome.closed {
            break;
        }
    }
    Ok(outcome)
}

/// Reads until the server is silent; true when it closed the connection.
fn read_all(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 4096];
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return true,
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            }
        }
    }
}

fn mask(mut bytes: Vec<u8>, masks: &[(Regex, &'static [u8])]) -> String {
    for (pattern, replacement) in masks {
        bytes = pattern.replace_all(&bytes, *replacement).into_owned();
    }
    bytes.into_iter().map(char::from).collect()
}

fn masks() -> Vec<(Regex, &'static [u8])> {
    let table: [(&str, &'static [u8]); 6] = [
        (r#"r=abcdefgh12345678[^,"]*"#, b"r=abcdefgh12345678*"),
        (r"s=[A-Za-z0-9+/=]+", b"s=*"),
        (r#""server_version":"[^"]*""#, br#""server_version":"*""#),
        (r#""id":"[0-9a-f-]{36}""#, br#""id":"*""#),
        (r#""name":"[^"]*""#, br#""name":"*""#),
        // masking may shorten a framed body: its length field is left out of the comparison
        (r#"(?s-u)(.{8}).{4}(\{"t":5)"#, b"${1}${2}"),
    ];
    let compile =
        |(pattern, replacement): (&str, _)| Some((Regex::new(pattern).ok()?, replacement));
    table.into_iter().filter_map(compile).collect()
}

fn word(number: u32) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn legacy(magic: u32, key: &[u8], protocol: u32) -> Vec<u8> {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    [&word(magic), &word(length), key, &word(protocol)].concat()
}

/// The first message of a V1_0 client, after the magic number.
fn first_message(authentication: &str, method: &str, version: u8) -> Vec<u8> {
    let text = format!(
        r#"{{"protocol_version": {version}, "authentication_method": "{method}", "authentication": "{authentication}"}}"#
    );
    [&word(MAGIC_V1_0), text.as_bytes(), b"\0"].concat()
}

fn handshake_cases() -> Vec<Case> {
    let good = "n,,n=admin,r=abcdefgh12345678";
    let scram = |authentication| vec![first_message(authentication, "SCRAM-SHA-256", 0)];
    let raw = |text: &[u8]| vec![[&word(MAGIC_V1_0), text].concat()];
    let long = [br#"{"a":""#.as_slice(), &[b'x'; 3000]].concat();
    let bad_proof = b"{\"authentication\": \"c=biws,r=abc,p=AAAA\"}\0".to_vec();
    vec![
        ("v1_0 hello", vec![word(MAGIC_V1_0)]),
        ("v1_0 first step", scram(good)),
        ("v1_0 bad proof", [scram(good), vec![bad_proof]].concat()),
        ("v1_0 unknown user", scram("n,,n=nobody,r=abcdefgh12345678")),
        ("v1_0 no user", scram("n,,r=abc")),
        ("v1_0 channel binding asked", scram("p=tls-unique,,n=admin,r=abcdefgh")),
        ("v1_0 channel binding y", scram("y,,n=admin,r=abcdefgh")),
        ("v1_0 other method", vec![first_message(good, "PLAIN", 0)]),
        ("v1_0 other protocol version", vec![first_message(good, "SCRAM-SHA-256", 7)]),
        ("v1_0 not json", raw(b"hello\0")),
        ("v1_0 json but no object", raw(b"[1]\0")),
        ("v1_0 field missing", raw(b"{\"protocol_version\":0}\0")),
        ("v1_0 too long without end", raw(&long)),
    ]
}

fn legacy_cases() -> Vec<Case> {
    vec![
        ("v0_4", vec![legacy(MAGIC_V0_4, b"", PROTOCOL_JSON)]),
        ("v0_3", vec![legacy(MAGIC_V0_3, b"", PROTOCOL_JSON)]),
        ("v0_2", vec![legacy(MAGIC_V0_2, b"", PROTOCOL_JSON)]),
        ("v0_1", vec![legacy(MAGIC_V0_1, b"", PROTOCOL_JSON)]),
        ("v0_4 wrong key", vec![legacy(MAGIC_V0_4, b"hunter2", PROTOCOL_JSON)]),
        ("v0_4 protobuf", vec![legacy(MAGIC_V0_4, b"", PROTOCOL_PROTOBUF)]),
        ("v0_4 odd protocol", vec![legacy(MAGIC_V0_4, b"", 5)]),
        ("v0_4 long key", vec![[word(MAGIC_V0_4), word(1 << 20)].concat()]),
        ("unknown magic", vec![word(0x1234_5678)]),
        ("http on the driver port", vec![b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()]),
        ("zero magic", vec![word(0)]),
    ]
}

/// The turns of a V0_4 connection: its handshake, then these.
fn after_v0_4<const N: usize>(turns: [Vec<u8>; N]) -> Vec<Vec<u8>> {
    [vec![legacy(MAGIC_V0_4, b"", PROTOCOL_JSON)], turns.to_vec()].concat()
}

fn ask<const N: usize>(frames: [(u64, &str); N]) -> Vec<Vec<u8>> {
    after_v0_4(frames.map(|(token, body)| frame(token, body.as_bytes())))
}

fn query_cases() -> Vec<Case> {
    let two = [frame(1, b"[1, 1, {}]"), frame(2, b"[1, 2, {}]")].concat();
    let then_wait = [frame(1, br#"[1, 5, {"noreply": true}]"#), frame(2, b"[4]")].concat();
    let odd_utf8 = frame(1, b"[1,\"\xff\xfe\",{}]");
    let mut half = frame(1, b"[1, 5, {}]");
    half.truncate(9);
    vec![
        ("expr", ask([(1, "[1, 5, {}]")])),
        ("no optargs", ask([(1, "[1, 5]")])),
        ("token 2^63", ask([(1 << 63, "[1, 5, {}]")])),
        ("two at once", after_v0_4([two])),
        ("server info", ask([(9, "[5]")])),
        ("noreply wait", ask([(4, "[4]")])),
        ("noreply then wait", after_v0_4([then_wait])),
        ("continue of nothing", ask([(3, "[2]")])),
        ("stop of nothing", ask([(3, "[3]")])),
        ("unknown query type", ask([(1, "[99, 5, {}]")])),
        ("query type a string", ask([(1, r#"["1", 5, {}]"#)])),
        ("not json", ask([(1, "{nope"), (2, "[1, 5, {}]")])),
        ("not an array", ask([(1, "5")])),
        ("empty array", ask([(1, "[]")])),
        ("empty body", ask([(1, "")])),
        ("null body", ask([(1, "null")])),
        ("four elements", ask([(1, "[1, 5, {}, 6]")])),
        ("optargs not an object", ask([(1, "[1, 5, 6]")])),
        ("trailing garbage", ask([(1, "[1,5,{}] x")])),
        ("invalid utf8", after_v0_4([odd_utf8])),
        ("half a frame then close", after_v0_4([half])),
        ("profile", ask([(1, r#"[1, [24, [1, 2]], {"profile": false}]"#)])),
    ]
}

fn cursor_cases() -> Vec<Case> {
    let endless = r#"[1, [173, []], {"max_batch_rows": 2}]"#;
    let ten = r#"[1, [173, [10]], {"max_batch_rows": 3}]"#;
    let header_only = |length: u32| [&1_u64.to_le_bytes()[..], &word(length)].concat();
    let deep = ["[1,", &"[2,[".repeat(3000), &"]]".repeat(3000), ",{}]"].concat();
    vec![
        ("duplicate token", ask([(1, "[1, [173, []], {}]"), (1, "[1, 5, {}]"), (1, "[3]")])),
        (
            "partial then continue then stop",
            ask([(1, ten), (1, "[2]"), (1, "[2]"), (1, "[2]"), (1, "[2]")]),
        ),
        ("stop a stream", ask([(1, endless), (1, "[3]"), (1, "[2]")])),
        ("too large a frame", after_v0_4([header_only(128 << 20)])),
        ("hugely large a frame", after_v0_4([header_only(u32::MAX)])),
        ("deep nesting", ask([(1, &deep)])),
    ]
}

fn value_cases() -> Vec<Case> {
    vec![
        ("duplicate keys", ask([(1, r#"[1,{"a":1,"a":2},{}]"#)])),
        ("big integer", ask([(1, "[1,123456789012345678901234567890,{}]")])),
        ("number too big", ask([(1, "[1,1e999,{}]")])),
        ("unicode escapes", ask([(1, r#"[1,"\u00e9\ud834\udd1e",{}]"#)])),
        ("lone surrogate", ask([(1, r#"[1,"\ud834",{}]"#)])),
        ("nul in string", ask([(1, r#"[1,"a\u0000b",{}]"#)])),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn every_recorded_case_is_here_and_no_other() {
        let text = std::fs::read_to_string(crate::script::oracle_folder().join("exchanges.json"));
        let recorded: BTreeMap<String, Outcome> = serde_json::from_str(&text.unwrap()).unwrap();
        let names: Vec<_> = cases().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), 58);
        assert_eq!(recorded.len(), 58);
        for name in names {
            assert!(recorded.contains_key(name), "{name}");
        }
    }

    #[test]
    fn all_masks_compile_and_hide_what_differs() {
        let masks = masks();
        assert_eq!(masks.len(), 6);
        let text = br#"{"server_version":"2.4.4","a":"r=abcdefgh12345678xyz,s=AB/=,i=1"}"#;
        let masked = mask(text.to_vec(), &masks);
        assert_eq!(masked, r#"{"server_version":"*","a":"r=abcdefgh12345678*,s=*,i=1"}"#);
        let info = frame(0xff, br#"{"t":5,"r":[]}"#);
        assert_eq!(mask(info, &masks), "\u{ff}\0\0\0\0\0\0\0{\"t\":5,\"r\":[]}");
    }

    #[test]
    fn a_server_that_answers_otherwise_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            for _ in 0..3 {
                let mut socket = listener.accept().unwrap().0;
                socket.write_all(b"hello").unwrap();
            }
        });
        let outcome = |text: &str| Outcome { answers: vec![text.into()], closed: true };
        let recorded = BTreeMap::from([
            ("good".to_owned(), outcome("hello")),
            ("bad".to_owned(), outcome("goodbye")),
        ]);
        let cases = [("good", vec![vec![]]), ("bad", vec![vec![]])];
        let found = differences(address, &recorded, &cases);
        server.join().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "bad");
        assert_eq!(found[0].got, Ok(outcome("hello")));
    }
}
