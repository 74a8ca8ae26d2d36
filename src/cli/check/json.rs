//! Renders the report of `--check` as JSON.
//!
//! `docs/manifest.md` documents the fields.

use serde::Serialize;

use super::super::summary::{Failure, target_name};
use crate::{
    artifacts::manifest::{ManifestColumn, query_sha256},
    error::{Error, ErrorKind, Result},
    format::{Codec, Dialect, Header},
    jobs::{
        check::{CheckReport, CheckedExport, ExportFacts},
        plan::{ExportPlan, RunPlan},
    },
    text::redact_json,
};

/// The document.
#[derive(Serialize)]
#[serde(untagged)]
enum Document<'a> {
    One(Box<Export<'a>>),
    Several { exports: Vec<Listed<'a>> },
}

/// An export of a configuration file.
#[derive(Serialize)]
#[serde(untagged)]
enum Listed<'a> {
    Sound(Box<Export<'a>>),
    Failing {
        export: Option<&'a str>,
        error: Failure,
    },
}

/// What an export would write.
#[derive(Serialize)]
struct Export<'a> {
    export: Option<&'a str>,
    target: String,
    format: &'static str,
    compression: Option<Codec>,
    header: bool,
    dialect: Dialect,
    time_zone: Option<&'a str>,
    protocol: Option<&'static str>,
    columns: Option<&'a [ManifestColumn]>,
    columns_unknown: Option<&'a str>,
    load_statement: Option<&'a str>,
    query_sha256: String,
    server: String,
    server_version: Option<&'a str>,
    database: Option<&'a str>,
}

/// Returns the JSON document of `report`, the check of `plan`.
///
/// # Errors
/// [`ErrorKind::Output`], if it cannot be made.
pub fn to_json(plan: &RunPlan, report: &CheckReport) -> Result<String> {
    let exports = plan.exports.iter().zip(&report.exports);
    let mut exports: Vec<Listed<'_>> = exports
        .map(|(export, checked)| listed(plan, export, checked))
        .collect();
    let document = match (&plan.exports[..], exports.pop()) {
        ([only], Some(Listed::Sound(export))) if only.name.is_none() => Document::One(export),
        (_, last) => {
            exports.extend(last);
            Document::Several { exports }
        }
    };
    let text = serde_json::to_string_pretty(&document).map_err(|error| {
        let message = format!("cannot make the report: {error}");
        Error::new(ErrorKind::Output, message).with_source(error)
    })?;
    Ok(redact_json(&format!("{text}\n")))
}

fn listed<'a>(plan: &'a RunPlan, export: &'a ExportPlan, checked: &'a CheckedExport) -> Listed<'a> {
    match &checked.result {
        Ok(facts) => Listed::Sound(Box::new(sound(plan, export, facts))),
        Err(error) => Listed::Failing {
            export: export.name.as_deref(),
            error: Failure::of(error),
        },
    }
}

fn sound<'a>(plan: &'a RunPlan, export: &'a ExportPlan, facts: &'a ExportFacts) -> Export<'a> {
    let told = |fact: &'a str| (!fact.is_empty()).then_some(fact);
    let (session, result_set) = (&facts.session, facts.result_set.as_ref());
    let known = result_set.ok();
    Export {
        export: export.name.as_deref(),
        target: target_name(&export.target),
        format: export.format.name(),
        compression: export.compression.map(|options| options.compression.codec),
        header: export.format.header() == Header::Names,
        dialect: export.format.dialect(),
        time_zone: told(&session.time_zone),
        protocol: known.map(|known| known.protocol),
        columns: known.map(|known| &*known.columns),
        columns_unknown: result_set.err().map(String::as_str),
        load_statement: known.and_then(|known| known.load_statement.as_deref()),
        query_sha256: query_sha256(&export.query),
        server: plan.connect.endpoint.to_string(),
        server_version: told(&session.version),
        database: plan.connect.database.as_deref(),
    }
}
