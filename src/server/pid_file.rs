//! The file with the process id: made new, never written through a link or over something else, and removed when the
//! server ends in order. It is on the disk, with its name, before the server goes on; one that a power cut left behind is
//! older than the start of the system, whatever it holds and whoever has its process id now. So is that of a server that was
//! killed, once its process id is that of another program.

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
        return Err(taken(
            "there is a file of that name that holds no process id: name another, or remove it",
        ));
    };
    if !is_old && id != std::process::id() && is_server(Path::new("/proc"), id) {
        return Err(taken(format!(
            "it belongs to process {id}, a server that is running: stop that one, or give each its own file"
        )));
    }
    Ok(true)
}

/// Whether a process runs the program that this one runs, by its name: another version of it may have been installed since.
/// `system` is where the system tells of processes. One whose program cannot be seen, since it is another user's, goes by the
/// name that everybody may see.
fn is_server(system: &Path, id: u32) -> bool {
    let folder = |id: &str| system.join(id);
    let of = folder(&id.to_string());
    let Ok(status) = fs::read_to_string(of.join("status")) else { return false };
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim()
    };
    // It has ended, and nobody has asked how; or the number is that of a thread.
    if field("State").starts_with(['Z', 'X']) || field("Tgid") != id.to_string() {
        return false;
    }
    let own = program(&folder("self"));
    match program(&of) {
        Some(program) => own.is_none_or(|own| own == program),
        None => fs::read_to_string(folder("self").join("comm"))
            .map_or(true, |own| own.trim_end() == field("Name")),
    }
}

/// The name of the program that a process runs. One whose file was replaced is shown with a remark behind it.
fn program(process: &Path) -> Option<String> {
    let path = fs::read_link(process.join("exe")).ok()?;
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(" (deleted)").unwrap_or(name).to_owned())
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
    use std::process::{Command, Stdio};

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
        fs::write(&target, "notes\n").unwrap();
        let error = PidFile::write(&target).unwrap_err();
        assert!(error.to_string().contains("holds no process id"), "{error}");
        assert_eq!(fs::read_to_string(&target).unwrap(), "notes\n");
    }

    #[test]
    fn a_process_id_blocks_only_while_a_server_has_it() {
        let system = tempfile::tempdir().unwrap();
        let process = |id: &str, tgid: &str, state: &str, program: Option<&str>, comm: &str| {
            let folder = system.path().join(id);
            fs::create_dir(&folder).unwrap();
            let status = format!("Name:\t{comm}\nState:\t{state}\nTgid:\t{tgid}\nPid:\t{id}\n");
            fs::write(folder.join("status"), status).unwrap();
            fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
            if let Some(program) = program {
                symlink(program, folder.join("exe")).unwrap();
            }
        };
        let (sleeps, ended) = ("S (sleeping)", "Z (zombie)");
        process("self", "1", sleeps, Some("/new/photondb"), "photondb");
        process("10", "10", sleeps, Some("/usr/bin/photondb (deleted)"), "photondb");
        process("11", "11", ended, None, "photondb");
        process("12", "12", sleeps, Some("/usr/sbin/nginx"), "nginx");
        process("13", "10", sleeps, Some("/usr/bin/photondb"), "photondb");
        process("14", "14", sleeps, None, "photondb");
        process("15", "15", sleeps, None, "init");
        let blocks = (10..17).map(|id| is_server(system.path(), id)).collect::<Vec<_>>();
        assert_eq!(blocks, [true, false, false, false, true, false, false]);
    }

    #[test]
    fn the_file_of_a_zombie_or_of_another_program_is_replaced_and_that_of_a_server_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("photondb.pid");
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(&path, format!("{}\n", other.id())).unwrap();
        drop(PidFile::write(&path).unwrap());
        other.kill().unwrap();
        // Nobody has asked yet how it ended.
        fs::write(&path, format!("{}\n", other.id())).unwrap();
        drop(PidFile::write(&path).unwrap());
        other.wait().unwrap();
        // The same program: it waits for the end of its input.
        let mut server = Command::new("/proc/self/exe");
        server.args(["--exact", "server::pid_file::tests::waits_when_told_to"]);
        let server = server.env(WAITS, "yes").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut server = server.spawn().unwrap();
        fs::write(&path, format!("{}\n", server.id())).unwrap();
        let error = PidFile::write(&path).unwrap_err().to_string();
        drop(server.stdin.take());
        server.wait().unwrap();
        assert!(error.contains("a server that is running: stop that one"), "{error}");
        drop(PidFile::write(&path).unwrap());
    }

    const WAITS: &str = "PHOTONDB_PID_FILE_TEST";

    #[test]
    fn waits_when_told_to() {
        if std::env::var_os(WAITS).is_some() {
            io::stdin().read_to_end(&mut Vec::new()).unwrap();
        }
    }
}
