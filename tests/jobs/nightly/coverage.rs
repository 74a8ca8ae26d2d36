//! The tables of a query that no snapshot covers.

use super::ExportFile;
use crate::support::{GlobalVariable, each_server, each_server_alone, on_new_mariadb};

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
        let reason = "the server does not show the notes of EXPLAIN (sql_notes, note_verbosity)";
        let stderr = exports.run(&[]).run().ended_with(0);
        let warning = format!("gold_digger: warning: m: {unknown}: {reason}\n");
        assert!(stderr.contains(&warning), "{stderr}");
    });
}
