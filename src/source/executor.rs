//! The server's side: a session that runs statements, and the stream of one
//! statement's rows.
//!
//! Types of the driver stop here and in `row`. What the rows become is left to
//! the formats.

use std::{mem, sync::Arc};

use mysql::{
    Conn, Params, QueryResult, Value,
    prelude::{Protocol as WireProtocol, Queryable},
};

use super::{
    columns, connect,
    driver::{self, contain},
    errors::{catch_driver_panic, query_error, statement_error},
    interrupt::{InterruptHandle, SessionUse},
    options::{Compression, ConnectOptions, Protocol, SessionOptions},
    prepare,
    rows::{RowStream, Rows},
    session::{self, SessionFacts, SessionLock},
    tables::TableCache,
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    schema::Schema,
    sql::{BoundQuery, Parameter, Query, QuotingMode},
};

/// A session on a server, which runs one statement at a time.
pub struct QueryExecutor {
    pub(super) conn: Conn,
    pub(super) interrupt: Arc<InterruptHandle>,
    pub(super) cancel: CancelToken,
    pub(super) bound: BoundQuery,
    pub(super) keyword: String,
    pub(super) protocol: Protocol,
    pub(super) prepared: Option<mysql::Statement>,
    pub(super) warning: Option<String>,
    pub(super) table_cache: TableCache,
}

impl QueryExecutor {
    /// Connects to the server of `options` and sets the session up. `cancel` ends
    /// it.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`] where there is no session; [`ErrorKind::Query`]
    /// where the server refuses to prepare it.
    pub fn connect(
        connection: &ConnectOptions,
        session: &SessionOptions,
        session_use: SessionUse,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let connect::Session { conn, id } =
            connect::connect(connection, connection.connect_timeout)?;
        let lock = SessionLock::new();
        let mut executor = Self {
            interrupt: Arc::new(InterruptHandle::new(
                &conn,
                id,
                connection,
                lock.clone(),
                session_use,
            )),
            conn,
            cancel: cancel.clone(),
            bound: BoundQuery::default(),
            keyword: String::new(),
            protocol: Protocol::Auto,
            prepared: None,
            warning: None,
            table_cache: TableCache::default(),
        };
        // From here on the run can be ended while the server is silent.
        cancel.on_interrupt(executor.interrupt.clone())?;
        executor.with_driver(|conn| {
            lock.acquire(conn)?;
            session::prepare(conn, session)
        })?;
        if connection.compression == Compression::Zlib
            && executor.with_driver(session::is_uncompressed)?
        {
            let what = "the server says that it does not compress; the rows travelled as they are";
            executor.warning = Some(what.to_owned());
        }
        Ok(executor)
    }

    /// What `work` with the connection gives, with panics of the driver as errors.
    pub(super) fn with_driver<T>(
        &mut self,
        work: impl FnOnce(&mut Conn) -> Result<T>,
    ) -> Result<T> {
        let conn = &mut self.conn;
        catch_driver_panic(&self.cancel, || work(conn))
    }

    /// From here on works for what `cancel` ends.
    ///
    /// # Errors
    /// The cause, where that was cancelled before.
    pub fn attach(&mut self, cancel: &CancelToken) -> Result<()> {
        cancel.on_interrupt(self.interrupt.clone())?;
        self.cancel.deregister();
        self.cancel = cancel.clone();
        // Of an export that failed.
        self.close_statement();
        Ok(())
    }

    /// Sets the session up as it was at its beginning, but for variables of the
    /// queries' own: what one export has set is not meant for the next.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where the server refuses that.
    pub fn reset_session(&mut self, session: &SessionOptions) -> Result<()> {
        self.with_driver(|conn| {
            driver::run(conn, connect::SET_NAMES)
                .map_err(|error| query_error("cannot set the character set again", &error))?;
            session::prepare(conn, session)
        })
    }

    /// Makes `query` the statement that the session runs next.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the server's SQL mode makes several statements
    /// of the text; [`ErrorKind::Query`] where it cannot be asked for.
    pub fn bind(
        &mut self,
        query: &Query,
        parameters: &[Parameter],
        protocol: Protocol,
    ) -> Result<()> {
        let mode = if query.depends_on_mode() {
            self.with_driver(session::quoting_mode)?
        } else {
            QuotingMode::Default
        };
        self.bound = query.bind(mode, parameters)?;
        self.keyword = query.keyword().to_uppercase();
        self.protocol = protocol;
        Ok(())
    }

    /// What the user should know about the session.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        self.warning.clone()
    }

    /// Runs the statement, up to the first row: prepared, which lets the server
    /// send binary rows, or as text.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where the server refuses it, or where it has no
    /// result set.
    pub fn run(&mut self) -> Result<RowStream<'_>> {
        let cancel = self.cancel.clone();
        catch_driver_panic(&cancel, || self.try_run())
    }

    fn try_run(&mut self) -> Result<RowStream<'_>> {
        let prepared = prepare::prepare(&mut self.conn, self.protocol, &self.keyword, &self.bound);
        match prepared? {
            prepare::Way::Binary(statement) => {
                self.prepared = Some(statement.clone());
                let params = self.bound.params();
                let result = self.conn.exec_iter(&statement, params);
                let rows = expect_result_set(result, &self.cancel, &self.bound.sql, &self.keyword)?;
                RowStream::new(Rows::Binary(rows), None, &self.cancel)
            }
            prepare::Way::Text(reason) => {
                let result = self.conn.query_iter(&self.bound.sql);
                let rows = expect_result_set(result, &self.cancel, &self.bound.sql, &self.keyword)?;
                RowStream::new(Rows::Text(rows), reason, &self.cancel)
            }
        }
    }

    /// Frees what the server keeps for the statement that has run.
    pub fn close_statement(&mut self) {
        if let Some(statement) = self.prepared.take() {
            // The server answers nothing. Where the connection has gone, so has
            // the statement, and the rows had all come.
            let _ = contain(|| self.conn.close(statement));
        }
    }

    /// How many warnings the server has for the statement that has run.
    #[must_use]
    pub fn warnings(&self) -> u16 {
        self.conn.warnings()
    }

    /// What the server warned of that makes the rows others than the statement
    /// asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where a value that is too long for the server has
    /// become NULL.
    pub fn truncation_warning(&mut self) -> Result<Option<String>> {
        let count = self.warnings();
        if count == 0 {
            return Ok(None);
        }
        self.with_driver(|conn| session::truncation_warning(conn, count))
    }

    /// What the server says of itself and of the session.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where it does not say.
    pub fn facts(&mut self) -> Result<SessionFacts> {
        self.with_driver(session::facts)
    }

    /// The columns that the statement would give and the protocol of its rows,
    /// where the server tells before the statement runs.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where the server finds a mistake in the statement.
    pub fn describe(&mut self) -> Result<Option<(Schema, &'static str)>> {
        let (conn, bound) = (&mut self.conn, &self.bound);
        let described = catch_driver_panic(&self.cancel, || prepare::describe(conn, bound));
        let Some(statement) = described? else {
            return Ok(None);
        };
        if statement.columns().is_empty() {
            return Ok(None);
        }
        let is_prepared = prepare::is_wanted(self.protocol, &self.keyword, &self.bound);
        let protocol = if is_prepared { "binary" } else { "text" };
        Ok(Some((columns::schema(&statement.columns())?, protocol)))
    }
}

impl BoundQuery {
    /// The values as the driver takes them.
    pub(super) fn params(&self) -> Params {
        let values = self.values.iter().map(|value| Value::from(value.as_str()));
        match values.collect::<Vec<_>>() {
            values if values.is_empty() => Params::Empty,
            values => Params::Positional(values),
        }
    }
}

impl Drop for QueryExecutor {
    fn drop(&mut self) {
        // Before the connection closes: its descriptor's number may be reused.
        self.cancel.deregister();
    }
}

/// What the server answered to the statement `sql`: a result set, or an error.
fn expect_result_set<'conn, P: WireProtocol>(
    result: mysql::Result<QueryResult<'conn, 'conn, 'conn, P>>,
    cancel: &CancelToken,
    sql: &str,
    keyword: &str,
) -> Result<QueryResult<'conn, 'conn, 'conn, P>> {
    let result = result.map_err(|error| {
        if !matches!(error, mysql::Error::MySqlError(_)) {
            // The connection has broken; the server may not have noticed.
            cancel.close_connection();
        }
        statement_error(&error, sql)
    })?;
    if result.columns().as_ref().is_empty() {
        let affected = result.affected_rows();
        // Dropping it would read whatever else the server sends.
        mem::forget(result);
        return Err(Error::new(
            ErrorKind::Query,
            format!(
                "the statement ({keyword} …) ran, but it has no result set; {affected} rows were affected"
            ),
        )
        .with_hint("only statements that return rows can be exported"));
    }
    Ok(result)
}
