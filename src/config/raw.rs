//! Options as texts, from the command line, the environment and the config file; the first that has an option wins.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::Path;

use super::options::{OPTIONS, OptionSpec, Takes, VARIABLES, find};
use super::{ConfigError, file};

/// Where an option was given, and how it was written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--driver-port`
    CommandLine(String),
    /// `PHOTONDB_DRIVER_PORT`
    Environment(String),
    /// `driver-port` in the file, in that line.
    File(String, usize, String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::CommandLine(name) => write!(f, "--{name}"),
            Origin::Environment(name) => f.write_str(name),
            Origin::File(path, line, name) => write!(f, "{path}, line {line}: {name}"),
        }
    }
}

/// The options that were given.
#[derive(Clone, Debug, Default)]
pub struct RawOptions {
    given: HashMap<&'static str, Given>,
}

/// The texts of one option.
#[derive(Clone, Debug)]
pub struct Given {
    /// Where; of several, the last.
    pub origin: Origin,
    /// Its values; none for an option that takes none.
    pub values: Vec<String>,
}

impl RawOptions {
    /// Nothing was given.
    pub fn new() -> RawOptions {
        RawOptions::default()
    }

    /// Takes what the command line says of an option.
    pub fn command_line(&mut self, option: &'static OptionSpec, values: Vec<String>) {
        let origin = Origin::CommandLine(option.name.to_owned());
        let values = match option.takes {
            Takes::Many(_) => values.iter().flat_map(|text| several(text)).collect(),
            Takes::Nothing | Takes::One(_) => values,
        };
        self.given.insert(option.name, Given { origin, values });
    }

    /// Takes from the environment what was not given yet. Several values stand in one variable, with commas between
    /// them, as they may elsewhere. A variable of no option is no error, since the environment is shared:
    /// [`unknown_variables`].
    pub fn environment(
        &mut self,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        for option in OPTIONS {
            let name = option.variable();
            if self.given.contains_key(option.name) {
                continue;
            }
            let Some(text) = variable(&name).filter(|text| !text.is_empty()) else { continue };
            let origin = Origin::Environment(name);
            let values = match option.takes {
                Takes::Nothing if !switched_on(&origin, &text)? => continue,
                Takes::Nothing => Vec::new(),
                Takes::One(_) => vec![text],
                Takes::Many(_) => several(&text).collect(),
            };
            self.given.insert(option.name, Given { origin, values });
        }
        Ok(())
    }

    /// Takes from the config file, if one was named, what was not given yet.
    pub fn config_file(&mut self) -> Result<(), ConfigError> {
        let Some(path) = self.one("config-file").map(|(_, path)| path.to_owned()) else {
            return Ok(());
        };
        let text = std::fs::read_to_string(Path::new(&path)).map_err(|error| {
            ConfigError::File { path: path.clone(), problem: error.to_string() }
        })?;
        self.config_text(&path, &text)
    }

    fn config_text(&mut self, path: &str, text: &str) -> Result<(), ConfigError> {
        let mut in_file: HashMap<&'static str, Given> = HashMap::new();
        for (number, name, value) in file::lines(text) {
            let origin = Origin::File(path.to_owned(), number, name.to_owned());
            let form = |problem| Err(ConfigError::Form { origin: origin.clone(), problem });
            let Some(option) = find(name) else { return Err(ConfigError::Unknown { origin }) };
            if option.name == "config-file" {
                return form("a config file cannot name another");
            }
            let value = match (option.takes, value) {
                (Takes::Nothing, None) => None,
                (Takes::Nothing, Some(text)) if !switched_on(&origin, text)? => continue,
                (Takes::Nothing, Some(_)) => None,
                (_, None) => return form("a value is missing"),
                (_, Some(text)) => Some(text.to_owned()),
            };
            let is_list = matches!(option.takes, Takes::Many(_));
            let values: Vec<String> = match value {
                Some(text) if is_list => several(&text).collect(),
                value => value.into_iter().collect(),
            };
            match in_file.get_mut(option.name) {
                None => {
                    in_file.insert(option.name, Given { origin, values });
                }
                Some(given) if is_list => given.values.extend(values),
                Some(_) => return form("it is there twice"),
            }
        }
        for (name, given) in in_file {
            self.given.entry(name).or_insert(given);
        }
        Ok(())
    }

    /// Refuses what this server does not have.
    pub fn check_supported(&self) -> Result<(), ConfigError> {
        for option in OPTIONS.iter().filter(|option| !option.supported) {
            if let Some(given) = self.given.get(option.name) {
                let (origin, reason) = (given.origin.clone(), option.help);
                return Err(ConfigError::NotSupported { origin, reason });
            }
        }
        Ok(())
    }

    /// Whether an option that takes nothing was given.
    pub fn flag(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The value of an option, and where it was given.
    pub fn one(&self, name: &str) -> Option<(&Origin, &str)> {
        let given = self.given.get(name)?;
        Some((&given.origin, given.values.last()?))
    }

    /// All values of an option.
    pub fn many(&self, name: &str) -> Option<&Given> {
        self.given.get(name)
    }
}

/// Those of the variables that begin as the server's do and stand for no option: slips of the keyboard, most likely.
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let known: HashSet<String> = OPTIONS.iter().map(OptionSpec::variable).collect();
    let own = names.filter(|name| name.starts_with(VARIABLES));
    let mut unknown: Vec<String> = own.filter(|name| !known.contains(name)).collect();
    unknown.sort_unstable();
    unknown
}

/// The values of an option that takes several.
fn several(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(',').map(|value| value.trim().to_owned())
}

/// What a text says of an option that takes nothing.
fn switched_on(origin: &Origin, text: &str) -> Result<bool, ConfigError> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(ConfigError::Value {
            origin: origin.clone(),
            value: text.to_owned(),
            expected: "true or false",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(command: &[(&str, &str)], variables: &[(&str, &str)], file: &str) -> RawOptions {
        let mut raw = RawOptions::new();
        for (name, value) in command {
            raw.command_line(find(name).unwrap(), vec![(*value).to_owned()]);
        }
        let variable = |name: &str| {
            variables.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned())
        };
        raw.environment(variable).unwrap();
        raw.config_text("c", file).unwrap();
        raw
    }

    fn complaint(file: &str) -> String {
        RawOptions::new().config_text("c", file).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_comes_before_the_environment_and_that_before_the_file() {
        let variables =
            [("PHOTONDB_HTTP_PORT", "2"), ("PHOTONDB_DRIVER_PORT", "2"), ("PHOTONDB_X", "2")];
        let file = "driver-port=3\nhttp-port=3\nserver-name=three";
        let raw = raw(&[("driver-port", "1")], &variables, file);
        let value = |name: &str| raw.one(name).unwrap().1;
        assert_eq!(value("driver-port"), "1");
        assert_eq!(value("http-port"), "2");
        assert_eq!(value("server-name"), "three");
    }

    #[test]
    fn several_values_take_commas_wherever_they_stand() {
        let from_variable = raw(&[], &[("PHOTONDB_BIND", "1.2.3.4, all")], "bind=::1");
        assert_eq!(from_variable.many("bind").unwrap().values, ["1.2.3.4", "all"]);
        let from_file = raw(&[], &[], "bind=::1\nbind = all");
        assert_eq!(from_file.many("bind").unwrap().values, ["::1", "all"]);
        let command = raw(&[("http-deny", "10.0.0.0/8, none")], &[], "bind=::1,::2\nbind=all");
        assert_eq!(command.many("http-deny").unwrap().values, ["10.0.0.0/8", "none"]);
        assert_eq!(command.many("bind").unwrap().values, ["::1", "::2", "all"]);
    }

    #[test]
    fn variables_that_stand_for_no_option_are_found() {
        let names = ["PHOTONDB_MEMORY_LIMITS", "PHOTONDB_CORES", "PATH", "PHOTONDB_DATA_DIR"];
        let unknown = unknown_variables(names.map(str::to_owned).into_iter());
        assert_eq!(unknown, ["PHOTONDB_DATA_DIR", "PHOTONDB_MEMORY_LIMITS"]);
    }

    #[test]
    fn flags_may_be_switched_off() {
        let variables = [("PHOTONDB_DEV_MODE", "true"), ("PHOTONDB_NO_HTTP_ADMIN", "0")];
        let raw = raw(&[], &variables, "no-update-check\nno-default-bind=false");
        assert!(raw.flag("dev-mode") && raw.flag("no-update-check"));
        assert!(!raw.flag("no-http-admin") && !raw.flag("no-default-bind"));
    }

    #[test]
    fn faults_of_a_file_name_the_line() {
        let no_such = "c, line 2: prot: there is no such option";
        assert_eq!(complaint("# a comment\nprot=1"), no_such);
        assert_eq!(
            complaint("bind=all\ndriver-port"),
            "c, line 2: driver-port: a value is missing"
        );
        assert_eq!(
            complaint("driver-port=1\ndriver-port=2"),
            "c, line 2: driver-port: it is there twice"
        );
        assert_eq!(
            complaint("dev-mode=maybe"),
            "c, line 1: dev-mode: `maybe` is not true or false"
        );
        assert_eq!(
            complaint("config-file=d"),
            "c, line 1: config-file: a config file cannot name another"
        );
    }

    #[test]
    fn options_that_are_not_there_yet_are_refused_by_name() {
        let mut raw = RawOptions::new();
        raw.command_line(find("join").unwrap(), vec!["a:1".to_owned()]);
        assert_eq!(
            raw.check_supported().unwrap_err().to_string(),
            "--join: not supported by this server: a server stands alone"
        );
    }
}
