//! Loads a table of every type, by exactly the statement that `--for` gives, into
//! the real targets, and compares every value.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use mysql::{Params, prelude::Queryable};

use crate::support::{Database, GoldDigger, Postgres, each_server, installed, on_a_server};

const COMPARE: &str = include_str!("targets/compare.py");

/// The types of the table; the first word is the name. Text columns are called
/// `text…`. The last one has a name that must be quoted.
pub const COLUMNS: &[&str] = &[
    "id INT PRIMARY KEY",
    "i8 TINYINT",
    "u8 TINYINT UNSIGNED",
    "i16 SMALLINT",
    "u16 SMALLINT UNSIGNED",
    "i24 MEDIUMINT",
    "u24 MEDIUMINT UNSIGNED",
    "i32 INT",
    "u32 INT UNSIGNED",
    "i64 BIGINT",
    "u64 BIGINT UNSIGNED",
    "flag TINYINT(1)",
    "bit_1 BIT(1)",
    "bit_5 BIT(5)",
    "bit_63 BIT(63)",
    "dec_65 DECIMAL(65,30)",
    "dec_10 DECIMAL(10,2)",
    "dec_20 DECIMAL(20,0) UNSIGNED",
    "fl FLOAT",
    "do DOUBLE",
    "zero INT(6) ZEROFILL",
    "year YEAR",
    "da DATE",
    "dt DATETIME(6)",
    "dt_0 DATETIME",
    "ts TIMESTAMP(3) NULL",
    "ti TIME(6)",
    "ti_0 TIME",
    "text_char CHAR(9)",
    "text_enum ENUM('a','b,\\t')",
    "text_set SET('x','y')",
    "text_latin VARCHAR(50) CHARACTER SET latin1",
    "bn BINARY(4)",
    "vb VARBINARY(300)",
    "bl LONGBLOB",
    "text_json JSON",
    "ge GEOMETRY",
    "text_plain LONGTEXT",
    "`text_q\"'``;\\\\` VARCHAR(300)",
];

/// Texts that some reader takes for something else.
pub const NASTY: &[&str] = &[
    "",
    " ",
    "  both ends  ",
    "\t",
    "tab\tinside",
    "\n",
    "line\nfeed",
    "\r",
    "carriage\rreturn",
    "\r\n",
    "cr\r\nlf\r\n",
    "\\",
    "\\\\",
    "C:\\new\\table",
    "\\N",
    "\\n",
    "\\.",
    "a\n\\.\nb",
    "NULL",
    "null",
    "<NULL>",
    "\"",
    "\"\"",
    "'",
    "it's",
    "say \"hi\", twice",
    ",",
    ";",
    "a;b",
    "|",
    "=1+1",
    "+1",
    "-1",
    "@a",
    "😀 漢字",
    "\u{feff}bom",
    "\u{feff}",
    "\u{2028}",
    "\u{85}",
    "\u{1a}",
    "\u{1}",
    "00123",
    "1e5",
    "true",
    "NaN",
    "2026-01-01",
    "\\x00",
    "%s",
    "$1",
    "{}",
    "#x",
    "--x",
    "/*",
    "\u{10fffe}",
    "0xff",
    "ends with \\",
    "\\\"",
    "x\"",
    "\"x",
];

/// Rows that only some targets hold, by the first number of their ids.
const NUL: i32 = 1000;
const WIDE_DATES: i32 = 2000;
const WIDE_INTEGERS: i32 = 3000;
const IMPOSSIBLE_DATES: i32 = 4000;

/// Creates the table `t` without a row.
pub fn create_table(db: &Database) {
    db.sql(&format!("CREATE TABLE t ({})", COLUMNS.join(", ")));
}

/// Creates the table `t` with the rows that readers are known to get wrong.
pub fn create(db: &Database) {
    create_table(db);
    let mut conn = db.connect();
    let mut run = |sql: &str| {
        conn.query_drop(sql)
            .unwrap_or_else(|error| panic!("{error}: {sql:.60}"));
    };
    run("SET SESSION sql_mode = 'ALLOW_INVALID_DATES', time_zone = '+00:00'");
    let bytes = (0..=255_u8)
        .rev()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let ones = "1".repeat(63);
    run(&format!(
        r#"INSERT INTO t VALUES
        (1, -128, 255, -32768, 65535, -8388608, 16777215, -2147483648, 4294967295, -9223372036854775808, 9223372036854775807,
         1, 1, b'11111', b'{ones}', 12345678901234567890123456789012345.123456789012345678901234567890, -99999999.99,
         99999999999999999999, 3.4028233e38, -1.7976931348623157e308, 42, 1901, '1970-01-01', '2026-12-31 23:59:59.999999',
         '2000-02-29 00:00:00', '1970-01-02 00:00:01.999', '-838:59:59', '838:59:59', 'x', 'b,\t', 'x,y', 'äöü', x'00ff5c0a',
         x'{bytes}', x'{bytes}{bytes}', '{{"a": [1, 2.50, null, "\\u00e4\\n\\"\\\\"]}}', ST_GeomFromText('POINT(1.5 -2)'), 'x', 'y'),
        (2, 127, 0, 32767, 0, 8388607, 0, 2147483647, 0, 9223372036854775807, 0, 0, 0, 0, 0, -0.000000000000000000000000000001,
         0.01, 0, 1.1754944e-38, 2.2250738585072014e-308, 999999, 2155, '2299-12-31', '1900-01-01 00:00:00.000001',
         '1999-12-31 23:59:59', '2038-01-19 03:14:07.000', '838:59:59', '-00:00:01', '', 'a', '', '', '', '', '', '"x"',
         ST_GeomFromText('LINESTRING(0 0,1 1)', 4326), '', ''),
        (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (4, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, NULL, 1, 1, 0, 0, 1, 0.1, 0.1, 0, 0, '0000-00-00', '0000-00-00 00:00:00', '2026-00-01',
         '2026-03-29 02:30:00.5', '-00:00:00.000001', '24:00:00', '\\N', 'a', 'y', '\\', x'5c4e', x'5c', x'4e554c4c', '[]', NULL, 'z', 'z')"#
    ));
    run(
        "INSERT INTO t (id, do, fl) VALUES (5, 5e-324, 1.4e-45), (6, 123456789.12345679, 16777216), (7, 1e15, 123456.79), (8, -1e-7, -2.5)",
    );
    run("INSERT INTO t (id, text_plain) VALUES (9, REPEAT('ä\"\t', 1000000))");
    run(&format!(
        "INSERT INTO t (id, da, dt) VALUES ({WIDE_DATES}, '9999-12-31', '9999-12-31 23:59:59.999999'), ({WIDE_DATES} + 1, '1000-01-01', '1000-01-01 00:00:00')"
    ));
    run(&format!(
        "INSERT INTO t (id, u64, bit_63) VALUES ({WIDE_INTEGERS}, 18446744073709551615, 5)"
    ));
    run(&format!(
        "INSERT INTO t (id, da) VALUES ({IMPOSSIBLE_DATES}, '2026-02-31')"
    ));
    let texts = NASTY.iter().zip(100..);
    let texts = texts.chain([
        (&"nul\0inside", NUL),
        (&"\0", NUL + 1),
        (&"nul\x001", NUL + 2),
    ]);
    let rows = texts.map(|(text, id)| Params::from((id, *text, *text, text.as_bytes(), *text)));
    let insert =
        "INSERT INTO t (id, text_plain, text_q, bl, text_json) VALUES (?, ?, ?, ?, JSON_QUOTE(?))"
            .replace("text_q", "`text_q\"'``;\\\\`");
    conn.exec_batch(insert, rows).expect("texts");
    // Numbers of any bits, which fast readers get wrong in the last digit.
    let mut bits = 1_u64;
    let mut number = || {
        bits = bits
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Some(f64::from_bits(bits)).filter(|number| number.is_finite())
    };
    let numbers = (200..400).map(|id| (id, number()));
    conn.exec_batch("INSERT INTO t (id, do) VALUES (?, ?)", numbers)
        .expect("numbers");
}

/// Returns the query of the rows that a target holds, without those of `ranges`.
pub fn query(columns: &str, ranges: &[i32]) -> String {
    let mut sql = format!("SELECT {columns} FROM t WHERE id > 0");
    for range in ranges {
        sql += &format!(" AND id NOT BETWEEN {range} AND {range} + 99");
    }
    sql
}

/// The extensions of the files that a target's statement loads.
fn extensions(target: &str) -> &'static [&'static str] {
    match target {
        "duckdb" => &["csv", "csv.gz", "csv.zst"],
        "clickhouse" => &["tsv", "tsv.gz", "tsv.zst", "tsv.lz4"],
        "sqlite" => &["csv"],
        _ => &["tsv"],
    }
}

/// Exports the rows of `sql` for `target` into `file`, and returns the table `copy` that
/// `gold_digger schema` prints, the statement that loads them into it, and the warnings.
fn export(db: &Database, target: &str, sql: &str, file: &Path) -> (String, String, String) {
    let folder = file.parent().expect("a folder");
    let statement = folder.join("load.sql");
    let mut texts = Vec::new();
    for protocol in ["text", "binary"] {
        let outcome = db
            .export(sql)
            .args([
                "--for",
                target,
                "-v",
                "--manifest",
                "--protocol",
                protocol,
                "-o",
            ])
            .arg(file)
            .arg("--load-statement")
            .arg(&statement)
            .run();
        let shown = outcome.ended_with(0);
        let text = fs::read_to_string(&statement).expect("the statement");
        assert!(shown.contains(&text), "{shown}");
        let manifest = fs::read(file.with_added_extension("manifest.json"));
        let manifest: serde_json::Value =
            serde_json::from_slice(&manifest.expect("the manifest")).expect("JSON");
        assert_eq!(manifest["load_statement"], text);
        let warnings = shown.lines().filter(|line| line.contains(" warning: "));
        texts.push((text, warnings.collect::<Vec<_>>().join("\n")));
    }
    let (statement, warnings) = texts.pop().expect("a statement");
    let run = GoldDigger::new().env("DATABASE_URL", db.url());
    let run = run.args(["schema", sql, "--for", target, "-o"]).arg(file);
    let table = String::from_utf8(run.run().ended(0, "").stdout).expect("UTF-8");
    (table, statement, warnings)
}

/// Compares what `target` has loaded, at `place`, with the rows of `sql`.
#[track_caller]
pub fn compare(db: &Database, sql: &str, target: &str, place: &OsStr, statement: &str, rows: u64) {
    let program = installed("GOLD_DIGGER_LOADERS_PYTHON", "python/*/bin/python");
    let output = Command::new(program)
        .args(["-c", COMPARE])
        .arg(&db.server.socket)
        .args([&db.server.password, &db.name, sql, target])
        .arg(place)
        .arg(statement)
        .output()
        .expect("Python runs");
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{target}: {stderr}");
    let count: u64 = stdout.trim().parse().expect("a count");
    assert!(count >= rows, "{count} rows");
}

/// Runs `program` with `script` as its standard input.
#[track_caller]
pub fn run_script(program: &mut Command, script: &str) -> String {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(script.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}\n{script}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Loads by the client of MariaDB, in a session of another time zone.
#[track_caller]
pub fn load_into_mysql(db: &Database, script: &str) {
    let shown = run_script(
        Command::new("mariadb")
            .args([
                "--no-defaults",
                "--local-infile=1",
                "--default-character-set=utf8mb4",
                "-uroot",
            ])
            .arg("--init-command=SET time_zone = '+05:30'")
            .arg("--socket")
            .arg(&db.server.socket)
            .arg(format!("--password={}", db.server.password))
            .arg(&db.name),
        script,
    );
    assert_eq!(shown, "", "warnings of LOAD DATA");
}

/// Loads by psql, and returns a file of the rows, each value as hexadecimal digits.
#[track_caller]
pub fn load_into_postgres(
    postgres: &Postgres,
    script: &str,
    names: &[String],
    folder: &Path,
) -> OsString {
    let values = names.iter().map(|name| {
        let name = name.replace('"', "\"\"");
        format!("coalesce(encode(convert_to(\"{name}\"::text, 'UTF8'), 'hex'), 'NULL')")
    });
    let values: Vec<String> = values.collect();
    let values = values.join(", ");
    let output = postgres.psql(&format!(
        "{script}SELECT {values} FROM copy; DROP TABLE copy;"
    ));
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    let rows = folder.join("rows");
    fs::write(&rows, output.stdout).expect("a file");
    rows.into_os_string()
}

/// Exports the table for `target`, all columns into a file of each extension and then only
/// one column, without the rows of `ranges`, has `load` load it by the statement into the
/// table that is printed for it, and compares all values. `load` gets the table and the
/// statement, the columns' names and a folder, and returns the place of what it loaded.
fn loads_every_value(
    db: &Database,
    target: &str,
    ranges: &[i32],
    warning: &str,
    load: impl Fn([&str; 2], &[String], &Path) -> OsString,
) {
    create(db);
    let sql = "SELECT column_name FROM information_schema.columns \
               WHERE table_schema = DATABASE() AND table_name = 't' ORDER BY ordinal_position";
    let names: Vec<String> = db.connect().query(sql).expect("names");
    let only = ["text_plain".to_owned()];
    let extensions = extensions(target);
    let all = extensions
        .iter()
        .map(|one| (*one, "*", &names[..], warning));
    let one = (extensions[0], "text_plain", &only[..], "");
    for (extension, columns, names, warning) in all.chain([one]) {
        let folder = tempfile::Builder::new()
            .prefix("it's \"a\" \\1 ;")
            .tempdir();
        let folder = folder.expect("a folder whose name must be quoted");
        let sql = query(columns, ranges);
        let (table, statement, warnings) = export(
            db,
            target,
            &sql,
            &folder.path().join("copy").with_added_extension(extension),
        );
        assert_eq!(warnings, warning);
        let place = load([&table, &statement], names, folder.path());
        let statement = table + &statement;
        compare(db, &sql, target, &place, &statement, NASTY.len() as u64);
    }
}

#[test]
fn the_id_0_of_an_automatic_column_stays() {
    on_a_server(|db| {
        db.sql("CREATE TABLE source (id INT, name VARCHAR(10))");
        db.sql("INSERT INTO source VALUES (5, 'five'), (0, 'zero')");
        db.sql("CREATE TABLE copy (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(10))");
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let run = db.export("SELECT * FROM source").args(["--for", "mysql"]);
        run.arg("-o")
            .arg(at("copy.tsv"))
            .arg("--load-statement")
            .arg(at("copy.sql"))
            .run()
            .ended(0, "");
        let statement = fs::read_to_string(at("copy.sql")).expect("a statement");
        load_into_mysql(db, &statement);
        let ids: Vec<u32> = db
            .connect()
            .query("SELECT id FROM copy ORDER BY id")
            .expect("the rows");
        assert_eq!(ids, [0, 5]);
    });
}

#[test]
fn mysql_and_mariadb_load_every_value() {
    each_server(|db| {
        // Into a table of the same types, and into the one that is printed.
        let own = format!("CREATE TABLE copy ({});\n", COLUMNS.join(", "));
        for own in [Some(own.as_str()), None] {
            loads_every_value(db, "mysql", &[], "", |[table, statement], names, _| {
                let own = own.filter(|_| names.len() > 1);
                load_into_mysql(db, &(own.unwrap_or(table).to_owned() + statement));
                db.sql("DROP TABLE IF EXISTS loaded");
                db.sql("RENAME TABLE copy TO loaded");
                "loaded".into()
            });
            db.sql("DROP TABLE t");
        }
    });
}

/// The warning about the three zero dates of the table.
const ZERO_DATES: &str =
    "gold_digger: warning: 3 dates whose month or day is zero were written as NULL";

#[test]
fn postgres_loads_every_value() {
    let postgres = Postgres::start();
    let load = |sql: [&str; 2], names: &[String], folder: &Path| {
        load_into_postgres(&postgres, &sql.concat(), names, folder)
    };
    each_server(|db| {
        loads_every_value(db, "postgres", &[NUL, IMPOSSIBLE_DATES], ZERO_DATES, load);
    });
}

#[test]
fn clickhouse_loads_every_value() {
    each_server(|db| {
        let ranges = [WIDE_DATES, IMPOSSIBLE_DATES];
        // The comparison loads it itself.
        loads_every_value(db, "clickhouse", &ranges, ZERO_DATES, |_, _, _| {
            "copy".into()
        });
    });
}

#[test]
fn duckdb_loads_every_value() {
    each_server(|db| {
        loads_every_value(db, "duckdb", &[IMPOSSIBLE_DATES], ZERO_DATES, |_, _, _| {
            "copy".into()
        });
    });
}

#[test]
fn sqlite_loads_every_value() {
    let program = installed("GOLD_DIGGER_SQLITE", "sqlite/sqlite3");
    each_server(|db| {
        loads_every_value(db, "sqlite", &[NUL, WIDE_INTEGERS], "", |sql, _, folder| {
            let database = folder.join("copy.db");
            run_script(Command::new(&program).arg(&database), &sql.concat());
            database.into_os_string()
        });
    });
}
