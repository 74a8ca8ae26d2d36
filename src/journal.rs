//! What is known of a run as it goes: counts and facts, shared by the threads
//! that do the work, watch it, and report it.
//!
//! The counts are read while the run is stuck, so that no lock guards them.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::sink::Restart;

/// A handle on one run's journal.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    started: Timestamp,
    clock: Instant,
    rows: AtomicU64,
    bytes: AtomicU64,
    facts: Mutex<Facts>,
}

/// What becomes known in the course of a run.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The columns' names and server types.
    pub columns: Vec<(String, String)>,
    /// What the server says of its version.
    pub server_version: Option<String>,
    /// The wire protocol of the rows.
    pub protocol: Option<&'static str>,
    /// The session's time zone.
    pub time_zone: Option<String>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// How often the export has begun.
    pub attempts: u32,
    /// Whether it can begin anew, once the output is open.
    pub restart: Option<Restart>,
}

impl Default for Journal {
    /// Of a run that begins now.
    fn default() -> Self {
        Self(Arc::new(Shared {
            started: Timestamp::now(),
            clock: Instant::now(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            facts: Mutex::default(),
        }))
    }
}

impl Journal {
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

    /// When the run began.
    #[must_use]
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// How long it has taken so far.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.clock.elapsed()
    }

    /// Rows a second, so far.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        self.rows() as f64 / self.elapsed().as_secs_f64()
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
