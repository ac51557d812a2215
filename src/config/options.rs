//! Every option of `serve`, in one table: command line, environment, config file and help are made from it. RethinkDB's
//! names and meanings where RethinkDB has the option; those it has and this server has not are refused by name.

/// An option.
#[derive(Debug)]
pub struct OptionSpec {
    /// Its long name, without dashes before it.
    pub name: &'static str,
    /// Another long name for it.
    pub alias: Option<&'static str>,
    /// Its letter.
    pub short: Option<char>,
    /// What follows it.
    pub takes: Takes,
    /// One line of help; why not, for one that is not supported.
    pub help: &'static str,
    /// Whether this server has it.
    pub supported: bool,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// A value, shown in the help as this.
    One(&'static str),
    /// A value, any number of times.
    Many(&'static str),
}

/// All options, in the order of the help.
pub const OPTIONS: &[OptionSpec] = &[
    one("directory", "DIR", "Where data is kept [default: photondb_data]")
        .short('d')
        .alias("data-dir"),
    one("server-name", "NAME", "Name of a new server [default: made from the host's]").short('n'),
    many("bind", "all|ADDRESS", "Address to listen on beside loopback, or all; repeatable"),
    many("bind-driver", "all|ADDRESS", "As --bind, for client drivers alone"),
    many("bind-http", "all|ADDRESS", "As --bind, for HTTP alone"),
    flag("no-default-bind", "Do not listen on loopback unless asked to"),
    one("driver-port", "PORT", "Port for client drivers, 0 for any that is free [default: 28015]"),
    one("http-port", "PORT", "Port for HTTP, 0 for any that is free [default: 8080]"),
    flag("no-http-admin", "Do not serve HTTP"),
    one(
        "max-connections-per-address",
        "N",
        "Most connections of one address, of drivers and of HTTP clients each, this machine's own among \
         them; from 1 on [default: without bound]",
    ),
    one("port-offset", "OFFSET", "Added to all ports [default: 0]").short('o'),
    one("quic-port", "PORT", "UDP port for client drivers over QUIC [default: the driver port]"),
    one("quic-tls-cert", "FILE", "Certificate chain (PEM) for QUIC, which is off without one"),
    one("quic-tls-key", "FILE", "Private key (PEM) of that certificate"),
    flag(
        "dev-mode",
        "For development: serve QUIC, with a self-signed certificate if none is given",
    ),
    one(
        "initial-password",
        "auto|PASSWORD",
        "Password of the admin user, unless it has one already",
    ),
    one(
        "memory-limit",
        "MB|auto",
        "Memory that the server may take, at least 256, the cache among it: when all queries together come near it, those \
         that hold most are ended [default: auto, what the machine or its container has]",
    ),
    one(
        "cache-size",
        "MB|auto",
        "Memory for data that is read and written, at least 8 [default: as it was set last; auto at \
         first, a quarter of the memory limit]",
    ),
    one(
        "query-memory",
        "MB|auto",
        "Memory that one query may take, at least 128 [default: auto, an eighth of the memory limit, \
         or 2048, but no more than a quarter]",
    ),
    one(
        "query-timeout",
        "SECONDS",
        "How long a query, or one batch of its rows, may be evaluated, from 0.001 to 31622400; one that has the \
         option timeout_ms is bounded by the shorter time, and one over HTTP by 60 seconds in any case [default: without \
         bound]",
    ),
    one(
        "slow-query-ms",
        "MILLISECONDS",
        "Tell in the log which queries took longer, without the values in them; a whole number from 1 to \
         31622400000 [default: none]",
    ),
    flag("no-scripts", "Run no scripts (r.js)"),
    flag("no-http-requests", "Make no requests to other servers (r.http)"),
    many(
        "http-deny",
        "NETWORK|none",
        "Network that r.http makes no requests to, as 10.0.0.0/8, beside link-local addresses and \
         those of clouds' metadata; repeatable, or several with commas; with none these may be asked, too",
    ),
    one(
        "flush-interval",
        "SECONDS",
        "How long a write with soft durability may wait for the disk, from 0.001 to 60 [default: 1]",
    ),
    one(
        "storage-engine",
        "slab|memory",
        "Where tables are: in the directory, or in memory alone, gone with the server \
         [default: slab]",
    ),
    one("cores", "N", "Processors to use [default: all]").short('c'),
    one("pid-file", "FILE", "Where to write the process id while the server runs"),
    one("config-file", "FILE", "More options, a line each: name=value"),
    flag("no-update-check", "Accepted for RethinkDB's sake: this server never checks"),
    refused(one("log-file", "FILE", "the log goes to the standard error output; redirect it")),
    refused(one("driver-tls-key", "FILE", NO_TLS)),
    refused(one("driver-tls-cert", "FILE", NO_TLS)),
    refused(one("driver-tls-ca", "FILE", NO_TLS)),
    refused(one("http-tls-key", "FILE", NO_TLS)),
    refused(one("http-tls-cert", "FILE", NO_TLS)),
    refused(one("tls-min-protocol", "PROTOCOL", NO_TLS)),
    refused(one("tls-ciphers", "LIST", NO_TLS)),
    refused(one("tls-ecdh-curve", "CURVE", NO_TLS)),
    refused(one("tls-dhparams", "FILE", NO_TLS)),
    refused(one("web-static-file", "DIR", "there are no admin pages")),
    refused(one("reql-http-proxy", "PROXY", "r.http speaks to servers directly")),
    refused(flag("daemon", "run it under a service manager")),
    refused(one("runuser", "USER", "start it as that user")),
    refused(one("rungroup", "GROUP", "start it as that group")),
    refused(one("io-threads", "N", "threads are not counted by purpose")),
    refused(flag("direct-io", NO_DIRECT_IO)),
    refused(flag("no-direct-io", NO_DIRECT_IO)),
    refused(many("server-tag", "TAG", NO_CLUSTER).short('t')),
    refused(many("join", "HOST:PORT", NO_CLUSTER).short('j')),
    refused(many("bind-cluster", "all|ADDRESS", NO_CLUSTER)),
    refused(many("canonical-address", "HOST:PORT", NO_CLUSTER)),
    refused(one("cluster-port", "PORT", NO_CLUSTER)),
    refused(one("client-port", "PORT", NO_CLUSTER)),
    refused(one("join-delay", "SECONDS", NO_CLUSTER)),
    refused(one("node-reconnect-timeout", "SECONDS", NO_CLUSTER)),
    refused(one("cluster-reconnect-timeout", "SECONDS", NO_CLUSTER)),
    refused(flag("cluster-tls", NO_CLUSTER)),
    refused(one("cluster-tls-key", "FILE", NO_CLUSTER)),
    refused(one("cluster-tls-cert", "FILE", NO_CLUSTER)),
    refused(one("cluster-tls-ca", "FILE", NO_CLUSTER)),
];

const NO_TLS: &str = "TCP and HTTP are not encrypted; use QUIC, or a proxy that speaks TLS";
const NO_DIRECT_IO: &str = "files are read and written through the system's cache";
const NO_CLUSTER: &str = "a server stands alone";

/// How all environment variables begin that stand for options.
pub const VARIABLES: &str = "PHOTONDB_";

/// The option of that name or alias.
pub fn find(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.name == name || option.alias == Some(name))
}

const fn option(name: &'static str, takes: Takes, help: &'static str) -> OptionSpec {
    OptionSpec { name, alias: None, short: None, takes, help, supported: true }
}

const fn flag(name: &'static str, help: &'static str) -> OptionSpec {
    option(name, Takes::Nothing, help)
}

const fn one(name: &'static str, value: &'static str, help: &'static str) -> OptionSpec {
    option(name, Takes::One(value), help)
}

const fn many(name: &'static str, value: &'static str, help: &'static str) -> OptionSpec {
    option(name, Takes::Many(value), help)
}

const fn refused(option: OptionSpec) -> OptionSpec {
    OptionSpec { supported: false, ..option }
}

impl OptionSpec {
    const fn short(self, letter: char) -> OptionSpec {
        OptionSpec { short: Some(letter), ..self }
    }

    const fn alias(self, name: &'static str) -> OptionSpec {
        OptionSpec { alias: Some(name), ..self }
    }

    /// The environment variable that stands for it.
    pub fn variable(&self) -> String {
        format!("{VARIABLES}{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_letters_are_told_apart() {
        let mut names: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
        names.extend(OPTIONS.iter().filter_map(|option| option.alias));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let mut letters: Vec<char> = OPTIONS.iter().filter_map(|option| option.short).collect();
        let count = letters.len();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!(letters.len(), count);
    }

    #[test]
    fn an_option_has_a_variable() {
        assert_eq!(find("data-dir").unwrap().variable(), "PHOTONDB_DIRECTORY");
        assert_eq!(find("no-http-admin").unwrap().variable(), "PHOTONDB_NO_HTTP_ADMIN");
    }
}
