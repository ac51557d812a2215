//! Replaces documents one by one, each under its lock, many to a commit.

use std::collections::HashSet;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::selection::{Selection, SingleSelection};
use crate::reql::stream::BatchSpec;
use crate::reql::system::{self, Change};
use crate::reql::table_ref::TableRef;
use crate::reql::value::{Val, ValKind};
use crate::storage::Durability;
use crate::table::{Decision, Document, PrimaryKey, WriteError};

use super::options::WriteOptions;
use super::replacement;
use super::summary::{Fate, Summary};
use super::write_hooks::Hook;

/// What a write makes of a document: given the number of the key and the document (null when it is not there), the
/// document that shall stand there (null to remove it).
pub type Replacer<'a> = &'a dyn Fn(usize, &Datum) -> Result<Datum>;

/// How documents are replaced.
#[derive(Clone, Copy, Debug)]
pub struct Replacing {
    /// The options of the term.
    pub options: WriteOptions,
    /// Whether the documents are made by a function that replicas cannot repeat. RethinkDB then calls it apart and inserts
    /// what it gave: that can be no null, and what fails there is counted without being a change.
    pub apart: bool,
}

/// Applies a replacer to a selection: a document, some documents or a whole table.
pub fn write_selection(
    args: &Args<'_>,
    target: Val,
    replacing: Replacing,
    replacer: Replacer<'_>,
) -> Result<Val> {
    let mut summary = Summary::new(replacing.options.return_changes);
    let env = args.env;
    match target.kind {
        ValKind::SingleSelection(SingleSelection { table, key, .. }) => {
            Writer::of(args, table, replacing)?.write(&[key], replacer, &mut summary)?;
        }
        ValKind::Selection(selection) => {
            write_stream(args, selection, replacing, replacer, &mut summary)?;
        }
        ValKind::Table(table) => {
            let selection = table.into_selection(env)?;
            write_stream(args, selection, replacing, replacer, &mut summary)?;
        }
        _ => return Err(target.type_error("SELECTION", env)),
    }
    args.value(summary.into_datum(env))
}

fn write_stream(
    args: &Args<'_>,
    mut selection: Selection,
    replacing: Replacing,
    replacer: Replacer<'_>,
    summary: &mut Summary,
) -> Result<()> {
    let writer = Writer::of(args, selection.table, replacing)?;
    let primary_key = writer.table.table.primary_key().clone();
    while !selection.stream.is_exhausted() {
        let mut keys = Vec::new();
        for row in selection.stream.next_batch(args.env, &BatchSpec::PASSING)? {
            keys.push(PrimaryKey::encode(&row.field_or_error(&primary_key)?)?);
        }
        writer.write(&keys, replacer, summary)?;
    }
    Ok(())
}

/// What a write term does to documents of one table, whichever they are.
pub struct Writer<'a> {
    env: &'a Env,
    /// The table.
    pub table: TableRef,
    durability: Durability,
    hook: Option<Hook>,
    apart: bool,
}

/// What a write would put in the place of a document.
enum Made {
    New(Datum),
    /// It could not be made, apart from the table.
    Failed(Error),
}

type Maker<'a> = &'a dyn Fn(usize, &Datum) -> Result<Made>;

impl<'a> Writer<'a> {
    /// By the options of a write term.
    pub fn of(args: &Args<'a>, table: TableRef, replacing: Replacing) -> Result<Writer<'a>> {
        let Replacing { options, apart } = replacing;
        let durability = options.durability.unwrap_or(table.entry.config.durability);
        let hook = if options.ignore_hook { None } else { Hook::of(args, &table)? };
        Ok(Writer { env: args.env, table, durability, hook, apart })
    }

    /// Replaces the documents under these keys and counts what became of them.
    pub fn write(
        &self,
        keys: &[PrimaryKey],
        replacer: Replacer<'_>,
        summary: &mut Summary,
    ) -> Result<()> {
        self.insert(keys, &[], replacer, summary)
    }

    /// As [`Writer::write`], told which keys the server has made. Where nothing is told of a key, it did not.
    pub fn insert(
        &self,
        keys: &[PrimaryKey],
        generated: &[bool],
        replacer: Replacer<'_>,
        summary: &mut Summary,
    ) -> Result<()> {
        let make = |at: usize, old: &Datum| self.make(keys, at, old, replacer);
        if self.table.is_system() {
            return self.write_system(keys, generated, &make, summary);
        }
        write_keys(self.env, &self.table, keys, self.durability, &make, summary)
    }

    /// The document that shall stand under a key: what the term makes, and the hook of it.
    fn make(
        &self,
        keys: &[PrimaryKey],
        at: usize,
        old: &Datum,
        replacer: Replacer<'_>,
    ) -> Result<Made> {
        let made = replacer(at, old);
        let new = if self.apart {
            let key = keys.get(at).ok_or_else(|| Error::internal("A key without a number."))?;
            let primary_key = self.table.table.primary_key();
            let checked = made.and_then(|new| {
                replacement::check_made_apart(primary_key, key, old, &new).map(|()| new)
            });
            match checked {
                Err(error) if !must_end_the_query(&error) => return Ok(Made::Failed(error)),
                checked => checked?,
            }
        } else {
            made?
        };
        match &self.hook {
            Some(hook) if !self.table.is_system() => hook.apply(self.env, old, new).map(Made::New),
            _ => Ok(Made::New(new)),
        }
    }

    /// Rows of a system table stand for the server itself.
    fn write_system(
        &self,
        keys: &[PrimaryKey],
        generated: &[bool],
        make: Maker<'_>,
        summary: &mut Summary,
    ) -> Result<()> {
        let reader = self.env.reader(&self.table)?;
        let mut written: HashSet<&PrimaryKey> = HashSet::new();
        for (at, key) in keys.iter().enumerate() {
            let old = if written.insert(key) {
                let found = reader.get(key, self.env.read_mode());
                match found.map_err(|error| self.env.table_error(&self.table, error))? {
                    Some(document) => document.value(),
                    None => Datum::Null,
                }
            } else {
                // The row is another than when the query began.
                system::row(self.env, &self.table, key)?
            };
            let is_generated = generated.get(at).copied().unwrap_or(false);
            let (fate, new) = match self.change_system(at, key, is_generated, &old, make) {
                Ok((fate, new)) => (fate, new),
                Err(error) if must_end_the_query(&error) => return Err(error),
                Err(error) => (Fate::Failed(error), old.clone()),
            };
            summary.add(self.env, fate, old, new);
            // It may have been the row of this very query.
            self.env.check_interrupt_now()?;
        }
        Ok(())
    }

    fn change_system(
        &self,
        at: usize,
        key: &PrimaryKey,
        is_generated: bool,
        old: &Datum,
        make: Maker<'_>,
    ) -> Result<(Fate, Datum)> {
        let new = match make(at, old)? {
            Made::New(new) => new,
            Made::Failed(error) => return Ok((Fate::Unmade(error), old.clone())),
        };
        replacement::check(self.table.table.primary_key(), key, old, &new)?;
        // What the row becomes may differ from what was asked for.
        let new =
            system::write(self.env, &self.table, Change { key, is_generated, old, new: &new })?;
        let fate = match (old, &new) {
            (Datum::Null, Datum::Null) => Fate::Skipped,
            (Datum::Null, _) => Fate::Inserted,
            (_, Datum::Null) => Fate::Deleted,
            _ if *old == new => Fate::Unchanged,
            _ => Fate::Replaced,
        };
        Ok((fate, new))
    }
}

/// Replaces the documents under these keys and counts what became of them.
fn write_keys(
    env: &Env,
    table: &TableRef,
    keys: &[PrimaryKey],
    durability: Durability,
    make: Maker<'_>,
    summary: &mut Summary,
) -> Result<()> {
    let primary_key = table.table.primary_key();
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(keys.len());
    let decide = |at: usize, stored: Option<&Document>| -> Result<Decision> {
        env.check_interrupt()?;
        // A write that met another in between decides anew, from some key on.
        outcomes.truncate(at);
        let old = match stored {
            Some(document) => document.value(),
            None => Datum::Null,
        };
        let key = keys.get(at).ok_or_else(|| Error::internal("A key without a number."))?;
        let (outcome, decision) = match replace_one(primary_key, key, at, old, make) {
            Ok(decided) => decided,
            Err((error, _)) if must_end_the_query(&error) => return Err(error),
            Err((error, old)) => {
                let outcome = Outcome { fate: Fate::Failed(error), new: old.clone(), old };
                (outcome, Decision::Keep)
            }
        };
        outcomes.push(outcome);
        Ok(decision)
    };
    let written = table.table.write(keys, durability, env.read_mode(), decide);
    match written {
        Ok(written) => {
            if let Some(commit) = written.commit {
                env.note_commit(commit);
            }
        }
        Err(WriteError::Table(error)) => return Err(env.table_error(table, error)),
        Err(WriteError::Decide(error)) => return Err(error),
    }
    for outcome in outcomes {
        summary.add(env, outcome.fate, outcome.old, outcome.new);
    }
    Ok(())
}

struct Outcome {
    fate: Fate,
    old: Datum,
    new: Datum,
}

type Decided = std::result::Result<(Outcome, Decision), (Error, Datum)>;

fn replace_one(
    primary_key: &str,
    key: &PrimaryKey,
    at: usize,
    old: Datum,
    make: Maker<'_>,
) -> Decided {
    let new = match make(at, &old) {
        Ok(Made::New(new)) => new,
        Ok(Made::Failed(error)) => {
            let outcome = Outcome { fate: Fate::Unmade(error), new: old.clone(), old };
            return Ok((outcome, Decision::Keep));
        }
        Err(error) => return Err((error, old)),
    };
    let document = match replacement::check(primary_key, key, &old, &new) {
        Ok(document) => document,
        Err(error) => return Err((error, old)),
    };
    let (fate, decision) = match (&old, document) {
        (Datum::Null, None) => (Fate::Skipped, Decision::Keep),
        (Datum::Null, Some(document)) => (Fate::Inserted, Decision::Put(document)),
        (_, None) => (Fate::Deleted, Decision::Delete),
        (_, Some(_)) if old == new => (Fate::Unchanged, Decision::Keep),
        (_, Some(document)) => (Fate::Replaced, Decision::Put(document)),
    };
    Ok((Outcome { fate, old, new }, decision))
}

/// Errors of a document are counted; these are not the document's.
fn must_end_the_query(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Cancelled
            | ErrorKind::TimedOut
            | ErrorKind::OutOfMemory
            | ErrorKind::NotResident
            | ErrorKind::Internal
    )
}
