//! How a server proves that several transactions have one snapshot.

use mysql::{Conn, Row};

use super::{
    super::{
        QueryExecutor,
        driver::{ask, text},
        errors::{allow_refusal, query_error},
    },
    begin,
    position::{BinlogPosition, binary_log_status, snapshot_status},
};
use crate::error::Result;

/// The number of times that each session is asked for the position of its
/// snapshot. Servers answer by variables that all sessions share, so that one
/// answer may be another session's.
const REPEATED_ANSWERS: u32 = 3;

/// Shows InnoDB's transactions, those that are prepared among them.
const INNODB_MONITOR: &str = "SHOW ENGINE INNODB STATUS";

/// What proves that nothing was committed between two beginnings.
///
/// MySQL's `gtid_executed` changes after a transaction becomes visible, and its
/// binary log before. Neither alone proves anything: a transaction between the two
/// is in `gtid_owned`, or InnoDB shows it as prepared. Without a binary log, MySQL
/// makes no GTIDs, so that an unchanged set of them proves nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ConsistencyProof {
    /// Each session reports the position of its own snapshot
    /// (`Binlog_snapshot_position` of MariaDB and Percona Server).
    SnapshotStatus,
    /// MySQL's GTIDs. A transaction owns its GTID from before it is in the binary
    /// log until it is visible, and from then on the GTID is executed. If none is
    /// owned before the beginnings, and the same are executed after them, no
    /// transaction became visible between them.
    Gtid,
    /// The end of the binary log, which moves before a transaction becomes visible.
    /// Transactions between the two are prepared in InnoDB's monitor; there must be
    /// none.
    BinaryLog,
}

/// Returns the proof that the server can give, or the reason why it can give none.
pub(super) fn find_proof(conn: &mut Conn) -> Result<Result<ConsistencyProof, String>> {
    let has_gtids = match check_binary_log(conn)? {
        Ok(has_gtids) => has_gtids,
        Err(reason) => return Ok(Err(reason)),
    };
    // A session reports the position only within a transaction with a snapshot.
    begin(conn)?;
    if snapshot_status(conn)?.is_some() {
        return Ok(Ok(ConsistencyProof::SnapshotStatus));
    }
    if has_gtids {
        return Ok(Ok(ConsistencyProof::Gtid));
    }
    let monitor = allow_refusal(ask(conn, INNODB_MONITOR)).map_err(failed)?;
    Ok(match monitor {
        Ok(_) => Ok(ConsistencyProof::BinaryLog),
        Err(message) => Err(format!(
            "gtid_mode is not ON, and without it that needs PROCESS ({message})"
        )),
    })
}

/// Checks that every commit is in the server's binary log. Returns whether MySQL's
/// GTIDs are on, or the reason why commits may be missing.
fn check_binary_log(conn: &mut Conn) -> Result<Result<bool, String>> {
    // GTIDs are made for the binary log: without it, no commit changes them.
    if value(conn, "SELECT @@GLOBAL.log_bin")?.as_deref() != Some("1") {
        return Ok(Err("the server has no binary log".to_owned()));
    }
    if value(conn, "SELECT @@GLOBAL.wsrep_on")?.as_deref() == Some("1") {
        return Ok(Err(
            "what a Galera cluster applies may not be in the binary log".to_owned(),
        ));
    }
    let has_gtids = value(conn, "SELECT @@GLOBAL.gtid_mode")?.as_deref() == Some("ON");
    // With GTIDs, MySQL records the transactions that it applies in any case.
    let logs_what_it_applies = has_gtids
        || value(conn, "SELECT @@GLOBAL.log_slave_updates")?.as_deref() == Some("1")
        || value(conn, "SELECT @@GLOBAL.log_replica_updates")?.as_deref() == Some("1")
        || value(conn, "SHOW GLOBAL STATUS LIKE 'Slaves_running'")?.as_deref() == Some("0");
    if !logs_what_it_applies {
        return Ok(Err(
            "what the server replicates is not in its binary log".to_owned()
        ));
    }
    let status = match allow_refusal(binary_log_status(conn)).map_err(failed)? {
        Ok(status) => status,
        Err(message) => {
            return Ok(Err(format!(
                "the account may not see the binary log's state, which needs REPLICATION CLIENT, or MariaDB's BINLOG MONITOR ({message})"
            )));
        }
    };
    let has_filters = |row: &Row| {
        let lists = [text(row, 2), text(row, 3)];
        lists.into_iter().flatten().any(|list| !list.is_empty())
    };
    if status.iter().any(has_filters) {
        return Ok(Err(
            "the server's binary log leaves databases out".to_owned()
        ));
    }
    Ok(Ok(has_gtids))
}

/// Returns the value that `query` (SELECT or SHOW) reads. `None`: the server does
/// not know it.
fn value(conn: &mut Conn, query: &str) -> Result<Option<String>> {
    let answer = allow_refusal(ask(conn, query)).map_err(failed)?;
    let column = usize::from(query.starts_with("SHOW"));
    Ok(answer.ok().and_then(|rows| text(rows.first()?, column)))
}

fn failed(error: mysql::Error) -> crate::error::Error {
    query_error("cannot ask for the server's position", error)
}

/// Returns the server's position to compare. `None`: transactions are about to
/// become visible, so that a comparison proves nothing.
pub(super) fn read_position(
    conn: &mut Conn,
    proof: ConsistencyProof,
) -> Result<Option<BinlogPosition>> {
    match proof {
        ConsistencyProof::SnapshotStatus => {
            // Prepared XA transactions become visible at another time than their
            // binary log position, so none may exist.
            let prepared = allow_refusal(ask(conn, "XA RECOVER")).map_err(failed)?;
            let has_none = prepared.map_or(true, |rows| rows.is_empty());
            Ok(has_none.then(BinlogPosition::default))
        }
        ConsistencyProof::Gtid => {
            // The order matters: a GTID that is released between the two queries is
            // executed in the second.
            let owned = ask(conn, "SELECT @@GLOBAL.gtid_owned").map_err(failed)?;
            let executed = ask(conn, "SELECT @@GLOBAL.gtid_executed").map_err(failed)?;
            let text = |rows: &[Row]| rows.first().and_then(|row| text(row, 0));
            if text(&owned).as_deref() != Some("") {
                return Ok(None);
            }
            Ok(text(&executed).map(|gtid| BinlogPosition {
                gtid: Some(gtid),
                ..BinlogPosition::default()
            }))
        }
        ConsistencyProof::BinaryLog => {
            // The order matters: a transaction that is in the log at the first query
            // is prepared at the second, unless it is visible.
            let rows = binary_log_status(conn).map_err(failed)?;
            let monitor = ask(conn, INNODB_MONITOR).map_err(failed)?;
            let monitor = monitor.first().and_then(|row| text(row, 2));
            if monitor.is_none_or(|monitor| monitor.lines().any(may_be_prepared)) {
                return Ok(None);
            }
            Ok(rows.first().and_then(BinlogPosition::from_status))
        }
    }
}

/// Whether a line of InnoDB's monitor shows a prepared transaction, or that the
/// list of transactions is incomplete.
fn may_be_prepared(line: &str) -> bool {
    line.starts_with("---TRANSACTION") && line.contains("(PREPARED)") || line == "... truncated..."
}

/// Returns the position of the snapshots of all `sessions`. `None`: they differ, or
/// are not known.
pub(super) fn session_positions(sessions: &mut [QueryExecutor]) -> Result<Option<BinlogPosition>> {
    let mut found: Option<BinlogPosition> = None;
    for session in sessions {
        for _ in 0..REPEATED_ANSWERS {
            let position = session.with_driver(snapshot_status)?;
            if position.is_none() || found.is_some() && found != position {
                return Ok(None);
            }
            found = position;
        }
    }
    Ok(found)
}
