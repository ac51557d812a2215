//! What a child does: one step of a workload on one store, and prints what it measured. Must not know other engines'
//! figures.

mod beyond;
mod count;
mod load;
mod put;
mod read;
mod reclaim;
mod stall;
mod start;

pub use start::READY;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Error;
use crate::arguments::{Arguments, Role};
use crate::data::Data;
use crate::line::Lines;
use crate::stores::{Engine, Store};

/// What a child was told.
pub struct Task {
    arguments: Arguments,
    engine: Engine,
    store: PathBuf,
    data: Data,
}

impl Task {
    /// From the arguments of a child.
    pub fn new(arguments: &Arguments) -> Result<Self, Error> {
        let engine = *arguments.engines.first().ok_or("a child needs an engine")?;
        let store = arguments.store.clone().ok_or("a child needs a directory")?;
        let value_bytes = *arguments.value_bytes.first().ok_or("a child needs a length")?;
        let data = Data::new(arguments.values, value_bytes);
        Ok(Self { arguments: arguments.clone(), engine, store, data })
    }

    /// Does it.
    pub fn run(&self, role: Role) -> Result<(), Error> {
        end_with_parent();
        match role {
            Role::Load => load::bulk(self),
            Role::RandomLoad => load::random(self),
            Role::Read => read::cached(self),
            Role::Scan => read::scan(self),
            Role::Beyond => beyond::beyond(self),
            Role::Put => put::put(self),
            Role::Count => count::count(self),
            Role::RecoverWrite => start::write(self),
            Role::RecoverOpen => start::recover(self),
            Role::Open => start::open(self),
            Role::Reclaim => reclaim::reclaim(self),
            Role::Stall => stall::stall(self),
        }
    }

    fn directory(&self) -> &Path {
        &self.store
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs_f64(self.arguments.seconds)
    }

    /// Bytes of the cache that everything fits in.
    fn cache_bytes(&self) -> usize {
        self.arguments.cache << 20
    }

    fn open(&self, cache_bytes: usize) -> Result<Box<dyn Store>, Error> {
        self.engine.open(&self.store, cache_bytes)
    }

    fn lines(&self, workload: &str) -> Lines {
        Lines::new(workload, self.engine, self.data.value_bytes())
    }
}

/// Ends this process when its parent has ended: nothing is ever written to its input, but it is closed then.
fn end_with_parent() {
    std::thread::spawn(|| {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        std::process::exit(1);
    });
}

fn rate(things: u64, time: Duration) -> f64 {
    things as f64 / time.as_secs_f64()
}
