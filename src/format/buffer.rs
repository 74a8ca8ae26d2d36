//! The bytes between a format and a sink. A row is encoded here and goes on
//! whole; only a row that is too wide to hold goes on in pieces.

use crate::{
    error::{Error, Result},
    sink::Sink,
};

/// A buffer that holds this many bytes is written; a value longer than this is
/// encoded in pieces.
pub const CHUNK: usize = 256 << 10;

/// What has grown to this many bytes within a row is written at once.
const WIDE: usize = 1 << 20;

/// Encoded bytes, and the sink that they go to.
#[derive(Default)]
pub struct RowBuffer {
    /// What has been encoded and not yet been written. A place in it holds
    /// until the next [`extend`](Self::extend) or [`spill`](Self::spill).
    pub bytes: Vec<u8>,
    sink: Option<Box<dyn Sink>>,
    /// Why the sink has gone, where a write failed.
    failed: Option<Error>,
    /// Bytes handed to the sink.
    written: u64,
    /// How often that was.
    writes: u64,
}

impl RowBuffer {
    /// An empty buffer before `sink`.
    #[must_use]
    pub fn new(sink: Box<dyn Sink>) -> Self {
        Self {
            bytes: Vec::with_capacity(2 * CHUNK),
            sink: Some(sink),
            ..Self::default()
        }
    }

    /// A buffer that keeps all that is encoded.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Adds `bytes`, which may be long. A write that fails is told at the row's
    /// end; what is added until then is dropped.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        if bytes.len() <= CHUNK {
            self.bytes.extend_from_slice(bytes);
            self.spill();
        } else {
            for piece in bytes.chunks(CHUNK) {
                self.bytes.extend_from_slice(piece);
                self.spill();
            }
        }
    }

    /// Writes what a wide row has come to so far.
    #[inline]
    pub fn spill(&mut self) {
        if self.bytes.len() >= WIDE {
            self.write_early();
        }
    }

    #[cold]
    fn write_early(&mut self) {
        if self.sink.is_some() || self.failed.is_some() {
            // The failure is kept; `Output::append` reports it.
            let _ = self.write();
        }
    }

    /// Hands the bytes to the sink. A sink that fails is given up at once: it
    /// may have written a part, which must not be written again.
    pub(crate) fn write(&mut self) -> Result<()> {
        let written = match &mut self.sink {
            Some(sink) => sink.write(&self.bytes),
            None => Ok(()),
        };
        self.written += self.bytes.len() as u64;
        self.writes += 1;
        self.bytes.clear();
        if let Err(error) = written {
            self.sink = None;
            self.failed = Some(error);
        }
        self.failed()
    }

    /// The failure of an earlier write.
    pub(crate) fn failed(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    pub(crate) const fn writes(&self) -> u64 {
        self.writes
    }

    pub(crate) const fn has_sink(&self) -> bool {
        self.sink.is_some()
    }

    /// Takes the sink away; what is left is not written any more.
    pub(crate) fn close(&mut self) -> Option<Box<dyn Sink>> {
        self.bytes = Vec::new();
        self.sink.take()
    }
}
