//! The values that independent programs read from each format: the servers' LOAD
//! DATA, Python and jq. PyMySQL fetches the expected values.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Command, Output},
};

use mysql::{LocalInfileHandler, prelude::Queryable};

use crate::support::{Database, GoldDigger, each_server};

/// Runs a Python script with `args` and returns its output.
#[track_caller]
pub fn python(script: &str, args: &[&OsStr]) -> String {
    let program = std::env::var_os("GOLD_DIGGER_PYTHON").unwrap_or_else(|| "python3".into());
    successful_stdout(
        Command::new(program)
            .args(["-c", script])
            .args(args)
            .output()
            .expect("python3 runs"),
    )
}

#[track_caller]
fn successful_stdout(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Loads a TSV file into a table with LOAD DATA. `clauses` are the column list and
/// the SET clause of that statement.
pub fn load_data(db: &Database, file: &Path, table: &str, charset: &str, clauses: &str) {
    let mut conn = db.connect();
    conn.set_local_infile_handler(Some(LocalInfileHandler::new(|name, stream| {
        let name = String::from_utf8_lossy(name).into_owned();
        std::io::copy(&mut fs::File::open(name)?, stream).map(drop)
    })));
    let file = file.to_str().expect("a plain path");
    // The tables also contain zero dates.
    conn.query_drop("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
        .expect("a mode");
    let load = format!(
        "LOAD DATA LOCAL INFILE '{file}' INTO TABLE {table} CHARACTER SET {charset} IGNORE 1 LINES {clauses}"
    );
    conn.query_drop(load).expect("LOAD DATA");
    let warnings: Vec<mysql::Row> = conn.query("SHOW WARNINGS").expect("the warnings");
    assert!(warnings.is_empty(), "{warnings:?}");
}

/// Returns the server's checksum of all values of a table.
pub fn checksum(db: &Database, table: &str) -> u64 {
    let sql = format!("CHECKSUM TABLE {table} EXTENDED");
    let row: Option<(String, u64)> = db.connect().query_first(sql).expect("a checksum");
    row.expect("one row").1
}

/// Creates a table `t` with edge values of every type that both servers can load,
/// and an empty table `copy`.
fn create_every_type(db: &Database) {
    let mut conn = db.connect();
    conn.query_drop("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
        .expect("a mode");
    conn.query_drop(
        "CREATE TABLE t (id INT PRIMARY KEY, a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT, d BIGINT, e BIGINT UNSIGNED,
         f DECIMAL(65,30), g DOUBLE, f4 FLOAT, h INT(9) ZEROFILL, i YEAR, j DATE, k TIME(6), l DATETIME(6), m TIMESTAMP(3) NULL,
         n CHAR(9), o VARCHAR(200), p TEXT, q ENUM('a','b,\\t'), r SET('x','y'), s VARCHAR(50) CHARACTER SET latin1,
         t BINARY(4), u VARBINARY(300), v BLOB, w BIT(37), x JSON, y GEOMETRY)",
    )
    .expect("a table");
    // All byte values in descending order, which is not valid UTF-8.
    let all_bytes = (0..=255_u8)
        .rev()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    conn.query_drop(format!(
        r#"INSERT INTO t VALUES
        (1, -128, 65535, -8388608, -9223372036854775808, 18446744073709551615,
         12345678901234567890123456789012345.123456789012345678901234567890, -1.7976931348623157e308, 3.4028235e38, 42, 1901,
         '1000-01-01', '-838:59:59', '1000-01-01 00:00:00.000001', '1970-01-02 00:00:01.999',
         'x', 'tab\tnl\ncr\rnul\0bs\\q"''', 'C:\\new\\N', 'b,\t', 'x,y', 'äöü',
         x'00ff5c0a', x'{all_bytes}', x'5c4e', b'1111111111111111111111111111111111111', '{{"a": [1, 2.50, null, "\\u00e4\\n"]}}',
         ST_GeomFromText('POINT(1.5 -2)')),
        (2, 127, 0, 8388607, 9223372036854775807, 0, -0.000000000000000000000000000001, 2.2250738585072014e-308, 1.1754944e-38,
         999999999, 2155, '9999-12-31', '838:59:59', '9999-12-31 23:59:59.999999', '2037-12-31 23:59:59.001',
         '', '', '😀 漢字 \\\01\08', 'a', '', '', '', '', '', 0, '"x"', ST_GeomFromText('LINESTRING(0 0,1 1)')),
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL),
        (4, 0, 1, 0, 0, 1, 0, 0.1, 0.1, 0, 2000, '0000-00-00', '-00:00:00.000001', '2024-02-29 12:00:00', '2024-02-29 12:00:00',
         '\\N', '\\N', 'NULL', 'a', 'y', '\\', x'5c', x'5c4e', x'09', 9, '[]', NULL)"#
    ))
    .expect("rows");
    conn.query_drop("CREATE TABLE copy LIKE t")
        .expect("a table");
}

#[test]
fn load_data_restores_the_same_table() {
    each_server(|db| {
        create_every_type(db);
        let folder = tempfile::tempdir().expect("a folder");
        let (raw, base64) = (
            folder.path().join("raw.tsv"),
            folder.path().join("base64.tsv"),
        );
        for protocol in ["text", "binary"] {
            // Only the binary protocol has all digits of a FLOAT.
            let columns = if protocol == "text" {
                "id, a, b, c, d, e, f, g, NULL AS f4"
            } else {
                "id, a, b, c, d, e, f, g, f4"
            };
            let all = format!(
                "SELECT {columns}, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y FROM t"
            );
            if protocol == "text" {
                db.sql("UPDATE t SET f4 = NULL");
            } else {
                db.sql("UPDATE t SET f4 = 16777216 / 3 WHERE id = 1");
            }
            let export = || db.export(&all).args(["--protocol", protocol, "--quiet"]);
            export().arg("-o").arg(&base64).run().wrote("");
            let columns = "(id, a, b, c, d, e, f, g, f4, h, i, j, k, l, m, n, o, p, q, r, s, @t, @u, @v, @w, x, @y)";
            let set = "SET t = FROM_BASE64(@t), u = FROM_BASE64(@u), v = FROM_BASE64(@v), w = CAST(@w AS UNSIGNED), y = FROM_BASE64(@y)";
            load_data(db, &base64, "copy", "utf8mb4", &format!("{columns} {set}"));
            assert_eq!(
                checksum(db, "copy"),
                checksum(db, "t"),
                "base64 over {protocol}"
            );
            db.sql("TRUNCATE TABLE copy");

            export()
                .args(["--binary=raw", "-o"])
                .arg(&raw)
                .run()
                .wrote("");
            // No character set has every byte value, so text is converted.
            let columns = columns.replace("@t, @u, @v", "t, u, v").replace("@y", "y");
            let columns = columns.replace(" s,", " @s,").replace(" x,", " @x,");
            let set = "SET s = CONVERT(@s USING utf8mb4), x = CONVERT(@x USING utf8mb4), w = CAST(@w AS UNSIGNED)";
            load_data(db, &raw, "copy", "binary", &format!("{columns} {set}"));
            assert_eq!(
                checksum(db, "copy"),
                checksum(db, "t"),
                "raw over {protocol}"
            );
            db.sql("TRUNCATE TABLE copy");
        }
    });
}

/// Fetches the table with PyMySQL and compares it with the values that Python reads
/// from the CSV and the JSON file.
const COMPARE: &str = r#"
import base64, csv, datetime, decimal, json, pymysql, sys
socket, password, database, csv_file, json_file = sys.argv[1:]
conn = pymysql.connect(unix_socket=socket, user='root', password=password, database=database, charset='utf8mb4')
cursor = conn.cursor()
cursor.execute('SELECT * FROM t ORDER BY id')
names = [d[0] for d in cursor.description]
csv_rows = csv.reader(open(csv_file, newline='', encoding='utf-8'), strict=True)
json_rows = json.load(open(json_file, encoding='utf-8'), parse_float=decimal.Decimal)
assert next(csv_rows) == names
def span(v):
    total = v.days * 86400 + v.seconds
    micros = v.microseconds
    sign = ''
    if v < datetime.timedelta(0):
        sign, v = '-', -v
        total, micros = v.days * 86400 + v.seconds, v.microseconds
    return '%s%02d:%02d:%02d.%06d' % (sign, total // 3600, total // 60 % 60, total % 60, micros)
def text(name, v):
    if v is None: return None
    if isinstance(v, bytes):
        return str(int.from_bytes(v, 'big')) if name == 'w' else base64.b64encode(v).decode()
    if isinstance(v, decimal.Decimal): return format(v, 'f')
    if isinstance(v, datetime.datetime):
        return v.isoformat(' ', 'milliseconds' if name == 'm' else 'microseconds')
    if isinstance(v, datetime.timedelta): return span(v)
    if isinstance(v, datetime.date): return v.isoformat()
    if name == 'h': return '%09d' % v
    if name == 'i': return '%04d' % v
    return str(v)
count = 0
for values, csv_row, json_row in zip(cursor, csv_rows, json_rows, strict=True):
    assert list(json_row) == names
    for name, value, field, member in zip(names, values, csv_row, json_row.values(), strict=True):
        place = (values[0], name, value, field, member)
        expected = text(name, value)
        if expected is None:
            assert field == '(null)' and member is None, place
        elif isinstance(value, float):
            # PyMySQL gets FLOAT with six digits.
            near = 5e-6 * abs(value) if name == 'f4' else 0
            assert abs(float(field) - value) <= near and abs(float(member) - value) <= near, place
        elif name == 'x':
            assert json.loads(field, parse_float=decimal.Decimal) == json.loads(value, parse_float=decimal.Decimal), place
            assert (member if isinstance(member, (list, dict)) else json.loads(member)) == json.loads(value, parse_float=decimal.Decimal), place
        elif isinstance(value, (int, decimal.Decimal)) or name == 'w':
            assert field == expected and decimal.Decimal(member) == decimal.Decimal(expected), place
        else:
            assert field == expected and member == expected, place
    count += 1
print(count)
"#;

#[test]
fn python_reads_the_values_that_pymysql_fetches() {
    each_server(|db| {
        create_every_type(db);
        // Python has no zero dates.
        db.sql("UPDATE t SET j = '0001-01-01' WHERE id = 4");
        // A JSON document that is a string would be read as text.
        db.sql(r#"UPDATE t SET x = '["x"]' WHERE id = 2"#);
        let folder = tempfile::tempdir().expect("a folder");
        let (csv, json) = (folder.path().join("t.csv"), folder.path().join("t.json"));
        let all = "SELECT * FROM t ORDER BY id";
        for protocol in ["text", "binary"] {
            let export = || db.export(all).args(["--protocol", protocol, "--quiet"]);
            export()
                .args(["--csv-null=(null)", "-o"])
                .arg(&csv)
                .run()
                .wrote("");
            export()
                .args(["--json-column=x", "-o"])
                .arg(&json)
                .run()
                .wrote("");
            let args: [&OsStr; 5] = [
                db.server.socket.as_os_str(),
                db.server.password.as_ref(),
                db.name.as_ref(),
                csv.as_os_str(),
                json.as_os_str(),
            ];
            assert_eq!(python(COMPARE, &args), "4\n");
        }
        let jq = Command::new("jq")
            .args(["-c", "[.[] | [.id, .e, .x, .m]]"])
            .arg(&json)
            .output()
            .expect("jq runs");
        let printed = successful_stdout(jq);
        assert!(
            printed.contains(r#"[4,1,[],"2024-02-29 12:00:00.000"]"#),
            "{printed}"
        );
    });
}

#[test]
fn the_documented_load_data_statement_works() {
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/types.md"))
        .expect("docs/types.md");
    each_server(|db| {
        db.sql(
            "CREATE TABLE files (id INT PRIMARY KEY, name VARCHAR(50), content BLOB, flags BIT(8))",
        );
        db.sql("INSERT INTO files VALUES (1, 'a\\tb', x'00ff', 5), (2, NULL, NULL, NULL)");
        db.sql("CREATE TABLE copy LIKE files");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("files.tsv");
        GoldDigger::new()
            .env("DATABASE_URL", db.url())
            .args(["SELECT * FROM files", "-o"])
            .arg(&file)
            .run()
            .wrote("");
        let clauses = docs
            .split_once("IGNORE 1 LINES\n")
            .expect("the statement")
            .1;
        let clauses = clauses.split_once(";\n").expect("its end").0;
        load_data(db, &file, "copy", "utf8mb4", clauses);
        assert_eq!(checksum(db, "copy"), checksum(db, "files"));
    });
}
