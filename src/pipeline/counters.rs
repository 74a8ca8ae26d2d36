//! Counters of rows and bytes that other threads read while the rows arrive.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The rows and bytes of one output so far.
///
/// Only one thread may count, so that counting is a plain store. Any thread may
/// read.
#[derive(Debug, Default)]
pub struct Counters {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Counters {
    /// Counts one more row.
    #[inline]
    pub fn count_row(&self) {
        // Only one thread counts, so no atomic read-modify-write is needed.
        self.rows.store(self.rows() + 1, Relaxed);
    }

    /// Sets the number of rows.
    pub fn set_rows(&self, rows: u64) {
        self.rows.store(rows, Relaxed);
    }

    /// Sets the total number of encoded bytes.
    #[inline]
    pub fn set_bytes(&self, bytes: u64) {
        self.bytes.store(bytes, Relaxed);
    }

    /// Returns the number of rows that have arrived.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    /// Returns the number of encoded bytes, including the header.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Sets both counts to zero.
    pub fn reset(&self) {
        self.rows.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
    }
}
