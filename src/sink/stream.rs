//! Standard output, FIFOs and devices: written directly, as they have no name
//! that could appear late. Where a reader can go away, it is noticed even while
//! there is nothing to write.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::FileTypeExt},
    path::Path,
    thread,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Sink, output_error};
use crate::{
    cancel::Cancel,
    error::{Error, ErrorKind, Result},
};

pub(super) struct StreamSink {
    file: File,
    name: String,
    reader: Reader,
}

/// Who reads, which decides what its absence means.
#[derive(Clone, Copy)]
enum Reader {
    /// A shell's pipeline: `| head -1` ends the run without a word.
    OfStdout,
    /// Whoever opened a FIFO by its name: an error like others.
    OfFile,
}

impl StreamSink {
    pub(super) fn stdout(cancel: &Cancel) -> Result<Box<dyn Sink>> {
        // An own descriptor: std's `Stdout` would buffer lines.
        let owned = io::stdout().as_fd().try_clone_to_owned();
        let file =
            File::from(owned.map_err(|error| output_error("standard output", "open", error))?);
        Self::open(file, "standard output".to_owned(), Reader::OfStdout, cancel)
    }

    /// Opens what stands under `path`; a FIFO waits here for its reader.
    pub(super) fn special_file(path: &Path, cancel: &Cancel) -> Result<Box<dyn Sink>> {
        let name = path.display().to_string();
        let file = OpenOptions::new().write(true).open(path);
        let file =
            file.map_err(|error| output_error(&name, "open", error).hint("may you write to it?"))?;
        Self::open(file, name, Reader::OfFile, cancel)
    }

    fn open(file: File, name: String, reader: Reader, cancel: &Cancel) -> Result<Box<dyn Sink>> {
        let failed = |error: io::Error| output_error(&name, "open", error);
        let kind = file.metadata().map_err(failed)?.file_type();
        if kind.is_fifo() || kind.is_socket() {
            let watched = file.try_clone().map_err(failed)?;
            let (gone, cancel) = (reader.gone(&name), cancel.clone());
            thread::spawn(move || {
                if wait_for_hang_up(&watched).is_ok() {
                    cancel.cancel(gone);
                }
            });
        }
        Ok(Box::new(Self { file, name, reader }))
    }
}

impl Sink for StreamSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .write_all(bytes)
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => self.reader.gone(&self.name),
                _ => output_error(&self.name, "write to", error)
                    .hint("what was written before is incomplete"),
            })
    }

    fn commit(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

impl Reader {
    fn gone(self, name: &str) -> Error {
        match self {
            Self::OfStdout => Error::new(
                ErrorKind::ReaderGone,
                "the reader of standard output has gone",
            ),
            Self::OfFile => output_error(name, "write to", "its reader has gone"),
        }
    }
}

/// Returns when nobody can read any more what is written to `file`.
fn wait_for_hang_up(file: &File) -> nix::Result<()> {
    loop {
        // POLLERR and POLLHUP come without being asked for (poll(2)).
        match poll(
            &mut [PollFd::new(file.as_fd(), PollFlags::empty())],
            PollTimeout::NONE,
        ) {
            Ok(0) | Err(nix::Error::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
