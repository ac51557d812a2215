//! Clients that keep what others need: threads, locks, sockets, places of HTTP connections.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::{AttackError, Ground, side_by_side};
use crate::wire::{Connection, MAGIC_V0_4, PROTOCOL_JSON};

/// Connections with an endless scan.
const SCANS: usize = 40;
/// Updates that wait for one document.
const UPDATES: u64 = 272;
/// HTTP connections that say a little and then nothing.
const SLOW: usize = 1_100;
/// Sockets that never say anything.
const SILENT: usize = 1_300;
/// How long each attack lasts when everything is in place.
const STAYS: Duration = Duration::from_secs(4);
/// How soon a query that is stopped must be over.
const STOPS_WITHIN: Duration = Duration::from_millis(200);
/// A scan of a table, without end: a filter that counts a range of 10^14.
const ENDLESS: &str = r#"[1,[43,[[39,[[15,[[14,["probe"]],"t"]],[69,[[2,[1]],[17,[[43,[[38,[[173,[1e14]],[69,[[2,[2]],[24,[[10,[2]],1]]]]]]]],3]]]]]]]],{}]"#;
/// An update of one document that does not end.
const ENDLESS_UPDATE: &str = r#"[1,[53,[[16,[[15,[[14,["probe"]],"other"]],1]],[69,[[2,[1]],{"n":[43,[[38,[[173,[1e14]],[69,[[2,[2]],[24,[[10,[2]],1]]]]]]]]}]]]],{}]"#;
const UPDATE: &str = r#"[1,[53,[[16,[[15,[[14,["probe"]],"other"]],1]],{"n":1}]],{}]"#;

/// Scans without end, on many connections.
pub(super) fn endless_scans(ground: &Ground) -> Result<String, AttackError> {
    let mut busy = Vec::new();
    for _ in 0..SCANS {
        let mut connection = Connection::open(ground.address, "admin", "")?;
        connection.send(1, ENDLESS.as_bytes())?;
        busy.push(connection);
    }
    thread::sleep(STAYS);
    let mut longest = Duration::ZERO;
    for connection in &mut busy {
        longest = longest.max(stop(connection, 1)?);
    }
    Ok(format!("{SCANS} of them, each stopped within {longest:?}"))
}

/// Updates of one document that wait for one that does not end; all are stopped.
pub(super) fn one_document(ground: &Ground) -> Result<String, AttackError> {
    let mut first = Connection::open(ground.address, "admin", "")?;
    first.send(1, ENDLESS_UPDATE.as_bytes())?;
    thread::sleep(Duration::from_millis(100));
    let mut waiting = Connection::open(ground.address, "admin", "")?;
    for token in 1..=UPDATES {
        waiting.send(token, UPDATE.as_bytes())?;
    }
    thread::sleep(STAYS);
    let began = Instant::now();
    for token in 1..=UPDATES {
        waiting.send_stop(token)?;
    }
    for _ in 1..=UPDATES {
        waiting.receive()?;
    }
    let all = began.elapsed();
    let one = stop(&mut first, 1)?;
    if all > STOPS_WITHIN * 2 {
        return Err(AttackError::Misbehaved(format!("the waiting were stopped in {all:?}")));
    }
    Ok(format!("{UPDATES} waiting ones stopped in {all:?}, the endless one in {one:?}"))
}

fn stop(connection: &mut Connection, token: u64) -> Result<Duration, AttackError> {
    let began = Instant::now();
    connection.stop(token)?;
    let took = began.elapsed();
    if took > STOPS_WITHIN {
        return Err(AttackError::Misbehaved(format!("{took:?} to stop a query")));
    }
    Ok(took)
}

/// HTTP clients that begin a request and do not end it.
pub(super) fn slow_requests(ground: &Ground) -> Result<String, AttackError> {
    begin(ground, b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nX-")
}

/// HTTP clients that announce a body and do not send it.
pub(super) fn missing_bodies(ground: &Ground) -> Result<String, AttackError> {
    let head = b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{";
    begin(ground, head)
}

/// Opens HTTP connections that say the same, and keeps them.
fn begin(ground: &Ground, said: &[u8]) -> Result<String, AttackError> {
    let mut open = Vec::new();
    for _ in 0..SLOW {
        let mut socket = TcpStream::connect(ground.http)?;
        socket.write_all(said)?;
        open.push(socket);
    }
    thread::sleep(STAYS);
    let closed = open.iter().filter(|socket| is_closed(socket)).count();
    Ok(format!("{SLOW} of them, {closed} closed by the server"))
}

/// Whether the server has said something, which for these clients is a refusal, or has closed.
fn is_closed(mut socket: &TcpStream) -> bool {
    let mut chunk = [0; 512];
    socket.set_nonblocking(true).is_err()
        || !matches!(socket.read(&mut chunk), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Sockets of the driver port that never say anything.
pub(super) fn silent_sockets(ground: &Ground) -> Result<String, AttackError> {
    let mut open = Vec::new();
    for _ in 0..SILENT {
        open.push(TcpStream::connect(ground.address)?);
    }
    thread::sleep(STAYS);
    let closed = open.iter().filter(|socket| is_closed(socket)).count();
    Ok(format!("{SILENT} of them, {closed} closed by the server"))
}

/// Legacy handshakes with keys, each of which is a password to be proved.
pub(super) fn legacy_keys(ground: &Ground) -> Result<String, AttackError> {
    let key = [b'k'; 2_000];
    let began = Instant::now();
    let work = |_| -> Result<usize, AttackError> {
        let mut count = 0;
        while began.elapsed() < STAYS {
            let mut socket = TcpStream::connect(ground.address)?;
            socket.write_all(&MAGIC_V0_4.to_le_bytes())?;
            socket.write_all(&(key.len() as u32).to_le_bytes())?;
            socket.write_all(&key)?;
            socket.write_all(&PROTOCOL_JSON.to_le_bytes())?;
            let mut answer = [0; 256];
            socket.set_read_timeout(Some(Duration::from_secs(20)))?;
            // An answer or a closed connection: both are refusals.
            let _ = socket.read(&mut answer)?;
            count += 1;
        }
        Ok(count)
    };
    let count: usize = side_by_side(16, work)?.into_iter().sum();
    Ok(format!("{count} refused"))
}

/// Scripts that do not end, among them built-ins of the engine that look at no interrupt.
pub(super) fn endless_scripts(ground: &Ground) -> Result<String, AttackError> {
    let scripts = [
        "while (true) {}",
        "Array.prototype.copyWithin.call({length: Math.pow(2, 53) - 1}, 1, 0)",
        "Array.prototype.fill.call({length: Math.pow(2, 53) - 1}, 1)",
        "var a = []; while (true) { a.push(new Array(100000).join('x')) }",
        "(function f() { return f() + f() })()",
        "new Array(1e9).join('x')",
    ];
    let mut busy = Vec::new();
    for at in 0..32 {
        let mut connection = Connection::open(ground.address, "admin", "")?;
        let script = serde_json::Value::from(scripts[at % scripts.len()]);
        connection.send(1, format!("[1,[11,[{script}],{{\"timeout\":2}}],{{}}]").as_bytes())?;
        busy.push(connection);
    }
    thread::sleep(STAYS);
    let mut sound = Connection::open(ground.address, "admin", "")?;
    sound.send(1, br#"[1,[11,["1 + 1"],{"timeout":5}],{}]"#)?;
    let began = Instant::now();
    let answer = sound.answer_to(1)?;
    if answer.get("r") != Some(&serde_json::json!([2])) {
        let text = serde_json::json!(answer);
        return Err(AttackError::Misbehaved(format!("scripts are at an end: {text}")));
    }
    Ok(format!("{} of them, the next script was answered in {:?}", busy.len(), began.elapsed()))
}
