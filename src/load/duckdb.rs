//! DuckDB: read_csv with the type of every column (DuckDB manual, "CSV Import").

use super::{
    Case, EmptyNames, Existing, Limits, Load, LoadSql, LoadTarget, Longest, NameLines, NameRules,
    Reserved, SqlType, Table, doubled, plain_csv,
};
use crate::format::{BinaryEncoding, Codec};

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "duckdb",
    about: "DuckDB, by read_csv",
    preset: &[
        ("output.format", "csv"),
        ("csv.null", "\\N"),
        ("values.nul", "keep"),
        ("values.binary", "hex"),
        ("values.zero_dates", "null"),
        ("values.booleans", "words"),
        ("session.time_zone", "+00:00"),
    ],
    limits: Limits {
        years: Some((1, 9999)),
        decimal_digits: |digits, _| (digits <= MAX_DIGITS).then_some(digits),
        ..Limits::NONE
    },
    // DuckDB manual, "Keywords and Identifiers".
    names: NameRules {
        case: Case::AsciiIgnored,
        empty: EmptyNames::Refused,
        longest: Longest::Any,
        lines: NameLines::Any,
        reserved: Reserved::None,
    },
    sql: Some(LoadSql { table, statement }),
    codecs: &[Codec::Gzip, Codec::Zstd],
};

/// The most bytes of a line: as many as a server can send in one value. Without it,
/// a line of two megabytes would be an error.
const LONGEST_LINE: u32 = 1 << 30;

/// The most digits of a DECIMAL.
const MAX_DIGITS: u32 = 38;

fn table(load: &Load<'_>) -> Table {
    Table::standard(load, |sql_type| match sql_type {
        SqlType::Bytes => "BLOB".to_owned(),
        SqlType::Instant(_) => "TIMESTAMPTZ".to_owned(),
        other => type_name(other),
    })
}

fn statement(load: &Load<'_>, table: Table) -> Result<String, String> {
    let csv = load.csv()?;
    plain_csv(csv)?;
    load.is_no_pattern(&['*', '?', '['])?;
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for (column, sql_type) in load.columns(&csv.text) {
        let name = doubled(&column.name, '"');
        let (read_as, value) = match sql_type {
            SqlType::Bytes => {
                let decode = match csv.text.binary {
                    BinaryEncoding::Hex => "unhex",
                    BinaryEncoding::Base64 => "from_base64",
                    _ => {
                        return Err(
                            "the statement is known for --binary hex and base64 only".to_owned()
                        );
                    }
                };
                ("VARCHAR".to_owned(), format!("{decode}({name}) AS {name}"))
            }
            SqlType::Instant(_) => {
                let value = format!("CAST({name} || '+00' AS TIMESTAMPTZ) AS {name}");
                ("VARCHAR".to_owned(), value)
            }
            other => (type_name(other), name),
        };
        let name = doubled(&column.name, '\'');
        columns.push(format!("{name}: '{read_as}'"));
        values.push(value);
    }
    let compression = load.compression.map_or("none", Codec::name);
    let text = |text: String| doubled(&text, '\'');
    let (delimiter, null) = (text(csv.delimiter.into()), text(csv.null.clone().into()));
    let columns: Vec<String> = columns.iter().map(|column| format!("  {column}")).collect();
    Ok(format!(
        "{}INSERT INTO {} ({}) SELECT {} FROM read_csv({},\n  \
         auto_detect = false, header = true, delim = {delimiter}, quote = '\"', escape = '\"', \
         nullstr = {null}, allow_quoted_nulls = false, max_line_size = {LONGEST_LINE},\n  \
         hive_partitioning = false, compression = '{compression}', columns = {{\n{}\n}});\n",
        table.create(Existing::Kept),
        table.name,
        table.names.join(", "),
        values.join(", "),
        doubled(&load.path(), '\''),
        columns.join(",\n")
    ))
}

/// Returns the type that `read_csv` reads a column as.
fn type_name(sql_type: SqlType) -> String {
    let name = match sql_type {
        SqlType::Boolean => "BOOLEAN",
        SqlType::Signed(..=8) => "TINYINT",
        SqlType::Signed(..=16) => "SMALLINT",
        SqlType::Signed(..=32) => "INTEGER",
        SqlType::Signed(_) => "BIGINT",
        SqlType::Unsigned(..=8) => "UTINYINT",
        SqlType::Unsigned(..=16) => "USMALLINT",
        SqlType::Unsigned(..=32) => "UINTEGER",
        SqlType::Unsigned(_) => "UBIGINT",
        SqlType::Decimal(digits @ ..=MAX_DIGITS, decimals) => {
            return format!("DECIMAL({digits},{decimals})");
        }
        SqlType::Float => "FLOAT",
        SqlType::Double => "DOUBLE",
        SqlType::Date => "DATE",
        SqlType::DateTime(_) | SqlType::Instant(_) => "TIMESTAMP",
        SqlType::Time(_) => "INTERVAL",
        SqlType::Json => "JSON",
        SqlType::Decimal(..) | SqlType::Text | SqlType::Bytes => "VARCHAR",
    };
    name.to_owned()
}
