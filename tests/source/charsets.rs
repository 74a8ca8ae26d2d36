//! Text that a procedure lets the server send in another character set than
//! utf8mb4: it is decoded exactly, or it is an error.

use mysql::prelude::Queryable;

use crate::support::{Database, each_server};

const HINT: &str = "let the procedure SET NAMES utf8mb4, or leave its SET NAMES out";

/// The character sets that are decoded, and the bytes, in hexadecimal, that end an
/// export because servers decode them otherwise than other programs do.
const DECODED: &[(&str, &str)] = &[
    ("ascii", ""),
    ("latin1", ""),
    ("latin2", ""),
    (
        "latin5",
        "80 82 83 84 85 86 87 88 89 8a 8b 8c 91 92 93 94 95 96 97 98 99 9a 9b 9c 9f",
    ),
    ("latin7", ""),
    ("greek", "a1 a2"),
    ("hebrew", "af"),
    (
        "tis620",
        "80 85 91 92 93 94 95 96 97 a0 db dc dd de fc fd fe ff",
    ),
    ("koi8r", ""),
    ("koi8u", "95 ae be"),
    ("cp1250", ""),
    ("cp1251", ""),
    ("cp1256", ""),
    ("cp1257", ""),
    ("cp866", "fc fd"),
    ("macroman", ""),
    ("sjis", "815f 8160 8161 817c 8191 8192 81ca"),
    ("cp932", ""),
    ("euckr", ""),
    ("gb2312", "a1a4 a1aa"),
    ("gbk", ""),
    ("utf8mb3", ""),
    ("ucs2", ""),
    ("utf16", ""),
    ("utf16le", ""),
];

/// Creates a table `t` with every sequence of one and two bytes that the server can
/// convert from `charset`, except for halves of surrogate pairs.
fn create_sequences(db: &Database, charset: &str) {
    let mut conn = db.connect();
    conn.query_drop("SET SESSION sql_mode = ''")
        .expect("a mode");
    for sql in [
        "DROP TABLE IF EXISTS t",
        &format!(
            "CREATE TABLE t (n INT PRIMARY KEY, v VARCHAR(2) CHARACTER SET {charset} NOT NULL, bytes VARCHAR(4))"
        ),
        &format!(
            "INSERT IGNORE INTO t SELECT n, CONVERT(UNHEX(h) USING {charset}), h
             FROM (SELECT n, LOWER(IF(n < 256, LPAD(HEX(n), 2, '0'), LPAD(HEX(n - 256), 4, '0'))) h FROM numbers) s"
        ),
        "DELETE FROM t WHERE LOWER(HEX(v)) <> bytes OR CHAR_LENGTH(v) <> 1
             OR HEX(CONVERT(v USING utf8mb4)) = ''
             OR HEX(CONVERT(v USING utf8mb4)) BETWEEN 'EDA080' AND 'EDBFBF'
             OR HEX(CONVERT(v USING utf8mb4)) = '3F' AND bytes NOT IN ('3f', '003f', '3f00')",
    ] {
        conn.query_drop(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

#[test]
fn every_character_is_decoded_as_the_server_decodes_it() {
    each_server(|db| {
        db.sql("CREATE TABLE digits (d INT)");
        db.sql("INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9),(10),(11),(12),(13),(14),(15)");
        db.sql(
            "CREATE TABLE numbers AS SELECT a.d + 16 * b.d + 256 * c.d + 4096 * e.d + 65536 * g.d n
             FROM digits a, digits b, digits c, digits e, (SELECT 0 d UNION SELECT 1) g
             WHERE g.d = 0 OR a.d + 16 * b.d + 256 * c.d + 4096 * e.d < 256",
        );
        for (charset, refused) in DECODED {
            create_sequences(db, charset);
            let refused: Vec<String> = refused.split(' ').map(|hex| format!("'{hex}'")).collect();
            db.sql("DROP PROCEDURE IF EXISTS p");
            db.sql(&format!(
                "CREATE PROCEDURE p() BEGIN SET character_set_results = NULL;
                 SELECT v, CONVERT(v USING utf8mb4) w FROM t WHERE bytes NOT IN ({}) ORDER BY n; END",
                refused.join(", ")
            ));
            let outcome = db
                .export("CALL p()")
                .args(["--header=false", "--quiet"])
                .run()
                .ended(0, "");
            let text = String::from_utf8(outcome.stdout).expect(charset);
            let wrong = text.lines().find(|line| {
                let (decoded, expected) = line.split_once('\t').expect("two columns");
                decoded != expected
            });
            assert_eq!(wrong, None, "{charset}");
            let count: Option<usize> = db
                .connect()
                .query_first("SELECT COUNT(*) FROM t")
                .expect("a count");
            let is_one_byte = refused.len() == 1 && refused[0] == "''";
            let refused_count = if is_one_byte { 0 } else { refused.len() };
            assert_eq!(
                Some(text.lines().count() + refused_count),
                count,
                "{charset}"
            );
            if refused_count > 0 {
                refuses(db, charset, &refused);
            }
        }
    });
}

/// Asserts that each of these sequences ends an export.
fn refuses(db: &Database, charset: &str, sequences: &[String]) {
    for bytes in sequences {
        db.sql("DROP PROCEDURE IF EXISTS p");
        db.sql(&format!(
            "CREATE PROCEDURE p() BEGIN SET character_set_results = NULL;
             SELECT v FROM t WHERE bytes = {bytes}; END"
        ));
        let expected = format!(
            "gold_digger: row 1, column \"v\": the value cannot be decoded from {charset}; no row had come\n  hint: {HINT}\n"
        );
        db.export("CALL p()").run().ended(4, &expected);
    }
}

#[test]
fn a_procedure_that_chooses_a_character_set_is_exact_or_an_error() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(20) CHARACTER SET utf8mb4, g VARCHAR(20) CHARACTER SET greek, d VARCHAR(20) CHARACTER SET cp850)");
        db.sql("INSERT INTO t VALUES (1, 'hi 😀', 'α', 'a'), (2, 'ü€?', 'β?', 'b'), (3, 'naïve', '', '')");
        for (settings, select, code, expected) in [
            (
                "SET NAMES utf8mb3",
                "s FROM t WHERE id = 1",
                4,
                lost("utf8mb3"),
            ),
            (
                "SET NAMES utf8mb3",
                "s FROM t WHERE id = 3",
                0,
                "s\nnaïve\n".to_owned(),
            ),
            (
                "SET character_set_results = latin1",
                "s FROM t WHERE id = 3",
                0,
                "s\nnaïve\n".to_owned(),
            ),
            (
                "SET character_set_results = latin1",
                "s FROM t WHERE id = 2",
                4,
                lost("latin1"),
            ),
            (
                "SET character_set_results = greek",
                "g FROM t WHERE id = 1",
                0,
                "g\nα\n".to_owned(),
            ),
            (
                "SET character_set_results = NULL",
                "s, g FROM t WHERE id = 2",
                0,
                "s\tg\nü€?\tβ?\n".to_owned(),
            ),
            (
                "SET character_set_results = NULL",
                "d FROM t",
                4,
                format!(
                    "gold_digger: column \"d\" comes in the character set cp850, which this version does not decode\n  hint: {HINT}\n"
                ),
            ),
            (
                "SET character_set_results = latin1",
                "s AS `süß` FROM t WHERE id = 3",
                4,
                String::new(),
            ),
        ] {
            db.sql("DROP PROCEDURE IF EXISTS p");
            db.sql(&format!(
                "CREATE PROCEDURE p() BEGIN {settings}; SELECT {select}; END"
            ));
            for protocol in ["auto", "text"] {
                let outcome = db.export("CALL p()").args(["--protocol", protocol]).run();
                let stdout = String::from_utf8_lossy(&outcome.stdout);
                let what = format!(
                    "{settings}; {select}; {protocol}: {stdout}{}",
                    outcome.stderr
                );
                assert_eq!(outcome.status.code(), Some(code), "{what}");
                match (code, expected.as_str()) {
                    (0, expected) => assert_eq!(stdout, expected, "{what}"),
                    (_, "") => assert!(outcome.stderr.contains("name"), "{what}"),
                    (_, expected) => assert!(outcome.stderr.contains(expected), "{what}"),
                }
            }
        }
    });
}

/// MySQL announces JSON as bytes, but converts it like text.
#[test]
fn json_of_a_procedure_that_chooses_a_character_set_is_exact_or_an_error() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT PRIMARY KEY, j JSON)");
        db.sql(r#"INSERT INTO t VALUES (1, '{"a": "😀"}'), (2, '{"a": "Ã©"}'), (3, '[1]')"#);
        for (settings, id, is_exact) in [
            ("SET character_set_results = latin1", 1, false),
            ("SET NAMES utf8mb3", 1, false),
            ("SET character_set_results = latin1", 3, true),
            ("SET NAMES utf8mb4", 1, true),
            ("SET character_set_results = NULL", 1, true),
            ("DO 0", 2, true),
        ] {
            db.sql("DROP PROCEDURE IF EXISTS p");
            db.sql(&format!(
                "CREATE PROCEDURE p() BEGIN {settings}; SELECT j FROM t WHERE id = {id}; END"
            ));
            let stored = db.export(&format!("SELECT j FROM t WHERE id = {id}")).run();
            let run = db.export("CALL p()").run();
            if is_exact {
                assert_eq!(run.ended(0, "").stdout, stored.stdout, "{settings} {id}");
            } else {
                run.failed(4, &["row 1, column \"j\"", HINT]);
            }
        }
    });
}

/// The message for text that may have lost a character.
fn lost(charset: &str) -> String {
    format!(
        "row 1, column \"s\": the value came in {charset}, and its `?` may be a character that {charset} lacks; 1 row had come, and what was written is incomplete\n  hint: {HINT}\n"
    )
}

#[test]
fn characters_that_utf8_lacks_are_exact_as_bytes() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (s VARCHAR(9) CHARACTER SET sjis, g VARCHAR(9) CHARACTER SET greek)",
        );
        db.sql("INSERT INTO t VALUES (X'8740', X'A4')");
        // The server's sjis and greek have no character for these bytes.
        let text = db.export("SELECT s, g FROM t").run().ended(0, "");
        assert_eq!(text.stdout, b"s\tg\n?\t?\n");
        let sql = "SELECT CAST(s AS BINARY) AS s, CAST(g AS BINARY) AS g FROM t";
        let bytes = db.export(sql).args(["--binary", "hex"]).run().ended(0, "");
        assert_eq!(bytes.stdout, b"s\tg\n8740\ta4\n");
    });
}

#[test]
fn columns_in_utf_16_or_utf_32_are_an_error_that_names_the_cause() {
    each_server(|db| {
        for charset in ["ucs2", "utf16", "utf16le", "utf32"] {
            db.sql("DROP PROCEDURE IF EXISTS p");
            db.sql(&format!(
                "CREATE PROCEDURE p() BEGIN SET character_set_results = {charset}; SELECT 'a' AS x; END"
            ));
            let message = format!(
                "gold_digger: the names of the columns cannot be read: they seem to come in UTF-16 or UTF-32, as after SET character_set_results in a procedure\n  hint: {HINT}\n"
            );
            for protocol in ["--protocol=text", "--protocol=binary"] {
                let run = db.export("CALL p()").arg(protocol).run();
                run.ended(4, &message);
            }
        }
    });
}

/// Servers have names in utf8mb3.
#[test]
fn names_that_lost_characters_are_warned_of() {
    let warning = |count: &str| {
        format!(
            "gold_digger: warning: {count} a `?` where the query has a character beyond U+FFFF, which no name can have; AS gives "
        )
    };
    let one = warning("1 column's name has") + "it another one\n";
    let two = warning("2 columns' names have") + "them others\n";
    each_server(|db| {
        for (sql, stderr) in [
            ("SELECT '😀'", &*one),
            ("SELECT CONCAT('😀', 'a'), LENGTH('😀'), '😀' AS b", &two),
            ("SELECT * FROM (SELECT '😀') q", &one),
            ("SELECT '😀' AS b", ""),
            ("SELECT '😀' AS b, 1 AS 'é漢?'", ""),
            ("SELECT 1 AS '?'", ""),
        ] {
            for protocol in ["--protocol=text", "--protocol=binary"] {
                db.export(sql).arg(protocol).run().ended(0, stderr);
            }
        }
        let alias = db.export("SELECT 1 AS '😀'").run();
        match db.is_mariadb() {
            true => alias.ended(0, &one),
            false => alias.failed(4, &["server error 3854", "utf8mb3"]),
        };
        let strict = db.export("SELECT '😀'").arg("--strict-warnings").run();
        strict.failed(4, &["1 column's name has a `?`"]);
    });
}
