//! Finds which rows of a table are new since the last run: those whose key is after the one
//! that was kept, up to the highest key of the snapshot.

use std::time::Duration;

use serde::{Deserialize, Serialize};

mod since;
mod warnings;

use super::{
    SplitTable,
    bounds::Finder,
    facts::{ColumnFacts, KeyPlan, TableFacts, TableUse},
    failed, refuse_moving_zone, refuse_unpadded_text,
};
use crate::{
    error::{Error, ErrorKind, Result},
    source::{
        QueryExecutor,
        driver::{ask, text},
    },
    sql::{Key, KeyValue, Literal, SplitColumns, TableName},
};

/// Which rows of a table are new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncrementOptions {
    /// The table; `None` if it is that of the statement.
    pub table: Option<TableName>,
    /// The columns of the key by which rows are new.
    pub by: SplitColumns,
    /// How far from the end the increment stays.
    pub lag: Option<Lag>,
    /// What the statement has of the increment.
    pub form: IncrementForm,
}

/// What a statement has of an increment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncrementForm {
    /// A condition.
    Condition,
    /// The value that the rows are after, and perhaps that up to which they are.
    Values,
}

/// How far from the end of the table an increment stays, because transactions that are still
/// open may add rows there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lag {
    /// So much time before now, for dates and times.
    Time(Duration),
    /// So many numbers below the highest, for whole numbers.
    Count(u64),
}

/// The key of the last row that was read, and what it is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The table, with its database.
    pub table: String,
    /// The columns of the key, each with the kind of its values and its collation.
    pub columns: Vec<String>,
    /// Their values: texts and bytes in hexadecimal digits. The first is NULL if only rows
    /// without a value have been read.
    pub values: Vec<Option<String>>,
    /// The session's time zone, if a column is a TIMESTAMP.
    pub time_zone: Option<String>,
}

/// Where an increment begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncrementStart {
    /// At the first row.
    Everything,
    /// At this value of the first column, included.
    From(String),
    /// Behind the last row of an earlier run.
    After(Box<Mark>),
}

/// The rows that are new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Increment {
    /// Their condition.
    pub condition: String,
    /// The value that they are after, in SQL; `NULL` if there are none.
    pub since: String,
    /// The value up to which they are, in SQL; `NULL` if there are none.
    pub until: String,
    /// The key of the last of them; `None` if there is none.
    pub mark: Option<Mark>,
    /// Whether there are any.
    pub is_new: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// The length of the text of a date, and of a date with its time in seconds.
const DATE_LENGTH: usize = 10;
const SECOND_LENGTH: usize = 19;

/// The word in SQL for no value.
const NULL: &str = "NULL";

impl QueryExecutor {
    /// Finds the rows that are new as `options` say, from `start` on. Without a table there,
    /// it is the table of the bound statement.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the table has no such columns, or some that have no order;
    /// [`ErrorKind::Config`] if `start` does not fit them.
    pub fn increment(
        &mut self,
        options: &IncrementOptions,
        start: &IncrementStart,
    ) -> Result<Increment> {
        let found = self.key_table(options.table.as_ref(), Some(&options.by))?;
        refuse_optional(&found)?;
        let moment = self.snapshot_moment.clone();
        let increment = self.with_driver(|conn| {
            let facts = TableFacts::read(conn, &found).map_err(failed)?;
            let names = &options.by.names[..];
            let plan = facts.plan(&found, Some(names), TableUse::Increment)?;
            refuse_unpadded_text(conn, &facts, &plan.key)?;
            let time_zone = refuse_moving_zone(conn, &facts, &plan.key)?;
            let finder = Finder::new(conn, &found, &plan, facts.is_view);
            let mut search = Search {
                finder,
                facts: &facts,
                plan: &plan,
                table: &found,
                time_zone,
                moment,
            };
            search.increment(options, start)
        })?;
        tracing::info!("new in {found} is what has {}", increment.condition);
        Ok(increment)
    }
}

/// The search for the rows that are new.
struct Search<'a> {
    finder: Finder<'a>,
    facts: &'a TableFacts,
    plan: &'a KeyPlan,
    table: &'a SplitTable,
    /// The session's time zone, if the key has a TIMESTAMP.
    time_zone: Option<String>,
    /// When the snapshot began, or a moment before, as seconds since 1970 with a fraction.
    moment: Option<String>,
}

impl Search<'_> {
    fn increment(
        &mut self,
        options: &IncrementOptions,
        start: &IncrementStart,
    ) -> Result<Increment> {
        let key = &self.plan.key;
        let cutoff = options.lag.map(|lag| self.cutoff(lag)).transpose()?;
        let from = self.start(start)?;
        let has_value = is_not_null(key);
        let above = |key: &Key| cutoff.as_ref().map(|cutoff| cutoff.condition(key, start));
        let new = all([lower(key, &from), above(key)]);
        let is_new = self.finder.first(key, &new)?.is_some();
        let mut last = self
            .finder
            .last_texts(key, &format!("{new} AND {has_value}"))?;
        let until = last.as_ref().and_then(|texts| key.value(texts));
        if until.is_none() && is_new {
            // Only rows without a value, which must not come again.
            last = Some(vec![None; key.columns.len()]);
        }
        let in_statement = Key {
            qualifier: self.table.qualifier.clone(),
            ..key.clone()
        };
        let since = match (options.form, &until) {
            (IncrementForm::Values, Some(_)) => self.since(&from)?,
            _ => NULL.to_owned(),
        };
        Ok(Increment {
            condition: all([
                self::lower(&in_statement, &from),
                Some(upper(&in_statement, until.as_ref(), start)),
            ]),
            since,
            until: literal_of(until.as_ref()),
            warnings: self.warnings(options, start, &from, is_new)?,
            mark: last.map(|values| Mark {
                table: self.table.to_string(),
                columns: self.columns(),
                values,
                time_zone: self.time_zone.clone(),
            }),
            is_new,
        })
    }

    /// Returns the columns of the key, each with the kind of its values and its collation.
    fn columns(&self) -> Vec<String> {
        let columns = self.plan.key.columns.iter();
        columns.map(|column| self.facts.identity(column)).collect()
    }

    /// Returns the key at which the increment starts, and whether it is included.
    fn start(&mut self, start: &IncrementStart) -> Result<From> {
        let key = &self.plan.key;
        let mark = match start {
            IncrementStart::Everything => return Ok(From::Everything),
            IncrementStart::From(text) => return self.start_of_user(text),
            IncrementStart::After(mark) => mark,
        };
        let columns = self.columns();
        let hint = "read everything again after you have removed the export's entry from the state, or give --since";
        let table = self.table.to_string();
        if mark.table != table {
            let what = format!(
                "the state has the last row of {}, and the rows are those of {table}",
                mark.table
            );
            return Err(Error::config(what).with_hint(hint));
        }
        if mark.columns != columns {
            let (then, now) = (mark.columns.join(", "), columns.join(", "));
            let what = format!("the state has the last row by {then}, and rows are new by {now}");
            return Err(Error::config(what).with_hint(hint));
        }
        if mark.time_zone != self.time_zone {
            let zone = |zone: &Option<String>| zone.clone().unwrap_or_else(|| "none".to_owned());
            let (then, now) = (zone(&mark.time_zone), zone(&self.time_zone));
            let what = format!(
                "the state has a TIMESTAMP in the time zone {then}, and the session has {now}"
            );
            return Err(Error::config(what).with_hint("set the same --time-zone as before"));
        }
        let unreadable =
            || Error::config("the state has a key that no row can have").with_hint(hint);
        if mark.values.len() != key.columns.len() {
            return Err(unreadable());
        }
        let value = key.value(&mark.values).ok_or_else(unreadable)?;
        Ok(match value.leading() {
            Some(_) => From::Mark(value),
            None => From::Values,
        })
    }

    /// The type of the first column, without its arguments.
    fn data_type(&self) -> &str {
        let found = self.facts.columns.get(&self.plan.key.columns[0].name);
        found.map_or("", |found| &found.data_type)
    }

    /// Whether the first column has numbers.
    fn is_number(&self) -> bool {
        let literal = &self.plan.key.columns[0].literal;
        matches!(literal, Literal::Integer | Literal::Decimal)
    }

    /// Whether the first column has dates with days.
    fn has_dates(&self) -> bool {
        matches!(self.data_type(), "date" | "datetime" | "timestamp")
    }

    /// Returns how far the rows go that are read, with this `lag`.
    fn cutoff(&mut self, lag: Lag) -> Result<Cutoff> {
        let column = &self.plan.key.columns[0];
        let wrong = |hint: &str| {
            let what = format!("the lag does not fit {}", self.facts.describe(column));
            Err(Error::config(what).with_hint(hint))
        };
        match lag {
            _ if !self.has_dates() && column.literal != Literal::Integer => {
                wrong("only whole numbers, dates and times have one: leave it out")
            }
            Lag::Time(_) if !self.has_dates() => {
                wrong("of whole numbers, it is a number: lag = 1000")
            }
            Lag::Count(_) if column.literal != Literal::Integer => {
                wrong("of dates and times, it is a time: lag = \"5m\"")
            }
            Lag::Time(time) => {
                let unknown =
                    || Error::new(ErrorKind::Query, "the server does not say what time it is");
                // Not the present: what waited after the snapshot began would use the lag up.
                let moment = self.moment.clone().ok_or_else(unknown)?;
                let (seconds, micros) = (time.as_secs(), time.subsec_micros());
                let before =
                    format!("SELECT CAST(FROM_UNIXTIME({moment} - {seconds}.{micros:06}) AS CHAR)");
                let before = self.ask(&before)?.ok_or_else(unknown)?;
                let before = self.rounded_down(&before);
                let value = self.plan.key.value_of_user(before).ok_or_else(unknown)?;
                Ok(Cutoff::Before(literal_of(Some(&value))))
            }
            Lag::Count(count) => {
                let leading = self.plan.key.leading();
                let last = self.finder.last(&leading, &is_not_null(&leading))?;
                let last = last.and_then(|key| key.leading_integer());
                Ok(match last {
                    Some(last) => Cutoff::UpTo((last - i128::from(count)).to_string()),
                    None => Cutoff::UpTo(NULL.to_owned()),
                })
            }
        }
    }

    /// Returns the text of a moment up to the digits that the first column has. Values of the
    /// unit in which the moment is may still come.
    fn rounded_down<'b>(&self, moment: &'b str) -> &'b str {
        let column = self.facts.columns.get(&self.plan.key.columns[0].name);
        let digits = column.map_or(0, ColumnFacts::fraction);
        let length = match (self.data_type(), digits) {
            ("date", _) => DATE_LENGTH,
            (_, 0) => SECOND_LENGTH,
            (_, digits) => SECOND_LENGTH + 1 + digits,
        };
        moment.get(..length).unwrap_or(moment)
    }

    /// Asks for one value.
    fn ask(&mut self, question: &str) -> Result<Option<String>> {
        let rows = ask(self.finder.conn(), question).map_err(failed)?;
        Ok(rows.first().and_then(|row| text(row, 0)))
    }
}

/// Where the rows begin.
enum From {
    Everything,
    /// At the first row with a value.
    Values,
    /// Included.
    Value(KeyValue),
    /// Excluded.
    Mark(KeyValue),
}

/// Where the rows end that a lag leaves.
enum Cutoff {
    /// Before this value in SQL.
    Before(String),
    /// With this value in SQL.
    UpTo(String),
}

impl Cutoff {
    /// Returns the condition that a row is not behind it.
    fn condition(&self, key: &Key, start: &IncrementStart) -> String {
        let name = key.leading().order("");
        let within = match self {
            Self::Before(value) => format!("{name} < {value}"),
            Self::UpTo(value) => format!("{name} <= {value}"),
        };
        match start {
            // Rows without a value are not behind anything.
            IncrementStart::Everything => format!("({within} OR {name} <=> NULL)"),
            _ => within,
        }
    }
}

/// Returns the condition that a row is not before `from`.
fn lower(key: &Key, from: &From) -> Option<String> {
    match from {
        From::Everything => None,
        From::Values => Some(is_not_null(key)),
        From::Value(value) => Some(key.range(Some(value), None)),
        From::Mark(value) => Some(key.range_after(value, None)),
    }
}

/// Returns the condition that a row is not behind `until`, the last one that is read. In the
/// first run, rows without a value are not behind it.
fn upper(key: &Key, until: Option<&KeyValue>, start: &IncrementStart) -> String {
    let name = key.leading().order("");
    let nulls = format!("{name} <=> NULL");
    let Some(until) = until else {
        return match start {
            IncrementStart::Everything => nulls,
            _ => "1 = 0".to_owned(),
        };
    };
    let within = key.range_up_to(until);
    match start {
        IncrementStart::Everything => format!("({within} OR {nulls})"),
        _ => format!("({within})"),
    }
}

/// Refuses a table of an outer join whose columns may be NULL there: rows that it has no match
/// for would come with the first run only.
fn refuse_optional(table: &SplitTable) -> Result<()> {
    if !table.is_optional {
        return Ok(());
    }
    let alias = table.qualifier.as_deref().unwrap_or_default();
    let what = format!("an outer join makes NULL of the columns of {alias}, by which rows are new");
    Err(Error::new(ErrorKind::Query, what)
        .with_hint("follow the table whose rows all come, or write JOIN"))
}

fn is_not_null(key: &Key) -> String {
    format!("{} IS NOT NULL", key.leading().order(""))
}

fn all(conditions: [Option<String>; 2]) -> String {
    let conditions: Vec<String> = conditions.into_iter().flatten().collect();
    match conditions.is_empty() {
        true => "1 = 1".to_owned(),
        false => conditions.join(" AND "),
    }
}

/// The first value of `key` in SQL.
fn literal_of(key: Option<&KeyValue>) -> String {
    key.and_then(KeyValue::leading).unwrap_or(NULL).to_owned()
}
