//! The server's side: a session that runs statements, and the stream of one
//! statement's rows.
//!
//! Types of the driver stop here and in `row`. What the rows become is left to
//! the formats.

use mysql::{Conn, QueryResult, Text, prelude::Queryable};

use crate::{
    cancel::Cancel,
    config::{Access, Connection},
    error::{Error, ErrorKind, Result},
    row::Row,
    schema::Schema,
    sql::{Query, QuotingMode},
};

mod columns;
mod connect;
mod live;

pub(crate) use live::LiveConnection;

/// ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, the same in MySQL and MariaDB.
const READ_ONLY_TRANSACTION: u16 = 1792;

/// The default of `max_allowed_packet` on old servers, the smallest in use.
const SMALLEST_DEFAULT_PACKET: usize = 1 << 20;

const READ_WRITE_HINT: &str = "--read-write lets the statement write";

/// A session on a server, which runs one statement at a time.
pub struct QueryExecutor {
    conn: Conn,
    cancel: Cancel,
    statement: String,
    keyword: String,
}

impl QueryExecutor {
    /// Connects, prepares the session, and gets `query` ready to run.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`] where there is no session; [`ErrorKind::Config`]
    /// where the server's SQL mode makes several statements of the text;
    /// [`ErrorKind::Query`] where the server refuses to prepare the session.
    pub fn connect(
        connection: &Connection,
        query: &Query,
        access: Access,
        cancel: &Cancel,
    ) -> Result<Self> {
        let mut executor = Self {
            conn: connect::connect(connection, connect::TIMEOUT)?,
            cancel: cancel.clone(),
            statement: String::new(),
            keyword: query.keyword().to_uppercase(),
        };
        // From here on the run can be ended while the server is silent.
        cancel.register(LiveConnection::new(&executor.conn, connection, query))?;
        executor.statement = cancel.explain(prepare_session(&mut executor.conn, query, access))?;
        Ok(executor)
    }

    /// Runs the statement over the text protocol, up to the first row.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where the server refuses it, or where it has no
    /// result set.
    pub fn run(&mut self) -> Result<RowStream<'_>> {
        let cancel = self.cancel.clone();
        let result = self.conn.query_iter(&self.statement);
        let length = self.statement.len();
        let result = result.map_err(|error| {
            let described = query_error("the query failed", &error);
            if let mysql::Error::MySqlError(_) = error {
                return described;
            }
            // The connection has broken; the server may not have noticed.
            cancel.abort_query();
            if length < SMALLEST_DEFAULT_PACKET {
                return described;
            }
            // MySQL just closes the connection then.
            described.hint(format!(
                "the SQL text has {length} bytes: is the server's max_allowed_packet smaller?"
            ))
        });
        let result = cancel.explain(result)?;
        let columns = result.columns();
        if columns.as_ref().is_empty() {
            return Err(Error::new(
                ErrorKind::Query,
                format!(
                    "the statement ({} …) ran, but it has no result set; {} rows were affected",
                    self.keyword,
                    result.affected_rows()
                ),
            )
            .hint("only statements that return rows can be exported"));
        }
        let schema = columns::schema(columns.as_ref());
        let mut stream = RowStream {
            schema: Schema {
                columns: Vec::new(),
            },
            result,
            row: None,
            state: StreamState::Open,
            cancel,
        };
        // Only now: an error from here on drops a stream, which does not drain.
        stream.schema = schema?;
        Ok(stream)
    }

    /// The number of warnings that the server counted for the last statement.
    #[must_use]
    pub fn warning_count(&self) -> u16 {
        self.conn.warnings()
    }
}

impl Drop for QueryExecutor {
    fn drop(&mut self) {
        // Before the connection closes: its descriptor's number may be reused.
        self.cancel.release();
    }
}

/// Sets what must hold for every statement of the session, and returns the
/// statement to send.
fn prepare_session(conn: &mut Conn, query: &Query, access: Access) -> Result<String> {
    // A server can ignore the handshake's character set (MySQL manual,
    // "Connection Character Sets and Collations", --skip-character-set-client-handshake).
    conn.query_drop("SET NAMES utf8mb4")
        .map_err(|error| query_error("the server refused SET NAMES utf8mb4", &error))?;
    if access == Access::ReadOnly {
        conn.query_drop("SET SESSION TRANSACTION READ ONLY")
            .map_err(|error| {
                query_error("the server refused to make the session read-only", &error)
                    .hint("--read-write leaves the session as the server gives it")
            })?;
    }
    let mode = if query.depends_on_mode() {
        let sql_mode: Option<String> = conn
            .query_first("SELECT @@SESSION.sql_mode")
            .map_err(|error| query_error("cannot read the session's SQL mode", &error))?;
        QuotingMode::from_sql_mode(&sql_mode.unwrap_or_default())
    } else {
        QuotingMode::Default
    };
    query.statement(mode).map(str::to_owned)
}

/// The rows of one result set, one at a time; borrows the session.
///
/// Dropped before its end, it cuts the connection and kills the query instead
/// of reading on.
pub struct RowStream<'conn> {
    schema: Schema,
    result: QueryResult<'conn, 'conn, 'conn, Text>,
    row: Option<mysql::Row>,
    state: StreamState,
    cancel: Cancel,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamState {
    /// The server may send more, or still be at work.
    Open,
    /// Nothing is left on the server's side.
    Ended,
}

impl RowStream<'_> {
    /// The columns, known before the first row.
    #[must_use]
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Waits for the next row; `None` is the end of the result set, which only
    /// [`finish`](Self::finish) makes the end of the statement.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where the server reports an error or the result
    /// breaks off.
    pub fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        self.row = match self.result.next() {
            Some(Ok(row)) => Some(row),
            Some(Err(error)) => return Err(self.broken("the result broke off", &error)),
            None => None,
        };
        Ok(self.row.as_ref().map(Row::new))
    }

    /// Reads what follows the result set, up to the statement's end.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] where a second result set or an error follows, as a
    /// procedure can send.
    pub fn finish(mut self) -> Result<()> {
        // `next` shows nothing that follows the first result set; `iter` does.
        let failed = loop {
            let Some(mut set) = self.result.iter() else {
                break None;
            };
            if !set.columns().as_ref().is_empty() {
                // Dropping `set` would read all of it.
                self.cancel.abort_query();
                return Err(Error::new(
                    ErrorKind::Query,
                    "the statement returned a second result set",
                )
                .hint("an export is one result set: let the procedure select once"));
            }
            if let Some(Err(error)) = set.next() {
                break Some(error);
            }
        };
        match failed {
            Some(error) => Err(self.broken("the statement failed after its rows", &error)),
            None => {
                self.state = StreamState::Ended;
                Ok(())
            }
        }
    }

    fn broken(&mut self, context: &str, error: &mysql::Error) -> Error {
        if let mysql::Error::MySqlError(_) = error {
            // The server has ended the statement itself.
            self.state = StreamState::Ended;
        }
        let error: Result<()> = Err(query_error(context, error));
        match self.cancel.explain(error) {
            Err(error) => error,
            Ok(()) => unreachable!("an error stays an error"),
        }
    }
}

impl Drop for RowStream<'_> {
    fn drop(&mut self) {
        if self.state == StreamState::Open {
            // Otherwise dropping `result` would read all that is left.
            self.cancel.abort_query();
        }
    }
}

/// An error of the server or the connection once the session is there.
fn query_error(context: &str, error: &mysql::Error) -> Error {
    let described = Error::new(
        ErrorKind::Query,
        format!("{context}: {}", connect::describe(error)),
    );
    match error {
        mysql::Error::MySqlError(server) if server.code == READ_ONLY_TRANSACTION => {
            described.hint(READ_WRITE_HINT)
        }
        mysql::Error::MySqlError(_) => described,
        _ => described.hint(
            "nothing was published; run it again, and look into the server's log if it recurs",
        ),
    }
}
