//! The engine as a library, against the real servers: what the first page of the
//! documentation and the examples promise.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use gold_digger::{
    CancelToken, Export,
    error::{self, Error, ErrorKind, Signal},
    format::{Csv, EncodeBuffer, Format, Json, RowWriter, ValueError},
    jobs::{Event, Observer},
    row::{DateTime, Row, Value},
    schema::Schema,
    sink::{Commit, Restart, Sink, Staged, Target},
    source::{ConnectOptions, QueryExecutor, SessionOptions, SessionUse},
};

use crate::support::{Database, each_server, file_names, poll_until, short_timeout, wait_for};

/// The server of `db`, as a user of the library names it.
fn server(db: &Database) -> ConnectOptions {
    let socket = db.server.socket.to_str().expect("a plain path");
    ConnectOptions::socket(socket)
        .user("root")
        .password(db.server.password.clone())
        .database(db.name.clone())
}

#[test]
fn a_query_becomes_a_vector_or_a_whole_file() {
    each_server(|db| {
        let sql = "SELECT 7 AS id, 'a;b' AS text, NULL AS nothing";
        let csv = || Csv::new().delimiter(b';').expect("a delimiter");
        let bytes = Export::new(server(db), sql)
            .format(csv())
            .to_vec(&CancelToken::new());
        let wanted = b"id;text;nothing\n7;\"a;b\";\n";
        assert_eq!(bytes.expect("the document"), wanted);

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        let report = Export::new(server(db), sql)
            .format(csv())
            .target(Target::file(&path))
            .run(&CancelToken::new())
            .expect("a report");
        assert_eq!(fs::read(&path).expect("the file"), wanted);
        assert_eq!((report.rows, report.bytes), (1, wanted.len() as u64));
        let columns: Vec<&str> = report.columns.iter().map(|column| &*column.name).collect();
        assert_eq!(columns, ["id", "text", "nothing"]);

        let failed = Export::new(server(db), "SELECT n FROM missing")
            .format(Json::default())
            .target(Target::file(&path))
            .run(&CancelToken::new());
        let error = failed.expect_err("no such table");
        assert_eq!(error.kind(), ErrorKind::Query);
        assert!(std::error::Error::source(&error).is_some());
        assert_eq!(fs::read(&path).expect("the file"), wanted);
        assert_eq!(file_names(folder.path()), ["a.csv"]);
    });
}

#[test]
fn a_parameter_is_bound_and_a_missing_one_is_an_error() {
    each_server(|db| {
        let export = || Export::new(server(db), "SELECT :who AS who").format(Json::default());
        let json = export()
            .parameter("who", "O'Hara")
            .to_vec(&CancelToken::new());
        assert_eq!(json.expect("a document"), b"[\n{\"who\":\"O'Hara\"}\n]\n");
        let wrong = export().parameter("whom", "x").to_vec(&CancelToken::new());
        assert_eq!(wrong.expect_err("no value").kind(), ErrorKind::Config);
    });
}

/// The first column, a line each.
#[derive(Debug)]
struct Lines;

impl Format for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn open(&self, _schema: &Schema) -> error::Result<Box<dyn RowWriter>> {
        Ok(Box::new(Self))
    }
}

impl RowWriter for Lines {
    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        match row.value(0) {
            Value::Bytes(text) => out.extend(text),
            other => out.extend(format!("{other:?}").as_bytes()),
        }
        out.extend(b"\n");
        Ok(())
    }

    fn finish(&mut self, out: &mut EncodeBuffer<'_>) -> error::Result<()> {
        out.extend(b".\n");
        Ok(())
    }
}

/// Keeps bytes, which appear in `shelf` when they are committed.
struct ShelfSink {
    bytes: Vec<u8>,
    shelf: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Sink for ShelfSink {
    fn write(&mut self, bytes: &[u8]) -> error::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&self) -> Restart {
        Restart::Allowed
    }

    fn finish(self: Box<Self>) -> error::Result<Staged> {
        Ok(Staged::new(self, None))
    }
}

impl Commit for ShelfSink {
    fn commit(self: Box<Self>) -> error::Result<()> {
        self.shelf.lock().expect("no panic").push(self.bytes);
        Ok(())
    }
}

#[test]
fn a_format_and_a_sink_of_ones_own_take_the_rows() {
    each_server(|db| {
        let shelf = Arc::new(Mutex::new(Vec::new()));
        let export = |sql: &str| {
            let shelf = Arc::clone(&shelf);
            let open = move || -> error::Result<Box<dyn Sink>> {
                Ok(Box::new(ShelfSink {
                    bytes: Vec::new(),
                    shelf: Arc::clone(&shelf),
                }))
            };
            let export = Export::new(server(db), sql).format(Lines).sink(open);
            export.run(&CancelToken::new())
        };
        let report = export("SELECT 'one' UNION ALL SELECT 'two'").expect("a report");
        assert_eq!((report.rows, report.bytes), (2, 10));
        assert_eq!(
            *shelf.lock().expect("no panic"),
            [b"one\ntwo\n.\n".to_vec()]
        );
        // A failure after the first row commits nothing.
        export("SELECT 'three' UNION ALL SELECT (SELECT 1 UNION SELECT 2)").expect_err("two rows");
        assert_eq!(shelf.lock().expect("no panic").len(), 1);
    });
}

/// Counts what starts and what ends.
#[derive(Default)]
struct Counts {
    started: AtomicUsize,
    succeeded: AtomicUsize,
    failed: AtomicUsize,
}

impl Observer for Counts {
    fn event(&self, event: &Event<'_>) {
        let count = match event {
            Event::Started { .. } => &self.started,
            Event::Succeeded { export } => {
                assert_eq!(export.status.rows(), 1);
                &self.succeeded
            }
            Event::Failed { error, .. } => {
                assert_eq!(error.kind(), ErrorKind::NoRows);
                &self.failed
            }
            _ => return,
        };
        count.fetch_add(1, Relaxed);
    }
}

#[test]
fn an_observer_sees_what_happens() {
    each_server(|db| {
        let counts = Arc::new(Counts::default());
        for sql in ["SELECT 1", "SELECT 1 FROM DUAL WHERE FALSE"] {
            let observer = Arc::clone(&counts) as Arc<dyn Observer>;
            let export = Export::new(server(db), sql).observer(observer);
            let _ = export.to_vec(&CancelToken::new());
        }
        let seen = [&counts.started, &counts.succeeded, &counts.failed];
        assert_eq!(seen.map(|count| count.load(Relaxed)), [2, 1, 1]);
    });
}

#[test]
fn another_thread_ends_an_export_and_kills_its_query() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let token = CancelToken::new();
        let tag = format!("sleeper_{}", db.name);
        let sql = format!("SELECT SLEEP(60) AS {tag}");
        let export =
            Export::new(server(db), sql).target(Target::file(folder.path().join("never.csv")));
        let status = export.status();
        let running = || (!db.connections_running(&tag).is_empty()).then_some(());
        let started = Instant::now();
        let result = thread::scope(|scope| {
            let token = &token;
            let run = scope.spawn(move || export.run(token));
            wait_for("the query runs", running);
            let cause = Error::new(ErrorKind::Signal(Signal::Interrupt), "enough");
            token.cancel_all(&cause);
            run.join().expect("no panic")
        });
        let error = result.expect_err("a cancelled export");
        assert!(error.message().starts_with("enough; no row had come, and "));
        assert!(started.elapsed() < Duration::from_secs(30));
        assert_eq!(status.rows(), 0);
        let gone = || db.connections_running(&tag).is_empty().then_some(());
        poll_until(short_timeout(), gone).expect("the query is killed");
        assert!(file_names(folder.path()).is_empty());
    });
}

#[test]
fn rows_are_an_iterator_with_typed_values() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (id INT UNSIGNED, name VARCHAR(9), seen DATETIME, price DECIMAL(20,2))",
        );
        db.sql("INSERT INTO t VALUES (1, 'Ann', '2026-11-27 01:02:03', 1.50), (4000000000, NULL, NULL, NULL)");
        let (server, session, cancel) = (server(db), SessionOptions::default(), CancelToken::new());
        let mut executor =
            QueryExecutor::connect(&server, &session, SessionUse::Exclusive, &cancel)
                .expect("a session");
        let rows = executor.query("SELECT * FROM t ORDER BY id").expect("rows");
        let rows: Vec<_> = rows.collect::<error::Result<_>>().expect("all rows");
        assert_eq!(rows[0].get::<u32>("id"), Ok(1));
        assert_eq!(rows[0].get::<&str>("name"), Ok("Ann"));
        assert_eq!(rows[0].get::<String>("price"), Ok("1.50".to_owned()));
        let seen: DateTime = rows[0].get("seen").expect("a point in time");
        assert_eq!((seen.year, seen.second), (2026, 3));
        assert_eq!(rows[1].get::<u32>("id"), Ok(4_000_000_000));
        assert!(rows[1].get::<i32>("id").is_err());
        assert_eq!(rows[1].get::<Option<&str>>("name"), Ok(None));
        let missing = rows[1].get::<u32>("nothing").expect_err("no such column");
        assert_eq!(missing.to_string(), "there is no column \"nothing\"");

        // An error after the first row is the iterator's last item.
        let sql = "SELECT 1 UNION ALL SELECT (SELECT id FROM t)";
        let result = executor
            .query(sql)
            .and_then(Iterator::collect::<error::Result<Vec<_>>>);
        assert_eq!(result.expect_err("two rows").kind(), ErrorKind::Query);
        // Rows that are not read to their end cost the connection.
        let mut rows = executor.query("SELECT id FROM t").expect("rows");
        assert!(rows.next().expect("a row").is_ok());
    });
}
