//! What one client did and what must be left of it: some prefix of its operations, at least up to the last one that
//! was acknowledged with hard durability. Knows keys and versions; not how they get to a server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What there is beside documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Whether the client's table is there.
    pub table: bool,
    /// The numbers of the indexes that it has.
    pub indexes: BTreeSet<usize>,
    /// Whether it has a write hook.
    pub hook: bool,
    /// Whether the user that belongs to the client is there.
    pub user: bool,
}

/// What one client's part of the data looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// What there is beside them.
    pub setup: Setup,
    /// Versions by key.
    pub versions: BTreeMap<u32, u64>,
}

/// What a client does, as one commit each.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Writes documents, there before or not.
    Put(Vec<(u32, u64)>),
    /// Changes a document if it is there.
    Update(u32, u64),
    /// Removes a document.
    Delete(u32),
    /// Drops the client's table.
    DropTable,
    /// Creates it.
    CreateTable,
    /// Makes an index of the client's table.
    CreateIndex(usize),
    /// Drops one.
    DropIndex(usize),
    /// Sets the write hook of the client's table, or takes it away.
    SetHook(bool),
    /// Makes the user that belongs to the client, or removes it.
    SetUser(bool),
}

/// An operation that was sent.
#[derive(Clone, Debug)]
struct Sent {
    operation: Operation,
    at: Instant,
    acknowledged: Option<Instant>,
}

/// The operations of one client since its documents were last seen.
#[derive(Clone, Debug, Default)]
pub struct History {
    before: Documents,
    sent: Vec<Sent>,
    /// So many of them must be there.
    certain: usize,
}

/// Which prefixes of the operations fit what was found. There may be several: what is written and then removed leaves
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survived {
    /// The least.
    pub least: usize,
    /// The greatest.
    pub most: usize,
}

impl Operation {
    /// What it does to a key.
    fn on(&self, key: u32) -> Option<String> {
        match self {
            Self::Put(changed) => {
                let (_, version) = changed.iter().find(|(other, _)| *other == key)?;
                Some(format!("put {version} among {}", changed.len()))
            }
            Self::Update(other, version) => {
                (*other == key).then(|| format!("update to {version} if there"))
            }
            Self::Delete(other) => (*other == key).then(|| "delete".to_owned()),
            Self::DropTable => Some("drop the table".to_owned()),
            Self::CreateTable => Some("create the table".to_owned()),
            Self::CreateIndex(_) | Self::DropIndex(_) | Self::SetHook(_) | Self::SetUser(_) => None,
        }
    }
}

impl Setup {
    /// What an operation makes of it.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Put(_) | Operation::Update(..) | Operation::Delete(_) => {}
            Operation::DropTable => *self = Self { user: self.user, ..Self::default() },
            Operation::CreateTable => self.table = true,
            Operation::CreateIndex(index) => drop(self.indexes.insert(*index)),
            Operation::DropIndex(index) => drop(self.indexes.remove(index)),
            Operation::SetHook(is_set) => self.hook = *is_set,
            Operation::SetUser(is_there) => self.user = *is_there,
        }
    }
}

impl Documents {
    fn apply(&mut self, operation: &Operation) {
        self.setup.apply(operation);
        match operation {
            Operation::Put(documents) => self.versions.extend(documents.iter().copied()),
            Operation::Update(key, version) => {
                if let Some(old) = self.versions.get_mut(key) {
                    *old = *version;
                }
            }
            Operation::Delete(key) => drop(self.versions.remove(key)),
            Operation::DropTable => self.versions.clear(),
            _ => {}
        }
    }
}

impl History {
    /// Notes an operation that is about to be sent.
    pub fn send(&mut self, operation: Operation) {
        self.sent.push(Sent { operation, at: Instant::now(), acknowledged: None });
    }

    /// The last operation was acknowledged. With hard durability, it and all before it must last.
    pub fn acknowledge(&mut self, hard: bool) {
        if let Some(last) = self.sent.last_mut() {
            last.acknowledged = Some(Instant::now());
        }
        if hard {
            self.certain = self.sent.len();
        }
    }

    /// The last operation found nothing to change. It made no commit, and nothing before it lasts because of it.
    pub fn forget_last(&mut self) {
        self.sent.pop();
    }

    /// Operations sent, and those among them that must be there.
    pub fn counts(&self) -> (usize, usize) {
        (self.sent.len(), self.certain)
    }

    /// Which prefixes of the operations leave what was found; the reason when none does.
    pub fn survived(&self, found: &Documents) -> Result<Survived, String> {
        let mut documents = self.before.clone();
        let mut differing = differing(&documents, found);
        let mut survived: Option<Survived> = None;
        for count in 0..=self.sent.len() {
            if count >= self.certain && differing.is_empty() && documents.setup == found.setup {
                let least = survived.map_or(count, |survived| survived.least);
                survived = Some(Survived { least, most: count });
            }
            let Some(next) = self.sent.get(count) else { break };
            documents.apply(&next.operation);
            match &next.operation {
                Operation::Put(changed) => {
                    let keys = changed.iter().map(|(key, _)| *key);
                    update(&mut differing, keys, &documents, found);
                }
                Operation::Update(key, _) | Operation::Delete(key) => {
                    update(&mut differing, [*key], &documents, found);
                }
                Operation::DropTable => differing = self::differing(&documents, found),
                _ => {}
            }
        }
        survived.ok_or_else(|| self.complaint(found))
    }

    /// What was found is what further operations begin from.
    pub fn settle(&mut self, found: Documents) {
        *self = Self { before: found, sent: Vec::new(), certain: 0 };
    }

    /// When the last operation that is known to have lasted was sent: whatever was acknowledged to anybody before that
    /// was committed before it.
    pub fn last_sent(&self, survived: Survived) -> Option<Instant> {
        Some(self.sent.get(survived.least.checked_sub(1)?)?.at)
    }

    /// An operation that is lost though it was acknowledged before one that lasted was sent.
    pub fn lost_before(&self, survived: Survived, at: Instant) -> Option<&Operation> {
        let lost = self.sent.get(survived.most..).unwrap_or_default();
        let early = |sent: &&Sent| sent.acknowledged.is_some_and(|acknowledged| acknowledged < at);
        lost.iter().find(early).map(|sent| &sent.operation)
    }

    /// The last operations, with their times in microseconds before and after a moment.
    pub fn tail(&self, moment: Instant) -> String {
        let micros = |at: Instant| match at.checked_duration_since(moment) {
            Some(after) => format!("+{}", after.as_micros()),
            None => format!("-{}", moment.duration_since(at).as_micros()),
        };
        let mut text = String::new();
        for (at, sent) in self.sent.iter().enumerate().skip(self.sent.len().saturating_sub(12)) {
            let certain = if at < self.certain { "certain" } else { "" };
            let answered = sent.acknowledged.map(micros);
            text.push_str(&format!(
                "  {at}: sent {}, answered {answered:?} {certain} {:?}\n",
                micros(sent.at),
                sent.operation
            ));
        }
        text
    }

    /// What is wrong, seen from the operations that had to last.
    fn complaint(&self, found: &Documents) -> String {
        let mut least = self.before.clone();
        for sent in self.sent.iter().take(self.certain) {
            least.apply(&sent.operation);
        }
        let keys: Vec<String> = differing(&least, found)
            .into_iter()
            .take(10)
            .map(|key| {
                let (was, is) = (least.versions.get(&key), found.versions.get(&key));
                let changes: Vec<String> = (0..)
                    .zip(&self.sent)
                    .filter_map(|(at, sent): (usize, _)| {
                        Some(format!("{at}: {}", sent.operation.on(key)?))
                    })
                    .collect();
                let before = self.before.versions.get(&key);
                format!(
                    "key {key}: version {was:?} certain, {is:?} found, {before:?} before {changes:?}"
                )
            })
            .collect();
        format!(
            "no prefix of {} operations, {} of them certain, leaves what was found ({:?}, found {:?}); {}",
            self.sent.len(),
            self.certain,
            least.setup,
            found.setup,
            keys.join("; ")
        )
    }
}

/// The keys whose versions differ.
fn differing(a: &Documents, b: &Documents) -> BTreeSet<u32> {
    let mut keys = BTreeSet::new();
    let all = a.versions.keys().chain(b.versions.keys()).copied();
    update(&mut keys, all, a, b);
    keys
}

fn update(
    differing: &mut BTreeSet<u32>,
    keys: impl IntoIterator<Item = u32>,
    a: &Documents,
    b: &Documents,
) {
    for key in keys {
        if a.versions.get(&key) == b.versions.get(&key) {
            differing.remove(&key);
        } else {
            differing.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(operations: &[(Operation, bool)]) -> History {
        let mut history = History::default();
        history.settle(found(&[]));
        for (operation, hard) in operations {
            history.send(operation.clone());
            history.acknowledge(*hard);
        }
        history
    }

    fn found(versions: &[(u32, u64)]) -> Documents {
        let setup = Setup { table: true, ..Setup::default() };
        Documents { setup, versions: versions.iter().copied().collect() }
    }

    #[test]
    fn a_prefix_that_has_all_that_is_certain_is_right() {
        let history = history(&[
            (Operation::Put(vec![(1, 1), (2, 1)]), true),
            (Operation::Update(1, 2), false),
            (Operation::Update(9, 2), false),
            (Operation::Delete(2), false),
        ]);
        let survived = |versions| history.survived(&found(versions));
        assert_eq!(survived(&[(1, 1), (2, 1)]), Ok(Survived { least: 1, most: 1 }));
        assert_eq!(survived(&[(1, 2), (2, 1)]), Ok(Survived { least: 2, most: 3 }));
        assert_eq!(survived(&[(1, 2)]), Ok(Survived { least: 4, most: 4 }));
        let unseen = [(Operation::Put(vec![(1, 1)]), false), (Operation::Delete(1), false)];
        let nothing = self::history(&unseen).survived(&found(&[]));
        assert_eq!(nothing, Ok(Survived { least: 0, most: 2 }));
    }

    #[test]
    fn what_is_lost_or_half_done_is_found() {
        let history = history(&[
            (Operation::Put(vec![(1, 1)]), true),
            (Operation::Put(vec![(2, 2), (3, 2)]), false),
            (Operation::Delete(1), false),
        ]);
        for wrong in [&[][..], &[(1, 1), (2, 2)], &[(2, 2)], &[(1, 7)], &[(1, 1), (4, 1)]] {
            assert!(history.survived(&found(wrong)).is_err(), "{wrong:?}");
        }
        let survived = history.survived(&found(&[(1, 1)])).unwrap();
        assert!(history.lost_before(survived, Instant::now()).is_some());
        assert!(history.survived(&Documents::default()).is_err());
    }

    #[test]
    fn a_table_that_was_dropped_is_empty_when_it_is_there_again() {
        let history = history(&[
            (Operation::Put(vec![(1, 1)]), true),
            (Operation::DropTable, true),
            (Operation::CreateTable, false),
            (Operation::Put(vec![(2, 2)]), false),
        ]);
        assert_eq!(history.survived(&Documents::default()), Ok(Survived { least: 2, most: 2 }));
        assert_eq!(history.survived(&found(&[(2, 2)])), Ok(Survived { least: 4, most: 4 }));
        assert!(history.survived(&found(&[(1, 1)])).is_err());
    }

    #[test]
    fn what_stands_beside_the_documents_must_last_as_well() {
        let history = history(&[
            (Operation::CreateIndex(1), true),
            (Operation::SetUser(true), true),
            (Operation::Put(vec![(1, 1)]), false),
            (Operation::SetHook(true), false),
            (Operation::DropTable, false),
        ]);
        let setup = Setup { table: true, indexes: [1].into(), hook: false, user: true };
        let found = |setup: &Setup| Documents { setup: setup.clone(), versions: BTreeMap::new() };
        assert_eq!(history.survived(&found(&setup)), Ok(Survived { least: 2, most: 2 }));
        let user = Setup { user: true, ..Setup::default() };
        assert_eq!(history.survived(&found(&user)), Ok(Survived { least: 5, most: 5 }));
        let wrong = [
            Setup { user: false, ..setup.clone() },
            Setup { indexes: BTreeSet::new(), ..setup.clone() },
            Setup { hook: true, ..setup.clone() },
        ];
        for setup in wrong {
            assert!(history.survived(&found(&setup)).is_err(), "{setup:?}");
        }
    }
}
