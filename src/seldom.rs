//! Lines of the log that others can cause as often as they like: one at once, and then one in some seconds, with how often it
//! happened. The last of them comes when its interval is over, whether anything happens then or not, so that no count waits
//! for the next event. Knows moments and counts; not what happened.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::limits;

/// What is told seldom.
#[derive(Clone, Debug)]
pub struct Seldom {
    interval: Duration,
    state: Arc<Mutex<State>>,
}

impl Default for Seldom {
    fn default() -> Self {
        Self { interval: limits::LOG_REPEAT_INTERVAL, state: Arc::default() }
    }
}

#[derive(Default)]
struct State {
    told: Option<Instant>,
    untold: u64,
    /// Tells of the last event of those that were not told.
    last: Option<Line>,
    /// Whether a task waits for the end of the interval.
    is_awaited: bool,
}

/// Writes the line, given how often it has happened since the last one.
type Line = Box<dyn FnOnce(u64) + Send>;

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("untold", &self.untold).finish_non_exhaustive()
    }
}

impl Seldom {
    /// It happened: writes the line now, or at the end of the interval unless it happens again. Outside of a runtime nobody
    /// waits for that, and the next event tells.
    pub fn tell(&self, line: impl FnOnce(u64) + Send + 'static) {
        let now = Instant::now();
        if let Err(left) = self.happened(now, line)
            && let Ok(runtime) = Handle::try_current()
            && !std::mem::replace(&mut self.state.lock().is_awaited, true)
        {
            let there = self.clone();
            runtime.spawn(async move {
                tokio::time::sleep(left).await;
                there.close(Instant::now());
            });
        }
    }

    /// Writes the line, or keeps it for the end of the interval, which is so far away.
    fn happened(
        &self,
        now: Instant,
        line: impl FnOnce(u64) + Send + 'static,
    ) -> Result<(), Duration> {
        let mut state = self.state.lock();
        state.untold += 1;
        let since = state.told.map(|told| now.saturating_duration_since(told));
        let left = since.and_then(|since| self.interval.checked_sub(since));
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            state.last = Some(Box::new(line));
            return Err(left);
        }
        let count = state.begin(now);
        drop(state);
        line(count);
        Ok(())
    }

    /// The interval is over.
    fn close(&self, now: Instant) {
        let mut state = self.state.lock();
        state.is_awaited = false;
        let Some(line) = state.last.take() else { return };
        let count = state.begin(now);
        drop(state);
        line(count);
    }
}

impl State {
    /// A line is written, and an interval begins. Gives how often it has happened since the last one.
    fn begin(&mut self, now: Instant) -> u64 {
        self.told = Some(now);
        self.last = None;
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was told: which event, and the count.
    type Told = Arc<Mutex<Vec<(u64, u64)>>>;

    fn line(told: &Told, event: u64) -> impl FnOnce(u64) + Send + use<> {
        let told = told.clone();
        move |count| told.lock().push((event, count))
    }

    #[test]
    fn what_happens_often_is_told_seldom_and_with_a_count() {
        let (seldom, began, told) = (Seldom::default(), Instant::now(), Told::default());
        for event in 0..1_001 {
            let _ = seldom.happened(began, line(&told, event));
        }
        assert_eq!(*told.lock(), [(0, 1)]);
        let later = began + limits::LOG_REPEAT_INTERVAL;
        seldom.happened(later, line(&told, 1_001)).unwrap();
        seldom.happened(later, line(&told, 1_002)).unwrap_err();
        assert_eq!(*told.lock(), [(0, 1), (1_001, 1_001)]);
    }

    #[tokio::test]
    async fn the_rest_of_a_burst_is_told_when_its_interval_is_over() {
        let interval = Duration::from_millis(200);
        let (seldom, told) = (Seldom { interval, ..Seldom::default() }, Told::default());
        (0..1_000).for_each(|event| seldom.tell(line(&told, event)));
        assert_eq!(*told.lock(), [(0, 1)]);
        let wait = async |lines| {
            while told.lock().len() < lines {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        wait(2).await;
        // An interval has begun with that line, too, and where nothing happened there is none.
        seldom.tell(line(&told, 1_000));
        assert_eq!(*told.lock(), [(0, 1), (999, 999)]);
        wait(3).await;
        tokio::time::sleep(2 * interval).await;
        assert_eq!(*told.lock(), [(0, 1), (999, 999), (1_000, 1)]);
    }
}
