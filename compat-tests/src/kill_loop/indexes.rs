//! The indexes of the kill loop's tables, and what they must lead to: exactly what the documents say, in order.
//! Knows documents as their id, client and version; not who wrote them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::Complaint;

/// An index: its name, whether it is a multi index, and the values of a document in it.
pub struct Index {
    name: &'static str,
    is_multi: bool,
    values: fn(client: u64, version: u64) -> Vec<Vec<u64>>,
}

/// All that a table may have.
pub const INDEXES: [Index; 3] = [
    Index { name: "version", is_multi: false, values: |_, version| vec![vec![version]] },
    Index {
        name: "both",
        is_multi: false,
        values: |client, version| vec![vec![version % 7, client]],
    },
    Index {
        name: "rests",
        is_multi: true,
        values: |_, version| vec![vec![version % 3], vec![version % 5]],
    },
];

/// Runs a query and gives its rows.
pub type Run<'a> = &'a mut dyn FnMut(&Value) -> Result<Vec<Value>, Complaint>;

/// The query that makes an index.
pub fn create(table: &str, index: usize) -> Value {
    let field = |name: &str| json!([170, [[10, [1]], name]]);
    let rest = |of: u64| json!([28, [field("version"), of]]);
    let body = match index {
        0 => field("version"),
        1 => json!([2, [rest(7), field("client")]]),
        _ => json!([2, [rest(3), rest(5)]]),
    };
    let is_multi = INDEXES.get(index).is_some_and(|index| index.is_multi);
    json!([75, [[15, [table]], name(index), [69, [[2, [1]], body]]], { "multi": is_multi }])
}

/// The query that drops one.
pub fn drop(table: &str, index: usize) -> Value {
    json!([76, [[15, [table]], name(index)]])
}

fn name(index: usize) -> &'static str {
    INDEXES.get(index).map_or("none", |index| index.name)
}

/// Waits until the indexes of a table are built, reads all of each, and compares that with the documents, which are
/// given as id, client and version. Gives the numbers of the indexes.
pub fn compare(
    table: &str,
    documents: &[(u64, u64, u64)],
    run: Run<'_>,
) -> Result<BTreeSet<usize>, Complaint> {
    let table_term = json!([15, [table]]);
    let listed = run(&json!([77, [table_term]]))?;
    let listed = listed.first().and_then(Value::as_array).cloned().unwrap_or_default();
    run(&json!([140, [table_term]]))?;
    let mut indexes = BTreeSet::new();
    for (number, index) in INDEXES.iter().enumerate() {
        if !listed.contains(&json!(index.name)) {
            continue;
        }
        indexes.insert(number);
        let place = format!("{table}, index {}", index.name);
        let expected = expected(index, documents);
        let all = json!([182, [table_term, [180, []], [181, []]], { "index": index.name }]);
        let count = run(&json!([43, [all]]))?;
        if count != [json!(expected.len())] {
            return Err(format!("{place}: {} entries expected, counts {count:?}", expected.len()));
        }
        let ordered = json!([41, [table_term], { "index": index.name }]);
        let found = run(&json!([33, [ordered, "id", "version"]]))?;
        let differs = expected.iter().zip(&found).find(|(expected, found)| expected != found);
        if let Some((expected, found)) = differs {
            return Err(format!("{place}: {expected} expected, {found} found"));
        }
        if expected.len() != found.len() {
            return Err(format!(
                "{place}: {} rows expected, {} found",
                expected.len(),
                found.len()
            ));
        }
    }
    if indexes.len() != listed.len() {
        return Err(format!("{table} has indexes that nobody made: {listed:?}"));
    }
    Ok(indexes)
}

/// What the index leads to, in its order.
fn expected(index: &Index, documents: &[(u64, u64, u64)]) -> Vec<Value> {
    let mut entries: Vec<_> = documents
        .iter()
        .flat_map(|&(id, client, version)| {
            (index.values)(client, version).into_iter().map(move |value| (value, id, version))
        })
        .collect();
    entries.sort_unstable();
    entries.iter().map(|(_, id, version)| json!({ "id": id, "version": version })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One document, of which an index says this.
    fn compared(ids: &[u64]) -> Result<BTreeSet<usize>, Complaint> {
        let rows: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "version": 9 })).collect();
        let mut run = |term: &Value| match term.get(0).and_then(Value::as_u64) {
            Some(77) => Ok(vec![json!(["version"])]),
            Some(43) => Ok(vec![json!(rows.len())]),
            Some(33) => Ok(rows.clone()),
            _ => Ok(Vec::new()),
        };
        compare("t", &[(1, 0, 9)], &mut run)
    }

    #[test]
    fn an_index_that_says_something_else_is_a_complaint() {
        assert_eq!(compared(&[1]), Ok([0].into()));
        for wrong in [&[][..], &[2], &[1, 1]] {
            assert!(compared(wrong).is_err(), "{wrong:?}");
        }
    }
}
