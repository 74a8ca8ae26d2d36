//! Runs of many exports: which exports run, how they end together, and what is
//! reported about them.

use std::{fs, path::PathBuf};

use mysql::prelude::Queryable;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::{
    Database, GoldDigger, Outcome, assert_as_schema, at_terminal, each_server, file_names,
    on_a_server, wait_until,
};

mod coverage;
mod endings;
mod files;
mod mistakes;
mod snapshots;
mod stale_manifests;
mod variables;

/// A configuration file that lists exports, in a folder of its own.
struct ExportFile<'a> {
    db: &'a Database<'a>,
    folder: TempDir,
}

impl<'a> ExportFile<'a> {
    fn new(db: &'a Database<'a>, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("nightly.toml"), config).expect("a file");
        Self { db, folder }
    }

    /// Lists one export to NAME.csv for each pair of a name and a query.
    fn with_queries(db: &'a Database<'a>, head: &str, queries: &[(&str, &str)]) -> Self {
        let export = |(name, sql): &(&str, &str)| {
            format!("[[export]]\nname = '{name}'\nsql = \"{sql}\"\npath = '{name}.csv'\n")
        };
        let exports: String = queries.iter().map(export).collect();
        Self::new(db, &format!("{head}\n{exports}"))
    }

    fn replace_in_config(&self, from: &str, to: &str) {
        let path = self.path("nightly.toml");
        let config = fs::read_to_string(&path).expect("a file");
        fs::write(path, config.replace(from, to)).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> GoldDigger {
        self.run_wrapped_in(&[], args)
    }

    fn run_wrapped_in(&self, wrapper: &[&str], args: &[&str]) -> GoldDigger {
        GoldDigger::wrapped_in(wrapper)
            .env("DATABASE_URL", self.db.url())
            .arg("--config")
            .arg(self.path("nightly.toml"))
            .args(args)
    }

    /// Runs the exports and returns the outcome and the summary, whose file is removed.
    fn run_with_summary(&self, args: &[&str]) -> (Outcome, Json) {
        let summary = self.path("summary.json");
        let outcome = self.run(args).arg("--summary").arg(&summary).run();
        let text = fs::read(&summary).expect("the summary");
        fs::remove_file(summary).expect("it is there");
        let summary = serde_json::from_slice(&text).expect("JSON");
        assert_as_schema("summary", &summary);
        (outcome, summary)
    }

    /// Runs the exports and does `work` while one of them executes [`waiting_query`].
    fn run_while_waiting(&self, args: &[&str], work: impl FnOnce()) -> Outcome {
        let db = self.db;
        let mut conn = db.connect();
        let lock = format!("DO GET_LOCK('{}', 0)", db.name);
        conn.query_drop(lock).expect("a lock");
        let run = self.run(args).start();
        wait_until("it waits", || !db.connections_waiting(&db.name).is_empty());
        work();
        conn.query_drop("DO RELEASE_ALL_LOCKS()")
            .expect("its locks");
        run.wait()
    }

    #[track_caller]
    fn assert_file(&self, name: &str, text: &str) {
        let found = fs::read_to_string(self.path(name)).ok();
        assert_eq!(found.as_deref(), Some(text), "{name}");
    }

    fn file_names(&self) -> Vec<String> {
        file_names(self.folder.path())
    }
}

/// Returns a query that waits for a lock that the test holds.
fn waiting_query(db: &Database) -> String {
    format!("SELECT GET_LOCK('{}', 60) AS a", db.name)
}

/// Returns the name, the status and the exit code of each export.
fn statuses(summary: &Json) -> Vec<String> {
    let exports = summary["exports"].as_array().expect("an array");
    let describe = |export: &Json| {
        let text = |key: &str| export[key].as_str().expect("a text").to_owned();
        format!(
            "{} {} {}",
            text("name"),
            text("status"),
            export["exit_code"]
        )
    };
    exports.iter().map(describe).collect()
}

#[test]
fn the_exports_of_the_file_run_in_order_or_by_name() {
    each_server(|db| {
        let exports = ExportFile::new(
            db,
            r#"
            [csv]
            delimiter = ";"
            [[export]]
            name = "daily-a"
            sql = "SELECT :one AS a, 'x' AS b"
            params = { one = 1 }
            path = "{database}-a.csv"
            [[export]]
            name = "daily-b"
            file = "b.sql"
            path = "b.out"
            format = "tsv"
            header = false
            [[export]]
            name = "weekly"
            sql = "SELECT NULL AS n, :one AS one"
            path = "c.json"
            params.one = "2"
            [export.json]
            root = "rows"
            "#,
        );
        fs::write(exports.path("b.sql"), "SELECT 'y' AS z").expect("a file");
        let a = format!("{}-a.csv", db.name);
        exports.run(&[]).run().wrote("");
        exports.assert_file(&a, "a;b\n1;x\n");
        exports.assert_file("b.out", "y\n");
        exports.assert_file("c.json", "{\"rows\":[\n{\"n\":null,\"one\":\"2\"}\n]}\n");

        let target = |name: &str| exports.path(name).display().to_string();
        let listed = format!(
            "daily-a  {}\ndaily-b  {}\nweekly   {}\n",
            target(&a),
            target("b.out"),
            target("c.json")
        );
        exports.run(&["--list-jobs"]).run().wrote(&listed);
        for (jobs, ran) in [
            (&["--job", "daily-*"][..], &[a.as_str(), "b.out"][..]),
            (&["--job", "weekly", "--job", "daily-a"], &[&a, "c.json"]),
            (&["--job", "?eekly"], &["c.json"]),
        ] {
            for file in [a.as_str(), "b.out", "c.json"] {
                let _ = fs::remove_file(exports.path(file));
            }
            exports.run(jobs).run().wrote("");
            let mut files = exports.file_names();
            files.retain(|name| name != "nightly.toml" && name != "b.sql");
            assert_eq!(files.len(), ran.len(), "{files:?}");
            assert!(ran.iter().all(|name| files.iter().any(|file| file == name)));
        }
        // A parameter from the command line goes to each export that uses it.
        exports.run(&["--param", "one=7"]).run().wrote("");
        exports.assert_file(&a, "a;b\n7;x\n");
        // A query on the command line runs alone, with the settings of the file.
        exports
            .run(&["--format", "csv", "SELECT 1 AS a, 2 AS b"])
            .run()
            .wrote("a;b\n1;2\n");
        let dump = exports.run(&["--dump-config"]).run().ended(0, "");
        let dump: Json = serde_json::from_slice(&dump.stdout).expect("JSON");
        let export = &dump["exports"]["daily-b"];
        assert_eq!(export["query"]["sql"]["value"], "SELECT 'y' AS z");
        assert_eq!(export["tsv"]["header"]["value"], false);
        assert_eq!(dump["exports"]["daily-a"]["tsv"]["header"]["value"], true);
        let check = exports.run(&["--check"]).run().ended(0, "");
        let check = String::from_utf8(check.stdout).expect("UTF-8");
        assert!(check.starts_with("daily-a\nserver "), "{check}");
        assert_eq!(check.matches("\ntarget ").count(), 3, "{check}");
    });
}

#[test]
fn a_check_says_which_exports_would_fail() {
    each_server(|db| {
        let queries = [
            ("one", "SELECT 1 AS a"),
            ("two", "SELECT nowhere AS a"),
            ("three", "SELECT 3 AS a"),
        ];
        let exports = ExportFile::with_queries(db, "[run]\nsnapshot = true", &queries);
        exports.replace_in_config("three.csv", "nowhere/three.csv");
        let outcome = exports.run(&["--check"]).run();
        let parts = ["2 of 3 exports would fail: two, three"];
        let outcome = outcome.failed(4, &parts);
        let report = String::from_utf8(outcome.stdout).expect("UTF-8");
        assert!(
            report.starts_with("snapshot  one for 1 connection\n\none\nserver "),
            "{report}"
        );
        for part in ["two\nfails  ", "its folder is missing"] {
            assert!(report.contains(part), "{report}");
        }
        assert_eq!(exports.file_names(), ["nightly.toml"]);
    });
}

#[test]
fn exports_run_in_parallel_and_show_their_progress() {
    on_a_server(|db| {
        let waiting = waiting_query(db);
        let queries = [("one", &*waiting), ("two", &*waiting)];
        let exports = ExportFile::with_queries(db, "[run]\nconnections = 2", &queries);
        let outcome = exports.run_while_waiting(&[], || {
            wait_until("both wait", || db.connections_waiting(&db.name).len() == 2);
        });
        outcome.wrote("");

        let queries = [
            ("one", "SELECT 1 AS a, SLEEP(2) AS b"),
            ("two", "SELECT 2 AS a, SLEEP(2) AS b"),
            ("three", "SELECT 3 AS a"),
        ];
        let exports = ExportFile::with_queries(db, "[run]\nconnections = 2", &queries);
        let command = format!(
            "DATABASE_URL='{}' {} --config {}",
            db.url(),
            env!("CARGO_BIN_EXE_gold_digger"),
            exports.path("nightly.toml").display()
        );
        let shown = at_terminal(&command, None);
        for line in [
            "one: 0 rows, 0 B, 0 rows/s, 0:0",
            "two: 0 rows",
            "total: 0 of 3 exports, 0 rows",
            "three: 1 row, 4 bytes to ",
            "3 exports, 3 rows, 20 bytes in ",
        ] {
            assert!(shown.contains(line), "{line:?} is not in {shown:?}");
        }
    });
}

#[test]
fn guards_compare_with_the_last_success() {
    each_server(|db| {
        db.sql("CREATE TABLE t (a INT, b VARCHAR(9))");
        let fill = |rows: u32| {
            db.sql("DELETE FROM t");
            let rows: Vec<String> = (0..rows).map(|row| format!("({row}, 'x')")).collect();
            if !rows.is_empty() {
                db.sql(&format!("INSERT INTO t VALUES {}", rows.join(",")));
            }
        };
        let head = "[output]\nallow_empty = true\n[guards]\nmax_change = '20%'\nschema = 'pinned'\n[run]\nstate = 'state.json'";
        let exports = ExportFile::with_queries(
            db,
            head,
            &[("t", "SELECT * FROM t"), ("u", "SELECT 1 AS a")],
        );
        let run = || exports.run(&[]).run();
        let stored_rows = || -> Json {
            let state = fs::read(exports.path("state.json")).expect("the state");
            let state: Json = serde_json::from_slice(&state).expect("JSON");
            state["exports"]["t"]["rows"].clone()
        };
        // The first result is always accepted, and so is any result after no rows.
        fill(0);
        run().ended(0, "");
        fill(10);
        run().ended(0, "");
        for (rows, code) in [(12, 0), (9, 6), (15, 6), (10, 0), (0, 6), (8, 0)] {
            fill(rows);
            let outcome = run();
            if code == 0 {
                outcome.ended(0, "");
                assert_eq!(stored_rows(), rows);
            } else {
                let before = stored_rows();
                let message = format!("t: a guard tripped: there are {rows} rows, over 20% ");
                let stderr = outcome.ended_with(6);
                assert!(
                    stderr.contains(&message)
                        && stderr.contains(&format!("than the {before} of last time")),
                    "{stderr}"
                );
                assert!(
                    stderr.contains("remove the export's entry from the state file"),
                    "{stderr}"
                );
                assert_ne!(before, rows);
            }
        }
        // A query on the command line is not compared and does not change the state file.
        let state = fs::read(exports.path("state.json")).expect("the state");
        exports
            .run(&["SELECT 1 AS a UNION SELECT 2"])
            .run()
            .wrote("a\n1\n2\n");
        assert_eq!(
            fs::read(exports.path("state.json")).expect("the state"),
            state
        );
        db.sql("ALTER TABLE t MODIFY a BIGINT, ADD c INT");
        run().failed_with_any_length(
            6,
            &[r#"t: a guard tripped: column 1 is "a" BIGINT and was "a" INT; no row had come"#],
        );
        db.sql("ALTER TABLE t MODIFY a INT");
        run().failed_with_any_length(6, &[r#"column 3 is new: "c" INT"#]);
        db.sql("ALTER TABLE t DROP c, DROP b");
        run().failed_with_any_length(6, &[r#"column 2 has gone: "b" VARCHAR(9)"#]);
        // A state file that cannot be read ends the run; a missing one does not.
        fs::write(exports.path("state.json"), "{").expect("a file");
        run().failed(2, &["cannot read the state file"]);
        fs::remove_file(exports.path("state.json")).expect("a file");
        run().ended(0, "");
    });
}

#[test]
fn a_state_that_cannot_be_written_is_reported() {
    on_a_server(|db| {
        let waiting = waiting_query(db);
        let queries = [("a", waiting.as_str()), ("b", "SELECT nowhere")];
        let exports = ExportFile::with_queries(db, "[run]\nstate = 'kept/state.json'", &queries);
        let missing = ["cannot keep the state in ", "its folder is missing"];
        exports.run(&[]).run().failed(2, &missing);
        for (jobs, code) in [(&["--job", "a"][..], 5), (&[], 4)] {
            fs::create_dir(exports.path("kept")).expect("a folder");
            let outcome = exports.run_while_waiting(jobs, || {
                fs::remove_dir(exports.path("kept")).expect("it is empty");
            });
            // It is always reported, and decides the exit code if nothing else failed.
            let parts = [
                "a: the next run has nothing to compare with: ",
                "folder is missing",
            ];
            outcome.failed_with_any_length(code, &parts);
            exports.assert_file("a.csv", "a\n1\n");
        }
    });
}
