//! Exports that spare a busy server: a limit of rows per second, and pauses while the
//! server has too much to do or is too far behind its source.

use std::{thread, time::Duration};

use mysql::{Row, prelude::Queryable};
use nix::sys::signal::Signal;

use crate::support::{Database, GoldDigger, Server, each_server, on_a_server, wait_until};

fn table(db: &Database, args: &[&str]) -> GoldDigger {
    let run = GoldDigger::new().env("DATABASE_URL", db.url());
    run.args(["--table=t", "-v"]).args(args)
}

#[test]
fn rows_come_no_faster_than_they_may() {
    on_a_server(|db| {
        db.sql("CREATE TABLE t (i INT PRIMARY KEY)");
        db.sql("INSERT INTO t SELECT seq FROM seq_1_to_200");
        // The first step comes at once, and the last one needs no pause behind it.
        for split in [&[][..], &["--split=4", "--connections=1"]] {
            let run = table(db, &["--throttle=100"]).args(split).run();
            assert!(
                run.elapsed >= Duration::from_millis(1850),
                "{:?}",
                run.elapsed
            );
            assert_eq!(
                run.stdout.iter().filter(|byte| **byte == b'\n').count(),
                201
            );
            run.ended_with(0);
        }
    });
}

#[test]
fn nothing_begins_while_too_many_threads_run() {
    for name in ["mariadb", "mysql"] {
        let server = Server::start(name);
        let db = server.database();
        db.sql("CREATE TABLE t (i INT PRIMARY KEY)");
        db.sql("INSERT INTO t VALUES (1)");
        // MySQL counts a thread of its own.
        let idle: (String, u32) = db
            .connect()
            .query_first("SHOW GLOBAL STATUS LIKE 'Threads_running'")
            .expect("the status")
            .expect("a row");
        thread::scope(|scope| {
            scope.spawn(|| db.connect().query_drop("SELECT SLEEP(5) AS sleeps"));
            wait_until("it sleeps", || !db.connections_running("sleeps").is_empty());
            let most = format!("--max-threads-running={}", idle.1);
            let run = table(&db, &[&most]).run();
            let shown = run.ended_with(0);
            assert!(
                shown.contains(&format!(
                    "waiting: {} threads run on the server",
                    idle.1 + 1
                )),
                "{shown}"
            );
            assert!(shown.contains("going on after "), "{shown}");
        });
        table(&db, &["--max-threads-running=100"])
            .run()
            .ended_with(0);
        server.signal(Signal::SIGKILL);
    }
}

#[test]
fn nothing_begins_while_a_replica_is_far_behind() {
    each_server(|db| {
        db.sql("CREATE TABLE t (i INT PRIMARY KEY)");
        table(db, &["--max-replica-lag=5s"])
            .run()
            .failed_with_any_length(
                4,
                &[
                    "the server is no replica, and behind no source",
                    "leave --max-replica-lag out",
                ],
            );
    });
    let options = |id| ["--log-bin", id, "--relay-log=relay"];
    let source = Server::start_with("mariadb", &options("--server-id=1"));
    let replica = Server::start_with("mariadb", &options("--server-id=2"));
    let (origin, db) = (source.database(), replica.database());
    origin.sql("GRANT REPLICATION SLAVE ON *.* TO repl@localhost IDENTIFIED BY 'r'");
    let position: Row = origin
        .connect()
        .query_first("SHOW MASTER STATUS")
        .expect("a position")
        .expect("a row");
    let (file, at): (String, u64) = (
        position.get(0).expect("a file"),
        position.get(1).expect("a place"),
    );
    db.sql(&format!(
        "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='repl', MASTER_PASSWORD='r',
         MASTER_LOG_FILE='{file}', MASTER_LOG_POS={at}",
        source.port
    ));
    let stopped = ["the server's replication does not run"];
    db.sql("CREATE TABLE t (i INT PRIMARY KEY)");
    db.sql("INSERT INTO t VALUES (1)");
    table(&db, &["--max-replica-lag=5s"])
        .run()
        .failed_with_any_length(4, &stopped);
    db.sql("START SLAVE");
    wait_until("it runs", || {
        let rows: Vec<Row> = db
            .connect()
            .query("SHOW ALL SLAVES STATUS")
            .expect("the status");
        let behind = rows[0].get_opt::<u64, _>("Seconds_Behind_Master");
        behind.is_some_and(|behind| behind.is_ok())
    });
    table(&db, &["--max-replica-lag=5s"]).run().ended_with(0);
    // What the source wrote waits on a lock of the replica, and is soon 2 s behind.
    origin.sql("CREATE DATABASE late");
    wait_until("the database comes", || {
        let rows: Vec<Row> = db
            .connect()
            .query("SHOW DATABASES LIKE 'late'")
            .expect("the list");
        !rows.is_empty()
    });
    let mut conn = db.connect();
    conn.query_drop("FLUSH TABLES WITH READ LOCK")
        .expect("a lock");
    origin.sql("CREATE TABLE late.t (i INT)");
    wait_until("the replica is behind", || {
        let rows: Vec<Row> = db
            .connect()
            .query("SHOW ALL SLAVES STATUS")
            .expect("the status");
        let behind = rows[0].get_opt::<u64, _>("Seconds_Behind_Master");
        matches!(behind, Some(Ok(2..)))
    });
    let program = table(&db, &["--max-replica-lag=1s"]).start();
    conn.query_drop("DO SLEEP(2)").expect("a pause");
    conn.query_drop("UNLOCK TABLES").expect("no lock");
    let shown = program.wait().ended_with(0);
    assert!(shown.contains("waiting: the replica is "), "{shown}");
    source.signal(Signal::SIGKILL);
    replica.signal(Signal::SIGKILL);
}

#[test]
fn wrong_numbers_are_refused() {
    for (flag, problem) in [
        (
            "--throttle=0",
            "it is a number of rows per second, at least 1",
        ),
        (
            "--throttle=1.5",
            "it is a number of rows per second, at least 1",
        ),
        (
            "--max-threads-running=0",
            "it is a number of threads, at least 1",
        ),
        ("--max-replica-lag=5", "max-replica-lag"),
    ] {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
        let shown = run.args([flag, "SELECT 1"]).run().ended_with(2);
        assert!(shown.contains(problem), "{flag}: {shown}");
    }
}
