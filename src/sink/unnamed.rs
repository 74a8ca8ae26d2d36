//! A file without a name, which holds a part of an output until it is joined to the others.
//! It is gone when the program ends, however that is.

use std::{fs::File, io::Write};

use super::{
    CreateDirs, Restart, Sink, Staged, Target, check_replaceable, errors::write_error,
    file::creation_error, folder, is_object, is_stream, make_folder_of, paths::follow_links,
};
use crate::error::Result;

/// Opens a file without a name for a part of `target`, and returns it beside its sink. It is in the
/// folder of the target, which has the room and from which the file system can copy without
/// reading; where temporary files are, if the target is no regular file. The folder is
/// created if `create_dirs` says so.
///
/// # Errors
/// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if there can be no file, or if
/// the target cannot be replaced.
pub fn unnamed(target: &Target, create_dirs: CreateDirs) -> Result<(Box<dyn Sink>, File)> {
    let name = target.to_string();
    let failed = |error| creation_error(&name, error);
    let place = match target
        .path()
        .filter(|path| !is_stream(path) && !is_object(path))
    {
        Some(named) => {
            let path = follow_links(named).map_err(failed)?;
            make_folder_of(named, &path, create_dirs)?;
            check_replaceable(named)?;
            folder(&path).to_owned()
        }
        None => std::env::temp_dir(),
    };
    let file = tempfile::tempfile_in(place).and_then(|file| Ok((file.try_clone()?, file)));
    let (file, shared) = file.map_err(failed)?;
    Ok((Box::new(UnnamedSink { file, name }), shared))
}

struct UnnamedSink {
    file: File,
    name: String,
}

impl Sink for UnnamedSink {
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
