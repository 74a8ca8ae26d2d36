//! Logins: every authentication plugin of the servers, and the message of every
//! refusal.

use std::{
    fs,
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use mysql::prelude::Queryable;

use crate::support::{
    ANOTHER_HOST, Database, GlobalVariable, GoldDigger, Outcome, Signal,
    certificates::{Authority, Validity},
    each_server, each_server_alone, fake, on_new_mariadb, wait_for,
};

/// Creates the account `name`, after dropping an earlier one.
fn create_account(db: &Database, name: &str, identified: &str) {
    db.sql(&format!("DROP USER IF EXISTS {name}@localhost"));
    db.sql(&format!(
        "CREATE USER {name}@localhost IDENTIFIED {identified}"
    ));
}

fn run(url: &str, args: &[&str]) -> Outcome {
    let run = GoldDigger::new().env("DATABASE_URL", url).args(args);
    run.arg("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1) AS a")
        .run()
}

fn url(db: &Database, login: &str, host: &str) -> String {
    format!("mysql://{login}@{host}:{}/", db.server.port)
}

/// Asserts that `login` works over plain TCP, over TLS and over the Unix socket, and
/// that a wrong password is refused.
fn assert_login(db: &Database, login: &str) {
    let name = login.split(':').next().expect("a name");
    let socket = db.server.socket.display();
    let by_socket = format!("mysql://{login}@localhost/?socket={socket}");
    let by_port = url(db, login, "127.0.0.1");
    let routes = [
        (&by_port, "disabled"),
        (&by_port, "required"),
        (&by_socket, "disabled"),
    ];
    for (url, mode) in routes {
        // The first login has no cached password on the server, the second has one.
        db.sql("FLUSH PRIVILEGES");
        for _ in 0..2 {
            let mut outcome = run(url, &["--tls", mode]);
            if name == "ed" && outcome.stderr.contains("1045") {
                // The driver cuts one of 256 challenges of ed25519, at a NUL.
                outcome = run(url, &["--tls", mode]);
            }
            outcome.wrote(format!("a\n{name}\n"));
        }
        let wrong = url.replace("pass@", "wrong@");
        run(&wrong, &["--tls", mode]).failed(3, &["the login was refused: server error 1045"]);
    }
}

#[test]
fn every_plugin_works_over_every_transport() {
    each_server(|db| {
        if db.is_mariadb() {
            create_account(
                db,
                "native",
                "VIA mysql_native_password USING PASSWORD('n-pass')",
            );
            assert_login(db, "native:n-pass");
        } else {
            create_account(db, "sha2", "WITH caching_sha2_password BY 's-pass'");
            assert_login(db, "sha2:s-pass");
        }
        // The password is longer than one block of its encryption.
        let long = "Pass".repeat(40) + "-pass";
        create_account(db, "longish", &format!("BY '{long}'"));
        assert_login(db, &format!("longish:{long}"));
    });
    let ed25519 = |db: &Database| {
        if db.is_mariadb() {
            db.sql("INSTALL SONAME 'auth_ed25519'");
            create_account(db, "ed", "VIA ed25519 USING PASSWORD('e-pass')");
            assert_login(db, "ed:e-pass");
        }
    };
    each_server(ed25519);
    on_new_mariadb(ed25519);
    on_new_mariadb(|db| {
        db.sql("INSTALL SONAME 'auth_parsec'");
        create_account(db, "parsec", "VIA parsec USING PASSWORD('p-pass')");
        assert_login(db, "parsec:p-pass");
    });
}

#[test]
fn the_unix_user_logs_in_by_the_socket() {
    let me = nix::unistd::User::from_uid(nix::unistd::geteuid());
    let me = me.expect("an account").expect("an account").name;
    each_server_alone(|db| {
        if !db.is_mariadb() {
            db.sql("INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'");
            create_account(db, "by_socket", &format!("WITH auth_socket AS '{me}'"));
            let socket = db.server.socket.display();
            run(
                &format!("mysql://by_socket@localhost/?socket={socket}"),
                &[],
            )
            .wrote("a\nby_socket\n");
            run(&url(db, "by_socket", "127.0.0.1"), &[]).failed(3, &["the login was refused"]);
            return;
        }
        // For root, the account exists already and is restored.
        let mut session = db.connect();
        let account = format!("`{me}`@localhost");
        db.sql(&format!("CREATE USER IF NOT EXISTS {account}"));
        db.sql(&format!("ALTER USER {account} IDENTIFIED VIA unix_socket"));
        let socket = db.server.socket.display();
        let outcome = run(&format!("mysql://{me}@localhost/?socket={socket}"), &[]);
        let by_port = run(&url(db, &me, "127.0.0.1"), &[]);
        let restore = format!(
            "ALTER USER {account} IDENTIFIED BY '{}'",
            db.server.password
        );
        session.query_drop(restore).expect("it is restored");
        outcome.wrote(format!("a\n{me}\n"));
        by_port.failed(3, &["the login was refused", "1698", "by --socket"]);
    });
}

#[test]
fn a_public_key_from_the_server_is_trusted_on_this_machine_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = folder.path().join("key.pem").display().to_string();
    each_server(|db| {
        if db.is_mariadb() {
            return;
        }
        create_account(db, "remote", "BY 'r-pass'");
        let status: Option<(String, String)> = db
            .connect()
            .query_first("SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'")
            .expect("the key");
        fs::write(&key, status.expect("the key").1).expect("a file");
        let url = url(db, "remote:r-pass", ANOTHER_HOST);
        let plain = ["--tls", "disabled", "--quiet"];
        let with_key = [&plain[..], &["--server-public-key", &key]].concat();
        run(&url, &plain).failed(3, &["a key of its own", "--server-public-key FILE"]);
        run(&url, &with_key).wrote("a\nremote\n");
        // With the server's cached password, no key is needed.
        run(&url, &plain).wrote("a\nremote\n");
        db.sql("FLUSH PRIVILEGES");
        run(&url, &["--tls", "required", "--quiet"]).wrote("a\nremote\n");
    });
}

#[test]
fn the_cleartext_password_is_sent_to_verified_servers_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let ca = Authority::new("the CA");
    ca.certify(&["127.0.0.1"], Validity::Current)
        .write(folder.path(), "server");
    let ca_file = folder.path().join("ca.pem").display().to_string();
    fs::write(&ca_file, &ca.pem).expect("a file");
    let config = fake::tls_config(folder.path());
    let (send, receive) = mpsc::channel();
    let switch = b"\xfemysql_clear_password\0";
    let tls_server = fake::serve(move |mut session| {
        session.greet_with_tls();
        session.receive();
        let mut session = session.encrypted(&config);
        session.receive();
        session.send(switch);
        send.send(session.receive()).expect("the test listens");
        session.ok();
        session.receive();
    });
    let plain_server = fake::serve(move |mut session| {
        session.greet_without_tls();
        session.receive();
        session.send(switch);
        let mut rest = Vec::new();
        let _ = session.stream.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("secret"));
    });
    let verified = ["--tls-ca-file", &ca_file, "--tls", "verify-identity"];
    let request = "the server wants the password itself (mysql_clear_password)";
    let unverified = [request, "only a server whose certificate is verified"];
    run(&fake::url(plain_server), &[]).failed(3, &unverified);
    run(&fake::url(tls_server), &["--tls", "required"]).failed(3, &unverified);
    run(&fake::url(tls_server), &verified)
        .failed(3, &[request, "--enable-cleartext-plugin gives it"]);
    for _ in 0..2 {
        let sent = receive
            .recv()
            .expect("the server's record")
            .unwrap_or_default();
        assert!(
            !String::from_utf8_lossy(&sent).contains("secret"),
            "{sent:?}"
        );
    }
    run(
        &fake::url(tls_server),
        &[&verified[..], &["--enable-cleartext-plugin"]].concat(),
    )
    .failed(3, &["lost"]);
    assert_eq!(
        receive.recv().expect("the server's record"),
        Some(b"secret\0".to_vec())
    );
    // The same holds for the option of an option file.
    let option_file = folder.path().join("my.cnf").display().to_string();
    fs::write(&option_file, "[client]\nenable-cleartext-plugin\n").expect("a file");
    let by_file = ["--defaults-file", &option_file];
    run(
        &fake::url(tls_server),
        &[&by_file[..], &["--tls", "required"]].concat(),
    )
    .failed(3, &[request]);
    receive.recv().expect("the server's record");
    run(&fake::url(tls_server), &[&by_file[..], &verified].concat()).failed(3, &["lost"]);
    assert_eq!(
        receive.recv().expect("the server's record"),
        Some(b"secret\0".to_vec())
    );
}

#[test]
fn the_message_names_an_unknown_plugin() {
    for plugin in ["sha256_password", "dialog", "auth_gssapi_client"] {
        let port = fake::serve(move |mut session| {
            session.greet_without_tls();
            session.receive();
            session.send(&[b"\xfe", plugin.as_bytes(), b"\0abcdefghijklmnopqrst\0"].concat());
            session.receive();
        });
        let message = format!(
            "the account logs in by the plugin {plugin:?}, which this program does not have"
        );
        run(&fake::url(port), &[]).failed(
            3,
            &[
                &message,
                "caching_sha2_password, mysql_native_password, client_ed25519, parsec",
            ],
        );
    }
}

#[test]
fn a_wrong_login_has_its_own_message() {
    each_server(|db| {
        create_account(db, "known", "BY 'k-pass'");
        let at = |login: &str| url(db, login, "127.0.0.1");
        run(&at("known:wrong"), &[]).failed(
            3,
            &[
                "the login was refused: server error 1045 (28000)",
                "check the user and the password",
            ],
        );
        run(&at("known"), &[]).failed(
            3,
            &[
                "the login was refused, and no password was given: server error 1045",
                "--ask-password",
            ],
        );
        let unknown = run(&at("nobody-knows:x"), &[]).ended_with(3);
        // For an unknown user, MySQL chooses a plugin by the user's name.
        let has_made_up_plugin = !db.is_mariadb() && unknown.contains("is the user right?");
        let is_refused = unknown.contains("the login was refused: server error 1045 (28000)");
        assert!(is_refused || has_made_up_plugin, "{unknown}");
        if !db.is_mariadb() {
            create_account(db, "old", "WITH sha256_password BY 'o-pass'");
            run(&at("old:o-pass"), &[]).failed(3, &["by the plugin \"sha256_password\""]);
        }
    });
}

#[test]
fn a_database_or_account_that_cannot_be_used_has_its_own_message() {
    each_server(|db| {
        create_account(db, "usable", "BY 'k-pass'");
        let at = |login: &str| url(db, login, "127.0.0.1");
        let no_such_db = format!("{}no_such_db", db.url().trim_end_matches(&db.name));
        run(&no_such_db, &[]).failed(3, &["there is no such database: server error 1049 (42000)"]);
        run(&format!("{}mysql", at("usable:k-pass")), &[]).failed(
            3,
            &["the account may not use that database: server error 1044"],
        );
        db.sql("ALTER USER usable@localhost ACCOUNT LOCK");
        run(&at("usable:k-pass"), &[]).failed(3, &["the account is locked: server error"]);
        db.sql("ALTER USER usable@localhost ACCOUNT UNLOCK PASSWORD EXPIRE");
        run(&at("usable:k-pass"), &[]).failed(
            3,
            &[
                "the account's password has expired: server error 18",
                "ALTER USER",
            ],
        );
    });
}

#[test]
fn an_account_at_its_limit_has_its_own_message() {
    each_server(|db| {
        create_account(db, "single", "BY 's-pass' WITH MAX_USER_CONNECTIONS 1");
        let at = url(db, "single:s-pass", "127.0.0.1");
        let first = GoldDigger::new()
            .env("DATABASE_URL", &at)
            .arg("SELECT SLEEP(100)")
            .start();
        let is_running = || {
            let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'single' AND info LIKE '%SLEEP%'";
            let count: Option<u32> = db.connect().query_first(sql).expect("a list");
            count.filter(|count| *count > 0)
        };
        wait_for("it runs", is_running);
        run(&at, &[]).failed(
            3,
            &["the account has used up what it is allowed: server error 1226"],
        );
        first.signal(Signal::SIGTERM);
        first.wait().ended_with(143);
    });
}

#[test]
fn a_full_server_has_its_own_message() {
    each_server_alone(|db| {
        create_account(db, "known", "BY 'k-pass'");
        let at = url(db, "known:k-pass", "127.0.0.1");
        let connections: Vec<_> = (0..10).map(|_| db.connect()).collect();
        let _limit = GlobalVariable::set(db, "max_connections", "10");
        run(&at, &[]).failed(
            3,
            &[
                "the server has all the connections that it allows: server error 1040",
                "max_connections",
            ],
        );
        drop(connections);
        let can_connect = || run(&at, &[]).status.success().then_some(());
        wait_for("a connection is free", can_connect);
    });
}

#[test]
fn a_server_that_requires_tls_has_its_own_message() {
    each_server_alone(|db| {
        create_account(db, "known", "BY 'k-pass'");
        let at = url(db, "known:k-pass", "127.0.0.1");
        let _secure = GlobalVariable::set(db, "require_secure_transport", "1");
        // MariaDB refuses the login as if the password were wrong.
        let parts = if db.is_mariadb() {
            ["the login was refused", "does the account require TLS?"]
        } else {
            [
                "the server wants encrypted connections only: server error 3159",
                "--tls verify-identity",
            ]
        };
        run(&at, &[]).failed(3, &parts);
        run(&at, &["--tls", "required"]).wrote("a\nknown\n");
    });
}

#[test]
fn a_blocked_client_has_its_own_message() {
    // The real servers neither block this machine nor lack an account for it.
    for (packet, message) in [
        (
            &b"\xff\x69\x04Host '127.0.0.1' is blocked"[..],
            "the server has blocked this machine after too many failed connections: server error 1129",
        ),
        (
            b"\xff\x6a\x04Host '127.0.0.1' is not allowed",
            "the server serves no account from this machine: server error 1130",
        ),
    ] {
        let port = fake::serve(move |mut session| session.send(packet));
        run(&fake::url(port), &[]).failed(3, &[message, "an administrator"]);
    }
}

/// The kernel's keepalive probes detect a server that has vanished silently.
#[test]
fn connections_use_keepalive() {
    each_server(|db| {
        // The proxy's port belongs to this test alone.
        let port = fake::proxy(db.server.port, |_, _| {});
        let running = GoldDigger::new()
            .env("DATABASE_URL", db.url_by_port(port))
            .arg("SELECT SLEEP(100)")
            .start();
        // The kernel's table has addresses and ports in hexadecimal. A timer field
        // that begins with 02: is the keepalive timer.
        let server = format!("0100007F:{port:04X}");
        wait_for("the connection has a keepalive timer", || {
            let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
            let has_keepalive = |line: &&str| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                fields[2] == server && fields[3] == "01" && fields[5].starts_with("02:")
            };
            table.lines().find(has_keepalive).map(str::to_owned)
        });
        running.signal(Signal::SIGTERM);
        running.wait().ended_with(143);
    });
}

/// The driver truncates a challenge whose last byte is zero.
#[test]
fn a_challenge_that_the_driver_truncates_is_requested_again() {
    let proof_lengths = |version: &'static str, last: u8, plugin: &'static str| {
        let (send, receive) = mpsc::channel();
        let port = fake::serve(move |mut session| {
            session.version = version;
            session.greet_without_tls();
            if session.receive().is_none() {
                return;
            }
            let challenge = [&[b'x'; 31][..], &[last]].concat();
            session.send(&[b"\xfe", plugin.as_bytes(), b"\0", &challenge].concat());
            let answer = session.receive();
            if plugin == "parsec" && answer.is_some() {
                session.send(b"\x01P\0salt-of-18-bytes--");
                send.send(session.receive()).expect("the test listens");
            } else {
                send.send(answer).expect("the test listens");
            }
            session.send(b"\xff\x15\x04#28000Access denied for user 'me'");
        });
        run(&fake::url(port), &[]).failed(3, &[]);
        let answers = receive.try_iter().flatten();
        answers.map(|answer| answer.len()).collect::<Vec<_>>()
    };
    let (mariadb, mysql) = ("5.5.5-10.11.99-MariaDB", "8.0.99-fake");
    // The server does not say why it refuses a proof.
    // Nothing says that the server is MariaDB before a login has succeeded.
    assert_eq!(proof_lengths(mariadb, 0, "client_ed25519"), [64]);
    assert_eq!(proof_lengths(mysql, 0, "client_ed25519"), [64]);
    assert_eq!(proof_lengths(mariadb, b'x', "parsec"), [96]);
    assert_eq!(proof_lengths(mysql, b'x', "parsec"), [96]);
    // The driver panics before it answers and sends COM_QUIT.
    assert_eq!(proof_lengths(mysql, 0, "parsec"), [1, 1]);
}

/// Runs three exports against a server that accepts the first `accepted` logins and
/// denies all others. Returns the outcome and the number of connections.
fn run_list(version: &'static str, accepted: usize, args: &[&str]) -> (Outcome, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let port = fake::serve(move |mut session| {
        session.version = version;
        if counted.fetch_add(1, Ordering::SeqCst) < accepted {
            return session.answer(&["a"], &[&[b"x"]]);
        }
        session.greet_without_tls();
        if session.receive().is_some() {
            session.send(b"\xff\x15\x04#28000Access denied for user 'me'");
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("exports.toml");
    let export = |name| {
        let file = folder.path().join(name);
        format!("[[export]]\nname = '{name}'\nsql = 'SELECT 1'\npath = {file:?}\nformat = 'csv'\n")
    };
    let exports = ["one", "two", "three"].map(export);
    fs::write(&list, exports.concat()).expect("a list");
    let run = GoldDigger::new().env("DATABASE_URL", fake::url(port));
    let outcome = run.arg("--config").arg(&list).args(args).run();
    (outcome, count.load(Ordering::SeqCst))
}

#[test]
fn a_refused_login_is_the_only_connection_of_the_run() {
    for args in [
        &[][..],
        &["--connections", "3"],
        &["--check"],
        &["--retry", "2"],
    ] {
        let (outcome, connections) = run_list("10.11.99-MariaDB", 0, args);
        assert_eq!(
            outcome.status.code(),
            Some(3),
            "{args:?}: {}",
            outcome.stderr
        );
        assert_eq!(connections, 1, "{args:?}");
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr;
        assert_eq!(
            text.matches("it did not run: cannot connect").count(),
            2,
            "{text}"
        );
    }
    // A second login tells a challenge that the driver cut from a wrong password.
    for (version, connections) in [("10.11.99-MariaDB", 3), ("8.0.99-fake", 2)] {
        let (outcome, made) = run_list(version, 1, &[]);
        assert_eq!(
            (outcome.status.code(), made),
            (Some(3), connections),
            "{}",
            outcome.stderr
        );
    }
}

#[test]
fn passwords_that_the_driver_cannot_use_are_reported() {
    on_new_mariadb(|db| {
        db.sql("INSTALL SONAME 'auth_parsec'");
        create_account(db, "empty", "VIA parsec USING PASSWORD('e-pass')");
        run(&url(db, "empty", "127.0.0.1"), &[]).failed(
            3,
            &[
                "the login broke off, and no password was given",
                "--ask-password",
            ],
        );
    });
    each_server(|db| {
        if !db.is_mariadb() {
            let long = "x".repeat(250);
            create_account(db, "longest", &format!("BY '{long}'"));
            let at = url(db, &format!("longest:{long}"), "127.0.0.1");
            run(&at, &[]).failed(
                3,
                &["the password is too long for the server's RSA key", "--tls"],
            );
            run(&at, &["--tls", "required"]).wrote("a\nlongest\n");
        }
    });
}

/// Settings of init_connect must not break the proof of encryption.
#[test]
fn a_session_may_start_in_any_character_set() {
    each_server_alone(|db| {
        create_account(db, "visitor", "BY 'f-pass'");
        let at = url(db, "visitor:f-pass", "127.0.0.1");
        let _set = GlobalVariable::set(
            db,
            "init_connect",
            "'SET character_set_results = ucs2, sql_mode = ANSI'",
        );
        for mode in ["disabled", "required"] {
            run(&at, &["--tls", mode]).wrote("a\nvisitor\n");
        }
    });
}

/// The server runs init_connect for accounts without special rights, and ends the
/// session where it fails.
#[test]
fn a_failing_init_connect_is_named() {
    each_server_alone(|db| {
        create_account(db, "visitor", "BY 'f-pass'");
        let at = url(db, "visitor:f-pass", "127.0.0.1");
        let _set = GlobalVariable::set(db, "init_connect", "'SELEKT 1'");
        for mode in ["disabled", "required"] {
            run(&at, &["--tls", mode]).failed(
                3,
                &[
                    "the server's own statements for new sessions failed: server error 1184",
                    "hint: an administrator mends or empties its init_connect",
                ],
            );
        }
    });
}
