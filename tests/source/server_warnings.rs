//! Warnings of the server that say that a result is incomplete or altered.

use std::fs;

use mysql::prelude::Queryable;
use serde_json::{Value, json};

use crate::support::{GlobalVariable, GoldDigger, each_server, each_server_alone, on_new_mariadb};

/// The server's words for an altered value, in MariaDB and in MySQL. `None`: this
/// server does not warn, or has another result.
type Words = [Option<&'static str>; 2];

const fn both(words: &'static str) -> Words {
    [Some(words), Some(words)]
}

const fn mariadb(words: &'static str) -> Words {
    [Some(words), None]
}

const fn mysql(words: &'static str) -> Words {
    [None, Some(words)]
}

/// What a SELECT of one row selects, and the warnings about it. The codes are, in this
/// order: 1292, 1264, 1300, 1411, 1441, 1525, 1258, 1259, 1265, 6527, 1916 as a note
/// and as a warning, 1918, 1958, 1977, 1366, 4037 and 3141, 1292 and 3155, 1292 and
/// 3156, 4038, 4040, 4041, 4042, 1264 as a note, 4183, 4051, 4046, 1139, 4044, 4048,
/// 4050, 1292 at PREPARE, 1649, 1583, 1618, 1235 and 3986.
const ALTERED: &[(&str, Words)] = &[
    (
        "CAST('x' AS SIGNED)",
        both("Truncated incorrect INTEGER value: 'x'"),
    ),
    (
        "CAST('12345.678' AS DECIMAL(5,2)) AS a",
        both("Out of range value for column 'a' at row 1"),
    ),
    (
        "CONVERT(0xff USING utf8mb4)",
        [
            Some(r"Invalid utf8mb4 character string: '\xFF'"),
            Some("Invalid utf8mb4 character string: 'FF'"),
        ],
    ),
    (
        "STR_TO_DATE('x', '%Y')",
        both("Incorrect datetime value: 'x' for function str_to_date"),
    ),
    (
        "ADDDATE('9999-12-31', INTERVAL 1 DAY)",
        both("Datetime function: datetime field overflow"),
    ),
    (
        "EXTRACTVALUE('<a', '/a')",
        both(
            "Incorrect XML value: 'parse error at line 1 pos 3: END-OF-INPUT unexpected ('>' wanted)'",
        ),
    ),
    (
        "UNCOMPRESS(CONCAT(0x01000000, SUBSTRING(COMPRESS(REPEAT('a', 100)), 5)))",
        both(
            "ZLIB: Not enough room in the output buffer (probably, length of uncompressed data was corrupted)",
        ),
    ),
    (
        "UNCOMPRESS(0x0400000078787878)",
        both("ZLIB: Input data corrupted"),
    ),
    (
        "a FROM JSON_TABLE('[\"xy\"]', '$[*]' COLUMNS(a CHAR(1) PATH '$')) AS t",
        mariadb("Data truncated for column 'a' at row 1"),
    ),
    (
        "FROM_DAYS(99999999)",
        mysql("DATE value is out of range in 'from_days(99999999)'"),
    ),
    (
        "CAST(1e100 AS SIGNED)",
        mariadb("Got overflow when converting '1e100' to SIGNED BIGINT. Value truncated"),
    ),
    (
        "COLUMN_GET(COLUMN_CREATE('a', 1e30), 'a' AS INT)",
        mariadb("Got overflow when converting '1e30' to INT. Value truncated"),
    ),
    (
        "COLUMN_GET(COLUMN_CREATE('a', 'x'), 'a' AS INT)",
        mariadb("Encountered illegal value 'x' when converting to INT"),
    ),
    (
        "FROM_BASE64('!!!')",
        mariadb("Bad base64 data as position 0"),
    ),
    (
        "CONVERT('é' USING ascii)",
        mariadb("Cannot convert 'utf8mb4' character 0xC3A9 to 'ascii'"),
    ),
    (
        "a FROM JSON_TABLE('[\"x\"]', '$[*]' COLUMNS(a INT PATH '$')) AS t",
        // Releases of MariaDB name the table otherwise.
        mariadb("Incorrect integer value: 'x' for column …"),
    ),
    (
        "JSON_EXTRACT('{\"a\":1', '$.a')",
        mariadb("Unexpected end of JSON text in argument 1 to function 'json_extract'"),
    ),
    (
        "JSON_VALUE('{', '$.a')",
        mysql(
            "Invalid JSON text in argument 1 to function json_value: \"Missing a name for object member.\" at position 1.",
        ),
    ),
    (
        "CAST(JSON_EXTRACT('{\"a\":1e30}', '$.a') AS SIGNED)",
        [
            Some("Truncated incorrect INTEGER value: '1e30'"),
            Some("Out of range JSON value for CAST to INTEGER from column json_extract at row 1"),
        ],
    ),
    (
        "CAST(JSON_EXTRACT('{\"a\":\"x\"}', '$.a') AS SIGNED)",
        [
            Some("Truncated incorrect INTEGER value: '\"x\"'"),
            Some("Invalid JSON value for CAST to INTEGER from column json_extract at row 1"),
        ],
    ),
    (
        "JSON_EXTRACT('{bad', '$.a')",
        mariadb("Syntax error in JSON text in argument 1 to function 'json_extract' at position 2"),
    ),
    (
        "JSON_EXTRACT(CONCAT(REPEAT('[', 99), REPEAT(']', 99)), '$.a')",
        mariadb(
            "Limit of 32 on JSON nested structures depth is reached in argument 1 to function 'json_extract' at position 32",
        ),
    ),
    (
        "JSON_EXTRACT('[1]', '$[')",
        mariadb("Unexpected end of JSON path in argument 2 to function 'json_extract'"),
    ),
    (
        "JSON_EXTRACT('[1]', '$x')",
        mariadb("Syntax error in JSON path in argument 2 to function 'json_extract' at position 2"),
    ),
    (
        "CAST(1e300 AS FLOAT)",
        mariadb("Out of range value for column 'CAST(1e300 AS FLOAT)' at row 1"),
    ),
    (
        "SFORMAT('{', 'a')",
        mariadb("SFORMAT error: invalid format string"),
    ),
    (
        "JSON_REMOVE('{}', '$')",
        mariadb("Path expression '$' is not allowed in argument 2 to function 'json_remove'."),
    ),
    (
        "JSON_SEARCH('{}', 'x', 'a')",
        mariadb("Argument 2 to function 'json_search' must be \"one\" or \"all\"."),
    ),
    (
        "CONCAT(REPEAT('a', 50000), 'b') REGEXP '^(a+)+$'",
        mariadb("Regex error 'match limit exceeded'"),
    ),
    (
        "JSON_ARRAY_APPEND('[1]', '$[*]', 1)",
        mariadb(
            "Wildcards or range in JSON path not allowed in argument 2 to function 'json_array_append'",
        ),
    ),
    (
        "ST_ASTEXT(ST_GEOMFROMGEOJSON('{\"type\":\"x\"}'))",
        mariadb("Incorrect GeoJSON format specified for st_geomfromgeojson function."),
    ),
    (
        "ST_ASTEXT(ST_GEOMFROMGEOJSON('{\"type\":\"Polygon\",\"coordinates\":[[[1,1],[2,2],[3,3],[4,4]]]}'))",
        mariadb("Incorrect GeoJSON format - polygon not closed."),
    ),
    (
        "1 FROM (SELECT 1 AS v) AS t WHERE v IN ('x', '1')",
        mysql("Truncated incorrect DOUBLE value: 'x'"),
    ),
    (
        "FORMAT(1234.5, 2, 'de_XX')",
        both("Unknown locale: 'de_XX'"),
    ),
    (
        "SHA2('x', 7)",
        both("Incorrect parameters in the call to native function 'sha2'"),
    ),
    (
        "AES_ENCRYPT('a', 'b', REPEAT('c', 16))",
        mysql("<IV> option ignored"),
    ),
    (
        "GREATEST(CAST('2' AS JSON), 2)",
        mysql(
            "This version of MySQL doesn't yet support 'comparison of JSON in the LEAST and GREATEST operators'",
        ),
    ),
    (
        "1 FROM DUAL WHERE CAST('2' AS JSON)",
        mysql(
            "Evaluating a JSON value in SQL boolean context does an implicit comparison against JSON integer 0; if this is not what you want, consider converting JSON to a SQL numeric type with JSON_VALUE RETURNING",
        ),
    ),
];

const STRICT_HINT: &str =
    "mend the query or its data; without --strict-warnings, this is a warning";

/// Asserts that `run` succeeds with these warnings, on standard error and in the
/// summary.
#[track_caller]
fn assert_warns(run: GoldDigger, warnings: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("summary.json");
    let lines = warnings
        .iter()
        .map(|text| format!("gold_digger: warning: {text}\n"));
    run.arg("--summary")
        .arg(&path)
        .run()
        .ended(0, &lines.collect::<String>());
    let summary = fs::read(&path).expect("the summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["warnings"], json!(warnings));
}

#[test]
fn altered_values_are_warnings_and_errors_if_strict() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("a.csv");
        fs::write(&target, "as it was").expect("a file");
        for (expression, words) in ALTERED {
            let Some(words) = words[usize::from(!db.is_mariadb())] else {
                continue;
            };
            let warning = format!("the server has altered a value: {words}");
            for protocol in ["--protocol=binary", "--protocol=text"] {
                let run = || db.export(&format!("SELECT {expression}")).arg(protocol);
                if let Some(begin) = warning.strip_suffix('…') {
                    run().run().assert_stderr_contains(&[begin]);
                    run().arg("--strict-warnings").run().failed(4, &[begin]);
                    continue;
                }
                assert_warns(run(), &[&warning]);
                let outcome = run().arg("--strict-warnings").arg("-o").arg(&target).run();
                let left = format!("1 row had come, and {} was not touched", target.display());
                let error = format!("gold_digger: {warning}; {left}\n  hint: {STRICT_HINT}\n");
                outcome.ended(4, &error);
            }
        }
        assert_eq!(fs::read(&target).expect("the file"), b"as it was");
    });
}

#[test]
fn warnings_are_counted_by_their_code() {
    each_server(|db| {
        db.sql("CREATE TABLE t (s VARCHAR(20))");
        db.sql("INSERT INTO t VALUES ('1a'), ('2026-01-02'), ('x')");
        let sql = "SELECT CAST(s AS SIGNED), STR_TO_DATE(s, '%Y-%m-%d') FROM t ORDER BY s";
        let warnings = [
            "the server has altered a value 3 times: Truncated incorrect INTEGER value: '1a'",
            "the server has altered a value 2 times: Incorrect datetime value: '1a' for function str_to_date",
        ];
        for protocol in ["--protocol=binary", "--protocol=text"] {
            assert_warns(db.export(sql).arg(protocol), &warnings);
            let strict = db.export(sql).args([protocol, "--strict-warnings"]).run();
            strict.failed(4, &[&warnings.join("; "), "3 rows had come", STRICT_HINT]);
        }
        let cut = "SELECT GROUP_CONCAT(REPEAT('x', 40)) AS a";
        let warning = "the server has cut a value: Row 1 was cut by GROUP_CONCAT(); --init 'SET SESSION group_concat_max_len = …' allows longer ones";
        let run = || {
            db.export(cut)
                .args(["--init", "SET SESSION group_concat_max_len = 10"])
        };
        assert_warns(run(), &[warning]);
        assert_eq!(run().run().stdout, b"a\nxxxxxxxxxx\n");
        // What a server has in information_schema of an invalid view.
        db.sql("CREATE VIEW v AS SELECT s FROM t");
        db.sql("DROP TABLE t");
        let sql = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'v'";
        let warning = format!(
            "the server reports an error: View '{}.v' references invalid table(s) or column(s) or function(s) or definer/invoker of view lack rights to use them",
            db.name
        );
        assert_warns(db.export(sql).arg("--allow-empty"), &[&warning]);
    });
}

#[test]
fn warnings_about_no_value_are_only_counted() {
    each_server(|db| {
        for expression in [
            "1 / 0",
            "LOG(0)",
            "CAST(-1 AS UNSIGNED)",
            "SQL_CALC_FOUND_ROWS 1",
            "CAST('10:20:30.123456789' AS TIME(2))",
            "CAST('1 ' AS SIGNED)",
        ] {
            let run = || db.export(&format!("SELECT {expression}"));
            run().arg("--strict-warnings").run().ended(0, "");
        }
        // MySQL warns of a zero date in a temporary table, and keeps it.
        let mut conn = db.connect();
        conn.query_drop("SET sql_mode = ''").expect("a mode");
        conn.query_drop("CREATE TABLE zero (d DATE)")
            .expect("a table");
        conn.query_drop("INSERT INTO zero VALUES ('0000-00-00')")
            .expect("a row");
        let run = db.export("SELECT d FROM (SELECT d FROM zero LIMIT 9) q");
        run.arg("--strict-warnings").run().wrote("d\n0000-00-00\n");
        let verbose = db.export("SELECT 1 / 0").arg("-v").run();
        verbose.assert_stderr_contains(&["the server counted 1 warning"]);
    });
}

/// MariaDB ends such statements early, and only warns.
#[test]
fn incomplete_results_are_errors() {
    each_server(|db| {
        let recursion = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n /* rows examined */";
        db.sql("CREATE TABLE t (i INT)");
        db.sql("INSERT INTO t VALUES (1), (2), (3), (4)");
        for protocol in ["--protocol=binary", "--protocol=text"] {
            let outcome = db.export(recursion).arg(protocol).run();
            if !db.is_mariadb() {
                outcome.failed(4, &["server error 3636", "cte_max_recursion_depth"]);
                continue;
            }
            let words = "Query execution was interrupted. The query exceeded";
            let end = "The query result may be incomplete";
            let what =
                format!("the result is incomplete: {words} max_recursive_iterations = 1000. {end}");
            outcome.failed(
                4,
                &[
                    &what,
                    "1001 rows had come",
                    "raise the limit that the server names",
                ],
            );
            let init = "SET SESSION max_recursive_iterations = 5000";
            let outcome = db.export(recursion).args([protocol, "--init", init]).run();
            let lines = outcome
                .ended(0, "")
                .stdout
                .split(|byte| *byte == b'\n')
                .count();
            assert_eq!(lines, 5002);
            // The statement asks for it.
            let limited = "SELECT i FROM t LIMIT ROWS/**/EXAMINED 2";
            let run = || db.export(limited).arg(protocol);
            let warning = format!(
                "the server returns an incomplete result: {words} LIMIT ROWS EXAMINED 2. {end}"
            );
            assert_warns(run(), &[&warning]);
            run()
                .arg("--strict-warnings")
                .run()
                .failed(4, &[&warning, STRICT_HINT]);
        }
    });
}

#[test]
fn values_sorted_by_their_beginning_are_reported() {
    on_new_mariadb(|db| {
        db.sql("CREATE TABLE t (s LONGTEXT)");
        db.sql("INSERT INTO t SELECT CONCAT(REPEAT('x', 70), seq) FROM seq_1_to_5");
        let run = db.export("SELECT s FROM t ORDER BY s");
        let run = run.args(["--init", "SET SESSION max_sort_length = 64"]);
        let warning = "the server has sorted by the beginning of values: 5 values were longer than max_sort_length. Sorting used only the first 64 bytes; --init 'SET SESSION max_sort_length = …' sorts by more";
        assert_warns(run, &[warning]);
    });
}

#[test]
fn the_server_cannot_hide_its_warnings() {
    each_server_alone(|db| {
        let _count = GlobalVariable::set(db, "max_error_count", "0");
        let _notes = GlobalVariable::set(db, "sql_notes", "0");
        let warning = "the server has altered a value: Truncated incorrect INTEGER value: 'x'";
        for protocol in ["--protocol=binary", "--protocol=text"] {
            assert_warns(
                db.export("SELECT CAST('x' AS SIGNED)").arg(protocol),
                &[warning],
            );
        }
    });
}

#[test]
fn warnings_that_the_server_does_not_keep_are_reported() {
    each_server(|db| {
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
                    SELECT CAST(CONCAT(a.i, 'x') AS SIGNED) AS i FROM n AS a, n AS b ORDER BY 1";
        let run = || db.export(many);
        let stderr = run().run().ended_with(0);
        let lines: Vec<&str> = stderr.lines().collect();
        let [altered, unread] = lines[..] else {
            panic!("{stderr}");
        };
        let start = "gold_digger: warning: the server has altered a value 65535 times: Truncated";
        assert!(altered.starts_with(start), "{altered}");
        let unknown = "whether others say that the result is incomplete or altered is not known";
        assert_eq!(
            unread,
            format!(
                "gold_digger: warning: the server keeps 65535 warnings and has no room for more: {unknown}"
            )
        );
        // An init statement can make it keep fewer.
        let few = run()
            .args(["--init", "SET SESSION max_error_count = 2"])
            .run();
        let stderr = few.ended_with(0);
        assert!(
            stderr.contains("the server has altered a value 2 times"),
            "{stderr}"
        );
        assert!(stderr.contains(&format!("warnings: {unknown}")), "{stderr}");
    });
}

/// These need a plugin, a federated table or a broken file; a procedure gives them
/// after its result.
#[test]
fn warnings_that_are_hard_to_come_by_mean_what_their_codes_say() {
    let (incomplete, error) = ("the result is incomplete", "the server reports an error");
    let altered = "the server has altered a value";
    each_server(|db| {
        for (code, meaning) in [
            (1429, Some(incomplete)),
            (1430, Some(incomplete)),
            (1684, Some(incomplete)),
            (3641, Some(incomplete)),
            (6119, Some(incomplete)),
            (1030, Some(error)),
            (1105, Some(error)),
            (1296, Some(error)),
            (1406, Some(altered)),
            (1690, Some(altered)),
            (1365, None),
            (1642, None),
        ] {
            db.sql("DROP PROCEDURE IF EXISTS p");
            db.sql(&format!(
                "CREATE PROCEDURE p() BEGIN SELECT 1 AS a;
                 SIGNAL SQLSTATE '01000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'its words'; END"
            ));
            for protocol in ["--protocol=binary", "--protocol=text"] {
                println!("{code} {protocol}");
                let run = || db.export("CALL p()").arg(protocol);
                let Some(meaning) = meaning else {
                    run().arg("--strict-warnings").run().ended(0, "");
                    continue;
                };
                let words = format!("{meaning}: its words");
                if meaning == incomplete {
                    run().run().failed(4, &[&words, "1 row had come"]);
                    continue;
                }
                assert_warns(run(), &[&words]);
                let strict = run().arg("--strict-warnings").run();
                strict.failed(4, &[&words, "1 row had come", STRICT_HINT]);
            }
        }
    });
}

/// Both servers count no warnings at the end of a procedure's result set, and keep
/// those of its last statement only; MariaDB those of the last one that reads a table.
#[test]
fn a_procedure_has_the_warnings_of_its_last_statement() {
    each_server(|db| {
        db.sql("CREATE TABLE t (i INT)");
        let cut = "SELECT GROUP_CONCAT(REPEAT('x', 40)) AS a";
        db.sql(&format!("CREATE PROCEDURE last() BEGIN {cut}; END"));
        db.sql(&format!(
            "CREATE PROCEDURE assigns() BEGIN {cut}; SET @a = 1; END"
        ));
        db.sql(&format!(
            "CREATE PROCEDURE reads_on() BEGIN {cut}; SELECT COUNT(*) INTO @a FROM t; END"
        ));
        for (procedure, is_known) in [
            ("last", true),
            ("assigns", db.is_mariadb()),
            ("reads_on", false),
        ] {
            let run = db.export(&format!("CALL {procedure}()"));
            let run = run
                .args(["--init", "SET SESSION group_concat_max_len = 10"])
                .run();
            assert_eq!(run.stdout, b"a\nxxxxxxxxxx\n");
            let stderr = run.ended_with(0);
            assert_eq!(
                stderr.contains("has cut a value"),
                is_known,
                "{procedure}: {stderr}"
            );
        }
    });
}

#[test]
fn questions_about_the_statement_before_are_reported() {
    each_server(|db| {
        for (sql, what) in [
            ("SHOW WARNINGS", "SHOW WARNINGS"),
            ("SHOW ERRORS", "SHOW ERRORS"),
            ("SELECT FOUND_ROWS() AS n", "FOUND_ROWS()"),
            ("SELECT ROW_COUNT() AS n", "ROW_COUNT()"),
            ("SELECT @@SESSION.warning_count AS n", "@@warning_count"),
            ("SELECT @@error_count AS n", "@@error_count"),
        ] {
            for protocol in ["--protocol=auto", "--protocol=text"] {
                let warning =
                    format!("{what} tells of this program's own statements, not of one of yours");
                let run = || db.export(sql).args([protocol, "--allow-empty"]);
                assert_warns(run(), &[&warning]);
                run().arg("--strict-warnings").run().failed(4, &[&warning]);
            }
        }
        for (sql, warning) in [
            (
                "SHOW SESSION VARIABLES LIKE 'wait_timeout'",
                "SHOW VARIABLES shows the session of this program",
            ),
            (
                "SELECT @@wait_timeout",
                "@@wait_timeout shows the session of this program",
            ),
            (
                "SELECT RELEASE_ALL_LOCKS()",
                "RELEASE_ALL_LOCKS() also counts and releases this program's own lock",
            ),
        ] {
            let stderr = db.export(sql).run().ended_with(0);
            assert!(stderr.contains(warning), "{sql}: {stderr}");
        }
        db.export("SHOW GLOBAL VARIABLES LIKE 'x'")
            .arg("--allow-empty")
            .run()
            .ended_with(0);
        let text = "SELECT 'FOUND_ROWS()' AS a";
        db.export(text).run().wrote("a\nFOUND_ROWS()\n");
    });
}

#[test]
fn a_configuration_file_can_be_strict() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.toml");
        fs::write(&file, "[session]\nstrict_warnings = true\n").expect("a file");
        let run = || {
            db.export("SELECT CAST('x' AS SIGNED) AS i")
                .arg("--config")
                .arg(&file)
        };
        run().run().failed(4, &["has altered a value", STRICT_HINT]);
        let outcome = run().arg("--strict-warnings=false").run();
        assert_eq!(outcome.stdout, b"i\n0\n");
    });
}

#[test]
fn warnings_of_init_statements_are_reported() {
    each_server(|db| {
        let init = "SET @n = '12abc' + 0";
        let run = || db.export("SELECT @n AS n").args(["--init", init]);
        let outcome = run().run();
        let warning = "gold_digger: warning: the init statement \"SET @n = '12abc' + 0\": the server has altered a value: Truncated incorrect DOUBLE value: '12abc'\n";
        assert_eq!(outcome.ended(0, warning).stdout, b"n\n12\n");
        let strict = run().arg("--strict-warnings").run();
        strict.failed(
            4,
            &[
                "the init statement",
                "Truncated incorrect DOUBLE value: '12abc'",
                STRICT_HINT,
            ],
        );
        let long = "SET @v = REPEAT('x', 1 << 31)";
        let run = db.export("SELECT @v AS v").args(["--init", long]).run();
        run.failed(
            4,
            &["the init statement", "made a value NULL that is too long"],
        );
    });
}
