//! Joins.

mod eq_join;
mod pairs;
mod zip;

use std::sync::{Arc, LazyLock};

use crate::datum::{Datum, Object};
use crate::reql::spec::TermSpec;

pub static ROWS: &[&TermSpec] =
    &[&eq_join::EQ_JOIN, &pairs::INNER_JOIN, &pairs::OUTER_JOIN, &zip::ZIP];

/// A result of a join: `{"left": ..., "right": ...}`, the right side only where there is one.
fn pair(left: Datum, right: Option<Datum>) -> Datum {
    static LEFT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("left"));
    static RIGHT: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("right"));
    let sides = [Some((LEFT.clone(), left)), right.map(|right| (RIGHT.clone(), right))];
    Datum::Object(sides.into_iter().flatten().collect::<Object>())
}
