//! The query of a table: its names in quotes, and a condition and a limit of the user's.

use std::{fmt, str::FromStr};

use glob::Pattern;
use serde::{Deserialize, Serialize};

use super::{
    Query,
    dialect::Dialect,
    lexer::{Lexer, ParseError, TokenKind},
};
use crate::error::Result;

/// The name of a table or view, perhaps with its database: `orders`, `shop.orders`, or,
/// for names with a dot or a backtick, `` `a.b`.`c` ``.
///
/// ```
/// use gold_digger::sql::TableName;
///
/// let name: TableName = "shop.weird name-ü/x".parse()?;
/// assert_eq!(name.to_string(), "`shop`.`weird name-ü/x`");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    /// The database; `None` for the session's default one.
    pub database: Option<String>,
    /// The table's own name.
    pub table: String,
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut parts = names(text, '.')?;
        let table = parts.pop().unwrap_or_default().text;
        match (parts.pop(), parts.is_empty()) {
            (database, true) => Ok(Self {
                database: database.map(|database| database.text),
                table,
            }),
            _ => Err(TOO_MANY_PARTS.to_owned()),
        }
    }
}

/// The name as SQL.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(database) = &self.database {
            write!(f, "{}.", quoted(database))?;
        }
        f.write_str(&quoted(&self.table))
    }
}

/// Names of columns, separated by commas. One with a comma or a backtick in it is put in
/// backticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnNames(pub Vec<String>);

impl FromStr for ColumnNames {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let names = names(text, ',')?.into_iter();
        Ok(Self(names.map(|name| name.text).collect()))
    }
}

const TOO_MANY_PARTS: &str =
    "it has more than two parts; a name with a dot in it is put in backticks";

/// A name, and whether it was in backticks.
#[derive(Default)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) is_quoted: bool,
}

impl Name {
    fn into_pattern(self) -> std::result::Result<Pattern, String> {
        let text = match self.is_quoted {
            true => Pattern::escape(&self.text),
            false => self.text,
        };
        Pattern::new(&text).map_err(|error| format!("it is no pattern: {error}"))
    }
}

/// Splits `text` into names at each `separator`, without the white space around them.
/// Within backticks, two of them are one, and all else is part of the name.
pub(super) fn names(text: &str, separator: char) -> std::result::Result<Vec<Name>, String> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let quoted = rest.strip_prefix('`');
        let (text, after) = match quoted {
            Some(inner) => quoted_name(inner).ok_or("it has no closing backtick")?,
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        if text.is_empty() {
            return Err("it has an empty name".to_owned());
        }
        if quoted.is_none() && text.contains('`') {
            return Err("it has a backtick within a name: put the whole name in backticks, and double those in it".to_owned());
        }
        names.push(Name {
            text,
            is_quoted: quoted.is_some(),
        });
        let after = after.trim_start();
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(names),
            None => return Err(format!("it has {after:?} after a name in backticks")),
        }
    }
}

/// Returns the name that ends at the next single backtick of `text`, and what follows.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut from = 0;
    loop {
        let end = from + text[from..].find('`')?;
        if !text[end + 1..].starts_with('`') {
            return Some((text[..end].replace("``", "`"), &text[end + 1..]));
        }
        from = end + 2;
    }
}

/// Returns `name` as a name in SQL, in every SQL mode.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

impl TableName {
    /// Returns the name for people, as [`FromStr`] and [`TablePattern`] read it: a part is
    /// in backticks where it needs them.
    ///
    /// ```
    /// use gold_digger::sql::TableName;
    /// let name: TableName = "shop.`a.b`".parse()?;
    /// assert_eq!(name.to_text(), "shop.`a.b`");
    /// # Ok::<(), String>(())
    /// ```
    #[must_use]
    pub fn to_text(&self) -> String {
        let part = |name: &str| match name.contains(['.', '`', '*', '?', '[', ']', ',']) {
            true => quoted(name),
            false => name.to_owned(),
        };
        match &self.database {
            Some(database) => format!("{}.{}", part(database), part(&self.table)),
            None => part(&self.table),
        }
    }
}

/// Whether upper and lower case of tables' names differ: on servers whose
/// `lower_case_table_names` is not 0, they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameCase {
    /// `Orders` and `orders` are two tables.
    Differs,
    /// They are one.
    Ignored,
}

/// A pattern of tables' names: `shop.*`, `*.orders`, or `orders_?` in the default
/// database. A name in backticks stands for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TablePattern {
    text: String,
    database: Option<Pattern>,
    table: Pattern,
}

impl FromStr for TablePattern {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let mut parts = names(text, '.')?;
        let table = parts.pop().unwrap_or_default();
        let database = parts.pop();
        if !parts.is_empty() {
            return Err(TOO_MANY_PARTS.to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            database: database.map(Name::into_pattern).transpose()?,
            table: table.into_pattern()?,
        })
    }
}

impl TryFrom<String> for TablePattern {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<TablePattern> for String {
    fn from(pattern: TablePattern) -> Self {
        pattern.text
    }
}

/// The pattern as it was given.
impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TablePattern {
    /// Whether the pattern names a database, by a name or a pattern.
    #[must_use]
    pub fn has_database(&self) -> bool {
        self.database.is_some()
    }

    /// The only database of its tables, if it names one. `default` is the session's.
    #[must_use]
    pub fn database(&self, default: Option<&str>) -> Option<String> {
        match &self.database {
            Some(pattern) => plain(pattern),
            None => default.map(str::to_owned),
        }
    }

    /// Whether it names one table, without a wildcard.
    #[must_use]
    pub fn is_full_name(&self) -> bool {
        plain(&self.table).is_some() && self.database.as_ref().is_none_or(|it| plain(it).is_some())
    }

    /// Whether it matches `table` of `database`. `default` is the session's database.
    #[must_use]
    pub fn matches(
        &self,
        database: &str,
        table: &str,
        default: Option<&str>,
        case: NameCase,
    ) -> bool {
        let is_like = |pattern: &Pattern, name: &str| match case {
            NameCase::Differs => pattern.matches(name),
            // The pattern itself could ignore the case of ASCII letters only.
            NameCase::Ignored => Pattern::new(&pattern.as_str().to_lowercase())
                .is_ok_and(|pattern| pattern.matches(&name.to_lowercase())),
        };
        let is_in_database = match (&self.database, default) {
            (Some(pattern), _) => is_like(pattern, database),
            (None, Some(default)) => match case {
                NameCase::Differs => default == database,
                NameCase::Ignored => default.to_lowercase() == database.to_lowercase(),
            },
            (None, None) => false,
        };
        is_in_database && is_like(&self.table, table)
    }
}

/// Returns the only text that `pattern` matches, if it has no wildcard.
fn plain(pattern: &Pattern) -> Option<String> {
    let text = pattern.as_str();
    // A wildcard that stands for itself is in brackets.
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '*' | '?' => return None,
            '[' => {
                let inner = rest.next()?;
                if rest.next() != Some(']') {
                    return None;
                }
                plain.push(inner);
            }
            _ => plain.push(c),
        }
    }
    Some(plain)
}

/// A condition for the rows of a table: SQL text that is one expression.
///
/// ```
/// use gold_digger::sql::Condition;
///
/// assert!("id > 5 AND name <> ')'".parse::<Condition>().is_ok());
/// assert!("id > 5; DELETE FROM t".parse::<Condition>().is_err());
/// assert!("id > 5) OR (1".parse::<Condition>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition(String);

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<Condition> for String {
    fn from(Condition(text): Condition) -> Self {
        text
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let begins_with_where = text
            .trim_start()
            .get(..6)
            .is_some_and(|word| word.trim_end().eq_ignore_ascii_case("where"));
        if begins_with_where {
            return Err("the word WHERE is left out".to_owned());
        }
        if text.trim().is_empty() {
            return Err("it is empty".to_owned());
        }
        let wrapped = format!("({text})");
        let found = Dialect::ALL.map(|dialect| check(&wrapped, dialect));
        // A text that some servers cannot read as a whole is never sent to them.
        let readable = found.iter().filter_map(|one| one.as_ref().ok());
        if let Some(problem) = readable.clone().flatten().next() {
            return Err((*problem).to_owned());
        }
        if readable.count() > 0 {
            return Ok(Self(text.to_owned()));
        }
        Err(match found[0] {
            Err(ParseError::Unterminated(what, _)) => format!("it has {what} without an end"),
            _ => "it has an executable comment, whose end depends on the server".to_owned(),
        })
    }
}

/// Returns what is wrong with the condition that `wrapped` has between parentheses, for
/// servers of `dialect`.
///
/// # Errors
/// What such a server cannot read.
fn check(wrapped: &str, dialect: Dialect) -> std::result::Result<Option<&'static str>, ParseError> {
    let mut lexer = Lexer::new(wrapped, dialect);
    let (mut depth, mut problem) = (0_usize, None);
    while let Some(token) = lexer.next_token()? {
        match (token.kind, &wrapped[token.range.clone()]) {
            (TokenKind::Terminator, _) => {
                problem = problem.or(Some("it is one expression, without a `;`"));
            }
            (TokenKind::Symbol, "(") => depth += 1,
            (TokenKind::Symbol, ")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && token.range.end < wrapped.len() {
            problem = problem.or(Some("it has a `)` without its `(`"));
        }
    }
    let is_swallowed = || wrapped.contains("--") || wrapped.contains('#');
    Ok(problem.or(match depth {
        0 => None,
        1 if is_swallowed() => Some("its last comment has no end of its line"),
        _ => Some("it has a `(` without its `)`"),
    }))
}

/// The rows of a table or view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableQuery {
    /// The table.
    pub table: TableName,
    /// The columns, in their order; if there are none, all that are visible.
    pub columns: Vec<String>,
    /// The condition of the rows; `None` for all rows.
    pub condition: Option<Condition>,
    /// The most rows; `None` for all. Which ones come is the server's choice.
    pub limit: Option<u64>,
    /// The parameters that the query has as conditions, such as [`CHUNK`](super::CHUNK).
    pub conditions: Vec<&'static str>,
}

impl TableQuery {
    /// Returns the query.
    ///
    /// # Errors
    /// As [`Query::parse`]: for a condition with characters that SQL does not have.
    ///
    /// ```
    /// use gold_digger::sql::TableQuery;
    ///
    /// let query = TableQuery {
    ///     table: "shop.orders".parse().expect("a name"),
    ///     columns: vec!["id".to_owned()],
    ///     condition: Some("price > 9".parse().expect("an expression")),
    ///     limit: Some(10),
    ///     conditions: Vec::new(),
    /// };
    /// assert_eq!(query.to_query()?.text(), "SELECT `id` FROM `shop`.`orders` WHERE (price > 9) LIMIT 10");
    /// # Ok::<(), gold_digger::error::Error>(())
    /// ```
    pub fn to_query(&self) -> Result<Query> {
        let columns: Vec<String> = self.columns.iter().map(|name| quoted(name)).collect();
        let columns = match columns.is_empty() {
            true => "*".to_owned(),
            false => columns.join(", "),
        };
        let mut text = format!("SELECT {columns} FROM {}", self.table);
        let condition = self.condition.as_ref();
        let condition = condition.map(|Condition(text)| format!("({text})"));
        let parameters = self.conditions.iter().map(|name| format!(":{name}"));
        let conditions: Vec<String> = condition.into_iter().chain(parameters).collect();
        if !conditions.is_empty() {
            text += &format!(" WHERE {}", conditions.join(" AND "));
        }
        if let Some(limit) = self.limit {
            text += &format!(" LIMIT {limit}");
        }
        Query::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_and_quoted() {
        for (text, expected) in [
            ("orders", Ok("`orders`")),
            ("shop.orders", Ok("`shop`.`orders`")),
            ("../../etc", Err("it has an empty name")),
            ("`../../etc`", Ok("`../../etc`")),
            ("`a.b`.`c``d`", Ok("`a.b`.`c``d`")),
            ("a.`b.c`", Ok("`a`.`b.c`")),
            ("weird name-ü/x;'", Ok("`weird name-ü/x;'`")),
            (
                "a.b.c",
                Err("it has more than two parts; a name with a dot in it is put in backticks"),
            ),
            ("", Err("it has an empty name")),
            ("a.", Err("it has an empty name")),
            ("``", Err("it has an empty name")),
            ("`a", Err("it has no closing backtick")),
            ("`a`b", Err("it has \"b\" after a name in backticks")),
            (
                "a`b",
                Err(
                    "it has a backtick within a name: put the whole name in backticks, and double those in it",
                ),
            ),
        ] {
            let found = text.parse::<TableName>().map(|name| name.to_string());
            assert_eq!(
                found,
                expected.map(str::to_owned).map_err(str::to_owned),
                "{text}"
            );
        }
        let columns = "a,`b,c`, `d``e` , f".parse::<ColumnNames>();
        assert_eq!(
            columns,
            Ok(ColumnNames(
                ["a", "b,c", "d`e", "f"].map(str::to_owned).into()
            ))
        );
    }

    #[test]
    fn patterns_match_names_and_databases() {
        for (pattern, default, matched, others) in [
            (
                "shop.*",
                None,
                &["shop.a", "shop.b.c"][..],
                &["shopx.a", "Shop.a"][..],
            ),
            ("*.orders", None, &["a.orders"], &["a.order"]),
            (
                "orders_?",
                Some("shop"),
                &["shop.orders_1"],
                &["x.orders_1", "shop.orders_12"],
            ),
            ("`a*`.[bc]", None, &["a*.b", "a*.c"], &["ab.b", "a*.d"]),
        ] {
            let found: TablePattern = pattern.parse().expect(pattern);
            let is_matched = |name: &str| {
                let (database, table) = name.split_once('.').expect("two parts");
                found.matches(database, table, default, NameCase::Differs)
            };
            assert!(matched.iter().all(|name| is_matched(name)), "{pattern}");
            assert!(!others.iter().any(|name| is_matched(name)), "{pattern}");
        }
        for (pattern, database, is_full_name) in [
            ("shop.orders", Some("shop"), true),
            ("`a*`.`b?[`", Some("a*"), true),
            ("orders", Some("default"), true),
            ("shop.*", Some("shop"), false),
            ("s*.orders", None, false),
            ("shop.[ab]", Some("shop"), false),
        ] {
            let found: TablePattern = pattern.parse().expect(pattern);
            assert_eq!(
                found.database(Some("default")).as_deref(),
                database,
                "{pattern}"
            );
            assert_eq!(found.is_full_name(), is_full_name, "{pattern}");
        }
        assert!("shop.[a".parse::<TablePattern>().is_err());
        let found: TablePattern = "Shop.O*".parse().expect("a pattern");
        assert!(found.matches("shop", "orders", None, NameCase::Ignored));
        let found: TablePattern = "*".parse().expect("a pattern");
        assert!(found.matches("shop", "orders", Some("SHOP"), NameCase::Ignored));
    }

    #[test]
    fn a_condition_is_one_expression() {
        for (text, expected) in [
            ("id > 5", None),
            ("a = ')' OR (b = \"(\" AND `)` IN (SELECT 1)) -- x\n", None),
            ("a = 1 /* ) */", None),
            (r"a = 'it\'s'", None),
            ("", Some("it is empty")),
            (" where a = 1", Some("the word WHERE is left out")),
            ("wherever = 1", None),
            ("a = 1;", Some("it is one expression, without a `;`")),
            (
                "a = 1; DELETE FROM t",
                Some("it is one expression, without a `;`"),
            ),
            ("a = 1) OR (1 = 1", Some("it has a `)` without its `(`")),
            (
                "a = 1) UNION (SELECT 2",
                Some("it has a `)` without its `(`"),
            ),
            ("a IN (1", Some("it has a `(` without its `)`")),
            (
                "a = 1 -- all",
                Some("its last comment has no end of its line"),
            ),
            (
                "a = 1 # all",
                Some("its last comment has no end of its line"),
            ),
            ("a = 'x", Some("it has a quoted text without an end")),
            ("a = 1 /* x", Some("it has a comment without an end")),
            (
                "a = 1 /*! ; */",
                Some("it has an executable comment, whose end depends on the server"),
            ),
            // One text where a backslash escapes, and two expressions where it does not.
            (
                r"a = '\') OR (b = ' AND c = '\''",
                Some("it has a `)` without its `(`"),
            ),
        ] {
            let found = text.parse::<Condition>();
            assert_eq!(found.err().as_deref(), expected, "{text}");
        }
    }
}
