//! Chooses the keys of objects, and checks the columns that options name.

use std::collections::HashSet;

use super::DuplicateColumns;
use crate::{
    error::{Error, Result},
    schema::{Column, ColumnType},
};

/// Returns `text` as a JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Returns the key of each column. The keys are unique, because the names within
/// an object should be (RFC 8259, section 4), and those of a table must be. Messages
/// call the format `format`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if names are equal and
/// `policy` is [`DuplicateColumns::Error`].
pub(in crate::format) fn unique_names(
    columns: &[Column],
    policy: DuplicateColumns,
    format: &str,
) -> Result<Vec<String>> {
    let mut taken: HashSet<&str> = HashSet::new();
    let (mut repeated, mut names) = (Vec::new(), Vec::with_capacity(columns.len()));
    let all: HashSet<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let mut made: HashSet<String> = HashSet::new();
    for column in columns {
        let name = column.name.as_str();
        if taken.insert(name) {
            names.push(name.to_owned());
            continue;
        }
        if !repeated.contains(&name) {
            repeated.push(name);
        }
        let suffixed = (2_u64..)
            .map(|number| format!("{name}_{number}"))
            .find(|candidate| !all.contains(candidate.as_str()) && !made.contains(candidate));
        // There are more numbers than columns, so a name is always found.
        let suffixed = suffixed.unwrap_or_default();
        made.insert(suffixed.clone());
        names.push(suffixed);
    }
    if repeated.is_empty() || policy == DuplicateColumns::Suffix {
        return Ok(names);
    }
    let list: Vec<String> = repeated.iter().map(|name| format!("{name:?}")).collect();
    Err(Error::config(format!(
        "the query gives more than one column the name {}, which {format} cannot hold",
        list.join(" and ")
    ))
    .with_hint("name them apart with AS, or choose --duplicate-columns suffix"))
}

/// Checks that each of the `named` columns exists and is text.
pub(super) fn check_json_columns(columns: &[Column], named: &[String]) -> Result<()> {
    for name in named {
        let is_text =
            |column: &Column| matches!(column.column_type, ColumnType::Text | ColumnType::Json);
        let mut found = columns
            .iter()
            .filter(|column| column.name == *name)
            .map(is_text);
        let problem = match (found.next(), found.all(|is_text| is_text)) {
            (None, _) => "names no column of the result",
            (Some(true), true) => continue,
            (Some(_), _) => "names a column that is not text",
        };
        return Err(Error::config(format!("--json-column {name:?} {problem}"))
            .with_hint("names are compared to the letter"));
    }
    Ok(())
}
