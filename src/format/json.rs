//! The JSON format: one top-level array of objects (RFC 8259) with the keys in
//! column order. The same objects, one a line, are NDJSON.
//!
//! Only the type of its column decides whether a value is written as a number. A
//! number keeps every digit of the server's text.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::{
    names::{check_json_columns, quoted},
    text::{NOT_A_NUMBER, NOT_JSON, embed, is_beyond_double, is_number, write_escaped},
};
use super::{
    BuiltIn, Dialect, DocumentEncoding, EncodeBuffer, Format, Joining, RowWriter, TextOptions,
    ValueError,
    column::{Altered, ColumnFormatter, Padding, Rendered, ValueProblem},
    encode,
};
use crate::{
    error::Result,
    row::Row,
    schema::{Column, ColumnType, Schema},
};

mod names;
pub(super) use names::unique_names;
mod text;

/// The entry in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "json",
    about: "an array of objects, one object a line",
    extensions: &["json"],
    encoding: DocumentEncoding::Text,
    with_text: |text| {
        Arc::new(Json {
            text,
            ..Json::default()
        })
    },
};

/// The entry of NDJSON in the table of formats (the same as JSON Lines).
pub(super) static LINES: BuiltIn = BuiltIn {
    name: "ndjson",
    about: "one JSON object a line, without an array around them",
    extensions: &["ndjson", "jsonl"],
    encoding: DocumentEncoding::Text,
    with_text: |text| {
        Arc::new(Json {
            text,
            layout: Layout::Lines,
            ..Json::default()
        })
    },
};

/// The JSON format with its options.
///
/// ```
/// use gold_digger::format::{Format, Json, Layout};
///
/// let format = Json {
///     layout: Layout::Pretty,
///     root: Some("orders".to_owned()),
///     ..Json::default()
/// };
/// assert_eq!(format.name(), "json");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Json {
    /// The options for values.
    pub text: TextOptions,
    /// The layout of the document.
    pub layout: Layout,
    /// The name of the member that holds the array in a top-level object; `None`
    /// for a top-level array. [`Layout::Lines`] has neither.
    pub root: Option<String>,
    /// The form of integers that a double cannot hold exactly.
    pub bigint: NumberStyle,
    /// The form of DECIMAL values.
    pub decimal: NumberStyle,
    /// The names of text columns that hold JSON, which is embedded.
    pub columns: Vec<String>,
    /// The policy for columns with equal names.
    pub duplicate_columns: DuplicateColumns,
    /// What becomes of members whose value is NULL.
    pub nulls: NullMembers,
}

impl Format for Json {
    fn name(&self) -> &'static str {
        match self.layout {
            Layout::Lines => LINES.name,
            Layout::Compact | Layout::Pretty => FORMAT.name,
        }
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        Ok(Box::new(JsonWriter::new(self, schema)?))
    }

    fn joining(&self) -> Joining {
        Joining::Rows
    }

    fn text_options(&self) -> TextOptions {
        self.text
    }

    fn dialect(&self) -> Dialect {
        let root = self.root.as_ref().filter(|_| self.layout != Layout::Lines);
        Dialect::of_text(&self.text)
            .with("itemType", "object")
            .with("property", root)
            .with("bigIntegers", self.bigint)
            .with("decimals", self.decimal)
            .with("embeddedColumns", &self.columns)
            .with("nullMembers", self.nulls)
            .with("duplicateColumns", self.duplicate_columns)
    }
}

/// The form of numbers that many readers of JSON would round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum NumberStyle {
    /// As a number, with every digit
    #[default]
    Number,
    /// As a string
    String,
}

/// The layout of a JSON document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Each object is on a line of its own.
    #[default]
    Compact,
    /// Each member is on a line of its own, indented by two spaces per level.
    Pretty,
    /// Each object is on a line of its own, and nothing is around them (NDJSON).
    Lines,
}

/// What becomes of the members of objects whose value is NULL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum NullMembers {
    /// They are null
    #[default]
    Keep,
    /// They are left out, so that each row has only the members that have a value
    Omit,
}

/// The policy for columns with equal names, in formats whose names must differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum DuplicateColumns {
    /// Refuse the query before any row is read
    #[default]
    Error,
    /// Write `id`, `id_2`, …, passing over names that are taken
    Suffix,
}

/// Encodes one result set as JSON. The text between values is the same for every
/// row, so it is built once.
struct JsonWriter {
    /// The text up to the `[` of the array, inclusive.
    head: Vec<u8>,
    /// The line end and indent before a row.
    row_prefix: Vec<u8>,
    /// The text between two rows, before the second one's line end.
    separator: &'static [u8],
    nulls: NullMembers,
    fields: Vec<Field>,
    /// The text after the last value of a row.
    row_end: Vec<u8>,
    /// The text after the last row, if the document has rows.
    array_end: Vec<u8>,
    /// The text from the `]` of the array to the end of the document.
    tail: Vec<u8>,
    has_rows: bool,
    altered: Altered,
}

/// The member of each object for one column.
struct Field {
    /// `{` or `,`, the indent, and the key with its colon.
    prefix: Vec<u8>,
    formatter: ColumnFormatter,
    style: Style,
}

/// The JSON type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// A number.
    Number,
    /// A number, or a string if a double cannot hold it exactly.
    BigInt,
    /// `true` or `false`.
    Bool,
    /// A string.
    Quoted,
    /// Text that is JSON already.
    Embedded,
}

impl Style {
    fn new(column: &Column, formatter: &ColumnFormatter, options: &Json) -> Self {
        let is_integer = match column.column_type {
            ColumnType::Integer { .. } | ColumnType::Bit { .. } => true,
            ColumnType::Decimal { scale, .. } => scale == 0,
            _ => false,
        };
        match column.column_type {
            _ if formatter.writes_words() => Self::Bool,
            ColumnType::Decimal { .. } if options.decimal == NumberStyle::String => Self::Quoted,
            _ if is_integer && options.bigint == NumberStyle::String => Self::BigInt,
            column_type if column_type.is_number() => Self::Number,
            ColumnType::Json => Self::Embedded,
            ColumnType::Text if options.columns.contains(&column.name) => Self::Embedded,
            _ => Self::Quoted,
        }
    }
}

impl JsonWriter {
    fn new(options: &Json, schema: &Schema) -> Result<Self> {
        let names = unique_names(&schema.columns, options.duplicate_columns, "JSON")?;
        check_json_columns(&schema.columns, &options.columns)?;
        let root = options.root.as_deref().map(quoted);
        let depth = usize::from(root.is_some());
        let (line, colon) = match options.layout {
            Layout::Compact | Layout::Lines => (None, ":"),
            Layout::Pretty => (Some("  "), ": "),
        };
        // The line end and indent at a depth; empty in the compact layout.
        let indent =
            |depth: usize| line.map_or(String::new(), |step| format!("\n{}", step.repeat(depth)));

        let (head, tail) = match options.layout {
            Layout::Lines => Default::default(),
            Layout::Compact | Layout::Pretty => brackets(root, colon, [indent(0), indent(1)]),
        };
        let (row_prefix, array_end) = match options.layout {
            Layout::Compact => ("\n".to_owned(), "\n".to_owned()),
            Layout::Pretty => (indent(depth + 1), indent(depth)),
            Layout::Lines => Default::default(),
        };
        let (separator, line_end): (&[u8], _) = match options.layout {
            Layout::Compact | Layout::Pretty => (b",", ""),
            Layout::Lines => (b"", "\n"),
        };
        let field = |(index, (column, name)): (usize, (&Column, &String))| {
            let separator = if index == 0 { '{' } else { ',' };
            let formatter = ColumnFormatter::new(index, column, options.text, Padding::Strip);
            Field {
                prefix: format!("{separator}{}{}{colon}", indent(depth + 2), quoted(name)).into(),
                style: Style::new(column, &formatter, options),
                formatter,
            }
        };
        let fields = schema.columns.iter().zip(&names).enumerate().map(field);
        Ok(Self {
            head: head.into(),
            row_prefix: row_prefix.into(),
            separator,
            nulls: options.nulls,
            fields: fields.collect(),
            row_end: format!("{}}}{line_end}", indent(depth + 1)).into(),
            array_end: array_end.into(),
            tail: tail.into(),
            has_rows: false,
            altered: Altered::default(),
        })
    }

    /// Appends the members of `row`.
    fn members(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        for (column, field) in self.fields.iter().enumerate() {
            out.bytes.extend_from_slice(&field.prefix);
            let written = field.write(row, out).map_err(ValueError::at(column))?;
            written.count(&mut self.altered);
        }
        Ok(())
    }

    /// Appends the members of `row` that are not NULL.
    fn members_with_values(
        &mut self,
        row: Row<'_>,
        out: &mut EncodeBuffer<'_>,
    ) -> Result<(), ValueError> {
        let mut separator = b'{';
        for (column, field) in self.fields.iter().enumerate() {
            // A long value may leave the buffer before its end, and NULL never does.
            let start = out.bytes.len();
            out.bytes.push(separator);
            out.bytes.extend_from_slice(&field.prefix[1..]);
            let written = field.write(row, out).map_err(ValueError::at(column))?;
            written.count(&mut self.altered);
            match written {
                Written::Null | Written::ZeroDate => out.bytes.truncate(start),
                Written::Exactly | Written::Lossy => separator = b',',
            }
        }
        if separator == b'{' {
            out.bytes.push(separator);
        }
        Ok(())
    }
}

impl RowWriter for JsonWriter {
    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        out.extend(&self.head);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        if self.has_rows {
            out.bytes.extend_from_slice(self.separator);
        }
        self.has_rows = true;
        out.bytes.extend_from_slice(&self.row_prefix);
        match self.nulls {
            NullMembers::Keep => self.members(row, out)?,
            NullMembers::Omit => self.members_with_values(row, out)?,
        }
        out.bytes.extend_from_slice(&self.row_end);
        Ok(())
    }

    fn join(&mut self, out: &mut EncodeBuffer<'_>) {
        if self.has_rows {
            out.extend(self.separator);
        }
        self.has_rows = true;
    }

    fn finish(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        if self.has_rows {
            out.extend(&self.array_end);
        }
        out.extend(&self.tail);
        Ok(())
    }

    fn column_formats(&self) -> Vec<String> {
        self.fields.iter().map(Field::format_name).collect()
    }

    fn warnings(&self) -> Vec<String> {
        self.altered.warnings()
    }
}

/// Returns what stands before and after the rows: the brackets of the array, within an
/// object if it has a name. `indents` are those of the depths 0 and 1.
fn brackets(name: Option<String>, colon: &str, indents: [String; 2]) -> (String, String) {
    let [outer, inner] = indents;
    match name {
        Some(name) => (format!("{{{inner}{name}{colon}["), format!("]{outer}}}\n")),
        None => ("[".to_owned(), "]\n".to_owned()),
    }
}

/// Whether a value was written exactly.
enum Written {
    Exactly,
    Null,
    /// U+FFFD replaced bytes that are not UTF-8.
    Lossy,
    /// NULL replaced a zero date.
    ZeroDate,
}

impl Written {
    const fn count(&self, altered: &mut Altered) {
        match self {
            Self::Exactly | Self::Null => {}
            Self::Lossy => altered.lossy += 1,
            Self::ZeroDate => altered.zero_dates += 1,
        }
    }
}

impl Field {
    /// The text form of the values in words.
    fn format_name(&self) -> String {
        match (self.style, self.formatter.format_name()) {
            (Style::Number, _) => "number".to_owned(),
            (Style::BigInt, _) => "number, beyond ±(2^53 − 1) a string".to_owned(),
            (Style::Bool, _) => "true or false".to_owned(),
            (Style::Embedded, _) => "embedded JSON".to_owned(),
            (Style::Quoted, "text") => "string".to_owned(),
            (Style::Quoted, name) => format!("string: {name}"),
        }
    }

    /// Appends the column's value in `row` as JSON.
    fn write(&self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<Written, ValueProblem> {
        let start = out.bytes.len();
        if self.style == Style::Quoted {
            out.bytes.push(b'"');
        }
        match self.formatter.render(row, out.bytes)? {
            Rendered::Null => {
                write_null(start, out);
                return Ok(Written::Null);
            }
            Rendered::ZeroDate => {
                write_null(start, out);
                return Ok(Written::ZeroDate);
            }
            Rendered::Plain => self.finish_plain(row, start, out)?,
            Rendered::Encoded(encoding, bytes) => {
                encoding.write(bytes, out);
                out.bytes.push(b'"');
            }
            Rendered::Text(text) if self.style == Style::Embedded => embed(text, out)?,
            Rendered::Text(text) => {
                write_escaped(text, out);
                out.bytes.push(b'"');
            }
            Rendered::Lossy(bytes) => {
                if self.style == Style::Embedded {
                    embed(&String::from_utf8_lossy(bytes), out)?;
                } else {
                    encode::write_lossy(bytes, |text| write_escaped(text, out));
                    out.bytes.push(b'"');
                }
                return Ok(Written::Lossy);
            }
            // Only TSV has `--binary raw`.
            Rendered::Bytes(_) => return Err(NOT_JSON),
        }
        Ok(Written::Exactly)
    }

    /// Converts the plain text that begins at `start` to JSON.
    #[inline]
    fn finish_plain(
        &self,
        row: Row<'_>,
        start: usize,
        out: &mut EncodeBuffer<'_>,
    ) -> Result<(), ValueProblem> {
        let out = &mut *out.bytes;
        match self.style {
            Style::Quoted => out.push(b'"'),
            Style::Bool => {}
            Style::Number | Style::BigInt | Style::Embedded => {
                // Only text can be anything other than a number.
                if self.formatter.is_sent_as_bytes(row) && !is_number(&out[start..]) {
                    return Err(NOT_A_NUMBER);
                }
                if self.style == Style::BigInt && is_beyond_double(&out[start..]) {
                    out.insert(start, b'"');
                    out.push(b'"');
                }
            }
        }
        Ok(())
    }
}

/// Writes `null` in the place of what begins at `start`.
fn write_null(start: usize, out: &mut EncodeBuffer<'_>) {
    out.bytes.truncate(start);
    out.bytes.extend_from_slice(b"null");
}
