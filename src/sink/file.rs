//! A regular file: written beside its final name, synced, and renamed over it
//! once it is complete, so that readers see the earlier file or the whole new
//! one and nothing between.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use super::{Sink, output_error};
use crate::{cancel::Cancel, error::Result};

/// A symbolic link that leads through more links than this is a loop (as Linux
/// counts, path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What a new file may be opened for, before the process's umask.
const NEW_FILE_MODE: u32 = 0o666;

/// The part of the final name that the temporary one repeats; file names are
/// limited to 255 bytes.
const NAME_PART: usize = 200;

pub(super) struct FileSink {
    temporary: NamedTempFile,
    /// The final name, behind symbolic links.
    path: PathBuf,
    cancel: Cancel,
}

impl FileSink {
    /// Creates the temporary file beside what `path` leads to.
    pub(super) fn create(path: &Path, cancel: &Cancel) -> Result<Box<dyn Sink>> {
        let failed = |error: io::Error| {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "create the folder first",
                io::ErrorKind::PermissionDenied => {
                    "its folder must be writable: the file is made there and then renamed"
                }
                _ => "is that a path for a file?",
            };
            output_error(path.display(), "create", error).hint(hint)
        };
        let path = follow_links(path).map_err(failed)?;
        let temporary = create_beside(&path).map_err(failed)?;
        cancel.set_temporary(Some(temporary.path().to_owned()));
        Ok(Box::new(Self {
            temporary,
            path,
            cancel: cancel.clone(),
        }))
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.temporary.as_file_mut().write_all(bytes);
        written.map_err(|error| {
            output_error(self.path.display(), "write to", error).hint(LEFT_AS_IT_WAS)
        })
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let failed =
            |verb, error| output_error(self.path.display(), verb, error).hint(LEFT_AS_IT_WAS);
        self.temporary
            .as_file()
            .sync_all()
            .map_err(|error| failed("sync", error))?;
        let renamed = self.temporary.persist(&self.path);
        self.cancel.set_temporary(None);
        renamed.map_err(|refused| {
            output_error(
                self.path.display(),
                "rename the finished file to",
                refused.error,
            )
            .hint(LEFT_AS_IT_WAS)
        })?;
        // Without this, a power cut could undo the rename.
        File::open(folder(&self.path))
            .and_then(|folder| folder.sync_all())
            .map_err(|error| {
                output_error(self.path.display(), "sync the folder of", error)
                    .hint("the file is complete and in place")
            })
    }
}

const LEFT_AS_IT_WAS: &str =
    "nothing was published under that name; an earlier file there is as it was";

/// The path that `path` names when every symbolic link at its end is followed,
/// also one that leads to nothing yet.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(next) => path = folder(&path).join(next),
            // EINVAL: there is something, and it is not a link.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(nix::Error::ELOOP.into())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

/// The system's error without the temporary path that `tempfile` adds to it.
fn without_path(error: io::Error) -> io::Error {
    let inner = error.get_ref().and_then(|inner| inner.source());
    let inner = inner.and_then(|inner| inner.downcast_ref::<io::Error>());
    let code = inner.and_then(io::Error::raw_os_error);
    code.map_or(error, io::Error::from_raw_os_error)
}

/// A temporary file in the folder of `path`, with the permissions of the file
/// that it will replace.
fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let name = name.as_encoded_bytes();
    let name = String::from_utf8_lossy(&name[..name.len().min(NAME_PART)]);
    let temporary = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".gold_digger")
        .permissions(Permissions::from_mode(NEW_FILE_MODE))
        .tempfile_in(folder(path))
        .map_err(without_path)?;
    if let Ok(earlier) = fs::metadata(path) {
        // Only root may give files away; for everybody else the owner changes,
        // as with every program that replaces files.
        let _ = fchown(
            temporary.as_file(),
            Some(earlier.uid()),
            Some(earlier.gid()),
        );
        temporary.as_file().set_permissions(earlier.permissions())?;
    }
    Ok(temporary)
}
