//! Checked settings: what the rest of the server is started with.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::raw::RawOptions;
use super::{ConfigError, QuerySettings, room};
use crate::limits;

const DRIVER_PORT: u16 = 28015;
const HTTP_PORT: u16 = 8080;
const DIRECTORY: &str = "photondb_data";
/// RethinkDB's bound.
const CORES_MAX: usize = 1024;

/// What the server is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The server's folder.
    pub directory: PathBuf,
    /// How data is kept.
    pub storage: StorageSettings,
    /// The name of a new server, if one was given.
    pub server_name: Option<String>,
    /// Where drivers connect.
    pub driver: Endpoint,
    /// Where HTTP clients connect, if anywhere.
    pub http: Option<Endpoint>,
    /// How drivers connect over QUIC, if at all.
    pub quic: Option<QuicSettings>,
    /// The admin's password on a new server.
    pub initial_password: InitialPassword,
    /// Bytes of memory that the server may have, if the operator has said so.
    pub memory: Option<u64>,
    /// What queries may take.
    pub queries: QuerySettings,
    /// Most connections of one address, if there is a bound.
    pub connections_per_address: Option<usize>,
    /// Processors to use, or all.
    pub cores: Option<usize>,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
}

/// How data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageSettings {
    /// In files of the server's folder.
    Slab(SlabSettings),
    /// In memory, gone with the server.
    Memory,
}

/// How data is kept in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlabSettings {
    /// Memory for pages and for changes on their way to the disk; what was set last when nothing is asked for.
    pub cache: Option<CacheSize>,
    /// How long a soft commit may wait for a sync.
    pub flush_interval: Duration,
}

/// Memory for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSize {
    /// A part of what the machine or its container has.
    Auto,
    /// So many bytes.
    Bytes(u64),
}

/// Addresses that share a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The addresses. With an unspecified one, it is the only one.
    pub addresses: Vec<IpAddr>,
    /// The port; 0 is any that is free.
    pub port: u16,
}

/// How drivers connect over QUIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuicSettings {
    /// Where.
    pub endpoint: Endpoint,
    /// Files with the certificate chain and its key; none for a certificate made at the start.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// The admin's password on a new server.
#[derive(Clone, PartialEq, Eq)]
pub enum InitialPassword {
    /// None.
    Empty,
    /// To be drawn, and told in the log.
    Auto,
    /// This.
    Given(String),
}

impl std::fmt::Debug for InitialPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            InitialPassword::Empty => "Empty",
            InitialPassword::Auto => "Auto",
            InitialPassword::Given(_) => "Given(..)",
        })
    }
}

impl Settings {
    /// Checks raw options and fills in what was not given.
    pub fn check(raw: &RawOptions) -> Result<Settings, ConfigError> {
        raw.check_supported()?;
        let driver = endpoint(raw, "bind-driver", "driver-port", DRIVER_PORT)?;
        let http = if raw.flag("no-http-admin") {
            None
        } else {
            Some(endpoint(raw, "bind-http", "http-port", HTTP_PORT)?)
        };
        let settings = Settings {
            directory: directory(raw),
            storage: storage(raw)?,
            server_name: server_name(raw)?,
            quic: quic(raw, &driver)?,
            driver,
            http,
            initial_password: match raw.one("initial-password").map(|(_, text)| text) {
                None | Some("") => InitialPassword::Empty,
                Some("auto") => InitialPassword::Auto,
                Some(text) => InitialPassword::Given(text.to_owned()),
            },
            memory: memory(
                raw,
                "memory-limit",
                limits::MEMORY_BYTES_MIN,
                "`auto` or a number of megabytes from 256 to 16777216",
            )?,
            queries: QuerySettings::check(raw)?,
            connections_per_address: connections_per_address(raw)?,
            cores: cores(raw)?,
            pid_file: path(raw, "pid-file"),
        };
        room::check(&settings, raw)?;
        Ok(settings)
    }
}

/// The server's folder.
pub fn directory(raw: &RawOptions) -> PathBuf {
    path(raw, "directory").unwrap_or_else(|| PathBuf::from(DIRECTORY))
}

fn path(raw: &RawOptions, name: &str) -> Option<PathBuf> {
    raw.one(name).map(|(_, path)| PathBuf::from(path))
}

/// The value of an option as another type.
pub(super) fn parsed<T: std::str::FromStr>(
    raw: &RawOptions,
    name: &str,
    expected: &'static str,
) -> Result<Option<T>, ConfigError> {
    let Some((origin, text)) = raw.one(name) else { return Ok(None) };
    let value = text.parse().map_err(|_| ConfigError::Value {
        origin: origin.clone(),
        value: text.to_owned(),
        expected,
    })?;
    Ok(Some(value))
}

fn port(raw: &RawOptions, name: &str, default: u16) -> Result<u16, ConfigError> {
    const EXPECTED: &str = "a number from 0 to 65535";
    let offset = parsed(raw, "port-offset", EXPECTED)?.unwrap_or(0);
    let port = parsed(raw, name, EXPECTED)?.unwrap_or(default);
    if port == 0 {
        return Ok(0);
    }
    port.checked_add(offset).ok_or_else(|| {
        let given = raw.one(name).or_else(|| raw.one("port-offset"));
        let origin = given.map(|(origin, _)| origin.clone());
        let origin = origin.unwrap_or(super::Origin::CommandLine(name.to_owned()));
        ConfigError::Port { origin, port, offset }
    })
}

fn endpoint(
    raw: &RawOptions,
    bind: &str,
    port_name: &str,
    default: u16,
) -> Result<Endpoint, ConfigError> {
    Ok(Endpoint { addresses: addresses(raw, bind)?, port: port(raw, port_name, default)? })
}

/// Loopback, unless that is not wanted, and what `--bind` or its narrower sibling says.
fn addresses(raw: &RawOptions, narrower: &str) -> Result<Vec<IpAddr>, ConfigError> {
    let mut addresses = Vec::new();
    if !raw.flag("no-default-bind") {
        addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
        addresses.push(IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
    let Some(given) = raw.many(narrower).or_else(|| raw.many("bind")) else {
        return if addresses.is_empty() {
            Err(ConfigError::Combination("--no-default-bind needs a --bind"))
        } else {
            Ok(addresses)
        };
    };
    for text in &given.values {
        if text == "all" {
            return Ok(vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)]);
        }
        let address: IpAddr = text.parse().map_err(|_| ConfigError::Value {
            origin: given.origin.clone(),
            value: text.clone(),
            expected: "`all` or an IP address",
        })?;
        if address.is_unspecified() {
            return Ok(vec![address]);
        }
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn quic(raw: &RawOptions, driver: &Endpoint) -> Result<Option<QuicSettings>, ConfigError> {
    let certificate = match (path(raw, "quic-tls-cert"), path(raw, "quic-tls-key")) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (None, None) => None,
        _ => {
            let problem = "--quic-tls-cert and --quic-tls-key need each other";
            return Err(ConfigError::Combination(problem));
        }
    };
    if certificate.is_none() && !raw.flag("dev-mode") {
        return match raw.one("quic-port") {
            None => Ok(None),
            Some(_) => Err(ConfigError::Combination(
                "--quic-port needs --quic-tls-cert and --quic-tls-key, or --dev-mode",
            )),
        };
    }
    let port = match raw.one("quic-port") {
        Some(_) => port(raw, "quic-port", 0)?,
        None => driver.port,
    };
    let endpoint = Endpoint { addresses: driver.addresses.clone(), port };
    Ok(Some(QuicSettings { endpoint, certificate }))
}

fn server_name(raw: &RawOptions) -> Result<Option<String>, ConfigError> {
    let Some((origin, name)) = raw.one("server-name") else { return Ok(None) };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(ConfigError::Value {
            origin: origin.clone(),
            value: name.to_owned(),
            expected: "a name of letters, digits, underscores and hyphens",
        });
    }
    Ok(Some(name.to_owned()))
}

fn connections_per_address(raw: &RawOptions) -> Result<Option<usize>, ConfigError> {
    const NAME: &str = "max-connections-per-address";
    const EXPECTED: &str = "a number from 1 on";
    let most: Option<usize> = parsed(raw, NAME, EXPECTED)?;
    match (most, raw.one(NAME)) {
        (Some(0), Some((origin, text))) => Err(ConfigError::Value {
            origin: origin.clone(),
            value: text.to_owned(),
            expected: EXPECTED,
        }),
        _ => Ok(most),
    }
}

fn cores(raw: &RawOptions) -> Result<Option<usize>, ConfigError> {
    const EXPECTED: &str = "a number from 1 to 1024";
    let cores: Option<usize> = parsed(raw, "cores", EXPECTED)?;
    match (cores, raw.one("cores")) {
        (Some(cores), Some((origin, text))) if !(1..=CORES_MAX).contains(&cores) => {
            Err(ConfigError::Value {
                origin: origin.clone(),
                value: text.to_owned(),
                expected: EXPECTED,
            })
        }
        _ => Ok(cores),
    }
}

fn storage(raw: &RawOptions) -> Result<StorageSettings, ConfigError> {
    // Checked in any case: a value that says nothing now would say something wrong later.
    let slab = SlabSettings { cache: cache_size(raw)?, flush_interval: flush_interval(raw)? };
    match raw.one("storage-engine") {
        None | Some((_, "slab")) => Ok(StorageSettings::Slab(slab)),
        Some((_, "memory")) => Ok(StorageSettings::Memory),
        Some((origin, text)) => Err(ConfigError::Value {
            origin: origin.clone(),
            value: text.to_owned(),
            expected: "`slab` or `memory`",
        }),
    }
}

const MEGABYTE: u64 = 1024 * 1024;

fn cache_size(raw: &RawOptions) -> Result<Option<CacheSize>, ConfigError> {
    const EXPECTED: &str = "`auto` or a number of megabytes from 8 to 16777216";
    if raw.one("cache-size").is_none() {
        return Ok(None);
    }
    let bytes = memory(raw, "cache-size", limits::CACHE_BYTES_MIN, EXPECTED)?;
    Ok(Some(bytes.map_or(CacheSize::Auto, CacheSize::Bytes)))
}

/// Bytes that are given in megabytes; none where it says `auto` or nothing.
pub(super) fn memory(
    raw: &RawOptions,
    name: &str,
    least: u64,
    expected: &'static str,
) -> Result<Option<u64>, ConfigError> {
    let Some((origin, text)) = raw.one(name).filter(|(_, text)| *text != "auto") else {
        return Ok(None);
    };
    let allowed = least / MEGABYTE..=limits::CACHE_BYTES_MAX / MEGABYTE;
    match text.parse() {
        Ok(megabytes) if allowed.contains(&megabytes) => Ok(Some(megabytes * MEGABYTE)),
        _ => Err(ConfigError::Value { origin: origin.clone(), value: text.to_owned(), expected }),
    }
}

fn flush_interval(raw: &RawOptions) -> Result<Duration, ConfigError> {
    const EXPECTED: &str = "a number of seconds from 0.001 to 60";
    let Some(seconds): Option<f64> = parsed(raw, "flush-interval", EXPECTED)? else {
        return Ok(limits::FLUSH_INTERVAL);
    };
    let interval = Duration::try_from_secs_f64(seconds).ok();
    let allowed = limits::FLUSH_INTERVAL_MIN..=limits::FLUSH_INTERVAL_MAX;
    interval.filter(|interval| allowed.contains(interval)).ok_or_else(|| {
        let (origin, value) = raw.one("flush-interval").map_or_else(
            || (super::Origin::CommandLine("flush-interval".to_owned()), String::new()),
            |(origin, text)| (origin.clone(), text.to_owned()),
        );
        ConfigError::Value { origin, value, expected: EXPECTED }
    })
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::*;

    fn raw(options: &[(&str, &[&str])]) -> RawOptions {
        let mut raw = RawOptions::new();
        for (name, values) in options {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            raw.command_line(find(name).unwrap(), values);
        }
        raw
    }

    fn checked(options: &[(&str, &[&str])]) -> Settings {
        Settings::check(&raw(options)).unwrap()
    }

    fn complaint(options: &[(&str, &[&str])]) -> String {
        Settings::check(&raw(options)).unwrap_err().to_string()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn defaults() {
        let settings = checked(&[]);
        let loopback = vec![ip("127.0.0.1"), ip("::1")];
        assert_eq!(settings.driver, Endpoint { addresses: loopback.clone(), port: 28015 });
        assert_eq!(settings.http, Some(Endpoint { addresses: loopback, port: 8080 }));
        assert_eq!(settings.directory, PathBuf::from("photondb_data"));
        assert_eq!(settings.quic, None);
        let flush_interval = Duration::from_secs(1);
        let slab = SlabSettings { cache: None, flush_interval };
        assert_eq!(settings.storage, StorageSettings::Slab(slab));
        assert_eq!(settings.initial_password, InitialPassword::Empty);
    }

    #[test]
    fn storage_as_asked_for() {
        let storage = |options: &[(&str, &[&str])]| checked(options).storage;
        let slab = |cache, milliseconds| {
            let flush_interval = Duration::from_millis(milliseconds);
            StorageSettings::Slab(SlabSettings { cache, flush_interval })
        };
        assert_eq!(storage(&[("cache-size", &["auto"])]), slab(Some(CacheSize::Auto), 1_000));
        let eight = Some(CacheSize::Bytes(8 << 20));
        let options: &[(&str, &[&str])] = &[("cache-size", &["8"]), ("flush-interval", &["0.05"])];
        assert_eq!(storage(options), slab(eight, 50));
        assert_eq!(storage(&[("flush-interval", &["60"])]), slab(None, 60_000));
        assert_eq!(storage(&[("storage-engine", &["slab"])]), slab(None, 1_000));
        assert_eq!(storage(&[("storage-engine", &["memory"])]), StorageSettings::Memory);
        let query = |value| checked(&[("query-memory", &[value])]).queries.memory;
        assert_eq!((query("auto"), query("128")), (None, Some(128 << 20)));
        let limit = |value| checked(&[("memory-limit", &[value])]).memory;
        assert_eq!((limit("auto"), limit("256")), (None, Some(256 << 20)));
        for (name, values, expected) in [
            (
                "memory-limit",
                &["0", "255", "1G", "17000000", ""][..],
                "`auto` or a number of megabytes from 256 to 16777216",
            ),
            (
                "cache-size",
                &["0", "7", "-8", "100MB", "1e3", "17000000", ""][..],
                "`auto` or a number of megabytes from 8 to 16777216",
            ),
            (
                "query-memory",
                &["0", "127", "1G", "17000000", ""],
                "`auto` or a number of megabytes from 128 to 16777216",
            ),
            (
                "flush-interval",
                &["0", "-1", "61", "1s", "inf", "NaN", "0.0001", "1e400", ""],
                "a number of seconds from 0.001 to 60",
            ),
            ("storage-engine", &["Slab", "disk", ""], "`slab` or `memory`"),
        ] {
            for value in values {
                let text = format!("--{name}: `{value}` is not {expected}");
                assert_eq!(complaint(&[(name, &[value])]), text);
            }
        }
        let limits = [limits::CACHE_BYTES_MIN, limits::CACHE_BYTES_MAX];
        assert_eq!(limits.map(|bytes| bytes >> 20), [8, 16_777_216], "the text names them");
    }

    #[test]
    fn addresses_as_rethinkdb_has_them() {
        let bound = |options: &[(&str, &[&str])]| checked(options).driver.addresses;
        assert_eq!(bound(&[("bind", &["all"])]), [ip("::")]);
        assert_eq!(bound(&[("bind", &["0.0.0.0"])]), [ip("0.0.0.0")]);
        let three = [ip("127.0.0.1"), ip("::1"), ip("192.0.2.1")];
        assert_eq!(bound(&[("bind", &["192.0.2.1", "127.0.0.1"])]), three);
        let alone: &[(&str, &[&str])] = &[("bind", &["192.0.2.1"]), ("no-default-bind", &[])];
        assert_eq!(bound(alone), [ip("192.0.2.1")]);
        let settings = checked(&[("bind", &["all"]), ("bind-http", &["127.0.0.1"])]);
        assert_eq!(settings.driver.addresses, [ip("::")]);
        assert_eq!(settings.http.unwrap().addresses, [ip("127.0.0.1"), ip("::1")]);
    }

    #[test]
    fn ports_and_their_offset() {
        let settings = checked(&[("port-offset", &["10"]), ("http-port", &["0"])]);
        assert_eq!((settings.driver.port, settings.http.unwrap().port), (28025, 0));
        assert_eq!(checked(&[("no-http-admin", &[])]).http, None);
    }

    #[test]
    fn quic_needs_a_certificate() {
        assert_eq!(
            complaint(&[("quic-port", &["1"])]),
            "--quic-port needs --quic-tls-cert and --quic-tls-key, or --dev-mode"
        );
        assert_eq!(
            complaint(&[("quic-tls-cert", &["c"])]),
            "--quic-tls-cert and --quic-tls-key need each other"
        );
        let quic = checked(&[("dev-mode", &[]), ("driver-port", &["5"])]).quic.unwrap();
        assert_eq!((quic.endpoint.port, quic.certificate), (5, None));
        let quic = checked(&[("quic-tls-cert", &["c"]), ("quic-tls-key", &["k"])]).quic.unwrap();
        assert_eq!(quic.certificate, Some((PathBuf::from("c"), PathBuf::from("k"))));
    }

    #[test]
    fn faults_name_the_option_and_the_value() {
        for (name, value, text) in [
            ("driver-port", "x", "--driver-port: `x` is not a number from 0 to 65535"),
            ("driver-port", "70000", "--driver-port: `70000` is not a number from 0 to 65535"),
            ("port-offset", "-1", "--port-offset: `-1` is not a number from 0 to 65535"),
            ("bind", "nowhere", "--bind: `nowhere` is not `all` or an IP address"),
            (
                "max-connections-per-address",
                "0",
                "--max-connections-per-address: `0` is not a number from 1 on",
            ),
            ("cores", "0", "--cores: `0` is not a number from 1 to 1024"),
            (
                "server-name",
                "a b",
                "--server-name: `a b` is not a name of letters, digits, underscores and hyphens",
            ),
            (
                "port-offset",
                "60000",
                "--port-offset: port 28015 and a --port-offset of 60000 are more than 65535",
            ),
            (
                "driver-tls-key",
                "k",
                "--driver-tls-key: not supported by this server: TCP and HTTP are not encrypted; \
                 use QUIC, or a proxy that speaks TLS",
            ),
        ] {
            assert_eq!(complaint(&[(name, &[value])]), text);
        }
        assert_eq!(complaint(&[("no-default-bind", &[])]), "--no-default-bind needs a --bind");
    }

    #[test]
    fn passwords_do_not_print() {
        let settings = checked(&[("initial-password", &["hunter2"])]);
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(
            checked(&[("initial-password", &["auto"])]).initial_password,
            InitialPassword::Auto
        );
    }
}
