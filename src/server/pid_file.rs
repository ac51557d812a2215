//! The file with the process id: made new, never written through a link or over something else, and removed when the
//! server ends in order. It is on the disk, with its name, before the server goes on; one that a power cut left behind is
//! older than the start of the system, whatever it holds and whoever has its process id now.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use tracing::warn;

/// A file that this process has made.
#[derive(Debug)]
pub struct PidFile(PathBuf);

/// Longest content that can be a process id and the end of its line.
const LONGEST: u64 = 24;

impl PidFile {
    /// Makes the file. One that a server left behind when it was killed is replaced; anything else that has its name,
    /// links included, is an error.
    pub fn write(path: &Path) -> io::Result<Self> {
        if is_left_over(path)? {
            fs::remove_file(path)?;
        }
        let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
        let mut file = made.map_err(|error| explained(path, error))?;
        let made = Self(path.to_owned());
        writeln!(file, "{}", std::process::id())?;
        file.sync_all()?;
        sync_folder(path)?;
        Ok(made)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0).and_then(|()| sync_folder(&self.0)) {
            warn!("{} could not be removed: {error}", self.0.display());
        }
    }
}

/// Brings the names in the folder of a file to the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Why a file cannot be made: of what is said of the name, what is wrong in its folder.
fn explained(path: &Path, error: io::Error) -> io::Error {
    let folder = folder_of(path);
    let problem = match (error.kind(), fs::metadata(folder)) {
        (io::ErrorKind::NotFound, Err(cause)) if cause.kind() == io::ErrorKind::NotFound => {
            "does not exist"
        }
        (io::ErrorKind::NotADirectory, _) => "is not below directories alone",
        (io::ErrorKind::PermissionDenied, _) => "does not let this user make files",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("its directory {} {problem}", folder.display()))
}

/// Whether there is a regular file that a server left behind: it holds a process id and nothing else, of a process that is
/// gone. One from before the start of the system may also be empty, and its id may be that of another process now.
fn is_left_over(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => {
            return Err(taken("there is a symbolic link of that name"));
        }
        Ok(found) if !found.is_file() => return Err(taken(NO_FILE)),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(explained(path, error)),
    }
    // What has come to that name since is not followed, and a pipe not waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(taken(NO_FILE));
    }
    let is_old = metadata.modified().is_ok_and(|modified| is_of_before(modified, booted()));
    if is_old && metadata.len() == 0 {
        return Ok(true);
    }
    let Some(id) = process_id(file)? else {
        return Err(taken("there is a file of that name that holds no process id"));
    };
    if !is_old && id != std::process::id() && Path::new("/proc").join(id.to_string()).exists() {
        return Err(taken(format!("it belongs to process {id}, which is running")));
    }
    Ok(true)
}

const NO_FILE: &str = "what has that name is not a regular file";

/// The name is that of something that is left alone.
fn taken(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, problem.into())
}

/// When the system was started, as far as it tells.
fn booted() -> Option<SystemTime> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.trim().parse().ok()?))
}

/// Whether something was written before the system was started. Not told of what was written shortly before: the clock may
/// have been set since.
fn is_of_before(modified: SystemTime, booted: Option<SystemTime>) -> bool {
    const CLOCK_STEP: Duration = Duration::from_secs(2);
    booted.is_some_and(|booted| modified + CLOCK_STEP < booted)
}

fn process_id(file: File) -> io::Result<Option<u32>> {
    let mut content = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut content)?;
    let text = std::str::from_utf8(&content).ok().map(str::trim_end);
    Ok(text.filter(|text| !text.is_empty()).and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode};

    use super::*;

    #[test]
    fn the_file_holds_the_process_id_and_goes_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photondb.pid");
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_from_before_a_power_cut_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photondb.pid");
        let long_ago = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        // The first has the id of a process that runs.
        for content in ["1\n", "", "4194999\n"] {
            fs::write(&path, content).unwrap();
            File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
            drop(PidFile::write(&path).unwrap());
        }
        // What is no process id is not the server's, however old.
        fs::write(&path, "notes\n").unwrap();
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
        PidFile::write(&path).unwrap_err();
        fs::write(&path, "").unwrap();
        PidFile::write(&path).unwrap_err();
        assert!(booted().is_some_and(|booted| booted < SystemTime::now()));
    }

    #[test]
    fn what_cannot_be_a_process_id_file_is_told_with_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        fs::write(at("file"), "1\n").unwrap();
        symlink(at("nowhere"), at("link")).unwrap();
        let pipe = Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(CWD, at("pipe"), FileType::Fifo, pipe, 0).unwrap();
        for (name, why) in [
            ("directory", "not a regular file"),
            ("pipe", "not a regular file"),
            ("link", "symbolic link"),
            ("none/pid", "none does not exist"),
            ("file/pid", "file is not below directories alone"),
        ] {
            let error = PidFile::write(&at(name)).unwrap_err();
            assert!(error.to_string().contains(why), "{name}: {error}");
        }
        assert!(!at("nowhere").exists());
    }

    #[test]
    fn nothing_but_the_file_of_a_dead_server_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "4194999\n").unwrap();
        symlink(&target, &link).unwrap();
        PidFile::write(&link).unwrap_err();
        assert_eq!(fs::read_to_string(&target).unwrap(), "4194999\n");
        // The largest process id of Linux is less than that.
        drop(PidFile::write(&target).unwrap());
        for (content, why) in [("notes\n", "holds no process id"), ("1\n", "is running")] {
            fs::write(&target, content).unwrap();
            let error = PidFile::write(&target).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(fs::read_to_string(&target).unwrap(), content);
        }
    }
}
