//! The sink of a regular file: writes a temporary file in the target's folder,
//! syncs it, and renames it to the target once it is complete, so that readers see
//! either the earlier file or the whole new one.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError, Sender, SyncSender, TryRecvError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, eaccess, geteuid},
};
use ring::digest;

use super::{
    Checksum, Commit, Existing, Restart, Sink, SinkOptions, Staged, StaleFiles, check_absent,
    check_replaceable,
    commit::append_by_reading,
    errors::{READ_ONLY, io_error, output_error, path_error, write_error},
    folder,
    paths::{STICKY_BIT, check_owner},
    permissions::Permissions,
    temp_file::{self, TempFile},
};
use crate::{
    cancel::{CancelToken, Discard},
    error::{Error, Result},
    sync::lock,
    text::hex,
};

/// The file is synced in the background after every `SYNC_EVERY` bytes, so that
/// the final sync is short.
const SYNC_EVERY: usize = 16 << 20;

/// How often the watcher checks whether the temporary file still exists.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Writes a regular file.
pub(super) struct FileSink {
    file: File,
    /// The number of bytes written since the last request to sync.
    unsynced: usize,
    /// `None` until [`SYNC_EVERY`] bytes have been written.
    syncer: Option<Syncer>,
    /// The final path, with symbolic links followed.
    path: PathBuf,
    /// The target as the user named it.
    name: String,
    /// The hash of all bytes so far; `None` if no checksum is wanted.
    hash: Option<digest::Context>,
    existing: Existing,
    /// Stops the watcher when it is dropped, which is before the file is removed.
    watcher: Sender<()>,
    /// Discards the temporary file, unless it was committed or discarded before.
    temp_file: DiscardGuard,
}

/// Discards the temporary file on drop, unless it was committed or discarded
/// before.
struct DiscardGuard {
    cancel: CancelToken,
    file: TempFileSlot,
}

impl DiscardGuard {
    /// Guards `file`, and lets `cancel` discard it too.
    fn new(file: TempFile, cancel: &CancelToken) -> Self {
        let file: TempFileSlot = Arc::new(Mutex::new(Some(file)));
        cancel.on_discard(Box::new(DiscardHook(Arc::clone(&file))));
        Self {
            cancel: cancel.clone(),
            file,
        }
    }
}

impl Drop for DiscardGuard {
    fn drop(&mut self) {
        // The slot is empty after a commit.
        if let Some(file) = take(&self.file) {
            file.discard();
        }
    }
}

/// Lets another thread discard a temporary file.
struct DiscardHook(TempFileSlot);

impl Discard for DiscardHook {
    fn discard(self: Box<Self>) {
        if let Some(file) = take(&self.0) {
            file.discard();
        }
    }
}

/// A temporary file; `None` once it is committed or discarded.
type TempFileSlot = Arc<Mutex<Option<TempFile>>>;

/// Takes the temporary file out of `slot`, for the one thread that commits or
/// discards it.
fn take(slot: &TempFileSlot) -> Option<TempFile> {
    lock(slot).take()
}

/// A complete and synced file that is not yet renamed to its final path.
struct StagedFile {
    /// The final path, with symbolic links followed.
    path: PathBuf,
    /// The target as the user named it.
    name: String,
    /// Holds the lock that keeps other runs from removing the temporary file.
    locked: File,
    temp_file: DiscardGuard,
    existing: Existing,
}

impl Commit for StagedFile {
    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn check(&self) -> Result<()> {
        // The watcher has stopped, so a removal is noticed here, also that of the folder,
        // or its renaming.
        let is_at = |path: &Path| match (self.locked.metadata(), fs::symlink_metadata(path)) {
            (Ok(own), Ok(found)) => (own.dev(), own.ino()) == (found.dev(), found.ino()),
            _ => false,
        };
        if !lock(&self.temp_file.file)
            .as_ref()
            .is_some_and(|file| is_at(file.path()))
        {
            return Err(removed(&self.name));
        }
        if self.existing == Existing::Refuse {
            check_absent(&self.path)?;
        }
        check_replaceable(&self.path)
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let commit = self.temp_file.cancel.begin_commit()?;
        let file = take(&self.temp_file.file).ok_or_else(|| io::ErrorKind::NotFound.into());
        let renamed = file.and_then(|file| file.rename(&self.path, self.existing));
        let folder = renamed
            .map_err(|error| write_error(&self.name, "rename the finished file to", error))?;
        commit.committed();
        // Without this, a power cut could undo the rename.
        let synced = folder.map_or(Ok(()), |folder| folder.sync_all());
        synced.map_err(|error| {
            io_error(&self.name, "sync the folder of", error)
                .with_hint("the file is complete and in place; a power cut now could undo that")
        })
    }
}

impl FileSink {
    /// Creates the temporary file in the folder of `path`, and starts its watcher.
    /// `named` is the target as the user named it, and `path` is where its links
    /// lead. The file gets the permissions of the one at `model`, or else of the one at
    /// `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output).
    pub(super) fn create(
        named: &Path,
        path: &Path,
        model: Option<&Path>,
        options: SinkOptions,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        let name = named.display().to_string();
        // A rename ignores the target's mode, so a read-only target is refused here.
        if let Err(error) = check_replaceable_by_me(path) {
            return Err(path_error(&name, "replace", error, READ_ONLY));
        }
        if options.existing == Existing::Refuse {
            check_absent(path)?;
        }
        let failed = |error| creation_error(&name, error);
        if options.stale == StaleFiles::Remove {
            temp_file::remove_stale_files(path);
        }
        let create = || {
            let permissions = match model.map_or(Ok(None), Permissions::of)? {
                None => Permissions::of(path)?,
                found => found,
            };
            TempFile::create(path, permissions.as_ref(), options.partial)
        };
        let (file, temp_file) = create().map_err(failed)?;
        let watcher = watch_for_removal(temp_file.path().to_owned(), &name, cancel);
        let temp_file = DiscardGuard::new(temp_file, cancel);
        Ok(Box::new(Self {
            file,
            unsynced: 0,
            syncer: None,
            path: path.to_owned(),
            name,
            hash: match options.checksum {
                Checksum::None => None,
                Checksum::Sha256 => Some(digest::Context::new(&digest::SHA256)),
            },
            existing: options.existing,
            watcher,
            temp_file,
        }))
    }

    /// Has what has been written synced once it is much.
    fn count_unsynced(&mut self, bytes: usize) -> Result<()> {
        self.unsynced = self.unsynced.saturating_add(bytes);
        if self.unsynced < SYNC_EVERY {
            return Ok(());
        }
        let synced = self.request_sync();
        synced.map_err(|error| write_error(&self.name, "sync", error))
    }

    /// Requests a sync of all bytes so far. Blocks while two earlier requests are
    /// pending, so that the end of a run has little left to wait for.
    fn request_sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        // Without the thread, everything is synced at the end.
        let start = || Syncer::start(&self.file).ok();
        let Some(syncer) = self.syncer.take().or_else(start) else {
            return Ok(());
        };
        if syncer.requests.send(()).is_err() {
            // The thread has ended, which happens only after a failed sync.
            return syncer.finish();
        }
        self.syncer = Some(syncer);
        Ok(())
    }
}

impl Sink for FileSink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|error| write_error(&self.name, "write to", error))?;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.count_unsynced(bytes.len())
    }

    fn append(&mut self, file: &mut File) -> Result<()> {
        if self.hash.is_some() {
            return append_by_reading(self, file);
        }
        // Within one file system, the system copies, or only shares the blocks.
        let copied = file.rewind().and_then(|()| io::copy(file, &mut self.file));
        let copied = copied.map_err(|error| write_error(&self.name, "write to", error))?;
        self.count_unsynced(usize::try_from(copied).unwrap_or(usize::MAX))
    }

    fn restart(&self) -> Restart {
        Restart::Allowed
    }

    fn finish(self: Box<Self>) -> Result<Staged> {
        let Self {
            file,
            syncer,
            path,
            name,
            hash,
            existing,
            watcher,
            temp_file,
            ..
        } = *self;
        let synced = syncer.map_or(Ok(()), Syncer::finish);
        let synced = synced.and_then(|()| file.sync_all());
        // It would otherwise take the file's end after a failure for somebody's work.
        drop(watcher);
        synced.map_err(|error| write_error(&name, "sync", error))?;
        let staged = StagedFile {
            path,
            name,
            locked: file,
            temp_file,
            existing,
        };
        let sha256 = hash.map(|hash| hex(hash.finish().as_ref()));
        Ok(Staged::new(Box::new(staged), sha256))
    }
}

/// Returns the error of a file that cannot be created for `name`.
pub(super) fn creation_error(name: &str, error: io::Error) -> Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "create the folder first, or let --create-dirs do it",
        io::ErrorKind::PermissionDenied => {
            "its folder must be writable: the file is made there and then renamed"
        }
        _ if error.raw_os_error() == Some(Errno::EMFILE as i32) => {
            "allow the program more open files: ulimit -n"
        }
        _ => "is that a path for a file?",
    };
    io_error(name, "create", error).with_hint(hint)
}

/// Checks whether this process may write the file at `path`, if it exists, and may
/// replace it in a folder that has the sticky bit, where only the owner may
/// (chmod(2)).
///
/// # Errors
/// That of the system, or [`io::ErrorKind::PermissionDenied`]; those of
/// [`check_owner`], also for root.
pub(super) fn check_replaceable_by_me(path: &Path) -> io::Result<()> {
    check_owner(path)?;
    if let Err(error @ (Errno::EACCES | Errno::EROFS | Errno::EPERM)) =
        eaccess(path, AccessFlags::W_OK)
    {
        return Err(error.into());
    }
    if let (Ok(file), Ok(folder)) = (fs::symlink_metadata(path), fs::metadata(folder(path))) {
        let user = geteuid();
        let is_owner = user.is_root() || [file.uid(), folder.uid()].contains(&user.as_raw());
        if folder.mode() & STICKY_BIT != 0 && !is_owner {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

/// Starts a thread that cancels the run when the temporary file at `path` is
/// removed, for example together with its folder, instead of failing after the
/// last row. Dropping the returned sender stops the thread.
fn watch_for_removal(path: PathBuf, name: &str, cancel: &CancelToken) -> Sender<()> {
    let cause = removed(name);
    let (watcher, stopped) = mpsc::channel::<()>();
    let cancel = cancel.clone();
    // Without the thread, the removal is noticed at the end of the run.
    let _ = thread::Builder::new().spawn(move || {
        while stopped.recv_timeout(WATCH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let is_removed = fs::symlink_metadata(&path)
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            // Checked second: an orderly removal stops the watcher first.
            if is_removed && stopped.try_recv() == Err(TryRecvError::Empty) {
                cancel.cancel(cause);
                return;
            }
        }
    });
    watcher
}

/// Returns the error of a temporary file that another process has removed.
fn removed(name: &str) -> Error {
    output_error(name, "write to", "its unfinished file has been removed")
        .with_hint("has its folder been removed or renamed meanwhile?")
}

/// A thread that syncs the file while rows are still arriving.
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

    /// Waits for all requested syncs. The system reports a write-back failure only
    /// once, so a failure here must fail the export.
    fn finish(self) -> io::Result<()> {
        drop(self.requests);
        let panicked = |_| Err(io::Error::other("the thread that syncs has failed"));
        self.thread.join().unwrap_or_else(panicked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{Target, open};

    #[test]
    fn a_file_that_appears_meanwhile_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x.csv");
        let options = SinkOptions {
            existing: Existing::Refuse,
            ..SinkOptions::default()
        };
        let cancel = CancelToken::new();
        let open = || open(&Target::file(&path), options, &cancel);
        let write = || {
            let mut sink = open().expect("a sink");
            sink.write(b"new").expect("written");
            sink.finish().expect("finished")
        };
        let (one, two) = (write(), write());
        assert!(one.check().is_ok());
        one.commit().expect("published");
        // The commit itself refuses it, too: both may have checked before.
        let checked = two.check().err().map(|error| error.message().to_owned());
        let problem = format!("cannot create {}: it is there already", path.display());
        assert_eq!(checked, Some(problem));
        assert!(two.commit().is_err());
        assert!(open().is_err());
        let names: Vec<_> = fs::read_dir(&folder).expect("a folder").collect();
        assert_eq!(names.len(), 1);
        assert_eq!(fs::read(&path).expect("a file"), b"new");
    }
}
