//! The values of expressions over columns of every type, over both protocols and on
//! both servers, against what PyMySQL fetches. Servers send some expressions in
//! another form than columns.

use std::ffi::OsStr;

use gold_digger::{
    CancelToken,
    error::{ErrorKind, Result},
    format::{BinaryEncoding, EncodeBuffer, Format, TextOptions, Tsv},
    source::{ConnectOptions, Protocol, QueryExecutor, RowSource, SessionOptions, SessionUse},
    sql::Query,
};

use crate::{
    format::readers::python,
    support::{Database, GoldDigger, each_server},
};

/// A column's type, the SQL of two values, and the expression that makes the server
/// send a value in the form that the export has.
struct Type(&'static str, [&'static str; 2], &'static str);

const AS_NUMBER: &str = "(?)+0";
const AS_CHAR: &str = "CAST(? AS CHAR)";
const AS_HEX: &str = "LOWER(HEX(?))";

const TYPES: &[Type] = &[
    Type("BIT(1)", ["1", "0"], AS_NUMBER),
    Type("BIT(5)", ["5", "17"], AS_NUMBER),
    Type("BIT(8)", ["49", "200"], AS_NUMBER),
    Type("BIT(14)", ["12337", "300"], AS_NUMBER),
    Type("BIT(33)", ["5000000000", "1"], AS_NUMBER),
    Type(
        "BIT(64)",
        ["18446744073709551615", "3544385890265608499"],
        AS_NUMBER,
    ),
    Type("YEAR", ["2001", "1999"], AS_CHAR),
    Type("ENUM('a','5','ü')", ["'5'", "'ü'"], AS_CHAR),
    Type("SET('a','5','ü')", ["'a,ü'", "'5'"], AS_CHAR),
    Type(
        "GEOMETRY",
        [
            "ST_GeomFromText('POINT(1 2)')",
            "ST_GeomFromText('POINT(3 4)')",
        ],
        AS_HEX,
    ),
    Type("JSON", ["'[1, 2]'", "'{\"a\": null}'"], AS_CHAR),
    Type(
        "VECTOR(2)",
        ["TO_VECTOR('[1,2]')", "TO_VECTOR('[3,4]')"],
        AS_HEX,
    ),
    Type("INET6", ["'::1'", "'::ffff:1.2.3.4'"], AS_CHAR),
    Type("INET4", ["'1.2.3.4'", "'0.0.0.0'"], AS_CHAR),
    Type(
        "UUID",
        ["'123e4567-e89b-12d3-a456-426614174000'", "UUID()"],
        AS_CHAR,
    ),
    Type("DATE", ["'2020-01-02'", "'1999-12-31'"], AS_CHAR),
    Type("TIME(3)", ["'-1:02:03.500'", "'100:00:00'"], AS_CHAR),
    Type(
        "DATETIME(6)",
        ["'2020-01-02 03:04:05.6'", "'1999-12-31'"],
        AS_CHAR,
    ),
    Type(
        "TIMESTAMP NULL",
        ["'2020-01-02 03:04:05'", "'1999-12-31'"],
        AS_CHAR,
    ),
    Type("FLOAT", ["1.5", "-0.25"], AS_CHAR),
    Type("DOUBLE", ["1.1", "1e300"], AS_CHAR),
    Type("DECIMAL(20,5)", ["1.1", "-3"], AS_CHAR),
    Type("TINYINT UNSIGNED", ["200", "0"], AS_CHAR),
    Type("BIGINT UNSIGNED", ["18446744073709551615", "0"], AS_CHAR),
    Type("INT(6) ZEROFILL", ["123456", "654321"], AS_CHAR),
    Type("BLOB", ["X'00ff'", "X'31'"], AS_HEX),
    Type("BINARY(3)", ["X'00ff'", "X'31'"], AS_HEX),
    Type("VARCHAR(9) CHARACTER SET latin1", ["'ü'", "'€'"], AS_CHAR),
    Type("TEXT", ["'ü😀'", "'x'"], AS_CHAR),
];

/// Expressions over the column `x`, and `n`, which is NULL, of the table `t`.
const EXPRESSIONS: &[&str] = &[
    "x",
    "COALESCE(x, n)",
    "COALESCE(n, x)",
    "IFNULL(x, n)",
    "NULLIF(x, n)",
    "IF(id, x, n)",
    "CASE WHEN id = 1 THEN x ELSE x END",
    "IF(id = 1, x, COALESCE(x, n))",
    "GREATEST(x, x)",
    "LEAST(x, x)",
    "(SELECT q.x FROM t q WHERE q.id = t.id)",
    "FIRST_VALUE(x) OVER (PARTITION BY id)",
    "LAG(x, 0) OVER (ORDER BY id)",
    "MAX(x) OVER (PARTITION BY id)",
    "f(x)",
];

/// Aggregates, for a query with `GROUP BY id`.
const AGGREGATES: &[&str] = &["MAX(x)", "MIN(x)", "ANY_VALUE(x)", "COALESCE(MAX(x), n)"];

/// Whole statements, which return the values of the column in their order.
const STATEMENTS: &[&str] = &[
    "SELECT x FROM t WHERE id = 1 UNION ALL SELECT x FROM t WHERE id = 2",
    "SELECT COALESCE(x, n) FROM t WHERE id = 1 UNION ALL SELECT x FROM t WHERE id = 2",
    "SELECT column_of_v FROM v ORDER BY id",
    "SELECT expression_of_v FROM v ORDER BY id",
    "SELECT x FROM (SELECT id, x FROM t LIMIT 5) q ORDER BY id",
    "SELECT y FROM (SELECT id, COALESCE(x, n) y FROM t) q ORDER BY id",
    "WITH t AS (SELECT id, COALESCE(x, n) x FROM v2) SELECT x FROM t ORDER BY id",
    "SELECT MIN(x) FROM t WHERE id = 1 UNION ALL SELECT MAX(x) FROM t WHERE id = 2",
    "SELECT x FROM t GROUP BY x ORDER BY MIN(id)",
    "CALL p()",
];

/// Fetches the first value of each row of each query, over the text protocol.
const FETCH: &str = r#"
import json, sys, pymysql
socket, password, database, queries = sys.argv[1:]
connection = pymysql.connect(unix_socket=socket, user='root', password=password,
                             database=database, charset='utf8mb4')
cursor = connection.cursor()
results = []
for query in json.loads(queries):
    try:
        cursor.execute(query)
        results.append([str(row[0]) for row in cursor.fetchall()])
    except pymysql.MySQLError:
        results.append(None)
print(json.dumps(results))
"#;

/// The statement of an export and the query for its expected values.
type Case = (String, String);

fn cases(as_text: &str) -> Vec<Case> {
    let case = |expression: &str, group: &str| {
        let fetch = as_text.replace('?', expression);
        (
            format!("SELECT {expression} FROM t{group} ORDER BY id"),
            format!("SELECT {fetch} FROM t{group} ORDER BY id"),
        )
    };
    let expressions = EXPRESSIONS.iter().map(|expression| case(expression, ""));
    let aggregates = AGGREGATES
        .iter()
        .map(|expression| case(expression, " GROUP BY id"));
    let column = format!("SELECT {} FROM t ORDER BY id", as_text.replace('?', "x"));
    let statements = STATEMENTS
        .iter()
        .map(|sql| ((*sql).to_owned(), column.clone()));
    expressions.chain(aggregates).chain(statements).collect()
}

/// Creates what the statements read. Returns whether the server has the type.
fn create(db: &Database, Type(column_type, values, _): &Type) -> bool {
    use mysql::prelude::Queryable;

    let mut conn = db.connect();
    let table =
        format!("CREATE OR REPLACE TABLE t (id INT PRIMARY KEY, x {column_type}, n {column_type})");
    let drop = "DROP TABLE IF EXISTS t";
    conn.query_drop(drop).expect(drop);
    if conn.query_drop(table.replace(" OR REPLACE", "")).is_err() {
        return false;
    }
    let returned = column_type.trim_end_matches(" NULL");
    for sql in [
        format!("INSERT INTO t (id, x) VALUES (1, {}), (2, {})", values[0], values[1]),
        "CREATE OR REPLACE VIEW v AS SELECT id, x column_of_v, COALESCE(x, n) expression_of_v FROM t"
            .to_owned(),
        "CREATE OR REPLACE VIEW v2 AS SELECT * FROM t".to_owned(),
        "DROP FUNCTION IF EXISTS f".to_owned(),
        format!("CREATE FUNCTION f(p {returned}) RETURNS {returned} NO SQL DETERMINISTIC RETURN p"),
        "DROP PROCEDURE IF EXISTS p".to_owned(),
        "CREATE PROCEDURE p() SELECT x FROM t ORDER BY id".to_owned(),
    ] {
        conn.query_drop(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    true
}

/// Exports a query of one column, and returns its values.
fn export(executor: &mut QueryExecutor, sql: &str, protocol: Protocol) -> Result<Vec<String>> {
    executor.bind(&Query::parse(sql)?, &[], protocol)?;
    let mut rows = executor.run()?;
    let text = TextOptions {
        binary: BinaryEncoding::Hex,
        ..TextOptions::default()
    };
    let mut writer = Tsv {
        text,
        ..Tsv::default()
    }
    .open(rows.schema())?;
    let mut values = Vec::new();
    while let Some(row) = rows.next_row()? {
        let mut bytes = Vec::new();
        let written = writer.row(row, &mut EncodeBuffer::unbounded(&mut bytes));
        written.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let line = String::from_utf8(bytes).expect("UTF-8");
        values.push(line.trim_end_matches('\n').to_owned());
    }
    Box::new(rows).finish()?;
    executor.check_text()?;
    Ok(values)
}

#[test]
fn expressions_have_the_values_of_their_columns_or_are_errors() {
    each_server(|db| {
        let socket = db.server.socket.to_str().expect("a plain path");
        let server = ConnectOptions::socket(socket)
            .user("root")
            .password(db.server.password.clone())
            .database(db.name.clone());
        let (session, cancel) = (SessionOptions::default(), CancelToken::new());
        let connect = || QueryExecutor::connect(&server, &session, SessionUse::Exclusive, &cancel);
        for each in TYPES {
            if !create(db, each) {
                continue;
            }
            let cases = cases(each.2);
            let queries: Vec<&str> = cases.iter().map(|case| &*case.1).collect();
            let queries = serde_json::to_string(&queries).expect("JSON");
            let args = [socket, &db.server.password, &db.name, &queries];
            let fetched = python(FETCH, &args.map(OsStr::new));
            let fetched: Vec<Option<Vec<String>>> = serde_json::from_str(&fetched).expect("JSON");
            let mut executor = connect().expect("a session");
            for ((sql, _), expected) in cases.iter().zip(fetched) {
                for protocol in [Protocol::Auto, Protocol::Text] {
                    let what = format!("{} {protocol:?}: {sql}", each.0);
                    match export(&mut executor, sql, protocol) {
                        Ok(values) => {
                            let expected = expected.as_ref().expect(&what);
                            assert_eq!(&values, expected, "{what}");
                        }
                        Err(error) => {
                            check_error(&error, each.0, sql, &what, expected.is_none());
                            executor = connect().expect("a session");
                        }
                    }
                }
            }
        }
    });
}

/// Checks that an export failed for a good reason: the server does not run the
/// statement, or it sends a BIT expression that can mean two values. A column of a
/// table or of a view is certain.
#[track_caller]
fn check_error(
    error: &gold_digger::error::Error,
    column_type: &str,
    sql: &str,
    what: &str,
    is_refused: bool,
) {
    assert_eq!(error.kind(), ErrorKind::Query, "{what}: {error}");
    let message = error.to_string();
    // Prepared, MySQL refuses MIN of a GEOMETRY.
    if is_refused || message.contains("server error 1210") {
        return;
    }
    let is_doubtful = message.contains("bytes for this BIT expression can mean");
    let is_wide = !["BIT(1)", "BIT(5)"].contains(&column_type);
    let is_column = sql.starts_with("SELECT x FROM t ORDER") || sql.contains("column_of_v");
    assert!(is_doubtful && is_wide && !is_column, "{what}: {message}");
}

#[test]
fn bits_that_mysql_sends_as_a_decimal_are_a_warning() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT, `b``b` BIT(8), p DECIMAL(9,2))");
        db.sql("INSERT INTO t VALUES (1, 49, 2.50)");
        db.sql("CREATE TABLE one (id INT PRIMARY KEY, `b``b` BIT(8))");
        db.sql("INSERT INTO one VALUES (1, 49)");
        db.sql("CREATE VIEW v AS SELECT id, `b``b` FROM t");
        let warning = "gold_digger: warning: MySQL may have sent the bits of b`b in IF or CASE as if they were \
             digits of a DECIMAL; add 0 to it in the query, as in IF(x, b`b+0, 0)\n";
        for (sql, is_wrong) in [
            ("SELECT IF(id, `b``b`, 1) AS x FROM t", true),
            (
                "SELECT CASE WHEN id = 1 THEN `b``b` ELSE 1 END AS x FROM v",
                true,
            ),
            ("SELECT IF(id, NULLIF(`b``b`, 0), 0) AS x FROM t", true),
            ("SELECT IF(id, `b``b`, 0) AS x FROM one WHERE id = 1", true),
            ("SELECT IF(id, `b``b`+0, 1) AS x FROM t", false),
            ("SELECT IF(`b``b` = 49, 49.0, p) AS x FROM t", false),
            ("SELECT COALESCE(`b``b`, 1) AS x FROM t", false),
        ] {
            for protocol in ["auto", "text"] {
                for mode in ["", "ANSI_QUOTES"] {
                    let init = format!("--init=SET SESSION sql_mode = '{mode}'");
                    let run = db.export(sql).args(["--protocol", protocol, &init]).run();
                    let is_wrong = is_wrong && !db.is_mariadb();
                    let run = run.ended(0, if is_wrong { warning } else { "" });
                    let rows = String::from_utf8(run.stdout).expect("UTF-8");
                    let number = rows.split(['\n', '.']).nth(1);
                    assert_eq!(number, Some(if is_wrong { "1" } else { "49" }), "{sql}");
                }
            }
            let strict = db.export(sql).arg("--strict-warnings").run();
            let code = if is_wrong && !db.is_mariadb() { 4 } else { 0 };
            assert_eq!(strict.status.code(), Some(code), "{sql}: {}", strict.stderr);
        }
    });
}

#[test]
fn bits_that_mariadb_leaves_in_totals_are_a_warning() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT, b BIT(3))");
        db.sql("INSERT INTO t VALUES (1, 1), (1, 2), (2, 2)");
        let warning = "gold_digger: warning: MariaDB may have sent the bits of the last group for b where a total of WITH ROLLUP has NULL; add 0 to it in the query, as in SELECT b+0 … GROUP BY b\n";
        for (sql, total, is_wrong) in [
            (
                "SELECT b, COUNT(*) FROM t GROUP BY b WITH ROLLUP",
                "\\N\t3",
                true,
            ),
            (
                "SELECT b AS k, id, COUNT(*) FROM t GROUP BY 1, id WITH ROLLUP",
                "\\N\t\\N\t3",
                true,
            ),
            (
                "SELECT * FROM (SELECT b, COUNT(*) FROM t GROUP BY b WITH ROLLUP) AS q",
                "\\N\t3",
                true,
            ),
            (
                "SELECT b+0, COUNT(*) FROM t GROUP BY b WITH ROLLUP",
                "\\N\t3",
                false,
            ),
            (
                "SELECT MAX(b), id, COUNT(*) FROM t GROUP BY id WITH ROLLUP",
                "2\t\\N\t3",
                false,
            ),
            (
                "SELECT b, 'ROLLUP' AS n, COUNT(*) FROM t GROUP BY b",
                "2\tROLLUP\t2",
                false,
            ),
        ] {
            for protocol in ["--protocol=auto", "--protocol=text"] {
                let is_wrong = is_wrong && db.is_mariadb();
                let run = || db.export(sql).args([protocol, "--header=false"]);
                let outcome = run().run().ended(0, if is_wrong { warning } else { "" });
                let rows = String::from_utf8(outcome.stdout).expect("UTF-8");
                let total = if is_wrong {
                    total.replacen("\\N", "2", 1)
                } else {
                    total.to_owned()
                };
                assert_eq!(rows.lines().last(), Some(&*total), "{sql}");
                let strict = run().arg("--strict-warnings").run();
                assert_eq!(
                    strict.ended_with(if is_wrong { 4 } else { 0 }).is_empty(),
                    !is_wrong
                );
            }
        }
    });
}

/// What EXECUTE runs is not known, so that any such column may be wrong.
#[test]
fn bits_that_execute_returns_are_warned_of() {
    each_server(|db| {
        db.sql("CREATE TABLE t (id INT, b BIT(6), n INT)");
        db.sql("INSERT INTO t VALUES (1, 49, 5)");
        let totals = "SELECT b, COUNT(*) c FROM t GROUP BY b WITH ROLLUP";
        let prepared = format!("PREPARE p FROM '{totals}'");
        let immediate = format!("EXECUTE IMMEDIATE '{totals}'");
        let limited = format!("SET STATEMENT max_statement_time = 100 FOR {totals}");
        let (last_group, digits) = (
            "gold_digger: warning: MariaDB may have sent the bits of the last group for b where a total",
            "gold_digger: warning: MySQL may have sent the bits of a BIT in IF or CASE as if they were \
             digits of the DECIMAL \"x\", as the text that EXECUTE runs is not known",
        );
        let cases: &[(&str, &str, &str, &str)] = match db.is_mariadb() {
            true => &[
                (&prepared, "EXECUTE p", "b\tc\n49\t1\n49\t1\n", last_group),
                ("DO 0", &immediate, "b\tc\n49\t1\n49\t1\n", last_group),
                ("DO 0", &limited, "b\tc\n49\t1\n49\t1\n", last_group),
                ("DO 0", "EXECUTE IMMEDIATE 'SELECT b FROM t'", "b\n49\n", ""),
                (
                    "PREPARE p FROM 'SELECT b+0 AS b FROM t'",
                    "EXECUTE p",
                    "b\n49\n",
                    "",
                ),
            ],
            false => &[
                (
                    "PREPARE p FROM 'SELECT IF(id, b, n) AS x FROM t'",
                    "EXECUTE p",
                    "x\n1\n",
                    digits,
                ),
                (
                    "PREPARE p FROM 'SELECT b FROM t'",
                    "EXECUTE p",
                    "",
                    "can mean 49 or 1",
                ),
                (
                    "PREPARE p FROM 'SELECT n, n / 2 AS h FROM t'",
                    "EXECUTE p",
                    "n\th\n5\t2.5000\n",
                    "",
                ),
            ],
        };
        for (init, sql, rows, warning) in cases {
            let run = || db.export(sql).args(["--init", init]);
            if rows.is_empty() {
                run().run().failed_with_any_length(4, &[warning]);
                continue;
            }
            let stderr = run().run().ended_with(0);
            assert!(stderr.starts_with(warning), "{sql}: {stderr}");
            assert_eq!(stderr.is_empty(), warning.is_empty(), "{sql}: {stderr}");
            assert_eq!(run().run().stdout, rows.as_bytes(), "{sql}");
            let code = if warning.is_empty() { 0 } else { 4 };
            run().arg("--strict-warnings").run().ended_with(code);
        }
    });
}

#[test]
fn infinity_is_refused_as_what_an_expression_made_of_large_numbers() {
    each_server(|db| {
        let sql = "SELECT VAR_POP(x) AS v FROM (SELECT 1e200 AS x UNION ALL SELECT -1e200) AS q";
        for format in ["csv", "json", "parquet"] {
            let run = db.export(sql).args(["--format", format]).run();
            let parts = match db.is_mariadb() {
                true => &[
                    "the value is not a finite number",
                    "hint: MariaDB sends infinity",
                ][..],
                false => &["out of range"],
            };
            run.failed_with_any_length(4, parts);
        }
    });
}

/// An account that may read a view, and not what is in it.
#[test]
fn bits_in_branches_of_a_hidden_view_are_warned_of() {
    each_server(|db| {
        db.sql("CREATE TABLE bits (id INT PRIMARY KEY, b BIT(8), m INT)");
        db.sql("INSERT INTO bits VALUES (1, b'110001', 5), (2, b'1', 6)");
        db.sql("CREATE VIEW seen AS SELECT id, b, m FROM bits");
        let url = db.url_of_reader("seen");
        let export = |sql: &str| GoldDigger::new().env("DATABASE_URL", &url).arg(sql).run();
        let outcome = export("SELECT id, IF(id = 1, b, m) AS x FROM seen ORDER BY id");
        if db.is_mariadb() {
            outcome.wrote("id\tx\n1\t49\n2\t6\n");
        } else {
            outcome
                .assert_stderr_contains(&["MySQL may have sent the bits of a BIT in IF or CASE"]);
        }
        // The server has read the row of a key before it explains the statement.
        for branch in [
            "CASE WHEN b THEN b ELSE 0 END",
            "CASE WHEN b > 1 THEN b ELSE m END",
            "IF(id = 1, b, 1.5)",
        ] {
            let outcome = db.export(&format!("SELECT {branch} AS x FROM bits WHERE id = 1"));
            let outcome = outcome.run();
            let is_warned = outcome
                .stderr
                .contains("MySQL may have sent the bits of b in IF");
            assert_eq!(is_warned, !db.is_mariadb(), "{branch}: {}", outcome.stderr);
        }
        export("SELECT id, IF(id = 1, b + 0, m) + 0.5 AS x FROM seen ORDER BY id")
            .wrote("id\tx\n1\t49.5\n2\t6.5\n");
    });
}
