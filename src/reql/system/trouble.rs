//! What is wrong with the disk and the data: for the rows of `current_issues`, and for whoever tells the log.
//! Knows the engine and the names of what it keeps; must not know who is told.

use crate::catalog::{Database, TableEntry};
use crate::datum::Datum;
use crate::reql::context::Context;
use crate::storage::{Damage, Lost, ReadMode, StorageError};
use crate::table::PrimaryKey;

/// What a trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// Writes are refused until there is room on the disk.
    DiskFull,
    /// They will be soon.
    DiskNearlyFull,
    /// Writes are refused until the server is started anew.
    WritingStopped,
    /// Something cannot be read.
    DamagedData,
}

impl TroubleKind {
    /// The name of the kind in `current_issues`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::DiskNearlyFull => "disk_nearly_full",
            Self::WritingStopped => "writing_stopped",
            Self::DamagedData => "damaged_data",
        }
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// What it is.
    pub kind: TroubleKind,
    /// The same as long as it is there.
    pub id: String,
    /// What is wrong and what to do, for people.
    pub description: String,
    /// The facts, for programs.
    pub info: Datum,
}

/// All that is wrong with the disk and the data, as far as anybody has found out. May read.
pub fn troubles(context: &Context) -> Vec<Trouble> {
    let engine = context.catalog.engine();
    let mut troubles = Vec::new();
    let room = engine.disk_room();
    let place = room.as_ref().map_or("", |room| &room.place);
    match engine.check_writable() {
        Err(StorageError::DiskFull { .. }) => troubles.push(full(place)),
        Err(error @ StorageError::Poisoned { .. }) => troubles.push(stopped(place, &error)),
        _ => {}
    }
    if let Some(room) = &room
        && room.is_nearly_full()
        && troubles.is_empty()
    {
        troubles.push(nearly_full(place, room.available.unwrap_or_default()));
    }
    troubles.extend(engine.damage().iter().filter_map(|damage| damaged(context, damage)));
    troubles
}

fn on_disk(
    kind: TroubleKind,
    place: &str,
    facts: &[(&str, Datum)],
    description: String,
) -> Trouble {
    let info = [("place", Datum::string(place))].into_iter().chain(facts.iter().cloned());
    Trouble { kind, id: kind.name().to_owned(), description, info: Datum::object(info) }
}

fn full(place: &str) -> Trouble {
    let description = format!(
        "The disk of {place} is full: writes are refused, reads go on. Make room; the server finds out within a second or \
         two and goes on by itself."
    );
    on_disk(TroubleKind::DiskFull, place, &[], description)
}

fn stopped(place: &str, error: &StorageError) -> Trouble {
    let description = format!(
        "Writes to {place} are refused: {error}. Reads go on. Mend the cause and restart the server."
    );
    let facts = [("error", error.to_string().into())];
    on_disk(TroubleKind::WritingStopped, place, &facts, description)
}

fn nearly_full(place: &str, available: u64) -> Trouble {
    let megabytes = available / (1024 * 1024);
    let description = format!(
        "The disk of {place} has {megabytes} MB left. Make room before it is full: writes are refused then."
    );
    let facts = [("available_bytes", Datum::Number(available as f64))];
    on_disk(TroubleKind::DiskNearlyFull, place, &facts, description)
}

/// What a damage is in, as people call it.
struct Owner<'a> {
    name: String,
    table: Option<(&'a Database, &'a TableEntry)>,
    index: Option<&'a str>,
}

/// A damage by the names of what it is in; `None` when it is not there any more.
fn damaged(context: &Context, damage: &Damage) -> Option<Trouble> {
    let state = context.catalog.state();
    let mut owner =
        Owner { name: format!("{} of the server", damage.tree), table: None, index: None };
    for database in state.databases() {
        for table in database.tables() {
            let of_index = table
                .indexes
                .iter()
                .find(|(_, entry)| entry.index.trees().any(|tree| tree == damage.tree));
            if table.table.tree() != damage.tree && of_index.is_none() {
                continue;
            }
            owner.table = Some((&**database, &**table));
            owner.index = of_index.map(|(name, _)| name.as_str());
            owner.name = format!("table `{}.{}`", database.name, table.name);
            if let Some(index) = owner.index {
                owner.name = format!("index `{index}` of {}", owner.name);
            } else if is_mended(table, damage) {
                table.table.engine().forget_damage(damage);
                return None;
            }
        }
    }
    let (lost, facts) = lost(damage, &owner);
    let description =
        format!("Damaged data in {} at {}: {}. {lost}", owner.name, damage.place, damage.problem);
    let name = |name: Option<&str>| name.map_or(Datum::Null, Datum::string);
    let (database, table) = (owner.table.map(|found| found.0), owner.table.map(|found| found.1));
    let info = Datum::object([
        ("db", name(database.map(|database| database.name.as_str()))),
        ("error", damage.problem.as_str().into()),
        ("index", name(owner.index)),
        ("lost", facts),
        ("place", damage.place.as_str().into()),
        ("table", name(table.map(|table| table.name.as_str()))),
    ]);
    let kind = TroubleKind::DamagedData;
    let id = format!("{} {} {}", kind.name(), damage.tree.0, damage.place);
    Some(Trouble { kind, id, description, info })
}

/// Whether the document of a damage can be read by now.
fn is_mended(table: &TableEntry, damage: &Damage) -> bool {
    let Lost::Entry(key) = &damage.lost else { return false };
    let Ok(reader) = table.table.reader() else { return false };
    match reader.get(&PrimaryKey::from_stored(key), ReadMode::MayBlock) {
        Ok(document) => document.is_none_or(|document| document.check().is_ok()),
        Err(_) => false,
    }
}

/// What cannot be read, and what to do.
fn lost(damage: &Damage, owner: &Owner<'_>) -> (String, Datum) {
    if owner.index.is_some() {
        return ("Drop the index and create it again.".to_owned(), Datum::Null);
    }
    let key = |key: &[u8]| PrimaryKey::from_stored(key).to_string();
    let value = |stored: Option<&[u8]>| {
        let value = stored.and_then(|stored| PrimaryKey::from_stored(stored).value());
        value.unwrap_or(Datum::Null)
    };
    match &damage.lost {
        Lost::Unknown => (
            "Which keys are lost is not known. Save what can be read, and restore the rest from a copy.".to_owned(),
            Datum::Null,
        ),
        Lost::Entry(stored) => (
            format!("The document with the primary key {} cannot be read. Delete it; where that is refused, save what is before and \
                 behind it, into another table.", key(stored)),
            Datum::object([("key", value(Some(stored)))]),
        ),
        Lost::Between { after, before, entries } => {
            let (after, before) = (after.as_deref(), before.as_deref());
            let after_text = after.map_or("the beginning".to_owned(), key);
            let before_text = before.map_or("the end".to_owned(), key);
            let text = format!(
                "{entries} documents cannot be read, those between the keys {after_text} and {before_text}. Save what is up \
                 to the one and from the other on, into another table."
            );
            let facts = Datum::object([
                ("after", value(after)),
                ("before", value(before)),
                ("documents", Datum::Number(*entries as f64)),
            ]);
            (text, facts)
        }
    }
}
