//! Checks that a statement can be read in chunks: that the rows of all chunks are those of
//! the whole.
//!
//! That is so where `:chunk` is a condition of its own among those that AND joins in the
//! WHERE clause of the statement's outermost SELECT, and where that SELECT returns each row
//! by itself: without LIMIT, DISTINCT, groups, aggregates, windows and UNION.

use super::{
    CHUNK, Dialect, Query,
    lexer::{Token, TokenKind, tokens},
};

/// Words at the outermost level that make a result depend on other rows, and their names in
/// messages.
const WORDS_OF_WHOLES: [(&str, &str); 15] = [
    ("LIMIT", "LIMIT"),
    ("OFFSET", "OFFSET"),
    ("FETCH", "FETCH"),
    ("DISTINCT", "DISTINCT"),
    ("DISTINCTROW", "DISTINCT"),
    ("GROUP", "GROUP BY"),
    ("HAVING", "HAVING"),
    ("UNION", "UNION"),
    ("EXCEPT", "EXCEPT"),
    ("MINUS", "MINUS"),
    ("INTERSECT", "INTERSECT"),
    ("OVER", "a window function"),
    ("WINDOW", "a window function"),
    ("QUALIFY", "QUALIFY"),
    ("PROCEDURE", "PROCEDURE"),
];

/// Functions that depend on other rows than their own.
const AGGREGATES: [&str; 20] = [
    "ANY_VALUE",
    "AVG",
    "BIT_AND",
    "BIT_OR",
    "BIT_XOR",
    "COUNT",
    "GROUP_CONCAT",
    "JSON_ARRAYAGG",
    "JSON_OBJECTAGG",
    "MAX",
    "MIN",
    "ST_COLLECT",
    "STD",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "SUM",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
];

/// Words after which the conditions of WHERE have ended.
const ENDS_OF_WHERE: [&str; 10] = [
    "GROUP",
    "HAVING",
    "WINDOW",
    "ORDER",
    "LIMIT",
    "FOR",
    "UNION",
    "EXCEPT",
    "INTERSECT",
    "MINUS",
];

const NO_CONDITION: &str = "has :chunk elsewhere than as a condition of its own";

const NOT_OUTERMOST: &str = "has :chunk in parentheses or in a subquery";

const SEVERAL: &str = "has :chunk more than once";

const HAS_OR: &str = "has OR beside :chunk";

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

/// How far the check has come.
#[derive(Default)]
struct Check {
    nesting: Vec<Nesting>,
    is_in_where: bool,
    /// Whether a BETWEEN waits for its AND.
    is_between: bool,
    /// The word or sign before, in upper case.
    before: String,
    /// Whether that is the AND of a BETWEEN.
    is_second_bound: bool,
    has_or: bool,
    chunks: usize,
}

impl Query {
    /// Checks that the statement returns the same rows in chunks as in one, as far as its
    /// text tells.
    ///
    /// # Errors
    /// What the statement has, as the end of a sentence that begins with it.
    pub fn check_chunk(&self) -> Result<(), String> {
        self.check_each_reading("depends on all rows", check)
    }

    /// Calls `check` with the statement and its tokens, as each server reads them. A
    /// `sql_select_limit` is refused for what it does, `harm`.
    ///
    /// # Errors
    /// What the statement has, as the end of a sentence that begins with it.
    pub(super) fn check_each_reading(
        &self,
        harm: &str,
        check: impl Fn(&str, &[Token]) -> Result<(), String>,
    ) -> Result<(), String> {
        for (dialect, parsed) in Dialect::ALL.iter().zip(&self.parses) {
            let Ok(statement) = parsed else { continue };
            let text = &self.text[statement.range.clone()];
            check(text, &tokens(text, *dialect))?;
        }
        // An optimizer hint (SET_VAR) is a comment here.
        match self.text.to_ascii_uppercase().contains("SQL_SELECT_LIMIT") {
            true => Err(format!("sets sql_select_limit, which {harm}")),
            false => Ok(()),
        }
    }
}

fn check(text: &str, tokens: &[Token]) -> Result<(), String> {
    let mut check = Check::default();
    for (index, token) in tokens.iter().enumerate() {
        let source = &text[token.range.clone()];
        let next = tokens.get(index + 1);
        let next = next.map_or("", |token| &text[token.range.clone()]);
        match token.kind {
            TokenKind::Parameter if source[1..] == *CHUNK => check.chunk(next)?,
            TokenKind::Word => check.word(&source.to_ascii_uppercase(), next)?,
            _ => check.sign(source),
        }
    }
    match check.chunks {
        0 => Err("has no :chunk".to_owned()),
        1 if check.has_or => Err(HAS_OR.to_owned()),
        1 => Ok(()),
        _ => Err(SEVERAL.to_owned()),
    }
}

impl Check {
    /// Whether what follows belongs to the outermost SELECT, perhaps to an expression of it.
    fn is_outermost(&self) -> bool {
        !self.nesting.contains(&Nesting::Query)
    }

    fn chunk(&mut self, next: &str) -> Result<(), String> {
        self.chunks += 1;
        if !self.nesting.is_empty() {
            return Err(NOT_OUTERMOST.to_owned());
        }
        let begins =
            matches!(self.before.as_str(), "WHERE" | "AND" | "&&") && !self.is_second_bound;
        let next = next.to_ascii_uppercase();
        let ends = matches!(next.as_str(), "" | ";" | "AND" | "&")
            || ENDS_OF_WHERE.contains(&next.as_str());
        match self.is_in_where && begins && ends {
            true => {
                self.before = "CHUNK".to_owned();
                Ok(())
            }
            false => Err(NO_CONDITION.to_owned()),
        }
    }

    fn word(&mut self, word: &str, next: &str) -> Result<(), String> {
        let is_query = matches!(word, "SELECT" | "WITH" | "VALUES" | "TABLE");
        if let Some(last @ Nesting::Open) = self.nesting.last_mut() {
            *last = match is_query {
                true => Nesting::Query,
                false => Nesting::Expression,
            };
        }
        // Behind a dot or an @, it is a name.
        let is_name = matches!(self.before.as_str(), "." | "@");
        self.is_second_bound = false;
        if !is_name && self.is_outermost() {
            if next == "(" && AGGREGATES.contains(&word) {
                return Err(format!("has {word}(), which depends on all rows"));
            }
            // In the SQL mode ORACLE, it needs no parentheses.
            if word == "ROWNUM" {
                return Err("has ROWNUM, which depends on all rows".to_owned());
            }
            self.outermost_word(word)?;
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
    fn outermost_word(&mut self, word: &str) -> Result<(), String> {
        // A window function's OVER is within the parentheses of another function, too.
        let found = WORDS_OF_WHOLES.iter().find(|(found, _)| *found == word);
        if let Some((word, name)) = found
            && (self.nesting.is_empty() || *word == "OVER")
        {
            return Err(format!("has {name}, which depends on all rows"));
        }
        if !self.nesting.is_empty() {
            return Ok(());
        }
        match word {
            "WHERE" => self.is_in_where = true,
            "BETWEEN" => self.is_between = true,
            "AND" => self.is_second_bound = std::mem::take(&mut self.is_between),
            "OR" | "XOR" => self.has_or |= self.is_in_where,
            _ if ENDS_OF_WHERE.contains(&word) => self.is_in_where = false,
            _ => {}
        }
        Ok(())
    }

    fn sign(&mut self, source: &str) {
        if let Some(last @ Nesting::Open) = self.nesting.last_mut() {
            *last = Nesting::Expression;
        }
        match source {
            "(" => self.nesting.push(Nesting::Open),
            ")" => {
                self.nesting.pop();
            }
            "|" if self.before == "|" && self.nesting.is_empty() => self.has_or |= self.is_in_where,
            "&" if self.before == "&" => {
                self.before = "&&".to_owned();
                return;
            }
            _ => {}
        }
        self.is_second_bound = false;
        source.clone_into(&mut self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> String {
        let query = Query::parse(text).expect("a query");
        query.check_chunk().err().unwrap_or_default()
    }

    #[test]
    fn a_condition_of_its_own_divides() {
        for text in [
            "SELECT * FROM t WHERE :chunk",
            "SELECT * FROM t WHERE a = 1 AND :chunk ORDER BY id;",
            "SELECT a.`or` FROM t WHERE :chunk AND (a = 1 OR b = 2) AND x BETWEEN 1 AND 2",
            "SELECT 1 FROM t WHERE x BETWEEN 1 AND 2 AND :chunk FOR UPDATE",
            "SELECT IF(a, b, c), 'x OR y', max_id, t.count FROM t JOIN u USING (id) WHERE :chunk && a",
            "SELECT (SELECT COUNT(*) FROM u WHERE u.id = t.id LIMIT 1) FROM t WHERE :chunk",
            "SELECT CASE WHEN a OR b THEN 1 END FROM t WHERE CASE WHEN a OR b THEN 1 END AND :chunk",
            "WITH x AS (SELECT MAX(a) AS a FROM u GROUP BY b) SELECT * FROM x, t WHERE :chunk",
            "SELECT id FROM t WHERE id IN (SELECT id FROM u UNION SELECT 1) AND :chunk",
            "SELECT t.rownum, `rownum` FROM t WHERE :chunk",
            "SELECT 1 FROM t WHERE a -- OR\n AND :chunk /* LIMIT 1 */",
        ] {
            assert_eq!(problem(text), "", "{text}");
        }
    }

    #[test]
    fn what_is_not_row_by_row_is_refused() {
        for (text, expected) in [
            ("SELECT 1 FROM t", "has no :chunk"),
            ("SELECT 1 FROM t WHERE a OR :chunk", NO_CONDITION),
            ("SELECT 1 FROM t WHERE a OR b AND :chunk", HAS_OR),
            ("SELECT 1 FROM t WHERE :chunk AND a || b", HAS_OR),
            ("SELECT 1 FROM t WHERE :chunk AND a XOR b", HAS_OR),
            ("SELECT 1 FROM t WHERE NOT :chunk", NO_CONDITION),
            ("SELECT 1 FROM t WHERE :chunk = 0", NO_CONDITION),
            ("SELECT 1 FROM t WHERE a BETWEEN 1 AND :chunk", NO_CONDITION),
            ("SELECT :chunk FROM t", NO_CONDITION),
            (
                "SELECT 1 FROM t LEFT JOIN u ON u.a = t.a AND :chunk",
                NO_CONDITION,
            ),
            ("SELECT 1 FROM t WHERE (:chunk)", NOT_OUTERMOST),
            (
                "SELECT 1 FROM t WHERE CASE WHEN a AND :chunk THEN 1 END",
                NOT_OUTERMOST,
            ),
            (
                "SELECT 1 FROM (SELECT * FROM t WHERE :chunk) q",
                NOT_OUTERMOST,
            ),
            ("SELECT 1 FROM t WHERE :chunk AND a AND :chunk", SEVERAL),
            (
                "SELECT COUNT(*) FROM t WHERE :chunk",
                "has COUNT(), which depends on all rows",
            ),
            (
                "SELECT ROUND(SUM(a), 2) FROM t WHERE :chunk",
                "has SUM(), which depends on all rows",
            ),
            (
                "SELECT a FROM t WHERE (ROWNUM() <= 5) AND :chunk",
                "has ROWNUM, which depends on all rows",
            ),
            (
                "SELECT IF(rownum < 5, 1, 2) FROM t WHERE :chunk",
                "has ROWNUM, which depends on all rows",
            ),
            (
                "SELECT /*+ SET_VAR(sql_select_limit = 5) */ a FROM t WHERE :chunk",
                "sets sql_select_limit, which depends on all rows",
            ),
            (
                "SELECT DISTINCT a FROM t WHERE :chunk",
                "has DISTINCT, which depends on all rows",
            ),
            (
                "SELECT a FROM t WHERE :chunk LIMIT 5",
                "has LIMIT, which depends on all rows",
            ),
            (
                "SELECT a FROM t WHERE :chunk GROUP BY a",
                "has GROUP BY, which depends on all rows",
            ),
            (
                "SELECT a FROM t WHERE :chunk UNION ALL SELECT 1",
                "has UNION, which depends on all rows",
            ),
            (
                "SELECT RANK() OVER (ORDER BY a) FROM t WHERE :chunk",
                "has a window function, which depends on all rows",
            ),
            (
                "SELECT ROUND(RANK() OVER w) FROM t WHERE :chunk",
                "has a window function, which depends on all rows",
            ),
        ] {
            assert_eq!(problem(text), expected, "{text}");
        }
    }
}
