//! Counts of rows and bytes that other threads read while the rows arrive.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The rows and bytes of one output so far.
///
/// One thread counts, so that a count is a plain store; any thread may read.
#[derive(Debug, Default)]
pub struct Counters {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    /// Counts one more row.
    #[inline]
    pub fn count_row(&self) {
        // One thread counts: no read-modify-write is needed.
        self.rows.store(self.rows() + 1, Relaxed);
    }

    /// Sets the number of bytes that have been encoded in all.
    #[inline]
    pub fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Relaxed);
    }

    /// The number of rows that have arrived.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// The number of bytes that have been encoded, header included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Sets both to zero.
    pub fn reset(&self) {
        self.rows.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
    }
}
