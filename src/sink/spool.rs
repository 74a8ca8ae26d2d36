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
use crate::{cancel::CancelToken, error::Result, sync::lock};

mod folder;
mod output;
mod queue;

/// The largest number of outputs that have all their bytes and are not yet sent. Each has a
/// thread, and an object three parts of 8 MiB in memory. The next one ends when one of them is
/// sent.
const MAX_ENDED: usize = 16;

/// How often a thread that waits looks whether its work is cancelled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Where bytes wait, and how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolOptions {
    /// The folder of the files. It is created if only its last part is missing.
    pub folder: PathBuf,
    /// The most bytes in memory, of all outputs together. Each output has one write besides.
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
    /// The outputs that have all their bytes.
    ended: usize,
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

    /// Waits until an output may be sent behind others.
    fn place(self: &Arc<Self>, cancel: &CancelToken) -> Result<Place> {
        let mut used = lock(&self.used);
        while used.ended >= MAX_ENDED {
            if let Some(cause) = cancel.cause() {
                return Err(cause);
            }
            used = self.wait(used);
        }
        used.ended += 1;
        Ok(Place(Arc::clone(self)))
    }

    /// Takes memory for `bytes`, if there is some, or if it `must` be.
    fn take_memory(&self, bytes: usize, must: bool) -> bool {
        let mut used = lock(&self.used);
        let has_room = must || used.memory + bytes as u64 <= self.options.memory;
        used.memory += if has_room { bytes as u64 } else { 0 };
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

/// The place of an output that has ended, until it is sent.
struct Place(Arc<Spool>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back(|used| used.ended -= 1);
    }
}
