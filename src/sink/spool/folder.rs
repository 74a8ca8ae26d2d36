//! The folder of a spool's files. They have no name, so that nothing of them is left when
//! the program ends, however that is.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::{errno::Errno, fcntl::OFlag, unistd::geteuid};

use crate::{
    error::{Error, Result},
    sink::{
        self,
        errors::{io_error, output_error},
    },
};

/// The beginning of the names that files have for a moment, where the file system makes none
/// without a name.
const PREFIX: &str = ".gold_digger-spool-";

/// The folder of a spool.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Opens the folder at `path`, which is created if only its last part is missing, for
    /// this user alone. Removes what a run has left that was killed while it made a file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unusable(path, error));
            }
            _ => {}
        }
        let folder = Self::existing(path)?;
        folder.remove_stale_files();
        Ok(folder)
    }

    /// Checks, as far as can be known without changing anything, that [`open`](Self::open)
    /// would succeed.
    pub(super) fn check(path: &Path) -> Result<()> {
        match (path.exists(), sink::folder(path).is_dir()) {
            (true, _) => Self::existing(path).map(drop),
            (false, true) => Ok(()),
            (false, false) => Err(unusable(path, Errno::ENOENT.into())),
        }
    }

    /// Opens the folder at `path`, in which a file can be made.
    fn existing(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let refused = output_error(path.display(), "use the spool", "it is no folder");
            return Err(refused.with_hint("name a folder"));
        }
        let folder = Self(path.to_owned());
        folder.file().map_err(|error| unusable(path, error))?;
        Ok(folder)
    }

    /// Makes a file for this user alone.
    pub(super) fn file(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).mode(0o600);
        let flags = OFlag::O_TMPFILE | OFlag::O_EXCL;
        match options.clone().custom_flags(flags.bits()).open(&self.0) {
            Err(error) if is_unsupported(&error) => {}
            opened => return opened,
        }
        let mut builder = tempfile::Builder::new();
        let named = builder.prefix(PREFIX);
        let named = named.make_in(&self.0, |path| options.clone().create_new(true).open(path))?;
        let (file, path) = named.into_parts();
        match path.close() {
            // Another run has taken it for a stale one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            closed => closed?,
        }
        Ok(file)
    }

    /// Removes files that still have their name. What cannot be removed is left: it is empty.
    fn remove_stale_files(&self) {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let is_own = || {
                let found = entry.metadata();
                found.is_ok_and(|found| found.is_file() && found.uid() == geteuid().as_raw())
            };
            if name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) && is_own() {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Returns the error of a folder in which no file can be made.
fn unusable(path: &Path, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "create the folder that it is in first",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "name a folder that you may write to"
        }
        _ => "name a folder on a local disk that has room",
    };
    io_error(path.display(), "use the spool", error).with_hint(hint)
}

/// Whether the file system, or the kernel, makes no files without a name (open(2)).
fn is_unsupported(error: &io::Error) -> bool {
    let errors = [
        Errno::EINVAL,
        Errno::EISDIR,
        Errno::ENOENT,
        Errno::EOPNOTSUPP,
    ];
    let errors = errors.map(|errno| Some(errno as i32));
    errors.contains(&error.raw_os_error())
}
