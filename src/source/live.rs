//! A connection in use, as another thread may end it: by its socket, and by
//! killing its query over a second connection.

use std::{
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use mysql::{Conn, prelude::Queryable};
use nix::sys::socket::{Shutdown, shutdown};

use super::connect::{connect, within};
use crate::{config::Connection, sql::Query};

/// How long killing a query may hold up the end of a run.
const KILL_TIMEOUT: Duration = Duration::from_millis(800);

/// What the server shows of a long statement in its process list may be cut.
const SHOWN_AT_LEAST: usize = 1000;

/// What is needed to end a connection's work from elsewhere.
pub(crate) struct LiveConnection {
    /// Valid until [`Cancel::release`](crate::cancel::Cancel::release).
    socket: RawFd,
    id: u32,
    connection: Connection,
    query: Query,
}

impl LiveConnection {
    pub(super) fn new(conn: &Conn, connection: &Connection, query: &Query) -> Self {
        Self {
            socket: conn.as_raw_fd(),
            id: conn.connection_id(),
            connection: connection.clone(),
            query: query.clone(),
        }
    }

    /// Ends the connection: whoever reads from it sees its end at once, and
    /// what the server still sends is refused.
    pub(crate) fn shut_down(&self) {
        // It fails where the connection has ended already, which is as good.
        let _ = shutdown(self.socket, Shutdown::Both);
    }

    /// Kills the query on the server, if that server is the one that runs it:
    /// behind a balancer, the second connection may reach another one, where
    /// the same id is somebody else's.
    pub(crate) fn kill_query(&self) {
        // Every failure means that there is nothing that we may kill; the
        // server ends the query when it next writes to the closed connection.
        let _ = self.try_kill_query();
    }

    fn try_kill_query(&self) -> Option<()> {
        let id = self.id;
        let query = self.query.clone();
        let started = Instant::now();
        let mut conn = connect(&self.connection, KILL_TIMEOUT).ok()?;
        within(KILL_TIMEOUT.saturating_sub(started.elapsed()), move || {
            conn.query_drop("SET NAMES utf8mb4").ok()?;
            let mut processes = conn.query_iter("SHOW FULL PROCESSLIST").ok()?;
            let shown = processes.by_ref().find_map(|process| {
                let process = process.ok()?;
                let of_ours = process.get_opt::<u32, _>("Id")?.ok()? == id;
                of_ours
                    .then(|| process.get_opt::<String, _>("Info")?.ok())
                    .flatten()
            })?;
            drop(processes);
            let ours = query
                .statements()
                .any(|statement| is_shown_as(statement, &shown));
            ours.then(|| conn.query_drop(format!("KILL QUERY {id}")).ok())
                .flatten()
        })?
    }
}

/// Whether a process list that shows `shown` shows `statement`.
fn is_shown_as(statement: &str, shown: &str) -> bool {
    statement == shown.trim() || (shown.len() >= SHOWN_AT_LEAST && statement.starts_with(shown))
}
