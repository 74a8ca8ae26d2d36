//! JSON: one top-level array of objects (RFC 8259), keys in column order.
//!
//! Whether a value is a number is decided by its column's type alone, and a
//! number keeps every digit of the server's text.

use std::collections::HashSet;

use super::{DuplicateColumns, Format, FormatOptions, Layout, RowWriter, ValueError};
use crate::{
    error::{Error, Result},
    row::{Row, Value},
    schema::{Column, ColumnType, Schema},
};

/// The entry in the table of formats.
pub static FORMAT: Format = Format {
    name: "json",
    about: "an array of objects, one object a line",
    extensions: &["json"],
    flags: &["pretty", "json-root"],
    open,
};

/// The text between values is the same for every row, so it is made once.
struct JsonWriter {
    /// Up to and with `[`.
    head: Vec<u8>,
    /// Before a row: the line end and indent.
    row_lead: Vec<u8>,
    cells: Vec<Cell>,
    /// Behind a row's last value.
    row_end: Vec<u8>,
    /// Behind the last row, where there was one.
    array_end: Vec<u8>,
    /// What follows `]`.
    tail: Vec<u8>,
    progress: Progress,
}

struct Cell {
    /// `{` or `,` and the key with its colon.
    lead: Vec<u8>,
    column_type: ColumnType,
}

#[derive(PartialEq, Eq)]
enum Progress {
    Empty,
    HasRows,
}

fn open(schema: &Schema, options: &FormatOptions) -> Result<Box<dyn RowWriter>> {
    let names = unique_names(&schema.columns, options.duplicate_columns)?;
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
    let cells = schema
        .columns
        .iter()
        .zip(&names)
        .enumerate()
        .map(|(index, (column, name))| {
            let mark = if index == 0 { '{' } else { ',' };
            Cell {
                lead: format!("{mark}{}{}{colon}", indent(depth + 2), quoted(name)).into(),
                column_type: column.column_type,
            }
        });
    Ok(Box::new(JsonWriter {
        head: head.into(),
        row_lead: row_lead.into(),
        cells: cells.collect(),
        row_end: format!("{}}}", indent(depth + 1)).into(),
        array_end: array_end.into(),
        tail: tail.into(),
        progress: Progress::Empty,
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
    .hint("name them apart with AS, or choose --duplicate-columns suffix"))
}

impl RowWriter for JsonWriter {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
    }

    fn row(&mut self, row: Row<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
        if self.progress == Progress::HasRows {
            out.push(b',');
        }
        self.progress = Progress::HasRows;
        out.extend_from_slice(&self.row_lead);
        for (index, (cell, value)) in self.cells.iter().zip(row.values()).enumerate() {
            out.extend_from_slice(&cell.lead);
            let written = match (value, cell.column_type) {
                (Value::Null, _) => {
                    out.extend_from_slice(b"null");
                    Ok(())
                }
                (Value::Bytes(bytes), ColumnType::Number) => write_number(bytes, out),
                (Value::Bytes(bytes), ColumnType::Text) => write_string(bytes, out),
            };
            written.map_err(|(problem, hint)| ValueError {
                column: index,
                problem,
                hint,
            })?;
        }
        out.extend_from_slice(&self.row_end);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        if self.progress == Progress::HasRows {
            out.extend_from_slice(&self.array_end);
        }
        out.extend_from_slice(&self.tail);
    }
}

type Refusal = (&'static str, &'static str);

fn write_string(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let not_text = (
        "is not UTF-8, which JSON needs",
        "convert it in the query, for example with HEX() or TO_BASE64()",
    );
    let text = std::str::from_utf8(bytes).map_err(|_| not_text)?;
    serde_json::to_writer(out, text).map_err(|_| not_text)
}

/// Writes the server's text for a number, every digit as it is. Only the zeros
/// that pad a ZEROFILL column go: JSON has none (RFC 8259, section 6).
fn write_number(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let (sign, digits) = match bytes {
        [b'-', digits @ ..] => (&bytes[..1], digits),
        digits => (&[][..], digits),
    };
    let integer = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let padding = digits[..integer]
        .iter()
        .take_while(|byte| **byte == b'0')
        .count();
    let padding = padding.min(integer.saturating_sub(1));
    if integer == 0 || !is_fraction_and_exponent(&digits[integer..]) {
        return Err((
            "is not a number, though its column is numeric",
            "report it: the server broke the protocol",
        ));
    }
    out.extend_from_slice(sign);
    out.extend_from_slice(&digits[padding..]);
    Ok(())
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
