//! Encryption: which servers each mode trusts, what is sent unencrypted, and the
//! messages of failed connections.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    sync::LazyLock,
};

use crate::support::{
    ANOTHER_HOST, Database, GoldDigger, Outcome,
    certificates::{Authority, Identity, Validity, self_signed},
    changing_certificates, each_server, fake, on_new_mariadb,
};

static OURS: LazyLock<Authority> = LazyLock::new(|| Authority::new("our CA"));
static OTHER: LazyLock<Authority> = LazyLock::new(|| Authority::new("another CA"));

/// A folder with the files of a client.
pub struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        fs::write(files.path("ca.pem"), &OURS.pem).expect("a file");
        fs::write(files.path("other.pem"), &OTHER.pem).expect("a file");
        let both = format!("a comment\n{}\n{}", OTHER.pem, OURS.pem);
        fs::write(files.path("both.pem"), both).expect("a file");
        files
    }

    pub fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Calls the program for the server of `db` under the name `host`. The system's
    /// trust store contains only the other CA.
    fn run(&self, db: &Database, host: &str) -> GoldDigger {
        self.prepare(GoldDigger::new(), db, host)
    }

    fn prepare(&self, run: GoldDigger, db: &Database, host: &str) -> GoldDigger {
        let url = db.url().replace("127.0.0.1", host);
        run.env("DATABASE_URL", url)
            .env("SSL_CERT_FILE", self.path("other.pem"))
            .env_remove("SSL_CERT_DIR")
            .arg("SELECT 'a row' AS a")
    }
}

/// Issues a certificate that every mode accepts.
fn good_identity() -> Identity {
    OURS.certify(&["localhost", "127.0.0.1"], Validity::Current)
}

/// Runs `test` on each server while the server has a good certificate of our CA.
pub fn each_server_with_tls(test: impl Fn(&Database, &Files)) {
    let _changing = changing_certificates();
    let files = Files::new();
    each_server(|db| {
        db.server.use_certificate(&good_identity(), &OURS.pem);
        test(db, &files);
    });
}

/// The parts of a message; none for success.
type Expected<'a> = &'a [&'a str];

/// A certificate and the results of the verifying modes.
struct Trust<'a> {
    name: &'static str,
    identity: Identity,
    ca: &'a str,
    verify_ca: Expected<'a>,
    verify_identity: Expected<'a>,
}

impl Trust<'_> {
    /// Returns the certificate and the day on which the program must run. MySQL
    /// accepts no certificate that is not valid today, so the program gets another
    /// day instead.
    fn identity_and_day(&self, db: &Database) -> (Identity, Option<&'static str>) {
        match self.name {
            "expired" if !db.is_mariadb() => (good_identity(), Some("2090-01-02")),
            "not yet valid" if !db.is_mariadb() => (good_identity(), Some("2019-12-31")),
            _ => (self.identity.clone(), None),
        }
    }

    #[track_caller]
    fn check(&self, db: &Database, files: &Files) {
        println!("{}", self.name);
        let (identity, day) = self.identity_and_day(db);
        db.server.use_certificate(&identity, self.ca);
        let run = |mode: &str| {
            let run = match day {
                Some(day) => GoldDigger::wrapped_in(&["faketime", day])
                    .env("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
                None => GoldDigger::new(),
            };
            files.prepare(run, db, "localhost").args(["--tls", mode])
        };
        run("disabled").run().wrote("a\na row\n");
        run("required").run().wrote("a\na row\n");
        for (mode, expected) in [
            ("verify-ca", self.verify_ca),
            ("verify-identity", self.verify_identity),
        ] {
            let outcome = run(mode)
                .args(["--tls-ca-file", &files.path("ca.pem")])
                .run();
            if expected.is_empty() {
                outcome.wrote("a\na row\n");
            } else {
                let port = db.server.port;
                let place = format!("cannot connect to localhost:{port} as \"root\": ");
                let outcome = outcome.failed(3, &[&[&*place][..], expected].concat());
                assert_eq!(outcome.stdout, b"");
            }
        }
    }
}

#[test]
fn each_mode_trusts_the_right_certificates() {
    let _changing = changing_certificates();
    let files = Files::new();
    let expired = [
        "its certificate, or one that vouches for it, expired on 20",
        "-01-01T00:00:00Z",
        "clock",
    ];
    let future = [
        "its certificate, or one that vouches for it, is not valid before 20",
        "-01-01T00:00:00Z",
        "clock",
    ];
    let version_1 = [
        "its certificate, or one that vouches for it, is X.509 version 1",
        "issue it again as version 3",
    ];
    let ca = files.path("ca.pem");
    let unknown = [
        &*format!("its certificate is not vouched for by {ca}"),
        "the file must hold the CA that issued it",
    ];
    let wrong_name = [
        "its certificate is for db.example, 10.0.0.1, and localhost was asked for",
        "verify-ca",
    ];
    let nameless = [
        "its certificate is for no host at all (it has no subjectAltName), and localhost was asked for",
        "verify-ca",
    ];
    let own = self_signed(&["localhost"]);
    let own_ca = own.certificate.clone();
    let trust = |name, identity, ca, verify_ca, verify_identity| Trust {
        name,
        identity,
        ca,
        verify_ca,
        verify_identity,
    };
    #[rustfmt::skip]
    let cases: [Trust; 8] = [
        trust("good", good_identity(), &OURS.pem, &[], &[]),
        trust("for another host", OURS.certify(&["db.example", "10.0.0.1"], Validity::Current), &OURS.pem, &[], &wrong_name),
        trust("for no host", OURS.certify(&[], Validity::Current), &OURS.pem, &[], &nameless),
        trust("expired", OURS.certify(&["localhost"], Validity::Expired), &OURS.pem, &expired, &expired),
        trust("not yet valid", OURS.certify(&["localhost"], Validity::Future), &OURS.pem, &future, &future),
        trust("version 1", OURS.certify_version_1(), &OURS.pem, &version_1, &version_1),
        trust("of another CA", OTHER.certify(&["localhost"], Validity::Current), &OTHER.pem, &unknown, &unknown),
        trust("self-signed", own, &own_ca, &unknown, &unknown),
    ];
    each_server(|db| {
        for case in &cases {
            case.check(db, &files);
        }
    });
}

#[test]
fn only_the_named_ca_is_trusted() {
    let _changing = changing_certificates();
    let files = Files::new();
    each_server(|db| {
        let run = |args: &[&str]| files.run(db, "localhost").args(args).run();
        let [ours, other, both] = ["ca.pem", "other.pem", "both.pem"].map(|name| files.path(name));
        let identity = OTHER.certify(&["localhost"], Validity::Current);
        db.server.use_certificate(&identity, &OTHER.pem);
        // The system's trust store contains the other CA.
        run(&["--tls", "verify-identity"]).wrote("a\na row\n");
        for mode in ["verify-ca", "verify-identity"] {
            let args = |file| ["--tls", mode, "--tls-ca-file", file];
            run(&args(&ours)).failed(3, &["not vouched for by", "ca.pem"]);
            run(&args(&other)).wrote("a\na row\n");
            run(&args(&both)).wrote("a\na row\n");
        }
        // It does not contain our CA.
        db.server.use_certificate(&good_identity(), &OURS.pem);
        run(&["--tls", "verify-identity"])
            .failed(3, &["not vouched for by the system's trust store"]);
    });
}

/// Runs with `url` and prints whether the connection is encrypted. The system's
/// trust store contains only the other CA.
fn run_encryption_query(db: &Database, files: &Files, url: &str, args: &[&str]) -> Outcome {
    let table = if db.is_mariadb() {
        "information_schema.session_status"
    } else {
        "performance_schema.session_status"
    };
    let sql = format!(
        "SELECT IF(variable_value = '', 'plain', 'encrypted') AS a FROM \
         (SELECT 1) AS b LEFT JOIN {table} ON variable_name = 'Ssl_cipher'"
    );
    GoldDigger::new()
        .env("DATABASE_URL", url)
        .env("SSL_CERT_FILE", files.path("other.pem"))
        .args(args)
        .arg(&sql)
        .run()
}

fn another_host(db: &Database) -> String {
    db.url().replace("127.0.0.1", ANOTHER_HOST)
}

#[test]
fn without_a_mode_other_hosts_are_verified() {
    each_server_with_tls(|db, files| {
        let run = |url: &str, args: &[&str]| run_encryption_query(db, files, url, args);
        let ca = files.path("ca.pem");
        let named = ["--tls-ca-file", &ca];
        let another = another_host(db);
        run(&another, &named).wrote("a\nencrypted\n");
        run(&another, &[]).failed(3, &["not vouched for by the system's trust store"]);
        run(&db.url(), &[]).wrote("a\nplain\n");
        run(&db.url(), &named).wrote("a\nencrypted\n");
        run(&db.socket_url(), &named)
            .failed(2, &["--tls-ca-file cannot be had on the Unix socket"]);
        let verified = format!("{}?ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}", db.url());
        run(&verified, &[]).wrote("a\nencrypted\n");
        run(&format!("{}?ssl-mode=required", db.url()), &[]).wrote("a\nencrypted\n");
    });
}

#[test]
fn weaker_modes_work_with_a_warning() {
    each_server_with_tls(|db, files| {
        let (ca, port) = (files.path("ca.pem"), db.server.port);
        let another = another_host(db);
        let assert_warned = |args: &[&str], state: &str, warning: &str| {
            let warning = format!(
                "gold_digger: warning: the connection to {ANOTHER_HOST}:{port} {warning}\n"
            );
            let outcome = run_encryption_query(db, files, &another, args).ended(0, &warning);
            assert_eq!(
                String::from_utf8_lossy(&outcome.stdout),
                format!("a\n{state}\n")
            );
        };
        assert_warned(
            &["--tls", "disabled"],
            "plain",
            "is not encrypted: everyone on the way can read and change the rows (--tls disabled)",
        );
        for (flags, subject) in [
            (&["--tls", "required"][..], "--tls required"),
            (
                &["--allow-invalid-certificate"],
                "--allow-invalid-certificate",
            ),
        ] {
            let warning = "is encrypted, but for whoever answers there: nobody checks who that is";
            assert_warned(flags, "encrypted", &format!("{warning} ({subject})"));
        }
        for (flags, subject) in [
            (&["--tls", "verify-ca"][..], "--tls verify-ca"),
            (
                &["--insecure-skip-hostname-verify"],
                "--insecure-skip-hostname-verify",
            ),
        ] {
            let warning = "is for any server that its CA vouches for: nobody checks its name";
            assert_warned(
                &[flags, &["--tls-ca-file", &ca]].concat(),
                "encrypted",
                &format!("{warning} ({subject})"),
            );
        }
    });
}

#[test]
fn option_files_of_both_vendors_choose_the_mode() {
    each_server_with_tls(|db, files| {
        let ca = files.path("ca.pem");
        let option_file = files.path("my.cnf");
        let run =
            |url: &str| run_encryption_query(db, files, url, &["--defaults-file", &option_file]);
        for (text, expected) in [
            ("ssl-mode=REQUIRED", Ok("encrypted")),
            ("ssl_mode=VERIFY_CA\nssl-ca=CA", Ok("encrypted")),
            ("ssl-ca=CA", Ok("encrypted")),
            ("ssl-mode=PREFERRED", Ok("plain")),
            ("ssl-mode=DISABLED\nssl-ca=CA", Ok("plain")),
            ("ssl", Err("not vouched for by the system's trust store")),
            ("ssl=off", Ok("plain")),
            ("skip-ssl", Ok("plain")),
            ("ssl=off\nssl-ca=CA", Ok("plain")),
            ("ssl-verify-server-cert=0", Ok("plain")),
            ("ssl-verify-server-cert=0\nssl", Ok("encrypted")),
            ("ssl\ndisable-ssl-verify-server-cert", Ok("encrypted")),
            ("ssl-verify-server-cert\nssl-ca=CA", Ok("encrypted")),
        ] {
            println!("{text}");
            let text = format!("[client]\n{}\n", text.replace("=CA", &format!("={ca}")));
            fs::write(&option_file, text).expect("a file");
            let outcome = run(&db.url());
            match expected {
                Ok(state) => assert_eq!(
                    String::from_utf8_lossy(&outcome.stdout),
                    format!("a\n{state}\n"),
                    "{}",
                    outcome.stderr
                ),
                Err(part) => drop(outcome.failed(3, &[part])),
            }
            // A Unix socket needs no encryption.
            run(&db.socket_url()).wrote("a\nplain\n");
        }
    });
}

#[test]
fn the_suggested_commands_for_a_self_signed_certificate_work() {
    let _changing = changing_certificates();
    let files = Files::new();
    let follow_the_hint = |db: &Database| {
        let run = |args: &[&str]| files.run(db, "127.0.0.1").args(args).run();
        let refused = run(&["--tls", "verify-identity"]).failed(3, &["the system's trust store"]);
        let quoted: Vec<&str> = refused.stderr.split('`').collect();
        let [_, fetch, _, flags, _, without, _] = quoted[..] else {
            panic!("{}", refused.stderr);
        };
        let fetched = Command::new("sh")
            .args(["-c", fetch])
            .current_dir(files.0.path())
            .output();
        assert!(fetched.expect("sh").status.success());
        let flags = flags.replace("server-ca.pem", &files.path("server-ca.pem"));
        run(&flags.split(' ').collect::<Vec<_>>()).wrote("a\na row\n");
        run(&without.split(' ').collect::<Vec<_>>()).wrote("a\na row\n");
    };
    on_new_mariadb(follow_the_hint);
    each_server(|db| {
        if !db.is_mariadb() {
            db.server.use_generated_certificate();
            follow_the_hint(db);
        }
    });
}

#[test]
fn client_certificates_are_presented() {
    let _changing = changing_certificates();
    let files = Files::new();
    let write = |identity: Identity, name: &str| identity.write(Path::new(&files.path("")), name);
    write(OURS.certify(&["me"], Validity::Current), "client");
    write(OTHER.certify(&["me"], Validity::Current), "stranger");
    write(OURS.certify(&["me"], Validity::Expired), "expired");
    each_server(|db| {
        db.server.use_certificate(&good_identity(), &OURS.pem);
        db.sql("CREATE USER IF NOT EXISTS certified@localhost IDENTIFIED BY 'x' REQUIRE X509");
        let url = format!("mysql://certified:x@127.0.0.1:{}/", db.server.port);
        let run = |args: &[&str]| {
            let run = GoldDigger::new().env("DATABASE_URL", &url).args(args);
            run.args(["--tls-ca-file", &files.path("ca.pem"), "SELECT 1 AS a"])
                .run()
        };
        let present = |name: &str| {
            let [cert, key] =
                [format!("{name}.pem"), format!("{name}-key.pem")].map(|name| files.path(&name));
            run(&["--tls-cert", &cert, "--tls-key", &key])
        };
        present("client").wrote("a\n1\n");
        run(&[]).failed(3, &["the login was refused", "1045", "--tls-cert"]);
        run(&["--tls", "disabled"]).failed_with_any_length(
            3,
            &[
                "the login was refused",
                "1045",
                "does the account require TLS?",
            ],
        );
        let key = files.path("client-key.pem");
        fs::set_permissions(&key, Permissions::from_mode(0o604)).expect("my file");
        let warning = format!(
            "gold_digger: warning: others can read {key}, which holds a private key; chmod o-r {key}\n"
        );
        present("client").ended(0, &warning);
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("my file");
        present("stranger").failed(
            3,
            &[
                "the server does not accept the certificate of --tls-cert (",
                "ssl_ca",
            ],
        );
        present("expired").failed(
            3,
            &[
                "the server does not accept the certificate of --tls-cert (",
                "current",
            ],
        );
    });
}

#[test]
fn a_server_without_tls_gets_no_login() {
    let (send, receive) = std::sync::mpsc::channel();
    let plain = fake::serve(move |mut session| {
        send.send(session.accept()).expect("the test listens");
    });
    // A server without a common TLS version sends an alert.
    let old = fake::serve(|mut session| {
        session.greet_with_tls();
        session.receive();
        let _ = session.stream.read(&mut [0; 65536]);
        let _ = session.stream.write_all(b"\x15\x03\x01\0\x02\x02\x46");
    });
    let confused = fake::serve(|mut session| {
        session.greet_with_tls();
        session.receive();
        let _ = session.stream.read(&mut [0; 65536]);
        session.ok();
    });
    let run = |port: u16, host: &str, args: &[&str]| {
        let url = fake::url(port).replace("127.0.0.1", host);
        GoldDigger::new()
            .env("DATABASE_URL", url)
            .args(args)
            .arg("SELECT 1")
            .run()
    };
    let without = ["the server does not speak TLS", "--tls disabled"];
    run(plain, ANOTHER_HOST, &[]).failed(3, &without);
    // The driver sends COM_QUIT and nothing else.
    let quit = Some(vec![1]);
    assert_eq!(receive.recv().expect("the server's record"), quit);
    run(plain, "127.0.0.1", &["--tls", "required", "--quiet"]).failed(3, &without);
    assert_eq!(receive.recv().expect("the server's record"), quit);
    run(old, "127.0.0.1", &["--tls", "verify-identity"]).failed(
        3,
        &["no TLS version or cipher that both sides have", "TLS 1.2"],
    );
    run(confused, "127.0.0.1", &["--tls", "verify-identity"])
        .failed(3, &["does not speak TLS as it says"]);
}

#[test]
fn a_check_reports_the_encryption() {
    each_server_with_tls(|db, files| {
        let ca = files.path("ca.pem");
        let vouched = format!("vouched for by {ca}");
        for (args, reported) in [
            (&["--tls", "disabled"][..], "none"),
            (
                &["--tls", "required"],
                "TLSv1.3, the server is not verified",
            ),
            (
                &["--tls", "verify-ca", "--tls-ca-file", &ca],
                &format!("TLSv1.3, the server is {vouched}"),
            ),
            (
                &["--tls-ca-file", &ca],
                &format!("TLSv1.3, the server and its name are {vouched}"),
            ),
        ] {
            let outcome = files
                .run(db, "localhost")
                .arg("--check")
                .args(args)
                .run()
                .ended(0, "");
            let shown = String::from_utf8_lossy(&outcome.stdout).into_owned();
            let line = shown
                .lines()
                .find_map(|line| line.strip_prefix("encryption"));
            assert_eq!(line.map(str::trim), Some(reported), "{shown}");
        }
    });
}

/// The driver alone fails at the first address of a name that fails.
#[test]
fn every_address_of_a_name_is_tried_and_verified() {
    let _changing = changing_certificates();
    let files = Files::new();
    let hosts = files.path("hosts");
    fs::write(
        &hosts,
        "127.0.0.9 many.example\n127.0.0.1 many.example\n127.0.0.8 many.example\n\
         ::1 both.example\n127.0.0.9 both.example\n127.0.0.1 both.example\n\
         127.0.0.9 away.example\n::1 away.example\n192.0.2.2 localhost\n",
    )
    .expect("a file");
    let names = ["many.example", "both.example"];
    let ca = files.path("ca.pem");
    each_server(|db| {
        db.server
            .use_certificate(&OURS.certify(&names, Validity::Current), &OURS.pem);
        let run = |host: &str, mode: &str| {
            files
                .run(db, host)
                .env("LD_PRELOAD", "libnss_wrapper.so")
                .env("NSS_WRAPPER_HOSTS", &hosts)
                .args(["--quiet", "--tls", mode, "--tls-ca-file", &ca])
                .run()
        };
        for mode in ["disabled", "required", "verify-ca", "verify-identity"] {
            for host in names {
                run(host, mode).wrote("a\na row\n");
            }
        }
        run("away.example", "verify-identity")
            .failed(3, &["none of its addresses could be reached"]);
        // No password is sent to another host that is named localhost.
        run("localhost", "disabled").failed(3, &["localhost does not lead to this machine"]);
        run("away.example", "verify-ca").failed(3, &["Connection refused"]);
    });
}
