//! Rows that are divided among several files.

use std::{fs, path::Path};

use serde_json::{Value as Json, json};

use crate::support::{
    Database, GoldDigger, Outcome, assert_as_schema, each_server, file_names, on_a_server,
};

/// Ten rows.
const TEN: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
                   SELECT i, CONCAT('a,\"', i) AS s FROM n";

fn export(db: &Database, sql: &str, folder: &Path, name: &str, args: &[&str]) -> Outcome {
    let run = db.export(sql).args(args).arg("-o");
    run.arg(folder.join(name)).run()
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect(name)
}

#[test]
fn each_part_is_a_whole_document_with_its_manifest() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let args = ["--rows-per-file=4", "--manifest"];
        export(db, TEN, folder, "o-{part}.csv", &args).ended(0, "");
        let names = [
            "o-00001.csv",
            "o-00001.csv.manifest.json",
            "o-00002.csv",
            "o-00002.csv.manifest.json",
            "o-00003.csv",
            "o-00003.csv.manifest.json",
            "o-all.csv.dataset.json",
        ];
        assert_eq!(file_names(folder), names);
        let row = |i: u32| format!("{i},\"a,\"\"{i}\"\n");
        let rows = |range: std::ops::RangeInclusive<u32>| {
            "i,s\n".to_owned() + &range.map(row).collect::<String>()
        };
        assert_eq!(read(folder, names[0]), rows(1..=4));
        assert_eq!(read(folder, names[2]), rows(5..=8));
        assert_eq!(read(folder, names[4]), rows(9..=10));
        let verified = GoldDigger::new().arg("verify");
        let verified = verified.args(names[..6].iter().map(|name| folder.join(name)));
        verified.run().ended(0, "");
        let dataset = folder.join(names[6]);
        let verify = || GoldDigger::new().arg("verify").arg(&dataset).run();
        let shown = format!("{}: OK (3 files, 10 rows, 114 bytes)\n", dataset.display());
        verify().wrote(shown);
        let found: Json = serde_json::from_str(&read(folder, names[6])).expect("JSON");
        assert_as_schema("dataset", &found);
        let manifest: Json = serde_json::from_str(&read(folder, names[3])).expect("JSON");
        assert_as_schema("manifest", &manifest);
        assert_eq!(manifest["rows"], 4);
        assert_eq!(found["files"][1]["sha256"], manifest["sha256"]);
        assert_eq!(found["columns"], manifest["columns"]);
        assert_eq!((&found["rows"], &found["bytes"]), (&json!(10), &json!(114)));

        // A shorter dataset leaves nothing of the longer one, and what only looks like a
        // part stays.
        fs::write(folder.join("o-3.csv"), "mine").expect("a file");
        let args = ["--rows-per-file=5"];
        export(db, TEN, folder, "o-{part}.csv", &args).ended(0, "");
        assert_eq!(
            file_names(folder),
            [
                "o-00001.csv",
                "o-00002.csv",
                "o-3.csv",
                "o-all.csv.dataset.json"
            ]
        );
        assert_eq!(read(folder, "o-00002.csv"), rows(6..=10));

        // What is changed is noticed.
        let whole = read(folder, "o-00002.csv");
        for (text, problem) in [
            (
                &whole[..whole.len() - 1],
                "o-00002.csv: it has 55 bytes, not 56",
            ),
            (
                &whole.replace("10,", "11,"),
                "o-00002.csv: its SHA-256 is another one",
            ),
        ] {
            fs::write(folder.join("o-00002.csv"), text).expect("a file");
            let shown = verify().ended_with(7);
            let found = String::from_utf8_lossy(&verify().stdout).into_owned();
            assert!(found.contains(problem), "{found}{shown}");
        }
        fs::remove_file(folder.join("o-00002.csv")).expect("a file");
        verify().ended_with(7);
    });
}

#[test]
fn parts_are_whole_or_absent_together() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let args = ["--rows-per-file=3"];
        export(db, TEN, folder, "o-{part}.json", &args).ended(0, "");
        let before: Vec<(String, Vec<u8>)> = file_names(folder)
            .into_iter()
            .map(|name| (name.clone(), fs::read(folder.join(&name)).expect("a file")))
            .collect();
        // The last row is an error of the server.
        let failing =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
                       SELECT i, IF(i = 900, (SELECT 1 UNION SELECT i), 1) AS s FROM n";
        export(db, failing, folder, "o-{part}.json", &args).failed(4, &["1242 (21000)"]);
        export(
            db,
            TEN,
            folder,
            "o-{part}.json",
            &["--rows-per-file=2", "--max-rows=5"],
        )
        .failed(6, &["there are more than 5 rows"]);
        export(
            db,
            "SELECT 1 FROM DUAL WHERE FALSE",
            folder,
            "o-{part}.json",
            &args,
        )
        .ended_with(1);
        let after: Vec<(String, Vec<u8>)> = file_names(folder)
            .into_iter()
            .map(|name| (name.clone(), fs::read(folder.join(&name)).expect("a file")))
            .collect();
        assert!(before == after, "{:?}", file_names(folder));
        export(
            db,
            "SELECT 1 AS a FROM DUAL WHERE FALSE",
            folder,
            "o-{part}.csv",
            &["--rows-per-file=3", "--allow-empty"],
        )
        .ended(0, "");
        assert_eq!(read(folder, "o-00001.csv"), "a\n");
    });
}

#[test]
fn every_format_is_divided_between_rows() {
    on_a_server(|db| {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   SELECT i, REPEAT('x', 1000) AS s FROM n";
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        for extension in [
            "csv",
            "tsv",
            "json",
            "ndjson",
            "sql",
            "md",
            "parquet",
            "arrow",
            "xlsx",
            "csv.gz",
            "ndjson.zst",
            "tsv.lz4",
        ] {
            for limit in ["--rows-per-file=300", "--bytes-per-file=400KiB"] {
                let name = format!("{{part}}.{extension}");
                export(db, sql, folder, &name, &[limit]).ended(0, "");
                let dataset = format!("all.{extension}.dataset.json");
                let found: Json = serde_json::from_str(&read(folder, &dataset)).expect("JSON");
                let rows = found["files"].as_array().expect("files").iter();
                let rows: Vec<u64> = rows
                    .map(|file| file["rows"].as_u64().expect("rows"))
                    .collect();
                assert_eq!(rows.iter().sum::<u64>(), 1000, "{extension}");
                match limit.starts_with("--rows") {
                    true => assert_eq!(rows, [300, 300, 300, 100], "{extension}"),
                    // A row group and a workbook are larger.
                    false => assert!(matches!(rows.len(), 1 | 3), "{extension} {rows:?}"),
                }
                GoldDigger::new()
                    .arg("verify")
                    .arg(folder.join(&dataset))
                    .run()
                    .ended(0, "");
            }
        }
        // The row that reaches the size is the last one.
        export(db, sql, folder, "b-{part}.tsv", &["--bytes-per-file=2000"]).ended(0, "");
        assert_eq!(read(folder, "b-00001.tsv").lines().count(), 3);
    });
}

#[test]
fn tables_are_divided_too() {
    on_a_server(|db| {
        db.sql("CREATE TABLE a (i INT)");
        db.sql("INSERT INTO a VALUES (1), (2), (3)");
        db.sql("CREATE TABLE b (i INT)");
        let folder = tempfile::tempdir().expect("a folder");
        let run = GoldDigger::new().env("DATABASE_URL", db.url());
        let run = run.args(["--tables=*", "--rows-per-file=2", "-o"]);
        run.arg(folder.path().join("{table}-{part}.csv"))
            .run()
            .ended(0, "");
        assert_eq!(
            file_names(folder.path()),
            [
                "a-00001.csv",
                "a-00002.csv",
                "a-all.csv.dataset.json",
                "b-00001.csv",
                "b-all.csv.dataset.json"
            ]
        );
        assert_eq!(read(folder.path(), "a-00002.csv"), "i\n3\n");
    });
}

#[test]
fn paths_and_flags_that_do_not_fit_are_refused_before_connecting() {
    let no_part = "makes several files, and the output path does not have {part} once";
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["--rows-per-file=4", "-o", "x.csv"], no_part),
        (&["--rows-per-file=4"], no_part),
        (&["--bytes-per-file=4KiB", "-o", "{part}/x.csv"], no_part),
        (&["--bytes-per-file=4KiB", "-o", "{part}{part}.csv"], no_part),
        (&["--rows-per-file=0", "-o", "{part}.csv"], "it is a number of rows from 1 on"),
        (&["--bytes-per-file=4KB", "-o", "{part}.csv"], "it is a size such as 100MiB or 2GiB"),
        (&["-o", "{part}.csv"], "holds {part}, which is for --rows-per-file, --bytes-per-file and --split"),
        (&["--rows-per-file=4", "-o", "{date}-{part}.csv", "--manifest", "--keep=3"], "makes several files, and keep is for one"),
        (&["--rows-per-file=4", "-o", "{part}.csv", "--for=duckdb", "--load-statement=x.sql"], "makes several files, and load_statement is for one"),
    ];
    for (args, problem) in cases {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
        let shown = run.args(*args).arg("SELECT 1").run().ended_with(2);
        assert!(shown.contains(problem), "{args:?}: {shown}");
    }
}

#[test]
fn a_dataset_leaves_the_files_of_others_alone() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let args = ["--rows-per-file=2"];
        // What has the name of a part is no part of a dataset.
        fs::write(folder.join("o-20261127.csv"), "mine").expect("a file");
        fs::write(folder.join("o-00009.csv"), "mine").expect("a file");
        std::os::unix::fs::symlink("o-20261127.csv", folder.join("o-00008.csv")).expect("a link");
        // What a killed run has left of a part, and what only looks so.
        for name in [
            ".o-00077.csv.abc123.gold_digger",
            ".o-00077.csv.manifest.json.abc123.gold_digger",
            ".p-00077.csv.abc123.gold_digger",
        ] {
            fs::write(folder.join(name), "x").expect("a file");
        }
        export(db, TEN, folder, "o-{part}.csv", &args).ended(0, "");
        fs::remove_file(folder.join(".p-00077.csv.abc123.gold_digger")).expect("that one stays");
        // It has been replaced since: its size is another one.
        fs::write(folder.join("o-00005.csv"), "mine").expect("a file");
        export(
            db,
            TEN,
            folder,
            "o-{part}.csv",
            &["--rows-per-file=4", "--bytes-per-file=1MiB"],
        )
        .ended(0, "");
        assert_eq!(
            file_names(folder),
            [
                "o-00001.csv",
                "o-00002.csv",
                "o-00003.csv",
                "o-00005.csv",
                "o-00008.csv",
                "o-00009.csv",
                "o-20261127.csv",
                "o-all.csv.dataset.json"
            ]
        );
        assert_eq!(read(folder, "o-20261127.csv"), "mine");

        // Sums that are not those of the files.
        let dataset = folder.join("o-all.csv.dataset.json");
        let whole = read(folder, "o-all.csv.dataset.json");
        for (from, to, problem) in [
            (
                "\"rows\": 10",
                "\"rows\": 11",
                "its numbers of rows and bytes are not those of its files",
            ),
            (
                "\"files\": [",
                "\"files\": [], \"old\": [",
                "it lists no file",
            ),
        ] {
            assert!(whole.contains(from), "{whole}");
            fs::write(&dataset, whole.replace(from, to)).expect("a file");
            let verified = GoldDigger::new().arg("verify").arg(&dataset).run();
            let found = String::from_utf8_lossy(&verified.stdout).into_owned();
            assert!(found.contains(problem), "{found}");
            verified.ended_with(7);
        }
    });
}

#[test]
fn files_that_may_get_one_name_are_refused_before_connecting() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let parts =
        "[[export]]\nname = 'all'\nsql = 'SELECT 1'\npath = 'o-{part}.csv'\nrows_per_file = 2\n";
    let another = |rest: &str| format!("[[export]]\nname = 'b'\nsql = 'SELECT 2'\n{rest}");
    let files = [
        (
            "c.toml",
            format!("{parts}{}", another("path = 'o-00002.csv'")),
        ),
        (
            "d.toml",
            format!("{}{parts}", another("path = 'o-00002.csv'\n")),
        ),
        (
            "e.toml",
            format!(
                "{parts}{}",
                another("path = 'o-1{part}.csv'\nrows_per_file = 2")
            ),
        ),
        ("o-00001.csv", parts.to_owned()),
        ("f.toml", format!("{parts}[run]\nstate = 'o-00003.csv'")),
        (
            "g.toml",
            format!(
                "{parts}{}",
                another("path = 'o-00002.csv.manifest.json'\nformat = 'csv'")
            ),
        ),
    ];
    for (name, text) in &files {
        fs::write(folder.join(name), text).expect("a file");
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
        let run = run.args(["--config", name]).current_dir(folder).run();
        let shown = run.ended_with(2);
        assert!(
            shown.contains("a file of the rows of all may get the name of")
                || shown.contains("a file of the rows of b may get the name of"),
            "{name}: {shown}"
        );
    }
    // What has as many digits as a day is never a number of a part.
    let day = format!("{parts}{}", another("path = 'o-20261127.csv'"));
    fs::write(folder.join("day.toml"), day).expect("a file");
    let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
    let run = run.args(["--config", "day.toml"]).current_dir(folder);
    run.run().ended_with(3);
    let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"o\xff-{part}.csv");
    let run = run.args(["--rows-per-file=2", "SELECT 1", "-o"]).arg(name);
    let shown = run.current_dir(folder).run().ended_with(2);
    assert!(shown.contains("their name is not UTF-8"), "{shown}");
}

#[test]
fn tables_whose_parts_may_get_one_name_are_refused() {
    on_a_server(|db| {
        db.sql("CREATE TABLE t (i INT)");
        db.sql("CREATE TABLE t1 (i INT)");
        let folder = tempfile::tempdir().expect("a folder");
        let run = |name: &str| {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            let run = run.args(["--tables=*", "--rows-per-file=2", "-o"]);
            run.arg(folder.path().join(name)).run()
        };
        run("{table}{part}.csv").failed(2, &["may get the name of one of the rows of"]);
        assert_eq!(file_names(folder.path()), [""; 0]);
        run("{table}-{part}.csv").ended(0, "");
        // Tables of two exports go to paths of their own.
        let lists = "[output]\npath = '{table}.csv'\n[[export]]\nname = 'a'\ntables = ['t']\n[[export]]\nname = 'b'\ntables = ['t1']\n";
        fs::write(folder.path().join("l.toml"), lists).expect("a file");
        let run = GoldDigger::new().env("DATABASE_URL", db.url());
        let run = run.args(["--config", "l.toml"]).current_dir(folder.path());
        run.run().ended_with(0);
        assert_eq!(read(folder.path(), "t1.csv"), "i\n");
        // The table is not called for the number.
        let sql = export(
            db,
            "SELECT 1 AS a",
            folder.path(),
            "o-{part}.sql",
            &["--rows-per-file=2"],
        );
        sql.ended(0, "");
        let text = read(folder.path(), "o-00001.sql");
        assert!(text.contains("INSERT INTO `o` "), "{text}");
    });
}
