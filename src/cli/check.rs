//! Renders the report of a check: as text here, as JSON, and as tables.

use unicode_width::UnicodeWidthStr;

use crate::{
    artifacts::manifest::ManifestColumn,
    jobs::{
        check::{CheckReport, CheckedExport, CheckedSnapshot, ExportFacts},
        plan::{ExportPlan, RunPlan},
    },
    source::{Access, ConnectOptions, SessionFacts, snapshot, tls_options::Verification},
    text::{escape, printable},
};

mod json;
mod tables;

pub use json::to_json;
pub use tables::{check_targets, to_tables};

/// What is printed of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStyle {
    /// Text for people.
    Text,
    /// A JSON document.
    Json,
    /// The statements that create tables.
    Tables,
}

/// Returns the text of `report`, the check of `plan`, for standard output.
#[must_use]
pub fn to_text(plan: &RunPlan, report: &CheckReport) -> String {
    let mut texts = Vec::new();
    match report.snapshot {
        CheckedSnapshot::None => {}
        CheckedSnapshot::ByLock => {
            texts.push("snapshot  by a lock, which a check does not take\n".to_owned());
        }
        CheckedSnapshot::Shared(count) => {
            let connections = snapshot::connections(count);
            texts.push(format!("snapshot  one for {connections}\n"));
        }
    }
    let exports = plan.exports.iter().zip(&report.exports);
    let exports = exports.map(|(export, checked)| export_text(plan, export, checked));
    texts.extend(exports);
    texts.join("\n")
}

/// Returns the name of an export, and its facts or the reason why it would fail.
fn export_text(plan: &RunPlan, export: &ExportPlan, checked: &CheckedExport) -> String {
    let text = match &checked.result {
        Ok(facts) => facts_text(plan, export, facts),
        Err(error) => format!("fails  {error}\n"),
    };
    match &checked.name {
        Some(name) => format!("{name}\n{text}"),
        None => text,
    }
}

/// Returns the facts as aligned lines, followed by the table of columns.
fn facts_text(plan: &RunPlan, export: &ExportPlan, facts: &ExportFacts) -> String {
    let (connect, session) = (&plan.connect, &facts.session);
    let access = match (plan.session.access, session.is_read_only) {
        (Access::ReadOnly, Some(true)) => "read-only",
        (Access::ReadOnly, Some(false)) => "read-write, as an init statement says",
        (Access::ReadOnly, None) => "asked to be read-only",
        (Access::ReadWrite, _) => "read-only for the check, read-write for the run",
    };
    let or_untold = |fact: &str| match fact {
        "" => "the server does not tell".to_owned(),
        fact => fact.to_owned(),
    };
    let time_zone = match &*session.time_zone {
        "" => "not told",
        zone => zone,
    };
    let database = connect.database.as_deref().unwrap_or("none");
    let format = export.format.name();
    let mut lines = vec![
        ("server", or_untold(&session.version)),
        ("login", format!("{} at {}", connect.user, connect.endpoint)),
        ("encryption", encryption(connect, session)),
        ("database", database.to_owned()),
        ("session", format!("{access}, time zone {time_zone}")),
        ("time-outs", timeouts(session)),
        ("target", format!("{} as {format}", export.target)),
    ];
    let result_set = match &facts.result_set {
        Err(reason) => {
            lines.push(("columns", reason.clone()));
            None
        }
        Ok(result_set) => {
            lines.push(("protocol", result_set.protocol.to_owned()));
            Some(result_set)
        }
    };
    let lines = lines.into_iter();
    let lines: Vec<Vec<String>> = lines
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect();
    let mut text = aligned(&lines);
    let Some(result_set) = result_set else {
        return text;
    };
    text.push('\n');
    text += &columns_text(&result_set.columns);
    if let Some(statement) = &result_set.load_statement {
        let lines = statement.lines().map(|line| escape(line) + "\n");
        text.push('\n');
        text.extend(lines);
    }
    text
}

/// Returns the table of columns, with a header.
fn columns_text(columns: &[ManifestColumn]) -> String {
    let header = ["column", "server type", "written as"].map(str::to_owned);
    let mut table = vec![header.to_vec()];
    table.extend(columns.iter().map(|column| {
        vec![
            column.name.clone(),
            column.r#type.clone(),
            column.written_as.clone().unwrap_or_default(),
        ]
    }));
    aligned(&table)
}

/// Returns the TLS version, and how the server was verified.
fn encryption(connect: &ConnectOptions, facts: &SessionFacts) -> String {
    let Some(tls) = &connect.tls else {
        return "none".to_owned();
    };
    let version = facts.tls_version.as_deref().unwrap_or("TLS");
    match &tls.verification {
        Verification::None => format!("{version}, the server is not verified"),
        Verification::Authority(authorities) => {
            format!("{version}, the server is vouched for by {authorities}")
        }
        Verification::Identity(authorities) => {
            format!("{version}, the server and its name are vouched for by {authorities}")
        }
    }
}

/// Returns the timeouts of the session: in seconds, or in days if there are two or
/// more.
fn timeouts(facts: &SessionFacts) -> String {
    let limit = match facts.statement_limit {
        None => "no limit on statements".to_owned(),
        Some(seconds) => format!("statements are ended after {seconds} s"),
    };
    let time = |seconds: &str| match seconds.parse::<u64>() {
        Ok(seconds) if seconds >= 2 * DAY => format!("{} days", seconds / DAY),
        _ => format!("{seconds} s"),
    };
    format!(
        "{limit}; a reader may be slow for {}, and a client idle for {}",
        time(&facts.net_write_timeout),
        time(&facts.wait_timeout)
    )
}

/// The number of seconds in a day.
const DAY: u64 = 86_400;

/// Returns the rows as lines, with their cells padded to the width of their columns
/// on a terminal.
fn aligned(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    let rows = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect());
    let rows: Vec<Vec<String>> = rows.collect();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += cell;
            line += &" ".repeat(width + 2 - cell.width());
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}
