//! Exports whose server dies, shuts down, kills the query, ends it for its time
//! limit, or stops answering.

use std::{thread, time::Duration};

use mysql::prelude::Queryable;

use super::{Case, Output, StalledQuery, rows_in_message, run_with_fault, slow_query};
use crate::support::{
    Database, GoldDigger, Outcome, Running, Server, Signal, each_server, short_timeout, wait_for,
};

/// The number of rows of a query that runs longer than any of these tests.
const ROWS: u32 = 900;

#[track_caller]
fn assert_all_failed(cases: &[Case], outcomes: Vec<Outcome>, parts: &[&str]) {
    for (case, outcome) in cases.iter().zip(outcomes) {
        let rows = case.assert_failed(outcome, 4, parts);
        assert!(rows > 0, "no rows had come");
        if case.variant.output == Output::Stdout {
            // Every row that had arrived is in the output.
            assert_eq!(case.count_long_values() as u64, rows);
        }
    }
}

#[test]
fn killed_queries_and_connections_end_exports() {
    each_server(|db| {
        let export = || db.export(&slow_query(&db.name, ROWS));
        // For KILL CONNECTION both servers only close the connection.
        for (kill, parts) in [
            ("KILL CONNECTION", ["the result broke off", "was lost"]),
            ("KILL QUERY", ["1317 (70100)", "somebody killed it"]),
        ] {
            let cases = Case::all();
            let (outcomes, _) = run_with_fault(&cases, export, short_timeout(), |_| {
                let mut conn = db.connect();
                let ids = db.connections_running(&db.name);
                assert_eq!(ids.len(), cases.len());
                for id in ids {
                    conn.query_drop(format!("{kill} {id}"))
                        .expect("it is killed");
                }
            });
            assert_all_failed(&cases, outcomes, &parts);
        }
    });
}

#[test]
fn a_statement_timeout_keeps_the_rows_that_had_arrived() {
    each_server(|db| {
        let cases = Case::all();
        let time = Duration::from_secs(4);
        let export = || {
            db.export(&slow_query(&db.name, ROWS))
                .args(["--statement-timeout", "4s"])
        };
        // The server's error says that it ended the statement, by its own clock.
        let (outcomes, _) = run_with_fault(&cases, export, time + Duration::from_secs(60), |_| {});
        for outcome in &outcomes {
            let took = outcome.elapsed;
            assert!(took > time, "{took:?}");
        }
        let code = if db.is_mariadb() {
            "1969 (70100)"
        } else {
            "3024 (HY000)"
        };
        assert_all_failed(&cases, outcomes, &[code, "--statement-timeout"]);
    });
}

/// Runs `test` on servers of its own, because it stops them.
fn on_a_server_of_its_own(test: impl Fn(&Server)) {
    for name in ["mariadb", "mysql"] {
        println!("on {name}");
        test(&Server::start(name));
    }
}

fn export(db: &Database) -> GoldDigger {
    db.export(&slow_query(&db.name, ROWS))
}

#[test]
fn servers_that_stall_die_or_shut_down_end_exports() {
    on_a_server_of_its_own(|server| {
        let db = server.database();

        // The server is silent for longer than the timeout.
        let cases = Case::all();
        let timeout = Duration::from_secs(1);
        let with_timeout = || export(&db).args(["--read-timeout", "1s"]);
        let (outcomes, _) = run_with_fault(&cases, with_timeout, timeout + short_timeout(), |_| {
            server.signal(Signal::SIGSTOP);
        });
        server.signal(Signal::SIGCONT);
        let without_warning = |mut outcome: Outcome| {
            let (first, rest) = outcome.stderr.split_once('\n').expect("lines");
            assert!(first.contains("the query may still run"), "{first}");
            outcome.stderr = rest.to_owned();
            outcome
        };
        let outcomes = outcomes.into_iter().map(without_warning).collect();
        assert_all_failed(&cases, outcomes, &["silent for too long", "--read-timeout"]);

        // Without a timeout, the export waits for the server.
        let cases = Case::all();
        let stalled = StalledQuery::new(&db);
        let short = || stalled.export(&db);
        let (outcomes, _) = run_with_fault(&cases, short, 5 * short_timeout(), |_| {
            server.signal(Signal::SIGSTOP);
            thread::sleep(2 * timeout);
            server.signal(Signal::SIGCONT);
            stalled.release();
        });
        for (case, outcome) in cases.iter().zip(outcomes) {
            outcome.wrote("");
            assert_eq!(case.count_long_values(), 7);
        }

        // The time that the server takes to exit does not count.
        let end = |signal| {
            let cases = Case::all();
            let fault = |_: &[Running]| {
                server.signal(signal);
                server.wait_for_exit();
            };
            let (outcomes, _) = run_with_fault(&cases, || export(&db), short_timeout(), fault);
            (cases, outcomes)
        };

        // The server is killed, as by the kernel.
        let (cases, outcomes) = end(Signal::SIGKILL);
        let parts = ["connection to the server was lost", "--retry"];
        assert_all_failed(&cases, outcomes, &parts);

        // The server shuts down cleanly; an export with retries starts again.
        server.restart();
        let retried = Case::new(cases[0].variant);
        let run_with_retries = retried.start(export(&db).args(["--retry", "9"]));
        retried.wait_for_rows();
        let (cases, outcomes) = end(Signal::SIGTERM);
        let part = if db.is_mariadb() {
            "was lost"
        } else {
            "1053 (08S01)"
        };
        assert_all_failed(&cases, outcomes, &[part, "--retry"]);
        server.restart();
        let is_back = || (db.connections_running(&db.name).len() == 1).then_some(());
        wait_for("the query runs again", is_back);
        run_with_retries.signal(Signal::SIGTERM);
        let stderr = run_with_retries.wait().ended_with(143);
        assert!(
            stderr.contains("attempt 1 of 10 failed: ") && rows_in_message(&stderr).is_some(),
            "{stderr}"
        );
        assert!(retried.summary()["attempts"].as_u64() > Some(1));
        retried.assert_untouched();
    });
}
