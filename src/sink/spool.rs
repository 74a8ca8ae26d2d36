//! A file without a name, which holds a part of an output until it is joined to the others.
//! It is gone when the program ends, however that is.

use std::{fs::File, io::Write, path::Path};

use nix::errno::Errno;

use super::{
    Restart, Sink, Staged, Target,
    errors::{io_error, write_error},
    folder,
    paths::follow_links,
};
use crate::error::Result;

/// Opens a spool for a part of `target`, and returns the file beside its sink. It is in the
/// folder of the target, which has the room and from which the file system can copy without
/// reading; where temporary files are, if the target is no regular file.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if there can be no file.
pub fn spool(target: &Target) -> Result<(Box<dyn Sink>, File)> {
    let name = format!("a part of {target}");
    let temporary = std::env::temp_dir();
    let path = target.path().filter(|path| !super::is_stream(path));
    let resolved = path.and_then(|path| follow_links(path).ok());
    let place: &Path = resolved.as_deref().map_or(&temporary, folder);
    let file = tempfile::tempfile_in(place).and_then(|file| Ok((file.try_clone()?, file)));
    let (file, shared) = file.map_err(|error| match error.raw_os_error() {
        Some(code) if code == Errno::EMFILE as i32 => io_error(&name, "create", error)
            .with_hint("allow the program more open files (ulimit -n), or make fewer chunks"),
        _ => write_error(&name, "create", error),
    })?;
    Ok((Box::new(SpoolSink { file, name }), shared))
}

struct SpoolSink {
    file: File,
    name: String,
}

impl Sink for SpoolSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| write_error(&self.name, "write to", error))
    }

    fn restart(&self) -> Restart {
        Restart::Allowed
    }

    fn finish(self: Box<Self>) -> Result<Staged> {
        Ok(Staged::written())
    }
}
