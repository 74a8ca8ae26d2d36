//! Writes dates and times in the form of the servers (MySQL manual, "Date and
//! Time Literals"), with the declared number of digits in the fraction.

use super::number::write_integer;
use crate::row::{DateTime, Time};

/// Appends `YYYY-MM-DD`.
pub fn write_date(date: DateTime, out: &mut Vec<u8>) {
    let [century, year] =
        [date.year / 100, date.year % 100].map(|part| two_digits(u32::from(part)));
    let [month, day] = [date.month, date.day].map(|part| two_digits(u32::from(part)));
    out.extend_from_slice(&[
        century[0], century[1], year[0], year[1], b'-', month[0], month[1], b'-', day[0], day[1],
    ]);
}

/// Appends `YYYY-MM-DD hh:mm:ss[.ffffff]` with `fraction` digits after the point,
/// 0 to 6.
pub fn write_datetime(point: DateTime, fraction: usize, out: &mut Vec<u8>) {
    write_date(point, out);
    out.push(b' ');
    out.extend_from_slice(&two_digits(u32::from(point.hour)));
    write_minutes(point.minute, point.second, point.micros, fraction, out);
}

/// Appends `[-]hh:mm:ss[.ffffff]` with `fraction` digits after the point, 0 to 6,
/// and with a third digit for 100 hours or more.
pub fn write_time(span: Time, fraction: usize, out: &mut Vec<u8>) {
    if span.negative {
        out.push(b'-');
    }
    if span.hours < 10 {
        out.push(b'0');
    }
    write_integer(span.hours, out);
    write_minutes(span.minute, span.second, span.micros, fraction, out);
}

/// Appends `:mm:ss[.ffffff]`.
fn write_minutes(minute: u8, second: u8, micros: u32, fraction: usize, out: &mut Vec<u8>) {
    let [minute, second] = [minute, second].map(|part| two_digits(u32::from(part)));
    out.extend_from_slice(&[b':', minute[0], minute[1], b':', second[0], second[1]]);
    if fraction > 0 {
        let [a, b, c] = [micros / 10_000, micros / 100, micros].map(two_digits);
        let digits = [b'.', a[0], a[1], b[0], b[1], c[0], c[1]];
        out.extend_from_slice(&digits[..=fraction.min(6)]);
    }
}

/// Returns the last two decimal digits of `number`.
fn two_digits(number: u32) -> [u8; 2] {
    // The remainder is below 10, so the cast is exact.
    let digit = |digit: u32| b'0' + (digit % 10) as u8;
    [digit(number / 10), digit(number)]
}

/// Returns whether the month or the day is zero in the text of a DATE, DATETIME
/// or TIMESTAMP: in `0000-00-00` and in partial dates.
pub fn is_zero_date_text(text: &[u8]) -> bool {
    matches!(
        text,
        [_, _, _, _, b'-', b'0', b'0', ..] | [_, _, _, _, b'-', _, _, b'-', b'0', b'0', ..]
    )
}
