//! Tables that are read in chunks, over several connections.

use std::{fs, path::Path};

use mysql::{Value, prelude::Queryable};
use nix::sys::signal::Signal;
use serde_json::Value as Json;

use crate::support::{
    Database, GoldDigger, Outcome, assert_as_schema, each_logging_server, file_names, on_a_server,
    wait_until,
};

/// The numbers from 0 to 9,999, as `n.n`.
pub(super) const NUMBERS: &str = "(WITH d AS (SELECT 0 AS i UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
     UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)
     SELECT a.i + b.i * 10 + c.i * 100 + d.i * 1000 AS n FROM d a, d b, d c, d) n";

/// A table: its columns but the last one, its key, and the values of row number `n`.
pub(super) type Case = (&'static str, &'static str, &'static str);

/// Keys of every type, with accents, case, trailing blanks, gaps and extremes.
pub(super) const KEYS: &[Case] = &[
    ("id INT PRIMARY KEY", "id", "n"),
    (
        "id BIGINT PRIMARY KEY",
        "id",
        "ELT(1 + n, -9223372036854775808, -5, 0, 7, 8, 9, 1000000000000, 4611686018427387904, -4611686018427387904, 9223372036854775807)",
    ),
    (
        "id BIGINT UNSIGNED PRIMARY KEY",
        "id",
        "IF(n = 5000, 18446744073709551615, n)",
    ),
    (
        "a INT, b VARCHAR(20) COLLATE utf8mb4_general_ci, c DATE, PRIMARY KEY (a, b, c)",
        "a, b, c",
        "IF(n % 10, 3, n % 7), CONCAT(ELT(1 + n % 5, 'é', 'e', 'Z', 'z ', 'ß'), n), '2026-01-01' + INTERVAL n % 3 DAY",
    ),
    (
        "s VARCHAR(40) COLLATE utf8mb4_unicode_ci PRIMARY KEY",
        "s",
        "CONCAT(ELT(1 + n % 6, 'é', 'f', 'Z', 'y ', 'ß', '😀'), HEX(n * 7919))",
    ),
    (
        "s CHAR(20) CHARACTER SET latin1 PRIMARY KEY",
        "s",
        "CONCAT(ELT(1 + n % 3, 'ä', 'A', '\\\\'), n * 7919)",
    ),
    (
        "b BINARY(16) PRIMARY KEY",
        "b",
        "UNHEX(LEFT(SHA2(n, 256), 32))",
    ),
    (
        "b VARBINARY(20) PRIMARY KEY",
        "b",
        "UNHEX(LEFT(SHA2(n, 256), 2 * (n % 5) + 8))",
    ),
    (
        "d DECIMAL(30,10) PRIMARY KEY",
        "d",
        "(n - 5000) * 1234567.0000000001",
    ),
    (
        "t DATETIME(6) PRIMARY KEY",
        "t",
        "'2026-01-01' + INTERVAL n * 1234567 MICROSECOND",
    ),
    ("t TIME(3) PRIMARY KEY", "t", "SEC_TO_TIME((n - 5000) / 8)"),
    // The primary key would be the first choice; a unique one without NULLs is the second.
    (
        "u INT NULL UNIQUE, v INT NOT NULL UNIQUE",
        "v",
        "IF(n % 2, NULL, n), n * 5",
    ),
];

pub(super) fn fill(db: &Database, (columns, _, values): Case) {
    db.sql("DROP TABLE IF EXISTS t");
    // The note makes rows long enough for several pages.
    let (columns, keys) = match columns.split_once(", PRIMARY KEY") {
        Some((columns, keys)) => (columns, format!(", PRIMARY KEY{keys}")),
        None => (columns, String::new()),
    };
    db.sql(&format!(
        "CREATE TABLE t ({columns}, note VARCHAR(99) NOT NULL{keys})"
    ));
    db.sql(&format!(
        "INSERT INTO t SELECT {values}, CONCAT('n, \"', n) FROM {NUMBERS}{}",
        if values.starts_with("ELT(") {
            " WHERE n < 10"
        } else {
            ""
        }
    ));
    db.connect()
        .query_drop("ANALYZE TABLE t")
        .expect("statistics");
}

fn run(db: &Database, args: &[&str], file: &Path) -> Outcome {
    let run = GoldDigger::new().env("DATABASE_URL", db.url());
    run.args(["--binary", "hex"])
        .args(args)
        .arg("-o")
        .arg(file)
        .run()
}

pub(super) fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect(name)
}

/// The rows of the files of the dataset that `{part}` in `name` numbers, and their counts.
pub(super) fn parts(folder: &Path, name: &str) -> (String, Vec<u64>) {
    let dataset = name.replace("{part}", "all") + ".dataset.json";
    let found: Json = serde_json::from_str(&read(folder, &dataset)).expect("JSON");
    assert_as_schema("dataset", &found);
    let files = found["files"].as_array().expect("files");
    let file = |file: &Json| read(folder, file["file"].as_str().expect("a name"));
    let rows = files
        .iter()
        .map(|file| file["rows"].as_u64().expect("rows"));
    (files.iter().map(file).collect(), rows.collect())
}

#[test]
fn the_union_of_all_chunks_is_the_single_read() {
    each_logging_server(|db| {
        for case in KEYS {
            fill(db, *case);
            let folder = tempfile::tempdir().expect("a folder");
            let folder = folder.path();
            let sql = format!("SELECT * FROM t ORDER BY {}", case.1);
            let single = folder.join("single.csv");
            run(db, &["--header=false", &sql], &single).ended(0, "");
            let expected = read(folder, "single.csv");
            let count = expected.lines().count();
            let joined = folder.join("joined.csv");
            let args = ["--header=false", "--table=t", "--split=5"];
            run(db, &args, &joined).ended(0, "");
            assert!(read(folder, "joined.csv") == expected, "{case:?}");
            run(db, &args, &folder.join("part-{part}.csv")).ended(0, "");
            let (rows, counts) = parts(folder, "part-{part}.csv");
            assert!(rows == expected, "{case:?}");
            assert_eq!(counts.len(), 5, "{case:?} {counts:?}");
            let largest = counts.iter().max().expect("a count");
            assert!(*largest as usize <= count * 2 / 5, "{case:?} {counts:?}");
        }
    });
}

#[test]
fn chunks_are_joined_to_one_document_of_every_format_that_can_be() {
    each_logging_server(|db| {
        fill(db, KEYS[0]);
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        // Also where the first chunks, or all of them, have no rows.
        for condition in ["TRUE", "id > 5000", "FALSE"] {
            for extension in [
                "csv", "tsv", "json", "ndjson", "md", "csv.gz", "json.zst", "tsv.lz4",
            ] {
                let at = |name: &str| folder.join(format!("{name}.{extension}"));
                let sql = format!("SELECT * FROM t WHERE ({condition}) ORDER BY id");
                run(db, &["--allow-empty", &sql], &at("single")).ended(0, "");
                let args = [
                    "--allow-empty",
                    "--manifest",
                    "--table=t",
                    "--split-rows=900",
                    "--where",
                    condition,
                ];
                run(db, &args, &at("joined")).ended(0, "");
                GoldDigger::new()
                    .arg("verify")
                    .arg(at("joined"))
                    .run()
                    .ended(0, "");
                let [single, joined] = ["single", "joined"].map(|name| {
                    let bytes = fs::read(at(name)).expect("a file");
                    let codec = match extension.rsplit_once('.').map(|(_, codec)| codec) {
                        Some("gz") => gold_digger::format::Codec::Gzip,
                        Some("zst") => gold_digger::format::Codec::Zstd,
                        Some("lz4") => gold_digger::format::Codec::Lz4,
                        _ => return bytes,
                    };
                    let mut plain = gold_digger::sink::decoder(codec, &bytes[..]).expect("a codec");
                    let mut found = Vec::new();
                    std::io::Read::read_to_end(&mut plain, &mut found).expect("whole frames");
                    found
                });
                assert!(single == joined, "{condition} {extension}");
            }
        }
        let stdout = GoldDigger::new().env("DATABASE_URL", db.url());
        let stdout = stdout
            .args(["--table=t", "--split=3", "--columns=id"])
            .run();
        let expected =
            "id\n".to_owned() + &(0..10_000).map(|id| format!("{id}\n")).collect::<String>();
        stdout.ended(0, "").wrote(expected);
        assert_eq!(file_names(folder).len(), 24, "{:?}", file_names(folder));
    });
}

#[test]
fn a_statement_is_divided_where_it_says() {
    each_logging_server(|db| {
        fill(db, KEYS[0]);
        db.sql("CREATE TABLE other (id INT PRIMARY KEY, t_id INT, KEY (t_id))");
        db.sql("INSERT INTO other SELECT id, id DIV 2 FROM t");
        db.sql("CREATE VIEW v AS SELECT id AS k, note FROM t");
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        for (args, single) in [
            (
                vec![
                    "SELECT id, note FROM t AS x WHERE :chunk AND id <> :not ORDER BY id",
                    "--param",
                    "not=7",
                ],
                "SELECT id, note FROM t WHERE id <> 7 ORDER BY id",
            ),
            (
                vec![
                    "--split-by=o.id",
                    "SELECT o.id, t.note FROM other o JOIN t ON t.id = o.t_id WHERE :chunk ORDER BY o.id",
                ],
                "SELECT o.id, t.note FROM other o JOIN t ON t.id = o.t_id ORDER BY o.id",
            ),
            (
                vec![
                    "--split-by=v.k",
                    "SELECT k, note FROM v WHERE :chunk ORDER BY k",
                ],
                "SELECT k, note FROM v ORDER BY k",
            ),
            (
                vec!["--table=v", "--split-by=k"],
                "SELECT k, note FROM v ORDER BY k",
            ),
        ] {
            run(db, &[single], &folder.join("single.csv")).ended(0, "");
            let args = [&args[..], &["--split=4"]].concat();
            run(db, &args, &folder.join("joined.csv")).ended(0, "");
            assert!(
                read(folder, "joined.csv") == read(folder, "single.csv"),
                "{args:?}"
            );
            run(
                db,
                &[&args[..], &["--header=false"]].concat(),
                &folder.join("{part}.csv"),
            )
            .ended(0, "");
            let (rows, counts) = parts(folder, "{part}.csv");
            assert_eq!(
                read(folder, "single.csv").split_once('\n').expect("rows").1,
                rows
            );
            assert_eq!(counts.len(), 4, "{args:?} {counts:?}");
        }
        // An outer join makes NULL of a key: these rows are in the first chunk.
        let outer =
            "SELECT t.id, o.id AS o FROM t LEFT JOIN other o ON o.t_id = t.id AND t.id < 2000";
        run(
            db,
            &[&format!("{outer} ORDER BY 1, 2")],
            &folder.join("single.csv"),
        )
        .ended(0, "");
        let args = [
            &format!("{outer} WHERE :chunk"),
            "--split-by=o.id",
            "--split=4",
        ];
        run(db, &args, &folder.join("joined.csv")).ended(0, "");
        let sorted = |name: &str| {
            let mut lines: Vec<_> = read(folder, name).lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert!(sorted("joined.csv") == sorted("single.csv"));
        db.sql(&format!("CREATE VIEW outer_view AS {outer}"));
        let args = ["--table=outer_view", "--split-by=o", "--split=4"];
        run(db, &args, &folder.join("joined.csv")).ended(0, "");
        assert!(sorted("joined.csv") == sorted("single.csv"));
        let limited = [
            "--table=t",
            "--split=4",
            "--init",
            "SET sql_select_limit = 5",
        ];
        run(db, &limited, &folder.join("x.csv")).failed(
            4,
            &["an init statement limits results to 5 rows (sql_select_limit), so that some would be missing"],
        );
        let two = "SELECT o.id FROM other o JOIN t ON t.id = o.t_id WHERE :chunk";
        run(db, &["--split=4", two], &folder.join("x.csv")).failed(
            4,
            &[
                "the statement reads several tables (o, t)",
                "--split-by or --incremental TABLE.COLUMN",
            ],
        );
    });
}

#[test]
fn a_column_that_is_not_unique_divides_too() {
    each_logging_server(|db| {
        db.sql("CREATE TABLE t (a VARCHAR(9) COLLATE utf8mb4_general_ci, id INT PRIMARY KEY, e ENUM('b', 'a'), KEY (a))");
        db.sql(&format!(
            "INSERT INTO t SELECT ELT(1 + n % 9, NULL, 'a', 'A', 'á', 'b', 'B ', NULL, 'c', ''), n, 'a' FROM {NUMBERS} WHERE n < 3000"
        ));
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let file = folder.join("single.csv");
        run(db, &["SELECT * FROM t ORDER BY a, id"], &file).ended(0, "");
        let file = folder.join("joined.csv");
        run(db, &["--table=t", "--split-by=a", "--split=9"], &file).ended(0, "");
        assert!(read(folder, "joined.csv") == read(folder, "single.csv"));
        run(
            db,
            &["--table=t", "--split-by=a", "--split=9"],
            &folder.join("{part}.csv"),
        )
        .ended(0, "");
        let (_, counts) = parts(folder, "{part}.csv");
        assert_eq!(counts.iter().sum::<u64>(), 3000);
        let first = read(folder, "00001.csv");
        let nulls = first.lines().skip(1).filter(|line| line.starts_with(','));
        assert_eq!(nulls.count(), 667, "all NULLs are in the first part");

        // Ties may be ordered by what cannot divide; an index that is not used does not help.
        db.sql("CREATE TABLE ties (kind ENUM('x', 'y'), id INT, PRIMARY KEY (kind, id), KEY hidden (id))");
        db.sql(&format!(
            "INSERT INTO ties SELECT 1 + n % 2, n DIV 2 FROM {NUMBERS}"
        ));
        let hide = if db.is_mariadb() {
            "IGNORED"
        } else {
            "INVISIBLE"
        };
        run(
            db,
            &["SELECT * FROM ties ORDER BY id, kind"],
            &folder.join("single.csv"),
        )
        .ended(0, "");
        for warnings in [
            &[][..],
            &["ties has no index that begins with id: each chunk reads the whole table"],
        ] {
            let args = ["--table=ties", "--split-by=id", "--split=5"];
            run(db, &args, &folder.join("joined.csv")).failed(0, warnings);
            assert!(read(folder, "joined.csv") == read(folder, "single.csv"));
            db.sql(&format!("ALTER TABLE ties ALTER INDEX hidden {hide}"));
        }
        // The statistics are those of an empty table.
        db.sql("CREATE TABLE stale (id INT PRIMARY KEY) STATS_PERSISTENT=1, STATS_AUTO_RECALC=0");
        db.sql(&format!("INSERT INTO stale SELECT n FROM {NUMBERS}"));
        run(
            db,
            &["--table=stale", "--split=4", "--header=false"],
            &folder.join("s-{part}.csv"),
        )
        .ended(0, "");
        assert_eq!(parts(folder, "s-{part}.csv").1, [2500; 4]);

        for (by, problem) in [
            ("e", "t cannot be divided by e, as that is a ENUM"),
            ("x", "t has no column x"),
        ] {
            let run = run(db, &["--table=t", "--split=2", "--split-by", by], &file);
            run.failed(4, &[problem]);
        }
        db.sql("CREATE TABLE nokey (a INT NULL UNIQUE, b INT)");
        db.sql("INSERT INTO nokey VALUES (1, 1), (NULL, 2)");
        let none = [
            "nokey has no primary key, and no unique key without NULLs",
            "--split-by COLUMN",
        ];
        run(db, &["--table=nokey", "--split=2"], &file).failed(4, &none);
        let no_index = "nokey has no index that begins with b: each chunk reads the whole table";
        run(db, &["--table=nokey", "--split=2", "--split-by=b"], &file).failed(0, &[no_index]);
        // Among many tables, one without a key is read as a whole.
        run(
            db,
            &["--tables=*", "--split=2"],
            &folder.join("all-{table}.csv"),
        )
        .failed_with_any_length(
            0,
            &[
                "nokey has no primary key, and no unique key without NULLs: its rows are one chunk",
                "ties cannot be divided by kind, as that is a ENUM: its rows are one chunk",
            ],
        );
        assert_eq!(read(folder, "all-nokey.csv").lines().count(), 3);
        assert_eq!(read(folder, "all-t.csv").lines().count(), 3001);
    });
}

#[test]
fn chunks_are_of_one_snapshot_unless_told_otherwise() {
    each_logging_server(|db| {
        fill(db, KEYS[0]);
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        run(db, &["--table=t", "--split=4"], &folder.join("{part}.csv")).ended(0, "");
        let found: Json =
            serde_json::from_str(&read(folder, "all.csv.dataset.json")).expect("JSON");
        assert!(found["snapshot"].is_object(), "{found}");
        // The snapshot need not be said for the lock.
        let args = ["--table=t", "--split=4", "--lock"];
        run(db, &args, &folder.join("{part}.csv")).ended(0, "");
        let no_snapshot = "the chunks are read at different moments, as there is no snapshot";
        let args = ["--table=t", "--split=4", "--snapshot=false"];
        run(db, &args, &folder.join("{part}.csv")).failed(0, &[no_snapshot]);
        let found: Json =
            serde_json::from_str(&read(folder, "all.csv.dataset.json")).expect("JSON");
        assert!(found["snapshot"].is_null(), "{found}");
    });
}

#[test]
fn what_fails_in_one_chunk_leaves_everything_as_it_was() {
    each_logging_server(|db| {
        fill(db, KEYS[0]);
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let failing =
            "SELECT id, IF(id = 7500, (SELECT 1 UNION SELECT id), 1) AS x FROM t WHERE :chunk";
        for name in ["x.csv", "{part}.csv"] {
            run(db, &["--split=4", failing], &folder.join(name))
                .failed(4, &["chunk 4 of 4: ", "1242 (21000)"]);
            for (guard, code, problem) in [
                ("--max-rows=9999", 6, "there are more than 9999 rows"),
                (
                    "--min-rows=10001",
                    6,
                    "there are 10000 rows, fewer than 10001",
                ),
                ("--where=FALSE", 1, "no rows"),
            ] {
                let run = run(db, &["--split=4", "--table=t", guard], &folder.join(name));
                let shown = run.ended_with(code);
                assert!(shown.contains(problem), "{shown}");
            }
        }
        assert_eq!(file_names(folder), [""; 0]);

        // A table that is rebuilt between two chunks. (What MariaDB alters at once, its
        // snapshots can still read.)
        let mut conn = db.connect();
        conn.query_drop("SELECT GET_LOCK('split', 60)")
            .expect("a lock");
        let waiting =
            "SELECT id, IF(id = 1, GET_LOCK('split', 60), 0) AS altered_midway FROM t WHERE :chunk";
        let program = GoldDigger::new().env("DATABASE_URL", db.url());
        let program = program.args(["--split=4", "--connections=1", waiting, "-o"]);
        let program = program.arg(folder.join("x.csv")).start();
        wait_until("the lock is waited for", || {
            !db.connections_waiting("altered_midway").is_empty()
        });
        std::thread::scope(|scope| {
            scope.spawn(|| db.sql("ALTER TABLE t ADD COLUMN altered INT, ALGORITHM=COPY"));
            wait_until("ALTER TABLE waits for the first chunk", || {
                let sql = "SELECT 1 FROM information_schema.PROCESSLIST WHERE DB = DATABASE()
                           AND INFO LIKE 'ALTER TABLE%' AND STATE LIKE 'Waiting for table metadata lock%'";
                !db.connect()
                    .query::<Value, _>(sql)
                    .expect("the list")
                    .is_empty()
            });
            conn.query_drop("SELECT RELEASE_LOCK('split')")
                .expect("a lock");
        });
        let shown = program.wait().ended_with(4);
        assert!(shown.contains("chunk 2 of 4: "), "{shown}");
        assert_eq!(file_names(folder), [""; 0]);
    });
}

#[test]
fn a_target_that_cannot_be_is_told_before_the_rows_are_read() {
    on_a_server(|db| {
        fill(db, KEYS[0]);
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        let args = ["--table=t", "--split=4", "--connections=1"];
        run(db, &args, &folder.join("missing/x.csv")).failed(
            5,
            &[
                "chunk 1 of 4: ",
                "create the folder first, or let --create-dirs do it",
            ],
        );
        let args = [&args[..], &["--create-dirs"]].concat();
        run(db, &args, &folder.join("new/x.csv")).ended(0, "");
        assert_eq!(read(folder, "new/x.csv").lines().count(), 10_001);
        run(db, &args, &folder.join("new")).failed(5, &["it is a directory"]);
    });
}

#[test]
fn a_signal_ends_all_chunks() {
    each_logging_server(|db| {
        fill(db, KEYS[0]);
        for name in ["x.csv", "{part}.csv"] {
            let folder = tempfile::tempdir().expect("a folder");
            let sleeping = "SELECT id, SLEEP(1) AS ended_by_signal FROM t WHERE :chunk";
            let program = GoldDigger::new().env("DATABASE_URL", db.url());
            let program = program.args(["--split=4", sleeping, "-o"]);
            let program = program.arg(folder.path().join(name)).start();
            wait_until("all chunks run", || {
                db.connections_running("ended_by_signal").len() == 4
            });
            program.signal(Signal::SIGTERM);
            program.wait().ended_with(143);
            assert_eq!(file_names(folder.path()), [""; 0]);
            wait_until("the queries have ended", || {
                db.connections_running("ended_by_signal").is_empty()
            });
        }
    });
}

#[test]
fn wrong_settings_are_refused_before_connecting() {
    let no_chunk = "reads the rows in chunks, and the query has no :chunk";
    #[rustfmt::skip]
    let cases: &[(&[&str], &str)] = &[
        (&["--split=4", "SELECT 1"], no_chunk),
        (&["--split-rows=4", "SELECT ':chunk'"], no_chunk),
        (&["--split=0", "--table=t"], "it is a number from 1 to 10000"),
        (&["--split=10001", "--table=t"], "it is a number from 1 to 10000"),
        (&["--split-rows=0", "--table=t"], "it is a number of rows from 1 on"),
        (&["--split=4", "--split-rows=4", "--table=t"], "cannot stand beside split_rows"),
        (&["--split=4", "--limit=4", "--table=t"], "cannot stand beside limit"),
        (&["--split=4", "--rows-per-file=4", "--table=t", "-o", "{part}.csv"], "cannot stand beside rows_per_file"),
        (&["--split-by=a", "--table=t"], "names the columns that divide a table, and nothing divides it"),
        (&["--split=4", "--split-by=o.a", "--table=t"], "the rows are those of a table already"),
        (&["--split=4", "--split-by=o.a,t.b", "SELECT 1 WHERE :chunk"], "its columns are of several tables"),
        (&["--split=4", "--param", "chunk=1", "SELECT 1 WHERE :chunk"], "gives chunk a value"),
        (&["--split=4", "SELECT 1 FROM t WHERE a OR :chunk"], "has :chunk elsewhere than in a condition of its own"),
        (&["--split=4", "SELECT COUNT(*) FROM t WHERE :chunk"], "has COUNT(), which depends on all rows"),
        (&["--lock", "SELECT 1"], "locks for a snapshot, and there is none"),
        (&["SELECT 1 WHERE :chunk"], "--split N has it be the condition of a chunk"),
        (&["--split=4", "--table=t", "-o", "x.xlsx"], "not joined to one file of xlsx"),
        (&["--split=4", "--table=t", "-o", "x.arrow"], "-o 'NAME-{part}.arrow'"),
        (&["--split=4", "--table=t", "-o", "x.sql"], "not joined to one file of sql"),
        (&["--split=4", "--table=t", "--format=table"], "not joined to one file of table"),
    ];
    for (args, problem) in cases {
        let run = GoldDigger::new().env("DATABASE_URL", "mysql://u@127.0.0.1:1/d");
        let shown = run.args(*args).run().ended_with(2);
        assert!(shown.contains(problem), "{args:?}: {shown}");
    }
}

#[test]
fn columnar_files_are_divided_by_chunks() {
    on_a_server(|db| {
        fill(db, KEYS[0]);
        let folder = tempfile::tempdir().expect("a folder");
        for extension in ["parquet", "arrow", "xlsx", "sql"] {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            let run = run.args(["--table=t", "--split=3", "--connections=1", "-o"]);
            let file = folder.path().join(format!("{{part}}.{extension}"));
            run.arg(file).run().ended(0, "");
            let dataset = folder.path().join(format!("all.{extension}.dataset.json"));
            let verified = GoldDigger::new()
                .arg("verify")
                .arg(&dataset)
                .run()
                .ended(0, "")
                .stdout;
            let shown = String::from_utf8(verified).expect("UTF-8");
            assert!(shown.contains("(3 files, 10000 rows, "), "{shown}");
        }
    });
}
