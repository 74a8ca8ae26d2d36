//! Runs statements in a session on a server.

use std::{mem, sync::Arc};

use mysql::{
    Column, Conn, QueryResult,
    consts::ColumnType as WireType,
    prelude::{Protocol as WireProtocol, Queryable},
};

use super::{
    RowSource,
    bit_branches::BitDoubt,
    bits::StoredBits,
    columns::{self, NotNullFlags},
    connect::{self, Purpose},
    correction::{DoubtfulText, ValueContext},
    driver::{self, catch_panic},
    errors::{READ_WRITE_HINT, catch_driver_panic, is_refused_write, query_error, statement_error},
    interrupt::{InterruptHandle, SessionUse},
    lookup,
    options::{Compression, ConnectOptions, Protocol, SessionOptions, WarningPolicy},
    prepare, previous,
    rows::{RowStream, Rows},
    server_warnings::ServerWarnings,
    session::{self, Encryption, SessionFacts, SessionLock, Variables, WriteGuard},
    tables::TableCache,
    time_zone::TimeZone,
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    schema::{ColumnType, Schema},
    sql::{BoundQuery, Dialect, Parameter, Query, TableName},
    text::counted,
};

/// The keywords of statements that run others, whose columns are known only then.
const RUNS_OTHERS: [&str; 2] = ["CALL", "EXECUTE"];

/// A session on a server. It runs one statement at a time.
///
/// The order of calls is [`connect`](Self::connect), [`bind`](Self::bind),
/// [`run`](Self::run), then the [`RowStream`] to its end. Dropped, it closes the
/// connection.
pub struct QueryExecutor {
    pub(super) conn: Conn,
    pub(super) interrupt: Arc<InterruptHandle>,
    pub(super) cancel: CancelToken,
    encryption: Encryption,
    /// The database that the session is to be in.
    database: Option<String>,
    /// The statement that runs next.
    pub(super) bound: BoundQuery,
    pub(super) protocol: Protocol,
    /// The prepared statement that runs or has run.
    pub(super) prepared: Option<mysql::Statement>,
    /// The server's warnings when it prepared the statement.
    early_warnings: ServerWarnings,
    pub(super) session: session::Prepared,
    variables: Variables,
    pub(super) warning_policy: WarningPolicy,
    pub(super) warning: Option<String>,
    pub(super) table_cache: TableCache,
    /// A moment of the session's clock right before its snapshot began, as seconds since 1970
    /// with a fraction; `None` without a snapshot.
    pub(super) snapshot_moment: Option<String>,
    pub(super) stored_bits: StoredBits,
    /// The warnings about the values of the statement that runs.
    value_warnings: Vec<String>,
    pub(super) doubtful: DoubtfulText,
    pub(super) time_zone: TimeZone,
}

impl QueryExecutor {
    /// Connects to the server of `connection` and sets the session up as `session`
    /// says. Cancelling `cancel` ends its work, as `session_use` says.
    ///
    /// # Errors
    /// [`ErrorKind::Connect`] if the server cannot be reached or refuses the login,
    /// [`ErrorKind::Query`] if it refuses a setting of the session or an init
    /// statement, and the cause if `cancel` was cancelled.
    pub fn connect(
        connection: &ConnectOptions,
        session: &SessionOptions,
        session_use: SessionUse,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let connect::Session { conn, id, .. } =
            connect::connect(connection, connection.connect_timeout, Purpose::Export)?;
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
            encryption: match connection.tls {
                Some(_) => Encryption::Tls,
                None => Encryption::None,
            },
            database: connection.database.clone(),
            bound: BoundQuery::default(),
            protocol: Protocol::Auto,
            prepared: None,
            early_warnings: ServerWarnings::default(),
            session: session::Prepared {
                row_limit: None,
                guard: WriteGuard::Server,
                warnings: Vec::new(),
            },
            variables: match session_use {
                SessionUse::Exclusive => Variables::Free,
                SessionUse::Shared => Variables::Unread,
            },
            warning_policy: session.warnings,
            warning: None,
            table_cache: TableCache::default(),
            snapshot_moment: None,
            stored_bits: StoredBits::default(),
            value_warnings: Vec::new(),
            doubtful: DoubtfulText::default(),
            time_zone: TimeZone::new(session.time_zone.as_deref()),
        };
        // From here on, a cancellation ends the session while the server is silent.
        cancel.on_interrupt(executor.interrupt.clone())?;
        if let Some(id) = executor.with_driver(|conn| lock.acquire(conn))? {
            executor.interrupt.set_id(id);
        }
        executor.prepare(session)?;
        if connection.compression == Compression::Zlib
            && executor.with_driver(session::is_uncompressed)?
        {
            let what = "the server says that it does not compress; the rows travelled as they are";
            executor.warning = Some(what.to_owned());
        }
        Ok(executor)
    }

    /// Runs `work` with the connection. Returns the cause if the run was cancelled,
    /// and a protocol error if the driver panicked.
    pub(super) fn with_driver<T>(
        &mut self,
        work: impl FnOnce(&mut Conn) -> Result<T>,
    ) -> Result<T> {
        let conn = &mut self.conn;
        catch_driver_panic(&self.cancel, || work(conn))
    }

    /// Lets `cancel` end the session's work from now on, instead of the token
    /// before, and frees the statement that ran before.
    ///
    /// # Errors
    /// The cause if `cancel` was cancelled.
    pub fn attach(&mut self, cancel: &CancelToken) -> Result<()> {
        cancel.on_interrupt(self.interrupt.clone())?;
        self.cancel.deregister();
        self.cancel = cancel.clone();
        // The export before leaves its statement open if it failed.
        self.close_statement();
        Ok(())
    }

    /// Sets the session up as `session` says.
    fn prepare(&mut self, session: &SessionOptions) -> Result<()> {
        let (conn, variables) = (&mut self.conn, &mut self.variables);
        self.session =
            catch_driver_panic(&self.cancel, || session::prepare(conn, session, variables))?;
        Ok(())
    }

    /// Sets the session of a snapshot up again as `session` says, because the settings of one
    /// export must not apply to the next. If the session is [`SessionUse::Shared`], the
    /// server's variables that change rows are as they were when it began. User variables
    /// keep their values.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the server refuses a setting or an init statement, or to
    /// set back what a query has set.
    pub fn reset_session(&mut self, session: &SessionOptions) -> Result<()> {
        self.with_driver(|conn| {
            driver::run(conn, connect::SET_NAMES)
                .map_err(|error| query_error("cannot set the character set again", error))
        })?;
        self.prepare(session)?;
        match session.init.is_empty() {
            true => Ok(()),
            false => self.check_transaction(
                "an init statement",
                "leave COMMIT, FLUSH, LOCK TABLES and the like out of init, or the snapshot",
            ),
        }
    }

    /// Makes `query` with `parameters` the statement that [`run`](Self::run)
    /// executes. Nothing is sent, except a query for the session's SQL mode and version if
    /// the meaning of the text depends on it.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if the text is not one statement for the session, or if
    /// names and values of parameters do not match;
    /// [`ErrorKind::Query`] if the SQL mode cannot be read, or if the statement may
    /// write in a session that the server should have made read-only and could not.
    pub fn bind(
        &mut self,
        query: &Query,
        parameters: &[Parameter],
        protocol: Protocol,
    ) -> Result<()> {
        let dialect = if query.depends_on_dialect_with(parameters) {
            self.with_driver(session::dialect)?
        } else {
            Dialect::default()
        };
        if self.session.guard == WriteGuard::Program && !query.reads_only() {
            let what = format!(
                "the statement ({} …) may write, and this server has no read-only sessions",
                query.keyword()
            );
            return Err(Error::new(ErrorKind::Query, what).with_hint(READ_WRITE_HINT));
        }
        self.bound = query.bind(dialect, parameters)?;
        self.protocol = protocol;
        Ok(())
    }

    /// The warnings about the session that the user should see: the server does not
    /// compress, although compression was requested, or has no read-only sessions.
    #[must_use]
    pub fn warnings_of_session(&self) -> Vec<String> {
        let unguarded = "the server has no read-only sessions: only statements that read by their \
                         first word are run, and what functions in them write is not refused";
        let unguarded = (self.session.guard == WriteGuard::Program).then(|| unguarded.to_owned());
        let warnings = self.warning.iter().chain(&self.session.warnings);
        warnings.cloned().chain(unguarded).collect()
    }

    /// Runs the bound statement up to its first row: prepared, so that the server
    /// sends binary rows, or as text (see [`Protocol`]).
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the server refuses the statement, or if it has no
    /// result set.
    pub fn run(&mut self) -> Result<RowStream<'_>> {
        let cancel = self.cancel.clone();
        catch_driver_panic(&cancel, || self.try_run())
    }

    fn try_run(&mut self) -> Result<RowStream<'_>> {
        let database = self.database.as_deref();
        let unprepared = lookup::look_up(&mut self.conn, &self.bound, database)?;
        if let Some(rows) = self.session.row_limit {
            session::limit_rows(&mut self.conn, rows)?;
        }
        let prepared = prepare::prepare(&mut self.conn, self.protocol, &self.bound, unprepared)?;
        self.early_warnings = match &prepared {
            // MySQL folds constants here, and does not repeat its warnings of them when
            // the statement runs. The driver does not tell their number.
            prepare::Statement::Prepared(_) if !connect::is_mariadb(&self.conn) => {
                ServerWarnings::read(&mut self.conn, 0)?
            }
            _ => ServerWarnings::default(),
        };
        let doubt = self.learn_of_columns(&prepared)?;
        let doubtful_bits = |columns: &[Column]| doubt.and_then(|doubt| doubt.warning(columns));
        self.doubtful = DoubtfulText::default();
        let context = ValueContext {
            stored_bits: &self.stored_bits,
            doubtful: &self.doubtful,
            runs_others: RUNS_OTHERS.contains(&self.bound.keyword.as_str()),
            not_null_flags: NotNullFlags::of(&self.bound),
        };
        let rows = match prepared {
            prepare::Statement::Prepared(statement) => {
                self.prepared = Some(statement.clone());
                let result = self.conn.exec_iter(&statement, ());
                let rows = expect_result_set(result, &self.cancel, &self.bound)?;
                self.value_warnings
                    .extend(doubtful_bits(rows.columns().as_ref()));
                RowStream::new(Rows::Binary(rows), None, &self.cancel, context)?
            }
            text => {
                let reason = text.reason();
                let result = self.conn.query_iter(&self.bound.sql);
                let rows = expect_result_set(result, &self.cancel, &self.bound)?;
                self.value_warnings
                    .extend(doubtful_bits(rows.columns().as_ref()));
                if runs_expressions(&self.bound) {
                    let warning = rounded_doubles(rows.columns().as_ref());
                    self.value_warnings.extend(warning);
                }
                let rows = RowStream::new(Rows::Text(rows), reason, &self.cancel, context)?;
                if self.protocol == Protocol::Auto {
                    let warning = rounded_floats(rows.schema(), rows.note());
                    self.value_warnings.extend(warning);
                }
                rows
            }
        };
        self.time_zone.expect(rows.schema());
        let warning = columns::lost_characters(rows.schema(), &self.bound.sql);
        self.value_warnings.extend(warning);
        self.value_warnings.extend(previous::warning(&self.bound));
        Ok(rows)
    }

    /// Learns what the metadata does not say of the statement's BIT columns and
    /// TIMESTAMPs. Returns what may be wrong with the BITs.
    fn learn_of_columns(&mut self, statement: &prepare::Statement) -> Result<Option<BitDoubt>> {
        let conn = &mut self.conn;
        let columns = prepare::columns(conn, statement, &self.bound)?;
        let learned = match &*self.bound.keyword {
            // Their columns are known only when they run.
            keyword if RUNS_OTHERS.contains(&keyword) => {
                self.stored_bits.is_mariadb(conn).map(drop)
            }
            _ => self.stored_bits.learn(conn, &columns),
        };
        let learned = learned.and_then(|()| {
            self.time_zone.learn(&mut self.conn, &columns)?;
            self.value_warnings = self.bit_branch_warning(&columns)?.into_iter().collect();
            self.bit_doubt()
        });
        learned.map_err(|error| query_error("cannot ask about the statement's columns", error))
    }

    /// Checks that no text has lost characters that its character set lacks, as far
    /// as can be known. Call it after the rows.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if a text may have lost one, because a procedure chose
    /// another character set than utf8mb4.
    pub fn check_text(&mut self) -> Result<()> {
        let Some(doubt) = self.doubtful.get() else {
            return Ok(());
        };
        let (error, allows_utf8mb4) = (doubt.error.clone(), doubt.allows_utf8mb4);
        match self.with_driver(session::result_charset)?.as_deref() {
            // The server sends text as its columns have it.
            None => Ok(()),
            Some("utf8mb4") if allows_utf8mb4 => Ok(()),
            Some(_) => Err(error),
        }
    }

    /// Frees the prepared statement on the server, if one has run.
    pub fn close_statement(&mut self) {
        if let Some(statement) = self.prepared.take() {
            // The server sends no answer. If the connection is lost, the statement is
            // freed too, and all rows had arrived.
            let _ = catch_panic(|| self.conn.close(statement));
        }
    }

    /// The number of warnings that the server has for the last statement. It stops
    /// at 65,535.
    #[must_use]
    pub fn warnings(&self) -> u16 {
        self.conn.warnings()
    }

    /// Returns what the server's warnings say of the result of the last statement:
    /// that values were altered, or that not all warnings can be read. Empty: the
    /// server warns of neither.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the warnings say that rows or whole values are missing,
    /// if the warnings cannot be read, and, with
    /// [`WarningPolicy::Fail`](super::WarningPolicy::Fail), if there is anything to
    /// return.
    pub fn result_warnings(&mut self) -> Result<Vec<String>> {
        let warnings = match self.warnings() {
            0 => ServerWarnings::default(),
            count => self.with_driver(|conn| ServerWarnings::read(conn, count))?,
        };
        let others = mem::take(&mut self.value_warnings);
        let warnings = mem::take(&mut self.early_warnings).joined_with(warnings);
        warnings.report(&self.bound.sql, self.warning_policy, others)
    }

    /// Returns the statement that creates `table`, a table or a view, as the server shows it,
    /// with a `;` and a line end.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the server does not show it.
    pub fn create_statement(&mut self, table: &TableName) -> Result<String> {
        // In the mode ANSI_QUOTES and the like, names would be in quotes that are none for a
        // server with its usual mode.
        let usual = "SET @gold_digger_sql_mode = @@SESSION.sql_mode, SESSION sql_mode = ''";
        let back = "SET SESSION sql_mode = @gold_digger_sql_mode";
        let sql = format!("SHOW CREATE TABLE {table}");
        let rows = self.with_driver(|conn| {
            let ask = |conn: &mut Conn| {
                driver::run(conn, usual)?;
                let rows = driver::ask(conn, &sql);
                driver::run(conn, back)?;
                rows
            };
            ask(conn).map_err(|error| query_error("cannot read how the table is created", error))
        })?;
        let text = rows.first().and_then(|row| driver::text(row, 1));
        let text = text.ok_or_else(|| {
            let message = format!("the server does not show how {table} is created");
            Error::new(ErrorKind::Query, message)
        })?;
        Ok(text + ";\n")
    }

    /// Reads the server's version and the session's settings.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the server does not return them.
    pub fn facts(&mut self) -> Result<SessionFacts> {
        let encryption = self.encryption;
        self.with_driver(|conn| session::facts(conn, encryption))
    }

    /// Returns the columns of the bound statement and the wire protocol of its rows
    /// (`binary` or `text`), without running it, or the reason why they are not known,
    /// as a sentence without its full stop.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the server finds a mistake in the statement, if it has no
    /// result set, or if a column has an unknown type or a name that is not UTF-8.
    pub fn describe(&mut self) -> Result<Result<(Schema, &'static str), String>> {
        let (conn, bound) = (&mut self.conn, &self.bound);
        let described = catch_driver_panic(&self.cancel, || prepare::describe(conn, bound));
        if described.as_ref().is_err_and(is_refused_write) {
            prepare::refuse_without_rows(bound)?;
        }
        let statement = match described? {
            Ok(statement) => statement,
            Err(reason) => return Ok(Err(format!("the statement is not prepared: {reason}"))),
        };
        if statement.columns().is_empty() {
            prepare::refuse_without_rows(&self.bound)?;
            let reason = "the server announces none before the statement runs";
            return Ok(Err(reason.to_owned()));
        }
        let is_prepared = prepare::is_wanted(self.protocol, &self.bound);
        let protocol = if is_prepared { "binary" } else { "text" };
        let flags = NotNullFlags::of(&self.bound);
        let schema = columns::schema(&statement.columns(), flags)?;
        Ok(Ok((schema, protocol)))
    }
}

impl Drop for QueryExecutor {
    fn drop(&mut self) {
        // Before the connection closes, because the system may reuse the number of
        // its descriptor.
        self.cancel.deregister();
    }
}

/// Returns the warning that FLOATs arrive rounded, if there is one: the text protocol
/// has six digits of them (MySQL source, `Protocol_text`). `reason` says why it was
/// used, if the statement could have been prepared.
fn rounded_floats(schema: &Schema, reason: Option<&str>) -> Option<String> {
    let mut columns = schema.columns.iter();
    let float = columns.find(|column| matches!(column.column_type, ColumnType::Float(_)))?;
    let reason = reason.unwrap_or("this kind of statement goes as text");
    Some(format!(
        "FLOATs such as {:?} have six digits only: {reason}",
        float.name
    ))
}

/// Whether the statement `bound` can have columns that are expressions of the user's.
fn runs_expressions(bound: &BoundQuery) -> bool {
    prepare::is_prepared(bound) || RUNS_OTHERS.contains(&bound.keyword.as_str())
}

/// Returns the warning that DOUBLEs of expressions may arrive rounded, if there is one: in
/// text, servers write only the decimals that they declare, which are too few for some.
fn rounded_doubles(columns: &[Column]) -> Option<String> {
    let column = columns.iter().find(|column| {
        column.column_type() == WireType::MYSQL_TYPE_DOUBLE
            && column.decimals() < columns::FLOATING_DECIMALS
            && column.org_table_ref().is_empty()
    })?;
    Some(format!(
        "DOUBLEs of expressions such as {:?} may be rounded: as text, the server sends only \
         the decimals that it declares for them; over the binary protocol they have all digits",
        column.name_str()
    ))
}

/// Returns the result set of the statement `bound`, or an error if there is none.
fn expect_result_set<'conn, P: WireProtocol>(
    result: mysql::Result<QueryResult<'conn, 'conn, 'conn, P>>,
    cancel: &CancelToken,
    bound: &BoundQuery,
) -> Result<QueryResult<'conn, 'conn, 'conn, P>> {
    let result = result.map_err(|error| {
        if !matches!(error, mysql::Error::MySqlError(_)) {
            // The connection is broken, which the server may not have noticed.
            cancel.close_connection();
        }
        statement_error(error, bound)
    })?;
    if result.columns().as_ref().is_empty() {
        let affected = result.affected_rows();
        // Dropping the result would read everything that the server still sends.
        mem::forget(result);
        return Err(Error::new(
            ErrorKind::Query,
            format!(
                "the statement ({} …) ran, but it has no result set; it affected {}",
                bound.keyword,
                counted(affected, "row")
            ),
        )
        .with_hint(prepare::ROWS_HINT));
    }
    Ok(result)
}
