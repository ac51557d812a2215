//! The options that several terms about geometry have.

use crate::datum::Datum;
use crate::geo::{Ellipsoid, Unit};
use crate::reql::error::{Error, Result};
use crate::reql::eval::Args;

/// `geo_system`: by name, or an object with the radius of the equator `a` and the flattening `f`. The earth by default.
pub(super) fn ellipsoid(args: &Args<'_>) -> Result<Ellipsoid> {
    let Some(val) = args.optarg("geo_system")? else { return Ok(Ellipsoid::WGS84) };
    let at = val.at;
    let named = |name: &str| match name {
        "WGS84" => Ok(Ellipsoid::WGS84),
        "unit_sphere" => Ok(Ellipsoid::UNIT_SPHERE),
        other => Err(Error::logic(format!(
            "Unrecognized geo system \"{other}\" (valid options: \"WGS84\", \"unit_sphere\")."
        ))
        .at(at)),
    };
    let value = val.into_datum(args.env)?;
    if !matches!(value, Datum::Object(_)) {
        return named(value.as_str().map_err(|error| Error::from(error).at(at))?);
    }
    let equator = value.get_or_error("a")?.as_number()?;
    let flattening = value.get_or_error("f")?.as_number()?;
    if equator <= 0.0 {
        return Err(Error::logic("The equator radius `a` must be positive.").at(at));
    }
    if !(0.0..1.0).contains(&flattening) {
        return Err(Error::logic("The flattening `f` must be in the range [0, 1).").at(at));
    }
    Ok(Ellipsoid { equator, flattening })
}

/// `unit`; meters by default.
pub(super) fn unit(args: &Args<'_>) -> Result<Unit> {
    match args.optarg_str("unit")? {
        Some(name) => Ok(Unit::named(&name)?),
        None => Ok(Unit::Meter),
    }
}
