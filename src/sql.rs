//! SQL text, as far as it must be understood before it is sent: how many
//! statements there are, where the one to run begins and ends, its first
//! keyword, and its parameters.
//!
//! It knows comments, quotes and words, and no grammar: whether the SQL is
//! valid is the server's to say. It exists because the text protocol would run
//! every statement of `SELECT 1; DELETE FROM t` (the driver cannot switch that
//! off), and because a comment after the last `;` is an error to the server.

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};

use self::lexer::{Lexer, Token, TokenKind, Unreadable, is_space, parameter_name_length};
use crate::error::{Error, Result};

mod lexer;

/// The SQL modes that change where a quoted text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotingMode {
    /// A backslash escapes within `'…'` and `"…"`.
    Default,
    /// `ANSI_QUOTES`: `"…"` is an identifier, so a backslash in it is itself.
    AnsiQuotes,
    /// `NO_BACKSLASH_ESCAPES`: a backslash is always itself.
    NoBackslashEscapes,
}

impl QuotingMode {
    const ALL: [Self; 3] = [Self::Default, Self::AnsiQuotes, Self::NoBackslashEscapes];

    /// The mode that a session's `@@sql_mode` stands for.
    #[must_use]
    pub fn from_sql_mode(sql_mode: &str) -> Self {
        let has = |name| {
            sql_mode
                .split(',')
                .any(|mode| mode.eq_ignore_ascii_case(name))
        };
        if has("NO_BACKSLASH_ESCAPES") {
            Self::NoBackslashEscapes
        } else if has("ANSI_QUOTES") {
            Self::AnsiQuotes
        } else {
            Self::Default
        }
    }

    const fn escapes_within(self, quote: u8) -> bool {
        match self {
            Self::Default => matches!(quote, b'\'' | b'"'),
            Self::AnsiQuotes => quote == b'\'',
            Self::NoBackslashEscapes => false,
        }
    }
}

/// SQL text that holds one statement, at least in one [`QuotingMode`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Query {
    text: String,
    /// What each mode of [`QuotingMode::ALL`] reads.
    readings: [Reading; 3],
}

/// The one statement of a text: its place, and those of its first keyword and
/// its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    range: Range<usize>,
    keyword: Range<usize>,
    /// Each `:name`.
    parameters: Vec<Range<usize>>,
    /// Whether a `?` stands beside them.
    question_mark: bool,
}

/// A value for each `:name` of a statement.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name, without the colon.
    pub name: String,
    /// The value, bound as text. It may be personal: `Debug` does not show it.
    pub value: String,
}

/// A statement with its parameters as the protocol wants them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bound {
    /// The text, with `?` for each parameter.
    pub sql: String,
    /// The values, in the order of the question marks.
    pub values: Vec<String>,
}

type Reading = std::result::Result<Statement, Unreadable>;

impl FromStr for Parameter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text
            .split_once('=')
            .ok_or("it has no '='; write NAME=VALUE")?;
        if name.is_empty() || parameter_name_length(name.as_bytes()) != name.len() {
            return Err("a name has letters, digits and underscores, and begins with no digit");
        }
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=***", self.name)
    }
}

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
    /// Takes `text` when there is a quoting mode in which it is one statement.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config) where no mode
    /// reads it as one: no statement, several, a quote or comment without end.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        let readings = QuotingMode::ALL.map(|mode| read(&text, mode));
        let query = Self { text, readings };
        if query.readings.iter().all(Result::is_err) {
            // Every mode refuses: "several" says more than "unterminated",
            // which the other modes may see in the same text.
            let several = |reading: &&Reading| matches!(reading, Err(Unreadable::Several(_)));
            let refused = query.readings.iter().find(several);
            let refused = refused.unwrap_or(&query.readings[0]).as_ref();
            return Err(match refused {
                Err(reason) => query.explain(*reason),
                Ok(_) => unreachable!("every reading is an error here"),
            });
        }
        Ok(query)
    }

    /// Whether the session's SQL mode decides what [`bind`](Self::bind) gives.
    #[must_use]
    pub fn depends_on_mode(&self) -> bool {
        self.readings
            .iter()
            .any(|reading| *reading != self.readings[0])
    }

    /// The statement to send, without its terminator and what follows it, and
    /// with `parameters` in their places. Without any, `:name` stays as it is.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), for the one mode; and where a parameter has no
    /// value or a value no parameter.
    pub fn bind(&self, mode: QuotingMode, parameters: &[Parameter]) -> Result<Bound> {
        let statement = self.readings[mode as usize].as_ref();
        let statement = statement.map_err(|reason| self.explain(*reason))?;
        if parameters.is_empty() {
            let sql = self.text[statement.range.clone()].to_owned();
            return Ok(Bound {
                sql,
                ..Bound::default()
            });
        }
        if statement.question_mark {
            return Err(
                Error::config("the query has a ? beside its :name parameters")
                    .with_hint("write every parameter as :name"),
            );
        }
        let mut bound = Bound::default();
        let mut from = statement.range.start;
        for place in &statement.parameters {
            let name = &self.text[place.start + 1..place.end];
            let value = parameters.iter().find(|parameter| parameter.name == name);
            let value = value.ok_or_else(|| {
                Error::config(format!("the query's parameter :{name} has no value")).with_hint(
                    format!("add --param {name}=VALUE, or {name} to [query] params"),
                )
            })?;
            bound.sql.push_str(&self.text[from..place.start]);
            bound.sql.push('?');
            bound.values.push(value.value.clone());
            from = place.end;
        }
        bound.sql.push_str(&self.text[from..statement.range.end]);
        let is_used = |parameter: &&Parameter| {
            statement
                .parameters
                .iter()
                .any(|place| self.text[place.start + 1..place.end] == *parameter.name)
        };
        match parameters.iter().find(|parameter| !is_used(parameter)) {
            Some(unused) => Err(Error::config(format!(
                "the parameter {} has a value, but the query has no :{0}",
                unused.name
            ))
            .with_hint(
                "names are compared to the letter; in quotes and comments they do not count",
            )),
            None => Ok(bound),
        }
    }

    /// What each mode makes of the text and `parameters`; one entry where the
    /// modes agree.
    fn bind_in_each_mode(&self, parameters: &[Parameter]) -> impl Iterator<Item = Result<Bound>> {
        let modes = if self.depends_on_mode() {
            &QuotingMode::ALL[..]
        } else {
            &[QuotingMode::Default]
        };
        modes.iter().map(|mode| self.bind(*mode, parameters))
    }

    /// Checks `parameters` against the text before the session's mode is known.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), where it fails in every mode.
    pub fn check_parameters(&self, parameters: &[Parameter]) -> Result<()> {
        let bound = self.bind_in_each_mode(parameters);
        let good_or_first = bound.reduce(|first, next| if next.is_ok() { next } else { first });
        good_or_first.map_or(Ok(()), |bound| bound.map(drop))
    }

    /// Whether the text has the parameter `:name` in any mode.
    #[must_use]
    pub fn has_parameter(&self, name: &str) -> bool {
        let mut statements = self.readings.iter().flatten();
        statements.any(|statement| {
            let mut places = statement.parameters.iter();
            places.any(|place| self.text[place.start + 1..place.end] == *name)
        })
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first keyword, as it was written; `(` for a parenthesized query.
    #[must_use]
    pub fn keyword(&self) -> &str {
        let first = self
            .readings
            .iter()
            .find_map(|reading| reading.as_ref().ok());
        first.map_or("", |statement| &self.text[statement.keyword.clone()])
    }

    fn explain(&self, reason: Unreadable) -> Error {
        let line = |at: usize| 1 + self.text[..at].matches('\n').count();
        match reason {
            Unreadable::Empty => Error::config("the SQL text holds no statement")
                .with_hint("give one query, for example \"SELECT * FROM orders\""),
            Unreadable::Several(at) => Error::config(format!(
                "the SQL text holds more than one statement; the second begins on line {}",
                line(at)
            ))
            .with_hint("give one statement; run gold_digger once for each query, or list them as [[export]]"),
            Unreadable::Unterminated(what, at) => Error::config(format!(
                "the SQL text has {what} without an end; it begins on line {}",
                line(at)
            )),
            Unreadable::AmbiguousComment(at) => Error::config(format!(
                "the executable comment on line {} ends at different places for servers that run it and servers that skip it",
                line(at)
            ))
            .with_hint("write the statement without /*! … */"),
        }
    }
}

impl Statement {
    fn note(&mut self, token: &Token) {
        match token.kind {
            TokenKind::Parameter => self.parameters.push(token.range.clone()),
            TokenKind::QuestionMark => self.question_mark = true,
            _ => {}
        }
    }
}

fn read(text: &str, mode: QuotingMode) -> Reading {
    let mut lexer = Lexer::new(text, mode);
    let mut statement: Option<Statement> = None;
    let mut start = 0;
    let mut ended = false;
    while let Some(token) = lexer.next_token()? {
        match (&mut statement, token.kind) {
            (None, TokenKind::Terminator) => start = token.range.end,
            (None, _) => {
                let one = statement.insert(Statement {
                    range: start..text.len(),
                    keyword: token.range.clone(),
                    parameters: Vec::new(),
                    question_mark: false,
                });
                one.note(&token);
            }
            (Some(one), TokenKind::Terminator) if !ended => {
                one.range.end = token.range.start;
                ended = true;
            }
            (Some(_), TokenKind::Terminator) => {}
            (Some(_), _) if ended => return Err(Unreadable::Several(token.range.start)),
            (Some(one), _) => one.note(&token),
        }
    }
    let mut one = statement.ok_or(Unreadable::Empty)?;
    // Not `trim`, which knows more white space than servers do.
    let body = &text[one.range.clone()];
    one.range.start += body.len() - body.trim_start_matches(is_space).len();
    one.range.end -= body.len() - body.trim_end_matches(is_space).len();
    Ok(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn statement(text: &str) -> String {
        let query = Query::parse(text).expect("one statement");
        assert!(
            !query.depends_on_mode(),
            "{text:?} reads the same in every mode"
        );
        query
            .bind(QuotingMode::Default, &[])
            .expect("a statement")
            .sql
    }

    #[track_caller]
    fn refusal(text: &str) -> String {
        let error = Query::parse(text).expect_err("refused");
        error.message().to_owned()
    }

    #[test]
    fn the_terminator_and_what_follows_it_are_cut() {
        assert_eq!(statement("SELECT 1"), "SELECT 1");
        assert_eq!(statement(" SELECT 1 ; "), "SELECT 1");
        assert_eq!(statement("SELECT 1;; -- done"), "SELECT 1");
        assert_eq!(statement("; SELECT 1; /* end */ # end"), "SELECT 1");
        assert_eq!(statement("SELECT 1 -- last"), "SELECT 1 -- last");
        assert_eq!(statement("SELECT 1--1"), "SELECT 1--1");
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
            "SELECT /*M!100100 'a */ b', /* c */ */ 1",
        ] {
            // The last one ends differently where it is skipped.
            if text.contains("/*M!") {
                assert!(refusal(text).contains("executable comment"));
            } else {
                assert_eq!(statement(text), text);
            }
        }
    }

    #[test]
    fn several_statements_are_refused() {
        assert_eq!(
            refusal("SELECT 1;\nDELETE FROM t"),
            "the SQL text holds more than one statement; the second begins on line 2"
        );
        for text in [
            "SELECT 1; SELECT 2;",
            "SELECT 'it\\'s'; DROP TABLE t",
            "SELECT 1;/*!50000 DELETE FROM t */",
        ] {
            assert!(refusal(text).contains("more than one"), "{text}");
        }
        for text in [
            "SELECT /*!50000 1; DELETE FROM t */",
            "SELECT /*!99999 ' */ 1; DELETE FROM t -- ' */",
        ] {
            assert!(refusal(text).contains("executable comment"), "{text}");
        }
    }

    #[test]
    fn empty_and_unterminated_texts_are_refused() {
        for text in ["", " \n", ";", "-- nothing", "/* nothing */"] {
            assert_eq!(refusal(text), "the SQL text holds no statement");
        }
        assert_eq!(
            refusal("SELECT\n'abc"),
            "the SQL text has a quoted text without an end; it begins on line 2"
        );
        assert!(refusal("SELECT 1 /* abc").contains("a comment without an end"));
        assert!(refusal("/*! SELECT 1").contains("a comment without an end"));
    }

    #[test]
    fn the_sql_mode_decides_where_quotes_end() {
        let single = Query::parse(r"SELECT 'a\'; SELECT ''b'").expect("one in some mode");
        assert!(single.depends_on_mode());
        assert!(single.bind(QuotingMode::Default, &[]).is_ok());
        assert!(single.bind(QuotingMode::AnsiQuotes, &[]).is_ok());
        assert!(single.bind(QuotingMode::NoBackslashEscapes, &[]).is_err());
        let double = Query::parse(r#"SELECT "a\"; SELECT ""b""#).expect("one in some mode");
        assert!(double.bind(QuotingMode::Default, &[]).is_ok());
        assert!(double.bind(QuotingMode::AnsiQuotes, &[]).is_err());
        let backslash_at_the_end = Query::parse(r"SELECT 'a\'").expect("one in some mode");
        assert!(
            backslash_at_the_end
                .bind(QuotingMode::Default, &[])
                .is_err()
        );
        assert!(
            backslash_at_the_end
                .bind(QuotingMode::NoBackslashEscapes, &[])
                .is_ok()
        );
    }

    #[test]
    fn modes_are_found_in_the_sql_mode_variable() {
        use QuotingMode::{AnsiQuotes, Default, NoBackslashEscapes};
        assert_eq!(QuotingMode::from_sql_mode("STRICT_TRANS_TABLES"), Default);
        assert_eq!(
            QuotingMode::from_sql_mode("REAL_AS_FLOAT,ANSI_QUOTES"),
            AnsiQuotes
        );
        assert_eq!(
            QuotingMode::from_sql_mode("ANSI_QUOTES,NO_BACKSLASH_ESCAPES"),
            NoBackslashEscapes
        );
    }

    #[test]
    fn the_first_keyword_is_found_behind_comments() {
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

    #[test]
    fn parameters_become_question_marks() {
        let bind = |sql: &str, given: &[&str]| {
            let given: Vec<Parameter> = given
                .iter()
                .map(|text| text.parse().expect("a parameter"))
                .collect();
            let bound = Query::parse(sql)
                .expect("one statement")
                .bind(QuotingMode::Default, &given);
            bound
                .map(|bound| (bound.sql, bound.values))
                .map_err(|error| error.message().to_owned())
        };
        let values = |list: &[&str]| {
            list.iter()
                .map(|value| (*value).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            bind(
                "SELECT :a, ':a', \":a\", `:a`, :Ab_1, :a -- :a\n, @x:=1;",
                &["a=1=2", "Ab_1="]
            ),
            Ok((
                "SELECT ?, ':a', \":a\", `:a`, ?, ? -- :a\n, @x:=1".to_owned(),
                values(&["1=2", "", "1=2"])
            ))
        );
        assert_eq!(
            bind("SELECT ':a', ?", &[]),
            Ok(("SELECT ':a', ?".to_owned(), Vec::new()))
        );
        assert_eq!(
            bind("SELECT :a, :b", &["a=1"]),
            Err("the query's parameter :b has no value".to_owned())
        );
        assert_eq!(
            bind("SELECT :a, ':b'", &["a=1", "b=1"]),
            Err("the parameter b has a value, but the query has no :b".to_owned())
        );
        assert_eq!(
            bind("SELECT :a, ?", &["a=1"]),
            Err("the query has a ? beside its :name parameters".to_owned())
        );
        for bad in ["a", "=1", "1a=1", "a b=1", "ä=1"] {
            assert!(bad.parse::<Parameter>().is_err(), "{bad}");
        }
        assert_eq!(
            format!(
                "{:?}",
                "a=secret".parse::<Parameter>().expect("a parameter")
            ),
            "a=***"
        );
    }
}
