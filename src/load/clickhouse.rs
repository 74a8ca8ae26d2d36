//! ClickHouse: INSERT … FROM INFILE of its clients (ClickHouse manual, "INSERT
//! INTO Statement" and "TabSeparated").

use super::{
    Case, EmptyNames, Existing, Limits, Load, LoadSql, LoadTarget, Longest, NameLines, NameRules,
    Reserved, Spelling, SqlType, Table, backslashed,
};
use crate::{
    format::{BinaryEncoding, Codec, Header},
    schema::Nullability,
};

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "clickhouse",
    about: "ClickHouse, by INSERT … FROM INFILE of its client",
    preset: &[
        ("output.format", "tsv"),
        ("values.nul", "keep"),
        ("values.binary", "raw"),
        ("values.zero_dates", "null"),
        ("values.booleans", "words"),
        ("session.time_zone", "+00:00"),
    ],
    // Date32 and DateTime64 end there, and take the nearest value in the place of
    // one beyond.
    limits: Limits {
        years: Some((1900, 2299)),
        decimal_digits: |digits, _| Some(digits),
        ..Limits::NONE
    },
    names: NameRules {
        case: Case::Differs,
        empty: EmptyNames::Refused,
        longest: Longest::Any,
        lines: NameLines::Any,
        reserved: Reserved::None,
    },
    sql: Some(LoadSql { table, statement }),
    codecs: &[Codec::Gzip, Codec::Zstd, Codec::Lz4],
};

/// What holds for every file: NULL is no default value, numbers keep all their
/// bits, and a column that the table lacks is an error.
const SETTINGS: &str = "input_format_null_as_default = 0, precise_float_parsing = 1, \
                        input_format_skip_unknown_fields = 0, input_format_tsv_empty_as_default = 0, \
                        input_format_allow_errors_num = 0, input_format_allow_errors_ratio = 0";

fn table(load: &Load<'_>) -> Table {
    let spelling = Spelling {
        quoted: backslashed,
        quote: '`',
        declare: &|_, sql_type, nullability| match nullability {
            Nullability::NotNull => type_name(sql_type),
            _ => format!("Nullable({})", type_name(sql_type)),
        },
        end: " ENGINE = MergeTree ORDER BY tuple()",
    };
    Table::new(load, backslashed(load.table, '`'), &spelling)
}

fn statement(load: &Load<'_>, table: Table) -> Result<String, String> {
    let tsv = load.tsv()?;
    load.needs_binary(&tsv.text, BinaryEncoding::Raw, "raw")?;
    load.is_no_pattern(&['*', '?', '{', '}'])?;
    load.needs_instants()?;
    let format = match tsv.header {
        Header::Names => "TabSeparatedWithNames",
        Header::None => "TabSeparated",
    };
    let compression = load.compression.map_or("none", Codec::name);
    Ok(format!(
        "{}INSERT INTO {} ({}) FROM INFILE {} COMPRESSION '{compression}'\n\
         SETTINGS {SETTINGS} FORMAT {format};\n",
        table.create(Existing::Kept),
        table.name,
        table.names.join(", "),
        backslashed(load.file, '\'')
    ))
}

fn type_name(sql_type: SqlType) -> String {
    match sql_type {
        SqlType::Boolean => "Bool".to_owned(),
        SqlType::Signed(..=8) => "Int8".to_owned(),
        SqlType::Signed(..=16) => "Int16".to_owned(),
        SqlType::Signed(..=32) => "Int32".to_owned(),
        SqlType::Signed(_) => "Int64".to_owned(),
        SqlType::Unsigned(bits) => format!("UInt{bits}"),
        SqlType::Decimal(digits, decimals) => format!("Decimal({digits}, {decimals})"),
        SqlType::Float => "Float32".to_owned(),
        SqlType::Double => "Float64".to_owned(),
        SqlType::Date => "Date32".to_owned(),
        SqlType::DateTime(fraction) | SqlType::Instant(fraction) => {
            format!("DateTime64({fraction}, 'UTC')")
        }
        // Its type Time64 is too new, and its JSON changes documents.
        SqlType::Time(_) | SqlType::Json | SqlType::Text | SqlType::Bytes => "String".to_owned(),
    }
}
