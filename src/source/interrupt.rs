//! Ends the work of a connection from another thread: by closing its socket, and
//! by killing its query over a second connection.

use std::{
    os::fd::{AsRawFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use mysql::Conn;
use nix::sys::socket::{Shutdown, shutdown};

use super::{
    codes,
    connect::{Purpose, Session, connect, run_with_timeout},
    driver::{catch_panic, run},
    errors::{describe, io_error, is_timeout},
    options::ConnectOptions,
    session::SessionLock,
};
use crate::{
    cancel::{Interrupt, Interrupted, Scope},
    error::Error,
};

/// The most time that killing a query may add to the end of a run. Over TLS, it takes
/// the way to the server and back five times.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// What another thread needs to end a connection's work.
#[derive(Clone)]
pub(super) struct InterruptHandle {
    /// The descriptor is valid until [`CancelToken::deregister`](crate::cancel::CancelToken::deregister).
    socket: RawFd,
    /// The number of the connection on the server that runs the query.
    id: Arc<AtomicU32>,
    connection: ConnectOptions,
    lock: SessionLock,
    session_use: SessionUse,
}

/// Who uses a session, which decides how its work is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// One export uses it. Interrupting its query closes the connection too.
    Exclusive,
    /// Several exports use it, for example because it holds their snapshot.
    /// Interrupting a query leaves the connection open if the query can be killed.
    Shared,
}

impl Interrupt for InterruptHandle {
    fn interrupt(&self, scope: Scope) -> Interrupted {
        let may_stay_open = scope == Scope::Query && self.session_use == SessionUse::Shared;
        if may_stay_open && self.kill_query() {
            return Interrupted::Query;
        }
        self.shut_down();
        self.kill_query();
        Interrupted::Connection
    }
}

impl InterruptHandle {
    pub(super) fn new(
        conn: &Conn,
        id: u32,
        connection: &ConnectOptions,
        lock: SessionLock,
        session_use: SessionUse,
    ) -> Self {
        Self {
            socket: conn.as_raw_fd(),
            id: Arc::new(id.into()),
            connection: connection.clone(),
            lock,
            session_use,
        }
    }

    fn id(&self) -> u32 {
        self.id.load(Ordering::Relaxed)
    }

    /// Sets the number of the connection to the one that the server tells. That of the
    /// login is a proxy's own if a proxy answers the login.
    pub(super) fn set_id(&self, id: u32) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// Shuts the socket down: a thread that reads from it returns at once, and the
    /// system refuses what the server still sends.
    fn shut_down(&self) {
        // It fails if the connection has ended already.
        let _ = shutdown(self.socket, Shutdown::Both);
    }

    /// Kills the query on the server, if the second connection reaches the server
    /// that runs it: behind a load balancer, it may reach another one, where the
    /// same id is another connection. Returns whether the query was killed.
    fn kill_query(&self) -> bool {
        // After a failure, the server ends the query when it next writes to the
        // closed connection.
        let started = Instant::now();
        let killed = self.try_kill_query();
        let outcome = match &killed {
            Killed::Query => "the query was killed",
            Killed::NotFound => "no query was killed",
            Killed::Unknown(reason) => reason,
        };
        tracing::debug!(
            "{outcome} on the server ({:.3} s)",
            started.elapsed().as_secs_f64()
        );
        if let Killed::Unknown(_) = killed {
            tracing::warn!(
                "the query may still run on the server, where it could not be killed within {} s; \
                 KILL QUERY {} ends it",
                KILL_TIMEOUT.as_secs_f64(),
                self.id()
            );
        }
        matches!(killed, Killed::Query)
    }

    /// Whether `conn` is connected to this connection's server.
    pub(super) fn is_same_server(&self, conn: &mut Conn) -> bool {
        self.lock.owner(conn) == Some(self.id())
    }

    fn try_kill_query(&self) -> Killed {
        let deadline = Instant::now() + KILL_TIMEOUT;
        let Session { mut conn, mark, .. } =
            match connect(&self.connection, KILL_TIMEOUT, Purpose::Kill) {
                Ok(session) => session,
                Err(error) if source_of(&error).is_some_and(is_gone) => return Killed::NotFound,
                Err(error) => return Killed::Unknown(error.message().to_owned()),
            };
        let handle = self.clone();
        let left = deadline.saturating_duration_since(Instant::now());
        let killed = run_with_timeout(left, Some(mark), move || {
            catch_panic(|| handle.kill_by(&mut conn))
        });
        killed
            .ok()
            .and_then(Result::ok)
            .unwrap_or_else(|| Killed::Unknown("the kill was not answered".to_owned()))
    }

    /// Kills the query over `conn`. One statement finds the session and kills it, as
    /// each statement takes as long as the way to the server and back.
    fn kill_by(&self, conn: &mut Conn) -> Killed {
        let kill = format!(
            "KILL QUERY IF(IS_USED_LOCK('{}') = {}, {}, 0)",
            self.lock.name(),
            self.id(),
            self.id()
        );
        match run(conn, &kill) {
            Ok(()) => Killed::Query,
            Err(mysql::Error::MySqlError(error)) if error.code == codes::NO_SUCH_THREAD => {
                Killed::NotFound
            }
            // Not every server takes an expression there.
            Err(mysql::Error::MySqlError(_)) if !self.is_same_server(conn) => Killed::NotFound,
            Err(mysql::Error::MySqlError(_)) => {
                match run(conn, &format!("KILL QUERY {}", self.id())) {
                    Ok(()) => Killed::Query,
                    Err(error) => Killed::Unknown(describe(&error)),
                }
            }
            Err(error) if is_gone(&error) => Killed::NotFound,
            Err(error) => Killed::Unknown(describe(&error)),
        }
    }
}

/// Returns the driver's error within `error`, if there is one.
fn source_of(error: &Error) -> Option<&mysql::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Whether the connection was refused or lost, and not merely late: no server is there
/// any more, and with it the query.
fn is_gone(error: &mysql::Error) -> bool {
    use mysql::{DriverError, Error};
    match error {
        Error::MySqlError(server) => server.code == codes::SERVER_SHUTDOWN,
        Error::DriverError(error) => matches!(error, DriverError::CouldNotConnect(_)),
        error => io_error(error).is_some_and(|error| !is_timeout(error.kind())),
    }
}

/// What became of a query that was to be killed.
enum Killed {
    /// The server has killed it.
    Query,
    /// The session is not on the server that was reached: it has ended, or is on
    /// another one. Or no server is there.
    NotFound,
    /// The server could not be asked, for this reason.
    Unknown(String),
}
