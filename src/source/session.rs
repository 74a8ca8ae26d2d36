//! Sets a session up before its statement runs, and reads the session's settings.

use std::{collections::HashMap, time::Duration};

use mysql::Conn;

use super::{
    codes, connect,
    driver::{self, number, text},
    errors::{allow_refusal, query_error, without_passwords},
    options::{Access, SessionOptions, WarningPolicy},
    server_warnings::ServerWarnings,
    tables::literal,
    tls,
};
use crate::{error::Result, sql::Dialect};

mod variables;
pub(super) use variables::Variables;

/// Removes the limit of rows that the server may have for its sessions
/// (`sql_select_limit`). ProxySQL tracks the variable, so that the session is not
/// bound to one server.
const LIFT_ROW_LIMIT: &str = "SET SESSION sql_select_limit = 18446744073709551615";

/// Lets the reader be slow for 24 days, the longest timeout in seconds that servers
/// on every system accept (MySQL manual, "Server System Variables"), and makes the
/// server keep its notes: those of EXPLAIN name the tables of a statement. MariaDB's
/// limits of an idle transaction, which may hold a snapshot, are removed (MariaDB's
/// documentation, "Transaction Timeouts"; since 10.3).
///
/// The latter are in comments that servers execute. ProxySQL removes them: they
/// would otherwise bind the session to one server from then on.
const CLIENT_LIMITS: &str = "SET SESSION net_write_timeout = 2147483, SESSION wait_timeout = 2147483 \
     /*!40101 , SESSION sql_notes = 1 */ \
     /*M!100300 , SESSION idle_transaction_timeout = 0, SESSION idle_readonly_transaction_timeout = 0, \
     SESSION idle_write_transaction_timeout = 0 */";

/// Makes the server keep every warning, as they tell what is wrong with the rows
/// ([`super::server_warnings`]). It is a statement of its own, because MySQL refuses
/// it to accounts without SESSION_VARIABLES_ADMIN; how many warnings there were is
/// counted all the same. ProxySQL removes the comment here, too.
const KEEP_WARNINGS: &str =
    "SET SESSION wait_timeout = 2147483 /*!40101 , SESSION max_error_count = 65535 */";

/// What a session is like after its preparation.
pub(super) struct Prepared {
    /// The limit of rows that the init statements have set for the export's statement.
    /// It is lifted until then ([`limit_rows`]), so that it does not apply to the
    /// program's own questions.
    pub row_limit: Option<u64>,
    /// Who refuses statements that write.
    pub guard: WriteGuard,
    /// What the user should know of the init statements.
    pub warnings: Vec<String>,
}

/// Who refuses statements that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteGuard {
    /// The server, or nobody, as the user says.
    Server,
    /// The program, by the words of a statement: the server cannot.
    Program,
}

/// Makes the session read-only. A server that does not know the statement (TiDB,
/// MatrixOne, Sphinx) leaves it to the program.
fn refuse_writes(conn: &mut Conn) -> Result<WriteGuard> {
    match driver::run(conn, "SET SESSION TRANSACTION READ ONLY") {
        Ok(()) => Ok(WriteGuard::Server),
        Err(mysql::Error::MySqlError(error)) if codes::is_unknown_statement(error.code) => {
            tracing::info!("the server has no read-only sessions: {}", error.message);
            Ok(WriteGuard::Program)
        }
        Err(error) => Err(
            query_error("the server refused to make the session read-only", error)
                .hint_or("--read-write leaves the session as the server gives it"),
        ),
    }
}

/// Sets what must hold for every statement of the session. It is repeated between
/// the exports of a session, because an earlier one may have changed it, as it may have
/// its `variables`.
pub(super) fn prepare(
    conn: &mut Conn,
    session: &SessionOptions,
    variables: &mut Variables,
) -> Result<Prepared> {
    raise_limits(conn)?;
    let guard = match session.access {
        Access::ReadOnly => refuse_writes(conn)?,
        Access::ReadWrite => WriteGuard::Server,
    };
    choose_time_zone(conn, session)?;
    variables.hold(conn)?;
    let (row_limit, warnings) = if session.init.is_empty() {
        (None, Vec::new())
    } else {
        let initialized = run_init_statements(conn, &session.init, session.warnings)?;
        // They may have chosen another one.
        choose_time_zone(conn, session)?;
        initialized
    };
    if session.statement_timeout.is_some() {
        limit_statement(conn, session.statement_timeout)
            .map_err(|error| query_error("the server refused --statement-timeout", error))?;
    }
    Ok(Prepared {
        row_limit,
        guard,
        warnings,
    })
}

/// Sets the time zone of the session, if one is chosen.
fn choose_time_zone(conn: &mut Conn, session: &SessionOptions) -> Result<()> {
    let Some(zone) = &session.time_zone else {
        return Ok(());
    };
    driver::run(conn, &set_time_zone(zone)).map_err(|error| {
        query_error(&format!("the server refused the time zone {zone:?}"), error).with_hint(
            "offsets such as +00:00 always work; names need the server's time zone tables",
        )
    })
}

/// Returns the statement that sets the session's time zone. It is sent as text, because
/// some servers and proxies do not prepare statements.
fn set_time_zone(zone: &str) -> String {
    format!("SET time_zone = {}", quoted(zone))
}

/// Returns `text` as a string of SQL, whatever the SQL mode is.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "+-_/:,=. ".contains(c);
    match text.chars().all(is_plain) {
        true => format!("'{text}'"),
        false => literal(text),
    }
}

/// Removes the limits that the server has for all sessions.
///
/// # Errors
/// [`ErrorKind::Query`] if a limit of rows stays: the result would be cut without a
/// word.
fn raise_limits(conn: &mut Conn) -> Result<()> {
    let failed = |error| query_error("cannot raise the session's limits", error);
    // A server that refuses the timeouts may end the session later; that error is
    // reported then.
    let keep_if_refused = |result: mysql::Result<()>, what: &str| -> Result<()> {
        if let Err(reason) = allow_refusal(result).map_err(failed)? {
            tracing::info!("the server keeps its {what}: {reason}");
        }
        Ok(())
    };
    if raise_limits_at_once(conn).map_err(failed)? {
        return keep_if_refused(driver::run(conn, KEEP_WARNINGS), "limit of warnings");
    }
    if let Err(error) = driver::run(conn, LIFT_ROW_LIMIT) {
        let is_refused =
            matches!(&error, mysql::Error::MySqlError(error) if !codes::is_end(error.code));
        if !is_refused {
            return Err(failed(error));
        }
        // A server without the variable has no such limit.
        if row_limit(conn).map_err(failed)?.is_some() {
            let what = "the server limits the rows of every result (sql_select_limit)";
            return Err(query_error(what, error));
        }
    }
    keep_if_refused(driver::run(conn, CLIENT_LIMITS), "limits for slow readers")?;
    keep_if_refused(driver::run(conn, KEEP_WARNINGS), "limit of warnings")?;
    keep_if_refused(limit_statement(conn, None), "limit for statements")
}

/// Removes all limits that need no privilege, by one statement. Returns `false` if the
/// server refuses it, perhaps for one of them alone.
fn raise_limits_at_once(conn: &mut Conn) -> mysql::Result<bool> {
    for variable in [LIMIT_OF_MYSQL, LIMIT_OF_MARIADB] {
        let others = LIFT_ROW_LIMIT.trim_start_matches("SET ");
        match driver::run(
            conn,
            &format!("{CLIENT_LIMITS}, {others}, SESSION {variable} = 0"),
        ) {
            Ok(()) => return Ok(true),
            Err(mysql::Error::MySqlError(error))
                if error.code == codes::UNKNOWN_SYSTEM_VARIABLE => {}
            Err(error) => return allow_refusal(Err(error)).map(|_: Result<bool, _>| false),
        }
    }
    Ok(false)
}

/// Sets the character sets that this program depends on. NULL sends each column in its
/// own character set, which is decoded.
const READABLE_TEXT: &str = "SET character_set_client = utf8mb4, character_set_results = \
     IF(@@SESSION.character_set_results IS NULL, NULL, 'utf8mb4')";

/// Runs the init statements. Returns the limit of rows that they have set, which it
/// lifts, and the warning about the character set that they have set, if there is one.
fn run_init_statements(
    conn: &mut Conn,
    statements: &[String],
    policy: WarningPolicy,
) -> Result<(Option<u64>, Vec<String>)> {
    let mut warnings = Vec::new();
    for statement in statements {
        tracing::debug!("running an init statement");
        driver::run(conn, statement).map_err(|error| {
            let what = format!("the server refused the init statement {statement:?}");
            query_error(&what, without_passwords(error, statement))
        })?;
        warnings.extend(init_warnings(conn, statement, policy)?);
    }
    let warning = restore_character_sets(conn)
        .map_err(|error| query_error("the server refused the session's character set", error))?;
    warnings.extend(warning);
    let failed = |error| query_error("cannot read sql_select_limit", error);
    let limit = row_limit(conn).map_err(failed)?;
    if let Some(rows) = limit {
        tracing::info!("the init statements limit the result to {rows} rows");
        driver::run(conn, LIFT_ROW_LIMIT).map_err(failed)?;
    }
    Ok((limit, warnings))
}

/// Returns what the server's warnings say of the init statement that has just run: what
/// it keeps in variables and tables may be cut.
///
/// # Errors
/// As the warnings of a query.
fn init_warnings(conn: &mut Conn, statement: &str, policy: WarningPolicy) -> Result<Vec<String>> {
    let what = format!("the init statement {statement:?}");
    let lower = statement.to_ascii_lowercase();
    // The answers that follow may be in UTF-16, which is not read here.
    let chooses_charset = ["names", "character", "charset"]
        .iter()
        .any(|word| lower.contains(word));
    let reports = match conn.warnings() {
        _ if chooses_charset => return Ok(Vec::new()),
        0 => return Ok(Vec::new()),
        count => ServerWarnings::read(conn, count)?.report(statement, policy, Vec::new()),
    };
    let reports = reports.map_err(|error| error.with_location(&what))?;
    Ok(reports
        .into_iter()
        .map(|report| format!("{what}: {report}"))
        .collect())
}

/// Makes the server read statements as UTF-8 after the init statements, and send text
/// that this program can read: in utf8mb4, or in the character set of each column, as
/// they have chosen. The collation of literals stays as they have set it, if it is one of
/// utf8mb4: a literal in another character set may lose characters without a word.
/// Returns the warning that it did not stay.
fn restore_character_sets(conn: &mut Conn) -> mysql::Result<Option<String>> {
    // Before any question: the answer may have come in UTF-16.
    if allow_refusal(driver::run(conn, READABLE_TEXT))?.is_err() {
        // The server does not compute what it sets.
        return driver::run(conn, connect::SET_NAMES).map(|()| None);
    }
    let answer = driver::ask(conn, "SELECT @@SESSION.character_set_connection LIMIT 1")?;
    let set = answer.first().and_then(|row| text(row, 0));
    let Some(set) = set.filter(|set| set != "utf8mb4") else {
        return Ok(None);
    };
    driver::run(conn, "SET character_set_connection = utf8mb4")?;
    Ok(Some(format!(
        "the init statements make literals {set}, which may lose characters: they are utf8mb4 \
         again, with its default collation; SET NAMES utf8mb4 COLLATE … in their place chooses \
         another"
    )))
}

/// Returns the most rows that the server returns of a statement, if there is a limit.
fn row_limit(conn: &mut Conn) -> mysql::Result<Option<u64>> {
    // The clause LIMIT takes precedence over the variable.
    let limit = match driver::ask(conn, "SELECT @@SESSION.sql_select_limit LIMIT 1") {
        Ok(rows) => rows.first().and_then(|row| number(row, 0)),
        // The server has no such variable.
        Err(mysql::Error::MySqlError(error)) if codes::is_unknown_statement(error.code) => None,
        Err(error) => return Err(error),
    };
    Ok(limit.filter(|rows| *rows != u64::MAX))
}

/// Makes the server return at most `rows` rows of each statement from now on.
pub(super) fn limit_rows(conn: &mut Conn, rows: u64) -> Result<()> {
    driver::run(conn, &format!("SET SESSION sql_select_limit = {rows}"))
        .map_err(|error| query_error("the server refused to limit the rows", error))
}

/// Returns the character set that the server converts text to; `None` if it sends text
/// as its columns have it.
pub(super) fn result_charset(conn: &mut Conn) -> Result<Option<String>> {
    let answer = driver::ask(conn, "SELECT @@SESSION.character_set_results")
        .map_err(|error| query_error("cannot read the session's character set", error))?;
    Ok(answer.first().and_then(|row| text(row, 0)))
}

/// Returns how the session reads quotes and comments.
pub(super) fn dialect(conn: &mut Conn) -> Result<Dialect> {
    let answer = driver::ask(conn, "SELECT VERSION(), @@SESSION.sql_mode")
        .map_err(|error| query_error("cannot read the session's SQL mode", error))?;
    let column = |index| answer.first().and_then(|row| text(row, index));
    let (version, sql_mode) = (column(0), column(1));
    Ok(Dialect::of_session(
        &version.unwrap_or_default(),
        &sql_mode.unwrap_or_default(),
    ))
}

/// MySQL's variable for the longest time of a statement, in milliseconds.
const LIMIT_OF_MYSQL: &str = "max_execution_time";

/// MariaDB's variable for it, in seconds.
const LIMIT_OF_MARIADB: &str = "max_statement_time";

/// Makes the server end statements that run for longer than `timeout`. `None`
/// removes the limit.
///
/// MySQL has `max_execution_time` in milliseconds, MariaDB `max_statement_time` in
/// seconds (MySQL manual, "Server System Variables"; MariaDB's documentation,
/// "Aborting Statements that Exceed a Certain Time to Execute"). Both are tried,
/// because a proxy's version does not say which server runs the statement.
fn limit_statement(conn: &mut Conn, timeout: Option<Duration>) -> mysql::Result<()> {
    let time = timeout.unwrap_or_default();
    let of_mysql = format!("SET SESSION {LIMIT_OF_MYSQL} = {}", time.as_millis());
    let of_mariadb = format!("SET SESSION {LIMIT_OF_MARIADB} = {:.6}", time.as_secs_f64());
    match driver::run(conn, &of_mysql) {
        Err(mysql::Error::MySqlError(error)) if error.code == codes::UNKNOWN_SYSTEM_VARIABLE => {
            driver::run(conn, &of_mariadb)
        }
        result => result,
    }
}

/// Whether the server reports that it does not compress: it may ignore the request
/// without an error.
pub(super) fn is_uncompressed(conn: &mut Conn) -> Result<bool> {
    match driver::ask(conn, "SHOW SESSION STATUS LIKE 'Compression'") {
        Ok(rows) => {
            let state = rows.first().and_then(|row| text(row, 1));
            Ok(state.is_some_and(|state| state != "ON"))
        }
        // The server does not report it.
        Err(mysql::Error::MySqlError(_)) => Ok(false),
        Err(error) => Err(query_error("cannot ask for the compression", error)),
    }
}

/// An advisory lock of the session with a random name, by which a second
/// connection recognizes the session: behind a load balancer, it may reach another
/// server, where the same connection id is another connection.
///
/// The statement in the process list is no substitute: for a procedure or a
/// function, the list shows the inner statement.
#[derive(Clone, Debug)]
pub(super) struct SessionLock(String);

impl SessionLock {
    /// Returns a lock that no other session has. If the system has no random
    /// numbers, its name is empty, which servers refuse.
    pub fn new() -> Self {
        let number = tls::random_number();
        Self(number.map_or_else(String::new, |number| format!("gold_digger.{number:032x}")))
    }

    /// The lock's name, which needs no quoting.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Acquires the lock for the session of `conn`, and returns the number of the
    /// connection on the server, which a proxy may have hidden. On a server without such
    /// locks, no query can be killed later.
    ///
    /// It is a SELECT, by which proxies keep the connection that has the lock for the
    /// session. Vitess refuses it for what stands beside the lock, and nobody can be
    /// killed there; after DO, the lock would stay on a pooled connection.
    pub fn acquire(&self, conn: &mut Conn) -> Result<Option<u32>> {
        let sql = format!("SELECT GET_LOCK('{}', 0), CONNECTION_ID()", self.0);
        let acquired = allow_refusal(driver::ask(conn, &sql))
            .map_err(|error| query_error("cannot mark the session", error))?;
        match acquired {
            Ok(rows) => Ok(rows.first().and_then(|row| number(row, 1))),
            Err(reason) => {
                tracing::info!("the query could not be killed: {reason}");
                Ok(None)
            }
        }
    }

    /// Returns the id of the connection that holds the lock on the server of `conn`.
    pub fn owner(&self, conn: &mut Conn) -> Option<u32> {
        let answer = driver::ask(conn, &format!("SELECT IS_USED_LOCK('{}') LIMIT 1", self.0));
        number(answer.ok()?.first()?, 0)
    }
}

/// The server's version and a session's settings, as
/// [`QueryExecutor::facts`](super::QueryExecutor::facts) reads them.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The server's variable `version`. Empty: the server does not report it.
    pub version: String,
    /// The TLS version of the server's end of the connection, such as `TLSv1.3`
    /// (its status `Ssl_version`). `None`: one of the ends is not encrypted. Behind
    /// a proxy, it is the connection between the proxy and the server.
    pub tls_version: Option<String>,
    /// The session's variable `time_zone`; if that is `SYSTEM`, the server's
    /// `system_time_zone`. Empty: the server does not report it.
    pub time_zone: String,
    /// The most seconds that a statement may run (`max_execution_time` of MySQL,
    /// `max_statement_time` of MariaDB). `None`: there is no limit.
    pub statement_limit: Option<f64>,
    /// Whether the server refuses statements that write (`transaction_read_only`,
    /// or `tx_read_only` of older servers). `None`: the server does not report it.
    pub is_read_only: Option<bool>,
    /// The seconds that the server waits for a slow reader of rows, as it returns
    /// them. Empty: the server does not report it.
    pub net_write_timeout: String,
    /// The seconds that the server waits for an idle client, as it returns them.
    /// Empty: the server does not report it.
    pub wait_timeout: String,
}

/// The statement is valid on all servers, also on those that lack some of the
/// variables.
const SESSION_VARIABLES: &str = "SHOW SESSION VARIABLES WHERE Variable_name IN ('version', \
     'time_zone', 'system_time_zone', 'max_execution_time', 'max_statement_time', \
     'net_write_timeout', 'wait_timeout', 'tx_read_only', 'transaction_read_only')";

/// Whether this program's end of the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encryption {
    None,
    Tls,
}

/// Reads the server's version and the settings of the session of `conn`, as far as the
/// server tells them.
pub(super) fn facts(conn: &mut Conn, encryption: Encryption) -> Result<SessionFacts> {
    let failed = |error| query_error("cannot read the session's variables", error);
    let answer = |answer| allow_refusal(answer).map_err(failed);
    let rows = answer(driver::ask(conn, SESSION_VARIABLES))?.unwrap_or_default();
    let pairs = rows
        .iter()
        .filter_map(|row| Some((text(row, 0)?, text(row, 1)?)));
    let mut variables: HashMap<String, String> = pairs.collect();
    let tls_version = match encryption {
        Encryption::None => None,
        Encryption::Tls => {
            let status = "SHOW SESSION STATUS LIKE 'Ssl_version'";
            let rows = answer(driver::ask(conn, status))?.unwrap_or_default();
            rows.first().and_then(|row| text(row, 1))
        }
    };
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
        tls_version: tls_version.filter(|version| !version.is_empty()),
        time_zone: if zone == "SYSTEM" { system } else { zone },
        statement_limit: limit.ok().filter(|seconds| *seconds > 0.0),
        is_read_only: read_only
            .iter()
            .any(|value| !value.is_empty())
            .then(|| read_only.iter().any(|value| value == "ON")),
        net_write_timeout: take("net_write_timeout"),
        wait_timeout: take("wait_timeout"),
    })
}
