//! Connections that are cut, readers that are slow, and beginning anew.

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

use super::{Cell, EARLIER, Kind, To, is_full, kinds};
use crate::support::{
    Database, GlobalVariable, GoldDigger, Running, SHORT_TIMEOUT, Signal, each_server,
    each_server_alone,
    fake::{self, Cut, CuttingProxy, End},
    file_names, make_fifo, on_a_server, poll_until,
};

/// Fifty rows, one of them larger than a packet of the network.
const ROWS: u64 = 50;

fn fill(db: &Database) {
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

/// The exports through `cutter`.
fn through(db: &Database, cutter: &CuttingProxy) -> GoldDigger {
    let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(cutter.port));
    run.arg(query(db))
}

/// An answer of the server, taken apart.
struct Answer {
    bytes: usize,
    /// Where each row's packet ends.
    row_ends: Vec<usize>,
}

impl Answer {
    /// Of an answer that ends in the rows and a last packet.
    fn new(answer: &[u8]) -> Self {
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

    /// The rows that are whole in the first `length` bytes.
    fn rows_within(&self, length: usize) -> usize {
        self.row_ends.iter().filter(|end| **end <= length).count()
    }

    /// Where to cut it: nowhere, everywhere that a packet begins or ends, in the
    /// columns, in rows, and between `count` bytes by chance, which depends on
    /// `seed` alone.
    fn positions(&self, seed: usize, count: usize) -> Vec<usize> {
        let row = |number: usize| self.row_ends[number];
        let last = row(self.row_ends.len() - 1);
        let mut all = vec![
            // Nothing; in the first packet's header, at its end, and in the columns.
            0,
            1,
            3,
            4,
            5,
            20,
            row(0) / 2,
            // Before a row, in its header, at its end, in the long one, behind it.
            row(3),
            row(3) + 1,
            row(3) + 4,
            row(4) - 1,
            row(23) + 1500,
            row(24),
            // Before the last packet, in its header, in it.
            last,
            last + 1,
            last + 3,
            last + 4,
            last + 5,
            self.bytes - 1,
        ];
        let mut state = 0x2545_f491_4f6c_dd1d_u64 + seed as u64;
        all.extend((0..count).map(|_| {
            // Marsaglia's xorshift.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % self.bytes as u64).expect("a position")
        }));
        all
    }
}

/// As much of `document` as `rows` rows are.
fn part(kind: Kind, document: &str, rows: usize) -> String {
    if rows == 0 {
        return String::new();
    }
    // The header, or the bracket.
    let lines: Vec<&str> = document.split_inclusive('\n').take(rows + 1).collect();
    let part = lines.concat();
    if kind.format == "json" {
        let part = part.trim_end();
        return part.strip_suffix(',').unwrap_or(part).to_owned();
    }
    part
}

#[test]
fn only_the_whole_answer_succeeds_wherever_it_is_cut() {
    each_server(|db| {
        fill(db);
        let cutter = CuttingProxy::new(db.server.port, &db.name);
        let mut checked = BTreeSet::new();
        for (seed, kind) in kinds().enumerate() {
            let whole = Cell::new(kind);
            whole.run(through(db, &cutter)).wrote("");
            let answer = Answer::new(&cutter.answered());
            let document = String::from_utf8(whole.written()).expect("UTF-8");
            let count = if is_full() { 200 } else { 6 };
            let mut cell = Cell::new(kind);
            let positions = answer.positions(seed, count).into_iter();
            for (number, after) in positions.enumerate() {
                let both = [End::Fin, End::Rst];
                let ends = if is_full() {
                    &both[..]
                } else {
                    // Each position by both, with one kind or another.
                    &both[(number + seed / 2) % 2..][..1]
                };
                for &by in ends {
                    cutter.cut(Some(Cut { after, by }));
                    let outcome = cell.run(through(db, &cutter));
                    assert!(outcome.elapsed < SHORT_TIMEOUT, "{:?}", outcome.elapsed);
                    let lost = "connection to the server was lost";
                    let rows = cell.failed(outcome, 4, &[lost, "--retry"]);
                    let rows = usize::try_from(rows).expect("few");
                    let place = format!("{kind:?}, {by:?} after {after} of {}", answer.bytes);
                    let arrived = answer.rows_within(after);
                    match by {
                        End::Fin => assert_eq!(rows, arrived, "{place}"),
                        // It may take away what has not been read yet.
                        End::Rst => assert!(rows <= arrived, "{place}: {rows}"),
                    }
                    if kind.to == To::Stdout {
                        let written = String::from_utf8(cell.written()).expect("UTF-8");
                        assert_eq!(written, part(kind, &document, rows), "{place}");
                        cell = Cell::new(kind);
                    }
                    checked.insert((kind.protocol, after, by == End::Fin));
                }
            }
            let after = answer.bytes;
            let by = End::Fin;
            cutter.cut(Some(Cut { after, by }));
            cell.run(through(db, &cutter)).wrote("");
            assert_eq!(cell.written(), document.as_bytes(), "{kind:?}");
            cutter.cut(None);
        }
        println!("{}: {} different cuts", db.server.name, checked.len());
        assert!(checked.len() >= 100, "{}", checked.len());
    });
}

#[test]
fn a_slow_reader_gets_every_row() {
    each_server_alone(|db| {
        let _impatient = GlobalVariable::set(db, "net_write_timeout", "1");
        // More than sockets and the pipe hold.
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   SELECT REPEAT('x', 40000) AS x FROM n";
        let pause = |kind: Kind, init: &str| {
            let run = db
                .export(sql)
                .args(["--format", kind.format, "--init", init]);
            let mut run = run.args(["--protocol", kind.protocol]).start();
            let mut stdout = run.take_stdout();
            let mut read = vec![0; 2];
            stdout.read_exact(&mut read).expect("the header");
            (kind, run, stdout, read)
        };
        let to_stdout = || kinds().filter(|kind| kind.to == To::Stdout);
        let paused: Vec<_> = to_stdout().map(|kind| pause(kind, "DO 0")).collect();
        // What the server would do otherwise.
        let impatient = to_stdout().map(|kind| pause(kind, "SET SESSION net_write_timeout = 1"));
        let impatient: Vec<_> = impatient.take(2).collect();
        // The server waits for three of its time-outs.
        thread::sleep(Duration::from_secs(3));
        let expected = [b'x'; 40_000];
        for (kind, run, mut stdout, mut read) in paused {
            stdout.read_to_end(&mut read).expect("a pipe");
            run.wait().ended(0, "");
            let values: Vec<&[u8]> = match kind.format {
                "json" => read
                    .strip_prefix(b"[\n{\"x\":\"")
                    .and_then(|rows| rows.strip_suffix(b"\"}\n]\n"))
                    .expect("brackets")
                    .chunks(40_000 + "\"},\n{\"x\":\"".len())
                    .map(|row| &row[..40_000])
                    .collect(),
                _ => read[2..].chunks(40_001).map(|row| &row[..40_000]).collect(),
            };
            assert_eq!(values.len(), 1000);
            assert!(values.iter().all(|value| *value == expected));
        }
        for (_, run, mut stdout, mut read) in impatient {
            stdout.read_to_end(&mut read).expect("a pipe");
            run.wait()
                .failed(4, &["was lost", "what was written is incomplete"]);
        }
    });
}

#[test]
fn a_session_that_waits_for_its_output_is_not_forgotten() {
    each_server_alone(|db| {
        let _forgetful = GlobalVariable::set(db, "wait_timeout", "1");
        let folder = tempfile::tempdir().expect("a folder");
        for (init, is_forgotten) in [("DO 0", false), ("SET SESSION wait_timeout = 1", true)] {
            // Opening it waits for a reader, with the session idle.
            let fifo = folder.path().join(is_forgotten.to_string());
            make_fifo(&fifo);
            let run = db.export("SELECT 1 AS a").args(["--init", init, "-o"]);
            let run = run.arg(&fifo).start();
            thread::sleep(Duration::from_secs(3));
            let mut text = String::new();
            let mut reader = fs::File::open(&fifo).expect("the FIFO");
            reader.read_to_string(&mut text).expect("its text");
            if is_forgotten {
                run.wait().ended_with(4);
            } else {
                run.wait().wrote("");
                assert_eq!(text, "a\n1\n");
            }
        }
    });
}

#[test]
fn a_limit_for_all_statements_ends_none_of_ours() {
    each_server_alone(|db| {
        let name = if db.is_mariadb() {
            "max_statement_time"
        } else {
            "max_execution_time"
        };
        let _limit = GlobalVariable::set(db, name, if db.is_mariadb() { "0.2" } else { "200" });
        // Where a limit ends it, MySQL gives 1 and MariaDB an error.
        let sql = "SELECT SLEEP(0.6) AS s";
        for protocol in ["text", "binary"] {
            db.export(sql)
                .args(["--protocol", protocol])
                .run()
                .wrote("s\n0\n");
        }
        // It is not put in the place of what the user asks for.
        let long = db.export(sql).args(["--statement-timeout", "5s"]);
        long.run().wrote("s\n0\n");
        // What the user sets in the session holds.
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

/// A port on which every connection is refused while this lives: it is taken,
/// and nobody listens.
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

    /// From now on it leads to the server on `port`.
    fn lead_to(self, port: u16) {
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

/// What a run says, line by line, as it goes.
fn lines_of(run: &mut Running) -> impl Iterator<Item = String> + use<> {
    let told = run.child.stderr.take().expect("a pipe");
    BufReader::new(told)
        .lines()
        .map(|line| line.expect("UTF-8"))
}

#[test]
fn an_export_begins_anew_when_that_is_wanted() {
    on_a_server(|db| {
        fill(db);
        let cutter = CuttingProxy::new(db.server.port, &db.name);
        for kind in kinds() {
            let whole = Cell::new(kind);
            whole.run(through(db, &cutter)).wrote("");
            let (total, document) = (cutter.answered().len(), whole.written());
            // In the midst of its rows the connection is lost, once; to a stream
            // also before any row.
            let mut cuts = vec![(total - 20, kind.to == To::File)];
            cuts.extend((kind.to == To::Stdout).then_some((0, true)));
            for (after, is_tried_again) in cuts {
                let cell = Cell::new(kind);
                let by = End::Fin;
                cutter.cut(Some(Cut { after, by }));
                let run = through(db, &cutter).args(["--retry", "3"]);
                if !is_tried_again {
                    let parts = ["not tried again", "cannot be taken back"];
                    assert!(cell.failed(cell.run(run), 4, &parts) > 0);
                    cutter.cut(None);
                    continue;
                }
                let mut run = cell.start(run.arg("--keep-partial"));
                let mut lines = lines_of(&mut run);
                let mut told = lines.next().expect("a line");
                if after > 0 {
                    assert!(told.contains("what had come is kept"), "{told}");
                    told = lines.next().expect("a line");
                }
                cutter.cut(None);
                let parts = [
                    "warning: attempt 1 of 4 failed: ",
                    "; the next one begins in 1 s",
                ];
                assert!(parts.iter().all(|part| told.contains(part)), "{told}");
                if kind.to == To::File {
                    assert!(
                        told.contains(" rows had come, and ") && told.contains(" was not touched"),
                        "{told}"
                    );
                    assert_eq!(
                        fs::read_to_string(cell.target()).expect("the file"),
                        EARLIER
                    );
                }
                run.wait().ended(0, "");
                assert_eq!(cell.written(), document);
                let summary = cell.told();
                assert_eq!(
                    (&summary["attempts"], &summary["status"]),
                    (&2.into(), &"success".into())
                );
                assert_eq!(summary["warnings"].as_array().map(Vec::len), Some(1));
                // The file, and what the first attempt had got.
                let count = if kind.to == To::File { 2 } else { 1 };
                assert_eq!(file_names(cell.folder.path()).len(), count);
            }
        }
    });
}

#[test]
fn a_server_that_comes_late_is_waited_for() {
    each_server(|db| {
        let port = RefusingPort::new();
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.csv");
        let run = || {
            let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(port.port));
            run.args(["SELECT 1 AS a", "-o"]).arg(&target)
        };
        run().run().failed(3, &["refused"]);
        // In vain, and told as the last attempt was.
        let told = run().args(["--retry", "1"]).run();
        told.failed_with_any_length(
            3,
            &["attempt 1 of 2 failed: ", "\ngold_digger: cannot connect"],
        );
        let mut waiting = run().args(["--retry", "5"]).start();
        let mut lines = lines_of(&mut waiting);
        for (attempt, pause) in [(1, 1), (2, 2)] {
            let line = lines.next().expect("a line");
            let (attempt, pause) = (
                format!("attempt {attempt} of 6 failed: "),
                format!("begins in {pause} s"),
            );
            assert!(line.contains(&attempt) && line.ends_with(&pause), "{line}");
        }
        port.lead_to(db.server.port);
        waiting.wait().ended(0, "");
        assert_eq!(fs::read(&target).expect("the file"), b"a\n1\n");
        assert_eq!(file_names(folder.path()), ["x.csv"]);
    });
}

/// What each failure is worth: another attempt, or none.
#[test]
fn only_what_may_pass_is_tried_again() {
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
            let said = run.wait().ended_with(*code);
            let summary = fs::read_to_string(folder.path().join(number.to_string()));
            let summary: Value =
                serde_json::from_str(&summary.expect("the summary")).expect("JSON");
            assert_eq!(summary["attempts"], *attempts, "{args:?}: {said}");
        }

        // What may have written is not run again.
        db.sql("CREATE TABLE queue (id INT)");
        db.sql("INSERT INTO queue VALUES (1), (2)");
        let sql = if db.is_mariadb() {
            "DELETE FROM queue RETURNING id"
        } else {
            db.sql("CREATE PROCEDURE take() BEGIN SELECT id FROM queue; DELETE FROM queue; END");
            "CALL take()"
        };
        let cutter = CuttingProxy::new(db.server.port, sql);
        let (after, by) = (0, End::Fin);
        cutter.cut(Some(Cut { after, by }));
        let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(cutter.port));
        let run = run.args([sql, "--read-write", "--allow-empty", "--retry", "3", "-o"]);
        let target = folder.path().join("queue.csv");
        let parts = [
            "was lost",
            "not tried again: with --read-write it may have written",
        ];
        run.arg(&target).run().failed(4, &parts);
        assert!(!target.exists());

        // A server that is full may have room later.
        db.sql("DROP USER IF EXISTS few@localhost");
        db.sql("CREATE USER few@localhost IDENTIFIED BY 'pass' WITH MAX_USER_CONNECTIONS 1");
        let url = format!("mysql://few:pass@127.0.0.1:{}/", db.server.port);
        let first = GoldDigger::new()
            .env("DATABASE_URL", &url)
            .arg(sleep)
            .start();
        let runs = || (db.connections_running(sleep).len() == 1).then_some(());
        poll_until(Duration::from_secs(10), runs).expect("it runs");
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
fn a_signal_ends_the_wait_for_another_attempt() {
    let port = RefusingPort::new();
    let url = format!("mysql://me@127.0.0.1:{}/db", port.port);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("x.csv");
    fs::write(&target, EARLIER).expect("a file");
    let run = GoldDigger::new().env("DATABASE_URL", url);
    let run = run.args(["--retry", "9", "SELECT 1", "-o"]).arg(&target);
    let mut run = run.start();
    let mut lines = lines_of(&mut run);
    lines.next().expect("the first attempt's end");
    run.signal(Signal::SIGTERM);
    let asked = Instant::now();
    assert_eq!(
        lines.next().as_deref(),
        Some("gold_digger: ended by SIGTERM; no row had come")
    );
    run.wait().ended(143, "");
    assert!(asked.elapsed() < SHORT_TIMEOUT, "{:?}", asked.elapsed());
    assert_eq!(file_names(folder.path()), ["x.csv"]);
}
