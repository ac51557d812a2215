//! `docs/reql.md`: every term of the protocol and how much of it is built, printed from the rows. Only compiled for
//! tests; the test that compares the page with the rows also writes it anew when `PHOTONDB_WRITE_DOCS` is set.

use std::fmt::Write as _;

use photondb_protocol::numbers::TermType;

use super::{COMPILED, name_without_row, row, rows};
use crate::reql::facts::Determinism;
use crate::reql::spec::{Arity, Chapter, Status, TermSpec};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reql.md");

const CHAPTERS: &[(Chapter, &str)] = &[
    (Chapter::ManipulatingDatabases, "Manipulating databases"),
    (Chapter::ManipulatingTables, "Manipulating tables"),
    (Chapter::WritingData, "Writing data"),
    (Chapter::SelectingData, "Selecting data"),
    (Chapter::Joins, "Joins"),
    (Chapter::Transformations, "Transformations"),
    (Chapter::Aggregation, "Aggregation"),
    (Chapter::DocumentManipulation, "Document manipulation"),
    (Chapter::StringManipulation, "String manipulation"),
    (Chapter::MathAndLogic, "Math and logic"),
    (Chapter::DatesAndTimes, "Dates and times"),
    (Chapter::ControlStructures, "Control structures"),
    (Chapter::Geospatial, "Geospatial"),
    (Chapter::Administration, "Administration"),
    (Chapter::Internal, "Not documented"),
];

fn page() -> String {
    let mut page = String::from(
        "# What of ReQL is built\n\n\
         Printed from the rows of the terms by a test (`src/reql/terms/status.rs`); do not edit. A term that is not\n\
         built answers that it is not supported, never an empty value.\n",
    );
    for (chapter, title) in CHAPTERS {
        let mut here: Vec<_> = rows().filter(|row| row.chapter == *chapter).collect();
        if here.is_empty() {
            continue;
        }
        here.sort_by_key(|row| row.name);
        let _ = write!(
            page,
            "\n## {title}\n\n| term | number | arguments | options | answers the same each time | built |\n\
             | --- | ---: | --- | --- | --- | --- |\n"
        );
        for row in here {
            let _ = writeln!(page, "{}", line(row));
        }
    }
    let missing: Vec<_> = TermType::ALL
        .iter()
        .filter(|term| row(**term).is_none() && !COMPILED.contains(term))
        .map(|term| format!("`{}`", name_without_row(*term)))
        .collect();
    if !missing.is_empty() {
        let _ = write!(page, "\n## Not built at all\n\n{}\n", missing.join(", "));
    }
    page
}

fn line(row: &TermSpec) -> String {
    let options: Vec<_> = row.options.iter().map(|option| format!("`{option}`")).collect();
    let determinism = match row.determinism {
        Determinism::Always => "yes",
        Determinism::WithArgument => "with an argument",
        Determinism::OneQuery => "within a query",
        Determinism::SingleServer => "on one machine",
        Determinism::No => "no",
    };
    let status = match row.status {
        Status::Complete => "yes".to_owned(),
        Status::Without(what) => format!("yes, without: {what}"),
        Status::Planned => "no: arguments are checked".to_owned(),
    };
    format!(
        "| `{}` | {} | {} | {} | {determinism} | {status} |",
        row.name,
        row.term.number(),
        arity(row.arity),
        options.join(" ")
    )
}

fn arity(arity: Arity) -> String {
    match arity.max {
        Some(max) if max == arity.min => max.to_string(),
        Some(max) => format!("{} to {max}", arity.min),
        None => format!("{} or more", arity.min),
    }
}

#[test]
fn the_page_says_what_the_rows_say() {
    let page = page();
    if std::env::var_os("PHOTONDB_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "docs/reql.md is not what the rows say: run `PHOTONDB_WRITE_DOCS=1 cargo test --lib status`"
    );
}
