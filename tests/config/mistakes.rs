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
        (&["--param", "a=1", "--protocol", "text", "SELECT :a"], &["--protocol text"]),
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
        (&["--config", "mysql://me:hushhush@h/", SELECT], &["configuration file mysql://me:***@h/"]),
        (&["-o", "mysql://me:hushhush@h/{x}", SELECT], &["unknown placeholder {x}"]),
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
        (&["--read-timeout", "-5s", SELECT], &["-5"]),
        (&["--read-timeout", "5 parsecs", SELECT], &["'--read-timeout <DURATION>'", "unit"]),
        (&["--statement-timeout", "366d", SELECT], &["'--statement-timeout <DURATION>'", "365d"]),
        (&["--init", "SET a = 1; SET b = 2", SELECT], &["'--init <SQL>'", "more than one statement"]),
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

/// Runs the program with each text as its configuration file. The message must
/// contain the file's path followed by the second text.
#[track_caller]
fn assert_files_refused(cases: &[(&str, &str)]) {
    let sandbox = Sandbox::new();
    let config = sandbox.path("x.toml");
    for (text, part) in cases {
        fs::write(&config, text).expect("a file");
        println!("{text}");
        // A setting of a higher layer would hide the mistake.
        let mut run = GoldDigger::new();
        if !text.contains("connection") {
            run = run.env("DATABASE_URL", sandbox.url());
        }
        if !text.contains("[output]") {
            run = run.env("OUTPUT_FILE", sandbox.path("earlier.csv"));
        }
        if !text.contains("[query]") {
            run = run.arg(SELECT);
        }
        let part = format!("{config}{part}");
        sandbox.assert_refused(run.arg("--config").arg(&config).run(), &[&part]);
    }
}

#[test]
fn unknown_keys_of_the_configuration_file_are_named() {
    #[rustfmt::skip]
    let cases = [
        ("\n[conection]\nurl = 'hushhush'\n", ":2:2: there is no section `conection`: [conection]\n  hint: did you mean `connection`?"),
        ("[output]\nformt = 'csv'\n", ":2:1: [output] has no key `formt`: formt = 'csv'\n  hint: did you mean `format`?"),
        ("[output]\npath = 'x'\ndelimiter = ';'\n", ":3:1: [output] has no key `delimiter`: delimiter = ';'\n  hint: delimiter belongs into [csv]"),
        ("[output]\nfile = 'x'\n", ":2:1: [output] has no key `file`: file = 'x'\n  hint: path = \"FILE\" names the output"),
        ("[output]\ncompress = true\n", ":2:1: [output] has no key `compress`: compress = true\n  hint: an output is not compressed"),
        ("[[export]]\nname = 'a'\noutput = 'x'\n", ":3:1: output is a table here: [export.output]: output = ***\n  hint: path = \"FILE\" names the output"),
        ("[[export]]\nname = 'a'\ntable = 'x'\n", ":3:1: [[export]] has no key `table`: table = ***\n  hint: write it into the query: sql = \"SELECT * FROM …\""),
        ("[[export]]\nname = 'a'\nquery = 'x'\n", ":3:1: [[export]] has no key `query`: query = ***\n  hint: sql = \"SELECT …\" is the query"),
        ("[connection]\ndb = 'x'\n", ":2:1: [connection] has no key `db`: db = ***\n  hint: database = \"NAME\""),
        ("path = 'x'\n", ":1:1: there is no section `path`: path = 'x'\n  hint: path belongs into [output]"),
        ("[json]\nxyzzyxyzzy = 1\n", ":2:1: [json] has no key `xyzzyxyzzy`: *** = ***\n  hint: there are pretty, root,"),
        ("[connection]\npasword = 'hushhush'\n", ":2:1: [connection] has no key `pasword`: pasword = ***\n  hint: did you mean `password_file` or `password_env`?"),
        ("[connection]\npassword = 'hushhush'\n", ":2:1: [connection] has no key `password`: password = ***\n  hint: did you mean `password_file` or `password_env`?"),
        ("[query]\nsql = 'x'\nsql = 'y'\n", ":3:1: duplicate key: sql = 'y'"),
        ("connection = 'mysql://me:hushhush@h/db'\n", ":1:1: connection is a section, not a value: connection = ***"),
        ("'mysql://me:hushhush@h/db' = 1\n", ":1:1: there is no section of that name: *** = ***"),
    ];
    assert_files_refused(&cases);
}

#[test]
fn mistakes_in_the_configuration_file_show_no_secret() {
    #[rustfmt::skip]
    let cases = [
        // Values that may be secrets, wherever they are written.
        ("[connection]\npass = 'hushhush'\n", ":2:1: [connection] has no key `pass`: pass = ***"),
        ("[connection]\nauth = 'hushhush'\n", ":2:1: [connection] has no key `auth`: auth = ***"),
        ("[output]\npas = 'hushhush'\n", ":2:1: [output] has no key `pas`: pas = ***"),
        ("[connection]\nhost = 'h', password = 'hushhush'\n", ":2:11: unexpected key or value, expected newline, `#`: host = 'h'"),
        ("[connection]\nport = '1' # hushhush\n", ":2:8: [connection] port is a number, without quotes: port = '1'"),
        ("[connection]\nuser = { name = 'me', password = 'hushhush' }\n", ":2:8: [connection] user is a text: write it in quotes: user = ***"),
        ("[connection]\nconnection.user = { password = 'hushhush' }\n", ":2:1: [connection] has no key `connection`: connection.user = ***"),
        ("aHVzaGh1c2hodXNo=\n", ":1:18: string values must be quoted, expected literal string: *** = ***"),
        ("[connection]\nhost = 'me:hushhush@h'\n", ":2:8: [connection] host cannot be \"me:***@h\": it is a name or an address; --db-url takes a URL: host = ***"),
        ("[connection]\nurl = \"\"\"\nhushhush\"\"\"\n", ":2:7: [connection] url does not begin with mysql:// or mariadb://: url = ***"),
        // Lines that can be shown in part or not at all.
        ("[session]\ninit = [\n  'SET a = 1',\n  5,\n]\n", ":4:3: [session] init is a list of texts in quotes: ***"),
        ("[session]\ninit = [\n", ":2:9: unclosed array, expected `]`: init = ***"),
        ("[session]\ninit = ['SET a = 1', [1]]\n", ":2:22: [session] init is a list of texts in quotes: init = ***"),
        ("[session]\ninit = ['ä', 5]\n", ":2:14: [session] init is a list of texts in quotes: init = ['ä', 5]"),
        ("[output]\nflush = \"a\\tb\"\n", ":2:9: [output] flush cannot be \"a\\tb\": it is one of auto, row: flush = ***"),
    ];
    assert_files_refused(&cases);
}

#[test]
fn wrong_toml_and_wrong_types_are_found() {
    #[rustfmt::skip]
    let cases = [
        // TOML itself.
        ("[connection]\nurl = 'hushhush\n", ":2:16: invalid literal string, expected `'`: url = ***"),
        ("[connection\n", ":1:12: "),
        ("[output]\npath = \n", ":2:8: "),
        ("[output]\npath = orders.csv\n", ":2:8: "),
        ("[connection]\nport = 99999999999999999999\n", ":2:8: "),
        // Types.
        ("[output]\nallow_empty = 'yes'\n", ":2:15: [output] allow_empty is true or false, without quotes: allow_empty = 'yes'"),
        ("[output]\npath = 5\n", ":2:8: [output] path is a text: write it in quotes: path = 5"),
        ("[connection]\nport = '3306'\n", ":2:8: [connection] port is a number, without quotes: port = '3306'"),
        ("[connection]\nhost = 1.5\n", ":2:8: [connection] host is a text"),
        ("[session]\ninit = 'SET a = 1'\n", ":2:8: [session] init is a list of texts"),
        ("[session]\ninit = [1]\n", ":2:9: [session] init is a list of texts in quotes"),
        ("[query]\nparams = ['a']\n", ":2:10: [query] params is a table"),
        ("[query]\nparams = { a = 1.5 }\n", ":2:12: [query] params `a`: a value is a text in quotes: params = ***"),
        ("[query]\nparams = { a = [1.5] }\n", ":2:12: [query] params `a`: a list holds texts in quotes and whole numbers: params = ***"),
        ("[query]\nparams = { a = [] }\n", ":2:12: [query] params `a`: the list is empty, and SQL has no empty IN (…) list: params = ***"),
        ("[query]\nparams = { 1a = 'x' }\n", ":2:12: [query] params cannot hold `1a`: a name has letters"),
        ("[json]\ncolumns = 'a'\n", ":2:11: [json] columns is a list of texts"),
    ];
    assert_files_refused(&cases);
}

#[test]
fn wrong_values_in_the_configuration_file_are_found() {
    #[rustfmt::skip]
    let cases = [
        ("[connection]\nport = 0\n", ":2:8: [connection] port cannot be \"0\": it is a number from 1 to 65535: port = 0"),
        ("[connection]\nconnect_timeout = 30\n", ":2:19: [connection] connect_timeout is a text with a unit, such as \"30s\""),
        ("[connection]\nread_timeout = '30 bananas'\n", ":2:16: [connection] read_timeout cannot be \"30 bananas\": write a number and a unit"),
        ("[connection]\nurl = 'postgres://me:hushhush@h/'\n", ":2:7: [connection] url does not begin with mysql://"),
        ("[connection]\nhost = ''\n", ":2:8: [connection] host cannot be \"\": it is empty"),
        ("[output]\nformat = 'xml'\n", ":2:10: [output] format cannot be \"xml\": it is one of csv, tsv, json"),
        ("[output]\nflush = 'rwo'\n", ":2:9: [output] flush cannot be \"rwo\": it is one of auto, row: flush = 'rwo'"),
        ("[output]\npath = ''\n", ":2:8: [output] path cannot be \"\": it is empty"),
        ("[csv]\ndelimiter = 'é'\n", ":2:13: [csv] delimiter cannot be \"é\": it is not one ASCII character"),
        ("[csv]\ndelimiter = ';'\nnull = ';'\n", ":3:8: [csv] null holds the delimiter"),
        ("[csv]\nquote = 'never'\n", ":2:9: [csv] quote cannot be \"never\": it is one of necessary, text, always"),
        ("[session]\ninit = ['SET a = 1', 'SET b = 1; SET c = 1']\n", ":2:22: [session] init cannot hold"),
        ("[tls]\nmode = 'off'\n", ":2:8: [tls] mode cannot be \"off\": it is one of disabled"),
        ("[tls]\nca_file = 'none.pem'\n", ":2:11: [tls] ca_file names "),
        ("[tls]\nmode = 'verify-ca'\n", ":2:8: [tls] mode is verify-ca, which needs --tls-ca-file"),
        ("[connection]\nurl = 'mysql://me:hushhush@127.0.0.1/?ssl-mode=required'\n[tls]\nmode = 'disabled'\n", ":4:8: [tls] mode cannot stand beside "),
    ];
    assert_files_refused(&cases);
}

#[test]
fn wrong_combinations_queries_and_templates_are_found() {
    #[rustfmt::skip]
    let cases = [
        // Combinations.
        ("[query]\nsql = 'SELECT 1'\nfile = 'q.sql'\n", ":3:8: [query] file cannot stand beside "),
        ("[connection]\nurl = 'mysql://me:hushhush@h/'\nhost = 'h'\n", ":3:8: [connection] host cannot stand beside "),
        ("connection.url = 'hushhush'\nconnection.port = 5\n", ":2:19: [connection] port cannot stand beside "),
        ("[connection]\nsocket = '/s'\nport = 1\n", ":3:8: [connection] port cannot stand beside "),
        ("[values]\nbinary = 'raw'\n[output]\nformat = 'csv'\n", ":2:10: [values] binary raw has no meaning for csv: binary = 'raw'"),
        // The query.
        ("[query]\nfile = 'none.sql'\n", ":2:8: [query] file names "),
        ("[query]\nsql = \"SELECT '\"\n", ":2:7: [query] sql: the SQL text has "),
        ("[query]\nsql = ''\n", ":2:7: [query] sql: the SQL text holds no statement"),
        ("[query]\nsql = 'SELECT 1; SELECT 2'\n", ":2:7: [query] sql: the SQL text holds more than one statement"),
        ("[query]\nsql = 'SELECT 1'\nparams = { a = 1 }\n", ":3:10: [query] params gives a a value, but the query has no :a: params = ***"),
        ("[query]\nsql = 'SELECT 1'\nparams = { day = 2026-11-21 }\n", ":3:18: dates and times are texts: write them in quotes: params = ***"),
        // Templates and passwords.
        ("[output]\npath = 'l.parquet'\n", ":2:8: [output] path ends in .parquet, which is no format's extension: path = 'l.parquet'\n  hint: there are .csv, "),
        ("[output]\npath = '{dat}'\n", ":2:8: [output] path has the unknown placeholder {dat}: path = '{dat}'"),
        ("[connection]\npassword_file = 'none'\n", ":2:17: [connection] password_file names "),
        ("[connection]\npassword_env = 'NONE'\n", ":2:16: [connection] password_env names the environment variable NONE, which is not set, or not UTF-8: password_env = ***"),
        ("[connection]\npassword_env = 'hushhush'\n", ":2:16: [connection] password_env names the environment variable ***, which is not set, or not UTF-8: password_env = ***"),
    ];
    assert_files_refused(&cases);
}

#[test]
fn a_deeply_nested_configuration_file_is_refused() {
    let sandbox = Sandbox::new();
    let config = sandbox.path("x.toml");
    let text = format!("[session]\ninit = {}", "[".repeat(200_000));
    fs::write(&config, text).expect("a file");
    let run = sandbox.run().arg("--config").arg(&config).arg(SELECT);
    sandbox.assert_refused(run.run(), &[":2:", "init = ***"]);
}

#[test]
fn option_file_mistakes_exit_2() {
    let sandbox = Sandbox::new();
    let option_file = sandbox.path("my.cnf");
    let assert_refused = |text: &[u8], part: &str| {
        fs::write(&option_file, text).expect("a file");
        let run = sandbox
            .run()
            .arg("--defaults-file")
            .arg(&option_file)
            .arg(SELECT);
        sandbox.assert_refused(run.run(), &[part]);
    };
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        ("password=hushhush\n", ":1: an option stands before any [group]\n  hint: --no-defaults"),
        ("[client\nuser=me\n", ":1: a group's name has no closing bracket"),
        ("[client]\nport=sql\n", ":2: port cannot be \"sql\": it is a number from 1 to 65535"),
        ("[client]\n# fine\nuser\n", ":3: user has no value"),
        ("[client]\nconnect_timeout=soon\n", ":2: connect-timeout cannot be \"soons\": write a number"),
        ("[client]\nssl-mode=prefered\n", ":2: ssl-mode cannot be \"prefered\": it is one of disabled"),
        ("[client]\nssl=maybe\n", ":2: ssl is neither on nor off"),
        ("[client]\nssl-ca=/nowhere/ca.pem\n", ":2: ssl-ca names /nowhere/ca.pem"),
        ("!includedir /nowhere/at/all\n", ":1: cannot list /nowhere/at/all"),
    ];
    for (text, part) in cases {
        assert_refused(text.as_bytes(), &format!("{option_file}{part}"));
    }
    assert_refused(b"[client]\nuser=\xe4\n", ":2: user is not UTF-8");
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
        &["--output needs the local time, but TZ cannot be used"],
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
