//! How long each format's writer needs for a row, without a server.

#![allow(missing_docs, clippy::expect_used)]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gold_digger::{
    format::{FORMATS, FormatOptions},
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
            let mut out = Vec::with_capacity(1 << 20);
            bencher.iter_batched(
                open,
                |mut writer| {
                    out.clear();
                    for row in &rows {
                        writer
                            .row(Row::new(row), &mut out)
                            .expect("values that every format carries");
                    }
                    black_box(&out);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, writers);
criterion_main!(benches);
