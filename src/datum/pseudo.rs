//! Pseudo types: objects whose `$reql_type$` gives them a meaning, and the rules they must obey when they are made.
//!
//! Every object that may carry a `$reql_type$` passes through [`pseudo_typed`]: object literals, JSON, what terms build.
//! Geometry is looked at from outside only; whether a shape makes sense is for the terms that use it.

use super::time::{self, EPOCH_TIME, TIMEZONE};
use super::{
    BINARY, Datum, DatumError, DatumErrorKind, DatumType, GEOMETRY, LITERAL, LITERAL_VALUE,
};
use super::{Object, REQL_TYPE, TIME, base64_bytes};

/// The value that this object stands for: itself, unless its `$reql_type$` says otherwise. Times are brought into their
/// one form (milliseconds, `+hh:mm`), byte strings become [`Datum::Binary`].
pub fn pseudo_typed(object: Object) -> Result<Datum, DatumError> {
    let Some(name) = object.field(REQL_TYPE) else { return Ok(Datum::Object(object)) };
    let Datum::String(name) = name else {
        return Err(DatumError::logic(format!(
            "Error: Field `{REQL_TYPE}` must be a string (got `{}` of type {}):\n{}",
            name.try_truncated_print()?,
            name.type_name(),
            Datum::Object(object.clone()).try_truncated_print()?
        )));
    };
    match name.as_ref() {
        TIME => time(object),
        BINARY => binary(&object),
        GEOMETRY => geometry(object),
        LITERAL => literal(object),
        other => Err(DatumError::logic(format!("Unknown {REQL_TYPE} `PTYPE<{other}>`."))),
    }
}

fn time(object: Object) -> Result<Datum, DatumError> {
    let invalid = |why: String| -> DatumError {
        match Datum::Object(object.clone()).try_truncated_print() {
            Ok(printed) => {
                DatumError::logic(format!("Invalid time object constructed ({why}):\n{printed}"))
            }
            Err(error) => error,
        }
    };
    let wrong_type = |field: &str, wanted: &str, found: &Datum| match found.try_truncated_print() {
        Ok(printed) => invalid(format!(
            "field `{field}` must be a {wanted} (got `{printed}` of type {})",
            found.type_name()
        )),
        Err(error) => error,
    };
    let (mut epoch, mut zone) = (None, None);
    for (name, value) in object.iter() {
        match (name.as_ref(), value) {
            (EPOCH_TIME, Datum::Number(seconds)) => epoch = Some(*seconds),
            (EPOCH_TIME, other) => return Err(wrong_type(EPOCH_TIME, "number", other)),
            (TIMEZONE, Datum::String(text)) => match time::offset_text(text) {
                Ok(text) => zone = Some(text),
                Err(_) => {
                    let printed = value.try_truncated_print()?;
                    return Err(invalid(format!("invalid timezone string `{printed}`")));
                }
            },
            (TIMEZONE, other) => return Err(wrong_type(TIMEZONE, "string", other)),
            (REQL_TYPE, _) => {}
            (other, _) => return Err(invalid(format!("unrecognized field `{other}`"))),
        }
    }
    match (epoch, zone) {
        (None, _) => Err(invalid(format!("no field `{EPOCH_TIME}`"))),
        (_, None) => Err(invalid(format!("no field `{TIMEZONE}`"))),
        (Some(epoch), Some(zone)) => time::time_datum(epoch, &zone),
    }
}

fn binary(object: &Object) -> Result<Datum, DatumError> {
    let mut bytes = None;
    for (name, value) in object.iter() {
        match name.as_ref() {
            REQL_TYPE => {}
            "data" => bytes = Some(base64_bytes(value.as_str()?)?),
            other => {
                return Err(DatumError::logic(format!(
                    "Invalid binary pseudotype: illegal `{other}` key."
                )));
            }
        }
    }
    match bytes {
        Some(bytes) => Ok(Datum::Binary(bytes.into())),
        None => Err(DatumError::logic("Invalid binary pseudotype: lacking `data` key.")),
    }
}

fn geometry(object: Object) -> Result<Datum, DatumError> {
    for (name, value) in object.iter() {
        match (name.as_ref(), value) {
            ("coordinates", Datum::Array(_)) | ("type", Datum::String(_)) => {}
            ("coordinates", other) => return Err(other.type_error(DatumType::Array)),
            ("type", other) => return Err(other.type_error(DatumType::String)),
            (REQL_TYPE | "crs", _) => {}
            (other, _) => {
                return Err(DatumError::logic(format!(
                    "Unrecognized field `{other}` found in geometry object."
                )));
            }
        }
    }
    for field in ["type", "coordinates"] {
        if !object.contains(field) {
            return Err(DatumError {
                kind: DatumErrorKind::NonExistence,
                message: format!("Field `{field}` not found in geometry object."),
            });
        }
    }
    Ok(Datum::Object(object))
}

fn literal(object: Object) -> Result<Datum, DatumError> {
    let stray =
        object.iter().map(|(name, _)| name).find(|name| !LITERAL_FIELDS.contains(&name.as_ref()));
    if let Some(name) = stray {
        let message = format!("Invalid literal term with illegal key `{name}`.");
        return Err(DatumError::logic(message));
    }
    Ok(Datum::Object(object))
}

const LITERAL_FIELDS: [&str; 2] = [REQL_TYPE, LITERAL_VALUE];

#[cfg(test)]
mod tests {
    use super::*;

    fn made(fields: &[(&str, Datum)]) -> Result<Datum, DatumError> {
        let object = Datum::object(fields.iter().map(|(name, value)| (*name, value.clone())));
        pseudo_typed(object.as_object().unwrap().clone())
    }

    fn complaint(fields: &[(&str, Datum)]) -> String {
        made(fields).unwrap_err().message
    }

    #[test]
    fn times_are_brought_into_one_form() {
        let time = made(&[
            (REQL_TYPE, TIME.into()),
            (EPOCH_TIME, Datum::Number(1.23456)),
            (TIMEZONE, "Z".into()),
        ]);
        let json = time.unwrap().to_json();
        assert_eq!(json, r#"{"$reql_type$":"TIME","epoch_time":1.235,"timezone":"+00:00"}"#);
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        assert_eq!(
            complaint(&[(REQL_TYPE, TIME.into()), (EPOCH_TIME, Datum::Number(1.0))]),
            "Invalid time object constructed (no field `timezone`):\n\
             {\n\t\"$reql_type$\":\t\"TIME\",\n\t\"epoch_time\":\t1\n}"
        );
        assert_eq!(
            complaint(&[(REQL_TYPE, Datum::Number(5.0))]),
            "Error: Field `$reql_type$` must be a string (got `5` of type NUMBER):\n\
             {\n\t\"$reql_type$\":\t5\n}"
        );
        assert_eq!(complaint(&[(REQL_TYPE, "NOPE".into())]), "Unknown $reql_type$ `PTYPE<NOPE>`.");
        assert_eq!(
            complaint(&[(REQL_TYPE, BINARY.into())]),
            "Invalid binary pseudotype: lacking `data` key."
        );
        assert_eq!(
            complaint(&[(REQL_TYPE, GEOMETRY.into()), ("coordinates", Datum::Number(2.0))]),
            "Expected type ARRAY but found NUMBER."
        );
    }
}
