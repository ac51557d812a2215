//! `coerceTo`: a value as another type.

use photondb_protocol::numbers::TermType;
use photondb_protocol::text::not_utf8;

use crate::datum::{Datum, DatumType, ObjectBuilder, pseudo_typed};
use crate::reql::env::Env;
use crate::reql::error::{Error, ErrorKind, Result};
use crate::reql::eval::Args;
use crate::reql::facts::Cost;
use crate::reql::spec::{Arity, Chapter, TermSpec};
use crate::reql::stream::{BatchSpec, collect_array, for_each_batch};
use crate::reql::value::{Val, ValKind};

/// `value.coerceTo(type)`
pub static COERCE_TO: TermSpec = TermSpec {
    cost: Cost::Heavy,
    ..TermSpec::pure(
        TermType::CoerceTo,
        "COERCE_TO",
        Chapter::ControlStructures,
        Arity::exactly(2),
        coerce_to,
    )
};

/// A type as its name says it: a kind of result, or a type of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Database,
    Table,
    TableSlice,
    Selection,
    ArraySelection,
    Sequence,
    SingleSelection,
    AnyDatum,
    Func,
    Grouped,
    Datum(DatumType),
}

const NAMES: [(&str, Type); 19] = [
    ("DB", Type::Database),
    ("TABLE", Type::Table),
    ("TABLE_SLICE", Type::TableSlice),
    ("SELECTION<STREAM>", Type::Selection),
    ("SELECTION<ARRAY>", Type::ArraySelection),
    ("STREAM", Type::Sequence),
    ("SELECTION<OBJECT>", Type::SingleSelection),
    ("DATUM", Type::AnyDatum),
    ("FUNCTION", Type::Func),
    ("GROUPED_DATA", Type::Grouped),
    ("NULL", Type::Datum(DatumType::Null)),
    ("BINARY", Type::Datum(DatumType::Binary)),
    ("BOOL", Type::Datum(DatumType::Bool)),
    ("NUMBER", Type::Datum(DatumType::Number)),
    ("STRING", Type::Datum(DatumType::String)),
    ("ARRAY", Type::Datum(DatumType::Array)),
    ("OBJECT", Type::Datum(DatumType::Object)),
    ("MINVAL", Type::Datum(DatumType::MinVal)),
    ("MAXVAL", Type::Datum(DatumType::MaxVal)),
];

impl Type {
    fn named(name: &str) -> Result<Type> {
        let name = name.to_ascii_uppercase();
        NAMES
            .iter()
            .find(|(have, _)| *have == name)
            .map(|(_, found)| *found)
            .ok_or_else(|| Error::logic(format!("Unknown Type: {name}")))
    }

    fn name(self) -> &'static str {
        NAMES.iter().find(|(_, found)| *found == self).map_or("DATUM", |(name, _)| name)
    }

    /// Whether a result of this kind already is one of the other kind. Of types of values only equal ones are.
    fn is(self, other: Type) -> bool {
        use Type::{
            AnyDatum, ArraySelection, Selection, Sequence, SingleSelection, Table, TableSlice,
        };
        let kinds: &[Type] = match self {
            Table => &[TableSlice, Selection, Sequence],
            TableSlice => &[Selection, Sequence],
            Selection => &[Sequence],
            ArraySelection => &[Selection, Sequence],
            SingleSelection => &[AnyDatum],
            Type::Datum(_) => &[AnyDatum, Sequence],
            _ => &[],
        };
        self == other || kinds.contains(&other)
    }
}

fn type_of(val: &Val) -> Type {
    match &val.kind {
        ValKind::Datum(datum) => Type::Datum(datum.datum_type()),
        ValKind::Sequence(stream) if stream.is_array() => Type::Datum(DatumType::Array),
        ValKind::Sequence(_) => Type::Sequence,
        ValKind::Selection(selection) if selection.stream.is_array() => Type::ArraySelection,
        ValKind::Selection(_) => Type::Selection,
        ValKind::SingleSelection(_) => Type::SingleSelection,
        ValKind::Table(table) if table.is_slice() => Type::TableSlice,
        ValKind::Table(_) => Type::Table,
        ValKind::Database(_) => Type::Database,
        ValKind::Func(_) => Type::Func,
        ValKind::Grouped(_) | ValKind::GroupedStream(_) => Type::Grouped,
    }
}

fn coerce_to(args: &Args<'_>) -> Result<Val> {
    let val = args.arg(0)?;
    let start = type_of(&val);
    // One document counts as the value it holds, except that it may also be asked for as what it is.
    let document = match &val.kind {
        ValKind::SingleSelection(single) => Some(single.read(args.env)?),
        _ => None,
    };
    let held = document.as_ref().map_or(start, |datum| Type::Datum(datum.datum_type()));
    let end = Type::named(&args.str(1)?)?;
    if start.is(end) || held == end {
        return Ok(val);
    }
    if end == Type::Datum(DatumType::Bool) {
        return args.value(held != Type::Datum(DatumType::Null));
    }
    let at = val.at;
    let refusal = |kind| {
        let (start, end) = (held.name(), end.name());
        Error::new(kind, format!("Cannot coerce {start} to {end}.")).at(at)
    };
    let kind = match held {
        Type::Datum(DatumType::Null) => ErrorKind::NonExistence,
        _ => ErrorKind::Logic,
    };
    let datum = match (document, &val.kind) {
        (Some(document), _) => Some(document),
        (None, ValKind::Datum(datum)) => Some(datum.clone()),
        (None, _) => None,
    };
    match datum {
        Some(datum) => match value(args.env, &datum, end)? {
            Some(made) => args.value(made),
            None => Err(refusal(kind)),
        },
        None if !val.is_sequence() => Err(refusal(kind)),
        None => match end {
            Type::AnyDatum | Type::Datum(DatumType::Array) => {
                // The array counts as the sequence it was: that one's term is blamed for a wrong type.
                let array = collect_array(val.into_finite_stream(args.env)?, args.env)?;
                Ok(Val::datum(array, at))
            }
            Type::Datum(DatumType::Object) => {
                let mut builder = ObjectBuilder::new();
                for_each_batch(
                    val.into_finite_stream(args.env)?,
                    args.env,
                    &BatchSpec::TERMINAL.in_turn(),
                    |pairs| pairs.iter().try_for_each(|pair| insert_pair(&mut builder, pair)),
                )?;
                args.value(pseudo_typed(builder.build())?)
            }
            _ => Err(refusal(kind)),
        },
    }
}

/// A value as a value of another type; none when there is no way.
fn value(env: &Env, datum: &Datum, end: Type) -> Result<Option<Datum>> {
    let Type::Datum(end) = end else { return Ok(None) };
    let made = match (datum, end) {
        (Datum::Binary(bytes), DatumType::String) => text_of(bytes)?,
        (Datum::String(text), DatumType::Binary) => Datum::Binary(text.as_bytes().into()),
        (_, DatumType::String) => super::json_text(env, datum)?,
        (Datum::Object(object), DatumType::Array) => {
            env.check_array_size(object.len())?;
            let pair = |(name, value): (&std::sync::Arc<str>, &Datum)| {
                Datum::array(vec![Datum::String(name.clone()), value.clone()])
            };
            Datum::array(object.iter().map(pair).collect())
        }
        (Datum::String(text), DatumType::Number) => match number_of(text) {
            Some(number) => Datum::number(number)?,
            None => return Err(Error::logic(format!("Could not coerce `{text}` to NUMBER."))),
        },
        (Datum::Array(pairs), DatumType::Object) => {
            let mut builder = ObjectBuilder::with_capacity(pairs.len());
            for pair in pairs.iter() {
                insert_pair(&mut builder, pair)?;
            }
            pseudo_typed(builder.build())?
        }
        _ => return Ok(None),
    };
    Ok(Some(made))
}

fn text_of(bytes: &[u8]) -> Result<Datum> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Datum::string(text)),
        Err(error) => {
            let (before, after) = bytes.split_at_checked(error.valid_up_to()).unwrap_or_default();
            Err(Error::logic(not_utf8(&String::from_utf8_lossy(before), after)))
        }
    }
}

fn insert_pair(builder: &mut ObjectBuilder, pair: &Datum) -> Result<()> {
    let elements = pair.as_array()?;
    let [name, value] = elements.as_slice() else {
        let size = elements.len();
        return Err(Error::logic(format!("Expected array of size 2, but got size {size}.")));
    };
    let name = name.as_str()?;
    if let Some(first) = builder.insert(name.clone(), value.clone()) {
        return Err(Error::logic(format!(
            "Duplicate key {} in coerced object.  (got {} and {} as values)",
            Datum::String(name.clone()).print(),
            first.try_truncated_print()?,
            value.try_truncated_print()?
        )));
    }
    Ok(())
}

/// The number that a text spells, as C reads numbers: blanks before it, hexadecimal, `inf` and `nan` too.
fn number_of(text: &str) -> Option<f64> {
    // C's text ends at a NUL.
    let text = text.split('\0').next().unwrap_or_default();
    let text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let size = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        _ => match lower.strip_prefix("0x") {
            Some(digits) => hexadecimal(digits)?,
            None => {
                // Rust reads other words too: only what begins like a number may be one.
                if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
                    return None;
                }
                digits.parse().ok()?
            }
        },
    };
    Some(sign * size)
}

/// `1f.8p-2`
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, exponent) = match text.split_once('p') {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut number = 0.0;
    for c in whole.chars().chain(fraction.chars()) {
        number = number * 16.0 + f64::from(c.to_digit(16)?);
    }
    let scale = exponent.saturating_sub(4 * i32::try_from(fraction.len()).ok()?);
    Some(number * 2f64.powi(scale))
}

#[cfg(test)]
mod tests {
    use super::number_of;
    use crate::reql::ErrorKind;
    use crate::reql::terms::testing::{check, check_error};

    #[test]
    fn values_of_one_type_become_values_of_another() {
        check(r#"[51,[{"b":1,"a":[2,[]]},"array"]]"#, r#"[["a",[]],["b",1]]"#);
        check(r#"[51,[[2,[[2,["a",1]],[2,["b",2]]]],"OBJECT"]]"#, r#"{"a":1,"b":2}"#);
        check(r#"[51,[[2,[1,0.5]],"string"]]"#, r#""[1,0.5]""#);
        check(r#"[51,[[51,["ab","binary"]],"string"]]"#, r#""ab""#);
        check(r#"[51,["",  "bool"]]"#, "true");
        check(r#"[51,[null,"bool"]]"#, "false");
        check(r#"[51,[5,"stream"]]"#, "5");
        check(r#"[51,[[69,[[2,[1]],[10,[1]]]],"bool"]]"#, "true");
    }

    #[test]
    fn numbers_are_read_as_c_reads_them() {
        for (text, number) in
            [("12", 12.0), (" -1.5e2", -150.0), ("0x1F", 31.0), ("0x1.8p1", 3.0), ("+.5", 0.5)]
        {
            assert_eq!(number_of(text), Some(number), "{text}");
        }
        for text in ["", "12 ", "1e", "a", "--1", "0x", "infinite", "e5"] {
            assert_eq!(number_of(text), None, "{text}");
        }
        assert_eq!(number_of("-inf"), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn what_cannot_be_says_why() {
        let logic = |query: &str, text: &str, path: &str| {
            check_error(query, ErrorKind::Logic, text, path);
        };
        logic(r#"[51,["foo","array"]]"#, "Cannot coerce STRING to ARRAY.", "[0]");
        logic(r#"[51,["foo","number"]]"#, "Could not coerce `foo` to NUMBER.", "[]");
        logic(r#"[51,["nan","number"]]"#, "Non-finite number: nan", "[]");
        logic(r#"[51,["foo","bogus"]]"#, "Unknown Type: BOGUS", "[]");
        logic(
            r#"[51,[[2,[[2,["a",1]],[2,["a",2]]]],"object"]]"#,
            r#"Duplicate key "a" in coerced object.  (got 1 and 2 as values)"#,
            "[]",
        );
        logic(
            r#"[51,[{"$reql_type$":"BINARY","data":"/+8="},"string"]]"#,
            "String `` (truncated) is not a UTF-8 string; Invalid initial byte seen at position 0.",
            "[]",
        );
        let text = "Cannot coerce NULL to ARRAY.";
        check_error(r#"[51,[null,"array"]]"#, ErrorKind::NonExistence, text, "[0]");
    }
}
