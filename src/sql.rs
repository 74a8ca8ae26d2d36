//! Analyses SQL text before it is sent: the number of statements, where the one
//! to run begins and ends, its first keyword, and its parameters.
//!
//! The analysis knows comments, quotes and words, but no grammar: the server
//! decides whether the SQL is valid. It is needed because the text protocol
//! would run every statement of `SELECT 1; DELETE FROM t` (the driver cannot
//! switch that off), and because a comment after the last `;` is an error to the
//! server.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use self::{
    lexer::{Lexer, ParseError, TokenKind, is_space},
    mistakes::{check_token, client_command, hint_for_several, invisible_character},
    placeholder::{Finder, Placeholder},
};
use crate::error::{Error, Result};

mod bind;
mod chunk;
mod dialect;
mod increment;
mod lexer;
mod mistakes;
mod parameter;
mod placeholder;
mod range;
mod reading;
mod table;
mod where_clause;

pub use bind::BoundQuery;
pub use dialect::Dialect;
pub use increment::{INCREMENT, SINCE, UNTIL};
#[cfg(feature = "cli")]
pub(crate) use parameter::ITEMS;
pub use parameter::{Parameter, ParameterValue};
pub use range::{CHUNK, Key, KeyColumn, KeyValue, Literal, SplitColumns, order_of};
pub use table::{ColumnNames, Condition, NameCase, TableName, TablePattern, TableQuery};

/// SQL text that holds exactly one statement in at least one [`Dialect`].
///
/// ```
/// use gold_digger::sql::{Dialect, Query};
///
/// let query = Query::parse("/* nightly */ SELECT 1; -- done")?;
/// assert_eq!(query.keyword(), "SELECT");
/// let bound = query.bind(Dialect::default(), &[])?;
/// assert_eq!(bound.sql, "/* nightly */ SELECT 1");
/// assert!(Query::parse("SELECT 1; DELETE FROM t").is_err());
/// # Ok::<(), gold_digger::error::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Query {
    text: String,
    /// The result of parsing the text in each of [`Dialect::ALL`].
    parses: [Parsed; Dialect::ALL.len()],
    /// Where the text stands, as messages name it. It is not stored.
    place: Option<String>,
}

/// The byte ranges of the one statement of a text, of its first keyword and of
/// its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    range: Range<usize>,
    keyword: Range<usize>,
    /// Each `:name`.
    parameters: Vec<Placeholder>,
    /// Whether the statement contains a `?` outside quotes and comments.
    has_question_mark: bool,
}

type Parsed = std::result::Result<Statement, ParseError>;

impl TryFrom<String> for Query {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        Self::parse(text)
    }
}

impl From<Query> for String {
    fn from(query: Query) -> Self {
        query.text
    }
}

impl Query {
    /// Parses `text` in every dialect.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) if the text is not
    /// one statement in any dialect: it has no statement, several, or a quote or
    /// comment without an end.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let parses = parse_in_each_dialect(&text);
        let query = Self {
            text,
            parses,
            place: None,
        };
        if query.parses.iter().all(Result::is_err) {
            // Where every dialect fails, "several" says more than "unterminated",
            // which the others may report for the same text.
            let is_several = |parsed: &&Parsed| matches!(parsed, Err(ParseError::Several(_)));
            let failed = query.parses.iter().find(is_several);
            let failed = failed.unwrap_or(&query.parses[0]).as_ref();
            return Err(match failed {
                Err(reason) => query.explain(*reason),
                Ok(_) => unreachable!("every parse has failed"),
            });
        }
        Ok(query)
    }

    /// Sets the place of the text, such as the name of its file. An error of the
    /// server about the statement begins with it.
    #[must_use]
    pub fn with_place(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Returns whether the result of [`bind`](Self::bind) depends on the dialect.
    #[must_use]
    pub fn depends_on_dialect(&self) -> bool {
        self.parses.iter().any(|parsed| *parsed != self.parses[0])
    }

    /// The text as it was given to [`parse`](Self::parse).
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first keyword, in the spelling of the text; `(` for a parenthesized
    /// query.
    #[must_use]
    pub fn keyword(&self) -> &str {
        let first = self.parses.iter().flatten().next();
        first.map_or("", |statement| &self.text[statement.keyword.clone()])
    }

    /// Whether the statement reads only, in every dialect in which the text is one
    /// statement, but for what functions do. In doubt, it does not.
    #[must_use]
    pub fn reads_only(&self) -> bool {
        let dialects = Dialect::ALL.iter().zip(&self.parses);
        dialects
            .filter_map(|(dialect, parsed)| Some((*dialect, parsed.as_ref().ok()?)))
            .all(|(dialect, statement)| {
                let text = &self.text[statement.range.clone()];
                reading::reads_only(text, &self.text[statement.keyword.clone()], dialect)
            })
    }

    /// Turns the reason for a failed parse into an error for the user.
    fn explain(&self, reason: ParseError) -> Error {
        let line = |at: usize| 1 + self.text[..at].matches('\n').count();
        match reason {
            ParseError::Empty => Error::config("the SQL text holds no statement")
                .with_hint("give one query, for example \"SELECT * FROM orders\""),
            ParseError::Several(at) => Error::config(format!(
                "the SQL text holds more than one statement; the second begins on line {}",
                line(at)
            ))
            .with_hint(hint_for_several(&self.text)),
            ParseError::ClientCommand(at) => client_command(&self.text[at..], line(at)),
            ParseError::Invisible(c, at) => invisible_character(c, line(at)),
            ParseError::Unterminated(what, at) => Error::config(format!(
                "the SQL text has {what} without an end; it begins on line {}",
                line(at)
            )),
            ParseError::AmbiguousComment(at) => Error::config(format!(
                "the executable comment on line {} ends at different places for servers that run it and servers that skip it",
                line(at)
            ))
            .with_hint("write the statement without /*! … */"),
        }
    }
}

/// Parses `text` in each of [`Dialect::ALL`], but only once for those that read it
/// alike.
fn parse_in_each_dialect(text: &str) -> [Parsed; Dialect::ALL.len()] {
    let mut known: Vec<(Dialect, Parsed)> = Vec::new();
    Dialect::ALL.map(|dialect| {
        let dialect = dialect.simplified_for(text);
        if let Some((_, parsed)) = known.iter().find(|(known, _)| *known == dialect) {
            return parsed.clone();
        }
        let parsed = parse_statement(text, dialect);
        known.push((dialect, parsed.clone()));
        parsed
    })
}

/// Finds the one statement of `text` as a server of `dialect` reads it.
fn parse_statement(text: &str, dialect: Dialect) -> Parsed {
    let mut lexer = Lexer::new(text, dialect);
    let mut statement: Option<Statement> = None;
    let mut start = 0;
    let mut ended = false;
    let mut placeholders = Finder::default();
    while let Some(token) = lexer.next_token()? {
        check_token(text, &token, statement.is_none())?;
        placeholders.push(&token, &text[token.range.clone()]);
        match (&mut statement, token.kind) {
            (None, TokenKind::Terminator) => start = token.range.end,
            (None, _) => {
                statement = Some(Statement {
                    range: start..text.len(),
                    keyword: token.range,
                    parameters: Vec::new(),
                    has_question_mark: token.kind == TokenKind::QuestionMark,
                });
            }
            (Some(first), TokenKind::Terminator) if !ended => {
                // Two dashes before the end of a text are a comment, and before a
                // semicolon they are not.
                let end = match text[..token.range.start].ends_with("--") {
                    true => token.range.end,
                    false => token.range.start,
                };
                first.range.end = end;
                ended = true;
            }
            (Some(_), TokenKind::Terminator) => {}
            (Some(_), _) if ended => return Err(ParseError::Several(token.range.start)),
            (Some(first), kind) => first.has_question_mark |= kind == TokenKind::QuestionMark,
        }
    }
    let mut statement = statement.ok_or(ParseError::Empty)?;
    statement.parameters = placeholders.finish();
    // `str::trim` removes more kinds of white space than servers do.
    let body = &text[statement.range.clone()];
    statement.range.start += body.len() - body.trim_start_matches(is_space).len();
    statement.range.end -= body.len() - body.trim_end_matches(is_space).len();
    Ok(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn statement(text: &str) -> String {
        let query = Query::parse(text).expect("one statement");
        assert!(
            !query.depends_on_dialect(),
            "{text:?} is the same statement in every dialect"
        );
        query
            .bind(Dialect::default(), &[])
            .expect("a statement")
            .sql
    }

    #[track_caller]
    fn parse_error(text: &str) -> String {
        let error = Query::parse(text).expect_err("an error");
        error.message().to_owned()
    }

    #[test]
    fn the_terminator_and_the_text_after_it_are_removed() {
        assert_eq!(statement("SELECT 1"), "SELECT 1");
        assert_eq!(statement(" SELECT 1 ; "), "SELECT 1");
        assert_eq!(statement("SELECT 1;; -- done"), "SELECT 1");
        assert_eq!(statement("; SELECT 1; /* end */ # end"), "SELECT 1");
        assert_eq!(statement("SELECT 1 -- last"), "SELECT 1 -- last");
        assert_eq!(statement("SELECT 1--1"), "SELECT 1--1");
        // Without the semicolon, these dashes would begin a comment.
        assert_eq!(statement("SELECT 1 --; "), "SELECT 1 --;");
    }

    #[test]
    fn terminators_in_quotes_and_comments_do_not_count() {
        for text in [
            "SELECT ';', \"a;\"\"b\", `c;d`, 'it''s;'",
            "-- a; b\nSELECT 1",
            "# a; b\nSELECT 1",
            "/* a; 'b */ SELECT 1",
            "/*+ MAX_EXECUTION_TIME(1) ; */ SELECT 1",
            "SELECT /*!50000 STRAIGHT_JOIN */ 1",
        ] {
            assert_eq!(statement(text), text);
        }
    }

    #[test]
    fn several_statements_are_refused() {
        assert_eq!(
            parse_error("SELECT 1;\nDELETE FROM t"),
            "the SQL text holds more than one statement; the second begins on line 2"
        );
        for text in [
            "SELECT 1; SELECT 2;",
            "SELECT 'it\\'s'; DROP TABLE t",
            "SELECT 1;/*!50000 DELETE FROM t */",
        ] {
            assert!(parse_error(text).contains("more than one"), "{text}");
        }
        for text in [
            "SELECT /*!50000 1; DELETE FROM t */",
            "SELECT /*!99999 ' */ 1; DELETE FROM t -- ' */",
        ] {
            assert!(parse_error(text).contains("executable comment"), "{text}");
        }
    }

    #[test]
    fn what_is_no_sql_is_refused() {
        for (text, message) in [
            (
                "DELIMITER //\nSELECT 1; //",
                "DELIMITER on line 1 is a command of the mysql client",
            ),
            ("\nsource x.sql", "SOURCE on line 2 is a command"),
            ("\\. x.sql", "\\. on line 1 is a command"),
            ("SELECT 1\\G", "\\G on line 1 is a command"),
            ("SELECT 1 \\g;", "\\g on line 1 is a command"),
            (
                "SELECT 1;\n\u{1a}",
                "the SQL text has Ctrl-Z (U+001A) on line 2",
            ),
            (
                "SELECT\u{a0}1",
                "the SQL text has a no-break space (U+00A0) on line 1",
            ),
            (
                "\u{feff}SELECT 1",
                "the SQL text has a byte order mark (U+FEFF) on line 1",
            ),
            ("SELECT a\u{3000}FROM t", "an invisible character (U+3000)"),
            ("SELECT 1\0", "a control character (U+0000)"),
        ] {
            assert!(parse_error(text).contains(message), "{}", parse_error(text));
        }
        for text in [
            "SELECT '\u{a0}\u{1a}\\G', `a\u{a0}b` -- \u{a0} \\G \u{1a}",
            "SELECT \\N",
            "SELECT source, delimiter FROM t",
        ] {
            assert!(Query::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn empty_and_unterminated_texts_are_refused() {
        for text in ["", " \n", ";", "-- nothing", "/* nothing */"] {
            assert_eq!(parse_error(text), "the SQL text holds no statement");
        }
        assert_eq!(
            parse_error("SELECT\n'abc"),
            "the SQL text has a quoted text without an end; it begins on line 2"
        );
        assert!(parse_error("SELECT 1 /* abc").contains("a comment without an end"));
        assert!(parse_error("/*! SELECT 1").contains("a comment without an end"));
    }

    #[test]
    fn the_sql_mode_decides_where_quotes_end() {
        let single = Query::parse(r"SELECT 'a\'; SELECT ''b'").expect("one in some mode");
        assert!(single.depends_on_dialect());
        assert!(single.bind(Dialect::default(), &[]).is_ok());
        assert!(
            single
                .bind(Dialect::of_session("", "ANSI_QUOTES"), &[])
                .is_ok()
        );
        assert!(
            single
                .bind(Dialect::of_session("", "NO_BACKSLASH_ESCAPES"), &[])
                .is_err()
        );
        let double = Query::parse(r#"SELECT "a\"; SELECT ""b""#).expect("one in some mode");
        assert!(double.bind(Dialect::default(), &[]).is_ok());
        assert!(
            double
                .bind(Dialect::of_session("", "ANSI_QUOTES"), &[])
                .is_err()
        );
        let backslash_at_the_end = Query::parse(r"SELECT 'a\'").expect("one in some mode");
        assert!(backslash_at_the_end.bind(Dialect::default(), &[]).is_err());
        assert!(
            backslash_at_the_end
                .bind(Dialect::of_session("", "NO_BACKSLASH_ESCAPES"), &[])
                .is_ok()
        );
    }

    #[test]
    fn the_first_keyword_is_found_after_comments() {
        for (text, keyword) in [
            ("/* job 7 */ select 1", "select"),
            ("(SELECT 1) UNION (SELECT 2)", "("),
            ("/*!50000 SHOW */ TABLES", "SHOW"),
            ("-- x\nWITH a AS (SELECT 1) SELECT * FROM a", "WITH"),
        ] {
            assert_eq!(
                Query::parse(text).expect("one statement").keyword(),
                keyword
            );
        }
    }
}
