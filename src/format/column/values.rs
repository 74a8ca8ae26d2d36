//! Converts single values to text, one function for each form that a column can
//! have. They are inlined into the formatter of the columns.

use super::{
    super::{
        BinaryEncoding, InvalidUtf8, ZeroDates,
        encode::Encoding,
        number::{self, parse_number},
        temporal,
    },
    Rendered, ValueProblem, Zeros,
};
use crate::row::{Value, bits_of};

pub(in crate::format) const NOT_UTF8: ValueProblem = ValueProblem::new(
    "is not UTF-8",
    "--invalid-utf8 replace goes on, or convert it in the query, for example with HEX()",
);
const BINARY_NOT_UTF8: ValueProblem =
    ValueProblem::new("is not UTF-8", "choose --binary base64 or hex");
pub(in crate::format) const TYPE_MISMATCH: ValueProblem = ValueProblem::new(
    "is not what its column's type says",
    "CAST it in the query (MySQL does this for IF() over BIT); else the server or a proxy broke the protocol",
);
pub(in crate::format) const NOT_FINITE: ValueProblem = ValueProblem::new(
    "is not a finite number",
    "MariaDB sends infinity where an expression such as VAR_POP() overflows: make its values smaller in the query",
);
const ZERO_DATE: ValueProblem = ValueProblem::new(
    "is a date whose month or day is zero",
    "--zero-dates null writes NULL in its place, keep writes it as it is",
);
pub(in crate::format) const NOT_BOOL: ValueProblem = ValueProblem::new(
    "is neither 0 nor 1",
    "write the column as numbers (--booleans number, no --tinyint1-as-bool), or `column <> 0` in the query",
);

/// The text of a value, or the reason why it has none.
type Conversion<'a> = Result<Rendered<'a>, ValueProblem>;

/// Checks that the bytes of a text are UTF-8.
#[inline(always)]
pub(super) fn text(value: Value<'_>, invalid: InvalidUtf8) -> Conversion<'_> {
    let bytes = match value {
        Value::Bytes(bytes) => bytes,
        Value::Null => return Ok(Rendered::Null),
        _ => return Err(TYPE_MISMATCH),
    };
    match (std::str::from_utf8(bytes), invalid) {
        (Ok(text), _) => Ok(Rendered::Text(text)),
        (Err(_), InvalidUtf8::Replace) => Ok(Rendered::Lossy(bytes)),
        (Err(_), InvalidUtf8::Error) => Err(NOT_UTF8),
    }
}

/// Chooses the result for bytes.
#[inline(always)]
pub(super) fn binary(value: Value<'_>, encoding: BinaryEncoding) -> Conversion<'_> {
    let bytes = match value {
        Value::Bytes(bytes) => bytes,
        Value::Null => return Ok(Rendered::Null),
        _ => return Err(TYPE_MISMATCH),
    };
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

/// Appends an integer or a DECIMAL.
#[inline(always)]
pub(super) fn number<'a>(value: Value<'a>, zeros: Zeros, out: &mut Vec<u8>) -> Conversion<'a> {
    let start = out.len();
    match value {
        Value::Int(number) => number::write_integer(number, out),
        Value::UInt(number) => number::write_integer(number, out),
        Value::Bytes(bytes) => copy_number(bytes, zeros, out)?,
        Value::Null => return Ok(Rendered::Null),
        _ => return Err(TYPE_MISMATCH),
    }
    pad_zeros(zeros, start, out);
    Ok(Rendered::Plain)
}

/// Appends a FLOAT or a DOUBLE.
#[inline(always)]
pub(super) fn floating<'a>(
    value: Value<'a>,
    decimals: Option<usize>,
    zeros: Zeros,
    out: &mut Vec<u8>,
) -> Conversion<'a> {
    let start = out.len();
    match (value, decimals) {
        (Value::Double(number), _) if !number.is_finite() => return Err(NOT_FINITE),
        (Value::Float(number), _) if !number.is_finite() => return Err(NOT_FINITE),
        (Value::Double(number), None) => number::write_double(number, out),
        (Value::Double(number), Some(decimals)) => {
            number::write_fixed_double(number, decimals, out);
        }
        (Value::Float(number), None) => number::write_float(number, out),
        (Value::Float(number), Some(decimals)) => {
            number::write_fixed_float(number, decimals, out);
        }
        (Value::Bytes(bytes), _) => copy_number(bytes, zeros, out)?,
        (Value::Null, _) => return Ok(Rendered::Null),
        _ => return Err(TYPE_MISMATCH),
    }
    pad_zeros(zeros, start, out);
    Ok(Rendered::Plain)
}

/// Appends a DATE.
#[inline(always)]
pub(super) fn date<'a>(
    value: Value<'a>,
    zero_dates: ZeroDates,
    out: &mut Vec<u8>,
) -> Conversion<'a> {
    match value {
        Value::Null => return Ok(Rendered::Null),
        value if zero_dates != ZeroDates::Keep && is_zero_date(value) => {
            return zero_date(zero_dates);
        }
        Value::DateTime(point) if point.is_in_range() && point.is_midnight() => {
            temporal::write_date(point, out);
        }
        Value::Bytes(bytes) => copy_digits(bytes, b"-: .", out)?,
        _ => return Err(TYPE_MISMATCH),
    }
    Ok(Rendered::Plain)
}

/// Appends a DATETIME or a TIMESTAMP with `fraction` digits of the second's fraction.
#[inline(always)]
pub(super) fn date_time<'a>(
    value: Value<'a>,
    fraction: usize,
    zero_dates: ZeroDates,
    out: &mut Vec<u8>,
) -> Conversion<'a> {
    match value {
        Value::Null => return Ok(Rendered::Null),
        value if zero_dates != ZeroDates::Keep && is_zero_date(value) => {
            return zero_date(zero_dates);
        }
        Value::DateTime(point) if point.is_in_range() => {
            temporal::write_datetime(point, fraction, out);
        }
        Value::Bytes(bytes) => copy_with_fraction(bytes, b"-: .", fraction, out)?,
        _ => return Err(TYPE_MISMATCH),
    }
    Ok(Rendered::Plain)
}

/// Appends a TIME with `fraction` digits of the second's fraction.
#[inline(always)]
pub(super) fn time<'a>(value: Value<'a>, fraction: usize, out: &mut Vec<u8>) -> Conversion<'a> {
    match value {
        Value::Time(span) if span.is_in_range() => temporal::write_time(span, fraction, out),
        Value::Bytes(bytes) => copy_with_fraction(bytes, b"-:.", fraction, out)?,
        Value::Null => return Ok(Rendered::Null),
        _ => return Err(TYPE_MISMATCH),
    }
    Ok(Rendered::Plain)
}

/// Appends a BIT(n) as a number.
#[inline(always)]
pub(super) fn bit<'a>(value: Value<'a>, out: &mut Vec<u8>) -> Conversion<'a> {
    match value {
        Value::Bytes(bytes) => number::write_integer(bits(bytes)?, out),
        Value::Null => return Ok(Rendered::Null),
        _ => return Err(TYPE_MISMATCH),
    }
    Ok(Rendered::Plain)
}

/// Appends a TINYINT(1) as `true` or `false`.
#[inline(always)]
pub(super) fn tiny_int_1<'a>(value: Value<'a>, out: &mut Vec<u8>) -> Conversion<'a> {
    match value {
        Value::Int(0) | Value::UInt(0) | Value::Bytes(b"0") => write_bool(false, out),
        Value::Int(1) | Value::UInt(1) | Value::Bytes(b"1") => write_bool(true, out),
        Value::Null => return Ok(Rendered::Null),
        Value::Int(_) | Value::UInt(_) | Value::Bytes(_) => return Err(NOT_BOOL),
        _ => return Err(TYPE_MISMATCH),
    }
    Ok(Rendered::Plain)
}

/// Appends a BIT(1) as `true` or `false`.
#[inline(always)]
pub(super) fn single_bit<'a>(value: Value<'a>, out: &mut Vec<u8>) -> Conversion<'a> {
    match value {
        Value::Bytes(bytes) => match bits(bytes)? {
            bit @ (0 | 1) => write_bool(bit == 1, out),
            _ => return Err(TYPE_MISMATCH),
        },
        Value::Null => return Ok(Rendered::Null),
        _ => return Err(TYPE_MISMATCH),
    }
    Ok(Rendered::Plain)
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

/// Appends the server's text for a number, without a point at its end: MariaDB writes
/// `0.` for an expression of 0.4 that it declares to have no decimals.
///
/// # Errors
/// [`TYPE_MISMATCH`] if `text` is not a number.
fn copy_number(text: &[u8], zeros: Zeros, out: &mut Vec<u8>) -> Result<(), ValueProblem> {
    let start = out.len();
    if !parse_number(text).is_some_and(|number| number.is_server_number()) {
        return Err(TYPE_MISMATCH);
    }
    out.extend_from_slice(text.strip_suffix(b".").unwrap_or(text));
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
