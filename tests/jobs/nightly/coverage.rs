//! The tables of a query that no snapshot covers.

use super::ExportFile;
use crate::support::{
    Database, GlobalVariable, each_server, each_server_alone, fake::recording_proxy, on_new_mariadb,
};

#[test]
fn tables_without_transactions_are_named() {
    each_server(|db| {
        for sql in [
            "CREATE TABLE kept (id INT PRIMARY KEY) ENGINE = InnoDB",
            "CREATE TABLE old (id INT PRIMARY KEY) ENGINE = MyISAM",
            "INSERT INTO kept VALUES (1), (2)",
            "CREATE VIEW seen AS SELECT k.id FROM kept k JOIN old o ON o.id = k.id",
            "CREATE ALGORITHM = TEMPTABLE VIEW apart AS SELECT id FROM seen",
            "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1",
        ] {
            db.sql(sql);
        }
        let reason = "these tables are not transactional, and not part of the snapshot";
        let warning = format!(
            "gold_digger: warning: a: {reason}: {}.old (MyISAM)\n",
            db.name
        );
        // The number of rows decides how the server rewrites the query.
        for rows in [0, 1, 2] {
            if rows > 0 {
                db.sql(&format!("INSERT INTO old VALUES ({rows})"));
            }
            for (sql, is_named) in [
                ("SELECT k.id, 'old' AS text FROM kept AS k", false),
                ("SELECT o.id FROM old AS o", true),
                ("SELECT x.id FROM `old` x WHERE x.id = :one", true),
                (
                    "SELECT (SELECT COUNT(*) FROM old) AS n, k.id FROM kept k",
                    true,
                ),
                (
                    "WITH o AS (SELECT * FROM old) SELECT COUNT(*) AS n FROM o",
                    true,
                ),
                ("SELECT * FROM seen", true),
                ("SELECT a.id FROM apart a", true),
                ("SELECT f() AS f", false),
            ] {
                println!("{rows} {sql}");
                let head = "[output]\nallow_empty = true\n[run]\nsnapshot = true";
                let exports = ExportFile::with_queries(db, head, &[("a", sql)]);
                let args: &[&str] = if sql.contains(':') {
                    &["--param", "one=1"]
                } else {
                    &[]
                };
                let (outcome, summary) = exports.run_with_summary(args);
                outcome.ended(0, if is_named { &warning } else { "" });
                let warnings = summary["exports"][0]["warnings"].as_array().map(Vec::len);
                assert_eq!(warnings, Some(usize::from(is_named)));
            }
        }
        let show = [("a", "SHOW CREATE TABLE kept")];
        let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &show);
        let unknown = ["is not known: SHOW does not tell"];
        exports.run(&[]).run().failed_with_any_length(0, &unknown);
    });
}

/// Checks for each query, which has a name that the warning begins with, whether the
/// table `old` is named.
fn assert_old_is_named(db: &Database, mode: &str, queries: &[(&str, &str, bool)]) {
    println!("sql_mode {mode}");
    let reason = "these tables are not transactional, and not part of the snapshot";
    let init = format!("[session]\ninit = [\"SET SESSION sql_mode = '{mode}'\"]");
    let head = format!("{init}\n[output]\nallow_empty = true\n[run]\nsnapshot = true");
    let exported: Vec<(&str, &str)> = queries.iter().map(|(name, sql, _)| (*name, *sql)).collect();
    let exports = ExportFile::with_queries(db, &head, &exported);
    let stderr = exports.run(&[]).run().ended_with(0);
    let warnings: Vec<&str> = stderr
        .lines()
        .filter(|line| line.contains("warning"))
        .collect();
    let named = queries.iter().filter(|(_, _, is_named)| *is_named);
    let expected = named.map(|(name, ..)| {
        format!(
            "gold_digger: warning: {name}: {reason}: {}.old (MyISAM)",
            db.name
        )
    });
    assert_eq!(warnings, expected.collect::<Vec<_>>(), "{stderr}");
}

#[test]
fn tables_without_transactions_are_named_however_the_query_is_written() {
    each_server(|db| {
        for sql in [
            "CREATE TABLE kept (id INT PRIMARY KEY) ENGINE = InnoDB",
            "CREATE TABLE old (id INT PRIMARY KEY) ENGINE = MyISAM",
            "INSERT INTO kept VALUES (1), (2), (3)",
            "CREATE VIEW folded AS SELECT id FROM kept WHERE EXISTS (SELECT 1 FROM old)",
        ] {
            db.sql(sql);
        }
        let queries = [
            ("plain", "SELECT o.id FROM old AS o", true),
            (
                "exists",
                "SELECT id FROM kept WHERE EXISTS (SELECT 1 FROM old)",
                true,
            ),
            ("view", "SELECT f.id FROM folded AS f", true),
            (
                "most",
                "SELECT id FROM kept WHERE id = (SELECT MAX(id) FROM old)",
                true,
            ),
            (
                "in",
                "SELECT id FROM kept WHERE id IN (SELECT id FROM old)",
                true,
            ),
            (
                "either",
                "SELECT id FROM kept UNION SELECT id FROM old",
                true,
            ),
            (
                "comment",
                "SELECT /* it's */ o.id FROM old AS o WHERE o.id = 1",
                true,
            ),
            (
                "string",
                "SELECT k.id, 'old' AS text FROM kept AS k WHERE k.id = 1",
                false,
            ),
            (
                "other",
                "SELECT id FROM kept WHERE EXISTS (SELECT 1 FROM kept)",
                false,
            ),
        ];
        // The configuration file takes the backslashes.
        let ansi = [
            (
                "quoted",
                r#"SELECT \"o\".\"id\" FROM \"old\" AS \"o\""#,
                true,
            ),
            (
                "one",
                r#"SELECT \"o\".\"id\" FROM \"old\" AS \"o\" WHERE \"o\".\"id\" = 1"#,
                true,
            ),
        ];
        let double = [(
            "double",
            r#"SELECT \"old\" AS text FROM kept WHERE id = 1"#,
            false,
        )];
        for rows in [1, 3] {
            db.sql("DELETE FROM old");
            for row in 0..rows {
                db.sql(&format!("INSERT INTO old VALUES ({})", row + 1));
            }
            let default = [&queries[..], &double].concat();
            assert_old_is_named(db, "", &default);
            assert_old_is_named(db, "NO_BACKSLASH_ESCAPES", &default);
            let modes: &[&str] = match db.is_mariadb() {
                true => &["ANSI_QUOTES", "ANSI", "ORACLE", "MSSQL"],
                false => &["ANSI_QUOTES", "ANSI,NO_BACKSLASH_ESCAPES"],
            };
            for mode in modes {
                assert_old_is_named(db, mode, &[&queries[..], &ansi].concat());
            }
        }
    });
}

#[test]
fn all_names_of_a_query_are_looked_up_in_one_question() {
    each_server(|db| {
        db.sql("CREATE TABLE old (id INT PRIMARY KEY) ENGINE = MyISAM");
        db.sql("INSERT INTO old VALUES (1)");
        let aliases: Vec<String> = (0..60).map(|i| format!("old AS alias_{i}")).collect();
        let sql = format!("SELECT 1 AS a FROM {}", aliases.join(", "));
        let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &[("a", &sql)]);
        let (port, commands) = recording_proxy(db.server.port);
        let run = exports.run(&[]).env("DATABASE_URL", db.url_by_port(port));
        let stderr = run.run().ended_with(0);
        let named = format!("not part of the snapshot: {}.old (MyISAM)\n", db.name);
        assert!(stderr.contains(&named), "{stderr}");
        let commands = commands.lock().expect("a lock");
        let is_question = |sql: &&String| sql.contains("information_schema.TABLES WHERE TABLE_");
        assert_eq!(commands.iter().filter(is_question).count(), 1);
    });
}

#[test]
fn a_server_without_notes_or_with_a_row_limit_still_names_the_tables() {
    each_server_alone(|db| {
        db.sql("CREATE TABLE m (id INT, n INT) ENGINE = MyISAM");
        db.sql("INSERT INTO m VALUES (1, 2), (3, 4)");
        let _notes = GlobalVariable::set(db, "sql_notes", "0");
        let _limit = GlobalVariable::set(db, "sql_select_limit", "1");
        let limit = "init = ['SET SESSION sql_select_limit = 1']";
        for (head, rows) in [("", "id\n1\n3\n"), (limit, "id\n1\n")] {
            let head = format!("[session]\n{head}\n[run]\nsnapshot = true");
            let queries = [("m", "SELECT id FROM m WHERE n > 0")];
            let exports = ExportFile::with_queries(db, &head, &queries);
            let reason = "these tables are not transactional, and not part of the snapshot";
            let warning = format!(
                "gold_digger: warning: m: {reason}: {}.m (MyISAM)\n",
                db.name
            );
            exports.run(&["--quiet"]).run().ended(0, "");
            let stderr = exports.run(&[]).run().ended_with(0);
            assert!(stderr.contains(&warning), "{head}: {stderr}");
            exports.assert_file("m.csv", rows);
        }
    });
}

#[test]
fn a_server_that_hides_the_notes_of_explain_is_not_trusted() {
    on_new_mariadb(|db| {
        db.sql("CREATE TABLE m (id INT) ENGINE = MyISAM");
        db.sql("INSERT INTO m VALUES (1)");
        let head =
            "[session]\ninit = [\"SET SESSION note_verbosity = ''\"]\n[run]\nsnapshot = true";
        let exports = ExportFile::with_queries(db, head, &[("m", "SELECT id FROM m")]);
        let unknown = "whether all that the query reads is part of the snapshot is not known";
        let reason = "the server does not show the notes of EXPLAIN (sql_notes, max_error_count, note_verbosity)";
        let stderr = exports.run(&[]).run().ended_with(0);
        let warning = format!("gold_digger: warning: m: {unknown}: {reason}\n");
        assert!(stderr.contains(&warning), "{stderr}");
    });
}

/// Returns the warnings of an export in a snapshot, without what all begin with.
fn warnings_of(db: &Database, sql: &str) -> Vec<String> {
    let head = "[output]\nallow_empty = true\n[run]\nsnapshot = true";
    let exports = ExportFile::with_queries(db, head, &[("a", sql)]);
    let (outcome, summary) = exports.run_with_summary(&[]);
    outcome.ended_with(0);
    let warnings = summary["exports"][0]["warnings"].as_array();
    let texts = warnings
        .into_iter()
        .flatten()
        .filter_map(|text| text.as_str());
    texts.map(str::to_owned).collect()
}

/// Checks that each query has one warning, which begins with these words, or none.
fn assert_warnings(db: &Database, queries: &[(&str, &str)]) {
    for (sql, start) in queries {
        let warnings = warnings_of(db, sql);
        let has_one = match (warnings.as_slice(), *start) {
            ([], "") => true,
            ([warning], start) => !start.is_empty() && warning.starts_with(start),
            _ => false,
        };
        assert!(has_one, "{sql}: {warnings:?}");
    }
}

const LOCKS: &str = "the query locks rows";
const SEARCHES: &str = "the query searches in a full-text index";

#[test]
fn locked_rows_are_not_part_of_a_snapshot() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, `match` INT) ENGINE = InnoDB");
        db.sql("INSERT INTO t VALUES (1, 1), (2, 2)");
        db.sql("CREATE VIEW v AS SELECT DISTINCT id FROM t LOCK IN SHARE MODE");
        let mut queries = vec![
            ("SELECT id FROM t LOCK IN SHARE MODE", LOCKS),
            (
                "SELECT id FROM t WHERE id = 1 lock in /* x */ share mode",
                LOCKS,
            ),
            (
                "SELECT (SELECT MAX(id) FROM t LOCK IN SHARE MODE) AS a",
                LOCKS,
            ),
            (
                "WITH c AS (SELECT id FROM t LOCK IN SHARE MODE) SELECT * FROM c",
                LOCKS,
            ),
            (
                "(SELECT id FROM t LOCK IN SHARE MODE) UNION SELECT 1",
                LOCKS,
            ),
            ("SELECT id, 'LOCK IN SHARE MODE' AS a FROM t", ""),
            ("SELECT id /* FOR UPDATE */ FROM t AS `for share`", ""),
            // MySQL leaves the lock out of a view.
            ("SELECT id FROM v", if db.is_mariadb() { LOCKS } else { "" }),
        ];
        if !db.is_mariadb() {
            queries.push(("SELECT id FROM t FOR SHARE", LOCKS));
            queries.push(("SELECT id FROM t FOR SHARE OF t SKIP LOCKED", LOCKS));
        }
        assert_warnings(db, &queries);
    });
}

#[test]
fn full_text_indexes_are_not_part_of_a_snapshot() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, s TEXT, `match` INT, FULLTEXT (s)) ENGINE = InnoDB");
        db.sql("INSERT INTO t VALUES (1, 'hello', 1)");
        let search = "SELECT id FROM t WHERE MATCH (s) AGAINST ('hello')";
        db.sql(&format!("CREATE VIEW v AS {search}"));
        db.sql(&format!("CREATE VIEW w AS {search} LIMIT 5"));
        assert_warnings(
            db,
            &[
                (search, SEARCHES),
                ("SELECT id FROM v", SEARCHES),
                ("SELECT x.id FROM w AS x", SEARCHES),
                ("SELECT t.match, 'match (s) against' AS a FROM t", ""),
                ("SELECT `match` FROM t", ""),
            ],
        );
    });
}

#[test]
fn sequences_are_not_part_of_a_snapshot() {
    each_server(|db| {
        if !db.is_mariadb() {
            return;
        }
        db.sql("CREATE SEQUENCE s");
        let named = format!(
            "these tables are not transactional, and not part of the snapshot: {}.s (SEQUENCE)",
            db.name
        );
        let queries = [
            ("SELECT next_not_cached_value AS a FROM s", &*named),
            ("SELECT 1 AS one, LASTVAL(s) AS a", &named),
        ];
        assert_warnings(db, &queries);
    });
}

/// An account that may read a view, and neither its definition nor its tables.
#[test]
fn a_view_that_hides_its_tables_is_not_known_to_be_covered() {
    each_server(|db| {
        db.sql("CREATE TABLE old (id INT PRIMARY KEY) ENGINE = MyISAM");
        db.sql("INSERT INTO old VALUES (1)");
        db.sql("CREATE VIEW inner_view AS SELECT id FROM old");
        db.sql("CREATE VIEW outer_view AS SELECT id FROM inner_view");
        let query = [("a", "SELECT COUNT(*) AS n FROM outer_view")];
        let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &query);
        let url = db.url_of_reader("outer_view");
        let run = exports.run(&[]).env("DATABASE_URL", &url).run();
        assert_eq!(run.status.code(), Some(0), "{}", run.stderr);
        let warning = "is part of the snapshot is not known";
        run.assert_stderr_contains(&["warning: a: ", warning]);
    });
}
