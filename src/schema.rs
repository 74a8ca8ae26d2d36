//! Describes the columns of a result set. The description is built once from the
//! server's metadata.
//!
//! The text of a value never determines its type: `"00123"` in a text column
//! stays text. The formats decide how the values of a type are written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The columns of a result set, in their order.
///
/// ```
/// use gold_digger::schema::{Column, ColumnType, Schema};
///
/// let column = |name: &str, server_type: &str, column_type| Column {
///     name: name.to_owned(),
///     server_type: server_type.to_owned(),
///     column_type,
/// };
/// let id = column("id", "BIGINT", ColumnType::Integer { zerofill: None });
/// let created = column("created", "DATETIME(3)", ColumnType::DateTime { fraction: 3 });
/// let schema = Schema { columns: vec![id, created] };
/// assert_eq!(schema.columns[1].server_type, "DATETIME(3)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// One entry for each column; never empty.
    pub columns: Vec<Column>,
}

/// A column of a result set.
///
/// ```
/// use gold_digger::schema::{Column, ColumnDescription, ColumnType};
///
/// let price = Column {
///     name: "price".to_owned(),
///     server_type: "DECIMAL(10,2)".to_owned(),
///     column_type: ColumnType::Decimal { scale: 2, zerofill: None },
/// };
/// assert_eq!(ColumnDescription::from(&price).to_string(), "\"price\" DECIMAL(10,2)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name or alias that the query gives the column.
    pub name: String,
    /// The server's name of the type, such as `DECIMAL(10,2)`.
    pub server_type: String,
    /// The meaning of the values.
    pub column_type: ColumnType,
}

impl ColumnType {
    /// Whether the values are numbers.
    pub(crate) const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Integer { .. }
                | Self::TinyInt1
                | Self::Decimal { .. }
                | Self::Float(_)
                | Self::Double(_)
                | Self::Bit { .. }
        )
    }
}

impl Column {
    /// Whether the column is a TIMESTAMP, which the server shows in the session's time
    /// zone.
    pub(crate) fn is_timestamp(&self) -> bool {
        self.server_type.starts_with("TIMESTAMP")
    }
}

impl Schema {
    /// Whether a column is a TIMESTAMP.
    pub(crate) fn has_timestamps(&self) -> bool {
        self.columns.iter().any(Column::is_timestamp)
    }
}

/// A column's name and type in the form of manifests, summaries and histories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDescription {
    /// The column's name.
    pub name: String,
    /// The server's name of its type, such as `DECIMAL(10,2)`.
    pub r#type: String,
}

impl From<&Column> for ColumnDescription {
    fn from(column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            r#type: column.server_type.clone(),
        }
    }
}

impl fmt::Display for ColumnDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.name, self.r#type)
    }
}

/// The meaning of a column's values (MySQL manual, "Data Types").
///
/// ```
/// use gold_digger::schema::{ColumnType, FloatLayout};
///
/// // FLOAT(7,2) ZEROFILL
/// let layout = FloatLayout { decimals: Some(2), zerofill: Some(7) };
/// assert_ne!(ColumnType::Float(layout), ColumnType::Double(layout));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// TINYINT to BIGINT and YEAR, signed or not.
    Integer {
        /// The width in characters that ZEROFILL declares, 4 for YEAR; `None` for
        /// a column without leading zeros.
        zerofill: Option<usize>,
    },
    /// TINYINT(1), for which BOOL is a synonym.
    TinyInt1,
    /// BIT(n): the bits as bytes, the most significant first.
    Bit {
        /// The declared number of bits n, 1 to 64.
        width: u32,
    },
    /// DECIMAL: the digits as text.
    Decimal {
        /// The number of digits after the decimal point, 0 to 38.
        scale: u8,
        /// The width in characters that ZEROFILL declares; `None` without it.
        zerofill: Option<usize>,
    },
    /// FLOAT.
    Float(FloatLayout),
    /// DOUBLE.
    Double(FloatLayout),
    /// DATE.
    Date,
    /// DATETIME and TIMESTAMP.
    DateTime {
        /// The declared number of digits of the second's fraction, 0 to 6.
        fraction: usize,
    },
    /// TIME: a span of time, positive or negative.
    Time {
        /// The declared number of digits of the second's fraction, 0 to 6.
        fraction: usize,
    },
    /// JSON of MySQL. In MariaDB, JSON is an alias of LONGTEXT and is read as
    /// [`Text`](Self::Text).
    Json,
    /// Strings with a character set; the server sends them as UTF-8.
    Text,
    /// Bytes: BINARY, VARBINARY, BLOBs, GEOMETRY, VECTOR.
    Binary,
}

/// The declared layout of a FLOAT or DOUBLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatLayout {
    /// The fixed number of decimals D of FLOAT(M,D); `None` without it.
    pub decimals: Option<usize>,
    /// The width in characters that ZEROFILL declares; `None` without it.
    pub zerofill: Option<usize>,
}
