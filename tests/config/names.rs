//! Names of outputs: parameters in them, and the date that a run is for.

use std::fs;

use serde_json::Value as Json;

use crate::support::{Database, GoldDigger, file_names, on_a_server};

const ROWS: &str = "a\n1\n";

/// Runs in a folder of its own, with `config` as its configuration file if there is
/// one, and returns the names of the files that are left there.
#[track_caller]
fn files_of(db: &Database, config: &str, args: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let mut run = GoldDigger::new().env("DATABASE_URL", db.url());
    let path = folder.path().join("x.toml");
    if !config.is_empty() {
        fs::write(&path, config).expect("a file");
        run = run.arg("--config").arg(&path);
    }
    run.args(args.iter().map(|arg| arg.replace("OUT", &out)))
        .run()
        .wrote("");
    let mut names = file_names(folder.path());
    names.retain(|name| name != "x.toml");
    names
}

#[test]
fn parameters_are_parts_of_names() {
    on_a_server(|db| {
        let day = "--param=day=2020-01-03";
        let file = "[query]\nsql = 'SELECT 1 AS a'\nparams = { day = 'x y', n = 7 }\n[output]\npath = '{n}-{day}.csv'\n";
        let exports = "
            [[export]]
            name = 'a'
            sql = 'SELECT :shop AS a'
            params.shop = 1
            path = 'a-{shop}.csv'
            [[export]]
            name = 'b'
            sql = 'SELECT 1 AS a'
            path = 'b-{shop}.csv'
            params.shop = 'ü'";
        for (config, args, wanted) in [
            (
                "",
                &[
                    day,
                    "-o",
                    "OUT/x-{day}.csv",
                    "SELECT 1 AS a WHERE :day <> ''",
                ][..],
                &["x-2020-01-03.csv"][..],
            ),
            (
                "",
                &[day, "-o", "OUT/{day}{{}}.csv", "SELECT 1 AS a"],
                &["2020-01-03{}.csv"],
            ),
            (file, &[], &["7-x y.csv"]),
            (file, &["--param", "n=8"], &["8-x y.csv"]),
            (exports, &[], &["a-1.csv", "b-ü.csv"]),
            (exports, &["--param", "shop=9"], &["a-9.csv", "b-9.csv"]),
            (
                "",
                &["--param=x=[\"a\"]", "-o", "OUT/{x}.csv", "SELECT 1 AS a"],
                &["a.csv"],
            ),
        ] {
            assert_eq!(files_of(db, config, args), wanted, "{args:?}");
        }
    });
}

#[test]
fn values_that_are_no_parts_of_names_are_refused() {
    let hint = "placeholders are {date}, {time}, {timestamp}, {database}, {table}, {part}, the names of parameters, and strftime forms such as {date:%Y/%m}; a brace itself is {{ or }}";
    let with_hint = |what: &str| format!("--output {what}\n  hint: {hint}");
    #[rustfmt::skip]
    let cases = [
        ("a=x/y", "{a}.csv", with_hint("takes in {a} a value that holds a /")),
        ("a=..", "{a}", with_hint("takes in {a} a value that leads to another folder")),
        ("a=.", "{a}/x", with_hint("takes in {a} a value that leads to another folder")),
        ("a=", "x-{a}.csv", with_hint("takes in {a} an empty value")),
        ("a=x\ny", "x-{a}.csv", with_hint("takes in {a} a value that holds a control character")),
        ("a=x", "{b}.csv", with_hint("has the unknown placeholder {b}")),
        ("a=x", "{a:%Y}.csv", with_hint("has the unknown placeholder {a:%Y}")),
        ("a=[1, 2]", "{a}.csv", "--output takes in {a} a list, and a name has one value".to_owned()),
        ("a=1", "x.csv", "--param gives a a value, but the query has no :a\n  hint: names are compared to the letter; in quotes and comments they do not count".to_owned()),
    ];
    for (param, path, message) in cases {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://me@127.0.0.1:1/");
        let run = run
            .args(["--param", param, "-o", path, "SELECT 1 AS a"])
            .run();
        run.ended(2, &format!("gold_digger: {message}\n"));
    }
    // The path of a load statement is refused by its own key.
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("x.toml");
    let output = "path = 'x.tsv'\nfor = 'postgres'\nload_statement = '{a}.sql'";
    let query = "sql = 'SELECT 1 AS a'\nparams.a = [1, 2]";
    fs::write(&config, format!("[output]\n{output}\n[query]\n{query}\n")).expect("a file");
    let run = GoldDigger::new().env("DATABASE_URL", "mysql://me@127.0.0.1:1/");
    let run = run.arg("--config").arg(&config).run();
    let what = "[output] load_statement takes in {a} a list, and a name has one value";
    run.failed_with_any_length(2, &[what]);
}

#[test]
fn a_date_names_the_files_of_a_run_that_was_missed() {
    on_a_server(|db| {
        let sql = "SELECT 1 AS a";
        let file = "[query]\nsql = 'SELECT 1 AS a'\n[output]\npath = '{date}.csv'\n[run]\ndate = '2019-02-28'\n";
        for (config, args, wanted) in [
            (
                "",
                &[
                    "--date",
                    "2020-01-03",
                    "-o",
                    "OUT/{date}-{date:%j}.csv",
                    sql,
                ][..],
                "2020-01-03-003.csv",
            ),
            (
                "",
                &[
                    "--date",
                    "2020-01-03T04:05:06",
                    "-o",
                    "OUT/{date}-{time}-{timestamp}.csv",
                    sql,
                ],
                "2020-01-03-040506-20200103T040506.csv",
            ),
            (file, &[], "2019-02-28.csv"),
            (file, &["--date", "2020-02-29"], "2020-02-29.csv"),
        ] {
            assert_eq!(files_of(db, config, args), [wanted], "{args:?}");
        }
        // The manifest says what the name stands for. The date is the given one, also
        // where the local time zone has no such day or time.
        let folder = tempfile::tempdir().expect("a folder");
        for (zone, date, template, name, named_for) in [
            (
                "America/Sao_Paulo",
                "2017-10-15",
                "{date}",
                "2017-10-15",
                "2017-10-15T00:00:00",
            ),
            (
                "Pacific/Apia",
                "2011-12-30",
                "{date:%d-%b}",
                "30-Dec",
                "2011-12-30T00:00:00",
            ),
            (
                "UTC",
                "9999-12-31",
                "{date}",
                "9999-12-31",
                "9999-12-31T00:00:00",
            ),
            (
                "Europe/Berlin",
                "2026-03-29T02:30:00",
                "{timestamp}",
                "20260329T023000",
                "2026-03-29T02:30:00",
            ),
            (
                "Europe/Berlin",
                "2026-03-29T03:30:00",
                "{time:%H%z}",
                "03+0200",
                "2026-03-29T03:30:00+02:00[Europe/Berlin]",
            ),
            (
                "UTC",
                "9999-12-31T23:59:59",
                "{timestamp}",
                "99991231T235959",
                "9999-12-31T23:59:59",
            ),
        ] {
            let run = db.export(sql).env("TZ", zone).arg("-o");
            let run = run.arg(folder.path().join(format!("{template}.csv")));
            run.args(["--date", date, "--manifest"]).run().wrote("");
            let manifest = fs::read(folder.path().join(format!("{name}.csv.manifest.json")));
            let manifest: Json = serde_json::from_slice(&manifest.expect(name)).expect("JSON");
            assert_eq!(manifest["named_for"], named_for);
        }

        // A query's parameter is not the placeholder of its name, and a warning names
        // the export.
        let config = folder.path().join("x.toml");
        let text = "[[export]]\nname = 'e'\nsql = \"SELECT 1 AS a WHERE '1,2' IN (:time)\"\nparams.time = '1,2'\npath = '{time}.csv'\n";
        fs::write(&config, text).expect("a file");
        let run = GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .arg("--config")
            .arg(&config);
        let warnings = "gold_digger: warning: e: {time} in the output path is not the parameter time: rename one
gold_digger: warning: e: time holds a comma and is one value in IN (:time); a list is [1, 2] or [\"a\", \"b\"]\n";
        run.run().ended(0, warnings);
        let run = db
            .export("SELECT :date AS a")
            .args(["--param", "date=1", "-o"]);
        let run = run.arg(folder.path().join("x-{date}.csv")).run();
        run.ended(0, "gold_digger: warning: {date} in the output path is not the parameter date: rename one\n");
        assert_eq!(
            fs::read_to_string(folder.path().join("2017-10-15.csv")).expect("it"),
            ROWS
        );
    });
}

#[test]
fn dates_that_are_none_or_lead_nowhere_are_refused() {
    let wanted = "it is a date such as 2020-01-03, or 2020-01-03T04:05:06";
    let run = |date: &str, path: &str| {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://me@127.0.0.1:1/");
        run.args(["--date", date, "-o", path, "SELECT 1 AS a"])
            .run()
    };
    for date in [
        "2020-02-30",
        "2020-1-3",
        "20200103",
        "yesterday",
        "2020-01-03 04:05:06",
        "2020-01-03T04:05",
        "",
    ] {
        let message = format!("invalid value '{date}' for '--date <DATE>': {wanted}");
        let message = if date.is_empty() { wanted } else { &message };
        run(date, "{date}.csv").failed_with_any_length(2, &[message]);
    }
    let wrong = "--output has a wrong strftime form in {date:%!}";
    run("2020-01-03", "{date:%!}.csv").failed_with_any_length(2, &[wrong]);
    let time = "add it: 2020-01-03T04:05:06, or leave the placeholder out";
    for (path, what, hint) in [
        (
            "{date}-{time}.csv",
            "has no time of day, and the output path has {time}",
            time,
        ),
        (
            "{date:%H}.csv",
            "has no time of day, and the output path has {date:%H}",
            time,
        ),
        (
            "x.csv",
            "is for the output path, which has no {date}",
            "the query takes values by --param",
        ),
        (
            "-",
            "is for the output path, which has no {date}",
            "the query takes values by --param",
        ),
    ] {
        let message = format!("gold_digger: --date {what}\n  hint: {hint}\n");
        run("2020-01-03", path).ended(2, &message);
    }
}

/// Old files are those of the same parameters, and never of a later date.
#[test]
fn old_files_of_other_parameters_and_later_dates_stay() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let run = |shop: &str, date: &str| {
            let run = db
                .export("SELECT 1 AS a")
                .args(["--manifest", "--keep", "1"]);
            let run = run.args(["--param", shop, "--date", date, "-o"]);
            run.arg(folder.path().join("{shop}-{date}.csv"))
                .run()
                .wrote("");
        };
        for (shop, date) in [
            ("shop=1", "2020-01-02"),
            ("shop=2", "2020-01-03"),
            ("shop=1", "2020-01-01"),
            ("shop=2", "2020-01-04"),
        ] {
            run(shop, date);
        }
        let mut names = file_names(folder.path());
        names.retain(|name| name.ends_with("csv"));
        let wanted = ["1-2020-01-01.csv", "1-2020-01-02.csv", "2-2020-01-04.csv"];
        assert_eq!(names, wanted);
    });
}
