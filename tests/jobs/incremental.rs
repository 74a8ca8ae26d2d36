//! Exports that read only what is new since the last run.

use std::{fs, path::Path};

use mysql::prelude::Queryable;
use serde_json::Value as Json;

use super::split::{NUMBERS, read};
use crate::support::{
    Database, GoldDigger, Outcome, each_logging_server, file_names, make_zone_with_summer_time,
    on_a_server,
};

fn run(db: &Database, folder: &Path, args: &[&str]) -> Outcome {
    let run = GoldDigger::new().env("DATABASE_URL", db.url());
    let run = run.current_dir(folder).args(args);
    run.args(["--header=false", "--state=s.json", "-o", "x.csv"])
        .run()
}

/// Runs, and takes the file that came; nothing, if there is none.
fn increment(db: &Database, folder: &Path, args: &[&str]) -> String {
    run(db, folder, args).ended(0, "");
    let file = folder.join("x.csv");
    let rows = fs::read_to_string(&file).unwrap_or_default();
    if file.exists() {
        fs::remove_file(file).expect("removed");
    }
    rows
}

fn state(folder: &Path) -> Json {
    serde_json::from_str(&read(folder, "s.json")).expect("JSON")
}

/// A key: the columns, their names, and the values of row number `n`.
const KEYS: &[(&str, &str, &str)] = &[
    (
        "k BIGINT PRIMARY KEY",
        "k",
        "(CAST(n AS SIGNED) - 50) * 92233720368547758",
    ),
    ("k BIGINT UNSIGNED PRIMARY KEY", "k", "n"),
    (
        "k DECIMAL(30,10) PRIMARY KEY",
        "k",
        "(n - 50) * 1.0000000001",
    ),
    (
        "k DATETIME(6) PRIMARY KEY",
        "k",
        "'2026-01-01' + INTERVAL n * 7 MICROSECOND",
    ),
    ("k DATE PRIMARY KEY", "k", "'2026-01-01' + INTERVAL n DAY"),
    (
        "k TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3) PRIMARY KEY",
        "k",
        "'2026-10-25 00:30:00' + INTERVAL n MINUTE",
    ),
    (
        "k VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY",
        "k",
        "CONCAT(ELT(1 + n DIV 20, 'a', 'É', 'f', 'Z', 'ß '), LPAD(n, 4, '0'))",
    ),
    (
        "k VARCHAR(20) CHARACTER SET latin1 PRIMARY KEY",
        "k",
        "CONCAT('ä', LPAD(n, 4, '0'))",
    ),
    (
        "k BINARY(4) PRIMARY KEY",
        "k",
        "UNHEX(LPAD(HEX(n), 8, '0'))",
    ),
    // Many rows have one time.
    (
        "k DATETIME, i INT, PRIMARY KEY (k, i)",
        "k,i",
        "'2026-01-01' + INTERVAL n DIV 30 HOUR, n",
    ),
];

#[test]
fn increments_have_every_row_once() {
    each_logging_server(|db| {
        for (columns, by, values) in KEYS {
            let columns = match columns.split_once(", PRIMARY KEY") {
                Some((columns, key)) => format!("{columns}, n INT, PRIMARY KEY {key}"),
                None => format!("{columns}, n INT"),
            };
            let value_form = format!("SELECT n FROM t WHERE {by} > :since AND {by} <= :until");
            let statements = ["SELECT n FROM t WHERE :increment", &value_form];
            // Two columns have no single value.
            let forms = if by.contains(',') { 1 } else { 2 };
            for statement in std::iter::once(&"").chain(&statements[..forms]) {
                db.sql("DROP TABLE IF EXISTS t");
                db.sql(&format!("CREATE TABLE t ({columns})"));
                let folder = tempfile::tempdir().expect("a folder");
                let folder = folder.path();
                let incremental = format!("--incremental={by}");
                let config = folder.join("c.toml");
                let table = match *statement {
                    "" => "table = \"t\"\nselect = [\"n\"]".to_owned(),
                    sql => format!("sql = \"{sql}\""),
                };
                fs::write(
                    &config,
                    format!("[[export]]\nname = \"e\"\npath = \"x.csv\"\n{table}\n"),
                )
                .expect("a file");
                let args = ["--config=c.toml", "--time-zone=+00:00", &incremental];
                // Without it, rows of the last moment may still come, which is a warning.
                let has_dates = values.contains("'2026");
                let lag = has_dates.then_some("--lag=1h");
                // Texts do not grow.
                let has_texts = ["CHAR", "BINARY"].iter().any(|word| columns.contains(word));
                let increment = || {
                    let run = GoldDigger::new().env("DATABASE_URL", db.url());
                    let run = run.current_dir(folder).args(args);
                    let run = run.args(["--header=false", "--state=s.json"]).args(lag);
                    let shown = run.run().ended_with(0);
                    assert_eq!(shown.contains("or a lower one"), has_texts, "{shown}");
                    assert!(has_texts || shown.is_empty(), "{shown}");
                    let file = folder.join("x.csv");
                    let rows = fs::read_to_string(&file).unwrap_or_default();
                    let _ = fs::remove_file(file);
                    let mut rows: Vec<u32> = rows.lines().map(|n| n.parse().expect("n")).collect();
                    rows.sort_unstable();
                    rows
                };
                assert!(increment().is_empty(), "{statement} {columns}");
                // The last rows of an increment and the first of the next may have one time.
                for (from, to) in [(0, 1), (1, 45), (45, 45), (45, 46), (46, 100)] {
                    let mut conn = db.connect();
                    conn.query_drop("SET time_zone = '+00:00'").expect("a zone");
                    conn.query_drop(format!(
                        "INSERT INTO t SELECT {values}, n FROM {NUMBERS} WHERE n >= {from} AND n < {to}"
                    ).replace("INSERT INTO t SELECT", &format!("INSERT INTO t ({by}, n) SELECT")))
                    .expect("rows");
                    let expected: Vec<u32> = (from..to).collect();
                    assert_eq!(increment(), expected, "{statement} {columns}");
                }
            }
        }
    });
}

#[test]
fn the_state_moves_only_with_a_published_file() {
    on_a_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let args = ["--table=t", "--incremental=id"];
        // Nothing is new: no file, and a success.
        run(db, folder, &args).ended(0, "");
        let shown = run(db, folder, &[&args[..], &["-v"]].concat()).ended_with(0);
        assert!(
            shown.ends_with("gold_digger: no new rows; x.csv left as it was\n"),
            "{shown}"
        );
        assert_eq!(file_names(folder), [""; 0]);
        db.sql("INSERT INTO t VALUES (1), (2)");
        assert_eq!(increment(db, folder, &args), "1\n2\n");
        let entries = state(folder)["exports"].as_object().cloned();
        let entries: Vec<_> = entries.into_iter().flatten().collect();
        let [(name, entry)] = &entries[..] else {
            panic!("{entries:?}");
        };
        assert!(name.ends_with(".t"), "{name}");
        assert_eq!(entry["mark"]["values"], serde_json::json!(["2"]));
        db.sql("INSERT INTO t VALUES (3)");
        let before = state(folder);
        run(db, folder, &[&args[..], &["--min-rows=2"]].concat()).ended_with(6);
        assert_eq!(state(folder), before);
        // A backfill includes its value, and leaves the state as it is.
        assert_eq!(
            increment(db, folder, &[&args[..], &["--since=2"]].concat()),
            "2\n3\n"
        );
        assert_eq!(state(folder), before);
        assert_eq!(increment(db, folder, &args), "3\n");
        let nothing = [&args[..], &["--allow-empty"]].concat();
        run(db, folder, &nothing).ended(0, "");
        assert_eq!(read(folder, "x.csv"), "");
        // Rows of an earlier increment are in no other file.
        db.sql("INSERT INTO t VALUES (9)");
        let before = state(folder);
        run(db, folder, &args).failed(
            5,
            &[
                "cannot create x.csv: it is there already",
                "move it away first",
            ],
        );
        assert_eq!(
            (read(folder, "x.csv"), state(folder)),
            (String::new(), before)
        );
        db.sql("DELETE FROM t WHERE id = 9");
        db.sql("INSERT INTO t VALUES (4)");
        fs::remove_file(folder.join("x.csv")).expect("removed");
        // An export of everything leaves the last row where it is.
        run(db, folder, &["--table=t"]).ended(0, "");
        fs::remove_file(folder.join("x.csv")).expect("removed");
        assert_eq!(increment(db, folder, &args), "4\n");

        db.sql("DELETE FROM t WHERE id > 1");
        run(db, folder, &args).failed(0, &["the highest id of ", " is below that of the last run"]);
        assert_eq!(file_names(folder), ["s.json"]);
    });
}

#[test]
fn the_first_run_may_begin_later() {
    on_a_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, at DATETIME(6) NULL, KEY (at))");
        db.sql("INSERT INTO t VALUES (1, '2026-01-01'), (2, '2026-01-01 00:00:00.000001'), (3, '2026-01-02'), (4, NULL)");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let config = folder.join("c.toml");
        let of = |since: &str, sql: &str| {
            let text = format!(
                "[[export]]\nname = \"e\"\npath = \"x.csv\"\n{sql}\nincremental = \"at\"\nsince = \"{since}\"\n"
            );
            fs::write(&config, text).expect("a file");
            let run = GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .current_dir(folder);
            run.args(["--config=c.toml", "--header=false", "--state=s.json"])
                .run()
        };
        let nulls = [
            "rows whose at is NULL are in no increment",
            "rows that are added or changed later within the same at as the last one, or that a transaction still holds back, are in no increment: add a lag",
        ];
        for sql in [
            "table = \"t\"\nselect = [\"id\"]",
            "sql = \"SELECT id FROM t WHERE at > :since AND at <= :until\"",
        ] {
            for (since, expected) in [
                ("2026-01-01", "1\n2\n3\n"),
                ("2026-01-01 00:00:00.000001", "2\n3\n"),
                ("2025-01-01", "1\n2\n3\n"),
            ] {
                for name in ["s.json", "x.csv"] {
                    let _ = fs::remove_file(folder.join(name));
                }
                of(since, sql).failed_with_any_length(0, &nulls);
                assert_eq!(read(folder, "x.csv"), expected, "{since} {sql}");
            }
        }
        for since in ["2026-02-30", "2026-01-01T00:00:00Z", "yesterday", "1"] {
            let _ = fs::remove_file(folder.join("s.json"));
            of(since, "table = \"t\"")
                .failed_with_any_length(2, &["the value of since, ", " is none of at datetime(6)"]);
        }
    });
}

#[test]
fn a_lag_waits_for_transactions_that_are_open() {
    each_logging_server(|db| {
        for lag in [None, Some("--lag=5")] {
            db.sql("DROP TABLE IF EXISTS t");
            db.sql("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v INT)");
            let folder = tempfile::tempdir().expect("a folder");
            let folder = folder.path();
            let args: Vec<&str> = ["--table=t", "--incremental=id"]
                .into_iter()
                .chain(lag)
                .collect();
            // The first transaction has the lower number, and is committed later.
            let (mut first, mut second) = (db.connect(), db.connect());
            first.query_drop("BEGIN").expect("begun");
            first
                .query_drop("INSERT INTO t (v) VALUES (1)")
                .expect("a row");
            second
                .query_drop("INSERT INTO t (v) VALUES (2)")
                .expect("a row");
            let early = increment(db, folder, &args);
            first.query_drop("COMMIT").expect("committed");
            for _ in 0..5 {
                second
                    .query_drop("INSERT INTO t (v) VALUES (3)")
                    .expect("a row");
            }
            let late = increment(db, folder, &args);
            match lag {
                // The row is lost: that is what a lag is for.
                None => assert_eq!((&*early, late.contains("1,1")), ("2,2\n", false)),
                Some(_) => assert_eq!((&*early, &*late), ("", "1,1\n2,2\n")),
            }
        }
        db.sql("DROP TABLE t");
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, at DATETIME(6) NOT NULL, KEY (at))");
        db.sql("INSERT INTO t VALUES (1, NOW(6) - INTERVAL 2 HOUR)");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let args = ["--table=t", "--columns=id", "--incremental=at", "--lag=1h"];
        let (mut first, mut second) = (db.connect(), db.connect());
        first.query_drop("BEGIN").expect("begun");
        first
            .query_drop("INSERT INTO t VALUES (2, NOW(6) - INTERVAL 2 SECOND)")
            .expect("a row");
        second
            .query_drop("INSERT INTO t VALUES (3, NOW(6) - INTERVAL 1 SECOND)")
            .expect("a row");
        assert_eq!(increment(db, folder, &args), "1\n");
        first.query_drop("COMMIT").expect("committed");
        assert_eq!(increment(db, folder, &args), "");
        let later = [
            &args[..],
            &["--init=SET timestamp = UNIX_TIMESTAMP() + 7200"],
        ]
        .concat();
        assert_eq!(increment(db, folder, &later), "2\n3\n");
        let wrong = ["--table=t", "--incremental=id", "--lag=5m"];
        run(db, folder, &wrong).failed(2, &["the lag does not fit id int", "lag = 1000"]);
        let wrong = ["--table=t", "--incremental=at", "--lag=5"];
        run(db, folder, &wrong).failed(2, &["the lag does not fit at datetime(6)", "lag = \"5m\""]);
    });
}

#[test]
fn each_table_of_many_has_its_own_last_row() {
    on_a_server(|db| {
        for (table, rows) in [("a", "(1), (2)"), ("b", "(10)")] {
            db.sql(&format!("CREATE TABLE {table} (id INT PRIMARY KEY)"));
            db.sql(&format!("INSERT INTO {table} VALUES {rows}"));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let run = || {
            let run = GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .current_dir(folder);
            let run = run.args([
                "--tables=*",
                "--incremental=id",
                "--state=s.json",
                "--header=false",
            ]);
            run.args(["-o", "{table}.csv"]).run().ended_with(0);
        };
        run();
        assert_eq!(
            (&*read(folder, "a.csv"), &*read(folder, "b.csv")),
            ("1\n2\n", "10\n")
        );
        db.sql("INSERT INTO a VALUES (3)");
        fs::remove_file(folder.join("a.csv")).expect("removed");
        run();
        assert_eq!(
            (&*read(folder, "a.csv"), &*read(folder, "b.csv")),
            ("3\n", "10\n")
        );
    });
}

/// Exports table `from` as "e", and takes the file that came.
fn of_file(db: &Database, folder: &Path, from: &str) -> (String, String) {
    let text = format!("[[export]]\nname = \"e\"\npath = \"x.csv\"\n{from}\n");
    fs::write(folder.join("c.toml"), text).expect("a file");
    let run = GoldDigger::new()
        .env("DATABASE_URL", db.url())
        .current_dir(folder);
    let run = run.args(["--config=c.toml", "--header=false", "--state=s.json"]);
    let shown = run.run().stderr;
    let rows = fs::read_to_string(folder.join("x.csv")).unwrap_or_default();
    let _ = fs::remove_file(folder.join("x.csv"));
    (rows, shown)
}

#[test]
fn the_last_row_is_of_one_table_and_one_statement() {
    on_a_server(|db| {
        for table in ["t", "u"] {
            db.sql(&format!(
                "CREATE TABLE {table} (id INT PRIMARY KEY, r INT, at DATETIME(6))"
            ));
            db.sql(&format!(
                "INSERT INTO {table} VALUES (1, 1, NULL), (2, 2, NULL), (3, 1, NULL)"
            ));
        }
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let table = |name: &str, more: &str| {
            let from =
                format!("table = \"{name}\"\nselect = [\"id\"]\nincremental = \"id\"\n{more}");
            of_file(db, folder, &from)
        };
        assert_eq!(table("t", "").0, "1\n2\n3\n");
        let (rows, shown) = table("u", "");
        assert_eq!(rows, "");
        assert!(
            shown.contains("the state has the last row of ")
                && shown.contains(".t, and the rows are those of "),
            "{shown}"
        );
        db.sql("INSERT INTO t VALUES (4, 1, NULL)");
        let (rows, shown) = table("t", "where = \"r = 1\"");
        assert_eq!(rows, "4\n");
        assert!(
            shown.contains("the statement or a parameter has changed"),
            "{shown}"
        );
        // Each condition of a typed table has a last row of its own.
        for (condition, rows) in [("r = 1", "1\n3\n4\n"), ("r = 2", "2\n")] {
            let args = [
                "--table=t",
                "--columns=id",
                "--incremental=id",
                "--where",
                condition,
            ];
            assert_eq!(increment(db, folder, &args), rows);
            assert_eq!(increment(db, folder, &args), "");
        }
        db.sql("DROP TABLE t");
        db.sql("CREATE TABLE t (id DATETIME PRIMARY KEY, r INT)");
        let (_, shown) = table("t", "where = \"r = 1\"");
        assert!(
            shown.contains("by id integer, and rows are new by id datetime"),
            "{shown}"
        );
        // A key that was cut by hand.
        let mut cut = state(folder);
        cut["exports"]["e"]["mark"]["values"] = Json::Array(Vec::new());
        cut["exports"]["e"]["mark"]["columns"] = serde_json::json!(["id datetime"]);
        fs::write(folder.join("s.json"), cut.to_string()).expect("a file");
        let (_, shown) = table("t", "where = \"r = 1\"");
        assert!(
            shown.contains("the state has a key that no row can have"),
            "{shown}"
        );
    });
}

#[test]
fn rows_without_a_value_come_once() {
    on_a_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, at DATETIME(6), KEY (at))");
        db.sql("INSERT INTO t VALUES (1, NULL), (2, NOW(6))");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let args = ["--table=t", "--columns=id", "--incremental=at", "--lag=1h"];
        assert_eq!(increment(db, folder, &args), "1\n");
        let again = run(db, folder, &args);
        again.ended(
            0,
            "gold_digger: warning: rows whose at is NULL are in no increment\n",
        );
        db.sql("INSERT INTO t VALUES (3, NOW(6) - INTERVAL 2 HOUR)");
        run(db, folder, &args).failed(0, &["rows whose at is NULL are in no increment"]);
        assert_eq!(read(folder, "x.csv"), "3\n");
    });
}

#[test]
fn a_lag_ends_before_the_unit_in_which_rows_still_come() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, day DATE NOT NULL, at DATETIME NOT NULL, KEY (day), KEY (at))");
        let late = "--init=SET timestamp = UNIX_TIMESTAMP('2026-03-04 12:00:00.9')";
        db.sql("INSERT INTO t VALUES (1, '2026-03-03', '2026-03-03'), (2, '2026-03-04', '2026-03-04 12:00:00')");
        for (by, lag) in [("day", "--lag=5m"), ("at", "--lag=300ms")] {
            let _ = fs::remove_file(folder.join("s.json"));
            let by = format!("--incremental={by}");
            let args = ["--table=t", "--columns=id", &by, lag, late];
            assert_eq!(increment(db, folder, &args), "1\n", "{by}");
        }
        // What waits after the snapshot began does not use the lag up.
        db.sql("DELETE FROM t");
        db.sql("INSERT INTO t VALUES (1, '2026-03-04', NOW() + INTERVAL 4 SECOND)");
        let text = "[[export]]\nname = \"slow\"\npath = \"slow.csv\"\nsql = \"SELECT SLEEP(6)\"\n\
            [[export]]\nname = \"t\"\npath = \"x.csv\"\ntable = \"t\"\nincremental = \"at\"\nlag = \"1s\"\n";
        fs::write(folder.join("c.toml"), text).expect("a file");
        let run = GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .current_dir(folder);
        let run = run.args(["--config=c.toml", "--state=other.json", "--connections=1"]);
        let shown = run.run().ended_with(0);
        assert!(!folder.join("x.csv").exists(), "{shown}");
    });
}

#[test]
fn what_no_increment_has_is_told() {
    on_a_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL, b INT, at DATETIME NOT NULL, UNIQUE (a, b), KEY (at, id))");
        db.sql("CREATE TABLE u (id INT PRIMARY KEY, t INT)");
        db.sql("CREATE VIEW v AS SELECT * FROM t");
        db.sql("INSERT INTO t VALUES (1, 1, NULL, '2026-01-01')");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let told = |args: &[&str], text: &str| {
            run(db, folder, args).failed(0, &[text]);
            for name in ["s.json", "x.csv"] {
                let _ = fs::remove_file(folder.join(name));
            }
        };
        let lower = "or a lower one, are in no increment";
        told(&["--table=t", "--incremental=a,b"], lower);
        told(&["--table=v", "--incremental=id"], lower);
        // A text is unique, and does not grow.
        db.sql("CREATE TABLE s (id CHAR(36) PRIMARY KEY)");
        db.sql("INSERT INTO s VALUES ('8b')");
        told(&["--table=s", "--incremental=id"], lower);
        // An update within the second has the same key, or a lower one.
        let later = "rows that are added or changed later within the same at";
        told(&["--table=t", "--incremental=at,id"], later);
        let zone = [
            "--table=t",
            "--incremental=at,id",
            "--lag=5m",
            "--time-zone=Test/Clocks",
        ];
        make_zone_with_summer_time(db);
        told(&zone, "the session's time zone is Test/Clocks: ");
        let sql = "sql = \"SELECT t.id FROM u LEFT JOIN t ON t.id = u.t WHERE :increment\"\nincremental = \"t.id\"";
        let (_, shown) = of_file(db, folder, sql);
        assert!(
            shown.contains("an outer join makes NULL of the columns of t, by which rows are new"),
            "{shown}"
        );
        for (by, since) in [
            ("t", "25:61:00"),
            ("t", "abc"),
            ("y", "abc"),
            ("y", "9999"),
            ("t", "999:00:00"),
        ] {
            db.sql("CREATE TABLE IF NOT EXISTS w (t TIME PRIMARY KEY, y YEAR NOT NULL UNIQUE)");
            let by = format!("--incremental={by}");
            let since = format!("--since={since}");
            run(db, folder, &["--table=w", &by, &since])
                .failed(2, &["the value of since, ", " is none of "]);
        }
    });
}

#[test]
fn what_would_lose_rows_or_double_them_is_refused() {
    let no_server = |args: &[&str]| {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
        run.args(args).args(["-o", "x.csv"]).run()
    };
    let state = "--state=s.json";
    for (args, problem) in [
        (
            vec!["--table=t", "--since=5"],
            "is for what is new, and all rows are read",
        ),
        (
            vec!["--table=t", "--lag=5m"],
            "is for what is new, and all rows are read",
        ),
        (
            vec!["--table=t", "--incremental=id"],
            "keeps the last row in a state file, and none is named",
        ),
        (
            vec!["--table=t", "--incremental=id", state, "--limit=5"],
            "cannot stand beside limit",
        ),
        (
            vec!["--table=t", "--incremental=id", state, "--split=5"],
            "cannot stand beside split",
        ),
        (
            vec!["--table=t", "--incremental=t.id", state],
            "names a table, and the rows are those of a table already",
        ),
        (
            vec!["--table=t", "--incremental=a,A", state],
            "has a column twice",
        ),
        (
            vec!["--table=t", "--incremental=id", state, "--lag=0"],
            "write a time, such as 30s or 5m, or a number of ids",
        ),
        (
            vec!["--table=t", "--incremental=id", state, "--lag=soon"],
            "write a time, such as 30s or 5m, or a number of ids",
        ),
        (
            vec!["--table=t", "--incremental=id", state, "--read-write"],
            "needs a snapshot",
        ),
        (
            vec!["--table=t", "--incremental=id", state, "--snapshot=false"],
            "needs a snapshot",
        ),
        (
            vec!["SELECT 1", "--incremental=id", state],
            "the query has neither :increment nor :since",
        ),
        (
            vec![
                "SELECT id FROM t WHERE id >= :since",
                "--incremental=id",
                state,
            ],
            "has :since elsewhere than in id > :since",
        ),
        (
            vec![
                "SELECT id FROM t WHERE :increment LIMIT 5",
                "--incremental=id",
                state,
            ],
            "has LIMIT, which leaves rows out",
        ),
        (
            vec![
                "SELECT id FROM t WHERE a > :since",
                "--incremental=a,id",
                state,
            ],
            "has several columns, and :since is one value",
        ),
        (
            vec![
                "SELECT id FROM t WHERE id > :since",
                "--incremental=id",
                "--lag=5",
                state,
            ],
            "keeps the last row, and the query has no :until",
        ),
        (
            vec![
                "SELECT id FROM t WHERE id > :since AND id <= :until",
                "--incremental=id",
                state,
            ],
            "by the name of the export, and it has none",
        ),
        (
            vec![
                "SELECT id FROM t WHERE id > :since AND id <= :until",
                "--incremental=id",
                state,
                "--param=since=5",
            ],
            "gives since a value, which is that of what is new here",
        ),
    ] {
        no_server(&args).failed_with_any_length(2, &[problem]);
    }
    on_a_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, e ENUM('a') NULL, at TIMESTAMP NULL)");
        db.sql("INSERT INTO t VALUES (1, 'a', NOW())");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        for (args, code, problem) in [
            (
                vec!["--incremental=e"],
                4,
                "t cannot be followed by e, as that is a ENUM",
            ),
            (vec!["--incremental=x"], 4, "t has no column x"),
            (
                vec!["--incremental=at", "--time-zone=SYSTEM"],
                4,
                "at is a TIMESTAMP, and in the time zone",
            ),
            (
                vec!["--incremental=id", "--init=SET sql_select_limit = 5"],
                4,
                "so that some would be missing",
            ),
        ] {
            let args = [&args[..], &["--table=t"]].concat();
            run(db, folder, &args).failed(code, &[problem]);
            run(db, folder, &[&args[..], &["--check"]].concat()).failed(code, &[problem]);
        }
        let zone = ["--table=t", "--incremental=at", "--time-zone=+00:00"];
        let index = ["has no index that begins with at: all of it is read"];
        run(db, folder, &zone).failed_with_any_length(0, &index);
        fs::remove_file(folder.join("x.csv")).expect("removed");
        let other = ["--table=t", "--incremental=at", "--time-zone=+02:00"];
        run(db, folder, &other).failed(
            2,
            &["a TIMESTAMP in the time zone +00:00, and the session has +02:00"],
        );
        let other = ["--table=t", "--incremental=id"];
        run(db, folder, &other).failed(
            2,
            &["the state has the last row by at timestamp, and rows are new by id integer"],
        );
    });
}
