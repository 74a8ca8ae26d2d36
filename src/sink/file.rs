//! A regular file: written beside its final name, synced, and renamed over it
//! once it is complete, so that readers see the earlier file or the whole new
//! one and nothing between.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
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
    Checksum, Commit, Restart, Sink, SinkOptions, Staged, check_replaceable, failure, folder,
    output_error,
    staged::{self, TempFile},
};
use crate::{
    cancel::{CancelToken, Discard},
    error::{Error, Result},
    text::hex,
};

/// After each so many bytes the file is synced, on a thread of its own.
/// Otherwise all of it would wait for the end.
const SYNC_EVERY: usize = 16 << 20;

/// How often it is looked whether the file is still there.
const WATCH: Duration = Duration::from_millis(500);

pub(super) struct FileSink {
    file: File,
    /// Bytes written since the last request to sync.
    unsynced: usize,
    /// For files that are not small.
    syncer: Option<Syncer>,
    /// The final name, behind symbolic links.
    path: PathBuf,
    /// The target as the user named it.
    name: String,
    /// Of all that was written, where that is wanted.
    hash: Option<digest::Context>,
    /// Dropped, it ends the watch over the file; before the file goes.
    _watcher: Sender<()>,
    /// Discards the file, unless something else has taken charge of it.
    temp_file: DiscardGuard,
}

/// Discards the temporary file when it is dropped, unless something else has.
struct DiscardGuard {
    cancel: CancelToken,
    file: TempFileSlot,
}

impl DiscardGuard {
    /// Lets `cancel` discard `file` too.
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
        // Nothing is left where it was committed.
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

/// A temporary file, until it is committed or discarded.
type TempFileSlot = Arc<Mutex<Option<TempFile>>>;

fn take(file: &TempFileSlot) -> Option<TempFile> {
    // Taking cannot panic, so that no change is half done.
    file.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A file that is complete and synced, and has not got its name.
struct StagedFile {
    /// Its final name, behind symbolic links.
    path: PathBuf,
    /// The target as the user named it.
    name: String,
    /// Open as long as it is to be locked.
    locked: File,
    temp_file: DiscardGuard,
}

impl Commit for StagedFile {
    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn check(&self) -> Result<()> {
        // Nobody watches over it any more.
        if self.locked.metadata().is_ok_and(|file| file.nlink() == 0) {
            return Err(removed(&self.name));
        }
        check_replaceable(&self.path)
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let commit = self.temp_file.cancel.begin_commit()?;
        let file = take(&self.temp_file.file).ok_or_else(|| io::ErrorKind::NotFound.into());
        let renamed = file.and_then(|file| file.rename(&self.path));
        let folder =
            renamed.map_err(|error| failure(&self.name, "rename the finished file to", error))?;
        commit.committed();
        // Without this, a power cut could undo the rename.
        let synced = folder.map_or(Ok(()), |folder| folder.sync_all());
        synced.map_err(|error| {
            output_error(&self.name, "sync the folder of", error)
                .with_hint("the file is complete and in place; a power cut now could undo that")
        })
    }
}

impl FileSink {
    /// Creates the file beside `path`, to which `named` leads.
    pub(super) fn create(
        named: &Path,
        path: &Path,
        options: SinkOptions,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        let name = named.display().to_string();
        // A rename does not ask; but whoever made it read-only wants it to stay.
        if let Err(error) = check_replaceable_by_me(path) {
            let hint = "it is read-only for you: make it writable, or remove it";
            return Err(output_error(&name, "replace", error).with_hint(hint));
        }
        let failed = |error: io::Error| {
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
            output_error(&name, "create", error).with_hint(hint)
        };
        staged::remove_stale_files(path);
        let (file, temp_file) = TempFile::create(path, options.partial).map_err(failed)?;
        let watcher = watch(temp_file.path().to_owned(), &name, cancel);
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
            _watcher: watcher,
            temp_file,
        }))
    }

    /// Has what is written so far sent to the disk. Waits where two requests are
    /// ahead: nothing may pile up that the end of a run would wait for.
    fn sync_early(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        // Without the thread, all is synced at the end.
        let start = || Syncer::start(&self.file).ok();
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
        let written = self.file.write_all(bytes);
        written.map_err(|error| failure(&self.name, "write to", error))?;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY {
            let synced = self.sync_early();
            synced.map_err(|error| failure(&self.name, "sync", error))?;
        }
        Ok(())
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
            temp_file,
            ..
        } = *self;
        let synced = syncer.map_or(Ok(()), Syncer::finish);
        let synced = synced.and_then(|()| file.sync_all());
        synced.map_err(|error| failure(&name, "sync", error))?;
        let staged = StagedFile {
            path,
            name,
            locked: file,
            temp_file,
        };
        let sha256 = hash.map(|hash| hex(hash.finish().as_ref()));
        Ok(Staged::new(Box::new(staged), sha256))
    }
}

/// Whether a file at `path`, if there is one, may be written, and may be replaced
/// in a folder where only its owner may (chmod(2), the sticky bit).
pub(super) fn check_replaceable_by_me(path: &Path) -> io::Result<()> {
    if let Err(error @ (Errno::EACCES | Errno::EROFS | Errno::EPERM)) =
        eaccess(path, AccessFlags::W_OK)
    {
        return Err(error.into());
    }
    if let (Ok(file), Ok(folder)) = (fs::symlink_metadata(path), fs::metadata(folder(path))) {
        let me = geteuid();
        let is_mine = me.is_root() || [file.uid(), folder.uid()].contains(&me.as_raw());
        if folder.mode() & STICKY != 0 && !is_mine {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
    }
    Ok(())
}

/// In a file's mode.
const STICKY: u32 = 0o1000;

/// Ends the run when the unfinished file has gone, as with its folder: nobody
/// should wait for a last row to hear so.
fn watch(path: PathBuf, name: &str, cancel: &CancelToken) -> Sender<()> {
    let gone = removed(name);
    let (watcher, ended) = mpsc::channel::<()>();
    let cancel = cancel.clone();
    // Where there is none, the end of the run notices.
    let _ = thread::Builder::new().spawn(move || {
        while ended.recv_timeout(WATCH) == Err(RecvTimeoutError::Timeout) {
            let is_gone = fs::symlink_metadata(&path)
                .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
            // Asked afterwards: whoever removes it in order ends the watch before.
            if is_gone && ended.try_recv() == Err(TryRecvError::Empty) {
                cancel.cancel(gone);
                return;
            }
        }
    });
    watcher
}

fn removed(name: &str) -> Error {
    output_error(name, "write to", "its unfinished file has been removed")
        .with_hint("has its folder been removed or renamed meanwhile?")
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
