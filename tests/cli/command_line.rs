//! The sources of settings on the command line, and mistyped flags.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use crate::support::{GoldDigger, each_server};

/// Calls the program with the URL of a server that cannot be reached: mistakes must
/// be found before connecting.
fn without_server() -> GoldDigger {
    GoldDigger::new().env("DATABASE_URL", "mysql://me:hushhush@127.0.0.1:1/db")
}

#[test]
fn the_query_comes_from_the_highest_source() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("q.sql");
        fs::write(&file, "\u{feff}-- one\nSELECT 'file' AS a;\n").expect("a file");
        let new = || {
            GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .env("DATABASE_QUERY", "SELECT 'env' AS a")
        };
        new().run().wrote("a\nenv\n");
        new().arg("SELECT 'arg' AS a").run().wrote("a\narg\n");
        new()
            .args(["-q", "SELECT 'query' AS a ; "])
            .run()
            .wrote("a\nquery\n");
        // A leading comment is not taken for a flag.
        new()
            .arg("-- one\nSELECT 'arg' AS a")
            .run()
            .wrote("a\narg\n");
        new()
            .args(["-q", "--\tone\nSELECT 'query' AS a"])
            .run()
            .wrote("a\nquery\n");
        new()
            .args(["--query", "SELECT 'query' AS a"])
            .run()
            .wrote("a\nquery\n");
        new()
            .arg("--query-file")
            .arg(&file)
            .run()
            .wrote("a\nfile\n");
        new()
            .args(["--query-file", "-"])
            .stdin("SELECT 'in' AS a -- ;")
            .run()
            .wrote("a\nin\n");
        for args in [&["-"][..], &["-q", "-"], &["-e", "-"]] {
            let run = new().args(args).stdin("SELECT 'in' AS a;\n");
            run.run().wrote("a\nin\n");
        }
    });
}

#[test]
fn a_url_in_a_flag_or_the_environment_connects_by_tcp_and_by_socket() {
    each_server(|db| {
        let sql = "SELECT CURRENT_USER() LIKE 'root@%' AS me";
        GoldDigger::new()
            .args(["--db-url", &db.url(), sql])
            .run()
            .wrote("me\n1\n");
        GoldDigger::new()
            .args(["--db-url", &db.socket_url(), sql])
            .run()
            .wrote("me\n1\n");
        let mariadb = db.url().replace("mysql://", "mariadb://");
        GoldDigger::new()
            .env("DATABASE_URL", &mariadb)
            .arg(sql)
            .run()
            .wrote("me\n1\n");
        // The flag overrides the environment.
        let wrong = "mysql://nobody@127.0.0.1:1/";
        GoldDigger::new()
            .env("DATABASE_URL", wrong)
            .args(["--db-url", &db.url(), sql])
            .run()
            .wrote("me\n1\n");
    });
}

#[test]
fn the_configuration_file_is_the_lowest_layer() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("x.toml");
        let in_folder =
            |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let text = format!(
            "[connection]\nurl = \"{}\"\n[query]\nsql = \"SELECT 'file' AS a\"\n[output]\npath = \"out.csv\"\n",
            db.url()
        );
        fs::write(&config, text).expect("a file");
        // The file contains the server's password.
        fs::set_permissions(&config, Permissions::from_mode(0o600)).expect("my file");
        let new = || GoldDigger::new().arg("--config").arg(&config);
        // A relative path is relative to the configuration file.
        new().run().wrote("");
        assert_eq!(in_folder("out.csv"), "a\nfile\n");
        new().arg("SELECT 'arg' AS a").run().wrote("");
        assert_eq!(in_folder("out.csv"), "a\narg\n");
        new()
            .env("OUTPUT_FILE", folder.path().join("env.json"))
            .run()
            .wrote("");
        assert_eq!(in_folder("env.json"), "[\n{\"a\":\"file\"}\n]\n");
        new()
            .env("OUTPUT_FILE", folder.path().join("env.json"))
            .args(["-o", "-"])
            .run()
            .wrote("a\nfile\n");
        // Empty OUTPUT_FILE and DATABASE_QUERY count as not set.
        new()
            .env("OUTPUT_FILE", "")
            .env("DATABASE_QUERY", "")
            .arg("--allow-empty")
            .run()
            .wrote("");

        fs::write(folder.path().join("q.sql"), "SELECT 1 AS b WHERE 1 = 0").expect("a file");
        let text = format!(
            "[connection]\nurl = \"{}\"\n[query]\nfile = \"q.sql\"\n[output]\nformat = \"json\"\nallow_empty = true\n",
            db.url()
        );
        fs::write(&config, text).expect("a file");
        new().run().wrote("[]\n");
        // The extension of a target on the command line overrides the file's format.
        new()
            .arg("-o")
            .arg(folder.path().join("typed.csv"))
            .run()
            .wrote("");
        assert_eq!(in_folder("typed.csv"), "b\n");
    });
}

#[test]
fn a_password_among_mistyped_arguments_is_not_shown() {
    let outcome = without_server()
        .args(["SELECT 1", "mysql://me:hushhush@h/db"])
        .run();
    assert_eq!(outcome.status.code(), Some(2));
    outcome.assert_stderr_contains(&["mysql://me:***@h/db"]);
    assert!(!outcome.stderr.contains("hushhush"), "{}", outcome.stderr);
}

#[test]
fn mistyped_flags_exit_2_with_the_nearest_right_name() {
    for (args, part) in [
        (&["--formt", "csv", "SELECT 1"][..], "'--format'"),
        (&["--format", "jso", "SELECT 1"], "'json'"),
        (&["--line-ending", "clrf", "SELECT 1"], "'crlf'"),
        (
            &["--csv-null", "a\"b", "--format", "csv", "SELECT 1"],
            "'a\"b' for '--csv-null <TEXT>'",
        ),
        (
            &["-q", "SELECT 1", "SELECT 2"],
            "an argument and --query both give the query",
        ),
        (
            &["--query-file", "x", "SELECT 2"],
            "an argument and --query-file both give the query",
        ),
        (
            &["--query-file", "x", "-q", "SELECT 2"],
            "--query and --query-file both give the query",
        ),
        (
            &["--quiet", "-v", "SELECT 2"],
            "'--quiet' cannot be used with '--verbose...'",
        ),
    ] {
        let outcome = without_server().args(args).run();
        assert_eq!(outcome.status.code(), Some(2), "{args:?}");
        outcome.assert_stderr_contains(&[part]);
    }
}

#[test]
fn the_help_names_formats_variables_and_exit_codes() {
    let help = GoldDigger::new().arg("--help").run().ended(0, "");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    for part in [
        "Examples:",
        "Exit codes:",
        "--query-file <FILE>",
        "DATABASE_URL",
        "csv",
        "tsv",
        "json",
        "143",
    ] {
        assert!(help.contains(part), "{part} is not in the help");
    }
}
