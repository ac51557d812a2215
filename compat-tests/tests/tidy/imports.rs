//! The direction of knowledge: the top may know the bottom, never the reverse.
//! `cli → server → net → session → reql → table, changefeed, catalog → storage`, with `http → session, reql`.

use crate::source::Source;

/// Each module of the server and what it may import. A new module must be placed here, which is a decision.
const MAY_IMPORT: [(&str, &[&str]); 34] = [
    ("main", &["cli"]),
    ("account", &[]),
    ("addresses", &[]),
    ("shares", &[]),
    ("seldom", &["limits"]),
    ("cli", &["server", "config", "shutdown", "limits", "log_lines", "panics"]),
    (
        "server",
        &[
            "account",
            "addresses",
            "net",
            "http",
            "session",
            "catalog",
            "storage",
            "config",
            "auth",
            "metrics",
            "shutdown",
            "limits",
            "log_lines",
            "memory",
            "meter",
            "panics",
            "reql",
            "table",
            "changefeed",
            "holders",
            "unread",
        ],
    ),
    (
        "http",
        &[
            "addresses",
            "session",
            "reql",
            "datum",
            "auth",
            "metrics",
            "config",
            "seldom",
            "shares",
            "shutdown",
            "limits",
            "unread",
        ],
    ),
    (
        "net",
        &[
            "account",
            "addresses",
            "session",
            "auth",
            "metrics",
            "config",
            "seldom",
            "shutdown",
            "limits",
            "unread",
        ],
    ),
    // storage only to wait until a commit is on disk
    (
        "session",
        &[
            "addresses",
            "reql",
            "storage",
            "datum",
            "auth",
            "metrics",
            "shutdown",
            "limits",
            "turns",
            "holders",
            "unread",
            "seldom",
        ],
    ),
    ("auth", &["storage", "limits", "bell", "turns"]),
    (
        "reql",
        &[
            "table",
            "changefeed",
            "catalog",
            "storage",
            "datum",
            "geo",
            "auth",
            "cancel",
            "holders",
            "limits",
            "log_lines",
            "memory",
            "meter",
            "bell",
            "priority",
            "seldom",
            "shares",
            "turns",
        ],
    ),
    ("table", &["changefeed", "catalog", "storage", "datum", "limits", "meter", "turns"]),
    ("changefeed", &["account", "table", "catalog", "storage", "datum", "limits", "seldom"]),
    (
        "catalog",
        &["table", "changefeed", "storage", "datum", "limits", "bell", "priority", "turns"],
    ),
    ("config", &["limits"]),
    ("metrics", &["limits", "meter"]),
    ("shutdown", &["limits"]),
    ("storage", &["limits", "memory", "turns"]),
    ("fuzzing", &["storage", "table", "datum", "reql", "http"]),
    ("geo", &["datum"]),
    ("datum", &["limits"]),
    ("log_lines", &["limits", "bell"]),
    ("memory", &[]),
    ("cancel", &[]),
    ("turns", &["cancel", "limits"]),
    ("meter", &[]),
    ("panics", &[]),
    ("priority", &["limits"]),
    ("bell", &[]),
    ("limits", &[]),
    ("testing", &[]),
    ("holders", &["account", "addresses", "limits"]),
    ("unread", &["account", "limits"]),
];

/// What the protocol core must not touch: a socket, a clock, a task, the server.
const NOT_IN_PROTOCOL: [&str; 6] =
    ["std::net", "tokio::net", "std::time", "tokio::time", "tokio::spawn", "photondb::"];

/// Imports of `source` that point upwards.
pub fn direction(source: &Source) -> Vec<String> {
    if source.path.starts_with("protocol/src/") {
        return not_in_protocol(source);
    }
    let Some(module) = module(&source.path) else { return Vec::new() };
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == module) else {
        return vec![format!("{}: module {module} has no place in the order", source.path)];
    };
    let mut complaints = Vec::new();
    for (at, name) in imports(source) {
        if name != module && is_module(&name) && !allowed.contains(&name.as_str()) {
            complaints.push(format!("{}: {module} must not know {name}", source.place(at)));
        }
    }
    complaints
}

fn not_in_protocol(source: &Source) -> Vec<String> {
    let mut complaints = Vec::new();
    for needle in NOT_IN_PROTOCOL {
        for (at, _) in source.shipped().match_indices(needle) {
            complaints.push(format!("{}: the protocol must not know {needle}", source.place(at)));
        }
    }
    complaints
}

/// The top module that a file of the server belongs to; none for `lib.rs`, which only lists them.
fn module(path: &str) -> Option<&str> {
    let below = path.strip_prefix("src/")?;
    let first = below.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (name != "lib").then_some(name)
}

fn is_module(name: &str) -> bool {
    MAY_IMPORT.iter().any(|(module, _)| *module == name)
}

/// Every top module that the code that ships names, with the position.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let below = source.path.strip_prefix("src/").unwrap_or_default();
    let is_root =
        !below.contains('/') || (below.matches('/').count() == 1 && below.ends_with("/mod.rs"));
    let mut prefixes = vec!["crate::", "photondb::"];
    if is_root {
        prefixes.push("super::");
    }
    let code = source.shipped();
    let mut found = Vec::new();
    for prefix in prefixes {
        for (at, _) in code.match_indices(prefix) {
            let before = code.get(..at).and_then(|before| before.chars().next_back());
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let after = code.get(at + prefix.len()..).unwrap_or_default();
            found.extend(first_names(after).into_iter().map(|name| (at, name)));
        }
    }
    found
}

/// The first part of each path after `crate::`: one, or several in braces.
fn first_names(after: &str) -> Vec<String> {
    let Some(group) = after.strip_prefix('{') else {
        return vec![identifier(after)];
    };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' | b'}' if depth == 0 => {
                names.push(identifier(group.get(start..at).unwrap_or_default().trim_start()));
                start = at + 1;
                if byte == b'}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        direction(&Source::new(path, text)).len()
    }

    #[test]
    fn upward_imports() {
        assert_eq!(found("src/storage/slab/mod.rs", "use crate::limits::A;"), 0);
        assert_eq!(found("src/storage/slab/mod.rs", "use crate::datum::Datum;"), 1);
        assert_eq!(found("src/reql/eval.rs", "use crate::table::Table;"), 0);
        assert_eq!(found("src/reql/eval.rs", "fn f(a: &crate::net::Tcp) {}"), 1);
        assert_eq!(found("src/session/mod.rs", "use super::net::Tcp;"), 1);
        assert_eq!(found("src/session/cursors.rs", "use super::net;"), 0);
    }

    #[test]
    fn imports_in_braces() {
        let text = "use crate::{limits::{A, B}, net::Tcp,\n    http};";
        assert_eq!(found("src/reql/eval.rs", text), 2);
    }

    #[test]
    fn tests_and_comments_may_name_anything() {
        assert_eq!(found("src/datum/mod.rs", "// crate::net::Tcp\n"), 0);
        let test = "#[cfg(test)]\nmod tests { use crate::reql::eval; }";
        assert_eq!(found("src/datum/mod.rs", test), 0);
    }

    #[test]
    fn a_module_without_a_place() {
        assert_eq!(found("src/utils.rs", ""), 1);
        assert_eq!(found("src/lib.rs", "pub mod net;"), 0);
    }

    #[test]
    fn the_protocol_has_no_socket() {
        assert_eq!(found("protocol/src/frame.rs", "use std::net::TcpStream;"), 1);
        assert_eq!(found("protocol/src/frame.rs", "use crate::numbers::Version;"), 0);
    }

    #[test]
    fn the_order_has_no_circle_but_the_one_meant() {
        for (module, allowed) in MAY_IMPORT {
            for other in allowed {
                let back =
                    MAY_IMPORT.iter().any(|(name, its)| name == other && its.contains(&module));
                let beside = ["table", "changefeed", "catalog"];
                let meant = beside.contains(&module) && beside.contains(other);
                assert!(!back || meant, "{module} and {other} import each other");
            }
        }
    }
}
