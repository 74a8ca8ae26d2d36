//! Outputs that cannot be written: full and failing disks, limits, and targets
//! that are missing, read-only, or removed meanwhile.

use std::{
    env, fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

use super::{Cell, EARLIER, PROMPT, To, is_gone, meet, names, rows_of, slow_query};
use crate::support::{GoldDigger, Outcome, Signal, each_server, until};

/// The library that makes a disk fail, built once.
static DISK: LazyLock<PathBuf> = LazyLock::new(|| {
    let library = env::temp_dir().join(format!("gold_digger-disk-{}.so", std::process::id()));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/disk.c");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library);
    let built = compiler.arg(source).arg("-ldl").status().expect("cc");
    assert!(built.success());
    library
});

/// On a disk where `call` fails with the error `errno` after so many bytes.
fn on_failing_disk(cell: &Cell, run: GoldDigger, call: &str, errno: i32, after: u32) -> GoldDigger {
    run.env("LD_PRELOAD", &*DISK)
        .env("FAULT_CALL", call)
        .env("FAULT_ERRNO", errno.to_string())
        .env("FAULT_AFTER", after.to_string())
        // The summary's disk works.
        .env("FAULT_NAME", format!("x.{}", cell.kind.format))
}

/// Rows of more than a write, at full speed.
fn rows(count: u32) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         SELECT i, REPEAT('x', 40000) AS x FROM n"
    )
}

/// The target is named.
#[track_caller]
fn failed(cell: &Cell, outcome: Outcome, parts: &[&str]) -> u64 {
    let target = cell.target().display().to_string();
    let name = match cell.kind.to {
        To::File => &target,
        To::Stdout => "standard output",
    };
    cell.failed(outcome, 5, &[&[name], parts].concat())
}

#[test]
fn disks_that_are_full_or_broken_end_exports() {
    each_server(|db| {
        for cell in Cell::all() {
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
                if cell.kind.to == To::Stdout && call != "write" {
                    continue;
                }
                // Twenty megabytes are synced before their end, too.
                for count in if call == "sync" { &[3, 500][..] } else { &[60] } {
                    let run = cell.run(on_failing_disk(
                        &cell,
                        db.export(&rows(*count)),
                        call,
                        errno,
                        after,
                    ));
                    assert!(run.elapsed < PROMPT, "{:?}", run.elapsed);
                    failed(&cell, run, &parts);
                }
            }
        }
    });
}

#[test]
fn a_limit_for_files_is_an_error_like_others() {
    each_server(|db| {
        for cell in Cell::all() {
            let limited = GoldDigger::within(&["sh", "-c", "ulimit -f 2000; exec \"$@\"", "sh"]);
            let run = cell.run(limited.env("DATABASE_URL", db.url()).arg(rows(60)));
            failed(&cell, run, &["File too large", "ulimit -f"]);
        }
    });
}

#[test]
fn a_folder_that_goes_away_ends_exports() {
    each_server(|db| {
        let cells = Cell::to(To::File);
        let beside = tempfile::tempdir().expect("a folder");
        for is_renamed in [false, true] {
            let export = || db.export(&slow_query(&db.name, 900));
            let outcomes = meet(&cells, export, PROMPT, |_| {
                for (number, cell) in cells.iter().enumerate() {
                    if is_renamed {
                        fs::rename(cell.folder.path(), beside.path().join(number.to_string()))
                            .expect("renamed");
                    } else {
                        fs::remove_dir_all(cell.folder.path()).expect("removed");
                    }
                }
            });
            for (cell, outcome) in cells.iter().zip(outcomes) {
                let target = cell.target().display().to_string();
                // Nor can the summary be written.
                let said = outcome.failed_at_length(
                    5,
                    &[
                        &target,
                        "its unfinished file has been removed",
                        "renamed meanwhile?",
                    ],
                );
                assert!(rows_of(&said.stderr) > Some(0), "{}", said.stderr);
                assert!(!cell.folder.path().exists());
                fs::create_dir(cell.folder.path()).expect("a folder");
                fs::write(cell.target(), EARLIER).expect("a file");
            }
            is_gone(db, &db.name);
        }
    });
}

#[test]
fn a_folder_that_takes_the_targets_name_is_not_replaced() {
    each_server(|db| {
        let cells = Cell::to(To::File);
        let export = || db.export(&slow_query(&db.name, 8));
        let outcomes = meet(&cells, export, 2 * PROMPT, |_| {
            for cell in &cells {
                fs::remove_file(cell.target()).expect("it can go");
                fs::create_dir(cell.target()).expect("a folder");
            }
        });
        for (cell, outcome) in cells.iter().zip(outcomes) {
            let target = cell.target().display().to_string();
            outcome.failed(5, &[&target, "Is a directory", "8 rows had come"]);
            assert_eq!(names(&cell.target()), [""; 0]);
            assert_eq!(names(cell.folder.path()).len(), 2);
        }
    });
}

/// Root writes everywhere, unless it gives that up.
fn without_privilege() -> GoldDigger {
    let wrapper = ["setpriv", "--bounding-set", "-dac_override"];
    GoldDigger::within(if nix::unistd::geteuid().is_root() {
        &wrapper
    } else {
        &[]
    })
}

#[test]
fn what_is_read_only_stays() {
    each_server(|db| {
        for cell in Cell::to(To::File) {
            let set = |path: &Path, mode| {
                fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
            };
            let sql = "SELECT SLEEP(100)";
            let run = || {
                let run = without_privilege().env("DATABASE_URL", db.url());
                let run = run.args([
                    sql,
                    "--format",
                    cell.kind.format,
                    "--protocol",
                    cell.kind.protocol,
                ]);
                run.arg("-o").arg(cell.target()).run()
            };
            let target = cell.target().display().to_string();
            set(&cell.target(), 0o444);
            let outcome = run().failed(
                5,
                &[&target, "Permission denied", "it is read-only for you"],
            );
            assert!(outcome.elapsed < PROMPT, "{:?}", outcome.elapsed);
            cell.is_untouched();
            set(&cell.target(), 0o644);
            set(cell.folder.path(), 0o555);
            let outcome = run().failed(
                5,
                &[&target, "Permission denied", "its folder must be writable"],
            );
            set(cell.folder.path(), 0o755);
            assert!(outcome.elapsed < PROMPT, "{:?}", outcome.elapsed);
            cell.is_untouched();
        }
    });
}

#[test]
fn names_are_bytes() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        for name in [
            &b"a b\nc.csv"[..],
            b"\xff\xfe \xe4.csv",
            b"-o.csv",
            "Köln 東京.csv".as_bytes(),
        ] {
            let target = folder.path().join(std::ffi::OsStr::from_bytes(name));
            db.export("SELECT 1 AS a")
                .arg("-o")
                .arg(&target)
                .run()
                .wrote("");
            assert_eq!(fs::read(&target).expect("the file"), b"a\n1\n");
            fs::remove_file(&target).expect("it can go");
        }
        assert_eq!(names(folder.path()), [""; 0]);
    });
}

/// What had come, for a look at it.
#[test]
fn a_part_is_kept_where_that_is_wanted() {
    each_server(|db| {
        for cell in Cell::all() {
            let partial = cell
                .folder
                .path()
                .join(format!("x.{}.partial", cell.kind.format));
            fs::write(&partial, "of an earlier night").expect("a file");
            let whole = Cell::new(cell.kind);
            whole.run(db.export(&rows(60))).wrote("");
            let document = whole.written();
            let run = on_failing_disk(&cell, db.export(&rows(60)), "write", 28, 1_000_000)
                .arg("--keep-partial");
            let said = cell.run(run).ended_with(5);
            if cell.kind.to == To::Stdout {
                assert_eq!(
                    fs::read(&partial).expect("the file"),
                    b"of an earlier night"
                );
                continue;
            }
            let kept = format!(
                "warning: what had come is kept, without an end, as {}\n",
                partial.display()
            );
            assert!(said.contains(&kept), "{said}");
            let part = fs::read(&partial).expect("the part");
            assert!(
                part.len() >= 1_000_000
                    && part.len() < document.len()
                    && document.starts_with(&part)
            );
            assert_eq!(
                fs::read_to_string(cell.target()).expect("the file"),
                EARLIER
            );
            assert_eq!(names(cell.folder.path()).len(), 3);

            // An export that succeeds or has nothing leaves it alone.
            for (sql, code) in [
                ("SELECT 1", 0),
                ("SELECT 1 WHERE FALSE", 1),
                ("SELECT nothing", 4),
            ] {
                cell.run(db.export(sql).arg("--keep-partial"))
                    .ended_with(code);
                assert!(fs::read(&partial).expect("the part") == part);
            }
        }
    });
}

#[test]
fn a_signal_leaves_a_part_where_that_is_wanted() {
    each_server(|db| {
        let cells = Cell::to(To::File);
        let export = || db.export(&slow_query(&db.name, 900)).arg("--keep-partial");
        let outcomes = meet(&cells, export, PROMPT, |runs| {
            runs.iter().for_each(|run| run.signal(Signal::SIGTERM));
        });
        for (cell, outcome) in cells.iter().zip(outcomes) {
            let rows = rows_of(&outcome.ended_with(143)).expect("rows");
            let partial = cell
                .folder
                .path()
                .join(format!("x.{}.partial", cell.kind.format));
            let part = fs::read_to_string(partial).expect("the part");
            let values = part
                .split(|c| c != 'x')
                .filter(|run| run.len() == 20_000)
                .count();
            assert_eq!(values as u64, rows);
        }
        is_gone(db, &db.name);
    });
}

/// The new file is whole and in place then, which no message may deny.
#[test]
fn a_folder_that_cannot_be_synced_is_told_and_the_file_stays() {
    each_server(|db| {
        for cell in Cell::to(To::File) {
            let run = on_failing_disk(&cell, db.export("SELECT 1 AS a"), "sync-folder", 5, 0);
            let folder = cell.folder.path();
            let name = folder.file_name().expect("a name");
            let target = cell.target().display().to_string();
            let run =
                run.env("FAULT_NAME", name)
                    .args(["--format", cell.kind.format, "-o", &target]);
            let parts = [
                "cannot sync the folder of",
                &target,
                "the file is complete and in place",
            ];
            let outcome = run.run().failed(5, &parts);
            assert_eq!(rows_of(&outcome.stderr), None, "{}", outcome.stderr);
            assert!(cell.written().contains(&b'1'));
            assert_eq!(names(folder).len(), 1);
        }
    });
}

/// A signal either comes in time, and nothing is published, or too late.
#[test]
fn a_signal_and_the_files_name_do_not_contradict_each_other() {
    each_server(|db| {
        for (call, code) in [("sync", 143), ("rename", 0)] {
            for cell in Cell::to(To::File) {
                let gates = tempfile::tempdir().expect("a folder");
                let gate = gates.path().join("gate");
                fs::write(&gate, "").expect("a file");
                let run = on_failing_disk(&cell, db.export("SELECT 1 AS a"), call, 0, 1);
                let run = cell.start(run.env("FAULT_GATE", &gate));
                // It hangs when a thread of it sleeps between two looks.
                let tasks = format!("/proc/{}/task", run.child.id());
                let hangs = || {
                    let threads = fs::read_dir(&tasks).ok()?.flatten();
                    let mut waits = threads
                        .filter_map(|thread| fs::read_to_string(thread.path().join("wchan")).ok());
                    waits.any(|wait| wait.contains("nanosleep")).then_some(())
                };
                until(Duration::from_secs(10), hangs).expect("it hangs");
                run.signal(Signal::SIGTERM);
                if call == "sync" {
                    // Though the call never returns.
                    let asked = Instant::now();
                    let outcome = run.wait();
                    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
                    assert_eq!(cell.failed(outcome, code, &["ended by SIGTERM"]), 1);
                } else {
                    // Longer than a run that is stuck gets.
                    thread::sleep(Duration::from_secs(1));
                    fs::remove_file(&gate).expect("it can go");
                    run.wait().ended(code, "");
                    assert!(cell.written().contains(&b'1'));
                }
            }
        }
    });
}
