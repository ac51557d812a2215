//! Bytes without sense: random ones, and frames of recorded queries with some bytes changed.
//! Every connection must be answered or closed; none may be left hanging.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{AttackError, Ground, side_by_side};
use crate::random::Random;
use crate::script::{self, oracle_folder};
use crate::wire::{MAGIC_V0_4, MAGIC_V1_0, PROTOCOL_JSON, frame};

/// Connections that attack side by side.
const THREADS: u64 = 4;
/// Most random bytes on one connection: past the handshake limit, so that it is reached.
const BYTES_A_CONNECTION: usize = 8_192;
/// Mutated frames on one connection.
const FRAMES_A_CONNECTION: u64 = 100;
/// One frame in so many has a changed header, after which the rest of its connection is rarely understood.
const HEADERS: usize = 200;
/// A connection that is neither answered nor closed for so long hangs.
const HANGS: Duration = Duration::from_secs(20);
/// The silence after which a connection has no more answers to give, so that queries are run and not only read.
const QUIET: Duration = Duration::from_millis(20);
/// Files whose queries are mutated. Those that run JavaScript or reach other hosts are left out by content.
const CORPUS: [&str; 2] = ["pure.jsonl", "values.jsonl"];
/// Numbers that parsers like least, as text.
const AWKWARD: [&[u8]; 10] = [
    b"-1",
    b"1e308",
    b"1e999",
    b"9007199254740993",
    b"{}",
    b"[]",
    b"null",
    b"\"",
    b"[[[[[[",
    b"\0",
];

/// Random bytes into an open port, half of them after a proper handshake.
pub(super) fn random_bytes(ground: &Ground) -> Result<String, AttackError> {
    let share = ground.extent.bytes.div_ceil(THREADS);
    attack(ground, share, |random| {
        let count = 1 + random.below(BYTES_A_CONNECTION);
        let opening = if random.below(2) == 0 { Vec::new() } else { legacy_handshake() };
        ([opening, random.bytes(count)].concat(), count as u64)
    })
    .map(|story| format!("{} bytes, {story}", share * THREADS))
}

/// Frames that were queries once, on connections that have passed the handshake or nearly so.
pub(super) fn mutated_frames(ground: &Ground) -> Result<String, AttackError> {
    let corpus = corpus()?;
    let share = ground.extent.frames.div_ceil(THREADS);
    attack(ground, share, |random| {
        let mut bytes = match random.below(10) {
            0 => mutate(&mut legacy_handshake(), random),
            1 => mutate(&mut first_message(), random),
            _ => legacy_handshake(),
        };
        for token in 0..FRAMES_A_CONNECTION {
            let body = corpus.get(random.below(corpus.len())).map_or(&[][..], |body| body);
            bytes.extend(mutated_frame(token, body, random));
        }
        (bytes, FRAMES_A_CONNECTION)
    })
    .map(|story| format!("{} frames, {story}", share * THREADS))
}

/// Sends what `make` gives on one connection after another until `share` is spent, on several threads.
fn attack(
    ground: &Ground,
    share: u64,
    make: impl Fn(&mut Random) -> (Vec<u8>, u64) + Sync,
) -> Result<String, AttackError> {
    let (connections, received) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = |stream: u64| -> Result<(), AttackError> {
        let mut random = Random::new(ground.seed, stream);
        let mut spent = 0;
        while spent < share {
            let (bytes, cost) = make(&mut random);
            spent += cost;
            received.fetch_add(throw(ground.address, &bytes)?, Ordering::Relaxed);
            connections.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    side_by_side(THREADS, work)?;
    let (connections, received) = (connections.into_inner(), received.into_inner());
    Ok(format!("{connections} connections, {received} bytes answered"))
}

/// Sends all, reads until the server is silent, says that no more comes, and reads until the server closes. Gives the
/// number of bytes read.
fn throw(address: SocketAddr, bytes: &[u8]) -> Result<u64, AttackError> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_write_timeout(Some(HANGS))?;
    // a server that has heard enough closes before the end, which shows as an error here
    if socket.write_all(bytes).is_err() {
        return Ok(0);
    }
    let mut received = 0;
    let mut closed = read(&mut socket, QUIET, &mut received)?;
    if !closed && socket.shutdown(Shutdown::Write).is_ok() {
        closed = read(&mut socket, HANGS, &mut received)?;
    }
    if !closed {
        return Err(AttackError::Misbehaved(format!(
            "a connection hangs after {} bytes",
            bytes.len()
        )));
    }
    Ok(received)
}

/// Reads until the server closes, or is silent for `quiet`, or has talked for too long; true when it closed.
fn read(socket: &mut TcpStream, quiet: Duration, received: &mut u64) -> io::Result<bool> {
    socket.set_read_timeout(Some(quiet))?;
    let began = Instant::now();
    let mut chunk = [0; 1 << 14];
    while began.elapsed() < HANGS {
        match socket.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(count) => *received += count as u64,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn legacy_handshake() -> Vec<u8> {
    [MAGIC_V0_4, 0, PROTOCOL_JSON].map(u32::to_le_bytes).concat()
}

fn first_message() -> Vec<u8> {
    let text = br#"{"protocol_version":0,"authentication_method":"SCRAM-SHA-256","authentication":"n,,n=admin,r=abcdefgh"}"#;
    [&MAGIC_V1_0.to_le_bytes()[..], text, b"\0"].concat()
}

/// Bodies of recorded queries.
fn corpus() -> Result<Vec<Vec<u8>>, AttackError> {
    let mut bodies = Vec::new();
    for file in CORPUS {
        for script in script::load(&oracle_folder().join(file))? {
            let queries = script.steps.into_iter().filter_map(|step| step.query);
            let texts = queries.map(|query| format!("[1,{query},{{}}]").into_bytes());
            // 11 is r.js and 153 is r.http: a loop and a stranger's host are attacks on others
            bodies
                .extend(texts.filter(|text| !contains(text, b"[11,") && !contains(text, b"[153,")));
        }
    }
    Ok(bodies)
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

/// A frame whose body, and sometimes header, is not what it was.
fn mutated_frame(token: u64, body: &[u8], random: &mut Random) -> Vec<u8> {
    let body = mutate(&mut body.to_vec(), random);
    let mut frame = frame(token, &body);
    if random.below(HEADERS) == 0 {
        let at = random.below(12);
        if let Some(byte) = frame.get_mut(at) {
            *byte ^= 1 << random.below(8);
        }
    }
    frame
}

/// One to three changes: a bit flipped, a piece lost, doubled or replaced by something awkward.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..=random.below(3) {
        let start = random.below(bytes.len());
        let end = (start + 1 + random.below(8)).min(bytes.len());
        let piece: Vec<u8> = bytes.get(start..end).unwrap_or_default().to_vec();
        match random.below(5) {
            0 => {
                if let Some(byte) = bytes.get_mut(start) {
                    *byte ^= 1 << random.below(8);
                }
            }
            1 => drop(bytes.drain(start..end)),
            2 => drop(bytes.splice(start..start, piece)),
            3 => drop(bytes.splice(start..end, random.pick(&AWKWARD).iter().copied())),
            // a digit for another: a term becomes a different one
            _ => {
                if let Some(digit) = bytes.iter_mut().skip(start).find(|b| b.is_ascii_digit()) {
                    *digit = b'0' + u8::try_from(random.below(10)).unwrap_or_default();
                }
            }
        }
    }
    std::mem::take(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_there_and_harmless() {
        let corpus = corpus().unwrap();
        assert!(corpus.len() > 10_000);
        assert!(!corpus.iter().any(|body| contains(body, b"[153,")));
    }

    #[test]
    fn the_same_seed_makes_the_same_frames_and_most_are_changed() {
        let body = b"[1,[24,[1,2]],{}]";
        let make = |seed| {
            let mut random = Random::new(seed, 0);
            (0..100).map(|token| mutated_frame(token, body, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(make(7), make(7));
        assert_ne!(make(7), make(8));
        let whole = |(token, made): &(u64, Vec<u8>)| *made == frame(*token, body);
        assert!((0..).zip(make(7)).filter(whole).count() < 20);
    }

    #[test]
    fn mutation_survives_the_empty_body() {
        let mut random = Random::new(1, 1);
        for _ in 0..1_000 {
            mutate(&mut Vec::new(), &mut random);
        }
    }
}
