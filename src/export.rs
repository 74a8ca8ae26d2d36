//! The export itself: rows pulled from the source, encoded by the format,
//! handed to the sink, and published when the statement has really ended.

use std::time::{Duration, Instant};

use crate::{
    cancel::Cancel,
    config::{Config, EmptyResult, Verbosity},
    error::{Error, ErrorKind, Result},
    format::ValueError,
    output::Output,
    report,
    schema::Schema,
    sink,
    source::QueryExecutor,
};

/// What a successful export did.
#[derive(Debug)]
pub struct Summary {
    /// Rows written.
    pub rows: u64,
    /// Bytes written, header included.
    pub bytes: u64,
    /// From before connecting to after publishing.
    pub elapsed: Duration,
    /// What the user should know about the output.
    pub warnings: Vec<String>,
}

/// Runs one export.
///
/// # Errors
/// Of every kind; the target is then as it was, if it is a regular file.
pub fn export(config: &Config, cancel: &Cancel) -> Result<Summary> {
    let result = cancel.explain(try_export(config, cancel));
    cancel.settle();
    result
}

fn try_export(config: &Config, cancel: &Cancel) -> Result<Summary> {
    let started = Instant::now();
    let mut executor = QueryExecutor::connect(config, cancel)?;
    // Before the query runs for hours, and after the only step that cannot be
    // ended from outside, so that no temporary file is left behind.
    let sink = sink::open(&config.target, cancel)?;
    let mut warnings: Vec<String> = executor.warning().into_iter().collect();
    let mut stream = executor.run()?;
    let mut writer = (config.format.open)(stream.schema(), &config.format_options)?;
    let schema = stream.schema().clone();
    if let (Some(note), true) = (stream.note(), config.verbosity >= Verbosity::Verbose) {
        report::note(note);
    }

    let mut output = Output::new(sink, config.flush, cancel);
    let mut rows = 0;
    while let Some(row) = stream.next_row()? {
        rows += 1;
        output.append(|out| {
            if rows == 1 {
                writer.begin(out);
            }
            let written = writer.row(row, out);
            written.map_err(|refused| value_error(&refused, rows, &schema))
        })?;
    }
    stream.finish()?;
    if config.verbosity >= Verbosity::Verbose {
        // What is only told is not worth a failure.
        executor
            .notes()
            .unwrap_or_default()
            .iter()
            .for_each(|note| report::note(note));
    }
    executor.close_statement();
    if rows == 0 && config.empty_result == EmptyResult::Refuse {
        let what = format!("no rows; {} left as it was", config.target);
        return Err(Error::new(ErrorKind::NoRows, what));
    }
    output.append(|out| {
        if rows == 0 {
            writer.begin(out);
        }
        writer.finish(out);
        Ok(())
    })?;
    // Nothing is published where the run is to end.
    if let Some(cause) = cancel.cause() {
        return Err(cause);
    }
    let bytes = output.commit()?;
    warnings.extend(writer.warnings());
    Ok(Summary {
        rows,
        bytes,
        elapsed: started.elapsed(),
        warnings,
    })
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
