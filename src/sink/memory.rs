//! A sink over anything that implements [`std::io::Write`], such as a vector in
//! memory.

use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Restart, Sink, Staged, failure};
use crate::error::Result;

/// Writes to `W`. What was written cannot be taken back.
///
/// ```
/// use gold_digger::sink::{Sink, WriterSink};
///
/// let mut sink = Box::new(WriterSink::new("a vector", Vec::new()));
/// sink.write(b"1,2\n")?;
/// sink.finish()?.commit()?;
/// # Ok::<(), gold_digger::error::Error>(())
/// ```
pub struct WriterSink<W> {
    name: String,
    writer: W,
}

impl<W: Write + Send> WriterSink<W> {
    /// A sink that writes to `writer`; messages call it `name`.
    pub fn new(name: impl Into<String>, writer: W) -> Self {
        Self {
            name: name.into(),
            writer,
        }
    }
}

impl<W: Write + Send> Sink for WriterSink<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.writer.write_all(bytes);
        written.map_err(|error| failure(&self.name, "write to", error))
    }

    fn restart(&self) -> Restart {
        Restart::Forbidden
    }

    fn finish(mut self: Box<Self>) -> Result<Staged> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| failure(&self.name, "write to", error))?;
        Ok(Staged::written())
    }
}

/// Bytes in memory that several owners share, as an [`std::io::Write`].
#[derive(Clone, Debug, Default)]
pub struct SharedBytes(Arc<Mutex<Vec<u8>>>);

impl SharedBytes {
    /// Takes the bytes out.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        // Appending bytes is complete when a panic elsewhere is seen.
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for SharedBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
