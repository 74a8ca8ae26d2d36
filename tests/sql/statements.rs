//! Which statements export and which are refused. A refused statement publishes
//! nothing.

use std::fs;

use mysql::prelude::Queryable;

use crate::support::{
    Database, GlobalVariable, GoldDigger, each_server, each_server_alone, wait_for,
};

/// Exports to an existing file. Asserts exit code 4, `parts` in the message and an
/// unchanged file.
#[track_caller]
fn assert_refused(db: &Database, sql: &str, flags: &[&str], parts: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("out.csv");
    fs::write(&target, "earlier").expect("a file");
    db.export(sql)
        .args(flags)
        .arg("-o")
        .arg(&target)
        .run()
        .failed(4, parts);
    assert_eq!(fs::read_to_string(&target).expect("the file"), "earlier");
    assert_eq!(
        fs::read_dir(folder.path()).expect("the folder").count(),
        1,
        "a file was left behind"
    );
}

#[test]
fn server_errors_are_shown() {
    each_server(|db| {
        assert_refused(
            db,
            "SELEKT 1",
            &[],
            &["the query failed", "1064 (42000)", "SELEKT"],
        );
        assert_refused(
            db,
            "SELECT * FROM nowhere",
            &[],
            &["1146 (42S02)", "nowhere"],
        );
        // This error follows the first rows.
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, s LONGTEXT)");
        db.sql("INSERT INTO t VALUES (1, REPEAT('x', 40000)), (2, '')");
        let late = "SELECT s, (SELECT id FROM t AS u WHERE u.id >= t.id) FROM t ORDER BY id DESC";
        assert_refused(db, late, &[], &["1242 (21000)"]);
    });
}

#[test]
fn the_session_is_read_only_without_read_write() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        for write in [
            "INSERT INTO t VALUES (1)",
            "DELETE FROM t",
            "CREATE TABLE u (id INT)",
        ] {
            assert_refused(db, write, &[], &["1792 (25006)", "--read-write"]);
        }
        // The statement runs, but has no rows to export.
        assert_refused(
            db,
            "INSERT INTO t VALUES (1), (2)",
            &["--read-write"],
            &["(INSERT …) ran", "no result set", "2 rows"],
        );
        db.export("SELECT COUNT(*) AS n FROM t")
            .run()
            .wrote("n\n2\n");
        if db.is_mariadb() {
            assert_refused(
                db,
                "INSERT INTO t VALUES (3) RETURNING id",
                &[],
                &["1792", "--read-write"],
            );
            db.export("INSERT INTO t VALUES (3) RETURNING id")
                .arg("--read-write")
                .run()
                .wrote("id\n3\n");
        }
    });
}

#[test]
fn statements_without_a_result_set_are_errors() {
    each_server(|db| {
        for statement in ["SET @a = 1", "DO 1"] {
            let commented = format!("/* a */ {statement}");
            let named = format!(
                "({} …) ran",
                &statement[..statement.find(' ').expect("two words")]
            );
            assert_refused(
                db,
                &commented,
                &["--allow-empty"],
                &[&named, "no result set"],
            );
        }
    });
}

#[test]
fn a_call_exports_one_result_set() {
    each_server(|db| {
        db.sql("CREATE PROCEDURE one() SELECT 1 AS a");
        db.sql("CREATE PROCEDURE two() BEGIN SELECT 1 AS a; SELECT 2 AS b; END");
        db.sql("CREATE PROCEDURE many() BEGIN SELECT 1 AS a; SELECT REPEAT('x', 60000) FROM information_schema.COLUMNS; END");
        db.sql("CREATE PROCEDURE late() BEGIN SELECT 1 AS a; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too late'; END");
        db.sql("CREATE PROCEDURE none() SET @a = 1");
        db.export("CALL one()").run().wrote("a\n1\n");
        for procedure in ["two", "many"] {
            assert_refused(
                db,
                &format!("CALL {procedure}()"),
                &[],
                &["second result set"],
            );
        }
        assert_refused(
            db,
            "CALL late()",
            &[],
            &["failed after its rows", "1644 (45000)", "too late"],
        );
        assert_refused(db, "CALL none()", &[], &["no result set"]);
    });
}

#[test]
fn other_statements_with_rows_export() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        db.export("SHOW TABLES")
            .run()
            .wrote(format!("Tables_in_{}\nt\n", db.name));
        db.export("/* a */ (SELECT 1 AS a) UNION ALL (SELECT 2); -- b")
            .run()
            .wrote("a\n1\n2\n");
        db.export("WITH x AS (SELECT 1 AS a) SELECT * FROM x")
            .run()
            .wrote("a\n1\n");
        let explain = db.export("EXPLAIN SELECT * FROM t").run().ended(0, "");
        assert!(
            explain.stdout.starts_with(b"id\tselect_type\ttable\t")
                || explain.stdout.starts_with(b"EXPLAIN\n")
        );
    });
}

#[test]
fn an_error_of_the_server_names_the_file_and_what_helps() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("q.sql");
        fs::write(&file, "\n-- report\nSELECT 1 FORM t\nWHERE a = 1").expect("a file");
        let file = file.display().to_string();
        let run = || GoldDigger::new().env("DATABASE_URL", db.url());
        let named = format!("gold_digger: {file}: the query failed: server error 1064");
        for args in [
            &["--query-file", &file][..],
            &["--check", "--query-file", &file],
        ] {
            run().args(args).run().failed(4, &[&named]);
        }
        let variable = run().env("DATABASE_QUERY", "SELECT nothing").run();
        variable.failed(4, &["DATABASE_QUERY: the query failed: server error 1054"]);
        let without_database = db.url().replace(&format!("/{}", db.name), "/");
        let run = GoldDigger::new().args(["--db-url", &without_database]);
        let hint = "hint: --database NAME chooses one";
        run.arg("SELECT * FROM t")
            .run()
            .failed(4, &["1046 (3D000)", hint]);
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        let insert = db.export("INSERT INTO t VALUES (1)").arg("--read-write");
        insert
            .run()
            .failed(4, &["no result set; it affected 1 row\n"]);
    });
}

#[test]
fn a_lock_that_is_not_had_is_tried_again() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        db.sql("INSERT INTO t VALUES (1)");
        let mut other = db.connect();
        other.query_drop("LOCK TABLES t WRITE").expect("a lock");
        let run = || {
            let wait = "SET SESSION lock_wait_timeout = 1";
            db.export("SELECT id FROM t").args(["--init", wait])
        };
        let parts = ["1205 (HY000)", "another session held a lock", "--retry N"];
        run().run().failed(4, &parts);
        let retried = run().args(["--retry", "5"]).start();
        let waits = || (!db.connections_running("SELECT id FROM t").is_empty()).then_some(());
        wait_for("it waits", waits);
        // The lock outlasts the first attempt.
        let is_over = || {
            db.connections_running("SELECT id FROM t")
                .is_empty()
                .then_some(())
        };
        wait_for("the first attempt fails", is_over);
        other.query_drop("UNLOCK TABLES").expect("it is freed");
        let outcome = retried.wait();
        assert_eq!(
            (outcome.status.code(), &*outcome.stdout),
            (Some(0), &b"id\n1\n"[..])
        );
        outcome.assert_stderr_contains(&["attempt 1 of 6 failed", "server error 1205"]);
    });
}

#[test]
fn quotes_are_parsed_by_the_sql_mode_of_the_session() {
    each_server_alone(|db| {
        // With backslash escapes this is one statement, without them two.
        let sql = r"SELECT 'a\'; SELECT ''b' AS x";
        db.export(sql).run().wrote("x\na'; SELECT 'b\n");
        let _mode = GlobalVariable::set(
            db,
            "sql_mode",
            "CONCAT(@@GLOBAL.sql_mode, ',NO_BACKSLASH_ESCAPES')",
        );
        db.export(sql).run().failed(2, &["more than one statement"]);
    });
}

#[test]
fn a_verbose_run_counts_the_warnings_of_the_server() {
    each_server(|db| {
        let outcome = db
            .export("SELECT 1 / 0 AS a UNION ALL SELECT 2 / 0")
            .arg("-v")
            .run();
        assert_eq!(outcome.status.code(), Some(0));
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(lines[2], "gold_digger: the server counted 2 warnings");
        // The name SYSTEM says nothing to the reader of the log.
        let zones = "SELECT @@session.time_zone, @@system_time_zone";
        let (own, system): (String, String) = db
            .connect()
            .query_first(zones)
            .expect("an answer")
            .expect("the zones");
        assert_eq!(own, "SYSTEM");
        let rows = "the rows came over the binary protocol, TIMESTAMPs in the time zone";
        assert_eq!(lines[3], format!("gold_digger: {rows} {system}"));
        assert!(
            lines[4].starts_with("gold_digger: 2 rows, 8 bytes to standard output in "),
            "{lines:?}"
        );
        db.export("SELECT 1 / 0 AS a").run().wrote("a\n\\N\n");
    });
}

#[test]
fn long_values_arrive_whole() {
    const LENGTH: usize = 64 << 20;
    each_server(|db| {
        let query = format!(
            "SELECT 1 AS a, REPEAT('0123456789abcdef', {}) AS b",
            LENGTH / 16
        );
        for protocol in ["text", "binary"] {
            let outcome = db
                .export(&query)
                .args(["--protocol", protocol])
                .run()
                .ended(0, "");
            assert_eq!(
                outcome.stdout.len(),
                "a\tb\n1\t".len() + LENGTH + "\n".len()
            );
            let value = &outcome.stdout["a\tb\n1\t".len()..outcome.stdout.len() - 1];
            assert!(value.chunks(16).all(|chunk| chunk == b"0123456789abcdef"));
        }
    });
}

#[test]
fn the_message_names_the_packet_limit_of_the_server() {
    each_server_alone(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, s LONGTEXT)");
        db.sql("INSERT INTO t VALUES (1, REPEAT('x', 3000000))");
        let _limit = GlobalVariable::set(db, "max_allowed_packet", "1048576");
        // The limit is for statements and intermediate values, not for rows.
        let whole = db.export("SELECT s FROM t").run().ended(0, "");
        assert_eq!(whole.stdout.len(), 3_000_003);
        let folder = tempfile::tempdir().expect("a folder");
        let long = folder.path().join("long.sql");
        fs::write(&long, format!("SELECT '{}'", "x".repeat(2_000_000))).expect("a file");
        let run = GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .arg("--query-file")
            .arg(&long);
        run.run()
            .failed(4, &["the query failed", "max_allowed_packet"]);
        if !db.is_mariadb() {
            assert_refused(
                db,
                "SELECT s FROM t ORDER BY s",
                &[],
                &["1038 (HY001)", "sort memory"],
            );
        }
    });
}
