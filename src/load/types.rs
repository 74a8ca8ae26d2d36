//! The types of columns, as the targets tell them apart.

use crate::{
    format::{Booleans, TextOptions},
    schema::{BaseType, Column, ColumnType, Metadata, Sign},
};

/// The most digits of a DECIMAL (MySQL manual, "DECIMAL Data Type Characteristics").
pub(super) const MAX_DIGITS: u32 = 65;

/// The type of a column in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlType {
    /// `true` and `false`.
    Boolean,
    /// An integer of so many bits, or a YEAR.
    Signed(u32),
    /// An unsigned integer of so many bits.
    Unsigned(u32),
    /// A DECIMAL with so many digits in all, and so many behind the point.
    Decimal(u32, u32),
    /// A number of 32 bits.
    Float,
    /// A number of 64 bits.
    Double,
    /// A day.
    Date,
    /// A day and a time with so many digits of the second's fraction, as clocks
    /// show it anywhere.
    DateTime(usize),
    /// A moment, written in UTC, with so many digits of the second's fraction.
    Instant(usize),
    /// A span of time with so many digits of the second's fraction.
    Time(usize),
    /// A JSON document.
    Json,
    /// Text of any length.
    Text,
    /// Bytes of any length.
    Bytes,
}

impl SqlType {
    /// Returns the type of `column`. `instants` says that TIMESTAMPs are in UTC.
    pub(super) fn of(column: &Column, text: &TextOptions, instants: bool) -> Self {
        match column.column_type {
            _ if is_boolean(column, text.booleans) => Self::Boolean,
            // With one more bit for the sign, which many targets always have.
            ColumnType::Bit { width } if width < 64 => Self::Signed(width + 1),
            ColumnType::Bit { .. } => Self::Unsigned(64),
            ColumnType::Integer { .. } | ColumnType::TinyInt1 => integer(column.metadata),
            ColumnType::Decimal { scale, .. } => {
                let digits = column.metadata.precision.unwrap_or(MAX_DIGITS);
                Self::Decimal(digits, scale.into())
            }
            ColumnType::Float(_) => Self::Float,
            ColumnType::Double(_) => Self::Double,
            ColumnType::Date => Self::Date,
            ColumnType::DateTime { fraction } if instants && column.is_timestamp() => {
                Self::Instant(fraction)
            }
            ColumnType::DateTime { fraction } => Self::DateTime(fraction),
            ColumnType::Time { fraction } => Self::Time(fraction),
            ColumnType::Json => Self::Json,
            ColumnType::Binary => Self::Bytes,
            _ => Self::Text,
        }
    }
}

/// Returns whether `column` is written as `true` and `false`.
pub(super) fn is_boolean(column: &Column, booleans: Booleans) -> bool {
    match booleans {
        Booleans::Number => false,
        Booleans::Tinyint1 => column.column_type == ColumnType::TinyInt1,
        Booleans::Words => matches!(
            column.column_type,
            ColumnType::TinyInt1 | ColumnType::Bit { width: 1 }
        ),
    }
}

/// Returns the type of an integer.
fn integer(metadata: Metadata) -> SqlType {
    let bits = match metadata.base {
        BaseType::TinyInt => 8,
        BaseType::SmallInt => 16,
        BaseType::MediumInt | BaseType::Int => 32,
        BaseType::Year => return SqlType::Signed(16),
        _ => 64,
    };
    match metadata.sign {
        Sign::Unsigned => SqlType::Unsigned(bits),
        Sign::Signed => SqlType::Signed(bits),
    }
}
