//! From the untyped term tree to a compiled one: arity, options, variables, the places where terms may stand.
//!
//! Everything that can be known without running is checked here; an error names the term by its path. The order of the
//! checks is RethinkDB's: a term's arguments come before its own arity, and its arity before its options.

use std::borrow::Cow;
use std::collections::btree_map::{BTreeMap, Entry};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use photondb_protocol::numbers::TermType;
use photondb_protocol::raw_term::{Frame, RawTerm};

use crate::datum::{Datum, work};
use crate::limits;

use super::error::{Error, NodeId};
use super::facts::Facts;
use super::facts::{Cost, Effect, Varies};
use super::program::{Program, ROOT, path};
use super::scope::VarId;
use super::spec::TermSpec;
use super::tree::{Call, Node, Op};
use super::tree::{FuncNode, binds_implicit};
use super::{glance, literal, terms, top};

/// What is wrong with a query before it runs, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// RethinkDB's text.
    pub message: String,
    /// The place, from the root of the query.
    pub path: Vec<Frame>,
}

impl Program {
    /// Compiles a term and its global options. `now` is the time that `r.now()` stands for in the whole query.
    pub fn compile(
        term: RawTerm<'_>,
        optargs: Vec<(Cow<'_, str>, RawTerm<'_>)>,
        now: &Datum,
    ) -> Result<Program, CompileError> {
        let mut compiler = Compiler::new(now);
        let compiled = compiler.globals(optargs).and_then(|globals| {
            // Arrays in documents that are not evaluated do not know of a limit.
            let storable = globals.iter().all(|(name, _)| *name != "array_limit");
            let place = Place { writes_legal: true, storable, ..Place::OPTION };
            Ok((globals, compiler.term(term, ROOT, place)?))
        });
        match compiled {
            Ok((globals, root)) => {
                let Compiler { frames, captures, mentions_bounds, .. } = compiler;
                let mut program = Program::new(root, globals, frames, now.clone());
                (program.captures, program.mentions_bounds) = (captures, mentions_bounds);
                Ok(program)
            }
            Err(error) => {
                let path = error.blamed().map_or_else(Vec::new, |at| path(&compiler.frames, at));
                Err(CompileError { message: error.message().to_owned(), path })
            }
        }
    }
}

struct Compiler<'c> {
    /// Of each node its parent and the step down from it.
    frames: Vec<(NodeId, Frame)>,
    /// The functions around the current term, innermost last.
    functions: Vec<Function>,
    /// Those of them whose parameter is also `r.row`, innermost last.
    implicit: Vec<usize>,
    /// Parameters of all of them.
    params: usize,
    /// Captures of all functions of the query.
    captures: usize,
    /// Which of them have a parameter of a name, innermost last; kept while the parameters are many.
    bound: HashMap<VarId, Vec<usize>>,
    now: &'c Datum,
    mentions_bounds: bool,
}

/// A function being compiled.
struct Function {
    params: Vec<VarId>,
    captures: Vec<VarId>,
    /// The captures again, once they are many.
    captured: HashSet<VarId>,
    captures_implicit: bool,
}

impl Function {
    /// A function with these parameters, in which nothing has been looked at.
    fn new(params: Vec<VarId>) -> Function {
        let (captures, captured) = (Vec::new(), HashSet::new());
        Function { params, captures, captured, captures_implicit: false }
    }

    /// Notes that its body uses a variable of a function around it. Whether that was not known.
    fn capture(&mut self, name: VarId) -> bool {
        let is_new = if self.captures.len() < FEW {
            !self.captures.contains(&name)
        } else {
            if self.captured.is_empty() {
                self.captured.extend(&self.captures);
            }
            self.captured.insert(name)
        };
        if is_new {
            self.captures.push(name);
        }
        is_new
    }
}

/// So many names are searched one by one; more are not, since each of them may be looked for.
const FEW: usize = 32;

/// The compiled fields of an object, in the order of their names.
enum FieldNodes {
    Few(Vec<(Arc<str>, Node)>),
    Many(BTreeMap<Arc<str>, Node>),
}

impl FieldNodes {
    fn with_room(fields: usize) -> FieldNodes {
        if fields <= FEW {
            FieldNodes::Few(Vec::with_capacity(fields))
        } else {
            FieldNodes::Many(BTreeMap::new())
        }
    }

    /// Adds a field; gives its name back when there is one of that name.
    fn add(&mut self, name: Arc<str>, node: Node) -> Result<(), Arc<str>> {
        match self {
            FieldNodes::Few(nodes) => {
                let order = |have: &(Arc<str>, Node)| have.0.as_bytes().cmp(name.as_bytes());
                match nodes.binary_search_by(order) {
                    Ok(_) => return Err(name),
                    Err(at) => nodes.insert(at, (name, node)),
                }
            }
            FieldNodes::Many(nodes) => match nodes.entry(name) {
                Entry::Occupied(have) => return Err(have.key().clone()),
                Entry::Vacant(place) => {
                    place.insert(node);
                }
            },
        }
        Ok(())
    }

    fn in_order(self) -> Vec<(Arc<str>, Node)> {
        match self {
            FieldNodes::Few(nodes) => nodes,
            FieldNodes::Many(nodes) => nodes.into_iter().collect(),
        }
    }
}

/// Where a term stands.
#[derive(Clone, Copy)]
struct Place {
    /// The term around it.
    around: Option<TermType>,
    /// Whether `r.asc` and `r.desc` may stand here.
    orders: bool,
    /// Whether writes may stand here.
    writes_legal: bool,
    /// Whether the documents of an insert below may be brought into their stored form: not in a function, which may be
    /// shown or kept as it was written.
    storable: bool,
    /// Whether an object that stands here is such a document.
    stored: bool,
}

type Compiled<T> = Result<T, Error>;

impl<'c> Compiler<'c> {
    fn new(now: &'c Datum) -> Self {
        Compiler {
            frames: vec![(ROOT, Frame::Position(0))],
            functions: Vec::new(),
            implicit: Vec::new(),
            params: 0,
            captures: 0,
            bound: HashMap::new(),
            now,
            mentions_bounds: false,
        }
    }

    fn child(&mut self, parent: NodeId, frame: Frame) -> NodeId {
        work::step();
        // A query's bytes are bounded well below 2^32 terms.
        let id = NodeId(self.frames.len() as u32);
        self.frames.push((parent, frame));
        id
    }

    /// Global options stand outside the tree: their errors have no path.
    fn globals(
        &mut self,
        optargs: Vec<(Cow<'_, str>, RawTerm<'_>)>,
    ) -> Compiled<Vec<(&'static str, Node)>> {
        let mut globals: Vec<(&'static str, Node)> = Vec::with_capacity(optargs.len());
        for (name, raw) in optargs {
            let name = terms::global_option(&name).ok_or_else(|| {
                Error::logic(format!("Unrecognized global optional argument `{name}`."))
            })?;
            if globals.iter().any(|(have, _)| *have == name) {
                return Err(Error::logic(format!("Duplicate global optional argument: `{name}`.")));
            }
            globals.push((name, self.term(raw, ROOT, Place::OPTION)?));
        }
        Ok(globals)
    }

    fn term(&mut self, raw: RawTerm<'_>, id: NodeId, place: Place) -> Compiled<Node> {
        let literal_node = |datum| Node { id, op: Op::Datum(datum), facts: Facts::LITERAL };
        match raw {
            RawTerm::Null => Ok(literal_node(Datum::Null)),
            RawTerm::Bool(value) => Ok(literal_node(Datum::Bool(value))),
            RawTerm::Number(value) => Ok(literal_node(Datum::Number(value))),
            RawTerm::String(text) => Ok(literal_node(Datum::string(&text))),
            RawTerm::Object(fields) => {
                let document = if place.stored { literal::document(&fields) } else { None };
                match document {
                    Some(document) => Ok(literal_node(document)),
                    None => self.object(fields, id, place),
                }
            }
            RawTerm::Term { kind, args, optargs } => {
                check_place(kind, place).map_err(|error| error.at(id))?;
                self.mentions_bounds |= matches!(kind, TermType::Minval | TermType::Maxval);
                match kind {
                    TermType::Func => self.func(args, &optargs, id, place),
                    TermType::Var => self.var(&args, id),
                    TermType::ImplicitVar if !args.is_empty() || !optargs.is_empty() => {
                        let message = "Expected no arguments or optional arguments on implicit variable term.";
                        Err(Error::logic(message).at(id))
                    }
                    TermType::ImplicitVar => self.implicit_var(id),
                    TermType::Now if args.is_empty() => {
                        // Checked like any term; what it gives is known already.
                        self.call(kind, args, optargs, id, place)?;
                        let facts = Facts { varies: Varies::BY_TIME, ..Facts::LITERAL };
                        Ok(Node { facts, ..literal_node(self.now.clone()) })
                    }
                    TermType::MakeObj => self.object(optargs, id, place),
                    _ => self.call(kind, args, optargs, id, place),
                }
            }
        }
    }

    fn object(
        &mut self,
        fields: Vec<(Cow<'_, str>, RawTerm<'_>)>,
        id: NodeId,
        place: Place,
    ) -> Compiled<Node> {
        let mut nodes = FieldNodes::with_room(fields.len());
        let mut facts = Facts::LITERAL;
        for (name, raw) in fields {
            let name: Arc<str> = Arc::from(name);
            let child = self.child(id, Frame::Name(name.clone()));
            let place =
                Place { around: Some(TermType::MakeObj), orders: false, stored: false, ..place };
            let node = self.term(raw, child, place)?;
            facts = facts.join(node.facts);
            if let Err(name) = nodes.add(name, node) {
                return Err(Error::logic(format!("Duplicate object key: {name}.")).at(id));
            }
        }
        Ok(Node { id, op: Op::Object(Arc::new(nodes.in_order())), facts })
    }

    fn call(
        &mut self,
        kind: TermType,
        args: Vec<RawTerm<'_>>,
        optargs: Vec<(Cow<'_, str>, RawTerm<'_>)>,
        id: NodeId,
        place: Place,
    ) -> Compiled<Node> {
        let Some(spec) = terms::row(kind) else {
            let name = terms::name_without_row(kind);
            return Err(Error::logic(format!("{name} is not supported by this server yet.")).at(id));
        };
        let has_argument = args.first().is_some_and(|raw| !is_args(raw));
        let varies = Varies::of(spec.determinism, has_argument);
        let mut facts = Facts { varies, effect: spec.effect, cost: spec.cost };
        let mut compiled_args = Vec::with_capacity(args.len());
        let mut splices = false;
        for (i, raw) in args.into_iter().enumerate() {
            let child = self.child(id, Frame::Position(i as u32));
            splices |= is_args(&raw) && spec.evaluates_later != Some(i);
            let node = self.term(raw, child, place.within(spec, i == 0))?;
            let mut node_facts = node.facts;
            if i == 0 && spec.takes_table_whole && node.is_table() {
                node_facts.cost = Cost::Light;
            }
            facts = facts.join(node_facts);
            compiled_args.push(node);
        }
        if (!splices || spec.is_rewritten) && !spec.arity.allows(compiled_args.len()) {
            return Err(Error::logic(spec.arity.complaint(compiled_args.len())).at(id));
        }
        let mut compiled_optargs: Vec<(&'static str, Node)> = Vec::with_capacity(optargs.len());
        for (name, raw) in optargs {
            let child = self.child(id, Frame::Name(Arc::from(name.as_ref())));
            let Some(known) = spec.options.iter().find(|known| **known == name) else {
                return Err(
                    Error::logic(format!("Unrecognized optional argument `{name}`.")).at(child)
                );
            };
            if compiled_optargs.iter().any(|(have, _)| have == known) {
                return Err(Error::logic(format!("Duplicate optional argument: {name}")).at(child));
            }
            let node = self.term(raw, child, place.within(spec, false))?;
            facts = facts.join(node.facts);
            compiled_optargs.push((known, node));
        }
        let args = compiled_args;
        let mut call =
            Call { spec, args, optargs: compiled_optargs, splices, is_simple: false, top: None };
        call.is_simple = glance::is_simple(&call);
        top::note(&mut call);
        Ok(Node { id, op: Op::Call(Arc::new(call)), facts })
    }

    fn func(
        &mut self,
        args: Vec<RawTerm<'_>>,
        optargs: &[(Cow<'_, str>, RawTerm<'_>)],
        id: NodeId,
        place: Place,
    ) -> Compiled<Node> {
        if !optargs.is_empty() {
            return Err(Error::logic("FUNC takes no optional arguments.").at(id));
        }
        let found = args.len();
        let mut args = args.into_iter();
        let (Some(params), Some(body), None) = (args.next(), args.next(), args.next()) else {
            let message = format!("FUNC takes exactly two arguments (got {found})");
            return Err(Error::logic(message).at(id));
        };
        self.child(id, Frame::Position(0));
        let params = func_params(params).map_err(|error| error.at(id))?;
        let body_id = self.child(id, Frame::Position(1));
        self.open(Function::new(params.clone()));
        let around = Place {
            around: Some(TermType::Func),
            orders: false,
            storable: false,
            stored: false,
            ..place
        };
        let body = self.term(body, body_id, around);
        let function = self.close();
        let body = body?;
        let (captures, captures_implicit) = function.map_or((Vec::new(), false), |function| {
            (function.captures, function.captures_implicit)
        });
        let facts = body.facts;
        let func = FuncNode { id, params, body, captures, captures_implicit };
        Ok(Node { id, op: Op::Func(Arc::new(func)), facts })
    }

    /// A function begins; its parameters hide those of the same name around it.
    fn open(&mut self, function: Function) {
        work::steps(function.params.len());
        self.params += function.params.len();
        if binds_implicit(&function.params) {
            self.implicit.push(self.functions.len());
        }
        self.functions.push(function);
        if self.params <= FEW {
            return;
        }
        let known = if self.bound.is_empty() { 0 } else { self.functions.len() - 1 };
        for (at, function) in self.functions.iter().enumerate().skip(known) {
            for name in &function.params {
                let owners = self.bound.entry(*name).or_default();
                if owners.last() != Some(&at) {
                    owners.push(at);
                }
            }
        }
    }

    fn close(&mut self) -> Option<Function> {
        let function = self.functions.pop()?;
        let at = self.functions.len();
        self.params -= function.params.len();
        if self.implicit.last() == Some(&at) {
            self.implicit.pop();
        }
        if self.params <= FEW {
            self.bound.clear();
        }
        for name in &function.params {
            if let Some(owners) = self.bound.get_mut(name)
                && owners.last() == Some(&at)
            {
                owners.pop();
            }
        }
        Some(function)
    }

    /// The innermost function that has a parameter of this name.
    fn owner(&self, name: VarId) -> Option<usize> {
        if self.params <= FEW {
            return self.functions.iter().rposition(|function| function.params.contains(&name));
        }
        self.bound.get(&name)?.last().copied()
    }

    fn var(&mut self, args: &[RawTerm<'_>], id: NodeId) -> Compiled<Node> {
        let [name] = args else {
            let found = args.len();
            return Err(Error::logic(format!("Expected 1 argument but found {found}.")).at(id));
        };
        let RawTerm::Number(number) = name else {
            let message = "A variable term has a non-numeric name datum.";
            return Err(Error::logic(message).at(id));
        };
        // Drivers number variables with small integers; a fraction is cut as RethinkDB cuts it.
        let name = *number as VarId;
        let Some(owner) = self.owner(name) else {
            return Err(Error::logic("Variable name not found.").at(id));
        };
        // Where it is known it is known further outside too.
        for function in self.functions.iter_mut().skip(owner + 1).rev() {
            work::step();
            if !function.capture(name) {
                break;
            }
            self.captures += 1;
        }
        if self.captures > limits::QUERY_CAPTURES {
            return Err(Error::resource_limit(format!(
                "The functions of a query may use {} variables of functions around them in all, those between counted.",
                limits::QUERY_CAPTURES
            ))
            .at(id));
        }
        Ok(Node { id, op: Op::Var(name), facts: Facts::LITERAL })
    }

    /// `r.row` is the parameter of the one function around it that has a single one. Of several it could be either's.
    fn implicit_var(&mut self, id: NodeId) -> Compiled<Node> {
        let owner = match self.implicit[..] {
            [] => return Err(Error::logic("r.row is not defined in this context.").at(id)),
            [owner] => owner,
            _ => {
                let message = "Cannot use r.row in nested queries.  Use functions instead.";
                return Err(Error::logic(message).at(id));
            }
        };
        // Where it is known it is known further outside too.
        for function in self.functions.iter_mut().skip(owner + 1).rev() {
            work::step();
            if std::mem::replace(&mut function.captures_implicit, true) {
                break;
            }
        }
        Ok(Node { id, op: Op::ImplicitVar, facts: Facts::LITERAL })
    }
}

impl Place {
    /// The place of a global option.
    const OPTION: Place =
        Place { around: None, orders: false, writes_legal: false, storable: false, stored: false };

    /// The place of an argument of a term that stands here.
    fn within(self, spec: &TermSpec, first: bool) -> Place {
        let stored = match spec.term {
            TermType::Insert => self.storable && !first,
            TermType::MakeArray => self.stored,
            _ => false,
        };
        let orders = match spec.term {
            TermType::OrderBy | TermType::Union => true,
            // What a union interleaves by may be an array.
            TermType::MakeArray => self.around == Some(TermType::Union),
            _ => false,
        };
        Place {
            around: Some(spec.term),
            orders,
            writes_legal: self.writes_legal && (first || !spec.forbids_writes),
            storable: self.storable,
            stored,
        }
    }
}

/// Rules about where a term may stand, checked before its arguments.
fn check_place(kind: TermType, place: Place) -> Compiled<()> {
    if matches!(kind, TermType::Asc | TermType::Desc) && !place.orders {
        let name = if kind == TermType::Asc { "ASC" } else { "DESC" };
        return Err(Error::logic(format!(
            "{name} may only be used as an argument to ORDER_BY or UNION."
        )));
    }
    let writes = terms::row(kind).is_some_and(|spec| spec.effect >= Effect::Write);
    if writes && !place.writes_legal {
        return Err(Error::logic(
            "Cannot nest writes or meta ops in stream operations.  Use FOR_EACH instead.",
        ));
    }
    Ok(())
}

/// Whether it is `r.args`.
fn is_args(raw: &RawTerm<'_>) -> bool {
    matches!(raw, RawTerm::Term { kind: TermType::Args, .. })
}

/// The parameters of a function: a literal array of numbers.
fn func_params(raw: RawTerm<'_>) -> Compiled<Vec<VarId>> {
    let RawTerm::Term { kind: TermType::MakeArray, args, .. } = raw else {
        return Err(Error::logic(
            "CLIENT ERROR: FUNC variables must be a *literal array of numbers*.",
        ));
    };
    args.into_iter()
        .map(|arg| match arg {
            RawTerm::Number(number) => Ok(number as VarId),
            RawTerm::Term { .. } | RawTerm::Object(_) => Err(Error::logic(
                "CLIENT ERROR: FUNC variables must be a *literal* array of numbers.",
            )),
            _ => Err(Error::logic(
                "CLIENT ERROR: FUNC variables must be a literal array of *numbers*.",
            )),
        })
        .collect()
}
