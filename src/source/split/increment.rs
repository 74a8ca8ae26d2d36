//! Finds which rows of a table are new since the last run: those whose key is after the one
//! that was kept, up to the highest key of the snapshot.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

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
        time_zone::zone_with_summer_time,
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

/// The most by which clocks go back once or twice a year.
const LONGEST_CLOCK_CHANGE: Duration = Duration::from_secs(3600);

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
            IncrementStart::From(text) => {
                let value = key.value_of_user(text).filter(|_| self.is_readable(text));
                let column = &key.columns[0];
                let hint = self.form_of_values();
                let what = format!(
                    "the value of since, {text:?}, is none of {}",
                    self.facts.describe(column)
                );
                let wrong = || Error::config(what.clone()).with_hint(hint);
                let value = value.ok_or_else(wrong)?;
                if !self.is_on_calendar(&value)? {
                    return Err(wrong());
                }
                return Ok(From::Value(value));
            }
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

    /// How a value of the first column is written, as a hint.
    fn form_of_values(&self) -> &'static str {
        match self.data_type() {
            "date" | "datetime" | "timestamp" => "write 2026-11-28 or 2026-11-28 09:30:00",
            "time" => "write 09:30:00, up to 838:59:59",
            "year" => "write a year from 1901 to 2155, or 0000",
            "uuid" => "write it with its hyphens, in hexadecimal digits",
            "inet4" | "inet6" => "write an address",
            _ => "write a number",
        }
    }

    /// Whether `text` has the form of the first column's values, if the server would read
    /// another text as some value of its own.
    fn is_readable(&self, text: &str) -> bool {
        let is_like = |text: &str, pattern: &str| {
            let same = text.bytes().zip(pattern.bytes());
            let mut same = same.map(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                b'x' => byte.is_ascii_hexdigit(),
                _ => byte == form,
            });
            text.len() == pattern.len() && same.all(|is_same| is_same)
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_fraction =
            (1..=6).contains(&fraction.len()) && fraction.bytes().all(|byte| byte.is_ascii_digit());
        match self.data_type() {
            "date" | "datetime" | "timestamp" => {
                is_like(text, "0000-00-00") || is_like(whole, "0000-00-00 00:00:00") && is_fraction
            }
            "time" => {
                let time = whole.strip_prefix('-').unwrap_or(whole);
                let forms = ["00:00:00", "000:00:00"];
                let hours = time.split(':').next().and_then(|hours| hours.parse().ok());
                let is_short = hours.is_some_and(|hours: u32| hours <= 838);
                is_short && is_fraction && forms.iter().any(|form| is_like(time, form))
            }
            "year" => {
                let year = text.parse().unwrap_or(0);
                text == "0000" || is_like(text, "0000") && (1901..=2155).contains(&year)
            }
            "uuid" => is_like(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
            "inet4" => text.parse::<Ipv4Addr>().is_ok(),
            "inet6" => text.parse::<Ipv6Addr>().is_ok(),
            _ => true,
        }
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

    /// Whether a date or a time is one that the server knows.
    fn is_on_calendar(&mut self, value: &KeyValue) -> Result<bool> {
        let as_type = match self.data_type() {
            "date" | "datetime" | "timestamp" => "DATETIME(6)",
            "time" => "TIME(6)",
            _ => return Ok(true),
        };
        let literal = literal_of(Some(value));
        let question = format!("SELECT CAST({literal} AS {as_type})");
        Ok(self.ask(&question)?.is_some())
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

    /// Returns the value in SQL that the rows are after.
    fn since(&mut self, from: &From) -> Result<String> {
        let key = &self.plan.key;
        match from {
            From::Mark(value) => return Ok(literal_of(Some(value))),
            From::Value(value) => {
                let before = format!("{} AND {}", key.range(None, Some(value)), is_not_null(key));
                if let Some(last) = self.finder.last(key, &before)? {
                    return Ok(literal_of(Some(&last)));
                }
            }
            From::Everything | From::Values => {}
        }
        self.below_all()
    }

    /// Returns a value in SQL that is less than those of all rows.
    fn below_all(&mut self) -> Result<String> {
        let (key, has_value) = (&self.plan.key, is_not_null(&self.plan.key));
        let first = self.finder.first(key, &has_value)?;
        let first = literal_of(first.as_ref());
        let column = &key.columns[0];
        let below = match column.literal {
            Literal::Integer | Literal::Decimal => {
                self.ask(&format!("SELECT CAST(({first}) - 1 AS CHAR)"))?
            }
            Literal::Quoted if self.has_dates() => {
                let before = format!("SELECT CAST({first} - INTERVAL 1 SECOND AS CHAR)");
                self.ask(&before)?.map(|text| format!("'{text}'"))
            }
            Literal::Text(_) | Literal::Bytes => Some("''".to_owned()),
            Literal::Quoted => None,
        };
        let is_below = match &below {
            // As the statement asks: an index may answer otherwise than the comparison.
            Some(below) => {
                let name = key.order("");
                let is_above = format!("{name} > {below} AND {name} <= {first}");
                self.finder.first(key, &is_above)?.is_some()
            }
            None => false,
        };
        let unknown = || {
            let what = format!(
                "no value of {} is less than that of the first row, which :since would leave out",
                self.facts.describe(column)
            );
            Error::new(ErrorKind::Query, what)
                .with_hint("write :increment in the place of COLUMN > :since AND COLUMN <= :until")
        };
        below.filter(|_| is_below).ok_or_else(unknown)
    }

    /// Returns what the user should know of the increment.
    fn warnings(
        &mut self,
        options: &IncrementOptions,
        start: &IncrementStart,
        from: &From,
        is_new: bool,
    ) -> Result<Vec<String>> {
        let (key, table, mut warnings) = (&self.plan.key, self.table, Vec::new());
        let names: Vec<&str> = key.columns.iter().map(|column| &*column.name).collect();
        let (first, all_names) = (names[0], names.join(", "));
        if self.plan.index.is_none() && !self.facts.is_view {
            warnings.push(format!(
                "{table} has no index that begins with {all_names}: all of it is read to find what is new"
            ));
        }
        match options.lag {
            Some(Lag::Time(lag)) => warnings.extend(self.warning_of_clocks(lag)?),
            _ if self.has_dates() => warnings.push(format!(
                "rows that are added or changed later within the same {first} as the last one, or that a transaction still holds back, are in no increment: add a lag, such as --lag 5m"
            )),
            // Other values than numbers do not grow.
            _ if self.is_number() && self.facts.is_unique(&names[..1]) => {}
            _ => warnings.push(format!(
                "rows that are added later with the same {all_names} as the last one, or a lower one, are in no increment: follow a number that grows and is unique by itself, or the time of the change, with a lag"
            )),
        }
        let has_all =
            *start == IncrementStart::Everything && options.form == IncrementForm::Condition;
        let may_be_null = self
            .facts
            .columns
            .get(first)
            .is_some_and(|found| found.is_nullable);
        if may_be_null && !has_all {
            let nulls = format!("{} IS NULL", key.leading().order(""));
            if self.finder.first(key, &nulls)?.is_some() {
                warnings.push(format!("rows whose {first} is NULL are in no increment"));
            }
        }
        if let (From::Mark(mark), false) = (from, is_new)
            && self.finder.first(key, "1 = 1")?.is_some()
            && self
                .finder
                .first(key, &key.range(Some(mark), None))?
                .is_none()
        {
            warnings.push(format!(
                "the highest {all_names} of {table} is below that of the last run: if rows were replaced, remove the export's entry from the state"
            ));
        }
        Ok(warnings)
    }

    /// Returns the warning that clocks of the session's zone may go back by more than `lag`:
    /// a DATETIME then has an hour twice.
    fn warning_of_clocks(&mut self, lag: Duration) -> Result<Option<String>> {
        if self.data_type() != "datetime" || lag > LONGEST_CLOCK_CHANGE {
            return Ok(None);
        }
        let zone = zone_with_summer_time(self.finder.conn()).map_err(failed)?;
        let Some(zone) = zone else {
            return Ok(None);
        };
        let first = &self.plan.key.columns[0].name;
        Ok(Some(format!(
            "the session's time zone is {zone}: if {first} is in UTC, say --time-zone +00:00; if it is in that zone, clocks that go back by an hour need a lag of that hour and what transactions need, such as --lag 65m"
        )))
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
