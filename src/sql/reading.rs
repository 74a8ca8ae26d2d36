//! Whether a statement reads only, as far as its words tell: for servers that cannot
//! be asked to refuse what writes.

use super::{
    dialect::Dialect,
    lexer::{Lexer, TokenKind},
};

/// The first keywords of statements that never write, but for what their functions do.
const READING: [&str; 8] = [
    "SELECT", "VALUES", "TABLE", "SHOW", "DESCRIBE", "DESC", "HELP", "(",
];

/// The first keywords of statements that can hold another one that writes.
const WRAPPING: [&str; 2] = ["WITH", "EXPLAIN"];

/// The keywords of statements that write and that can follow another keyword.
const WRITING: [&str; 4] = ["DELETE", "INSERT", "REPLACE", "UPDATE"];

/// Whether the statement `sql`, which begins with `keyword`, reads only. In doubt, it
/// does not.
pub(super) fn reads_only(sql: &str, keyword: &str, dialect: Dialect) -> bool {
    let is_one_of = |words: &[&str]| words.iter().any(|word| keyword.eq_ignore_ascii_case(word));
    is_one_of(&READING) || is_one_of(&WRAPPING) && !has_writing_word(sql, dialect).unwrap_or(true)
}

/// Whether a word of `sql` begins a statement that writes. `FOR UPDATE` is a clause, and
/// `REPLACE(` and `INSERT(` are functions. Returns `None` if the text cannot be read.
fn has_writing_word(sql: &str, dialect: Dialect) -> Option<bool> {
    let mut lexer = Lexer::new(sql, dialect);
    let (mut before_last, mut last) = (String::new(), String::new());
    loop {
        let token = lexer.next_token().ok()?;
        let next = match &token {
            Some(token) if token.kind != TokenKind::Quoted => {
                sql[token.range.clone()].to_uppercase()
            }
            Some(_) | None => String::new(),
        };
        let is_function = next == "(" && matches!(&*last, "INSERT" | "REPLACE");
        let is_clause = before_last == "FOR" && last == "UPDATE";
        if WRITING.contains(&&*last) && !is_function && !is_clause {
            return Some(true);
        }
        if token.is_none() {
            return Some(false);
        }
        before_last = std::mem::replace(&mut last, next);
    }
}

#[cfg(test)]
mod tests {
    use super::super::Query;

    #[test]
    fn statements_that_read_are_told_from_those_that_may_write() {
        for (sql, reads_only) in [
            ("SELECT 1", true),
            ("(SELECT 1)", true),
            ("show TABLES", true),
            (
                "WITH a AS (SELECT REPLACE('update', 'x', INSERT(b, 1, 1, ''))) SELECT * FROM a",
                true,
            ),
            (
                "WITH a AS (SELECT `delete` FROM t) SELECT * FROM a FOR UPDATE",
                true,
            ),
            ("EXPLAIN SELECT 1", true),
            ("WITH a AS (SELECT 1) DELETE FROM t", false),
            ("WITH a AS (SELECT 1) /*!80000 UPDATE t SET b = 1 */", false),
            ("EXPLAIN ANALYZE REPLACE INTO t VALUES (1)", false),
            ("INSERT INTO t VALUES (1)", false),
            ("CALL p()", false),
            ("EXECUTE s", false),
        ] {
            let query = Query::parse(sql).expect("a statement");
            assert_eq!(query.reads_only(), reads_only, "{sql}");
        }
    }
}
