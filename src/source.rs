//! The server's side: a session that runs statements, and the stream of one
//! statement's rows.
//!
//! Types of the driver stop here and in `row`. What the rows become is left to
//! the formats.

use std::{collections::HashMap, mem, time::Duration};

use mysql::{
    Conn, Params, QueryResult, Value,
    prelude::{Protocol as WireProtocol, Queryable},
};

use crate::{
    cancel::Cancel,
    config::{Access, Compression, Config, Protocol, Session},
    error::{Error, ErrorKind, Result},
    schema::Schema,
    sql::{Bound, Query, QuotingMode},
};

pub mod columns;
mod connect;
mod contain;
mod excerpt;
mod live;
mod prepare;
mod refusal;
mod stream;
mod tls;
mod type_name;

use contain::{Panicked, contain, text};
pub(crate) use live::LiveConnection;
pub use stream::RowStream;
use stream::Rows;

/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, the same in MySQL and MariaDB.
const READ_ONLY_TRANSACTION: u16 = 1792;

/// ER_QUERY_TIMEOUT of MySQL, ER_STATEMENT_TIMEOUT of MariaDB.
const OUT_OF_TIME: [u16; 2] = [3024, 1969];

/// The default of `max_allowed_packet` on old servers, the smallest in use.
const SMALLEST_DEFAULT_PACKET: usize = 1 << 20;

const READ_WRITE_HINT: &str = "--read-write lets the statement write";

/// A session on a server, which runs one statement at a time.
pub struct QueryExecutor {
    conn: Conn,
    cancel: Cancel,
    bound: Bound,
    keyword: String,
    protocol: Protocol,
    prepared: Option<mysql::Statement>,
    warning: Option<String>,
}

impl QueryExecutor {
    /// Connects, prepares the session, and gets the query ready to run.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`] where there is no session; [`ErrorKind::Config`]
    /// where the server's SQL mode makes several statements of the text;
    /// [`ErrorKind::Query`] where the server refuses to prepare the session.
    pub fn connect(config: &Config, cancel: &Cancel) -> Result<Self> {
        let Config {
            connection,
            query,
            parameters,
            ..
        } = config;
        let connect::Session { conn, id } =
            connect::connect(connection, connection.connect_timeout)?;
        let mut executor = Self {
            conn,
            cancel: cancel.clone(),
            bound: Bound::default(),
            keyword: query.keyword().to_uppercase(),
            protocol: config.protocol,
            prepared: None,
            warning: None,
        };
        // From here on the run can be ended while the server is silent.
        let candidates = query.candidates(parameters);
        cancel.register(LiveConnection::new(
            &executor.conn,
            id,
            connection,
            candidates,
        ))?;
        let conn = &mut executor.conn;
        let mode = border(cancel, || prepare_session(conn, query, &config.session))?;
        executor.bound = query.bind(mode, parameters)?;
        let conn = &mut executor.conn;
        if connection.compression == Compression::Zlib && border(cancel, || is_uncompressed(conn))?
        {
            let what = "the server says that it does not compress; the rows travelled as they are";
            executor.warning = Some(what.to_owned());
        }
        Ok(executor)
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
        border(&cancel, || self.try_run())
    }

    fn try_run(&mut self) -> Result<RowStream<'_>> {
        let prepared = prepare::prepare(&mut self.conn, self.protocol, &self.keyword, &self.bound);
        match prepared? {
            prepare::Way::Binary(statement) => {
                self.prepared = Some(statement.clone());
                let values = self
                    .bound
                    .values
                    .iter()
                    .map(|value| Value::from(value.as_str()));
                let params = match values.collect::<Vec<_>>() {
                    values if values.is_empty() => Params::Empty,
                    values => Params::Positional(values),
                };
                let result = self.conn.exec_iter(&statement, params);
                let rows = begun(result, &self.cancel, &self.bound.sql, &self.keyword)?;
                RowStream::new(Rows::Binary(rows), None, &self.cancel)
            }
            prepare::Way::Text(reason) => {
                let result = self.conn.query_iter(&self.bound.sql);
                let rows = begun(result, &self.cancel, &self.bound.sql, &self.keyword)?;
                RowStream::new(Rows::Text(rows), reason, &self.cancel)
            }
        }
    }

    /// Frees what the server keeps for the statement that has run.
    pub fn close_statement(&mut self) {
        if let Some(statement) = self.prepared.take() {
            // The server answers nothing. Where the connection has gone, so has
            // the statement, and the rows had all come.
            let _ = self.conn.close(statement);
        }
    }

    /// How many warnings the server has for the statement that has run.
    #[must_use]
    pub fn warnings(&self) -> u16 {
        self.conn.warnings()
    }

    /// What the server says of itself and of the session.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where it does not say.
    pub fn facts(&mut self) -> Result<SessionFacts> {
        let cancel = self.cancel.clone();
        border(&cancel, || self.try_facts())
    }

    fn try_facts(&mut self) -> Result<SessionFacts> {
        let failed = |error| query_error("cannot read the session's variables", &error);
        let rows = contain::ask(&mut self.conn, SESSION_VARIABLES).map_err(failed)?;
        let pairs = rows
            .iter()
            .filter_map(|row| Some((text(row, 0)?, text(row, 1)?)));
        let mut variables: HashMap<String, String> = pairs.collect();
        let status = "SHOW SESSION STATUS LIKE 'Ssl_version'";
        let version = contain::ask(&mut self.conn, status).map_err(failed)?;
        let version = version.first().and_then(|row| text(row, 1));
        let mut take = |name| variables.remove(name).unwrap_or_default();
        let (zone, system) = (take("time_zone"), take("system_time_zone"));
        let limit = match (take("max_execution_time"), take("max_statement_time")) {
            (milliseconds, _) if !milliseconds.is_empty() => {
                milliseconds.parse().map(|time: f64| time / 1000.0)
            }
            (_, seconds) => seconds.parse(),
        };
        let read_only = [take("tx_read_only"), take("transaction_read_only")];
        Ok(SessionFacts {
            version: take("version"),
            tls_version: version.filter(|version| !version.is_empty()),
            time_zone: if zone == "SYSTEM" { system } else { zone },
            statement_limit: limit.ok().filter(|seconds| *seconds > 0.0),
            is_read_only: read_only.iter().any(|value| value == "ON"),
            net_write_timeout: take("net_write_timeout"),
            wait_timeout: take("wait_timeout"),
        })
    }

    /// The columns that the statement would give and the protocol of its rows,
    /// where the server tells before the statement runs.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where the server finds a mistake in the statement.
    pub fn describe(&mut self) -> Result<Option<(Schema, &'static str)>> {
        let (conn, bound) = (&mut self.conn, &self.bound);
        let described = border(&self.cancel, || prepare::describe(conn, bound));
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

/// What [`QueryExecutor::facts`] finds out.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The server's version, as it says it.
    pub version: String,
    /// The version of TLS that the server speaks with whoever is at its end of
    /// the connection, as it says.
    pub tls_version: Option<String>,
    /// The session's time zone; where that is the system's, its name.
    pub time_zone: String,
    /// How many seconds a statement may run, where there is a limit.
    pub statement_limit: Option<f64>,
    /// Whether statements that write are refused.
    pub is_read_only: bool,
    /// Seconds that the server waits for a reader that is slow.
    pub net_write_timeout: String,
    /// Seconds that the server waits for a client that is idle.
    pub wait_timeout: String,
}

/// One statement that all servers know, whatever variables they have.
const SESSION_VARIABLES: &str = "SHOW SESSION VARIABLES WHERE Variable_name IN ('version', \
     'time_zone', 'system_time_zone', 'max_execution_time', 'max_statement_time', \
     'net_write_timeout', 'wait_timeout', 'tx_read_only', 'transaction_read_only')";

impl Drop for QueryExecutor {
    fn drop(&mut self) {
        // Before the connection closes: its descriptor's number may be reused.
        self.cancel.release();
    }
}

/// Sets what must hold for every statement of the session, and gives the
/// session's quoting mode where the query depends on it.
fn prepare_session(conn: &mut Conn, query: &Query, session: &Session) -> Result<QuotingMode> {
    if session.access == Access::ReadOnly {
        contain::run(conn, "SET SESSION TRANSACTION READ ONLY").map_err(|error| {
            query_error("the server refused to make the session read-only", &error)
                .hint("--read-write leaves the session as the server gives it")
        })?;
    }
    for statement in &session.init {
        tracing::debug!("running an init statement");
        contain::run(conn, statement).map_err(|error| {
            query_error(
                &format!("the server refused the init statement {statement:?}"),
                &error,
            )
        })?;
    }
    if !session.init.is_empty() {
        // Whatever they have set, the rows come as UTF-8.
        contain::run(conn, connect::SET_NAMES).map_err(|error| {
            query_error(
                &format!("the server refused {}", connect::SET_NAMES),
                &error,
            )
        })?;
    }
    if let Some(timeout) = session.statement_timeout {
        limit_statement(conn, timeout)?;
    }
    if let Some(zone) = &session.time_zone {
        conn.exec_iter("SET time_zone = ?", (zone,))
            .and_then(contain::finish)
            .map_err(|error| {
                query_error(
                    &format!("the server refused the time zone {zone:?}"),
                    &error,
                )
                .hint(
                    "offsets such as +00:00 always work; names need the server's time zone tables",
                )
            })?;
    }
    if !query.depends_on_mode() {
        return Ok(QuotingMode::Default);
    }
    let answer = contain::ask(conn, "SELECT @@SESSION.sql_mode")
        .map_err(|error| query_error("cannot read the session's SQL mode", &error))?;
    let sql_mode = answer.first().and_then(|row| text(row, 0));
    Ok(QuotingMode::from_sql_mode(&sql_mode.unwrap_or_default()))
}

/// Has the server give up a statement that runs for longer than `timeout` (MySQL
/// manual, "Server System Variables"; MariaDB's documentation, "Aborting
/// Statements that Exceed a Certain Time to Execute").
fn limit_statement(conn: &mut Conn, timeout: Duration) -> Result<()> {
    let failed = |error| query_error("the server refused --statement-timeout", &error);
    let answer = contain::ask(conn, "SELECT VERSION()").map_err(failed)?;
    let version = answer.first().and_then(|row| text(row, 0));
    let set = if version.is_some_and(|version| version.contains("MariaDB")) {
        format!(
            "SET SESSION max_statement_time = {:.6}",
            timeout.as_secs_f64()
        )
    } else {
        format!("SET SESSION max_execution_time = {}", timeout.as_millis())
    };
    tracing::debug!("{set}");
    contain::run(conn, &set).map_err(failed)
}

/// Whether the server says that it does not compress: it may refuse in silence.
fn is_uncompressed(conn: &mut Conn) -> Result<bool> {
    match contain::ask(conn, "SHOW SESSION STATUS LIKE 'Compression'") {
        Ok(rows) => {
            let state = rows.first().and_then(|row| text(row, 1));
            Ok(state.is_some_and(|state| state != "ON"))
        }
        // It does not tell.
        Err(mysql::Error::MySqlError(_)) => Ok(false),
        Err(error) => Err(query_error("cannot ask for the compression", &error)),
    }
}

/// What `work` with the driver gives: where the run was cancelled, why; and where
/// the driver panicked, that the server broke the protocol.
fn border<T>(cancel: &Cancel, work: impl FnOnce() -> Result<T>) -> Result<T> {
    cancel.explain(contain(work).unwrap_or_else(|Panicked| Err(broken_protocol(cancel))))
}

/// The error where the driver panicked over what the server sent.
#[cold]
fn broken_protocol(cancel: &Cancel) -> Error {
    cancel.abort_query();
    let what = "the server's answers break the protocol; nothing was published";
    Error::new(ErrorKind::Query, what)
        .hint("is a proxy in between, or another kind of server? -vv says what the driver met")
}

/// What the server answered to the statement `sql`: a result set, or an error.
fn begun<'conn, P: WireProtocol>(
    result: mysql::Result<QueryResult<'conn, 'conn, 'conn, P>>,
    cancel: &Cancel,
    sql: &str,
    keyword: &str,
) -> Result<QueryResult<'conn, 'conn, 'conn, P>> {
    let result = result.map_err(|error| {
        if !matches!(error, mysql::Error::MySqlError(_)) {
            // The connection has broken; the server may not have noticed.
            cancel.abort_query();
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
        .hint("only statements that return rows can be exported"));
    }
    Ok(result)
}

/// The error for the statement `sql` when it could not be prepared or begun.
fn statement_error(error: &mysql::Error, sql: &str) -> Error {
    let described = query_error("the query failed", error);
    if let mysql::Error::MySqlError(server) = error {
        return described.with_excerpt(excerpt::excerpt(sql, &server.message));
    }
    if let Some(unknown) = columns::unknown_type(error) {
        return unknown;
    }
    let length = sql.len();
    if length < SMALLEST_DEFAULT_PACKET {
        return described;
    }
    // MySQL just closes the connection where a statement exceeds its limit.
    described.hint(format!(
        "the SQL text has {length} bytes: is the server's max_allowed_packet smaller?"
    ))
}

/// An error of the server or the connection once the session is there.
fn query_error(context: &str, error: &mysql::Error) -> Error {
    let what = format!("{context}: {}", connect::describe(error));
    let described = Error::new(ErrorKind::Query, what);
    match error {
        mysql::Error::MySqlError(server) if server.code == refusal::MUST_CHANGE_PASSWORD => {
            let what = format!("{}: {}", refusal::EXPIRED, connect::describe(error));
            Error::new(ErrorKind::Connect, what).hint(refusal::EXPIRED_HINT)
        }
        mysql::Error::MySqlError(server) if server.code == READ_ONLY_TRANSACTION => {
            described.hint(READ_WRITE_HINT)
        }
        mysql::Error::MySqlError(server) if OUT_OF_TIME.contains(&server.code) => {
            described.hint("--statement-timeout allows it more time")
        }
        mysql::Error::MySqlError(_) => described,
        _ if connect::is_silence(error) => described
            .hint("--read-timeout is what ended it; it counts the time before the first row too"),
        _ => described.hint(
            "nothing was published; run it again, and look into the server's log if it recurs",
        ),
    }
}
