//! How many rows of a sort are read, as far as a query says so before it runs: `orderBy` keeps no more of them then.
//! Knows compiled terms; must not know how rows are sorted.

use std::sync::Arc;

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;

use super::tree::{Call, Node, Op};

/// Where a term reads but the first rows of its argument, and these come from `orderBy`, notes it there.
pub(super) fn note(call: &mut Call) {
    if call.splices {
        return;
    }
    let rows = match call.spec.term {
        TermType::Limit => literal(call, 1),
        TermType::Nth | TermType::Bracket => literal(call, 1).and_then(|at| at.checked_add(1)),
        // The right bound may be closed, and is read where there is one.
        TermType::Slice => literal(call, 1).and(literal(call, 2)).and_then(|to| to.checked_add(1)),
        _ => None,
    };
    if let (Some(rows), Some(first)) = (rows, call.args.first_mut()) {
        pass_down(first, rows);
    }
}

fn pass_down(node: &mut Node, rows: usize) {
    let Op::Call(call) = &mut node.op else { return };
    // It was just compiled, so nobody else has it.
    let Some(call) = Arc::get_mut(call).filter(|call| !call.splices) else { return };
    let before = match call.spec.term {
        TermType::OrderBy => {
            call.top = Some(call.top.map_or(rows, |top| top.min(rows)));
            return;
        }
        TermType::Limit => Some(rows),
        TermType::Skip => literal(call, 1).and_then(|skipped| rows.checked_add(skipped)),
        // The left bound may be open.
        TermType::Slice => literal(call, 1).and_then(|from| rows.checked_add(from)?.checked_add(1)),
        _ => None,
    };
    if let (Some(rows), Some(first)) = (before, call.args.first_mut()) {
        pass_down(first, rows);
    }
}

/// An argument that is written as a number of rows.
fn literal(call: &Call, at: usize) -> Option<usize> {
    match call.args.get(at)?.op {
        // A position is an integer of 32 bits, so it is exact.
        Op::Datum(Datum::Number(number))
            if number.trunc() == number && (0.0..f64::from(i32::MAX)).contains(&number) =>
        {
            Some(number as usize)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::compile;
    use crate::reql::tree::{Node, Op};

    /// What is noted at the innermost `orderBy`.
    fn top(query: &str) -> Option<usize> {
        fn search(node: &Node) -> Option<usize> {
            let Op::Call(call) = &node.op else { return None };
            call.top.or_else(|| search(call.args.first()?))
        }
        search(compile(query, "{}").unwrap().root())
    }

    #[test]
    fn what_is_written_behind_a_sort_says_how_much_of_it_is_read() {
        const SORTED: &str = r#"[41,[[173,[9]],"a"]]"#;
        assert_eq!(top(SORTED), None);
        assert_eq!(top(&format!("[71,[{SORTED},10]]")), Some(10));
        assert_eq!(top(&format!("[45,[{SORTED},3]]")), Some(4));
        assert_eq!(top(&format!("[45,[{SORTED},-1]]")), None);
        assert_eq!(top(&format!("[71,[[70,[{SORTED},5]],10]]")), Some(15));
        assert_eq!(top(&format!("[30,[{SORTED},5,8]]")), Some(9));
        assert_eq!(top(&format!("[30,[{SORTED},5,-2]]")), None);
        assert_eq!(top(&format!("[71,[[30,[{SORTED},5]],8]]")), Some(14));
        assert_eq!(top(&format!("[71,[[71,[{SORTED},3]],8]]")), Some(3));
        // What lies between may want more of them.
        assert_eq!(top(&format!("[71,[[42,[{SORTED}]],8]]")), None);
        assert_eq!(top(&format!("[71,[{SORTED},[24,[1,1]]]]")), None);
    }
}
