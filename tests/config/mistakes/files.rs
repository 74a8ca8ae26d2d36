//! Wrong configuration files and option files. The message names the file, the line
//! and the key, and shows no value that may be a secret.

use std::fs;

use super::{GoldDigger, SELECT, Sandbox};

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
        ("[output]\ncompress = true\n", ":2:1: [output] has no key `compress`: compress = true\n  hint: compression = \"gzip\" or \"zstd\", or a path"),
        ("[[export]]\nname = 'a'\noutput = 'x'\n", ":3:1: output is a table here: [export.output]: output = ***\n  hint: path = \"FILE\" names the output"),
        ("[[export]]\nname = 'a'\norder = 'x'\n", ":3:1: [[export]] has no key `order`: *** = ***\n  hint: write it into the query: sql = \"SELECT * FROM …\""),
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
        ("[output]\npath = 'l.avro'\n", ":2:8: [output] path ends in .avro, which is no format's extension: path = 'l.avro'\n  hint: there are .csv, "),
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
