//! The small files of text that are published with the rows of an export: the statement
//! that loads them, and the one that creates their table.

use std::path::Path;

use super::plan::ExportPlan;
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    sink::{self, CreateDirs, SinkOptions, Staged, Target},
};

/// Checks that the file of `export` at `path` can be written, as far as can be known
/// before the query runs.
///
/// # Errors
/// [`ErrorKind::Output`].
pub(super) fn check(export: &ExportPlan, path: &Path) -> Result<()> {
    if export.create_dirs == CreateDirs::Refuse && !sink::has_folder(path) {
        let message = format!("cannot write {}: its folder does not exist", path.display());
        return Err(Error::new(ErrorKind::Output, message).with_hint("--create-dirs creates it"));
    }
    sink::check_replaceable(path)
}

/// Writes `text` as the file of `export` at `path`. The caller commits it after the
/// output.
///
/// # Errors
/// [`ErrorKind::Output`].
pub(super) fn write(
    export: &ExportPlan,
    path: &Path,
    text: &str,
    cancel: &CancelToken,
) -> Result<Staged> {
    let options = SinkOptions {
        create_dirs: export.create_dirs,
        ..SinkOptions::default()
    };
    let mut sink = sink::open(&Target::file(path), options, cancel)?;
    sink.write(text.as_bytes())?;
    sink.finish()
}
