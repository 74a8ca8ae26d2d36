//! Panics of the driver, which some answers that break the protocol lead to:
//! they end here, without a word on standard error.

use std::{
    any::Any,
    cell::Cell,
    mem::ManuallyDrop,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

use mysql::{Conn, DriverError, Row, prelude::Queryable};

/// More rows than any answer to a question of ours has, a list of connections
/// included.
const MOST_ROWS: usize = 1 << 17;

thread_local! {
    static IS_CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// That the driver has panicked; its state is of no use any more.
#[derive(Debug)]
pub(super) struct Panicked;

/// What `work` gives, or that it panicked. Whoever gets the latter must not use
/// what `work` has changed.
pub(super) fn contain<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    keep_quiet();
    let before = IS_CONTAINED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CONTAINED.set(before);
    result.map_err(|_: Box<dyn Any + Send>| Panicked)
}

/// Has contained panics told at `-vv` alone, and all others as before.
fn keep_quiet() {
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

/// The rows that answer a question of ours.
///
/// The driver's own ways to ask drop the result while they panic, which reads
/// on, and may panic again: that would end the process.
pub(super) fn ask(conn: &mut Conn, sql: &str) -> mysql::Result<Vec<Row>> {
    let mut result = ManuallyDrop::new(conn.query_iter(sql)?);
    let mut rows = Vec::new();
    for row in result.by_ref() {
        rows.push(row?);
        if rows.len() > MOST_ROWS {
            return Err(DriverError::UnexpectedPacket.into());
        }
    }
    drop(ManuallyDrop::into_inner(result));
    Ok(rows)
}

/// The text in a column of `row`, if there is one.
pub(super) fn text(row: &Row, column: usize) -> Option<String> {
    row.get_opt(column)?.ok()
}
