//! What is known of a run, or of one export of it, as it goes: counts and facts,
//! shared by the threads that do the work, watch it, and report it.
//!
//! The counts are read while the run is stuck, so that no lock guards them.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{error::Error, schema::ColumnDescription, sink::Restart};

/// A handle on the journal of a run, or of one export of it.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    begun: OnceLock<(Timestamp, Instant)>,
    rows: AtomicU64,
    bytes: AtomicU64,
    facts: Mutex<Facts>,
}

/// What becomes known in the course of a run.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The columns' names and server types.
    pub columns: Vec<ColumnDescription>,
    /// What the server says of its version.
    pub server_version: Option<String>,
    /// The wire protocol of the rows.
    pub protocol: Option<&'static str>,
    /// The session's time zone.
    pub time_zone: Option<String>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// Whether the summary's place is that of another output, and stays as it is.
    pub has_no_summary: bool,
    /// How often the export has begun.
    pub attempts: u32,
    /// Whether it can begin anew, once the output is open.
    pub restart: Option<Restart>,
    /// How long its work took, where only its publication is left.
    pub worked: Option<Duration>,
    /// What it came to, and when.
    pub end: Option<(Outcome, Duration)>,
}

/// What a run, or one export of it, came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All is published.
    Success,
    /// Nothing is, for this reason.
    Failure(Error),
    /// Nothing is, for another export's failure.
    Withheld,
}

impl Default for Journal {
    /// Of what begins now.
    fn default() -> Self {
        let journal = Self::waiting();
        journal.begin();
        journal
    }
}

impl Journal {
    /// Of what has not begun.
    #[must_use]
    pub fn waiting() -> Self {
        Self(Arc::new(Shared {
            begun: OnceLock::new(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            facts: Mutex::default(),
        }))
    }

    /// It begins now, if it has not before.
    pub fn begin(&self) {
        self.0
            .begun
            .get_or_init(|| (Timestamp::now(), Instant::now()));
    }

    /// Its work is done, and waits for that of others.
    pub fn wait_for_others(&self) {
        let elapsed = self.elapsed();
        self.lock().worked = Some(elapsed);
    }

    /// It has come to this.
    pub fn end(&self, outcome: Outcome) {
        let elapsed = self.elapsed();
        self.lock().end = Some((outcome, elapsed));
    }

    /// What it has come to, if it has.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let facts = self.lock();
        facts.end.as_ref().map(|(outcome, _)| outcome.clone())
    }

    /// Whether it is at work.
    #[must_use]
    pub fn is_running(&self) -> bool {
        let facts = self.lock();
        self.started().is_some() && facts.worked.is_none() && facts.end.is_none()
    }

    /// Whether its work is done, whatever came of it.
    #[must_use]
    pub fn has_worked(&self) -> bool {
        let facts = self.lock();
        facts.worked.is_some() || facts.end.is_some()
    }

    /// Begins anew: what was known of an earlier attempt is not true any more.
    pub fn begin_attempt(&self) {
        self.0.rows.store(0, Relaxed);
        self.0.bytes.store(0, Relaxed);
        let mut facts = self.lock();
        *facts = Facts {
            attempts: facts.attempts + 1,
            warnings: mem::take(&mut facts.warnings),
            ..Facts::default()
        };
    }

    /// Counts one more row that has come.
    #[inline]
    pub fn count_row(&self) {
        // One thread counts: no read-modify-write is needed.
        self.0.rows.store(self.rows() + 1, Relaxed);
    }

    /// Sets the bytes that have been encoded in all.
    #[inline]
    pub fn set_bytes(&self, bytes: u64) {
        self.0.bytes.store(bytes, Relaxed);
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.0.rows.load(Relaxed)
    }

    /// Bytes so far, header included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    /// When it began, if it has.
    #[must_use]
    pub fn started(&self) -> Option<Timestamp> {
        self.0.begun.get().map(|(started, _)| *started)
    }

    /// How long it has taken, or has so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let so_far = self.0.begun.get().map(|(_, clock)| clock.elapsed());
        let facts = self.lock();
        let ended = facts.end.as_ref().map(|(_, elapsed)| *elapsed);
        facts.worked.or(ended).or(so_far).unwrap_or_default()
    }

    /// Rows a second, so far.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        self.rows() as f64 / self.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// A copy of the facts.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// Adds to the facts.
    pub fn note(&self, add: impl FnOnce(&mut Facts)) {
        add(&mut self.lock());
    }

    /// Tells the user something that does not end the run.
    pub fn warn(&self, warning: String) {
        tracing::warn!("{warning}");
        self.lock().warnings.push(warning);
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        // Each change is whole when a panic elsewhere is seen.
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
