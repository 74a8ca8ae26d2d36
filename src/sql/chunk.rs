//! Checks that a statement can be read in chunks: that the rows of all chunks are those of
//! the whole.
//!
//! That is so where `:chunk` is a condition of its own among those that AND joins in the
//! WHERE clause of the statement's outermost SELECT, and where that SELECT returns each row
//! by itself: without LIMIT, DISTINCT, groups, aggregates, windows and UNION.

use super::{
    CHUNK, Dialect, Query,
    lexer::{Token, tokens},
    where_clause::{Demands, Walk},
};

/// Words at the outermost level that make a result depend on other rows, and their names in
/// messages.
const WORDS_OF_WHOLES: &[(&str, &str)] = &[
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
const AGGREGATES: &[&str] = &[
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

const DEMANDS: Demands = Demands {
    words: WORDS_OF_WHOLES,
    functions: AGGREGATES,
    harm: "depends on all rows",
};

impl Query {
    /// Checks that the statement returns the same rows in chunks as in one, as far as its
    /// text tells.
    ///
    /// # Errors
    /// What the statement has, as the end of a sentence that begins with it.
    pub fn check_chunk(&self) -> Result<(), String> {
        self.check_each_reading(DEMANDS.harm, check)
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
    let find = |index: usize| {
        let source = &text[tokens[index].range.clone()];
        Ok((source[1..] == *CHUNK).then_some(index))
    };
    match Walk::new(text, tokens, &DEMANDS).conditions(find)? {
        0 => Err("has no :chunk".to_owned()),
        1 => Ok(()),
        _ => Err("has :chunk more than once".to_owned()),
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
            (
                "SELECT 1 FROM t WHERE a OR :chunk",
                "has :chunk elsewhere than in a condition of its own",
            ),
            (
                "SELECT 1 FROM t WHERE a OR b AND :chunk",
                "has OR beside :chunk",
            ),
            (
                "SELECT 1 FROM t WHERE :chunk AND a || b",
                "has OR beside :chunk",
            ),
            (
                "SELECT 1 FROM t WHERE :chunk AND a XOR b",
                "has OR beside :chunk",
            ),
            (
                "SELECT 1 FROM t WHERE NOT :chunk",
                "has :chunk elsewhere than in a condition of its own",
            ),
            (
                "SELECT 1 FROM t WHERE :chunk = 0",
                "has :chunk elsewhere than in a condition of its own",
            ),
            (
                "SELECT 1 FROM t WHERE a BETWEEN 1 AND :chunk",
                "has :chunk elsewhere than in a condition of its own",
            ),
            (
                "SELECT :chunk FROM t",
                "has :chunk elsewhere than in a condition of its own",
            ),
            (
                "SELECT 1 FROM t LEFT JOIN u ON u.a = t.a AND :chunk",
                "has :chunk elsewhere than in a condition of its own",
            ),
            (
                "SELECT 1 FROM t WHERE (:chunk)",
                "has :chunk in parentheses or in a subquery",
            ),
            (
                "SELECT 1 FROM t WHERE CASE WHEN a AND :chunk THEN 1 END",
                "has :chunk in parentheses or in a subquery",
            ),
            (
                "SELECT 1 FROM (SELECT * FROM t WHERE :chunk) q",
                "has :chunk in parentheses or in a subquery",
            ),
            (
                "SELECT 1 FROM t WHERE :chunk AND a AND :chunk",
                "has :chunk more than once",
            ),
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
