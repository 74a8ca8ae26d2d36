//! The sink of standard output, FIFOs and devices: writes directly, because a
//! stream has no name that could appear later. A thread notices a pipe that has
//! lost its reader, also while there is nothing to write.

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeReader, PipeWriter, Write},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::Path,
    thread,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::close,
};

use super::{
    Restart, Sink, Staged,
    errors::{io_error, output_error, write_error},
    stdio::{self, standard_output},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
};

/// Writes a stream.
pub(super) struct StreamSink {
    file: File,
    /// The target as the user named it.
    name: String,
    pipe: Pipe,
    /// Stops the watcher of the reader on drop; the watcher keeps the file open.
    _watcher: Option<PipeWriter>,
}

/// The kind of a pipe, which decides how the loss of its reader is reported.
#[derive(Clone, Copy)]
enum Pipe {
    /// Standard output: a shell's `| head -1` ends the run without a message.
    Stdout,
    /// A FIFO that was opened by its name: an error with a message.
    Named,
}

impl StreamSink {
    /// Opens standard output.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], if it was closed when the program started.
    pub(super) fn stdout(cancel: &CancelToken) -> Result<Box<dyn Sink>> {
        // A descriptor of its own: std's `Stdout` would buffer lines.
        let owned = standard_output().and_then(|stdout| stdout.as_fd().try_clone_to_owned());
        let file = File::from(owned.map_err(|error| {
            io_error("standard output", "open", error)
                .with_hint("-o FILE writes to a file; -o /dev/null wants no output")
        })?);
        Self::open(file, "standard output".to_owned(), Pipe::Stdout, cancel)
    }

    /// Opens `path`, to which the links of `named` lead. Opening a FIFO blocks until
    /// it has a reader.
    ///
    /// # Errors
    /// [`ErrorKind::Output`].
    pub(super) fn special_file(
        named: &Path,
        path: &Path,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        let name = named.display().to_string();
        let file = OpenOptions::new().write(true).open(path);
        let file =
            file.map_err(|error| io_error(&name, "open", error).with_hint("may you write to it?"))?;
        Self::open(file, name, Pipe::Named, cancel)
    }

    /// Opens `path`, the name of one of this process's open descriptors. Bytes are
    /// appended to a regular file, as other writes to its descriptor would be.
    ///
    /// # Errors
    /// [`ErrorKind::Output`].
    pub(super) fn descriptor(
        named: &Path,
        path: &Path,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        if path.file_name().is_some_and(|number| number == "1") {
            return Self::stdout(cancel);
        }
        let name = named.display().to_string();
        let number = path
            .file_name()
            .and_then(|number| number.to_str()?.parse().ok());
        let is_open = number.map_or(Ok(()), stdio::check);
        let file = is_open.and_then(|()| OpenOptions::new().append(true).open(path));
        let file = file.map_err(|error| {
            io_error(&name, "open", error).with_hint("is that descriptor open?")
        })?;
        Self::open(file, name, Pipe::Named, cancel)
    }

    /// Starts the watcher, if `file` can lose its reader.
    fn open(file: File, name: String, pipe: Pipe, cancel: &CancelToken) -> Result<Box<dyn Sink>> {
        let failed = |error: io::Error| io_error(&name, "open", error);
        let kind = file.metadata().map_err(failed)?.file_type();
        let mut watcher = None;
        if kind.is_fifo() || kind.is_socket() {
            let watched = file.try_clone().map_err(failed)?;
            let (stopped, writer) = io::pipe().map_err(failed)?;
            let (cause, cancel) = (pipe.broken_pipe(&name), cancel.clone());
            // Without the thread, the next write notices the loss.
            let _ = thread::Builder::new().spawn(move || {
                if has_no_reader(&watched, &stopped) {
                    cancel.cancel(cause);
                }
            });
            watcher = Some(writer);
        }
        Ok(Box::new(Self {
            file,
            name,
            pipe,
            _watcher: watcher,
        }))
    }
}

impl Sink for StreamSink {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let error = match self.file.write(bytes) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(length) => {
                    bytes = &bytes[length..];
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                // Another process that shares the pipe has made it non-blocking.
                io::ErrorKind::WouldBlock => {
                    let _ = wait_for(&self.file, PollFlags::POLLOUT);
                }
                io::ErrorKind::BrokenPipe => return Err(self.pipe.broken_pipe(&self.name)),
                _ => return Err(write_error(&self.name, "write to", error)),
            }
        }
        Ok(())
    }

    fn restart(&self) -> Restart {
        Restart::Forbidden
    }

    fn finish(self: Box<Self>) -> Result<Staged> {
        let Self { file, name, .. } = &*self;
        if file.metadata().is_ok_and(|found| found.is_file()) {
            sync(file).map_err(|error| write_error(name, "sync", error))?;
            // The descriptor itself may be shared with other processes.
            let closed = file.try_clone().and_then(|file| Ok(close(file)?));
            closed.map_err(|error| write_error(name, "close", error))?;
        }
        Ok(Staged::written())
    }
}

/// Syncs a regular file. File systems with quotas, on a network or in FUSE may report
/// only then, or when the file is closed, that bytes which it took are lost.
fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        // Files that the kernel makes up have nothing to sync (fsync(2)).
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

impl Pipe {
    /// Returns the error of the pipe called `name` that has lost its reader.
    fn broken_pipe(self, name: &str) -> Error {
        match self {
            Self::Stdout => Error::new(
                ErrorKind::ReaderGone,
                "the reader of standard output has gone",
            ),
            Self::Named => output_error(name, "write to", "its reader has gone"),
        }
    }
}

/// Waits until `watched` has lost its reader, and returns `true`; or until the
/// other end of `stopped` is closed, and returns `false`. POLLERR and POLLHUP are
/// reported without being requested (poll(2)).
fn has_no_reader(watched: &File, stopped: &PipeReader) -> bool {
    let none = PollFlags::empty();
    let mut polled = [
        PollFd::new(watched.as_fd(), none),
        PollFd::new(stopped.as_fd(), none),
    ];
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return polled[1].any() == Some(false),
            Err(_) => return false,
        }
    }
}

/// Waits for one of `events`, or until `file` has lost its reader: POLLERR and
/// POLLHUP are reported without being requested (poll(2)).
fn wait_for(file: &File, events: PollFlags) -> nix::Result<()> {
    loop {
        match poll(&mut [PollFd::new(file.as_fd(), events)], PollTimeout::NONE) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
