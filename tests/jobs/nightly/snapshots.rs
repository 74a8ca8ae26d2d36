//! One snapshot for all exports: its content, its use on several connections, and
//! its loss.

use std::{
    fs, io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
    time::Duration,
};

use mysql::prelude::Queryable;
use serde_json::Value as Json;

use super::{ExportFile, statuses, waiting_query};
use crate::support::{
    Database, GlobalVariable, Server, Signal, assert_as_schema, each_logging_server, each_server,
    each_server_alone,
    fake::{self, Side},
    wait_for, wait_until,
};

#[test]
fn rows_written_during_the_run_are_not_in_the_snapshot() {
    each_server(|db| {
        for sql in [
            "CREATE TABLE orders (id INT) ENGINE = InnoDB",
            "CREATE TABLE parts (id INT) ENGINE = InnoDB",
            "CREATE TABLE kept (id INT) ENGINE = InnoDB",
            "INSERT INTO orders VALUES (1)",
            "INSERT INTO parts VALUES (1)",
            "CREATE PROCEDURE p() BEGIN INSERT INTO orders VALUES (3); SELECT 1 AS a; END",
        ] {
            db.sql(sql);
        }
        let waiting = waiting_query(db);
        let queries = [
            (
                "orders",
                "SELECT o.* FROM orders o LEFT JOIN kept k ON FALSE",
            ),
            ("wait", &waiting),
            ("parts", "SELECT * FROM parts"),
            ("again", "SELECT * FROM orders"),
        ];
        // The isolation level that the session starts with does not matter.
        let level = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
        let exports =
            ExportFile::with_queries(db, &format!("[session]\ninit = ['{level}']"), &queries);
        for (args, ids) in [(&["--snapshot"][..], "1\n"), (&[], "1\n2\n")] {
            let outcome = exports.run_while_waiting(args, || {
                // The snapshot holds no lock on a table that was read.
                let mut conn = db.connect();
                for sql in [
                    "SET SESSION lock_wait_timeout = 2",
                    "ALTER TABLE kept ADD c INT",
                    "ALTER TABLE kept DROP c",
                ] {
                    conn.query_drop(sql).expect(sql);
                }
                db.sql("INSERT INTO orders VALUES (2)");
                db.sql("INSERT INTO parts VALUES (2)");
            });
            outcome.ended(0, "");
            exports.assert_file("orders.csv", "id\n1\n");
            exports.assert_file("parts.csv", &format!("id\n{ids}"));
            exports.assert_file("again.csv", &format!("id\n{ids}"));
            db.sql("DELETE FROM orders WHERE id = 2");
            db.sql("DELETE FROM parts WHERE id = 2");
        }
        let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &[("a", "CALL p()")]);
        let refused = ["READ ONLY transaction"];
        exports.run(&[]).run().failed_with_any_length(4, &refused);
    });
}

#[test]
fn each_export_starts_with_the_initial_session_settings() {
    each_server(|db| {
        for sql in [
            "CREATE TABLE t (id INT, at TIMESTAMP, text VARCHAR(9)) ENGINE = InnoDB",
            "SET time_zone = '+00:00'",
            "INSERT INTO t VALUES (1, '2026-01-02 03:04:05', '東京'), (2, NULL, 'ö')",
            "CREATE PROCEDURE p() BEGIN SET time_zone = '+09:00', sql_select_limit = 1; SET NAMES latin1; SELECT 1 AS a; END",
        ] {
            db.sql(sql);
        }
        db.sql("UPDATE t SET at = FROM_UNIXTIME(1767323045) WHERE id = 1");
        let numbers = "SELECT @n := @n + 1 AS n FROM t";
        let queries = [
            ("one", numbers),
            ("two", numbers),
            ("call", "CALL p()"),
            ("text", "SELECT * FROM t ORDER BY id"),
            ("literals", "SELECT 'a' = 'A' AS same"),
        ];
        let head = "[session]\ntime_zone = '+00:00'\ninit = ['SET @n = 0', 'SET collation_connection = utf8mb4_bin']\n[run]\nsnapshot = true";
        let exports = ExportFile::with_queries(db, head, &queries);
        exports.run(&["--quiet"]).run().ended(0, "");
        exports.assert_file("one.csv", "n\n1\n2\n");
        exports.assert_file("two.csv", "n\n1\n2\n");
        exports.assert_file("literals.csv", "same\n0\n");
        exports.assert_file("text.csv", "id,at,text\n1,2026-01-02 03:04:05,東京\n2,,ö\n");
    });
}

/// Runs the export of four tables, over four connections, `runs` times while a
/// writer adds a row to all of them in each transaction. Returns whether each run
/// exported the same number of rows of each table.
fn is_consistent_during_writes(db: &Database, runs: u32, args: &[&str]) -> bool {
    let tables = ["t0", "t1", "t2", "t3"];
    let counts = tables.map(|table| format!("SELECT COUNT(*) AS n FROM {table}"));
    let queries: Vec<(&str, &str)> = tables
        .into_iter()
        .zip(counts.iter().map(String::as_str))
        .collect();
    let head = "[output]\nmanifest = true\n[run]\nconnections = 4";
    let exports = ExportFile::with_queries(db, head, &queries);
    for table in tables {
        db.sql(&format!(
            "CREATE TABLE IF NOT EXISTS {table} (a INT) ENGINE = InnoDB"
        ));
        db.sql(&format!("TRUNCATE {table}"));
    }
    let (written, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let write = || {
        let mut conn = db.connect();
        let mut run = |sql: &str| conn.query_drop(sql).expect("the writer writes");
        while !is_over.load(Relaxed) {
            run("START TRANSACTION");
            for table in tables {
                run(&format!("INSERT INTO {table} VALUES (1)"));
            }
            run("COMMIT");
            written.fetch_add(1, Relaxed);
        }
    };
    let is_consistent = thread::scope(|scope| {
        scope.spawn(write);
        let mut is_consistent = Ok(true);
        for _ in 0..runs {
            let before = written.load(Relaxed);
            let has_written = || (written.load(Relaxed) > before).then_some(());
            wait_for("the writer writes", has_written);
            let outcome = exports.run(args).run();
            if outcome.status.code() != Some(0) {
                is_consistent = Err(outcome.stderr);
                break;
            }
            let files = tables.map(|table| fs::read(exports.path(&format!("{table}.csv"))).ok());
            is_consistent =
                is_consistent.map(|so_far| so_far && files.iter().all(|file| *file == files[0]));
        }
        is_over.store(true, Relaxed);
        is_consistent.unwrap_or_else(|stderr| panic!("{stderr}"))
    });
    let position = |table: &str| -> Json {
        let text = fs::read(exports.path(&format!("{table}.csv.manifest.json")));
        let manifest: Json = serde_json::from_slice(&text.expect("it")).expect("JSON");
        assert_as_schema("manifest", &manifest);
        manifest["snapshot"].clone()
    };
    assert_eq!(position("t0").is_object(), args.contains(&"--snapshot"));
    assert_eq!(position("t0"), position("t3"));
    is_consistent
}

#[test]
fn several_connections_share_a_snapshot_during_writes() {
    each_logging_server(|db| {
        assert!(is_consistent_during_writes(db, 12, &["--snapshot"]));
        assert!(is_consistent_during_writes(
            db,
            4,
            &["--snapshot", "--lock"]
        ));
        if !db.is_mariadb() {
            let switch = |modes: [&str; 3]| {
                for mode in modes {
                    db.sql(&format!("SET GLOBAL gtid_mode = {mode}"));
                }
            };
            switch(["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"]);
            // Without GTIDs the positions in the binary log are compared.
            assert!(is_consistent_during_writes(db, 12, &["--snapshot"]));
            assert_missing_privileges_are_reported(db);
            switch(["OFF_PERMISSIVE", "ON_PERMISSIVE", "ON"]);
        }
        // Without a snapshot the tables differ, which shows that this test can fail.
        assert!(!is_consistent_during_writes(db, 30, &[]));
    });
}

const TWO_EXPORTS: [(&str, &str); 2] = [("a", "SELECT 1 AS a"), ("b", "SELECT 2 AS a")];

fn assert_missing_privileges_are_reported(db: &Database) {
    db.sql("CREATE USER plain@'127.0.0.1' IDENTIFIED BY 'p'");
    db.sql("GRANT SELECT ON *.* TO plain@'127.0.0.1'");
    let exports =
        ExportFile::with_queries(db, "[run]\nsnapshot = true\nconnections = 2", &TWO_EXPORTS);
    let url = format!("mysql://plain:p@127.0.0.1:{}/{}", db.server.port, db.name);
    let run = |args: &[&str]| exports.run(args).env("DATABASE_URL", &url).run();
    let refused = "whether 2 connections have the same snapshot cannot be told: ";
    run(&[]).failed(
        4,
        &[refused, "may not see the binary log's state", "lock = true"],
    );
    db.sql("GRANT REPLICATION CLIENT ON *.* TO plain@'127.0.0.1'");
    run(&[]).failed(
        4,
        &[refused, "gtid_mode is not ON", "PROCESS", "lock = true"],
    );
    run(&["--lock"]).failed(4, &["cannot lock the server", "RELOAD"]);
    run(&["--connections", "1"]).ended(0, "");
    db.sql("DROP USER plain@'127.0.0.1'");
}

#[test]
fn without_a_binary_log_several_connections_need_the_lock() {
    each_server(|db| {
        let exports =
            ExportFile::with_queries(db, "[run]\nsnapshot = true\nconnections = 2", &TWO_EXPORTS);
        let (outcome, summary) = exports.run_with_summary(&[]);
        let refused = [
            "cannot be told: the server has no binary log",
            "lock = true",
        ];
        outcome.failed(4, &refused);
        assert_eq!(statuses(&summary), ["a not run null", "b not run null"]);
        assert_eq!(exports.file_names(), ["nightly.toml"]);
        for args in [&["--lock"][..], &["--connections", "1"], &["--job", "a"]] {
            exports.run(args).run().ended(0, "");
        }
        exports.assert_file("b.csv", "a\n2\n");
    });
}

/// A binary log that lacks some commits cannot prove that two snapshots are equal.
#[test]
fn a_binary_log_with_gaps_is_not_trusted() {
    each_logging_server(|db| {
        if !db.is_mariadb() {
            return;
        }
        let options = ["--log-bin", "--server-id=3", "--binlog-ignore-db=left_out"];
        let server = Server::start_with(db.server.name, &options);
        let other = server.database();
        let exports = ExportFile::with_queries(
            &other,
            "[run]\nsnapshot = true\nconnections = 2",
            &TWO_EXPORTS,
        );
        let refused = "cannot be told: the server's binary log leaves databases out";
        exports.run(&[]).run().failed(4, &[refused]);
        other.sql(&format!(
            "CHANGE MASTER TO master_host = '127.0.0.1', master_port = {}",
            db.server.port
        ));
        other.sql("START SLAVE SQL_THREAD");
        let refused = "cannot be told: what the server replicates is not in its binary log";
        exports.run(&[]).run().failed(4, &[refused]);
        exports.run(&["--lock"]).run().ended(0, "");
        server.signal(Signal::SIGKILL);
    });
}

/// Starts a load balancer that connects its clients to the two ports in turn.
fn balance(ports: [u16; 2]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for (client, server) in listener.incoming().zip(ports.into_iter().cycle()) {
            let client = client.expect("a client");
            let server = TcpStream::connect(("127.0.0.1", server)).expect("a server");
            let clone = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
            for (mut from, mut to) in [(clone(&client), clone(&server)), (server, client)] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    port
}

#[test]
fn connections_to_several_servers_have_no_common_snapshot() {
    each_logging_server(|db| {
        let other = Server::start_with(db.server.name, &["--log-bin", "--server-id=2"]);
        let exports =
            ExportFile::with_queries(db, "[run]\nsnapshot = true\nconnections = 2", &TWO_EXPORTS);
        let balancer = balance([db.server.port, other.port]);
        let url = db.url_by_port(balancer).replace(&db.name, "mysql");
        for args in [&[][..], &["--lock"]] {
            let run = exports.run(args).env("DATABASE_URL", &url).run();
            run.failed(4, &["do not all lead to one server", "connections = 1"]);
        }
        other.signal(Signal::SIGKILL);
    });
}

#[test]
fn the_snapshot_survives_exports_that_fail() {
    each_server(|db| {
        db.sql("CREATE TABLE t (a INT, b VARCHAR(2000)) ENGINE = InnoDB");
        db.sql("INSERT INTO t VALUES (1, REPEAT('x', 2000))");
        for _ in 0..13 {
            db.sql("INSERT INTO t SELECT * FROM t");
        }
        db.sql("CREATE TABLE u (a INT) ENGINE = InnoDB");
        let waiting = waiting_query(db);
        let queries = [
            ("before", "SELECT COUNT(*) AS n FROM u"),
            ("wait", &waiting),
            ("many", "SELECT t.b FROM t JOIN t AS endless"),
            ("bytes", "SELECT t.a, X'ff' AS b FROM t JOIN t AS endless"),
            ("other", "SELECT t.a, t.b FROM t JOIN t AS endless"),
            ("wrong", "SELECT nowhere FROM t"),
            ("after", "SELECT COUNT(*) AS n FROM u"),
        ];
        let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &queries);
        for (path, setting) in [
            ("path = 'many.csv'", "max_rows = 3"),
            ("path = 'bytes.csv'", "binary = 'utf8'"),
            ("path = 'other.csv'", "columns = ['a']"),
        ] {
            exports.replace_in_config(path, &format!("{path}\n{setting}"));
        }
        let outcome = exports.run_while_waiting(&[], || db.sql("INSERT INTO u VALUES (1)"));
        let failed = "4 of 7 exports failed: many (exit code 6), bytes (exit code 4), \
             other (exit code 6), wrong (exit code 4)";
        let parts = [
            "many: a guard tripped: there are more than 3 rows",
            "bytes: row 1, column \"b\": the value",
            "other: a guard tripped: column 2 is one too many",
            "wrong: the query failed",
            failed,
        ];
        outcome.failed_with_any_length(6, &parts);
        for name in ["before.csv", "after.csv"] {
            exports.assert_file(name, "n\n0\n");
        }
        let is_killed = || db.connections_running("endless").is_empty().then_some(());
        wait_for("all are killed", is_killed);
    });
}

#[test]
fn a_snapshot_that_is_lost_is_not_replaced() {
    each_server(|db| {
        db.sql("CREATE PROCEDURE ends() BEGIN COMMIT; SELECT 1 AS a; END");
        db.sql("CREATE PROCEDURE begins() BEGIN COMMIT; START TRANSACTION READ ONLY; SELECT 1 AS a; END");
        for call in ["CALL ends()", "CALL begins()"] {
            let queries = [
                ("one", "SELECT 1 AS a"),
                ("ends", call),
                ("two", "SELECT 1 AS a"),
            ];
            let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &queries);
            let (outcome, summary) = exports.run_with_summary(&[]);
            let parts = [
                "ends: the statement ended the transaction that held the snapshot",
                "two: it did not run: the snapshot is lost",
            ];
            outcome.failed_with_any_length(4, &parts);
            let expected = ["one success 0", "ends failure 4", "two failure 4"];
            assert_eq!(statuses(&summary), expected);
            assert_eq!(exports.file_names(), ["nightly.toml", "one.csv"]);
        }

        let settings = "[run]\nsnapshot = true\n[session]\ninit = ['COMMIT']";
        let exports = ExportFile::with_queries(db, settings, &[("one", "SELECT 1 AS a")]);
        let ended = "one: an init statement ended the transaction that held the snapshot";
        exports
            .run(&[])
            .run()
            .failed_with_any_length(4, &[ended, "leave COMMIT, FLUSH"]);

        let waiting = waiting_query(db);
        let queries = [
            ("one", "SELECT 1 AS a"),
            ("wait", &waiting),
            ("two", "SELECT 1 AS a"),
        ];
        let head = "[connection]\nretry = 3\n[run]\nsnapshot = true";
        let exports = ExportFile::with_queries(db, head, &queries);
        let outcome = exports.run_while_waiting(&[], || {
            let id = db.connections_waiting(&db.name)[0];
            db.sql(&format!("KILL {id}"));
        });
        let parts = [
            "wait: ",
            "its connection held the snapshot",
            "two: it did not run: the snapshot is lost",
        ];
        outcome.failed_with_any_length(4, &parts);
        assert_eq!(exports.file_names(), ["nightly.toml", "one.csv"]);
    });
}

/// A disk that is slow, or a reader of a pipe, lets the session wait between two
/// statements. Only MariaDB has these limits.
#[test]
fn an_idle_transaction_keeps_its_snapshot() {
    each_server_alone(|db| {
        if !db.is_mariadb() {
            return;
        }
        let _limits = [
            "idle_transaction_timeout",
            "idle_readonly_transaction_timeout",
            "idle_write_transaction_timeout",
        ]
        .map(|name| GlobalVariable::set(db, name, "1"));
        let slow = fake::proxy(db.server.port, |side, bytes| {
            if side == Side::Client && bytes.windows(11).any(|part| part == b"ROLLBACK TO") {
                thread::sleep(Duration::from_millis(2500));
            }
        });
        let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &TWO_EXPORTS);
        let run = exports.run(&["--quiet"]);
        run.env("DATABASE_URL", db.url_by_port(slow))
            .run()
            .ended(0, "");
        exports.assert_file("b.csv", "a\n2\n");
    });
}

/// Waits until the server's clock is well within another second. The system's times of
/// files lag behind it by a few milliseconds.
fn next_second(db: &Database) {
    let mut conn = db.connect();
    let mut now = || -> f64 {
        let time = conn.query_first("SELECT UNIX_TIMESTAMP(SYSDATE(6))");
        time.expect("an answer").expect("a time")
    };
    let next = now().floor() + 1.1;
    wait_until("the clock is within another second", || now() > next);
}

#[test]
fn a_table_that_was_altered_after_the_snapshot_began_is_refused() {
    each_server(|db| {
        // MySQL shows the state of the snapshot, not that a table was altered.
        if !db.is_mariadb() {
            return;
        }
        for sql in [
            "CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY RANGE (id) \
             (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
            "INSERT INTO parts VALUES (1), (11)",
            "CREATE TABLE orders (id INT PRIMARY KEY)",
            "CREATE TABLE new_orders LIKE orders",
            "CREATE TABLE wide (id INT PRIMARY KEY)",
            "CREATE TABLE by_key (id INT PRIMARY KEY)",
            "INSERT INTO by_key VALUES (1)",
            "CREATE TABLE kept (id INT PRIMARY KEY)",
            "INSERT INTO kept VALUES (1)",
            "CREATE VIEW seen AS SELECT DISTINCT id FROM parts",
        ] {
            db.sql(sql);
        }
        let waiting = waiting_query(db);
        let queries = [
            ("first", "SELECT COUNT(*) AS n FROM parts"),
            ("wait", &waiting),
            ("parts", "SELECT id FROM parts"),
            ("orders", "SELECT COUNT(*) AS n FROM orders"),
            ("wide", "SELECT * FROM wide WHERE id = 1"),
            ("by_key", "SELECT * FROM by_key WHERE id = 1"),
            ("seen", "SELECT s.id FROM seen AS s"),
            ("kept", "SELECT parts.id FROM kept AS parts WHERE id = 1"),
        ];
        // The zone of the session does not matter.
        let head = "[session]\ntime_zone = \"+13:00\"\n[run]\nsnapshot = true";
        let exports = ExportFile::with_queries(db, head, &queries);
        let outcome = exports.run_while_waiting(&[], || {
            next_second(db);
            db.sql("ALTER TABLE parts DROP PARTITION p1");
            db.sql("RENAME TABLE orders TO old_orders, new_orders TO orders");
            db.sql("ALTER TABLE wide ADD COLUMN n INT");
            db.sql("ALTER TABLE by_key ADD COLUMN n INT");
        });
        let stderr = outcome.ended_with(4);
        for (export, table) in [
            ("parts", "parts"),
            ("orders", "orders"),
            ("wide", "wide"),
            ("by_key", "by_key"),
            ("seen", "parts"),
        ] {
            let error = format!(
                "gold_digger: {export}: the table {}.{table} was altered after the snapshot began",
                db.name
            );
            assert!(stderr.contains(&error), "{stderr}");
        }
        assert!(stderr.contains("5 of 8 exports failed"), "{stderr}");
        // The row of the table has been read by EXPLAIN, so that any word may be its name.
        let doubt = format!("{}.parts was altered after the snapshot began, if", db.name);
        assert!(stderr.contains(&doubt), "{stderr}");
        exports.assert_file("first.csv", "n\n2\n");
        exports.assert_file("kept.csv", "id\n1\n");
    });
}
