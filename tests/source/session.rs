//! Settings of the server that would change which rows an export has.

use std::fs;

use serde_json::Value;

use crate::support::{Database, GlobalVariable, each_server, each_server_alone};

/// Makes a table `t` of 5,000 rows.
fn make_table(db: &Database) {
    db.sql("CREATE TABLE t (i INT NOT NULL) ENGINE = InnoDB");
    db.sql(
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         SELECT a.i FROM n AS a, n AS b WHERE b.i <= 50",
    );
}

#[test]
fn a_row_limit_of_the_server_is_lifted() {
    each_server_alone(|db| {
        make_table(db);
        for limit in ["1000", "2", "0"] {
            let _limit = GlobalVariable::set(db, "sql_select_limit", limit);
            for (format, extra_lines) in [("csv", 1), ("tsv", 1), ("json", 2)] {
                for protocol in ["binary", "text"] {
                    let run = db.export("SELECT i FROM t");
                    let flags = [
                        format!("--format={format}"),
                        format!("--protocol={protocol}"),
                    ];
                    let outcome = run.args(flags).run().ended(0, "");
                    let lines = outcome.stdout.split(|byte| *byte == b'\n').count() - 1;
                    assert_eq!(
                        lines,
                        5000 + extra_lines,
                        "{format} over {protocol}, {limit}"
                    );
                }
            }
            // The program's own questions are not limited either.
            let folder = tempfile::tempdir().expect("a folder");
            let summary = folder.path().join("summary.json");
            let run = db.export("SELECT i FROM t").arg("--summary").arg(&summary);
            run.arg("--tls=required").run().ended(0, "");
            let summary = fs::read(summary).expect("a summary");
            let summary: Value = serde_json::from_slice(&summary).expect("JSON");
            for field in ["server_version", "time_zone"] {
                let text = summary[field].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{field}, limit {limit}: {summary}");
            }
        }
    });
}

#[test]
fn a_row_limit_of_init_is_for_the_query_alone() {
    each_server(|db| {
        make_table(db);
        for protocol in ["--protocol=binary", "--protocol=text"] {
            let folder = tempfile::tempdir().expect("a folder");
            let summary = folder.path().join("summary.json");
            let run = db.export("SELECT i FROM t").arg("--summary").arg(&summary);
            let init = "SET SESSION sql_select_limit = 1";
            let run = run.args(["--init", init, "--time-zone=+01:00", protocol]);
            run.run().wrote("i\n1\n");
            let summary = fs::read(summary).expect("a summary");
            let summary: Value = serde_json::from_slice(&summary).expect("JSON");
            let version = summary["server_version"].as_str().unwrap_or_default();
            assert!(!version.is_empty(), "{summary}");
            assert_eq!(summary["time_zone"], "+01:00");
        }
    });
}
