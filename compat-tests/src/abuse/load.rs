//! Queries with sense but without measure: too deep, too long, too many, and answers that nobody reads.
//! Each must get an error or be held back; other clients must not notice.

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use super::{AttackError, Ground, stranger_is_served};
use crate::wire::{Connection, FIRST_ERROR, WireError, frame, kind};

/// Levels of the deep queries.
const DEPTH: usize = 10_000;
/// Length of the large frame, above the 128 MB that a query may have.
const LARGE: u32 = 130 << 20;
/// Queries sent before any answer is read.
const AT_ONCE: u64 = 2_000;
/// Connections with a query that does not end.
const ENDLESS: usize = 100;
/// The same of one user: more than the pool has threads.
const ONE_USER: usize = 300;
/// Connections that always have more to say.
const HURRIED: u64 = 24;
/// Queries of the client that never reads; each answer is about 600 kB, so all of them are 600 MB.
const UNREAD: u64 = 1_000;
/// `r.range(90000).coerceTo('array')`
const LONG_ANSWER: &[u8] = br#"[1,[51,[[173,[90000]],"ARRAY"]],{}]"#;
/// How long those stay that keep something.
const STAYS: Duration = Duration::from_secs(4);
/// A write that takes longer is being held back.
const HELD_BACK: Duration = Duration::from_secs(2);

/// Queries nested in every way there is, one connection each.
pub(super) fn deep_queries(ground: &Ground) -> Result<String, AttackError> {
    let nested = |open: &str, inner: &str, close: &str| {
        [&open.repeat(DEPTH), inner, &close.repeat(DEPTH)].concat()
    };
    let text = nested("[", "", "]");
    let terms = [
        ("array terms", nested("[2,[", "", "]]")),
        ("negations", nested("[23,[", "true", "]]")),
        ("functions", nested("[69,[[2,[1]],", "1", "]]")),
        ("brackets", text.clone()),
        ("objects", nested("{\"a\":", "1", "}")),
        ("JSON text", format!("[98,[\"{text}\"]]")),
        // r.range(1000000).fold(null, (inside, _) => [inside]): deep only once it runs
        ("a deep value", "[187,[[173,[1000000]],null,[69,[[2,[1,2]],[2,[[10,[1]]]]]]]]".into()),
    ];
    let mut story = Vec::new();
    for (name, term) in terms {
        let mut connection = Connection::open(ground.address, "admin", "")?;
        connection.send(1, format!("[1,{term},{{}}]").as_bytes())?;
        let said = match connection.answer_to(1) {
            Ok(answer) if kind(&answer).is_some_and(|kind| kind >= FIRST_ERROR) => "an error",
            Ok(_) => "a result",
            Err(WireError::Closed) => "closed",
            // our own parser has a depth limit too
            Err(WireError::Malformed(_)) => "a deep result",
            Err(error) => return Err(error.into()),
        };
        story.push(format!("{name}: {said}"));
    }
    Ok(story.join(", "))
}

/// Queries of a line whose values would not fit into any memory, one connection each. The server must still be there, and
/// say what was too much.
pub(super) fn growing_values(ground: &Ground) -> Result<String, AttackError> {
    // r.range(n).fold(first, (value, _) => step)
    let fold = |steps: u32, first: &str, step: &str| {
        format!("[187,[[173,[{steps}]],{first},[69,[[2,[1,2]],{step}]]]]")
    };
    let doubled = "[24,[[10,[1]],[10,[1]]]]";
    let megabyte = fold(20, "\"x\"", doubled);
    let megabytes = format!("[38,[[173,[20000]],[69,[[2,[3]],{megabyte}]]]]");
    let twins = "[2,[[10,[1]],[10,[1]]]]";
    let queries = [
        ("a doubled text", fold(60, "\"x\"", doubled)),
        ("a doubled array", fold(60, "[2,[1]]", doubled)),
        ("an array repeated", "[26,[[2,[1]],1000000000]]".into()),
        ("a long array", "[51,[[173,[1000000000]],\"ARRAY\"]]".into()),
        ("an array of megabytes", format!("[51,[{megabytes},\"ARRAY\"]]")),
        ("a group of megabytes", format!("[144,[{megabytes},[69,[[2,[4]],1]]]]")),
        ("arrays of the same array", fold(60, "[2,[1]]", twins)),
        ("such arrays as text", format!("[172,[{}]]", fold(31, "[2,[1]]", twins))),
        ("such arrays as an answer", fold(31, "[2,[1]]", twins)),
    ];
    let mut story = Vec::new();
    for (name, term) in queries {
        let mut connection = Connection::open(ground.address, "admin", "")?;
        let began = Instant::now();
        connection.send(1, format!("[1,{term},{{\"array_limit\":1e12}}]").as_bytes())?;
        let answer = connection.answer_to(1)?;
        if kind(&answer).is_none_or(|kind| kind < FIRST_ERROR) {
            return Err(AttackError::Misbehaved(format!("{name} was given")));
        }
        story.push(format!("{name}: an error after {:.1} s", began.elapsed().as_secs_f64()));
    }
    Ok(story.join(", "))
}

/// A frame longer than a query may be, all of it sent.
pub(super) fn large_frame(ground: &Ground) -> Result<String, AttackError> {
    let mut connection = Connection::open(ground.address, "admin", "")?;
    let mut socket = connection.socket();
    let mut sent = 0;
    let chunk = vec![b' '; 1 << 16];
    let mut pieces = vec![&[1, 0, 0, 0, 0, 0, 0, 0][..]];
    let length = LARGE.to_le_bytes();
    pieces.push(&length);
    pieces.resize(2 + LARGE as usize / chunk.len(), &chunk);
    for piece in pieces {
        // the server may have heard enough before the end
        if socket.write_all(piece).is_err() {
            break;
        }
        sent += piece.len();
    }
    match connection.answer_to(1) {
        Ok(answer) if kind(&answer).is_some_and(|kind| kind >= FIRST_ERROR) => {
            Ok(format!("{sent} bytes sent, then an error"))
        }
        Ok(_) => Err(AttackError::Misbehaved("a frame over the limit was run".into())),
        Err(WireError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(AttackError::Misbehaved("neither an error nor a closed connection".into()))
        }
        Err(_) => Ok(format!("{sent} bytes sent, then closed")),
    }
}

/// Quick queries, all sent before an answer is read.
pub(super) fn many_queries(ground: &Ground) -> Result<String, AttackError> {
    all_answered(ground, b"[1,[24,[1,1]],{}]")
}

/// Connections that always have more to say: frames without a pause, whatever comes of them.
pub(super) fn frames_without_pause(ground: &Ground) -> Result<String, AttackError> {
    const BODIES: [&[u8]; 6] = [
        br#"[1,[24,[1,1]],{"noreply":true}]"#,
        br#"[1,[56,[[15,["hurried"]],{"a":1}],{"durability":"soft"}],{"noreply":true}]"#,
        b"[2]",
        b"[3]",
        b"[4]",
        b"no query",
    ];
    let mut admin = Connection::open(ground.address, "admin", "")?;
    admin.send(1, br#"[1,[60,["hurried"]],{}]"#)?;
    admin.answer_to(1)?;
    let began = Instant::now();
    let sent = super::side_by_side(HURRIED, |number| {
        let connection = Connection::open(ground.address, "admin", "")?;
        connection.socket().set_write_timeout(Some(HELD_BACK))?;
        let mut reader = connection.socket().try_clone()?;
        let kinds = BODIES.iter().cycle().skip(number as usize).take(2);
        let frames: Vec<u8> =
            kinds.cycle().take(500).zip(1..).flat_map(|(body, token)| frame(token, body)).collect();
        let mut sent = 0_u64;
        thread::scope(|scope| {
            scope.spawn(move || io::copy(&mut reader, &mut io::sink()));
            while began.elapsed() < STAYS && connection.socket().write_all(&frames).is_ok() {
                sent += 500;
            }
            connection.socket().shutdown(Shutdown::Both)
        })?;
        Ok(sent)
    })?;
    admin.send(2, br#"[1,[61,["hurried"]],{}]"#)?;
    admin.answer_to(2)?;
    Ok(format!("{} frames from {HURRIED} connections", sent.iter().sum::<u64>()))
}

/// Streams without end, all open together.
pub(super) fn many_streams(ground: &Ground) -> Result<String, AttackError> {
    all_answered(ground, b"[1,[173,[]],{\"max_batch_rows\":4}]")
}

/// Queries that compute for hours, a connection each. Whoever comes after them must be able to look at the table of jobs.
pub(super) fn endless_queries(ground: &Ground) -> Result<String, AttackError> {
    endless_of(ground, "admin", ENDLESS)
}

/// More of them than the server has threads, of a user who may do nothing else.
pub(super) fn one_user(ground: &Ground) -> Result<String, AttackError> {
    let mut admin = Connection::open(ground.address, "admin", "")?;
    let user = r#"{"id":"crowd","password":false}"#;
    let insert = format!(
        r#"[1,[56,[[15,[[14,["rethinkdb"]],"users"]],{user}],{{"conflict":"replace"}}],{{}}]"#
    );
    admin.send(1, insert.as_bytes())?;
    admin.answer_to(1)?;
    endless_of(ground, "crowd", ONE_USER)
}

fn endless_of(ground: &Ground, user: &str, count: usize) -> Result<String, AttackError> {
    let mut busy = Vec::new();
    for _ in 0..count {
        let mut connection = Connection::open(ground.address, user, "")?;
        connection
            .send(1, br"[1,[145,[[38,[[173,[1e14]],[69,[[2,[1]],[24,[[10,[1]],1]]]]]]]],{}]")?;
        busy.push(connection);
    }
    let began = Instant::now();
    let mut stranger = Connection::open(ground.address, "admin", "")?;
    stranger.send(1, br#"[1,[43,[[15,[[14,["rethinkdb"]],"jobs"]]]],{}]"#)?;
    let answer = stranger.answer_to(1)?;
    if kind(&answer).is_none_or(|kind| kind >= FIRST_ERROR) {
        return Err(AttackError::Misbehaved("the table of jobs cannot be read".into()));
    }
    let waited = began.elapsed();
    thread::sleep(STAYS);
    Ok(format!("{} of them, a stranger waited {waited:?}", busy.len()))
}

/// A client that asks for long answers and reads none of them.
pub(super) fn never_reads(ground: &Ground) -> Result<String, AttackError> {
    let connection = Connection::open(ground.address, "admin", "")?;
    let began = Instant::now();
    connection.socket().set_write_timeout(Some(HELD_BACK))?;
    let mut sent = 0;
    for token in 1..=UNREAD {
        if connection.socket().write_all(&frame(token, LONG_ANSWER)).is_err() {
            break;
        }
        sent += 1;
    }
    let mut longest = Duration::ZERO;
    while began.elapsed() < STAYS {
        longest = longest.max(stranger_is_served(ground)?);
        thread::sleep(Duration::from_millis(100));
    }
    Ok(format!("{sent} queries taken, strangers waited {longest:?} at most"))
}

fn all_answered(ground: &Ground, body: &[u8]) -> Result<String, AttackError> {
    let mut connection = Connection::open(ground.address, "admin", "")?;
    let frames: Vec<u8> = (1..=AT_ONCE).flat_map(|token| frame(token, body)).collect();
    let mut writer = connection.socket().try_clone()?;
    let (answered, errors) = thread::scope(|scope| {
        scope.spawn(move || writer.write_all(&frames));
        let (mut answered, mut errors) = (HashSet::new(), 0);
        while (answered.len() as u64) < AT_ONCE {
            let (token, answer) = connection.receive()?;
            errors += u64::from(kind(&answer).is_some_and(|kind| kind >= FIRST_ERROR));
            answered.insert(token);
        }
        Ok::<_, WireError>((answered.len(), errors))
    })?;
    let waited = stranger_is_served(ground)?;
    // the streams are open until here; closing the connection must end them
    drop(connection);
    Ok(format!("{answered} answered, {errors} of them errors, a stranger waited {waited:?}"))
}
