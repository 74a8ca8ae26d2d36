//! Divides the rows of a table into chunks: finds the key by which they are divided, and
//! makes a condition for each chunk. The module `bounds` finds where chunks begin.

mod bounds;
mod from;
mod increment;

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
};

use mysql::{Conn, Row, prelude::Queryable};
use serde::{Deserialize, Serialize};

pub use self::increment::{Increment, IncrementForm, IncrementOptions, IncrementStart, Lag, Mark};
use self::{
    bounds::Finder,
    from::{FromItem, from_items},
};
use super::{
    QueryExecutor, codes, connect,
    driver::{self, all, ask, text},
    errors::{allow_refusal, query_error},
    tables::{by_name, literal},
};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::{self, Key, KeyColumn, KeyValue, Literal, SplitColumns, TableName},
    text::counted,
};

/// How the rows of a table are divided into chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitOptions {
    /// The table; `None` if it is that of the statement.
    pub table: Option<TableName>,
    /// The columns of the key; `None` for the primary key, or another unique one.
    pub by: Option<SplitColumns>,
    /// The size of the chunks.
    pub size: ChunkSize,
    /// What happens to a table that has no key.
    pub without_key: WithoutKey,
}

/// What happens to a table that has no primary key, and no unique one without NULLs, if no
/// columns are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutKey {
    /// It is an error.
    Fail,
    /// Its rows are one chunk, with a warning: it is one of many tables.
    OneChunk,
}

/// The size of chunks. It is not exact: servers estimate how many rows are in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkSize {
    /// So many chunks of about the same size.
    Count(NonZeroU32),
    /// About so many rows in each.
    Rows(NonZeroU64),
}

impl ChunkSize {
    /// The number of chunks, if it does not depend on the rows.
    #[must_use]
    pub fn chunks(self) -> Option<usize> {
        match self {
            Self::Count(count) => usize::try_from(count.get()).ok(),
            Self::Rows(_) => None,
        }
    }
}

/// The chunks of a table, in the order of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// The condition of the rows of each chunk. Each row fulfils exactly one.
    pub conditions: Vec<String>,
    /// The columns that rows are ordered by, for ORDER BY. They are the key, and behind one
    /// that is not unique the primary key. `None` without a key.
    pub order: Option<String>,
    /// The moment of the session's clock, as seconds since 1970 with a fraction: `NOW()` is
    /// the same in all chunks.
    pub moment: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl Chunks {
    /// All rows of a table that nothing divides, because of `problem`.
    fn all_of_one(moment: String, problem: &str) -> Self {
        Self {
            moment,
            conditions: vec!["1 = 1".to_owned()],
            order: None,
            warnings: vec![format!("{problem}: its rows are one chunk")],
        }
    }
}

/// The question for a table failed.
fn failed(error: mysql::Error) -> Error {
    let is_of_date =
        matches!(&error, mysql::Error::MySqlError(found) if found.code == codes::WRONG_VALUE);
    let error = query_error("cannot divide the table", error);
    match is_of_date {
        true => error
            .with_hint("let the session read dates that are none: --init \"SET sql_mode = ''\""),
        false => error,
    }
}

impl QueryExecutor {
    /// Divides the rows of the table of `split`. Without one there, it is the table of the
    /// bound statement, whose condition for a chunk must be true.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the table has no key by which it can be divided, or if the
    /// server does not say what it has.
    pub fn chunks(&mut self, split: &SplitOptions) -> Result<Chunks> {
        let found = self.split_table(split)?;
        let chunks = self.with_driver(|conn| {
            let moment = moment(conn)?;
            let (facts, plan) = match planned(conn, &found, split)? {
                Planned::Key(facts, plan) => (facts, plan),
                Planned::OneChunk(problem) => return Ok(Chunks::all_of_one(moment, &problem)),
            };
            let mut finder = Finder::new(conn, &found, &plan, facts.is_view);
            let key = Key {
                qualifier: found.qualifier.clone(),
                ..plan.key.clone()
            };
            let bounds = finder.bounds(split.size)?;
            let order = sql::order_of(found.qualifier.as_deref(), &plan.order);
            Ok(Chunks {
                conditions: conditions(&key, &bounds),
                order: Some(order),
                moment,
                warnings: plan.warning.into_iter().collect(),
            })
        })?;
        let count = counted(chunks.conditions.len() as u64, "chunk");
        let order = chunks.order.as_deref().unwrap_or("the server's choice");
        tracing::info!("{found} is read in {count}, in the order of {order}");
        Ok(chunks)
    }

    /// Returns the session's variables on which the boundaries and values of rows depend.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the server does not return them.
    pub fn variables_of_rows(&mut self) -> Result<String> {
        let names = "'sql_mode', 'time_zone', 'system_time_zone', 'lc_time_names', \
                     'div_precision_increment', 'group_concat_max_len', 'collation_connection'";
        let question = format!("SHOW SESSION VARIABLES WHERE Variable_name IN ({names})");
        self.with_driver(|conn| {
            let rows = ask(conn, &question).map_err(failed)?;
            let pair = |row| Some(format!("{}={}", text(row, 0)?, text(row, 1)?));
            let pairs: Vec<String> = rows.iter().filter_map(pair).collect();
            Ok(pairs.join("\n"))
        })
    }

    /// Returns the columns of the key by which the rows of the table of `split` are divided,
    /// each with its type and its collation; none, if nothing divides them.
    ///
    /// # Errors
    /// As [`chunks`](Self::chunks).
    pub fn chunk_key(&mut self, split: &SplitOptions) -> Result<Vec<String>> {
        let found = self.split_table(split)?;
        self.with_driver(|conn| {
            Ok(match planned(conn, &found, split)? {
                Planned::Key(facts, plan) => {
                    let columns = plan.key.columns.iter();
                    columns.map(|column| facts.describe(column)).collect()
                }
                Planned::OneChunk(_) => Vec::new(),
            })
        })
    }

    /// Sets the session's clock to `moment`. Returns whether the server lets it.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the connection is lost.
    pub fn stop_clock(&mut self, moment: &str) -> Result<bool> {
        let set = format!("SET timestamp = {moment}");
        self.with_driver(|conn| {
            let set = allow_refusal(driver::run(conn, &set)).map_err(failed)?;
            Ok(set.is_ok())
        })
    }

    /// Returns the table that `split` divides.
    fn split_table(&mut self, split: &SplitOptions) -> Result<SplitTable> {
        self.key_table(split.table.as_ref(), split.by.as_ref())
    }

    /// Returns `table`, or that of the bound statement whose columns `by` names.
    fn key_table(
        &mut self,
        table: Option<&TableName>,
        by: Option<&SplitColumns>,
    ) -> Result<SplitTable> {
        if let Some(rows) = self.session.row_limit {
            let what = format!(
                "an init statement limits results to {rows} rows (sql_select_limit), so that some would be missing"
            );
            return Err(Error::new(ErrorKind::Query, what).with_hint("leave that out"));
        }
        match table {
            Some(table) => self.named_table(table),
            None => self.table_of_statement(by),
        }
    }

    /// Returns `table` with its database.
    fn named_table(&mut self, table: &TableName) -> Result<SplitTable> {
        let database = match &table.database {
            Some(database) => database.clone(),
            None => self.with_driver(default_database)?,
        };
        Ok(SplitTable {
            database,
            table: table.table.clone(),
            qualifier: None,
        })
    }

    /// Returns the table of the bound statement whose columns `by` names.
    fn table_of_statement(&mut self, by: Option<&SplitColumns>) -> Result<SplitTable> {
        let items = from_items(&self.bound.without_strings());
        let qualifier = by.and_then(|by| by.qualifier.as_deref());
        let is_meant = |item: &&FromItem| {
            qualifier.is_none_or(|name| item.alias.to_lowercase() == name.to_lowercase())
        };
        let meant: Vec<&FromItem> = items.iter().filter(is_meant).collect();
        let item = match (&meant[..], qualifier) {
            ([item], _) => *item,
            ([], Some(name)) => {
                return Err(no_table(&format!(
                    "the statement has no {name} in its FROM"
                )));
            }
            ([], None) => return Err(no_table("the statement has no table in its FROM")),
            (several, _) => {
                let names: Vec<&str> = several.iter().map(|item| &*item.alias).collect();
                let what = format!("the statement reads several tables ({})", names.join(", "));
                return Err(no_table(&what));
            }
        };
        let alias = &item.alias;
        let Some(table) = &item.table else {
            let what = format!(
                "{alias} is a result of the statement, and only tables and views are divided"
            );
            return Err(Error::new(ErrorKind::Query, what)
                .with_hint("name another table: --split-by TABLE.COLUMN"));
        };
        let database = match &item.database {
            Some(database) => database.clone(),
            None => self.with_driver(default_database)?,
        };
        Ok(SplitTable {
            database,
            table: table.clone(),
            qualifier: Some(alias.clone()),
        })
    }
}

/// Returns the moment of the session's clock.
fn moment(conn: &mut Conn) -> Result<String> {
    let rows = ask(conn, "SELECT @@SESSION.timestamp").map_err(failed)?;
    let moment = rows.first().and_then(|row| text(row, 0));
    let is_number = |text: &String| text.parse::<f64>().is_ok();
    let unknown = || Error::new(ErrorKind::Query, "the server does not say what time it is");
    moment.filter(is_number).ok_or_else(unknown)
}

/// How a table is divided.
enum Planned {
    /// By a key.
    Key(TableFacts, KeyPlan),
    /// Not at all, for this reason.
    OneChunk(String),
}

/// Finds out how `table` is divided as `split` says.
fn planned(conn: &mut Conn, table: &SplitTable, split: &SplitOptions) -> Result<Planned> {
    let by = split.by.as_ref().map(|by| &by.names[..]);
    let facts = TableFacts::read(conn, table).map_err(failed)?;
    let plan = match facts.plan(table, by, TableUse::Split) {
        // One of many tables, which nothing divides.
        Err(error) if split.without_key == WithoutKey::OneChunk && by.is_none() => {
            return Ok(Planned::OneChunk(error.message().to_owned()));
        }
        plan => plan?,
    };
    refuse_moving_zone(conn, &facts, &plan.key)?;
    refuse_unpadded_text(conn, &facts, &plan.key)?;
    Ok(Planned::Key(facts, plan))
}

fn no_table(what: &str) -> Error {
    Error::new(ErrorKind::Query, what)
        .with_hint("name the table and the columns of its key: --split-by TABLE.COLUMN")
}

/// Returns the session's database.
fn default_database(conn: &mut Conn) -> Result<String> {
    let rows = ask(conn, "SELECT DATABASE()").map_err(failed)?;
    let database = rows.first().and_then(|row| text(row, 0));
    database.ok_or_else(|| {
        let what = "no database is chosen for the table that is divided";
        Error::new(ErrorKind::Query, what).with_hint("write DATABASE.TABLE, or --database NAME")
    })
}

/// Returns the conditions of the ranges that begin at the start, and at each of `bounds`.
fn conditions(key: &Key, bounds: &[KeyValue]) -> Vec<String> {
    let lower = std::iter::once(None).chain(bounds.iter().map(Some));
    let upper = bounds.iter().map(Some).chain([None]);
    lower
        .zip(upper)
        .map(|(lower, upper)| key.range(lower, upper))
        .collect()
}

/// Refuses a TIMESTAMP in `key` where two moments may have one text, so that rows are
/// compared in another order than they have. Returns the session's time zone, if there is
/// one.
fn refuse_moving_zone(conn: &mut Conn, facts: &TableFacts, key: &Key) -> Result<Option<String>> {
    let is_timestamp = |column: &&KeyColumn| {
        let found = facts.columns.get(&column.name);
        found.is_some_and(|found| found.data_type == "timestamp")
    };
    let Some(column) = key.columns.iter().find(is_timestamp) else {
        return Ok(None);
    };
    let rows = ask(conn, "SELECT @@SESSION.time_zone").map_err(failed)?;
    let zone = rows
        .first()
        .and_then(|row| text(row, 0))
        .unwrap_or_default();
    if zone.starts_with(['+', '-']) || zone.eq_ignore_ascii_case("UTC") {
        return Ok(Some(zone));
    }
    let what = format!(
        "{} is a TIMESTAMP, and in the time zone {zone} an hour may come twice",
        column.name
    );
    Err(Error::new(ErrorKind::Query, what).with_hint("read in UTC: --time-zone +00:00"))
}

/// Refuses a CHAR in `key` whose collation does not pad, where values come with blanks at
/// their end: a range of such an index ends too early where values have a character that sorts
/// before the blank. So it is on MariaDB, and on MySQL in the mode PAD_CHAR_TO_FULL_LENGTH.
fn refuse_unpadded_text(conn: &mut Conn, facts: &TableFacts, key: &Key) -> Result<()> {
    for column in &key.columns {
        let Some(found) = facts.columns.get(&column.name) else {
            continue;
        };
        let (Some(charset), Some(collation)) = (&found.charset, &found.collation) else {
            continue;
        };
        if found.data_type != "char" || !(connect::is_mariadb(conn) || pads_char(conn)?) {
            continue;
        }
        let with_blank = format!(
            "SELECT CONVERT('a' USING {charset}) COLLATE {collation} = CONVERT('a ' USING {charset})"
        );
        let rows = ask(conn, &with_blank).map_err(failed)?;
        if rows.first().and_then(|row| text(row, 0)).as_deref() == Some("1") {
            continue;
        }
        let what = format!(
            "{} is a CHAR in the collation {collation} without padding, in which the server may leave rows out of a range",
            column.name
        );
        return Err(Error::new(ErrorKind::Query, what)
            .with_hint("choose another column: --split-by COLUMN"));
    }
    Ok(())
}

/// Whether CHARs come with blanks at their end.
fn pads_char(conn: &mut Conn) -> Result<bool> {
    let rows = ask(conn, "SELECT @@SESSION.sql_mode").map_err(failed)?;
    let mode = rows.first().and_then(|row| text(row, 0));
    Ok(mode.is_some_and(|mode| mode.contains("PAD_CHAR_TO_FULL_LENGTH")))
}

/// The table that is divided.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SplitTable {
    database: String,
    table: String,
    /// The name that its columns have in the statement; `None` if they are not qualified.
    qualifier: Option<String>,
}

impl std::fmt::Display for SplitTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name().to_text())
    }
}

impl SplitTable {
    fn name(&self) -> TableName {
        TableName {
            database: Some(self.database.clone()),
            table: self.table.clone(),
        }
    }
}

/// What the server says of the columns and indexes of a table.
struct TableFacts {
    columns: BTreeMap<String, ColumnFacts>,
    /// In the order of their names, the primary key first.
    indexes: Vec<Index>,
    is_view: bool,
}

struct ColumnFacts {
    data_type: String,
    charset: Option<String>,
    is_nullable: bool,
    /// The type with its arguments and attributes.
    declared: String,
    collation: Option<String>,
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
enum TableUse {
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
struct KeyPlan {
    key: Key,
    /// The columns that rows are ordered by.
    order: Vec<String>,
    /// The index that has the columns of the key first.
    index: Option<String>,
    warning: Option<String>,
}

impl TableFacts {
    fn read(conn: &mut Conn, table: &SplitTable) -> mysql::Result<Self> {
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
    fn describe(&self, column: &KeyColumn) -> String {
        let facts = self.columns.get(&column.name);
        let declared = facts.map(|facts| facts.declared.clone());
        let collation = facts.and_then(|facts| facts.collation.clone());
        let words = [Some(column.name.clone()), declared, collation];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Returns the name and the collation of `column`, by which its values have their order.
    fn identity(&self, column: &KeyColumn) -> String {
        let facts = self.columns.get(&column.name);
        match facts.and_then(|facts| facts.collation.as_ref()) {
            Some(collation) => format!("{} {collation}", column.name),
            None => column.name.clone(),
        }
    }

    /// Returns how `table` is divided: by the columns `by`, or by a unique key.
    fn plan(
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

    /// Whether no two rows have the same values in the columns called `names`.
    fn is_unique(&self, names: &[&str]) -> bool {
        let is_there = |name: &Option<String>| {
            let name = name.as_deref();
            name.is_some_and(|name| names.contains(&name))
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
