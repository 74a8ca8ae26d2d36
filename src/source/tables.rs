//! Which tables a statement reads that no snapshot holds, as far as the server
//! tells.

use std::collections::{BTreeSet, VecDeque};

use mysql::{Conn, Row, prelude::Queryable};

use super::{
    QueryExecutor, border,
    contain::{ask, for_each, text},
    query_error,
};
use crate::{error::Result, sink::hexadecimal};

/// The statements whose tables EXPLAIN tells.
const EXPLAINED: [&str; 5] = ["SELECT", "WITH", "TABLE", "VALUES", "("];

/// What is told of a statement's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tables {
    /// All that are known are part of the snapshot.
    Transactional,
    /// These are not.
    NotTransactional(Vec<String>),
    /// The server does not tell, for this reason.
    Unknown(String),
}

impl QueryExecutor {
    /// Finds the tables of the bound statement that are not transactional. It
    /// sees through views, but not into functions.
    ///
    /// # Errors
    /// [`ErrorKind::Query`](crate::error::ErrorKind::Query) where the connection
    /// breaks.
    pub fn tables(&mut self) -> Result<Tables> {
        let cancel = self.cancel.clone();
        border(&cancel, || self.find_tables())
    }

    fn find_tables(&mut self) -> Result<Tables> {
        let keyword = &self.keyword;
        if !EXPLAINED.contains(&keyword.as_str()) {
            return Ok(Tables::Unknown(format!("{keyword} does not tell")));
        }
        let failed = |error| query_error("cannot ask for the query's tables", &error);
        // What MariaDB tells only so is a syntax error for MySQL, which tells it
        // in one of its formats.
        let mut explained = self.explain("EXPLAIN EXTENDED");
        if let Err(mysql::Error::MySqlError(_)) = explained {
            explained = self.explain("EXPLAIN FORMAT=TRADITIONAL");
        }
        let explained = match explained {
            Ok(rows) => rows,
            Err(mysql::Error::MySqlError(error)) => return Ok(Tables::Unknown(error.message)),
            // It finds something else in the text than a statement with marks.
            Err(mysql::Error::DriverError(error)) => return Ok(Tables::Unknown(error.to_string())),
            Err(error) => return Err(failed(error)),
        };
        let conn = &mut self.conn;
        let notes = ask(conn, "SHOW WARNINGS").map_err(failed)?;
        let rewritten = notes.iter().filter_map(|row| text(row, 2));
        let mut names: VecDeque<BTreeSet<(String, String)>> =
            rewritten.map(|text| pairs(&text, None)).collect();
        if explained.iter().any(is_read_already) {
            let rows = ask(conn, "SELECT DATABASE()").map_err(failed)?;
            let database = rows.first().and_then(|row| text(row, 0));
            names.push_back(pairs(&self.bound.sql, database.as_deref()));
        }
        let (mut seen, mut found) = (BTreeSet::new(), Vec::new());
        // A view's own tables are in its definition.
        while let Some(names_here) = names.pop_front() {
            for (schema, table) in names_here {
                if !seen.insert((schema.clone(), table.clone())) || seen.len() > MOST_NAMES {
                    continue;
                }
                match look_up(conn, &schema, &table).map_err(failed)? {
                    Some(Kind::NotTransactional(engine)) => {
                        found.push(format!("{schema}.{table} ({engine})"));
                    }
                    Some(Kind::View(definition)) => names.push_back(pairs(&definition, None)),
                    None => {}
                }
            }
        }
        Ok(match found.is_empty() {
            true => Tables::Transactional,
            false => Tables::NotTransactional(found),
        })
    }

    fn explain(&mut self, explain: &str) -> mysql::Result<Vec<Row>> {
        let sql = format!("{explain} {}", self.bound.sql);
        if self.bound.values.is_empty() {
            return ask(&mut self.conn, &sql);
        }
        let result = self.conn.exec_iter(&sql, self.bound.params())?;
        let mut rows = Vec::new();
        for_each(result, |row| rows.push(row)).map(|()| rows)
    }
}

/// More pairs of names than this are not looked up: columns of long lists.
const MOST_NAMES: usize = 5000;

enum Kind {
    NotTransactional(String),
    View(String),
}

/// What `schema`.`table` is, where no snapshot holds it; nothing where there is no
/// such table, as where the names are a column's.
fn look_up(conn: &mut Conn, schema: &str, table: &str) -> mysql::Result<Option<Kind>> {
    let sql = format!(
        "SELECT t.ENGINE, e.TRANSACTIONS, v.VIEW_DEFINITION FROM information_schema.TABLES t
         LEFT JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
         LEFT JOIN information_schema.VIEWS v
         ON v.TABLE_SCHEMA = t.TABLE_SCHEMA AND v.TABLE_NAME = t.TABLE_NAME
         WHERE t.TABLE_SCHEMA = {} AND t.TABLE_NAME = {}",
        literal(schema),
        literal(table)
    );
    let rows = ask(conn, &sql)?;
    let kind = |row: &Row| match (text(row, 0), text(row, 1), text(row, 2)) {
        (_, _, Some(definition)) => Some(Kind::View(definition)),
        (Some(_), Some(transactions), _) if transactions == "YES" => None,
        (Some(engine), _, _) => Some(Kind::NotTransactional(engine)),
        (None, _, None) => None,
    };
    Ok(rows.first().and_then(kind))
}

/// `name` as a string that means the same in every SQL mode.
fn literal(name: &str) -> String {
    format!("CONVERT(X'{}' USING utf8)", hexadecimal(name.as_bytes()))
}

/// Whether the table of a row of EXPLAIN was read already, or none was needed: the
/// server then rewrites the statement without it.
fn is_read_already(row: &Row) -> bool {
    let value = |name: &str| {
        let mut columns = row.columns_ref().iter();
        let column = columns.position(|column| column.name_str() == name)?;
        text(row, column)
    };
    value("table").is_none()
        || value("type").is_none_or(|access| matches!(access.as_str(), "system" | "const"))
}

/// The pairs of names in a statement that dots bind: tables with their databases,
/// and columns with their tables; and where there is a `database`, each name with
/// that too.
fn pairs(text: &str, database: Option<&str>) -> BTreeSet<(String, String)> {
    let mut pairs = BTreeSet::new();
    let (mut before, mut is_bound): (Option<String>, bool) = (None, false);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (name, behind) = match first {
            // Names in a string are none.
            '\'' => (None, behind_string(rest)),
            '`' => match identifier(rest) {
                Some((name, behind)) => (Some(name), behind),
                None => return pairs,
            },
            _ if is_of_a_name(first) => {
                let end = rest.find(|c| !is_of_a_name(c)).unwrap_or(rest.len());
                (Some(rest[..end].to_owned()), &rest[end..])
            }
            _ => (None, &rest[first.len_utf8()..]),
        };
        rest = behind;
        match name {
            Some(name) => {
                if let (Some(schema), true) = (before.take(), is_bound) {
                    pairs.insert((schema, name.clone()));
                } else if let Some(database) = database {
                    pairs.insert((database.to_owned(), name.clone()));
                }
                (before, is_bound) = (Some(name), false);
            }
            None if first == '.' => is_bound = before.is_some(),
            None if first.is_whitespace() => {}
            None => (before, is_bound) = (None, false),
        }
    }
    pairs
}

/// What names without quotes are made of (MySQL manual, "Schema Object Names").
fn is_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// The name between backticks that `text` begins with, and what is behind it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text.strip_prefix('`')?;
    loop {
        let (part, behind) = rest.split_once('`')?;
        name += part;
        match behind.strip_prefix('`') {
            Some(behind) => {
                name.push('`');
                rest = behind;
            }
            None => return Some((name, behind)),
        }
    }
}

fn behind_string(text: &str) -> &str {
    let mut escaped = true;
    let end = text.find(|c| {
        let ends = c == '\'' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or("", |end| &text[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, database: Option<&str>) -> String {
        let pairs = pairs(text, database);
        let shown = pairs
            .iter()
            .map(|(schema, table)| format!("{schema}/{table}"));
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pairs_of_names_are_found() {
        let text = "select `d`.`id` AS `a.b`,'`x`.`y` \\' `x`.`y`' from (`shop`.`m` `d` join `sh``op`.`ü`)";
        assert_eq!(found(text, None), "d/id sh`op/ü shop/m");
        assert_eq!(found("`a`.`b`.`c`", None), "a/b b/c");
        assert_eq!(found("`", None), "");
        let text = "select o.id from shop . orders o, (lines)";
        let all = "db/from db/lines db/o db/select db/shop o/id shop/orders";
        assert_eq!(found(text, Some("db")), all);
    }
}
