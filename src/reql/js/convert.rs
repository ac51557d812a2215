//! Values between queries and scripts: a time is a `Date`, everything else what JSON would make of it.
//! Knows the engine's values and ours; nothing of scripts, threads and queries.

use std::sync::Arc;

use rquickjs::function::Constructor;
use rquickjs::object::{Filter, Property};
use rquickjs::{Array, Atom, Coerced, Ctx, Function, Object, String as Text, Value};

use super::worker::Clock;
use crate::datum::time::{epoch_time, time_datum};
use crate::datum::{Datum, ObjectBuilder, TIME, pseudo_typed};
use crate::limits;

/// Why a value does not pass.
#[derive(Debug)]
pub(super) enum Fault {
    /// It has no counterpart; the text says why.
    Text(String),
    /// An array of so many elements.
    ArrayTooLong(usize),
    /// The script's time is over.
    Late,
    /// The engine refused, or the script threw while it was asked.
    Engine(rquickjs::Error),
}

impl From<rquickjs::Error> for Fault {
    fn from(error: rquickjs::Error) -> Self {
        Fault::Engine(error)
    }
}

fn text<T>(text: &str) -> Result<T, Fault> {
    Err(Fault::Text(text.to_owned()))
}

/// The script's form of a value.
pub(super) fn to_script<'js>(ctx: &Ctx<'js>, datum: &Datum) -> Result<Value<'js>, Fault> {
    to_script_at(ctx, datum, 0)
}

fn to_script_at<'js>(ctx: &Ctx<'js>, datum: &Datum, depth: usize) -> Result<Value<'js>, Fault> {
    if depth >= limits::SCRIPT_VALUE_DEPTH {
        return text("The value is nested too deep for `r.js`.");
    }
    match datum {
        Datum::MinVal => text("`r.minval` cannot be passed to `r.js`."),
        Datum::MaxVal => text("`r.maxval` cannot be passed to `r.js`."),
        Datum::Binary(_) => text("`r.binary` data cannot be used in `r.js`."),
        Datum::Null => Ok(Value::new_null(ctx.clone())),
        Datum::Bool(value) => Ok(Value::new_bool(ctx.clone(), *value)),
        // A negative zero keeps its sign only as a double.
        Datum::Number(value) if *value == 0.0 => Ok(Value::new_float(ctx.clone(), *value)),
        Datum::Number(value) => Ok(Value::new_number(ctx.clone(), *value)),
        Datum::String(value) => Ok(Text::from_str(ctx.clone(), value)?.into_value()),
        Datum::Array(values) => {
            let array = Array::new(ctx.clone())?;
            for (i, value) in values.iter().enumerate() {
                array.set(i, to_script_at(ctx, value, depth + 1)?)?;
            }
            Ok(array.into_value())
        }
        Datum::Object(_) if datum.is_pseudo_type(TIME) => {
            let epoch = epoch_time(datum).map_err(|error| Fault::Text(error.message))?;
            let date: Constructor<'js> = ctx.globals().get("Date")?;
            Ok(date.construct((epoch * 1000.0,))?)
        }
        Datum::Object(fields) => {
            let object = Object::new(ctx.clone())?;
            for (name, value) in fields.iter() {
                let value = to_script_at(ctx, value, depth + 1)?;
                // Defined, not set: a field named `__proto__` is a field.
                let property = Property::from(value).writable().enumerable().configurable();
                object.prop(&**name, property)?;
            }
            Ok(object.into_value())
        }
    }
}

/// Reads a script's result. The script's own getters run meanwhile, so it is done within the script's limits.
pub(super) struct FromScript<'a, 'js> {
    clock: &'a Clock,
    array_limit: usize,
    bytes_left: usize,
    values: usize,
    date: Option<Object<'js>>,
    regexp: Option<Object<'js>>,
}

impl<'a, 'js> FromScript<'a, 'js> {
    /// A reader of one result.
    pub(super) fn new(
        ctx: &Ctx<'js>,
        clock: &'a Clock,
        array_limit: usize,
    ) -> Result<FromScript<'a, 'js>, Fault> {
        let prototype = |class: &str| -> rquickjs::Result<Option<Object<'js>>> {
            let class: Value<'js> = ctx.globals().get(class)?;
            match class.as_object() {
                Some(class) => class.get::<_, Value<'js>>("prototype").map(Value::into_object),
                None => Ok(None),
            }
        };
        Ok(FromScript {
            clock,
            array_limit,
            bytes_left: limits::SCRIPT_RESULT_BYTES,
            values: 0,
            date: prototype("Date")?,
            regexp: prototype("RegExp")?,
        })
    }

    /// The value of a script's result.
    pub(super) fn datum(&mut self, value: &Value<'js>) -> Result<Datum, Fault> {
        self.datum_at(value, 0)
    }

    fn datum_at(&mut self, value: &Value<'js>, depth: usize) -> Result<Datum, Fault> {
        if depth >= limits::SCRIPT_VALUE_DEPTH {
            return text("Recursion limit exceeded in js_to_json (circular reference?).");
        }
        self.count(size_of::<Datum>())?;
        if let Some(string) = value.as_string() {
            Ok(Datum::String(self.string(string.to_string()?)?))
        } else if let Some(object) = value.as_object() {
            self.object_at(value, object, depth)
        } else if let Some(number) = value.as_number() {
            if number.is_finite() {
                Ok(Datum::Number(number))
            } else {
                text("Number return value is not finite.")
            }
        } else if let Some(truth) = value.as_bool() {
            Ok(Datum::Bool(truth))
        } else if value.is_null() {
            Ok(Datum::Null)
        } else if value.is_undefined() {
            text("Cannot convert javascript `undefined` to ql::datum_t.")
        } else {
            text("Unhandled value type when converting to ql::datum_t.")
        }
    }

    fn object_at(
        &mut self,
        value: &Value<'js>,
        object: &Object<'js>,
        depth: usize,
    ) -> Result<Datum, Fault> {
        if value.is_array() {
            return self.array(object, depth);
        }
        if value.is_function() {
            return text("Cannot convert function to ql::datum_t.");
        }
        let prototype = object.get_prototype();
        if prototype.is_some() && prototype == self.regexp {
            return text("Cannot convert RegExp to ql::datum_t.");
        }
        if prototype.is_some() && prototype == self.date {
            return time(value, object);
        }
        self.fields(object, depth)
    }

    fn array(&mut self, array: &Object<'js>, depth: usize) -> Result<Datum, Fault> {
        let Coerced(length) = array.get::<_, Coerced<f64>>("length")?;
        let length = length as usize;
        if length > self.array_limit {
            return Err(Fault::ArrayTooLong(length));
        }
        let mut values = Vec::new();
        for i in 0..length {
            // No array limit is over 2^53, where this would lose the number.
            let element: Value<'js> = array.get(Atom::from_f64(array.ctx().clone(), i as f64)?)?;
            values.push(self.datum_at(&element, depth + 1)?);
        }
        Ok(Datum::array(values))
    }

    fn fields(&mut self, object: &Object<'js>, depth: usize) -> Result<Datum, Fault> {
        let mut builder = ObjectBuilder::new();
        let own = Filter::new().string().enum_only();
        for name in object.own_keys::<Atom<'js>>(own) {
            let name = name?;
            let value: Value<'js> = object.get(name.clone())?;
            let value = self.datum_at(&value, depth + 1)?;
            let name = self.string(name.to_string()?)?;
            builder.insert(name, value);
        }
        pseudo_typed(builder.build()).map_err(|error| Fault::Text(error.message))
    }

    fn string(&mut self, string: String) -> Result<Arc<str>, Fault> {
        self.count(string.len())?;
        Ok(Arc::from(string))
    }

    /// A few shared values can stand for any number: what the engine's memory limit let pass is counted again.
    fn count(&mut self, bytes: usize) -> Result<(), Fault> {
        self.values = self.values.wrapping_add(1);
        if self.values.is_multiple_of(limits::SCRIPT_CHECK_VALUES) && self.clock.is_over() {
            return Err(Fault::Late);
        }
        match self.bytes_left.checked_sub(bytes) {
            Some(left) => self.bytes_left = left,
            None => return text("The result of the script is too large."),
        }
        Ok(())
    }
}

fn time<'js>(value: &Value<'js>, date: &Object<'js>) -> Result<Datum, Fault> {
    let value_of: Function<'js> = date.get("valueOf")?;
    let Coerced(milliseconds) =
        value_of.call::<_, Coerced<f64>>((rquickjs::function::This(value.clone()),))?;
    time_datum(milliseconds / 1000.0, "+00:00").map_err(|error| Fault::Text(error.message))
}
