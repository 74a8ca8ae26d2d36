//! Chooses the wire protocol of a statement's rows. Prepared statements return
//! binary rows, which cost the server half as much as text. The text protocol runs
//! every statement.

use std::sync::Arc;

use mysql::{Column, Conn, prelude::Queryable};
use mysql_common::named_params::ParsedNamedParams;

use super::{
    codes,
    errors::{describe as describe_error, query_error, statement_error},
    options::Protocol,
};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::BoundQuery,
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
    /// It runs as text. There is a reason if it could have been prepared.
    Text(Option<String>),
}

/// Prepares the statement if `protocol` asks for it and the server can. Nothing is
/// executed here, so that a statement that then runs as text runs once.
///
/// # Errors
/// [`ErrorKind::Query`] if the server finds a mistake in the statement, or if only
/// the binary protocol is allowed and the server cannot prepare the statement.
pub(super) fn prepare(
    conn: &mut Conn,
    protocol: Protocol,
    keyword: &str,
    bound: &BoundQuery,
) -> Result<Statement> {
    if !is_wanted(protocol, keyword, bound) {
        return Ok(Statement::Text(None));
    }
    let may_use_text = protocol == Protocol::Auto && bound.values.is_empty();
    let use_text = |reason: &str| {
        if may_use_text {
            return Ok(Statement::Text(Some(format!(
                "the text protocol is used: {reason}"
            ))));
        }
        let what = format!("the statement cannot use the binary protocol: {reason}");
        let hint = if bound.values.is_empty() {
            "choose --protocol auto"
        } else {
            "--param needs a statement that the server can prepare"
        };
        Err(Error::new(ErrorKind::Query, what).with_hint(hint))
    };
    let statement = match try_prepare(conn, bound)? {
        Ok(statement) => statement,
        Err(Refusal::NotPrepared(reason)) => return use_text(&reason),
        Err(Refusal::Unclear(error)) if may_use_text => return use_text(&describe_error(&error)),
        Err(Refusal::Unclear(error)) => return Err(statement_error(error, bound)),
    };
    // If text is not allowed, a statement without announced columns is executed: it
    // may return rows.
    let reason = if usize::from(statement.num_params()) != bound.values.len() {
        "the server finds another number of parameters in it"
    } else if may_use_text && keyword != CALL && statement.columns().is_empty() {
        "it announces no columns"
    } else {
        return Ok(Statement::Prepared(statement));
    };
    // If text is not allowed, nothing uses the connection after this.
    conn.close(statement)
        .map_err(|error| query_error("closing the statement failed", error))?;
    use_text(reason)
}

/// Whether the statement should be prepared under `protocol`.
pub(super) fn is_wanted(protocol: Protocol, keyword: &str, bound: &BoundQuery) -> bool {
    match protocol {
        Protocol::Text => false,
        Protocol::Binary => true,
        Protocol::Auto => {
            !bound.values.is_empty() || keyword == CALL || PREPARED.contains(&keyword)
        }
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
        Err(Refusal::NotPrepared(reason)) => Ok(Err(reason)),
        Err(Refusal::Unclear(error)) => Err(statement_error(error, bound)),
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
    keyword: &str,
    bound: &BoundQuery,
) -> Result<Arc<[Column]>> {
    match statement {
        Statement::Prepared(statement) => Ok(statement.columns()),
        Statement::Text(None) if PREPARED.contains(&keyword) => {
            let Ok(statement) = describe(conn, bound)? else {
                return Ok(Arc::default());
            };
            let columns = statement.columns();
            conn.close(statement)
                .map_err(|error| query_error("closing the statement failed", error))?;
            Ok(columns)
        }
        Statement::Text(_) => Ok(Arc::default()),
    }
}

/// Why a statement was not prepared.
enum Refusal {
    /// The driver, the server or a proxy does not prepare it.
    NotPrepared(String),
    /// The server's error does not say whether the statement is wrong.
    Unclear(mysql::Error),
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
        let reason = "the driver would take something in it for a parameter";
        return Ok(Err(Refusal::NotPrepared(reason.to_owned())));
    }
    let error = match conn.prep(&bound.sql) {
        Ok(statement) => return Ok(Ok(statement)),
        Err(error) => error,
    };
    match &error {
        mysql::Error::MySqlError(server) if codes::is_end(server.code) => {}
        mysql::Error::MySqlError(server) if codes::is_not_prepared(server.code) => {
            return Ok(Err(Refusal::NotPrepared(describe_error(&error))));
        }
        mysql::Error::MySqlError(server) if !server.state.starts_with(MISTAKE) => {
            return Ok(Err(Refusal::Unclear(error)));
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
