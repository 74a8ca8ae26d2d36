//! Parameters: their values, and lists.

use std::fs;

use crate::support::{GoldDigger, each_server, on_a_server};

const SQL: &str = "SELECT id FROM t WHERE id IN (:ids) ORDER BY id";

#[test]
fn a_list_is_bound_as_so_many_values() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id BIGINT, name VARCHAR(9))");
        db.sql("INSERT INTO t VALUES (1, 'a,b'), (2, '[x]'), (3, 'c'), (9007199254740993, 'd')");
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("x.toml");
        let by_name = "SELECT id FROM t WHERE name IN (:names) ORDER BY id";
        #[rustfmt::skip]
        let cases = [
            ("ids=[1,2,3]", "ids = [1, 2, 3]", SQL, "id\n1\n2\n3\n"),
            ("ids=[ 3 ]", "ids = ['3']", SQL, "id\n3\n"),
            ("ids=[9007199254740993, 7]", "ids = [9007199254740993, 7]", SQL, "id\n9007199254740993\n"),
            ("ids=[1,3]", "ids = [1, 3]", "SELECT id FROM t WHERE id NOT IN (9, :ids) AND id < 9 OR id IN (:ids) AND id = 3", "id\n2\n3\n"),
            (r#"names=["a,b", "c"]"#, "names = ['a,b', 'c']", by_name, "id\n1\n3\n"),
            (r#"names=["[x]"]"#, "names = '[x]'", by_name, "id\n2\n"),
            (r#"name=["[x]"]"#, "name = '[x]'", "SELECT id FROM t WHERE name = :name", "id\n2\n"),
        ];
        for (param, toml, sql, rows) in cases {
            for protocol in ["auto", "binary"] {
                let run = db.export(sql).args(["--protocol", protocol]);
                run.args(["--param", param]).run().wrote(rows);
            }
            let text = format!("[query]\nparams.{toml}\nsql = \"{sql}\"\n");
            fs::write(&config, text).expect("a file");
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            run.arg("--config").arg(&config).run().wrote(rows);
        }
    });
}

#[test]
fn a_text_with_a_comma_in_the_place_of_a_list_is_a_warning() {
    on_a_server(|db| {
        db.sql("CREATE TABLE t (id INT)");
        db.sql("INSERT INTO t VALUES (1), (2)");
        let warning =
            "ids holds a comma and is one value in IN (:ids); a list is [1, 2] or [\"a\", \"b\"]\n";
        let run = db.export(SQL).args(["--param", "ids=1,2"]).run();
        let altered = "gold_digger: warning: the server has altered a value: Truncated incorrect";
        let ours = format!("gold_digger: warning: {warning}{altered}");
        assert!(run.stderr.starts_with(&ours), "{}", run.stderr);
        assert_eq!(run.stdout, b"id\n1\n");
        for sql in [
            "SELECT id FROM t WHERE id = :ids",
            "SELECT id FROM t WHERE id IN (LEFT(:ids, 1))",
        ] {
            let run = db.export(sql).args(["--param", "ids=1,2"]).run();
            assert_eq!(run.stdout, b"id\n1\n");
            assert!(!run.stderr.contains("comma"), "{}", run.stderr);
        }
    });
}

#[test]
fn a_parameter_is_what_a_literal_in_quotes_is() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id BIGINT, d DATE, y YEAR, f FLOAT)");
        db.sql("INSERT INTO t VALUES (9007199254740992, '2026-01-02', 2026, 1.5)");
        db.sql("INSERT INTO t VALUES (9007199254740993, NULL, NULL, NULL)");
        for (sql, value) in [
            ("IF(1, :p, NULL)", "é1"),
            ("IFNULL(NULL, :p)", "é1"),
            ("CASE WHEN 0 THEN NULL ELSE :p END", "é1"),
            ("COALESCE(:p, 1)", "00123"),
            ("IF(1, :p, d)", "00123"),
            ("IF(1, :p, y)", "9007199254740993"),
            ("COALESCE(:p, f)", "9007199254740993"),
            ("id = :p", "9007199254740993"),
            ("id = ANY (SELECT :p)", "9007199254740993"),
            ("id >= ALL (SELECT :p)", "9007199254740993"),
            ("id IN (SELECT :p UNION SELECT '1')", "9007199254740993"),
            ("id % :p", "10"),
            ("GREATEST(id, :p)", "9007199254740993"),
        ] {
            let export = |sql: &str, protocol: &str| {
                let sql = format!("SELECT {sql} AS x FROM t ORDER BY id");
                db.export(&sql)
                    .args(["--protocol", protocol, "--format", "json"])
            };
            for protocol in ["auto", "text"] {
                let literal = export(&sql.replace(":p", &format!("'{value}'")), protocol).run();
                let bound = export(sql, protocol)
                    .args(["--param", &format!("p={value}")])
                    .run();
                assert_eq!(literal.status.code(), Some(0), "{}", literal.stderr);
                let bytes = String::from_utf8(literal.stdout).expect("UTF-8");
                bound.wrote(bytes);
            }
        }
    });
}

#[test]
fn a_parameter_keeps_every_character_in_every_sql_mode() {
    each_server(|db| {
        let mut modes = vec!["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"];
        if db.is_mariadb() {
            modes.extend(["MSSQL", "ORACLE"]);
        }
        for mode in modes {
            for value in [
                "'",
                "\\",
                "\\'",
                "''\\\\'",
                "'; SELECT 2 -- ",
                "\"`[]\\",
                "%_\\%",
                "\n\\n",
                "/* :p ? */",
                "😀\u{a0}",
            ] {
                let run = db
                    .export("SELECT :p AS p, OCTET_LENGTH(:p) AS n")
                    .args(["--init", &format!("SET sql_mode = '{mode}'")])
                    .args(["--param", &format!("p={value}"), "--format", "json"])
                    .run();
                let row = serde_json::json!([{ "p": value, "n": value.len() }]);
                assert_eq!(
                    run.status.code(),
                    Some(0),
                    "{mode} {value:?}: {}",
                    run.stderr
                );
                let found: serde_json::Value =
                    serde_json::from_slice(&run.stdout).expect("a document");
                assert_eq!(found, row, "{mode} {value:?}");
            }
        }
    });
}

#[test]
fn a_parameter_is_a_number_where_no_string_may_be() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT)");
        db.sql("INSERT INTO t VALUES (1), (2), (3)");
        for (sql, rows) in [
            ("SELECT id FROM t ORDER BY id LIMIT :n", "id\n1\n2\n"),
            ("SELECT id FROM t ORDER BY id LIMIT :n OFFSET :n", "id\n3\n"),
            (
                "SELECT NTILE(:n) OVER (ORDER BY id) AS x FROM t",
                "x\n1\n1\n2\n",
            ),
            (
                "SELECT LAG(id, :n) OVER (ORDER BY id) AS x FROM t",
                "x\n\\N\n\\N\n1\n",
            ),
            (
                "SELECT SUM(id) OVER (ORDER BY id ROWS BETWEEN :n PRECEDING AND :n FOLLOWING) AS x FROM t",
                "x\n6\n6\n6\n",
            ),
        ] {
            db.export(sql).args(["--param", "n=2"]).run().wrote(rows);
        }
    });
}
