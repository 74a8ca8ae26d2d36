//! The TSV format, in the dialect that MySQL's LOAD DATA, PostgreSQL's COPY and
//! ClickHouse read: tabs, line feeds, a header row, `\N` for NULL, and backslash
//! escapes for bytes that would break a line (MySQL manual, "LOAD DATA
//! Statement").

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    BuiltIn, Dialect, DocumentEncoding, EncodeBuffer, Format, Header, Joining, NulTexts, RowWriter,
    TextOptions, ValueError,
    column::{Altered, ColumnFormatter, Rendered},
    delimited::{self, Nul},
    encode::{self, Encoding},
};
use crate::{error::Result, row::Row, schema::Schema};

/// The entry in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "tsv",
    about: "tab-separated values with backslash escapes, for LOAD DATA and COPY",
    extensions: &["tsv", "txt"],
    encoding: DocumentEncoding::Text,
    with_text: |text| {
        Arc::new(Tsv {
            text,
            ..Tsv::default()
        })
    },
};

/// The TSV format with its options.
///
/// ```
/// use gold_digger::format::{EncodeBuffer, Format, Header, Tsv};
/// # use gold_digger::{row::{MemoryRow, Value}, schema::{Column, ColumnType, Schema}};
/// # let column = Column::new("note", "TEXT", ColumnType::Text);
/// # let schema = Schema { columns: vec![column.clone(), column] };
///
/// let format = Tsv { header: Header::None, ..Tsv::default() };
/// let row = MemoryRow::new(&[Value::Bytes(b"a\tb"), Value::Null]);
/// let mut bytes = Vec::new();
/// let mut writer = format.open(&schema)?;
/// let written = writer.row(row.view(), &mut EncodeBuffer::unbounded(&mut bytes));
/// assert_eq!((written, &bytes[..]), (Ok(()), &b"a\\tb\t\\N\n"[..]));
/// # Ok::<(), gold_digger::error::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tsv {
    /// The options for values.
    pub text: TextOptions,
    /// The beginning of the document.
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
            delimited::write_names(schema, b'\t', &mut out, |name, out| {
                write_escaped(name, out);
            });
            out.extend(b"\n");
        }
        Ok(Box::new(TsvWriter {
            header,
            columns: ColumnFormatter::for_columns(schema, self.text),
            altered: Altered::default(),
            nul: self.text.nul,
            texts_with_nul: 0,
        }))
    }

    fn dialect(&self) -> Dialect {
        Dialect::of_text(&self.text)
            .with("header", self.header == Header::Names)
            .with("delimiter", "\t")
            .with("lineTerminator", "\n")
            .with("quoteChar", None::<&str>)
            .with("doubleQuote", false)
            .with("escapeChar", "\\")
            .with("nullSequence", "\\N")
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
}

/// Encodes one result set as TSV.
struct TsvWriter {
    /// The bytes before the first row.
    header: Vec<u8>,
    columns: Vec<ColumnFormatter>,
    altered: Altered,
    nul: NulTexts,
    /// The number of texts that hold NUL.
    texts_with_nul: u64,
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
                Rendered::ZeroDate => {
                    self.altered.zero_dates += 1;
                    out.bytes.extend_from_slice(b"\\N");
                }
                Rendered::Plain => {}
                Rendered::Text(text) => {
                    let nul = write_escaped(text.as_bytes(), out);
                    self.texts_with_nul += u64::from(nul == Nul::Present);
                }
                Rendered::Lossy(bytes) => {
                    self.altered.lossy += 1;
                    self.texts_with_nul += u64::from(bytes.contains(&b'\0'));
                    encode::write_lossy(bytes, |text| {
                        write_escaped(text.as_bytes(), out);
                    });
                }
                Rendered::Encoded(encoding, bytes) => {
                    if encoding == Encoding::Postgres {
                        // The backslash of the encoding is a character.
                        out.bytes.push(b'\\');
                    }
                    encoding.write(bytes, out);
                }
                Rendered::Bytes(bytes) => {
                    write_escaped(bytes, out);
                }
            }
        }
        out.bytes.push(b'\n');
        Ok(())
    }

    fn column_formats(&self) -> Vec<String> {
        delimited::column_formats(&self.columns)
    }

    fn warnings(&self) -> Vec<String> {
        let nul = delimited::nul_warning(
            self.nul,
            self.texts_with_nul,
            "text holds NUL, which LOAD DATA and ClickHouse read and PostgreSQL cannot hold",
            "texts hold NUL, which LOAD DATA and ClickHouse read and PostgreSQL cannot hold",
        );
        nul.into_iter().chain(self.altered.warnings()).collect()
    }
}

/// Returns whether `byte` may need an escape: it is true for every byte that
/// needs one, and for a few rare bytes that do not, which takes fewer
/// comparisons.
const fn may_need_escape(byte: u8) -> bool {
    (byte <= b'\r') | (byte == b'\\')
}

/// Appends `bytes` with the escapes of LOAD DATA.
#[inline]
fn write_escaped(mut bytes: &[u8], out: &mut EncodeBuffer<'_>) -> Nul {
    let mut nul = Nul::Absent;
    while let Some(index) = encode::find(bytes, may_need_escape) {
        out.extend(&bytes[..index]);
        let escaped: &[u8] = match bytes[index] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\0' => {
                nul = Nul::Present;
                match bytes.get(index + 1) {
                    // COPY would read the digits behind `\0` as part of an octal
                    // escape, and so another character; it refuses a NUL as such.
                    Some(b'0'..=b'7') => b"\0",
                    _ => b"\\0",
                }
            }
            b'\\' => b"\\\\",
            _ => &bytes[index..=index],
        };
        out.bytes.extend_from_slice(escaped);
        bytes = &bytes[index + 1..];
    }
    out.extend(bytes);
    nul
}
