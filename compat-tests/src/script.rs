//! The recorded scripts: what a line of `oracle/*.jsonl` says, and where the files are.
//! Must not know how steps are run or compared.
//!
//! A line is one script, `{"id", "dbs", "users", "steps"}`. It starts from a clean slate (the databases and users
//! it names are dropped) and its steps run in order:
//!
//! ```text
//! {"q": term, "o": options, "x": response}          one query, its stream drained
//! {"feed": name, "q": term, "o": .., "x": response} opens a changefeed and keeps it
//! {"take": name, "n": count, "x": {"r": rows}}      reads that many rows from the feed
//! {"drain": name, "x": {"r": rows}}                 reads all the feed has, until a quiet half second
//! {"stop": name}                                    closes the feed
//! "as": [user, password]                            runs the step on a connection of that user
//! ```
//!
//! `x` is the answer of RethinkDB 2.4.4: `t`, `r`, and for errors `e` and `b`. `{"$any$": 1}` in it stands for a
//! value that differs from run to run, of which `properties` says what holds. `bag`: the rows may come in any order. `anyrow`: the recorded error belongs
//! to whichever row of an unordered table came first, so only its kind is compared. A step without `x` prepares.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A file of scripts that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file is missing or unreadable.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is no script.
    #[error("{path}, line {line}: {source}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
}

/// One line of a script file.
#[derive(Debug, Deserialize)]
pub struct Script {
    /// `file/family/number`, unique over all files.
    pub id: String,
    /// Databases to drop before the first step.
    #[serde(default)]
    pub dbs: Vec<String>,
    /// Users to delete before the first step.
    #[serde(default)]
    pub users: Vec<String>,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

impl Script {
    /// The first two parts of the id, under which results are counted.
    pub fn family(&self) -> &str {
        family(&self.id)
    }
}

/// The first two parts of a script's or step's id.
pub fn family(id: &str) -> &str {
    let end = id.match_indices('/').nth(1).map_or(id.len(), |(at, _)| at);
    id.get(..end).unwrap_or(id)
}

/// One step of a script; which fields are set decides what it does.
#[derive(Debug, Deserialize)]
pub struct Step {
    /// The term, in the very text that was recorded.
    #[serde(rename = "q", default, deserialize_with = "present")]
    pub query: Option<Box<RawValue>>,
    /// The global options.
    #[serde(rename = "o", default, deserialize_with = "present")]
    pub options: Option<Box<RawValue>>,
    /// The recorded answer; a step without one only prepares.
    #[serde(rename = "x")]
    pub want: Option<Value>,
    /// User and password, when not the administrator's.
    #[serde(rename = "as")]
    pub user: Option<(String, String)>,
    /// Opens a feed under this name.
    pub feed: Option<String>,
    /// Takes [`count`](Self::count) rows from this feed.
    pub take: Option<String>,
    /// Reads this feed until it is quiet.
    pub drain: Option<String>,
    /// Closes this feed.
    pub stop: Option<String>,
    /// How many rows to take.
    #[serde(rename = "n", default)]
    pub count: usize,
    /// The rows may come in any order.
    #[serde(default)]
    pub bag: bool,
    /// The error may be that of another row.
    #[serde(rename = "anyrow", default)]
    pub any_row: bool,
}

impl Step {
    /// The query's text, or what the step does with a feed.
    pub fn describe(&self) -> String {
        let on_feed =
            |what: &str, name: &Option<String>| name.as_ref().map(|name| format!("{what} {name}"));
        if let Some(query) = &self.query {
            return query.to_string();
        }
        on_feed("take from", &self.take)
            .or_else(|| on_feed("drain", &self.drain))
            .or_else(|| on_feed("stop", &self.stop))
            .unwrap_or_default()
    }
}

/// The recorded files, in the tree this crate was built from.
pub fn oracle_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("oracle")
}

/// All scripts of one file.
pub fn load(path: &Path) -> Result<Vec<Script>, ScriptError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ScriptError::Unreadable { path: path.into(), source })?;
    let parse = |(number, line)| {
        serde_json::from_str(line).map_err(|source| ScriptError::Malformed {
            path: path.into(),
            line: number + 1,
            source,
        })
    };
    text.lines().enumerate().map(parse).collect()
}

/// A field that is there with the value `null` is not an absent field: `null` is a term.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(input).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_term_is_a_term() {
        let step: Step = serde_json::from_str(r#"{"q":null,"x":{"t":1,"r":[null]}}"#).unwrap();
        assert_eq!(step.query.unwrap().get(), "null");
        let step: Step = serde_json::from_str(r#"{"take":"c","n":3}"#).unwrap();
        assert!(step.query.is_none() && step.count == 3);
    }

    #[test]
    fn the_text_of_a_term_is_kept() {
        let step: Step = serde_json::from_str(r#"{"q":[2,[1.0,1e0,"\u00e9"]],"o":{}}"#).unwrap();
        assert_eq!(step.query.unwrap().get(), r#"[2,[1.0,1e0,"\u00e9"]]"#);
    }

    #[test]
    fn family_is_two_parts() {
        assert_eq!(family("pure/unary/1"), "pure/unary");
        assert_eq!(family("pure/unary"), "pure/unary");
    }

    #[test]
    fn every_recorded_file_loads_with_unique_ids() {
        let mut ids = std::collections::HashSet::new();
        let mut recorded = 0;
        for entry in fs::read_dir(oracle_folder()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                for script in load(&path).unwrap() {
                    recorded += script.steps.iter().filter(|step| step.want.is_some()).count();
                    assert!(ids.insert(script.id.clone()), "{} twice", script.id);
                }
            }
        }
        assert_eq!(recorded, 26_871);
    }
}
