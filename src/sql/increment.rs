//! Checks that a statement reads each row of an increment once: that it compares the column
//! with the bounds so that no row is in two increments, and none in neither.

use super::{
    Query,
    lexer::{Token, TokenKind},
};

/// The parameter that stands for the condition of an increment.
pub const INCREMENT: &str = "increment";

/// The parameter that stands for the value that the rows of an increment are after.
pub const SINCE: &str = "since";

/// The parameter that stands for the value up to which they are.
pub const UNTIL: &str = "until";

/// Words at the outermost level that leave rows out.
const WORDS_OF_LIMITS: [&str; 4] = ["LIMIT", "OFFSET", "FETCH", "ROWNUM"];

impl Query {
    /// Checks how the statement compares `column` with the bounds of an increment, as far as
    /// its text tells.
    ///
    /// # Errors
    /// What the statement has, as the end of a sentence that begins with it.
    ///
    /// ```
    /// use gold_digger::sql::Query;
    ///
    /// let query = Query::parse("SELECT * FROM t WHERE id > :since AND id <= :until")?;
    /// assert_eq!(query.check_increment("id"), Ok(()));
    /// let query = Query::parse("SELECT * FROM t WHERE id >= :since")?;
    /// assert!(query.check_increment("id").is_err());
    /// # Ok::<(), gold_digger::error::Error>(())
    /// ```
    pub fn check_increment(&self, column: &str) -> Result<(), String> {
        self.check_each_reading("leaves rows out", |text, tokens| {
            check(text, tokens, column)
        })
    }
}

fn check(text: &str, tokens: &[Token], column: &str) -> Result<(), String> {
    let source = |index: usize| &text[tokens[index].range.clone()];
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        let word = source(index);
        match token.kind {
            TokenKind::Symbol if word == "(" => depth += 1,
            TokenKind::Symbol if word == ")" => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 => {
                let is_name = index > 0 && matches!(source(index - 1), "." | "@");
                let mut limits = WORDS_OF_LIMITS.iter();
                let limit = limits.find(|limit| word.eq_ignore_ascii_case(limit));
                if let (Some(limit), false) = (limit, is_name) {
                    return Err(format!("has {limit}, which leaves rows out"));
                }
            }
            TokenKind::Parameter => {
                let operator = match &word[1..] {
                    SINCE => &[">"][..],
                    UNTIL => &["<", "="],
                    _ => continue,
                };
                let start = index.checked_sub(operator.len() + 1);
                let is_right = start.is_some_and(|start| {
                    let mut signs = operator.iter().enumerate();
                    is_name(source(start), column)
                        && signs.all(|(at, sign)| source(start + 1 + at) == *sign)
                });
                if !is_right {
                    let operator = operator.concat();
                    return Err(format!(
                        "has {word} elsewhere than in {column} {operator} {word}"
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether `source` is the name `column`, perhaps in quotes.
fn is_name(source: &str, column: &str) -> bool {
    let quotes = [('`', '`'), ('"', '"'), ('[', ']')];
    let mut inner = quotes
        .iter()
        .filter_map(|(open, close)| source.strip_prefix(*open)?.strip_suffix(*close));
    let name = inner.next().unwrap_or(source);
    name.to_lowercase() == column.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_compared_so_that_each_row_is_in_one_increment() {
        for (text, expected) in [
            ("SELECT 1 FROM t WHERE id > :since", ""),
            ("SELECT 1 FROM t WHERE (t.`ID`>:since) AND t.id<=:until", ""),
            (
                "SELECT (SELECT 1 LIMIT 1), t.limit FROM t WHERE :increment",
                "",
            ),
            (
                "SELECT 1 FROM t WHERE id >= :since",
                "has :since elsewhere than in id > :since",
            ),
            (
                "SELECT 1 FROM t WHERE id <=> :since",
                "has :since elsewhere than in id > :since",
            ),
            (
                "SELECT 1 FROM t WHERE :since < id",
                "has :since elsewhere than in id > :since",
            ),
            (
                "SELECT 1 FROM t WHERE x.at > :since",
                "has :since elsewhere than in id > :since",
            ),
            (
                "SELECT 1 FROM t WHERE id > :since AND id < :until",
                "has :until elsewhere than in id <= :until",
            ),
            (
                "SELECT 1 FROM t WHERE id BETWEEN :since AND :until",
                "has :since elsewhere than in id > :since",
            ),
            (
                "SELECT 1 FROM t WHERE :increment LIMIT 5",
                "has LIMIT, which leaves rows out",
            ),
            (
                "SELECT /*+ SET_VAR(sql_select_limit=5) */ 1 FROM t WHERE :increment",
                "sets sql_select_limit, which leaves rows out",
            ),
        ] {
            let query = Query::parse(text).expect("a query");
            let problem = query.check_increment("id").err().unwrap_or_default();
            assert_eq!(problem, expected, "{text}");
        }
    }
}
