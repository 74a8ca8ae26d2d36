//! The rows of one result set as they arrive, and the end of the statement.
//!
//! The driver's feature `buffer-pool` is off: it keeps the widest packets for
//! ever. With it, a few rows of 256 MiB took 1,088 MiB of memory; without it, 564
//! MiB, and small rows take the same time.

use std::mem::{self, ManuallyDrop};

use mysql::{Binary, QueryResult, Text, prelude::Protocol as WireProtocol};

use super::{
    RowSource, columns,
    correction::{Corrections, ValueContext},
    driver::{DriverPanic, catch_panic},
    errors::{broken_protocol, query_error},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    row::Row,
    schema::Schema,
};

/// The rows of one result set, one at a time. It borrows the session.
///
/// Dropped before its end, it kills the query and, unless the session is
/// [shared](super::SessionUse::Shared), closes the connection: the driver would
/// read all rows that are left.
pub struct RowStream<'conn> {
    schema: Schema,
    rows: Rows<'conn>,
    row: Option<mysql::Row>,
    corrections: Corrections,
    state: StreamState,
    note: Option<String>,
    cancel: CancelToken,
}

/// The driver's result, over either wire protocol.
pub(super) enum Rows<'conn> {
    Text(QueryResult<'conn, 'conn, 'conn, Text>),
    Binary(QueryResult<'conn, 'conn, 'conn, Binary>),
    /// The driver has panicked, so that its result can be neither used nor
    /// dropped.
    Lost,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamState {
    /// The server may send more, or still run the statement.
    Open,
    /// The server has ended the statement.
    Ended,
}

impl<'conn> RowStream<'conn> {
    pub(super) fn new(
        rows: Rows<'conn>,
        note: Option<String>,
        cancel: &CancelToken,
        context: ValueContext<'_>,
    ) -> Result<Self> {
        let mut stream = Self {
            schema: Schema {
                columns: Vec::new(),
            },
            rows,
            row: None,
            corrections: Corrections::default(),
            state: StreamState::Open,
            note,
            cancel: cancel.clone(),
        };
        // After the stream exists: an error drops it, which does not read the
        // rows, unlike dropping the driver's result.
        let set = match &stream.rows {
            Rows::Text(result) => result.columns(),
            Rows::Binary(result) => result.columns(),
            Rows::Lost => return Err(broken_protocol(cancel)),
        };
        let columns = set.as_ref();
        let schema = columns::schema(columns, context.not_null_flags)?;
        let corrections = Corrections::new(columns, &schema, context)?;
        (stream.schema, stream.corrections) = (schema, corrections);
        Ok(stream)
    }

    /// Returns the error for a text that may have lost characters, if there is one.
    pub(super) fn doubtful_text(&self) -> Option<Error> {
        self.corrections.doubtful_text()
    }

    /// Returns the error for a failure after the statement began, or the cause if
    /// the run was cancelled.
    fn stream_error(&mut self, context: &str, error: mysql::Error) -> Error {
        if let mysql::Error::MySqlError(_) = error {
            // The server has ended the statement itself.
            self.state = StreamState::Ended;
        }
        self.cancel
            .cause()
            .unwrap_or_else(|| query_error(context, error).hint_or(FIX_HINT))
    }

    /// Forgets the driver's result after a panic and returns the error.
    fn after_driver_panic(&mut self) -> Error {
        mem::forget(mem::replace(&mut self.rows, Rows::Lost));
        let error = broken_protocol(&self.cancel);
        self.cancel.cause().unwrap_or(error)
    }
}

impl RowSource for RowStream<'_> {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn protocol(&self) -> &'static str {
        match self.rows {
            Rows::Text(_) => "text",
            Rows::Binary(_) => "binary",
            Rows::Lost => "none",
        }
    }

    fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        // Drop the previous row first, so that two wide rows are never in memory
        // together.
        self.row = None;
        let next = match &mut self.rows {
            Rows::Text(result) => catch_panic(|| result.next()),
            Rows::Binary(result) => catch_panic(|| result.next()),
            Rows::Lost => Err(DriverPanic),
        };
        self.row = match next {
            Ok(Some(Ok(mut row))) => {
                self.corrections.apply(&mut row)?;
                Some(row)
            }
            Ok(Some(Err(error))) => return Err(self.stream_error("the result broke off", error)),
            Ok(None) => None,
            Err(DriverPanic) => return Err(self.after_driver_panic()),
        };
        Ok(self.row.as_ref().map(Row::from_driver))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let cancel = &self.cancel;
        let followed = match &mut self.rows {
            Rows::Text(result) => catch_panic(|| read_to_end(result, cancel)),
            Rows::Binary(result) => catch_panic(|| read_to_end(result, cancel)),
            Rows::Lost => Err(DriverPanic),
        };
        let followed = match followed {
            Ok(followed) => followed?,
            Err(DriverPanic) => return Err(self.after_driver_panic()),
        };
        if let Some(error) = followed {
            return Err(self.stream_error("the statement failed after its rows", error));
        }
        self.state = StreamState::Ended;
        Ok(())
    }
}

const FIX_HINT: &str = "mend what the server's message names, in the query or in the data";

/// The most empty result sets that are accepted after the rows. A procedure sends
/// one.
const MAX_EMPTY_SETS: usize = 64;

/// Reads what follows the first result set. Returns the server's error that
/// follows it, if there is one.
///
/// A second result set is an error even if it has no rows, so that an export does
/// not depend on the data of the day.
fn read_to_end<P: WireProtocol>(
    result: &mut QueryResult<'_, '_, '_, P>,
    cancel: &CancelToken,
) -> Result<Option<mysql::Error>> {
    // `next` returns nothing after the first result set; `iter` does. Dropping a
    // set would read all of it, and during a panic end the process.
    let mut sets = 0;
    while let Some(mut set) = result.iter().map(ManuallyDrop::new) {
        sets += 1;
        if sets > MAX_EMPTY_SETS {
            return Err(broken_protocol(cancel));
        }
        if !set.columns().as_ref().is_empty() {
            cancel.abort_query();
            return Err(Error::new(
                ErrorKind::Query,
                "the statement returned a second result set",
            )
            .with_hint("an export is one result set: let the procedure select once"));
        }
        if let Some(Err(error)) = set.next() {
            return Ok(Some(error));
        }
    }
    Ok(None)
}

impl Drop for RowStream<'_> {
    fn drop(&mut self) {
        if self.state == StreamState::Open {
            // Otherwise dropping the result would read all rows that are left.
            self.cancel.abort_query();
        }
        let rows = mem::replace(&mut self.rows, Rows::Lost);
        if self.state == StreamState::Open && !self.cancel.has_connection() {
            // The connection is closed. What has arrived stays unread, so that the system
            // resets the connection: a server that waits to send more notices at once.
            mem::forget(rows);
            return;
        }
        // Dropping reads what has arrived already, which may break the protocol
        // too.
        let _ = catch_panic(|| drop(rows));
    }
}
