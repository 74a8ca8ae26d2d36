//! One output of a spool: the sink that takes bytes, and the thread that sends them.

use std::{
    mem,
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::{
    Place, Spool, SpoolFull,
    queue::{End, Next, Put, PutError, Queue, Unsent},
};
use crate::{
    cancel::CancelToken,
    error::Result,
    sink::{
        Restart, Sink, Staged,
        errors::{io_error, output_error, write_error},
    },
};

/// Takes the bytes of an output.
struct SpooledSink {
    queue: Arc<Queue>,
    full: SpoolFull,
    name: String,
    /// The name of the folder, for messages.
    folder: String,
    restart: Restart,
    block_size: u64,
    /// Whether it was told that the spool is full.
    is_told: bool,
    /// `None` once the output is ended.
    sender: Option<JoinHandle<Result<Staged>>>,
    cancel: CancelToken,
}

/// Opens the sink before `sink`, and starts what sends its bytes.
pub(super) fn open(
    spool: &Arc<Spool>,
    place: Option<Place>,
    sink: Box<dyn Sink>,
    name: &str,
    unsent: &Unsent,
    cancel: &CancelToken,
) -> Result<Box<dyn Sink>> {
    let queue = Arc::new(Queue::new(Arc::clone(spool), unsent.clone()));
    let (restart, block_size) = (sink.restart(), sink.block_size());
    let sender = Sender {
        spool: Arc::clone(spool),
        queue: Arc::clone(&queue),
        folder: spool.options.folder.display().to_string(),
        cancel: cancel.clone(),
        _place: place,
    };
    let folder = sender.folder.clone();
    let started = thread::Builder::new().spawn(move || sender.run(sink));
    let sender = started.map_err(|error| io_error(name, "start a thread that writes to", error))?;
    Ok(Box::new(SpooledSink {
        queue,
        full: spool.options.full,
        name: name.to_owned(),
        folder,
        restart,
        block_size,
        is_told: false,
        sender: Some(sender),
        cancel: cancel.clone(),
    }))
}

impl SpooledSink {
    /// Returns the error of a spool that has no room, if it is not to wait.
    fn refuse(&mut self, put: Put) -> Result<()> {
        let problem = match put {
            Put::DiskFull => "its disk is full",
            Put::Done | Put::Full => "its limit is reached",
        };
        match self.full {
            SpoolFull::Fail => {
                // What waits could be as long on its way as what finds no room.
                self.queue.discard();
                let full = output_error(&self.folder, "keep more in the spool", problem);
                return Err(full.with_hint(format!(
                    "{} takes the rows too slowly: make room (--spool-limit), or let the server \
                     wait (--spool-full wait)",
                    self.name
                )));
            }
            SpoolFull::Wait if !self.is_told => {
                tracing::info!(
                    "the server waits for {}: in the spool, {problem}",
                    self.name
                );
                self.is_told = true;
            }
            SpoolFull::Wait => {}
        }
        Ok(())
    }
}

impl Sink for SpooledSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        loop {
            match self.queue.put(bytes) {
                Ok(Put::Done) => return Ok(()),
                Ok(full) => self.refuse(full)?,
                Err(PutError::Failed(error)) => return Err(error),
                Err(PutError::System(error)) => {
                    return Err(write_error(&self.folder, "write to the spool in", error));
                }
            }
            if let Some(cause) = self.cancel.cause() {
                return Err(cause);
            }
            self.queue.wait_for_room();
        }
    }

    fn block_size(&self) -> u64 {
        self.block_size
    }

    fn restart(&self) -> Restart {
        self.restart
    }

    fn finish(mut self: Box<Self>) -> Result<Staged> {
        self.queue.end(End::Complete);
        Ok(Staged::awaited(Completion {
            sender: self.sender.take(),
            queue: Arc::clone(&self.queue),
            name: mem::take(&mut self.name),
        }))
    }
}

/// A stream gets all rows before a failure, unless the run is cancelled.
impl Drop for SpooledSink {
    fn drop(&mut self) {
        let Some(sender) = self.sender.take() else {
            return;
        };
        let is_stream = self.restart == Restart::Forbidden;
        self.queue.end(match is_stream {
            true => End::Send,
            false => End::Discard,
        });
        // The reader of a stream may never read again, and nothing is to be removed.
        if !(is_stream && self.queue.is_discarded()) {
            let _ = sender.join();
        }
    }
}

/// An output whose last bytes are still being sent. On drop, they are discarded.
pub struct Completion {
    sender: Option<JoinHandle<Result<Staged>>>,
    queue: Arc<Queue>,
    name: String,
}

impl Completion {
    /// Waits until all is sent and the output is complete.
    pub(in crate::sink) fn wait(mut self) -> Result<Staged> {
        let lost = || output_error(&self.name, "write to", "a thread has ended early");
        let joined = self.sender.take().map(JoinHandle::join);
        joined.and_then(std::result::Result::ok).ok_or_else(lost)?
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.queue.discard();
            let _ = sender.join();
        }
    }
}

/// Sends the bytes of a queue.
struct Sender {
    spool: Arc<Spool>,
    queue: Arc<Queue>,
    folder: String,
    cancel: CancelToken,
    _place: Option<Place>,
}

impl Sender {
    fn run(self, sink: Box<dyn Sink>) -> Result<Staged> {
        let result = self.cancel.prefer_cause(self.send_all(sink));
        if let Err(error) = &result {
            self.queue.fail(error.clone());
            self.cancel.cancel(error.clone());
        }
        result
    }

    fn send_all(&self, mut sink: Box<dyn Sink>) -> Result<Staged> {
        let is_over = || self.queue.is_discarded();
        let _turn = self.spool.turn(sink.restart(), &self.cancel, is_over)?;
        let mut buffer = Vec::new();
        loop {
            let next = self.queue.next();
            if let Some(cause) = self.cancel.cause() {
                return Err(cause);
            }
            match next {
                Next::Block(block) => {
                    let bytes = block.bytes(&mut buffer);
                    sink.write(bytes.map_err(|error| {
                        write_error(&self.folder, "read from the spool in", error)
                    })?)?;
                }
                Next::End(End::Complete) => return sink.finish(),
                Next::End(End::Send | End::Discard) => return Ok(Staged::written()),
            }
        }
    }
}
