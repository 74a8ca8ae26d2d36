//! What sees each row on its way, beside the writer.

use crate::{error::Result, row::Row, schema::Schema};

/// Sees the columns and each row of a result set, before it is encoded. Guards
/// and counters are observers.
///
/// An error ends the export, and nothing is published.
///
/// ```
/// use gold_digger::{error::Result, pipeline::RowObserver, row::{Row, Value}};
///
/// /// Counts the NULLs of the first column.
/// #[derive(Default)]
/// struct Nulls(u64);
///
/// impl RowObserver for Nulls {
///     fn row(&mut self, row: Row<'_>, _number: u64) -> Result<()> {
///         self.0 += u64::from(row.value(0) == Value::Null);
///         Ok(())
///     }
/// }
/// ```
pub trait RowObserver {
    /// Sees the columns, before any row.
    ///
    /// # Errors
    /// Where these columns must not be exported.
    fn columns(&mut self, _schema: &Schema) -> Result<()> {
        Ok(())
    }

    /// Sees row `number`, counted from 1.
    ///
    /// # Errors
    /// Where the export must not go on.
    fn row(&mut self, row: Row<'_>, number: u64) -> Result<()>;

    /// Sees the number of rows, when all have arrived.
    ///
    /// # Errors
    /// Where the result must not be published.
    fn end(&mut self, _rows: u64) -> Result<()> {
        Ok(())
    }
}
