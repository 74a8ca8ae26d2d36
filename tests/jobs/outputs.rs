//! Several outputs of one statement, which is read once.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use mysql::prelude::Queryable;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::reliability::disks::DISK;
use crate::support::{
    Database, GoldDigger, Outcome, Signal, each_server, file_names, make_fifo, on_a_server,
    wait_until,
};

struct Case<'a> {
    db: &'a Database<'a>,
    folder: TempDir,
}

impl<'a> Case<'a> {
    fn new(db: &'a Database<'a>) -> Self {
        db.sql("CREATE TABLE IF NOT EXISTS t (id INT PRIMARY KEY, note VARCHAR(100), f DOUBLE)");
        let row = |id: u32| format!("({id}, 'n, \"{id}', {id} / 7)");
        let rows: Vec<String> = (1..=3000).map(row).collect();
        db.sql(&format!("REPLACE INTO t VALUES {}", rows.join(",")));
        let folder = tempfile::tempdir().expect("a folder");
        Self { db, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Calls the binary in the folder.
    fn call(&self, args: &[&str]) -> GoldDigger {
        let run = GoldDigger::new().env("DATABASE_URL", self.db.url());
        run.current_dir(&self.folder).args(args)
    }

    fn run(&self, args: &[&str]) -> Outcome {
        self.call(args).run()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).expect("a file")
    }

    fn config(&self, text: &str) {
        fs::write(self.path("c.toml"), text).expect("a file");
    }

    fn names(&self) -> Vec<String> {
        file_names(self.folder.path())
    }
}

const ROWS: &str = "SELECT * FROM t ORDER BY id";

/// One that fails in its last row.
const FAILING: &str = "SELECT t.*, CASE WHEN id = 3000 THEN (SELECT id FROM t u WHERE u.id >= t.id - 1) END AS x \
                       FROM t ORDER BY id";

#[test]
fn each_output_has_the_bytes_of_a_lone_one() {
    each_server(|db| {
        let case = Case::new(db);
        let names = [
            "a.csv",
            "a.json.zst",
            "a.ndjson",
            "a.tsv.gz",
            "a.parquet",
            "a.sql",
        ];
        let targets = names.iter().flat_map(|name| ["-o", name]);
        let args: Vec<&str> = targets.chain(["--time-zone=+00:00", ROWS]).collect();
        case.run(&args).ended(0, "");
        assert_eq!(case.names().len(), names.len());
        for name in names {
            let lone = format!("lone-{name}");
            let table = ["--sql-table", "a", "--format", "sql"];
            let table = if name == "a.sql" { &table[..] } else { &[] };
            let args = ["-o", &lone, "--time-zone=+00:00", ROWS];
            case.run(&[&args[..], table].concat()).ended(0, "");
            assert!(case.read(&lone) == case.read(name), "{name}");
        }
        // The statement runs once.
        let sql = "SELECT id, UUID() AS u FROM t LIMIT 10";
        case.run(&["-o", "u1.csv", "-o", "u2.csv", sql])
            .ended(0, "");
        assert_eq!(case.read("u1.csv"), case.read("u2.csv"));
        // One of them may be standard output.
        let args = ["--param=day=x", "-o", "p-{day}.csv", "-o", "q.csv", sql];
        case.run(&args).ended(0, "");
        let both = case.run(&["-o", "-", "-o", "s.csv", "--format=csv", sql]);
        assert_eq!(both.stdout, case.read("s.csv"));
        both.ended_with(0);
    });
}

#[test]
fn an_export_of_a_file_has_outputs_with_settings_of_their_own() {
    on_a_server(|db| {
        let case = Case::new(db);
        case.config(
            "[output]\nmanifest = true\n[run]\npublish = 'all-or-nothing'\nsnapshot = true\n\
             [[export]]\nname = 'one'\nsql = 'SELECT * FROM t ORDER BY id'\nmin_rows = 10\n\
             [[export.output]]\npath = 'one.csv'\nmanifest = false\ncsv = { delimiter = ';' }\n\
             [[export.output]]\npath = 'one-{part}.csv.gz'\nrows_per_file = 1000\n\
             [[export.output]]\npath = 'one.json'\n\
             [[export]]\nname = 'two'\nsql = 'SELECT 2 AS a'\npath = 'two.csv'\n",
        );
        let run = case.run(&["--config", "c.toml", "-v", "--summary", "s.json"]);
        let stderr = run.ended_with(0);
        assert!(stderr.contains("one/2: 3000 rows"), "{stderr}");
        assert!(case.read("one.csv").starts_with(b"id;note;f\n1;"));
        case.run(&[
            "verify",
            "one-all.csv.gz.dataset.json",
            "one.json",
            "two.csv",
        ])
        .ended_with(0);
        assert!(!case.path("one.csv.manifest.json").exists());
        let summary: Json = serde_json::from_slice(&case.read("s.json")).expect("JSON");
        let exports = summary["exports"].as_array().expect("exports");
        let seen = exports
            .iter()
            .map(|one| (one["name"].as_str(), one["rows"].as_u64()));
        let expected = [("one", 3000), ("one/2", 3000), ("one/3", 3000), ("two", 1)];
        let expected = expected.map(|(name, rows)| (Some(name), Some(rows)));
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        let list = case.run(&["--config", "c.toml", "--list-jobs"]);
        list.wrote("one    one.csv\none/2  one-{part}.csv.gz\none/3  one.json\ntwo    two.csv\n");
        // --job names the export.
        case.run(&["--config", "c.toml", "--job", "one", "--check"])
            .ended_with(0);
    });
}

#[test]
fn patterns_and_increments_have_several_outputs() {
    on_a_server(|db| {
        let case = Case::new(db);
        db.sql("CREATE TABLE u (id INT PRIMARY KEY)");
        db.sql("INSERT INTO u VALUES (7)");
        let pattern = format!("{}.*", db.name);
        let args = [
            "--tables",
            &pattern,
            "-o",
            "{table}.csv",
            "-o",
            "{table}.json",
        ];
        case.run(&args).ended(0, "");
        assert_eq!(case.names(), ["t.csv", "t.json", "u.csv", "u.json"]);
        assert_eq!(case.read("u.json"), b"[\n{\"id\":7}\n]\n");
        let args = [
            "--table=t",
            "--incremental=id",
            "--state=s",
            "-o",
            "n1.csv",
            "-o",
            "n2.json",
        ];
        case.run(&args).ended_with(0);
        assert_eq!(case.read("n1.csv"), case.read("t.csv"));
        assert_eq!(case.read("n2.json"), case.read("t.json"));
        fs::remove_file(case.path("n1.csv")).expect("a file");
        fs::remove_file(case.path("n2.json")).expect("a file");
        // Nothing is new.
        case.run(&args).ended_with(0);
        db.sql("INSERT INTO t VALUES (4000, 'new', 1)");
        case.run(&args).ended_with(0);
        assert_eq!(case.read("n1.csv"), b"id,note,f\n4000,new,1\n");
    });
}

/// Makes what is written to `name` fail after a megabyte.
fn on_failing_disk(run: GoldDigger, name: &str) -> GoldDigger {
    run.env("LD_PRELOAD", &*DISK)
        .env("FAULT_CALL", "write")
        .env("FAULT_ERRNO", "28")
        .env("FAULT_AFTER", "100000")
        .env("FAULT_NAME", name)
}

#[test]
fn all_outputs_are_published_or_none() {
    on_a_server(|db| {
        let case = Case::new(db);
        let wide = "SELECT t.*, REPEAT('x', 1000) AS x FROM t";
        let targets = ["-o", "a.csv", "-o", "b.csv", "-o", "c.json"];
        fs::write(case.path("a.csv"), "old").expect("a file");
        let is_untouched = |what: &str| {
            assert_eq!(case.names(), ["a.csv"], "{what}");
            assert_eq!(case.read("a.csv"), b"old", "{what}");
        };
        let full = on_failing_disk(case.call(&[&targets[..], &[wide]].concat()), ".b.csv");
        full.run().failed_with_any_length(
            5,
            &[
                "output-2: cannot write to b.csv: No space left on device",
                "1 of 3 exports failed: output-2 (exit code 5); 2 were not published: output-1, output-3",
            ],
        );
        is_untouched("a full disk");
        let absent = ["-o", "a.csv", "-o", "no/b.csv", wide];
        case.run(&absent).failed_with_any_length(
            5,
            &[
                "output-2: cannot create no/b.csv",
                "1 was not published: output-1",
            ],
        );
        is_untouched("no folder");
        case.run(&[&targets[..], &[FAILING]].concat())
            .failed_with_any_length(
                4,
                &["output-1: ", "2 were not published: output-2, output-3"],
            );
        is_untouched("a failing statement");
        case.run(&[&targets[..], &["--min-rows=5000", ROWS]].concat())
            .failed_with_any_length(6, &["output-1: "]);
        is_untouched("a guard");
        case.run(&[&targets[..], &["--where=FALSE", "--table=t"]].concat())
            .failed_with_any_length(1, &["output-1: no rows"]);
        is_untouched("no rows");
        // What a format refuses: two columns of one name.
        case.run(&[&targets[..], &["SELECT 1 AS a, 2 AS a"]].concat())
            .failed_with_any_length(2, &["output-3: ", "not published: output-1, output-2"]);
        is_untouched("names");
    });
}

#[test]
fn an_output_that_fails_alone_leaves_the_others() {
    on_a_server(|db| {
        let case = Case::new(db);
        let wide = "SELECT t.*, REPEAT('x', 1000) AS x FROM t";
        case.run(&["-o", "lone.csv", wide]).ended(0, "");
        let expected = case.read("lone.csv");
        let targets = ["-o", "a.csv", "-o", "b.csv", "--on-output-error=continue"];
        for bad in [".a.csv", ".b.csv"] {
            let run = on_failing_disk(case.call(&[&targets[..], &[wide]].concat()), bad);
            run.run()
                .failed_with_any_length(5, &["No space left on device", "1 of 2 exports failed: "]);
            let good = if bad == ".a.csv" { "b.csv" } else { "a.csv" };
            assert!(case.read(good) == expected, "{bad}");
            assert_eq!(case.names(), [good, "lone.csv"]);
            fs::remove_file(case.path(good)).expect("a file");
        }
        case.config(
            "[[export]]\nname = 'one'\nsql = 'SELECT 1 AS a, 2 AS a'\non_error = 'continue'\n\
             [[export.output]]\npath = 'a.csv'\n[[export.output]]\npath = 'a.json'\n\
             [[export.output]]\npath = 'no/such.csv'\n",
        );
        case.run(&["--config", "c.toml"]).failed_with_any_length(
            2,
            &["2 of 3 exports failed: one/2 (exit code 2), one/3 (exit code 5)"],
        );
        assert_eq!(case.read("a.csv"), b"a,a\n1,2\n");
        // None is left: each says why.
        let targets = [
            "-o",
            "no/a.csv",
            "-o",
            "no/b.csv",
            "--on-output-error=continue",
        ];
        case.run(&[&targets[..], &[wide]].concat())
            .failed_with_any_length(
                5,
                &[
                    "output-1: cannot create no/a.csv",
                    "output-2: cannot create no/b.csv",
                    "2 of 2 exports failed: ",
                ],
            );
        let targets = ["-o", "d.csv", "-o", "e.csv", "--on-output-error=continue"];
        case.run(&[&targets[..], &["--max-rows=5", wide]].concat())
            .failed_with_any_length(6, &["output-1: ", "output-2: ", "2 of 2 exports failed: "]);
        // The rate is the read's, whichever output is left.
        let slow = [
            "-o",
            "no/a.csv",
            "-o",
            "f.csv",
            "--on-output-error=continue",
            "--throttle=3000",
        ];
        let run = case.run(&[&slow[..], &[ROWS]].concat());
        assert!(run.elapsed.as_secs_f64() > 0.7, "{:?}", run.elapsed);
        run.ended_with(5);
    });
}

/// A statement that waits for a lock which `holder` has.
fn waiting(db: &Database) -> (mysql::Conn, String) {
    let mut holder = db.connect();
    let lock = format!("DO GET_LOCK('{}', 0)", db.name);
    holder.query_drop(lock).expect("a lock");
    let sql = format!("SELECT 1 AS a, GET_LOCK('{}', 100) AS l", db.name);
    (holder, sql)
}

fn wait_until_it_waits(db: &Database) -> u32 {
    let mut found = Vec::new();
    wait_until("the statement waits", || {
        found = db.connections_waiting(&db.name);
        !found.is_empty()
    });
    found[0]
}

#[test]
fn an_output_that_fails_ends_a_statement_without_rows() {
    on_a_server(|db| {
        let case = Case::new(db);
        make_fifo(&case.path("fifo"));
        let (_holder, sql) = waiting(db);
        let run = case
            .call(&["--format=csv", "-o", "a.csv", "-o", "fifo", &sql])
            .start();
        let reader = File::open(case.path("fifo")).expect("a FIFO");
        wait_until_it_waits(db);
        drop(reader);
        run.wait().failed_with_any_length(
            5,
            &[
                "output-2: cannot write to fifo: its reader has gone",
                "not published: output-1",
            ],
        );
        wait_until("the statement has ended", || {
            db.connections_waiting(&db.name).is_empty()
        });
        assert_eq!(case.names(), ["fifo"]);
    });
}

#[test]
fn all_outputs_begin_again_after_a_lost_connection() {
    on_a_server(|db| {
        let case = Case::new(db);
        let (mut holder, sql) = waiting(db);
        let run = case
            .call(&["--retry=1", "-o", "a.csv", "-o", "b.csv", &sql])
            .start();
        let id = wait_until_it_waits(db);
        db.sql(&format!("KILL CONNECTION {id}"));
        wait_until("it waits again", || {
            let found = db.connections_waiting(&db.name);
            found.iter().any(|other| *other != id)
        });
        holder
            .query_drop(format!("DO RELEASE_LOCK('{}')", db.name))
            .expect("it is freed");
        let stderr = run.wait().ended_with(0);
        assert!(stderr.contains("attempt 1 of 2 failed"), "{stderr}");
        assert_eq!(case.read("a.csv"), b"a,l\n1,1\n");
        assert_eq!(case.read("b.csv"), b"a,l\n1,1\n");
    });
}

#[test]
fn the_last_row_is_kept_when_all_outputs_are_published() {
    on_a_server(|db| {
        let case = Case::new(db);
        let args = [
            "--table=t",
            "--incremental=id",
            "--state=s",
            "-o",
            "a.csv",
            "-o",
            "no/b.csv",
        ];
        case.run(&args)
            .failed_with_any_length(5, &["output-2: cannot create no/b.csv"]);
        assert!(!case.path("s").exists());
        let refused = case.run(&[&args[..], &["--on-output-error=continue"]].concat());
        refused.failed(2, &["--on-output-error lets an output miss the rows"]);
        fs::create_dir(case.path("no")).expect("a folder");
        case.run(&[&args[..], &["--check"]].concat()).ended_with(0);
        case.run(&args).ended_with(0);
        assert_eq!(case.read("a.csv"), case.read("no/b.csv"));
        // One output goes on where several have ended.
        db.sql("INSERT INTO t VALUES (4000, 'new', 1)");
        let lone = ["--table=t", "--incremental=id", "--state=s", "-o", "c.csv"];
        case.run(&lone).ended_with(0);
        assert_eq!(case.read("c.csv"), b"id,note,f\n4000,new,1\n");
    });
}

#[test]
fn a_signal_between_two_publications_comes_too_late() {
    on_a_server(|db| {
        let case = Case::new(db);
        fs::write(case.path("a.csv"), "old").expect("a file");
        fs::write(case.path("b.csv"), "old").expect("a file");
        let lock = File::create(case.path(".a.csv.locked.gold_digger")).expect("a file");
        lock.lock().expect("a lock");
        let run = case.call(&["-o", "a.csv", "-o", "b.csv", ROWS]).start();
        run.wait_for_signal_handlers();
        db.wait_for_no_session();
        run.signal(Signal::SIGTERM);
        drop(lock);
        // Before the first publication, it ends the run; then it comes too late.
        let is_published = run.wait().status.code() == Some(0);
        let both = [case.read("a.csv"), case.read("b.csv")];
        assert_eq!(both[0], both[1]);
        assert_eq!(both[0] != b"old", is_published);
    });
}

#[test]
fn an_output_that_fails_when_all_rows_have_come_ends_the_others() {
    on_a_server(|db| {
        let case = Case::new(db);
        make_fifo(&case.path("a"));
        make_fifo(&case.path("b"));
        let sql = "SELECT t.*, REPEAT('x', 1000) AS x FROM t";
        let args = ["--format=csv", "-o", "a", "-o", "b", "--spool=spool", sql];
        let run = case.call(&args).start();
        let unread = File::open(case.path("a")).expect("a FIFO");
        let reader = File::open(case.path("b")).expect("a FIFO");
        db.wait_for_no_session();
        drop(reader);
        run.wait().failed_with_any_length(
            5,
            &[
                "output-2: cannot write to b: its reader has gone",
                "not published: output-1",
            ],
        );
        drop(unread);
    });
}

#[test]
fn outputs_are_spooled_each() {
    on_a_server(|db| {
        let case = Case::new(db);
        make_fifo(&case.path("fifo"));
        let sql = "SELECT t.*, REPEAT('x', 1000) AS x FROM t";
        let args = [
            "--format=csv",
            "-o",
            "fifo",
            "-o",
            "a.csv",
            "--spool=spool",
            sql,
        ];
        let args = [&args[..], &["--on-output-error=continue"]].concat();
        let run = case.call(&args).start();
        let mut reader = File::open(case.path("fifo")).expect("a FIFO");
        // It is published though nobody has read the other one.
        wait_until("the file is there", || case.path("a.csv").exists());
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("all rows");
        run.wait().ended(0, "");
        assert!(bytes == case.read("a.csv"));
        assert_eq!(file_names(Path::new(&case.path("spool"))), [""; 0]);
    });
}

#[test]
fn what_cannot_be_is_refused_before_connecting() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("c.toml");
    let run = |args: &[&str]| {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
        run.current_dir(&folder).args(args).run()
    };
    run(&["-o", "a.csv", "-o", "./a.csv", "SELECT 1"]).failed(
        2,
        &["the rows of output-1 and the rows of output-2 would go to the same place"],
    );
    run(&["-o", "a.csv", "-o", "b.csv", "--table=t", "--split=2"]).failed(
        2,
        &["--split divides a table for one output, and there are several"],
    );
    run(&["-o", "a.csv", "-o", "b.xyz", "SELECT 1"]).failed_with_any_length(2, &["output-2: "]);
    for (text, problem) in [
        (
            "[[export.output]]\npath = 'a.csv'\nsql = 'SELECT 2'\n",
            "[output] has no key `sql`",
        ),
        (
            "[[export.output]]\npath = 'a.csv'\non_error = 'stop'\n",
            "on_error is for all outputs",
        ),
        ("output = [1]\n", "an output is a table: [[export.output]]"),
        (
            "[[export.output]]\npath = 'a.csv'\ncsv = 1\n",
            "csv is a table here",
        ),
        (
            "[[export.output]]\npath = 'a.csv'\n[[export.output]]\npath = 'a.csv'\n",
            "the rows of x and the rows of x/2 would go to the same place",
        ),
    ] {
        let text = format!("[[export]]\nname = 'x'\nsql = 'SELECT 1'\n{text}");
        fs::write(&config, text).expect("a file");
        run(&["--config", "c.toml"]).failed_with_any_length(2, &[problem]);
    }
}
