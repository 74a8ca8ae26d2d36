//! Settings: their sources, their precedence and their documentation.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use gold_digger::config::settings::{Kind, SETTINGS, Setting};
use serde_json::Value as Json;

use crate::{
    cli::documentation,
    support::{
        Database, GoldDigger, Outcome,
        certificates::{Authority, Validity},
        changing_certificates, each_server, file_names,
    },
};

/// Reads a file of this repository.
fn read_from_repository(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).expect("a file of the repository")
}

/// Returns what `--dump-config` has printed.
#[track_caller]
fn dumped_config(outcome: Outcome) -> Json {
    let outcome = outcome.ended(0, "");
    serde_json::from_slice(&outcome.stdout).expect("JSON")
}

/// Returns the cells of each row of the table that begins with the line `head`.
fn table<'a>(text: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let rows = text.lines().skip_while(|line| *line != head).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| row[1..row.len() - 1].split('|').map(str::trim).collect());
    let rows: Vec<_> = rows.collect();
    assert!(!rows.is_empty(), "no table {head}");
    rows
}

/// Removes the backticks around a code span.
fn without_backticks(cell: &str) -> &str {
    cell.trim_matches('`')
}

#[test]
fn the_precedence_table_of_the_documentation_holds() {
    let text = read_from_repository("docs/configuration.md");
    let head = "| flags | environment | configuration file | option file | what holds |";
    for row in table(&text, head) {
        let [flags, environment, toml, options, holds] = row[..] else {
            panic!("five cells: {row:?}");
        };
        println!("{row:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let mut run = GoldDigger::new().arg("--dump-config").arg("SELECT 1");
        run = run.args(without_backticks(flags).split_whitespace());
        if let Some((name, value)) = without_backticks(environment).split_once('=') {
            run = run.env(name, value);
        }
        let (config, option_file) = (folder.path().join("x.toml"), folder.path().join("my.cnf"));
        fs::write(&config, without_backticks(toml).replace("; ", "\n")).expect("a file");
        fs::write(&option_file, without_backticks(options).replace("; ", "\n")).expect("a file");
        run = run
            .arg("--config")
            .arg(&config)
            .arg("--defaults-file")
            .arg(&option_file);
        let dump = dumped_config(run.run());
        for fact in holds.split("`, `") {
            let [name, value, origin] =
                without_backticks(fact).splitn(3, ' ').collect::<Vec<_>>()[..]
            else {
                panic!("three words: {fact}");
            };
            let (section, key) = name.split_once('.').expect("section.key");
            let entry = &dump[section][key];
            let mut found = entry["value"].to_string();
            let here = format!("{}/", folder.path().display());
            found = found.replace(&here, "");
            assert_eq!(found, value, "{name}");
            let found = entry["origin"].as_str().expect("an origin");
            let is_expected = match origin.split_once(':') {
                Some(("file", line)) => found == format!("{}:{line}", config.display()),
                _ if origin == "option file" => {
                    found.starts_with(&format!("{}:", option_file.display()))
                }
                _ => found == origin || found.starts_with(&format!("{origin} ")),
            };
            assert!(is_expected, "{name} from {found}, not {origin}");
        }
    }
}

#[test]
fn the_documentation_lists_every_setting() {
    let text = read_from_repository("docs/configuration.md");
    let code = |text: Option<&str>| text.map(|text| format!("`{text}`")).unwrap_or_default();
    let row = |setting: &Setting| {
        let flag = setting.flag.map(|flag| match setting.kind {
            Kind::Switch => format!("--{flag}"),
            _ => format!("--{flag} {}", setting.placeholder),
        });
        let mut flags: Vec<String> = setting
            .short
            .map(|short| format!("`-{short}`"))
            .into_iter()
            .collect();
        if setting.name == "query.sql" {
            flags.insert(0, "`SQL`".to_owned());
        }
        flags.extend(flag.map(|flag| format!("`{flag}`")));
        let aliases = setting.aliases.iter();
        flags.extend(aliases.map(|(flag, _)| format!("`--{flag}`")));
        format!(
            "| {} | {} | {} | {} | {} | {} |",
            code(setting.section().map(|_| setting.name)),
            flags.join(", "),
            code(setting.variable.or(setting.client_variable)),
            code(setting.option),
            code(setting.default.filter(|default| !default.is_empty())),
            setting.help
        )
    };
    let head = "| key | flag | environment | option file | default | meaning |\n|---|---|---|---|---|---|\n";
    let rows: Vec<String> = SETTINGS.iter().copied().map(row).collect();
    let wanted = format!("{head}{}\n\n", rows.join("\n"));
    assert!(
        text.contains(&wanted),
        "docs/configuration.md should have:\n{wanted}"
    );
    // Flags that are no settings are documented, too.
    let help = GoldDigger::new().arg("--help").run().ended(0, "");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    for word in help
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
    {
        let flag: &str = word
            .split(['[', ']', '=', ',', '.', ')'])
            .next()
            .expect("a flag");
        assert!(text.contains(flag), "{flag} is not documented");
    }
}

#[test]
fn the_reference_has_every_key_and_each_line_loads_alone() {
    let text = read_from_repository("config/reference.toml");
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("x.toml");
    let load = |text: &str| {
        fs::write(&config, text).expect("a file");
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://me@localhost/db");
        dumped_config(
            run.args(["--dump-config", "--config"])
                .arg(&config)
                .args(["SELECT 1"])
                .run(),
        )
    };
    let whole = load(&text);
    let mut section = "";
    let mut named = Vec::new();
    for line in text.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
        }
        let Some((key, _)) = line.trim_start_matches('#').split_once(" = ") else {
            continue;
        };
        if key.contains(' ') {
            continue;
        }
        let name = format!("{section}.{key}");
        let setting = Setting::named(&name).unwrap_or_else(|| panic!("there is no {name}"));
        let alone = load(&format!("[{section}]\n{}\n", line.trim_start_matches('#')));
        if !line.starts_with('#') {
            // A line that is not commented out has the default value.
            assert_eq!(whole[section][key]["value"], alone[section][key]["value"]);
            let default = setting
                .default
                .unwrap_or_else(|| panic!("{name} has no default"));
            let found = &alone[section][key]["value"];
            assert_eq!(
                found.as_str().map_or(found.to_string(), str::to_owned),
                default,
                "{name}"
            );
        }
        named.push(name);
    }
    for setting in SETTINGS
        .iter()
        .filter(|setting| setting.section().is_some())
    {
        assert!(
            named.iter().any(|name| name == setting.name),
            "{} is missing",
            setting.name
        );
    }
}

/// Copies of the example configurations whose paths lead into a temporary folder.
struct Examples(tempfile::TempDir);

impl Examples {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Calls the program with a copy of the example `name`.
    fn run(&self, name: &str) -> GoldDigger {
        let path = self.path(name);
        let folder = self.0.path().display().to_string();
        let text = read_from_repository(&format!("config/{name}"));
        fs::write(&path, text.replace("/var/lib/gold_digger", &folder)).expect("a copy");
        GoldDigger::new().arg("--config").arg(path)
    }
}

/// Runs `test` on each server with the data and the certificates of the examples.
fn each_server_with_shop(test: impl Fn(&Database, &Examples)) {
    let _changing = changing_certificates();
    let ca = Authority::new("the CA");
    let identity = ca.certify(&["127.0.0.1"], Validity::Current);
    each_server(|db| {
        db.server.use_certificate(&identity, &ca.pem);
        documentation::create_shop(db);
        let examples = Examples::new();
        fs::write(examples.path("ca.pem"), &ca.pem).expect("a file");
        test(db, &examples);
    });
}

const ORDERS: &str = "SELECT id, price AS total FROM orders ORDER BY id";

#[test]
fn the_nightly_example_works() {
    each_server_with_shop(|db, examples| {
        let nightly = || examples.run("nightly.toml").env("DATABASE_URL", db.url());
        nightly().run().wrote("");
        let entries = fs::read_dir(examples.0.path()).expect("the folder");
        let month = entries
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.is_dir());
        let month = month.expect("the month");
        let files = file_names(&month);
        for (name, wanted) in [
            (
                "orders-20",
                "id,customer_id,article,amount,price,ordered_at\n1,2,000123,2,9.90,",
            ),
            (
                "customers-20",
                "[\n{\"id\":1,\"name\":\"Ann\",\"city\":\"Oslo\"},\n",
            ),
            ("turnover-20", "\u{feff}city;orders;total\n;2;19.90\n"),
        ] {
            let file = files
                .iter()
                .find(|file| file.starts_with(name))
                .expect(name);
            assert!(files.contains(&format!("{file}.manifest.json")));
            let written = fs::read_to_string(month.join(file)).expect("the output");
            assert!(written.starts_with(wanted), "{written}");
            let verify = GoldDigger::new().arg("verify").arg(month.join(file));
            verify.run().ended(0, "");
        }
        // One export can go to standard output although its settings keep old files.
        let args = ["--job", "turnover", "-o", "-", "--format", "csv"];
        let run = nightly().args(args).run();
        run.wrote("\u{feff}city;orders;total\n;2;19.90\n");
        // A query on the command line replaces the list of exports.
        nightly().arg("SELECT 1 AS a").run().wrote("a\n1\n");
    });
}

#[test]
fn the_adhoc_example_works() {
    each_server_with_shop(|db, examples| {
        let adhoc = || examples.run("adhoc.toml").env("DATABASE_URL", db.url());
        let rows = "id\ttotal\n1\t9.90\n2\t0.10\n";
        adhoc().arg(ORDERS).run().wrote(rows);
        adhoc()
            .args(["--format", "csv", ORDERS])
            .run()
            .wrote("\u{feff}id,total\r\n1,9.90\r\n2,0.10\r\n");
        let dump = examples.run("adhoc.toml").arg("--dump-config").run();
        assert_eq!(dumped_config(dump)["query"]["sql"]["value"], Json::Null);

        // Paths in a URL of a file are relative to that file, too.
        let by_url = examples.path("url.toml");
        let text = format!("[connection]\nurl = '{}?ssl-ca=ca.pem'\n", db.url());
        fs::write(&by_url, text).expect("a file");
        fs::set_permissions(&by_url, Permissions::from_mode(0o600)).expect("my file");
        let run = GoldDigger::new().arg("--config").arg(&by_url);
        run.arg(ORDERS).run().wrote(rows);
    });
}

#[test]
fn the_container_example_works() {
    each_server_with_shop(|db, examples| {
        let out = examples.path("x.json");
        let container = || {
            examples
                .run("container.toml")
                .env("DATABASE_QUERY", ORDERS)
                .env("OUTPUT_FILE", &out)
        };
        let shown = dumped_config(container().arg("--dump-config").run());
        assert_eq!(shown["connection"]["host"]["value"], "db");
        assert_eq!(shown["connection"]["password"]["value"], "***");
        assert_eq!(shown["output"]["format"]["value"], "json");
        container().env("DATABASE_URL", db.url()).run().wrote("");
        let written = fs::read_to_string(&out).expect("the output");
        assert_eq!(
            written,
            "[\n{\"id\":1,\"total\":9.90},\n{\"id\":2,\"total\":0.10}\n]\n"
        );
    });
}

#[test]
fn the_configuration_file_sets_up_the_session() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("x.toml");
        fs::write(
            &config,
            "[session]\n\
             init = [\n\"SET @a = 'ä'\", # a list of several lines\n\"SET character_set_client = latin1, character_set_results = latin1\",\n'SET time_zone = \"+05:00\"'\n]\n\
             time_zone = '+02:00'\nstatement_timeout = '90m'\n\
             [query]\nparams = { day = '2026-11-21', unused = 1, n = 7 }\n",
        )
        .expect("a file");
        let new = || {
            GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .arg("--config")
                .arg(&config)
        };
        new()
            .arg("SELECT @a AS a, @@time_zone AS zone, :day AS day, :n AS n")
            .run()
            .wrote("a\tzone\tday\tn\nä\t+02:00\t2026-11-21\t7\n");
        // Parameters of a higher layer replace those of the file one by one.
        new()
            .args(["--param", "n=8", "SELECT :n AS n, :day AS day"])
            .run()
            .wrote("n\tday\n8\t2026-11-21\n");
        let limit = "SELECT @@max_statement_time * 1000";
        let sql = if db.is_mariadb() {
            limit
        } else {
            "SELECT @@max_execution_time"
        };
        let out = new()
            .args(["--header=false", sql])
            .run()
            .ended(0, "")
            .stdout;
        let limit: f64 = String::from_utf8(out)
            .expect("UTF-8")
            .trim()
            .parse()
            .expect("a number");
        assert_eq!(limit, 5_400_000.0);
        new()
            .args(["--init", "CREATE TABLE t (a INT)", "SELECT 1"])
            .run()
            .failed(4, &["the init statement", "--read-write"]);
        new()
            .args(["--statement-timeout", "200ms", "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, information_schema.columns c"])
            .run()
            .failed(4, &["--statement-timeout allows it more time"]);
    });
}

#[test]
fn placeholders_are_replaced_in_the_target_and_create_dirs_makes_its_folders() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("{database}/{date:%Y}/x{{1}}.csv");
        let new = || {
            GoldDigger::new()
                .env("DATABASE_URL", db.url())
                .env("TZ", "UTC")
                .arg("-o")
                .arg(&target)
                .arg("SELECT 1 AS a")
        };
        new().run().failed(5, &["No such file", "--create-dirs"]);
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
        new().arg("--create-dirs").run().wrote("");
        new().arg("--create-dirs").run().wrote("");
        let year = fs::read_dir(folder.path().join(&db.name))
            .expect("the folder")
            .next();
        let year = year.expect("a folder").expect("a folder").path();
        let name = year.file_name().expect("a name").to_str().expect("UTF-8");
        assert!(name.len() == 4 && name.starts_with("20"), "{name}");
        assert_eq!(
            fs::read_to_string(year.join("x{1}.csv")).expect("the file"),
            "a\n1\n"
        );
        // Several runs may create the folders at the same time. Braces in the path
        // of the configuration file's folder are no placeholders.
        let deep = folder.path().join("br{a}ce");
        fs::create_dir(&deep).expect("a folder");
        fs::write(
            deep.join("x.toml"),
            "[output]\npath = 'a/b/c/d/{database}.csv'\ncreate_dirs = true\n",
        )
        .expect("a file");
        let run = || {
            db.export("SELECT 1 AS a")
                .arg("--config")
                .arg(deep.join("x.toml"))
        };
        let running: Vec<_> = (0..8).map(|_| run().start()).collect();
        running
            .into_iter()
            .for_each(|run| drop(run.wait().ended(0, "")));
        let written = fs::read_to_string(deep.join(format!("a/b/c/d/{}.csv", db.name)));
        assert_eq!(written.expect("the file"), "a\n1\n");
        // A file in the place of a folder is an error.
        fs::write(folder.path().join("file"), "").expect("a file");
        GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .args(["--create-dirs", "-o"])
            .arg(folder.path().join("file/x.csv"))
            .arg("SELECT 1 AS a")
            .run()
            .failed(5, &["file/x.csv"]);
    });
}
