//! Sizes and surroundings at their limits: rows, columns, statements, memory,
//! clocks, and folders for temporary files.

use std::{fs, time::Instant};

use super::{Cell, To, is_full, kinds, slow_query};
use crate::support::{GoldDigger, each_server};

#[test]
fn ten_million_rows_fit_into_64_mib() {
    each_server(|db| {
        let rows = 10_000_000;
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   SELECT a.i, b.i AS j, c.i AS k FROM n AS a, n AS b, n AS c WHERE c.i <= 10";
        let count = if is_full() { 12 } else { 1 };
        // The binary protocol, and a file, first.
        for kind in kinds()
            .filter(|kind| kind.to == To::File)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .take(count)
        {
            let cell = Cell::new(kind);
            // Address space, of which memory in use is a part.
            let limited = GoldDigger::within(&["sh", "-c", "ulimit -v 65536 && exec \"$@\"", "sh"]);
            let run = limited.env("DATABASE_URL", db.url()).arg(sql);
            cell.run(run).wrote("");
            let summary = fs::read_to_string(cell.summary()).expect("the summary");
            assert!(summary.contains(&format!("\"rows\": {rows},")), "{summary}");
        }
    });
}

#[test]
fn values_that_the_server_cannot_make_are_errors() {
    each_server(|db| {
        // Both servers make it NULL, with a warning.
        let sql = "SELECT 1 AS a UNION ALL SELECT REPEAT('x', @@max_allowed_packet + 1)";
        for cell in Cell::all() {
            let run = cell.run(db.export(sql));
            let parts = ["made a value NULL that is too long", "max_allowed_packet"];
            assert_eq!(cell.failed(run, 4, &parts), 2);
        }
        // One that is cut is told.
        let cut = "SELECT GROUP_CONCAT(REPEAT('x', 40)) AS a";
        let outcome = db
            .export(cut)
            .args(["--init", "SET SESSION group_concat_max_len = 10"])
            .run();
        assert_eq!(outcome.stdout, b"a\nxxxxxxxxxx\n");
        let said = outcome.ended_with(0);
        assert!(
            said.starts_with("gold_digger: warning: the server has cut a value (")
                && said.contains("group_concat_max_len"),
            "{said}"
        );
    });
}

/// More than the protocol lets a client take.
#[test]
fn a_row_of_more_than_a_gibibyte_is_an_error() {
    each_server(|db| {
        let sql = "SELECT REPEAT('x', 600000000) AS x, REPEAT('y', 600000000) AS y";
        let count = if is_full() { 12 } else { 1 };
        for cell in Cell::all().iter().rev().take(count) {
            let run = cell.run(db.export(sql));
            assert_eq!(cell.failed(run, 4, &["longer than 1 GiB", "SUBSTRING"]), 0);
        }
    });
}

#[test]
fn a_thousand_columns_of_the_longest_names() {
    each_server(|db| {
        // Three bytes a letter, 64 letters: the longest that there are.
        let names: Vec<String> = (0..1000)
            .map(|number| format!("{number:04}{}", "東".repeat(60)))
            .collect();
        let columns: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(number, name)| format!("{number} AS `{name}`"))
            .collect();
        let sql = format!("SELECT {}", columns.join(", "));
        let numbers: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        for cell in Cell::all() {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            let run = run.args(["--query-file", "-"]).stdin(sql.as_str());
            cell.run(run).wrote("");
            let text = String::from_utf8(cell.written()).expect("UTF-8");
            let separated = |separator: &str| {
                format!("{}\n{}\n", names.join(separator), numbers.join(separator))
            };
            match cell.kind.format {
                "csv" => assert_eq!(text, separated(",")),
                "tsv" => assert_eq!(text, separated("\t")),
                _ => {
                    let fields = names
                        .iter()
                        .zip(&numbers)
                        .map(|(name, number)| format!("\"{name}\":{number}"));
                    assert_eq!(
                        text,
                        format!("[\n{{{}}}\n]\n", fields.collect::<Vec<_>>().join(","))
                    );
                }
            }
        }
    });
}

#[test]
fn statements_are_of_any_length_and_never_nothing() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("long.sql");
        let length = 10 << 20;
        fs::write(
            &path,
            format!(
                "SELECT LENGTH('{}') AS a -- the end",
                "é".repeat(length / 2)
            ),
        )
        .expect("a file");
        for cell in Cell::all() {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            cell.run(run.arg("--query-file").arg(&path)).wrote("");
            assert!(String::from_utf8_lossy(&cell.written()).contains(&length.to_string()));
        }
        for (bytes, parts) in [
            (&b""[..], ["holds no statement", "give one query"]),
            (b" -- nothing\n;", ["holds no statement", "give one query"]),
            (b"SELECT '\xe4'", ["not UTF-8 (byte 8)", "save it as UTF-8"]),
            (
                b"\xff\xfeS\0E\0L\0",
                ["not UTF-8 (byte 0)", "save it as UTF-8"],
            ),
        ] {
            fs::write(&path, bytes).expect("a file");
            let run = || GoldDigger::new().env("DATABASE_URL", db.url());
            run().arg("--query-file").arg(&path).run().failed(2, &parts);
            run()
                .args(["--query-file", "-"])
                .stdin(bytes)
                .run()
                .failed(2, &parts);
        }
    });
}

#[test]
fn statements_without_columns_are_errors() {
    each_server(|db| {
        db.sql("CREATE PROCEDURE p() BEGIN END");
        for cell in Cell::all() {
            for sql in ["DO 1", "SET @a = 1", "CALL p()"] {
                let said = cell.run(db.export(sql)).ended_with(4);
                assert!(said.contains("no result set"), "{said}");
                cell.is_untouched();
            }
            // A column without a name is one.
            cell.run(db.export("SELECT 1 AS ``")).wrote("");
            let written = match cell.kind.format {
                "csv" => "\"\"\n1\n",
                "tsv" => "\n1\n",
                _ => "[\n{\"\":1}\n]\n",
            };
            assert_eq!(String::from_utf8_lossy(&cell.written()), written);
            let _ = fs::write(cell.target(), super::EARLIER);
        }
    });
}

#[test]
fn clocks_may_jump() {
    each_server(|db| {
        for (jump, kind) in ["-2d", "+2d"].iter().cycle().zip(kinds()) {
            let cell = Cell::new(kind);
            let clock = cell.folder.path().join("clock");
            fs::write(&clock, "+0").expect("a file");
            let run = GoldDigger::within(&["faketime", "-m", "-f", "+0"])
                .env("FAKETIME_TIMESTAMP_FILE", &clock)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
                .env("DATABASE_URL", db.url())
                .args(["--read-timeout", "30s", "--statement-timeout", "30s"]);
            let started = Instant::now();
            let run = cell.start(run.arg(slow_query(&db.name, 6)));
            cell.wait_for_rows();
            fs::write(&clock, jump).expect("a file");
            run.wait().wrote("");
            fs::remove_file(&clock).expect("it can go");
            let summary = fs::read_to_string(cell.summary()).expect("the summary");
            let summary: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
            let took = summary["elapsed_seconds"].as_f64().expect("a number");
            assert!(
                took > 0.3 && took < started.elapsed().as_secs_f64(),
                "{took}"
            );
        }
    });
}

#[test]
fn no_folder_for_temporary_files_is_needed() {
    each_server(|db| {
        for cell in Cell::all() {
            let run = db
                .export("SELECT 1 AS a")
                .env("TMPDIR", "/nowhere")
                .env("HOME", "/nowhere");
            cell.run(run).wrote("");
            assert!(cell.written().contains(&b'1'));
        }
    });
}
