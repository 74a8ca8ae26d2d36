//! What a run did, as JSON for whoever watches it: `--summary`.
//!
//! The fields are documented in `docs/summary.md`.

use serde::Serialize;

use crate::{
    cancel::Cancel,
    config::Target,
    error::{Error, ErrorKind, Result, redacted},
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
            message: redacted(error.message()),
            hint: error.advice().map(redacted),
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
        report::line(&serde_json::to_string(&summary).map_err(failed)?);
        return Ok(());
    }
    let mut text = serde_json::to_string_pretty(&summary).map_err(failed)?;
    text.push('\n');
    let mut sink = sink::open(place, &Cancel::default())?;
    sink.write(text.as_bytes())?;
    sink.commit()
}
