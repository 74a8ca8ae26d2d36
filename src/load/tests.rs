//! Tests the statements of the warehouses, which no test can reach.

use super::*;
use crate::format::Booleans;

fn column(name: &str, server_type: &str, column_type: ColumnType) -> Column {
    Column {
        name: name.to_owned(),
        server_type: server_type.to_owned(),
        column_type,
    }
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
    let decimal = ColumnType::Decimal {
        scale: 2,
        zerofill: None,
    };
    let fraction = 3;
    let columns = || {
        vec![
            column(
                "a",
                "BIGINT UNSIGNED",
                ColumnType::Integer { zerofill: None },
            ),
            column("b", "TINYINT(1)", ColumnType::TinyInt1),
            column("c", "DECIMAL(65,30)", decimal),
            column("d", "DECIMAL(10,2)", decimal),
            column("e", "BLOB", ColumnType::Binary),
            column("f", "DATETIME(3)", ColumnType::DateTime { fraction }),
            column("g", "TIMESTAMP(3)", ColumnType::DateTime { fraction }),
            column("h", "TIME", ColumnType::Time { fraction: 0 }),
            column("i", "JSON", ColumnType::Json),
            column("x';\"`\\", "TEXT", ColumnType::Text),
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
            let columns = names.map(|name| column(name, "TEXT", ColumnType::Text));
            let found = statement(target, columns.to_vec(), "t.csv");
            assert_eq!(found.err(), expected, "{target} {names:?}");
        }
    }
}
