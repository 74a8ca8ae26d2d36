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
    /// It is alone in parentheses of its own within `IN (…)`: `IN ((:ids))`. A list
    /// does not fit, but may be meant.
    Nested,
    /// It is anything else.
    Other,
}

/// The last token, as far as it says what the next one is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    /// The word `IN`.
    In,
    /// `(`, behind which an element of `IN (…)` begins.
    Open,
    /// `,`, behind which another one begins.
    Comma,
    /// A placeholder that began as an element and must end as one.
    Element,
    /// A placeholder that began alone in nested parentheses and must end so.
    NestedElement,
    #[default]
    Other,
}

/// What a pair of parentheses is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parentheses {
    /// Those of `IN (…)`.
    InList,
    /// Others around a whole element of `IN (…)`.
    Nested,
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
    /// The parentheses that are open.
    open: Vec<Parentheses>,
    last: Last,
}

impl Finder {
    /// Takes the next token, whose text is `text`.
    pub(super) fn push(&mut self, token: &Token, text: &str) {
        let last = mem::take(&mut self.last);
        let position = match (last, text) {
            (Last::Element, ")" | ",") => Position::InList,
            (Last::NestedElement, ")") => Position::Nested,
            _ => Position::Other,
        };
        if let (true, Some(element)) = (position != Position::Other, self.found.last_mut()) {
            element.position = position;
        }
        let begins_element = matches!(last, Last::Open | Last::Comma);
        let around = self.open.last().copied().unwrap_or(Parentheses::Other);
        match (token.kind, text) {
            (TokenKind::Parameter, _) => {
                self.found.push(Placeholder {
                    range: token.range.clone(),
                    position: Position::Other,
                });
                self.last = match (around, last) {
                    (Parentheses::InList, Last::Open | Last::Comma) => Last::Element,
                    (Parentheses::Nested, Last::Open) => Last::NestedElement,
                    _ => Last::Other,
                };
            }
            (TokenKind::Word, word) if word.eq_ignore_ascii_case("IN") => self.last = Last::In,
            (TokenKind::Word, word) if begins_element && begins_query(word) => {
                if let Some(around) = self.open.last_mut() {
                    *around = Parentheses::Other;
                }
            }
            (TokenKind::Symbol, "(") => {
                self.open.push(match (last, around) {
                    (Last::In, _) => Parentheses::InList,
                    (Last::Open | Last::Comma, Parentheses::InList)
                    | (Last::Open, Parentheses::Nested) => Parentheses::Nested,
                    _ => Parentheses::Other,
                });
                self.last = Last::Open;
            }
            (TokenKind::Symbol, ",") => self.last = Last::Comma,
            (TokenKind::Symbol, ")") => drop(self.open.pop()),
            _ => {}
        }
    }

    /// The placeholders, in the order of the text.
    pub(super) fn finish(self) -> Vec<Placeholder> {
        self.found
    }
}
