//! Finds statements that ask the server about the statement before them: in a session of
//! this program, that is one of its own.

use super::rewritten::{Token, tokens};
use crate::sql::BoundQuery;

/// Returns the warning that the statement asks about the one before it.
pub(super) fn warning(bound: &BoundQuery) -> Option<String> {
    let words: Vec<String> = tokens(&bound.without_strings())
        .map(|token| match token {
            Token::Name(name) => name.to_ascii_uppercase(),
            Token::Sign(sign) => sign.to_string(),
            Token::Text => String::new(),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let what = match &words[..] {
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

/// Returns the function or the variable at the end of four words, if it tells of the
/// statement before.
fn called(words: &[&str]) -> Option<String> {
    match words {
        [.., function @ ("FOUND_ROWS" | "ROW_COUNT"), "(", ")"] => Some(format!("{function}()")),
        [_, "@", "@", variable @ ("WARNING_COUNT" | "ERROR_COUNT")]
        | [
            "@",
            "SESSION" | "LOCAL",
            ".",
            variable @ ("WARNING_COUNT" | "ERROR_COUNT"),
        ] => Some(format!("@@{}", variable.to_ascii_lowercase())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Query};

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
