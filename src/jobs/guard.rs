//! Guards: what a result must be like to be published. A night whose query went
//! wrong without an error shows in its rows and columns.

use crate::{
    artifacts::history::Success,
    config::{Guards, PinnedSchema},
    error::{Error, ErrorKind, Result},
    schema::{ColumnDescription, Schema},
};

const FORGET: &str = "where that is as it should be, remove the export's entry from the state file";

const MEANT: &str =
    "nothing was wrong on the server's side: look at the query and the data, or change the guard";

/// Checks the columns, before any row; against those of the `last` success, where
/// that is wanted and there was one.
///
/// # Errors
/// [`ErrorKind::Guard`], naming the first that is another one.
pub fn check_columns(guards: &Guards, schema: &Schema, last: Option<&Success>) -> Result<()> {
    if let (PinnedSchema::Pinned, Some(last)) = (guards.schema, last) {
        check_pinned(schema, last)?;
    }
    if guards.columns.is_empty() {
        return Ok(());
    }
    let mut expected = guards.columns.iter();
    let mut found = schema.columns.iter().map(|column| &column.name);
    for number in 1.. {
        let what = match (expected.next(), found.next()) {
            (None, None) => break,
            (expected, found) if expected == found => continue,
            (Some(expected), Some(found)) => format!("is {found:?}, not {expected:?}"),
            (Some(expected), None) => format!("is missing: {expected:?}"),
            (None, Some(found)) => format!("is one too many: {found:?}"),
        };
        return Err(tripped(format!("column {number} {what}")));
    }
    Ok(())
}

fn check_pinned(schema: &Schema, last: &Success) -> Result<()> {
    let mut before = last.columns.iter();
    let mut found = schema.columns.iter().map(ColumnDescription::from);
    for number in 1.. {
        let what = match (before.next(), found.next()) {
            (None, None) => break,
            (Some(before), Some(found)) if *before == found => continue,
            (Some(before), Some(found)) => format!("is {found} and was {before}"),
            (Some(before), None) => format!("has gone: {before}"),
            (None, Some(found)) => format!("is new: {found}"),
        };
        return Err(tripped(format!("column {number} {what}")).with_hint(FORGET));
    }
    Ok(())
}

/// Checks the rows that have come so far.
///
/// # Errors
/// [`ErrorKind::Guard`] where there are more than there may be.
#[inline]
pub fn check_more(guards: &Guards, rows: u64) -> Result<()> {
    match guards.max_rows {
        Some(max) if rows > max => Err(tripped(format!("there are more than {max} rows"))),
        _ => Ok(()),
    }
}

/// Checks the rows when all have come; against the `last` success, where that is
/// wanted and there was one with rows.
///
/// # Errors
/// [`ErrorKind::Guard`] where there are fewer than there must be, or too many more
/// or fewer than last time.
pub fn check_all(guards: &Guards, rows: u64, last: Option<&Success>) -> Result<()> {
    if let (Some(share), Some(last)) = (guards.max_change, last.filter(|last| last.rows > 0))
        && share.is_exceeded(rows.abs_diff(last.rows), last.rows)
    {
        let more = if rows > last.rows { "more" } else { "fewer" };
        let what = format!(
            "there are {rows} rows, over {share} {more} than the {} of last time",
            last.rows
        );
        return Err(tripped(what).with_hint(FORGET));
    }
    match guards.min_rows {
        Some(min) if rows < min => {
            let what = format!("there are {rows} rows, fewer than {min}");
            Err(tripped(what))
        }
        _ => Ok(()),
    }
}

#[cold]
fn tripped(what: String) -> Error {
    Error::new(ErrorKind::Guard, format!("a guard tripped: {what}")).with_hint(MEANT)
}
