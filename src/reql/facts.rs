//! What is known of a query before it runs: what it does to the world, where it may run, and in which ways its answer may
//! vary. Rows of terms say it of one term, the compiler joins it over a tree.

/// What is known of a tree before it runs: of effect and cost, the worst of its terms.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// In which ways its answer may vary.
    pub varies: Varies,
    /// What it does to the world.
    pub effect: Effect,
    /// Where it may run.
    pub cost: Cost,
}

impl Facts {
    /// A literal's.
    pub const LITERAL: Facts =
        Facts { varies: Varies::NEVER, effect: Effect::None, cost: Cost::Light };

    /// The worse of both.
    #[must_use]
    pub fn join(self, other: Facts) -> Facts {
        Facts {
            varies: self.varies.join(other.varies),
            effect: self.effect.max(other.effect),
            cost: self.cost.max(other.cost),
        }
    }
}

/// What a term does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing.
    None,
    /// Reads tables or the catalog.
    Read,
    /// Writes documents.
    Write,
    /// Changes databases, tables, indexes or settings.
    Meta,
}

/// Whether a term gives the same answer each time, its arguments apart. Of a tree, [`Varies`] says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Determinism {
    /// Always.
    Always,
    /// When it has an argument, and it is written out: `r.args` may hold none (`uuid`).
    WithArgument,
    /// Within one query (`r.now()`).
    OneQuery,
    /// On one server (floating point of geometry may differ between machines).
    SingleServer,
    /// Never: random, tables, scripts.
    No,
}

/// In which ways the answer of a tree may vary from one evaluation to the next: those of all its terms together. The ways
/// do not include each other: an answer that varies with the time may be the same on each machine, and the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varies(u8);

impl Varies {
    /// In none: the same arguments give the same answer.
    pub const NEVER: Varies = Varies(0);
    /// In any: random, tables, scripts.
    pub const ANYHOW: Varies = Varies(1);
    /// From machine to machine.
    const BY_MACHINE: Varies = Varies(2);
    /// From query to query, with `r.now()`.
    pub const BY_TIME: Varies = Varies(4);

    /// What a term adds to its arguments'. `has_argument` says whether it has one that is not `r.args`.
    pub fn of(determinism: Determinism, has_argument: bool) -> Varies {
        match determinism {
            Determinism::WithArgument if has_argument => Varies::NEVER,
            Determinism::Always => Varies::NEVER,
            Determinism::OneQuery => Varies::BY_TIME,
            Determinism::SingleServer => Varies::BY_MACHINE,
            Determinism::WithArgument | Determinism::No => Varies::ANYHOW,
        }
    }

    /// In the ways of both.
    #[must_use]
    pub const fn join(self, other: Varies) -> Varies {
        Varies(self.0 | other.0)
    }

    /// Whether each evaluation on this server gives the same answer within one query: enough for what is evaluated
    /// just here, such as an order or the filter of a feed.
    pub const fn is_fixed_here(self) -> bool {
        self.0 & Varies::ANYHOW.0 == 0
    }

    /// Whether each server gives the same answer within one query: enough for a write, which every replica repeats.
    pub const fn is_fixed_in_query(self) -> bool {
        self.0 & !Varies::BY_TIME.0 == 0
    }

    /// Whether it gives the same answer always and everywhere: enough for what is kept, such as an index.
    pub const fn is_fixed(self) -> bool {
        self.0 == 0
    }
}

/// Where a term may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Touches few rows: inline on the network worker.
    Light,
    /// May scan or block: on the blocking pool.
    Heavy,
}
