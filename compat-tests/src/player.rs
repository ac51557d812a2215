//! Runs the steps of a script against a server, one connection a user and one a feed.
//! Must not know whether an answer is right: see `compare`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::script::{Script, Step};
use crate::wire::{
    Connection, Response, SUCCESS_PARTIAL, SUCCESS_SEQUENCE, WireError, kind, take_rows,
};

/// How long a feed may stay silent while rows are still owed.
const OWED: Duration = Duration::from_secs(5);
/// A feed that is silent for this long has nothing more to say.
const QUIET: Duration = Duration::from_millis(500);

/// Plays scripts one after another against one server.
pub struct Player {
    address: SocketAddr,
    connections: HashMap<(String, String), Connection>,
    feeds: HashMap<String, Feed>,
}

impl Player {
    /// A player that opens its connections when steps need them.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, connections: HashMap::new(), feeds: HashMap::new() }
    }

    /// Closes what the last script left open and drops what this one names.
    pub fn reset(&mut self, script: &Script) -> Result<(), WireError> {
        self.connections.clear();
        self.feeds.clear();
        for name in &script.dbs {
            self.run_as_admin(&json!([58, [name]]))?;
        }
        for user in &script.users {
            // r.db('rethinkdb').table('users').get(user).delete()
            self.run_as_admin(&json!([54, [[16, [[15, [[14, ["rethinkdb"]], "users"]], user]]]]))?;
        }
        Ok(())
    }

    /// The answer to one step, without its profile; `{"t": "broken"}` when the connection failed.
    pub fn play(&mut self, step: &Step) -> Response {
        let mut answer = self.answer(step).unwrap_or_else(|error| {
            self.connections.clear();
            object(json!({"t": "broken", "r": [error.to_string()]}))
        });
        answer.remove("p");
        answer
    }

    fn answer(&mut self, step: &Step) -> Result<Response, WireError> {
        let admin = ("admin".to_owned(), String::new());
        let user = step.user.as_ref().unwrap_or(&admin);
        if let Some(name) = &step.take {
            self.feed(name)?.take(step.count)
        } else if let Some(name) = &step.drain {
            self.feed(name)?.drain()
        } else if let Some(name) = &step.stop {
            let feed = self.feeds.remove(name);
            feed.ok_or_else(|| no_feed(name))?.stop()
        } else if let Some(name) = &step.feed {
            // a connection of its own, so that a pending CONTINUE holds up nothing else
            let connection = Connection::open(self.address, &user.0, &user.1)?;
            let (feed, first) = Feed::open(connection, step)?;
            self.feeds.insert(name.clone(), feed);
            Ok(first)
        } else {
            let term = term(step)?;
            if term.get().contains(NOW) {
                std::thread::sleep(CLOCK_STEP);
            }
            self.connection(user)?.run(term, options(step))
        }
    }

    fn connection(&mut self, user: &(String, String)) -> Result<&mut Connection, WireError> {
        if !self.connections.contains_key(user) {
            let connection = Connection::open(self.address, &user.0, &user.1)?;
            self.connections.insert(user.clone(), connection);
        }
        self.connections.get_mut(user).ok_or(WireError::Closed)
    }

    fn run_as_admin(&mut self, term: &Value) -> Result<Response, WireError> {
        let term = RawValue::from_string(term.to_string())?;
        self.connection(&("admin".into(), String::new()))?.run(&term, no_options())
    }

    fn feed(&mut self, name: &str) -> Result<&mut Feed, WireError> {
        self.feeds.get_mut(name).ok_or_else(|| no_feed(name))
    }
}

/// `r.now()`, as a query has it.
const NOW: &str = "[103,[]]";

/// Times have milliseconds: two queries within one see the same `r.now()`, and the second write of it changes nothing. The
/// recorded server took longer for each, so a step that asks for the time waits until the clock has moved on.
const CLOCK_STEP: Duration = Duration::from_millis(2);

/// An open changefeed: one CONTINUE is outstanding whenever we wait for rows.
struct Feed {
    connection: Connection,
    token: u64,
    rows: Vec<Value>,
    waiting: bool,
    open: bool,
}

impl Feed {
    /// The feed and its first answer, whose rows are kept for the first take.
    fn open(mut connection: Connection, step: &Step) -> Result<(Self, Response), WireError> {
        let (token, mut first) = connection.start(term(step)?, options(step))?;
        let open = kind(&first) == Some(SUCCESS_PARTIAL);
        let mut rows = Vec::new();
        if open {
            rows = take_rows(&mut first);
            let notes = first.remove("n").unwrap_or_else(|| json!([]));
            first = object(json!({"t": SUCCESS_PARTIAL, "n": notes, "r": []}));
        }
        Ok((Self { connection, token, rows, waiting: false, open }, first))
    }

    /// The next `count` rows, or fewer when no more come.
    fn take(&mut self, count: usize) -> Result<Response, WireError> {
        while self.rows.len() < count && self.open {
            if !self.fill(OWED)? {
                break;
            }
        }
        let taken: Vec<Value> = self.rows.drain(..count.min(self.rows.len())).collect();
        Ok(object(json!({ "r": taken })))
    }

    /// All rows until the feed is quiet or ends.
    fn drain(&mut self) -> Result<Response, WireError> {
        while self.open && self.fill(QUIET)? {}
        Ok(object(json!({"r": std::mem::take(&mut self.rows)})))
    }

    /// Closes the feed; gives the type of its last answer.
    fn stop(mut self) -> Result<Response, WireError> {
        if !self.open {
            return Ok(object(json!({"t": "ended"})));
        }
        self.connection.send_stop(self.token)?;
        loop {
            let answer = self.connection.answer_within(self.token, OWED)?;
            if kind(&answer) != Some(SUCCESS_PARTIAL) {
                return Ok(object(json!({"t": answer.get("t")})));
            }
        }
    }

    /// One more batch; false when the feed stayed silent for `quiet`.
    fn fill(&mut self, quiet: Duration) -> Result<bool, WireError> {
        if !self.waiting {
            self.connection.send_continue(self.token)?;
            self.waiting = true;
        }
        let mut answer = match self.connection.answer_within(self.token, quiet) {
            Err(error) if error.is_timeout() => return Ok(false),
            answer => answer?,
        };
        self.waiting = false;
        self.open = kind(&answer) == Some(SUCCESS_PARTIAL);
        if self.open || kind(&answer) == Some(SUCCESS_SEQUENCE) {
            self.rows.append(&mut take_rows(&mut answer));
        } else {
            let error = json!({"t": answer.get("t"), "e": answer.get("e"), "r": answer.get("r")});
            self.rows.push(error);
        }
        Ok(true)
    }
}

/// `{}`, the options of a query that names none.
pub fn no_options() -> &'static RawValue {
    // a constant text that is JSON: the fallback is never taken
    serde_json::from_str("{}").unwrap_or(RawValue::NULL)
}

fn term(step: &Step) -> Result<&RawValue, WireError> {
    step.query.as_deref().ok_or_else(|| WireError::Malformed("a step that does nothing".into()))
}

fn options(step: &Step) -> &RawValue {
    step.options.as_deref().unwrap_or(no_options())
}

fn no_feed(name: &str) -> WireError {
    WireError::Malformed(format!("no feed {name}"))
}

fn object(value: Value) -> Response {
    match value {
        Value::Object(object) => object,
        _ => Response::new(),
    }
}
