//! Rules about documents and other text: what they name exists, and they name no machine.

use crate::tree::{Text, Tree};

/// Folders at the top of the tree: a word in code font that begins with one is a path.
const TOPS: [&str; 8] =
    ["src/", "protocol/", "compat-tests/", "docs/", "scripts/", "helm/", ".ci/", ".github/"];
/// Folders of one machine. Written in two halves, so that this list does not find itself.
const MACHINE: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tm", "p/"), concat!("/ho", "me/")];
/// The only hosts a lock file may name.
const REGISTRIES: [&str; 5] = [
    "https://registry.npmjs.org/",
    "https://github.com/",
    "https://opencollective.com/",
    "https://www.patreon.com/",
    "https://feross.org/",
];

/// Links and paths of a document that lead nowhere, and functions that are not where it says.
pub fn names(text: &Text, tree: &Tree) -> Vec<String> {
    if !text.path.ends_with(".md") {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for (number, line) in prose(&text.text) {
        let place = format!("{}:{number}", text.path);
        for target in links(line) {
            if !tree.has(&resolve(&text.path, target)) {
                complaints.push(format!("{place}: link to {target}, which is not there"));
            }
        }
        let spans = code_spans(line);
        let paths: Vec<&str> = spans.iter().copied().filter(|span| is_path(span)).collect();
        for path in &paths {
            if !tree.has(path) {
                complaints.push(format!("{place}: names {path}, which is not there"));
            }
        }
        complaints.extend(missing_functions(&place, &spans, &paths, tree));
    }
    complaints
}

/// Places in a text that exist on one machine only.
pub fn machines(text: &Text) -> Vec<String> {
    let mut complaints = Vec::new();
    let is_lock = text.path.ends_with("package-lock.json");
    for (index, line) in text.text.lines().enumerate() {
        let place = format!("{}:{}", text.path, index + 1);
        for needle in MACHINE {
            if line.contains(needle) && !text.path.ends_with("Dockerfile") {
                complaints.push(format!("{place}: names {needle}"));
            }
        }
        let foreign = line.split('"').any(|word| {
            word.starts_with("http") && !REGISTRIES.iter().any(|host| word.starts_with(host))
        });
        if is_lock && foreign {
            complaints.push(format!("{place}: a host that is no public registry: {}", line.trim()));
        }
    }
    complaints
}

/// Lines outside fenced blocks, counted from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// Targets of links that point into the tree.
fn links(line: &str) -> Vec<&str> {
    let after = line.split("](").skip(1);
    let targets = after.filter_map(|rest| rest.split(')').next());
    let local = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
    let paths = local.map(|target| target.split('#').next().unwrap_or(target));
    paths.filter(|target| !target.is_empty()).collect()
}

/// A path from the top of the tree, for a link in the document `from`.
fn resolve(from: &str, target: &str) -> String {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if !parts.is_empty() => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn code_spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

fn is_path(span: &str) -> bool {
    let plain = span.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    plain && TOPS.iter().any(|top| span.starts_with(top))
}

/// A line that names a Rust file and `function()` promises that the one is in the other.
fn missing_functions(place: &str, spans: &[&str], paths: &[&str], tree: &Tree) -> Vec<String> {
    let files: Vec<_> =
        tree.sources.iter().filter(|source| paths.contains(&source.path.as_str())).collect();
    if files.is_empty() {
        return Vec::new();
    }
    let mut complaints = Vec::new();
    for span in spans {
        let Some(path) = span.strip_suffix("()") else { continue };
        let name = path.rsplit("::").next().unwrap_or(path);
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let declared =
            |code: &str| ["(", "<"].iter().any(|next| code.contains(&format!("fn {name}{next}")));
        if plain && !files.iter().any(|file| declared(&file.code)) {
            complaints.push(format!("{place}: no {span} in {}", paths.join(", ")));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn found(document: &str) -> Vec<String> {
        let tree = Tree {
            paths: ["README.md", "docs", "docs/a.md", "src/net.rs"].map(str::to_owned).to_vec(),
            texts: Vec::new(),
            sources: vec![Source::new("src/net.rs", "//! Net.\npub fn accept() {}\nfn go<T>() {}")],
        };
        names(&Text { path: "docs/a.md".into(), text: document.into() }, &tree)
    }

    #[test]
    fn links_that_lead_nowhere() {
        assert_eq!(found("[a](a.md) [b](../README.md#top) [c](https://x.y/z) [d](#here)").len(), 0);
        assert_eq!(found("[a](b.md) and [b](../docs/c.md)").len(), 2);
    }

    #[test]
    fn paths_that_are_not_there() {
        assert_eq!(found("`src/net.rs`, `docs/`, `r.table(a)`, `cargo run`, `src/*.rs`").len(), 0);
        assert_eq!(found("`src/nets.rs`").len(), 1);
        assert_eq!(found("```\n`src/nets.rs`\n```").len(), 0);
    }

    #[test]
    fn functions_that_are_not_there() {
        assert_eq!(found("`accept()` and `Net::go()` in `src/net.rs`").len(), 0);
        assert_eq!(found("`listen()` in `src/net.rs`").len(), 1);
        assert_eq!(found("`r.now()` and `listen()` alone").len(), 0);
    }

    #[test]
    fn machines_are_found() {
        let check =
            |path: &str, text: &str| machines(&Text { path: path.into(), text: text.into() }).len();
        assert_eq!(check("a.sh", concat!("cd /wo", "rk/main")), 1);
        assert_eq!(check("a.sh", "cd \"$top\""), 0);
        let lock = |host: &str| format!("\"resolved\": \"{host}/a/-/a-1.tgz\"");
        assert_eq!(check("x/package-lock.json", &lock("https://registry.npmjs.org")), 0);
        assert_eq!(check("x/package-lock.json", &lock("https://npm.example.com")), 1);
    }
}
