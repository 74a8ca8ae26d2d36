//! Dates and times as the servers write them (MySQL manual, "Date and Time
//! Literals"), with the declared digits of the fraction.

use super::number::write_integer;
use crate::row::{DateTime, Time};

/// `YYYY-MM-DD`.
pub fn write_date(date: DateTime, out: &mut Vec<u8>) {
    let [century, year] =
        [date.year / 100, date.year % 100].map(|part| two_digits(u32::from(part)));
    let [month, day] = [date.month, date.day].map(|part| two_digits(u32::from(part)));
    out.extend_from_slice(&[
        century[0], century[1], year[0], year[1], b'-', month[0], month[1], b'-', day[0], day[1],
    ]);
}

/// `YYYY-MM-DD hh:mm:ss[.ffffff]`.
pub fn write_datetime(point: DateTime, fraction: usize, out: &mut Vec<u8>) {
    write_date(point, out);
    out.push(b' ');
    out.extend_from_slice(&two_digits(u32::from(point.hour)));
    write_minutes(point.minute, point.second, point.micros, fraction, out);
}

/// `[-]hh:mm:ss[.ffffff]`, with more digits for the hours where they are needed.
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

fn write_minutes(minute: u8, second: u8, micros: u32, fraction: usize, out: &mut Vec<u8>) {
    let [minute, second] = [minute, second].map(|part| two_digits(u32::from(part)));
    out.extend_from_slice(&[b':', minute[0], minute[1], b':', second[0], second[1]]);
    if fraction > 0 {
        let [a, b, c] = [micros / 10_000, micros / 100, micros].map(two_digits);
        let digits = [b'.', a[0], a[1], b[0], b[1], c[0], c[1]];
        out.extend_from_slice(&digits[..=fraction.min(6)]);
    }
}

/// The last two decimal digits of `number`.
fn two_digits(number: u32) -> [u8; 2] {
    // Both are below 10.
    let digit = |digit: u32| b'0' + (digit % 10) as u8;
    [digit(number / 10), digit(number)]
}

/// Whether the text of a DATE, DATETIME or TIMESTAMP has a month or day that is
/// zero: `0000-00-00` and partial dates.
pub fn is_zero_date_text(text: &[u8]) -> bool {
    matches!(
        text,
        [_, _, _, _, b'-', b'0', b'0', ..] | [_, _, _, _, b'-', _, _, b'-', b'0', b'0', ..]
    )
}
