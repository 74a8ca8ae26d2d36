//! What is set in a session before its statement runs, and what the server says
//! of the session and of the statement that has run.

use std::{collections::HashMap, time::Duration};

use mysql::{Conn, Row, prelude::Queryable};

use super::{
    codes, connect,
    driver::{self, number, text},
    errors::query_error,
    options::{Access, SessionOptions},
    tls,
};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::QuotingMode,
};

/// The server keeps every warning (see [`truncation_warning`]), and its reader may be slow:
/// 24 days, the longest that servers on every system take (MySQL manual, "Server
/// System Variables"). The first of these stands in a comment, which servers run
/// and ProxySQL takes away: it would keep the session on one server from then on.
const PATIENCE: &str = "SET SESSION net_write_timeout = 2147483, SESSION wait_timeout = 2147483 \
     /*!40101 , SESSION max_error_count = 65535 */";

/// Sets what must hold for every statement of the session; also again, where an
/// earlier one of several has set something else.
pub(super) fn prepare(conn: &mut Conn, session: &SessionOptions) -> Result<()> {
    // Who is cut off by what the server keeps to itself will be told.
    let or_told = |result: mysql::Result<()>, what: &str| match result {
        Err(mysql::Error::MySqlError(error)) => {
            tracing::info!("the server keeps its {what}: {}", error.message);
            Ok(())
        }
        result => result.map_err(|error| query_error("cannot raise the session's limits", error)),
    };
    or_told(driver::run(conn, PATIENCE), "limits for slow readers")?;
    or_told(limit_statement(conn, None), "limit for statements")?;
    if session.access == Access::ReadOnly {
        driver::run(conn, "SET SESSION TRANSACTION READ ONLY").map_err(|error| {
            query_error("the server refused to make the session read-only", error)
                .with_hint("--read-write leaves the session as the server gives it")
        })?;
    }
    for statement in &session.init {
        tracing::debug!("running an init statement");
        driver::run(conn, statement).map_err(|error| {
            query_error(
                &format!("the server refused the init statement {statement:?}"),
                error,
            )
        })?;
    }
    if !session.init.is_empty() {
        // Whatever they have set, the rows come as UTF-8.
        driver::run(conn, connect::SET_NAMES).map_err(|error| {
            query_error(&format!("the server refused {}", connect::SET_NAMES), error)
        })?;
    }
    if session.statement_timeout.is_some() {
        limit_statement(conn, session.statement_timeout)
            .map_err(|error| query_error("the server refused --statement-timeout", error))?;
    }
    if let Some(zone) = &session.time_zone {
        conn.exec_iter("SET time_zone = ?", (zone,))
            .and_then(driver::finish)
            .map_err(|error| {
                query_error(&format!("the server refused the time zone {zone:?}"), error).with_hint(
                    "offsets such as +00:00 always work; names need the server's time zone tables",
                )
            })?;
    }
    Ok(())
}

/// What the session takes for quotes.
pub(super) fn quoting_mode(conn: &mut Conn) -> Result<QuotingMode> {
    let answer = driver::ask(conn, "SELECT @@SESSION.sql_mode")
        .map_err(|error| query_error("cannot read the session's SQL mode", error))?;
    let sql_mode = answer.first().and_then(|row| text(row, 0));
    Ok(QuotingMode::from_sql_mode(&sql_mode.unwrap_or_default()))
}

/// Has the server give up a statement that runs for longer than `timeout`, or
/// none. Which variable that is, the server decides that runs the statement, also
/// behind a proxy (MySQL manual, "Server System Variables"; MariaDB's
/// documentation, "Aborting Statements that Exceed a Certain Time to Execute").
fn limit_statement(conn: &mut Conn, timeout: Option<Duration>) -> mysql::Result<()> {
    let time = timeout.unwrap_or_default();
    let of_mysql = format!("SET SESSION max_execution_time = {}", time.as_millis());
    let of_mariadb = format!("SET SESSION max_statement_time = {:.6}", time.as_secs_f64());
    match driver::run(conn, &of_mysql) {
        Err(mysql::Error::MySqlError(error)) if error.code == codes::UNKNOWN_SYSTEM_VARIABLE => {
            driver::run(conn, &of_mariadb)
        }
        result => result,
    }
}

/// Whether the server says that it does not compress: it may refuse in silence.
pub(super) fn is_uncompressed(conn: &mut Conn) -> Result<bool> {
    match driver::ask(conn, "SHOW SESSION STATUS LIKE 'Compression'") {
        Ok(rows) => {
            let state = rows.first().and_then(|row| text(row, 1));
            Ok(state.is_some_and(|state| state != "ON"))
        }
        // It does not tell.
        Err(mysql::Error::MySqlError(_)) => Ok(false),
        Err(error) => Err(query_error("cannot ask for the compression", error)),
    }
}

/// A lock of the session's own, whose name nobody else has, by which a second
/// connection knows the session: behind a balancer, it may reach another server,
/// where the same id is somebody else's. (The statements in the process list do
/// not tell: it shows what a procedure or a function runs in their place.)
#[derive(Clone, Debug)]
pub(super) struct SessionLock(String);

impl SessionLock {
    /// One that no other session has; where the system has no random numbers, one
    /// that no server will take.
    pub fn new() -> Self {
        let number = tls::random_number();
        Self(number.map_or_else(String::new, |number| format!("gold_digger.{number:032x}")))
    }

    /// Has the session hold it. A server that has no such locks just cannot
    /// tell later whose session it is.
    pub fn acquire(&self, conn: &mut Conn) -> Result<()> {
        match driver::run(conn, &format!("DO GET_LOCK('{}', 0)", self.0)) {
            Ok(()) => Ok(()),
            Err(mysql::Error::MySqlError(error)) => {
                tracing::info!("the query could not be killed: {}", error.message);
                Ok(())
            }
            Err(error) => Err(query_error("cannot mark the session", error)),
        }
    }

    /// The id of the connection that holds it, on the server of `conn`.
    pub fn owner(&self, conn: &mut Conn) -> Option<u32> {
        let answer = driver::ask(conn, &format!("SELECT IS_USED_LOCK('{}')", self.0));
        text(answer.ok()?.first()?, 0)?.parse().ok()
    }
}

/// What [`QueryExecutor::facts`](super::QueryExecutor::facts) finds out.
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

pub(super) fn facts(conn: &mut Conn) -> Result<SessionFacts> {
    let failed = |error| query_error("cannot read the session's variables", error);
    let rows = driver::ask(conn, SESSION_VARIABLES).map_err(failed)?;
    let pairs = rows
        .iter()
        .filter_map(|row| Some((text(row, 0)?, text(row, 1)?)));
    let mut variables: HashMap<String, String> = pairs.collect();
    let status = "SHOW SESSION STATUS LIKE 'Ssl_version'";
    let version = driver::ask(conn, status).map_err(failed)?;
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

/// What the server's warnings, of which it has counted `count`, say of values
/// that are not what the statement asked for: the first that was cut.
///
/// # Errors
/// [`ErrorKind::Query`] where a value became NULL for its length.
pub(super) fn truncation_warning(conn: &mut Conn, count: u16) -> Result<Option<String>> {
    let (mut made_null, mut cut, mut seen) = (None, None, 0);
    let look = |row: Row| {
        seen += 1;
        let found = match number(&row, 1) {
            Some(codes::VALUE_TOO_LARGE) => &mut made_null,
            Some(codes::GROUP_CONCAT_CUT) => &mut cut,
            _ => return,
        };
        found.get_or_insert_with(|| text(&row, 2).unwrap_or_default());
    };
    let warnings = conn.query_iter("SHOW WARNINGS");
    match warnings.and_then(|warnings| driver::for_each(warnings, look)) {
        Ok(()) => {}
        // It does not tell.
        Err(mysql::Error::MySqlError(error)) if codes::UNKNOWN_STATEMENT.contains(&error.code) => {
            return Ok(None);
        }
        Err(error) => return Err(query_error("cannot read the server's warnings", error)),
    }
    if let Some(said) = made_null {
        let what = format!("the server made a value NULL that is too long for it ({said})");
        return Err(Error::new(ErrorKind::Query, what).with_hint(
            "raise the server's max_allowed_packet, or have the query make shorter values",
        ));
    }
    Ok(match cut {
        Some(said) => Some(format!(
            "the server has cut a value ({said}); --init 'SET SESSION group_concat_max_len = …' allows longer ones"
        )),
        None if seen < count => Some(format!(
            "the server shows {seen} of its {count} warnings: whether it has cut a value or made one NULL is not known"
        )),
        None => None,
    })
}
