//! Random and mutated bytes through everything that reads from outside: nothing may panic, loop, or hold more
//! memory than what arrived. `FUZZ_SEED` and `FUZZ_ROUNDS` repeat a run or lengthen it; a failure names its seed.

use std::num::NonZeroU32;

use bytes::{BufMut, BytesMut};
use tokio_util::codec::Decoder;

use crate::frame::{FrameCodec, HEADER_SIZE, Received};
use crate::handshake::scram::{SALT_SIZE, ScramCredentials, UserLookup};
use crate::handshake::{Handshake, NONCE_SIZE, Progress};
use crate::json::{self, Json, JsonError};
use crate::numbers::Version;
use crate::query::{self, direct};
use crate::{limits, response};

const QUERIES: &[&str] = &[
    "[1,[24,[1,1]],{}]",
    "[2]",
    "[3]",
    "[4,null,{}]",
    r#"[1,[16,[[15,[[14,["test"]],"users"]],"8a7f"]],{"noreply":true,"db":[14,["x"]]}]"#,
    r#"[1,[39,[[15,["t"]],[69,[[2,[1]],[17,[[170,[[10,[1]],"a"]],-1.5e-3]]]]],{"default":false}]]"#,
    r#"[1,[56,[[15,["t"]],[2,[{"id":1,"a":[2,[]],"b":{}},{"id":"\u00e9\ud834\udd1e\n"}]]]]]"#,
    r#"[1,[1,{"$reql_type$":"TIME","epoch_time":1.25e9,"timezone":"+00:00"}]]"#,
    "[1,\"\u{e9}\u{1d11e} and text\",{\"a\":[1,[null,true,[]]]}]",
    " [ 1 , [ 2 , [ 123456789012345678901234567890 , -0 , 0.1 ] ] ] ",
];

const HANDSHAKES: &[&str] = &[
    r#"{"protocol_version":0,"authentication_method":"SCRAM-SHA-256","authentication":"n,,n=admin,r=abc"}"#,
    r#"{"protocol_version":0,"authentication_method":"SCRAM-SHA-256","authentication":"n,,n=no=2Cone,r=x"}"#,
    r#"{"authentication":"c=biws,r=abc,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#,
    r#"{"authentication":"c=biws,r=abc,p=AAAA"}"#,
];

/// Bytes that mean something to the readers, so that mutations get past the first check.
const TELLING: &[u8] = b"[]{}\",:\\/0123456789-+.eEtrufalsn \0\x1f\x7f\x80\xc3\xed\xf4\xff,=";

/// The xorshift64* generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound.max(1)
    }

    fn byte(&mut self) -> u8 {
        if self.below(3) == 0 { self.next() as u8 } else { *self.pick(TELLING) }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.byte()).collect()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// Some bytes changed, added, removed or repeated, or the end cut off.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..self.below(4) {
            let place = self.below(bytes.len());
            let end = (place + self.below(12)).min(bytes.len());
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[place] = self.byte(),
                1 => bytes.insert(place, self.byte()),
                2 => drop(bytes.drain(place..end)),
                3 => {
                    let piece = bytes[place..end].repeat(1 + self.below(40));
                    bytes.splice(place..place, piece);
                }
                4 => bytes.truncate(place),
                _ => {
                    let other = self.pick(QUERIES).as_bytes();
                    bytes.splice(place..end, other.iter().copied());
                }
            }
        }
    }
}

/// Runs the check with fresh randomness, so many times; a failed round can be repeated alone by its seed.
fn rounds(many: u64, check: impl Fn(&mut Random)) {
    let setting = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = setting("FUZZ_SEED").unwrap_or(0x9e37_79b9_7f4a_7c15);
    let many = setting("FUZZ_ROUNDS").unwrap_or(many);
    for seed in (0..many).map(|round| first.wrapping_add(round.wrapping_mul(0x9e37_79b9))) {
        let run = std::panic::AssertUnwindSafe(|| check(&mut Random(seed.max(1))));
        if let Err(panic) = std::panic::catch_unwind(run) {
            println!("failed with FUZZ_SEED={seed} FUZZ_ROUNDS=1");
            std::panic::resume_unwind(panic);
        }
    }
}

fn mutated_query(random: &mut Random) -> Vec<u8> {
    let mut body = random.pick(QUERIES).as_bytes().to_vec();
    random.mutate(&mut body);
    body
}

/// How many values a tree has, and that no string is longer than the text it came from.
fn values(json: &Json<'_>, text: &str) -> usize {
    match json {
        Json::Array(items) => 1 + items.iter().map(|item| values(item, text)).sum::<usize>(),
        Json::Object(fields) => {
            assert!(fields.iter().all(|(name, _)| name.len() <= text.len()));
            1 + fields.iter().map(|(_, value)| values(value, text)).sum::<usize>()
        }
        Json::String(string) => {
            assert!(string.len() <= text.len());
            1
        }
        Json::Number(number) => {
            assert!(number.is_finite());
            1
        }
        Json::Null | Json::Bool(_) => 1,
    }
}

/// Whether another reader of JSON sees the same, duplicates and the last bit of a number aside.
fn agrees(ours: &Json<'_>, theirs: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (ours, theirs) {
        (Json::Null, Value::Null) => true,
        (Json::Bool(a), Value::Bool(b)) => a == b,
        (Json::String(a), Value::String(b)) => a == b,
        (Json::Number(a), Value::Number(b)) => {
            let b = b.as_f64().unwrap();
            (a - b).abs() <= a.abs() * 1e-15 || (a.abs() < 1e-300 && b.abs() < 1e-300)
        }
        (Json::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agrees(a, b))
        }
        (Json::Object(a), Value::Object(b)) => b.iter().all(|(name, b)| {
            a.iter().rfind(|(key, _)| key == name).is_some_and(|(_, a)| agrees(a, b))
        }),
        _ => false,
    }
}

#[test]
fn json_reads_what_another_reader_reads() {
    rounds(30_000, |random| {
        let body = if random.below(4) == 0 { random.bytes(60) } else { mutated_query(random) };
        let text = String::from_utf8_lossy(&body);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match (json::parse(&text), theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert!(values(&ours, &text) <= text.len());
                assert!(agrees(&ours, &theirs), "{text}");
            }
            (Err(JsonError::Malformed { position }), Err(_)) => assert!(position <= text.len()),
            // It stops at 128 levels, this reader much later.
            (_, Err(error)) if error.to_string().contains("recursion limit") => {}
            (ours, theirs) => panic!("{text}: {ours:?} but {theirs:?}"),
        }
    });
}

#[test]
fn written_strings_are_read_by_another_reader() {
    rounds(5_000, |random| {
        let string = String::from_utf8_lossy(&random.bytes(40)).into_owned();
        let mut written = Vec::new();
        response::write_string(&mut written, &string);
        assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), string);
    });
}

#[test]
fn queries_are_read_or_refused_and_both_ways_agree() {
    rounds(50_000, |random| {
        let body = if random.below(5) == 0 { random.bytes(80) } else { mutated_query(random) };
        let whole = query::parse(&body);
        match std::str::from_utf8(&body) {
            Ok(text) => {
                let long = query::parse_the_long_way(text);
                if let Some(short) = direct::parse(text) {
                    assert_eq!(Ok(&short), long.as_ref(), "{text}");
                }
                assert_eq!(whole, long, "{text}");
            }
            Err(_) => assert!(whole.is_err()),
        }
        if let Err(error) = &whole {
            let mut written = Vec::new();
            response::write_query_error(&mut written, error);
            let text = String::from_utf8(written).unwrap();
            assert!(json::parse(&text).is_ok(), "{text}");
        }
    });
}

#[test]
fn frames_come_out_or_wait_within_what_arrived() {
    rounds(5_000, |random| {
        let mut stream = Vec::new();
        for _ in 0..random.below(6) {
            let body = mutated_query(random);
            let size = match random.below(8) {
                0 => random.next() as u32,
                1 => limits::QUERY_SIZE_MAX + 1,
                _ => body.len() as u32,
            };
            stream.put_u64_le(random.next());
            stream.put_u32_le(size);
            stream.extend_from_slice(&body);
        }
        let (mut codec, mut buffer) = (FrameCodec::default(), BytesMut::new());
        let (mut given, mut ended) = (0, false);
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.below(50)).min(rest.len()));
            rest = after;
            buffer.extend_from_slice(piece);
            while let Some(event) = codec.decode(&mut buffer).unwrap() {
                assert!(!ended, "nothing follows an oversized frame");
                match event {
                    Received::Query { body, .. } => given += HEADER_SIZE + body.len(),
                    Received::TooLarge { size, .. } => {
                        assert!(size > limits::QUERY_SIZE_MAX);
                        ended = true;
                    }
                }
            }
            assert!(buffer.capacity() <= 4 * stream.len().max(64));
        }
        assert!(given + buffer.len() <= stream.len());
        assert_eq!(codec.decode_eof(&mut buffer).unwrap(), None);
        assert!(buffer.is_empty());
    });
}

struct Users;

impl UserLookup for Users {
    fn credentials(&self, user: &str) -> Option<ScramCredentials> {
        let once = NonZeroU32::MIN;
        (user == "admin").then(|| ScramCredentials::from_password(b"", [1; SALT_SIZE], once))
    }

    fn secret(&self) -> &[u8] {
        b"secret"
    }
}

#[test]
fn handshakes_end_or_wait_within_their_bound() {
    rounds(10_000, |random| {
        let mut stream = random.pick(Version::ALL).number().to_le_bytes().to_vec();
        for _ in 0..random.below(4) {
            let mut message = random.pick(HANDSHAKES).as_bytes().to_vec();
            random.mutate(&mut message);
            stream.extend_from_slice(&message);
            stream.push(0);
        }
        if random.below(3) == 0 {
            stream.extend_from_slice(&random.bytes(5_000));
        }
        if random.below(4) == 0 {
            random.mutate(&mut stream);
        }
        let mut handshake = Handshake::new("rethinkdb", [2; NONCE_SIZE]);
        let (mut input, mut output) = (BytesMut::new(), Vec::new());
        let piece = 1 + random.below(600);
        for piece in stream.chunks(piece) {
            input.extend_from_slice(piece);
            let mut progress = handshake.feed(&mut input, &Users, &mut output);
            while progress == Progress::Answered {
                progress = handshake.feed(&mut input, &Users, &mut output);
            }
            // The longest answer repeats the client's nonce, escaped.
            assert!(output.len() <= 1024 + 6 * limits::HANDSHAKE_MESSAGE_MAX);
            match progress {
                Progress::NeedMore => assert!(input.len() <= limits::HANDSHAKE_INPUT_MAX),
                Progress::Answered => panic!("fed to its end above"),
                // The proof is right only by the password, which no mutation here finds.
                Progress::Ready(client) => {
                    assert_ne!(client.version, Version::V1_0);
                    break;
                }
                Progress::Refused(error) => {
                    assert!(!error.message.is_empty());
                    break;
                }
            }
        }
    });
}
