//! A compiled query. Knows its tree and its global options; must not know how it was compiled, nor how it runs.

use std::sync::{Arc, OnceLock};

use photondb_protocol::raw_term::Frame;

use crate::datum::Datum;
use crate::limits;

use super::error::NodeId;
use super::running::Client;
use super::scope::VarId;
use super::tree::{Node, Op};

/// A compiled query.
#[derive(Debug)]
pub struct Program {
    root: Node,
    globals: Vec<(&'static str, Node)>,
    /// Of each node its parent and the step down from it.
    frames: Vec<(NodeId, Frame)>,
    /// Variables of functions around them that its functions use, each counted for each function.
    pub(super) captures: usize,
    pub(super) mentions_bounds: bool,
    /// Whether it may use the threads that are kept for administration, once somebody has asked.
    pub(super) is_administrative: OnceLock<bool>,
    now: Datum,
    client: OnceLock<Arc<Client>>,
}

/// The root's number. Its frame is not part of a path.
pub(super) const ROOT: NodeId = NodeId(0);

impl Program {
    /// A query with its global options; `now` is the time that `r.now()` stands for.
    pub(super) fn new(
        root: Node,
        globals: Vec<(&'static str, Node)>,
        frames: Vec<(NodeId, Frame)>,
        now: Datum,
    ) -> Self {
        let (captures, mentions_bounds, is_administrative) = Default::default();
        let client = OnceLock::new();
        Self { root, globals, frames, captures, mentions_bounds, is_administrative, now, client }
    }

    /// The term to evaluate.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Says who asks. The first to say so is right.
    pub fn is_asked_by(&self, client: &Arc<Client>) {
        self.client.get_or_init(|| client.clone());
    }

    /// Who asks: known of a query that is entered among those that run.
    pub fn client(&self) -> Option<&Arc<Client>> {
        self.client.get()
    }

    /// Whether `r.minval` or `r.maxval` occurs, so that they may be in the answer, where they are an error.
    pub fn mentions_bounds(&self) -> bool {
        self.mentions_bounds
    }

    /// The time that `r.now()` stands for.
    pub fn now(&self) -> &Datum {
        &self.now
    }

    /// About how many bytes its tree takes beside the texts in it.
    pub fn tree_bytes(&self) -> usize {
        self.frames.len() * limits::TERM_BYTES + self.captures * size_of::<VarId>()
    }

    /// Whether any global option was given.
    pub fn has_globals(&self) -> bool {
        !self.globals.is_empty()
    }

    /// A global option's term.
    pub fn global(&self, name: &str) -> Option<&Node> {
        self.globals.iter().find(|(have, _)| *have == name).map(|(_, node)| node)
    }

    /// Whether the client wants no answer. Only a literal counts, so that it is known before anything runs.
    pub fn noreply(&self) -> bool {
        match self.global("noreply").map(|node| &node.op) {
            Some(Op::Datum(datum)) => datum.truthy(),
            _ => false,
        }
    }

    /// The global options that were given, with their terms.
    pub fn globals(&self) -> &[(&'static str, Node)] {
        &self.globals
    }

    /// The path to a term, as the driver shows it.
    pub fn path(&self, at: NodeId) -> Vec<Frame> {
        path(&self.frames, at)
    }
}

/// The path to a term from the root.
pub(super) fn path(frames: &[(NodeId, Frame)], at: NodeId) -> Vec<Frame> {
    let mut path = Vec::new();
    let mut at = at;
    while at != ROOT {
        let Some((parent, frame)) = frames.get(at.0 as usize) else { break };
        path.push(frame.clone());
        at = *parent;
    }
    path.reverse();
    path
}
