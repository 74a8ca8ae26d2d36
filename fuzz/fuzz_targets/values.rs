//! Fuzzes rows of any values with columns of any types. Asserts that each format
//! either refuses a value with an error, or writes a document from which an
//! independent reader reads as many rows and columns, and the same texts.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use gold_digger::{
    format::{
        BinaryEncoding, Booleans, Csv, CsvQuote, EncodeBuffer, Format, InvalidUtf8, Json,
        LineEnding, NulTexts, NumberStyle, TextOptions, Tsv, ZeroDates,
    },
    row::Row,
    schema::{Column, ColumnType, FloatLayout, Schema},
};
use libfuzzer_sys::fuzz_target;
use mysql::{Value, consts::ColumnType as WireType};
use mysql_common::row::new_row;
use unescape::unescape;

#[path = "../../src/format/unescape.rs"]
mod unescape;

#[derive(Arbitrary, Debug)]
struct Input {
    columns: Vec<Kind>,
    rows: Vec<Vec<Cell>>,
    crlf: bool,
    quote_all: bool,
    replace: bool,
    strings: bool,
    zero_dates: bool,
    binary: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Text,
    Json,
    Binary,
    Integer(Option<u8>),
    TinyInt1,
    Decimal(Option<u8>),
    Float(Option<u8>),
    Double(Option<u8>, Option<u8>),
    Bit,
    Date,
    DateTime(u8),
    Time(u8),
}

impl Kind {
    fn column_type(self) -> ColumnType {
        let width = |width: Option<u8>| width.map(usize::from);
        // The metadata can declare 0 to 30 decimals.
        let decimals = |decimals: Option<u8>| decimals.map(|decimals| usize::from(decimals % 31));
        match self {
            Self::Text => ColumnType::Text,
            Self::Json => ColumnType::Json,
            Self::Binary => ColumnType::Binary,
            Self::Integer(zerofill) => ColumnType::Integer {
                zerofill: width(zerofill),
            },
            Self::TinyInt1 => ColumnType::TinyInt1,
            Self::Decimal(zerofill) => ColumnType::Decimal {
                scale: 0,
                zerofill: width(zerofill),
            },
            Self::Float(declared) => ColumnType::Float(FloatLayout {
                decimals: decimals(declared),
                zerofill: None,
            }),
            Self::Double(declared, zerofill) => ColumnType::Double(FloatLayout {
                decimals: decimals(declared),
                zerofill: width(zerofill),
            }),
            Self::Bit => ColumnType::Bit { width: 64 },
            Self::Date => ColumnType::Date,
            Self::DateTime(fraction) => ColumnType::DateTime {
                fraction: usize::from(fraction % 7),
            },
            Self::Time(fraction) => ColumnType::Time {
                fraction: usize::from(fraction % 7),
            },
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
enum Cell {
    Null,
    Bytes(Vec<u8>),
    Text(String),
    Int(i64),
    UInt(u64),
    Float(f32),
    Double(f64),
    Date(u16, u8, u8, u8, u8, u8, u32),
    Time(bool, u32, u8, u8, u8, u32),
}

impl Cell {
    fn value(&self) -> Value {
        match self.clone() {
            Self::Null => Value::NULL,
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Text(text) => Value::Bytes(text.into()),
            Self::Int(number) => Value::Int(number),
            Self::UInt(number) => Value::UInt(number),
            Self::Float(number) => Value::Float(number),
            Self::Double(number) => Value::Double(number),
            Self::Date(year, month, day, hour, minute, second, micros) => {
                Value::Date(year, month, day, hour, minute, second, micros)
            }
            Self::Time(negative, days, hours, minutes, seconds, micros) => {
                Value::Time(negative, days, hours, minutes, seconds, micros)
            }
        }
    }
}

/// Returns each format with the options of `input`.
fn formats(input: &Input) -> [Box<dyn Format>; 3] {
    let encodings = [
        BinaryEncoding::Base64,
        BinaryEncoding::Hex,
        BinaryEncoding::Utf8,
    ];
    let text = TextOptions {
        binary: encodings[usize::from(input.binary) % encodings.len()],
        invalid_utf8: if input.replace {
            InvalidUtf8::Replace
        } else {
            InvalidUtf8::Error
        },
        zero_dates: if input.zero_dates {
            ZeroDates::Null
        } else {
            ZeroDates::Keep
        },
        booleans: Booleans::Number,
        nul: NulTexts::Warn,
    };
    let number = if input.strings {
        NumberStyle::String
    } else {
        NumberStyle::Number
    };
    let csv = Csv {
        text,
        line_ending: if input.crlf {
            LineEnding::Crlf
        } else {
            LineEnding::Lf
        },
        quote: if input.quote_all {
            CsvQuote::Always
        } else {
            CsvQuote::Necessary
        },
        // With the default, the NULL of a single column is a blank line, which
        // readers skip.
        null: "NULL".parse().expect("a plain text"),
        ..Csv::default()
    };
    let tsv = Tsv {
        text,
        ..Tsv::default()
    };
    let json = Json {
        text,
        bigint: number,
        decimal: number,
        ..Json::default()
    };
    [Box::new(csv), Box::new(tsv), Box::new(json)]
}

fuzz_target!(|input: Input| {
    if input.columns.is_empty() {
        return;
    }
    let columns = input.columns.iter().enumerate();
    let schema = Schema {
        columns: columns
            .map(|(index, kind)| Column::new(format!("c{index}"), "", kind.column_type()))
            .collect(),
    };
    let width = input.columns.len();
    let wire: Arc<[mysql::Column]> = input
        .columns
        .iter()
        .map(|_| mysql::Column::new(WireType::MYSQL_TYPE_STRING))
        .collect();
    for format in formats(&input) {
        let Ok(mut writer) = format.open(&schema) else {
            continue;
        };
        let mut bytes = Vec::new();
        let mut out = EncodeBuffer::unbounded(&mut bytes);
        writer.start(&mut out).expect("a start");
        let mut texts: Vec<Vec<Option<String>>> = Vec::new();
        for cells in &input.rows {
            let cell = |index: usize| cells.get(index).unwrap_or(&Cell::Null);
            let values = (0..width).map(|index| cell(index).value()).collect();
            let row = new_row(values, Arc::clone(&wire));
            if writer.row(Row::from_driver(&row), &mut out).is_err() {
                // A run ends at a value that the format refuses.
                return;
            }
            let text = |index: usize| match (input.columns[index], cell(index).value()) {
                (Kind::Text, Value::Bytes(bytes)) => String::from_utf8(bytes).ok(),
                _ => None,
            };
            texts.push((0..width).map(text).collect());
        }
        writer.finish(&mut out).expect("an end");
        let (name, read) = (format.name(), read(format.name(), &bytes, width));
        assert_eq!(read.len(), texts.len(), "{name}: rows");
        for (read, texts) in read.iter().zip(&texts) {
            assert_eq!(read.len(), width, "{name}: columns");
            for (read, text) in read.iter().zip(texts) {
                if let Some(text) = text {
                    assert_eq!(read, text, "{name}");
                }
            }
        }
    }
});

/// Reads the rows of the document `bytes`, without the header.
fn read(format: &str, bytes: &[u8], width: usize) -> Vec<Vec<String>> {
    match format {
        "csv" => {
            let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(bytes);
            let record = |record: Result<csv::StringRecord, csv::Error>| {
                record
                    .expect("a record")
                    .iter()
                    .map(str::to_owned)
                    .collect()
            };
            reader.records().map(record).collect()
        }
        "tsv" => {
            let document = std::str::from_utf8(bytes).expect("UTF-8");
            let text = |field| unescape(field).unwrap_or_default();
            let lines = document
                .strip_suffix('\n')
                .expect("a last line")
                .split('\n')
                .skip(1);
            lines
                .map(|line| line.split('\t').map(text).collect())
                .collect()
        }
        _ => {
            let rows: Vec<serde_json::Map<String, serde_json::Value>> =
                serde_json::from_slice(bytes).expect("JSON");
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let row = |row: &serde_json::Map<String, serde_json::Value>| {
                (0..width)
                    .map(|index| text(&row[&format!("c{index}")]))
                    .collect()
            };
            rows.iter().map(row).collect()
        }
    }
}
