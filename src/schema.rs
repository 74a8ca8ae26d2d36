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
/// let id = Column::new("id", "BIGINT", ColumnType::Integer { zerofill: None });
/// let created = Column::new("created", "DATETIME(3)", ColumnType::DateTime { fraction: 3 });
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
/// use gold_digger::schema::{Column, ColumnDescription, ColumnType, Metadata, Nullability};
///
/// let decimal = ColumnType::Decimal { scale: 2, zerofill: None };
/// let metadata = Metadata {
///     precision: Some(10),
///     nullability: Nullability::NotNull,
///     ..Metadata::widest(decimal)
/// };
/// let price = Column { metadata, ..Column::new("price", "DECIMAL(10,2)", decimal) };
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
    /// What the server says of the values beyond their meaning.
    pub metadata: Metadata,
}

/// What the server says of a column's values beyond their meaning: the type that
/// stores them, and whether they may be NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The type, without its arguments and attributes.
    pub base: BaseType,
    /// Whether the values are known to hold no NULL.
    pub nullability: Nullability,
    /// Whether a number may be below zero.
    pub sign: Sign,
    /// DECIMAL: the number of digits, before and after the point, 1 to 65. `None` for
    /// every other type, and where it is not known.
    pub precision: Option<u32>,
    /// The most characters of a text, or the most bytes of a string of bytes. `None`
    /// for every other type, and where it is not known.
    pub length: Option<u32>,
    /// The server's name of the character set that texts arrive in, such as `utf8mb4`;
    /// `None` for every other type, and where it is not known. A format writes UTF-8
    /// in any case.
    pub character_set: Option<&'static str>,
}

impl Metadata {
    /// Returns the metadata of the widest type of this meaning, of which nothing else
    /// is known.
    #[must_use]
    pub const fn widest(column_type: ColumnType) -> Self {
        let base = match column_type {
            ColumnType::Integer { .. } => BaseType::BigInt,
            ColumnType::TinyInt1 => BaseType::TinyInt,
            ColumnType::Bit { .. } => BaseType::Bit,
            ColumnType::Decimal { .. } => BaseType::Decimal,
            ColumnType::Float(_) => BaseType::Float,
            ColumnType::Double(_) => BaseType::Double,
            ColumnType::Date => BaseType::Date,
            ColumnType::DateTime { .. } => BaseType::DateTime,
            ColumnType::Time { .. } => BaseType::Time,
            ColumnType::Json => BaseType::Json,
            ColumnType::Text => BaseType::LongText,
            ColumnType::Binary => BaseType::LongBlob,
        };
        Self {
            base,
            nullability: Nullability::Unknown,
            sign: Sign::Signed,
            precision: None,
            length: None,
            character_set: None,
        }
    }
}

/// Whether the values of a column may be NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nullability {
    /// No value is NULL. That is proven: it is a column of a table that is NOT NULL,
    /// and no outer join or total can put NULL in its place.
    NotNull,
    /// A value may be NULL.
    Nullable,
    /// The server says that no value is NULL, which is not always true of expressions.
    Unknown,
}

/// Whether the values of a number may be below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// They may.
    Signed,
    /// They may not: the type is UNSIGNED.
    Unsigned,
}

/// A type of the servers, without its arguments and attributes (MySQL manual, "Data
/// Types"; MariaDB documentation, "Data Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is called as in SQL")]
pub enum BaseType {
    TinyInt,
    SmallInt,
    MediumInt,
    Int,
    BigInt,
    Year,
    Bit,
    Decimal,
    Float,
    Double,
    Date,
    DateTime,
    Timestamp,
    Time,
    Char,
    VarChar,
    TinyText,
    Text,
    MediumText,
    LongText,
    Enum,
    Set,
    /// UUID of MariaDB.
    Uuid,
    /// INET4 of MariaDB.
    Inet4,
    /// INET6 of MariaDB.
    Inet6,
    Binary,
    VarBinary,
    TinyBlob,
    Blob,
    MediumBlob,
    LongBlob,
    /// JSON of MySQL. In MariaDB, it is an alias of LONGTEXT.
    Json,
    Geometry,
    /// VECTOR of MySQL. MariaDB announces its VECTOR as VARBINARY.
    Vector,
    /// The type of a column that is always NULL.
    Null,
}

impl BaseType {
    /// Returns the servers' name of the type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TinyInt => "TINYINT",
            Self::SmallInt => "SMALLINT",
            Self::MediumInt => "MEDIUMINT",
            Self::Int => "INT",
            Self::BigInt => "BIGINT",
            Self::Year => "YEAR",
            Self::Bit => "BIT",
            Self::Decimal => "DECIMAL",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::Date => "DATE",
            Self::DateTime => "DATETIME",
            Self::Timestamp => "TIMESTAMP",
            Self::Time => "TIME",
            Self::Char => "CHAR",
            Self::VarChar => "VARCHAR",
            Self::TinyText => "TINYTEXT",
            Self::Text => "TEXT",
            Self::MediumText => "MEDIUMTEXT",
            Self::LongText => "LONGTEXT",
            Self::Enum => "ENUM",
            Self::Set => "SET",
            Self::Uuid => "UUID",
            Self::Inet4 => "INET4",
            Self::Inet6 => "INET6",
            Self::Binary => "BINARY",
            Self::VarBinary => "VARBINARY",
            Self::TinyBlob => "TINYBLOB",
            Self::Blob => "BLOB",
            Self::MediumBlob => "MEDIUMBLOB",
            Self::LongBlob => "LONGBLOB",
            Self::Json => "JSON",
            Self::Geometry => "GEOMETRY",
            Self::Vector => "VECTOR",
            Self::Null => "NULL",
        }
    }
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
    /// Creates a column of which nothing else is known: its [metadata](Metadata) are
    /// those of the widest type.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        server_type: impl Into<String>,
        column_type: ColumnType,
    ) -> Self {
        Self {
            name: name.into(),
            server_type: server_type.into(),
            column_type,
            metadata: Metadata::widest(column_type),
        }
    }

    /// Whether the column is a TIMESTAMP, which the server shows in the session's time
    /// zone.
    pub(crate) fn is_timestamp(&self) -> bool {
        self.metadata.base == BaseType::Timestamp
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

impl ColumnDescription {
    /// Describes each of `columns`.
    #[must_use]
    pub fn of_all(columns: &[Column]) -> Vec<Self> {
        columns.iter().map(Self::from).collect()
    }
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
