//! The faults of the matrix for formats that are written in batches, in blocks or
//! compressed: their files are whole or absent, wherever the rows or the disk end.

use std::{fs, path::Path};

use super::{
    OLD_CONTENT, StalledQuery,
    networks::{Answer, fill, through},
    temp_file,
};
use crate::support::{
    GoldDigger, Outcome, Signal, each_server,
    fake::{Cut, CuttingProxy, End},
    file_names, on_a_server, wait_for,
};

/// A target of each kind.
const NAMES: [&str; 10] = [
    "x.sql",
    "x.md",
    "x.parquet",
    "x.arrow",
    "x.arrows",
    "x.xlsx",
    "x.csv.gz",
    "x.json.zst",
    "x.tsv.lz4",
    "x.ndjson.zst",
];

/// Asserts that the run ended with `code`, and left the earlier file and nothing else.
#[track_caller]
fn assert_untouched(outcome: Outcome, code: i32, folder: &Path, name: &str) {
    outcome.ended_with(code);
    let kept = fs::read_to_string(folder.join(name));
    assert_eq!(kept.expect("the file"), OLD_CONTENT, "{name}");
    assert_eq!(file_names(folder), [name]);
}

#[test]
fn only_a_complete_answer_becomes_a_file() {
    each_server(|db| {
        fill(db);
        let proxy = CuttingProxy::new(db.server.port, &db.name);
        for (seed, name) in NAMES.into_iter().enumerate() {
            let folder = tempfile::tempdir().expect("a folder");
            let target = folder.path().join(name);
            let protocol = ["text", "binary"][seed % 2];
            let export = || {
                let run = through(db, &proxy).args(["--protocol", protocol, "-o"]);
                run.arg(&target)
            };
            proxy.cut(None);
            export().run().ended_with(0);
            let answer = Answer::new(&proxy.answered());
            fs::write(&target, OLD_CONTENT).expect("a file");
            for (number, after) in answer.positions(seed, 3).into_iter().enumerate() {
                let by = [End::Fin, End::Rst][(number + seed) % 2];
                proxy.cut(Some(Cut { after, by }));
                assert_untouched(export().run(), 4, folder.path(), name);
            }
        }
    });
}

#[test]
fn a_file_that_cannot_grow_is_no_file() {
    on_a_server(|db| {
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
                   SELECT i, REPEAT(MD5(i), 60) AS x, RAND(i) AS r FROM n";
        for name in NAMES {
            let folder = tempfile::tempdir().expect("a folder");
            let target = folder.path().join(name);
            db.export(sql).arg("-o").arg(&target).run().ended_with(0);
            let whole = fs::metadata(&target).expect("the file").len();
            fs::write(&target, OLD_CONTENT).expect("a file");
            // The first bytes, the midst, what closes the document, and the last byte.
            for size in [
                0,
                1,
                5,
                whole / 3,
                whole / 2,
                whole - 9,
                whole - 5,
                whole - 1,
            ] {
                let limit = format!("--fsize={size}");
                let run = GoldDigger::wrapped_in(&["prlimit", &limit]);
                let run = run.env("DATABASE_URL", db.url()).arg(sql);
                let outcome = run.arg("-o").arg(&target).run();
                assert_untouched(outcome, 5, folder.path(), name);
            }
        }
    });
}

#[test]
fn a_run_that_is_ended_leaves_the_earlier_file() {
    each_server(|db| {
        let stalled = StalledQuery::new(db);
        for name in NAMES {
            let folder = tempfile::tempdir().expect("a folder");
            let target = folder.path().join(name);
            fs::write(&target, OLD_CONTENT).expect("a file");
            for signal in [Signal::SIGKILL, Signal::SIGTERM] {
                let run = stalled.export(db).arg("-o").arg(&target).start();
                wait_for("the query runs", || {
                    temp_file(folder.path())?;
                    (!db.connections_running(&db.name).is_empty()).then_some(())
                });
                run.signal(signal);
                let outcome = run.wait();
                if signal == Signal::SIGTERM {
                    // It has also removed what the killed run left.
                    assert_untouched(outcome, 143, folder.path(), name);
                } else {
                    assert_eq!(fs::read_to_string(&target).expect("the file"), OLD_CONTENT);
                    assert!(temp_file(folder.path()).is_some(), "{name}");
                }
                wait_for("the server notices", || {
                    db.connections_running(&db.name).is_empty().then_some(())
                });
            }
        }
    });
}
