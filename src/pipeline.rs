//! The loop over rows: copies the rows of one source through observers, a writer
//! and a buffer to a sink.

pub mod counters;
pub mod observer;
pub mod output;
mod throttle;

pub use counters::Counters;
pub use observer::RowObserver;
pub use output::{BufferedOutput, Flush};
pub use throttle::{Throttle, ThrottleObserver};

use std::{num::NonZeroU64, time::Instant};

use serde::{Deserialize, Serialize};

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
    /// What is written of the document.
    pub extent: Extent,
    /// Where one document ends and the next begins; `None` if all rows are in one.
    pub parts: Option<Parts<'a>>,
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

/// What is written of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    #[default]
    Whole,
    /// Its rows alone, which others are joined to.
    Rows,
}

/// The documents of rows that are divided among several.
pub struct Parts<'a> {
    /// When a document ends.
    pub limit: PartLimit,
    /// Opens the sink of the document with a number: the second is 2.
    pub open: &'a mut dyn FnMut(u32) -> Result<Box<dyn Sink>>,
}

/// The size of a document, after which the next one begins. At least one is `Some`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartLimit {
    /// The number of its rows.
    pub rows: Option<NonZeroU64>,
    /// The number of its bytes, before they are compressed. It ends with the row that
    /// reaches them; a columnar format knows them once a row group is full.
    pub bytes: Option<NonZeroU64>,
}

impl PartLimit {
    /// Whether a document of so many rows and bytes is full.
    fn is_reached(self, rows: u64, bytes: u64) -> bool {
        let reached =
            |limit: Option<NonZeroU64>, count| limit.is_some_and(|limit| count >= limit.get());
        reached(self.rows, rows) || reached(self.bytes, bytes)
    }
}

/// A pipeline that has taken all rows, but whose last document is not yet closed.
pub struct Copied<'a> {
    open: OpenPart,
    closed: Vec<Part>,
    observers: &'a mut [&'a mut dyn RowObserver],
    counters: &'a Counters,
    cancel: &'a CancelToken,
    rows: u64,
}

/// A complete document, which can be committed.
pub struct Part {
    /// The output.
    pub staged: Staged,
    /// The number of its rows.
    pub rows: u64,
    /// The number of its bytes, before they are compressed.
    pub bytes: u64,
    /// The warnings of the format about it.
    pub warnings: Vec<String>,
}

/// The document that takes rows.
struct OpenPart {
    output: BufferedOutput,
    extent: Extent,
    rows: u64,
    bytes: u64,
}

impl OpenPart {
    fn new(output: BufferedOutput, extent: Extent) -> Self {
        Self {
            output,
            extent,
            rows: 0,
            bytes: 0,
        }
    }

    /// Closes the document and its output.
    fn close(mut self, counters: &Counters, before: u64, cancel: &CancelToken) -> Result<Part> {
        let (rows, extent) = (self.rows, self.extent);
        let bytes = self.output.append(|writer, out| {
            if rows == 0 && extent == Extent::Whole {
                writer.start(out)?;
            }
            match extent {
                Extent::Whole => writer.finish(out),
                Extent::Rows => Ok(()),
            }
        })?;
        counters.set_bytes(before + bytes);
        // Nothing is committed after a cancellation.
        if let Some(cause) = cancel.cause() {
            return Err(cause);
        }
        let (staged, warnings) = self.output.finish()?;
        Ok(Part {
            staged,
            rows,
            bytes,
            warnings,
        })
    }
}

/// Copies every row of `source` into the pipeline, up to the end of the source.
///
/// # Errors
/// Those of the source, of an observer, of the format and of the sink. A stream
/// then holds all rows before the failure.
pub fn copy_rows<'a>(
    source: Box<dyn RowSource + '_>,
    pipeline: Pipeline<'a>,
) -> Result<Copied<'a>> {
    let Pipeline {
        format,
        facts,
        observers,
        counters,
        cancel,
        flush,
        mut parts,
        extent,
        ..
    } = pipeline;
    for observer in observers.iter_mut() {
        observer.columns(source.schema())?;
    }
    let schema = source.schema().clone();
    let open = |sink| -> Result<OpenPart> {
        let mut writer = format.open(&schema)?;
        writer.describe(&facts);
        let framing = format.framing();
        let output = BufferedOutput::new(writer, framing, sink, flush, cancel);
        Ok(OpenPart::new(output, extent))
    };
    let mut part = open(pipeline.sink)?;
    // Declared behind it, and so dropped before: after a failure the server is let go, before
    // a slow reader takes the last rows.
    let mut source = source;
    if let Some(note) = source.note() {
        tracing::info!("{note}");
    }
    let (mut closed, mut closed_bytes) = (Vec::new(), 0);
    let mut rows = 0;
    while let Some(row) = source.next_row()? {
        if rows == 0 {
            let elapsed = pipeline.started.elapsed().as_secs_f64();
            tracing::debug!("the first row came after {elapsed:.3} s");
        }
        rows += 1;
        counters.count_row();
        for observer in observers.iter_mut() {
            observer.row(row, rows)?;
        }
        if let Some(parts) = &mut parts
            && parts.limit.is_reached(part.rows, part.bytes)
        {
            let full = part.close(counters, closed_bytes, cancel)?;
            closed_bytes += full.bytes;
            closed.push(full);
            let number = u32::try_from(closed.len() + 1).unwrap_or(u32::MAX);
            part = open((parts.open)(number)?)?;
        }
        part.rows += 1;
        let is_first = part.rows == 1 && extent == Extent::Whole;
        part.bytes = part.output.append(|writer, out| {
            if is_first {
                writer.start(out)?;
            }
            let written = writer.row(row, out);
            written.map_err(|error| value_error(&error, rows, &schema))
        })?;
        counters.set_bytes(closed_bytes + part.bytes);
    }
    source.finish()?;
    Ok(Copied {
        open: part,
        closed,
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

    /// Closes the last document and its output. Returns all of them, which can then be
    /// committed, in their order.
    ///
    /// # Errors
    /// Those of an observer, of the format and of the sink; the cause, if the export
    /// was cancelled.
    pub fn finish(self) -> Result<Vec<Part>> {
        let Self {
            open,
            mut closed,
            observers,
            counters,
            cancel,
            rows,
        } = self;
        for observer in observers.iter_mut() {
            observer.end(rows)?;
        }
        let before = closed.iter().map(|part| part.bytes).sum();
        closed.push(open.close(counters, before, cancel)?);
        Ok(closed)
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
            extent: Extent::Whole,
            parts: None,
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
