//! Recognizes texts that are given as a query and are none: a word, a file's name, a
//! command of the `mysql` client.

use super::settings::SETTINGS;
use crate::{
    error::{Error, Result},
    format::BuiltIn,
    sql::Query,
    text::{may_hold_password, redact},
};

/// The first words of statements that return rows, and of the most usual others.
const FIRST_WORDS: [&str; 22] = [
    "ANALYZE", "CALL", "CHECK", "CHECKSUM", "DELETE", "DESC", "DESCRIBE", "EXECUTE", "EXPLAIN",
    "HANDLER", "HELP", "INSERT", "OPTIMIZE", "REPAIR", "REPLACE", "SELECT", "SET", "SHOW", "TABLE",
    "UPDATE", "VALUES", "WITH",
];

/// Whether `text` begins with the first word of a statement.
pub(crate) fn begins_a_statement(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_alphabetic());
    let word = &text[..end.unwrap_or(text.len())];
    FIRST_WORDS
        .iter()
        .any(|first| first.eq_ignore_ascii_case(word))
}

/// Whether `text` begins with a statement, perhaps after comments and parentheses.
pub(crate) fn may_be_sql(text: &str) -> bool {
    let mut rest = text.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    loop {
        let is_line_comment = rest.starts_with('#')
            || rest
                .strip_prefix("--")
                .is_some_and(|rest| rest.starts_with(char::is_whitespace));
        let after = if is_line_comment {
            rest.split_once('\n')
        } else if rest.starts_with("/*") {
            rest.split_once("*/")
        } else {
            return begins_a_statement(rest);
        };
        match after {
            Some((comment, _)) if comment.starts_with("/*!") => return true,
            Some((_, after)) => {
                rest = after.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
            }
            None => return false,
        }
    }
}

/// Refuses `text` as a query if it is a URL or an account with its password. It may hold
/// spaces and quotes, and is not shown.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config).
pub(super) fn refuse_address(text: &str) -> Result<()> {
    let text = text.trim();
    let (first, _) = text.split_once(':').unwrap_or_default();
    let is_name = |c: char| !c.is_whitespace() && !"()'`\"".contains(c);
    let is_address = !first.is_empty() && first.trim_matches(['"', '\'']).chars().all(is_name);
    if is_word(text) || may_be_sql(text) || !is_address || !may_hold_password(text) {
        return Ok(());
    }
    Err(
        Error::config("the query is a server's address or an account, which is not shown")
            .with_hint("--db-url URL names the server"),
    )
}

/// Refuses a `query` that is only a word, and one that chooses a database.
///
/// # Errors
/// [`ErrorKind::Config`](crate::error::ErrorKind::Config).
pub(super) fn refuse_no_query(query: &Query) -> Result<()> {
    let text = query
        .text()
        .trim_matches(|c: char| c == ';' || c.is_ascii_whitespace());
    if query.keyword().eq_ignore_ascii_case("USE") {
        return Err(Error::config("USE returns no rows")
            .with_hint("--database NAME chooses the database of the query"));
    }
    if !is_word(text) {
        return Ok(());
    }
    if begins_a_statement(text) && !text.eq_ignore_ascii_case("help") {
        let what = format!("`{text}` is only the first word of a query");
        let hint = "put the whole query in quotes: gold_digger \"SELECT …\"";
        return Err(Error::config(what).with_hint(hint));
    }
    Err(Error::config(format!("`{text}` is a word, and no query")).with_hint(hint_for_word(text)))
}

/// Whether `text` is one word, a path or a URL, and cannot be SQL.
fn is_word(text: &str) -> bool {
    if text.contains("://") {
        return !text.contains(char::is_whitespace);
    }
    let is_sql = |c: char| c.is_ascii_whitespace() || "()'\"`*<>!;#?,=@".contains(c);
    // `SELECT-1` is SQL; `SELECT` alone is a word.
    let is_longer = text.contains(|c: char| !c.is_ascii_alphabetic());
    let is_statement = is_longer && begins_a_statement(text);
    !text.is_empty() && !text.contains(is_sql) && !is_statement
}

/// Returns what to do with `word`, which was given as a query.
pub(crate) fn hint_for_word(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    if word == "-" {
        return "--query-file - reads standard input; a configuration file has file = \"-\""
            .to_owned();
    }
    if word.contains("://") {
        return "--db-url URL names the server".to_owned();
    }
    if lower == "help" {
        return "gold_digger --help prints the flags".to_owned();
    }
    let word = redact(word);
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.flag == Some(&lower)) {
        return format!("the flag is --{lower}: {}", setting.help);
    }
    match lower.rsplit_once('.').map(|(_, extension)| extension) {
        Some("sql") => format!("--query-file {word} reads the query from a file"),
        Some("toml") => format!("--config {word} reads settings and exports from a file"),
        Some(extension) if BuiltIn::by_extension(extension).is_some() => {
            format!("-o {word} writes the rows to a file")
        }
        _ => format!("--table {word} exports a table; --database {word} names a database"),
    }
}
