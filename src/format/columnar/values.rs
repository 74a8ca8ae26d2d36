//! Converts single values to the numbers of columnar formats, from either wire
//! protocol. Nothing is rounded: what does not fit exactly is an error.

use std::str::FromStr;

use arrow_buffer::i256;

use super::super::column::{NOT_BOOL, NOT_FINITE, TYPE_MISMATCH, ValueProblem};
use crate::row::{DateTime, Time, Value, bits_of};

const TOO_LONG: ValueProblem = ValueProblem::new(
    "has more digits than its column's type says",
    "CAST it in the query to the DECIMAL that it needs, for example DECIMAL(38,10)",
);

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Returns a whole number.
///
/// # Errors
/// [`TYPE_MISMATCH`] for a number that the column's type cannot hold.
#[inline]
pub(super) fn integer<N>(value: Value<'_>) -> Result<Option<N>, ValueProblem>
where
    N: TryFrom<i64> + TryFrom<u64> + FromStr,
{
    let number = match value {
        Value::Int(number) => N::try_from(number).ok(),
        Value::UInt(number) => N::try_from(number).ok(),
        Value::Bytes(text) => ascii(text).and_then(|text| text.parse().ok()),
        Value::Null => return Ok(None),
        _ => None,
    };
    number.ok_or(TYPE_MISMATCH).map(Some)
}

/// Returns the bits of a BIT of at most `width` bits as a number, which holds them.
pub(super) fn bits<N: TryFrom<u64>>(
    value: Value<'_>,
    width: u32,
) -> Result<Option<N>, ValueProblem> {
    let number = match value {
        Value::Bytes(bytes) if bytes.len() <= 8 => bits_of(bytes),
        Value::Null => return Ok(None),
        _ => return Err(TYPE_MISMATCH),
    };
    match number.checked_shr(width) {
        None | Some(0) => N::try_from(number).map(Some).map_err(|_| TYPE_MISMATCH),
        Some(_) => Err(TYPE_MISMATCH),
    }
}

/// Returns the boolean of a TINYINT(1) or a BIT(1), which is 0 or 1.
pub(super) fn boolean(number: Option<i64>) -> Result<Option<bool>, ValueProblem> {
    match number {
        None => Ok(None),
        Some(number @ (0 | 1)) => Ok(Some(number == 1)),
        Some(_) => Err(NOT_BOOL),
    }
}

/// Returns a FLOAT. Over the text protocol it has six digits.
pub(super) fn float(value: Value<'_>) -> Result<Option<f32>, ValueProblem> {
    let number = match value {
        Value::Float(number) => number,
        Value::Bytes(text) => parse(text)?,
        Value::Null => return Ok(None),
        _ => return Err(TYPE_MISMATCH),
    };
    number.is_finite().then_some(Some(number)).ok_or(NOT_FINITE)
}

/// Returns a DOUBLE.
pub(super) fn double(value: Value<'_>) -> Result<Option<f64>, ValueProblem> {
    let number = match value {
        Value::Double(number) => number,
        Value::Bytes(text) => parse(text)?,
        Value::Null => return Ok(None),
        _ => return Err(TYPE_MISMATCH),
    };
    number.is_finite().then_some(Some(number)).ok_or(NOT_FINITE)
}

/// The unscaled value of a DECIMAL: its digits without the point.
pub(super) trait Unscaled: Copy {
    const ZERO: Self;
    /// Returns ten times the number plus a digit.
    fn push(self, digit: u8) -> Self;
    fn negated(self) -> Self;
}

impl Unscaled for i128 {
    const ZERO: Self = 0;
    // 38 digits fit.
    fn push(self, digit: u8) -> Self {
        self.wrapping_mul(10).wrapping_add(Self::from(digit))
    }
    fn negated(self) -> Self {
        -self
    }
}

impl Unscaled for i256 {
    const ZERO: Self = Self::ZERO;
    // 76 digits fit.
    fn push(self, digit: u8) -> Self {
        let ten = Self::from_i128(10);
        self.wrapping_mul(ten)
            .wrapping_add(Self::from_i128(i128::from(digit)))
    }
    fn negated(self) -> Self {
        self.wrapping_neg()
    }
}

/// Returns a DECIMAL as its digits without the point, with `scale` digits after it.
/// `precision` is the most digits, which `N` holds.
///
/// # Errors
/// For text that is no DECIMAL, and for a number with more digits than the type has.
pub(super) fn decimal<N: Unscaled>(
    value: Value<'_>,
    precision: u8,
    scale: u8,
) -> Result<Option<N>, ValueProblem> {
    let text = match value {
        Value::Bytes(text) => text,
        Value::Null => return Ok(None),
        _ => return Err(TYPE_MISMATCH),
    };
    let (is_negative, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &digits[digits.len()..]),
    };
    let is_number = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    if whole.is_empty() && fraction.is_empty() || !is_number(whole) || !is_number(fraction) {
        return Err(TYPE_MISMATCH);
    }
    let zeros = whole.iter().take_while(|digit| **digit == b'0').count();
    let whole = &whole[zeros..];
    // Surplus digits of the fraction may only be zeros.
    let scale = usize::from(scale);
    let (kept, surplus) = fraction.split_at(fraction.len().min(scale));
    let is_too_long = whole.len() + scale > usize::from(precision);
    if is_too_long || surplus.iter().any(|digit| *digit != b'0') {
        return Err(TOO_LONG);
    }
    let push = |number: N, digit: &u8| number.push(digit - b'0');
    let number = whole.iter().chain(kept).fold(N::ZERO, push);
    let number = (kept.len()..scale).fold(number, |number, _| number.push(0));
    Ok(Some(if is_negative {
        number.negated()
    } else {
        number
    }))
}

/// A date or a date with a time of day, which the calendar may lack.
pub(super) enum Moment {
    Null,
    /// Its month or day is zero, or is after the month's end.
    NotInCalendar,
    At(DateTime),
}

/// Returns a DATE, DATETIME or TIMESTAMP.
pub(super) fn moment(value: Value<'_>) -> Result<Moment, ValueProblem> {
    let point = match value {
        Value::DateTime(point) => point,
        Value::Bytes(text) => parse_date_time(text).ok_or(TYPE_MISMATCH)?,
        Value::Null => return Ok(Moment::Null),
        _ => return Err(TYPE_MISMATCH),
    };
    if !point.is_in_range() {
        return Err(TYPE_MISMATCH);
    }
    let is_there = point.month > 0 && (1..=days_of_month(point)).contains(&point.day);
    Ok(if is_there {
        Moment::At(point)
    } else {
        Moment::NotInCalendar
    })
}

/// Returns the days from 1970-01-01 to the date of `point`, which the calendar has: the
/// Gregorian one, also for the years before it began, as servers have it.
pub(super) fn days(point: DateTime) -> i32 {
    // Years begin in March here, so that the leap day is the last of a year.
    let (year, month) = (i32::from(point.year), i32::from(point.month));
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + i32::from(point.day) - 1;
    365 * year + leap_days + day_of_year - DAYS_TO_1970
}

/// The days from the first of March of the year 0 to 1970-01-01.
const DAYS_TO_1970: i32 = 719_468;

/// Returns the microseconds from 1970-01-01 00:00:00 to `point`, in whatever zone.
pub(super) fn micros(point: DateTime) -> i64 {
    let seconds = i64::from(point.hour) * 3600
        + i64::from(point.minute) * 60
        + i64::from(point.second)
        + i64::from(days(point)) * SECONDS_PER_DAY;
    seconds * MICROS_PER_SECOND + i64::from(point.micros)
}

/// Returns the microseconds of a TIME.
pub(super) fn duration(value: Value<'_>) -> Result<Option<i64>, ValueProblem> {
    let span = match value {
        Value::Time(span) => span,
        Value::Bytes(text) => parse_time(text).ok_or(TYPE_MISMATCH)?,
        Value::Null => return Ok(None),
        _ => return Err(TYPE_MISMATCH),
    };
    if !span.is_in_range() {
        return Err(TYPE_MISMATCH);
    }
    // At most 839 hours.
    let hours = span.hours as i64;
    let seconds = hours * 3600 + i64::from(span.minute) * 60 + i64::from(span.second);
    let micros = seconds * MICROS_PER_SECOND + i64::from(span.micros);
    Ok(Some(if span.negative { -micros } else { micros }))
}

fn days_of_month(point: DateTime) -> u8 {
    let year = point.year;
    let is_leap_year =
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match point.month {
        2 if is_leap_year => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn ascii(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()
}

/// Parses the server's text for a FLOAT or a DOUBLE.
fn parse<N: FromStr>(text: &[u8]) -> Result<N, ValueProblem> {
    let number = ascii(text).and_then(|text| text.parse().ok());
    number.ok_or(TYPE_MISMATCH)
}

/// Parses `YYYY-MM-DD[ hh:mm:ss[.ffffff]]`.
fn parse_date_time(text: &[u8]) -> Option<DateTime> {
    let (date, time) = match text {
        [date @ .., b' ', _, _, b':', _, _, b':', _, _] if date.len() == 10 => (date, &text[11..]),
        _ if text.len() > 19 => {
            let (date, time) = text.split_at(10);
            (date, time.strip_prefix(b" ")?)
        }
        _ => (text, &[][..]),
    };
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else {
        return None;
    };
    let span = match time {
        [] => Time::default(),
        time => parse_time(time).filter(|span| !span.negative)?,
    };
    Some(DateTime {
        year: u16::try_from(number(&[*y1, *y2, *y3, *y4])?).ok()?,
        month: u8::try_from(number(&[*m1, *m2])?).ok()?,
        day: u8::try_from(number(&[*d1, *d2])?).ok()?,
        hour: u8::try_from(span.hours).ok()?,
        minute: span.minute,
        second: span.second,
        micros: span.micros,
    })
}

/// Parses `[-]hh:mm:ss[.ffffff]`, with two or three digits of hours.
fn parse_time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let (clock, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    let (hours, [b':', m1, m2, b':', s1, s2]) = clock.split_last_chunk()? else {
        return None;
    };
    if !matches!(hours.len(), 2 | 3) || fraction.len() > 6 {
        return None;
    }
    let missing = u32::try_from(6 - fraction.len()).ok()?;
    Some(Time {
        negative,
        hours: number(hours)?.into(),
        minute: u8::try_from(number(&[*m1, *m2])?).ok()?,
        second: u8::try_from(number(&[*s1, *s2])?).ok()?,
        micros: number(fraction)? * 10_u32.pow(missing),
    })
}

/// Parses up to nine digits; none are 0.
fn number(digits: &[u8]) -> Option<u32> {
    let add = |number: u32, byte: &u8| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u32::from(byte - b'0'))
    };
    digits.iter().try_fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> DateTime {
        parse_date_time(text.as_bytes()).expect("a date")
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("2000-03-01", 11_017),
            ("1900-03-01", -25_508),
            ("9999-12-31", 2_932_896),
            ("0001-01-01", -719_162),
            ("0000-01-01", -719_528),
        ] {
            assert_eq!(days(date(text)), expected, "{text}");
        }
        // Each day follows the one before it.
        let mut last = days(date("1999-12-31"));
        for year in 2000..2401_u16 {
            for month in 1..=12 {
                let mut point = DateTime {
                    year,
                    month,
                    ..date("2000-01-01")
                };
                for day in 1..=days_of_month(point) {
                    point.day = day;
                    assert_eq!(days(point), last + 1, "{point:?}");
                    last += 1;
                }
            }
        }
    }

    #[test]
    fn moments_and_spans_are_read_from_text() {
        let micros_of = |text: &str| micros(date(text));
        assert_eq!(micros_of("1970-01-01 00:00:01.5"), 1_500_000);
        assert_eq!(micros_of("1969-12-31 23:59:59.999999"), -1);
        let span = |text: &str| duration(Value::Bytes(text.as_bytes())).ok().flatten();
        assert_eq!(span("-838:59:59.000001"), Some(-3_020_399_000_001));
        assert_eq!(span("00:00:00"), Some(0));
        for wrong in [
            "",
            "1:2:3",
            "0000:00:00",
            "00:00",
            "00:00:00.1234567",
            "aa:00:00",
            "00:60:00",
        ] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
        for wrong in [
            "",
            "2026-1-1",
            "2026-01-01T00:00:00",
            "2026-01-01 -1:00:00",
            "2026-01-01 0:00:00",
            "20260-01-01",
        ] {
            assert!(parse_date_time(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn days_that_no_month_has_are_not_in_the_calendar() {
        for text in [
            "0000-00-00",
            "2026-00-10",
            "2026-05-00",
            "2026-02-29",
            "2026-04-31",
        ] {
            let found = moment(Value::Bytes(text.as_bytes()));
            assert!(matches!(found, Ok(Moment::NotInCalendar)), "{text}");
        }
        assert!(moment(Value::Bytes(b"2026-13-01")).is_err());
    }

    #[test]
    fn decimals_keep_every_digit() {
        let read = |text: &str| decimal::<i128>(Value::Bytes(text.as_bytes()), 38, 4);
        for (text, expected) in [
            ("0", 0),
            ("-0.0001", -1),
            ("1.5", 15_000),
            ("00042.1000", 421_000),
            (".5", 5_000),
            ("1.50000000", 15_000),
            (
                "-9999999999999999999999999999999999.9999",
                -(10_i128.pow(38) - 1),
            ),
        ] {
            assert_eq!(read(text).ok().flatten(), Some(expected), "{text}");
        }
        for wrong in [
            "",
            ".",
            "-",
            "1e5",
            "1.00001",
            "1.2.3",
            " 1",
            "+1",
            "12345678901234567890123456789012345.0",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let nines = "9".repeat(65);
        let wide = decimal::<i256>(Value::Bytes(nines.as_bytes()), 65, 0);
        assert_eq!(
            wide.ok().flatten().map(|wide| wide.to_string()),
            Some(nines)
        );
    }

    #[test]
    fn integers_that_do_not_fit_are_refused() {
        assert_eq!(integer::<i8>(Value::Int(-128)).ok().flatten(), Some(-128));
        assert!(integer::<i8>(Value::Int(128)).is_err());
        assert!(integer::<u64>(Value::Int(-1)).is_err());
        let text = |text: &'static str| Value::Bytes(text.as_bytes());
        assert_eq!(integer(text("00042")).ok().flatten(), Some(42_u32));
        assert_eq!(
            integer(text("18446744073709551615")).ok().flatten(),
            Some(u64::MAX)
        );
        for wrong in ["", "1.0", "0x1", "--1"] {
            assert!(integer::<i64>(text(wrong)).is_err(), "{wrong}");
        }
        let bits_of = |bytes, width| bits::<u64>(Value::Bytes(bytes), width).ok().flatten();
        assert_eq!(bits_of(&[1, 255], 9), Some(511));
        assert_eq!(bits_of(&[2, 0], 9), None);
        assert_eq!(bits_of(&[255; 8], 64), Some(u64::MAX));
    }
}
