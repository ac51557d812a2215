//! The scripts of one query: an engine with its limits, a fresh context for each script, the functions that scripts gave.
//!
//! Knows the engine and `convert`; nothing of who waits. Whatever a script leaves behind in its context goes with the
//! context, and everything goes with the engine: no query sees what another one did.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rquickjs::context::EvalOptions;
use rquickjs::function::Args;
use rquickjs::{Coerced, Context, Ctx, Function, Persistent, Runtime, Value};

use super::convert::{Fault, FromScript, to_script};
use super::{Job, Outcome, ScriptError};
use crate::datum::Datum;
use crate::limits;

/// When the running script must end. Asked by the engine every few thousand steps.
pub(super) struct Clock {
    deadline: Cell<Option<Instant>>,
    over: Cell<bool>,
}

impl Clock {
    fn start(&self, deadline: Option<Instant>) {
        self.deadline.set(deadline);
        self.over.set(false);
    }

    /// Whether the script must end. Stays so until the next one starts.
    pub(super) fn is_over(&self) -> bool {
        let over = self.over.get() || self.deadline.get().is_some_and(|end| Instant::now() >= end);
        self.over.set(over);
        over
    }
}

/// Runs the scripts of one query.
pub(super) struct Engine {
    functions: Vec<Held>,
    runtime: Runtime,
    clock: Rc<Clock>,
}

/// A function that a script gave. The order of the fields matters: the function must go before its context.
struct Held {
    source: Arc<str>,
    function: Persistent<Function<'static>>,
    context: Context,
}

enum Evaluated {
    Value(Datum),
    Function(Persistent<Function<'static>>),
}

impl Engine {
    /// An engine in which nothing has run yet.
    pub(super) fn new() -> rquickjs::Result<Engine> {
        let runtime = Runtime::new()?;
        runtime.set_memory_limit(limits::SCRIPT_MEMORY_BYTES);
        runtime.set_max_stack_size(limits::SCRIPT_STACK_BYTES);
        let clock = Rc::new(Clock { deadline: Cell::new(None), over: Cell::new(false) });
        let asked = clock.clone();
        runtime.set_interrupt_handler(Some(Box::new(move || asked.is_over())));
        Ok(Engine { functions: Vec::new(), runtime, clock })
    }

    /// Runs a script, or calls the function it evaluates to.
    pub(super) fn run(&mut self, job: &Job) -> Result<Outcome, ScriptError> {
        self.clock.start(job.deadline);
        let outcome = self.function_at(job).and_then(|at| match (&job.args, at) {
            (None, Some(_)) => Ok(Outcome::Function),
            (Some(args), Some(at)) => self.call(at, args, job.array_limit).map(Outcome::Value),
            (_, None) => self.evaluate(job),
        })?;
        // Too late is too late, even for a script that never came to be asked.
        if self.clock.is_over() { Err(ScriptError::Interrupted) } else { Ok(outcome) }
    }

    /// Where the script's function is, when the script was run before and gave one. Runs it if its function is needed.
    fn function_at(&mut self, job: &Job) -> Result<Option<usize>, ScriptError> {
        let find = |functions: &[Held]| functions.iter().position(|held| held.source == job.source);
        let at = find(&self.functions);
        if at.is_some() || job.args.is_none() {
            return Ok(at);
        }
        match self.evaluate(job)? {
            Outcome::Function => Ok(find(&self.functions)),
            Outcome::Value(_) => {
                Err(ScriptError::Failed("The script gives a function no more.".to_owned()))
            }
        }
    }

    fn evaluate(&mut self, job: &Job) -> Result<Outcome, ScriptError> {
        let context = self.context()?;
        let evaluated = context
            .with(|ctx| self.evaluate_in(&ctx, job).map_err(|fault| self.explain(&ctx, fault)))
            .map_err(|error| self.blame_memory(error))?;
        match evaluated {
            Evaluated::Value(datum) => Ok(Outcome::Value(datum)),
            Evaluated::Function(function) => {
                if self.functions.len() >= limits::SCRIPT_FUNCTIONS {
                    self.functions.remove(0);
                }
                self.functions.push(Held { source: job.source.clone(), function, context });
                Ok(Outcome::Function)
            }
        }
    }

    fn evaluate_in<'js>(&self, ctx: &Ctx<'js>, job: &Job) -> Result<Evaluated, Fault> {
        let mut options = EvalOptions::default();
        options.strict = false;
        let value: Value<'js> = ctx.eval_with_options(&*job.source, options)?;
        match value.try_into_function() {
            Ok(function) => Ok(Evaluated::Function(Persistent::save(ctx, function))),
            Err(value) => self.result(ctx, &value, job.array_limit).map(Evaluated::Value),
        }
    }

    fn call(&self, at: usize, args: &[Datum], array_limit: usize) -> Result<Datum, ScriptError> {
        let Some(held) = self.functions.get(at) else {
            return Err(ScriptError::Crashed);
        };
        held.context
            .with(|ctx| {
                self.call_in(&ctx, held, args, array_limit)
                    .map_err(|fault| self.explain(&ctx, fault))
            })
            .map_err(|error| self.blame_memory(error))
    }

    fn call_in<'js>(
        &self,
        ctx: &Ctx<'js>,
        held: &Held,
        args: &[Datum],
        array_limit: usize,
    ) -> Result<Datum, Fault> {
        let function = held.function.clone().restore(ctx)?;
        let mut passed = Args::new_unsized(ctx.clone());
        for arg in args {
            passed.push_arg(to_script(ctx, arg)?)?;
        }
        let value: Value<'js> = function.call_arg(passed)?;
        if value.is_function() {
            let text = "Returning functions from within `r.js` is unsupported.";
            return Err(Fault::Text(text.to_owned()));
        }
        self.result(ctx, &value, array_limit)
    }

    fn result<'js>(
        &self,
        ctx: &Ctx<'js>,
        value: &Value<'js>,
        array_limit: usize,
    ) -> Result<Datum, Fault> {
        FromScript::new(ctx, &self.clock, array_limit)?.datum(value)
    }

    /// A context in which nothing has run yet.
    fn context(&self) -> Result<Context, ScriptError> {
        Context::full(&self.runtime)
            .or_else(|_| {
                // Earlier contexts may still wait to be collected.
                self.runtime.run_gc();
                Context::full(&self.runtime)
            })
            .map_err(|_| ScriptError::OutOfMemory)
    }

    fn explain(&self, ctx: &Ctx<'_>, fault: Fault) -> ScriptError {
        let error = match fault {
            Fault::Late => return ScriptError::Interrupted,
            Fault::ArrayTooLong(len) => return ScriptError::ArrayTooLong(len),
            Fault::Text(text) => return ScriptError::Failed(text),
            Fault::Engine(error) => error,
        };
        match error {
            rquickjs::Error::Exception => self.explain_thrown(ctx),
            rquickjs::Error::Allocation => ScriptError::OutOfMemory,
            rquickjs::Error::InvalidString(_) => {
                ScriptError::Failed("The script contains a zero byte.".to_owned())
            }
            rquickjs::Error::Utf8(_) => {
                ScriptError::Failed("A string of the script is not valid Unicode.".to_owned())
            }
            other => ScriptError::Failed(other.to_string()),
        }
    }

    /// The thrown value as text, without a prefix: `Error: boom`, `5`.
    fn explain_thrown(&self, ctx: &Ctx<'_>) -> ScriptError {
        let thrown = ctx.catch();
        if self.clock.over.get() {
            return ScriptError::Interrupted;
        }
        let text = thrown.get::<Coerced<String>>();
        if self.clock.over.get() {
            return ScriptError::Interrupted;
        }
        match text {
            Ok(Coerced(text)) if text == OUT_OF_MEMORY => ScriptError::OutOfMemory,
            Ok(Coerced(text)) => ScriptError::Failed(text),
            Err(_) => {
                ctx.catch();
                ScriptError::Failed("The script failed, and so does the text of its error.".into())
            }
        }
    }

    /// When memory is so short that the engine cannot make an error, it throws null.
    fn blame_memory(&self, error: ScriptError) -> ScriptError {
        let full = || {
            let used = self.runtime.memory_usage().malloc_size;
            usize::try_from(used).is_ok_and(|used| used > limits::SCRIPT_MEMORY_BYTES / 2)
        };
        match error {
            ScriptError::Failed(text) if text == "null" && full() => ScriptError::OutOfMemory,
            other => other,
        }
    }
}

/// What the engine throws when memory is short and just enough of it is left to say so.
const OUT_OF_MEMORY: &str = "InternalError: out of memory";
