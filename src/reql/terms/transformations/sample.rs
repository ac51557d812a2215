//! `sample`: some elements chosen at random, each set of them as likely as any other.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Determinism};
use crate::reql::selection::Selection;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{ArrayStream, BatchSpec, Rows, check_finite, for_each_batch};
use crate::reql::value::{Val, ValKind};

pub static SAMPLE: TermSpec = TermSpec {
    determinism: Determinism::No,
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Sample,
        "SAMPLE",
        Chapter::Transformations,
        Arity::exactly(2),
        sample,
    )
};

fn sample(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let count = args.integer(1)?;
    let count = usize::try_from(count).map_err(|_| {
        Error::logic(format!("Number of items to sample must be non-negative, got `{count}`."))
    })?;
    // The number itself is judged, however few elements there are.
    args.env.check_array_size(count)?;
    let at = first.at;
    let (table, stream) = match Rows::of(first, args.env)? {
        Rows::Selection(selection) => (Some(selection.table), selection.stream),
        Rows::Stream(stream) => (None, stream),
        Rows::Grouped(_) => return Err(Error::internal("A grouped stream was not gathered.")),
    };
    check_finite(stream.as_ref()).map_err(|error| error.at(at))?;
    let mut reservoir = Reservoir::new(count);
    for_each_batch(stream, args.env, &BatchSpec::TERMINAL.in_turn(), |rows| {
        rows.into_iter().for_each(|row| reservoir.offer(row));
        Ok(())
    })?;
    let sampled = Datum::array(reservoir.rows);
    match (table, sampled) {
        (Some(table), Datum::Array(values)) => {
            let stream = Box::new(ArrayStream::new(values));
            args.val(ValKind::Selection(Selection { table, stream }))
        }
        (_, sampled) => args.value(sampled),
    }
}

/// Keeps a fair sample of all rows offered so far.
struct Reservoir {
    rows: Vec<Datum>,
    size: usize,
    offered: u64,
    random: Random,
}

impl Reservoir {
    fn new(size: usize) -> Self {
        Reservoir { rows: Vec::new(), size, offered: 0, random: Random::new() }
    }

    fn offer(&mut self, row: Datum) {
        self.offered += 1;
        if self.rows.len() < self.size {
            self.rows.push(row);
            return;
        }
        let place = usize::try_from(self.random.below(self.offered)).unwrap_or(usize::MAX);
        if let Some(kept) = self.rows.get_mut(place) {
            *kept = row;
        }
    }
}

/// A quick generator (splitmix64), seeded by the operating system.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Random(RandomState::new().build_hasher().finish())
    }

    /// A number below the limit, which is not 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The high half of the product is uniform enough: the bias is below limit / 2^64.
        ((u128::from(mixed) * u128::from(limit)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn samples_are_as_large_as_asked_and_have_no_doubles() {
        check("[43,[[81,[[2,[1,2,3]],2]]]]", "2");
        check("[43,[[42,[[81,[[173,[100]],30]]]]]]", "30");
        check("[43,[[81,[[2,[1,2,3]],5]]]]", "3");
        check_error(
            "[81,[[2,[1]],-1]]",
            ErrorKind::Logic,
            "Number of items to sample must be non-negative, got `-1`.",
            "[]",
        );
    }

    #[test]
    fn the_size_is_judged_however_few_elements_there_are() {
        let message = "Array over size limit `100000`.  To raise the number of allowed elements, modify the \
                       `array_limit` option to `.run` (not available in the Data Explorer), or use an index.";
        check_error("[81,[[2,[1]],100001]]", ErrorKind::ResourceLimit, message, "[]");
        check("[81,[[2,[1]],100000]]", "[1]");
    }
}
