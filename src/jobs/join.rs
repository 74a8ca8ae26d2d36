//! Joins the rows of chunks, which several connections have read, to one document.

use std::fs::File;

use super::export::{self, ExportContext};
use crate::{
    error::{Error, ErrorKind, Result},
    format::{EncodeBuffer, Joining, Spill},
    pipeline::Part,
    schema::Schema,
    sink::{self, CompressionOptions, SeekTable, SharedBytes, Sink, WriterSink},
};

/// The document that chunks are joined to.
struct Document {
    sink: Box<dyn Sink>,
    /// How its pieces are compressed; the rows are already.
    compression: Option<CompressionOptions>,
    /// The number of bytes so far, before they are compressed.
    bytes: u64,
    /// The number of bytes so far, as they are stored.
    stored: u64,
}

/// Joins `chunks`, each its rows and the file that holds them, to the document of the
/// export of `context`.
///
/// # Errors
/// Those of the format and of the sink; the cause, if the export was cancelled.
pub(super) fn join(context: ExportContext<'_>, chunks: Vec<(Part, File)>) -> Result<Part> {
    let format = &context.export.format;
    let schema = Schema {
        columns: context.status.status.details().columns,
    };
    let mut writer = format.open(&schema)?;
    writer.describe(&export::facts(context));
    let mut document = Document {
        sink: export::open_plain_sink(context, 1)?,
        compression: context.export.compression,
        bytes: 0,
        stored: 0,
    };
    let (mut rows, mut warnings, count) = (0, Vec::new(), chunks.len());
    document.piece(context, |out| writer.start(out))?;
    for ((part, mut file), number) in chunks.into_iter().zip(1..) {
        if let Some(cause) = context.cancel.cause() {
            return Err(cause);
        }
        match format.joining() {
            _ if part.rows == 0 => {}
            Joining::Documents => document.spill(|out| writer.append_document(&file, out))?,
            Joining::Impossible => {
                let message = format!("chunks of {} cannot be joined", format.name());
                return Err(Error::new(ErrorKind::Output, message));
            }
            Joining::Rows => {
                document.piece(context, |out| {
                    writer.join(out);
                    Ok(())
                })?;
                document.append(&part, &mut file)?;
            }
        }
        rows += part.rows;
        let told = part.warnings.into_iter();
        warnings.extend(told.map(|warning| match count {
            1 => warning,
            _ => format!("chunk {number}: {warning}"),
        }));
    }
    document.piece(context, |out| writer.finish(out))?;
    warnings.extend(writer.warnings());
    let Document {
        sink,
        bytes,
        stored,
        ..
    } = document;
    let staged = sink.finish()?;
    Ok(Part {
        staged: match context.export.compression {
            Some(_) => staged.stored_in(stored),
            None => staged,
        },
        rows,
        bytes,
        warnings,
    })
}

impl Document {
    /// Writes what `encode` appends.
    fn piece(
        &mut self,
        context: ExportContext<'_>,
        encode: impl FnOnce(&mut EncodeBuffer<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut bytes = Vec::new();
        encode(&mut EncodeBuffer::unbounded(&mut bytes))?;
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        if let Some(options) = self.compression {
            let stored = SharedBytes::default();
            let memory = Box::new(WriterSink::new("memory", stored.clone()));
            let (name, cancel) = (context.export.target.to_string(), context.cancel);
            let mut sink = sink::compressed(memory, options, SeekTable::Omit, &name, cancel)?;
            sink.write(&bytes)?;
            sink.finish()?;
            bytes = stored.take();
        }
        self.stored += bytes.len() as u64;
        self.sink.write(&bytes)
    }

    /// Writes what `encode` appends, which may be long, and is not compressed.
    fn spill(&mut self, encode: impl FnOnce(&mut EncodeBuffer<'_>) -> Result<()>) -> Result<()> {
        let mut bytes = Vec::new();
        let mut spill = SinkSpill {
            sink: &mut *self.sink,
            written: 0,
            failed: None,
        };
        encode(&mut EncodeBuffer::new(&mut bytes, &mut spill))?;
        spill.spill(&bytes)?;
        self.bytes += spill.written;
        self.stored += spill.written;
        Ok(())
    }

    /// Appends the rows of `part`, which are in `file`.
    fn append(&mut self, part: &Part, file: &mut File) -> Result<()> {
        self.bytes += part.bytes;
        self.stored += part.staged.stored_bytes().unwrap_or(part.bytes);
        self.sink.append(file)
    }
}

/// Passes pieces of a long text on to a sink.
struct SinkSpill<'a> {
    sink: &'a mut dyn Sink,
    written: u64,
    failed: Option<Error>,
}

impl Spill for SinkSpill<'_> {
    fn spill(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.written += bytes.len() as u64;
        let written = self.sink.write(bytes);
        self.failed = written.as_ref().err().cloned();
        written
    }
}
