//! Standard output, FIFOs and devices: written directly, as they have no name
//! that could appear late. Where a reader can go away, it is noticed even while
//! there is nothing to write.

use std::{
    fs::{File, OpenOptions},
    io::{self, PipeReader, PipeWriter, Write},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::Path,
    thread,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    Restart, Sink, Staged, failure, output_error,
    stdio::{self, standard_output},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
};

pub(super) struct StreamSink {
    file: File,
    name: String,
    reader: Pipe,
    /// Dropped, it ends the watch over the reader, which keeps the file open.
    _watch: Option<PipeWriter>,
}

/// Who reads, which decides what its absence means.
#[derive(Clone, Copy)]
enum Pipe {
    /// A shell's pipeline: `| head -1` ends the run without a word.
    Stdout,
    /// Whoever opened a FIFO by its name: an error like others.
    Named,
}

impl StreamSink {
    pub(super) fn stdout(cancel: &CancelToken) -> Result<Box<dyn Sink>> {
        // An own descriptor: std's `Stdout` would buffer lines.
        let owned = standard_output().and_then(|stdout| stdout.as_fd().try_clone_to_owned());
        let file = File::from(owned.map_err(|error| {
            output_error("standard output", "open", error)
                .with_hint("-o FILE writes to a file; -o /dev/null wants no output")
        })?);
        Self::open(file, "standard output".to_owned(), Pipe::Stdout, cancel)
    }

    /// Opens `path`, to which `named` leads; a FIFO waits here for its reader.
    pub(super) fn special_file(
        named: &Path,
        path: &Path,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        let name = named.display().to_string();
        let file = OpenOptions::new().write(true).open(path);
        let file = file.map_err(|error| {
            output_error(&name, "open", error).with_hint("may you write to it?")
        })?;
        Self::open(file, name, Pipe::Named, cancel)
    }

    /// Opens `path`, which stands for one of this process's open files. A
    /// regular file among them is added to, as by whoever opened it.
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
            output_error(&name, "open", error).with_hint("is that descriptor open?")
        })?;
        Self::open(file, name, Pipe::Named, cancel)
    }

    fn open(file: File, name: String, reader: Pipe, cancel: &CancelToken) -> Result<Box<dyn Sink>> {
        let failed = |error: io::Error| output_error(&name, "open", error);
        let kind = file.metadata().map_err(failed)?.file_type();
        let mut watch = None;
        if kind.is_fifo() || kind.is_socket() {
            let watched = file.try_clone().map_err(failed)?;
            let (ended, writer) = io::pipe().map_err(failed)?;
            let (gone, cancel) = (reader.broken_pipe(&name), cancel.clone());
            // Where there is none, the next write notices.
            let _ = thread::Builder::new().spawn(move || {
                if has_no_reader(&watched, &ended) {
                    cancel.cancel(gone);
                }
            });
            watch = Some(writer);
        }
        Ok(Box::new(Self {
            file,
            name,
            reader,
            _watch: watch,
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
                // Whoever shares the pipe with us made it non-blocking.
                io::ErrorKind::WouldBlock => {
                    let _ = wait_for(&self.file, PollFlags::POLLOUT);
                }
                io::ErrorKind::BrokenPipe => return Err(self.reader.broken_pipe(&self.name)),
                _ => return Err(failure(&self.name, "write to", error)),
            }
        }
        Ok(())
    }

    fn restart(&self) -> Restart {
        Restart::Forbidden
    }

    fn finish(self: Box<Self>) -> Result<Staged> {
        Ok(Staged::written())
    }
}

impl Pipe {
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

/// Waits until nobody can read any more what is written to `watched`: POLLERR and
/// POLLHUP come without being asked for (poll(2)). Not so where the output has
/// `ended` before.
fn has_no_reader(watched: &File, ended: &PipeReader) -> bool {
    let none = PollFlags::empty();
    let mut polled = [
        PollFd::new(watched.as_fd(), none),
        PollFd::new(ended.as_fd(), none),
    ];
    loop {
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return polled[1].any() == Some(false),
            Err(_) => return false,
        }
    }
}

/// Waits for one of `events`, or until nobody can read any more what is written
/// to `file`: POLLERR and POLLHUP come without being asked for (poll(2)).
fn wait_for(file: &File, events: PollFlags) -> nix::Result<()> {
    loop {
        match poll(&mut [PollFd::new(file.as_fd(), events)], PollTimeout::NONE) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
