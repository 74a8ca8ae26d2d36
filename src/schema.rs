//! What a result set's columns mean, decided once from the server's metadata.
//!
//! A value's text never decides its type: `"00123"` in a text column stays
//! text. How a type is written belongs to the formats.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The columns of a result set, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// One entry a column; never empty.
    pub columns: Vec<Column>,
}

/// A column of a result set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name or alias that the query gave it.
    pub name: String,
    /// Its type as the server names it.
    pub server_type: String,
    /// What its values mean.
    pub column_type: ColumnType,
}

/// A column's name and type, as manifests, summaries and histories keep it.
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

/// What a column's values mean (MySQL manual, "Data Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// TINYINT to BIGINT and YEAR, signed or not.
    Integer {
        /// The width that ZEROFILL declares; 4 for YEAR.
        zerofill: Option<usize>,
    },
    /// TINYINT(1), which BOOL stands for.
    TinyInt1,
    /// BIT(n): the bits as bytes, the most significant first.
    Bit,
    /// DECIMAL: the digits as text.
    Decimal {
        /// The width that ZEROFILL declares.
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
        /// The declared digits of the second's fraction, 0 to 6.
        fraction: usize,
    },
    /// TIME: a span, positive or negative.
    Time {
        /// The declared digits of the second's fraction, 0 to 6.
        fraction: usize,
    },
    /// MySQL's JSON. MariaDB's is an alias of LONGTEXT, and so text.
    Json,
    /// Strings with a character set; the server sends them as UTF-8.
    Text,
    /// Bytes: BINARY, VARBINARY, BLOBs, GEOMETRY, VECTOR.
    Binary,
}

/// How a FLOAT or DOUBLE is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FloatLayout {
    /// The fixed decimals of FLOAT(M,D); none where they float.
    pub decimals: Option<usize>,
    /// The width that ZEROFILL declares.
    pub zerofill: Option<usize>,
}
