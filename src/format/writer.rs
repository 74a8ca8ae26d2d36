//! What a format is: a factory of writers, and the writer of one result set.

use std::{any::Any, fmt};

use super::{EncodeBuffer, column::ValueProblem};
use crate::{error::Result, row::Row, schema::Schema};

/// A format with its options: makes a writer for each result set.
///
/// ```
/// use gold_digger::{
///     error::Result,
///     format::{EncodeBuffer, Format, RowWriter, ValueError},
///     row::{Row, Value},
///     schema::Schema,
/// };
///
/// /// Writes the first column, a line each.
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
    /// Its name, as `--format` and manifests have it.
    fn name(&self) -> &'static str;

    /// Makes a writer for a result set with these columns.
    ///
    /// # Errors
    /// Where the format cannot write these columns; no row has been read then.
    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>>;

    /// When its writers append bytes for a row.
    fn framing(&self) -> Framing {
        Framing::Row
    }

    /// Whether its documents begin with a line of the columns' names.
    fn header(&self) -> Header {
        Header::None
    }
}

/// When a writer appends the bytes of a row. What the program promises of single
/// rows (written within 5 ms, all rows before a failure are in a stream, one row
/// in memory) holds for [`Framing::Row`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// With the row.
    Row,
    /// With a batch of rows.
    Batch,
}

/// What a table begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// A line of the columns' names.
    #[default]
    Names,
    /// The first row.
    None,
}

/// Encodes one result set. Every method appends to `out`.
pub trait RowWriter: Send {
    /// Appends what comes before the first row.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    fn start(&mut self, _out: &mut EncodeBuffer<'_>) -> Result<()> {
        Ok(())
    }

    /// Appends one row, complete: a reader may see it at once.
    ///
    /// # Errors
    /// A value that the format cannot write exactly. `out` may then hold a part
    /// of the row.
    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError>;

    /// Appends what comes after the last row.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    fn finish(&mut self, _out: &mut EncodeBuffer<'_>) -> Result<()> {
        Ok(())
    }

    /// The bytes that are held back in memory: 0 for text, the open batch for
    /// [`Framing::Batch`].
    fn buffered(&self) -> usize {
        0
    }

    /// How the values of each column are written, in words, for `--check`.
    fn column_formats(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the user should know about the complete document.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A value that a format refuses to write.
#[derive(Debug, PartialEq, Eq)]
pub struct ValueError {
    /// The index of its column.
    pub column: usize,
    /// What is wrong, as the end of a sentence that begins with the place.
    pub problem: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

impl ValueError {
    /// Adds the column to a value's problem.
    pub(super) fn at(column: usize) -> impl FnOnce(ValueProblem) -> Self {
        move |ValueProblem { problem, hint }| Self {
            column,
            problem,
            hint,
        }
    }
}
