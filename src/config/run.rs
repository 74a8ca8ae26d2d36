//! Resolves the settings of a whole run: parallel exports, the snapshot, and what a
//! failed export means for the others.

use std::{num::NonZeroU16, path::PathBuf};

use super::{
    layers::Layers,
    selection::{command_line_query, if_applicable},
    settings::{Key, keys},
};
use crate::{
    error::{Error, Result},
    jobs::plan::{ExportPlan, OnError, Publish},
    sink::{SpoolOptions, Target},
    source::{Access, SessionOptions, SnapshotMode},
};

/// The settings of a whole run.
pub(super) struct RunSettings {
    pub on_error: OnError,
    pub publish: Publish,
    /// The most exports that run at the same time.
    pub connections: NonZeroU16,
    pub snapshot: SnapshotMode,
    /// Whether there is a lock for a snapshot, which only chunks of a table have then.
    pub is_lock_alone: bool,
    /// The file that keeps the result of each export.
    pub state: Option<PathBuf>,
}

/// The error of a lock for a snapshot that there is not.
pub(super) fn lock_alone(layers: &Layers) -> Error {
    let what = "locks for a snapshot, and there is none";
    let refused = layers.refuse(keys::LOCK, what);
    refused.with_hint("turn the snapshot on too: --snapshot, or [run] snapshot = true")
}

impl RunSettings {
    /// Turns the snapshot on, by a lock if there is one.
    pub(super) fn begin_snapshot(&mut self) {
        self.snapshot = match std::mem::take(&mut self.is_lock_alone) {
            true => SnapshotMode::Locked,
            false => SnapshotMode::Compared,
        };
    }
}

/// Returns the settings of `[run]`. Those of the configuration file do not apply to
/// a query of the command line.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a snapshot in a
/// session that may write.
pub(super) fn run(layers: &Layers, session: &SessionOptions) -> Result<RunSettings> {
    let is_typed = command_line_query(layers).is_some();
    let is_on =
        |key: Key<bool>| if_applicable(layers, key, is_typed).is_some_and(|found| found.value);
    let snapshot = match (is_on(keys::SNAPSHOT), is_on(keys::LOCK)) {
        (false, false) => SnapshotMode::None,
        (true, false) => SnapshotMode::Compared,
        (true, true) => SnapshotMode::Locked,
        (false, true) => SnapshotMode::None,
    };
    if snapshot != SnapshotMode::None && session.access == Access::ReadWrite {
        let what = "is read-only, and cannot stand beside --read-write";
        return Err(layers
            .refuse(keys::SNAPSHOT, what)
            .with_hint("leave one of them out"));
    }
    let publish = if_applicable(layers, keys::PUBLISH, is_typed);
    let state = if_applicable(layers, keys::STATE, is_typed);
    Ok(RunSettings {
        is_lock_alone: is_on(keys::LOCK) && snapshot == SnapshotMode::None,
        on_error: layers.value(keys::ON_ERROR).unwrap_or_default(),
        publish: publish.map_or(Publish::Each, |found| found.value),
        connections: layers.value(keys::CONNECTIONS).unwrap_or(NonZeroU16::MIN),
        snapshot,
        state: state.map(|found| found.value),
    })
}

/// Returns where the bytes wait that a target has not taken, if they are to.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for an option of a spool without
/// a folder.
pub(super) fn spool(layers: &Layers) -> Result<Option<SpoolOptions>> {
    let Some(folder) = layers.value(keys::SPOOL) else {
        let options = [
            keys::SPOOL_MEMORY.setting(),
            keys::SPOOL_LIMIT.setting(),
            keys::SPOOL_FULL.setting(),
        ];
        let alone = options.into_iter().find(|option| layers.is_said(*option));
        return alone.map_or(Ok(None), |option| {
            let refused = layers.refuse(option, "is for a spool, and none is named");
            Err(refused.with_hint("name its folder: --spool DIR, or [spool] path"))
        });
    };
    // The sizes have defaults.
    Ok(Some(SpoolOptions {
        folder,
        memory: layers.value(keys::SPOOL_MEMORY).unwrap_or_default(),
        limit: layers.value(keys::SPOOL_LIMIT).unwrap_or_default(),
        full: layers.value(keys::SPOOL_FULL).unwrap_or_default(),
    }))
}

/// Refuses standard output with `all-or-nothing`: its rows cannot be withheld until
/// all exports are complete.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the setting.
pub(super) fn refuse_streams_if_all_or_nothing(
    layers: &Layers,
    run: &RunSettings,
    exports: &[ExportPlan],
) -> Result<()> {
    let is_stream = |export: &ExportPlan| export.target == Target::Stdout;
    if run.publish == Publish::AllOrNothing && exports.iter().any(is_stream) {
        let what = "needs files, and some rows go to standard output";
        return Err(layers
            .refuse(keys::PUBLISH, what)
            .with_hint("give each export a path, or leave all-or-nothing out"));
    }
    Ok(())
}
