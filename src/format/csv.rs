//! The CSV format with the quoting of RFC 4180: a header row, fields quoted only
//! where needed, quotes doubled. NULL and the empty string differ: NULL is an
//! empty field without quotes (or a text that the user chooses), the empty string
//! is `""`.

mod field;

use std::{str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use self::field::FieldWriter;
use super::{
    BuiltIn, Dialect, DocumentEncoding, EncodeBuffer, Format, Header, Joining, RowWriter,
    TextOptions, ValueError,
    column::{ColumnFormatter, Rendered},
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
    encoding: DocumentEncoding::Text,
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
    /// The options for values.
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
    /// The policy for texts that spreadsheets take for formulas.
    pub formulas: CsvFormulas,
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

    fn joining(&self) -> Joining {
        Joining::Rows
    }

    fn text_options(&self) -> TextOptions {
        self.text
    }

    fn null_text(&self) -> Option<String> {
        Some(self.null.clone().into())
    }

    fn dialect(&self) -> Dialect {
        Dialect::of_text(&self.text)
            .with("byteOrderMark", self.bom == ByteOrderMark::Utf8)
            .with("header", self.header == Header::Names)
            .with("delimiter", String::from(self.delimiter))
            .with("lineTerminator", self.line_ending.text())
            .with("quoteChar", "\"")
            .with("doubleQuote", true)
            .with("escapeChar", None::<&str>)
            .with("nullSequence", &self.null)
            .with("quoting", self.quote)
            .with("formulas", self.formulas)
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
        if text == "\\." {
            return Err("PostgreSQL takes it for the end of the data");
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
/// Each policy quotes what those before it quote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum CsvQuote {
    /// Those that would be misread otherwise
    #[default]
    Necessary,
    /// All texts and bytes, but no number, boolean, date, time or NULL
    Text,
    /// All but NULL
    Always,
}

/// The policy for texts that spreadsheets take for formulas: those that begin with
/// `=`, `+`, `-` or `@`, also in their full-width forms, with a tab, a carriage
/// return or a line feed (OWASP, "CSV Injection"), or with NUL (OWASP ASVS 5,
/// 1.2.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum CsvFormulas {
    /// Written as they are
    #[default]
    Keep,
    /// Quoted, with an apostrophe before them; how many is said at the end
    Escape,
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

impl LineEnding {
    const fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::Crlf => "\r\n",
        }
    }
}

/// Encodes one result set as CSV.
struct CsvWriter {
    columns: Vec<ColumnFormatter>,
    fields: FieldWriter,
    delimiter: u8,
    /// The bytes before the first row.
    header: Vec<u8>,
    line_end: &'static [u8],
}

impl CsvWriter {
    fn new(options: &Csv, schema: &Schema) -> Self {
        let line_end = options.line_ending.text().as_bytes();
        let mut fields = FieldWriter::new(options, schema.columns.len());
        let mut header = Vec::new();
        let mut out = EncodeBuffer::unbounded(&mut header);
        if options.bom == ByteOrderMark::Utf8 {
            out.extend("\u{feff}".as_bytes());
        }
        if options.header == Header::Names {
            let delimiter = options.delimiter.0;
            delimited::write_names(schema, delimiter, &mut out, |name, out| {
                fields.write_name(name, out);
            });
            out.extend(line_end);
        }
        Self {
            columns: ColumnFormatter::for_columns(schema, options.text),
            fields,
            delimiter: options.delimiter.0,
            header,
            line_end,
        }
    }
}

impl RowWriter for CsvWriter {
    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        out.extend(&self.header);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        let fields = &mut self.fields;
        for (column, formatter) in self.columns.iter().enumerate() {
            if column > 0 {
                out.bytes.push(self.delimiter);
            }
            let start = out.bytes.len();
            let rendered = formatter.render(row, out.bytes);
            match rendered.map_err(ValueError::at(column))? {
                Rendered::Null => fields.write_null(out),
                Rendered::ZeroDate => fields.write_zero_date(out),
                Rendered::Plain => fields.quote_plain(start, CsvQuote::Always, out),
                Rendered::Text(text) => fields.write_text(text.as_bytes(), out),
                Rendered::Lossy(bytes) => fields.write_lossy(bytes, out),
                Rendered::Encoded(encoding, bytes) => fields.write_encoded(encoding, bytes, out),
                Rendered::Bytes(bytes) => fields.write_text(bytes, out),
            }
        }
        out.bytes.extend_from_slice(self.line_end);
        Ok(())
    }

    fn column_formats(&self) -> Vec<String> {
        delimited::column_formats(&self.columns)
    }

    fn warnings(&self) -> Vec<String> {
        self.fields.warnings()
    }
}
