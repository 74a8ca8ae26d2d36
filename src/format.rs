//! The output formats: one file each, and the table that everything else
//! (`--format`, file extensions, help, tests) iterates.
//!
//! A format turns rows into bytes in a buffer that the caller owns. It does no
//! I/O itself and never sees a file.

use clap::{ValueEnum, builder::PossibleValue};

use crate::{error::Result, format::buffer::RowBuffer, row::Row, schema::Schema};

pub mod buffer;
mod cell;
pub mod csv;
pub mod json;
mod number;
#[cfg(test)]
mod properties;
mod temporal;
pub mod tsv;

pub use cell::{BinaryEncoding, InvalidUtf8, ZeroDates};
pub use csv::{ByteOrderMark, CsvDelimiter, CsvNull, CsvQuote};

/// Every format. A new one is a file of its own, a `mod` line and an entry here.
pub static FORMATS: &[&Format] = &[&csv::FORMAT, &tsv::FORMAT, &json::FORMAT];

/// What the program knows of a format.
#[derive(Debug)]
pub struct Format {
    /// Its name for `--format` and `[output] format`.
    pub name: &'static str,
    /// A short description for the help.
    pub about: &'static str,
    /// File extensions, in lower case and without the dot, that choose it.
    pub extensions: &'static [&'static str],
    /// The format-specific flags that it honours, without the dashes; a flag
    /// with a value where only that value is specific.
    pub flags: &'static [&'static str],
    /// Makes a writer for a result set's columns. An error is about the columns
    /// and comes before any row is read.
    pub open: fn(&Schema, &FormatOptions) -> Result<Box<dyn RowWriter>>,
}

/// Encodes one result set. Every method appends to `out`.
pub trait RowWriter {
    /// What stands before the first row.
    fn begin(&mut self, out: &mut RowBuffer);

    /// One row, complete: a reader could be shown it at once.
    ///
    /// # Errors
    /// A value that the format cannot carry exactly; `out` may then hold a part
    /// of the row and must not be used.
    fn row(&mut self, row: Row<'_>, out: &mut RowBuffer) -> Result<(), ValueError>;

    /// What stands behind the last row.
    fn finish(&mut self, out: &mut RowBuffer);

    /// How each column's values are written, for people.
    fn shapes(&self) -> Vec<String>;

    /// What the user should know about the complete output.
    fn warnings(&self) -> Vec<String>;
}

/// A value that a format refuses to write.
#[derive(Debug, PartialEq, Eq)]
pub struct ValueError {
    /// Index of its column.
    pub column: usize,
    /// What is wrong, as the end of a sentence that begins with the place.
    pub problem: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

impl ValueError {
    /// Gives a cell's refusal its column.
    fn at(column: usize) -> impl FnOnce(cell::Refusal) -> Self {
        move |(problem, hint)| Self {
            column,
            problem,
            hint,
        }
    }
}

/// The settings of all formats; each format reads its own.
#[derive(Clone, Debug, Default)]
pub struct FormatOptions {
    /// How bytes without a character set are written.
    pub binary: BinaryEncoding,
    /// What becomes of text that is not UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// What stands between CSV's values.
    pub csv_delimiter: CsvDelimiter,
    /// What CSV begins with.
    pub csv_header: Header,
    /// How CSV lines end.
    pub line_ending: LineEnding,
    /// What CSV writes for NULL.
    pub csv_null: CsvNull,
    /// What stands before CSV's first byte.
    pub csv_bom: ByteOrderMark,
    /// Which of CSV's values are quoted.
    pub csv_quote: CsvQuote,
    /// What TSV begins with.
    pub tsv_header: Header,
    /// Whether JSON is laid out in lines for people.
    pub layout: Layout,
    /// The name of the object member that holds JSON's array.
    pub json_root: Option<String>,
    /// How JSON writes integers that a double cannot hold exactly.
    pub json_bigint: NumberStyle,
    /// How JSON writes DECIMAL.
    pub json_decimal: NumberStyle,
    /// Text columns that hold JSON, to be embedded in JSON.
    pub json_columns: Vec<String>,
    /// How JSON writes TINYINT(1).
    pub tinyint1: TinyInt1,
    /// What JSON makes of dates whose month or day is zero.
    pub zero_dates: ZeroDates,
    /// What becomes of columns with one name where names must differ.
    pub duplicate_columns: DuplicateColumns,
}

/// How JSON writes numbers that many of its readers would round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NumberStyle {
    /// As a number, with every digit
    #[default]
    Number,
    /// As a string
    String,
}

/// How JSON writes TINYINT(1), which BOOL stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TinyInt1 {
    /// As a number.
    #[default]
    Number,
    /// As true or false; other values than 1 and 0 are an error.
    Bool,
}

/// What a table begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    /// A line of the columns' names.
    #[default]
    Names,
    /// The first row.
    None,
}

/// How a CSV line ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LineEnding {
    /// A line feed, as PostgreSQL, DuckDB and ClickHouse write
    #[default]
    Lf,
    /// Carriage return and line feed, as RFC 4180 says
    Crlf,
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One object a line.
    #[default]
    Compact,
    /// Indented by two spaces.
    Pretty,
}

/// What becomes of columns with one name, in formats whose names must differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DuplicateColumns {
    /// Refuse the query before any row is read
    #[default]
    Error,
    /// Write `id`, `id_2`, …, passing over names that are taken
    Suffix,
}

/// The format called `name`.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|format| format.name == name)
}

/// The format that a file's extension chooses, in any case of letters.
#[must_use]
pub fn by_extension(extension: &str) -> Option<&'static Format> {
    let extension = extension.to_ascii_lowercase();
    let mut formats = FORMATS.iter().copied();
    formats.find(|format| format.extensions.contains(&extension.as_str()))
}

/// The choices of `--format` with their descriptions.
pub(crate) fn possible_values() -> Vec<PossibleValue> {
    let value = |format: &&Format| PossibleValue::new(format.name).help(format.about);
    FORMATS.iter().map(value).collect()
}
