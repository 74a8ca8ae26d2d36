//! Guards: conditions on the rows and columns of a result. They catch queries that
//! succeed but return the wrong data.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    artifacts::history::LastSuccess,
    error::{Error, ErrorKind, Result},
    pipeline::RowObserver,
    row::Row,
    schema::{ColumnDescription, Schema},
    text::counted,
};

/// The conditions under which a result is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Guards {
    /// The least number of rows.
    pub min_rows: Option<u64>,
    /// The greatest number of rows.
    pub max_rows: Option<u64>,
    /// The names of the columns, in this order. If it is empty, any columns pass.
    pub columns: Vec<String>,
    /// The greatest change of the row count since the last success, as a part of the
    /// earlier count.
    pub max_change: Option<Percent>,
    /// Whether the columns must be those of the last success.
    pub schema: SchemaPolicy,
}

impl Guards {
    /// Returns the guards of a part of the rows, which are counted when all have come.
    pub(super) fn of_a_part(&self) -> Self {
        Self {
            min_rows: None,
            max_rows: None,
            max_change: None,
            ..self.clone()
        }
    }

    /// Returns whether one of the guards compares with the last success.
    #[must_use]
    pub fn needs_history(&self) -> bool {
        self.max_change.is_some() || self.schema == SchemaPolicy::Unchanged
    }
}

/// Whether the columns must be those of the last success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum SchemaPolicy {
    /// They may be others
    #[default]
    Any,
    /// Their names, order and types must be the same
    #[cfg_attr(feature = "cli", value(name = "pinned"))]
    Unchanged,
}

/// A percentage, in ten thousandths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u64);

impl Percent {
    /// The number of units in one percent.
    const UNITS_PER_PERCENT: u64 = 10_000;

    /// Returns whether `change` is a larger part of `whole` than this percentage.
    #[must_use]
    pub fn is_exceeded(self, change: u64, whole: u64) -> bool {
        let hundred_percent = u128::from(100 * Self::UNITS_PER_PERCENT);
        u128::from(change) * hundred_percent > u128::from(whole) * u128::from(self.0)
    }
}

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const INVALID: &str = "write a percentage, such as 20% or 0.5%";
        let number = text.strip_suffix('%').ok_or(INVALID)?.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) || fraction.is_empty() || fraction.len() > 4 {
            return Err(INVALID);
        }
        let whole: u32 = whole.parse().map_err(|_| INVALID)?;
        let fraction: u64 = format!("{fraction:0<4}").parse().map_err(|_| INVALID)?;
        Ok(Self(u64::from(whole) * Self::UNITS_PER_PERCENT + fraction))
    }
}

impl TryFrom<String> for Percent {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = self.0 / Self::UNITS_PER_PERCENT;
        let fraction = self.0 % Self::UNITS_PER_PERCENT;
        let fraction = format!(".{fraction:04}");
        write!(f, "{whole}{}%", fraction.trim_end_matches(['0', '.']))
    }
}

/// The hint of a guard that compares with the last success.
const RESET_HINT: &str =
    "where that is as it should be, remove the export's entry from the state file";

/// The hint of every other guard.
const HINT: &str =
    "nothing was wrong on the server's side: look at the query and the data, or change the guard";

/// Checks a result against [`Guards`] while its rows arrive.
pub(super) struct GuardObserver<'a> {
    guards: &'a Guards,
    /// The row count above which the export fails.
    max_rows: u64,
    /// The last success of the export.
    last: Option<&'a LastSuccess>,
}

impl<'a> GuardObserver<'a> {
    /// Creates an observer that checks `guards`, and compares with the success
    /// `last`.
    pub(super) fn new(guards: &'a Guards, last: Option<&'a LastSuccess>) -> Self {
        Self {
            guards,
            max_rows: guards.max_rows.unwrap_or(u64::MAX),
            last,
        }
    }
}

/// Says how many rows there are.
fn there_are(rows: u64) -> String {
    let verb = if rows == 1 { "is" } else { "are" };
    format!("there {verb} {}", counted(rows, "row"))
}

impl RowObserver for GuardObserver<'_> {
    fn columns(&mut self, schema: &Schema) -> Result<()> {
        check_columns(self.guards, schema, self.last)
    }

    #[inline]
    fn row(&mut self, _row: Row<'_>, number: u64) -> Result<()> {
        check_most_rows(self.max_rows, number)
    }

    fn end(&mut self, rows: u64) -> Result<()> {
        check_row_count(self.guards, rows, self.last)
    }
}

/// Checks the columns before the first row, and compares them with those of the
/// success `last` if a guard requires it and there was one.
///
/// # Errors
/// [`ErrorKind::Guard`], naming the first column that differs.
pub(super) fn check_columns(
    guards: &Guards,
    schema: &Schema,
    last: Option<&LastSuccess>,
) -> Result<()> {
    if let (SchemaPolicy::Unchanged, Some(last)) = (guards.schema, last) {
        check_unchanged(schema, last)?;
    }
    if guards.columns.is_empty() {
        return Ok(());
    }
    let mut expected = guards.columns.iter();
    let mut found = schema.columns.iter().map(|column| &column.name);
    for number in 1.. {
        let problem = match (expected.next(), found.next()) {
            (None, None) => break,
            (expected, found) if expected == found => continue,
            (Some(expected), Some(found)) => format!("is {found:?}, not {expected:?}"),
            (Some(expected), None) => format!("is missing: {expected:?}"),
            (None, Some(found)) => format!("is one too many: {found:?}"),
        };
        return Err(violation(&format!("column {number} {problem}")));
    }
    Ok(())
}

/// Checks that the columns are those of the success `last`.
fn check_unchanged(schema: &Schema, last: &LastSuccess) -> Result<()> {
    let mut before = last.columns.iter();
    let mut found = schema.columns.iter().map(ColumnDescription::from);
    for number in 1.. {
        let problem = match (before.next(), found.next()) {
            (None, None) => break,
            (Some(before), Some(found)) if *before == found => continue,
            (Some(before), Some(found)) => format!("is {found} and was {before}"),
            (Some(before), None) => format!("has gone: {before}"),
            (None, Some(found)) => format!("is new: {found}"),
        };
        return Err(violation(&format!("column {number} {problem}")).with_hint(RESET_HINT));
    }
    Ok(())
}

/// Checks the number of all rows, of a result that several observers have seen.
///
/// # Errors
/// [`ErrorKind::Guard`], if there are too many or too few rows, or if their number has
/// changed too much.
pub(super) fn check_all_rows(guards: &Guards, rows: u64, last: Option<&LastSuccess>) -> Result<()> {
    check_most_rows(guards.max_rows.unwrap_or(u64::MAX), rows)?;
    check_row_count(guards, rows, last)
}

/// Checks that there are no more than `max` rows.
#[inline]
fn check_most_rows(max: u64, rows: u64) -> Result<()> {
    if rows > max {
        let max = counted(max, "row");
        let problem = format!("there are more than {max}");
        return Err(violation(&problem));
    }
    Ok(())
}

/// Checks the number of rows after the last one, and compares it with that of the
/// success `last` if a guard requires it and there was one with rows.
///
/// # Errors
/// [`ErrorKind::Guard`], if there are too few rows, or if their number has changed
/// too much.
fn check_row_count(guards: &Guards, rows: u64, last: Option<&LastSuccess>) -> Result<()> {
    if let (Some(percent), Some(last)) = (guards.max_change, last.filter(|last| last.rows > 0))
        && percent.is_exceeded(rows.abs_diff(last.rows), last.rows)
    {
        let more = if rows > last.rows { "more" } else { "fewer" };
        let problem = format!(
            "{}, over {percent} {more} than the {} of last time",
            there_are(rows),
            last.rows
        );
        return Err(violation(&problem).with_hint(RESET_HINT));
    }
    match guards.min_rows {
        Some(min) if rows < min => {
            let problem = format!("{}, fewer than {min}", there_are(rows));
            Err(violation(&problem))
        }
        _ => Ok(()),
    }
}

/// Returns the error of a guard that is not satisfied because of `problem`.
#[cold]
fn violation(problem: &str) -> Error {
    Error::new(ErrorKind::Guard, format!("a guard tripped: {problem}")).with_hint(HINT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_percentages() {
        for (text, change, whole, exceeded) in [
            ("20%", 20, 100, false),
            ("20%", 21, 100, true),
            ("0%", 1, u64::MAX, true),
            ("0.5%", 5, 1000, false),
            ("0.0001 %", 2, 1_000_000, true),
            ("300%", u64::MAX, u64::MAX, false),
        ] {
            let percent: Percent = text.parse().expect(text);
            assert_eq!(percent.is_exceeded(change, whole), exceeded, "{text}");
        }
        for text in ["20", "%", ".5%", "-1%", "1.23456%", "1,5%", "99999999999%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
        assert_eq!(
            "0.50%".parse().map(|percent: Percent| percent.to_string()),
            Ok("0.5%".to_owned())
        );
        assert_eq!(
            "20%".parse().map(|percent: Percent| percent.to_string()),
            Ok("20%".to_owned())
        );
    }
}
