//! The server's end: said once, heard everywhere, and waited for. Knows tasks, not what they do.
//!
//! It comes in two steps: first nothing new is begun and what is under way may end; then what is still under way is
//! interrupted. Those who watch over the server are answered until it is gone.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Says that the server stops, and knows who has not stopped yet.
#[derive(Clone, Debug)]
pub struct Shutdown {
    workers: Handle,
    begun: CancellationToken,
    hurried: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
}

/// Something that is under way. The server's end waits until it is dropped.
#[derive(Debug)]
pub struct UnderWay {
    _token: TaskTrackerToken,
}

impl Shutdown {
    /// Of a server that runs on these threads.
    pub fn new(workers: Handle) -> Shutdown {
        let (begun, hurried, ended) = Default::default();
        Shutdown { workers, begun, hurried, ended, tasks: TaskTracker::new() }
    }

    /// Nothing new is to be begun.
    pub fn begin(&self) {
        self.begun.cancel();
        self.tasks.close();
    }

    /// What is under way is to be interrupted.
    pub fn hurry(&self) {
        self.hurried.cancel();
    }

    /// The server is gone: nobody is answered any more.
    pub fn end(&self) {
        self.ended.cancel();
    }

    /// Whether the server stops.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until the server stops.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits until what is under way is to be interrupted.
    pub async fn hurried(&self) {
        self.hurried.cancelled().await;
    }

    /// To be kept and polled by a task that serves someone.
    pub fn watch(&self) -> Watch {
        let begun = Box::pin(self.begun.clone().cancelled_owned());
        Watch { hurried: self.hurried.clone(), next: Some(begun), step: Step::Begun }
    }

    /// Runs a task that [`Shutdown::finished`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.workers);
    }

    /// Runs a task until the server is gone. [`Shutdown::finished`] does not wait for it, but for what it has under way.
    pub fn attend(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        self.workers.spawn(async move {
            tokio::select! {
                () = task => {}
                () = ended.cancelled() => {}
            }
        });
    }

    /// Something begins that [`Shutdown::finished`] is to wait for. None once nothing new is to be begun.
    pub fn under_way(&self) -> Option<UnderWay> {
        // Taken before it is looked at: whoever waits has said before that the server stops.
        let token = self.tasks.token();
        (!self.has_begun()).then_some(UnderWay { _token: token })
    }

    /// Waits until the server was told to stop and every task has ended.
    pub async fn finished(&self) {
        self.tasks.wait().await;
    }
}

/// The two steps of the server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing new is to be begun.
    Begun,
    /// What is under way is to be interrupted.
    Hurried,
}

/// Tells one task of the steps, each once.
#[derive(Debug)]
pub struct Watch {
    hurried: CancellationToken,
    next: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    step: Step,
}

impl Watch {
    /// The next step, when it comes; the task is woken then.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Step> {
        let Some(next) = &mut self.next else { return Poll::Pending };
        if next.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let step = self.step;
        self.next = match step {
            Step::Begun => Some(Box::pin(self.hurried.clone().cancelled_owned())),
            Step::Hurried => None,
        };
        self.step = Step::Hurried;
        Poll::Ready(step)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn both_steps_are_told_once() {
        let shutdown = Shutdown::new(Handle::current());
        let mut watch = shutdown.watch();
        let watched = tokio::spawn(async move {
            let first = poll_fn(|context| watch.poll(context)).await;
            let second = poll_fn(|context| watch.poll(context)).await;
            let third = poll_fn(|context| Poll::Ready(watch.poll(context).is_pending())).await;
            (first, second, third)
        });
        tokio::task::yield_now().await;
        assert!(!shutdown.has_begun());
        shutdown.begin();
        tokio::task::yield_now().await;
        shutdown.hurry();
        assert_eq!(watched.await.unwrap(), (Step::Begun, Step::Hurried, true));
    }

    #[tokio::test]
    async fn who_attends_until_the_end_is_not_waited_for_but_what_is_under_way_is() {
        let shutdown = Shutdown::new(Handle::current());
        let (kept, dropped) = tokio::sync::oneshot::channel::<()>();
        shutdown.attend(async move {
            std::future::pending::<()>().await;
            drop(kept);
        });
        let under_way = shutdown.under_way().unwrap();
        shutdown.begin();
        assert!(shutdown.under_way().is_none());
        let mut finished = Box::pin(shutdown.finished());
        let mut is_finished = async || {
            poll_fn(|context| Poll::Ready(finished.as_mut().poll(context).is_ready())).await
        };
        assert!(!is_finished().await);
        drop(under_way);
        assert!(is_finished().await);
        shutdown.end();
        dropped.await.unwrap_err();
    }

    #[tokio::test]
    async fn it_is_finished_when_every_task_is() {
        let shutdown = Shutdown::new(Handle::current());
        let inside = shutdown.clone();
        shutdown.spawn(async move { inside.begun().await });
        shutdown.begin();
        shutdown.finished().await;
    }
}
