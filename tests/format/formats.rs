//! The exact bytes of each format.

use std::fs;

use gold_digger::format::FORMATS;

use crate::support::{Database, each_server};

/// Creates a table with text, numbers, dates and NULL, and every character that a
/// format must escape.
fn create_sample(db: &Database) {
    db.sql(
        "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT UNSIGNED, z INT(6) ZEROFILL, d DECIMAL(20,5), x DOUBLE,
         s VARCHAR(60), at DATETIME(3), y YEAR)",
    );
    let rows = [
        r"(1, 18446744073709551615, 42, 12345678901234.56780, -1.5e300, 'plain', '2026-02-03 04:05:06.789', 1999)",
        r"(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        r"(3, 0, 0, -0.10000, 0, '', '1000-01-01', 0)",
        r#"(4, 7, 7, 0, 1e-20, 'a,"b"\\c\td\r\ne\0\\N', '9999-12-31 23:59:59.999', 2155)"#,
        r"(5, 123, 123456, 99, 0.1, '00123 ä 漢 😀', '2000-02-29', 2000)",
    ];
    db.sql(&format!("INSERT INTO t VALUES {}", rows.join(",")));
}

const ALL: &str = "SELECT * FROM t ORDER BY id";

#[test]
fn csv_has_exactly_these_bytes() {
    each_server(|db| {
        create_sample(db);
        let outcome = db
            .export(ALL)
            .args(["--format", "csv"])
            .run()
            .failed(0, &["1 text holds NUL"]);
        assert_eq!(
            String::from_utf8_lossy(&outcome.stdout),
            concat!(
                "id,n,z,d,x,s,at,y\n",
                "1,18446744073709551615,000042,12345678901234.56780,-1.5e300,plain,2026-02-03 04:05:06.789,1999\n",
                "2,,,,,,,\n",
                "3,0,000000,-0.10000,0,\"\",1000-01-01 00:00:00.000,0000\n",
                "4,7,000007,0.00000,1e-20,\"a,\"\"b\"\"\\c\td\r\ne\0\\N\",9999-12-31 23:59:59.999,2155\n",
                "5,123,123456,99.00000,0.1,00123 ä 漢 😀,2000-02-29 00:00:00.000,2000\n",
            )
        );
        db.export("SELECT 1 AS `a,b`, 2 AS ``, 3 AS `x\"y`, 4 AS `x\"y`")
            .args(["--format", "csv", "--line-ending", "crlf"])
            .run()
            .wrote("\"a,b\",\"\",\"x\"\"y\",\"x\"\"y\"\r\n1,2,3,4\r\n");
        // The last value is "NULL" in base64.
        db.export("SELECT NULL AS a, '' AS b, 'NULL' AS c, 'x' AS d, CAST('' AS BINARY) AS e, CAST(X'3542CB' AS BINARY) AS f")
            .args(["--format", "csv", "--csv-null", "NULL"])
            .run()
            .wrote("a,b,c,d,e,f\nNULL,\"\",\"NULL\",x,\"\",\"NULL\"\n");
    });
}

#[test]
fn csv_and_tsv_options_change_the_layout() {
    each_server(|db| {
        let sql =
            "SELECT 1 AS `a;b`, 'x;y' AS b, NULL AS c, '' AS d, 'é' AS e, X'00' AS f, 0.5 AS g";
        let csv = |args: &[&str]| db.export(sql).args(["--format", "csv"]).args(args).run();
        csv(&["--csv-delimiter", ";"]).wrote("\"a;b\";b;c;d;e;f;g\n1;\"x;y\";;\"\";é;AA==;0.5\n");
        csv(&["--csv-delimiter", "\\t", "--header=false"]).wrote("1\tx;y\t\t\"\"\té\tAA==\t0.5\n");
        csv(&["--csv-quote", "always", "--csv-null", "NULL", "--csv-bom"]).wrote(
            "\u{feff}\"a;b\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\"\n\"1\",\"x;y\",NULL,\"\",\"é\",\"AA==\",\"0.5\"\n",
        );
        db.export(sql)
            .arg("--header=false")
            .run()
            .wrote("1\tx;y\t\\N\t\té\tAA==\t0.5\n");
        // An empty result without a header is only the byte order mark.
        db.export("SELECT 1 AS a WHERE 1 = 0")
            .args([
                "--format",
                "csv",
                "--csv-bom",
                "--header=false",
                "--allow-empty",
            ])
            .run()
            .wrote("\u{feff}");
    });
}

#[test]
fn a_single_null_column_in_csv_gets_one_warning() {
    each_server(|db| {
        create_sample(db);
        let nulls = "SELECT s FROM t WHERE id IN (1, 2) ORDER BY id";
        let outcome = db.export(nulls).args(["--format", "csv"]).run().failed(
            0,
            &[
                "1 NULL value of the only column is a blank line, which",
                "--csv-null",
            ],
        );
        assert_eq!(outcome.stdout, b"s\nplain\n\n");
        db.export(nulls)
            .args(["--format", "csv", "--quiet"])
            .run()
            .wrote("s\nplain\n\n");
        db.export(nulls)
            .args(["--format", "csv", "--csv-null", "\\N"])
            .run()
            .wrote("s\nplain\n\\N\n");
    });
}

#[test]
fn tsv_has_exactly_these_bytes() {
    each_server(|db| {
        create_sample(db);
        let outcome = db.export(ALL).run().failed(0, &["1 text holds NUL"]);
        assert_eq!(
            String::from_utf8_lossy(&outcome.stdout),
            concat!(
                "id\tn\tz\td\tx\ts\tat\ty\n",
                "1\t18446744073709551615\t000042\t12345678901234.56780\t-1.5e300\tplain\t2026-02-03 04:05:06.789\t1999\n",
                "2\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\n",
                "3\t0\t000000\t-0.10000\t0\t\t1000-01-01 00:00:00.000\t0000\n",
                "4\t7\t000007\t0.00000\t1e-20\ta,\"b\"\\\\c\\td\\r\\ne\\0\\\\N\t9999-12-31 23:59:59.999\t2155\n",
                "5\t123\t123456\t99.00000\t0.1\t00123 ä 漢 😀\t2000-02-29 00:00:00.000\t2000\n",
            )
        );
        db.export("SELECT 1 AS `a\tb`, 2 AS `a\tb`")
            .run()
            .wrote("a\\tb\ta\\tb\n1\t2\n");
    });
}

#[test]
fn json_has_exactly_these_bytes() {
    each_server(|db| {
        create_sample(db);
        db.export(ALL).args(["--format", "json"]).run().wrote(concat!(
            "[\n",
            r#"{"id":1,"n":18446744073709551615,"z":42,"d":12345678901234.56780,"x":-1.5e300,"s":"plain","at":"2026-02-03 04:05:06.789","y":1999},"#,
            "\n",
            r#"{"id":2,"n":null,"z":null,"d":null,"x":null,"s":null,"at":null,"y":null},"#,
            "\n",
            r#"{"id":3,"n":0,"z":0,"d":-0.10000,"x":0,"s":"","at":"1000-01-01 00:00:00.000","y":0},"#,
            "\n",
            r#"{"id":4,"n":7,"z":7,"d":0.00000,"x":1e-20,"s":"a,\"b\"\\c\td\r\ne\u0000\\N","at":"9999-12-31 23:59:59.999","y":2155},"#,
            "\n",
            r#"{"id":5,"n":123,"z":123456,"d":99.00000,"x":0.1,"s":"00123 ä 漢 😀","at":"2000-02-29 00:00:00.000","y":2000}"#,
            "\n]\n",
        ));
    });
}

#[test]
fn ndjson_has_the_objects_of_json() {
    each_server(|db| {
        create_sample(db);
        for protocol in ["text", "binary"] {
            let run = |format: &str| {
                let run = db
                    .export(ALL)
                    .args(["--format", format, "--protocol", protocol]);
                run.run().ended(0, "").stdout
            };
            let json = String::from_utf8(run("json")).expect("UTF-8");
            let objects = json
                .strip_prefix("[\n")
                .and_then(|rest| rest.strip_suffix("\n]\n"));
            let lines = objects.expect("an array").replace("},\n", "}\n") + "\n";
            assert_eq!(String::from_utf8(run("ndjson")).expect("UTF-8"), lines);
        }
        // A member that is NULL is left out on request, also the first.
        let sql = "SELECT NULL AS a, 1 AS b, NULL AS c, '' AS d UNION ALL SELECT 2, NULL, NULL, NULL UNION ALL SELECT NULL, NULL, NULL, NULL";
        let run = |args: &[&str]| {
            db.export(sql)
                .args(["--json-nulls", "omit", "--format"])
                .args(args)
                .run()
        };
        run(&["ndjson"]).wrote("{\"b\":1,\"d\":\"\"}\n{\"a\":2}\n{}\n");
        run(&["json", "--pretty"]).wrote(
            "[\n  {\n    \"b\": 1,\n    \"d\": \"\"\n  },\n  {\n    \"a\": 2\n  },\n  {\n  }\n]\n",
        );
        db.export("SELECT 1 AS a")
            .args(["--format", "ndjson", "--pretty"])
            .run()
            .failed(2, &["--pretty has no meaning for ndjson"]);
    });
}

#[test]
fn json_has_three_layouts() {
    each_server(|db| {
        let two = "SELECT 1 AS id, 'x' AS `a\"b` UNION ALL SELECT 2, NULL";
        let json = |flags: &[&str]| {
            let outcome = db
                .export(two)
                .args(["--format", "json"])
                .args(flags)
                .run()
                .ended(0, "");
            String::from_utf8(outcome.stdout).expect("UTF-8")
        };
        assert_eq!(
            json(&[]),
            "[\n{\"id\":1,\"a\\\"b\":\"x\"},\n{\"id\":2,\"a\\\"b\":null}\n]\n"
        );
        assert_eq!(
            json(&["--json-root", "r\"s"]),
            "{\"r\\\"s\":[\n{\"id\":1,\"a\\\"b\":\"x\"},\n{\"id\":2,\"a\\\"b\":null}\n]}\n"
        );
        // The indented layout is the same as serde_json's.
        for root in [&[][..], &["--json-root", "rows"]] {
            let text = json(&[&["--pretty"], root].concat());
            let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let again = serde_json::to_string_pretty(&value).expect("JSON");
            // serde_json sorts the keys, so the lines are sorted here, too.
            let mut lines: Vec<&str> = text
                .lines()
                .map(|line| line.trim_end_matches(','))
                .collect();
            let mut expected: Vec<&str> = again
                .lines()
                .map(|line| line.trim_end_matches(','))
                .collect();
            lines.sort_unstable();
            expected.sort_unstable();
            assert_eq!(lines, expected);
        }
        assert_eq!(
            json(&["--pretty"]),
            "[\n  {\n    \"id\": 1,\n    \"a\\\"b\": \"x\"\n  },\n  {\n    \"id\": 2,\n    \"a\\\"b\": null\n  }\n]\n"
        );
    });
}

#[test]
fn json_keys_must_differ() {
    each_server(|db| {
        let query = "SELECT 1 AS id, 2 AS id_2, 3 AS id, 4 AS ID, 5 AS id, 6 AS x, 7 AS x";
        db.export(query)
            .args(["--format", "json"])
            .run()
            .failed(2, &["\"id\" and \"x\"", "--duplicate-columns suffix"]);
        db.export(query)
            .args(["--format", "json", "--duplicate-columns", "suffix"])
            .run()
            .wrote(
                "[\n{\"id\":1,\"id_2\":2,\"id_3\":3,\"ID\":4,\"id_4\":5,\"x\":6,\"x_2\":7}\n]\n",
            );
        // An empty result is refused, too.
        db.export("SELECT 1 AS a, 2 AS a WHERE FALSE")
            .args(["--format", "json", "--allow-empty"])
            .run()
            .failed(2, &["\"a\""]);
    });
}

#[test]
fn an_empty_result_leaves_the_target_unless_allowed() {
    each_server(|db| {
        let none = "SELECT 1 AS a, 2 AS b FROM DUAL WHERE FALSE";
        let folder = tempfile::tempdir().expect("a folder");
        for format in FORMATS.iter().map(|format| format.name) {
            let empty = match format {
                "csv" => "a,b\n",
                "tsv" => "a\tb\n",
                "json" => "[]\n",
                "ndjson" => "",
                "sql" => concat!(
                    "SET NAMES utf8mb4;\n",
                    "SET @gold_digger_sql_mode = @@SESSION.sql_mode, SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';\n",
                    "SET SESSION sql_mode = @gold_digger_sql_mode;\n",
                ),
                "markdown" => "| a | b |\n| ---: | ---: |\n",
                "table" => "a | b\n--+--\n(0 rows)\n",
                "vertical" => "(0 rows)\n",
                // What they hold is for their readers.
                "parquet" | "arrow" | "arrow-stream" | "xlsx" => continue,
                other => panic!("what is an empty document of {other}?"),
            };
            let target = folder.path().join("x");
            fs::write(&target, "earlier").expect("a file");
            let export = || db.export(none).args(["--format", format]);
            export()
                .run()
                .ended(1, "gold_digger: no rows; standard output left as it was\n");
            export().arg("--quiet").run().ended(1, "");
            let kept = format!(
                "gold_digger: no rows; {} left as it was\n",
                target.display()
            );
            export().arg("-o").arg(&target).run().ended(1, &kept);
            assert_eq!(fs::read_to_string(&target).expect("the file"), "earlier");
            export()
                .arg("--allow-empty")
                .arg("-o")
                .arg(&target)
                .run()
                .wrote("");
            assert_eq!(fs::read_to_string(&target).expect("the file"), empty);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
        let flags = [
            "--format",
            "json",
            "--pretty",
            "--json-root",
            "r",
            "--allow-empty",
        ];
        db.export(none)
            .args(flags)
            .run()
            .wrote("{\n  \"r\": []\n}\n");
    });
}

#[test]
fn the_extension_chooses_the_format() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let sql = "SELECT 1 AS a, NULL AS b";
        for format in FORMATS {
            let by_name = db
                .export(sql)
                .args(["--format", format.name])
                .run()
                .ended(0, "")
                .stdout;
            for extension in format.extensions {
                for name in [
                    format!("a.{extension}"),
                    format!("a.{}", extension.to_uppercase()),
                ] {
                    let target = folder.path().join(&name);
                    db.export(sql).arg("-o").arg(&target).run().wrote("");
                    let mut written = fs::read(&target).expect("the file");
                    if format.name == "sql" {
                        // The file names the table.
                        let text = String::from_utf8(written).expect("UTF-8");
                        written = text.replace("INTO `a`", "INTO `result`").into();
                    }
                    assert!(written == by_name, "{name}");
                }
            }
        }
        for name in ["a", "csv", "a.2026-11-27", "a.v1.2"] {
            let target = folder.path().join(name);
            db.export(sql).arg("-o").arg(&target).run().wrote("");
            assert_eq!(
                fs::read(&target).expect("the file"),
                b"a\tb\n1\t\\N\n",
                "{name}"
            );
        }
        let target = folder.path().join("b.csv");
        db.export("SELECT 1 AS a")
            .args(["--format", "json"])
            .arg("-o")
            .arg(&target)
            .run()
            .wrote("");
        assert_eq!(
            fs::read_to_string(&target).expect("the file"),
            "[\n{\"a\":1}\n]\n"
        );
    });
}
