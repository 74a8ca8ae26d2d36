//! An attacker between the program and the server who reads, injects or modifies
//! bytes.

use std::sync::{Arc, Mutex};

use mysql::prelude::Queryable;

use super::tls::each_server_with_tls;
use crate::support::{
    GoldDigger, Signal,
    fake::{self, Side},
    wait_for,
};

#[test]
fn an_encrypted_mode_sends_nothing_readable() {
    each_server_with_tls(|db, files| {
        db.sql("DROP USER IF EXISTS talker@localhost");
        db.sql("CREATE USER talker@localhost IDENTIFIED BY 'a-spoken-password'");
        let run = |protocol: &str, args: &[&str]| {
            // MySQL forgets the cached password and requests the password again.
            db.sql("FLUSH PRIVILEGES");
            let recorded: Arc<Mutex<Vec<u8>>> = Arc::default();
            let record = Arc::clone(&recorded);
            let port = fake::proxy(db.server.port, move |_, bytes| {
                record.lock().expect("a lock").extend_from_slice(bytes);
            });
            let url = format!("mysql://talker:a-spoken-password@127.0.0.1:{port}/");
            let outcome = GoldDigger::new()
                .env("DATABASE_URL", url)
                .args(["--protocol", protocol, "--quiet"])
                .args(args)
                .arg("SELECT REPEAT('a row of ours ', 3) AS a_column")
                .run();
            outcome.wrote("a_column\na row of ours a row of ours a row of ours \n");
            let recorded = recorded.lock().expect("a lock");
            [
                "a row of ours",
                "a_column",
                "a-spoken-password",
                "REPEAT",
                "talker",
            ]
            .map(|word| {
                recorded
                    .windows(word.len())
                    .any(|window| window == word.as_bytes())
            })
        };
        let ca = files.path("ca.pem");
        for protocol in ["text", "binary"] {
            // Without encryption, the proxy can read everything but the password.
            assert_eq!(
                run(protocol, &["--tls", "disabled"]),
                [true, true, false, true, true]
            );
            for mode in ["required", "verify-ca", "verify-identity"] {
                let found = run(protocol, &["--tls", mode, "--tls-ca-file", &ca]);
                assert_eq!(found, [false; 5], "{mode}");
            }
        }
    });
}

/// The attacker appends a whole conversation to the server's greeting.
#[test]
fn packets_injected_before_encryption_are_detected() {
    let column = b"\x03def\0\0\0\x01a\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0";
    let packet = |sequence: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("a short packet");
        [&[length, 0, 0, sequence], payload].concat()
    };
    let ok = |sequence| packet(sequence, b"\0\0\0\x02\0\0\0");
    let refused = |sequence| packet(sequence, b"\xff\x17\x04#08S01unknown command");
    let result = |value: &[u8]| {
        [
            packet(1, b"\x01"),
            packet(2, column),
            packet(3, b"\xfe\0\0\x02\0"),
            packet(
                4,
                &[&[u8::try_from(value.len()).expect("short")], value].concat(),
            ),
            packet(5, b"\xfe\0\0\x02\0"),
        ]
        .concat()
    };
    // The login is accepted, and answers to all statements follow, with and without
    // one to the query that proves encryption.
    let logged_in = packet(3, b"\0\0\0\x02\0\0\0");
    let rest = [ok(1), refused(1), result(b"a forged row")].concat();
    let injected = "somebody on the way has slipped one in";
    let conversations = [
        (logged_in.clone(), "Packets out of sync"),
        ([logged_in.clone(), ok(1)].concat(), "Packets out of sync"),
        ([logged_in.clone(), ok(1), rest.clone()].concat(), injected),
        (
            [logged_in, ok(1), result(b"not what was asked"), rest].concat(),
            injected,
        ),
    ];
    each_server_with_tls(|db, files| {
        for (conversation, message) in &conversations {
            let conversation = conversation.clone();
            let done = Arc::new(Mutex::new(false));
            let port = fake::proxy(db.server.port, move |side, bytes| {
                let mut done = done.lock().expect("a lock");
                if side == Side::Server && !std::mem::replace(&mut done, true) {
                    bytes.extend_from_slice(&conversation);
                }
            });
            let outcome = GoldDigger::new()
                .env("DATABASE_URL", db.url_by_port(port))
                .args(["--tls-ca-file", &files.path("ca.pem")])
                .arg("SELECT 'a row' AS a")
                .run()
                .failed(3, &[message]);
            assert_eq!(String::from_utf8_lossy(&outcome.stdout), "");
        }
    });
}

/// The client's request for TLS, from which servers take its capabilities, and the
/// server's greeting are sent in plain text.
#[test]
fn packets_modified_before_encryption_have_no_effect() {
    each_server_with_tls(|db, files| {
        let ca = files.path("ca.pem");
        let modified = |change: fn(Side, &mut Vec<u8>)| {
            let changed = Arc::new(Mutex::new(Vec::new()));
            let port = fake::proxy(db.server.port, move |side, bytes| {
                // Only the first bytes of each side are modified.
                let mut changed = changed.lock().expect("a lock");
                if !changed.contains(&side) {
                    changed.push(side);
                    change(side, bytes);
                }
            });
            let run = GoldDigger::new().env("DATABASE_URL", db.url_by_port(port));
            run.args(["--tls-ca-file", &ca])
        };
        // Without CLIENT_CONNECT_WITH_DB, there would be no default database.
        let without_database = modified(|side, bytes| {
            if side == Side::Client {
                bytes[4] &= !0x08;
            }
        });
        let name = &db.name;
        without_database
            .arg("SELECT DATABASE() AS a")
            .run()
            .wrote(format!("a\n{name}\n"));
        // CLIENT_IGNORE_SPACE changes how the server parses names.
        let ignoring_space = modified(|side, bytes| {
            if side == Side::Client {
                bytes[5] |= 0x01;
            }
        });
        ignoring_space
            .arg("SELECT 1")
            .run()
            .failed(3, &["somebody on the way has altered the request for TLS"]);
        // With the id of another connection, the wrong query would be killed.
        let misled = modified(|side, bytes| {
            if side == Side::Server {
                let end = bytes[5..]
                    .iter()
                    .position(|byte| *byte == 0)
                    .expect("a version");
                bytes[5 + end + 1..][..4].copy_from_slice(&424_242u32.to_le_bytes());
            }
        });
        let running = misled.arg("SELECT SLEEP(470)").start();
        let count = || {
            let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP(470)%'";
            Queryable::query_first::<u32, _>(&mut db.connect(), sql).expect("a list")
        };
        let are_running = |expected| (count() == Some(expected)).then_some(());
        wait_for("it runs", || are_running(1));
        running.signal(Signal::SIGINT);
        running.wait().ended_with(130);
        // A killed query leaves the list when its thread notices.
        wait_for("it is killed", || are_running(0));
    });
}
