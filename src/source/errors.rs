//! Errors of a session: what the server, the driver or the connection reports,
//! and what to do about it.

use super::{
    codes, columns,
    connect::{self, Trouble},
    driver::{Panicked, contain},
    excerpt, refusal,
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result, Retry},
};

/// The default of `max_allowed_packet` on old servers, the smallest in use.
const SMALLEST_DEFAULT_PACKET: usize = 1 << 20;

const READ_WRITE_HINT: &str = "--read-write lets the statement write, outside a snapshot";

/// What `work` with the driver gives: where the run was cancelled, why; and where
/// the driver panicked, that the server broke the protocol.
pub(super) fn catch_driver_panic<T>(
    cancel: &CancelToken,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    cancel.prefer_cause(contain(work).unwrap_or_else(|Panicked| Err(broken_protocol(cancel))))
}

/// The error where the driver panicked over what the server sent.
#[cold]
pub(super) fn broken_protocol(cancel: &CancelToken) -> Error {
    cancel.close_connection();
    let what = "the server's answers break the protocol";
    Error::new(ErrorKind::Query, what)
        .with_hint("is a proxy in between, or another kind of server? -vv says what the driver met")
}

/// The error for the statement `sql` when it could not be prepared or begun.
pub(super) fn statement_error(error: mysql::Error, sql: &str) -> Error {
    describe_statement_error(&error, sql).with_source(error)
}

fn describe_statement_error(error: &mysql::Error, sql: &str) -> Error {
    let described = describe_query_error("the query failed", error);
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
    described
        .with_hint(format!(
            "the SQL text has {length} bytes: is the server's max_allowed_packet smaller?"
        ))
        .with_retry(Retry::Never)
}

/// An error of the server or the connection once the session is there.
pub(super) fn query_error(context: &str, error: mysql::Error) -> Error {
    describe_query_error(context, &error).with_source(error)
}

fn describe_query_error(context: &str, error: &mysql::Error) -> Error {
    let what = format!("{context}: {}", connect::describe(error));
    let described = Error::new(ErrorKind::Query, what);
    match error {
        mysql::Error::MySqlError(server) if server.code == codes::MUST_CHANGE_PASSWORD => {
            let what = format!("{}: {}", refusal::EXPIRED, connect::describe(error));
            Error::new(ErrorKind::Connect, what).with_hint(refusal::EXPIRED_HINT)
        }
        mysql::Error::MySqlError(server) if server.code == codes::READ_ONLY_TRANSACTION => {
            described.with_hint(READ_WRITE_HINT)
        }
        mysql::Error::MySqlError(server) if codes::QUERY_TIMEOUT.contains(&server.code) => {
            described.with_hint("--statement-timeout allows it more time")
        }
        mysql::Error::MySqlError(server) if codes::QUERY_KILLED.contains(&server.code) => {
            described.with_hint("somebody killed it on the server, or a watchdog did: ask, then run it again")
        }
        mysql::Error::MySqlError(server)
            if server.code == codes::SERVER_SHUTDOWN || codes::CONNECTION_LOST.contains(&server.code) => described
            .with_hint("run it again when the server is back; --retry N does so by itself")
            .with_retry(Retry::Later),
        mysql::Error::MySqlError(server) if server.code == codes::TABLE_DEF_CHANGED => {
            described.with_hint("a table was altered after the snapshot began: run all again")
        }
        mysql::Error::MySqlError(_) => described,
        _ => match connect::trouble(error) {
            Some(Trouble::Silence) => described
                .with_hint("--read-timeout is what ended it; it counts the time before the first row too")
                .with_retry(Retry::Later),
            Some(Trouble::Loss) => described
                .with_hint("run it again, or have --retry N do so; look into the server's log if it recurs")
                .with_retry(Retry::Later),
            Some(Trouble::TooLong) => {
                described.with_hint("select a part of it: fewer columns, or SUBSTRING")
            }
            None => described.with_hint("run it again, and look into the server's log if it recurs"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use mysql::MySqlError;

    use super::*;

    fn server_error() -> mysql::Error {
        mysql::Error::MySqlError(MySqlError {
            state: "42000".to_owned(),
            message: "You have an error near 'FORM t' at line 1".to_owned(),
            code: codes::PARSE_ERROR,
        })
    }

    #[test]
    fn errors_keep_the_drivers_error_as_their_source() {
        for error in [
            query_error("the query failed", server_error()),
            statement_error(server_error(), "SELECT 1 FORM t"),
        ] {
            let source = error.source().expect("a source");
            let source = source.downcast_ref().expect("the driver's error");
            assert!(
                matches!(source, mysql::Error::MySqlError(server) if server.code == codes::PARSE_ERROR),
                "{source}"
            );
        }
    }
}
