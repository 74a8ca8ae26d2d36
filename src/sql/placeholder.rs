//! Finds the `:name` placeholders of a statement: which of them are elements of an
//! `IN (…)` list, where a list of values fits, and which stand where the grammar takes
//! whole numbers only.

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
    /// The grammar takes a whole number or a marker of the protocol there, and no
    /// string: in LIMIT and in some window functions.
    WholeNumber,
    /// It does so in the frame of a window, which takes fractions too.
    Number,
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
    /// A placeholder in the frame of a window.
    FrameBound,
    /// `.`, behind which a function is one of a database.
    Dot,
    /// LIMIT or another word before a whole number.
    BeforeNumber,
    /// The whole number after LIMIT, or a placeholder for one.
    Limit,
    /// A function whose first argument is a whole number: NTILE.
    Ntile,
    /// A function whose second argument is one: LEAD, LAG and NTH_VALUE.
    Offset,
    #[default]
    Other,
}

impl Last {
    /// What a word is.
    fn of_word(word: &str) -> Self {
        match word.to_ascii_uppercase().as_str() {
            "IN" => Self::In,
            // `LIMIT`, `OFFSET`, `FETCH FIRST` and `NEXT`, and `LIMIT ROWS EXAMINED`.
            "LIMIT" | "OFFSET" | "FIRST" | "NEXT" | "EXAMINED" => Self::BeforeNumber,
            "NTILE" => Self::Ntile,
            "LEAD" | "LAG" | "NTH_VALUE" => Self::Offset,
            _ => Self::Other,
        }
    }
}

/// What a pair of parentheses is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parentheses {
    /// Those of `IN (…)`.
    InList,
    /// Others around a whole element of `IN (…)`.
    Nested,
    /// Those of a function whose next argument is a whole number.
    WholeNumber,
    /// Those of a function whose argument after the next comma is one.
    Offset,
    /// Those of a window with a frame.
    Frame,
    Other,
}

impl Parentheses {
    /// Goes on to the next argument.
    fn pass_comma(&mut self) {
        *self = match self {
            Self::Offset => Self::WholeNumber,
            Self::WholeNumber => Self::Other,
            Self::InList | Self::Nested | Self::Frame | Self::Other => return,
        };
    }
}

/// Returns whether `word` begins the frame of a window.
fn begins_frame(word: &str) -> bool {
    word.eq_ignore_ascii_case("ROWS") || word.eq_ignore_ascii_case("RANGE")
}

/// Returns whether `word` ends the number in the frame of a window.
fn ends_frame(word: &str) -> bool {
    word.eq_ignore_ascii_case("PRECEDING") || word.eq_ignore_ascii_case("FOLLOWING")
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
            (Last::Element, ")" | ",") => Some(Position::InList),
            (Last::NestedElement, ")") => Some(Position::Nested),
            (Last::FrameBound, word) if ends_frame(word) => Some(Position::Number),
            _ => None,
        };
        if let (Some(position), Some(element)) = (position, self.found.last_mut()) {
            element.position = position;
        }
        let begins_element = matches!(last, Last::Open | Last::Comma);
        let around = self.open.last().copied().unwrap_or(Parentheses::Other);
        match (token.kind, text) {
            (TokenKind::Parameter, _) => {
                let (position, last) = match (around, last) {
                    (_, Last::BeforeNumber) => (Position::WholeNumber, Last::Limit),
                    (Parentheses::WholeNumber, Last::Open | Last::Comma) => {
                        (Position::WholeNumber, Last::Other)
                    }
                    (Parentheses::InList, Last::Open | Last::Comma) => {
                        (Position::Other, Last::Element)
                    }
                    (Parentheses::Nested, Last::Open) => (Position::Other, Last::NestedElement),
                    (Parentheses::Frame, _) => (Position::Other, Last::FrameBound),
                    _ => (Position::Other, Last::Other),
                };
                let range = token.range.clone();
                self.found.push(Placeholder { range, position });
                self.last = last;
            }
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
                    (Last::Ntile, _) => Parentheses::WholeNumber,
                    (Last::Offset, _) => Parentheses::Offset,
                    _ => Parentheses::Other,
                });
                self.last = Last::Open;
            }
            // `LIMIT 10, 20`
            (TokenKind::Symbol, ",") if last == Last::Limit => self.last = Last::BeforeNumber,
            (TokenKind::Symbol, ",") => {
                if let Some(around) = self.open.last_mut() {
                    around.pass_comma();
                }
                self.last = Last::Comma;
            }
            (TokenKind::Symbol, ")") => drop(self.open.pop()),
            (TokenKind::Symbol, ".") => self.last = Last::Dot,
            (TokenKind::Word, _) if last == Last::Dot => {}
            (TokenKind::Word, word)
                if last == Last::BeforeNumber && word.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                self.last = Last::Limit;
            }
            (TokenKind::Word, word) if begins_frame(word) => {
                if let Some(around @ Parentheses::Other) = self.open.last_mut() {
                    *around = Parentheses::Frame;
                }
            }
            (TokenKind::Word, word) => self.last = Last::of_word(word),
            _ => {}
        }
    }

    /// The placeholders, in the order of the text.
    pub(super) fn finish(self) -> Vec<Placeholder> {
        self.found
    }
}
