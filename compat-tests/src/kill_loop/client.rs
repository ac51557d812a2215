//! A client of the kill loop: writes its part of the data until the server is gone, and reads all of it back.
//! Knows terms and documents; not when the server dies.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::history::{Documents, History, Operation, Setup};
use super::indexes::{self, INDEXES};
use crate::player::no_options;
use crate::random::Random;
use crate::wire::{Connection, Response, WireError};

/// Keys of one client: few enough that documents are replaced and removed often.
const KEYS: usize = 200;
/// Documents of the largest insert. All of them are one commit of the server.
const BATCH: usize = 40;
/// Keys of different clients are so far apart.
pub const KEY_STRIDE: u64 = 1_000;

/// One client: where it writes, and what it did.
pub struct Client {
    /// Its number: the documents of the table that are its own are known by it.
    pub number: u64,
    /// The table it writes to.
    pub table: String,
    /// Whether nobody else uses the table, so that it may be dropped.
    pub owns_table: bool,
    /// What it did since its documents were last seen.
    pub history: History,
    /// Decides what it does.
    pub random: Random,
    /// The last version it gave out; no two of its writes have the same.
    pub version: u64,
    /// What there is beside documents, as far as the client knows.
    pub setup: Setup,
}

/// What a table holds.
#[derive(Default)]
pub struct Table {
    /// Versions by client and key.
    pub clients: BTreeMap<u64, BTreeMap<u32, u64>>,
    /// The numbers of its indexes.
    pub indexes: BTreeSet<usize>,
    /// Whether it has a write hook.
    pub hook: bool,
}

/// What a server holds.
#[derive(Default)]
pub struct Found {
    /// Its tables by name.
    pub tables: BTreeMap<String, Table>,
    /// The names of its users.
    pub users: BTreeSet<String>,
}

/// Why a client ended otherwise than by the end of the server.
pub type Complaint = String;

impl Client {
    /// Writes until the connection ends. Once `ending` is set, errors are no surprise.
    pub fn write(&mut self, address: SocketAddr, ending: &AtomicBool) -> Result<(), Complaint> {
        let Ok(mut connection) = Connection::open(address, "admin", "") else { return Ok(()) };
        loop {
            let operation = self.next_operation();
            let hard = self.random.below(5) > 0;
            let (term, documents) = self.term(&operation);
            self.history.send(operation.clone());
            let durability = if hard { "hard" } else { "soft" };
            let answer = match raw(&json!({ "durability": durability }))
                .and_then(|options| connection.run(&raw(&term)?, &options))
            {
                Ok(answer) => answer,
                Err(WireError::Io(_) | WireError::Closed) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            // What is no document is always hard.
            let is_setup = !matches!(
                operation,
                Operation::Put(_) | Operation::Update(..) | Operation::Delete(_)
            );
            match check(&answer, documents) {
                Ok(true) => self.history.acknowledge(hard || is_setup),
                Ok(false) => self.history.forget_last(),
                Err(_) if ending.load(Ordering::SeqCst) => return Ok(()),
                Err(problem) => return Err(format!("{operation:?}: {problem}")),
            }
            self.setup.apply(&operation);
        }
    }

    fn next_operation(&mut self) -> Operation {
        if !self.setup.table {
            return Operation::CreateTable;
        }
        if self.owns_table {
            match self.random.below(200) {
                0 => return Operation::DropTable,
                1..6 => {
                    let index = self.random.below(INDEXES.len());
                    return match self.setup.indexes.contains(&index) {
                        true => Operation::DropIndex(index),
                        false => Operation::CreateIndex(index),
                    };
                }
                6 => return Operation::SetHook(!self.setup.hook),
                7 => return Operation::SetUser(!self.setup.user),
                _ => {}
            }
        }
        let key = self.key();
        match self.random.below(10) {
            0..3 => {
                let count = 1 + self.random.below(BATCH);
                let mut documents: BTreeMap<u32, u64> = BTreeMap::new();
                for _ in 0..count {
                    let key = self.key();
                    documents.insert(key, self.next_version());
                }
                Operation::Put(documents.into_iter().collect())
            }
            3..6 => Operation::Put(vec![(key, self.next_version())]),
            6..8 => Operation::Update(key, self.next_version()),
            _ => Operation::Delete(key),
        }
    }

    fn key(&mut self) -> u32 {
        u32::try_from(self.random.below(KEYS)).unwrap_or_default()
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// The query of an operation, and how many documents its answer must account for.
    fn term(&self, operation: &Operation) -> (Value, Option<u64>) {
        let table = json!([15, [self.table]]);
        let id = |key: u32| self.number * KEY_STRIDE + u64::from(key);
        match operation {
            Operation::Put(documents) => {
                let written: Vec<Value> = documents
                    .iter()
                    .map(|(key, version)| document(id(*key), self.number, *version))
                    .collect();
                let count = written.len() as u64;
                (json!([56, [table, [2, written]], { "conflict": "replace" }]), Some(count))
            }
            Operation::Update(key, version) => {
                let new = document(id(*key), self.number, *version);
                (json!([53, [[16, [table, id(*key)]], new]]), Some(1))
            }
            Operation::Delete(key) => (json!([54, [[16, [table, id(*key)]]]]), Some(1)),
            Operation::DropTable => (json!([61, [self.table]]), None),
            Operation::CreateTable => (json!([60, [self.table]]), None),
            Operation::CreateIndex(index) => (indexes::create(&self.table, *index), None),
            Operation::DropIndex(index) => (indexes::drop(&self.table, *index), None),
            Operation::SetHook(true) => (json!([189, [table, hook()]]), None),
            Operation::SetHook(false) => (json!([189, [table, null]]), None),
            Operation::SetUser(true) => {
                (json!([56, [users(), { "id": user(self.number), "password": false }]]), Some(1))
            }
            Operation::SetUser(false) => {
                (json!([54, [[16, [users(), user(self.number)]]]]), Some(1))
            }
        }
    }
}

/// Whether a write changed anything, by its answer; what is wrong when it had errors.
fn check(answer: &Response, documents: Option<u64>) -> Result<bool, String> {
    let result = answer.get("r").and_then(|rows| rows.get(0));
    let (Some(1), Some(result)) = (answer.get("t").and_then(Value::as_u64), result) else {
        return Err(Value::Object(answer.clone()).to_string());
    };
    let field = |name: &str| result.get(name).and_then(Value::as_u64).unwrap_or_default();
    let Some(documents) = documents else { return Ok(true) };
    let sum = |fields: &[&str]| -> u64 { fields.iter().map(|name| field(name)).sum() };
    let changed = sum(&["inserted", "replaced", "deleted"]);
    if field("errors") > 0 || changed + sum(&["unchanged", "skipped"]) != documents {
        return Err(result.to_string());
    }
    Ok(changed > 0)
}

/// The table of users.
fn users() -> Value {
    json!([15, [[14, ["rethinkdb"]], "users"]])
}

/// The user that belongs to a client.
fn user(client: u64) -> String {
    format!("user_{client}")
}

/// A write hook that lets every write pass.
fn hook() -> Value {
    json!([69, [[2, [1, 2, 3]], [10, [3]]]])
}

/// Creates a table with all indexes and waits until it is safe.
pub fn create_table(address: SocketAddr, table: &str) -> Result<(), Complaint> {
    let mut connection = Connection::open(address, "admin", "").map_err(|e| e.to_string())?;
    let all = (0..INDEXES.len()).map(|index| indexes::create(table, index));
    for term in [json!([60, [table]])].into_iter().chain(all) {
        let created = raw(&term).and_then(|term| connection.run(&term, no_options()));
        check(&created.map_err(|error| error.to_string())?, None)?;
    }
    Ok(())
}

/// All that the server holds. Every document must be whole, and as many as are counted; every index must have them all.
pub fn read_all(address: SocketAddr) -> Result<Found, Complaint> {
    let mut connection = Connection::open(address, "admin", "").map_err(|e| e.to_string())?;
    let mut run = |term: &Value| -> Result<Vec<Value>, Complaint> {
        let answer = raw(term).and_then(|term| connection.run(&term, no_options()));
        let answer = answer.map_err(|error| format!("{term}: {error}"))?;
        match answer.get("r") {
            Some(Value::Array(rows)) if answer.get("e").is_none() => Ok(rows.clone()),
            _ => Err(format!("{term}: {}", Value::Object(answer))),
        }
    };
    let names = run(&json!([62, []]))?;
    let names = names.first().and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found = Found::default();
    for name in names.iter().filter_map(Value::as_str) {
        found.tables.insert(name.to_owned(), read_table(name, &mut run)?);
    }
    let users = run(&json!([170, [users(), "id"]]))?;
    found.users = users.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(found)
}

fn read_table(name: &str, run: indexes::Run<'_>) -> Result<Table, Complaint> {
    let rows = run(&json!([15, [name]]))?;
    let count = run(&json!([43, [[15, [name]]]]))?;
    if count.first().and_then(Value::as_u64) != Some(rows.len() as u64) {
        return Err(format!("{name} has {} documents, and counts {count:?}", rows.len()));
    }
    let mut table = Table::default();
    let mut documents = Vec::new();
    for row in &rows {
        let (client, key, version) =
            whole(row).ok_or_else(|| format!("{name} has a document that is not whole: {row}"))?;
        documents.push((client * KEY_STRIDE + u64::from(key), client, version));
        if table.clients.entry(client).or_default().insert(key, version).is_some() {
            return Err(format!("{name} has key {key} of client {client} twice"));
        }
    }
    table.indexes = indexes::compare(name, &documents, run)?;
    table.hook = run(&json!([190, [[15, [name]]]]))?.first().is_some_and(Value::is_object);
    Ok(table)
}

/// The part of a client in what was read.
pub fn part_of(client: &Client, found: &Found) -> Documents {
    let user = found.users.contains(&user(client.number));
    let Some(table) = found.tables.get(&client.table) else {
        let setup = Setup { user, ..Setup::default() };
        return Documents { setup, versions: BTreeMap::new() };
    };
    let setup = Setup { table: true, indexes: table.indexes.clone(), hook: table.hook, user };
    let versions = table.clients.get(&client.number).cloned().unwrap_or_default();
    Documents { setup, versions }
}

/// The client, key and version of a document whose fields agree with its checksum.
fn whole(row: &Value) -> Option<(u64, u32, u64)> {
    let number = |name: &str| row.get(name).and_then(Value::as_u64);
    let (id, client, version) = (number("id")?, number("client")?, number("version")?);
    let body = row.get("body")?.as_str()?;
    let is_whole = row.get("sum")?.as_str()? == sum(id, client, version, body)
        && row.as_object()?.len() == 5
        && id / KEY_STRIDE == client;
    is_whole.then_some((client, u32::try_from(id % KEY_STRIDE).ok()?, version))
}

/// A document, drawn from its key and version. Most are small, some need a few nodes of a tree, some stand outside of it.
fn document(id: u64, client: u64, version: u64) -> Value {
    let mut random = Random::new(version, id);
    let length = match random.below(50) {
        0 => 20_000 + random.below(100_000),
        1..6 => 1_500 + random.below(6_000),
        _ => random.below(1_500),
    };
    let word = format!("{:016x}", random.number());
    let body: String = word.chars().cycle().take(length).collect();
    let sum = sum(id, client, version, &body);
    json!({ "id": id, "client": client, "version": version, "body": body, "sum": sum })
}

/// FNV-1a of all other fields, as text: numbers of ReQL are doubles.
fn sum(id: u64, client: u64, version: u64, body: &str) -> String {
    let text = format!("{id}/{client}/{version}/{body}");
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{sum:016x}")
}

fn raw(value: &Value) -> Result<Box<RawValue>, WireError> {
    Ok(to_raw_value(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_was_changed_is_not_whole() {
        let row = document(3 * KEY_STRIDE + 7, 3, 42);
        assert_eq!(whole(&row), Some((3, 7, 42)));
        for (field, value) in
            [("version", json!(41)), ("body", json!("")), ("sum", json!("0")), ("more", json!(1))]
        {
            let mut other = row.clone();
            other[field] = value;
            assert_eq!(whole(&other), None, "{field}");
        }
    }

    #[test]
    fn an_answer_with_errors_is_no_acknowledgement() {
        let answer = |result: Value| match json!({ "t": 1, "r": [result] }) {
            Value::Object(answer) => answer,
            _ => Response::new(),
        };
        let written = json!({ "inserted": 2, "replaced": 1, "errors": 0 });
        assert_eq!(check(&answer(written.clone()), Some(3)), Ok(true));
        assert_eq!(check(&answer(json!({ "skipped": 1, "errors": 0 })), Some(1)), Ok(false));
        assert!(check(&answer(written), Some(4)).is_err());
        assert!(check(&answer(json!({ "inserted": 3, "errors": 1 })), Some(3)).is_err());
        assert!(check(&Response::new(), None).is_err());
    }
}
