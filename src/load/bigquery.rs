//! BigQuery: LOAD DATA from Cloud Storage (BigQuery manual, "Load statements",
//! "Loading CSV data from Cloud Storage").

use super::{
    Case, EmptyNames, Limits, Load, LoadSql, LoadTarget, Longest, NULL_WORD, NameLines, NameRules,
    Reserved, Spelling, SqlType, Table, backslashed, lines,
};
use crate::format::BinaryEncoding;

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "bigquery",
    about: "BigQuery, by LOAD DATA from Cloud Storage",
    preset: &[
        ("output.format", "csv"),
        ("csv.null", NULL_WORD),
        ("values.nul", "keep"),
        ("values.binary", "base64"),
        ("values.zero_dates", "null"),
        ("values.booleans", "words"),
        ("session.time_zone", "+00:00"),
    ],
    limits: Limits {
        quoted_null: false,
        years: Some((1, 9999)),
        decimal_digits: |digits, decimals| {
            let name = type_name(SqlType::Decimal(digits, decimals));
            (name != TEXT).then_some(digits)
        },
        ..Limits::NONE
    },
    // BigQuery manual, "Specifying a schema", "Column names".
    names: NameRules {
        case: Case::Ignored,
        empty: EmptyNames::Refused,
        longest: Longest::Characters(300),
        lines: NameLines::One,
        reserved: Reserved::None,
    },
    sql: Some(LoadSql { table, statement }),
    codecs: &[],
};

/// Its columns may all be NULL: the list of columns in LOAD DATA, which has no modes, must
/// agree with the table.
fn table(load: &Load<'_>) -> Table {
    let spelling = Spelling {
        quoted: backslashed,
        quote: '`',
        declare: &|_, sql_type, _| type_name(sql_type),
        end: "",
    };
    Table::new(
        load,
        backslashed(&format!("DATASET.{}", load.table), '`'),
        &spelling,
    )
}

fn statement(load: &Load<'_>, table: Table) -> Result<String, String> {
    let (csv, _) = load.plain_csv(BinaryEncoding::Base64, "base64")?;
    load.is_no_pattern(&['*'])?;
    let text = |text: String| backslashed(&text, '\'');
    let (delimiter, null) = (text(csv.delimiter.into()), text(csv.null.clone().into()));
    Ok(format!(
        "LOAD DATA INTO {} {} FROM FILES (\n  \
         format = 'CSV', uris = [{}], skip_leading_rows = 1, field_delimiter = {delimiter},\n  \
         null_marker = {null}, allow_quoted_newlines = true, preserve_ascii_control_characters = true,\n  \
         time_zone = 'UTC'\n);\n",
        table.name,
        lines(table.columns),
        text(format!("gs://BUCKET/{}", load.file_name()))
    ))
}

/// The type of texts.
const TEXT: &str = "STRING";

fn type_name(sql_type: SqlType) -> String {
    let name = match sql_type {
        SqlType::Boolean => "BOOL",
        SqlType::Unsigned(64) => "NUMERIC(20)",
        SqlType::Signed(_) | SqlType::Unsigned(_) => "INT64",
        SqlType::Decimal(digits, decimals @ ..=9) if digits - decimals.min(digits) <= 29 => {
            return format!("NUMERIC({digits}, {decimals})");
        }
        SqlType::Decimal(digits, decimals @ ..=38) if digits - decimals.min(digits) <= 38 => {
            return format!("BIGNUMERIC({digits}, {decimals})");
        }
        SqlType::Float | SqlType::Double => "FLOAT64",
        SqlType::Date => "DATE",
        SqlType::DateTime(_) => "DATETIME",
        SqlType::Instant(_) => "TIMESTAMP",
        SqlType::Bytes => "BYTES",
        // Its TIME has 24 hours, and its JSON rounds numbers.
        SqlType::Decimal(..) | SqlType::Time(_) | SqlType::Json | SqlType::Text => TEXT,
    };
    name.to_owned()
}
