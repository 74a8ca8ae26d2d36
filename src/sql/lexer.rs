//! Splits SQL text into tokens: words, quoted texts, terminators and parameters.
//! It skips white space and comments, and knows how each server reads quotes and
//! comments.
//!
//! Sources: MySQL manual, "Comments", "String Literals" and "Server SQL Modes";
//! MariaDB documentation, "Comment Syntax".

use std::ops::Range;

use super::dialect::Dialect;

/// Why a text is not one statement. Each offset, in bytes, is where the cause
/// begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParseError {
    /// The text has no statement.
    Empty,
    /// A second statement begins at the offset.
    Several(usize),
    /// The named quoted text or comment has no end.
    Unterminated(&'static str, usize),
    /// A command of the `mysql` client begins at the offset.
    ClientCommand(usize),
    /// This control character, or white space that servers take for a letter, is
    /// at the offset.
    Invisible(char, usize),
    /// Servers that run this executable comment and servers that skip it
    /// disagree on where it ends.
    AmbiguousComment(usize),
}

/// The kind of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A keyword, an unquoted name or a number.
    Word,
    /// A string or a quoted name, with its quotes.
    Quoted,
    /// `;`
    Terminator,
    /// `:name`, a parameter.
    Parameter,
    /// `?`, the parameter marker of the protocol.
    QuestionMark,
    /// Any other byte that is neither white space nor part of a comment.
    Symbol,
}

/// A token and its place in the text.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub kind: TokenKind,
    /// The byte range of the token.
    pub range: Range<usize>,
}

/// Returns the tokens of a text one by one, as a server of `dialect` reads them.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    /// The offset of the next byte to read.
    at: usize,
    dialect: Dialect,
    /// Within `/*! … */`: the offset where it begins, and the one where it ends
    /// for a server that skips it.
    executable: Option<(usize, usize)>,
}

/// Returns the tokens of `text`, as a server of `dialect` reads them, as far as they can be
/// read.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Vec<Token> {
    let (mut lexer, mut tokens) = (Lexer::new(text, dialect), Vec::new());
    while let Ok(Some(token)) = lexer.next_token() {
        tokens.push(token);
    }
    tokens
}

impl<'a> Lexer<'a> {
    /// Creates a lexer at the beginning of `text`.
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            text: text.as_bytes(),
            at: 0,
            dialect,
            executable: None,
        }
    }

    /// The bytes that have not been read.
    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    /// Returns the next token after white space and comments, or `None` at the
    /// end of the text.
    ///
    /// # Errors
    /// [`ParseError::Unterminated`] and [`ParseError::AmbiguousComment`].
    pub(super) fn next_token(&mut self) -> std::result::Result<Option<Token>, ParseError> {
        loop {
            let start = self.at;
            let kind = match *self.rest() {
                [] => {
                    return match self.executable {
                        Some((begin, _)) => Err(ParseError::Unterminated("a comment", begin)),
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
                [b'/', b'*', ..] if self.dialect.executable_comment(self.rest()).is_some() => {
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
                [b'[', ..] if self.dialect.has_brackets() => {
                    self.skip_quoted(b']')?;
                    TokenKind::Quoted
                }
                [b':', ..] if parameter_name_length(&self.rest()[1..]) > 0 => {
                    self.at += 1 + parameter_name_length(&self.rest()[1..]);
                    TokenKind::Parameter
                }
                [b'?', ..] => {
                    self.at += 1;
                    TokenKind::QuestionMark
                }
                [b';', ..] => {
                    self.at += 1;
                    if let Some((begin, _)) = self.executable {
                        return Err(ParseError::AmbiguousComment(begin));
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

    /// Moves to the end of the line.
    fn skip_line(&mut self) {
        let length = self
            .rest()
            .iter()
            .take_while(|byte| **byte != b'\n')
            .count();
        self.at += length;
    }

    /// Moves past the quoted text that begins here and ends with `quote`.
    fn skip_quoted(&mut self, quote: u8) -> std::result::Result<(), ParseError> {
        let start = self.at;
        let escapes = self.dialect.escapes_within(quote);
        self.at += 1;
        loop {
            // Another doubled quote is read as the end of one text and the beginning
            // of another, which ends at the same place.
            match *self.rest() {
                [b'\\', _, ..] if escapes => self.at += 2,
                [b']', b']', ..] if quote == b']' => self.at += 2,
                [byte, ..] => {
                    self.at += 1;
                    if byte == quote {
                        return Ok(());
                    }
                }
                [] => return Err(ParseError::Unterminated("a quoted text", start)),
            }
        }
    }

    /// Enters `/*! … */`. Some servers run its text and others skip it, depending
    /// on their version. The lexer reads it as code; [`close_executable_comment`]
    /// checks that both kinds of server agree on its end.
    ///
    /// [`close_executable_comment`]: Self::close_executable_comment
    fn open_executable_comment(&mut self) -> std::result::Result<(), ParseError> {
        let begin = self.at;
        if let Some((outer, _)) = self.executable {
            return Err(ParseError::AmbiguousComment(outer));
        }
        self.executable = Some((begin, comment_end(self.text, begin, Nesting::Once)?));
        self.at += self.dialect.executable_comment(self.rest()).unwrap_or(0);
        let version = self
            .rest()
            .iter()
            .take(6)
            .take_while(|byte| byte.is_ascii_digit());
        self.at += version.count();
        Ok(())
    }

    /// Leaves `/*! … */` and checks its end.
    fn close_executable_comment(&mut self) -> std::result::Result<(), ParseError> {
        self.at += 2;
        match self.executable.take() {
            Some((begin, end)) if end != self.at => Err(ParseError::AmbiguousComment(begin)),
            _ => Ok(()),
        }
    }
}

/// Returns whether `byte` is part of a word: letters, digits, `_`, `$` and
/// everything beyond ASCII (MySQL manual, "Schema Object Names").
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 0x80..)
}

/// Returns the length in bytes of the parameter name at the beginning of `text`:
/// letters, digits and `_`, not beginning with a digit. It is 0 if `text` does
/// not begin with a name.
pub(super) fn parameter_name_length(text: &[u8]) -> usize {
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    match text.first() {
        Some(first) if !first.is_ascii_digit() => text.iter().take_while(is_name).count(),
        _ => 0,
    }
}

/// Whether a comment may contain comments: only executable ones may, one level
/// deep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    None,
    Once,
}

/// Returns the offset after the comment that begins at `begin`, as a server sees
/// it that skips the comment.
fn comment_end(
    text: &[u8],
    begin: usize,
    nesting: Nesting,
) -> std::result::Result<usize, ParseError> {
    let mut at = begin + 2;
    loop {
        match text[at..] {
            [b'*', b'/', ..] => return Ok(at + 2),
            [b'/', b'*', ..] if nesting == Nesting::Once => {
                at = comment_end(text, at, Nesting::None)?;
            }
            [_, ..] => at += 1,
            [] => return Err(ParseError::Unterminated("a comment", begin)),
        }
    }
}

/// Returns whether `c` looks like a space or like nothing, and is part of a name for
/// servers.
pub(super) fn is_invisible_letter(c: char) -> bool {
    !c.is_ascii() && (c.is_whitespace() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}'))
}

/// Returns whether `c` is white space between tokens. Only ASCII has such: beyond
/// ASCII, white space is part of names.
pub(super) fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}
