//! Finds the `:name` placeholders of a statement, and which of them are elements of
//! an `IN (…)` list, where a list of values fits.

use std::{mem, ops::Range};

use super::lexer::{Token, TokenKind};

/// A `:name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placeholder {
    /// Its byte range, with the colon.
    pub range: Range<usize>,
    pub position: Position,
}

/// Where a placeholder stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// It is a whole element of `IN (…)`.
    InList,
    /// It is anything else.
    Other,
}

/// The last token, as far as it says what the next one is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    /// The word `IN`.
    In,
    /// What an element of `IN (…)` begins behind: `(` or `,`.
    Separator,
    /// A placeholder that began as an element and must end as one.
    Element,
    #[default]
    Other,
}

/// Returns whether `word` makes a query of what stands in parentheses.
fn begins_query(word: &str) -> bool {
    let keywords = ["SELECT", "WITH", "VALUES", "TABLE"];
    keywords
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// Finds placeholders, token by token.
#[derive(Default)]
pub(super) struct Finder {
    found: Vec<Placeholder>,
    /// For each parenthesis that is open, whether it is that of `IN (…)`.
    open: Vec<bool>,
    last: Last,
}

impl Finder {
    /// Takes the next token, whose text is `text`.
    pub(super) fn push(&mut self, token: &Token, text: &str) {
        let last = mem::take(&mut self.last);
        let is_end = matches!(text, ")" | ",");
        if let (Last::Element, true, Some(element)) = (last, is_end, self.found.last_mut()) {
            element.position = Position::InList;
        }
        let in_list = self.open.last() == Some(&true);
        match (token.kind, text) {
            (TokenKind::Parameter, _) => {
                self.found.push(Placeholder {
                    range: token.range.clone(),
                    position: Position::Other,
                });
                if in_list && last == Last::Separator {
                    self.last = Last::Element;
                }
            }
            (TokenKind::Word, word) if word.eq_ignore_ascii_case("IN") => self.last = Last::In,
            (TokenKind::Word, word) if last == Last::Separator && begins_query(word) => {
                if let Some(in_list) = self.open.last_mut() {
                    *in_list = false;
                }
            }
            (TokenKind::Symbol, "(") => {
                self.open.push(last == Last::In);
                self.last = Last::Separator;
            }
            (TokenKind::Symbol, ",") => self.last = Last::Separator,
            (TokenKind::Symbol, ")") => drop(self.open.pop()),
            _ => {}
        }
    }

    /// The placeholders, in the order of the text.
    pub(super) fn finish(self) -> Vec<Placeholder> {
        self.found
    }
}
