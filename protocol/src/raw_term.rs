//! The untyped term tree: JSON whose arrays have been understood as terms, with the place of an error as a path.
//! Knows the shape of a term and the numbers of terms; not their arity, options or meaning.

use std::borrow::Cow;
use std::sync::Arc;
use std::vec::IntoIter;

use crate::json::Json;
use crate::numbers::TermType;
use crate::pace;

/// One term. Borrows its strings from the query's text.
#[derive(Clone, Debug, PartialEq)]
pub enum RawTerm<'a> {
    /// A literal null.
    Null,
    /// A literal boolean.
    Bool(bool),
    /// A literal number.
    Number(f64),
    /// A literal string.
    String(Cow<'a, str>),
    /// A JSON object in the place of a term: MAKE_OBJ in shorthand. In order, duplicates kept.
    Object(Vec<(Cow<'a, str>, RawTerm<'a>)>),
    /// `[number, [args], {optargs}]`. Never of type DATUM: `[1, value]` becomes the value itself, with MAKE_ARRAY
    /// for its arrays.
    Term {
        /// Which term.
        kind: TermType,
        /// Positional arguments.
        args: Vec<RawTerm<'a>>,
        /// Optional arguments, in order, duplicates kept.
        optargs: Vec<(Cow<'a, str>, RawTerm<'a>)>,
    },
}

/// One step of a backtrace, from the root of the query down to the term at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Positional argument, counted from zero; printed as a JSON number.
    Position(u32),
    /// Optional argument or object field; printed as a JSON string.
    Name(Arc<str>),
}

/// A JSON value that is not a term. The message is RethinkDB's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RawTermError {
    /// What the user reads.
    pub message: String,
    /// Where, from the root of the query.
    pub path: Vec<Frame>,
}

impl RawTerm<'_> {
    /// Understands JSON as a term. Does not recurse; the tree is as deep as the JSON at most.
    pub fn from_json(json: Json<'_>) -> Result<RawTerm<'_>, RawTermError> {
        let mut outer: Vec<Open<'_>> = Vec::new();
        let mut steps = 0;
        let mut inner = match start(json, Reading::Terms) {
            Ok(Start::Whole(term)) => return Ok(term),
            Ok(Start::Opened(open)) => open,
            Err(message) => return Err(RawTermError { message, path: Vec::new() }),
        };
        loop {
            steps += 1;
            pace::count(steps);
            let Some(child) = inner.next() else {
                let closed = inner.close();
                match outer.pop() {
                    None => return Ok(closed),
                    Some(parent) => inner = parent,
                }
                inner.add(closed);
                continue;
            };
            match start(child, inner.reading) {
                Ok(Start::Whole(term)) => inner.add(term),
                Ok(Start::Opened(open)) => outer.push(std::mem::replace(&mut inner, open)),
                Err(message) => {
                    let path = outer.iter().chain([&inner]).map(Open::frame).collect();
                    return Err(RawTermError { message, path });
                }
            }
        }
    }
}

/// Whether JSON arrays are terms, or values because a DATUM term is around them.
#[derive(Copy, Clone, PartialEq)]
enum Reading {
    Terms,
    Values,
}

/// A term some of whose children are still JSON.
struct Open<'a> {
    /// None for an object in shorthand.
    kind: Option<TermType>,
    reading: Reading,
    args_left: IntoIter<Json<'a>>,
    optargs_left: IntoIter<(Cow<'a, str>, Json<'a>)>,
    args: Vec<RawTerm<'a>>,
    optargs: Vec<(Cow<'a, str>, RawTerm<'a>)>,
    /// Name of the optional argument being read, once the positional ones are done.
    name: Option<Cow<'a, str>>,
}

enum Start<'a> {
    Whole(RawTerm<'a>),
    Opened(Open<'a>),
}

impl<'a> Open<'a> {
    fn begin(
        kind: Option<TermType>,
        reading: Reading,
        args: Vec<Json<'a>>,
        optargs: Vec<(Cow<'a, str>, Json<'a>)>,
    ) -> Start<'a> {
        if args.is_empty() && optargs.is_empty() {
            return Start::Whole(match kind {
                None => RawTerm::Object(Vec::new()),
                Some(kind) => RawTerm::Term { kind, args: Vec::new(), optargs: Vec::new() },
            });
        }
        Start::Opened(Open {
            kind,
            reading,
            args: Vec::with_capacity(args.len()),
            optargs: Vec::with_capacity(optargs.len()),
            args_left: args.into_iter(),
            optargs_left: optargs.into_iter(),
            name: None,
        })
    }

    fn next(&mut self) -> Option<Json<'a>> {
        if let Some(arg) = self.args_left.next() {
            return Some(arg);
        }
        let (name, value) = self.optargs_left.next()?;
        self.name = Some(name);
        Some(value)
    }

    fn add(&mut self, term: RawTerm<'a>) {
        match self.name.take() {
            Some(name) => self.optargs.push((name, term)),
            None => self.args.push(term),
        }
    }

    fn close(&mut self) -> RawTerm<'a> {
        let args = std::mem::take(&mut self.args);
        let optargs = std::mem::take(&mut self.optargs);
        match self.kind {
            Some(kind) => RawTerm::Term { kind, args, optargs },
            None => RawTerm::Object(optargs),
        }
    }

    /// The step to the child being read.
    fn frame(&self) -> Frame {
        match &self.name {
            Some(name) => Frame::Name(Arc::from(name.as_ref())),
            None => Frame::Position(u32::try_from(self.args.len()).unwrap_or(u32::MAX)),
        }
    }
}

/// Understands one JSON value, but not what is inside it.
fn start(json: Json<'_>, reading: Reading) -> Result<Start<'_>, String> {
    Ok(match json {
        Json::Null => Start::Whole(RawTerm::Null),
        Json::Bool(value) => Start::Whole(RawTerm::Bool(value)),
        Json::Number(value) => Start::Whole(RawTerm::Number(value)),
        Json::String(value) => Start::Whole(RawTerm::String(value)),
        Json::Object(fields) => Open::begin(None, reading, Vec::new(), fields),
        Json::Array(items) => match reading {
            Reading::Values => Open::begin(Some(TermType::MakeArray), reading, items, Vec::new()),
            Reading::Terms => return start_term(items),
        },
    })
}

fn start_term(items: Vec<Json<'_>>) -> Result<Start<'_>, String> {
    let size = items.len();
    let mut items = items.into_iter();
    let (Some(number), second, third, None) =
        (items.next(), items.next(), items.next(), items.next())
    else {
        return Err(format!("Expected between 1 and 3 elements in a raw term, but found {size}."));
    };
    let kind = match number {
        Json::Number(number) => {
            let number = integer(number);
            TermType::from_number(number)
                .ok_or_else(|| format!("Unrecognized TermType: {number}."))?
        }
        other => {
            let found = other.type_name();
            return Err(format!("Expected a TermType as a NUMBER but found {found}."));
        }
    };
    if kind == TermType::Datum {
        return match (second, third) {
            (Some(value), None) => start(value, Reading::Values),
            // RethinkDB counts the backtrace that it has added to the array.
            _ => Err(format!("Expected 3 items in array, but found {}.", size + 1)),
        };
    }
    let (args, mut optargs) = match second {
        None => (Vec::new(), Vec::new()),
        Some(Json::Array(args)) => (args, Vec::new()),
        Some(Json::Object(optargs)) => (Vec::new(), optargs),
        Some(_) => {
            return Err(
                "Second element in a Term is neither arguments nor optional arguments.".to_owned()
            );
        }
    };
    match third {
        None => {}
        Some(Json::Object(third)) => optargs = third,
        Some(_) => return Err("Third element in a Term is not optional arguments.".to_owned()),
    }
    Ok(Open::begin(Some(kind), Reading::Terms, args, optargs))
}

/// A number where a whole one is due, as RethinkDB reads it: a fraction reads as zero.
pub(crate) fn integer(number: f64) -> i64 {
    if number.fract() == 0.0 { number as i64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn term(text: &str) -> Result<RawTerm<'_>, RawTermError> {
        RawTerm::from_json(parse(text).unwrap())
    }

    fn error(text: &str) -> (String, Vec<Frame>) {
        let error = term(text).unwrap_err();
        (error.message, error.path)
    }

    fn call<'a>(kind: TermType, args: Vec<RawTerm<'a>>) -> RawTerm<'a> {
        RawTerm::Term { kind, args, optargs: vec![] }
    }

    #[test]
    fn literals_objects_and_calls() {
        assert_eq!(term("null"), Ok(RawTerm::Null));
        assert_eq!(term("true"), Ok(RawTerm::Bool(true)));
        assert_eq!(term("-1.5"), Ok(RawTerm::Number(-1.5)));
        assert_eq!(term("\"x\""), Ok(RawTerm::String("x".into())));
        assert_eq!(term("{}"), Ok(RawTerm::Object(vec![])));
        assert_eq!(term("[180]"), Ok(call(TermType::Minval, vec![])));
        assert_eq!(
            term(r#"{"a":[24,[1,[2]]]}"#),
            Ok(RawTerm::Object(vec![(
                "a".into(),
                call(TermType::Add, vec![RawTerm::Number(1.0), call(TermType::MakeArray, vec![])])
            )]))
        );
    }

    #[test]
    fn optional_arguments_in_second_or_third_place() {
        let expected = |args| RawTerm::Term {
            kind: TermType::Filter,
            args,
            optargs: vec![("default".into(), RawTerm::Bool(true))],
        };
        assert_eq!(term(r#"[39,{"default":true}]"#), Ok(expected(vec![])));
        assert_eq!(term(r#"[39,[5],{"default":true}]"#), Ok(expected(vec![RawTerm::Number(5.0)])));
        assert_eq!(term(r#"[39,{"x":1},{"default":true}]"#), Ok(expected(vec![])));
    }

    #[test]
    fn datum_holds_values_not_terms() {
        let array = call(
            TermType::MakeArray,
            vec![RawTerm::Number(24.0), call(TermType::MakeArray, vec![RawTerm::Null])],
        );
        assert_eq!(term("[1,[24,[null]]]"), Ok(array.clone()));
        assert_eq!(
            term(r#"[1,{"a":[24,[null]]}]"#),
            Ok(RawTerm::Object(vec![("a".into(), array)]))
        );
        assert_eq!(term("[2,[[1,false],[1,[]]]]").unwrap().clone(), {
            call(TermType::MakeArray, vec![RawTerm::Bool(false), call(TermType::MakeArray, vec![])])
        });
    }

    #[test]
    fn shape_errors_as_recorded() {
        for (text, message) in [
            ("[]", "Expected between 1 and 3 elements in a raw term, but found 0."),
            ("[24,[1,2],{},4]", "Expected between 1 and 3 elements in a raw term, but found 4."),
            ("[1]", "Expected 3 items in array, but found 2."),
            ("[999,[]]", "Unrecognized TermType: 999."),
            ("[24.5,[1]]", "Unrecognized TermType: 0."),
            ("[-1,[]]", "Unrecognized TermType: -1."),
            ("[[24],[]]", "Expected a TermType as a NUMBER but found ARRAY."),
            ("[\"24\",[1,2]]", "Expected a TermType as a NUMBER but found STRING."),
            ("[2,5]", "Second element in a Term is neither arguments nor optional arguments."),
            ("[24,1]", "Second element in a Term is neither arguments nor optional arguments."),
            ("[24,[],5]", "Third element in a Term is not optional arguments."),
        ] {
            assert_eq!(error(text), (message.to_owned(), vec![]), "{text}");
        }
    }

    #[test]
    fn errors_carry_the_path_to_the_term() {
        let name = |name: &str| Frame::Name(Arc::from(name));
        let (_, path) = error(r#"[24,[1,{"a":[24,[1,2],{"b":[]}]}]]"#);
        assert_eq!(path, [Frame::Position(1), name("a"), name("b")]);
        let (_, path) = error(r#"[24,[[2,[1,2,[7]]]]]"#);
        assert_eq!(path, [Frame::Position(0), Frame::Position(2)]);
    }

    #[test]
    fn the_deepest_tree_fits_a_small_stack() {
        // Dropping a tree recurses; everything else here does not.
        let run = || {
            let levels = crate::limits::JSON_DEPTH_MAX;
            let objects = "{\"\":".repeat(levels) + "0" + &"}".repeat(levels);
            assert!(matches!(term(&objects), Ok(RawTerm::Object(_))));
            let arrays = "[2,[".repeat(levels / 2) + &"]]".repeat(levels / 2);
            assert!(matches!(term(&arrays), Ok(RawTerm::Term { .. })));
            let mut wrong = "[2,[".repeat(levels / 2 - 1) + "[0]" + &"]]".repeat(levels / 2 - 1);
            assert_eq!(error(&wrong).1.len(), levels / 2 - 1);
            wrong.insert(0, '{');
            assert!(parse(&wrong).is_err());
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
    }
}
