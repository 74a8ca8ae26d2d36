//! Finds what a statement reads that no snapshot covers: tables whose engines are not
//! transactional, locked rows and full-text indexes. The server's EXPLAIN and its
//! rewritten statement name the tables.

use std::collections::BTreeSet;

use mysql::{Conn, Row, prelude::Queryable};

use super::{
    QueryExecutor,
    driver::{all, ask, number, text},
    errors::{allow_refusal, catch_driver_panic, is_parse_error, query_error},
    rewritten::{
        CurrentRead, Names, current_reads, may_read_current_rows, qualified_names,
        rewritten_statements,
    },
};
use crate::{error::Result, text::hex};

/// The first keywords of statements that EXPLAIN accepts.
const EXPLAINED: [&str; 5] = ["SELECT", "WITH", "TABLE", "VALUES", "("];

/// A reason why a snapshot may not cover all that a statement reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SnapshotGap {
    /// The definitions of these tables were changed after the snapshot began, each as
    /// `database.table`: they may lack rows, or have those of another table.
    Altered(Vec<String>),
    /// These tables are not transactional, each as `database.table (ENGINE)`.
    NotTransactional(Vec<String>),
    /// The statement locks rows, and reads their newest versions.
    LockingRead,
    /// The statement searches in a full-text index.
    FullText,
    /// The server does not name the tables, for this reason.
    Unknown(String),
}

impl From<CurrentRead> for SnapshotGap {
    fn from(read: CurrentRead) -> Self {
        match read {
            CurrentRead::Locking => Self::LockingRead,
            CurrentRead::FullText => Self::FullText,
        }
    }
}

/// What is known of a statement's tables.
type Gaps = BTreeSet<SnapshotGap>;

/// What EXPLAIN says of a statement's tables.
enum Explained {
    /// The names in the rewritten statement.
    Names {
        resolved: Names,
        /// All words of the original statement, as names of tables. Empty: all tables
        /// are among the resolved names.
        guessed: Names,
    },
    /// The names do not matter: a snapshot covers all tables of the server.
    Irrelevant,
    /// The server does not show the rewritten statement.
    Hidden,
}

impl QueryExecutor {
    /// Finds what the bound statement reads besides the snapshot: tables that are not
    /// transactional, also those within views, but not those within functions, locked
    /// rows and full-text indexes.
    ///
    /// # Errors
    /// [`ErrorKind::Query`](crate::error::ErrorKind::Query) if the connection
    /// fails.
    pub fn snapshot_gaps(&mut self) -> Result<Vec<SnapshotGap>> {
        let cancel = self.cancel.clone();
        let gaps = catch_driver_panic(&cancel, || self.find_gaps())?;
        Ok(gaps.into_iter().collect())
    }

    fn find_gaps(&mut self) -> Result<Gaps> {
        let keyword = &self.bound.keyword;
        if !EXPLAINED.contains(&keyword.as_str()) {
            let reason = format!("{keyword} does not tell");
            return Ok(Gaps::from([SnapshotGap::Unknown(reason)]));
        }
        let failed = |error| query_error("cannot ask for the query's tables", error);
        let mut gaps = self.gaps_of_words().map_err(failed)?;
        match self.gaps_of_tables() {
            // The server refuses to explain the statement.
            Err(mysql::Error::MySqlError(error)) => {
                gaps.insert(SnapshotGap::Unknown(error.message));
            }
            // The driver takes something in the text for a parameter.
            Err(mysql::Error::DriverError(error)) => {
                gaps.insert(SnapshotGap::Unknown(error.to_string()));
            }
            Err(error) => return Err(failed(error)),
            Ok(mut found) => gaps.append(&mut found),
        }
        Ok(gaps)
    }

    /// Finds what the original words tell. The server does not show locks in what it
    /// rewrites, and leaves subqueries out.
    fn gaps_of_words(&mut self) -> mysql::Result<Gaps> {
        if !may_read_current_rows(&self.bound.sql) {
            return Ok(Gaps::new());
        }
        let (_, words) = self.original_words()?;
        Ok(gaps_of_text(&words).collect())
    }

    fn gaps_of_tables(&mut self) -> mysql::Result<Gaps> {
        let mut gaps = Gaps::new();
        let (names, guessed) = match self.explain_names(&mut gaps)? {
            Explained::Names { resolved, guessed } => (resolved, guessed),
            Explained::Irrelevant => return Ok(gaps),
            Explained::Hidden => {
                let reason = "the server does not show the notes of EXPLAIN (sql_notes, \
                              max_error_count, note_verbosity)";
                gaps.insert(SnapshotGap::Unknown(reason.to_owned()));
                return Ok(gaps);
            }
        };
        self.table_cache.load(&mut self.conn)?;
        self.check_tables(names, guessed, &mut gaps)?;
        Ok(gaps)
    }

    /// Explains the statement and returns the qualified names in it: those that the
    /// server has resolved, because only the server knows aliases and views. Adds what
    /// the rewritten statement reads besides the snapshot to `gaps`.
    fn explain_names(&mut self, gaps: &mut Gaps) -> mysql::Result<Explained> {
        // MariaDB returns the rewritten statement only for EXTENDED. That is a
        // syntax error for MySQL, which returns it for one of its formats.
        let explained = match self.explain("EXPLAIN EXTENDED") {
            Err(error) if is_parse_error(&error) => {
                // MySQL runs some subqueries to explain a statement, which this
                // check avoids.
                if self.table_cache.are_all_covered(&mut self.conn)? {
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
        let (mut resolved, mut guessed) = (Names::new(), Names::new());
        for text in &rewritten {
            resolved.append(&mut qualified_names(text, None));
            gaps.extend(gaps_of_text(text));
        }
        let is_unnamed = |row: &Row| is_read_already(row) || is_left_out(row, &rewritten);
        if explained.iter().any(is_unnamed) {
            let (database, sql) = self.original_words()?;
            guessed = qualified_names(&sql, database.as_deref());
            guessed.retain(|name| !resolved.contains(name));
        }
        Ok(Explained::Names { resolved, guessed })
    }

    /// Looks up the tables among the names, and those in the definitions of views, and
    /// adds what no snapshot covers to `gaps`. That a `guessed` one is altered is not known
    /// for certain: it may be an alias.
    ///
    /// From its EXPLAIN on, the transaction holds the metadata locks of the tables, so
    /// that no other session alters them before their rows are read.
    fn check_tables(
        &mut self,
        resolved: Names,
        guessed: Names,
        gaps: &mut Gaps,
    ) -> mysql::Result<()> {
        let mut names = &resolved | &guessed;
        let (mut seen, mut found, mut altered) = (BTreeSet::new(), Vec::new(), Vec::new());
        while !names.is_empty() {
            // The others are names of columns and their tables.
            names.retain(|name| self.table_cache.schemas.contains(&name.0));
            names.retain(|name| seen.insert(name.clone()));
            let kinds = self.table_cache.look_up(&mut self.conn, &names)?;
            let mut within_views = Names::new();
            for (name, kind) in names.iter().zip(kinds) {
                let shown = format!("{}.{}", name.0, name.1);
                match kind {
                    TableKind::NotTransactional(engine) => {
                        found.push(format!("{shown} ({engine})"));
                    }
                    TableKind::Altered if guessed.contains(name) => {
                        let reason = format!(
                            "{shown} was altered after the snapshot began, if the query reads it"
                        );
                        gaps.insert(SnapshotGap::Unknown(reason));
                    }
                    TableKind::Altered => altered.push(shown),
                    TableKind::View(definition) if definition.is_empty() => {
                        let reason = format!("{shown} does not show what it is");
                        gaps.insert(SnapshotGap::Unknown(reason));
                    }
                    TableKind::View(definition) => {
                        within_views.append(&mut qualified_names(&definition, None));
                        gaps.extend(gaps_of_text(&definition));
                    }
                    TableKind::Other => {}
                }
            }
            names = within_views;
        }
        if !found.is_empty() {
            gaps.insert(SnapshotGap::NotTransactional(found));
        }
        if !altered.is_empty() {
            gaps.insert(SnapshotGap::Altered(altered));
        }
        Ok(())
    }

    /// Returns the session's database, and the words of the bound statement as the
    /// session's SQL mode reads them, without strings and comments.
    pub(super) fn original_words(&mut self) -> mysql::Result<(Option<String>, String)> {
        let question = "SELECT DATABASE(), @@SESSION.sql_mode, VERSION()";
        let rows = ask(&mut self.conn, question)?;
        let column = |index| rows.first().and_then(|row| text(row, index));
        let (sql_mode, version) = (column(1).unwrap_or_default(), column(2).unwrap_or_default());
        let words = self.bound.without_strings_for(&version, &sql_mode);
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
    are_all_covered: Option<bool>,
    /// The server's time in UTC, in whole seconds, when the snapshot had begun. `None`:
    /// the times of tables do not show that they were altered later.
    pub(super) began: Option<String>,
}

/// Returns a row if the account sees a table that is not transactional, or that has a
/// full-text index, other than the server's own, or a view that hides its tables.
const ANY_NOT_COVERED: &str = "SELECT 1 FROM information_schema.TABLES
     WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('sys', 'performance_schema')
     AND ENGINE NOT IN (SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES')
     UNION ALL SELECT 1 FROM information_schema.STATISTICS WHERE INDEX_TYPE = 'FULLTEXT'
     UNION ALL SELECT 1 FROM information_schema.VIEWS
     WHERE VIEW_DEFINITION = '' AND TABLE_SCHEMA <> 'sys'
     LIMIT 1";

/// The `TABLE_TYPE` of MariaDB's sequences. Their engine is transactional, but their
/// values are not.
const SEQUENCE: &str = "SEQUENCE";

#[derive(Clone)]
enum TableKind {
    /// A table of this engine, which is not transactional, or a sequence.
    NotTransactional(String),
    /// A view with this definition, which is empty if the account may not see it.
    View(String),
    /// A transactional table that was altered after the snapshot began.
    Altered,
    /// Another transactional table, or no table.
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

    /// Whether a snapshot covers every table that the account sees, except for the
    /// server's own.
    fn are_all_covered(&mut self, conn: &mut Conn) -> mysql::Result<bool> {
        if let Some(known) = self.are_all_covered {
            return Ok(known);
        }
        let known = ask(conn, ANY_NOT_COVERED)?.is_empty();
        self.are_all_covered = Some(known);
        Ok(known)
    }

    /// Reads what each of `names` is, in their order: a table or a view, or neither.
    /// Other sessions may change that between two statements.
    fn look_up(&self, conn: &mut Conn, names: &Names) -> mysql::Result<Vec<TableKind>> {
        let names: Vec<_> = names.iter().cloned().collect();
        let mut all_kinds = Vec::with_capacity(names.len());
        let columns = match self.began {
            Some(_) => "TABLE_TYPE, ENGINE, CREATE_TIME",
            None => "TABLE_TYPE, ENGINE, NULL",
        };
        let prefix = self.began.as_ref().map_or("", |_| IN_UTC);
        for names in names.chunks(MAX_NAMES) {
            let mut kinds = vec![TableKind::Other; names.len()];
            let every = (0..names.len()).collect();
            for row in ask_each(conn, prefix, columns, "TABLES", names, every)? {
                let index: Option<usize> = number(&row, 0);
                let Some(kind) = index.and_then(|index| kinds.get_mut(index)) else {
                    continue;
                };
                match (text(&row, 1), text(&row, 2)) {
                    (Some(table_type), _) if table_type == "VIEW" => {
                        *kind = TableKind::View(String::new());
                    }
                    (Some(table_type), _) if table_type == SEQUENCE => {
                        *kind = TableKind::NotTransactional(table_type);
                    }
                    (_, Some(engine)) if !self.engines.contains(&engine) => {
                        *kind = TableKind::NotTransactional(engine);
                    }
                    (Some(table_type), _)
                        if table_type == "BASE TABLE" && self.is_later(text(&row, 3)) =>
                    {
                        *kind = TableKind::Altered;
                    }
                    _ => {}
                }
            }
            let is_view = |index: &usize| matches!(kinds[*index], TableKind::View(_));
            let views = (0..names.len()).filter(is_view).collect();
            for row in ask_each(conn, "", "VIEW_DEFINITION", "VIEWS", names, views)? {
                let index: Option<usize> = number(&row, 0);
                if let Some(kind) = index.and_then(|index| kinds.get_mut(index)) {
                    *kind = TableKind::View(text(&row, 1).unwrap_or_default());
                }
            }
            all_kinds.append(&mut kinds);
        }
        Ok(all_kinds)
    }

    /// Whether `time` is certainly later than the beginning of the snapshot. Both are in
    /// whole seconds and of one form.
    fn is_later(&self, time: Option<String>) -> bool {
        self.began.is_some() && time > self.began
    }
}

/// The words before a statement that reads times in UTC: times of the session's zone
/// are not unique when summer ends. Only MariaDB knows them. MySQL has no need of them:
/// its information_schema shows the tables as they were when the snapshot began.
const IN_UTC: &str = "SET STATEMENT time_zone = '+00:00' FOR ";

/// Reads the server's time, to compare the times of tables with it. InnoDB of MariaDB
/// returns as `CREATE_TIME` when the file of the table's definition was changed.
/// SYSDATE does not depend on the session's `timestamp`.
pub(super) fn read_begin(conn: &mut Conn) -> mysql::Result<Option<String>> {
    let answer = allow_refusal(ask(conn, &format!("{IN_UTC}SELECT SYSDATE()")))?;
    Ok(answer.ok().and_then(|rows| text(rows.first()?, 0)))
}

/// Returns the gaps that the text of a statement shows.
fn gaps_of_text(text: &str) -> impl Iterator<Item = SnapshotGap> {
    current_reads(text).into_iter().map(SnapshotGap::from)
}

/// The most names in one question.
const MAX_NAMES: usize = 200;

/// Reads `columns` of a table of information_schema for those of `names` that have one
/// of the `indices`, in one question that begins with `prefix`. The first column of a
/// row is the index.
///
/// The conditions are constants, and each name has a SELECT of its own: otherwise,
/// MariaDB opens every table of the server.
fn ask_each(
    conn: &mut Conn,
    prefix: &str,
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
    all(conn.query_iter(prefix.to_owned() + &questions.join(" UNION ALL "))?)
}

/// Returns `name` as a string literal that has one meaning in every SQL mode.
pub(super) fn literal(name: &str) -> String {
    format!("CONVERT(X'{}' USING utf8)", hex(name.as_bytes()))
}

/// Whether the server has read the table of a row of EXPLAIN already, or needs no
/// table. The rewritten statement does not name such a table, so that the names of
/// the original text are looked up.
pub(super) fn is_read_already(row: &Row) -> bool {
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
pub(super) fn by_name(row: &Row, name: &str) -> Option<String> {
    let mut columns = row.columns_ref().iter();
    text(row, columns.position(|column| column.name_str() == name)?)
}
