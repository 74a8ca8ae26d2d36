//! The output formats, each in a file of its own, and the table of the built-in
//! ones.
//!
//! A format encodes rows into a buffer that the caller owns. It does no I/O and
//! does not know where the bytes are written.
//!
//! ```
//! use gold_digger::{
//!     format::{Csv, EncodeBuffer, Format},
//!     row::{MemoryRow, Value},
//!     schema::{Column, ColumnType, Schema},
//! };
//!
//! let column = Column::new("name", "TEXT", ColumnType::Text);
//! let mut writer = Csv::new().open(&Schema { columns: vec![column] })?;
//! let (mut bytes, row) = (Vec::new(), MemoryRow::new(&[Value::Bytes(b"Ann, Bob")]));
//! let mut out = EncodeBuffer::unbounded(&mut bytes);
//! writer.start(&mut out)?;
//! assert!(writer.row(row.view(), &mut out).is_ok());
//! writer.finish(&mut out)?;
//! assert_eq!(bytes, b"name\n\"Ann, Bob\"\n");
//! # Ok::<(), gold_digger::error::Error>(())
//! ```

use std::sync::Arc;

mod buffer;
mod codec;
mod column;
#[cfg(feature = "columnar")]
mod columnar;
mod csv;
mod delimited;
mod dialect;
mod encode;
mod json;
mod markdown;
mod number;
mod options;
#[cfg(test)]
mod properties;
mod sql;
pub(crate) mod stored;
mod table;
mod temporal;
mod tsv;
#[cfg(test)]
mod unescape;
mod writer;
#[cfg(feature = "xlsx")]
mod xlsx;

pub use buffer::{CHUNK, EncodeBuffer, Spill};
pub use codec::{Codec, Compression};
#[cfg(feature = "parquet")]
pub use columnar::Parquet;
#[cfg(feature = "arrow")]
pub use columnar::{Arrow, ArrowLayout};
pub use csv::{ByteOrderMark, Csv, CsvDelimiter, CsvFormulas, CsvNull, CsvQuote, LineEnding};
pub use dialect::Dialect;
pub use json::{DuplicateColumns, Json, Layout, NullMembers, NumberStyle};
pub use markdown::Markdown;
pub use options::{
    ArrowCompression, BinaryEncoding, Booleans, InvalidUtf8, NulTexts, ParquetCompression,
    TextOptions, WideDecimals, ZeroDates,
};
pub use sql::Sql;
pub use table::{FirstRows, Table, TableLayout};
pub use tsv::Tsv;
pub use writer::{Format, Framing, Header, Joining, RowWriter, ValueError};
#[cfg(feature = "xlsx")]
pub use xlsx::{FullSheet, Xlsx};

/// The built-in formats. A new format needs a file of its own, a `mod` line, a
/// `pub use` line and an entry here.
pub static FORMATS: &[&BuiltIn] = &[
    &csv::FORMAT,
    &tsv::FORMAT,
    &json::FORMAT,
    &json::LINES,
    &sql::FORMAT,
    &markdown::FORMAT,
    &table::FORMAT,
    &table::VERTICAL,
    #[cfg(feature = "parquet")]
    &columnar::FORMAT,
    #[cfg(feature = "arrow")]
    &columnar::FILE,
    #[cfg(feature = "arrow")]
    &columnar::STREAM,
    #[cfg(feature = "xlsx")]
    &xlsx::FORMAT,
];

/// The description of a built-in format.
///
/// ```
/// use gold_digger::format::{BuiltIn, TextOptions};
///
/// let json = BuiltIn::by_extension("JSON").expect("a built-in format");
/// assert_eq!(json.name, "json");
/// assert_eq!((json.with_text)(TextOptions::default()).name(), "json");
/// ```
#[derive(Debug)]
pub struct BuiltIn {
    /// The name for `--format` and `[output] format`.
    pub name: &'static str,
    /// A short description for the help.
    pub about: &'static str,
    /// The file extensions that select the format, in lower case and without the
    /// dot.
    pub extensions: &'static [&'static str],
    /// What kind of bytes its documents are.
    pub encoding: DocumentEncoding,
    /// Makes the format with these options for values, and the defaults of
    /// its own options.
    pub with_text: fn(TextOptions) -> Arc<dyn Format>,
}

/// What kind of bytes a document is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentEncoding {
    /// Text, which a terminal shows and any program can compress.
    Text,
    /// Bytes for programs, compressed within.
    Binary,
    /// As [`Binary`](Self::Binary), in columns with types of their own: TIMESTAMPs are
    /// moments in UTC.
    Columnar,
}

impl BuiltIn {
    /// Whether the documents are text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.encoding == DocumentEncoding::Text
    }

    /// Whether the documents are columns in types of their own.
    #[must_use]
    pub fn is_columnar(&self) -> bool {
        self.encoding == DocumentEncoding::Columnar
    }

    /// Returns the format with the name `name`, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// Returns the format for a file extension without its dot, if there is one.
    /// Upper and lower case are the same.
    #[must_use]
    pub fn by_extension(extension: &str) -> Option<&'static Self> {
        let extension = extension.to_ascii_lowercase();
        let mut formats = FORMATS.iter().copied();
        formats.find(|format| format.extensions.contains(&extension.as_str()))
    }
}
