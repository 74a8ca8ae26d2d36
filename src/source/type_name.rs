//! A column's type in the server's SQL, from the metadata of a result set. For an
//! expression, it is the nearest type that has a name.

use mysql::consts::{ColumnFlags, ColumnType as WireType};

use super::{
    charset::CharacterSet,
    columns::{BINARY, FLOATING_DECIMALS},
};

/// The bytes of the widest character of utf8mb4, in which text arrives unless a
/// procedure changes that.
const UTF8MB4_BYTES: u32 = 4;

/// Returns the type's name, such as `DECIMAL(10,2) UNSIGNED`.
pub(super) fn type_name(column: &mysql::Column) -> String {
    let flags = column.flags();
    let length = column.column_length();
    let decimals = column.decimals();
    let characters = (column.character_set() != BINARY).then(|| {
        let set = CharacterSet::of_collation(column.character_set());
        length / set.map_or(UTF8MB4_BYTES, |set| set.max_bytes)
    });
    let unsigned = flags.contains(ColumnFlags::UNSIGNED_FLAG);
    let integer = |name: &str| {
        if flags.contains(ColumnFlags::ZEROFILL_FLAG) {
            format!("{name}({length})")
        } else {
            name.to_owned()
        }
    };
    let fraction = |name: &str| match decimals {
        1..FLOATING_DECIMALS => format!("{name}({decimals})"),
        _ => name.to_owned(),
    };
    let float = |name: &str| match decimals {
        0..FLOATING_DECIMALS => format!("{name}({length},{decimals})"),
        _ => name.to_owned(),
    };
    let number = |name: String| number_name(name, flags);
    match column.column_type() {
        WireType::MYSQL_TYPE_TINY if length == 1 => number("TINYINT(1)".to_owned()),
        WireType::MYSQL_TYPE_TINY => number(integer("TINYINT")),
        WireType::MYSQL_TYPE_SHORT => number(integer("SMALLINT")),
        WireType::MYSQL_TYPE_INT24 => number(integer("MEDIUMINT")),
        WireType::MYSQL_TYPE_LONG => number(integer("INT")),
        WireType::MYSQL_TYPE_LONGLONG => number(integer("BIGINT")),
        WireType::MYSQL_TYPE_YEAR => "YEAR".to_owned(),
        WireType::MYSQL_TYPE_BIT => format!("BIT({length})"),
        WireType::MYSQL_TYPE_DECIMAL | WireType::MYSQL_TYPE_NEWDECIMAL => {
            number(decimal_name(length, decimals, unsigned))
        }
        WireType::MYSQL_TYPE_FLOAT => number(float("FLOAT")),
        WireType::MYSQL_TYPE_DOUBLE => number(float("DOUBLE")),
        WireType::MYSQL_TYPE_DATE | WireType::MYSQL_TYPE_NEWDATE => "DATE".to_owned(),
        WireType::MYSQL_TYPE_DATETIME => fraction("DATETIME"),
        WireType::MYSQL_TYPE_TIMESTAMP => fraction("TIMESTAMP"),
        WireType::MYSQL_TYPE_TIME => fraction("TIME"),
        WireType::MYSQL_TYPE_JSON => "JSON".to_owned(),
        WireType::MYSQL_TYPE_GEOMETRY => "GEOMETRY".to_owned(),
        WireType::MYSQL_TYPE_VECTOR => "VECTOR".to_owned(),
        _ if flags.contains(ColumnFlags::ENUM_FLAG) => "ENUM".to_owned(),
        _ if flags.contains(ColumnFlags::SET_FLAG) => "SET".to_owned(),
        WireType::MYSQL_TYPE_STRING => string_name(["CHAR", "BINARY"], length, characters),
        WireType::MYSQL_TYPE_VAR_STRING | WireType::MYSQL_TYPE_VARCHAR => {
            string_name(["VARCHAR", "VARBINARY"], length, characters)
        }
        WireType::MYSQL_TYPE_TINY_BLOB
        | WireType::MYSQL_TYPE_MEDIUM_BLOB
        | WireType::MYSQL_TYPE_LONG_BLOB
        | WireType::MYSQL_TYPE_BLOB => blob_name(length, characters),
        WireType::MYSQL_TYPE_NULL => "NULL".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Adds the attributes of a number to the name of its type.
fn number_name(mut name: String, flags: ColumnFlags) -> String {
    if flags.contains(ColumnFlags::UNSIGNED_FLAG) {
        name += " UNSIGNED";
    }
    if flags.contains(ColumnFlags::ZEROFILL_FLAG) {
        name += " ZEROFILL";
    }
    name
}

/// Returns the name of a string type, which is `text` with its length in
/// characters, or `binary` with its length in bytes.
fn string_name([text, binary]: [&str; 2], length: u32, characters: Option<u32>) -> String {
    match characters {
        Some(characters) => format!("{text}({characters})"),
        None => format!("{binary}({length})"),
    }
}

/// Returns the name of a DECIMAL whose metadata have this `length`, which includes
/// the decimal point and the sign.
fn decimal_name(length: u32, decimals: u8, unsigned: bool) -> String {
    let marks = u32::from(decimals > 0) + u32::from(!unsigned);
    format!("DECIMAL({},{decimals})", length.saturating_sub(marks))
}

/// Returns the name of the BLOB type that holds `length` bytes, or of the TEXT type
/// that holds so many `characters`.
fn blob_name(length: u32, characters: Option<u32>) -> String {
    let prefix = match characters.unwrap_or(length) {
        0..=0xff => "TINY",
        0x100..=0xffff => "",
        0x1_0000..=0xff_ffff => "MEDIUM",
        _ => "LONG",
    };
    format!(
        "{prefix}{}",
        if characters.is_some() { "TEXT" } else { "BLOB" }
    )
}
