//! `fold`: a value carried from element to element, and what each step emits.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::function::{Func, Shortcut};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{
    BatchSpec, BoxStream, Budget, Origin, Stream, check_finite, for_each_batch, no_origin,
};
use crate::reql::value::Val;

use super::DepthWatch;

pub static FOLD: TermSpec = TermSpec {
    cost: Cost::Heavy,
    forbids_writes: true,
    options: &["emit", "final_emit"],
    ..TermSpec::pure(TermType::Fold, "FOLD", Chapter::Aggregation, Arity::exactly(3), fold)
};

fn fold(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let at = first.at;
    let stream = first.into_stream(args.env)?;
    let base = args.datum(1)?;
    let step = args.func(2, Shortcut::None)?;
    check_arity(&step, 2, "accumulator")?;
    let emit = emitter(args, "emit", 3)?;
    let final_emit = emitter(args, "final_emit", 1)?;
    if let Some(emit) = emit {
        let source = stream;
        let value = Some(base);
        let (at, watch) = (args.node.id, DepthWatch::default());
        let fold = Fold { source, value, watch, step, emit, final_emit, at };
        return args.stream_value(Box::new(fold));
    }
    check_finite(stream.as_ref()).map_err(|error| error.at(at))?;
    let mut value = base;
    let mut watch = DepthWatch::default();
    for_each_batch(stream, args.env, &BatchSpec::TERMINAL.in_turn(), |rows| {
        for row in rows {
            let carried = std::mem::replace(&mut value, Datum::Null);
            value = step.call_datum(args.env, &[carried, row])?;
            watch.step(&value)?;
        }
        Ok(())
    })?;
    // Without `emit` there is no stream: what `final_emit` gives is the answer as it is.
    match final_emit {
        Some(emit) => args.value(emit.call_datum(args.env, &[value])?),
        None => args.value(value),
    }
}

fn emitter(args: &Args<'_>, option: &'static str, arity: usize) -> Result<Option<Func>> {
    let Some(val) = args.optarg(option)? else { return Ok(None) };
    let func = val.into_func(Shortcut::None, args.env)?;
    check_arity(&func, arity, option)?;
    Ok(Some(func))
}

fn check_arity(func: &Func, arity: usize, name: &str) -> Result<()> {
    match func.arity() {
        Some(found) if found != 0 && found != arity => Err(Error::logic(format!(
            "The {name} function passed to `fold` should expect {arity} argument{}",
            if arity == 1 { "" } else { "s" }
        ))),
        _ => Ok(()),
    }
}

/// What the steps emit, and at the end what the last value gives.
#[derive(Debug)]
struct Fold {
    source: BoxStream,
    /// The value carried; none once the end was emitted.
    value: Option<Datum>,
    watch: DepthWatch,
    step: Func,
    emit: Func,
    final_emit: Option<Func>,
    at: NodeId,
}

impl Fold {
    fn fill(&mut self, env: &Env, batch: &BatchSpec, out: &mut Vec<Datum>) -> Result<()> {
        let mut budget = Budget::new(batch);
        while !budget.is_spent() && self.value.is_some() {
            if self.source.is_exhausted() {
                if let (Some(value), Some(emit)) = (self.value.take(), &self.final_emit) {
                    out.extend(emitted(env, emit, &[value])?);
                }
                break;
            }
            let part = budget.rest().at_most(limits::TRANSFORM_FIRST_ROWS).kept();
            let rows = self.source.next_batch(env, &part)?;
            if rows.is_empty() && self.source.feed().is_some() {
                break;
            }
            for row in rows {
                let Some(value) = self.value.take() else { break };
                let next = self.step.call_datum(env, &[value.clone(), row.clone()])?;
                self.watch.step(&next)?;
                for row in emitted(env, &self.emit, &[value, row, next.clone()])? {
                    budget.take(&row);
                    out.push(row);
                }
                self.value = Some(next);
            }
            env.check_interrupt()?;
        }
        Ok(())
    }
}

/// The rows that an emitting function gives: an array.
fn emitted(env: &Env, emit: &Func, args: &[Datum]) -> Result<Vec<Datum>> {
    let rows = emit.call_datum(env, args)?;
    Ok(rows.as_array()?.to_vec())
}

impl Stream for Fold {
    fn next_batch(&mut self, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
        let mut out = Vec::new();
        self.fill(env, batch, &mut out).map_err(|error| error.at(self.at))?;
        Ok(out)
    }

    fn is_exhausted(&self) -> bool {
        self.value.is_none()
    }

    fn let_go(&mut self) {
        self.source.let_go();
    }

    fn source(&self) -> Option<&dyn Stream> {
        Some(&*self.source)
    }

    /// What a step gives depends on all before it, which no change of a document can tell.
    fn origin(self: Box<Self>) -> Result<Origin> {
        Err(no_origin(true))
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    const SUM: &str = "[69,[[2,[1,2]],[24,[[10,[1]],[10,[2]]]]]]";

    #[test]
    fn carries_a_value() {
        check(&format!("[187,[[173,[4]],10,{SUM}]]"), "16");
        check(&format!("[187,[[2,[]],7,{SUM}]]"), "7");
    }

    #[test]
    fn a_value_that_only_gets_deeper_is_an_error() {
        let deeper = "[69,[[2,[1,2]],[2,[[10,[1]]]]]]";
        let message =
            "Value over nesting limit `5000`: each step adds levels to what the last one gave.";
        let error = |query: &str| check_error(query, ErrorKind::ResourceLimit, message, "[]");
        error(&format!("[187,[[173,[1000000]],null,{deeper}]]"));
        error(&format!("[37,[[173,[1000000]],{deeper}]]"));
        error(&format!(
            "[187,[[173,[1000000]],null,{deeper}],{{\"emit\":[69,[[2,[3,4,5]],[2,[]]]]}}]"
        ));
        check(&format!("[52,[[187,[[173,[4000]],null,{deeper}]]]]"), "\"ARRAY\"");
    }

    #[test]
    fn emits_along_the_way_and_at_the_end() {
        let each = "[69,[[2,[3,4,5]],[2,[[10,[5]]]]]]";
        let last = "[69,[[2,[6]],[2,[\"end\",[10,[6]]]]]]";
        check(
            &format!("[187,[[173,[4]],0,{SUM}],{{\"emit\":{each},\"final_emit\":{last}}}]"),
            "[0,1,3,6,\"end\",6]",
        );
        check(&format!("[71,[[187,[[173,[]],0,{SUM}],{{\"emit\":{each}}}],4]]"), "[0,1,3,6]");
        check_error(
            &format!("[187,[[2,[1]],0,{SUM}],{{\"emit\":[69,[[2,[3,4,5]],5]]}}]"),
            ErrorKind::Logic,
            "Expected type ARRAY but found NUMBER.",
            "[]",
        );
        check_error(
            "[187,[[2,[1]],0,[69,[[2,[1]],1]]]]",
            ErrorKind::Logic,
            "The accumulator function passed to `fold` should expect 2 arguments",
            "[]",
        );
    }

    #[test]
    fn final_emit_alone_gives_the_answer_itself() {
        let itself = "[69,[[2,[3]],[10,[3]]]]";
        check(&format!("[187,[[173,[0,10]],0,{SUM}],{{\"final_emit\":{itself}}}]"), "45");
        check(&format!("[187,[[2,[]],5,{SUM}],{{\"final_emit\":{itself}}}]"), "5");
    }

    #[test]
    fn a_fold_that_emits_is_an_eager_stream_to_changes() {
        let emit = "[69,[[2,[3,4,5]],[2,[[10,[5]]]]]]";
        check_error(
            &format!("[152,[[187,[[173,[0,3]],0,{SUM}],{{\"emit\":{emit}}}]]]"),
            ErrorKind::Logic,
            "Cannot call `changes` on an eager stream.",
            "[0]",
        );
    }
}
