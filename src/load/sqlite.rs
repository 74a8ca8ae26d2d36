//! SQLite: `.import` of its command line shell (SQLite manual, "Command Line
//! Shell"). It reads every value as text and knows no NULL, so the file goes into
//! a table for the time of the load, with a text for NULL that is not in the data.

use super::{
    Case, EmptyNames, Existing, Limits, Load, LoadSql, LoadTarget, Longest, NameLines, NameRules,
    Reserved, SqlType, Table, backslashed, doubled,
};
use crate::format::BinaryEncoding;

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "sqlite",
    about: "SQLite, by .import of sqlite3",
    preset: &[
        ("output.format", "csv"),
        ("csv.null", NULL),
        ("values.binary", "hex"),
        ("session.time_zone", "+00:00"),
    ],
    limits: Limits {
        nul: false,
        quoted_null: false,
        largest_integer: Some(i64::MAX as u64),
        ..Limits::NONE
    },
    names: NameRules {
        case: Case::AsciiIgnored,
        empty: EmptyNames::Allowed,
        longest: Longest::Any,
        lines: NameLines::Any,
        reserved: Reserved::Tables("sqlite_"),
    },
    sql: Some(LoadSql { table, statement }),
    codecs: &[],
};

/// The text for NULL: U+10FFFF, which is no character (Unicode, "Noncharacters").
/// A value that consists of it is refused.
const NULL: &str = "\u{10ffff}";

fn table(load: &Load<'_>) -> Table {
    Table::standard(load, |sql_type| type_name(sql_type).to_owned())
}

fn statement(load: &Load<'_>, table: Table) -> Result<String, String> {
    let (csv, columns) = load.plain_csv(BinaryEncoding::Hex, "hex")?;
    let (delimiter, null) = (String::from(csv.delimiter), String::from(csv.null.clone()));
    if delimiter != "," || null.is_empty() {
        return Err("the statement is known for commas and a text for NULL only".to_owned());
    }
    // A command of the shell is one line.
    if load.file.contains(['\n', '\r', '\0']) {
        return Err("the file's name has a line end, and .import is one line".to_owned());
    }
    let null = doubled(&null, '\'');
    let loaded = (1..=columns.len()).map(|number| format!("c{number}"));
    let loaded: Vec<String> = loaded.collect();
    let values = loaded.iter().zip(&columns);
    let values = values.map(|(name, (_, sql_type))| match sql_type {
        SqlType::Bytes => format!("unhex(nullif({name}, {null}))"),
        SqlType::Boolean => format!("nullif({name}, {null}) = 'true'"),
        _ => format!("nullif({name}, {null})"),
    });
    Ok(format!(
        ".bail on\n\
         {}\
         CREATE TEMP TABLE gold_digger_load ({});\n\
         .import --csv --skip 1 --schema temp {} gold_digger_load\n\
         INSERT INTO {} ({}) SELECT\n  {}\nFROM temp.gold_digger_load;\n\
         DROP TABLE temp.gold_digger_load;\n",
        table.create(Existing::Kept),
        loaded.join(", "),
        backslashed(&load.path(), '"'),
        table.name,
        table.names.join(", "),
        values.collect::<Vec<_>>().join(",\n  ")
    ))
}

/// Returns a type whose affinity keeps the values as they are (SQLite manual,
/// "Datatypes In SQLite").
fn type_name(sql_type: SqlType) -> &'static str {
    match sql_type {
        SqlType::Boolean | SqlType::Signed(_) | SqlType::Unsigned(_) => "INTEGER",
        SqlType::Float | SqlType::Double => "REAL",
        SqlType::Bytes => "BLOB",
        _ => "TEXT",
    }
}
