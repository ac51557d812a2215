//! Where rows come from: a table that one or several write to, keys of an index, a range of an index. As a term, and as
//! the model has them.
//! Knows nothing of what is done with the rows.

use serde_json::{Value, json};

use super::state::{Entry, Model, PRIMARY};
use super::value::{compare, term};

/// A table, and who uses it.
#[derive(Clone, Debug)]
pub struct Place {
    /// The name of the table.
    pub name: String,
    /// The number of the one who uses it, if there are several: its documents have it in field `w`.
    pub owner: Option<u64>,
}

impl Place {
    /// The query for all rows.
    pub fn table(&self) -> Value {
        json!([15, [[14, ["test"]], self.name]])
    }

    /// The query for those of some rows that belong to this user.
    pub fn own(&self, rows: Value) -> Value {
        match self.owner {
            Some(owner) => json!([39, [rows, { "w": owner }]]),
            None => rows,
        }
    }
}

/// One end of a range.
#[derive(Clone, Debug)]
pub enum Bound {
    /// `minval` on the left, `maxval` on the right.
    Open,
    /// A value, and whether it is in the range itself.
    At(Value, bool),
}

/// Some rows of a table.
#[derive(Clone, Debug)]
pub enum Source {
    /// All of them.
    All,
    /// One document, there or not.
    One(Value),
    /// Those with these values of an index; twice for a value that is given twice.
    Keys(String, Vec<Value>),
    /// Those between two values of an index.
    Range(String, Bound, Bound),
}

impl Source {
    /// The query for the rows that are the user's.
    pub fn term(&self, place: &Place) -> Value {
        match self {
            Self::One(_) => self.of(&place.table()),
            _ => place.own(self.of(&place.table())),
        }
    }

    /// The query for the rows, whoever wrote them.
    pub fn of(&self, table: &Value) -> Value {
        match self {
            Self::All => table.clone(),
            Self::One(key) => json!([16, [table, term(key)]]),
            Self::Keys(index, values) => {
                let mut arguments = vec![table.clone()];
                arguments.extend(values.iter().map(term));
                json!([78, arguments, options(index)])
            }
            Self::Range(index, left, right) => {
                let mut options = options(index);
                let mut end = |bound: &Bound, name: &str, open: Value| match bound {
                    Bound::Open => open,
                    Bound::At(value, included) => {
                        options[name] = json!(if *included { "closed" } else { "open" });
                        term(value)
                    }
                };
                let left = end(left, "left_bound", json!([180, []]));
                let right = end(right, "right_bound", json!([181, []]));
                json!([182, [table, left, right], options])
            }
        }
    }

    /// Whether it is a range that no value can lie in. It is known to be empty without a look at its index.
    pub fn is_unachievable(&self) -> bool {
        let Self::Range(_, Bound::At(left, left_in), Bound::At(right, right_in)) = self else {
            return false;
        };
        let order = compare(left, right);
        order.is_gt() || (order.is_eq() && !(*left_in && *right_in))
    }

    /// The rows, in the order of the index.
    pub fn entries<'a>(&self, model: &'a Model) -> Vec<Entry<'a>> {
        match self {
            Self::All => model.entries(PRIMARY),
            Self::One(key) => {
                let mut entries = model.entries(PRIMARY);
                entries.retain(|(value, _, _)| compare(&value.0, key).is_eq());
                entries
            }
            Self::Keys(index, values) => {
                let all = model.entries(index);
                let of = |value: &Value| -> Vec<Entry<'a>> {
                    all.iter().filter(|entry| compare(&entry.0.0, value).is_eq()).cloned().collect()
                };
                values.iter().flat_map(of).collect()
            }
            Self::Range(index, left, right) => {
                let mut entries = model.entries(index);
                entries.retain(|(value, _, _)| {
                    let after = match left {
                        Bound::Open => true,
                        Bound::At(left, true) => compare(&value.0, left).is_ge(),
                        Bound::At(left, false) => compare(&value.0, left).is_gt(),
                    };
                    after
                        && match right {
                            Bound::Open => true,
                            Bound::At(right, true) => compare(&value.0, right).is_le(),
                            Bound::At(right, false) => compare(&value.0, right).is_lt(),
                        }
                });
                entries
            }
        }
    }
}

fn options(index: &str) -> Value {
    if index == PRIMARY { json!({}) } else { json!({ "index": index }) }
}

#[cfg(test)]
mod tests {
    use super::super::value::Key;
    use super::*;

    #[test]
    fn rows_are_those_that_the_source_names() {
        let mut model = Model::default();
        for id in 0..5 {
            model.set(&Key(json!(id)), Some(json!({ "id": id })));
        }
        let found = |source: Source| -> Vec<Value> {
            source.entries(&model).into_iter().map(|entry| entry.0.0).collect()
        };
        let id = || PRIMARY.to_owned();
        assert_eq!(found(Source::All).len(), 5);
        assert_eq!(found(Source::One(json!(7))).len(), 0);
        let twice = Source::Keys(id(), vec![json!(3), json!(9), json!(3)]);
        assert_eq!(found(twice), [json!(3), json!(3)]);
        let range = Source::Range(id(), Bound::At(json!(1), false), Bound::At(json!(3), true));
        let expected = json!([182, ["t", 1, 3], { "left_bound": "open", "right_bound": "closed" }]);
        assert_eq!(range.of(&json!("t")), expected);
        let mut place = Place { name: "t".to_owned(), owner: None };
        assert_eq!(Source::All.term(&place), place.table());
        place.owner = Some(3);
        assert_eq!(Source::All.term(&place), json!([39, [place.table(), { "w": 3 }]]));
        assert_eq!(Source::One(json!(1)).term(&place), json!([16, [place.table(), 1]]));
        assert_eq!(found(range), [json!(2), json!(3)]);
    }
}
