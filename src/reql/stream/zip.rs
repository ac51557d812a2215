//! A function applied to the rows of several streams side by side: `map` over many sequences.

use std::vec::IntoIter;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{NodeId, Result};
use crate::reql::function::Func;

use super::{BatchSpec, BoxStream, Budget, Feed, Stream};

/// Streams read in step. Ends with the shortest.
#[derive(Debug)]
pub struct Zip {
    streams: Vec<Side>,
    func: Func,
    at: NodeId,
}

#[derive(Debug)]
struct Side {
    stream: BoxStream,
    rows: IntoIter<Datum>,
}

impl Side {
    fn is_exhausted(&self) -> bool {
        self.rows.len() == 0 && self.stream.is_exhausted()
    }

    /// Whether there is a row; there is none at the end, or when a changefeed has no more for now.
    fn load(&mut self, env: &Env, batch: &BatchSpec) -> Result<bool> {
        if self.rows.len() == 0 && !self.stream.is_exhausted() {
            self.rows = self.stream.next_batch(env, batch)?.into_iter();
        }
        Ok(self.rows.len() > 0)
    }
}

impl Zip {
    /// Calls the function with a row of each stream; `at` is the term to blame.
    pub fn new(streams: Vec<BoxStream>, func: Func, at: NodeId) -> Self {
        let side = |stream| Side { stream, rows: Vec::new().into_iter() };
        Zip { streams: streams.into_iter().map(side).collect(), func, at }
    }

    fn fill(&mut self, env: &Env, batch: &BatchSpec, out: &mut Vec<Datum>) -> Result<()> {
        let mut budget = Budget::new(batch);
        let mut args = Vec::with_capacity(self.streams.len());
        while !budget.is_spent() && !self.is_exhausted() {
            // No row is taken before each stream has one, so that none is lost.
            for side in &mut self.streams {
                if !side.load(env, &budget.rest().in_turn().kept())? {
                    return Ok(());
                }
            }
            args.clear();
            args.extend(self.streams.iter_mut().filter_map(|side| side.rows.next()));
            let row = self.func.call_datum(env, &args)?;
            budget.take(&row);
            out.push(row);
            env.check_interrupt()?;
        }
        Ok(())
    }
}

impl Stream for Zip {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut out = Vec::new();
        self.fill(env, batch, &mut out).map_err(|error| error.at(self.at))?;
        Ok(out)
    }

    fn is_exhausted(&self) -> bool {
        self.streams.iter().any(Side::is_exhausted)
    }

    fn let_go(&mut self) {
        for side in &mut self.streams {
            side.stream.let_go();
        }
    }

    fn asks_tables(&self) -> bool {
        self.streams.iter().any(|side| side.stream.asks_tables())
    }

    fn blame(&mut self, at: NodeId) {
        self.at = at;
    }

    fn is_array(&self) -> bool {
        self.streams.iter().all(|side| side.stream.is_array())
    }

    fn is_infinite(&self) -> bool {
        self.streams.iter().all(|side| side.stream.is_infinite())
    }

    fn feed(&self) -> Option<Feed> {
        self.streams.iter().find_map(|side| side.stream.feed())
    }
}
