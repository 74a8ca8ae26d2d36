//! The export itself: rows pulled from the source, encoded by the format,
//! handed to the sink, and published when the statement has really ended.

use std::time::Duration;

use crate::{
    cancel::{Cancel, Publication},
    config::{Access, Config, EmptyResult, Target, Verbosity},
    error::{Error, ErrorKind, Outlook, Result},
    format::ValueError,
    guard,
    journal::Journal,
    output::Output,
    schema::Schema,
    sink::{self, Restart},
    source::QueryExecutor,
};

/// How long the first pause between two attempts is; each is twice the one
/// before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Runs one export, again where the connection was lost and that is wanted; what
/// it comes to stands in `journal`.
///
/// # Errors
/// Of every kind; the target is then as it was, if it is a regular file.
pub fn export(config: &Config, journal: &Journal, cancel: &Cancel) -> Result<()> {
    let mut pause = FIRST_PAUSE;
    let mut left = config.retries;
    loop {
        journal.begin_attempt();
        let result = cancel.explain(try_export(config, journal, cancel));
        cancel.settle();
        match result {
            Err(error) if left > 0 && error.outlook() == Outlook::Passing => {
                if let Some(reason) = unrepeatable(&error, config, journal) {
                    return Err(error.hint(format!("it is not tried again: {reason}")));
                }
                let what = format!(
                    "attempt {} of {} failed: {}; the next one begins in {} s",
                    journal.facts().attempts,
                    config.retries + 1,
                    aftermath(error, &config.target, journal, cancel).message(),
                    pause.as_secs()
                );
                journal.warn(what);
                cancel.wait(pause)?;
                pause = LONGEST_PAUSE.min(2 * pause);
                left -= 1;
            }
            result => return result,
        }
    }
}

/// Why an export that failed cannot be run again, though its failure may pass.
fn unrepeatable(error: &Error, config: &Config, journal: &Journal) -> Option<&'static str> {
    if journal.facts().restart == Some(Restart::Impossible) && journal.rows() > 0 {
        return Some("what went there cannot be taken back");
    }
    // Before there is a session, nothing has been run.
    if config.session.access == Access::ReadWrite && error.kind() != ErrorKind::Connect {
        return Some("with --read-write it may have written, and would do so twice");
    }
    None
}

/// `error`, and behind it what had come of the rows and what became of `target`,
/// where that is not plain.
#[must_use]
pub fn aftermath(error: Error, target: &Target, journal: &Journal, cancel: &Cancel) -> Error {
    let facts = journal.facts();
    let is_open = match error.kind() {
        ErrorKind::Signal(_) => true,
        ErrorKind::Query | ErrorKind::Output | ErrorKind::Guard => {
            facts.protocol.is_some() || error.outlook() == Outlook::Passing
        }
        _ => false,
    };
    if !is_open || cancel.publication() == Publication::Done {
        return error;
    }
    let rows = journal.rows();
    let had_come = match rows {
        0 => "no row had come".to_owned(),
        1 => "1 row had come".to_owned(),
        rows => format!("{rows} rows had come"),
    };
    let left = match facts.restart {
        Some(Restart::Possible) => format!(", and {target} was not touched"),
        Some(Restart::Impossible) if rows > 0 => ", and what was written is incomplete".to_owned(),
        _ => String::new(),
    };
    error.and(&format!("{had_come}{left}"))
}

fn try_export(config: &Config, journal: &Journal, cancel: &Cancel) -> Result<()> {
    let mut executor = QueryExecutor::connect(config, cancel)?;
    let connection = &config.connection;
    tracing::info!(
        "connected to {} as {}",
        connection.endpoint,
        connection.user
    );
    if let Some(warning) = executor.warning() {
        journal.warn(warning);
    }
    if config.summary.is_some() || config.verbosity >= Verbosity::Verbose {
        let facts = executor.facts()?;
        tracing::info!("the server is {}", facts.version);
        if connection.tls.is_some() {
            let version = facts.tls_version.as_deref().unwrap_or("TLS");
            tracing::info!("the connection is encrypted by {version}");
        }
        journal.note(|known| {
            known.server_version = Some(facts.version);
            known.time_zone = Some(facts.time_zone);
        });
    }
    // Before the query runs for hours, and after the only step that cannot be
    // ended from outside, so that no temporary file is left behind.
    let sink = sink::open(&config.target, config.partial, cancel)?;
    let restart = sink.restart();
    journal.note(|known| known.restart = Some(restart));
    let mut stream = executor.run()?;
    let (schema, protocol) = (stream.schema().clone(), stream.protocol());
    let columns = schema
        .columns
        .iter()
        .map(|column| (column.name.clone(), column.server_type.clone()));
    journal.note(|known| {
        known.columns = columns.collect();
        known.protocol = Some(protocol);
    });
    guard::check_columns(&config.guards, &schema)?;
    let mut writer = (config.format.open)(&schema, &config.format_options)?;
    if let Some(note) = stream.note() {
        tracing::info!("{note}");
    }

    let mut output = Output::new(sink, config.flush, cancel);
    let mut rows = 0;
    while let Some(row) = stream.next_row()? {
        rows += 1;
        journal.count_row();
        guard::check_more(&config.guards, rows)?;
        if rows == 1 {
            tracing::debug!(
                "the first row came after {:.3} s",
                journal.elapsed().as_secs_f64()
            );
        }
        let bytes = output.append(|out| {
            if rows == 1 {
                writer.begin(out);
            }
            let written = writer.row(row, out);
            written.map_err(|refused| value_error(&refused, rows, &schema))
        })?;
        journal.set_bytes(bytes);
    }
    stream.finish()?;
    tracing::info!("the server counted {} warnings", executor.warnings());
    if let Some(warning) = executor.shortened()? {
        journal.warn(warning);
    }
    if let Some(zone) = journal.facts().time_zone {
        tracing::info!(
            "the rows came over the {protocol} protocol, TIMESTAMPs in the time zone {zone}"
        );
    }
    executor.close_statement();
    if rows == 0 && config.empty_result == EmptyResult::Refuse {
        let what = format!("no rows; {} left as it was", config.target);
        return Err(Error::new(ErrorKind::NoRows, what));
    }
    guard::check_all(&config.guards, rows)?;
    let bytes = output.append(|out| {
        if rows == 0 {
            writer.begin(out);
        }
        writer.finish(out);
        Ok(())
    })?;
    journal.set_bytes(bytes);
    // Nothing is published where the run is to end.
    if let Some(cause) = cancel.cause() {
        return Err(cause);
    }
    output.commit()?;
    writer
        .warnings()
        .into_iter()
        .for_each(|warning| journal.warn(warning));
    Ok(())
}

fn value_error(refused: &ValueError, row: u64, schema: &Schema) -> Error {
    let column = &schema.columns[refused.column].name;
    Error::new(
        ErrorKind::Query,
        format!(
            "row {row}, column {column:?}: the value {}",
            refused.problem
        ),
    )
    .hint(refused.hint)
}
