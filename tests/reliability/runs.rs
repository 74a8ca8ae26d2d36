//! What happens to a run itself: signals, closed descriptors, and other runs to
//! the same target.

use std::{
    fs,
    io::Read,
    thread,
    time::{Duration, Instant},
};

use super::{
    Cell, EARLIER, PROMPT, To, is_gone, kinds, meet, names, running, slow_query, unfinished,
};
use crate::support::{Database, GoldDigger, Signal, each_server, until};

fn export(db: &Database) -> GoldDigger {
    db.export(&slow_query(&db.name, 900))
}

#[test]
fn signals_end_exports_in_order() {
    each_server(|db| {
        for (signal, code) in [
            (Signal::SIGHUP, 129),
            (Signal::SIGINT, 130),
            (Signal::SIGTERM, 143),
        ] {
            let cells = Cell::all();
            let outcomes = meet(
                &cells,
                || export(db),
                PROMPT,
                |runs| {
                    runs.iter().for_each(|run| run.signal(signal));
                },
            );
            is_gone(db, &db.name);
            for (cell, outcome) in cells.iter().zip(outcomes) {
                let rows = cell.failed(outcome, code, &[&format!("ended by {signal}; ")]);
                assert!(rows > 0);
            }
        }
    });
}

/// The process list shows what a procedure runs, and not the CALL.
#[test]
fn a_call_is_killed_on_the_server_too() {
    each_server(|db| {
        db.sql(&format!(
            "CREATE PROCEDURE p() SELECT SLEEP(100) AS {}",
            db.name
        ));
        for protocol in ["text", "binary"] {
            let run = db.export("CALL p()").args(["--protocol", protocol]).start();
            let inner = format!("SELECT SLEEP(100) AS {}", db.name);
            let runs = || (running(db, &inner).len() == 1).then_some(());
            until(Duration::from_secs(10), runs).expect("the procedure runs");
            run.signal(Signal::SIGTERM);
            let asked = Instant::now();
            run.wait()
                .ended(143, "gold_digger: ended by SIGTERM; no row had come\n");
            assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
            is_gone(db, &inner);
        }
    });
}

#[test]
fn a_reader_that_goes_away_ends_exports_in_silence() {
    each_server(|db| {
        let runs: Vec<_> = kinds()
            .filter(|kind| kind.to == To::Stdout)
            .map(|kind| {
                let run = export(db).args(["--format", kind.format, "--protocol", kind.protocol]);
                let mut run = run.start();
                let mut stdout = run.take_stdout();
                stdout.read_exact(&mut [0; 1000]).expect("a row");
                (run, stdout)
            })
            .collect();
        let gone = Instant::now();
        for (run, stdout) in runs {
            drop(stdout);
            run.wait().ended(141, "");
        }
        assert!(gone.elapsed() < PROMPT, "{:?}", gone.elapsed());
        is_gone(db, &db.name);
    });
}

/// The shell closes a descriptor before the program runs.
fn without(descriptors: &str) -> GoldDigger {
    GoldDigger::within(&["sh", "-c", &format!("exec \"$@\" {descriptors}"), "sh"])
}

#[test]
fn closed_descriptors_change_nothing_or_are_told() {
    each_server(|db| {
        for cell in Cell::all() {
            let expected = Cell::new(cell.kind);
            expected.run(db.export("SELECT 1 AS a")).wrote("");
            for descriptors in ["2>&-", "<&-", "<&- 2>&-"] {
                let run = || without(descriptors).env("DATABASE_URL", db.url());
                cell.run(run().arg("SELECT 1 AS a")).wrote("");
                assert_eq!(cell.written(), expected.written());
                let said = cell.run(run().arg("SELECT nothing")).ended_with(4);
                assert_eq!(said.is_empty(), descriptors.contains('2'), "{said}");
            }
            // Rows must not vanish in what stands in for it.
            let run = without(">&-").env("DATABASE_URL", db.url());
            let outcome = cell.run(run.arg("SELECT 1 AS a"));
            match cell.kind.to {
                To::File => drop(outcome.wrote("")),
                To::Stdout => drop(outcome.failed(5, &["cannot open standard output", "closed"])),
            }
        }
        let nothing = without("<&-").env("DATABASE_URL", db.url());
        nothing
            .args(["--query-file", "-"])
            .run()
            .failed(2, &["standard input"]);
    });
}

#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next() {
    each_server(|db| {
        for cell in Cell::to(To::File) {
            let folder = cell.folder.path();
            let killed = cell.start(export(db));
            cell.wait_for_rows();
            let leftover = unfinished(folder).expect("the unfinished file");
            killed.signal(Signal::SIGKILL);
            assert_eq!(killed.wait().status.code(), None);
            assert_eq!(
                fs::read_to_string(cell.target()).expect("the file"),
                EARLIER
            );
            let name = leftover.file_name().expect("a name").display().to_string();
            let random = name.strip_prefix(&format!(".x.{}.", cell.kind.format));
            let random = random.and_then(|name| name.strip_suffix(".gold_digger"));
            assert_eq!(random.expect("a name of ours").len(), 6);

            // Not of this target, or not of ours.
            let others = [
                ".x.gold_digger",
                ".x.csv.gold_digger",
                ".y.csv.abcdef.gold_digger",
            ];
            let others = others.map(|name| folder.join(name));
            others
                .iter()
                .for_each(|path| fs::write(path, "").expect("a file"));
            let linked = folder.join(format!(".x.{}.abcdef.gold_digger", cell.kind.format));
            std::os::unix::fs::symlink(&others[0], &linked).expect("a link");

            // One that lives keeps its own file, whatever comes beside it.
            let living = cell.start(db.export(&slow_query(&db.name, 30)));
            let is_removed = || (!leftover.exists()).then_some(());
            until(Duration::from_secs(10), is_removed).expect("the leftover is removed");
            let own = || {
                let entries = fs::read_dir(folder).ok()?.flatten();
                let mut paths = entries.map(|entry| entry.path());
                paths.find(|path| {
                    *path != linked
                        && !others.contains(path)
                        && path.extension().is_some_and(|end| end == "gold_digger")
                })
            };
            let own = until(Duration::from_secs(10), own).expect("its file");
            let verbose = cell.run(db.export("SELECT 1 AS a").arg("-v")).ended_with(0);
            assert!(!verbose.contains("which a killed run left"), "{verbose}");
            assert!(own.exists());
            living.wait().wrote("");
            assert!(cell.written().len() > 500_000);
            assert!(
                others
                    .iter()
                    .chain([&linked])
                    .all(|path| fs::symlink_metadata(path).is_ok())
            );
            assert_eq!(names(folder).len(), 6, "{:?}", names(folder));
        }
        is_gone(db, &db.name);
    });
}

#[test]
fn of_two_runs_to_one_target_the_last_wins_whole() {
    each_server(|db| {
        for cell in Cell::to(To::File) {
            let texts = ["one", "two"].map(|text| {
                let sql = format!(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                     SELECT '{text}' AS a, REPEAT('{text}', 1000) AS b FROM n"
                );
                let alone = Cell::new(cell.kind);
                alone.run(db.export(&sql)).wrote("");
                (sql, alone.written())
            });
            for _ in 0..3 {
                let runs = texts.each_ref().map(|(sql, _)| cell.start(db.export(sql)));
                let both = runs.map(|run| thread::spawn(move || run.wait()));
                while !both.iter().all(thread::JoinHandle::is_finished) {
                    let seen = cell.written();
                    let is_whole =
                        seen == EARLIER.as_bytes() || texts.iter().any(|(_, text)| *text == seen);
                    assert!(is_whole, "{} bytes", seen.len());
                }
                for run in both {
                    run.join().expect("no panic").wrote("");
                }
                assert!(texts.iter().any(|(_, text)| *text == cell.written()));
                assert_eq!(names(cell.folder.path()).len(), 2);
            }
            // In turn: the second begins first, and ends last.
            let second = cell.start(db.export(&slow_query(&db.name, 8)));
            cell.wait_for_rows();
            cell.run(db.export(&texts[0].0)).wrote("");
            assert!(cell.written() == texts[0].1);
            second.wait().wrote("");
            assert!(cell.written() != texts[0].1);
        }
    });
}
