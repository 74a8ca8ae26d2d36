//! The output formats: one file each, and the table of those that are built in.
//!
//! A format turns rows into bytes in a buffer that the caller owns. It does no
//! I/O itself and never sees a file.

use std::sync::Arc;

mod buffer;
mod column;
mod csv;
mod delimited;
mod json;
mod number;
#[cfg(test)]
mod properties;
pub(crate) mod stored;
mod temporal;
mod tsv;
mod writer;

pub use buffer::{CHUNK, EncodeBuffer, Spill};
pub use column::{BinaryEncoding, InvalidUtf8, TextOptions, ZeroDates};
pub use csv::{ByteOrderMark, Csv, CsvDelimiter, CsvNull, CsvQuote, LineEnding};
pub use json::{DuplicateColumns, Json, Layout, NumberStyle, TinyInt1};
pub use tsv::Tsv;
pub use writer::{Format, Framing, Header, RowWriter, ValueError};

/// Every built-in format. A new one is a file of its own, a `mod` line and an
/// entry here.
pub static FORMATS: &[&BuiltIn] = &[&csv::FORMAT, &tsv::FORMAT, &json::FORMAT];

/// What the program knows of a built-in format.
#[derive(Debug)]
pub struct BuiltIn {
    /// Its name for `--format` and `[output] format`.
    pub name: &'static str,
    /// A short description for the help.
    pub about: &'static str,
    /// File extensions, in lower case and without the dot, that choose it.
    pub extensions: &'static [&'static str],
    /// Makes the format with its default options.
    pub default: fn() -> Arc<dyn Format>,
}

impl BuiltIn {
    /// The format called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// The format that a file's extension chooses, in any case of letters.
    #[must_use]
    pub fn by_extension(extension: &str) -> Option<&'static Self> {
        let extension = extension.to_ascii_lowercase();
        let mut formats = FORMATS.iter().copied();
        formats.find(|format| format.extensions.contains(&extension.as_str()))
    }
}
