//! A folder of this user alone beside a target, which keeps what is whole of an output until
//! the rest is. One run at a time has it.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag, unistd::geteuid};

use super::{
    CreateDirs, errors::output_error, file::creation_error, is_temporary, make_folder_of,
    paths::sync_folder_of, remove_stale_files_of,
};
use crate::error::{Error, Result};

/// The mode of the folder: what is in it has the rows of tables, and statements that run.
const MODE: u32 = 0o700;

/// The file by which a run locks the folder: NFS locks no folders.
const LOCK: &str = "lock";

/// A folder that this run has locked, until it is dropped.
#[derive(Debug)]
pub struct WorkFolder {
    path: PathBuf,
    folder: File,
    /// Holds the lock (flock(2)).
    _lock: File,
}

impl WorkFolder {
    /// Opens the folder at `path`, which must be this user's, and locks it. It is created if
    /// it is missing, and so is the folder that it is in if `create_dirs` says so. What
    /// killed runs have left half written in it is removed. `is_own` knows the names of the
    /// files that it may have.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), also if another run has it, or
    /// if it has other files.
    pub fn open(
        path: &Path,
        create_dirs: CreateDirs,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |error| creation_error(&name, error);
        make_folder_of(path, path, create_dirs)?;
        loop {
            match create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed(error));
                }
                _ => {}
            }
            match Self::lock(path, &is_own) {
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

    /// Opens the folder at `path` if it is there, is this user's, has no other files than
    /// those whose names `is_own` knows, and no run has it.
    #[must_use]
    pub fn find(path: &Path, is_own: impl Fn(&str) -> bool) -> Option<Self> {
        Self::lock(path, &is_own).ok().flatten()
    }

    /// Locks the folder at `path`; `None` if it has been removed.
    fn lock(path: &Path, is_own: &impl Fn(&str) -> bool) -> io::Result<Option<Self>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let mut options = File::options();
        let opened = options.read(true).custom_flags(flags.bits()).open(path);
        let folder = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if folder.metadata()?.uid() != geteuid().as_raw() {
            return Err(io::Error::other("it is another user's"));
        }
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name();
            let is_known = |name: &str| name == LOCK || is_temporary(name) || is_own(name);
            if !name.to_str().is_some_and(is_known) {
                let what = format!("it has files of others, such as {}", name.display());
                return Err(io::Error::other(what));
            }
        }
        folder.set_permissions(Permissions::from_mode(MODE))?;
        let file = path.join(LOCK);
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(false);
        let lock = match options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            lock => lock?,
        };
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            // Without locks, it is for the user to run one at a time.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let (own, found) = (lock.metadata()?, fs::symlink_metadata(&file));
        let is_there =
            found.is_ok_and(|found| (own.dev(), own.ino()) == (found.dev(), found.ino()));
        Ok(is_there.then(|| Self {
            path: path.to_owned(),
            folder,
            _lock: lock,
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
        let removed = fs::remove_file(self.path.join(LOCK));
        let removed = removed.and_then(|()| fs::remove_dir(&self.path));
        let synced = removed.and_then(|()| sync_folder_of(&self.path));
        synced.map_err(|error| self.not_removed(error))
    }

    /// Removes the files in it but the lock, `first` before the others.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
    pub fn clear(&self, first: &str) -> Result<()> {
        super::remove(&self.path.join(first), "remove")?;
        let entries = fs::read_dir(&self.path).map_err(|error| self.not_removed(error))?;
        for entry in entries {
            let removed = entry.and_then(|entry| match entry.file_name() == OsStr::new(LOCK) {
                true => Ok(()),
                false => fs::remove_file(entry.path()),
            });
            removed.map_err(|error| self.not_removed(error))?;
        }
        self.folder
            .sync_all()
            .map_err(|error| self.not_removed(error))
    }

    fn not_removed(&self, error: io::Error) -> Error {
        output_error(self.path.display(), "remove", &error)
            .with_source(error)
            .with_hint("remove it yourself")
    }
}

/// Creates the folder at `path`, also for the time after a power cut.
fn create(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(MODE).create(path)?;
    fs::set_permissions(path, Permissions::from_mode(MODE))?;
    sync_folder_of(path)
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
        _ => (error.to_string(), "have it removed or renamed"),
    };
    output_error(name, "open", problem)
        .with_source(error)
        .with_hint(hint)
}
