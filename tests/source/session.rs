//! Settings of the server that would change which rows an export has.

use std::fs;

use serde_json::Value;

use crate::support::{Database, GlobalVariable, each_server, each_server_alone};

/// Makes a table `t` of 5,000 rows.
fn make_table(db: &Database) {
    db.sql("CREATE TABLE t (i INT NOT NULL) ENGINE = InnoDB");
    db.sql(
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         SELECT a.i FROM n AS a, n AS b WHERE b.i <= 50",
    );
}

#[test]
fn a_row_limit_of_the_server_is_lifted() {
    each_server_alone(|db| {
        make_table(db);
        for limit in ["1000", "2", "0"] {
            let _limit = GlobalVariable::set(db, "sql_select_limit", limit);
            for (format, extra_lines) in [("csv", 1), ("tsv", 1), ("json", 2)] {
                for protocol in ["binary", "text"] {
                    let run = db.export("SELECT i FROM t");
                    let flags = [
                        format!("--format={format}"),
                        format!("--protocol={protocol}"),
                    ];
                    let outcome = run.args(flags).run().ended(0, "");
                    let lines = outcome.stdout.split(|byte| *byte == b'\n').count() - 1;
                    assert_eq!(
                        lines,
                        5000 + extra_lines,
                        "{format} over {protocol}, {limit}"
                    );
                }
            }
            // The program's own questions are not limited either.
            let folder = tempfile::tempdir().expect("a folder");
            let summary = folder.path().join("summary.json");
            let run = db.export("SELECT i FROM t").arg("--summary").arg(&summary);
            run.arg("--tls=required").run().ended(0, "");
            let summary = fs::read(summary).expect("a summary");
            let summary: Value = serde_json::from_slice(&summary).expect("JSON");
            for field in ["server_version", "time_zone"] {
                let text = summary[field].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{field}, limit {limit}: {summary}");
            }
        }
    });
}

#[test]
fn a_row_limit_of_init_is_for_the_query_alone() {
    each_server(|db| {
        make_table(db);
        for protocol in ["--protocol=binary", "--protocol=text"] {
            let folder = tempfile::tempdir().expect("a folder");
            let summary = folder.path().join("summary.json");
            let run = db.export("SELECT i FROM t").arg("--summary").arg(&summary);
            let init = "SET SESSION sql_select_limit = 1";
            let run = run.args(["--init", init, "--time-zone=+01:00", protocol]);
            run.run().wrote("i\n1\n");
            let summary = fs::read(summary).expect("a summary");
            let summary: Value = serde_json::from_slice(&summary).expect("JSON");
            let version = summary["server_version"].as_str().unwrap_or_default();
            assert!(!version.is_empty(), "{summary}");
            assert_eq!(summary["time_zone"], "+01:00");
        }
    });
}

/// MySQL lets only accounts with SESSION_VARIABLES_ADMIN set `max_error_count`.
#[test]
fn an_account_without_privileges_has_the_same_session() {
    each_server_alone(|db| {
        let user = format!("reader_{}", db.name);
        db.sql(&format!("CREATE USER {user} IDENTIFIED BY 'secret'"));
        db.sql(&format!("GRANT SELECT ON {}.* TO {user}", db.name));
        let _notes = GlobalVariable::set(db, "sql_notes", "0");
        let _limit = GlobalVariable::set(db, "sql_select_limit", "1");
        let _count = GlobalVariable::set(db, "max_error_count", "2");
        let port = db.server.port;
        let url = format!("mysql://{user}:secret@127.0.0.1:{port}/{}", db.name);
        let export = |sql: &str| db.export(sql).env("DATABASE_URL", &url);
        let variables = "SELECT @@net_write_timeout AS a, @@wait_timeout AS b, @@sql_notes AS c
                         UNION ALL SELECT 1, 2, 3";
        // The values are what this is about.
        export(variables)
            .arg("--quiet")
            .run()
            .wrote("a\tb\tc\n2147483\t2147483\t1\n1\t2\t3\n");
        let three = "SELECT CAST('x' AS SIGNED) + CAST('y' AS SIGNED) + CAST('z' AS SIGNED) AS n";
        let altered = |times| {
            format!(
                "gold_digger: warning: the server has altered a value {times} times: Truncated incorrect INTEGER value: 'x'\n"
            )
        };
        let expected = if db.is_mariadb() {
            altered(3)
        } else {
            let unknown =
                "whether others say that the result is incomplete or altered is not known";
            format!(
                "{}gold_digger: warning: the server shows 2 of its 3 warnings: {unknown}\n",
                altered(2)
            )
        };
        export(three).run().ended(0, &expected);
        db.sql(&format!("DROP USER {user}"));
    });
}

#[test]
fn init_statements_choose_the_collation_of_literals() {
    let compare =
        "SELECT COUNT(*) AS n FROM (SELECT 'a' k UNION ALL SELECT 'B') z WHERE k IN ('A', 'b')";
    let warning = "gold_digger: warning: the init statements make literals latin1, which may lose characters: they are utf8mb4 again, with its default collation; SET NAMES utf8mb4 COLLATE … in their place chooses another\n";
    each_server(|db| {
        for (init, count, stderr) in [
            ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", 0, ""),
            ("SET collation_connection = utf8mb4_bin", 0, ""),
            (
                "SET character_set_results = ucs2, collation_connection = utf8mb4_bin",
                0,
                "",
            ),
            (
                "SET character_set_client = latin1, character_set_results = latin1",
                2,
                "",
            ),
            ("SET NAMES latin1 COLLATE latin1_bin", 2, warning),
        ] {
            for protocol in ["--protocol=binary", "--protocol=text"] {
                let outcome = db.export(compare).args(["--init", init, protocol]).run();
                let outcome = outcome.ended(0, stderr);
                assert_eq!(outcome.stdout, format!("n\n{count}\n").as_bytes(), "{init}");
                let text = db
                    .export("SELECT '€東😀' AS a")
                    .args(["--init", init, protocol]);
                assert_eq!(text.run().stdout, "a\n€東😀\n".as_bytes(), "{init}");
            }
        }
    });
}

/// Text that is sent as its columns have it is decoded.
#[test]
fn init_statements_may_leave_text_in_the_character_sets_of_its_columns() {
    each_server(|db| {
        db.sql("CREATE TABLE t (a VARCHAR(9) CHARACTER SET latin1, b VARCHAR(9) CHARACTER SET cp1251, c TEXT CHARACTER SET utf8mb4)");
        db.sql("INSERT INTO t VALUES ('€ü', 'Жя', '東😀')");
        for (init, sets) in [
            ("SET character_set_results = NULL", "\\N"),
            ("SET character_set_results = latin1", "utf8mb4"),
        ] {
            for protocol in ["--protocol=binary", "--protocol=text"] {
                let sql = "SELECT a, b, c, @@character_set_results AS d FROM t";
                let run = db
                    .export(sql)
                    .args(["--init", init, protocol, "--tls=required"]);
                run.run()
                    .wrote(format!("a\tb\tc\td\n€ü\tЖя\t東😀\t{sets}\n"));
            }
        }
    });
}

/// The server counts the program's own statements, but not the execution of a prepared
/// one: the rows would come, cut by the limit that could not be lifted.
#[test]
fn a_quota_of_statements_is_an_error_that_names_it() {
    each_server_alone(|db| {
        make_table(db);
        let _limit = GlobalVariable::set(db, "sql_select_limit", "2");
        let port = db.server.port;
        for queries in 1..6 {
            let user = format!("q{queries}_{}", db.name);
            db.sql(&format!(
                "CREATE USER {user} IDENTIFIED BY 'secret' WITH MAX_QUERIES_PER_HOUR {queries}"
            ));
            db.sql(&format!("GRANT SELECT ON {}.* TO {user}", db.name));
            let url = format!("mysql://{user}:secret@127.0.0.1:{port}/{}", db.name);
            for access in ["--read-write=true", "--read-write=false"] {
                let run = db
                    .export("SELECT i FROM t")
                    .arg(access)
                    .env("DATABASE_URL", &url);
                let outcome = run.run();
                if outcome.stdout.len() == 14_602 {
                    outcome.ended(0, "");
                } else {
                    outcome.failed(4, &["server error 1226", "MAX_QUERIES_PER_HOUR"]);
                }
                db.sql("FLUSH USER_RESOURCES");
            }
            db.sql(&format!("DROP USER {user}"));
        }
    });
}
