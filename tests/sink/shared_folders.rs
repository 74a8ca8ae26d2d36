//! Folders that everyone can write to, as /tmp: what other users put there is neither
//! followed nor replaced, also where the kernel does not see to that itself
//! (fs.protected_symlinks, fs.protected_regular, fs.protected_fifos).

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink},
    path::Path,
};

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::support::{GoldDigger, Outcome, file_names, make_fifo, on_a_server};

const ONE_ROW: &str = "SELECT 1 AS a";

/// Another user than that of the tests, which is root.
const OTHER: u32 = 65534;

/// Returns a folder like /tmp.
fn shared_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o1777)).expect("permissions");
    folder
}

/// The ways to write to a file: as the rows, a manifest, a summary and a state
/// file, and the exit codes if that fails.
const WAYS: [(&str, &str, i32); 4] = [
    ("x.csv", "rows", 5),
    ("x.csv.manifest.json", "manifest", 5),
    ("summary.json", "summary", 5),
    ("state.json", "state", 2),
];

/// Writes to `name` in `folder` in the way that is called `way`.
fn run(url: &str, folder: &Path, (name, way, _): (&str, &str, i32)) -> Outcome {
    let run = GoldDigger::new().env("DATABASE_URL", url);
    let config = tempfile::NamedTempFile::new().expect("a file");
    let path = folder.join(name);
    let run = match way {
        "rows" => run.arg(ONE_ROW).arg("-o").arg(&path),
        "manifest" => run
            .args([ONE_ROW, "--manifest", "-o"])
            .arg(folder.join("x.csv")),
        "summary" => run
            .args([ONE_ROW, "-o", "/dev/null", "--summary"])
            .arg(&path),
        _ => {
            let export = "[[export]]\nname = 'a'\nsql = 'SELECT 1 AS a'\npath = '/dev/null'";
            let state = format!("[run]\nstate = '{}'\n{export}", path.display());
            fs::write(config.path(), state).expect("a file");
            run.arg("--config").arg(config.path())
        }
    };
    run.run()
}

#[test]
fn files_and_links_of_others_are_neither_replaced_nor_followed() {
    if !geteuid().is_root() {
        return;
    }
    on_a_server(|db| {
        for way in WAYS {
            let elsewhere = tempfile::tempdir().expect("a folder");
            let precious = elsewhere.path().join("precious");
            // A state file that is read first must be one.
            let content = "{\"exports\": {}}";
            fs::write(&precious, content).expect("a file");

            let folder = shared_folder();
            let path = folder.path().join(way.0);
            symlink(&precious, &path).expect("a link");
            lchown(&path, Some(OTHER), Some(OTHER)).expect("root may");
            let outcome = run(&db.url(), folder.path(), way);
            outcome.failed_with_any_length(way.2, &[way.0, "another user's symbolic link"]);
            assert_eq!(
                fs::read_to_string(&precious).expect("the file"),
                content,
                "{way:?}"
            );
            assert_eq!(file_names(folder.path()), [way.0]);

            fs::remove_file(&path).expect("it can go");
            fs::write(&path, content).expect("a file");
            chown(&path, Some(OTHER), Some(OTHER)).expect("root may");
            let outcome = run(&db.url(), folder.path(), way);
            outcome.failed_with_any_length(way.2, &[way.0, "another user's file"]);
            assert_eq!(
                fs::read_to_string(&path).expect("the file"),
                content,
                "{way:?}"
            );
            assert_eq!(fs::metadata(&path).expect("the file").uid(), OTHER);
            assert_eq!(file_names(folder.path()), [way.0]);

            // Links of oneself are followed, and those of the folder's owner.
            for owner in [0, OTHER] {
                let folder = shared_folder();
                let path = folder.path().join(way.0);
                symlink(&precious, &path).expect("a link");
                lchown(&path, Some(owner), Some(owner)).expect("root may");
                chown(folder.path(), Some(owner), Some(owner)).expect("root may");
                fs::write(&precious, content).expect("a file");
                run(&db.url(), folder.path(), way).ended_with(0);
                assert_ne!(fs::read_to_string(&precious).expect("the file"), content);
            }
        }
    });
}

#[test]
fn fifos_of_others_get_nothing() {
    if !geteuid().is_root() {
        return;
    }
    on_a_server(|db| {
        for way in [WAYS[0], WAYS[2]] {
            let folder = shared_folder();
            let path = folder.path().join(way.0);
            make_fifo(&path);
            chown(&path, Some(OTHER), Some(OTHER)).expect("root may");
            let reader = fs::File::options().read(true).write(true).open(&path);
            let outcome = run(&db.url(), folder.path(), way);
            outcome.failed_with_any_length(way.2, &[way.0, "another user's"]);
            drop(reader);
        }
    });
}

#[test]
fn files_of_others_are_not_among_those_that_keep_leaves() {
    if !geteuid().is_root() {
        return;
    }
    on_a_server(|db| {
        let folder = shared_folder();
        let run_on = |day: u32| {
            let time = format!("2026-01-{day:02} 03:00:00");
            let run = GoldDigger::wrapped_in(&["faketime", "-f", &time]);
            let run = run
                .env("DATABASE_URL", db.url())
                .args([ONE_ROW, "--manifest"]);
            let run = run.args(["--keep", "2", "-o"]);
            run.arg(folder.path().join("x-{date:%d}.csv"))
                .run()
                .ended(0, "");
        };
        let path = |day: u32| folder.path().join(format!("x-{day:02}.csv"));
        run_on(1);
        run_on(2);
        chown(path(2), Some(OTHER), Some(OTHER)).expect("root may");
        run_on(3);
        assert!([1, 2, 3].into_iter().all(|day| path(day).exists()));
        run_on(4);
        let left = [1, 2, 3, 4].map(|day| path(day).exists());
        assert_eq!(left, [false, true, true, true]);
    });
}

/// `--keep-partial` gives the unfinished file a name that may be taken.
#[test]
fn rows_that_are_kept_replace_no_file_of_others() {
    if !geteuid().is_root() {
        return;
    }
    on_a_server(|db| {
        let folder = shared_folder();
        let partial = folder.path().join("x.csv.partial");
        fs::write(&partial, "another's").expect("a file");
        chown(&partial, Some(OTHER), Some(OTHER)).expect("root may");
        let rows =
            "SELECT REPEAT('x', 100000) UNION ALL SELECT REPEAT('x', @@max_allowed_packet + 1)";
        let run = db.export(rows).args(["--keep-partial", "-o"]);
        let run = run.arg(folder.path().join("x.csv")).run();
        run.failed_with_any_length(4, &["cannot be kept", "another user's file"]);
        assert_eq!(fs::read_to_string(&partial).expect("the file"), "another's");
        assert_eq!(file_names(folder.path()), ["x.csv.partial"]);
    });
}
