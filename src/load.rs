//! The databases and programs that load the files: for each, the settings of a
//! file that it reads back exactly, the statement that loads the file, and the
//! values that it cannot hold.
//!
//! ```
//! use gold_digger::{
//!     format::{BinaryEncoding, TextOptions, Tsv},
//!     load::{Load, LoadTarget},
//!     schema::{Column, ColumnType, Schema},
//! };
//!
//! let column = Column::new("id", "BIGINT", ColumnType::Integer { zerofill: None });
//! let binary = BinaryEncoding::Hex;
//! let load = Load {
//!     schema: &Schema { columns: vec![column] },
//!     table: "orders",
//!     file: "orders.tsv",
//!     format: &Tsv { text: TextOptions { binary, ..TextOptions::default() }, ..Tsv::default() },
//!     compression: None,
//!     time_zone: None,
//! };
//! let mysql = LoadTarget::named("mysql").expect("a target");
//! let statement = mysql.statement(&load).expect("MySQL loads TSV");
//! assert!(statement.contains("INTO TABLE `orders`"));
//! ```

use std::{any::Any, ptr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    format::{
        BinaryEncoding, ByteOrderMark, Codec, Csv, CsvFormulas, Format, Header, LineEnding,
        TextOptions, Tsv,
    },
    schema::{Column, ColumnType, Schema},
};

mod bigquery;
mod clickhouse;
mod duckdb;
mod excel;
mod limits;
mod mysql;
mod names;
mod postgres;
mod redshift;
mod snowflake;
mod sqlite;
mod table;
mod types;

pub use limits::{LimitCheck, Limits};
use names::{Case, EmptyNames, Longest, NameLines, NameRules, Reserved};
use table::{Existing, Spelling, Table};
use types::SqlType;

/// The targets of `--for`. A new target needs a file of its own, a `mod` line and
/// an entry here.
pub static LOAD_TARGETS: &[&LoadTarget] = &[
    &mysql::TARGET,
    &postgres::TARGET,
    &clickhouse::TARGET,
    &duckdb::TARGET,
    &sqlite::TARGET,
    &excel::TARGET,
    &bigquery::TARGET,
    &snowflake::TARGET,
    &redshift::TARGET,
];

/// The file name of a statement for rows that go to standard output: they are
/// piped into the program that loads them.
pub const STANDARD_INPUT: &str = "/dev/stdin";

/// The description of a program that loads files.
#[derive(Debug)]
pub struct LoadTarget {
    /// The name for `--for` and `[output] for`.
    pub name: &'static str,
    /// A short description for the help.
    pub about: &'static str,
    /// The settings of a file that the target reads back exactly: names as in the
    /// configuration file, and values.
    pub preset: &'static [(&'static str, &'static str)],
    /// The values that the target cannot hold.
    pub limits: Limits,
    /// The names that its columns can have.
    names: NameRules,
    /// Makes its SQL; `None` if the target opens files without.
    sql: Option<LoadSql>,
    /// The codecs whose files the statement loads.
    codecs: &'static [Codec],
}

/// Makes the SQL that loads a file.
#[derive(Debug)]
struct LoadSql {
    /// Makes the table.
    table: fn(&Load<'_>) -> Table,
    /// Makes the statements that create the table and load the file into it, or says why
    /// there are none.
    statement: fn(&Load<'_>, Table) -> Result<String, String>,
}

/// A stored plan has a target by its name.
impl Serialize for LoadTarget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for &'static LoadTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || D::Error::custom(format!("there is no target {name:?}"));
        LoadTarget::named(&name).ok_or_else(unknown)
    }
}

impl LoadTarget {
    /// Returns the target with the name `name`, if there is one.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        LOAD_TARGETS
            .iter()
            .copied()
            .find(|target| target.name == name)
    }

    /// Returns the statements that create the table and load the file, each ended
    /// by a line end. They are text for the target's own command line client.
    ///
    /// # Errors
    /// The reason why there is no statement for this file, as a sentence without
    /// its full stop.
    pub fn statement(&self, load: &Load<'_>) -> Result<String, String> {
        match &self.sql {
            Some(sql) => {
                let table = self.table(sql, load)?;
                if load
                    .compression
                    .is_some_and(|codec| !self.codecs.contains(&codec))
                {
                    return Err(
                        "the statement is known for plain files only, and this one is compressed"
                            .to_owned(),
                    );
                }
                (sql.statement)(load, table)
            }
            None => Err(format!("{} opens files without one", self.name)),
        }
    }

    /// Returns the statement that creates the table for a file, ended by a line end. The
    /// file's own path and dialect do not matter.
    ///
    /// # Errors
    /// As [`statement`](Self::statement).
    pub fn create_table(&self, load: &Load<'_>) -> Result<String, String> {
        match &self.sql {
            Some(sql) => Ok(self.table(sql, load)?.create(Existing::Refused)),
            None => Err(format!("{} has no tables", self.name)),
        }
    }

    /// Makes the table for a file, if the target can have it.
    fn table(&self, sql: &LoadSql, load: &Load<'_>) -> Result<Table, String> {
        self.check_names(load.schema)?;
        self.names.check_table(load.table)?;
        Ok((sql.table)(load))
    }

    /// Checks that a table of the target can have the columns of `schema`.
    ///
    /// # Errors
    /// The first name that it cannot have, as a sentence without its full stop. The
    /// query can give another one with AS.
    pub fn check_names(&self, schema: &Schema) -> Result<(), String> {
        self.names.check(schema)
    }

    /// Returns whether the target loads files by a statement.
    #[must_use]
    pub const fn has_statement(&self) -> bool {
        self.sql.is_some()
    }

    /// Checks that no value of `format`, other than a text, can look like its text
    /// for NULL, if the target takes it for NULL between quotes, too. Texts and the
    /// like are compared one by one by [`LimitCheck`].
    ///
    /// # Errors
    /// The problem, as the end of a sentence that begins with the text for NULL.
    pub fn check_null_text(&self, format: &dyn Format) -> Result<(), &'static str> {
        let null = format.null_text().filter(|_| !self.limits.quoted_null);
        match null.is_some_and(|null| limits::can_be_value(&null, &format.text_options())) {
            true => Err("can also be a value of the data, which the target would take for NULL"),
            false => Ok(()),
        }
    }

    /// Returns whether its statements name the time zone of TIMESTAMPs, so that it loads
    /// them from any.
    pub(crate) fn knows_time_zones(&self) -> bool {
        ptr::eq(self, &raw const mysql::TARGET)
    }

    /// Returns the value of the setting called `setting` in the preset.
    #[must_use]
    pub fn preset_value(&self, setting: &str) -> Option<&'static str> {
        let mut preset = self.preset.iter();
        preset.find_map(|(name, value)| (*name == setting).then_some(*value))
    }
}

/// Columns, each with its type in the file.
type TypedColumns<'a> = Vec<(&'a Column, SqlType)>;

/// A file that is to be loaded.
#[derive(Clone, Copy)]
pub struct Load<'a> {
    /// The columns.
    pub schema: &'a Schema,
    /// The name of the table.
    pub table: &'a str,
    /// The path of the file.
    pub file: &'a str,
    /// The format of the file, with its options.
    pub format: &'a dyn Format,
    /// How the file is compressed.
    pub compression: Option<Codec>,
    /// The time zone in which TIMESTAMPs are written; `None` if the server's
    /// applies.
    pub time_zone: Option<&'a str>,
}

impl<'a> Load<'a> {
    /// Returns the options of a TSV file.
    fn tsv(&self) -> Result<&'a Tsv, String> {
        self.options("TSV")
    }

    /// Returns the options of a CSV file whose lines end in LF or CRLF.
    fn csv(&self) -> Result<&'a Csv, String> {
        self.options("CSV")
    }

    /// Returns the options of a file of the format `F`, which is called `expected`.
    fn options<F: Format>(&self, expected: &str) -> Result<&'a F, String> {
        let any: &dyn Any = self.format;
        let name = self.format.name();
        any.downcast_ref().ok_or_else(|| {
            format!("the statement is known for {expected} only, and the format is {name}")
        })
    }

    /// Checks that bytes, if a column has them, are written as `expected`, which
    /// `--binary` calls `name`.
    fn needs_binary(
        &self,
        text: &TextOptions,
        expected: BinaryEncoding,
        name: &str,
    ) -> Result<(), String> {
        let mut columns = self.schema.columns.iter();
        let has_bytes = columns.any(|column| column.column_type == ColumnType::Binary);
        match has_bytes && text.binary != expected {
            true => Err(format!("the statement is known for --binary {name} only")),
            false => Ok(()),
        }
    }

    /// Checks that the path has none of `characters`, which make it a pattern for
    /// the target: it would load other files, too.
    fn is_no_pattern(&self, characters: &[char]) -> Result<(), String> {
        match self.file.chars().find(|c| characters.contains(c)) {
            Some(found) => Err(format!(
                "the target takes a file's name with {found} for a pattern"
            )),
            None => Ok(()),
        }
    }

    /// Returns the options of a CSV file that is as [`Self::csv`] says and has a
    /// header, and the types of its columns. Bytes are written as `binary`, which
    /// `--binary` calls `name`.
    fn plain_csv(
        &self,
        binary: BinaryEncoding,
        name: &str,
    ) -> Result<(&'a Csv, TypedColumns<'a>), String> {
        let csv = self.csv()?;
        plain_csv(csv)?;
        self.needs_binary(&csv.text, binary, name)?;
        Ok((csv, self.columns(&csv.text)))
    }

    /// Returns the file's name without its folder.
    fn file_name(&self) -> &'a str {
        self.file.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the columns and their types. `text` are the options of the file.
    fn columns(&self, text: &TextOptions) -> TypedColumns<'a> {
        let instants = self.is_utc();
        let columns = self.schema.columns.iter();
        columns
            .map(|column| (column, SqlType::of(column, text, instants)))
            .collect()
    }

    /// Refuses TIMESTAMPs in another time zone than UTC, for a target whose times all
    /// have a zone.
    fn needs_instants(&self) -> Result<(), String> {
        match self.schema.has_timestamps() && !self.is_utc() {
            true => Err(format!("its TIMESTAMPs need --time-zone {UTC}")),
            false => Ok(()),
        }
    }

    /// Returns whether TIMESTAMPs are written in UTC, so that they are instants.
    fn is_utc(&self) -> bool {
        self.time_zone.is_some_and(is_utc)
    }

    /// Returns the path in a form that no client takes for an option or a command.
    fn path(&self) -> String {
        match self.file.starts_with(['|', '-', '~', '@']) {
            true => format!("./{}", self.file),
            false => self.file.to_owned(),
        }
    }
}

/// The text for NULL of targets that take a quoted one for NULL, too. A value that
/// consists of it is refused.
const NULL_WORD: &str = "<NULL>";

/// UTC as an offset, which servers know also without time zone tables.
pub const UTC: &str = "+00:00";

/// Returns whether a session's time zone is UTC by its name.
pub(crate) fn is_utc(zone: &str) -> bool {
    zone == UTC || zone.eq_ignore_ascii_case("UTC")
}

/// Returns whether a session's time zone is always as far from UTC, by its name. Where
/// clocks go back, an hour comes twice.
pub(crate) fn is_offset(zone: &str) -> bool {
    is_utc(zone) || zone.starts_with(['+', '-'])
}

/// Returns the table name for a file: its name up to the first dot.
///
/// ```
/// assert_eq!(gold_digger::load::table_name("/exports/orders.tsv"), "orders");
/// ```
#[must_use]
pub fn table_name(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or_default();
    let stem = name.split('.').find(|part| !part.is_empty());
    stem.unwrap_or("result").to_owned()
}

/// Returns `text` between two `quote`s, with each `quote` in it doubled.
fn doubled(text: &str, quote: char) -> String {
    let text = text.replace(quote, &format!("{quote}{quote}"));
    format!("{quote}{text}{quote}")
}

/// Returns `text` between two `quote`s, with a backslash before each backslash and
/// `quote` in it.
fn backslashed(text: &str, quote: char) -> String {
    let text = text.replace('\\', "\\\\");
    let text = text.replace(quote, &format!("\\{quote}"));
    format!("{quote}{text}{quote}")
}

/// Returns `items` on a line of their own each, between brackets.
fn lines<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let items: Vec<String> = items
        .into_iter()
        .map(|item| format!("  {}", item.as_ref()))
        .collect();
    format!("(\n{}\n)", items.join(",\n"))
}

/// Returns the reason why a file that does not begin with the columns' names, whose
/// lines end in CRLF, or whose texts are changed, has no statement.
fn plain_csv(csv: &Csv) -> Result<(), String> {
    let only = match csv {
        Csv {
            header: Header::None,
            ..
        } => "files with a header",
        Csv {
            line_ending: LineEnding::Crlf,
            ..
        } => "lines that end in LF",
        Csv {
            bom: ByteOrderMark::Utf8,
            ..
        } => "files without a byte order mark",
        Csv {
            formulas: CsvFormulas::Escape,
            ..
        } => "--csv-formulas keep, which leaves texts as they are,",
        _ => return Ok(()),
    };
    Err(format!("the statement is known for {only} only"))
}

/// Returns whether a column has moments, written in UTC.
fn has_instants(columns: &[(&Column, SqlType)]) -> bool {
    let mut types = columns.iter().map(|(_, sql_type)| sql_type);
    types.any(|sql_type| matches!(sql_type, SqlType::Instant(_)))
}

#[cfg(test)]
mod tests;
