//! CSV as RFC 4180 quotes it: a header row, fields quoted only where needed,
//! quotes doubled. NULL and the empty string differ: NULL is an empty field
//! without quotes (or a text of the user's choice), the empty string is `""`.

use std::{borrow::Cow, str::FromStr};

use super::{
    Format, FormatOptions, LineEnding, RowWriter, ValueError,
    cell::{Cell, Rendered, replaced_warning},
};
use crate::{error::Result, row::Row, schema::Schema};

/// The entry in the table of formats.
pub static FORMAT: Format = Format {
    name: "csv",
    about: "comma-separated values, RFC 4180 quoting",
    extensions: &["csv"],
    flags: &["line-ending", "csv-null"],
    open,
};

/// What CSV writes for NULL, unquoted: never something that needs quotes as
/// data. Nothing, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvNull(String);

impl FromStr for CsvNull {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.bytes().any(is_special) {
            return Err("it holds a quote, a comma or a line end, and could not be told from data");
        }
        Ok(Self(text.to_owned()))
    }
}

struct CsvWriter {
    cells: Vec<Cell>,
    replaced: u64,
    header: Vec<u8>,
    null: Vec<u8>,
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
    let mut header = Vec::new();
    for (index, column) in schema.columns.iter().enumerate() {
        if index > 0 {
            header.push(b',');
        }
        // A name is never NULL, so only its own characters can call for quotes.
        write_field(column.name.as_bytes(), b"", &mut header);
    }
    header.extend_from_slice(line_end);
    let blank_lines = if schema.columns.len() == 1 && null.is_empty() {
        BlankLines::Count(0)
    } else {
        BlankLines::Impossible
    };
    Ok(Box::new(CsvWriter {
        cells: Cell::for_columns(schema, options),
        replaced: 0,
        header,
        null: null.to_vec(),
        line_end,
        blank_lines,
    }))
}

impl RowWriter for CsvWriter {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
    }

    fn row(&mut self, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        for (column, (cell, value)) in self.cells.iter().zip(row.values()).enumerate() {
            if column > 0 {
                out.push(b',');
            }
            let start = out.len();
            match cell.render(value, out).map_err(ValueError::at(column))? {
                Rendered::Null => {
                    out.extend_from_slice(&self.null);
                    if let BlankLines::Count(lines) = &mut self.blank_lines {
                        *lines += 1;
                    }
                }
                // Base64 of nothing is the empty string; and a NULL marker may
                // look like a number.
                Rendered::Plain if out.len() == start || out[start..] == *self.null => {
                    out.insert(start, b'"');
                    out.push(b'"');
                }
                Rendered::Plain => {}
                Rendered::Text(text) => {
                    self.replaced += u64::from(matches!(text, Cow::Owned(_)));
                    write_field(text.as_bytes(), &self.null, out);
                }
                Rendered::Bytes(bytes) => write_field(bytes, &self.null, out),
            }
        }
        out.extend_from_slice(self.line_end);
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) {}

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

/// Bytes that force a field into quotes (RFC 4180, section 2, rule 6).
const fn is_special(byte: u8) -> bool {
    matches!(byte, b',' | b'"' | b'\n' | b'\r')
}

/// Writes data, quoted where it must be or where it would read as NULL.
fn write_field(bytes: &[u8], null: &[u8], out: &mut Vec<u8>) {
    if bytes != null && !bytes.is_empty() && !bytes.iter().copied().any(is_special) {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    let mut parts = bytes.split(|byte| *byte == b'"');
    // `split` gives at least one part.
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(b"\"\"");
        out.extend_from_slice(part);
    }
    out.push(b'"');
}
