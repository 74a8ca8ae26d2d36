//! What a run does: its server, its exports, and how they go together.

use std::{num::NonZeroU16, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};

use super::guard::Guards;
use crate::{
    artifacts::{history::History, template::OutputName},
    error::Result,
    format::{Format, stored},
    pipeline::Flush,
    sink::{CreateDirs, Partial, Target},
    source::{ConnectOptions, Protocol, SessionOptions, SnapshotMode},
    sql::{Parameter, Query},
};

/// What a run does.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The server and the account.
    pub connect: ConnectOptions,
    /// What is set in a session before a statement runs.
    pub session: SessionOptions,
    /// How many times an export is retried after its connection failed or was
    /// lost.
    pub retries: u32,
    /// Whether the server's version and the session's time zone are read for the
    /// report, also for exports without a manifest.
    pub reads_server_facts: bool,
    /// The exports, in their order; never empty.
    pub exports: Vec<ExportPlan>,
    /// What happens to the other exports when one fails.
    pub on_error: OnError,
    /// When finished files are published.
    pub publish: Publish,
    /// The most exports that run at the same time.
    pub connections: NonZeroU16,
    /// Which state of the server the exports read.
    pub snapshot: SnapshotMode,
    /// The file that keeps the result of each export until the next run.
    pub state: Option<PathBuf>,
}

impl RunPlan {
    /// The number of connections that the run opens.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        usize::from(self.connections.get()).min(self.exports.len())
    }

    /// The last successes of the exports, where a file keeps them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where the file
    /// cannot be read.
    pub fn history(&self) -> Result<History> {
        match &self.state {
            Some(path) if self.exports.iter().any(|export| export.name.is_some()) => {
                History::load(path)
            }
            _ => Ok(History::default()),
        }
    }
}

/// What one export does. It can be stored as JSON and read back; it holds no
/// secret. A path must then be UTF-8, and the format a built-in one.
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
    /// The statement.
    pub query: Query,
    /// The values of its parameters.
    pub parameters: Vec<Parameter>,
    /// The wire protocol of its rows.
    pub protocol: Protocol,
    /// Where the bytes go.
    pub target: Target,
    /// Whether missing folders of the target are created.
    pub create_dirs: CreateDirs,
    /// What happens to the bytes of an export that fails.
    pub partial: Partial,
    /// When rows are written.
    pub flush: Flush,
    /// How rows become bytes.
    #[serde(with = "stored")]
    pub format: Arc<dyn Format>,
    /// What a result without rows means.
    pub empty_result: EmptyResult,
    /// What the result must be like to be published.
    pub guards: Guards,
    /// How the target got its name, where a manifest is written beside it.
    pub manifest: Option<OutputName>,
}

impl ExportPlan {
    /// An export of all rows of `query` to `target`, without a name, guards and
    /// manifest. A result without rows is a failure.
    #[must_use]
    pub fn new(query: Query, format: impl Format + 'static, target: Target) -> Self {
        Self {
            name: None,
            query,
            parameters: Vec::new(),
            protocol: Protocol::default(),
            target,
            create_dirs: CreateDirs::default(),
            partial: Partial::default(),
            flush: Flush::default(),
            format: Arc::new(format),
            empty_result: EmptyResult::default(),
            guards: Guards::default(),
            manifest: None,
        }
    }
}

/// What a result without rows means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmptyResult {
    /// A failure; the target stays as it was.
    #[default]
    Refuse,
    /// An ordinary success: an empty document.
    Allow,
}

/// What becomes of the other exports when one fails.
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

/// When files get their names.
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
