//! What stands beside files, and what becomes of old ones.

use std::{fs, os::unix::fs::symlink, process::Command};

use serde_json::Value as Json;

use super::Night;
use crate::support::{GoldDigger, each_server, file_names, on_a_server};

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

#[test]
fn manifests_say_what_files_are() {
    each_server(|db| {
        let sql = "SELECT 'a\\\"\\n' AS t, NULL AS n UNION ALL SELECT 'b', 'c' UNION ALL SELECT NULL, NULL";
        let export = |name: &str, path: &str, rest: &str| {
            format!("[[export]]\nname = '{name}'\nsql = \"{sql}\"\npath = '{path}'\n{rest}\n")
        };
        let config = [
            "[output]\nmanifest = true\n".to_owned(),
            export("csv", "x.csv", ""),
            export("bare", "y.csv", "header = false\n[export.csv]\nbom = true\nquote = 'always'\nline_ending = 'crlf'"),
            export("tsv", "x.tsv", ""),
            export("json", "x.json", ""),
            export("pretty", "y.json", "[export.json]\npretty = true\nroot = 'rows'"),
            "[[export]]\nname = 'null'\nsql = 'SELECT NULL AS n UNION ALL SELECT NULL'\npath = 'null.csv'\n".to_owned(),
            "[[export]]\nname = 'none'\nsql = 'SELECT 1 AS n WHERE 1 = 0'\npath = 'none.json'\nallow_empty = true\n".to_owned(),
        ];
        let night = Night::new(db, &config.concat());
        night.run(&["--quiet"]).run().ended(0, "");
        let files = [
            "x.csv",
            "y.csv",
            "x.tsv",
            "x.json",
            "y.json",
            "null.csv",
            "none.json",
        ];
        let manifest = |file: &str| -> Json {
            let text = fs::read(night.path(&format!("{file}.manifest.json"))).expect("it");
            serde_json::from_slice(&text).expect("JSON")
        };
        for (file, rows) in files.iter().zip([3, 3, 3, 3, 3, 2, 0]) {
            let bytes = fs::read(night.path(file)).expect("the file");
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

        // By the file, and by its manifest.
        let verify = |files: &[&str]| {
            let paths = files.iter().map(|file| night.path(file));
            GoldDigger::new().arg("verify").args(paths).run()
        };
        let outcome = verify(&files).ended(0, "");
        let told = String::from_utf8(outcome.stdout).expect("UTF-8");
        assert_eq!(told.matches(": OK (3 rows, ").count(), 5, "{told}");
        // Once each.
        let outcome = verify(&["x.csv.manifest.json", "x.csv"]).ended(0, "");
        let told = String::from_utf8(outcome.stdout).expect("UTF-8");
        assert_eq!(told.lines().count(), 1, "{told}");
        let run = GoldDigger::new().args(["verify", "--quiet"]);
        run.arg(night.path("x.csv"))
            .arg(night.path("x.tsv"))
            .run()
            .wrote("");
        let run = GoldDigger::new().args(["verify", "--quiet"]);
        let outcome = run.arg(night.path("x.csv")).arg(night.folder.path()).run();
        let told = outcome.failed(7, &["1 of 2 files failed"]).stdout;
        assert!(told.ends_with(b": FAILED: it is a folder: name the files in it\n"));
        let refuse = |file: &str, what: &str| {
            let outcome = verify(&["x.tsv", file]).failed(7, &["1 of 2 files failed"]);
            let told = String::from_utf8(outcome.stdout).expect("UTF-8");
            let line = told.lines().find(|line| line.contains("FAILED"));
            assert!(line.is_some_and(|line| line.ends_with(what)), "{told}");
            assert!(told.contains("x.tsv: OK"), "{told}");
        };
        for file in ["x.csv", "y.json"] {
            let bytes = fs::read(night.path(file)).expect("the file");
            let mut other = bytes.clone();
            other[2] ^= 1;
            fs::write(night.path(file), &other).expect("a file");
            refuse(file, "its SHA-256 is another one");
            fs::write(night.path(file), &bytes[..bytes.len() - 1]).expect("a file");
            let lengths = format!("it has {} bytes, not {}", bytes.len() - 1, bytes.len());
            refuse(file, &lengths);
            fs::write(night.path(file), &bytes).expect("a file");
        }
        let path = night.path("x.csv.manifest.json");
        let text = fs::read_to_string(&path).expect("it");
        fs::write(&path, text.replace("\"rows\": 3", "\"rows\": 4")).expect("a file");
        refuse("x.csv", "it has 3 rows, not 4");
        fs::write(&path, "{}").expect("a file");
        let outcome = verify(&["x.csv"]).failed(7, &["1 of 1 files failed"]);
        assert!(String::from_utf8_lossy(&outcome.stdout).contains("it is no manifest"));
        fs::remove_file(&path).expect("it");
        verify(&["x.csv"]).failed(7, &[]);
        fs::remove_file(night.path("none.json")).expect("it");
        refuse("none.json", "No such file or directory (os error 2)");
        GoldDigger::new()
            .arg("verify")
            .run()
            .failed_with_any_length(2, &["<PATH>..."]);
    });
}

#[test]
fn a_manifest_needs_a_file() {
    on_a_server(|db| {
        let night = Night::of(db, "[output]\nmanifest = true", &[("a", "SELECT 1 AS a")]);
        let refused = ["a manifest stands beside a file"];
        night
            .run(&["-o", "/dev/null"])
            .run()
            .failed_with_any_length(5, &refused);
        // What cannot be written beside it keeps the file from its name.
        fs::create_dir(night.path("a.csv.manifest.json")).expect("a folder");
        let refused = ["a.csv.manifest.json: it is a directory"];
        night.run(&[]).run().failed_with_any_length(5, &refused);
        assert!(!night.path("a.csv").exists());
    });
}

/// Whichever is last: the file and its manifest are of one run.
#[test]
fn two_runs_to_one_target_leave_a_file_and_its_manifest() {
    on_a_server(|db| {
        let night = Night::of(
            db,
            "[output]\nmanifest = true",
            &[("a", "SELECT UUID() AS a")],
        );
        for _ in 0..25 {
            let runs = [(); 3].map(|()| night.run(&[]).start());
            for run in runs {
                run.wait().ended(0, "");
            }
            let verify = GoldDigger::new().arg("verify").arg(night.path("a.csv"));
            verify.run().ended(0, "");
        }
    });
}

#[test]
fn old_files_of_the_export_go_and_others_stay() {
    on_a_server(|db| {
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
        let night = Night::new(db, config);
        let on = |day: &str, args: &[&str]| {
            let time = format!("{day} 03:00:00");
            night
                .within(&["faketime", "-f", &time], args)
                .env("TZ", "Europe/Oslo")
                .run()
        };
        on("2026-01-30", &[]).ended(0, "");
        // Of others: without a manifest, with one that says another name, one that
        // has changed, and a link.
        let january = night.path("out [x]/2026-01");
        for name in ["a-2020-01-01.csv", "a-mine.csv"] {
            fs::write(january.join(name), "mine").expect("a file");
        }
        let manifest = |name: &str| january.join(format!("{name}.csv.manifest.json"));
        let text = fs::read_to_string(manifest("a-2026-01-30")).expect("it");
        fs::write(manifest("a-mine"), &text).expect("a file");
        let of = |day: &str| text.replace("2026-01-30", day);
        fs::write(january.join("a-2026-01-02.csv"), "of another size").expect("a file");
        fs::write(manifest("a-2026-01-02"), of("2026-01-02")).expect("a file");
        symlink("a-mine.csv", january.join("a-2026-01-03.csv")).expect("a link");
        fs::write(manifest("a-2026-01-03"), of("2026-01-03")).expect("a file");

        let changed = ["a-2026-01-02.csv stays: it is not what its manifest says"];
        on("2026-01-31", &[]).failed_with_any_length(0, &changed);
        on("2026-02-01", &["--job", "a"]).failed_with_any_length(0, &changed);
        let stay = |month: &str| {
            let mut names = file_names(&night.path("out [x]").join(month));
            names.retain(|name| !name.contains("manifest"));
            names
        };
        let january_keeps = [
            "a-2020-01-01.csv",
            "a-2026-01-02.csv",
            "a-2026-01-03.csv",
            "a-2026-01-30-b.csv",
            "a-2026-01-31-b.csv",
            "a-2026-01-31.csv",
            "a-mine.csv",
        ];
        assert_eq!(stay("2026-01"), january_keeps);
        assert_eq!(stay("2026-02"), ["a-2026-02-01.csv"]);
        assert!(!manifest("a-2026-01-30").exists());
        // What a wrong clock has dated later does not make others old.
        let february = night.path("out [x]/2026-02");
        fs::write(february.join("a-2026-02-20.csv"), "a\n1\n").expect("a file");
        fs::write(
            february.join("a-2026-02-20.csv.manifest.json"),
            of("2026-02-20"),
        )
        .expect("a file");
        // A folder of another time goes with its last file.
        let by_day = Night::new(
            db,
            "[[export]]\nname = 'a'\nsql = 'SELECT 1 AS a'\npath = 'by/{date}/a.csv'
             create_dirs = true\nmanifest = true\nkeep = 1",
        );
        for day in ["2026-01-01 03:00:00", "2026-01-02 03:00:00"] {
            by_day
                .within(&["faketime", "-f", day], &[])
                .run()
                .ended(0, "");
        }
        assert_eq!(file_names(&by_day.path("by")), ["2026-01-02"]);
        // The same day again is the same file, and a failure removes nothing.
        on("2026-02-01", &["--job", "a"]).ended_with(0);
        on("2026-02-02", &["--job", "a", "--min-rows", "2"]).ended_with(6);
        assert_eq!(stay("2026-01"), january_keeps);
        assert_eq!(stay("2026-02"), ["a-2026-02-01.csv", "a-2026-02-20.csv"]);
    });
}
