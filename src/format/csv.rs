//! CSV as RFC 4180 quotes it: a header row, fields quoted only where needed,
//! quotes doubled. NULL and the empty string differ: NULL is an empty field
//! without quotes (or a text of the user's choice), the empty string is `""`.

use std::str::FromStr;

use clap::ValueEnum;

use super::{
    Format, FormatOptions, Header, LineEnding, RowWriter, ValueError,
    cell::{self, Cell, Rendered, replaced_warning},
};
use crate::{error::Result, format::buffer::RowBuffer, row::Row, schema::Schema};

/// The entry in the table of formats.
pub static FORMAT: Format = Format {
    name: "csv",
    about: "comma-separated values, RFC 4180 quoting",
    extensions: &["csv"],
    flags: &[
        "header",
        "csv-delimiter",
        "line-ending",
        "csv-null",
        "csv-bom",
        "csv-quote",
    ],
    open,
};

/// What CSV writes for NULL, unquoted: never something that needs quotes as
/// data. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

impl CsvNull {
    /// Whether it holds the delimiter, and would read as two values.
    #[must_use]
    pub fn contains(&self, CsvDelimiter(delimiter): CsvDelimiter) -> bool {
        self.0.as_bytes().contains(&delimiter)
    }
}

/// What stands between two values: one byte that no number, date, or encoded
/// value holds, as those are never quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// Which values are quoted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum CsvQuote {
    /// Those that would be misread otherwise
    #[default]
    Necessary,
    /// All but NULL
    Always,
}

/// What stands before the first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteOrderMark {
    /// Nothing.
    #[default]
    None,
    /// U+FEFF, by which some programs know UTF-8.
    Utf8,
}

/// How fields are written.
#[derive(Clone, Copy)]
struct Dialect {
    delimiter: u8,
    quote: CsvQuote,
}

struct CsvWriter {
    cells: Vec<Cell>,
    replaced: u64,
    dialect: Dialect,
    /// What stands before the first row.
    header: Vec<u8>,
    null: Vec<u8>,
    /// Whether what stands for NULL holds U+FFFD, as every mended value does.
    mended_may_be_null: bool,
    line_end: &'static [u8],
    blank_lines: BlankLines,
}

/// With one column, a NULL written as nothing makes a blank line, which some
/// readers pass over.
enum BlankLines {
    Impossible,
    Count(u64),
}

// The signature is that of every format's `open`.
#[allow(clippy::unnecessary_wraps)]
fn open(schema: &Schema, options: &FormatOptions) -> Result<Box<dyn RowWriter>> {
    let null = options.csv_null.0.as_bytes();
    let line_end: &[u8] = match options.line_ending {
        LineEnding::Lf => b"\n",
        LineEnding::Crlf => b"\r\n",
    };
    let dialect = Dialect {
        delimiter: options.csv_delimiter.0,
        quote: options.csv_quote,
    };
    let mut header = RowBuffer::in_memory();
    if options.csv_bom == ByteOrderMark::Utf8 {
        header.extend("\u{feff}".as_bytes());
    }
    if options.csv_header == Header::Names {
        for (index, column) in schema.columns.iter().enumerate() {
            if index > 0 {
                header.bytes.push(dialect.delimiter);
            }
            // A name is never NULL, so only its own characters can call for quotes.
            dialect.write_field(column.name.as_bytes(), b"", &mut header);
        }
        header.extend(line_end);
    }
    let blank_lines = if schema.columns.len() == 1 && null.is_empty() {
        BlankLines::Count(0)
    } else {
        BlankLines::Impossible
    };
    Ok(Box::new(CsvWriter {
        cells: Cell::for_columns(schema, options),
        replaced: 0,
        dialect,
        header: header.bytes,
        null: null.to_vec(),
        mended_may_be_null: options.csv_null.0.contains(char::REPLACEMENT_CHARACTER),
        line_end,
        blank_lines,
    }))
}

impl RowWriter for CsvWriter {
    fn begin(&mut self, out: &mut RowBuffer) {
        out.extend(&self.header);
    }

    fn row(&mut self, row: Row<'_>, out: &mut RowBuffer) -> Result<(), ValueError> {
        let dialect = self.dialect;
        for (column, cell) in self.cells.iter().enumerate() {
            if column > 0 {
                out.bytes.push(dialect.delimiter);
            }
            let start = out.bytes.len();
            let rendered = cell.render(row, &mut out.bytes);
            match rendered.map_err(ValueError::at(column))? {
                Rendered::Null => {
                    out.bytes.extend_from_slice(&self.null);
                    if let BlankLines::Count(lines) = &mut self.blank_lines {
                        *lines += 1;
                    }
                }
                Rendered::Plain => self.quote_plain(start, out),
                Rendered::Text(text) => dialect.write_field(text.as_bytes(), &self.null, out),
                Rendered::Mended(bytes) => {
                    self.replaced += 1;
                    let quoted = self.mended_may_be_null || dialect.needs_quotes(bytes);
                    let quote: &[u8] = if quoted { b"\"" } else { b"" };
                    out.bytes.extend_from_slice(quote);
                    cell::mend(bytes, |text| write_quoted(text.as_bytes(), out));
                    out.bytes.extend_from_slice(quote);
                }
                // What stands for NULL is short, so that nothing is written yet.
                Rendered::Encoded(encoding, bytes) if bytes.len() <= self.null.len() => {
                    encoding.append(bytes, &mut out.bytes);
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

    fn finish(&mut self, _out: &mut RowBuffer) {}

    fn shapes(&self) -> Vec<String> {
        self.cells
            .iter()
            .map(|cell| cell.shape().to_owned())
            .collect()
    }

    fn warnings(&self) -> Vec<String> {
        let blank = match self.blank_lines {
            BlankLines::Count(lines) if lines > 0 => Some(format!(
                "{lines} NULL values of the only column are blank lines, which some CSV readers skip; \
                 --csv-null TEXT writes them as TEXT"
            )),
            _ => None,
        };
        blank
            .into_iter()
            .chain(replaced_warning(self.replaced))
            .collect()
    }
}

impl CsvWriter {
    /// Quotes the plain text that begins at `start` where all is quoted, or
    /// where it is empty or would read as NULL.
    #[inline]
    fn quote_plain(&self, start: usize, out: &mut RowBuffer) {
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
        let suspect = cell::find(bytes, is_suspect);
        suspect.is_some_and(|place| bytes[place..].iter().any(|byte| self.is_special(*byte)))
    }

    /// Writes data, quoted where it must be or where it would read as NULL.
    #[inline]
    fn write_field(self, bytes: &[u8], null: &[u8], out: &mut RowBuffer) {
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
fn write_quoted(mut bytes: &[u8], out: &mut RowBuffer) {
    while let Some(quote) = cell::find(bytes, |byte| byte == b'"') {
        out.extend(&bytes[..=quote]);
        out.bytes.push(b'"');
        bytes = &bytes[quote + 1..];
    }
    out.extend(bytes);
}
