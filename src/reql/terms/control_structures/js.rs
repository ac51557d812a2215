//! `r.js(script, {timeout})`: a script's value, or the function it evaluates to.
//! Knows what a failed script means to a query; nothing of the engine that runs it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::limits;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::facts::{Cost, Determinism};
use crate::reql::function::{Func, NativeFunc};
use crate::reql::js::{Job, Outcome, ScriptError};
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::value::{Val, ValKind};

pub static JAVASCRIPT: TermSpec = TermSpec {
    options: &["timeout"],
    determinism: Determinism::No,
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::Javascript,
        "JAVASCRIPT",
        Chapter::ControlStructures,
        Arity::exactly(1),
        eval,
    )
};

fn eval(args: &Args<'_>) -> Result<Val> {
    if args.env.context.scripts.are_off() {
        return Err(Error::op_failed("Scripts are switched off on this server (`--no-scripts`)."));
    }
    let timeout = match args.optarg("timeout")? {
        // The conversion keeps to the bounds: nothing is less than 0 or more than the largest number.
        Some(seconds) => (seconds.number(args.env)? * 1000.0) as u64,
        None => limits::SCRIPT_TIMEOUT_MILLISECONDS,
    };
    let source = args.datum(0)?.as_str()?.clone();
    let script = Script { source, timeout };
    match script.run(args.env, None)? {
        Outcome::Value(datum) => args.value(datum),
        Outcome::Function => args.val(ValKind::Func(Func::native(Arc::new(script), args.node.id))),
    }
}

/// A script, and how long a run of it or a call of its function may take as it was asked for, in milliseconds.
#[derive(Debug)]
struct Script {
    source: Arc<str>,
    timeout: u64,
}

impl NativeFunc for Script {
    fn call(&self, env: &Env, args: &[Datum]) -> Result<Datum> {
        match self.run(env, Some(args.to_vec()))? {
            Outcome::Value(datum) => Ok(datum),
            Outcome::Function => Err(Error::internal("A script's function gave a function.")),
        }
    }

    fn source(&self) -> String {
        format!("javascript timeout={}ms, source={}", self.timeout, self.source)
    }
}

impl Script {
    /// How long it may run, in milliseconds.
    fn timeout(&self) -> u64 {
        self.timeout.min(limits::SCRIPT_TIMEOUT_MAX_MILLISECONDS)
    }

    fn run(&self, env: &Env, args: Option<Vec<Datum>>) -> Result<Outcome> {
        if !env.may_wait() {
            return Err(Error::new(ErrorKind::NotResident, "A script does not run inline."));
        }
        let own = Instant::now().checked_add(Duration::from_millis(self.timeout()));
        let deadline =
            [own, env.deadline().map(|deadline| deadline.at())].into_iter().flatten().min();
        let job =
            Job { source: self.source.clone(), args, array_limit: env.array_limit(), deadline };
        let outcome = env.run_script(job).map_err(|error| self.explain(env, error))?;
        if let Outcome::Value(value) = &outcome {
            // The thread that waits for the script has made it.
            env.receive(value.approximate_size())?;
        }
        Ok(outcome)
    }

    fn explain(&self, env: &Env, error: ScriptError) -> Error {
        let source = &self.source;
        match error {
            ScriptError::Failed(text) => Error::logic(text),
            // RethinkDB finds it where the script runs, and reports what happens there as faults of the query's logic.
            ScriptError::ArrayTooLong(len) => match env.check_array_size(len) {
                Err(error) => Error::logic(error.message()),
                Ok(()) => Error::internal("An array is over the limit and is not."),
            },
            ScriptError::Interrupted => match env.check_interrupt_now() {
                Err(error) => error,
                Ok(()) => Error::logic(format!(
                    "JavaScript query `{source}` timed out after {}.{:03} seconds.",
                    self.timeout() / 1000,
                    self.timeout() % 1000
                )),
            },
            ScriptError::OutOfMemory => Error::resource_limit(format!(
                "JavaScript query `{source}` needs more than {} megabytes of memory.",
                limits::SCRIPT_MEMORY_BYTES / (1024 * 1024)
            )),
            ScriptError::Busy => Error::resource_limit(format!(
                "The server runs {} JavaScript queries already, and none of them ended in time.",
                limits::SCRIPT_HELPERS
            )),
            ScriptError::NotStarted(problem) => {
                Error::resource_limit(format!("The script could not be run: {problem}."))
            }
            ScriptError::Crashed => Error::internal(format!(
                "Javascript query `{source}` caused a crash in a worker process."
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::reql::error::ErrorKind;
    use crate::reql::terms::testing::{check, check_compile_error, check_error};

    #[test]
    fn scripts_give_values_and_functions() {
        check(r#"[11,["1 + 1"]]"#, "2");
        check(r#"[38,[[2,[1,2,3]],[11,["(function(x) { return x * x })"]]]]"#, "[1,4,9]");
        check(r#"[38,[[2,["a","b"]],[69,[[2,[1]],[11,["var s = 'x'; s"]]]]]]"#, r#"["x","x"]"#);
    }

    #[test]
    fn faults_are_told_as_recorded() {
        let logic = ErrorKind::Logic;
        let text = "JavaScript query `while (true) {}` timed out after 0.200 seconds.";
        check_error(r#"[11,["while (true) {}"],{"timeout":0.2}]"#, logic, text, "[]");
        let text = "Expected type NUMBER but found STRING.";
        check_error(r#"[11,["1"],{"timeout":"x"}]"#, logic, text, r#"["timeout"]"#);
        check_error("[11,[5]]", logic, "Expected type STRING but found NUMBER.", "[]");
        check_error(r#"[11,["throw 5"]]"#, logic, "5", "[]");
        let text = "Query result must be of type DATUM, GROUPED_DATA, or STREAM (got FUNCTION).";
        check_error(r#"[11,["(function() {})"]]"#, logic, text, "[]");
        let text = "TypeError: cannot read property 'a' of undefined";
        let query = r#"[38,[[2,[{}]],[11,["(function(x) { return x.a.a })"]]]]"#;
        check_error(query, logic, text, "[1]");
        let text = "Unrecognized optional argument `bogus`.";
        check_compile_error(r#"[11,["1"],{"bogus":1}]"#, text, r#"["bogus"]"#);
    }

    #[test]
    fn a_bomb_is_a_resource_error() {
        let query = r#"[11,["var a = []; while (true) a.push({});"]]"#;
        let text = "JavaScript query `var a = []; while (true) a.push({});` needs more than 64 megabytes of memory.";
        check_error(query, ErrorKind::ResourceLimit, text, "[]");
    }

    #[test]
    fn no_time_is_too_little() {
        let text = "JavaScript query `1` timed out after 0.000 seconds.";
        check_error(r#"[11,["1"],{"timeout":-1}]"#, ErrorKind::Logic, text, "[]");
    }

    #[test]
    fn a_time_without_bound_has_one() {
        let script = |timeout| super::Script { source: "1".into(), timeout };
        assert_eq!(script(250).timeout(), 250);
        for timeout in [1_000_000_000, u64::MAX] {
            assert_eq!(script(timeout).timeout(), crate::limits::SCRIPT_TIMEOUT_MAX_MILLISECONDS);
        }
        check(r#"[11,["1 + 1"],{"timeout":1e300}]"#, "2");
    }

    #[test]
    fn info_shows_the_script_of_a_function() {
        check(
            r#"[79,[[11,["(function(x) { return x })"],{"timeout":1.5}]]]"#,
            r#"{"type":"FUNCTION","source_code":"javascript timeout=1500ms, source=(function(x) { return x })"}"#,
        );
    }
}
