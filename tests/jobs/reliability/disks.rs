//! Outputs that cannot be written: full and failing disks, limits, and targets
//! that are missing, read-only, or removed during the run.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    Case, OLD_CONTENT, Output, StalledQuery, Variant, assert_query_killed, count_long_values,
    rows_in_message, run_with_fault,
};
use crate::support::{
    Database, GoldDigger, Outcome, Running, Signal, each_server, file_names, make_fifo,
    on_a_server, short_timeout, wait_until,
};

/// The library that makes a disk fail, built once.
pub static DISK: LazyLock<PathBuf> = LazyLock::new(|| {
    // This is Cargo's folder for the files of tests.
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk.so");
    let unfinished = library.with_extension(std::process::id().to_string());
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/disk.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&unfinished);
    let built = compiler.arg(source).arg("-ldl").status().expect("cc");
    assert!(built.success());
    fs::rename(unfinished, &library).expect("it gets its name");
    library
});

/// Makes `run` use a disk where `call` fails with `errno` after `after` bytes.
fn on_failing_disk(case: &Case, run: GoldDigger, call: &str, errno: i32, after: u32) -> GoldDigger {
    run.env("LD_PRELOAD", &*DISK)
        .env("FAULT_CALL", call)
        .env("FAULT_ERRNO", errno.to_string())
        .env("FAULT_AFTER", after.to_string())
        // Only the target's disk fails, not that of the summary.
        .env("FAULT_NAME", format!("x.{}", case.variant.format))
}

/// Returns a query of rows that are larger than one write, at full speed.
fn rows(count: u32) -> String {
    // MariaDB's own; a recursive query ends after 1,000 rows.
    format!("SELECT seq AS i, REPEAT('x', 40000) AS x FROM seq_1_to_{count}")
}

/// Asserts that the run failed with exit code 5 and that its message names the target.
#[track_caller]
fn assert_output_failed(case: &Case, outcome: Outcome, parts: &[&str]) -> u64 {
    let target = case.target().display().to_string();
    let name = match case.variant.output {
        Output::File => &target,
        Output::Stdout => "standard output",
    };
    case.assert_failed(outcome, 5, &[&[name], parts].concat())
}

#[test]
fn disks_that_are_full_or_broken_end_exports() {
    on_a_server(|db| {
        for case in Case::all() {
            for (call, errno, after, parts) in [
                (
                    "write",
                    28,
                    0,
                    ["cannot write to", "No space left on device", "make room"],
                ),
                (
                    "write",
                    28,
                    1_000_000,
                    ["cannot write to", "No space left on device", "make room"],
                ),
                (
                    "write",
                    122,
                    1_000_000,
                    ["cannot write to", "Disk quota exceeded", "make room"],
                ),
                (
                    "write",
                    5,
                    1_000_000,
                    ["cannot write to", "Input/output error", "look at the disk"],
                ),
                (
                    "sync",
                    5,
                    0,
                    ["cannot sync", "Input/output error", "look at the disk"],
                ),
                (
                    "sync",
                    28,
                    0,
                    ["cannot sync", "No space left on device", "make room"],
                ),
                (
                    "rename",
                    5,
                    0,
                    [
                        "cannot rename the finished file to",
                        "Input/output error",
                        "look at the disk",
                    ],
                ),
            ] {
                if case.variant.output == Output::Stdout && call != "write" {
                    continue;
                }
                // The file is also synced after each 16 MB, before its end.
                for count in if call == "sync" {
                    &[3, 500, 1500][..]
                } else {
                    &[60]
                } {
                    let run = case.run(on_failing_disk(
                        &case,
                        db.export(&rows(*count)),
                        call,
                        errno,
                        after,
                    ));
                    assert!(run.elapsed < short_timeout(), "{:?}", run.elapsed);
                    assert_output_failed(&case, run, &parts);
                }
            }
        }
    });
}

/// File systems with quotas, on a network or in FUSE may tell only at the end that the
/// bytes were not kept.
#[test]
fn files_behind_descriptors_that_are_not_kept_end_exports() {
    on_a_server(|db| {
        for case in Case::writing_to(Output::Stdout) {
            for (call, verb) in [("sync", "cannot sync "), ("close", "cannot close ")] {
                for (errno, parts) in [
                    (122, ["Disk quota exceeded", "make room"]),
                    (5, ["Input/output error", "look at the disk"]),
                ] {
                    let run = on_failing_disk(&case, db.export(&rows(60)), call, errno, 0);
                    let parts = [verb, parts[0], parts[1], "what was written is incomplete"];
                    let outcome = case.run(run);
                    outcome.failed(5, &[&["standard output"][..], &parts].concat());
                    let shell = ["sh", "-c", "exec \"$@\" 3>>\"$LOG\"", "sh"];
                    let run = GoldDigger::wrapped_in(&shell)
                        .env("LOG", case.target())
                        .env("DATABASE_URL", db.url())
                        .args([&rows(3), "--format", case.variant.format, "-o", "/dev/fd/3"]);
                    let run = on_failing_disk(&case, run, call, errno, 0).run();
                    run.failed(5, &[&["/dev/fd/3"][..], &parts].concat());
                }
            }
        }
        // Pipes and devices are not synced.
        let run = db.export(&rows(3)).env("LD_PRELOAD", &*DISK);
        let run = run.env("FAULT_CALL", "sync").env("FAULT_ERRNO", "22");
        let run = run.env("FAULT_AFTER", "0").env("FAULT_NAME", "");
        run.run().ended(0, "");
        let null = fs::File::options().write(true).open("/dev/null");
        let run = db.export(&rows(3)).env("LD_PRELOAD", &*DISK);
        let run = run.env("FAULT_CALL", "sync").env("FAULT_ERRNO", "5");
        let run = run.env("FAULT_AFTER", "0").env("FAULT_NAME", "");
        run.stdout(null.expect("it")).wait().ended(0, "");
    });
}

#[test]
fn the_file_size_limit_ends_exports() {
    on_a_server(|db| {
        for case in Case::all() {
            let limited =
                GoldDigger::wrapped_in(&["sh", "-c", "ulimit -f 2000; exec \"$@\"", "sh"]);
            let run = case.run(limited.env("DATABASE_URL", db.url()).arg(rows(60)));
            assert_output_failed(&case, run, &["File too large", "ulimit -f"]);
        }
    });
}

#[test]
fn a_folder_that_is_removed_or_renamed_ends_exports() {
    each_server(|db| {
        let stalled = StalledQuery::new(db);
        for is_renamed in [false, true] {
            let new_parent = tempfile::tempdir().expect("a folder");
            let new_path = |number: usize| new_parent.path().join(number.to_string());
            let cases = Case::writing_to(Output::File);
            let export = || stalled.export(db);
            let (outcomes, fault_time) = run_with_fault(&cases, export, short_timeout(), |_| {
                for (number, case) in cases.iter().enumerate() {
                    if is_renamed {
                        fs::rename(case.folder.path(), new_path(number)).expect("renamed");
                    } else {
                        fs::remove_dir_all(case.folder.path()).expect("removed");
                    }
                }
            });
            assert_query_killed(db, &db.name, fault_time);
            for (number, (case, outcome)) in cases.iter().zip(outcomes).enumerate() {
                let target = case.target().display().to_string();
                let parts = [
                    &target,
                    "its unfinished file has been removed; ",
                    "renamed meanwhile?",
                ];
                // The summary cannot be written either.
                outcome.failed_with_any_length(5, &parts);
                assert!(!case.folder.path().exists());
                if is_renamed {
                    let own = format!("x.{}", case.variant.format);
                    assert_eq!(file_names(&new_path(number)), [own.as_str()]);
                    let content = fs::read_to_string(new_path(number).join(own));
                    assert_eq!(content.expect("the file"), OLD_CONTENT);
                }
            }
        }
    });
}

#[test]
fn a_folder_that_takes_the_targets_name_is_not_replaced() {
    on_a_server(|db| {
        let cases = Case::writing_to(Output::File);
        let stalled = StalledQuery::new(db);
        let export = || stalled.export(db);
        let (outcomes, _) = run_with_fault(&cases, export, 2 * short_timeout(), |_| {
            for case in &cases {
                fs::remove_file(case.target()).expect("it can go");
                fs::create_dir(case.target()).expect("a folder");
            }
            stalled.release();
        });
        for (case, outcome) in cases.iter().zip(outcomes) {
            let target = case.target().display().to_string();
            outcome.failed(5, &[&target, "Is a directory", "7 rows had come"]);
            assert_eq!(file_names(&case.target()), [""; 0]);
            assert_eq!(file_names(case.folder.path()).len(), 2);
        }
    });
}

/// Returns a run without the privilege of root to write to read-only files.
fn without_privilege() -> GoldDigger {
    let wrapper = ["setpriv", "--bounding-set", "-dac_override"];
    GoldDigger::wrapped_in(if nix::unistd::geteuid().is_root() {
        &wrapper
    } else {
        &[]
    })
}

#[test]
fn read_only_targets_and_folders_are_not_changed() {
    on_a_server(|db| {
        for case in Case::writing_to(Output::File) {
            let set_mode = |path: &Path, mode| {
                fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
            };
            let sql = "SELECT SLEEP(1000)";
            let run = || {
                let run = without_privilege().env("DATABASE_URL", db.url());
                let run = run.args([
                    sql,
                    "--format",
                    case.variant.format,
                    "--protocol",
                    case.variant.protocol,
                ]);
                run.arg("-o").arg(case.target()).run()
            };
            let target = case.target().display().to_string();
            let assert_refused = |path: &Path, modes: [u32; 2], hint: &str| {
                set_mode(path, modes[0]);
                let outcome = run();
                set_mode(path, modes[1]);
                outcome.failed(5, &[&target, "Permission denied", hint]);
                case.assert_untouched();
            };
            assert_refused(&case.target(), [0o444, 0o644], "it is read-only for you");
            let folder = case.folder.path();
            assert_refused(folder, [0o555, 0o755], "its folder must be writable");
        }
    });
}

#[test]
fn target_names_may_be_any_bytes() {
    on_a_server(|db| {
        for case in Case::writing_to(Output::File) {
            let format = case.variant.format;
            let mut expected = Vec::new();
            for name in [
                &b"plain"[..],
                b"a b\nc",
                b"\xff\xfe \xe4",
                b"-o",
                "Köln 東京".as_bytes(),
            ] {
                let mut name = OsStr::from_bytes(name).to_owned();
                name.push(format!(".{format}"));
                let target = case.folder.path().join(name);
                let export = |sql: &str| {
                    let run = db.export(sql).args(["--protocol", case.variant.protocol]);
                    run.arg("-o").arg(&target).run()
                };
                export("SELECT 1 AS a").wrote("");
                let written = fs::read(&target).expect("the file");
                if expected.is_empty() {
                    expected.clone_from(&written);
                }
                assert_eq!(written, expected);
                // A message of failure names the target on one line.
                export("SELECT 1 UNION ALL SELECT REPEAT('x', @@max_allowed_packet + 1)")
                    .failed(4, &["2 rows had come, and ", " was not touched\n"]);
                assert_eq!(fs::read(&target).expect("the file"), expected);
                fs::remove_file(&target).expect("it can go");
            }
            assert_eq!(file_names(case.folder.path()), [format!("x.{format}")]);
        }
    });
}

/// An export to a link fails like one to the file that the link points to.
#[test]
fn links_fail_like_files_and_fifos_like_streams() {
    on_a_server(|db| {
        let stalled = StalledQuery::new(db);
        for case in Case::writing_to(Output::File) {
            let Variant {
                format, protocol, ..
            } = case.variant;
            let links = tempfile::tempdir().expect("a folder");
            let link = links.path().join(format!("link.{format}"));
            symlink(case.target(), &link).expect("a link");
            let export = |target: &Path| {
                let run = stalled.export(db).args(["--retry", "3"]);
                let run = run.args(["--protocol", protocol, "--format", format]);
                run.arg("-o").arg(target).start()
            };
            let run = export(&link);
            case.wait_for_rows();
            run.signal(Signal::SIGTERM);
            let parts = ["ended by SIGTERM; ", &link.display().to_string()];
            run.wait().failed(143, &parts);
            case.assert_untouched();
            assert_eq!(file_names(links.path()).len(), 1);

            let fifo = links.path().join("fifo");
            make_fifo(&fifo);
            let run = export(&fifo);
            let mut reader = fs::File::open(&fifo).expect("the FIFO");
            reader.read_exact(&mut [0; 30_000]).expect("rows");
            drop(reader);
            let parts = ["its reader has gone; ", "what was written is incomplete"];
            run.wait().failed(5, &parts);
            // Without a reader the export waits, and a signal ends the wait.
            let run = export(&fifo);
            run.wait_for_signal_handlers();
            run.signal(Signal::SIGTERM);
            run.wait()
                .failed(143, &["ended by SIGTERM; no row had come"]);
        }
    });
}

#[test]
fn keep_partial_keeps_the_rows_that_had_arrived() {
    on_a_server(|db| {
        for case in Case::all() {
            let partial = case
                .folder
                .path()
                .join(format!("x.{}.partial", case.variant.format));
            fs::write(&partial, "of an earlier night").expect("a file");
            let whole = Case::new(case.variant);
            whole.run(db.export(&rows(60))).wrote("");
            let document = whole.output_bytes();
            let run = on_failing_disk(&case, db.export(&rows(60)), "write", 28, 1_000_000)
                .arg("--keep-partial");
            let stderr = case.run(run).ended_with(5);
            if case.variant.output == Output::Stdout {
                assert_eq!(
                    fs::read(&partial).expect("the file"),
                    b"of an earlier night"
                );
                continue;
            }
            let kept = format!("warning: what had come is kept as {}\n", partial.display());
            assert!(stderr.contains(&kept), "{stderr}");
            let part = fs::read(&partial).expect("the part");
            assert!(
                part.len() >= 1_000_000
                    && part.len() < document.len()
                    && document.starts_with(&part)
            );
            assert_eq!(
                fs::read_to_string(case.target()).expect("the file"),
                OLD_CONTENT
            );
            assert_eq!(file_names(case.folder.path()).len(), 3);

            // An export that succeeds or has no rows does not change the part.
            for (sql, code) in [
                ("SELECT 1", 0),
                ("SELECT 1 WHERE FALSE", 1),
                ("SELECT nothing", 4),
            ] {
                case.run(db.export(sql).arg("--keep-partial"))
                    .ended_with(code);
                assert!(fs::read(&partial).expect("the part") == part);
            }
        }
    });
}

#[test]
fn keep_partial_keeps_the_rows_before_a_signal() {
    each_server(|db| {
        let stalled = StalledQuery::new(db);
        let cases = Case::writing_to(Output::File);
        let export = || stalled.export(db).arg("--keep-partial");
        let (outcomes, fault_time) = run_with_fault(&cases, export, short_timeout(), |runs| {
            runs.iter().for_each(|run| run.signal(Signal::SIGTERM));
        });
        for (case, outcome) in cases.iter().zip(outcomes) {
            let rows = rows_in_message(&outcome.ended_with(143)).expect("rows");
            let partial = case
                .folder
                .path()
                .join(format!("x.{}.partial", case.variant.format));
            let part = fs::read_to_string(partial).expect("the part");
            assert_eq!(count_long_values(part.as_bytes()) as u64, rows);
        }
        assert_query_killed(db, &db.name, fault_time);
    });
}

/// The new file is already complete and in place, and the message must say so.
#[test]
fn a_folder_that_cannot_be_synced_is_reported_and_the_file_stays() {
    on_a_server(|db| {
        for case in Case::writing_to(Output::File) {
            let whole = Case::new(case.variant);
            whole.run(db.export("SELECT 1 AS a")).wrote("");
            let run = on_failing_disk(&case, db.export("SELECT 1 AS a"), "sync-folder", 5, 0);
            let name = case.folder.path().file_name().expect("a name");
            let target = case.target().display().to_string();
            // The folder of the summary can be synced.
            let summary = whole.folder.path().join("other.json");
            let run = run.env("FAULT_NAME", name).arg("--summary").arg(&summary);
            let run = run.args(["--format", case.variant.format, "-o", &target]);
            let run = run.args(["--protocol", case.variant.protocol]);
            let parts = [
                "cannot sync the folder of",
                &target,
                "the file is complete and in place",
            ];
            let outcome = run.run().failed(5, &parts);
            assert_eq!(rows_in_message(&outcome.stderr), None, "{}", outcome.stderr);
            let summary = fs::read_to_string(summary).expect("the summary");
            assert!(
                summary.contains("\"exit_code\": 5,") && summary.contains("\"rows\": 1,"),
                "{summary}"
            );
            assert_eq!(case.output_bytes(), whole.output_bytes());
            assert_eq!(file_names(case.folder.path()).len(), 1);
        }
    });
}

/// Starts an export whose `call` on the disk never returns, and waits for the call.
/// Removing the file `gate` in the folder frees it.
fn start_blocked(db: &Database, case: &Case, call: &str) -> (TempDir, Running) {
    let gates = tempfile::tempdir().expect("a folder");
    let gate = gates.path().join("gate");
    fs::write(&gate, "").expect("a file");
    let run = on_failing_disk(case, db.export("SELECT 1 AS a"), call, 0, 1);
    let run = case.start(run.env("FAULT_GATE", &gate));
    let reached = gates.path().join("gate.reached");
    wait_until("the call is blocked", || reached.exists());
    (gates, run)
}

/// A signal before the commit prevents it; a signal during the commit has no effect.
#[test]
fn a_signal_ends_the_run_only_before_the_commit() {
    on_a_server(|db| {
        for (call, code) in [("sync", 143), ("rename", 0)] {
            for case in Case::writing_to(Output::File) {
                let (gates, run) = start_blocked(db, &case, call);
                run.signal(Signal::SIGTERM);
                if call == "sync" {
                    // The run ends although the call never returns.
                    let signalled = Instant::now();
                    let outcome = run.wait();
                    assert!(
                        signalled.elapsed() < short_timeout(),
                        "{:?}",
                        signalled.elapsed()
                    );
                    assert_eq!(case.assert_failed(outcome, code, &["ended by SIGTERM"]), 1);
                } else {
                    // A run that is stuck before the commit is ended in less time.
                    thread::sleep(Duration::from_secs(1));
                    fs::remove_file(gates.path().join("gate")).expect("it can go");
                    run.wait().ended(code, "");
                    assert!(case.output_bytes() != OLD_CONTENT.as_bytes());
                }
            }
        }
    });
}

/// The first signal alone never ends this run, because its commit has begun.
#[test]
fn a_second_signal_ends_the_run_immediately() {
    on_a_server(|db| {
        for case in Case::writing_to(Output::File) {
            let (_gates, mut run) = start_blocked(db, &case, "rename");
            run.signal(Signal::SIGINT);
            // An immediate second signal counts as the same request, a later one does not.
            wait_until("it ends", || {
                run.signal(Signal::SIGTERM);
                let ended = run.child.try_wait();
                ended.expect("the child can be waited for").is_some()
            });
            // An orderly end would have printed a message.
            run.wait().ended(143, "");
            assert_eq!(case.output_bytes(), OLD_CONTENT.as_bytes());
        }
    });
}
