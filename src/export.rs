//! The export itself: rows pulled from the source, encoded by the format,
//! handed to the sink, and published when the statement has really ended.

use crate::{
    cancel::Cancel,
    config::{Config, EmptyResult, Verbosity},
    error::{Error, ErrorKind, Result},
    format::ValueError,
    journal::Journal,
    output::Output,
    schema::Schema,
    sink,
    source::QueryExecutor,
};

/// Runs one export; what it comes to stands in `journal`.
///
/// # Errors
/// Of every kind; the target is then as it was, if it is a regular file.
pub fn export(config: &Config, journal: &Journal, cancel: &Cancel) -> Result<()> {
    let result = cancel.explain(try_export(config, journal, cancel));
    cancel.settle();
    result
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
    let sink = sink::open(&config.target, cancel)?;
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
    let mut writer = (config.format.open)(&schema, &config.format_options)?;
    if let Some(note) = stream.note() {
        tracing::info!("{note}");
    }

    let mut output = Output::new(sink, config.flush, cancel);
    let mut rows = 0;
    while let Some(row) = stream.next_row()? {
        rows += 1;
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
        journal.count_row(bytes);
    }
    stream.finish()?;
    tracing::info!("the server counted {} warnings", executor.warnings());
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
