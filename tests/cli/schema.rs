//! `--check --format json` and `gold_digger schema`: what is known of a query's columns
//! before it runs, for machines and for other databases.

use std::{fs, path::Path};

use serde_json::Value as Json;

use crate::support::{Database, GoldDigger, each_server, members, on_a_server};

/// Returns what a check with `args` prints.
#[track_caller]
fn printed(db: &Database, args: &[&str]) -> String {
    let run = GoldDigger::new()
        .env("DATABASE_URL", db.url())
        .args(args)
        .run();
    String::from_utf8(run.ended(0, "").stdout).expect("UTF-8")
}

/// Returns the document of `--check` as JSON.
#[track_caller]
fn check(db: &Database, args: &[&str]) -> Json {
    serde_json::from_str(&printed(db, args)).expect("JSON")
}

#[test]
fn a_check_as_json_has_what_the_manifest_will_have() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, price DECIMAL(10,2), at TIMESTAMP(3) NULL, note TEXT)");
        db.sql("INSERT INTO t VALUES (1, 2.5, NULL, 'x')");
        let folder = tempfile::tempdir().expect("a folder");
        for (name, check_flag, flags) in [
            ("t.json", "--check", &["--format", "json"][..]),
            ("t.tsv", "--check=json", &["--for", "postgres"]),
            ("t.csv.gz", "--dry-run=json", &["--csv-null", "NULL"]),
        ] {
            let target = folder.path().join(name);
            let target = target.to_str().expect("UTF-8");
            let sql = "SELECT *, id + 1 AS more FROM t";
            let args = [flags, &["-o", target, sql]].concat();
            let checked = check(db, &[&[check_flag], &args[..]].concat());
            assert!(!Path::new(target).exists());
            let run = GoldDigger::new().env("DATABASE_URL", db.url()).args(args);
            run.arg("--manifest").run().wrote("");
            let manifest = fs::read(format!("{target}.manifest.json")).expect("a manifest");
            let manifest: Json = serde_json::from_slice(&manifest).expect("JSON");
            let only_here = ["target", "protocol", "columns_unknown"];
            for name in members(&checked) {
                match only_here.contains(&name) {
                    true => assert!(manifest.get(name).is_none(), "{name}"),
                    false => assert_eq!(checked[name], manifest[name], "{name}"),
                }
            }
            let known_later = [
                "bytes",
                "file",
                "finished",
                "generator",
                "named_for",
                "rows",
                "sha256",
                "snapshot",
                "started",
            ];
            let (all, known) = (members(&manifest), members(&checked));
            let missing = all.difference(&known).copied();
            assert!(missing.eq(known_later));
            assert_eq!(
                (&checked["target"], &checked["protocol"]),
                (&target.into(), &"binary".into())
            );
        }
        // Other formats, and a check that says so, are text for people.
        for args in [
            &["--check", "--format=csv"][..],
            &["--check=text", "--format=json"],
        ] {
            assert!(printed(db, &[args, &["SELECT 1"]].concat()).starts_with("server "));
        }
        // Nothing runs.
        check(db, &["--check", "--format=json", "SELECT SLEEP(100)"]);
        db.sql("CREATE PROCEDURE p() SELECT 1");
        let called = check(db, &["--check=json", "CALL p()"]);
        assert_eq!(
            (&called["columns"], &called["protocol"]),
            (&Json::Null, &Json::Null)
        );
        let reason = called["columns_unknown"].as_str().expect("a reason");
        assert!(
            reason.contains("announces none before the statement runs"),
            "{reason}"
        );
    });
}

#[test]
fn a_check_of_several_exports_is_one_document() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("nightly.toml");
        let text = "[[export]]\nname = \"one\"\nsql = \"SELECT 1 AS a\"\npath = \"one.csv\"\n\
                    [[export]]\nname = \"two\"\nsql = \"SELECT nowhere\"\npath = \"two.tsv\"\n";
        fs::write(&config, text).expect("a file");
        let run = GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .current_dir(folder.path())
            .arg("--config")
            .arg(&config);
        let outcome = run.arg("--check=json").run();
        let outcome = outcome.failed(4, &["1 of 2 exports would fail: two"]);
        let document: Json = serde_json::from_slice(&outcome.stdout).expect("JSON");
        let [one, two] = &document["exports"].as_array().expect("an array")[..] else {
            panic!("{document:#}");
        };
        assert_eq!(
            (&one["export"], &one["columns"][0]["name"]),
            (&"one".into(), &"a".into())
        );
        assert_eq!(
            (&two["export"], &two["error"]["kind"]),
            (&"two".into(), &"query".into())
        );
    });
}

const TARGETS: [&str; 8] = [
    "mysql",
    "postgres",
    "clickhouse",
    "duckdb",
    "sqlite",
    "bigquery",
    "snowflake",
    "redshift",
];

#[test]
fn each_target_gets_its_table() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, flag TINYINT(1) NOT NULL, bits BIT(5), price DECIMAL(10,2) NOT NULL,
             wide DECIMAL(65,30), at DATETIME(3) NOT NULL, moment TIMESTAMP(6) NOT NULL, lasts TIME, born YEAR NOT NULL,
             name VARCHAR(50) NOT NULL, photo BLOB, weight FLOAT, ratio DOUBLE NOT NULL)",
        );
        let table = |target: &str| {
            printed(
                db,
                &[
                    "schema",
                    "--for",
                    target,
                    "SELECT t.*, id + 1 AS more, 'x' AS `a``\"b` FROM t",
                ],
            )
        };
        insta::assert_snapshot!("tables", TARGETS.map(table).join("\n"));
        // The table is called like the file, and dates that become NULL may be NULL.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("orders.2020.tsv").display().to_string();
        let flags = ["schema", "--for=postgres", "-o", &file];
        let sql = "SELECT at FROM t";
        let null = printed(db, &[&flags[..], &[sql]].concat());
        assert_eq!(
            null,
            "CREATE TABLE \"orders\" (\n  \"at\" timestamp(3)\n);\n"
        );
        let kept = printed(db, &[&flags[..], &["--zero-dates=keep", sql]].concat());
        assert_eq!(
            kept,
            "CREATE TABLE \"orders\" (\n  \"at\" timestamp(3) NOT NULL\n);\n"
        );
        let flag = printed(
            db,
            &[&flags[..], &["--booleans=number", "SELECT flag FROM t"]].concat(),
        );
        assert_eq!(
            flag,
            "CREATE TABLE \"orders\" (\n  \"flag\" smallint NOT NULL\n);\n"
        );
        // A query in a file, and its parameters.
        let query = folder.path().join("q.sql").display().to_string();
        fs::write(&query, "SELECT :n AS n").expect("a file");
        let flags = [
            "schema",
            "--for=sqlite",
            "--query-file",
            &query,
            "--param=n=1",
        ];
        assert_eq!(
            printed(db, &flags),
            "CREATE TABLE \"result\" (\n  \"n\" TEXT\n);\n"
        );
    });
}

#[test]
fn the_year_of_a_date_is_no_year_column() {
    each_server(|db| {
        db.sql("CREATE TABLE t (d DATE, y YEAR)");
        db.sql("INSERT INTO t VALUES ('1850-01-02', 2020)");
        let query = "SELECT YEAR(d) AS made, y FROM t";
        let made = match db.is_mariadb() {
            true => "INT",
            false => "SMALLINT UNSIGNED",
        };
        assert_eq!(
            printed(db, &["schema", "--for=mysql", query]),
            format!(
                "CREATE TABLE `result` (\n  `made` {made} NULL,\n  `y` YEAR NULL\n) CHARACTER SET utf8mb4;\n"
            )
        );
    });
}

#[test]
fn a_table_that_cannot_be_made_is_an_error() {
    each_server(|db| {
        db.sql("CREATE PROCEDURE p() SELECT 1");
        for (args, code, parts) in [
            (
                &["SELECT 1"][..],
                2,
                &["does not know for which database", "--for mysql|postgres|"][..],
            ),
            (
                &["--for=excel", "SELECT 1"],
                2,
                &["excel opens files itself"],
            ),
            (
                &["--for=duckdb", "SELECT 1 AS a, 2 AS A"],
                2,
                &["one name for the target", "AS"],
            ),
            (
                &["--for=duckdb", "CALL p()"],
                4,
                &["columns of the table are not known"],
            ),
            (&["--for=duckdb", "SELECT nowhere"], 4, &["nowhere"]),
            (
                &["--for=duckdb", "SELECT 1", "SELECT 2"],
                2,
                &["2 queries are given"],
            ),
            (
                &["--for=duckdb", "-psecret", "SELECT 1"],
                2,
                &["-p takes no password"],
            ),
        ] {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            let outcome = run.arg("schema").args(args).run().failed(code, parts);
            assert_eq!(outcome.stdout, b"");
        }
    });
    let help = GoldDigger::new().args(["schema", "-h"]).run().ended(0, "");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    assert!(help.starts_with("Print the CREATE TABLE"), "{help}");
    assert!(
        help.contains("--for") && !help.contains("--csv-null"),
        "{help}"
    );
}
