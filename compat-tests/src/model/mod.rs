//! Random writes, reads and definitions of indexes, each answer compared with that of a simple model of a table.
//!
//! Several clients have a table each, so that the server does several things at once and every answer is known all the
//! same; and in every fourth place a crowd has one, who write to it at the same time. A seed and the number of a client
//! decide all its steps. Each reads a changefeed of its table besides, which must lead to the same documents. The server
//! may be killed now and then: then what was answered must be there, and the one step that was not is done or not,
//! document by document. At the end the server is stopped and its directory verified, which compares every entry of every
//! index with the documents.
//!
//! `value.rs`, `shape.rs`, `state.rs`: values in ReQL's order, shapes, a table with its indexes and its write hook.
//! `source.rs`, `read.rs`, `write.rs`, `step.rs`: queries, and what the model makes of them. `generate.rs` chooses,
//! `answer.rs` compares, `feed.rs` follows a feed, `client.rs` goes from step to step, `crowd.rs` lets several do so.
//! Nothing here knows the server's insides.

mod answer;
mod client;
mod crowd;
mod feed;
mod generate;
mod read;
mod shape;
mod source;
mod state;
mod step;
mod value;
mod write;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use self::client::{Client, Complaint};
use self::crowd::Crowd;
use crate::harness::{HarnessError, Server, verify_data};
use crate::random::Random;

/// Every so many of the numbers of clients is that of a crowd.
const CROWD_EVERY: u64 = 4;
/// Most milliseconds from a start to a kill.
const RUN_MILLISECONDS: usize = 3_000;
/// Every so many kills the directory is verified before the next start.
const VERIFY_EVERY: u64 = 4;

/// What to do.
pub struct Plan {
    /// The server.
    pub binary: PathBuf,
    /// A folder for its data and its log.
    pub folder: PathBuf,
    /// Decides the steps.
    pub seed: u64,
    /// The numbers of the clients.
    pub clients: Vec<u64>,
    /// Steps of each.
    pub steps: u64,
    /// How long to go on at most.
    pub time: Option<Duration>,
    /// Whether the server is killed meanwhile.
    pub kills: bool,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    /// Steps of all clients.
    pub steps: u64,
    /// How many times the server was killed.
    pub kills: u64,
    /// How many times the directory was verified.
    pub verified: u64,
}

/// Why the check ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No server.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// An answer is not that of the model.
    #[error("client {client}, {problem}")]
    Differs {
        /// The client.
        client: u64,
        /// The step it has come to.
        step: u64,
        /// The query, what was expected, and what was found.
        problem: String,
    },
    /// The directory is not sound.
    #[error("verify: {0}")]
    Unsound(String),
    /// The server did not stop.
    #[error("the server did not stop in order")]
    NotStopped,
}

/// One who has a table alone, or those who share one.
enum Party {
    Alone(Box<Client>),
    Crowd(Box<Crowd>),
}

impl Party {
    fn new(plan: &Plan, number: u64) -> Self {
        if (number + 1).is_multiple_of(CROWD_EVERY) {
            return Self::Crowd(Box::new(Crowd::new(plan.seed, number, plan.kills)));
        }
        Self::Alone(Box::new(Client::new(plan.seed, number, plan.kills)))
    }

    fn settle(&mut self, address: SocketAddr) -> Result<(), Complaint> {
        match self {
            Self::Alone(client) => client.settle(address),
            Self::Crowd(crowd) => crowd.settle(address),
        }
    }

    fn run(
        &mut self,
        address: SocketAddr,
        steps: u64,
        until: Option<Instant>,
    ) -> Result<(), Complaint> {
        match self {
            Self::Alone(client) => client.run(address, steps, until),
            Self::Crowd(crowd) => crowd.run(address, steps, until),
        }
    }

    fn steps(&self) -> u64 {
        match self {
            Self::Alone(client) => client.steps,
            Self::Crowd(crowd) => crowd.steps(),
        }
    }
}

/// Lets all clients take their steps.
pub fn run(plan: &Plan) -> Result<Tally, ModelError> {
    let mut random = Random::new(plan.seed, 0);
    let until = plan.time.map(|time| Instant::now() + time);
    let new = |number: &u64| (*number, Party::new(plan, *number));
    let mut clients: Vec<(u64, Party)> = plan.clients.iter().map(new).collect();
    let mut tally = Tally::default();
    loop {
        let mut server = start(plan)?;
        let address = server.address();
        each(&mut clients, |client| client.settle(address))?;
        let goes_on = thread::scope(|scope| {
            let clients = &mut clients;
            let running =
                scope.spawn(move || each(clients, |client| client.run(address, plan.steps, until)));
            if plan.kills {
                let killed_at =
                    Instant::now() + Duration::from_millis(random.below(RUN_MILLISECONDS) as u64);
                while Instant::now() < killed_at && !running.is_finished() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            let kills = plan.kills && !running.is_finished();
            if kills {
                server.kill()?;
            }
            match running.join() {
                Ok(done) => done.map(|()| kills),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        match goes_on {
            Ok(true) => tally.kills += 1,
            Ok(false) => {
                // A server that was not killed ends in order.
                let stopped = server.stop()?.is_some_and(|(status, _)| status.success());
                verify(plan, &mut tally)?;
                tally.steps = clients.iter().map(|(_, client)| client.steps()).sum();
                return if stopped { Ok(tally) } else { Err(ModelError::NotStopped) };
            }
            Err(error) => {
                // Not in order: that would change the data that is to be looked at.
                server.kill()?;
                return Err(error);
            }
        }
        if tally.kills % VERIFY_EVERY == 0 {
            verify(plan, &mut tally)?;
        }
    }
}

fn start(plan: &Plan) -> Result<Server, HarnessError> {
    // The smallest cache, so that checkpoints come often.
    let arguments = ["--cache-size", "8", "--no-http-admin"];
    let mut server = Server::spawn(&plan.binary, &plan.folder, &arguments)?;
    server.wait_until_ready()?;
    Ok(server)
}

/// Lets all clients do something at once; gives the first complaint.
fn each(
    clients: &mut [(u64, Party)],
    work: impl Fn(&mut Party) -> Result<(), Complaint> + Sync,
) -> Result<(), ModelError> {
    let outcomes: Vec<_> = thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = clients
            .iter_mut()
            .map(|(number, client)| scope.spawn(move || (*number, work(client), client.steps())))
            .collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    for outcome in outcomes {
        match outcome {
            Ok((_, Ok(()), _)) => {}
            Ok((client, Err(problem), step)) => {
                return Err(ModelError::Differs { client, step, problem });
            }
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    Ok(())
}

fn verify(plan: &Plan, tally: &mut Tally) -> Result<(), ModelError> {
    tally.verified += 1;
    match verify_data(&plan.binary, &plan.folder)? {
        None => Ok(()),
        Some(problem) => Err(ModelError::Unsound(problem)),
    }
}
