//! Whether the indexes of a table have exactly the entries that its documents give, at one commit point.
//! Knows documents and entries; must not know names, or where a table is listed.
//!
//! Both sides are read once, in their order: of the entries that the documents give and of those that are there only
//! a count and a checksum is kept, to which the order means nothing. When the two disagree, and while an index is not
//! built, the entries are looked up one by one, until the first that is wrong is found.

use std::hash::{BuildHasher, RandomState};

use super::scan::DocumentScan;
use super::secondary::EntryKey;
use super::{Document, Index, PrimaryKey, TableError, TableReader};
use crate::storage::{Direction, KeyRange, ReadMode, Scanner, StorageError};

/// It has all the time.
const WAIT: ReadMode = ReadMode::MayBlock;

/// Most characters of a value in a message.
const SHOWN: usize = 100;

/// What was found to agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Documents of the table.
    pub documents: u64,
    /// Entries of its indexes.
    pub entries: u64,
}

/// Something that is wrong.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Something cannot be read.
    #[error(transparent)]
    Table(#[from] TableError),
    /// A document's key is not what its primary key says.
    #[error("the document with the primary key {document} is kept under the key {key}")]
    Misplaced {
        /// The primary key in the document, as JSON; `null` when it has none.
        document: String,
        /// The key it is found by.
        key: PrimaryKey,
    },
    /// A document is not found by an index that it belongs to.
    #[error("index `{index}`: the document with the primary key {key} has no entry for {value}")]
    Missing {
        /// The name of the index.
        index: String,
        /// The primary key of the document.
        key: PrimaryKey,
        /// The value of the document, as JSON.
        value: String,
    },
    /// A document is found where it does not belong.
    #[error(
        "index `{index}`: an entry leads to the document with the primary key {key}, which does not give it (its \
         value is {value})"
    )]
    NotGiven {
        /// The name of the index.
        index: String,
        /// The primary key of the document.
        key: PrimaryKey,
        /// The value of the document, as JSON.
        value: String,
    },
    /// There is an entry, but no document.
    #[error("index `{index}`: an entry leads to the primary key {key}, which no document has")]
    NoDocument {
        /// The name of the index.
        index: String,
        /// The primary key that the entry has.
        key: PrimaryKey,
    },
    /// What is in the index is not what an entry looks like.
    #[error("index `{index}`: {key:?} is not the key of an entry, or has a value")]
    NoEntry {
        /// The name of the index.
        index: String,
        /// The key.
        key: Vec<u8>,
    },
    /// Whoever was told of what is wrong has heard enough.
    #[error("the check was ended")]
    Ended,
    /// The counts kept in a tree are not the number of its entries.
    #[error("{place}: {counted} are counted, and {read} read")]
    Count {
        /// The documents, or which index.
        place: String,
        /// What the tree says.
        counted: u64,
        /// What was read.
        read: u64,
    },
}

impl From<StorageError> for CheckError {
    fn from(error: StorageError) -> Self {
        Self::Table(error.into())
    }
}

/// Reads every document to its end, and compares the indexes of the table, each with its name, with the documents. What
/// is wrong is told to `broken`, and as long as that goes on, so does the check: with the next document, and of indexes
/// with the next one, which are compared when all documents are sound.
pub fn check_table(
    reader: &TableReader,
    primary_key: &str,
    indexes: &[(String, Index)],
    broken: &mut dyn FnMut(CheckError) -> Result<(), CheckError>,
) -> Result<Checked, CheckError> {
    let state = [RandomState::new(), RandomState::new()];
    let mut given: Vec<Sum> = indexes.iter().map(|_| Sum::default()).collect();
    let mut documents = 0;
    let mut scan = all_documents(reader)?;
    let mut is_sound = true;
    loop {
        let checked = match scan.next_with_key() {
            Ok(None) => break,
            Ok(Some((key, document))) => {
                let checked = check_document(primary_key, &key, &document);
                checked.map(|()| (key, document))
            }
            Err(error @ TableError::Document { .. }) => Err(error.into()),
            Err(error) => return Err(error.into()),
        };
        documents += 1;
        let (key, document) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                is_sound = false;
                broken(error)?;
                continue;
            }
        };
        for ((_, index), sum) in indexes.iter().zip(&mut given) {
            for entry in index.entries(&key, Some(&document)) {
                sum.add(&state, &entry);
            }
        }
    }
    compare_count("documents", reader.count(&KeyRange::ALL, WAIT)?, documents)?;
    let mut entries = 0;
    for ((name, index), given) in indexes.iter().zip(given) {
        // What one has that is not ready says nothing: its building begins anew.
        if !index.is_ready() || !is_sound {
            continue;
        }
        match check_index(reader, (name, index), &given, &state) {
            Ok(found) => entries += found,
            Err(error) => broken(error)?,
        }
    }
    Ok(Checked { documents, entries })
}

/// Compares an index with what the documents give, and counts its entries.
fn check_index(
    reader: &TableReader,
    (name, index): (&str, &Index),
    given: &Sum,
    state: &[RandomState; 2],
) -> Result<u64, CheckError> {
    let mut found = Sum::default();
    let mut scanner = all_entries(reader, index)?;
    while let Some((entry, value)) = scanner.next()? {
        // A value is nothing that a document gives, so that the two cannot agree then.
        found.add(state, if value.is_empty() { entry } else { value });
    }
    if *given != found {
        find_difference(reader, name, index)?;
    }
    let counted = reader.snapshot.count(index.tree(), &KeyRange::ALL, WAIT)?;
    compare_count(&format!("index `{name}`"), counted, found.count)?;
    Ok(found.count)
}

fn check_document(
    primary_key: &str,
    key: &PrimaryKey,
    document: &Document,
) -> Result<(), CheckError> {
    document.check().map_err(|error| TableError::Document { key: key.clone(), error })?;
    check_place(primary_key, key, document)
}

/// How many keys there were, and a sum of them that says nothing of their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    sums: [u64; 2],
}

impl Sum {
    fn add(&mut self, states: &[RandomState; 2], key: &[u8]) {
        self.count += 1;
        for (sum, state) in self.sums.iter_mut().zip(states) {
            *sum = sum.wrapping_add(state.hash_one(key));
        }
    }
}

fn compare_count(place: &str, counted: u64, read: u64) -> Result<(), CheckError> {
    if counted == read {
        return Ok(());
    }
    Err(CheckError::Count { place: place.to_owned(), counted, read })
}

fn check_place(field: &str, key: &PrimaryKey, document: &Document) -> Result<(), CheckError> {
    let value = document.field(field).ok().flatten();
    if value.as_ref().and_then(|value| PrimaryKey::encode(value).ok()).as_ref() == Some(key) {
        return Ok(());
    }
    let document = value.map_or_else(|| "null".to_owned(), |value| shown(&value.to_json()));
    Err(CheckError::Misplaced { document, key: key.clone() })
}

/// Looks up every entry, and then every document, until something is wrong.
fn find_difference(reader: &TableReader, name: &str, index: &Index) -> Result<(), CheckError> {
    let mut scanner = all_entries(reader, index)?;
    while let Some((entry, value)) = scanner.next()? {
        let Some(split) = EntryKey::split(entry).filter(|_| value.is_empty()) else {
            return Err(CheckError::NoEntry { index: name.to_owned(), key: entry.to_vec() });
        };
        let key = PrimaryKey::from_stored(split.primary);
        let Some(document) = reader.get(&key, WAIT)? else {
            return Err(CheckError::NoDocument { index: name.to_owned(), key });
        };
        if !index.entries(&key, Some(&document)).iter().any(|given| **given == *entry) {
            let value = value_shown(index, &document);
            return Err(CheckError::NotGiven { index: name.to_owned(), key, value });
        }
    }
    let mut scan = all_documents(reader)?;
    while let Some((key, document)) = scan.next_with_key()? {
        for entry in index.entries(&key, Some(&document)) {
            if reader.snapshot.get(index.tree(), &entry, WAIT)?.is_none() {
                let value = value_shown(index, &document);
                return Err(CheckError::Missing { index: name.to_owned(), key, value });
            }
        }
    }
    Ok(())
}

fn all_documents(reader: &TableReader) -> Result<DocumentScan, TableError> {
    reader.scan(&KeyRange::ALL, Direction::Forward, WAIT)
}

fn all_entries(reader: &TableReader, index: &Index) -> Result<Scanner, TableError> {
    let cursor = reader.snapshot.cursor(index.tree(), &KeyRange::ALL, Direction::Forward)?;
    Ok(Scanner::new(cursor, WAIT))
}

fn value_shown(index: &Index, document: &Document) -> String {
    match index.value(document) {
        Some(value) => shown(&value.to_json()),
        None => "none".to_owned(),
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{IndexFunction, IndexValue, NoSink, Ordered, Table, TableId};
    use super::*;
    use crate::datum::Datum;
    use crate::storage::memory::MemoryEngine;
    use crate::storage::{Durability, Engine, TreeId, WriteBatch};
    use std::sync::Arc;
    use uuid::Uuid;

    const DOCUMENTS: TreeId = TreeId(64);
    const ENTRIES: TreeId = TreeId(65);

    #[derive(Debug)]
    struct V;

    impl IndexFunction for V {
        fn value(&self, document: &Document) -> Option<Datum> {
            document.field("v").unwrap()
        }
    }

    fn key(id: f64) -> PrimaryKey {
        PrimaryKey::encode(&Datum::Number(id)).unwrap()
    }

    fn entry(value: &str, id: f64, tag: u32) -> bytes::Bytes {
        IndexValue::encode(&Datum::string(value)).unwrap().entry(&key(id), tag)
    }

    /// Documents 1 to 3, of which one has two values and one has none, and their entries, but for what `spoil` does.
    fn checked(is_built: bool, spoil: impl FnOnce(&mut WriteBatch)) -> Result<Checked, CheckError> {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
        let mut batch = WriteBatch::new(Durability::Soft);
        batch.create_tree(DOCUMENTS);
        batch.create_tree(ENTRIES);
        let values = [Datum::string("a"), Datum::array(vec![]), Datum::string("b")];
        for (id, value) in [1.0, 2.0, 3.0].into_iter().zip(values) {
            let value = match id {
                2.0 => Datum::array(vec![Datum::string("b"), Datum::Null, Datum::string("c")]),
                _ => value,
            };
            let fields = [("id", Datum::Number(id)), (if id == 3.0 { "w" } else { "v" }, value)];
            let document = Document::encode(&Datum::object(fields)).unwrap();
            batch.put(DOCUMENTS, key(id).as_bytes().clone(), document.as_bytes().clone());
        }
        for entry in [entry("a", 1.0, 0), entry("b", 2.0, 0), entry("c", 2.0, 2)] {
            batch.put(ENTRIES, entry, Vec::new());
        }
        engine.apply(batch).unwrap();
        let mut batch = WriteBatch::new(Durability::Soft);
        spoil(&mut batch);
        engine.apply(batch).unwrap();
        let id = TableId(Uuid::nil());
        let table = Table::new(id, "id", DOCUMENTS, engine, Arc::new(NoSink));
        let index =
            Index::new(Uuid::nil(), ENTRIES, true, Box::new(Ordered), Arc::new(V), is_built);
        let indexes = [("by_v".to_owned(), index)];
        check_table(&table.reader().unwrap(), "id", &indexes, &mut Err)
    }

    fn wrong(spoil: impl FnOnce(&mut WriteBatch)) -> String {
        checked(true, spoil).unwrap_err().to_string()
    }

    #[test]
    fn what_agrees_is_counted() {
        let expected = Checked { documents: 3, entries: 3 };
        assert_eq!(
            checked(true, |batch| batch.delete(ENTRIES, b"none".to_vec())).unwrap(),
            expected
        );
    }

    #[test]
    fn a_missing_entry_is_found() {
        let text = wrong(|batch| batch.delete(ENTRIES, entry("c", 2.0, 2)));
        let expected =
            "index `by_v`: the document with the primary key 2 has no entry for [\"b\",null,\"c\"]";
        assert_eq!(text, expected);
        let unbuilt = checked(false, |batch| batch.delete(ENTRIES, entry("c", 2.0, 2))).unwrap();
        assert_eq!(unbuilt, Checked { documents: 3, entries: 0 });
    }

    #[test]
    fn an_entry_too_many_is_found() {
        let none = wrong(|batch| batch.put(ENTRIES, entry("a", 7.5, 0), Vec::new()));
        let expected = "index `by_v`: an entry leads to the primary key 7.5, which no document has";
        assert_eq!(none, expected);
        let expected = "index `by_v`: an entry leads to the document with the primary key 3, which does not give it \
                        (its value is none)";
        let spoil = |batch: &mut WriteBatch| batch.put(ENTRIES, entry("x", 3.0, 0), Vec::new());
        assert_eq!(wrong(spoil), expected);
        assert_eq!(checked(false, spoil).unwrap(), Checked { documents: 3, entries: 0 });
    }

    #[test]
    fn a_wrong_entry_is_found() {
        for other in [entry("A", 1.0, 0), entry("a", 1.0, 1)] {
            let text = wrong(|batch| {
                batch.delete(ENTRIES, entry("a", 1.0, 0));
                batch.put(ENTRIES, other, Vec::new());
            });
            let expected = "index `by_v`: an entry leads to the document with the primary key 1, which does not give \
                            it (its value is \"a\")";
            assert_eq!(text, expected);
        }
        let text = wrong(|batch| batch.put(ENTRIES, entry("a", 1.0, 0), b"x".to_vec()));
        assert!(text.ends_with("is not the key of an entry, or has a value"), "{text}");
        let text = wrong(|batch| batch.put(ENTRIES, b"x".to_vec(), Vec::new()));
        assert!(text.ends_with("is not the key of an entry, or has a value"), "{text}");
    }

    #[test]
    fn a_document_under_the_wrong_key_is_found() {
        let document = Document::encode(&Datum::object([("id", Datum::string("x"))])).unwrap();
        let text = wrong(|batch| {
            batch.put(DOCUMENTS, key(-4.0).as_bytes().clone(), document.as_bytes().clone());
        });
        assert_eq!(text, "the document with the primary key \"x\" is kept under the key -4");
        let text = wrong(|batch| batch.put(DOCUMENTS, key(1.0).as_bytes().clone(), b"x".to_vec()));
        assert!(
            text.starts_with("the document with the primary key 1: damaged document"),
            "{text}"
        );
    }

    #[test]
    fn a_document_whose_text_or_table_is_wrong_is_found() {
        let fields = [("id", Datum::Number(1.0)), ("tags", Datum::array(vec![Datum::Null]))];
        let sound = Document::encode(&Datum::object(fields)).unwrap();
        let find = |bytes: &[u8], part: &[u8]| {
            bytes.windows(part.len()).position(|window| window == part).unwrap()
        };
        let text = find(sound.as_bytes(), b"{\"id\"");
        for (at, byte, problem) in [
            (find(sound.as_bytes(), b"null"), b'm', "not a value"),
            (find(sound.as_bytes(), b"]}"), b' ', "no end of an array"),
            // The table says where names and values begin, the second name last but one.
            (text - 4, b'x', "a table"),
        ] {
            let mut bytes = sound.as_bytes().to_vec();
            bytes[at] = byte;
            let text = wrong(|batch| batch.put(DOCUMENTS, key(1.0).as_bytes().clone(), bytes));
            assert!(text.starts_with("the document with the primary key 1: damaged"), "{text}");
            assert!(text.contains(problem) || byte == b'x', "{text}");
        }
    }
}
