//! Manifests beside the files, `verify`, and the removal of old files.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

use serde_json::Value as Json;

use super::ExportFile;
use crate::support::{Database, GoldDigger, Outcome, each_server, file_names, on_a_server};

fn sha256sum(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x");
    fs::write(&file, bytes).expect("a file");
    let output = Command::new("sha256sum")
        .arg(&file)
        .output()
        .expect("sha256sum");
    let output = String::from_utf8(output.stdout).expect("UTF-8");
    output.split(' ').next().expect("a word").to_owned()
}

const FILES: [&str; 12] = [
    "x.csv",
    "y.csv",
    "x.tsv",
    "x.json",
    "x.jsonl",
    "x.sql",
    "x.md",
    "table.txt.gz",
    "vertical.txt",
    "y.json",
    "null.csv",
    "none.json",
];

/// Runs exports with manifests in every format; their targets are [`FILES`].
fn exports_with_manifests<'a>(db: &'a Database<'a>) -> ExportFile<'a> {
    let sql =
        "SELECT 'a\\\"\\n' AS t, NULL AS n UNION ALL SELECT 'b', 'c' UNION ALL SELECT NULL, NULL";
    let export = |name: &str, path: &str, rest: &str| {
        format!("[[export]]\nname = '{name}'\nsql = \"{sql}\"\npath = '{path}'\n{rest}\n")
    };
    let config = [
        "[output]\nmanifest = true\n".to_owned(),
        export("csv", "x.csv", ""),
        export("bare", "y.csv", "header = false\n[export.csv]\nbom = true\nquote = 'always'\nline_ending = 'crlf'"),
        export("tsv", "x.tsv", ""),
        export("json", "x.json", ""),
        export("ndjson", "x.jsonl", ""),
        export("sql", "x.sql", ""),
        export("markdown", "x.md", ""),
        export("table", "table.txt.gz", "format = 'table'"),
        export("vertical", "vertical.txt", "format = 'vertical'"),
        export("pretty", "y.json", "[export.json]\npretty = true\nroot = 'rows'"),
        "[[export]]\nname = 'null'\nsql = 'SELECT NULL AS n UNION ALL SELECT NULL'\npath = 'null.csv'\n".to_owned(),
        "[[export]]\nname = 'none'\nsql = 'SELECT 1 AS n WHERE 1 = 0'\npath = 'none.json'\nallow_empty = true\n".to_owned(),
    ];
    let exports = ExportFile::new(db, &config.concat());
    exports.run(&["--quiet"]).run().ended(0, "");
    exports
}

/// Runs `verify` on files of `exports`.
fn verify(exports: &ExportFile, files: &[&str]) -> Outcome {
    let paths = files.iter().map(|file| exports.path(file));
    GoldDigger::new().arg("verify").args(paths).run()
}

#[test]
fn manifests_describe_their_files() {
    each_server(|db| {
        let exports = exports_with_manifests(db);
        let manifest = |file: &str| -> Json {
            let text = fs::read(exports.path(&format!("{file}.manifest.json"))).expect("it");
            serde_json::from_slice(&text).expect("JSON")
        };
        for (file, rows) in FILES.iter().zip([3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 0]) {
            let bytes = fs::read(exports.path(file)).expect("the file");
            let manifest = manifest(file);
            assert_eq!(manifest["file"], *file);
            assert_eq!(manifest["rows"], rows, "{file}");
            assert_eq!(manifest["bytes"], bytes.len());
            assert_eq!(manifest["sha256"], sha256sum(&bytes));
            assert_eq!(manifest["snapshot"], Json::Null);
            assert_eq!(manifest["database"], db.name);
        }
        let manifest = manifest("null.csv");
        let query = sha256sum(b"SELECT NULL AS n UNION ALL SELECT NULL");
        assert_eq!(manifest["query_sha256"], query);
        assert_eq!(manifest["columns"][0]["name"], "n");
        let version = manifest["server_version"].as_str().expect("a version");
        assert_eq!(version.contains("MariaDB"), db.is_mariadb(), "{version}");
    });
}

#[test]
fn verify_accepts_files_and_manifests() {
    each_server(|db| {
        let exports = exports_with_manifests(db);
        let outcome = verify(&exports, &FILES).ended(0, "");
        let report = String::from_utf8(outcome.stdout).expect("UTF-8");
        assert_eq!(report.matches(": OK (3 rows, ").count(), 10, "{report}");
        // A file that is named twice is verified once.
        let outcome = verify(&exports, &["x.csv.manifest.json", "x.csv"]).ended(0, "");
        let report = String::from_utf8(outcome.stdout).expect("UTF-8");
        assert_eq!(report.lines().count(), 1, "{report}");
        let run = GoldDigger::new().args(["verify", "--quiet"]);
        run.arg(exports.path("x.csv"))
            .arg(exports.path("x.tsv"))
            .run()
            .wrote("");
        let run = GoldDigger::new().args(["verify", "--quiet"]);
        let run = run.arg(exports.path("x.csv")).arg(exports.folder.path());
        let report = run.run().failed(7, &["1 of 2 files failed"]).stdout;
        assert!(report.ends_with(b": FAILED: it is a folder: name the files in it\n"));
        GoldDigger::new()
            .arg("verify")
            .run()
            .failed_with_any_length(2, &["<PATH>..."]);
    });
}

/// Asserts that `verify` refuses `file` for `reason`, and accepts another file.
#[track_caller]
fn assert_refused(exports: &ExportFile, file: &str, reason: &str) {
    let outcome = verify(exports, &["x.tsv", file]).failed(7, &["1 of 2 files failed"]);
    let report = String::from_utf8(outcome.stdout).expect("UTF-8");
    let line = report.lines().find(|line| line.contains("FAILED"));
    assert!(line.is_some_and(|line| line.ends_with(reason)), "{report}");
    assert!(report.contains("x.tsv: OK"), "{report}");
}

#[test]
fn verify_refuses_files_that_differ_from_their_manifests() {
    each_server(|db| {
        let exports = exports_with_manifests(db);
        for file in ["x.csv", "y.json"] {
            let bytes = fs::read(exports.path(file)).expect("the file");
            let mut other = bytes.clone();
            other[2] ^= 1;
            fs::write(exports.path(file), &other).expect("a file");
            assert_refused(&exports, file, "its SHA-256 is another one");
            fs::write(exports.path(file), &bytes[..bytes.len() - 1]).expect("a file");
            let lengths = format!("it has {} bytes, not {}", bytes.len() - 1, bytes.len());
            assert_refused(&exports, file, &lengths);
            fs::write(exports.path(file), &bytes).expect("a file");
        }
        let path = exports.path("x.csv.manifest.json");
        let text = fs::read_to_string(&path).expect("it");
        fs::write(&path, text.replace("\"rows\": 3", "\"rows\": 4")).expect("a file");
        assert_refused(&exports, "x.csv", "it has 3 rows, not 4");
        fs::write(&path, "{}").expect("a file");
        let outcome = verify(&exports, &["x.csv"]).failed(7, &["1 of 1 file failed"]);
        assert!(String::from_utf8_lossy(&outcome.stdout).contains("it is no manifest"));
        fs::remove_file(&path).expect("it");
        verify(&exports, &["x.csv"]).failed(7, &[]);
        fs::remove_file(exports.path("none.json")).expect("it");
        let missing = "No such file or directory (os error 2)";
        assert_refused(&exports, "none.json", missing);
    });
}

#[test]
fn a_manifest_needs_a_file() {
    on_a_server(|db| {
        let exports =
            ExportFile::with_queries(db, "[output]\nmanifest = true", &[("a", "SELECT 1 AS a")]);
        let refused = ["a manifest stands beside a file"];
        exports
            .run(&["-o", "/dev/null"])
            .run()
            .failed_with_any_length(5, &refused);
        // A manifest that cannot be written keeps the file from being published.
        fs::create_dir(exports.path("a.csv.manifest.json")).expect("a folder");
        let refused = ["a.csv.manifest.json: it is a directory"];
        exports.run(&[]).run().failed_with_any_length(5, &refused);
        assert!(!exports.path("a.csv").exists());
    });
}

/// The file and its manifest are from the same run, whichever run ends last.
#[test]
fn concurrent_runs_leave_a_file_and_its_own_manifest() {
    on_a_server(|db| {
        let exports = ExportFile::with_queries(
            db,
            "[output]\nmanifest = true",
            &[("a", "SELECT UUID() AS a")],
        );
        for _ in 0..25 {
            let runs = [(); 3].map(|()| exports.run(&[]).start());
            for run in runs {
                run.wait().ended(0, "");
            }
            let verify = GoldDigger::new().arg("verify").arg(exports.path("a.csv"));
            verify.run().ended(0, "");
        }
    });
}

const JANUARY_AFTER_REMOVAL: [&str; 7] = [
    "a-2020-01-01.csv",
    "a-2026-01-02.csv",
    "a-2026-01-03.csv",
    "a-2026-01-30-b.csv",
    "a-2026-01-31-b.csv",
    "a-2026-01-31.csv",
    "a-mine.csv",
];

/// Two exports with dated targets that keep their last two files.
struct DatedExports<'a>(ExportFile<'a>);

impl<'a> DatedExports<'a> {
    fn new(db: &'a Database<'a>) -> Self {
        let config = "
            [output]
            manifest = true
            keep = 2
            create_dirs = true
            [[export]]
            name = 'a'
            sql = 'SELECT 1 AS a'
            path = 'out [x]/{date:%Y-%m}/a-{date}.csv'
            [[export]]
            name = 'b'
            sql = 'SELECT 1 AS a'
            path = 'out [x]/{date:%Y-%m}/a-{date}-b.csv'";
        Self(ExportFile::new(db, config))
    }

    /// Runs the exports at three o'clock in Oslo on `day`.
    fn run_on(&self, day: &str, args: &[&str]) -> Outcome {
        let time = format!("{day} 03:00:00");
        self.0
            .run_wrapped_in(&["faketime", "-f", &time], args)
            .env("TZ", "Europe/Oslo")
            .run()
    }

    fn path(&self, month: &str, name: &str) -> PathBuf {
        self.0.path("out [x]").join(month).join(name)
    }

    fn manifest_path(&self, month: &str, name: &str) -> PathBuf {
        self.path(month, &format!("{name}.csv.manifest.json"))
    }

    /// Returns the names of the files of `month` without the manifests.
    fn file_names(&self, month: &str) -> Vec<String> {
        let mut names = file_names(&self.path(month, ""));
        names.retain(|name| !name.contains("manifest"));
        names
    }

    /// Writes files into January that look like old files of `a` and are not: some
    /// without a manifest, one whose manifest has another name, one that has
    /// changed, and a link. Returns the text of the manifest of 30 January.
    fn write_files_of_others(&self) -> String {
        let month = "2026-01";
        for name in ["a-2020-01-01.csv", "a-mine.csv"] {
            fs::write(self.path(month, name), "mine").expect("a file");
        }
        let text = fs::read_to_string(self.manifest_path(month, "a-2026-01-30")).expect("it");
        let write_manifest = |name: &str, text: &str| {
            fs::write(self.manifest_path(month, name), text).expect("a file");
        };
        write_manifest("a-mine", &text);
        fs::write(self.path(month, "a-2026-01-02.csv"), "of another size").expect("a file");
        write_manifest("a-2026-01-02", &text.replace("2026-01-30", "2026-01-02"));
        symlink("a-mine.csv", self.path(month, "a-2026-01-03.csv")).expect("a link");
        write_manifest("a-2026-01-03", &text.replace("2026-01-30", "2026-01-03"));
        text
    }
}

#[test]
fn old_files_of_the_export_are_removed_and_others_stay() {
    on_a_server(|db| {
        let exports = DatedExports::new(db);
        exports.run_on("2026-01-30", &[]).ended(0, "");
        let manifest = exports.write_files_of_others();

        let changed = ["a-2026-01-02.csv stays: it is not what its manifest says"];
        let outcome = exports.run_on("2026-01-31", &[]);
        outcome.failed_with_any_length(0, &changed);
        let outcome = exports.run_on("2026-02-01", &["--job", "a"]);
        outcome.failed_with_any_length(0, &changed);
        assert_eq!(exports.file_names("2026-01"), JANUARY_AFTER_REMOVAL);
        assert_eq!(exports.file_names("2026-02"), ["a-2026-02-01.csv"]);
        assert!(!exports.manifest_path("2026-01", "a-2026-01-30").exists());

        // A file with a later date, from a wrong clock, does not make others old.
        let later = exports.path("2026-02", "a-2026-02-20.csv");
        fs::write(later, "a\n1\n").expect("a file");
        let later = exports.manifest_path("2026-02", "a-2026-02-20");
        fs::write(later, manifest.replace("2026-01-30", "2026-02-20")).expect("a file");
        // A second run of the day replaces its file, and a failed run removes none.
        exports.run_on("2026-02-01", &["--job", "a"]).ended_with(0);
        exports
            .run_on("2026-02-02", &["--job", "a", "--min-rows", "2"])
            .ended_with(6);
        assert_eq!(exports.file_names("2026-01"), JANUARY_AFTER_REMOVAL);
        assert_eq!(
            exports.file_names("2026-02"),
            ["a-2026-02-01.csv", "a-2026-02-20.csv"]
        );
    });
}

#[test]
fn a_dated_folder_is_removed_with_its_last_file() {
    on_a_server(|db| {
        let exports = ExportFile::new(
            db,
            "[[export]]\nname = 'a'\nsql = 'SELECT 1 AS a'\npath = 'by/{date}/a.csv'
             create_dirs = true\nmanifest = true\nkeep = 1",
        );
        for day in ["2026-01-01 03:00:00", "2026-01-02 03:00:00"] {
            exports
                .run_wrapped_in(&["faketime", "-f", day], &[])
                .run()
                .ended(0, "");
        }
        assert_eq!(file_names(&exports.path("by")), ["2026-01-02"]);
    });
}

/// Files that were moved away, and left their manifests, are not among the newest.
#[test]
fn manifests_without_their_files_do_not_count() {
    on_a_server(|db| {
        let exports = ExportFile::new(
            db,
            "[[export]]\nname = 'a'\nsql = 'SELECT 1 AS a'\npath = 'by/a-{date}.csv'
             create_dirs = true\nmanifest = true\nkeep = 2",
        );
        let run_on = |day: u32| {
            let time = format!("2026-01-{day:02} 03:00:00");
            exports
                .run_wrapped_in(&["faketime", "-f", &time], &[])
                .run()
        };
        let files = || {
            let mut names = file_names(&exports.path("by"));
            names.retain(|name| name.ends_with(".csv"));
            names
        };
        let path = |day: u32| exports.path(&format!("by/a-2026-01-{day:02}.csv"));
        for day in [1, 2] {
            run_on(day).ended(0, "");
        }
        fs::remove_file(path(2)).expect("it is there");
        run_on(3).ended(0, "");
        assert_eq!(files(), ["a-2026-01-01.csv", "a-2026-01-03.csv"]);
        // Nor does a file that has changed.
        fs::write(path(3), "of another size").expect("a file");
        run_on(4).ended(0, "");
        assert_eq!(
            files(),
            ["a-2026-01-01.csv", "a-2026-01-03.csv", "a-2026-01-04.csv"]
        );
        let changed = ["a-2026-01-03.csv stays: it is not what its manifest says"];
        run_on(5).failed_with_any_length(0, &[]);
        run_on(6).failed_with_any_length(0, &changed);
        assert_eq!(
            files(),
            ["a-2026-01-03.csv", "a-2026-01-05.csv", "a-2026-01-06.csv"]
        );
        // Their manifests go with the older files.
        assert_eq!(file_names(&exports.path("by")).len(), 6);
    });
}

/// A later file may show an earlier time.
#[test]
fn the_oldest_moment_is_removed() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        for zone in ["Etc/UTC", "Pacific/Honolulu", "Pacific/Kiritimati"] {
            let run = db.export("SELECT 1 AS a").current_dir(folder.path());
            let run = run.args(["--manifest", "--keep", "2", "-o", "a-{timestamp:%z}.csv"]);
            run.env("TZ", zone).run().ended(0, "");
        }
        let mut names = file_names(folder.path());
        names.retain(|name| name.ends_with("csv"));
        assert_eq!(names, ["a-+1400.csv", "a--1000.csv"]);
    });
}

#[test]
fn old_files_of_placeholders_side_by_side_are_removed() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        for day in ["2026-11-20", "2026-11-21"] {
            let run = db.export("SELECT 1 AS a").current_dir(folder.path());
            let run = run.args(["-o", "y{date:%Y}{date:%m}{date:%d}.csv", "--date", day]);
            run.args(["--manifest", "--keep", "1"]).run().ended(0, "");
        }
        let mut names = file_names(folder.path());
        names.retain(|name| name.ends_with("csv"));
        assert_eq!(names, ["y20261121.csv"]);
    });
}
