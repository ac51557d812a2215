//! `logs`: the last lines of this server's log.

use crate::datum::Datum;
use crate::datum::time::{time_datum, to_iso8601};
use crate::log_lines::LogLine;
use crate::reql::error::Result;

use super::Look;
use crate::reql::server_facts::ServerFacts;

const NANOSECONDS: u64 = 1_000_000_000;

pub(super) fn rows(look: &Look<'_>) -> Result<Vec<Datum>> {
    let Some(facts) = look.context.facts() else { return Ok(Vec::new()) };
    facts.log.all().iter().map(|line| row(look, facts, line)).collect()
}

fn row(look: &Look<'_>, facts: &ServerFacts, line: &LogLine) -> Result<Datum> {
    let seconds = line.nanoseconds / NANOSECONDS;
    let time = time_datum(line.nanoseconds as f64 / NANOSECONDS as f64, "+00:00")?;
    // To the nanosecond, which a time does not hold, and without the zone.
    let day_and_second = to_iso8601(&time_datum(seconds as f64, "+00:00")?)?;
    let day_and_second = day_and_second.split(['.', '+']).next().unwrap_or_default();
    let stamp = format!("{day_and_second}.{:09}", line.nanoseconds % NANOSECONDS);
    Ok(Datum::object([
        ("id", Datum::array(vec![stamp.into(), facts.id.as_str().into()])),
        ("level", line.level.into()),
        ("message", line.message.as_str().into()),
        ("server", look.server()),
        ("timestamp", time),
        ("uptime", Datum::Number(line.uptime.as_secs_f64())),
    ]))
}
