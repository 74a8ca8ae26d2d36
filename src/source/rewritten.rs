//! Reads the statements that servers rewrite for EXPLAIN, and the words of original
//! ones: their names, strings and signs.

use std::collections::BTreeSet;

use mysql::{Conn, prelude::Queryable};

use super::{
    codes,
    driver::{all, number, text},
};

/// Names that are qualified by another one: a table by its database, or a column
/// by its table.
pub(super) type Names = BTreeSet<(String, String)>;

/// Returns the statements that the server has rewritten for the EXPLAIN that ran
/// last. None: it does not show them.
pub(super) fn rewritten_statements(conn: &mut Conn) -> mysql::Result<Vec<String>> {
    let notes = all(conn.query_iter("SHOW WARNINGS")?)?;
    let rewritten = notes
        .iter()
        .filter(|row| number(row, 1) == Some(codes::REWRITTEN_STATEMENT));
    Ok(rewritten.filter_map(|row| text(row, 2)).collect())
}

/// A part of a statement.
#[derive(Debug, PartialEq)]
pub(super) enum Token {
    /// A name or a keyword; of a name in quotes, what is between them.
    Name(String),
    /// Any other character.
    Sign(char),
    /// A string.
    Text,
}

/// Splits a statement into tokens. A `"` encloses a name: servers enclose strings by
/// `'` in what they rewrite. It ends at a quoted name that has no end.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = Token> {
    split(text).map(|(token, _)| token)
}

/// Returns the tokens of a statement, each with the text that it is made of.
pub(super) fn split(text: &str) -> impl Iterator<Item = (Token, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let (token, after) = match first {
            '\'' => (Token::Text, after_string(rest)),
            '`' | '"' => {
                let (name, after) = quoted_identifier(rest)?;
                (Token::Name(name), after)
            }
            _ if is_identifier_char(first) => {
                let end = rest.find(|c| !is_identifier_char(c)).unwrap_or(rest.len());
                (Token::Name(rest[..end].to_owned()), &rest[end..])
            }
            _ => (Token::Sign(first), &rest[first.len_utf8()..]),
        };
        let source = &rest[..rest.len() - after.len()];
        rest = after;
        Some((token, source))
    })
}

/// A way to read that does not use the snapshot of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CurrentRead {
    /// Rows that the statement locks: the newest ones (MySQL manual, "Locking Reads").
    Locking,
    /// A search in a full-text index, which has no versions (MySQL manual, "InnoDB
    /// Full-Text Indexes").
    FullText,
}

/// The clauses that lock rows.
const LOCKING_CLAUSES: [&[&str]; 3] = [
    &["FOR", "UPDATE"],
    &["FOR", "SHARE"],
    &["LOCK", "IN", "SHARE", "MODE"],
];

/// Returns how a statement reads besides the snapshot, as far as its text tells.
pub(super) fn current_reads(text: &str) -> BTreeSet<CurrentRead> {
    let words = keywords(text);
    let locks = LOCKING_CLAUSES.iter().any(|clause| {
        let mut windows = words.windows(clause.len());
        windows.any(|window| window == *clause)
    });
    // The word is reserved, and has no other use in a query.
    let searches = words.iter().any(|word| word == "MATCH");
    let reads = [
        (locks, CurrentRead::Locking),
        (searches, CurrentRead::FullText),
    ];
    let reads = reads.into_iter().filter(|(is_used, _)| *is_used);
    reads.map(|(_, read)| read).collect()
}

/// Whether a text may have one of the [`current_reads`]: a fast test of the text with
/// its strings and comments.
pub(super) fn may_read_current_rows(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    ["UPDATE", "SHARE", "MATCH"]
        .iter()
        .any(|word| text.contains(word))
}

/// Returns the words without quotes in a statement, in upper case. A word after `.`
/// or `@` is a name.
fn keywords(text: &str) -> Vec<String> {
    let (mut found, mut is_name) = (Vec::new(), false);
    for (token, source) in split(text) {
        let is_quoted = source.starts_with(['`', '"']);
        if matches!(token, Token::Name(_)) && !is_quoted && !is_name {
            found.push(source.to_ascii_uppercase());
        }
        is_name = matches!(token, Token::Sign('.' | '@'));
    }
    found
}

/// Returns the qualified names in a statement: those that a dot joins. With a
/// `database`, it also returns each other name, qualified by that.
pub(super) fn qualified_names(text: &str, database: Option<&str>) -> Names {
    let mut names = BTreeSet::new();
    // The last name, and whether a dot follows it.
    let (mut previous, mut is_qualifier): (Option<String>, bool) = (None, false);
    for token in tokens(text) {
        match token {
            Token::Name(name) => {
                if let (Some(qualifier), true) = (previous.take(), is_qualifier) {
                    names.insert((qualifier, name.clone()));
                } else if let Some(database) = database {
                    names.insert((database.to_owned(), name.clone()));
                }
                (previous, is_qualifier) = (Some(name), false);
            }
            Token::Sign('.') => is_qualifier = previous.is_some(),
            Token::Sign(_) | Token::Text => (previous, is_qualifier) = (None, false),
        }
    }
    names
}

/// Whether `c` may be in a name without quotes (MySQL manual, "Schema Object
/// Names").
fn is_identifier_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// Returns the name between quotes at the beginning of `text`, and the text after it.
/// The quote is `"` in the SQL mode ANSI_QUOTES. Returns `None` if there is no quote, or
/// if the name does not end.
pub(super) fn quoted_identifier(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '`' | '"'))?;
    let mut name = String::new();
    let mut rest = &text[1..];
    loop {
        let (part, after) = rest.split_once(quote)?;
        name += part;
        match after.strip_prefix(quote) {
            Some(after) => {
                name.push(quote);
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

/// Returns the text after the string at the beginning of `text`.
fn after_string(text: &str) -> &str {
    // The opening quote does not end the string.
    let mut is_escaped = true;
    let end = text.find(|c| {
        let ends = c == '\'' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.map_or("", |end| &text[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, database: Option<&str>) -> String {
        let names = qualified_names(text, database);
        let shown = names
            .iter()
            .map(|(schema, table)| format!("{schema}/{table}"));
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn qualified_names_are_found() {
        let text = "select `d`.`id` AS `a.b`,'`x`.`y` \\' `x`.`y`' from (`shop`.`m` `d` join `sh``op`.`ü`)";
        assert_eq!(found(text, None), "d/id sh`op/ü shop/m");
        assert_eq!(found("`a`.`b`.`c`", None), "a/b b/c");
        assert_eq!(found("`", None), "");
        assert_eq!(
            found("select \"d\".\"i\"\"d\",'\"' from \"d\".\"t`\"", None),
            "d/i\"d d/t`"
        );
        let text = "select o.id from shop . orders o, (lines)";
        let all = "db/from db/lines db/o db/select db/shop o/id shop/orders";
        assert_eq!(found(text, Some("db")), all);
    }

    #[test]
    fn reads_besides_the_snapshot_are_found() {
        use CurrentRead::{FullText, Locking};
        for (text, reads) in [
            ("select `a` from `d`.`t` lock in share mode", vec![Locking]),
            (
                "(SELECT a FROM t FOR\nUpdate) UNION SELECT 1",
                vec![Locking],
            ),
            ("SELECT a FROM t FOR SHARE OF t NOWAIT", vec![Locking]),
            ("select (match `d`.`t`.`s` against ('a'))", vec![FullText]),
            ("SELECT t.match, @match, `match`, 'match' FROM t", vec![]),
            ("select `for` `update`, 'for share', share, mode", vec![]),
        ] {
            let found: Vec<_> = current_reads(text).into_iter().collect();
            assert_eq!(found, reads, "{text}");
        }
    }
}
