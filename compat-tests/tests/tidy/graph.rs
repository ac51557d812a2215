//! Which file of the server takes names from which, as its paths tell, and the circles that these arrows make.
//!
//! A path is followed to the file that defines what it names: a name that a module hands on with `pub use` is an arrow to
//! the file it comes from, not to the module. Only code that ships counts. Must not know rules.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::Source;

/// A module: `crate::reql::terms` as `["reql", "terms"]`.
type Path = Vec<String>;

/// The files and their arrows.
pub struct Graph {
    /// Paths from the top of the tree.
    pub files: Vec<String>,
    /// For each file the indexes of those it takes names from.
    arrows: Vec<BTreeSet<usize>>,
}

impl Graph {
    /// The arrows among all files of the server that ship.
    pub fn of(sources: &[Source]) -> Self {
        let shipped: Vec<&Source> = sources
            .iter()
            .filter(|source| source.path.starts_with("src/") && !source.is_test)
            .collect();
        let paths: Vec<Path> = shipped.iter().map(|source| module_path(&source.path)).collect();
        let mut names = Names::default();
        for (index, path) in paths.iter().enumerate() {
            names.files.insert(path.clone(), index);
        }
        let mut used = Vec::new();
        for (source, path) in shipped.iter().zip(&paths) {
            let (handed_on, taken) = names.read(source, path);
            names.handed_on.insert(path.clone(), handed_on);
            used.push(taken);
        }
        let arrows = used
            .iter()
            .enumerate()
            .map(|(from, taken)| {
                let found = taken.iter().filter_map(|path| names.resolve(path, 0));
                found.filter(|to| *to != from).collect()
            })
            .collect();
        Self { files: shipped.iter().map(|source| source.path.clone()).collect(), arrows }
    }

    /// Every arrow between files of a folder.
    pub fn arrows_in<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let file = |index: usize| self.files.get(index).map_or("", String::as_str);
        let arrows = self.arrows.iter().enumerate();
        arrows
            .flat_map(move |(from, to)| to.iter().map(move |to| (file(from), file(*to))))
            .filter(move |(from, to)| from.starts_with(folder) && to.starts_with(folder))
    }

    /// The files of the largest circle in a folder: each is reached from each.
    pub fn largest_circle(&self, folder: &str) -> Vec<&str> {
        let mut search = Search {
            graph: self,
            folder,
            seen: vec![None; self.files.len()],
            path: Vec::new(),
            next: 0,
            largest: Vec::new(),
        };
        for index in 0..self.files.len() {
            if self.is_within(index, folder) && search.seen.get(index) == Some(&None) {
                search.visit(index);
            }
        }
        let mut files: Vec<&str> = search
            .largest
            .iter()
            .filter_map(|index| Some(self.files.get(*index)?.as_str()))
            .collect();
        files.sort_unstable();
        files
    }

    fn is_within(&self, index: usize, folder: &str) -> bool {
        self.files.get(index).is_some_and(|file| file.starts_with(folder))
    }
}

/// The strongly connected components of a graph, by Tarjan's algorithm: "Depth-first search and linear graph algorithms",
/// SIAM Journal on Computing 1 (1972).
struct Search<'a> {
    graph: &'a Graph,
    folder: &'a str,
    /// For each file: when it was met, and the earliest that it reaches; none before.
    seen: Vec<Option<(usize, usize)>>,
    path: Vec<usize>,
    next: usize,
    largest: Vec<usize>,
}

impl Search<'_> {
    /// Gives the earliest file on the path that is reached from this one.
    fn visit(&mut self, index: usize) -> usize {
        let met = self.next;
        self.next += 1;
        self.path.push(index);
        let mut earliest = met;
        self.note(index, met, met);
        let reached = self.graph.arrows.get(index).cloned().unwrap_or_default();
        for to in reached {
            if !self.graph.is_within(to, self.folder) {
                continue;
            }
            match self.seen.get(to).copied().flatten() {
                None => earliest = earliest.min(self.visit(to)),
                Some((when, _)) if self.path.contains(&to) => earliest = earliest.min(when),
                Some(_) => {}
            }
        }
        self.note(index, met, earliest);
        if earliest == met
            && let Some(start) = self.path.iter().position(|on_path| *on_path == index)
        {
            let circle = self.path.split_off(start);
            if circle.len() > self.largest.len().max(1) {
                self.largest = circle;
            }
        }
        earliest
    }

    fn note(&mut self, index: usize, met: usize, earliest: usize) {
        if let Some(seen) = self.seen.get_mut(index) {
            *seen = Some((met, earliest));
        }
    }
}

/// What each module defines or hands on.
#[derive(Default)]
struct Names {
    files: BTreeMap<Path, usize>,
    /// By module: a name, and the path that it comes from.
    handed_on: BTreeMap<Path, BTreeMap<String, Path>>,
}

impl Names {
    /// What a file hands on with `pub use`, and every path of the server that its other code names.
    fn read(&self, source: &Source, module: &Path) -> (BTreeMap<String, Path>, Vec<Path>) {
        let code = source.shipped();
        let (mut handed_on, mut taken) = (BTreeMap::new(), Vec::new());
        let mut rest = code.to_owned();
        // Who may see something says nothing of what it needs.
        for (at, _) in code.match_indices("pub(in ") {
            let length = code.get(at..).and_then(|from| from.find(')')).unwrap_or(0);
            rest.replace_range(at..at + length, &" ".repeat(length));
        }
        for (at, _) in code.match_indices("use ") {
            let before = code.get(..at).unwrap_or_default();
            if before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_') {
                continue;
            }
            let Some(tree) = code.get(at + 4..).and_then(|after| after.split(';').next()) else {
                continue;
            };
            let line = before.rsplit(['\n', ';', '}']).next().unwrap_or_default().trim();
            for path in use_tree(tree) {
                let Some(whole) = self.absolute(module, &path) else { continue };
                match (line.starts_with("pub"), path.last()) {
                    (true, Some(name)) => drop(handed_on.insert(name.clone(), whole)),
                    _ => taken.push(whole),
                }
            }
            let blank = " ".repeat(4 + tree.len());
            rest.replace_range(at..at + blank.len(), &blank);
        }
        taken.extend(paths_in(&rest).iter().filter_map(|path| self.absolute(module, path)));
        (handed_on, taken)
    }

    /// A path from the top; none when it is not one of the server.
    fn absolute(&self, module: &Path, path: &[String]) -> Option<Path> {
        let (first, below) = path.split_first()?;
        let mut base = module.clone();
        match first.as_str() {
            "crate" => return Some(below.to_vec()),
            "self" => base.extend_from_slice(below),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                base.truncate(module.len().checked_sub(ups)?);
                base.extend_from_slice(path.get(ups..)?);
            }
            child => {
                base.push(child.to_owned());
                self.files.get(&base)?;
                base.extend_from_slice(below);
            }
        }
        Some(base)
    }

    /// The file that defines what a path names.
    fn resolve(&self, path: &[String], depth: usize) -> Option<usize> {
        let length = (0..=path.len()).rev().find(|length| {
            path.get(..*length).is_some_and(|start| self.files.contains_key(start))
        })?;
        let (module, below) = path.split_at_checked(length)?;
        let handed_on = below.first().and_then(|name| self.handed_on.get(module)?.get(name));
        if let Some(origin) = handed_on.filter(|_| depth < 8) {
            let whole: Path = origin.iter().chain(below.iter().skip(1)).cloned().collect();
            if let Some(found) = self.resolve(&whole, depth + 1) {
                return Some(found);
            }
        }
        self.files.get(module).copied()
    }
}

fn module_path(file: &str) -> Path {
    let below = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut path: Path = below.split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| last == "mod" || last == "lib") {
        path.pop();
    }
    path
}

/// The paths of a `use`: `a::{b, c::d}` are `a::b` and `a::c::d`.
fn use_tree(tree: &str) -> Vec<Path> {
    let Some((start, group)) = tree.split_once('{') else {
        let plain = tree.split(" as ").next().unwrap_or_default();
        return vec![plain.split("::").map(|part| part.trim().to_owned()).collect()];
    };
    let start: Path = start
        .split("::")
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let mut paths = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => {
                let part = group.get(from..at).unwrap_or_default().trim();
                if !part.is_empty() {
                    let below = use_tree(part);
                    paths.extend(below.into_iter().map(|below| [start.clone(), below].concat()));
                }
                from = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// Every path of two or more parts that code names.
fn paths_in(code: &str) -> Vec<Path> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let words = code.split(|c: char| !is_part(c) && c != ':');
    words
        .filter(|word| word.contains("::"))
        .map(|word| word.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, text)).collect();
        Graph::of(&sources)
    }

    #[test]
    fn a_name_that_is_handed_on_is_an_arrow_to_where_it_is_defined() {
        let graph = graph(&[
            ("src/a/mod.rs", "mod b;\npub use b::{B, C as D};\n"),
            ("src/a/b.rs", "pub struct B;"),
            ("src/c.rs", "use crate::a::B;"),
        ]);
        let arrows: Vec<_> = graph.arrows_in("src/").collect();
        assert_eq!(arrows, [("src/c.rs", "src/a/b.rs")]);
    }

    #[test]
    fn paths_in_code_count_and_those_of_tests_do_not() {
        let graph = graph(&[
            ("src/a/mod.rs", "mod b;\nfn f() { b::g(); }"),
            ("src/a/b.rs", "fn g() { super::f() }\n#[cfg(test)]\nmod tests { use crate::c::x; }"),
            ("src/c.rs", "fn x() { std::mem::drop(1) }"),
        ]);
        assert_eq!(graph.largest_circle("src/"), ["src/a/b.rs", "src/a/mod.rs"]);
        assert!(graph.largest_circle("src/c").is_empty());
        assert_eq!(graph.arrows_in("src/").count(), 2);
    }

    #[test]
    fn the_largest_of_several_circles() {
        let graph = graph(&[
            ("src/a.rs", "use crate::b::x;"),
            ("src/b.rs", "use crate::{c::{x, y}, d::z};"),
            ("src/c.rs", "use super::a::x;"),
            ("src/d.rs", "use crate::e::x;"),
            ("src/e.rs", "use crate::d::x;"),
        ]);
        assert_eq!(graph.largest_circle("src/"), ["src/a.rs", "src/b.rs", "src/c.rs"]);
    }
}
