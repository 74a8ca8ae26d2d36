//! How the values of one column become text: decided once per column from its
//! type and the user's settings, the same for every format. Quoting, escaping
//! and what stands for NULL are the formats' own.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{
    CHUNK, EncodeBuffer,
    number::{self, parse_number},
    temporal,
};
use crate::{
    row::{Row, Value},
    schema::{ColumnType, FloatLayout, Schema},
};

/// How bytes without a character set are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum InvalidUtf8 {
    /// An error that names row and column
    #[default]
    Error,
    /// U+FFFD in its place; how many values is said at the end
    Replace,
}

/// What becomes of dates whose month or day is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum ZeroDates {
    /// Written as they are
    #[default]
    Keep,
    /// Written as NULL
    Null,
}

/// How text and bytes are written, in every format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextOptions {
    /// How bytes without a character set are written.
    pub binary: BinaryEncoding,
    /// What happens to text that is not UTF-8.
    pub invalid_utf8: InvalidUtf8,
}

/// Which zeros stand before a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// Those that the column declares by ZEROFILL or YEAR.
    Keep,
    /// None, for formats whose numbers have none.
    Strip,
}

/// The settings that decide on a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnOptions {
    pub text: TextOptions,
    pub zero_dates: ZeroDates,
    pub padding: Padding,
}

/// What [`ColumnFormatter::render`] made of a value.
#[derive(Debug)]
pub(super) enum Rendered<'a> {
    /// NULL; nothing was written.
    Null,
    /// It has been written: ASCII that no format has to quote or escape.
    Plain,
    /// Text for the format to quote and escape.
    Text(&'a str),
    /// Text for the format to quote and escape, with U+FFFD for what is not
    /// UTF-8.
    Lossy(&'a [u8]),
    /// Bytes for the format to write as ASCII, which no format has to quote or
    /// escape.
    Encoded(Encoding, &'a [u8]),
    /// Bytes for the format to escape.
    Bytes(&'a [u8]),
}

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueProblem {
    /// What is wrong, as the end of a sentence.
    pub problem: &'static str,
    /// What to do about it.
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

/// One column's way from value to text.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnFormatter {
    column: usize,
    kind: Kind,
}

/// What a column's type and the settings come to.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text(InvalidUtf8),
    Binary(BinaryEncoding),
    Number(Zeros),
    Floating {
        decimals: Option<usize>,
        zeros: Zeros,
    },
    Bit,
    Date(ZeroDates),
    DateTime {
        fraction: usize,
        zero_dates: ZeroDates,
    },
    Time {
        fraction: usize,
    },
}

/// What becomes of a number's leading zeros.
#[derive(Clone, Copy, Debug)]
enum Zeros {
    /// They stay as they came.
    Unchanged,
    /// There are as many as this width needs: the text protocol brings them,
    /// the binary protocol does not.
    Fill(usize),
    /// They go. Also where no column declares them: MySQL forgets ZEROFILL in
    /// expressions such as IF(), and not the zeros.
    Strip,
}

impl ColumnFormatter {
    /// The formatters of a delimited format, one a column.
    pub(super) fn for_columns(schema: &Schema, text: TextOptions) -> Vec<Self> {
        let options = ColumnOptions {
            text,
            zero_dates: ZeroDates::Keep,
            padding: Padding::Keep,
        };
        let columns = schema.columns.iter().enumerate();
        columns
            .map(|(index, column)| Self::new(index, column.column_type, options))
            .collect()
    }

    /// The way of column number `column`.
    pub(super) fn new(column: usize, column_type: ColumnType, options: ColumnOptions) -> Self {
        let zeros = |zerofill: Option<usize>| match (options.padding, zerofill) {
            (Padding::Strip, _) => Zeros::Strip,
            (Padding::Keep, Some(width)) => Zeros::Fill(width),
            (Padding::Keep, None) => Zeros::Unchanged,
        };
        let zero_dates = options.zero_dates;
        let kind = match column_type {
            ColumnType::Text | ColumnType::Json => Kind::Text(options.text.invalid_utf8),
            ColumnType::Binary => Kind::Binary(options.text.binary),
            ColumnType::Integer { zerofill } | ColumnType::Decimal { zerofill } => {
                Kind::Number(zeros(zerofill))
            }
            ColumnType::TinyInt1 => Kind::Number(zeros(None)),
            ColumnType::Float(FloatLayout { decimals, zerofill })
            | ColumnType::Double(FloatLayout { decimals, zerofill }) => Kind::Floating {
                decimals,
                zeros: zeros(zerofill),
            },
            ColumnType::Bit => Kind::Bit,
            ColumnType::Date => Kind::Date(zero_dates),
            ColumnType::DateTime { fraction } => Kind::DateTime {
                fraction,
                zero_dates,
            },
            ColumnType::Time { fraction } => Kind::Time { fraction },
        };
        Self { column, kind }
    }

    /// What its text is, for people.
    pub(super) const fn format_name(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) => "text",
            Kind::Binary(BinaryEncoding::Base64) => "base64",
            Kind::Binary(BinaryEncoding::Hex) => "hexadecimal",
            Kind::Binary(BinaryEncoding::Utf8) => "bytes as text",
            Kind::Binary(BinaryEncoding::Raw) => "escaped bytes",
            Kind::Number(_) | Kind::Floating { .. } | Kind::Bit => "number",
            Kind::Date(_) => "date",
            Kind::DateTime { .. } => "date and time",
            Kind::Time { .. } => "time",
        }
    }

    /// Makes text of the column's value in `row`: writes it to `out` where it
    /// needs nothing more, else hands it back to be escaped.
    #[inline(always)]
    pub(super) fn render<'a>(
        &self,
        row: Row<'a>,
        out: &mut Vec<u8>,
    ) -> Result<Rendered<'a>, ValueProblem> {
        // In each arm, so that nothing but what the column's kind needs is looked at.
        let value = || row.value(self.column);
        let start = out.len();
        match self.kind {
            Kind::Text(invalid) => match value() {
                Value::Bytes(bytes) => return text(bytes, invalid),
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
            Kind::Number(zeros) => {
                match value() {
                    Value::Int(number) => number::write_integer(number, out),
                    Value::UInt(number) => number::write_integer(number, out),
                    Value::Bytes(bytes) => copy_number(bytes, zeros, out)?,
                    Value::Null => return Ok(Rendered::Null),
                    _ => return Err(TYPE_MISMATCH),
                }
                pad_zeros(zeros, start, out);
            }
            Kind::Floating { decimals, zeros } => {
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
            Kind::Date(zero_dates) => match value() {
                Value::Null => return Ok(Rendered::Null),
                value if zero_dates == ZeroDates::Null && is_zero_date(value) => {
                    return Ok(Rendered::Null);
                }
                Value::DateTime(point) if point.is_possible() && point.is_midnight() => {
                    temporal::write_date(point, out);
                }
                Value::Bytes(bytes) => copy_digits(bytes, b"-: .", out)?,
                _ => return Err(TYPE_MISMATCH),
            },
            Kind::DateTime {
                fraction,
                zero_dates,
            } => match value() {
                Value::Null => return Ok(Rendered::Null),
                value if zero_dates == ZeroDates::Null && is_zero_date(value) => {
                    return Ok(Rendered::Null);
                }
                Value::DateTime(point) if point.is_possible() => {
                    temporal::write_datetime(point, fraction, out);
                }
                Value::Bytes(bytes) => copy_with_fraction(bytes, b"-: .", fraction, out)?,
                _ => return Err(TYPE_MISMATCH),
            },
            Kind::Time { fraction } => match value() {
                Value::Time(span) if span.is_possible() => {
                    temporal::write_time(span, fraction, out);
                }
                Value::Bytes(bytes) => copy_with_fraction(bytes, b"-:.", fraction, out)?,
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
            Kind::Binary(encoding) => match value() {
                Value::Bytes(bytes) => return binary(bytes, encoding),
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
            Kind::Bit => match value() {
                Value::Bytes(bytes) => number::write_integer(bits(bytes)?, out),
                Value::Null => return Ok(Rendered::Null),
                _ => return Err(TYPE_MISMATCH),
            },
        }
        Ok(Rendered::Plain)
    }

    /// Whether the column's value in `row` came as bytes, not as a number.
    pub(super) fn came_as_bytes(&self, row: Row<'_>) -> bool {
        matches!(row.value(self.column), Value::Bytes(_))
    }
}

/// What to say of `count` values whose text was not UTF-8.
pub(super) fn lossy_warning(count: u64) -> Option<String> {
    (count > 0)
        .then(|| format!("{count} values were not UTF-8; U+FFFD stands for what could not be read"))
}

#[inline]
fn text(bytes: &[u8], invalid: InvalidUtf8) -> Result<Rendered<'_>, ValueProblem> {
    match (std::str::from_utf8(bytes), invalid) {
        (Ok(text), _) => Ok(Rendered::Text(text)),
        (Err(_), InvalidUtf8::Replace) => Ok(Rendered::Lossy(bytes)),
        (Err(_), InvalidUtf8::Error) => Err(NOT_UTF8),
    }
}

fn binary(bytes: &[u8], encoding: BinaryEncoding) -> Result<Rendered<'_>, ValueProblem> {
    Ok(match encoding {
        BinaryEncoding::Base64 => Rendered::Encoded(Encoding::Base64, bytes),
        BinaryEncoding::Hex => Rendered::Encoded(Encoding::Hex, bytes),
        BinaryEncoding::Utf8 => {
            Rendered::Text(std::str::from_utf8(bytes).map_err(|_| BINARY_NOT_UTF8)?)
        }
        BinaryEncoding::Raw => Rendered::Bytes(bytes),
    })
}

/// The server's own text for a number.
fn copy_number(text: &[u8], zeros: Zeros, out: &mut Vec<u8>) -> Result<(), ValueProblem> {
    let start = out.len();
    if !parse_number(text).is_some_and(|number| number.is_server_number()) {
        return Err(TYPE_MISMATCH);
    }
    out.extend_from_slice(text);
    strip_zeros(zeros, start, out);
    Ok(())
}

/// Gives the number that begins at `start` the zeros that its column declares.
#[inline]
fn pad_zeros(zeros: Zeros, start: usize, out: &mut Vec<u8>) {
    if let Zeros::Fill(width) = zeros {
        insert_zeros(width, start, out);
    }
}

#[cold]
fn insert_zeros(width: usize, start: usize, out: &mut Vec<u8>) {
    let missing = width.saturating_sub(out.len() - start);
    out.splice(start..start, std::iter::repeat_n(b'0', missing));
}

/// Takes the zeros away that a number's text, which begins at `start`, brings.
fn strip_zeros(zeros: Zeros, start: usize, out: &mut Vec<u8>) {
    let number = &out[start..];
    if !matches!(zeros, Zeros::Strip) || number.first() != Some(&b'0') {
        return;
    }
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    // One digit stays before the end, a point or an exponent.
    let digits = number[zeros..].first().is_some_and(u8::is_ascii_digit);
    let surplus = zeros - usize::from(!digits);
    out.drain(start..start + surplus);
}

/// The server's own text for a date or a time. Anything else than digits with
/// `marks` between them is not one, and could break a format that does not escape
/// it.
#[inline]
fn copy_digits(text: &[u8], marks: &[u8], out: &mut Vec<u8>) -> Result<(), ValueProblem> {
    // A sign may come first; else marks stand between digits.
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let mut is_behind_digit = false;
    for byte in unsigned {
        let is_digit = byte.is_ascii_digit();
        if !(is_digit || is_behind_digit && marks.contains(byte)) {
            return Err(TYPE_MISMATCH);
        }
        is_behind_digit = is_digit;
    }
    if !is_behind_digit {
        return Err(TYPE_MISMATCH);
    }
    out.extend_from_slice(text);
    Ok(())
}

/// The server's own text for a time, with all the digits that its column
/// declares: MariaDB leaves them out of some expressions.
fn copy_with_fraction(
    text: &[u8],
    marks: &[u8],
    fraction: usize,
    out: &mut Vec<u8>,
) -> Result<(), ValueProblem> {
    copy_digits(text, marks, out)?;
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

/// BIT(n) comes as up to eight bytes in both protocols.
fn bits(bytes: &[u8]) -> Result<u64, ValueProblem> {
    if bytes.len() > 8 {
        return Err(TYPE_MISMATCH);
    }
    let add = |bits, byte: &u8| bits << 8 | u64::from(*byte);
    Ok(bytes.iter().fold(0, add))
}

fn is_zero_date(value: Value<'_>) -> bool {
    match value {
        Value::DateTime(point) => point.month == 0 || point.day == 0,
        Value::Bytes(text) => temporal::is_zero_date_text(text),
        _ => false,
    }
}

/// How bytes become ASCII.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encoding {
    Base64,
    Hex,
}

impl Encoding {
    /// Writes `bytes`, which may be many.
    pub(super) fn write(self, bytes: &[u8], out: &mut EncodeBuffer<'_>) {
        // A multiple of three, so that base64 has padding at the end only.
        const BYTES: usize = CHUNK / 4 * 3;
        for piece in bytes.chunks(BYTES) {
            self.append(piece, out.bytes);
            out.spill_if_large();
        }
    }

    /// Writes `bytes`, which are few.
    pub(super) fn append(self, bytes: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Base64 => write_base64(bytes, out),
            Self::Hex => write_hex(bytes, out),
        }
    }
}

/// Two lower-case hexadecimal digits a byte.
pub(super) fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS[usize::from(nibble)];
    let digits = |byte: &u8| [digit(byte >> 4), digit(byte & 15)];
    out.extend(bytes.iter().flat_map(digits));
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    // The room is exact, so that it cannot fail.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}

/// Writes text, with U+FFFD for what is not UTF-8, by way of `write`.
pub(super) fn write_lossy(bytes: &[u8], mut write: impl FnMut(&str)) {
    for chunk in bytes.utf8_chunks() {
        write(chunk.valid());
        if !chunk.invalid().is_empty() {
            write("\u{FFFD}");
        }
    }
}

/// The place of the first byte of `bytes` that `is_special` names. Sixteen bytes
/// are looked at at once: where `is_special` compares without branches, the
/// compiler makes vector instructions of it.
#[inline]
pub(super) fn find(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> Option<usize> {
    let mut clean = 0;
    for block in bytes.as_chunks::<16>().0 {
        if block
            .iter()
            .fold(false, |any, byte| any | is_special(*byte))
        {
            break;
        }
        clean += block.len();
    }
    let mut rest = bytes[clean..].iter();
    let place = rest.position(|byte| is_special(*byte))?;
    Some(clean + place)
}
