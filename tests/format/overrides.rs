//! `--for` with other flags beside it: a file that its statement loads exactly, or
//! no statement.

use std::{fs, path::Path, process::Command};

use super::targets::{compare, load_into_mysql, load_into_postgres, run_script};
use crate::support::{Database, Postgres, each_server, installed, on_a_server};

/// The flags of each format, beside those of [`FLAGS`].
const CSV_FLAGS: &[&[&str]] = &[
    &["--csv-null", ""],
    &["--csv-null", "0"],
    &["--csv-null", "NULL"],
    &["--csv-null", "\\N"],
    &["--csv-quote", "text"],
    &["--csv-quote", "always"],
    &["--csv-quote", "always", "--csv-null", ""],
    &["--csv-delimiter", ";"],
    &["--csv-delimiter", "\\t"],
    &["--csv-delimiter", "'"],
    &["--line-ending", "crlf"],
    &["--csv-formulas", "escape"],
    &["--csv-bom"],
];

const FLAGS: &[&[&str]] = &[
    &[],
    &["--booleans", "number"],
    &["--booleans", "tinyint1"],
    &["--booleans", "words"],
    &["--binary", "base64"],
    &["--binary", "hex"],
    &["--binary", "utf8"],
    &["--binary", "raw"],
    &["--binary", "postgres"],
    &["--zero-dates", "keep"],
    &["--zero-dates", "null"],
    &["--zero-dates", "error"],
    &["--header=false"],
    &["--format", "csv"],
    &["--format", "tsv"],
    &["--format", "json"],
];

/// Queries, and the names of their columns.
const QUERIES: &[(&str, &[&str])] = &[
    (
        "SELECT * FROM o",
        &[
            "id", "flag", "bit_1", "do", "dec_10", "da", "dt", "ts", "ti", "bl", "text_a",
        ],
    ),
    (
        "SELECT flag, bit_1, text_a FROM o",
        &["flag", "bit_1", "text_a"],
    ),
    ("SELECT text_a FROM o", &["text_a"]),
];

fn create(db: &Database) {
    db.sql(
        "CREATE TABLE o (id INT, flag TINYINT(1), bit_1 BIT(1), do DOUBLE, dec_10 DECIMAL(10,2), da DATE,
         dt DATETIME(6), ts TIMESTAMP(3) NULL, ti TIME(6), bl BLOB, text_a TEXT)",
    );
    db.sql(
        "INSERT INTO o VALUES (0, 1, 1, 1.5, 0.5, '2026-01-02', '2026-01-02 03:04:05.5', '2026-01-02 03:04:05.5', '-00:00:01', x'61', 'a'),
         (1, 0, 0, 0, 0, '1999-12-31', '1999-12-31 00:00:00', '1999-12-31 00:00:00', '00:00:00', '', ''),
         (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (3, 1, 0, 1, 1, NULL, NULL, NULL, NULL, x'4e554c4c', '=1'),
         (4, 1, NULL, 1, 1, NULL, NULL, NULL, NULL, x'30', '0'), (5, 1, NULL, 1, 1, NULL, NULL, NULL, NULL, x'5c4e', 'NULL'),
         (6, 1, NULL, 1, 1, NULL, NULL, NULL, NULL, x'ff', '\\\\N'), (7, 0, 1, 1, 1, NULL, NULL, NULL, NULL, x'3b', 'a;b'),
         (8, 0, 1, 1, 1, NULL, NULL, NULL, NULL, x'09', 'a\tb'), (9, 0, 1, 1, 1, NULL, NULL, NULL, NULL, x'27', 'it''s')",
    );
}

/// Exports the rows of `sql` with `args` into a file called `name` in `folder`, and
/// returns the statement, if there is one.
fn statement(db: &Database, sql: &str, args: &[&str], folder: &Path, name: &str) -> Option<String> {
    let load = folder.join("load.sql");
    let _ = fs::remove_file(&load);
    let run = db.export(sql).args(args).arg("-o").arg(folder.join(name));
    let outcome = run.arg("--load-statement").arg(&load).run();
    match outcome.status.code() {
        Some(0) => Some(fs::read_to_string(&load).expect("the statement")),
        // The statement or the values are refused.
        Some(2 | 4) => {
            let shown = &outcome.stderr;
            assert!(!shown.contains("of --for"), "{args:?}: {shown}");
            None
        }
        _ => panic!("{args:?}: {}", outcome.stderr),
    }
}

/// Loads the rows of `sql` by `statement` into `target`, and compares them.
fn check(
    db: &Database,
    postgres: &Postgres,
    target: &str,
    statement: &str,
    query: (&str, &[&str]),
) {
    let folder = tempfile::tempdir().expect("a folder");
    let place = match target {
        "mysql" => {
            db.sql("DROP TABLE IF EXISTS copy");
            load_into_mysql(db, statement);
            "copy".into()
        }
        "postgres" => {
            let names: Vec<String> = query.1.iter().map(|&name| name.to_owned()).collect();
            load_into_postgres(postgres, statement, &names, folder.path())
        }
        "sqlite" => {
            let place = folder.path().join("copy.db");
            let program = installed("GOLD_DIGGER_SQLITE", "sqlite/sqlite3");
            run_script(Command::new(program).arg(&place), statement);
            place.into_os_string()
        }
        _ => "copy".into(),
    };
    compare(db, query.0, target, &place, statement, 10);
}

#[test]
fn a_flag_beside_a_target_gives_equal_values_or_no_statement() {
    let postgres = Postgres::start();
    on_a_server(|db| {
        create(db);
        for (target, format) in [
            ("mysql", "tsv"),
            ("postgres", "tsv"),
            ("clickhouse", "tsv"),
            ("duckdb", "csv"),
            ("sqlite", "csv"),
        ] {
            let own = if format == "csv" { CSV_FLAGS } else { &[] };
            let mut loaded = 0;
            for flags in FLAGS.iter().chain(own) {
                for query in QUERIES {
                    let folder = tempfile::tempdir().expect("a folder");
                    let name = match **flags {
                        ["--format", other] => format!("copy.{other}"),
                        _ => format!("copy.{format}"),
                    };
                    let args = [&["--for", target], *flags].concat();
                    let statement = statement(db, query.0, &args, folder.path(), &name);
                    if let Some(statement) = statement {
                        println!("{args:?}: {}", query.0);
                        check(db, &postgres, target, &statement, *query);
                        loaded += 1;
                    }
                }
            }
            assert!(loaded >= 15, "{target}: {loaded}");
        }
    });
}

#[test]
fn a_file_name_is_no_pattern() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        for (target, names) in [
            ("duckdb", &["x[1].csv", "x*.csv", "x?.csv"][..]),
            ("clickhouse", &["x*.tsv", "x?.tsv"]),
            ("bigquery", &["x*.csv"]),
            ("snowflake", &["x*.csv", "x?.csv"]),
        ] {
            for name in names {
                let run = db.export("SELECT 1 AS a").args(["--for", target, "-o"]);
                let run = run.arg(folder.path().join(name)).arg("--load-statement");
                run.arg(folder.path().join("x.sql"))
                    .run()
                    .failed_with_any_length(2, &["there is no statement", "for a pattern"]);
            }
        }
        // A folder's name is no value of a column.
        let place = folder.path().join("a=7");
        fs::create_dir(&place).expect("a folder");
        let statement = statement(db, "SELECT 1 AS a", &["--for=duckdb"], &place, "copy.csv");
        let statement = statement.expect("a statement");
        compare(
            db,
            "SELECT 1 AS a",
            "duckdb",
            "copy".as_ref(),
            &statement,
            1,
        );
    });
}

/// The table that the statement creates could not have them.
#[test]
fn names_that_are_empty_or_alike_have_no_statement() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let twice = "columns 1 and 3 are both called \"a\"";
        let line_feed =
            "the name of column 1 has a line feed, and the loader skips one line: \"1\\n+ 1\"";
        for target in [
            "mysql",
            "postgres",
            "clickhouse",
            "duckdb",
            "sqlite",
            "bigquery",
            "snowflake",
            "redshift",
        ] {
            for (sql, problem) in [
                ("SELECT 1 AS a, 2 AS b, 3 AS a", twice),
                ("SELECT 1 AS a, ''", "column 2 has an empty name"),
                (
                    "SELECT 1\r\n+ 1",
                    "the name of column 1 has a carriage return: \"1\\r\\n+ 1\"",
                ),
                ("SELECT 1\n+ 1", line_feed),
            ] {
                if (target, problem) == ("sqlite", "column 2 has an empty name") {
                    continue;
                }
                // The other loaders read a header of two lines as one row.
                let is_warehouse = ["bigquery", "snowflake", "redshift"].contains(&target);
                if problem == line_feed && !is_warehouse {
                    continue;
                }
                let run = || db.export(sql).args(["--for", target]);
                let message = format!(
                    "gold_digger: there is no statement that loads this file: {problem}\n  hint: rename the column in the query with AS, or leave --load-statement out\n"
                );
                let written = run().arg("-o").arg(path("t")).arg("--load-statement");
                written.arg(path("t.sql")).run().ended(2, &message);
                assert!(!path("t").exists() && !path("t.sql").exists());
                let verbose = run().arg("-v").run();
                let reason = format!("no load statement for {target}: {problem}");
                verbose.assert_stderr_contains(&[&reason]);
            }
        }
        // PostgreSQL would cut the name of the table.
        let long = db
            .export("SELECT 1 AS a")
            .args(["--for", "postgres", "-v", "-o"]);
        let long = long.arg(path(&"é".repeat(32))).run();
        let reason = "longer than a table's may be, which is 63 bytes";
        long.assert_stderr_contains(&["no load statement for postgres", reason]);
        // Names that a target keeps for itself.
        for (target, sql, file, reason) in [
            (
                "postgres",
                "SELECT 1 AS ctid",
                "a",
                "the target takes no column of the name of column 1: \"ctid\"",
            ),
            (
                "mysql",
                "SELECT 1 AS `a`, 2 AS c UNION SELECT 3, 4",
                "a",
                "",
            ),
            (
                "sqlite",
                "SELECT 1 AS a",
                "SQLite_x.csv",
                "the name of the file, and so of the table, begins with sqlite_",
            ),
        ] {
            let run = db
                .export(sql)
                .args(["--for", target, "-v", "-o"])
                .arg(path(file))
                .run();
            let stderr = run.ended_with(0);
            let told = stderr.contains(&format!("no load statement for {target}: {reason}"));
            assert_eq!(told, !reason.is_empty(), "{target}: {stderr}");
        }
    });
}

#[test]
fn numbers_of_expressions_are_not_clamped() {
    each_server(|db| {
        db.sql("CREATE TABLE e (do DOUBLE, fl FLOAT(7,2))");
        db.sql("INSERT INTO e VALUES (1e300, 12345.67), (-1.005, 99999.99), (123456789012345680000, -0.01)");
        let folder = tempfile::tempdir().expect("a folder");
        let sql = "SELECT ROUND(do, 2) do_r, TRUNCATE(do, 0) do_t, do * 1.5 do_m, ROUND(fl * 1000000, 2) do_f, fl FROM e";
        let statement = statement(db, sql, &["--for=mysql"], folder.path(), "copy.tsv");
        let statement = statement.expect("a statement");
        assert!(
            !statement.contains("DOUBLE(") && !statement.contains("FLOAT("),
            "{statement}"
        );
        load_into_mysql(db, &statement);
        compare(db, sql, "mysql", "copy".as_ref(), "", 3);
    });
}

#[test]
fn a_text_for_null_is_no_value_of_another_type() {
    on_a_server(|db| {
        for (target, null) in [
            ("sqlite", "0"),
            ("sqlite", "-1.5e3"),
            ("sqlite", "2026-01-01 00:00:00"),
            ("sqlite", "ff"),
            ("bigquery", "AA=="),
            ("bigquery", "NULL"),
            ("bigquery", "true"),
            ("redshift", "false"),
            ("redshift", "00ff"),
            ("snowflake", "10:00:00"),
        ] {
            let run = db.export("SELECT 1 AS a");
            run.args(["--for", target, &format!("--csv-null={null}")])
                .run()
                .failed(2, &["--csv-null ", "a value of the data", "hint: "]);
        }
        for (target, null) in [
            ("sqlite", "NULL"),
            ("sqlite", "true"),
            ("snowflake", "NULL"),
            ("bigquery", "n/a"),
            ("duckdb", "0"),
        ] {
            let run = db.export("SELECT 1 AS a");
            run.args(["--for", target, "--csv-null", null, "--format=csv"])
                .run()
                .ended_with(0);
        }
        for (target, sql, flags) in [
            ("bigquery", "SELECT x'' a", &["--csv-null", ""][..]),
            (
                "snowflake",
                "SELECT x'78' a",
                &["--csv-null", "x", "--binary", "utf8"],
            ),
        ] {
            let run = db.export(sql).args(["--for", target]).args(flags);
            run.run().failed(4, &["the text that stands for NULL"]);
        }
    });
}

#[test]
fn the_zone_of_a_server_is_no_zone_of_a_statement() {
    on_a_server(|db| {
        db.sql("CREATE TABLE z (a TIMESTAMP NULL, b DATETIME)");
        db.sql("INSERT INTO z VALUES (NULL, NULL)");
        let folder = tempfile::tempdir().expect("a folder");
        let system = ["--for=mysql", "--time-zone=SYSTEM"];
        assert_eq!(
            statement(db, "SELECT a FROM z", &system, folder.path(), "copy.tsv"),
            None
        );
        let other = ["--for=clickhouse", "--time-zone=+05:30"];
        assert_eq!(
            statement(db, "SELECT a FROM z", &other, folder.path(), "copy.tsv"),
            None
        );
        // An init statement that sets the zone wins over the target's zone.
        let init = "SET time_zone = '+05:30'";
        let sql = "SELECT FROM_UNIXTIME(0) AS a";
        for target in ["mysql", "postgres"] {
            let run = db.export(sql).args(["--for", target, "--init", init]);
            let rows = String::from_utf8(run.run().stdout).expect("UTF-8");
            assert!(rows.contains("1970-01-01 05:30:00"), "{rows}");
        }
        let found = statement(db, "SELECT b FROM z", &system, folder.path(), "copy.tsv");
        assert!(!found.expect("a statement").contains("SYSTEM"));
        let run = db.export("SELECT a FROM z").args(system);
        let shown = run.run().ended_with(0);
        assert!(
            shown.contains("warning: TIMESTAMPs are in the session's time zone"),
            "{shown}"
        );
    });
}

#[test]
fn a_target_takes_another_format() {
    on_a_server(|db| {
        db.sql("CREATE TABLE f (a DATE, b BLOB)");
        db.sql("INSERT INTO f VALUES (20260102, x'00')");
        for (target, format, written) in [
            (
                "postgres",
                "json",
                "[\n{\"a\":\"2026-01-02\",\"b\":\"AA==\"}\n]\n",
            ),
            (
                "clickhouse",
                "json",
                "[\n{\"a\":\"2026-01-02\",\"b\":\"AA==\"}\n]\n",
            ),
            ("clickhouse", "csv", "a,b\n2026-01-02,AA==\n"),
            ("postgres", "csv", "a,b\n2026-01-02,\\x00\n"),
        ] {
            let run = db.export("SELECT * FROM f");
            run.args(["--for", target, "--format", format])
                .run()
                .wrote(written);
        }
        let zero = db.export("SELECT DATE('0000-00-00') a");
        let written = zero
            .args(["--for=duckdb", "--format=json", "--zero-dates=null"])
            .run();
        let written = String::from_utf8(written.stdout).expect("UTF-8");
        assert_eq!(written, "[\n{\"a\":null}\n]\n");
        for format in ["tsv", "json"] {
            let run = db
                .export("SELECT '=1+1' a")
                .args(["--for=excel", "--format", format]);
            run.run().failed(2, &["excel opens csv", "hint: "]);
        }
    });
}
