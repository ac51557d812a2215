//! `known_gaps.toml`: every difference from the recorded answers that stands for now, each with a sentence why.
//! Must not know sockets; it is told ids and whether they were as recorded.
//!
//! ```text
//! [[not_yet]]                       a file, or a family, that is not run unless named
//! file = "geo.jsonl"
//! reason = "..."
//!
//! [[gap]]
//! step = "pure/unary/54#0"          script id and step index; or "exchange/NAME"; or with * for a group
//! reason = "..."
//! ```
//!
//! A gap that names one step fails when the step passes. A gap with `*` fails when all its steps pass. One that says
//! `by_chance = true` is of a step whose answer depends on what was drawn, here and at RethinkDB, so that it may pass.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use regex::Regex;
use serde::Deserialize;

/// A gap list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GapError {
    /// The file is missing or unreadable.
    #[error("the gap list: {0}")]
    Unreadable(#[from] std::io::Error),
    /// The file is not of the shape above.
    #[error("the gap list: {0}")]
    Malformed(#[from] toml::de::Error),
    /// An entry says nothing about why.
    #[error("the gap list: {0} has no reason")]
    NoReason(String),
    /// An entry has both file and family, or neither.
    #[error("the gap list: a not_yet names either a file or a family")]
    NotOne,
    /// Two entries name the same step.
    #[error("the gap list: {0} is listed twice")]
    Twice(String),
    /// A pattern that is none.
    #[error("the gap list: {0}")]
    Pattern(#[from] regex::Error),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGaps {
    #[serde(default)]
    not_yet: Vec<RawNotYet>,
    #[serde(default)]
    gap: Vec<RawGap>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNotYet {
    file: Option<String>,
    family: Option<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGap {
    step: String,
    reason: String,
    #[serde(default)]
    by_chance: bool,
}

/// One listed gap, and what became of its steps in this run.
struct Gap {
    step: String,
    pattern: Option<Regex>,
    by_chance: bool,
    failed: usize,
    passed: usize,
}

/// The list, and the run that is held against it.
pub struct Gaps {
    files: HashSet<String>,
    families: HashSet<String>,
    gaps: Vec<Gap>,
}

/// How one step's result compares with the list.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As recorded, and not listed (or one of a listed group).
    Passed,
    /// Not as recorded, and listed.
    Known,
    /// Not as recorded, and not listed.
    Unexpected,
}

impl Gaps {
    /// Reads and checks the list.
    pub fn load(path: &Path) -> Result<Self, GapError> {
        Self::parse(&fs::read_to_string(path)?)
    }

    fn parse(text: &str) -> Result<Self, GapError> {
        let raw: RawGaps = toml::from_str(text)?;
        let mut list = Self { files: HashSet::new(), families: HashSet::new(), gaps: Vec::new() };
        for entry in raw.not_yet {
            let (set, name) = match (entry.file, entry.family) {
                (Some(file), None) => (&mut list.files, file),
                (None, Some(family)) => (&mut list.families, family),
                _ => return Err(GapError::NotOne),
            };
            if entry.reason.trim().is_empty() {
                return Err(GapError::NoReason(name));
            }
            set.insert(name);
        }
        let mut seen = HashSet::new();
        for entry in raw.gap {
            if entry.reason.trim().is_empty() {
                return Err(GapError::NoReason(entry.step));
            }
            if !seen.insert(entry.step.clone()) {
                return Err(GapError::Twice(entry.step));
            }
            let pattern = match entry.step.contains('*') {
                true => Some(glob(&entry.step)?),
                false => None,
            };
            let (step, by_chance) = (entry.step, entry.by_chance);
            list.gaps.push(Gap { step, pattern, by_chance, failed: 0, passed: 0 });
        }
        Ok(list)
    }

    /// True for a file that is not run unless named.
    pub fn file_not_yet(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// True for a family that is not run unless its file is run by name.
    pub fn family_not_yet(&self, family: &str) -> bool {
        self.families.contains(family)
    }

    /// Files that are not run unless named, and families likewise, in order.
    pub fn not_yet(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.files.iter().chain(&self.families).map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Holds the result of one step against the list, and remembers it for [`stale`](Self::stale).
    pub fn judge(&mut self, step: &str, as_recorded: bool) -> Verdict {
        let mut known = false;
        for gap in self.gaps.iter_mut().filter(|gap| gap.covers(step)) {
            known = true;
            if as_recorded {
                gap.passed += 1;
            } else {
                gap.failed += 1;
            }
        }
        match (as_recorded, known) {
            (true, _) => Verdict::Passed,
            (false, true) => Verdict::Known,
            (false, false) => Verdict::Unexpected,
        }
    }

    /// Listed gaps whose steps ran and were all as recorded: the list no longer tells the truth.
    pub fn stale(&self) -> Vec<&str> {
        let is_stale = |gap: &&Gap| !gap.by_chance && gap.passed > 0 && gap.failed == 0;
        let stale = self.gaps.iter().filter(is_stale);
        stale.map(|gap| gap.step.as_str()).collect()
    }

    /// Listed gaps of which no step ran.
    pub fn untouched(&self) -> Vec<&str> {
        let untouched = self.gaps.iter().filter(|gap| gap.passed + gap.failed == 0);
        untouched.map(|gap| gap.step.as_str()).collect()
    }
}

impl Gap {
    fn covers(&self, step: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.is_match(step),
            None => self.step == step,
        }
    }
}

fn glob(text: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^{}$", regex::escape(text).replace(r"\*", ".*")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
        [[not_yet]]
        file = "geo.jsonl"
        reason = "Geometry"
        [[not_yet]]
        family = "more/tables"
        reason = "Tables"
        [[gap]]
        step = "pure/unary/1#0"
        reason = "so it is"
        [[gap]]
        step = "pure/binary/*"
        reason = "so they are"
    "#;

    #[test]
    fn what_is_not_yet_claimed_is_told() {
        let gaps = Gaps::parse(LIST).unwrap();
        assert!(gaps.file_not_yet("geo.jsonl") && !gaps.file_not_yet("pure.jsonl"));
        assert!(gaps.family_not_yet("more/tables") && !gaps.family_not_yet("more/js"));
        assert_eq!(gaps.not_yet(), ["geo.jsonl", "more/tables"]);
    }

    #[test]
    fn a_failure_is_known_only_when_listed() {
        let mut gaps = Gaps::parse(LIST).unwrap();
        assert_eq!(gaps.judge("pure/unary/1#0", false), Verdict::Known);
        assert_eq!(gaps.judge("pure/unary/1#1", false), Verdict::Unexpected);
        assert_eq!(gaps.judge("pure/unary/10#0", false), Verdict::Unexpected);
        assert_eq!(gaps.judge("pure/unary/2#0", true), Verdict::Passed);
        assert_eq!(gaps.untouched(), ["pure/binary/*"]);
        assert!(gaps.stale().is_empty());
    }

    #[test]
    fn a_listed_step_that_passes_is_stale() {
        let mut gaps = Gaps::parse(LIST).unwrap();
        gaps.judge("pure/unary/1#0", true);
        assert_eq!(gaps.stale(), ["pure/unary/1#0"]);
    }

    #[test]
    fn a_step_that_depends_on_chance_may_pass_and_may_fail() {
        let list = "[[gap]]\nstep = \"a/b/1#0\"\nby_chance = true\nreason = \"dice\"";
        let mut gaps = Gaps::parse(list).unwrap();
        assert_eq!(gaps.judge("a/b/1#0", true), Verdict::Passed);
        assert!(gaps.stale().is_empty());
        assert_eq!(gaps.judge("a/b/1#0", false), Verdict::Known);
    }

    #[test]
    fn a_group_is_stale_only_when_all_of_it_passes() {
        let mut gaps = Gaps::parse(LIST).unwrap();
        assert_eq!(gaps.judge("pure/binary/1#0", true), Verdict::Passed);
        assert_eq!(gaps.stale(), ["pure/binary/*"]);
        assert_eq!(gaps.judge("pure/binary/2#0", false), Verdict::Known);
        assert!(gaps.stale().is_empty());
    }

    #[test]
    fn an_entry_without_a_reason_is_refused() {
        let empty = "[[gap]]\nstep = \"a/b/1#0\"\nreason = \" \"";
        assert!(matches!(Gaps::parse(empty), Err(GapError::NoReason(_))));
        let none = "[[gap]]\nstep = \"a/b/1#0\"";
        assert!(matches!(Gaps::parse(none), Err(GapError::Malformed(_))));
        let twice = "[[gap]]\nstep = \"a\"\nreason = \"x\"\n".repeat(2);
        assert!(matches!(Gaps::parse(&twice), Err(GapError::Twice(_))));
        assert!(matches!(Gaps::parse("[[not_yet]]\nreason = \"x\""), Err(GapError::NotOne)));
    }
}
