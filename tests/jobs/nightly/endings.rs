//! How a night ends: what fails, what is published, and what ends it early.

use std::{
    fs,
    time::{Duration, Instant},
};

use mysql::prelude::Queryable;
use serde_json::{Value as Json, json};

use super::{Night, became, waits};
use crate::support::{SHORT_TIMEOUT, Signal, each_server, make_fifo, on_a_server, poll_until};

#[test]
fn a_night_with_faults_ends_as_documented() {
    each_server(|db| {
        db.sql("CREATE TABLE orders (id INT)");
        db.sql("INSERT INTO orders VALUES (1), (2)");
        let lock = format!("lost_{}", db.name);
        let lost = format!("SELECT id, GET_LOCK('{lock}', 100) AS a FROM orders");
        let queries = [
            ("orders", "SELECT id FROM orders"),
            ("lines", "SELECT id FROM nowhere"),
            ("stock", "SELECT id FROM orders WHERE id > 1"),
            ("lost", &lost),
            ("empty", "SELECT id FROM orders WHERE id > 2"),
            ("last", "SELECT 3 AS id"),
        ];
        let night = Night::of(db, "[guards]\n", &queries);
        // Of the third alone.
        let config = fs::read_to_string(night.path("nightly.toml")).expect("a file");
        let config = config.replace("path = 'stock.csv'", "path = 'stock.csv'\nmin_rows = 2");
        fs::write(night.path("nightly.toml"), &config).expect("a file");
        let earlier = || {
            for (name, _) in queries {
                fs::write(night.path(&format!("{name}.csv")), "as it was").expect("a file");
            }
        };
        let nowhere = format!("'{}.nowhere' doesn't exist", db.name);
        let path = |name: &str| night.path(name).display().to_string();
        // Runs it, and has the connection of the fourth lost.
        let run = |args: &[&str]| {
            let summary = night.path("summary.json");
            let mut conn = db.connect();
            conn.query_drop(format!("DO GET_LOCK('{lock}', 0)"))
                .expect("a lock");
            let run = night.run(args).arg("--summary").arg(&summary).start();
            let id = poll_until(Duration::from_secs(10), || {
                db.connections_running(&lock).first().copied()
            });
            if let Some(id) = id {
                conn.query_drop(format!("KILL {id}")).expect("it is there");
            }
            let outcome = run.wait();
            let told = fs::read(&summary).expect("the summary");
            fs::remove_file(summary).expect("it is there");
            (
                outcome,
                serde_json::from_slice::<Json>(&told).expect("JSON"),
            )
        };

        earlier();
        let (outcome, told) = run(&[]);
        let stderr = outcome.ended_with(4);
        let lines: Vec<&str> = stderr
            .lines()
            .filter(|line| line.starts_with("gold"))
            .collect();
        let wanted = [
            vec!["gold_digger: lines: the query failed: ", &nowhere],
            vec![
                "gold_digger: stock: a guard tripped: there are 1 rows, fewer than 2; 1 row had come, and ",
                " was not touched",
            ],
            vec!["gold_digger: lost: ", "; no row had come, and "],
            vec!["gold_digger: empty: no rows; ", "left as it was"],
            vec![
                "gold_digger: 4 of 6 exports failed: lines (exit code 4), stock (exit code 6), lost (exit code 4), empty (exit code 1)",
            ],
        ];
        assert_eq!(lines.len(), wanted.len(), "{stderr}");
        for (line, parts) in lines.iter().zip(&wanted) {
            let holds = line.starts_with(parts[0]) && parts.iter().all(|part| line.contains(part));
            assert!(holds, "{line} {parts:?}");
        }
        night.holds("orders.csv", "id\n1\n2\n");
        night.holds("last.csv", "id\n3\n");
        for name in ["lines.csv", "stock.csv", "lost.csv", "empty.csv"] {
            night.holds(name, "as it was");
        }
        assert_eq!(
            (&told["status"], &told["exit_code"]),
            (&json!("failure"), &json!(4))
        );
        assert_eq!(
            became(&told),
            [
                "orders success 0",
                "lines failure 4",
                "stock failure 6",
                "lost failure 4",
                "empty empty 1",
                "last success 0"
            ]
        );
        assert_eq!((&told["rows"], &told["bytes"]), (&json!(4), &json!(17)));
        assert_eq!(told["exports"][2]["error"]["kind"], "guard");
        assert_eq!(told["exports"][0]["target"], path("orders.csv"));
        assert_eq!(night.names().len(), 7);

        // What has not begun when one fails does not begin.
        earlier();
        let (outcome, told) = night.told(&["--on-error", "stop"]);
        let said =
            "1 of 6 exports failed: lines (exit code 4); 4 did not run: stock, lost, empty, last";
        outcome.failed_with_any_length(4, &[said]);
        assert_eq!(
            became(&told)[2..],
            [
                "stock not run null",
                "lost not run null",
                "empty not run null",
                "last not run null"
            ]
        );
        night.holds("orders.csv", "id\n1\n2\n");
        night.holds("last.csv", "as it was");

        // One that fails keeps all others from their names.
        earlier();
        let (outcome, told) = night.told(&[
            "--publish",
            "all-or-nothing",
            "--job",
            "orders",
            "--job",
            "empty",
            "--job",
            "last",
        ]);
        let said = "1 of 3 exports failed: empty (exit code 1); 2 were not published: orders, last";
        outcome.failed_with_any_length(1, &[said]);
        assert_eq!(
            became(&told),
            [
                "orders withheld null",
                "empty empty 1",
                "last withheld null"
            ]
        );
        night.holds("orders.csv", "as it was");
        assert_eq!(night.names().len(), 7);
        let whole = [
            "--publish",
            "all-or-nothing",
            "--job",
            "orders",
            "--job",
            "last",
            "--connections",
            "2",
        ];
        let (outcome, told) = night.told(&whole);
        outcome.ended(0, "");
        assert_eq!(told["status"], "success");
        night.holds("orders.csv", "id\n1\n2\n");
        night.holds("last.csv", "id\n3\n");
    });
}

#[test]
fn nothing_has_its_name_before_all_are_complete() {
    on_a_server(|db| {
        let wait = waits(db);
        let queries = [("one", "SELECT 1 AS a"), ("two", wait.as_str())];
        let night = Night::of(
            db,
            "[run]\npublish = 'all-or-nothing'\nconnections = 2",
            &queries,
        );
        let all_written = || {
            let unfinished = night
                .names()
                .into_iter()
                .filter(|name| name.ends_with(".gold_digger"));
            let written = unfinished
                .filter(|name| fs::read(night.path(name)).is_ok_and(|bytes| bytes == b"a\n1\n"));
            (written.count() == 1).then_some(())
        };
        let outcome = night.meanwhile(&["-v"], || {
            poll_until(Duration::from_secs(10), all_written).expect("the first is written");
            assert!(!night.path("one.csv").exists());
        });
        outcome.ended_with(0);
        night.holds("one.csv", "a\n1\n");
        night.holds("two.csv", "a\n1\n");
    });
}

#[test]
fn nothing_has_its_name_where_one_cannot_have_it() {
    on_a_server(|db| {
        let wait = waits(db);
        let queries = [
            ("one", "SELECT 1 AS a"),
            ("two", "SELECT 2 AS a"),
            ("three", wait.as_str()),
        ];
        let night = Night::of(db, "[run]\npublish = 'all-or-nothing'", &queries);
        let outcome = night.meanwhile(&[], || {
            fs::create_dir(night.path("two.csv")).expect("a folder");
        });
        let parts = [
            "two.csv: it is a directory",
            "1 of 3 exports failed: two (exit code 5); 2 were not published: one, three",
        ];
        outcome.failed_with_any_length(5, &parts);
        assert_eq!(night.names(), ["nightly.toml", "two.csv"]);
        // What cannot be taken back cannot wait.
        fs::remove_dir(night.path("two.csv")).expect("a folder");
        make_fifo(&night.path("two.csv"));
        let reader = night.path("two.csv");
        std::thread::spawn(move || fs::read(reader));
        let args = ["--job", "two", "--job", "one"];
        night
            .run(&args)
            .run()
            .failed_with_any_length(5, &["cannot wait for the other exports"]);
        assert!(!night.path("one.csv").exists());
    });
}

#[test]
fn a_stream_ends_with_its_export() {
    on_a_server(|db| {
        let queries = [("one", "SELECT 1 AS a"), ("two", "SELECT 2 AS a")];
        let night = Night::of(db, "", &queries);
        for name in ["one.csv", "two.csv"] {
            make_fifo(&night.path(name));
        }
        let run = night.run(&[]).start();
        // One after the other, as a shell reads them.
        for (name, text) in [("one.csv", "a\n1\n"), ("two.csv", "a\n2\n")] {
            night.holds(name, text);
        }
        run.wait().ended(0, "");
    });
}

#[test]
fn a_server_that_is_not_there_is_waited_for_once() {
    on_a_server(|db| {
        let queries = [
            ("one", "SELECT 1 AS a"),
            ("two", "SELECT 2 AS a"),
            ("three", "SELECT 3 AS a"),
        ];
        let night = Night::of(db, "[connection]\nretry = 1", &queries);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let run = night
            .run(&[])
            .env("DATABASE_URL", db.url_by_port(port))
            .run();
        let outcome =
            run.failed_with_any_length(3, &["3 of 3 exports failed: one (exit code 3), two"]);
        assert_eq!(outcome.stderr.matches("attempt 1 of 2 failed").count(), 1);
    });
}

#[test]
fn a_signal_ends_the_night_in_order() {
    each_server(|db| {
        let waits = format!("SELECT SLEEP(100) AS {}", db.name);
        let queries = [
            ("first", "SELECT 1 AS a"),
            ("second", waits.as_str()),
            ("third", waits.as_str()),
            ("fourth", "SELECT 1 AS a"),
        ];
        for head in [
            "[run]\nconnections = 2",
            "[run]\nconnections = 2\nsnapshot = true\nlock = true",
        ] {
            let night = Night::of(db, head, &queries);
            let summary = night.path("summary.json");
            let run = night.run(&["--summary"]).arg(&summary).start();
            let both_run = || (db.connections_running(&db.name).len() == 2).then_some(());
            poll_until(Duration::from_secs(10), both_run).expect("both run");
            let asked = Instant::now();
            run.signal(Signal::SIGTERM);
            let stderr = run.wait().ended_with(143);
            assert!(asked.elapsed() < SHORT_TIMEOUT, "{:?}", asked.elapsed());
            assert!(stderr.contains("2 of 4 exports failed: second (exit code 143), third (exit code 143); 1 did not run: fourth"), "{stderr}");
            let told: Json =
                serde_json::from_slice(&fs::read(&summary).expect("the summary")).expect("JSON");
            assert_eq!(told["exit_code"], 143);
            assert_eq!(
                became(&told),
                [
                    "first success 0",
                    "second failure 143",
                    "third failure 143",
                    "fourth not run null"
                ]
            );
            assert_eq!(night.names(), ["first.csv", "nightly.toml", "summary.json"]);
            poll_until(SHORT_TIMEOUT, || {
                db.connections_running(&db.name).is_empty().then_some(())
            })
            .expect("both are killed");
        }
    });
}
