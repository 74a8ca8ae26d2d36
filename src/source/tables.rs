//! Which tables a statement reads that no snapshot holds, as far as the server
//! tells.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mysql::{
    Conn, QueryResult, Row,
    prelude::{Protocol, Queryable},
};

use super::{
    QueryExecutor, codes,
    driver::{ask, for_each, number, text},
    errors::{catch_driver_panic, query_error},
};
use crate::{error::Result, text::hex};

/// The statements whose tables EXPLAIN tells.
const EXPLAINED: [&str; 5] = ["SELECT", "WITH", "TABLE", "VALUES", "("];

/// What is told of a statement's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotCoverage {
    /// All that are known are part of the snapshot.
    Complete,
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
    /// [`ErrorTableKind::Query`](crate::error::ErrorTableKind::Query) where the connection
    /// breaks.
    pub fn snapshot_coverage(&mut self) -> Result<SnapshotCoverage> {
        let cancel = self.cancel.clone();
        catch_driver_panic(&cancel, || self.find_tables())
    }

    fn find_tables(&mut self) -> Result<SnapshotCoverage> {
        let keyword = &self.keyword;
        if !EXPLAINED.contains(&keyword.as_str()) {
            return Ok(SnapshotCoverage::Unknown(format!(
                "{keyword} does not tell"
            )));
        }
        match self.try_find_tables() {
            // The server answers; only not this.
            Err(mysql::Error::MySqlError(error)) => Ok(SnapshotCoverage::Unknown(error.message)),
            // It finds something else in the text than a statement with marks.
            Err(mysql::Error::DriverError(error)) => {
                Ok(SnapshotCoverage::Unknown(error.to_string()))
            }
            Err(error) => Err(query_error("cannot ask for the query's tables", error)),
            Ok(tables) => Ok(tables),
        }
    }

    fn try_find_tables(&mut self) -> mysql::Result<SnapshotCoverage> {
        // What MariaDB tells only so is a syntax error for MySQL, which tells it
        // in one of its formats.
        let explained = match self.explain("EXPLAIN EXTENDED") {
            Err(mysql::Error::MySqlError(_)) => {
                // MySQL runs some subqueries for that.
                if self.table_cache.are_all_transactional(&mut self.conn)? {
                    return Ok(SnapshotCoverage::Complete);
                }
                self.explain("EXPLAIN FORMAT=TRADITIONAL")?
            }
            explained => explained?,
        };
        let conn = &mut self.conn;
        let notes = all(conn.query_iter("SHOW WARNINGS")?)?;
        let rewritten = notes
            .iter()
            .filter(|row| number(row, 1) == Some(codes::REWRITTEN_STATEMENT));
        let rewritten = rewritten.filter_map(|row| text(row, 2));
        let mut names: VecDeque<BTreeSet<(String, String)>> =
            rewritten.map(|text| pairs(&text, None)).collect();
        if explained.iter().any(is_read_already) {
            let rows = ask(conn, "SELECT DATABASE()")?;
            let database = rows.first().and_then(|row| text(row, 0));
            names.push_back(pairs(&self.bound.sql, database.as_deref()));
        }
        if self.table_cache.schemas.is_empty() {
            let schemas = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA";
            let schemas = all(conn.query_iter(schemas)?)?;
            self.table_cache.schemas = schemas.iter().filter_map(|row| text(row, 0)).collect();
            let engines =
                "SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'";
            let engines = all(conn.query_iter(engines)?)?;
            self.table_cache.engines = engines.iter().filter_map(|row| text(row, 0)).collect();
        }
        let (mut seen, mut found, mut hidden) = (BTreeSet::new(), Vec::new(), None);
        // A view's own tables are in its definition.
        while let Some(names_here) = names.pop_front() {
            for pair in names_here {
                // Else they are a column's.
                if !self.table_cache.schemas.contains(&pair.0) || !seen.insert(pair.clone()) {
                    continue;
                }
                match self.table_cache.look_up(conn, &pair)? {
                    TableKind::NotTransactional(engine) => {
                        found.push(format!("{}.{} ({engine})", pair.0, pair.1));
                    }
                    TableKind::View(definition) if definition.is_empty() => {
                        hidden = Some(format!("{}.{} does not show what it is", pair.0, pair.1));
                    }
                    TableKind::View(definition) => names.push_back(pairs(&definition, None)),
                    TableKind::Other => {}
                }
            }
        }
        Ok(match hidden {
            _ if !found.is_empty() => SnapshotCoverage::NotTransactional(found),
            Some(reason) => SnapshotCoverage::Unknown(reason),
            None => SnapshotCoverage::Complete,
        })
    }

    fn explain(&mut self, explain: &str) -> mysql::Result<Vec<Row>> {
        let sql = format!("{explain} {}", self.bound.sql);
        if self.bound.values.is_empty() {
            return ask(&mut self.conn, &sql);
        }
        all(self.conn.exec_iter(&sql, self.bound.params())?)
    }
}

/// All rows of an answer that may be long.
fn all<P: Protocol>(answer: QueryResult<'_, '_, '_, P>) -> mysql::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for_each(answer, |row| rows.push(row))?;
    Ok(rows)
}

/// What a session has found out about tables.
#[derive(Default)]
pub(super) struct TableCache {
    schemas: BTreeSet<String>,
    /// Those that are transactional.
    engines: BTreeSet<String>,
    tables: BTreeMap<(String, String), TableKind>,
    are_all_transactional: Option<bool>,
}

const ANY_NOT_TRANSACTIONAL: &str = "SELECT 1 FROM information_schema.TABLES
     WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('sys', 'performance_schema')
     AND ENGINE NOT IN (SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES')
     LIMIT 1";

#[derive(Clone)]
enum TableKind {
    /// By its engine.
    NotTransactional(String),
    /// By its definition, empty where the account may not see it.
    View(String),
    /// A transactional table, or none.
    Other,
}

impl TableCache {
    /// Whether the account sees no table that is not transactional, but the
    /// server's own.
    fn are_all_transactional(&mut self, conn: &mut Conn) -> mysql::Result<bool> {
        if let Some(known) = self.are_all_transactional {
            return Ok(known);
        }
        let known = ask(conn, ANY_NOT_TRANSACTIONAL)?.is_empty();
        self.are_all_transactional = Some(known);
        Ok(known)
    }

    fn look_up(&mut self, conn: &mut Conn, pair: &(String, String)) -> mysql::Result<TableKind> {
        if let Some(kind) = self.tables.get(pair) {
            return Ok(kind.clone());
        }
        // By constants alone, or MariaDB opens every table there is.
        let of_this = format!(
            "WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(&pair.0),
            literal(&pair.1)
        );
        let question = |columns: &str| format!("SELECT {columns} {of_this}");
        let rows = ask(
            conn,
            &question("TABLE_TYPE, ENGINE FROM information_schema.TABLES"),
        )?;
        let row = rows.first();
        let kind = match (
            row.and_then(|row| text(row, 0)),
            row.and_then(|row| text(row, 1)),
        ) {
            (Some(kind), _) if kind == "VIEW" => {
                let rows = ask(
                    conn,
                    &question("VIEW_DEFINITION FROM information_schema.VIEWS"),
                )?;
                TableKind::View(
                    rows.first()
                        .and_then(|row| text(row, 0))
                        .unwrap_or_default(),
                )
            }
            (_, Some(engine)) if !self.engines.contains(&engine) => {
                TableKind::NotTransactional(engine)
            }
            _ => TableKind::Other,
        };
        self.tables.insert(pair.clone(), kind.clone());
        Ok(kind)
    }
}

/// `name` as a string that means the same in every SQL mode.
fn literal(name: &str) -> String {
    format!("CONVERT(X'{}' USING utf8)", hex(name.as_bytes()))
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
