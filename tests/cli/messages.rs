//! Messages for people and for monitoring: help, errors, progress, checks and logs.

use std::{fs, path::Path, process::Command};

use serde_json::Value as Json;

use crate::support::{GoldDigger, at_terminal, each_server, fake};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gold_digger");

/// Removes from `text` the version, which differs between builds.
fn without_version(text: &str) -> String {
    let version = GoldDigger::new().arg("--version").run().ended(0, "").stdout;
    let version = String::from_utf8(version).expect("UTF-8");
    let version = version.trim().trim_start_matches("gold_digger ");
    let (number, build) = version.split_once(' ').expect("a version and a build");
    assert_eq!(number, env!("CARGO_PKG_VERSION"));
    let (commit, target) = build
        .trim_matches(['(', ')'])
        .split_once(", ")
        .expect("two words");
    assert!(!commit.is_empty() && target.contains("linux"), "{build}");
    // In the manual page, hyphens are escaped.
    text.replace(version, "VERSION")
        .replace(&version.replace('-', "\\-"), "VERSION")
}

fn printed(args: &[&str]) -> String {
    let text = GoldDigger::new().args(args).run().ended(0, "").stdout;
    without_version(&String::from_utf8(text).expect("UTF-8"))
}

#[test]
fn the_help_and_the_manual_are_unchanged() {
    insta::assert_snapshot!("help_short", printed(&["-h"]));
    insta::assert_snapshot!("help", printed(&["--help"]));
    insta::assert_snapshot!("man", printed(&["man"]));
}

#[test]
fn every_shell_has_a_completion() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completion", shell]);
        for word in ["--query-file", "csv-delimiter", "necessary"] {
            assert!(
                script.contains(word.trim_start_matches('-')),
                "{shell}: {word}"
            );
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("gold_digger");
    fs::write(&script, printed(&["completion", "bash"])).expect("a file");
    let typed = format!(
        "source {}; COMP_WORDS=(gold_digger --csv-quote ''); COMP_CWORD=2; _gold_digger gold_digger '' --csv-quote; echo ${{COMPREPLY[@]}}",
        script.display()
    );
    let reply = Command::new("bash")
        .args(["-c", &typed])
        .output()
        .expect("bash");
    assert_eq!(
        String::from_utf8_lossy(&reply.stdout),
        "necessary text always\n"
    );
    GoldDigger::new()
        .args(["completion", "tcsh"])
        .run()
        .failed_with_any_length(2, &["'tcsh'", "bash"]);
}

#[test]
fn the_message_of_every_kind_of_error_is_unchanged() {
    each_server(|db| {
        let mut shown = String::new();
        let mut record = |run: GoldDigger, code: i32| {
            let outcome = run.run();
            assert_eq!(outcome.status.code(), Some(code), "{}", outcome.stderr);
            shown += &format!("exit code {code}\n{}\n", outcome.stderr);
        };
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("x.toml");
        fs::write(&config, "[output]\nformt = 'csv'\n").expect("a file");
        record(db.export("SELECT 1 AS a WHERE 1 = 0"), 1);
        record(db.export("SELECT 1; DELETE FROM t"), 2);
        record(db.export("SELECT 1").arg("--config").arg(&config), 2);
        record(db.export("SELECT 1").args(["--formt", "csv"]), 2);
        record(
            GoldDigger::new()
                .env("DATABASE_URL", "mysql://me@127.0.0.1:1/")
                .arg("SELECT 1"),
            3,
        );
        let wrong = format!("mysql://root:wrong@127.0.0.1:{}/", db.server.port);
        record(
            GoldDigger::new().env("DATABASE_URL", wrong).arg("SELECT 1"),
            3,
        );
        record(
            db.export("SELECT a,\n       b\nFORM somewhere\nWHERE a = 1"),
            4,
        );
        record(db.export("SELECT * FROM nowhere"), 4);
        record(db.export("SELECT (1"), 4);
        record(db.export("CREATE TABLE t (a INT)"), 4);
        record(db.export("SELECT 1").args(["-o", "/nowhere/x.csv"]), 5);
        let shown = shown
            .replace(&folder.path().display().to_string(), "/FOLDER")
            .replace(&format!(":{}", db.server.port), ":PORT")
            .replace(&db.name, "DATABASE");
        let name = format!("errors_{}", db.server.name);
        insta::assert_snapshot!(name, shown);
    });
}

#[test]
fn errors_are_coloured_on_a_terminal_only() {
    let command = format!("{PROGRAM} --no-defaults 'SELECT 1'");
    let shown = at_terminal(&command, None);
    assert!(
        shown.starts_with("\x1b[1m\x1b[31mgold_digger:\x1b[0m no server is named"),
        "{shown:?}"
    );
    assert!(
        shown.contains("\x1b[36mhint:\x1b[0m set --host"),
        "{shown:?}"
    );
    let shown = at_terminal(&format!("NO_COLOR=1 {command}"), None);
    assert!(
        shown.starts_with("gold_digger: no server is named") && !shown.contains('\x1b'),
        "{shown:?}"
    );
    GoldDigger::new()
        .arg("SELECT 1")
        .run()
        .ended(2, "gold_digger: no server is named\n  hint: set --host, --db-url mysql://USER:PASSWORD@HOST:PORT/DATABASE or DATABASE_URL, or write ~/.my.cnf\n");
}

#[test]
fn names_from_outside_cannot_control_the_terminal() {
    each_server(|db| {
        let clear = "x\x1b[2J\x07";
        let url = db.url();
        let shown = |args: &[&str]| {
            let quoted = args.iter().map(|arg| {
                format!(
                    "\"$(printf %b '{}')\"",
                    arg.replace('\'', "'\\''")
                        .replace('\x1b', "\\033")
                        .replace('\x07', "\\007")
                )
            });
            let command = format!(
                "DATABASE_URL='{url}' {PROGRAM} {}",
                quoted.collect::<Vec<_>>().join(" ")
            );
            let shown = at_terminal(&command, None);
            assert!(
                !shown.contains("\x1b[2J") && !shown.contains('\x07'),
                "{shown:?}"
            );
            shown
        };
        let sql = format!("SELECT 1 AS `{clear}`");
        let check = shown(&["--check", &sql]);
        assert!(check.contains("\\u{1b}[2J\\u{7}"), "{check:?}");
        assert!(shown(&["-o", &format!("/nowhere/{clear}"), "SELECT 1"]).contains("\\u{1b}[2J"));
        assert!(shown(&[&format!("--{clear}"), "SELECT 1"]).contains("unexpected argument"));
        assert!(shown(&["--format", clear, "SELECT 1"]).contains("invalid value"));
        shown(&[&format!("SELECT {clear}")]);
        assert!(shown(&["--config", clear]).contains("\\u{1b}[2J"));
    });
    let port = fake::serve(|mut session| {
        session.send(b"\xff\x10\x04\x1b[2J\x07 Too many connections");
    });
    let url = fake::url(port);
    let shown = at_terminal(&format!("{PROGRAM} --db-url '{url}' 'SELECT 1'"), None);
    assert!(
        shown.contains("\\u{1b}[2J") && !shown.contains("\x1b[2J"),
        "{shown:?}"
    );
}

#[test]
fn progress_appears_on_a_terminal_and_vanishes() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.csv").display().to_string();
        let export = |options: &str| {
            let url = db.url();
            let command =
                format!("DATABASE_URL='{url}' {PROGRAM} {options} 'SELECT SLEEP(1) AS a'");
            at_terminal(&command, None)
        };
        let shown = export(&format!("-o {target}"));
        assert!(shown.contains("0 rows, 0 B, 0 rows/s, 0:00"), "{shown:?}");
        // Only the final line remains.
        let (_, rest) = shown.rsplit_once("\x1b[2K").expect("the line is cleared");
        assert!(
            rest.starts_with("gold_digger: 1 row, 4 bytes to ") && rest.ends_with("rows/s)\r\n"),
            "{rest:?}"
        );
        let shown = export(&format!("--progress never -o {target}"));
        assert!(shown.starts_with("gold_digger: 1 row"), "{shown:?}");
        assert_eq!(export(&format!("--quiet -o {target}")), "");
        assert_eq!(export("--quiet -o /dev/stdout"), "a\r\n0\r\n");
        // Progress does not mix with rows on the same terminal.
        let shown = export("");
        assert!(
            shown.starts_with("a\r\n-\r\n0\r\n(1 row)\r\ngold_digger: 1 row"),
            "{shown:?}"
        );
        // Without a terminal, progress appears only on request.
        db.export("SELECT SLEEP(1) AS a").run().wrote("a\n0\n");
    });
    each_server(|db| {
        let outcome = db
            .export("SELECT SLEEP(5.5) AS a")
            .args(["--progress", "always"])
            .run();
        outcome.ended(0, "0 rows, 0 B, 0 rows/s, 0:05\n");
    });
}

#[test]
fn a_check_describes_the_export_and_runs_nothing() {
    each_server(|db| {
        db.sql("CREATE TABLE t (a TINYINT(1), b TINYINT UNSIGNED, c SMALLINT(5) UNSIGNED ZEROFILL, d MEDIUMINT, e INT UNSIGNED, f BIGINT,
            g DECIMAL(10,2), h DECIMAL(5,0) UNSIGNED, i FLOAT, j DOUBLE, k DOUBLE(7,3), l BIT(9), m YEAR, n DATE, o DATETIME(3), p TIMESTAMP NULL, q TIME(6),
            r CHAR(3), s VARCHAR(300), t TINYTEXT, u TEXT, v MEDIUMTEXT, w LONGTEXT, x BINARY(4), y VARBINARY(5), z TINYBLOB, aa BLOB, ab MEDIUMBLOB, ac LONGBLOB,
            ad ENUM('x','y'), ae SET('x','y'), af JSON, ag GEOMETRY)");
        let check = |args: &[&str]| {
            let run = GoldDigger::new().env("DATABASE_URL", db.url()).args(args);
            let text = String::from_utf8(run.run().ended(0, "").stdout).expect("UTF-8");
            let version = text.lines().next().expect("a line").to_owned();
            assert!(
                version.starts_with("server     ") && version.contains('.'),
                "{version}"
            );
            text.replace(&version, "server     VERSION")
                .replace(&format!(":{}", db.server.port), ":PORT")
                .replace(&db.name, "DATABASE")
        };
        let name = format!("check_{}", db.server.name);
        let args = [
            "--check=text",
            "--format",
            "json",
            "--time-zone",
            "+00:00",
            "--tinyint1-as-bool",
            "--json-bigint",
            "string",
        ];
        insta::assert_snapshot!(name, check(&[&args[..], &["SELECT * FROM t"]].concat()));
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.csv").display().to_string();
        let shown = check(&["--check", "-o", &target, "SELECT SLEEP(100), X'00' AS b"]);
        assert!(shown.contains("b           "), "{shown}");
        assert!(!Path::new(&target).exists());
        db.sql("CREATE PROCEDURE p() BEGIN INSERT INTO t (a) VALUES (1); SELECT 1; END");
        let shown = check(&["--check", "--read-write", "CALL p()"]);
        assert!(
            shown.contains("announces none before the statement runs"),
            "{shown}"
        );
        db.export("SELECT COUNT(*) AS n FROM t")
            .run()
            .wrote("n\n0\n");
        // A statement that would fail makes the check fail.
        db.export("SELECT nothing")
            .arg("--check")
            .run()
            .failed(4, &["Unknown column"]);
        db.export("SELECT 1 AS a, 2 AS a")
            .args(["--check", "--format", "json"])
            .run()
            .failed(2, &["--duplicate-columns"]);
    });
}

#[test]
fn a_run_succeeds_although_standard_error_is_full() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.csv");
        for options in [
            "-v",
            "-vv --log-format json",
            "--progress always",
            "--summary -",
        ] {
            let command = format!(
                "exec {PROGRAM} {options} -o {} 'SELECT NULL AS a' 2>/dev/full",
                target.display()
            );
            let run = Command::new("sh")
                .args(["-c", &command])
                .env("DATABASE_URL", db.url())
                .status();
            assert_eq!(run.expect("a shell").code(), Some(0), "{options}");
        }
        let command = format!("exec {PROGRAM} --log-format json 'SELECT nothing' 2>/dev/full");
        let run = Command::new("sh")
            .args(["-c", &command])
            .env("DATABASE_URL", db.url())
            .status();
        assert_eq!(run.expect("a shell").code(), Some(4));
    });
}

#[test]
fn logs_are_text_or_json() {
    each_server(|db| {
        let run = |args: &[&str]| db.export("SELECT 1 AS a").args(args).run().ended_with(0);
        let text = run(&["-v"]);
        let first = format!(
            "gold_digger: connected to 127.0.0.1:{} as root\n",
            db.server.port
        );
        assert!(text.starts_with(&first), "{text}");
        assert!(
            run(&["-vv", "--init", "SET @a = 1"])
                .contains("gold_digger: running an init statement\n")
        );
        let lines = run(&["-v", "--log-format", "json"]);
        let lines: Vec<Json> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert!(lines.len() > 3, "{lines:?}");
        assert!(
            lines
                .iter()
                .all(|line| line["level"] == "INFO" && line["timestamp"].is_string())
        );
        assert_eq!(lines.last().expect("a line")["rows"], 1);
        let failed = db
            .export("SELECT nothing")
            .args(["--log-format", "json"])
            .run();
        let failed: Json = serde_json::from_str(&failed.stderr).expect("JSON");
        assert_eq!(
            (&failed["level"], &failed["exit_code"]),
            (&"ERROR".into(), &4.into())
        );
    });
}
