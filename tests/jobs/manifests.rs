//! The fields of manifests: as `docs/manifest.schema.json` and `docs/manifest.md` say.

use std::{collections::BTreeSet, fs, path::Path};

use gold_digger::format::FORMATS;
use serde_json::{Value as Json, json};

use mysql::prelude::Queryable;

use crate::support::{
    Database, GoldDigger, assert_as_schema, each_server, json_schema, members, on_a_server,
    schema_violation, wait_until,
};

/// Exports `sql` into a file called `name` with a manifest, which is valid, and returns it.
#[track_caller]
fn manifest(db: &Database, sql: &str, name: &str, flags: &[&str]) -> Json {
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join(name);
    let run = db.export(sql).args(flags).arg("--manifest");
    run.arg("-o").arg(&target).run().ended_with(0);
    let path = folder.path().join(format!("{name}.manifest.json"));
    let manifest = serde_json::from_slice(&fs::read(path).expect("a manifest")).expect("JSON");
    assert_as_schema("manifest", &manifest);
    manifest
}

#[test]
fn columns_have_what_a_reader_needs() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, price DECIMAL(10,2), at DATETIME(3) NOT NULL,
             flags BIT(5), name VARCHAR(50) CHARACTER SET latin1 NOT NULL, photo VARBINARY(30))",
        );
        db.sql("INSERT INTO t VALUES (1, 2.50, '2020-01-02', 5, 'x', 'y')");
        let sql = "SELECT *, 1 + id AS sum FROM t";
        let flags = ["--time-zone", "+01:00"];
        let found = manifest(db, sql, "t.csv", &flags);
        let column = |name, column_type, base, nullable: Json, written_as| {
            json!({
                "name": name, "type": column_type, "base_type": base, "nullable": nullable,
                "unsigned": null, "precision": null, "scale": null, "fraction": null,
                "length": null, "character_set": null, "written_as": written_as,
            })
        };
        let with = |mut column: Json, members: &[(&str, Json)]| {
            for (name, value) in members {
                column[name] = value.clone();
            }
            column
        };
        let mut expected = vec![
            with(
                column("id", "BIGINT UNSIGNED", "BIGINT", false.into(), "number"),
                &[("unsigned", true.into())],
            ),
            with(
                column("price", "DECIMAL(10,2)", "DECIMAL", true.into(), "number"),
                &[
                    ("unsigned", false.into()),
                    ("precision", 10.into()),
                    ("scale", 2.into()),
                ],
            ),
            with(
                column(
                    "at",
                    "DATETIME(3)",
                    "DATETIME",
                    false.into(),
                    "date and time",
                ),
                &[("fraction", 3.into())],
            ),
            with(
                column("flags", "BIT(5)", "BIT", true.into(), "number"),
                &[("unsigned", true.into()), ("length", 5.into())],
            ),
            with(
                column("name", "VARCHAR(50)", "VARCHAR", false.into(), "text"),
                &[("length", 50.into()), ("character_set", "utf8mb4".into())],
            ),
            with(
                column("photo", "VARBINARY(30)", "VARBINARY", true.into(), "base64"),
                &[("length", 30.into())],
            ),
        ];
        let columns = found["columns"].as_array().expect("columns");
        assert_eq!(columns[..expected.len()], expected);
        // The server's word is no proof for an expression.
        assert_eq!(columns[expected.len()]["nullable"], Json::Null);
        assert_eq!(found["time_zone"], "+01:00");

        // A zero date of the column may be NULL in the file.
        let found = manifest(db, sql, "t.csv", &["--zero-dates", "null"]);
        expected[2]["nullable"] = true.into();
        assert_eq!(found["columns"].as_array().expect("columns")[..6], expected);
    });
}

#[test]
fn every_format_has_its_dialect() {
    on_a_server(|db| {
        let schema = json_schema("manifest");
        let formats = FORMATS.iter().map(|format| Json::from(format.name));
        let formats: Vec<Json> = formats.collect();
        assert_eq!(schema["properties"]["format"]["enum"], Json::from(formats));
        let mut dialects = BTreeSet::new();
        for format in FORMATS {
            let found = manifest(
                db,
                "SELECT 1 AS a, 'x' AS b",
                "t.x",
                &["--format", format.name],
            );
            let all = members(&schema["properties"]);
            assert_eq!(members(&found), all, "{}", format.name);
            let members = members(&found["dialect"]);
            dialects.extend(members.into_iter().map(str::to_owned));
            let mut more = found.clone();
            more["dialect"]["unheard"] = true.into();
            assert!(schema_violation("manifest", &more).is_some());
        }
        let known = members(&schema["$defs"]["dialect"]["properties"]);
        assert!(dialects.iter().map(String::as_str).eq(known));

        let flags = [
            "--csv-delimiter=;",
            "--csv-null=NULL",
            "--csv-quote=text",
            "--csv-bom",
            "--line-ending=crlf",
            "--header=false",
            "--binary=hex",
            "--booleans=words",
            "--csv-formulas=escape",
        ];
        let dialect = &manifest(db, "SELECT 1 AS a", "t.csv", &flags)["dialect"];
        let expected = json!({
            "encoding": "utf-8", "binary": "hex", "booleans": "words", "zeroDates": "keep", "invalidUtf8": "error",
            "byteOrderMark": true, "header": false, "delimiter": ";", "lineTerminator": "\r\n", "quoteChar": "\"",
            "doubleQuote": true, "escapeChar": null, "nullSequence": "NULL", "quoting": "text", "formulas": "escape",
        });
        assert_eq!(dialect, &expected);
        let flags = [
            "--json-root=rows",
            "--json-bigint=string",
            "--json-decimal=string",
            "--json-column=a",
            "--json-nulls=omit",
            "--duplicate-columns=suffix",
        ];
        let dialect = &manifest(db, "SELECT '1' AS a", "t.json", &flags)["dialect"];
        let expected = json!({
            "encoding": "utf-8", "binary": "base64", "booleans": "number", "zeroDates": "keep", "invalidUtf8": "error",
            "itemType": "object", "property": "rows", "bigIntegers": "string", "decimals": "string", "embeddedColumns": ["a"],
            "nullMembers": "omit", "duplicateColumns": "suffix",
        });
        assert_eq!(dialect, &expected);
    });
}

#[test]
fn the_page_of_manifests_has_their_fields() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manifest.md");
    let page = fs::read_to_string(page).expect("the page");
    let schema = json_schema("manifest");
    for (heading, object) in [
        ("# Manifests", &schema),
        ("## Columns", &schema["$defs"]["column"]),
        ("## The dialect", &schema["$defs"]["dialect"]),
    ] {
        let (_, section) = page.split_once(&format!("{heading}\n")).expect(heading);
        let table = section.split("\n#").next().expect("a section");
        let names = table
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once(" |")?.0));
        let names = names.flat_map(|names| names.split(", "));
        let names: BTreeSet<&str> = names.map(|name| name.trim_matches('`')).collect();
        assert_eq!(names, members(&object["properties"]), "{heading}");
    }
}

#[test]
fn a_run_that_comes_too_late_leaves_the_manifest_of_the_first() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut holder = db.connect();
        let lock = format!("DO GET_LOCK('{}', 0)", db.name);
        holder.query_drop(lock).expect("a lock");
        let call = |sql: &str, target: &str| {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            let run = run
                .current_dir(&folder)
                .args(["--if-absent", "--manifest", "-o", target]);
            let parts = target.contains("{part}");
            run.args(parts.then_some("--rows-per-file=1")).arg(sql)
        };
        let waiting = format!("SELECT GET_LOCK('{}', 100) AS l", db.name);
        for target in ["x.csv", "p-{part}.csv"] {
            let late = call(&waiting, target).start();
            wait_until("it waits", || !db.connections_waiting(&db.name).is_empty());
            call("SELECT 7 AS a", target).run().ended(0, "");
            let release = format!("DO RELEASE_LOCK('{}')", db.name);
            holder.query_drop(release).expect("it is freed");
            late.wait()
                .failed_with_any_length(5, &["File exists", "it has appeared meanwhile"]);
            let lock = format!("DO GET_LOCK('{}', 10)", db.name);
            holder.query_drop(lock).expect("a lock");
            let described = if target == "x.csv" {
                "x.csv"
            } else {
                "p-all.csv.dataset.json"
            };
            let verify = GoldDigger::new()
                .current_dir(&folder)
                .args(["verify", described]);
            verify.run().ended_with(0);
        }
    });
}
