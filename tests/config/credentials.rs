//! Passwords: the places that they come from, MySQL's option files among them,
//! and the places where they never show.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use gold_digger::{cli::Args, config::Config, journal::Journal};
use mysql::prelude::Queryable;

use crate::support::{Database, GoldDigger, at_terminal, each_server, fake};

/// Writes a file that only its owner can read.
fn private(path: &Path, text: impl AsRef<[u8]>) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("my file");
}

/// Root's login as an option file has it.
fn option_file(db: &Database) -> String {
    let password = db
        .server
        .password
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    let socket = db.server.socket.display();
    format!("[client]\nuser=root\npassword=\"{password}\" # mine\nsocket={socket}\n")
}

#[test]
fn an_existing_my_cnf_is_all_that_is_needed() {
    each_server(|db| {
        let home = tempfile::tempdir().expect("a folder");
        private(&home.path().join(".my.cnf"), option_file(db));
        let new = || GoldDigger::new().env("HOME", home.path());
        new().arg("SELECT 1 AS a").run().wrote("a\n1\n");
        new()
            .args(["--database", &db.name, "SELECT DATABASE() AS a"])
            .run()
            .wrote(format!("a\n{}\n", db.name));
        new()
            .args(["--defaults-file", "/dev/null", "SELECT 1"])
            .run()
            .failed(2, &["no server is named"]);
        new()
            .args(["--no-defaults", "SELECT 1"])
            .run()
            .failed(2, &["no server is named"]);
        // The vendor's client reads the same.
        if db.is_mariadb() {
            let client = Command::new("mariadb")
                .env("HOME", home.path())
                .args(["-NBe", "SELECT 1"])
                .output()
                .expect("the client");
            assert_eq!(
                client.stdout,
                b"1\n",
                "{}",
                String::from_utf8_lossy(&client.stderr)
            );
        }
    });
}

#[test]
fn option_files_are_read_as_the_manual_says() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("d")).expect("a folder");
        private(
            &path("main.cnf"),
            format!(
                "\u{feff}; a comment\n\n[mysqld]\nport = sql\nuser=nobody\n[client]\n\
             !include {0}/included.cnf\n!include {0}/missing.cnf\n!includedir {0}/d\n\
             [client-mariadb]\nunknown-option\n! include {0}/missing.cnf\nunknown_too = 5\nssl-mode=PREFERRED\nloose_database = 'my\\sql' # said 'twice'\n\
             database = mysql\n[gold_digger]\nhost = 127.0.0.1\nport={1}\nskip-ssl\n",
                folder.path().display(),
                db.server.port,
            ),
        );
        private(
            &path("included.cnf"),
            "[client]\nuser = wrong\nhost=10.1.2.3\n",
        );
        private(&path("d/2.cnf"), "[client]\nuser = root\n");
        private(&path("d/1.cnf"), "[client]\nuser = wrong\n");
        private(&path("d/3.conf"), "[client]\nuser = wrong\n");
        private(&path("password"), format!("{}\r\n", db.server.password));
        let new = || {
            GoldDigger::new()
                .arg("--defaults-file")
                .arg(path("main.cnf"))
        };
        new()
            .arg("--password-file")
            .arg(path("password"))
            .arg("SELECT DATABASE() AS d, SUBSTRING_INDEX(USER(), '@', 1) AS u")
            .run()
            .wrote("d\tu\nmysql\troot\n");
        // Everyone could have written it.
        fs::set_permissions(path("main.cnf"), Permissions::from_mode(0o666)).expect("my file");
        let parts = ["everyone can write to it", "no server is named"];
        new()
            .arg("SELECT 1")
            .run()
            .failed_with_any_length(2, &parts);
        let outcome = new().args(["--db-url", &db.url(), "SELECT 1 AS a"]).run();
        let said = format!(
            "gold_digger: warning: the option file {} is ignored: everyone can write to it\n",
            path("main.cnf").display()
        );
        outcome.ended(0, &said);
    });
}

#[test]
fn a_password_comes_from_a_file_a_variable_or_the_terminal() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        private(&path("right"), &db.server.password);
        private(&path("wrong"), "wrong\n");
        let port = db.server.port;
        let new = || {
            GoldDigger::new()
                .args(["--host", "127.0.0.1", "--user", "root"])
                .args(["--port", &port.to_string()])
        };
        let sql = "SELECT 1 AS a";
        new()
            .arg("--password-file")
            .arg(path("right"))
            .arg(sql)
            .run()
            .wrote("a\n1\n");
        new()
            .arg("--password-file")
            .arg(path("wrong"))
            .arg(sql)
            .run()
            .failed(3, &["Access denied"]);
        new().arg(sql).run().failed(3, &["Access denied"]);
        new()
            .env("SHOP_PASSWORD", &db.server.password)
            .args(["--password-env", "SHOP_PASSWORD", sql])
            .run()
            .wrote("a\n1\n");
        // Relative to the file that names it, and before the variable.
        private(
            &path("x.toml"),
            "[connection]\npassword_file = 'right'\npassword_env = 'SHOP_PASSWORD'\n",
        );
        let by_file = || {
            new()
                .env("SHOP_PASSWORD", "wrong")
                .arg("--config")
                .arg(path("x.toml"))
        };
        by_file().arg(sql).run().wrote("a\n1\n");
        // A URL of a higher place brings its own, or none.
        let without = format!("mysql://root@127.0.0.1:{port}/");
        GoldDigger::new()
            .arg("--config")
            .arg(path("x.toml"))
            .args(["--db-url", &without, sql])
            .run()
            .failed(3, &["Access denied"]);

        let program = env!("CARGO_BIN_EXE_gold_digger");
        let login = format!("{program} --host 127.0.0.1 --port {port} --user root --ask-password");
        let prompt = format!("Password of root at 127.0.0.1:{port}: ");
        let shown = at_terminal(
            &format!("{login} 'SELECT 1 AS a'"),
            Some((&prompt, &format!("{}\n", db.server.password))),
        );
        let rows = format!("{prompt}\r\na\r\n1\r\n");
        assert!(shown.starts_with(&rows), "{shown:?}");
        assert!(!shown.contains(&db.server.password), "{shown:?}");
        // Ctrl-C, after which the terminal shows what is typed again.
        let shown = at_terminal(
            &format!(
                "trap : INT; {login} 'SELECT 1'; echo \"code $?\"; stty -a | grep -ow -e -*echo"
            ),
            Some((&prompt, "\x03")),
        );
        assert!(
            shown.ends_with(" ended by SIGINT\r\ncode 130\r\necho\r\n"),
            "{shown}"
        );
    });
}

#[test]
fn files_that_others_can_read_get_one_warning() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let open = |name: &str, text: &str| {
            fs::write(path(name), text).expect("a file");
            fs::set_permissions(path(name), Permissions::from_mode(0o644)).expect("my file");
        };
        let said = |name: &str| {
            let path = path(name).display().to_string();
            format!(
                "gold_digger: warning: others can read {path}, which holds a password; chmod o-r {path}\n"
            )
        };
        let sql = "SELECT 1 AS a";
        open("url.toml", &format!("[connection]\nurl = '{}'\n", db.url()));
        let by_url = || {
            GoldDigger::new()
                .arg("--config")
                .arg(path("url.toml"))
                .arg(sql)
        };
        by_url().run().ended(0, &said("url.toml"));
        by_url().arg("--quiet").run().ended(0, "");
        // It is told where the run fails, too.
        let failed = by_url().args(["-o", "/nowhere/x"]).run();
        assert_eq!(failed.status.code(), Some(5));
        assert!(
            failed.stderr.starts_with(&said("url.toml")),
            "{}",
            failed.stderr
        );

        open("my.cnf", &option_file(db));
        let by_options = GoldDigger::new().arg("--defaults-file").arg(path("my.cnf"));
        by_options.arg(sql).run().ended(0, &said("my.cnf"));

        open("password", &db.server.password);
        open(
            "x.toml",
            &format!(
                "[connection]\nuser = 'root'\nsocket = '{}'\npassword_file = 'password'\n",
                db.server.socket.display()
            ),
        );
        let by_file = GoldDigger::new().arg("--config").arg(path("x.toml"));
        by_file.arg(sql).run().ended(0, &said("password"));

        // Without a password in it there is nothing to hide.
        open("none.toml", "[output]\nallow_empty = true\n");
        db.export(sql)
            .arg("--config")
            .arg(path("none.toml"))
            .run()
            .wrote("a\n1\n");
    });
}

#[test]
fn a_panic_that_shows_everything_shows_no_password() {
    let secret = "s3cret-Of-Mine";
    let url = format!("mysql://me:{secret}@localhost/");
    let arguments = ["gold_digger", "--no-defaults", "--db-url", &url, "SELECT 1"];
    let args = Args::parse_arguments(arguments.iter().map(OsString::from)).expect("arguments");
    let shown = format!("{args:?}");
    let config = Config::resolve(args, &Journal::default()).expect("a configuration");
    let panic = std::panic::catch_unwind(move || panic!("{shown} {config:?}"));
    let panic = panic.expect_err("it panicked");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(
        text.contains("localhost") && !text.contains(secret),
        "{text}"
    );
}

#[test]
fn a_password_is_shown_nowhere() {
    each_server(|db| {
        let secret = "s3cret-Of-Mine";
        let mut conn = db.connect();
        let user = format!("u_{}", db.name);
        conn.query_drop(format!("CREATE USER {user}@'%' IDENTIFIED BY '{secret}'"))
            .expect("a user");
        conn.query_drop(format!("GRANT SELECT ON {}.* TO {user}@'%'", db.name))
            .expect("a grant");
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let good = format!(
            "mysql://{user}:{secret}@127.0.0.1:{}/{}",
            db.server.port, db.name
        );
        private(
            path("x.toml").as_ref(),
            format!("[connection]\nurl = '{good}'\n"),
        );
        private(
            path("broken.toml").as_ref(),
            format!("[connection]\nurl = '{good}\n"),
        );
        private(
            path("typo.toml").as_ref(),
            format!("[connection]\nurll = '{good}'\n"),
        );
        private(
            path("port.toml").as_ref(),
            format!(
                "[connection]\nurl = '{}'\n",
                good.replace("127.0.0.1:", "127.0.0.1:9")
            ),
        );
        private(
            path("my.cnf").as_ref(),
            format!(
                "[client]\nuser={user}\npassword={secret}\nhost=127.0.0.1\nport={}\n",
                db.server.port
            ),
        );
        private(path("p").as_ref(), secret);
        // The driver panics on it.
        let fake = fake::serve(|mut session| session.send(b"\x0anot a version\0"));
        let panicking = format!("mysql://me:{secret}@127.0.0.1:{fake}/");
        let wrong = good.replace(&format!("{user}:"), "nobody:");
        let config = |name: &str| ["--config".to_owned(), path(name)];
        let defaults = ["--defaults-file".to_owned(), path("my.cnf")];
        let url = |url: &str| ["--db-url".to_owned(), url.to_owned()];
        let silent: &[([String; 2], &[&str], i32)] = &[
            (config("x.toml"), &["SELECT 1"], 0),
            (config("x.toml"), &["--dump-config", "SELECT 1"], 0),
            (defaults.clone(), &["SELECT 1"], 0),
            (defaults.clone(), &["--dump-config", "SELECT 1"], 0),
            (
                ["--password-file".to_owned(), path("p")],
                &["--host", "localhost", "--dump-config", "SELECT 1"],
                0,
            ),
            (url(&good), &["SELECT 1"], 0),
            (url(&good), &["--dump-config", "SELECT 1"], 0),
            (url(&good), &["SELECT 1 WHERE 1 = 0"], 1),
            (url(&good), &["SELECT 1", "SELECT 2"], 2),
            (url(&good), &["--pretty", "SELECT 1"], 2),
            (url(&good), &["--host", "localhost", "SELECT 1"], 2),
            (
                url(&good.replace("127.0.0.1", "db.example")),
                &["SELECT 1"],
                3,
            ),
            (url(&good.replace("mysql:", "postgres:")), &["SELECT 1"], 2),
            (url(&good.replace('@', "#@")), &["SELECT 1"], 2),
            (config("broken.toml"), &["SELECT 1"], 2),
            (config("typo.toml"), &["SELECT 1"], 2),
            (config("port.toml"), &["SELECT 1"], 2),
            (
                ["--password-env".to_owned(), secret.to_owned()],
                &["--host", "127.0.0.1", "SELECT 1"],
                2,
            ),
            (
                ["--password-env".to_owned(), secret.to_owned()],
                &["--host", "127.0.0.1", "--dump-config", "SELECT 1"],
                0,
            ),
            (["--host".to_owned(), good.clone()], &["SELECT 1"], 2),
            (
                ["--defaults-file".to_owned(), good.clone()],
                &["SELECT 1"],
                2,
            ),
            (
                ["--query".to_owned(), good.clone()],
                &["--host", "localhost", "--dump-config"],
                0,
            ),
            (defaults.clone(), &[&good], 4),
            (defaults.clone(), &["-o", &good, "SELECT 1"], 5),
            (url(&wrong), &["SELECT 1"], 3),
            (url(&panicking), &["SELECT 1"], 3),
            (url(&good), &["SELEKT 1"], 4),
            (url(&good), &["SELECT * FROM mysql.user"], 4),
            (url(&good), &["-o", "/nowhere/x.csv", "SELECT 1"], 5),
        ];
        for (login, args, code) in silent {
            let run = GoldDigger::new()
                .env("RUST_BACKTRACE", "full")
                .arg("-v")
                .args(login)
                .args(*args)
                .run();
            println!("{login:?} {args:?}");
            assert_eq!(run.status.code(), Some(*code), "{}", run.stderr);
            let shown = String::from_utf8_lossy(&run.stdout) + run.stderr.as_str();
            assert!(!shown.contains(secret), "{shown}");
        }
        conn.query_drop(format!("DROP USER {user}@'%'"))
            .expect("no user");
    });
}
