//! Paths below the home folder, and variables in the texts of the configuration file.

use std::{fs, path::Path};

use gold_digger::config::settings::{Kind, SETTINGS};
use serde_json::Value as Json;

use crate::support::{GoldDigger, file_names, on_a_server};

const SELECT: &str = "SELECT 1 AS a";

/// Runs with `text` as the configuration file and returns what `--dump-config` shows.
#[track_caller]
fn dump(folder: &Path, text: &str, run: impl Fn(GoldDigger) -> GoldDigger) -> Json {
    let config = folder.join("x.toml");
    fs::write(&config, text).expect("a file");
    let new = GoldDigger::new().arg("--config").arg(&config);
    let run = run(new.arg("--dump-config")).run().ended(0, "");
    serde_json::from_slice(&run.stdout).expect("JSON")
}

#[test]
fn every_path_can_be_in_the_home_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    // Braces in the home folder's name are no placeholders.
    let home = folder.path().join("h{o}me");
    fs::create_dir(&home).expect("a folder");
    fs::write(home.join("query.file"), SELECT).expect("a file");
    for name in ["config", "defaults_file"] {
        fs::write(home.join(name), "").expect("a file");
    }
    let paths = SETTINGS
        .iter()
        .filter(|setting| matches!(setting.kind, Kind::Path | Kind::Template));
    let mut count = 0;
    for setting in paths.filter(|setting| setting.name != "summary") {
        count += 1;
        let path = format!("~/{}", setting.name);
        let wanted = home.join(setting.name).display().to_string();
        // It is for tables only.
        let table = ["--table=t"].into_iter();
        let table = table.filter(|_| setting.name == "output.schema_file");
        let run = |args: &[String]| {
            let run = GoldDigger::new().env("HOME", &home).args(args);
            let run = run.args(table.clone());
            run.args(["--user", "me", "--format", "csv", "--dump-config"])
                .run()
                .ended(0, "")
        };
        let mut calls = vec![vec![format!("--{}={path}", setting.flag.expect("a flag"))]];
        if let Some(section) = setting.section() {
            let config = folder.path().join("x.toml");
            let text = format!("[{section}]\n{} = '{path}'\n", setting.key());
            fs::write(&config, text).expect("a file");
            calls.push(vec![format!("--config={}", config.display())]);
        }
        for args in calls {
            let shown = run(&args).stdout;
            let shown: Json = serde_json::from_slice(&shown).expect("JSON");
            let found = &shown[setting.section().unwrap_or("program")][setting.key()]["value"];
            assert_eq!(found, &Json::from(wanted.clone()), "{args:?}");
        }
    }
    assert!(count >= 11, "{count}");
    let run = GoldDigger::new()
        .env("HOME", &home)
        .env("OUTPUT_FILE", "~/{database}.csv");
    let run = run
        .args(["--database", "d", "--dump-config", SELECT])
        .run()
        .ended(0, "");
    let shown: Json = serde_json::from_slice(&run.stdout).expect("JSON");
    assert_eq!(
        shown["output"]["path"]["value"],
        home.join("d.csv").display().to_string()
    );
}

#[test]
fn rows_and_the_summary_are_written_below_the_home_folder() {
    on_a_server(|db| {
        let home = tempfile::tempdir().expect("a folder");
        let run = db.export(SELECT).env("HOME", home.path());
        run.args(["-o", "~/x.csv", "--summary", "~/s.json"])
            .run()
            .wrote("");
        assert_eq!(file_names(home.path()), ["s.json", "x.csv"]);
        // A name that only begins with ~ is a name.
        let run = db.export(SELECT).env("HOME", "/nonexistent");
        let folder = home.path().join("~x.csv");
        run.arg("-o").arg(&folder).run().wrote("");
        assert!(folder.exists());
    });
}

#[test]
fn other_home_folders_are_refused() {
    let login = ["--user", "me", SELECT];
    let hint = "only ~/ is your home folder; write ~NAME in full, or as ./~NAME";
    let run = GoldDigger::new().args(login).args(["-o", "~root/x.csv"]);
    run.run().failed_with_any_length(
        2,
        &[&format!(
            "invalid value '~root/x.csv' for '--output <FILE>': {hint}"
        )],
    );
    let run = GoldDigger::new()
        .args(login)
        .env("OUTPUT_FILE", "~root/x.csv");
    let message = format!("gold_digger: OUTPUT_FILE cannot be \"~root/x.csv\": {hint}\n");
    run.run().ended(2, &message);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("x.toml");
    fs::write(&config, "[query]\nfile = '~root/x.sql'\n").expect("a file");
    let message = format!(
        "gold_digger: {}:2:8: [query] file cannot be \"~root/x.sql\": {hint}: file = '~root/x.sql'\n",
        config.display()
    );
    let run = GoldDigger::new().arg("--config").arg(&config);
    run.run().ended(2, &message);
    let url = "mysql://me@localhost/?ssl-ca=~root/ca";
    let run = GoldDigger::new().env("DATABASE_URL", url).arg(SELECT).run();
    run.failed(2, &[&format!("DATABASE_URL has a wrong ssl-ca: {hint}")]);
}

#[test]
fn variables_are_replaced_in_the_texts_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let here = |name: &str| folder.path().join(name).display().to_string();
    let text = "
        [connection]
        host = '${HOST}.${ZONE}'
        port = '${PORT}'
        user = '$${U}$USER${EMPTY}'
        [output]
        path = '${DIR}/{database}-$${{x}}.csv'
        allow_empty = '${ON}'
        [guards]
        columns = ['${COLUMN}', 'b']
        [query]
        sql = 'SELECT \"${HOST}\", :a, 1 IN (:b)'
        params = { a = '${HOST}', b = ['${PORT}', 1] }";
    let with_variables = |run: GoldDigger| {
        run.env("HOST", "db")
            .env("ZONE", "example")
            .env("PORT", "3307")
            .env("EMPTY", "")
            .env("DIR", "a{b}")
            .env("ON", "true")
            .env("COLUMN", "c")
            .args(["--database", "d"])
    };
    let shown = dump(folder.path(), text, with_variables);
    for (section, key, value) in [
        ("connection", "host", "db.example".into()),
        ("connection", "port", 3307.into()),
        ("connection", "user", "${U}$USER".into()),
        ("output", "path", here("a{b}/d-${x}.csv").into()),
        ("output", "allow_empty", true.into()),
        ("guards", "columns", serde_json::json!(["c", "b"])),
        // SQL is sent as it is written.
        ("query", "sql", "SELECT \"${HOST}\", :a, 1 IN (:b)".into()),
        (
            "query",
            "params",
            serde_json::json!({"a": "db", "b": ["3307", "1"]}),
        ),
    ] {
        assert_eq!(shown[section][key]["value"], value, "{key}");
    }
    let url = "[connection]\nurl = 'mysql://u:${HIDDEN}@h/d'\n";
    let shown = dump(folder.path(), url, |run| {
        run.env("HIDDEN", "hushhush").arg(SELECT)
    });
    assert_eq!(shown["connection"]["password"]["value"], "***");
    assert!(!shown.to_string().contains("hushhush"), "{shown}");
}

#[test]
fn variables_that_are_not_set_are_named_with_their_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("x.toml");
    let hint = "${NAME} is an environment variable; $${ stands for ${ itself";
    let not_set = "which is not set, or not UTF-8";
    #[rustfmt::skip]
    let cases = [
        ("[output]\npath = 'a/${NOT_SET}.csv'\n", format!(":2:8: [output] path names the environment variable NOT_SET, {not_set}: path = 'a/${{NOT_SET}}.csv'\n  hint: {hint}")),
        ("[connection]\nhost = '${LATIN1}'\n", format!(":2:8: [connection] host names the environment variable LATIN1, {not_set}: host = '${{LATIN1}}'\n  hint: {hint}")),
        ("[connection]\nurl = 'mysql://u:${hushhush}@h/'\n", format!(":2:7: [connection] url names the environment variable ***, {not_set}: url = ***\n  hint: {hint}")),
        ("[query]\nparams.a = '${NOT_SET}'\n", format!(":2:8: [query] params names the environment variable NOT_SET, {not_set}: params.a = ***\n  hint: {hint}")),
        ("[json]\ncolumns = ['a', '${NOT_SET}']\n", format!(":2:17: [json] columns names the environment variable NOT_SET, {not_set}: columns = ['a', '${{NOT_SET}}']\n  hint: {hint}")),
        ("[csv]\nnull = '${'\n", format!(":2:8: [csv] null has a ${{ that begins no variable: null = '${{'\n  hint: {hint}")),
        ("[csv]\nnull = '${A:-b}'\n", format!(":2:8: [csv] null has a ${{ that begins no variable: null = '${{A:-b}}'\n  hint: {hint}")),
        // A variable's value is not shown: it may be a secret.
        ("[connection]\nport = '${HIDDEN}'\n", ":2:8: [connection] port cannot be \"${HIDDEN}\": it is a number from 1 to 65535: port = '${HIDDEN}'".to_owned()),
        ("[output]\nmanifest = '${HIDDEN}'\n", ":2:12: [output] manifest cannot be \"${HIDDEN}\": it is true or false: manifest = '${HIDDEN}'".to_owned()),
        ("[session]\ninit = '${HIDDEN}'\n", ":2:8: [session] init is a list of texts: [\"…\", \"…\"]: init = '${HIDDEN}'".to_owned()),
    ];
    let latin1 = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xe4");
    for (text, message) in cases {
        fs::write(&config, text).expect("a file");
        let run = GoldDigger::new()
            .env("HIDDEN", "hushhush")
            .env("LATIN1", latin1);
        let run = run
            .env_remove("NOT_SET")
            .arg("--config")
            .arg(&config)
            .arg(SELECT)
            .run();
        run.ended(2, &format!("gold_digger: {}{message}\n", config.display()));
    }
}

#[test]
fn paths_of_a_configuration_from_standard_input_are_in_the_current_folder() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = "[query]\nsql = 'SELECT 1 AS a'\n[output]\npath = 'x.csv'\n";
        let run = GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .current_dir(folder.path());
        let run = run.args(["--config", "/dev/stdin"]).stdin(config);
        run.run().ended(0, "");
        assert_eq!(file_names(folder.path()), ["x.csv"]);
    });
}
