//! What a value is in a cell: chosen once per column, and exact. A number or a date that
//! a cell cannot hold with all its digits is a text, and counted.

use std::borrow::Cow;

use jiff::civil::{Date, date};
use rust_xlsxwriter::Format;

use super::super::{
    EncodeBuffer, TextOptions,
    column::{self, ColumnFormatter, Padding, Rendered, ValueProblem},
};
use crate::{
    row::Row,
    schema::{self, ColumnType, FloatLayout},
    text::warning,
};

/// The most digits of a number in a cell (Microsoft, "Excel specifications and limits").
const MAX_DIGITS: usize = 15;

/// The day with the number 0. (Excel has a 29th of February 1900, so that its numbers are
/// days of the calendar only from the day after on.)
const FIRST_DAY: Date = date(1899, 12, 30);

/// The number of 1900-03-01.
const MIN_DAY: i64 = 61;

const MILLIS_PER_DAY: i64 = 86_400_000;

/// The widest that a column is made, in characters.
const MAX_WIDTH: usize = 60;

const RAW: ValueProblem =
    ValueProblem::new("is raw bytes", "choose another encoding: --binary hex");

const AMBIGUOUS: ValueProblem = ValueProblem::new(
    "has a control character behind `_x` and four hexadecimal digits, which xlsx cannot tell from an escape",
    "replace the character in the query, for example REPLACE(a, CHAR(13), '')",
);

/// A column of the sheets.
pub(super) struct Column {
    name: String,
    formatter: ColumnFormatter,
    kind: Kind,
    format: Format,
    width: usize,
    has_null: bool,
    /// The number of empty texts.
    empty_texts: u64,
}

/// What the values of a column are.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// TINYINT(1) or BIT(1).
    Truth,
    /// Numbers with an exact number of digits.
    Exact,
    /// FLOAT and DOUBLE.
    Floating,
    /// Dates, with or without a time of day.
    Moment {
        has_time: bool,
    },
    /// TIME.
    Duration,
}

/// A value in a cell.
#[derive(Debug, PartialEq)]
pub(super) enum Content<'a> {
    Empty,
    Number(f64),
    Truth(bool),
    Text(Cow<'a, str>),
}

/// The numbers of values that are not in the workbook as they are.
#[derive(Default)]
pub(super) struct Altered {
    texts: column::Altered,
    /// Numbers that are texts.
    numbers: u64,
    /// Dates and times that are texts.
    moments: u64,
}

impl Altered {
    /// The warnings about a workbook with these columns.
    pub(super) fn warnings(&self, columns: &[Column]) -> Vec<String> {
        let numbers = warning(
            self.numbers,
            "number has more digits than a cell holds, and is a text",
            "numbers have more digits than a cell holds, and are texts",
        );
        let moments = warning(
            self.moments,
            "date or time is one that a cell does not hold (before 1900-03-01, in no calendar, negative, or finer than a millisecond), and is a text",
            "dates or times are such as a cell does not hold (before 1900-03-01, in no calendar, negative, or finer than a millisecond), and are texts",
        );
        let with_null = columns.iter().filter(|column| column.has_null);
        let empty_texts = warning(
            with_null.map(|column| column.empty_texts).sum(),
            "empty text is an empty cell, as NULLs of its column are",
            "empty texts are empty cells, as NULLs of their columns are",
        );
        let own = numbers.into_iter().chain(moments).chain(empty_texts);
        own.chain(self.texts.warnings()).collect()
    }
}

impl Column {
    /// Creates the column with the index `index`.
    pub(super) fn new(index: u16, column: &schema::Column, options: TextOptions) -> Self {
        let formatter = ColumnFormatter::new(index.into(), column, options, Padding::Keep);
        let (kind, format, width) = match column.column_type {
            _ if formatter.writes_words() => (Kind::Truth, "General".to_owned(), 8),
            ColumnType::Integer { zerofill } => (Kind::Exact, digits(zerofill, 0), 12),
            ColumnType::TinyInt1 | ColumnType::Bit { .. } => (Kind::Exact, digits(None, 0), 8),
            ColumnType::Decimal { scale, zerofill } => {
                (Kind::Exact, digits(zerofill, scale.into()), 14)
            }
            ColumnType::Float(layout) | ColumnType::Double(layout) => {
                (Kind::Floating, floating(layout), 14)
            }
            ColumnType::Date => {
                let kind = Kind::Moment { has_time: false };
                (kind, "yyyy-mm-dd".to_owned(), 11)
            }
            ColumnType::DateTime { fraction } => {
                let format = format!("yyyy-mm-dd hh:mm:ss{}", decimals(fraction));
                (Kind::Moment { has_time: true }, format, 20 + fraction)
            }
            ColumnType::Time { fraction } => {
                let format = format!("[hh]:mm:ss{}", decimals(fraction));
                (Kind::Duration, format, 10 + fraction)
            }
            ColumnType::Text | ColumnType::Json | ColumnType::Binary => {
                (Kind::Text, "@".to_owned(), 20)
            }
        };
        Self {
            name: column.name.clone(),
            formatter,
            kind,
            format: Format::new().set_num_format(format),
            width: width.max(column.name.chars().count() + 2).min(MAX_WIDTH),
            has_null: false,
            empty_texts: 0,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The style of the cells.
    pub(super) const fn format(&self) -> &Format {
        &self.format
    }

    /// The width in characters.
    pub(super) fn width(&self) -> f64 {
        // At most MAX_WIDTH.
        self.width as f64
    }

    /// The form of the values in words, for `--check`.
    pub(super) const fn description(&self) -> &'static str {
        match self.kind {
            Kind::Exact => "number, text beyond 15 digits",
            Kind::Floating => "number",
            Kind::Truth => "true or false",
            Kind::Moment { has_time: false } => "date, text before 1900-03-01",
            Kind::Moment { has_time: true } => {
                "date and time, text before 1900-03-01 or beyond milliseconds"
            }
            Kind::Duration => "duration, text below zero or beyond milliseconds",
            Kind::Text => self.formatter.format_name(),
        }
    }

    /// Returns what the column's value in `row` is in a cell. `scratch` may keep its text.
    ///
    /// # Errors
    /// For a value that the workbook cannot hold.
    pub(super) fn content<'a>(
        &mut self,
        row: Row<'a>,
        scratch: &'a mut Vec<u8>,
        altered: &mut Altered,
    ) -> Result<Content<'a>, ValueProblem> {
        scratch.clear();
        let text = match self.formatter.render(row, scratch)? {
            Rendered::Null => {
                self.has_null = true;
                return Ok(Content::Empty);
            }
            Rendered::ZeroDate => {
                altered.texts.zero_dates += 1;
                return Ok(Content::Empty);
            }
            Rendered::Plain => return Ok(self.plain(scratch, altered)),
            Rendered::Text(text) => Cow::Borrowed(text),
            Rendered::Lossy(bytes) => {
                altered.texts.lossy += 1;
                String::from_utf8_lossy(bytes)
            }
            Rendered::Encoded(encoding, bytes) => {
                encoding.write(bytes, &mut EncodeBuffer::unbounded(scratch));
                String::from_utf8_lossy(scratch)
            }
            // Only TSV has `--binary raw`.
            Rendered::Bytes(_) => return Err(RAW),
        };
        if text.is_empty() {
            self.empty_texts += 1;
            return Ok(Content::Empty);
        }
        match is_ambiguous(&text) {
            true => Err(AMBIGUOUS),
            false => Ok(Content::Text(text)),
        }
    }

    /// Returns what the ASCII `text` of a number, a date or a truth is in a cell.
    fn plain<'a>(&self, text: &'a [u8], altered: &mut Altered) -> Content<'a> {
        let as_text = || Content::Text(String::from_utf8_lossy(text));
        let (number, count) = match self.kind {
            Kind::Truth => return Content::Truth(text == b"true"),
            Kind::Text => return as_text(),
            Kind::Exact => (exact(text), &mut altered.numbers),
            Kind::Floating => (floating_number(text), &mut altered.numbers),
            Kind::Moment { has_time } => (moment(text, has_time), &mut altered.moments),
            Kind::Duration => (duration(text), &mut altered.moments),
        };
        number.map_or_else(
            || {
                *count += 1;
                as_text()
            },
            Content::Number,
        )
    }
}

/// The format of numbers with `decimals` digits after the point, and with leading zeros
/// where the column declares them, up to the width `zerofill`.
fn digits(zerofill: Option<usize>, decimals: usize) -> String {
    let point = decimals + usize::from(decimals > 0);
    let whole = zerofill.unwrap_or(1).saturating_sub(point).max(1);
    let mut format = "0".repeat(whole);
    if decimals > 0 {
        format.push('.');
        format.extend(std::iter::repeat_n('0', decimals));
    }
    format
}

/// The format of a FLOAT or a DOUBLE.
fn floating(layout: FloatLayout) -> String {
    match (layout.decimals, layout.zerofill) {
        (None, None) => "General".to_owned(),
        (decimals, zerofill) => digits(zerofill, decimals.unwrap_or(0)),
    }
}

/// The digits of a second's fraction, of which cells show three.
fn decimals(fraction: usize) -> &'static str {
    &".000"[..[0, 2, 3, 4][fraction.min(3)]]
}

/// Returns a number that has at most 15 digits, without zeros before and behind them.
fn exact(text: &[u8]) -> Option<f64> {
    let is_digit = |byte: &&u8| byte.is_ascii_digit();
    let is_zero = |byte: &&u8| **byte == b'0';
    let number = || text.iter().filter(is_digit);
    let zeros = number().take_while(is_zero).count() + number().rev().take_while(is_zero).count();
    if number().count().saturating_sub(zeros) > MAX_DIGITS {
        return None;
    }
    parse(text)
}

/// Returns a number that a cell holds: Excel has none below the normal ones.
fn floating_number(text: &[u8]) -> Option<f64> {
    parse(text).filter(|number| !number.is_subnormal())
}

fn parse(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Returns the number of a date, which ends with a time of day if it `has_time`.
fn moment(text: &[u8], has_time: bool) -> Option<f64> {
    let (day, time) = text.split_at_checked(10)?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *day else {
        return None;
    };
    let year = i16::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    let month = i8::try_from(number(&[m1, m2])?).ok()?;
    let day = Date::new(year, month, i8::try_from(number(&[d1, d2])?).ok()?).ok()?;
    let days = day.duration_since(FIRST_DAY).as_hours() / 24;
    let millis = match (has_time, time) {
        (false, []) => 0,
        (true, [b' ', time @ ..]) => clock(time)?,
        _ => return None,
    };
    (days >= MIN_DAY).then(|| days_of(days * MILLIS_PER_DAY + millis))
}

/// Returns the number of a TIME that is not negative.
fn duration(text: &[u8]) -> Option<f64> {
    clock(text).map(days_of)
}

/// Returns the milliseconds of `hh:mm:ss[.f]`, if there are no finer ones.
fn clock(text: &[u8]) -> Option<i64> {
    let (clock, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    let (hours, [b':', m1, m2, b':', s1, s2]) = clock.split_last_chunk()? else {
        return None;
    };
    let (millis, finer) = fraction.split_at(fraction.len().min(3));
    if finer.iter().any(|digit| *digit != b'0') {
        return None;
    }
    let millis = number(millis)? * [1000, 100, 10, 1][millis.len()];
    let minutes = number(hours)? * 60 + number(&[*m1, *m2])?;
    Some((minutes * 60 + number(&[*s1, *s2])?) * 1000 + millis)
}

/// Returns the days of `millis`, rounded once.
fn days_of(millis: i64) -> f64 {
    // Up to the year 9999, both are below 2^53.
    millis as f64 / MILLIS_PER_DAY as f64
}

/// Returns the number of up to four digits; none are 0.
fn number(digits: &[u8]) -> Option<i64> {
    let add = |number: i64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| i64::from(byte - b'0'));
        digit.map(|digit| number * 10 + digit)
    };
    (digits.len() <= 4)
        .then(|| digits.iter().try_fold(0, add))
        .flatten()
}

/// Whether a character of `text` that is escaped as `_xHHHH_` stands behind `_xHHHH`, to
/// which its first underscore would belong.
pub(super) fn is_ambiguous(text: &str) -> bool {
    let is_escaped =
        |c: char| c < ' ' && !matches!(c, '\t' | '\n') || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.match_indices("_x").any(|(index, _)| {
        let mut rest = text[index + 2..].chars();
        let mut are_digits = true;
        for _ in 0..4 {
            are_digits &= rest.next().is_some_and(|c| c.is_ascii_hexdigit());
        }
        are_digits && rest.next().is_some_and(is_escaped)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_texts() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("000042", Some(42.0)),
            ("999999999999999", Some(999_999_999_999_999.0)),
            ("-1000000000000001", None),
            ("10000000000000000000", Some(1e19)),
            ("0.000000000000000000000000000001", Some(1e-30)),
            ("-12345678901234.50", Some(-12_345_678_901_234.5)),
            ("1234567890123456.00", None),
            ("0.1234567890123456", None),
        ] {
            assert_eq!(exact(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(floating_number(b"1.7976931348623157e308"), Some(f64::MAX));
        assert_eq!(floating_number(b"5e-324"), None);
    }

    #[test]
    fn dates_are_days_from_march_1900_on() {
        for (text, expected) in [
            ("1900-03-01", Some(61.0)),
            ("1900-02-28", None),
            ("1899-12-31", None),
            ("0000-00-00", None),
            ("2026-02-31", None),
            ("1970-01-01", Some(25_569.0)),
            ("9999-12-31", Some(2_958_465.0)),
            ("2026-1-01", None),
        ] {
            assert_eq!(moment(text.as_bytes(), false), expected, "{text}");
        }
        for (text, expected) in [
            ("1970-01-01 12:00:00", Some(25_569.5)),
            (
                "1970-01-01 00:00:00.001000",
                Some(25_569.0 + 0.001 / 86_400.0),
            ),
            ("1970-01-01 00:00:00.0001", None),
            ("1900-01-01 00:00:00", None),
            ("1970-01-01", None),
        ] {
            assert_eq!(moment(text.as_bytes(), true), expected, "{text}");
        }
        for (text, expected) in [
            ("838:59:59", Some(3_020_399.0 / 86_400.0)),
            ("00:00:00.5", Some(0.5 / 86_400.0)),
            ("-00:00:01", None),
            ("00:00:00.000001", None),
        ] {
            assert_eq!(duration(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn formats_show_declared_digits() {
        assert_eq!(digits(None, 0), "0");
        assert_eq!(digits(None, 2), "0.00");
        assert_eq!(digits(Some(6), 0), "000000");
        assert_eq!(digits(Some(7), 2), "0000.00");
        assert_eq!([0, 1, 3, 6].map(decimals), ["", ".0", ".000", ".000"]);
    }

    #[test]
    fn escapes_that_would_join_are_noticed() {
        for (text, expected) in [
            ("_x0041\r", true),
            ("a_xABcd\u{ffff}", true),
            ("_x_x0041\0", true),
            ("_x0041\n", false),
            ("_x0041_\r", false),
            ("_x004\r", false),
            ("_x00é1\r", false),
            ("\r_x0041", false),
        ] {
            assert_eq!(is_ambiguous(text), expected, "{text:?}");
        }
    }
}
