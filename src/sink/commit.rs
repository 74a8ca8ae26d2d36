//! The traits of sinks: a [`Sink`] takes the bytes of an export, and a [`Commit`]
//! makes the complete output visible.

use std::{
    fs::File,
    io::{Read, Seek},
    path::Path,
};

use super::{errors::output_error, spool::Completion};
use crate::{error::Result, format::CHUNK};

/// The destination of one export's bytes.
///
/// A sink of a regular file that is dropped without [`finish`](Self::finish)
/// leaves the earlier content of the file unchanged.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use gold_digger::{error::Result, sink::{Restart, Sink, Staged}};
///
/// /// Keeps the bytes in memory.
/// struct Memory(Arc<Mutex<Vec<u8>>>);
///
/// impl Sink for Memory {
///     fn write(&mut self, bytes: &[u8]) -> Result<()> {
///         if let Ok(mut memory) = self.0.lock() {
///             memory.extend_from_slice(bytes);
///         }
///         Ok(())
///     }
///     fn restart(&self) -> Restart {
///         Restart::Forbidden
///     }
///     fn finish(self: Box<Self>) -> Result<Staged> {
///         Ok(Staged::written())
///     }
/// }
/// ```
pub trait Sink: Send {
    /// Writes all `bytes` to the destination before it returns.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), or
    /// [`ErrorKind::ReaderGone`](crate::error::ErrorKind::ReaderGone) on standard
    /// output.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Writes all bytes of `file`, from its beginning.
    ///
    /// # Errors
    /// As [`write`](Self::write), and if the file cannot be read.
    fn append(&mut self, file: &mut File) -> Result<()> {
        append_by_reading(self, file)
    }

    /// Returns the number of bytes from which on a block ends with its row. Where it does,
    /// [`end_of_rows`](Self::end_of_rows) is called right behind the row.
    fn block_size(&self) -> u64 {
        u64::MAX
    }

    /// Tells that what has been written ends with a whole row, and what follows. A sink
    /// that keeps bytes back makes them visible where the next rows come later.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn end_of_rows(&mut self, _next: Next) -> Result<()> {
        Ok(())
    }

    /// Returns whether the export may start again after bytes have been written.
    fn restart(&self) -> Restart;

    /// Completes the output, which can then be committed.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output); a regular file then
    /// keeps its earlier content.
    fn finish(self: Box<Self>) -> Result<Staged>;
}

/// Writes all bytes of `file` to `sink`, in pieces.
pub(super) fn append_by_reading(sink: &mut (impl Sink + ?Sized), file: &mut File) -> Result<()> {
    let failed = |error: std::io::Error| {
        output_error("a part of the output", "read", &error).with_source(error)
    };
    file.rewind().map_err(failed)?;
    let mut bytes = vec![0; CHUNK];
    loop {
        match file.read(&mut bytes).map_err(failed)? {
            0 => return Ok(()),
            length => sink.write(&bytes[..length])?,
        }
    }
}

/// Makes a complete output visible. An output that is dropped without
/// [`commit`](Self::commit) is discarded.
pub trait Commit: Send {
    /// Checks whether the commit can succeed, as far as can be known before.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if it cannot.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Returns the path of the file that becomes visible, with symbolic links
    /// followed; `None` if the output is no file.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// Makes the output visible.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output); the target then
    /// keeps its earlier content, unless the message says otherwise.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// An output that is complete but not yet visible.
///
/// An output that is dropped without [`commit`](Self::commit) is discarded, unless
/// it is a stream.
pub struct Staged {
    state: State,
    sha256: Option<String>,
    stored_bytes: Option<u64>,
}

enum State {
    /// It was visible while it was written.
    Written,
    Ready(Box<dyn Commit>),
    /// Its last bytes are being sent.
    Awaited(Completion),
}

impl Staged {
    /// Creates the output of a stream, which was visible while it was written. There
    /// is nothing to commit or to discard.
    #[must_use]
    pub const fn written() -> Self {
        Self {
            state: State::Written,
            sha256: None,
            stored_bytes: None,
        }
    }

    /// Creates an output that `commit` makes visible. `sha256` is the SHA-256 of its
    /// bytes in hexadecimal digits, if it is known.
    #[must_use]
    pub fn new(commit: Box<dyn Commit>, sha256: Option<String>) -> Self {
        Self {
            state: State::Ready(commit),
            sha256,
            stored_bytes: None,
        }
    }

    /// Creates an output whose last bytes are still being sent.
    pub(super) const fn awaited(completion: Completion) -> Self {
        Self {
            state: State::Awaited(completion),
            sha256: None,
            stored_bytes: None,
        }
    }

    /// Whether its last bytes are still being sent.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        matches!(self.state, State::Awaited(_))
    }

    /// Waits until all of it is sent. Its path and its SHA-256 are known then.
    ///
    /// # Errors
    /// Those of [`Sink::write`] and [`Sink::finish`]; the cause, if the export is cancelled.
    pub fn complete(self) -> Result<Self> {
        let State::Awaited(completion) = self.state else {
            return Ok(self);
        };
        let complete = completion.wait()?;
        Ok(Self {
            state: complete.state,
            sha256: self.sha256.or(complete.sha256),
            stored_bytes: self.stored_bytes.or(complete.stored_bytes),
        })
    }

    /// Returns the output with the number of its bytes, which is another one than the
    /// number that the sink took.
    #[must_use]
    pub const fn stored_in(mut self, bytes: u64) -> Self {
        self.stored_bytes = Some(bytes);
        self
    }

    /// Returns the output with the SHA-256 of its bytes in hexadecimal digits, which the
    /// caller knows.
    pub(super) fn with_sha256(mut self, sha256: String) -> Self {
        self.sha256 = Some(sha256);
        self
    }

    /// Returns the number of the output's bytes, if it is another one than the number
    /// that the sink took.
    #[must_use]
    pub const fn stored_bytes(&self) -> Option<u64> {
        self.stored_bytes
    }

    /// Returns the SHA-256 of the bytes in hexadecimal digits, if it is known.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// Checks whether the commit can succeed, as far as can be known before.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if it cannot.
    pub fn check(&self) -> Result<()> {
        match &self.state {
            State::Ready(commit) => commit.check(),
            State::Written | State::Awaited(_) => Ok(()),
        }
    }

    /// Returns the path of the file that becomes visible, with symbolic links
    /// followed; `None` for a stream.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.state {
            State::Ready(commit) => commit.path(),
            State::Written | State::Awaited(_) => None,
        }
    }

    /// Makes the output visible.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output); a regular file then
    /// keeps its earlier content, unless the message says otherwise.
    pub fn commit(self) -> Result<()> {
        match self.state {
            State::Written => Ok(()),
            State::Ready(commit) => commit.commit(),
            State::Awaited(completion) => completion.wait()?.commit(),
        }
    }
}

/// What follows the rows so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Further rows, at once.
    Soon,
    /// Further rows after a pause, or none.
    Later,
    /// The next block: the one so far has the sink's size.
    Block,
}

/// Whether an export may start again after bytes have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It may: no reader has seen the bytes.
    Allowed,
    /// It may not: the bytes cannot be taken back.
    Forbidden,
}
