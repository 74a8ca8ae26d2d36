//! Panics of the driver, which some answers that break the protocol lead to:
//! they end here, without a word on standard error.

use std::{
    any::Any,
    cell::Cell,
    mem::ManuallyDrop,
    panic::{self, AssertUnwindSafe},
    str::FromStr,
    sync::Once,
};

use mysql::{
    Conn, DriverError, QueryResult, Row,
    prelude::{Protocol, Queryable},
};

/// More rows and result sets than anything has that we run beside the query.
const MOST_ROWS: usize = 1 << 17;

/// More rows and columns than any answer to a question of ours has that is kept.
const MOST_ANSWERS: usize = 1000;
const WIDEST_ANSWER: usize = 32;

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// That the driver has panicked; its state is of no use any more.
#[derive(Debug)]
pub(super) struct Panicked;

/// What `work` gives, or that it panicked. Whoever gets the latter must not use
/// what `work` has changed.
pub(super) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = IS_CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    result.map_err(|_: Box<dyn Any + Send>| Panicked)
}

/// Installs a panic hook that logs caught panics of the driver at debug level and
/// leaves others to the hook before. Without it, they are printed as others are.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if IS_CONTAINED.get() {
                tracing::debug!("the driver panicked: {panic}");
            } else {
                tell(panic);
            }
        }));
    });
}

/// Runs a statement of ours to its end, whatever it returns.
///
/// The driver's own way to do so drops the result, and with it every error that
/// comes after the first packet.
pub(super) fn run(conn: &mut Conn, sql: &str) -> mysql::Result<()> {
    finish(conn.query_iter(sql)?)
}

/// Reads `result` to its end.
pub(super) fn finish<P: Protocol>(result: QueryResult<'_, '_, '_, P>) -> mysql::Result<()> {
    for_each(result, |_| ())
}

/// The few rows that answer a question of ours.
pub(super) fn ask(conn: &mut Conn, sql: &str) -> mysql::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut is_too_much = false;
    for_each(conn.query_iter(sql)?, |row| {
        if rows.len() < MOST_ANSWERS && row.len() <= WIDEST_ANSWER {
            rows.push(row);
        } else {
            is_too_much = true;
        }
    })?;
    if is_too_much {
        return Err(DriverError::UnexpectedPacket.into());
    }
    Ok(rows)
}

/// Shows `each` every row of `result`, up to its end.
///
/// It drops neither the result nor a set of it before the end: while the driver
/// panics, that would read on, and a second panic ends the process.
pub(super) fn for_each<P: Protocol>(
    result: QueryResult<'_, '_, '_, P>,
    mut each: impl FnMut(Row),
) -> mysql::Result<()> {
    let mut result = ManuallyDrop::new(result);
    let mut rest = MOST_ROWS;
    while let Some(mut set) = result.iter().map(ManuallyDrop::new) {
        for row in set.by_ref() {
            each(row?);
            rest = less(rest)?;
        }
        // Also where it has no rows.
        rest = less(rest)?;
    }
    drop(ManuallyDrop::into_inner(result));
    Ok(())
}

fn less(rest: usize) -> mysql::Result<usize> {
    let unexpected = || DriverError::UnexpectedPacket.into();
    rest.checked_sub(1).ok_or_else(unexpected)
}

/// The text in a column of `row`, if there is one.
pub(super) fn text(row: &Row, column: usize) -> Option<String> {
    row.get_opt(column)?.ok()
}

/// Returns the number in a column of `row`, if there is one that fits.
pub(super) fn number<T: FromStr>(row: &Row, column: usize) -> Option<T> {
    text(row, column)?.parse().ok()
}
