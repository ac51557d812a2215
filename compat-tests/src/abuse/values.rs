//! Every term on the values that hurt most: one that shares its parts until it has 2^40 of them, a long text, a long
//! array, a deep one. Each query is stopped when it runs for long, and must then end at once.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regex::Regex;

use super::{AttackError, Ground, side_by_side};
use crate::random::Random;
use crate::wire::{Connection, WireError};

/// Connections that ask side by side.
const CONNECTIONS: u64 = 8;
/// A query that runs longer is stopped.
const PATIENCE: Duration = Duration::from_millis(40);
/// How soon 99 of 100 queries that are stopped must be over.
const STOPS_WITHIN: Duration = Duration::from_millis(200);
/// How soon any of them must be, on a machine that does other things as well.
const STOPS_AT_LAST: Duration = Duration::from_secs(1);
/// Levels of the values that share their parts.
const LEVELS: usize = 40;
/// Terms that reach out of the server, or run scripts: they have attacks of their own.
const LEFT_OUT: [u64; 2] = [11, 153];

/// All terms, or as many queries as the extent allows.
pub(super) fn every_term(ground: &Ground) -> Result<String, AttackError> {
    let queries = queries(&mut Random::new(ground.seed, 77), ground.extent.terms)?;
    let next = AtomicUsize::new(0);
    let work = |_| -> Result<Vec<Duration>, AttackError> {
        let mut connection = Connection::open(ground.address, "admin", "")?;
        let mut stops = Vec::new();
        while let Some(query) = queries.get(next.fetch_add(1, Ordering::Relaxed)) {
            stops.extend(ask(&mut connection, query)?);
        }
        Ok(stops)
    };
    let mut stops = side_by_side(CONNECTIONS, work)?.concat();
    stops.sort_unstable();
    let most = stops.get((stops.len() * 99).div_ceil(100).max(1) - 1).copied().unwrap_or_default();
    let slowest = stops.last().copied().unwrap_or_default();
    if most > STOPS_WITHIN || slowest > STOPS_AT_LAST {
        return Err(AttackError::Misbehaved(format!(
            "queries were stopped within {most:?} (99 of 100), the slowest in {slowest:?}"
        )));
    }
    let (all, stopped) = (queries.len(), stops.len());
    Ok(format!("{all} queries, {stopped} stopped within {most:?} (99 of 100), {slowest:?} (all)"))
}

/// Asks one query; gives how long it took to stop it, if it had to be.
fn ask(connection: &mut Connection, query: &str) -> Result<Option<Duration>, AttackError> {
    const TOKEN: u64 = 3;
    connection.send(TOKEN, format!("[1,{query},{{}}]").as_bytes())?;
    match connection.answer_within(TOKEN, PATIENCE) {
        Ok(_) | Err(WireError::Malformed(_)) => {
            // A stream is left by closing it; of anything else there is nothing to stop.
            connection.send_stop(TOKEN)?;
            connection.answer_to(TOKEN)?;
            return Ok(None);
        }
        Err(error) if error.is_timeout() => {}
        Err(error) => return Err(error.into()),
    }
    let began = Instant::now();
    connection.send_stop(TOKEN)?;
    connection.answer_to(TOKEN)?;
    let took = began.elapsed();
    if took > STOPS_AT_LAST {
        let start: String = query.chars().take(200).collect();
        return Err(AttackError::Misbehaved(format!("{took:?} to stop {start}")));
    }
    // The query and its end are both answered; whichever came first was read.
    connection.send(TOKEN + 1, b"[1,1,{}]")?;
    connection.answer_to(TOKEN + 1)?;
    Ok(Some(took))
}

fn queries(random: &mut Random, at_most: usize) -> Result<Vec<String>, AttackError> {
    let numbers = term_numbers()?;
    let table = r#"[15,[[14,["probe"]],"other"]]"#;
    let mut queries = Vec::new();
    for number in numbers {
        for x in values() {
            let row_is = |body: &str| format!("[69,[[2,[5]],{body}]]");
            let same = row_is(&format!("[17,[[10,[5]],{x}]]"));
            let of = |arguments: &[&str]| format!("[{number},[{}]]", arguments.join(","));
            queries.extend([of(&[&x]), of(&[&x, &x]), of(&[&x, "0", &x]), of(&[&x, "\"a\""])]);
            queries.extend([of(&[&x, &same]), of(&[table, &x]), of(&[table, &same])]);
            queries.extend([of(&["[12,[1]]", &x]), of(&[table, "\"a\"", &x])]);
        }
    }
    while queries.len() > at_most {
        let at = random.below(queries.len());
        queries.swap_remove(at);
    }
    Ok(queries)
}

/// The numbers of all terms, from the table of them that the server's rows print.
fn term_numbers() -> Result<Vec<u64>, AttackError> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reql.md");
    let rows = Regex::new(r"(?m)^\| `[A-Z0-9_]+` \| (\d+) \|");
    let rows = rows.map_err(|error| AttackError::Misbehaved(error.to_string()))?;
    let text = fs::read_to_string(path)?;
    let numbers = rows.captures_iter(&text).filter_map(|row| row.get(1)?.as_str().parse().ok());
    let numbers: Vec<u64> = numbers.filter(|number| !LEFT_OUT.contains(number)).collect();
    if numbers.len() < 100 {
        return Err(AttackError::Misbehaved(format!("only {} terms are told of", numbers.len())));
    }
    Ok(numbers)
}

/// The values, each as a term.
fn values() -> [String; 7] {
    let times = |levels: usize, innermost: &str, level: &str| {
        (0..levels)
            .fold(innermost.to_owned(), |inner, _| format!("[64,[[69,[[2,[9]],{level}]],{inner}]]"))
    };
    let pair = "[2,[[10,[9]],[10,[9]]]]";
    let fields = r#"{"a":[10,[9]],"b":[10,[9]]}"#;
    let mut long = String::from("[2,[");
    for number in 0..20_000 {
        let _ = write!(long, "{number},");
    }
    long.push_str("0]]");
    [
        times(LEVELS, "null", pair),
        times(LEVELS, "\"a\"", pair),
        times(LEVELS, "1", fields),
        format!("[2,[{0},{0}]]", times(LEVELS, "1", pair)),
        times(23, "\"long \"", "[24,[[10,[9]],[10,[9]]]]"),
        long,
        times(15, "1", "[2,[[10,[9]]]]"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_queries_for_every_term_and_a_slice_of_them_is_a_choice() {
        let (one, other) = (Random::new(1, 1), Random::new(2, 1));
        let all = queries(&mut Random::new(1, 1), usize::MAX).unwrap();
        assert!(all.len() > 100 * 9 * 7);
        let [one, other] = [one, other].map(|mut random| queries(&mut random, 50).unwrap());
        assert!(one.len() == 50 && one != other);
    }
}
