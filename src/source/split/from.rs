//! Reads the tables that the outermost FROM of a statement names, and how it calls them.
//!
//! The server's own reading would not do: of a view or a subquery that it merges, it shows the
//! table within, whose columns may have other values than those of the statement.

use crate::source::rewritten::{Token, split};

/// What stands for a table in FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FromItem {
    /// The database, if it is named.
    pub database: Option<String>,
    /// The table or view; `None` for a subquery, a function, and the name of a WITH.
    pub table: Option<String>,
    /// The name that its columns have; empty, if it has none.
    pub alias: String,
    /// Whether an outer join may make NULL of its columns.
    pub is_optional: bool,
}

/// Words behind a table that are not its alias.
const NO_ALIAS: [&str; 27] = [
    "CROSS",
    "EXCEPT",
    "FOR",
    "FORCE",
    "FULL",
    "GROUP",
    "HAVING",
    "IGNORE",
    "INNER",
    "INTERSECT",
    "INTO",
    "JOIN",
    "LEFT",
    "LIMIT",
    "LOCK",
    "MINUS",
    "NATURAL",
    "ON",
    "ORDER",
    "PARTITION",
    "RIGHT",
    "STRAIGHT_JOIN",
    "UNION",
    "USE",
    "USING",
    "WHERE",
    "WINDOW",
];

/// Words with which FROM ends.
const ENDS: [&str; 8] = [
    "WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "WINDOW", "LOCK", "INTO",
];

/// Words with which a subquery begins.
const QUERIES: [&str; 4] = ["SELECT", "WITH", "VALUES", "TABLE"];

/// Returns what the outermost FROM of a statement names. `text` is the statement without
/// strings, its names enclosed by backticks or, in the SQL mode ANSI_QUOTES, by `"`.
pub(super) fn from_items(text: &str) -> Vec<FromItem> {
    let tokens = split(text).map(|(token, source)| match token {
        Token::Name(name) if source.starts_with(['`', '"']) => Part::Quoted(name),
        Token::Name(name) => Part::Word(name),
        Token::Sign(sign) => Part::Sign(sign),
        Token::Text => Part::Sign('\''),
    });
    let mut reader = Reader {
        parts: tokens.collect(),
        at: 0,
    };
    let own = reader.names_of_with();
    while !reader.is_end() && !reader.is_word(0, &["FROM"]) {
        reader.skip();
    }
    reader.at += 1;
    let mut items = Vec::new();
    reader.tables(&mut items);
    for item in &mut items {
        let is_own = |name: &String| own.iter().any(|one| one.eq_ignore_ascii_case(name));
        if item.database.is_none() && item.table.as_ref().is_some_and(is_own) {
            item.table = None;
        }
    }
    items
}

/// A part of a statement.
enum Part {
    /// A keyword, or a name without quotes.
    Word(String),
    /// A name in quotes, without them.
    Quoted(String),
    Sign(char),
}

struct Reader {
    parts: Vec<Part>,
    at: usize,
}

impl Reader {
    fn is_end(&self) -> bool {
        self.at >= self.parts.len()
    }

    /// Whether the part `ahead` of the next one is one of `words`.
    fn is_word(&self, ahead: usize, words: &[&str]) -> bool {
        let is_one = |found: &str| words.iter().any(|word| found.eq_ignore_ascii_case(word));
        // Behind a dot, it is a name.
        let before = (self.at + ahead).checked_sub(1);
        let before = before.and_then(|before| self.parts.get(before));
        if matches!(before, Some(Part::Sign('.'))) {
            return false;
        }
        matches!(self.parts.get(self.at + ahead), Some(Part::Word(found)) if is_one(found))
    }

    fn is_sign(&self, ahead: usize, sign: char) -> bool {
        matches!(self.parts.get(self.at + ahead), Some(Part::Sign(found)) if *found == sign)
    }

    /// Takes the next part if it is a name.
    fn name(&mut self) -> Option<String> {
        let name = match self.parts.get(self.at)? {
            Part::Word(name) | Part::Quoted(name) => name.clone(),
            Part::Sign(_) => return None,
        };
        self.at += 1;
        Some(name)
    }

    /// Passes over the next part, or over all that is between its parentheses.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.parts.get(self.at) {
                Some(Part::Sign('(')) => depth += 1,
                Some(Part::Sign(')')) => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 || self.is_end() {
                return;
            }
        }
    }

    /// Passes over WITH, if the statement begins with it, and returns the names there.
    fn names_of_with(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        if !self.is_word(0, &["WITH"]) {
            return names;
        }
        self.at += 1;
        if self.is_word(0, &["RECURSIVE"]) {
            self.at += 1;
        }
        loop {
            names.extend(self.name());
            while !self.is_end() && !self.is_sign(0, ',') && !self.is_word(0, &["SELECT"]) {
                self.skip();
            }
            if !self.is_sign(0, ',') {
                return names;
            }
            self.at += 1;
        }
    }

    /// Reads tables and joins, up to the end of FROM or of their parentheses.
    fn tables(&mut self, items: &mut Vec<FromItem>) {
        let begin = items.len();
        // The joins whose condition has not come, and whether they are outer ones: until then,
        // what follows is joined to their second table.
        let (mut open, mut join): (Vec<bool>, Option<bool>) = (Vec::new(), None);
        loop {
            let joined = items.len();
            self.table(items);
            let is_optional = open.contains(&true);
            for item in &mut items[joined..] {
                item.is_optional |= is_optional;
            }
            while !self.is_sign(0, ',') && !self.is_word(0, &["JOIN", "STRAIGHT_JOIN"]) {
                let is_end = self.is_end() || self.is_sign(0, ')') || self.is_word(0, &ENDS);
                // FORCE INDEX FOR JOIN is no end of FROM, and no join.
                if is_end {
                    return;
                }
                // LEFT(…) and RIGHT(…) are functions.
                let is_function = self.is_sign(1, '(');
                let is_outer = !is_function && self.is_word(0, &["LEFT", "FULL"]);
                join = Some(is_outer || join.unwrap_or(false));
                if self.is_word(0, &["ON", "USING"]) {
                    (join, _) = (None, open.pop());
                }
                if !is_function && self.is_word(0, &["RIGHT", "FULL"]) {
                    items[begin..]
                        .iter_mut()
                        .for_each(|item| item.is_optional = true);
                }
                let is_for_join = self.is_word(0, &["FOR"]) && self.is_word(1, &["JOIN"]);
                self.skip();
                if is_for_join {
                    self.skip();
                }
            }
            match self.is_sign(0, ',') {
                true => open.clear(),
                false => open.push(join.unwrap_or(false)),
            }
            join = None;
            self.at += 1;
        }
    }

    /// Reads one table, or those between parentheses.
    fn table(&mut self, items: &mut Vec<FromItem>) {
        if self.is_word(0, &["LATERAL"]) {
            self.at += 1;
        }
        if self.is_sign(0, '(') {
            let mut ahead = 1;
            while self.is_sign(ahead, '(') {
                ahead += 1;
            }
            if self.is_word(ahead, &QUERIES) {
                self.skip();
                return self.no_table(items);
            }
            self.at += 1;
            self.tables(items);
            self.at += 1;
            return;
        }
        let Some(first) = self.name() else { return };
        if self.is_sign(0, '(') {
            self.skip();
            return self.no_table(items);
        }
        let (database, table) = match self.is_sign(0, '.') {
            true => {
                self.at += 1;
                (Some(first), self.name())
            }
            false => (None, Some(first)),
        };
        if self.is_word(0, &["PARTITION"]) && self.is_sign(1, '(') {
            self.at += 1;
            self.skip();
        }
        let alias = self.alias().or_else(|| table.clone());
        items.push(FromItem {
            database,
            table,
            alias: alias.unwrap_or_default(),
            is_optional: false,
        });
    }

    /// Adds what is no table of the server, and reads its alias.
    fn no_table(&mut self, items: &mut Vec<FromItem>) {
        let alias = self.alias().unwrap_or_default();
        items.push(FromItem {
            database: None,
            table: None,
            alias,
            is_optional: false,
        });
    }

    fn alias(&mut self) -> Option<String> {
        if self.is_word(0, &["AS"]) {
            self.at += 1;
            return self.name();
        }
        match self.is_word(0, &NO_ALIAS) {
            true => None,
            false => self.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> String {
        let items = from_items(text).into_iter().map(|item| {
            let table = item.table.unwrap_or_else(|| "-".to_owned());
            let name = item
                .database
                .map_or(table.clone(), |it| format!("{it}.{table}"));
            format!("{name} {}", item.alias)
        });
        items.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn tables_that_an_outer_join_may_leave_out_are_known() {
        for (text, expected) in [
            ("SELECT 1 FROM t JOIN u ON LEFT(t.a, 2) = u.a", ""),
            (
                "SELECT 1 FROM t LEFT JOIN u ON RIGHT(t.a, 2) = u.a JOIN v",
                "u",
            ),
            (
                "SELECT 1 FROM t LEFT OUTER JOIN (u JOIN w) USING (a)",
                "u w",
            ),
            ("SELECT 1 FROM s, t JOIN u RIGHT JOIN v ON 1", "s t u"),
            ("SELECT 1 FROM t NATURAL LEFT JOIN u", "u"),
            (
                "SELECT 1 FROM t LEFT JOIN u JOIN v ON v.a = u.a ON u.b = t.b JOIN w ON w.a = t.a",
                "u v",
            ),
            ("SELECT 1 FROM t LEFT JOIN u ON 1, v JOIN w", "u"),
            (
                "SELECT 1 FROM a LEFT JOIN b JOIN q ON q.id = b.id JOIN r ON r.id = q.id ON b.id = a.id JOIN s ON 1",
                "b q r",
            ),
            (
                "SELECT 1 FROM g JOIN h ON h.group = g.on RIGHT JOIN i ON i.x = g.x",
                "g h",
            ),
            (
                "SELECT 1 FROM h LEFT JOIN i INNER JOIN j ON j.on = i.id INNER JOIN k ON k.id = j.id ON i.id = h.id",
                "i j k",
            ),
            ("SELECT 1 FROM t FULL JOIN u ON 1", "t u"),
        ] {
            let items = from_items(text).into_iter();
            let optional: Vec<String> = items
                .filter(|item| item.is_optional)
                .map(|item| item.alias)
                .collect();
            assert_eq!(optional.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn tables_and_their_aliases_are_found() {
        for (text, expected) in [
            ("SELECT * FROM t WHERE a", "t t"),
            ("select a from `s`.`t``u` as `x` where 1", "s.t`u x"),
            ("SELECT \"a\" FROM \"from\" \"x\" WHERE 1", "from x"),
            (
                "SELECT EXTRACT(YEAR FROM d), (SELECT 1 FROM z) FROM t, u v WHERE 1",
                "t t, u v",
            ),
            (
                "SELECT 1 FROM t LEFT JOIN s.u AS x ON x.a = (SELECT 1 FROM z) JOIN v USING (a)",
                "t t, s.u x, v v",
            ),
            (
                "SELECT 1 FROM (t JOIN (u CROSS JOIN v w)) NATURAL JOIN k ORDER BY 1",
                "t t, u u, v w, k k",
            ),
            ("SELECT 1 FROM (SELECT * FROM t) t WHERE 1", "- t"),
            ("SELECT 1 FROM ((SELECT 1) UNION (SELECT 2)) AS t", "- t"),
            (
                "WITH a AS (SELECT 1 FROM t), T (x) AS (SELECT 2) SELECT * FROM t, d.t u, a",
                "- t, d.t u, - a",
            ),
            (
                "SELECT 1 FROM t PARTITION (p0, p1) x FORCE INDEX FOR JOIN (i), LATERAL (SELECT 1) y",
                "t x, - y",
            ),
            (
                "SELECT 1 FROM JSON_TABLE(j, '' COLUMNS (a INT PATH '')) AS jt STRAIGHT_JOIN t FOR UPDATE",
                "- jt, t t",
            ),
            ("SELECT 1 FROM t USE INDEX (i) WHERE a", "t t"),
            ("SELECT 1", ""),
            ("SELECT 1 FROM", ""),
            ("SELECT 1 FROM (", ""),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
    }
}
