//! How the exports of one run go together: side by side, in one snapshot, and
//! what becomes of the others where one fails.

use std::{num::NonZeroU16, path::PathBuf};

use super::{
    layers::{Layers, Sourced},
    selection::{meant, own_query},
};
use crate::{
    error::{Error, Result},
    jobs::plan::{ExportPlan, OnError, Publish},
    sink::Target,
    source::{Access, SessionOptions, SnapshotMode},
};

/// How the exports of a run go together.
pub(super) struct RunSettings {
    pub on_error: OnError,
    pub publish: Publish,
    /// The most exports that run at the same time.
    pub connections: NonZeroU16,
    pub snapshot: SnapshotMode,
    /// The file that keeps the result of each export.
    pub state: Option<PathBuf>,
}

/// The settings of `[run]`. Where a query stands by itself, the file's are not meant
/// for it.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a snapshot in a
/// session that may write.
pub(super) fn run(layers: &Layers, session: &SessionOptions) -> Result<RunSettings> {
    let stands_alone = own_query(layers).is_some();
    let get = |name| meant(layers, name, stands_alone);
    let is_on = |name| get(name).is_some_and(Sourced::is_on);
    let snapshot = match (is_on("run.snapshot"), is_on("run.lock")) {
        (false, false) => SnapshotMode::None,
        (true, false) => SnapshotMode::Compared,
        (true, true) => SnapshotMode::Locked,
        (false, true) => {
            let what = "locks for a snapshot, and there is none";
            return Err(refuse(layers, "run.lock", what)
                .with_hint("turn the snapshot on too: --snapshot, or [run] snapshot = true"));
        }
    };
    if snapshot != SnapshotMode::None && session.access == Access::ReadWrite {
        let what = "is read-only, and cannot stand beside --read-write";
        return Err(refuse(layers, "run.snapshot", what).with_hint("leave one of them out"));
    }
    let publish = layers.choice("run.publish")?.unwrap_or_default();
    Ok(RunSettings {
        on_error: layers.choice("run.on_error")?.unwrap_or_default(),
        publish: get("run.publish").map_or(Publish::Each, |_| publish),
        connections: layers.parsed("run.connections")?.unwrap_or(NonZeroU16::MIN),
        snapshot,
        state: get("run.state").and_then(|found| found.text().map(PathBuf::from)),
    })
}

/// What goes to standard output cannot wait until all is complete.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the setting.
pub(super) fn refuse_late_streams(
    layers: &Layers,
    run: &RunSettings,
    exports: &[ExportPlan],
) -> Result<()> {
    let is_stream = |export: &ExportPlan| export.target == Target::Stdout;
    if run.publish == Publish::AllOrNothing && exports.iter().any(is_stream) {
        let what = "needs files, and some rows go to standard output";
        return Err(refuse(layers, "run.publish", what)
            .with_hint("give each export a path, or leave all-or-nothing out"));
    }
    Ok(())
}

/// The error for the setting called `name`, wherever it was given.
pub(super) fn refuse(layers: &Layers, name: &str, what: &str) -> Error {
    match layers.get(name) {
        Some(found) => found.origin.refuse(name, what),
        None => Error::config(format!("{name} {what}")),
    }
}
