//! Ends the work of a connection from another thread: by closing its socket, and
//! by killing its query over a second connection.

use std::{
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use mysql::Conn;
use nix::sys::socket::{Shutdown, shutdown};

use super::{
    connect::{connect, run_with_timeout},
    driver::{catch_panic, run},
    options::ConnectOptions,
    session::SessionLock,
};
use crate::cancel::{Interrupt, Interrupted, Scope};

/// The most time that killing a query may add to the end of a run.
const KILL_TIMEOUT: Duration = Duration::from_millis(800);

/// What another thread needs to end a connection's work.
#[derive(Clone)]
pub(super) struct InterruptHandle {
    /// The descriptor is valid until [`CancelToken::deregister`](crate::cancel::CancelToken::deregister).
    socket: RawFd,
    id: u32,
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
            id,
            connection: connection.clone(),
            lock,
            session_use,
        }
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
        let is_killed = self.try_kill_query().is_some();
        let outcome = if is_killed {
            "the query was killed"
        } else {
            "no query was killed"
        };
        tracing::debug!(
            "{outcome} on the server ({:.3} s)",
            started.elapsed().as_secs_f64()
        );
        is_killed
    }

    /// Whether `conn` is connected to this connection's server.
    pub(super) fn is_same_server(&self, conn: &mut Conn) -> bool {
        self.lock.owner(conn) == Some(self.id)
    }

    fn try_kill_query(&self) -> Option<()> {
        let handle = self.clone();
        let started = Instant::now();
        let mut conn = connect(&self.connection, KILL_TIMEOUT).ok()?.conn;
        let kill = move || {
            if !handle.is_same_server(&mut conn) {
                return None;
            }
            run(&mut conn, &format!("KILL QUERY {}", handle.id)).ok()
        };
        let left = KILL_TIMEOUT.saturating_sub(started.elapsed());
        run_with_timeout(left, || catch_panic(kill))?.ok()?
    }
}
