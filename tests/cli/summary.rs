//! The summary of a run: its fields, its places and its failures.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use serde_json::Value as Json;

use crate::support::{
    GoldDigger, Signal, assert_as_schema, each_server, file_names, make_fifo, on_a_server, wait_for,
};

const TWO_ROWS: &str = "SELECT 1 AS a, 'x' AS b UNION SELECT 2, NULL";

/// Runs with a summary file, asserts the exit code and returns the summary's text.
#[track_caller]
fn summary_text(run: GoldDigger, code: i32) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("summary.json");
    let outcome = run.arg("--summary").arg(&path).run();
    assert_eq!(outcome.status.code(), Some(code), "{}", outcome.stderr);
    fs::read_to_string(&path).expect("the summary")
}

/// Does the same and returns the parsed summary.
#[track_caller]
fn summary(run: GoldDigger, code: i32) -> Json {
    let summary = serde_json::from_str(&summary_text(run, code)).expect("JSON");
    assert_as_schema("summary", &summary);
    summary
}

/// Asserts that docs/summary.md lists exactly the fields of a summary, in order.
#[track_caller]
fn assert_fields_are_documented(summary: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/summary.md");
    let page = fs::read_to_string(page).expect("the page");
    let of_one_export = page.split("## Of several exports").next();
    let documented = of_one_export
        .expect("a page")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: Vec<&str> = documented.map(|(name, _)| name).collect();
    let written = summary
        .lines()
        .filter_map(|line| line.strip_prefix("  \"")?.split_once('"'));
    let written: Vec<&str> = written.map(|(name, _)| name).collect();
    assert_eq!(written, documented);
}

#[test]
fn the_summary_describes_a_successful_run() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.json");
        let run = db.export(TWO_ROWS).arg("-o").arg(&target);
        let good = summary(run.args(["--time-zone", "+01:00"]), 0);
        assert_eq!(good["status"], "success");
        assert_eq!(
            (&good["exit_code"], &good["error"]),
            (&0.into(), &Json::Null)
        );
        assert_eq!((&good["rows"], &good["bytes"]), (&2.into(), &38.into()));
        assert_eq!(fs::metadata(&target).expect("the file").len(), 38);
        assert_eq!(good["columns"][0]["name"], "a");
        assert_eq!(good["columns"][1]["type"], "VARCHAR(1)");
        assert_eq!(good["target"], target.display().to_string());
        assert_eq!(
            (&good["protocol"], &good["time_zone"]),
            (&"binary".into(), &"+01:00".into())
        );
        assert!(
            good["server_version"]
                .as_str()
                .is_some_and(|version| version.contains('.'))
        );
        assert!(
            good["elapsed_seconds"]
                .as_f64()
                .is_some_and(|seconds| seconds > 0.0)
        );
        let started = good["started"].as_str().expect("a text");
        assert!(
            started.starts_with("20") && started.ends_with('Z') && started.len() == 24,
            "{started}"
        );
        assert_eq!(good["warnings"], Json::Array(Vec::new()));

        let warned = summary(db.export("SELECT NULL AS a").args(["--format", "csv"]), 0);
        assert!(
            warned["warnings"][0].as_str().is_some_and(
                |text| text.contains("1 NULL value of the only column is a blank line,")
            )
        );
        let booleans = db.export("SELECT 1 AS a UNION ALL SELECT 2").args([
            "--format",
            "json",
            "--tinyint1-as-bool",
        ]);
        assert_eq!(summary(booleans, 0)["rows"], 2);
    });
}

#[test]
fn the_summary_describes_a_failed_run() {
    each_server(|db| {
        let empty = summary(db.export("SELECT 1 AS a WHERE 1 = 0"), 1);
        assert_eq!(
            (&empty["status"], &empty["error"]["kind"]),
            (&"empty".into(), &"no rows".into())
        );
        let broken = summary(db.export("SELECT 1 AS a UNION SELECT x FROM nowhere"), 4);
        assert_eq!(
            (&broken["status"], &broken["exit_code"]),
            (&"failure".into(), &4.into())
        );
        let message = broken["error"]["message"].as_str().expect("a text");
        assert!(message.contains("nowhere"), "{message}");
        let unprepared = summary(db.export("CALL nothing()"), 4);
        assert_eq!(unprepared["protocol"], Json::Null);
        let offline = GoldDigger::new().env("DATABASE_URL", "mysql://me@127.0.0.1:1/");
        assert_eq!(
            summary(offline.arg("SELECT 1"), 3)["server_version"],
            Json::Null
        );
        let wrong = summary(db.export("SELECT 1; SELECT 2"), 2);
        assert_eq!(
            (&wrong["error"]["kind"], &wrong["target"]),
            (&"configuration".into(), &Json::Null)
        );
        let refused = summary(db.export(TWO_ROWS).args(["-o", "/nowhere/x.csv"]), 5);
        assert_eq!(
            (&refused["error"]["kind"], &refused["target"]),
            (&"output".into(), &"/nowhere/x.csv".into())
        );
    });
}

#[test]
fn the_summary_of_an_interrupted_run_has_all_documented_fields() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("summary.json");
        let run = db
            .export(&format!("SELECT SLEEP(100) AS {}", db.name))
            .arg("-vv")
            .arg("--summary")
            .arg(&path)
            .start();
        let is_running = || (!db.connections_running(&db.name).is_empty()).then_some(());
        wait_for("it runs", is_running);
        run.signal(Signal::SIGTERM);
        run.wait().ended_with(143);
        let text = fs::read_to_string(&path).expect("the summary");
        let ended: Json = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&ended["exit_code"], &ended["error"]["kind"]),
            (&143.into(), &"signal".into())
        );
        assert_fields_are_documented(&text);
        assert_fields_are_documented(&summary_text(db.export(TWO_ROWS), 0));
    });
}

#[test]
fn a_summary_that_cannot_be_written_is_an_error() {
    each_server(|db| {
        let run = |path: &Path| db.export(TWO_ROWS).arg("--summary").arg(path).run();
        // Before anything is written.
        let refused = run("/nowhere/s.json".as_ref()).ended(5, "gold_digger: cannot write the summary to /nowhere/s.json: its folder is missing\n  hint: create the folder first\n");
        assert_eq!(refused.stdout, b"");
        // The run does not wait for a FIFO without a reader.
        let folder = tempfile::tempdir().expect("a folder");
        let fifo = folder.path().join("fifo");
        make_fifo(&fifo);
        run(&fifo).failed(5, &["/fifo", "nobody reads"]);
        // The summary must not replace the rows, whatever name leads to their file.
        let target = folder.path().join("x.json");
        db.export(TWO_ROWS).arg("-o").arg(&target).run().wrote("");
        let link = folder.path().join("link.json");
        symlink(&target, &link).expect("a link");
        for name in [&target, &link, &folder.path().join("./x.json")] {
            let run = db.export(TWO_ROWS).arg("-o").arg(&target);
            run.arg("--summary")
                .arg(name)
                .run()
                .failed(2, &["the summary and the rows would go to the same place"]);
        }
    });
}

#[test]
fn a_summary_on_standard_error_is_one_safe_line() {
    each_server(|db| {
        let outcome = db.export(TWO_ROWS).args(["--summary", "-"]).run();
        let line: Json = serde_json::from_str(&outcome.stderr).expect("JSON");
        assert_eq!(
            (line["rows"].clone(), outcome.stderr.lines().count()),
            (2.into(), 1)
        );
        // No JSON contains passwords or characters that control a terminal.
        let hostile = "/nowhere/mysql://me:hushhush@h/\u{9b}2J\u{202e}";
        let run = db
            .export(TWO_ROWS)
            .args(["-o", hostile, "--summary", "-", "--log-format", "json"])
            .run();
        assert!(
            !run.stderr.contains("hushhush") && !run.stderr.contains(['\u{9b}', '\u{202e}']),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("\\u009b2J\\u202e"), "{}", run.stderr);
    });
}

/// Returns whether the system lets `wrapper` run the binary.
fn is_allowed(wrapper: &[&str]) -> bool {
    let mut test = Command::new(wrapper[0]);
    test.args(&wrapper[1..])
        .args(["test", "-x", env!("CARGO_BIN_EXE_gold_digger")]);
    test.status().is_ok_and(|status| status.success())
}

/// Kubernetes mounts a file of its own on /dev/termination-log.
#[test]
fn a_summary_is_written_in_place_where_it_cannot_be_replaced() {
    let unprivileged = ["setpriv", "--reuid=65534", "--clear-groups"];
    let of_user = ["unshare", "-rm"];
    let by_unprivileged = [&unprivileged[..], &of_user].concat();
    let mount = [
        "sh",
        "-c",
        "mount --bind \"$MOUNTED\" \"$LOG\" && exec \"$0\" \"$@\"",
    ];
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let set_mode = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("mine");
        };
        set_mode(folder.path(), 0o755);
        let paths = ["log", "mounted"].map(|name| folder.path().join(name));
        for (wrapper, written) in [
            (&["unshare", "-m"][..], 1),
            (&of_user, 1),
            (&by_unprivileged, 1),
            // The folder is not writable, and the file is.
            (&unprivileged, 0),
        ] {
            if !is_allowed(wrapper) {
                println!("{wrapper:?} is not allowed here");
                continue;
            }
            for path in &paths {
                fs::write(path, "an earlier, longer text ".repeat(100)).expect("a file");
                set_mode(path, 0o666);
            }
            let mount = if written == 1 { &mount[..] } else { &[] };
            let run = GoldDigger::wrapped_in(&[wrapper, mount].concat())
                .env("DATABASE_URL", db.url())
                .env("LOG", &paths[0])
                .env("MOUNTED", &paths[1]);
            let run = run.arg(TWO_ROWS).arg("--summary").arg(&paths[0]).run();
            run.ended(0, "");
            let text = fs::read_to_string(&paths[written]).expect("the summary");
            let summary: Json = serde_json::from_str(&text).expect("JSON");
            assert_eq!(summary["rows"], 2, "{wrapper:?}");
            assert_eq!(file_names(folder.path()), ["log", "mounted"]);
        }
    });
}
