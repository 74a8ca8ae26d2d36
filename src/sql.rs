//! A small lexer of SQL text: how many statements there are, where the one to
//! run begins and ends, and its first keyword.
//!
//! It knows comments, quotes and words, and no grammar: whether the SQL is
//! valid is the server's to say. It exists because the text protocol would run
//! every statement of `SELECT 1; DELETE FROM t` (the driver cannot switch that
//! off), and because a comment after the last `;` is an error to the server.
//!
//! Sources: MySQL manual, "Comments", "String Literals" and "Server SQL Modes";
//! MariaDB documentation, "Comment Syntax".

use std::ops::Range;

use crate::error::{Error, Result};

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
#[derive(Clone, Debug)]
pub struct Query {
    text: String,
    /// What each mode of [`QuotingMode::ALL`] reads.
    readings: [Reading; 3],
}

/// The one statement of a text: its place, and that of its first keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Statement {
    range: Range<usize>,
    keyword: Range<usize>,
}

type Reading = std::result::Result<Statement, Unreadable>;

/// Why a text is not one statement; the offset is where the reason begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unreadable {
    Empty,
    Several(usize),
    Unterminated(&'static str, usize),
    AmbiguousComment(usize),
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

    /// Whether the session's SQL mode decides what [`statement`](Self::statement) gives.
    #[must_use]
    pub fn depends_on_mode(&self) -> bool {
        self.readings
            .iter()
            .any(|reading| *reading != self.readings[0])
    }

    /// The statement to send, without its terminator and what follows it.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), for the one mode.
    pub fn statement(&self, mode: QuotingMode) -> Result<&str> {
        match &self.readings[mode as usize] {
            Ok(statement) => Ok(&self.text[statement.range.clone()]),
            Err(reason) => Err(self.explain(*reason)),
        }
    }

    /// What each mode that reads the text as one statement would send.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &str> {
        let readings = self
            .readings
            .iter()
            .filter_map(|reading| reading.as_ref().ok());
        readings.map(|statement| &self.text[statement.range.clone()])
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
                .hint("give one query, for example \"SELECT * FROM orders\""),
            Unreadable::Several(at) => Error::config(format!(
                "the SQL text holds more than one statement; the second begins on line {}",
                line(at)
            ))
            .hint("give one statement; run gold_digger once for each query"),
            Unreadable::Unterminated(what, at) => Error::config(format!(
                "the SQL text has {what} without an end; it begins on line {}",
                line(at)
            )),
            Unreadable::AmbiguousComment(at) => Error::config(format!(
                "the executable comment on line {} ends at different places for servers that run it and servers that skip it",
                line(at)
            ))
            .hint("write the statement without /*! … */"),
        }
    }
}

fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
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
                statement = Some(Statement {
                    range: start..text.len(),
                    keyword: token.range,
                });
            }
            (Some(one), TokenKind::Terminator) if !ended => {
                one.range.end = token.range.start;
                ended = true;
            }
            (Some(_), TokenKind::Terminator) => {}
            (Some(_), _) if ended => return Err(Unreadable::Several(token.range.start)),
            (Some(_), _) => {}
        }
    }
    let mut one = statement.ok_or(Unreadable::Empty)?;
    // Not `trim`: beyond ASCII, white space is part of a name to the server.
    let body = &text[one.range.clone()];
    one.range.start += body.len() - body.trim_start_matches(is_space).len();
    one.range.end -= body.len() - body.trim_end_matches(is_space).len();
    Ok(one)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TokenKind {
    /// A keyword, an unquoted name or a number.
    Word,
    /// A string or a quoted name, with its quotes.
    Quoted,
    /// `;`
    Terminator,
    /// Any other byte that is neither white space nor part of a comment.
    Symbol,
}

#[derive(Clone, Debug)]
struct Token {
    kind: TokenKind,
    range: Range<usize>,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    mode: QuotingMode,
    /// Within `/*! … */`: where it begins, and where it ends for a server that
    /// skips it.
    executable: Option<(usize, usize)>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, mode: QuotingMode) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            mode,
            executable: None,
        }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// The next token, with white space and comments passed over.
    fn next_token(&mut self) -> std::result::Result<Option<Token>, Unreadable> {
        loop {
            let start = self.at;
            let kind = match *self.rest() {
                [] => {
                    return match self.executable {
                        Some((begin, _)) => Err(Unreadable::Unterminated("a comment", begin)),
                        None => Ok(None),
                    };
                }
                [b'#', ..] | [b'-', b'-'] => {
                    self.skip_line();
                    continue;
                }
                [b'-', b'-', after, ..]
                    if after.is_ascii_whitespace() || after.is_ascii_control() =>
                {
                    self.skip_line();
                    continue;
                }
                [b'/', b'*', b'!', ..] | [b'/', b'*', b'M', b'!', ..] => {
                    self.open_executable_comment()?;
                    continue;
                }
                [b'/', b'*', ..] => {
                    self.at = comment_end(self.text, start, Nesting::None)?;
                    continue;
                }
                [b'*', b'/', ..] if self.executable.is_some() => {
                    self.close_executable_comment()?;
                    continue;
                }
                [quote @ (b'\'' | b'"' | b'`'), ..] => {
                    self.skip_quoted(quote)?;
                    TokenKind::Quoted
                }
                [b';', ..] => {
                    self.at += 1;
                    if let Some((begin, _)) = self.executable {
                        return Err(Unreadable::AmbiguousComment(begin));
                    }
                    TokenKind::Terminator
                }
                [byte, ..] if is_word(byte) => {
                    let length = self
                        .rest()
                        .iter()
                        .take_while(|byte| is_word(**byte))
                        .count();
                    self.at += length;
                    TokenKind::Word
                }
                [byte, ..] => {
                    self.at += 1;
                    if is_space(char::from(byte)) {
                        continue;
                    }
                    TokenKind::Symbol
                }
            };
            return Ok(Some(Token {
                kind,
                range: start..self.at,
            }));
        }
    }

    fn skip_line(&mut self) {
        let length = self
            .rest()
            .iter()
            .take_while(|byte| **byte != b'\n')
            .count();
        self.at += length;
    }

    fn skip_quoted(&mut self, quote: u8) -> std::result::Result<(), Unreadable> {
        let start = self.at;
        let escapes = self.mode.escapes_within(quote);
        self.at += 1;
        loop {
            // A doubled quote reads as an end and a new beginning, which comes
            // to the same place.
            match *self.rest() {
                [b'\\', _, ..] if escapes => self.at += 2,
                [byte, ..] => {
                    self.at += 1;
                    if byte == quote {
                        return Ok(());
                    }
                }
                [] => return Err(Unreadable::Unterminated("a quoted text", start)),
            }
        }
    }

    /// Some servers run what stands in `/*! … */` and others skip it, by their
    /// version. It is read as code here; [`close_executable_comment`] checks
    /// that both kinds of server agree on its end.
    ///
    /// [`close_executable_comment`]: Self::close_executable_comment
    fn open_executable_comment(&mut self) -> std::result::Result<(), Unreadable> {
        let begin = self.at;
        if let Some((outer, _)) = self.executable {
            return Err(Unreadable::AmbiguousComment(outer));
        }
        self.executable = Some((begin, comment_end(self.text, begin, Nesting::Once)?));
        self.at += if self.rest().starts_with(b"/*!") {
            3
        } else {
            4
        };
        let version = self
            .rest()
            .iter()
            .take(6)
            .take_while(|byte| byte.is_ascii_digit());
        self.at += version.count();
        Ok(())
    }

    fn close_executable_comment(&mut self) -> std::result::Result<(), Unreadable> {
        self.at += 2;
        match self.executable.take() {
            Some((begin, end)) if end != self.at => Err(Unreadable::AmbiguousComment(begin)),
            _ => Ok(()),
        }
    }
}

/// Letters, digits, `_`, `$` and everything beyond ASCII (MySQL manual, "Schema
/// Object Names").
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// Whether comments may stand within a comment: only in executable ones, once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    None,
    Once,
}

/// Where the comment that begins at `begin` ends when nothing in it is run.
fn comment_end(
    text: &[u8],
    begin: usize,
    nesting: Nesting,
) -> std::result::Result<usize, Unreadable> {
    let mut at = begin + 2;
    loop {
        match text[at..] {
            [b'*', b'/', ..] => return Ok(at + 2),
            [b'/', b'*', ..] if nesting == Nesting::Once => {
                at = comment_end(text, at, Nesting::None)?;
            }
            [_, ..] => at += 1,
            [] => return Err(Unreadable::Unterminated("a comment", begin)),
        }
    }
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
        let statement = query.statement(QuotingMode::Default).expect("a statement");
        statement.to_owned()
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
        assert!(single.statement(QuotingMode::Default).is_ok());
        assert!(single.statement(QuotingMode::AnsiQuotes).is_ok());
        assert!(single.statement(QuotingMode::NoBackslashEscapes).is_err());
        let double = Query::parse(r#"SELECT "a\"; SELECT ""b""#).expect("one in some mode");
        assert!(double.statement(QuotingMode::Default).is_ok());
        assert!(double.statement(QuotingMode::AnsiQuotes).is_err());
        let backslash_at_the_end = Query::parse(r"SELECT 'a\'").expect("one in some mode");
        assert!(
            backslash_at_the_end
                .statement(QuotingMode::Default)
                .is_err()
        );
        assert!(
            backslash_at_the_end
                .statement(QuotingMode::NoBackslashEscapes)
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
}
