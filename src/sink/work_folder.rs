//! A folder of this user alone beside a target, which keeps what is whole of an output until
//! the rest is. One run at a time has it.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag, unistd::geteuid};

use super::{
    CreateDirs, errors::output_error, file::creation_error, folder, make_folder_of,
    remove_stale_files_of,
};
use crate::error::{Error, Result};

/// The mode of the folder: what is in it has the rows of tables, and statements that run.
const MODE: u32 = 0o700;

/// A folder that this run has locked, until it is dropped.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    /// Holds the lock (flock(2)).
    file: File,
}

impl WorkFolder {
    /// Opens the folder at `path`, which must be this user's, and locks it. It is created if
    /// it is missing, and so is the folder that it is in if `create_dirs` says so. What
    /// killed runs have left half written in it is removed.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), also if another run has it.
    pub fn open(path: &Path, create_dirs: CreateDirs) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |error| creation_error(&name, error);
        make_folder_of(path, path, create_dirs)?;
        loop {
            match DirBuilder::new().mode(MODE).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed(error));
                }
                _ => {}
            }
            match Self::lock(path) {
                Ok(Some(found)) => {
                    remove_stale_files_of(&found.path, |_| true);
                    return Ok(found);
                }
                // The run that had it has removed it meanwhile.
                Ok(None) => {}
                Err(error) => return Err(unopened(&name, error)),
            }
        }
    }

    /// Opens the folder at `path` if it is there, is this user's, and no run has it.
    #[must_use]
    pub fn find(path: &Path) -> Option<Self> {
        Self::lock(path).ok().flatten()
    }

    /// Locks the folder at `path`; `None` if it has been removed.
    fn lock(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let mut options = File::options();
        let opened = options.read(true).custom_flags(flags.bits()).open(path);
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if file.metadata()?.uid() != geteuid().as_raw() {
            return Err(io::Error::other("it is another user's"));
        }
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            // Without locks, it is for the user to run one at a time.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let (own, found) = (file.metadata()?, fs::symlink_metadata(path));
        let is_there =
            found.is_ok_and(|found| (own.dev(), own.ino()) == (found.dev(), found.ino()));
        Ok(is_there.then(|| Self {
            path: path.to_owned(),
            file,
        }))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder and the files in it, `first` before the others, so that a run that
    /// is killed meanwhile, or a power cut, leaves nothing that looks as it did before.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
    pub fn remove(&self, first: &str) -> Result<()> {
        self.clear(first)?;
        let removed = fs::remove_dir(&self.path);
        let synced = removed.and_then(|()| File::open(folder(&self.path))?.sync_all());
        synced.map_err(|error| self.not_removed(error))
    }

    /// Removes the files in it, `first` before the others.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
    pub fn clear(&self, first: &str) -> Result<()> {
        super::remove(&self.path.join(first), "remove")?;
        let entries = fs::read_dir(&self.path).map_err(|error| self.not_removed(error))?;
        for entry in entries {
            let removed = entry.and_then(|entry| fs::remove_file(entry.path()));
            removed.map_err(|error| self.not_removed(error))?;
        }
        self.file
            .sync_all()
            .map_err(|error| self.not_removed(error))
    }

    fn not_removed(&self, error: io::Error) -> Error {
        output_error(self.path.display(), "remove", &error)
            .with_source(error)
            .with_hint("remove it yourself")
    }
}

/// Returns the error of a folder that cannot be opened.
fn unopened(name: &str, error: io::Error) -> Error {
    // O_NOFOLLOW: a link is none either.
    let is_no_folder = [Errno::ENOTDIR, Errno::ELOOP].map(|errno| Some(errno as i32));
    let (problem, hint) = match error.kind() {
        io::ErrorKind::WouldBlock => ("another run has it".to_owned(), "let that run end first"),
        _ if is_no_folder.contains(&error.raw_os_error()) => {
            ("it is no folder".to_owned(), "rename or remove it")
        }
        _ => (error.to_string(), "have it removed, or run as its owner"),
    };
    output_error(name, "open", problem)
        .with_source(error)
        .with_hint(hint)
}
