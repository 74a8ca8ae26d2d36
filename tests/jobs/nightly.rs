//! Many exports in one run: which of them run, how they end beside each other, and
//! what is told of it.

use std::{fs, path::PathBuf, time::Duration};

use mysql::prelude::Queryable;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::{
    Database, GoldDigger, Outcome, at_terminal, each_server, file_names, on_a_server, poll_until,
};

mod endings;
mod files;
mod snapshots;

/// A folder with a configuration file that lists exports.
struct Night<'a> {
    db: &'a Database<'a>,
    folder: TempDir,
}

impl<'a> Night<'a> {
    fn new(db: &'a Database<'a>, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("nightly.toml"), config).expect("a file");
        Self { db, folder }
    }

    /// With an export for each pair of a name and a query, to NAME.csv.
    fn of(db: &'a Database<'a>, head: &str, queries: &[(&str, &str)]) -> Self {
        let export = |(name, sql): &(&str, &str)| {
            format!("[[export]]\nname = '{name}'\nsql = \"{sql}\"\npath = '{name}.csv'\n")
        };
        let exports: String = queries.iter().map(export).collect();
        Self::new(db, &format!("{head}\n{exports}"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, args: &[&str]) -> GoldDigger {
        self.within(&[], args)
    }

    fn within(&self, wrapper: &[&str], args: &[&str]) -> GoldDigger {
        GoldDigger::wrapped_in(wrapper)
            .env("DATABASE_URL", self.db.url())
            .arg("--config")
            .arg(self.path("nightly.toml"))
            .args(args)
    }

    /// Runs it, and gives the summary too.
    fn told(&self, args: &[&str]) -> (Outcome, Json) {
        let summary = self.path("summary.json");
        let outcome = self.run(args).arg("--summary").arg(&summary).run();
        let text = fs::read(&summary).expect("the summary");
        fs::remove_file(summary).expect("it is there");
        (outcome, serde_json::from_slice(&text).expect("JSON"))
    }

    /// Runs it, and does `work` while one of its exports [`waits`].
    fn meanwhile(&self, args: &[&str], work: impl FnOnce()) -> Outcome {
        let db = self.db;
        let mut conn = db.connect();
        let lock = format!("DO GET_LOCK('{}', 0)", db.name);
        conn.query_drop(lock).expect("a lock");
        let run = self.run(args).start();
        let is_waiting = || (!db.connections_running(&db.name).is_empty()).then_some(());
        poll_until(Duration::from_secs(10), is_waiting).expect("it waits");
        work();
        conn.query_drop("DO RELEASE_ALL_LOCKS()")
            .expect("its locks");
        run.wait()
    }

    #[track_caller]
    fn holds(&self, name: &str, text: &str) {
        let found = fs::read_to_string(self.path(name)).ok();
        assert_eq!(found.as_deref(), Some(text), "{name}");
    }

    fn names(&self) -> Vec<String> {
        file_names(self.folder.path())
    }
}

/// A query that waits until the test lets it go on.
fn waits(db: &Database) -> String {
    format!("SELECT GET_LOCK('{}', 60) AS a", db.name)
}

/// The exports' names with their status and exit codes.
fn became(summary: &Json) -> Vec<String> {
    let exports = summary["exports"].as_array().expect("an array");
    let one = |export: &Json| {
        let text = |key: &str| export[key].as_str().expect("a text").to_owned();
        format!(
            "{} {} {}",
            text("name"),
            text("status"),
            export["exit_code"]
        )
    };
    exports.iter().map(one).collect()
}

#[test]
fn the_exports_of_the_file_run_in_order_or_by_name() {
    each_server(|db| {
        let night = Night::new(
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
        fs::write(night.path("b.sql"), "SELECT 'y' AS z").expect("a file");
        let a = format!("{}-a.csv", db.name);
        night.run(&[]).run().wrote("");
        night.holds(&a, "a;b\n1;x\n");
        night.holds("b.out", "y\n");
        night.holds("c.json", "{\"rows\":[\n{\"n\":null,\"one\":\"2\"}\n]}\n");

        let place = |name: &str| night.path(name).display().to_string();
        let listed = format!(
            "daily-a  {}\ndaily-b  {}\nweekly   {}\n",
            place(&a),
            place("b.out"),
            place("c.json")
        );
        night.run(&["--list-jobs"]).run().wrote(&listed);
        for (jobs, ran) in [
            (&["--job", "daily-*"][..], &[a.as_str(), "b.out"][..]),
            (&["--job", "weekly", "--job", "daily-a"], &[&a, "c.json"]),
            (&["--job", "?eekly"], &["c.json"]),
        ] {
            for file in [a.as_str(), "b.out", "c.json"] {
                let _ = fs::remove_file(night.path(file));
            }
            night.run(jobs).run().wrote("");
            let mut files = night.names();
            files.retain(|name| name != "nightly.toml" && name != "b.sql");
            assert_eq!(files.len(), ran.len(), "{files:?}");
            assert!(ran.iter().all(|name| files.iter().any(|file| file == name)));
        }
        // A flag's parameter is for whoever has it.
        night.run(&["--param", "one=7"]).run().wrote("");
        night.holds(&a, "a;b\n7;x\n");
        // A query of one's own runs alone, with the file's settings.
        night
            .run(&["--format", "csv", "SELECT 1 AS a, 2 AS b"])
            .run()
            .wrote("a;b\n1;2\n");
        let dump = night.run(&["--dump-config"]).run().ended(0, "");
        let dump: Json = serde_json::from_slice(&dump.stdout).expect("JSON");
        let export = &dump["exports"]["daily-b"];
        assert_eq!(export["query"]["sql"]["value"], "SELECT 'y' AS z");
        assert_eq!(export["tsv"]["header"]["value"], false);
        assert_eq!(dump["exports"]["daily-a"]["tsv"]["header"]["value"], true);
        let check = night.run(&["--check"]).run().ended(0, "");
        let check = String::from_utf8(check.stdout).expect("UTF-8");
        assert!(check.starts_with("daily-a\nserver "), "{check}");
        assert_eq!(check.matches("\ntarget ").count(), 3, "{check}");
    });
}

#[test]
fn mistakes_in_the_list_are_told_before_anything_is_touched() {
    on_a_server(|db| {
        let one = "[[export]]\nname = 'a'\nsql = 'SELECT 1 AS a'\npath = 'a.csv'\n";
        let two = "[[export]]\nname = 'b'\nsql = 'SELECT 1 AS a'\n";
        let mistakes: &[(&str, &[&str], &[&str])] = &[
            (
                "[query]\nsql = 'SELECT 1'",
                &[],
                &[":5:2: [query] and [[export]] cannot stand in one file: [query]"],
            ),
            (one, &[], &[":6:8: two exports are called a: name = 'a'"]),
            (
                "[[export]]\nsql = 'SELECT 1'",
                &[],
                &["this export has no name"],
            ),
            (
                "[[export]]\nname = 'b c'",
                &[],
                &["that is no name for an export"],
            ),
            (
                "[[export]]\nname = 'b'",
                &[],
                &["b: the export has no query", "add sql"],
            ),
            (
                "[[export]]\nname = 'b'\nsql = 'SELECT 1'\nfile = 'x'",
                &[],
                &["cannot stand beside", "[[export]] sql"],
            ),
            (
                &format!("{two}path = 'b.csv'\n[export.output]\npath = 'c.csv'"),
                &[],
                &[":8:8: [[export]] path is given twice: path = 'b.csv'"],
            ),
            (
                &format!("{two}host = 'x'"),
                &[],
                &[
                    "[[export]] has no key `host`",
                    "host belongs into [connection]",
                ],
            ),
            (
                &format!("{two}paht = 'x'"),
                &[],
                &["[[export]] has no key `paht`", "did you mean `path`?"],
            ),
            (
                &format!("{two}password = 'hushhush'"),
                &[],
                &["[[export]] has no key `password`"],
            ),
            ("[export]\nname = 'b'", &[], &["duplicate key"]),
            (
                &format!("{two}path = 'sub/../a.csv'"),
                &[],
                &["the rows of a and the rows of b would go to the same place"],
            ),
            (
                &format!("{two}path = 'a.csv.manifest.json'\n[output]\nmanifest = true"),
                &[],
                &["the manifest of the rows of a and the rows of b would go"],
            ),
            (
                two,
                &["-o", "x.csv"],
                &[
                    "--output names one target, and 2 exports would go there",
                    "--job",
                ],
            ),
            (
                &format!(
                    "{two}path = '-'\n[[export]]\nname = 'c'\nsql = 'SELECT 1'\npath = '/dev/fd/1'"
                ),
                &[],
                &["the rows of b and the rows of c would go to the same place"],
            ),
            (
                two,
                &["--summary", "same", "--state", "same"],
                &["the summary and the state would go to the same place"],
            ),
            (
                two,
                &["--job", "c*"],
                &["--job finds no export that is called c*", "there are a, b"],
            ),
            (
                two,
                &["--job", "a", "SELECT 1"],
                &["and SQL is another query"],
            ),
            (two, &["--param", "x=1"], &["no export that runs has :x"]),
            (
                two,
                &["--publish", "all-or-nothing"],
                &["some rows go to standard output"],
            ),
            (two, &["--manifest"], &["--manifest needs a file"]),
            (
                &format!("{two}path = 'b.tsv'\ndelimiter = ';'"),
                &[],
                &["[[export]] delimiter has no meaning for tsv: delimiter = ';'"],
            ),
            (
                &format!("{two}path = 'a.csv.partial'\n[output]\nkeep_partial = true"),
                &[],
                &["what is kept of the rows of a and the rows of b would go"],
            ),
            (
                two,
                &["a"],
                &["SQL is the name of an export", "--job a runs it"],
            ),
            (
                two,
                &["--job", "a", "--keep", "3"],
                &["there are none", "--manifest"],
            ),
            (
                two,
                &["--job", "a", "--keep", "3", "--manifest"],
                &["the path has none", "{date}"],
            ),
            (
                &format!("{two}max_change = '20%'"),
                &[],
                &["compares with the last success, which nothing keeps"],
            ),
            (&format!("{two}max_change = '20'"), &[], &["such as 20%"]),
            (two, &["--lock"], &["there is none", "--snapshot"]),
            (
                two,
                &["--snapshot", "--read-write"],
                &["cannot stand beside --read-write"],
            ),
            (two, &["--list-jobs", "SELECT 1"], &["cannot be used with"]),
        ];
        for (config, args, parts) in mistakes {
            println!("{config} {args:?}");
            let night = Night::new(db, &format!("{one}{config}"));
            fs::create_dir(night.path("sub")).expect("a folder");
            let outcome = night.run(args).run().failed_with_any_length(2, parts);
            assert!(!outcome.stderr.contains("hushhush"));
            assert_eq!(night.names(), ["nightly.toml", "sub"]);
        }
        // What stands in the environment is not meant to replace a list.
        let night = Night::new(db, &format!("{one}{two}"));
        let run = night.run(&[]).env("DATABASE_QUERY", "SELECT 42");
        let parts = [
            "DATABASE_QUERY would run in the place of all exports",
            "unset it",
        ];
        run.run().failed(2, &parts);
        let run = night.run(&[]).env("OUTPUT_FILE", "x.csv").run();
        run.failed(
            2,
            &["OUTPUT_FILE names one target, and 2 exports would go there"],
        );
        // No server is needed to list them.
        let run = night.run(&["--list-jobs"]).env_remove("DATABASE_URL").run();
        let place = night.path("a.csv").display().to_string();
        run.wrote(format!("a  {place}\nb  standard output\n"));

        // Nor is what the summary's path belongs to overwritten by it.
        let night = Night::new(db, one);
        fs::write(night.path("a.csv"), "as it was").expect("a file");
        let run = night.run(&["--summary"]).arg(night.path("a.csv")).run();
        run.failed(
            2,
            &["the summary and the rows of a would go to the same place"],
        );
        night.holds("a.csv", "as it was");

        // Nor is what is read.
        let night = Night::new(
            db,
            &format!("{one}[[export]]\nname = 'b'\nfile = 'q.sql'\npath = 'q.sql'"),
        );
        fs::write(night.path("q.sql"), "SELECT 1").expect("a file");
        let parts = ["the file of the query and the rows of b would go to the same place"];
        night.run(&[]).run().failed(2, &parts);
        let config = night.path("nightly.toml");
        let before = fs::read(&config).expect("the configuration");
        let run = night.run(&["--job", "a", "--summary"]).arg(&config).run();
        run.failed(
            2,
            &["the configuration file and the summary would go to the same place"],
        );
        assert_eq!(fs::read(&config).expect("the configuration"), before);

        let alone = Night::new(db, "[query]\nsql = 'SELECT 1'\n[guards]\nmax_change = '1%'");
        alone
            .run(&[])
            .run()
            .failed(2, &["needs a name", "[[export]]"]);
        alone
            .run(&["--list-jobs"])
            .run()
            .failed(2, &["nothing to list"]);
        alone
            .run(&["--job", "x"])
            .run()
            .failed(2, &["--job finds no export", "[[export]]"]);
    });
}

/// What every fault of one export comes to, and that the others know nothing of it.
#[test]
fn a_check_says_which_exports_would_fail() {
    each_server(|db| {
        let queries = [
            ("one", "SELECT 1 AS a"),
            ("two", "SELECT nowhere AS a"),
            ("three", "SELECT 3 AS a"),
        ];
        let night = Night::of(db, "[run]\nsnapshot = true", &queries);
        let config = fs::read_to_string(night.path("nightly.toml")).expect("a file");
        let config = config.replace("three.csv", "nowhere/three.csv");
        fs::write(night.path("nightly.toml"), config).expect("a file");
        let outcome = night.run(&["--check"]).run();
        let parts = ["2 of 3 exports would fail: two, three"];
        let outcome = outcome.failed(4, &parts);
        let told = String::from_utf8(outcome.stdout).expect("UTF-8");
        assert!(
            told.starts_with("snapshot  one for 1 connection\n\none\nserver "),
            "{told}"
        );
        for part in ["two\nfails  ", "its folder is missing"] {
            assert!(told.contains(part), "{told}");
        }
        assert_eq!(night.names(), ["nightly.toml"]);
    });
}

#[test]
fn exports_run_side_by_side_and_show_their_progress() {
    on_a_server(|db| {
        let queries = [
            ("one", "SELECT 1 AS a, SLEEP(2) AS b"),
            ("two", "SELECT 2 AS a, SLEEP(2) AS b"),
            ("three", "SELECT 3 AS a"),
        ];
        let night = Night::of(db, "[run]\nconnections = 2", &queries);
        let outcome = night.run(&[]).run().wrote("");
        assert!(
            outcome.elapsed < Duration::from_secs(4),
            "{:?}",
            outcome.elapsed
        );
        let command = format!(
            "DATABASE_URL='{}' {} --config {}",
            db.url(),
            env!("CARGO_BIN_EXE_gold_digger"),
            night.path("nightly.toml").display()
        );
        let shown = at_terminal(&command, None);
        for line in [
            "one: 0 rows, 0 B, 0 rows/s, 0:00",
            "two: 0 rows",
            "total: 0 of 3 exports, 0 rows",
            "three: 1 rows, 4 bytes to ",
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
        let night = Night::of(
            db,
            head,
            &[("t", "SELECT * FROM t"), ("u", "SELECT 1 AS a")],
        );
        let run = || night.run(&[]).run();
        let rows_kept = || -> Json {
            let state = fs::read(night.path("state.json")).expect("the state");
            let state: Json = serde_json::from_slice(&state).expect("JSON");
            state["exports"]["t"]["rows"].clone()
        };
        // Whatever comes first is right, and anything after no rows.
        fill(0);
        run().ended(0, "");
        fill(10);
        run().ended(0, "");
        for (rows, code) in [(12, 0), (9, 6), (15, 6), (10, 0), (0, 6), (8, 0)] {
            fill(rows);
            let outcome = run();
            if code == 0 {
                outcome.ended(0, "");
                assert_eq!(rows_kept(), rows);
            } else {
                let before = rows_kept();
                let said = format!("t: a guard tripped: there are {rows} rows, over 20% ");
                let stderr = outcome.ended_with(6);
                assert!(
                    stderr.contains(&said)
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
        // A query of one's own is compared with nothing, and kept nowhere.
        let state = fs::read(night.path("state.json")).expect("the state");
        night
            .run(&["SELECT 1 AS a UNION SELECT 2"])
            .run()
            .wrote("a\n1\n2\n");
        assert_eq!(
            fs::read(night.path("state.json")).expect("the state"),
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
        // A state that cannot be read stops everything; one that is not there, nothing.
        fs::write(night.path("state.json"), "{").expect("a file");
        run().failed(2, &["cannot read the state file"]);
        fs::remove_file(night.path("state.json")).expect("a file");
        run().ended(0, "");
    });
}

#[test]
fn a_state_that_cannot_be_written_is_told() {
    on_a_server(|db| {
        let wait = waits(db);
        let queries = [("a", wait.as_str()), ("b", "SELECT nowhere")];
        let night = Night::of(db, "[run]\nstate = 'kept/state.json'", &queries);
        let missing = ["cannot keep the state in ", "its folder is missing"];
        night.run(&[]).run().failed(2, &missing);
        for (jobs, code) in [(&["--job", "a"][..], 5), (&[], 4)] {
            fs::create_dir(night.path("kept")).expect("a folder");
            let outcome = night.meanwhile(jobs, || {
                fs::remove_dir(night.path("kept")).expect("it is empty");
            });
            // Told in any case, and what ends the run where nothing else has.
            let parts = [
                "a: the next run has nothing to compare with: ",
                "folder is missing",
            ];
            outcome.failed_with_any_length(code, &parts);
            night.holds("a.csv", "a\n1\n");
        }
    });
}
