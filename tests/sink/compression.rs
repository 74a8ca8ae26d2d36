//! Compressed files: other programs read them, and notice where one is cut.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Output, Stdio},
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{GoldDigger, each_server, file_names, on_a_server, wait_until};

/// Rows of some megabytes, which make several frames.
const LARGE: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
    SELECT a.i AS a, b.i AS b, SHA2(a.i * b.i, 256) AS c FROM n AS a, n AS b ORDER BY 1, 2";

/// The same rows with a further column.
fn large_with(column: &str) -> String {
    LARGE.replace(
        " FROM n AS a, n AS b ORDER BY 1, 2",
        &format!(", {column} AS d FROM n AS a, n AS b"),
    )
}

/// The names of the codecs, which are those of their programs, and their extensions.
const CODECS: [(&str, &str); 3] = [("gzip", "gz"), ("zstd", "zst"), ("lz4", "lz4")];

fn call(program: &str, args: &[&str], file: &Path) -> Output {
    let called = Command::new(program).args(args).arg(file).output();
    called.expect("the program is installed")
}

#[test]
fn other_programs_read_what_plain_files_have() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let run = |name: &str, args: &[&str]| {
            let run = db.export(LARGE).args(args).arg("-o").arg(path(name));
            run.arg("--manifest").run().ended(0, "");
            fs::read(path(name)).expect("the file")
        };
        for format in ["csv", "tsv", "json", "ndjson"] {
            let plain = run(&format!("x.{format}"), &[]);
            assert!(plain.len() > 4 << 20, "{} bytes", plain.len());
            for (codec, extension) in CODECS {
                let name = format!("x.{format}.{extension}");
                let stored = run(&name, &[]);
                // LZ4 finds repetitions only, and these are digits of hashes.
                let most = match codec {
                    "lz4" => plain.len(),
                    _ => plain.len() * 2 / 3,
                };
                assert!(stored.len() < most, "{name}: {} bytes", stored.len());
                assert_eq!(
                    call(codec, &["-t", "-q"], &path(&name)).status.code(),
                    Some(0)
                );
                let read = call(codec, &["-d", "-c"], &path(&name)).stdout;
                assert!(read == plain, "{name} has other rows");
                if format == "csv" {
                    // Threads do not change the order, nor the name the codec.
                    let args = [
                        "--compression",
                        &format!("{codec}:1"),
                        "--compression-threads",
                        "3",
                    ];
                    let name = "y.csv";
                    let others = run(name, &args);
                    // LZ4 has one level.
                    assert_eq!(others == stored, codec == "lz4", "another level");
                    // Only rows and level decide on the bytes.
                    assert!(run(name, &args[..2]) == others, "other bytes");
                    let kept = path(&format!("y.{extension}"));
                    fs::copy(path(name), &kept).expect("a copy");
                    assert!(call(codec, &["-d", "-c"], &kept).stdout == plain);
                }
            }
        }
        let verify = || {
            GoldDigger::new()
                .arg("verify")
                .arg(path("x.csv.gz"))
                .arg(path("x.json.zst"))
                .arg(path("x.tsv.lz4"))
        };
        let report = verify().run().ended(0, "").stdout;
        assert_eq!(
            String::from_utf8_lossy(&report)
                .matches(": OK (90000 rows, ")
                .count(),
            3
        );
        let summary = path("s.json");
        let run = db
            .export("SELECT 1 AS a")
            .args(["-v", "-o"])
            .arg(path("z.csv.gz"));
        let stderr = run.arg("--summary").arg(&summary).run().ended_with(0);
        let stored = fs::metadata(path("z.csv.gz")).expect("the file").len();
        assert!(
            stderr.contains(&format!("1 row, 4 bytes ({stored} stored) to ")),
            "{stderr}"
        );
        let summary: Value = serde_json::from_slice(&fs::read(summary).expect("it")).expect("JSON");
        assert_eq!(
            (&summary["bytes"], &summary["stored_bytes"]),
            (&4.into(), &stored.into())
        );
        let manifest = fs::read_to_string(path("x.json.zst.manifest.json")).expect("it");
        assert!(manifest.contains("\"compression\": \"zstd\""), "{manifest}");
        let mut bytes = fs::read(path("x.csv.gz")).expect("the file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path("x.csv.gz"), bytes).expect("a file");
        verify().run().failed(7, &["1 of 3 files failed"]);
    });
}

#[test]
fn a_file_that_is_cut_within_a_frame_is_noticed() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        for (codec, extension) in CODECS {
            let file = folder.path().join(format!("x.csv.{extension}"));
            db.export(LARGE).arg("-o").arg(&file).run().wrote("");
            let whole = fs::read(&file).expect("the file");
            for cut in (1..40)
                .map(|part| whole.len() * part / 40)
                .chain([1, 5, whole.len() - 1])
            {
                fs::write(&file, &whole[..cut]).expect("a file");
                let tested = call(codec, &["-t", "-q"], &file);
                assert!(
                    !tested.status.success(),
                    "{codec} takes {cut} bytes for whole"
                );
            }
        }
    });
}

#[test]
fn an_empty_result_and_a_wide_row_are_frames_too() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        for (codec, extension) in CODECS {
            let file = folder.path().join(format!("x.ndjson.{extension}"));
            for (sql, plain) in [
                ("SELECT 1 AS a FROM DUAL WHERE FALSE", String::new()),
                (
                    "SELECT REPEAT('x', 9000000) AS a",
                    format!("{{\"a\":\"{}\"}}\n", "x".repeat(9_000_000)),
                ),
            ] {
                db.export(sql)
                    .arg("--allow-empty")
                    .arg("-o")
                    .arg(&file)
                    .run()
                    .wrote("");
                assert_eq!(call(codec, &["-t", "-q"], &file).status.code(), Some(0));
                assert!(call(codec, &["-d", "-c"], &file).stdout == plain.as_bytes());
            }
        }
    });
}

#[test]
fn mistakes_about_compression_exit_2() {
    let run = |args: &[&str]| {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://me@127.0.0.1:1/db");
        run.args(args).arg("SELECT 1").run()
    };
    for (args, part) in [
        (
            &["--compression", "xz"][..],
            "it is gzip, zstd, lz4, gzip:LEVEL, zstd:LEVEL or none",
        ),
        (
            &["--compression", "gzip:10"],
            "a level of gzip is from 1 to 9",
        ),
        (
            &["--compression", "zstd:0"],
            "a level of zstd is from 1 to 19",
        ),
        (
            &["--compression", "zstd:x"],
            "a level of zstd is from 1 to 19",
        ),
        (
            &["--compression-threads", "2"],
            "--compression-threads has no meaning, as nothing is compressed",
        ),
        (
            &["--compression-threads", "2", "-o", "x.csv"],
            "as nothing is compressed",
        ),
        (
            &["-o", "x.avro.gz"],
            "ends in .avro, which is no format's extension",
        ),
        (
            &["-o", "x.csv.bz2"],
            "ends in .bz2, and nothing is compressed so here",
        ),
    ] {
        run(args).failed_with_any_length(2, &[part]);
    }
    for (args, shown) in [
        (
            &["-o", "x.csv.gz"][..],
            "\"gzip:5\", \"origin\": \"flag --output\"",
        ),
        (
            &["-o", "x.zst"],
            "\"zstd:3\", \"origin\": \"flag --output\"",
        ),
        (&["-o", "x.csv"], "\"none\", \"origin\": \"flag --output\""),
        (
            &["-o", "x.csv.gz", "--compression", "none"],
            "\"none\", \"origin\": \"flag --compression\"",
        ),
        (
            &["-o", "x.csv", "--compression", "zstd:9"],
            "\"zstd:9\", \"origin\": \"flag --compression\"",
        ),
        (&[], "null, \"origin\": \"default\""),
    ] {
        let dump = run(&[args, &["--dump-config"]].concat())
            .ended(0, "")
            .stdout;
        let dump = String::from_utf8_lossy(&dump).into_owned();
        let line = format!("\"compression\": {{\"value\": {shown}");
        assert!(dump.contains(&line), "{args:?}: {dump}");
    }
}

#[test]
fn a_run_that_fails_leaves_the_earlier_file() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let limit = ["sh", "-c", "ulimit -f 1000 && exec \"$@\"", "sh"];
        // It fails at one of its last rows.
        let breaks = large_with("(SELECT i FROM n WHERE a.i = 299 AND b.i = 299)");
        for (codec, extension) in CODECS {
            let file = folder.path().join(format!("x.csv.{extension}"));
            fs::write(&file, "as it was").expect("a file");
            let assert_untouched = || {
                assert_eq!(fs::read(&file).expect("the file"), b"as it was");
                assert_eq!(file_names(folder.path()), [format!("x.csv.{extension}")]);
            };
            let export = |run: GoldDigger| {
                let run = run.env("DATABASE_URL", db.url());
                run.args(["--retry", "1", "-o"]).arg(&file)
            };
            let full = export(GoldDigger::wrapped_in(&limit)).arg(LARGE).run();
            full.failed(5, &["ulimit -f, or the file system, allows no larger file"]);
            assert_untouched();
            let failed = export(GoldDigger::new()).arg(&breaks).run();
            failed.failed(4, &["returns more than 1 row", "was not touched"]);
            assert_untouched();
            let slow = large_with("SLEEP(IF(a.i = 250 AND b.i = 250, 100, 0))");
            let run = export(GoldDigger::new()).arg(slow).start();
            wait_until("rows have been written", || {
                let names = file_names(folder.path());
                let temporary = names.iter().find(|name| name.ends_with(".gold_digger"));
                let size = temporary.and_then(|name| fs::metadata(folder.path().join(name)).ok());
                size.is_some_and(|found| found.len() > 0)
            });
            run.signal(Signal::SIGTERM);
            run.wait()
                .failed(143, &["ended by SIGTERM", "was not touched"]);
            assert_untouched();
            // A reader of the stream goes away.
            let run = db.export(LARGE).args(["--compression", codec]);
            let mut run = run.stdout(Stdio::piped());
            let mut bytes = [0; 100];
            run.take_stdout().read_exact(&mut bytes).expect("a pipe");
            run.wait().ended(141, "");
            fs::remove_file(&file).expect("it can go");
        }
    });
}
