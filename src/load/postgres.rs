//! PostgreSQL: COPY in its text format (PostgreSQL manual, "COPY", "File
//! Formats"). Its CSV format would be exact too, but psql before version 18 takes
//! a line `\.` within a quoted value for the end.

use super::{
    Case, EmptyNames, Existing, Limits, Load, LoadSql, LoadTarget, Longest, NameLines, NameRules,
    Reserved, SqlType, Table, doubled, has_instants,
};
use crate::format::{BinaryEncoding, Header};

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "postgres",
    about: "PostgreSQL 15 or later, by \\copy of psql",
    preset: &[
        ("output.format", "tsv"),
        ("values.binary", "postgres"),
        ("values.zero_dates", "null"),
        ("values.booleans", "words"),
        ("session.time_zone", "+00:00"),
    ],
    limits: Limits {
        nul: false,
        years: Some((1, 9999)),
        decimal_digits: |digits, _| Some(digits),
        ..Limits::NONE
    },
    // PostgreSQL manual, "Identifiers and Key Words": it cuts a longer name, and then the
    // header differs from it.
    names: NameRules {
        case: Case::Differs,
        empty: EmptyNames::Refused,
        longest: Longest::Bytes(63),
        lines: NameLines::Any,
        reserved: Reserved::Columns(&["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"]),
    },
    sql: Some(LoadSql { table, statement }),
    codecs: &[],
};

fn table(load: &Load<'_>) -> Table {
    Table::standard(load, type_name)
}

fn statement(load: &Load<'_>, table: Table) -> Result<String, String> {
    let tsv = load.tsv()?;
    let columns = load.columns(&tsv.text);
    load.needs_binary(&tsv.text, BinaryEncoding::Postgres, "postgres")?;
    // A command of psql is one line.
    let mut texts = columns.iter().map(|(column, _)| column.name.as_str());
    let is_broken = |text: &str| text.contains(['\n', '\r', '\0']);
    if let Some(text) = [load.table, load.file]
        .into_iter()
        .chain(&mut texts)
        .find(|text| is_broken(text))
    {
        return Err(format!(
            "{text:?} has a line end, and \\copy is one line; give it another name"
        ));
    }
    let zone = match has_instants(&columns) {
        true => "SET timezone = 'UTC';\n",
        false => "",
    };
    let header = match tsv.header {
        Header::Names => ", HEADER match",
        Header::None => "",
    };
    Ok(format!(
        "{zone}{}\\copy {} ({}) FROM {} WITH (FORMAT text, ENCODING 'UTF8'{header})\n",
        table.create(Existing::Kept),
        table.name,
        table.names.join(", "),
        doubled(&load.path(), '\'')
    ))
}

fn type_name(sql_type: SqlType) -> String {
    match sql_type {
        SqlType::Boolean => "boolean".to_owned(),
        SqlType::Signed(..=16) | SqlType::Unsigned(..=8) => "smallint".to_owned(),
        SqlType::Signed(..=32) | SqlType::Unsigned(..=16) => "integer".to_owned(),
        SqlType::Signed(_) | SqlType::Unsigned(..=32) => "bigint".to_owned(),
        SqlType::Unsigned(_) => "numeric(20)".to_owned(),
        SqlType::Decimal(digits, decimals) => format!("numeric({digits},{decimals})"),
        SqlType::Float => "real".to_owned(),
        SqlType::Double => "double precision".to_owned(),
        SqlType::Date => "date".to_owned(),
        SqlType::DateTime(fraction) => format!("timestamp({fraction})"),
        SqlType::Instant(fraction) => format!("timestamptz({fraction})"),
        // A TIME goes beyond the 24 hours of PostgreSQL's, and below zero.
        SqlType::Time(fraction) => format!("interval({fraction})"),
        // jsonb would change numbers and the order of members.
        SqlType::Json => "json".to_owned(),
        SqlType::Text => "text".to_owned(),
        SqlType::Bytes => "bytea".to_owned(),
    }
}
