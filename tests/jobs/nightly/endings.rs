//! How runs of many exports end: failures, publishing, and signals.

use std::{fs, time::Instant};

use mysql::prelude::Queryable;
use serde_json::{Value as Json, json};

use super::{ExportFile, statuses, waiting_query};
use crate::support::{
    Database, Outcome, Signal, each_server, make_fifo, on_a_server, poll_until, short_timeout,
    wait_for,
};

const FAULTY: [&str; 6] = ["orders", "lines", "stock", "lost", "empty", "last"];

/// Returns the name of the lock that `lost` waits for.
fn lock_name(db: &Database) -> String {
    format!("lost_{}", db.name)
}

/// Lists six exports. `lines` reads a missing table, `stock` violates a guard,
/// `lost` waits for a lock, and `empty` has no rows. Each target has old content.
fn faulty_exports<'a>(db: &'a Database<'a>) -> ExportFile<'a> {
    db.sql("CREATE TABLE orders (id INT)");
    db.sql("INSERT INTO orders VALUES (1), (2)");
    let lost = format!(
        "SELECT id, GET_LOCK('{}', 100) AS a FROM orders",
        lock_name(db)
    );
    let queries = [
        "SELECT id FROM orders",
        "SELECT id FROM nowhere",
        "SELECT id FROM orders WHERE id > 1",
        &lost,
        "SELECT id FROM orders WHERE id > 2",
        "SELECT 3 AS id",
    ];
    let queries: Vec<(&str, &str)> = FAULTY.into_iter().zip(queries).collect();
    let exports = ExportFile::with_queries(db, "[guards]\n", &queries);
    // The guard is for this export alone.
    exports.replace_in_config("path = 'stock.csv'", "path = 'stock.csv'\nmin_rows = 2");
    for name in FAULTY {
        fs::write(exports.path(&format!("{name}.csv")), "as it was").expect("a file");
    }
    exports
}

/// Runs all exports of [`faulty_exports`] and kills the connection of `lost`.
fn run_and_kill(db: &Database, exports: &ExportFile) -> (Outcome, Json) {
    let summary = exports.path("summary.json");
    let lock = lock_name(db);
    let mut conn = db.connect();
    conn.query_drop(format!("DO GET_LOCK('{lock}', 0)"))
        .expect("a lock");
    let run = exports.run(&["--summary"]).arg(&summary).start();
    let id = wait_for("it waits", || {
        db.connections_waiting(&lock).first().copied()
    });
    conn.query_drop(format!("KILL {id}")).expect("it is there");
    let outcome = run.wait();
    let text = fs::read(&summary).expect("the summary");
    fs::remove_file(summary).expect("it is there");
    (outcome, serde_json::from_slice(&text).expect("JSON"))
}

/// Asserts the messages of a run of all exports of [`faulty_exports`].
#[track_caller]
fn assert_fault_messages(db: &Database, stderr: &str) {
    let missing_table = format!("'{}.nowhere' doesn't exist", db.name);
    let lines: Vec<&str> = stderr
        .lines()
        .filter(|line| line.starts_with("gold"))
        .collect();
    let expected = [
        vec!["gold_digger: lines: the query failed: ", &missing_table],
        vec![
            "gold_digger: stock: a guard tripped: there is 1 row, fewer than 2; 1 row had come, and ",
            " was not touched",
        ],
        vec!["gold_digger: lost: ", "; no row had come, and "],
        vec!["gold_digger: empty: no rows; ", "left as it was"],
        vec![
            "gold_digger: 4 of 6 exports failed: lines (exit code 4), stock (exit code 6), lost (exit code 4), empty (exit code 1)",
        ],
    ];
    assert_eq!(lines.len(), expected.len(), "{stderr}");
    for (line, parts) in lines.iter().zip(&expected) {
        let matches = line.starts_with(parts[0]) && parts.iter().all(|part| line.contains(part));
        assert!(matches, "{line} {parts:?}");
    }
}

#[test]
fn a_failed_export_does_not_end_the_others() {
    each_server(|db| {
        let exports = faulty_exports(db);
        let (outcome, summary) = run_and_kill(db, &exports);
        assert_fault_messages(db, &outcome.ended_with(4));
        exports.assert_file("orders.csv", "id\n1\n2\n");
        exports.assert_file("last.csv", "id\n3\n");
        for name in ["lines.csv", "stock.csv", "lost.csv", "empty.csv"] {
            exports.assert_file(name, "as it was");
        }
        assert_eq!(
            (&summary["status"], &summary["exit_code"]),
            (&json!("failure"), &json!(4))
        );
        assert_eq!(
            statuses(&summary),
            [
                "orders success 0",
                "lines failure 4",
                "stock failure 6",
                "lost failure 4",
                "empty empty 1",
                "last success 0"
            ]
        );
        assert_eq!(
            (&summary["rows"], &summary["bytes"]),
            (&json!(4), &json!(17))
        );
        assert_eq!(summary["exports"][2]["error"]["kind"], "guard");
        let target = exports.path("orders.csv").display().to_string();
        assert_eq!(summary["exports"][0]["target"], target);
        assert_eq!(exports.file_names().len(), 7);
    });
}

#[test]
fn with_on_error_stop_no_export_starts_after_a_failure() {
    each_server(|db| {
        let exports = faulty_exports(db);
        let (outcome, summary) = exports.run_with_summary(&["--on-error", "stop"]);
        let message =
            "1 of 6 exports failed: lines (exit code 4); 4 did not run: stock, lost, empty, last";
        outcome.failed_with_any_length(4, &[message]);
        assert_eq!(
            statuses(&summary)[2..],
            [
                "stock not run null",
                "lost not run null",
                "empty not run null",
                "last not run null"
            ]
        );
        exports.assert_file("orders.csv", "id\n1\n2\n");
        exports.assert_file("last.csv", "as it was");
    });
}

#[test]
fn all_or_nothing_publishes_no_file_after_a_failure() {
    each_server(|db| {
        let exports = faulty_exports(db);
        let all_or_nothing = |args: &[&str]| {
            exports.run_with_summary(&[&["--publish", "all-or-nothing"], args].concat())
        };
        let (outcome, summary) =
            all_or_nothing(&["--job", "orders", "--job", "empty", "--job", "last"]);
        let message =
            "1 of 3 exports failed: empty (exit code 1); 2 were not published: orders, last";
        outcome.failed_with_any_length(1, &[message]);
        assert_eq!(
            statuses(&summary),
            [
                "orders withheld null",
                "empty empty 1",
                "last withheld null"
            ]
        );
        exports.assert_file("orders.csv", "as it was");
        assert_eq!(exports.file_names().len(), 7);

        let (outcome, summary) =
            all_or_nothing(&["--job", "orders", "--job", "last", "--connections", "2"]);
        outcome.ended(0, "");
        assert_eq!(summary["status"], "success");
        exports.assert_file("orders.csv", "id\n1\n2\n");
        exports.assert_file("last.csv", "id\n3\n");
    });
}

#[test]
fn no_file_is_published_before_all_are_complete() {
    on_a_server(|db| {
        let waiting = waiting_query(db);
        let queries = [("one", "SELECT 1 AS a"), ("two", waiting.as_str())];
        let exports = ExportFile::with_queries(
            db,
            "[run]\npublish = 'all-or-nothing'\nconnections = 2",
            &queries,
        );
        let first_is_complete = || {
            let names = exports.file_names().into_iter();
            let complete = names
                .filter(|name| name.ends_with(".gold_digger"))
                .filter(|name| fs::read(exports.path(name)).is_ok_and(|bytes| bytes == b"a\n1\n"));
            (complete.count() == 1).then_some(())
        };
        let outcome = exports.run_while_waiting(&["-v"], || {
            wait_for("the first is complete", first_is_complete);
            assert!(!exports.path("one.csv").exists());
        });
        outcome.ended_with(0);
        exports.assert_file("one.csv", "a\n1\n");
        exports.assert_file("two.csv", "a\n1\n");
    });
}

#[test]
fn no_file_is_published_if_one_cannot_be() {
    on_a_server(|db| {
        let waiting = waiting_query(db);
        let queries = [
            ("one", "SELECT 1 AS a"),
            ("two", "SELECT 2 AS a"),
            ("three", waiting.as_str()),
        ];
        let exports = ExportFile::with_queries(db, "[run]\npublish = 'all-or-nothing'", &queries);
        let outcome = exports.run_while_waiting(&[], || {
            fs::create_dir(exports.path("two.csv")).expect("a folder");
        });
        let parts = [
            "two.csv: it is a directory",
            "1 of 3 exports failed: two (exit code 5); 2 were not published: one, three",
        ];
        outcome.failed_with_any_length(5, &parts);
        assert_eq!(exports.file_names(), ["nightly.toml", "two.csv"]);
        // A stream cannot be taken back, so it cannot wait for the others.
        fs::remove_dir(exports.path("two.csv")).expect("a folder");
        make_fifo(&exports.path("two.csv"));
        let reader = exports.path("two.csv");
        std::thread::spawn(move || fs::read(reader));
        let args = ["--job", "two", "--job", "one"];
        exports
            .run(&args)
            .run()
            .failed_with_any_length(5, &["cannot wait for the other exports"]);
        assert!(!exports.path("one.csv").exists());
    });
}

#[test]
fn no_file_is_published_if_the_folder_of_one_was_renamed() {
    on_a_server(|db| {
        let waiting = waiting_query(db);
        let config = format!(
            "[run]\npublish = 'all-or-nothing'\n\
             [[export]]\nname = 'one'\nsql = 'SELECT 1 AS a'\npath = 'one.csv'\n\
             [[export]]\nname = 'two'\nsql = 'SELECT 2 AS a'\npath = 'd/two.csv'\ncreate_dirs = true\n\
             [[export]]\nname = 'three'\nsql = \"{waiting}\"\npath = 'three.csv'\n"
        );
        let exports = ExportFile::new(db, &config);
        let outcome = exports.run_while_waiting(&[], || {
            fs::rename(exports.path("d"), exports.path("e")).expect("a folder");
            fs::create_dir(exports.path("d")).expect("a folder");
        });
        outcome.failed_with_any_length(
            5,
            &[
                "its unfinished file has been removed",
                "2 were not published: one, three",
            ],
        );
        assert_eq!(exports.file_names(), ["d", "e", "nightly.toml"]);
    });
}

#[test]
fn a_stream_is_closed_at_the_end_of_its_export() {
    on_a_server(|db| {
        let queries = [("one", "SELECT 1 AS a"), ("two", "SELECT 2 AS a")];
        let exports = ExportFile::with_queries(db, "", &queries);
        for name in ["one.csv", "two.csv"] {
            make_fifo(&exports.path(name));
        }
        let run = exports.run(&[]).start();
        // The readers come one after the other, as in a shell.
        for (name, text) in [("one.csv", "a\n1\n"), ("two.csv", "a\n2\n")] {
            exports.assert_file(name, text);
        }
        run.wait().ended(0, "");
    });
}

#[test]
fn retries_for_an_unreachable_server_are_shared_by_the_run() {
    on_a_server(|db| {
        let queries = [
            ("one", "SELECT 1 AS a"),
            ("two", "SELECT 2 AS a"),
            ("three", "SELECT 3 AS a"),
        ];
        let exports = ExportFile::with_queries(db, "[connection]\nretry = 1", &queries);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let run = exports
            .run(&[])
            .env("DATABASE_URL", db.url_by_port(port))
            .run();
        let outcome =
            run.failed_with_any_length(3, &["3 of 3 exports failed: one (exit code 3), two"]);
        assert_eq!(outcome.stderr.matches("attempt 1 of 2 failed").count(), 1);
    });
}

#[test]
fn a_signal_ends_the_run_cleanly() {
    each_server(|db| {
        let sleep = format!("SELECT SLEEP(100) AS {}", db.name);
        let queries = [
            ("first", "SELECT 1 AS a"),
            ("second", sleep.as_str()),
            ("third", sleep.as_str()),
            ("fourth", "SELECT 1 AS a"),
        ];
        for head in [
            "[run]\nconnections = 2",
            "[run]\nconnections = 2\nsnapshot = true\nlock = true",
        ] {
            let exports = ExportFile::with_queries(db, head, &queries);
            let summary = exports.path("summary.json");
            let run = exports.run(&["--summary"]).arg(&summary).start();
            let both_run = || (db.connections_running(&db.name).len() == 2).then_some(());
            wait_for("both run", both_run);
            let signalled = Instant::now();
            run.signal(Signal::SIGTERM);
            let stderr = run.wait().ended_with(143);
            assert!(
                signalled.elapsed() < short_timeout(),
                "{:?}",
                signalled.elapsed()
            );
            assert!(stderr.contains("2 of 4 exports failed: second (exit code 143), third (exit code 143); 1 did not run: fourth"), "{stderr}");
            let summary: Json =
                serde_json::from_slice(&fs::read(&summary).expect("the summary")).expect("JSON");
            assert_eq!(summary["exit_code"], 143);
            assert_eq!(
                statuses(&summary),
                [
                    "first success 0",
                    "second failure 143",
                    "third failure 143",
                    "fourth not run null"
                ]
            );
            assert_eq!(
                exports.file_names(),
                ["first.csv", "nightly.toml", "summary.json"]
            );
            poll_until(short_timeout(), || {
                db.connections_running(&db.name).is_empty().then_some(())
            })
            .expect("both are killed");
        }
    });
}
