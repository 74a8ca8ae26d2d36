//! A file that is whole already, and takes the place of a target when it is committed. Unlike
//! a temporary file, it stays where it is if that does not happen.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    Commit, CreateDirs, Staged, check_replaceable,
    errors::{io_error, output_error, write_error},
    folder, is_object, make_folder_of, open,
    paths::{follow_links, sync_folder_of},
    permissions::Permissions,
    target::{SinkOptions, StaleFiles, Target},
};
use crate::{cancel::CancelToken, error::Result};

/// Returns the output that makes the file at `path` the one that `target` names. Its folder
/// is created if `create_dirs` says so. `sha256` is the SHA-256 of the file in hexadecimal
/// digits. `cancel` can discard the copy of a file of another file system.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if the target cannot be replaced.
pub fn adopt(
    path: PathBuf,
    target: &Path,
    sha256: String,
    create_dirs: CreateDirs,
    cancel: &CancelToken,
) -> Result<Staged> {
    let name = target.display().to_string();
    let failed = |error| io_error(&name, "open", error);
    if is_object(target) {
        return copied(&path, target, sha256, cancel);
    }
    let resolved = follow_links(target).map_err(failed)?;
    make_folder_of(target, &resolved, create_dirs)?;
    check_replaceable(target)?;
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev());
    let is_near = device(&path).map_err(failed)? == device(folder(&resolved)).map_err(failed)?;
    if is_near {
        return Ok(AdoptedFile::staged(Some(path), resolved, name, sha256));
    }
    copied(&path, target, sha256, cancel)
}

/// Returns the output that has the bytes of the file at `path`.
fn copied(path: &Path, target: &Path, sha256: String, cancel: &CancelToken) -> Result<Staged> {
    let failed = |error| io_error(target.display(), "open", error);
    let options = SinkOptions {
        stale: StaleFiles::Leave,
        ..SinkOptions::default()
    };
    let mut sink = open(&Target::file(target), options, cancel)?;
    sink.append(&mut File::open(path).map_err(failed)?)?;
    Ok(sink.finish()?.with_sha256(sha256))
}

/// Returns the output of a target that has its file already. `sha256` is the SHA-256 of the
/// file in hexadecimal digits.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if its links cannot be followed.
pub fn in_place(target: &Path, sha256: String) -> Result<Staged> {
    let name = target.display().to_string();
    let resolved = follow_links(target).map_err(|error| io_error(&name, "open", error))?;
    Ok(AdoptedFile::staged(None, resolved, name, sha256))
}

struct AdoptedFile {
    /// Where the file is; `None` if it has its place.
    from: Option<PathBuf>,
    /// The final path, with symbolic links followed.
    to: PathBuf,
    /// The target as the user named it.
    name: String,
}

impl AdoptedFile {
    fn staged(from: Option<PathBuf>, to: PathBuf, name: String, sha256: String) -> Staged {
        Staged::new(Box::new(Self { from, to, name }), Some(sha256))
    }
}

impl Commit for AdoptedFile {
    fn path(&self) -> Option<&Path> {
        Some(&self.to)
    }

    fn check(&self) -> Result<()> {
        let path = self.from.as_deref().unwrap_or(&self.to);
        if !fs::symlink_metadata(path).is_ok_and(|found| found.is_file()) {
            let what = format!("{} has been removed", path.display());
            return Err(output_error(&self.name, "write to", what));
        }
        check_replaceable(&self.to)
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let Some(from) = &self.from else {
            return Ok(());
        };
        let rename = || -> io::Result<()> {
            if let Some(permissions) = Permissions::of(&self.to)? {
                permissions.apply(&File::options().write(true).open(from)?)?;
            }
            fs::rename(from, &self.to)?;
            sync_folder_of(&self.to)
        };
        rename().map_err(|error| write_error(&self.name, "rename the finished file to", error))
    }
}
