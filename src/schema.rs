//! What a result set's columns mean, decided once from the server's metadata.
//!
//! A value's text never decides its type: `"00123"` in a text column stays
//! text. How a type is written belongs to the formats.

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
    /// What its values mean.
    pub column_type: ColumnType,
}

/// What a column's values mean, as far as the formats tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Integers, YEAR, DECIMAL, FLOAT and DOUBLE: the server's text is a number,
    /// padded with zeros on the left where the column is declared ZEROFILL.
    Number,
    /// Everything that the server writes as text.
    Text,
}
