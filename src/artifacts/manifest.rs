//! The manifest of an output file: describes the file and its origin, so that the
//! file can be verified later.
//!
//! `docs/manifest.md` documents the fields. [`verify`](crate::artifacts::verify)
//! checks files against their manifests, and
//! [`retention`](crate::artifacts::retention) removes old files.

use std::{
    fs,
    io::ErrorKind::{NotFound, PermissionDenied},
    path::{Path, PathBuf},
};

use ring::digest;
use serde::{Deserialize, Serialize};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    format::{Codec, Dialect, Format},
    schema::{Column, ColumnType, Nullability, Schema, Sign},
    sink::{self, Staged, Target},
    source::BinlogPosition,
    sql::Query,
    text::hex,
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
    /// How a reader is set up for it.
    #[serde(default)]
    pub dialect: Dialect,
    /// The session's time zone, in which TIMESTAMPs are written; `None` if the server
    /// does not tell it.
    pub time_zone: Option<String>,
    /// The number of rows of the result set.
    pub rows: u64,
    /// The size of the file in bytes, as it is stored.
    pub bytes: u64,
    /// The SHA-256 of the whole file, in hexadecimal digits.
    pub sha256: String,
    /// The columns, in their order.
    pub columns: Vec<ManifestColumn>,
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

/// A column as a reader of the file needs to know it. What is not known of it, or has no
/// meaning for its type, is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestColumn {
    /// The column's name.
    pub name: String,
    /// The server's name of its type, such as `DECIMAL(10,2)`.
    pub r#type: String,
    /// The name of the type without its arguments and attributes, such as `DECIMAL`.
    pub base_type: Option<String>,
    /// Whether values may be NULL.
    pub nullable: Option<bool>,
    /// Whether a number is never below zero.
    pub unsigned: Option<bool>,
    /// The digits of a DECIMAL.
    pub precision: Option<u32>,
    /// The digits of a DECIMAL after the point.
    pub scale: Option<u32>,
    /// The digits of a second's fraction.
    pub fraction: Option<u32>,
    /// The most characters of a text, bytes of a string of bytes, or the bits of a BIT.
    pub length: Option<u32>,
    /// The character set in which the server sent a text.
    pub character_set: Option<String>,
    /// How the values are written, in words; `None` if the format does not say.
    pub written_as: Option<String>,
}

impl ManifestColumn {
    /// Whether `self` and `other` are the same, except that one may have NULLs.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        let known = Self {
            nullable: other.nullable,
            ..self.clone()
        };
        known == *other
    }

    /// Describes the columns of `schema` in the documents of `format`.
    ///
    /// # Errors
    /// Those of [`Format::open`].
    pub fn describe(schema: &Schema, format: &dyn Format) -> Result<Vec<Self>> {
        let text = format.text_options();
        let mut written_as = format.open(schema)?.column_formats().into_iter();
        let columns = schema.columns.iter();
        let columns =
            columns.map(|column| Self::new(column, text.nullability(column), written_as.next()));
        Ok(columns.collect())
    }

    fn new(column: &Column, nullability: Nullability, written_as: Option<String>) -> Self {
        let metadata = &column.metadata;
        let (mut scale, mut fraction, mut length) = (None, None, metadata.length);
        match column.column_type {
            ColumnType::Decimal { scale: digits, .. } => scale = Some(digits.into()),
            ColumnType::DateTime { fraction: digits } | ColumnType::Time { fraction: digits } => {
                fraction = u32::try_from(digits).ok();
            }
            ColumnType::Bit { width } => length = Some(width),
            _ => {}
        }
        let is_number = column.column_type.is_number();
        Self {
            name: column.name.clone(),
            r#type: column.server_type.clone(),
            base_type: Some(metadata.base.name().to_owned()),
            nullable: match nullability {
                Nullability::NotNull => Some(false),
                Nullability::Nullable => Some(true),
                Nullability::Unknown => None,
            },
            unsigned: is_number.then_some(metadata.sign == Sign::Unsigned),
            precision: metadata.precision,
            scale,
            fraction,
            length,
            character_set: metadata.character_set.map(str::to_owned),
            written_as,
        }
    }
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
        let bytes = sink::read(path).map_err(|error| error.to_string())?;
        serde_json::from_slice(&bytes).map_err(|error| format!("it is no manifest: {error}"))
    }
}

/// Returns the SHA-256 of the text of `query`, in hexadecimal digits.
#[must_use]
pub fn query_sha256(query: &Query) -> String {
    text_sha256(query.text())
}

/// Returns the SHA-256 of `text`, in hexadecimal digits.
#[must_use]
pub fn text_sha256(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Writes the manifest of the file at `target`, with the permissions of the file that
/// is there. The caller commits it after the file.
///
/// # Errors
/// [`ErrorKind::Output`], if it cannot be written.
pub fn write(manifest: &Manifest, target: &Path, cancel: &CancelToken) -> Result<Staged> {
    let (model, text) = (sink::resolve(target), to_text(manifest)?);
    sink::write_atomically_like(&path(target), Some(&model), text.as_bytes(), cancel)
}

/// Returns the text of `manifest`.
pub(super) fn to_text(manifest: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(manifest).map_err(|error| {
        let message = format!("cannot make the manifest: {error}");
        Error::new(ErrorKind::Output, message).with_source(error)
    })?;
    Ok(text + "\n")
}

/// Whether a manifest with this `generator` is one of this program, in whatever version.
pub(super) fn is_by_this_program(generator: &str) -> bool {
    generator.starts_with(concat!(env!("CARGO_PKG_NAME"), " "))
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
    let mut files = vec![target.to_owned(), sink::resolve(target)];
    files.dedup();
    for file in &files {
        let manifest = sink::resolve(&path(file));
        if is_own(&manifest, file)? {
            sink::remove(&manifest, "remove the outdated manifest")?;
        }
    }
    Ok(())
}

/// Returns whether the file at `manifest` is a manifest that this program has written
/// for `file`, in whatever version.
///
/// # Errors
/// [`ErrorKind::Output`], if a store does not tell. One that refuses to show the manifest
/// does not let it be removed either.
fn is_own(manifest: &Path, file: &Path) -> Result<bool> {
    #[derive(Deserialize)]
    struct Identity {
        generator: String,
        file: String,
    }
    let found = match sink::is_object(manifest) {
        true => match sink::read(manifest) {
            Err(error) if !matches!(error.kind(), NotFound | PermissionDenied) => {
                let message = format!("cannot look at {}: {error}", manifest.display());
                return Err(Error::new(ErrorKind::Output, message).with_source(error));
            }
            found => found.ok(),
        },
        false => {
            let is_file = fs::symlink_metadata(manifest).is_ok_and(|found| found.is_file());
            is_file.then(|| fs::read(manifest).ok()).flatten()
        }
    };
    let found = found.and_then(|bytes| serde_json::from_slice::<Identity>(&bytes).ok());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_its = |found: Identity| is_by_this_program(&found.generator) && found.file == name;
    Ok(found.is_some_and(is_its))
}

/// Returns the error for a target that is no regular file.
pub(crate) fn no_file(target: &Target) -> Error {
    let message = format!("a manifest stands beside a file, and {target} is none");
    Error::new(ErrorKind::Output, message)
        .with_hint("name a regular file, or leave the manifest out")
}
