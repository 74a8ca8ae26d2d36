//! Targets: regular files are complete or absent, other targets are written
//! directly.

use std::{
    fs::{self, File, OpenOptions},
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    time::Instant,
};

use crate::support::{GoldDigger, each_server, file_names, make_fifo, short_timeout};

const ONE_ROW: &str = "SELECT 1 AS a";

#[test]
fn a_file_keeps_its_permissions_and_a_link_its_target() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a b\n.csv");
        fs::write(&file, "earlier").expect("a file");
        fs::set_permissions(&file, PermissionsExt::from_mode(0o640)).expect("permissions");
        let before = fs::metadata(&file).expect("the file").ino();
        db.export(ONE_ROW).arg("-o").arg(&file).run().wrote("");
        let after = fs::metadata(&file).expect("the file");
        assert_eq!(fs::read(&file).expect("the file"), b"a\n1\n");
        assert_eq!(
            (after.mode() & 0o7777, after.ino() == before),
            (0o640, false)
        );

        let (link, chain, dangling) = (
            folder.path().join("link.csv"),
            folder.path().join("chain.csv"),
            folder.path().join("dangling.csv"),
        );
        fs::create_dir(folder.path().join("far")).expect("a folder");
        symlink("far/real.csv", &link).expect("a link");
        symlink("link.csv", &chain).expect("a link");
        symlink("far/new.csv", &dangling).expect("a link");
        fs::write(folder.path().join("far/real.csv"), "earlier").expect("a file");
        for (target, real) in [(&chain, "far/real.csv"), (&dangling, "far/new.csv")] {
            db.export(ONE_ROW).arg("-o").arg(target).run().wrote("");
            assert!(fs::symlink_metadata(target).expect("the link").is_symlink());
            assert_eq!(
                fs::read(folder.path().join(real)).expect("the file"),
                b"a\n1\n"
            );
        }
        assert_eq!(
            file_names(folder.path()),
            ["a b\n.csv", "chain.csv", "dangling.csv", "far", "link.csv"]
        );
        assert_eq!(
            file_names(&folder.path().join("far")),
            ["new.csv", "real.csv"]
        );
    });
}

#[test]
fn a_new_file_has_the_permissions_of_the_umask() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.csv");
        let shell = ["sh", "-c", "umask 027; exec \"$@\"", "sh"];
        GoldDigger::wrapped_in(&shell)
            .env("DATABASE_URL", db.url())
            .args([ONE_ROW, "-o"])
            .arg(&file)
            .run()
            .wrote("");
        assert_eq!(
            fs::metadata(&file).expect("the file").mode() & 0o7777,
            0o640
        );
    });
}

#[test]
fn impossible_targets_exit_5_and_are_named() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        symlink("loop", path("loop")).expect("a link");
        fs::write(path("file"), "").expect("a file");
        for (target, part) in [
            (
                path("nowhere/x.csv"),
                "No such file or directory (os error 2)\n  hint: create the folder first",
            ),
            (path("nowhere/"), "the name of a folder"),
            (folder.path().to_owned(), "it is a directory"),
            (path("loop"), "symbolic link"),
            (path("file/x.csv"), "Not a directory"),
            (path(&"x".repeat(300)), "too long"),
            ("/dev/full".into(), "No space left on device"),
        ] {
            db.export(ONE_ROW)
                .arg("-o")
                .arg(&target)
                .run()
                .failed(5, &[target.to_str().expect("plain"), part]);
        }
        assert_eq!(file_names(folder.path()), ["file", "loop"]);
        // The query does not run if the output cannot be opened.
        let slow = db
            .export("SELECT SLEEP(1000)")
            .arg("-o")
            .arg(path("nowhere/x.csv"))
            .run();
        slow.failed(5, &["nowhere"]);
    });
}

#[test]
fn special_files_are_written_directly() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo.csv");
        make_fifo(&fifo);
        let run = db.export(ONE_ROW).arg("-o").arg(&fifo).start();
        let mut text = String::new();
        File::open(&fifo)
            .expect("the FIFO")
            .read_to_string(&mut text)
            .expect("its text");
        assert_eq!(text, "a\n1\n");
        run.wait().wrote("");

        db.export(ONE_ROW).args(["-o", "/dev/null"]).run().wrote("");
        db.export(ONE_ROW).args(["-o", "-"]).run().wrote("a\n1\n");
        db.export(ONE_ROW)
            .args(["-o", "/dev/stdout", "--format", "csv"])
            .run()
            .wrote("a\n1\n");
        // /dev/stdout is the descriptor itself, with its position in the file.
        let file = folder.path().join("log");
        fs::write(&file, "before\n").expect("a file");
        let appended = OpenOptions::new()
            .append(true)
            .open(&file)
            .expect("the file");
        db.export(ONE_ROW)
            .args(["-o", "/dev/stdout"])
            .stdout(appended)
            .wait()
            .wrote("");
        assert_eq!(
            fs::read_to_string(&file).expect("the file"),
            "before\na\n1\n"
        );
        assert_eq!(file_names(folder.path()), ["fifo.csv", "log"]);
    });
}

#[test]
fn descriptors_are_written_at_their_position() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let (log, link) = (folder.path().join("log"), folder.path().join("link.csv"));
        fs::write(&log, "before\n").expect("a file");
        let shell = ["sh", "-c", "exec \"$@\" 3>>\"$LOG\"", "sh"];
        let export = || {
            GoldDigger::wrapped_in(&shell)
                .env("LOG", &log)
                .env("DATABASE_URL", db.url())
                .arg(ONE_ROW)
        };
        export().args(["-o", "/dev/fd/3"]).run().wrote("");
        assert_eq!(fs::read(&log).expect("the file"), b"before\na\n1\n");
        // A link to standard output is standard output, also if its reader closes it.
        symlink("/dev/stdout", &link).expect("a link");
        db.export(ONE_ROW)
            .arg("-o")
            .arg(&link)
            .run()
            .wrote("a\n1\n");
        let mut run = db.export("SELECT SLEEP(1000)").arg("-o").arg(&link).start();
        drop(run.take_stdout());
        run.wait().ended(141, "");
        let outcome = db.export(ONE_ROW).args(["-o", "/dev/stderr"]).run();
        assert_eq!(
            (outcome.status.code(), outcome.stderr.as_str()),
            (Some(0), "a\n1\n")
        );
    });
}

/// A descriptor may be that of a folder.
#[test]
fn a_file_in_the_folder_of_a_descriptor_is_whole() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let shell = ["sh", "-c", "exec \"$@\" 3<\"$FOLDER\"", "sh"];
        for (target, earlier) in [
            ("/dev/fd/3/x.csv", "a\n1\n2\n"),
            ("/proc/self/fd/3/x.csv", "a\n1\n2\n3\n"),
            ("/dev/fd/3/new.csv", ""),
        ] {
            let file = folder
                .path()
                .join(target.rsplit('/').next().expect("a name"));
            if !earlier.is_empty() {
                fs::write(&file, earlier).expect("a file");
            }
            let export = |sql: &str| {
                let run = GoldDigger::wrapped_in(&shell)
                    .env("FOLDER", folder.path())
                    .env("DATABASE_URL", db.url());
                run.args([sql, "--manifest", "-o", target]).run()
            };
            export("SELECT nothing").ended_with(4);
            assert_eq!(fs::read_to_string(&file).unwrap_or_default(), earlier);
            export(ONE_ROW).wrote("");
            assert_eq!(fs::read(&file).expect("the file"), b"a\n1\n");
        }
        assert_eq!(
            file_names(folder.path()),
            [
                "new.csv",
                "new.csv.manifest.json",
                "x.csv",
                "x.csv.manifest.json"
            ]
        );
        let export = GoldDigger::wrapped_in(&shell).env("FOLDER", folder.path());
        let export = export.env("DATABASE_URL", db.url());
        let run = export
            .args([ONE_ROW, "--format", "csv", "-o", "/dev/fd/3"])
            .run();
        run.failed(5, &["cannot open /dev/fd/3: ", "directory"]);
    });
}

#[test]
fn a_full_non_blocking_pipe_is_waited_for() {
    each_server(|db| {
        // Node.js makes the pipes that it shares with its children non-blocking.
        let script = r#"
import os, subprocess, sys, time
read, write = os.pipe()
os.set_blocking(write, False)
run = subprocess.Popen(sys.argv[1:], stdout=write)
os.close(write)
total = 0
while chunk := os.read(read, 4096):
    total += len(chunk)
    time.sleep(0.001)
print(run.wait(), total)
"#;
        let mut python =
            GoldDigger::wrapped_in(&["python3", "-c", script]).env("DATABASE_URL", db.url());
        python = python.arg("SELECT REPEAT('x', 400000) AS x");
        python.run().wrote("0 400003\n");
    });
}

#[test]
fn standard_output_that_is_full_exits_5() {
    each_server(|db| {
        let full = OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("/dev/full");
        db.export(ONE_ROW)
            .stdout(full)
            .wait()
            .failed(5, &["standard output", "No space left"]);
    });
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_run_without_a_message() {
    each_server(|db| {
        let many = "SELECT REPEAT('x', 1000) AS x FROM information_schema.COLUMNS AS a, information_schema.COLUMNS AS b";
        let mut run = db.export(many).start();
        let mut first = [0; 2];
        let mut stdout = run.take_stdout();
        stdout.read_exact(&mut first).expect("the header");
        drop(stdout);
        let gone = Instant::now();
        run.wait().ended(141, "");
        assert!(gone.elapsed() < short_timeout(), "{:?}", gone.elapsed());
    });
}
