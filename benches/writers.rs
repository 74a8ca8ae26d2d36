//! Measures the writers without a server: for rows, for each type, and for texts
//! with and without escapes.

#![allow(missing_docs, clippy::expect_used)]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gold_digger::{
    format::{BuiltIn, EncodeBuffer, FORMATS, RowWriter, TextOptions},
    row::Row,
    schema::{Column, ColumnType, FloatLayout, Schema},
};
use mysql::{Value, consts::ColumnType as WireType};
use mysql_common::row::new_row;

/// The number of rows in each measurement.
const ROWS: usize = 1000;

const FLOATING: FloatLayout = FloatLayout {
    decimals: None,
    zerofill: None,
};

const INTEGER: ColumnType = ColumnType::Integer { zerofill: None };

const COLUMN_TYPES: [ColumnType; 8] = [
    INTEGER,
    INTEGER,
    ColumnType::Decimal {
        scale: 2,
        zerofill: None,
    },
    ColumnType::Double(FLOATING),
    ColumnType::DateTime { fraction: 3 },
    ColumnType::Text,
    ColumnType::Text,
    ColumnType::Text,
];

/// Returns a row with a value for each of [`COLUMN_TYPES`], as the text protocol
/// sends it.
fn row(number: usize, columns: &Arc<[mysql::Column]>) -> mysql::Row {
    let note = match number % 4 {
        0 => Value::NULL,
        1 => Value::from("leave at the door"),
        2 => Value::from("say \"hi\", twice"),
        _ => Value::from("tab\tline\nbackslash\\ Köln 東京"),
    };
    let values = vec![
        Value::from(number.to_string()),
        Value::from("-9223372036854775808"),
        Value::from("12345.67"),
        Value::from("0.14285714285714285"),
        Value::from("2026-02-03 04:05:06.789"),
        Value::from("paid"),
        note,
        Value::from("0123456789abcdef0123456789abcdef"),
    ];
    new_row(values, Arc::clone(columns))
}

/// The columns of the driver; their types do not matter to the writers.
fn wire_columns(count: usize) -> Arc<[mysql::Column]> {
    (0..count)
        .map(|_| mysql::Column::new(WireType::MYSQL_TYPE_STRING))
        .collect()
}

fn column(name: impl Into<String>, column_type: ColumnType) -> Column {
    Column::new(name, "", column_type)
}

/// Creates a writer of `format` with the default options.
fn open(format: &BuiltIn, columns: Vec<Column>) -> Box<dyn RowWriter> {
    let format = (format.with_text)(TextOptions::default());
    let mut writer = format.open(&Schema { columns }).expect("a writer");
    let mut bytes = Vec::new();
    let mut out = EncodeBuffer::unbounded(&mut bytes);
    writer.start(&mut out).expect("a start");
    writer
}

/// Encodes all `rows` into `bytes`, which is emptied first.
fn write(writer: &mut dyn RowWriter, rows: &[mysql::Row], bytes: &mut Vec<u8>) {
    bytes.clear();
    let mut out = EncodeBuffer::unbounded(bytes);
    for row in rows {
        let written = writer.row(Row::from_driver(row), &mut out);
        written.expect("values of the columns' types");
        if writer.is_batch_full() {
            writer.write_batch(&mut out).expect("a batch");
        }
    }
    black_box(bytes);
}

/// Measures rows of eight columns in each format.
fn writers(criterion: &mut Criterion) {
    let wire = wire_columns(COLUMN_TYPES.len());
    let rows: Vec<mysql::Row> = (0..ROWS).map(|number| row(number, &wire)).collect();
    let columns = COLUMN_TYPES.iter().enumerate();
    let columns = columns.map(|(index, &kind)| column(format!("column_{index}"), kind));
    let columns: Vec<Column> = columns.collect();
    let mut group = criterion.benchmark_group("writers");
    group.throughput(Throughput::Elements(ROWS as u64));
    for format in FORMATS {
        group.bench_function(format.name, |bencher| {
            let mut bytes = Vec::new();
            bencher.iter_batched(
                || open(format, columns.clone()),
                |mut writer| write(&mut *writer, &rows, &mut bytes),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Measures a single column of each type in each format, with the typed values of
/// the binary protocol and with the server's text.
fn types(criterion: &mut Criterion) {
    let wire = wire_columns(1);
    let number = |index: usize| index as i64 * 7_919_000_017;
    let real = |index: usize| index as f64 / 7.0;
    let date = |index: usize| {
        (
            1 + (index % 12) as u8,
            1 + (index % 28) as u8,
            (index % 60) as u8,
        )
    };
    let fixed = FloatLayout {
        decimals: Some(2),
        zerofill: None,
    };
    const DATETIME: ColumnType = ColumnType::DateTime { fraction: 6 };
    type Make<'a> = &'a dyn Fn(usize) -> Value;
    let types: [(&str, ColumnType, Make<'_>); 14] = [
        ("integer", INTEGER, &|i| Value::Int(number(i))),
        ("integer as text", INTEGER, &|i| {
            Value::from(number(i).to_string())
        }),
        (
            "decimal",
            ColumnType::Decimal {
                scale: 2,
                zerofill: None,
            },
            &|i| Value::from(format!("{i}.50")),
        ),
        ("double", ColumnType::Double(FLOATING), &|i| {
            Value::Double(real(i))
        }),
        ("double with decimals", ColumnType::Double(fixed), &|i| {
            Value::Double(real(i))
        }),
        ("float", ColumnType::Float(FLOATING), &|i| {
            Value::Float(real(i) as f32)
        }),
        ("date", ColumnType::Date, &|i| {
            let (month, day, _) = date(i);
            Value::Date(2026, month, day, 0, 0, 0, 0)
        }),
        ("datetime(6)", DATETIME, &|i| {
            let (month, day, minute) = date(i);
            Value::Date(2026, month, day, 23, minute, 59, i as u32)
        }),
        ("datetime(6) as text", DATETIME, &|i| {
            Value::from(format!("2026-02-03 04:05:06.{i:06}"))
        }),
        ("time", ColumnType::Time { fraction: 0 }, &|i| {
            Value::Time(false, 1, 2, date(i).2, 4, 0)
        }),
        ("bit", ColumnType::Bit { width: 16 }, &|i| {
            Value::Bytes(i.to_be_bytes().to_vec())
        }),
        ("short text", ColumnType::Text, &|_| Value::from("paid")),
        ("text", ColumnType::Text, &|_| {
            Value::from("leave at the door, please; größere Wörter")
        }),
        ("binary(32)", ColumnType::Binary, &|i| {
            Value::Bytes(vec![i as u8; 32])
        }),
    ];
    for format in FORMATS {
        let mut group = criterion.benchmark_group(format!("{} of", format.name));
        group.throughput(Throughput::Elements(ROWS as u64));
        for (name, column_type, make) in types {
            let rows: Vec<mysql::Row> = (0..ROWS)
                .map(|index| new_row(vec![make(index)], Arc::clone(&wire)))
                .collect();
            let mut writer = open(format, vec![column("value", column_type)]);
            group.bench_function(name, |bencher| {
                let mut bytes = Vec::new();
                bencher.iter(|| write(&mut *writer, &rows, &mut bytes));
            });
        }
        group.finish();
    }
}

/// Measures the search for bytes that must be quoted or escaped, in a long text
/// without such bytes and in one with many.
fn escapes(criterion: &mut Criterion) {
    let clean = "the quick brown fox jumps over the lazy dog ".repeat(100);
    let full = "a,\"b\"\t\n\\".repeat(450);
    let mut group = criterion.benchmark_group("escapes");
    for (kind, text) in [("clean", clean), ("full", full)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let rows = [new_row(vec![Value::from(text)], wire_columns(1))];
        for format in FORMATS {
            let mut writer = open(format, vec![column("value", ColumnType::Text)]);
            group.bench_function(format!("{} {kind}", format.name), |bencher| {
                let mut bytes = Vec::new();
                bencher.iter(|| write(&mut *writer, &rows, &mut bytes));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, writers, types, escapes);
criterion_main!(benches);
