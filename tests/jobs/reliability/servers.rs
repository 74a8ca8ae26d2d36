//! What a server does to an export: it dies, is shut down, kills the query, runs
//! out of patience, or says nothing any more.

use std::{thread, time::Duration};

use mysql::prelude::Queryable;

use super::{Cell, To, meet, rows_of, slow_query};
use crate::support::{
    Database, GoldDigger, Outcome, Running, SHORT_TIMEOUT, Server, Signal, each_server, poll_until,
};

/// Longer than any test of it.
const ROWS: u32 = 900;

#[track_caller]
fn all_failed(cells: &[Cell], outcomes: Vec<Outcome>, parts: &[&str]) {
    for (cell, outcome) in cells.iter().zip(outcomes) {
        let rows = cell.failed(outcome, 4, parts);
        assert!(rows > 0, "no rows had come");
        if cell.kind.to == To::Stdout {
            // Nothing that had come is lost.
            assert_eq!(cell.long_values() as u64, rows);
        }
    }
}

#[test]
fn killed_queries_and_connections_end_exports() {
    each_server(|db| {
        let export = || db.export(&slow_query(&db.name, ROWS));
        // Both servers just close the connection.
        for (kill, parts) in [
            ("KILL CONNECTION", ["the result broke off", "was lost"]),
            ("KILL QUERY", ["1317 (70100)", "somebody killed it"]),
        ] {
            let cells = Cell::all();
            let (outcomes, _) = meet(&cells, export, SHORT_TIMEOUT, |_| {
                let mut conn = db.connect();
                let ids = db.connections_running(&db.name);
                assert_eq!(ids.len(), cells.len());
                for id in ids {
                    conn.query_drop(format!("{kill} {id}"))
                        .expect("it is killed");
                }
            });
            all_failed(&cells, outcomes, &parts);
        }
    });
}

#[test]
fn a_statement_that_takes_too_long_ends_after_its_rows() {
    each_server(|db| {
        let cells = Cell::all();
        let time = Duration::from_secs(4);
        let export = || {
            db.export(&slow_query(&db.name, ROWS))
                .args(["--statement-timeout", "4s"])
        };
        let (outcomes, _) = meet(&cells, export, time + SHORT_TIMEOUT, |_| {});
        for outcome in &outcomes {
            let took = outcome.elapsed;
            assert!(took > time && took < time + SHORT_TIMEOUT, "{took:?}");
        }
        let code = if db.is_mariadb() {
            "1969 (70100)"
        } else {
            "3024 (HY000)"
        };
        all_failed(&cells, outcomes, &[code, "--statement-timeout"]);
    });
}

/// On a server of their own: others would miss it.
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

        // It says nothing for longer than it may.
        let cells = Cell::all();
        let patience = Duration::from_secs(1);
        let impatient = || export(&db).args(["--read-timeout", "1s"]);
        let (outcomes, _) = meet(&cells, impatient, patience + SHORT_TIMEOUT, |_| {
            server.signal(Signal::SIGSTOP);
        });
        server.signal(Signal::SIGCONT);
        all_failed(&cells, outcomes, &["silent for too long", "--read-timeout"]);

        // Without a time-out, it is waited for.
        let cells = Cell::all();
        let short = || db.export(&slow_query(&db.name, 15));
        let (outcomes, _) = meet(&cells, short, 5 * SHORT_TIMEOUT, |_| {
            server.signal(Signal::SIGSTOP);
            thread::sleep(2 * patience);
            server.signal(Signal::SIGCONT);
        });
        for (cell, outcome) in cells.iter().zip(outcomes) {
            outcome.wrote("");
            assert_eq!(cell.long_values(), 15);
        }

        // How long it takes to end is its own affair.
        let end = |signal| {
            let cells = Cell::all();
            let fault = |_: &[Running]| {
                server.signal(signal);
                server.wait_for_exit();
            };
            let (outcomes, _) = meet(&cells, || export(&db), SHORT_TIMEOUT, fault);
            (cells, outcomes)
        };

        // It is killed, as by the kernel.
        let (cells, outcomes) = end(Signal::SIGKILL);
        let parts = ["connection to the server was lost", "--retry"];
        all_failed(&cells, outcomes, &parts);

        // It is shut down in order; an export that may is begun anew.
        server.restart();
        let patient = Cell::new(cells[0].kind);
        let again = patient.start(export(&db).args(["--retry", "9"]));
        patient.wait_for_rows();
        let (cells, outcomes) = end(Signal::SIGTERM);
        let part = if db.is_mariadb() {
            "was lost"
        } else {
            "1053 (08S01)"
        };
        all_failed(&cells, outcomes, &[part, "--retry"]);
        server.restart();
        let is_back = || (db.connections_running(&db.name).len() == 1).then_some(());
        poll_until(Duration::from_secs(60), is_back).expect("the query runs again");
        again.signal(Signal::SIGTERM);
        let said = again.wait().ended_with(143);
        assert!(
            said.contains("attempt 1 of 10 failed: ") && rows_of(&said).is_some(),
            "{said}"
        );
        assert!(patient.told()["attempts"].as_u64() > Some(1));
        patient.is_untouched();
    });
}
