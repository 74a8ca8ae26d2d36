//! The buffer that a writer encodes rows into. A row is encoded whole and then
//! handed on; only a row that is too wide to hold is handed on in pieces.

use crate::error::Result;

/// A value longer than this is encoded in pieces, and a full output buffer has
/// this many bytes.
pub const CHUNK: usize = 256 << 10;

/// A partly encoded row is handed on early once the buffer holds this many
/// bytes.
const SPILL_AT: usize = 1 << 20;

/// Takes the pieces of a row that is too wide to hold.
pub trait Spill {
    /// Takes `bytes`. A failure is kept and returned again at the row's end;
    /// whatever is spilled until then is dropped.
    ///
    /// # Errors
    /// Those of the sink.
    fn spill(&mut self, bytes: &[u8]) -> Result<()>;
}

/// Encoded bytes, and what takes them when they become too many.
pub struct EncodeBuffer<'a> {
    /// What has been encoded and not yet been handed on. An index into it is
    /// valid until the next call of [`extend`](Self::extend) or
    /// [`spill_if_large`](Self::spill_if_large).
    pub bytes: &'a mut Vec<u8>,
    spill: Option<&'a mut dyn Spill>,
}

impl<'a> EncodeBuffer<'a> {
    /// A buffer that encodes into `bytes` and hands pieces of wide rows to
    /// `spill`.
    pub fn new(bytes: &'a mut Vec<u8>, spill: &'a mut dyn Spill) -> Self {
        Self {
            bytes,
            spill: Some(spill),
        }
    }

    /// A buffer that keeps everything in `bytes`.
    ///
    /// ```
    /// use gold_digger::format::EncodeBuffer;
    ///
    /// let mut bytes = Vec::new();
    /// EncodeBuffer::unbounded(&mut bytes).extend(b"1,2\n");
    /// assert_eq!(bytes, b"1,2\n");
    /// ```
    pub fn unbounded(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, spill: None }
    }

    /// Appends `bytes`, which may be long.
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

    /// Hands on what has been encoded of a wide row so far.
    #[inline]
    pub fn spill_if_large(&mut self) {
        if self.bytes.len() >= SPILL_AT {
            self.spill();
        }
    }

    #[cold]
    fn spill(&mut self) {
        if let Some(spill) = &mut self.spill {
            // The receiver keeps a failure and returns it at the row's end.
            let _ = spill.spill(self.bytes);
            self.bytes.clear();
        }
    }
}
