//! Which wire protocol a statement's rows take. Prepared statements bring
//! binary rows, which cost the server half as much as text; the text protocol
//! runs everything.

use mysql::{Conn, Statement, prelude::Queryable};
use mysql_common::named_params::ParsedNamedParams;

use super::{
    errors::{query_error, statement_error},
    options::Protocol,
};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::BoundQuery,
};

/// The statements that servers can prepare and that have one result set.
const PREPARED: [&str; 5] = ["SELECT", "WITH", "VALUES", "TABLE", "("];

/// ER_UNKNOWN_COM_ERROR, ER_UNSUPPORTED_PS and
/// ER_MAX_PREPARED_STMT_COUNT_REACHED: the server or a proxy does not prepare,
/// or not this.
const NOT_PREPARED: [u16; 3] = [1047, 1295, 1461];

/// The error codes that ProxySQL gives its own refusals.
const OF_PROXYSQL: std::ops::Range<u16> = 9000..10000;

/// The way that a statement takes.
pub(super) enum Way {
    /// Prepared; not executed yet.
    Binary(Statement),
    /// As text, and why, where that is not the statement's usual way.
    Text(Option<String>),
}

/// Prepares the statement where `protocol` says so and the server can.
/// Nothing is executed here.
///
/// # Errors
/// [`ErrorKind::Query`] where the server finds a mistake in the statement, or
/// where only the binary protocol will do and cannot be had.
pub(super) fn prepare(
    conn: &mut Conn,
    protocol: Protocol,
    keyword: &str,
    bound: &BoundQuery,
) -> Result<Way> {
    if !is_wanted(protocol, keyword, bound) {
        return Ok(Way::Text(None));
    }
    let text_will_do = protocol == Protocol::Auto && bound.values.is_empty();
    let instead = |reason: &str| {
        if text_will_do {
            return Ok(Way::Text(Some(format!(
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
        Err(reason) => return instead(&reason),
    };
    // Where only this protocol will do, the execution tells whether there are
    // rows: a CALL announces none.
    let reason = if usize::from(statement.num_params()) != bound.values.len() {
        "the server finds another number of parameters in it"
    } else if text_will_do && statement.columns().is_empty() {
        "it announces no columns"
    } else {
        return Ok(Way::Binary(statement));
    };
    // The connection is only used again where text will do.
    conn.close(statement)
        .map_err(|error| query_error("closing the statement failed", &error))?;
    instead(reason)
}

/// Whether the statement should be prepared.
pub(super) fn is_wanted(protocol: Protocol, keyword: &str, bound: &BoundQuery) -> bool {
    match protocol {
        Protocol::Text => false,
        Protocol::Binary => true,
        Protocol::Auto => !bound.values.is_empty() || PREPARED.contains(&keyword),
    }
}

/// Prepares the statement, whatever way it would take, to learn its columns;
/// nothing where it cannot be prepared.
///
/// # Errors
/// [`ErrorKind::Query`] where the server finds a mistake in the statement.
pub(super) fn describe(conn: &mut Conn, bound: &BoundQuery) -> Result<Option<Statement>> {
    Ok(try_prepare(conn, bound)?.ok())
}

/// The prepared statement, or why the server or the driver does not prepare it.
///
/// # Errors
/// [`ErrorKind::Query`] where the server finds a mistake in the statement.
fn try_prepare(conn: &mut Conn, bound: &BoundQuery) -> Result<Result<Statement, String>> {
    if is_misread(&bound.sql) {
        let reason = "the driver would take something in it for a parameter";
        return Ok(Err(reason.to_owned()));
    }
    match conn.prep(&bound.sql) {
        Ok(statement) => Ok(Ok(statement)),
        Err(mysql::Error::MySqlError(error))
            if NOT_PREPARED.contains(&error.code) || OF_PROXYSQL.contains(&error.code) =>
        {
            Ok(Err(format!(
                "server error {} ({}): {}",
                error.code, error.state, error.message
            )))
        }
        Err(error) => Err(statement_error(&error, &bound.sql)),
    }
}

/// Whether the driver would send something else than `sql`: it looks for
/// `:name` in every statement that it prepares, and its idea of quotes and
/// comments is not quite the servers'.
fn is_misread(sql: &str) -> bool {
    match ParsedNamedParams::parse(sql.as_bytes()) {
        Ok(parsed) => !parsed.params().is_empty() || parsed.query() != sql.as_bytes(),
        Err(_) => true,
    }
}
