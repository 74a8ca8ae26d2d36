//! What a run reports while it runs, and when it has ended.

use super::status::{ExportStatus, Status, totals};
use crate::error::{Error, Result};

/// Something that happens in a run.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An export starts.
    Started {
        /// The export.
        export: &'a ExportStatus,
    },
    /// Something that the user should know, and that does not end the run.
    Warning {
        /// The export that it is about; `None` for the run as a whole.
        export: Option<&'a ExportStatus>,
        /// The text, one sentence without its end.
        text: &'a str,
    },
    /// An export has succeeded, and its output is published.
    Succeeded {
        /// The export.
        export: &'a ExportStatus,
    },
    /// An export has failed, and its target is as it was.
    Failed {
        /// The export.
        export: &'a ExportStatus,
        /// Why.
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
    /// Receives `event`. It must not block: the run waits for it.
    fn event(&self, event: &Event<'_>);
}

/// Ignores all events.
impl Observer for () {
    fn event(&self, _event: &Event<'_>) {}
}

/// The result of a run.
pub struct RunReport {
    /// Its exports, in their order.
    pub exports: Vec<ExportStatus>,
    /// The status of the run as a whole; of a single query, that of its export.
    pub status: Status,
    /// The error of an export that is alone; otherwise one that names all that
    /// failed, of the kind of the first.
    pub result: Result<()>,
}

impl RunReport {
    /// The number of rows of all exports.
    #[must_use]
    pub fn rows(&self) -> u64 {
        totals(&self.exports).0
    }

    /// The number of bytes of all exports.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        totals(&self.exports).1
    }
}
