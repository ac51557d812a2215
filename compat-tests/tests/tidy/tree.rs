//! The files of this tree, read once. Knows folders; must not know rules.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::source::{self, Source};

/// Folders that hold what was built, installed or left by a run.
const SKIPPED: [&str; 6] =
    [".git", "target", "node_modules", ".venv", "__pycache__", "photondb_data"];
/// Recorded data, which is not ours to change.
const RECORDED: &str = "compat-tests/oracle/";
/// Kinds of file whose text is checked.
const TEXTS: [&str; 12] =
    ["rs", "md", "toml", "sh", "py", "js", "mjs", "json", "txt", "yml", "yaml", "html"];
/// Files without an ending whose text is checked.
const NAMED: [&str; 3] = [".gitignore", "Dockerfile", "run"];

/// A file and its path from the top of the tree, with forward slashes.
pub struct Text {
    /// `src/net/tcp.rs`
    pub path: String,
    /// The whole file.
    pub text: String,
}

/// All files that are checked.
pub struct Tree {
    /// Every path of the tree, files and folders.
    pub paths: Vec<String>,
    /// Every text file but the recorded data.
    pub texts: Vec<Text>,
    /// The Rust files among them.
    pub sources: Vec<Source>,
}

impl Tree {
    /// Reads the tree that this test was built from.
    pub fn read() -> io::Result<Self> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
        let mut paths = Vec::new();
        walk(&top, &top, &mut paths)?;
        paths.sort_unstable();
        let mut texts = Vec::new();
        for path in paths.iter().filter(|path| is_text(path)) {
            texts.push(Text { path: path.clone(), text: fs::read_to_string(top.join(path))? });
        }
        let rust = texts.iter().filter(|text| text.path.ends_with(".rs"));
        let mut sources: Vec<Source> =
            rust.map(|text| Source::new(&text.path, &text.text)).collect();
        source::mark_test_files(&mut sources);
        Ok(Self { paths, texts, sources })
    }

    /// True for a file or folder of the tree.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty() || self.paths.binary_search_by(|known| known.as_str().cmp(path)).is_ok()
    }
}

fn walk(top: &Path, folder: &Path, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if SKIPPED.contains(&name) {
            continue;
        }
        if let Some(below) = path.strip_prefix(top).ok().and_then(|path| path.to_str()) {
            paths.push(below.replace('\\', "/"));
        }
        if path.is_dir() {
            walk(top, &path, paths)?;
        }
    }
    Ok(())
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let ending = name.rsplit_once('.').map(|(_, ending)| ending);
    !path.starts_with(RECORDED)
        && (NAMED.contains(&name) || ending.is_some_and(|ending| TEXTS.contains(&ending)))
}
