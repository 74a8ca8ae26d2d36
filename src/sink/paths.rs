//! Paths of targets: follows their links, tells files from streams and the files of
//! other users, and creates their folders.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use super::is_object;

/// The mode bit of a folder in which only owners may replace files (chmod(2)).
pub(super) const STICKY_BIT: u32 = 0o1000;

/// The mode bit of a folder that everyone may write to.
const WRITABLE_BY_OTHERS: u32 = 0o002;

/// The most symbolic links that are followed. Linux takes a longer chain for a
/// loop as well (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// Returns the canonical path of the file that `path` leads to. The file need not
/// exist yet, and its folder need not either. Returns `path` itself if a link cannot
/// be read.
#[must_use]
pub fn resolve(path: &Path) -> PathBuf {
    if is_object(path) {
        return path.to_owned();
    }
    let resolve = || {
        let path = follow_links(path).ok()?;
        let folder = folder(&path);
        let folder = fs::canonicalize(folder).or_else(|_| canonical_of_missing(folder));
        let folder = folder.ok()?;
        Some(folder.join(path.file_name()?))
    };
    resolve().unwrap_or_else(|| path.to_owned())
}

/// Returns the canonical path that `folder` has as soon as its missing parts exist.
///
/// # Errors
/// `ELOOP` after [`MAX_LINKS`] links; that of the system, if there is no current folder.
fn canonical_of_missing(folder: &Path) -> io::Result<PathBuf> {
    let parts = |path: &Path| -> Vec<PathBuf> {
        let parts = path.components().rev();
        parts.map(|part| PathBuf::from(part.as_os_str())).collect()
    };
    let (mut found, mut left, mut links) = (std::env::current_dir()?, parts(folder), 0);
    while let Some(part) = left.pop() {
        if part == Path::new("..") {
            found.pop();
            continue;
        }
        let next = found.join(&part);
        match fs::read_link(&next) {
            Ok(_) if links == MAX_LINKS => return Err(nix::Error::ELOOP.into()),
            Ok(target) => {
                links += 1;
                left.extend(parts(&target));
            }
            Err(_) => found = next,
        }
    }
    Ok(found)
}

/// Returns whether `path` is written directly, without a temporary file: it exists
/// and is neither a regular file nor a folder.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    if is_object(path) {
        return false;
    }
    let Ok(path) = follow_links(path) else {
        return false;
    };
    is_descriptor(&path)
        || fs::metadata(&path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Returns the folder that contains `path`: `.` for a bare name, and `path` itself
/// if it has no parent.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

/// Creates the folder `path` and its missing parents. Each one is synced into its
/// parent; without that, a power cut could remove it again together with the file
/// in it.
///
/// # Errors
/// That of the system, if a folder cannot be created or synced.
pub(super) fn create_folders(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(_) if path.is_dir() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder(path) != path => {
            create_folders(folder(path))?;
            match fs::create_dir(path) {
                // Another run has created it first.
                Err(_) if path.is_dir() => {}
                created => created?,
            }
        }
        Err(error) => return Err(error),
    }
    sync_folder_of(path)
}

/// Syncs the folder that contains `path`: without that, a power cut could undo what was
/// created, renamed or removed there.
///
/// # Errors
/// That of the system.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match File::open(folder(path)) {
        // A folder that may not be read cannot be synced.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        folder => folder?.sync_all(),
    }
}

/// Follows every symbolic link at the end of `path`, also one that leads to
/// nothing yet. Links of this process's descriptors are not followed: the file
/// that they show may have another name by now, or none.
///
/// # Errors
/// `ELOOP` after [`MAX_LINKS`] links; that of the system, if a link cannot be
/// read; those of [`check_owner`] for a link.
pub(super) fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if is_descriptor(&path) {
            return Ok(path);
        }
        match fs::read_link(&path) {
            Ok(next) => {
                check_owner(&path)?;
                path = folder(&path).join(next);
            }
            // EINVAL: the path exists and is not a link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(nix::Error::ELOOP.into())
}

/// Checks that no other user has put there what is at `path`, if its folder is one in
/// which everyone may create files and only owners may replace them, as /tmp. What
/// belongs to the folder's owner is trusted. The rule is the kernel's own
/// (fs.protected_symlinks, fs.protected_fifos, fs.protected_regular), which can be
/// off, and says nothing of renames.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`], with a text of its own.
pub(super) fn check_owner(path: &Path) -> io::Result<()> {
    let (Ok(found), Ok(folder)) = (fs::symlink_metadata(path), fs::metadata(folder(path))) else {
        return Ok(());
    };
    let shared = STICKY_BIT | WRITABLE_BY_OTHERS;
    let owners = [geteuid().as_raw(), folder.uid()];
    if folder.mode() & shared != shared || found.is_dir() || owners.contains(&found.uid()) {
        return Ok(());
    }
    let kind = if found.is_symlink() {
        "symbolic link"
    } else if found.is_file() {
        "file"
    } else {
        "special file"
    };
    let problem = format!("it is another user's {kind}, in a folder that everyone may write to");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

/// Returns whether `path` is the name of one of this process's open descriptors. The
/// name of a file in a folder that a descriptor has opened is none.
pub(super) fn is_descriptor(path: &Path) -> bool {
    ["/dev/fd", "/proc/self/fd"].into_iter().any(|folder| {
        let number = path.strip_prefix(folder).ok();
        number.is_some_and(|number| number.components().count() == 1)
    })
}
