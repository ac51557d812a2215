//! Several who write to one table at a time, and one who makes, renames and drops its indexes meanwhile and watches it.
//!
//! Each writes documents of its own, so that each knows what it must find, among those of the others in the same indexes;
//! and all count the same counters up. Now and then they wait for each other: then the table is what all of them have
//! written together, every index has just that, the counters have counted everybody, and the feeds have told all of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use super::answer::Expected;
use super::client::{Client, Complaint, Trouble, ask, indexes_left, rows};
use super::feed::{Feed, Watched};
use super::generate;
use super::read::{Part, Read};
use super::shape::Shape;
use super::source::{Bound, Place, Source};
use super::state::{COUNTERS, DEFINITIONS, Index, Model};
use super::step::{Step, counter};
use super::value::Key;
use crate::random::Random;
use crate::wire::Connection;

/// How many there are.
const MEMBERS: u64 = 3;
/// Steps of each before they wait for each other.
const ROUND: u64 = 250;
/// Most feeds at a time.
const FEEDS: usize = 3;

/// Those who share a table.
pub struct Crowd {
    place: Place,
    members: Vec<Client>,
    definer: Definer,
    /// What the counters were when the server was started.
    counted: [u64; COUNTERS],
    is_prepared: bool,
    may_be_killed: bool,
}

impl Crowd {
    /// A crowd that has done nothing yet.
    pub fn new(seed: u64, number: u64, may_be_killed: bool) -> Self {
        let mut random = Random::new(seed, 1 + number);
        let name = format!("model_{number}");
        let mut indexes = Model { exists: true, ..Model::default() };
        for definition in 0..DEFINITIONS.len() {
            indexes.indexes.insert(format!("s{definition}"), Index { definition, is_ready: true });
        }
        let member = |owner: u64| {
            let place = Place { name: name.clone(), owner: Some(owner) };
            let random = Random::new(random.number(), owner);
            Client::among_others(place, random, indexes.clone(), may_be_killed)
        };
        let members = (0..MEMBERS).map(member).collect();
        let place = Place { name: name.clone(), owner: None };
        let definer = Definer { random, model: Model::default(), before: None, feeds: Vec::new() };
        let counted = [0; COUNTERS];
        Self { place, members, definer, counted, is_prepared: false, may_be_killed }
    }

    /// Steps that they have taken together.
    pub fn steps(&self) -> u64 {
        self.members.iter().map(|member| member.steps).sum()
    }

    /// Lets them take so many steps together, or until a moment, or until the server is gone.
    pub fn run(
        &mut self,
        address: SocketAddr,
        steps: u64,
        until: Option<Instant>,
    ) -> Result<(), Complaint> {
        let is_time = || until.is_none_or(|until| Instant::now() < until);
        while self.steps() < steps && is_time() {
            let together = self.steps();
            self.round(address, (steps - together).div_ceil(MEMBERS).min(ROUND), until)?;
            let compared = self.compare(address);
            let told = |problem| format!("together, after {} steps: {problem}", self.steps());
            match compared {
                Err(Trouble::Lost(_)) if self.may_be_killed => break,
                compared => {
                    compared.or_else(|trouble| trouble.complaint(false)).map_err(told)?;
                }
            }
        }
        self.definer.feeds.clear();
        Ok(())
    }

    fn round(
        &mut self,
        address: SocketAddr,
        steps: u64,
        until: Option<Instant>,
    ) -> Result<(), Complaint> {
        let (place, may_be_killed) = (&self.place, self.may_be_killed);
        let (members, definer) = (&mut self.members, &mut self.definer);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let defining = scope.spawn(|| definer.run(address, place, &is_over));
            let writing: Vec<_> = members
                .iter_mut()
                .map(|member| scope.spawn(move || member.run(address, member.steps + steps, until)))
                .collect();
            let mut outcomes: Vec<Result<(), Complaint>> = Vec::new();
            for (number, writing) in writing.into_iter().enumerate() {
                let outcome =
                    writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                outcomes.push(outcome.map_err(|problem| format!("member {number}, {problem}")));
            }
            is_over.store(true, Ordering::Relaxed);
            let defined = defining.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let defined = defined.or_else(|trouble| trouble.complaint(may_be_killed));
            outcomes
                .push(defined.map_err(|problem| format!("the one with the indexes, {problem}")));
            outcomes.into_iter().collect()
        })
    }

    /// Compares the table with what all have done together.
    fn compare(&mut self, address: SocketAddr) -> Result<(), Trouble> {
        let mut connection = Connection::open(address, "admin", "")?;
        let wait = json!([140, [self.place.table()]]);
        rows(&mut connection, &wait)?;
        let model = self.together();
        let mut reads = vec![Read::Rows(Source::All), Read::Indexes];
        for name in model.indexes.keys() {
            if model.is_geo(name) {
                reads.push(Read::Intersecting(name.clone(), Shape::everywhere()));
                continue;
            }
            let is_descending = self.definer.random.below(2) == 0;
            reads.push(Read::Ordered(Source::All, name.clone(), is_descending, Part::All));
            reads.push(Read::Count(Source::Range(name.clone(), Bound::Open, Bound::Open)));
        }
        for read in reads {
            ask(&mut connection, &read.term(&self.place), &read.expected(&model))?;
        }
        self.definer.feeds.iter_mut().try_for_each(|feed| feed.catch_up(&model))?;
        let random = &mut self.definer.random;
        self.definer.feeds.retain(|_| random.below(3) > 0);
        Ok(())
    }

    /// What the table must be.
    fn together(&self) -> Model {
        let mut model = Model { exists: true, ..Model::default() };
        for member in &self.members {
            model.documents.extend(member.model.documents.clone());
            model.indexes.extend(member.model.indexes.clone());
        }
        model.indexes.extend(self.definer.model.indexes.clone());
        for at in 0..COUNTERS {
            let of = |counted: &[u64; COUNTERS]| counted.get(at).copied().unwrap_or_default();
            let more: u64 = self.members.iter().map(|member| of(&member.model.counted)).sum();
            let document = counter_document(at, of(&self.counted) + more);
            model.documents.insert(Key(json!(counter(at))), document);
        }
        model
    }

    /// Makes the table, or reads what a server has after it was killed.
    pub fn settle(&mut self, address: SocketAddr) -> Result<(), Complaint> {
        let settled = if self.is_prepared { self.look(address) } else { self.prepare(address) };
        self.is_prepared = true;
        settled.or_else(|trouble| trouble.complaint(false))
    }

    fn prepare(&self, address: SocketAddr) -> Result<(), Trouble> {
        let mut connection = Connection::open(address, "admin", "")?;
        let mut do_it = |term: Value| ask(&mut connection, &term, &Expected::Done(json!({})));
        do_it(Step::CreateTable.term(&self.place))?;
        for definition in 0..DEFINITIONS.len() {
            do_it(Step::CreateIndex(format!("s{definition}"), definition).term(&self.place))?;
        }
        for at in 0..COUNTERS {
            let document = super::value::term(&counter_document(at, 0));
            do_it(json!([56, [self.place.table(), document]]))?;
        }
        rows(&mut connection, &json!([140, [self.place.table()]])).map(drop)
    }

    fn look(&mut self, address: SocketAddr) -> Result<(), Trouble> {
        let mut connection = Connection::open(address, "admin", "")?;
        let table = self.place.table();
        for (at, base) in self.counted.iter_mut().enumerate() {
            let term = json!([2, [[170, [[16, [table, counter(at)]], "n"]]]]);
            let found = rows(&mut connection, &term)?.first().and_then(Value::as_u64);
            let total = |end: usize| -> u64 {
                let counted = self.members.iter().map(|member| {
                    member.counted().get(end).and_then(|counted| counted.get(at)).copied()
                });
                *base + counted.flatten().sum::<u64>()
            };
            let may_be = total(0)..=total(1);
            match found.filter(|n| may_be.contains(n)) {
                Some(n) => *base = n,
                None => {
                    let problem = format!("counter {at}: {may_be:?} expected, found {found:?}");
                    return Err(Trouble::Wrong(problem));
                }
            }
        }
        for member in &mut self.members {
            member.settle(address).map_err(Trouble::Wrong)?;
            member.model.counted = [0; COUNTERS];
        }
        rows(&mut connection, &json!([140, [table]]))?;
        self.definer.feeds.clear();
        let mut names = rows(&mut connection, &json!([77, [table]]))?;
        names.retain(|name| !name.as_str().is_some_and(|name| name.starts_with('s')));
        let after = self.definer.model.clone();
        let before = self.definer.before.take().unwrap_or_else(|| after.clone());
        self.definer.model.indexes = indexes_left(&names, &before, &after)
            .ok_or_else(|| Trouble::Wrong(format!("the indexes are {names:?}")))?;
        Ok(())
    }
}

fn counter_document(at: usize, n: u64) -> Value {
    json!({ "id": counter(at), "n": n, "b": 5, "m": [1, 2, 2] })
}

/// The one who makes, renames and drops indexes.
struct Definer {
    random: Random,
    /// Its indexes.
    model: Model,
    /// What they were before a step that was not answered.
    before: Option<Model>,
    feeds: Vec<Feed>,
}

impl Definer {
    fn run(
        &mut self,
        address: SocketAddr,
        place: &Place,
        is_over: &AtomicBool,
    ) -> Result<(), Trouble> {
        let mut connection = Connection::open(address, "admin", "")?;
        while !is_over.load(Ordering::Relaxed) {
            if self.feeds.len() < FEEDS && self.random.below(4) == 0 {
                let watched = Watched::whole(&mut self.random);
                self.feeds.push(Feed::open(address, place, watched, &self.model)?);
            }
            self.feeds.iter_mut().try_for_each(Feed::glance)?;
            let step = generate::next_definition(&mut self.random);
            self.before = Some(self.model.clone());
            let expected = step.apply(&mut self.model);
            ask(&mut connection, &step.term(place), &expected)?;
            self.before = None;
        }
        Ok(())
    }
}
