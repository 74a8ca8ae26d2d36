//! What chunks must not change: rows that servers compare in one order and keep in another,
//! names that are not those of tables, the clock, and what depends on all rows.

use std::{fs, path::Path};

use mysql::prelude::Queryable;

use super::split::{NUMBERS, read};
use crate::support::{Database, GoldDigger, Outcome, each_logging_server};

fn run(db: &Database, args: &[&str], file: &Path) -> Outcome {
    let run = GoldDigger::new().env("DATABASE_URL", db.url());
    run.args(args).arg("-o").arg(file).run()
}

/// Checks that `args` give the rows of `single`, in any order.
fn assert_same(db: &Database, args: &[&str], single: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    run(db, &[single], &folder.join("single.csv")).ended(0, "");
    run(db, args, &folder.join("joined.csv")).ended(0, "");
    let sorted = |name: &str| {
        let mut lines: Vec<_> = read(folder, name).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert!(sorted("joined.csv") == sorted("single.csv"), "{args:?}");
}

fn assert_refused(db: &Database, args: &[&str], code: i32, problems: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("x.csv");
    run(db, args, &target).failed(code, problems);
    assert!(!target.exists());
}

#[test]
fn a_char_that_is_not_padded_does_not_divide_where_ranges_lose_rows() {
    each_logging_server(|db| {
        let collation = match db.is_mariadb() {
            true => "utf8mb4_nopad_bin",
            false => "utf8mb4_0900_bin",
        };
        for kind in ["CHAR(20)", "VARCHAR(20)"] {
            db.sql("DROP TABLE IF EXISTS t");
            db.sql(&format!(
                "CREATE TABLE t (code {kind} COLLATE {collation} PRIMARY KEY, v INT)"
            ));
            db.sql(&format!(
                "INSERT INTO t SELECT CONCAT('A', n DIV 2, IF(n % 2, '\\t1', '')), n FROM {NUMBERS} WHERE n BETWEEN 100 AND 199"
            ));
            let args = ["--table=t", "--split=20"];
            match db.is_mariadb() && kind == "CHAR(20)" {
                true => assert_refused(
                    db,
                    &args,
                    4,
                    &[
                        "code is a CHAR in the collation utf8mb4_nopad_bin without padding",
                        "--split-by COLUMN",
                    ],
                ),
                false => assert_same(db, &args, "SELECT * FROM t"),
            }
            if !db.is_mariadb() && kind == "CHAR(20)" {
                let padded = ["--init=SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'"];
                let problem = ["code is a CHAR in the collation utf8mb4_0900_bin without padding"];
                assert_refused(db, &[&args[..], &padded].concat(), 4, &problem);
            }
        }
        db.sql("DROP TABLE t");
        db.sql("CREATE TABLE t (code CHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT)");
        db.sql(&format!(
            "INSERT INTO t SELECT CONCAT('A', n, IF(n % 2, '\\t1', '')), n FROM {NUMBERS} WHERE n < 200"
        ));
        assert_same(db, &["--table=t", "--split=20"], "SELECT * FROM t");
    });
}

#[test]
fn zero_dates_that_are_not_null_are_no_nulls() {
    each_logging_server(|db| {
        let mut conn = db.connect();
        conn.query_drop("SET sql_mode = ''").expect("a mode");
        for kind in ["DATE", "DATETIME", "TIMESTAMP"] {
            conn.query_drop("DROP TABLE IF EXISTS t, u")
                .expect("dropped");
            conn.query_drop(format!(
                "CREATE TABLE t (a INT NOT NULL, d {kind} NOT NULL, v INT, PRIMARY KEY (a, d), KEY (d, a))"
            ))
            .expect("a table");
            conn.query_drop(format!(
                "INSERT INTO t SELECT n DIV 2, IF(n % 2, '2021-01-01', '0000-00-00'), n FROM {NUMBERS} WHERE n < 200"
            ))
            .expect("rows");
            conn.query_drop("CREATE TABLE u (id INT PRIMARY KEY)")
                .expect("a table");
            conn.query_drop(format!(
                "INSERT INTO u SELECT n FROM {NUMBERS} WHERE n < 150"
            ))
            .expect("rows");
            conn.query_drop("CREATE OR REPLACE VIEW v AS SELECT * FROM t")
                .expect("a view");
            let zone = [
                "--init=SET sql_mode = 'ALLOW_INVALID_DATES'",
                "--time-zone=+00:00",
                "--zero-dates=keep",
            ];
            let outer = "SELECT u.id, t.a, t.v FROM u LEFT JOIN t ON t.a = u.id";
            for (args, single) in [
                (vec!["--table=t", "--split=9"], "SELECT a, v FROM t"),
                (
                    vec!["SELECT a, v FROM t WHERE :chunk", "--split=9"],
                    "SELECT a, v FROM t",
                ),
                (
                    vec!["--table=v", "--split-by=a,d", "--split=9"],
                    "SELECT a, v FROM t",
                ),
                (
                    vec!["--table=v", "--split-by=d,a", "--split=9"],
                    "SELECT a, v FROM t",
                ),
                (
                    vec![
                        &format!("{outer} WHERE :chunk"),
                        "--split-by=t.a,t.d",
                        "--split=9",
                    ],
                    outer,
                ),
                (
                    vec![
                        &format!("{outer} WHERE :chunk"),
                        "--split-by=t.d,t.a",
                        "--split=9",
                    ],
                    outer,
                ),
            ] {
                let columns = ["--columns=a,v"];
                let columns = match args[0].starts_with("--table") {
                    true => &columns[..],
                    false => &[],
                };
                let args = [&args[..], &zone, columns].concat();
                assert_same(db, &args, single);
            }
        }
    });
}

#[test]
fn the_table_is_the_one_that_the_statement_names() {
    each_logging_server(|db| {
        db.sql("CREATE TABLE t (name VARCHAR(20) COLLATE utf8mb4_unicode_ci PRIMARY KEY, v INT)");
        db.sql(&format!(
            "INSERT INTO t SELECT CONCAT(CHAR(IF(n % 2, 65, 97) + n % 26 USING utf8mb4), n), n FROM {NUMBERS} WHERE n < 100"
        ));
        let inner = "SELECT name COLLATE utf8mb4_bin AS name, v FROM t";
        for (statement, by) in [
            (format!("SELECT * FROM ({inner}) t WHERE :chunk"), None),
            (
                format!("SELECT * FROM ({inner}) t WHERE :chunk"),
                Some("--split-by=t.name"),
            ),
            (
                format!(
                    "WITH t AS (SELECT name COLLATE utf8mb4_bin AS name, v FROM {}.t) SELECT * FROM t WHERE :chunk",
                    db.name
                ),
                None,
            ),
        ] {
            let args = [Some(&*statement), Some("--split=10"), by];
            let args: Vec<&str> = args.into_iter().flatten().collect();
            assert_refused(
                db,
                &args,
                4,
                &["t is a result of the statement, and only tables and views are divided"],
            );
        }
        // A view of that name in another database.
        let other = format!("{}_view", db.name);
        db.sql(&format!("DROP DATABASE IF EXISTS {other}"));
        db.sql(&format!("CREATE DATABASE {other}"));
        db.sql(&format!(
            "CREATE VIEW {other}.t AS SELECT SHA2(name, 256) AS name, v FROM {}.t",
            db.name
        ));
        let single = format!("SELECT * FROM {other}.t");
        let chunked = format!("{single} WHERE :chunk");
        assert_refused(
            db,
            &[&chunked, "--split=8"],
            4,
            &[
                "t has no primary key, and no unique key without NULLs",
                "--split-by COLUMN",
            ],
        );
        assert_same(db, &[&chunked, "--split=8", "--split-by=t.name"], &single);
        let database = format!("--database={other}");
        let bare = [
            "SELECT * FROM t WHERE :chunk",
            "--split=8",
            "--split-by=name",
            &database,
        ];
        assert_same(db, &bare, &single);
        db.sql(&format!("DROP DATABASE {other}"));
        for (statement, problem) in [
            ("SELECT 1 FROM nothing WHERE :chunk", "t exist"),
            (
                "SELECT t.v FROM t JOIN t u USING (name) WHERE :chunk",
                "the statement reads several tables (t, u)",
            ),
        ] {
            assert_refused(db, &[statement, "--split=2"], 4, &[problem]);
        }
        assert_refused(
            db,
            &[
                "SELECT v FROM t WHERE :chunk",
                "--split=2",
                "--split-by=x.v",
            ],
            4,
            &["the statement has no x in its FROM"],
        );
    });
}

#[test]
fn the_clock_shows_one_moment_in_all_chunks() {
    each_logging_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        db.sql(&format!(
            "INSERT INTO t SELECT n FROM {NUMBERS} WHERE n < 100"
        ));
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("c.toml");
        // An export behind it has the clock of its own session again.
        fs::write(
            &config,
            "[run]\nconnections = 1\nsnapshot = true\n\
             [[export]]\nname = \"a\"\npath = \"a.csv\"\nsplit = 4\n\
             sql = \"SELECT NOW(6) AS a, SLEEP(0.01) AS b FROM t WHERE :chunk\"\n\
             [[export]]\nname = \"b\"\npath = \"b.csv\"\nsql = \"SELECT NOW(6) AS a, 0 AS b\"\n",
        )
        .expect("a file");
        let run = GoldDigger::new().env("DATABASE_URL", db.url());
        let run = run.current_dir(folder.path()).arg("--config").arg(&config);
        run.run().ended(0, "");
        let moments = |name: &str| {
            let text = read(folder.path(), name);
            let mut found: Vec<_> = text.lines().skip(1).map(str::to_owned).collect();
            found.dedup();
            found
        };
        let (of_chunks, later) = (moments("a.csv"), moments("b.csv"));
        assert_eq!(of_chunks.len(), 1, "{of_chunks:?}");
        assert!(of_chunks < later, "{of_chunks:?} {later:?}");
    });
}

#[test]
fn what_depends_on_all_rows_is_refused() {
    each_logging_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, v INT)");
        db.sql(&format!(
            "INSERT INTO t SELECT n, n FROM {NUMBERS} WHERE n < 100"
        ));
        let aggregate = [
            "SELECT (SELECT MAX(t.v)) AS m FROM t WHERE :chunk",
            "--split=4",
        ];
        assert_refused(
            db,
            &aggregate,
            4,
            &[
                "the statement returns a row where no row is read",
                "leave out --split",
            ],
        );
        for args in [
            ["--table=t", "--where=ROWNUM() <= 5"],
            ["--table=t", "--where=v > 1 AND ROWNUM <= 5"],
        ] {
            let args = [&args[..], &["--split=4"]].concat();
            assert_refused(db, &args, 2, &["has ROWNUM, which depends on all rows"]);
        }
        let hint = [
            "SELECT /*+ SET_VAR(sql_select_limit=5) */ id FROM t WHERE :chunk",
            "--split=4",
        ];
        assert_refused(
            db,
            &hint,
            2,
            &["sets sql_select_limit, which depends on all rows"],
        );
        let statement =
            "SELECT id, (SELECT MAX(u.v) FROM t u WHERE u.id < t.id) AS m FROM t WHERE :chunk";
        let whole = statement.replace(":chunk", "1 = 1");
        assert_same(db, &[statement, "--split=4"], &whole);
    });
}

#[test]
fn a_check_finds_what_cannot_be_divided() {
    each_logging_server(|db| {
        db.sql("CREATE TABLE t (id INT)");
        for (args, problem) in [
            (
                vec!["--table=t"],
                "t has no primary key, and no unique key without NULLs",
            ),
            (
                vec!["--table=t", "--split-by=nosuch"],
                "t has no column nosuch",
            ),
            (
                vec!["SELECT x FROM (SELECT id AS x FROM t) q WHERE :chunk"],
                "q is a result of the statement",
            ),
        ] {
            let args = [&args[..], &["--split=4", "--check"]].concat();
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            run.args(args).run().failed(4, &[problem]);
        }
    });
}
