//! What terms that work on one object make of the rows of a sequence, and of anything else. Some of them are also what a
//! plain value stands for in a function's place: `group("field")` reads a field, `group({a: true})` plucks.
//! Knows values; must not know terms, arguments or the query.

use crate::datum::edit::Paths;
use crate::datum::{Datum, DatumError, Object};

use super::error::{Error, ErrorKind, Result};

/// What such a term is called, and what it does with rows.
#[derive(Clone, Copy)]
pub struct RowRule {
    /// Its name in messages.
    pub name: &'static str,
    /// What it does with the rows of a sequence.
    pub rows: Rows,
    /// The pseudo type that it takes besides plain objects.
    pub pseudo_type: Option<&'static str>,
}

/// What a term makes of the rows of a sequence.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// The answer takes the row's place.
    Map,
    /// The row stays when the answer is true.
    Filter,
    /// As `Map`, but a row for which something is absent is dropped.
    MapPresent,
}

/// `getField`.
pub const FIELD: RowRule = RowRule { name: "get_field", rows: Rows::MapPresent, pseudo_type: None };

/// `pluck`.
pub const FIELDS: RowRule = RowRule { name: "pluck", rows: Rows::Map, pseudo_type: None };

/// The field of a value, as a name in a function's place reads it (`group("field")`, `sum("field")`).
pub fn get_field_of(value: &Datum, name: &Datum) -> Result<Datum> {
    FIELD.apply(value, |object| Ok(field_of(object, name.as_str()?)?))
}

/// What an object in a function's place plucks of a value (`group({a: true})`).
pub fn pluck_of(value: &Datum, paths: &Datum) -> Result<Datum> {
    FIELDS.apply(value, |object| Ok(Paths::parse(paths)?.pluck(object)?))
}

/// The value of a field, or `No attribute` with the object printed.
pub fn field_of(object: &Object, name: &str) -> std::result::Result<Datum, DatumError> {
    match object.field(name) {
        Some(value) => Ok(value),
        None => Err(DatumError::non_existence(format!(
            "No attribute `{name}` in object:\n{}",
            Datum::Object(object.clone()).try_print()?
        ))),
    }
}

impl RowRule {
    /// Applies `eval` to an object, or to those in an array.
    fn apply(&self, value: &Datum, eval: impl Fn(&Object) -> Result<Datum>) -> Result<Datum> {
        let Datum::Array(values) = value else { return eval(self.row(value)?) };
        let mut answers = Vec::with_capacity(values.len());
        for value in values.iter() {
            match self.row(value).and_then(&eval) {
                Err(error)
                    if self.rows == Rows::MapPresent && error.kind() == ErrorKind::NonExistence => {
                }
                answer => answers.push(answer?),
            }
        }
        Ok(Datum::array(answers))
    }

    /// A row of a sequence, which must be an object.
    pub fn row<'r>(&self, row: &'r Datum) -> Result<&'r Object> {
        match row {
            Datum::Object(object) => {
                self.check_object(object)?;
                Ok(object)
            }
            Datum::Array(_) => Err(self.nested()),
            other => Err(self.neither_datum(other)?),
        }
    }

    /// Fails for a pseudo type, unless it is the one that the term takes.
    pub fn check_object(&self, object: &Object) -> Result<()> {
        match object.pseudo_type() {
            None => Ok(()),
            kind if kind == self.pseudo_type => Ok(()),
            Some(kind) => Err(Error::logic(format!(
                "Cannot call `{}` on objects of type `PTYPE<{kind}>`.",
                self.name
            ))),
        }
    }

    fn neither_datum(&self, datum: &Datum) -> Result<Error> {
        let message = self.neither(&datum.try_truncated_print()?);
        Ok(Error::from(DatumError { kind: datum.error_kind(), message }))
    }

    /// What is said of something that is neither an object nor a sequence.
    pub fn neither(&self, printed: &str) -> String {
        format!("Cannot perform {} on a non-object non-sequence `{printed}`.", self.name)
    }

    /// What is said of a sequence among the rows.
    pub fn nested(&self) -> Error {
        Error::logic(format!("Cannot perform {} on a sequence of sequences.", self.name))
    }
}
