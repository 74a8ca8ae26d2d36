//! How the exports of one run go together: side by side, in one snapshot, and
//! what becomes of the others where one fails.

use std::{num::NonZeroU16, path::PathBuf};

use clap::ValueEnum;

use super::{
    Access, Export, Session, Target,
    layers::{Layers, Sourced},
    selection::{meant, own_query},
};
use crate::error::{Error, Result};

/// How the exports go together.
#[derive(Clone, Debug)]
pub struct Run {
    /// What becomes of the others when one fails.
    pub on_error: OnError,
    /// When files get their names.
    pub publish: Publish,
    /// How many run side by side at most.
    pub connections: NonZeroU16,
    /// Which state of the server they read.
    pub snapshot: Snapshot,
    /// Where what each has come to is kept until the next run.
    pub state: Option<PathBuf>,
}

/// What becomes of the other exports when one fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnError {
    /// They run all the same; the exit code is that of the first that failed
    #[default]
    Continue,
    /// Those that have not begun do not begin any more
    Stop,
}

/// When files get their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Publish {
    /// Each when it is complete
    #[default]
    Each,
    /// All when the last one is complete, and none where one export fails
    AllOrNothing,
}

/// Which state of the server the exports read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// Each statement its own.
    None,
    /// All the same one, which the server's GTIDs or its binary log prove.
    Compared,
    /// All the same one, which a lock makes sure of.
    Locked,
}

/// The settings of `[run]`. Where a query stands by itself, the file's are not meant
/// for it.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a snapshot in a
/// session that may write.
pub(super) fn run(layers: &Layers, session: &Session) -> Result<Run> {
    let stands_alone = own_query(layers).is_some();
    let get = |name| meant(layers, name, stands_alone);
    let is_on = |name| get(name).is_some_and(Sourced::is_on);
    let snapshot = match (is_on("run.snapshot"), is_on("run.lock")) {
        (false, false) => Snapshot::None,
        (true, false) => Snapshot::Compared,
        (true, true) => Snapshot::Locked,
        (false, true) => {
            let what = "locks for a snapshot, and there is none";
            return Err(refuse(layers, "run.lock", what)
                .with_hint("turn the snapshot on too: --snapshot, or [run] snapshot = true"));
        }
    };
    if snapshot != Snapshot::None && session.access == Access::ReadWrite {
        let what = "is read-only, and cannot stand beside --read-write";
        return Err(refuse(layers, "run.snapshot", what).with_hint("leave one of them out"));
    }
    let publish = layers.choice("run.publish")?.unwrap_or_default();
    Ok(Run {
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
pub(super) fn refuse_late_streams(layers: &Layers, run: &Run, exports: &[Export]) -> Result<()> {
    let is_stream = |export: &Export| export.target == Target::Stdout;
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
