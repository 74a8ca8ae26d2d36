//! Rows that own their values, for programs that keep rows or want their values
//! as types of their own.

use std::{error::Error, fmt, sync::Arc};

use crate::{
    row::{DateTime, MemoryRow, Row, Time, Value},
    schema::Schema,
};

/// One row that owns its values.
///
/// ```
/// use std::sync::Arc;
/// use gold_digger::{
///     row::{MemoryRow, Value},
///     schema::{Column, ColumnType, Schema},
///     source::OwnedRow,
/// };
///
/// let column = |name, column_type| Column::new(name, "", column_type);
/// let schema = Arc::new(Schema {
///     columns: vec![
///         column("id", ColumnType::Integer { zerofill: None }),
///         column("name", ColumnType::Text),
///     ],
/// });
/// let row = OwnedRow::new(MemoryRow::new(&[Value::Int(7), Value::Null]), schema);
/// assert_eq!(row.get::<i64>("id")?, 7);
/// assert_eq!(row.get::<Option<String>>("name")?, None);
/// assert!(row.get::<String>("name").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct OwnedRow {
    row: MemoryRow,
    schema: Arc<Schema>,
}

impl OwnedRow {
    /// `row` with its columns.
    #[must_use]
    pub const fn new(row: MemoryRow, schema: Arc<Schema>) -> Self {
        Self { row, schema }
    }

    /// The columns of the row.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The row as writers take it.
    #[must_use]
    pub const fn view(&self) -> Row<'_> {
        self.row.view()
    }

    /// The value of column number `index`, counted from 0; [`Value::Null`] behind
    /// the last column.
    #[must_use]
    pub fn value(&self, index: usize) -> Value<'_> {
        self.view().value(index)
    }

    /// The value of the first column called `name`, as a `T`.
    ///
    /// # Errors
    /// Where there is no such column, and where a `T` cannot hold the value
    /// exactly.
    pub fn get<'a, T: FromValue<'a>>(&'a self, name: &str) -> Result<T, ConversionError> {
        let mut columns = self.schema.columns.iter();
        let index = columns.position(|column| column.name == name);
        let missing = || ConversionError(format!("there is no column {name:?}"));
        self.at(index.ok_or_else(missing)?)
    }

    /// The value of column number `index`, counted from 0, as a `T`.
    ///
    /// # Errors
    /// Where there is no such column, and where a `T` cannot hold the value
    /// exactly.
    pub fn at<'a, T: FromValue<'a>>(&'a self, index: usize) -> Result<T, ConversionError> {
        let column = self.schema.columns.get(index);
        let missing = || ConversionError(format!("there is no column number {index}"));
        let column = column.ok_or_else(missing)?;
        let value = self.value(index);
        T::from_value(value).ok_or_else(|| {
            let (name, kind) = (&column.name, std::any::type_name::<T>());
            ConversionError(match value {
                Value::Null => format!("column {name:?} is NULL, which {kind} cannot hold"),
                _ => format!("column {name:?} has a value that {kind} cannot hold exactly"),
            })
        })
    }
}

/// Why a value is not available as a type. It does not show the value, which may
/// be personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversionError(String);

impl fmt::Display for ConversionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConversionError {}

/// A type that can hold values of some columns exactly.
///
/// Integers, floats, texts, bytes, [`DateTime`] and [`Time`] can be read as
/// themselves, and anything as an `Option`, where `None` is NULL. The text that a
/// DECIMAL, JSON or the text protocol brings can be read as a number too, where
/// the number holds all of it.
pub trait FromValue<'a>: Sized {
    /// `value` as this type; `None` where it cannot be held exactly.
    fn from_value(value: Value<'a>) -> Option<Self>;
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl FromValue<'_> for $integer {
            fn from_value(value: Value<'_>) -> Option<Self> {
                match value {
                    Value::Int(number) => number.try_into().ok(),
                    Value::UInt(number) => number.try_into().ok(),
                    Value::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
                    _ => None,
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, u8, u16, u32, u64, u128);

impl FromValue<'_> for f64 {
    /// A text is not read: decimal digits beyond a double's would be lost.
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Double(number) => Some(number),
            Value::Float(number) => Some(number.into()),
            _ => None,
        }
    }
}

impl FromValue<'_> for f32 {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Float(number) => Some(number),
            _ => None,
        }
    }
}

impl<'a> FromValue<'a> for &'a str {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Bytes(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }
}

impl FromValue<'_> for String {
    fn from_value(value: Value<'_>) -> Option<Self> {
        <&str>::from_value(value).map(str::to_owned)
    }
}

impl<'a> FromValue<'a> for &'a [u8] {
    fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl FromValue<'_> for Vec<u8> {
    fn from_value(value: Value<'_>) -> Option<Self> {
        <&[u8]>::from_value(value).map(<[u8]>::to_vec)
    }
}

impl FromValue<'_> for DateTime {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::DateTime(point) => Some(point),
            _ => None,
        }
    }
}

impl FromValue<'_> for Time {
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Time(span) => Some(span),
            _ => None,
        }
    }
}
