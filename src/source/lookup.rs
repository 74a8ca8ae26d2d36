//! What is asked of the server right before a statement runs: whether the session is in its
//! database, and whether the views that the statement reads let it be prepared.
//!
//! MariaDB (10.11 and 11.8) reads a column of a view, a derived table or a CTE as NULL in a
//! subquery that has no table of its own, such as `(SELECT a + 1)`. MySQL (9.7) makes
//! `JSON_VALID((SELECT …))` of a number NULL. Both do so for their own PREPARE, too, and not
//! for statements that are sent as text.

use std::collections::BTreeSet;

use mysql::Conn;

use self::shape::{Shape, TableRef};
use super::{
    connect,
    driver::{self, text},
    errors::{allow_refusal, query_error},
    prepare::is_prepared,
    tables::literal,
};
use crate::{
    error::{Error, ErrorKind, Result},
    sql::BoundQuery,
};

mod shape;

/// The most tables and views that are looked up for one statement.
const MAX_TABLES: usize = 1000;

/// Checks that the session is in `database`, if it is to be in one, and returns why the bound
/// statement must not be prepared, if so.
///
/// # Errors
/// [`ErrorKind::Query`], if it is in another one, or if the connection is lost.
pub(super) fn look_up(
    conn: &mut Conn,
    bound: &BoundQuery,
    database: Option<&str>,
) -> Result<Option<String>> {
    let is_mariadb = connect::is_mariadb(conn);
    let unseen = || Ok(is_mariadb.then(|| UNSEEN.to_owned()));
    let mut shape = Shape::of(&bound.without_strings());
    if let Some(text) = bound.without_strings_but_names() {
        shape.tables.extend(Shape::of(&text).tables);
    }
    let fault = shape.fault(is_mariadb).map(str::to_owned);
    let is_settled = fault.is_some() || !is_prepared(bound);
    let mut seen = match is_settled {
        true => BTreeSet::new(),
        false => shape.tables,
    };
    // A query without a table is the same in each database.
    if !is_settled && seen.is_empty() {
        return Ok(None);
    }
    // The account may see what the statement names, but not all that a view does.
    let Some(answer) = ask(conn, &seen, Kinds::Views)? else {
        return fault.map_or_else(unseen, |fault| Ok(Some(fault)));
    };
    check_database(database, answer.current.as_deref())?;
    let mut views = answer.views;
    while !views.is_empty() {
        let mut named = BTreeSet::new();
        for view in views {
            if let Some(fault) = view.fault(is_mariadb) {
                let View { database, name, .. } = view;
                return Ok(Some(format!("{fault} (the view {database}.{name})")));
            }
            named.extend(view.tables());
        }
        named.retain(|table| !seen.contains(table));
        if named.is_empty() {
            break;
        }
        match ask(conn, &named, Kinds::All)? {
            Some(answer) if answer.count >= named.len() || !is_mariadb => views = answer.views,
            // What a view reads with the rights of another account is not shown.
            _ => return unseen(),
        }
        seen.extend(named);
        if seen.len() > MAX_TABLES {
            return unseen();
        }
    }
    Ok(fault)
}

const UNSEEN: &str = "MariaDB executes a subquery without FROM wrongly when it is prepared, and \
                      this account may not see whether there is one";

impl Shape {
    /// Returns what the server executes wrongly when it is prepared.
    fn fault(&self, is_mariadb: bool) -> Option<&'static str> {
        match is_mariadb {
            true if self.has_bare_subquery => {
                Some("MariaDB executes a subquery without FROM wrongly when it is prepared")
            }
            false if self.validates_subquery => {
                Some("MySQL executes JSON_VALID((SELECT …)) wrongly when it is prepared")
            }
            _ => None,
        }
    }
}

/// Checks that the session is in the database `expected`.
fn check_database(expected: Option<&str>, current: Option<&str>) -> Result<()> {
    let (Some(expected), Some(current)) = (expected, current) else {
        return Ok(());
    };
    // Servers may fold names, and Vitess has `name@replica` and `name:shard`.
    let plain = |name: &str| {
        let name = name.split(['@', ':']).next().unwrap_or_default();
        name.to_lowercase()
    };
    if current == expected || plain(current) == plain(expected) {
        return Ok(());
    }
    let what = format!("the session is in the database {current:?}, and not in {expected:?}");
    Err(Error::new(ErrorKind::Query, what).with_hint(format!(
        "the server's init_connect, an init statement or an earlier statement has changed it: \
         leave USE out there, or connect to {current:?}"
    )))
}

/// A view that a statement reads.
struct View {
    database: String,
    name: String,
    /// The shape of its definition; `None` if the account may not see that.
    shape: Option<Shape>,
}

/// What is looked up.
#[derive(Clone, Copy, PartialEq)]
enum Kinds {
    Views,
    /// Tables, too.
    All,
}

impl View {
    /// Returns what the server executes wrongly of it when a statement is prepared.
    fn fault(&self, is_mariadb: bool) -> Option<&'static str> {
        match &self.shape {
            Some(shape) => shape.fault(is_mariadb),
            None => is_mariadb.then_some(UNSEEN),
        }
    }

    /// Returns what it reads, with the databases.
    fn tables(self) -> impl Iterator<Item = TableRef> {
        let Self {
            database, shape, ..
        } = self;
        let tables = shape.unwrap_or_default().tables.into_iter();
        tables.map(move |(of, name)| (of.or_else(|| Some(database.clone())), name))
    }
}

struct Answer {
    /// The database of the session.
    current: Option<String>,
    views: Vec<View>,
    /// How many of the names the account may see, as views or tables.
    count: usize,
}

/// Looks `tables` up; `None` if the server cannot be asked.
fn ask(conn: &mut Conn, tables: &BTreeSet<TableRef>, kinds: Kinds) -> Result<Option<Answer>> {
    // Both names are equal to something constant, so that no folder is read.
    let questions = tables.iter().map(|(database, name)| {
        let database = database
            .as_ref()
            .map_or_else(|| "DATABASE()".to_owned(), |database| literal(database));
        let named = format!(
            "WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = {}",
            literal(name)
        );
        let views = format!(
            " UNION ALL SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, 1 \
             FROM information_schema.VIEWS {named}"
        );
        let tables = format!(
            " UNION ALL SELECT TABLE_SCHEMA, TABLE_NAME, '', 0 \
             FROM information_schema.TABLES {named} AND TABLE_TYPE <> 'VIEW'"
        );
        match kinds {
            Kinds::Views => views,
            Kinds::All => views + &tables,
        }
    });
    let question = "SELECT DATABASE(), NULL, NULL, 0".to_owned() + &questions.collect::<String>();
    let failed = |error| query_error("cannot look up what the statement reads", error);
    let answer = allow_refusal(driver::ask(conn, &question)).map_err(failed)?;
    let rows = match answer {
        Ok(rows) => rows,
        Err(reason) => {
            tracing::info!("which views the statement reads is not known: {reason}");
            return Ok(None);
        }
    };
    let current = rows.first().and_then(|row| text(row, 0));
    let found = rows.iter().skip(1);
    let count = found.clone().count();
    let views = found.filter(|row| text(row, 3).as_deref() == Some("1"));
    let views = views.filter_map(|row| {
        // Without the privilege SHOW VIEW, the definition is empty.
        let definition = text(row, 2).filter(|definition| !definition.is_empty());
        Some(View {
            database: text(row, 0)?,
            name: text(row, 1)?,
            shape: definition.map(|definition| Shape::of(&definition)),
        })
    });
    Ok(Some(Answer {
        current,
        views: views.collect(),
        count,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_is_an_error() {
        for (expected, current, is_same) in [
            (Some("a"), Some("a"), true),
            (Some("a"), Some("b"), false),
            (Some("Shop"), Some("shop"), true),
            (Some("a@replica"), Some("a"), true),
            (None, Some("b"), true),
            (Some("a"), None, true),
        ] {
            let checked = check_database(expected, current);
            assert_eq!(checked.is_ok(), is_same, "{expected:?} {current:?}");
        }
    }
}
