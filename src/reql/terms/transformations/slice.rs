//! `slice`, `skip`, `limit`: parts of sequences; `slice` and `skip` also of strings and binary values.

use photondb_protocol::numbers::TermType;

use crate::datum::Datum;
use crate::reql::error::{Error, NodeId, Result};
use crate::reql::eval::Args;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{Rows, Slice};
use crate::reql::value::{Val, ValKind};

pub static SLICE: TermSpec = TermSpec {
    options: &["left_bound", "right_bound"],
    ..TermSpec::pure(
        TermType::Slice,
        "SLICE",
        Chapter::Transformations,
        Arity::between(2, 3),
        slice,
    )
};

/// RethinkDB makes a slice of it that ends with the last element, so it knows the other bound.
pub static SKIP: TermSpec = TermSpec {
    is_rewritten: true,
    options: &["left_bound"],
    ..TermSpec::pure(TermType::Skip, "SKIP", Chapter::Transformations, Arity::exactly(2), skip)
};

pub static LIMIT: TermSpec =
    TermSpec::pure(TermType::Limit, "LIMIT", Chapter::Transformations, Arity::exactly(2), limit);

fn limit(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let at = first.at;
    let rows = Rows::of(first, args.env)?;
    let count = args.arg(1)?;
    let count = small_integer(count.at, count.integer(args.env)?)?;
    let count = u64::try_from(count)
        .map_err(|_| Error::logic(format!("LIMIT takes a non-negative argument (got {count})")))?;
    rows.restream(args, |source| Ok(Box::new(Slice::new(source, at, 0, Some(count)))))
}

fn skip(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let from_open = is_open(args, "left_bound", false)?;
    let from = args.integer(1)?;
    Part { from, from_open, to: -1, to_open: false }.of(args, first)
}

fn slice(args: &Args<'_>) -> Result<Val> {
    let first = args.arg(0)?;
    let from_open = is_open(args, "left_bound", false)?;
    let from = args.integer(1)?;
    let (to, to_open) = if args.len() == 3 {
        let to_open = is_open(args, "right_bound", true)?;
        (args.integer(2)?, to_open)
    } else {
        (-1, false)
    };
    Part { from, from_open, to, to_open }.of(args, first)
}

/// Whether a bound is excluded.
pub fn is_open(args: &Args<'_>, option: &'static str, default: bool) -> Result<bool> {
    let Some(bound) = args.optarg(option)? else { return Ok(default) };
    let bound = bound.str(args.env)?;
    match bound.as_ref() {
        "open" => Ok(true),
        "closed" => Ok(false),
        _ => Err(Error::logic(format!(
            "Expected `open` or `closed` for optarg `{option}` (got `{}`).",
            Datum::String(bound).truncated_print()
        ))),
    }
}

/// An integer of 32 bits, as positions in streams are in RethinkDB.
pub fn small_integer(at: NodeId, value: i64) -> Result<i64> {
    if value < i64::from(i32::MIN) {
        return Err(Error::logic(format!("Integer too small: {value}")).at(at));
    }
    if value > i64::from(i32::MAX) {
        return Err(Error::logic(format!("Integer too large: {value}")).at(at));
    }
    Ok(value)
}

/// The part that is asked for. Negative positions count from the end.
#[derive(Clone, Copy)]
struct Part {
    from: i64,
    from_open: bool,
    to: i64,
    to_open: bool,
}

impl Part {
    fn of(self, args: &Args<'_>, first: Val) -> Result<Val> {
        let at = first.at;
        if !matches!(first.kind, ValKind::Datum(_) | ValKind::SingleSelection(_)) {
            if !first.is_sequence() {
                return Err(Error::logic("Cannot slice non-sequences.").at(at));
            }
            return self.of_stream(args, first);
        }
        match first.into_datum(args.env)? {
            Datum::Array(values) => {
                let (from, to) = self.within(values.len())?;
                args.value(values.get(from..to).unwrap_or_default().to_vec())
            }
            Datum::Binary(bytes) => {
                let (from, to) = self.within(bytes.len())?;
                let part = bytes.get(from..to).unwrap_or_default();
                args.value(Datum::Binary(part.into()))
            }
            Datum::String(text) => {
                let (from, to) = self.within(text.chars().count())?;
                args.value(Datum::string(characters(&text, from, to)))
            }
            other => Err(Error::logic(format!(
                "Expected ARRAY, BINARY, or STRING, but found {}.",
                other.type_name()
            ))
            .at(at)),
        }
    }

    /// The half-open range of positions in something of this size.
    fn within(self, size: usize) -> Result<(usize, usize)> {
        let from = position(self.from, size, self.from_open);
        let to = position(self.to, size, !self.to_open).min(size);
        Ok((from.min(to), to))
    }

    fn of_stream(self, args: &Args<'_>, first: Val) -> Result<Val> {
        let at = first.at;
        let rows = Rows::of(first, args.env)?;
        let from = u64::try_from(self.from)
            .map_err(|_| Error::logic("Cannot use a negative left index on a stream."))?;
        let from = from + u64::from(self.from_open);
        let to = match (u64::try_from(self.to), self.to) {
            (Ok(to), _) => Some(to + u64::from(!self.to_open)),
            (Err(_), -1) if self.to_open => {
                let message = "Cannot slice to an open right index of -1 on a stream.";
                return Err(Error::logic(message));
            }
            (Err(_), -1) => None,
            (Err(_), _) => {
                return Err(Error::logic("Cannot use a right index < -1 on a stream."));
            }
        };
        let count = to.map(|to| to.saturating_sub(from));
        rows.restream(args, |source| Ok(Box::new(Slice::new(source, at, from, count))))
    }
}

/// A position counted from the start; one beyond it when `after`. What lies before the start is the start itself.
fn position(index: i64, size: usize, after: bool) -> usize {
    let magnitude = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index >= 0 {
        return magnitude.saturating_add(usize::from(after));
    }
    match size.checked_sub(magnitude) {
        Some(from_start) => from_start + usize::from(after),
        None => 0,
    }
}

/// The characters from one position to another.
fn characters(text: &str, from: usize, to: usize) -> &str {
    let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let start = starts.nth(from).unwrap_or(text.len());
    let end = match to.checked_sub(from + 1) {
        Some(more) => starts.nth(more).unwrap_or(text.len()),
        None => start,
    };
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn skip_knows_the_left_bound_of_the_slice_it_is() {
        check("[70,[[2,[1,2,3]],1],{\"left_bound\":\"open\"}]", "[3]");
        check("[70,[[2,[1,2,3]],1],{\"left_bound\":\"closed\"}]", "[2,3]");
        check("[70,[[173,[4]],1],{\"left_bound\":\"open\"}]", "[2,3]");
    }

    #[test]
    fn arrays_strings_and_bytes() {
        check("[30,[[2,[1,2,3,4]],1,3]]", "[2,3]");
        check("[30,[[2,[1,2,3,4]],-3,-1]]", "[2,3]");
        check(
            "[30,[[2,[1,2,3,4]],1,2],{\"left_bound\":\"open\",\"right_bound\":\"closed\"}]",
            "[3]",
        );
        check("[30,[\"\u{e9}a\u{1d11e}x\",1,3]]", "\"a\u{1d11e}\"");
        check("[70,[\"abc\",-2]]", "\"bc\"");
        check_error(
            "[30,[[2,[1]],0,1],{\"left_bound\":\"ajar\"}]",
            ErrorKind::Logic,
            "Expected `open` or `closed` for optarg `left_bound` (got `\"ajar\"`).",
            "[]",
        );
    }

    #[test]
    fn streams_stay_streams() {
        check("[71,[[70,[[173,[]],1000000000000]],2]]", "[1000000000000,1000000000001]");
        check("[45,[[70,[[41,[[2,[3,1,2]],[69,[[2,[1]],[10,[1]]]]]],1]],1]]", "3");
        check("[45,[[70,[[70,[[173,[9]],2]],3]],3]]", "8");
        check("[30,[[173,[10]],2,4]]", "[2,3]");
        check("[43,[[70,[[173,[10]],20]]]]", "0");
        check_error(
            "[30,[[173,[10]],0,-2]]",
            ErrorKind::Logic,
            "Cannot use a right index < -1 on a stream.",
            "[]",
        );
    }
}
