//! Every type, value by value: the exact text, the same over both wire
//! protocols and on both servers.

use mysql::prelude::Queryable;

use crate::support::{Database, GoldDigger, each_server, fake};

#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Both,
    MariaDb,
    MySql,
}
use On::{Both, MariaDb, MySql};

/// A column's type, and for each value its SQL and what CSV makes of it.
type Case = (On, &'static str, &'static [(&'static str, &'static str)]);

const CASES: &[Case] = &[
    (
        Both,
        "TINYINT",
        &[("-128", "-128"), ("0", "0"), ("127", "127"), ("NULL", "")],
    ),
    (Both, "TINYINT UNSIGNED", &[("0", "0"), ("255", "255")]),
    (
        Both,
        "SMALLINT",
        &[("-32768", "-32768"), ("32767", "32767")],
    ),
    (Both, "SMALLINT UNSIGNED", &[("65535", "65535")]),
    (
        Both,
        "MEDIUMINT",
        &[("-8388608", "-8388608"), ("8388607", "8388607")],
    ),
    (Both, "MEDIUMINT UNSIGNED", &[("16777215", "16777215")]),
    (
        Both,
        "INT",
        &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")],
    ),
    (Both, "INT UNSIGNED", &[("4294967295", "4294967295")]),
    (
        Both,
        "BIGINT",
        &[
            ("-9223372036854775808", "-9223372036854775808"),
            ("9223372036854775807", "9223372036854775807"),
        ],
    ),
    (
        Both,
        "BIGINT UNSIGNED",
        &[
            ("18446744073709551615", "18446744073709551615"),
            ("9007199254740993", "9007199254740993"),
        ],
    ),
    (
        Both,
        "INT(6) ZEROFILL",
        &[
            ("42", "000042"),
            ("0", "000000"),
            ("1234567", "1234567"),
            ("NULL", ""),
        ],
    ),
    (Both, "BIGINT ZEROFILL", &[("7", "00000000000000000007")]),
    (
        Both,
        "TINYINT(1)",
        &[("0", "0"), ("1", "1"), ("-5", "-5"), ("NULL", "")],
    ),
    (Both, "BOOL", &[("TRUE", "1"), ("FALSE", "0")]),
    (
        Both,
        "YEAR",
        &[("0", "0000"), ("1901", "1901"), ("2155", "2155")],
    ),
    (Both, "BIT(1)", &[("0", "0"), ("1", "1"), ("NULL", "")]),
    (Both, "BIT(10)", &[("b'1010101010'", "682"), ("0", "0")]),
    (
        Both,
        "BIT(64)",
        &[
            ("0xffffffffffffffff", "18446744073709551615"),
            ("0x8000000000000000", "9223372036854775808"),
        ],
    ),
    (
        Both,
        "DECIMAL(65,30)",
        &[
            (
                "99999999999999999999999999999999999.999999999999999999999999999999",
                "99999999999999999999999999999999999.999999999999999999999999999999",
            ),
            (
                "-0.000000000000000000000000000001",
                "-0.000000000000000000000000000001",
            ),
            ("0", "0.000000000000000000000000000000"),
            ("NULL", ""),
        ],
    ),
    (
        Both,
        "DECIMAL(65,0)",
        &[(
            "-99999999999999999999999999999999999999999999999999999999999999999",
            "-99999999999999999999999999999999999999999999999999999999999999999",
        )],
    ),
    (
        Both,
        "DECIMAL(7,2) ZEROFILL",
        &[("1.5", "00001.50"), ("0", "00000.00")],
    ),
    (
        Both,
        "DOUBLE",
        &[
            ("0", "0"),
            ("0.1e0", "0.1"),
            ("-1.7976931348623157e308", "-1.7976931348623157e308"),
            ("2.2250738585072014e-308", "2.2250738585072014e-308"),
            ("1e15", "1e15"),
            ("999999999999999", "999999999999999"),
            ("123456789012345.6e0", "123456789012345.6"),
            ("1234567890123456.7e0", "1234567890123456.8"),
            ("1e-15", "0.000000000000001"),
            ("1.5e-15", "0.0000000000000015"),
            ("1e-16", "1e-16"),
            ("1e22", "1e22"),
            ("0.30000000000000004e0", "0.30000000000000004"),
            ("NULL", ""),
        ],
    ),
    (
        Both,
        "DOUBLE(30,17)",
        &[
            ("0.1", "0.10000000000000000"),
            ("1.005", "1.00500000000000000"),
            ("1234567.1", "1234567.10000000000000000"),
        ],
    ),
    (
        Both,
        "DOUBLE(18,4)",
        &[("12345678901234.5678", "12345678901234.5680")],
    ),
    (
        Both,
        "FLOAT(24,15)",
        &[("0.1", "0.100000001490116"), ("0.5", "0.500000000000000")],
    ),
    (
        Both,
        "DOUBLE(12,3)",
        &[
            ("1.0005", "1.000"),
            ("-2.5", "-2.500"),
            ("123456789.125", "123456789.125"),
            ("0", "0.000"),
        ],
    ),
    (
        Both,
        "FLOAT(10,2)",
        &[
            ("1.5", "1.50"),
            ("-0.125", "-0.12"),
            ("12345678", "12345678.00"),
        ],
    ),
    (
        Both,
        "DOUBLE ZEROFILL",
        &[("1.5", "00000000000000000001.5")],
    ),
    (
        Both,
        "DATE",
        &[
            ("'0000-00-00'", "0000-00-00"),
            ("'2020-00-00'", "2020-00-00"),
            ("'2020-05-00'", "2020-05-00"),
            ("'1000-01-01'", "1000-01-01"),
            ("'9999-12-31'", "9999-12-31"),
            ("NULL", ""),
        ],
    ),
    (
        Both,
        "DATETIME",
        &[
            ("'0000-00-00'", "0000-00-00 00:00:00"),
            ("'2020-02-29 23:59:59'", "2020-02-29 23:59:59"),
            ("'2020-02-29'", "2020-02-29 00:00:00"),
        ],
    ),
    (
        Both,
        "DATETIME(1)",
        &[
            ("'2020-02-29 23:59:59.9'", "2020-02-29 23:59:59.9"),
            ("'2020-02-29'", "2020-02-29 00:00:00.0"),
        ],
    ),
    (
        Both,
        "DATETIME(3)",
        &[("'2020-02-29 23:59:59.007'", "2020-02-29 23:59:59.007")],
    ),
    (
        Both,
        "DATETIME(6)",
        &[
            ("'9999-12-31 23:59:59.999999'", "9999-12-31 23:59:59.999999"),
            ("'2020-01-01 00:00:00.000001'", "2020-01-01 00:00:00.000001"),
            ("'0000-00-00'", "0000-00-00 00:00:00.000000"),
        ],
    ),
    (
        Both,
        "TIMESTAMP NULL",
        &[
            ("'1970-01-02 00:00:01'", "1970-01-02 00:00:01"),
            ("'2038-01-19 03:14:06'", "2038-01-19 03:14:06"),
            ("NULL", ""),
        ],
    ),
    (
        Both,
        "TIMESTAMP(2) NULL",
        &[("'2020-01-01 12:00:00.05'", "2020-01-01 12:00:00.05")],
    ),
    (
        Both,
        "TIMESTAMP(4) NULL",
        &[("'2020-01-01 12:00:00.0005'", "2020-01-01 12:00:00.0005")],
    ),
    (
        Both,
        "TIMESTAMP(5) NULL",
        &[("'2020-01-01 12:00:00.00005'", "2020-01-01 12:00:00.00005")],
    ),
    (
        Both,
        "TIME",
        &[
            ("'-838:59:59'", "-838:59:59"),
            ("'838:59:59'", "838:59:59"),
            ("'00:00:00'", "00:00:00"),
            ("'-00:00:01'", "-00:00:01"),
            ("'100:00:00'", "100:00:00"),
            ("'9:05:03'", "09:05:03"),
            ("NULL", ""),
        ],
    ),
    (
        Both,
        "TIME(3)",
        &[
            ("'-00:00:00.001'", "-00:00:00.001"),
            ("'12:00:00'", "12:00:00.000"),
        ],
    ),
    (
        Both,
        "TIME(6)",
        &[
            ("'-838:59:58.999999'", "-838:59:58.999999"),
            ("'25:00:00.000001'", "25:00:00.000001"),
        ],
    ),
    (
        Both,
        "CHAR(5)",
        &[("''", "\"\""), ("'ab'", "ab"), ("NULL", "")],
    ),
    (
        Both,
        "VARCHAR(300)",
        &[
            ("'00123'", "00123"),
            ("'a,b'", "\"a,b\""),
            ("'say \"hi\"'", "\"say \"\"hi\"\"\""),
            (r"'tab\tbs\\'", "tab\tbs\\"),
            (r"'\r\n'", "\"\r\n\""),
            (r"'a\0b'", "a\0b"),
            (r"'\\N'", "\\N"),
            ("'NULL'", "NULL"),
            ("'😀漢'", "😀漢"),
            ("' padded '", " padded "),
        ],
    ),
    (Both, "TEXT CHARACTER SET latin1", &[("'äöüß€'", "äöüß€")]),
    (Both, "TEXT CHARACTER SET utf16", &[("'ä😀'", "ä😀")]),
    (Both, "TEXT CHARACTER SET gbk", &[("'中文'", "中文")]),
    (
        Both,
        "LONGTEXT",
        &[("''", "\"\""), ("REPEAT('ab', 3)", "ababab")],
    ),
    (
        Both,
        "ENUM('a','b,c','')",
        &[
            ("'a'", "a"),
            ("'b,c'", "\"b,c\""),
            ("''", "\"\""),
            ("NULL", ""),
        ],
    ),
    (
        Both,
        "SET('x','y','z')",
        &[("''", "\"\""), ("'x'", "x"), ("'x,y,z'", "\"x,y,z\"")],
    ),
    (
        Both,
        "BINARY(4)",
        &[("'ab'", "YWIAAA=="), ("0xff00ff00", "/wD/AA==")],
    ),
    (
        Both,
        "VARBINARY(10)",
        &[
            ("''", "\"\""),
            ("0x00", "AA=="),
            ("0xfbff", "+/8="),
            ("NULL", ""),
        ],
    ),
    (Both, "TINYBLOB", &[("'abc'", "YWJj")]),
    (Both, "LONGBLOB", &[("0xdeadbeef", "3q2+7w==")]),
    (
        Both,
        "GEOMETRY",
        &[(
            "ST_GeomFromText('POINT(1 2)')",
            "AAAAAAEBAAAAAAAAAAAA8D8AAAAAAAAAQA==",
        )],
    ),
    (
        MySql,
        "VECTOR(2)",
        &[("STRING_TO_VECTOR('[1,-2]')", "AACAPwAAAMA=")],
    ),
    (
        MySql,
        "JSON",
        &[
            (
                "'{\"b\":1,\"a\":[1.50,null,\"x\"]}'",
                "\"{\"\"a\"\": [1.5, null, \"\"x\"\"], \"\"b\"\": 1}\"",
            ),
            ("'18446744073709551615'", "18446744073709551615"),
            ("NULL", ""),
        ],
    ),
    (
        MariaDb,
        "JSON",
        &[("'{\"b\":1.50}'", "\"{\"\"b\"\":1.50}\"")],
    ),
    (
        MariaDb,
        "UUID",
        &[(
            "'123e4567-e89b-12d3-a456-426655440000'",
            "123e4567-e89b-12d3-a456-426655440000",
        )],
    ),
    (
        MariaDb,
        "INET6",
        &[
            ("'2001:db8::1'", "2001:db8::1"),
            ("'::ffff:1.2.3.4'", "::ffff:1.2.3.4"),
        ],
    ),
    (MariaDb, "INET4", &[("'10.0.0.1'", "10.0.0.1")]),
];

/// FLOAT has six digits in the text protocol and all of them in the binary one.
const FLOATS: &[(&str, &str, &str)] = &[
    ("0.1", "0.1", "0.1"),
    ("16777216", "16777200", "16777216"),
    ("3.4028234e38", "3.40282e38", "3.4028235e38"),
    ("1.17549435e-38", "1.17549e-38", "1.1754944e-38"),
    ("123456.789", "123457", "123456.79"),
    ("-1e15", "-1e15", "-1e15"),
    ("1e-15", "0.000000000000001", "0.000000000000001"),
];

fn table(db: &Database, number: usize, column_type: &str, values: &[&str]) -> String {
    let name = format!("t{number}");
    let mut conn = db.connect();
    // Zero dates and the like are values, too.
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

#[track_caller]
fn same(text: &[u8], binary: &[u8], what: &str) {
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
            let name = table(
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
            same(&csv, &export(db, &sql, "csv", "binary"), column_type);
            for format in ["tsv", "json"] {
                let text = export(db, &sql, format, "text");
                same(&text, &export(db, &sql, format, "binary"), column_type);
                if format == "json" {
                    serde_json::from_slice::<serde_json::Value>(&text).expect(column_type);
                }
            }
        }
    });
}

#[test]
fn floats_have_all_their_digits_in_the_binary_protocol() {
    each_server(|db| {
        let values: Vec<&str> = FLOATS.iter().map(|float| float.0).collect();
        let name = table(db, 0, "FLOAT", &values);
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
        assert_eq!(
            String::from_utf8_lossy(&export(db, &sql, "csv", "auto")),
            expected(|float| float.2)
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
        // Doubles of every size: bits from a xorshift generator.
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
        // Half of them between 1e-20 and 1e20, where the spelling changes.
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
        same(&text, &export(db, sql, "csv", "binary"), "doubles");
        let text = String::from_utf8(text).expect("UTF-8");
        for (line, (_, double)) in text.lines().skip(1).zip(rows) {
            assert_eq!(line.parse::<f64>(), Ok(double), "{line}");
        }
    });
}

#[test]
fn expressions_are_the_same_over_both_protocols() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (i INT, d DATE, s VARCHAR(9), x DOUBLE(20,2), z DECIMAL(10,3) ZEROFILL, k SMALLINT ZEROFILL)",
        );
        db.sql(
            "INSERT INTO t VALUES (1, '2020-02-03', 'x', 94280904158206336.5, 5, 7), (2, '2021-02-03', 'y', 0.1, 0.5, 0)",
        );
        for expression in [
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
            "SUM(x)",
            "x * 3",
            "MAX(z)",
            "IF(i, z, 1.5)",
            "IF(i, z, 1)",
            "COALESCE(z, 0)",
            "IF(i, d, 'x')",
            "TIMEDIFF('10:00:00.1', '11:00:00')",
            "DATE_ADD('2020-01-02', INTERVAL 1 DAY)",
            "'2020-01-02' + INTERVAL 1 MICROSECOND",
            "x'00ff'",
            "b'101'",
            "CONCAT(i, 'x')",
            "CONCAT(i, x'ff')",
            "HEX(i)",
            "PI()",
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
        ] {
            let sql = format!("SELECT {expression} AS v FROM t");
            for format in ["csv", "json"] {
                let text = export(db, &sql, format, "text");
                same(&text, &export(db, &sql, format, "binary"), expression);
            }
        }
        // The totals of ROLLUP are NULL, and MySQL forgets ZEROFILL there.
        for sql in [
            "SELECT k, z, COUNT(*) AS n FROM t GROUP BY k, z WITH ROLLUP",
            "SELECT table_name, table_rows, create_time FROM information_schema.TABLES WHERE table_schema = DATABASE()",
            "SELECT 1 AS a UNION SELECT 'x' UNION SELECT 2.5",
        ] {
            for format in ["csv", "json"] {
                let text = export(db, sql, format, "text");
                same(&text, &export(db, sql, format, "binary"), sql);
            }
        }
    });
}

#[test]
fn json_numbers_and_strings_by_choice() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (b BIGINT, d DECIMAL(20,2), o TINYINT(1), z INT(5) ZEROFILL, dt DATE, bits BIT(60), j LONGTEXT)",
        );
        let mut conn = db.connect();
        conn.query_drop("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
            .expect("a mode");
        conn.query_drop(
            r#"INSERT INTO t VALUES (9007199254740991, 1.10, 1, 7, '2020-00-01', 1, '{"a": 1.00,\n "b": "\\n"}'),
            (-9007199254740992, -123456789012345678.90, 0, 0, '2020-01-01', 0xfffffffffffffff, NULL)"#,
        )
        .expect("rows");
        for protocol in ["text", "binary"] {
            let run = |sql: &str, flags: &[&str]| {
                db.export(sql)
                    .args(["--format", "json", "--protocol", protocol])
                    .args(flags)
                    .run()
            };
            run("SELECT b, d, o, z, dt, bits FROM t", &[]).wrote(concat!(
                "[\n{\"b\":9007199254740991,\"d\":1.10,\"o\":1,\"z\":7,\"dt\":\"2020-00-01\",\"bits\":1},\n",
                "{\"b\":-9007199254740992,\"d\":-123456789012345678.90,\"o\":0,\"z\":0,\"dt\":\"2020-01-01\",\"bits\":1152921504606846975}\n]\n"
            ));
            let flags = [
                "--json-bigint=string",
                "--json-decimal=string",
                "--tinyint1-as-bool",
                "--zero-dates=null",
                "--json-column=j",
            ];
            run("SELECT * FROM t", &flags).wrote(concat!(
                "[\n{\"b\":9007199254740991,\"d\":\"1.10\",\"o\":true,\"z\":7,\"dt\":null,\"bits\":1,\"j\":{\"a\": 1.00,  \"b\": \"\\n\"}},\n",
                "{\"b\":\"-9007199254740992\",\"d\":\"-123456789012345678.90\",\"o\":false,\"z\":0,\"dt\":\"2020-01-01\",",
                "\"bits\":\"1152921504606846975\",\"j\":null}\n]\n"
            ));
            run(
                "SELECT id, v FROM (SELECT 1 AS id, 1 AS v UNION ALL SELECT 2, 2) AS t",
                &["--json-column=J"],
            )
            .failed(2, &["--json-column \"J\" names no column"]);
            run("SELECT 1 AS j", &["--json-column=j"])
                .failed(2, &["--json-column \"j\" names a column that is not text"]);
            run("SELECT 'x' AS j", &["--json-column=j"])
                .failed(4, &["row 1, column \"j\"", "not valid JSON"]);
        }
        db.sql("UPDATE t SET o = 2 WHERE o = 0");
        db.export("SELECT b, o FROM t ORDER BY b DESC")
            .args(["--format=json", "--tinyint1-as-bool"])
            .run()
            .failed(4, &["row 2, column \"o\"", "neither 0 nor 1"]);
    });
}

#[test]
fn bytes_by_choice() {
    each_server(|db| {
        let sql = "SELECT x'00ff5c09' AS a, CAST('ä' AS BINARY) AS b";
        for protocol in ["text", "binary"] {
            let run = |flags: &[&str]| {
                db.export(sql)
                    .args(["--protocol", protocol])
                    .args(flags)
                    .run()
            };
            run(&[]).wrote("a\tb\nAP9cCQ==\tw6Q=\n");
            run(&["--binary=hex"]).wrote("a\tb\n00ff5c09\tc3a4\n");
            run(&["--binary=hex", "--format=json"])
                .wrote("[\n{\"a\":\"00ff5c09\",\"b\":\"c3a4\"}\n]\n");
            run(&["--binary=raw"]).wrote(b"a\tb\n\\0\xff\\\\\\t\t\xc3\xa4\n");
            for format in ["csv", "json"] {
                run(&["--binary=raw", "--format", format])
                    .failed(2, &["--binary raw has no meaning", "--format tsv"]);
            }
            run(&["--binary=utf8"]).failed(4, &["row 1, column \"a\"", "not UTF-8", "base64"]);
            let text = db.export("SELECT CAST('ä' AS BINARY) AS b").args([
                "--binary=utf8",
                "--format=json",
                "--protocol",
                protocol,
            ]);
            text.run().wrote("[\n{\"b\":\"ä\"}\n]\n");
        }
    });
}

#[test]
fn the_time_zone_decides_on_timestamps() {
    each_server(|db| {
        db.sql("CREATE TABLE t (at TIMESTAMP NULL)");
        db.sql("SET time_zone = '+00:00'");
        let mut conn = db.connect();
        conn.query_drop("SET time_zone = '+00:00'").expect("a zone");
        conn.query_drop("INSERT INTO t VALUES ('2020-06-01 12:00:00')")
            .expect("a row");
        for protocol in ["text", "binary"] {
            let outcome = db
                .export("SELECT at FROM t")
                .args(["--time-zone=+05:30", "-v", "--protocol", protocol])
                .run();
            assert_eq!(outcome.stdout, b"at\n2020-06-01 17:30:00\n");
            assert!(
                outcome.stderr.contains(&format!(
                    "{protocol} protocol, TIMESTAMPs in the time zone +05:30\n"
                )),
                "{}",
                outcome.stderr
            );
        }
        db.export("SELECT at FROM t")
            .arg("--time-zone=Mars/Base")
            .run()
            .failed(4, &["the time zone \"Mars/Base\"", "1298", "+00:00"]);
    });
}

#[test]
fn text_that_is_not_utf8_is_never_replaced_in_silence() {
    // No real server sends it: columns are checked or converted there.
    let port = fake::serve(|mut session| {
        let Some(()) = session.until_select() else {
            return;
        };
        session.columns(&["id", "name"]);
        session.row(&["1", "ok"]);
        session.send(b"\x012\x03a\xffb");
        session.end();
        session.receive();
    });
    for (format, replaced) in [
        ("csv", "id,name\n1,ok\n2,a\u{fffd}b\n"),
        ("tsv", "id\tname\n1\tok\n2\ta\u{fffd}b\n"),
        (
            "json",
            "[\n{\"id\":\"1\",\"name\":\"ok\"},\n{\"id\":\"2\",\"name\":\"a\u{fffd}b\"}\n]\n",
        ),
    ] {
        let export = || {
            GoldDigger::new().args(["--db-url", &fake::url(port), "--format", format, "SELECT 1"])
        };
        export().run().failed(
            4,
            &[
                "row 2, column \"name\"",
                "not UTF-8",
                "--invalid-utf8 replace",
            ],
        );
        let outcome = export()
            .arg("--invalid-utf8=replace")
            .run()
            .failed(0, &["1 values were not UTF-8"]);
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), replaced);
    }
}

#[test]
fn unknown_types_are_errors_that_name_the_cure() {
    // 20 is one that the driver knows and never should see, 99 is nobody's.
    for (number, parts) in [
        (20, ["column \"odd\"", "TYPED_ARRAY", "CAST"]),
        (99, ["type", "99", "CAST"]),
    ] {
        let port = fake::serve(move |mut session| {
            let Some(()) = session.until_select() else {
                return;
            };
            session.send(&[1]);
            session.send(
                &[
                    b"\x03def\0\0\0\x03odd\0\x0c\x2d\0\xff\0\0\0",
                    &[number][..],
                    b"\0\0\0\0\0",
                ]
                .concat(),
            );
            session.end();
            session.row(&["x"]);
            session.end();
            session.receive();
        });
        GoldDigger::new()
            .args(["--db-url", &fake::url(port), "SELECT 1"])
            .run()
            .failed(4, &parts);
    }
}
