//! The status of a run and of each of its exports: counts and details, shared by
//! the threads that run, watch and report the work.
//!
//! The counts are atomic rather than under the lock, so that they can be read while
//! the run is stuck.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::span::EnteredSpan;

use crate::{
    artifacts::history::KeptMark,
    error::Error,
    pipeline::Counters,
    schema::Column,
    sink::{Restart, Target, Unsent},
    sync::lock,
};

/// The number of bytes in a spool from which on its target is behind: a few are always on
/// their way.
const BEHIND: u64 = 1 << 20;

/// The status of one export.
#[derive(Clone)]
pub struct ExportStatus {
    /// The name in the configuration file; `None` for a single query.
    pub name: Option<String>,
    /// The destination of the rows.
    pub target: Target,
    /// The counts, details and result.
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

/// Returns the numbers of rows and bytes of all `exports`, so far.
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
    /// When the work started, by the wall clock and by the monotonic clock.
    started: OnceLock<(Timestamp, Instant)>,
    counters: Counters,
    unsent: Unsent,
    /// The statuses of the chunks that are read side by side.
    parts: Mutex<Vec<Status>>,
    details: Mutex<StatusDetails>,
}

/// Details that become known in the course of the work.
#[derive(Clone, Debug, Default)]
pub struct StatusDetails {
    /// The columns of the result.
    pub columns: Vec<Column>,
    /// The server's version, as the server reports it.
    pub server_version: Option<String>,
    /// The wire protocol of the rows.
    pub protocol: Option<&'static str>,
    /// The session's time zone.
    pub time_zone: Option<String>,
    /// The statement that loads the output, if there is one.
    pub load_statement: Option<String>,
    /// The statement that creates the table of the rows, if it goes to a file.
    pub create_statement: Option<String>,
    /// The size of the compressed output in bytes; `None` if it is not compressed, or
    /// not complete.
    pub stored_bytes: Option<u64>,
    /// The last row of an increment, for the state file.
    pub mark: Option<KeptMark>,
    /// The warnings that were reported.
    pub warnings: Vec<String>,
    /// The number of attempts that have begun.
    pub attempts: u32,
    /// Whether the output allows a retry; `None` until it is open.
    pub restart: Option<Restart>,
    /// How long the work took; `None` unless its output waited for the commit of
    /// all exports.
    pub worked: Option<Duration>,
    /// The result, and the time from the start to it; `None` until there is one.
    pub end: Option<(Outcome, Duration)>,
}

/// The result of a run or of one export.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Everything is published.
    Success,
    /// Nothing is published, because nothing is new. That is a success.
    NothingNew,
    /// Nothing is published, for this reason.
    Failure(Error),
    /// Nothing is published, because another export failed.
    NotPublished,
}

impl Outcome {
    /// Whether nothing has failed.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Success | Self::NothingNew)
    }
}

impl Default for Status {
    /// Creates the status of work that starts now.
    fn default() -> Self {
        let status = Self::waiting();
        status.start();
        status
    }
}

impl Status {
    /// Creates the status of work that has not started.
    #[must_use]
    pub fn waiting() -> Self {
        Self(Arc::new(Shared {
            started: OnceLock::new(),
            counters: Counters::default(),
            unsent: Unsent::default(),
            parts: Mutex::default(),
            details: Mutex::default(),
        }))
    }

    /// Records that the work starts now, unless it has started before.
    pub(super) fn start(&self) {
        self.0
            .started
            .get_or_init(|| (Timestamp::now(), Instant::now()));
    }

    /// Records that the output is complete and waits for the commit of all exports.
    pub(super) fn await_commit(&self) {
        let elapsed = self.elapsed();
        self.lock().worked = Some(elapsed);
    }

    /// Records the result.
    pub(super) fn end(&self, outcome: Outcome) {
        let elapsed = self.elapsed();
        self.lock().end = Some((outcome, elapsed));
    }

    /// Returns the result; `None` until there is one.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let details = self.lock();
        details.end.as_ref().map(|(outcome, _)| outcome.clone())
    }

    /// Returns whether the work has started and is not done.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let details = self.lock();
        self.started().is_some() && details.worked.is_none() && details.end.is_none()
    }

    /// Returns whether the work is done, with any result.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let details = self.lock();
        details.worked.is_some() || details.end.is_some()
    }

    /// Resets the counts and the details for another attempt, but keeps the
    /// warnings.
    pub(super) fn begin_attempt(&self) {
        self.0.counters.reset();
        let mut details = self.lock();
        *details = StatusDetails {
            attempts: details.attempts + 1,
            warnings: mem::take(&mut details.warnings),
            ..StatusDetails::default()
        };
    }

    /// Returns the counters of rows and bytes.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Counts the rows and bytes of `part` as those of this work too.
    pub(super) fn add_part(&self, part: &Self) {
        lock(&self.0.parts).push(part.clone());
    }

    /// Makes `bytes` the number of bytes, of which those of the parts are less.
    pub(super) fn adopt_bytes(&self, bytes: u64) {
        let counted = self.bytes() - self.0.counters.bytes();
        self.0.counters.set_bytes(bytes.saturating_sub(counted));
    }

    /// Returns the sum of the parts' `counts`.
    fn of_parts(&self, count: impl Fn(&Self) -> u64) -> u64 {
        lock(&self.0.parts).iter().map(count).sum()
    }

    /// Returns the number of rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.0.counters.rows() + self.of_parts(Self::rows)
    }

    /// Returns the number of bytes so far, including the header.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.counters.bytes() + self.of_parts(Self::bytes)
    }

    /// Returns the counter of the bytes that the target has not taken.
    pub(super) fn unsent(&self) -> &Unsent {
        &self.0.unsent
    }

    /// Returns the number of bytes that wait in the spool, if the target is behind.
    #[must_use]
    pub fn unsent_bytes(&self) -> Option<u64> {
        Some(self.all_unsent()).filter(|unsent| *unsent > BEHIND)
    }

    fn all_unsent(&self) -> u64 {
        self.0.unsent.bytes() + self.of_parts(Self::all_unsent)
    }

    /// Returns when the work started; `None` if it has not.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.0.started.get().map(|(started, _)| *started)
    }

    /// Returns when the work started, in UTC, as RFC 3339; `None` if it has not.
    pub(super) fn started_text(&self) -> Option<String> {
        self.started().map(|started| format!("{started:.3}"))
    }

    /// Returns when the work started, by the monotonic clock; now, if it has not.
    pub(super) fn clock(&self) -> Instant {
        self.0
            .started
            .get()
            .map_or_else(Instant::now, |(_, clock)| *clock)
    }

    /// Returns how long the work took, or has taken so far. The wait for the commit
    /// of all exports is not counted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let so_far = self.0.started.get().map(|(_, clock)| clock.elapsed());
        let details = self.lock();
        let ended = details.end.as_ref().map(|(_, elapsed)| *elapsed);
        details.worked.or(ended).or(so_far).unwrap_or_default()
    }

    /// Returns the average number of rows per second, so far.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        self.rows() as f64 / self.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Returns a copy of the details.
    #[must_use]
    pub fn details(&self) -> StatusDetails {
        self.lock().clone()
    }

    /// Applies `change` to the details.
    pub(super) fn update(&self, change: impl FnOnce(&mut StatusDetails)) {
        change(&mut self.lock());
    }

    /// Keeps a warning for the summary.
    pub fn add_warning(&self, warning: String) {
        self.lock().warnings.push(warning);
    }

    /// Keeps a warning for the summary, unless it is there. Returns whether it was not.
    pub(super) fn add_new_warning(&self, warning: String) -> bool {
        let mut details = self.lock();
        let is_new = !details.warnings.contains(&warning);
        if is_new {
            details.warnings.push(warning);
        }
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, StatusDetails> {
        lock(&self.0.details)
    }
}
