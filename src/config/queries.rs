//! Settings of queries: what each may take, and what is told of it. Knows texts and bounds; not what a query is.

use std::net::IpAddr;
use std::time::Duration;

use super::settings::{memory, parsed};
use super::{ConfigError, RawOptions};
use crate::limits;

/// What a query may take and do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuerySettings {
    /// Bytes of memory that one query may take, if the operator has said so.
    pub memory: Option<u64>,
    /// How long an evaluation may take, if there is a bound.
    pub timeout: Option<Duration>,
    /// Queries that take longer are told in the log.
    pub slow: Option<Duration>,
    /// Whether there are no scripts (`r.js`).
    pub no_scripts: bool,
    /// Whether there are no requests to other servers (`r.http`).
    pub no_requests: bool,
    /// Where requests do not go to.
    pub denied: Denied,
}

/// Networks that requests do not go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Whether those that nobody has named are among them: link-local addresses and those of clouds' metadata.
    pub defaults_too: bool,
    /// Each `ADDRESS` or `ADDRESS/BITS`.
    pub networks: Vec<String>,
}

impl Default for Denied {
    fn default() -> Self {
        Self { defaults_too: true, networks: Vec::new() }
    }
}

impl QuerySettings {
    /// Checks raw options and fills in what was not given.
    pub(super) fn check(raw: &RawOptions) -> Result<QuerySettings, ConfigError> {
        const MEMORY: &str = "`auto` or a number of megabytes from 128 to 16777216";
        const SECONDS: &str = "a number of seconds from 0.001 to 31622400";
        const MILLISECONDS: &str = "a number of milliseconds from 1 to 31622400000";
        Ok(QuerySettings {
            memory: memory(raw, "query-memory", limits::QUERY_BYTES_MIN, MEMORY)?,
            timeout: time(raw, "query-timeout", 1.0, SECONDS)?,
            slow: time(raw, "slow-query-ms", 1e-3, MILLISECONDS)?,
            no_scripts: raw.flag("no-scripts"),
            no_requests: raw.flag("no-http-requests"),
            denied: denied(raw)?,
        })
    }
}

/// Networks beside those that are denied by default, and whether these are: not when `none` is among them.
fn denied(raw: &RawOptions) -> Result<Denied, ConfigError> {
    let Some(given) = raw.many("http-deny") else { return Ok(Denied::default()) };
    let wanted = given.values.iter().filter(|text| *text != "none");
    if let Some(wrong) = wanted.clone().find(|text| !is_network(text)) {
        return Err(ConfigError::Value {
            origin: given.origin.clone(),
            value: wrong.clone(),
            expected: "`none`, an IP address, or one with a number of bits, as 10.0.0.0/8",
        });
    }
    let defaults_too = wanted.clone().count() == given.values.len();
    Ok(Denied { defaults_too, networks: wanted.cloned().collect() })
}

fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let Ok(address) = address.parse::<IpAddr>() else { return false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u32>().is_ok_and(|bits| bits <= most))
}

/// A time that is given in units of so many seconds.
fn time(
    raw: &RawOptions,
    name: &str,
    unit: f64,
    expected: &'static str,
) -> Result<Option<Duration>, ConfigError> {
    let Some(count): Option<f64> = parsed(raw, name, expected)? else { return Ok(None) };
    let time = Duration::try_from_secs_f64(count * unit).ok();
    let allowed = Duration::from_millis(1)..=limits::OPTION_TIME_MAX;
    match (time.filter(|time| allowed.contains(time)), raw.one(name)) {
        (None, Some((origin, text))) => {
            Err(ConfigError::Value { origin: origin.clone(), value: text.to_owned(), expected })
        }
        (time, _) => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn checked(name: &str, value: &str) -> Result<QuerySettings, ConfigError> {
        let mut raw = RawOptions::new();
        raw.command_line(find(name).unwrap(), vec![value.to_owned()]);
        QuerySettings::check(&raw)
    }

    #[test]
    fn queries_have_no_bound_of_time_unless_it_is_asked_for() {
        let settings = QuerySettings::check(&RawOptions::new()).unwrap();
        assert_eq!((settings.timeout, settings.slow), (None, None));
        let timeout = checked("query-timeout", "0.5").unwrap().timeout;
        assert_eq!(timeout, Some(Duration::from_millis(500)));
        let slow = checked("slow-query-ms", "250").unwrap().slow;
        assert_eq!(slow, Some(Duration::from_millis(250)));
        assert_eq!(limits::OPTION_TIME_MAX.as_secs(), 31_622_400, "the text names it");
    }

    #[test]
    fn networks_are_named_or_none() {
        let denied = |value: &str| checked("http-deny", value).map(|settings| settings.denied);
        let of = |defaults_too, networks| Ok(Denied { defaults_too, networks });
        assert_eq!(denied("none"), of(false, Vec::new()));
        assert_eq!(QuerySettings::check(&RawOptions::new()).unwrap().denied, Denied::default());
        for network in ["10.0.0.0/8", "192.0.2.1", "fd00::/8"] {
            assert_eq!(denied(network), of(true, vec![network.to_owned()]));
        }
        for wrong in ["", "all", "10.0.0.0/33", "10.0.0/8"] {
            let text = format!(
                "--http-deny: `{wrong}` is not `none`, an IP address, or one with a number of bits, as 10.0.0.0/8"
            );
            assert_eq!(denied(wrong).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn faults_name_the_option_and_the_value() {
        for (name, values, expected) in [
            (
                "query-timeout",
                ["0", "-1", "5s", "NaN", "31622401", ""],
                "a number of seconds from 0.001 to 31622400",
            ),
            (
                "slow-query-ms",
                ["0", "-1", "5ms", "inf", "31622400001", ""],
                "a number of milliseconds from 1 to 31622400000",
            ),
        ] {
            for value in values {
                let text = format!("--{name}: `{value}` is not {expected}");
                assert_eq!(checked(name, value).unwrap_err().to_string(), text);
            }
        }
    }
}
