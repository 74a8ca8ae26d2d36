//! The plan of a run: its server, its exports, and how they are run and published.

use std::{
    num::{NonZeroU16, NonZeroU64},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{claims::ReservedPaths, guard::Guards, tables::FoundTables};
use crate::{
    artifacts::{history::History, template::OutputName},
    error::Result,
    format::{Format, stored},
    load::LoadTarget,
    pipeline::{FailureEnds, Flush, PartLimit},
    sink::{CompressionOptions, CreateDirs, Existing, Partial, SpoolOptions, Target},
    source::{
        ConnectOptions, IncrementOptions, LoadLimits, Protocol, SessionOptions, SnapshotMode,
        SplitOptions,
    },
    sql::{CHUNK, Condition, INCREMENT, Parameter, Query, TableName, TablePattern},
};

/// The plan of a run.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The server and the account.
    pub connect: ConnectOptions,
    /// The settings of each session.
    pub session: SessionOptions,
    /// The most times that an export is retried after its connection failed or was
    /// lost.
    pub retries: u32,
    /// Whether the server's version and the session's time zone are read for the
    /// report, also for exports without a manifest.
    pub reads_server_facts: bool,
    /// The exports, in the order in which they start; never empty.
    pub exports: Vec<ExportPlan>,
    /// What happens to the other exports when one fails.
    pub on_error: OnError,
    /// When complete files are published.
    pub publish: Publish,
    /// The most exports that run at the same time.
    pub connections: NonZeroU16,
    /// Whether the exports read one snapshot, and how it is opened.
    pub snapshot: SnapshotMode,
    /// The load of the server above which no export or chunk begins.
    pub load_limits: LoadLimits,
    /// The most rows per second of all exports together; `None` for no limit.
    pub rows_per_second: Option<NonZeroU64>,
    /// Where bytes wait that a target has not taken; `None` if the server waits instead.
    pub spool: Option<SpoolOptions>,
    /// The state file, which keeps the last success of each export until the next
    /// run; `None` if there is none.
    pub state: Option<PathBuf>,
    /// The tables that were found at the server; `None` if all exports are queries.
    pub found_tables: Option<FoundTables>,
    /// The paths that no export may write to.
    pub reserved: ReservedPaths,
}

impl RunPlan {
    /// Returns the number of connections that the run opens.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        let pieces = |export: &ExportPlan| match &export.split {
            Some(split) => split.options.size.chunks().unwrap_or(usize::from(u16::MAX)),
            None => 1,
        };
        let read = self.exports.iter();
        let read = read.filter(|export| export.rows_of == RowsOf::Statement);
        let pieces = read.map(pieces);
        usize::from(self.connections.get()).min(pieces.fold(0, usize::saturating_add))
    }

    /// Returns the exports that have the rows of the statement of the one with the index
    /// `first`: that one, and those right behind it.
    pub(super) fn outputs_of(&self, first: usize) -> Range<usize> {
        let others = self.exports.iter().skip(first + 1);
        let others = others.take_while(|export| export.rows_of == RowsOf::ExportBefore);
        first..first + 1 + others.count()
    }

    /// Returns the exports that have the same rows as the one with the index `output`, itself
    /// among them.
    pub(super) fn outputs_with(&self, output: usize) -> Range<usize> {
        let own = |index: &usize| self.exports[*index].rows_of == RowsOf::Statement;
        let first = (0..=output).rev().find(own);
        self.outputs_of(first.unwrap_or(output))
    }

    /// Reads the last successes of the exports from the state file. Returns an empty
    /// history without one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config), if the file cannot be
    /// read.
    pub fn history(&self) -> Result<History> {
        match &self.state {
            Some(path)
                if self
                    .exports
                    .iter()
                    .any(|export| export.state_name().is_some()) =>
            {
                History::load(path)
            }
            _ => Ok(History::default()),
        }
    }
}

/// The plan of one export. It can be stored as JSON and read back, if its paths are
/// UTF-8 and its format is a built-in one. It holds no secret.
///
/// ```
/// use gold_digger::{format::Csv, jobs::ExportPlan, sink::Target, sql::Query};
///
/// let query = Query::parse("SELECT * FROM orders")?;
/// let plan = ExportPlan::new(query, Csv::new(), Target::file("orders.csv"));
/// let json = serde_json::to_string(&plan)?;
/// let again: ExportPlan = serde_json::from_str(&json)?;
/// assert_eq!(again.query.text(), "SELECT * FROM orders");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExportPlan {
    /// Its name in the configuration file; `None` for a single query.
    pub name: Option<String>,
    /// Which statement's rows it has.
    #[serde(default)]
    pub rows_of: RowsOf,
    /// What its failure ends, if others have rows of the same statement.
    #[serde(default)]
    pub failure: FailureEnds,
    /// The statement.
    pub query: Query,
    /// The values of its parameters.
    pub parameters: Vec<Parameter>,
    /// The wire protocol of its rows.
    pub protocol: Protocol,
    /// The destination of the bytes.
    pub target: Target,
    /// Whether missing folders of the target are created.
    pub create_dirs: CreateDirs,
    /// What happens to a file that is there.
    #[serde(default)]
    pub existing: Existing,
    /// What happens to the bytes of an export that fails.
    pub partial: Partial,
    /// When rows are written.
    pub flush: Flush,
    /// How the bytes are compressed; `None` if they are not.
    #[serde(default)]
    pub compression: Option<CompressionOptions>,
    /// How rows become bytes.
    #[serde(with = "stored")]
    pub format: Arc<dyn Format>,
    /// What a result without rows means.
    pub empty_result: EmptyResult,
    /// The conditions under which the result is published.
    pub guards: Guards,
    /// How the name of the target was made, for its manifest; `None` if no manifest
    /// is written.
    pub manifest: Option<OutputName>,
    /// What loads the output; `None` if that is not known.
    #[serde(default)]
    pub load: Option<LoadPlan>,
    /// How the rows are read in chunks; `None` if one statement reads all of them.
    #[serde(default)]
    pub split: Option<SplitPlan>,
    /// How only what is new is read; `None` if all rows are.
    #[serde(default)]
    pub increment: Option<IncrementPlan>,
    /// How the rows are divided among several files; `None` if all are in one. The number
    /// of the part is a placeholder in `target` then.
    #[serde(default)]
    pub parts: Option<PartPlan>,
    /// Where the statement that creates the table of the rows is written; `None` if it is
    /// not.
    #[serde(default)]
    pub schema_file: Option<SchemaFile>,
    /// The tables that the export stands for; `None` for a query. Before it runs,
    /// [`find_tables`](super::find_tables) puts an export of each of them into its place.
    #[serde(default)]
    pub tables: Option<TableSelection>,
}

/// Which statement's rows an export has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsOf {
    /// Those of its own.
    #[default]
    Statement,
    /// Those of the export before it in the plan, which has the same statement: it is read
    /// once for both.
    ExportBefore,
}

/// How the rows of an export are read in chunks, over as many connections as the run has.
/// The query has the parameter [`CHUNK`] where a condition stands, and a
/// condition that is true as its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitPlan {
    /// The table, its key, and the size of the chunks.
    pub options: SplitOptions,
    /// The order of the rows within a chunk.
    pub order: RowOrder,
    /// What happens to the chunks that are whole if the run ends before the others are.
    #[serde(default)]
    pub whole: WholeChunks,
}

/// How an export reads only what is new since the last run. The query has
/// [`INCREMENT`] where a condition stands, or compares with
/// [`SINCE`](crate::sql::SINCE) and [`UNTIL`](crate::sql::UNTIL).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncrementPlan {
    /// The name by which the last row is kept in the state file.
    pub name: String,
    /// The table, its key, and how far from its end the increment stays.
    pub options: IncrementOptions,
    /// Where it begins, if that is not behind the last row.
    pub since: Option<Since>,
}

/// Where an increment begins: at a value of the first column, included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// In the first run only.
    First(String),
    /// In this run, which leaves the last row that is kept as it is.
    Backfill(String),
}

/// What happens to the chunks that are whole if a run ends before the others are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WholeChunks {
    /// They are removed.
    #[default]
    Discard,
    /// They are kept in a folder beside the output, and the next run reads the others.
    Keep,
    /// They are kept in a folder within this one: the output is an object.
    KeepIn(PathBuf),
}

/// The order of the rows of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowOrder {
    /// That of the key.
    Key,
    /// That of the statement.
    Statement,
}

/// How the rows of an export are divided among several files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPlan {
    /// When a file ends; `None` if it has the rows of a chunk.
    pub limit: Option<PartLimit>,
    /// How the files are named.
    pub output: OutputName,
}

/// A file with the statement that creates a table, as the server shows it. It is published
/// right after the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaFile {
    /// The table or view.
    pub table: TableName,
    /// The file.
    pub path: PathBuf,
}

/// The tables that match patterns, each of which is exported to a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSelection {
    /// The patterns of the tables.
    pub include: Vec<TablePattern>,
    /// The patterns of those that are left out.
    pub exclude: Vec<TablePattern>,
    /// The columns of each; if there are none, all that are visible.
    pub columns: Vec<String>,
    /// The condition of the rows of each.
    pub condition: Option<Condition>,
    /// The most rows of each.
    pub limit: Option<u64>,
    /// How the targets are named.
    pub output: OutputName,
    /// The path of the load statements with its placeholders.
    pub statement_file: Option<PathBuf>,
    /// The path of the statements that create the tables with its placeholders.
    pub schema_file: Option<PathBuf>,
}

/// What loads the output of an export.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadPlan {
    /// The program that loads it.
    pub target: &'static LoadTarget,
    /// The name of the table.
    pub table: String,
    /// The file that the load statement is written to; `None` if it is not.
    pub statement_file: Option<PathBuf>,
}

impl ExportPlan {
    /// The parameters that the query of a table has as conditions.
    pub(super) fn conditions(&self) -> Vec<&'static str> {
        let names = [
            self.split.as_ref().map(|_| CHUNK),
            self.increment.as_ref().map(|_| INCREMENT),
        ];
        names.into_iter().flatten().collect()
    }

    /// The name of its entry in the state file, if it has one.
    pub(super) fn state_name(&self) -> Option<&String> {
        match (&self.increment, self.rows_of) {
            (Some(increment), RowsOf::Statement) => Some(&increment.name),
            _ => self.name.as_ref(),
        }
    }

    /// Whether its whole chunks are kept for another run.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        let split = self.split.as_ref();
        split.is_some_and(|split| split.whole != WholeChunks::Discard)
    }

    /// Creates an export of all rows of `query` to `target`, without a name, guards
    /// and manifest. A result without rows is a failure.
    #[must_use]
    pub fn new(query: Query, format: impl Format + 'static, target: Target) -> Self {
        Self {
            name: None,
            rows_of: RowsOf::default(),
            failure: FailureEnds::default(),
            query,
            parameters: Vec::new(),
            protocol: Protocol::default(),
            target,
            create_dirs: CreateDirs::default(),
            existing: Existing::default(),
            partial: Partial::default(),
            flush: Flush::default(),
            compression: None,
            format: Arc::new(format),
            empty_result: EmptyResult::default(),
            guards: Guards::default(),
            manifest: None,
            load: None,
            split: None,
            increment: None,
            parts: None,
            schema_file: None,
            tables: None,
        }
    }
}

/// What a result without rows means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyResult {
    /// A failure; the target is unchanged.
    #[default]
    Refuse,
    /// A success; the document is empty.
    Allow,
    /// A success; the target is unchanged.
    Skip,
}

/// What happens to the other exports when one fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// They run all the same; the exit code is that of the first that failed
    #[default]
    Continue,
    /// Those that have not begun do not begin any more
    Stop,
}

/// When complete files are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    /// Each when it is complete
    #[default]
    Each,
    /// All when the last one is complete, and none where one export fails
    AllOrNothing,
}
