//! Runs the exports of one run, sequentially or in parallel, publishes them, and
//! reports each result.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

mod chunks;
mod details;
mod worker;

use self::{chunks::Job, worker::Worker};
use super::{
    claims::conflicts,
    event::{Event, Observer, RunReport},
    export::{self, with_export_context},
    outcome::summarize,
    plan::{ExportPlan, OnError, Publish, RowsOf, RunPlan, Since},
    publish::StagedExport,
    resume::{self, Resumable},
    retry::retry,
    session::{Backend, Server, Sessions},
    status::{ExportStatus, Outcome, Status},
    tables::find_tables,
};
use crate::{
    artifacts::{
        checkpoint::remove_outdated,
        history::{History, LastSuccess},
        retention,
    },
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    pipeline::Throttle,
    schema::ColumnDescription,
    sink::{Spool, TargetLock},
    source::SnapshotMode,
    sync::lock,
};

/// Runs `plan` to its end, on this thread and on others if it has several
/// connections.
///
/// The errors of all exports are in the report. Any thread can end the run early
/// through `cancel`.
#[must_use]
pub fn run(plan: RunPlan, observer: Arc<dyn Observer>, cancel: &CancelToken) -> RunReport {
    let status = Status::default();
    let (plan, found) = match find_tables(&plan, &status, &*observer, cancel) {
        Ok(found) => (found.unwrap_or(plan), Ok(())),
        Err(error) => (plan, Err(error)),
    };
    let runner = Runner::new(plan, status, observer);
    let result = found.and_then(|()| runner.refuse_conflicts());
    let result = result.and_then(|()| runner.execute(cancel));
    runner.conclude(result, cancel)
}

/// The exports of a run, and the state that its threads share.
pub struct Runner {
    plan: RunPlan,
    backend: Box<dyn Backend>,
    observer: Arc<dyn Observer>,
    status: Status,
    exports: Vec<ExportStatus>,
    /// What has not started.
    queue: Mutex<VecDeque<Job>>,
    /// The complete exports that wait for the others, each with its index.
    staged: Mutex<Vec<(usize, StagedExport)>>,
    /// The first error while saving the state file after publishing.
    state_error: Mutex<Option<Error>>,
    /// Whether the export that ended last could not reach the server.
    is_unreachable: AtomicBool,
    /// The limit of rows per second of all exports.
    throttle: Option<Throttle>,
    /// What keeps the whole chunks of exports, by their indexes.
    resumable: Mutex<BTreeMap<usize, Arc<Resumable>>>,
}

/// Raises the limit of open files, because each file that waits for others stays open.
fn raise_open_files_limit() {
    // If that is not allowed, opening a file later fails with a message.
    if let Ok((_, max)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, max, max);
    }
}

impl Runner {
    /// Creates a run of `plan`. `status` is the status of the run and of a single
    /// query; `observer` receives the events.
    pub fn new(plan: RunPlan, status: Status, observer: Arc<dyn Observer>) -> Self {
        let server = Server::new(&plan);
        Self::with_backend(plan, status, observer, Box::new(server))
    }

    /// Creates a run whose sessions and sinks are opened by `backend`.
    pub(super) fn with_backend(
        plan: RunPlan,
        status: Status,
        observer: Arc<dyn Observer>,
        backend: Box<dyn Backend>,
    ) -> Self {
        let export_status = |export: &ExportPlan| ExportStatus {
            name: export.name.clone(),
            target: export.target.clone(),
            status: match export.name {
                Some(_) => Status::waiting(),
                None => status.clone(),
            },
        };
        let exports: Vec<ExportStatus> = plan.exports.iter().map(export_status).collect();
        Self {
            queue: Mutex::default(),
            staged: Mutex::default(),
            state_error: Mutex::default(),
            is_unreachable: AtomicBool::new(false),
            throttle: plan.rows_per_second.map(Throttle::new),
            resumable: Mutex::default(),
            plan,
            backend,
            observer,
            status,
            exports,
        }
    }

    /// Refuses two files with one path, if tables were found: those of a plan without
    /// patterns are the caller's choice.
    fn refuse_conflicts(&self) -> Result<()> {
        let found = self.plan.found_tables.as_ref();
        let conflicts = found.map(|_| conflicts(&self.plan.exports, &self.plan.reserved));
        let first = conflicts.into_iter().flatten().next();
        first.map_or(Ok(()), |conflict| Err(conflict.error))
    }

    /// Returns the status of each export, which changes while the run executes.
    #[must_use]
    pub fn exports(&self) -> &[ExportStatus] {
        &self.exports
    }

    /// Runs all exports, on this thread and on others if the plan has several
    /// connections.
    ///
    /// # Errors
    /// The error that keeps the exports from running: an unreadable state file, no
    /// snapshot, a cancellation or a panic. Their own results are in their statuses.
    pub fn execute(&self, cancel: &CancelToken) -> Result<()> {
        let plan = &self.plan;
        if plan.exports.iter().any(|export| export.tables.is_some()) {
            let message = "the tables of the plan have not been found";
            return Err(Error::config(message).with_hint("call find_tables before"));
        }
        let has_parts = plan.exports.iter().any(|export| export.parts.is_some());
        let has_chunks = plan.exports.iter().any(|export| export.split.is_some());
        let has_spool = plan.spool.is_some();
        if plan.publish == Publish::AllOrNothing || has_parts || has_chunks || has_spool {
            raise_open_files_limit();
        }
        let _locked = self.lock_increments()?;
        let history = plan.history()?;
        let spool = plan.spool.clone().map(Spool::open).transpose()?;
        let count = plan.connection_count();
        let (mut sessions, position) = match plan.snapshot {
            SnapshotMode::None => (Vec::new(), None),
            _ => self.open_snapshot(count, cancel)?,
        };
        let jobs = self.jobs(&mut sessions, cancel)?;
        *lock(&self.queue) = jobs;
        let worker = Worker {
            runner: self,
            cancel,
            history: &history,
            position: position.as_ref(),
            spool: spool.as_ref(),
        };
        let has_panicked = worker.run_in_parallel(count, sessions);
        self.publish_all(cancel)?;
        if let Some(cause) = cancel.cause() {
            return Err(cause);
        }
        if has_panicked {
            return Err(internal_error());
        }
        self.fail_remaining();
        if let (Some(found), Ok(cancel)) = (&plan.found_tables, cancel.child()) {
            let changes = found.changes(plan, &cancel);
            changes
                .into_iter()
                .for_each(|change| self.warn_of_run(change));
        }
        self.remove_checkpoints();
        Ok(())
    }

    /// Keeps other runs from reading the same increments, until the locks are dropped.
    fn lock_increments(&self) -> Result<Vec<TargetLock>> {
        let Some(path) = &self.plan.state else {
            return Ok(Vec::new());
        };
        let names = self.plan.exports.iter().filter_map(|export| {
            let is_first = export.rows_of == RowsOf::Statement;
            let increment = export.increment.as_ref().filter(|_| is_first)?;
            let is_kept = !matches!(increment.since, Some(Since::Backfill(_)));
            export.state_name().filter(|_| is_kept)
        });
        let locks: Vec<_> = names
            .map(|name| History::lock_increment(path, name))
            .collect::<Result<_>>()?;
        Ok(locks.into_iter().flatten().collect())
    }

    /// Removes what was kept for a run that goes on with this one, if all exports have
    /// succeeded.
    fn remove_checkpoints(&self) {
        let mut outcomes = self.exports.iter().map(|export| export.status.outcome());
        if !outcomes.all(|outcome| outcome.is_some_and(|outcome| outcome.is_success())) {
            return;
        }
        for resumable in lock(&self.resumable).values().filter(|one| one.is_kept()) {
            if let Err(error) = resumable.remove() {
                self.warn_of_run(error.message().to_owned());
            }
        }
    }

    /// Ends the run after [`execute`](Self::execute) has returned `result`, or after
    /// the caller has stopped waiting for it. If `result` is an error, exports that
    /// are still running fail with it, because their threads are stuck or have
    /// panicked.
    #[must_use]
    pub fn conclude(&self, result: Result<()>, cancel: &CancelToken) -> RunReport {
        if let Err(error) = &result {
            for (index, export) in self.exports.iter().enumerate() {
                if export.status.is_running() {
                    let error = error.clone();
                    let error = with_export_context(error, &export.target, &export.status, cancel);
                    let _span = export.enter();
                    self.end(index, Err(error));
                }
            }
        }
        let state_error = lock(&self.state_error).clone();
        RunReport {
            exports: self.exports.clone(),
            status: self.status.clone(),
            result: summarize(&self.exports, self.plan.publish, state_error, result),
        }
    }

    /// Opens `count` sessions with one snapshot, with retries.
    fn open_snapshot(&self, count: usize, cancel: &CancelToken) -> Result<Sessions> {
        let open = || cancel.prefer_cause(self.backend.open_snapshot(count, cancel));
        retry(self.plan.retries, cancel, open, Ok, |text| {
            self.warn_of_run(text)
        })
    }

    /// Reports a warning about the run.
    fn warn_of_run(&self, text: String) {
        export::warn(&*self.observer, None, &self.status, text);
    }

    /// Fails the exports still queued after every session lost its snapshot: another
    /// snapshot would not be consistent with the finished exports.
    fn fail_remaining(&self) {
        let remaining: Vec<Job> = lock(&self.queue).drain(..).collect();
        for job in remaining {
            let (index, failure) = (job.export(), job.failure());
            if self.exports[index].status.is_done() {
                continue;
            }
            let message = "it did not run: the snapshot is lost";
            let error = failure.unwrap_or_else(|| {
                Error::new(ErrorKind::Query, message).with_hint(
                    "run all again: in a later snapshot, rows would not agree with the others'",
                )
            });
            let export = &self.exports[index];
            export.status.start();
            let _span = export.enter();
            self.end(index, Err(error));
        }
    }

    /// Keeps a complete export until all are.
    fn keep(&self, index: usize, staged: StagedExport) {
        self.exports[index].status.await_commit();
        lock(&self.staged).push((index, staged));
    }

    /// Publishes all staged exports, if every export is staged.
    fn publish_all(&self, cancel: &CancelToken) -> Result<()> {
        let mut staged = std::mem::take(&mut *lock(&self.staged));
        staged.sort_by_key(|(index, _)| *index);
        if staged.is_empty() {
            return Ok(());
        }
        // An earlier run may have published some.
        let done = self.exports.iter().filter(|export| {
            export
                .status
                .outcome()
                .is_some_and(|outcome| outcome.is_success())
        });
        let is_complete = staged.len() + done.count() == self.exports.len();
        // Failures that can be predicted are found before the first commit.
        let obstacle = staged.iter().find_map(|(index, staged)| {
            let checked = if is_complete { staged.check() } else { Ok(()) };
            Some((*index, checked.err()?))
        });
        let begun = match &obstacle {
            None if is_complete => cancel.begin_commit().map(drop),
            _ => Ok(()),
        };
        if is_complete && obstacle.is_none() && begun.is_ok() {
            self.publish_each(staged);
            return begun;
        }
        for (index, _) in staged {
            match &obstacle {
                Some((first, error)) if *first == index => {
                    let _span = self.exports[index].enter();
                    self.end(index, Err(error.clone()));
                }
                _ => self.exports[index].status.end(Outcome::NotPublished),
            }
        }
        begun
    }

    /// Publishes the exports one after the other, up to the first failure; those behind it are
    /// not published. Their results are reported after the last commit, so that no other work
    /// delays a commit. Outputs of the same rows are recorded for the next run if all of them
    /// are published.
    fn publish_each(&self, staged: Vec<(usize, StagedExport)>) {
        let (mut results, mut staged) = (Vec::new(), staged.into_iter());
        for (index, export) in staged.by_ref() {
            let result = export.publish();
            let has_failed = result.is_err();
            results.push((index, result));
            if has_failed {
                break;
            }
        }
        let published = results.iter().filter(|(_, result)| result.is_ok());
        let published: BTreeSet<usize> = published.map(|(index, _)| *index).collect();
        for (index, result) in results {
            let _span = self.exports[index].enter();
            let mut outputs = self.plan.outputs_with(index);
            match result {
                Ok(()) if !outputs.all(|output| published.contains(&output)) => {
                    self.succeed_alone(index);
                }
                result => self.end(index, result),
            }
        }
        for (index, _) in staged {
            self.exports[index].status.end(Outcome::NotPublished);
        }
    }

    /// Records and reports that an export begins.
    fn begin(&self, index: usize) {
        let export = &self.exports[index];
        export.status.start();
        self.observer.event(&Event::Started { export });
    }

    /// Records and reports the result of an export.
    fn end(&self, index: usize, result: Result<()>) {
        let (export, plan) = (&self.exports[index], &self.plan.exports[index]);
        let error = match result {
            Ok(()) => return self.succeed(index, export, plan),
            Err(error) => error,
        };
        export.status.end(Outcome::Failure(error.clone()));
        let resumable = lock(&self.resumable).get(&index).cloned();
        if let Some(kept) = resumable.and_then(|kept| kept.what_is_kept()) {
            self.warn(export, kept);
        }
        if self.plan.on_error == OnError::Stop {
            // An export that has begun goes on.
            lock(&self.queue).retain(Job::has_begun);
        }
        self.observer.event(&Event::Failed {
            export,
            error: &error,
        });
    }

    /// Reports the success of an export that must not be taken for the last one: another
    /// output of its rows has failed.
    fn succeed_alone(&self, index: usize) {
        let export = &self.exports[index];
        export.status.end(Outcome::Success);
        self.observer.event(&Event::Succeeded { export });
    }

    /// Records and reports the success of an export, and removes its old files.
    fn succeed(&self, index: usize, export: &ExportStatus, plan: &ExportPlan) {
        export.status.end(Outcome::Success);
        self.observer.event(&Event::Succeeded { export });
        self.record_success(export, plan);
        if let (Some(name), Some(path)) = (&plan.manifest, plan.target.path()) {
            let warn = |text| self.warn(export, text);
            retention::remove_old(export.name.as_deref(), name, path, warn);
        }
        if let Err(error) = self.record_published(index, plan) {
            self.warn(export, error.message().to_owned());
        }
    }

    /// Records that the export is published, for a run that goes on with this one. A
    /// checkpoint that this run did not go on with is outdated.
    fn record_published(&self, index: usize, plan: &ExportPlan) -> Result<()> {
        let resumable = lock(&self.resumable).get(&index).cloned();
        match resumable {
            // Nothing else needs the run again.
            Some(resumable) if self.exports.len() == 1 => resumable.remove(),
            Some(resumable) => resumable.record(),
            None => resume::path(plan).map_or(Ok(()), |path| remove_outdated(&path)),
        }
    }

    /// Reports a warning about an export.
    fn warn(&self, export: &ExportStatus, text: String) {
        export::warn(&*self.observer, Some(export), &export.status, text);
    }

    /// Saves the success of the export in the state file, for the next run.
    fn record_success(&self, export: &ExportStatus, plan: &ExportPlan) {
        // One thread at a time reads and writes the file.
        let mut state_error = lock(&self.state_error);
        let (Some(path), Some(name)) = (&self.plan.state, plan.state_name()) else {
            return;
        };
        let since = plan.increment.as_ref().and_then(|plan| plan.since.as_ref());
        if let Some(Since::Backfill(_)) = since {
            return;
        }
        let success = LastSuccess {
            rows: export.status.rows(),
            columns: ColumnDescription::of_all(&export.status.details().columns),
            finished: format!("{:.3}", Timestamp::now()),
            mark: export.status.details().mark,
        };
        if let Err(error) = History::record(path, name, success) {
            let message = error.message();
            self.warn(
                export,
                match plan.increment {
                    Some(_) => format!("the next run reads the same rows again: {message}"),
                    None => format!("the next run has nothing to compare with: {message}"),
                },
            );
            state_error.get_or_insert(error);
        }
    }
}

/// Returns the error of a thread that has panicked.
#[must_use]
pub fn internal_error() -> Error {
    Error::new(ErrorKind::Query, "the export broke down")
        .with_hint("the message above says where; please report it")
}
