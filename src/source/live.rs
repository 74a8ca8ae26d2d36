//! A connection in use, as another thread may end it: by its socket, and by
//! killing its query over a second connection.

use std::{
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use mysql::{Conn, Row, prelude::Queryable};
use nix::sys::socket::{Shutdown, shutdown};

use super::{
    connect::{connect, within},
    contain::{contain, for_each, run},
    session::Mark,
};
use crate::{config::Connection, sql::Bound};

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
    /// What the statement may be, by the session's SQL mode.
    statements: Vec<Bound>,
    /// What tells the session, where the statement does not.
    mark: Option<Mark>,
}

impl LiveConnection {
    pub(super) fn new(
        conn: &Conn,
        id: u32,
        connection: &Connection,
        statements: Vec<Bound>,
        mark: Option<Mark>,
    ) -> Self {
        Self {
            socket: conn.as_raw_fd(),
            id,
            connection: connection.clone(),
            statements,
            mark,
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
        let (statements, mark) = (self.statements.clone(), self.mark.clone());
        let started = Instant::now();
        let mut conn = connect(&self.connection, KILL_TIMEOUT).ok()?.conn;
        let kill = move || {
            let kill = |conn: &mut Conn| run(conn, &format!("KILL QUERY {id}")).ok();
            if let Some(mark) = mark {
                return (mark.holder(&mut conn)? == id).then(|| kill(&mut conn))?;
            }
            let mut shown: Option<String> = None;
            let processes = conn.query_iter("SHOW FULL PROCESSLIST").ok()?;
            let find = |process: Row| {
                if matches!(process.get_opt::<u32, _>("Id"), Some(Ok(found)) if found == id) {
                    shown = process.get_opt("Info").and_then(Result::ok);
                }
            };
            for_each(processes, find).ok()?;
            let shown = shown?;
            let ours = statements.iter().any(|bound| is_shown_as(bound, &shown));
            ours.then(|| kill(&mut conn))?
        };
        let left = KILL_TIMEOUT.saturating_sub(started.elapsed());
        within(left, || contain(kill))?.ok()?
    }
}

/// Whether a process list that shows `shown` shows this statement. MariaDB shows
/// a prepared statement's `?`, MySQL the values in their places, quoted.
fn is_shown_as(bound: &Bound, shown: &str) -> bool {
    let shown = shown.trim();
    if bound.sql == shown || (shown.len() >= SHOWN_AT_LEAST && bound.sql.starts_with(shown)) {
        return true;
    }
    let (Some(first), Some(last)) = (bound.marks.first(), bound.marks.last()) else {
        return false;
    };
    let rest = shown.strip_prefix(&bound.sql[..*first]);
    let Some(mut rest) = rest.and_then(|rest| rest.strip_suffix(&bound.sql[last + 1..])) else {
        return false;
    };
    bound.marks.windows(2).all(|marks| {
        let between = &bound.sql[marks[0] + 1..marks[1]];
        let found = rest.find(between).map(|at| &rest[at + between.len()..]);
        found.is_some_and(|behind| {
            rest = behind;
            true
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Parameter, Query, QuotingMode};

    #[test]
    fn a_statement_is_known_by_what_stands_around_its_values() {
        let parameters = ["a=1".parse::<Parameter>().expect("a parameter")];
        let query = Query::parse("SELECT :a + 1, SLEEP(:a) FROM t").expect("one statement");
        let bound = query
            .bind(QuotingMode::Default, &parameters)
            .expect("bound");
        for shown in [
            "SELECT ? + 1, SLEEP(?) FROM t",
            "SELECT '1' + 1, SLEEP('1') FROM t",
        ] {
            assert!(is_shown_as(&bound, shown), "{shown}");
        }
        for shown in [
            "SELECT '1' + 2, SLEEP('1') FROM t",
            "SELECT '1' + 1, SLEEP('1') FROM u",
            "SELECT",
            "",
        ] {
            assert!(!is_shown_as(&bound, shown), "{shown}");
        }
    }
}
