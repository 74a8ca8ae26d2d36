//! The buffer that a writer encodes rows into. The caller takes each row from it
//! as a whole; only a row that is too wide to keep in memory is passed on in
//! pieces.

use crate::error::Result;

/// The size in bytes of the pieces in which long values are encoded, and of a
/// full output buffer.
pub const CHUNK: usize = 256 << 10;

/// The number of bytes in the buffer from which on a partly encoded row is passed
/// on before its end.
const SPILL_AT: usize = 1 << 20;

/// Receives the pieces of a row that is too wide to keep in memory.
pub trait Spill {
    /// Receives the next `bytes`. The implementation must keep a failure and
    /// return it again at the end of the row; it drops the bytes that it receives
    /// until then.
    ///
    /// # Errors
    /// The error of the sink.
    fn spill(&mut self, bytes: &[u8]) -> Result<()>;
}

/// A buffer of encoded bytes that can pass them on when they become too many.
///
/// ```
/// use gold_digger::{error::Result, format::{EncodeBuffer, Spill}};
///
/// struct Received(usize);
/// impl Spill for Received {
///     fn spill(&mut self, bytes: &[u8]) -> Result<()> {
///         self.0 += bytes.len();
///         Ok(())
///     }
/// }
/// let (mut bytes, mut received) = (Vec::new(), Received(0));
/// EncodeBuffer::new(&mut bytes, &mut received).extend(&[b'a'; 3 << 20]);
/// assert_eq!(received.0 + bytes.len(), 3 << 20);
/// ```
pub struct EncodeBuffer<'a> {
    /// The bytes that have been encoded and not been passed on. An index into it
    /// is valid until the next call of [`extend`](Self::extend) or
    /// [`spill_if_large`](Self::spill_if_large). Between two rows, the caller takes all
    /// bytes or none.
    pub bytes: &'a mut Vec<u8>,
    spill: Option<&'a mut dyn Spill>,
    /// The number of bytes that have been passed on.
    spilled: usize,
}

impl<'a> EncodeBuffer<'a> {
    /// Creates a buffer that encodes into `bytes` and passes pieces of wide rows
    /// to `spill`.
    pub fn new(bytes: &'a mut Vec<u8>, spill: &'a mut dyn Spill) -> Self {
        Self {
            bytes,
            spill: Some(spill),
            spilled: 0,
        }
    }

    /// Creates a buffer that keeps everything in `bytes`.
    ///
    /// ```
    /// use gold_digger::format::EncodeBuffer;
    ///
    /// let mut bytes = Vec::new();
    /// EncodeBuffer::unbounded(&mut bytes).extend(b"1,2\n");
    /// assert_eq!(bytes, b"1,2\n");
    /// ```
    pub fn unbounded(bytes: &'a mut Vec<u8>) -> Self {
        Self {
            bytes,
            spill: None,
            spilled: 0,
        }
    }

    /// The number of bytes that were in the buffer or have been added, also those that
    /// have been passed on: the difference of two positions is the length of what was
    /// encoded between them.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.spilled + self.bytes.len()
    }

    /// Appends `bytes`, in pieces of [`CHUNK`] bytes if they are long.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        if bytes.len() <= CHUNK {
            self.bytes.extend_from_slice(bytes);
            self.spill_if_large();
        } else {
            for piece in bytes.chunks(CHUNK) {
                self.bytes.extend_from_slice(piece);
                self.spill_if_large();
            }
        }
    }

    /// Passes on the part of a wide row that has been encoded, once the buffer
    /// holds 1 MiB.
    #[inline]
    pub fn spill_if_large(&mut self) {
        if self.bytes.len() >= SPILL_AT {
            self.spill();
        }
    }

    #[cold]
    fn spill(&mut self) {
        if let Some(spill) = &mut self.spill {
            // The receiver keeps a failure and returns it at the end of the row.
            let _ = spill.spill(self.bytes);
            self.spilled += self.bytes.len();
            self.bytes.clear();
        }
    }
}
