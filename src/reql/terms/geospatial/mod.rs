//! Geospatial.

mod construct;
mod distance;
mod geojson;
mod indexed;
mod options;
mod reach;
mod relation;

use crate::datum::Datum;
use crate::geo::{Effort, GeoError, LonLat, point_position};
use crate::reql::env::Env;
use crate::reql::error::{Error, Result};
use crate::reql::spec::TermSpec;
use crate::reql::value::Val;

pub static ROWS: &[&TermSpec] = &[
    &construct::FILL,
    &construct::LINE,
    &construct::POINT,
    &construct::POLYGON,
    &distance::CIRCLE,
    &distance::DISTANCE,
    &geojson::GEOJSON,
    &geojson::TO_GEOJSON,
    &indexed::GET_INTERSECTING,
    &indexed::GET_NEAREST,
    &relation::INCLUDES,
    &relation::INTERSECTS,
    &relation::POLYGON_SUB,
];

/// A value of any pseudo type, as RethinkDB asks for it here: that a time has no coordinates is found later.
fn geometry(val: Val, env: &Env) -> Result<Datum> {
    let at = val.at;
    let datum = val.into_datum(env)?;
    match check_geometry(&datum) {
        Ok(()) => Ok(datum),
        Err(error) => Err(error.at(at)),
    }
}

fn check_geometry(datum: &Datum) -> Result<()> {
    if datum.pseudo_type().is_some() {
        return Ok(());
    }
    let printed = datum.try_truncated_print()?;
    Err(Error::logic(format!("Not a GEOMETRY pseudotype: `{printed}`.")))
}

/// What is found out about shapes, as long as the query is not to stop.
fn work<T>(
    env: &Env,
    about: impl FnOnce(&Effort<'_>) -> std::result::Result<T, GeoError>,
) -> Result<T> {
    let go_on = || env.check_interrupt_now().is_ok();
    about(&Effort::new(&go_on)).map_err(|error| match error {
        GeoError::Shape(error) => error.into(),
        GeoError::Stopped => match env.check_interrupt_now() {
            Err(error) => error,
            Ok(()) => Error::internal("Shapes were left for no reason."),
        },
    })
}

/// A position: a point's, or a pair of coordinates.
fn position(datum: &Datum) -> Result<LonLat> {
    if datum.is_pseudo_type(crate::datum::GEOMETRY) {
        return Ok(point_position(datum)?);
    }
    match datum.as_array()?.as_slice() {
        [lon, lat] => Ok(LonLat { lon: lon.as_number()?, lat: lat.as_number()? }),
        other => Err(Error::logic(format!(
            "Expected point coordinate pair.  Got {} element array instead of a 2 element one.",
            other.len()
        ))),
    }
}
