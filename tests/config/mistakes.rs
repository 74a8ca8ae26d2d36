//! Wrong settings. Each is found before the program connects or writes, and its
//! message names the mistake and its place.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
};

use crate::support::{GoldDigger, Outcome, certificates};

mod files;

/// The content of the output file before each run.
const OLD_OUTPUT: &str = "as it was";

/// A folder that must stay unchanged and a server that must get no connection.
struct Sandbox {
    folder: tempfile::TempDir,
    server: TcpListener,
}

impl Sandbox {
    fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
        server.set_nonblocking(true).expect("a socket option");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("earlier.csv"), OLD_OUTPUT).expect("a file");
        Self { folder, server }
    }

    fn url(&self) -> String {
        let port = self.server.local_addr().expect("its address").port();
        format!("mysql://me:hushhush@127.0.0.1:{port}/db")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Calls the program with a URL of the server and an output in the folder.
    fn run(&self) -> GoldDigger {
        GoldDigger::new()
            .env("DATABASE_URL", self.url())
            .env("OUTPUT_FILE", self.path("earlier.csv"))
    }

    /// Asserts exit code 2, each of `parts` in the message, no secret in it, no
    /// connection and an unchanged output.
    #[track_caller]
    fn assert_refused(&self, outcome: Outcome, parts: &[&str]) {
        assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
        outcome.assert_stderr_contains(parts);
        assert!(!outcome.stderr.contains("hushhush"), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, b"");
        assert!(self.server.accept().is_err(), "it connected");
        let output = fs::read_to_string(self.path("earlier.csv")).expect("the file");
        assert_eq!(output, OLD_OUTPUT);
    }
}

/// The arguments of a run and the parts of its message.
type Mistake<'a> = (&'a [&'a str], &'a [&'a str]);

const SELECT: &str = "SELECT 1";

/// Runs the program with the arguments of each mistake, without a terminal.
#[track_caller]
fn assert_all_refused(sandbox: &Sandbox, mistakes: &[Mistake]) {
    for (args, parts) in mistakes {
        // With setsid, the program has no terminal to ask on.
        let run = GoldDigger::wrapped_in(&["setsid", "--wait"])
            .env("DATABASE_URL", sandbox.url())
            .env("OUTPUT_FILE", sandbox.path("earlier.csv"));
        println!("{args:?}");
        sandbox.assert_refused(run.args(*args).run(), parts);
    }
}

/// Writes a query that is not UTF-8.
fn latin1_query(sandbox: &Sandbox) -> String {
    let path = sandbox.path("latin1.sql");
    fs::write(&path, b"SELECT '\xe4'").expect("a file");
    path
}

#[test]
fn query_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    let latin1_sql = latin1_query(&sandbox);
    #[rustfmt::skip]
    let cases: &[Mistake] = &[
        (&[], &["no query is given", "--query-file"]),
        (&["SELECT 1; SELECT 2"], &["more than one statement"]),
        (&[" ; "], &["holds no statement"]),
        (&["SELECT 'x"], &["without an end"]),
        (&["--query-file", "/nowhere/q.sql"], &["--query-file names /nowhere/q.sql", "No such file"]),
        (&["--query-file", "/"], &["--query-file names /", "directory"]),
        (&["--query-file", &latin1_sql], &["latin1.sql", "UTF-8", "byte 8"]),
        (&["--query-file", ""], &["--query-file", "empty"]),
        (&["--param", "x", SELECT], &["'--param <NAME=VALUE>'", "NAME=VALUE"]),
        (&["--param", "a=[]", SELECT], &["'--param <NAME=VALUE>'", "the list is empty, and SQL has no empty IN (…) list"]),
        (&["--param", "a=[x]", SELECT], &["a list is written as [1, 2] or [\"a\", \"b\"], and a text that begins with [ as [\"[…\"]"]),
        (&["--param", "a=[1,2]", "SELECT :a"], &["the list a stands where the query takes one value\n  hint: a list is for IN (:a) and NOT IN (:a)"]),
        (&["--param", "a=[1,2]", "SELECT 1 LIMIT :a"], &["the list a stands where the query takes one value"]),
        (&["--param", "1x=2", SELECT], &["'--param <NAME=VALUE>'", "no digit"]),
        (&["--param", "a=1", "--param", "a=2", "SELECT :a"], &["--param gives a twice"]),
        (&["--param", "a=1", SELECT], &["--param gives a a value", "no :a"]),
        (&["--param", "a=1", "SELECT :a, :b"], &[":b has no value", "--param b=VALUE"]),
        (&["--param", "a=1", "SELECT :a, ?"], &["a ? beside"]),
        (&["--param", "a=-1", "SELECT 1 LIMIT :a"], &["the query takes a whole number for :a, without a sign"]),
        (&["--protocol", "binry", SELECT], &["'binry' for '--protocol <PROTOCOL>'", "'binary'"]),
    ];
    assert_all_refused(&sandbox, cases);
}

#[test]
fn connection_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    #[rustfmt::skip]
    let cases: &[Mistake] = &[
        (&["--db-url", "db.example/shop", SELECT], &["--db-url", "mysql://"]),
        (&["--db-url", "mysql://hushhush:9999999/", SELECT], &["--db-url has a port that is no number"]),
        (&["--db-url", "mysql://me@h/", "--host", "h", SELECT], &["--host cannot stand beside --db-url"]),
        (&["--db-url", "mysql://me@h/", "--database", "d", SELECT], &["--database cannot stand beside --db-url"]),
        (&["--host", "db.example", "--socket", "/s", SELECT], &["--host cannot stand beside --socket"]),
        (&["--port", "1", "--socket", "/s", SELECT], &["--port cannot stand beside --socket"]),
        (&["--host", "", SELECT], &["'--host <HOST>'", "empty"]),
        (&["--host", "mysql://me:hushhush@h/", SELECT], &["'--host <HOST>'", "--db-url takes a URL"]),
        (&["--host", "me:hushhush@h", SELECT], &["'--host <HOST>'", "me:***@h"]),
        (&["--host", "127.0.0.1:3306", SELECT], &["'--host <HOST>'", "it has a port, which --port takes"]),
        (&["--config", "mysql://me:hushhush@h/", SELECT], &["'mysql://me:***@h/' for '--config <FILE>': it is a URL"]),
        (&["-o", "mysql://me:hushhush@h/{x}", SELECT], &["'mysql://me:***@h/{x}' for '--output <FILE>': it is a URL"]),
        (&[SELECT, "mysql://me:hushhush hushhush@h/"], &["'mysql://me:***@h/'"]),
        (&["--ask-password=hushhush", SELECT], &["--ask-password"]),
        (&["--port", "0", SELECT], &["'0' for '--port <PORT>'", "65535"]),
        (&["--port", "65536", SELECT], &["'65536' for '--port <PORT>'", "65535"]),
        (&["--port", "sql", SELECT], &["'sql' for '--port <PORT>'", "65535"]),
    ];
    assert_all_refused(&sandbox, cases);
    let without_server = GoldDigger::new().arg(SELECT).run();
    sandbox.assert_refused(without_server, &["no server is named", "DATABASE_URL"]);
}

/// Writes good and bad certificates and keys into the folder.
fn write_certificates(sandbox: &Sandbox) {
    let identities = ["ours", "others"].map(|name| (name, certificates::self_signed(&[name])));
    for (name, identity) in &identities {
        identity.write(sandbox.folder.path(), name);
    }
    let (_, ours) = &identities[0];
    let write = |name: &str, text: &str| {
        fs::write(sandbox.path(&format!("{name}.pem")), text).expect("a file");
    };
    write("broken", &ours.certificate.replace("-----END", "----END"));
    write(
        "odd",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    );
    write(
        "encrypted",
        &ours.key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    );
    write("garbled", &ours.certificate.replace("MII", "M!I"));
    let old = certificates::Authority::new("a CA").certify_version_1();
    old.write(sandbox.folder.path(), "old");
    write("elliptic", &certificates::public_key(&ours.key));
    fs::write(sandbox.path("empty"), "\n").expect("a file");
    fs::write(sandbox.path("latin1"), b"hushhush\xe4").expect("a file");
}

/// The URL names a server on this machine.
#[test]
fn tls_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    write_certificates(&sandbox);
    let pem = |name: &str| sandbox.path(&format!("{name}.pem"));
    let [empty, latin1] = ["empty", "latin1"].map(|name| sandbox.path(name));
    #[rustfmt::skip]
    let cases: &[Mistake] = &[
        (&["--tls", "on", SELECT], &["'on' for '--tls <MODE>'", "disabled"]),
        (&["--tls", "required", "--allow-invalid-certificate", SELECT], &["'--tls <MODE>' cannot be used with '--allow-invalid-certificate'"]),
        (&["--allow-invalid-certificate", "--insecure-skip-hostname-verify", SELECT], &["cannot be used with"]),
        (&["--tls", "verify-ca", SELECT], &["--tls is verify-ca, which needs --tls-ca-file", "verify-identity"]),
        (&["--insecure-skip-hostname-verify", SELECT], &["--insecure-skip-hostname-verify is verify-ca, which needs --tls-ca-file"]),
        (&["--tls", "required", "--socket", "/s", "--user", "me", SELECT], &["--tls cannot be had on the Unix socket /s", "127.0.0.1"]),
        (&["--tls-ca-file", "/nowhere/ca.pem", SELECT], &["--tls-ca-file names /nowhere/ca.pem", "No such file"]),
        (&["--tls-ca-file", "/", SELECT], &["--tls-ca-file names /", "directory"]),
        (&["--tls-ca-file", &empty, SELECT], &["empty, which holds no certificate in PEM form"]),
        (&["--tls-ca-file", &latin1, SELECT], &["latin1, which holds no certificate in PEM form"]),
        (&["--tls-ca-file", &pem("ours-key"), SELECT], &["ours-key.pem, which holds no certificate in PEM form"]),
        (&["--tls-ca-file", &pem("broken"), SELECT], &["broken.pem, which ends too early", "BEGIN CERTIFICATE"]),
        (&["--tls-ca-file", &pem("garbled"), SELECT], &["garbled.pem, whose certificate is broken", "openssl x509 -inform der"]),
        (&["--tls-cert", &pem("old"), "--tls-key", &pem("old-key"), SELECT], &["--tls-cert names", "old.pem, whose certificate is X.509 version 1"]),
        (&["--tls-ca-file", &pem("ours"), "--socket", "/s", "--user", "me", SELECT], &["--tls-ca-file cannot be had on the Unix socket /s"]),
        (&["--db-url", "mysql://me@localhost/?socket=/s&ssl-mode=required", SELECT], &["ssl-mode in --db-url cannot be had on the Unix socket /s"]),
        (&["--db-url", "mysql://me@127.0.0.1/?ssl-ca=/nowhere", SELECT], &["ssl-ca in --db-url names /nowhere, which cannot be read"]),
        (&["--tls-ca-file", &pem("odd"), SELECT], &["odd.pem, whose certificate number 1 cannot be read"]),
    ];
    assert_all_refused(&sandbox, cases);
}

#[test]
fn certificate_and_key_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    write_certificates(&sandbox);
    let pem = |name: &str| sandbox.path(&format!("{name}.pem"));
    #[rustfmt::skip]
    let cases: &[Mistake] = &[
        (&["--tls-cert", &pem("ours"), SELECT], &["--tls-cert stands alone", "--tls-key FILE"]),
        (&["--tls-key", &pem("ours-key"), SELECT], &["--tls-key stands alone", "--tls-cert FILE"]),
        (&["--tls-cert", &pem("ours"), "--tls-key", &pem("ours"), SELECT], &["--tls-key names", "ours.pem, which holds no private key in PEM form"]),
        (&["--tls-cert", &pem("ours-key"), "--tls-key", &pem("ours-key"), SELECT], &["--tls-cert names", "ours-key.pem, which holds no certificate"]),
        (&["--tls-cert", &pem("ours"), "--tls-key", &pem("others-key"), SELECT], &["others-key.pem, which does not belong to the certificate in", "ours.pem"]),
        (&["--tls-cert", &pem("ours"), "--tls-key", &pem("encrypted"), SELECT], &["encrypted.pem, whose key is encrypted", "openssl pkey -in"]),
        (&["--server-public-key", "/nowhere/k.pem", SELECT], &["--server-public-key names /nowhere/k.pem", "No such file"]),
        (&["--server-public-key", &pem("ours"), SELECT], &["ours.pem, which holds no RSA public key in PEM form", "public_key.pem"]),
        (&["--server-public-key", &pem("elliptic"), SELECT], &["elliptic.pem, which holds no RSA public key in PEM form"]),
        (&["--enable-cleartext-plugin", SELECT], &["--enable-cleartext-plugin would give the password to whoever answers", "verify-ca"]),
        (&["--enable-cleartext-plugin", "--tls", "required", SELECT], &["--enable-cleartext-plugin would give the password to whoever answers"]),
        (&["--db-url", "mysql://me:hushhush@h/?ssl-mode=PREFERRED", SELECT], &["--db-url has an ssl-mode that is none of", "falls back"]),
        (&["--db-url", "mysql://me:hushhush@h/?ssl-mode=required&ssl-mode=disabled", SELECT], &["--db-url has ssl-mode twice"]),
        (&["--db-url", "mysql://me:hushhush@h/?ssl-mode=", SELECT], &["--db-url has an empty ssl-mode"]),
        (&["--db-url", "mysql://me:hushhush@h/?sslmode=disable", SELECT], &["--db-url has the unknown parameter \"sslmode\"", "ssl-mode=MODE"]),
        (&["--db-url", "mysql://me:hushhush@h/?ssl-mode=required", "--tls", "disabled", SELECT], &["--tls cannot stand beside --db-url"]),
    ];
    assert_all_refused(&sandbox, cases);
}

#[test]
fn password_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("two-lines"), "hushhush\nhushhush\n").expect("a file");
    fs::write(sandbox.path("empty"), "\n").expect("a file");
    fs::write(sandbox.path("latin1"), b"hushhush\xe4").expect("a file");
    fs::write(sandbox.path("long"), "hushhush".repeat(10_000)).expect("a file");
    let [two_lines, empty, latin1, long] =
        ["two-lines", "empty", "latin1", "long"].map(|name| sandbox.path(name));
    #[rustfmt::skip]
    let cases: &[Mistake] = &[
        (&["--password-file", "/nowhere/p", SELECT], &["--password-file names /nowhere/p", "No such file"]),
        (&["--password-file", "/", SELECT], &["--password-file names /", "directory"]),
        (&["--password-file", &two_lines, SELECT], &["two-lines, which has more than one line"]),
        (&["--password-file", &empty, SELECT], &["empty, which is empty"]),
        (&["--password-file", &latin1, SELECT], &["latin1, which is not UTF-8"]),
        (&["--password-file", &long, SELECT], &["long, which is too long"]),
        (&["--password-env", "NOT_SET", SELECT], &["--password-env", "NOT_SET", "not set"]),
        (&["--password-env", "hushhush", SELECT], &["--password-env", "not set"]),
    ];
    assert_all_refused(&sandbox, cases);
}

#[test]
fn session_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    #[rustfmt::skip]
    let cases: &[Mistake] = &[
        (&["--connect-timeout", "30", SELECT], &["'30' for '--connect-timeout <DURATION>'", "30s"]),
        (&["--connect-timeout", "0s", SELECT], &["'--connect-timeout <DURATION>'", "1ms"]),
        (&["--read-timeout", "-5s", SELECT], &["'-5s' for '--read-timeout <DURATION>'"]),
        (&["--read-timeout", "5 parsecs", SELECT], &["'--read-timeout <DURATION>'", "unit"]),
        (&["--statement-timeout", "366d", SELECT], &["'--statement-timeout <DURATION>'", "365d"]),
        (&["--init", "SET a = 1; SET b = 2", SELECT], &["'--init <SQL>'", "more than one statement"]),
        (&["--init", "/* x */ use mysql", SELECT], &["'--init <SQL>'", "--database NAME"]),
        (&["--time-zone", "", SELECT], &["'--time-zone <ZONE>'", "empty"]),
    ];
    assert_all_refused(&sandbox, cases);
}

#[test]
fn output_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    #[rustfmt::skip]
    let cases: &[Mistake] = &[
        (&["-o", "", SELECT], &["'--output <FILE>'", "empty"]),
        (&["-o", "d/.x.csv.locked.gold_digger", SELECT], &["'--output <FILE>'", "files of such names are temporary, and are removed"]),
        (&["-o", "{dat}.csv", SELECT], &["--output has the unknown placeholder {dat}", "{timestamp}"]),
        (&["-o", "{date.csv", SELECT], &["--output has a { without its }"]),
        (&["-o", "date}.csv", SELECT], &["--output has a } without its {"]),
        (&["-o", "{date:%!}.csv", SELECT], &["--output has a wrong strftime form in {date:%!}"]),
        (&["-o", "{database:%Y}.csv", SELECT], &["unknown placeholder {database:%Y}"]),
        (&["--host", "localhost", "--db-url", "mysql://me@h/", SELECT], &["--host cannot stand"]),
        (&["--db-url", "mysql://me@localhost/", "-o", "{database}.csv", SELECT], &["holds {database}, but no database is named"]),
        (&["--db-url", "mysql://me@localhost/%2e%2e%2fx", "-o", "{database}.csv", SELECT], &["holds a /"]),
        (&["--format", "xml", SELECT], &["'xml' for '--format <FORMAT>'", "json"]),
        (&["--pretty", SELECT], &["--pretty has no meaning for csv", "--format json"]),
        (&["--header=false", "-o", "x.json", SELECT], &["--header has no meaning for json", "csv or tsv"]),
        (&["--header=nope", SELECT], &["'nope' for '--header", "true or false"]),
        (&["--binary", "raw", SELECT], &["--binary raw has no meaning for csv", "tsv"]),
        (&["--csv-null", "x", "-o", "x.json", SELECT], &["--csv-null has no meaning for json"]),
        (&["--duplicate-columns", "suffix", SELECT], &["--duplicate-columns has no meaning for csv", "--format json"]),
        (&["--csv-delimiter", "1", SELECT], &["'1' for '--csv-delimiter <CHAR>'", "numbers"]),
        (&["--csv-delimiter", ",,", SELECT], &["one ASCII character"]),
        (&["--csv-delimiter", "\"", SELECT], &["a meaning of its own"]),
        (&["--csv-null", "a\nb", SELECT], &["'--csv-null <TEXT>'", "line end"]),
        (&["--csv-delimiter", ";", "--csv-null", ";", SELECT], &["--csv-null holds the delimiter"]),
    ];
    assert_all_refused(&sandbox, cases);
}

#[test]
fn mistakes_in_the_choice_of_files_exit_2() {
    let sandbox = Sandbox::new();
    let latin1_sql = latin1_query(&sandbox);
    #[rustfmt::skip]
    let cases: &[Mistake] = &[
        (&["--config", "/nowhere/x.toml", SELECT], &["/nowhere/x.toml", "No such file", "--config"]),
        (&["--config", &latin1_sql, SELECT], &["latin1.sql", "UTF-8"]),
        (&["--config", "/", SELECT], &["configuration file /", "directory"]),
        (&["--defaults-file", "/nowhere/my.cnf", SELECT], &["/nowhere/my.cnf", "No such file"]),
        (&["--defaults-file", "/", SELECT], &["option file /", "directory"]),
        (&["--defaults-file", "x", "--no-defaults", SELECT], &["'--defaults-file <FILE>' cannot be used with '--no-defaults'"]),
        (&["--defaults-group-suffix", "", SELECT], &["'--defaults-group-suffix <SUFFIX>'", "empty"]),
        (&["--no-default", SELECT], &["'--no-default'", "'--no-defaults'"]),
        (&["--ask-password", SELECT], &["cannot ask for the password", "--password-file"]),
    ];
    assert_all_refused(&sandbox, cases);
}
#[test]
fn environment_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    let run = |name: &str, value: &str| sandbox.run().env(name, value);
    let with_query = |name: &str, value: &str| run(name, value).arg(SELECT).run();
    sandbox.assert_refused(
        with_query("DATABASE_URL", "mysql://:hushhush@h/"),
        &["DATABASE_URL names no user"],
    );
    sandbox.assert_refused(
        with_query("OUTPUT_FILE", "{x}.csv"),
        &["OUTPUT_FILE has the unknown placeholder {x}"],
    );
    sandbox.assert_refused(
        with_query("GOLD_DIGGER_CONFIG", "/nowhere/x.toml"),
        &["/nowhere/x.toml"],
    );
    sandbox.assert_refused(
        run("DATABASE_QUERY", "SELECT 1; SELECT 2").run(),
        &["DATABASE_QUERY: the SQL text holds more than one statement"],
    );
    sandbox.assert_refused(
        run("TZ", "Nowhere/Else")
            .args(["-o", "{time}.csv", SELECT])
            .run(),
        &[
            "--output needs the local time, but TZ cannot be used",
            "  hint: set TZ to a name",
        ],
    );
    let not_utf8 = OsStr::from_bytes(b"SELECT '\xe4'");
    sandbox.assert_refused(
        sandbox.run().env("DATABASE_QUERY", not_utf8).run(),
        &["DATABASE_QUERY", "UTF-8"],
    );
}

#[test]
fn a_trust_store_without_certificates_is_refused() {
    let sandbox = Sandbox::new();
    for path in ["/nowhere/ca.pem", "/dev/null"] {
        let run = sandbox
            .run()
            .env("SSL_CERT_FILE", path)
            .env_remove("SSL_CERT_DIR")
            .args(["--tls", "verify-identity", SELECT]);
        let message =
            format!("SSL_CERT_FILE names {path}, which holds no certificate that can be used");
        sandbox.assert_refused(run.run(), &[&message, "--tls-ca-file"]);
    }
}

#[test]
fn unreadable_files_exit_2() {
    let sandbox = Sandbox::new();
    // Root reads every file unless it drops these capabilities.
    let without_privilege = [
        "setpriv",
        "--bounding-set",
        "-dac_override,-dac_read_search",
    ];
    let wrapper = if nix::unistd::geteuid().is_root() {
        &without_privilege[..]
    } else {
        &[]
    };
    for (name, flag) in [
        ("x.toml", "--config"),
        ("my.cnf", "--defaults-file"),
        ("p", "--password-file"),
        ("q.sql", "--query-file"),
        ("ca.pem", "--tls-ca-file"),
        ("public_key.pem", "--server-public-key"),
    ] {
        let path = sandbox.path(name);
        fs::write(&path, "").expect("a file");
        fs::set_permissions(Path::new(&path), Permissions::from_mode(0o000)).expect("my file");
        let run = GoldDigger::wrapped_in(wrapper)
            .env("DATABASE_URL", sandbox.url())
            .arg(flag)
            .arg(&path);
        let run = if flag == "--query-file" {
            run
        } else {
            run.arg(SELECT)
        };
        sandbox.assert_refused(run.run(), &[&path, "Permission denied"]);
    }
}
