//! The server's folder: made when it is not there, held by one server at a time, and home of the server's identity,
//! which is drawn once. Knows files; not what else is kept beside them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::session::Identity;

const LOCK: &str = "lock";
const IDENTITY: &str = "server.json";
const NEW_IDENTITY: &str = "server.json.new";

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The system refused something.
    #[error("the directory {path}: {source}")]
    System {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another server holds it.
    #[error("the directory {0} is in use by another server")]
    InUse(PathBuf),
    /// The identity is not as this server writes it.
    #[error(
        "{path} is damaged: {problem}. Take it from a copy; without this file the server starts with the same data and a new identity"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// A folder that this server holds.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    identity: Identity,
    is_new: bool,
    /// Held as long as the server runs; the system lets go of it with the process.
    _lock: File,
}

/// What is written of the identity.
#[derive(Serialize, Deserialize)]
struct Written {
    id: Uuid,
    name: String,
}

impl Directory {
    /// Makes or opens the folder. The name is for a server that has none yet; without one it is made from the host's.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Directory, DirectoryError> {
        fs::create_dir_all(path).map_err(system(path))?;
        let path = path.canonicalize().map_err(system(path))?;
        let lock_path = path.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(system(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DirectoryError::InUse(path)),
            Err(TryLockError::Error(error)) => return Err(system(&lock_path)(error)),
        }
        let (identity, is_new) = match read_identity(&path)? {
            Some(identity) => (identity, false),
            None => {
                let name = name.map_or_else(|| name_of_host(&Uuid::new_v4()), str::to_owned);
                let identity = Identity { id: Uuid::new_v4().to_string(), name };
                write_identity(&path, &identity)?;
                (identity, true)
            }
        };
        Ok(Directory { path, identity, is_new, _lock: lock })
    }

    /// Where it is, from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who the server is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether no server has used it before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

fn read_identity(folder: &Path) -> Result<Option<Identity>, DirectoryError> {
    let path = folder.join(IDENTITY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(system(&path)(error)),
    };
    let written: Written = serde_json::from_str(&text)
        .map_err(|error| DirectoryError::Damaged { path, problem: error.to_string() })?;
    Ok(Some(Identity { id: written.id.to_string(), name: written.name }))
}

/// All or nothing: a new file that replaces the old one once it is on the disk.
fn write_identity(folder: &Path, identity: &Identity) -> Result<(), DirectoryError> {
    let new = folder.join(NEW_IDENTITY);
    let text = serde_json::json!({ "id": identity.id, "name": identity.name }).to_string() + "\n";
    let written = (|| {
        // Left by a server that was killed here, or put there by somebody: never written through.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, folder.join(IDENTITY))?;
        // The folder's entry must last as well.
        File::open(folder)?.sync_all()
    })();
    written.map_err(system(&new))
}

/// The host's name and three letters, as RethinkDB names servers.
fn name_of_host(random: &Uuid) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().split('.').next().unwrap_or_default();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let host: String = host.chars().map(allowed).collect();
    let host = if host.is_empty() { "photondb".to_owned() } else { host };
    let suffix: String = random.simple().to_string().chars().take(3).collect();
    format!("{host}_{suffix}")
}

fn system(path: &Path) -> impl FnOnce(io::Error) -> DirectoryError + use<> {
    let path = path.to_owned();
    move |source| DirectoryError::System { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_drawn_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        let first = Directory::open(&path, Some("alice")).unwrap();
        assert!(first.is_new());
        let identity = first.identity().clone();
        assert_eq!(identity.name, "alice");
        drop(first);
        let again = Directory::open(&path, Some("bob")).unwrap();
        assert!(!again.is_new());
        assert_eq!(again.identity(), &identity);
        assert!(!path.join(NEW_IDENTITY).exists());
    }

    #[test]
    fn an_identity_is_not_written_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (target, data) = (folder.path().join("target"), folder.path().join("data"));
        fs::create_dir(&data).unwrap();
        fs::write(&target, "precious").unwrap();
        std::os::unix::fs::symlink(&target, data.join(NEW_IDENTITY)).unwrap();
        Directory::open(&data, None).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert!(fs::symlink_metadata(data.join(IDENTITY)).unwrap().is_file());
    }

    #[test]
    fn names_are_made_from_the_host() {
        let name = name_of_host(&Uuid::nil());
        assert!(name.ends_with("_000"), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)));
    }

    #[test]
    fn one_server_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Directory::open(folder.path(), None).unwrap();
        let second = Directory::open(folder.path(), None).unwrap_err();
        assert!(matches!(second, DirectoryError::InUse(_)), "{second}");
        drop(first);
        Directory::open(folder.path(), None).unwrap();
    }

    #[test]
    fn a_damaged_identity_is_no_new_server() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(IDENTITY), "{").unwrap();
        let error = Directory::open(folder.path(), None).unwrap_err();
        assert!(error.to_string().contains("server.json is damaged"), "{error}");
    }
}
