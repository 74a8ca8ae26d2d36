//! Hostile and broken servers. They can read no file, exhaust no memory, crash no
//! run and have nothing published.

use std::{
    fs,
    net::Shutdown,
    os::unix::process::ExitStatusExt,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use crate::support::{
    GoldDigger, Outcome, Signal, each_server,
    fake::{self, Session},
    short_timeout,
};

/// The most memory that an export may use, in KiB, whatever sizes a server
/// announces.
const MAX_MEMORY: u64 = 64 << 10;

/// Exports from the server on `port` into a file, with timeouts of two seconds.
/// Asserts that the run does not hang or panic, uses little memory and leaves no
/// file if it fails.
#[track_caller]
fn export_from_hostile_server(port: u16, flags: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let peak = tempfile::NamedTempFile::new().expect("a file");
    let report = peak.path().display().to_string();
    let outcome = GoldDigger::wrapped_in(&["/usr/bin/time", "-q", "-f", "%M", "-o", &report])
        .env("DATABASE_URL", fake::url(port))
        .args(["--connect-timeout", "2s", "--read-timeout", "2s", "-o"])
        .arg(folder.path().join("x.csv"))
        .args(flags)
        .arg("SELECT 1")
        .run();
    let message = &outcome.stderr;
    assert!(
        outcome.elapsed < Duration::from_secs(3) + short_timeout(),
        "{:?}: {message}",
        outcome.elapsed
    );
    assert!(
        !message.contains("panicked") && !message.contains("RUST_BACKTRACE"),
        "{message}"
    );
    let peak = fs::read_to_string(peak.path()).expect("the peak");
    let peak: u64 = peak.trim().parse().expect("KiB");
    assert!(peak < MAX_MEMORY, "{peak} KiB: {message}");
    if outcome.status.code() != Some(0) {
        let left = fs::read_dir(folder.path()).expect("the folder").count();
        assert_eq!(left, 0, "{message}");
    }
    outcome
}

/// Starts a fake server that accepts the login and runs `script` at the query.
fn serve_answer(script: impl Fn(&mut Session) + Send + Sync + 'static) -> u16 {
    fake::serve(move |mut session| {
        if session.wait_for_select().is_some() {
            script(&mut session);
        }
    })
}

#[test]
fn the_server_cannot_read_local_files() {
    let (send, receive) = mpsc::channel();
    let to_select = send.clone();
    let asking_for = |session: &mut Session| {
        session.send(b"\xfb/etc/passwd");
        let answer = session.receive();
        session.ok();
        session.receive();
        answer
    };
    let at_select = serve_answer(move |session| {
        to_select
            .send(asking_for(session))
            .expect("the test listens");
    });
    let at_first = fake::serve(move |mut session| {
        session.accept();
        session.receive();
        send.send(asking_for(&mut session))
            .expect("the test listens");
    });
    for port in [at_select, at_first] {
        export_from_hostile_server(port, &[]).ended_with(4);
        // An empty file is the protocol's refusal.
        assert_eq!(receive.recv().expect("what it saw"), Some(Vec::new()));
    }
}

#[test]
fn malformed_greetings_are_refused() {
    let greetings: [&[u8]; 12] = [
        b"",
        b"\x0a",
        b"\x09an older protocol\0",
        b"\xff",
        b"\xff\x15",
        b"\x0a\0\x07\0\0\0",
        b"\x0aversionless\0\x07\0\0\0abcdefgh\0\x09\x82\x2d\x02\0\x18\0\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0",
        b"\x0a99999999999.0.0\0\x07\0\0\0abcdefgh\0\x09\x82\x2d\x02\0\x18\0\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0",
        // No capability, and all of them.
        b"\x0a8.0.99\0\x07\0\0\0abcdefgh\0\0\0\x2d\x02\0\0\0\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0",
        b"\x0a8.0.99\0\x07\0\0\0abcdefgh\0\xff\xff\x2d\x02\0\xff\xff\xff\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0",
        // A challenge of length 0, and a plugin name without an end.
        b"\x0a8.0.99\0\x07\0\0\0abcdefgh\0\x09\x82\x2d\x02\0\x18\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\x0a8.0.99\0\x07\0\0\0abcdefgh\0\x09\x82\x2d\x02\0\x18\0\x15\0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0caching_sha2",
    ];
    for greeting in greetings {
        println!("{}", greeting.escape_ascii());
        let port = fake::serve(move |mut session| session.send(greeting));
        export_from_hostile_server(port, &[]).ended_with(3);
    }
}

#[test]
fn malformed_answers_to_a_login_are_refused() {
    let answers: [&[u8]; 10] = [
        b"",
        b"\x01",
        b"\x02",
        b"\xfe",
        b"\xfe\0",
        b"\xfemysql_clear_password\0",
        b"\xfemysql_old_password\0abcdefgh\0",
        b"\xfecaching_sha2_password\0",
        b"\xfeclient_ed25519\0short",
        b"\xff",
    ];
    for answer in answers {
        println!("{}", answer.escape_ascii());
        let port = fake::serve(move |mut session| {
            session.greet_without_tls();
            session.receive();
            session.send(answer);
            // The answer is repeated whatever the client sends.
            while session.receive().is_some() {
                session.send(answer);
            }
        });
        export_from_hostile_server(port, &[]).ended_with(3);
    }
    // What the server sends as its RSA key is no RSA key.
    for key in [
        &b""[..],
        b"\x01",
        b"\x01-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----",
    ] {
        let port = fake::serve(move |mut session| {
            session.greet_without_tls();
            session.receive();
            session.send(b"\xfecaching_sha2_password\0abcdefghijklmnopqrst\0");
            session.receive();
            session.send(b"\x01\x04");
            session.receive();
            session.send(key);
        });
        export_from_hostile_server(port, &[]).ended_with(3);
    }
}

/// Memory is allocated for data that has arrived, not for announced sizes.
#[test]
fn announced_sizes_use_no_memory() {
    // The header of a packet of 16 MiB, after which a continuation must follow.
    let packet = b"\xff\xff\xff\0".as_slice();
    let silent = fake::serve(move |mut session| {
        session.send_raw(packet);
        while session.receive().is_some() {}
    });
    export_from_hostile_server(silent, &[]).failed(3, &["longer than 1 GiB"]);
    let at_query = serve_answer(move |session| {
        session.send_raw(b"\xff\xff\xff\x01");
        session.receive();
    });
    export_from_hostile_server(at_query, &[]).failed(4, &["--read-timeout is what ended it"]);

    let gibibyte = b"\xfe\0\0\0\x40\0\0\0\0";
    let announced = |row: &'static [u8]| {
        serve_answer(move |session| {
            session.columns(&["a"]);
            session.send(row);
        })
    };
    export_from_hostile_server(announced(gibibyte), &[]).ended_with(4);
    export_from_hostile_server(announced(b"\x10short"), &[]).ended_with(4);
    export_from_hostile_server(announced(b"\xfd\xff\xff\xff"), &[]).ended_with(4);
    // One million columns, ten million, and more than possible.
    for count in [
        &b"\xfd\x40\x42\x0f"[..],
        b"\xfe\x80\x96\x98\0\0\0\0\0",
        b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        export_from_hostile_server(serve_answer(move |session| session.send(count)), &[])
            .ended_with(4);
    }
    // For the largest possible count, the driver allocates more memory than there
    // is, and the process aborts (SECURITY.md). Nothing is published.
    let count = b"\xfe\0\0\0\0\0\x01\0\0";
    let port = serve_answer(move |session| session.send(count));
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("x.csv");
    let run = GoldDigger::new().env("DATABASE_URL", fake::url(port));
    let outcome = run.arg("-o").arg(&target).arg("SELECT 1").run();
    // A system that overcommits memory lets the run end with an error instead.
    let is_aborted = outcome.status.signal() == Some(Signal::SIGABRT as i32);
    assert!(
        is_aborted || outcome.status.code() == Some(4),
        "{}",
        outcome.stderr
    );
    assert!(!target.exists());
}

type Script = fn(&mut Session);

#[test]
fn malformed_results_are_refused() {
    let broken: [(&str, Script); 14] = [
        ("nothing at all", |_| {}),
        ("an empty packet", |session| session.send(b"")),
        ("OK in place of a result set", |session| session.ok()),
        ("an end in place of columns", |session| {
            session.send(b"\x02");
            session.end();
            session.end();
        }),
        ("an empty column", |session| {
            session.send(b"\x01");
            session.send(b"");
        }),
        ("a column that ends early", |session| {
            session.send(b"\x01");
            session.send(b"\x03def\0\0\0\x01a");
        }),
        ("a name that is not UTF-8", |session| {
            session.send(b"\x01");
            session.send(b"\x03def\0\0\0\x02\xff\xfe\0\x0c\x2d\0\xff\0\0\0\xfd\0\0\0\0\0");
            session.end();
        }),
        ("an unknown type", |session| {
            session.send(b"\x01");
            session.send(b"\x03def\0\0\0\x01a\0\x0c\x2d\0\xff\0\0\0\x63\0\0\0\0\0");
            session.end();
        }),
        ("an empty row", |session| {
            session.columns(&["a"]);
            session.send(b"");
        }),
        ("a value that is missing", |session| {
            session.columns(&["a", "b"]);
            session.row(&["1"]);
            session.end();
        }),
        ("an error without a number", |session| {
            session.columns(&["a"]);
            session.send(b"\xff");
        }),
        ("text that is not UTF-8", |session| {
            session.columns(&["a"]);
            session.send(b"\x02\xff\xfe");
            session.end();
        }),
        ("an error that ends early", |session| {
            session.columns(&["a"]);
            session.send(b"\xff\x01");
        }),
        ("a wrong sequence number", |session| {
            session.columns(&["a"]);
            session.send_raw(b"\x02\0\0\x63\x011");
            session.end();
        }),
    ];
    for (name, script) in broken {
        println!("{name}");
        export_from_hostile_server(serve_answer(script), &[]).ended_with(4);
    }
}

#[test]
fn malformed_results_after_the_rows_are_refused() {
    // A procedure's other result sets come here.
    let after: [(&str, Script); 3] = [
        ("an empty packet", |session| session.send(b"")),
        ("two empty packets", |session| {
            session.send(b"");
            session.send(b"");
        }),
        ("half a result set", |session| {
            session.send(b"\x01");
            session.send(b"\x03def");
        }),
    ];
    for (name, script) in after {
        println!("after the rows: {name}");
        let port = serve_answer(move |session| {
            session.columns(&["a"]);
            session.row(&["1"]);
            // The end of the rows, with the flag for more results.
            session.send(b"\xfe\0\0\x0a\0");
            script(session);
        });
        export_from_hostile_server(port, &[]).ended_with(4);
    }
}

/// Each answer announces another one, without end.
#[test]
fn endless_answers_end_the_run() {
    fn forever(session: &mut Session, answer: &[u8]) {
        // Ends when the client closes the connection.
        while session.send_raw(&answer.repeat(1000)).is_some() {}
    }
    // OK with the flag for more results. Each has the sequence number of a new
    // answer.
    let more = b"\x07\0\0\x01\0\0\0\x0a\0\0\0".as_slice();
    let at_first = fake::serve(move |mut session| {
        session.accept();
        session.receive();
        forever(&mut session, more);
    });
    export_from_hostile_server(at_first, &[]).ended_with(3);
    let at_query = serve_answer(move |session| forever(session, more));
    export_from_hostile_server(at_query, &[]).ended_with(4);
    let after_rows = serve_answer(move |session| {
        session.columns(&["a"]);
        session.row(&["1"]);
        session.send(b"\xfe\0\0\x0a\0");
        forever(session, more);
    });
    export_from_hostile_server(after_rows, &[]).ended_with(4);
    // Empty compressed packets.
    let compressed = fake::serve(move |mut session| {
        session.greet_with_compression();
        session.receive();
        session.ok();
        forever(&mut session, b"\0\0\0\0\0\0\0");
    });
    export_from_hostile_server(compressed, &["--compress"]).ended_with(3);
}

/// The driver's own method for such statements ignores errors after the first
/// result set.
#[test]
fn an_init_statement_that_fails_after_its_rows_ends_the_run() {
    each_server(|db| {
        db.sql("CREATE PROCEDURE late() BEGIN SELECT 1 AS a; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too late'; END");
        db.sql("CREATE PROCEDURE fine() BEGIN SELECT 1 AS a; SELECT 2 AS b; END");
        let run = |init: &str| db.export("SELECT 3 AS c").args(["--init", init]).run();
        run("CALL late()").failed(
            4,
            &[
                "the server refused the init statement",
                "1644 (45000): too late",
            ],
        );
        run("CALL fine()").wrote("c\n3\n");
    });
}

/// Replays everything that a server has sent during an export, cut at each byte.
#[test]
fn only_a_complete_answer_succeeds() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t AS SELECT 'one' AS a, 2 AS b, NULL AS c UNION ALL SELECT '', -3, 0.5",
        );
        for protocol in ["text", "binary"] {
            let recorded: Arc<Mutex<Vec<u8>>> = Arc::default();
            let record = Arc::clone(&recorded);
            let port = fake::proxy(db.server.port, move |side, bytes| {
                if side == fake::Side::Server {
                    record.lock().expect("a lock").extend_from_slice(bytes);
                }
            });
            let folder = tempfile::tempdir().expect("a folder");
            let target = folder.path().join("x.tsv");
            let run = |url: &str| {
                let run = GoldDigger::new().env("DATABASE_URL", url);
                let run = run.args(["--protocol", protocol, "SELECT * FROM t", "-o"]);
                run.arg(&target).run()
            };
            let wrote = |outcome: Outcome| {
                outcome.wrote("");
                let written = fs::read_to_string(&target).expect("the file");
                fs::remove_file(&target).expect("it can go");
                written
            };
            let rows = "a\tb\tc\none\t2\t\\N\n\t-3\t0.5\n";
            assert_eq!(wrote(run(&db.url_by_port(port))), rows);
            let whole = recorded.lock().expect("a lock").clone();
            let length = Arc::new(Mutex::new(0));
            let sent = Arc::clone(&length);
            let (bytes, url) = (whole.clone(), db.url());
            let port = fake::serve(move |mut session| {
                session.send_raw(&bytes[..*sent.lock().expect("a lock")]);
                let _ = session.stream.shutdown(Shutdown::Write);
                while session.receive().is_some() {}
            });
            let replayed = url.replace(&format!(":{}/", db.server.port), &format!(":{port}/"));
            for cut in 0..whole.len() {
                *length.lock().expect("a lock") = cut;
                let outcome = run(&replayed);
                let message = &outcome.stderr;
                let code = outcome.status.code();
                assert!(
                    matches!(code, Some(3 | 4)),
                    "{cut} of {}: {code:?}: {message}",
                    whole.len()
                );
                let left = fs::read_dir(folder.path()).expect("the folder").count();
                assert!(
                    !message.contains("panicked") && left == 0,
                    "{cut}: {message}"
                );
            }
            *length.lock().expect("a lock") = whole.len();
            assert_eq!(wrote(run(&replayed)), rows);
        }
    });
}

/// Sends random bytes in place of each part of an export. They are the same in each
/// run.
#[test]
fn random_bytes_end_in_an_orderly_failure() {
    let (next, state) = (
        Arc::new(Mutex::new(0u32)),
        Mutex::new(0x9e37_79b9_7f4a_7c15_u64),
    );
    let number = Arc::clone(&next);
    let random = move || {
        let mut state = state.lock().expect("a lock");
        // Marsaglia's xorshift.
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    };
    let bytes: Vec<Vec<u8>> = (0..150)
        .map(|round| {
            let length = random() % 200;
            // Half of them form a packet, so that the client reads further.
            let body: Vec<u8> = (0..length).map(|_| random() as u8).collect();
            match round % 2 {
                0 => body,
                _ => [&[length as u8, 0, 0, 1][..], &body].concat(),
            }
        })
        .collect();
    let count = bytes.len();
    let port = fake::serve(move |mut session| {
        let number = *number.lock().expect("a lock") as usize;
        match number / bytes.len() {
            0 => {}
            1 => {
                session.greet_without_tls();
                session.receive();
            }
            2 => drop(session.wait_for_select()),
            _ => {
                session.wait_for_select();
                session.columns(&["a"]);
            }
        }
        session.send_raw(&bytes[number % bytes.len()]);
        let _ = session.stream.shutdown(Shutdown::Write);
        while session.receive().is_some() {}
    });
    for number in 0..4 * count {
        *next.lock().expect("a lock") = u32::try_from(number).expect("few");
        let outcome = export_from_hostile_server(port, &[]);
        let code = outcome.status.code();
        assert!(
            matches!(code, Some(3 | 4)),
            "{number}: {code:?}: {}",
            outcome.stderr
        );
    }
}
