//! Lost connections, slow readers, and retries.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, socket,
};
use serde_json::Value;

use super::{Case, OLD_CONTENT, Output, Variant, is_full, variants};
use crate::support::{
    Database, GlobalVariable, GoldDigger, Running, Signal, each_server, each_server_alone,
    fake::{self, Cut, CuttingProxy, End},
    file_names, make_fifo, on_a_server, short_timeout, wait_for,
};

/// The number of rows of the table. One of them is larger than a network packet.
const ROWS: u64 = 50;

pub(super) fn fill(db: &Database) {
    db.sql("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(20), price DECIMAL(8,2), day DATE, note TEXT)");
    let row = |id: u64| {
        let note = if id == 25 {
            "y".repeat(3000)
        } else {
            format!("note {id}")
        };
        format!(
            "({id}, {}, {id}.5, '2026-11-{:02}', '{note}')",
            if id.is_multiple_of(3) {
                "NULL"
            } else {
                "'it''s'"
            },
            1 + id % 28
        )
    };
    let rows: Vec<String> = (1..=ROWS).map(row).collect();
    db.sql(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
}

fn query(db: &Database) -> String {
    format!("SELECT t.*, 1 AS {} FROM t ORDER BY id", db.name)
}

/// Returns an export through `proxy`.
pub(super) fn through(db: &Database, proxy: &CuttingProxy) -> GoldDigger {
    let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(proxy.port));
    run.arg(query(db))
}

/// The structure of an answer of the server.
pub(super) struct Answer {
    bytes: usize,
    /// The offset of the end of each row's packet, in bytes.
    row_ends: Vec<usize>,
}

impl Answer {
    /// Parses an answer that ends with the rows and a last packet.
    pub fn new(answer: &[u8]) -> Self {
        let mut ends = vec![];
        let mut at = 0;
        while let Some(&[a, b, c, _]) = answer.get(at..at + 4) {
            at += 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
            ends.push(at);
        }
        assert_eq!(at, answer.len());
        let rows = ends.len() - 1 - ROWS as usize;
        let row_ends = ends[rows..ends.len() - 1].to_vec();
        Self {
            bytes: answer.len(),
            row_ends,
        }
    }

    /// Returns the number of complete rows in the first `length` bytes.
    fn rows_within(&self, length: usize) -> usize {
        self.row_ends.iter().filter(|end| **end <= length).count()
    }

    /// Returns the offsets at which to cut the answer: before its first byte, where
    /// packets start and end, in the columns, in rows, and at `count` random offsets,
    /// which depend on `seed` alone.
    pub fn positions(&self, seed: usize, count: usize) -> Vec<usize> {
        let row = |number: usize| self.row_ends[number];
        let last = row(self.row_ends.len() - 1);
        let mut all = vec![
            // At the start, in the first packet's header, at its end, in the columns.
            0,
            1,
            3,
            4,
            5,
            20,
            row(0) / 2,
            // Before a row, in its header, before its end, in the long row, after it.
            row(3),
            row(3) + 1,
            row(3) + 4,
            row(4) - 1,
            row(23) + 1500,
            row(24),
            // Before the last packet, in its header, in its payload.
            last,
            last + 1,
            last + 3,
            last + 4,
            last + 5,
            self.bytes - 1,
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64 + seed as u64;
        all.extend((0..count).map(|_| {
            // This is Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % self.bytes as u64).expect("a position")
        }));
        all
    }
}

/// Returns the start of `document` with the first `rows` rows.
fn first_rows(variant: Variant, document: &str, rows: usize) -> String {
    if rows == 0 {
        return String::new();
    }
    // The first line is the header or the bracket.
    let lines = rows + usize::from(variant.format != "ndjson");
    let lines: Vec<&str> = document.split_inclusive('\n').take(lines).collect();
    let part = lines.concat();
    if variant.format == "json" {
        let part = part.trim_end();
        return part.strip_suffix(',').unwrap_or(part).to_owned();
    }
    part
}

#[test]
fn only_a_complete_answer_succeeds() {
    each_server(|db| {
        fill(db);
        let proxy = CuttingProxy::new(db.server.port, &db.name);
        let mut checked = BTreeSet::new();
        for (seed, variant) in variants().enumerate() {
            let whole = Case::new(variant);
            whole.run(through(db, &proxy)).wrote("");
            let answer = Answer::new(&proxy.answered());
            let document = String::from_utf8(whole.output_bytes()).expect("UTF-8");
            let count = if is_full() { 200 } else { 6 };
            let mut case = Case::new(variant);
            let positions = answer.positions(seed, count).into_iter();
            for (number, after) in positions.enumerate() {
                let both = [End::Fin, End::Rst];
                let ends = if is_full() {
                    &both[..]
                } else {
                    // Each position is cut in both ways, each with half of the variants.
                    &both[(number + seed / 2) % 2..][..1]
                };
                for &by in ends {
                    proxy.cut(Some(Cut { after, by }));
                    let outcome = case.run(through(db, &proxy));
                    assert!(outcome.elapsed < short_timeout(), "{:?}", outcome.elapsed);
                    let lost = "connection to the server was lost";
                    let rows = case.assert_failed(outcome, 4, &[lost, "--retry"]);
                    let rows = usize::try_from(rows).expect("few");
                    let place = format!("{variant:?}, {by:?} after {after} of {}", answer.bytes);
                    let arrived = answer.rows_within(after);
                    match by {
                        End::Fin => assert_eq!(rows, arrived, "{place}"),
                        // A reset may discard bytes that have not been read yet.
                        End::Rst => assert!(rows <= arrived, "{place}: {rows}"),
                    }
                    if variant.output == Output::Stdout {
                        let written = String::from_utf8(case.output_bytes()).expect("UTF-8");
                        assert_eq!(written, first_rows(variant, &document, rows), "{place}");
                        case = Case::new(variant);
                    }
                    checked.insert((variant.protocol, after, by == End::Fin));
                }
            }
            let after = answer.bytes;
            let by = End::Fin;
            proxy.cut(Some(Cut { after, by }));
            case.run(through(db, &proxy)).wrote("");
            assert_eq!(case.output_bytes(), document.as_bytes(), "{variant:?}");
            proxy.cut(None);
        }
        println!("{}: {} different cuts", db.server.name, checked.len());
        assert!(checked.len() >= 100, "{}", checked.len());
    });
}

#[test]
fn a_slow_reader_gets_every_row() {
    each_server_alone(|db| {
        let _timeout = GlobalVariable::set(db, "net_write_timeout", "1");
        // The result is larger than the buffers of the sockets and the pipe.
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   SELECT REPEAT('x', 40000) AS x FROM n";
        let start_and_pause = |variant: Variant, init: &str| {
            let run = db
                .export(sql)
                .args(["--format", variant.format, "--init", init]);
            let mut run = run.args(["--protocol", variant.protocol]).start();
            let mut stdout = run.take_stdout();
            let mut read = vec![0; 2];
            stdout.read_exact(&mut read).expect("the header");
            (variant, run, stdout, read)
        };
        let to_stdout = || variants().filter(|variant| variant.output == Output::Stdout);
        let paused: Vec<_> = to_stdout()
            .map(|variant| start_and_pause(variant, "DO 0"))
            .collect();
        // With the server's own timeout the export fails.
        let timed_out = to_stdout()
            .map(|variant| start_and_pause(variant, "SET SESSION net_write_timeout = 1"));
        let timed_out: Vec<_> = timed_out.take(2).collect();
        // The readers pause for three times the server's timeout.
        thread::sleep(Duration::from_secs(3));
        let expected = [b'x'; 40_000];
        for (variant, run, mut stdout, mut read) in paused {
            stdout.read_to_end(&mut read).expect("a pipe");
            run.wait().ended(0, "");
            let values: Vec<&[u8]> = match variant.format {
                "json" => read
                    .strip_prefix(b"[\n{\"x\":\"")
                    .and_then(|rows| rows.strip_suffix(b"\"}\n]\n"))
                    .expect("brackets")
                    .chunks(40_000 + "\"},\n{\"x\":\"".len())
                    .map(|row| &row[..40_000])
                    .collect(),
                "ndjson" => read
                    .chunks("{\"x\":\"".len() + 40_000 + "\"}\n".len())
                    .map(|row| &row["{\"x\":\"".len()..][..40_000])
                    .collect(),
                _ => read[2..].chunks(40_001).map(|row| &row[..40_000]).collect(),
            };
            assert_eq!(values.len(), 1000);
            assert!(values.iter().all(|value| *value == expected));
        }
        for (_, run, mut stdout, mut read) in timed_out {
            stdout.read_to_end(&mut read).expect("a pipe");
            run.wait()
                .failed(4, &["was lost", "what was written is incomplete"]);
        }
    });
}

#[test]
fn a_session_that_waits_for_its_output_stays_open() {
    each_server_alone(|db| {
        let _timeout = GlobalVariable::set(db, "wait_timeout", "1");
        let folder = tempfile::tempdir().expect("a folder");
        for (init, is_closed) in [("DO 0", false), ("SET SESSION wait_timeout = 1", true)] {
            // The export waits for a reader to open the FIFO while the session is idle.
            let fifo = folder.path().join(is_closed.to_string());
            make_fifo(&fifo);
            let run = db.export("SELECT 1 AS a").args(["--init", init, "-o"]);
            let run = run.arg(&fifo).start();
            thread::sleep(Duration::from_secs(3));
            let mut text = String::new();
            let mut reader = fs::File::open(&fifo).expect("the FIFO");
            reader.read_to_string(&mut text).expect("its text");
            if is_closed {
                run.wait().ended_with(4);
            } else {
                run.wait().wrote("");
                assert_eq!(text, "a\n1\n");
            }
        }
    });
}

#[test]
fn the_server_wide_statement_limit_does_not_apply() {
    each_server_alone(|db| {
        let name = if db.is_mariadb() {
            "max_statement_time"
        } else {
            "max_execution_time"
        };
        let _limit = GlobalVariable::set(db, name, if db.is_mariadb() { "0.2" } else { "200" });
        // If a limit ends the sleep, MySQL returns 1 and MariaDB an error.
        let sql = "SELECT SLEEP(0.6) AS s";
        for protocol in ["text", "binary"] {
            db.export(sql)
                .args(["--protocol", protocol])
                .run()
                .wrote("s\n0\n");
        }
        // The limit does not replace the timeout that the user sets.
        let long = db.export(sql).args(["--statement-timeout", "5s"]);
        long.run().wrote("s\n0\n");
        // A limit that the user sets in the session applies.
        let set = format!(
            "SET SESSION {name} = {}",
            if db.is_mariadb() { "0.2" } else { "200" }
        );
        let limited = db
            .export(&super::slow_query(&db.name, 50))
            .args(["--init", &set])
            .run();
        limited.failed(4, &["--statement-timeout"]);
    });
}

/// A port that refuses every connection as long as this value lives: its socket is
/// bound and does not listen.
struct RefusingPort {
    socket: OwnedFd,
    port: u16,
}

impl RefusingPort {
    fn new() -> Self {
        let (family, flags) = (AddressFamily::Inet, SockFlag::SOCK_CLOEXEC);
        let socket = socket(family, SockType::Stream, flags, None).expect("a socket");
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).expect("a free port");
        let address: SockaddrIn = getsockname(socket.as_raw_fd()).expect("its address");
        Self {
            port: address.port(),
            socket,
        }
    }

    /// From now on forwards connections to the server on `port`.
    fn forward_to(self, port: u16) {
        listen(&self.socket, Backlog::MAXCONN).expect("it listens");
        let listener = TcpListener::from(self.socket);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
                thread::spawn(|| fake::relay(client, server, |_, _| {}));
            }
        });
    }
}

/// Returns the lines of standard error of `run` while it runs.
fn stderr_lines(run: &mut Running) -> impl Iterator<Item = String> + use<> {
    let stderr = run.child.stderr.take().expect("a pipe");
    BufReader::new(stderr)
        .lines()
        .map(|line| line.expect("UTF-8"))
}

#[test]
fn exports_are_retried() {
    on_a_server(|db| {
        fill(db);
        let proxy = CuttingProxy::new(db.server.port, &db.name);
        for variant in variants() {
            let whole = Case::new(variant);
            whole.run(through(db, &proxy)).wrote("");
            let (total, document) = (proxy.answered().len(), whole.output_bytes());
            // The connection is lost once in the middle of the rows, and for a stream
            // also before the first row.
            let mut cuts = vec![(total - 20, variant.output == Output::File)];
            cuts.extend((variant.output == Output::Stdout).then_some((0, true)));
            for (after, is_tried_again) in cuts {
                let case = Case::new(variant);
                let by = End::Fin;
                proxy.cut(Some(Cut { after, by }));
                let run = through(db, &proxy).args(["--retry", "3"]);
                if !is_tried_again {
                    let parts = ["not tried again", "cannot be taken back"];
                    assert!(case.assert_failed(case.run(run), 4, &parts) > 0);
                    proxy.cut(None);
                    continue;
                }
                let mut run = case.start(run.arg("--keep-partial"));
                let mut lines = stderr_lines(&mut run);
                let mut line = lines.next().expect("a line");
                if after > 0 {
                    assert!(line.contains("what had come is kept"), "{line}");
                    line = lines.next().expect("a line");
                }
                proxy.cut(None);
                let parts = [
                    "warning: attempt 1 of 4 failed: ",
                    "; the next one begins in 1 s",
                ];
                assert!(parts.iter().all(|part| line.contains(part)), "{line}");
                if variant.output == Output::File {
                    assert!(
                        line.contains(" rows had come, and ") && line.contains(" was not touched"),
                        "{line}"
                    );
                    assert_eq!(
                        fs::read_to_string(case.target()).expect("the file"),
                        OLD_CONTENT
                    );
                }
                run.wait().ended(0, "");
                assert_eq!(case.output_bytes(), document);
                let summary = case.summary();
                assert_eq!(
                    (&summary["attempts"], &summary["status"]),
                    (&2.into(), &"success".into())
                );
                assert_eq!(summary["warnings"].as_array().map(Vec::len), Some(1));
                // The folder has the target and the part of the first attempt.
                let count = if variant.output == Output::File { 2 } else { 1 };
                assert_eq!(file_names(case.folder.path()).len(), count);
            }
        }
    });
}

#[test]
fn retries_wait_for_a_server_that_starts_late() {
    each_server(|db| {
        let port = RefusingPort::new();
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.csv");
        let run = || {
            let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(port.port));
            run.args(["SELECT 1 AS a", "-o"]).arg(&target)
        };
        run().run().failed(3, &["refused"]);
        // Without success, the error of the last attempt is reported.
        let outcome = run().args(["--retry", "1"]).run();
        outcome.failed_with_any_length(
            3,
            &["attempt 1 of 2 failed: ", "\ngold_digger: cannot connect"],
        );
        let mut waiting = run().args(["--retry", "5"]).start();
        let mut lines = stderr_lines(&mut waiting);
        for (attempt, pause) in [(1, 1), (2, 2)] {
            let line = lines.next().expect("a line");
            let (attempt, pause) = (
                format!("attempt {attempt} of 6 failed: "),
                format!("begins in {pause} s"),
            );
            assert!(line.contains(&attempt) && line.ends_with(&pause), "{line}");
        }
        port.forward_to(db.server.port);
        waiting.wait().ended(0, "");
        assert_eq!(fs::read(&target).expect("the file"), b"a\n1\n");
        assert_eq!(file_names(folder.path()), ["x.csv"]);
    });
}

#[test]
fn only_transient_failures_are_retried() {
    each_server(|db| {
        let refusing = RefusingPort::new();
        let wrong = db.url().replace("mysql://root:", "mysql://root:not-");
        let nowhere = db.url().replace("127.0.0.1", "nowhere.invalid");
        let silent = fake::serve(|mut session| while session.receive().is_some() {});
        let silent = fake::url(silent);
        let refused = db.url_by_port(refusing.port);
        let plain = db.url();
        let other_ca = "--tls=verify-identity";
        let sleep = &format!("SELECT SLEEP(100) AS {}", db.name);
        #[rustfmt::skip]
        let cases: [(&str, &[&str], i32, u64); 11] = [
            (&refused, &["SELECT 1"], 3, 2),
            (&nowhere, &["SELECT 1", "--tls=disabled"], 3, 2),
            (&silent, &["SELECT 1", "--connect-timeout=200ms"], 3, 2),
            (&plain, &[sleep, "--read-timeout=200ms"], 4, 2),
            (&wrong, &["SELECT 1"], 3, 1),
            (&plain, &["SELECT 1", other_ca], 3, 1),
            (&plain, &["SELECT nothing"], 4, 1),
            (&plain, &["SELECT 1 UNION ALL SELECT (SELECT 1 UNION ALL SELECT 2)"], 4, 1),
            (&plain, &["SELECT 1 WHERE FALSE"], 1, 1),
            (&plain, &["SELECT 1", "--init=SIGNAL SQLSTATE '45000'"], 4, 1),
            (&plain, &["SELECT 1", "--output=/nowhere/x.csv"], 5, 1),
        ];
        let folder = tempfile::tempdir().expect("a folder");
        let runs = cases.iter().enumerate().map(|(number, (url, args, ..))| {
            let summary = folder.path().join(number.to_string());
            let run = GoldDigger::new().env("DATABASE_URL", url).args(*args);
            run.args(["--retry", "1", "--summary"]).arg(summary).start()
        });
        let runs: Vec<Running> = runs.collect();
        for (number, ((_, args, code, attempts), run)) in cases.iter().zip(runs).enumerate() {
            let stderr = run.wait().ended_with(*code);
            let summary = fs::read_to_string(folder.path().join(number.to_string()));
            let summary: Value =
                serde_json::from_str(&summary.expect("the summary")).expect("JSON");
            assert_eq!(summary["attempts"], *attempts, "{args:?}: {stderr}");
        }
    });
}

#[test]
fn exports_that_may_write_are_not_retried() {
    each_server(|db| {
        db.sql("CREATE TABLE queue (id INT)");
        db.sql("INSERT INTO queue VALUES (1), (2)");
        let sql = if db.is_mariadb() {
            "DELETE FROM queue RETURNING id"
        } else {
            db.sql("CREATE PROCEDURE take() BEGIN SELECT id FROM queue; DELETE FROM queue; END");
            "CALL take()"
        };
        let proxy = CuttingProxy::new(db.server.port, sql);
        let (after, by) = (0, End::Fin);
        proxy.cut(Some(Cut { after, by }));
        let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(proxy.port));
        let run = run.args([sql, "--read-write", "--allow-empty", "--retry", "3", "-o"]);
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("queue.csv");
        let parts = [
            "was lost",
            "not tried again: with --read-write it may have written",
        ];
        run.arg(&target).run().failed(4, &parts);
        assert!(!target.exists());
    });
}

#[test]
fn a_user_without_a_free_connection_is_retried() {
    each_server(|db| {
        let sleep = &format!("SELECT SLEEP(100) AS {}", db.name);
        db.sql("DROP USER IF EXISTS few@localhost");
        db.sql("CREATE USER few@localhost IDENTIFIED BY 'pass' WITH MAX_USER_CONNECTIONS 1");
        let url = format!("mysql://few:pass@127.0.0.1:{}/", db.server.port);
        let first = GoldDigger::new()
            .env("DATABASE_URL", &url)
            .arg(sleep)
            .start();
        let runs = || (db.connections_running(sleep).len() == 1).then_some(());
        wait_for("it runs", runs);
        let second = GoldDigger::new().env("DATABASE_URL", &url);
        let second = second.args(["--retry", "1", "SELECT 1"]).run();
        second.failed_with_any_length(
            3,
            &["attempt 1 of 2 failed: ", "used up what it is allowed"],
        );
        drop(first);
    });
}

#[test]
fn a_signal_ends_the_wait_for_a_retry() {
    let port = RefusingPort::new();
    let url = format!("mysql://me@127.0.0.1:{}/db", port.port);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("x.csv");
    fs::write(&target, OLD_CONTENT).expect("a file");
    let run = GoldDigger::new().env("DATABASE_URL", url);
    let run = run.args(["--retry", "9", "SELECT 1", "-o"]).arg(&target);
    let mut run = run.start();
    let mut lines = stderr_lines(&mut run);
    lines.next().expect("the first attempt's end");
    run.signal(Signal::SIGTERM);
    let signalled = Instant::now();
    assert_eq!(
        lines.next().as_deref(),
        Some("gold_digger: ended by SIGTERM; no row had come")
    );
    run.wait().ended(143, "");
    assert!(
        signalled.elapsed() < short_timeout(),
        "{:?}",
        signalled.elapsed()
    );
    assert_eq!(file_names(folder.path()), ["x.csv"]);
}
