//! Amazon Redshift: COPY from S3 (Redshift guide, "COPY", "Data conversion
//! parameters", "Loading a column of the VARBYTE data type").

use super::{Limits, Load, LoadTarget, NULL_WORD, SqlType, doubled, lines, plain_csv};
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
        longest_text: Some(65_535),
        ..Limits::NONE
    },
    statement: Some(statement),
};

fn statement(load: &Load<'_>) -> Result<String, String> {
    let csv = load.csv()?;
    plain_csv(csv)?;
    let columns = load.columns(&csv.text);
    load.needs_binary(&csv.text, BinaryEncoding::Hex, "hex")?;
    let names: Vec<String> = columns
        .iter()
        .map(|(column, _)| doubled(&column.name, '"'))
        .collect();
    let types = names.iter().zip(&columns);
    let types = types.map(|(name, (_, sql_type))| format!("{name} {}", type_name(*sql_type)));
    let text = |text: String| doubled(&text, '\'');
    let (delimiter, null) = (text(csv.delimiter.into()), text(csv.null.clone().into()));
    let table = doubled(load.table, '"');
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS {table} {};\n\
         COPY {table} ({}) FROM {} IAM_ROLE default\n\
         FORMAT CSV DELIMITER {delimiter} IGNOREHEADER 1 NULL AS {null} ENCODING UTF8\n\
         DATEFORMAT 'YYYY-MM-DD' TIMEFORMAT 'YYYY-MM-DD HH:MI:SS';\n",
        lines(types),
        names.join(", "),
        text(format!("s3://BUCKET/{}", load.file_name()))
    ))
}

fn type_name(sql_type: SqlType) -> String {
    let name = match sql_type {
        SqlType::Boolean => "BOOLEAN",
        SqlType::Signed(..=16) | SqlType::Unsigned(..=8) => "SMALLINT",
        SqlType::Signed(..=32) | SqlType::Unsigned(..=16) => "INTEGER",
        SqlType::Signed(_) | SqlType::Unsigned(..=32) => "BIGINT",
        SqlType::Unsigned(_) => "DECIMAL(20,0)",
        SqlType::Decimal(digits @ ..=38, decimals) => {
            return format!("DECIMAL({digits},{decimals})");
        }
        SqlType::Float => "REAL",
        SqlType::Double => "DOUBLE PRECISION",
        SqlType::Date => "DATE",
        SqlType::DateTime(_) => "TIMESTAMP",
        SqlType::Instant(_) => "TIMESTAMPTZ",
        SqlType::Bytes => "VARBYTE(1024000)",
        // Its TIME has 24 hours, and its SUPER changes documents.
        SqlType::Decimal(..) | SqlType::Time(_) | SqlType::Json | SqlType::Text => "VARCHAR(65535)",
    };
    name.to_owned()
}
