//! What the options of the command line make of the values of a server.

use mysql::prelude::Queryable;

use crate::support::{GoldDigger, Outcome, each_server, fake};

#[test]
fn json_options_choose_numbers_strings_and_booleans() {
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
            let outcome =
                run("SELECT * FROM t", &flags).failed(0, &["1 date whose month or day is zero"]);
            assert_eq!(
                String::from_utf8_lossy(&outcome.stdout),
                concat!(
                    "[\n{\"b\":9007199254740991,\"d\":\"1.10\",\"o\":true,\"z\":7,\"dt\":null,\"bits\":1,\"j\":{\"a\": 1.00,  \"b\": \"\\n\"}},\n",
                    "{\"b\":\"-9007199254740992\",\"d\":\"-123456789012345678.90\",\"o\":false,\"z\":0,\"dt\":\"2020-01-01\",",
                    "\"bits\":\"1152921504606846975\",\"j\":null}\n]\n"
                )
            );
            run(
                "SELECT id, v FROM (SELECT 1 AS id, 1 AS v UNION ALL SELECT 2, 2) AS t",
                &["--json-column=J"],
            )
            .failed(2, &["--json-column \"J\" names no column"]);
            run("SELECT 1 AS j", &["--json-column=j"])
                .failed(2, &["--json-column \"j\" names a column that is not text"]);
            run("SELECT 'x' AS j", &["--json-column=j"])
                .failed(4, &["row 1, column \"j\"", "not valid JSON"]);
            run(r#"SELECT '"\\ud800"' AS j"#, &["--json-column=j"])
                .failed(4, &["row 1, column \"j\"", "lone surrogate"]);
            run(
                "SELECT SUM(b) * 0 - 9007199254740993 AS s, SUM(b) * 0 AS z, SUM(d) * 0 + 9007199254740993 AS d FROM t",
                &["--json-bigint=string"],
            )
            .wrote("[\n{\"s\":\"-9007199254740993\",\"z\":0,\"d\":9007199254740993.00}\n]\n");
        }
        db.sql("UPDATE t SET o = 2 WHERE o = 0");
        db.export("SELECT b, o FROM t ORDER BY b DESC")
            .args(["--format=json", "--tinyint1-as-bool"])
            .run()
            .failed(4, &["row 2, column \"o\"", "neither 0 nor 1"]);
    });
}

#[test]
fn booleans_and_zero_dates_have_a_policy_in_each_format() {
    each_server(|db| {
        let mut conn = db.connect();
        conn.query_drop("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
            .expect("a mode");
        conn.query_drop("CREATE TABLE t (o TINYINT(1), b BIT(1), n BIT(2), d DATE, m DATETIME(1), z TIMESTAMP NULL)")
            .expect("a table");
        conn.query_drop(
            "INSERT INTO t VALUES (1, 0, 2, '0000-00-00', '2026-00-09', 0), (0, 1, 1, '2026-01-02', '2026-09-00', NULL)",
        )
        .expect("rows");
        for protocol in ["text", "binary"] {
            let run = |format: &str, args: &[&str]| {
                let flags = ["--protocol", protocol, "--format", format];
                db.export("SELECT * FROM t").args(flags).args(args).run()
            };
            let both = ["--booleans=words", "--zero-dates=null"];
            for (format, rows) in [
                ("csv", "true,false,2,,,\nfalse,true,1,2026-01-02,,\n"),
                (
                    "tsv",
                    "true\tfalse\t2\t\\N\t\\N\t\\N\nfalse\ttrue\t1\t2026-01-02\t\\N\t\\N\n",
                ),
                (
                    "json",
                    concat!(
                        "{\"o\":true,\"b\":false,\"n\":2,\"d\":null,\"m\":null,\"z\":null},\n",
                        "{\"o\":false,\"b\":true,\"n\":1,\"d\":\"2026-01-02\",\"m\":null,\"z\":null}\n]\n"
                    ),
                ),
            ] {
                let outcome = run(format, &both).failed(
                    0,
                    &["4 dates whose month or day is zero were written as NULL"],
                );
                let text = String::from_utf8(outcome.stdout).expect("UTF-8");
                assert!(text.ends_with(rows), "{text}");
                run(format, &["--zero-dates=error"]).failed(
                    4,
                    &[
                        "row 1, column \"d\": the value is a date whose month or day is zero",
                        "--zero-dates null",
                    ],
                );
            }
            run("csv", &["--tinyint1-as-bool", "--header=false"])
                .wrote("true,0,2,0000-00-00,2026-00-09 00:00:00.0,0000-00-00 00:00:00\nfalse,1,1,2026-01-02,2026-09-00 00:00:00.0,\n");
        }
    });
}

#[test]
fn the_binary_option_chooses_the_text_of_bytes() {
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
            run(&["--binary=postgres"]).wrote("a\tb\n\\\\x00ff5c09\t\\\\xc3a4\n");
            run(&["--binary=postgres", "--format=csv"]).wrote("a,b\n\\x00ff5c09,\\xc3a4\n");
            run(&["--binary=postgres", "--format=json"]).failed(
                2,
                &["--binary postgres has no meaning", "--format csv or tsv"],
            );
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
fn timestamps_are_in_the_chosen_time_zone() {
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
fn text_that_is_not_utf8_is_an_error_or_replaced_with_a_warning() {
    // No real server sends such text: it checks or converts columns.
    let port = fake::serve(|session| {
        session.answer(&["id", "name"], &[&[b"1", b"ok"], &[b"2", b"a\xffb"]]);
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
            .failed(0, &["1 value was not UTF-8"]);
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), replaced);
    }
}

fn run_from_fake(port: u16) -> Outcome {
    GoldDigger::new()
        .args(["--db-url", &fake::url(port), "SELECT 1"])
        .run()
}

#[test]
fn unknown_types_are_errors_that_suggest_a_cast() {
    // The driver knows type 20, which servers never send; type 99 is unassigned.
    for (number, parts) in [
        (20, ["column \"odd\"", "TYPED_ARRAY", "CAST"]),
        (99, ["type", "99", "CAST"]),
    ] {
        let port = fake::serve(move |mut session| {
            let Some(()) = session.wait_for_select() else {
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
        run_from_fake(port).failed(4, &parts);
    }
    // The type may also be sent while the statement is prepared.
    let port = fake::serve(|mut session| {
        session.accept();
        while !session
            .receive()
            .is_some_and(|command| command.starts_with(b"\x16"))
        {
            session.ok();
        }
        session.send(b"\0\x01\0\0\0\x01\0\0\0\0\0\0");
        session.send(b"\x03def\0\0\0\x03odd\0\x0c\x2d\0\xff\0\0\0\x63\0\0\0\0\0");
        session.end();
        session.receive();
    });
    run_from_fake(port).failed(4, &["type number 99", "CAST"]);
}
