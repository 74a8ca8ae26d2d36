//! The rows of one result set as they arrive, and what follows them.

use std::mem::{self, ManuallyDrop};

use mysql::{Binary, QueryResult, Text, prelude::Protocol as WireProtocol};

use super::{
    RowSource, columns,
    driver::{Panicked, contain},
    errors::{broken_protocol, query_error},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    row::Row,
    schema::Schema,
};

/// The rows of one result set, one at a time; borrows the session.
///
/// Dropped before its end, it cuts the connection and kills the query instead
/// of reading on.
pub struct RowStream<'conn> {
    schema: Schema,
    rows: Rows<'conn>,
    row: Option<mysql::Row>,
    state: StreamState,
    note: Option<String>,
    cancel: CancelToken,
}

/// The driver's result, over either wire protocol.
pub(super) enum Rows<'conn> {
    Text(QueryResult<'conn, 'conn, 'conn, Text>),
    Binary(QueryResult<'conn, 'conn, 'conn, Binary>),
    /// The driver has panicked, and is in no state to be asked or dropped.
    Gone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamState {
    /// The server may send more, or still be at work.
    Open,
    /// Nothing is left on the server's side.
    Ended,
}

impl<'conn> RowStream<'conn> {
    pub(super) fn new(
        rows: Rows<'conn>,
        note: Option<String>,
        cancel: &CancelToken,
    ) -> Result<Self> {
        let mut stream = Self {
            schema: Schema {
                columns: Vec::new(),
            },
            rows,
            row: None,
            state: StreamState::Open,
            note,
            cancel: cancel.clone(),
        };
        // Only now: an error from here on drops a stream, which does not drain.
        stream.schema = match &stream.rows {
            Rows::Text(result) => columns::schema(result.columns().as_ref()),
            Rows::Binary(result) => columns::schema(result.columns().as_ref()),
            Rows::Gone => Err(broken_protocol(cancel)),
        }?;
        Ok(stream)
    }

    fn broken(&mut self, context: &str, error: mysql::Error) -> Error {
        if let mysql::Error::MySqlError(_) = error {
            // The server has ended the statement itself.
            self.state = StreamState::Ended;
        }
        self.cancel
            .cause()
            .unwrap_or_else(|| query_error(context, error).hint_or(MEND))
    }

    /// The driver has panicked.
    fn gone(&mut self) -> Error {
        mem::forget(mem::replace(&mut self.rows, Rows::Gone));
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
            Rows::Gone => "none",
        }
    }

    fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        // Not beside the next one: both may be wide.
        self.row = None;
        let next = match &mut self.rows {
            Rows::Text(result) => contain(|| result.next()),
            Rows::Binary(result) => contain(|| result.next()),
            Rows::Gone => Err(Panicked),
        };
        self.row = match next {
            Ok(Some(Ok(row))) => Some(row),
            Ok(Some(Err(error))) => return Err(self.broken("the result broke off", error)),
            Ok(None) => None,
            Err(Panicked) => return Err(self.gone()),
        };
        Ok(self.row.as_ref().map(Row::from_driver))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let cancel = &self.cancel;
        let followed = match &mut self.rows {
            Rows::Text(result) => contain(|| read_to_end(result, cancel)),
            Rows::Binary(result) => contain(|| read_to_end(result, cancel)),
            Rows::Gone => Err(Panicked),
        };
        let followed = match followed {
            Ok(followed) => followed?,
            Err(Panicked) => return Err(self.gone()),
        };
        if let Some(error) = followed {
            return Err(self.broken("the statement failed after its rows", error));
        }
        self.state = StreamState::Ended;
        Ok(())
    }
}

const MEND: &str = "mend what the server's message names, in the query or in the data";

/// More ends without rows than any procedure has: it has one.
const MOST_SETS: usize = 64;

/// Reads on behind the first result set; gives the error that follows it, if
/// one does.
fn read_to_end<P: WireProtocol>(
    result: &mut QueryResult<'_, '_, '_, P>,
    cancel: &CancelToken,
) -> Result<Option<mysql::Error>> {
    // `next` shows nothing that follows the first result set; `iter` does.
    // Dropping a set would read all of it, and in the midst of a panic end the
    // process.
    let mut sets = 0;
    while let Some(mut set) = result.iter().map(ManuallyDrop::new) {
        sets += 1;
        if sets > MOST_SETS {
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
            // Otherwise dropping the result would read all that is left.
            self.cancel.abort_query();
        }
        let rows = mem::replace(&mut self.rows, Rows::Gone);
        // It reads what it has got already, which may break the protocol too.
        let _ = contain(|| drop(rows));
    }
}
