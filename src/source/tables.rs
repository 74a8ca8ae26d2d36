//! Finds the tables of a statement that no snapshot covers: those whose engines
//! are not transactional. The server's EXPLAIN and its rewritten statement name
//! the tables.

use std::collections::{BTreeMap, BTreeSet};

use mysql::{Conn, Row, prelude::Queryable};

use super::{
    QueryExecutor,
    driver::{all, ask, number, text},
    errors::{catch_driver_panic, query_error},
    rewritten::{Names, qualified_names, rewritten_statements},
};
use crate::{error::Result, text::hex};

/// The first keywords of statements that EXPLAIN accepts.
const EXPLAINED: [&str; 5] = ["SELECT", "WITH", "TABLE", "VALUES", "("];

/// Whether a snapshot covers all tables of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotCoverage {
    /// It covers all tables that the server names.
    Complete,
    /// It does not cover these tables, each as `database.table (ENGINE)`.
    NotTransactional(Vec<String>),
    /// The server does not name the tables, for this reason.
    Unknown(String),
}

/// What EXPLAIN says of a statement's tables.
enum Explained {
    /// The names in the rewritten statement, and perhaps those in the original one.
    Names(Names),
    /// The names do not matter: all tables of the server are transactional.
    Irrelevant,
    /// The server does not show the rewritten statement.
    Hidden,
}

impl QueryExecutor {
    /// Finds the tables of the bound statement that are not transactional, also
    /// those within views, but not those within functions.
    ///
    /// # Errors
    /// [`ErrorKind::Query`](crate::error::ErrorKind::Query) if the connection
    /// fails.
    pub fn snapshot_coverage(&mut self) -> Result<SnapshotCoverage> {
        let cancel = self.cancel.clone();
        catch_driver_panic(&cancel, || self.find_tables())
    }

    fn find_tables(&mut self) -> Result<SnapshotCoverage> {
        let keyword = &self.bound.keyword;
        if !EXPLAINED.contains(&keyword.as_str()) {
            return Ok(SnapshotCoverage::Unknown(format!(
                "{keyword} does not tell"
            )));
        }
        match self.try_find_tables() {
            // The server refuses to explain the statement.
            Err(mysql::Error::MySqlError(error)) => Ok(SnapshotCoverage::Unknown(error.message)),
            // The driver finds other parameters in the text than were bound.
            Err(mysql::Error::DriverError(error)) => {
                Ok(SnapshotCoverage::Unknown(error.to_string()))
            }
            Err(error) => Err(query_error("cannot ask for the query's tables", error)),
            Ok(tables) => Ok(tables),
        }
    }

    fn try_find_tables(&mut self) -> mysql::Result<SnapshotCoverage> {
        let names = match self.explain_names()? {
            Explained::Names(names) => names,
            Explained::Irrelevant => return Ok(SnapshotCoverage::Complete),
            Explained::Hidden => {
                let reason =
                    "the server does not show the notes of EXPLAIN (sql_notes, note_verbosity)";
                return Ok(SnapshotCoverage::Unknown(reason.to_owned()));
            }
        };
        self.table_cache.load(&mut self.conn)?;
        self.check_tables(names)
    }

    /// Explains the statement and returns the qualified names in it: those that the
    /// server has resolved, because only the server knows aliases and views.
    fn explain_names(&mut self) -> mysql::Result<Explained> {
        // MariaDB returns the rewritten statement only for EXTENDED. That is a
        // syntax error for MySQL, which returns it for one of its formats.
        let explained = match self.explain("EXPLAIN EXTENDED") {
            Err(mysql::Error::MySqlError(_)) => {
                // MySQL runs some subqueries to explain a statement, which this
                // check avoids.
                if self.table_cache.are_all_transactional(&mut self.conn)? {
                    return Ok(Explained::Irrelevant);
                }
                self.explain("EXPLAIN FORMAT=TRADITIONAL")?
            }
            explained => explained?,
        };
        let rewritten = rewritten_statements(&mut self.conn)?;
        if rewritten.is_empty() {
            return Ok(Explained::Hidden);
        }
        let mut names = Names::new();
        for text in &rewritten {
            names.append(&mut qualified_names(text, None));
        }
        let is_unnamed = |row: &Row| is_read_already(row) || is_left_out(row, &rewritten);
        if explained.iter().any(is_unnamed) {
            let (database, sql) = self.original_words()?;
            names.append(&mut qualified_names(&sql, database.as_deref()));
        }
        Ok(Explained::Names(names))
    }

    /// Looks up the tables among `names`, and those in the definitions of views.
    fn check_tables(&mut self, mut names: Names) -> mysql::Result<SnapshotCoverage> {
        let (mut seen, mut found, mut hidden) = (BTreeSet::new(), Vec::new(), None);
        while !names.is_empty() {
            // The others are names of columns and their tables.
            names.retain(|name| self.table_cache.schemas.contains(&name.0));
            names.retain(|name| seen.insert(name.clone()));
            self.table_cache.look_up(&mut self.conn, &names)?;
            let mut within_views = Names::new();
            for name in &names {
                let shown = format!("{}.{}", name.0, name.1);
                match self.table_cache.tables.get(name) {
                    Some(TableKind::NotTransactional(engine)) => {
                        found.push(format!("{shown} ({engine})"));
                    }
                    Some(TableKind::View(definition)) if definition.is_empty() => {
                        hidden = Some(format!("{shown} does not show what it is"));
                    }
                    Some(TableKind::View(definition)) => {
                        within_views.append(&mut qualified_names(definition, None));
                    }
                    Some(TableKind::Other) | None => {}
                }
            }
            names = within_views;
        }
        Ok(match hidden {
            _ if !found.is_empty() => SnapshotCoverage::NotTransactional(found),
            Some(reason) => SnapshotCoverage::Unknown(reason),
            None => SnapshotCoverage::Complete,
        })
    }

    /// Returns the session's database, and the words of the bound statement as the
    /// session's SQL mode reads them, without strings and comments.
    pub(super) fn original_words(&mut self) -> mysql::Result<(Option<String>, String)> {
        let question = "SELECT DATABASE(), @@SESSION.sql_mode, VERSION()";
        let rows = ask(&mut self.conn, question)?;
        let column = |index| rows.first().and_then(|row| text(row, index));
        let (sql_mode, version) = (column(1).unwrap_or_default(), column(2).unwrap_or_default());
        let words = self.bound.without_strings(&version, &sql_mode);
        Ok((column(0), words))
    }

    /// Explains the bound statement by the words `explain`.
    pub(super) fn explain(&mut self, explain: &str) -> mysql::Result<Vec<Row>> {
        let sql = format!("{explain} {}", self.bound.sql);
        // A prepared text runs one statement only.
        if !self.bound.may_be_several() {
            return ask(&mut self.conn, &sql);
        }
        all(self.conn.exec_iter(&sql, ())?)
    }
}

/// The facts about tables that a session has read from the server.
#[derive(Default)]
pub(super) struct TableCache {
    /// The names of all databases. Empty: not read yet.
    schemas: BTreeSet<String>,
    /// The names of the transactional engines.
    engines: BTreeSet<String>,
    tables: BTreeMap<(String, String), TableKind>,
    are_all_transactional: Option<bool>,
}

/// Returns a row if the account sees a table that is not transactional, other than
/// the server's own.
const ANY_NOT_TRANSACTIONAL: &str = "SELECT 1 FROM information_schema.TABLES
     WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('sys', 'performance_schema')
     AND ENGINE NOT IN (SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES')
     LIMIT 1";

#[derive(Clone)]
enum TableKind {
    /// A table of this engine, which is not transactional.
    NotTransactional(String),
    /// A view with this definition, which is empty if the account may not see it.
    View(String),
    /// A transactional table, or no table.
    Other,
}

impl TableCache {
    /// Reads the databases and the engines of the server, once.
    fn load(&mut self, conn: &mut Conn) -> mysql::Result<()> {
        if self.schemas.is_empty() {
            let schemas = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA";
            let schemas = all(conn.query_iter(schemas)?)?;
            self.schemas = schemas.iter().filter_map(|row| text(row, 0)).collect();
            let engines =
                "SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'";
            let engines = all(conn.query_iter(engines)?)?;
            self.engines = engines.iter().filter_map(|row| text(row, 0)).collect();
        }
        Ok(())
    }

    /// Whether every table that the account sees is transactional, except for the
    /// server's own.
    fn are_all_transactional(&mut self, conn: &mut Conn) -> mysql::Result<bool> {
        if let Some(known) = self.are_all_transactional {
            return Ok(known);
        }
        let known = ask(conn, ANY_NOT_TRANSACTIONAL)?.is_empty();
        self.are_all_transactional = Some(known);
        Ok(known)
    }

    /// Reads what each of `names` is: a table or a view, or neither.
    fn look_up(&mut self, conn: &mut Conn, names: &Names) -> mysql::Result<()> {
        let unknown = names.iter().filter(|name| !self.tables.contains_key(name));
        let unknown: Vec<_> = unknown.cloned().collect();
        for names in unknown.chunks(MAX_NAMES) {
            let mut kinds = vec![TableKind::Other; names.len()];
            let every = (0..names.len()).collect();
            for row in ask_each(conn, "TABLE_TYPE, ENGINE", "TABLES", names, every)? {
                let index: Option<usize> = number(&row, 0);
                let Some(kind) = index.and_then(|index| kinds.get_mut(index)) else {
                    continue;
                };
                match (text(&row, 1), text(&row, 2)) {
                    (Some(table_type), _) if table_type == "VIEW" => {
                        *kind = TableKind::View(String::new());
                    }
                    (_, Some(engine)) if !self.engines.contains(&engine) => {
                        *kind = TableKind::NotTransactional(engine);
                    }
                    _ => {}
                }
            }
            let is_view = |index: &usize| matches!(kinds[*index], TableKind::View(_));
            let views = (0..names.len()).filter(is_view).collect();
            for row in ask_each(conn, "VIEW_DEFINITION", "VIEWS", names, views)? {
                let index: Option<usize> = number(&row, 0);
                if let Some(kind) = index.and_then(|index| kinds.get_mut(index)) {
                    *kind = TableKind::View(text(&row, 1).unwrap_or_default());
                }
            }
            self.tables.extend(names.iter().cloned().zip(kinds));
        }
        Ok(())
    }
}

/// The most names in one question.
const MAX_NAMES: usize = 200;

/// Reads `columns` of a table of information_schema for those of `names` that have one
/// of the `indices`, in one question. The first column of a row is the index.
///
/// The conditions are constants, and each name has a SELECT of its own: otherwise,
/// MariaDB opens every table of the server.
fn ask_each(
    conn: &mut Conn,
    columns: &str,
    table: &str,
    names: &[(String, String)],
    indices: Vec<usize>,
) -> mysql::Result<Vec<Row>> {
    let question = |index: usize| {
        let (schema, name) = &names[index];
        format!(
            "SELECT {index}, {columns} FROM information_schema.{table} \
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
            literal(schema),
            literal(name)
        )
    };
    if indices.is_empty() {
        return Ok(Vec::new());
    }
    let questions: Vec<String> = indices.into_iter().map(question).collect();
    all(conn.query_iter(questions.join(" UNION ALL "))?)
}

/// Returns `name` as a string literal that has one meaning in every SQL mode.
pub(super) fn literal(name: &str) -> String {
    format!("CONVERT(X'{}' USING utf8)", hex(name.as_bytes()))
}

/// Whether the server has read the table of a row of EXPLAIN already, or needs no
/// table. The rewritten statement does not name such a table, so that the names of
/// the original text are looked up.
fn is_read_already(row: &Row) -> bool {
    by_name(row, "table").is_none()
        || by_name(row, "type").is_none_or(|access| matches!(access.as_str(), "system" | "const"))
}

/// Whether the `rewritten` statement lacks the SELECT of a row of EXPLAIN. MariaDB
/// replaces a subquery by its value, and numbers what it shows as `select#2`. A
/// statement with a single SELECT has no number.
fn is_left_out(row: &Row, rewritten: &[String]) -> bool {
    let id = by_name(row, "id").filter(|id| id != "1");
    id.is_some_and(|id| {
        let shown = format!("/* select#{id} */");
        !rewritten.iter().any(|text| text.contains(&shown))
    })
}

/// Returns the text in the column `name` of a row.
fn by_name(row: &Row, name: &str) -> Option<String> {
    let mut columns = row.columns_ref().iter();
    text(row, columns.position(|column| column.name_str() == name)?)
}
