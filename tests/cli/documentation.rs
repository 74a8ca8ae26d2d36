//! Runs the commands of the documentation's pages for crontabs and containers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value as Json;

use crate::support::{
    Database, GoldDigger, certificates::Identity, changing_certificates, each_server,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gold_digger");

/// Returns the code blocks in `language` of a page.
fn examples(page: &str, language: &str) -> Vec<String> {
    let path = in_repository("docs").join(page);
    let text = fs::read_to_string(path).expect("a page");
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .map(|block| block.split("```").next().expect("a block").to_owned())
        .collect()
}

/// The system folders that the documentation names.
const FOLDERS: [&str; 5] = [
    "/etc/gold_digger",
    "/var/lib/gold_digger",
    "/run/lock",
    "/run/secrets",
    "/data",
];

/// Runs `command` in a shell as cron does: with a minimal environment and without
/// a terminal. The system folders are replaced by folders below `folder`.
fn run_like_cron(db: &Database, folder: &Path, command: &str) -> std::process::Output {
    let path = Path::new(PROGRAM).parent().expect("a folder").display();
    let command = FOLDERS.iter().fold(command.to_owned(), |command, name| {
        command.replace(name, &format!("{}{name}", folder.display()))
    });
    let command = command.replace(
        " config/",
        &format!(" {}/config/", env!("CARGO_MANIFEST_DIR")),
    );
    Command::new("setsid")
        .args(["--wait", "/bin/sh", "-euc", &command])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("LOGNAME", "me")
        .env("SHELL", "/bin/sh")
        .env("PATH", format!("{path}:/usr/bin:/bin"))
        .env("READER_PASSWORD", &db.server.password)
        .output()
        .expect("a shell")
}

/// Creates the tables that the nightly example exports.
pub fn create_shop(db: &Database) {
    db.sql("CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(40), city VARCHAR(40))");
    db.sql("INSERT INTO customers VALUES (1, 'Ann', 'Oslo'), (2, 'Łucja', NULL)");
    db.sql(
        "CREATE TABLE orders (id INT PRIMARY KEY, customer_id INT, article CHAR(6),
         amount INT, price DECIMAL(9,2), ordered_at DATETIME)",
    );
    db.sql(
        "INSERT INTO orders VALUES (1, 2, '000123', 2, 9.90, UTC_DATE() - INTERVAL 1 HOUR),
         (2, 2, '7', 1, 0.10, '2001-01-01')",
    );
}

/// Changes the copied example so that it connects to the server of `db`.
fn adapt_nightly_example(db: &Database, folder: &Path) {
    let config = folder.join("etc/gold_digger/nightly.toml");
    let text = fs::read_to_string(&config).expect("the example");
    let data = format!("{}/var/lib/gold_digger", folder.display());
    let address = format!("host = \"127.0.0.1\"\nport = {}", db.server.port);
    let text = text
        .replace("/var/lib/gold_digger", &data)
        .replace("host = \"localhost\"", &address)
        .replace("\"reader\"", "\"root\"")
        .replace("\"shop\"", &format!("\"{}\"", db.name));
    fs::write(&config, text).expect("a file");
}

#[test]
fn the_documented_crontab_works_silently() {
    each_server(|db| {
        create_shop(db);
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("run/lock")).expect("a folder");
        let mut commands = examples("cron.md", "sh");
        let crontab = examples("cron.md", "crontab").concat();
        let job = crontab
            .trim()
            .splitn(6, ' ')
            .last()
            .expect("a command")
            .to_owned();
        commands.insert(2, job);
        for command in commands {
            println!("{command}");
            let output = run_like_cron(db, folder.path(), &command);
            let shown = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{shown}");
            if command.contains("install -m 600") {
                adapt_nightly_example(db, folder.path());
            }
            // Checks, verifications and the handling of failures print something.
            let may_print = ["||", "--check", "jq -r", "verify"];
            if !may_print.iter().any(|word| command.contains(word)) {
                assert_eq!((shown, output.stdout), ("".into(), Vec::new()));
            }
        }
        let summary = folder.path().join("var/lib/gold_digger/nightly.json");
        let summary: Json =
            serde_json::from_slice(&fs::read(summary).expect("the summary")).expect("JSON");
        assert_eq!(summary["rows"], 4);
        let target = summary["exports"][0]["target"].as_str().expect("a path");
        let written = fs::read_to_string(target).expect("the file");
        assert_eq!(written.lines().count(), 2);
    });
}

/// Returns a file of this repository.
fn in_repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The folders and the files of the page about containers.
struct Container(tempfile::TempDir);

impl Container {
    /// Makes the folders, the settings and, as the page does, the certificates,
    /// which the server of `db` then uses.
    fn new(db: &Database) -> Self {
        let container = Self(tempfile::tempdir().expect("a folder"));
        for name in FOLDERS {
            fs::create_dir_all(container.path(name)).expect("a folder");
        }
        let settings = fs::read_to_string(in_repository("config/container.toml"));
        let settings = settings.expect("the example").replace(
            "/run/secrets",
            &container.path("/run/secrets").display().to_string(),
        );
        let copy = container.path("/etc/gold_digger/container.toml");
        fs::write(copy, settings).expect("a file");
        let script = Command::new(in_repository("config/compose/certificates.sh"))
            .current_dir(container.0.path())
            .status();
        assert!(script.expect("sh").success());
        let certificate = |name: &str| {
            let path = container.path("certificates").join(name);
            fs::read_to_string(path).expect("a certificate")
        };
        let identity = Identity {
            certificate: certificate("server.pem"),
            key: certificate("server-key.pem"),
        };
        let ca = certificate("ca.pem");
        db.server.use_certificate(&identity, &ca);
        fs::write(container.path("/etc/gold_digger/ca.pem"), ca).expect("a file");
        container
    }

    /// Returns the path that replaces `name`, a path in the container.
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name.trim_start_matches('/'))
    }
}

fn create_orders(db: &Database) {
    let sample = fs::read_to_string(in_repository("config/compose/orders.sql"));
    db.sql(&sample.expect("the sample"));
}

#[test]
fn the_documented_container_commands_work() {
    let _changing = changing_certificates();
    each_server(|db| {
        create_orders(db);
        let container = Container::new(db);
        for command in examples("containers.md", "sh") {
            // The URL replaces the server's address in the example.
            let command = format!("export DATABASE_URL='{}'\n{command}", db.url());
            let output = run_like_cron(db, container.0.path(), &command);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let written = fs::read(container.path("/data/orders.json")).expect("the output");
        let rows: Vec<Json> = serde_json::from_slice(&written).expect("JSON");
        assert_eq!((rows.len(), &rows[2]["customer"]), (1000, &Json::Null));
        assert!(container.path("/data/summary.json").exists());
    });
}

#[test]
fn the_commands_of_the_compose_file_work() {
    let _changing = changing_certificates();
    each_server(|db| {
        create_orders(db);
        let container = Container::new(db);
        let password = container.path("/run/secrets/db_password");
        fs::write(password, &db.server.password).expect("a file");
        let compose = fs::read_to_string(in_repository("docker-compose.yml")).expect("the file");
        let commands = compose
            .lines()
            .filter_map(|line| line.trim().strip_prefix("command: "));
        let commands: Vec<Vec<String>> = commands
            .filter(|list| !list.starts_with('*'))
            .map(|list| serde_json::from_str(list).expect("a list"))
            .collect();
        assert_eq!(commands.len(), 2);
        for arguments in commands {
            let port = db.server.port.to_string();
            let outcome = GoldDigger::new()
                .args(arguments.iter().map(|argument| match argument.as_str() {
                    "mariadb" | "mysql" => "127.0.0.1".to_owned(),
                    path if path.starts_with('/') => container.path(path).display().to_string(),
                    other => other.to_owned(),
                }))
                .args(["--port", &port, "--user", "root", "--database", &db.name])
                .run();
            // Others can read the password file of this test, so there is a warning.
            assert_eq!(outcome.status.code(), Some(0), "{}", outcome.stderr);
            let target = arguments
                .iter()
                .find(|argument| argument.ends_with(".csv"))
                .expect("a target");
            let written = fs::read_to_string(container.path(target)).expect("the output");
            assert_eq!(written.lines().count(), 1001);
            assert!(
                written.starts_with(
                    "id,customer,total,ordered_at\n1,Łucja,0.07,2026-01-01 00:01:00\n"
                ),
                "{written:.200}"
            );
        }
    });
}
