//! The server's end: said once, heard everywhere, and waited for. Knows tasks, not what they do.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// Says that the server stops, and knows who has not stopped yet.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Of a server that runs.
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// Says that the server stops.
    pub fn begin(&self) {
        self.token.cancel();
        self.tasks.close();
    }

    /// Whether it was said.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it is said.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// As [`Shutdown::begun`], to be kept and polled.
    pub fn begun_owned(&self) -> Begun {
        Begun(Box::pin(self.token.clone().cancelled_owned()))
    }

    /// Runs a task that [`Shutdown::finished`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Waits until the server was told to stop and every task has ended.
    pub async fn finished(&self) {
        self.tasks.wait().await;
    }
}

/// Becomes ready when the server stops.
#[derive(Debug)]
pub struct Begun(Pin<Box<WaitForCancellationFutureOwned>>);

impl Begun {
    /// Whether the server stops; the task is woken when it does.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}
