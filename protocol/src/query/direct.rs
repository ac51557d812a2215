//! The short way from text to query: terms are built as they are read, without a JSON tree in between, which
//! halves the cost of a small query. It takes only queries that are right, are START, and are not nested deeply;
//! for anything else it gives up, and the long way decides what is wrong. So it holds no error texts, and whatever
//! it gives is what the long way gives (a test compares the two).

use std::borrow::Cow;

use super::Query;
use crate::json::{JsonError, Reader};
use crate::numbers::{QueryType, TermType};
use crate::raw_term::{RawTerm, integer};

/// Nested terms and objects that are followed; each takes a few hundred bytes of stack.
const DEPTH_MAX: usize = 64;

/// Why the short way ended: not for it. Says nothing about the query.
struct NotHere;

type Fields<'a> = Vec<(Cow<'a, str>, RawTerm<'a>)>;

/// The query, if it is one that this way takes.
pub(crate) fn parse(text: &str) -> Option<Query<'_>> {
    let mut reader = Reader::new(text);
    let query = start(&mut reader).ok()?;
    reader.end().ok()?;
    Some(query)
}

fn start<'a>(reader: &mut Reader<'a>) -> Result<Query<'a>, NotHere> {
    expect(reader, b'[')?;
    if number(reader)? != i64::from(QueryType::Start.number()) {
        return Err(NotHere);
    }
    expect(reader, b',')?;
    let term = term(reader, 0)?;
    let mut optargs = Vec::new();
    if !reader.take(b']') {
        expect(reader, b',')?;
        expect(reader, b'{')?;
        optargs = fields(reader, 0)?;
        expect(reader, b']')?;
    }
    Ok(Query::Start { term, optargs })
}

fn term<'a>(reader: &mut Reader<'a>, depth: usize) -> Result<RawTerm<'a>, NotHere> {
    reader.count()?;
    reader.skip_space();
    Ok(match reader.peek() {
        Some(b'[') => {
            reader.step();
            call(reader, deeper(depth)?)?
        }
        Some(b'{') => {
            reader.step();
            RawTerm::Object(fields(reader, deeper(depth)?)?)
        }
        Some(b'"') => RawTerm::String(reader.string()?),
        Some(b'-' | b'0'..=b'9') => RawTerm::Number(reader.number()?),
        Some(b't') => {
            reader.word("true")?;
            RawTerm::Bool(true)
        }
        Some(b'f') => {
            reader.word("false")?;
            RawTerm::Bool(false)
        }
        Some(b'n') => {
            reader.word("null")?;
            RawTerm::Null
        }
        _ => return Err(NotHere),
    })
}

/// What follows the bracket of a term.
fn call<'a>(reader: &mut Reader<'a>, depth: usize) -> Result<RawTerm<'a>, NotHere> {
    let kind = TermType::from_number(number(reader)?).ok_or(NotHere)?;
    if kind == TermType::Datum {
        return Err(NotHere);
    }
    let mut args = Vec::new();
    if reader.take(b']') {
        return Ok(RawTerm::Term { kind, args, optargs: Vec::new() });
    }
    expect(reader, b',')?;
    if reader.take(b'[') {
        args = self::args(reader, depth)?;
        if reader.take(b']') {
            return Ok(RawTerm::Term { kind, args, optargs: Vec::new() });
        }
        expect(reader, b',')?;
    }
    expect(reader, b'{')?;
    let optargs = fields(reader, depth)?;
    expect(reader, b']')?;
    Ok(RawTerm::Term { kind, args, optargs })
}

/// What follows the bracket of positional arguments.
fn args<'a>(reader: &mut Reader<'a>, depth: usize) -> Result<Vec<RawTerm<'a>>, NotHere> {
    let mut args = Vec::new();
    if reader.take(b']') {
        return Ok(args);
    }
    loop {
        args.push(term(reader, depth)?);
        if reader.take(b']') {
            return Ok(args);
        }
        expect(reader, b',')?;
    }
}

/// What follows the brace of an object.
fn fields<'a>(reader: &mut Reader<'a>, depth: usize) -> Result<Fields<'a>, NotHere> {
    let mut fields = Vec::new();
    if reader.take(b'}') {
        return Ok(fields);
    }
    loop {
        reader.skip_space();
        let name = reader.key()?;
        fields.push((name, term(reader, depth)?));
        if reader.take(b'}') {
            return Ok(fields);
        }
        expect(reader, b',')?;
    }
}

fn number(reader: &mut Reader<'_>) -> Result<i64, NotHere> {
    reader.skip_space();
    Ok(integer(reader.number()?))
}

fn expect(reader: &mut Reader<'_>, byte: u8) -> Result<(), NotHere> {
    if reader.take(byte) { Ok(()) } else { Err(NotHere) }
}

fn deeper(depth: usize) -> Result<usize, NotHere> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(NotHere) }
}

impl From<JsonError> for NotHere {
    fn from(_: JsonError) -> NotHere {
        NotHere
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_queries_and_gives_what_the_long_way_gives() {
        for text in [
            "[1,[24,[1,1]],{}]",
            " [ 1 , [ 39 , [ null , true , -1.5 ] , { \"default\" : false } ] ] ",
            r#"[1,[16,[[15,[[14,["t\u0065st"]],"users"]],"x"]],{"noreply":true,"noreply":false}]"#,
            r#"[1,{"a":{},"a":[2,[]],"b":[3,{"c":[13]}]}]"#,
            "[1,\"\"]",
        ] {
            let short = parse(text);
            assert!(short.is_some(), "{text}");
            assert_eq!(short, super::super::parse_the_long_way(text).ok(), "{text}");
        }
    }

    #[test]
    fn leaves_the_rest_to_the_long_way() {
        for text in [
            "[1,[1,[1,2]]]",
            "[2]",
            "[1]",
            "[1,[999]]",
            "[1,[24,{},{}]]",
            "[1,[24,[],[]]]",
            "[1,[24,5]]",
            "[1,[24,[],]]",
            "[1,[24,[1,]]]",
            "[1,{\"a\":1,}]",
            "[1,5,6]",
            "[1,5,{},7]",
            "[1,5] 6",
            "[1,nul]",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let nested =
            |levels: usize| format!("[1,{}{}]", "[2,[".repeat(levels), "]]".repeat(levels));
        assert!(parse(&nested(DEPTH_MAX)).is_some());
        assert_eq!(parse(&nested(DEPTH_MAX + 1)), None);
    }
}
