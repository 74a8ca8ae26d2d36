//! JSON: one top-level array of objects (RFC 8259), keys in column order.
//!
//! Whether a value is a number is decided by its column's type alone, and a
//! number keeps every digit of the server's text.

use std::{collections::HashSet, sync::Arc};

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    BuiltIn, CHUNK, EncodeBuffer, Format, RowWriter, ValueError, ZeroDates,
    column::{
        self, ColumnFormatter, ColumnOptions, Padding, Rendered, TextOptions, ValueProblem,
        lossy_warning,
    },
    number::parse_number,
};
use crate::{
    error::{Error, Result},
    row::Row,
    schema::{Column, ColumnType, Schema},
};

/// The entry in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "json",
    about: "an array of objects, one object a line",
    extensions: &["json"],
    default: || Arc::new(Json::default()),
};

/// A JSON array with its options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Json {
    /// How text and bytes are written.
    pub text: TextOptions,
    /// What happens to dates whose month or day is zero.
    pub zero_dates: ZeroDates,
    /// Whether the document is laid out in lines for people.
    pub layout: Layout,
    /// The name of the object member that holds the array, if one does.
    pub root: Option<String>,
    /// How integers are written that a double cannot hold exactly.
    pub bigint: NumberStyle,
    /// How DECIMAL is written.
    pub decimal: NumberStyle,
    /// Text columns that hold JSON, to be embedded.
    pub columns: Vec<String>,
    /// How TINYINT(1) is written.
    pub tinyint1: TinyInt1,
    /// What happens to columns with one name.
    pub duplicate_columns: DuplicateColumns,
}

impl Format for Json {
    fn name(&self) -> &'static str {
        FORMAT.name
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        Ok(Box::new(JsonWriter::new(self, schema)?))
    }
}

/// How JSON writes numbers that many of its readers would round.
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

/// How JSON writes TINYINT(1), which BOOL stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TinyInt1 {
    /// As a number.
    #[default]
    Number,
    /// As true or false; other values than 1 and 0 are an error.
    Bool,
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One object a line.
    #[default]
    Compact,
    /// Indented by two spaces.
    Pretty,
}

/// What becomes of columns with one name, in formats whose names must differ.
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

/// The text between values is the same for every row, so it is made once.
struct JsonWriter {
    /// Up to and with `[`.
    head: Vec<u8>,
    /// Before a row: the line end and indent.
    row_prefix: Vec<u8>,
    fields: Vec<Field>,
    /// Behind a row's last value.
    row_end: Vec<u8>,
    /// Behind the last row, where there was one.
    array_end: Vec<u8>,
    /// What follows `]`.
    tail: Vec<u8>,
    has_rows: bool,
    /// The number of values that were not UTF-8.
    lossy_values: u64,
}

struct Field {
    /// `{` or `,` and the key with its colon.
    prefix: Vec<u8>,
    formatter: ColumnFormatter,
    style: Style,
}

/// What a column's text becomes in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// A number.
    Number,
    /// A number, or a string where a double cannot hold it exactly.
    BigInt,
    /// true or false.
    Bool,
    /// A string.
    Quoted,
    /// JSON already.
    Embedded,
}

impl Style {
    fn new(column: &Column, options: &Json) -> Self {
        let number = |style| match style {
            NumberStyle::Number => Self::Number,
            NumberStyle::String => Self::Quoted,
        };
        match column.column_type {
            ColumnType::TinyInt1 if options.tinyint1 == TinyInt1::Bool => Self::Bool,
            ColumnType::Integer { .. } | ColumnType::Bit
                if options.bigint == NumberStyle::String =>
            {
                Self::BigInt
            }
            ColumnType::Decimal { .. } => number(options.decimal),
            ColumnType::TinyInt1
            | ColumnType::Integer { .. }
            | ColumnType::Bit
            | ColumnType::Float(_)
            | ColumnType::Double(_) => Self::Number,
            ColumnType::Json => Self::Embedded,
            ColumnType::Text if options.columns.contains(&column.name) => Self::Embedded,
            _ => Self::Quoted,
        }
    }
}

impl JsonWriter {
    fn new(options: &Json, schema: &Schema) -> Result<Self> {
        let names = unique_names(&schema.columns, options.duplicate_columns)?;
        check_json_columns(&schema.columns, &options.columns)?;
        let root = options.root.as_deref().map(quoted);
        let depth = usize::from(root.is_some());
        let (line, colon) = match options.layout {
            Layout::Compact => (None, ":"),
            Layout::Pretty => (Some("  "), ": "),
        };
        // The line end and indent at a depth; nothing in the compact layout.
        let indent =
            |depth: usize| line.map_or(String::new(), |step| format!("\n{}", step.repeat(depth)));

        let (head, tail) = match root {
            Some(name) => (
                format!("{{{}{name}{colon}[", indent(1)),
                format!("]{}}}\n", indent(0)),
            ),
            None => ("[".to_owned(), "]\n".to_owned()),
        };
        let (row_prefix, array_end) = match options.layout {
            Layout::Compact => ("\n".to_owned(), "\n".to_owned()),
            Layout::Pretty => (indent(depth + 1), indent(depth)),
        };
        let column_options = ColumnOptions {
            text: options.text,
            zero_dates: options.zero_dates,
            padding: Padding::Strip,
        };
        let field = |(index, (column, name)): (usize, (&Column, &String))| {
            let mark = if index == 0 { '{' } else { ',' };
            Field {
                prefix: format!("{mark}{}{}{colon}", indent(depth + 2), quoted(name)).into(),
                formatter: ColumnFormatter::new(index, column.column_type, column_options),
                style: Style::new(column, options),
            }
        };
        let fields = schema.columns.iter().zip(&names).enumerate().map(field);
        Ok(Self {
            head: head.into(),
            row_prefix: row_prefix.into(),
            fields: fields.collect(),
            row_end: format!("{}}}", indent(depth + 1)).into(),
            array_end: array_end.into(),
            tail: tail.into(),
            has_rows: false,
            lossy_values: 0,
        })
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The columns' keys; an object must not have one key twice (RFC 8259,
/// section 4).
fn unique_names(columns: &[Column], policy: DuplicateColumns) -> Result<Vec<String>> {
    let mut taken: HashSet<&str> = HashSet::new();
    let (mut repeated, mut names) = (Vec::new(), Vec::with_capacity(columns.len()));
    let all: HashSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut made: HashSet<String> = HashSet::new();
    for column in columns {
        let name = column.name.as_str();
        if taken.insert(name) {
            names.push(name.to_owned());
            continue;
        }
        if !repeated.contains(&name) {
            repeated.push(name);
        }
        let suffixed = (2_u64..)
            .map(|number| format!("{name}_{number}"))
            .find(|candidate| !all.contains(candidate.as_str()) && !made.contains(candidate));
        // The numbers outlast the columns, so there always is one.
        let suffixed = suffixed.unwrap_or_default();
        made.insert(suffixed.clone());
        names.push(suffixed);
    }
    if repeated.is_empty() || policy == DuplicateColumns::Suffix {
        return Ok(names);
    }
    let list: Vec<String> = repeated.iter().map(|name| format!("{name:?}")).collect();
    Err(Error::config(format!(
        "the query gives more than one column the name {}, which JSON objects cannot hold",
        list.join(" and ")
    ))
    .with_hint("name them apart with AS, or choose --duplicate-columns suffix"))
}

fn check_json_columns(columns: &[Column], named: &[String]) -> Result<()> {
    for name in named {
        let is_text =
            |column: &Column| matches!(column.column_type, ColumnType::Text | ColumnType::Json);
        let mut found = columns
            .iter()
            .filter(|column| column.name == *name)
            .map(is_text);
        let refused = match (found.next(), found.all(|is_text| is_text)) {
            (None, _) => "names no column of the result",
            (Some(true), true) => continue,
            (Some(_), _) => "names a column that is not text",
        };
        return Err(Error::config(format!("--json-column {name:?} {refused}"))
            .with_hint("names are compared to the letter"));
    }
    Ok(())
}

impl RowWriter for JsonWriter {
    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        out.extend(&self.head);
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        if self.has_rows {
            out.bytes.push(b',');
        }
        self.has_rows = true;
        out.bytes.extend_from_slice(&self.row_prefix);
        for (column, field) in self.fields.iter().enumerate() {
            out.bytes.extend_from_slice(&field.prefix);
            let written = field.write(row, out).map_err(ValueError::at(column))?;
            self.lossy_values += u64::from(written == Written::Replaced);
        }
        out.bytes.extend_from_slice(&self.row_end);
        Ok(())
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
        lossy_warning(self.lossy_values).into_iter().collect()
    }
}

#[derive(PartialEq, Eq)]
enum Written {
    Exactly,
    /// With U+FFFD for bytes that are not UTF-8.
    Replaced,
}

impl Field {
    fn format_name(&self) -> String {
        match (self.style, self.formatter.format_name()) {
            (Style::Number, _) => "number".to_owned(),
            (Style::BigInt, _) => "number, beyond ±(2^53 − 1) a string".to_owned(),
            (Style::Bool, _) => "true or false".to_owned(),
            (Style::Embedded, _) => "embedded JSON".to_owned(),
            (Style::Quoted, "text") => "string".to_owned(),
            (Style::Quoted, shape) => format!("string: {shape}"),
        }
    }

    fn write(&self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<Written, ValueProblem> {
        let start = out.bytes.len();
        if self.style == Style::Quoted {
            out.bytes.push(b'"');
        }
        match self.formatter.render(row, out.bytes)? {
            Rendered::Null => {
                out.bytes.truncate(start);
                out.bytes.extend_from_slice(b"null");
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
                    column::write_lossy(bytes, |text| write_escaped(text, out));
                    out.bytes.push(b'"');
                }
                return Ok(Written::Replaced);
            }
            // `--binary raw` is TSV's alone.
            Rendered::Bytes(_) => return Err(NOT_JSON),
        }
        Ok(Written::Exactly)
    }

    /// Makes JSON of the plain text that begins at `start`.
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
            Style::Bool => {
                let truth: &[u8] = match &out[start..] {
                    b"0" => b"false",
                    b"1" => b"true",
                    _ => return Err(NOT_BOOL),
                };
                out.truncate(start);
                out.extend_from_slice(truth);
            }
            Style::Number | Style::BigInt | Style::Embedded => {
                // Only text can be something else than a number.
                if self.formatter.came_as_bytes(row) && !is_number(&out[start..]) {
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

/// Writes what stands between a string's quotes (RFC 8259, section 7).
#[inline]
fn write_escaped(text: &str, out: &mut EncodeBuffer<'_>) {
    let mut bytes = text.as_bytes();
    let is_special = |byte| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    while let Some(place) = column::find(bytes, is_special) {
        out.extend(&bytes[..place]);
        write_escape(bytes[place], out.bytes);
        bytes = &bytes[place + 1..];
    }
    out.extend(bytes);
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        control => {
            out.extend_from_slice(b"\\u00");
            return column::write_hex(&[control], out);
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

const NOT_BOOL: ValueProblem =
    ValueProblem::new("is neither 0 nor 1", "leave --tinyint1-as-bool out");
const NOT_JSON: ValueProblem = ValueProblem::new(
    "is not valid JSON",
    "leave its --json-column out to write it as a string",
);
const NOT_A_NUMBER: ValueProblem = ValueProblem::new(
    "is not a number, though its column is numeric",
    "report it: the server or a proxy broke the protocol",
);

/// Writes text that is JSON as it is, digit by digit. A line end can only stand
/// between its tokens, where a space means the same and keeps the row on one
/// line.
fn embed(text: &str, out: &mut EncodeBuffer<'_>) -> Result<(), ValueProblem> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| NOT_JSON)?;
    let flat = |byte: &u8| match byte {
        b'\n' | b'\r' => b' ',
        byte => *byte,
    };
    for piece in text.as_bytes().chunks(CHUNK) {
        out.bytes.extend(piece.iter().map(flat));
        out.spill_if_large();
    }
    Ok(())
}

/// Whether `number`, an integer, is beyond ±(2^53 − 1), where doubles begin to
/// leave integers out (RFC 8259, section 6).
fn is_beyond_double(number: &[u8]) -> bool {
    const LARGEST_SAFE: &[u8] = b"9007199254740991";
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    digits.len() > LARGEST_SAFE.len()
        || (digits.len() == LARGEST_SAFE.len() && digits > LARGEST_SAFE)
}

/// Whether `text` is a number as JSON writes them.
fn is_number(text: &[u8]) -> bool {
    parse_number(text).is_some_and(|number| number.is_json_number())
}
