//! Parameters that are lists.

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
