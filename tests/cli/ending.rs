//! Early ends: signals and closed readers, while the server is silent and while
//! the output blocks.

use std::{
    fs,
    io::Read,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use mysql::prelude::Queryable;

use crate::support::{
    Database, GoldDigger, Running, Signal, each_server, fake, make_fifo, poll_until, short_timeout,
    wait_until,
};

/// Returns a query without rows for 100 s, recognizable in the process list.
fn slow_query(db: &Database) -> String {
    format!("SELECT SLEEP(100) AS {}", db.name)
}

/// Returns a query for a lock.
fn get_lock(db: &Database) -> String {
    format!("SELECT GET_LOCK('{}', 100) AS a", db.name)
}

fn is_running(db: &Database) -> bool {
    !db.connections_running(&db.name).is_empty()
}

/// Asserts that no query of the test runs on the server within two seconds.
#[track_caller]
fn assert_killed(db: &Database) {
    let killed = poll_until(short_timeout(), || (!is_running(db)).then_some(()));
    killed.expect("the query is killed on the server");
}

#[track_caller]
fn wait_until_running(db: &Database) {
    wait_until("the query runs", || is_running(db));
}

/// Asserts that the run ends within two seconds with `code` and `stderr`, and that
/// its query ends on the server.
#[track_caller]
fn assert_ends_promptly(db: &Database, run: Running, code: i32, stderr: &str) {
    let asked = Instant::now();
    run.wait().ended(code, stderr);
    assert!(asked.elapsed() < short_timeout(), "{:?}", asked.elapsed());
    assert_killed(db);
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).expect("the folder").next().is_none()
}

#[test]
fn signals_end_a_run_that_waits_for_a_silent_server() {
    each_server(|db| {
        for (signal, code) in [
            (Signal::SIGHUP, 129),
            (Signal::SIGINT, 130),
            (Signal::SIGTERM, 143),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            // The query is prepared, sent as text, or prepared with a parameter.
            let mut export = match signal {
                Signal::SIGHUP => db.export(&slow_query(db)),
                Signal::SIGINT => db.export(&slow_query(db)).arg("--protocol=text"),
                _ => db
                    .export(&slow_query(db).replace("100", ":seconds"))
                    .arg("--param=seconds=100"),
            };
            export = export.arg("-o").arg(folder.path().join("x.csv"));
            let run = export.start();
            wait_until_running(db);
            assert!(!is_empty(folder.path()), "the temporary file is there");
            run.signal(signal);
            let target = folder.path().join("x.csv");
            let untouched = format!("no row had come, and {} was not touched", target.display());
            let message = format!("gold_digger: ended by {signal}; {untouched}\n");
            assert_ends_promptly(db, run, code, &message);
            assert!(is_empty(folder.path()), "a file was left behind");
        }
    });
}

#[test]
fn a_closed_reader_is_noticed_while_the_server_is_silent() {
    each_server(|db| {
        let mut run = db.export(&slow_query(db)).start();
        wait_until_running(db);
        drop(run.take_stdout());
        assert_ends_promptly(db, run, 141, "");

        // A closed FIFO is an error, unlike a closed pipe of the shell.
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo");
        make_fifo(&fifo);
        let run = db.export(&slow_query(db)).arg("-o").arg(&fifo).start();
        let reader = fs::File::open(&fifo).expect("the FIFO");
        wait_until_running(db);
        drop(reader);
        let message = format!(
            "gold_digger: cannot write to {}: its reader has gone\n",
            fifo.display()
        );
        assert_ends_promptly(db, run, 5, &message);
    });
}

#[test]
fn a_signal_ends_a_run_whose_output_blocks() {
    each_server(|db| {
        let many = "SELECT REPEAT('x', 1000) AS x FROM information_schema.COLUMNS AS a, information_schema.COLUMNS AS b";
        let mut run = db.export(many).start();
        let mut stdout = run.take_stdout();
        stdout.read_exact(&mut [0; 2]).expect("the header");
        // The pipe is full when a thread of the program sleeps in the kernel's write.
        let writes = format!("/proc/{}/task", run.child.id());
        let blocked = poll_until(Duration::from_secs(10), || {
            let threads = fs::read_dir(&writes).ok()?;
            let mut waits = threads
                .flatten()
                .filter_map(|thread| fs::read_to_string(thread.path().join("wchan")).ok());
            waits.any(|wait| wait.contains("pipe_write")).then_some(())
        });
        let is_blocked = blocked.is_some();
        run.signal(Signal::SIGTERM);
        let asked = Instant::now();
        let outcome = run.wait();
        let outcome = outcome.failed(
            143,
            &[
                "ended by SIGTERM; ",
                " rows had come, and what was written is incomplete",
            ],
        );
        assert_eq!(outcome.stderr.lines().count(), 1);
        assert!(
            asked.elapsed() < short_timeout(),
            "{:?} (blocked: {is_blocked})",
            asked.elapsed()
        );
        drop(stdout);
    });
}

#[test]
fn a_signal_ends_a_run_that_is_still_connecting() {
    let (connected, is_connected) = mpsc::channel();
    let port = fake::serve(move |mut session| {
        let _ = connected.send(());
        while session.receive().is_some() {}
    });
    let run = GoldDigger::new()
        .args(["--db-url", &fake::url(port), "--connect-timeout=100s"])
        .arg("SELECT 1")
        .start();
    is_connected.recv().expect("it connects");
    run.signal(Signal::SIGINT);
    let asked = Instant::now();
    run.wait()
        .ended(130, "gold_digger: ended by SIGINT; no row had come\n");
    assert!(asked.elapsed() < short_timeout(), "{:?}", asked.elapsed());
}

#[test]
fn timeout_leaves_no_file_and_no_query() {
    // timeout(1) signals the process and then its group: one request, twice.
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let runs: Vec<Running> = (0..8)
            .map(|number| {
                let run = GoldDigger::wrapped_in(&["timeout", "100"]).env("DATABASE_URL", db.url());
                let run = run.arg(slow_query(db)).arg("-o");
                run.arg(folder.path().join(number.to_string())).start()
            })
            .collect();
        wait_until("all run", || db.connections_running(&db.name).len() == 8);
        // What it is sent, it passes on like the end of the time.
        runs.iter().for_each(|run| run.signal(Signal::SIGTERM));
        for run in runs {
            run.wait()
                .failed(143, &["gold_digger: ended by SIGTERM; no row had come"]);
        }
        assert_killed(db);
        assert!(is_empty(folder.path()), "a file was left behind");
    });
}

#[test]
fn an_ignored_signal_stays_ignored() {
    each_server(|db| {
        let shell = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"];
        let mut holder = db.connect();
        let locked: Option<u8> = holder.query_first(get_lock(db)).expect("an answer");
        assert_eq!(locked, Some(1));
        let run = GoldDigger::wrapped_in(&shell)
            .env("DATABASE_URL", db.url())
            .arg(get_lock(db))
            .start();
        wait_until("it waits", || !db.connections_waiting(&db.name).is_empty());
        assert!(!run.handles(Signal::SIGHUP) && run.handles(Signal::SIGINT));
        run.signal(Signal::SIGHUP);
        drop(holder);
        run.wait().wrote("a\n1\n");
    });
}

#[test]
fn only_the_query_itself_is_killed() {
    // Behind a load balancer, a second connection may reach another server, where
    // the id of our connection belongs to somebody else.
    each_server(|db| {
        let mut other = db.connect();
        let id = other.connection_id();
        let server = db.server.port;
        // The fake greets with the other connection's id and is then silent. The next
        // connection reaches the real server.
        let (connections, selects) = (counter(), counter());
        let (connected, selected) = (Arc::clone(&connections), Arc::clone(&selects));
        let port = fake::serve(move |mut session| {
            if connected.fetch_add(1, Ordering::SeqCst) > 0 {
                return session.forward(server);
            }
            session.connection_id = id;
            if session.wait_for_select().is_some() {
                selected.fetch_add(1, Ordering::SeqCst);
                while session.receive().is_some() {}
            }
        });
        let mut holder = db.connect();
        let locked: Option<u8> = holder.query_first(get_lock(db)).expect("an answer");
        assert_eq!(locked, Some(1));
        let answer: Option<u8> = std::thread::scope(|scope| {
            let busy = scope.spawn(|| other.query_first(get_lock(db)).expect("an answer"));
            let run = GoldDigger::new()
                .env("DATABASE_URL", db.url_by_port(port))
                .arg("SELECT SLEEP(100)")
                .start();
            wait_until("both queries run", || {
                db.connections_waiting(&db.name) == [id] && selects.load(Ordering::SeqCst) == 1
            });
            run.signal(Signal::SIGTERM);
            run.wait()
                .ended(143, "gold_digger: ended by SIGTERM; no row had come\n");
            drop(holder);
            busy.join().expect("the other query's thread")
        });
        assert_eq!(
            connections.load(Ordering::SeqCst),
            2,
            "the program has read the process list"
        );
        // MySQL answers NULL if the wait was interrupted, MariaDB with an error.
        assert_eq!(answer, Some(1), "the other query was not interrupted");
    });
}

fn counter() -> Arc<AtomicU32> {
    Arc::new(AtomicU32::new(0))
}
