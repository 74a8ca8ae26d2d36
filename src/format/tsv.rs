//! TSV in the dialect that MySQL's LOAD DATA, PostgreSQL's COPY and ClickHouse
//! read: tabs, line feeds, a header row, `\N` for NULL, and backslash escapes
//! for what would break a line (MySQL manual, "LOAD DATA Statement").

use super::{
    Format, FormatOptions, Header, RowWriter, ValueError,
    cell::{self, Cell, Rendered, replaced_warning},
};
use crate::{error::Result, format::buffer::RowBuffer, row::Row, schema::Schema};

/// The entry in the table of formats.
pub static FORMAT: Format = Format {
    name: "tsv",
    about: "tab-separated values with backslash escapes, for LOAD DATA and COPY",
    extensions: &["tsv", "txt"],
    flags: &["header", "binary raw"],
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
    let mut header = RowBuffer::in_memory();
    if options.tsv_header == Header::Names {
        for (index, column) in schema.columns.iter().enumerate() {
            if index > 0 {
                header.bytes.push(b'\t');
            }
            write_escaped(column.name.as_bytes(), &mut header);
        }
        header.bytes.push(b'\n');
    }
    Ok(Box::new(TsvWriter {
        header: header.bytes,
        cells: Cell::for_columns(schema, options),
        replaced: 0,
    }))
}

impl RowWriter for TsvWriter {
    fn begin(&mut self, out: &mut RowBuffer) {
        out.extend(&self.header);
    }

    fn row(&mut self, row: Row<'_>, out: &mut RowBuffer) -> Result<(), ValueError> {
        for (column, cell) in self.cells.iter().enumerate() {
            if column > 0 {
                out.bytes.push(b'\t');
            }
            let rendered = cell.render(row, &mut out.bytes);
            match rendered.map_err(ValueError::at(column))? {
                Rendered::Null => out.bytes.extend_from_slice(b"\\N"),
                Rendered::Plain => {}
                Rendered::Text(text) => write_escaped(text.as_bytes(), out),
                Rendered::Mended(bytes) => {
                    self.replaced += 1;
                    cell::mend(bytes, |text| write_escaped(text.as_bytes(), out));
                }
                Rendered::Encoded(encoding, bytes) => encoding.write(bytes, out),
                Rendered::Bytes(bytes) => write_escaped(bytes, out),
            }
        }
        out.bytes.push(b'\n');
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
        replaced_warning(self.replaced).into_iter().collect()
    }
}

/// Bytes that may have to be escaped: those that must, and some that are rare.
const fn is_suspect(byte: u8) -> bool {
    (byte <= b'\r') | (byte == b'\\')
}

#[inline]
fn write_escaped(mut bytes: &[u8], out: &mut RowBuffer) {
    while let Some(place) = cell::find(bytes, is_suspect) {
        out.extend(&bytes[..place]);
        let escaped: &[u8] = match bytes[place] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\0' => b"\\0",
            b'\\' => b"\\\\",
            _ => &bytes[place..=place],
        };
        out.bytes.extend_from_slice(escaped);
        bytes = &bytes[place + 1..];
    }
    out.extend(bytes);
}
