//! What a table has by which its rows can be divided and followed: its columns, its
//! indexes, and the key that is chosen of them.

use std::collections::BTreeMap;

use mysql::{Conn, Row, prelude::Queryable};

use super::SplitTable;
use crate::{
    error::{Error, ErrorKind, Result},
    source::{
        driver::{all, ask, text},
        tables::{by_name, literal},
    },
    sql::{Key, KeyColumn, Literal},
};

/// What the server says of the columns and indexes of a table.
pub(super) struct TableFacts {
    pub columns: BTreeMap<String, ColumnFacts>,
    /// In the order of their names, the primary key first.
    indexes: Vec<Index>,
    pub is_view: bool,
}

/// What the server says of a column.
pub(super) struct ColumnFacts {
    pub data_type: String,
    pub charset: Option<String>,
    pub is_nullable: bool,
    /// The type with its arguments and attributes.
    declared: String,
    pub collation: Option<String>,
}

struct Index {
    name: String,
    /// `None` is an expression, or the beginning of a column.
    columns: Vec<Option<String>>,
    is_unique: bool,
    is_ordered: bool,
}

/// What a table's key is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TableUse {
    /// Chunks.
    Split,
    /// The rows that are new.
    Increment,
}

impl TableUse {
    const fn verb(self) -> &'static str {
        match self {
            Self::Split => "divided",
            Self::Increment => "followed",
        }
    }

    const fn hint(self) -> &'static str {
        match self {
            Self::Split => "choose another column: --split-by COLUMN",
            Self::Increment => "choose another column: --incremental COLUMN",
        }
    }
}

/// How the rows of a table are divided.
pub(super) struct KeyPlan {
    pub key: Key,
    /// The columns that rows are ordered by.
    pub order: Vec<String>,
    /// The index that has the columns of the key first.
    pub index: Option<String>,
    pub warning: Option<String>,
}

impl TableFacts {
    pub(super) fn read(conn: &mut Conn, table: &SplitTable) -> mysql::Result<Self> {
        let place = format!(
            "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(&table.database),
            literal(&table.table)
        );
        let columns = format!(
            "SELECT COLUMN_NAME, DATA_TYPE, CHARACTER_SET_NAME, IS_NULLABLE, COLUMN_TYPE, \
             COLLATION_NAME FROM information_schema.COLUMNS WHERE {place}"
        );
        let column = |row: &Row| {
            let facts = ColumnFacts {
                data_type: text(row, 1)?.to_ascii_lowercase(),
                charset: text(row, 2),
                is_nullable: text(row, 3)? == "YES",
                declared: text(row, 4)?,
                collation: text(row, 5),
            };
            Some((text(row, 0)?, facts))
        };
        let rows = all(conn.query_iter(columns)?)?;
        let columns = rows.iter().filter_map(column).collect();
        let indexes = format!(
            "SELECT * FROM information_schema.STATISTICS WHERE {place} \
             ORDER BY INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"
        );
        let mut indexes_found: Vec<Index> = Vec::new();
        for row in all(conn.query_iter(indexes)?)? {
            let value = |name: &str| by_name(&row, name);
            let is_unused = value("IS_VISIBLE").is_some_and(|word| word == "NO")
                || value("IGNORED").is_some_and(|word| word == "YES");
            let Some(name) = value("INDEX_NAME").filter(|_| !is_unused) else {
                continue;
            };
            let column = value("COLUMN_NAME").filter(|_| value("SUB_PART").is_none());
            match indexes_found.last_mut().filter(|last| last.name == name) {
                Some(last) => last.columns.push(column),
                None => indexes_found.push(Index {
                    name,
                    columns: vec![column],
                    is_unique: value("NON_UNIQUE").as_deref() == Some("0"),
                    is_ordered: value("INDEX_TYPE").as_deref() == Some("BTREE"),
                }),
            }
        }
        let kind = format!("SELECT TABLE_TYPE FROM information_schema.TABLES WHERE {place}");
        let kind = ask(conn, &kind)?.first().and_then(|row| text(row, 0));
        Ok(Self {
            columns,
            indexes: indexes_found,
            is_view: kind.is_some_and(|kind| kind.ends_with("VIEW")),
        })
    }

    /// Returns the name, the type and the collation of `column`.
    pub(super) fn describe(&self, column: &KeyColumn) -> String {
        let facts = self.columns.get(&column.name);
        let declared = facts.map(|facts| facts.declared.clone());
        let collation = facts.and_then(|facts| facts.collation.clone());
        let words = [Some(column.name.clone()), declared, collation];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Returns the name of `column`, the kind of its values, and its collation, by which they
    /// have their order.
    pub(super) fn identity(&self, column: &KeyColumn) -> String {
        let facts = self.columns.get(&column.name);
        let kind = match &column.literal {
            Literal::Integer => "integer",
            Literal::Decimal => "decimal",
            Literal::Text(_) => "text",
            Literal::Bytes => "bytes",
            Literal::Quoted => facts.map_or("", |facts| &facts.data_type),
        };
        match facts.and_then(|facts| facts.collation.as_ref()) {
            Some(collation) => format!("{} {kind} {collation}", column.name),
            None => format!("{} {kind}", column.name),
        }
    }

    /// Returns how `table` is divided: by the columns `by`, or by a unique key.
    pub(super) fn plan(
        &self,
        table: &SplitTable,
        by: Option<&[String]>,
        table_use: TableUse,
    ) -> Result<KeyPlan> {
        if self.columns.is_empty() {
            let what = format!("there is no table {table} that this account can see");
            return Err(Error::new(ErrorKind::Query, what));
        }
        let unique = self.unique_index();
        let names = match (by, unique) {
            (Some(names), _) => names.to_vec(),
            (None, Some(index)) => index.columns.iter().flatten().cloned().collect(),
            (None, None) => {
                let what = format!("{table} has no primary key, and no unique key without NULLs");
                return Err(Error::new(ErrorKind::Query, what)
                    .with_hint("name columns by which its rows are divided: --split-by COLUMN"));
            }
        };
        let columns = names
            .iter()
            .map(|name| self.key_column(table, name, table_use));
        let columns: Vec<KeyColumn> = columns.collect::<Result<_>>()?;
        let names: Vec<&str> = columns.iter().map(|column| &*column.name).collect();
        let index = self.indexes.iter().find(|index| {
            let mut leading = index.columns.iter().map(Option::as_deref);
            index.is_ordered && names.iter().all(|name| leading.next() == Some(Some(*name)))
        });
        let warning = (index.is_none() && !self.is_view).then(|| {
            format!(
                "{table} has no index that begins with {}: each chunk reads the whole table",
                names.join(", ")
            )
        });
        // Rows with one key come in the order of the primary key, as they are in an index.
        let others = unique
            .into_iter()
            .flat_map(|index| index.columns.iter().flatten());
        let others = others.filter(|name| !names.contains(&name.as_str()));
        let order = names
            .iter()
            .map(|name| (*name).to_owned())
            .chain(others.cloned())
            .collect();
        Ok(KeyPlan {
            order,
            index: index.map(|index| index.name.clone()),
            warning,
            key: Key {
                qualifier: None,
                columns,
            },
        })
    }

    /// The primary key, or the first unique one of whole columns without NULLs.
    fn unique_index(&self) -> Option<&Index> {
        let is_certain = |name: &Option<String>| {
            let column = name.as_ref().and_then(|name| self.columns.get(name));
            column.is_some_and(|column| !column.is_nullable)
        };
        let mut indexes = self.indexes.iter();
        indexes.find(|index| index.is_unique && index.columns.iter().all(is_certain))
    }

    /// Whether it is known that no two rows have the same values in the columns called `names`.
    /// Rows with a NULL among them may.
    pub(super) fn is_unique(&self, names: &[&str]) -> bool {
        let is_there = |name: &Option<String>| {
            let name = name.as_deref().filter(|name| names.contains(name));
            let column = name.and_then(|name| self.columns.get(name));
            column.is_some_and(|column| !column.is_nullable)
        };
        let mut indexes = self.indexes.iter();
        indexes.any(|index| index.is_unique && index.columns.iter().all(is_there))
    }

    /// Returns the column called `name`, in any case, for a key.
    fn key_column(&self, table: &SplitTable, name: &str, table_use: TableUse) -> Result<KeyColumn> {
        let mut columns = self.columns.iter();
        let found = columns.find(|(found, _)| found.to_lowercase() == name.to_lowercase());
        let Some((name, facts)) = found else {
            let what = format!("{table} has no column {name}");
            return Err(Error::new(ErrorKind::Query, what).with_hint(table_use.hint()));
        };
        let literal = facts.literal().ok_or_else(|| {
            let kind = facts.data_type.to_ascii_uppercase();
            let verb = table_use.verb();
            let what = format!("{table} cannot be {verb} by {name}, as that is a {kind}");
            Error::new(ErrorKind::Query, what).with_hint(table_use.hint())
        })?;
        Ok(KeyColumn {
            name: name.clone(),
            literal,
            // Outer joins can make NULL of what is none in the table.
            is_nullable: facts.is_nullable || self.is_view || table.qualifier.is_some(),
        })
    }
}

impl ColumnFacts {
    /// The digits of a second's fraction.
    pub(super) fn fraction(&self) -> usize {
        let digits = self.declared.split_once('(');
        let digits = digits.and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
        digits.unwrap_or(0)
    }

    /// How the values are written; `None` for types whose order is not that of what they
    /// compare as (ENUM, SET), or that are not exact (FLOAT), or have no order.
    fn literal(&self) -> Option<Literal> {
        Some(match &*self.data_type {
            "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "bit" => Literal::Integer,
            "decimal" => Literal::Decimal,
            "year" | "date" | "datetime" | "timestamp" | "time" | "uuid" | "inet4" | "inet6" => {
                Literal::Quoted
            }
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => {
                Literal::Text(self.charset.clone()?)
            }
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
                Literal::Bytes
            }
            _ => return None,
        })
    }
}
