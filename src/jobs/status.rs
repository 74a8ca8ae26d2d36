//! The status of a run, and of each export of it: counts and details, shared by
//! the threads that do the work, watch it, and report it.
//!
//! The counts are read while the run is stuck, so that no lock guards them.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::span::EnteredSpan;

use crate::{
    error::Error,
    pipeline::Counters,
    schema::ColumnDescription,
    sink::{Restart, Target},
};

/// The status of one export.
#[derive(Clone)]
pub struct ExportStatus {
    /// The name in the configuration file; `None` for a single query.
    pub name: Option<String>,
    /// Where the rows go.
    pub target: Target,
    /// Its counts, details and result.
    pub status: Status,
}

impl ExportStatus {
    /// Enters a span that names this export in every event until the guard is
    /// dropped.
    pub(super) fn enter(&self) -> Option<EnteredSpan> {
        let name = self.name.as_deref()?;
        Some(tracing::error_span!("export", export = name).entered())
    }
}

/// The rows and bytes of all `exports`, so far.
#[must_use]
pub fn totals(exports: &[ExportStatus]) -> (u64, u64) {
    let counts = exports
        .iter()
        .map(|export| (export.status.rows(), export.status.bytes()));
    counts.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

/// A shared handle on the status of a run, or of one export of it.
#[derive(Clone)]
pub struct Status(Arc<Shared>);

struct Shared {
    started: OnceLock<(Timestamp, Instant)>,
    counters: Counters,
    details: Mutex<StatusDetails>,
}

/// What becomes known in the course of a run.
#[derive(Clone, Debug, Default)]
pub struct StatusDetails {
    /// The columns' names and server types.
    pub columns: Vec<ColumnDescription>,
    /// The server's version, as the server reports it.
    pub server_version: Option<String>,
    /// The wire protocol of the rows.
    pub protocol: Option<&'static str>,
    /// The session's time zone.
    pub time_zone: Option<String>,
    /// The warnings that were reported.
    pub warnings: Vec<String>,
    /// The number of attempts that have begun.
    pub attempts: u32,
    /// Whether the output allows another attempt, once it is open.
    pub restart: Option<Restart>,
    /// How long the work took, where the output waits for the commit of all.
    pub worked: Option<Duration>,
    /// The result, and how long it took.
    pub end: Option<(Outcome, Duration)>,
}

/// The result of a run or of one export.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Everything is published.
    Success,
    /// Nothing is published, for this reason.
    Failure(Error),
    /// Nothing is published, because another export failed.
    NotPublished,
}

impl Default for Status {
    /// Creates the status of what starts now.
    fn default() -> Self {
        let status = Self::waiting();
        status.start();
        status
    }
}

impl Status {
    /// Creates the status of what has not started.
    #[must_use]
    pub fn waiting() -> Self {
        Self(Arc::new(Shared {
            started: OnceLock::new(),
            counters: Counters::default(),
            details: Mutex::default(),
        }))
    }

    /// Records that it starts now, unless it has started before.
    pub(super) fn start(&self) {
        self.0
            .started
            .get_or_init(|| (Timestamp::now(), Instant::now()));
    }

    /// Records that its output is complete and waits for the commit of all
    /// exports.
    pub(super) fn await_commit(&self) {
        let elapsed = self.elapsed();
        self.lock().worked = Some(elapsed);
    }

    /// Records its result.
    pub(super) fn end(&self, outcome: Outcome) {
        let elapsed = self.elapsed();
        self.lock().end = Some((outcome, elapsed));
    }

    /// Its result, once it has one.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let details = self.lock();
        details.end.as_ref().map(|(outcome, _)| outcome.clone())
    }

    /// Whether it is at work.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let details = self.lock();
        self.started().is_some() && details.worked.is_none() && details.end.is_none()
    }

    /// Whether its work is done, whatever the result.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let details = self.lock();
        details.worked.is_some() || details.end.is_some()
    }

    /// Resets the counts and details for another attempt; warnings stay.
    pub(super) fn begin_attempt(&self) {
        self.0.counters.reset();
        let mut details = self.lock();
        *details = StatusDetails {
            attempts: details.attempts + 1,
            warnings: mem::take(&mut details.warnings),
            ..StatusDetails::default()
        };
    }

    /// Its counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The number of rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.0.counters.rows()
    }

    /// The number of bytes so far, header included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.counters.bytes()
    }

    /// When it started, if it has.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.0.started.get().map(|(started, _)| *started)
    }

    /// When it started by the monotonic clock; now, if it has not.
    pub(super) fn clock(&self) -> Instant {
        self.0
            .started
            .get()
            .map_or_else(Instant::now, |(_, clock)| *clock)
    }

    /// How long it took, or has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let so_far = self.0.started.get().map(|(_, clock)| clock.elapsed());
        let details = self.lock();
        let ended = details.end.as_ref().map(|(_, elapsed)| *elapsed);
        details.worked.or(ended).or(so_far).unwrap_or_default()
    }

    /// Rows per second, so far.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        self.rows() as f64 / self.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// A copy of the details.
    #[must_use]
    pub fn details(&self) -> StatusDetails {
        self.lock().clone()
    }

    /// Changes the details.
    pub(super) fn update(&self, change: impl FnOnce(&mut StatusDetails)) {
        change(&mut self.lock());
    }

    /// Keeps a warning for the summary.
    pub fn add_warning(&self, warning: String) {
        self.lock().warnings.push(warning);
    }

    fn lock(&self) -> MutexGuard<'_, StatusDetails> {
        // Each change is complete when a panic elsewhere is seen.
        self.0
            .details
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
