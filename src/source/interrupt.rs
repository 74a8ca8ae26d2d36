//! A connection in use, as another thread may end it: by its socket, and by
//! killing its query over a second connection.

use std::{
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use mysql::Conn;
use nix::sys::socket::{Shutdown, shutdown};

use super::{
    connect::{connect, within},
    driver::{contain, run},
    options::ConnectOptions,
    session::SessionLock,
};
use crate::cancel::{Interrupt, Interrupted, Scope};

/// How long killing a query may hold up the end of a run.
const KILL_TIMEOUT: Duration = Duration::from_millis(800);

/// What is needed to end a connection's work from elsewhere.
#[derive(Clone)]
pub(super) struct InterruptHandle {
    /// Valid until [`CancelToken::deregister`](crate::cancel::CancelToken::deregister).
    socket: RawFd,
    id: u32,
    connection: ConnectOptions,
    lock: SessionLock,
    session_use: SessionUse,
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SessionUse {
    /// One export.
    Exclusive,
    /// Several, which need what its session holds.
    Shared,
}

impl Interrupt for InterruptHandle {
    fn interrupt(&self, scope: Scope) -> Interrupted {
        let may_stay = scope == Scope::Query && self.session_use == SessionUse::Shared;
        if may_stay && self.kill_query() {
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

    /// Closes the socket: a thread that reads from it returns at once, and what
    /// the server still sends is refused.
    fn shut_down(&self) {
        // It fails where the connection has ended already.
        let _ = shutdown(self.socket, Shutdown::Both);
    }

    /// Kills the query on the server, if that server is the one that runs it:
    /// behind a balancer, the second connection may reach another one, where
    /// the same id is somebody else's. Gives whether it was.
    fn kill_query(&self) -> bool {
        // Every failure means that there is nothing that we may kill; the
        // server ends the query when it next writes to the closed connection.
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

    /// Whether the server of `conn` is this connection's server.
    pub(super) fn is_of_the_server_of(&self, conn: &mut Conn) -> bool {
        self.lock.owner(conn) == Some(self.id)
    }

    fn try_kill_query(&self) -> Option<()> {
        let live = self.clone();
        let started = Instant::now();
        let mut conn = connect(&self.connection, KILL_TIMEOUT).ok()?.conn;
        let kill = move || {
            if !live.is_of_the_server_of(&mut conn) {
                return None;
            }
            run(&mut conn, &format!("KILL QUERY {}", live.id)).ok()
        };
        let left = KILL_TIMEOUT.saturating_sub(started.elapsed());
        within(left, || contain(kill))?.ok()?
    }
}
