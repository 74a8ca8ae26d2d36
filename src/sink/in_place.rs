//! Writes a small file as a whole, or in place where no other file can get its name:
//! a file that is a mount of its own, or whose folder is read-only.

use std::{
    error::Error as _,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use super::{
    Staged,
    errors::write_error,
    paths::{check_owner, follow_links},
    write_atomically,
};
use crate::{
    cancel::CancelToken,
    error::{Error, Result},
};

/// Writes `bytes` to `path`, as a whole or not at all. An existing file that cannot
/// be replaced is written in place.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
pub fn write_or_overwrite(path: &Path, bytes: &[u8]) -> Result<()> {
    let replaced = write_atomically(path, bytes, &CancelToken::default()).and_then(Staged::commit);
    let Err(error) = replaced else {
        return Ok(());
    };
    let Some(mut file) = open_irreplaceable(path, &error) else {
        return Err(error);
    };
    tracing::debug!(
        "{} cannot be replaced, and is written in place",
        path.display()
    );
    let written = file
        .set_len(0)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.sync_all());
    written.map_err(|error| write_error(&path.display().to_string(), "write to", error))
}

/// Opens the file at `path` for writing, if `error` says that it cannot be replaced;
/// `None` if it is not there, may not be written, or may be another user's.
fn open_irreplaceable(path: &Path, error: &Error) -> Option<File> {
    let cause = error.source()?.downcast_ref::<io::Error>()?;
    let is_irreplaceable = matches!(
        cause.kind(),
        io::ErrorKind::ResourceBusy
            | io::ErrorKind::CrossesDevices
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
    );
    let path = follow_links(path).ok()?;
    (is_irreplaceable && is_trusted(&path))
        .then(|| OpenOptions::new().write(true).open(&path).ok())?
}

/// Returns whether the file at `path` is a regular one that no other user can have
/// put there.
fn is_trusted(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.is_file()) && check_owner(path).is_ok()
}
