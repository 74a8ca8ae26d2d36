//! The threads of a run: each takes exports and chunks from the queue, one after the other,
//! and others end exports whose output is still being sent.

use std::{
    mem,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    thread::{self, Scope, ScopedJoinHandle},
};

use super::{Runner, chunks::Job};
use crate::{
    artifacts::history::History,
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    jobs::{
        event::Event,
        export::{self, ExportContext, Output, with_export_context},
        plan::{EmptyResult, Publish},
        publish::StagedExport,
        session::{Session, SessionRef},
        status::Outcome,
    },
    pipeline::Part,
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
    threads: Mutex<Vec<ScopedJoinHandle<'scope, ()>>>,
}

impl<'scope> Senders<'scope, '_> {
    /// Runs `work` on a thread of its own; on this one, if the system starts none.
    pub(super) fn run(&self, work: impl FnOnce() + Send + 'scope) {
        let work = Arc::new(Mutex::new(Some(work)));
        let shared = Arc::clone(&work);
        let run = move || {
            if let Some(work) = lock(&shared).take() {
                work();
            }
        };
        match thread::Builder::new().spawn_scoped(self.scope, run) {
            Ok(thread) => lock(&self.threads).push(thread),
            Err(_) => {
                let work = lock(&work).take();
                work.into_iter().for_each(|work| work());
            }
        }
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
            let senders = mem::take(&mut *lock(&senders.threads));
            let ended = senders.into_iter().map(ScopedJoinHandle::join);
            panicked + ended.filter(Result::is_err).count() > 0
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

    /// Runs one export, and publishes it or keeps it until all are complete. Where the
    /// output is still being sent when all rows have come, another thread does the rest.
    fn run<'scope>(
        self,
        index: usize,
        session: Option<SessionRef<'_>>,
        senders: &Senders<'scope, '_>,
    ) where
        'a: 'scope,
    {
        let runner = self.runner;
        let export = &runner.exports[index];
        let _span = export.enter();
        export.status.start();
        runner.observer.event(&Event::Started { export });
        let child = self.cancel.child();
        let read = match &child {
            Ok(child) => export::export(self.context(index, child), session),
            Err(cause) => Err(cause.clone()),
        };
        let is_awaited = |part: &Part| part.staged.is_awaited();
        let is_sending = read
            .as_ref()
            .is_ok_and(|parts| parts.iter().any(is_awaited));
        let rest = move || {
            self.publish(index, child, |child| {
                StagedExport::new(self.context(index, child), read?)
            });
        };
        match is_sending {
            true => senders.run(move || {
                let _span = runner.exports[index].enter();
                rest();
            }),
            false => rest(),
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
                    export.status.await_commit();
                    lock(&runner.staged).push((index, staged));
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
