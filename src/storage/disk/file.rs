//! The real disk. Knows the operating system; must not know what is in the files.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, statvfs};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};

use super::{Disk, DiskFile, DiskLock};

/// A directory of the file system.
#[derive(Debug)]
pub struct FileDisk {
    directory: PathBuf,
    /// Open from the first moment at which it was needed: names must be made safe also when no file can be opened.
    opened: OnceLock<File>,
}

impl FileDisk {
    /// The directory, which must exist.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), opened: OnceLock::new() }
    }

    fn directory(&self) -> io::Result<&File> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = File::open(&self.directory)?;
        Ok(self.opened.get_or_init(|| opened))
    }

    /// Opens a file to be written, or to be read where nobody can write it: whoever only reads may look at such a copy.
    fn open_to_write(&self, name: &str, options: &OpenOptions) -> io::Result<File> {
        let path = self.path(name);
        match options.open(&path) {
            Err(error) if is_read_only(&error) => match File::open(&path) {
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => Err(error),
                opened => opened,
            },
            opened => opened,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Disk for FileDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.open_to_write(name, OpenOptions::new().read(true).write(true))?;
        Ok(Box::new(RealFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true);
        Ok(Box::new(RealFile(file.open(self.path(name))?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.directory.read_dir()? {
            let entry = entry?;
            // Nothing of ours is named in anything but ASCII.
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory()?.sync_all()
    }

    fn free_bytes(&self) -> Option<u64> {
        let found = statvfs(&self.directory).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn place(&self) -> String {
        self.directory.display().to_string()
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.directory()?;
        let mut options = OpenOptions::new();
        let file = self.open_to_write(name, options.create(true).truncate(false).write(true))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(FileLock { _file: file }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn append_to(&self, offset: u64, length: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
        // The system writes over what was never set to zero. It may fill the room beyond the length as well.
        buffer.reserve_exact(length);
        while buffer.len() < length {
            let next = offset.saturating_add(buffer.len() as u64);
            match pread(&self.0, spare_capacity(buffer), next) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        buffer.truncate(length);
        Ok(())
    }

    fn read_at_once(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let length = buffer.len();
        let buffers = &mut [IoSliceMut::new(buffer)];
        match preadv2(&self.0, buffers, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == length => Ok(()),
            // A part of it, or nothing: the read that may wait tells whether the file ends there.
            Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
            // Not every file system can do it.
            Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn will_read(&self, offset: u64, length: u64) {
        // A system that cannot do it reads when it is asked to.
        let _ = fadvise(&self.0, offset, NonZeroU64::new(length), Advice::WillNeed);
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        // Unlike its name says, this includes the length and whatever else is needed to read the bytes again.
        self.0.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocated(&self) -> Option<u64> {
        /// What the system counts in, whatever the blocks of the file system are.
        const BLOCK: u64 = 512;
        Some(self.0.metadata().ok()?.blocks().saturating_mul(BLOCK))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn punch_hole(&self, offset: u64, length: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.0, flags, offset, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::empty(), 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let zeros = [0; 64 * 1024];
                let mut at = 0;
                while at < length {
                    let part = zeros.len().min((length - at) as usize);
                    self.0.write_all_at(zeros.get(..part).unwrap_or_default(), at)?;
                    at += part as u64;
                }
                Ok(())
            }
            outcome => Ok(outcome?),
        }
    }
}

/// The system lets go of the lock with the file, and of the file with the process.
struct FileLock {
    _file: File,
}

impl DiskLock for FileLock {}
