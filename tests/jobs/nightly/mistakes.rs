//! Mistakes in lists of exports: each is reported before anything is touched.

use std::fs;

use super::ExportFile;
use crate::support::{GoldDigger, on_a_server};

const EXPORT_A: &str = "[[export]]\nname = 'a'\nsql = 'SELECT 1 AS a'\npath = 'a.csv'\n";
const EXPORT_B: &str = "[[export]]\nname = 'b'\nsql = 'SELECT 1 AS a'\n";

/// Asserts for each mistake (what follows [`EXPORT_A`] in the file, the arguments,
/// and parts of the message) that the run fails with exit code 2, that it shows no
/// password and that it writes no file.
#[track_caller]
fn assert_refused(mistakes: &[(&str, &[&str], &[&str])]) {
    on_a_server(|db| {
        for (config, args, parts) in mistakes {
            println!("{config} {args:?}");
            let exports = ExportFile::new(db, &format!("{EXPORT_A}{config}"));
            fs::create_dir(exports.path("sub")).expect("a folder");
            let outcome = exports.run(args).run().failed_with_any_length(2, parts);
            assert!(!outcome.stderr.contains("hushhush"));
            assert_eq!(exports.file_names(), ["nightly.toml", "sub"]);
        }
    });
}

#[test]
fn mistakes_in_the_tables_of_exports_are_refused() {
    assert_refused(&[
        (
            "[query]\nsql = 'SELECT 1'",
            &[],
            &[":5:2: [query] and [[export]] cannot stand in one file: [query]"],
        ),
        (
            EXPORT_A,
            &[],
            &[":6:8: two exports are called a: name = 'a'"],
        ),
        (
            "[[export]]\nsql = 'SELECT 1'",
            &[],
            &["this export has no name"],
        ),
        (
            "[[export]]\nname = 'b c'",
            &[],
            &["that is no name for an export"],
        ),
        (
            "[[export]]\nname = 'b'",
            &[],
            &["b: the export has no query", "add sql"],
        ),
        (
            "[[export]]\nname = 'b'\nsql = 'SELECT 1'\nfile = 'x'",
            &[],
            &["cannot stand beside", "[[export]] sql"],
        ),
        (
            &format!("{EXPORT_B}path = 'b.csv'\n[export.output]\npath = 'c.csv'"),
            &[],
            &[":8:8: [[export]] path is given twice: path = 'b.csv'"],
        ),
        (
            &format!("{EXPORT_B}host = 'x'"),
            &[],
            &[
                "[[export]] has no key `host`",
                "host belongs into [connection]",
            ],
        ),
        (
            &format!("{EXPORT_B}paht = 'x'"),
            &[],
            &["[[export]] has no key `paht`", "did you mean `path`?"],
        ),
        (
            &format!("{EXPORT_B}password = 'hushhush'"),
            &[],
            &["[[export]] has no key `password`"],
        ),
        ("[export]\nname = 'b'", &[], &["duplicate key"]),
        (
            &format!("{EXPORT_B}path = 'b.tsv'\ndelimiter = ';'"),
            &[],
            &["[[export]] delimiter has no meaning for tsv: delimiter = ';'"],
        ),
        (
            &format!("{EXPORT_B}path = 'b.csv'\n[export.tsv]\nheader = false"),
            &[],
            &["[export.tsv] header has no meaning for csv: header = false"],
        ),
        (
            &format!("{EXPORT_B}path = 'b.ndjson'\n[export.csv]\nheader = false"),
            &[],
            &["[export.csv] header has no meaning for ndjson: header = false"],
        ),
        (
            &format!("{EXPORT_B}max_change = '20%'"),
            &[],
            &["compares with the last success, which nothing keeps"],
        ),
        (
            &format!("{EXPORT_B}max_change = '20'"),
            &[],
            &["such as 20%"],
        ),
    ]);
}

#[test]
fn targets_that_two_outputs_share_are_refused() {
    assert_refused(&[
        (
            &format!("{EXPORT_B}path = 'sub/../a.csv'"),
            &[],
            &["the rows of a and the rows of b would go to the same place"],
        ),
        (
            &format!(
                "{EXPORT_B}path = 'new/x.csv'\ncreate_dirs = true\n[[export]]\nname = 'c'\nsql = 'SELECT 1'\npath = 'new/../new/./x.csv'\ncreate_dirs = true"
            ),
            &[],
            &["the rows of b and the rows of c would go to the same place"],
        ),
        (
            &format!(
                "{EXPORT_B}path = 'new/x.csv'\ncreate_dirs = true\n[[export]]\nname = 'c'\nsql = 'SELECT 1'\npath = 'other/../new/x.csv'\ncreate_dirs = true"
            ),
            &[],
            &["the rows of b and the rows of c would go to the same place"],
        ),
        (
            &format!("{EXPORT_B}path = 'a.csv.manifest.json'\n[output]\nmanifest = true"),
            &[],
            &["the manifest of the rows of a and the rows of b would go"],
        ),
        (
            &format!(
                "{EXPORT_B}path = '-'\n[[export]]\nname = 'c'\nsql = 'SELECT 1'\npath = '/dev/fd/1'"
            ),
            &[],
            &["the rows of b and the rows of c would go to the same place"],
        ),
        (
            EXPORT_B,
            &["--summary", "same", "--state", "same"],
            &["the summary and the state would go to the same place"],
        ),
        (
            &format!(
                "{EXPORT_B}path = 'a.csv.partial'\nformat = 'csv'\n[output]\nkeep_partial = true"
            ),
            &[],
            &["what is kept of the rows of a and the rows of b would go"],
        ),
    ]);
}

#[test]
fn arguments_that_do_not_fit_a_list_are_refused() {
    assert_refused(&[
        (
            EXPORT_B,
            &["-o", "x.csv"],
            &[
                "--output names one target, and 2 exports would go there",
                "--job",
            ],
        ),
        (
            EXPORT_B,
            &["--job", "c*"],
            &["--job finds no export that is called c*", "there are a, b"],
        ),
        (
            EXPORT_B,
            &["--job", "a", "SELECT 1"],
            &["and SQL is another query"],
        ),
        (
            EXPORT_B,
            &["--param", "x=1"],
            &["no export that runs has :x"],
        ),
        (
            EXPORT_B,
            &["--publish", "all-or-nothing"],
            &["some rows go to standard output"],
        ),
        (EXPORT_B, &["--manifest"], &["--manifest needs a file"]),
        (
            EXPORT_B,
            &["a"],
            &["SQL is the name of an export", "--job a runs it"],
        ),
        (
            EXPORT_B,
            &["--job", "a", "--keep", "3"],
            &["there are none", "--manifest"],
        ),
        (
            EXPORT_B,
            &["--job", "a", "--keep", "3", "--manifest"],
            &["the path has none", "{date}"],
        ),
        (EXPORT_B, &["--lock"], &["there is none", "--snapshot"]),
        (
            EXPORT_B,
            &["--snapshot", "--read-write"],
            &["cannot stand beside --read-write"],
        ),
        (
            EXPORT_B,
            &["--list-jobs", "SELECT 1"],
            &["cannot be used with"],
        ),
    ]);
}

#[test]
fn the_environment_does_not_replace_a_list() {
    on_a_server(|db| {
        let exports = ExportFile::new(db, &format!("{EXPORT_A}{EXPORT_B}"));
        let run = exports.run(&[]).env("DATABASE_QUERY", "SELECT 42");
        let parts = [
            "DATABASE_QUERY would run in the place of all exports",
            "unset it",
        ];
        run.run().failed(2, &parts);
        let run = exports.run(&[]).env("OUTPUT_FILE", "x.csv").run();
        run.failed(
            2,
            &["OUTPUT_FILE names one target, and 2 exports would go there"],
        );
    });
}

#[test]
fn exports_are_listed_without_a_server() {
    on_a_server(|db| {
        let exports = ExportFile::new(db, &format!("{EXPORT_A}{EXPORT_B}"));
        let run = exports
            .run(&["--list-jobs"])
            .env_remove("DATABASE_URL")
            .run();
        let place = exports.path("a.csv").display().to_string();
        run.wrote(format!("a  {place}\nb  standard output\n"));
    });
}

#[test]
fn a_summary_does_not_overwrite_a_target() {
    on_a_server(|db| {
        let exports = ExportFile::new(db, EXPORT_A);
        fs::write(exports.path("a.csv"), "as it was").expect("a file");
        let run = exports.run(&["--summary"]).arg(exports.path("a.csv")).run();
        run.failed(
            2,
            &["the summary and the rows of a would go to the same place"],
        );
        exports.assert_file("a.csv", "as it was");
    });
}

#[test]
fn files_that_the_run_reads_are_not_overwritten() {
    on_a_server(|db| {
        let exports = ExportFile::new(
            db,
            &format!(
                "{EXPORT_A}[[export]]\nname = 'b'\nfile = 'q.sql'\npath = 'q.sql'\nformat = 'csv'"
            ),
        );
        fs::write(exports.path("q.sql"), "SELECT 1").expect("a file");
        let parts = ["the file of the query and the rows of b would go to the same place"];
        exports.run(&[]).run().failed(2, &parts);
        let config = exports.path("nightly.toml");
        let before = fs::read(&config).expect("the configuration");
        let run = exports.run(&["--job", "a", "--summary"]).arg(&config).run();
        run.failed(
            2,
            &["the configuration file and the summary would go to the same place"],
        );
        assert_eq!(fs::read(&config).expect("the configuration"), before);
        let included = exports.path("included.cnf");
        fs::write(&included, "[client]\n").expect("a file");
        let options = exports.path("own.cnf");
        let text = format!("!include {}\n", included.display());
        fs::write(&options, &text).expect("a file");
        for (flag, file) in [
            ("-o", &options),
            ("-o", &included),
            ("--summary", &included),
        ] {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            let run = run.args(["--format", "csv", "-e", "SELECT 1"]);
            let run = run.arg("--defaults-file").arg(&options).arg(flag).arg(file);
            let parts = ["the option file and the ", " would go to the same place"];
            run.run().failed(2, &parts);
        }
        assert_eq!(fs::read_to_string(&options).expect("the file"), text);
    });
}

#[test]
fn a_file_without_a_list_has_no_exports_to_select() {
    on_a_server(|db| {
        let alone = ExportFile::new(db, "[query]\nsql = 'SELECT 1'\n[guards]\nmax_change = '1%'");
        alone
            .run(&[])
            .run()
            .failed(2, &["needs a name", "[[export]]"]);
        alone
            .run(&["--list-jobs"])
            .run()
            .failed(2, &["nothing to list"]);
        alone
            .run(&["--job", "x"])
            .run()
            .failed(2, &["--job finds no export", "[[export]]"]);
    });
}
