//! Converts the values of one column to text. The conversion is chosen once per
//! column from its type and the user's options, and is the same for every
//! format. Each format itself quotes, escapes and represents NULL.

use super::{BinaryEncoding, Booleans, InvalidUtf8, TextOptions, ZeroDates, encode::Encoding};
use crate::{
    row::{Row, Value},
    schema::{Column, ColumnType, FloatLayout, Schema},
    text::warning,
};

mod values;

#[cfg(feature = "columnar")]
pub(super) use values::{NOT_BOOL, NOT_FINITE, NOT_UTF8, TYPE_MISMATCH};

/// The policy for leading zeros of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// Numbers have the leading zeros that their column declares by ZEROFILL or
    /// YEAR.
    Keep,
    /// Numbers have none, for formats that do not allow them.
    Strip,
}

/// The result of [`ColumnFormatter::render`] for one value.
#[derive(Debug)]
pub(super) enum Rendered<'a> {
    /// NULL; nothing was written.
    Null,
    /// A zero date, for which the user wants NULL; nothing was written.
    ZeroDate,
    /// The value was written: ASCII that no format has to quote or escape. A
    /// format may still quote it, for example to make it a string.
    Plain,
    /// Text for the format to quote and escape.
    Text(&'a str),
    /// Text for the format to quote and escape, in which U+FFFD replaces the
    /// bytes that are not UTF-8.
    Lossy(&'a [u8]),
    /// Bytes for the format to write in an ASCII encoding, whose characters no
    /// format has to quote or escape.
    Encoded(Encoding, &'a [u8]),
    /// Bytes for the format to escape and write as they are.
    Bytes(&'a [u8]),
}

/// The reason why a value cannot be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueProblem {
    /// The problem, as the end of a sentence whose subject is the value.
    pub problem: &'static str,
    /// The hint that tells the user what to do.
    pub hint: &'static str,
}

impl ValueProblem {
    pub(super) const fn new(problem: &'static str, hint: &'static str) -> Self {
        Self { problem, hint }
    }
}

/// Converts the values of one column to text.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnFormatter {
    /// The index of the column in a row.
    column: usize,
    format: ValueFormat,
}

/// The text form of a column, chosen from its type and the options.
#[derive(Clone, Copy, Debug)]
enum ValueFormat {
    Text(InvalidUtf8),
    Binary(BinaryEncoding),
    Number(Zeros),
    Floating {
        /// The fixed number of decimals; `None` for the shortest form.
        decimals: Option<usize>,
        zeros: Zeros,
    },
    Bit,
    /// TINYINT(1) as `true` or `false`.
    TinyInt1,
    /// BIT(1) as `true` or `false`.
    SingleBit,
    Date(ZeroDates),
    DateTime {
        /// The number of digits of the second's fraction, 0 to 6.
        fraction: usize,
        zero_dates: ZeroDates,
    },
    Time {
        /// The number of digits of the second's fraction, 0 to 6.
        fraction: usize,
    },
}

/// The treatment of a number's leading zeros.
#[derive(Clone, Copy, Debug)]
enum Zeros {
    /// The zeros stay as the server sent them.
    Unchanged,
    /// The number is padded to this many characters: the text protocol sends
    /// the zeros, the binary protocol does not.
    Pad(usize),
    /// The zeros are removed, even if the column does not declare them: MySQL
    /// drops the ZEROFILL attribute in expressions such as IF(), but keeps the
    /// zeros.
    Strip,
}

impl ColumnFormatter {
    /// Returns the formatters of a delimited format, one for each column.
    pub(super) fn for_columns(schema: &Schema, text: TextOptions) -> Vec<Self> {
        let columns = schema.columns.iter().enumerate();
        columns
            .map(|(index, column)| Self::new(index, column, text, Padding::Keep))
            .collect()
    }

    /// Creates the formatter of `column`, which has this `index`.
    pub(super) fn new(
        index: usize,
        column: &Column,
        options: TextOptions,
        padding: Padding,
    ) -> Self {
        let zeros = |zerofill: Option<usize>| match (padding, zerofill) {
            (Padding::Strip, _) => Zeros::Strip,
            (Padding::Keep, Some(width)) => Zeros::Pad(width),
            (Padding::Keep, None) => Zeros::Unchanged,
        };
        let zero_dates = options.zero_dates;
        let format = match column.column_type {
            ColumnType::Text | ColumnType::Json => ValueFormat::Text(options.invalid_utf8),
            ColumnType::Binary => ValueFormat::Binary(options.binary),
            ColumnType::Integer { zerofill } | ColumnType::Decimal { zerofill, .. } => {
                ValueFormat::Number(zeros(zerofill))
            }
            ColumnType::TinyInt1 if options.booleans != Booleans::Number => ValueFormat::TinyInt1,
            ColumnType::TinyInt1 => ValueFormat::Number(zeros(None)),
            ColumnType::Float(FloatLayout { decimals, zerofill })
            | ColumnType::Double(FloatLayout { decimals, zerofill }) => ValueFormat::Floating {
                decimals,
                zeros: zeros(zerofill),
            },
            ColumnType::Bit { width: 1 } if options.booleans == Booleans::Words => {
                ValueFormat::SingleBit
            }
            ColumnType::Bit { .. } => ValueFormat::Bit,
            ColumnType::Date => ValueFormat::Date(zero_dates),
            ColumnType::DateTime { fraction } => ValueFormat::DateTime {
                fraction,
                zero_dates,
            },
            ColumnType::Time { fraction } => ValueFormat::Time { fraction },
        };
        Self {
            column: index,
            format,
        }
    }

    /// Returns whether the values are `true` and `false`.
    pub(super) const fn writes_words(&self) -> bool {
        matches!(self.format, ValueFormat::TinyInt1 | ValueFormat::SingleBit)
    }

    /// The name of the text form, for people.
    pub(super) const fn format_name(&self) -> &'static str {
        match self.format {
            ValueFormat::Text(_) => "text",
            ValueFormat::Binary(BinaryEncoding::Base64) => "base64",
            ValueFormat::Binary(BinaryEncoding::Hex) => "hexadecimal",
            ValueFormat::Binary(BinaryEncoding::Utf8) => "bytes as text",
            ValueFormat::Binary(BinaryEncoding::Raw) => "escaped bytes",
            ValueFormat::Binary(BinaryEncoding::Postgres) => "\\x and hexadecimal",
            ValueFormat::TinyInt1 | ValueFormat::SingleBit => "true or false",
            ValueFormat::Number(_) | ValueFormat::Floating { .. } | ValueFormat::Bit => "number",
            ValueFormat::Date(_) => "date",
            ValueFormat::DateTime { .. } => "date and time",
            ValueFormat::Time { .. } => "time",
        }
    }

    /// Converts the column's value in `row` to text. A value that needs no
    /// escaping is appended to `out`; any other is returned for the format to
    /// escape.
    ///
    /// # Errors
    /// [`ValueProblem`] if the value does not match the column's type or is not
    /// valid UTF-8 where it must be.
    #[inline(always)]
    pub(super) fn render<'a>(
        &self,
        row: Row<'a>,
        out: &mut Vec<u8>,
    ) -> Result<Rendered<'a>, ValueProblem> {
        // Each arm calls this itself, so that it tests only for the kinds of value
        // that its column can have.
        let value = || row.value(self.column);
        match self.format {
            ValueFormat::Text(invalid) => values::text(value(), invalid),
            ValueFormat::Number(zeros) => values::number(value(), zeros, out),
            ValueFormat::Floating { decimals, zeros } => {
                values::floating(value(), decimals, zeros, out)
            }
            ValueFormat::Date(zero_dates) => values::date(value(), zero_dates, out),
            ValueFormat::DateTime {
                fraction,
                zero_dates,
            } => values::date_time(value(), fraction, zero_dates, out),
            ValueFormat::Time { fraction } => values::time(value(), fraction, out),
            ValueFormat::Binary(encoding) => values::binary(value(), encoding),
            ValueFormat::Bit => values::bit(value(), out),
            ValueFormat::TinyInt1 => values::tiny_int_1(value(), out),
            ValueFormat::SingleBit => values::single_bit(value(), out),
        }
    }

    /// Returns whether the server sent the column's value in `row` as bytes, not
    /// as a typed number.
    pub(super) fn is_sent_as_bytes(&self, row: Row<'_>) -> bool {
        matches!(row.value(self.column), Value::Bytes(_))
    }
}

/// The numbers of values that a document does not hold as they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Altered {
    /// Values that were not UTF-8.
    pub lossy: u64,
    /// Zero dates, written as NULL.
    pub zero_dates: u64,
}

impl Altered {
    /// Counts `rendered`, if the document does not hold it as it is.
    pub(super) fn count(&mut self, rendered: &Rendered<'_>) {
        self.lossy += u64::from(matches!(rendered, Rendered::Lossy(_)));
        self.zero_dates += u64::from(matches!(rendered, Rendered::ZeroDate));
    }

    /// Returns a warning for each number that is not 0.
    pub(super) fn warnings(self) -> Vec<String> {
        let lossy = warning(
            self.lossy,
            "value was not UTF-8; U+FFFD stands for what could not be read",
            "values were not UTF-8; U+FFFD stands for what could not be read",
        );
        let zero_dates = warning(
            self.zero_dates,
            "date whose month or day is zero was written as NULL",
            "dates whose month or day is zero were written as NULL",
        );
        lossy.into_iter().chain(zero_dates).collect()
    }
}
