//! The table formats: their exact bytes, their widths, and what is cut.

use std::{fs, num::NonZeroU16};

use gold_digger::{
    error::Result,
    format::{EncodeBuffer, FirstRows, Format, RowWriter, Spill, Table, TableLayout},
    row::{MemoryRow, Value},
    schema::{Column, Schema},
};

use super::memory::{BLOB, DATE, DATETIME, INT, Kind, TEXT, TINYINT1};
use crate::support::{at_terminal, each_server};

const VERTICAL: TableLayout = TableLayout::Vertical;

fn text(text: &str) -> Value<'_> {
    Value::Bytes(text.as_bytes())
}

/// An aligned table for a terminal with so many columns.
fn on_terminal(columns: u16) -> Table {
    Table {
        terminal: NonZeroU16::new(columns),
        ..Table::default()
    }
}

fn open(format: &Table, columns: &[(&str, Kind)]) -> Box<dyn RowWriter> {
    let columns = columns.iter();
    let columns = columns.map(|(name, (kind, meaning))| Column::new(*name, *kind, *meaning));
    let schema = Schema {
        columns: columns.collect(),
    };
    format.open(&schema).expect("a writer")
}

/// Writes a row to the end of `bytes`.
fn write(writer: &mut dyn RowWriter, row: &[Value<'_>], bytes: &mut Vec<u8>) {
    let row = MemoryRow::new(row);
    let written = writer.row(row.view(), &mut EncodeBuffer::unbounded(bytes));
    written.expect("a row");
}

fn finish(writer: &mut dyn RowWriter, mut bytes: Vec<u8>) -> String {
    let finished = writer.finish(&mut EncodeBuffer::unbounded(&mut bytes));
    finished.expect("an end");
    String::from_utf8(bytes).expect("UTF-8")
}

fn document(format: &Table, columns: &[(&str, Kind)], rows: &[&[Value<'_>]]) -> String {
    let (mut writer, mut bytes) = (open(format, columns), Vec::new());
    for row in rows {
        write(&mut *writer, row, &mut bytes);
    }
    finish(&mut *writer, bytes)
}

const NASTY: [(&str, Kind); 4] = [("id", INT), ("a\nb", TEXT), ("day", DATE), ("", BLOB)];

/// Rows with all that is escaped, and all that NULL must differ from.
fn nasty() -> [[Value<'static>; 4]; 4] {
    let control = "a\tb\\c\r\n\0\u{1b}[2J\u{9b}\u{202e}|";
    [
        [
            Value::Int(1),
            text("NULL"),
            text("2020-01-02"),
            Value::Bytes(b"\0\xff"),
        ],
        [Value::Null, Value::Null, Value::Null, Value::Null],
        // Its base64 is NULL.
        [
            Value::Int(-200),
            text("'NULL'"),
            text("0000-00-00"),
            Value::Bytes(b"\x35\x42\xcb"),
        ],
        [
            Value::Int(30),
            text(control),
            Value::Null,
            Value::Bytes(b""),
        ],
    ]
}

#[test]
fn texts_are_escaped_and_null_differs_from_every_text() {
    let rows = nasty();
    let rows: Vec<&[Value<'_>]> = rows.iter().map(|row| &row[..]).collect();
    let control = r"a\tb\\c\r\n\0\u{1b}[2J\u{9b}\u{202e}|";
    let expected: Vec<String> = [
        ["id", r"a\nb", "day", ""],
        ["1", "'NULL'", "2020-01-02", "AP8="],
        ["NULL", "NULL", "NULL", "NULL"],
        ["-200", "''NULL''", "0000-00-00", "'NULL'"],
        ["30", control, "NULL", ""],
    ]
    .iter()
    .map(|[id, text, day, bytes]| format!("{id:>4} | {text:<37} | {day:<10} | {bytes}\n"))
    .collect();
    let rule = format!("{:-<4}-+-{:-<37}-+-{:-<10}-+-{:-<6}\n", "", "", "", "");
    let expected = format!("{}{rule}{}(4 rows)\n", expected[0], expected[1..].concat());
    assert_eq!(document(&Table::default(), &NASTY, &rows), expected);

    let stars = "*".repeat(27);
    let vertical = Table {
        layout: VERTICAL,
        ..Table::default()
    };
    let last = rows[2..].to_vec();
    assert_eq!(
        document(&vertical, &NASTY, &last),
        [
            &format!("{stars} 1. row {stars}\n"),
            "   id: -200\n a\\nb: ''NULL''\n  day: 0000-00-00\n     : 'NULL'\n",
            &format!("{stars} 2. row {stars}\n"),
            "   id: 30\n a\\nb: a\\tb\\\\c\\r\n     | \\0\\u{1b}[2J\\u{9b}\\u{202e}|\n",
            "  day: NULL\n     : \n(2 rows)\n",
        ]
        .concat()
    );
    for (format, empty) in [
        (
            Table::default(),
            "id | a\\nb | day        | \n---+------+------------+-\n(0 rows)\n",
        ),
        (vertical, "(0 rows)\n"),
    ] {
        assert_eq!(document(&format, &NASTY, &[]), empty);
    }
}

#[test]
fn columns_are_as_wide_as_a_terminal_shows_them() {
    let values = [
        ("漢字", 4),
        ("e\u{301}", 1),
        ("👩\u{200d}👧", 2),
        ("❤\u{fe0f}", 2),
        ("🇳🇴", 2),
        ("ａ", 2),
        ("abcdef", 6),
    ];
    let rows: Vec<[Value<'_>; 2]> = values.map(|(value, _)| [text(value), text("x")]).into();
    let rows: Vec<&[Value<'_>]> = rows.iter().map(|row| &row[..]).collect();
    let lines = values.map(|(value, width)| format!("{value}{} | x\n", " ".repeat(6 - width)));
    let expected = format!("名前   | x\n-------+--\n{}(7 rows)\n", lines.concat());
    assert_eq!(
        document(&Table::default(), &[("名前", TEXT), ("x", TEXT)], &rows),
        expected
    );
    // Words are no numbers.
    let mut words = Table::default();
    words.text.booleans = gold_digger::format::Booleans::Words;
    let columns = [("number", TINYINT1), ("n", INT)];
    let row: &[Value<'_>] = &[Value::Int(1), Value::Int(-1)];
    for (format, line) in [(&Table::default(), "     1 | -1"), (&words, "true   | -1")] {
        let expected = format!("number |  n\n-------+---\n{line}\n(1 row)\n");
        assert_eq!(document(format, &columns, &[row]), expected);
    }
}

#[test]
fn texts_are_cut_to_the_terminal_and_numbers_are_not() {
    let note = "cut: --vertical, or another format, shows all";
    let long = "x".repeat(100_000);
    let columns = [("id", INT), ("a", TEXT), ("b", TEXT)];
    let cases = [
        // It just fits.
        ("abcdefghi", "xyz", "abcdefghi | xyz", String::new()),
        (
            "abcdefghij",
            "xyz",
            "abcdefgh… | xyz",
            format!("; 1 value is {note}"),
        ),
        (
            "漢字漢字漢字",
            "xyz",
            "漢字漢字… | xyz",
            format!("; 1 value is {note}"),
        ),
        (
            "字漢字漢字a",
            "xyza",
            "字漢字…  | xyza",
            format!("; 1 value is {note}"),
        ),
        (&long, "", "xxxxxxxxxx… | ", format!("; 1 value is {note}")),
    ];
    for (a, b, line, note) in cases {
        let row = [Value::Int(10), text(a), text(b)];
        let shown = document(&on_terminal(20), &columns, &[&row]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[2], format!("10 | {line}"));
        assert_eq!(lines[3], format!("(1 row{note})"));
    }
    let columns = [("identifier", INT), ("text", TEXT)];
    let row = |id| [Value::Int(id), text("abcdefghijkl")];
    assert_eq!(
        document(&on_terminal(20), &columns, &[&row(1), &row(123_456_789)]),
        "identifi… | text\n----------+---------\n        1 | abcdefg…\n123456789 | abcdefg…\n\
         (2 rows; 1 name and 2 values are cut: --vertical, or another format, shows all)\n"
    );
    // What cannot fit is vertical.
    let columns = [("a", DATETIME), ("b", DATETIME)];
    let row = [text("2020-01-02 03:04:05.678"), Value::Null];
    let stars = "*".repeat(27);
    assert_eq!(
        document(&on_terminal(48), &columns, &[&row]),
        format!("{stars} 1. row {stars}\n a: 2020-01-02 03:04:05.678\n b: NULL\n(1 row)\n")
    );
    assert!(document(&on_terminal(49), &columns, &[&row]).starts_with("a   "));
}

#[test]
fn rows_that_are_written_keep_their_widths_and_later_ones_widen_them() {
    let columns = [("a", TEXT), ("b", INT)];
    // In a line without room, the number takes it from the text.
    for (terminal, widest) in [(0, "abcdefghijkl | 100\n"), (14, "abcdefg… | 100\n")] {
        let (mut writer, mut bytes) = (open(&on_terminal(terminal), &columns), Vec::new());
        let mut shown = |a, b, expected: &str| {
            write(&mut *writer, &[text(a), Value::Int(b)], &mut bytes);
            assert_eq!(String::from_utf8_lossy(&bytes), expected);
            // Two rows wait, the others are written at once.
            if b > 1 {
                bytes.clear();
            }
        };
        shown("x", 1, "a | b\n--+--\nx | 1\n");
        shown("xyz", 2, "a   | b\n----+--\nx   | 1\nxyz | 2\n");
        shown("abcde", 3, "abcde | 3\n");
        shown("x", 4, "x     | 4\n");
        shown("abcdefghijkl", 100, widest);
    }
    // So does a text that would hardly be seen.
    let columns = [("a", TEXT), ("b", TEXT)];
    let (mut writer, mut bytes) = (open(&on_terminal(20), &columns), Vec::new());
    let b = "b".repeat(30);
    for (a, shown) in [("x", 15), ("wider", 11)] {
        write(&mut *writer, &[text(a), text(&b)], &mut bytes);
        let line = format!("\n{a} | {}…\n", &b[..shown]);
        assert!(format!("\n{}", String::from_utf8_lossy(&bytes)).ends_with(&line));
        bytes.clear();
    }
}

#[test]
fn first_rows_that_are_kept_back_do_not_depend_on_writes() {
    let columns = [("a", TEXT), ("b", INT)];
    let rows: Vec<String> = (0..50_000).map(|i| "x".repeat(i % 40)).collect();
    let rows: Vec<[Value<'_>; 2]> = rows.iter().map(|a| [text(a), Value::Int(1)]).collect();
    let together = Table {
        first_rows: FirstRows::Together,
        ..Table::default()
    };
    let written = |format: &Table, clears: bool| {
        let (mut writer, mut bytes, mut all) = (open(format, &columns), Vec::new(), Vec::new());
        for row in &rows {
            write(&mut *writer, row, &mut bytes);
            if clears {
                all.append(&mut bytes);
            }
            // Memory stays flat.
            assert!(writer.buffered() < 300 << 10, "{} bytes", writer.buffered());
        }
        all.append(&mut bytes);
        finish(&mut *writer, all)
    };
    let whole = written(&together, false);
    assert!(whole.starts_with(&format!(
        "a{} | b\n{}-+--\n",
        " ".repeat(38),
        "-".repeat(39)
    )));
    assert!(whole.ends_with("(50000 rows)\n"));
    assert_eq!(written(&together, true), whole);
    assert_eq!(written(&Table::default(), false), whole);
    assert_ne!(written(&Table::default(), true), whole);
}

#[test]
fn a_long_text_is_written_in_pieces_and_a_wrong_value_leaves_the_table() {
    struct Pieces(Vec<u8>);
    impl Spill for Pieces {
        fn spill(&mut self, bytes: &[u8]) -> Result<()> {
            assert!(bytes.len() < 2 << 20, "{} bytes", bytes.len());
            self.0.extend(bytes);
            Ok(())
        }
    }
    let long = "ä\n".repeat(4 << 20);
    for (layout, line_end) in [(TableLayout::Aligned, "ä\\n"), (VERTICAL, "ä\n  | ")] {
        let format = Table {
            layout,
            ..Table::default()
        };
        let mut writer = open(&format, &[("a", TEXT), ("b", INT)]);
        let (mut bytes, mut pieces) = (Vec::new(), Pieces(Vec::new()));
        for value in ["short", &long, "short"] {
            let row = MemoryRow::new(&[text(value), Value::Int(7)]);
            let mut out = EncodeBuffer::new(&mut bytes, &mut pieces);
            writer.row(row.view(), &mut out).expect("a row");
        }
        let before = bytes.clone();
        let wrong = MemoryRow::new(&[text("x"), text("no number")]);
        let mut out = EncodeBuffer::new(&mut bytes, &mut pieces);
        let error = writer.row(wrong.view(), &mut out).expect_err("no row");
        assert_eq!(error.column, 1);
        if layout == TableLayout::Aligned {
            assert_eq!(bytes, before);
        }
        pieces.0.append(&mut bytes);
        let shown = String::from_utf8(pieces.0).expect("UTF-8");
        assert_eq!(shown.matches(line_end).count(), 4 << 20);
    }
}

const ROWS: &str =
    "SELECT 1 AS id, 'it''s\\n|' AS s, X'00ff' AS b, DATE'2020-01-02' AS d, 1.50 AS n, NULL AS s
     UNION ALL SELECT 200, '漢', NULL, NULL, NULL, 'NULL'";

#[test]
fn tables_have_exactly_these_bytes() {
    each_server(|db| {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("x.txt");
        let aligned = concat!(
            " id | s       | b    | d          |    n | s\n",
            "----+---------+------+------------+------+-------\n",
            "  1 | it's\\n| | AP8= | 2020-01-02 | 1.50 | NULL\n",
            "200 | 漢      | NULL | NULL       | NULL | 'NULL'\n",
            "(2 rows)\n",
        );
        let vertical = concat!(
            "*************************** 1. row ***************************\n",
            " id: 1\n  s: it's\n   | |\n  b: AP8=\n  d: 2020-01-02\n  n: 1.50\n  s: NULL\n",
            "*************************** 2. row ***************************\n",
            " id: 200\n  s: 漢\n  b: NULL\n  d: NULL\n  n: NULL\n  s: 'NULL'\n",
            "(2 rows)\n",
        );
        for protocol in ["text", "binary"] {
            for (flags, expected) in [
                (&["--format", "table"][..], aligned),
                (&["--vertical"], vertical),
            ] {
                let export = || db.export(ROWS).args(flags).args(["--protocol", protocol]);
                export().arg("-o").arg(&target).run().wrote("");
                assert_eq!(fs::read_to_string(&target).expect("the file"), expected);
                let redirected = fs::File::create(&target).expect("the file");
                export().stdout(redirected).wait().ended(0, "");
                assert_eq!(fs::read_to_string(&target).expect("the file"), expected);
            }
        }
        db.export("SELECT 1")
            .args(["--vertical", "--format", "csv"])
            .run()
            .failed_with_any_length(2, &["'--vertical'", "cannot be used with"]);
        db.export("SELECT 1 AS a WHERE 1 = 0")
            .args(["--format", "table", "--allow-empty"])
            .run()
            .wrote("a\n-\n(0 rows)\n");
        db.export("SELECT 1")
            .args(["--format", "table", "--binary", "raw"])
            .run()
            .failed(2, &["--binary raw has no meaning for table"]);
    });
}

#[test]
fn rows_on_a_terminal_are_a_table_as_wide_as_it() {
    each_server(|db| {
        let shown = |before: &str, after: &str| {
            let sql = "SELECT 1 AS id, 'abcdefghijklmnopqrstuvwxyz' AS s, 'x\\033[2J' AS t";
            let url = db.url();
            let program = env!("CARGO_BIN_EXE_gold_digger");
            let command = format!(
                "stty rows 24 cols 40; DATABASE_URL='{url}' {before} {program} --quiet \"$(printf \"{sql}\")\" {after}"
            );
            at_terminal(&command, None).replace("\r\n", "\n")
        };
        let letters = "abcdefghijklmnopqrstuvwxyz";
        let names = "id\ts\tt\n";
        let tsv = format!("1\t{letters}\tx\u{1b}[2J\n");
        let head = |width| {
            format!(
                "id | s{:width$} | t\n---+-{:-<width$}--+-----------\n",
                "", ""
            )
        };
        let whole = format!("{} 1 | {letters} | x\\u{{1b}}[2J\n(1 row)\n", head(25));
        let note = "1 value is cut: --vertical, or another format, shows all";
        let cut = &letters[..21];
        let cut = format!("{} 1 | {cut}… | x\\u{{1b}}[2J\n(1 row; {note})\n", head(21));
        let stars = "*".repeat(27);
        let lines = format!(" id: 1\n  s: {letters}\n  t: x\\u{{1b}}[2J\n(1 row)\n");
        let lines = format!("{stars} 1. row {stars}\n{lines}");
        for (before, after, expected) in [
            ("", "", &cut),
            ("", "-o -", &cut),
            ("", "--format table", &cut),
            ("COLUMNS=100", "", &whole),
            ("COLUMNS=x", "", &cut),
            ("COLUMNS=20", "", &lines),
            ("", "--vertical", &lines),
            ("", "--format table | cat", &whole),
            ("", "| cat", &format!("{names}{tsv}")),
            ("", "--format tsv", &format!("{names}{tsv}")),
            // A flag for TSV asks for it.
            ("", "--header=false", &tsv),
        ] {
            assert_eq!(&shown(before, after), expected, "{before} {after}");
        }
    });
}
