//! Ends work early, also where its own thread is blocked on a silent server.
//!
//! A token keeps the first cause, interrupts the connection in use, discards the
//! uncommitted output, and decides between a cancellation and a commit: the two
//! never both happen. Whoever ends work (a signal, a closed pipe, a failed write)
//! cancels its token; what is to be interrupted and discarded registers itself.
//!
//! Hooks are taken out under the token's lock and run outside it. A hook must not
//! call its token.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crate::error::{Error, Result};

/// A shared handle that ends a run, or one export of it. Cancelling a run
/// cancels its exports; the cancellation of one export is its own.
///
/// ```
/// use gold_digger::{cancel::CancelToken, error::{Error, ErrorKind, Signal}};
///
/// let token = CancelToken::new();
/// let other_thread = token.clone();
/// other_thread.cancel_all(&Error::new(ErrorKind::Signal(Signal::Interrupt), "enough"));
/// assert_eq!(token.cause().map(|cause| cause.message().to_owned()).as_deref(), Some("enough"));
/// ```
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when there is a cause.
    cancelled: Condvar,
    /// Held from before a connection is interrupted until its query is killed.
    aborting: Mutex<()>,
}

#[derive(Default)]
struct State {
    cause: Option<Error>,
    interrupt: Option<Arc<dyn Interrupt>>,
    discard: Option<Box<dyn Discard>>,
    commit: CommitState,
    children: Vec<Weak<Shared>>,
}

/// Interrupts work that another thread does.
pub trait Interrupt: Send + Sync {
    /// Ends the work. It runs on the thread that cancels, and may block for a
    /// second at most.
    fn interrupt(&self, scope: Scope) -> Interrupted;
}

/// What is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The query. The connection stays open where other work needs its session.
    Query,
    /// The connection.
    Connection,
}

/// What an interruption has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// The query; the rest of its result can be read to the end.
    Query,
    /// The connection, which must not be interrupted again.
    Connection,
}

/// Discards an uncommitted output.
pub trait Discard: Send {
    /// Removes the output, or keeps it under another name.
    fn discard(self: Box<Self>);
}

/// The state of an output's commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitState {
    /// The output is not visible.
    #[default]
    Pending,
    /// The output becomes visible, which nothing can stop any more.
    Committing,
    /// The output is visible.
    Committed,
}

/// A commit that has begun: the token cannot be cancelled any more.
#[must_use]
pub struct CommitGuard(CancelToken);

impl CommitGuard {
    /// Records that the output is visible.
    pub fn committed(self) {
        self.0.state().commit = CommitState::Committed;
    }
}

impl CancelToken {
    /// A token that nobody has cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

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
    pub(crate) fn wait_for_abort(&self) {
        drop(self.aborting());
    }

    /// A token for a part of this one's work.
    ///
    /// # Errors
    /// The cause, where this token was cancelled before.
    pub fn child(&self) -> Result<Self> {
        let child = Self::default();
        let mut state = self.state();
        if let Some(cause) = &state.cause {
            return Err(cause.clone());
        }
        state.children.retain(|child| child.strong_count() > 0);
        state.children.push(Arc::downgrade(&child.0));
        Ok(child)
    }

    fn children(&self) -> Vec<Self> {
        let state = self.state();
        let children = state.children.iter().filter_map(Weak::upgrade);
        children.map(Self).collect()
    }

    /// Ends this token's work because of `cause`, unless its commit has begun.
    /// The first cause is the one that is reported.
    pub fn cancel(&self, cause: Error) {
        if self.set_cause(cause) {
            self.abort(Scope::Query);
        }
    }

    /// Ends this token's work with that of all its children and their
    /// connections.
    pub fn cancel_all(&self, cause: &Error) {
        if !self.set_cause(cause.clone()) {
            return;
        }
        // In parallel: each may wait for a server that does not answer.
        thread::scope(|scope| {
            for child in self.children() {
                let end = move || child.cancel_all(cause);
                if thread::Builder::new()
                    .spawn_scoped(scope, end.clone())
                    .is_err()
                {
                    end();
                }
            }
            self.abort(Scope::Connection);
        });
    }

    /// Returns whether the cause came before the commit.
    fn set_cause(&self, cause: Error) -> bool {
        let mut state = self.state();
        if state.commit != CommitState::Pending {
            return false;
        }
        state.cause.get_or_insert(cause);
        self.0.cancelled.notify_all();
        true
    }

    /// Waits for `time`.
    ///
    /// # Errors
    /// The cause, where the token is cancelled before.
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

    /// Why the token was cancelled; `None` if it was not.
    #[must_use]
    pub fn cause(&self) -> Option<Error> {
        self.state().cause.clone()
    }

    /// Replaces the error of `result` by the cause of a cancellation, if there
    /// was one: the error is its consequence.
    pub(crate) fn prefer_cause<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.cause().unwrap_or(error))
    }

    /// Registers what interrupts the connection in use.
    ///
    /// # Errors
    /// The cause, where the token was cancelled before.
    pub fn on_interrupt(&self, interrupt: Arc<dyn Interrupt>) -> Result<()> {
        let mut state = self.state();
        match &state.cause {
            Some(cause) => Err(cause.clone()),
            None => {
                state.interrupt = Some(interrupt);
                Ok(())
            }
        }
    }

    /// Forgets the connection, before it is closed or used for something else. An
    /// interruption that has begun is waited for.
    pub fn deregister(&self) {
        let _aborting = self.aborting();
        self.state().interrupt = None;
    }

    /// Kills the query of the connection in use, if there is one, and closes the
    /// connection unless other work needs its session.
    pub(crate) fn abort_query(&self) {
        self.abort(Scope::Query);
    }

    /// Closes the connection in use, if there is one, and kills its query.
    pub(crate) fn close_connection(&self) {
        self.abort(Scope::Connection);
    }

    fn abort(&self, scope: Scope) {
        // `deregister` waits for this lock, so that the hook's descriptor is still
        // that of its connection while it runs.
        let _aborting = self.aborting();
        let Some(interrupt) = self.state().interrupt.clone() else {
            return;
        };
        if interrupt.interrupt(scope) == Interrupted::Connection {
            self.state().interrupt = None;
        }
    }

    /// Registers what discards the output where it is not committed.
    pub fn on_discard(&self, discard: Box<dyn Discard>) {
        self.state().discard = Some(discard);
    }

    /// Discards the uncommitted outputs of this token and of its children, in the
    /// place of threads that are stuck.
    pub fn discard_all(&self) {
        for child in self.children() {
            child.discard_all();
        }
        self.discard();
    }

    /// Discards the uncommitted output, if there is one.
    pub fn discard(&self) {
        let discard = self.state().discard.take();
        if let Some(discard) = discard {
            discard.discard();
        }
    }

    /// Begins the commit of the output, or of all outputs of a run. The token
    /// cannot be cancelled from here on, and the output is not discarded.
    ///
    /// # Errors
    /// The cause, where the token was cancelled before.
    pub fn begin_commit(&self) -> Result<CommitGuard> {
        let mut state = self.state();
        if let Some(cause) = &state.cause {
            return Err(cause.clone());
        }
        state.commit = CommitState::Committing;
        let discard = state.discard.take();
        drop(state);
        // Outside the lock, as it may own a file.
        drop(discard);
        Ok(CommitGuard(self.clone()))
    }

    /// The state of the output's commit.
    #[must_use]
    pub fn commit_state(&self) -> CommitState {
        self.state().commit
    }

    /// Whether a commit of this token or of a child has begun, and its work has
    /// not ended.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.commit_state() != CommitState::Pending
            || self.children().iter().any(Self::is_committing)
    }
}
