//! The row of a term: everything that is known of it before it runs.
//!
//! Each term has one row, in the file that evaluates it. The compiler, the error texts, the status page and the coverage
//! test read the row; nothing else repeats what it says.

use photondb_protocol::numbers::TermType;

use super::error::Result;
use super::eval::Args;
use super::facts::{Cost, Determinism, Effect};
use super::value::Val;

/// A term of ReQL.
pub struct TermSpec {
    /// Its number on the wire.
    pub term: TermType,
    /// Its name in messages, upper case as in the protocol: `ORDER_BY`.
    pub name: &'static str,
    /// The chapter of the API documentation that explains it.
    pub chapter: Chapter,
    /// How many arguments it takes.
    pub arity: Arity,
    /// The optional arguments it knows.
    pub options: &'static [&'static str],
    /// What it does to the world.
    pub effect: Effect,
    /// Whether the same arguments give the same answer.
    pub determinism: Determinism,
    /// What it does when its first argument is grouped.
    pub grouping: Grouping,
    /// Whether it may run inline on a network worker.
    pub cost: Cost,
    /// Whether a table as first argument is taken whole, not read (`get`, `insert`): it then costs nothing.
    pub takes_table_whole: bool,
    /// Whether RethinkDB makes another term of it as it compiles, when `r.args` still counts as one argument.
    pub is_rewritten: bool,
    /// The argument that is evaluated later than the others, for each row: `r.args` there is not spliced before.
    pub evaluates_later: Option<usize>,
    /// Whether `r.literal` may stand in its arguments, also where `r.args` holds them.
    pub takes_literals: bool,
    /// Whether writes are refused in its arguments after the first (`Cannot nest writes or meta ops ...`).
    pub forbids_writes: bool,
    /// How much of it is built.
    pub status: Status,
    /// Evaluates it.
    pub eval: fn(&Args<'_>) -> Result<Val>,
}

impl TermSpec {
    /// Whether it is `r.args`, whose elements become arguments of the term around it.
    pub fn is_args(&self) -> bool {
        self.term == TermType::Args
    }

    /// As [`TermSpec::pure`], for a term that reads or changes a table: the table as its first argument is taken whole.
    /// It is the table that makes the answer vary, not the term.
    pub const fn on_tables(
        effect: Effect,
        term: TermType,
        name: &'static str,
        chapter: Chapter,
        arity: Arity,
        eval: fn(&Args<'_>) -> Result<Val>,
    ) -> TermSpec {
        TermSpec {
            effect,
            takes_table_whole: true,
            ..TermSpec::pure(term, name, chapter, arity, eval)
        }
    }

    /// As [`TermSpec::on_tables`], for a term that reads or changes the catalog or the server: its answer varies anyhow.
    pub const fn on_catalog(
        effect: Effect,
        term: TermType,
        name: &'static str,
        chapter: Chapter,
        arity: Arity,
        eval: fn(&Args<'_>) -> Result<Val>,
    ) -> TermSpec {
        TermSpec {
            determinism: Determinism::No,
            ..TermSpec::on_tables(effect, term, name, chapter, arity, eval)
        }
    }

    /// A row to be completed with `..TermSpec::pure(..)`: pure, cheap, deterministic, applied to each group.
    pub const fn pure(
        term: TermType,
        name: &'static str,
        chapter: Chapter,
        arity: Arity,
        eval: fn(&Args<'_>) -> Result<Val>,
    ) -> TermSpec {
        TermSpec {
            term,
            name,
            chapter,
            arity,
            options: &[],
            effect: Effect::None,
            determinism: Determinism::Always,
            grouping: Grouping::Each,
            cost: Cost::Light,
            takes_table_whole: false,
            is_rewritten: false,
            evaluates_later: None,
            takes_literals: false,
            forbids_writes: false,
            status: Status::Complete,
            eval,
        }
    }
}

/// Chapters of RethinkDB's API documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the documentation's own chapter titles")]
pub enum Chapter {
    Administration,
    Aggregation,
    ControlStructures,
    DatesAndTimes,
    DocumentManipulation,
    Geospatial,
    Joins,
    ManipulatingDatabases,
    ManipulatingTables,
    MathAndLogic,
    SelectingData,
    StringManipulation,
    Transformations,
    WritingData,
    /// Terms no page documents.
    Internal,
}

/// How many arguments a term takes; `max` of `None` is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// At least so many.
    pub min: usize,
    /// At most so many.
    pub max: Option<usize>,
}

impl Arity {
    /// Just so many.
    pub const fn exactly(n: usize) -> Self {
        Arity { min: n, max: Some(n) }
    }

    /// So many or more.
    pub const fn at_least(n: usize) -> Self {
        Arity { min: n, max: None }
    }

    /// From so many to so many.
    pub const fn between(min: usize, max: usize) -> Self {
        Arity { min, max: Some(max) }
    }

    /// Whether `n` arguments are right.
    pub fn allows(self, n: usize) -> bool {
        n >= self.min && self.max.is_none_or(|max| n <= max)
    }

    /// `Expected 2 arguments but found 1.`
    pub fn complaint(self, found: usize) -> String {
        let expected = match self.max {
            Some(max) if max == self.min => {
                format!("{max} argument{}", if max == 1 { "" } else { "s" })
            }
            Some(max) => format!("between {} and {max} arguments", self.min),
            None => format!("{} or more arguments", self.min),
        };
        format!("Expected {expected} but found {found}.")
    }
}

/// How much of a term is built. What is not built answers so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All of it.
    Complete,
    /// All but this.
    Without(&'static str),
    /// Its arguments are checked; then it answers that it is not supported yet.
    Planned,
}

/// What happens when the first argument is grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// The groups are gathered into arrays and the term is applied to each.
    Each,
    /// The term works on grouped streams itself, row by row (map, filter, count, ...).
    Stream,
    /// The term takes the grouped value whole (ungroup, typeOf, ...).
    Whole,
}
