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
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    sink::Unfinished,
    source::LiveConnection,
};

/// A handle on a run or on one export of it, shared by the threads that may end
/// it. Ending a run ends its exports; the end of one export is its own.
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
    parts: Vec<Weak<Shared>>,
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

/// What becomes of a connection whose query is to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    /// It is cut.
    Ends,
    /// It is used on, where others of the run need its session.
    MayStay,
}

impl Cancel {
    fn state(&self) -> MutexGuard<'_, State> {
        // No change to the state can panic, so that none is half done.
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

    /// A handle on a part of what this one ends.
    ///
    /// # Errors
    /// The cause, where this was cancelled before.
    pub(crate) fn part(&self) -> Result<Self> {
        let part = Self::default();
        let mut state = self.state();
        if let Some(cause) = &state.cause {
            return Err(cause.clone());
        }
        state.parts.retain(|part| part.strong_count() > 0);
        state.parts.push(Arc::downgrade(&part.0));
        Ok(part)
    }

    fn parts(&self) -> Vec<Self> {
        let state = self.state();
        let parts = state.parts.iter().filter_map(Weak::upgrade);
        parts.map(Self).collect()
    }

    /// Ends what this stands for because of `cause`, unless its output is getting
    /// its name, or has it; the first cause is the one reported.
    pub(crate) fn cancel(&self, cause: Error) {
        if self.set_cause(cause) {
            self.abort(Connection::MayStay);
        }
    }

    /// The same for a run with all its parts and their connections.
    pub(crate) fn cancel_run(&self, cause: &Error) {
        if !self.set_cause(cause.clone()) {
            return;
        }
        // Side by side: each may wait for a server that does not answer.
        thread::scope(|scope| {
            for part in self.parts() {
                let end = move || part.cancel_run(cause);
                if thread::Builder::new()
                    .spawn_scoped(scope, end.clone())
                    .is_err()
                {
                    end();
                }
            }
            self.abort(Connection::Ends);
        });
    }

    /// Whether it was in time.
    fn set_cause(&self, cause: Error) -> bool {
        let mut state = self.state();
        if state.publication != Publication::Open {
            return false;
        }
        state.cause.get_or_insert(cause);
        self.0.cancelled.notify_all();
        true
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

    /// Forgets the connection; to be called before it is closed, or used for
    /// something else: a query that is being killed is waited for.
    pub(crate) fn release(&self) {
        let _aborting = self.aborting();
        self.state().connection = None;
    }

    /// Kills the query of the connection in use, if there is one. The connection
    /// is cut, but for one whose session others of the run need: then what is
    /// left of the result can be read to its end.
    pub(crate) fn abort_query(&self) {
        self.abort(Connection::MayStay);
    }

    /// Cuts the connection in use, if there is one, and kills its query.
    pub(crate) fn cut(&self) {
        self.abort(Connection::Ends);
    }

    fn abort(&self, end: Connection) {
        let _aborting = self.aborting();
        let Some(connection) = self.state().connection.clone() else {
            return;
        };
        if end == Connection::MayStay && connection.is_shared() && connection.kill_query() {
            return;
        }
        {
            let mut state = self.state();
            if state.connection.take().is_none() {
                return;
            }
            // Under the lock: `release` waits, so the descriptor is still this
            // connection's.
            connection.shut_down();
        }
        connection.kill_query();
    }

    /// Registers the file to discard where the run gets to no end.
    pub(crate) fn set_unfinished(&self, unfinished: Unfinished) {
        self.state().unfinished = Some(unfinished);
    }

    /// Discards the unfinished files of this and of its parts, in the place of
    /// threads that are stuck.
    pub(crate) fn discard_all(&self) {
        for part in self.parts() {
            part.discard_all();
        }
        self.discard_unfinished();
    }

    /// Discards the unfinished file, if there is one.
    pub(crate) fn discard_unfinished(&self) {
        let unfinished = self.state().unfinished.take();
        if let Some(unfinished) = unfinished {
            unfinished.discard();
        }
    }

    /// Gives the finished file its name. From here on this cannot be ended. Gives
    /// the folder, which is to be synced, where it may be read.
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

    /// From here on the run cannot be ended: all its outputs get their names.
    ///
    /// # Errors
    /// The cause, where the run was cancelled before.
    pub(crate) fn begin_publication(&self) -> Result<()> {
        let mut state = self.state();
        match &state.cause {
            Some(cause) => Err(cause.clone()),
            None => {
                state.publication = Publication::UnderWay;
                Ok(())
            }
        }
    }

    /// Whether an output is getting its name, or has it, and its work has not
    /// ended.
    pub(crate) fn is_publishing(&self) -> bool {
        self.publication() != Publication::Open || self.parts().iter().any(Self::is_publishing)
    }
}
