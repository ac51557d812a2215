//! Clients that have much said to them and read nothing, and scripts whose processes are killed.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::{AttackError, Ground, side_by_side, stranger_is_served};
use crate::wire::{Connection, FIRST_ERROR, frame, kind};

/// Clients that read no answer.
const CLIENTS: usize = 300;
/// Answers that each asks for: more than the system takes for it.
const ANSWERS: u64 = 12;
/// `r.range(20).fold('x', (text, _) => text + text)`, a megabyte.
const MEGABYTE: &str = r#"[187,[[173,[20]],"x",[69,[[2,[1,2]],[24,[[10,[1]],[10,[1]]]]]]]]"#;
/// Feeds that are not read, on so many connections.
const FEEDS: u64 = 200;
const FEED_CONNECTIONS: usize = 20;
/// Changes of a megabyte that wait for each of them.
const CHANGES: usize = 300;
/// Scripts whose process is killed.
const SCRIPTS: u64 = 10;
/// How long clients stay that read nothing.
const STAYS: Duration = Duration::from_secs(6);
const TABLE: &str = r#"[15,[[14,["probe"]],"other"]]"#;

/// Many clients that ask for long answers and read none of them.
pub(super) fn many_that_never_read(ground: &Ground) -> Result<String, AttackError> {
    let asks: Vec<u8> = (1..=ANSWERS)
        .flat_map(|token| frame(token, format!("[1,{MEGABYTE},{{}}]").as_bytes()))
        .collect();
    let mut open = Vec::new();
    for _ in 0..CLIENTS {
        let connection = Connection::open(ground.address, "admin", "")?;
        connection.socket().write_all(&asks)?;
        open.push(connection);
    }
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while began.elapsed() < STAYS {
        longest = longest.max(stranger_is_served(ground)?);
        thread::sleep(Duration::from_millis(50));
    }
    // A client that reads gets an answer as long as theirs.
    ask(&mut Connection::open(ground.address, "admin", "")?, MEGABYTE)?;
    Ok(format!("{} of them, strangers waited {longest:?} at most", open.len()))
}

/// Feeds of one table that nobody reads, and others of one document each, while long documents are written.
pub(super) fn unread_feeds(ground: &Ground) -> Result<String, AttackError> {
    let mut open = Vec::new();
    for _ in 0..FEED_CONNECTIONS {
        let mut connection = Connection::open(ground.address, "admin", "")?;
        for token in 1..=FEEDS / FEED_CONNECTIONS as u64 {
            connection.send(token, format!("[1,[152,[{TABLE}]],{{}}]").as_bytes())?;
            connection.answer_to(token)?;
        }
        open.push(connection);
    }
    let write = |number: u64| -> Result<(), AttackError> {
        let mut connection = Connection::open(ground.address, "admin", "")?;
        for at in 0..CHANGES / 2 {
            let document = format!(r#"{{"id":"{number}","n":{at},"text":{MEGABYTE}}}"#);
            let insert = format!(
                r#"[56,[{TABLE},{document}],{{"conflict":"replace","durability":"soft"}}]"#
            );
            ask(&mut connection, &insert)?;
        }
        Ok(())
    };
    side_by_side(2, write)?;
    let mut writer = Connection::open(ground.address, "admin", "")?;
    // Whoever asks now is told what was lost.
    let [first, ..] = &mut open[..] else { return Ok("none".into()) };
    first.send_continue(1)?;
    let answer = first.answer_to(1)?;
    let text = serde_json::json!(answer).to_string();
    if !text.contains("Changefeed cache over array size limit, skipped ") {
        let start: String = text.chars().take(200).collect();
        return Err(AttackError::Misbehaved(format!("nothing was lost: {start}")));
    }
    for document in ["0", "1"] {
        ask(&mut writer, &format!(r#"[54,[[16,[{TABLE},"{document}"]]]]"#))?;
    }
    Ok(format!("{FEEDS} feeds, {CHANGES} changes of a megabyte"))
}

/// Scripts whose processes somebody kills: each fails alone, and the next ones run.
pub(super) fn killed_scripts(ground: &Ground) -> Result<String, AttackError> {
    let mut connection = Connection::open(ground.address, "admin", "")?;
    let mut longest = Duration::ZERO;
    for token in 1..=SCRIPTS {
        connection.send(token, br#"[1,[11,["while (true) {}"],{"timeout":30}],{}]"#)?;
        thread::sleep(Duration::from_millis(200));
        let began = Instant::now();
        for child in children(ground.process.id)? {
            Command::new("kill").args(["-KILL", &child.to_string()]).status()?;
        }
        let answer = connection.answer_to(token)?;
        longest = longest.max(began.elapsed());
        let text = serde_json::json!(answer).to_string();
        if kind(&answer).is_none_or(|kind| kind < FIRST_ERROR) || !text.contains("caused a crash") {
            return Err(AttackError::Misbehaved(format!("a killed script was answered {text}")));
        }
        ask(&mut connection, r#"[11,["1 + 1"]]"#)?;
    }
    if longest > Duration::from_secs(1) {
        return Err(AttackError::Misbehaved(format!("{longest:?} to tell of a killed script")));
    }
    Ok(format!("{SCRIPTS} of them, each failed within {longest:?}, the next ones ran"))
}

/// The processes that a process has started.
fn children(parent: u32) -> Result<Vec<u32>, AttackError> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended meanwhile. The name, in parentheses, may hold spaces.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let behind = stat.rsplit_once(") ").map_or("", |(_, behind)| behind);
        if behind.split(' ').nth(1) == Some(&parent.to_string()) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Runs a term that must succeed.
fn ask(connection: &mut Connection, term: &str) -> Result<(), AttackError> {
    const TOKEN: u64 = 1_000;
    connection.send(TOKEN, format!("[1,{term},{{}}]").as_bytes())?;
    let answer = connection.answer_to(TOKEN)?;
    if kind(&answer).is_none_or(|kind| kind >= FIRST_ERROR) {
        let text: String = serde_json::json!(answer).to_string().chars().take(300).collect();
        return Err(AttackError::Misbehaved(format!("{term:.100} was answered {text}")));
    }
    Ok(())
}
