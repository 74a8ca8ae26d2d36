//! Divides the rows of a table into chunks: finds the key by which they are divided, and
//! makes a condition for each chunk. The module `bounds` finds where chunks begin,
//! `facts` what the server says of the table, `from` which table a statement means, and
//! `increment` which of its rows are new.

mod bounds;
mod facts;
mod from;
mod increment;

use std::num::{NonZeroU32, NonZeroU64};

use mysql::Conn;
use serde::{Deserialize, Serialize};

pub use self::increment::{Increment, IncrementForm, IncrementOptions, IncrementStart, Lag, Mark};
use self::{
    bounds::Finder,
    facts::{KeyPlan, TableFacts, TableUse},
    from::{FromItem, from_items},
};
use super::{
    QueryExecutor, codes, connect,
    driver::{self, ask, text},
    errors::{allow_refusal, query_error},
};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::{self, Key, KeyColumn, KeyValue, SplitColumns, TableName},
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
    let error = query_error("cannot read the key of the table", error);
    match is_of_date {
        true => error.with_hint(
            "let the session read dates that are none: --init \"SET sql_mode = 'ALLOW_INVALID_DATES'\"",
        ),
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
            is_optional: false,
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
                "{alias} is a result of the statement, and only tables and views are divided or followed"
            );
            return Err(Error::new(ErrorKind::Query, what)
                .with_hint("name another table: --split-by or --incremental TABLE.COLUMN"));
        };
        let database = match &item.database {
            Some(database) => database.clone(),
            None => self.with_driver(default_database)?,
        };
        Ok(SplitTable {
            database,
            table: table.clone(),
            qualifier: Some(alias.clone()),
            is_optional: item.is_optional,
        })
    }
}

/// Returns the moment of the session's clock.
pub(super) fn moment(conn: &mut Conn) -> Result<String> {
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
        .with_hint("name the table and its columns: --split-by or --incremental TABLE.COLUMN")
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
    /// Whether an outer join of the statement may make NULL of its columns.
    is_optional: bool,
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
