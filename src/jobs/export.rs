//! The export itself: rows pulled from the source, encoded by the format, and
//! handed to the sink, whose output is complete when the statement has really
//! ended. When it is published is left to `run`.

use std::time::Duration;

use crate::{
    artifacts::history::Success,
    artifacts::manifest,
    cancel::{Cancel, Publication},
    config::{Access, Config, EmptyResult, Export, Publish, Snapshot, Target, Verbosity},
    error::{Error, ErrorKind, Result, Retry},
    format::ValueError,
    jobs::guard,
    jobs::status::Journal,
    pipeline::output::Output,
    schema::{ColumnDescription, Schema},
    sink::{self, Finished, Hashing, Restart},
    source::{Purpose, QueryExecutor, Tables},
};

/// How long the first pause between two attempts is; each is twice the one
/// before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// An export that is to run, and who watches over it.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// What holds for all exports.
    pub config: &'a Config,
    /// This one.
    pub export: &'a Export,
    /// What is known of it.
    pub journal: &'a Journal,
    /// What ends it early.
    pub cancel: &'a Cancel,
    /// What is known of its last success.
    pub last: Option<&'a Success>,
    /// How often it may begin anew.
    pub retries: u32,
}

/// Runs one export up to its complete output, again where the connection was lost
/// and that is wanted; over `session`, where there is one for several exports.
///
/// # Errors
/// Of every kind; the target is then as it was, if it is a regular file.
pub fn export(job: Job<'_>, mut session: Option<&mut QueryExecutor>) -> Result<Finished> {
    let Job {
        export,
        journal,
        cancel,
        ..
    } = job;
    let mut pauses = Pauses::new(job.retries);
    let is_shared = session.is_some();
    loop {
        journal.begin_attempt();
        let result = cancel.explain(try_export(job, session.as_deref_mut()));
        cancel.settle();
        match result {
            Err(error) if pauses.are_left() && error.retry() == Retry::Later => {
                if let Some(reason) = unrepeatable(&error, job) {
                    return Err(error.with_hint(format!("it is not tried again: {reason}")));
                }
                let error = aftermath(error, &export.target, journal, cancel);
                pauses.wait(&error, journal, cancel)?;
            }
            Err(error) if error.retry() == Retry::Later && is_shared => {
                return Err(error.with_hint("run all again: its connection held the snapshot"));
            }
            result => return result,
        }
    }
}

/// The pauses between attempts.
pub struct Pauses {
    attempts: u32,
    left: u32,
    next: Duration,
}

impl Pauses {
    /// Before so many further attempts.
    #[must_use]
    pub const fn new(retries: u32) -> Self {
        Self {
            attempts: retries + 1,
            left: retries,
            next: FIRST_PAUSE,
        }
    }

    /// Whether there is a further attempt.
    #[must_use]
    pub const fn are_left(&self) -> bool {
        self.left > 0
    }

    /// Tells of the attempt that failed with `error`, and waits for the next one.
    ///
    /// # Errors
    /// The cause, where the run is ended meanwhile.
    pub fn wait(&mut self, error: &Error, journal: &Journal, cancel: &Cancel) -> Result<()> {
        let what = format!(
            "attempt {} of {} failed: {}; the next one begins in {} s",
            self.attempts - self.left,
            self.attempts,
            error.message(),
            self.next.as_secs()
        );
        journal.warn(what);
        cancel.wait(self.next)?;
        self.next = LONGEST_PAUSE.min(2 * self.next);
        self.left -= 1;
        Ok(())
    }
}

/// Why an export that failed cannot be run again, though its failure may pass.
fn unrepeatable(error: &Error, job: Job<'_>) -> Option<&'static str> {
    let (config, journal) = (job.config, job.journal);
    if config.run.snapshot != Snapshot::None {
        return Some("its connection held the snapshot");
    }
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
            facts.protocol.is_some() || error.retry() == Retry::Later
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
    error.with_context(&format!("{had_come}{left}"))
}

fn try_export(job: Job<'_>, session: Option<&mut QueryExecutor>) -> Result<Finished> {
    let Job {
        config,
        export,
        journal,
        cancel,
        last,
        ..
    } = job;
    let mut own;
    let is_shared = session.is_some();
    let executor = if let Some(session) = session {
        session.work_for(cancel)?;
        session.set_up_again(config)?;
        session
    } else {
        own = QueryExecutor::connect(config, Purpose::Single, cancel)?;
        let connection = &config.connection;
        tracing::info!(
            "connected to {} as {}",
            connection.endpoint,
            connection.user
        );
        &mut own
    };
    executor.bind(export)?;
    if let Some(warning) = executor.warning() {
        journal.warn(warning);
    }
    let reporting = &config.reporting;
    if reporting.summary.is_some()
        || reporting.verbosity >= Verbosity::Verbose
        || export.manifest.is_some()
    {
        let facts = executor.facts()?;
        tracing::info!("the server is {}", facts.version);
        if config.connection.tls.is_some() {
            let version = facts.tls_version.as_deref().unwrap_or("TLS");
            tracing::info!("the connection is encrypted by {version}");
        }
        journal.note(|known| {
            known.server_version = Some(facts.version);
            known.time_zone = Some(facts.time_zone);
        });
    }
    let tables = if is_shared {
        executor.tables()?
    } else {
        Tables::Transactional
    };
    // Before the query runs for hours, and after the only step that cannot be
    // ended from outside, so that no temporary file is left behind.
    check_target(config, export)?;
    let hashing = match export.manifest {
        Some(_) => Hashing::Sha256,
        None => Hashing::None,
    };
    let sink = sink::open(&export.target, export.partial, hashing, cancel)?;
    let restart = sink.restart();
    journal.note(|known| known.restart = Some(restart));
    let mut stream = executor.run()?;
    match tables {
        Tables::Transactional => {}
        Tables::NotTransactional(tables) => journal.warn(format!(
            "these tables are not transactional, and not part of the snapshot: {}",
            tables.join(", ")
        )),
        Tables::Unknown(reason) => journal.warn(format!(
            "whether all that the query reads is part of the snapshot is not known: {reason}"
        )),
    }
    let (schema, protocol) = (stream.schema().clone(), stream.protocol());
    let columns = schema.columns.iter().map(ColumnDescription::from);
    journal.note(|known| {
        known.columns = columns.collect();
        known.protocol = Some(protocol);
    });
    guard::check_columns(&export.guards, &schema, last)?;
    let mut writer = (export.format.open)(&schema, &export.format_options)?;
    if let Some(note) = stream.note() {
        tracing::info!("{note}");
    }

    let mut output = Output::new(sink, export.flush, cancel);
    let mut rows = 0;
    while let Some(row) = stream.next_row()? {
        rows += 1;
        journal.count_row();
        guard::check_more(&export.guards, rows)?;
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
    if is_shared {
        executor.has_snapshot()?;
    }
    if rows == 0 && export.empty_result == EmptyResult::Refuse {
        let what = format!("no rows; {} left as it was", export.target);
        return Err(Error::new(ErrorKind::NoRows, what));
    }
    guard::check_all(&export.guards, rows, last)?;
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
    let finished = output.finish()?;
    writer
        .warnings()
        .into_iter()
        .for_each(|warning| journal.warn(warning));
    Ok(finished)
}

/// Checks that the target is what the export needs, before it is opened: a FIFO
/// waits for its reader.
///
/// # Errors
/// [`ErrorKind::Output`].
pub fn check_target(config: &Config, export: &Export) -> Result<()> {
    let path = match &export.target {
        Target::Path(path, _) if !sink::is_stream(path) => path,
        target if export.manifest.is_some() => return Err(manifest::no_file(target)),
        target if config.run.publish == Publish::AllOrNothing && export.name.is_some() => {
            let what = format!("what goes to {target} cannot wait for the other exports");
            return Err(Error::new(ErrorKind::Output, what)
                .with_hint("name a regular file, or leave publish = \"all-or-nothing\" out"));
        }
        _ => return Ok(()),
    };
    match export.manifest {
        Some(_) => sink::check_place(&manifest::path(path)),
        None => Ok(()),
    }
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
    .with_hint(refused.hint)
}
