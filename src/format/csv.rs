//! The CSV format with the quoting of RFC 4180: a header row, fields quoted only
//! where needed, quotes doubled. NULL and the empty string differ: NULL is an
//! empty field without quotes (or a text that the user chooses), the empty string
//! is `""`.

use std::{str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    BuiltIn, EncodeBuffer, Format, Header, RowWriter, TextOptions, ValueError,
    column::{ColumnFormatter, Rendered},
    delimited, encode,
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
    with_text: |text| {
        Arc::new(Csv {
            text,
            ..Csv::default()
        })
    },
};

/// The CSV format with its options.
///
/// ```
/// use gold_digger::format::{ByteOrderMark, Csv, Format};
///
/// let for_excel = Csv {
///     bom: ByteOrderMark::Utf8,
///     ..Csv::new().delimiter(b';')?
/// };
/// assert_eq!(for_excel.name(), "csv");
/// assert!(Csv::new().delimiter(b'.').is_err());
/// # Ok::<(), gold_digger::error::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Csv {
    /// The options for text and bytes.
    pub text: TextOptions,
    /// The byte between two values.
    pub delimiter: CsvDelimiter,
    /// The beginning of the document, after the byte order mark.
    pub header: Header,
    /// The end of each line.
    pub line_ending: LineEnding,
    /// The text for NULL.
    pub null: CsvNull,
    /// The byte order mark at the beginning of the document.
    pub bom: ByteOrderMark,
    /// The values that are quoted.
    pub quote: CsvQuote,
}

impl Csv {
    /// Creates the format with the defaults: commas, a header line, line feeds,
    /// and NULL as an empty field.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the byte between two values.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if `delimiter` is
    /// not ASCII, has a meaning in CSV, or can occur in a value without quotes.
    pub fn delimiter(mut self, delimiter: u8) -> Result<Self> {
        let text = char::from(delimiter).to_string();
        let invalid =
            |problem| Error::config(format!("the CSV delimiter cannot be {text:?}: {problem}"));
        self.delimiter = text.parse().map_err(invalid)?;
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

/// The text that CSV writes for NULL, without quotes. It cannot hold a quote or a
/// line end, which need quotes in data. The default is the empty text.
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
    /// Returns whether the text holds `delimiter`, so that it would be read as two
    /// values.
    #[must_use]
    pub fn contains(&self, CsvDelimiter(delimiter): CsvDelimiter) -> bool {
        self.0.as_bytes().contains(&delimiter)
    }
}

/// The byte between two values. Numbers, dates and encoded values cannot hold it,
/// because they are never quoted. `\t` is parsed as a tab.
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

/// The policy for quoting values.
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

/// The byte order mark of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByteOrderMark {
    /// The document has none.
    #[default]
    None,
    /// U+FEFF, from which some programs recognize UTF-8.
    Utf8,
}

/// The end of a CSV line.
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

/// The options that determine how a field is quoted.
#[derive(Clone, Copy)]
struct Dialect {
    delimiter: u8,
    quote: CsvQuote,
}

/// Encodes one result set as CSV.
struct CsvWriter {
    columns: Vec<ColumnFormatter>,
    /// The number of values that were not UTF-8.
    lossy_values: u64,
    dialect: Dialect,
    /// The bytes before the first row.
    header: Vec<u8>,
    /// The text for NULL.
    null: Vec<u8>,
    /// Whether the text for NULL holds U+FFFD, so that a lossy value, which always
    /// holds it, can be equal to it.
    lossy_may_be_null: bool,
    line_end: &'static [u8],
    /// The number of blank lines; `None` if there cannot be any. In a document
    /// with one column, a NULL written as the empty text makes a blank line, which
    /// some readers skip.
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
            // A name is never NULL, so only its characters can require quotes.
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

/// What is said of blank lines.
const BLANK_LINE_HINT: &str = "which some CSV readers skip; --csv-null TEXT writes NULL as TEXT";

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
                    encode::write_lossy(bytes, |text| write_quoted(text.as_bytes(), out));
                    out.bytes.extend_from_slice(quote);
                }
                // An encoded value can equal the text for NULL only if it is no
                // longer; it is then short, so it is compared after encoding.
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
            Some(1) => Some(format!(
                "1 NULL value of the only column is a blank line, {BLANK_LINE_HINT}"
            )),
            Some(lines) if lines > 0 => Some(format!(
                "{lines} NULL values of the only column are blank lines, {BLANK_LINE_HINT}"
            )),
            _ => None,
        };
        let lossy = delimited::warnings(self.lossy_values);
        blank.into_iter().chain(lossy).collect()
    }
}

impl CsvWriter {
    /// Quotes the plain text that begins at `start` if every value is quoted, or
    /// if the text is empty or would be read as NULL.
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
    /// Returns whether a field that holds `byte` needs quotes (RFC 4180, section 2,
    /// rule 6).
    const fn is_special(self, byte: u8) -> bool {
        matches!(byte, b'"' | b'\n' | b'\r') || byte == self.delimiter
    }

    /// Returns whether `bytes` must be quoted because of its content or the
    /// policy.
    #[inline]
    fn needs_quotes(self, bytes: &[u8]) -> bool {
        if self.quote == CsvQuote::Always {
            return true;
        }
        // Searches for the special bytes and a few rare others, which takes fewer
        // comparisons.
        let delimiter = self.delimiter;
        let may_be_special = |byte| (byte <= b'\r') | (byte == b'"') | (byte == delimiter);
        let found = encode::find(bytes, may_be_special);
        found.is_some_and(|index| bytes[index..].iter().any(|byte| self.is_special(*byte)))
    }

    /// Appends a value, quoted if it must be or would be read as NULL.
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

/// Appends the text between two quotes, with the quotes in it doubled.
fn write_quoted(mut bytes: &[u8], out: &mut EncodeBuffer<'_>) {
    while let Some(quote) = encode::find(bytes, |byte| byte == b'"') {
        out.extend(&bytes[..=quote]);
        out.bytes.push(b'"');
        bytes = &bytes[quote + 1..];
    }
    out.extend(bytes);
}
