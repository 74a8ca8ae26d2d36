//! The Arrow IPC format: batches of rows as they are in memory, as a file with an
//! index of its batches at the end, or as a stream.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_ipc::{
    CompressionType,
    writer::{FileWriter, IpcWriteOptions, StreamWriter},
};
use arrow_schema::{ArrowError, Schema as ArrowSchema};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        ArrowCompression, BuiltIn, DocumentEncoding, DuplicateColumns, EncodeBuffer, Format,
        Framing, RowWriter, TextOptions, ValueError, WideDecimals,
    },
    batch::Batch,
    encoding_error,
    field::{self, Enums, FieldOptions},
    geo,
};
use crate::{error::Result, row::Row, schema::Schema};

/// The entry of files in the table of formats.
pub(in crate::format) static FILE: BuiltIn = BuiltIn {
    name: "arrow",
    about: "an Arrow IPC file (Feather 2)",
    extensions: &["arrow", "feather", "ipc"],
    encoding: DocumentEncoding::Columnar,
    with_text: |text| {
        Arc::new(Arrow {
            text,
            ..Arrow::default()
        })
    },
};

/// The entry of streams in the table of formats.
pub(in crate::format) static STREAM: BuiltIn = BuiltIn {
    name: "arrow-stream",
    about: "an Arrow IPC stream, for pipes",
    extensions: &["arrows"],
    encoding: DocumentEncoding::Columnar,
    with_text: |text| {
        Arc::new(Arrow {
            text,
            layout: ArrowLayout::Stream,
            ..Arrow::default()
        })
    },
};

/// The Arrow IPC format with its options.
///
/// ```
/// use gold_digger::format::{Arrow, ArrowLayout, Format};
///
/// let format = Arrow { layout: ArrowLayout::Stream, ..Arrow::default() };
/// assert_eq!(format.name(), "arrow-stream");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Arrow {
    /// The options for values: what is not UTF-8, zero dates, booleans.
    pub text: TextOptions,
    /// The session's time zone if it is an offset from UTC, such as `+00:00`.
    /// TIMESTAMP columns need it.
    pub time_zone: Option<String>,
    /// The policy for columns with equal names.
    pub duplicate_columns: DuplicateColumns,
    /// File or stream.
    pub layout: ArrowLayout,
    /// How the arrays are compressed.
    pub compression: ArrowCompression,
}

/// The two forms of Arrow IPC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrowLayout {
    /// With an index of the batches at the end, so that readers can map it.
    #[default]
    File,
    /// Batches one after another; one ends early when the server pauses.
    Stream,
}

impl Format for Arrow {
    fn name(&self) -> &'static str {
        match self.layout {
            ArrowLayout::File => FILE.name,
            ArrowLayout::Stream => STREAM.name,
        }
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        Ok(Box::new(ArrowWriter::new(self, schema)?))
    }

    fn framing(&self) -> Framing {
        match self.layout {
            ArrowLayout::File => Framing::Batch,
            ArrowLayout::Stream => Framing::BatchOrPause,
        }
    }

    fn text_options(&self) -> TextOptions {
        self.text.without_zero_dates()
    }

    fn keeps_facts(&self) -> bool {
        true
    }
}

/// Encodes one result set as Arrow IPC.
struct ArrowWriter {
    batch: Batch,
    schema: ArrowSchema,
    layout: ArrowLayout,
    options: IpcWriteOptions,
    /// `None` before the first row, and in a document that has failed.
    ipc: Option<Ipc>,
}

/// Apache's writers, into memory.
enum Ipc {
    File(FileWriter<Vec<u8>>),
    Stream(StreamWriter<Vec<u8>>),
}

/// The bytes that each message of a stream begins with, also the last one (Arrow columnar
/// format, "Encapsulated message format").
const CONTINUATION: [u8; 4] = [0xff; 4];

impl Ipc {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::File(file) => file.write(batch),
            Self::Stream(stream) => stream.write(batch),
        }
    }

    fn finish(&mut self) -> Result<(), ArrowError> {
        match self {
            Self::File(file) => file.finish(),
            Self::Stream(stream) => stream.finish(),
        }
    }

    /// Passes on what was written, which is `part` of the document. A stream may end
    /// anywhere for its readers: the beginning of the next message goes with each, so
    /// that they notice one that broke off.
    fn pass_on(&mut self, part: Part, out: &mut EncodeBuffer<'_>) {
        match self {
            Self::File(file) => {
                out.extend(file.get_ref());
                file.get_mut().clear();
            }
            Self::Stream(stream) => {
                let bytes = stream.get_ref();
                let begun = match part {
                    Part::First => 0,
                    Part::Middle | Part::Last => CONTINUATION.len(),
                };
                out.extend(bytes.get(begun..).unwrap_or_default());
                if part != Part::Last {
                    out.extend(&CONTINUATION);
                }
                stream.get_mut().clear();
            }
        }
    }
}

/// A part of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Middle,
    Last,
}

impl ArrowWriter {
    fn new(format: &Arrow, schema: &Schema) -> Result<Self> {
        let options = FieldOptions {
            format: format.name(),
            text: format.text_options(),
            time_zone: format.time_zone.as_deref(),
            duplicate_columns: format.duplicate_columns,
            wide_decimals: WideDecimals::Decimal256,
            // A file has each dictionary once; not every reader knows of additions.
            enums: match format.layout {
                ArrowLayout::File => Enums::Text,
                ArrowLayout::Stream => Enums::Dictionary,
            },
        };
        let batch = field::batch(schema, options)?;
        let compression = match format.compression {
            ArrowCompression::None => None,
            ArrowCompression::Lz4 => Some(CompressionType::LZ4_FRAME),
            ArrowCompression::Zstd => Some(CompressionType::ZSTD),
        };
        let options = IpcWriteOptions::default().try_with_compression(compression);
        Ok(Self {
            schema: ArrowSchema::clone(batch.schema()),
            batch,
            layout: format.layout,
            options: options.map_err(encoding_error)?,
            ipc: None,
        })
    }
}

impl RowWriter for ArrowWriter {
    fn describe(&mut self, facts: &[(&'static str, String)]) {
        let facts = facts.iter();
        let entries = facts.map(|(name, value)| (format!("gold_digger.{name}"), value.clone()));
        self.schema.metadata.extend(entries);
    }

    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        let (bytes, options) = (Vec::new(), self.options.clone());
        let ipc = match self.layout {
            ArrowLayout::File => {
                FileWriter::try_new_with_options(bytes, &self.schema, options).map(Ipc::File)
            }
            ArrowLayout::Stream => {
                StreamWriter::try_new_with_options(bytes, &self.schema, options).map(Ipc::Stream)
            }
        };
        let ipc = self.ipc.insert(ipc.map_err(encoding_error)?);
        ipc.pass_on(Part::First, out);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, _: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        self.batch.push(row)
    }

    fn is_batch_full(&self) -> bool {
        self.batch.is_full()
    }

    fn write_batch(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        if let (Some(batch), Some(ipc)) = (self.batch.take()?, &mut self.ipc) {
            ipc.write(&batch).map_err(encoding_error)?;
            ipc.pass_on(Part::Middle, out);
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        self.write_batch(out)?;
        let Some(ipc) = &mut self.ipc else {
            return Ok(());
        };
        if let (Ipc::File(file), Some(srids)) = (&mut *ipc, geo::srids(self.batch.srids())) {
            file.write_metadata("gold_digger.srids", srids);
        }
        ipc.finish().map_err(encoding_error)?;
        ipc.pass_on(Part::Last, out);
        Ok(())
    }

    fn has_batch(&self) -> bool {
        !self.batch.is_empty()
    }

    fn buffered(&self) -> usize {
        self.batch.bytes()
    }

    fn column_formats(&self) -> Vec<String> {
        field::descriptions(&self.batch)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.batch.warnings();
        warnings.extend(match self.layout {
            ArrowLayout::File => geo::mixed_srids(self.batch.srids()),
            ArrowLayout::Stream => geo::lost_srids(self.batch.srids()),
        });
        warnings
    }
}
