//! Converts the values of one column to text. The conversion is chosen once per
//! column from its type and the user's options, and is the same for every
//! format. Each format itself quotes, escapes and represents NULL.

use super::{
    BinaryEncoding, Booleans, InvalidUtf8, TextOptions, ZeroDates,
    encode::Encoding,
    number::{self, parse_number},
    temporal,
};
use crate::{
    row::{Row, Value, bits_of},
    schema::{Column, ColumnType, FloatLayout, Schema},
    text::warning,
};

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

const NOT_UTF8: ValueProblem = ValueProblem::new(
    "is not UTF-8",
    "--invalid-utf8 replace goes on, or convert it in the query, for example with HEX()",
);
const BINARY_NOT_UTF8: ValueProblem =
    ValueProblem::new("is not UTF-8", "choose --binary base64 or hex");
const TYPE_MISMATCH: ValueProblem = ValueProblem::new(
    "is not what its column's type says",
    "CAST it in the query (MySQL does this for IF() over BIT); else the server or a proxy broke the protocol",
);
const ZERO_DATE: ValueProblem = ValueProblem::new(
    "is a date whose month or day is zero",
    "--zero-dates null writes NULL in its place, keep writes it as it is",
);
const NOT_BOOL: ValueProblem = ValueProblem::new(
    "is neither 0 nor 1",
    "write the column as numbers (--booleans number, no --tinyint1-as-bool), or `column <> 0` in the query",
);

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
        let start = out.len();
        match self.format {
            ValueFormat::Text(invalid) => match value() {
                Value::Bytes(bytes) => return text(bytes, invalid),
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
            ValueFormat::Number(zeros) => {
                match value() {
                    Value::Int(number) => number::write_integer(number, out),
                    Value::UInt(number) => number::write_integer(number, out),
                    Value::Bytes(bytes) => copy_number(bytes, zeros, out)?,
                    Value::Null => return Ok(Rendered::Null),
                    _ => return Err(TYPE_MISMATCH),
                }
                pad_zeros(zeros, start, out);
            }
            ValueFormat::Floating { decimals, zeros } => {
                match (value(), decimals) {
                    (Value::Double(number), _) if !number.is_finite() => return Err(TYPE_MISMATCH),
                    (Value::Float(number), _) if !number.is_finite() => return Err(TYPE_MISMATCH),
                    (Value::Double(number), None) => number::write_double(number, out),
                    (Value::Double(number), Some(decimals)) => {
                        number::write_fixed(number, decimals, out)
                    }
                    (Value::Float(number), None) => number::write_float(number, out),
                    (Value::Float(number), Some(decimals)) => {
                        number::write_fixed(f64::from(number), decimals, out)
                    }
                    (Value::Bytes(bytes), _) => copy_number(bytes, zeros, out)?,
                    (Value::Null, _) => return Ok(Rendered::Null),
                    _ => return Err(TYPE_MISMATCH),
                }
                pad_zeros(zeros, start, out);
            }
            ValueFormat::Date(zero_dates) => match value() {
                Value::Null => return Ok(Rendered::Null),
                value if zero_dates != ZeroDates::Keep && is_zero_date(value) => {
                    return zero_date(zero_dates);
                }
                Value::DateTime(point) if point.is_in_range() && point.is_midnight() => {
                    temporal::write_date(point, out);
                }
                Value::Bytes(bytes) => copy_digits(bytes, b"-: .", out)?,
                _ => return Err(TYPE_MISMATCH),
            },
            ValueFormat::DateTime {
                fraction,
                zero_dates,
            } => match value() {
                Value::Null => return Ok(Rendered::Null),
                value if zero_dates != ZeroDates::Keep && is_zero_date(value) => {
                    return zero_date(zero_dates);
                }
                Value::DateTime(point) if point.is_in_range() => {
                    temporal::write_datetime(point, fraction, out);
                }
                Value::Bytes(bytes) => copy_with_fraction(bytes, b"-: .", fraction, out)?,
                _ => return Err(TYPE_MISMATCH),
            },
            ValueFormat::Time { fraction } => match value() {
                Value::Time(span) if span.is_in_range() => {
                    temporal::write_time(span, fraction, out);
                }
                Value::Bytes(bytes) => copy_with_fraction(bytes, b"-:.", fraction, out)?,
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
            ValueFormat::Binary(encoding) => match value() {
                Value::Bytes(bytes) => return binary(bytes, encoding),
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
            ValueFormat::Bit => match value() {
                Value::Bytes(bytes) => number::write_integer(bits(bytes)?, out),
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
            ValueFormat::TinyInt1 => match value() {
                Value::Int(0) | Value::UInt(0) | Value::Bytes(b"0") => write_bool(false, out),
                Value::Int(1) | Value::UInt(1) | Value::Bytes(b"1") => write_bool(true, out),
                Value::Null => return Ok(Rendered::Null),
                Value::Int(_) | Value::UInt(_) | Value::Bytes(_) => return Err(NOT_BOOL),
                _ => return Err(TYPE_MISMATCH),
            },
            ValueFormat::SingleBit => match value() {
                Value::Bytes(bytes) => match bits(bytes)? {
                    bit @ (0 | 1) => write_bool(bit == 1, out),
                    _ => return Err(TYPE_MISMATCH),
                },
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
        }
        Ok(Rendered::Plain)
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

/// Checks that the bytes of a text column are UTF-8.
#[inline]
fn text(bytes: &[u8], invalid: InvalidUtf8) -> Result<Rendered<'_>, ValueProblem> {
    match (std::str::from_utf8(bytes), invalid) {
        (Ok(text), _) => Ok(Rendered::Text(text)),
        (Err(_), InvalidUtf8::Replace) => Ok(Rendered::Lossy(bytes)),
        (Err(_), InvalidUtf8::Error) => Err(NOT_UTF8),
    }
}

/// Chooses the result for the bytes of a binary column.
fn binary(bytes: &[u8], encoding: BinaryEncoding) -> Result<Rendered<'_>, ValueProblem> {
    Ok(match encoding {
        BinaryEncoding::Base64 => Rendered::Encoded(Encoding::Base64, bytes),
        BinaryEncoding::Hex => Rendered::Encoded(Encoding::Hex, bytes),
        BinaryEncoding::Utf8 => {
            Rendered::Text(std::str::from_utf8(bytes).map_err(|_| BINARY_NOT_UTF8)?)
        }
        BinaryEncoding::Raw => Rendered::Bytes(bytes),
        BinaryEncoding::Postgres => Rendered::Encoded(Encoding::Postgres, bytes),
    })
}

/// Appends `true` or `false`.
fn write_bool(truth: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if truth { b"true" } else { b"false" });
}

/// Returns what a zero date becomes where it is not written as it is.
#[cold]
fn zero_date(policy: ZeroDates) -> Result<Rendered<'static>, ValueProblem> {
    match policy {
        ZeroDates::Error => Err(ZERO_DATE),
        ZeroDates::Keep | ZeroDates::Null => Ok(Rendered::ZeroDate),
    }
}

/// Appends the server's text for a number.
///
/// # Errors
/// [`TYPE_MISMATCH`] if `text` is not a number.
fn copy_number(text: &[u8], zeros: Zeros, out: &mut Vec<u8>) -> Result<(), ValueProblem> {
    let start = out.len();
    if !parse_number(text).is_some_and(|number| number.is_server_number()) {
        return Err(TYPE_MISMATCH);
    }
    out.extend_from_slice(text);
    strip_zeros(zeros, start, out);
    Ok(())
}

/// Adds the leading zeros that the column declares to the number that begins at
/// `start`.
#[inline]
fn pad_zeros(zeros: Zeros, start: usize, out: &mut Vec<u8>) {
    if let Zeros::Pad(width) = zeros {
        insert_zeros(width, start, out);
    }
}

#[cold]
fn insert_zeros(width: usize, start: usize, out: &mut Vec<u8>) {
    let missing = width.saturating_sub(out.len() - start);
    out.splice(start..start, std::iter::repeat_n(b'0', missing));
}

/// Removes surplus leading zeros from the number that begins at `start`.
fn strip_zeros(zeros: Zeros, start: usize, out: &mut Vec<u8>) {
    let number = &out[start..];
    if !matches!(zeros, Zeros::Strip) || number.first() != Some(&b'0') {
        return;
    }
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    // One digit must stay before the end, a point or an exponent.
    let digits = number[zeros..].first().is_some_and(u8::is_ascii_digit);
    let surplus = zeros - usize::from(!digits);
    out.drain(start..start + surplus);
}

/// Appends the server's text for a date or a time. Text other than digits with
/// `separators` between them is refused: it is no date or time, and could break
/// a format that does not escape it.
#[inline]
fn copy_digits(text: &[u8], separators: &[u8], out: &mut Vec<u8>) -> Result<(), ValueProblem> {
    // A sign may come first; separators are allowed only after a digit.
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let mut follows_digit = false;
    for byte in unsigned {
        let is_digit = byte.is_ascii_digit();
        if !(is_digit || follows_digit && separators.contains(byte)) {
            return Err(TYPE_MISMATCH);
        }
        follows_digit = is_digit;
    }
    if !follows_digit {
        return Err(TYPE_MISMATCH);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// Appends the server's text for a time or datetime with all `fraction` digits
/// that its column declares: MariaDB omits them in some expressions.
fn copy_with_fraction(
    text: &[u8],
    separators: &[u8],
    fraction: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueProblem> {
    copy_digits(text, separators, out)?;
    if fraction > 0 {
        let digits = text.iter().rev().position(|byte| *byte == b'.');
        if digits.is_none() {
            out.push(b'.');
        }
        let missing = fraction.saturating_sub(digits.unwrap_or(0));
        out.resize(out.len() + missing, b'0');
    }
    Ok(())
}

/// Converts a BIT(n) value to an integer: both protocols send it as up to eight
/// bytes, the most significant first.
fn bits(bytes: &[u8]) -> Result<u64, ValueProblem> {
    if bytes.len() > 8 {
        return Err(TYPE_MISMATCH);
    }
    Ok(bits_of(bytes))
}

/// Returns whether the month or the day of a date is zero.
fn is_zero_date(value: Value<'_>) -> bool {
    match value {
        Value::DateTime(point) => point.month == 0 || point.day == 0,
        Value::Bytes(text) => temporal::is_zero_date_text(text),
        _ => false,
    }
}
