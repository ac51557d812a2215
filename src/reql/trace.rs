//! The profile of a query: which terms were evaluated, in which order, for how long (`profile: true`).
//!
//! Each task is `{"description", "duration(ms)", "sub_tasks": [...]}`, as RethinkDB shows it. Recording stops at a bound;
//! the last task then says so.

use std::cell::RefCell;
use std::time::Instant;

use crate::datum::Datum;
use crate::limits::PROFILE_TASKS_MAX;

/// A profile being recorded.
#[derive(Debug, Default)]
pub struct Trace {
    open: Vec<Open>,
    done: Vec<Datum>,
    recorded: usize,
}

#[derive(Debug)]
struct Open {
    name: &'static str,
    start: Instant,
    sub_tasks: Vec<Datum>,
}

impl Trace {
    /// An empty profile.
    pub fn start() -> Self {
        Trace::default()
    }

    /// What was recorded; recording goes on anew.
    pub fn take(&mut self) -> Datum {
        self.recorded = 0;
        Datum::array(std::mem::take(&mut self.done))
    }

    fn close(&mut self) {
        let Some(task) = self.open.pop() else { return };
        self.recorded += 1;
        let siblings = match self.open.last_mut() {
            Some(parent) => &mut parent.sub_tasks,
            None => &mut self.done,
        };
        if self.recorded > PROFILE_TASKS_MAX {
            if self.recorded == PROFILE_TASKS_MAX + 1 {
                siblings.push(Datum::object([(
                    "description",
                    Datum::string("The profile is full; further tasks are not recorded."),
                )]));
            }
            return;
        }
        siblings.push(Datum::object([
            ("description", Datum::from(format!("Evaluating {}.", task.name.to_lowercase()))),
            ("duration(ms)", Datum::Number(task.start.elapsed().as_secs_f64() * 1e3)),
            ("sub_tasks", Datum::array(task.sub_tasks)),
        ]));
    }
}

/// A task that ends when it is dropped.
pub struct Task<'a>(&'a RefCell<Trace>);

impl<'a> Task<'a> {
    pub(super) fn enter(trace: &'a RefCell<Trace>, name: &'static str) -> Self {
        trace.borrow_mut().open.push(Open { name, start: Instant::now(), sub_tasks: Vec::new() });
        Task(trace)
    }
}

impl Drop for Task<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().close();
    }
}
