//! Scripts against their limits: what they give, what stops them, what they cannot see.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;

const SOON: Duration = Duration::from_millis(300);

struct Query {
    host: Arc<ScriptHost>,
    cancel: CancelFlag,
    scripts: Scripts,
}

impl Query {
    fn new() -> Query {
        Query::on(&Arc::default())
    }

    fn on(host: &Arc<ScriptHost>) -> Query {
        Query { host: host.clone(), cancel: CancelFlag::default(), scripts: Scripts::default() }
    }

    fn job(&self, source: &str, args: Option<Vec<Datum>>, time: Duration) -> Job {
        let deadline = Some(Instant::now() + time);
        Job { source: source.into(), args, array_limit: 1_000, deadline }
    }

    fn run_for(&self, source: &str, time: Duration) -> Result<Outcome, ScriptError> {
        self.scripts.run(&self.host, &Asker::nobody(), &self.cancel, self.job(source, None, time))
    }

    fn run(&self, source: &str) -> Result<Outcome, ScriptError> {
        self.run_for(source, Duration::from_secs(20))
    }

    fn call(&self, source: &str, args: &[Datum]) -> Result<String, ScriptError> {
        let job = self.job(source, Some(args.to_vec()), Duration::from_secs(20));
        match self.scripts.run(&self.host, &Asker::nobody(), &self.cancel, job)? {
            Outcome::Value(value) => Ok(value.to_json()),
            Outcome::Function => panic!("a call gives a value"),
        }
    }

    fn value(&self, source: &str) -> String {
        match self.run(source) {
            Ok(Outcome::Value(value)) => value.to_json(),
            other => panic!("{source}: {other:?}"),
        }
    }

    fn failure(&self, source: &str) -> String {
        match self.run(source) {
            Err(ScriptError::Failed(text)) => text,
            other => panic!("{source}: {other:?}"),
        }
    }

    /// Runs it for a short while; tells what stopped it, and checks that it came back about in time.
    fn stopped(&self, source: &str) -> ScriptError {
        let start = Instant::now();
        let error = self.run_for(source, SOON).expect_err("it does not end by itself");
        assert!(start.elapsed() < SOON + Duration::from_secs(5), "{:?}", start.elapsed());
        error
    }
}

#[test]
fn values_come_out_as_json_would_have_them() {
    let query = Query::new();
    assert_eq!(
        query.value("[1, 'x', null, {b: true, a: [-0.5]}]"),
        r#"[1,"x",null,{"a":[-0.5],"b":true}]"#
    );
    assert_eq!(query.value("'\\u00e9' + '\\0' + '\\ud83d\\ude00'"), "\"é\\u0000😀\"");
    assert_eq!(query.value("2**53"), "9007199254740992");
    let time = r#"{"$reql_type$":"TIME","epoch_time":1375147296.681,"timezone":"+00:00"}"#;
    assert_eq!(query.value("new Date(1375147296681)"), time);
    assert_eq!(
        query.value("({['__proto__']: 1, 10: 2, [Symbol('s')]: 3})"),
        r#"{"10":2,"__proto__":1}"#
    );
    assert_eq!(query.value("x = 5; x + 1"), "6");
}

#[test]
fn what_is_no_value_is_refused() {
    let query = Query::new();
    let refused = [
        ("", "Cannot convert javascript `undefined` to ql::datum_t."),
        ("[undefined]", "Cannot convert javascript `undefined` to ql::datum_t."),
        ("0/0", "Number return value is not finite."),
        ("/re/", "Cannot convert RegExp to ql::datum_t."),
        ("[function() {}]", "Cannot convert function to ql::datum_t."),
        ("Symbol()", "Unhandled value type when converting to ql::datum_t."),
        ("10n", "Unhandled value type when converting to ql::datum_t."),
        ("'\\ud800'", "A string of the script is not valid Unicode."),
        (
            "let a = []; a.push(a); a",
            "Recursion limit exceeded in js_to_json (circular reference?).",
        ),
        ("({get a() { throw 'no' }})", "no"),
        ("throw new Error('boom')", "Error: boom"),
        ("throw null", "null"),
        ("throw {toString() { throw 1 }}", "The script failed, and so does the text of its error."),
        ("syntax error here", "SyntaxError: expecting ';'"),
    ];
    for (source, text) in refused {
        assert_eq!(query.failure(source), text, "{source}");
    }
    let long = query.run("new Array(1001)");
    assert_eq!(long.err(), Some(ScriptError::ArrayTooLong(1001)));
}

#[test]
fn functions_are_called_with_values() {
    let query = Query::new();
    assert!(matches!(query.run("(function(a, b) { return a + b })"), Ok(Outcome::Function)));
    let sum = query.call("(function(a, b) { return a + b })", &[Datum::Number(1.0), "x".into()]);
    assert_eq!(sum, Ok("\"1x\"".to_owned()));
    let same = "(function(x) { return x })";
    let nested = Datum::object([
        ("__proto__", Datum::array(vec![Datum::Null, Datum::Bool(true), Datum::Number(-0.0)])),
        ("é", Datum::Number(1.5)),
    ]);
    assert_eq!(query.call(same, std::slice::from_ref(&nested)), Ok(nested.to_json()));
    let bytes = Datum::Binary(Arc::from(&b"abc"[..]));
    let text = "`r.binary` data cannot be used in `r.js`.".to_owned();
    assert_eq!(query.call(same, &[Datum::array(vec![bytes])]), Err(ScriptError::Failed(text)));
    let text = "Returning functions from within `r.js` is unsupported.".to_owned();
    assert_eq!(query.call("(() => () => 1)", &[]), Err(ScriptError::Failed(text)));
    // The thread is given back between batches; the function is made again.
    query.scripts.release();
    assert_eq!(query.call(same, &[Datum::Number(3.0)]), Ok("3".to_owned()));
}

#[test]
fn deep_values_pass_up_to_the_bound() {
    let query = Query::new();
    let deep =
        (1..limits::SCRIPT_VALUE_DEPTH).fold(Datum::Null, |inner, _| Datum::array(vec![inner]));
    assert_eq!(query.call("(x => x)", std::slice::from_ref(&deep)), Ok(deep.to_json()));
    let text = "The value is nested too deep for `r.js`.".to_owned();
    assert_eq!(query.call("(x => 1)", &[Datum::array(vec![deep])]), Err(ScriptError::Failed(text)));
}

#[test]
fn runaway_scripts_end() {
    let query = Query::new();
    let endless = [
        "while (true) {}",
        "for (;;) { try { while (true) {} } catch (e) {} }",
        "/(a*)*b/.exec('a'.repeat(100))",
        "({toString() { while (true) {} }}) + ''",
        "throw {toString() { while (true) {} }}",
        "({get a() { while (true) {} }})",
        "new Proxy({}, {ownKeys() { while (true) {} }})",
        // Built-in loops that the engine does not interrupt: the process is killed.
        "let s = 'a'.repeat(2e5); (s + s).indexOf(s + 'b')",
        "Array.prototype.copyWithin.call({length: 2 ** 53 - 1}, 1, 0)",
        "Array.prototype.reverse.call({length: 2 ** 53 - 1})",
    ];
    for source in endless {
        assert_eq!(query.stopped(source), ScriptError::Interrupted, "{source}");
        assert_eq!(query.value("1 + 1"), "2", "after {source}");
    }
}

#[test]
fn a_cancelled_query_stops_its_script() {
    let query = Query::new();
    let cancel = query.cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        cancel.cancel();
    });
    let start = Instant::now();
    assert_eq!(query.run("while (true) {}").err(), Some(ScriptError::Interrupted));
    assert!(start.elapsed() < Duration::from_secs(5));
    stopper.join().expect("the stopper ends");
}

#[test]
fn memory_bombs_and_deep_recursion_end() {
    let query = Query::new();
    let bombs = [
        "let a = []; while (true) a.push('x'.repeat(1000) + a.length)",
        "let s = 'x'; while (true) s += s",
        "new ArrayBuffer(1e9)",
        "let m = new Map(); for (let i = 0; ; i++) m.set(i, {i})",
        "new Uint8Array(2e9).fill(1).length",
    ];
    for source in bombs {
        match query.run(source) {
            Err(ScriptError::OutOfMemory | ScriptError::Failed(_)) => {}
            other => panic!("{source}: {other:?}"),
        }
        assert_eq!(query.value("1 + 1"), "2", "after {source}");
    }
    assert_eq!(
        query.failure("function f() { return f() } f()"),
        "RangeError: Maximum call stack size exceeded"
    );
    let deep = "let f = '['.repeat(1e5) + ']'.repeat(1e5); JSON.parse(f)";
    assert!(query.failure(deep).contains("stack"), "{}", query.failure(deep));
    // Small in the engine, because shared; huge as a value.
    let shared = "let a = 1; for (let i = 0; i < 9; i++) a = new Array(50).fill(a); a";
    assert_eq!(query.failure(shared), "The result of the script is too large.");
}

#[test]
fn scripts_see_nothing_but_the_language_and_leave_nothing_behind() {
    let query = Query::new();
    for name in ["r", "require", "process", "print", "console", "std", "os", "fetch", "setTimeout"]
    {
        assert_eq!(query.value(&format!("typeof {name}")), "\"undefined\"", "{name}");
    }
    assert!(query.failure("import x from 'fs'").starts_with("SyntaxError"));
    // A module is asked for and none comes: the promise is an object without fields.
    assert_eq!(query.value("import('/etc/passwd')"), "{}");
    assert_eq!(query.value("leak = 1; Array.prototype.push = 2; leak"), "1");
    assert_eq!(query.value("typeof leak + typeof [].push"), "\"undefinedfunction\"");
    let next = Query::on(&query.host);
    assert_eq!(next.value("typeof leak + typeof [].push"), "\"undefinedfunction\"");
    assert_eq!(next.value("let twice = 1; twice"), "1");
    assert_eq!(next.value("let twice = 2; twice"), "2");
}

#[test]
fn helpers_are_given_back_with_their_queries() {
    let query = Query::new();
    assert_eq!(query.value("1"), "1");
    assert_eq!(query.host.helpers(), 1);
    let host = query.host.clone();
    drop(query);
    let start = Instant::now();
    while host.helpers() > 0 {
        assert!(start.elapsed() < Duration::from_secs(5), "the helper is not given back");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the binary of the tests does when it is started as a helper by the other tests.
#[test]
fn this_binary_is_a_helper_when_asked_to_be() {
    if std::env::var_os(helper::IN_TESTS).is_some() {
        serve_helper();
        return;
    }
    let mut helper = Helper::start().unwrap();
    let job = Job { source: "1 + 1".into(), args: None, array_limit: 1, deadline: None };
    let answer = helper.run(&wire::write_job(&job).unwrap());
    assert!(matches!(answer, Ok(Outcome::Value(Datum::Number(2.0)))), "{answer:?}");
}

#[test]
fn scripts_that_cannot_be_interrupted_take_no_helper_for_good() {
    let host = Arc::new(ScriptHost::default());
    let stuck = "Array.prototype.copyWithin.call({length: 2 ** 53 - 1}, 1, 0)";
    for _ in 0..limits::SCRIPT_HELPERS + 1 {
        let query = Query::on(&host);
        let ended = query.run_for(stuck, Duration::from_millis(10)).err();
        assert_eq!(ended, Some(ScriptError::Interrupted));
    }
    assert_eq!(Query::on(&host).value("1 + 1"), "2");
}

#[test]
fn a_stopped_query_kills_a_script_that_cannot_be_interrupted() {
    let query = Query::new();
    assert_eq!(query.value("1"), "1");
    let cancel = query.cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
        Instant::now()
    });
    let stuck = "Array.prototype.copyWithin.call({length: 2 ** 53 - 1}, 1, 0)";
    assert_eq!(query.run(stuck).err(), Some(ScriptError::Interrupted));
    let took = stopper.join().unwrap().elapsed();
    assert!(took < Duration::from_millis(200), "{took:?}");
}

/// As an operator, or a system without memory, would.
fn kill(id: u32) {
    let pid = rustix::process::Pid::from_raw(id as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_helper_that_is_killed_fails_its_script_and_not_the_next() {
    let query = Query::new();
    assert_eq!(query.value("1 + 1"), "2");
    let leash = query.scripts.thread.borrow().as_ref().unwrap().leash.clone();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(SOON);
        kill(leash.id().unwrap());
    });
    let start = Instant::now();
    assert_eq!(query.run("while (true) {}").err(), Some(ScriptError::Crashed));
    assert!(start.elapsed() < SOON + Duration::from_secs(5), "{:?}", start.elapsed());
    killer.join().unwrap();
    assert_eq!(query.value("2 + 2"), "4");
}

#[test]
fn a_helper_that_was_killed_while_nobody_used_it_is_not_used_again() {
    let host = Arc::new(ScriptHost::default());
    let first = Query::on(&host);
    assert_eq!(first.value("1 + 1"), "2");
    first.scripts.release();
    let start = Instant::now();
    while host.kept_ids().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::yield_now();
    }
    let killed = host.kept_ids();
    killed.iter().copied().for_each(kill);
    std::thread::sleep(SOON);
    let second = Query::on(&host);
    assert_eq!(second.value("2 + 2"), "4");
    let used = second.scripts.thread.borrow().as_ref().unwrap().leash.id().unwrap();
    assert!(!killed.contains(&used));
}

#[test]
fn a_helper_gives_way_to_the_server() {
    use rustix::process::{Pid, getpid, getpriority_process};
    let query = Query::new();
    assert_eq!(query.value("1 + 1"), "2");
    let id = query.scripts.thread.borrow().as_ref().unwrap().leash.id().unwrap();
    let own = getpriority_process(Some(getpid())).unwrap();
    // In tests the helper begins on a thread that the test runner made.
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
    let threads =
        threads.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
    let lowest = threads.map(|thread| getpriority_process(Pid::from_raw(thread)).unwrap()).max();
    assert_eq!(lowest, Some((own + limits::BACKGROUND_NICENESS).min(19)));
}

#[test]
fn a_helper_that_cannot_be_started_is_told_with_its_cause() {
    let (host, cancel) = (ScriptHost::default(), CancelFlag::default());
    let query = Query::new();
    let out_of_files = || Err(io::Error::from_raw_os_error(24));
    // Whether the thread has ended when the job comes, or not.
    for pause in [0, 50] {
        let thread =
            Thread::start_with(&host, &Asker::nobody(), &cancel, None, out_of_files).unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        let job = wire::write_job(&query.job("1", None, Duration::from_secs(20))).unwrap();
        let error = thread.run(&cancel, None, job).err();
        let problem = "Too many open files (os error 24)".to_owned();
        assert_eq!(error, Some(ScriptError::NotStarted(problem)));
    }
}
