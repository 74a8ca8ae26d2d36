//! The table that a target loads a file into.

use super::{Load, SqlType, doubled, lines};
use crate::schema::{Column, Nullability};

/// A table in the SQL of a target.
pub(super) struct Table {
    /// Its name, in quotes.
    pub name: String,
    /// The names of its columns, in quotes.
    pub names: Vec<String>,
    /// The columns, each with its name and its type.
    pub columns: Vec<String>,
    /// What follows the columns.
    end: &'static str,
}

/// What becomes of a table that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// It is an error.
    Refused,
    /// It stays as it is.
    Kept,
}

/// How a target spells a table.
pub(super) struct Spelling<'a> {
    /// Returns a name between two of these quotes.
    pub quoted: fn(&str, char) -> String,
    pub quote: char,
    /// Returns the type of a column, and whether it may be NULL.
    pub declare: &'a dyn Fn(&Column, SqlType, Nullability) -> String,
    /// What follows the columns.
    pub end: &'static str,
}

impl Table {
    /// Makes the table of `load`, whose name is `name` in the target's quotes.
    pub fn new(load: &Load<'_>, name: String, spelling: &Spelling<'_>) -> Self {
        let text = load.format.text_options();
        let columns = load.columns(&text).into_iter();
        let named = columns.map(|(column, sql_type)| {
            let name = (spelling.quoted)(&column.name, spelling.quote);
            let nullability = text.nullability(column);
            let declared = (spelling.declare)(column, sql_type, nullability);
            (name.clone(), format!("{name} {declared}"))
        });
        let (names, columns) = named.unzip();
        Self {
            name,
            names,
            columns,
            end: spelling.end,
        }
    }

    /// Makes the table of `load` for a target with the quotes and the NOT NULL of the SQL
    /// standard, whose types `type_name` spells.
    pub fn standard(load: &Load<'_>, type_name: impl Fn(SqlType) -> String) -> Self {
        let declare = |_: &Column, sql_type, nullability| {
            let type_name = type_name(sql_type);
            match nullability {
                Nullability::NotNull => type_name + " NOT NULL",
                Nullability::Nullable | Nullability::Unknown => type_name,
            }
        };
        let spelling = Spelling {
            quoted: doubled,
            quote: '"',
            declare: &declare,
            end: "",
        };
        Self::new(load, doubled(load.table, '"'), &spelling)
    }

    /// Returns the statement that creates it.
    pub fn create(&self, existing: Existing) -> String {
        let begin = match existing {
            Existing::Refused => "CREATE TABLE",
            Existing::Kept => "CREATE TABLE IF NOT EXISTS",
        };
        let (name, columns) = (&self.name, lines(&self.columns));
        format!("{begin} {name} {columns}{};\n", self.end)
    }
}
