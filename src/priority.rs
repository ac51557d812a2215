//! What gives way to what is quick: threads and processes that work for long have a lower priority on the processors.
//! Knows the system's calls; not what the work is.

use rustix::process::{Pid, getpid, getppid, getpriority_process, setpriority_process};

use crate::limits::BACKGROUND_NICENESS;

/// The lowest priority, as `nice` counts.
const NICENESS_MAX: i32 = 19;

/// Lowers the priority of the calling thread, and of those that it starts, below that of the server. On a system that refuses
/// all threads are equal.
pub fn give_way() {
    give_way_to(Some(getpid()));
}

/// The same for a process that the server has started, and that has one thread so far.
pub fn give_way_to_parent() {
    give_way_to(getppid());
}

/// Below the first thread of a process: others may have given way already, and have handed that down.
fn give_way_to(process: Option<Pid>) {
    if let Ok(first) = getpriority_process(process) {
        let _ = setpriority_process(None, (first + BACKGROUND_NICENESS).min(NICENESS_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_way_once_and_so_do_those_that_it_starts() {
        let priority = || getpriority_process(None).unwrap();
        let expected =
            (getpriority_process(Some(getpid())).unwrap() + BACKGROUND_NICENESS).min(NICENESS_MAX);
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                give_way();
                give_way();
                let started = std::thread::spawn(move || {
                    give_way();
                    priority()
                });
                (priority(), started.join().unwrap())
            });
            assert_eq!(thread.join().unwrap(), (expected, expected));
        });
    }
}
