//! The options for values that several formats share, and the choices of the columnar
//! ones, which exist in every build.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::schema::{Column, ColumnType, Nullability};

/// The text form of values without a character set, such as BLOB and VARBINARY.
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
    /// CSV and TSV: `\x` and hexadecimal digits, as PostgreSQL reads bytea
    Postgres,
}

/// The policy for text that is not UTF-8.
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

/// The policy for dates whose month or day is zero, such as `0000-00-00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum ZeroDates {
    /// Written as they are
    #[default]
    Keep,
    /// Written as NULL; how many values is said at the end
    Null,
    /// An error that names row and column
    Error,
}

/// The form of TINYINT(1), the type for which BOOL is a synonym (MySQL manual,
/// "Numeric Data Type Syntax"), and of BIT(1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Booleans {
    /// TINYINT(1) and BIT(1) are numbers
    #[default]
    Number,
    /// TINYINT(1) is `true` or `false`; a value other than 1 and 0 is an error
    Tinyint1,
    /// TINYINT(1) and BIT(1) are `true` or `false`
    Words,
}

/// The policy for texts with NUL characters in CSV and TSV: not every reader takes
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum NulTexts {
    /// Written; how many texts is said at the end
    #[default]
    Warn,
    /// Written without a word, for readers that are known to take them
    Keep,
}

/// The options for values, which every format has.
///
/// ```
/// use gold_digger::format::{BinaryEncoding, TextOptions, Tsv};
///
/// let text = TextOptions { binary: BinaryEncoding::Hex, ..TextOptions::default() };
/// let format = Tsv { text, ..Tsv::default() };
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextOptions {
    /// The text form of bytes without a character set.
    pub binary: BinaryEncoding,
    /// The policy for text that is not UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// The policy for dates whose month or day is zero.
    pub zero_dates: ZeroDates,
    /// The form of TINYINT(1) and BIT(1).
    pub booleans: Booleans,
    /// The policy for texts with NUL characters.
    pub nul: NulTexts,
}

impl TextOptions {
    /// Returns the options of a format without zero dates: they become NULL, unless they
    /// are refused.
    #[cfg(feature = "columnar")]
    pub(super) fn without_zero_dates(self) -> Self {
        let zero_dates = match self.zero_dates {
            ZeroDates::Keep => ZeroDates::Null,
            policy => policy,
        };
        Self { zero_dates, ..self }
    }

    /// Returns whether the values of `column` may be NULL in a document: a zero date of a
    /// column that is NOT NULL may become one.
    #[must_use]
    pub fn nullability(&self, column: &Column) -> Nullability {
        let is_date = matches!(
            column.column_type,
            ColumnType::Date | ColumnType::DateTime { .. }
        );
        match self.zero_dates {
            ZeroDates::Null if is_date => Nullability::Nullable,
            _ => column.metadata.nullability,
        }
    }
}

/// What becomes of DECIMALs of more than 38 digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum WideDecimals {
    /// Written as text, which every reader knows
    #[default]
    String,
    /// Refused before any row is read
    Error,
    /// Written as decimals: pyarrow reads them, DuckDB makes doubles of them
    Decimal256,
}

/// The compression of Parquet's pages.
///
/// ```
/// use gold_digger::format::ParquetCompression;
///
/// assert_eq!("zstd:1".parse(), Ok(ParquetCompression::Zstd(1)));
/// assert!("gzip".parse::<ParquetCompression>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParquetCompression {
    /// Zstandard at this level, 1 to 19.
    Zstd(u8),
    /// Snappy, which the oldest readers know.
    Snappy,
    /// LZ4, in its raw form.
    Lz4,
    /// None.
    None,
}

impl Default for ParquetCompression {
    fn default() -> Self {
        Self::Zstd(3)
    }
}

impl FromStr for ParquetCompression {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "snappy" => return Ok(Self::Snappy),
            "lz4" => return Ok(Self::Lz4),
            "none" => return Ok(Self::None),
            "zstd" => return Ok(Self::default()),
            _ => {}
        }
        let in_brackets = text.strip_prefix("zstd(");
        let in_brackets = in_brackets.and_then(|level| level.strip_suffix(')'));
        let level = in_brackets.or_else(|| text.strip_prefix("zstd:"));
        let level = level.ok_or("is none of zstd, zstd:LEVEL, snappy, lz4 and none")?;
        match level.parse() {
            Ok(level @ 1..=19) => Ok(Self::Zstd(level)),
            _ => Err("zstd has the levels 1 to 19"),
        }
    }
}

/// The compression of Arrow's arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum ArrowCompression {
    /// None, so that readers can use the file in place
    #[default]
    None,
    /// LZ4
    Lz4,
    /// Zstandard
    Zstd,
}
