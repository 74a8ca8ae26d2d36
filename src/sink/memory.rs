//! A sink for anything that implements [`std::io::Write`], such as a vector in
//! memory.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use super::{Restart, Sink, Staged, errors::write_error};
use crate::{error::Result, sync::lock};

/// A sink that writes to a `W`. Its bytes cannot be taken back, so that no retry
/// follows once rows have been written.
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
    /// Creates a sink that writes to `writer`. Messages call it `name`.
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
        written.map_err(|error| write_error(&self.name, "write to", error))
    }

    fn restart(&self) -> Restart {
        Restart::Forbidden
    }

    fn finish(mut self: Box<Self>) -> Result<Staged> {
        let flushed = self.writer.flush();
        flushed.map_err(|error| write_error(&self.name, "write to", error))?;
        Ok(Staged::written())
    }
}

/// A shared handle on bytes in memory that implements [`std::io::Write`].
#[derive(Clone, Debug, Default)]
pub struct SharedBytes(Arc<Mutex<Vec<u8>>>);

impl SharedBytes {
    /// Takes all bytes out, which leaves none.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.0))
    }
}

impl Write for SharedBytes {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
