//! Arguments that are no command here, and what is said of them before connecting.

use crate::support::{GoldDigger, each_server};

/// Calls the program with the URL of a server that cannot be reached: exit code 2
/// shows that it did not connect.
fn unreachable_server() -> GoldDigger {
    GoldDigger::new().env("DATABASE_URL", "mysql://me:hushhush@127.0.0.1:1/db")
}

/// Asserts exit code 2 and the message and hint of each list of arguments.
#[track_caller]
fn assert_refused(cases: &[(&[&str], &str, &str)]) {
    for (args, message, hint) in cases {
        println!("{args:?}");
        let expected = format!("gold_digger: {message}\n  hint: {hint}\n");
        let outcome = unreachable_server().args(*args).run().ended(2, &expected);
        assert_eq!(outcome.stdout, b"", "{args:?}");
    }
}

const SELECT: &str = "SELECT 1";

#[test]
fn the_short_flags_of_the_mysql_client_connect() {
    each_server(|db| {
        let (port, socket, name) = (db.server.port, db.server.socket.display(), &db.name);
        for args in [
            format!("-h 127.0.0.1 -P {port} -u root -D {name}"),
            format!("-h127.0.0.1 -P{port} -uroot -D{name}"),
            format!("-S {socket} -uroot -D {name}"),
        ] {
            let run = GoldDigger::new()
                .env("DB_PASSWORD", &db.server.password)
                .args(["--password-env", "DB_PASSWORD"])
                .args(args.split(' '));
            let run = run.args(["-e", "SELECT DATABASE() AS a"]);
            run.run().wrote(format!("a\n{}\n", db.name));
        }
    });
    // It asks, and there is no terminal.
    let run = GoldDigger::wrapped_in(&["setsid", "--wait"]).args(["-uroot", "-p", SELECT]);
    run.run()
        .failed(2, &["--ask-password cannot ask for the password"]);
}

#[test]
fn a_lone_h_is_help_and_one_with_a_value_is_the_host() {
    let summary = unreachable_server().arg("-h").run().ended(0, "").stdout;
    assert!(summary.starts_with(b"Stream the rows"));
    let verify = GoldDigger::new().args(["verify", "-h"]).run().ended(0, "");
    assert!(verify.stdout.starts_with(b"Check files"));
    // An empty variable of a shell must not turn a run into a help text.
    let no_host = "-h is the host here, and has no value";
    let hint = "write -h HOST; --help prints help, and so does -h as the only argument";
    let no_help = "-h beside other arguments is no help";
    let verify_hint = "verify --help prints help, and so does verify -h";
    #[rustfmt::skip]
    assert_refused(&[
        (&["-h", "-o", "cron.csv", SELECT], no_host, hint),
        (&["-h", "-v"], no_host, hint),
        (&[SELECT, "-h"], no_host, hint),
        (&["-h", "--", SELECT], no_host, hint),
        (&["-h", "-- comment\nSELECT 1"], no_host, hint),
        (&["-vh"], no_host, hint),
        (&["-vvh", "-o", "cron.csv", SELECT], no_host, hint),
        (&["-h", "-h"], no_host, hint),
        (&["verify", "-h", "cron.csv"], no_help, verify_hint),
        (&["verify", "--quiet", "-h"], no_help, verify_hint),
    ]);
    let folder = tempfile::tempdir().expect("a folder");
    let target = folder.path().join("cron.csv");
    let run = GoldDigger::new()
        .args(["-h", "127.0.0.1", "-P1", "-ume", "-o"])
        .arg(target);
    run.arg(SELECT)
        .run()
        .failed(3, &["cannot connect to 127.0.0.1:1 as \"me\""]);
    let run = unreachable_server().args(["-h", SELECT]).run();
    run.failed_with_any_length(2, &["'SELECT 1' for '--host <HOST>'", "without spaces"]);
}

#[test]
fn a_password_among_the_arguments_is_refused_and_not_shown() {
    let hint = "leave the value out, and it asks; --password-file FILE and --password-env NAME need no terminal";
    let after = "leave it out, and it asks; a database is named by --database NAME";
    #[rustfmt::skip]
    assert_refused(&[
        (&["-phushhush", SELECT], "-p takes no password: others can read a command line", hint),
        (&["-vphushhush", SELECT], "-p takes no password: others can read a command line", hint),
        (&["-p'hush hush'", SELECT], "-p takes no password: others can read a command line", hint),
        (&["--ask-password=hushhush", SELECT], "--ask-password takes no password: others can read a command line", hint),
        (&["-p", "hushhush", SELECT], "the word after -p is no query, and no password can stand there", after),
        (&["-vp", "hushhush"], "the word after -p is no query, and no password can stand there", after),
        (&["--ask-password", "hushhush"], "the word after --ask-password is no query, and no password can stand there", after),
        (&["--password=hushhush", SELECT], "there is no flag --password", "-p asks for it; --password-file FILE and --password-env NAME need no terminal"),
    ]);
}

#[test]
fn flags_of_other_programs_name_ours() {
    #[rustfmt::skip]
    assert_refused(&[
        (&["-BNe", SELECT], "there is no flag -B", "--format tsv: tab-separated, with names in the first line; piped rows are so anyway"),
        (&["--batch", SELECT], "there is no flag --batch", "--format tsv: tab-separated, with names in the first line; piped rows are so anyway"),
        (&["-N", SELECT], "there is no flag -N", "--header=false leaves the names out"),
        (&["--skip-column-names", SELECT], "there is no flag --skip-column-names", "--header=false leaves the names out"),
        (&["--no-header", SELECT], "there is no flag --no-header", "--header=false leaves the names out"),
        (&["-s", SELECT], "there is no flag -s", "leave it out: a success is silent, and --quiet hides warnings too"),
        (&["-r", SELECT], "there is no flag -r", "leave it out: --format csv writes tabs and line ends as they are, between quotes"),
        (&["-q", "-e", SELECT], "-q needs the query as its value", "-q SQL is the query; rows are never collected, so that nothing is needed for --quick"),
        (&["--quick", SELECT], "there is no flag --quick", "-q SQL is the query; rows are never collected, so that nothing is needed for --quick"),
        (&["--login-path=x", SELECT], "there is no flag --login-path", "the login file is not read: --defaults-file FILE reads an option file, and --password-file FILE a password"),
        (&["--ssl-mode", "x", SELECT], "there is no flag --ssl-mode", "--tls MODE, which is disabled, required, verify-ca or verify-identity"),
        (&["--init-command=x", SELECT], "there is no flag --init-command", "--init SQL runs a statement before the query"),
        (&["-t", SELECT], "there is no flag -t", "--format table is aligned columns; --table NAME exports a table's rows"),
    ]);
    let run = unreachable_server().args(["--dry-run", SELECT]).run();
    run.failed(3, &["cannot connect"]);
    // Only a near flag is suggested.
    let unknown =
        "error: unexpected argument '--frobnicate' found\n\nFor more information, try '--help'.\n";
    unreachable_server()
        .args(["--frobnicate", SELECT])
        .run()
        .ended(2, unknown);
}

#[test]
fn an_argument_after_a_flag_may_begin_with_a_dash() {
    // No flag begins with a digit.
    let run = |args: &str| {
        let dump = unreachable_server().args(["--format=csv", "--dump-config"]);
        let dump = dump.args(args.split(' ')).arg(SELECT).run().ended(0, "");
        String::from_utf8(dump.stdout).expect("JSON")
    };
    for (args, value) in [
        ("--time-zone -05:00", "-05:00"),
        ("--csv-null -1", "-1"),
        ("--csv-null=-x", "-x"),
        ("--csv-null -", "-"),
        ("--expect-column a -v --expect-column -5x", "-5x"),
        ("-o -1.csv", "-1.csv"),
    ] {
        let dump = run(args);
        assert!(dump.contains(&format!("\"{value}\"")), "{args}: {dump}");
    }
    for (args, parts) in [
        (
            ["-P", "-1"],
            "error: invalid value '-1' for '--port <PORT>'",
        ),
        (["--min-rows", "-1"], "'-1' for '--min-rows <N>'"),
    ] {
        let run = unreachable_server().args(args).arg(SELECT).run();
        run.failed_with_any_length(2, &[parts]);
    }
    let after = |flag: &str| {
        let what = format!("--{flag} has no value, and the next argument begins with a dash");
        let hint = format!("write --{flag}=VALUE if that argument is its value");
        (what, hint)
    };
    let [null, output, column] = ["csv-null", "output", "json-column"].map(after);
    #[rustfmt::skip]
    assert_refused(&[
        (&["--csv-null", "-x", SELECT], &null.0, &null.1),
        (&["--csv-null", "--zzz", SELECT], &null.0, &null.1),
        (&["--csv-null", "--csv-bom", SELECT], &null.0, &null.1),
        (&["--csv-null", "--", SELECT], &null.0, &null.1),
        (&["-o", "-x.csv", SELECT], &output.0, &output.1),
        (&["-o", "-", "--json-column", "-v", SELECT], &column.0, &column.1),
    ]);
}

#[test]
fn words_that_are_no_query_name_the_flag_that_is_meant() {
    let table =
        |word: &str| format!("--table {word} exports a table; --database {word} names a database");
    let (customers, shop) = (table("customers"), table("shop"));
    let several = "run gold_digger once for each, or list them as [[export]] in a configuration file (--config)";
    let quotes = "put it in quotes: gold_digger \"SELECT …\"";
    #[rustfmt::skip]
    assert_refused(&[
        (&["help"], "`help` is a word, and no query", "gold_digger --help prints the flags"),
        (&["init"], "`init` is a word, and no query", "the flag is --init: Run the statement SQL before the query; may be repeated"),
        (&["x.sql"], "`x.sql` is a word, and no query", "--query-file x.sql reads the query from a file"),
        (&["x.toml"], "`x.toml` is a word, and no query", "--config x.toml reads settings and exports from a file"),
        (&["x.csv"], "`x.csv` is a word, and no query", "-o x.csv writes the rows to a file"),
        (&["-q", "customers;"], "`customers` is a word, and no query", &customers),
        (&["mysql://me:hushhush@h/d"], "`mysql://me:***@h/d` is a word, and no query", "--db-url URL names the server"),
        (&["SELECT"], "`SELECT` is only the first word of a query", "put the whole query in quotes: gold_digger \"SELECT …\""),
        (&["SELECT", "1"], "the query came as 2 arguments", quotes),
        (&["select", "a b", "FROM", "t"], "the query came as 4 arguments", quotes),
        (&[SELECT, "SELECT 2"], "2 queries are given, and a run has one", several),
        (&["shop", SELECT], "'shop' is an argument too many", &shop),
        (&["--quiet", "verify", "x.csv"], "'verify' is an argument too many", "verify comes first, before every flag: gold_digger verify …"),
        (&["-e", SELECT, "shop"], "'shop' is an argument too many; --query gives the query", &shop),
        (&["-e", SELECT, "SELECT 2"], "an argument and --query both give the query", "keep one of them"),
        (&[SELECT, "mysql://me:hush hush@h/"], "'mysql://me:***@h/' is an argument too many", "--db-url URL names the server"),
        (&[], "no query is given", "gold_digger \"SELECT …\", or `-` for standard input, or --query-file FILE, or --table NAME, or DATABASE_QUERY, or a configuration file (--config) with one"),
        (&["-"], "standard input: the SQL text holds no statement", "give one query, for example \"SELECT * FROM orders\""),
    ]);
}

#[test]
fn commands_of_the_mysql_client_are_no_sql() {
    let space = "write a plain space in its place";
    let several = "the SQL text holds more than one statement; the second begins on line 1";
    #[rustfmt::skip]
    assert_refused(&[
        (&["SET @x = 1; SELECT @x"], several, "--init \"SET …\" runs it before the query; a value may stand as :NAME in the query, with --param NAME=VALUE"),
        (&["use shop; SELECT 1"], several, "--database NAME chooses the database"),
        (&["USE shop"], "USE returns no rows", "--database NAME chooses the database of the query"),
        (&["CREATE TEMPORARY TABLE t AS SELECT 1; SELECT 1"], several, "--init SQL runs a statement before the query, and --read-write lets it write"),
        (&["DELIMITER //\nSELECT 1 //"], "DELIMITER on line 1 is a command of the mysql client, not SQL", "leave it out: the query is one statement, and needs no delimiter"),
        (&["source x.sql"], "SOURCE on line 1 is a command of the mysql client, not SQL", "--query-file FILE reads the query from a file"),
        (&["EXIT"], "EXIT on line 1 is a command of the mysql client, not SQL", "leave it out: the program ends after the query"),
        (&["quit;"], "QUIT on line 1 is a command of the mysql client, not SQL", "leave it out: the program ends after the query"),
        (&["-q", "status"], "STATUS on line 1 is a command of the mysql client, not SQL", "\"SHOW STATUS\" lists the server's counters"),
        (&["Connect shop"], "CONNECT on line 1 is a command of the mysql client, not SQL", "--host, --user and --database name the server and the database"),
        (&["\\! ls"], "\\! on line 1 is a command of the mysql client, not SQL", "leave it out"),
        (&["SELECT 1\\G"], "\\G on line 1 is a command of the mysql client, not SQL", "leave it out; --format json --pretty writes one value a line"),
        (&["SELECT 1\u{1a}"], "the SQL text has Ctrl-Z (U+001A) on line 1", "remove it; some editors end a file with it"),
        (&["SELECT\u{a0}1"], "the SQL text has a no-break space (U+00A0) on line 1", space),
        (&["\u{feff}SELECT 1"], "the SQL text has a byte order mark (U+FEFF) on line 1", "remove it; a file may begin with one, and have no other"),
        (&["SELECT :day"], "the query's parameter :day has no value", "add --param day=VALUE, or day to [query] params"),
    ]);
}
