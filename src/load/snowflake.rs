//! Snowflake: PUT and COPY INTO (Snowflake manual, "PUT", "COPY INTO table", "Format
//! type options").

use super::{
    Case, EmptyNames, Existing, Limits, Load, LoadSql, LoadTarget, Longest, NULL_WORD, NameLines,
    NameRules, Reserved, SqlType, Table, backslashed,
};
use crate::format::BinaryEncoding;

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "snowflake",
    about: "Snowflake, by PUT and COPY INTO",
    preset: &[
        ("output.format", "csv"),
        ("csv.null", NULL_WORD),
        ("values.nul", "keep"),
        ("values.binary", "hex"),
        ("values.zero_dates", "null"),
        ("values.booleans", "words"),
        ("session.time_zone", "+00:00"),
    ],
    limits: Limits {
        quoted_null: false,
        years: Some((1, 9999)),
        decimal_digits: |digits, _| (digits <= MAX_DIGITS).then_some(digits),
        ..Limits::NONE
    },
    // Snowflake manual, "Identifier requirements".
    names: NameRules {
        case: Case::Differs,
        empty: EmptyNames::Refused,
        longest: Longest::Characters(255),
        lines: NameLines::One,
        reserved: Reserved::None,
    },
    sql: Some(LoadSql { table, statement }),
    codecs: &[],
};

/// The most digits of a NUMBER (Snowflake manual, "Numeric data types").
const MAX_DIGITS: u32 = 38;

fn table(load: &Load<'_>) -> Table {
    Table::standard(load, type_name)
}

fn statement(load: &Load<'_>, table: Table) -> Result<String, String> {
    let (csv, _) = load.plain_csv(BinaryEncoding::Hex, "hex")?;
    load.is_no_pattern(&['*', '?'])?;
    let text = |text: String| backslashed(&text, '\'');
    let (delimiter, null) = (text(csv.delimiter.into()), text(csv.null.clone().into()));
    let (name, create) = (&table.name, table.create(Existing::Kept));
    let stage = backslashed(&format!("@%{name}"), '\'');
    Ok(format!(
        "ALTER SESSION SET TIMEZONE = 'UTC';\n\
         {create}\
         PUT {} {stage} OVERWRITE = TRUE;\n\
         COPY INTO {name} FROM {stage} FILES = ({}) ON_ERROR = ABORT_STATEMENT FILE_FORMAT = (\n  \
         TYPE = CSV SKIP_HEADER = 1 FIELD_DELIMITER = {delimiter} RECORD_DELIMITER = '\\n' FIELD_OPTIONALLY_ENCLOSED_BY = '\"'\n  \
         ESCAPE = NONE ESCAPE_UNENCLOSED_FIELD = NONE NULL_IF = ({null}) EMPTY_FIELD_AS_NULL = FALSE\n  \
         TRIM_SPACE = FALSE BINARY_FORMAT = HEX ENCODING = 'UTF8' DATE_FORMAT = 'YYYY-MM-DD'\n  \
         TIMESTAMP_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF'\n);\n",
        text(format!("file://{}", load.file)),
        text(format!("{}.gz", load.file_name()))
    ))
}

fn type_name(sql_type: SqlType) -> String {
    let name = match sql_type {
        SqlType::Boolean => "BOOLEAN",
        SqlType::Signed(_) | SqlType::Unsigned(_) => "NUMBER(38, 0)",
        SqlType::Decimal(digits @ ..=MAX_DIGITS, decimals) => {
            return format!("NUMBER({digits}, {decimals})");
        }
        SqlType::Float | SqlType::Double => "FLOAT",
        SqlType::Date => "DATE",
        SqlType::DateTime(fraction) => return format!("TIMESTAMP_NTZ({fraction})"),
        SqlType::Instant(fraction) => return format!("TIMESTAMP_LTZ({fraction})"),
        SqlType::Bytes => "BINARY",
        // Its TIME has 24 hours, and its VARIANT changes documents.
        SqlType::Decimal(..) | SqlType::Time(_) | SqlType::Json | SqlType::Text => "VARCHAR",
    };
    name.to_owned()
}
