//! Buffers encoded rows before the sink: rows that arrive back to back share a
//! write, and no row waits longer than a few milliseconds while the server pauses.
//!
//! The thread that reads rows encodes them into a buffer and writes the buffer when
//! it is full: no row changes threads, and no row costs a system call. A second
//! thread, the flusher, checks whether data has waited and then writes it, because
//! the reading thread may be blocked on the server. With [`Flush::Row`], each row is
//! written at once instead. The output owns the writer, so that the flusher can end
//! the batch of a format that has batches ([`Framing::BatchOrPause`]).

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    format::{CHUNK, EncodeBuffer, Framing, RowWriter, Spill},
    sink::{Next, Restart, Sink, Staged},
    sync::lock,
};

/// The flusher's interval. A row is written at most two intervals after it was
/// encoded: one until the flusher sees it, and one during which it waits.
const MAX_DELAY: Duration = Duration::from_millis(2);

/// The number of intervals after which a batch ends though rows still arrive.
const MAX_BATCH_DELAYS: u32 = 50;

/// When rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Flush {
    /// Rows that arrive back to back share a write; when the server pauses, what has arrived is
    /// written within 5 ms
    #[default]
    Auto,
    /// Each row by a write of its own, before the next row is read
    Row,
}

/// A buffer of encoded rows before one sink.
///
/// When it is dropped without [`finish`](Self::finish), it writes its bytes, so that
/// a stream holds all rows before a failure, and drops the sink.
pub struct BufferedOutput {
    shared: Arc<Shared>,
    flush: Flush,
}

struct Shared {
    state: Mutex<State>,
    /// Notified when the parked flusher has data to watch, and when the output ends.
    changed: Condvar,
}

struct State {
    writer: Box<dyn RowWriter>,
    framing: Framing,
    buffer: Buffer,
    flusher: Flusher,
    /// The number of calls that appended something.
    appended: u64,
    /// Whether encoding has failed, so that the writer's batch is not whole.
    is_broken: bool,
}

impl State {
    /// Whether something waits to be written when the server pauses.
    fn has_data(&self) -> bool {
        !self.buffer.bytes.is_empty()
            || self.framing == Framing::BatchOrPause && !self.is_broken && self.writer.has_batch()
    }

    /// Appends the open batch to the buffer, if it may end before it is full.
    fn end_batch(&mut self) -> Result<()> {
        if self.framing != Framing::BatchOrPause || self.is_broken {
            return Ok(());
        }
        let Buffer { bytes, writer } = &mut self.buffer;
        self.writer
            .write_batch(&mut EncodeBuffer::new(bytes, writer))
    }
}

/// Encoded bytes, and the sink that takes them.
struct Buffer {
    bytes: Vec<u8>,
    writer: SinkWriter,
}

/// A sink that is written to until a write fails.
struct SinkWriter {
    /// `None` once the output is closed.
    sink: Option<Box<dyn Sink>>,
    /// The error of the write that failed.
    failed: Option<Error>,
    /// The number of bytes that were passed to the sink.
    written: u64,
    /// The number of writes.
    writes: u64,
    /// The size of the sink's blocks.
    block_size: u64,
    /// The number of bytes from which on the block ends with its row.
    next_block: u64,
}

impl Spill for SinkWriter {
    /// Writes `bytes` to the sink. One that has failed gets no more: it may have written a
    /// part of them, which must not be written again.
    fn spill(&mut self, bytes: &[u8]) -> Result<()> {
        self.check()?;
        let result = match &mut self.sink {
            Some(sink) => sink.write(bytes),
            None => Ok(()),
        };
        self.written += bytes.len() as u64;
        self.writes += 1;
        self.keep(result)
    }
}

impl SinkWriter {
    fn end_of_rows(&mut self, next: Next) -> Result<()> {
        self.check()?;
        let result = match &mut self.sink {
            Some(sink) => sink.end_of_rows(next),
            None => Ok(()),
        };
        self.keep(result)
    }

    /// Keeps the error of a sink, and returns it.
    fn keep(&mut self, result: Result<()>) -> Result<()> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// Returns the error of an earlier write.
    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}

impl Buffer {
    fn new(sink: Box<dyn Sink>) -> Self {
        let block_size = sink.block_size();
        Self {
            bytes: Vec::with_capacity(2 * CHUNK),
            writer: SinkWriter {
                sink: Some(sink),
                failed: None,
                written: 0,
                writes: 0,
                block_size,
                next_block: block_size,
            },
        }
    }

    /// Whether the last row makes the sink's block large enough.
    const fn ends_block(&mut self) -> bool {
        let writer = &mut self.writer;
        let end = writer.written + self.bytes.len() as u64;
        let is_full = end >= writer.next_block;
        if is_full {
            writer.next_block = end.saturating_add(writer.block_size);
        }
        is_full
    }

    /// Writes all bytes to the sink. They end with a row.
    fn write(&mut self, next: Next) -> Result<()> {
        let result = self.writer.spill(&self.bytes);
        self.bytes.clear();
        result?;
        self.writer.end_of_rows(next)
    }

    const fn is_open(&self) -> bool {
        self.writer.sink.is_some() && self.writer.failed.is_none()
    }

    /// Drops the remaining bytes and returns the sink.
    fn close(&mut self) -> Option<Box<dyn Sink>> {
        self.bytes = Vec::new();
        self.writer.sink.take()
    }
}

/// The state of the flusher's thread.
#[derive(PartialEq, Eq)]
enum Flusher {
    /// It waits until it is notified.
    Parked,
    /// It wakes up by its own timer.
    Watching,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while encoding leaves a part of a row and ends the run.
        // `BufferedOutput::drop` does not write that part.
        lock(&self.state)
    }
}

impl BufferedOutput {
    /// Creates an empty buffer between `writer`, whose bytes come by `framing`, and
    /// `sink`, and starts its flusher. A write that fails while the reading thread waits
    /// for the server cancels the run through `cancel`.
    #[must_use]
    pub fn new(
        writer: Box<dyn RowWriter>,
        framing: Framing,
        sink: Box<dyn Sink>,
        mut flush: Flush,
        cancel: &CancelToken,
    ) -> Self {
        // Nobody sees a file before its end, so its batches are full.
        let framing = match sink.restart() {
            Restart::Allowed if framing == Framing::BatchOrPause => Framing::Batch,
            _ => framing,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                writer,
                framing,
                buffer: Buffer::new(sink),
                flusher: Flusher::Watching,
                appended: 0,
                is_broken: false,
            }),
            changed: Condvar::new(),
        });
        if flush == Flush::Auto {
            let (flushed, cancel) = (Arc::clone(&shared), cancel.clone());
            let flusher = thread::Builder::new();
            if flusher
                .spawn(move || flush_when_idle(&flushed, &cancel))
                .is_err()
            {
                // Slower, but without a flusher no row may wait.
                flush = Flush::Row;
            }
        }
        Self { shared, flush }
    }

    /// Adds what `encode` has the writer append, which must be complete enough to be
    /// shown to a reader at once. If `encode` fails, nothing is added, unless a row
    /// was so wide that a part of it has already been written. Returns the total
    /// number of bytes that have been added.
    ///
    /// # Errors
    /// Those of `encode`, of the writer and of the sink.
    pub fn append(
        &mut self,
        encode: impl FnOnce(&mut dyn RowWriter, &mut EncodeBuffer<'_>) -> Result<()>,
    ) -> Result<u64> {
        let mut state = self.shared.state();
        let state = &mut *state;
        let Buffer { bytes, writer } = &mut state.buffer;
        writer.check()?;
        let (start, writes) = (bytes.len(), writer.writes);
        if let Err(error) = encode(&mut *state.writer, &mut EncodeBuffer::new(bytes, writer)) {
            bytes.truncate(if writer.writes == writes { start } else { 0 });
            state.is_broken = true;
            return Err(error);
        }
        if state.framing != Framing::Row {
            if state.writer.is_batch_full() {
                state
                    .writer
                    .write_batch(&mut EncodeBuffer::new(bytes, writer))?;
            } else if self.flush == Flush::Row {
                state.end_batch()?;
            }
        }
        state.appended += 1;
        self.write_if_due(state)?;
        Ok(state.buffer.writer.written + state.buffer.bytes.len() as u64)
    }

    /// Writes the buffer if it is full, or if no row may wait; else has the flusher look
    /// after it.
    #[inline]
    fn write_if_due(&self, state: &mut State) -> Result<()> {
        let buffer = &mut state.buffer;
        buffer.writer.check()?;
        if buffer.ends_block() {
            buffer.write(Next::Block)
        } else if self.flush == Flush::Row && !buffer.bytes.is_empty() {
            buffer.write(Next::Later)
        } else if buffer.bytes.len() >= CHUNK {
            buffer.write(Next::Soon)
        } else {
            if state.flusher == Flusher::Parked && state.has_data() {
                state.flusher = Flusher::Watching;
                self.shared.changed.notify_one();
            }
            Ok(())
        }
    }

    /// Writes the remaining bytes and completes the output. Also returns the warnings of
    /// the writer.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(self) -> Result<(Staged, Vec<String>)> {
        let (sink, warnings) = {
            let mut state = self.shared.state();
            let buffer = &mut state.buffer;
            buffer.writer.check()?;
            buffer.write(Next::Soon)?;
            (buffer.close(), state.writer.warnings())
        };
        // The sink is gone only after a failed write, whose error was returned above.
        let missing = || Error::new(ErrorKind::Output, "the output has gone");
        Ok((sink.ok_or_else(missing)?.finish()?, warnings))
    }
}

impl Drop for BufferedOutput {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        // After a panic the buffer may end with a part of a row, which is not
        // written. A failure here is ignored: another error already ends the run.
        if !thread::panicking() && state.buffer.is_open() {
            let _ = state.end_batch();
            let _ = state.buffer.write(Next::Later);
        }
        let sink = state.buffer.close();
        drop(state);
        drop(sink);
        self.shared.changed.notify_one();
    }
}

/// Ends the output if the flusher panics, which would lose the batch that it writes.
struct EndOnPanic<'a> {
    shared: &'a Shared,
    cancel: &'a CancelToken,
}

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = Error::new(
                ErrorKind::Output,
                "the export failed with an internal error",
            );
            // The sink is dropped without its lock, as it may take long.
            let sink = {
                let mut state = self.shared.state();
                state.is_broken = true;
                state.buffer.writer.failed = Some(error.clone());
                state.buffer.close()
            };
            drop(sink);
            self.cancel.cancel(error);
        }
    }
}

/// Runs the flusher: writes the buffer whenever data has waited in it for
/// [`MAX_DELAY`], until the sink is closed or a write fails.
fn flush_when_idle(shared: &Shared, cancel: &CancelToken) {
    let _guard = EndOnPanic { shared, cancel };
    let mut state = shared.state();
    let mut delays = 0;
    while state.buffer.is_open() {
        if !state.has_data() {
            state.flusher = Flusher::Parked;
            state = shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        state.flusher = Flusher::Watching;
        let (writes, appended) = (state.buffer.writer.writes, state.appended);
        let waited = shared
            .changed
            .wait_timeout_while(state, MAX_DELAY, |state| state.buffer.is_open());
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        // If the reading thread has written meanwhile, the data here is newer. Batches
        // that end while rows arrive would be small.
        let pauses = state.framing != Framing::BatchOrPause
            || state.appended == appended
            || delays >= MAX_BATCH_DELAYS;
        let has_waited = state.buffer.writer.writes == writes && state.has_data();
        delays = if has_waited && !pauses { delays + 1 } else { 0 };
        if !has_waited || !pauses || !state.buffer.is_open() {
            continue;
        }
        let written = state.end_batch();
        if let Err(error) = written.and_then(|()| state.buffer.write(Next::Later)) {
            drop(state);
            cancel.cancel(error);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{format::ValueError, row::Row};

    /// A sink whose first write fails, after a part of it may have been written.
    struct FailsOnce(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Sink for FailsOnce {
        fn write(&mut self, bytes: &[u8]) -> Result<()> {
            let mut writes = self.0.lock().expect("no panic");
            writes.push(bytes.to_vec());
            match writes.len() {
                1 => Err(Error::new(ErrorKind::Output, "once")),
                _ => Ok(()),
            }
        }

        fn restart(&self) -> Restart {
            Restart::Forbidden
        }

        fn finish(self: Box<Self>) -> Result<Staged> {
            panic!("a failed output is not finished");
        }
    }

    /// A sink that keeps each write.
    struct Recorder(Arc<Mutex<Vec<Vec<u8>>>>);

    impl Sink for Recorder {
        fn write(&mut self, bytes: &[u8]) -> Result<()> {
            self.0.lock().expect("no panic").push(bytes.to_vec());
            Ok(())
        }

        fn restart(&self) -> Restart {
            Restart::Forbidden
        }

        fn finish(self: Box<Self>) -> Result<Staged> {
            Ok(Staged::written())
        }
    }

    #[test]
    fn flush_row_writes_each_row_at_once() {
        let (writes, cancel) = (Arc::new(Mutex::new(Vec::new())), CancelToken::default());
        let sink = Box::new(Recorder(Arc::clone(&writes)));
        let mut output = raw(sink, Flush::Row, &cancel);
        for row in ["one", "two", "three"] {
            append(&mut output, row.as_bytes()).expect("a sink that takes all");
            let writes = writes.lock().expect("no panic");
            assert_eq!(writes.last().expect("a write"), row.as_bytes());
        }
        output.finish().expect("a sink that takes all");
        assert_eq!(writes.lock().expect("no panic").concat(), b"onetwothree");
    }

    #[test]
    fn a_wide_row_is_written_in_pieces_and_exactly() {
        let (writes, cancel) = (Arc::new(Mutex::new(Vec::new())), CancelToken::default());
        let sink = Box::new(Recorder(Arc::clone(&writes)));
        let mut output = raw(sink, Flush::Auto, &cancel);
        let wide: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let bytes = append(&mut output, &wide).expect("a sink that takes all");
        assert_eq!(bytes, 20_000_000);
        output.finish().expect("a sink that takes all");
        let writes = writes.lock().expect("no panic");
        assert!(writes.concat() == wide, "other bytes than the row's");
        let widest = writes.iter().map(Vec::len).max();
        assert!(widest < Some(2 << 20), "{widest:?} bytes in one write");
    }

    /// A writer of formats whose bytes the tests append themselves.
    struct Raw;

    impl RowWriter for Raw {
        fn row(&mut self, _: Row<'_>, _: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
            Ok(())
        }
    }

    fn raw(sink: Box<dyn Sink>, flush: Flush, cancel: &CancelToken) -> BufferedOutput {
        BufferedOutput::new(Box::new(Raw), Framing::Row, sink, flush, cancel)
    }

    fn append(output: &mut BufferedOutput, bytes: &[u8]) -> Result<u64> {
        output.append(|_, out| {
            out.extend(bytes);
            Ok(())
        })
    }

    /// A writer with an open batch, which cannot be written.
    struct Panics;

    impl RowWriter for Panics {
        fn row(&mut self, _: Row<'_>, _: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
            Ok(())
        }

        fn has_batch(&self) -> bool {
            true
        }

        fn write_batch(&mut self, _: &mut EncodeBuffer<'_>) -> Result<()> {
            panic!("a batch that cannot be written");
        }
    }

    #[test]
    fn a_batch_that_the_flusher_cannot_write_ends_the_export() {
        let (writes, cancel) = (Arc::new(Mutex::new(Vec::new())), CancelToken::default());
        let sink = Box::new(Recorder(Arc::clone(&writes)));
        let framing = Framing::BatchOrPause;
        let mut output = BufferedOutput::new(Box::new(Panics), framing, sink, Flush::Auto, &cancel);
        append(&mut output, b"x").expect("a place in the buffer");
        let deadline = Instant::now() + Duration::from_secs(10);
        while cancel.cause().is_none() {
            assert!(Instant::now() < deadline, "the flusher ends the export");
            thread::yield_now();
        }
        let failed = append(&mut output, b"y").expect_err("it has failed");
        assert_eq!(failed.message(), "the export failed with an internal error");
        assert!(output.finish().is_err());
    }

    #[test]
    fn nothing_is_written_after_a_failed_write() {
        for big in [false, true] {
            let (writes, cancel) = (Arc::new(Mutex::new(Vec::new())), CancelToken::default());
            let mut output = raw(
                Box::new(FailsOnce(Arc::clone(&writes))),
                Flush::Auto,
                &cancel,
            );
            if big {
                // Written by the reading thread.
                let appended = append(&mut output, &[b'x'; CHUNK]);
                assert_eq!(appended.expect_err("the sink fails").message(), "once");
            } else {
                // Written by the flusher, which cancels the run.
                append(&mut output, b"x").expect("a place in the buffer");
                let deadline = Instant::now() + Duration::from_secs(10);
                while cancel.cause().is_none() {
                    assert!(Instant::now() < deadline, "what waits is written");
                    thread::yield_now();
                }
            }
            let again = append(&mut output, b"y");
            assert_eq!(again.expect_err("it has failed").message(), "once");
            let finished = output.finish().err();
            assert_eq!(finished.expect("it failed").message(), "once");
            assert_eq!(writes.lock().expect("no panic").len(), 1);
        }
    }
}
