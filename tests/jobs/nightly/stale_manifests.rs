//! Manifests of files that are replaced: none outlives its file, at whatever moment a
//! run ends.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::{
    jobs::reliability::disks::DISK,
    support::{GoldDigger, Signal, file_names, on_a_server, wait_until},
};

fn manifest(generator: &str, file: &str) -> String {
    format!("{{\"generator\": \"{generator}\", \"file\": \"{file}\"}}\n")
}

#[test]
fn a_run_that_replaces_a_file_removes_its_manifest() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let run = |target: &Path, args: &[&str]| {
            let run = db.export("SELECT 2 AS a").arg("-o").arg(target);
            run.args(args).run()
        };
        let first = db.export("SELECT 1 AS a").arg("--manifest").arg("-o");
        first.arg(path("x.csv")).run().wrote("");
        // A run that fails leaves both as they were.
        run(&path("x.csv"), &["--min-rows", "5"]).ended_with(6);
        let verify = || GoldDigger::new().arg("verify").arg(path("x.csv")).run();
        verify().ended(0, "");
        run(&path("x.csv"), &[]).wrote("");
        assert_eq!(file_names(folder.path()), ["x.csv"]);
        verify().ended_with(7);
        // With a manifest of its own, it replaces the earlier one.
        run(&path("x.csv"), &["--manifest"]).wrote("");
        verify().ended(0, "");

        // Neither another program's file nor another file's manifest is removed.
        for (generator, name) in [("other 1", "x.csv"), ("gold_digger 1", "y.csv"), ("", "")] {
            let text = manifest(generator, name);
            fs::write(path("x.csv.manifest.json"), &text).expect("a file");
            run(&path("x.csv"), &[]).wrote("");
            let found = fs::read_to_string(path("x.csv.manifest.json"));
            assert_eq!(found.expect("it"), text);
        }
        // Links: the manifests beside both names are of the file that is replaced.
        for name in ["x.csv", "link.csv"] {
            let text = manifest("gold_digger 1", name);
            fs::write(path(&format!("{name}.manifest.json")), text).expect("a file");
        }
        symlink("x.csv", path("link.csv")).expect("a link");
        run(&path("link.csv"), &[]).wrote("");
        assert_eq!(file_names(folder.path()), ["link.csv", "x.csv"]);
    });
}

/// Wherever the run is killed, the file is whole, and what stands beside it is its own
/// manifest or nothing.
#[test]
fn a_run_that_is_killed_leaves_no_manifest_of_another_file() {
    on_a_server(|db| {
        for (args, renamed, left) in [
            (&["--manifest"][..], "x.csv", "a\n1\n"),
            (&["--manifest"], "x.csv.manifest", "a\n2\n"),
            (&[], "x.csv", "a\n1\n"),
        ] {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("x.csv");
            let first = db.export("SELECT 1 AS a").arg("--manifest").arg("-o");
            first.arg(&file).run().wrote("");
            let gates = tempfile::tempdir().expect("a folder");
            let gate = gates.path().join("gate");
            fs::write(&gate, "").expect("a file");
            let run = db.export("SELECT 2 AS a").args(args).arg("-o").arg(&file);
            let run = run
                .env("LD_PRELOAD", &*DISK)
                .env("FAULT_CALL", "rename")
                .env("FAULT_ERRNO", "0")
                .env("FAULT_AFTER", "1")
                .env("FAULT_NAME", renamed)
                .env("FAULT_GATE", &gate)
                .start();
            let reached = gates.path().join("gate.reached");
            wait_until("the rename is blocked", || reached.exists());
            run.signal(Signal::SIGKILL);
            let _ = run.wait();
            assert_eq!(
                fs::read_to_string(&file).expect("the file"),
                left,
                "{renamed}"
            );
            assert!(
                !folder.path().join("x.csv.manifest.json").exists(),
                "{renamed}"
            );
        }
    });
}
