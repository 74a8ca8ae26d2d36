//! The meaning of columns, from the server's metadata alone (MySQL internals,
//! "Column Definition").

use mysql::consts::{ColumnFlags, ColumnType as WireType};
use mysql_common::{constants::UnknownColumnType, packets::InvalidCatalog};

use super::type_name::{base_type, metadata, type_name};
use crate::{
    error::{Error, ErrorKind, Result},
    schema::{Column, ColumnType, FloatLayout, Nullability, Schema},
    sql::BoundQuery,
    text::warning,
};

/// The number of the character set `binary`, of columns that are not text.
pub(super) const BINARY: u16 = 63;

/// The number of decimals from which on they are not fixed (`NOT_FIXED_DEC`).
pub(super) const FLOATING_DECIMALS: u8 = 31;

/// The most digits of a second's fraction.
const MAX_FRACTION_DIGITS: usize = 6;

/// What to do where a procedure chooses a character set.
pub(super) const SET_NAMES_HINT: &str =
    "let the procedure SET NAMES utf8mb4, or leave its SET NAMES out";

const CAST_HINT: &str = "CAST it in the query, for example to CHAR";

/// The most columns of a result (MySQL manual, "Limits on Table Column Count and
/// Row Size").
const MAX_COLUMNS: usize = 4096;

/// The largest display width of a number in digits (MySQL manual, "Numeric Type
/// Attributes").
const MAX_ZEROFILL_WIDTH: usize = 255;

/// The digits of a YEAR.
const YEAR_WIDTH: usize = 4;

/// The keywords of statements whose rows are those of a query.
const QUERIES: [&str; 4] = ["SELECT", "WITH", "TABLE", "("];

/// Whether the servers' flag that a column of a table is NOT NULL is true of a result.
///
/// Both servers leave it out for columns that an outer join or an implicit group may
/// turn to NULL. They set it for some expressions that can be NULL: those of a view or a
/// derived table in an outer join, on both. MariaDB sets it for the groups of WITH
/// ROLLUP, whose totals are NULL. So it is proof only for a stored column, and not
/// where totals may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotNullFlags {
    /// They are true of stored columns.
    True,
    /// They may not be true.
    Doubtful,
}

impl NotNullFlags {
    /// Returns whether the flags are true of the result of the statement `bound`.
    pub fn of(bound: &BoundQuery) -> Self {
        let is_query = QUERIES.contains(&bound.keyword.as_str());
        match is_query && !bound.sql.to_ascii_lowercase().contains("rollup") {
            true => Self::True,
            false => Self::Doubtful,
        }
    }

    /// Returns whether the values of `column` may be NULL.
    fn nullability(self, column: &mysql::Column) -> Nullability {
        let is_flagged = column.flags().contains(ColumnFlags::NOT_NULL_FLAG);
        // Servers name the database and the table of a stored column, and only the table
        // of an expression.
        let is_stored = !column.schema_ref().is_empty() && !column.org_table_ref().is_empty();
        match (is_flagged, self) {
            (false, _) => Nullability::Nullable,
            (true, Self::True) if is_stored => Nullability::NotNull,
            (true, _) => Nullability::Unknown,
        }
    }
}

/// Returns the schema of a result set with `columns`, whose NOT NULL flags are as
/// `flags` says.
///
/// # Errors
/// [`ErrorKind::Query`] for a name that is not UTF-8, for a type that this
/// program does not know, and for more columns than servers can send.
pub fn schema(columns: &[mysql::Column], flags: NotNullFlags) -> Result<Schema> {
    if columns.len() > MAX_COLUMNS {
        let what = format!("the result has {} columns", columns.len());
        return Err(
            Error::new(ErrorKind::Query, what).with_hint("servers have 4096 at most; is this one?")
        );
    }
    let columns = columns
        .iter()
        .enumerate()
        .map(|(index, column)| describe(index, column, flags));
    Ok(Schema {
        columns: columns.collect::<Result<_>>()?,
    })
}

/// Returns the error for columns that the driver cannot read: one has a type number
/// that it does not know, so that it fails before it returns the column's name, or
/// their definitions do not begin as all do.
pub(super) fn unreadable(error: &mysql::Error) -> Option<Error> {
    let mysql::Error::IoError(error) = error else {
        return None;
    };
    let cause = error.get_ref()?;
    let (what, hint) = if let Some(UnknownColumnType(number)) = cause.downcast_ref() {
        let what = format!(
            "a column of the result has the type number {number}, which this version does not know"
        );
        (what, CAST_HINT)
    } else {
        // A definition begins with the catalog "def" in the session's character set.
        cause.downcast_ref::<InvalidCatalog>()?;
        let what = "the names of the columns cannot be read: they seem to come in UTF-16 or UTF-32, \
                    as after SET character_set_results in a procedure";
        (what.to_owned(), SET_NAMES_HINT)
    };
    Some(Error::new(ErrorKind::Query, what).with_hint(hint))
}

/// Returns the warning that names of columns may have lost characters, if there is
/// one. Servers have names in utf8mb3, without the characters beyond U+FFFF, and send
/// a `?` for each.
pub(super) fn lost_characters(schema: &Schema, sql: &str) -> Option<String> {
    if sql.bytes().all(|byte| byte < FIRST_BYTE_BEYOND_UTF8MB3) {
        return None;
    }
    let without = sql.replace(|c: char| c > LAST_OF_UTF8MB3, "?");
    let is_lost = |name: &str| {
        let written = sql.matches(name).count();
        written == 0 || without.matches(name).count() > written
    };
    let names = schema.columns.iter().map(|column| column.name.as_str());
    let lost = names.filter(|name| name.contains('?') && is_lost(name));
    warning(
        lost.count() as u64,
        "column's name has a `?` where the query has a character beyond U+FFFF, which no name can have; \
         AS gives it another one",
        "columns' names have a `?` where the query has a character beyond U+FFFF, which no name can have; \
         AS gives them others",
    )
}

/// The last character of utf8mb3.
const LAST_OF_UTF8MB3: char = '\u{ffff}';

/// The smallest first byte of a character beyond [`LAST_OF_UTF8MB3`] in UTF-8.
const FIRST_BYTE_BEYOND_UTF8MB3: u8 = 0xf0;

fn describe(index: usize, column: &mysql::Column, flags: NotNullFlags) -> Result<Column> {
    let name = std::str::from_utf8(column.name_ref()).map_err(|error| {
        Error::new(
            ErrorKind::Query,
            format!("the name of column {} is not UTF-8", index + 1),
        )
        .with_hint("give it another one with AS")
        .with_source(error)
    })?;
    match base_type(column).zip(column_type(column)) {
        Some((base, column_type)) => Ok(Column {
            name: name.to_owned(),
            server_type: type_name(column, base),
            column_type,
            metadata: metadata(column, base, column_type, flags.nullability(column)),
        }),
        None => Err(Error::new(
            ErrorKind::Query,
            format!(
                "column {name:?} has the type {:?}, which this version does not know",
                column.column_type()
            ),
        )
        .with_hint(CAST_HINT)),
    }
}

/// Returns the digits of a second's fraction. MariaDB declares floating decimals for a time
/// that is made of a number or a text of any number of them.
pub(super) fn fraction(column: &mysql::Column) -> usize {
    usize::from(column.decimals()).min(MAX_FRACTION_DIGITS)
}

fn column_type(column: &mysql::Column) -> Option<ColumnType> {
    // A wrong width from the server must not become gigabytes of zeros.
    let width = (column.column_length() as usize).min(MAX_ZEROFILL_WIDTH);
    let zerofill = column
        .flags()
        .contains(ColumnFlags::ZEROFILL_FLAG)
        .then_some(width);
    let decimals = column.decimals();
    let float = FloatLayout {
        decimals: (decimals < FLOATING_DECIMALS).then_some(usize::from(decimals)),
        zerofill,
    };
    let fraction = fraction(column);
    Some(match column.column_type() {
        WireType::MYSQL_TYPE_TINY if width == 1 && zerofill.is_none() => ColumnType::TinyInt1,
        WireType::MYSQL_TYPE_TINY
        | WireType::MYSQL_TYPE_SHORT
        | WireType::MYSQL_TYPE_INT24
        | WireType::MYSQL_TYPE_LONG
        | WireType::MYSQL_TYPE_LONGLONG => ColumnType::Integer { zerofill },
        WireType::MYSQL_TYPE_YEAR => ColumnType::Integer {
            zerofill: Some(YEAR_WIDTH),
        },
        WireType::MYSQL_TYPE_BIT => ColumnType::Bit {
            width: column.column_length(),
        },
        WireType::MYSQL_TYPE_DECIMAL | WireType::MYSQL_TYPE_NEWDECIMAL => ColumnType::Decimal {
            scale: decimals,
            zerofill,
        },
        WireType::MYSQL_TYPE_FLOAT => ColumnType::Float(float),
        WireType::MYSQL_TYPE_DOUBLE => ColumnType::Double(float),
        WireType::MYSQL_TYPE_DATE | WireType::MYSQL_TYPE_NEWDATE => ColumnType::Date,
        WireType::MYSQL_TYPE_DATETIME | WireType::MYSQL_TYPE_TIMESTAMP => {
            ColumnType::DateTime { fraction }
        }
        WireType::MYSQL_TYPE_TIME => ColumnType::Time { fraction },
        WireType::MYSQL_TYPE_JSON => ColumnType::Json,
        WireType::MYSQL_TYPE_GEOMETRY | WireType::MYSQL_TYPE_VECTOR => ColumnType::Binary,
        WireType::MYSQL_TYPE_STRING
        | WireType::MYSQL_TYPE_VAR_STRING
        | WireType::MYSQL_TYPE_VARCHAR
        | WireType::MYSQL_TYPE_ENUM
        | WireType::MYSQL_TYPE_SET
        | WireType::MYSQL_TYPE_TINY_BLOB
        | WireType::MYSQL_TYPE_MEDIUM_BLOB
        | WireType::MYSQL_TYPE_LONG_BLOB
        | WireType::MYSQL_TYPE_BLOB => {
            if column.character_set() == BINARY {
                ColumnType::Binary
            } else {
                ColumnType::Text
            }
        }
        // The column is always NULL.
        WireType::MYSQL_TYPE_NULL => ColumnType::Text,
        _ => return None,
    })
}
