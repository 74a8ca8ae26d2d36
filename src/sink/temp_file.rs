//! The temporary file of a target: its name, the lock by which other runs see that
//! it is in use, its discard, and the removal of stale ones.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, RenameFlags, renameat2},
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{Existing, Partial, folder, is_object, paths::check_owner, permissions::Permissions};

/// The maximum length of a file name, in bytes.
const MAX_NAME_LENGTH: usize = 255;

/// The most bytes of the target's name that a temporary file's name repeats.
const MAX_REPEATED_LENGTH: usize = 200;

/// The end of a temporary file's name.
const SUFFIX: &str = ".gold_digger";

/// The number of random letters and digits before [`SUFFIX`].
const RANDOM_LENGTH: usize = 6;

/// What the lock of a target has in their place: one that a killed run has left is
/// removed like its temporary file.
const LOCKED: &str = "locked";

/// How many times another run may remove the new file before its creation fails.
const MAX_ATTEMPTS: u32 = 100;

/// The temporary file of a target, until it is renamed or discarded.
#[derive(Debug)]
pub(super) struct TempFile {
    path: PathBuf,
    /// Its folder, open so that it is found again after a rename; `None` if it may
    /// not be read.
    folder: Option<File>,
    /// The path under which partial output is kept; `None` if it is removed.
    partial: Option<PathBuf>,
}

impl TempFile {
    /// Creates the file in the folder of `target` and locks it. It gets `permissions`,
    /// or those that the umask leaves.
    ///
    /// # Errors
    /// That of the system; [`io::ErrorKind::InvalidInput`] for a target without a
    /// name, [`io::ErrorKind::ResourceBusy`] after [`MAX_ATTEMPTS`].
    pub(super) fn create(
        target: &Path,
        permissions: Option<&Permissions>,
        partial: Partial,
    ) -> io::Result<(File, Self)> {
        let prefix = prefix(target).ok_or(io::ErrorKind::InvalidInput)?;
        let partial = match partial {
            Partial::Remove => None,
            Partial::Keep => Some(self::partial(target)),
        };
        if let Some(name) = partial.as_ref().and_then(|path| path.file_name())
            && name.len() > MAX_NAME_LENGTH
        {
            let problem = "with .partial behind it, its name would be too long";
            return Err(io::Error::other(problem));
        }
        // A replacement must never be readable by more people than the original.
        let mode = if permissions.is_some() { 0o600 } else { 0o666 };
        let mut builder = tempfile::Builder::new();
        builder
            .prefix(&prefix)
            .suffix(SUFFIX)
            .rand_bytes(RANDOM_LENGTH);
        for _ in 0..MAX_ATTEMPTS {
            // `make_in`, because `tempfile_in` adds its path to every error.
            let created = builder.make_in(folder(target), |path| {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(mode).open(path)
            })?;
            let (file, path) = created.into_parts();
            match file.try_lock() {
                // Another run has removed the file as stale, or is about to.
                Ok(()) if file.metadata()?.nlink() == 0 => continue,
                Err(TryLockError::WouldBlock) => continue,
                // Without locks, no run removes a file as stale.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            permissions.map_or(Ok(()), |permissions| permissions.apply(&file))?;
            let folder = match File::open(folder(target)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
                folder => Some(folder?),
            };
            let temp_file = Self {
                folder,
                path: path.keep().map_err(|refused| refused.error)?,
                partial,
            };
            return Ok((file, temp_file));
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Returns its current path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the file to `target`. Returns its folder, which the caller syncs, or
    /// `None` if the folder may not be read.
    ///
    /// # Errors
    /// That of the system; the file is then discarded.
    pub(super) fn rename(self, target: &Path, existing: Existing) -> io::Result<Option<File>> {
        let renamed = match existing {
            Existing::Replace => fs::rename(&self.path, target),
            Existing::Refuse => rename_to_absent(&self.path, target),
        };
        match renamed {
            Ok(()) => Ok(self.folder),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Removes the file, or renames it to its partial path if it has one and is not
    /// empty. A failure here is only a warning, because the run already ends with
    /// another error.
    pub(super) fn discard(self) {
        let Self {
            path,
            folder,
            partial,
        } = self;
        if let Some(partial) = partial
            && fs::metadata(&path).is_ok_and(|file| file.len() > 0)
        {
            let kept = partial.display();
            match check_owner(&partial).and_then(|()| fs::rename(&path, &partial)) {
                Ok(()) => {
                    tracing::warn!("what had come is kept as {kept}");
                    return;
                }
                Err(error) => tracing::warn!("what had come cannot be kept as {kept}: {error}"),
            }
        }
        // The file may have been removed with its folder, or its folder renamed.
        let _ = match (folder, path.file_name()) {
            (Some(folder), Some(name)) => {
                unlinkat(folder, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from)
            }
            _ => fs::remove_file(path),
        };
    }
}

/// Renames `path` to `target`, if nothing is there.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], if something is there.
fn rename_to_absent(path: &Path, target: &Path) -> io::Result<()> {
    let flags = RenameFlags::RENAME_NOREPLACE;
    match renameat2(AT_FDCWD, path, AT_FDCWD, target, flags) {
        // The file system does not know the flag (rename(2)).
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            fs::hard_link(path, target)?;
            fs::remove_file(path)
        }
        renamed => Ok(renamed?),
    }
}

/// Removes temporary files of killed runs to `target`. A living run holds a lock
/// on its file (flock(2)).
pub(super) fn remove_stale_files(target: &Path) {
    if let Some(prefix) = prefix(target) {
        remove_stale(folder(target), |name| is_temp_file(name, &prefix));
    }
}

/// Removes temporary files of killed runs to those files in `folder` whose names
/// `is_target` knows.
pub fn remove_stale_files_of(folder: &Path, is_target: impl Fn(&str) -> bool) {
    if is_object(folder) {
        return;
    }
    remove_stale(folder, |name| {
        let target = || {
            let rest = name.to_str()?.strip_prefix('.')?.strip_suffix(SUFFIX)?;
            let (target, _) = rest.rsplit_once('.')?;
            let prefix = prefix(Path::new(target))?;
            (is_temp_file(name, &prefix) && is_target(target)).then_some(())
        };
        target().is_some()
    });
}

fn remove_stale(folder: &Path, is_stale: impl Fn(&OsStr) -> bool) {
    // If the folder cannot be read, the files stay for another run.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_stale(&entry.file_name())) {
        let path = entry.path();
        match remove_if_stale(&path) {
            Ok(true) => tracing::info!("removed {}, which a killed run left", path.display()),
            Ok(false) => {}
            Err(error) => tracing::info!("cannot remove {}: {error}", path.display()),
        }
    }
}

/// Removes the file at `path` if no run holds a lock on it. Returns whether it was
/// removed.
fn remove_if_stale(path: &Path) -> io::Result<bool> {
    // A link or a FIFO may have such a name: neither is followed or waited for.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(false);
    }
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    // Under the lock, which a run that has just created the file checks too.
    let is_there = fs::symlink_metadata(path).is_ok_and(|now| now.ino() == found.ino());
    if is_there {
        fs::remove_file(path)?;
    }
    Ok(is_there)
}

/// Returns the beginning of the names of temporary files of `target`; `None` if
/// `target` has no name.
fn prefix(target: &Path) -> Option<OsString> {
    let name = target.file_name()?.as_bytes();
    let repeated = &name[..name.len().min(MAX_REPEATED_LENGTH)];
    Some(OsString::from_vec([b".", repeated, b"."].concat()))
}

/// Returns the path of the file by which `target` is locked; `None` if `target` has no
/// name.
pub(super) fn lock_path(target: &Path) -> Option<PathBuf> {
    let mut name = prefix(target)?;
    name.push(LOCKED);
    name.push(SUFFIX);
    Some(folder(target).join(name))
}

/// Returns whether `name` is that of a temporary file whose names begin with
/// `prefix`.
fn is_temp_file(name: &OsStr, prefix: &OsStr) -> bool {
    let rest = name.as_bytes().strip_prefix(prefix.as_bytes());
    let random = rest.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|random| {
        random.len() == RANDOM_LENGTH && random.iter().all(u8::is_ascii_alphanumeric)
    })
}

/// Returns whether the file at `path` may be removed as a temporary file of another one,
/// or as its lock.
#[cfg(feature = "cli")]
pub(crate) fn is_temporary_name(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    name.is_some_and(is_temporary)
}

/// Whether `name` is that of a temporary file, or of its lock.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(SUFFIX)
}

/// Returns the path under which partial output of `target` is kept.
pub(crate) fn partial(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}
