//! Passwords: their sources, which include MySQL's option files, and the outputs
//! in which they must never appear.

use std::{
    ffi::OsString,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

use gold_digger::{
    cli::args::Args,
    config::{self, Interaction},
};
use mysql::prelude::Queryable;

use crate::support::{Database, GoldDigger, at_terminal, each_server, fake};

/// Writes a file that only its owner can read.
fn write_private(path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
    let path = path.as_ref();
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, Permissions::from_mode(0o600)).expect("my file");
}

/// Returns the text of an option file with the login of root.
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
fn an_existing_my_cnf_is_enough_to_log_in() {
    each_server(|db| {
        let home = tempfile::tempdir().expect("a folder");
        write_private(home.path().join(".my.cnf"), option_file(db));
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
        // The vendor's client can log in with the same file.
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
fn option_files_are_read_as_mysql_documents_them() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("d")).expect("a folder");
        write_private(
            path("main.cnf"),
            format!(
                "\u{feff}; a comment\n\n[mysqld]\nport = sql\nuser=nobody\n[client]\n\
             !include {0}/included.cnf\n!include {0}/missing.cnf\n!includedir {0}/d\n\
             [client-mariadb]\nunknown-option\n! include {0}/missing.cnf\nunknown_too = 5\nssl-mode=PREFERRED\nloose_database = 'my\\sql' # said 'twice'\n\
             database = mysql\n[gold_digger]\nhost = 127.0.0.1\nport={1}\nskip-ssl\n",
                folder.path().display(),
                db.server.port,
            ),
        );
        write_private(
            path("included.cnf"),
            "[client]\nuser = wrong\nhost=10.1.2.3\n",
        );
        write_private(path("d/2.cnf"), "[client]\nuser = root\n");
        write_private(path("d/1.cnf"), "[client]\nuser = wrong\n");
        write_private(path("d/3.conf"), "[client]\nuser = wrong\n");
        write_private(path("password"), format!("{}\r\n", db.server.password));
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
        // A file that everyone can write to is not trusted.
        fs::set_permissions(path("main.cnf"), Permissions::from_mode(0o666)).expect("my file");
        let parts = ["everyone can write to it", "no server is named"];
        new()
            .arg("SELECT 1")
            .run()
            .failed_with_any_length(2, &parts);
        let outcome = new().args(["--db-url", &db.url(), "SELECT 1 AS a"]).run();
        let warning = format!(
            "gold_digger: warning: the option file {} is ignored: everyone can write to it\n",
            path("main.cnf").display()
        );
        outcome.ended(0, &warning);
    });
}

#[test]
fn a_password_comes_from_a_file_or_a_variable() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        write_private(path("right"), &db.server.password);
        write_private(path("wrong"), "wrong\n");
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
        // The path is relative to the configuration file, and a password file
        // takes precedence over a variable.
        write_private(
            path("x.toml"),
            "[connection]\npassword_file = 'right'\npassword_env = 'SHOP_PASSWORD'\n",
        );
        let by_file = || {
            new()
                .env("SHOP_PASSWORD", "wrong")
                .arg("--config")
                .arg(path("x.toml"))
        };
        by_file().arg(sql).run().wrote("a\n1\n");
        // A URL of a higher layer replaces the password, even by none.
        let without = format!("mysql://root@127.0.0.1:{port}/");
        GoldDigger::new()
            .arg("--config")
            .arg(path("x.toml"))
            .args(["--db-url", &without, sql])
            .run()
            .failed(3, &["Access denied"]);
    });
}

#[test]
fn a_password_can_be_typed_at_the_terminal() {
    each_server(|db| {
        let port = db.server.port;
        let program = env!("CARGO_BIN_EXE_gold_digger");
        let login = format!("{program} --host 127.0.0.1 --port {port} --user root --ask-password");
        let prompt = format!("Password of root at 127.0.0.1:{port}: ");
        let shown = at_terminal(
            &format!("{login} 'SELECT 1 AS a'"),
            Some((&prompt, &format!("{}\n", db.server.password))),
        );
        let rows = format!("{prompt}\r\na\r\n-\r\n1\r\n(1 row)\r\n");
        assert!(shown.starts_with(&rows), "{shown:?}");
        assert!(!shown.contains(&db.server.password), "{shown:?}");
        // After Ctrl-C, the terminal echoes input again.
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
fn password_files_that_others_can_read_get_one_warning() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let open = |name: &str, text: &str| {
            fs::write(path(name), text).expect("a file");
            fs::set_permissions(path(name), Permissions::from_mode(0o644)).expect("my file");
        };
        let warning = |name: &str| {
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
        by_url().run().ended(0, &warning("url.toml"));
        by_url().arg("--quiet").run().ended(0, "");
        // A run that fails also prints the warning.
        let failed = by_url().args(["-o", "/nowhere/x"]).run();
        assert_eq!(failed.status.code(), Some(5));
        assert!(
            failed.stderr.starts_with(&warning("url.toml")),
            "{}",
            failed.stderr
        );

        open("my.cnf", &option_file(db));
        let by_options = GoldDigger::new().arg("--defaults-file").arg(path("my.cnf"));
        by_options.arg(sql).run().ended(0, &warning("my.cnf"));

        open("password", &db.server.password);
        open(
            "x.toml",
            &format!(
                "[connection]\nuser = 'root'\nsocket = '{}'\npassword_file = 'password'\n",
                db.server.socket.display()
            ),
        );
        let by_file = GoldDigger::new().arg("--config").arg(path("x.toml"));
        by_file.arg(sql).run().ended(0, &warning("password"));

        // A file without a password gets no warning.
        open("none.toml", "[output]\nallow_empty = true\n");
        db.export(sql)
            .arg("--config")
            .arg(path("none.toml"))
            .run()
            .wrote("a\n1\n");
    });
}

#[test]
fn debug_output_in_a_panic_has_no_password() {
    let secret = "s3cret-Of-Mine";
    let url = format!("mysql://me:{secret}@localhost/");
    let arguments = ["gold_digger", "--no-defaults", "--db-url", &url, "SELECT 1"];
    let args = Args::parse_arguments(arguments.iter().map(OsString::from)).expect("arguments");
    let shown = format!("{args:?}");
    let interaction = Interaction {
        ask: &|_| panic!("nobody is asked"),
        warn: &|_| (),
        stdout: config::StandardOutput::Stream,
    };
    let request = config::Request::Export;
    let task = config::resolve(args.layer, request, &args.reporting, &interaction);
    let task = format!("{:?}", task.expect("a task"));
    let panic = std::panic::catch_unwind(move || panic!("{shown} {task}"));
    let panic = panic.expect_err("it panicked");
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(
        text.contains("localhost") && !text.contains(secret),
        "{text}"
    );
}

const SECRET: &str = "s3cret-Of-Mine";

/// An account whose password is [`SECRET`], and files that contain it.
struct SecretAccount<'a> {
    db: &'a Database<'a>,
    user: String,
    folder: tempfile::TempDir,
}

impl<'a> SecretAccount<'a> {
    fn new(db: &'a Database) -> Self {
        let user = format!("u_{}", db.name);
        db.sql(&format!("CREATE USER {user}@'%' IDENTIFIED BY '{SECRET}'"));
        db.sql(&format!("GRANT SELECT ON {}.* TO {user}@'%'", db.name));
        let folder = tempfile::tempdir().expect("a folder");
        let account = Self { db, user, folder };
        let url = account.url();
        let other_port = url.replace("127.0.0.1:", "127.0.0.1:9");
        for (name, text) in [
            ("x.toml", format!("[connection]\nurl = '{url}'\n")),
            ("broken.toml", format!("[connection]\nurl = '{url}\n")),
            ("typo.toml", format!("[connection]\nurll = '{url}'\n")),
            ("port.toml", format!("[connection]\nurl = '{other_port}'\n")),
            (
                "my.cnf",
                format!(
                    "[client]\nuser={}\npassword={SECRET}\nhost=127.0.0.1\nport={}\n",
                    account.user, db.server.port
                ),
            ),
            ("p", SECRET.to_owned()),
        ] {
            write_private(account.path(name), text);
        }
        account
    }

    fn url(&self) -> String {
        format!(
            "mysql://{}:{SECRET}@127.0.0.1:{}/{}",
            self.user, self.db.server.port, self.db.name
        )
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs the program, asserts its exit code and that it prints no password.
    #[track_caller]
    fn assert_hidden(&self, args: &[&str], code: i32) {
        println!("{args:?}");
        let run = GoldDigger::new()
            .env("RUST_BACKTRACE", "full")
            .arg("-v")
            .args(args)
            .run();
        assert_eq!(run.status.code(), Some(code), "{}", run.stderr);
        let shown = String::from_utf8_lossy(&run.stdout) + run.stderr.as_str();
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

impl Drop for SecretAccount<'_> {
    fn drop(&mut self) {
        // No panic: the test may be panicking already.
        let drop_user = format!("DROP USER {}@'%'", self.user);
        let _ = self.db.connect().query_drop(drop_user);
    }
}

#[test]
fn a_password_in_files_is_never_printed() {
    each_server(|db| {
        let account = SecretAccount::new(db);
        let with_config = |name: &str, args: &[&str], code| {
            let config = account.path(name);
            account.assert_hidden(&[&["--config", &config], args].concat(), code);
        };
        with_config("x.toml", &["SELECT 1"], 0);
        with_config("x.toml", &["--dump-config", "SELECT 1"], 0);
        with_config("broken.toml", &["SELECT 1"], 2);
        with_config("typo.toml", &["SELECT 1"], 2);
        with_config("port.toml", &["SELECT 1"], 2);
        let with_option_file = |args: &[&str], code| {
            let file = account.path("my.cnf");
            account.assert_hidden(&[&["--defaults-file", &file], args].concat(), code);
        };
        let url = account.url();
        with_option_file(&["SELECT 1"], 0);
        with_option_file(&["--dump-config", "SELECT 1"], 0);
        with_option_file(&[&url], 2);
        with_option_file(&["-o", &url, "SELECT 1"], 2);
        let password_file = account.path("p");
        let args = ["--password-file", &password_file, "--host", "localhost"];
        account.assert_hidden(&[&args[..], &["--dump-config", "SELECT 1"]].concat(), 0);
    });
}

#[test]
fn a_password_in_a_url_is_never_printed() {
    each_server(|db| {
        let account = SecretAccount::new(db);
        let good = account.url();
        let with_url = |url: &str, args: &[&str], code| {
            account.assert_hidden(&[&["--db-url", url], args].concat(), code);
        };
        for (args, code) in [
            (&["SELECT 1"][..], 0),
            (&["--dump-config", "SELECT 1"], 0),
            (&["SELECT 1 WHERE 1 = 0"], 1),
            (&["SELECT 1", "SELECT 2"], 2),
            (&["--pretty", "SELECT 1"], 2),
            (&["--host", "localhost", "SELECT 1"], 2),
            (&["SELEKT 1"], 4),
            (&["SELECT * FROM mysql.user"], 4),
            (&["-o", "/nowhere/x.csv", "SELECT 1"], 5),
        ] {
            with_url(&good, args, code);
        }
        let unknown_user = good.replace(&format!("{}:", account.user), "nobody:");
        with_url(&unknown_user, &["SELECT 1"], 3);
        with_url(&good.replace("127.0.0.1", "db.example"), &["SELECT 1"], 3);
        with_url(&good.replace("mysql:", "postgres:"), &["SELECT 1"], 2);
        with_url(&good.replace('@', "#@"), &["SELECT 1"], 2);
        // The driver panics on this greeting.
        let fake = fake::serve(|mut session| session.send(b"\x0anot a version\0"));
        let panicking = format!("mysql://me:{SECRET}@127.0.0.1:{fake}/");
        with_url(&panicking, &["SELECT 1"], 3);
    });
}

#[test]
fn a_password_in_the_wrong_argument_is_never_printed() {
    each_server(|db| {
        let account = SecretAccount::new(db);
        let url = account.url();
        let by_variable = ["--password-env", SECRET, "--host", "127.0.0.1"];
        account.assert_hidden(&[&by_variable[..], &["SELECT 1"]].concat(), 2);
        let dump = ["--dump-config", "SELECT 1"];
        account.assert_hidden(&[&by_variable[..], &dump].concat(), 0);
        account.assert_hidden(&["--host", &url, "SELECT 1"], 2);
        account.assert_hidden(&["--defaults-file", &url, "SELECT 1"], 2);
        let as_query = ["--query", &url, "--host", "localhost", "--dump-config"];
        account.assert_hidden(&as_query, 2);
    });
}
