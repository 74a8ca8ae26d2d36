//! Where bytes go. The only place of the program that writes output, and the
//! one that decides when a target appears.

use std::fs;

use crate::{
    cancel::Cancel,
    config::Target,
    error::{Error, ErrorKind, Result},
};

mod file;
mod stream;

/// A destination for one export's bytes.
///
/// Dropped without [`commit`](Self::commit), it leaves a regular file's earlier
/// content as it was.
pub trait Sink {
    /// Hands `bytes` to the operating system before it returns.
    ///
    /// # Errors
    /// [`ErrorKind::Output`], or [`ErrorKind::ReaderGone`] on standard output.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes the output final.
    ///
    /// # Errors
    /// [`ErrorKind::Output`]; a regular file then has its earlier content.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// Opens `target`: a regular file, present or not, is written whole or not at
/// all; everything else (standard output, a FIFO, a device) directly.
///
/// # Errors
/// [`ErrorKind::Output`], naming the target and what to look at.
pub fn open(target: &Target, cancel: &Cancel) -> Result<Box<dyn Sink>> {
    let path = match target {
        Target::Stdout => return stream::StreamSink::stdout(cancel),
        Target::Path(path) => path,
    };
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(output_error(path.display(), "open", "it is a directory").hint("name a file in it"))
        }
        Ok(found) if !found.is_file() => stream::StreamSink::special_file(path, cancel),
        // Not there yet, or not to be seen: creating the file will tell.
        Ok(_) | Err(_) => file::FileSink::create(path, cancel),
    }
}

fn output_error(target: impl std::fmt::Display, verb: &str, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Output, format!("cannot {verb} {target}: {what}"))
}
