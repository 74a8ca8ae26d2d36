//! The loop over rows: copies the rows of one source through observers, a writer
//! and a buffer to a sink.

pub mod counters;
pub mod observer;
pub mod output;

pub use counters::Counters;
pub use observer::RowObserver;
pub use output::{BufferedOutput, Flush};

use std::time::Instant;

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    format::{Format, ValueError},
    schema::Schema,
    sink::{Sink, Staged},
    source::RowSource,
};

/// The parts that rows pass through after their source.
pub struct Pipeline<'a> {
    /// How rows become bytes.
    pub format: &'a dyn Format,
    /// What a format that keeps facts is told of the rows' origin: names and values.
    pub facts: Vec<(&'static str, String)>,
    /// Where the bytes go.
    pub sink: Box<dyn Sink>,
    /// When rows are written.
    pub flush: Flush,
    /// Cancels the export.
    pub cancel: &'a CancelToken,
    /// They see each row before it is encoded, in this order.
    pub observers: &'a mut [&'a mut dyn RowObserver],
    /// Counts rows and bytes.
    pub counters: &'a Counters,
    /// When the export started, for the log.
    pub started: Instant,
}

/// A pipeline that has taken all rows, but whose document is not yet closed.
pub struct Copied<'a> {
    output: BufferedOutput,
    observers: &'a mut [&'a mut dyn RowObserver],
    counters: &'a Counters,
    cancel: &'a CancelToken,
    rows: u64,
}

/// Copies every row of `source` into the pipeline, up to the end of the source.
///
/// # Errors
/// Those of the source, of an observer, of the format and of the sink. A stream
/// then holds all rows before the failure.
pub fn copy_rows<'a>(
    mut source: Box<dyn RowSource + '_>,
    pipeline: Pipeline<'a>,
) -> Result<Copied<'a>> {
    let Pipeline {
        format,
        observers,
        counters,
        cancel,
        ..
    } = pipeline;
    for observer in observers.iter_mut() {
        observer.columns(source.schema())?;
    }
    let mut writer = format.open(source.schema())?;
    writer.describe(&pipeline.facts);
    let (sink, flush) = (pipeline.sink, pipeline.flush);
    let mut output = BufferedOutput::new(writer, format.framing(), sink, flush, cancel);
    if let Some(note) = source.note() {
        tracing::info!("{note}");
    }
    let schema = source.schema().clone();
    let mut rows = 0;
    while let Some(row) = source.next_row()? {
        rows += 1;
        counters.count_row();
        for observer in observers.iter_mut() {
            observer.row(row, rows)?;
        }
        let bytes = output.append(|writer, out| {
            if rows == 1 {
                let elapsed = pipeline.started.elapsed().as_secs_f64();
                tracing::debug!("the first row came after {elapsed:.3} s");
                writer.start(out)?;
            }
            let written = writer.row(row, out);
            written.map_err(|error| value_error(&error, rows, &schema))
        })?;
        counters.set_bytes(bytes);
    }
    source.finish()?;
    Ok(Copied {
        output,
        observers,
        counters,
        cancel,
        rows,
    })
}

impl Copied<'_> {
    /// Returns the number of rows.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Closes the document and the output. Returns the output, which can then be
    /// committed, and the warnings of the format.
    ///
    /// # Errors
    /// Those of an observer, of the format and of the sink; the cause, if the export
    /// was cancelled.
    pub fn finish(self) -> Result<(Staged, Vec<String>)> {
        let Self {
            mut output,
            observers,
            counters,
            cancel,
            rows,
        } = self;
        for observer in observers.iter_mut() {
            observer.end(rows)?;
        }
        let bytes = output.append(|writer, out| {
            if rows == 0 {
                writer.start(out)?;
            }
            writer.finish(out)
        })?;
        counters.set_bytes(bytes);
        // Nothing is committed after a cancellation.
        if let Some(cause) = cancel.cause() {
            return Err(cause);
        }
        output.finish()
    }
}

/// Returns the error of a value in row number `row` that the format cannot write.
#[cold]
pub(crate) fn value_error(error: &ValueError, row: u64, schema: &Schema) -> Error {
    let column = &schema.columns[error.column].name;
    Error::new(
        ErrorKind::Query,
        format!("row {row}, column {column:?}: the value {}", error.problem),
    )
    .with_hint(error.hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::Csv,
        row::{MemoryRow, Row, Value},
        schema::{Column, ColumnType},
        sink::{SharedBytes, WriterSink},
    };

    /// The integers up to 3, each a row of one column.
    struct Integers(Schema, MemoryRow, i64);

    impl RowSource for Integers {
        fn schema(&self) -> &Schema {
            &self.0
        }

        fn next_row(&mut self) -> Result<Option<Row<'_>>> {
            self.2 += 1;
            self.1 = MemoryRow::new(&[Value::Int(self.2)]);
            Ok((self.2 <= 3).then(|| self.1.view()))
        }

        fn finish(self: Box<Self>) -> Result<()> {
            Ok(())
        }
    }

    /// Counts what it sees, and fails at a row.
    #[derive(Default)]
    struct Counter {
        columns: usize,
        rows: u64,
        end: Option<u64>,
        fails_at: Option<u64>,
    }

    impl RowObserver for Counter {
        fn columns(&mut self, schema: &Schema) -> Result<()> {
            self.columns = schema.columns.len();
            Ok(())
        }

        fn row(&mut self, row: Row<'_>, number: u64) -> Result<()> {
            assert_eq!(row.value(0), Value::Int(number.cast_signed()));
            self.rows = number;
            match self.fails_at == Some(number) {
                true => Err(Error::new(ErrorKind::Guard, "enough")),
                false => Ok(()),
            }
        }

        fn end(&mut self, rows: u64) -> Result<()> {
            self.end = Some(rows);
            Ok(())
        }
    }

    fn copy(counter: &mut Counter) -> (Result<u64>, Vec<u8>) {
        let column = Column::new("n", "INT", ColumnType::Integer { zerofill: None });
        let schema = Schema {
            columns: vec![column],
        };
        let source = Box::new(Integers(schema, MemoryRow::new(&[]), 0));
        let (bytes, cancel) = (SharedBytes::default(), CancelToken::new());
        let sink = Box::new(WriterSink::new("memory", bytes.clone()));
        let (format, counters) = (Csv::new(), Counters::default());
        let observers: &mut [&mut dyn RowObserver] = &mut [counter];
        let pipeline = Pipeline {
            format: &format,
            facts: Vec::new(),
            sink,
            flush: Flush::Row,
            cancel: &cancel,
            observers,
            counters: &counters,
            started: Instant::now(),
        };
        let copied = copy_rows(source, pipeline);
        let result = copied.and_then(|copied| copied.finish().map(drop));
        (result.map(|()| counters.rows()), bytes.take())
    }

    #[test]
    fn observers_see_the_columns_each_row_and_the_end() {
        let mut counter = Counter::default();
        let (rows, bytes) = copy(&mut counter);
        assert_eq!(rows.expect("all rows"), 3);
        assert_eq!(bytes, b"n\n1\n2\n3\n");
        assert_eq!(
            (counter.columns, counter.rows, counter.end),
            (1, 3, Some(3))
        );
    }

    #[test]
    fn an_observer_that_fails_ends_the_copy_before_the_row_is_written() {
        let mut counter = Counter {
            fails_at: Some(2),
            ..Counter::default()
        };
        let (result, bytes) = copy(&mut counter);
        assert_eq!(result.expect_err("a failure").message(), "enough");
        assert_eq!(bytes, b"n\n1\n");
        assert_eq!((counter.rows, counter.end), (2, None));
    }
}
