//! The threads of a run: each takes exports and chunks from the queue, one after the other,
//! and others end exports whose output is still being sent.

use std::{
    mem,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, Scope, ScopedJoinHandle},
};

use super::{Runner, chunks::Job};
use crate::{
    artifacts::history::History,
    cancel::{CancelToken, Interrupt, Interrupted, Scope as InterruptScope},
    error::{Error, ErrorKind, Result},
    jobs::{
        event::Event,
        export::{self, ExportContext, Output, with_export_context},
        plan::{EmptyResult, Publish},
        publish::StagedExport,
        session::{Session, SessionRef},
        status::Outcome,
    },
    pipeline::{FailureEnds, Part},
    sink::Spool,
    source::BinlogPosition,
    sync::lock,
};

/// The state that a thread needs to run exports.
#[derive(Clone, Copy)]
pub(super) struct Worker<'a> {
    pub runner: &'a Runner,
    pub cancel: &'a CancelToken,
    pub history: &'a History,
    /// The position of the snapshot, if it is known.
    pub position: Option<&'a BinlogPosition>,
    pub spool: Option<&'a Arc<Spool>>,
}

/// The threads that end exports whose output is still being sent.
pub(super) struct Senders<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    /// Those that may still run.
    threads: Mutex<Vec<ScopedJoinHandle<'scope, ()>>>,
    has_panicked: AtomicBool,
}

impl<'scope> Senders<'scope, '_> {
    /// Runs `work` on a thread of its own if it `waits`, else on this one.
    fn run_if(&self, waits: bool, work: impl FnOnce() + Send + 'scope) {
        match waits {
            true => self.run(work),
            false => work(),
        }
    }

    /// Runs `work` on a thread of its own; on this one, if the system starts none.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'scope) {
        let work = Arc::new(Mutex::new(Some(work)));
        let shared = Arc::clone(&work);
        let run = move || {
            if let Some(work) = lock(&shared).take() {
                work();
            }
        };
        let mut threads = lock(&self.threads);
        // A thread that is not joined keeps its stack.
        for ended in threads.extract_if(.., |thread| thread.is_finished()) {
            self.join(ended);
        }
        match thread::Builder::new().spawn_scoped(self.scope, run) {
            Ok(thread) => threads.push(thread),
            Err(_) => {
                drop(threads);
                let work = lock(&work).take();
                work.into_iter().for_each(|work| work());
            }
        }
    }

    fn join(&self, thread: ScopedJoinHandle<'_, ()>) {
        if thread.join().is_err() {
            self.has_panicked.store(true, Relaxed);
        }
    }

    /// Waits until all have ended. Returns whether one has panicked.
    fn join_all(&self) -> bool {
        let threads = mem::take(&mut *lock(&self.threads));
        threads.into_iter().for_each(|thread| self.join(thread));
        self.has_panicked.load(Relaxed)
    }
}

/// Exports that have the rows of one statement, and their tokens.
struct Group {
    first: usize,
    /// The token of the statement.
    all: CancelToken,
    /// The token of each output. That of a lone one is the statement's.
    tokens: Vec<CancelToken>,
}

impl Group {
    fn new(all: CancelToken, members: Range<usize>) -> Result<Self> {
        let first = members.start;
        let tokens = match members.len() {
            1 => vec![all.clone()],
            _ => members.map(|_| all.child()).collect::<Result<_>>()?,
        };
        Ok(Self { first, all, tokens })
    }

    fn members(&self) -> impl Iterator<Item = (usize, &CancelToken)> {
        (self.first..).zip(&self.tokens)
    }
}

/// Whether some of an output is still being sent.
fn is_awaited(parts: &Result<Vec<Part>>) -> bool {
    let mut parts = parts.iter().flatten();
    parts.any(|part| part.staged.is_awaited())
}

/// What ends an output when another one of the same rows fails.
const OTHER_FAILED: &str = "an output of the same rows has failed";

/// Ends the statement, and the other ones, of several outputs when one of them fails that ends all.
struct EndStatement(CancelToken);

impl Interrupt for EndStatement {
    fn interrupt(&self, _scope: InterruptScope) -> Interrupted {
        let cause = Error::new(ErrorKind::Output, OTHER_FAILED);
        self.0.cancel_for_children(&cause);
        Interrupted::Query
    }
}

impl<'a> Worker<'a> {
    /// Runs the queue on this thread and on `count - 1` others, each over its session
    /// of the snapshot if there is one. Returns whether a thread has panicked.
    pub(super) fn run_in_parallel(self, count: usize, mut sessions: Vec<Box<dyn Session>>) -> bool {
        thread::scope(|scope| {
            let senders = Arc::new(Senders {
                scope,
                threads: Mutex::default(),
                has_panicked: AtomicBool::new(false),
            });
            let mut threads = Vec::new();
            for _ in 1..count {
                let (session, senders) = (sessions.pop(), Arc::clone(&senders));
                let run = move || self.run_queue(session, &senders);
                match thread::Builder::new().spawn_scoped(scope, run) {
                    Ok(thread) => threads.push(thread),
                    // The other threads take its exports.
                    Err(error) => tracing::info!("cannot start a thread: {error}"),
                }
            }
            self.run_queue(sessions.pop(), &senders);
            let ended = threads.into_iter().map(ScopedJoinHandle::join);
            // `count` joins every thread; `any` would stop at the first panic.
            let panicked = ended.filter(Result::is_err).count();
            senders.join_all() || panicked > 0
        })
    }

    /// Runs queued exports one after the other, over `session` if there is one.
    fn run_queue<'scope>(self, mut session: Option<Box<dyn Session>>, senders: &Senders<'scope, '_>)
    where
        'a: 'scope,
    {
        loop {
            if self.cancel.cause().is_some() {
                return;
            }
            if let Some(session) = &mut session
                && let Err(error) = session.check_snapshot()
            {
                let warning = format!("a session has lost the snapshot: {}", error.message());
                self.runner.warn_of_run(warning);
                return;
            }
            let next = {
                let mut queue = lock(&self.runner.queue);
                queue.pop_front().inspect(Job::begin)
            };
            let Some(job) = next else {
                return;
            };
            match job {
                Job::Export(index) => self.run(index, session.as_deref_mut(), senders),
                Job::Chunk(split, number) => {
                    self.run_chunk(&split, number, session.as_deref_mut(), senders);
                }
            }
            if let (Some(session), Ok(idle)) = (&mut session, self.cancel.child()) {
                // A failure is noticed by the check before the next export.
                let _ = session.attach(&idle);
            }
        }
    }

    /// Runs the export with the index `first`, and those that have the rows of its statement.
    /// Publishes them, or keeps them until all are complete. Where an output is still being
    /// sent when all rows have come, another thread does the rest.
    fn run<'scope>(
        self,
        first: usize,
        session: Option<SessionRef<'_>>,
        senders: &Senders<'scope, '_>,
    ) where
        'a: 'scope,
    {
        let runner = self.runner;
        let members = runner.plan.outputs_of(first);
        let _span = runner.exports[first].enter();
        members.clone().for_each(|index| runner.begin(index));
        let group = match self.cancel.child().and_then(|all| Group::new(all, members)) {
            Ok(group) => Arc::new(group),
            Err(cause) => return runner.end(first, Err(cause)),
        };
        if let Err(cause) = self.watch(&group) {
            return runner.end(first, Err(cause));
        }
        let contexts = group.members();
        let contexts: Vec<_> = contexts
            .map(|(index, token)| self.context(index, token))
            .collect();
        let read = export::export(&contexts, &group.all, session);
        drop(contexts);
        let outputs = match read {
            Ok(outputs) => outputs,
            Err(error) => return self.fail_group(&group, &error),
        };
        let ends_all = runner.plan.exports[first].failure == FailureEnds::All;
        if group.tokens.len() > 1 && ends_all {
            let is_sending = outputs.iter().any(is_awaited);
            let publish = move || self.publish_together(&group, outputs);
            return senders.run_if(is_sending, publish);
        }
        for (position, parts) in outputs.into_iter().enumerate() {
            let (index, group) = (first + position, Arc::clone(&group));
            let is_sending = is_awaited(&parts);
            let publish = move || {
                let _span = runner.exports[index].enter();
                let token = group.tokens[position].clone();
                self.publish(index, Ok(token), |token| {
                    StagedExport::new(self.context(index, token), parts?)
                });
            };
            senders.run_if(is_sending, publish);
        }
    }

    /// Has an output that ends all of `group` end the statement, also while no row comes.
    fn watch(self, group: &Group) -> Result<()> {
        for (index, token) in group.members() {
            let ends_all = self.runner.plan.exports[index].failure == FailureEnds::All;
            if group.tokens.len() > 1 && ends_all {
                token.on_interrupt(Arc::new(EndStatement(group.all.clone())))?;
            }
        }
        Ok(())
    }

    /// Ends the exports of `group`, of which none is published because of `error`. That is the
    /// failure of those outputs that have ended the others, or of the first.
    fn fail_group(self, group: &Group, error: &Error) {
        let runner = self.runner;
        let of_run = self.cancel.cause();
        let is_own = |cause: &Error| {
            let of_run = of_run.as_ref().map(Error::message);
            cause.message() != OTHER_FAILED && Some(cause.message()) != of_run
        };
        let own = |token: &CancelToken| match group.tokens.len() {
            1 => None,
            _ => token.cause().filter(is_own),
        };
        let has_own = group.tokens.iter().any(|token| own(token).is_some());
        // That nothing is new is a success of each.
        let skips = runner.plan.exports[group.first].empty_result == EmptyResult::Skip;
        let is_of_each = skips && error.kind() == ErrorKind::NoRows;
        for (index, token) in group.members() {
            let _span = runner.exports[index].enter();
            let failure = match has_own {
                true => own(token),
                false => (is_of_each || index == group.first).then(|| error.clone()),
            };
            match failure {
                Some(error) => self.publish(index, Ok(token.clone()), |_| Err(error)),
                None => runner.exports[index].status.end(Outcome::NotPublished),
            }
        }
    }

    /// Publishes all outputs of `group`, or none if one of them fails before.
    fn publish_together(self, group: &Group, outputs: Vec<Result<Vec<Part>>>) {
        let runner = self.runner;
        let (mut staged, mut failure) = (Vec::new(), None);
        for ((index, token), parts) in group.members().zip(outputs) {
            let export =
                parts.and_then(|parts| StagedExport::new(self.context(index, token), parts));
            // Where others are waited for, it is checked when all are complete.
            let export = export.and_then(|export| match runner.plan.publish {
                Publish::Each => export.check().map(|()| export),
                Publish::AllOrNothing => Ok(export),
            });
            match export {
                Ok(export) => staged.push((index, export)),
                Err(error) => {
                    // It tells whose the failure is.
                    token.cancel(error.clone());
                    failure.get_or_insert(error);
                }
            }
        }
        // Nothing cancels it between two of them.
        let begun = match (failure, runner.plan.publish) {
            (Some(error), _) => Err(error),
            (None, Publish::Each) => group.all.begin_commit().map(drop),
            (None, Publish::AllOrNothing) => Ok(()),
        };
        match (begun, runner.plan.publish) {
            (Err(error), _) => self.fail_group(group, &error),
            (Ok(()), Publish::Each) => runner.publish_each(staged),
            (Ok(()), Publish::AllOrNothing) => {
                staged
                    .into_iter()
                    .for_each(|(index, export)| runner.keep(index, export));
            }
        }
    }

    /// Publishes the export that `stage` completes under a token, or keeps it until all are
    /// complete; ends it if it has failed.
    pub(super) fn publish(
        self,
        index: usize,
        child: Result<CancelToken>,
        stage: impl FnOnce(&CancelToken) -> Result<StagedExport>,
    ) {
        let runner = self.runner;
        let export = &runner.exports[index];
        let result = child.and_then(|child| {
            let result = stage(&child);
            let result = match runner.plan.publish {
                Publish::Each => result.and_then(StagedExport::publish).map(|()| true),
                Publish::AllOrNothing => result.map(|staged| {
                    runner.keep(index, staged);
                    false
                }),
            };
            let target = &export.target;
            result.map_err(|error| with_export_context(error, target, &export.status, &child))
        });
        let is_unreachable =
            |error: &Error| error.kind() == ErrorKind::Connect && error.is_transient();
        let found = result.as_ref().err().is_some_and(is_unreachable);
        runner.is_unreachable.store(found, Relaxed);
        let skips = runner.plan.exports[index].empty_result == EmptyResult::Skip;
        match result {
            Ok(false) => {}
            Err(error) if skips && error.kind() == ErrorKind::NoRows => {
                export.status.end(Outcome::NothingNew);
                runner.observer.event(&Event::Succeeded { export });
            }
            result => runner.end(index, result.map(drop)),
        }
    }

    /// Returns the context of the export with the `index`.
    pub(super) fn context<'b>(
        &'b self,
        index: usize,
        cancel: &'b CancelToken,
    ) -> ExportContext<'b> {
        let Worker {
            runner, history, ..
        } = *self;
        let (status, plan) = (&runner.exports[index], &runner.plan);
        let name = plan.exports[index].state_name();
        ExportContext {
            plan,
            export: &plan.exports[index],
            status,
            observer: &*runner.observer,
            cancel,
            backend: &*runner.backend,
            last: name.and_then(|name| history.exports.get(name)),
            position: self.position,
            // A server that was unreachable through all retries of the last export is
            // unlikely to be reachable now.
            retries: match runner.is_unreachable.load(Relaxed) {
                false => plan.retries,
                true => 0,
            },
            output: Output::Target,
            throttle: runner.throttle.as_ref(),
            origins: &[],
            spool: self.spool,
            moment: None,
        }
    }
}
