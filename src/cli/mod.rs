//! The command line: subcommands, and what the process says and returns. Knows settings and the server's start; nothing
//! of what it serves.

mod logging;
mod serve;
mod verify;

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{self, OPTIONS, OptionSpec, RawOptions, Takes};
use crate::{panics, server};

const VERIFY: &str = "verify";

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    // No command for people: it has no log and no options.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == server::SCRIPT_HELPER) {
        return server::run_script_helper();
    }
    let matches = command().get_matches();
    let lines = logging::start();
    panics::tell();
    match matches.subcommand() {
        Some((VERIFY, matches)) => verify::run(raw_options(matches)),
        Some((_, matches)) => serve::run(raw_options(matches), lines),
        None => serve::run(raw_options(&matches), lines),
    }
}

/// The command line's grammar, made from the table of options.
fn command() -> Command {
    let serve = Command::new("serve")
        .about("Serve clients. The default when no command is given")
        .args(OPTIONS.iter().map(arg));
    let verify = Command::new(VERIFY)
        .about("Check all data of a directory that no server uses; change nothing")
        .args(config::find("directory").map(arg));
    Command::new("photondb")
        .version(env!("CARGO_PKG_VERSION"))
        .about("PhotonDB: a database server for RethinkDB drivers")
        .args_conflicts_with_subcommands(true)
        .args(OPTIONS.iter().map(arg))
        .subcommand(serve)
        .subcommand(verify)
        .after_help(
            "Every option may also be given in the environment (--driver-port as \
             PHOTONDB_DRIVER_PORT) and in the config file (driver-port=28015). The command line \
             comes first, then the environment, then the file. RUST_LOG says what is logged.",
        )
}

fn arg(option: &'static OptionSpec) -> Arg {
    let arg = Arg::new(option.name).long(option.name).help(option.help).hide(!option.supported);
    let arg = match option.takes {
        Takes::Nothing => arg.action(ArgAction::SetTrue),
        Takes::One(value) => arg.action(ArgAction::Set).value_name(value),
        Takes::Many(value) => arg.action(ArgAction::Append).value_name(value),
    };
    let arg = match option.short {
        Some(letter) => arg.short(letter),
        None => arg,
    };
    match option.alias {
        Some(alias) => arg.alias(alias),
        None => arg,
    }
}

fn raw_options(matches: &ArgMatches) -> RawOptions {
    let mut raw = RawOptions::new();
    for option in OPTIONS {
        // A subcommand has its own choice of them.
        if !matches.ids().any(|id| id == option.name) {
            continue;
        }
        if option.takes == Takes::Nothing {
            if matches.get_flag(option.name) {
                raw.command_line(option, Vec::new());
            }
        } else if let Some(values) = matches.get_many::<String>(option.name) {
            raw.command_line(option, values.cloned().collect());
        }
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(line: &[&str]) -> RawOptions {
        let matches = command().try_get_matches_from([&["photondb"], line].concat()).unwrap();
        raw_options(matches.subcommand().map_or(&matches, |(_, matches)| matches))
    }

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn serve_is_the_default() {
        let line = ["-d", "data", "--bind", "all", "--bind", "::1", "-o", "3", "--dev-mode"];
        for line in [line.to_vec(), [&["serve"], &line[..]].concat()] {
            let raw = given(&line);
            assert_eq!(raw.one("directory").unwrap().1, "data");
            assert_eq!(raw.one("port-offset").unwrap().1, "3");
            assert_eq!(raw.many("bind").unwrap().values, ["all", "::1"]);
            assert!(raw.flag("dev-mode") && !raw.flag("no-http-admin"));
        }
        assert_eq!(given(&["--data-dir", "x"]).one("directory").unwrap().1, "x");
    }

    #[test]
    fn verify_takes_a_directory_and_nothing_else() {
        let raw = given(&["verify", "-d", "data"]);
        assert_eq!(config::directory(&raw), std::path::Path::new("data"));
        assert_eq!(config::directory(&given(&["verify"])), std::path::Path::new("photondb_data"));
        let line = ["photondb", "verify", "--cores", "1"];
        assert!(command().try_get_matches_from(line).is_err());
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in [&["--prot", "1"][..], &["serve", "--driver-port"], &["create"]] {
            assert!(command().try_get_matches_from([&["photondb"], line].concat()).is_err());
        }
    }
}
