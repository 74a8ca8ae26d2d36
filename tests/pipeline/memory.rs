//! The peak memory of exports with large values. `million_rows` shows that it does
//! not grow with the number of rows.

use std::{fs::File, io::Read, path::Path};

use crate::support::{Database, GoldDigger, each_server};

const MIB: u64 = 1 << 20;

/// Runs an export under `time` and returns its peak memory in KiB.
pub fn peak_memory(db: &Database, flags: &[&str], sql: &str, target: &Path) -> u64 {
    let run = GoldDigger::wrapped_in(&["/usr/bin/time", "-f", "%M"]).env("DATABASE_URL", db.url());
    let outcome = run.args(flags).args([sql, "-o"]).arg(target).run();
    assert_eq!(outcome.status.code(), Some(0), "{}", outcome.stderr);
    let peak = outcome.stderr.trim().parse();
    peak.unwrap_or_else(|_| panic!("not only a number: {}", outcome.stderr))
}

/// An export of two rows with one value of [`SIZE`] bytes each. Two rows, because
/// one could still be in memory when the next one arrives.
struct LargeExport {
    name: &'static str,
    flags: &'static [&'static str],
    sql: &'static str,
    /// The text before the first value.
    begin: &'static str,
    /// The text that the file repeats in each value, and how often.
    unit: &'static str,
    count: u64,
    /// The text between the two values.
    between: &'static str,
    end: &'static str,
}

const SIZE: u64 = 256 * MIB;

const TEXT: &str =
    r#"SELECT REPEAT('a"b\n', 67108864) AS x UNION ALL SELECT REPEAT('a"b\n', 67108864)"#;

const BYTES: &str = "SELECT CAST(REPEAT('abc', 89478485) AS BINARY) AS x UNION ALL SELECT CAST(REPEAT('abc', 89478485) AS BINARY)";

fn large_text_exports() -> [LargeExport; 3] {
    [
        LargeExport {
            name: "t.csv",
            flags: &[],
            sql: TEXT,
            begin: "x\n\"",
            unit: "a\"\"b\n",
            count: SIZE / 4,
            between: "\"\n\"",
            end: "\"\n",
        },
        LargeExport {
            name: "t.tsv",
            flags: &["--protocol=text"],
            sql: TEXT,
            begin: "x\n",
            unit: "a\"b\\n",
            count: SIZE / 4,
            between: "\n",
            end: "\n",
        },
        LargeExport {
            name: "t.json",
            flags: &[],
            sql: TEXT,
            begin: "[\n{\"x\":\"",
            unit: "a\\\"b\\n",
            count: SIZE / 4,
            between: "\"},\n{\"x\":\"",
            end: "\"}\n]\n",
        },
    ]
}

fn large_binary_exports() -> [LargeExport; 3] {
    [
        LargeExport {
            name: "b.csv",
            flags: &[],
            sql: BYTES,
            begin: "x\n",
            unit: "YWJj",
            count: SIZE / 3,
            between: "\n",
            end: "\n",
        },
        LargeExport {
            name: "b.tsv",
            flags: &["--binary=hex"],
            sql: BYTES,
            begin: "x\n",
            unit: "616263",
            count: SIZE / 3,
            between: "\n",
            end: "\n",
        },
        LargeExport {
            name: "b.json",
            flags: &["--protocol=text"],
            sql: BYTES,
            begin: "[\n{\"x\":\"",
            unit: "YWJj",
            count: SIZE / 3,
            between: "\"},\n{\"x\":\"",
            end: "\"}\n]\n",
        },
    ]
}

/// Asserts that the file of `export` has its two values, and nothing else.
#[track_caller]
fn assert_content(export: &LargeExport, target: &Path) {
    let name = export.name;
    let mut file = File::open(target).expect("the export");
    let mut expect = |text: &str| {
        let mut read = vec![0; text.len()];
        file.read_exact(&mut read).expect("no less");
        assert!(read == text.as_bytes(), "{name}: other bytes than expected");
    };
    for lead in [export.begin, export.between] {
        expect(lead);
        let many = 1 << 18;
        let block = export.unit.repeat(many);
        (0..export.count / many as u64).for_each(|_| expect(&block));
        expect(&export.unit.repeat(export.count as usize % many));
    }
    expect(export.end);
    assert_eq!(
        file.read(&mut [0]).expect("a file"),
        0,
        "{name}: more than expected"
    );
}

#[test]
fn values_of_256_mib_need_two_and_a_half_times_their_size() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let exports = large_text_exports()
            .into_iter()
            .chain(large_binary_exports());
        for export in exports {
            let name = export.name;
            let target = folder.path().join(name);
            let peak = peak_memory(db, export.flags, export.sql, &target);
            println!("{}: {name}: {peak} KiB", db.server.name);
            let limit = SIZE * 5 / 2 + 16 * MIB;
            assert!(peak * 1024 <= limit, "{name}: peak memory {peak} KiB");
            assert_content(&export, &target);
            std::fs::remove_file(&target).expect("it can go");
        }
    });
}
