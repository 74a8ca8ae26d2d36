//! Workbooks, read by openpyxl and by LibreOffice Calc: every value of a table of every
//! type, and how the sheets look.

use std::{ffi::OsString, fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    assert_verified, python_json,
    targets::{COLUMNS, compare, create, query},
};
use crate::support::{each_server, on_a_server};

/// Python that prints, as JSON, what the workbook that it gets looks like.
const DESCRIBE: &str = r#"
import json, openpyxl, sys
from openpyxl.utils.escape import unescape
book = openpyxl.load_workbook(sys.argv[1])
sheet = book.worksheets[0]
print(json.dumps({
    'sheets': [[sheet.title, sheet.max_row, sheet.freeze_panes] for sheet in book],
    'header': [[cell.value, cell.font.bold] for cell in sheet[1]],
    'formats': [cell.number_format for cell in sheet[2]],
    'types': [[cell.data_type for cell in row] for row in sheet.iter_rows(min_row=2)],
    'values': [[unescape(str(cell.value)) for cell in row] for row in sheet.iter_rows(min_row=2)],
    'widths': [sheet.column_dimensions[cell.column_letter].width > 8 for cell in sheet[1]],
    'created': str(book.properties.created),
}))
"#;

fn describe(path: &Path) -> Value {
    python_json(DESCRIBE, path)
}

/// Has LibreOffice Calc open a workbook and save what it understood as another one.
fn saved_by_calc(file: &Path, folder: &Path) -> OsString {
    let mut office = Command::new("soffice");
    let home = format!("-env:UserInstallation=file://{}/office", folder.display());
    let to = folder.join("calc");
    office.args([&home, "--headless", "--convert-to", "xlsx", "--outdir"]);
    let output = office.arg(&to).arg(file).output();
    let output = output.expect("soffice runs: scripts/test installs libreoffice-calc");
    assert!(output.status.success(), "{output:?}");
    to.join(file.file_name().expect("a name")).into_os_string()
}

#[test]
fn spreadsheets_find_every_value_of_the_server() {
    each_server(|db| {
        create(db);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.xlsx");
        let warnings = [
            "numbers have more digits than a cell holds, and are texts",
            "dates or times are such as a cell does not hold",
            "empty texts are empty cells, as NULLs of their columns are",
        ];
        // A cell has no place for the three million characters of one row.
        let sql = |columns: &str| query(columns, &[]) + " AND id <> 9";
        let export = |sql: &str, protocol: &str| {
            let run = db
                .export(sql)
                .args(["--binary", "hex", "--time-zone", "+00:00"]);
            let run = run.args(["--protocol", protocol, "-o"]).arg(&file).run();
            run.failed_with_any_length(0, &warnings);
            fs::read(&file).expect("the file")
        };
        export(&sql("*"), "binary");
        compare(db, &sql("*"), "openpyxl", file.as_os_str(), "", 260);
        let saved = saved_by_calc(&file, folder.path());
        compare(db, &sql("*"), "calc", &saved, "", 260);
        // Over the text protocol, a FLOAT has six digits, and all else is the same.
        let names = COLUMNS.iter().map(|column| match column.strip_prefix('`') {
            Some(_) => &column[..=column.rfind('`').expect("a quote")],
            None => column.split(' ').next().expect("a name"),
        });
        let names: Vec<_> = names.filter(|name| *name != "fl").collect();
        let sql = sql(&names.join(", "));
        assert!(export(&sql, "text") == export(&sql, "binary"));
    });
}

#[test]
fn a_sheet_has_a_header_that_stays_and_a_format_for_each_type() {
    each_server(|db| {
        db.sql(
            "CREATE TABLE t (`=id` INT PRIMARY KEY, price DECIMAL(20,2), z INT(6) ZEROFILL, day DATE, at DATETIME(6), lasts TIME(3), ok TINYINT(1), note VARCHAR(20), big BIGINT)",
        );
        db.sql(
            "INSERT INTO t VALUES (1, 1234.5, 42, '2026-02-03', '2026-02-03 04:05:06.789', '-00:00:01', 1, '=1+1_x0041_\\r', 999999999999999),
             (2, 1234567890123456.78, 7, '1900-02-28', '2026-02-03 04:05:06.000001', '25:00:00.5', 0, '', 1000000000000001),
             (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        );
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.xlsx");
        let run = db
            .export("SELECT * FROM t ORDER BY `=id`")
            .args(["--booleans", "words"]);
        run.args(["--manifest", "-o"])
            .arg(&file)
            .run()
            .failed_with_any_length(
                0,
                &[
                    "2 numbers have more digits than a cell holds, and are texts",
                    "3 dates or times are such as a cell does not hold",
                    "1 empty text is an empty cell, as NULLs of its column are",
                ],
            );
        let found = describe(&file);
        assert_eq!(found["sheets"], json!([["Sheet1", 4, "A2"]]));
        assert_eq!(found["header"][0], json!(["=id", true]));
        assert_eq!(found["header"][8], json!(["big", true]));
        let formats = [
            "0",
            "0.00",
            "000000",
            "yyyy-mm-dd",
            "yyyy-mm-dd hh:mm:ss.000",
            "[hh]:mm:ss.000",
            "General",
            "@",
            "0",
        ];
        assert_eq!(found["formats"], json!(formats));
        assert_eq!(
            found["types"],
            json!([
                ["n", "n", "n", "d", "d", "s", "b", "s", "n"],
                ["n", "s", "n", "s", "s", "d", "b", "n", "s"],
                ["n", "n", "n", "n", "n", "n", "n", "n", "n"],
            ])
        );
        assert_eq!(found["values"][0][7], "=1+1_x0041_\r");
        assert_eq!(found["values"][1][8], "1000000000000001");
        assert_eq!(found["created"], "2000-01-01 00:00:00");
        assert_verified(&file, 3);
        // Rows that are all NULL are there.
        let nulls = "SELECT NULL AS a UNION ALL SELECT NULL";
        db.export(nulls)
            .args(["--manifest", "-o"])
            .arg(&file)
            .run()
            .ended(0, "");
        assert_eq!(describe(&file)["sheets"][0][1], 3);
        assert_verified(&file, 2);
    });
}

#[test]
fn what_a_workbook_cannot_hold_is_refused() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.xlsx");
        let cases: [(&str, &[&str], i32, &str); 9] = [
            (
                "SELECT 'x' AS a UNION ALL SELECT REPEAT('😀', 16384)",
                &[],
                4,
                "row 2, column \"a\": the value has more than the 32,767 characters",
            ),
            ("SELECT REPEAT('ä', 32767) AS a", &[], 0, ""),
            (
                "SELECT '_x0041\\r' AS a",
                &[],
                4,
                "row 1, column \"a\": the value has a control character behind",
            ),
            (
                "SELECT 1 AS a, 2 AS `_x0041\u{1}b`",
                &[],
                2,
                "the name of column 2 has a control character behind",
            ),
            ("SELECT '_x004\\r_x0041_ _x0041\\n' AS a", &[], 0, ""),
            (
                "SELECT x'ff' AS a",
                &["--binary", "raw"],
                2,
                "raw has no meaning for xlsx",
            ),
            (
                "SELECT 1 AS a",
                &["--compression", "zstd"],
                2,
                "--compression compresses xlsx, which is compressed within",
            ),
            (
                "SELECT 1 AS a",
                &["--format", "csv", "--xlsx-split"],
                2,
                "has no meaning for csv",
            ),
            (
                "SELECT CAST('0000-00-00' AS DATE) AS a",
                &["--zero-dates", "error", "--init", "SET sql_mode = ''"],
                4,
                "is a date whose month or day is zero",
            ),
        ];
        for (sql, args, code, problem) in cases {
            let run = db.export(sql).args(args).arg("-o").arg(&file).run();
            match problem {
                "" => drop(run.ended(code, "")),
                _ => drop(run.failed_with_any_length(code, &[problem])),
            }
            assert_eq!(file.exists(), code == 0, "{sql}");
            let _ = fs::remove_file(&file);
        }
    });
}

#[test]
fn a_temporary_folder_that_fails_is_named() {
    on_a_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.xlsx");
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
                   SELECT i, REPEAT('x', 999) AS a FROM n";
        let problem = "the workbook's temporary file in";
        let export = |temporary: &Path| {
            let run = db.export(sql).env("TMPDIR", temporary);
            run.arg("-o").arg(&file)
        };
        let missing = folder.path().join("missing");
        export(&missing)
            .run()
            .failed(5, &[problem, "No such file", "TMPDIR"]);
        let full = folder.path().join("full");
        fs::create_dir(&full).expect("a folder");
        // Within the sheet, which takes 1,100,594 bytes, and after it, in the ZIP.
        for (bytes, rows) in [
            ("100000", "100 rows had come"),
            ("1100590", "999 rows had come"),
        ] {
            let run = export(&full).env("LD_PRELOAD", &*crate::jobs::reliability::disks::DISK);
            let run = run.env("FAULT_NAME", &full).env("FAULT_CALL", "write");
            let run = run.env("FAULT_ERRNO", "28").env("FAULT_AFTER", bytes);
            run.run().failed(5, &[problem, "No space left", rows]);
            assert!(!file.exists(), "{rows}");
        }
    });
}

#[test]
fn rows_beyond_a_sheet_are_an_error_or_in_a_further_sheet() {
    on_a_server(|db| {
        let digits = "(SELECT 0 AS d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5
                      UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)";
        let tables: Vec<_> = (0..7).map(|number| format!("{digits} t{number}")).collect();
        let sql = format!("SELECT 1 AS a FROM {} LIMIT 1048577", tables.join(", "));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("t.xlsx");
        let export = || db.export(&sql).args(["--manifest", "-o"]).arg(&file);
        export().run().failed_with_any_length(
            4,
            &["the result has more than 1048575 rows", "--xlsx-split"],
        );
        assert!(!file.exists());
        export().arg("--xlsx-split").run().ended(0, "");
        assert_verified(&file, 1048577);
    });
}
