//! Adds up the answers of writes: numbers are summed, arrays joined, of texts the first stays.
//! Knows values alone; which fields a write answers is the writes' own affair.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::datum::{Datum, DatumError, Object, work};

/// The sum of the answers so far.
pub(crate) struct WriteTotals {
    fields: BTreeMap<Arc<str>, Datum>,
    warnings: BTreeSet<String>,
    array_limit: usize,
}

impl WriteTotals {
    /// No answers yet. Arrays end at the limit, which is worth a warning.
    pub(crate) fn new(array_limit: usize) -> Self {
        WriteTotals { fields: BTreeMap::new(), warnings: BTreeSet::new(), array_limit }
    }

    /// Adds one more answer, which must be an object.
    pub(crate) fn add(&mut self, answer: &Datum) -> Result<(), DatumError> {
        for (name, value) in answer.as_object()?.iter() {
            work::step();
            match self.fields.get_mut(name) {
                Some(total) => join(total, value, self.array_limit, &mut self.warnings)?,
                None => drop(self.fields.insert(name.clone(), value.clone())),
            }
        }
        Ok(())
    }

    /// The sum with what had to be said of it.
    pub(crate) fn into_object(mut self) -> Object {
        if !self.warnings.is_empty() {
            let mut all: Vec<Datum> = match self.fields.get("warnings") {
                Some(Datum::Array(before)) => before.to_vec(),
                _ => Vec::new(),
            };
            for warning in self.warnings.into_iter().map(Datum::from) {
                if !all.contains(&warning) {
                    all.push(warning);
                }
            }
            self.fields.insert(Arc::from("warnings"), Datum::array(all));
        }
        self.fields.into_iter().collect()
    }
}

fn join(
    total: &mut Datum,
    value: &Datum,
    array_limit: usize,
    warnings: &mut BTreeSet<String>,
) -> Result<(), DatumError> {
    match (total, value) {
        (Datum::Number(total), Datum::Number(value)) => *total += value,
        (Datum::Array(total), Datum::Array(values)) => {
            let room = array_limit.saturating_sub(total.len());
            if values.len() > room {
                warnings.insert(format!("Too many changes, array truncated to {array_limit}."));
            }
            work::steps(values.len());
            Arc::make_mut(total).extend(values.iter().take(room).cloned());
        }
        (Datum::String(_), Datum::String(_)) => {}
        (total, value) => {
            return Err(DatumError::logic(format!(
                "Cannot merge statistics `{}` (type {}) and `{}` (type {}).",
                total.truncated_print(),
                total.type_name(),
                value.truncated_print(),
                value.type_name()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arrays_are_cut_with_a_warning() {
        let answer = Datum::object([("changes", Datum::array(vec![Datum::Null; 3]))]);
        let mut totals = WriteTotals::new(4);
        totals.add(&answer).unwrap();
        totals.add(&answer).unwrap();
        let total = totals.into_object();
        assert_eq!(total.get("changes").unwrap().as_array().unwrap().len(), 4);
        let text = Datum::string("Too many changes, array truncated to 4.");
        assert_eq!(total.get("warnings"), Some(&Datum::array(vec![text])));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let mut totals = WriteTotals::new(4);
        totals.add(&Datum::object([("n", Datum::Null)])).unwrap();
        let error = totals.add(&Datum::object([("n", Datum::Number(1.0))])).unwrap_err();
        let message = "Cannot merge statistics `null` (type NULL) and `1` (type NUMBER).";
        assert_eq!(error.message, message);
    }
}
