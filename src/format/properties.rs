//! Property tests: for rows of any values, an independent reader, where there is
//! one, reads the same values from the output of each writer.

use std::sync::Arc;

use mysql::consts::ColumnType as WireType;
use mysql_common::row::new_row;
use proptest::{collection::vec, prelude::*};

use super::{
    BinaryEncoding, Csv, CsvQuote, EncodeBuffer, Format, Json, Layout, LineEnding, NumberStyle,
    TextOptions, Tsv, unescape::unescape,
};
use crate::{
    row::Row,
    schema::{Column, ColumnType, FloatLayout, Schema},
};

/// A value of the driver and its exact text, which is `None` for NULL.
type Cell = (mysql::Value, Option<String>);

const FLOATING: FloatLayout = FloatLayout {
    decimals: None,
    zerofill: None,
};

/// Generates a column: its type and a cell for each of `rows` rows.
fn column(rows: usize) -> impl Strategy<Value = (ColumnType, Vec<Cell>)> {
    fn cells(
        column_type: ColumnType,
        rows: usize,
        cell: impl Strategy<Value = (mysql::Value, String)> + 'static,
    ) -> BoxedStrategy<(ColumnType, Vec<Cell>)> {
        let cell = proptest::option::weighted(0.8, cell).prop_map(|cell| match cell {
            Some((value, text)) => (value, Some(text)),
            None => (mysql::Value::NULL, None),
        });
        vec(cell, rows)
            .prop_map(move |cells| (column_type, cells))
            .boxed()
    }
    // Half of the texts consist mostly of characters that formats must escape.
    let text = prop_oneof![any::<String>(), "[,\"\r\n\t\\\\\\x00N a]{0,8}"];
    let text = text.prop_map(|text| (mysql::Value::from(text.as_bytes()), text));
    let bytes = vec(any::<u8>(), 0..12).prop_map(|bytes| {
        let hex = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        (mysql::Value::Bytes(bytes), hex)
    });
    let integer = any::<i64>().prop_map(|number| (mysql::Value::Int(number), number.to_string()));
    let unsigned = any::<u64>().prop_map(|number| (mysql::Value::UInt(number), number.to_string()));
    let decimal = "-?(0|[1-9][0-9]{0,30})\\.[0-9]{1,20}";
    let decimal = decimal.prop_map(|text| (mysql::Value::from(text.as_bytes()), text));
    let double = any::<f64>().prop_filter("servers have finite numbers only", |number| {
        number.is_finite()
    });
    // The text form is tested elsewhere; here only the number must be the same.
    let double = double.prop_map(|number| (mysql::Value::Double(number), format!("{number:?}")));
    let point = (
        0_u16..10000,
        0_u8..13,
        0_u8..32,
        0_u8..24,
        0_u8..60,
        0_u8..60,
        0_u32..1_000_000,
    );
    let date = point.clone().prop_map(|(year, month, day, ..)| {
        let value = mysql::Value::Date(year, month, day, 0, 0, 0, 0);
        (value, format!("{year:04}-{month:02}-{day:02}"))
    });
    let datetime = point.prop_map(|(year, month, day, hour, minute, second, micros)| {
        let value = mysql::Value::Date(year, month, day, hour, minute, second, micros);
        let millis = micros / 1000;
        (
            value,
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{millis:03}"),
        )
    });
    let span = (any::<bool>(), 0_u32..34, 0_u8..24, 0_u8..60, 0_u8..60);
    let span = span.prop_map(|(negative, days, hour, minute, second)| {
        let (sign, hours) = (if negative { "-" } else { "" }, days * 24 + u32::from(hour));
        let value = mysql::Value::Time(negative, days, hour, minute, second, 0);
        (value, format!("{sign}{hours:02}:{minute:02}:{second:02}"))
    });
    let bits = any::<u64>().prop_map(|bits| {
        (
            mysql::Value::Bytes(bits.to_be_bytes().to_vec()),
            bits.to_string(),
        )
    });
    prop_oneof![
        cells(ColumnType::Date, rows, date),
        cells(ColumnType::DateTime { fraction: 3 }, rows, datetime),
        cells(ColumnType::Time { fraction: 0 }, rows, span),
        cells(ColumnType::Bit { width: 64 }, rows, bits),
        cells(ColumnType::Text, rows, text),
        cells(ColumnType::Binary, rows, bytes),
        cells(ColumnType::Integer { zerofill: None }, rows, integer),
        cells(ColumnType::Integer { zerofill: None }, rows, unsigned),
        cells(
            ColumnType::Decimal {
                scale: 2,
                zerofill: None
            },
            rows,
            decimal
        ),
        cells(ColumnType::Double(FLOATING), rows, double),
    ]
}

/// Generates a table of some rows and of two columns or more: in CSV, a row whose
/// only value is NULL is a blank line.
fn table() -> impl Strategy<Value = Vec<(String, ColumnType, Vec<Cell>)>> {
    (0_usize..5).prop_flat_map(|rows| {
        vec((any::<String>(), column(rows)), 2..5).prop_map(|columns| {
            let columns = columns.into_iter().enumerate();
            // The number makes the names unique.
            columns
                .map(|(index, (name, (column_type, cells)))| {
                    (format!("{name}{index}"), column_type, cells)
                })
                .collect()
        })
    })
}

/// Returns the document that `format` writes for `table`.
fn write(format: &dyn Format, table: &[(String, ColumnType, Vec<Cell>)]) -> Vec<u8> {
    let columns = table.iter();
    let columns = columns.map(|(name, column_type, _)| Column::new(name, "", *column_type));
    let schema = Schema {
        columns: columns.collect(),
    };
    let mut writer = format.open(&schema).expect("a writer");
    let wire: Arc<[mysql::Column]> = table
        .iter()
        .map(|_| mysql::Column::new(WireType::MYSQL_TYPE_STRING))
        .collect();
    let mut bytes = Vec::new();
    let mut out = EncodeBuffer::unbounded(&mut bytes);
    writer.start(&mut out).expect("a start");
    for row in 0..table[0].2.len() {
        let values = table
            .iter()
            .map(|(_, _, cells)| cells[row].0.clone())
            .collect();
        let row = new_row(values, Arc::clone(&wire));
        writer.row(Row::from_driver(&row), &mut out).expect("a row");
    }
    writer.finish(&mut out).expect("an end");
    bytes
}

const HEX: TextOptions = TextOptions {
    binary: BinaryEncoding::Hex,
    invalid_utf8: super::InvalidUtf8::Error,
    zero_dates: super::ZeroDates::Keep,
    booleans: super::Booleans::Number,
    nul: super::NulTexts::Warn,
};

fn tsv() -> Tsv {
    Tsv {
        text: HEX,
        ..Tsv::default()
    }
}

/// Returns whether `read` is equal to the expected text of a cell. Doubles are
/// compared as numbers.
fn is_same(column_type: ColumnType, read: &str, expected: &str) -> bool {
    match column_type {
        ColumnType::Double(_) => {
            read.parse::<f64>().ok().map(f64::to_bits) == expected.parse().ok().map(f64::to_bits)
        }
        _ => read == expected,
    }
}

#[test]
fn impossible_values_are_refused() {
    use mysql::Value::{Bytes, Date, Time};
    let column_types = [
        ColumnType::Date,
        ColumnType::DateTime { fraction: 0 },
        ColumnType::Time { fraction: 6 },
        ColumnType::Integer { zerofill: None },
        ColumnType::Double(FLOATING),
    ];
    let impossible = [
        (0, Date(2026, 11, 21, 3, 15, 0, 0)),
        (0, Date(10_000, 1, 1, 0, 0, 0, 0)),
        (1, Date(2026, 13, 1, 0, 0, 0, 0)),
        (1, Date(2026, 1, 32, 0, 0, 0, 0)),
        (1, Date(2026, 1, 1, 24, 0, 0, 0)),
        (1, Date(2026, 1, 1, 0, 60, 0, 0)),
        (1, Date(2026, 1, 1, 0, 0, 60, 0)),
        (1, Date(2026, 1, 1, 0, 0, 0, 1_000_000)),
        (2, Time(false, u32::MAX, 255, 0, 0, 0)),
        (2, Time(true, 0, 0, 60, 0, 0)),
        (2, Time(true, 0, 0, 0, 0, 1_000_000)),
        (0, Bytes(b"".to_vec())),
        (1, Bytes(b"2026-11-21 03:15:".to_vec())),
        (2, Bytes(b"::::".to_vec())),
        (2, Bytes(b"-".to_vec())),
        (3, Bytes(b"".to_vec())),
        (3, Bytes(b"-".to_vec())),
        (3, Bytes(b"1-2".to_vec())),
        (3, Bytes(b"--1".to_vec())),
        (4, Bytes(b"1e5e5".to_vec())),
        (4, Bytes(b"1.2.3".to_vec())),
        (4, Bytes(b"1e".to_vec())),
    ];
    for (column_type, value) in impossible {
        let column = Column::new("a", "", column_types[column_type]);
        let schema = Schema {
            columns: vec![column],
        };
        let wire: Arc<[mysql::Column]> = [mysql::Column::new(WireType::MYSQL_TYPE_STRING)].into();
        let formats: [&dyn Format; 3] = [&Csv::default(), &tsv(), &Json::default()];
        for format in formats {
            let mut writer = format.open(&schema).expect("a writer");
            let row = new_row(vec![value.clone()], Arc::clone(&wire));
            let written = writer.row(
                Row::from_driver(&row),
                &mut EncodeBuffer::unbounded(&mut Vec::new()),
            );
            assert!(written.is_err(), "{} {value:?}", format.name());
        }
    }
}

proptest! {
    #[test]
    fn the_csv_crate_reads_the_same_values(
        table in table(), crlf: bool, named_null: bool, delimiter in "[,;|\t]", quote in 0_usize..3,
    ) {
        let null = if named_null { "NULL" } else { "" };
        let format = Csv {
            text: HEX,
            delimiter: delimiter.parse().expect("a delimiter"),
            quote: [CsvQuote::Necessary, CsvQuote::Text, CsvQuote::Always][quote],
            line_ending: if crlf { LineEnding::Crlf } else { LineEnding::Lf },
            null: null.parse().expect("a plain text"),
            ..Csv::default()
        };
        let bytes = write(&format, &table);
        let mut reader = csv::ReaderBuilder::new()
            .flexible(false)
            .delimiter(delimiter.as_bytes()[0])
            .from_reader(&bytes[..]);
        let header: Vec<String> = reader.headers().expect("a header").iter().map(str::to_owned).collect();
        prop_assert_eq!(header, table.iter().map(|(name, ..)| name.clone()).collect::<Vec<_>>());
        let records: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().expect("records");
        prop_assert_eq!(records.len(), table[0].2.len());
        for (row, record) in records.iter().enumerate() {
            for ((_, column_type, cells), read) in table.iter().zip(record) {
                match &cells[row].1 {
                    Some(text) => prop_assert!(is_same(*column_type, read, text), "{read:?} {text:?}"),
                    None => prop_assert_eq!(read, null),
                }
            }
        }
    }

    #[test]
    fn tsv_fields_have_the_same_values_by_the_rules_of_load_data(table in table()) {
        let text = String::from_utf8(write(&tsv(), &table)).expect("UTF-8");
        let lines: Vec<&str> = text.strip_suffix('\n').expect("a last line").split('\n').collect();
        prop_assert_eq!(lines.len(), 1 + table[0].2.len());
        for (row, line) in lines[1..].iter().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            prop_assert_eq!(fields.len(), table.len());
            for ((_, column_type, cells), field) in table.iter().zip(fields) {
                match (unescape(field), &cells[row].1) {
                    (Some(read), Some(text)) => prop_assert!(is_same(*column_type, &read, text), "{read:?} {text:?}"),
                    (read, expected) => prop_assert_eq!(read, expected.clone()),
                }
            }
        }
    }

    #[test]
    fn serde_json_reads_the_same_values(table in table(), strings: bool, lines: bool) {
        type Object = serde_json::Map<String, serde_json::Value>;
        let style = if strings { NumberStyle::String } else { NumberStyle::Number };
        let layout = if lines { Layout::Lines } else { Layout::Compact };
        let format = Json { text: HEX, layout, bigint: style, decimal: style, ..Json::default() };
        let bytes = write(&format, &table);
        let rows: Vec<Object> = if lines {
            let text = str::from_utf8(&bytes).expect("UTF-8");
            text.split_terminator('\n').map(|line| serde_json::from_str(line).expect("JSON")).collect()
        } else {
            serde_json::from_slice(&bytes).expect("JSON")
        };
        prop_assert_eq!(rows.len(), table[0].2.len());
        for (number, row) in rows.iter().enumerate() {
            prop_assert_eq!(row.len(), table.len());
            for (name, column_type, cells) in &table {
                match (&row[name], &cells[number].1) {
                    (serde_json::Value::Null, expected) => prop_assert_eq!(expected, &None),
                    (serde_json::Value::String(read), Some(text)) => prop_assert_eq!(read, text),
                    (serde_json::Value::Number(read), Some(text)) => {
                        prop_assert!(is_same(*column_type, &read.to_string(), text), "{read} {text}");
                    }
                    (read, expected) => prop_assert!(false, "{read:?} {expected:?}"),
                }
            }
        }
    }
}
