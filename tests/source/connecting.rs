//! Connecting to servers: addresses, timeouts and the set-up of the session.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::support::{
    GlobalVariable, GoldDigger, each_server, each_server_alone, fake, short_timeout,
};

#[test]
fn unreachable_servers_and_refused_logins_exit_3() {
    GoldDigger::new()
        .args(["--db-url", "mysql://me@127.0.0.1:1/", "SELECT 1"])
        .run()
        .failed(
            3,
            &[
                "cannot connect to 127.0.0.1:1 as \"me\"",
                "Connection refused",
            ],
        );
    GoldDigger::new()
        .args([
            "--db-url",
            "mysql://me@localhost/?socket=/nowhere/s",
            "SELECT 1",
        ])
        .run()
        .failed(3, &["cannot connect to /nowhere/s", "No such file"]);
    GoldDigger::new()
        .args(["--db-url", "mysql://me@host.invalid/", "SELECT 1"])
        .run()
        .failed(3, &["cannot connect to host.invalid:3306", "host's name"]);
    each_server(|db| {
        let wrong = format!("mysql://root:hushhush@127.0.0.1:{}/", db.server.port);
        let outcome = GoldDigger::new()
            .args(["--db-url", &wrong, "SELECT 1"])
            .run();
        let outcome = outcome.failed(3, &["1045 (28000)", "check the user and the password"]);
        assert!(!outcome.stderr.contains("hushhush"));
        let nowhere = db.url().replace(&db.name, "no_such_database");
        GoldDigger::new()
            .args(["--db-url", &nowhere, "SELECT 1"])
            .run()
            .failed(3, &["1049 (42000)"]);
    });
}

#[test]
fn connecting_to_a_silent_server_fails_after_ten_seconds() {
    // One server sends nothing, the other one byte a second.
    let silent = fake::serve(|mut session| while session.receive().is_some() {});
    let slow = fake::serve(|mut session| {
        // The header announces a packet of 64 bytes.
        let mut bytes = b"\x40\0\0\0\x0a8.0.99-never-complete".iter();
        while bytes
            .next()
            .is_some_and(|byte| session.stream.write_all(&[*byte]).is_ok())
        {
            thread::sleep(Duration::from_secs(1));
        }
    });
    let runs = [silent, slow].map(|port| {
        GoldDigger::new()
            .args(["--db-url", &fake::url(port), "SELECT 1"])
            .start()
    });
    for run in runs {
        let outcome = run.wait().failed(3, &["no answer within 10 s"]);
        assert!(
            outcome.elapsed > Duration::from_secs(9)
                && outcome.elapsed < Duration::from_secs(11) + short_timeout(),
            "{:?}",
            outcome.elapsed
        );
    }
}

#[test]
fn every_address_of_a_name_is_tried() {
    // The servers listen on 127.0.0.1 only; with IPv6, localhost is also ::1.
    each_server(|db| {
        let url = db.url().replace("127.0.0.1", "localhost");
        GoldDigger::new()
            .args(["--db-url", &url, "SELECT 1 AS a"])
            .run()
            .wrote("a\n1\n");
    });
}

#[test]
fn rows_come_through_the_requested_port() {
    // If the driver switched to the server's socket, the proxy would see no rows.
    each_server(|db| {
        let (server, total) = (db.server.port, Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&total);
        let port = fake::proxy(server, move |side, bytes| {
            if side == fake::Side::Server {
                counted.fetch_add(bytes.len(), Ordering::SeqCst);
            }
        });
        let outcome = GoldDigger::new()
            .env("DATABASE_URL", db.url_by_port(port))
            .arg("SELECT REPEAT('x', 100000) AS a")
            .run();
        assert_eq!(outcome.ended(0, "").stdout.len(), 100_003);
        assert!(total.load(Ordering::SeqCst) > 100_000);
    });
}

#[test]
fn the_session_sends_the_program_name_and_uses_utf8mb4() {
    let (send, receive) = std::sync::mpsc::channel();
    let port = fake::serve(move |mut session| {
        let answer = session.accept().expect("a login");
        send.send((answer, session.receive().expect("a command")))
            .expect("the test listens");
    });
    GoldDigger::new()
        .args(["--db-url", &fake::url(port), "SELECT 1"])
        .run()
        .failed(3, &["lost"]);
    let (login, command) = receive.recv().expect("what the fake saw");
    let login = String::from_utf8_lossy(&login).into_owned();
    assert!(
        login.contains("\x0cprogram_name\x0bgold_digger"),
        "{login:?}"
    );
    assert_eq!(command, b"\x03SET NAMES utf8mb4");
    each_server(|db| {
        db.export("SELECT @@character_set_results AS a, @@character_set_client AS b, '😀' AS c")
            .run()
            .wrote("a\tb\tc\nutf8mb4\tutf8mb4\t😀\n");
    });
}

#[test]
fn a_refused_read_only_session_suggests_read_write() {
    let port = fake::serve(|mut session| {
        session.accept();
        while let Some(command) = session.receive() {
            if command.starts_with(b"\x03SET SESSION TRANSACTION") {
                session.send(b"\xff\xcb\x04#42000no such right here");
            } else {
                session.ok();
            }
        }
    });
    let run = GoldDigger::new()
        .args(["--db-url", &fake::url(port), "SELECT 1"])
        .run();
    run.failed(
        4,
        &[
            "read-only",
            "1227 (42000): no such right here",
            "--read-write",
        ],
    );
}

#[test]
fn a_run_ends_when_the_server_breaks_the_protocol() {
    // The driver panics on both.
    let greeting = fake::serve(|mut session| session.send(b"\x0anot a version\0"));
    let answer = fake::serve(|mut session| {
        if session.wait_for_select().is_some() {
            session.send(b"");
        }
        while session.receive().is_some() {}
    });
    let run = |port| {
        GoldDigger::new()
            .args(["--db-url", &fake::url(port), "SELECT 1"])
            .run()
    };
    assert_eq!(run(greeting).status.code(), Some(3));
    let outcome = run(answer);
    assert_eq!(outcome.status.code(), Some(4));
    outcome.assert_stderr_contains(&["the server's answers break the protocol"]);
}

#[test]
fn compressed_rows_are_the_same_rows() {
    each_server_alone(|db| {
        db.export("SHOW SESSION STATUS LIKE 'Compression'")
            .arg("--compress")
            .run()
            .wrote("Variable_name\tValue\nCompression\tON\n");
        // One row needs several packets; the others are small.
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   SELECT i, HEX(i * 7919), REPEAT(HEX(i * 7919), IF(i = 500, 5000000, i)) FROM n";
        let plain = db.export(sql).run();
        assert_eq!(plain.status.code(), Some(0), "{}", plain.stderr);
        for protocol in ["text", "binary"] {
            let compressed = db.export(sql).args(["--compress", "--protocol", protocol]);
            assert!(compressed.run().stdout == plain.stdout, "other bytes");
        }
        if !db.is_mariadb() {
            // MariaDB has no setting that refuses compression.
            let _without_compression =
                GlobalVariable::set(db, "protocol_compression_algorithms", "'uncompressed'");
            let outcome = db.export("SELECT 1 AS a").arg("--compress").run();
            let warning = "gold_digger: warning: the server says that it does not compress; the rows travelled as they are\n";
            let outcome = outcome.ended(0, warning);
            assert_eq!(outcome.stdout, b"a\n1\n");
        }
    });
}
