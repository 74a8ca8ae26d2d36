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
        rest = after;
        Some(token)
    })
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
}
