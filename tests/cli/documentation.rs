//! The commands of the pages for crontabs and containers, run as they stand.

use std::{fs, path::Path, process::Command};

use serde_json::Value as Json;

use crate::support::{
    Database, GoldDigger, certificates::Identity, changing_certificates, each_server,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_gold_digger");

/// The blocks of a page's examples in `language`.
fn examples(page: &str, language: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(page);
    let text = fs::read_to_string(page).expect("a page");
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks
        .map(|block| block.split("```").next().expect("a block").to_owned())
        .collect()
}

/// The system's folders that the documentation names.
const PLACES: [&str; 5] = [
    "/etc/gold_digger",
    "/var/lib/gold_digger",
    "/run/lock",
    "/run/secrets",
    "/data",
];

/// A shell with hardly any environment and no terminal, as cron's, with the
/// documentation's folders below `folder`.
fn in_the_dark(db: &Database, folder: &Path, command: &str) -> std::process::Output {
    let path = Path::new(PROGRAM).parent().expect("a folder").display();
    let command = PLACES.iter().fold(command.to_owned(), |command, place| {
        command.replace(place, &format!("{}{place}", folder.display()))
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

/// What the nightly example exports.
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

#[test]
fn the_crontab_lines_of_the_documentation_work_and_are_silent() {
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
            let output = in_the_dark(db, folder.path(), &command);
            let shown = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{shown}");
            if command.contains("install -m 600") {
                // The example's own settings, but for where the server is.
                let config = folder.path().join("etc/gold_digger/nightly.toml");
                let text = fs::read_to_string(&config).expect("the example");
                let here = format!("{}/var/lib/gold_digger", folder.path().display());
                let text = text
                    .replace("/var/lib/gold_digger", &here)
                    .replace(
                        "host = \"localhost\"",
                        &format!("host = \"127.0.0.1\"\nport = {}", db.server.port),
                    )
                    .replace("\"reader\"", "\"root\"")
                    .replace("\"shop\"", &format!("\"{}\"", db.name));
                fs::write(&config, text).expect("a file");
            }
            // An empty night is told, as everything is that is no success.
            let is_told = ["||", "--check", "jq -r", "verify"];
            if !is_told.iter().any(|told| command.contains(told)) {
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

#[test]
fn the_commands_for_containers_work() {
    let _changing = changing_certificates();
    each_server(|db| {
        db.sql(
            &fs::read_to_string(
                Path::new(env!("CARGO_MANIFEST_DIR")).join("config/compose/orders.sql"),
            )
            .expect("the sample"),
        );
        let folder = tempfile::tempdir().expect("a folder");
        let place = |name: &str| folder.path().join(name.trim_start_matches('/'));
        for name in PLACES {
            fs::create_dir_all(place(name)).expect("a folder");
        }
        let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/container.toml");
        let settings = fs::read_to_string(settings).expect("the example");
        let settings =
            settings.replace("/run/secrets", &place("/run/secrets").display().to_string());
        fs::write(place("/etc/gold_digger/container.toml"), settings).expect("a file");
        // The certificates that the page has made.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/compose/certificates.sh");
        let made = Command::new(script).current_dir(folder.path()).status();
        assert!(made.expect("sh").success());
        let certificate = |name: &str| {
            fs::read_to_string(place("certificates").join(name)).expect("a certificate")
        };
        let identity = Identity {
            certificate: certificate("server.pem"),
            key: certificate("server-key.pem"),
        };
        db.server.use_certificate(&identity, &certificate("ca.pem"));
        fs::write(place("/etc/gold_digger/ca.pem"), certificate("ca.pem")).expect("a file");
        for command in examples("containers.md", "sh") {
            // In the place of the server's address in the example.
            let command = format!("export DATABASE_URL='{}'\n{command}", db.url());
            let output = in_the_dark(db, folder.path(), &command);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        let written = fs::read(place("/data/orders.json")).expect("the output");
        let rows: Vec<Json> = serde_json::from_slice(&written).expect("JSON");
        assert_eq!((rows.len(), &rows[2]["customer"]), (1000, &Json::Null));
        assert!(place("/data/summary.json").exists());

        // The services of docker-compose.yml, with the server's own address.
        fs::write(place("/run/secrets/db_password"), &db.server.password).expect("a file");
        let compose = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker-compose.yml");
        let compose = fs::read_to_string(compose).expect("the file");
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
                    path if path.starts_with('/') => place(path).display().to_string(),
                    other => other.to_owned(),
                }))
                .args(["--port", &port, "--user", "root", "--database", &db.name])
                .run();
            // The password file of this test is no secret of Docker's.
            assert_eq!(outcome.status.code(), Some(0), "{}", outcome.stderr);
            let target = arguments
                .iter()
                .find(|argument| argument.ends_with(".csv"))
                .expect("a target");
            let written = fs::read_to_string(place(target)).expect("the output");
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
