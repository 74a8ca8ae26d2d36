//! The exact text of the values of every type, the same over both wire protocols
//! and on both servers.

use mysql::prelude::Queryable;

use self::cases::{Both, CASES, FLOATS, MariaDb, MySql};

use crate::support::{Database, each_server};

mod cases;
mod policies;

/// Creates a table `t{number}` with the columns `id` and `v` and returns its name.
fn create_table(db: &Database, number: usize, column_type: &str, values: &[&str]) -> String {
    let name = format!("t{number}");
    let mut conn = db.connect();
    // The values include zero dates and dates such as 2020-05-00.
    conn.query_drop("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
        .expect("a mode");
    conn.query_drop(format!(
        "CREATE TABLE {name} (id INT PRIMARY KEY, v {column_type})"
    ))
    .expect(column_type);
    for (id, value) in values.iter().enumerate() {
        let insert = format!("INSERT INTO {name} VALUES ({id}, {value})");
        conn.query_drop(&insert)
            .unwrap_or_else(|error| panic!("{error}: {column_type}: {insert}"));
    }
    name
}

fn export(db: &Database, sql: &str, format: &str, protocol: &str) -> Vec<u8> {
    let flags = ["--format", format, "--protocol", protocol, "--quiet"];
    db.export(sql).args(flags).run().ended(0, "").stdout
}

/// Asserts that both protocols have written the same.
#[track_caller]
fn assert_same(text: &[u8], binary: &[u8], what: &str) {
    assert_eq!(
        String::from_utf8_lossy(text),
        String::from_utf8_lossy(binary),
        "{what}: text and binary"
    );
}

#[test]
fn every_type_is_exact_over_both_protocols() {
    each_server(|db| {
        let here = if db.is_mariadb() { MariaDb } else { MySql };
        for (number, (on, column_type, values)) in CASES.iter().enumerate() {
            if *on != Both && *on != here {
                continue;
            }
            let name = create_table(
                db,
                number,
                column_type,
                &values.iter().map(|value| value.0).collect::<Vec<_>>(),
            );
            let sql = format!("SELECT v FROM {name} ORDER BY id");
            let expected = values
                .iter()
                .fold("v\n".to_owned(), |all, value| all + value.1 + "\n");
            let csv = export(db, &sql, "csv", "text");
            assert_eq!(
                String::from_utf8_lossy(&csv),
                expected,
                "{column_type} as text"
            );
            assert_same(&csv, &export(db, &sql, "csv", "binary"), column_type);
            for format in ["tsv", "json"] {
                let text = export(db, &sql, format, "text");
                assert_same(&text, &export(db, &sql, format, "binary"), column_type);
                if format == "json" {
                    serde_json::from_slice::<serde_json::Value>(&text).expect(column_type);
                }
            }
        }
    });
}

#[test]
fn every_width_of_fraction_is_written() {
    each_server(|db| {
        for (number, column_type) in ["DATETIME", "TIMESTAMP", "TIME"].into_iter().enumerate() {
            let all = "2020-02-29 23:59:58.123456";
            let all = if column_type == "TIME" {
                &all[11..]
            } else {
                all
            };
            for width in 0..=6 {
                let text = &all[..all.len() - 7 + if width == 0 { 0 } else { 1 + width }];
                let name = create_table(
                    db,
                    10 * number + width,
                    &format!("{column_type}({width}) NULL"),
                    &[&format!("'{text}'")],
                );
                for protocol in ["text", "binary"] {
                    let csv = export(db, &format!("SELECT v FROM {name}"), "csv", protocol);
                    assert_eq!(
                        String::from_utf8_lossy(&csv),
                        format!("v\n{text}\n"),
                        "{protocol}"
                    );
                }
            }
        }
    });
}

#[test]
fn floats_have_all_their_digits_in_the_binary_protocol() {
    each_server(|db| {
        let values: Vec<&str> = FLOATS.iter().map(|float| float.0).collect();
        let name = create_table(db, 0, "FLOAT", &values);
        let sql = format!("SELECT v FROM {name} ORDER BY id");
        let expected = |pick: fn(&(&str, &'static str, &'static str)) -> &'static str| {
            FLOATS
                .iter()
                .fold("v\n".to_owned(), |all, float| all + pick(float) + "\n")
        };
        assert_eq!(
            String::from_utf8_lossy(&export(db, &sql, "csv", "text")),
            expected(|float| float.1)
        );
        db.sql(&format!("CREATE PROCEDURE p() {sql}"));
        for sql in [&sql, "CALL p()"] {
            assert_eq!(
                String::from_utf8_lossy(&export(db, sql, "csv", "auto")),
                expected(|float| float.2)
            );
        }
        // It cannot be prepared.
        let init = format!("PREPARE s FROM '{sql}'");
        let run = db
            .export("EXECUTE s")
            .args(["--init", &init, "--format", "csv"]);
        let warning = "gold_digger: warning: FLOATs such as \"v\" have six digits only: this kind of \
             statement goes as text\n";
        let run = run.run().ended(0, warning);
        assert_eq!(
            String::from_utf8_lossy(&run.stdout),
            expected(|float| float.1)
        );
        for (_, _, exact) in FLOATS {
            let stored: f32 = exact.parse().expect("a float");
            assert_eq!(format!("{stored:e}").parse::<f32>(), Ok(stored));
        }
    });
}

#[test]
fn any_double_is_the_same_over_both_protocols() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, v DOUBLE)");
        // The bits come from a xorshift generator, so all magnitudes occur.
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        let doubles = std::iter::repeat_with(|| {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            f64::from_bits(bits)
        });
        let doubles: Vec<f64> = doubles
            .filter(|double| double.is_finite())
            .take(5000)
            .collect();
        let mut conn = db.connect();
        let rows = doubles.iter().enumerate();
        // Half of them lie between 1e-20 and 1e20, where the notation changes.
        let rows = rows.map(|(id, double)| {
            (
                id,
                if id % 2 == 0 {
                    *double
                } else {
                    double.signum() * 10_f64.powf(double.abs().log10() / 15.5)
                },
            )
        });
        conn.exec_batch("INSERT INTO t VALUES (?, ?)", rows.clone())
            .expect("rows");
        let sql = "SELECT v FROM t ORDER BY id";
        let text = export(db, sql, "csv", "text");
        assert_same(&text, &export(db, sql, "csv", "binary"), "doubles");
        let text = String::from_utf8(text).expect("UTF-8");
        for (line, (_, double)) in text.lines().skip(1).zip(rows) {
            assert_eq!(line.parse::<f64>(), Ok(double), "{line}");
        }
    });
}

const EXPRESSIONS: &[&str] = &[
    "1/3",
    "10/4*1.000",
    "AVG(i)",
    "SUM(i)",
    "STDDEV(i)",
    "ROUND(i * 1.005e0, 2)",
    "i * 1e0",
    "-i",
    "i > 1",
    "NULL",
    "TRUE",
    "9223372036854775807 + 0",
    "18446744073709551615",
    "CAST(i AS DECIMAL(10,3))",
    "CAST('2020-01-02' AS DATE)",
    "CAST('2020-01-02 03:04:05.678' AS DATETIME(3))",
    "CAST('-01:02:03.5' AS TIME(1))",
    "SEC_TO_TIME(3661.25)",
    "STR_TO_DATE('2020-01-02', '%Y-%m-%d')",
    "STR_TO_DATE('2020-01-02 03:04:05.000006', '%Y-%m-%d %H:%i:%s.%f')",
    "FROM_UNIXTIME(1.5)",
    "FROM_UNIXTIME(1e9)",
    "SEC_TO_TIME(1e0)",
    "STD(x)",
    "MAX(z)",
    "IF(i, z, 1.5)",
    "IF(i, z, 1)",
    "COALESCE(z, 0)",
    "IF(i, w, 1)",
    "MAX(w)",
    "IF(i, d, 'x')",
    "TIMEDIFF('10:00:00.1', '11:00:00')",
    "DATE_ADD('2020-01-02', INTERVAL 1 DAY)",
    "'2020-01-02' + INTERVAL 1 MICROSECOND",
    "x'00ff'",
    "b'101'",
    "CONCAT(i, 'x')",
    "CONCAT(i, x'ff')",
    "HEX(i)",
    "RAND(1)",
    "JSON_OBJECT('a', 1.50)",
    "UUID_SHORT() > 0",
    "IF(i, 1, 'x')",
    "COALESCE(NULL, 1.5)",
    "YEAR('2020-01-02')",
    "VERSION()",
    "GROUP_CONCAT(i)",
    "BIT_AND(i)",
    "ST_AsText(ST_GeomFromText('POINT(1 2)'))",
    "-0e0",
    "1e0/3",
    "MIN(d)",
    "MAX(d)",
    "MAX(s)",
];

#[track_caller]
fn assert_same_over_both_protocols(db: &Database, sql: &str) {
    for format in ["csv", "json"] {
        let text = export(db, sql, format, "text");
        assert_same(&text, &export(db, sql, format, "binary"), sql);
    }
}

#[test]
fn expressions_are_the_same_over_both_protocols() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (i INT, d DATE, s VARCHAR(9), x DOUBLE(20,2), z DECIMAL(10,3) ZEROFILL, k SMALLINT ZEROFILL,
             w DOUBLE ZEROFILL)",
        );
        db.sql(
            "INSERT INTO t VALUES (1, '2020-02-03', 'x', 94280904158206336.5, 5, 7, 1.5), (2, '2021-02-03', 'y', 0.1, 0.5, 0, 0)",
        );
        for expression in EXPRESSIONS {
            let sql = format!("SELECT {expression} AS v FROM t");
            assert_same_over_both_protocols(db, &sql);
        }
        // ROLLUP's totals are NULL, and MySQL loses ZEROFILL with them.
        for sql in [
            "SELECT k, z, COUNT(*) AS n FROM t GROUP BY k, z WITH ROLLUP",
            "SELECT table_name, table_rows, create_time FROM information_schema.TABLES WHERE table_schema = DATABASE()",
            "SELECT 1 AS a UNION SELECT 'x' UNION SELECT 2.5",
        ] {
            assert_same_over_both_protocols(db, sql);
        }
    });
}

/// Expressions of DOUBLE for which the server announces fewer decimals than their values
/// have, the values, and the server's own text for them. `v` is the text '19.99'.
const ROUNDED: &[(&str, &str, &str)] = &[
    ("x * 3", "0.30000000000000004", "0.3000"),
    ("SUM(x)", "0.30000000000000004", "0.3000"),
    ("AVG(x)", "0.15000000000000002", "0.15000000"),
    ("PI()", "3.141592653589793", "3.141593"),
];

/// The same, of MariaDB only.
const ROUNDED_BY_MARIADB: &[(&str, &str, &str)] = &[
    ("CAST(v AS CHAR)+0", "19.99", "20"),
    ("CAST('29.985' AS CHAR)*1.0", "29.985", "30.0"),
    ("UNHEX('302e34')+0", "0.4", "0"),
    ("SUM(CAST(v AS BINARY))", "19.99", "20"),
];

#[test]
fn doubles_keep_digits_that_their_column_does_not_announce() {
    each_server(|db| {
        db.sql("CREATE TABLE t (v VARCHAR(9), x DOUBLE(20,4))");
        db.sql("INSERT INTO t VALUES ('19.99', 0.1), (NULL, 0.2)");
        let expressions = ROUNDED.iter().chain(ROUNDED_BY_MARIADB).enumerate();
        for (number, (expression, exact, text)) in expressions {
            let sql = format!("SELECT {expression} AS n FROM t ORDER BY v DESC LIMIT 1");
            let run = |format: &str, protocol: &str, stderr: &str| {
                let args = ["--format", format, "--protocol", protocol];
                let run = db.export(&sql).args(args).run().ended(0, stderr);
                String::from_utf8(run.stdout).expect("UTF-8")
            };
            let csv = |number: &str| format!("n\n{number}\n");
            let json = |number: &str| format!("[\n{{\"n\":{number}}}\n]\n");
            assert_eq!(run("csv", "auto", ""), csv(exact), "{expression}");
            assert_eq!(run("json", "auto", ""), json(exact), "{expression}");
            if number < ROUNDED.len() || db.is_mariadb() {
                let warning = "gold_digger: warning: DOUBLEs of expressions such as \"n\" may be \
                    rounded: as text, the server sends only the decimals that it declares for \
                    them; over the binary protocol they have all digits\n";
                assert_eq!(run("csv", "text", warning), csv(text), "{expression}");
                assert_eq!(run("json", "text", warning), json(text), "{expression}");
            }
        }
        db.export("SELECT x, v, 1.5 AS d, 1e0/3 AS e FROM t")
            .arg("--protocol=text")
            .run()
            .ended(0, "");
    });
}
