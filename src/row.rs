//! A borrowed view of one row's values. It copies nothing and keeps nothing.

use mysql_common::row::new_row;

/// One row of a result set. It is valid until the next one is read.
///
/// It is a single pointer: a view that can be of several kinds costs 5 % of an
/// export's instructions. Rows that do not come from the driver are therefore
/// kept in its form, see [`MemoryRow`].
#[derive(Clone, Copy, Debug)]
pub struct Row<'a>(&'a mysql::Row);

/// A row in memory, which does not come from a server.
///
/// ```
/// use gold_digger::row::{MemoryRow, Value};
///
/// let row = MemoryRow::new(&[Value::Int(1), Value::Bytes(b"Ann"), Value::Null]);
/// assert_eq!(row.view().value(1), Value::Bytes(b"Ann"));
/// ```
#[derive(Clone, Debug)]
pub struct MemoryRow(mysql::Row);

impl MemoryRow {
    /// A row of copies of these values, one a column.
    #[must_use]
    pub fn new(values: &[Value<'_>]) -> Self {
        let column = mysql::Column::new(mysql::consts::ColumnType::MYSQL_TYPE_NULL);
        let columns: Vec<mysql::Column> = vec![column; values.len()];
        let values = values.iter().map(|value| value.to_driver()).collect();
        Self(new_row(values, columns.into()))
    }

    /// A view of it, as writers take it.
    #[must_use]
    pub const fn view(&self) -> Row<'_> {
        Row(&self.0)
    }
}

/// One value in the form in which the server sent it: the text protocol sends
/// every value except NULL as bytes, the binary protocol sends numbers and dates
/// typed.
///
/// ```
/// use gold_digger::row::Value;
///
/// /// Whether a value is an integer, in the text or the binary protocol.
/// fn is_integer(value: Value<'_>) -> bool {
///     match value {
///         Value::Int(_) | Value::UInt(_) => true,
///         Value::Bytes(text) => str::from_utf8(text).is_ok_and(|text| text.parse::<i64>().is_ok()),
///         _ => false,
///     }
/// }
/// assert!(is_integer(Value::Int(-1)) && is_integer(Value::Bytes(b"-1")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// The server's text for the value, or the bytes of a binary value.
    Bytes(&'a [u8]),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    UInt(u64),
    /// A FLOAT, 32 bits.
    Float(f32),
    /// A DOUBLE, 64 bits.
    Double(f64),
    /// A DATE, DATETIME or TIMESTAMP.
    DateTime(DateTime),
    /// A TIME.
    Time(Time),
}

/// Returns the number that the bytes of a BIT(n) are: its bits, the most significant
/// first. Of more than eight bytes, the last eight count.
#[inline]
pub(crate) fn bits_of(bytes: &[u8]) -> u64 {
    let add = |bits, byte: &u8| bits << 8 | u64::from(*byte);
    bytes.iter().fold(0, add)
}

/// A calendar date with a time of day, as the server stores it. It can also be
/// `0000-00-00` or a date whose month or day is zero (MySQL manual, "Date and
/// Time Data Types").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// The year, 0 to 9999.
    pub year: u16,
    /// The month, 0 to 12.
    pub month: u8,
    /// The day of the month, 0 to 31.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 59.
    pub second: u8,
    /// The fraction of the second in microseconds, 0 to 999999.
    pub micros: u32,
}

/// A span of time, positive or negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Whether the span is negative.
    pub negative: bool,
    /// The hours, including those of the days, 0 to 838.
    pub hours: u64,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 59.
    pub second: u8,
    /// The fraction of the second in microseconds, 0 to 999999.
    pub micros: u32,
}

impl DateTime {
    /// Returns whether every field is in its documented range.
    #[inline]
    pub(crate) const fn is_in_range(self) -> bool {
        self.year < 10_000
            && self.month <= 12
            && self.day <= 31
            && self.hour < 24
            && self.minute < 60
            && self.second < 60
            && self.micros < 1_000_000
    }

    /// Returns whether the time of day is 00:00:00.
    #[inline]
    pub(crate) const fn is_midnight(self) -> bool {
        self.hour == 0 && self.minute == 0 && self.second == 0 && self.micros == 0
    }
}

impl Time {
    /// Returns whether every field is in its documented range.
    #[inline]
    pub(crate) const fn is_in_range(self) -> bool {
        self.hours < 839 && self.minute < 60 && self.second < 60 && self.micros < 1_000_000
    }
}

impl<'a> Row<'a> {
    /// A view of a row of the driver, for this crate and its benchmarks.
    #[doc(hidden)]
    #[must_use]
    pub const fn from_driver(row: &'a mysql::Row) -> Self {
        Self(row)
    }

    /// A copy of the row.
    #[must_use]
    pub fn to_owned(self) -> MemoryRow {
        MemoryRow(self.0.clone())
    }

    /// The value of column number `index`, counted from 0; [`Value::Null`] behind
    /// the last column.
    #[inline]
    #[must_use]
    pub fn value(self, index: usize) -> Value<'a> {
        // Nothing takes values out of rows, so that all are there.
        self.0.as_ref(index).map_or(Value::Null, Value::new)
    }
}

impl<'a> Value<'a> {
    #[inline]
    fn new(value: &'a mysql::Value) -> Self {
        match *value {
            mysql::Value::NULL => Self::Null,
            mysql::Value::Bytes(ref bytes) => Self::Bytes(bytes),
            mysql::Value::Int(number) => Self::Int(number),
            mysql::Value::UInt(number) => Self::UInt(number),
            mysql::Value::Float(number) => Self::Float(number),
            mysql::Value::Double(number) => Self::Double(number),
            mysql::Value::Date(year, month, day, hour, minute, second, micros) => {
                Self::DateTime(DateTime {
                    year,
                    month,
                    day,
                    hour,
                    minute,
                    second,
                    micros,
                })
            }
            mysql::Value::Time(negative, days, hours, minute, second, micros) => Self::Time(Time {
                negative,
                hours: u64::from(days) * 24 + u64::from(hours),
                minute,
                second,
                micros,
            }),
        }
    }

    /// The value in the driver's form.
    fn to_driver(self) -> mysql::Value {
        match self {
            Self::Null => mysql::Value::NULL,
            Self::Bytes(bytes) => mysql::Value::Bytes(bytes.to_vec()),
            Self::Int(number) => mysql::Value::Int(number),
            Self::UInt(number) => mysql::Value::UInt(number),
            Self::Float(number) => mysql::Value::Float(number),
            Self::Double(number) => mysql::Value::Double(number),
            Self::DateTime(point) => mysql::Value::Date(
                point.year,
                point.month,
                point.day,
                point.hour,
                point.minute,
                point.second,
                point.micros,
            ),
            Self::Time(span) => mysql::Value::Time(
                span.negative,
                u32::try_from(span.hours / 24).unwrap_or(u32::MAX),
                (span.hours % 24) as u8,
                span.minute,
                span.second,
                span.micros,
            ),
        }
    }
}
