//! The spool of a run: keeps the bytes of its outputs between the server and destinations
//! that are slower, in memory and then in files, so that the server sends at its own pace
//! and is free when its last row has come.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::folder::Folder;
pub use self::{output::Completion, queue::Unsent};
use super::{Restart, Sink};
use crate::{cancel::CancelToken, error::Result, sync::lock};

mod folder;
mod output;
mod queue;

/// The largest number of outputs that are not yet sent: each has a thread. The next one
/// opens when one of them is.
const MAX_OUTPUTS: usize = 64;

/// The largest number of files and objects that are sent at a time: an object takes three
/// parts of 8 MiB in memory.
const MAX_SENDING: usize = 4;

/// How often a thread that waits looks whether its work is cancelled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Where bytes wait, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolOptions {
    /// The folder of the files. It is created if only its last part is missing.
    pub folder: PathBuf,
    /// The most bytes in memory, of all outputs together. A single write may be larger.
    pub memory: u64,
    /// The most bytes in files, of all outputs together.
    pub limit: u64,
    /// What happens when there is no room.
    pub full: SpoolFull,
}

/// What happens when the spool's limit is reached, or its disk is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum SpoolFull {
    /// The server waits until there is room, as it does without a spool
    #[default]
    Wait,
    /// The export fails
    Fail,
}

/// The spool of a run, which all its outputs share.
pub struct Spool {
    options: SpoolOptions,
    folder: Folder,
    used: Mutex<Used>,
    /// Notified when something is given back.
    freed: Condvar,
}

/// What the outputs use of the spool.
#[derive(Default)]
struct Used {
    memory: u64,
    disk: u64,
    outputs: usize,
    sending: usize,
}

impl Spool {
    /// Opens the spool, and checks that files can be made in its folder.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if they cannot.
    pub fn open(options: SpoolOptions) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            folder: Folder::open(&options.folder)?,
            options,
            used: Mutex::default(),
            freed: Condvar::new(),
        }))
    }

    /// Checks, as far as can be known without changing anything, that a spool with `options`
    /// can be opened.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if it cannot.
    pub fn check(options: &SpoolOptions) -> Result<()> {
        Folder::check(&options.folder)
    }

    /// Returns a sink before `sink`, called `name` in messages. What is written to it is
    /// sent by a thread of its own; `unsent` counts what is not. A write that fails cancels
    /// the export by `cancel`.
    ///
    /// # Errors
    /// [`ErrorKind::Output`](crate::error::ErrorKind::Output), if the system starts no
    /// thread; the cause, if the export is cancelled while the spool has too many outputs.
    pub fn before(
        self: &Arc<Self>,
        sink: Box<dyn Sink>,
        name: &str,
        unsent: &Unsent,
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        let wanted = Wanted {
            take: |used| {
                let is_free = used.outputs < MAX_OUTPUTS;
                used.outputs += usize::from(is_free);
                is_free
            },
            give_back: |used| used.outputs -= 1,
        };
        let place = Place::take(self, wanted, cancel, || false)?;
        output::open(self, place, sink, name, unsent, cancel)
    }

    /// Waits for the turn of an output to be sent, or until it `is_over`. Streams need none:
    /// the reader of one may wait for another one.
    fn turn(
        self: &Arc<Self>,
        restart: Restart,
        cancel: &CancelToken,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<Place>> {
        if restart == Restart::Forbidden {
            return Ok(None);
        }
        let wanted = Wanted {
            take: |used| {
                let is_free = used.sending < MAX_SENDING;
                used.sending += usize::from(is_free);
                is_free
            },
            give_back: |used| used.sending -= 1,
        };
        Place::take(self, wanted, cancel, is_over)
    }

    /// Takes memory for `bytes`, if there is some. One write may be larger than all of it.
    fn take_memory(&self, bytes: u64) -> bool {
        let mut used = lock(&self.used);
        let has_room = used.memory == 0 || used.memory + bytes <= self.options.memory;
        used.memory += if has_room { bytes } else { 0 };
        has_room
    }

    /// Takes room for `bytes` in files, if there is some.
    fn take_disk(&self, bytes: u64) -> bool {
        let mut used = lock(&self.used);
        let has_room = used.disk + bytes <= self.options.limit;
        used.disk += if has_room { bytes } else { 0 };
        has_room
    }

    fn give_back(&self, give_back: impl FnOnce(&mut Used)) {
        give_back(&mut lock(&self.used));
        self.freed.notify_all();
    }

    /// Waits until something has been given back, for a moment at most.
    fn wait<'a>(&self, used: MutexGuard<'a, Used>) -> MutexGuard<'a, Used> {
        let waited = self.freed.wait_timeout(used, POLL_INTERVAL);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A place in the spool.
#[derive(Clone, Copy)]
struct Wanted {
    /// Takes it, if it is free.
    take: fn(&mut Used) -> bool,
    give_back: fn(&mut Used),
}

/// A place that is given back on drop.
struct Place {
    spool: Arc<Spool>,
    give_back: fn(&mut Used),
}

impl Place {
    /// Waits until the place is free; `None` if the output `is_over` meanwhile.
    fn take(
        spool: &Arc<Spool>,
        wanted: Wanted,
        cancel: &CancelToken,
        is_over: impl Fn() -> bool,
    ) -> Result<Option<Self>> {
        let mut used = lock(&spool.used);
        while !(wanted.take)(&mut used) {
            if let Some(cause) = cancel.cause() {
                return Err(cause);
            }
            if is_over() {
                return Ok(None);
            }
            used = spool.wait(used);
        }
        Ok(Some(Self {
            spool: Arc::clone(spool),
            give_back: wanted.give_back,
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.spool.give_back(self.give_back);
    }
}
