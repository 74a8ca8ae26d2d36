//! A column's type in the server's SQL, from the metadata of a result set. For an
//! expression, it is the nearest type that has a name.

use mysql::consts::{ColumnFlags, ColumnType as WireType};

use super::{
    charset::CharacterSet,
    columns::{BINARY, FLOATING_DECIMALS, fraction},
};
use crate::schema::{BaseType, ColumnType, Metadata, Nullability, Sign};

/// The bytes of the widest character of utf8mb4, in which text arrives unless a
/// procedure changes that.
const UTF8MB4_BYTES: u32 = 4;

/// The characters of the texts that MariaDB sends for values of its own types (MariaDB
/// documentation, "UUID Data Type", "INET4", "INET6").
const UUID_CHARACTERS: u32 = 36;
const INET4_CHARACTERS: u32 = 15;
const INET6_CHARACTERS: u32 = 39;

/// Returns the type of a column, without its arguments and attributes; `None` for one
/// that this program does not know.
pub(super) fn base_type(column: &mysql::Column) -> Option<BaseType> {
    let flags = column.flags();
    let is_text = column.character_set() != BINARY;
    Some(match column.column_type() {
        WireType::MYSQL_TYPE_TINY => BaseType::TinyInt,
        WireType::MYSQL_TYPE_SHORT => BaseType::SmallInt,
        WireType::MYSQL_TYPE_INT24 => BaseType::MediumInt,
        WireType::MYSQL_TYPE_LONG => BaseType::Int,
        WireType::MYSQL_TYPE_LONGLONG => BaseType::BigInt,
        // MySQL announces YEAR(date) as a YEAR, which could not hold 1850. A column has
        // this flag.
        WireType::MYSQL_TYPE_YEAR if flags.contains(ColumnFlags::ZEROFILL_FLAG) => BaseType::Year,
        WireType::MYSQL_TYPE_YEAR => BaseType::SmallInt,
        WireType::MYSQL_TYPE_BIT => BaseType::Bit,
        WireType::MYSQL_TYPE_DECIMAL | WireType::MYSQL_TYPE_NEWDECIMAL => BaseType::Decimal,
        WireType::MYSQL_TYPE_FLOAT => BaseType::Float,
        WireType::MYSQL_TYPE_DOUBLE => BaseType::Double,
        WireType::MYSQL_TYPE_DATE | WireType::MYSQL_TYPE_NEWDATE => BaseType::Date,
        WireType::MYSQL_TYPE_DATETIME => BaseType::DateTime,
        WireType::MYSQL_TYPE_TIMESTAMP => BaseType::Timestamp,
        WireType::MYSQL_TYPE_TIME => BaseType::Time,
        WireType::MYSQL_TYPE_JSON => BaseType::Json,
        WireType::MYSQL_TYPE_GEOMETRY => BaseType::Geometry,
        WireType::MYSQL_TYPE_VECTOR => BaseType::Vector,
        WireType::MYSQL_TYPE_NULL => BaseType::Null,
        WireType::MYSQL_TYPE_ENUM => BaseType::Enum,
        WireType::MYSQL_TYPE_SET => BaseType::Set,
        _ if flags.contains(ColumnFlags::ENUM_FLAG) => BaseType::Enum,
        _ if flags.contains(ColumnFlags::SET_FLAG) => BaseType::Set,
        // MariaDB sets this flag for its own types, and never for a CHAR.
        WireType::MYSQL_TYPE_STRING if is_text && flags.contains(ColumnFlags::UNSIGNED_FLAG) => {
            match length(column) {
                UUID_CHARACTERS => BaseType::Uuid,
                INET4_CHARACTERS => BaseType::Inet4,
                INET6_CHARACTERS => BaseType::Inet6,
                _ => BaseType::Char,
            }
        }
        WireType::MYSQL_TYPE_STRING if is_text => BaseType::Char,
        WireType::MYSQL_TYPE_STRING => BaseType::Binary,
        WireType::MYSQL_TYPE_VAR_STRING | WireType::MYSQL_TYPE_VARCHAR if is_text => {
            BaseType::VarChar
        }
        WireType::MYSQL_TYPE_VAR_STRING | WireType::MYSQL_TYPE_VARCHAR => BaseType::VarBinary,
        WireType::MYSQL_TYPE_TINY_BLOB
        | WireType::MYSQL_TYPE_MEDIUM_BLOB
        | WireType::MYSQL_TYPE_LONG_BLOB
        | WireType::MYSQL_TYPE_BLOB => match (length(column), is_text) {
            (0..=0xff, true) => BaseType::TinyText,
            (0..=0xff, false) => BaseType::TinyBlob,
            (..=0xffff, true) => BaseType::Text,
            (..=0xffff, false) => BaseType::Blob,
            (..=0xff_ffff, true) => BaseType::MediumText,
            (..=0xff_ffff, false) => BaseType::MediumBlob,
            (_, true) => BaseType::LongText,
            (_, false) => BaseType::LongBlob,
        },
        _ => return None,
    })
}

/// Returns what the server says of a column of the type `base` and the meaning
/// `column_type`. `nullability` is that of its values.
pub(super) fn metadata(
    column: &mysql::Column,
    base: BaseType,
    column_type: ColumnType,
    nullability: Nullability,
) -> Metadata {
    let is_text = column_type == ColumnType::Text && base != BaseType::Null;
    let set = CharacterSet::of_collation(column.character_set()).filter(|_| is_text);
    let has_length = is_text || column_type == ColumnType::Binary && base != BaseType::Geometry;
    Metadata {
        base,
        nullability,
        sign: match is_unsigned(column) && column_type.is_number() {
            true => Sign::Unsigned,
            false => Sign::Signed,
        },
        precision: (base == BaseType::Decimal).then(|| precision(column)),
        length: has_length.then(|| length(column)),
        character_set: set.map(|set| set.name),
    }
}

/// Returns the length of a text in characters, or of a string of bytes in bytes.
fn length(column: &mysql::Column) -> u32 {
    let character_set = column.character_set();
    let max_bytes = match character_set {
        BINARY => 1,
        set => CharacterSet::of_collation(set).map_or(UTF8MB4_BYTES, |set| set.max_bytes),
    };
    column.column_length() / max_bytes
}

fn is_unsigned(column: &mysql::Column) -> bool {
    column.flags().contains(ColumnFlags::UNSIGNED_FLAG)
}

/// Returns the digits of a DECIMAL. Its length includes the decimal point and the sign.
fn precision(column: &mysql::Column) -> u32 {
    let marks = u32::from(column.decimals() > 0) + u32::from(!is_unsigned(column));
    column.column_length().saturating_sub(marks)
}

/// Returns the name of a column's type, such as `DECIMAL(10,2) UNSIGNED`.
pub(super) fn type_name(column: &mysql::Column, base: BaseType) -> String {
    let (name, decimals) = (base.name(), column.decimals());
    let is_zerofill = column.flags().contains(ColumnFlags::ZEROFILL_FLAG);
    let width = column.column_length();
    match base {
        BaseType::TinyInt if width == 1 => number_name("TINYINT(1)".to_owned(), column),
        BaseType::TinyInt
        | BaseType::SmallInt
        | BaseType::MediumInt
        | BaseType::Int
        | BaseType::BigInt
            if is_zerofill =>
        {
            number_name(format!("{name}({width})"), column)
        }
        BaseType::TinyInt
        | BaseType::SmallInt
        | BaseType::MediumInt
        | BaseType::Int
        | BaseType::BigInt => number_name(name.to_owned(), column),
        BaseType::Decimal => {
            let precision = precision(column);
            number_name(format!("{name}({precision},{decimals})"), column)
        }
        BaseType::Float | BaseType::Double => {
            let name = match decimals {
                0..FLOATING_DECIMALS => format!("{name}({width},{decimals})"),
                _ => name.to_owned(),
            };
            number_name(name, column)
        }
        BaseType::DateTime | BaseType::Timestamp | BaseType::Time if decimals > 0 => {
            format!("{name}({})", fraction(column))
        }
        BaseType::Bit => format!("{name}({width})"),
        BaseType::Char | BaseType::VarChar | BaseType::Binary | BaseType::VarBinary => {
            format!("{name}({})", length(column))
        }
        // As this program has always called them: guards compare names.
        BaseType::Uuid | BaseType::Inet4 | BaseType::Inet6 => format!("CHAR({})", length(column)),
        _ => name.to_owned(),
    }
}

/// Adds the attributes of a number to the name of its type.
fn number_name(mut name: String, column: &mysql::Column) -> String {
    if is_unsigned(column) {
        name += " UNSIGNED";
    }
    if column.flags().contains(ColumnFlags::ZEROFILL_FLAG) {
        name += " ZEROFILL";
    }
    name
}
