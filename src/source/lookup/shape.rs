//! Reads of a statement which tables it names, and which of its subqueries servers may execute
//! wrongly when it is prepared.

use std::{collections::BTreeSet, mem};

use crate::source::rewritten::{Token, split};

/// A table or a view that a statement reads: its database, if it is named, and its name.
pub(super) type TableRef = (Option<String>, String);

/// What a statement has that matters here.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Shape {
    /// A subquery without a table, which is no table itself.
    pub has_bare_subquery: bool,
    /// A subquery as the argument of JSON_VALID.
    pub validates_subquery: bool,
    /// What it reads.
    pub tables: BTreeSet<TableRef>,
}

/// Words after which no table is named until the next SELECT or FROM.
const ENDS_OF_FROM: [&str; 8] = [
    "WHERE",
    "GROUP",
    "HAVING",
    "WINDOW",
    "ORDER",
    "LIMIT",
    "PROCEDURE",
    "INTO",
];

/// Words after which another SELECT follows in the same parentheses. MINUS, which is one in
/// Oracle's mode, is an ordinary name elsewhere; the SELECT behind it tells.
const OPERATORS: [&str; 3] = ["UNION", "EXCEPT", "INTERSECT"];

const JSON_VALID: &str = "JSON_VALID";

/// What is between two parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Whether it is a table: a derived one or a CTE, which has no columns of others.
    is_table: bool,
    /// Whether a SELECT has begun, and whether it has a table.
    select: Option<HasTable>,
    is_in_from: bool,
    /// Whether a table's name or its parentheses come next.
    expects_table: bool,
    /// Whether they are the arguments of JSON_VALID.
    is_validated: bool,
}

#[derive(Clone, Copy, PartialEq)]
struct HasTable(bool);

/// Reads the shape of a statement.
struct Reader {
    shape: Shape,
    levels: Vec<Level>,
    /// The word or sign before, in upper case; a word in quotes is empty.
    before: String,
    /// The table that was named right before, or before a dot.
    qualifier: Option<String>,
}

impl Shape {
    /// Reads the shape of a statement in a text whose strings are enclosed by `'`.
    pub(super) fn of(text: &str) -> Self {
        let mut reader = Reader {
            shape: Self::default(),
            levels: vec![Level::default()],
            before: String::new(),
            qualifier: None,
        };
        for (token, source) in split(text) {
            reader.read(token, source);
        }
        while reader.levels.pop().is_some_and(|level| {
            reader.shape.close(level, reader.levels.len());
            true
        }) {}
        reader.shape
    }

    /// Ends the SELECT of `level`, which is within `outer` others.
    fn close(&mut self, level: Level, outer: usize) {
        let is_bare = level.select == Some(HasTable(false));
        self.has_bare_subquery |= outer > 0 && !level.is_table && is_bare;
    }
}

impl Reader {
    fn read(&mut self, token: Token, source: &str) {
        let is_quoted = source.starts_with(['`', '"']);
        let word = match &token {
            Token::Name(name) if !is_quoted && self.before != "." => name.to_ascii_uppercase(),
            // A function, also in quotes.
            Token::Name(name) if name.eq_ignore_ascii_case(JSON_VALID) => JSON_VALID.to_owned(),
            Token::Sign(sign) => sign.to_string(),
            _ => String::new(),
        };
        match &*word {
            ")" => self.end_level(),
            "(" => self.begin_level(),
            _ => self.read_word(&word, token),
        }
        self.before = word;
    }

    fn begin_level(&mut self) {
        let mut inner = self.level().inner(&self.before);
        // A statement in parentheses has no outer columns either.
        inner.is_table |= self.levels.len() == 1 && self.level().select.is_none();
        self.level().expects_table = false;
        self.levels.push(inner);
        self.qualifier = None;
    }

    fn end_level(&mut self) {
        // A text with too many ends has no more levels than the first.
        if self.levels.len() > 1
            && let Some(level) = self.levels.pop()
        {
            self.shape.close(level, self.levels.len());
        }
        self.qualifier = None;
    }

    /// Returns the innermost level.
    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn read_word(&mut self, word: &str, token: Token) {
        let (outer, qualifier) = (self.levels.len() - 1, self.qualifier.take());
        let (is_dotted, is_hint) = (self.before == ".", self.before == "FOR");
        let level = self.level();
        match word {
            "SELECT" => {
                let before = mem::replace(level, level.after_select());
                self.shape.validates_subquery |= before.is_validated;
                self.shape.close(before, outer);
            }
            operator if OPERATORS.contains(&operator) => {
                let before = mem::replace(level, level.after_operator());
                self.shape.close(before, outer);
            }
            // Elsewhere it is a part of EXTRACT, TRIM or SUBSTRING.
            "FROM" if level.select.is_some() => {
                level.select = Some(HasTable(true));
                (level.is_in_from, level.expects_table) = (true, true);
            }
            "TABLE" if level.select.is_none() => {
                level.expects_table = true;
                let is_validated = level.is_validated;
                self.shape.validates_subquery |= is_validated;
            }
            "VALUES" if level.is_validated => self.shape.validates_subquery = true,
            "JOIN" | "STRAIGHT_JOIN" | "," => level.expects_table = level.is_in_from,
            "LATERAL" if level.expects_table => {}
            "DUAL" if level.expects_table => {
                level.select = Some(HasTable(false));
                level.expects_table = false;
            }
            // Behind FOR, they are of an index hint.
            end if ENDS_OF_FROM.contains(&end) && !is_hint => level.is_in_from = false,
            "." => self.qualifier = qualifier,
            _ => {
                let Token::Name(name) = token else { return };
                if level.expects_table {
                    level.expects_table = false;
                    self.shape.tables.insert((None, name.clone()));
                    self.qualifier = Some(name);
                } else if is_dotted && let Some(database) = qualifier {
                    self.shape.tables.remove(&(None, database.clone()));
                    self.shape.tables.insert((Some(database), name));
                }
            }
        }
    }
}

impl Level {
    /// Returns the level that a parenthesis behind the word `before` opens.
    fn inner(self, before: &str) -> Self {
        Self {
            is_table: self.expects_table || before == "AS" || self.is_table && before == "(",
            is_in_from: self.expects_table,
            expects_table: self.expects_table,
            is_validated: before == JSON_VALID || self.is_validated && before == "(",
            select: None,
        }
    }

    /// Returns the level behind the word SELECT.
    const fn after_select(self) -> Self {
        Self {
            select: Some(HasTable(false)),
            is_in_from: false,
            expects_table: false,
            ..self
        }
    }

    /// Returns the level behind the word UNION, and the like.
    const fn after_operator(self) -> Self {
        Self {
            select: None,
            ..self.after_select()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subqueries_without_a_table_are_found() {
        for (text, is_bare) in [
            ("SELECT (SELECT a + 1) FROM v", true),
            ("SELECT (SELECT a + 1 FROM dual) FROM v", true),
            ("select id from v where coalesce((select `a`),0) > 5", true),
            ("SELECT a IN (SELECT 1 UNION SELECT b FROM c) FROM v", true),
            ("SELECT a IN (SELECT b FROM c UNION SELECT 1) FROM v", true),
            ("SELECT (SELECT EXTRACT(YEAR FROM a)) FROM v", true),
            ("SELECT ((SELECT a)) FROM v", true),
            ("SELECT * FROM v JOIN w ON v.a = (SELECT w.a)", true),
            (
                "SELECT (SELECT x FROM (SELECT (SELECT 1) AS x) d) FROM v",
                true,
            ),
            ("SELECT 1 UNION SELECT 2", false),
            ("(SELECT 1) UNION ((SELECT 2))", false),
            ("SELECT (SELECT MAX(a) FROM w) FROM v", false),
            (
                "SELECT * FROM (SELECT 1 AS n UNION ALL SELECT 2) d, ((SELECT 2)) e",
                false,
            ),
            ("SELECT * FROM a JOIN (SELECT 1) b, (SELECT 2) c", false),
            (
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION SELECT i + 1 FROM n) SELECT i FROM n",
                false,
            ),
            ("SELECT COUNT(*), TRIM(LEADING 'x' FROM a) FROM v", false),
            ("SELECT `(SELECT 1)`, '' FROM v", false),
            ("SELECT t.`select`, t.from FROM v t", false),
            ("(SELECT a FROM v", false),
            ("SELECT 1))", false),
        ] {
            assert_eq!(Shape::of(text).has_bare_subquery, is_bare, "{text}");
        }
    }

    #[test]
    fn tables_are_found_where_they_are_named() {
        let tables = |text| {
            let found = Shape::of(text).tables.into_iter();
            let found = found.map(|(database, name)| match database {
                Some(database) => format!("{database}.{name}"),
                None => name,
            });
            found.collect::<Vec<_>>().join(" ")
        };
        for (text, expected) in [
            ("SELECT a, b FROM v", "v"),
            ("select `d`.`v`.`a` AS `a` from `d`.`v`", "d.v"),
            (
                "SELECT x.y FROM d.v AS x, w y JOIN (e.z CROSS JOIN q) ON f(a, b) = c",
                "q w d.v e.z",
            ),
            (
                "SELECT * FROM a LEFT JOIN b USING (x, y) STRAIGHT_JOIN c WHERE d IN (SELECT g FROM h)",
                "a b c h",
            ),
            ("SELECT * FROM ((a JOIN b) JOIN `c d`.`e.f`)", "a b c d.e.f"),
            ("SELECT * FROM (SELECT * FROM a) x, b ORDER BY c, d", "a b"),
            ("SELECT EXTRACT(DAY FROM a), (SELECT 1) FROM b", "b"),
            ("TABLE a UNION TABLE b", "a b"),
            ("WITH c AS (SELECT * FROM a) SELECT * FROM c", "a c"),
            (
                "SELECT * FROM a PARTITION (p, q), b FORCE INDEX (i, j)",
                "a b",
            ),
            ("SELECT * FROM a USE INDEX FOR JOIN (i) JOIN v", "a i v"),
            ("SELECT * FROM a FORCE INDEX FOR ORDER BY (i), v", "a v"),
            ("SELECT * FROM a FOR SYSTEM_TIME AS OF NOW() JOIN v", "a v"),
            (
                "SELECT * FROM a MINUS JOIN v MINUS SELECT * FROM w",
                "a v w",
            ),
            ("SELECT 1", ""),
            ("SELECT 1 FROM DUAL", ""),
        ] {
            assert_eq!(tables(text), expected, "{text}");
        }
    }

    #[test]
    fn a_validated_subquery_is_found() {
        for (text, is_validated) in [
            ("SELECT JSON_VALID((SELECT MAX(a) FROM b)) FROM c", true),
            ("select json_valid(((select 1 from b)))", true),
            ("SELECT `json_valid`((SELECT b FROM c))", true),
            ("SELECT JSON_VALID((TABLE t LIMIT 1))", true),
            ("SELECT JSON_VALID((VALUES ROW(1)))", true),
            ("SELECT JSON_VALID(a), (SELECT b FROM c)", false),
            ("SELECT JSON_VALID(COALESCE((SELECT b FROM c), 1))", false),
        ] {
            assert_eq!(Shape::of(text).validates_subquery, is_validated, "{text}");
        }
    }
}
