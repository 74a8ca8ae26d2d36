//! The trait of observers, which see each row before the writer encodes it.

use crate::{error::Result, row::Row, schema::Schema};

/// Sees the columns of a result set, and each row before it is encoded. Guards are
/// observers.
///
/// An error fails the export, and nothing is published.
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
    /// Sees the columns, before the first row.
    ///
    /// # Errors
    /// If these columns must not be exported.
    fn columns(&mut self, _schema: &Schema) -> Result<()> {
        Ok(())
    }

    /// Sees row `number`, counted from 1.
    ///
    /// # Errors
    /// If the export must not continue.
    fn row(&mut self, row: Row<'_>, number: u64) -> Result<()>;

    /// Sees the number of rows, after the last one has arrived.
    ///
    /// # Errors
    /// If the result must not be published.
    fn end(&mut self, _rows: u64) -> Result<()> {
        Ok(())
    }
}
