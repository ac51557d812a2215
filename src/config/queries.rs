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
        const MILLISECONDS: &str = "a whole number of milliseconds from 1 to 31622400000";
        Ok(QuerySettings {
            memory: memory(raw, "query-memory", limits::QUERY_BYTES_MIN, MEMORY)?,
            timeout: seconds(raw, "query-timeout", SECONDS)?,
            slow: milliseconds(raw, "slow-query-ms", MILLISECONDS)?,
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
    for text in wanted.clone() {
        if let Err(expected) = check_network(text) {
            let (origin, value) = (given.origin.clone(), text.clone());
            return Err(ConfigError::Value { origin, value, expected });
        }
    }
    let defaults_too = wanted.clone().count() == given.values.len();
    Ok(Denied { defaults_too, networks: wanted.cloned().collect() })
}

/// Refuses what is no network, by what it should have been.
fn check_network(text: &str) -> Result<(), &'static str> {
    const FORM: &str = "`none`, an IP address, or one with a number of bits, as 10.0.0.0/8";
    // Whoever writes more than the network may have meant the address alone.
    const WHOLE: &str =
        "a network: the bits of its address behind their number must be 0, as in 10.0.0.0/8";
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let address: IpAddr = address.parse().map_err(|_| FORM)?;
    let Some(bits) = bits else { return Ok(()) };
    let bits: u32 = bits.parse().map_err(|_| FORM)?;
    let (most, zeros) = match address {
        IpAddr::V4(address) => (32, address.to_bits().trailing_zeros()),
        IpAddr::V6(address) => (128, address.to_bits().trailing_zeros()),
    };
    if bits > most {
        return Err(FORM);
    }
    if zeros < most - bits { Err(WHOLE) } else { Ok(()) }
}

/// A time that is given in seconds.
fn seconds(
    raw: &RawOptions,
    name: &str,
    expected: &'static str,
) -> Result<Option<Duration>, ConfigError> {
    let Some(count): Option<f64> = parsed(raw, name, expected)? else { return Ok(None) };
    allowed(raw, name, Duration::try_from_secs_f64(count).ok(), expected)
}

/// A time that is given in whole milliseconds: what it is measured with tells no parts of them.
fn milliseconds(
    raw: &RawOptions,
    name: &str,
    expected: &'static str,
) -> Result<Option<Duration>, ConfigError> {
    let Some(count): Option<u64> = parsed(raw, name, expected)? else { return Ok(None) };
    allowed(raw, name, Some(Duration::from_millis(count)), expected)
}

/// A time that an option was given, if it may have it.
fn allowed(
    raw: &RawOptions,
    name: &str,
    time: Option<Duration>,
    expected: &'static str,
) -> Result<Option<Duration>, ConfigError> {
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
        for network in ["10.0.0.0/8", "192.0.2.1", "192.0.2.1/32", "fd00::/8", "0.0.0.0/0", "::/0"]
        {
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
    fn a_network_with_bits_of_a_host_is_refused() {
        for wrong in ["10.0.0.1/8", "192.0.2.1/31", "fd00::1/8", "128.0.0.0/0"] {
            let text = format!(
                "--http-deny: `{wrong}` is not a network: the bits of its address behind their number must be 0, as in 10.0.0.0/8"
            );
            assert_eq!(checked("http-deny", wrong).unwrap_err().to_string(), text);
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
                ["0", "-1", "1.5", "5ms", "31622400001", ""],
                "a whole number of milliseconds from 1 to 31622400000",
            ),
        ] {
            for value in values {
                let text = format!("--{name}: `{value}` is not {expected}");
                assert_eq!(checked(name, value).unwrap_err().to_string(), text);
            }
        }
    }
}
