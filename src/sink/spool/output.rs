//! One output of a spool: the sink that takes bytes, and the thread that sends them.

use std::{
    mem,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
};

use tracing::Span;

use super::{
    POLL_INTERVAL, Spool, SpoolFull,
    queue::{End, Next, Put, PutError, Queue, Unsent},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    sink::{
        Restart, Sink, Staged,
        errors::{io_error, output_error, write_error},
    },
};

/// Takes the bytes of an output.
struct SpooledSink {
    spool: Arc<Spool>,
    queue: Arc<Queue>,
    name: String,
    restart: Restart,
    block_size: u64,
    /// Whether it was told that the spool is full.
    is_told: bool,
    /// Has what the sender has come to. `None` once the output is ended.
    result: Option<Receiver<Result<Staged>>>,
    cancel: CancelToken,
}

impl Spool {
    /// Returns a sink before `sink`, called `name` in messages. What is written to it is
    /// sent by a thread of its own; `unsent` counts what is not. A write that fails cancels
    /// the export by `cancel`.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if the system starts no
    /// thread.
    pub fn before(
        self: &Arc<Self>,
        sink: Box<dyn Sink>,
        name: &str,
        unsent: &Unsent,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        let queue = Arc::new(Queue::new(Arc::clone(self), unsent.clone()));
        let (restart, block_size) = (sink.restart(), sink.block_size());
        let sender = Sender {
            spool: Arc::clone(self),
            queue: Arc::clone(&queue),
            cancel: cancel.clone(),
        };
        // Not the handle of the thread: it would keep the stack of a thread that has ended.
        let (done, result) = mpsc::sync_channel(1);
        let span = Span::current();
        let send = move || {
            let _span = span.enter();
            // Nobody waits any more if the stream is given up.
            let _ = done.send(sender.run(sink));
        };
        let started = thread::Builder::new().spawn(send);
        started.map_err(|error| io_error(name, "start a thread that writes to", error))?;
        Ok(Box::new(SpooledSink {
            spool: Arc::clone(self),
            queue,
            name: name.to_owned(),
            restart,
            block_size,
            is_told: false,
            result: Some(result),
            cancel: cancel.clone(),
        }))
    }

    /// The name of its folder, for messages.
    fn name(&self) -> String {
        self.options.folder.display().to_string()
    }
}

impl SpooledSink {
    /// Returns the error of a spool that has no room because of `problem`, if it is not to
    /// wait.
    fn refuse(&mut self, problem: &str) -> Result<()> {
        match self.spool.options.full {
            SpoolFull::Fail => {
                // What waits could be as long on its way as what finds no room.
                self.queue.discard();
                let folder = self.spool.name();
                let full = output_error(folder, "keep more in the spool", problem);
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
                Ok(Put::Full(problem)) => self.refuse(problem)?,
                Err(PutError::Failed(error)) => return Err(error),
                Err(PutError::System(error)) => {
                    let folder = self.spool.name();
                    return Err(write_error(&folder, "write to the spool in", error));
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
        let place = self.spool.place(&self.cancel)?;
        self.queue.end(End::Complete(place));
        Ok(Staged::awaited(Completion {
            result: self.result.take(),
            queue: Arc::clone(&self.queue),
            name: mem::take(&mut self.name),
            restart: self.restart,
            cancel: self.cancel.clone(),
        }))
    }
}

/// A stream gets all rows before a failure, unless the run is cancelled.
impl Drop for SpooledSink {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else {
            return;
        };
        let is_stream = self.restart == Restart::Forbidden;
        match is_stream {
            true => self.queue.end(End::Send),
            false => self.queue.discard(),
        }
        if !(is_stream && self.queue.is_discarded()) {
            let _ = wait(&result, self.restart, &self.cancel);
        }
    }
}

/// Waits for what a sender comes to. `None`: it has ended early.
///
/// # Errors
/// The cause, if the export is cancelled and its output is a stream: the reader may never
/// read again, and nothing is to be removed.
fn wait(
    result: &Receiver<Result<Staged>>,
    restart: Restart,
    cancel: &CancelToken,
) -> Result<Option<Result<Staged>>> {
    loop {
        match result.recv_timeout(POLL_INTERVAL) {
            Ok(result) => return Ok(Some(result)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if restart == Restart::Forbidden
            && let Some(cause) = cancel.cause()
        {
            return Err(cause);
        }
    }
}

/// An output whose last bytes are still being sent. On drop, they are discarded.
pub struct Completion {
    result: Option<Receiver<Result<Staged>>>,
    queue: Arc<Queue>,
    name: String,
    restart: Restart,
    cancel: CancelToken,
}

impl Completion {
    /// Waits until all is sent and the output is complete.
    pub(in crate::sink) fn wait(mut self) -> Result<Staged> {
        let lost = || output_error(&self.name, "write to", "a thread has ended early");
        let result = self.result.take().ok_or_else(lost)?;
        wait(&result, self.restart, &self.cancel)?.ok_or_else(lost)?
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        if let Some(result) = self.result.take() {
            self.queue.discard();
            if self.restart == Restart::Allowed {
                let _ = result.recv();
            }
        }
    }
}

/// Sends the bytes of a queue.
struct Sender {
    spool: Arc<Spool>,
    queue: Arc<Queue>,
    cancel: CancelToken,
}

impl Sender {
    fn run(self, sink: Box<dyn Sink>) -> Result<Staged> {
        let _guard = FailOnPanic(&self);
        let result = self.cancel.prefer_cause(self.send_all(sink));
        if let Err(error) = &result {
            self.fail(error);
        }
        result
    }

    fn fail(&self, error: &Error) {
        self.queue.fail(error.clone());
        self.cancel.cancel(error.clone());
    }

    fn send_all(&self, mut sink: Box<dyn Sink>) -> Result<Staged> {
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
                        write_error(&self.spool.name(), "read from the spool in", error)
                    })?)?;
                }
                Next::End(End::Complete(_place)) => return sink.finish(),
                Next::End(End::Send | End::Discard) => return Ok(Staged::written()),
            }
        }
    }
}

/// Ends the export if the sender panics: nobody else would take what waits.
struct FailOnPanic<'a>(&'a Sender);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let what = "the export failed with an internal error";
            self.0.fail(&Error::new(ErrorKind::Output, what));
        }
    }
}
