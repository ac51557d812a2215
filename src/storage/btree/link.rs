//! Links from a node to those beneath it. Must not know what is in a node, nor how a place is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::node::Fresh;
use crate::storage::slab::Reference;

/// Where a node is.
#[derive(Debug, Clone)]
pub(super) enum Link {
    Stored(Place),
    Memory(Arc<Fresh>),
}

/// A place in the data file, and a hint where in memory what was read from there may be found. The hint may be wrong:
/// whoever follows it looks whether it led to the right image.
#[derive(Debug)]
pub(crate) struct Place {
    grain: u64,
    sum: u64,
    length: u32,
    hint: AtomicU32,
}

/// The hint of a place that nobody has looked for.
const NO_HINT: u32 = u32::MAX;

impl Place {
    pub(crate) fn new(reference: Reference) -> Self {
        let Reference { grain, length, sum } = reference;
        Self { grain, sum, length, hint: AtomicU32::new(NO_HINT) }
    }

    pub(crate) fn reference(&self) -> Reference {
        Reference { grain: self.grain, length: self.length, sum: self.sum }
    }

    pub(crate) fn hint(&self) -> u32 {
        // A number that is checked against what it leads to: nothing else must be seen in order.
        self.hint.load(Ordering::Relaxed)
    }

    pub(crate) fn set_hint(&self, hint: u32) {
        self.hint.store(hint, Ordering::Relaxed);
    }
}

impl Clone for Place {
    fn clone(&self) -> Self {
        let Self { grain, sum, length, .. } = *self;
        Self { grain, sum, length, hint: AtomicU32::new(self.hint()) }
    }
}

impl Link {
    /// Where the node is in the data file, if it is there.
    pub(super) fn reference(&self) -> Option<Reference> {
        match self {
            Self::Stored(place) => Some(place.reference()),
            Self::Memory(fresh) => fresh.slot.reference(),
        }
    }

    pub(super) fn stored(reference: Reference) -> Self {
        Self::Stored(Place::new(reference))
    }

    pub(super) fn memory(node: Fresh) -> Self {
        Self::Memory(Arc::new(node))
    }
}
