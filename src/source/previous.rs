//! Finds statements that ask the server about their session: about the statement before
//! them, about variables, or about locks. All of these are this program's own.

use super::rewritten::{Token, tokens};
use crate::sql::BoundQuery;

/// The variables that this program sets in its sessions, and that a file would hardly be
/// about: docs/reliability.md lists all.
const SET_VARIABLES: [&str; 10] = [
    "IDLE_READONLY_TRANSACTION_TIMEOUT",
    "IDLE_TRANSACTION_TIMEOUT",
    "IDLE_WRITE_TRANSACTION_TIMEOUT",
    "MAX_ERROR_COUNT",
    "NET_WRITE_TIMEOUT",
    "SQL_NOTES",
    "SQL_SELECT_LIMIT",
    "TRANSACTION_READ_ONLY",
    "TX_READ_ONLY",
    "WAIT_TIMEOUT",
];

/// The tables of a session's variables, in performance_schema (MySQL) and
/// information_schema (MariaDB).
const SESSION_TABLES: [&str; 3] = [
    "SESSION_VARIABLES",
    "VARIABLES_BY_THREAD",
    "SYSTEM_VARIABLES",
];

/// Returns the warning that the statement asks about its session.
pub(super) fn warning(bound: &BoundQuery) -> Option<String> {
    let words: Vec<String> = tokens(&bound.without_strings())
        .map(|token| match token {
            Token::Name(name) => name.to_ascii_uppercase(),
            Token::Sign(sign) => sign.to_string(),
            Token::Text => String::new(),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    about_previous(&words).or_else(|| about_session(&words))
}

/// Returns the warning that a statement of these words asks about the one before it.
fn about_previous(words: &[&str]) -> Option<String> {
    let what = match words {
        ["SHOW", what @ ("WARNINGS" | "ERRORS"), ..]
        | [
            "SHOW",
            "COUNT",
            "(",
            "*",
            ")",
            what @ ("WARNINGS" | "ERRORS"),
            ..,
        ] => {
            format!("SHOW {what}")
        }
        _ => words.windows(4).find_map(called)?,
    };
    Some(format!(
        "{what} tells of this program's own statements, not of one of yours"
    ))
}

/// Returns the warning that a statement of these words shows what this program has made
/// of the session.
fn about_session(words: &[&str]) -> Option<String> {
    let is_lock = |words: &[&str]| words == ["RELEASE_ALL_LOCKS", "(", ")"];
    if words.windows(3).any(is_lock) {
        return Some(
            "RELEASE_ALL_LOCKS() also counts and releases this program's own lock, without \
             which a signal cannot end the query on the server"
                .to_owned(),
        );
    }
    let what = match words {
        ["SHOW", "VARIABLES", ..] | ["SHOW", "SESSION" | "LOCAL", "VARIABLES", ..] => {
            "SHOW VARIABLES".to_owned()
        }
        _ => {
            let table = words.windows(3).find_map(session_table);
            let variable = || words.windows(4).find_map(set_variable);
            table.or_else(variable)?
        }
    };
    Some(format!(
        "{what} shows the session of this program, which sets some variables; SHOW GLOBAL and \
         @@GLOBAL show the server's"
    ))
}

/// Returns the table of three words, if it is one of a session's variables.
fn session_table(words: &[&str]) -> Option<String> {
    match words {
        ["PERFORMANCE_SCHEMA" | "INFORMATION_SCHEMA", ".", table]
            if SESSION_TABLES.contains(table) =>
        {
            Some((*table).to_owned())
        }
        _ => None,
    }
}

/// Returns the variable at the end of four words, if this program sets it.
fn set_variable(words: &[&str]) -> Option<String> {
    session_variable(words, &SET_VARIABLES)
}

/// Returns the variable of the session at the end of four words, if it is one of `names`.
fn session_variable(words: &[&str], names: &[&str]) -> Option<String> {
    match words {
        [_, "@", "@", variable] | ["@", "SESSION" | "LOCAL", ".", variable]
            if names.contains(variable) =>
        {
            Some(format!("@@{}", variable.to_ascii_lowercase()))
        }
        _ => None,
    }
}

/// Returns the function or the variable at the end of four words, if it tells of the
/// statement before.
fn called(words: &[&str]) -> Option<String> {
    match words {
        [.., function @ ("FOUND_ROWS" | "ROW_COUNT"), "(", ")"] => Some(format!("{function}()")),
        _ => session_variable(words, &["WARNING_COUNT", "ERROR_COUNT"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Query};

    #[test]
    fn questions_about_the_session_are_found() {
        for (sql, expected) in [
            ("show variables like 'a%'", Some("SHOW VARIABLES shows")),
            ("SHOW SESSION VARIABLES", Some("SHOW VARIABLES shows")),
            ("SHOW SESSION STATUS", None),
            ("SHOW GLOBAL VARIABLES", None),
            ("SHOW TABLE STATUS", None),
            ("SELECT @@wait_timeout", Some("@@wait_timeout shows")),
            (
                "SELECT 1, @@local.tx_read_only",
                Some("@@tx_read_only shows"),
            ),
            ("SELECT @@global.wait_timeout, @@sql_mode", None),
            ("SELECT wait_timeout FROM shop.session_status", None),
            (
                "SELECT * FROM performance_schema.session_variables",
                Some("SESSION_VARIABLES shows"),
            ),
            (
                "SELECT release_all_locks()",
                Some("RELEASE_ALL_LOCKS() also counts"),
            ),
        ] {
            let bound = Query::parse(sql).expect(sql).bind(Dialect::default(), &[]);
            let found = warning(&bound.expect(sql));
            let begins = |text: &String| expected.is_some_and(|begin| text.starts_with(begin));
            assert_eq!(
                found.as_ref().is_some_and(begins),
                expected.is_some(),
                "{sql}: {found:?}"
            );
            assert_eq!(found.is_some(), expected.is_some(), "{sql}: {found:?}");
        }
    }

    #[test]
    fn questions_about_the_statement_before_are_found() {
        for (sql, expected) in [
            ("show /* all */ warnings limit 1", Some("SHOW WARNINGS")),
            ("SHOW COUNT(*) ERRORS", Some("SHOW ERRORS")),
            ("SHOW COLUMNS FROM errors", None),
            ("SELECT found_rows () AS n", Some("FOUND_ROWS()")),
            ("SELECT 1 + ROW_COUNT()", Some("ROW_COUNT()")),
            (
                "SELECT 'FOUND_ROWS()', row_count, a.warning_count FROM a -- ROW_COUNT()",
                None,
            ),
            ("SELECT @@warning_count AS n", Some("@@warning_count")),
            ("SELECT @@session.error_count", Some("@@error_count")),
            ("SELECT @@error_count", Some("@@error_count")),
            ("SELECT session.warning_count FROM session", None),
            ("SELECT @warning_count", None),
            ("SELECT COUNT(*) FROM t", None),
        ] {
            let bound = Query::parse(sql).expect(sql).bind(Dialect::default(), &[]);
            let found = warning(&bound.expect(sql));
            let expected = expected.map(|what| {
                format!("{what} tells of this program's own statements, not of one of yours")
            });
            assert_eq!(found, expected, "{sql}");
        }
    }
}
