//! The lock of a target, by which runs take turns: a file beside the target that is
//! there only while a run holds it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::fcntl::OFlag;

use super::{is_object, paths::resolve, temp_file};
use crate::error::{Error, ErrorKind, Result};

/// How long [`lock_target`] waits for the lock. Another run holds it for the time
/// of a few renames.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long [`lock_target`] sleeps between two attempts.
const LOCK_INTERVAL: Duration = Duration::from_millis(1);

/// The lock of a target, until it is dropped. The file of a run that was killed is
/// removed by the next run.
#[derive(Debug)]
pub struct TargetLock {
    path: PathBuf,
    /// Holds the lock (flock(2)).
    _file: File,
}

impl Drop for TargetLock {
    fn drop(&mut self) {
        // The lock is still held, so that no other run has the file.
        let _ = fs::remove_file(&self.path);
    }
}

/// Locks the file that `path` leads to against other runs until the returned lock is
/// dropped. The folder itself is not locked: other programs may do that, for as long
/// as a run lasts (`flock FOLDER gold_digger …`). Returns `None` if the lock's file
/// cannot be made, if its file system has no locks, or, with a warning, if the lock is
/// not available within two seconds.
#[must_use]
pub fn lock_target(path: &Path) -> Option<TargetLock> {
    if is_object(path) {
        return None;
    }
    let path = temp_file::lock_path(&resolve(path))?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match try_lock(&path) {
            Ok(Some(file)) => return Some(TargetLock { path, _file: file }),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!("cannot lock {}: {error}", path.display());
                return None;
            }
        }
        if Instant::now() > deadline {
            let path = path.display();
            tracing::warn!(
                "{path} is still locked, by a run or a user; it is waited for no longer"
            );
            return None;
        }
        thread::sleep(LOCK_INTERVAL);
    }
}

/// Locks the file that `path` leads to as [`lock_target`] does, without waiting. Returns `None`
/// if there can be no lock.
///
/// # Errors
/// [`ErrorKind::Output`], if another run has it.
pub fn try_lock_target(path: &Path) -> Result<Option<TargetLock>> {
    let Some(path) = temp_file::lock_path(&resolve(path)) else {
        return Ok(None);
    };
    match try_lock(&path) {
        Ok(Some(file)) => Ok(Some(TargetLock { path, _file: file })),
        Ok(None) => {
            let message = format!("another run has locked {}", path.display());
            Err(Error::new(ErrorKind::Output, message))
        }
        Err(error) => {
            tracing::debug!("cannot lock {}: {error}", path.display());
            Ok(None)
        }
    }
}

/// Creates and locks the file at `path`; `None` if another run has it.
fn try_lock(path: &Path) -> io::Result<Option<File>> {
    // A link or a FIFO may have such a name: neither is followed or waited for.
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let mut options = OpenOptions::new();
    let options = options.custom_flags(flags);
    let created = options
        .clone()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    let file = match created {
        // It is there, and another user's.
        Err(error) if is_denied(&error) => match options.read(true).open(path) {
            Err(error) if is_denied(&error) => return Ok(None),
            opened => opened?,
        },
        created => created?,
    };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            let _ = fs::remove_file(path);
            Err(error)
        }
        // The run that had it has removed it meanwhile.
        Ok(()) => Ok((file.metadata()?.nlink() > 0).then_some(file)),
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
