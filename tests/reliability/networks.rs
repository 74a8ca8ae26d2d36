//! Connections that are cut, readers that are slow, and beginning anew.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use super::{Cell, EARLIER, Kind, PROMPT, To, is_full, kinds, names};
use crate::support::{
    Database, GlobalVariable, GoldDigger, Outcome, Signal, each_server, each_server_alone,
    fake::{Cut, Cutter, End},
    until,
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
fn through(db: &Database, cutter: &Cutter) -> GoldDigger {
    let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(cutter.port));
    run.arg(query(db))
}

/// Positions in an answer of `total` bytes: its ends, and between them `count`
/// at random, always the same ones.
fn positions(total: usize, count: usize) -> Vec<usize> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % total as u64).expect("a position")
    };
    // Nothing at all; within the header of the first packet; and at the other
    // end in the last packet (up to eleven bytes with its header) and before it.
    let ends = [
        0,
        1,
        3,
        4,
        5,
        total - 1,
        total - 2,
        total - 5,
        total - 9,
        total - 11,
        total - 12,
    ];
    let mut all: Vec<usize> = (0..count).map(|_| random()).collect();
    all.extend(ends);
    all
}

#[test]
fn only_the_whole_answer_succeeds_wherever_it_is_cut() {
    each_server(|db| {
        fill(db);
        let cutter = Cutter::new(db.server.port, &db.name);
        let mut checked = 0;
        for kind in kinds() {
            let whole = Cell::new(kind);
            whole.run(through(db, &cutter)).wrote("");
            let (total, document) = (cutter.answered(), whole.written());
            let count = if is_full() { 200 } else { 10 };
            let mut cell = Cell::new(kind);
            for (number, after) in positions(total, count).into_iter().enumerate() {
                let both = [End::Fin, End::Rst];
                let ends = if is_full() {
                    &both[..]
                } else {
                    &both[number % 2..][..1]
                };
                for &by in ends {
                    cutter.cut(Some(Cut { after, by }));
                    let outcome = cell.run(through(db, &cutter));
                    assert!(outcome.elapsed < PROMPT, "{:?}", outcome.elapsed);
                    let part = "connection to the server was lost";
                    let rows = cell.failed(outcome, 4, &[part, "--retry"]);
                    assert!(rows <= ROWS, "{rows} rows");
                    if kind.to == To::Stdout {
                        let part = cell.written();
                        // Only JSON shows that rows may follow the last one.
                        let is_part = kind.format != "json" || part.len() < document.len();
                        assert!(
                            is_part && document.starts_with(&part),
                            "{kind:?}, {after} of {total}"
                        );
                        cell = Cell::new(kind);
                    }
                    checked += 1;
                }
            }
            // A reset may take away what has not been read yet.
            cutter.cut(Some(Cut {
                after: total,
                by: End::Fin,
            }));
            cell.run(through(db, &cutter)).wrote("");
            assert_eq!(cell.written(), document, "{kind:?}");
            cutter.cut(None);
        }
        println!("{}: {checked} cuts", db.server.name);
        assert!(checked >= 200);
    });
}

#[test]
fn a_slow_reader_gets_every_row() {
    each_server_alone(|db| {
        let _impatient = GlobalVariable::set(db, "net_write_timeout", "1");
        let _forgetful = GlobalVariable::set(db, "wait_timeout", "1");
        // More than sockets and the pipe hold.
        let rows = 1000;
        let sql = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             SELECT REPEAT('x', 40000) AS x FROM n"
        );
        let runs: Vec<_> = kinds()
            .filter(|kind| kind.to == To::Stdout)
            .map(
                |Kind {
                     format, protocol, ..
                 }| {
                    let run = db
                        .export(&sql)
                        .args(["--format", format, "--protocol", protocol]);
                    let mut run = run.start();
                    let mut stdout = run.take_stdout();
                    stdout.read_exact(&mut [0; 2]).expect("the header");
                    (run, stdout)
                },
            )
            .collect();
        // The server waits for three of its time-outs.
        thread::sleep(Duration::from_secs(3));
        for (run, mut stdout) in runs {
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest).expect("a pipe");
            run.wait().ended(0, "");
            let values = rest
                .split(|byte| *byte != b'x')
                .filter(|run| run.len() == 40_000);
            assert_eq!(values.count(), rows);
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

/// A port that nobody listens on.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

#[test]
fn an_export_begins_anew_when_that_is_wanted() {
    each_server(|db| {
        fill(db);
        let cutter = Cutter::new(db.server.port, &db.name);
        for kind in kinds() {
            let whole = Cell::new(kind);
            whole.run(through(db, &cutter)).wrote("");
            let (total, document) = (cutter.answered(), whole.written());

            // In the midst of its rows the connection is lost, once.
            let cell = Cell::new(kind);
            cutter.cut(Some(Cut {
                after: total - 20,
                by: End::Fin,
            }));
            let run = cell.start(through(db, &cutter).args(["--retry", "3"]));
            if kind.to == To::Stdout {
                let rows = cell.failed(run.wait(), 4, &["not tried again", "cannot be taken back"]);
                assert!(rows > 0);
                cutter.cut(None);
                continue;
            }
            let lost = until(Duration::from_secs(10), || {
                (cutter.answered() == total - 20).then_some(())
            });
            lost.expect("it is cut");
            cutter.cut(None);
            let outcome = run.wait();
            let said = outcome.ended_with(0);
            let parts = [
                "warning: attempt 1 of 4 failed: ",
                " rows had come, and ",
                "as it was; the next one begins in 1 s",
            ];
            assert!(
                parts.iter().all(|part| said.contains(part)) && said.lines().count() == 1,
                "{said}"
            );
            assert_eq!(cell.written(), document);
            assert_eq!(names(cell.folder.path()).len(), 2);
            let summary = fs::read_to_string(cell.summary()).expect("the summary");
            assert!(
                summary.contains("\"attempts\": 2") && summary.contains("\"status\": \"success\""),
                "{summary}"
            );
        }
    });
}

#[test]
fn a_server_that_comes_late_is_waited_for() {
    each_server(|db| {
        let port = closed_port();
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.csv");
        let run = || {
            let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(port));
            run.args(["SELECT 1 AS a", "-o"]).arg(&target)
        };
        run().run().failed(3, &["refused"]);
        let waiting = run().args(["--retry", "5"]).start();
        let server = db.server.port;
        let opens = Instant::now() + Duration::from_millis(1500);
        thread::sleep(opens - Instant::now());
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port");
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server =
                    std::net::TcpStream::connect(("127.0.0.1", server)).expect("the server");
                thread::spawn(|| crate::support::fake::relay(client, server, |_, _| {}));
            }
        });
        let said = waiting.wait().ended_with(0);
        // After pauses of one and two seconds.
        assert!(
            said.contains("attempt 2 of 6 failed: ") && said.contains("begins in 2 s"),
            "{said}"
        );
        assert_eq!(fs::read(&target).expect("the file"), b"a\n1\n");
    });
}

#[test]
fn what_would_fail_again_is_not_tried_again() {
    each_server(|db| {
        let once = |outcome: Outcome, code: i32| {
            assert!(
                outcome.elapsed < Duration::from_millis(900),
                "{:?}",
                outcome.elapsed
            );
            let said = outcome.ended_with(code);
            assert!(!said.contains("attempt"), "{said}");
        };
        let url = db.url().replace("mysql://root:", "mysql://root:not-");
        let wrong = GoldDigger::new().env("DATABASE_URL", url);
        once(wrong.args(["--retry", "3", "SELECT 1"]).run(), 3);
        once(db.export("SELECT nothing").args(["--retry", "3"]).run(), 4);
        once(
            db.export("SELECT 1 WHERE FALSE")
                .args(["--retry", "3"])
                .run(),
            1,
        );
        let nowhere = ["--retry", "3", "-o", "/nowhere/x.csv"];
        once(db.export("SELECT 1").args(nowhere).run(), 5);
    });
}

#[test]
fn a_signal_ends_the_wait_for_another_attempt() {
    let url = format!("mysql://me@127.0.0.1:{}/db", closed_port());
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("x.csv");
    fs::write(&target, EARLIER).expect("a file");
    let run = GoldDigger::new().env("DATABASE_URL", url);
    let mut run = run
        .args(["--retry", "9", "SELECT 1", "-o"])
        .arg(&target)
        .start();
    let mut told = run.child.stderr.take().expect("a pipe");
    told.read_exact(&mut [0; 40])
        .expect("the first attempt's end");
    run.signal(Signal::SIGTERM);
    let asked = Instant::now();
    run.wait().ended_with(143);
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    assert_eq!(names(folder.path()), ["x.csv"]);
}
