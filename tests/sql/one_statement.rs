//! Texts that one server reads as one statement and another as several: no reading
//! runs a second statement.

use std::{
    env,
    fmt::Write as _,
    time::{Duration, Instant},
};

use gold_digger::sql::{Dialect, Query};
use mysql::{Conn, prelude::Queryable};

use crate::support::{Database, each_server};

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("53 bits") % limit
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }
}

/// What begins, ends or escapes quotes and comments for some server.
const FRAGMENTS: [&str; 38] = [
    "'",
    "\"",
    "`",
    "[",
    "]",
    "\\",
    "/*",
    "*/",
    "/*!",
    "/*M!",
    "/*!50000 ",
    "/*!99999 ",
    "/*M!100100 ",
    "/*M!999999 ",
    "/*!080000 ",
    "/*+",
    "--",
    "-- ",
    "#",
    "\n",
    "\r",
    "\t",
    " ",
    ";",
    "$$",
    "$a$",
    "N'",
    "x'",
    "_latin1'",
    "@",
    "{",
    "}",
    "1",
    "a",
    "ä",
    "😀",
    ".",
    ",",
];

/// What stands before and after a name, a string or a comment.
const ENCLOSING: [(&str, &str); 18] = [
    (", '", "'"),
    (", \"", "\""),
    (", 1 AS '", "'"),
    (", 1 AS \"", "\""),
    (", 1 AS `", "`"),
    (", 1 AS [", "]"),
    (", N'", "'"),
    (", _utf8mb4'", "'"),
    (", @`", "`"),
    ("/*", "*/"),
    ("/*!", "*/"),
    ("/*M!", "*/"),
    ("/*!99999 ", "*/"),
    ("/*!50000 ", "*/"),
    ("/*M!999999 ", "*/"),
    ("/*+ QB_NAME(", ") */"),
    ("-- ", "\n"),
    ("#", "\n"),
];

/// Returns a text with a `;` that some server may take for the end of a statement.
fn generate(random: &mut Random) -> String {
    let mut text = "SELECT 1 ".to_owned();
    for _ in 0..1 + random.below(3) {
        let (open, close) = ENCLOSING[random.below(ENCLOSING.len())];
        text += open;
        for _ in 0..random.below(3) {
            text += random.one_of(&FRAGMENTS);
        }
        if random.below(4) == 0 {
            text += "; SELECT 2 ";
        }
        if random.below(6) > 0 {
            text += close;
        }
    }
    let ends = [
        "; SELECT 3",
        "; SELECT 3 -- '",
        "; SELECT 3 # */]\"`'",
        "",
        " ",
        "'",
        "*/",
        "]",
    ];
    text + random.one_of(&ends)
}

/// Returns how many statements of `sql` the server runs. A mistake ends them.
fn statements_run(conn: &mut Conn, sql: &str) -> usize {
    let Ok(mut result) = conn.query_iter(sql) else {
        return 0;
    };
    let mut count = 0;
    while let Some(mut set) = result.iter() {
        // A comment alone has no rows.
        count += set.by_ref().flatten().count();
    }
    count
}

/// Whether PREPARE finds one statement in `sql`.
fn is_prepared(conn: &mut Conn, sql: &str) -> bool {
    let hex = sql.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string");
        hex
    });
    conn.query_drop(format!("SET @s = _utf8mb4 X'{hex}'"))
        .and_then(|()| conn.query_drop("PREPARE s FROM @s"))
        .is_ok()
}

/// How often each answer came.
#[derive(Debug, Default)]
struct Counts {
    texts: u64,
    /// Texts that are one statement for the server, and are sent.
    sent: u64,
    /// Texts that are one for the server, and are refused: others would run several.
    refused: u64,
    /// Texts that are several for the server, all of which are refused.
    several: u64,
}

/// Compares generated texts for `time`.
fn compare(db: &Database, mode: &str, random: &mut Random, time: Duration) -> Counts {
    let mut conn = db.connect();
    conn.query_drop(format!("SET SESSION sql_mode = '{mode}'"))
        .expect("the mode");
    let session: (String, String) = conn
        .query_first("SELECT VERSION(), @@SESSION.sql_mode")
        .expect("an answer")
        .expect("a row");
    let dialect = Dialect::of_session(&session.0, &session.1);
    let mut counts = Counts::default();
    let started = Instant::now();
    while counts.texts < 300 || started.elapsed() < time {
        counts.texts += 1;
        let text = generate(random);
        if let Ok(bound) = Query::parse(&*text).and_then(|query| query.bind(dialect, &[])) {
            let run = statements_run(&mut conn, &bound.sql);
            assert!(run <= 1, "{mode}: {:?} of {text:?} is several", bound.sql);
            counts.sent += u64::from(run == 1);
            continue;
        }
        match statements_run(&mut conn, &text) {
            0 => {}
            1 => counts.refused += 1,
            _ => {
                counts.several += 1;
                let is_prepared = is_prepared(&mut conn, &text);
                assert!(!is_prepared, "{mode}: {text:?} is prepared and is several");
            }
        }
    }
    counts
}

#[test]
fn no_generated_text_is_several_statements_for_the_server_alone() {
    // A longer search: the seconds for each server and SQL mode, and a seed.
    let number = |name| env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("GOLD_DIGGER_STATEMENTS_SECONDS").unwrap_or(0);
    let seed = number("GOLD_DIGGER_STATEMENTS_SEED").unwrap_or(0x9e37_79b9_7f4a_7c15);
    each_server(|db| {
        let mut random = Random(seed);
        let mut modes = vec!["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES"];
        if db.is_mariadb() {
            modes.extend(["MSSQL", "MSSQL,NO_BACKSLASH_ESCAPES", "ORACLE"]);
        }
        for mode in modes {
            let counts = compare(db, mode, &mut random, Duration::from_secs(seconds));
            eprintln!("{mode:?}: {counts:?}");
            assert!(
                counts.sent > 20 && counts.several > 20,
                "{mode}: {counts:?}"
            );
        }
    });
}

/// Asserts that `sql` deletes nothing, by any protocol.
fn assert_nothing_deleted(db: &Database, mode: &str, sql: &str) {
    for protocol in ["auto", "text", "binary"] {
        let run = db
            .export(sql)
            .args(["--init", &format!("SET sql_mode = '{mode}'")])
            .args(["--protocol", protocol, "--format", "csv"])
            .run();
        let is_string = db.is_mariadb() && sql.starts_with("SELECT 1 /*M! , 'a");
        let code = run.status.code();
        assert!(
            matches!(code, Some(2 | 4)) || is_string && code == Some(0),
            "{mode} {protocol} {sql}: {}",
            run.stderr
        );
        let mut conn = db.connect();
        let rows: Option<u32> = conn.query_first("SELECT COUNT(*) FROM t").expect("a count");
        assert_eq!(rows, Some(1), "{mode} {protocol} {sql}");
    }
}

#[test]
fn what_one_server_reads_as_a_comment_or_a_name_hides_no_statement() {
    each_server(|db| {
        db.sql("CREATE TABLE t (a INT)");
        db.sql("INSERT INTO t VALUES (1)");
        let open = "SET SESSION TRANSACTION READ WRITE";
        for sql in [
            format!("{open} /*M! /* */ ; DELETE FROM t -- */ */"),
            format!("{open} /*M! 'a /* */ ; DELETE FROM t -- ' */"),
            format!("SELECT 1 /*M! , 'a /* */ ; {open}; DELETE FROM t -- ' */"),
            format!("{open} /*M!999999 /* */ ; DELETE FROM t -- */ */"),
            format!("{open} /*M! ' */ ; DELETE FROM t -- '"),
            format!("{open} /*!999999 ' */ ; DELETE FROM t -- '"),
        ] {
            assert_nothing_deleted(db, "", &sql);
        }
        if db.is_mariadb() {
            for name in ["[a'b]", "[a]]'b]", "[a\\]", "[\"]", "[`]"] {
                let sql = format!("SELECT 1 AS {name}; {open}; DELETE FROM t -- '\"`]");
                assert_nothing_deleted(db, "MSSQL", &sql);
            }
        }
    });
}

#[test]
fn a_semicolon_in_quotes_and_comments_is_no_second_statement() {
    each_server(|db| {
        let mut queries = vec![
            ("", "SELECT ';' AS a -- ;"),
            (
                "",
                "SHOW VARIABLES WHERE Value = ';x' AND Variable_name = 'a;b'",
            ),
            // The driver would take :b for a parameter.
            ("", "SHOW VARIABLES WHERE Value = '\\';:b'"),
            ("", "EXPLAIN SELECT ';'"),
            ("NO_BACKSLASH_ESCAPES", "SELECT ';\\' AS a"),
        ];
        if db.is_mariadb() {
            queries.push(("MSSQL", "SELECT 1 AS [a;']"));
        } else {
            // MySQL does not prepare it.
            queries.push(("", "HELP ';'"));
        }
        for (mode, sql) in queries {
            for protocol in ["auto", "text"] {
                db.export(sql)
                    .args(["--init", &format!("SET sql_mode = '{mode}'")])
                    .args(["--protocol", protocol, "--format", "csv", "--allow-empty"])
                    .run()
                    .ended_with(0);
            }
        }
    });
}
