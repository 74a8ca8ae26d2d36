//! Passwords in wrong places: no output shows any part of one.

use std::{fs, path::Path, thread};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::support::{GoldDigger, each_server};

/// What each password begins and ends with, which stands nowhere else.
const MARKS: [&str; 2] = ["Zq7", "Xw9"];

/// A run that has a secret in a wrong place: what it is given, in which `SECRET` is
/// the secret.
enum Place {
    /// These arguments.
    Args(&'static [&'static str]),
    /// These arguments, with the secret in the place of a name. An account without a
    /// scheme, `me:12@h`, may be the name of a file or column, and is shown.
    Names(&'static [&'static str]),
    /// A configuration file of this text, with the secret in the place of a name.
    NameInFile(&'static str),
    /// This environment variable.
    Variable(&'static str),
    /// A configuration file of this text.
    File(&'static str),
    /// An option file of this text.
    Options(&'static str),
    /// A file with the query.
    Query,
}

use Place::{Args, File, NameInFile, Names, Options, Query, Variable};

/// The places for a URL, or for an account as URLs have it.
const PLACES: &[Place] = &[
    Args(&["SECRET"]),
    Args(&["SECRET", "SELECT 1"]),
    Args(&["SELECT 1", "SECRET"]),
    Args(&["--host", "h", "SECRET", "SELECT 1"]),
    Args(&["--query", "SELECT 1", "SECRET"]),
    Args(&["--query", "SECRET"]),
    Args(&["--host", "127.0.0.1", "--port", "1", "SECRET"]),
    Args(&["--host", "127.0.0.1", "--port", "1", "--query=SECRET"]),
    Args(&["-e", "SECRET"]),
    Args(&["--query-file", "SECRET"]),
    Args(&["--db-url", "SECRET", "--host", "h", "SELECT 1"]),
    Args(&["--db-url", "  SECRET", "--dump-config", "SELECT 1"]),
    Args(&["--db-url", "\"SECRET", "SELECT 1"]),
    Args(&["--db-url", "SECRET/e", "SELECT 1"]),
    Args(&["--db-url", "SECRET?x=y", "SELECT 1"]),
    Args(&["--url", "SECRET", "SELECT 1"]),
    Args(&["--url=SECRET", "SELECT 1"]),
    Args(&["--SECRET", "SELECT 1"]),
    Args(&["-SECRET", "SELECT 1"]),
    Args(&["-pSECRET", "SELECT 1"]),
    Args(&["-p", "SECRET", "SELECT 1"]),
    Args(&["--ask-password", "SECRET", "SELECT 1"]),
    Args(&["--ask-password=SECRET", "SELECT 1"]),
    Args(&["--password", "SECRET", "SELECT 1"]),
    Args(&["--password=SECRET", "SELECT 1"]),
    Args(&["--passwort=SECRET", "SELECT 1"]),
    Args(&["--password-file", "SECRET", "--host", "h", "SELECT 1"]),
    Args(&["--password-env", "SECRET", "--host", "h", "SELECT 1"]),
    Args(&["--host", "SECRET", "SELECT 1"]),
    Args(&["-hSECRET", "SELECT 1"]),
    Args(&["--port", "SECRET", "SELECT 1"]),
    Args(&["--socket", "SECRET", "SELECT 1"]),
    Args(&[
        "--user",
        "SECRET",
        "--host",
        "127.0.0.1",
        "--port",
        "1",
        "SELECT 1",
    ]),
    Args(&[
        "--database",
        "SECRET",
        "--host",
        "h",
        "--dump-config",
        "SELECT 1",
    ]),
    Args(&[
        "--host",
        "127.0.0.1",
        "--port",
        "1",
        "--database",
        "SECRET",
        "SELECT 1",
    ]),
    Names(&["--host", "h", "-o", "SECRET", "--dump-config", "SELECT 1"]),
    Names(&[
        "--host",
        "127.0.0.1",
        "--port",
        "1",
        "-o",
        "SECRET.csv",
        "SELECT 1",
    ]),
    Args(&["--config", "SECRET"]),
    Args(&["--config", "SECRET.toml", "--job", "a"]),
    Args(&["--job", "SECRET", "SELECT 1"]),
    Args(&["--defaults-file", "SECRET", "SELECT 1"]),
    Args(&["--format", "SECRET", "SELECT 1"]),
    Args(&["--param", "SECRET", "SELECT 1"]),
    Args(&["--time-zone", "SECRET", "--host", "h", "SELECT 1"]),
    Args(&["--connect-timeout", "SECRET", "SELECT 1"]),
    Args(&["--tls", "SECRET", "SELECT 1"]),
    Args(&["--tls-ca-file", "SECRET", "--host", "h", "SELECT 1"]),
    Names(&["--expect-column", "SECRET", "--dump-config", "SELECT 1"]),
    Names(&["--param", "a=SECRET", "--dump-config", "SELECT 1"]),
    Names(&[
        "--summary",
        "SECRET",
        "--host",
        "127.0.0.1",
        "--port",
        "1",
        "SELECT 1",
    ]),
    Names(&["verify", "SECRET"]),
    Args(&["completion", "SECRET"]),
    Variable("DATABASE_URL"),
    Variable("MYSQL_HOST"),
    Variable("MYSQL_TCP_PORT"),
    Variable("MYSQL_UNIX_PORT"),
    Variable("GOLD_DIGGER_CONFIG"),
    File("[connection]\nurl = 'SECRET\n"),
    File("[connection]\nurl = \"SECRET\"\n"),
    File("[connection]\nurl = SECRET\n"),
    File("[connection]\nurll = \"SECRET\"\n"),
    File("[connection]\nhost = \"SECRET\"\n"),
    File("[connection]\nuser = \"SECRET\"\nport = 70000\n"),
    File("[connection]\nport = \"SECRET\"\n"),
    File("[connection]\nSECRET\n"),
    File("SECRET = 1\n"),
    File("[SECRET]\n"),
    File("['SECRET']\n"),
    NameInFile("[output]\npath = \"SECRET\"\nformat = 1\n"),
    File("[output]\npath = 'SECRET' x\n"),
    File("[output]\nformat = \"SECRET\"\n"),
    File("[output]\nformat = 'SECRET'\n"),
    File("[output]\nflush = \"SECRET\" # SECRET\n"),
    File("[query]\nsql = \"SECRET\"\n"),
    File("[[export]]\nname = \"SECRET\"\nsql = 'SELECT 1'\n"),
    File("[[export]]\nname = 'a'\nsql = \"SECRET\"\nfile = 'x'\n"),
    Options("[client]\nhost=SECRET\n"),
    Options("[client]\nport=SECRET\n"),
    Options("[client]\nuser=\"SECRET\"\nport=x\n"),
    Options("[client\nSECRET\n"),
    Options("SECRET\n"),
    Options("[client]\n!include SECRET\n!SECRET\n"),
    Options("[client]\nssl-mode=SECRET\n"),
    Query,
];

impl Place {
    /// Runs the program with `secret` in this place, in `folder`. Returns what it shows.
    fn run(&self, secret: &str, folder: &Path) -> String {
        let filled = |text: &str| text.replace("SECRET", secret);
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        let summary = folder.join("summary");
        let run = GoldDigger::new().current_dir(folder).arg("-vv");
        let mut run = run.env("RUST_BACKTRACE", "full");
        let is_own = |args: &[&str]| {
            args.iter().any(|arg| {
                matches!(
                    *arg,
                    "--summary" | "--dump-config" | "verify" | "completion"
                )
            })
        };
        match self {
            Args(args) | Names(args) if is_own(args) => {}
            _ => run = run.arg("--summary").arg(&summary),
        }
        let run = match self {
            Args(args) | Names(args) => run.args(args.iter().map(|arg| filled(arg))),
            Variable(name) => run.env(name, secret).arg("SELECT 1"),
            File(text) | NameInFile(text) => run
                .arg("--config")
                .arg(write("x.toml", &filled(text)))
                .args(["--host", "h", "SELECT 1"]),
            Options(text) => run
                .arg("--defaults-file")
                .arg(write("x.cnf", &filled(text)))
                .arg("SELECT 1"),
            Query => run
                .args(["--host", "127.0.0.1", "--port", "1", "--query-file"])
                .arg(write("x.sql", secret)),
        };
        let outcome = run.run();
        let summary = fs::read_to_string(&summary).unwrap_or_default();
        let shown =
            String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr + &summary;
        // Its random name may hold a mark.
        shown.replace(&folder.display().to_string(), "")
    }
}

/// What stands between the marks of every place's first passwords.
const KNOWN: [&str; 6] = [" \"", " '", "@", "/", "' @ \"", "\n"];

/// The number of generated passwords of each place.
const GENERATED: usize = 3;

/// Returns a list of passwords for each place, the same each time, as far as arguments
/// may hold them.
fn passwords() -> Vec<Vec<String>> {
    let mut runner = TestRunner::deterministic();
    let middle = "[ '\"`@:/%#?&=+\\\\${}\\[\\];,.a0é\u{1}\u{1b}\t\u{202e}\u{1F511}-]{0,6}";
    let middle = proptest::string::string_regex(middle).expect("a pattern");
    let mut next = || middle.new_tree(&mut runner).expect("a text").current();
    let of_place = |place: &Place| {
        // In a file, a line end may begin something else.
        let lines = usize::from(matches!(place, File(_) | NameInFile(_) | Options(_)));
        let known = KNOWN[..KNOWN.len() - lines]
            .iter()
            .copied()
            .map(str::to_owned);
        let generated: Vec<String> = (0..GENERATED).map(|_| next()).collect();
        let middles = known.chain(generated);
        middles
            .map(|middle| MARKS[0].to_owned() + &middle + MARKS[1])
            .collect()
    };
    PLACES.iter().map(of_place).collect()
}

/// Returns the texts that hold `password` as URLs and accounts are written, the account
/// last.
fn secrets(password: &str) -> [String; 5] {
    let encoded: String = password
        .bytes()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    [
        format!("mysql://u:{password}@h.invalid/db"),
        format!("mysql://u:{encoded}@h.invalid/db"),
        format!(" postgres://u:{password}@h.invalid:1/db "),
        format!("mysql://h.invalid/db?user=u&password={password}"),
        format!("u:{password}@h.invalid/db"),
    ]
}

#[test]
fn no_output_shows_a_password_that_stands_in_a_wrong_place() {
    let passwords = passwords();
    let shown = |place: &Place, secret: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = place.run(secret, folder.path());
        let is_shown = MARKS.iter().any(|mark| text.contains(mark));
        is_shown.then(|| format!("{secret:?} is in:\n{text}"))
    };
    let check = |index: usize| {
        let place = &PLACES[index];
        let forms = 5 - usize::from(matches!(place, Names(_) | NameInFile(_)));
        // Each place gets all forms, and all places together all passwords.
        let texts = passwords[index]
            .iter()
            .enumerate()
            .map(|(number, password)| secrets(password)[(index + number) % forms].clone());
        texts.filter_map(|secret| shown(place, &secret)).next()
    };
    let halves = [0, 1];
    let found: Vec<String> = thread::scope(|scope| {
        let workers = halves.map(|half| {
            scope.spawn(move || {
                (half..PLACES.len())
                    .step_by(2)
                    .filter_map(check)
                    .collect::<Vec<_>>()
            })
        });
        workers
            .map(|worker| worker.join().expect("no panic"))
            .concat()
    });
    assert!(
        found.is_empty(),
        "{} places:\n{}",
        found.len(),
        found.join("\n")
    );
}

#[test]
fn a_password_alone_is_not_shown_where_other_programs_have_it() {
    let places: &[&[&str]] = &[
        &["--passwordSECRET", "SELECT 1"],
        &[
            "-u",
            "root:SECRET",
            "--host",
            "127.0.0.1",
            "--port",
            "1",
            "SELECT 1",
        ],
        &[
            "-uroot:SECRET",
            "--host",
            "127.0.0.1",
            "--port",
            "1",
            "SELECT 1",
        ],
        &["-S", "password=SECRET", "SELECT 1"],
        &["-S", "host=h;Password=SECRET;database=d", "SELECT 1"],
        &["--host=user=u password=SECRET", "SELECT 1"],
        &[
            "--database",
            "host=h;pwd=SECRET",
            "--host",
            "h",
            "--dump-config",
            "SELECT 1",
        ],
    ];
    for (place, password) in places
        .iter()
        .flat_map(|place| ["Zq7 'Xw9", "Zq7Xw9"].map(|it| (place, it)))
    {
        let args = place.iter().map(|arg| arg.replace("SECRET", password));
        let outcome = GoldDigger::new().arg("-vv").args(args).run();
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr;
        assert!(!text.contains("Zq7"), "{place:?} {password}: {text}");
    }
}

#[test]
fn a_flag_in_the_place_of_a_value_is_shown_without_its_password() {
    for value in [
        "--password=SECRET",
        "--password SECRET",
        "db --password=SECRET",
        "-u me --password SECRET",
    ] {
        for password in ["Zq7Xw9", "Zq7:Xw9", "Zq7'Xw9"] {
            let folder = tempfile::tempdir().expect("a folder");
            let config = folder.path().join("x.toml");
            let value = value.replace("SECRET", password);
            for key in ["host", "database", "user"] {
                let host = if key == "host" {
                    ""
                } else {
                    "host = '127.0.0.1'\n"
                };
                let text = format!("[connection]\nport = 1\n{host}{key} = {value:?}\n");
                fs::write(&config, text).expect("a file");
                for args in [&["-vv"][..], &["--dump-config"]] {
                    let run = GoldDigger::new().arg("--config").arg(&config).args(args);
                    let outcome = run.arg("SELECT 1").run();
                    let shown = String::from_utf8_lossy(&outcome.stdout).into_owned();
                    let shown = shown + &outcome.stderr;
                    assert!(!shown.contains("Zq7"), "{key} {value}: {shown}");
                }
            }
        }
    }
}

/// Statements whose errors quote them from before a password on, or from behind it.
const STATEMENTS: &[&str] = &[
    "select password('SECRET') frm x",
    "select password ( 'SECRET' ), 1 frm x",
    "select 1 frm x where old_password/**/('SECRET') = 2",
    "select * from x where `password` = 'SECRET' ordr by 1",
    "alter user bob@localhost identified by 'SECRET' requir ssl",
    "select 1 frm x identified by 'SECRET'",
    "select 1 frm xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx identified by 'SECRET' x",
];

#[test]
fn a_password_that_the_server_or_an_excerpt_cuts_is_not_shown() {
    each_server(|server| {
        let long = "Zq7Xw9".repeat(12);
        let folder = tempfile::tempdir().expect("a folder");
        let summary = folder.path().join("summary.json");
        for sql in STATEMENTS {
            for secret in ["Zq7Xw9", "Zq7Xw9 Zq7Xw9_Zq7Xw9-Zq7Xw9", &long] {
                let sql = sql.replace("SECRET", secret);
                for args in [&["-vv"][..], &["--log-format=json"], &["--init", &sql]] {
                    let run = server.export(&sql).args(args).arg("--summary");
                    let mut shown = run.arg(&summary).run().ended_with(4);
                    shown += &fs::read_to_string(&summary).expect("the summary");
                    let is_hidden = !shown.contains("Zq7") && !shown.contains("Xw9");
                    assert!(is_hidden, "{sql}: {shown}");
                }
            }
        }
        // The column of that name is no password.
        let run = server.export("SELECT id, password FROM x WHERE role = 'admin' ORDR BY 1");
        run.run()
            .failed_with_any_length(4, &["role = 'admin' ORDR"]);
    });
}

#[test]
fn statements_of_passwords_are_shown_without_them() {
    each_server(|server| {
        for sql in [
            "set password 'Zq7 Xw9' x",
            "set password = password('Zq7Xw9') x",
            "create user a@b identified by \"Zq7Xw9\" x",
            "create user a identified by 'it\\'s Zq7Xw9' x",
            "alter user a identified /* it's */ by 'Zq7Xw9' x",
            "select 'password' identified by 'Zq7Xw9' x",
        ] {
            let run = server.export("SELECT 1").arg("-vv").args(["--init", sql]);
            let stderr = run.run().ended_with(4);
            assert!(!stderr.contains("Zq7"), "{sql}: {stderr}");
            let run = server.export("-").stdin(sql);
            let stderr = run.run().ended_with(4);
            assert!(!stderr.contains("Zq7"), "{sql}: {stderr}");
        }
        // A column's name is no password.
        let run = server.export("SELECT 1 AS password_x, \"abc\" AS \"total\", 3 AS \"total\"");
        run.args(["--format", "json"])
            .run()
            .failed(2, &["the name \"total\""]);
    });
}
