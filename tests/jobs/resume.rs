//! Exports that are read in chunks, and go on where an earlier run has ended.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use mysql::prelude::Queryable;
use nix::sys::signal::Signal;
use serde_json::Value as Json;

use super::split::{KEYS, NUMBERS, fill, parts, read};
use crate::support::{
    Database, GlobalVariable, GoldDigger, Outcome, S3, each_logging_server, each_server_alone,
    file_names, on_a_server, wait_until,
};

/// Fails in its last chunk, as long as `bad` has two rows.
const FAILING: &str = "SELECT t.id, note, IF(t.id = 9500, (SELECT id FROM bad), 1) AS x FROM t \
                       WHERE :chunk ORDER BY t.id";

const ARGS: [&str; 6] = [
    FAILING,
    "--manifest",
    "--resume",
    "--split=10",
    "--split-by=t.id",
    "--connections=1",
];

fn run(db: &Database, args: &[&str], file: &Path) -> Outcome {
    let run = GoldDigger::new().env("DATABASE_URL", db.url());
    run.args(args).arg("-o").arg(file).run()
}

fn fill_and_break(db: &Database) {
    fill(db, KEYS[0]);
    db.sql("CREATE TABLE bad (id INT PRIMARY KEY)");
    break_last(db);
}

fn break_last(db: &Database) {
    db.sql("REPLACE INTO bad VALUES (1), (2)");
}

fn mend(db: &Database) {
    db.sql("DELETE FROM bad WHERE id = 2");
}

/// The rows of the whole table, as [`FAILING`] shows them.
fn expected(db: &Database, folder: &Path) -> String {
    let sql = "SELECT id, note, 1 AS x FROM t ORDER BY id";
    run(db, &[sql, "--header=false"], &folder.join("expected.csv")).ended(0, "");
    let found = read(folder, "expected.csv");
    fs::remove_file(folder.join("expected.csv")).expect("removed");
    found
}

#[test]
fn a_run_goes_on_with_what_another_has_left_whole() {
    each_logging_server(|db| {
        fill_and_break(db);
        for name in [
            "x.csv",
            "x-{part}.csv",
            "x.csv.gz",
            "x-{part}.csv.zst",
            "x.json",
            "x-{part}.parquet",
            "x.parquet",
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let folder = folder.path();
            let single = folder.join("single").with_extension(
                Path::new(&name.replace("csv.", ""))
                    .extension()
                    .expect("one"),
            );
            let all = "SELECT t.id, note, IF(t.id = 9500, (SELECT id FROM bad), 1) AS x FROM t ORDER BY t.id";
            break_last(db);
            let target = folder.join(name);
            let kept = format!("{}.resume", name.replace("{part}", "all"));
            let shown = run(db, &ARGS, &target).ended_with(4);
            let left = format!(
                "9 of 10 chunks are kept in {}",
                folder.join(&kept).display()
            );
            assert!(shown.contains(&left), "{shown}");
            assert!(shown.contains("chunk 10 of 10: "), "{shown}");
            assert_eq!(file_names(folder).join(" "), kept);
            let mode = fs::metadata(folder.join(&kept))
                .expect("it")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o700);

            // What is whole is not read again.
            mend(db);
            run(db, &[all], &single).ended(0, "");
            db.sql("UPDATE t SET note = 'too late' WHERE id < 5000");
            run(db, &ARGS, &target).failed(
                0,
                &[
                    "9 of 10 chunks were read by earlier runs, from 2",
                    "on: the rows are not of one moment",
                ],
            );
            assert!(!folder.join(&kept).exists(), "{name}");
            db.sql("UPDATE t SET note = CONCAT('n, \"', id) WHERE id < 5000");
            if let Some(plain) = name.strip_prefix("x.").filter(|name| !name.ends_with("gz")) {
                let single = fs::read(single).expect("a file");
                let is_same = fs::read(&target).expect("a file") == single;
                assert!(is_same || plain == "parquet", "{name}");
            }
            if !name.contains("{part}") {
                GoldDigger::new()
                    .arg("verify")
                    .arg(&target)
                    .run()
                    .ended(0, "");
            } else {
                let dataset = format!("{}.dataset.json", name.replace("{part}", "all"));
                let dataset = folder.join(dataset);
                GoldDigger::new()
                    .arg("verify")
                    .arg(&dataset)
                    .run()
                    .ended(0, "");
                let found: Json =
                    serde_json::from_slice(&fs::read(dataset).expect("a file")).expect("JSON");
                let files = found["files"].as_array().expect("files");
                let started = |file: &Json| file["started"].as_str().expect("a time").to_owned();
                assert_eq!(started(&files[0]), started(&files[8]));
                assert!(started(&files[0]) < started(&files[9]));
                assert!(files.iter().all(|file| file["snapshot"].is_object()));
                assert!(found["snapshot"].is_null(), "{found}");
                assert_eq!(found["rows"], 10_000);
            }
        }
    });
}

#[test]
fn a_chunk_that_is_no_longer_whole_is_read_again() {
    on_a_server(|db| {
        fill_and_break(db);
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let target = folder.join("{part}.csv");
        let args = [&ARGS[..], &["--header=false"]].concat();
        run(db, &args, &target).ended_with(4);
        let kept = folder.join("all.csv.resume");
        let chunk = |number: u32| kept.join(format!("chunk-{number:05}"));
        // One byte is another one; a record is cut; a file has been moved to its place by a
        // run that was killed while it published; another one is gone.
        let text = read(&kept, "chunk-00002").replacen("1500", "1501", 1);
        fs::write(chunk(2), text).expect("a file");
        fs::write(chunk(3).with_extension("json"), "{").expect("a file");
        fs::rename(chunk(4), folder.join("00004.csv")).expect("a file");
        fs::remove_file(chunk(5)).expect("a file");
        mend(db);
        let shown = run(db, &args, &target).ended_with(0);
        for part in [
            "chunk 2 is no longer as it was: it is read again",
            "chunk 5 is no longer as it was: it is read again",
            "6 of 10 chunks were read by earlier runs",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
        let (rows, _) = parts(folder, "{part}.csv");
        assert!(rows == expected(db, folder));
        assert_eq!(file_names(folder).len(), 21, "{:?}", file_names(folder));
    });
}

#[test]
fn what_is_asked_for_must_be_the_same() {
    each_logging_server(|db| {
        fill_and_break(db);
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let target = folder.join("x.csv");
        let common = ["--resume", "--connections=1"];
        let first = [&common[..], &["--split=10", "--split-by=t.id", FAILING]].concat();
        run(db, &first, &target).ended_with(4);
        let before = file_names(&folder.join("x.csv.resume"));
        let other = FAILING.replace("ORDER BY t.id", "");
        for (args, difference) in [
            (
                vec!["--split=10", "--split-by=t.id", &other],
                "the statement is another one",
            ),
            (
                vec!["--split=9", "--split-by=t.id", FAILING],
                "what divides the rows, is another one",
            ),
            (
                vec!["--split=10", "--split-by=t.note", FAILING],
                "what divides the rows, is another one",
            ),
            (
                vec!["--split=10", "--split-by=t.id", FAILING, "--csv-null=NULL"],
                "the format, an option of it, or the compression, is another one",
            ),
            (
                vec![
                    "--split=10",
                    "--split-by=t.id",
                    FAILING,
                    "--time-zone=+00:00",
                ],
                "the session's time zone is another one",
            ),
        ] {
            let args = [&common[..], &args].concat();
            run(db, &args, &target).failed(
                2,
                &[
                    "cannot resume from the chunks in ",
                    difference,
                    "remove that folder to begin anew",
                ],
            );
        }
        db.sql("ALTER TABLE t MODIFY note VARCHAR(120) NOT NULL");
        let changed = ["the column \"note\" VARCHAR(99) is \"note\" VARCHAR(120) now"];
        run(db, &first, &target).failed(2, &changed);
        db.sql("ALTER TABLE t MODIFY note VARCHAR(99) NOT NULL, MODIFY id BIGINT");
        let shown = run(db, &first, &target).ended_with(2);
        assert!(
            shown.contains("the key was id int") && shown.contains("and is id bigint"),
            "{shown}"
        );
        db.sql("ALTER TABLE t MODIFY id INT");
        let plan = folder.join("x.csv.resume/plan.json");
        let text = fs::read_to_string(&plan).expect("a plan");
        fs::write(&plan, text.replacen("< ", "<= ", 1)).expect("a plan");
        run(db, &first, &target).failed(2, &["the boundaries of its chunks have been altered"]);
        fs::write(&plan, "{").expect("a plan");
        run(db, &first, &target).failed(
            2,
            &[
                "cannot read ",
                "plan.json",
                "remove its folder to begin anew",
            ],
        );
        fs::write(&plan, text).expect("a plan");
        assert_eq!(file_names(&folder.join("x.csv.resume")), before);
        assert!(!target.exists());

        // Without the flag, a run begins anew, and leaves nothing of before.
        mend(db);
        run(db, &["SELECT 1"], &target).ended(0, "");
        assert_eq!(file_names(folder), ["x.csv"]);
    });
}

#[test]
fn the_session_must_read_values_as_before() {
    each_server_alone(|db| {
        fill_and_break(db);
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.csv");
        run(db, &ARGS, &target).ended_with(4);
        let _zone = GlobalVariable::set(db, "time_zone", "'+05:00'");
        let other = ["the session's time zone or SQL mode is another one"];
        run(db, &ARGS, &target).failed(2, &other);
        assert!(!target.exists());
    });
}

#[test]
fn what_cannot_be_resumed_is_refused() {
    on_a_server(|db| {
        fill(db, KEYS[0]);
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.csv");
        let no_server = |args: &[&str]| {
            let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
            run.args(args).run()
        };
        no_server(&["--resume", "-o", "x.csv", "SELECT 1"])
            .failed(2, &["nothing divides the rows into chunks", "--split N"]);
        no_server(&["--resume", "--table=t", "--split=2"])
            .failed(2, &["the rows go to standard output", "-o FILE"]);
        no_server(&[
            "--resume",
            "--table=t",
            "--split=2",
            "--snapshot",
            "-o",
            "x.csv",
        ])
        .failed(
            2,
            &["--snapshot", "a run that is resumed reads them at another"],
        );
        let args = ["--resume", "--table=t", "--split=2", "--snapshot=false"];
        // A folder that another run has, or that is no folder.
        let kept = folder.path().join("x.csv.resume");
        fs::create_dir(&kept).expect("a folder");
        let held = fs::File::create(kept.join("lock")).expect("a file");
        held.lock().expect("a lock");
        run(db, &args, &target).failed(5, &["another run has it", "let that run end first"]);
        drop(held);
        fs::remove_file(kept.join("lock")).expect("removed");
        // What others have put there stays.
        fs::write(kept.join("thesis.txt"), "mine").expect("a file");
        let foreign = ["x.csv.resume: it has files of others, such as thesis.txt"];
        run(db, &args, &target).failed(5, &foreign);
        assert_eq!(file_names(&kept), ["thesis.txt"]);
        fs::remove_file(kept.join("thesis.txt")).expect("removed");
        fs::remove_dir(&kept).expect("removed");
        fs::write(&kept, "mine").expect("a file");
        run(db, &args, &target).failed(5, &["cannot open ", "x.csv.resume: it is no folder"]);
        assert_eq!(fs::read_to_string(&kept).expect("a file"), "mine");
        fs::remove_file(&kept).expect("removed");
        let elsewhere = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(elsewhere.path(), &kept).expect("a link");
        run(db, &args, &target).failed(5, &["cannot open ", "x.csv.resume: it is no folder"]);
        assert!(!target.exists());

        // What is refused as a whole would be refused again.
        fs::remove_file(&kept).expect("removed");
        let guarded = [&args[..], &["--min-rows=20000"]].concat();
        run(db, &guarded, &target).ended_with(6);
        let empty = [&args[..], &["--where=FALSE"]].concat();
        run(db, &empty, &target).ended_with(1);
        assert_eq!(file_names(folder.path()), [""; 0]);
    });
}

#[test]
fn what_an_earlier_longer_dataset_has_is_removed_after_a_kill() {
    on_a_server(|db| {
        fill_and_break(db);
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let target = folder.join("{part}.csv");
        let longer = ["--table=t", "--split=12", "--snapshot=false"];
        run(db, &longer, &target).ended_with(0);
        let args = [&ARGS[..], &["--header=false"]].concat();
        run(db, &args, &target).ended_with(4);
        // A run that is killed while it publishes has removed the manifest, which lists them.
        let kept = folder.join("all.csv.resume");
        let surplus = [11, 12].map(|number| folder.join(format!("{number:05}.csv")));
        fs::write(
            kept.join("surplus.json"),
            serde_json::to_string(&surplus).expect("JSON"),
        )
        .expect("a file");
        fs::remove_file(folder.join("all.csv.dataset.json")).expect("removed");
        fs::rename(kept.join("chunk-00001"), folder.join("00001.csv")).expect("a file");
        mend(db);
        run(db, &args, &target).ended_with(0);
        let names = file_names(folder);
        assert!(names.contains(&"00010.csv".to_owned()), "{names:?}");
        assert!(!surplus.iter().any(|path| path.exists()), "{names:?}");
        let (rows, _) = parts(folder, "{part}.csv");
        assert!(rows == expected(db, folder));
    });
}

#[test]
fn two_exports_do_not_share_what_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("c.toml");
    let of = |name: &str, path: &str| {
        format!(
            "[[export]]\nname = \"{name}\"\npath = \"{path}\"\ntable = \"t\"\nsplit = 2\nresume = true\n"
        )
    };
    fs::write(&config, of("a", "o-{part}.csv") + &of("b", "o-all.csv")).expect("a file");
    let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
    let run = run
        .current_dir(folder.path())
        .arg("--config")
        .arg(&config)
        .run();
    run.failed_with_any_length(2, &["the folder of the chunks of the rows of "]);
}

#[test]
fn of_many_tables_those_that_are_published_are_not_read_again() {
    on_a_server(|db| {
        for table in ["a", "b", "c"] {
            db.sql(&format!("CREATE TABLE {table} (id INT PRIMARY KEY)"));
            db.sql(&format!(
                "INSERT INTO {table} SELECT n FROM {NUMBERS} WHERE n < 100"
            ));
        }
        db.sql("CREATE TABLE bad (id INT PRIMARY KEY)");
        db.sql("INSERT INTO bad VALUES (1), (2)");
        db.sql("DROP TABLE c");
        db.sql("CREATE VIEW c AS SELECT id, (SELECT id FROM bad) AS x FROM a");
        for publish in ["each", "all-or-nothing"] {
            db.sql("REPLACE INTO bad VALUES (1), (2)");
            db.sql("DELETE FROM a WHERE id >= 100");
            let folder = tempfile::tempdir().expect("a folder");
            let folder = folder.path();
            let config = folder.join("c.toml");
            fs::write(
                &config,
                format!(
                    "[run]\npublish = \"{publish}\"\nconnections = 1\n\
                     [[export]]\nname = \"a\"\npath = \"a.csv\"\ntable = \"a\"\nsplit = 4\nresume = true\n\
                     [[export]]\nname = \"b\"\npath = \"b.csv\"\ntable = \"b\"\nsplit = 4\nresume = true\n\
                     [[export]]\nname = \"c\"\npath = \"c.csv\"\ntable = \"c\"\nsplit = 2\nsplit_by = \"id\"\nresume = true\n"
                ),
            )
            .expect("a file");
            let program = || {
                let program = GoldDigger::new().env("DATABASE_URL", db.url());
                program
                    .current_dir(folder)
                    .arg("--config")
                    .arg(&config)
                    .run()
            };
            program().ended_with(4);
            let published = publish == "each";
            assert_eq!(folder.join("a.csv").exists(), published);
            assert!(folder.join("a.csv.resume").exists());
            assert_eq!(folder.join("a.csv.resume/chunk-00001").exists(), !published);
            db.sql("DELETE FROM bad WHERE id = 2");
            db.sql("INSERT INTO a VALUES (1000)");
            let shown = program().ended_with(0);
            assert_eq!(
                shown.contains("and is not read again"),
                published,
                "{shown}"
            );
            assert_eq!(read(folder, "a.csv").lines().count(), 101);
            assert_eq!(read(folder, "c.csv").lines().count(), 102);
            assert_eq!(file_names(folder), ["a.csv", "b.csv", "c.csv", "c.toml"]);
        }
    });
}

/// Numbers from a seed (xorshift), so that a failure can be seen again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[test]
fn every_row_comes_once_however_often_a_run_is_killed() {
    each_logging_server(|db| {
        fill(db, KEYS[0]);
        let seed = u64::from(std::process::id()) << 20 | 1;
        let mut random = Random(seed);
        for name in ["x.csv", "x-{part}.csv"] {
            db.sql("DELETE FROM t WHERE id >= 10000");
            let folder = tempfile::tempdir().expect("a folder");
            let folder = folder.path();
            let is_done = AtomicBool::new(false);
            thread::scope(|scope| {
                // A writer adds rows beyond all boundaries.
                scope.spawn(|| {
                    let mut conn = db.connect();
                    for id in 10_000.. {
                        if is_done.load(Relaxed) {
                            return;
                        }
                        let sql = format!("INSERT INTO t VALUES ({id}, 'new')");
                        conn.query_drop(sql).expect("a row");
                        thread::sleep(Duration::from_millis(5));
                    }
                });
                let program = || {
                    let program = GoldDigger::new().env("DATABASE_URL", db.url());
                    let program = program.args(["--table=t", "--header=false", "--resume"]);
                    let program = program.args(["--split=60", "--throttle=20000"]);
                    program.arg("-o").arg(folder.join(name))
                };
                for _ in 0..20 {
                    let running = program().start();
                    thread::sleep(Duration::from_millis(random.below(250)));
                    running.signal(Signal::SIGKILL);
                    running.wait();
                }
                // The last killed run may have published, and left only the folder.
                program().run().ended_with(0);
                is_done.store(true, Relaxed);
            });
            let rows = match name {
                "x.csv" => read(folder, name),
                _ => parts(folder, name).0,
            };
            let count = rows.lines().count();
            assert!(count >= 10_000, "seed {seed}: {count}");
            let last = format!("SELECT * FROM t WHERE id < {count} ORDER BY id");
            let single = tempfile::tempdir().expect("a folder");
            let single = single.path();
            run(db, &[&last, "--header=false"], &single.join("x.csv")).ended(0, "");
            assert!(rows == read(single, "x.csv"), "seed {seed}");
            let resume = |name: &String| name.ends_with(".resume") || name.starts_with('.');
            assert!(
                !file_names(folder).iter().any(resume),
                "{:?}",
                file_names(folder)
            );
        }
    });
}

#[test]
fn a_signal_keeps_what_is_whole() {
    on_a_server(|db| {
        fill(db, KEYS[0]);
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let sleeping =
            "SELECT id, IF(id >= 2500, SLEEP(1), 0) AS kept_by_signal FROM t WHERE :chunk";
        let program = GoldDigger::new().env("DATABASE_URL", db.url());
        let program = program.args(["--split=4", "--connections=1", "--resume", sleeping, "-o"]);
        let program = program.arg(folder.join("x.csv")).start();
        wait_until("the second chunk runs", || {
            folder.join("x.csv.resume/chunk-00001.json").exists()
                && !db.connections_running("kept_by_signal").is_empty()
        });
        program.signal(Signal::SIGTERM);
        let shown = program.wait().ended_with(143);
        assert!(shown.contains("1 of 4 chunks are kept in "), "{shown}");
        assert_eq!(file_names(folder), ["x.csv.resume"]);
        let kept = file_names(&folder.join("x.csv.resume"));
        assert_eq!(
            kept,
            ["chunk-00001", "chunk-00001.json", "lock", "plan.json"]
        );
    });
}

#[test]
fn an_object_goes_on_with_what_is_kept_in_the_spool() {
    on_a_server(|db| {
        fill_and_break(db);
        let s3 = S3::start();
        let folder = tempfile::tempdir().expect("a folder");
        let spool = folder.path().join("spool");
        let expected = {
            mend(db);
            expected(db, folder.path())
        };
        for target in ["s3://bucket/a b/x.csv", "s3://bucket/d/x-{part}.csv"] {
            let run = |more: &[&str]| {
                let run = GoldDigger::new().env("DATABASE_URL", db.url());
                let run = run.args(ARGS).args(["-o", target, "--header=false"]);
                s3.reach(run).args(more).run()
            };
            let with_spool = ["--spool", spool.to_str().expect("UTF-8")];
            run(&[]).failed(
                2,
                &["--resume keeps whole chunks in a folder", "--spool DIR"],
            );
            break_last(db);
            let shown = run(&with_spool).ended_with(4);
            let left = format!("9 of 10 chunks are kept in {}", spool.display());
            assert!(shown.contains(&left), "{shown}");
            assert_eq!(s3.keys(), [""; 0]);
            assert_eq!(s3.unfinished(), 0);
            let kept = file_names(&spool);
            assert_eq!(kept.len(), 1);
            assert!(kept[0].ends_with(".resume"), "{kept:?}");

            mend(db);
            // What is whole is not read again.
            db.sql("UPDATE t SET note = 'too late' WHERE id < 5000");
            let shown = run(&with_spool).ended_with(0);
            assert!(
                shown.contains("9 of 10 chunks were read by earlier runs"),
                "{shown}"
            );
            db.sql("UPDATE t SET note = CONCAT('n, \"', id) WHERE id < 5000");
            assert_eq!(file_names(&spool), [""; 0]);
            assert_eq!(s3.unfinished(), 0);
            let keys = s3.keys().into_iter();
            let rows = keys.filter(|key| key.ends_with(".csv"));
            let rows = rows.map(|key| s3.object(&key).expect("an object"));
            assert!(
                rows.collect::<Vec<_>>().concat() == expected.as_bytes(),
                "{target}"
            );
            let described = match target.contains("{part}") {
                true => "s3://bucket/d/x-all.csv.dataset.json",
                false => target,
            };
            s3.reach(GoldDigger::new().args(["verify", described]))
                .run()
                .ended_with(0);
            for key in s3.keys() {
                fs::remove_file(s3.path(&key)).expect("an object");
            }
        }
    });
}
