//! Rows of random values of every type, which readers of others read back from Parquet,
//! Arrow and workbooks. (`src/format/properties.rs` has the same for the texts.)

use mysql::{Value, prelude::Queryable};
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use super::targets::{COLUMNS, compare, create_table, query};
use crate::support::each_server;

const ROWS: i32 = 1_000;

/// The first id: the smaller ones are those of the rows that are always the same.
const FIRST_ID: i32 = 10_000;

/// A column's place in the INSERT statement, and the value that goes there.
type Cell = (&'static str, BoxedStrategy<Value>);

fn cell<T: Into<Value> + std::fmt::Debug + 'static>(
    place: &'static str,
    values: impl Strategy<Value = T> + 'static,
) -> Cell {
    let values = proptest::option::weighted(0.85, values);
    let values = values.prop_map(|value| value.map_or(Value::NULL, Into::into));
    (place, values.boxed())
}

/// What a column of the table `t` may hold.
fn cells(column: &str) -> Cell {
    let bytes = |length: std::ops::RangeInclusive<usize>| vec(any::<u8>(), length);
    // Half of the texts consist mostly of characters that some format must escape.
    let text = || prop_oneof![any::<String>(), "[,\"\r\n\t\\\\\\x00-\\x1fN_x0a ]{0,8}"];
    let decimal = |pattern: &'static str| pattern.prop_map(|text: String| text);
    let name = column.trim_start_matches('`');
    match &name[..name.find([' ', '"']).expect("a name")] {
        "i8" => cell("?", any::<i8>()),
        "u8" => cell("?", any::<u8>()),
        "i16" => cell("?", any::<i16>()),
        "u16" => cell("?", any::<u16>()),
        "i24" => cell("?", -(1_i32 << 23)..1 << 23),
        "u24" => cell("?", 0_u32..1 << 24),
        "i32" => cell("?", any::<i32>()),
        "u32" | "zero" => cell("?", any::<u32>()),
        "i64" => cell("?", any::<i64>()),
        "u64" => cell("?", any::<u64>()),
        "flag" => cell("?", 0_u8..2),
        "bit_1" => cell("? + 0", 0_u8..2),
        "bit_5" => cell("? + 0", 0_u8..32),
        "bit_63" => cell("? + 0", 0_u64..1 << 63),
        "dec_65" => cell("?", decimal("-?[0-9]{1,35}[.][0-9]{0,30}")),
        "dec_10" => cell("?", decimal("-?[0-9]{1,8}[.][0-9]{0,2}")),
        "dec_20" => cell("?", decimal("[0-9]{1,20}")),
        "fl" => cell(
            "?",
            any::<f32>().prop_filter("finite", |number| number.is_finite()),
        ),
        "do" => cell(
            "?",
            any::<f64>().prop_filter("finite", |number| number.is_finite()),
        ),
        "year" => cell("?", 1901_u16..=2155),
        // From the year 1 to the year 9999.
        "da" => cell("FROM_DAYS(?)", 366_u32..3_652_425),
        "dt" => cell(
            "TIMESTAMPADD(MICROSECOND, ?, '1000-01-01')",
            0_u64..284_012_524_800_000_000,
        ),
        "dt_0" => cell(
            "TIMESTAMPADD(SECOND, ?, '1000-01-01')",
            0_u64..284_012_524_800,
        ),
        "ts" => cell("FROM_UNIXTIME(? / 1000)", 1_000_u64..(1 << 31) * 1000),
        "ti" => cell(
            "?",
            spans(any::<u32>().prop_map(|micros| micros % 1_000_000)),
        ),
        "ti_0" => cell("?", spans(Just(0))),
        "text_char" => cell("LEFT(?, 9)", text()),
        "text_enum" => cell("?", 1_u8..=2),
        "text_set" => cell("? + 0", 0_u8..=3),
        "text_latin" => cell("?", "[ -~¡-ÿ€]{0,50}"),
        "bn" => cell("?", bytes(0..=4)),
        "vb" | "bl" => cell("?", bytes(0..=300)),
        "text_json" => cell("JSON_QUOTE(?)", text()),
        "ge" => cell(
            "Point(?, -1.5)",
            any::<f64>().prop_filter("finite", |number| number.is_finite()),
        ),
        "text_plain" | "text_q" => cell("?", text()),
        name => unreachable!("{name} has no values"),
    }
}

/// Values of a TIME column of all hours that it may have.
fn spans(micros: impl Strategy<Value = u32>) -> impl Strategy<Value = Value> {
    (
        any::<bool>(),
        0_u32..34,
        0_u8..24,
        0_u8..60,
        0_u8..60,
        micros,
    )
        .prop_map(|(is_negative, days, hours, minutes, seconds, micros)| {
            Value::Time(is_negative, days, hours, minutes, seconds, micros)
        })
}

#[test]
fn readers_find_random_values_of_every_type() {
    let (places, cells): (Vec<_>, Vec<_>) = COLUMNS[1..].iter().map(|column| cells(column)).unzip();
    each_server(|db| {
        create_table(db);
        let mut runner = TestRunner::new(Config::default());
        let mut conn = db.connect();
        let settings = "SET SESSION sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00'";
        conn.query_drop(settings).expect("settings");
        let rows = (FIRST_ID..FIRST_ID + ROWS).map(|id| {
            let row = cells.new_tree(&mut runner).expect("a row").current();
            let values = std::iter::once(Value::from(id)).chain(row);
            values.collect::<Vec<_>>()
        });
        let insert = format!("INSERT INTO t VALUES (?, {})", places.join(", "));
        conn.exec_batch(insert, rows).expect("the rows");
        let folder = tempfile::tempdir().expect("a folder");
        let readers: [(_, &[&str], _); 5] = [
            ("parquet", &[], "pyarrow"),
            ("parquet", &[], "duckdb-file"),
            ("arrow", &[], "pyarrow"),
            ("arrows", &[], "pyarrow"),
            ("xlsx", &["--binary", "hex"], "openpyxl"),
        ];
        let sql = query("*", &[]);
        for (extension, options, reader) in readers {
            let file = folder.path().join("t").with_extension(extension);
            let run = db.export(&sql).args(["--time-zone", "+00:00"]);
            let run = run.args(options).arg("-o").arg(&file).run();
            run.failed_with_any_length(0, &[]);
            // A mismatch names the id, the column, and both values.
            compare(db, &sql, reader, file.as_os_str(), "", ROWS as u64);
        }
    });
}
