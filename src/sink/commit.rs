//! Destinations of bytes, and how their output becomes visible.

use std::path::Path;

use crate::error::Result;

/// A destination of one export's bytes.
///
/// Dropped without [`finish`](Self::finish), it leaves the earlier content of a
/// regular file as it was.
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
    /// Hands `bytes` to the destination before it returns.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), or
    /// [`ErrorKind::ReaderGone`](crate::error::ErrorKind::ReaderGone) on standard
    /// output.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Whether another attempt may begin after something has been written.
    fn restart(&self) -> Restart;

    /// Completes the output, which can then be committed.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output); a regular file
    /// then has its earlier content.
    fn finish(self: Box<Self>) -> Result<Staged>;
}

/// Makes a complete output visible. Dropped without
/// [`commit`](Self::commit), it is discarded.
pub trait Commit: Send {
    /// Checks whether the commit can succeed, as far as can be known before.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// The file that appears, behind symbolic links; `None` where it is no file.
    fn path(&self) -> Option<&Path> {
        None
    }

    /// Makes the output visible.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output); the target then
    /// has its earlier content, unless the message says otherwise.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// An output that is complete, and not yet visible.
///
/// Dropped without [`commit`](Self::commit), it is discarded, unless it is a
/// stream.
pub struct Staged {
    commit: Option<Box<dyn Commit>>,
    sha256: Option<String>,
}

impl Staged {
    /// An output that was visible while it was written: a stream. There is
    /// nothing to commit or to discard.
    #[must_use]
    pub const fn written() -> Self {
        Self {
            commit: None,
            sha256: None,
        }
    }

    /// An output that `commit` makes visible. `sha256` is that of its bytes, in
    /// hexadecimal digits, if it is known.
    #[must_use]
    pub fn new(commit: Box<dyn Commit>, sha256: Option<String>) -> Self {
        Self {
            commit: Some(commit),
            sha256,
        }
    }

    /// The SHA-256 of its bytes, in hexadecimal digits, if it is known.
    #[must_use]
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    /// Checks whether the commit can succeed, as far as can be known before.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
    pub fn check(&self) -> Result<()> {
        self.commit.as_ref().map_or(Ok(()), |commit| commit.check())
    }

    /// The file that appears, behind symbolic links; `None` for a stream.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.commit.as_ref()?.path()
    }

    /// Makes the output visible.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output); a regular file
    /// then has its earlier content, unless the message says otherwise.
    pub fn commit(self) -> Result<()> {
        self.commit.map_or(Ok(()), |commit| commit.commit())
    }
}

/// Whether another attempt may begin after something has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It may: nobody has seen what was written.
    Allowed,
    /// It may not: what was written cannot be taken back.
    Forbidden,
}
