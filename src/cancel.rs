//! Cancels work early, also while its thread is blocked on a server that does not
//! answer.
//!
//! A token keeps the first cause, interrupts the connection in use, discards the
//! uncommitted output, and decides between a cancellation and a commit: at most one
//! of the two happens. A signal, a closed pipe or a failed write cancels the token
//! of its work. A connection and an output register the hooks that interrupt and
//! discard them.
//!
//! Hooks are taken out under the token's lock and run outside it. A hook must not
//! call its token.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Result},
    sync::lock,
};
/// A shared handle that cancels a run, or one export of it. Cancelling a run
/// cancels its exports; cancelling one export leaves the others running.
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
    /// Notified when a cause is set.
    cancelled: Condvar,
    /// Held from before a connection is interrupted until its query is killed.
    aborting: Mutex<()>,
}

#[derive(Default)]
struct State {
    cause: Option<Error>,
    interrupt: Option<Arc<dyn Interrupt>>,
    discards: Vec<Box<dyn Discard>>,
    commit: CommitState,
    children: Vec<Weak<Shared>>,
}

/// Interrupts the work of another thread.
pub trait Interrupt: Send + Sync {
    /// Interrupts the work. It runs on the thread that cancels, and may block for
    /// a few seconds.
    fn interrupt(&self, scope: Scope) -> Interrupted;
}

/// What an interruption is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The query. The connection stays open if other work needs its session.
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
    /// Removes the output, or renames it to the path of partial output.
    fn discard(self: Box<Self>);
}

/// The state of an output's commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitState {
    /// The output is not visible.
    #[default]
    Pending,
    /// The output is becoming visible, which can no longer be stopped.
    Committing,
    /// The output is visible.
    Committed,
}

/// A commit that has begun: its token can no longer be cancelled.
#[must_use]
pub struct CommitGuard(CancelToken);

impl CommitGuard {
    /// Records that the output is visible.
    pub fn committed(self) {
        self.0.state().commit = CommitState::Committed;
    }
}

impl CancelToken {
    /// Creates a token that is not cancelled.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    fn aborting(&self) -> MutexGuard<'_, ()> {
        lock(&self.0.aborting)
    }

    /// Waits until another thread has killed the query that it is aborting. The
    /// process must not end before that.
    pub(crate) fn wait_for_abort(&self) {
        drop(self.aborting());
    }

    /// Creates a token for a part of this token's work.
    ///
    /// # Errors
    /// The cause, if this token is already cancelled.
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

    /// Cancels this token's work because of `cause`, unless its commit has begun.
    /// Only the first cause is kept.
    pub fn cancel(&self, cause: Error) {
        if self.set_cause(cause) {
            self.abort(Scope::Query);
        }
    }

    /// Cancels the work of this token and of all its children, and closes their
    /// connections.
    pub fn cancel_all(&self, cause: &Error) {
        if !self.set_cause(cause.clone()) {
            return;
        }
        // In parallel, because each may wait for a server that does not answer.
        thread::scope(|scope| {
            for child in self.children() {
                let cancel = move || child.cancel_all(cause);
                if thread::Builder::new()
                    .spawn_scoped(scope, cancel.clone())
                    .is_err()
                {
                    cancel();
                }
            }
            self.abort(Scope::Connection);
        });
    }

    /// Cancels the work of this token and of all its children, and leaves connections open
    /// whose sessions other work needs.
    pub(crate) fn cancel_with_children(&self, cause: &Error) {
        if self.set_cause(cause.clone()) {
            for child in self.children() {
                child.cancel(cause.clone());
            }
            self.abort(Scope::Query);
        }
    }

    /// Cancels the work of this token, and tells its children, whose work uses the connection
    /// of this one. A hook of one of them may call it.
    pub(crate) fn cancel_for_children(&self, cause: &Error) {
        if self.set_cause(cause.clone()) {
            for child in self.children() {
                child.set_cause(cause.clone());
            }
            self.abort(Scope::Query);
        }
    }

    /// Sets the cause, unless an earlier one is set. Returns `false` if the commit
    /// has begun, in which case the token is not cancelled.
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
    /// The cause, if the token is cancelled before that.
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

    /// Returns why the token was cancelled; `None` if it was not.
    #[must_use]
    pub fn cause(&self) -> Option<Error> {
        self.state().cause.clone()
    }

    /// Replaces the error of `result` by the cause of the cancellation, if the token
    /// was cancelled: the error is then its consequence.
    pub(crate) fn prefer_cause<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| self.cause().unwrap_or(error))
    }

    /// Registers the hook that interrupts the connection in use.
    ///
    /// # Errors
    /// The cause, if the token is already cancelled.
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

    /// Whether a connection is in use that has not been closed.
    pub(crate) fn has_connection(&self) -> bool {
        self.state().interrupt.is_some()
    }

    /// Removes the hook of the connection, before the connection is closed or used
    /// for other work. Waits for an interruption that has begun.
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
        // `deregister` waits for this lock, so that the hook's descriptor still
        // belongs to its connection while the hook runs.
        let _aborting = self.aborting();
        let Some(interrupt) = self.state().interrupt.clone() else {
            return;
        };
        if interrupt.interrupt(scope) == Interrupted::Connection {
            self.state().interrupt = None;
        }
    }

    /// Registers a hook that discards an output unless it is committed. There may be
    /// several: an export can have many files.
    pub fn on_discard(&self, discard: Box<dyn Discard>) {
        self.state().discards.push(discard);
    }

    /// Discards the uncommitted outputs of this token and of its children, because
    /// their own threads are stuck.
    pub fn discard_all(&self) {
        for child in self.children() {
            child.discard_all();
        }
        self.discard();
    }

    /// Discards the uncommitted outputs, if there are any.
    pub fn discard(&self) {
        let discards = std::mem::take(&mut self.state().discards);
        discards.into_iter().for_each(|discard| discard.discard());
    }

    /// Begins the commit of the output, or of all outputs of a run. From then on the
    /// token cannot be cancelled, and its hook does not discard the output.
    ///
    /// # Errors
    /// The cause, if the token is already cancelled.
    pub fn begin_commit(&self) -> Result<CommitGuard> {
        let mut state = self.state();
        if let Some(cause) = &state.cause {
            return Err(cause.clone());
        }
        state.commit = CommitState::Committing;
        let discards = std::mem::take(&mut state.discards);
        drop(state);
        // Outside the lock, because a hook may own a file.
        drop(discards);
        Ok(CommitGuard(self.clone()))
    }

    /// Returns the state of the output's commit.
    #[must_use]
    pub fn commit_state(&self) -> CommitState {
        self.state().commit
    }

    /// Returns whether the commit of this token, or of a child whose work has not
    /// ended, has begun.
    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.commit_state() != CommitState::Pending
            || self.children().iter().any(Self::is_committing)
    }
}
