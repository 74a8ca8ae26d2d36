//! The values that a target cannot hold: each is an error that names its place, or
//! is counted for a warning.

use super::{LoadTarget, types::MAX_DIGITS};
use crate::{
    format::{BinaryEncoding, Booleans, TextOptions, ValueError, ZeroDates},
    row::{Row, Value, bits_of},
    schema::{Column, ColumnType, Schema},
    text::warning,
};

/// The values that a target can hold. The metadata of a result cannot tell, so
/// values are checked.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Whether texts may have NUL characters.
    pub(super) nul: bool,
    /// Whether the text for NULL, between quotes, is read as a text.
    pub(super) quoted_null: bool,
    /// The first and the last year of dates, which must be days of the calendar.
    pub(super) years: Option<(u16, u16)>,
    /// The largest integer.
    pub(super) largest_integer: Option<u64>,
    /// The most bytes of a text.
    pub(super) longest_text: Option<usize>,
    /// The most bytes of a value of bytes.
    pub(super) longest_bytes: Option<usize>,
    /// Returns the most digits of the DECIMAL in the target's table for a column with so
    /// many digits in all, and so many decimals; `None` if it has another type there.
    pub(super) decimal_digits: fn(u32, u32) -> Option<u32>,
    /// Whether the target is a spreadsheet, which reads numbers with 15 digits, and
    /// takes texts that look like numbers for numbers.
    pub(super) spreadsheet: bool,
}

impl Limits {
    /// The target holds every value.
    pub(super) const NONE: Self = Self {
        nul: true,
        quoted_null: true,
        years: None,
        largest_integer: None,
        longest_text: None,
        longest_bytes: None,
        decimal_digits: |_, _| None,
        spreadsheet: false,
    };

    /// Returns the check of a BIT column, which is written as an integer.
    fn check_of_bits(&self) -> Option<Check> {
        if self.spreadsheet {
            return Some(Check::SpreadsheetBits);
        }
        self.largest_integer.map(|_| Check::Bits)
    }

    /// Returns the check of a DECIMAL column: servers declare too few digits for some
    /// expressions, such as AVG() of a CASE.
    fn check_of_decimal(&self, column: &Column, scale: u8) -> Option<Check> {
        let digits = column.metadata.precision.unwrap_or(MAX_DIGITS);
        let digits = (self.decimal_digits)(digits, scale.into())?;
        Some(Check::Decimal {
            whole: digits.saturating_sub(scale.into()) as usize,
            scale: scale.into(),
        })
    }
}

/// The most digits of a number in a spreadsheet (Microsoft, "Excel specifications
/// and limits").
const SPREADSHEET_DIGITS: usize = 15;

/// The most characters of a cell (ibid.).
const SPREADSHEET_CHARACTERS: usize = 32_767;

/// The most rows of a sheet (ibid.).
const SPREADSHEET_ROWS: u64 = 1_048_576;

/// Checks the values of one result set.
///
/// ```
/// use gold_digger::{
///     format::TextOptions,
///     load::{LimitCheck, LoadTarget},
///     row::{MemoryRow, Value},
///     schema::{Column, ColumnType, Schema},
/// };
///
/// let schema = Schema { columns: vec![Column::new("note", "TEXT", ColumnType::Text)] };
/// let postgres = LoadTarget::named("postgres").expect("a target");
/// let mut check = LimitCheck::new(postgres, &schema, TextOptions::default(), None);
/// assert!(check.row(MemoryRow::new(&[Value::Bytes(b"a\tb")]).view()).is_ok());
/// assert!(check.row(MemoryRow::new(&[Value::Bytes(b"a\0b")]).view()).is_err());
/// ```
#[derive(Debug)]
pub struct LimitCheck {
    /// The columns to check, each with its index.
    columns: Vec<(usize, Check)>,
    limits: Limits,
    /// The text for NULL that a value must not consist of.
    null: Option<Vec<u8>>,
    zero_dates: ZeroDates,
    /// The number of numbers with more digits than a spreadsheet has.
    long_numbers: u64,
    /// The number of texts that a spreadsheet takes for numbers or dates.
    likely_numbers: u64,
    /// The number of texts that are too long for a cell.
    long_texts: u64,
}

/// The check of a column.
#[derive(Clone, Copy, Debug)]
enum Check {
    Text,
    Bytes,
    EncodedBytes,
    Date,
    Integer,
    Bits,
    /// A DECIMAL with so many digits before the point and behind it.
    Decimal {
        whole: usize,
        scale: usize,
    },
    SpreadsheetText,
    SpreadsheetNumber,
    SpreadsheetBits,
}

impl LimitCheck {
    /// Creates the check for a result with the columns of `schema`, which is
    /// written with the options `text` and, in CSV, `null` for NULL.
    #[must_use]
    pub fn new(
        target: &LoadTarget,
        schema: &Schema,
        text: TextOptions,
        null: Option<String>,
    ) -> Self {
        let limits = target.limits;
        let null = null.filter(|_| !limits.quoted_null);
        let checks_text = !limits.nul || null.is_some() || limits.longest_text.is_some();
        // Encoded bytes are compared with the text for NULL before the query runs.
        let checks_bytes = null.as_ref().is_some_and(|null| {
            null.is_empty() || matches!(text.binary, BinaryEncoding::Utf8 | BinaryEncoding::Raw)
        });
        let check = |column: &Column| match column.column_type {
            ColumnType::Binary if checks_bytes => Some(Check::Bytes),
            ColumnType::Binary if limits.longest_bytes.is_some() => Some(Check::EncodedBytes),
            ColumnType::Bit { .. } => limits.check_of_bits(),
            ColumnType::Text | ColumnType::Json if limits.spreadsheet => {
                Some(Check::SpreadsheetText)
            }
            ColumnType::Text | ColumnType::Json if checks_text => Some(Check::Text),
            ColumnType::Date | ColumnType::DateTime { .. } if limits.years.is_some() => {
                Some(Check::Date)
            }
            ColumnType::Integer { .. } if limits.largest_integer.is_some() => Some(Check::Integer),
            ColumnType::Integer { .. } | ColumnType::Decimal { .. } | ColumnType::Double(_)
                if limits.spreadsheet =>
            {
                Some(Check::SpreadsheetNumber)
            }
            ColumnType::Decimal { scale, .. } => limits.check_of_decimal(column, scale),
            _ => None,
        };
        let columns = schema.columns.iter().enumerate();
        Self {
            columns: columns
                .filter_map(|(index, column)| Some((index, check(column)?)))
                .collect(),
            limits,
            null: null.map(String::into_bytes),
            zero_dates: text.zero_dates,
            long_numbers: 0,
            likely_numbers: 0,
            long_texts: 0,
        }
    }

    /// Returns whether there is anything to check.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.columns.is_empty() || self.limits.spreadsheet
    }

    /// Checks a row.
    ///
    /// # Errors
    /// [`ValueError`] for a value that the target cannot hold.
    pub fn row(&mut self, row: Row<'_>) -> Result<(), ValueError> {
        for index in 0..self.columns.len() {
            let (column, check) = self.columns[index];
            let problem = match (check, row.value(column)) {
                (_, Value::Null) => None,
                (Check::Text, Value::Bytes(text)) => self.text_problem(text),
                (Check::Bytes, Value::Bytes(bytes)) => self
                    .null_problem(bytes)
                    .or_else(|| self.length_problem(bytes)),
                (Check::EncodedBytes, Value::Bytes(bytes)) => self.length_problem(bytes),
                (Check::Date, value) => self.date_problem(value),
                (Check::Integer, value) => self.integer_problem(value),
                (Check::Decimal { whole, scale }, Value::Bytes(number)) => {
                    is_beyond(number, whole, scale).then_some(BEYOND_DECIMAL)
                }
                (Check::Bits, value) => self.integer_problem(Value::UInt(bits(value))),
                (Check::SpreadsheetText, Value::Bytes(text)) => {
                    self.count_text(text);
                    None
                }
                (Check::SpreadsheetNumber, value) => {
                    self.count_number(value);
                    None
                }
                (Check::SpreadsheetBits, value) => {
                    self.count_number(Value::UInt(bits(value)));
                    None
                }
                _ => None,
            };
            if let Some((problem, hint)) = problem {
                return Err(ValueError {
                    column,
                    problem,
                    hint,
                });
            }
        }
        Ok(())
    }

    /// Returns the warnings about a result of `rows` rows.
    #[must_use]
    pub fn warnings(&self, rows: u64) -> Vec<String> {
        let too_many = self.limits.spreadsheet && rows >= SPREADSHEET_ROWS;
        [
            warning(
                self.long_numbers,
                "number has more than 15 digits: Excel rounds it when it opens the file, \
                 unless its column is imported as text",
                "numbers have more than 15 digits: Excel rounds each when it opens the file, \
                 unless its column is imported as text",
            ),
            warning(
                self.likely_numbers,
                "text looks like a number or a date: Excel converts it when it opens the file, \
                 unless its column is imported as text",
                "texts look like numbers or dates: Excel converts each when it opens the file, \
                 unless its column is imported as text",
            ),
            warning(
                self.long_texts,
                "text has more than the 32767 characters that a cell of Excel holds",
                "texts have more than the 32767 characters that a cell of Excel holds",
            ),
            too_many.then(|| {
                format!("{rows} rows and the header are more than the {SPREADSHEET_ROWS} of a sheet of Excel")
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn text_problem(&self, text: &[u8]) -> Option<Problem> {
        if !self.limits.nul && text.contains(&0) {
            return Some((
                "has a NUL character, which the target of --for cannot hold in a text",
                "CAST the column to BINARY in the query, or REPLACE the character",
            ));
        }
        if let Some(problem) = self.null_problem(text) {
            return Some(problem);
        }
        let longest = self.limits.longest_text;
        longest.filter(|longest| text.len() > *longest).map(|_| {
            (
                "is longer than any text of the target of --for",
                "leave the column out, or shorten it in the query with LEFT()",
            )
        })
    }

    fn length_problem(&self, bytes: &[u8]) -> Option<Problem> {
        let longest = self.limits.longest_bytes;
        longest.filter(|longest| bytes.len() > *longest).map(|_| {
            (
                "has more bytes than any value of the target of --for",
                "leave the column out, or shorten it in the query with LEFT()",
            )
        })
    }

    fn null_problem(&self, value: &[u8]) -> Option<Problem> {
        (self.null.as_deref() == Some(value)).then_some((
            "is the text that stands for NULL in this file",
            "--csv-null chooses another one",
        ))
    }

    fn date_problem(&self, value: Value<'_>) -> Option<Problem> {
        let (first, last) = self.limits.years?;
        let (year, month, day) = date(value)?;
        if month == 0 || day == 0 {
            return (self.zero_dates == ZeroDates::Keep).then_some((
                "is no date of the calendar, which the target of --for cannot hold",
                "--zero-dates null writes NULL",
            ));
        }
        if !(first..=last).contains(&year) {
            return Some((
                "is a date beyond those of the target of --for",
                "CAST the column to CHAR in the query, or NULLIF() the value",
            ));
        }
        (day > days(year, month)).then_some((
            "is no date of the calendar, which the target of --for cannot hold",
            "CAST the column to CHAR in the query",
        ))
    }

    fn integer_problem(&self, value: Value<'_>) -> Option<Problem> {
        let number = match value {
            Value::UInt(number) => number,
            // The text of a negative number is none of an unsigned one.
            Value::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
            _ => return None,
        };
        (Some(number) > self.limits.largest_integer).then_some((
            "is larger than any integer of the target of --for",
            "CAST the column to CHAR in the query",
        ))
    }

    fn count_number(&mut self, number: Value<'_>) {
        self.long_numbers += u64::from(digits(number) > SPREADSHEET_DIGITS);
    }

    fn count_text(&mut self, text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        // A cell counts units of UTF-16, which are no more than the bytes.
        let is_long = text.len() > SPREADSHEET_CHARACTERS
            && text.encode_utf16().count() > SPREADSHEET_CHARACTERS;
        self.long_texts += u64::from(is_long);
        self.likely_numbers += u64::from(looks_like_number(text));
    }
}

/// Returns whether a number, a date, a time, a boolean or encoded bytes can be
/// written as `text`, which is not empty.
pub(super) fn can_be_value(text: &str, options: &TextOptions) -> bool {
    let consists_of = |others: &[u8]| {
        let mut bytes = text.bytes();
        bytes.all(|byte| byte.is_ascii_digit() || others.contains(&byte))
    };
    let is_boolean = options.booleans != Booleans::Number && matches!(text, "true" | "false");
    let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
    let is_encoded = !text.is_empty()
        && match options.binary {
            BinaryEncoding::Hex => text.len().is_multiple_of(2) && consists_of(b"abcdef"),
            BinaryEncoding::Base64 => {
                let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
                text.len().is_multiple_of(4) && text.bytes().all(is_base64)
            }
            BinaryEncoding::Postgres => text.starts_with("\\x"),
            BinaryEncoding::Utf8 | BinaryEncoding::Raw => false,
        };
    is_boolean || is_encoded || has_digit && consists_of(b"+-.eE: ")
}

/// Returns whether a spreadsheet in English may take a text for a boolean, a number, a
/// date or a time. A text that begins with a sign is taken for a formula.
fn looks_like_number(text: &str) -> bool {
    let text = text.trim();
    if is_one_of(text, &["true", "false"]) || is_one_of(text, &ERRORS) {
        return true;
    }
    let words = || {
        let words = text.split(|c: char| !c.is_alphabetic());
        words.filter(|word| !word.is_empty())
    };
    let is_month = |word: &str| {
        let months = MONTHS.iter();
        word.len() >= 3 && months.clone().any(|month| begins_with(month, word))
    };
    let is_sign = |c: char| c.is_alphanumeric() || "-+/:., %()$€£¥".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_digit() || ".(%$€£¥".contains(c))
        || text.starts_with(char::is_alphabetic) && words().next().is_some_and(is_month);
    begins
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.chars().all(is_sign)
        && words().all(|word| {
            is_month(word)
                || is_one_of(word, &["e", "t", "z", "am", "pm"])
                || is_one_of(word, &["a", "p"]) && text.contains([' ', ':'])
        })
}

/// The errors of formulas.
const ERRORS: [&str; 7] = [
    "#n/a", "#ref!", "#name?", "#null!", "#num!", "#value!", "#div/0!",
];

/// The names of months. Spreadsheets read their first three letters too.
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Whether `text` is one of `words`, in letters of either case.
fn is_one_of(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether `word` begins with `part`, in letters of either case.
fn begins_with(word: &str, part: &str) -> bool {
    let beginning = word.get(..part.len());
    beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(part))
}

/// A problem, as the end of a sentence that begins with the value, and a hint.
type Problem = (&'static str, &'static str);

const BEYOND_DECIMAL: Problem = (
    "has more digits than its column's type says, and than the table of --for has",
    "CAST it in the query to the DECIMAL that it needs, for example CAST(… AS DECIMAL(20,4))",
);

/// Returns whether a DECIMAL has more digits than `whole` before the point, or than
/// `scale` behind it. Zeros at its ends do not count.
fn is_beyond(number: &[u8], whole: usize, scale: usize) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    let point = digits.iter().position(|byte| *byte == b'.');
    let (before, behind) = match point {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    let is_zero = |digit: &u8| *digit == b'0';
    let surplus = before.len().saturating_sub(whole);
    !before[..surplus].iter().all(is_zero) || !behind.iter().skip(scale).all(is_zero)
}

/// Returns the year, month and day of a date.
fn date(value: Value<'_>) -> Option<(u16, u8, u8)> {
    match value {
        Value::DateTime(point) => Some((point.year, point.month, point.day)),
        Value::Bytes(text) => {
            let text = std::str::from_utf8(text.get(..10)?).ok()?;
            let mut parts = text.split('-');
            let mut next = || parts.next();
            let (year, month, day) = (next()?, next()?, next()?);
            Some((year.parse().ok()?, month.parse().ok()?, day.parse().ok()?))
        }
        _ => None,
    }
}

/// Returns the bits of a BIT(n), which are bytes, the most significant first.
fn bits(value: Value<'_>) -> u64 {
    match value {
        Value::Bytes(bytes) => bits_of(bytes),
        _ => 0,
    }
}

/// Returns the number of days of a month in the Gregorian calendar, also for years
/// before it, as servers count them.
fn days(year: u16, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Returns the number of significant digits of a number.
fn digits(value: Value<'_>) -> usize {
    match value {
        Value::Int(number) => significant(number.to_string().as_bytes()),
        Value::UInt(number) => significant(number.to_string().as_bytes()),
        Value::Double(number) => significant(format!("{number:e}").as_bytes()),
        Value::Bytes(text) => significant(text),
        _ => 0,
    }
}

/// Returns the number of significant digits of a number in text.
fn significant(number: &[u8]) -> usize {
    let end = number.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let digits = number[..end.unwrap_or(number.len())].iter();
    let digits: Vec<u8> = digits.copied().filter(u8::is_ascii_digit).collect();
    let first = digits.iter().position(|digit| *digit != b'0');
    let last = digits.iter().rposition(|digit| *digit != b'0');
    first.zip(last).map_or(0, |(first, last)| last + 1 - first)
}

#[cfg(test)]
mod tests {
    use super::{is_beyond, looks_like_number};

    #[test]
    fn decimals_beyond_their_columns_are_known() {
        for (number, expected) in [
            ("0", false),
            ("99.9999", false),
            ("-99.99990", false),
            ("0099.9999", false),
            (".5", false),
            ("100.0000", true),
            ("-100", true),
            ("1.00001", true),
        ] {
            assert_eq!(is_beyond(number.as_bytes(), 2, 4), expected, "{number}");
        }
        assert!(!is_beyond(b"0.5", 0, 1) && is_beyond(b"1.5", 0, 1));
    }

    #[test]
    fn texts_that_spreadsheets_change_are_known() {
        for text in [
            "00123",
            "1-2",
            "5%",
            "1e5",
            "(5)",
            "$5",
            "5 €",
            "TRUE",
            "false",
            "10:00 PM",
            "Jan 5",
            "MAR1",
            "#N/A",
            "5:30 p",
            "%50",
            "1-sept-26",
            "2026-01-02T03:04:05Z",
            " 7 ",
        ] {
            assert!(looks_like_number(text), "{text}");
        }
        for text in [
            "",
            "true story",
            "abc",
            "A1",
            "E5",
            "Marx 1",
            "Mayor 5",
            "1a",
            "x'1",
            "-5",
            "T1",
            "may",
            "1 jan b",
            "№ 5",
            "ja 5",
        ] {
            assert!(!looks_like_number(text), "{text}");
        }
    }
}
