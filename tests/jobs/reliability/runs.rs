//! What happens to a run itself: signals, closed descriptors, and other runs to
//! the same target.

use std::{
    fs,
    io::Read,
    os::unix::fs::symlink,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use super::{Cell, EARLIER, Silence, To, is_gone, meet, slow_query, unfinished};
use crate::support::{
    GoldDigger, Running, SHORT_TIMEOUT, Signal, each_server, file_names, on_a_server, poll_until,
};

#[test]
fn signals_end_exports_in_order() {
    each_server(|db| {
        let silence = Silence::new(db);
        for (signal, code) in [
            (Signal::SIGHUP, 129),
            (Signal::SIGINT, 130),
            (Signal::SIGTERM, 143),
        ] {
            let cells = Cell::all();
            let send = |runs: &[Running]| runs.iter().for_each(|run| run.signal(signal));
            let (outcomes, happened) = meet(&cells, || silence.export(db), SHORT_TIMEOUT, send);
            is_gone(db, &db.name, happened);
            for (cell, outcome) in cells.iter().zip(outcomes) {
                let ended = format!("ended by {signal}; ");
                cell.failed_in_silence(outcome, code, &[&ended]);
            }
        }
    });
}

#[test]
fn a_silence_that_is_too_long_ends_exports_and_their_queries() {
    each_server(|db| {
        let silence = Silence::new(db);
        let cells = Cell::all();
        let patience = Duration::from_secs(1);
        let export = || silence.export(db).args(["--read-timeout", "1s"]);
        let (outcomes, _) = meet(&cells, export, patience + SHORT_TIMEOUT, |_| {});
        is_gone(db, &db.name, Instant::now());
        for (cell, outcome) in cells.iter().zip(outcomes) {
            let parts = ["silent for too long", "--read-timeout"];
            cell.failed_in_silence(outcome, 4, &parts);
        }
        // The silence before the first row is one too.
        let sql = format!("SELECT SLEEP(100) AS {}", db.name);
        let run = db.export(&sql).args(["--read-timeout", "300ms"]).run();
        run.failed(4, &["silent for too long", "no row had come"]);
        is_gone(db, &sql, Instant::now());
    });
}

/// The process list shows what a procedure runs, and not the CALL.
#[test]
fn what_a_statement_runs_in_its_place_is_killed_too() {
    each_server(|db| {
        let inner = format!("SELECT SLEEP(100) AS {}", db.name);
        db.sql(&format!("CREATE PROCEDURE p() {inner}"));
        let tag = &db.name;
        db.sql(&format!(
            "CREATE FUNCTION f() RETURNS INT READS SQL DATA
             BEGIN DECLARE {tag} INT; SELECT SLEEP(100) INTO {tag}; RETURN {tag}; END"
        ));
        let prepare = format!("PREPARE s FROM '{inner}'");
        for (sql, init, protocol) in [
            ("CALL p()", "DO 0", "text"),
            ("CALL p()", "DO 0", "binary"),
            ("EXECUTE s", &prepare, "text"),
            ("SELECT f()", "DO 0", "text"),
            ("SELECT f()", "DO 0", "binary"),
            // Before the query.
            ("SELECT 1", &inner, "binary"),
        ] {
            let run = db
                .export(sql)
                .args(["--protocol", protocol, "--init", init])
                .start();
            let runs = || (db.connections_running(tag).len() == 1).then_some(());
            poll_until(Duration::from_secs(10), runs).expect("the statement runs");
            run.signal(Signal::SIGTERM);
            let asked = Instant::now();
            run.wait()
                .ended(143, "gold_digger: ended by SIGTERM; no row had come\n");
            is_gone(db, tag, asked);
        }
    });
}

/// Whenever a signal comes: either the exit code is the signal's and nothing has
/// changed, or it is 0 and all is there.
#[test]
fn a_signal_at_any_moment_tells_the_truth() {
    on_a_server(|db| {
        let whole = Cell::new(Cell::to(To::File)[0].kind);
        whole.run(db.export("SELECT 1 AS a")).wrote("");
        let mut ended = [0; 2];
        for moment in 0..80 {
            let cell = Cell::new(whole.kind);
            let run = cell.start(db.export("SELECT 1 AS a"));
            run.wait_for_signal_handlers();
            thread::sleep(Duration::from_micros(250 * moment));
            run.signal(Signal::SIGTERM);
            match run.wait().status.code() {
                Some(0) => {
                    assert_eq!(cell.written(), whole.written());
                    assert_eq!(cell.told()["exit_code"], 0);
                    assert_eq!(file_names(cell.folder.path()).len(), 1);
                    ended[0] += 1;
                }
                code => {
                    assert_eq!(code, Some(143));
                    assert_eq!(cell.told()["exit_code"], 143);
                    cell.is_untouched();
                    ended[1] += 1;
                }
            }
        }
        println!("{ended:?}");
    });
}

#[test]
fn a_reader_that_goes_away_ends_exports_in_silence() {
    each_server(|db| {
        let silence = Silence::new(db);
        let cells = Cell::to(To::Stdout);
        let runs: Vec<_> = cells
            .iter()
            .map(|cell| {
                // What is behind standard output elsewhere is a pipe here.
                fs::write(cell.target(), "").expect("a file");
                let mut run = cell.set_up(silence.export(db)).start();
                let mut stdout = run.take_stdout();
                stdout.read_exact(&mut [0; 1000]).expect("a row");
                (run, stdout)
            })
            .collect();
        let gone = Instant::now();
        let runs: Vec<Running> = runs.into_iter().map(|(run, _stdout)| run).collect();
        for (cell, run) in cells.iter().zip(runs) {
            run.wait().ended(141, "");
            let told = cell.told();
            assert_eq!(told["exit_code"], 141);
            assert_eq!(told["error"]["kind"], "reader gone");
        }
        assert!(gone.elapsed() < SHORT_TIMEOUT, "{:?}", gone.elapsed());
        is_gone(db, &db.name, gone);
    });
}

/// The shell closes a descriptor before the program runs.
fn without(descriptors: &str) -> GoldDigger {
    GoldDigger::wrapped_in(&["sh", "-c", &format!("exec \"$@\" {descriptors}"), "sh"])
}

#[test]
fn closed_descriptors_change_nothing_or_are_told() {
    on_a_server(|db| {
        for cell in Cell::all() {
            let expected = Cell::new(cell.kind);
            expected.run(db.export("SELECT 1 AS a")).wrote("");
            for descriptors in ["2>&-", "<&-", "<&- 2>&-"] {
                let run = || without(descriptors).env("DATABASE_URL", db.url());
                cell.run(run().arg("SELECT 1 AS a")).wrote("");
                assert_eq!(cell.written(), expected.written());
                assert_eq!(cell.told()["exit_code"], 0);
                // What is told goes nowhere, and above all into no other file.
                let before = match cell.kind.to {
                    To::File => cell.written(),
                    To::Stdout => Vec::new(),
                };
                cell.run(run().arg("SELECT nothing")).ended_with(4);
                assert_eq!(cell.written(), before);
                assert_eq!(cell.told()["exit_code"], 4);
            }
            // Rows must not vanish in what stands in for it.
            let run = without(">&-").env("DATABASE_URL", db.url());
            let outcome = cell.run(run.arg("SELECT 1 AS a"));
            match cell.kind.to {
                To::File => drop(outcome.wrote("")),
                To::Stdout => {
                    let parts = ["cannot open standard output", "closed", "-o FILE"];
                    outcome.failed(5, &parts);
                }
            }
        }
        // By whatever name.
        for (descriptors, name) in [
            ("2>&-", "/dev/stderr"),
            ("<&-", "/dev/fd/0"),
            (">&-", "/dev/stdout"),
        ] {
            let run = without(descriptors).env("DATABASE_URL", db.url());
            run.args(["SELECT 1 AS a", "-o", name]).run().ended_with(5);
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
    on_a_server(|db| {
        let silence = Silence::new(db);
        let cells = Cell::to(To::File);
        let kill = |runs: &[Running]| runs.iter().for_each(|run| run.signal(Signal::SIGKILL));
        let (outcomes, _) = meet(&cells, || silence.export(db), SHORT_TIMEOUT, kill);
        let codes = outcomes.iter().map(|outcome| outcome.status.code());
        assert!(codes.into_iter().all(|code| code.is_none()));
        for cell in &cells {
            let (folder, format) = (cell.folder.path(), cell.kind.format);
            let earlier = fs::read_to_string(cell.target());
            assert_eq!(earlier.expect("the file"), EARLIER);
            let leftover = unfinished(folder).expect("the unfinished file");
            let name = leftover.file_name().expect("a name").display().to_string();
            let random = name.strip_prefix(&format!(".x.{format}."));
            let random = random.and_then(|name| name.strip_suffix(".gold_digger"));
            assert_eq!(random.expect("a name of ours").len(), 6);

            // Not of this target, or not of ours.
            let others = [
                ".x.gold_digger",
                ".x.csv.gold_digger",
                ".y.csv.abcdef.gold_digger",
            ];
            let others = others.map(|name| folder.join(name));
            for path in &others {
                fs::write(path, "").expect("a file");
            }
            let linked = folder.join(format!(".x.{format}.abcdef.gold_digger"));
            symlink(&others[0], &linked).expect("a link");
            let ours = || -> Vec<PathBuf> {
                let entries = fs::read_dir(folder).expect("the folder").flatten();
                let is_ours = |path: &PathBuf| {
                    let is_named = path.extension().is_some_and(|end| end == "gold_digger");
                    is_named && *path != linked && !others.contains(path)
                };
                entries.map(|entry| entry.path()).filter(is_ours).collect()
            };

            // One that lives keeps its own file, whatever comes beside it.
            let living = cell.start(silence.export(db));
            let is_alone = || (ours().len() == 1 && !leftover.exists()).then(|| ours().remove(0));
            let own = poll_until(Duration::from_secs(10), is_alone);
            let own = own.expect("the leftover is removed");
            let quick = cell.run(db.export("SELECT 1 AS a").arg("-v")).ended_with(0);
            assert!(!quick.contains("which a killed run left"), "{quick}");
            assert!(own.exists());
            living.signal(Signal::SIGKILL);
            assert_eq!(living.wait().status.code(), None);
            let last = cell.run(db.export("SELECT 1 AS a").arg("-v")).ended_with(0);
            let removed = format!("removed {}, which a killed run left", own.display());
            assert!(last.contains(&removed), "{last}");
            let mut others = others.iter().chain([&linked]);
            assert!(others.all(|path| fs::symlink_metadata(path).is_ok()));
            assert_eq!(file_names(folder).len(), 6, "{:?}", file_names(folder));
        }
    });
}

#[test]
fn of_two_runs_to_one_target_the_last_wins_whole() {
    on_a_server(|db| {
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
                assert_eq!(file_names(cell.folder.path()).len(), 2);
            }
            // In turn: the second begins first, and ends last.
            let second = cell.start(db.export(&slow_query(&db.name, 8)));
            cell.wait_for_rows();
            cell.run(db.export(&texts[0].0)).wrote("");
            assert!(cell.written() == texts[0].1);
            second.wait().wrote("");
            assert_eq!(cell.long_values(), 8);
        }
    });
}
