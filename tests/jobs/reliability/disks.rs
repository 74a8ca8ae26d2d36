//! Outputs that cannot be written: full and failing disks, limits, and targets
//! that are missing, read-only, or removed meanwhile.

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

use super::{Cell, EARLIER, Kind, Silence, To, is_gone, long_values, meet, rows_of, slow_query};
use crate::support::{
    GoldDigger, Outcome, SHORT_TIMEOUT, Signal, each_server, file_names, make_fifo, on_a_server,
    poll_until,
};

/// The library that makes a disk fail, built once.
static DISK: LazyLock<PathBuf> = LazyLock::new(|| {
    // Cargo's own folder for what tests leave.
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
    on_a_server(|db| {
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
                // Each sixteen megabytes are synced before the end, too.
                for count in if call == "sync" {
                    &[3, 500, 1500][..]
                } else {
                    &[60]
                } {
                    let run = cell.run(on_failing_disk(
                        &cell,
                        db.export(&rows(*count)),
                        call,
                        errno,
                        after,
                    ));
                    assert!(run.elapsed < SHORT_TIMEOUT, "{:?}", run.elapsed);
                    failed(&cell, run, &parts);
                }
            }
        }
    });
}

#[test]
fn a_limit_for_files_is_an_error_like_others() {
    on_a_server(|db| {
        for cell in Cell::all() {
            let limited =
                GoldDigger::wrapped_in(&["sh", "-c", "ulimit -f 2000; exec \"$@\"", "sh"]);
            let run = cell.run(limited.env("DATABASE_URL", db.url()).arg(rows(60)));
            failed(&cell, run, &["File too large", "ulimit -f"]);
        }
    });
}

#[test]
fn a_folder_that_goes_away_ends_exports() {
    each_server(|db| {
        let silence = Silence::new(db);
        for is_renamed in [false, true] {
            let beside = tempfile::tempdir().expect("a folder");
            let elsewhere = |number: usize| beside.path().join(number.to_string());
            let cells = Cell::to(To::File);
            let export = || silence.export(db);
            let (outcomes, happened) = meet(&cells, export, SHORT_TIMEOUT, |_| {
                for (number, cell) in cells.iter().enumerate() {
                    if is_renamed {
                        fs::rename(cell.folder.path(), elsewhere(number)).expect("renamed");
                    } else {
                        fs::remove_dir_all(cell.folder.path()).expect("removed");
                    }
                }
            });
            is_gone(db, &db.name, happened);
            for (number, (cell, outcome)) in cells.iter().zip(outcomes).enumerate() {
                let target = cell.target().display().to_string();
                let parts = [
                    &target,
                    "its unfinished file has been removed; ",
                    "renamed meanwhile?",
                ];
                // Nor can the summary be written.
                outcome.failed_with_any_length(5, &parts);
                assert!(!cell.folder.path().exists());
                if is_renamed {
                    let own = format!("x.{}", cell.kind.format);
                    assert_eq!(file_names(&elsewhere(number)), [own.as_str()]);
                    let earlier = fs::read_to_string(elsewhere(number).join(own));
                    assert_eq!(earlier.expect("the file"), EARLIER);
                }
            }
        }
    });
}

#[test]
fn a_folder_that_takes_the_targets_name_is_not_replaced() {
    on_a_server(|db| {
        let cells = Cell::to(To::File);
        let export = || db.export(&slow_query(&db.name, 8));
        let (outcomes, _) = meet(&cells, export, 2 * SHORT_TIMEOUT, |_| {
            for cell in &cells {
                fs::remove_file(cell.target()).expect("it can go");
                fs::create_dir(cell.target()).expect("a folder");
            }
        });
        for (cell, outcome) in cells.iter().zip(outcomes) {
            let target = cell.target().display().to_string();
            outcome.failed(5, &[&target, "Is a directory", "8 rows had come"]);
            assert_eq!(file_names(&cell.target()), [""; 0]);
            assert_eq!(file_names(cell.folder.path()).len(), 2);
        }
    });
}

/// Root writes everywhere, unless it gives that up.
fn without_privilege() -> GoldDigger {
    let wrapper = ["setpriv", "--bounding-set", "-dac_override"];
    GoldDigger::wrapped_in(if nix::unistd::geteuid().is_root() {
        &wrapper
    } else {
        &[]
    })
}

#[test]
fn what_is_read_only_stays() {
    on_a_server(|db| {
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
            let read_only = |path: &Path, modes: [u32; 2], hint: &str| {
                set(path, modes[0]);
                let outcome = run();
                set(path, modes[1]);
                let outcome = outcome.failed(5, &[&target, "Permission denied", hint]);
                assert!(outcome.elapsed < SHORT_TIMEOUT, "{:?}", outcome.elapsed);
                cell.is_untouched();
            };
            read_only(&cell.target(), [0o444, 0o644], "it is read-only for you");
            let folder = cell.folder.path();
            read_only(folder, [0o555, 0o755], "its folder must be writable");
        }
    });
}

#[test]
fn names_are_bytes() {
    on_a_server(|db| {
        for cell in Cell::to(To::File) {
            let format = cell.kind.format;
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
                let target = cell.folder.path().join(name);
                let export = |sql: &str| {
                    let run = db.export(sql).args(["--protocol", cell.kind.protocol]);
                    run.arg("-o").arg(&target).run()
                };
                export("SELECT 1 AS a").wrote("");
                let written = fs::read(&target).expect("the file");
                if expected.is_empty() {
                    expected.clone_from(&written);
                }
                assert_eq!(written, expected);
                // A failure names it on one line.
                export("SELECT 1 UNION ALL SELECT REPEAT('x', @@max_allowed_packet + 1)")
                    .failed(4, &["2 rows had come, and ", " was not touched\n"]);
                assert_eq!(fs::read(&target).expect("the file"), expected);
                fs::remove_file(&target).expect("it can go");
            }
            assert_eq!(file_names(cell.folder.path()), [format!("x.{format}")]);
        }
    });
}

/// An export through a link fails as one to the file behind it.
#[test]
fn links_and_pipes_fail_as_what_they_are() {
    on_a_server(|db| {
        let silence = Silence::new(db);
        for cell in Cell::to(To::File) {
            let Kind {
                format, protocol, ..
            } = cell.kind;
            let links = tempfile::tempdir().expect("a folder");
            let link = links.path().join(format!("link.{format}"));
            symlink(cell.target(), &link).expect("a link");
            let export = |target: &Path| {
                let run = silence.export(db).args(["--retry", "3"]);
                let run = run.args(["--protocol", protocol, "--format", format]);
                run.arg("-o").arg(target).start()
            };
            let run = export(&link);
            cell.wait_for_rows();
            run.signal(Signal::SIGTERM);
            let parts = ["ended by SIGTERM; ", &link.display().to_string()];
            run.wait().failed(143, &parts);
            cell.is_untouched();
            assert_eq!(file_names(links.path()).len(), 1);

            let fifo = links.path().join("fifo");
            make_fifo(&fifo);
            let run = export(&fifo);
            let mut reader = fs::File::open(&fifo).expect("the FIFO");
            reader.read_exact(&mut [0; 30_000]).expect("rows");
            drop(reader);
            let parts = ["its reader has gone; ", "what was written is incomplete"];
            run.wait().failed(5, &parts);
            // Without a reader it waits, and a signal ends that too.
            let run = export(&fifo);
            run.wait_for_signal_handlers();
            run.signal(Signal::SIGTERM);
            run.wait()
                .failed(143, &["ended by SIGTERM; no row had come"]);
        }
    });
}

/// What had come, for a look at it.
#[test]
fn a_part_is_kept_where_that_is_wanted() {
    on_a_server(|db| {
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
            let kept = format!("warning: what had come is kept as {}\n", partial.display());
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
            assert_eq!(file_names(cell.folder.path()).len(), 3);

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
        let silence = Silence::new(db);
        let cells = Cell::to(To::File);
        let export = || silence.export(db).arg("--keep-partial");
        let (outcomes, happened) = meet(&cells, export, SHORT_TIMEOUT, |runs| {
            runs.iter().for_each(|run| run.signal(Signal::SIGTERM));
        });
        for (cell, outcome) in cells.iter().zip(outcomes) {
            let rows = rows_of(&outcome.ended_with(143)).expect("rows");
            let partial = cell
                .folder
                .path()
                .join(format!("x.{}.partial", cell.kind.format));
            let part = fs::read_to_string(partial).expect("the part");
            assert_eq!(long_values(part.as_bytes()) as u64, rows);
        }
        is_gone(db, &db.name, happened);
    });
}

/// The new file is whole and in place then, which no message may deny.
#[test]
fn a_folder_that_cannot_be_synced_is_told_and_the_file_stays() {
    on_a_server(|db| {
        for cell in Cell::to(To::File) {
            let whole = Cell::new(cell.kind);
            whole.run(db.export("SELECT 1 AS a")).wrote("");
            let run = on_failing_disk(&cell, db.export("SELECT 1 AS a"), "sync-folder", 5, 0);
            let name = cell.folder.path().file_name().expect("a name");
            let target = cell.target().display().to_string();
            // The summary's folder can be.
            let summary = whole.folder.path().join("other.json");
            let run = run.env("FAULT_NAME", name).arg("--summary").arg(&summary);
            let run = run.args(["--format", cell.kind.format, "-o", &target]);
            let run = run.args(["--protocol", cell.kind.protocol]);
            let parts = [
                "cannot sync the folder of",
                &target,
                "the file is complete and in place",
            ];
            let outcome = run.run().failed(5, &parts);
            assert_eq!(rows_of(&outcome.stderr), None, "{}", outcome.stderr);
            let told = fs::read_to_string(summary).expect("the summary");
            assert!(
                told.contains("\"exit_code\": 5,") && told.contains("\"rows\": 1,"),
                "{told}"
            );
            assert_eq!(cell.written(), whole.written());
            assert_eq!(file_names(cell.folder.path()).len(), 1);
        }
    });
}

/// A signal either comes in time, and nothing is published, or too late.
#[test]
fn a_signal_and_the_files_name_do_not_contradict_each_other() {
    on_a_server(|db| {
        for (call, code) in [("sync", 143), ("rename", 0)] {
            for cell in Cell::to(To::File) {
                let gates = tempfile::tempdir().expect("a folder");
                let gate = gates.path().join("gate");
                fs::write(&gate, "").expect("a file");
                let run = on_failing_disk(&cell, db.export("SELECT 1 AS a"), call, 0, 1);
                let run = cell.start(run.env("FAULT_GATE", &gate));
                let met = gates.path().join("gate.reached");
                let hangs = poll_until(Duration::from_secs(10), || met.exists().then_some(()));
                hangs.expect("it hangs");
                run.signal(Signal::SIGTERM);
                if call == "sync" {
                    // Though the call never returns.
                    let asked = Instant::now();
                    let outcome = run.wait();
                    assert!(asked.elapsed() < SHORT_TIMEOUT, "{:?}", asked.elapsed());
                    assert_eq!(cell.failed(outcome, code, &["ended by SIGTERM"]), 1);
                } else {
                    // Longer than a run that is stuck gets.
                    thread::sleep(Duration::from_secs(1));
                    fs::remove_file(&gate).expect("it can go");
                    run.wait().ended(code, "");
                    assert!(cell.written() != EARLIER.as_bytes());
                }
            }
        }
    });
}
