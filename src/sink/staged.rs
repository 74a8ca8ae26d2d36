//! The file beside a target that is being written: what it is called, how other
//! runs know that it is in use, and what becomes of it without its end.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{MetadataExt, OpenOptionsExt, fchown},
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::OFlag,
    unistd::{UnlinkatFlags, unlinkat},
};

use super::{Partial, folder};

/// File names are limited to so many bytes.
const LONGEST_NAME: usize = 255;

/// The part of the final name that it repeats.
const NAME_PART: usize = 200;

/// How its name ends, behind a random part of so many letters and digits.
const SUFFIX: &str = ".gold_digger";
const RANDOM: usize = 6;

/// More often nobody takes it for a leftover between two calls.
const ATTEMPTS: u32 = 100;

/// A file beside its target, until it is renamed or discarded.
#[derive(Debug)]
pub(super) struct TempFile {
    path: PathBuf,
    /// Its folder, whatever that is called meanwhile; none where it may not be
    /// read.
    folder: Option<File>,
    /// Where it is kept when it gets no end.
    partial: Option<PathBuf>,
}

impl TempFile {
    /// Creates it in the folder of `target`, locked, with the permissions of the
    /// file that it will replace, else those that the umask leaves.
    pub(super) fn create(target: &Path, partial: Partial) -> io::Result<(File, Self)> {
        let prefix = prefix(target).ok_or(io::ErrorKind::InvalidInput)?;
        let kept = match partial {
            Partial::Remove => None,
            Partial::Keep => Some(self::partial(target)),
        };
        if let Some(name) = kept.as_ref().and_then(|path| path.file_name())
            && name.len() > LONGEST_NAME
        {
            let what = "with .partial behind it, its name would be too long";
            return Err(io::Error::other(what));
        }
        // What replaces a file must never be readable by more people.
        let mode = if target.exists() { 0o600 } else { 0o666 };
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(SUFFIX).rand_bytes(RANDOM);
        for _ in 0..ATTEMPTS {
            // `make_in`, as its own way of opening adds its path to every error.
            let made = builder.make_in(folder(target), |path| {
                let mut options = OpenOptions::new();
                options.write(true).create_new(true).mode(mode).open(path)
            })?;
            let (file, path) = made.into_parts();
            match file.try_lock() {
                // Another run has taken it for a leftover, or is about to.
                Ok(()) if file.metadata()?.nlink() == 0 => continue,
                Err(TryLockError::WouldBlock) => continue,
                // Where nothing can be locked, nothing is taken for a leftover.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            copy_permissions(&file, target)?;
            let folder = match File::open(folder(target)) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
                folder => Some(folder?),
            };
            let unfinished = Self {
                folder,
                path: path.keep().map_err(|refused| refused.error)?,
                partial: kept,
            };
            return Ok((file, unfinished));
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Renames it to `target`, and returns its folder, which is to be synced;
    /// `None` where the folder may not be read. Discards the file where that
    /// fails.
    pub(super) fn rename(self, target: &Path) -> io::Result<Option<File>> {
        match fs::rename(&self.path, target) {
            Ok(()) => Ok(self.folder),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    /// Removes it, or keeps it under another name, if there is anything in it.
    /// What fails here is told as a warning: the run ends with its cause.
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
            match fs::rename(&path, &partial) {
                Ok(()) => {
                    tracing::warn!("what had come is kept as {kept}");
                    return;
                }
                Err(error) => tracing::warn!("what had come cannot be kept as {kept}: {error}"),
            }
        }
        // It may have gone with its folder, or be in one that was renamed.
        let _ = match (folder, path.file_name()) {
            (Some(folder), Some(name)) => {
                unlinkat(folder, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from)
            }
            _ => fs::remove_file(path),
        };
    }
}

/// Gives `file` the permissions of the file at `target`, if there is one.
fn copy_permissions(file: &File, target: &Path) -> io::Result<()> {
    let Ok(earlier) = fs::metadata(target) else {
        return Ok(());
    };
    // Only root may give a file away, but its owner may choose among his groups;
    // where neither is allowed, the new file is the caller's.
    if fchown(file, Some(earlier.uid()), Some(earlier.gid())).is_err() {
        let _ = fchown(file, None, Some(earlier.gid()));
    }
    file.set_permissions(earlier.permissions())
}

/// Removes what runs to `target` left behind that were killed: a run holds a
/// lock on its file as long as it lives (flock(2)).
pub(super) fn remove_stale_files(target: &Path) {
    let Some(prefix) = prefix(target) else {
        return;
    };
    // Who may not read the folder leaves them to others.
    let entries = fs::read_dir(folder(target)).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| is_temp_file(&entry.file_name(), &prefix)) {
        let path = entry.path();
        match remove_if_stale(&path) {
            Ok(true) => tracing::info!("removed {}, which a killed run left", path.display()),
            Ok(false) => {}
            Err(error) => tracing::info!("cannot remove {}: {error}", path.display()),
        }
    }
}

fn remove_if_stale(path: &Path) -> io::Result<bool> {
    // Of whatever else has such a name, nothing is opened for long.
    let careful = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .write(true)
        .custom_flags(careful.bits())
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
    // Under the lock: whoever has just created it looks for that.
    let is_there = fs::symlink_metadata(path).is_ok_and(|now| now.ino() == found.ino());
    if is_there {
        fs::remove_file(path)?;
    }
    Ok(is_there)
}

/// How the names of the files beside `target` begin; none where it has no name.
fn prefix(target: &Path) -> Option<OsString> {
    let name = target.file_name()?.as_bytes();
    let part = &name[..name.len().min(NAME_PART)];
    Some(OsString::from_vec([b".", part, b"."].concat()))
}

fn is_temp_file(name: &OsStr, prefix: &OsStr) -> bool {
    let rest = name.as_bytes().strip_prefix(prefix.as_bytes());
    let random = rest.and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    random.is_some_and(|random| {
        random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric)
    })
}

/// Where what had come of `target` is kept.
pub(crate) fn partial(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}
