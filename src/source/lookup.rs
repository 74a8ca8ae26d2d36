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
    let is_prepared = is_prepared(bound);
    let mut shape = Shape::of(&bound.without_strings());
    if let Some(text) = bound.without_strings_but_names() {
        shape.tables.extend(Shape::of(&text).tables);
    }
    let fault = shape.fault(is_mariadb).map(str::to_owned);
    if !is_prepared || fault.is_some() {
        shape.tables.clear();
    }
    let (mut seen, mut new) = (BTreeSet::new(), shape.tables);
    // A query without a table is the same in each database.
    let mut is_first = !is_prepared || fault.is_some() || !new.is_empty();
    while is_first || !new.is_empty() && seen.len() < MAX_TABLES {
        // The account may see what the statement names, but not all that a view does.
        let kinds = match is_first {
            true => Kinds::Views,
            false => Kinds::All,
        };
        let answer = ask(conn, &new, kinds)?;
        let Some(Answer {
            current,
            views,
            count,
        }) = answer
        else {
            return Ok(fault.or_else(|| is_mariadb.then(|| UNSEEN.to_owned())));
        };
        if is_first {
            check_database(database, current.as_deref())?;
        } else if is_mariadb && count < new.len() {
            // What a view reads with the rights of another account is not shown.
            return Ok(Some(UNSEEN.to_owned()));
        }
        is_first = false;
        seen.append(&mut new);
        for View {
            database,
            name,
            definition,
        } in views
        {
            let shape = Shape::of(&definition);
            let fault = match definition.is_empty() {
                // Without the privilege SHOW VIEW.
                true => is_mariadb.then_some(UNSEEN),
                false => shape.fault(is_mariadb),
            };
            if let Some(fault) = fault {
                return Ok(Some(format!("{fault} (the view {database}.{name})")));
            }
            let named = shape.tables.into_iter();
            new.extend(named.map(|(of, name)| (of.or_else(|| Some(database.clone())), name)));
        }
        new.retain(|table| !seen.contains(table));
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
    /// Empty, if the account may not see it.
    definition: String,
}

/// What is looked up.
#[derive(Clone, Copy, PartialEq)]
enum Kinds {
    Views,
    /// Tables, too.
    All,
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
        Some(View {
            database: text(row, 0)?,
            name: text(row, 1)?,
            definition: text(row, 2).unwrap_or_default(),
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
