//! What the name of the output says about its format, and what may be in its place.

use std::fs;

use serde_json::Value;

use crate::support::{GoldDigger, on_a_server};

/// Calls the program with the URL of a server that cannot be reached: exit code 2
/// shows that it did not connect.
fn unreachable_server() -> GoldDigger {
    GoldDigger::new().env("DATABASE_URL", "mysql://me@127.0.0.1:1/db")
}

#[test]
fn a_name_whose_extension_no_format_has_exits_2() {
    let known = "there are .csv, .tsv, .txt, .json, .ndjson, .jsonl, .sql, .md, .markdown, .parquet, .arrow, .feather, .ipc, .arrows and .xlsx; texts also with .gz, .zst or .lz4 behind; with --format, the file may have any name\n";
    for (name, message) in [
        (
            "x.avro",
            format!("avro, which is no format's extension\n  hint: {known}"),
        ),
        (
            "x.sqlite",
            format!("sqlite, which is no format's extension\n  hint: {known}"),
        ),
        (
            "x.json.ODS.1",
            format!("ODS, which is no format's extension\n  hint: {known}"),
        ),
        (
            "x.json.bz2",
            "bz2, and nothing is compressed so here
  hint: write FILE.json.zst, or pipe it, `gold_digger --format json … | bzip2 > FILE.bz2`
"
            .to_owned(),
        ),
        (
            "x.xz",
            "xz, and nothing is compressed so here
  hint: write FILE.csv.zst, or pipe it, `gold_digger --format csv … | xz > FILE.xz`
"
            .to_owned(),
        ),
        (
            "x.tsv.zip",
            "zip, and nothing is compressed so here
  hint: write FILE.tsv.gz or FILE.tsv.zst
"
            .to_owned(),
        ),
    ] {
        let run = || unreachable_server().arg("SELECT 1");
        let expected = format!("gold_digger: --output ends in .{message}");
        run().args(["-o", name]).run().ended(2, &expected);
        let expected = expected.replace("--output", "OUTPUT_FILE");
        run().env("OUTPUT_FILE", name).run().ended(2, &expected);
        // Whoever names the format may choose the name.
        run()
            .args(["--format", "csv", "-o", name])
            .args(["--dump-config"])
            .run()
            .ended(0, "");
    }
}

#[test]
fn an_extension_that_a_parameter_makes_is_checked_once_expanded() {
    for (template, parameter, wanted) in [
        (
            "x.{e}",
            "e=avro",
            Err(".avro, which is no format's extension"),
        ),
        (
            "x.{e}.1",
            "e=ORC",
            Err(".ORC, which is no format's extension"),
        ),
        (
            "x.csv.{e}",
            "e=bz2",
            Err(".bz2, and nothing is compressed so here"),
        ),
        (
            "x.a{e}",
            "e=vro",
            Err(".avro, which is no format's extension"),
        ),
        (
            "x.{e}",
            "e=tar.zst",
            Err(".tar, which is no format's extension"),
        ),
        ("x.{e}", "e=json", Ok("json")),
        ("x.{e}", "e=json.gz", Ok("json")),
        ("x.{e}.1", "e=csv", Ok("csv")),
        ("x.{e}", "e=shop", Ok("tsv")),
        ("x.{database}-{e}", "e=1", Ok("tsv")),
    ] {
        let run = unreachable_server().args(["-o", template, "--param", parameter]);
        let outcome = run.args(["--dump-config", "SELECT 1"]).run();
        match wanted {
            Err(message) => drop(outcome.failed_with_any_length(2, &[message])),
            Ok(format) => {
                let shown = outcome.ended(0, "").stdout;
                let shown: serde_json::Value = serde_json::from_slice(&shown).expect("JSON");
                assert_eq!(
                    shown["output"]["format"]["value"], format,
                    "{template} {parameter}"
                );
            }
        }
    }
    let run = GoldDigger::new().env("DATABASE_URL", "mysql://me@127.0.0.1:1/ods");
    let run = run.args(["-o", "x.{database}", "SELECT 1"]).run();
    run.failed_with_any_length(2, &[".ods, which is no format's extension"]);
}

/// Both servers allow databases with such names.
#[test]
fn a_database_whose_name_leads_to_another_folder_exits_2() {
    for (database, problem) in [
        ("..", "leads to another folder"),
        (".", "leads to another folder"),
        ("../x", "holds a /"),
    ] {
        let run = unreachable_server().args(["SELECT 1", "--database", database]);
        let run = run.args(["-o", "/nowhere/{database}/x.csv"]).run();
        run.failed(2, &["takes in {database} a value that ", problem]);
    }
}

#[test]
fn a_url_is_no_path() {
    for (flag, url) in [
        ("--output", "redis://shop/x.csv"),
        ("--summary", "s3://shop/x.csv"),
        ("--query-file", "s3://shop/x.csv"),
    ] {
        let run = unreachable_server().args([flag, url]);
        let what = "it is a URL, and the path of a file is needed";
        run.run()
            .failed_with_any_length(2, &[&format!("'{url}'"), flag, what]);
    }
}

#[test]
fn names_that_look_like_accounts_are_shown_as_they_are() {
    on_a_server(|server| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let run = || {
            server
                .export("SELECT 'a' AS `c:d@e`")
                .current_dir(folder.path())
        };
        let name = "r-12:30@host.csv";
        let args = [
            "-v",
            "-o",
            name,
            "--for",
            "duckdb",
            "--manifest",
            "--summary",
            "s:1@t.json",
        ];
        let stderr = run().args(args).run().ended_with(0);
        assert!(stderr.contains("'r-12:30@host.csv'"), "{stderr}");
        let summary = fs::read_to_string(path("s:1@t.json")).expect("a summary");
        let summary: Value = serde_json::from_str(&summary).expect("JSON");
        assert_eq!(
            (&summary["target"], &summary["columns"][0]["name"]),
            (&name.into(), &"c:d@e".into())
        );
        let verify = GoldDigger::new()
            .current_dir(folder.path())
            .args(["verify", name])
            .run();
        verify
            .ended(0, "")
            .wrote("r-12:30@host.csv: OK (1 row, 8 bytes)\n");
        run()
            .args(["--expect-column", "c:e@e"])
            .run()
            .failed(6, &["column 1 is \"c:d@e\", not \"c:e@e\""]);
        fs::write(path("j.toml"), "[[export]]\nname = 'a'\nsql = 'SELECT 1'\npath = '{p}'\nparams = { p = 'p:1@q.csv' }\n").expect("a file");
        let list = unreachable_server().current_dir(folder.path()).args([
            "--config",
            "j.toml",
            "--list-jobs",
        ]);
        list.run().ended(0, "").wrote("a  p:1@q.csv\n");
    });
}
