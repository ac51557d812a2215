//! Secondary indexes: what a document's entries are, and how they follow the document.
//! Knows documents, entries and batches; must not know terms (a function is a trait), names, or the catalog.
//!
//! An index is a tree whose keys lead from a value to primary keys (`secondary.rs`). Whoever writes a document changes
//! the entries in the same batch. A new index is first put into the table's list, so that every writer from then on
//! keeps it up, and then [`Table::build_index`] goes through the documents that are there (`build.rs`). Writers look at the
//! list only after they have the locks, and the building waits for those that had theirs before: so no document is missed
//! between the two.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::build::Note;
use super::progress::{Progress, Step};
use super::secondary::IndexValue;
use super::{Document, PrimaryKey, Table};
use crate::datum::Datum;
use crate::storage::{TreeId, WriteBatch};

/// What an index is computed from.
pub trait IndexFunction: Send + Sync + fmt::Debug {
    /// The value of a document, or `None` when it has none: then it is not in the index.
    fn value(&self, document: &Document) -> Option<Datum>;

    /// Whether two documents certainly have the same value, as far as that can be told without computing it.
    fn is_unchanged(&self, _old: &Document, _new: &Document) -> bool {
        false
    }
}

/// How a value becomes entries. A kind of index that is not ordered by its values implements this anew.
pub trait IndexKind: Send + Sync + fmt::Debug {
    /// Adds what the index keeps of one value; nothing when the value cannot be in it.
    fn entries(&self, value: &Datum, entries: &mut Vec<IndexValue>);
}

/// The kind that is ordered by its values. Null, objects, minval, maxval and whatever else cannot be a key are
/// left out.
#[derive(Debug, Clone, Copy)]
pub struct Ordered;

impl IndexKind for Ordered {
    fn entries(&self, value: &Datum, entries: &mut Vec<IndexValue>) {
        entries.extend(IndexValue::of_document(value));
    }
}

/// A secondary index of an open table. There is one open value for each.
pub struct Index {
    id: Uuid,
    tree: TreeId,
    /// Of one that is not complete, the tree of what writers note while it is being built.
    notes: Option<TreeId>,
    is_multi: bool,
    kind: Box<dyn IndexKind>,
    function: Arc<dyn IndexFunction>,
    /// A [`Stage`].
    stage: AtomicU8,
    is_ready: AtomicBool,
    is_dropped: AtomicBool,
    /// How far the building is.
    progress: Progress,
    /// When the building began, of an index that this server has built.
    began: OnceLock<Instant>,
    /// Why it could not be built.
    problem: Mutex<Option<Arc<str>>>,
}

/// What writers do with an index: see `build.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Stage {
    /// They note what they change.
    Collecting,
    /// They change the index, and take away what was noted before.
    CatchingUp,
    /// They change the index.
    Direct,
}

impl fmt::Debug for Index {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Index").field("id", &self.id).field("tree", &self.tree).finish()
    }
}

impl Index {
    /// An index kept in `tree`. Of a multi index every element of an array is a value of its own.
    pub fn new(
        id: Uuid,
        tree: TreeId,
        is_multi: bool,
        kind: Box<dyn IndexKind>,
        function: Arc<dyn IndexFunction>,
        is_ready: bool,
    ) -> Self {
        Self {
            id,
            tree,
            notes: None,
            is_multi,
            kind,
            function,
            stage: AtomicU8::new(Stage::Direct as u8),
            is_ready: AtomicBool::new(is_ready),
            is_dropped: AtomicBool::new(false),
            progress: Progress::default(),
            began: OnceLock::new(),
            problem: Mutex::default(),
        }
    }

    /// The same for one that is to be built: writers put their notes into this tree until its own has the documents.
    #[must_use]
    pub fn with_notes(mut self, notes: TreeId) -> Self {
        self.notes = Some(notes);
        self.set_stage(Stage::Collecting);
        self
    }

    /// Its identity, which outlives its name.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The tree of its entries.
    pub fn tree(&self) -> TreeId {
        self.tree
    }

    /// The tree of notes, if there is one.
    pub fn notes(&self) -> Option<TreeId> {
        self.notes.filter(|_| !self.is_ready())
    }

    /// All its trees.
    pub fn trees(&self) -> impl Iterator<Item = TreeId> + use<> {
        [Some(self.tree), self.notes()].into_iter().flatten()
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Collecting,
            1 => Stage::CatchingUp,
            _ => Stage::Direct,
        }
    }

    /// What writers do from now on. Those that are under way are to be waited for.
    pub(super) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }

    /// Why it could not be built when that was tried last.
    pub fn problem(&self) -> Option<Arc<str>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes why it could not be built.
    pub fn set_problem(&self, problem: Option<Arc<str>>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Whether it can be read: it has all documents.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    pub(super) fn begin(&self) {
        self.began.get_or_init(Instant::now);
    }

    pub(super) fn begin_step(&self, step: Step, total: u64) {
        self.progress.begin(step, total);
    }

    pub(super) fn add_done(&self, done: u64) {
        self.progress.add(done);
    }

    /// How much of the building is done, from 0 to 1, which it is once the index is ready.
    pub fn progress(&self) -> f64 {
        if self.is_ready() { 1.0 } else { self.progress.part() }
    }

    /// Whether it is being built, or waits for its turn.
    pub fn is_being_built(&self) -> bool {
        !self.is_ready() && !self.is_dropped()
    }

    /// How long the building has been going on, if it has begun.
    pub fn building_for(&self) -> Option<Duration> {
        self.began.get().map(Instant::elapsed)
    }

    /// It is complete.
    pub fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    /// Whether it was dropped.
    pub fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Relaxed)
    }

    /// The building, if it is under way, ends.
    pub fn set_dropped(&self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }

    /// The value of a document; of a multi index perhaps an array of values.
    pub(super) fn value(&self, document: &Document) -> Option<Datum> {
        self.function.value(document)
    }

    /// The value of a document that the entry with this tag stands for.
    pub fn value_of(&self, document: &Document, tag: u32) -> Option<Datum> {
        let value = self.function.value(document)?;
        match &value {
            Datum::Array(elements) if self.is_multi => elements.get(tag as usize).cloned(),
            _ => Some(value),
        }
    }

    /// The keys of a document's entries, sorted.
    pub(super) fn entries(&self, primary: &PrimaryKey, document: Option<&Document>) -> Vec<Bytes> {
        let Some(value) = document.and_then(|document| self.function.value(document)) else {
            return Vec::new();
        };
        let mut keys = Vec::new();
        let mut values = Vec::new();
        let mut add = |value: &Datum, tag: usize| {
            self.kind.entries(value, &mut values);
            // An array that long is over every limit of arrays.
            let tag = u32::try_from(tag).unwrap_or(u32::MAX);
            keys.extend(values.drain(..).map(|value| value.entry(primary, tag)));
        };
        match &value {
            Datum::Array(elements) if self.is_multi => {
                elements.iter().enumerate().for_each(|(tag, element)| add(element, tag));
            }
            _ => add(&value, 0),
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Puts into the batch what a document's change means for the index.
    pub(super) fn follow(
        &self,
        batch: &mut WriteBatch,
        primary: &PrimaryKey,
        old: Option<&Document>,
        new: Option<&Document>,
    ) {
        if let (Some(old), Some(new)) = (old, new)
            && self.function.is_unchanged(old, new)
        {
            return;
        }
        let before = self.entries(primary, old);
        let after = self.entries(primary, new);
        let change = Change { index: self, stage: self.stage() };
        for key in &before {
            if after.binary_search(key).is_err() {
                change.put(batch, key.clone(), Note::IsGone);
            }
        }
        for key in after {
            if before.binary_search(&key).is_err() {
                change.put(batch, key, Note::IsThere);
            }
        }
    }
}

/// How an entry is changed.
struct Change<'a> {
    index: &'a Index,
    stage: Stage,
}

impl Change<'_> {
    fn put(&self, batch: &mut WriteBatch, key: Bytes, note: Note) {
        if let Some(notes) = self.index.notes {
            match self.stage {
                Stage::Collecting => {
                    batch.put(notes, key, note.encode());
                    return;
                }
                Stage::CatchingUp => batch.delete(notes, key.clone()),
                Stage::Direct => {}
            }
        }
        match note {
            Note::IsThere => batch.put(self.index.tree, key, Bytes::new()),
            Note::IsGone => batch.delete(self.index.tree, key),
        }
    }
}

impl Table {
    /// The indexes that writers keep up.
    pub(super) fn indexes(&self) -> Arc<[Arc<Index>]> {
        // The lock is held only while the pointer is cloned or exchanged, so it cannot be left in between.
        Arc::clone(&self.indexes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps others from changing the indexes of this table. To be held from before the commit that makes or drops one
    /// until [`Table::set_indexes`] has told the writers: a writer whose index is gone waits for that, and of two such
    /// changes the later one is told last.
    pub fn change_indexes(&self) -> MutexGuard<'_, ()> {
        self.index_change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is between the commit of such a change and telling of it.
    pub(super) fn knows_its_indexes(&self) -> bool {
        !matches!(self.index_change.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Has writers keep up these indexes and no others from now on.
    pub fn set_indexes(&self, indexes: Vec<Arc<Index>>) {
        let mut held = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        *held = indexes.into();
    }
}
