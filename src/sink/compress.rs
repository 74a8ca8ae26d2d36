//! Compresses the bytes of an export: a sink around another one. Worker threads
//! compress blocks of rows side by side, and one thread writes them in order.
//!
//! Each block becomes a frame of its own (a member, in gzip's words) that ends with a
//! row, unless a row is longer than a block may be. So a reader can begin in the midst
//! of a file. The beginning of the next frame is written together with each frame: what
//! is cut off between two writes ends within a frame, and no reader takes it for whole.

use std::{
    num::NonZeroU16,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender, SyncSender},
    },
    thread::{self, JoinHandle},
};

use serde::{Deserialize, Serialize};

pub use self::codec::decoder;
use self::codec::{Encoder, common_length};
use super::{Next, Restart, Sink, Staged, errors::output_error};
use crate::{
    cancel::CancelToken,
    error::{Error, Result},
    format::{Codec, Compression},
    sync::lock,
};

mod codec;
mod seek_table;

/// The number of bytes from which on a block ends with the next row.
const BLOCK: u64 = 1 << 20;

/// The number of bytes from which on a block ends within a row.
const LONGEST_BLOCK: usize = 4 << 20;

/// How the bytes of an export are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompressionOptions {
    /// The codec and its level.
    pub compression: Compression,
    /// The number of threads that compress.
    pub threads: NonZeroU16,
}

/// Whether a document ends with the table of its frames, by which a reader finds a place in
/// the midst (zstd's seekable format).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekTable {
    /// It does, if the codec has one.
    Write,
    /// It does not: it is a part of a document.
    Omit,
}

/// A block on its way to a worker.
struct Job {
    block: Vec<u8>,
    /// Takes the frame.
    done: SyncSender<Frame>,
}

/// A compressed block.
struct Frame {
    bytes: std::io::Result<Vec<u8>>,
    /// The number of bytes that were compressed.
    length: usize,
}

/// Compresses what is written to it.
struct CompressedSink {
    name: String,
    /// What has not been handed to a worker.
    block: Vec<u8>,
    restart: Restart,
    /// Blocks for the workers, and the places of their frames for the writer. `None`
    /// once the sink is closed.
    channels: Option<(SyncSender<Job>, SyncSender<Receiver<Frame>>)>,
    /// Used blocks, for the next rows.
    used: Receiver<Vec<u8>>,
    writer: Option<JoinHandle<Result<FrameWriter>>>,
    /// The error of the writer.
    failed: Arc<Mutex<Option<Error>>>,
}

/// Returns a sink that compresses what is written to it, and writes that to `sink`. A
/// write that fails cancels the run by `cancel`, also while no row comes. Messages call
/// the target `name`.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if the codec is not built in,
/// or the system starts no thread.
pub fn compressed(
    sink: Box<dyn Sink>,
    options: CompressionOptions,
    seek_table: SeekTable,
    name: &str,
    cancel: &CancelToken,
) -> Result<Box<dyn Sink>> {
    let no_thread = |error: std::io::Error| {
        output_error(name, "start a thread that compresses", &error).with_source(error)
    };
    let mut encoders = Vec::new();
    for _ in 0..options.threads.get() {
        encoders.push(Encoder::new(options.compression).map_err(no_thread)?);
    }
    let threads = encoders.len();
    let (jobs, waiting) = mpsc::sync_channel(threads);
    let (frames, ordered) = mpsc::sync_channel(threads);
    let (recycle, used) = mpsc::channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let restart = sink.restart();
    let empty = encoders[0].frame(&[]).map_err(no_thread)?;
    let writer = FrameWriter::new(sink, options.compression.codec, seek_table, empty);
    for encoder in encoders {
        let (waiting, recycle) = (Arc::clone(&waiting), recycle.clone());
        let work = move || compress_blocks(encoder, &waiting, &recycle);
        thread::Builder::new().spawn(work).map_err(no_thread)?;
    }
    let failed = Arc::new(Mutex::new(None));
    let (error, cancel) = (Arc::clone(&failed), cancel.clone());
    let target = name.to_owned();
    let write = move || {
        let written = write_frames(writer, &ordered, &target);
        if let Err(cause) = &written {
            *lock(&error) = Some(cause.clone());
            cancel.cancel(cause.clone());
        }
        written
    };
    Ok(Box::new(CompressedSink {
        name: name.to_owned(),
        block: Vec::new(),
        restart,
        channels: Some((jobs, frames)),
        used,
        writer: Some(thread::Builder::new().spawn(write).map_err(no_thread)?),
        failed,
    }))
}

impl CompressedSink {
    /// Hands the block to a worker.
    fn submit(&mut self) -> Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let next = self.used.try_recv().unwrap_or_default();
        let block = std::mem::replace(&mut self.block, next);
        let (done, frame) = mpsc::sync_channel(1);
        let Some((jobs, frames)) = &self.channels else {
            return Err(self.closed());
        };
        // The writer ends early only after an error.
        let is_sent = frames.send(frame).is_ok() && jobs.send(Job { block, done }).is_ok();
        if is_sent { Ok(()) } else { Err(self.closed()) }
    }

    /// Why nothing can be written.
    fn closed(&self) -> Error {
        let failed = lock(&self.failed).clone();
        failed.unwrap_or_else(|| output_error(&self.name, "compress", "its threads have ended"))
    }

    /// Waits for the frames that are on their way. Returns what writes them.
    fn close(&mut self) -> Option<Result<FrameWriter>> {
        self.channels = None;
        self.writer.take()?.join().ok()
    }
}

impl Sink for CompressedSink {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if let Some(error) = lock(&self.failed).clone() {
            return Err(error);
        }
        while self.block.len() + bytes.len() >= LONGEST_BLOCK {
            let (part, rest) = bytes.split_at(LONGEST_BLOCK - self.block.len());
            self.block.extend_from_slice(part);
            self.submit()?;
            bytes = rest;
        }
        self.block.extend_from_slice(bytes);
        Ok(())
    }

    fn block_size(&self) -> u64 {
        BLOCK
    }

    fn end_of_rows(&mut self, next: Next) -> Result<()> {
        match next {
            // Nobody sees a file before it is complete: its blocks depend on the rows
            // only, and not on when they came.
            Next::Later if self.restart == Restart::Forbidden => self.submit(),
            Next::Block => self.submit(),
            Next::Soon | Next::Later => Ok(()),
        }
    }

    fn restart(&self) -> Restart {
        self.restart
    }

    fn finish(mut self: Box<Self>) -> Result<Staged> {
        self.submit()?;
        match self.close() {
            Some(writer) => writer?.finish(),
            None => Err(self.closed()),
        }
    }
}

/// What has come is written, so that a stream has all rows before a failure. It ends
/// within a frame.
impl Drop for CompressedSink {
    fn drop(&mut self) {
        if self.writer.is_some() {
            let _ = self.submit();
            let _ = self.close();
        }
    }
}

/// Compresses blocks until there are no more.
fn compress_blocks(mut encoder: Encoder, jobs: &Mutex<Receiver<Job>>, used: &Sender<Vec<u8>>) {
    loop {
        let job = lock(jobs).recv();
        let Ok(Job { mut block, done }) = job else {
            return;
        };
        let frame = Frame {
            bytes: encoder.frame(&block),
            length: block.len(),
        };
        block.clear();
        // Either may be gone after an error.
        let _ = used.send(block);
        let _ = done.send(frame);
    }
}

/// Writes frames in the order of their blocks.
fn write_frames(
    mut writer: FrameWriter,
    frames: &Receiver<Receiver<Frame>>,
    name: &str,
) -> Result<FrameWriter> {
    while let Ok(frame) = frames.recv() {
        let lost = || output_error(name, "compress", "a thread has ended early");
        let Frame { bytes, length } = frame.recv().map_err(|_| lost())?;
        let bytes =
            bytes.map_err(|error| output_error(name, "compress", &error).with_source(error))?;
        writer.write(bytes, length)?;
    }
    Ok(writer)
}

/// Writes frames to a sink.
struct FrameWriter {
    sink: Box<dyn Sink>,
    /// The frame of no bytes.
    empty: Vec<u8>,
    /// The number of bytes that all frames begin with.
    common: usize,
    /// The number of bytes of the next frame that have been written: none of the first,
    /// and then those that all begin with.
    begun: usize,
    /// The number of bytes in the sink.
    stored: u64,
    /// The compressed and the plain length of each frame, if the codec has a table of
    /// them; `None` once there are more than [`seek_table::MAX_FRAMES`].
    lengths: Option<Vec<(usize, usize)>>,
}

impl FrameWriter {
    fn new(sink: Box<dyn Sink>, codec: Codec, seek_table: SeekTable, empty: Vec<u8>) -> Self {
        Self {
            sink,
            empty,
            common: common_length(codec),
            begun: 0,
            stored: 0,
            lengths: (codec == Codec::Zstd && seek_table == SeekTable::Write).then(Vec::new),
        }
    }

    /// Writes `frame`, of `length` plain bytes, and the beginning of the next one.
    fn write(&mut self, mut frame: Vec<u8>, length: usize) -> Result<()> {
        if let Some(lengths) = &mut self.lengths {
            lengths.push((frame.len(), length));
        }
        let is_long = |lengths: &mut Vec<_>| lengths.len() > seek_table::MAX_FRAMES;
        drop(self.lengths.take_if(is_long));
        frame.extend_from_slice(&self.empty[..self.common]);
        let begun = std::mem::replace(&mut self.begun, self.common);
        self.put(&frame[begun..])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.stored += bytes.len() as u64;
        self.sink.write(bytes)
    }

    /// Ends the last frame, and writes the table of all.
    fn finish(mut self) -> Result<Staged> {
        let end = self.empty[self.begun..].to_vec();
        self.put(&end)?;
        if let Some(mut lengths) = self.lengths.take() {
            lengths.push((self.empty.len(), 0));
            // Readers do without it.
            if let Some(table) = seek_table::of(&lengths) {
                self.put(&table)?;
            }
        }
        Ok(self.sink.finish()?.stored_in(self.stored))
    }
}
