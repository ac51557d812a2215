//! Edits of values: merging objects, and picking, dropping or finding fields by paths.
//!
//! A path is a field's name, an array of paths (all of them), or an object whose fields lead further inside. An edit
//! makes a new value; what it leaves alone is shared with the old one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::literals::Literals;
use super::{
    Datum, DatumError, LITERAL, LITERAL_VALUE, Object, ObjectBuilder, REQL_TYPE, pseudo_typed, work,
};
use crate::limits::{PATH_PARTS, SHARED_PAIRS};

/// What the second object says of the first: fields it names are replaced, objects in them merged. A literal replaces
/// without merging, or removes. Where either side is no object, the second is the answer.
pub fn merge(left: &Datum, right: &Datum) -> Result<Datum, DatumError> {
    Merge::default().of(left, right)
}

/// A merge under way.
#[derive(Default)]
struct Merge {
    literals: Literals,
    /// What two shared objects have become, once the merge has become long: where both sides hold the same parts many
    /// times over, each pair is merged once. The objects are kept: they are known by their addresses.
    merged: HashMap<(usize, usize), (Object, Object, Datum)>,
}

impl Merge {
    fn of(&mut self, left: &Datum, right: &Datum) -> Result<Datum, DatumError> {
        let (Datum::Object(left), Datum::Object(right)) = (left, right) else {
            return Ok(self.literals.resolve(right).unwrap_or(Datum::Null));
        };
        let pair = if self.literals.is_long() {
            left.shared_address().zip(right.shared_address())
        } else {
            None
        };
        if let Some((_, _, merged)) = pair.and_then(|pair| self.merged.get(&pair)) {
            return Ok(merged.clone());
        }
        let merged = self.of_objects(left, right)?;
        if let Some(pair) = pair.filter(|_| self.merged.len() < SHARED_PAIRS) {
            self.merged.insert(pair, (left.clone(), right.clone(), merged.clone()));
        }
        Ok(merged)
    }

    fn of_objects(&mut self, left: &Object, right: &Object) -> Result<Datum, DatumError> {
        let mut changes = Vec::with_capacity(right.len());
        for (name, value) in right.iter() {
            self.literals.step();
            let is_object = |object: &Object| object.pseudo_type() != Some(LITERAL);
            let before = match value {
                Datum::Object(object) if is_object(object) => left.field(name),
                _ => None,
            };
            let value = match before {
                Some(before) => Some(self.of(&before, value)?),
                None => self.literals.resolve(value),
            };
            changes.push((name.clone(), value));
        }
        let merged = left.clone().merged(changes);
        if merged.pseudo_type() == Some(LITERAL) {
            return Err(DatumError::logic(STRAY_LITERAL));
        }
        pseudo_typed(merged)
    }
}

/// What RethinkDB says of a literal in the wrong place.
pub const STRAY_LITERAL: &str = "Stray literal keyword found: literal is only legal inside of the object passed to \
    merge or update and cannot nest inside other literals.";

/// Which fields of an object are meant.
#[derive(Clone, Debug)]
pub struct Paths(Path);

#[derive(Clone, Debug)]
enum Path {
    Field(Arc<str>),
    All(Vec<Path>),
    Inside(Vec<(Arc<str>, Path)>),
}

/// Whether a path goes into the elements of an array. It does below a field, but not twice.
#[derive(Clone, Copy, PartialEq)]
enum Arrays {
    Enter,
    Refuse,
}

impl Paths {
    /// Reads paths; several are given as an array of them. A value that holds one part many times over has as many paths:
    /// their number is bounded.
    pub fn parse(value: &Datum) -> Result<Paths, DatumError> {
        parse(value, &mut 0).map(Paths)
    }

    /// The object with these fields alone.
    pub fn pluck(&self, object: &Object) -> Result<Datum, DatumError> {
        pluck(&Datum::Object(object.clone()), &self.0, Arrays::Refuse)
    }

    /// The object without these fields.
    pub fn without(&self, object: &Object) -> Result<Datum, DatumError> {
        without(&Datum::Object(object.clone()), &self.0, Arrays::Refuse)
    }

    /// Whether the object has all of these fields, and none is null.
    pub fn are_in(&self, object: &Object) -> bool {
        are_in(&Datum::Object(object.clone()), &self.0).unwrap_or(false)
    }
}

/// `parts` counts the parts of all paths so far.
fn parse(value: &Datum, parts: &mut usize) -> Result<Path, DatumError> {
    work::step();
    *parts += 1;
    if *parts > PATH_PARTS {
        return Err(DatumError::logic(format!("The paths have more than {PATH_PARTS} parts.")));
    }
    let mut paths = match value {
        Datum::String(name) => return Ok(Path::Field(name.clone())),
        Datum::Array(values) => {
            values.iter().map(|value| parse(value, parts)).collect::<Result<Vec<Path>, _>>()?
        }
        Datum::Object(object) => {
            let (mut whole, mut inside) = (Vec::new(), Vec::new());
            for (name, value) in object.iter() {
                match value {
                    Datum::Bool(true) => whole.push(Path::Field(name.clone())),
                    _ => inside.push((name.clone(), parse(value, parts)?)),
                }
            }
            if whole.is_empty() {
                return Ok(Path::Inside(inside));
            }
            if !inside.is_empty() {
                whole.push(Path::Inside(inside));
            }
            whole
        }
        other => {
            let message = format!("Invalid path argument `{}`.", other.try_print()?);
            return Err(DatumError::logic(message));
        }
    };
    match (paths.pop(), paths.is_empty()) {
        (Some(only), true) => Ok(only),
        (last, _) => {
            paths.extend(last);
            Ok(Path::All(paths))
        }
    }
}

fn pluck(value: &Datum, path: &Path, arrays: Arrays) -> Result<Datum, DatumError> {
    work::step();
    if let (Datum::Array(values), Arrays::Enter) = (value, arrays) {
        let values = values.iter().map(|value| pluck(value, path, Arrays::Refuse));
        return Ok(Datum::array(values.collect::<Result<_, _>>()?));
    }
    let mut plucked = ObjectBuilder::new();
    match path {
        Path::Field(name) => {
            if let Some(value) = value.as_object()?.field(name) {
                plucked.insert(name.clone(), value);
            }
        }
        Path::All(paths) => {
            for path in paths {
                for (name, value) in pluck(value, path, arrays)?.as_object()?.iter() {
                    plucked.insert(name.clone(), value.clone());
                }
            }
        }
        Path::Inside(fields) => {
            for (name, path) in fields {
                let Some(inner) = value.as_object()?.field(name) else { continue };
                // A path that does not fit the value picks nothing.
                if let Ok(inner) = pluck(&inner, path, Arrays::Enter) {
                    plucked.insert(name.clone(), inner);
                }
            }
        }
    }
    pseudo_typed(plucked.build())
}

fn without(value: &Datum, path: &Path, arrays: Arrays) -> Result<Datum, DatumError> {
    work::step();
    if let (Datum::Array(values), Arrays::Enter) = (value, arrays) {
        let values = values.iter().map(|value| without(value, path, Arrays::Refuse));
        return Ok(Datum::array(values.collect::<Result<_, _>>()?));
    }
    pseudo_typed(drop_fields(value.as_object()?.clone(), path))
}

fn drop_fields(object: Object, path: &Path) -> Object {
    if let Path::Field(name) = path {
        return object.without(name);
    }
    let mut changes = BTreeMap::new();
    note_drops(&object, path, &mut changes);
    object.merged(changes.into_iter().collect())
}

/// Notes what an object loses by a path, beside what it has lost by others: however many there are, it is copied once.
fn note_drops(object: &Object, path: &Path, changes: &mut BTreeMap<Arc<str>, Option<Datum>>) {
    work::step();
    match path {
        Path::Field(name) => {
            if object.contains(name) {
                changes.insert(name.clone(), None);
            }
        }
        Path::All(paths) => paths.iter().for_each(|path| note_drops(object, path, changes)),
        Path::Inside(fields) => {
            for (name, path) in fields {
                let value = match changes.get(name) {
                    Some(changed) => changed.clone(),
                    None => object.field(name),
                };
                // A path that does not fit the value drops nothing.
                if let Some(Ok(value)) = value.map(|value| without(&value, path, Arrays::Enter)) {
                    changes.insert(name.clone(), Some(value));
                }
            }
        }
    }
}

fn are_in(value: &Datum, path: &Path) -> Result<bool, DatumError> {
    work::step();
    match path {
        Path::Field(name) => {
            Ok(value.as_object()?.field(name).is_some_and(|value| !matches!(value, Datum::Null)))
        }
        Path::All(paths) => {
            for path in paths {
                if !are_in(value, path)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Path::Inside(fields) => {
            for (name, path) in fields {
                let Some(value) = value.as_object()?.field(name) else { return Ok(false) };
                if !are_in(&value, path)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// A literal of this value, or one that removes.
pub fn literal(value: Option<Datum>) -> Datum {
    let mut object = ObjectBuilder::with_capacity(2);
    object.insert(Arc::from(REQL_TYPE), LITERAL.into());
    if let Some(value) = value {
        object.insert(Arc::from(LITERAL_VALUE), value);
    }
    Datum::Object(object.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Datum)>) -> Datum {
        Datum::object(fields)
    }

    fn number(value: i32) -> Datum {
        Datum::Number(f64::from(value))
    }

    /// `{"a": 1, "b": [{"c": 2, "d": 3}, {"d": 4}], "n": null}`
    fn sample() -> Object {
        let first = object([("c", number(2)), ("d", number(3))]);
        let second = object([("d", number(4))]);
        let fields =
            [("a", number(1)), ("b", Datum::array(vec![first, second])), ("n", Datum::Null)];
        object(fields).as_object().unwrap().clone()
    }

    fn paths(value: Datum) -> Paths {
        Paths::parse(&value).unwrap()
    }

    #[test]
    fn literals_replace_and_remove_instead_of_merging() {
        let left = object([("a", object([("x", number(1))])), ("b", number(2))]);
        let right = object([("a", object([("y", number(3))])), ("b", literal(None))]);
        let both = object([("x", number(1)), ("y", number(3))]);
        assert_eq!(merge(&left, &right).unwrap(), object([("a", both)]));
        let inner = object([("y", number(3))]);
        let right = object([("a", literal(Some(inner.clone())))]);
        let expected = object([("a", inner), ("b", number(2))]);
        assert_eq!(merge(&left, &right).unwrap(), expected);
        let right = object([("new", object([("l", literal(Some(number(1))))]))]);
        let merged = merge(&left, &right).unwrap();
        assert_eq!(merged.get("new"), Some(&object([("l", number(1))])));
        let stray = merge(&left, &literal(Some(number(1)))).unwrap_err();
        assert_eq!(stray.message, STRAY_LITERAL);
    }

    #[test]
    fn where_a_side_is_no_object_the_second_is_the_answer() {
        assert_eq!(merge(&number(1), &number(2)).unwrap(), number(2));
        assert_eq!(merge(&object([]), &Datum::Null).unwrap(), Datum::Null);
    }

    #[test]
    fn paths_pick_and_drop_inside_of_arrays() {
        let inside = paths(object([("b", "d".into())]));
        let kept = |fields: &[(&'static str, Datum)]| object(fields.iter().cloned());
        let expected = vec![kept(&[("d", number(3))]), kept(&[("d", number(4))])];
        let plucked = inside.pluck(&sample()).unwrap();
        assert_eq!(plucked, object([("b", Datum::array(expected))]));
        let left = inside.without(&sample()).unwrap();
        let expected = vec![kept(&[("c", number(2))]), object([])];
        assert_eq!(left.get("b"), Some(&Datum::array(expected)));
        // A path that leads nowhere picks and drops nothing.
        let nowhere = paths(object([("a", "x".into())]));
        assert_eq!(nowhere.pluck(&sample()).unwrap(), object([]));
        assert_eq!(nowhere.without(&sample()).unwrap(), Datum::Object(sample()));
    }

    #[test]
    fn fields_that_are_null_are_not_there() {
        assert!(paths("a".into()).are_in(&sample()));
        assert!(!paths("n".into()).are_in(&sample()));
        assert!(!paths(Datum::array(vec!["a".into(), "z".into()])).are_in(&sample()));
        assert!(!paths(object([("b", object([("c", Datum::Bool(true))]))])).are_in(&sample()));
        assert!(paths(Datum::array(vec![])).are_in(&sample()));
    }

    #[test]
    fn what_is_no_path_is_named() {
        let error = Paths::parse(&Datum::array(vec!["a".into(), number(2)])).unwrap_err();
        assert_eq!(error.message, "Invalid path argument `2`.");
        let many =
            (0..40).fold("a".into(), |part: Datum, _| Datum::array(vec![part.clone(), part]));
        let error = Paths::parse(&many).unwrap_err();
        assert_eq!(error.message, "The paths have more than 1000000 parts.");
        let error = Paths::parse(&Datum::MinVal).unwrap_err();
        assert_eq!(error.message, "Cannot convert `r.minval` to JSON.");
    }

    #[test]
    fn objects_that_share_their_parts_are_merged_part_by_part_once() {
        let doubled = |name: &str| {
            (0..40).fold(object([(name, number(1))]), |part, _| {
                object([("a", part.clone()), ("b", part)])
            })
        };
        work::observe_with(Some(|_| std::panic::resume_unwind(Box::new("the merge is too long"))));
        let merged = merge(&doubled("x"), &doubled("y")).unwrap();
        work::observe_with(None);
        let mut part = &merged;
        for level in 0..40 {
            part = part.get(if level % 2 == 0 { "a" } else { "b" }).unwrap();
        }
        assert_eq!(part, &object([("x", number(1)), ("y", number(1))]));
        // Parts that are alike on one side alone are told apart by the other.
        let right = object([("a", object([("n", number(1))])), ("b", object([("n", number(2))]))]);
        let left = object([("l", number(0))]);
        let pair = object([("a", left.clone()), ("b", left)]);
        let merged = merge(&pair, &right).unwrap();
        assert_eq!(merged.get("a").and_then(|part| part.get("n")), Some(&number(1)));
        assert_eq!(merged.get("b").and_then(|part| part.get("n")), Some(&number(2)));
    }
}
