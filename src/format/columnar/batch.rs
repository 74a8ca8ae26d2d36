//! Collects rows in batches of Arrow arrays.

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{FieldRef, SchemaRef};

use super::{
    super::{ValueError, column::ValueProblem},
    builder::{Altered, ColumnBuilder, Srids},
    encoding_error,
};
use crate::{
    error::Result,
    row::{Row, Value},
    text::warning,
};

/// The most rows of a batch.
const MAX_ROWS: usize = 8192;

/// The number of bytes from which on a batch is full.
const MAX_BYTES: usize = 2 << 20;

const NULL_IN_NOT_NULL: ValueProblem = ValueProblem::new(
    "is NULL, and the server says that its column has none",
    "write it as an expression in the query, for example NULLIF(a, NULL)",
);

/// The rows that have not been written yet, column by column.
pub(super) struct Batch {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
    altered: Altered,
}

/// The values of one column.
struct Column {
    builder: Box<dyn ColumnBuilder>,
    is_nullable: bool,
}

impl Batch {
    /// Creates an empty batch of the columns of `schema`, each with its builder.
    pub(super) fn new(schema: SchemaRef, builders: Vec<Box<dyn ColumnBuilder>>) -> Self {
        let column = |(field, builder): (&FieldRef, _)| Column {
            builder,
            is_nullable: field.is_nullable(),
        };
        let fields = schema.fields().iter();
        Self {
            columns: fields.zip(builders).map(column).collect(),
            schema,
            rows: 0,
            bytes: 0,
            altered: Altered::default(),
        }
    }

    /// The columns.
    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Adds a row.
    ///
    /// # Errors
    /// For a value that its column cannot hold. The batch must not be used any more.
    #[inline]
    pub(super) fn push(&mut self, row: Row<'_>) -> Result<(), ValueError> {
        for (index, column) in self.columns.iter_mut().enumerate() {
            let value = row.value(index);
            if value == Value::Null && !column.is_nullable {
                return Err(ValueError::at(index)(NULL_IN_NOT_NULL));
            }
            let appended = column.builder.append(value, &mut self.altered);
            self.bytes += appended.map_err(ValueError::at(index))?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Whether the batch has no rows.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The estimated size of the rows in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the batch is large enough to be written.
    pub(super) const fn is_full(&self) -> bool {
        self.rows >= MAX_ROWS || self.bytes >= MAX_BYTES
    }

    /// Returns the rows, and leaves an empty batch; `None` if there are none.
    ///
    /// # Errors
    /// Where the arrays do not belong to the schema.
    pub(super) fn take(&mut self) -> Result<Option<RecordBatch>> {
        if self.rows == 0 {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = self
            .columns
            .iter_mut()
            .map(|column| column.builder.finish())
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        (self.rows, self.bytes) = (0, 0);
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map(Some)
            .map_err(encoding_error)
    }

    /// The columns with geometries, and the reference systems of these so far.
    pub(super) fn srids(&self) -> impl Iterator<Item = (&str, Srids)> {
        let fields = self.schema.fields().iter();
        let named = fields.zip(&self.columns);
        named.filter_map(|(field, column)| Some((field.name().as_str(), column.builder.srids()?)))
    }

    /// The warnings about values that are not written as they are.
    pub(super) fn warnings(&self) -> Vec<String> {
        let lossy = warning(
            self.altered.lossy,
            "value was not UTF-8; U+FFFD stands for what could not be read",
            "values were not UTF-8; U+FFFD stands for what could not be read",
        );
        let no_dates = warning(
            self.altered.no_dates,
            "date that no calendar has, such as 0000-00-00, was written as NULL",
            "dates that no calendar has, such as 0000-00-00, were written as NULL",
        );
        lossy.into_iter().chain(no_dates).collect()
    }
}
