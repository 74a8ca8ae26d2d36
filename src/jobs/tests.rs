//! Tests of jobs without a server: sources and sinks in memory, and faults at every
//! step.

use std::{
    collections::VecDeque,
    num::NonZeroU16,
    sync::{Arc, Mutex},
};

use super::{
    event::{Event, Observer, RunReport},
    guard::Guards,
    plan::{EmptyResult, ExportPlan, LoadPlan, OnError, Publish, RunPlan},
    runner::Runner,
    session::{Backend, Session, Sessions},
    status::{Outcome, Status},
};
use crate::{
    cancel::CancelToken,
    error::{Error, ErrorKind, Result, Retry},
    format::Csv,
    load::LoadTarget,
    row::{MemoryRow, Row, Value},
    schema::{Column, ColumnType, Schema},
    sink::{Commit, Restart, Sink, SinkOptions, Staged, Target},
    source::{
        BinlogPosition, Chunks, ConnectOptions, Increment, IncrementOptions, IncrementStart,
        LoadLimits, RowSource, SessionFacts, SessionOptions, SnapshotGap, SnapshotMode,
        SplitOptions,
    },
    sql::{Query, TableName},
};

/// Rows of one integer column, and the error after the last one, if there is one.
struct MemorySource {
    schema: Schema,
    rows: u64,
    next: u64,
    failure: Option<Error>,
    row: MemoryRow,
}

impl RowSource for MemorySource {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn next_row(&mut self) -> Result<Option<Row<'_>>> {
        if self.next == self.rows {
            return self.failure.clone().map_or(Ok(None), Err);
        }
        self.next += 1;
        self.row = MemoryRow::new(&[Value::UInt(self.next)]);
        Ok(Some(self.row.view()))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// What the server returns in one attempt: the number of rows, and the error after
/// them, if there is one.
type Attempt = (u64, Option<Error>);

/// A server in memory. Each query's text is a key of its attempts.
#[derive(Default)]
struct Memory {
    attempts: Mutex<Vec<(&'static str, VecDeque<Attempt>)>>,
    /// The committed outputs, one line each, in this order.
    journal: Arc<Mutex<Vec<String>>>,
    /// The target whose commit fails.
    fails_to_commit: Option<&'static str>,
}

impl Memory {
    fn with(mut self, query: &'static str, attempts: impl IntoIterator<Item = Attempt>) -> Self {
        let attempts = attempts.into_iter().collect();
        self.attempts
            .get_mut()
            .expect("no panic")
            .push((query, attempts));
        self
    }
}

/// A shared handle, so that a test can read the server's state after the run.
#[derive(Clone)]
struct Shared(Arc<Memory>);

impl Backend for Shared {
    fn connect(&self, _cancel: &CancelToken) -> Result<Box<dyn Session>> {
        Ok(Box::new(MemorySession {
            memory: Arc::clone(&self.0),
            query: String::new(),
        }))
    }

    fn open_snapshot(&self, count: usize, cancel: &CancelToken) -> Result<Sessions> {
        let sessions = (0..count).map(|_| self.connect(cancel));
        let position = BinlogPosition {
            gtid: Some("0-1-7".to_owned()),
            ..BinlogPosition::default()
        };
        Ok((sessions.collect::<Result<_>>()?, Some(position)))
    }

    fn open_sink(
        &self,
        target: &Target,
        _options: SinkOptions,
        _cancel: &CancelToken,
    ) -> Result<Box<dyn Sink>> {
        let name = target.to_string();
        Ok(Box::new(MemorySink {
            restart: match name.as_str() {
                "stream" => Restart::Forbidden,
                _ => Restart::Allowed,
            },
            can_commit: self.0.fails_to_commit != Some(name.as_str()),
            name,
            bytes: Vec::new(),
            journal: Arc::clone(&self.0.journal),
        }))
    }
}

struct MemorySession {
    memory: Arc<Memory>,
    query: String,
}

impl Session for MemorySession {
    fn attach(&mut self, _cancel: &CancelToken) -> Result<()> {
        Ok(())
    }

    fn reset(&mut self) -> Result<()> {
        Ok(())
    }

    fn create_statement(&mut self, _table: &TableName) -> Result<String> {
        Ok("CREATE TABLE t;\n".to_owned())
    }

    fn overload(&mut self, _limits: LoadLimits) -> Result<Option<String>> {
        Ok(None)
    }

    fn chunks(&mut self, _split: &SplitOptions) -> Result<Chunks> {
        let key = |condition: &str| condition.to_owned();
        Ok(Chunks {
            conditions: vec![key("n < 5"), key("n >= 5")],
            order: Some("n".to_owned()),
            moment: "1".to_owned(),
            warnings: Vec::new(),
        })
    }

    fn stop_clock(&mut self, _moment: &str) -> Result<bool> {
        Ok(true)
    }

    fn chunk_key(&mut self, _split: &SplitOptions) -> Result<Vec<String>> {
        Ok(vec!["n bigint".to_owned()])
    }

    fn variables_of_rows(&mut self) -> Result<String> {
        Ok(String::new())
    }

    fn describe(&mut self) -> Result<Result<Schema, String>> {
        Ok(Err("the query has not run".to_owned()))
    }

    fn increment(
        &mut self,
        _options: &IncrementOptions,
        _start: &IncrementStart,
    ) -> Result<Increment> {
        Err(Error::new(ErrorKind::Query, "nothing is kept"))
    }

    fn bind(&mut self, export: &ExportPlan) -> Result<()> {
        export.query.text().clone_into(&mut self.query);
        Ok(())
    }

    fn new_warnings(&self) -> Vec<String> {
        Vec::new()
    }

    fn facts(&mut self) -> Result<SessionFacts> {
        Err(Error::new(ErrorKind::Query, "there are none"))
    }

    fn snapshot_gaps(&mut self) -> Result<Vec<SnapshotGap>> {
        Ok(Vec::new())
    }

    fn run(&mut self) -> Result<Box<dyn RowSource + '_>> {
        let mut attempts = self.memory.attempts.lock().expect("no panic");
        let mut queries = attempts.iter_mut();
        let (_, attempts) = queries
            .find(|(query, _)| *query == self.query)
            .expect("a query of the test");
        let (rows, failure) = attempts.pop_front().expect("another attempt");
        let column = Column::new("n", "BIGINT", ColumnType::Integer { zerofill: None });
        Ok(Box::new(MemorySource {
            schema: Schema {
                columns: vec![column],
            },
            rows,
            next: 0,
            failure,
            row: MemoryRow::new(&[]),
        }))
    }

    fn warning_count(&self) -> u16 {
        0
    }

    fn result_warnings(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn check_text(&mut self) -> Result<()> {
        Ok(())
    }

    fn check_time_zone(&mut self) -> Result<Option<String>> {
        Ok(None)
    }

    fn close_statement(&mut self) {}

    fn check_snapshot(&mut self) -> Result<()> {
        Ok(())
    }
}

struct MemorySink {
    name: String,
    bytes: Vec<u8>,
    restart: Restart,
    can_commit: bool,
    journal: Arc<Mutex<Vec<String>>>,
}

impl Sink for MemorySink {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&self) -> Restart {
        self.restart
    }

    fn finish(self: Box<Self>) -> Result<Staged> {
        Ok(Staged::new(Box::new(MemoryCommit(*self)), None))
    }
}

struct MemoryCommit(MemorySink);

impl Commit for MemoryCommit {
    fn commit(self: Box<Self>) -> Result<()> {
        let MemorySink {
            name,
            bytes,
            can_commit,
            journal,
            ..
        } = self.0;
        if !can_commit {
            return Err(Error::new(ErrorKind::Output, format!("{name} is full")));
        }
        let text = String::from_utf8_lossy(&bytes).replace('\n', " ");
        let entry = format!("{name}: {}", text.trim_end());
        journal.lock().expect("no panic").push(entry);
        Ok(())
    }
}

/// Keeps the events of a run, one line each.
#[derive(Default)]
struct Events(Mutex<Vec<String>>);

impl Observer for Events {
    fn event(&self, event: &Event<'_>) {
        let name = |export: &super::ExportStatus| export.name.clone().unwrap_or_default();
        let line = match event {
            Event::Started { export } => format!("{} starts", name(export)),
            Event::Warning { text, .. } => format!("warning: {text}"),
            Event::Succeeded { export } => format!("{} succeeds", name(export)),
            Event::Failed { export, error } => {
                format!("{} fails: {}", name(export), error.message())
            }
        };
        self.0.lock().expect("no panic").push(line);
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Query, "lost").with_retry(Retry::Later)
}

fn export(name: &str, query: &str) -> ExportPlan {
    ExportPlan {
        name: Some(name.to_owned()),
        ..ExportPlan::new(
            Query::parse(query).expect("a query"),
            Csv::default(),
            Target::file(name),
        )
    }
}

fn plan(exports: Vec<ExportPlan>) -> RunPlan {
    RunPlan {
        connect: ConnectOptions::tcp("nowhere", 1),
        session: SessionOptions::default(),
        retries: 0,
        reads_server_facts: false,
        exports,
        on_error: OnError::Continue,
        publish: Publish::Each,
        connections: NonZeroU16::MIN,
        snapshot: SnapshotMode::None,
        load_limits: LoadLimits::default(),
        rows_per_second: None,
        spool: None,
        state: None,
        found_tables: None,
        reserved: Default::default(),
    }
}

/// The results of a run.
struct Run {
    report: RunReport,
    /// The committed outputs, in this order.
    committed: Vec<String>,
    events: Vec<String>,
}

fn run(plan: RunPlan, memory: Memory) -> Run {
    run_until(plan, memory, &CancelToken::new())
}

fn run_until(plan: RunPlan, memory: Memory, cancel: &CancelToken) -> Run {
    let (memory, events) = (Shared(Arc::new(memory)), Arc::new(Events::default()));
    let observer = Arc::clone(&events) as Arc<dyn Observer>;
    let backend = Box::new(memory.clone());
    let runner = Runner::with_backend(plan, Status::default(), observer, backend);
    let result = runner.execute(cancel);
    let report = runner.conclude(result, cancel);
    let committed = memory.0.journal.lock().expect("no panic").clone();
    let events = events.0.lock().expect("no panic").clone();
    Run {
        report,
        committed,
        events,
    }
}

fn message(report: &RunReport) -> String {
    let error = report.result.as_ref().expect_err("a failure");
    format!("{} {}", error.kind().exit_code(), error.message())
}

#[test]
fn an_export_commits_all_rows_and_counts_them() {
    let memory = Memory::default().with("SELECT 1", [(3, None)]);
    let run = run(plan(vec![export("a", "SELECT 1")]), memory);
    assert!(run.report.result.is_ok());
    assert_eq!(run.committed, ["a: n 1 2 3"]);
    assert_eq!((run.report.rows(), run.report.bytes()), (3, 8));
    assert_eq!(run.events, ["a starts", "a succeeds"]);
}

#[test]
fn a_transient_failure_is_retried_and_a_permanent_one_is_not() {
    let memory = Memory::default()
        .with("SELECT 1", [(2, Some(lost())), (3, None)])
        .with(
            "SELECT 2",
            [(1, Some(Error::new(ErrorKind::Query, "wrong")))],
        );
    let mut plan = plan(vec![export("a", "SELECT 1"), export("b", "SELECT 2")]);
    plan.retries = 1;
    let run = run(plan, memory);
    assert_eq!(run.committed, ["a: n 1 2 3"]);
    assert_eq!(
        run.events,
        [
            "a starts",
            "warning: attempt 1 of 2 failed: lost; 2 rows had come, and a was not touched; the next one begins in 1 s",
            "a succeeds",
            "b starts",
            "b fails: wrong; 1 row had come, and b was not touched",
        ]
    );
    assert_eq!(
        message(&run.report),
        "4 1 of 2 exports failed: b (exit code 4)"
    );
    assert_eq!(run.report.exports[0].status.details().attempts, 2);
}

#[test]
fn a_stream_that_has_rows_is_not_retried() {
    let memory = Memory::default().with("SELECT 1", [(2, Some(lost()))]);
    let mut plan = plan(vec![export("stream", "SELECT 1")]);
    plan.retries = 5;
    let run = run(plan, memory);
    assert!(run.committed.is_empty());
    let Some(Outcome::Failure(error)) = run.report.exports[0].status.outcome() else {
        panic!("it failed");
    };
    let hint = "it is not tried again: what went there cannot be taken back";
    assert_eq!(error.hint(), Some(hint));
    assert_eq!(
        error.message(),
        "lost; 2 rows had come, and what was written is incomplete"
    );
}

#[test]
fn nothing_is_retried_in_a_snapshot() {
    let memory = Memory::default().with("SELECT 1", [(0, Some(lost()))]);
    let mut plan = plan(vec![export("a", "SELECT 1")]);
    (plan.retries, plan.snapshot) = (5, SnapshotMode::Compared);
    let run = run(plan, memory);
    let Some(Outcome::Failure(error)) = run.report.exports[0].status.outcome() else {
        panic!("it failed");
    };
    let hint = "it is not tried again: its connection held the snapshot";
    assert_eq!(error.hint(), Some(hint));
}

#[test]
fn guards_end_an_export_at_the_first_row_too_many_and_at_the_end() {
    let guarded = |name, query, guards| ExportPlan {
        guards,
        ..export(name, query)
    };
    let max = Guards {
        max_rows: Some(2),
        ..Guards::default()
    };
    let min = Guards {
        min_rows: Some(5),
        ..Guards::default()
    };
    let columns = Guards {
        columns: vec!["id".to_owned()],
        ..Guards::default()
    };
    let memory = Memory::default()
        .with("SELECT 1", [(1000, None)])
        .with("SELECT 2", [(4, None)])
        .with("SELECT 3", [(4, None)]);
    let run = run(
        plan(vec![
            guarded("max", "SELECT 1", max),
            guarded("min", "SELECT 2", min),
            guarded("columns", "SELECT 3", columns),
        ]),
        memory,
    );
    assert!(run.committed.is_empty());
    assert_eq!(run.report.exports[0].status.rows(), 3);
    let failures: Vec<&String> = run
        .events
        .iter()
        .filter(|line| line.contains("fails"))
        .collect();
    assert_eq!(
        failures,
        [
            "max fails: a guard tripped: there are more than 2 rows; 3 rows had come, and max was not touched",
            "min fails: a guard tripped: there are 4 rows, fewer than 5; 4 rows had come, and min was not touched",
            "columns fails: a guard tripped: column 1 is \"n\", not \"id\"; no row had come, and columns was not touched",
        ]
    );
}

#[test]
fn an_empty_result_fails_unless_it_is_allowed() {
    let memory = Memory::default()
        .with("SELECT 1", [(0, None)])
        .with("SELECT 2", [(0, None)]);
    let allowed = ExportPlan {
        empty_result: EmptyResult::Allow,
        ..export("b", "SELECT 2")
    };
    let run = run(plan(vec![export("a", "SELECT 1"), allowed]), memory);
    assert_eq!(run.committed, ["b: n"]);
    assert_eq!(
        message(&run.report),
        "1 1 of 2 exports failed: a (exit code 1)"
    );
}

#[test]
fn all_or_nothing_publishes_in_order_and_nothing_after_a_failure() {
    let all = |fails_to_commit| Memory {
        fails_to_commit,
        ..Memory::default()
    };
    let rows = |memory: Memory| {
        memory
            .with("SELECT 1", [(1, None)])
            .with("SELECT 2", [(2, None)])
            .with("SELECT 3", [(1, None)])
    };
    let exports = || {
        let mut plan = plan(vec![
            export("a", "SELECT 1"),
            export("b", "SELECT 2"),
            export("c", "SELECT 3"),
        ]);
        plan.publish = Publish::AllOrNothing;
        plan
    };
    let good = run(exports(), rows(all(None)));
    assert_eq!(good.committed, ["a: n 1", "b: n 1 2", "c: n 1"]);

    let broken = run(exports(), rows(all(Some("b"))));
    assert_eq!(broken.committed, ["a: n 1"]);
    assert_eq!(
        message(&broken.report),
        "5 1 of 3 exports failed: b (exit code 5); 1 was not published: c; \
         1 is published all the same: a"
    );

    let one_fails = Memory::default()
        .with("SELECT 1", [(1, None)])
        .with("SELECT 2", [(0, Some(lost()))])
        .with("SELECT 3", [(1, None)]);
    let none = run(exports(), one_fails);
    assert!(none.committed.is_empty());
    assert_eq!(
        message(&none.report),
        "4 1 of 3 exports failed: b (exit code 4); 2 were not published: a, c"
    );
}

#[test]
fn on_error_stop_leaves_the_rest() {
    let memory = Memory::default().with("SELECT 1", [(0, Some(lost()))]);
    let mut plan = plan(vec![export("a", "SELECT 1"), export("b", "SELECT 2")]);
    plan.on_error = OnError::Stop;
    let run = run(plan, memory);
    assert_eq!(
        message(&run.report),
        "4 1 of 2 exports failed: a (exit code 4); 1 did not run: b"
    );
}

#[test]
fn a_cancelled_run_commits_nothing() {
    let memory = Memory::default().with("SELECT 1", [(3, None)]);
    let cancel = CancelToken::new();
    cancel.cancel_all(&Error::new(ErrorKind::Query, "enough"));
    let run = run_until(plan(vec![export("a", "SELECT 1")]), memory, &cancel);
    assert!(run.committed.is_empty() && run.events.is_empty());
    assert_eq!(message(&run.report), "4 enough");
}

#[test]
fn a_plan_is_the_same_after_json() {
    let mut plan = export("a", "SELECT :x");
    plan.parameters = vec!["x=1".parse().expect("a parameter")];
    plan.guards.max_change = Some("0.5%".parse().expect("a percentage"));
    plan.format = Arc::new(Csv::new().delimiter(b';').expect("a delimiter"));
    plan.load = Some(LoadPlan {
        target: LoadTarget::named("duckdb").expect("a target"),
        table: "a".to_owned(),
        statement_file: None,
    });
    let json = serde_json::to_value(&plan).expect("JSON");
    assert_eq!(json["load"]["target"], "duckdb");
    assert_eq!(json["format"]["options"]["delimiter"], ";");
    assert_eq!(json["query"], "SELECT :x");
    let again: ExportPlan = serde_json::from_value(json.clone()).expect("a plan");
    assert_eq!(serde_json::to_value(&again).expect("JSON"), json);
    assert_eq!(format!("{again:?}"), format!("{plan:?}"));
}
