//! What a target takes for the names of a table's columns.

use crate::schema::Schema;

/// The rules for the names of the columns of one table.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameRules {
    pub case: Case,
    pub empty: EmptyNames,
    pub longest: Longest,
    pub lines: NameLines,
    pub reserved: Reserved,
}

/// The names that the target keeps for itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reserved {
    None,
    /// These names of columns.
    Columns(&'static [&'static str]),
    /// Names, also of tables, that end with white space, or have NUL or a character beyond
    /// U+FFFF (MySQL manual, "Schema Object Names").
    Unspellable,
    /// Names of tables that begin so, in any case.
    Tables(&'static str),
}

/// Whether a name may have a line feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameLines {
    /// It may: the loader reads the header as a row.
    Any,
    /// It must not: the loader skips one line, whatever quotes it has.
    One,
}

/// Whether names that differ only in case are one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// They are two names.
    Differs,
    /// They are one name if only ASCII letters differ.
    AsciiIgnored,
    /// They are one name.
    Ignored,
}

/// Whether a name may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EmptyNames {
    Allowed,
    Refused,
}

/// The longest name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Longest {
    Any,
    Bytes(usize),
    Characters(usize),
}

impl NameRules {
    /// The target takes every name, and names that differ only in case.
    pub(super) const ANY: Self = Self {
        case: Case::Differs,
        empty: EmptyNames::Allowed,
        longest: Longest::Any,
        lines: NameLines::Any,
        reserved: Reserved::None,
    };

    /// Checks that a table can have the name `table`, which is that of its file.
    ///
    /// # Errors
    /// The reason, as a sentence without its full stop.
    pub(super) fn check_table(self, table: &str) -> Result<(), String> {
        if let Reserved::Tables(begin) = self.reserved
            && table.to_ascii_lowercase().starts_with(begin)
        {
            return Err(format!(
                "the name of the file, and so of the table, begins with {begin}"
            ));
        }
        if matches!(self.reserved, Reserved::Unspellable) && is_unspellable(table) {
            return Err(format!(
                "the target takes no table of the file's name: {table:?}"
            ));
        }
        match self.longest.is_below(table) {
            true => {
                let limit = self.longest.describe();
                Err(format!(
                    "the name of the file is longer than a table's may be, which is {limit}"
                ))
            }
            false => Ok(()),
        }
    }

    /// Checks that a table can have the columns of `schema`.
    ///
    /// # Errors
    /// The first name that it cannot have, as a sentence without its full stop.
    pub(super) fn check(self, schema: &Schema) -> Result<(), String> {
        let mut seen: Vec<(String, usize)> = Vec::new();
        for (index, column) in schema.columns.iter().enumerate() {
            let (name, number) = (&column.name, index + 1);
            if name.is_empty() && self.empty == EmptyNames::Refused {
                return Err(format!("column {number} has an empty name"));
            }
            // DuckDB takes it for the end of a line and reads no rows, and ClickHouse and
            // PostgreSQL find no such column.
            if name.contains('\r') {
                return Err(format!(
                    "the name of column {number} has a carriage return: {name:?}"
                ));
            }
            if name.contains('\n') && self.lines == NameLines::One {
                return Err(format!(
                    "the name of column {number} has a line feed, and the loader skips one line: {name:?}"
                ));
            }
            if self.reserved.has_column(name) {
                return Err(format!(
                    "the target takes no column of the name of column {number}: {name:?}"
                ));
            }
            if self.longest.is_below(name) {
                let limit = self.longest.describe();
                return Err(format!(
                    "the name of column {number} is longer than {limit}: {name:?}"
                ));
            }
            seen.push((self.case.fold(name), number));
        }
        // Sorted, because a result can have thousands of columns.
        seen.sort();
        let mut pairs = seen.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        match pairs.next() {
            None => Ok(()),
            Some(pair) => {
                let (first, second) = (pair[0].1, pair[1].1);
                let [one, other] = [first, second].map(|number| &schema.columns[number - 1].name);
                Err(match one == other {
                    true => format!("columns {first} and {second} are both called {one:?}"),
                    false => format!(
                        "{one:?} and {other:?}, columns {first} and {second}, are one name for the target"
                    ),
                })
            }
        }
    }
}

impl Reserved {
    /// Returns whether no column may have `name`.
    fn has_column(self, name: &str) -> bool {
        match self {
            Self::None | Self::Tables(_) => false,
            Self::Columns(names) => names.contains(&name),
            Self::Unspellable => is_unspellable(name),
        }
    }
}

/// Whether MySQL and MariaDB can have no such name.
fn is_unspellable(name: &str) -> bool {
    let is_space = |c: char| matches!(c, ' ' | '\t'..='\r');
    name.ends_with(is_space) || name.contains(|c| c == '\0' || c > '\u{ffff}')
}

impl Case {
    /// Returns `name` so that one name is one text.
    fn fold(self, name: &str) -> String {
        match self {
            Self::Differs => name.to_owned(),
            Self::AsciiIgnored => name.to_ascii_lowercase(),
            Self::Ignored => name.to_lowercase(),
        }
    }
}

impl Longest {
    /// Returns whether the limit is below the length of `name`.
    fn is_below(self, name: &str) -> bool {
        match self {
            Self::Any => false,
            Self::Bytes(limit) => name.len() > limit,
            Self::Characters(limit) => name.chars().count() > limit,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Any => String::new(),
            Self::Bytes(limit) => format!("{limit} bytes"),
            Self::Characters(limit) => format!("{limit} characters"),
        }
    }
}
