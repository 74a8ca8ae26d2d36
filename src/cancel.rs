//! Ending early: what another thread needs in order to stop the run while its
//! own thread is blocked on a silent server.
//!
//! A run that stops early never drains its result. The socket is shut down,
//! which frees the thread that reads from it, the query is killed on the
//! server where that is safe, and the temporary file goes. Deciding when to
//! stop is left to the callers: signals, a reader that has gone, a failed
//! write.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    sink::Unfinished,
    source::LiveConnection,
};

/// A handle on one run, shared by the threads that may end it.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when there is a cause.
    cancelled: Condvar,
    /// Held from before a connection is cut until its query is killed.
    aborting: Mutex<()>,
}

#[derive(Default)]
struct State {
    cause: Option<Error>,
    connection: Option<LiveConnection>,
    unfinished: Option<Unfinished>,
    publication: Publication,
}

/// How far the output is on its way to its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publication {
    /// It has not got its name.
    #[default]
    Open,
    /// It is getting its name, which nothing can stop any more.
    UnderWay,
    /// It has its name.
    Done,
}

/// Whether a run could still be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It ends without an output.
    InTime,
    /// Its output is getting its name, or has it.
    TooLate,
}

impl Cancel {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to the state is one assignment, so that a panic
        // elsewhere cannot have left it half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aborting(&self) -> MutexGuard<'_, ()> {
        self.0
            .aborting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a query that another thread is aborting has been killed: the
    /// process must not end between the two.
    pub(crate) fn settle(&self) {
        drop(self.aborting());
    }

    /// Ends the run because of `cause`, unless it is too late; the first cause is
    /// the one reported.
    pub(crate) fn cancel(&self, cause: Error) -> Reached {
        {
            let mut state = self.state();
            if state.publication != Publication::Open {
                return Reached::TooLate;
            }
            state.cause.get_or_insert(cause);
            self.0.cancelled.notify_all();
        }
        self.abort_query();
        Reached::InTime
    }

    /// Waits for `time`.
    ///
    /// # Errors
    /// The cause, where the run is cancelled before.
    pub(crate) fn wait(&self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        let mut state = self.state();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match &state.cause {
                Some(cause) => return Err(cause.clone()),
                None if left.is_zero() => return Ok(()),
                None => {}
            }
            let waited = self.0.cancelled.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Why the run was cancelled, if it was.
    pub(crate) fn cause(&self) -> Option<Error> {
        self.state().cause.clone()
    }

    /// `result`, unless the run was cancelled: then that is what went wrong,
    /// whatever followed from it.
    pub(crate) fn explain<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.cause().unwrap_or(error))
    }

    /// Registers the connection in use.
    ///
    /// # Errors
    /// The cause, where the run was cancelled before.
    pub(crate) fn register(&self, connection: LiveConnection) -> Result<()> {
        let mut state = self.state();
        match &state.cause {
            Some(cause) => Err(cause.clone()),
            None => {
                state.connection = Some(connection);
                Ok(())
            }
        }
    }

    /// Forgets the connection; to be called before it is closed.
    pub(crate) fn release(&self) {
        self.state().connection = None;
    }

    /// Cuts the connection in use, if there is one, and kills its query.
    pub(crate) fn abort_query(&self) {
        let _aborting = self.aborting();
        let connection = {
            let mut state = self.state();
            let connection = state.connection.take();
            if let Some(connection) = &connection {
                // Under the lock: `release` waits, so the descriptor is still
                // this connection's.
                connection.shut_down();
            }
            connection
        };
        if let Some(connection) = connection {
            connection.kill_query();
        }
    }

    /// Registers the file to discard where the run gets to no end.
    pub(crate) fn set_unfinished(&self, unfinished: Unfinished) {
        self.state().unfinished = Some(unfinished);
    }

    /// Discards the unfinished file, if there is one; also in the place of a
    /// thread that is stuck.
    pub(crate) fn discard_unfinished(&self) {
        let unfinished = self.state().unfinished.take();
        if let Some(unfinished) = unfinished {
            unfinished.discard();
        }
    }

    /// Gives the finished file its name. From here on the run cannot be ended.
    /// Gives the folder, which is to be synced, where it may be read.
    ///
    /// # Errors
    /// The cause, where the run was cancelled before.
    pub(crate) fn publish(&self, target: &Path) -> Result<io::Result<Option<File>>> {
        let finished = {
            let mut state = self.state();
            if let Some(cause) = &state.cause {
                return Err(cause.clone());
            }
            state.publication = Publication::UnderWay;
            state.unfinished.take()
        };
        let Some(finished) = finished else {
            return Ok(Err(io::ErrorKind::NotFound.into()));
        };
        Ok(match finished.publish(target) {
            Ok(()) => {
                self.state().publication = Publication::Done;
                Ok(finished.into_folder())
            }
            Err(error) => {
                finished.discard();
                Err(error)
            }
        })
    }

    /// Whether the output has its name.
    pub(crate) fn publication(&self) -> Publication {
        self.state().publication
    }
}
