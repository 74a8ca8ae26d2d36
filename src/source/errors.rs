//! Errors of an open session: what the server, the driver or the connection
//! reports, and what to do about it.

use std::io;

use mysql::DriverError;
use mysql_common::proto::codec::error::PacketCodecError;

use super::{
    codes, columns,
    driver::{DriverPanic, catch_panic},
    excerpt, refusal,
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result, Retry},
    sql::BoundQuery,
};

/// The default of `max_allowed_packet` on old servers in bytes, the smallest in
/// use.
const SMALLEST_DEFAULT_PACKET: usize = 1 << 20;

pub(super) const READ_WRITE_HINT: &str =
    "--read-write lets the statement write, outside a snapshot";

/// Runs `work`, which calls the driver.
///
/// Returns the cause if the run was cancelled, and a protocol error if the driver
/// panicked.
pub(super) fn catch_driver_panic<T>(
    cancel: &CancelToken,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    cancel
        .prefer_cause(catch_panic(work).unwrap_or_else(|DriverPanic| Err(broken_protocol(cancel))))
}

/// Closes the connection and returns the error for a panic of the driver, which
/// the server's packets have caused.
#[cold]
pub(super) fn broken_protocol(cancel: &CancelToken) -> Error {
    cancel.close_connection();
    let what = "the server's answers break the protocol";
    Error::new(ErrorKind::Query, what)
        .with_hint("is a proxy in between, or another kind of server? -vv says what the driver met")
}

/// Whether the server refused a statement because it writes or locks, in a session that
/// is read-only.
pub(crate) fn is_refused_write(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let server = source.and_then(|source| source.downcast_ref());
    matches!(server, Some(mysql::Error::MySqlError(server)) if server.code == codes::READ_ONLY_TRANSACTION)
}

/// Returns the error for the statement `bound`, which could not be prepared or
/// executed. Its source is `error`.
pub(super) fn statement_error(error: mysql::Error, bound: &BoundQuery) -> Error {
    let excerpt = match &error {
        mysql::Error::MySqlError(server) => excerpt::excerpt(&bound.sql, &server.message),
        _ => Vec::new(),
    };
    let error = without_passwords(error, &bound.sql);
    describe_statement_error(&error, bound, excerpt).with_source(error)
}

/// Returns the server's `error` about the statement `sql` without parts of passwords.
pub(super) fn without_passwords(error: mysql::Error, sql: &str) -> mysql::Error {
    match error {
        mysql::Error::MySqlError(mut server) => {
            if let Some(message) = excerpt::without_passwords(sql, &server.message) {
                server.message = message;
            }
            mysql::Error::MySqlError(server)
        }
        error => error,
    }
}

fn describe_statement_error(
    error: &mysql::Error,
    bound: &BoundQuery,
    excerpt: Vec<String>,
) -> Error {
    let described = describe_query_error("the query failed", error);
    let sql = &bound.sql;
    if let mysql::Error::MySqlError(_) = error {
        let described = match (&bound.place, described.kind()) {
            (Some(place), ErrorKind::Query) => described.with_location(place),
            _ => described,
        };
        return described.with_excerpt(excerpt);
    }
    if let Some(unreadable) = columns::unreadable(error) {
        return unreadable;
    }
    let length = sql.len();
    if length < SMALLEST_DEFAULT_PACKET {
        return described;
    }
    // MySQL closes the connection without an error when a statement exceeds its
    // limit.
    described
        .with_hint(format!(
            "the SQL text has {length} bytes: is the server's max_allowed_packet smaller?"
        ))
        .with_retry(Retry::Never)
}

/// Returns an error of the server or the connection after the login. Its source
/// is `error`.
///
/// No source of an error holds a secret. The driver's errors hold what the server
/// sent and the addresses that were tried, their `Debug` is their `Display`, and
/// the driver gets its options by value, so that no URL with a password exists.
pub(super) fn query_error(context: &str, error: mysql::Error) -> Error {
    describe_query_error(context, &error).with_source(error)
}

fn describe_query_error(context: &str, error: &mysql::Error) -> Error {
    let what = format!("{context}: {}", describe(error));
    let described = Error::new(ErrorKind::Query, what);
    if let mysql::Error::MySqlError(server) = error {
        return if server.code == codes::MUST_CHANGE_PASSWORD {
            let what = format!("{}: {}", refusal::PASSWORD_EXPIRED, describe(error));
            Error::new(ErrorKind::Connect, what).with_hint(refusal::PASSWORD_EXPIRED_HINT)
        } else {
            with_server_hint(described, server.code)
        };
    }
    if let Some(unreadable) = columns::unreadable(error) {
        return unreadable;
    }
    match connection_fault(error) {
        Some(ConnectionFault::Timeout) => described
            .with_hint(
                "--read-timeout is what ended it; it counts the time before the first row too",
            )
            .with_retry(Retry::Later),
        Some(ConnectionFault::Lost) => described
            .with_hint(
                "run it again, or have --retry N do so; look into the server's log if it recurs",
            )
            .with_retry(Retry::Later),
        Some(ConnectionFault::PacketTooLarge) => {
            described.with_hint("select a part of it: fewer columns, or SUBSTRING")
        }
        None => described.with_hint("run it again, and look into the server's log if it recurs"),
    }
}

/// Adds to an error of the server what to do about its `code`.
fn with_server_hint(described: Error, code: u16) -> Error {
    match code {
        codes::READ_ONLY_TRANSACTION => described.with_hint(READ_WRITE_HINT),
        codes::NO_DATABASE => described.with_hint(
            "--database NAME chooses one, as does the path of a URL; or write DATABASE.TABLE",
        ),
        code if codes::LOCK_REFUSED.contains(&code) => described
            .with_hint(
                "another session held a lock: run it again, or have --retry N do so; SHOW \
                 PROCESSLIST on the server shows who",
            )
            .with_retry(Retry::Later),
        codes::USER_LIMIT_REACHED => described.with_hint(
            "the account has a limit for each hour, such as MAX_QUERIES_PER_HOUR, and the \
             program's own statements count too: raise it, or run again when the hour is over",
        ),
        codes::TABLE_DEF_CHANGED => {
            described.with_hint("a table was altered after the snapshot began: run all again")
        }
        code if codes::QUERY_TIMEOUT.contains(&code) => {
            described.with_hint("--statement-timeout allows it more time")
        }
        code if codes::QUERY_KILLED.contains(&code) => described.with_hint(
            "somebody killed it on the server, or a watchdog did: ask, then run it again",
        ),
        code if code == codes::SERVER_SHUTDOWN || codes::CONNECTION_LOST.contains(&code) => {
            described
                .with_hint("run it again when the server is back; --retry N does so by itself")
                .with_retry(Retry::Later)
        }
        _ => described,
    }
}

/// Separates the server's refusal of a question beside the query, which the export
/// does not need, from errors that end the session. Returns the server's message.
pub(super) fn allow_refusal<T>(answer: mysql::Result<T>) -> mysql::Result<Result<T, String>> {
    match answer {
        Ok(value) => Ok(Ok(value)),
        Err(mysql::Error::MySqlError(error)) if !codes::is_end(error.code) => {
            Ok(Err(error.message))
        }
        Err(error) => Err(error),
    }
}

/// Describes `error` without the driver's own wrapping.
pub(super) fn describe(error: &mysql::Error) -> String {
    use mysql::Error;
    match error {
        Error::MySqlError(server) => format!(
            "server error {} ({}): {}",
            server.code, server.state, server.message
        ),
        Error::DriverError(DriverError::CouldNotConnect(Some((_, what, _)))) => what.clone(),
        Error::DriverError(error) => error.to_string(),
        Error::CodecError(PacketCodecError::PacketTooLarge) => {
            "a row, or another packet, is longer than 1 GiB, the most that is taken".to_owned()
        }
        error => match (io_error(error), error) {
            (Some(io), _) => describe_io(io),
            (None, Error::CodecError(error)) => {
                format!("the server's data cannot be read: {error}")
            }
            (None, other) => other.to_string(),
        },
    }
}

/// Returns the system's error within a driver's, if there is one.
pub(super) const fn io_error(error: &mysql::Error) -> Option<&io::Error> {
    match error {
        mysql::Error::IoError(error) | mysql::Error::CodecError(PacketCodecError::Io(error)) => {
            Some(error)
        }
        _ => None,
    }
}

/// Why a connection failed after the login.
enum ConnectionFault {
    /// The server sent nothing during the read timeout.
    Timeout,
    /// The connection was lost.
    Lost,
    /// A packet is longer than the driver accepts.
    PacketTooLarge,
}

/// Returns the fault of the connection that `error` reports, if it reports one.
fn connection_fault(error: &mysql::Error) -> Option<ConnectionFault> {
    if let mysql::Error::CodecError(PacketCodecError::PacketTooLarge) = error {
        return Some(ConnectionFault::PacketTooLarge);
    }
    match io_error(error)?.kind() {
        kind if is_timeout(kind) => Some(ConnectionFault::Timeout),
        // TLS records that were tampered with have these kinds; another attempt
        // would fail in the same way.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => None,
        _ => Some(ConnectionFault::Lost),
    }
}

/// Whether the server does not know the form of a statement: it is a mistake, or of another
/// version.
pub(super) fn is_parse_error(error: &mysql::Error) -> bool {
    matches!(error, mysql::Error::MySqlError(error) if error.code == codes::PARSE_ERROR)
}

/// Whether a read timed out: systems report either kind (std,
/// `TcpStream::set_read_timeout`).
pub(super) const fn is_timeout(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn describe_io(error: &io::Error) -> String {
    match error.kind() {
        kind if is_timeout(kind) => "the server was silent for too long".to_owned(),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::UnexpectedEof
        // The driver's codec uses it when the connection ends within a packet.
        | io::ErrorKind::Other => "the connection to the server was lost".to_owned(),
        _ => format!("the connection to the server failed: {error}"),
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
    fn a_refused_lock_may_be_had_later() {
        for code in codes::LOCK_REFUSED {
            let error = query_error(
                "the result broke off",
                mysql::Error::MySqlError(MySqlError {
                    state: "HY000".to_owned(),
                    message: "try restarting transaction".to_owned(),
                    code,
                }),
            );
            let hint = error.hint().unwrap_or_default();
            assert!(
                error.is_transient() && hint.contains("--retry N"),
                "{error}"
            );
        }
    }

    #[test]
    fn errors_keep_the_drivers_error_as_their_source() {
        let bound = BoundQuery {
            sql: "SELECT 1 FORM t".to_owned(),
            ..BoundQuery::default()
        };
        for error in [
            query_error("the query failed", server_error()),
            statement_error(server_error(), &bound),
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
