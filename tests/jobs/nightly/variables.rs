//! The variables of a session that several exports use: what one has set does not apply
//! to the next.

use super::ExportFile;
use crate::support::{Database, each_server};

/// What an export sets, as the rest of a `SET`, and a query whose rows that changes.
type Change = (&'static str, &'static str);

const BOTH: &[Change] = &[
    ("time_zone = '+09:00'", "SELECT FROM_UNIXTIME(86400) AS a"),
    ("timestamp = 86400", "SELECT NOW() < '2000-01-01' AS a"),
    (
        "lc_time_names = 'de_DE'",
        "SELECT DATE_FORMAT('2026-01-02', '%W') AS a",
    ),
    ("div_precision_increment = 1", "SELECT 1/3 AS a"),
    ("sql_mode = 'PIPES_AS_CONCAT'", "SELECT 1 || 2 AS a"),
    (
        "sql_mode = 'NO_BACKSLASH_ESCAPES'",
        "SELECT LENGTH('\\\\n') AS a",
    ),
    (
        "group_concat_max_len = 4",
        "SELECT GROUP_CONCAT(s) AS a FROM t",
    ),
    ("default_week_format = 3", "SELECT WEEK('2026-01-01') AS a"),
    ("last_insert_id = 7", "SELECT LAST_INSERT_ID() AS a"),
    ("max_join_size = 1000000", "SELECT @@sql_big_selects AS a"),
    (
        "collation_connection = 'utf8mb4_bin'",
        "SELECT 'a' = 'A' AS a",
    ),
    (
        "time_zone = '-03:00', lc_time_names = 'fr_FR', timestamp = 1",
        "SELECT @@time_zone, @@lc_time_names, NOW() < '2000-01-01' AS a",
    ),
];

const MARIADB: &[Change] = &[
    (
        "system_versioning_asof = '2001-01-01 00:00:00', time_zone = '+05:00'",
        "SELECT COUNT(*) AS a FROM versions",
    ),
    (
        "default_regex_flags = 'DOTALL'",
        "SELECT 'a\\nb' RLIKE 'a.b' AS a",
    ),
    (
        "innodb_ft_enable_stopword = 0",
        "SELECT @@innodb_ft_enable_stopword AS a",
    ),
];

const MYSQL: &[Change] = &[
    (
        "block_encryption_mode = 'aes-256-cbc'",
        "SELECT @@block_encryption_mode AS a",
    ),
    (
        "windowing_use_high_precision = 0",
        "SELECT @@windowing_use_high_precision AS a",
    ),
    (
        "sql_quote_show_create = 0",
        "SELECT @@sql_quote_show_create AS a",
    ),
    ("explain_format = 'TREE'", "SELECT @@explain_format AS a"),
];

fn create_tables(db: &Database) {
    db.sql("CREATE TABLE t (s VARCHAR(9)) ENGINE = InnoDB");
    db.sql("INSERT INTO t VALUES ('one'), ('two')");
    if db.is_mariadb() {
        db.sql("CREATE TABLE versions (a INT) ENGINE = InnoDB WITH SYSTEM VERSIONING");
        db.sql("INSERT INTO versions VALUES (1)");
    }
}

#[test]
fn an_export_does_not_see_what_an_earlier_one_has_set() {
    each_server(|db| {
        create_tables(db);
        let of_server = if db.is_mariadb() { MARIADB } else { MYSQL };
        let mut exports = Vec::new();
        for (number, (set, query)) in BOTH.iter().chain(of_server).enumerate() {
            db.sql(&format!(
                "CREATE PROCEDURE p{number}() BEGIN SET {set}; SELECT 1 AS a; END"
            ));
            db.sql(&format!(
                "CREATE FUNCTION f{number}() RETURNS INT NOT DETERMINISTIC NO SQL BEGIN SET {set}; RETURN 1; END"
            ));
            exports.extend([
                (format!("before{number}"), (*query).to_owned()),
                (format!("call{number}"), format!("CALL p{number}()")),
                (format!("after{number}"), (*query).to_owned()),
                (format!("use{number}"), format!("SELECT f{number}() AS a")),
                (format!("again{number}"), (*query).to_owned()),
            ]);
        }
        let queries: Vec<(&str, &str)> = exports
            .iter()
            .map(|(name, sql)| (name.as_str(), sql.as_str()))
            .collect();
        // What the user sets holds for each export.
        let head = "[session]\ninit = ['SET max_sort_length = 512', 'SET @x = @@max_sort_length']\n\
                    [run]\nsnapshot = true\n[output]\nformat = 'csv'";
        let exports = ExportFile::with_queries(db, head, &queries);
        exports.run(&["--quiet"]).run().ended(0, "");
        let file = |name: String| std::fs::read_to_string(exports.path(&name)).expect("a file");
        let all = BOTH.iter().chain(of_server).enumerate();
        let changed = all.filter_map(|(number, change)| {
            let before = file(format!("before{number}.csv"));
            let later = ["after", "again"].map(|name| file(format!("{name}{number}.csv")));
            later
                .iter()
                .any(|rows| *rows != before)
                .then(|| format!("{change:?}: {before:?}, {later:?}"))
        });
        let changed: Vec<String> = changed.collect();
        assert!(changed.is_empty(), "{}", changed.join("\n"));
    });
}

#[test]
fn what_cannot_be_set_back_is_an_error() {
    each_server(|db| {
        create_tables(db);
        // Its definer may set what its caller may not.
        db.sql("CREATE PROCEDURE p() BEGIN SET pseudo_thread_id = 7; SELECT 1 AS a; END");
        let url = db.url_of_reader("t");
        db.sql(&format!(
            "GRANT EXECUTE ON {0}.* TO {0}_r@'127.0.0.1'",
            db.name
        ));
        let queries = [("a", "CALL p()"), ("b", "SELECT CONNECTION_ID() AS a")];
        let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &queries);
        let run = exports.run(&["--quiet"]).env("DATABASE_URL", url).run();
        run.failed_with_any_length(
            4,
            &[
                "b: cannot set back what an earlier export has changed in the session (pseudo_thread_id)",
                "by a run of its own, without a snapshot",
            ],
        );
    });
}
