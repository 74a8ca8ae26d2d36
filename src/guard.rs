//! Guards: what a result must be like to be published. A night whose query went
//! wrong without an error shows in its rows and columns.

use crate::{
    config::Guards,
    error::{Error, ErrorKind, Result},
    schema::Schema,
};

const MEANT: &str =
    "nothing was wrong on the server's side: look at the query and the data, or change the guard";

/// Checks the columns, before any row.
///
/// # Errors
/// [`ErrorKind::Guard`], naming the first that is another one.
pub fn check_columns(guards: &Guards, schema: &Schema) -> Result<()> {
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

/// Checks the rows when all have come.
///
/// # Errors
/// [`ErrorKind::Guard`] where there are fewer than there must be.
pub fn check_all(guards: &Guards, rows: u64) -> Result<()> {
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
    Error::new(ErrorKind::Guard, format!("a guard tripped: {what}")).hint(MEANT)
}
