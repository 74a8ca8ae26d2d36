//! A regular file: written beside its final name, synced, and renamed over it
//! once it is complete, so that readers see the earlier file or the whole new
//! one and nothing between.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, fchown},
    },
    path::{Path, PathBuf},
    sync::mpsc::{self, SyncSender},
    thread::{self, JoinHandle},
};

use tempfile::NamedTempFile;

use super::{Sink, folder, output_error};
use crate::{cancel::Cancel, error::Result};

/// The part of the final name that the temporary one repeats: file names are
/// limited to 255 bytes.
const NAME_PART: usize = 200;

/// After each so many bytes the file is synced, on a thread of its own.
/// Otherwise all of it would wait for the end.
const SYNC_EVERY: usize = 16 << 20;

pub(super) struct FileSink {
    temporary: NamedTempFile,
    /// Bytes written since the last request to sync.
    unsynced: usize,
    /// For files that are not small.
    syncer: Option<Syncer>,
    /// The final name, behind symbolic links.
    path: PathBuf,
    /// The folder of both, to be synced; none where it may not be read.
    folder: Option<File>,
    /// The target as the user named it.
    name: String,
    cancel: Cancel,
}

impl FileSink {
    /// Creates the temporary file beside `path`, to which `named` leads.
    pub(super) fn create(named: &Path, path: &Path, cancel: &Cancel) -> Result<Box<dyn Sink>> {
        let name = named.display().to_string();
        let failed = |error: io::Error| {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "create the folder first, or let --create-dirs do it",
                io::ErrorKind::PermissionDenied => {
                    "its folder must be writable: the file is made there and then renamed"
                }
                _ => "is that a path for a file?",
            };
            output_error(&name, "create", error).hint(hint)
        };
        let temporary = create_beside(path).map_err(failed)?;
        cancel.set_temporary(Some(temporary.path().to_owned()));
        let folder = match File::open(folder(path)) {
            Ok(folder) => Some(folder),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            Err(error) => return Err(failed(error)),
        };
        Ok(Box::new(Self {
            temporary,
            unsynced: 0,
            syncer: None,
            path: path.to_owned(),
            folder,
            name,
            cancel: cancel.clone(),
        }))
    }

    /// Has what is written so far sent to the disk. Waits where two requests are
    /// ahead: nothing may pile up that the end of a run would wait for.
    fn sync_early(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        // Without the thread, all is synced at the end.
        let start = || Syncer::start(self.temporary.as_file()).ok();
        let Some(syncer) = self.syncer.take().or_else(start) else {
            return Ok(());
        };
        if syncer.requests.send(()).is_err() {
            // It has ended, which only a failure makes it do.
            return syncer.finish();
        }
        self.syncer = Some(syncer);
        Ok(())
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut written = self.temporary.as_file_mut().write_all(bytes);
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY {
            written = written.and_then(|()| self.sync_early());
        }
        written.map_err(|error| output_error(&self.name, "write to", error).hint(LEFT_AS_IT_WAS))
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let failed = |verb, error| output_error(&self.name, verb, error).hint(LEFT_AS_IT_WAS);
        let synced = self.syncer.map_or(Ok(()), Syncer::finish);
        let synced = synced.and_then(|()| self.temporary.as_file().sync_all());
        synced.map_err(|error| failed("sync", error))?;
        let renamed = self.temporary.persist(&self.path);
        self.cancel.set_temporary(None);
        renamed.map_err(|refused| {
            output_error(&self.name, "rename the finished file to", refused.error)
                .hint(LEFT_AS_IT_WAS)
        })?;
        // Without this, a power cut could undo the rename.
        let synced = self.folder.map_or(Ok(()), |folder| folder.sync_all());
        synced.map_err(|error| {
            output_error(&self.name, "sync the folder of", error)
                .hint("the file is complete and in place")
        })
    }
}

/// A thread that has what is written sent to the disk while rows still come.
struct Syncer {
    requests: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Syncer {
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (requests, received) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .spawn(move || received.into_iter().try_for_each(|()| file.sync_data()))?;
        Ok(Self { requests, thread })
    }

    /// Waits for what is under way. The system tells a failure once, so that
    /// one here must fail the whole.
    fn finish(self) -> io::Result<()> {
        drop(self.requests);
        let panicked = |_| Err(io::Error::other("the thread that syncs has failed"));
        self.thread.join().unwrap_or_else(panicked)
    }
}

const LEFT_AS_IT_WAS: &str =
    "nothing was published under that name; an earlier file there is as it was";

/// A temporary file in the folder of `path`, with the permissions of the file
/// that it will replace, else those that the umask leaves.
fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let name = name.as_bytes();
    let mut prefix = OsString::from(".");
    prefix.push(OsStr::from_bytes(&name[..name.len().min(NAME_PART)]));
    prefix.push(".");
    // `make_in`, as its own way of opening adds its path to every error.
    let temporary = tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(".gold_digger")
        .make_in(folder(path), |path| {
            OpenOptions::new().write(true).create_new(true).open(path)
        })?;
    if let Ok(earlier) = fs::metadata(path) {
        let file = temporary.as_file();
        // Only root may give a file away, but its owner may choose among his
        // groups; where neither is allowed, the new file is the caller's.
        if fchown(file, Some(earlier.uid()), Some(earlier.gid())).is_err() {
            let _ = fchown(file, None, Some(earlier.gid()));
        }
        file.set_permissions(earlier.permissions())?;
    }
    Ok(temporary)
}
