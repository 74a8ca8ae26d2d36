//! Checks that a statement reads each row of an increment once: that it compares the column
//! with the bounds so that no row is in two increments, and none in neither.

use super::{
    Query, SplitColumns,
    lexer::Token,
    where_clause::{Demands, Walk},
};

/// The parameter that stands for the condition of an increment.
pub const INCREMENT: &str = "increment";

/// The parameter that stands for the value that the rows of an increment are after.
pub const SINCE: &str = "since";

/// The parameter that stands for the value up to which they are.
pub const UNTIL: &str = "until";

/// What leaves rows out, and other rows than those of the conditions.
const DEMANDS: Demands = Demands {
    words: &[
        ("LIMIT", "LIMIT"),
        ("OFFSET", "OFFSET"),
        ("FETCH", "FETCH"),
        ("PROCEDURE", "PROCEDURE"),
        ("UNION", "UNION"),
        ("EXCEPT", "EXCEPT"),
        ("MINUS", "MINUS"),
        ("INTERSECT", "INTERSECT"),
        ("SKIP", "SKIP LOCKED"),
        ("SET", "SET STATEMENT"),
    ],
    functions: &[],
    harm: "leaves rows out, or reads others",
};

impl Query {
    /// Checks how the statement compares the first column of `by` with the bounds of an
    /// increment, as far as its text tells: in conditions that each row fulfils.
    ///
    /// # Errors
    /// What the statement has, as the end of a sentence that begins with it.
    ///
    /// ```
    /// use gold_digger::sql::{Query, SplitColumns};
    ///
    /// let by: SplitColumns = "id".parse()?;
    /// let query = Query::parse("SELECT * FROM t WHERE id > :since AND id <= :until").expect("a query");
    /// assert_eq!(query.check_increment(&by), Ok(()));
    /// let query = Query::parse("SELECT * FROM t WHERE id >= :since").expect("a query");
    /// assert!(query.check_increment(&by).is_err());
    /// # Ok::<(), String>(())
    /// ```
    pub fn check_increment(&self, by: &SplitColumns) -> Result<(), String> {
        self.check_each_reading(DEMANDS.harm, |text, tokens| check(text, tokens, by))
    }
}

fn check(text: &str, tokens: &[Token], by: &SplitColumns) -> Result<(), String> {
    let source = |index: usize| &text[tokens[index].range.clone()];
    let column = by.names.first().map(String::as_str).unwrap_or_default();
    let find = |index: usize| {
        let word = source(index);
        let operator = match &word[1..] {
            INCREMENT => return Ok(Some(index)),
            SINCE => &[">"][..],
            UNTIL => &["<", "="],
            _ => return Ok(None),
        };
        let wrong = || {
            let operator = operator.concat();
            format!("has {word} elsewhere than in {column} {operator} {word}")
        };
        let name = index.checked_sub(operator.len() + 1).ok_or_else(wrong)?;
        let mut signs = operator.iter().enumerate();
        let is_right =
            is_name(source(name), column) && signs.all(|(at, sign)| source(name + 1 + at) == *sign);
        if !is_right {
            return Err(wrong());
        }
        if name < 2 || source(name - 1) != "." {
            return Ok(Some(name));
        }
        // A database may stand before the table, too.
        let table = source(name - 2);
        match by
            .qualifier
            .as_ref()
            .is_none_or(|qualifier| is_name(table, qualifier))
        {
            true if name >= 4 && source(name - 3) == "." => Ok(Some(name - 4)),
            true => Ok(Some(name - 2)),
            false => Err(format!(
                "compares {table}.{column} with {word}, and another table is followed"
            )),
        }
    };
    Walk::new(text, tokens, &DEMANDS).conditions(find).map(drop)
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

    fn problem(text: &str, by: &str) -> String {
        let query = Query::parse(text).expect("a query");
        let by = by.parse().expect("columns");
        query.check_increment(&by).err().unwrap_or_default()
    }

    #[test]
    fn bounds_are_conditions_that_each_row_fulfils() {
        for text in [
            "SELECT 1 FROM t WHERE id > :since",
            "SELECT 1 FROM t WHERE t.`ID`>:since AND d.t.id<=:until ORDER BY id",
            "SELECT (SELECT 1 LIMIT 1), t.limit FROM t WHERE :increment",
            "SELECT day, COUNT(*) FROM t WHERE (a OR b) AND :increment GROUP BY day",
            "SELECT 1 FROM t WHERE x BETWEEN 1 AND 2 && id > :since",
        ] {
            assert_eq!(problem(text, "id"), "", "{text}");
        }
        assert_eq!(
            problem("SELECT 1 FROM t x JOIN u WHERE x.id > :since", "x.id"),
            ""
        );
    }

    #[test]
    fn what_would_lose_rows_or_double_them_is_told() {
        let since = "has :since elsewhere than in id > :since";
        let own = "has :since elsewhere than in a condition of its own";
        let increment = "has :increment elsewhere than in a condition of its own";
        for (condition, expected) in [
            ("id >= :since", since),
            ("id <=> :since", since),
            (":since < id", since),
            ("x.at > :since", since),
            (
                "id > :since AND id < :until",
                "has :until elsewhere than in id <= :until",
            ),
            ("id BETWEEN :since AND :until", since),
            ("id > :since - 2", own),
            ("2 - id > :since", own),
            ("NOT id > :since", own),
            ("x BETWEEN 1 AND id > :since", own),
            (
                "(id > :since) IS NULL",
                "has :since in parentheses or in a subquery",
            ),
            ("id > :since OR id <= :until", own),
            ("a = 1 OR :increment", increment),
            ("a = 1 OR b AND :increment", "has OR beside :increment"),
            ("NOT :increment", increment),
            (
                ":increment UNION ALL SELECT id FROM t",
                "has UNION, which leaves rows out, or reads others",
            ),
            (":increment LOCK IN SHARE MODE", ""),
            (
                ":increment FOR SHARE SKIP LOCKED",
                "has SKIP LOCKED, which leaves rows out, or reads others",
            ),
            (":increment & 0", increment),
            (":increment && 1", ""),
            (
                ":increment LIMIT 5",
                "has LIMIT, which leaves rows out, or reads others",
            ),
            (
                "id IN (SELECT 1 FROM u WHERE :increment)",
                "has :increment in parentheses or in a subquery",
            ),
        ] {
            let text = format!("SELECT 1 FROM t WHERE {condition}");
            assert_eq!(problem(&text, "id"), expected, "{text}");
        }
        for (text, expected) in [
            ("SELECT id, :increment FROM t", increment),
            (
                "SET STATEMENT system_versioning_asof = NOW() FOR SELECT 1 FROM t WHERE :increment",
                "has SET STATEMENT, which leaves rows out, or reads others",
            ),
            (
                "SELECT 1 FROM t FOR SYSTEM_TIME AS OF NOW() WHERE :increment",
                "has FOR SYSTEM_TIME, which leaves rows out, or reads others",
            ),
            ("SELECT 1 FROM t LEFT JOIN u ON :increment", increment),
            (
                "SELECT /*+ SET_VAR(sql_select_limit=5) */ 1 FROM t WHERE :increment",
                "sets sql_select_limit, which leaves rows out, or reads others",
            ),
        ] {
            assert_eq!(problem(text, "id"), expected, "{text}");
        }
        assert_eq!(
            problem("SELECT 1 FROM t x JOIN u WHERE u.id > :since", "x.id"),
            "compares u.id with :since, and another table is followed"
        );
    }
}
