//! Opens a session: tries every address of the server's name, within one timeout
//! for name resolution, connecting and login together.

mod addresses;
mod deadline;
mod request;

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use mysql::Conn;

pub(super) use self::deadline::{NoResult, SocketMark, run_with_timeout};
use self::{
    addresses::{Attempt, resolve},
    request::ConnectRequest,
};
use super::{
    driver::{DriverPanic, catch_panic},
    options::{ConnectOptions, Endpoint},
    refusal::{self, ConnectError},
    tls,
};
use crate::{error::Result, sync::lock};

/// The statement that makes the session's text UTF-8, whatever the character sets
/// of the server and the account are.
pub(super) const SET_NAMES: &str = "SET NAMES utf8mb4";

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Running statements whose results are used.
    Export,
    /// One KILL, as fast as it can be: nothing that the server answers is used.
    Kill,
}

/// An open session, and the connection's id as the server knows it.
pub(super) struct Session {
    pub conn: Conn,
    pub id: u32,
    /// What its socket is marked by, which ends the session of a KILL that is late.
    pub mark: SocketMark,
}

/// Opens a session within `timeout`. For an export, the results of its statements are
/// UTF-8, and over TLS they are proven to come from the server.
///
/// # Errors
/// [`ErrorKind::Connect`](crate::error::ErrorKind::Connect), with the address and
/// a hint.
pub(super) fn connect(
    connection: &ConnectOptions,
    timeout: Duration,
    purpose: Purpose,
) -> Result<Session> {
    try_connect(connection, timeout, purpose).map_err(|error| error.into_error(connection))
}

fn try_connect(
    connection: &ConnectOptions,
    timeout: Duration,
    purpose: Purpose,
) -> Result<Session, ConnectError> {
    let deadline = Instant::now() + timeout;
    if connection.tls.is_some() && !tls::is_provider_installed() {
        return Err(ConnectError::new(
            "this process checks certificates in another way",
            "call gold_digger::source::install_tls_provider() before anything else uses rustls",
        ));
    }
    let attempts = resolve(connection, timeout)?;
    try_attempts(connection, &attempts, deadline, purpose)?.ok_or_else(|| no_answer(timeout))
}

/// Makes `attempts` one after the other until one succeeds. Returns `None` if
/// none of them had an answer in time.
fn try_attempts(
    connection: &ConnectOptions,
    attempts: &[Attempt],
    deadline: Instant,
    purpose: Purpose,
) -> Result<Option<Session>, ConnectError> {
    let mut last = None;
    let mut addresses: u32 = attempts.iter().map(|attempt| attempt.addresses).sum();
    for attempt in attempts {
        // An address that drops all packets must not use up the time of the
        // others.
        let time_per_address = time_until(deadline) / addresses;
        addresses -= attempt.addresses;
        match open(connection, attempt, time_per_address, purpose) {
            Ok(session) => return Ok(Some(session)),
            Err(AttemptError::Final(error)) => return Err(error),
            Err(AttemptError::Unreached(error)) => {
                last = Some(match attempt.bind {
                    None => error,
                    // The driver reports only the last address, without a reason.
                    Some(_) => error.with_what("none of its addresses could be reached"),
                });
            }
            Err(AttemptError::Timeout) => {}
        }
    }
    last.map_or(Ok(None), Err)
}

/// The error when no address answered within `timeout`.
fn no_answer(timeout: Duration) -> ConnectError {
    ConnectError::new(
        format!("no answer within {} s", timeout.as_secs_f64()),
        "is that address a MySQL or MariaDB server, and does a firewall let you through?",
    )
    .transient()
}

fn time_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Why an attempt opened no session.
enum AttemptError {
    /// Other addresses would give the same error.
    Final(ConnectError),
    /// Another address may answer.
    Unreached(ConnectError),
    /// There was no answer in time.
    Timeout,
}

/// Why one login failed.
struct LoginError {
    error: AttemptError,
    fault: LoginFault,
}

/// What a second login can depend on.
enum LoginFault {
    /// The server denied access.
    Denied,
    /// The driver panicked.
    DriverPanic,
    /// Anything else, which another login does not change.
    Other,
}

impl From<AttemptError> for LoginError {
    fn from(error: AttemptError) -> Self {
        Self {
            error,
            fault: LoginFault::Other,
        }
    }
}

/// Opens a session by `attempt`, which may take `time_per_address` for each of
/// its addresses.
///
/// A login by client_ed25519 or PARSEC is tried a second time: the driver cuts a
/// server's challenge short if its last byte is zero, which happens in one of 256
/// logins, and then answers the wrong challenge or panics. A login that was denied is
/// tried again only where one has succeeded before, because each counts for locks of
/// accounts.
fn open(
    connection: &ConnectOptions,
    attempt: &Attempt,
    time_per_address: Duration,
    purpose: Purpose,
) -> Result<Session, AttemptError> {
    let deadline = Instant::now() + time_per_address * attempt.addresses;
    let login = || log_in(connection, attempt, time_per_address, deadline, purpose);
    let first = match login() {
        Ok(session) => {
            remember_mariadb(&connection.endpoint, &session.conn);
            return Ok(session);
        }
        Err(first) => first,
    };
    let is_challenge_cut = connection.password.is_some()
        && match first.fault {
            // Only MariaDB has these plugins.
            LoginFault::Denied => is_known_mariadb(&connection.endpoint),
            LoginFault::DriverPanic => true,
            LoginFault::Other => false,
        };
    if !is_challenge_cut {
        return Err(first.error);
    }
    login().map_err(|second| match second.fault {
        // The first error may hold the server's message; a panic has none.
        LoginFault::DriverPanic => first.error,
        LoginFault::Denied | LoginFault::Other => second.error,
    })
}

/// Connects and logs in once.
fn log_in(
    connection: &ConnectOptions,
    attempt: &Attempt,
    time_per_address: Duration,
    deadline: Instant,
    purpose: Purpose,
) -> Result<Session, LoginError> {
    let request = ConnectRequest::new(connection, attempt, time_per_address).map_err(|error| {
        let what = format!("the certificates cannot be handed on in memory: {error}");
        AttemptError::Final(ConnectError::new(what, "is /proc mounted?").with_source(error))
    })?;
    let (limit, mark) = (time_until(deadline), request.mark);
    // The driver panics on some greetings that break the protocol.
    let opened = run_with_timeout(limit, Some(mark), move || {
        catch_panic(|| request.open(purpose))
    });
    match opened.map_err(|no_result| match no_result {
        NoResult::Late => AttemptError::Timeout,
        not_started => AttemptError::Final(not_started.into_error(limit)),
    })? {
        Ok(Ok(Ok(session))) => Ok(session),
        Ok(Ok(Err(tampering))) => {
            Err(AttemptError::Final(ConnectError::from_tampering(tampering)).into())
        }
        Ok(Err(error)) => {
            let fault = if refusal::is_access_denied(&error) {
                LoginFault::Denied
            } else {
                LoginFault::Other
            };
            let error = ConnectError::from_driver(error, connection);
            let error = if error.server_answered {
                AttemptError::Final(error)
            } else {
                AttemptError::Unreached(error)
            };
            Err(LoginError { error, fault })
        }
        Err(DriverPanic) => Err(LoginError {
            error: AttemptError::Unreached(ConnectError::from_driver_panic(connection)),
            fault: LoginFault::DriverPanic,
        }),
    }
}

/// The servers that are known to be MariaDB since a login there succeeded.
///
/// Asking a server that refuses logins would need another connection, and one without
/// a login counts as an error of this machine: after `max_connect_errors` of them, the
/// server blocks all its clients (MySQL manual, "Host Cache").
static KNOWN_MARIADB: Mutex<Vec<Endpoint>> = Mutex::new(Vec::new());

fn is_known_mariadb(endpoint: &Endpoint) -> bool {
    lock(&KNOWN_MARIADB).contains(endpoint)
}

/// Returns whether the server of `conn` says that it is MariaDB. Its versions begin with
/// 10, and before 11 it sends 5.5.5 in front of them for old clients.
pub(super) fn is_mariadb(conn: &Conn) -> bool {
    // The driver panics where it could not read the version.
    let version = catch_panic(|| conn.server_version());
    matches!(version, Ok((10.., _, _) | (5, 5, 5)))
}

/// Remembers the server of `conn` if it is MariaDB.
fn remember_mariadb(endpoint: &Endpoint, conn: &Conn) {
    let mut known = lock(&KNOWN_MARIADB);
    if is_mariadb(conn) && !known.contains(endpoint) {
        known.push(endpoint.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_connect_error_keeps_the_drivers_error_and_no_secret() {
        let options = ConnectOptions::socket("/nonexistent/socket")
            .user("reader")
            .password("hunter2");
        let error = connect(&options, Duration::from_secs(5), Purpose::Export).err();
        let error = error.expect("no server is there");
        assert_eq!(error.kind(), ErrorKind::Connect);
        let source = error.source().expect("a source");
        assert!(source.is::<mysql::Error>(), "{source}");
        assert!(!format!("{error:?} {source:?}").contains("hunter2"));
    }
}
