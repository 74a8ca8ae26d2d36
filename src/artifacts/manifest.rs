//! The manifest beside a file: what the file is, for whoever wants to know later
//! whether it still is, and where it came from.
//!
//! The fields are documented in `docs/manifest.md`. Checking files against them is
//! left to [`verify`](crate::artifacts::verify), removing old files to
//! [`retention`](crate::artifacts::retention).

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    schema::ColumnDescription,
    sink::{self, Staged, Target},
    source::BinlogPosition,
};

/// What wrote a manifest: the program and its version.
pub const GENERATOR: &str = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));

/// What a file is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// What wrote it: the program and its version.
    pub generator: String,
    /// What the configuration file calls the export.
    pub export: Option<String>,
    /// The file's name, without its folder.
    pub file: String,
    /// The name of its format.
    pub format: String,
    /// Whether its first line is the columns' names (CSV, TSV).
    pub header: bool,
    /// Rows of the result set.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Of all of its bytes, in hexadecimal digits.
    pub sha256: String,
    /// The columns, in their order.
    pub columns: Vec<ColumnDescription>,
    /// Of the query's text, in hexadecimal digits.
    pub query_sha256: String,
    /// Where the server is.
    pub server: String,
    /// What the server says of its version.
    pub server_version: Option<String>,
    /// The default database.
    pub database: Option<String>,
    /// Where the snapshot is in the server's history, where there is one.
    pub snapshot: Option<BinlogPosition>,
    /// In UTC, as RFC 3339.
    pub started: Option<String>,
    /// In UTC, as RFC 3339.
    pub finished: String,
    /// The time that the placeholders of the file's name stand for, with its zone
    /// (RFC 9557); none where they stand for none.
    pub named_for: Option<String>,
}

/// How the names of manifests end.
pub(crate) const SUFFIX: &str = ".manifest.json";

/// The manifest's path beside `file`.
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
    /// What is wrong with it, as the end of a sentence.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = fs::read(path).map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| format!("it is no manifest: {error}"))
    }
}

/// Writes `manifest` for the file at `target`. It is committed after the file.
///
/// # Errors
/// [`ErrorKind::Output`] where it cannot be written.
pub fn write(manifest: &Manifest, target: &Path, cancel: &CancelToken) -> Result<Staged> {
    let text = serde_json::to_string_pretty(manifest).map_err(|error| {
        Error::new(
            ErrorKind::Output,
            format!("cannot make the manifest: {error}"),
        )
    })?;
    sink::write_atomically(&path(target), format!("{text}\n").as_bytes(), cancel)
}

/// The error for a target that is no regular file.
pub(crate) fn no_file(target: &Target) -> Error {
    let what = format!("a manifest stands beside a file, and {target} is none");
    Error::new(ErrorKind::Output, what).with_hint("name a regular file, or leave the manifest out")
}
