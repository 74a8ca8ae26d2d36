//! Calls of the driver that end its panics and never leave a result unread.
//!
//! The driver panics on some packets that break the protocol. A panic ends here,
//! without output on standard error.

use std::{mem::ManuallyDrop, str::FromStr};

use mysql::{
    Conn, DriverError, QueryResult, Row,
    prelude::{Protocol, Queryable},
};

/// Upper bound on rows plus result sets of an internal statement.
const MAX_ROWS: usize = 1 << 17;

/// Upper bound on the rows that [`ask`] returns.
const MAX_ANSWER_ROWS: usize = 1000;

/// Upper bound on the columns of the rows that [`ask`] returns.
const MAX_ANSWER_COLUMNS: usize = 32;

/// The driver has panicked. Its state must not be used any more.
#[derive(Debug)]
pub(super) struct DriverPanic;

/// Runs `work` and catches its panic. After a panic, the caller must not use
/// anything that `work` can have changed.
pub(super) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, DriverPanic> {
    crate::panics::catch_panic(work).map_err(|_| DriverPanic)
}

/// Runs an internal statement and reads its results to the end.
///
/// The driver's own `query_drop` drops the result, and with it every error that
/// follows the first packet.
pub(super) fn run(conn: &mut Conn, sql: &str) -> mysql::Result<()> {
    finish(conn.query_iter(sql)?)
}

/// Reads `result` to its end.
pub(super) fn finish<P: Protocol>(result: QueryResult<'_, '_, '_, P>) -> mysql::Result<()> {
    for_each(result, |_| ())
}

/// Returns the rows of an internal query with a small result.
pub(super) fn ask(conn: &mut Conn, sql: &str) -> mysql::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut is_too_large = false;
    for_each(conn.query_iter(sql)?, |row| {
        if rows.len() < MAX_ANSWER_ROWS && row.len() <= MAX_ANSWER_COLUMNS {
            rows.push(row);
        } else {
            is_too_large = true;
        }
    })?;
    if is_too_large {
        return Err(DriverError::UnexpectedPacket.into());
    }
    Ok(rows)
}

/// Calls `visit` with every row of `result`, up to the end of its last result
/// set.
///
/// It drops neither the result nor one of its sets before the end: dropping reads
/// what is left, and a second panic while the driver panics ends the process.
pub(super) fn for_each<P: Protocol>(
    result: QueryResult<'_, '_, '_, P>,
    mut visit: impl FnMut(Row),
) -> mysql::Result<()> {
    let mut result = ManuallyDrop::new(result);
    let mut remaining = MAX_ROWS;
    while let Some(mut set) = result.iter().map(ManuallyDrop::new) {
        for row in set.by_ref() {
            visit(row?);
            remaining = count_down(remaining)?;
        }
        // A set without rows counts too, or a server could send them for ever.
        remaining = count_down(remaining)?;
    }
    drop(ManuallyDrop::into_inner(result));
    Ok(())
}

fn count_down(remaining: usize) -> mysql::Result<usize> {
    let unexpected = || DriverError::UnexpectedPacket.into();
    remaining.checked_sub(1).ok_or_else(unexpected)
}

/// Returns all rows of an answer that may be long.
pub(super) fn all<P: Protocol>(answer: QueryResult<'_, '_, '_, P>) -> mysql::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for_each(answer, |row| rows.push(row))?;
    Ok(rows)
}

/// Returns the text in a column of `row`, if there is one.
pub(super) fn text(row: &Row, column: usize) -> Option<String> {
    row.get_opt(column)?.ok()
}

/// Returns the number in a column of `row`, if there is one that fits.
pub(super) fn number<T: FromStr>(row: &Row, column: usize) -> Option<T> {
    text(row, column)?.parse().ok()
}
