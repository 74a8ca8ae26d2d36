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
    row::Row,
    schema::Schema,
    sink::{Sink, Staged},
    source::RowSource,
};

/// The parts that rows pass through after their source, up to one output. The rows of a source
/// can go through several.
pub struct Pipeline<'a> {
    /// How rows become bytes.
    pub format: &'a dyn Format,
    /// What a format that keeps facts is told of the rows' origin: names and values.
    pub facts: Vec<(&'static str, String)>,
    /// What is written of the document.
    pub extent: Extent,
    /// Where one document ends and the next begins; `None` if all rows are in one.
    pub parts: Option<Parts<'a>>,
    /// When rows are written.
    pub flush: Flush,
    /// Cancels the export.
    pub cancel: &'a CancelToken,
    /// They see each row before it is encoded, in this order.
    pub observers: Vec<&'a mut dyn RowObserver>,
    /// Counts rows and bytes.
    pub counters: &'a Counters,
    /// What a failure of this output ends.
    pub failure: FailureEnds,
}

/// What the failure of one of several outputs ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureEnds {
    /// Itself.
    #[default]
    Itself,
    /// All outputs of the rows: all are published, or none.
    All,
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
    pub open: Box<dyn FnMut(u32) -> Result<Box<dyn Sink>> + 'a>,
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

/// Pipelines that have taken all rows, but whose last documents are not yet closed.
pub struct Copied<'a> {
    outputs: Vec<Output<'a>>,
    rows: u64,
}

/// An output that takes rows.
struct Output<'a> {
    pipeline: Pipeline<'a>,
    schema: Schema,
    closed: Vec<Part>,
    closed_bytes: u64,
    /// The document that takes rows. After a failure it stays until the source is let go, if
    /// no other output takes rows.
    open: Option<OpenPart>,
    failed: Option<Error>,
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

impl<'a> Output<'a> {
    /// Opens the first document of `pipeline`, whose bytes go to `sink`.
    fn open(pipeline: Pipeline<'a>, sink: Result<Box<dyn Sink>>, schema: &Schema) -> Result<Self> {
        let mut output = Self {
            pipeline,
            schema: schema.clone(),
            closed: Vec::new(),
            closed_bytes: 0,
            open: None,
            failed: None,
        };
        let opened = sink.and_then(|sink| {
            for observer in &mut output.pipeline.observers {
                observer.columns(schema)?;
            }
            output.open_document(sink)
        });
        output.keep(opened)?;
        Ok(output)
    }

    /// Has a document with the output `sink` take the next rows.
    fn open_document(&mut self, sink: Box<dyn Sink>) -> Result<()> {
        let Pipeline {
            format,
            facts,
            extent,
            flush,
            cancel,
            ..
        } = &self.pipeline;
        let mut writer = format.open(&self.schema)?;
        writer.describe(facts);
        let output = BufferedOutput::new(writer, format.framing(), sink, *flush, cancel);
        self.open = Some(OpenPart::new(output, *extent));
        Ok(())
    }

    /// Keeps the error of `result`, which ends this output. Returns it if it ends all; its
    /// token then tells whose it is.
    fn keep(&mut self, result: Result<()>) -> Result<()> {
        let Err(error) = result else { return Ok(()) };
        self.failed = Some(error.clone());
        match self.pipeline.failure {
            FailureEnds::Itself => Ok(()),
            FailureEnds::All => {
                self.pipeline.cancel.cancel(error.clone());
                Err(error)
            }
        }
    }

    /// Takes row `number`, unless the output has failed.
    #[inline]
    fn take(&mut self, row: Row<'_>, number: u64) -> Result<()> {
        if self.failed.is_some() {
            return Ok(());
        }
        self.pipeline.counters.count_row();
        match self.try_take(row, number) {
            Ok(()) => Ok(()),
            failed => self.keep(failed),
        }
    }

    fn try_take(&mut self, row: Row<'_>, number: u64) -> Result<()> {
        for observer in &mut self.pipeline.observers {
            observer.row(row, number)?;
        }
        if let (Some(parts), Some(part)) = (&self.pipeline.parts, &self.open)
            && parts.limit.is_reached(part.rows, part.bytes)
        {
            self.begin_part()?;
        }
        let (Some(part), schema) = (&mut self.open, &self.schema) else {
            return Ok(());
        };
        part.rows += 1;
        let is_first = part.rows == 1 && self.pipeline.extent == Extent::Whole;
        part.bytes = part.output.append(|writer, out| {
            if is_first {
                writer.start(out)?;
            }
            let written = writer.row(row, out);
            written.map_err(|error| value_error(&error, number, schema))
        })?;
        self.pipeline
            .counters
            .set_bytes(self.closed_bytes + part.bytes);
        Ok(())
    }

    /// Closes the document, and opens the next one.
    fn begin_part(&mut self) -> Result<()> {
        self.close()?;
        let number = u32::try_from(self.closed.len() + 1).unwrap_or(u32::MAX);
        let Some(parts) = &mut self.pipeline.parts else {
            return Ok(());
        };
        let sink = (parts.open)(number)?;
        self.open_document(sink)
    }

    /// Closes the document and its output.
    fn close(&mut self) -> Result<()> {
        let closed = || Error::new(ErrorKind::Output, "the output is closed");
        let part = self.open.take().ok_or_else(closed)?;
        let Pipeline {
            counters, cancel, ..
        } = &self.pipeline;
        let full = part.close(counters, self.closed_bytes, cancel)?;
        self.closed_bytes += full.bytes;
        self.closed.push(full);
        Ok(())
    }

    /// Closes the last document. Returns all of them.
    fn finish(mut self, rows: u64) -> Result<Vec<Part>> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        for observer in &mut self.pipeline.observers {
            observer.end(rows)?;
        }
        self.close()?;
        Ok(self.closed)
    }
}

/// Copies every row of `source` through each of `pipelines` to its sink, up to the end of the
/// source, or until all of them have failed; one whose sink is an error has failed. `observers`
/// see each row before. `started` is when the export started, for the log.
///
/// # Errors
/// Those of the source and of `observers`; those of a pipeline whose failure ends all. A
/// stream then holds all rows before the failure.
pub fn copy_rows<'a>(
    source: Box<dyn RowSource + '_>,
    pipelines: Vec<(Pipeline<'a>, Result<Box<dyn Sink>>)>,
    observers: &mut [&mut dyn RowObserver],
    started: Instant,
) -> Result<Copied<'a>> {
    let schema = source.schema().clone();
    let open = |(pipeline, sink)| Output::open(pipeline, sink, &schema);
    let outputs = pipelines.into_iter().map(open).collect::<Result<_>>()?;
    let mut copied = Copied { outputs, rows: 0 };
    // Declared behind them, and so dropped before: after a failure the server is let go,
    // before a slow reader takes the last rows.
    let mut source = source;
    if let Some(note) = source.note() {
        tracing::info!("{note}");
    }
    while !copied.has_failed()
        && let Some(row) = source.next_row()?
    {
        if copied.rows == 0 {
            let elapsed = started.elapsed().as_secs_f64();
            tracing::debug!("the first row came after {elapsed:.3} s");
        }
        copied.rows += 1;
        for observer in observers.iter_mut() {
            observer.row(row, copied.rows)?;
        }
        for output in &mut copied.outputs {
            output.take(row, copied.rows)?;
        }
        copied.drop_failed();
    }
    if !copied.has_failed() {
        source.finish()?;
    }
    Ok(copied)
}

impl Copied<'_> {
    /// Returns the number of rows.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether all outputs have failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.outputs.iter().all(|output| output.failed.is_some())
    }

    /// Drops the documents of outputs that have failed, if others take rows.
    fn drop_failed(&mut self) {
        if self.outputs.len() > 1 && !self.has_failed() {
            let outputs = self.outputs.iter_mut();
            let failed = outputs.filter(|output| output.failed.is_some());
            failed.for_each(|output| output.open = None);
        }
    }

    /// Closes the last document of each pipeline and its output. Returns those of each, which
    /// can then be committed, in their order; or the error of an observer, of the format or of
    /// the sink, or the cause, if the export was cancelled.
    #[must_use]
    pub fn finish(self) -> Vec<Result<Vec<Part>>> {
        let rows = self.rows;
        let outputs = self.outputs.into_iter();
        outputs.map(|output| output.finish(rows)).collect()
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
        row::{MemoryRow, Value},
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
        let sink: Box<dyn Sink> = Box::new(WriterSink::new("memory", bytes.clone()));
        let (format, counters) = (Csv::new(), Counters::default());
        let pipeline = Pipeline {
            format: &format,
            facts: Vec::new(),
            extent: Extent::Whole,
            parts: None,
            flush: Flush::Row,
            cancel: &cancel,
            observers: vec![counter],
            counters: &counters,
            failure: FailureEnds::Itself,
        };
        let copied = copy_rows(source, vec![(pipeline, Ok(sink))], &mut [], Instant::now());
        let finished = copied.and_then(|copied| copied.finish().into_iter().collect());
        let result = finished.map(|_: Vec<Vec<Part>>| counters.rows());
        (result, bytes.take())
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
