//! Destinations of bytes: opens a target, writes an export to it, and decides when
//! the target becomes visible. No other module writes an export's output.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use self::{
    errors::{READ_ONLY, io_error, output_error, path_error},
    file::FileSink,
    paths::{check_owner, create_folders, follow_links, is_descriptor, sync_folder_of},
    stream::StreamSink,
};
use crate::{
    cancel::CancelToken,
    error::{Error, Result},
};

mod adopted;
mod commit;
mod compress;
mod errors;
mod file;
mod in_place;
mod lock;
mod memory;
mod object;
mod paths;
mod permissions;
mod spool;
mod stdio;
mod stream;
mod target;
mod temp_file;
mod unnamed;
mod work_folder;

pub use adopted::{adopt, in_place};
pub use commit::{Commit, Next, Restart, Sink, Staged};
pub use compress::{CompressionOptions, SeekTable, compressed, decoder};
pub use in_place::write_or_overwrite;
pub use lock::{TargetLock, lock_target, try_lock_target};
pub use memory::{SharedBytes, WriterSink};
pub use object::{Source as ObjectSource, check_url, is_object};
pub(crate) use paths::folder;
pub use paths::{is_stream, resolve};
pub use spool::{Spool, SpoolFull, SpoolOptions, Unsent};
pub use stdio::record_closed_descriptors;
#[cfg(feature = "cli")]
pub(crate) use stdio::standard_output;
#[cfg(feature = "cli")]
pub(crate) use target::STDOUT_ARGUMENT;
pub use target::{Checksum, CreateDirs, Existing, Partial, SinkOptions, StaleFiles, Target};
use temp_file::is_temporary;
#[cfg(feature = "cli")]
pub(crate) use temp_file::is_temporary_name;
pub(crate) use temp_file::partial;
pub use temp_file::remove_stale_files_of;
pub use unnamed::unnamed;
pub use work_folder::WorkFolder;

/// Opens `target` for writing. A regular file, whether it exists or not, is
/// written as a whole or not at all. Everything else (standard output, a FIFO, a
/// device) is written directly. `cancel` is cancelled when the destination breaks,
/// and it can discard an uncommitted file.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), naming the target and
/// the likely cause; [`ErrorKind::Config`](crate::error::ErrorKind::Config) for
/// [`Target::Custom`].
pub fn open(target: &Target, options: SinkOptions, cancel: &CancelToken) -> Result<Box<dyn Sink>> {
    open_like(target, None, options, cancel)
}

/// Opens `target` as [`open`] does. A regular file gets the permissions of the one at
/// `model`, if there is one.
fn open_like(
    target: &Target,
    model: Option<&Path>,
    options: SinkOptions,
    cancel: &CancelToken,
) -> Result<Box<dyn Sink>> {
    let named = match target {
        Target::Stdout => return StreamSink::stdout(cancel),
        Target::Path(path) if is_object(path) => return object::create(path, options, cancel),
        Target::Path(path) => path.as_path(),
        Target::Custom => return Err(Error::config("the custom sink has no target to open")),
    };
    if named.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(
            output_error(named.display(), "open", "it is the name of a folder")
                .with_hint("name a file in it"),
        );
    }
    let failed = |error| path_error(named.display(), "open", error, "is that a path for a file?");
    let path = follow_links(named).map_err(failed)?;
    if is_descriptor(&path) {
        return StreamSink::descriptor(named, &path, cancel);
    }
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err(is_directory(named)),
        Ok(found) if !found.is_file() => {
            check_owner(&path).map_err(failed)?;
            StreamSink::special_file(named, &path, cancel)
        }
        // It does not exist or cannot be read: creating the file shows which.
        Ok(_) | Err(_) => {
            make_folder_of(named, &path, options.create_dirs)?;
            FileSink::create(named, &path, model, options, cancel)
        }
    }
}

/// Creates the folder of `path`, which `named` leads to, if it is missing and `create_dirs`
/// says so.
fn make_folder_of(named: &Path, path: &Path, create_dirs: CreateDirs) -> Result<()> {
    if create_dirs == CreateDirs::Refuse {
        return Ok(());
    }
    create_folders(folder(path)).map_err(|error| {
        io_error(named.display(), "create the folder of", error)
            .with_hint("may you create folders there?")
    })
}

/// Checks whether a regular file can be renamed to `path`, as far as can be known
/// before the rename.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
pub fn check_replaceable(path: &Path) -> Result<()> {
    if is_object(path) {
        return Ok(());
    }
    let failed = |error| path_error(path.display(), "replace", error, READ_ONLY);
    let final_path = follow_links(path).map_err(failed)?;
    if final_path.is_dir() {
        return Err(is_directory(path));
    }
    file::check_replaceable_by_me(&final_path).map_err(failed)
}

/// Checks that there is nothing at `path` that an output could replace: neither a file, nor a
/// folder, nor a link to nothing. A stream is no such thing.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
pub fn check_absent(path: &Path) -> Result<()> {
    let is_there = match is_object(path) {
        // The commit makes sure of it, also where the object cannot be seen.
        true => object::size(path).is_ok(),
        false => fs::symlink_metadata(path).is_ok() && !is_stream(path),
    };
    match is_there {
        true => Err(exists(path)),
        false => Ok(()),
    }
}

/// Returns the error of an output that may not replace what is at `path`.
fn exists(path: &Path) -> Error {
    output_error(path.display(), "create", "it is there already")
        .with_hint("move it away first, or put {date} and {time} into the name")
}

/// Checks that no other user has put there what `path` leads to, nor a link to it, in a
/// folder in which everyone may create files, as /tmp.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
pub fn check_origin(path: &Path) -> Result<()> {
    if is_object(path) {
        return Ok(());
    }
    let found = follow_links(path).and_then(|path| check_owner(&path));
    found.map_err(|error| path_error(path.display(), "open", error, "is that a path for a file?"))
}

/// Whether the folder of the file or the object at `path` is there. A store has no folders.
#[must_use]
pub fn has_folder(path: &Path) -> bool {
    is_object(path) || folder(path).is_dir()
}

/// Returns the error of a target that is a directory.
fn is_directory(path: &Path) -> Error {
    output_error(path.display(), "open", "it is a directory").with_hint("name a file in it")
}

/// Removes the file at `path`, also for the time after a power cut. `verb` is the
/// message's word for it. A file that is not there is no error.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
pub(crate) fn remove(path: &Path, verb: &str) -> Result<()> {
    let removed = match remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(()) if !is_object(path) => sync_folder_of(path),
        removed => removed,
    };
    removed.map_err(|error| {
        io_error(path.display(), verb, error).with_hint("may you change that folder?")
    })
}

/// Removes the file or the object at `path`.
///
/// # Errors
/// That of the system or of the store.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match is_object(path) {
        true => object::remove(path),
        false => fs::remove_file(path),
    }
}

/// Returns all bytes of the file or the object at `path`.
///
/// # Errors
/// That of the system or of the store.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    match is_object(path) {
        true => object::read(path),
        false => fs::read(path),
    }
}

/// Returns the size of the object or of the regular file at `path`, of which links are not
/// followed; `None` if something else is there.
///
/// # Errors
/// That of the system or of the store, if nothing is there or if it cannot be seen.
pub(crate) fn size(path: &Path) -> io::Result<Option<u64>> {
    if is_object(path) {
        return object::size(path).map(Some);
    }
    let found = fs::symlink_metadata(path)?;
    Ok(found.is_file().then_some(found.len()))
}

/// Opens the object at `path` for reading.
///
/// # Errors
/// That of the store.
pub(crate) fn open_object(path: &Path) -> io::Result<ObjectSource> {
    object::source(path)
}

/// Returns the URLs of all objects whose keys begin with that of `path` up to its last `/`.
///
/// # Errors
/// That of the store.
pub(crate) fn list_objects(path: &Path) -> io::Result<Vec<PathBuf>> {
    object::list(path)
}

/// Writes `bytes` to `path`, as a whole or not at all. The file becomes visible by
/// [`Staged::commit`].
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
pub fn write_atomically(path: &Path, bytes: &[u8], cancel: &CancelToken) -> Result<Staged> {
    write_atomically_like(path, None, bytes, cancel)
}

/// Writes `bytes` to `path` as [`write_atomically`] does. The file gets the permissions
/// of the one at `model`, if there is one.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
pub(crate) fn write_atomically_like(
    path: &Path,
    model: Option<&Path>,
    bytes: &[u8],
    cancel: &CancelToken,
) -> Result<Staged> {
    if is_object(path) {
        return object::stage(path, bytes, cancel);
    }
    // An option creates the folders of outputs, not this one.
    let is_missing = |folder: &Path| {
        let found = fs::metadata(folder);
        found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    if follow_links(path).is_ok_and(|path| is_missing(folder(&path))) {
        let problem = "its folder is missing";
        return Err(output_error(path.display(), "create", problem).with_hint("create it first"));
    }
    let mut sink = open_like(&Target::file(path), model, SinkOptions::default(), cancel)?;
    sink.write(bytes)?;
    sink.finish()
}
