//! Where bytes go. The only place of the program that writes output, and the
//! one that decides when a target appears.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use self::{file::FileSink, stream::StreamSink};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
};

mod commit;
mod file;
mod memory;
mod staged;
mod stdio;
mod stream;
mod target;

pub use commit::{Commit, Restart, Sink, Staged};
pub use memory::{SharedBytes, WriterSink};
#[cfg(feature = "cli")]
pub(crate) use staged::partial;
pub use stdio::record_closed_descriptors;
#[cfg(feature = "cli")]
pub(crate) use stdio::standard_output;
pub use target::{Checksum, CreateDirs, Partial, SinkOptions, Target};

/// Opens `target`: a regular file, present or not, is written whole or not at
/// all; everything else (standard output,
/// a FIFO, a device) is written directly.
///
/// # Errors
/// [`ErrorKind::Output`], naming the target and what to look at.
pub fn open(target: &Target, options: SinkOptions, cancel: &CancelToken) -> Result<Box<dyn Sink>> {
    let named = match target {
        Target::Stdout => return StreamSink::stdout(cancel),
        Target::Path(path) => path.as_path(),
        Target::Custom => return Err(Error::config("the custom sink has no target to open")),
    };
    let failed =
        |what: io::Error, hint: &str| output_error(named.display(), "open", what).with_hint(hint);
    if named.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(
            output_error(named.display(), "open", "it is the name of a folder")
                .with_hint("name a file in it"),
        );
    }
    let path = follow_links(named).map_err(|error| failed(error, "is that a path for a file?"))?;
    if is_descriptor(&path) {
        return StreamSink::descriptor(named, &path, cancel);
    }
    match fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err(is_directory(named)),
        Ok(found) if !found.is_file() => StreamSink::special_file(named, &path, cancel),
        // Not there yet, or not to be seen: creating the file will tell.
        Ok(_) | Err(_) => {
            if options.create_dirs == CreateDirs::Create {
                create_folders(folder(&path)).map_err(|error| {
                    output_error(named.display(), "create the folder of", error)
                        .with_hint("may you create folders there?")
                })?;
            }
            FileSink::create(named, &path, options, cancel)
        }
    }
}

/// Makes `path` a folder, and those above it that are missing. Each is synced
/// into the one above, without which a power cut could take it away again with
/// the file in it.
fn create_folders(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(_) if path.is_dir() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && folder(path) != path => {
            create_folders(folder(path))?;
            match fs::create_dir(path) {
                // Another run was faster.
                Err(_) if path.is_dir() => {}
                created => created?,
            }
        }
        Err(error) => return Err(error),
    }
    match File::open(folder(path)) {
        Ok(above) => above.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// The one path of the file that `path` leads to, which need not be there yet;
/// `path` itself where that cannot be told.
#[must_use]
pub fn resolve(path: &Path) -> PathBuf {
    let resolve = || {
        let path = follow_links(path).ok()?;
        let folder = fs::canonicalize(folder(&path)).ok()?;
        Some(folder.join(path.file_name()?))
    };
    resolve().unwrap_or_else(|| path.to_owned())
}

/// Whether what stands under `path` is written directly: it is there, and no
/// regular file.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    let found = follow_links(path).map(|path| (is_descriptor(&path), fs::metadata(&path)));
    found.is_ok_and(|(is_descriptor, found)| {
        is_descriptor || found.is_ok_and(|found| !found.is_file() && !found.is_dir())
    })
}

/// Keeps other runs from what this one does in the folder of `path`, until what it
/// gives is dropped; as far as the file system and whoever else locks the folder
/// let it within a moment.
#[must_use]
pub fn lock_folder(path: &Path) -> Option<File> {
    let folder = File::open(folder(path)).ok()?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    while let Err(TryLockError::WouldBlock) = folder.try_lock() {
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Some(folder)
}

/// How long another run's few renames may take.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks that a regular file can get the name `path`, as far as can be told
/// before it does.
///
/// # Errors
/// [`ErrorKind::Output`].
pub fn check_replaceable(path: &Path) -> Result<()> {
    let failed = |error: io::Error| {
        output_error(path.display(), "replace", error)
            .with_hint("it is read-only for you: make it writable, or remove it")
    };
    let behind_links = follow_links(path).map_err(failed)?;
    if behind_links.is_dir() {
        return Err(is_directory(path));
    }
    file::check_replaceable_by_me(&behind_links).map_err(failed)
}

fn is_directory(path: &Path) -> Error {
    output_error(path.display(), "open", "it is a directory").with_hint("name a file in it")
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// [`ErrorKind::Output`].
pub fn write_atomically(path: &Path, bytes: &[u8], cancel: &CancelToken) -> Result<Staged> {
    let mut sink = open(&Target::file(path), SinkOptions::default(), cancel)?;
    sink.write(bytes)?;
    sink.finish()
}

/// A chain of symbolic links longer than this is a loop, as for Linux
/// (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The path that `path` names when every symbolic link at its end is followed,
/// also one that leads to nothing yet. Links of a process's descriptors are not
/// followed: what they show need not have that name any more, or have one.
fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if is_descriptor(&path) {
            return Ok(path);
        }
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

/// Whether `path` stands for one of this process's open files.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd")
}

/// The folder of what `path` names.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

fn output_error(target: impl std::fmt::Display, verb: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Output, format!("cannot {verb} {target}: {what}"))
}

/// What to do about an output that cannot be written, by cause.
fn failure(name: &str, verb: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room there, or write elsewhere"
        }
        io::ErrorKind::FileTooLarge => "ulimit -f, or the file system, allows no larger file",
        io::ErrorKind::NotFound => "has its folder been removed or renamed meanwhile?",
        io::ErrorKind::IsADirectory => "name a file in it",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ResourceBusy => {
            "is it read-only, somebody else's, or a mount of its own? name a file that can be replaced"
        }
        _ => "look at the disk and its file system (dmesg), or write elsewhere",
    };
    output_error(name, verb, error).with_hint(hint)
}
