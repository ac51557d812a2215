//! The model of a table: its documents and its indexes, in the simplest form there is.
//! Knows what an index makes of a document; no queries, no answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::shape::Shape;
use super::value::{Key, is_indexable, merge};

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
    /// What its write hook does.
    pub hook: Option<Hook>,
    /// How many times each of the counters that all users share was counted up.
    pub counted: [u64; COUNTERS],
}

/// How many counters there are in a table with several users.
pub const COUNTERS: usize = 4;

/// What a write hook does with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// Counts in field `h` how often it was written, and puts its key into `p`; lets everything else be.
    Stamp,
    /// Merges something into it, which cannot be where there is nothing: nothing can be deleted.
    Mark,
    /// Puts it back where it is to be deleted, which is not allowed.
    Keep,
    /// Refuses some of them.
    Refuse,
}

/// A document cannot become that.
#[derive(Debug)]
pub struct Refused;

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
    /// Whether the values are shapes.
    pub is_geo: bool,
    /// The body of the function, whose argument is variable 1.
    pub body: fn() -> Value,
    /// The value of a document.
    value: fn(&Value) -> Option<Value>,
}

/// What an ordinary index of field `a` is; the others say how they are not that.
const OF_A: Definition = Definition {
    is_multi: false,
    is_geo: false,
    body: || field("a"),
    value: |row| row.get("a").cloned(),
};

/// All indexes that there may be.
pub const DEFINITIONS: [Definition; 10] = [
    OF_A,
    Definition { body: || field("b"), value: |row| row.get("b").cloned(), ..OF_A },
    Definition {
        body: || json!([2, [field("a"), field("b")]]),
        value: |row| Some(json!([row.get("a")?, row.get("b")?])),
        ..OF_A
    },
    Definition { is_multi: true, body: || field("m"), value: |row| row.get("m").cloned(), ..OF_A },
    Definition {
        is_multi: true,
        body: || json!([2, [field("b"), field("a")]]),
        value: |row| Some(json!([row.get("b")?, row.get("a")?])),
        ..OF_A
    },
    Definition {
        body: || json!([28, [field("n"), 10]]),
        value: |row| Some(json!(row.get("n")?.as_u64()? % 10)),
        ..OF_A
    },
    Definition {
        body: || json!([92, [field("b"), "none"]]),
        value: |row| Some(row.get("b").filter(|b| !b.is_null()).cloned().unwrap_or(json!("none"))),
        ..OF_A
    },
    Definition { is_geo: true, body: || field("g"), value: |row| row.get("g").cloned(), ..OF_A },
    Definition {
        is_geo: true,
        is_multi: true,
        body: || field("s"),
        value: |row| row.get("s").cloned(),
    },
    Definition {
        is_multi: true,
        body: || json!([38, [field("m"), [69, [[2, [2]], [2, [[10, [2]], field("n")]]]]]]),
        value: |row| {
            let n = row.get("n")?;
            Some(row.get("m")?.as_array()?.iter().map(|element| json!([element, n])).collect())
        },
        ..OF_A
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

    /// Whether the values of an index are shapes.
    pub fn is_geo(&self, index: &str) -> bool {
        self.definition(index).is_some_and(|definition| definition.is_geo)
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
        let is_right = |value: &Value| match definition.is_geo {
            true => Shape::of_json(value).is_some(),
            false => is_indexable(value),
        };
        values.into_iter().filter(is_right).collect()
    }

    /// Puts a document in, or takes it out.
    pub fn set(&mut self, key: &Key, document: Option<Value>) {
        match document {
            Some(document) => drop(self.documents.insert(key.clone(), document)),
            None => drop(self.documents.remove(key)),
        }
    }
}

impl Hook {
    /// The function, of what is known of the write, the document before it and the document after it.
    pub fn term(self) -> Value {
        let (context, old, new) = (json!([10, [1]]), json!([10, [2]]), json!([10, [3]]));
        let is_gone = json!([17, [new, null]]);
        let body = match self {
            Self::Stamp => {
                let count = json!([24, [[92, [[170, [old, "h"]], 0]], 1]]);
                let stamp = json!({ "h": count, "p": [170, [context, "primary_key"]] });
                json!([65, [is_gone, null, [35, [new, stamp]]]])
            }
            Self::Mark => json!([35, [new, { "k": 1 }]]),
            Self::Keep => json!([65, [is_gone, old, new]]),
            Self::Refuse => {
                let kind = json!([28, [[92, [[170, [new, "n"]], 0]], 5]]);
                json!([65, [[17, [kind, 4]], [12, ["refused"]], new]])
            }
        };
        json!([69, [[2, [1, 2, 3]], body]])
    }

    /// What it makes of a write.
    pub fn apply(
        self,
        key: &Key,
        old: Option<&Value>,
        new: Option<Value>,
    ) -> Result<Option<Value>, Refused> {
        match (self, new) {
            (Self::Stamp, Some(new)) => {
                let count = old.and_then(|old| old.get("h")).and_then(Value::as_u64).unwrap_or(0);
                Ok(Some(merge(&new, &json!({ "h": count + 1, "p": key.0 }))))
            }
            (Self::Mark, Some(new)) => Ok(Some(merge(&new, &json!({ "k": 1 })))),
            (Self::Mark, None) => Err(Refused),
            (Self::Keep, None) if old.is_some() => Err(Refused),
            (Self::Refuse, Some(new)) => match new.get("n").and_then(Value::as_u64) {
                Some(n) if n % 5 == 4 => Err(Refused),
                _ => Ok(Some(new)),
            },
            (_, new) => Ok(new),
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
        let place = Shape::everywhere().json();
        model.set(&Key(json!(4)), Some(json!({ "id": 4, "g": place, "s": [7, place, place] })));
        for definition in 0..DEFINITIONS.len() {
            model.indexes.insert(definition.to_string(), Index { definition, is_ready: true });
        }
        let found = |index: &str| -> Vec<(Value, Value)> {
            let entries = model.entries(index);
            entries.into_iter().map(|(value, key, _)| (value.0, key.0.clone())).collect()
        };
        assert_eq!(found(PRIMARY).len(), 4);
        assert_eq!(found("0"), [(json!(4), json!(3)), (json!(5), json!(1))]);
        assert_eq!(found("2"), [(json!([5, "x"]), json!(1))]);
        let multi = [(json!(2), json!(2)), (json!(3), json!(1)), (json!(3), json!(1))];
        assert_eq!(found("3"), multi);
        assert_eq!(found("4"), [(json!(5), json!(1)), (json!("x"), json!(1))]);
        assert_eq!(found("5"), [(json!(7), json!(2))]);
        assert_eq!(found("6").len(), 4);
        assert_eq!((found("7").len(), found("8").len(), found("9").len()), (1, 2, 0));
    }
}
