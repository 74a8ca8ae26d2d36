//! Wrong settings: each is found before anything is touched, and its message
//! names the mistake and its place.

use std::{
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::support::{GoldDigger, Outcome, certificates};

/// Where nothing may be changed, and a server that nobody may talk to.
struct Untouched {
    folder: tempfile::TempDir,
    server: TcpListener,
}

impl Untouched {
    fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
        server.set_nonblocking(true).expect("a socket option");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("earlier.csv"), "as it was").expect("a file");
        Self { folder, server }
    }

    fn url(&self) -> String {
        let port = self.server.local_addr().expect("its address").port();
        format!("mysql://me:hushhush@127.0.0.1:{port}/db")
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// A run that would export into the folder.
    fn run(&self) -> GoldDigger {
        GoldDigger::new()
            .env("DATABASE_URL", self.url())
            .env("OUTPUT_FILE", self.path("earlier.csv"))
    }

    /// Exit code 2, the parts in the message, no secret, and nothing done.
    #[track_caller]
    fn check(&self, outcome: Outcome, parts: &[&str]) {
        assert_eq!(outcome.status.code(), Some(2), "{}", outcome.stderr);
        for part in parts {
            assert!(
                outcome.stderr.contains(part),
                "{part:?} is not in: {}",
                outcome.stderr
            );
        }
        assert!(!outcome.stderr.contains("hushhush"), "{}", outcome.stderr);
        assert_eq!(outcome.stdout, b"");
        assert!(self.server.accept().is_err(), "it connected");
        let earlier = fs::read(self.folder.path().join("earlier.csv")).expect("the file");
        assert_eq!(earlier, b"as it was");
    }
}

#[test]
fn of_the_command_line() {
    let here = Untouched::new();
    fs::write(here.path("latin1.sql"), b"SELECT '\xe4'").expect("a file");
    fs::write(here.path("two-lines"), "hushhush\nhushhush\n").expect("a file");
    fs::write(here.path("empty"), "\n").expect("a file");
    fs::write(here.path("latin1"), b"hushhush\xe4").expect("a file");
    fs::write(here.path("long"), "hushhush".repeat(10_000)).expect("a file");
    let identities = ["ours", "others"].map(|name| (name, certificates::self_signed(&[name])));
    for (name, identity) in &identities {
        identity.write(here.folder.path(), name);
    }
    let pem = |name: &str| here.path(&format!("{name}.pem"));
    let (_, ours) = &identities[0];
    let write = |name: &str, text: &str| fs::write(pem(name), text).expect("a file");
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
    old.write(here.folder.path(), "old");
    write("elliptic", &certificates::public_key(&ours.key));
    let latin1_sql = here.path("latin1.sql");
    let [two_lines, empty, latin1, long] =
        ["two-lines", "empty", "latin1", "long"].map(|name| here.path(name));
    let select = "SELECT 1";
    #[rustfmt::skip]
    let cases: &[(&[&str], &[&str])] = &[
        // The query.
        (&[], &["no query is given", "--query-file"]),
        (&["SELECT 1; SELECT 2"], &["more than one statement"]),
        (&[" ; "], &["holds no statement"]),
        (&["SELECT 'x"], &["without an end"]),
        (&["--query-file", "/nowhere/q.sql"], &["--query-file names /nowhere/q.sql", "No such file"]),
        (&["--query-file", "/"], &["--query-file names /", "directory"]),
        (&["--query-file", &latin1_sql], &["latin1.sql", "UTF-8", "byte 8"]),
        (&["--query-file", ""], &["--query-file", "empty"]),
        (&["--param", "x", select], &["'--param <NAME=VALUE>'", "NAME=VALUE"]),
        (&["--param", "1x=2", select], &["'--param <NAME=VALUE>'", "no digit"]),
        (&["--param", "a=1", "--param", "a=2", "SELECT :a"], &["--param gives a twice"]),
        (&["--param", "a=1", select], &["--param gives a a value", "no :a"]),
        (&["--param", "a=1", "SELECT :a, :b"], &[":b has no value", "--param b=VALUE"]),
        (&["--param", "a=1", "SELECT :a, ?"], &["a ? beside"]),
        (&["--param", "a=1", "--protocol", "text", "SELECT :a"], &["--protocol text"]),
        (&["--protocol", "binry", select], &["'binry' for '--protocol <PROTOCOL>'", "'binary'"]),
        // The connection.
        (&["--db-url", "db.example/shop", select], &["--db-url", "mysql://"]),
        (&["--db-url", "mysql://hushhush:9999999/", select], &["--db-url is malformed"]),
        (&["--db-url", "mysql://me@h/", "--host", "h", select], &["--host cannot stand beside --db-url"]),
        (&["--db-url", "mysql://me@h/", "--database", "d", select], &["--database cannot stand beside --db-url"]),
        (&["--host", "db.example", "--socket", "/s", select], &["--host cannot stand beside --socket"]),
        (&["--port", "1", "--socket", "/s", select], &["--port cannot stand beside --socket"]),
        (&["--host", "", select], &["'--host <HOST>'", "empty"]),
        (&["--host", "mysql://me:hushhush@h/", select], &["'--host <HOST>'", "--db-url takes a URL"]),
        (&["--host", "me:hushhush@h", select], &["'--host <HOST>'", "me:***@h"]),
        (&["--config", "mysql://me:hushhush@h/", select], &["configuration file mysql://me:***@h/"]),
        (&["-o", "mysql://me:hushhush@h/{x}", select], &["unknown placeholder {x}"]),
        (&[select, "mysql://me:hushhush hushhush@h/"], &["'mysql://me:***@h/'"]),
        (&["--ask-password=hushhush", select], &["--ask-password"]),
        (&["--port", "0", select], &["'0' for '--port <PORT>'", "65535"]),
        (&["--port", "65536", select], &["'65536' for '--port <PORT>'", "65535"]),
        (&["--port", "sql", select], &["'sql' for '--port <PORT>'", "65535"]),
        // TLS. The URL names a server on this machine.
        (&["--tls", "on", select], &["'on' for '--tls <MODE>'", "disabled"]),
        (&["--tls", "required", "--allow-invalid-certificate", select], &["'--tls <MODE>' cannot be used with '--allow-invalid-certificate'"]),
        (&["--allow-invalid-certificate", "--insecure-skip-hostname-verify", select], &["cannot be used with"]),
        (&["--tls", "verify-ca", select], &["--tls is verify-ca, which needs --tls-ca-file", "verify-identity"]),
        (&["--insecure-skip-hostname-verify", select], &["--insecure-skip-hostname-verify is verify-ca, which needs --tls-ca-file"]),
        (&["--tls", "required", "--socket", "/s", "--user", "me", select], &["--tls cannot be had on the Unix socket /s", "127.0.0.1"]),
        (&["--tls-ca-file", "/nowhere/ca.pem", select], &["--tls-ca-file names /nowhere/ca.pem", "No such file"]),
        (&["--tls-ca-file", "/", select], &["--tls-ca-file names /", "directory"]),
        (&["--tls-ca-file", &empty, select], &["empty, which holds no certificate in PEM form"]),
        (&["--tls-ca-file", &latin1, select], &["latin1, which holds no certificate in PEM form"]),
        (&["--tls-ca-file", &pem("ours-key"), select], &["ours-key.pem, which holds no certificate in PEM form"]),
        (&["--tls-ca-file", &pem("broken"), select], &["broken.pem, which ends too early", "BEGIN CERTIFICATE"]),
        (&["--tls-ca-file", &pem("garbled"), select], &["garbled.pem, whose certificate is broken", "openssl x509 -inform der"]),
        (&["--tls-cert", &pem("old"), "--tls-key", &pem("old-key"), select], &["--tls-cert names", "old.pem, whose certificate is X.509 version 1"]),
        (&["--tls-ca-file", &pem("ours"), "--socket", "/s", "--user", "me", select], &["--tls-ca-file cannot be had on the Unix socket /s"]),
        (&["--db-url", "mysql://me@localhost/?socket=/s&ssl-mode=required", select], &["ssl-mode in --db-url cannot be had on the Unix socket /s"]),
        (&["--db-url", "mysql://me@127.0.0.1/?ssl-ca=/nowhere", select], &["ssl-ca in --db-url names /nowhere, which cannot be read"]),
        (&["--tls-ca-file", &pem("odd"), select], &["odd.pem, whose certificate number 1 cannot be read"]),
        (&["--tls-cert", &pem("ours"), select], &["--tls-cert stands alone", "--tls-key FILE"]),
        (&["--tls-key", &pem("ours-key"), select], &["--tls-key stands alone", "--tls-cert FILE"]),
        (&["--tls-cert", &pem("ours"), "--tls-key", &pem("ours"), select], &["--tls-key names", "ours.pem, which holds no private key in PEM form"]),
        (&["--tls-cert", &pem("ours-key"), "--tls-key", &pem("ours-key"), select], &["--tls-cert names", "ours-key.pem, which holds no certificate"]),
        (&["--tls-cert", &pem("ours"), "--tls-key", &pem("others-key"), select], &["others-key.pem, which does not belong to the certificate in", "ours.pem"]),
        (&["--tls-cert", &pem("ours"), "--tls-key", &pem("encrypted"), select], &["encrypted.pem, whose key is encrypted", "openssl pkey -in"]),
        (&["--server-public-key", "/nowhere/k.pem", select], &["--server-public-key names /nowhere/k.pem", "No such file"]),
        (&["--server-public-key", &pem("ours"), select], &["ours.pem, which holds no RSA public key in PEM form", "public_key.pem"]),
        (&["--server-public-key", &pem("elliptic"), select], &["elliptic.pem, which holds no RSA public key in PEM form"]),
        (&["--enable-cleartext-plugin", select], &["--enable-cleartext-plugin would give the password to whoever answers", "verify-ca"]),
        (&["--enable-cleartext-plugin", "--tls", "required", select], &["--enable-cleartext-plugin would give the password to whoever answers"]),
        (&["--db-url", "mysql://me:hushhush@h/?ssl-mode=PREFERRED", select], &["--db-url has an ssl-mode that is none of", "falls back"]),
        (&["--db-url", "mysql://me:hushhush@h/?ssl-mode=required&ssl-mode=disabled", select], &["--db-url has ssl-mode twice"]),
        (&["--db-url", "mysql://me:hushhush@h/?ssl-mode=", select], &["--db-url has an empty ssl-mode"]),
        (&["--db-url", "mysql://me:hushhush@h/?sslmode=disable", select], &["--db-url has the unknown parameter \"sslmode\"", "ssl-mode=MODE"]),
        (&["--db-url", "mysql://me:hushhush@h/?ssl-mode=required", "--tls", "disabled", select], &["--tls cannot stand beside --db-url"]),
        (&["--password-file", "/nowhere/p", select], &["--password-file names /nowhere/p", "No such file"]),
        (&["--password-file", "/", select], &["--password-file names /", "directory"]),
        (&["--password-file", &two_lines, select], &["two-lines, which has more than one line"]),
        (&["--password-file", &empty, select], &["empty, which is empty"]),
        (&["--password-file", &latin1, select], &["latin1, which is not UTF-8"]),
        (&["--password-file", &long, select], &["long, which is too long"]),
        (&["--password-env", "NOT_SET", select], &["--password-env", "NOT_SET", "not set"]),
        (&["--password-env", "hushhush", select], &["--password-env", "not set"]),
        // Units.
        (&["--connect-timeout", "30", select], &["'30' for '--connect-timeout <DURATION>'", "30s"]),
        (&["--connect-timeout", "0s", select], &["'--connect-timeout <DURATION>'", "1ms"]),
        (&["--read-timeout", "-5s", select], &["-5"]),
        (&["--read-timeout", "5 parsecs", select], &["'--read-timeout <DURATION>'", "unit"]),
        (&["--statement-timeout", "9000h", select], &["'--statement-timeout <DURATION>'", "8760h"]),
        (&["--init", "SET a = 1; SET b = 2", select], &["'--init <SQL>'", "more than one statement"]),
        (&["--time-zone", "", select], &["'--time-zone <ZONE>'", "empty"]),
        // The output.
        (&["-o", "", select], &["'--output <FILE>'", "empty"]),
        (&["-o", "{dat}.csv", select], &["--output has the unknown placeholder {dat}", "{timestamp}"]),
        (&["-o", "{date.csv", select], &["--output has a { without its }"]),
        (&["-o", "date}.csv", select], &["--output has a } without its {"]),
        (&["-o", "{date:%!}.csv", select], &["--output has a wrong strftime form in {date:%!}"]),
        (&["-o", "{database:%Y}.csv", select], &["unknown placeholder {database:%Y}"]),
        (&["--host", "localhost", "--db-url", "mysql://me@h/", select], &["--host cannot stand"]),
        (&["--db-url", "mysql://me@localhost/", "-o", "{database}.csv", select], &["holds {database}, but no database is named"]),
        (&["--db-url", "mysql://me@localhost/%2e%2e%2fx", "-o", "{database}.csv", select], &["holds a /"]),
        (&["--format", "xml", select], &["'xml' for '--format <FORMAT>'", "json"]),
        (&["--pretty", select], &["--pretty has no meaning for csv", "--format json"]),
        (&["--header=false", "-o", "x.json", select], &["--header has no meaning for json", "csv or tsv"]),
        (&["--header=nope", select], &["'nope' for '--header", "true or false"]),
        (&["--binary", "raw", select], &["--binary raw has no meaning for csv", "tsv"]),
        (&["--csv-null", "x", "-o", "x.json", select], &["--csv-null has no meaning for json"]),
        (&["--csv-delimiter", "1", select], &["'1' for '--csv-delimiter <CHAR>'", "numbers"]),
        (&["--csv-delimiter", ",,", select], &["one ASCII character"]),
        (&["--csv-delimiter", "\"", select], &["a meaning of its own"]),
        (&["--csv-null", "a\nb", select], &["'--csv-null <TEXT>'", "line end"]),
        (&["--csv-delimiter", ";", "--csv-null", ";", select], &["--csv-null holds the delimiter"]),
        // Files that configure.
        (&["--config", "/nowhere/x.toml", select], &["/nowhere/x.toml", "No such file", "--config"]),
        (&["--config", &latin1_sql, select], &["latin1.sql", "UTF-8"]),
        (&["--config", "/", select], &["configuration file /", "directory"]),
        (&["--defaults-file", "/nowhere/my.cnf", select], &["/nowhere/my.cnf", "No such file"]),
        (&["--defaults-file", "/", select], &["option file /", "directory"]),
        (&["--defaults-file", "x", "--no-defaults", select], &["'--defaults-file <FILE>' cannot be used with '--no-defaults'"]),
        (&["--defaults-group-suffix", "", select], &["'--defaults-group-suffix <SUFFIX>'", "empty"]),
        (&["--no-default", select], &["'--no-default'", "'--no-defaults'"]),
        (&["--ask-password", select], &["cannot ask for the password", "--password-file"]),
    ];
    for (args, parts) in cases {
        // Without a terminal to ask on.
        let run = GoldDigger::wrapped_in(&["setsid", "--wait"])
            .env("DATABASE_URL", here.url())
            .env("OUTPUT_FILE", here.path("earlier.csv"));
        println!("{args:?}");
        here.check(run.args(*args).run(), parts);
    }
    let none = GoldDigger::new().arg("SELECT 1").run();
    here.check(none, &["no server is named", "DATABASE_URL"]);
}

#[test]
fn of_the_configuration_file() {
    let here = Untouched::new();
    #[rustfmt::skip]
    let cases: &[(&str, &str)] = &[
        // Keys and sections.
        ("\n[conection]\nurl = 'hushhush'\n", ":2:2: there is no section `conection`: [conection]\n  hint: did you mean `connection`?"),
        ("[output]\nformt = 'csv'\n", ":2:1: [output] has no key `formt`: formt = 'csv'\n  hint: did you mean `format`?"),
        ("[output]\npath = 'x'\ndelimiter = ';'\n", ":3:1: [output] has no key `delimiter`: delimiter = ';'\n  hint: delimiter belongs into [csv]"),
        ("path = 'x'\n", ":1:1: there is no section `path`: path = 'x'\n  hint: path belongs into [output]"),
        ("[json]\nxyzzyxyzzy = 1\n", ":2:1: [json] has no key `xyzzyxyzzy`: *** = ***\n  hint: there are pretty, root,"),
        ("[connection]\npasword = 'hushhush'\n", ":2:1: [connection] has no key `pasword`: pasword = ***\n  hint: did you mean `password_file` or `password_env`?"),
        ("[connection]\npassword = 'hushhush'\n", ":2:1: [connection] has no key `password`: password = ***\n  hint: did you mean `password_file` or `password_env`?"),
        ("[query]\nsql = 'x'\nsql = 'y'\n", ":3:1: duplicate key: sql = 'y'"),
        ("connection = 'mysql://me:hushhush@h/db'\n", ":1:1: connection is a section, not a value: connection = ***"),
        ("'mysql://me:hushhush@h/db' = 1\n", ":1:1: there is no section of that name: *** = ***"),
        // What may be a secret, wherever it stands.
        ("[connection]\npass = 'hushhush'\n", ":2:1: [connection] has no key `pass`: pass = ***"),
        ("[connection]\nauth = 'hushhush'\n", ":2:1: [connection] has no key `auth`: auth = ***"),
        ("[output]\npas = 'hushhush'\n", ":2:1: [output] has no key `pas`: pas = ***"),
        ("[connection]\nhost = 'h', password = 'hushhush'\n", ":2:11: unexpected key or value, expected newline, `#`: host = 'h'"),
        ("[connection]\nport = '1' # hushhush\n", ":2:8: [connection] port is a number, without quotes: port = '1'"),
        ("[connection]\nuser = { name = 'me', password = 'hushhush' }\n", ":2:8: [connection] user is a text: write it in quotes: user = ***"),
        ("[connection]\nconnection.user = { password = 'hushhush' }\n", ":2:1: [connection] has no key `connection`: connection.user = ***"),
        ("aHVzaGh1c2hodXNo=\n", ":1:18: string values must be quoted, expected literal string: *** = ***"),
        ("[connection]\nhost = 'me:hushhush@h'\n", ":2:8: [connection] host cannot be \"me:***@h\": it is a name or an address; --db-url takes a URL: host = 'me:***@h'"),
        ("[connection]\nurl = \"\"\"\nhushhush\"\"\"\n", ":2:7: [connection] url does not begin with mysql:// or mariadb://: url = ***"),
        // Lines of which only a part can be shown, or nothing.
        ("[session]\ninit = [\n  'SET a = 1',\n  5,\n]\n", ":4:3: [session] init is a list of texts in quotes: ***"),
        ("[session]\ninit = [\n", ":2:9: unclosed array, expected `]`: init = ***"),
        ("[session]\ninit = ['SET a = 1', [1]]\n", ":2:22: [session] init is a list of texts in quotes: init = ***"),
        ("[session]\ninit = ['ä', 5]\n", ":2:14: [session] init is a list of texts in quotes: init = ['ä', 5]"),
        ("[output]\nflush = \"a\\tb\"\n", ":2:9: [output] flush cannot be \"a\\tb\": it is one of auto, row: flush = ***"),
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
        ("[query]\nparams = { a = [1] }\n", ":2:12: [query] params `a`: a value is a text in quotes: params = ***"),
        ("[query]\nparams = { 1a = 'x' }\n", ":2:12: [query] params cannot hold `1a`: a name has letters"),
        ("[json]\ncolumns = 'a'\n", ":2:11: [json] columns is a list of texts"),
        // Values.
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
        ("[csv]\nquote = 'never'\n", ":2:9: [csv] quote cannot be \"never\": it is one of necessary, always"),
        ("[session]\ninit = ['SET a = 1', 'SET b = 1; SET c = 1']\n", ":2:22: [session] init cannot hold"),
        ("[tls]\nmode = 'off'\n", ":2:8: [tls] mode cannot be \"off\": it is one of disabled"),
        ("[tls]\nca_file = 'none.pem'\n", ":2:11: [tls] ca_file names "),
        ("[tls]\nmode = 'verify-ca'\n", ":2:8: [tls] mode is verify-ca, which needs --tls-ca-file"),
        ("[connection]\nurl = 'mysql://me:hushhush@127.0.0.1/?ssl-mode=required'\n[tls]\nmode = 'disabled'\n", ":4:8: [tls] mode cannot stand beside "),
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
        ("[output]\npath = '{dat}'\n", ":2:8: [output] path has the unknown placeholder {dat}: path = '{dat}'"),
        ("[connection]\npassword_file = 'none'\n", ":2:17: [connection] password_file names "),
        ("[connection]\npassword_env = 'NONE'\n", ":2:16: [connection] password_env names the environment variable NONE, which is not set, or not UTF-8: password_env = ***"),
        ("[connection]\npassword_env = 'hushhush'\n", ":2:16: [connection] password_env names the environment variable ***, which is not set, or not UTF-8: password_env = ***"),
    ];
    let config = here.path("x.toml");
    for (text, part) in cases {
        fs::write(&config, text).expect("a file");
        println!("{text}");
        // Without what would hide the mistake.
        let mut run = GoldDigger::new();
        if !text.contains("connection") {
            run = run.env("DATABASE_URL", here.url());
        }
        if !text.contains("[output]") {
            run = run.env("OUTPUT_FILE", here.path("earlier.csv"));
        }
        if !text.contains("[query]") {
            run = run.arg("SELECT 1");
        }
        let part = format!("{config}{part}");
        here.check(run.arg("--config").arg(&config).run(), &[&part]);
    }
    fs::write(
        &config,
        format!("[session]\ninit = {}", "[".repeat(200_000)),
    )
    .expect("a file");
    let deep = here
        .run()
        .arg("--config")
        .arg(&config)
        .arg("SELECT 1")
        .run();
    here.check(deep, &[":2:", "init = ***"]);
}

#[test]
fn of_option_files_and_the_environment() {
    let here = Untouched::new();
    let option_file = here.path("my.cnf");
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
        fs::write(&option_file, text).expect("a file");
        let run = here
            .run()
            .arg("--defaults-file")
            .arg(&option_file)
            .arg("SELECT 1")
            .run();
        here.check(run, &[&format!("{option_file}{part}")]);
    }
    fs::write(&option_file, b"[client]\nuser=\xe4\n").expect("a file");
    let run = here
        .run()
        .arg("--defaults-file")
        .arg(&option_file)
        .arg("SELECT 1")
        .run();
    here.check(run, &[":2: user is not UTF-8"]);

    let run = |name: &str, value: &str| here.run().env(name, value).arg("SELECT 1").run();
    // A trust store that was chosen, and is none.
    for value in ["/nowhere/ca.pem", "/dev/null"] {
        let verified = ["--tls", "verify-identity", "SELECT 1"];
        let run = here
            .run()
            .env("SSL_CERT_FILE", value)
            .env_remove("SSL_CERT_DIR");
        let said =
            format!("SSL_CERT_FILE names {value}, which holds no certificate that can be used");
        here.check(run.args(verified).run(), &[&said, "--tls-ca-file"]);
    }
    here.check(
        run("DATABASE_URL", "mysql://:hushhush@h/"),
        &["DATABASE_URL names no user"],
    );
    here.check(
        run("OUTPUT_FILE", "{x}.csv"),
        &["OUTPUT_FILE has the unknown placeholder {x}"],
    );
    here.check(
        run("GOLD_DIGGER_CONFIG", "/nowhere/x.toml"),
        &["/nowhere/x.toml"],
    );
    let outcome = here.run().env("DATABASE_QUERY", "SELECT 1; SELECT 2").run();
    here.check(
        outcome,
        &["DATABASE_QUERY: the SQL text holds more than one statement"],
    );
    let outcome = here
        .run()
        .env("TZ", "Nowhere/Else")
        .args(["-o", "{time}.csv", "SELECT 1"])
        .run();
    here.check(
        outcome,
        &["--output needs the local time, but TZ cannot be used"],
    );
    let not_utf8 = std::os::unix::ffi::OsStrExt::from_bytes(b"SELECT '\xe4'");
    let not_utf8: &std::ffi::OsStr = not_utf8;
    here.check(
        here.run().env("DATABASE_QUERY", not_utf8).run(),
        &["DATABASE_QUERY", "UTF-8"],
    );
}

#[test]
fn of_permissions() {
    let here = Untouched::new();
    // Root reads everything, unless it gives that up.
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
        let path = here.path(name);
        fs::write(&path, "").expect("a file");
        fs::set_permissions(Path::new(&path), Permissions::from_mode(0o000)).expect("my file");
        let run = GoldDigger::wrapped_in(wrapper)
            .env("DATABASE_URL", here.url())
            .arg(flag)
            .arg(&path);
        let run = if flag == "--query-file" {
            run
        } else {
            run.arg("SELECT 1")
        };
        here.check(run.run(), &[&path, "Permission denied"]);
    }
}
