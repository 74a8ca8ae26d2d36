//! Runs one export: its attempts, each from a session to a complete output, and the
//! context of a failure. The module `publish` makes the output visible.

use std::{
    fs::File,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{
    event::{Event, Observer},
    increment,
    plan::{EmptyResult, ExportPlan, RunPlan},
    retry::retry,
    session::{Backend, Session, SessionRef},
    status::{ExportStatus, Status},
};
use crate::{
    artifacts::{checkpoint::Origin, history::LastSuccess},
    cancel::{CancelToken, CommitState},
    error::{Error, ErrorKind, Result},
    pipeline::{Part, RowObserver, Throttle, copy_rows},
    schema::Column,
    sink::{Restart, Spool, Target},
    source::{Access, BinlogPosition, LoadLimits, RowSource, SnapshotGap, SnapshotMode},
    text::{counted, size},
};

mod outputs;

use self::outputs::{Observers, open_outputs, pipeline};
pub(super) use self::outputs::{check_target, facts, open_plain_sink, tell_of_parts};

/// An export that is about to run, and everything it needs.
#[derive(Clone, Copy)]
pub(super) struct ExportContext<'a> {
    /// The plan of the run.
    pub plan: &'a RunPlan,
    /// The plan of this export.
    pub export: &'a ExportPlan,
    /// The status of this export.
    pub status: &'a ExportStatus,
    /// Receives the events.
    pub observer: &'a dyn Observer,
    /// Cancels the export.
    pub cancel: &'a CancelToken,
    /// Opens the session, unless the export shares one, and the sink.
    pub backend: &'a dyn Backend,
    /// The last success of the export, if one is known.
    pub last: Option<&'a LastSuccess>,
    /// The position of the run's snapshot, if it is known.
    pub position: Option<&'a BinlogPosition>,
    /// The most retries.
    pub retries: u32,
    /// Where the rows go.
    pub output: Output<'a>,
    /// Holds the rows up, if there is a limit.
    pub throttle: Option<&'a Throttle>,
    /// Keeps the bytes that the target has not taken, if the run has one.
    pub spool: Option<&'a Arc<Spool>>,
    /// The moment that the session's clock shows; `None` if it goes on.
    pub moment: Option<&'a str>,
    /// Where the rows of each part come from; empty, if all come from this run.
    pub origins: &'a [Origin],
}

/// Where the rows of an export go.
#[derive(Clone, Copy)]
pub(super) enum Output<'a> {
    /// To its target, or to its parts one after the other.
    Target,
    /// To the part with this number: they are a chunk.
    Part(u32),
    /// To a file without a name, which is left in the mutex: they are a chunk that is joined
    /// to others.
    Unnamed(&'a Mutex<Option<File>>),
    /// To the file at this path, which is kept: they are the chunk with this number, counted
    /// from 1.
    Kept(&'a Path, u32),
}

impl ExportContext<'_> {
    /// Returns where the rows of the part with the index `number` come from.
    pub(super) fn origin(&self, number: usize) -> Origin {
        let own = || Origin {
            snapshot: self.position.cloned(),
            started: self.status.status.started_text(),
        };
        self.origins.get(number).cloned().unwrap_or_else(own)
    }

    /// Reports a warning about the export.
    pub(super) fn warn(&self, text: String) {
        warn(self.observer, Some(self.status), &self.status.status, text);
    }
}

/// Reports a warning and keeps it in `status`.
pub(super) fn warn(
    observer: &dyn Observer,
    export: Option<&ExportStatus>,
    status: &Status,
    text: String,
) {
    let event = Event::Warning {
        export,
        text: &text,
    };
    observer.event(&event);
    status.add_warning(text);
}

/// Reads the rows of one export, or of several that share a statement, up to their complete
/// outputs, over `session` if it shares one. Retries after a transient failure. `cancel` is
/// the token of the statement; those of the outputs are its children, or the same.
///
/// # Errors
/// Of every kind. Targets that are regular files are then unchanged. An output whose failure
/// ends nothing else has its error in its place.
pub(super) fn export(
    contexts: &[ExportContext<'_>],
    cancel: &CancelToken,
    mut session: Option<SessionRef<'_>>,
) -> Result<Vec<Result<Vec<Part>>>> {
    let Some(&context) = contexts.first() else {
        return Ok(Vec::new());
    };
    let status = &context.status.status;
    let is_shared = session.is_some();
    let result = retry(
        context.retries,
        cancel,
        || {
            let statuses = contexts.iter().map(|context| &context.status.status);
            statuses.for_each(Status::begin_attempt);
            let session = session.as_deref_mut();
            let result = cancel.prefer_cause(try_export(contexts, cancel, session));
            cancel.wait_for_abort();
            let outputs = contexts.iter().zip(result?);
            let outputs = outputs.map(|(context, parts)| context.cancel.prefer_cause(parts));
            Ok(outputs.collect())
        },
        |error| {
            let reasons = contexts.iter();
            match reasons
                .filter_map(|one| why_not_retryable(&error, *one))
                .next()
            {
                Some(reason) => Err(error.with_hint(format!("it is not tried again: {reason}"))),
                None => Ok(with_export_context(
                    error,
                    &context.export.target,
                    status,
                    cancel,
                )),
            }
        },
        |text| context.warn(text),
    );
    let is_unexplained = |error: &Error| error.is_transient() && is_shared && context.retries == 0;
    result.map_err(|error| match is_unexplained(&error) {
        true => error.with_hint("run all again: its connection held the snapshot"),
        false => error,
    })
}

/// Returns why an export cannot be retried after the transient failure `error`;
/// `None` if it can be.
fn why_not_retryable(error: &Error, context: ExportContext<'_>) -> Option<&'static str> {
    let (plan, status) = (context.plan, &context.status.status);
    if plan.snapshot != SnapshotMode::None {
        return Some("its connection held the snapshot");
    }
    if status.details().restart == Some(Restart::Forbidden) && status.rows() > 0 {
        return Some("what went there cannot be taken back");
    }
    // Without a session, no statement has run.
    if plan.session.access == Access::ReadWrite && error.kind() != ErrorKind::Connect {
        return Some("with --read-write it may have written, and would do so twice");
    }
    None
}

/// Appends to `error` how many rows had arrived and the state of `target`,
/// unless the message already says so.
pub(super) fn with_export_context(
    error: Error,
    target: &Target,
    status: &Status,
    cancel: &CancelToken,
) -> Error {
    let details = status.details();
    let is_open = match error.kind() {
        ErrorKind::Signal(_) => true,
        ErrorKind::Query | ErrorKind::Output | ErrorKind::Guard => {
            details.protocol.is_some() || error.is_transient()
        }
        _ => false,
    };
    if !is_open || cancel.commit_state() == CommitState::Committed {
        return error;
    }
    let rows = status.rows();
    let arrived = match rows {
        0 => "no row had come".to_owned(),
        rows => format!("{} had come", counted(rows, "row")),
    };
    let left = match details.restart {
        Some(Restart::Allowed) => format!(", and {target} was not touched"),
        Some(Restart::Forbidden) if rows > 0 => ", and what was written is incomplete".to_owned(),
        _ => String::new(),
    };
    error.with_context(&format!("{arrived}{left}"))
}

/// Makes one attempt, over the session `shared` or over one of its own. The first of
/// `contexts` is the export whose statement is read.
fn try_export(
    contexts: &[ExportContext<'_>],
    cancel: &CancelToken,
    shared: Option<SessionRef<'_>>,
) -> Result<Vec<Result<Vec<Part>>>> {
    let context = contexts[0];
    let export = context.export;
    let mut own = None;
    let (session, is_shared) = match shared {
        Some(session) => {
            session.attach(cancel)?;
            session.reset()?;
            (session, true)
        }
        None => (&mut **own.insert(context.backend.connect(cancel)?), false),
    };
    let gaps = make_ready(contexts, cancel, session, is_shared)?;
    // Opened before the query, which may run for hours, and after the connection.
    // Connecting is the only step that cannot be cancelled from another thread, so no
    // temporary file must exist yet.
    let sinks = open_outputs(contexts)?;
    // Without an output, no query runs.
    if sinks.iter().all(|(sink, _)| sink.is_err()) {
        let errors = sinks.into_iter().filter_map(|(sink, _)| sink.err());
        return Ok(errors.map(Err).collect());
    }
    let source = session.run()?;
    gaps.into_iter().for_each(|gap| warn_of_gap(context, gap));
    let (protocol, started) = (source.protocol(), context.status.status.clock());
    record_source(contexts, &*source);
    let mut observers: Vec<Observers<'_>> =
        contexts.iter().map(|one| Observers::of(*one)).collect();
    let outputs = contexts.iter().zip(&mut observers).zip(sinks);
    let pipelines = outputs.map(|((context, observers), (sink, extent))| {
        (pipeline(*context, observers, extent), sink)
    });
    let mut throttle = context.throttle.map(|throttle| throttle.observer(cancel));
    let throttle = throttle.as_mut();
    let mut of_all: Vec<&mut dyn RowObserver> = throttle
        .map(|throttle| throttle as &mut dyn RowObserver)
        .into_iter()
        .collect();
    let copied = copy_rows(source, pipelines.collect(), &mut of_all, started)?;
    if !copied.has_failed() {
        after_rows(contexts, session, protocol, is_shared)?;
        refuse_empty(export, copied.rows())?;
    }
    // The output may need longer than the server.
    drop(own);
    let outputs = copied.finish();
    tell_of_unsent(context, is_shared);
    let outputs = contexts.iter().zip(observers).zip(outputs);
    let outputs = outputs.map(|((context, observers), parts)| {
        let parts = parts?;
        let _span = context.status.enter();
        observers.tell(*context, &parts);
        Ok(parts)
    });
    Ok(outputs.collect())
}

/// Sets `session` up for the statement of `contexts`, and binds it. Returns what it reads
/// besides the snapshot.
fn make_ready(
    contexts: &[ExportContext<'_>],
    cancel: &CancelToken,
    session: &mut dyn Session,
    is_shared: bool,
) -> Result<Vec<SnapshotGap>> {
    let context = contexts[0];
    if let Some(moment) = context.moment
        && !session.stop_clock(moment)?
    {
        context.warn(CLOCK_GOES_ON.to_owned());
    }
    wait_for_server(context, session)?;
    read_create_statement(contexts, session)?;
    prepare_session(contexts, session)?;
    let gaps = match is_shared {
        true => session.snapshot_gaps()?,
        false => Vec::new(),
    };
    // What is cancelled is told as something that cannot be known.
    if let Some(cause) = cancel.cause() {
        return Err(cause);
    }
    refuse_altered(&gaps)?;
    Ok(gaps)
}

/// Keeps the statement that creates the table, for the outputs that have a file for it.
fn read_create_statement(contexts: &[ExportContext<'_>], session: &mut dyn Session) -> Result<()> {
    for context in contexts {
        if let Some(file) = &context.export.schema_file {
            let statement = session.create_statement(&file.table)?;
            let status = &context.status.status;
            status.update(|details| details.create_statement = Some(statement));
        }
    }
    Ok(())
}

/// Tells that the session is free while the spool has bytes that are not sent.
fn tell_of_unsent(context: ExportContext<'_>, is_shared: bool) {
    let status = &context.status.status;
    if let Some(unsent) = status.unsent_bytes() {
        let what = match is_shared {
            true => "all rows have come",
            false => "the server is free",
        };
        let (seconds, left) = (status.elapsed().as_secs_f64(), size(unsent));
        tracing::info!("{what} after {seconds:.1} s; {left} left to send");
    }
}

const CLOCK_GOES_ON: &str =
    "the server lets nobody set a session's clock: NOW() is another moment in each chunk";

/// How long the server's load is not asked for while it is above a limit.
const LOAD_PAUSE: Duration = Duration::from_secs(1);

/// Waits until the load of the server is below the limits of the run.
fn wait_for_server(context: ExportContext<'_>, session: &mut dyn Session) -> Result<()> {
    let limits = context.plan.load_limits;
    if limits == LoadLimits::default() {
        return Ok(());
    }
    let (started, mut is_told) = (Instant::now(), false);
    while let Some(reason) = session.overload(limits)? {
        if !is_told {
            tracing::info!("waiting: {reason}");
            is_told = true;
        }
        context.cancel.wait(LOAD_PAUSE)?;
    }
    if is_told {
        let waited = started.elapsed().as_secs_f64();
        tracing::info!("going on after {waited:.0} s");
    }
    Ok(())
}

/// Refuses a result without rows, if `export` says so.
pub(super) fn refuse_empty(export: &ExportPlan, rows: u64) -> Result<()> {
    match export.empty_result {
        EmptyResult::Skip if rows == 0 => Err(increment::nothing_new(export)),
        EmptyResult::Refuse if rows == 0 => {
            let message = format!("no rows; {} left as it was", export.target);
            Err(Error::new(ErrorKind::NoRows, message))
        }
        _ => Ok(()),
    }
}

/// Records the columns and the protocol of `source`.
fn record_source(contexts: &[ExportContext<'_>], source: &dyn RowSource) {
    for context in contexts {
        context.status.status.update(|details| {
            details.columns.clone_from(&source.schema().columns);
            details.protocol = Some(source.protocol());
        });
    }
}

/// Binds the query. Also reads the server's version and the session's time zone, if
/// a report, a manifest or the document needs them.
fn prepare_session(contexts: &[ExportContext<'_>], session: &mut dyn Session) -> Result<()> {
    let (context, plan) = (contexts[0], contexts[0].plan);
    increment::bind(context, session)?;
    let warnings = session.new_warnings();
    warnings
        .into_iter()
        .for_each(|warning| context.warn(warning));
    let keeps_facts = |context: &ExportContext<'_>| {
        let (export, is_kept) = (context.export, matches!(context.output, Output::Kept(..)));
        export.manifest.is_some() || export.format.keeps_facts() || is_kept
    };
    if !plan.reads_server_facts && !contexts.iter().any(keeps_facts) {
        return Ok(());
    }
    let facts = session.facts()?;
    let [version, time_zone] =
        [facts.version, facts.time_zone].map(|fact| (!fact.is_empty()).then_some(fact));
    let told = version
        .as_deref()
        .unwrap_or("one that does not tell its version");
    tracing::info!("the server is {told}");
    if plan.connect.tls.is_some() {
        let version = facts.tls_version.as_deref().unwrap_or("TLS");
        tracing::info!("the connection is encrypted by {version}");
    }
    for context in contexts {
        context.status.status.update(|details| {
            details.server_version.clone_from(&version);
            details.time_zone.clone_from(&time_zone);
        });
    }
    Ok(())
}

/// Checks that no table of the query was altered after the snapshot began.
fn refuse_altered(gaps: &[SnapshotGap]) -> Result<()> {
    let altered = gaps.iter().find_map(|gap| match gap {
        SnapshotGap::Altered(tables) => Some(tables),
        _ => None,
    });
    let Some(tables) = altered else {
        return Ok(());
    };
    let (noun, verb) = match tables.len() {
        1 => ("table", "was"),
        _ => ("tables", "were"),
    };
    let what = format!(
        "the {noun} {} {verb} altered after the snapshot began, which does not hold its former state",
        tables.join(", ")
    );
    Err(Error::new(ErrorKind::Query, what)
        .with_hint("run the export again, in a snapshot that begins later"))
}

/// Warns about what the query reads besides the snapshot.
fn warn_of_gap(context: ExportContext<'_>, gap: SnapshotGap) {
    context.warn(match gap {
        // The export has failed.
        SnapshotGap::Altered(_) => return,
        SnapshotGap::NotTransactional(tables) => format!(
            "these tables are not transactional, and not part of the snapshot: {}",
            tables.join(", ")
        ),
        SnapshotGap::LockingRead => "the query locks rows (LOCK IN SHARE MODE, FOR SHARE, FOR \
             UPDATE), and reads the newest ones, not those of the snapshot"
            .to_owned(),
        SnapshotGap::FullText => "the query searches in a full-text index (MATCH), which is not \
             part of the snapshot: rows that were changed after it began may be missing"
            .to_owned(),
        SnapshotGap::Unknown(reason) => format!(
            "whether all that the query reads is part of the snapshot is not known: {reason}"
        ),
    });
}

/// Reads the server's warnings and closes the statement. Also checks that a shared
/// session still has its snapshot.
fn after_rows(
    contexts: &[ExportContext<'_>],
    session: &mut dyn Session,
    protocol: &str,
    is_shared: bool,
) -> Result<()> {
    let context = contexts[0];
    let count = counted(session.warning_count().into(), "warning");
    tracing::info!("the server counted {count}");
    let warnings = session.result_warnings()?;
    warnings
        .into_iter()
        .for_each(|warning| context.warn(warning));
    session.check_text()?;
    if let Some(warning) = session.check_time_zone()? {
        for context in contexts {
            let status = &context.status.status;
            status.update(|details| details.time_zone = None);
        }
        context.warn(warning);
    }
    let details = context.status.status.details();
    if let Some(zone) = details.time_zone {
        tracing::info!(
            "the rows came over the {protocol} protocol, TIMESTAMPs in the time zone {zone}"
        );
    }
    let has_timestamps = details.columns.iter().any(Column::is_timestamp);
    if has_timestamps
        && contexts.iter().any(|context| shows_clocks(context.export))
        && let Some(zone) = session.zone_with_summer_time()?
    {
        context.warn(format!(
            "TIMESTAMPs are as clocks show them in the time zone {zone}, where an hour comes \
             twice a year; --time-zone +00:00 makes them moments"
        ));
    }
    session.close_statement();
    match is_shared {
        true => session.check_snapshot(),
        false => Ok(()),
    }
}

/// Whether nothing else tells that TIMESTAMPs of the session's zone are no moments: columnar
/// files have moments or refuse the zone, and statements warn of it.
fn shows_clocks(export: &ExportPlan) -> bool {
    let others = ["sql", "parquet", "arrow", "arrow-stream"];
    export.load.is_none() && !others.contains(&export.format.name())
}
