//! Tests the statements of the warehouses, which no test can reach.

use super::*;
use crate::{
    format::Booleans,
    schema::{BaseType, Metadata, Sign},
};

/// Returns a column whose metadata are the widest ones with a `change`.
fn changed(name: &str, column_type: ColumnType, change: impl FnOnce(&mut Metadata)) -> Column {
    let mut column = Column::new(name, "", column_type);
    change(&mut column.metadata);
    column
}

/// Returns the statement for a table that is called `t`.
fn statement(target: &str, columns: Vec<Column>, file: &str) -> Result<String, String> {
    let target = LoadTarget::named(target).expect("a target");
    let binary = target.preset_value("values.binary").expect("an encoding");
    let text = TextOptions {
        binary: serde_json::from_value(binary.into()).expect("an encoding"),
        booleans: Booleans::Words,
        ..TextOptions::default()
    };
    let null = target.preset_value("csv.null").unwrap_or_default();
    let csv = Csv {
        text,
        null: null.parse().expect("a text"),
        ..Csv::default()
    };
    let tsv = Tsv {
        text,
        ..Tsv::default()
    };
    let format: &dyn Format = match target.preset_value("output.format") {
        Some("csv") => &csv,
        _ => &tsv,
    };
    target.statement(&Load {
        schema: &Schema { columns },
        table: "t",
        file,
        format,
        compression: None,
        time_zone: Some(UTC),
    })
}

#[test]
fn warehouses_get_the_statements_of_their_manuals() {
    let decimal = |scale| ColumnType::Decimal {
        scale,
        zerofill: None,
    };
    let integer = ColumnType::Integer { zerofill: None };
    let time = ColumnType::DateTime { fraction: 3 };
    let columns = || {
        vec![
            changed("a", integer, |column| column.sign = Sign::Unsigned),
            Column::new("b", "TINYINT(1)", ColumnType::TinyInt1),
            changed("c", decimal(30), |column| column.precision = Some(65)),
            changed("d", decimal(2), |column| column.precision = Some(10)),
            Column::new("e", "BLOB", ColumnType::Binary),
            Column::new("f", "DATETIME(3)", time),
            changed("g", time, |column| column.base = BaseType::Timestamp),
            Column::new("h", "TIME", ColumnType::Time { fraction: 0 }),
            Column::new("i", "JSON", ColumnType::Json),
            Column::new("x';\"`\\", "TEXT", ColumnType::Text),
        ]
    };
    let found = |target| statement(target, columns(), "/data/t'.csv").expect("a statement");
    insta::assert_snapshot!(["bigquery", "snowflake", "redshift"].map(found).join("\n"));
}

#[test]
fn names_that_a_table_cannot_have_are_refused() {
    let long = "x".repeat(301);
    let alike = |a, b| {
        Some(format!(
            "{a:?} and {b:?}, columns 1 and 2, are one name for the target"
        ))
    };
    let empty = || Some("column 1 has an empty name".to_owned());
    let longer = |limit| {
        Some(format!(
            "the name of column 1 is longer than {limit}: {long:?}"
        ))
    };
    #[rustfmt::skip]
    let cases = [
        ("mysql", empty(), alike("a", "A"), alike("\u{e4}", "\u{c4}"), longer("64 characters")),
        ("postgres", empty(), None, None, longer("63 bytes")),
        ("clickhouse", empty(), None, None, None),
        ("duckdb", empty(), alike("a", "A"), None, None),
        ("sqlite", None, alike("a", "A"), None, None),
        ("bigquery", empty(), alike("a", "A"), alike("\u{e4}", "\u{c4}"), longer("300 characters")),
        ("snowflake", empty(), None, None, longer("255 characters")),
        ("redshift", empty(), alike("a", "A"), None, longer("127 bytes")),
    ];
    for (target, empty, ascii, other, long_name) in cases {
        for (names, expected) in [
            (["", "b"], empty),
            (["a", "A"], ascii),
            (["\u{e4}", "\u{c4}"], other),
            ([long.as_str(), "b"], long_name),
            (
                ["a", "a"],
                Some("columns 1 and 2 are both called \"a\"".to_owned()),
            ),
            (["a", "b"], None),
        ] {
            let columns = names.map(|name| Column::new(name, "TEXT", ColumnType::Text));
            let found = statement(target, columns.to_vec(), "t.csv");
            assert_eq!(found.err(), expected, "{target} {names:?}");
        }
    }
}
