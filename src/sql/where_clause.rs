//! Walks through a statement, and tells which conditions are joined by AND in the WHERE
//! clause of its outermost SELECT: these hold for each row that it returns.

use super::lexer::{Token, TokenKind};

/// Words after which the conditions of WHERE have ended.
const ENDS_OF_WHERE: [&str; 12] = [
    "GROUP",
    "HAVING",
    "WINDOW",
    "ORDER",
    "LIMIT",
    "LOCK",
    "INTO",
    "FOR",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "MINUS",
];

/// What encloses a word.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nesting {
    /// Parentheses.
    Expression,
    /// CASE … END.
    Case,
    /// The parentheses of a subquery.
    Query,
    /// A parenthesis whose first word has not come.
    Open,
}

/// What a statement may not have besides its conditions.
pub(super) struct Demands {
    /// Words of the outermost SELECT, and their names in messages.
    pub words: &'static [(&'static str, &'static str)],
    /// Functions of the outermost SELECT.
    pub functions: &'static [&'static str],
    /// What they do, as the end of a sentence.
    pub harm: &'static str,
}

/// How far the walk has come.
pub(super) struct Walk<'a> {
    text: &'a str,
    tokens: &'a [Token],
    demands: &'a Demands,
    nesting: Vec<Nesting>,
    is_in_where: bool,
    /// Whether a BETWEEN waits for its AND.
    is_between: bool,
    /// The word or sign before, in upper case.
    before: String,
    /// The index of the token with which the present condition begins.
    begin: usize,
    has_or: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(text: &'a str, tokens: &'a [Token], demands: &'a Demands) -> Self {
        Self {
            text,
            tokens,
            demands,
            nesting: Vec::new(),
            is_in_where: false,
            is_between: false,
            before: String::new(),
            begin: usize::MAX,
            has_or: false,
        }
    }

    /// Walks to the end. `find` returns the index of the first token of the condition that
    /// ends with the parameter at an index, if it is one that is looked for. Returns their
    /// number.
    ///
    /// # Errors
    /// What the statement has, as the end of a sentence that begins with it.
    pub(super) fn conditions(
        mut self,
        find: impl Fn(usize) -> Result<Option<usize>, String>,
    ) -> Result<usize, String> {
        let (mut count, mut last) = (0, "");
        for (index, token) in self.tokens.iter().enumerate() {
            let source = self.source(index);
            match token.kind {
                TokenKind::Parameter => match find(index)? {
                    Some(first) => {
                        (count, last) = (count + 1, source);
                        self.condition(first, index)?;
                    }
                    None => self.sign(index, source),
                },
                TokenKind::Word => self.word(index, &source.to_ascii_uppercase())?,
                _ => self.sign(index, source),
            }
        }
        match self.has_or && count > 0 {
            true => Err(format!("has OR beside {last}")),
            false => Ok(count),
        }
    }

    /// The text of the token at `index`; empty behind the last one.
    fn source(&self, index: usize) -> &'a str {
        let token = self.tokens.get(index);
        token.map_or("", |token| &self.text[token.range.clone()])
    }

    /// Checks the condition of the tokens from `first` to `last`.
    fn condition(&mut self, first: usize, last: usize) -> Result<(), String> {
        let name = self.source(last);
        if !self.nesting.is_empty() {
            return Err(format!("has {name} in parentheses or in a subquery"));
        }
        let next = self.source(last + 1).to_ascii_uppercase();
        let is_and = next == "&" && self.source(last + 2) == "&";
        let ends = matches!(next.as_str(), "" | ";" | "AND")
            || is_and
            || ENDS_OF_WHERE.contains(&next.as_str());
        match self.is_in_where && self.begin == first && ends {
            true => {
                "CONDITION".clone_into(&mut self.before);
                Ok(())
            }
            false => Err(format!(
                "has {name} elsewhere than in a condition of its own"
            )),
        }
    }

    /// Whether what follows belongs to the outermost SELECT, perhaps to an expression of it.
    fn is_outermost(&self) -> bool {
        !self.nesting.contains(&Nesting::Query)
    }

    fn word(&mut self, index: usize, word: &str) -> Result<(), String> {
        let is_query = matches!(word, "SELECT" | "WITH" | "VALUES" | "TABLE");
        if let Some(last @ Nesting::Open) = self.nesting.last_mut() {
            *last = match is_query {
                true => Nesting::Query,
                false => Nesting::Expression,
            };
        }
        // Behind a dot or an @, it is a name.
        let is_name = matches!(self.before.as_str(), "." | "@");
        let harm = self.demands.harm;
        if !is_name && self.is_outermost() {
            if self.source(index + 1) == "(" && self.demands.functions.contains(&word) {
                return Err(format!("has {word}(), which {harm}"));
            }
            // In the SQL mode ORACLE, it needs no parentheses.
            if word == "ROWNUM" {
                return Err(format!("has ROWNUM, which {harm}"));
            }
            self.outermost_word(index, word)?;
        }
        if !is_name && word == "CASE" {
            self.nesting.push(Nesting::Case);
        } else if !is_name && word == "END" {
            let _ = self.nesting.pop_if(|last| *last == Nesting::Case);
        }
        word.clone_into(&mut self.before);
        Ok(())
    }

    /// Looks at a word of the outermost SELECT.
    fn outermost_word(&mut self, index: usize, word: &str) -> Result<(), String> {
        // A window function's OVER is within the parentheses of another function, too.
        let found = self.demands.words.iter().find(|(found, _)| *found == word);
        if let Some((word, name)) = found
            && (self.nesting.is_empty() || *word == "OVER")
        {
            return Err(format!("has {name}, which {}", self.demands.harm));
        }
        // The past has other rows than the present, in which bounds are looked up.
        if word == "SYSTEM_TIME" && self.before == "FOR" {
            return Err(format!("has FOR SYSTEM_TIME, which {}", self.demands.harm));
        }
        if !self.nesting.is_empty() {
            return Ok(());
        }
        match word {
            "WHERE" => (self.is_in_where, self.begin) = (true, index + 1),
            "BETWEEN" => self.is_between = true,
            "AND" if !std::mem::take(&mut self.is_between) => self.begin = index + 1,
            "OR" | "XOR" => self.has_or |= self.is_in_where,
            _ if ENDS_OF_WHERE.contains(&word) => self.is_in_where = false,
            _ => {}
        }
        Ok(())
    }

    fn sign(&mut self, index: usize, source: &str) {
        if let Some(last @ Nesting::Open) = self.nesting.last_mut() {
            *last = Nesting::Expression;
        }
        match source {
            "(" => self.nesting.push(Nesting::Open),
            ")" => {
                self.nesting.pop();
            }
            "|" if self.before == "|" && self.nesting.is_empty() => self.has_or |= self.is_in_where,
            "&" if self.before == "&" && self.nesting.is_empty() => self.begin = index + 1,
            _ => {}
        }
        source.clone_into(&mut self.before);
    }
}
