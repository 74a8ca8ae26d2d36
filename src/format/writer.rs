//! The traits of a format: [`Format`] creates writers, and a [`RowWriter`] encodes
//! one result set.

use std::{any::Any, fmt, fs::File};

use super::{Dialect, EncodeBuffer, TextOptions, column::ValueProblem};
use crate::{
    error::{Error, ErrorKind, Result},
    row::Row,
    schema::Schema,
};

/// A format with its options. It creates a writer for each result set.
///
/// ```
/// use gold_digger::{
///     error::Result,
///     format::{EncodeBuffer, Format, RowWriter, ValueError},
///     row::{Row, Value},
///     schema::Schema,
/// };
///
/// /// Writes the first column, one value per line.
/// #[derive(Debug)]
/// struct FirstColumn;
/// struct FirstColumnWriter;
///
/// impl Format for FirstColumn {
///     fn name(&self) -> &'static str {
///         "first-column"
///     }
///     fn open(&self, _schema: &Schema) -> Result<Box<dyn RowWriter>> {
///         Ok(Box::new(FirstColumnWriter))
///     }
/// }
///
/// impl RowWriter for FirstColumnWriter {
///     fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
///         match row.value(0) {
///             Value::Bytes(text) => out.extend(text),
///             other => out.extend(format!("{other:?}").as_bytes()),
///         }
///         out.extend(b"\n");
///         Ok(())
///     }
/// }
/// ```
pub trait Format: Any + fmt::Debug + Send + Sync {
    /// The name, as in `--format` and manifests.
    fn name(&self) -> &'static str;

    /// Creates a writer for a result set with these columns.
    ///
    /// # Errors
    /// An error if the format cannot write these columns. It is reported before
    /// any row is read.
    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>>;

    /// The time at which the writers append the bytes of a row.
    fn framing(&self) -> Framing {
        Framing::Row
    }

    /// The beginning of the documents: with a line of column names or without.
    fn header(&self) -> Header {
        Header::None
    }

    /// How what several writers have encoded becomes one document.
    fn joining(&self) -> Joining {
        Joining::Impossible
    }

    /// The options for values.
    fn text_options(&self) -> TextOptions {
        TextOptions::default()
    }

    /// How a reader is set up for the documents, for manifests.
    fn dialect(&self) -> Dialect {
        Dialect::default()
    }

    /// The text for NULL, if the same text can be data, where it is between quotes.
    fn null_text(&self) -> Option<String> {
        None
    }

    /// Whether the documents keep facts about their origin, see
    /// [`RowWriter::describe`].
    fn keeps_facts(&self) -> bool {
        false
    }
}

/// The time at which a writer appends the bytes of a row. The guarantees for
/// single rows (a row is written within 5 ms, a stream has all rows before a
/// failure, one row is in memory) hold only for [`Framing::Row`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The bytes are appended with the row.
    Row,
    /// The bytes are appended with a batch of rows.
    Batch,
    /// The bytes are appended with a batch of rows, which ends early when the server
    /// pauses: a reader need not wait for more rows.
    BatchOrPause,
}

/// How what several writers have encoded, each a part of the rows, becomes one document of
/// another writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Not at all.
    Impossible,
    /// The start stands before all rows, what [`RowWriter::join`] appends before those of
    /// each, and the end behind them.
    Rows,
    /// [`RowWriter::append_document`] takes over a whole document of each.
    Documents,
}

/// The beginning of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// The table begins with a line of the column names.
    #[default]
    Names,
    /// The table begins with the first row.
    None,
}

/// Encodes one result set: [`start`](Self::start), then [`row`](Self::row) for
/// each row, then [`finish`](Self::finish).
///
/// ```
/// use gold_digger::{
///     format::{EncodeBuffer, Format, Json},
///     schema::{Column, ColumnType, Schema},
/// };
///
/// let column = Column::new("id", "INT", ColumnType::Integer { zerofill: None });
/// let writer = Json::default().open(&Schema { columns: vec![column] })?;
/// assert_eq!(writer.column_formats(), ["number"]);
/// # Ok::<(), gold_digger::error::Error>(())
/// ```
pub trait RowWriter: Send {
    /// Tells the writer facts about the origin of the rows, each a name and a value,
    /// before [`start`](Self::start).
    fn describe(&mut self, _facts: &[(&'static str, String)]) {}

    /// Appends the part of the document before the first row to `out`.
    ///
    /// # Errors
    /// An error if this part cannot be encoded.
    fn start(&mut self, _out: &mut EncodeBuffer<'_>) -> Result<()> {
        Ok(())
    }

    /// Appends one complete row to `out`, so that a reader may see it at once; with
    /// another framing than [`Framing::Row`], adds it to the open batch.
    ///
    /// # Errors
    /// [`ValueError`] for a value that the format cannot write exactly. `out` may
    /// then hold a part of the row.
    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError>;

    /// Appends the part of the document after the last row to `out`.
    ///
    /// # Errors
    /// An error if this part cannot be encoded.
    fn finish(&mut self, _out: &mut EncodeBuffer<'_>) -> Result<()> {
        Ok(())
    }

    /// Appends what stands before rows that another writer has encoded and that follow here:
    /// what separates them from rows before them. See [`Joining::Rows`].
    fn join(&mut self, _out: &mut EncodeBuffer<'_>) {}

    /// Appends the rows of the whole document in `file`. See [`Joining::Documents`].
    ///
    /// # Errors
    /// An error if the document cannot be read.
    fn append_document(&mut self, _file: &File, _out: &mut EncodeBuffer<'_>) -> Result<()> {
        Err(Error::new(
            ErrorKind::Output,
            "its documents cannot be joined",
        ))
    }

    /// Whether the open batch is large enough to be written.
    fn is_batch_full(&self) -> bool {
        false
    }

    /// Whether the open batch has rows.
    fn has_batch(&self) -> bool {
        false
    }

    /// Appends the rows of the open batch to `out`, or to what the writer holds of a
    /// larger unit, and opens another batch.
    ///
    /// # Errors
    /// An error if the batch cannot be encoded.
    fn write_batch(&mut self, _out: &mut EncodeBuffer<'_>) -> Result<()> {
        Ok(())
    }

    /// The number of bytes of rows that the writer holds in memory: 0 for most text, the
    /// size of the open batch and of what is encoded around it for others.
    fn buffered(&self) -> usize {
        0
    }

    /// The text form of each column's values in words, for `--check`.
    fn column_formats(&self) -> Vec<String> {
        Vec::new()
    }

    /// The warnings about the complete document, for the user.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The error for a value that a format cannot write exactly.
#[derive(Debug, PartialEq, Eq)]
pub struct ValueError {
    /// The index of the value's column, counted from 0.
    pub column: usize,
    /// The problem, as the end of a sentence that begins with the place of the
    /// value.
    pub problem: &'static str,
    /// The hint that tells the user what to do.
    pub hint: &'static str,
}

impl ValueError {
    /// Returns a function that adds the index `column` to a value's problem.
    pub(super) fn at(column: usize) -> impl FnOnce(ValueProblem) -> Self {
        move |ValueProblem { problem, hint }| Self {
            column,
            problem,
            hint,
        }
    }
}
