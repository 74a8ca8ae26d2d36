//! SQL and Markdown: their exact bytes, and that servers load the statements back.

use std::{ffi::OsStr, fs, io::read_to_string};

use gold_digger::{format::Codec, sink::decoder};
use mysql::prelude::Queryable;

use super::targets::{COLUMNS, NASTY, compare, create, load_into_mysql, query};
use crate::support::each_server;

const ROWS: &str = "SELECT 1 AS `a``b`, 'it''s\\\\ \\r\\n|*' AS s, X'00ff' AS b, X'' AS e, DATE'2020-01-02' AS d, NULL AS n \
     UNION ALL SELECT -2, '', NULL, NULL, NULL, 1.50";

#[test]
fn statements_have_exactly_these_bytes() {
    each_server(|db| {
        for protocol in ["text", "binary"] {
            let run = |format: &str| {
                let run = db
                    .export(ROWS)
                    .args(["--protocol", protocol, "--format", format]);
                run.run()
            };
            run("sql").wrote(concat!(
                "SET NAMES utf8mb4;\n",
                "SET @gold_digger_sql_mode = @@SESSION.sql_mode, SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n",
                "INSERT INTO `result` (`a``b`, `s`, `b`, `e`, `d`, `n`) VALUES\n",
                "(1,'it\\'s\\\\ \\r\\n|*',0x00ff,'','2020-01-02',NULL),\n",
                "(-2,'',NULL,NULL,NULL,1.50);\n",
                "SET SESSION sql_mode = @gold_digger_sql_mode;\n",
            ));
            run("markdown").wrote(concat!(
                "| a\\`b | s | b | e | d | n |\n",
                "| ---: | --- | --- | --- | --- | ---: |\n",
                "| 1 | it's\\\\ <br>\\|\\* | AP8= |  | 2020-01-02 | _NULL_ |\n",
                "| -2 |  | _NULL_ | _NULL_ | _NULL_ | 1.50 |\n",
            ));
        }
        let sql = |query: &str| db.export(query).args(["--format", "sql"]);
        sql("SELECT 1 AS a, 2 AS A").run().failed(
            2,
            &["the name of column 2 differs from another one in case only: \"A\""],
        );
        sql("SELECT 1 AS `a\n(b`")
            .run()
            .failed(2, &["the name of column 1 has a line end"]);
        sql("SELECT 1")
            .args(["--sql-table", "x\n(y"])
            .run()
            .failed(2, &["the table's name has a line end"]);
        let doubles = sql("SELECT -0e0 AS a, 1.5e-7 AS b")
            .run()
            .ended(0, "")
            .stdout;
        let doubles = String::from_utf8(doubles).expect("UTF-8");
        // MariaDB 10.11.18 makes 0 of -0e0.
        let row = |zero: &str| format!("\n('{zero}','0.00000015');\n");
        let is_right =
            doubles.contains(&row("-0")) || db.is_mariadb() && doubles.contains(&row("0"));
        assert!(is_right, "{doubles}");
        sql("SELECT 1 AS a, 2 AS a").run().failed(
            2,
            &["more than one column the name \"a\", which SQL cannot hold"],
        );
        sql("SELECT 1 AS ``").run().failed(
            2,
            &["column 1 has an empty name", "name it otherwise with AS"],
        );
        sql("SELECT 1")
            .args(["--binary", "utf8"])
            .run()
            .failed(2, &["--binary has no meaning for sql"]);
        db.sql("CREATE TABLE stamps (t TIMESTAMP)");
        db.sql("INSERT INTO stamps VALUES ('2020-01-02 03:04:05')");
        let stamps = || sql("SELECT t FROM stamps");
        let warning = "gold_digger: warning: TIMESTAMPs are in a time zone that the statements do not set, or in which an hour comes twice; --time-zone +00:00 makes them moments\n";
        stamps().run().ended(0, warning);
        let zoned = stamps()
            .args(["--time-zone", "+02:00", "--sql-table", "x"])
            .run()
            .ended(0, "")
            .stdout;
        let zoned = String::from_utf8(zoned).expect("UTF-8");
        assert!(
            zoned.contains("SESSION time_zone = '+02:00';\nINSERT INTO `x` (`t`) VALUES\n"),
            "{zoned}"
        );
        assert!(
            zoned.ends_with(", SESSION time_zone = @gold_digger_time_zone;\n"),
            "{zoned}"
        );
    });
}

#[test]
fn servers_load_every_value_of_the_statements() {
    each_server(|db| {
        create(db);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("copy.sql.gz");
        db.sql(&format!("CREATE TABLE copy ({})", COLUMNS.join(", ")));
        let rows = query("*", &[]);
        let run = db
            .export(&rows)
            .args(["--time-zone", "+00:00", "-o"])
            .arg(&file);
        run.run().ended(0, "");
        let statements = fs::read(&file).expect("the statements");
        let mut plain = decoder(Codec::Gzip, &*statements).expect("a decoder");
        let statements = read_to_string(&mut plain).expect("UTF-8");
        load_into_mysql(db, &statements);
        compare(
            db,
            &rows,
            "mysql",
            OsStr::new("copy"),
            "",
            NASTY.len() as u64,
        );
    });
}

#[test]
fn long_results_are_several_statements() {
    each_server(|db| {
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
            SELECT i AS id, REPEAT('x', 5000) AS s FROM n";
        let text = db
            .export(many)
            .args(["--format", "sql", "--sql-table", "big"])
            .run()
            .ended(0, "")
            .stdout;
        let text = String::from_utf8(text).expect("UTF-8");
        let statements = text.matches("INSERT INTO `big`").count();
        assert!((4..=6).contains(&statements), "{statements}");
        db.sql("CREATE TABLE big (id INT, s TEXT)");
        load_into_mysql(db, &text);
        let count: Option<(u64, u64)> = {
            db.connect()
                .query_first("SELECT COUNT(DISTINCT id), SUM(LENGTH(s)) FROM big")
                .expect("a count")
        };
        assert_eq!(count, Some((900, 4_500_000)));
    });
}

/// Such a row leaves the buffer before its end.
#[test]
fn a_row_of_a_mebibyte_ends_its_statement() {
    each_server(|db| {
        let wide = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8)
            SELECT REPEAT('x', 1048600) AS s FROM n";
        let run = db.export(wide).args(["--format", "sql"]);
        let text = run.run().ended(0, "").stdout;
        let text = String::from_utf8(text).expect("UTF-8");
        assert_eq!(text.matches("INSERT INTO").count(), 8);
    });
}

/// Clients run a last statement that has no semicolon.
#[test]
fn what_breaks_off_does_not_load() {
    each_server(|db| {
        db.sql("CREATE TABLE source (a INT)");
        db.sql("INSERT INTO source VALUES (1), (2), (3)");
        db.sql("CREATE TABLE copy (a INT, b INT)");
        let fails = "SELECT a, IF(a = 3, (SELECT 1 FROM source AS s WHERE s.a >= source.a - 2), 5) AS b FROM source ORDER BY a";
        let run = db
            .export(fails)
            .args(["--format", "sql", "--sql-table", "copy"]);
        let outcome = run.run().failed(4, &["2 rows had come"]);
        let text = String::from_utf8(outcome.stdout).expect("UTF-8");
        assert!(text.ends_with("VALUES\n(1,5),\n(2,5"), "{text}");
        let loaded =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| load_into_mysql(db, &text)));
        assert!(loaded.is_err(), "it loads");
    });
}
