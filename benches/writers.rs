//! How long writers need for rows, for each type and for escapes, without a
//! server.

#![allow(missing_docs, clippy::expect_used)]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gold_digger::{
    format::{BuiltIn, EncodeBuffer, FORMATS, RowWriter},
    row::Row,
    schema::{Column, ColumnType, FloatLayout, Schema},
};
use mysql::{Value, consts::ColumnType as WireType};
use mysql_common::row::new_row;

const ROWS: usize = 1000;

const FLOATING: FloatLayout = FloatLayout {
    decimals: None,
    zerofill: None,
};

const COLUMN_TYPES: [ColumnType; 8] = [
    ColumnType::Integer { zerofill: None },
    ColumnType::Integer { zerofill: None },
    ColumnType::Decimal { zerofill: None },
    ColumnType::Double(FLOATING),
    ColumnType::DateTime { fraction: 3 },
    ColumnType::Text,
    ColumnType::Text,
    ColumnType::Text,
];

/// A row of eight columns as the text protocol brings it.
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

fn writers(criterion: &mut Criterion) {
    let wire: Arc<[mysql::Column]> = (0..8)
        .map(|_| mysql::Column::new(WireType::MYSQL_TYPE_STRING))
        .collect();
    let rows: Vec<mysql::Row> = (0..ROWS).map(|number| row(number, &wire)).collect();
    let columns = (0..8).map(|index| Column {
        name: format!("column_{index}"),
        server_type: String::new(),
        column_type: COLUMN_TYPES[index],
    });
    let schema = Schema {
        columns: columns.collect(),
    };

    let mut group = criterion.benchmark_group("writers");
    group.throughput(Throughput::Elements(ROWS as u64));
    for format in FORMATS {
        let open = || open_writer(format, &schema);
        group.bench_function(format.name, |bencher| {
            let mut bytes = Vec::new();
            bencher.iter_batched(
                open,
                |mut writer| {
                    bytes.clear();
                    let mut out = EncodeBuffer::unbounded(&mut bytes);
                    for row in &rows {
                        writer
                            .row(Row::from_driver(row), &mut out)
                            .expect("values that every format carries");
                    }
                    black_box(&bytes);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// A column of each type alone, in each format: the typed values of the binary
/// protocol, and the server's text for them.
fn types(criterion: &mut Criterion) {
    let wire: Arc<[mysql::Column]> = Arc::from([mysql::Column::new(WireType::MYSQL_TYPE_STRING)]);
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
    type Make<'a> = &'a dyn Fn(usize) -> Value;
    let types: [(&str, ColumnType, Make<'_>); 14] = [
        ("integer", ColumnType::Integer { zerofill: None }, &|i| {
            Value::Int(number(i))
        }),
        (
            "integer as text",
            ColumnType::Integer { zerofill: None },
            &|i| Value::from(number(i).to_string()),
        ),
        ("decimal", ColumnType::Decimal { zerofill: None }, &|i| {
            Value::from(format!("{i}.50"))
        }),
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
        ("datetime(6)", ColumnType::DateTime { fraction: 6 }, &|i| {
            let (month, day, minute) = date(i);
            Value::Date(2026, month, day, 23, minute, 59, i as u32)
        }),
        (
            "datetime(6) as text",
            ColumnType::DateTime { fraction: 6 },
            &|i| Value::from(format!("2026-02-03 04:05:06.{i:06}")),
        ),
        ("time", ColumnType::Time { fraction: 0 }, &|i| {
            Value::Time(false, 1, 2, date(i).2, 4, 0)
        }),
        ("bit", ColumnType::Bit, &|i| {
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
            let mut writer = open(format, column_type);
            group.bench_function(name, |bencher| {
                let mut bytes = Vec::new();
                bencher.iter(|| {
                    bytes.clear();
                    let mut out = EncodeBuffer::unbounded(&mut bytes);
                    for row in &rows {
                        writer
                            .row(Row::from_driver(row), &mut out)
                            .expect("a value of its type");
                    }
                    black_box(&bytes);
                });
            });
        }
        group.finish();
    }
}

/// A writer of one column.
fn open_writer(format: &BuiltIn, schema: &Schema) -> Box<dyn RowWriter> {
    let format = (format.default)();
    format.open(schema).expect("a writer")
}

fn open(format: &BuiltIn, column_type: ColumnType) -> Box<dyn RowWriter> {
    let schema = Schema {
        columns: vec![Column {
            name: "value".to_owned(),
            server_type: String::new(),
            column_type,
        }],
    };
    open_writer(format, &schema)
}

/// The scanners for what must be quoted or escaped, on a long clean text and on
/// one that is full of it.
fn escapes(criterion: &mut Criterion) {
    let clean = "the quick brown fox jumps over the lazy dog ".repeat(100);
    let full = "a,\"b\"\t\n\\".repeat(450);
    let mut group = criterion.benchmark_group("escapes");
    let wire: Arc<[mysql::Column]> = Arc::from([mysql::Column::new(WireType::MYSQL_TYPE_STRING)]);
    for (kind, text) in [("clean", clean), ("full", full)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let row = new_row(vec![Value::from(text)], Arc::clone(&wire));
        for format in FORMATS {
            let mut writer = open(format, ColumnType::Text);
            group.bench_function(format!("{} {kind}", format.name), |bencher| {
                let mut bytes = Vec::new();
                bencher.iter(|| {
                    bytes.clear();
                    let mut out = EncodeBuffer::unbounded(&mut bytes);
                    writer.row(Row::from_driver(&row), &mut out).expect("text");
                    black_box(&bytes);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, writers, types, escapes);
criterion_main!(benches);
