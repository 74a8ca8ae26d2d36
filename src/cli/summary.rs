//! Writes the summary of a run as JSON for monitoring: `--summary`.
//!
//! `docs/summary.md` documents the fields.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use nix::fcntl::OFlag;
use serde::Serialize;

use super::report;
use crate::{
    error::{Error, ErrorKind, Result},
    jobs::{
        ExportStatus, Outcome, RunPlan, Status, StatusDetails, plan::ExportPlan, status::totals,
    },
    schema::ColumnDescription,
    sink::{self, CreateDirs, STDOUT_ARGUMENT, Target},
    text::redact_json,
};

/// The summary of a run.
#[derive(Serialize)]
#[serde(untagged)]
enum Summary {
    /// A single query, or a run that failed before its exports were known.
    One(ExportSummary),
    /// A run with named exports.
    Several(RunSummary),
}

/// The summary of a run with named exports.
#[derive(Serialize)]
struct RunSummary {
    #[serde(flatten)]
    outcome: ResultFields,
    rows: u64,
    bytes: u64,
    started: Option<String>,
    elapsed_seconds: f64,
    warnings: Vec<String>,
    exports: Vec<ExportSummary>,
}

/// The fields that describe the result of a run or of an export.
#[derive(Serialize)]
struct ResultFields {
    status: &'static str,
    exit_code: Option<u8>,
    error: Option<Failure>,
}

/// The summary of one export.
#[derive(Serialize)]
struct ExportSummary {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(flatten)]
    outcome: ResultFields,
    rows: u64,
    bytes: u64,
    stored_bytes: Option<u64>,
    columns: Vec<ColumnDescription>,
    target: Option<String>,
    started: Option<String>,
    elapsed_seconds: f64,
    attempts: u32,
    server_version: Option<String>,
    protocol: Option<&'static str>,
    time_zone: Option<String>,
    warnings: Vec<String>,
    /// Empty if the run failed before its exports were known, otherwise `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    exports: Option<[(); 0]>,
}

/// The error of a run or of an export.
#[derive(Serialize)]
pub(super) struct Failure {
    kind: &'static str,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(super) fn of(error: &Error) -> Self {
        Self {
            kind: error.kind().name(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
        }
    }
}

/// Returns the path of `target`, or `-` for standard output.
pub(super) fn target_name(target: &Target) -> String {
    match target.path() {
        None => STDOUT_ARGUMENT.to_owned(),
        Some(path) => path.to_string_lossy().into_owned(),
    }
}

impl ResultFields {
    /// Returns the fields of a run that has ended with `result`.
    fn of_run(result: &Result<()>) -> Self {
        match result {
            Ok(()) => Self {
                status: "success",
                exit_code: Some(0),
                error: None,
            },
            Err(error) => Self::failed(error),
        }
    }

    /// Returns the fields of an export with `outcome`, which is `None` if it did not
    /// run.
    fn of_export(outcome: Option<&Outcome>) -> Self {
        match outcome {
            Some(Outcome::Success | Outcome::NothingNew) => Self::of_run(&Ok(())),
            Some(Outcome::Failure(error)) => Self::failed(error),
            Some(Outcome::NotPublished) => Self::without_result("withheld"),
            None => Self::without_result("not run"),
        }
    }

    /// Returns the fields of a failure.
    fn failed(error: &Error) -> Self {
        Self {
            status: match error.kind() {
                ErrorKind::NoRows => "empty",
                _ => "failure",
            },
            exit_code: Some(error.kind().exit_code()),
            error: Some(Failure::of(error)),
        }
    }

    /// Returns the fields of an export that has neither succeeded nor failed.
    const fn without_result(status: &'static str) -> Self {
        Self {
            status,
            exit_code: None,
            error: None,
        }
    }
}

impl ExportSummary {
    fn new(
        name: Option<String>,
        target: Option<&Target>,
        status: &Status,
        result_fields: ResultFields,
    ) -> Self {
        let StatusDetails {
            columns,
            server_version,
            protocol,
            time_zone,
            warnings,
            attempts,
            stored_bytes,
            ..
        } = status.details();
        Self {
            name,
            outcome: result_fields,
            rows: status.rows(),
            bytes: status.bytes(),
            stored_bytes,
            columns: ColumnDescription::of_all(&columns),
            target: target.map(target_name),
            started: time(status),
            elapsed_seconds: status.elapsed().as_secs_f64(),
            attempts,
            server_version,
            protocol,
            time_zone,
            warnings,
            exports: None,
        }
    }
}

/// Returns when the work started, in UTC as RFC 3339 with milliseconds.
fn time(status: &Status) -> Option<String> {
    let started = status.started()?;
    Some(format!("{started:.3}"))
}

impl Summary {
    /// Creates the summary of a run that has ended with `result`.
    fn new(exports: &[ExportStatus], status: &Status, result: &Result<()>) -> Self {
        let result_fields = ResultFields::of_run(result);
        match exports {
            [] => {
                let run = ExportSummary::new(None, None, status, result_fields);
                return Self::One(ExportSummary {
                    exports: Some([]),
                    ..run
                });
            }
            [export] if export.name.is_none() => {
                let target = Some(&export.target);
                return Self::One(ExportSummary::new(None, target, status, result_fields));
            }
            _ => {}
        }
        let (rows, bytes) = totals(exports);
        let one = |export: &ExportStatus| {
            let result_fields = ResultFields::of_export(export.status.outcome().as_ref());
            let (name, target) = (export.name.clone(), Some(&export.target));
            ExportSummary::new(name, target, &export.status, result_fields)
        };
        // A failure other than an empty result makes the whole run a failure.
        let is_empty = |export: &ExportStatus| match export.status.outcome() {
            Some(Outcome::Failure(error)) => error.kind() == ErrorKind::NoRows,
            _ => true,
        };
        let result_fields = match exports.iter().all(is_empty) {
            true => result_fields,
            false => ResultFields {
                status: "failure",
                ..result_fields
            },
        };
        Self::Several(RunSummary {
            outcome: result_fields,
            rows,
            bytes,
            started: time(status),
            elapsed_seconds: status.elapsed().as_secs_f64(),
            warnings: status.details().warnings,
            exports: exports.iter().map(one).collect(),
        })
    }
}

/// Checks that the summary of `plan` can be written to `target`, as far as can be known
/// before the run: its folder is there, or may be created with that of an output.
///
/// # Errors
/// [`ErrorKind::Output`].
pub fn check(target: &Target, plan: &RunPlan) -> Result<()> {
    let creates_folders = |export: &ExportPlan| export.create_dirs == CreateDirs::Create;
    match target.path() {
        Some(path) if !sink::folder(path).is_dir() && !plan.exports.iter().any(creates_folders) => {
            let message = format!(
                "cannot write the summary to {}: its folder is missing",
                path.display()
            );
            Err(Error::new(ErrorKind::Output, message).with_hint("create the folder first"))
        }
        _ => Ok(()),
    }
}

/// Writes the summary of a run that has ended with `result` to `target`, or to
/// standard error if `target` has no path. `exports` is empty if the run failed
/// before its exports were known.
///
/// # Errors
/// [`ErrorKind::Output`], if the summary cannot be written.
pub fn write(
    target: &Target,
    exports: &[ExportStatus],
    status: &Status,
    result: &Result<()>,
) -> Result<()> {
    let summary = Summary::new(exports, status, result);
    let failed = |error: serde_json::Error| {
        let message = format!("cannot make the summary: {error}");
        Error::new(ErrorKind::Output, message).with_source(error)
    };
    let Some(path) = target.path() else {
        let text = serde_json::to_string(&summary).map_err(failed)?;
        report::line(&redact_json(&text));
        return Ok(());
    };
    let mut text = serde_json::to_string_pretty(&summary).map_err(failed)?;
    text.push('\n');
    let text = redact_json(&text);
    if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) {
        sink::check_origin(path)?;
        return write_to_fifo(path, &text);
    }
    sink::write_or_overwrite(path, text.as_bytes())
}

/// Writes to a FIFO without waiting for a reader, because that wait could not be
/// interrupted.
fn write_to_fifo(path: &Path, text: &str) -> Result<()> {
    let opened = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path);
    opened
        .and_then(|mut fifo| fifo.write_all(text.as_bytes()))
        .map_err(|error| {
            let message = format!("cannot write the summary to {}: {error}", path.display());
            Error::new(ErrorKind::Output, message)
                .with_hint("nobody reads from that FIFO, or not fast enough")
                .with_source(error)
        })
}
