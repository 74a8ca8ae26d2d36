//! How the values of one column become text: decided once per column from its
//! type and the user's settings, the same for every format. Quoting, escaping
//! and what stands for NULL are the formats' own.

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::ValueEnum;

use super::{FormatOptions, number, temporal};
use crate::{
    row::Value,
    schema::{ColumnType, FloatLayout, Schema},
};

/// How bytes without a character set are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BinaryEncoding {
    /// Base64 (RFC 4648, section 4), with padding
    #[default]
    Base64,
    /// Two lower-case hexadecimal digits a byte
    Hex,
    /// As text; bytes that are not UTF-8 are an error
    Utf8,
    /// TSV only: the bytes themselves, escaped as LOAD DATA reads them
    Raw,
}

/// What becomes of text that is not UTF-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum InvalidUtf8 {
    /// An error that names row and column
    #[default]
    Error,
    /// U+FFFD in its place; how many values is said at the end
    Replace,
}

/// What becomes of dates whose month or day is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ZeroDates {
    /// Written as they are
    #[default]
    Keep,
    /// Written as NULL
    Null,
}

/// What becomes of the zeros that ZEROFILL and YEAR put before a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// Written as declared.
    Keep,
    /// Left out, for formats whose numbers have none.
    Strip,
}

/// The settings that decide on a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct CellOptions {
    pub binary: BinaryEncoding,
    pub invalid_utf8: InvalidUtf8,
    pub zero_dates: ZeroDates,
    pub padding: Padding,
}

/// What [`Cell::render`] made of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rendered<'a> {
    /// NULL; nothing was written.
    Null,
    /// It has been written: ASCII that no format has to quote or escape.
    Plain,
    /// Text for the format to quote and escape.
    Text(Cow<'a, str>),
    /// Bytes for the format to escape.
    Bytes(&'a [u8]),
}

/// Why a value cannot be written: the problem, and what to do about it.
pub(super) type Refusal = (&'static str, &'static str);

const NOT_UTF8: Refusal = (
    "is not UTF-8",
    "--invalid-utf8 replace goes on, or convert it in the query, for example with HEX()",
);
const BINARY_NOT_UTF8: Refusal = ("is not UTF-8", "choose --binary base64 or hex");
const BROKEN: Refusal = (
    "is not what its column's type says",
    "CAST it in the query (MySQL does this for IF() over BIT); else the server or a proxy broke the protocol",
);

/// One column's way from value to text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    column_type: ColumnType,
    options: CellOptions,
}

impl Cell {
    /// The cells of a text format, one a column.
    pub(super) fn for_columns(schema: &Schema, options: &FormatOptions) -> Vec<Self> {
        let options = CellOptions {
            binary: options.binary,
            invalid_utf8: options.invalid_utf8,
            zero_dates: ZeroDates::Keep,
            padding: Padding::Keep,
        };
        let columns = schema.columns.iter();
        columns
            .map(|column| Self::new(column.column_type, options))
            .collect()
    }

    pub(super) const fn new(column_type: ColumnType, options: CellOptions) -> Self {
        Self {
            column_type,
            options,
        }
    }

    /// Makes text of `value`: writes it to `out` where it needs nothing more,
    /// else hands it back to be escaped.
    pub(super) fn render<'a>(
        &self,
        value: Value<'a>,
        out: &mut Vec<u8>,
    ) -> Result<Rendered<'a>, Refusal> {
        if value == Value::Null {
            return Ok(Rendered::Null);
        }
        match self.column_type {
            ColumnType::Text | ColumnType::Json => {
                return text(value, self.options.invalid_utf8);
            }
            ColumnType::Binary => return self.binary(value, out),
            ColumnType::Integer { zerofill } | ColumnType::Decimal { zerofill } => {
                self.number(value, zerofill, out)?
            }
            ColumnType::TinyInt1 => self.number(value, None, out)?,
            ColumnType::Float(layout) | ColumnType::Double(layout) => {
                self.float(value, layout, out)?
            }
            ColumnType::Bit => number::write_integer(bits(value)?, out),
            ColumnType::Date | ColumnType::DateTime { .. } => {
                if self.options.zero_dates == ZeroDates::Null && is_zero_date(value) {
                    return Ok(Rendered::Null);
                }
                self.date(value, out)?;
            }
            ColumnType::Time { fraction } => match value {
                Value::Time(span) => temporal::write_time(span, fraction, out),
                value => copy_with_fraction(value, b"-:.", fraction, out)?,
            },
        }
        Ok(Rendered::Plain)
    }

    fn number(
        &self,
        value: Value<'_>,
        zerofill: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let start = out.len();
        match value {
            Value::Int(number) => number::write_integer(number, out),
            Value::UInt(number) => number::write_integer(number, out),
            value => copy(value, b"-+.eE", out)?,
        }
        self.pad(zerofill, start, out);
        Ok(())
    }

    fn float(
        &self,
        value: Value<'_>,
        layout: FloatLayout,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let start = out.len();
        match (value, layout.decimals) {
            (Value::Float(number), _) if !number.is_finite() => return Err(BROKEN),
            (Value::Double(number), _) if !number.is_finite() => return Err(BROKEN),
            (Value::Float(number), None) => number::write_float(number, out),
            (Value::Float(number), Some(decimals)) => {
                number::write_fixed(f64::from(number), decimals, out)
            }
            (Value::Double(number), None) => number::write_double(number, out),
            (Value::Double(number), Some(decimals)) => number::write_fixed(number, decimals, out),
            (value, _) => copy(value, b"-+.eE", out)?,
        }
        self.pad(layout.zerofill, start, out);
        Ok(())
    }

    /// Gives the number that begins at `start` the zeros that its column
    /// declares, which the text protocol brings and the binary protocol does
    /// not; or takes all away. Those can come without the declaration: MySQL
    /// forgets it in expressions such as IF(), and not the zeros.
    fn pad(&self, zerofill: Option<usize>, start: usize, out: &mut Vec<u8>) {
        let number = &out[start..];
        match self.options.padding {
            Padding::Keep => {
                let Some(width) = zerofill else { return };
                let missing = width.saturating_sub(number.len());
                out.splice(start..start, std::iter::repeat_n(b'0', missing));
            }
            Padding::Strip => {
                if number.first() != Some(&b'0') {
                    return;
                }
                let zeros = number.iter().take_while(|byte| **byte == b'0').count();
                // One digit stays before the end, a point or an exponent.
                let digits = number[zeros..].first().is_some_and(u8::is_ascii_digit);
                let surplus = if digits {
                    zeros
                } else {
                    zeros.saturating_sub(1)
                };
                out.drain(start..start + surplus);
            }
        }
    }

    fn date(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match (value, self.column_type) {
            (Value::DateTime(point), ColumnType::DateTime { fraction }) => {
                temporal::write_datetime(point, fraction, out);
                Ok(())
            }
            (Value::DateTime(point), _) => {
                temporal::write_date(point, out);
                Ok(())
            }
            (value, ColumnType::DateTime { fraction }) => {
                copy_with_fraction(value, b"-: .", fraction, out)
            }
            (value, _) => copy(value, b"-: .", out),
        }
    }

    fn binary<'a>(&self, value: Value<'a>, out: &mut Vec<u8>) -> Result<Rendered<'a>, Refusal> {
        let Value::Bytes(bytes) = value else {
            return Err(BROKEN);
        };
        match self.options.binary {
            BinaryEncoding::Base64 => write_base64(bytes, out),
            BinaryEncoding::Hex => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digit = |nibble: u8| DIGITS[usize::from(nibble)];
                out.extend(
                    bytes
                        .iter()
                        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]),
                );
            }
            BinaryEncoding::Utf8 => {
                let text = std::str::from_utf8(bytes).map_err(|_| BINARY_NOT_UTF8)?;
                return Ok(Rendered::Text(Cow::Borrowed(text)));
            }
            BinaryEncoding::Raw => return Ok(Rendered::Bytes(bytes)),
        }
        Ok(Rendered::Plain)
    }
}

/// What to say of `count` values whose text was not UTF-8.
pub(super) fn replaced_warning(count: u64) -> Option<String> {
    (count > 0)
        .then(|| format!("{count} values were not UTF-8; U+FFFD stands for what could not be read"))
}

fn text(value: Value<'_>, invalid: InvalidUtf8) -> Result<Rendered<'_>, Refusal> {
    let Value::Bytes(bytes) = value else {
        return Err(BROKEN);
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Rendered::Text(Cow::Borrowed(text))),
        Err(_) if invalid == InvalidUtf8::Replace => {
            Ok(Rendered::Text(String::from_utf8_lossy(bytes)))
        }
        Err(_) => Err(NOT_UTF8),
    }
}

/// The server's own text for a number or a date. Anything else than digits and
/// `marks` is not one, and could break a format that does not escape it.
fn copy(value: Value<'_>, marks: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    match value {
        Value::Bytes(bytes)
            if bytes
                .iter()
                .all(|byte| byte.is_ascii_digit() || marks.contains(byte)) =>
        {
            out.extend_from_slice(bytes);
            Ok(())
        }
        _ => Err(BROKEN),
    }
}

/// The server's own text for a time, with all the digits that its column
/// declares: MariaDB leaves them out of some expressions.
fn copy_with_fraction(
    value: Value<'_>,
    marks: &[u8],
    fraction: usize,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let start = out.len();
    copy(value, marks, out)?;
    if fraction > 0 {
        let digits = out[start..].iter().rev().position(|byte| *byte == b'.');
        if digits.is_none() {
            out.push(b'.');
        }
        let missing = fraction.saturating_sub(digits.unwrap_or(0));
        out.resize(out.len() + missing, b'0');
    }
    Ok(())
}

/// BIT(n) comes as up to eight bytes in both protocols.
fn bits(value: Value<'_>) -> Result<u64, Refusal> {
    match value {
        Value::Bytes(bytes) if bytes.len() <= 8 => Ok(bytes
            .iter()
            .fold(0, |bits, byte| bits << 8 | u64::from(*byte))),
        _ => Err(BROKEN),
    }
}

fn is_zero_date(value: Value<'_>) -> bool {
    match value {
        Value::DateTime(point) => point.month == 0 || point.day == 0,
        Value::Bytes(text) => temporal::is_zero_date_text(text),
        _ => false,
    }
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exact, so that it cannot fail.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}
