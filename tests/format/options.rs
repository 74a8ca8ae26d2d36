//! What the options make of single values, without a server.

use gold_digger::{
    format::{
        BinaryEncoding, Booleans, Csv, CsvFormulas, CsvQuote, InvalidUtf8, TextOptions, ZeroDates,
    },
    row::{DateTime, Value},
    schema::ColumnType,
};

use super::memory::{BIT1, BIT8, BLOB, DATE, DATETIME, INT, Kind, TEXT, TINYINT1, formats, write};

/// Asserts what each format writes for the values of a column `a`, a line each, and
/// the warnings of each.
#[track_caller]
fn assert_each(
    text: TextOptions,
    kind: Kind,
    values: &[Value<'_>],
    lines: [&str; 3],
    warnings: &[&str],
) {
    for (format, lines) in formats(text).iter().zip(lines) {
        let written = write(&**format, "a", kind, values);
        let expected = match format.name() {
            "json" => {
                let rows: Vec<String> = lines
                    .split(' ')
                    .map(|value| format!("{{\"a\":{value}}}"))
                    .collect();
                format!("[\n{}\n]\n", rows.join(",\n"))
            }
            _ => format!("a\n{}\n", lines.replace(' ', "\n")),
        };
        assert_eq!(written.text, expected, "{} {kind:?}", format.name());
        assert_eq!(written.error, None);
        assert_eq!(written.warnings, warnings, "{}", format.name());
    }
}

/// Asserts that each format refuses the last of the values.
#[track_caller]
fn assert_refused(text: TextOptions, kind: Kind, values: &[Value<'_>], problem: &str, hint: &str) {
    for format in formats(text) {
        let error = write(&*format, "a", kind, values).error.expect("an error");
        assert_eq!(
            (error.column, error.problem),
            (0, problem),
            "{}",
            format.name()
        );
        assert!(error.hint.contains(hint), "{}", error.hint);
    }
}

fn date(year: u16, month: u8, day: u8) -> Value<'static> {
    Value::DateTime(DateTime {
        year,
        month,
        day,
        hour: 0,
        minute: 0,
        second: 0,
        micros: 0,
    })
}

#[test]
fn zero_dates_stay_or_are_null_or_errors_in_every_format() {
    let with = |zero_dates| TextOptions {
        zero_dates,
        ..TextOptions::default()
    };
    let (text, null) = (Value::Bytes, Value::Null);
    let dates: [&[Value<'_>]; 2] = [
        &[
            date(0, 0, 0),
            date(2026, 0, 9),
            date(2026, 9, 0),
            date(2026, 9, 9),
            null,
        ],
        &[
            text(b"0000-00-00"),
            text(b"2026-00-09"),
            text(b"2026-09-00"),
            text(b"2026-09-09"),
            null,
        ],
    ];
    for values in dates {
        let kept = "0000-00-00 2026-00-09 2026-09-00 2026-09-09";
        let quoted: Vec<String> = kept.split(' ').map(|date| format!("\"{date}\"")).collect();
        let json = format!("{} null", quoted.join(" "));
        assert_each(
            with(ZeroDates::Keep),
            DATE,
            values,
            [&format!("{kept} NULL"), &format!("{kept} \\N"), &json],
            &[],
        );
        assert_each(
            with(ZeroDates::Null),
            DATE,
            values,
            [
                "NULL NULL NULL 2026-09-09 NULL",
                "\\N \\N \\N 2026-09-09 \\N",
                "null null null \"2026-09-09\" null",
            ],
            &["3 dates whose month or day is zero were written as NULL"],
        );
        for zero in &values[..3] {
            assert_refused(
                with(ZeroDates::Error),
                DATE,
                &[values[3], *zero],
                "is a date whose month or day is zero",
                "--zero-dates null",
            );
        }
    }
    for zero in [date(0, 0, 0), text(b"0000-00-00 00:00:00.000")] {
        assert_each(
            with(ZeroDates::Null),
            DATETIME,
            &[zero],
            ["NULL", "\\N", "null"],
            &["1 date whose month or day is zero was written as NULL"],
        );
    }
}

#[test]
fn booleans_are_words_on_request_in_every_format() {
    let with = |booleans| TextOptions {
        booleans,
        ..TextOptions::default()
    };
    let typed = [Value::Int(0), Value::Int(1), Value::Null];
    let sent = [Value::Bytes(b"0"), Value::Bytes(b"1"), Value::Null];
    let bits = [Value::Bytes(b"\0"), Value::Bytes(b"\x01"), Value::Null];
    let numbers = ["0 1 NULL", "0 1 \\N", "0 1 null"];
    let words = ["false true NULL", "false true \\N", "false true null"];
    for (booleans, tinyint, bit) in [
        (Booleans::Number, numbers, numbers),
        (Booleans::Tinyint1, words, numbers),
        (Booleans::Words, words, words),
    ] {
        assert_each(with(booleans), TINYINT1, &typed, tinyint, &[]);
        assert_each(with(booleans), TINYINT1, &sent, tinyint, &[]);
        assert_each(with(booleans), BIT1, &bits, bit, &[]);
        assert_each(with(booleans), BIT8, &bits, numbers, &[]);
        assert_each(with(booleans), INT, &typed, numbers, &[]);
    }
    for value in [
        Value::Int(2),
        Value::Int(-1),
        Value::Bytes(b"2"),
        Value::Bytes(b"-1"),
    ] {
        assert_refused(
            with(Booleans::Words),
            TINYINT1,
            &[value],
            "is neither 0 nor 1",
            "--booleans number",
        );
    }
}

#[test]
fn bytes_become_the_hexadecimal_form_of_bytea() {
    let text = TextOptions {
        binary: BinaryEncoding::Postgres,
        ..TextOptions::default()
    };
    let values = [Value::Bytes(b"\0\xff\\"), Value::Bytes(b""), Value::Null];
    let [csv, tsv, _] = formats(text);
    assert_eq!(
        write(&*csv, "a", BLOB, &values).text,
        "a\n\\x00ff5c\n\\x\nNULL\n"
    );
    assert_eq!(
        write(&*tsv, "a", BLOB, &values).text,
        "a\n\\\\x00ff5c\n\\\\x\n\\N\n"
    );
    // Longer than the pieces in which long values are encoded.
    let long = vec![0xab_u8; 300 << 10];
    let written = write(&*csv, "a", BLOB, &[Value::Bytes(&long)]).text;
    assert_eq!(written, format!("a\n\\x{}\n", "ab".repeat(300 << 10)));
}

fn csv_with(quote: CsvQuote, formulas: CsvFormulas, text: TextOptions) -> Csv {
    Csv {
        quote,
        formulas,
        text,
        null: "NULL".parse().expect("a plain text"),
        ..Csv::default()
    }
}

#[test]
fn each_policy_quotes_what_it_says() {
    let tests: &[(Kind, Value<'_>, [&str; 3])] = &[
        (TEXT, Value::Bytes(b"x"), ["x", "\"x\"", "\"x\""]),
        (TEXT, Value::Bytes(b"1"), ["1", "\"1\"", "\"1\""]),
        (TEXT, Value::Bytes(b""), ["\"\"", "\"\"", "\"\""]),
        (
            TEXT,
            Value::Bytes(b"NULL"),
            ["\"NULL\"", "\"NULL\"", "\"NULL\""],
        ),
        (
            TEXT,
            Value::Bytes(b"a\xff"),
            ["a\u{fffd}", "\"a\u{fffd}\"", "\"a\u{fffd}\""],
        ),
        (TEXT, Value::Null, ["NULL", "NULL", "NULL"]),
        (
            ("JSON", ColumnType::Json),
            Value::Bytes(b"1"),
            ["1", "\"1\"", "\"1\""],
        ),
        (BLOB, Value::Bytes(b"abc"), ["YWJj", "\"YWJj\"", "\"YWJj\""]),
        (
            BLOB,
            Value::Bytes(b"abcdefgh"),
            ["YWJjZGVmZ2g=", "\"YWJjZGVmZ2g=\"", "\"YWJjZGVmZ2g=\""],
        ),
        (BLOB, Value::Bytes(b""), ["\"\"", "\"\"", "\"\""]),
        (INT, Value::Int(-1), ["-1", "-1", "\"-1\""]),
        // The end of the data to PostgreSQL, alone on a line.
        (
            TEXT,
            Value::Bytes(br"\."),
            [r#""\.""#, r#""\.""#, r#""\.""#],
        ),
        (
            TEXT,
            Value::Bytes(br"\.."),
            [r"\..", r#""\..""#, r#""\..""#],
        ),
        (
            DATE,
            date(2026, 9, 9),
            ["2026-09-09", "2026-09-09", "\"2026-09-09\""],
        ),
        (BIT1, Value::Bytes(b"\x01"), ["true", "true", "\"true\""]),
    ];
    let text = TextOptions {
        invalid_utf8: InvalidUtf8::Replace,
        booleans: Booleans::Words,
        ..TextOptions::default()
    };
    for (kind, value, expected) in tests {
        for (quote, expected) in [CsvQuote::Necessary, CsvQuote::Text, CsvQuote::Always]
            .into_iter()
            .zip(expected)
        {
            let csv = csv_with(quote, CsvFormulas::Keep, text);
            let name = if quote == CsvQuote::Necessary {
                "a"
            } else {
                "\"a\""
            };
            let written = write(&csv, "a", *kind, &[*value]).text;
            assert_eq!(
                written,
                format!("{name}\n{expected}\n"),
                "{quote:?} {kind:?}"
            );
        }
    }
}

#[test]
fn texts_that_begin_like_formulas_are_neutralised_on_request() {
    let text = TextOptions {
        invalid_utf8: InvalidUtf8::Replace,
        ..TextOptions::default()
    };
    let escape = csv_with(CsvQuote::Necessary, CsvFormulas::Escape, text);
    let keep = csv_with(CsvQuote::Necessary, CsvFormulas::Keep, text);
    // The first two are the examples of OWASP's page.
    let texts: &[(&str, &str)] = &[
        ("=1+2\";=1+2", "\"'=1+2\"\";=1+2\""),
        ("=1+2'\" ;,=1+2", "\"'=1+2'\"\" ;,=1+2\""),
        ("+1", "\"'+1\""),
        ("-1", "\"'-1\""),
        ("@SUM(A1)", "\"'@SUM(A1)\""),
        ("\t=1", "\"'\t=1\""),
        ("\r=1", "\"'\r=1\""),
        ("\n=1", "\"'\n=1\""),
        ("\0=1", "\"'\0=1\""),
        ("＝1", "\"'＝1\""),
        ("＋1", "\"'＋1\""),
        ("－1", "\"'－1\""),
        ("＠1", "\"'＠1\""),
        ("=", "\"'=\""),
    ];
    for (text, escaped) in texts {
        let value = [Value::Bytes(text.as_bytes())];
        let written = write(&escape, "a", TEXT, &value);
        assert_eq!(written.text, format!("a\n{escaped}\n"));
        assert!(written.warnings[0].starts_with("1 text began like a formula"));
        let kept = write(&keep, "a", TEXT, &value).warnings;
        assert!(kept.iter().all(|warning| !warning.contains("formula")));
        // Names are texts, too.
        let named = write(&escape, text, INT, &[]);
        assert_eq!(named.text, format!("{escaped}\n"));
        assert!(named.warnings[0].starts_with("1 text began like a formula"));
    }
    let unchanged = ["a=1", " =1", "'=1", "｜1", "１", "", "NULL"];
    let values: Vec<Value<'_>> = unchanged
        .iter()
        .map(|text| Value::Bytes(text.as_bytes()))
        .collect();
    let written = write(&escape, "a", TEXT, &values);
    assert_eq!(written.text, write(&keep, "a", TEXT, &values).text);
    assert!(written.warnings.is_empty());
    // Numbers, dates and NULL are no texts.
    let number = [Value::Int(-1), Value::Null];
    assert_eq!(write(&escape, "a", INT, &number).text, "a\n-1\nNULL\n");
    // Text that is not UTF-8, bytes as base64 and bytes as text.
    let lossy = write(
        &escape,
        "a",
        TEXT,
        &[Value::Bytes(b"=\xff"), Value::Bytes(b"-")],
    );
    assert_eq!(lossy.text, "a\n\"'=\u{fffd}\"\n\"'-\"\n");
    assert!(lossy.warnings[0].starts_with("2 texts began like formulas"));
    let bytes = write(
        &escape,
        "a",
        BLOB,
        &[Value::Bytes(&[62 << 2]), Value::Bytes(&[63 << 2])],
    );
    assert_eq!(bytes.text, "a\n\"'+A==\"\n/A==\n");
    let text = TextOptions {
        binary: BinaryEncoding::Utf8,
        ..TextOptions::default()
    };
    let as_text = csv_with(CsvQuote::Necessary, CsvFormulas::Escape, text);
    assert_eq!(
        write(&as_text, "a", BLOB, &[Value::Bytes(b"=1")]).text,
        "a\n\"'=1\"\n"
    );
}
