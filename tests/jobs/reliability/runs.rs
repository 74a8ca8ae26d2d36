//! Faults of the run itself: signals, closed descriptors, and other runs to the
//! same target.

use std::{
    fs,
    io::Read,
    os::unix::fs::symlink,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use super::{
    Case, OLD_CONTENT, Output, StalledQuery, assert_query_killed, run_with_fault, temp_file,
};
use crate::support::{
    GoldDigger, Running, Signal, each_server, fake, file_names, on_a_server, short_timeout,
    wait_for,
};

#[test]
fn signals_end_exports_cleanly() {
    each_server(|db| {
        let stalled = StalledQuery::new(db);
        for (signal, code) in [
            (Signal::SIGHUP, 129),
            (Signal::SIGINT, 130),
            (Signal::SIGTERM, 143),
        ] {
            let cases = Case::all();
            let send = |runs: &[Running]| runs.iter().for_each(|run| run.signal(signal));
            let (outcomes, fault_time) =
                run_with_fault(&cases, || stalled.export(db), short_timeout(), send);
            assert_query_killed(db, &db.name, fault_time);
            for (case, outcome) in cases.iter().zip(outcomes) {
                let ended = format!("ended by {signal}; ");
                case.assert_failed_while_stalled(outcome, code, &[&ended]);
            }
        }
    });
}

#[test]
fn a_read_timeout_ends_exports_and_their_queries() {
    each_server(|db| {
        let stalled = StalledQuery::new(db);
        let cases = Case::all();
        let timeout = Duration::from_secs(1);
        let export = || stalled.export(db).args(["--read-timeout", "1s"]);
        let (outcomes, _) = run_with_fault(&cases, export, timeout + short_timeout(), |_| {});
        assert_query_killed(db, &db.name, Instant::now());
        for (case, outcome) in cases.iter().zip(outcomes) {
            let parts = ["silent for too long", "--read-timeout"];
            case.assert_failed_while_stalled(outcome, 4, &parts);
        }
        // The timeout also applies before the first row.
        let sql = format!("SELECT SLEEP(100) AS {}", db.name);
        let run = db.export(&sql).args(["--read-timeout", "300ms"]).run();
        run.failed(4, &["silent for too long", "no row had come"]);
        assert_query_killed(db, &sql, Instant::now());
    });
}

/// The process list shows the statement inside a procedure instead of the CALL.
#[test]
fn statements_inside_procedures_are_killed_too() {
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
            // The initial statement runs before the query.
            ("SELECT 1", &inner, "binary"),
        ] {
            let run = db
                .export(sql)
                .args(["--protocol", protocol, "--init", init])
                .start();
            let runs = || (db.connections_running(tag).len() == 1).then_some(());
            wait_for("the statement runs", runs);
            run.signal(Signal::SIGTERM);
            let signalled = Instant::now();
            run.wait()
                .ended(143, "gold_digger: ended by SIGTERM; no row had come\n");
            assert_query_killed(db, tag, signalled);
        }
    });
}

/// Every packet takes 50 ms to the server and 50 ms back.
#[test]
fn queries_are_killed_over_slow_tls_and_it_is_told_where_they_are_not() {
    each_server(|db| {
        let sql = format!("SELECT SLEEP(100) AS {}", db.name);
        let server = db.server.port;
        let slow = fake::proxy(server, |_, _| thread::sleep(Duration::from_millis(50)));
        let first = AtomicBool::new(true);
        let once = fake::serve(move |mut session| match first.swap(false, Relaxed) {
            true => session.forward(server),
            false => drop(session.receive()),
        });
        let untold = "gold_digger: ended by SIGINT; no row had come\n";
        let cases = [
            (slow, "--tls=required", true),
            (once, "--tls=disabled", false),
        ];
        for (port, tls, is_killed) in cases {
            let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(port));
            let run = run.args([tls, &sql]).start();
            let running = || db.connections_running(&db.name).first().copied();
            let id = wait_for("it runs", running);
            run.signal(Signal::SIGINT);
            let outcome = run.wait();
            assert_eq!(db.connections_running(&db.name).is_empty(), is_killed);
            outcome.assert_stderr_contains(&[untold]);
            let is_told = outcome.stderr.contains("may still run");
            assert_eq!(is_told, !is_killed, "{}", outcome.stderr);
            if !is_killed {
                let told = format!(
                    "may still run on the server, where it could not be killed within 2 s; KILL QUERY {id} ends it"
                );
                outcome.assert_stderr_contains(&[&told]);
                db.sql(&format!("KILL {id}"));
            }
        }
    });
}

/// A proxy that answers logins itself, as MySQL Router and ProxySQL do, tells clients a
/// number of its own instead of the connection's on the server.
#[test]
fn queries_are_killed_behind_a_proxy_that_hides_the_number_of_the_connection() {
    each_server(|db| {
        let hiding = fake::proxy(db.server.port, |side, bytes| {
            // The greeting: protocol 10, the version, NUL, the number.
            if side == fake::Side::Server && bytes.get(3..5) == Some(&[0, 10]) {
                let version = bytes[5..].iter().position(|byte| *byte == 0);
                let number = 5 + version.expect("the end of the version") + 1;
                bytes[number..number + 4].fill(0);
            }
        });
        let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(hiding));
        let sql = format!("SELECT SLEEP(100) AS {}", db.name);
        let run = run.args(["--tls=disabled", &sql]).start();
        let running = || (!db.connections_running(&db.name).is_empty()).then_some(());
        wait_for("it runs", running);
        run.signal(Signal::SIGTERM);
        run.wait()
            .ended(143, "gold_digger: ended by SIGTERM; no row had come\n");
        assert!(db.connections_running(&db.name).is_empty());
    });
}

/// At any time of a signal, either the exit code is that of the signal and nothing
/// has changed, or it is 0 and the file is complete.
#[test]
fn the_exit_code_after_a_signal_agrees_with_the_file() {
    on_a_server(|db| {
        let whole = Case::new(Case::writing_to(Output::File)[0].variant);
        whole.run(db.export("SELECT 1 AS a")).wrote("");
        let mut counts = [0; 2];
        for moment in 0..80 {
            let case = Case::new(whole.variant);
            let run = case.start(db.export("SELECT 1 AS a"));
            run.wait_for_signal_handlers();
            thread::sleep(Duration::from_micros(250 * moment));
            run.signal(Signal::SIGTERM);
            match run.wait().status.code() {
                Some(0) => {
                    assert_eq!(case.output_bytes(), whole.output_bytes());
                    assert_eq!(case.summary()["exit_code"], 0);
                    assert_eq!(file_names(case.folder.path()).len(), 1);
                    counts[0] += 1;
                }
                code => {
                    assert_eq!(code, Some(143));
                    assert_eq!(case.summary()["exit_code"], 143);
                    case.assert_untouched();
                    counts[1] += 1;
                }
            }
        }
        println!("{counts:?}");
    });
}

#[test]
fn a_reader_that_closes_the_pipe_ends_exports_without_a_message() {
    each_server(|db| {
        let stalled = StalledQuery::new(db);
        let cases = Case::writing_to(Output::Stdout);
        let runs: Vec<_> = cases
            .iter()
            .map(|case| {
                // Standard output is a pipe here instead of the file.
                fs::write(case.target(), "").expect("a file");
                let mut run = case.with_options(stalled.export(db)).start();
                let mut stdout = run.take_stdout();
                stdout.read_exact(&mut [0; 1000]).expect("a row");
                (run, stdout)
            })
            .collect();
        let closed = Instant::now();
        let runs: Vec<Running> = runs.into_iter().map(|(run, _stdout)| run).collect();
        for (case, run) in cases.iter().zip(runs) {
            run.wait().ended(141, "");
            let summary = case.summary();
            assert_eq!(summary["exit_code"], 141);
            assert_eq!(summary["error"]["kind"], "reader gone");
        }
        assert!(closed.elapsed() < short_timeout(), "{:?}", closed.elapsed());
        assert_query_killed(db, &db.name, closed);
    });
}

/// Returns a run for which the shell closes `descriptors` first.
fn without_descriptors(descriptors: &str) -> GoldDigger {
    GoldDigger::wrapped_in(&["sh", "-c", &format!("exec \"$@\" {descriptors}"), "sh"])
}

#[test]
fn closed_descriptors_have_no_effect_or_are_reported() {
    on_a_server(|db| {
        for case in Case::all() {
            let expected = Case::new(case.variant);
            expected.run(db.export("SELECT 1 AS a")).wrote("");
            for descriptors in ["2>&-", "<&-", "<&- 2>&-"] {
                let run = || without_descriptors(descriptors).env("DATABASE_URL", db.url());
                case.run(run().arg("SELECT 1 AS a")).wrote("");
                assert_eq!(case.output_bytes(), expected.output_bytes());
                assert_eq!(case.summary()["exit_code"], 0);
                // Messages are lost, and in particular are not written to another file.
                let before = match case.variant.output {
                    Output::File => case.output_bytes(),
                    Output::Stdout => Vec::new(),
                };
                case.run(run().arg("SELECT nothing")).ended_with(4);
                assert_eq!(case.output_bytes(), before);
                assert_eq!(case.summary()["exit_code"], 4);
            }
            // Rows must not be lost in the replacement of standard output.
            let run = without_descriptors(">&-").env("DATABASE_URL", db.url());
            let outcome = case.run(run.arg("SELECT 1 AS a"));
            match case.variant.output {
                Output::File => drop(outcome.wrote("")),
                Output::Stdout => {
                    let parts = ["cannot open standard output", "closed", "-o FILE"];
                    outcome.failed(5, &parts);
                }
            }
        }
        // The same holds for the other names of a descriptor.
        for (descriptors, name) in [
            ("2>&-", "/dev/stderr"),
            ("<&-", "/dev/fd/0"),
            (">&-", "/dev/stdout"),
        ] {
            let run = without_descriptors(descriptors).env("DATABASE_URL", db.url());
            run.args(["SELECT 1 AS a", "-o", name]).run().ended_with(5);
        }
        let nothing = without_descriptors("<&-").env("DATABASE_URL", db.url());
        nothing
            .args(["--query-file", "-"])
            .run()
            .failed(2, &["standard input"]);
    });
}

#[test]
fn the_next_run_removes_the_temporary_file_of_a_killed_run() {
    on_a_server(|db| {
        let stalled = StalledQuery::new(db);
        let cases = Case::writing_to(Output::File);
        let kill = |runs: &[Running]| runs.iter().for_each(|run| run.signal(Signal::SIGKILL));
        let (outcomes, _) = run_with_fault(&cases, || stalled.export(db), short_timeout(), kill);
        let codes = outcomes.iter().map(|outcome| outcome.status.code());
        assert!(codes.into_iter().all(|code| code.is_none()));
        for case in &cases {
            let (folder, format) = (case.folder.path(), case.variant.format);
            let earlier = fs::read_to_string(case.target());
            assert_eq!(earlier.expect("the file"), OLD_CONTENT);
            let leftover = temp_file(folder).expect("the unfinished file");
            let name = leftover.file_name().expect("a name").display().to_string();
            let random = name.strip_prefix(&format!(".x.{format}."));
            let random = random.and_then(|name| name.strip_suffix(".gold_digger"));
            assert_eq!(random.expect("a name of ours").len(), 6);

            // These belong to another target or to another program.
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

            // A live run keeps its own file when other runs start.
            let living = case.start(stalled.export(db));
            // One look decides: the files may change between two.
            let is_alone = || match &ours()[..] {
                [own] if *own != leftover => Some(own.clone()),
                _ => None,
            };
            let own = wait_for("the leftover is removed", is_alone);
            let quick = case.run(db.export("SELECT 1 AS a").arg("-v")).ended_with(0);
            assert!(!quick.contains("which a killed run left"), "{quick}");
            assert!(own.exists());
            living.signal(Signal::SIGKILL);
            assert_eq!(living.wait().status.code(), None);
            let last = case.run(db.export("SELECT 1 AS a").arg("-v")).ended_with(0);
            let removed = format!("removed {}, which a killed run left", own.display());
            assert!(last.contains(&removed), "{last}");
            let mut others = others.iter().chain([&linked]);
            assert!(others.all(|path| fs::symlink_metadata(path).is_ok()));
            assert_eq!(file_names(folder).len(), 6, "{:?}", file_names(folder));
        }
    });
}

#[test]
fn the_last_of_two_runs_to_one_target_leaves_a_complete_file() {
    on_a_server(|db| {
        for case in Case::writing_to(Output::File) {
            let texts = ["one", "two"].map(|text| {
                let sql = format!(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
                     SELECT '{text}' AS a, REPEAT('{text}', 1000) AS b FROM n"
                );
                let alone = Case::new(case.variant);
                alone.run(db.export(&sql)).wrote("");
                (sql, alone.output_bytes())
            });
            for _ in 0..3 {
                let runs = texts.each_ref().map(|(sql, _)| case.start(db.export(sql)));
                let both = runs.map(|run| thread::spawn(move || run.wait()));
                while !both.iter().all(thread::JoinHandle::is_finished) {
                    let seen = case.output_bytes();
                    let is_whole = seen == OLD_CONTENT.as_bytes()
                        || texts.iter().any(|(_, text)| *text == seen);
                    assert!(is_whole, "{} bytes", seen.len());
                }
                for run in both {
                    run.join().expect("no panic").wrote("");
                }
                assert!(texts.iter().any(|(_, text)| *text == case.output_bytes()));
                assert_eq!(file_names(case.folder.path()).len(), 2);
            }
            // The second run starts first and ends last.
            let stalled = StalledQuery::new(db);
            let second = case.start(stalled.export(db));
            case.wait_for_rows();
            case.run(db.export(&texts[0].0)).wrote("");
            assert!(case.output_bytes() == texts[0].1);
            stalled.release();
            second.wait().wrote("");
            assert_eq!(case.count_long_values(), 7);
        }
    });
}

/// `flock -n FOLDER gold_digger …` keeps a second run of a timetable from starting.
#[test]
fn only_a_lock_of_the_target_itself_is_waited_for() {
    on_a_server(|db| {
        for case in Case::writing_to(Output::File) {
            let format = case.variant.format;
            let lock = format!(".x.{format}.locked.gold_digger");
            let files = [format!("x.{format}"), format!("x.{format}.manifest.json")];
            let path = |name: &str| case.folder.path().join(name);
            let run = |locked: PathBuf| {
                let run = GoldDigger::wrapped_in(&["flock", "-n", locked.to_str().expect("plain")]);
                let run = case.with_options(run.env("DATABASE_URL", db.url()));
                let outcome = run.args(["SELECT 1 AS a", "--manifest"]).run();
                let mut names = file_names(case.folder.path());
                names.retain(|name| name.starts_with(['.', 'x']));
                (outcome, names)
            };
            // A killed run has left its lock.
            fs::write(path(&lock), "").expect("a file");
            let (outcome, names) = run(path("."));
            let at_once = outcome.wrote("").elapsed;
            assert_eq!(names, files);

            let (outcome, names) = run(path(&lock));
            let elapsed = outcome.elapsed;
            outcome.failed_with_any_length(0, &["warning: ", &lock, " is still locked"]);
            assert!(elapsed > Duration::from_secs(2), "{elapsed:?}");
            assert!(at_once < elapsed, "{at_once:?}");
            assert_eq!(names, [&[lock][..], &files].concat());
        }
    });
}
