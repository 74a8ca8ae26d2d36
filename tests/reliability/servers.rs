//! What a server does to an export: it dies, is shut down, kills the query, runs
//! out of patience, or says nothing any more.

use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use super::{Cell, PROMPT, is_gone, meet, rows_of, running, slow_query};
use crate::support::{Database, GoldDigger, Outcome, Server, Signal, each_server, until};

/// Longer than any test of it.
const ROWS: u32 = 900;

#[track_caller]
fn all_failed(cells: &[Cell], outcomes: Vec<Outcome>, parts: &[&str]) {
    for (cell, outcome) in cells.iter().zip(outcomes) {
        assert!(cell.failed(outcome, 4, parts) > 0, "no rows had come");
    }
}

#[test]
fn killed_queries_and_connections_end_exports() {
    each_server(|db| {
        let export = || db.export(&slow_query(&db.name, ROWS));
        for (kill, parts) in [
            // MySQL just closes the connection.
            (
                "KILL CONNECTION",
                if db.is_mariadb() {
                    ["the result broke off", ""]
                } else {
                    ["was lost", ""]
                },
            ),
            ("KILL QUERY", ["1317 (70100)", "somebody killed it"]),
        ] {
            let cells = Cell::all();
            let outcomes = meet(&cells, export, PROMPT, |_| {
                let mut conn = db.connect();
                let ids = running(db, &db.name);
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
        let export = || {
            db.export(&slow_query(&db.name, ROWS))
                .args(["--statement-timeout", "1500ms"])
        };
        let limit = Duration::from_millis(1500) + PROMPT;
        let outcomes = meet(&cells, export, limit, |_| {});
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
        let outcomes = meet(&cells, impatient, patience + PROMPT, |_| {
            server.signal(Signal::SIGSTOP)
        });
        server.signal(Signal::SIGCONT);
        all_failed(&cells, outcomes, &["silent for too long", "--read-timeout"]);
        is_gone(&db, &db.name);

        // It is killed, as by the kernel.
        let cells = Cell::all();
        let outcomes = meet(
            &cells,
            || export(&db),
            PROMPT,
            |_| server.signal(Signal::SIGKILL),
        );
        all_failed(
            &cells,
            outcomes,
            &["connection to the server was lost", "--retry"],
        );

        // It is shut down in order; meanwhile an export that may is begun anew.
        server.start_again();
        let again = tempfile::tempdir().expect("a folder");
        let target = again.path().join("x.csv");
        let cells = Cell::all();
        let patient = export(&db).args(["--retry", "9", "-o"]).arg(&target);
        let patient = patient.start();
        let asked = Instant::now();
        let outcomes = meet(
            &cells,
            || export(&db),
            2 * PROMPT,
            |_| server.signal(Signal::SIGTERM),
        );
        println!("shut down: {:?}", asked.elapsed());
        for (cell, outcome) in cells.iter().zip(outcomes) {
            cell.failed(outcome, 4, &["--retry"]);
        }
        server.start_again();
        let is_back = until(Duration::from_secs(20), || {
            (running(&db, &db.name).len() == 1).then_some(())
        });
        is_back.expect("the query runs again");
        patient.signal(Signal::SIGTERM);
        let said = patient.wait().ended_with(143);
        assert!(
            said.contains("attempt 1 of 10 failed: ") && rows_of(&said).is_some(),
            "{said}"
        );
    });
}
