//! Compiled regular expressions, which queries share: one cache for the process, bounded in bytes, since a short pattern may
//! compile to megabytes (`(?i)[\\p{L}\\p{N}]{1,100}`). Compiling cannot be stopped. On a thread of the network only what
//! is small is compiled; elsewhere one large pattern is compiled at a time, without the turn of its thread, so that others go on.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use regex::bytes::Regex;

use crate::limits;
use crate::memory::taken_by_thread;
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::turns;

use super::re2::{self, Failure, Fault};

/// How long one who waits to compile does not look whether its query goes on.
const LOOK: Duration = Duration::from_millis(10);

/// Held by whoever compiles a large pattern.
static COMPILING: Mutex<()> = Mutex::new(());

/// The cache.
static CACHE: Mutex<Cache> = Mutex::new(Cache { entries: None, bytes: 0, uses: 0 });

thread_local! {
    /// What was used last on this thread, if it is small: a query uses one expression for many rows.
    static LAST: RefCell<Option<(Arc<str>, Regex)>> = const { RefCell::new(None) };
}

/// The expression of a pattern. Fails when the query must start over elsewhere, and is told of a pattern that is none.
pub(super) fn compiled(env: &Env, pattern: &Arc<str>) -> Result<Regex> {
    let last = LAST.with_borrow(|last| {
        last.as_ref().filter(|(known, _)| known == pattern).map(|(_, regex)| regex.clone())
    });
    if let Some(regex) = last {
        return Ok(regex);
    }
    let known = CACHE.lock().get(pattern);
    let (regex, bytes) = match known {
        Some(found) => found,
        None => {
            let made = compile(env, pattern)?;
            CACHE.lock().add(pattern.clone(), made.clone());
            made
        }
    };
    if bytes <= (limits::REGEX_SMALL_BYTES + limits::REGEX_SEARCH_BYTES) as u64 {
        LAST.set(Some((pattern.clone(), regex.clone())));
    }
    Ok(regex)
}

/// Compiles a pattern; also tells how many bytes the expression takes.
fn compile(env: &Env, pattern: &Arc<str>) -> Result<(Regex, u64)> {
    let before = taken_by_thread();
    let regex = if pattern.len() <= limits::REGEX_SMALL_PATTERN_BYTES {
        match re2::compile(pattern, limits::REGEX_SMALL_BYTES) {
            Err(Failure::TooLarge) => compile_large(env, pattern)?,
            made => made.map_err(|failure| explain(pattern, failure))?,
        }
    } else {
        compile_large(env, pattern)?
    };
    let bytes = taken_by_thread().saturating_sub(before);
    Ok((regex, bytes + limits::REGEX_SEARCH_BYTES as u64))
}

fn compile_large(env: &Env, pattern: &Arc<str>) -> Result<Regex> {
    if env.starts_over() {
        return Err(Error::too_long_inline());
    }
    let _pause = turns::pause();
    let _alone = loop {
        if let Some(alone) = COMPILING.try_lock_for(LOOK) {
            break alone;
        }
        env.check_interrupt_now()?;
    };
    re2::compile(pattern, limits::REGEX_BYTES).map_err(|failure| explain(pattern, failure))
}

fn explain(pattern: &str, failure: Failure) -> Error {
    let Fault { portion, text } = failure.fault();
    Error::logic(format!("Error in regexp `{pattern}` (portion `{portion}`): {text}"))
}

/// Expressions by their patterns; those that were not used for longest go first.
struct Cache {
    entries: Option<HashMap<Arc<str>, Entry>>,
    bytes: u64,
    uses: u64,
}

struct Entry {
    regex: Regex,
    bytes: u64,
    used: u64,
}

impl Cache {
    fn get(&mut self, pattern: &str) -> Option<(Regex, u64)> {
        let entry = self.entries.as_mut()?.get_mut(pattern)?;
        self.uses += 1;
        entry.used = self.uses;
        Some((entry.regex.clone(), entry.bytes))
    }

    fn add(&mut self, pattern: Arc<str>, (regex, bytes): (Regex, u64)) {
        let entries = self.entries.get_or_insert_default();
        self.uses += 1;
        let entry = Entry { regex, bytes, used: self.uses };
        self.bytes += bytes;
        if let Some(before) = entries.insert(pattern, entry) {
            self.bytes -= before.bytes;
        }
        while self.bytes > limits::REGEX_CACHE_BYTES && entries.len() > 1 {
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(oldest) = oldest.map(|(pattern, _)| pattern.clone()) else { break };
            if let Some(gone) = entries.remove(&oldest) {
                self.bytes -= gone.bytes;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{Server, check_error};

    #[test]
    fn the_cache_is_bounded_in_bytes() {
        let mut cache = Cache { entries: None, bytes: 0, uses: 0 };
        let regex = Regex::new("a").unwrap();
        let each = limits::REGEX_CACHE_BYTES / 4;
        for number in 0..20 {
            cache.add(Arc::from(format!("{number}")), (regex.clone(), each));
            assert!(cache.get("0").is_some(), "used last");
            assert!(cache.bytes <= limits::REGEX_CACHE_BYTES);
        }
        assert!(cache.get("19").is_some() && cache.get("1").is_none());
        cache.add(Arc::from("19"), (regex.clone(), each));
        assert!(cache.bytes <= limits::REGEX_CACHE_BYTES);
        // One that is larger than the cache is there until the next.
        cache.add(Arc::from("large"), (regex, 2 * limits::REGEX_CACHE_BYTES));
        assert!(cache.get("large").is_some() && cache.get("19").is_none());
    }

    /// Seen to fail: each thread kept 64 expressions of up to ten megabytes each, for ever.
    #[test]
    fn patterns_that_compile_to_megabytes_do_not_pile_up() {
        let server = Server::new();
        for number in 0..40 {
            let pattern = format!("(?i)[\\\\p{{L}}\\\\p{{N}}]{{{number},{}}}", 30 + number);
            server.succeed(&format!(r#"[97,["a","{pattern}"]]"#));
        }
        assert!(CACHE.lock().bytes <= limits::REGEX_CACHE_BYTES);
    }

    #[test]
    fn a_pattern_that_is_too_large_is_refused_soon() {
        let began = Instant::now();
        let large = r"(?i)[\\p{L}\\p{N}]{1,999}".to_owned();
        for pattern in [large, r"\\pL".repeat(5_000)] {
            let text = pattern.replace(r"\\", r"\");
            let message = format!(
                "Error in regexp `{text}` (portion ``): pattern too large - compile failed"
            );
            check_error(&format!(r#"[97,["a","{pattern}"]]"#), ErrorKind::Logic, &message, "[]");
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    }
}
