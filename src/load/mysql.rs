//! MySQL and MariaDB: LOAD DATA (MySQL manual, "LOAD DATA Statement").

use std::borrow::Cow;

use super::{
    Case, EmptyNames, Existing, Limits, Load, LoadSql, LoadTarget, Longest, NameLines, NameRules,
    Reserved, Spelling, Table, backslashed, doubled, types,
};
use crate::{
    format::{BinaryEncoding, Header, TextOptions},
    schema::{Column, ColumnType, Nullability},
};

/// The entry in the table of targets.
pub(super) static TARGET: LoadTarget = LoadTarget {
    name: "mysql",
    about: "MySQL and MariaDB, by LOAD DATA",
    preset: &[
        ("output.format", "tsv"),
        ("values.nul", "keep"),
        ("values.binary", "hex"),
        ("session.time_zone", "+00:00"),
    ],
    // A value of more digits becomes the nearest that its column holds, with a warning.
    limits: Limits {
        decimal_digits: |digits, _| Some(digits.min(types::MAX_DIGITS)),
        ..Limits::NONE
    },
    // MySQL manual, "Identifier Length Limits", "Identifier Case Sensitivity".
    names: NameRules {
        case: Case::Ignored,
        empty: EmptyNames::Refused,
        longest: Longest::Characters(64),
        lines: NameLines::Any,
        reserved: Reserved::Unspellable,
    },
    sql: Some(LoadSql { table, statement }),
    codecs: &[],
};

/// TIMESTAMPs may be NULL: without that, the first of a table would change with each
/// UPDATE where the server has `explicit_defaults_for_timestamp` off.
fn table(load: &Load<'_>) -> Table {
    let spelling = Spelling {
        quoted: doubled,
        quote: '`',
        declare: &|column, _, nullability| {
            let type_name = type_name(column).into_owned();
            match column.is_timestamp() || nullability != Nullability::NotNull {
                true => type_name + " NULL",
                false => type_name + " NOT NULL",
            }
        },
        end: " CHARACTER SET utf8mb4",
    };
    Table::new(load, doubled(load.table, '`'), &spelling)
}

fn statement(load: &Load<'_>, table: Table) -> Result<String, String> {
    let tsv = load.tsv()?;
    let columns = load.schema.columns.iter().enumerate();
    let columns: Vec<(String, Option<String>)> = columns
        .map(|(index, column)| input(index, column, &tsv.text))
        .collect::<Result<_, _>>()?;
    if load.time_zone.is_none() && load.schema.has_timestamps() {
        return Err("TIMESTAMPs are in the server's time zone, which may be another one where they are loaded".to_owned());
    }
    let zone = load.time_zone.map_or_else(String::new, |zone| {
        format!(", time_zone = {}", backslashed(zone, '\''))
    });
    let ignored = match tsv.header {
        Header::Names => " IGNORE 1 LINES",
        Header::None => "",
    };
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let set: Vec<&str> = columns
        .iter()
        .filter_map(|(_, set)| set.as_deref())
        .collect();
    let set = match &set[..] {
        [] => String::new(),
        set => format!("\nSET {}", set.join(", ")),
    };
    // The mode makes backslashes escapes, takes every date that a server can
    // have, and refuses what does not fit.
    Ok(format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'{zone};\n\
         {}\
         LOAD DATA LOCAL INFILE {} INTO TABLE {} CHARACTER SET utf8mb4\n\
         FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n'{ignored}\n\
         ({}){set};\n\
         SHOW WARNINGS;\n",
        table.create(Existing::Kept),
        backslashed(load.file, '\''),
        table.name,
        names.join(", ")
    ))
}

/// Returns the name of a column, or of the variable that takes its place in the
/// list of inputs, and the assignment that converts the variable.
fn input(
    index: usize,
    column: &Column,
    text: &TextOptions,
) -> Result<(String, Option<String>), String> {
    let variable = format!("@c{}", index + 1);
    let value = match column.column_type {
        _ if types::is_boolean(column, text.booleans) => format!("({variable} = 'true')"),
        ColumnType::Binary => match text.binary {
            BinaryEncoding::Hex => format!("UNHEX({variable})"),
            BinaryEncoding::Base64 => format!("FROM_BASE64({variable})"),
            _ => return Err("the statement is known for --binary hex and base64 only".to_owned()),
        },
        // A number in a text would be taken as its digits' bytes.
        ColumnType::Bit { .. } => format!("CAST({variable} AS UNSIGNED)"),
        _ => return Ok((name(column), None)),
    };
    let set = format!("{} = {value}", name(column));
    Ok((variable, Some(set)))
}

fn name(column: &Column) -> String {
    doubled(&column.name, '`')
}

/// Returns a type that holds all values of `column`. The metadata tell neither
/// the members of an ENUM nor the type of a long text of an expression, and the
/// M and D of a FLOAT(M,D) of an expression are too small for some values. The
/// DECIMAL of an expression may have more digits than that of any table: its values are
/// checked.
fn type_name(column: &Column) -> Cow<'_, str> {
    let name = column.server_type.as_str();
    Cow::Borrowed(match column.column_type {
        ColumnType::Decimal { .. } => {
            let digits = column.metadata.precision.unwrap_or(types::MAX_DIGITS);
            let (declared, most) = (format!("({digits},"), format!("({},", types::MAX_DIGITS));
            return match digits > types::MAX_DIGITS {
                true => Cow::Owned(name.replacen(&declared, &most, 1)),
                false => Cow::Borrowed(name),
            };
        }
        ColumnType::Binary if name == "GEOMETRY" => name,
        ColumnType::Binary => "LONGBLOB",
        ColumnType::Text => "LONGTEXT",
        ColumnType::Float(_) => "FLOAT",
        ColumnType::Double(_) => "DOUBLE",
        _ => name,
    })
}
