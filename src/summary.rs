//! What a run did, as JSON for whoever watches it: `--summary`.
//!
//! The fields are documented in `docs/summary.md`.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use nix::fcntl::OFlag;
use serde::Serialize;

use crate::{
    cancel::Cancel,
    config::{Partial, Target},
    error::{Error, ErrorKind, Result},
    journal::{Facts, Journal},
    report, sink,
};

#[derive(Serialize)]
struct Summary {
    status: &'static str,
    exit_code: u8,
    error: Option<Failure>,
    rows: u64,
    bytes: u64,
    columns: Vec<Column>,
    target: Option<String>,
    started: String,
    elapsed_seconds: f64,
    attempts: u32,
    server_version: Option<String>,
    protocol: Option<&'static str>,
    time_zone: Option<String>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Failure {
    kind: &'static str,
    message: String,
    hint: Option<String>,
}

#[derive(Serialize)]
struct Column {
    name: String,
    r#type: String,
}

/// Writes the summary of a run that has ended with `result` to `place`; `target`
/// is what the run wrote to, where that was known.
///
/// # Errors
/// [`ErrorKind::Output`] where it cannot be written.
pub fn write(
    place: &Target,
    target: Option<&Target>,
    journal: &Journal,
    result: &Result<()>,
) -> Result<()> {
    let Facts {
        columns,
        server_version,
        protocol,
        time_zone,
        warnings,
        attempts,
        ..
    } = journal.facts();
    let failure = result.as_ref().err();
    let summary = Summary {
        status: match failure.map(Error::kind) {
            None => "success",
            Some(ErrorKind::NoRows) => "empty",
            Some(_) => "failure",
        },
        exit_code: failure.map_or(0, |error| error.kind().exit_code()),
        error: failure.map(|error| Failure {
            kind: error.kind().name(),
            message: error.message().to_owned(),
            hint: error.advice().map(str::to_owned),
        }),
        rows: journal.rows(),
        bytes: journal.bytes(),
        columns: columns
            .into_iter()
            .map(|(name, r#type)| Column { name, r#type })
            .collect(),
        target: target.map(|target| match target {
            Target::Stdout => "-".to_owned(),
            Target::Path(path, _) => path.to_string_lossy().into_owned(),
        }),
        started: format!("{:.3}", journal.started()),
        elapsed_seconds: journal.elapsed().as_secs_f64(),
        attempts,
        server_version,
        protocol,
        time_zone,
        warnings,
    };
    let failed = |error| {
        Error::new(
            ErrorKind::Output,
            format!("cannot make the summary: {error}"),
        )
    };
    if *place == Target::Stdout {
        let text = serde_json::to_string(&summary).map_err(failed)?;
        report::line(&report::machine_readable(&text));
        return Ok(());
    }
    let mut text = serde_json::to_string_pretty(&summary).map_err(failed)?;
    text.push('\n');
    let text = report::machine_readable(&text);
    if let Target::Path(path, _) = place
        && fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
    {
        return write_to_fifo(path, &text);
    }
    let mut sink = sink::open(place, Partial::Remove, &Cancel::default())?;
    sink.write(text.as_bytes())?;
    sink.commit()
}

/// Writes to a FIFO, if somebody reads from it: nothing would end the wait for a
/// reader who never comes.
fn write_to_fifo(path: &Path, text: &str) -> Result<()> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    opened
        .and_then(|mut fifo| fifo.write_all(text.as_bytes()))
        .map_err(|error| {
            let what = format!("cannot write the summary to {}: {error}", path.display());
            Error::new(ErrorKind::Output, what)
                .hint("nobody reads from that FIFO, or not fast enough")
        })
}
