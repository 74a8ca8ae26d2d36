//! Notices that a statement sets the time zone of the TIMESTAMPs that it returns, so
//! that no report names another one.

use mysql::{Column, Conn, consts::ColumnType as WireType};

use super::{
    QueryExecutor, WarningPolicy,
    driver::{self, text},
    errors::{allow_refusal, query_error},
    rewritten::{Token, tokens},
};
use crate::{
    error::{Error, ErrorKind, Result},
    schema::Schema,
    sql::BoundQuery,
};

const HINT: &str = "--time-zone chooses the zone: neither the statement nor what it calls may set \
     another one";

/// What is known of the time zone of a session.
pub(super) struct TimeZone {
    /// Whether the user has chosen it, so that another one is an error.
    is_chosen: bool,
    /// Its name before the statement, if the result may have TIMESTAMPs and the server
    /// tells it.
    before: Option<String>,
}

impl TimeZone {
    /// Returns what is known before the first statement. `chosen` is the zone that the
    /// user has chosen.
    pub fn new(chosen: Option<&str>) -> Self {
        Self {
            is_chosen: chosen.is_some(),
            before: None,
        }
    }

    /// Asks for the zone before a statement whose result has `columns`, or some that
    /// are not known, runs.
    ///
    /// # Errors
    /// The driver's error if the connection fails.
    pub fn learn(&mut self, conn: &mut Conn, columns: &[Column]) -> mysql::Result<()> {
        let mut types = columns.iter().map(Column::column_type);
        let is_needed = columns.is_empty() || types.any(|of| of == WireType::MYSQL_TYPE_TIMESTAMP);
        self.before = if is_needed { ask(conn)? } else { None };
        Ok(())
    }

    /// Forgets the zone if a result with `schema` does not depend on it.
    pub fn expect(&mut self, schema: &Schema) {
        if !schema.has_timestamps() {
            self.before = None;
        }
    }
}

impl QueryExecutor {
    /// Returns the warning that the TIMESTAMPs of the result may be in another time zone
    /// than the session's, if there is one: the statement, or what it called, has set
    /// another. Call it after the rows. A function that sets the zone back is not
    /// noticed.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] instead of the warning if the options of the session name a
    /// zone, or with [`WarningPolicy::Fail`].
    pub fn check_time_zone(&mut self) -> Result<Option<String>> {
        let Some(before) = self.time_zone.before.take() else {
            return Ok(None);
        };
        let failed = |error| query_error("cannot read the session's time zone", error);
        let after = self.with_driver(|conn| ask(conn).map_err(failed))?;
        let what = match after.filter(|after| *after != before) {
            Some(after) => {
                format!("the statement changed the session's time zone from {before} to {after}")
            }
            None if sets_it_for_itself(&self.bound) => {
                "the statement sets the time zone for itself".to_owned()
            }
            None if has_hint(&self.bound.sql) && !self.is_mariadb()? => {
                "the statement sets the time zone for itself, by SET_VAR".to_owned()
            }
            None => return Ok(None),
        };
        let what = format!("{what}: in which one its TIMESTAMPs are is not known");
        if self.time_zone.is_chosen || self.warning_policy == WarningPolicy::Fail {
            return Err(Error::new(ErrorKind::Query, what).with_hint(HINT));
        }
        Ok(Some(what))
    }

    fn is_mariadb(&mut self) -> Result<bool> {
        let failed = |error| query_error("cannot ask for the server's version", error);
        self.stored_bits.is_mariadb(&mut self.conn).map_err(failed)
    }
}

/// Returns the session's time zone, if the server tells it.
fn ask(conn: &mut Conn) -> mysql::Result<Option<String>> {
    let answer = driver::ask(conn, "SHOW SESSION VARIABLES LIKE 'time_zone'");
    let answer = allow_refusal(answer)?.unwrap_or_default();
    Ok(answer.first().and_then(|row| text(row, 1)))
}

/// Whether the statement is MariaDB's SET STATEMENT … FOR, or executes a text that is,
/// and sets the time zone.
fn sets_it_for_itself(bound: &BoundQuery) -> bool {
    let words = match &*bound.keyword.to_ascii_uppercase() {
        "SET" => bound.without_strings(),
        "EXECUTE" => bound.sql.replace('\'', " "),
        _ => return false,
    };
    let (mut has_statement, mut has_zone) = (false, false);
    for token in tokens(&words) {
        let Token::Name(name) = token else { continue };
        match &*name.to_ascii_lowercase() {
            "statement" => has_statement = true,
            "time_zone" => has_zone = true,
            "for" => break,
            _ => {}
        }
    }
    has_statement && has_zone
}

/// Whether an optimizer hint of the statement is MySQL's `SET_VAR(time_zone = …)`.
fn has_hint(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    let mut hints = sql.match_indices("set_var").filter(|(at, _)| {
        let comment = sql[..*at].rfind("/*");
        comment.is_some_and(|comment| sql[comment..].starts_with("/*+"))
    });
    hints.any(|(at, _)| {
        let words = sql[at..].split(|c: char| c.is_ascii_whitespace() || "(`=".contains(c));
        words.filter(|word| !word.is_empty()).nth(1) == Some("time_zone")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Query};

    #[test]
    fn statements_that_set_the_zone_for_themselves_are_found() {
        for (sql, statement, hint) in [
            (
                "SELECT /*+ SET_VAR(time_zone='+05:00') */ a FROM t",
                false,
                true,
            ),
            (
                "SELECT /*+ MAX_EXECUTION_TIME(9) set_var ( `time_zone` = 'x') */ a",
                false,
                true,
            ),
            (
                "SELECT /*+ SET_VAR(sort_buffer_size=1) */ @@time_zone, a",
                false,
                false,
            ),
            ("SELECT /* SET_VAR(time_zone='x') */ a", false, false),
            ("SELECT /*+ SET_VAR */ a", false, false),
            (
                "SET STATEMENT time_zone='+05:00' FOR SELECT a FROM t",
                true,
                false,
            ),
            (
                "set statement max_statement_time=1, `time_zone` = 'x' for SELECT a",
                true,
                false,
            ),
            (
                "SET STATEMENT max_statement_time=1 FOR SELECT @@time_zone",
                false,
                false,
            ),
            (
                "SET STATEMENT lc_time_names='time_zone' FOR SELECT 1",
                false,
                false,
            ),
            (
                "EXECUTE IMMEDIATE 'SET STATEMENT time_zone=\"x\" FOR SELECT a'",
                true,
                false,
            ),
            ("EXECUTE IMMEDIATE 'SELECT a'", false, false),
        ] {
            let bound = Query::parse(sql).expect(sql).bind(Dialect::default(), &[]);
            let bound = bound.expect(sql);
            let found = (sets_it_for_itself(&bound), has_hint(sql));
            assert_eq!(found, (statement, hint), "{sql}");
        }
    }
}
