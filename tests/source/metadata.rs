//! What the engine says of columns beyond the meaning of their values, over both wire
//! protocols and before the statement runs: the same on both servers, and true.

use gold_digger::{
    cancel::CancelToken,
    row::Value,
    schema::{Column, Nullability, Sign},
    source::{ConnectOptions, Protocol, QueryExecutor, RowSource, SessionOptions, SessionUse},
    sql::Query,
};

use crate::support::{Database, each_server, on_new_mariadb};

/// The types of a table, and what is said of them: the type, `U` for unsigned, the
/// precision, the length, and the character set.
const TYPES: &[(&str, &str)] = &[
    ("TINYINT", "TINYINT"),
    ("TINYINT UNSIGNED", "TINYINT U"),
    ("TINYINT(1)", "TINYINT"),
    ("SMALLINT", "SMALLINT"),
    ("MEDIUMINT UNSIGNED", "MEDIUMINT U"),
    ("INT(6) ZEROFILL", "INT U"),
    ("BIGINT", "BIGINT"),
    ("BIGINT UNSIGNED", "BIGINT U"),
    ("YEAR", "YEAR U"),
    ("BIT(5)", "BIT U"),
    ("DECIMAL(10,2)", "DECIMAL precision=10"),
    ("DECIMAL(20,0) UNSIGNED", "DECIMAL U precision=20"),
    ("DECIMAL(65,30)", "DECIMAL precision=65"),
    ("FLOAT UNSIGNED", "FLOAT U"),
    ("DOUBLE", "DOUBLE"),
    ("DATE", "DATE"),
    ("DATETIME(3)", "DATETIME"),
    ("TIMESTAMP(6) NULL", "TIMESTAMP"),
    ("TIME", "TIME"),
    ("CHAR(9)", "CHAR length=9 utf8mb4"),
    (
        "VARCHAR(50) CHARACTER SET latin1",
        "VARCHAR length=50 utf8mb4",
    ),
    (
        "CHAR(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "CHAR length=36 utf8mb4",
    ),
    ("ENUM('a','bbb')", "ENUM length=3 utf8mb4"),
    ("SET('x','y')", "SET length=3 utf8mb4"),
    ("TINYTEXT", "TINYTEXT length=255 utf8mb4"),
    ("TEXT", "TEXT length=65535 utf8mb4"),
    ("MEDIUMTEXT", "MEDIUMTEXT length=16777215 utf8mb4"),
    ("LONGTEXT", "LONGTEXT length=1073741823 utf8mb4"),
    ("BINARY(4)", "BINARY length=4"),
    ("VARBINARY(30)", "VARBINARY length=30"),
    ("TINYBLOB", "TINYBLOB length=255"),
    ("BLOB", "BLOB length=65535"),
    ("MEDIUMBLOB", "MEDIUMBLOB length=16777215"),
    ("LONGBLOB", "LONGBLOB length=4294967295"),
    ("GEOMETRY", "GEOMETRY"),
];

/// The types that one server has, or announces as another one.
const OF_MYSQL: &[(&str, &str)] = &[("JSON", "JSON"), ("VECTOR(3)", "VECTOR length=12")];
const OF_MARIADB: &[(&str, &str)] = &[
    ("JSON", "LONGTEXT length=1073741823 utf8mb4"),
    ("UUID", "UUID length=36 utf8mb4"),
    ("INET4", "INET4 length=15 utf8mb4"),
    ("INET6", "INET6 length=39 utf8mb4"),
];
const OF_NEW_MARIADB: &[(&str, &str)] = &[("VECTOR(3)", "VARBINARY length=12")];

/// Queries over the tables of [`create`], and for each column `!` if it is proven to hold
/// no NULL, `0` if it may hold one, and `?` if the server's word is no proof; `*` where the
/// servers differ.
const QUERIES: &[(&str, &str)] = &[
    ("SELECT id, n, s, d FROM t", "!0!!"),
    ("SELECT * FROM merged", "!!"),
    ("(SELECT id FROM t)", "!"),
    ("WITH x AS (SELECT id FROM t) SELECT id FROM x", "!"),
    ("SELECT t.id, u.id FROM t LEFT JOIN u ON u.id = t.id", "!0"),
    ("SELECT u.id, t.id FROM u RIGHT JOIN t USING (id)", "0!"),
    (
        "SELECT u.id FROM t LEFT JOIN (u JOIN e) ON u.id = t.id",
        "0",
    ),
    (
        "SELECT x.id FROM t LEFT JOIN (SELECT DISTINCT id FROM u) x ON x.id = t.id",
        "0",
    ),
    (
        "SELECT x.id, x.one, x.more FROM t LEFT JOIN (SELECT id, 1 AS one, id + 1 AS more FROM u) x ON x.id = t.id",
        "0?*",
    ),
    (
        "SELECT v.one FROM t LEFT JOIN expressions v ON v.id = t.id",
        "?",
    ),
    ("SELECT id FROM joined", "0"),
    ("SELECT one FROM distinct_ones", "0"),
    ("SELECT id, c FROM grouped", "0*"),
    (
        "SELECT e.id FROM (SELECT 1 AS a) o LEFT JOIN e ON e.id = 1",
        "0",
    ),
    // One row of an implicit group, also where the table is empty.
    ("SELECT id, COUNT(*) FROM e", "0?"),
    ("SELECT id FROM e HAVING COUNT(*) = 0", "0"),
    (
        "SELECT x.id, t.id FROM t, (SELECT id, COUNT(*) FROM e) x",
        "0!",
    ),
    // Their totals are NULL.
    ("SELECT k, COUNT(*) FROM t GROUP BY k WITH ROLLUP", "*?"),
    ("SELECT s FROM t GROUP BY s with rollup", "*"),
    ("SELECT k FROM totals", "0"),
    ("SELECT id FROM t UNION ALL SELECT n FROM t", "0"),
    ("SELECT id FROM t UNION SELECT id FROM u", "?"),
    (
        "SELECT (SELECT id FROM e) AS a, MAX(id), NULLIF(id, 1), id + 0, 1, COUNT(*) OVER () FROM t",
        "000*??",
    ),
    ("SELECT LAG(id) OVER (ORDER BY id) FROM t", "0"),
    ("SELECT NULL", "0"),
    ("CALL p()", "*"),
    ("SHOW TABLES", "?"),
];

fn create(db: &Database) {
    for statement in [
        "CREATE TABLE t (id INT PRIMARY KEY, k INT NOT NULL, n INT, s VARCHAR(9) NOT NULL, d DATE NOT NULL)",
        "CREATE TABLE u LIKE t",
        "CREATE TABLE e LIKE t",
        "INSERT INTO t VALUES (1, 1, 1, 'a', '2020-01-01'), (2, 2, NULL, 'b', '2020-01-02')",
        "INSERT INTO u SELECT * FROM t WHERE id = 1",
        "CREATE VIEW merged AS SELECT id, s FROM t",
        "CREATE VIEW expressions AS SELECT id, 1 AS one FROM u",
        "CREATE VIEW joined AS SELECT u.id FROM t LEFT JOIN u ON u.id = t.id",
        "CREATE VIEW distinct_ones AS SELECT DISTINCT x.one FROM t LEFT JOIN (SELECT id, 1 AS one FROM u) x ON x.id = t.id",
        "CREATE VIEW totals AS SELECT k FROM t GROUP BY k WITH ROLLUP",
        "CREATE PROCEDURE p() SELECT k FROM t GROUP BY k WITH ROLLUP",
        "SET sql_mode = ''",
        "CREATE VIEW grouped AS SELECT id, COUNT(*) AS c FROM e",
    ] {
        db.sql(statement);
    }
}

/// Returns the columns that the result of `sql` has, and for each whether a value is NULL.
fn result(db: &Database, sql: &str, protocol: Protocol) -> Vec<(Column, bool)> {
    let mut executor = executor(db, sql, protocol);
    let mut rows = executor.run().expect(sql);
    let columns = rows.schema().columns.clone();
    let mut columns: Vec<(Column, bool)> =
        columns.into_iter().map(|column| (column, false)).collect();
    while let Some(row) = rows.next_row().expect(sql) {
        for (index, (_, has_null)) in columns.iter_mut().enumerate() {
            *has_null |= row.value(index) == Value::Null;
        }
    }
    columns
}

/// Returns a session that has `sql` bound.
fn executor(db: &Database, sql: &str, protocol: Protocol) -> QueryExecutor {
    let socket = db.server.socket.to_str().expect("a plain path");
    let server = ConnectOptions::socket(socket)
        .user("root")
        .password(db.server.password.clone())
        .database(db.name.clone());
    let session = SessionOptions {
        init: vec!["SET sql_mode = ''".to_owned()],
        ..SessionOptions::default()
    };
    let cancel = CancelToken::new();
    let mut executor = QueryExecutor::connect(&server, &session, SessionUse::Exclusive, &cancel)
        .expect("a session");
    let query = Query::parse(sql).expect(sql);
    executor.bind(&query, &[], protocol).expect(sql);
    executor
}

/// Returns the columns of `sql` as both protocols and the server before the run have
/// them, and for each whether a value is NULL.
#[track_caller]
fn columns(db: &Database, sql: &str) -> Vec<(Column, bool)> {
    let text = result(db, sql, Protocol::Text);
    let binary = result(db, sql, Protocol::Auto);
    assert_eq!(text, binary, "{sql}: text and binary");
    let described = executor(db, sql, Protocol::Auto).describe();
    if let Ok((schema, _)) = described.expect(sql) {
        // MySQL finds the types of some window functions only when they run.
        for (before, (column, _)) in schema.columns.iter().zip(&text) {
            let (before, ran) = (before.metadata, column.metadata);
            assert_eq!(before.nullability, ran.nullability, "{sql}: before the run");
        }
    }
    text
}

fn check_types(db: &Database, types: &[(&str, &str)]) {
    let declared: Vec<String> = types
        .iter()
        .enumerate()
        .map(|(number, (column_type, _))| format!("c{number} {column_type}"))
        .collect();
    db.sql("DROP TABLE IF EXISTS types");
    db.sql(&format!("CREATE TABLE types ({})", declared.join(", ")));
    for ((column, _), (declared, expected)) in columns(db, "SELECT * FROM types").iter().zip(types)
    {
        let metadata = &column.metadata;
        let sign = (metadata.sign == Sign::Unsigned).then(|| "U".to_owned());
        let precision = metadata
            .precision
            .map(|number| format!("precision={number}"));
        let length = metadata.length.map(|number| format!("length={number}"));
        let set = metadata.character_set.map(str::to_owned);
        let base = Some(metadata.base.name().to_owned());
        let found: Vec<String> = [base, sign, precision, length, set]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(found.join(" "), *expected, "{declared}");
    }
}

#[test]
fn types_have_their_widths_signs_and_lengths() {
    each_server(|db| {
        check_types(db, TYPES);
        check_types(
            db,
            if db.is_mariadb() {
                OF_MARIADB
            } else {
                OF_MYSQL
            },
        );
    });
    on_new_mariadb(|db| {
        check_types(db, OF_MARIADB);
        check_types(db, OF_NEW_MARIADB);
    });
}

/// Checks the nullability of the columns of [`QUERIES`], and that none with a NULL is
/// said to have none.
fn check_nullability(db: &Database) {
    create(db);
    for (sql, expected) in QUERIES {
        let columns = columns(db, sql);
        let found: String = columns
            .iter()
            .map(|(column, has_null)| match column.metadata.nullability {
                Nullability::NotNull => {
                    assert!(!has_null, "{sql}: {}", column.name);
                    '!'
                }
                Nullability::Nullable => '0',
                Nullability::Unknown => '?',
            })
            .collect();
        let same = found
            .chars()
            .zip(expected.chars())
            .all(|(found, expected)| found == expected || expected == '*');
        assert!(same && found.len() == expected.len(), "{sql}: {found}");
    }
}

#[test]
fn only_what_is_proven_is_not_null() {
    each_server(check_nullability);
    on_new_mariadb(check_nullability);
}
