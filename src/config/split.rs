//! Resolves how an export is read in chunks, and what the run needs for it.

use std::num::NonZeroU16;

use super::{
    layers::Layers,
    query,
    run::{RunSettings, lock_alone},
    settings::{Setting, keys},
};
use crate::{
    error::Result,
    format::Joining,
    jobs::plan::{ExportPlan, RowOrder, SplitPlan, WholeChunks},
    sink::Target,
    source::{Access, ChunkSize, SessionOptions, SnapshotMode, SplitOptions, WithoutKey},
    sql::{CHUNK, Query},
};

/// The connections that chunks are read over if nothing says how many.
const CONNECTIONS: u16 = 4;

/// The size of the chunks, and the setting that gives it, if there are chunks.
pub(super) fn size(layers: &Layers) -> Option<(&'static Setting, ChunkSize)> {
    let count = layers.value(keys::SPLIT).map(ChunkSize::Count);
    let count = count.map(|size| (keys::SPLIT.setting(), size));
    let rows = layers.value(keys::SPLIT_ROWS).map(ChunkSize::Rows);
    count.or(rows.map(|size| (keys::SPLIT_ROWS.setting(), size)))
}

/// Returns how the export of `query` is read in chunks, if it is.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a query that has no place for
/// the condition of a chunk, and for settings that contradict each other.
pub(super) fn plan(layers: &Layers, query: &Query) -> Result<Option<SplitPlan>> {
    let by = layers.get(keys::SPLIT_BY);
    let whole = match layers.is_on(keys::RESUME) {
        true => WholeChunks::Keep,
        false => WholeChunks::Discard,
    };
    let Some((setting, size)) = size(layers) else {
        if whole == WholeChunks::Keep {
            let what = "keeps chunks that are whole, and nothing divides the rows into chunks";
            let refused = layers.refuse(keys::RESUME, what);
            return Err(refused.with_hint("add --split N or --split-rows N"));
        }
        return match by {
            Some(by) => {
                let what = "names the columns that divide a table, and nothing divides it";
                let refused = by.origin.refuse(keys::SPLIT_BY, what);
                Err(refused.with_hint("add --split N or --split-rows N"))
            }
            None => Ok(None),
        };
    };
    for other in [
        keys::SPLIT_ROWS.setting(),
        keys::QUERY_LIMIT.setting(),
        keys::ROWS_PER_FILE.setting(),
        keys::BYTES_PER_FILE.setting(),
    ] {
        if other.key() != setting.key() && layers.origin(other).is_some() {
            let what = format!("divides the rows, and cannot stand beside {}", other.key());
            return Err(layers.refuse(setting, &what).with_hint("keep one of them"));
        }
    }
    let table = query::table(layers);
    let is_set = query::is_table_set(layers);
    let is_table = is_set || table.is_some();
    if !is_table && !query.has_parameter(CHUNK) {
        let what = "reads the rows in chunks, and the query has no :chunk";
        let hint = "write it where a condition stands, as in WHERE status = 'paid' AND :chunk, or export a --table";
        return Err(layers.refuse(setting, what).with_hint(hint));
    }
    if let Err(problem) = query.check_chunk() {
        let what = format!("reads the rows in chunks, and the query {problem}");
        let hint = "as in SELECT … FROM … WHERE (a OR b) AND :chunk, where each row stands for itself; put the rest into a later step";
        return Err(layers.refuse(setting, &what).with_hint(hint));
    }
    if let (Some(by), true) = (&by, is_table)
        && by.value.qualifier.is_some()
    {
        let what = "names a table, and the rows are those of a table already";
        let refused = by.origin.refuse(keys::SPLIT_BY, what);
        return Err(refused.with_hint("name the columns alone"));
    }
    Ok(Some(SplitPlan {
        options: SplitOptions {
            table,
            by: by.map(|by| by.value),
            size,
            without_key: match is_set {
                true => WithoutKey::OneChunk,
                false => WithoutKey::Fail,
            },
        },
        order: match is_table {
            true => RowOrder::Key,
            false => RowOrder::Statement,
        },
        whole,
    }))
}

/// Refuses chunks of a format that cannot be joined to one file, where there is one.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming the format.
pub(super) fn check_output(layers: &Layers, export: &ExportPlan) -> Result<()> {
    let Some((setting, _)) = size(layers).filter(|_| export.split.is_some()) else {
        return Ok(());
    };
    if export.is_resumable() && export.target == Target::Stdout {
        let what = "keeps chunks beside a file, and the rows go to standard output";
        return Err(layers
            .refuse(keys::RESUME, what)
            .with_hint("name a file: -o FILE"));
    }
    if export.parts.is_some() || export.format.joining() != Joining::Impossible {
        return Ok(());
    }
    let format = export.format.name();
    let what = format!("reads the rows in chunks, which are not joined to one file of {format}");
    let hint = format!("write a file for each chunk: -o 'NAME-{{part}}.{format}'");
    Err(layers.refuse(setting, &what).with_hint(hint))
}

impl RunSettings {
    /// Has chunks be read from one snapshot, and side by side, unless settings say
    /// otherwise.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a lock without a snapshot.
    pub(super) fn suit_chunks(
        &mut self,
        layers: &Layers,
        session: &SessionOptions,
        exports: &[ExportPlan],
    ) -> Result<()> {
        let splits = exports.iter().filter_map(|export| export.split.as_ref());
        let counts = splits.map(|split| split.options.size.chunks().unwrap_or(usize::MAX));
        if self.snapshot != SnapshotMode::None
            && layers.is_said(keys::SNAPSHOT)
            && exports.iter().any(ExportPlan::is_resumable)
        {
            let what =
                "has all rows be of one moment, and a run that is resumed reads them at another";
            let refused = layers.refuse(keys::SNAPSHOT, what);
            return Err(refused.with_hint(
                "leave out --resume, or the snapshot: without it, each run has one of its own",
            ));
        }
        if let Some(count) = counts.max() {
            if !layers.is_said(keys::CONNECTIONS) {
                let count = u16::try_from(count).unwrap_or(CONNECTIONS).min(CONNECTIONS);
                self.connections = NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN);
            }
            if !layers.is_said(keys::SNAPSHOT)
                && session.access == Access::ReadOnly
                && self.snapshot == SnapshotMode::None
            {
                self.begin_snapshot();
            }
        }
        match self.is_lock_alone {
            true => Err(lock_alone(layers)),
            false => Ok(()),
        }
    }
}
