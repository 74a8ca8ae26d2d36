//! The sessions of a run: the traits that a run needs, and their implementation for
//! a server. Tests implement them in memory.

use std::sync::{Arc, Mutex};

use super::plan::{ExportPlan, RunPlan};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    schema::Schema,
    sink::{self, Sink, SinkOptions, Target},
    source::{
        BinlogPosition, Chunks, ConnectOptions, Increment, IncrementOptions, IncrementStart,
        LoadLimits, QueryExecutor, RowSource, SessionFacts, SessionOptions, SessionUse,
        SnapshotGap, SnapshotMode, SplitOptions, snapshot,
    },
    sql::TableName,
    sync::lock,
};

/// Opens the sessions and the sinks of a run.
pub(super) trait Backend: Send + Sync {
    /// Opens a session for one export. `cancel` can interrupt it.
    fn connect(&self, cancel: &CancelToken) -> Result<Box<dyn Session>>;

    /// Opens `count` sessions that read one snapshot.
    fn open_snapshot(&self, count: usize, cancel: &CancelToken) -> Result<Sessions>;

    /// Opens the sink of `target`.
    fn open_sink(
        &self,
        target: &Target,
        options: SinkOptions,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>>;
}

/// A function of the caller that opens a sink.
pub(super) type SinkFactory = Box<dyn Fn() -> Result<Box<dyn Sink>> + Send + Sync>;

/// Sessions that read one snapshot, and its position in the binary log if that is
/// known.
pub(super) type Sessions = (Vec<Box<dyn Session>>, Option<BinlogPosition>);

/// A session that runs the statements of exports, one after the other.
pub(super) trait Session: Send {
    /// Makes `cancel` the token that can interrupt the session.
    fn attach(&mut self, cancel: &CancelToken) -> Result<()>;

    /// Resets the session to its initial settings.
    fn reset(&mut self) -> Result<()>;

    /// Returns the statement that creates `table`, as the server shows it, with a `;` and a
    /// line end.
    fn create_statement(&mut self, table: &TableName) -> Result<String>;

    /// Returns what of the server's load is above `limits`, in words; `None` if nothing is.
    fn overload(&mut self, limits: LoadLimits) -> Result<Option<String>>;

    /// Divides the rows of the table of `split`, or of the bound query.
    fn chunks(&mut self, split: &SplitOptions) -> Result<Chunks>;

    /// Sets the session's clock to `moment`. Returns whether the server lets it.
    fn stop_clock(&mut self, moment: &str) -> Result<bool>;

    /// Returns the columns of the key that `split` divides rows by, with their types.
    fn chunk_key(&mut self, split: &SplitOptions) -> Result<Vec<String>>;

    /// Returns the session's variables on which the boundaries and values of rows depend.
    fn variables_of_rows(&mut self) -> Result<String>;

    /// Returns the columns of the bound query, or the reason why they are not known before
    /// it runs.
    fn describe(&mut self) -> Result<Result<Schema, String>>;

    /// Finds the rows of the table of the bound query that are new from `start` on.
    fn increment(
        &mut self,
        options: &IncrementOptions,
        start: &IncrementStart,
    ) -> Result<Increment>;

    /// Binds the query of `export` and its parameters, to run next.
    fn bind(&mut self, export: &ExportPlan) -> Result<()>;

    /// Returns the warnings about the session that no session of the run has told.
    fn new_warnings(&self) -> Vec<String>;

    /// Reads the server's version and the session's settings.
    fn facts(&mut self) -> Result<SessionFacts>;

    /// Returns what the query reads besides the snapshot.
    fn snapshot_gaps(&mut self) -> Result<Vec<SnapshotGap>>;

    /// Runs the query, up to its first row.
    fn run(&mut self) -> Result<Box<dyn RowSource + '_>>;

    /// Returns the number of the server's warnings for the query.
    fn warning_count(&self) -> u16;

    /// Returns what the server's warnings say of the result.
    fn result_warnings(&mut self) -> Result<Vec<String>>;

    /// Checks that no text of the rows may have lost characters.
    fn check_text(&mut self) -> Result<()>;

    /// Returns the warning that the time zone of the rows' TIMESTAMPs is not known.
    fn check_time_zone(&mut self) -> Result<Option<String>>;

    /// Returns the session's time zone if its clocks go back once a year.
    fn zone_with_summer_time(&mut self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Frees the server's resources of the query.
    fn close_statement(&mut self);

    /// Checks that the session still has its snapshot.
    fn check_snapshot(&mut self) -> Result<()>;
}

/// A mutable borrow of a session.
pub(super) type SessionRef<'a> = &'a mut (dyn Session + 'static);

/// A MySQL or MariaDB server.
pub(super) struct Server {
    pub connect: ConnectOptions,
    pub session: SessionOptions,
    pub snapshot: SnapshotMode,
    /// Opens the sink instead of an export's target, if it is `Some`.
    pub open_sink: Option<SinkFactory>,
    /// What is known of logins to the server.
    login: Mutex<Login>,
    /// The warnings about sessions that were told.
    told: Arc<Mutex<Vec<String>>>,
}

/// What is known of the logins of a run. They are all alike.
enum Login {
    /// None has ended. The first one is made alone.
    Untried,
    /// One has ended, and others may succeed.
    Possible,
    /// One failed for good: all others would. Another attempt could lock the account,
    /// or have the server block this machine.
    Refused(Error),
}

impl Server {
    /// Creates the server of `plan`.
    pub(super) fn new(plan: &RunPlan) -> Self {
        Self {
            connect: plan.connect.clone(),
            session: plan.session.clone(),
            snapshot: plan.snapshot,
            open_sink: None,
            login: Mutex::new(Login::Untried),
            told: Arc::default(),
        }
    }
}

impl Server {
    /// Opens a session, unless one was refused for good.
    fn log_in(&self, cancel: &CancelToken) -> Result<QueryExecutor> {
        let connect =
            || QueryExecutor::connect(&self.connect, &self.session, SessionUse::Exclusive, cancel);
        let mut login = lock(&self.login);
        let result = match &*login {
            Login::Untried => connect(),
            Login::Refused(error) => return Err(not_run(error)),
            Login::Possible => {
                drop(login);
                let result = connect();
                login = lock(&self.login);
                result
            }
        };
        *login = match &result {
            Err(error) if is_refusal(error) => Login::Refused(error.clone()),
            _ => Login::Possible,
        };
        result
    }
}

/// Whether `error` is of a login that would fail again.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.kind() == ErrorKind::Connect && !error.is_transient()
}

/// Returns the error of an export that did not run because an earlier login was
/// refused by `refusal`.
pub(super) fn not_run(refusal: &Error) -> Error {
    let what = format!("it did not run: {}", refusal.message());
    let error = Error::new(refusal.kind(), what);
    match refusal.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

impl Backend for Server {
    fn connect(&self, cancel: &CancelToken) -> Result<Box<dyn Session>> {
        let executor = self.log_in(cancel)?;
        tracing::info!(
            "connected to {} as {}",
            self.connect.endpoint,
            self.connect.user
        );
        Ok(Box::new(ServerSession {
            executor,
            options: self.session.clone(),
            told: Arc::clone(&self.told),
        }))
    }

    fn open_snapshot(&self, count: usize, cancel: &CancelToken) -> Result<Sessions> {
        let opened = snapshot::open(&self.connect, &self.session, self.snapshot, count, cancel)?;
        let session = |executor| -> Box<dyn Session> {
            Box::new(ServerSession {
                executor,
                options: self.session.clone(),
                told: Arc::clone(&self.told),
            })
        };
        let sessions = opened.sessions.into_iter().map(session).collect();
        Ok((sessions, opened.position))
    }

    fn open_sink(
        &self,
        target: &Target,
        options: SinkOptions,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        match &self.open_sink {
            Some(open) => open(),
            None => sink::open(target, options, cancel),
        }
    }
}

/// A session of a server, and the settings that it is reset to.
struct ServerSession {
    executor: QueryExecutor,
    options: SessionOptions,
    /// The warnings about sessions that the run has told.
    told: Arc<Mutex<Vec<String>>>,
}

impl Session for ServerSession {
    fn attach(&mut self, cancel: &CancelToken) -> Result<()> {
        self.executor.attach(cancel)
    }

    fn reset(&mut self) -> Result<()> {
        self.executor.reset_session(&self.options)
    }

    fn create_statement(&mut self, table: &TableName) -> Result<String> {
        self.executor.create_statement(table)
    }

    fn overload(&mut self, limits: LoadLimits) -> Result<Option<String>> {
        self.executor.overload(limits)
    }

    fn chunks(&mut self, split: &SplitOptions) -> Result<Chunks> {
        self.executor.chunks(split)
    }

    fn stop_clock(&mut self, moment: &str) -> Result<bool> {
        self.executor.stop_clock(moment)
    }

    fn chunk_key(&mut self, split: &SplitOptions) -> Result<Vec<String>> {
        self.executor.chunk_key(split)
    }

    fn variables_of_rows(&mut self) -> Result<String> {
        self.executor.variables_of_rows()
    }

    fn describe(&mut self) -> Result<Result<Schema, String>> {
        let described = self.executor.describe()?;
        Ok(described.map(|(schema, _)| schema))
    }

    fn increment(
        &mut self,
        options: &IncrementOptions,
        start: &IncrementStart,
    ) -> Result<Increment> {
        self.executor.increment(options, start)
    }

    fn bind(&mut self, export: &ExportPlan) -> Result<()> {
        self.executor
            .bind(&export.query, &export.parameters, export.protocol)
    }

    fn new_warnings(&self) -> Vec<String> {
        let mut told = lock(&self.told);
        let mut new = self.executor.warnings_of_session();
        new.retain(|warning| !told.contains(warning));
        told.extend(new.iter().cloned());
        new
    }

    fn facts(&mut self) -> Result<SessionFacts> {
        self.executor.facts()
    }

    fn snapshot_gaps(&mut self) -> Result<Vec<SnapshotGap>> {
        self.executor.snapshot_gaps()
    }

    fn run(&mut self) -> Result<Box<dyn RowSource + '_>> {
        Ok(Box::new(self.executor.run()?))
    }

    fn warning_count(&self) -> u16 {
        self.executor.warnings()
    }

    fn result_warnings(&mut self) -> Result<Vec<String>> {
        self.executor.result_warnings()
    }

    fn check_text(&mut self) -> Result<()> {
        self.executor.check_text()
    }

    fn check_time_zone(&mut self) -> Result<Option<String>> {
        self.executor.check_time_zone()
    }

    fn zone_with_summer_time(&mut self) -> Result<Option<String>> {
        self.executor.zone_with_summer_time()
    }

    fn close_statement(&mut self) {
        self.executor.close_statement();
    }

    fn check_snapshot(&mut self) -> Result<()> {
        self.executor.check_snapshot()
    }
}
