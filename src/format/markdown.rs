//! The Markdown format: a table for people (GitHub Flavored Markdown, "Tables"). Numbers
//! are to the right, NULL is `_NULL_`, and line ends are `<br>`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    BuiltIn, Dialect, DocumentEncoding, EncodeBuffer, Format, Joining, RowWriter, TextOptions,
    ValueError,
    column::{Altered, ColumnFormatter, Rendered},
    delimited, encode,
};
use crate::{error::Result, row::Row, schema::Schema};

/// The entry in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "markdown",
    about: "a table for people, in Markdown",
    extensions: &["md", "markdown"],
    encoding: DocumentEncoding::Text,
    with_text: |text| Arc::new(Markdown { text }),
};

/// What stands for NULL. The underscores of a text are escaped.
const NULL: &[u8] = b"_NULL_";

/// The Markdown format with its options.
///
/// ```
/// use gold_digger::format::{Format, Markdown};
/// assert_eq!(Markdown::default().name(), "markdown");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Markdown {
    /// The options for values.
    pub text: TextOptions,
}

impl Format for Markdown {
    fn name(&self) -> &'static str {
        FORMAT.name
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        let mut header = b"|".to_vec();
        let mut out = EncodeBuffer::unbounded(&mut header);
        for column in &schema.columns {
            out.extend(b" ");
            write_escaped(&column.name, &mut out);
            out.extend(b" |");
        }
        out.extend(b"\n|");
        for column in &schema.columns {
            let is_number = column.column_type.is_number();
            out.extend(if is_number { b" ---: |" } else { b" --- |" });
        }
        out.extend(b"\n");
        Ok(Box::new(MarkdownWriter {
            header,
            columns: ColumnFormatter::for_columns(schema, self.text),
            altered: Altered::default(),
        }))
    }

    fn dialect(&self) -> Dialect {
        Dialect::of_text(&self.text)
            .with("header", true)
            .with("nullSequence", String::from_utf8_lossy(NULL))
    }

    fn joining(&self) -> Joining {
        Joining::Rows
    }

    fn text_options(&self) -> TextOptions {
        self.text
    }
}

/// Encodes one result set as a table.
struct MarkdownWriter {
    /// The lines before the first row.
    header: Vec<u8>,
    columns: Vec<ColumnFormatter>,
    altered: Altered,
}

impl RowWriter for MarkdownWriter {
    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        out.extend(&self.header);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        out.bytes.push(b'|');
        for (column, formatter) in self.columns.iter().enumerate() {
            out.bytes.push(b' ');
            let rendered = formatter.render(row, out.bytes);
            match rendered.map_err(ValueError::at(column))? {
                Rendered::Null => out.bytes.extend_from_slice(NULL),
                Rendered::ZeroDate => {
                    self.altered.zero_dates += 1;
                    out.bytes.extend_from_slice(NULL);
                }
                Rendered::Plain => {}
                Rendered::Text(text) => write_escaped(text, out),
                Rendered::Lossy(bytes) => {
                    self.altered.lossy += 1;
                    encode::write_lossy(bytes, |text| write_escaped(text, out));
                }
                Rendered::Encoded(encoding, bytes) => encoding.write(bytes, out),
                // Only TSV has `--binary raw`.
                Rendered::Bytes(bytes) => {
                    encode::write_lossy(bytes, |text| write_escaped(text, out));
                }
            }
            out.bytes.extend_from_slice(b" |");
        }
        out.bytes.push(b'\n');
        Ok(())
    }

    fn column_formats(&self) -> Vec<String> {
        delimited::column_formats(&self.columns)
    }

    fn warnings(&self) -> Vec<String> {
        self.altered.warnings()
    }
}

/// Appends `text` so that a cell shows it as it is.
fn write_escaped(text: &str, out: &mut EncodeBuffer<'_>) {
    let mut rest = text.as_bytes();
    let is_special = |byte: u8| (byte < 0x20) | b"\\`*_[]<>&|~$".contains(&byte);
    while let Some(index) = encode::find(rest, is_special) {
        out.extend(&rest[..index]);
        let after = &rest[index + 1..];
        match rest[index] {
            b'\r' if after.first() == Some(&b'\n') => {}
            b'\n' | b'\r' => out.extend(b"<br>"),
            byte @ 0..0x20 => {
                out.extend(b"&#x");
                encode::write_hex(&[byte], out.bytes);
                out.extend(b";");
            }
            byte => out.extend(&[b'\\', byte]),
        }
        rest = after;
    }
    out.extend(rest);
}
