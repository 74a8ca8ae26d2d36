//! Chooses the wire protocol of a statement's rows. Prepared statements return
//! binary rows, which cost the server half as much as text. The text protocol runs
//! every statement.

use std::{fmt, sync::Arc};

use mysql::{Column, Conn, prelude::Queryable};
use mysql_common::named_params::ParsedNamedParams;

use super::{
    codes, driver,
    errors::{describe as describe_error, query_error, statement_error},
    options::Protocol,
};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::BoundQuery,
    text::hex,
};

/// The first keywords of statements that servers can prepare and that have one
/// result set.
const PREPARED: [&str; 5] = ["SELECT", "WITH", "VALUES", "TABLE", "("];

/// The keyword of the statement that servers can prepare, but whose columns they
/// announce only when it runs. Prepared, it sends all digits of a FLOAT.
const CALL: &str = "CALL";

/// A statement that is ready to run.
pub(super) enum Statement {
    /// It is prepared, and its rows are binary.
    Prepared(mysql::Statement),
    /// It runs as text. There is a reason if that is not what was asked for.
    Text(Option<String>),
    /// It runs as text for a reason, though the server prepares it: it would execute it
    /// wrongly.
    Unfit(String),
}

impl Statement {
    /// Returns why it runs as text, if there is a reason.
    pub(super) fn reason(self) -> Option<String> {
        match self {
            Self::Prepared(_) => None,
            Self::Text(reason) => reason,
            Self::Unfit(reason) => Some(reason),
        }
    }
}

/// Prepares the statement if `protocol` asks for it and the server can. Nothing is
/// executed here, so that a statement that then runs as text runs once. Where the server
/// would execute it wrongly, `fault` says so, and it runs as text.
///
/// # Errors
/// [`ErrorKind::Query`] if the server finds a mistake in the statement, or if only
/// the binary protocol is allowed and the server cannot prepare the statement.
pub(super) fn prepare(
    conn: &mut Conn,
    protocol: Protocol,
    bound: &BoundQuery,
    fault: Option<String>,
) -> Result<Statement> {
    if !is_wanted(protocol, bound) {
        check_is_one(conn, bound)?;
        return Ok(Statement::Text(None));
    }
    let may_use_text = protocol == Protocol::Auto;
    let text_reason = |reason: &str| {
        if may_use_text {
            return Ok(format!("the text protocol is used: {reason}"));
        }
        let what = format!("the statement cannot use the binary protocol: {reason}");
        Err(Error::new(ErrorKind::Query, what).with_hint("choose --protocol auto"))
    };
    let use_text = |reason: &str| text_reason(reason).map(|reason| Statement::Text(Some(reason)));
    if let Some(fault) = fault {
        check_is_one(conn, bound)?;
        return text_reason(&fault).map(Statement::Unfit);
    }
    let statement = match try_prepare(conn, bound)? {
        Ok(statement) => statement,
        Err(Refusal::Unclear(error)) if !may_use_text => return Err(statement_error(error, bound)),
        Err(refusal) => {
            if may_use_text {
                check_refused_is_one(conn, bound, &refusal)?;
            }
            return use_text(&refusal.to_string());
        }
    };
    let statement = refuse_into(conn, statement, bound)?;
    // If text is not allowed, a statement without announced columns is executed: it
    // may return rows.
    let reason = if statement.num_params() != 0 {
        "the server finds parameters in it"
    } else if may_use_text && bound.keyword != CALL && statement.columns().is_empty() {
        "it announces no columns"
    } else {
        return Ok(Statement::Prepared(statement));
    };
    // If text is not allowed, nothing uses the connection after this.
    conn.close(statement)
        .map_err(|error| query_error("closing the statement failed", error))?;
    use_text(reason)
}

pub(super) const ROWS_HINT: &str = "only statements that return rows can be exported";

/// The first keywords of statements that never return rows.
const WITHOUT_ROWS: [&str; 18] = [
    "COMMIT",
    "CREATE",
    "DEALLOCATE",
    "DO",
    "DROP",
    "FLUSH",
    "GRANT",
    "KILL",
    "LOCK",
    "PREPARE",
    "RELEASE",
    "RENAME",
    "REVOKE",
    "ROLLBACK",
    "SAVEPOINT",
    "START",
    "TRUNCATE",
    "UNLOCK",
];

/// The first keywords of statements that return rows only with the clause RETURNING.
const WRITING: [&str; 4] = ["DELETE", "INSERT", "REPLACE", "UPDATE"];

/// Refuses a statement for which the server announces no columns, or that it does not
/// prepare in a read-only session, if it returns no rows when it runs. Others may, such as
/// CALL and SHOW.
///
/// # Errors
/// [`ErrorKind::Query`] if it returns none.
pub(super) fn refuse_without_rows(bound: &BoundQuery) -> Result<()> {
    let words = bound.without_strings().to_uppercase();
    let mut words = words.split(' ');
    let has_none = match bound.keyword.as_str() {
        // MariaDB's SET STATEMENT runs another one.
        "SET" => words.nth(1) != Some("STATEMENT"),
        keyword if WRITING.contains(&keyword) => words.all(|word| word != "RETURNING"),
        keyword => WITHOUT_ROWS.contains(&keyword) || has_into(bound),
    };
    match has_none {
        true => Err(no_rows(bound)),
        false => Ok(()),
    }
}

/// Refuses a `statement` of which the rows go to a file of the server or to variables,
/// before it writes there. Other statements without columns are run: some servers announce
/// none.
///
/// # Errors
/// [`ErrorKind::Query`] if it is one.
fn refuse_into(
    conn: &mut Conn,
    statement: mysql::Statement,
    bound: &BoundQuery,
) -> Result<mysql::Statement> {
    if !statement.columns().is_empty() || !has_into(bound) {
        return Ok(statement);
    }
    // The session may run other statements.
    conn.close(statement)
        .map_err(|error| query_error("closing the statement failed", error))?;
    Err(no_rows(bound))
}

/// Whether the statement is a query with the clause INTO.
fn has_into(bound: &BoundQuery) -> bool {
    let words = bound.without_strings();
    let mut words = words.split(' ');
    is_prepared(bound) && words.any(|word| word.eq_ignore_ascii_case("INTO"))
}

fn no_rows(bound: &BoundQuery) -> Error {
    let hint = match has_into(bound) {
        true => "leave INTO out: the rows go where --output says",
        false => ROWS_HINT,
    };
    let what = format!("the statement ({} …) has no result set", bound.keyword);
    Error::new(ErrorKind::Query, what).with_hint(hint)
}

/// Whether the statement is of a kind that servers can prepare and that has one
/// result set.
pub(super) fn is_prepared(bound: &BoundQuery) -> bool {
    PREPARED.contains(&bound.keyword.as_str())
}

/// Whether the statement should be prepared under `protocol`.
pub(super) fn is_wanted(protocol: Protocol, bound: &BoundQuery) -> bool {
    match protocol {
        Protocol::Text => false,
        Protocol::Binary => true,
        Protocol::Auto => bound.keyword == CALL || is_prepared(bound),
    }
}

/// Prepares the statement under every protocol, to learn its columns. Returns the
/// reason if it cannot be prepared.
///
/// # Errors
/// [`ErrorKind::Query`] if the server finds a mistake in the statement.
pub(super) fn describe(
    conn: &mut Conn,
    bound: &BoundQuery,
) -> Result<Result<mysql::Statement, String>> {
    match try_prepare(conn, bound)? {
        Ok(statement) => Ok(Ok(statement)),
        Err(Refusal::Unclear(error)) => Err(statement_error(error, bound)),
        Err(refusal) => Ok(Err(refusal.to_string())),
    }
}

/// Returns the columns of a statement that is ready to run, as far as they are known
/// before it runs. It prepares a query that runs as text because the user wants so.
///
/// # Errors
/// [`ErrorKind::Query`] if the server finds a mistake in the statement.
pub(super) fn columns(
    conn: &mut Conn,
    statement: &Statement,
    bound: &BoundQuery,
) -> Result<Arc<[Column]>> {
    match statement {
        Statement::Prepared(statement) => Ok(statement.columns()),
        Statement::Text(None) | Statement::Unfit(_) if is_prepared(bound) => {
            let Ok(statement) = describe(conn, bound)? else {
                return Ok(Arc::default());
            };
            let statement = refuse_into(conn, statement, bound)?;
            let columns = statement.columns();
            conn.close(statement)
                .map_err(|error| query_error("closing the statement failed", error))?;
            Ok(columns)
        }
        Statement::Text(_) | Statement::Unfit(_) => Ok(Arc::default()),
    }
}

/// Makes sure that the server reads one statement in a text that is to run as it is.
///
/// The server would run each of several, and the driver cannot switch that off. PREPARE
/// runs nothing, and is an error for several statements, also where the server does
/// not prepare the first of them.
///
/// # Errors
/// [`ErrorKind::Query`] if the server finds a mistake in the text, such as a second
/// statement, or if it cannot be asked and servers read the text differently.
fn check_is_one(conn: &mut Conn, bound: &BoundQuery) -> Result<()> {
    if !bound.may_be_several() {
        return Ok(());
    }
    match try_prepare(conn, bound)? {
        Ok(statement) => conn
            .close(statement)
            .map_err(|error| query_error("closing the statement failed", error)),
        Err(refusal) => check_refused_is_one(conn, bound, &refusal),
    }
}

/// Does the same for a text that has not been prepared because of `refusal`.
fn check_refused_is_one(conn: &mut Conn, bound: &BoundQuery, refusal: &Refusal) -> Result<()> {
    let is_known = match refusal {
        _ if !bound.may_be_several() => true,
        Refusal::Misread => match prepare_by_name(conn, bound)? {
            None | Some(Refusal::Unsupported(_)) => true,
            Some(_) => false,
        },
        Refusal::Unsupported(_) => true,
        Refusal::NotPrepared(_) | Refusal::Unclear(_) => false,
    };
    if is_known || bound.is_certain {
        return Ok(());
    }
    let what =
        "servers disagree on whether the text is one statement, and this one cannot be asked";
    Err(Error::new(ErrorKind::Query, format!("{what}: {refusal}"))
        .with_hint("write the statement without ; in quotes, comments and parameters"))
}

/// Why a statement was not prepared.
enum Refusal {
    /// The driver would send another text.
    Misread,
    /// The server has read the statement, and does not prepare its kind.
    Unsupported(String),
    /// The server or a proxy does not prepare it.
    NotPrepared(String),
    /// The server's error does not say whether the statement is wrong.
    Unclear(mysql::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misread => f.write_str("the driver would take something in it for a parameter"),
            Self::Unsupported(reason) | Self::NotPrepared(reason) => f.write_str(reason),
            Self::Unclear(error) => f.write_str(&describe_error(error)),
        }
    }
}

/// The class of SQL states of a statement that is wrong, or that names what does not
/// exist or may not be seen ("syntax error or access rule violation").
const MISTAKE: &str = "42";

/// Returns the prepared statement, or why it is not prepared.
///
/// # Errors
/// [`ErrorKind::Query`] if the server finds a mistake in the statement, or if the
/// connection fails.
fn try_prepare(conn: &mut Conn, bound: &BoundQuery) -> Result<Result<mysql::Statement, Refusal>> {
    if is_misread(&bound.sql) {
        return Ok(Err(Refusal::Misread));
    }
    match conn.prep(&bound.sql) {
        Ok(statement) => Ok(Ok(statement)),
        Err(error) => refusal(error, bound).map(Err),
    }
}

/// Prepares the statement by SQL, which the driver sends as it is, and frees it. Returns
/// why it is not prepared, if so.
///
/// # Errors
/// As [`try_prepare`].
fn prepare_by_name(conn: &mut Conn, bound: &BoundQuery) -> Result<Option<Refusal>> {
    let text = hex(bound.sql.as_bytes());
    let prepared = driver::run(conn, &format!("SET @gold_digger = _utf8mb4 X'{text}'"))
        .and_then(|()| driver::run(conn, "PREPARE gold_digger FROM @gold_digger"))
        .and_then(|()| driver::run(conn, "DEALLOCATE PREPARE gold_digger"));
    match prepared {
        Ok(()) => Ok(None),
        Err(error) => refusal(error, bound).map(Some),
    }
}

/// Returns why the statement is not prepared, from the error of the attempt.
///
/// # Errors
/// As [`try_prepare`].
fn refusal(error: mysql::Error, bound: &BoundQuery) -> Result<Refusal> {
    match &error {
        mysql::Error::MySqlError(server)
            if codes::is_end(server.code) || server.code == codes::PACKET_TOO_LARGE => {}
        mysql::Error::MySqlError(server)
            if server.code == codes::UNSUPPORTED_PREPARED_STATEMENT =>
        {
            return Ok(Refusal::Unsupported(describe_error(&error)));
        }
        mysql::Error::MySqlError(server) if codes::is_not_prepared(server.code) => {
            return Ok(Refusal::NotPrepared(describe_error(&error)));
        }
        mysql::Error::MySqlError(server) if !server.state.starts_with(MISTAKE) => {
            return Ok(Refusal::Unclear(error));
        }
        _ => {}
    }
    Err(statement_error(error, bound))
}

/// Whether the driver would send another text than `sql`: it looks for `:name` in
/// every statement that it prepares, and reads quotes and comments otherwise than
/// servers do.
fn is_misread(sql: &str) -> bool {
    match ParsedNamedParams::parse(sql.as_bytes()) {
        Ok(parsed) => !parsed.params().is_empty() || parsed.query() != sql.as_bytes(),
        Err(_) => true,
    }
}
