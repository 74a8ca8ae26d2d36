//! Values that some readers would misread: how each format writes them, without a
//! server.

use std::{fs, process::Command};

use gold_digger::{
    format::{BinaryEncoding, Csv, CsvNull, Format, Json, NumberStyle, TextOptions, Tsv},
    row::Value,
    schema::ColumnType,
};

use super::{
    memory::{BLOB, INT, Kind, TEXT, formats, write},
    readers::python,
};

#[test]
fn the_end_of_data_is_quoted_as_a_name_and_refused_as_null() {
    let csv = Csv::default();
    assert_eq!(write(&csv, r"\.", INT, &[]).text, "\"\\.\"\n");
    assert!(r"\.".parse::<CsvNull>().is_err());
}

#[test]
fn nul_is_written_so_that_no_reader_takes_it_for_another_character() {
    // The text, and its form in TSV and in CSV. COPY reads `\0` and the octal digits
    // behind it as one character; LOAD DATA and ClickHouse read NUL itself as it is.
    let tests = [
        ("x\0", "x\\0", "\"x\0\""),
        ("\0y", "\\0y", "\"\0y\""),
        ("x\x008", "x\\08", "\"x\x008\""),
        ("x\x001", "x\x001", "\"x\x001\""),
        ("\0\x007\0", "\\0\x007\\0", "\"\0\x007\0\""),
        ("a\"\0", "a\"\\0", "\"a\"\"\0\""),
    ];
    for (text, tsv, csv) in tests {
        let value = [Value::Bytes(text.as_bytes())];
        for (format, field) in [
            (&Tsv::default() as &dyn Format, tsv),
            (&Csv::default(), csv),
        ] {
            let written = write(format, "a", TEXT, &value);
            assert_eq!(written.text, format!("a\n{field}\n"));
            assert!(
                matches!(&written.warnings[..], [nul] if nul.starts_with("1 text holds NUL, which ")),
                "{text:?} {:?}",
                written.warnings
            );
        }
        let json = write(&Json::default(), "a", TEXT, &value);
        assert!(json.warnings.is_empty());
        let rows: serde_json::Value = serde_json::from_str(&json.text).expect("JSON");
        assert_eq!(rows[0]["a"], text);
    }
    let raw = TextOptions {
        binary: BinaryEncoding::Raw,
        ..TextOptions::default()
    };
    let [_, tsv, _] = formats(raw);
    let written = write(&*tsv, "a", BLOB, &[Value::Bytes(b"\x001\0")]);
    assert_eq!(written.text, "a\n\x001\\0\n");
    assert!(written.warnings.is_empty());
}

#[test]
fn integers_beyond_doubles_are_strings_on_request_whatever_their_type() {
    let scaled = |scale| ColumnType::Decimal {
        scale,
        zerofill: None,
    };
    let decimal = scaled(0);
    let zerofill = ColumnType::Decimal {
        scale: 0,
        zerofill: Some(20),
    };
    let big = |decimal| Json {
        bigint: NumberStyle::String,
        decimal,
        ..Json::default()
    };
    // The type, the server's text, and JSON with --json-bigint string.
    let tests: &[(Kind, &[u8], &str)] = &[
        (
            ("DECIMAL(41,0)", decimal),
            b"9007199254740991",
            "9007199254740991",
        ),
        (
            ("DECIMAL(41,0)", decimal),
            b"9007199254740992",
            "\"9007199254740992\"",
        ),
        (
            ("DECIMAL(41,0)", decimal),
            b"-9007199254740993",
            "\"-9007199254740993\"",
        ),
        (
            ("DECIMAL(20,0) UNSIGNED", decimal),
            b"18446744073709551616",
            "\"18446744073709551616\"",
        ),
        (
            ("DECIMAL(20,0) UNSIGNED ZEROFILL", zerofill),
            b"00000000000000000007",
            "7",
        ),
        (
            ("DECIMAL(20,0) UNSIGNED ZEROFILL", zerofill),
            b"00009007199254740993",
            "\"9007199254740993\"",
        ),
        (
            ("DECIMAL(20,2)", scaled(2)),
            b"9007199254740993.00",
            "9007199254740993.00",
        ),
        (
            ("DECIMAL(30,10)", scaled(10)),
            b"9007199254740993.0000000000",
            "9007199254740993.0000000000",
        ),
        (
            ("BIGINT", INT.1),
            b"9007199254740993",
            "\"9007199254740993\"",
        ),
    ];
    for (kind, text, expected) in tests {
        let value = [Value::Bytes(text)];
        let written = write(&big(NumberStyle::Number), "a", *kind, &value).text;
        assert_eq!(written, format!("[\n{{\"a\":{expected}}}\n]\n"), "{kind:?}");
        // Without it, each is a number; --json-decimal string is for all DECIMAL.
        let written = write(&Json::default(), "a", *kind, &value).text;
        assert_eq!(
            written,
            format!("[\n{{\"a\":{}}}\n]\n", expected.replace('"', ""))
        );
        if kind.0.starts_with("DECIMAL") {
            let written = write(&big(NumberStyle::String), "a", *kind, &value).text;
            assert!(written.contains("\"a\":\""), "{written}");
        }
    }
}

#[test]
fn only_json_that_readers_take_is_embedded() {
    let json = Json {
        columns: vec!["a".to_owned()],
        ..Json::default()
    };
    let good = [
        r#""\ud83d\ude00""#,
        r#""\uD83D\uDE00\ud83d\ude00""#,
        r#""\\ud800""#,
        r#""\u00e4\ud7ff\ue000\n""#,
        r#"{"a":1,"a":2,"\u0061":[null,true,1e400,-0.0]}"#,
        r#""ud800""#,
    ];
    let values: Vec<Value<'_>> = good.map(|text| Value::Bytes(text.as_bytes())).into();
    let written = write(&json, "a", TEXT, &values);
    let rows: Vec<String> = good.map(|text| format!("{{\"a\":{text}}}")).into();
    let expected = format!("[\n{}\n]\n", rows.join(",\n"));
    assert_eq!((written.error, written.text), (None, expected.clone()));
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.json");
    fs::write(&file, expected).expect("a file");
    let script = "import json, sys; print(len(json.load(open(sys.argv[1], encoding='utf-8'))))";
    assert_eq!(python(script, &[file.as_os_str()]), "6\n");
    let jq = Command::new("jq").arg("length").arg(&file).output();
    assert_eq!(jq.expect("jq runs").stdout, b"6\n");

    let lone = [
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\udfff\ud800""#,
        r#""\ud800\ud800\udc00""#,
        r#""\uD83Dx\uDE00""#,
        r#"{"\udbff":1}"#,
        r#"["\\\ud800"]"#,
        r#""\ud83d\n\ude00""#,
    ];
    let invalid = [
        "",
        "nul",
        "01",
        "+1",
        "1.",
        ".5",
        "NaN",
        "Infinity",
        "'a'",
        "{a:1}",
        "[1,]",
        "\"\t\"",
        "\"\0\"",
        r#""\x""#,
        r#""\u12""#,
        "1 2",
        "\u{feff}1",
    ];
    let problems = [
        (&lone[..], "lone surrogate"),
        (&invalid, "is not valid JSON"),
    ];
    for (texts, problem) in problems {
        for text in texts {
            for kind in [TEXT, ("JSON", ColumnType::Json)] {
                let error = write(&json, "a", kind, &[Value::Bytes(text.as_bytes())]).error;
                let error = error.unwrap_or_else(|| panic!("{text} is embedded"));
                assert!(error.problem.contains(problem), "{text}: {}", error.problem);
            }
        }
    }
}
