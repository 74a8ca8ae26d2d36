//! Ending early: what another thread needs in order to stop the run while its
//! own thread is blocked on a silent server.
//!
//! A run that stops early never drains its result. The socket is shut down,
//! which frees the thread that reads from it, the query is killed on the
//! server where that is safe, and the temporary file goes. Deciding when to
//! stop is left to the callers: signals, a reader that has gone, a failed
//! write.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    error::{Error, Result},
    source::LiveConnection,
};

/// A handle on one run, shared by the threads that may end it.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Held from before a connection is cut until its query is killed.
    aborting: Mutex<()>,
}

#[derive(Default)]
struct State {
    cause: Option<Error>,
    connection: Option<LiveConnection>,
    temporary: Option<PathBuf>,
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

    /// Ends the run because of `cause`; the first cause is the one reported.
    pub fn cancel(&self, cause: Error) {
        self.state().cause.get_or_insert(cause);
        self.abort_query();
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

    /// Registers the temporary file to remove, or with `None` that it is gone.
    pub(crate) fn set_temporary(&self, path: Option<PathBuf>) {
        self.state().temporary = path;
    }

    /// Removes the temporary file in the place of a thread that is stuck.
    pub(crate) fn remove_temporary(&self) {
        if let Some(path) = self.state().temporary.take() {
            // Nothing is left to report it to: the run ends with its cause.
            let _ = fs::remove_file(path);
        }
    }
}
