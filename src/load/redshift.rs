//! Amazon Redshift: COPY from S3 (Redshift guide, "COPY", "Data conversion
//! parameters", "Loading a column of the VARBYTE data type",
//! "Using a manifest to specify data files", "timezone").

use super::{
    Case, EmptyNames, Existing, Limits, Load, LoadSql, LoadTarget, Longest, NULL_WORD, NameLines,
    NameRules, Reserved, SqlType, Table, doubled, has_instants,
};
use crate::format::BinaryEncoding;

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "redshift",
    about: "Amazon Redshift, by COPY from S3",
    preset: &[
        ("output.format", "csv"),
        ("csv.null", NULL_WORD),
        ("values.binary", "hex"),
        ("values.zero_dates", "null"),
        ("values.booleans", "words"),
        ("session.time_zone", "+00:00"),
    ],
    limits: Limits {
        nul: false,
        quoted_null: false,
        years: Some((1, 9999)),
        longest_text: Some(LONGEST_TEXT),
        longest_bytes: Some(LONGEST_BYTES),
        decimal_digits: |digits, _| (digits <= MAX_DIGITS).then_some(digits),
        ..Limits::NONE
    },
    // Redshift guide, "Names and identifiers".
    names: NameRules {
        case: Case::AsciiIgnored,
        empty: EmptyNames::Refused,
        longest: Longest::Bytes(127),
        lines: NameLines::One,
        reserved: Reserved::None,
    },
    sql: Some(LoadSql { table, statement }),
    codecs: &[],
};

/// The most bytes of a VARCHAR (Redshift guide, "Character types").
const LONGEST_TEXT: usize = 65_535;

/// The most bytes of a VARBYTE that every cluster takes. By now it may have sixteen
/// times as many (Redshift guide, "VARBYTE type"), but COPY takes no row of more than
/// 4 MB ("Data sources"), in which they are hexadecimal.
const LONGEST_BYTES: usize = 1_024_000;

/// The most digits of a DECIMAL (Redshift guide, "Numeric types").
const MAX_DIGITS: u32 = 38;

fn table(load: &Load<'_>) -> Table {
    Table::standard(load, type_name)
}

fn statement(load: &Load<'_>, table: Table) -> Result<String, String> {
    let (csv, columns) = load.plain_csv(BinaryEncoding::Hex, "hex")?;
    let zone = match has_instants(&columns) {
        true => "SET timezone = 'UTC';\n",
        false => "",
    };
    let object = format!("s3://BUCKET/{}", load.file_name());
    let list = format!("{object}.copy.json");
    // JSON has no line ends, which would end the comment.
    let (shown_list, entry) = (
        serde_json::Value::from(list.as_str()),
        serde_json::json!({"entries": [{"url": object, "mandatory": true}]}),
    );
    let text = |text: String| doubled(&text, '\'');
    let (delimiter, null) = (text(csv.delimiter.into()), text(csv.null.clone().into()));
    Ok(format!(
        "-- COPY takes all objects whose names begin with the one it is given, unless that is a\n\
         -- manifest. First put this text at {shown_list}:\n\
         -- {entry}\n\
         {zone}{}\
         COPY {} ({}) FROM {} IAM_ROLE default MANIFEST\n\
         FORMAT CSV DELIMITER {delimiter} IGNOREHEADER 1 NULL AS {null} ENCODING UTF8\n\
         DATEFORMAT 'YYYY-MM-DD' TIMEFORMAT 'YYYY-MM-DD HH:MI:SS';\n",
        table.create(Existing::Kept),
        table.name,
        table.names.join(", "),
        text(list)
    ))
}

fn type_name(sql_type: SqlType) -> String {
    let name = match sql_type {
        SqlType::Boolean => "BOOLEAN",
        SqlType::Signed(..=16) | SqlType::Unsigned(..=8) => "SMALLINT",
        SqlType::Signed(..=32) | SqlType::Unsigned(..=16) => "INTEGER",
        SqlType::Signed(_) | SqlType::Unsigned(..=32) => "BIGINT",
        SqlType::Unsigned(_) => "DECIMAL(20,0)",
        SqlType::Decimal(digits @ ..=MAX_DIGITS, decimals) => {
            return format!("DECIMAL({digits},{decimals})");
        }
        SqlType::Float => "REAL",
        SqlType::Double => "DOUBLE PRECISION",
        SqlType::Date => "DATE",
        SqlType::DateTime(_) => "TIMESTAMP",
        SqlType::Instant(_) => "TIMESTAMPTZ",
        SqlType::Bytes => return format!("VARBYTE({LONGEST_BYTES})"),
        // Its TIME has 24 hours, and its SUPER changes documents.
        SqlType::Decimal(..) | SqlType::Time(_) | SqlType::Json | SqlType::Text => {
            return format!("VARCHAR({LONGEST_TEXT})");
        }
    };
    name.to_owned()
}
