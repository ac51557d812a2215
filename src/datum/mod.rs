//! The value type alone: what a ReQL datum is, how it orders, how it prints.
//!
//! Knows nothing of terms, tables, sockets or storage, but in which form an object is stored. Times and geometry are objects with a `$reql_type$` field,
//! as in RethinkDB; binary strings are a variant of their own. Values are cheap to clone: everything large sits
//! behind an `Arc`.

mod binary;
pub mod edit;
mod error;
mod grisu;
mod iso8601;
mod json;
mod literals;
mod number;
mod object;
mod order;
mod pairs;
mod pretty;
mod pseudo;
mod size;
mod stored;
pub mod time;
pub mod work;

pub use binary::{base64_bytes, base64_text};
pub use edit::merge;
pub use error::{DatumError, DatumErrorKind};
pub use iso8601::parse_iso8601;
pub use json::{write_json, write_json_within};
pub use number::{MAX_SAFE_INTEGER, number_to_json, number_to_text, safe_integer};
pub use object::{Object, ObjectBuilder};
pub use pseudo::pseudo_typed;
pub use size::Misfit;
#[cfg(any(test, fuzzing))]
pub use stored::fuzzing;
pub use stored::{DamagedDocument, FieldChange, StoredError, StoredObject};

use std::sync::Arc;

/// The field that marks an object as a pseudo type.
pub const REQL_TYPE: &str = "$reql_type$";
/// `$reql_type$` of a point in time.
pub const TIME: &str = "TIME";
/// `$reql_type$` of a byte string, on the wire only: in memory it is [`Datum::Binary`].
pub const BINARY: &str = "BINARY";
/// `$reql_type$` of a geometric shape.
pub const GEOMETRY: &str = "GEOMETRY";
/// `$reql_type$` of `r.literal`, legal only inside the argument of merge and update.
pub const LITERAL: &str = "LITERAL";
/// The field of a literal that holds its value; absent when the literal removes.
pub const LITERAL_VALUE: &str = "value";

/// A ReQL value.
#[derive(Clone, Debug)]
pub enum Datum {
    /// Below every other value; a bound, never stored.
    MinVal,
    /// Absence, and what a missing document reads as.
    Null,
    /// True or false.
    Bool(bool),
    /// A finite double.
    Number(f64),
    /// UTF-8 text; may hold NUL.
    String(Arc<str>),
    /// A byte string (`PTYPE<BINARY>`).
    Binary(Arc<[u8]>),
    /// An ordered list.
    Array(Arc<Vec<Datum>>),
    /// Fields sorted by name; pseudo types (time, geometry, literal) among them.
    Object(Object),
    /// Above every other value; a bound, never stored.
    MaxVal,
}

/// The kinds a datum can be, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatumType {
    /// [`Datum::MinVal`]
    MinVal,
    /// [`Datum::Null`]
    Null,
    /// [`Datum::Bool`]
    Bool,
    /// [`Datum::Number`]
    Number,
    /// [`Datum::String`]
    String,
    /// [`Datum::Binary`]
    Binary,
    /// [`Datum::Array`]
    Array,
    /// [`Datum::Object`], pseudo types included
    Object,
    /// [`Datum::MaxVal`]
    MaxVal,
}

impl DatumType {
    /// The name RethinkDB's messages use. Binary reads `PTYPE<BINARY>`.
    pub fn name(self) -> &'static str {
        match self {
            DatumType::MinVal => "MINVAL",
            DatumType::Null => "NULL",
            DatumType::Bool => "BOOL",
            DatumType::Number => "NUMBER",
            DatumType::String => "STRING",
            DatumType::Binary => "PTYPE<BINARY>",
            DatumType::Array => "ARRAY",
            DatumType::Object => "OBJECT",
            DatumType::MaxVal => "MAXVAL",
        }
    }
}

impl Datum {
    /// A string.
    pub fn string(text: &str) -> Datum {
        Datum::String(Arc::from(text))
    }

    /// An array of these values.
    pub fn array(values: Vec<Datum>) -> Datum {
        Datum::Array(Arc::new(values))
    }

    /// A number, refused when not finite.
    pub fn number(value: f64) -> Result<Datum, DatumError> {
        if value.is_finite() {
            Ok(Datum::Number(value))
        } else {
            Err(DatumError::logic(format!("Non-finite number: {}", number::non_finite_text(value))))
        }
    }

    /// An object of these fields; a later field of the same name replaces an earlier one.
    pub fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Datum)>) -> Datum {
        let mut builder = ObjectBuilder::new();
        for (name, value) in fields {
            builder.insert(Arc::from(name), value);
        }
        Datum::Object(builder.build())
    }

    /// Which kind of value this is.
    pub fn datum_type(&self) -> DatumType {
        match self {
            Datum::MinVal => DatumType::MinVal,
            Datum::Null => DatumType::Null,
            Datum::Bool(_) => DatumType::Bool,
            Datum::Number(_) => DatumType::Number,
            Datum::String(_) => DatumType::String,
            Datum::Binary(_) => DatumType::Binary,
            Datum::Array(_) => DatumType::Array,
            Datum::Object(_) => DatumType::Object,
            Datum::MaxVal => DatumType::MaxVal,
        }
    }

    /// The type as messages and `typeOf` name it: `NUMBER`, `PTYPE<TIME>`, ...
    pub fn type_name(&self) -> String {
        match self.pseudo_type() {
            Some(name) => format!("PTYPE<{name}>"),
            None => self.datum_type().name().to_owned(),
        }
    }

    /// `TIME`, `BINARY`, `GEOMETRY`, `LITERAL`, or none for a plain value.
    pub fn pseudo_type(&self) -> Option<&str> {
        match self {
            Datum::Binary(_) => Some(BINARY),
            Datum::Object(object) => object.pseudo_type(),
            _ => None,
        }
    }

    /// Whether this is a pseudo type of that name.
    pub fn is_pseudo_type(&self, name: &str) -> bool {
        self.pseudo_type() == Some(name)
    }

    /// The number, or the type error RethinkDB gives.
    pub fn as_number(&self) -> Result<f64, DatumError> {
        match self {
            Datum::Number(value) => Ok(*value),
            other => Err(other.type_error(DatumType::Number)),
        }
    }

    /// ReQL's truth: everything but `false` and `null` is true.
    pub fn truthy(&self) -> bool {
        !matches!(self, Datum::Null | Datum::Bool(false))
    }

    /// The text, or the type error RethinkDB gives.
    pub fn as_str(&self) -> Result<&Arc<str>, DatumError> {
        match self {
            Datum::String(text) => {
                // Whoever asks goes through it.
                work::byte_steps(text.len());
                Ok(text)
            }
            other => Err(other.type_error(DatumType::String)),
        }
    }

    /// The bytes, or the type error RethinkDB gives.
    pub fn as_binary(&self) -> Result<&Arc<[u8]>, DatumError> {
        match self {
            Datum::Binary(bytes) => {
                work::byte_steps(bytes.len());
                Ok(bytes)
            }
            other => Err(other.type_error(DatumType::Binary)),
        }
    }

    /// The elements, or the type error RethinkDB gives.
    pub fn as_array(&self) -> Result<&Arc<Vec<Datum>>, DatumError> {
        match self {
            Datum::Array(values) => Ok(values),
            other => Err(other.type_error(DatumType::Array)),
        }
    }

    /// The elements, taken out when nothing else holds them, or the type error RethinkDB gives.
    pub fn into_array(self) -> Result<Vec<Datum>, DatumError> {
        match self {
            Datum::Array(values) => Ok(Arc::unwrap_or_clone(values)),
            other => Err(other.type_error(DatumType::Array)),
        }
    }

    /// The object (pseudo types included), or the type error RethinkDB gives.
    pub fn as_object(&self) -> Result<&Object, DatumError> {
        match self {
            Datum::Object(object) => Ok(object),
            other => Err(other.type_error(DatumType::Object)),
        }
    }

    /// `Expected type X but found Y.`; of kind non-existence when the value is null, so that `default` catches it.
    pub fn type_error(&self, expected: DatumType) -> DatumError {
        self.type_error_named(expected.name())
    }

    /// As [`Datum::type_error`], for an expected type that is no datum type.
    pub fn type_error_named(&self, expected: &str) -> DatumError {
        DatumError {
            kind: self.error_kind(),
            message: format!("Expected type {expected} but found {}.", self.type_name()),
        }
    }

    /// Errors about null are of kind non-existence, all others of kind query logic.
    pub fn error_kind(&self) -> DatumErrorKind {
        match self {
            Datum::Null => DatumErrorKind::NonExistence,
            _ => DatumErrorKind::Logic,
        }
    }

    /// The integer in it: `Number not an integer: 1.5` and `Number not an integer (>2^53): 1e300` otherwise.
    pub fn as_integer(&self) -> Result<i64, DatumError> {
        number::integer(self.as_number()?)
    }

    /// Where the parts of an array or object are, if others may share them.
    fn shared_address(&self) -> Option<usize> {
        match self {
            Datum::Array(values) if Arc::strong_count(values) > 1 => {
                Some(Arc::as_ptr(values).addr())
            }
            Datum::Object(object) => object.shared_address(),
            _ => None,
        }
    }

    /// The value of a field of an object, `None` when it is absent.
    pub fn get(&self, field: &str) -> Option<&Datum> {
        match self {
            Datum::Object(object) => object.get(field),
            _ => None,
        }
    }

    /// The value of a field, or `No attribute` with the object printed.
    pub fn get_or_error(&self, field: &str) -> Result<&Datum, DatumError> {
        self.as_object()?.get(field).ok_or_else(|| self.no_attribute(field))
    }

    /// As [`Datum::get_or_error`], decoded without its neighbours.
    pub fn field_or_error(&self, field: &str) -> Result<Datum, DatumError> {
        self.as_object()?.field(field).ok_or_else(|| self.no_attribute(field))
    }

    fn no_attribute(&self, field: &str) -> DatumError {
        let message = format!("No attribute `{field}` in object:\n{}", self.print());
        DatumError::non_existence(message)
    }

    /// The same value with nothing in it that the engine lent: what is kept beyond the rows it came with must not hold
    /// on to whole pages.
    pub fn detached(self) -> Datum {
        work::step();
        match &self {
            Datum::Object(object) => match object.stored() {
                Some(stored) if stored.is_lent() => stored.value(),
                None if self.is_lent() => {
                    let fields = object.iter();
                    let kept = fields.map(|(name, value)| (name.clone(), value.clone().detached()));
                    Datum::Object(kept.collect())
                }
                _ => self,
            },
            Datum::Array(values) if self.is_lent() => {
                Datum::array(values.iter().cloned().map(Datum::detached).collect())
            }
            _ => self,
        }
    }

    fn is_lent(&self) -> bool {
        work::step();
        match self {
            Datum::Object(object) => match object.stored() {
                Some(stored) => stored.is_lent(),
                None => object.iter().any(|(_, value)| value.is_lent()),
            },
            Datum::Array(values) => values.iter().any(Datum::is_lent),
            _ => false,
        }
    }

    /// Fails for minval and maxval, anywhere in the value: they have no JSON form.
    pub fn check_json(&self) -> Result<(), DatumError> {
        work::step();
        match self {
            Datum::MinVal => Err(DatumError::logic("Cannot convert `r.minval` to JSON.")),
            Datum::MaxVal => Err(DatumError::logic("Cannot convert `r.maxval` to JSON.")),
            Datum::Array(values) => values.iter().try_for_each(Datum::check_json),
            Datum::Object(object) => object.iter().try_for_each(|(_, value)| value.check_json()),
            _ => Ok(()),
        }
    }

    /// The compact JSON text, pseudo types as objects. Min and max values print as objects too, for messages.
    pub fn to_json(&self) -> String {
        let mut out = Vec::with_capacity(64);
        write_json(self, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The indented form RethinkDB's messages use (tabs, one element a line).
    pub fn print(&self) -> String {
        pretty::print(self)
    }

    /// As [`Datum::print`], cut to the length RethinkDB's messages keep.
    pub fn truncated_print(&self) -> String {
        pretty::print_truncated(self)
    }

    /// As [`Datum::print`]; a bound, which has no JSON form, is an error of its own.
    pub fn try_print(&self) -> Result<String, DatumError> {
        self.check_json()?;
        Ok(self.print())
    }

    /// As [`Datum::truncated_print`]; a bound, which has no JSON form, is an error of its own.
    pub fn try_truncated_print(&self) -> Result<String, DatumError> {
        self.check_json()?;
        Ok(self.truncated_print())
    }
}

impl From<bool> for Datum {
    fn from(value: bool) -> Self {
        Datum::Bool(value)
    }
}

impl From<&str> for Datum {
    fn from(value: &str) -> Self {
        Datum::string(value)
    }
}

impl From<String> for Datum {
    fn from(value: String) -> Self {
        Datum::String(Arc::from(value))
    }
}

impl From<Object> for Datum {
    fn from(value: Object) -> Self {
        Datum::Object(value)
    }
}

impl From<Vec<Datum>> for Datum {
    fn from(value: Vec<Datum>) -> Self {
        Datum::array(value)
    }
}
