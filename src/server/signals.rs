//! The signals that the server listens to. Those that would end a process by default and are not meant to end this one
//! are heard and told, so that no stray signal ends it in the middle of its work.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

/// The number of SIGXFSZ, which tokio has no name for.
const FILE_SIZE: i32 = rustix::process::Signal::XFSZ.as_raw();

/// Signals that end the server in order, and signals that do not.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user1: Signal,
    user2: Signal,
    alarm: Signal,
    /// A file would have become larger than the system allows: whoever writes it gets an error, too.
    file_size: Signal,
}

impl Signals {
    /// Registers for all of them. From now on none of them ends the process by itself.
    pub fn register() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            alarm: signal(SignalKind::alarm())?,
            file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    /// Waits for a signal that ends the server, and gives its name.
    pub async fn stop(&mut self) -> &'static str {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                _ = self.hang_up.recv() => "SIGHUP",
                _ = self.user1.recv() => "SIGUSR1",
                _ = self.user2.recv() => "SIGUSR2",
                _ = self.alarm.recv() => "SIGALRM",
                _ = self.file_size.recv() => "SIGXFSZ",
            };
            info!("Server got {ignored}, which changes nothing");
        }
    }
}
