//! Positions in the server's binary log, and the statements that return them.

use mysql::{Conn, Row};
use serde::{Deserialize, Serialize};

use super::super::{
    driver::{ask, number, text},
    errors::{is_parse_error, query_error},
};
use crate::error::Result;

/// A position in the server's history, as replicas use it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinlogPosition {
    /// The GTIDs of the transactions before the position: a set such as
    /// `3E11FA47-…:1-5` of MySQL, a list such as `0-1-100` of MariaDB.
    pub gtid: Option<String>,
    /// The name of the binary log's file.
    pub binlog_file: Option<String>,
    /// The offset in that file in bytes.
    pub binlog_position: Option<u64>,
}

impl BinlogPosition {
    /// Replaces an empty set of GTIDs by `None`.
    pub(super) fn without_empty_texts(self) -> Self {
        Self {
            gtid: self.gtid.filter(|gtid| !gtid.is_empty()),
            ..self
        }
    }

    /// Reads a row of [`binary_log_status`].
    pub(super) fn from_status(row: &Row) -> Option<Self> {
        Some(Self {
            gtid: None,
            binlog_file: Some(text(row, 0)?),
            binlog_position: Some(number(row, 1)?),
        })
    }
}

/// Returns the end and the filters of the binary log: file, offset, databases that
/// it holds and databases that it leaves out.
pub(super) fn binary_log_status(conn: &mut Conn) -> mysql::Result<Vec<Row>> {
    // MySQL has the first statement since 8.2, and has removed the second.
    match ask(conn, "SHOW BINARY LOG STATUS") {
        Err(error) if is_parse_error(&error) => ask(conn, "SHOW MASTER STATUS"),
        answer => answer,
    }
}

/// Returns the position of the session's snapshot, from its own status. `None`:
/// the server has no such status.
pub(super) fn snapshot_status(conn: &mut Conn) -> Result<Option<BinlogPosition>> {
    let failed = |error| query_error("cannot ask for the snapshot's position", error);
    let rows = ask(conn, "SHOW STATUS LIKE 'binlog_snapshot_%'").map_err(failed)?;
    let value = |wanted: &str| {
        let mut rows = rows.iter();
        let row =
            rows.find(|row| text(row, 0).is_some_and(|name| name.eq_ignore_ascii_case(wanted)));
        row.and_then(|row| text(row, 1))
    };
    let file = value("binlog_snapshot_file").filter(|file| !file.is_empty());
    let (Some(file), Some(position)) = (file, value("binlog_snapshot_position")) else {
        return Ok(None);
    };
    // Percona Server lacks the function, and a file that was removed has no GTIDs.
    let gtid = ask(
        conn,
        &format!("SELECT BINLOG_GTID_POS('{file}', {position})"),
    );
    let gtid = gtid.ok().and_then(|rows| text(rows.first()?, 0));
    Ok(Some(BinlogPosition {
        gtid: gtid.filter(|gtid| !gtid.is_empty()),
        binlog_position: position.parse().ok(),
        binlog_file: Some(file),
    }))
}

/// Returns the server's current position, while a lock blocks commits. `None`: the
/// server does not report it.
pub(super) fn read_current(conn: &mut Conn) -> Option<BinlogPosition> {
    let rows = binary_log_status(conn).unwrap_or_default();
    let status = rows.first().and_then(BinlogPosition::from_status);
    let mut position = status.unwrap_or_default();
    for query in [
        "SELECT @@GLOBAL.gtid_executed",
        "SELECT @@GLOBAL.gtid_binlog_pos",
    ] {
        let answer = ask(conn, query)
            .ok()
            .and_then(|rows| text(rows.first()?, 0));
        position.gtid = position.gtid.or(answer.filter(|gtid| !gtid.is_empty()));
    }
    Some(position).filter(|position| *position != BinlogPosition::default())
}
