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

use jiff::Timestamp;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Naming, Target},
    error::{Error, ErrorKind, Result},
    format::Header,
    jobs::export::Job,
    schema::ColumnDescription,
    sink::{self, Finished},
    source::snapshot::Position,
    text::hex,
};

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
    pub snapshot: Option<Position>,
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

/// Makes the manifest of what `job` has come to, in `finished`; it is published
/// behind it. `named` is how the file got its name.
///
/// # Errors
/// [`ErrorKind::Output`] where it cannot be written.
pub fn prepare(
    job: Job<'_>,
    named: &Naming,
    position: Option<&Position>,
    finished: &Finished,
) -> Result<Finished> {
    let export = job.export;
    let (Target::Path(target, _), Some(sha256)) = (&export.target, finished.sha256()) else {
        return Err(no_file(&export.target));
    };
    let facts = job.journal.facts();
    let query = digest::digest(&digest::SHA256, export.query.text().as_bytes());
    let header = match export.format.name {
        "csv" => export.format_options.csv_header == Header::Names,
        "tsv" => export.format_options.tsv_header == Header::Names,
        _ => false,
    };
    let name = target.file_name().unwrap_or_default();
    let started = job.journal.started();
    let manifest = Manifest {
        generator: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
        export: export.name.clone(),
        file: name.to_string_lossy().into_owned(),
        format: export.format.name.to_owned(),
        header,
        rows: job.journal.rows(),
        bytes: job.journal.bytes(),
        sha256: sha256.to_owned(),
        columns: facts.columns,
        query_sha256: hex(query.as_ref()),
        server: job.config.connection.endpoint.to_string(),
        server_version: facts.server_version,
        database: job.config.connection.database.clone(),
        snapshot: position.cloned(),
        started: started.map(|started| format!("{started:.3}")),
        finished: format!("{:.3}", Timestamp::now()),
        named_for: named.time.as_ref().map(ToString::to_string),
    };
    let text = serde_json::to_string_pretty(&manifest).map_err(|error| {
        Error::new(
            ErrorKind::Output,
            format!("cannot make the manifest: {error}"),
        )
    })?;
    sink::write_file(
        &path(target),
        format!("{text}\n").as_bytes(),
        &job.cancel.part()?,
    )
}

/// The error for a target that is no regular file.
pub(crate) fn no_file(target: &Target) -> Error {
    let what = format!("a manifest stands beside a file, and {target} is none");
    Error::new(ErrorKind::Output, what).with_hint("name a regular file, or leave the manifest out")
}
