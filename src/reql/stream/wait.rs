//! Reading a stream inside the server, where a changefeed that has nothing yet must be waited for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::datum::Datum;
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::{limits, turns};

use super::{BatchSpec, Stream};

/// The next rows of a stream; none only at its end. Waits for a changefeed until the query is stopped.
pub fn next_rows(stream: &mut dyn Stream, env: &Env, batch: &BatchSpec) -> Result<Vec<Datum>> {
    while !stream.is_exhausted() {
        env.check_interrupt()?;
        let Some(feed) = stream.feed() else {
            let rows = stream.next_batch(env, batch)?;
            if rows.is_empty() {
                continue;
            }
            return Ok(rows);
        };
        // Registered before asking, so that no row comes unnoticed in between.
        let mut ready = pin!(feed.ready.notified());
        ready.as_mut().enable();
        let rows = stream.next_batch(env, batch)?;
        if !rows.is_empty() {
            return Ok(rows);
        }
        if !stream.is_exhausted() {
            wait(env, ready)?;
        }
    }
    Ok(Vec::new())
}

/// Blocks the thread until the future is ready. On a thread that must not wait the query starts over on one that may.
fn wait(env: &Env, mut ready: std::pin::Pin<&mut impl Future<Output = ()>>) -> Result<()> {
    if !env.may_wait() {
        return Err(Error::new(ErrorKind::NotResident, "The changefeed has no rows yet."));
    }
    let _pause = turns::pause();
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        env.check_interrupt_now()?;
        match ready.as_mut().poll(&mut context) {
            Poll::Ready(()) => return Ok(()),
            // A stop of the query does not wake this thread: it is looked for now and then.
            Poll::Pending => std::thread::park_timeout(limits::WAIT_CHECK),
        }
    }
}

/// Wakes a waiting thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
