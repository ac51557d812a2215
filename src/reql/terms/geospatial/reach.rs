//! How far `getNearest` would look in RethinkDB: it looks around the center in each shard of the table, farther and
//! farther, until the shard has given as many documents as are wanted, and fails where that is farther than it can look.
//!
//! Only a `max_dist` that reaches that far can fail; for any other nothing is read here.

use std::f64::consts::PI;

use crate::catalog::IndexEntry;
use crate::geo::check_search_radius;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::table_ref::TableRef;
use crate::table::HASH_SHARDS;

use super::indexed::{Search, around};

/// How far RethinkDB looks first, as a part of the equator's radius: ten meters on earth.
const FIRST_PART: f64 = 10.0 / 6_378_137.0;
/// How many documents it wants of each step.
const STEP_DOCUMENTS: f64 = 100.0;

/// Fails where RethinkDB would have to look too far for the documents that are wanted.
pub(super) fn check(
    env: &Env,
    table: &TableRef,
    index: &IndexEntry,
    search: &Search,
) -> Result<()> {
    if check_search_radius(search.within, &search.on).is_ok() {
        return Ok(());
    }
    let mut known = Known { radius: 0.0, meters: Default::default() };
    for shard in 0..HASH_SHARDS {
        let mut step = Step { inner: 0.0, before: 0, radius: first_radius(search) };
        loop {
            env.check_interrupt()?;
            check_search_radius(step.radius, &search.on).map_err(Error::from)?;
            if known.radius < step.radius {
                known.extend(env, table, index, search, step.radius)?;
            }
            let count = known.count(shard, step.radius);
            if step.radius >= search.within || count >= search.results {
                break;
            }
            step = step.next(count, search.within);
        }
    }
    Ok(())
}

fn first_radius(search: &Search) -> f64 {
    search.within.min(FIRST_PART * search.on.equator)
}

/// One look around the center, at what lies between two radii.
struct Step {
    inner: f64,
    /// Documents found within the inner radius.
    before: usize,
    radius: f64,
}

impl Step {
    /// The next one: as wide as the documents found so far lie densely.
    fn next(self, count: usize, most: f64) -> Step {
        let square = self.radius * self.radius;
        let density = (count - self.before) as f64 / (PI * (square - self.inner * self.inner));
        let wider = if density == 0.0 {
            self.radius * 2.0
        } else {
            (STEP_DOCUMENTS / PI / density + square).sqrt()
        };
        Step { inner: self.radius, before: count, radius: wider.min(most) }
    }
}

/// How far away the documents of each shard are, as far as they have been looked for.
struct Known {
    radius: f64,
    /// Sorted.
    meters: [Vec<f64>; HASH_SHARDS],
}

impl Known {
    /// Looks at least so far; in doubled steps, so that little is read twice.
    fn extend(
        &mut self,
        env: &Env,
        table: &TableRef,
        index: &IndexEntry,
        search: &Search,
        radius: f64,
    ) -> Result<()> {
        self.radius = radius.max(self.radius * 2.0).min(search.within);
        self.meters = Default::default();
        for found in around(env, table, index, search, self.radius)? {
            if let Some(meters) = self.meters.get_mut(found.key.hash_shard()) {
                meters.push(found.meters);
            }
        }
        self.meters.iter_mut().for_each(|meters| meters.sort_by(f64::total_cmp));
        Ok(())
    }

    fn count(&self, shard: usize, radius: f64) -> usize {
        let of_shard = self.meters.get(shard);
        of_shard.map_or(0, |meters| meters.partition_point(|meters| *meters <= radius))
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::{Outcome, Server};

    #[test]
    fn a_distance_that_cannot_be_looked_at_at_once_is_refused_where_documents_are_missing() {
        let server = Server::new();
        let table = r#"[15,[[14,["test"]],"t"]]"#;
        server.succeed(r#"[60,[[14,["test"]],"t"]]"#);
        server.succeed(&format!(r#"[75,[{table},"g"],{{"geo":true}}]"#));
        server.succeed(&format!("[140,[{table}]]"));
        server.succeed(&format!(
            "[56,[{table},[51,[[38,[[173,[50]],[69,[[2,[1]],{{\"id\":[10,[1]],\"g\":[159,[0,0]]}}]]]],\"array\"]]]]"
        ));
        let nearest = |options: &str| {
            format!(r#"[43,[[168,[{table},[159,[0,0]]],{{"index":"g",{options}}}]]]"#)
        };
        server.check(&nearest(r#""max_dist":9000000"#), "50");
        match server.run_with(&nearest(r#""max_dist":9500000"#), "{}") {
            Outcome::Error(_, text, at) => {
                let begin = "The distance has become too large for continuing the indexed nearest traversal.";
                assert!(text.starts_with(begin), "{text}");
                assert_eq!(at.to_string(), "[]");
            }
            other => panic!("{other:?}"),
        }
        // Each shard has one document at once, so that none has to look farther.
        server.check(&nearest(r#""max_dist":9500000,"max_results":1"#), "1");
    }
}
