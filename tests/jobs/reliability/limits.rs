//! Extreme sizes and environments: rows, columns, statements, memory, clocks, and
//! folders for temporary files.

use std::{fs, path::Path, time::Instant};

use serde_json::Value;

use super::{Case, Output, StalledQuery, is_full, run_with_fault};
use crate::support::{GoldDigger, each_server, on_a_server, short_timeout};

#[test]
fn ten_million_rows_fit_into_64_mib() {
    each_server(|db| {
        let rows = 10_000_000;
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   SELECT a.i, b.i AS j, c.i AS k FROM n AS a, n AS b, n AS c WHERE c.i <= 10";
        let count = if is_full() { 12 } else { 1 };
        // The short run tests the first case: binary rows to a file.
        let mut cases = Case::all();
        cases.sort_by_key(|case| (case.variant.output == Output::Stdout, case.variant.protocol));
        for case in &cases[..count] {
            // The limit is for the address space, of which the memory in use is a part.
            let limited =
                GoldDigger::wrapped_in(&["sh", "-c", "ulimit -v 65536 && exec \"$@\"", "sh"]);
            let run = limited.env("DATABASE_URL", db.url()).arg(sql);
            case.run(run).wrote("");
            assert_eq!(case.summary()["rows"], rows);
            let written = case.output_bytes();
            let lines = written.iter().filter(|byte| **byte == b'\n').count();
            // CSV and TSV have a header line, JSON two lines with brackets.
            let extra_lines = match case.variant.format {
                "json" => 2,
                "ndjson" => 0,
                _ => 1,
            };
            assert_eq!(lines, rows + extra_lines);
        }
    });
}

#[test]
fn values_that_the_server_cannot_build_are_errors() {
    each_server(|db| {
        // Both servers return NULL for such a value, with a warning.
        let sql = "SELECT 1 AS a UNION ALL SELECT REPEAT('x', @@max_allowed_packet + 1)";
        for case in Case::all() {
            let run = case.run(db.export(sql));
            let parts = ["made a value NULL that is too long", "max_allowed_packet"];
            assert_eq!(case.assert_failed(run, 4, &parts), 2);
        }
        // The warning comes after more warnings than the servers keep by default.
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                    SELECT CAST(CONCAT(i, 'x') AS SIGNED) AS i, 1 AS a FROM n UNION ALL
                    SELECT 1, REPEAT('x', @@max_allowed_packet + 1)";
        let parts = ["made a value NULL that is too long", "1001 rows had come"];
        db.export(many).run().failed(4, &parts);
    });
}

/// The protocol does not let a client receive a larger row.
#[test]
fn a_row_of_more_than_a_gibibyte_is_an_error() {
    each_server(|db| {
        let sql = "SELECT REPEAT('x', 600000000) AS x, REPEAT('y', 600000000) AS y";
        let count = if is_full() { 12 } else { 1 };
        for case in Case::all().iter().rev().take(count) {
            let run = case.run(db.export(sql));
            assert_eq!(
                case.assert_failed(run, 4, &["longer than 1 GiB", "SUBSTRING"]),
                0
            );
        }
    });
}

#[test]
fn a_thousand_columns_with_the_longest_names_are_exported() {
    on_a_server(|db| {
        // The longest names have 64 characters, each of three bytes.
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
        for case in Case::all() {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            let run = run.args(["--query-file", "-"]).stdin(sql.as_str());
            case.run(run).wrote("");
            let text = String::from_utf8(case.output_bytes()).expect("UTF-8");
            let separated = |separator: &str| {
                format!("{}\n{}\n", names.join(separator), numbers.join(separator))
            };
            match case.variant.format {
                "csv" => assert_eq!(text, separated(",")),
                "tsv" => assert_eq!(text, separated("\t")),
                format => {
                    let fields = names
                        .iter()
                        .zip(&numbers)
                        .map(|(name, number)| format!("\"{name}\":{number}"));
                    let object = format!("{{{}}}\n", fields.collect::<Vec<_>>().join(","));
                    let lines = ["[\n", "]\n"].map(|line| if format == "json" { line } else { "" });
                    assert_eq!(text, lines[0].to_owned() + &object + lines[1]);
                }
            }
        }
    });
}

#[test]
fn statements_may_have_any_length_but_not_be_empty() {
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
        for case in Case::all() {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            case.run(run.arg("--query-file").arg(&path)).wrote("");
            assert!(String::from_utf8_lossy(&case.output_bytes()).contains(&length.to_string()));
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
fn a_column_may_have_no_name() {
    on_a_server(|db| {
        for case in Case::all() {
            case.run(db.export("SELECT 1 AS ``")).wrote("");
            let written = match case.variant.format {
                "csv" => "\"\"\n1\n",
                "tsv" => "\n1\n",
                "ndjson" => "{\"\":1}\n",
                _ => "[\n{\"\":1}\n]\n",
            };
            assert_eq!(String::from_utf8_lossy(&case.output_bytes()), written);
        }
    });
}

#[test]
fn exports_survive_jumps_of_the_clock() {
    // The `faketime` command is not used, because it sets the clock only once.
    let faked = |run: GoldDigger, clock: &Path| {
        run.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1")
            .env("FAKETIME_TIMESTAMP_FILE", clock)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    };
    on_a_server(|db| {
        for (jump, days) in [("-2d", -2), ("+2d", 2)] {
            let clocks = tempfile::tempdir().expect("a folder");
            let clock = clocks.path().join("clock");
            fs::write(&clock, "+0").expect("a file");
            let stalled = StalledQuery::with_pace(db, "SLEEP(0.1)");
            let export = || {
                let run = stalled.export(db);
                faked(run, &clock).args(["--read-timeout", "30s"])
            };
            let started = Instant::now();
            let cases = Case::all();
            let (outcomes, _) = run_with_fault(&cases, export, 2 * short_timeout(), |_| {
                fs::write(&clock, jump).expect("a file");
                stalled.release();
            });
            for (case, outcome) in cases.iter().zip(outcomes) {
                outcome.wrote("");
                assert_eq!(case.count_long_values(), 7);
                let took = case.summary()["elapsed_seconds"].as_f64();
                let took = took.expect("a number");
                assert!(
                    took > 0.3 && took < started.elapsed().as_secs_f64(),
                    "{took}"
                );
            }
            // The summary shows that the clock has jumped.
            let summary = clocks.path().join("summary.json");
            let run = faked(db.export("SELECT 1"), &clock);
            run.arg("--summary").arg(&summary).run().wrote("1\n1\n");
            let summary = fs::read_to_string(summary).expect("the summary");
            let summary: Value = serde_json::from_str(&summary).expect("JSON");
            let started = summary["started"].as_str().expect("a time");
            let started: jiff::Timestamp = started.parse().expect("a time");
            let hours = started.duration_since(jiff::Timestamp::now()).as_hours();
            assert!((hours - days * 24).abs() <= 1, "{hours}");
        }
    });
}

#[test]
fn no_folder_for_temporary_files_is_needed() {
    on_a_server(|db| {
        for case in Case::all() {
            let expected = Case::new(case.variant);
            expected.run(db.export("SELECT 1 AS a")).wrote("");
            // Nobody can write to the second folder, not even root.
            for folder in ["/nowhere", "/proc"] {
                let run = db.export("SELECT 1 AS a").env("TMPDIR", folder);
                case.run(run.env("HOME", folder)).wrote("");
                assert_eq!(case.output_bytes(), expected.output_bytes());
            }
        }
    });
}
