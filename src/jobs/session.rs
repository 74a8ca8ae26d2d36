//! What runs need of sessions: those of a server, or of anything else that gives
//! rows.

use super::plan::{ExportPlan, RunPlan};
use crate::{
    cancel::CancelToken,
    error::Result,
    sink::{self, Sink, SinkOptions},
    source::{
        BinlogPosition, ConnectOptions, QueryExecutor, RowSource, SessionFacts, SessionOptions,
        SessionUse, SnapshotCoverage, SnapshotMode, snapshot,
    },
};

/// Opens sessions.
pub(super) trait Backend: Send + Sync {
    /// Opens a session for one export, which `cancel` can end.
    fn connect(&self, cancel: &CancelToken) -> Result<Box<dyn Session>>;

    /// Opens `count` sessions that read one snapshot.
    fn open_snapshot(&self, count: usize, cancel: &CancelToken) -> Result<Sessions>;

    /// Opens the sink of `export`.
    fn open_sink(
        &self,
        export: &ExportPlan,
        options: SinkOptions,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        sink::open(&export.target, options, cancel)
    }
}

/// Opens a sink of the caller's own.
pub(super) type SinkFactory = Box<dyn Fn() -> Result<Box<dyn Sink>> + Send + Sync>;

/// Sessions that read one snapshot, and its position in the server's history,
/// where that is known.
pub(super) type Sessions = (Vec<Box<dyn Session>>, Option<BinlogPosition>);

/// A session that runs the statements of exports, one after the other.
pub(super) trait Session: Send {
    /// Lets `cancel` end the session from now on.
    fn attach(&mut self, cancel: &CancelToken) -> Result<()>;

    /// Sets the session up as it was at its beginning.
    fn reset(&mut self) -> Result<()>;

    /// Makes the export's query the next to run.
    fn bind(&mut self, export: &ExportPlan) -> Result<()>;

    /// What the user should know about the session.
    fn warning(&self) -> Option<String>;

    /// The server's version and the session's settings.
    fn facts(&mut self) -> Result<SessionFacts>;

    /// Whether a snapshot covers all tables of the query.
    fn snapshot_coverage(&mut self) -> Result<SnapshotCoverage>;

    /// Runs the query, up to its first row.
    fn run(&mut self) -> Result<Box<dyn RowSource + '_>>;

    /// The number of warnings that the server has for the query.
    fn warning_count(&self) -> u16;

    /// The server's warning that values were truncated.
    fn truncation_warning(&mut self) -> Result<Option<String>>;

    /// Frees what the server keeps for the query.
    fn close_statement(&mut self);

    /// Checks that the session still has its snapshot.
    fn check_snapshot(&mut self) -> Result<()>;
}

/// A borrowed session.
pub(super) type SessionRef<'a> = &'a mut (dyn Session + 'static);

/// A MySQL or MariaDB server.
pub(super) struct Server {
    pub connect: ConnectOptions,
    pub session: SessionOptions,
    pub snapshot: SnapshotMode,
    /// Opens the sink in the place of an export's target.
    pub open_sink: Option<SinkFactory>,
}

impl Server {
    /// The server of `plan`.
    pub(super) fn new(plan: &RunPlan) -> Self {
        Self {
            connect: plan.connect.clone(),
            session: plan.session.clone(),
            snapshot: plan.snapshot,
            open_sink: None,
        }
    }
}

impl Backend for Server {
    fn connect(&self, cancel: &CancelToken) -> Result<Box<dyn Session>> {
        let executor =
            QueryExecutor::connect(&self.connect, &self.session, SessionUse::Exclusive, cancel)?;
        tracing::info!(
            "connected to {} as {}",
            self.connect.endpoint,
            self.connect.user
        );
        Ok(Box::new(ServerSession {
            executor,
            options: self.session.clone(),
        }))
    }

    fn open_snapshot(&self, count: usize, cancel: &CancelToken) -> Result<Sessions> {
        let opened = snapshot::open(&self.connect, &self.session, self.snapshot, count, cancel)?;
        let session = |executor| -> Box<dyn Session> {
            Box::new(ServerSession {
                executor,
                options: self.session.clone(),
            })
        };
        let sessions = opened.sessions.into_iter().map(session).collect();
        Ok((sessions, opened.position))
    }

    fn open_sink(
        &self,
        export: &ExportPlan,
        options: SinkOptions,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        match &self.open_sink {
            Some(open) => open(),
            None => sink::open(&export.target, options, cancel),
        }
    }
}

struct ServerSession {
    executor: QueryExecutor,
    options: SessionOptions,
}

impl Session for ServerSession {
    fn attach(&mut self, cancel: &CancelToken) -> Result<()> {
        self.executor.attach(cancel)
    }

    fn reset(&mut self) -> Result<()> {
        self.executor.reset_session(&self.options)
    }

    fn bind(&mut self, export: &ExportPlan) -> Result<()> {
        self.executor
            .bind(&export.query, &export.parameters, export.protocol)
    }

    fn warning(&self) -> Option<String> {
        self.executor.warning()
    }

    fn facts(&mut self) -> Result<SessionFacts> {
        self.executor.facts()
    }

    fn snapshot_coverage(&mut self) -> Result<SnapshotCoverage> {
        self.executor.snapshot_coverage()
    }

    fn run(&mut self) -> Result<Box<dyn RowSource + '_>> {
        Ok(Box::new(self.executor.run()?))
    }

    fn warning_count(&self) -> u16 {
        self.executor.warnings()
    }

    fn truncation_warning(&mut self) -> Result<Option<String>> {
        self.executor.truncation_warning()
    }

    fn close_statement(&mut self) {
        self.executor.close_statement();
    }

    fn check_snapshot(&mut self) -> Result<()> {
        self.executor.check_snapshot()
    }
}
