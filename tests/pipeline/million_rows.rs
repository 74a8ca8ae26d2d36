//! Exports of a million rows of twelve mixed columns in each format, from each
//! server, in constant memory. Other programs read the files back.

use std::{ffi::OsStr, fs};

use super::memory::peak_memory;
use crate::{
    format::readers::{checksum, load_data, python},
    support::{Database, each_server},
};

const ROWS: u32 = 1_000_000;

const COLUMNS: &str = "(id INT UNSIGNED PRIMARY KEY, customer BIGINT, status ENUM('new','paid','sent'), total DECIMAL(12,2),
    weight DOUBLE, express TINYINT(1), ordered_at DATETIME, shipped_on DATE, slot TIME, note VARCHAR(60), city VARCHAR(30),
    ref CHAR(8))";

/// The values depend on the row's number alone. Some notes are NULL, and others have
/// characters that the formats must escape.
const VALUES: &str = r#"n, n * 7919 - 3000000000, ELT(1 + n % 3, 'new', 'paid', 'sent'), (n % 100000) / 100 - 5, n / 7, n % 2,
    '2020-01-01' + INTERVAL n SECOND, '2020-01-01' + INTERVAL n % 3000 DAY, SEC_TO_TIME(n % 86400 - 40000),
    ELT(1 + n % 5, NULL, '', 'plain text', 'say "hi", twice', 'tab\tline\nback\\slash'), ELT(1 + n % 3, 'Köln', '東京', NULL),
    LPAD(n, 8, '0')"#;

fn fill(db: &Database) {
    db.sql("CREATE TABLE d (i INT)");
    db.sql("INSERT INTO d VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)");
    db.sql(&format!("CREATE TABLE t {COLUMNS}"));
    db.sql(&format!(
        "INSERT INTO t SELECT {VALUES} FROM (SELECT a.i + 10 * b.i + 100 * c.i + 1000 * d.i + 10000 * e.i + 100000 * f.i AS n
         FROM d AS a, d AS b, d AS c, d, d AS e, d AS f) AS numbers ORDER BY n"
    ));
}

/// A script that reads the three files row by row and compares them. A CSV reader
/// cannot distinguish NULL from "", so both count as "" there.
const COMPARE: &str = r#"
import csv, json, sys
csv_rows = csv.reader(open(sys.argv[1], newline='', encoding='utf-8'), strict=True)
json_rows = open(sys.argv[3], encoding='utf-8')
escapes = {'\\t': '\t', '\\n': '\n', '\\\\': '\\'}
def unescape(field):
    if field == '\\N': return None
    if '\\' not in field: return field
    out, i = [], 0
    while i < len(field):
        step = 2 if field[i] == '\\' else 1
        out.append(escapes[field[i:i + 2]] if step == 2 else field[i])
        i += step
    return ''.join(out)
header = next(csv_rows)
assert next(json_rows) == '[\n'
count = 0
with open(sys.argv[2], newline='\n', encoding='utf-8') as tsv:
    assert next(tsv).rstrip('\n').split('\t') == header
    for line in tsv:
        row = [unescape(f) for f in line[:-1].split('\t')]
        text = next(json_rows)
        values = json.loads(text.rstrip(',\n'), parse_int=str, parse_float=str)
        assert list(values.values()) == row, (text, row)
        assert next(csv_rows) == [f or '' for f in row], row
        count += 1
assert next(json_rows) == ']\n' and next(json_rows, None) is None and next(csv_rows, None) is None
print(count)
"#;

#[test]
fn a_million_rows_are_exported_in_constant_memory() {
    each_server(|db| {
        fill(db);
        let folder = tempfile::tempdir().expect("a folder");
        let files = ["t.csv", "t.tsv", "t.json"].map(|name| folder.path().join(name));
        // Much of the peak are pages of the program itself, which are the same for one row.
        let one = folder.path().join("one.csv");
        let of_program = peak_memory(db, &[], "SELECT * FROM t LIMIT 1", &one);
        let most = of_program + 5 * 1024;
        for file in &files {
            let peak = peak_memory(db, &[], "SELECT * FROM t", file);
            println!("{}: {}: {peak} KiB", db.server.name, file.display());
            assert!(
                peak < most,
                "peak memory {peak} KiB, of one row {of_program} KiB"
            );
            let times_five = "SELECT t.* FROM t JOIN (SELECT 1 AS a UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
                              UNION ALL SELECT 5) AS five";
            let second = folder
                .path()
                .join("more")
                .with_extension(file.extension().expect("one"));
            let more = peak_memory(db, &[], times_five, &second);
            fs::remove_file(second).expect("it can go");
            println!("five times as many: {more} KiB");
            assert!(
                more < most && more.abs_diff(peak) < 1024,
                "{peak} KiB, with five times as many rows {more} KiB"
            );
        }
        let args: Vec<&OsStr> = files.iter().map(|file| file.as_os_str()).collect();
        assert_eq!(python(COMPARE, &args), format!("{ROWS}\n"));
        db.sql("CREATE TABLE copy LIKE t");
        load_data(db, &files[1], "copy", "utf8mb4", "");
        assert_eq!(checksum(db, "copy"), checksum(db, "t"));
    });
}
