//! TSV in the dialect that MySQL's LOAD DATA, PostgreSQL's COPY and ClickHouse
//! read: tabs, line feeds, a header row, `\N` for NULL, and backslash escapes
//! for what would break a line (MySQL manual, "LOAD DATA Statement").

use std::borrow::Cow;

use super::{
    Format, FormatOptions, RowWriter, ValueError,
    cell::{Cell, Rendered, replaced_warning},
};
use crate::{error::Result, row::Row, schema::Schema};

/// The entry in the table of formats.
pub static FORMAT: Format = Format {
    name: "tsv",
    about: "tab-separated values with backslash escapes, for LOAD DATA and COPY",
    extensions: &["tsv", "txt"],
    flags: &["binary raw"],
    open,
};

struct TsvWriter {
    header: Vec<u8>,
    cells: Vec<Cell>,
    replaced: u64,
}

// The signature is that of every format's `open`.
#[allow(clippy::unnecessary_wraps)]
fn open(schema: &Schema, options: &FormatOptions) -> Result<Box<dyn RowWriter>> {
    let mut header = Vec::new();
    for (index, column) in schema.columns.iter().enumerate() {
        if index > 0 {
            header.push(b'\t');
        }
        write_escaped(column.name.as_bytes(), &mut header);
    }
    header.push(b'\n');
    Ok(Box::new(TsvWriter {
        header,
        cells: Cell::for_columns(schema, options),
        replaced: 0,
    }))
}

impl RowWriter for TsvWriter {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header);
    }

    fn row(&mut self, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        for (column, (cell, value)) in self.cells.iter().zip(row.values()).enumerate() {
            if column > 0 {
                out.push(b'\t');
            }
            match cell.render(value, out).map_err(ValueError::at(column))? {
                Rendered::Null => out.extend_from_slice(b"\\N"),
                Rendered::Plain => {}
                Rendered::Text(text) => {
                    self.replaced += u64::from(matches!(text, Cow::Owned(_)));
                    write_escaped(text.as_bytes(), out);
                }
                Rendered::Bytes(bytes) => write_escaped(bytes, out),
            }
        }
        out.push(b'\n');
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) {}

    fn warnings(&self) -> Vec<String> {
        replaced_warning(self.replaced).into_iter().collect()
    }
}

fn write_escaped(bytes: &[u8], out: &mut Vec<u8>) {
    let mut plain_from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let letter = match byte {
            b'\t' => b't',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\0' => b'0',
            b'\\' => b'\\',
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain_from..at]);
        out.extend_from_slice(&[b'\\', letter]);
        plain_from = at + 1;
    }
    out.extend_from_slice(&bytes[plain_from..]);
}
