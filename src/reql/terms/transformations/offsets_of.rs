//! `offsetsOf`: the positions of elements that equal a value or satisfy a function.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{BatchSpec, BoxStream, Stream};
use crate::reql::terms::aggregation::Wanted;
use crate::reql::value::Val;

pub static OFFSETS_OF: TermSpec = TermSpec {
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::OffsetsOf,
        "OFFSETS_OF",
        Chapter::Transformations,
        Arity::exactly(2),
        offsets_of,
    )
};

fn offsets_of(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let wanted = Wanted::of(args.arg(1)?, args.env)?;
    let source = first.into_stream(args.env)?;
    args.stream_value(Box::new(Offsets { source, wanted, position: 0, at: args.node.id }))
}

/// The positions of wanted rows.
#[derive(Debug)]
struct Offsets {
    source: BoxStream,
    wanted: Wanted,
    position: u64,
    at: NodeId,
}

impl Stream for Offsets {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut out = Vec::new();
        loop {
            let rows = self.source.next_batch(env, batch)?;
            let waiting = rows.is_empty();
            for row in rows {
                if self.wanted.matches(env, &row).map_err(|error| error.at(self.at))? {
                    out.push(Datum::Number(self.position as f64));
                }
                self.position += 1;
            }
            if !out.is_empty() || self.source.is_exhausted() || waiting {
                return Ok(out);
            }
            env.check_interrupt()?;
        }
    }

    fn is_exhausted(&self) -> bool {
        self.source.is_exhausted()
    }

    fn let_go(&mut self) {
        self.source.let_go();
    }

    fn source(&self) -> Option<&dyn Stream> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::terms::testing::check;

    #[test]
    fn values_and_functions() {
        check("[87,[[2,[1,2,1]],1]]", "[0,2]");
        check("[87,[[173,[5]],[69,[[2,[1]],[21,[[10,[1]],2]]]]]]", "[3,4]");
        check("[71,[[87,[[173,[]],1000]],1]]", "[1000]");
    }
}
