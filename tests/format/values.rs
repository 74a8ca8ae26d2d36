//! Values that some readers would misread: how each format writes them, without a
//! server.

use gold_digger::{
    format::{BinaryEncoding, Csv, CsvNull, Format, Json, TextOptions, Tsv},
    row::Value,
};

use super::memory::{BLOB, INT, TEXT, formats, write};

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
