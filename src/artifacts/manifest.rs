//! The manifest of an output file: describes the file and its origin, so that the
//! file can be verified later.
//!
//! `docs/manifest.md` documents the fields. [`verify`](crate::artifacts::verify)
//! checks files against their manifests, and
//! [`retention`](crate::artifacts::retention) removes old files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    format::Codec,
    schema::ColumnDescription,
    sink::{self, Staged, Target},
    source::BinlogPosition,
};

/// The generator of manifests: the program's name and its version.
pub const GENERATOR: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// A description of an output file and of its origin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The name and the version of the program that wrote it.
    pub generator: String,
    /// The export's name in the configuration file; `None` for a single query.
    pub export: Option<String>,
    /// The file's name, without its folder.
    pub file: String,
    /// The name of its format.
    pub format: String,
    /// The codec that its bytes are compressed by; `None` if they are not.
    #[serde(default)]
    pub compression: Option<Codec>,
    /// Whether its first record holds the columns' names (CSV, TSV).
    pub header: bool,
    /// The number of rows of the result set.
    pub rows: u64,
    /// The size of the file in bytes, as it is stored.
    pub bytes: u64,
    /// The SHA-256 of the whole file, in hexadecimal digits.
    pub sha256: String,
    /// The columns, in their order.
    pub columns: Vec<ColumnDescription>,
    /// The statement that loads the file into the target of `--for`; `None` if
    /// there is none.
    #[serde(default)]
    pub load_statement: Option<String>,
    /// The SHA-256 of the query's text, in hexadecimal digits.
    pub query_sha256: String,
    /// The server's address or socket.
    pub server: String,
    /// The server's version, as the server reports it.
    pub server_version: Option<String>,
    /// The default database.
    pub database: Option<String>,
    /// The snapshot's position in the binary log; `None` without a snapshot, or if
    /// its position is not known.
    pub snapshot: Option<BinlogPosition>,
    /// When the export started, in UTC, as RFC 3339.
    pub started: Option<String>,
    /// When the export finished, in UTC, as RFC 3339.
    pub finished: String,
    /// The time that replaced the placeholders in the file's name, with its zone
    /// (RFC 9557); `None` if no placeholder is a time.
    pub named_for: Option<String>,
}

/// The end of a manifest's file name.
pub(crate) const SUFFIX: &str = ".manifest.json";

/// Returns the path of the manifest of `file`.
#[must_use]
pub fn path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(SUFFIX);
    path.into()
}

impl Manifest {
    /// Reads the manifest at `path`.
    ///
    /// # Errors
    /// What is wrong with the manifest, as the end of a sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| format!("it is no manifest: {error}"))
    }
}

/// Writes the manifest of the file at `target`, with the permissions of the file that
/// is there. The caller commits it after the file.
///
/// # Errors
/// [`ErrorKind::Output`], if it cannot be written.
pub fn write(manifest: &Manifest, target: &Path, cancel: &CancelToken) -> Result<Staged> {
    let text = serde_json::to_string_pretty(manifest).map_err(|error| {
        let message = format!("cannot make the manifest: {error}");
        Error::new(ErrorKind::Output, message).with_source(error)
    })?;
    let (model, text) = (sink::resolve(target), format!("{text}\n"));
    sink::write_atomically_like(&path(target), Some(&model), text.as_bytes(), cancel)
}

/// Removes the manifest of the file at `target`, which is about to be replaced, so
/// that a run that is killed meanwhile leaves a file without a manifest and never one
/// with another file's. If `target` is a link, the manifest beside the file that it
/// leads to is removed too. A file that is no manifest of this program for that name
/// stays.
///
/// # Errors
/// [`ErrorKind::Output`], if it cannot be removed.
pub fn remove_outdated(target: &Path) -> Result<()> {
    for file in [target, &sink::resolve(target)] {
        let manifest = sink::resolve(&path(file));
        if is_own(&manifest, file) {
            sink::remove(&manifest, "remove the outdated manifest")?;
        }
    }
    Ok(())
}

/// Returns whether the file at `manifest` is a manifest that this program has written
/// for `file`, in whatever version.
fn is_own(manifest: &Path, file: &Path) -> bool {
    #[derive(Deserialize)]
    struct Identity {
        generator: String,
        file: String,
    }
    let is_file = fs::symlink_metadata(manifest).is_ok_and(|found| found.is_file());
    let read = || serde_json::from_slice::<Identity>(&fs::read(manifest).ok()?).ok();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let program = concat!(env!("CARGO_PKG_NAME"), " ");
    is_file
        && read().is_some_and(|found| found.generator.starts_with(program) && found.file == name)
}

/// Returns the error for a target that is no regular file.
pub(crate) fn no_file(target: &Target) -> Error {
    let message = format!("a manifest stands beside a file, and {target} is none");
    Error::new(ErrorKind::Output, message)
        .with_hint("name a regular file, or leave the manifest out")
}
