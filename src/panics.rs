//! What the process tells of its own faults: a panic anywhere, caught or not, is a line in the log with its place, and is
//! counted. Knows the log; not who panics and what becomes of it.

use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;

use prometheus::IntCounter;
use tracing::error;

/// Where panics are counted, once somebody wants to know.
static COUNTER: OnceLock<IntCounter> = OnceLock::new();

/// Tells of panics from now on, instead of the standard message.
pub fn tell() {
    panic::set_hook(Box::new(note));
}

/// The panics of the process from now on. One counter for all who ask.
pub fn counter() -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(
        "photondb_panics_total",
        "Faults of the server itself since the start; the log has the place of each.",
    )?;
    Ok(COUNTER.get_or_init(|| counter).clone())
}

fn note(info: &PanicHookInfo<'_>) {
    if let Some(counter) = COUNTER.get() {
        counter.inc();
    }
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let message = info.payload_as_str().unwrap_or("no message");
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    error!("Fault of the server: thread {thread} panicked at {place}: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_that_is_caught_is_counted() {
        let before = counter().unwrap().get();
        let default = panic::take_hook();
        tell();
        panic::catch_unwind(|| panic!("as the test wants it")).unwrap_err();
        panic::set_hook(default);
        assert!(counter().unwrap().get() > before);
    }
}
