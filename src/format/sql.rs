//! The SQL format: INSERT statements of many rows, which load into MariaDB and MySQL
//! what the server had.
//!
//! Each row is on a line of its own. The first statements choose a character set and an
//! SQL mode, so that backslashes and dates mean the same on every server. Bytes are
//! hexadecimal literals. What breaks off after a row lacks its closing bracket, so that
//! its last statement is an error: clients run one without a semicolon, too.

use std::{collections::HashSet, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    BinaryEncoding, BuiltIn, Dialect, DocumentEncoding, DuplicateColumns, EncodeBuffer, Format,
    RowWriter, TextOptions, ValueError,
    column::{Altered, ColumnFormatter, Padding, Rendered, ValueProblem},
    encode,
    json::unique_names,
};
use crate::{
    error::{Error, Result},
    row::Row,
    schema::{Column, ColumnType, Schema},
};

/// The entry in the table of formats.
pub(super) static FORMAT: BuiltIn = BuiltIn {
    name: "sql",
    about: "INSERT statements for MariaDB and MySQL",
    extensions: &["sql"],
    encoding: DocumentEncoding::Text,
    with_text: |text| {
        Arc::new(Sql {
            text,
            ..Sql::default()
        })
    },
};

/// The number of bytes from which on a statement ends with its row: servers take at
/// least 16 MiB (`max_allowed_packet`).
const STATEMENT: usize = 1 << 20;

/// What ends the last row of a statement.
const STATEMENT_END: &[u8] = b");\n";

/// The SQL mode in which the statements mean what they say: backslashes escape, a value
/// that the table cannot hold is an error, a 0 is no new AUTO_INCREMENT, and zero or
/// impossible dates are kept.
const SQL_MODE: &str = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";

/// The SQL format with its options.
///
/// ```
/// use gold_digger::format::{Format, Sql};
///
/// let format = Sql { table: "orders".to_owned(), ..Sql::default() };
/// assert_eq!(format.name(), "sql");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sql {
    /// The options for values. Bytes are always hexadecimal.
    pub text: TextOptions,
    /// The name of the table that the rows are inserted into.
    pub table: String,
    /// The time zone of TIMESTAMPs as an offset, which the document sets; `None` if it is
    /// not known, or another one.
    pub time_zone: Option<String>,
    /// The policy for columns with equal names.
    pub duplicate_columns: DuplicateColumns,
}

impl Default for Sql {
    fn default() -> Self {
        Self {
            text: TextOptions::default(),
            table: "result".to_owned(),
            time_zone: None,
            duplicate_columns: DuplicateColumns::default(),
        }
    }
}

impl Format for Sql {
    fn name(&self) -> &'static str {
        FORMAT.name
    }

    fn open(&self, schema: &Schema) -> Result<Box<dyn RowWriter>> {
        Ok(Box::new(SqlWriter::new(self, schema)?))
    }

    fn dialect(&self) -> Dialect {
        Dialect::of_text(&self.text_options())
            .with("table", &self.table)
            .with("duplicateColumns", self.duplicate_columns)
    }

    fn text_options(&self) -> TextOptions {
        TextOptions {
            binary: BinaryEncoding::Hex,
            ..self.text
        }
    }
}

/// Encodes one result set as SQL.
struct SqlWriter {
    head: String,
    /// The text before the first row of a statement.
    insert: String,
    tail: &'static str,
    fields: Vec<Field>,
    /// The number of bytes of the open statement; 0 if none is open.
    length: usize,
    altered: Altered,
    /// What is said of TIMESTAMPs, if their time zone is not known.
    warning: Option<&'static str>,
}

/// The values of one column.
struct Field {
    formatter: ColumnFormatter,
    /// Whether what needs no escapes needs quotes.
    is_quoted: bool,
}

impl Field {
    fn new(index: usize, column: &Column, options: TextOptions) -> Self {
        Self {
            formatter: ColumnFormatter::new(index, column, options, Padding::Keep),
            is_quoted: matches!(
                column.column_type,
                ColumnType::Date
                    | ColumnType::DateTime { .. }
                    | ColumnType::Time { .. }
                    // A -0 without quotes is the integer 0.
                    | ColumnType::Float(_)
                    | ColumnType::Double(_)
            ),
        }
    }

    /// Appends the column's value in `row` as a literal, and counts in `altered` what is
    /// not the server's value.
    fn write(
        &self,
        row: Row<'_>,
        out: &mut EncodeBuffer<'_>,
        altered: &mut Altered,
    ) -> Result<(), ValueProblem> {
        let start = out.bytes.len();
        if self.is_quoted {
            out.bytes.push(b'\'');
        }
        match self.formatter.render(row, out.bytes)? {
            Rendered::Null => write_null(start, out),
            Rendered::ZeroDate => {
                altered.zero_dates += 1;
                write_null(start, out);
            }
            Rendered::Plain if self.is_quoted => out.bytes.push(b'\''),
            Rendered::Plain => {}
            Rendered::Text(text) => {
                out.bytes.push(b'\'');
                write_escaped(text.as_bytes(), out);
                out.bytes.push(b'\'');
            }
            Rendered::Lossy(bytes) => {
                altered.lossy += 1;
                out.bytes.push(b'\'');
                encode::write_lossy(bytes, |text| write_escaped(text.as_bytes(), out));
                out.bytes.push(b'\'');
            }
            // The hexadecimal literal of no bytes is a number.
            Rendered::Encoded(_, []) => out.bytes.extend_from_slice(b"''"),
            Rendered::Encoded(encoding, bytes) => {
                out.bytes.extend_from_slice(b"0x");
                encoding.write(bytes, out);
            }
            // Only TSV has `--binary raw`.
            Rendered::Bytes(_) => return Err(RAW),
        }
        Ok(())
    }
}

const RAW: ValueProblem =
    ValueProblem::new("is raw bytes", "choose another encoding: --binary hex");

impl SqlWriter {
    fn new(options: &Sql, schema: &Schema) -> Result<Self> {
        let names = unique_names(&schema.columns, options.duplicate_columns, "SQL")?;
        check_names(&names, &options.table)?;
        let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let zone = match &options.time_zone {
            Some(zone) if schema.has_timestamps() => {
                format!(
                    "SET @gold_digger_time_zone = @@SESSION.time_zone, SESSION time_zone = {};\n",
                    literal(zone)
                )
            }
            _ => String::new(),
        };
        let text = options.text_options();
        let columns = schema.columns.iter().enumerate();
        let fields = columns.map(|(index, column)| Field::new(index, column, text));
        Ok(Self {
            head: format!(
                "SET NAMES utf8mb4;\n\
                 SET @gold_digger_sql_mode = @@SESSION.sql_mode, SESSION sql_mode = '{SQL_MODE}';\n{zone}"
            ),
            insert: format!(
                "INSERT INTO {} ({}) VALUES\n",
                quoted(&options.table),
                names.join(", ")
            ),
            tail: match zone.is_empty() {
                true => "SET SESSION sql_mode = @gold_digger_sql_mode;\n",
                false => {
                    "SET SESSION sql_mode = @gold_digger_sql_mode, SESSION time_zone = @gold_digger_time_zone;\n"
                }
            },
            fields: fields.collect(),
            length: 0,
            altered: Altered::default(),
            warning: (schema.has_timestamps() && options.time_zone.is_none()).then_some(
                "TIMESTAMPs are in a time zone that the statements do not set, or in which an hour \
                 comes twice; --time-zone +00:00 makes them moments",
            ),
        })
    }
}

impl RowWriter for SqlWriter {
    fn start(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        out.extend(self.head.as_bytes());
        Ok(())
    }

    fn row(&mut self, row: Row<'_>, out: &mut EncodeBuffer<'_>) -> Result<(), ValueError> {
        if self.length >= STATEMENT {
            out.bytes.extend_from_slice(STATEMENT_END);
            self.length = 0;
        }
        let start = out.position();
        if self.length == 0 {
            out.bytes.extend_from_slice(self.insert.as_bytes());
        } else {
            out.bytes.extend_from_slice(b"),\n");
        }
        for (column, field) in self.fields.iter().enumerate() {
            out.bytes.push(if column == 0 { b'(' } else { b',' });
            let written = field.write(row, out, &mut self.altered);
            written.map_err(ValueError::at(column))?;
        }
        self.length += out.position() - start;
        Ok(())
    }

    fn finish(&mut self, out: &mut EncodeBuffer<'_>) -> Result<()> {
        if self.length > 0 {
            out.extend(STATEMENT_END);
        }
        out.extend(self.tail.as_bytes());
        Ok(())
    }

    fn column_formats(&self) -> Vec<String> {
        let names = self
            .fields
            .iter()
            .map(|field| field.formatter.format_name());
        names.map(str::to_owned).collect()
    }

    fn warnings(&self) -> Vec<String> {
        let warning = self.warning.map(str::to_owned);
        warning.into_iter().chain(self.altered.warnings()).collect()
    }
}

/// Checks that a table can have the columns `names`, and that each row is the only
/// beginning of a line by a bracket.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config).
fn check_names(names: &[String], table: &str) -> Result<()> {
    let has_line_end = |name: &str| name.contains(['\n', '\r']);
    if has_line_end(table) {
        let what = format!("the table's name has a line end: {table:?}");
        return Err(Error::config(what).with_hint("--sql-table names another one"));
    }
    // Servers ignore the case of columns' names.
    let mut seen = HashSet::new();
    let mut columns = names
        .iter()
        .enumerate()
        .map(|(index, name)| (index + 1, name));
    let problem = columns.find_map(|(number, name)| match name {
        _ if name.is_empty() => Some(format!("column {number} has an empty name")),
        _ if has_line_end(name) => Some(format!(
            "the name of column {number} has a line end: {name:?}"
        )),
        _ if !seen.insert(name.to_lowercase()) => Some(format!(
            "the name of column {number} differs from another one in case only: {name:?}"
        )),
        _ => None,
    });
    match problem {
        Some(what) => Err(Error::config(what).with_hint("name it otherwise with AS")),
        None => Ok(()),
    }
}

/// Writes NULL in the place of what begins at `start`.
fn write_null(start: usize, out: &mut EncodeBuffer<'_>) {
    out.bytes.truncate(start);
    out.bytes.extend_from_slice(b"NULL");
}

/// Appends the text between the quotes of a literal (MySQL manual, "String Literals").
/// No line end is left, so that clients that change them do no harm.
fn write_escaped(mut text: &[u8], out: &mut EncodeBuffer<'_>) {
    let is_special = |byte| {
        (byte == b'\'')
            | (byte == b'\\')
            | (byte == b'\n')
            | (byte == b'\r')
            | (byte == 0)
            | (byte == 0x1a)
    };
    while let Some(index) = encode::find(text, is_special) {
        out.extend(&text[..index]);
        let letter = match text[index] {
            b'\n' => b'n',
            b'\r' => b'r',
            0 => b'0',
            0x1a => b'Z',
            byte => byte,
        };
        out.bytes.extend_from_slice(&[b'\\', letter]);
        text = &text[index + 1..];
    }
    out.extend(text);
}

/// Returns `text` as a literal.
fn literal(text: &str) -> String {
    let mut bytes = b"'".to_vec();
    write_escaped(text.as_bytes(), &mut EncodeBuffer::unbounded(&mut bytes));
    bytes.push(b'\'');
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns `name` as an identifier (MySQL manual, "Schema Object Names").
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
