//! The events that a run sends while it runs, and the report at its end.

use super::status::{ExportStatus, Status, totals};
use crate::error::{Error, Result};

/// An event of a run.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An export starts.
    Started {
        /// The export.
        export: &'a ExportStatus,
    },
    /// A problem that does not end the run.
    Warning {
        /// The export that it is about; `None` for the run as a whole.
        export: Option<&'a ExportStatus>,
        /// The text: one sentence without its full stop.
        text: &'a str,
    },
    /// An export has succeeded, and its output is published.
    Succeeded {
        /// The export.
        export: &'a ExportStatus,
    },
    /// An export has failed. A target that is a regular file is unchanged.
    Failed {
        /// The export.
        export: &'a ExportStatus,
        /// The error.
        error: &'a Error,
    },
}

/// Receives the events of a run, on the threads on which they happen.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
/// use gold_digger::jobs::{Event, Observer};
///
/// /// Counts the warnings of a run.
/// #[derive(Default)]
/// struct Warnings(AtomicU64);
///
/// impl Observer for Warnings {
///     fn event(&self, event: &Event<'_>) {
///         if let Event::Warning { .. } = event {
///             self.0.fetch_add(1, Relaxed);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync {
    /// Receives `event`. It must not block, because the run waits for it.
    fn event(&self, event: &Event<'_>);
}

/// Ignores all events.
impl Observer for () {
    fn event(&self, _event: &Event<'_>) {}
}

/// The result of a run.
pub struct RunReport {
    /// The exports, in the order of the plan.
    pub exports: Vec<ExportStatus>,
    /// The status of the run as a whole. A single query shares it with its export.
    pub status: Status,
    /// The error of a single query. With several exports, an error that names all
    /// that failed; its kind is that of the first one, or that of the signal that
    /// ended the run.
    pub result: Result<()>,
}

impl RunReport {
    /// Returns the number of rows of all exports.
    #[must_use]
    pub fn rows(&self) -> u64 {
        totals(&self.exports).0
    }

    /// Returns the number of bytes of all exports.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        totals(&self.exports).1
    }
}
