//! Guards: a result that violates one is not published.

use std::fs;

use crate::support::{GoldDigger, each_server, on_a_server, poll_until, short_timeout};

const THREE_ROWS: &str = "SELECT 1 AS a, 2 AS b UNION ALL SELECT 3, 4 UNION ALL SELECT 5, 6";

#[test]
fn unexpected_results_are_not_published() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        for format in ["csv", "tsv", "json"] {
            let target = folder.path().join("x").with_extension(format);
            let summary = folder.path().join("summary.json");
            let export = |sql: &str, flags: &[&str]| {
                let run = db.export(sql).args(flags).arg("-o").arg(&target);
                run.arg("--summary").arg(&summary).run()
            };
            fs::write(&target, "as it was").expect("a file");
            for (flags, violation, rows) in [
                (&["--min-rows=4"][..], "there are 3 rows, fewer than 4", 3),
                (&["--max-rows=2"], "there are more than 2 rows", 3),
                (
                    &["--max-rows=0"],
                    "there are more than 0 rows; 1 row had come, and",
                    1,
                ),
                (
                    &["--expect-column=a"],
                    r#"column 2 is one too many: "b"; no row had come"#,
                    0,
                ),
                (
                    &["--expect-column=a", "--expect-column=c"],
                    r#"column 2 is "b", not "c"; no row had come"#,
                    0,
                ),
                (
                    &[
                        "--expect-column=a",
                        "--expect-column=b",
                        "--expect-column=c",
                    ],
                    r#"column 3 is missing: "c"; no row had come"#,
                    0,
                ),
            ] {
                let message = format!("a guard tripped: {violation}");
                export(THREE_ROWS, flags)
                    .failed(6, &[&message, " was not touched", "change the guard"]);
                assert_eq!(fs::read(&target).expect("the file"), b"as it was");
                let summary = fs::read_to_string(&summary).expect("the summary");
                let parts = ["\"kind\": \"guard\"", &format!("\"rows\": {rows},")];
                assert!(parts.iter().all(|part| summary.contains(part)), "{summary}");
            }
            // Without rows the run ends as an empty one, and the guard counts only if
            // an empty result is allowed.
            let none = "SELECT 1 AS a WHERE 1 = 0";
            export(none, &["--min-rows=1"]).ended_with(1);
            export(none, &["--min-rows=1", "--allow-empty"])
                .failed(6, &["there are 0 rows, fewer than 1"]);
            assert_eq!(fs::read(&target).expect("the file"), b"as it was");
            let all = [
                "--min-rows=3",
                "--max-rows=3",
                "--expect-column=a",
                "--expect-column=b",
            ];
            export(THREE_ROWS, &all).wrote("");
            assert!(fs::read(&target).expect("the file") != b"as it was");
        }
    });
}

#[test]
fn too_many_rows_end_the_query() {
    each_server(|db| {
        let sql = format!(
            "SELECT REPEAT('x', 1000) AS {} FROM information_schema.COLUMNS AS a, information_schema.COLUMNS AS b",
            db.name
        );
        let folder = tempfile::tempdir().expect("a folder");
        let run = db.export(&sql).args(["--max-rows", "1000", "-o"]);
        let outcome = run.arg(folder.path().join("x.csv")).run();
        let parts = ["more than 1000 rows; 1001 rows had come"];
        assert!(outcome.failed(6, &parts).elapsed < 5 * short_timeout());
        let killed = poll_until(short_timeout(), || {
            db.connections_running(&db.name).is_empty().then_some(())
        });
        killed.expect("the query is killed on the server");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    });
}

#[test]
fn guards_in_the_file_are_validated_before_the_run() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("x.toml");
        let write = |text: &str| fs::write(&config, text).expect("a file");
        let run = |flags: &[&str]| {
            let run = db.export(THREE_ROWS).arg("--config").arg(&config);
            run.args(flags).run()
        };
        write("[guards]\nmin_rows = 3\ncolumns = ['a', 'b']\n");
        run(&[]).wrote("a\tb\n1\t2\n3\t4\n5\t6\n");
        run(&["--min-rows", "9"]).failed(6, &["fewer than 9", "what was written is incomplete"]);
        run(&["--check"]).ended_with(0);
        run(&["--check", "--expect-column", "b"]).failed(6, &[r#"column 1 is "a", not "b""#]);
        write("[guards]\nmin_rows = 3\nmax_rows = 2\n");
        run(&[]).failed(
            2,
            &[
                "x.toml:2:12",
                "more than the 2 rows that there may be at most",
            ],
        );
        write("[guards]\nmin_rows = '3'\n");
        run(&[]).failed(2, &["x.toml:2:12", "is a number"]);
        GoldDigger::new()
            .args(["--min-rows", "-1", "SELECT 1"])
            .run()
            .ended_with(2);
    });
}
