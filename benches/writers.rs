//! How long writers need for rows, single values and escapes, without a server.

#![allow(missing_docs, clippy::expect_used)]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gold_digger::{
    buffer::RowBuffer,
    format::{FORMATS, FormatOptions, number, temporal},
    row::{DateTime, Row},
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
        column_type: COLUMN_TYPES[index],
    });
    let schema = Schema {
        columns: columns.collect(),
    };

    let mut group = criterion.benchmark_group("writers");
    group.throughput(Throughput::Elements(ROWS as u64));
    for format in FORMATS {
        let open = || (format.open)(&schema, &FormatOptions::default()).expect("a writer");
        group.bench_function(format.name, |bencher| {
            let mut out = RowBuffer::in_memory();
            bencher.iter_batched(
                open,
                |mut writer| {
                    out.bytes.clear();
                    for row in &rows {
                        writer
                            .row(Row::new(row), &mut out)
                            .expect("values that every format carries");
                    }
                    black_box(&out.bytes);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// A single value of a kind, a thousand times over.
fn values(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("values");
    group.throughput(Throughput::Elements(ROWS as u64));
    let mut measure = |name: &str, write: &dyn Fn(usize, &mut Vec<u8>)| {
        group.bench_function(name, |bencher| {
            let mut out = Vec::with_capacity(1 << 20);
            bencher.iter(|| {
                out.clear();
                (0..ROWS).for_each(|index| write(black_box(index), &mut out));
                black_box(&out);
            });
        });
    };
    measure("integer", &|index, out| {
        number::write_integer(index * 7_919_000_017, out)
    });
    measure("double", &|index, out| {
        number::write_double(index as f64 / 7.0, out)
    });
    measure("float", &|index, out| {
        number::write_float(index as f32 / 7.0, out)
    });
    measure("double with decimals", &|index, out| {
        number::write_fixed(index as f64 / 7.0, 2, out)
    });
    let point = |index: usize| DateTime {
        year: 2026,
        month: 1 + (index % 12) as u8,
        day: 1 + (index % 28) as u8,
        hour: 23,
        minute: (index % 60) as u8,
        second: 59,
        micros: index as u32,
    };
    measure("date", &|index, out| {
        temporal::write_date(point(index), out)
    });
    measure("datetime(6)", &|index, out| {
        temporal::write_datetime(point(index), 6, out)
    });
    group.finish();

    // The scanners for what must be quoted or escaped, on a long clean text and
    // on one that is full of it.
    let clean = "the quick brown fox jumps over the lazy dog ".repeat(100);
    let full = "a,\"b\"\t\n\\".repeat(450);
    let mut group = criterion.benchmark_group("escapes");
    let wire: Arc<[mysql::Column]> = Arc::from([mysql::Column::new(WireType::MYSQL_TYPE_STRING)]);
    let column = Column {
        name: "text".to_owned(),
        column_type: ColumnType::Text,
    };
    let schema = Schema {
        columns: vec![column],
    };
    for (kind, text) in [("clean", clean), ("full", full)] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        let row = new_row(vec![Value::from(text)], Arc::clone(&wire));
        for format in FORMATS {
            let mut writer = (format.open)(&schema, &FormatOptions::default()).expect("a writer");
            group.bench_function(format!("{} {kind}", format.name), |bencher| {
                let mut out = RowBuffer::in_memory();
                bencher.iter(|| {
                    out.bytes.clear();
                    writer.row(Row::new(&row), &mut out).expect("text");
                    black_box(&out.bytes);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, writers, values);
criterion_main!(benches);
