//! Columnar files, read by readers of others: every value of a table of every type, and
//! what is said of the columns.

use std::{ffi::OsString, fs, path::Path, process::Command};

use mysql::prelude::Queryable;
use serde_json::{Value, json};

use super::{
    assert_verified, python_json,
    targets::{COLUMNS, compare, create, query},
};
use crate::support::{Database, GoldDigger, each_server, installed, on_a_server};

/// Python that prints, as JSON, what is said of the columns of the Parquet file that it
/// gets.
const DESCRIBE: &str = r#"
import json, pyarrow.parquet, sys
file = pyarrow.parquet.ParquetFile(sys.argv[1])
facts = {key.decode(): value.decode() for key, value in file.metadata.metadata.items() if key != b'ARROW:schema'}
groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
chunks = [groups[0].column(number) for number in range(groups[0].num_columns)] if groups else []
print(json.dumps({
    'created_by': file.metadata.created_by, 'rows': file.metadata.num_rows, 'groups': len(groups), 'facts': facts,
    'columns': {column.path: [column.physical_type, str(column.logical_type.type), column.max_definition_level]
                for column in (file.schema.column(number) for number in range(len(file.schema)))},
    'codecs': sorted({chunk.compression for chunk in chunks}),
    'dictionaries': [chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page],
    'blooms': [chunk.path_in_schema for chunk in chunks if getattr(chunk, 'bloom_filter_offset', None)],
    'indexed': all(chunk.has_column_index and chunk.has_offset_index for chunk in chunks),
    'minima': {chunk.path_in_schema: str(chunk.statistics.min) for chunk in chunks if chunk.statistics and chunk.statistics.has_min_max},
}))
"#;

fn describe(path: &Path) -> Value {
    python_json(DESCRIBE, path)
}

/// All columns but those of `without`.
fn columns_without(without: &[&str]) -> String {
    let names = COLUMNS.iter().map(|column| match column.strip_prefix('`') {
        Some(_) => &column[..=column.rfind('`').expect("a quote")],
        None => column.split(' ').next().expect("a name"),
    });
    let chosen: Vec<_> = names.filter(|name| !without.contains(name)).collect();
    chosen.join(", ")
}

fn export(db: &Database, sql: &str, protocol: &str, file: &Path) {
    let outcome = db
        .export(sql)
        .args(["--protocol", protocol, "-o"])
        .arg(file)
        .run();
    outcome.failed(
        0,
        &["4 dates that no calendar has, such as 0000-00-00, were written as NULL"],
    );
}

#[test]
fn readers_find_every_value_of_the_server() {
    each_server(|db| {
        create(db);
        let folder = tempfile::tempdir().expect("a folder");
        let all = columns_without(&[]);
        // Polars has no decimals of more than 38 digits, and aborts.
        let narrow = columns_without(&["dec_65"]);
        let cases = [
            ("parquet", &all, ["pyarrow", "polars"]),
            ("parquet", &all, ["duckdb-file", "duckdb-file"]),
            ("arrow", &all, ["pyarrow", "pyarrow"]),
            ("arrows", &all, ["pyarrow", "pyarrow"]),
            ("arrow", &narrow, ["polars", "polars"]),
            ("arrows", &narrow, ["polars", "polars"]),
        ];
        for (extension, columns, readers) in cases {
            let file = folder.path().join("t").with_extension(extension);
            let sql = query(columns, &[]);
            export(db, &sql, "binary", &file);
            let place = OsString::from(&file);
            for reader in readers {
                compare(db, &sql, reader, &place, "", 260);
            }
        }
        // Over the text protocol, a FLOAT has six digits, and all else is the same.
        let sql = query(&columns_without(&["fl"]), &[]);
        for extension in ["parquet", "arrow", "arrows"] {
            let bytes = ["text", "binary"].map(|protocol| {
                let file = folder.path().join("t").with_extension(extension);
                export(db, &sql, protocol, &file);
                fs::read(&file).expect("the file")
            });
            assert!(bytes[0] == bytes[1], "{extension} differs by protocol");
        }
    });
}

#[test]
fn chunks_are_joined_to_one_parquet_file() {
    each_server(|db| {
        create(db);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.parquet");
        let run = GoldDigger::new().env("DATABASE_URL", db.url());
        let run = run.args(["--table=t", "--split=5", "--connections=1", "--manifest"]);
        let run = run.args(["--parquet-bloom=id", "-o"]).arg(&file).run();
        let dates = [
            "chunk 1: 3 dates that no calendar has, such as 0000-00-00, were written as NULL",
            "chunk 5: 1 date that no calendar has",
        ];
        run.failed_with_any_length(0, &dates);
        let sql = query("*", &[]);
        for reader in ["pyarrow", "duckdb-file"] {
            compare(db, &sql, reader, file.as_os_str(), "", 260);
        }
        let verified = GoldDigger::new().arg("verify").arg(&file).run();
        verified.ended(0, "");
        let found = describe(&file);
        assert_eq!(
            (&found["groups"], &found["indexed"]),
            (&json!(5), &json!(true))
        );
        assert_eq!(found["blooms"], json!(["id"]));
        assert_eq!(found["minima"]["id"], "1");
        // Of the geometries, all chunks must say the same.
        let geo: Value =
            serde_json::from_str(found["facts"]["geo"].as_str().expect("a text")).expect("JSON");
        assert_eq!(geo["columns"]["ge"]["crs"], Value::Null);
    });
}

#[test]
fn chunks_without_geometries_say_nothing_of_their_system() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, g GEOMETRY, h GEOMETRY, k GEOMETRY)");
        db.sql(
            "INSERT INTO t VALUES (1, ST_GeomFromText('POINT(1 1)', 4326), NULL, ST_GeomFromText('POINT(1 1)', 4326)),
             (2, NULL, NULL, NULL), (3, NULL, NULL, ST_GeomFromText('POINT(1 1)', 3857))",
        );
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.parquet");
        let geo = |split: &[&str]| {
            let run = GoldDigger::new().env("DATABASE_URL", db.url());
            let run = run.arg("--table=t").args(split).arg("-o").arg(&file).run();
            let several = ["the geometries of column \"k\" have different SRIDs"];
            run.failed_with_any_length(0, &several);
            let geo = describe(&file)["facts"]["geo"].clone();
            serde_json::from_str::<Value>(geo.as_str().expect("a text")).expect("JSON")
        };
        let (single, joined) = (geo(&[]), geo(&["--split=3", "--connections=1"]));
        assert_eq!(single, joined);
        assert_eq!(joined["columns"]["g"]["gold_digger.srid"], 4326);
        assert_eq!(
            joined["columns"]["k"]["gold_digger.has_several_srids"],
            true
        );
    });
}

#[test]
fn spark_finds_every_value_of_the_server() {
    let spark = installed("GOLD_DIGGER_SPARK", "spark/*");
    if spark == Path::new("none") {
        eprintln!("GOLD_DIGGER_SPARK is none: Spark does not read the file");
        return;
    }
    each_server(|db| {
        create(db);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.parquet");
        let sql = query(&columns_without(&[]), &[]);
        export(db, &sql, "binary", &file);
        let modules = spark.to_str().expect("UTF-8");
        compare(db, &sql, "spark", file.as_os_str(), modules, 260);
    });
}

#[test]
fn a_parquet_file_tells_the_types_and_where_the_rows_come_from() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (id INT PRIMARY KEY, state ENUM('new', 'paid') NOT NULL, at TIMESTAMP NULL, price DECIMAL(8,2) NOT NULL,
             total DECIMAL(40,2), note TEXT, photo BLOB, place GEOMETRY, day DATE NOT NULL)",
        );
        db.sql("INSERT INTO t SELECT n, 1 + n % 2, NULL, n, n, REPEAT('x', 1000), REPEAT('y', 1000), ST_GeomFromText('POINT(1 2)', 4326), '2026-01-01'
                FROM (WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 999) SELECT n FROM s) q");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.parquet");
        let sql = "SELECT * FROM t ORDER BY id";
        let export = |args: &[&str]| {
            let run = db
                .export(sql)
                .args(["--manifest", "-o"])
                .arg(&file)
                .args(args);
            run.run().ended(0, "");
            assert_verified(&file, 999);
            describe(&file)
        };
        let found = export(&["--parquet-bloom", "id"]);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            found["created_by"],
            format!("gold_digger version {version}")
        );
        assert_eq!((&found["rows"], &found["groups"]), (&json!(999), &json!(1)));
        assert_eq!(found["codecs"], json!(["ZSTD"]));
        assert_eq!(found["indexed"], json!(true));
        assert_eq!(found["minima"]["id"], "1");
        let columns = json!({
            "id": ["INT32", "NONE", 0],
            "state": ["BYTE_ARRAY", "STRING", 0],
            "at": ["INT64", "TIMESTAMP", 1],
            "price": ["INT32", "DECIMAL", 0],
            "total": ["BYTE_ARRAY", "STRING", 1],
            "note": ["BYTE_ARRAY", "STRING", 1],
            "photo": ["BYTE_ARRAY", "NONE", 1],
            "place": ["BYTE_ARRAY", "NONE", 1],
            // A zero date would be NULL.
            "day": ["INT32", "DATE", 1],
        });
        assert_eq!(found["columns"], columns);
        let facts = found["facts"].as_object().expect("an object");
        let keys: Vec<_> = facts
            .keys()
            .map(|key| key.trim_start_matches("gold_digger."))
            .collect();
        assert_eq!(keys.len(), 6, "{keys:?}");
        for key in [
            "columns",
            "database",
            "geo",
            "query_sha256",
            "server",
            "server_version",
        ] {
            assert!(keys.contains(&key), "{keys:?}");
        }
        let geo: Value =
            serde_json::from_str(found["facts"]["geo"].as_str().expect("a text")).expect("JSON");
        // Longitudes and latitudes are the default of GeoParquet.
        let place = json!({"encoding": "WKB", "geometry_types": [], "gold_digger.srid": 4326});
        assert_eq!(geo["columns"], json!({"place": place}));
        assert_eq!(geo["primary_column"], "place");

        // The file of a day without places says that they are geometries, too.
        db.sql("UPDATE t SET place = NULL");
        let geo = export(&[])["facts"]["geo"].to_string();
        assert!(geo.contains("place"), "{geo}");

        let plain = export(&[
            "--parquet-compression",
            "none",
            "--row-group-size",
            "1MiB",
            "--zero-dates",
            "error",
        ]);
        assert_eq!(plain["codecs"], json!(["UNCOMPRESSED"]));
        assert_eq!(plain["columns"]["day"], json!(["INT32", "DATE", 0]));
        for (codec, expected) in [("snappy", "SNAPPY"), ("lz4", "LZ4"), ("zstd:1", "ZSTD")] {
            assert_eq!(
                export(&["--parquet-compression", codec])["codecs"],
                json!([expected])
            );
        }
        let wide = export(&["--parquet-decimal", "decimal256"]);
        assert_eq!(
            wide["columns"]["total"],
            json!(["FIXED_LEN_BYTE_ARRAY", "DECIMAL", 1])
        );
    });
}

#[test]
fn a_stream_that_breaks_off_is_noticed_by_its_reader() {
    const READ: &str =
        "import pyarrow, sys; print(pyarrow.ipc.open_stream(sys.stdin.buffer).read_all().num_rows)";
    on_a_server(|db| {
        // The last row is an error of the server, after some batches.
        let sql = |last: &str| {
            format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
                 SELECT i, REPEAT('x', 10000) AS x, IF(i = 900, {last}, 1) AS y FROM n"
            )
        };
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t");
        for (last, code) in [("2", 0), ("(SELECT 1 UNION SELECT i)", 4)] {
            let run = db.export(&sql(last)).args(["--format", "arrow-stream"]);
            let run = run.stdout(fs::File::create(&file).expect("a file"));
            run.wait().ended_with(code);
            let size = fs::metadata(&file).expect("the file").len();
            assert!(size > 2 << 20, "{size} bytes");
            let read = Command::new(installed(
                "GOLD_DIGGER_LOADERS_PYTHON",
                "python/*/bin/python",
            ))
            .args(["-c", READ])
            .stdin(fs::File::open(&file).expect("the file"))
            .output()
            .expect("Python runs");
            let shown = String::from_utf8_lossy(&read.stdout).into_owned();
            assert_eq!(
                (read.status.success(), &*shown),
                match code {
                    0 => (true, "900\n"),
                    _ => (false, ""),
                }
            );
        }
    });
}

#[test]
fn row_groups_end_by_their_size() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.parquet");
        // Random bytes, which nothing makes smaller.
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
                   SELECT i, RANDOM_BYTES(1024) AS b, RANDOM_BYTES(1024) AS c, RANDOM_BYTES(1024) AS d,
                          RANDOM_BYTES(1024) AS e, RANDOM_BYTES(1024) AS f, RANDOM_BYTES(1024) AS g FROM n";
        db.export(sql)
            .args(["--row-group-size", "1MiB", "-o"])
            .arg(&file)
            .run()
            .ended(0, "");
        let found = describe(&file);
        assert_eq!((&found["rows"], &found["groups"]), (&json!(999), &json!(3)));
    });
}

#[test]
fn what_a_columnar_format_cannot_hold_is_refused() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.parquet");
        let cases: [(&str, &[&str], i32, &str); 7] = [
            (
                "SELECT 1 AS a, 2 AS a",
                &[],
                2,
                "more than one column the name \"a\", which parquet cannot hold",
            ),
            (
                "SELECT CAST(1 AS DECIMAL(60,2)) AS a",
                &["--parquet-decimal", "error"],
                2,
                "DECIMAL(60,2)",
            ),
            (
                "SELECT 1 AS a",
                &["--zero-dates", "keep"],
                2,
                "--zero-dates keep has no meaning for parquet",
            ),
            (
                "SELECT day FROM t",
                &["--zero-dates", "error"],
                4,
                "the value is no date of the calendar",
            ),
            (
                "SELECT 1 AS a",
                &["--parquet-bloom", "b"],
                2,
                "--parquet-bloom \"b\" names no column",
            ),
            (
                "SELECT 1 AS a",
                &["--compression", "zstd"],
                2,
                "--compression compresses parquet, which does so with its columns",
            ),
            (
                "SELECT FROM_UNIXTIME(0) AS a, at FROM t",
                &["--time-zone", "SYSTEM"],
                2,
                "\"at\" is a TIMESTAMP",
            ),
        ];
        let mut conn = db.connect();
        for sql in [
            "SET SESSION sql_mode = ''",
            "CREATE TABLE t (at TIMESTAMP NULL, day DATE)",
            "INSERT INTO t VALUES (NULL, '2026-00-01')",
        ] {
            conn.query_drop(sql).expect(sql);
        }
        for (sql, args, code, problem) in cases {
            let run = db.export(sql).args(args).arg("-o").arg(&file).run();
            run.failed(code, &[problem]);
            assert!(!file.exists(), "{sql}");
        }
        for (flag, value, problem) in [
            ("--parquet-compression", "gzip", "is none of zstd"),
            ("--row-group-size", "1k", "it is a size from 1MiB to 2GiB"),
        ] {
            let shown = db
                .export("SELECT 1")
                .args([flag, value])
                .run()
                .ended_with(2);
            assert!(shown.contains(problem), "{shown}");
        }
        db.export("SELECT 1")
            .arg("-o")
            .arg(folder.path().join("t.parquet.gz"))
            .run()
            .failed(2, &["choose --parquet-compression"]);
    });
}

#[test]
fn timestamps_are_moments_whatever_offset_the_session_has() {
    each_server(|db| {
        db.sql("CREATE TABLE t (at TIMESTAMP NULL, local DATETIME)");
        db.sql("INSERT INTO t VALUES (FROM_UNIXTIME(1780308000), '2026-06-01 12:00:00')");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.parquet");
        for args in [
            &[][..],
            &["--time-zone", "+05:30"],
            &["--time-zone", "-11:00"],
        ] {
            db.export("SELECT * FROM t")
                .args(args)
                .arg("-o")
                .arg(&file)
                .run()
                .ended(0, "");
            let minima = &describe(&file)["minima"];
            assert_eq!(minima["at"], "2026-06-01 10:00:00+00:00", "{args:?}");
            assert_eq!(minima["local"], "2026-06-01 12:00:00", "{args:?}");
        }
        // Only a session of columnar exports is in UTC unasked.
        db.export("SELECT @@time_zone AS zone")
            .run()
            .wrote("zone\nSYSTEM\n");
    });
}
