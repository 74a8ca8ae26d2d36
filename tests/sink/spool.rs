//! The spool: a slow destination gets the same bytes, and the server is free before.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
};

use mysql::prelude::Queryable;
use tempfile::TempDir;

use super::objects::{LARGE, make_numbers};
use crate::{
    jobs::reliability::disks::DISK,
    support::{
        Database, Fault, GoldDigger, Running, S3, Signal, each_server, file_names, make_fifo,
        on_a_server, wait_until,
    },
};

/// More than an upload keeps in its parts.
const LARGER: &str = "SELECT a.n * 1000 + b.n AS id, REPEAT('x', 1000) AS text FROM numbers a, numbers b WHERE a.n < 60";

struct Case<'a> {
    db: &'a Database<'a>,
    folder: TempDir,
}

impl<'a> Case<'a> {
    fn new(db: &'a Database<'a>) -> Self {
        make_numbers(db);
        let folder = tempfile::tempdir().expect("a folder");
        Self { db, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Calls the binary with a spool that has `sizes` in memory and on the disk.
    fn spooled(&self, sizes: [&str; 2], args: &[&str]) -> GoldDigger {
        let [memory, limit] = sizes;
        GoldDigger::new()
            .env("DATABASE_URL", self.db.url())
            .arg("--spool")
            .arg(self.path("the_spool"))
            .args(["--spool-memory", memory, "--spool-limit", limit])
            .args(args)
    }

    /// The bytes of `sql` as CSV, without a spool.
    fn expected(&self, sql: &str) -> Vec<u8> {
        let run = self.db.export(sql).args(["--format", "csv"]).run();
        run.stdout
    }

    fn assert_no_file_is_left(&self) {
        assert_eq!(file_names(&self.path("the_spool")), [""; 0]);
    }
}

const FILES: [&str; 2] = ["1MiB", "1GiB"];

#[test]
fn a_reader_that_reads_later_gets_all_rows_when_the_server_is_free() {
    each_server(|db| {
        let case = Case::new(db);
        let expected = case.expected(LARGE);
        for sizes in [FILES, ["64MiB", "0"], ["0", "64MiB"]] {
            let mut run = case
                .spooled(sizes, &["-v", "--format", "csv", LARGE])
                .start();
            let mut stdout = run.take_stdout();
            let mut bytes = vec![0; 100];
            stdout.read_exact(&mut bytes).expect("a row");
            db.wait_for_no_session();
            stdout.read_to_end(&mut bytes).expect("all rows");
            assert!(bytes == expected, "{sizes:?}");
            let stderr = run.wait().ended_with(0);
            assert!(stderr.contains("the server is free after "), "{stderr}");
            assert!(stderr.contains(" MiB left to send"), "{stderr}");
            case.assert_no_file_is_left();
        }
        let mode = case
            .path("the_spool")
            .metadata()
            .expect("a folder")
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o700);
    });
}

#[test]
fn compressed_rows_are_spooled_as_they_are_stored() {
    on_a_server(|db| {
        let case = Case::new(db);
        // Random bytes, which stay large.
        let sql = "SELECT HEX(RANDOM_BYTES(500)) AS x FROM numbers a, numbers b WHERE a.n < 20";
        let zstd = ["-v", "--format", "csv", "--compression", "zstd", sql];
        let mut run = case.spooled(FILES, &zstd).start();
        let mut stdout = run.take_stdout();
        db.wait_for_no_session();
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).expect("all rows");
        run.wait().ended_with(0);
        let codec = gold_digger::format::Codec::Zstd;
        let decoder = gold_digger::sink::decoder(codec, &bytes[..]);
        let mut plain = String::new();
        let mut decoder = decoder.expect("a decoder");
        decoder.read_to_string(&mut plain).expect("whole frames");
        assert_eq!(plain.lines().count(), 20_001);
        assert!(bytes.len() < plain.len());
    });
}

#[test]
fn a_full_spool_has_the_server_wait_or_ends_the_export() {
    on_a_server(|db| {
        let case = Case::new(db);
        let expected = case.expected(LARGE);
        let full_disk = |run: GoldDigger| {
            run.env("LD_PRELOAD", &*DISK)
                .env("FAULT_CALL", "write")
                .env("FAULT_ERRNO", "28")
                .env("FAULT_AFTER", "3000000")
                .env("FAULT_NAME", "the_spool")
        };
        let small = ["1MiB", "2MiB"];
        let args = ["-v", "--format", "csv", LARGE];
        for (run, problem) in [
            (case.spooled(small, &args), "its limit is reached"),
            (full_disk(case.spooled(FILES, &args)), "its disk is full"),
        ] {
            let mut run = run.start();
            let mut stdout = run.take_stdout();
            let stderr = run.child.stderr.take().expect("a pipe");
            let message = format!("the server waits for standard output: in the spool, {problem}");
            let mut lines = BufReader::new(stderr).lines();
            let is_told = |line: std::io::Result<String>| line.expect("UTF-8").contains(&message);
            assert!(lines.any(is_told), "{message}");
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).expect("all rows");
            assert!(bytes == expected, "{problem}");
            // It tells it once.
            assert!(!lines.any(is_told));
            run.wait().ended_with(0);
        }
        // It ends though nobody reads.
        let fail = ["--spool-full", "fail", "--format", "csv", LARGE];
        for (run, problem) in [
            (case.spooled(small, &fail), "its limit is reached"),
            (full_disk(case.spooled(FILES, &fail)), "its disk is full"),
        ] {
            let mut run = run.start();
            let stdout = run.take_stdout();
            let folder = case.path("the_spool").display().to_string();
            run.wait().failed(
                5,
                &[
                    &format!("cannot keep more in the spool {folder}: {problem}"),
                    "standard output takes the rows too slowly",
                ],
            );
            drop(stdout);
        }
        // Nothing of a killed run is left.
        let mut run = case.spooled(FILES, &args).start();
        let stdout = run.take_stdout();
        db.wait_for_no_session();
        run.signal(Signal::SIGKILL);
        assert_eq!(run.wait().status.signal(), Some(9));
        drop(stdout);
        case.assert_no_file_is_left();
    });
}

#[test]
fn a_failing_query_leaves_all_rows_before_it_in_the_stream() {
    on_a_server(|db| {
        let case = Case::new(db);
        let sql = format!(
            "SELECT CASE WHEN t.id = 10900 THEN (SELECT n FROM numbers WHERE n >= t.id * 0) ELSE 1 END, t.*              FROM ({LARGE}) t"
        );
        let args = ["--format", "csv", &sql];
        let without = GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .args(args)
            .run();
        let expected = without.stdout.clone();
        without.ended_with(4);
        assert!(expected.len() > 10_000_000);
        let mut run = case.spooled(FILES, &args).start();
        let mut stdout = run.take_stdout();
        db.wait_for_no_statement();
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).expect("rows");
        assert!(bytes == expected);
        run.wait().ended_with(4);
        // A file is whole or absent.
        let file = case.path("x.csv");
        let args = ["-o", file.to_str().expect("UTF-8"), &sql];
        case.spooled(FILES, &args).run().ended_with(4);
        assert!(!file.exists());
        case.assert_no_file_is_left();
    });
}

/// Writes a list of an export to a FIFO, and one to a file, in one snapshot.
fn list(case: &Case<'_>) -> (PathBuf, PathBuf, PathBuf) {
    let [config, fifo, file] = ["c.toml", "fifo", "second.csv"].map(|name| case.path(name));
    make_fifo(&fifo);
    let text = format!(
        "[run]\nsnapshot = true\n[output]\nformat = 'csv'\n\
         [[export]]\nname = 'one'\npath = '{}'\nsql = \"{LARGE}\"\n\
         [[export]]\nname = 'two'\npath = '{}'\nsql = 'SELECT 2 AS a'\n",
        fifo.display(),
        file.display()
    );
    fs::write(&config, text).expect("a file");
    (config, fifo, file)
}

#[test]
fn the_next_export_of_a_snapshot_runs_while_the_last_one_is_sent() {
    each_server(|db| {
        let case = Case::new(db);
        let (config, fifo, file) = list(&case);
        let args = ["--config", config.to_str().expect("UTF-8")];
        let run = case.spooled(FILES, &args).start();
        let mut reader = File::open(&fifo).expect("a FIFO");
        wait_until("the second export is there", || file.exists());
        db.wait_for_no_session();
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).expect("all rows");
        assert!(bytes == case.expected(LARGE));
        run.wait().ended_with(0);
        assert_eq!(fs::read(&file).expect("a file"), b"a\n2\n");

        // A reader that goes away fails its own export.
        drop(reader);
        fs::remove_file(&file).expect("a file");
        let run = case.spooled(FILES, &args).start();
        let reader = File::open(&fifo).expect("a FIFO");
        wait_until("the second export is there", || file.exists());
        drop(reader);
        run.wait()
            .failed_with_any_length(5, &["its reader has gone", "1 of 2 exports failed"]);
    });
}

fn start_slow_upload(case: &Case<'_>, s3: &S3, args: &[&str]) -> Running {
    // The parts are on their way when the server is free.
    s3.misbehave(2, "PUT", "partNumber=", Fault::Wait(1500));
    let target = ["-v", "-o", "s3://bucket/x.csv", "--manifest", LARGER];
    let run = case.spooled(FILES, &[&target, args].concat());
    s3.reach(run).start()
}

#[test]
fn an_object_is_whole_or_absent_though_the_server_is_free_before() {
    on_a_server(|db| {
        let case = Case::new(db);
        let s3 = S3::start();
        let run = start_slow_upload(&case, &s3, &[]);
        let stderr = run.wait().ended_with(0);
        assert!(stderr.contains("left to send"), "{stderr}");
        assert!(s3.object("x.csv") == Some(case.expected(LARGER)));
        let verify = GoldDigger::new().args(["verify", "s3://bucket/x.csv"]);
        s3.reach(verify).run().ended_with(0);
        fs::remove_file(s3.path("x.csv")).expect("an object");
        fs::remove_file(s3.path("x.csv.manifest.json")).expect("an object");

        let nothing = |what: &str| {
            assert_eq!(s3.keys(), [""; 0], "{what}");
            assert_eq!(s3.unfinished(), 0, "{what}");
            case.assert_no_file_is_left();
        };
        let denied = Fault::Answer(403, "AccessDenied");
        s3.misbehave(9, "PUT", "partNumber=4", denied);
        let run = start_slow_upload(&case, &s3, &[]);
        run.wait().failed_with_any_length(
            5,
            &["cannot write to s3://bucket/x.csv: the store says AccessDenied"],
        );
        s3.behave();
        nothing("a refused part");

        let run = start_slow_upload(&case, &s3, &[]);
        run.wait_for_signal_handlers();
        wait_until("a part is sent", || {
            let requests = s3.requests();
            requests.iter().any(|one| one.starts_with("PUT"))
        });
        db.wait_for_no_session();
        run.signal(Signal::SIGTERM);
        run.wait().ended_with(143);
        nothing("a signal");
    });
}

#[test]
fn parts_and_chunks_are_spooled() {
    on_a_server(|db| {
        let case = Case::new(db);
        let s3 = S3::start();
        let target = "s3://bucket/p/{part}.csv";
        let verify = || {
            let dataset = "s3://bucket/p/all.csv.dataset.json";
            let verify = GoldDigger::new().args(["verify", dataset]);
            s3.reach(verify).run().ended_with(0);
        };
        let limit = ["--rows-per-file=3000", "-o", target, LARGE];
        s3.reach(case.spooled(FILES, &limit)).run().ended(0, "");
        assert_eq!(s3.keys().len(), 8);
        verify();
        // More parts than the spool takes at a time.
        let split = [
            "--table=numbers",
            "--split=100",
            "--connections=2",
            "-o",
            target,
        ];
        let split = [&split[..], &["--snapshot=false"]].concat();
        s3.reach(case.spooled(FILES, &split)).run().ended_with(0);
        assert_eq!(s3.keys().len(), 101);
        verify();
        assert_eq!(s3.unfinished(), 0);
    });
}

#[test]
fn outputs_do_not_wait_for_each_other_for_ever() {
    on_a_server(|db| {
        let case = Case::new(db);
        db.sql(&format!("CREATE TABLE large (PRIMARY KEY (id)) {LARGE}"));
        let target = case.path("{part}.csv");
        let target = target.to_str().expect("UTF-8");
        // More chunks side by side than memory has room for, and no disk.
        let split = [
            "--table=large",
            "--split=16",
            "--connections=8",
            "--snapshot=false",
        ];
        for sizes in [["64MiB", "1GiB"], ["1MiB", "0"], ["0", "0"], ["0", "1MiB"]] {
            let run = case.spooled(sizes, &[&split[..], &["-o", target]].concat());
            run.run().ended_with(0);
            let parts = ["--table=large", "--rows-per-file=100", "-o", target];
            case.spooled(sizes, &parts).run().ended(0, "");
            let dataset = case.path("all.csv.dataset.json");
            GoldDigger::new()
                .arg("verify")
                .arg(dataset)
                .run()
                .ended_with(0);
        }
        case.assert_no_file_is_left();
    });
}

#[test]
fn a_stream_that_nobody_reads_keeps_no_room_after_its_failure() {
    on_a_server(|db| {
        let case = Case::new(db);
        let [fifo, file] = ["fifo", "second.csv"].map(|name| case.path(name));
        make_fifo(&fifo);
        let text = format!(
            "[output]\nformat = 'csv'\n\
             [[export]]\nname = 'one'\npath = '{}'\nsql = \"{LARGE}\"\n\
             [[export]]\nname = 'two'\npath = '{}'\nsql = \"{LARGE} AND a.n < 5\"\n",
            fifo.display(),
            file.display()
        );
        fs::write(case.path("c.toml"), text).expect("a file");
        let config = case.path("c.toml").display().to_string();
        let args = ["--config", &config, "--spool-full=fail"];
        let run = case.spooled(["4MiB", "4MiB"], &args).start();
        let reader = File::open(&fifo).expect("a FIFO");
        run.wait().failed_with_any_length(
            5,
            &[
                "one: cannot keep more in the spool",
                "1 of 2 exports failed: one (exit code 5)",
            ],
        );
        drop(reader);
        assert_eq!(
            fs::read_to_string(&file).expect("a file").lines().count(),
            5001
        );
    });
}

#[test]
fn a_signal_while_the_server_waits_ends_its_session() {
    each_server(|db| {
        let case = Case::new(db);
        for args in [
            ["--spool-full=wait", "--format=csv"],
            // Without a spool, the program itself waits.
            ["--throttle=1000", "--format=csv"],
        ] {
            let args = [&args[..], &[LARGE]].concat();
            let mut run = case.spooled(["0", "0"], &args).start();
            let mut stdout = run.take_stdout();
            stdout.read_exact(&mut [0; 100]).expect("a row");
            run.signal(Signal::SIGTERM);
            run.wait().ended_with(143);
            db.wait_for_no_session();
        }
    });
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error_before_anything_is_asked() {
    on_a_server(|db| {
        let case = Case::new(db);
        let target = case.path("x.csv");
        let spool_in = |folder: &Path| {
            GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .arg("--spool")
                .arg(folder)
                .arg("-o")
                .arg(&target)
                .arg("SELECT 1")
        };
        let file = case.path("file");
        fs::write(&file, "").expect("a file");
        let missing = case.path("no/such");
        for (folder, problem, hint) in [
            (&*file, "it is no folder", "name a folder"),
            (
                &*missing,
                "No such file or directory",
                "create the folder that it is in first",
            ),
            (Path::new("/proc/self"), "", "name a folder"),
        ] {
            let message = format!("cannot use the spool {}: {problem}", folder.display());
            spool_in(folder).run().failed(5, &[&message, hint]);
            let checked = spool_in(folder).arg("--check").run();
            checked.failed(5, &[&message, hint]);
        }
        let spool = case.path("the_spool");
        spool_in(&spool).arg("--check").run().ended_with(0);
        assert!(!spool.exists());
        // What a killed run has left, where files have names for a moment, is removed.
        fs::create_dir(&spool).expect("a folder");
        fs::write(spool.join(".gold_digger-spool-AbCdEf"), "").expect("a file");
        fs::write(spool.join("mine"), "").expect("a file");
        spool_in(&spool).run().ended(0, "");
        assert_eq!(file_names(&spool), ["mine"]);
        for option in ["--spool-memory=1", "--spool-limit=1", "--spool-full=fail"] {
            let run = db.export("SELECT 1").arg(option).run();
            let name = option.split('=').next().expect("a name");
            let message = format!("{name} is for a spool, and none is named");
            run.failed(2, &[&message, "--spool DIR"]);
        }
    });
}

#[test]
fn a_folder_that_is_removed_meanwhile_ends_the_export() {
    on_a_server(|db| {
        let case = Case::new(db);
        let mut holder = db.connect();
        let lock = |verb| {
            format!(
                "DO {verb}('{}'{})",
                db.name,
                ["", ", 0"][usize::from(verb == "GET_LOCK")]
            )
        };
        holder.query_drop(lock("GET_LOCK")).expect("a lock");
        let sql = format!(
            "SELECT 0 AS id, GET_LOCK('{}', 100) AS text UNION ALL {LARGE}",
            db.name
        );
        let args = ["--format", "csv", &sql];
        let mut run = case.spooled(["1MiB", "1GiB"], &args).start();
        let mut stdout = run.take_stdout();
        wait_until("the query waits", || {
            !db.connections_waiting(&db.name).is_empty()
        });
        fs::remove_dir(case.path("the_spool")).expect("an empty folder");
        holder
            .query_drop(lock("RELEASE_LOCK"))
            .expect("it is freed");
        drop(holder);
        db.wait_for_no_statement();
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).expect("rows");
        let folder = case.path("the_spool").display().to_string();
        run.wait().failed(
            5,
            &[
                &format!("cannot write to the spool in {folder}: No such file or directory"),
                "has its folder been removed or renamed meanwhile?",
            ],
        );
    });
}
