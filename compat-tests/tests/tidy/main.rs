//! Tidy: the habits of this tree, checked by machine. Each rule takes text and gives complaints, so that each is
//! tried on a small bad input as well as on the tree. Must not know what any of the checked code does.

mod docs;
mod graph;
mod imports;
mod rules;
mod source;
mod tree;

use std::io;

use graph::Graph;
use source::Source;
use tree::Tree;

/// Fails with every complaint at once.
fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// A check of every Rust file of the tree.
fn check_sources(rule: fn(&Source) -> Vec<String>) -> io::Result<()> {
    let tree = Tree::read()?;
    assert!(tree.sources.len() > 20, "most of the tree was not found");
    assert_none(tree.sources.iter().flat_map(rule).collect());
    Ok(())
}

#[test]
fn every_file_says_what_it_is() -> io::Result<()> {
    check_sources(rules::head)
}

#[test]
fn no_file_is_too_long() -> io::Result<()> {
    check_sources(rules::length)
}

#[test]
fn nothing_is_forbidden_or_excused_without_a_reason() -> io::Result<()> {
    check_sources(rules::forbidden)
}

#[test]
fn imports_go_downwards() -> io::Result<()> {
    check_sources(imports::direction)
}

/// Files of the language that may need each other: what a value is, what a term is given, and what both stand on.
const LANGUAGE_CORE: usize = 15;

#[test]
fn the_language_is_no_circle() -> io::Result<()> {
    let graph = Graph::of(&Tree::read()?.sources);
    let circle = graph.largest_circle("src/reql/");
    println!("{} files of src/reql need each other", circle.len());
    assert!(circle.len() <= LANGUAGE_CORE, "{} files: {}", circle.len(), circle.join(" "));
    Ok(())
}

#[test]
fn every_term_has_one_row() -> io::Result<()> {
    let tree = Tree::read()?;
    let rows = rules::rows(&tree.sources);
    assert!(!rows.is_empty(), "no row was found: rows are written otherwise now");
    assert_none(rules::one_row_each(rows));
    Ok(())
}

#[test]
fn documents_name_only_what_exists() -> io::Result<()> {
    let tree = Tree::read()?;
    assert_none(tree.texts.iter().flat_map(|text| docs::names(text, &tree)).collect());
    Ok(())
}

#[test]
fn no_machine_is_named() -> io::Result<()> {
    let tree = Tree::read()?;
    assert_none(tree.texts.iter().flat_map(docs::machines).collect());
    Ok(())
}
