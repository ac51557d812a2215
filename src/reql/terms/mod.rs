//! The terms of ReQL: a folder for each chapter of RethinkDB's API documentation, a file for each command or close
//! family. A file reads: what the command does, its row, its evaluation, its tests. This file only collects rows.

mod administration;
mod aggregation;
mod control_structures;
mod dates_and_times;
mod document_manipulation;
mod geospatial;
mod globals;
mod internal;
mod joins;
mod manipulating_databases;
mod manipulating_tables;
mod math_and_logic;
mod selecting_data;
#[cfg(test)]
mod status;
mod string_manipulation;
#[cfg(test)]
pub(crate) mod testing;
mod transformations;
mod writing_data;

use std::sync::LazyLock;

use photondb_protocol::numbers::TermType;

use super::spec::TermSpec;

pub use globals::global_option;
pub use manipulating_databases::config_changes;
pub use selecting_data::default_database;
pub use writing_data::durability_of;

/// The rows, by chapter.
pub static CHAPTERS: &[&[&TermSpec]] = &[
    administration::ROWS,
    aggregation::ROWS,
    control_structures::ROWS,
    dates_and_times::ROWS,
    document_manipulation::ROWS,
    geospatial::ROWS,
    internal::ROWS,
    joins::ROWS,
    manipulating_databases::ROWS,
    manipulating_tables::ROWS,
    math_and_logic::ROWS,
    selecting_data::ROWS,
    string_manipulation::ROWS,
    transformations::ROWS,
    writing_data::ROWS,
];

/// Every row.
pub fn rows() -> impl Iterator<Item = &'static TermSpec> {
    CHAPTERS.iter().flat_map(|chapter| chapter.iter().copied())
}

/// The row of a term, when the server knows it.
pub fn row(term: TermType) -> Option<&'static TermSpec> {
    static BY_NUMBER: LazyLock<Vec<Option<&'static TermSpec>>> = LazyLock::new(|| {
        let mut table = Vec::new();
        for row in rows() {
            let number = usize::from(row.term.number());
            if table.len() <= number {
                table.resize(number + 1, None);
            }
            if let Some(slot) = table.get_mut(number) {
                *slot = Some(row);
            }
        }
        table
    });
    BY_NUMBER.get(usize::from(term.number())).copied().flatten()
}

/// The name of a term that has no row, as messages show it.
pub fn name_without_row(term: TermType) -> String {
    let mut name = String::new();
    for letter in format!("{term:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// Terms that have no row because the compiler evaluates them itself.
#[cfg(test)]
const COMPILED: &[TermType] = &[
    TermType::Datum,
    TermType::MakeObj,
    TermType::Var,
    TermType::ImplicitVar,
    TermType::Func,
    TermType::Now,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_term_has_two_rows_and_options_are_known() {
        for &term in TermType::ALL {
            assert!(rows().filter(|row| row.term == term).count() <= 1, "{term:?}");
        }
        for row in rows() {
            for option in row.options {
                assert!(
                    global_option(option).is_some(),
                    "{}: {option} is not in terms/globals.rs",
                    row.name
                );
            }
        }
    }
}
