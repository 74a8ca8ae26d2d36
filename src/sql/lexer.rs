//! SQL text as tokens: words, quoted texts, terminators, parameters, with white
//! space and comments passed over, in every SQL mode that changes quoting.
//!
//! Sources: MySQL manual, "Comments", "String Literals" and "Server SQL Modes";
//! MariaDB documentation, "Comment Syntax".

use std::ops::Range;

use super::QuotingMode;

/// Why a text is not one statement; the offset is where the reason begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Empty,
    Several(usize),
    Unterminated(&'static str, usize),
    AmbiguousComment(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A keyword, an unquoted name or a number.
    Word,
    /// A string or a quoted name, with its quotes.
    Quoted,
    /// `;`
    Terminator,
    /// `:name`, which stands for a parameter.
    Parameter,
    /// `?`, the protocol's own mark for a parameter.
    QuestionMark,
    /// Any other byte that is neither white space nor part of a comment.
    Symbol,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub range: Range<usize>,
}

/// Gives the tokens of a text as a server in `mode` reads them.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    mode: QuotingMode,
    /// Within `/*! … */`: where it begins, and where it ends for a server that
    /// skips it.
    executable: Option<(usize, usize)>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, mode: QuotingMode) -> Self {
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
    pub(super) fn next_token(&mut self) -> std::result::Result<Option<Token>, Unreadable> {
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

/// How many bytes of `text`, from its beginning, are a parameter's name:
/// letters, digits and `_`, not beginning with a digit. Zero where none is there.
pub(super) fn parameter_name_length(text: &[u8]) -> usize {
    let is_name = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    match text.first() {
        Some(first) if !first.is_ascii_digit() => text.iter().take_while(is_name).count(),
        _ => 0,
    }
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

/// White space between tokens. Beyond ASCII there is none: there it is part of
/// names.
pub(super) fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}
