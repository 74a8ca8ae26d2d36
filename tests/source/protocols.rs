//! The wire protocol of a statement and the binding of its parameters.

use std::os::unix::fs::PermissionsExt;

use mysql::prelude::Queryable;

use crate::support::{Database, GlobalVariable, GoldDigger, each_server, each_server_alone, fake};

/// Returns the protocol that a verbose run reports, and its reason for the text
/// protocol, if any.
#[track_caller]
fn reported_protocol(db: &Database, sql: &str, flags: &[&str]) -> (String, String) {
    let outcome = db.export(sql).args(flags).arg("-v").run();
    assert_eq!(outcome.status.code(), Some(0), "{sql}: {}", outcome.stderr);
    let line = |part: &str| {
        let line = outcome.stderr.lines().find(|line| line.contains(part));
        line.unwrap_or_default()
            .trim_start_matches("gold_digger: ")
            .to_owned()
    };
    let came = line("the rows came over the ");
    let name = came.split(' ').nth(5).unwrap_or_default().to_owned();
    (name, line("the text protocol is used"))
}

#[test]
fn selects_are_prepared_and_other_statements_are_text() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        db.sql("INSERT INTO t VALUES (1)");
        db.sql("CREATE PROCEDURE p() SELECT 1 AS a");
        let without_reason = |name: &str| (name.to_owned(), String::new());
        let mut prepared = vec![
            "SELECT 1",
            "/* a */ select 1",
            "(SELECT 1) UNION (SELECT 2)",
            "WITH x AS (SELECT 1) SELECT * FROM x",
            "CALL p()",
        ];
        prepared.extend(if db.is_mariadb() {
            ["VALUES (1)"; 2]
        } else {
            ["VALUES ROW(1)", "TABLE t"]
        });
        for sql in prepared {
            assert_eq!(
                reported_protocol(db, sql, &[]),
                without_reason("binary"),
                "{sql}"
            );
            assert_eq!(
                reported_protocol(db, sql, &["--protocol=text"]),
                without_reason("text"),
                "{sql}"
            );
        }
        for sql in ["SHOW TABLES", "EXPLAIN SELECT 1", "DESCRIBE t"] {
            assert_eq!(
                reported_protocol(db, sql, &[]),
                without_reason("text"),
                "{sql}"
            );
        }
        assert_eq!(
            reported_protocol(db, "SHOW TABLES", &["--protocol=binary"]),
            without_reason("binary")
        );
    });
}

#[test]
fn a_statement_that_cannot_be_prepared_is_sent_as_text_with_a_reason() {
    each_server(|db| {
        // The driver overlooks a quote after a slash and takes :b for a parameter.
        let misread = "SELECT 10/'2' AS a, ':b' AS b";
        db.export(misread).run().wrote("a\tb\n5\t:b\n");
        let (name, reason) = reported_protocol(db, misread, &[]);
        assert_eq!(
            (name.as_str(), reason.as_str()),
            (
                "text",
                "the text protocol is used: the driver would take something in it for a parameter"
            )
        );
        db.export(misread)
            .arg("--protocol=binary")
            .run()
            .failed(4, &["cannot use the binary protocol", "--protocol auto"]);
        // A mistake in the statement does not lead to a second attempt.
        for protocol in ["auto", "text", "binary"] {
            db.export("SELECT nothing FROM nowhere")
                .args(["--protocol", protocol])
                .run()
                .failed(4, &["1146 (42S02)"]);
        }
        db.export("SELECT ? AS a")
            .run()
            .failed(4, &["1064 (42000)"]);
    });
}

#[test]
fn a_verbose_run_without_rows_reports_warnings_and_protocol() {
    each_server(|db| {
        let outcome = db
            .export("SELECT 1 / 0 AS a FROM DUAL HAVING a > 1")
            .arg("-v")
            .run();
        assert_eq!(outcome.status.code(), Some(1));
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert!(
            lines[2].starts_with("gold_digger: the server counted "),
            "{lines:?}"
        );
        assert!(
            lines[3].starts_with("gold_digger: the rows came over the binary protocol"),
            "{lines:?}"
        );
        assert_eq!(
            lines[4],
            "gold_digger: no rows; standard output left as it was"
        );
    });
}

#[test]
fn a_refused_preparation_falls_back_to_text_once() {
    each_server_alone(|db| {
        db.sql("CREATE TABLE runs (n INT)");
        db.sql("INSERT INTO runs VALUES (0)");
        db.sql("CREATE FUNCTION bump() RETURNS INT MODIFIES SQL DATA BEGIN UPDATE runs SET n = n + 1; RETURN 7; END");
        let runs = || -> Option<u32> {
            db.connect()
                .query_first("SELECT n FROM runs")
                .expect("a count")
        };
        let closed = || -> u64 {
            let row: Option<(String, u64)> = db
                .connect()
                .query_first("SHOW GLOBAL STATUS LIKE 'Com_stmt_close'")
                .expect("a status");
            row.expect("one row").1
        };
        let before = closed();
        for (count, protocol) in [(1, "text"), (2, "binary"), (3, "auto")] {
            db.export("SELECT bump() AS a")
                .args(["--read-write", "--protocol", protocol])
                .run()
                .wrote("a\n7\n");
            assert_eq!(runs(), Some(count), "{protocol}");
        }
        // The text protocol prepares it too, to learn its columns.
        assert_eq!(closed() - before, 3, "statements are closed");
        let _limit = GlobalVariable::set(db, "max_prepared_stmt_count", "0");
        let outcome = db
            .export("SELECT bump() AS a")
            .args(["--read-write", "-v"])
            .run();
        assert_eq!(
            (outcome.status.code(), &*outcome.stdout),
            (Some(0), &b"a\n7\n"[..])
        );
        outcome.assert_stderr_contains(&["the text protocol is used: server error 1461 (42000)"]);
        assert_eq!(runs(), Some(4));
        let check = db.export("SELECT bump() AS a").arg("--check").run();
        let shown = String::from_utf8(check.ended(0, "").stdout).expect("UTF-8");
        let reason = "columns     the statement is not prepared: server error 1461 (42000): ";
        assert!(shown.contains(reason), "{shown}");
        let float = db.export("SELECT CAST(1 AS FLOAT) AS f").run();
        float.assert_stderr_contains(&["warning: FLOATs such as \"f\" have six digits only: the text protocol is used: server error 1461"]);
        db.export("SELECT 1")
            .arg("--protocol=binary")
            .run()
            .failed(4, &["1461", "--protocol auto"]);
        db.export("SELECT :a")
            .arg("--param=a=1")
            .run()
            .ended_with(0);
    });
}

#[test]
fn a_proxy_that_cannot_prepare_works() {
    let port = fake::serve(|session| session.answer(&["a"], &[&[b"x"]]));
    GoldDigger::new()
        .args(["--db-url", &fake::url(port), "SELECT 1"])
        .run()
        .wrote("a\nx\n");
}

#[test]
fn parameters_are_literals_whatever_they_hold() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, name VARCHAR(50))");
        db.sql(r#"INSERT INTO t VALUES (1, 'a'), (2, '\' OR 1=1 -- '), (3, '00123'), (4, 'ä\\😀'), (5, '')"#);
        let find = |name: &str| {
            db.export("SELECT id FROM t WHERE name = :Name")
                .args(["--param", &format!("Name={name}")])
                .run()
        };
        for (name, id) in [
            ("a", 1),
            ("' OR 1=1 -- ", 2),
            ("00123", 3),
            ("ä\\😀", 4),
            ("", 5),
        ] {
            find(name).wrote(format!("id\n{id}\n"));
        }
        db.sql("CREATE PROCEDURE named(wanted VARCHAR(50)) SELECT id FROM t WHERE name = wanted");
        db.export("CALL named(:name)")
            .arg("--param=name=00123")
            .run()
            .wrote("id\n3\n");
        db.export("DO :name")
            .arg("--param=name=1")
            .run()
            .failed(4, &["no result set"]);
        find("123").ended(1, "gold_digger: no rows; standard output left as it was\n");
        db.export("SELECT :a AS x, ':a' AS `:a`, :b_2 AS y, :a AS z -- :c\nLIMIT :n")
            .args(["--param=a=1=2", "--param=b_2=NULL", "--param=n=5"])
            .run()
            .wrote("x\t:a\ty\tz\n1=2\t:a\tNULL\t1=2\n");
    });
}

/// Statements without a result set, which the check and the run refuse before they write.
const INTO: &[&str] = &[
    "SELECT 1 AS a INTO OUTFILE '%'",
    "SELECT 1 AS a INTO DUMPFILE '%'",
    "SELECT id FROM t WHERE id <> 'into' INTO @x",
    "WITH c AS (SELECT 1 AS a) SELECT a FROM c INTO @x",
];

#[test]
fn rows_that_go_into_a_file_of_the_server_are_refused() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        let folder = tempfile::tempdir().expect("a folder");
        let mode = PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), mode).expect("a mode");
        let file = folder.path().join("x");
        for sql in INTO {
            let sql = sql.replace('%', &file.display().to_string());
            for flags in [
                &["--check"][..],
                &[],
                &["--read-write"],
                &["--protocol=text"],
                &["--protocol=binary"],
            ] {
                let run = db.export(&sql).args(flags).run();
                run.failed(4, &["has no result set\n  hint: leave INTO out"]);
                assert!(!file.exists(), "{sql} {flags:?}");
            }
        }
        db.export("SELECT 'into' AS a, 2 AS `into`")
            .run()
            .wrote("a\tinto\ninto\t2\n");
    });
}

#[test]
fn a_check_refuses_what_cannot_be_exported() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        for sql in [
            "DO 1",
            "SET @a = 1",
            "DROP TABLE t",
            "create table u (a int)",
            "GRANT SELECT ON t TO x",
            "INSERT INTO t VALUES (1)",
        ] {
            for flags in [&["--check"][..], &["--check", "--read-write"]] {
                let stderr = db.export(sql).args(flags).run().ended_with(4);
                let refused = "has no result set\n  hint: only statements that return rows";
                assert!(stderr.contains(refused), "{sql} {flags:?}: {stderr}");
            }
        }
        db.export("SELECT COUNT(*) AS n FROM t")
            .run()
            .wrote("n\n0\n");
        db.sql("CREATE PROCEDURE p() SELECT 1 AS a");
        let mut unknown = vec![
            "CALL p()",
            "SHOW PLUGINS",
            "SHOW PROCESSLIST",
            "CHECK TABLE t",
        ];
        if db.is_mariadb() {
            unknown.push("SET STATEMENT lock_wait_timeout = 5 FOR SELECT 1 AS a");
        }
        for sql in unknown {
            db.export(sql).arg("--check").run().ended(0, "");
            db.export(sql).run().ended_with(0);
        }
    });
}

#[test]
fn a_check_does_not_look_at_what_only_the_run_may_do() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY) ENGINE = InnoDB");
        let mut statements = vec!["SELECT id FROM t FOR UPDATE"];
        if db.is_mariadb() {
            db.sql("CREATE SEQUENCE s");
            statements.extend([
                "SELECT NEXTVAL(s) AS a",
                "INSERT INTO t VALUES (1) RETURNING id",
            ]);
        }
        for sql in statements {
            let check = db.export(sql).args(["--check", "--read-write"]).run();
            let shown = String::from_utf8(check.ended(0, "").stdout).expect("UTF-8");
            for line in [
                "\nsession     read-only for the check, read-write for the run, time zone ",
                "\ncolumns     not checked: the statement writes or locks, and a check may not\n",
            ] {
                assert!(shown.contains(line), "{shown}");
            }
            let check = db.export(sql).arg("--check").run();
            check.failed(4, &["1792", "--read-write lets the statement write"]);
        }
        db.export("SELECT COUNT(*) AS n FROM t")
            .run()
            .wrote("n\n0\n");
    });
}
