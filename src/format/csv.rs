//! CSV as RFC 4180 quotes it: a header row, fields quoted only where needed,
//! quotes doubled. NULL and the empty string differ: NULL is an empty field
//! without quotes (or a text of the user's choice), the empty string is `""`.

use std::{str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    BuiltIn, EncodeBuffer, Format, Header, RowWriter, ValueError,
    column::{self, ColumnFormatter, Rendered, TextOptions},
    delimited,
};
use crate::{
    error::{Error, Result},
    row::Row,
    schema::Schema,
};

/// The entry in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "csv",
    about: "comma-separated values, RFC 4180 quoting",
    extensions: &["csv"],
    default: || Arc::new(Csv::default()),
};

/// CSV with its options.
///
/// ```
/// use gold_digger::format::Csv;
///
/// let excel = Csv::new().delimiter(b';')?;
/// # Ok::<(), gold_digger::error::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Csv {
    /// How text and bytes are written.
    pub text: TextOptions,
    /// What separates two values.
    pub delimiter: CsvDelimiter,
    /// What the document begins with.
    pub header: Header,
    /// How lines end.
    pub line_ending: LineEnding,
    /// What is written for NULL.
    pub null: CsvNull,
    /// What is written before the first byte.
    pub bom: ByteOrderMark,
    /// Which values are quoted.
    pub quote: CsvQuote,
}

impl Csv {
    /// Commas, a header line, line feeds, and NULL as an empty field.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Separates values by `delimiter`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) for a byte that
    /// values without quotes can hold.
    pub fn delimiter(mut self, delimiter: u8) -> Result<Self> {
        let text = char::from(delimiter).to_string();
        let refused =
            |problem| Error::config(format!("the CSV delimiter cannot be {text:?}: {problem}"));
        self.delimiter = text.parse().map_err(refused)?;
        Ok(self)
    }
}

impl Format for Csv {
    fn name(&self) -> &'static str {
        FORMAT.name
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        Ok(Box::new(CsvWriter::new(self, schema)))
    }

    fn header(&self) -> Header {
        self.header
    }
}

/// What CSV writes for NULL, unquoted: never something that needs quotes as
/// data. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CsvNull(String);

impl FromStr for CsvNull {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains(['"', '\n', '\r']) {
            return Err("it holds a quote or a line end, and could not be told from data");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for CsvNull {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CsvNull> for String {
    fn from(null: CsvNull) -> Self {
        null.0
    }
}

impl CsvNull {
    /// Whether it holds the delimiter, and would read as two values.
    #[must_use]
    pub fn contains(&self, CsvDelimiter(delimiter): CsvDelimiter) -> bool {
        self.0.as_bytes().contains(&delimiter)
    }
}

/// What stands between two values: one byte that no number, date, or encoded
/// value holds, as those are never quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CsvDelimiter(u8);

impl Default for CsvDelimiter {
    fn default() -> Self {
        Self(b',')
    }
}

impl FromStr for CsvDelimiter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match *text.as_bytes() {
            [b'\\', b't'] => Ok(Self(b'\t')),
            [byte] if byte.is_ascii_alphanumeric() || b"+-.:/= ".contains(&byte) => {
                Err("it can stand in numbers, dates or encoded bytes")
            }
            [b'"' | b'\n' | b'\r' | b'\0'] => Err("it has a meaning of its own in CSV"),
            [byte] if byte.is_ascii() => Ok(Self(byte)),
            _ => Err("it is not one ASCII character"),
        }
    }
}

impl TryFrom<String> for CsvDelimiter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CsvDelimiter> for String {
    fn from(delimiter: CsvDelimiter) -> Self {
        char::from(delimiter.0).to_string()
    }
}

/// Which values are quoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum CsvQuote {
    /// Those that would be misread otherwise
    #[default]
    Necessary,
    /// All but NULL
    Always,
}

/// What stands before the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByteOrderMark {
    /// Nothing.
    #[default]
    None,
    /// U+FEFF, by which some programs know UTF-8.
    Utf8,
}

/// How a CSV line ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum LineEnding {
    /// A line feed, as PostgreSQL, DuckDB and ClickHouse write
    #[default]
    Lf,
    /// Carriage return and line feed, as RFC 4180 says
    Crlf,
}

/// How fields are written.
#[derive(Clone, Copy)]
struct Dialect {
    delimiter: u8,
    quote: CsvQuote,
}

struct CsvWriter {
    columns: Vec<ColumnFormatter>,
    /// The number of values that were not UTF-8.
    lossy_values: u64,
    dialect: Dialect,
    /// What stands before the first row.
    header: Vec<u8>,
    null: Vec<u8>,
    /// Whether the text for NULL holds U+FFFD, as every lossy value does.
    lossy_may_be_null: bool,
    line_end: &'static [u8],
    /// The number of blank lines, where there can be any: with one column, a NULL
    /// written as nothing makes a line that some readers skip.
    blank_lines: Option<u64>,
}

impl CsvWriter {
    fn new(options: &Csv, schema: &Schema) -> Self {
        let null = options.null.0.as_bytes();
        let line_end: &[u8] = match options.line_ending {
            LineEnding::Lf => b"\n",
            LineEnding::Crlf => b"\r\n",
        };
        let dialect = Dialect {
            delimiter: options.delimiter.0,
            quote: options.quote,
        };
        let mut header = Vec::new();
        let mut out = EncodeBuffer::unbounded(&mut header);
        if options.bom == ByteOrderMark::Utf8 {
            out.extend("\u{feff}".as_bytes());
        }
        if options.header == Header::Names {
            // A name is never NULL, so only its own characters can call for quotes.
            delimited::write_names(schema, dialect.delimiter, &mut out, |name, out| {
                dialect.write_field(name, b"", out);
            });
            out.extend(line_end);
        }
        Self {
            columns: ColumnFormatter::for_columns(schema, options.text),
            lossy_values: 0,
            dialect,
            header,
            null: null.to_vec(),
            lossy_may_be_null: options.null.0.contains(char::REPLACEMENT_CHARACTER),
            line_end,
            blank_lines: (schema.columns.len() == 1 && null.is_empty()).then_some(0),
        }
    }
}

impl RowWriter for CsvWriter {
    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        out.extend(&self.header);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        let dialect = self.dialect;
        for (column, formatter) in self.columns.iter().enumerate() {
            if column > 0 {
                out.bytes.push(dialect.delimiter);
            }
            let start = out.bytes.len();
            let rendered = formatter.render(row, out.bytes);
            match rendered.map_err(ValueError::at(column))? {
                Rendered::Null => {
                    out.bytes.extend_from_slice(&self.null);
                    if let Some(lines) = &mut self.blank_lines {
                        *lines += 1;
                    }
                }
                Rendered::Plain => self.quote_plain(start, out),
                Rendered::Text(text) => dialect.write_field(text.as_bytes(), &self.null, out),
                Rendered::Lossy(bytes) => {
                    self.lossy_values += 1;
                    let quoted = self.lossy_may_be_null || dialect.needs_quotes(bytes);
                    let quote: &[u8] = if quoted { b"\"" } else { b"" };
                    out.bytes.extend_from_slice(quote);
                    column::write_lossy(bytes, |text| write_quoted(text.as_bytes(), out));
                    out.bytes.extend_from_slice(quote);
                }
                // What stands for NULL is short, so that nothing is written yet.
                Rendered::Encoded(encoding, bytes) if bytes.len() <= self.null.len() => {
                    encoding.append(bytes, out.bytes);
                    self.quote_plain(start, out);
                }
                Rendered::Encoded(encoding, bytes) => {
                    let quoted = dialect.quote == CsvQuote::Always;
                    let quote: &[u8] = if quoted { b"\"" } else { b"" };
                    out.bytes.extend_from_slice(quote);
                    encoding.write(bytes, out);
                    out.bytes.extend_from_slice(quote);
                }
                Rendered::Bytes(bytes) => dialect.write_field(bytes, &self.null, out),
            }
        }
        out.bytes.extend_from_slice(self.line_end);
        Ok(())
    }

    fn column_formats(&self) -> Vec<String> {
        delimited::column_formats(&self.columns)
    }

    fn warnings(&self) -> Vec<String> {
        let blank = match self.blank_lines {
            Some(lines) if lines > 0 => Some(format!(
                "{lines} NULL values of the only column are blank lines, which some CSV readers skip; \
                 --csv-null TEXT writes them as TEXT"
            )),
            _ => None,
        };
        let lossy = delimited::warnings(self.lossy_values);
        blank.into_iter().chain(lossy).collect()
    }
}

impl CsvWriter {
    /// Quotes the plain text that begins at `start` where all is quoted, or
    /// where it is empty or would read as NULL.
    #[inline]
    fn quote_plain(&self, start: usize, out: &mut EncodeBuffer<'_>) {
        let text = &out.bytes[start..];
        if text.is_empty()
            || self.dialect.quote == CsvQuote::Always
            || !self.null.is_empty() && text == self.null
        {
            out.bytes.insert(start, b'"');
            out.bytes.push(b'"');
        }
    }
}

impl Dialect {
    /// Whether `byte` forces a field into quotes (RFC 4180, section 2, rule 6).
    const fn is_special(self, byte: u8) -> bool {
        matches!(byte, b'"' | b'\n' | b'\r') || byte == self.delimiter
    }

    /// Whether data must be quoted for its own sake.
    #[inline]
    fn needs_quotes(self, bytes: &[u8]) -> bool {
        if self.quote == CsvQuote::Always {
            return true;
        }
        // Looks for these and some that are rare: that takes fewer comparisons.
        let delimiter = self.delimiter;
        let is_suspect = |byte| (byte <= b'\r') | (byte == b'"') | (byte == delimiter);
        let suspect = column::find(bytes, is_suspect);
        suspect.is_some_and(|place| bytes[place..].iter().any(|byte| self.is_special(*byte)))
    }

    /// Writes data, quoted where it must be or where it would read as NULL.
    #[inline]
    fn write_field(self, bytes: &[u8], null: &[u8], out: &mut EncodeBuffer<'_>) {
        let is_null = !null.is_empty() && bytes == null;
        if !is_null && !bytes.is_empty() && !self.needs_quotes(bytes) {
            return out.extend(bytes);
        }
        out.bytes.push(b'"');
        write_quoted(bytes, out);
        out.bytes.push(b'"');
    }
}

/// Writes what stands between quotes: quotes in it are doubled.
fn write_quoted(mut bytes: &[u8], out: &mut EncodeBuffer<'_>) {
    while let Some(quote) = column::find(bytes, |byte| byte == b'"') {
        out.extend(&bytes[..=quote]);
        out.bytes.push(b'"');
        bytes = &bytes[quote + 1..];
    }
    out.extend(bytes);
}
