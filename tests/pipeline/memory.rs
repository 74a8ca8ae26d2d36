//! How much memory an export needs at most, whatever is in it. That it does not
//! grow with the number of rows is shown in `million_rows`.

use std::{fs::File, io::Read, path::Path};

use crate::support::{Database, GoldDigger, each_server};

const MIB: u64 = 1 << 20;

/// Exports under `time` and gives the peak of the memory in KiB.
pub fn peak_memory(db: &Database, flags: &[&str], sql: &str, target: &Path) -> u64 {
    let run = GoldDigger::wrapped_in(&["/usr/bin/time", "-f", "%M"]).env("DATABASE_URL", db.url());
    let outcome = run.args(flags).args([sql, "-o"]).arg(target).run();
    assert_eq!(outcome.status.code(), Some(0), "{}", outcome.stderr);
    let said = outcome.stderr.trim().parse();
    said.unwrap_or_else(|_| panic!("more than the memory was said: {}", outcome.stderr))
}

#[test]
fn values_of_256_mib_go_through_in_two_and_a_half_times_their_size() {
    const SIZE: u64 = 256 * MIB;
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        // Two rows, as one could be kept when the next comes.
        let text =
            r#"SELECT REPEAT('a"b\n', 67108864) AS x UNION ALL SELECT REPEAT('a"b\n', 67108864)"#;
        let bytes = "SELECT CAST(REPEAT('abc', 89478485) AS BINARY) AS x UNION ALL SELECT CAST(REPEAT('abc', 89478485) AS BINARY)";
        for (name, flags, sql, begin, unit, count, between, end) in [
            (
                "t.csv",
                &[][..],
                text,
                "x\n\"",
                "a\"\"b\n",
                SIZE / 4,
                "\"\n\"",
                "\"\n",
            ),
            (
                "t.tsv",
                &["--protocol=text"],
                text,
                "x\n",
                "a\"b\\n",
                SIZE / 4,
                "\n",
                "\n",
            ),
            (
                "t.json",
                &[],
                text,
                "[\n{\"x\":\"",
                "a\\\"b\\n",
                SIZE / 4,
                "\"},\n{\"x\":\"",
                "\"}\n]\n",
            ),
            ("b.csv", &[], bytes, "x\n", "YWJj", SIZE / 3, "\n", "\n"),
            (
                "b.tsv",
                &["--binary=hex"],
                bytes,
                "x\n",
                "616263",
                SIZE / 3,
                "\n",
                "\n",
            ),
            (
                "b.json",
                &["--protocol=text"],
                bytes,
                "[\n{\"x\":\"",
                "YWJj",
                SIZE / 3,
                "\"},\n{\"x\":\"",
                "\"}\n]\n",
            ),
        ] {
            let target = folder.path().join(name);
            let peak = peak_memory(db, flags, sql, &target);
            println!("{}: {name}: {peak} KiB", db.server.name);
            let limit = SIZE * 5 / 2 + 16 * MIB;
            assert!(peak * 1024 <= limit, "{name}: peak memory {peak} KiB");

            let mut file = File::open(&target).expect("the export");
            let mut expect = |text: &str| {
                let mut read = vec![0; text.len()];
                file.read_exact(&mut read).expect("no less");
                assert!(read == text.as_bytes(), "{name}: other bytes than expected");
            };
            for lead in [begin, between] {
                expect(lead);
                let many = 1 << 18;
                let block = unit.repeat(many);
                (0..count / many as u64).for_each(|_| expect(&block));
                expect(&unit.repeat(count as usize % many));
            }
            expect(end);
            assert_eq!(
                file.read(&mut [0]).expect("a file"),
                0,
                "{name}: more than expected"
            );
            std::fs::remove_file(&target).expect("it can go");
        }
    });
}
