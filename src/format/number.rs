//! Writes and parses numbers in the text form of the servers, so that both wire
//! protocols produce the same bytes.

use std::{io::Write, ops::RangeInclusive};

/// Appends a DOUBLE: the shortest digits that parse to the same value.
pub fn write_double(number: f64, out: &mut Vec<u8>) {
    write_like_servers(zmij::Buffer::new().format_finite(number), number, out);
}

/// Appends a FLOAT: the shortest digits that parse to the same 32-bit value.
pub fn write_float(number: f32, out: &mut Vec<u8>) {
    write_like_servers(
        zmij::Buffer::new().format_finite(number),
        number.into(),
        out,
    );
}

/// The absolute values that both zmij and the servers write without an exponent.
/// zmij appends `.0` to whole numbers, the servers do not.
const PLAIN: RangeInclusive<f64> = 0.001..=1e12;

/// Appends `number`, whose shortest digits are in `text`, in the form of the
/// servers.
#[inline]
fn write_like_servers(text: &str, number: f64, out: &mut Vec<u8>) {
    if PLAIN.contains(&number.abs()) {
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    } else {
        write_shortest(text, out);
    }
}

/// Appends a DOUBLE with the `decimals` that its column declares: the shortest digits
/// followed by zeros, or all of them if there are more than `decimals`. A stored
/// DOUBLE(M,D) never has more; MariaDB declares too few for some expressions, such as 0
/// for `CAST(text AS CHAR) + 0`.
pub fn write_fixed_double(number: f64, decimals: usize, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(number);
    let shortest = Digits::parse(text);
    if shortest.has_at_most(decimals) {
        write_padded(&shortest, decimals, out);
    } else {
        write_like_servers(text, number, out);
    }
}

/// Appends a FLOAT with the `decimals` that its column declares, as the double of the
/// same value, as the servers do: correctly rounded, because that double has digits that
/// the FLOAT has not.
pub fn write_fixed_float(number: f32, decimals: usize, out: &mut Vec<u8>) {
    let number = f64::from(number);
    let mut buffer = zmij::Buffer::new();
    let shortest = Digits::parse(buffer.format_finite(number));
    if shortest.has_at_most(decimals) {
        write_padded(&shortest, decimals, out);
    } else {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{number:.decimals$}");
    }
}

/// Appends digits with zeros behind them, up to `decimals`, of which they have no more.
fn write_padded(shortest: &Digits, decimals: usize, out: &mut Vec<u8>) {
    let (digits, point) = (shortest.digits(), shortest.point);
    if shortest.negative {
        out.push(b'-');
    }
    let whole = usize::try_from(point).unwrap_or(0);
    let (before, after) = digits.split_at(whole.min(digits.len()));
    out.extend_from_slice(if whole == 0 { b"0" } else { before });
    out.resize(out.len() + whole - before.len(), b'0');
    if decimals > 0 {
        out.push(b'.');
        let end = out.len() + decimals;
        if !after.is_empty() {
            out.resize(out.len() + point.min(0).unsigned_abs() as usize, b'0');
        }
        out.extend_from_slice(after);
        out.resize(end, b'0');
    }
}

/// Appends an integer.
pub fn write_integer(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// The maximum number of digits in the shortest decimal form of a double.
const MAX_DIGITS: usize = 17;

/// The shortest decimal form of a number: ±0.DIGITS × 10^point.
struct Digits {
    negative: bool,
    buffer: [u8; MAX_DIGITS],
    count: usize,
    /// The position of the decimal point, relative to the first digit.
    point: i32,
}

impl Digits {
    /// Parses a number with or without point and exponent.
    fn parse(text: &str) -> Self {
        let mut parsed = Self {
            negative: false,
            buffer: [0; MAX_DIGITS],
            count: 0,
            point: 0,
        };
        let mut whole = true;
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        for byte in mantissa.bytes() {
            match byte {
                b'-' => parsed.negative = true,
                b'.' => whole = false,
                b'0' if parsed.count == 0 => parsed.point -= i32::from(!whole),
                digit => {
                    // Digits beyond those of a double are zeros before the point.
                    if parsed.count < MAX_DIGITS {
                        parsed.buffer[parsed.count] = digit;
                        parsed.count += 1;
                    }
                    parsed.point += i32::from(whole);
                }
            }
        }
        parsed.point += exponent.parse().unwrap_or(0);
        let digits = &parsed.buffer[..parsed.count];
        parsed.count -= digits
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        if parsed.count == 0 {
            parsed.point = 0;
        }
        parsed
    }

    /// The digits as ASCII, without leading and trailing zeros.
    fn digits(&self) -> &[u8] {
        &self.buffer[..self.count]
    }

    /// Whether there are at most `decimals` digits behind the point.
    fn has_at_most(&self, decimals: usize) -> bool {
        self.count as i64 - i64::from(self.point) <= decimals as i64
    }
}

/// Appends shortest digits in the layout of the servers: without an exponent from
/// 1e-15 to below 1e15 and for numbers with a fraction, else as `1.5e-20`
/// (`my_gcvt` in the `dtoa.c` of both servers, `MAX_DECPT_FOR_F_FORMAT`).
fn write_shortest(text: &str, out: &mut Vec<u8>) {
    let shortest = Digits::parse(text);
    let (digits, point) = (shortest.digits(), shortest.point);
    if shortest.negative {
        out.push(b'-');
    }
    if digits.is_empty() {
        return out.push(b'0');
    }
    match (usize::try_from(point), point) {
        (Ok(whole @ 1..), _) if whole < digits.len() => {
            out.extend_from_slice(&digits[..whole]);
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
        (Ok(whole @ 1..=15), _) => {
            out.extend_from_slice(digits);
            out.resize(out.len() + whole - digits.len(), b'0');
        }
        (_, -14..=0) => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + point.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        }
        _ => {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.push(b'e');
            write_integer(point - 1, out);
        }
    }
}

/// The parts of a number's text. Its exponent, if any, is valid and not kept.
pub(super) struct NumberText<'a> {
    /// The digits before the point.
    whole: &'a [u8],
    /// The digits after the point; `None` if there is no point.
    fraction: Option<&'a [u8]>,
}

impl NumberText<'_> {
    /// Returns whether a server may write the number. Unlike JSON, servers write
    /// leading zeros, and may omit the digits on one side of the point.
    #[inline]
    pub(super) fn is_server_number(&self) -> bool {
        !self.whole.is_empty() || self.fraction.is_some_and(|digits| !digits.is_empty())
    }

    /// Returns whether the number is in JSON's grammar (RFC 8259, section 6).
    #[inline]
    pub(super) fn is_json_number(&self) -> bool {
        let is_padded = self.whole.len() > 1 && self.whole[0] == b'0';
        !self.whole.is_empty()
            && !is_padded
            && self.fraction.is_none_or(|digits| !digits.is_empty())
    }
}

/// Parses the text of a number; returns `None` if it is not a number.
#[inline(always)]
pub(super) fn parse_number(text: &[u8]) -> Option<NumberText<'_>> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, rest) = unsigned.split_at(digits(unsigned));
    let (fraction, rest) = match rest.split_first() {
        Some((b'.', rest)) => {
            let (fraction, rest) = rest.split_at(digits(rest));
            (Some(fraction), rest)
        }
        _ => (None, rest),
    };
    let is_valid = match rest.split_first() {
        None => true,
        Some((b'e' | b'E', exponent)) => {
            let unsigned = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+"));
            let unsigned = unsigned.unwrap_or(exponent);
            !unsigned.is_empty() && digits(unsigned) == unsigned.len()
        }
        Some(_) => false,
    };
    is_valid.then_some(NumberText { whole, fraction })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(number: f64) -> String {
        let mut out = Vec::new();
        write_double(number, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn doubles_have_the_layout_of_the_servers() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100.0, "100"),
            (0.1, "0.1"),
            (123_456_789.125, "123456789.125"),
            (999_999_999_999_999.0, "999999999999999"),
            (999_999_999_999_999.9, "999999999999999.9"),
            (1e15, "1e15"),
            (1_234_567_890_123_456.0, "1.234567890123456e15"),
            (1_234_567_890_123_456.8, "1234567890123456.8"),
            (1e-15, "0.000000000000001"),
            (1.5e-15, "0.0000000000000015"),
            (9.9e-16, "9.9e-16"),
            (1e-20, "1e-20"),
            (f64::MAX, "1.7976931348623157e308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(double(number), text);
        }
    }

    #[test]
    fn the_fast_path_writes_the_same_as_the_slow_path() {
        let mut number = *PLAIN.start();
        while number <= *PLAIN.end() {
            for number in [
                number,
                number.round(),
                -number,
                (number * 100.0).trunc() / 100.0,
            ] {
                let mut slow = Vec::new();
                write_shortest(zmij::Buffer::new().format_finite(number), &mut slow);
                assert_eq!(double(number).as_bytes(), slow);
                let (number, mut fast) = (number as f32, Vec::new());
                write_float(number, &mut fast);
                slow.clear();
                write_shortest(zmij::Buffer::new().format_finite(number), &mut slow);
                assert_eq!(fast, slow);
            }
            number *= 1.01;
        }
    }

    #[test]
    fn declared_decimals_pad_the_shortest_digits() {
        for (number, decimals, text) in [
            (0.0, 2, "0.00"),
            (-0.0, 0, "-0"),
            (1.5, 0, "1.5"),
            (19.99, 0, "19.99"),
            (0.5, 3, "0.500"),
            (-0.0005, 4, "-0.0005"),
            (0.1, 17, "0.10000000000000000"),
            (1.005, 2, "1.005"),
            (1.005, 3, "1.005"),
            (12_345_678_901_234.568, 4, "12345678901234.5680"),
            (1e20, 1, "100000000000000000000.0"),
            (1e-20, 3, "1e-20"),
        ] {
            let mut out = Vec::new();
            write_fixed_double(number, decimals, &mut out);
            assert_eq!(String::from_utf8(out).expect("ASCII"), text);
        }
    }

    #[test]
    fn declared_decimals_round_the_digits_that_a_float_has_not() {
        for (number, decimals, text) in [(0.1_f32, 15, "0.100000001490116"), (-0.125, 2, "-0.12")] {
            let mut out = Vec::new();
            write_fixed_float(number, decimals, &mut out);
            assert_eq!(String::from_utf8(out).expect("ASCII"), text);
        }
    }

    #[test]
    fn floats_have_their_own_shortest_digits() {
        for (number, text) in [
            (0.1_f32, "0.1"),
            (16_777_216.0, "16777216"),
            (3.402_823_5e38, "3.4028235e38"),
            (1.175_494_4e-38, "1.1754944e-38"),
            (1e-45, "1e-45"),
        ] {
            let mut out = Vec::new();
            write_float(number, &mut out);
            assert_eq!(String::from_utf8(out).expect("ASCII"), text);
        }
    }
}
