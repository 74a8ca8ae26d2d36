//! JSON: one top-level array of objects (RFC 8259), keys in column order.
//!
//! Whether a value is a number is decided by its column's type alone, and a
//! number keeps every digit of the server's text.

use std::collections::HashSet;

use serde::de::IgnoredAny;

use super::{
    DuplicateColumns, Format, FormatOptions, Layout, NumberStyle, RowWriter, TinyInt1, ValueError,
    cell::{self, Cell, CellOptions, Padding, Refusal, Rendered, replaced_warning},
};
use crate::{
    error::{Error, Result},
    format::buffer::{CHUNK, RowBuffer},
    row::Row,
    schema::{Column, ColumnType, Schema},
};

/// The entry in the table of formats.
pub static FORMAT: Format = Format {
    name: "json",
    about: "an array of objects, one object a line",
    extensions: &["json"],
    flags: &[
        "pretty",
        "json-root",
        "json-bigint",
        "json-decimal",
        "json-column",
        "tinyint1-as-bool",
        "zero-dates",
    ],
    open,
};

/// The text between values is the same for every row, so it is made once.
struct JsonWriter {
    /// Up to and with `[`.
    head: Vec<u8>,
    /// Before a row: the line end and indent.
    row_lead: Vec<u8>,
    members: Vec<Member>,
    /// Behind a row's last value.
    row_end: Vec<u8>,
    /// Behind the last row, where there was one.
    array_end: Vec<u8>,
    /// What follows `]`.
    tail: Vec<u8>,
    progress: Progress,
    replaced: u64,
}

struct Member {
    /// `{` or `,` and the key with its colon.
    lead: Vec<u8>,
    cell: Cell,
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
    fn new(column: &Column, options: &FormatOptions) -> Self {
        let number = |style| match style {
            NumberStyle::Number => Self::Number,
            NumberStyle::String => Self::Quoted,
        };
        match column.column_type {
            ColumnType::TinyInt1 if options.tinyint1 == TinyInt1::Bool => Self::Bool,
            ColumnType::Integer { .. } | ColumnType::Bit
                if options.json_bigint == NumberStyle::String =>
            {
                Self::BigInt
            }
            ColumnType::Decimal { .. } => number(options.json_decimal),
            ColumnType::TinyInt1
            | ColumnType::Integer { .. }
            | ColumnType::Bit
            | ColumnType::Float(_)
            | ColumnType::Double(_) => Self::Number,
            ColumnType::Json => Self::Embedded,
            ColumnType::Text if options.json_columns.contains(&column.name) => Self::Embedded,
            _ => Self::Quoted,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Progress {
    Empty,
    HasRows,
}

fn open(schema: &Schema, options: &FormatOptions) -> Result<Box<dyn RowWriter>> {
    let names = unique_names(&schema.columns, options.duplicate_columns)?;
    check_json_columns(&schema.columns, &options.json_columns)?;
    let root = options.json_root.as_deref().map(quoted);
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
    let (row_lead, array_end) = match options.layout {
        Layout::Compact => ("\n".to_owned(), "\n".to_owned()),
        Layout::Pretty => (indent(depth + 1), indent(depth)),
    };
    let cell_options = CellOptions {
        binary: options.binary,
        invalid_utf8: options.invalid_utf8,
        zero_dates: options.zero_dates,
        padding: Padding::Strip,
    };
    let member = |(index, (column, name)): (usize, (&Column, &String))| {
        let mark = if index == 0 { '{' } else { ',' };
        Member {
            lead: format!("{mark}{}{}{colon}", indent(depth + 2), quoted(name)).into(),
            cell: Cell::new(index, column.column_type, cell_options),
            style: Style::new(column, options),
        }
    };
    let members = schema.columns.iter().zip(&names).enumerate().map(member);
    Ok(Box::new(JsonWriter {
        head: head.into(),
        row_lead: row_lead.into(),
        members: members.collect(),
        row_end: format!("{}}}", indent(depth + 1)).into(),
        array_end: array_end.into(),
        tail: tail.into(),
        progress: Progress::Empty,
        replaced: 0,
    }))
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
    fn begin(&mut self, out: &mut RowBuffer) {
        out.extend(&self.head);
    }

    fn row(&mut self, row: Row<'_>, out: &mut RowBuffer) -> Result<(), ValueError> {
        if self.progress == Progress::HasRows {
            out.bytes.push(b',');
        }
        self.progress = Progress::HasRows;
        out.bytes.extend_from_slice(&self.row_lead);
        for (column, member) in self.members.iter().enumerate() {
            out.bytes.extend_from_slice(&member.lead);
            let written = member.write(row, out).map_err(ValueError::at(column))?;
            self.replaced += u64::from(written == Written::Replaced);
        }
        out.bytes.extend_from_slice(&self.row_end);
        Ok(())
    }

    fn finish(&mut self, out: &mut RowBuffer) {
        if self.progress == Progress::HasRows {
            out.extend(&self.array_end);
        }
        out.extend(&self.tail);
    }

    fn shapes(&self) -> Vec<String> {
        self.members.iter().map(Member::shape).collect()
    }

    fn warnings(&self) -> Vec<String> {
        replaced_warning(self.replaced).into_iter().collect()
    }
}

#[derive(PartialEq, Eq)]
enum Written {
    Exactly,
    /// With U+FFFD for bytes that are not UTF-8.
    Replaced,
}

impl Member {
    fn shape(&self) -> String {
        match (self.style, self.cell.shape()) {
            (Style::Number, _) => "number".to_owned(),
            (Style::BigInt, _) => "number, beyond ±(2^53 − 1) a string".to_owned(),
            (Style::Bool, _) => "true or false".to_owned(),
            (Style::Embedded, _) => "embedded JSON".to_owned(),
            (Style::Quoted, "text") => "string".to_owned(),
            (Style::Quoted, shape) => format!("string: {shape}"),
        }
    }

    fn write(&self, row: Row<'_>, out: &mut RowBuffer) -> Result<Written, Refusal> {
        let start = out.bytes.len();
        if self.style == Style::Quoted {
            out.bytes.push(b'"');
        }
        match self.cell.render(row, &mut out.bytes)? {
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
            Rendered::Mended(bytes) => {
                if self.style == Style::Embedded {
                    embed(&String::from_utf8_lossy(bytes), out)?;
                } else {
                    cell::mend(bytes, |text| write_escaped(text, out));
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
    fn finish_plain(&self, row: Row<'_>, start: usize, out: &mut RowBuffer) -> Result<(), Refusal> {
        let out = &mut out.bytes;
        match self.style {
            Style::Quoted => out.push(b'"'),
            Style::Bool => {
                let truth: &[u8] = match &out[start..] {
                    b"0" => b"false",
                    b"1" => b"true",
                    _ => return Err(("is neither 0 nor 1", "leave --tinyint1-as-bool out")),
                };
                out.truncate(start);
                out.extend_from_slice(truth);
            }
            Style::Number | Style::BigInt | Style::Embedded => {
                // Only text can be something else than a number.
                if self.cell.came_as_bytes(row) && !is_number(&out[start..]) {
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
fn write_escaped(text: &str, out: &mut RowBuffer) {
    let mut bytes = text.as_bytes();
    let is_special = |byte| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    while let Some(place) = cell::find(bytes, is_special) {
        out.extend(&bytes[..place]);
        write_escape(bytes[place], &mut out.bytes);
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
            return cell::write_hex(&[control], out);
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}

const NOT_JSON: Refusal = (
    "is not valid JSON",
    "leave its --json-column out to write it as a string",
);
const NOT_A_NUMBER: Refusal = (
    "is not a number, though its column is numeric",
    "report it: the server or a proxy broke the protocol",
);

/// Writes text that is JSON as it is, digit by digit. A line end can only stand
/// between its tokens, where a space means the same and keeps the row on one
/// line.
fn embed(text: &str, out: &mut RowBuffer) -> Result<(), Refusal> {
    serde_json::from_str::<IgnoredAny>(text).map_err(|_| NOT_JSON)?;
    let flat = |byte: &u8| match byte {
        b'\n' | b'\r' => b' ',
        byte => *byte,
    };
    for piece in text.as_bytes().chunks(CHUNK) {
        out.bytes.extend(piece.iter().map(flat));
        out.spill();
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

/// Whether `text` is a number as JSON writes them (RFC 8259, section 6).
fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let integer = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let padded = integer > 1 && digits[0] == b'0';
    integer > 0 && !padded && is_fraction_and_exponent(&digits[integer..])
}

/// Whether `rest` is what may follow a number's integer digits.
fn is_fraction_and_exponent(mut rest: &[u8]) -> bool {
    let digits = |bytes: &[u8]| {
        bytes
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    if let [b'.', fraction @ ..] = rest {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    match rest {
        [] => true,
        [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] => {
            !exponent.is_empty() && digits(exponent) == exponent.len()
        }
        _ => false,
    }
}
