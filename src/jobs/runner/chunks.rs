//! Runs exports that are read in chunks: divides their tables, reads the chunks side by
//! side, and puts what has come together.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{
    Runner,
    details::details_of_all,
    worker::{Senders, Worker},
};
use crate::{
    artifacts::checkpoint::Origin,
    cancel::CancelToken,
    error::{Error, ErrorKind, Result},
    format::Joining,
    jobs::{
        event::{Event, Observer},
        export::{ExportContext, Output, export, refuse_empty, tell_of_parts},
        guard,
        join::join,
        plan::{EmptyResult, ExportPlan, OnError, RowOrder, RowsOf, SplitPlan, WholeChunks},
        publish::StagedExport,
        resume::{ChunkOutput, Resumable},
        retry::retry,
        session::{Session, SessionRef},
        status::{ExportStatus, Outcome, Status, StatusDetails},
    },
    source::{BinlogPosition, Chunks, SnapshotMode},
    sql::{CHUNK, Parameter, Query},
    sync::lock,
};

/// What a worker takes from the queue.
pub(super) enum Job {
    /// The export with this index.
    Export(usize),
    /// The chunk with this index.
    Chunk(Arc<SplitRun>, usize),
}

const NO_SNAPSHOT: &str = "the chunks are read at different moments, as there is no snapshot";

impl Job {
    /// The index of the export.
    pub(super) fn export(&self) -> usize {
        match self {
            Self::Export(index) => *index,
            Self::Chunk(split, _) => split.index,
        }
    }

    /// Records that its export has begun, while the queue is locked.
    pub(super) fn begin(&self) {
        if let Self::Chunk(split, _) = self {
            split.has_begun.store(true, Relaxed);
        }
    }

    /// Whether its export has begun, by another job.
    pub(super) fn has_begun(&self) -> bool {
        match self {
            Self::Export(_) => false,
            Self::Chunk(split, _) => split.has_begun.load(Relaxed),
        }
    }

    /// Why its export has failed, if another job has.
    pub(super) fn failure(&self) -> Option<Error> {
        match self {
            Self::Export(_) => None,
            Self::Chunk(split, _) => lock(&split.state).failure.clone(),
        }
    }
}

/// An export that is read in chunks.
pub(super) struct SplitRun {
    /// The index of the export.
    index: usize,
    chunks: Vec<Chunk>,
    /// The moment that the clock of each session shows.
    moment: String,
    cancel: CancelToken,
    /// Keeps whole chunks for another run, if there may be one.
    resumable: Option<Arc<Resumable>>,
    /// Whether a worker has taken a chunk.
    has_begun: AtomicBool,
    state: Mutex<State>,
}

struct Chunk {
    plan: ExportPlan,
    status: ExportStatus,
}

/// The chunks of an export, and what keeps the whole ones.
type Divided = (Chunks, Option<Resumable>);

/// How far the chunks are.
struct State {
    /// What has been read of each.
    outputs: Vec<Option<ChunkOutput>>,
    /// The number of chunks that have not ended.
    left: usize,
    /// Why a chunk failed.
    failure: Option<Error>,
    /// Whether the observer has been told that the export starts.
    is_told: bool,
}

impl SplitRun {
    /// Creates the run of the export with the `index` in its `chunks`.
    fn new(
        index: usize,
        export: &ExportPlan,
        split: &SplitPlan,
        (chunks, resumable): Divided,
        cancel: CancelToken,
    ) -> Result<Self> {
        let query = match (split.order, chunks.order) {
            (RowOrder::Key, Some(order)) => {
                Query::parse(format!("{} ORDER BY {order}", export.query.text()))?
            }
            _ => export.query.clone(),
        };
        let (count, moment) = (chunks.conditions.len(), chunks.moment);
        let conditions = chunks.conditions.into_iter().enumerate();
        let chunks = conditions.map(|(number, sql)| Chunk {
            plan: ExportPlan {
                query: query.clone(),
                parameters: with_condition(export, sql),
                guards: export.guards.of_a_part(),
                empty_result: EmptyResult::Allow,
                schema_file: export.schema_file.clone().filter(|_| number == 0),
                split: None,
                ..export.clone()
            },
            status: ExportStatus {
                name: export.name.clone(),
                target: export.target.clone(),
                status: Status::waiting(),
            },
        });
        Ok(Self {
            index,
            chunks: chunks.collect(),
            moment,
            cancel,
            resumable: resumable.map(Arc::new),
            has_begun: AtomicBool::new(false),
            state: Mutex::new(State {
                outputs: (0..count).map(|_| None).collect(),
                left: count,
                failure: None,
                is_told: false,
            }),
        })
    }

    /// Ends the others because a chunk has failed.
    fn fail(&self, error: Error) {
        lock(&self.state).failure.get_or_insert(error.clone());
        self.cancel.cancel_with_children(&error);
    }
}

impl Runner {
    /// Returns what is to be done for all exports, in their order. Those that are read in
    /// chunks are divided over one of `sessions`, if there are any.
    pub(super) fn jobs(
        &self,
        sessions: &mut [Box<dyn Session>],
        cancel: &CancelToken,
    ) -> Result<VecDeque<Job>> {
        let mut jobs = VecDeque::new();
        for (index, export) in self.plan.exports.iter().enumerate() {
            let Some(split) = &export.split else {
                if export.rows_of == RowsOf::Statement {
                    jobs.push_back(Job::Export(index));
                }
                continue;
            };
            let _span = self.exports[index].enter();
            match self.divide(index, export, split, sessions, cancel) {
                Ok(split) => {
                    let split = Arc::new(split);
                    if self.is_published_already(&split) {
                        continue;
                    }
                    let chunks = 0..split.chunks.len();
                    jobs.extend(chunks.map(|number| Job::Chunk(Arc::clone(&split), number)));
                }
                Err(error) => {
                    if let Some(cause) = cancel.cause() {
                        return Err(cause);
                    }
                    self.exports[index].status.start();
                    self.end(index, Err(error));
                    if self.plan.on_error == OnError::Stop {
                        return Ok(VecDeque::new());
                    }
                }
            }
        }
        Ok(jobs)
    }

    /// Divides the rows of an export into chunks.
    fn divide(
        &self,
        index: usize,
        export: &ExportPlan,
        split: &SplitPlan,
        sessions: &mut [Box<dyn Session>],
        cancel: &CancelToken,
    ) -> Result<SplitRun> {
        if export.parts.is_none() && export.format.joining() == Joining::Impossible {
            let what = format!(
                "chunks of {} cannot be joined to one file",
                export.format.name()
            );
            return Err(Error::config(what).with_hint("put {part} into the file's name"));
        }
        let cancel = cancel.child()?;
        let retries = match self.plan.snapshot {
            SnapshotMode::None => self.plan.retries,
            _ => 0,
        };
        let mut shared = sessions.first_mut();
        let ask = || {
            let question = cancel.child()?;
            let mut own;
            let session = match &mut shared {
                Some(session) => {
                    session.attach(&question)?;
                    session.reset()?;
                    &mut ***session
                }
                None => {
                    own = self.backend.connect(&question)?;
                    &mut *own
                }
            };
            if split.order == RowOrder::Statement {
                question.prefer_cause(refuse_whole(session, export))?;
            }
            session.bind(export)?;
            question.prefer_cause(match split.whole {
                WholeChunks::Discard => session.chunks(&split.options).map(|found| (found, None)),
                WholeChunks::Keep | WholeChunks::KeepIn(_) => {
                    let opened = Resumable::open(&self.plan, export, split, session, &question);
                    opened.map(|(resumable, chunks)| (chunks, Some(resumable)))
                }
            })
        };
        let warn = |text| self.warn(&self.exports[index], text);
        let mut divided = retry(retries, &cancel, ask, Ok, warn)?;
        let (chunks, _) = &mut divided;
        mem::take(&mut chunks.warnings).into_iter().for_each(warn);
        if self.plan.snapshot == SnapshotMode::None && chunks.conditions.len() > 1 {
            warn(NO_SNAPSHOT.to_owned());
        }
        let split = SplitRun::new(index, export, split, divided, cancel)?;
        if let Some(resumable) = &split.resumable {
            lock(&self.resumable).insert(index, Arc::clone(resumable));
        }
        Ok(split)
    }

    /// Ends the export of `split` if an earlier run has published it. Returns whether it has.
    fn is_published_already(&self, split: &SplitRun) -> bool {
        let published = split.resumable.as_ref();
        let Some(published) = published.and_then(|kept| kept.already_published()) else {
            return false;
        };
        let export = &self.exports[split.index];
        export.status.start();
        self.observer.event(&Event::Started { export });
        let guards = &self.plan.exports[split.index].guards;
        if let Err(error) = guard::check_all_rows(guards, published.rows, None) {
            self.end(split.index, Err(error));
            return true;
        }
        let started = published.started.as_deref().unwrap_or("earlier");
        self.warn(
            export,
            format!(
                "it is as the run that started {started} has published it, and is not read again"
            ),
        );
        export.status.counters().set_rows(published.rows);
        export.status.counters().set_bytes(published.bytes);
        export.status.end(Outcome::Success);
        self.observer.event(&Event::Succeeded { export });
        true
    }
}

/// Returns the parameters of `export` with the condition of a chunk.
fn with_condition(export: &ExportPlan, sql: String) -> Vec<Parameter> {
    let others = export.parameters.iter().filter(|one| one.name != CHUNK);
    let condition = Parameter::expression(CHUNK, sql);
    others.cloned().chain([condition]).collect()
}

/// Refuses a statement that returns a row where there are none, as aggregates do: each chunk
/// would return one.
fn refuse_whole(session: &mut dyn Session, export: &ExportPlan) -> Result<()> {
    session.bind(&ExportPlan {
        parameters: with_condition(export, "1 = 0".to_owned()),
        ..export.clone()
    })?;
    let mut source = session.run()?;
    let has_row = source.next_row()?.is_some();
    if has_row {
        let what = "the statement returns a row where no row is read, so that it depends on all rows (an aggregate?)";
        return Err(Error::new(ErrorKind::Query, what).with_hint("leave out --split"));
    }
    source.finish()?;
    session.close_statement();
    Ok(())
}

impl<'a> Worker<'a> {
    /// Reads the chunk with the index `number`. The worker that ends the last one puts all
    /// together; with a spool, it leaves that to a thread which needs no session.
    pub(super) fn run_chunk<'scope>(
        self,
        split: &Arc<SplitRun>,
        number: usize,
        session: Option<SessionRef<'_>>,
        senders: &Senders<'scope, '_>,
    ) where
        'a: 'scope,
    {
        let runner = self.runner;
        let export = &runner.exports[split.index];
        let _span = export.enter();
        if !mem::replace(&mut lock(&split.state).is_told, true) {
            runner.begin(split.index);
        }
        if lock(&split.state).failure.is_none() {
            match self.read_chunk(split, number, session) {
                Ok(output) => lock(&split.state).outputs[number] = Some(output),
                Err(error) => split.fail(error),
            }
        }
        let left = {
            let mut state = lock(&split.state);
            state.left -= 1;
            state.left
        };
        match (left, self.spool) {
            (0, None) => self.complete(split),
            (0, Some(_)) => {
                let split = Arc::clone(split);
                senders.run(move || {
                    let _span = runner.exports[split.index].enter();
                    self.complete(&split);
                });
            }
            _ => {}
        }
    }

    fn read_chunk(
        self,
        split: &SplitRun,
        number: usize,
        session: Option<SessionRef<'_>>,
    ) -> Result<ChunkOutput> {
        let cancel = split.cancel.child()?;
        let Chunk { plan, status } = &split.chunks[number];
        let observer = ChunkObserver {
            inner: &*self.runner.observer,
            export: &self.runner.exports[split.index],
        };
        observer.export.status.add_part(&status.status);
        status.status.start();
        let file = Mutex::new(None);
        let part = u32::try_from(number + 1).unwrap_or(u32::MAX);
        let kept_path = split.resumable.as_ref().map(|kept| kept.chunk_path(number));
        let context = ExportContext {
            export: plan,
            status,
            observer: &observer,
            moment: Some(&split.moment),
            output: match (&kept_path, &plan.parts) {
                (Some(path), _) => Output::Kept(path, part),
                (None, Some(_)) => Output::Part(part),
                (None, None) => Output::Unnamed(&file),
            },
            ..self.context(split.index, &cancel)
        };
        let count = split.chunks.len();
        let located = |error: Error| match count {
            1 => error,
            _ => error.with_location(&format!("chunk {} of {count}", number + 1)),
        };
        if let Some(resumable) = &split.resumable
            && let Some(output) = resumable.kept(context, number).map_err(located)?
        {
            tell_kept(context, &output);
            return Ok(output);
        }
        tracing::debug!("reading chunk {} of {count}", number + 1);
        let outputs = export(&[context], &cancel, session).map_err(located)?;
        let origin = self.context(split.index, &cancel).origin(0);
        let missing = || Error::new(ErrorKind::Output, "a chunk has no output");
        let parts = outputs.into_iter().next().ok_or_else(missing)?;
        let parts = parts.map_err(located)?;
        let part = parts.into_iter().next().ok_or_else(missing)?;
        match &split.resumable {
            Some(resumable) => {
                let kept = resumable.keep(context, number, part, origin);
                kept.map_err(located)
            }
            None => Ok(ChunkOutput {
                part,
                file: lock(&file).take(),
                origin,
                kept: None,
            }),
        }
    }

    /// Puts the chunks together, and publishes the result or keeps it until all exports are
    /// complete; ends the export.
    fn complete(self, split: &SplitRun) {
        let failure = lock(&split.state).failure.take();
        // The token of all chunks, whose files are published together.
        let child = match failure {
            Some(error) => Err(error),
            None => Ok(split.cancel.clone()),
        };
        self.publish(split.index, child, |child| self.assemble(split, child));
    }

    fn assemble(self, split: &SplitRun, cancel: &CancelToken) -> Result<StagedExport> {
        let context = self.context(split.index, cancel);
        let (plan, status) = (context.export, &context.status.status);
        let outputs = mem::take(&mut lock(&split.state).outputs);
        let outputs: Vec<ChunkOutput> = outputs.into_iter().flatten().collect();
        adopt_details(split, context, &outputs)?;
        let rows = outputs.iter().map(|output| output.part.rows).sum();
        let checked = guard::check_all_rows(&plan.guards, rows, context.last);
        if let Err(refused) = checked.and_then(|()| refuse_empty(plan, rows)) {
            // The same chunks would be refused again.
            let removed = split.resumable.as_ref().map(|kept| kept.remove());
            if let Some(Err(error)) = removed {
                self.runner.warn(context.status, error.message().to_owned());
            }
            return Err(refused);
        }
        let mixed = split
            .resumable
            .as_ref()
            .and_then(|kept| kept.warning(&outputs));
        if let Some(warning) = mixed {
            self.runner.warn(context.status, warning);
        }
        let origins: Vec<Origin> = outputs.iter().map(|one| one.origin.clone()).collect();
        let context = ExportContext {
            position: position_of_all(&origins),
            ..context
        };
        let (context, parts) = match plan.parts {
            Some(_) => {
                let parts = outputs.into_iter().map(|output| output.part).collect();
                let origins = &origins;
                (ExportContext { origins, ..context }, parts)
            }
            None => {
                let files = outputs.into_iter();
                let files = files.filter_map(|output| Some((output.part, output.file?)));
                let joined = join(context, files.collect())?;
                status.adopt_bytes(joined.bytes);
                (context, vec![joined])
            }
        };
        tell_of_parts(context, &parts);
        if let Some(resumable) = &split.resumable {
            resumable.stage(context, &parts)?;
        }
        let staged = StagedExport::new(context, parts)?;
        Ok(staged.kept_by(split.resumable.clone()))
    }
}

/// The position that the rows of all `origins` are of; `None` if there is none, or several.
fn position_of_all(origins: &[Origin]) -> Option<&BinlogPosition> {
    let first = origins.first()?;
    let are_same = origins.iter().all(|origin| origin == first);
    first.snapshot.as_ref().filter(|_| are_same)
}

/// Takes the counts of `output`, which an earlier run has read, and its warnings for those
/// of its chunk.
fn tell_kept(context: ExportContext<'_>, output: &ChunkOutput) {
    let counters = context.status.status.counters();
    counters.set_rows(output.part.rows);
    counters.set_bytes(output.part.bytes);
    let warnings = output.kept.iter().flat_map(|kept| &kept.warnings);
    warnings.for_each(|warning| context.warn(warning.clone()));
}

/// Takes over what the chunks of `split` tell of the result.
fn adopt_details(
    split: &SplitRun,
    context: ExportContext<'_>,
    outputs: &[ChunkOutput],
) -> Result<()> {
    let all = split.chunks.iter().zip(outputs);
    let read = all.filter(|(_, output)| output.kept.is_none());
    let read = read.map(|(chunk, _)| chunk.status.status.details());
    let announced = split.resumable.as_ref().map(|kept| &kept.schema);
    let format = &*context.export.format;
    let Some(found) = details_of_all(read, outputs, announced, format)? else {
        return Ok(());
    };
    context.status.status.update(|details| {
        *details = StatusDetails {
            warnings: mem::take(&mut details.warnings),
            attempts: found.attempts,
            ..found
        };
    });
    Ok(())
}

/// Passes the warnings about chunks on as those of their export, each once.
struct ChunkObserver<'a> {
    inner: &'a dyn Observer,
    export: &'a ExportStatus,
}

impl Observer for ChunkObserver<'_> {
    fn event(&self, event: &Event<'_>) {
        let Event::Warning { text, .. } = event else {
            return;
        };
        let status = &self.export.status;
        if status.add_new_warning((*text).to_owned()) {
            let export = Some(self.export);
            self.inner.event(&Event::Warning { export, text });
        }
    }
}
