//! A run as people see it: its exports, one after the other or side by side,
//! under the eyes of the main thread, and what is told of them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use jiff::Timestamp;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::span::EnteredSpan;

use crate::{
    artifacts::history::{State, Success},
    artifacts::manifest,
    artifacts::retention,
    cancel::Cancel,
    cli::progress,
    cli::report,
    cli::signals,
    config::{Config, Export, OnError, Publish, Snapshot, Target},
    error::{Error, ErrorKind, Result, Retry},
    jobs::export::{Job, Pauses, aftermath, export},
    jobs::status::{Journal, Outcome},
    sink::{self, Finished},
    source::{
        QueryExecutor,
        snapshot::{self, Position},
    },
};

/// What is known of one export of a run.
#[derive(Clone)]
pub struct Entry {
    /// What the configuration file calls it, where it lists exports.
    pub name: Option<String>,
    /// Where its rows go.
    pub target: Target,
    /// What it comes to.
    pub journal: Journal,
}

impl Entry {
    /// What is told until this is dropped is about this one.
    fn enter(&self) -> Option<EnteredSpan> {
        let name = self.name.as_deref()?;
        Some(tracing::error_span!("export", export = name).entered())
    }
}

/// The rows and bytes of all of them, so far.
#[must_use]
pub fn totals(entries: &[Entry]) -> (u64, u64) {
    let counts = entries
        .iter()
        .map(|entry| (entry.journal.rows(), entry.journal.bytes()));
    counts.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
}

/// Runs the exports that `config` describes. What each comes to stands in its
/// entry; `journal` is that of the run, and of an export that is alone in it.
///
/// # Errors
/// That of an export that is alone; else one that tells of all that failed, of the
/// kind of the first.
pub fn run(config: Config, journal: &Journal) -> (Vec<Entry>, Result<()>) {
    let cancel = Cancel::default();
    let entry = |export: &Export| Entry {
        name: export.name.clone(),
        target: export.target.clone(),
        journal: match export.name {
            Some(_) => Journal::waiting(),
            None => journal.clone(),
        },
    };
    let entries: Vec<Entry> = config.exports.iter().map(entry).collect();
    let crew = Arc::new(Crew {
        queue: Mutex::new((0..entries.len()).collect()),
        ready: Mutex::default(),
        late: Mutex::default(),
        is_unreachable: AtomicBool::new(false),
        journal: journal.clone(),
        entries: entries.clone(),
        config,
    });
    let progress = progress::show(&crew.config, &entries, journal);
    let working = Arc::clone(&crew);
    let result = signals::run(&cancel, move |cancel| working.work(cancel));
    if let Err(error) = &result {
        // Those whose threads are stuck, or broke down.
        for (number, entry) in entries.iter().enumerate() {
            if entry.journal.is_running() {
                let error = aftermath(error.clone(), &entry.target, &entry.journal, &cancel);
                let _named = entry.enter();
                crew.end(number, Err(error));
            }
        }
    }
    drop(progress);
    let verdict = crew.verdict(result);
    let reporting = &crew.config.reporting;
    match &entries[..] {
        _ if verdict.is_err() => {}
        [entry] if entry.name.is_none() => report::success(entry, reporting),
        entries => report::all_succeeded(entries, journal, reporting),
    }
    (entries, verdict)
}

/// Each export that waits for others keeps its files open.
fn allow_many_files() {
    // Where that is not allowed, opening one fails, and says so.
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// The exports of a run, and what its threads share.
struct Crew {
    config: Config,
    entries: Vec<Entry>,
    /// The numbers of those that have not begun.
    queue: Mutex<VecDeque<usize>>,
    /// Those that wait for the others to be published.
    ready: Mutex<Vec<(usize, Ready)>>,
    /// What went wrong when all was published.
    late: Mutex<Option<Error>>,
    /// Whether the last export found no server.
    is_unreachable: AtomicBool,
    journal: Journal,
}

/// A complete output, with the manifest that follows it.
struct Ready {
    target: Finished,
    manifest: Option<Finished>,
}

impl Ready {
    fn check(&self) -> Result<()> {
        self.target.check()?;
        self.manifest.as_ref().map_or(Ok(()), Finished::check)
    }

    fn publish(self) -> Result<()> {
        // Another run to the same target must not come between the two.
        let place = self.manifest.as_ref().and_then(Finished::path);
        let _locked = place.and_then(sink::lock_folder);
        self.target.publish()?;
        self.manifest.map_or(Ok(()), Finished::publish)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is whole when a panic elsewhere is seen.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crew {
    /// Runs all exports.
    ///
    /// # Errors
    /// What keeps them from running; what they come to stands in their journals.
    fn work(&self, cancel: &Cancel) -> Result<()> {
        let run = &self.config.run;
        if run.publish == Publish::AllOrNothing {
            allow_many_files();
        }
        let before = self.config.state()?;
        let count = self.config.connections();
        let (mut sessions, position) = match run.snapshot {
            Snapshot::None => (Vec::new(), None),
            _ => self.open_snapshot(count, cancel)?,
        };
        let night = Night {
            crew: self,
            cancel,
            before: &before,
            position: position.as_ref(),
        };
        let broken = thread::scope(|scope| {
            let mut helpers = Vec::new();
            for _ in 1..count {
                let session = sessions.pop();
                let helper =
                    thread::Builder::new().spawn_scoped(scope, move || night.serve(session));
                match helper {
                    Ok(helper) => helpers.push(helper),
                    // The others do its work.
                    Err(error) => tracing::info!("cannot start a thread: {error}"),
                }
            }
            night.serve(sessions.pop());
            let ended = helpers.into_iter().map(thread::ScopedJoinHandle::join);
            // All of them are waited for.
            ended.filter(Result::is_err).count() > 0
        });
        self.publish_all(cancel)?;
        if let Some(cause) = cancel.cause() {
            return Err(cause);
        }
        if broken {
            return Err(signals::panicked());
        }
        self.give_up_the_rest();
        Ok(())
    }

    /// The sessions of the snapshot, and where it is.
    fn open_snapshot(
        &self,
        count: usize,
        cancel: &Cancel,
    ) -> Result<(Vec<QueryExecutor>, Option<Position>)> {
        let mut pauses = Pauses::new(self.config.retries);
        loop {
            match cancel.explain(snapshot::open(&self.config, count, cancel)) {
                Ok(opened) => return Ok((opened.sessions, opened.position)),
                Err(error) if pauses.are_left() && error.retry() == Retry::Later => {
                    pauses.wait(&error, &self.journal, cancel)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Those that no session is left for: rows of another moment would not fit.
    fn give_up_the_rest(&self) {
        let rest: Vec<usize> = lock(&self.queue).drain(..).collect();
        for number in rest {
            let what = "it did not run: the snapshot is lost";
            let error = Error::new(ErrorKind::Query, what).with_hint(
                "run all again: in a later snapshot, rows would not agree with the others'",
            );
            self.entries[number].journal.begin();
            let _named = self.entries[number].enter();
            self.end(number, Err(error));
        }
    }

    /// Gives all that are ready their names, if all are.
    fn publish_all(&self, cancel: &Cancel) -> Result<()> {
        let mut ready = std::mem::take(&mut *lock(&self.ready));
        ready.sort_by_key(|(number, _)| *number);
        if ready.is_empty() {
            return Ok(());
        }
        let is_whole = ready.len() == self.entries.len();
        // What can be known to fail should, before the first has its name.
        let hindered = ready.iter().find_map(|(number, ready)| {
            let checked = if is_whole { ready.check() } else { Ok(()) };
            Some((*number, checked.err()?))
        });
        let begun = match &hindered {
            None if is_whole => cancel.begin_publication(),
            _ => Ok(()),
        };
        let is_wanted = is_whole && hindered.is_none() && begun.is_ok();
        // One after the other and nothing between, up to the first that fails.
        let mut published = Vec::new();
        let mut rest = ready.into_iter();
        if is_wanted {
            for (number, ready) in rest.by_ref() {
                let result = ready.publish();
                let has_failed = result.is_err();
                published.push((number, result));
                if has_failed {
                    break;
                }
            }
        }
        let others = rest.map(|(number, _)| number);
        let withheld: Vec<usize> = others.collect();
        for (number, result) in published {
            let _named = self.entries[number].enter();
            self.end(number, result);
        }
        for number in withheld {
            match &hindered {
                Some((first, error)) if *first == number => {
                    let _named = self.entries[number].enter();
                    self.end(number, Err(error.clone()));
                }
                _ => self.entries[number].journal.end(Outcome::Withheld),
            }
        }
        begun
    }

    /// Notes what the export has come to, and tells it.
    fn end(&self, number: usize, result: Result<()>) {
        let (entry, export) = (&self.entries[number], &self.config.exports[number]);
        let error = match result {
            Ok(()) => {
                entry.journal.end(Outcome::Success);
                if entry.name.is_some() {
                    report::success(entry, &self.config.reporting);
                }
                self.remember(entry);
                if let (Some(naming), Target::Path(path, _)) = (&export.manifest, &export.target) {
                    retention::prune(entry.name.as_deref(), naming, path, &entry.journal);
                }
                return;
            }
            Err(error) => error,
        };
        entry.journal.end(Outcome::Failure(error.clone()));
        if self.config.run.on_error == OnError::Stop {
            lock(&self.queue).clear();
        }
        if let Some(name) = &entry.name {
            report::failed_export(name, error, &self.config.reporting);
        }
    }

    /// Keeps what the export has come to for the next run.
    fn remember(&self, entry: &Entry) {
        // One at a time reads and writes the file.
        let mut late = lock(&self.late);
        let (Some(path), Some(name)) = (&self.config.run.state, &entry.name) else {
            return;
        };
        let success = Success {
            rows: entry.journal.rows(),
            columns: entry.journal.facts().columns,
            finished: format!("{:.3}", Timestamp::now()),
        };
        if let Err(error) = State::record(path, name, success) {
            entry.journal.warn(format!(
                "the next run has nothing to compare with: {}",
                error.message()
            ));
            late.get_or_insert(error);
        }
    }

    /// What the run as a whole has come to, where its threads gave `result`.
    fn verdict(&self, result: Result<()>) -> Result<()> {
        let mut failed: Vec<(&str, Error)> = Vec::new();
        let mut others: [Vec<&str>; 2] = Default::default();
        let mut published = Vec::new();
        for entry in &self.entries {
            let name = entry.name.as_deref().unwrap_or_default();
            match entry.journal.outcome() {
                Some(Outcome::Success) => published.push(name),
                Some(Outcome::Failure(error)) if entry.name.is_none() => return Err(error),
                Some(Outcome::Failure(error)) => failed.push((name, error)),
                Some(Outcome::Withheld) => others[0].push(name),
                None => others[1].push(name),
            }
        }
        let is_complete = failed.is_empty() && others.iter().all(Vec::is_empty);
        let late = lock(&self.late).clone();
        let first = match (failed.first(), result) {
            _ if is_complete => return late.map_or(Ok(()), Err),
            // Whoever ended the run by a signal wants to see that.
            (_, Err(cause)) if matches!(cause.kind(), ErrorKind::Signal(_)) => cause,
            (Some((_, error)), _) => error.clone(),
            (None, Err(error)) => return Err(error),
            (None, Ok(())) => return Err(signals::panicked()),
        };
        let all = self.entries.len();
        let listed = failed
            .iter()
            .map(|(name, error)| format!("{name} (exit code {})", error.kind().exit_code()));
        let listed: Vec<String> = listed.collect();
        let mut what = match listed.len() {
            0 => first.message().to_owned(),
            count => format!("{count} of {all} exports failed: {}", some(&listed)),
        };
        for (names, became) in others.iter().zip(["were not published", "did not run"]) {
            if !names.is_empty() {
                what += &format!("; {} {became}: {}", names.len(), some(names));
            }
        }
        if self.config.run.publish == Publish::AllOrNothing && !published.is_empty() {
            let names = some(&published);
            what += &format!("; {} are published all the same: {names}", published.len());
        }
        Err(Error::new(first.kind(), what))
    }
}

/// The first of `names`, and how many others there are.
fn some<T: AsRef<str>>(names: &[T]) -> String {
    let (shown, others) = names.split_at(names.len().min(MOST_NAMES));
    let shown: Vec<&str> = shown.iter().map(AsRef::as_ref).collect();
    match others.len() {
        0 => shown.join(", "),
        count => format!("{} and {count} more", shown.join(", ")),
    }
}

/// More names than this tell nobody more.
const MOST_NAMES: usize = 10;

/// What the threads that run exports need.
#[derive(Clone, Copy)]
struct Night<'a> {
    crew: &'a Crew,
    cancel: &'a Cancel,
    before: &'a State,
    position: Option<&'a Position>,
}

impl Night<'_> {
    /// Runs one export after the other, over `session`, if there is one.
    fn serve(self, mut session: Option<QueryExecutor>) {
        loop {
            if self.cancel.cause().is_some() {
                return;
            }
            if let Some(session) = &mut session
                && let Err(error) = session.has_snapshot()
            {
                let what = format!("a session has lost the snapshot: {}", error.message());
                self.crew.journal.warn(what);
                return;
            }
            let Some(number) = lock(&self.crew.queue).pop_front() else {
                return;
            };
            self.run(number, session.as_mut());
            if let (Some(session), Ok(idle)) = (&mut session, self.cancel.part()) {
                // It is asked again before its next export.
                let _ = session.work_for(&idle);
            }
        }
    }

    fn run(self, number: usize, session: Option<&mut QueryExecutor>) {
        let Night { crew, cancel, .. } = self;
        let (entry, export) = (&crew.entries[number], &crew.config.exports[number]);
        let _named = entry.enter();
        entry.journal.begin();
        let result = cancel.part().and_then(|part| {
            let job = Job {
                config: &crew.config,
                export,
                journal: &entry.journal,
                cancel: &part,
                last: entry
                    .name
                    .as_ref()
                    .and_then(|name| self.before.exports.get(name)),
                // A server that could not be reached all that time will hardly be
                // there for the next export.
                retries: match crew.is_unreachable.load(Relaxed) {
                    false => crew.config.retries,
                    true => 0,
                },
            };
            let ready = self.make_ready(job, session);
            let result = match crew.config.run.publish {
                Publish::Each => ready.and_then(Ready::publish).map(|()| true),
                Publish::AllOrNothing => ready.map(|ready| {
                    entry.journal.wait_for_others();
                    lock(&crew.ready).push((number, ready));
                    false
                }),
            };
            result.map_err(|error| aftermath(error, &export.target, &entry.journal, &part))
        });
        let is_unreachable =
            |error: &Error| error.kind() == ErrorKind::Connect && error.retry() == Retry::Later;
        let found = result.as_ref().err().is_some_and(is_unreachable);
        crew.is_unreachable.store(found, Relaxed);
        match result {
            Ok(false) => {}
            result => crew.end(number, result.map(drop)),
        }
    }

    /// Runs the export up to its complete output.
    fn make_ready(self, job: Job<'_>, session: Option<&mut QueryExecutor>) -> Result<Ready> {
        let target = export(job, session)?;
        let manifest = job.export.manifest.as_ref();
        let manifest = manifest
            .map(|naming| manifest::prepare(job, naming, self.position, &target))
            .transpose()?;
        Ok(Ready { target, manifest })
    }
}
