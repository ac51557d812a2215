//! The model of a table: its documents and its indexes, in the simplest form there is.
//! Knows what an index makes of a document; no queries, no answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::value::{Key, is_indexable};

/// The name under which the primary key is an index.
pub const PRIMARY: &str = "id";

/// A table as it should be.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Whether it is there.
    pub exists: bool,
    /// Its documents by primary key.
    pub documents: BTreeMap<Key, Value>,
    /// Its indexes by name.
    pub indexes: BTreeMap<String, Index>,
}

/// An index of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index {
    /// Which of the [`DEFINITIONS`].
    pub definition: usize,
    /// Whether it is known to be built.
    pub is_ready: bool,
}

/// What an index is computed from: as a term, and as the model computes it.
pub struct Definition {
    /// Whether each element of an array is a value.
    pub is_multi: bool,
    /// The body of the function, whose argument is variable 1.
    pub body: fn() -> Value,
    /// The value of a document.
    value: fn(&Value) -> Option<Value>,
}

/// All indexes that there may be.
pub const DEFINITIONS: [Definition; 7] = [
    Definition { is_multi: false, body: || field("a"), value: |row| row.get("a").cloned() },
    Definition { is_multi: false, body: || field("b"), value: |row| row.get("b").cloned() },
    Definition {
        is_multi: false,
        body: || json!([2, [field("a"), field("b")]]),
        value: |row| Some(json!([row.get("a")?, row.get("b")?])),
    },
    Definition { is_multi: true, body: || field("m"), value: |row| row.get("m").cloned() },
    Definition {
        is_multi: true,
        body: || json!([2, [field("b"), field("a")]]),
        value: |row| Some(json!([row.get("b")?, row.get("a")?])),
    },
    Definition {
        is_multi: false,
        body: || json!([28, [field("n"), 10]]),
        value: |row| Some(json!(row.get("n")?.as_u64()? % 10)),
    },
    Definition {
        is_multi: false,
        body: || json!([92, [field("b"), "none"]]),
        value: |row| Some(row.get("b").filter(|b| !b.is_null()).cloned().unwrap_or(json!("none"))),
    },
];

fn field(name: &str) -> Value {
    json!([170, [[10, [1]], name]])
}

/// An entry of an index: the value, the primary key, the document.
pub type Entry<'a> = (Key, &'a Key, &'a Value);

impl Model {
    /// Whether an index is a multi index; the primary key is none.
    pub fn is_multi(&self, index: &str) -> bool {
        self.definition(index).is_some_and(|definition| definition.is_multi)
    }

    fn definition(&self, index: &str) -> Option<&'static Definition> {
        DEFINITIONS.get(self.indexes.get(index)?.definition)
    }

    /// All entries of an index, in order.
    pub fn entries(&self, index: &str) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        for (key, document) in &self.documents {
            for value in self.values(index, key, document) {
                entries.push((Key(value), key, document));
            }
        }
        entries.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        entries
    }

    /// The values under which an index has a document.
    pub fn values(&self, index: &str, key: &Key, document: &Value) -> Vec<Value> {
        if index == PRIMARY {
            return vec![key.0.clone()];
        }
        let Some(definition) = self.definition(index) else { return Vec::new() };
        let values = match (definition.value)(document) {
            Some(Value::Array(elements)) if definition.is_multi => elements,
            value => value.into_iter().collect(),
        };
        values.into_iter().filter(is_indexable).collect()
    }

    /// Puts a document in, or takes it out.
    pub fn set(&mut self, key: &Key, document: Option<Value>) {
        match document {
            Some(document) => drop(self.documents.insert(key.clone(), document)),
            None => drop(self.documents.remove(key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_have_the_documents_that_have_a_value() {
        let mut model = Model::default();
        for (id, row) in [
            (1, json!({ "id": 1, "a": 5, "b": "x", "m": [3, null, 3] })),
            (2, json!({ "id": 2, "a": null, "m": 2, "n": 27 })),
            (3, json!({ "id": 3, "a": 4 })),
        ] {
            model.set(&Key(json!(id)), Some(row));
        }
        for definition in 0..DEFINITIONS.len() {
            model.indexes.insert(definition.to_string(), Index { definition, is_ready: true });
        }
        let found = |index: &str| -> Vec<(Value, Value)> {
            let entries = model.entries(index);
            entries.into_iter().map(|(value, key, _)| (value.0, key.0.clone())).collect()
        };
        assert_eq!(found(PRIMARY).len(), 3);
        assert_eq!(found("0"), [(json!(4), json!(3)), (json!(5), json!(1))]);
        assert_eq!(found("2"), [(json!([5, "x"]), json!(1))]);
        let multi = [(json!(2), json!(2)), (json!(3), json!(1)), (json!(3), json!(1))];
        assert_eq!(found("3"), multi);
        assert_eq!(found("4"), [(json!(5), json!(1)), (json!("x"), json!(1))]);
        assert_eq!(found("5"), [(json!(7), json!(2))]);
        assert_eq!(found("6").len(), 3);
    }
}
