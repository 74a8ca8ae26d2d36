//! TSV in the dialect that MySQL's LOAD DATA, PostgreSQL's COPY and ClickHouse
//! read: tabs, line feeds, a header row, `\N` for NULL, and backslash escapes
//! for what would break a line (MySQL manual, "LOAD DATA Statement").

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    BuiltIn, EncodeBuffer, Format, Header, RowWriter, ValueError,
    column::{self, ColumnFormatter, Rendered, TextOptions},
    delimited,
};
use crate::{error::Result, row::Row, schema::Schema};

/// The entry in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "tsv",
    about: "tab-separated values with backslash escapes, for LOAD DATA and COPY",
    extensions: &["tsv", "txt"],
    default: || Arc::new(Tsv::default()),
};

/// TSV with its options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tsv {
    /// How text and bytes are written.
    pub text: TextOptions,
    /// What the document begins with.
    pub header: Header,
}

impl Format for Tsv {
    fn name(&self) -> &'static str {
        FORMAT.name
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        let mut header = Vec::new();
        if self.header == Header::Names {
            let mut out = EncodeBuffer::unbounded(&mut header);
            delimited::write_names(schema, b'\t', &mut out, write_escaped);
            out.extend(b"\n");
        }
        Ok(Box::new(TsvWriter {
            header,
            columns: ColumnFormatter::for_columns(schema, self.text),
            lossy_values: 0,
        }))
    }

    fn header(&self) -> Header {
        self.header
    }
}

struct TsvWriter {
    header: Vec<u8>,
    columns: Vec<ColumnFormatter>,
    /// The number of values that were not UTF-8.
    lossy_values: u64,
}

impl RowWriter for TsvWriter {
    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        out.extend(&self.header);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        for (column, formatter) in self.columns.iter().enumerate() {
            if column > 0 {
                out.bytes.push(b'\t');
            }
            let rendered = formatter.render(row, out.bytes);
            match rendered.map_err(ValueError::at(column))? {
                Rendered::Null => out.bytes.extend_from_slice(b"\\N"),
                Rendered::Plain => {}
                Rendered::Text(text) => write_escaped(text.as_bytes(), out),
                Rendered::Lossy(bytes) => {
                    self.lossy_values += 1;
                    column::write_lossy(bytes, |text| write_escaped(text.as_bytes(), out));
                }
                Rendered::Encoded(encoding, bytes) => encoding.write(bytes, out),
                Rendered::Bytes(bytes) => write_escaped(bytes, out),
            }
        }
        out.bytes.push(b'\n');
        Ok(())
    }

    fn column_formats(&self) -> Vec<String> {
        delimited::column_formats(&self.columns)
    }

    fn warnings(&self) -> Vec<String> {
        delimited::warnings(self.lossy_values)
    }
}

/// Bytes that may have to be escaped: those that must, and some that are rare.
const fn is_suspect(byte: u8) -> bool {
    (byte <= b'\r') | (byte == b'\\')
}

#[inline]
fn write_escaped(mut bytes: &[u8], out: &mut EncodeBuffer<'_>) {
    while let Some(place) = column::find(bytes, is_suspect) {
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
