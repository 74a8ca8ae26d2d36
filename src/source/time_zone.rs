//! Notices that a statement sets the time zone of the TIMESTAMPs that it returns, so
//! that no report names another one.

use mysql::{Column, Conn, consts::ColumnType as WireType};

use super::{
    QueryExecutor, WarningPolicy,
    driver::{self, text},
    errors::{allow_refusal, query_error},
    executed::{Executed, literal_may_have},
    rewritten::{Token, tokens},
};
use crate::{
    error::{Error, ErrorKind, Result},
    schema::Schema,
    sql::BoundQuery,
};

const HINT: &str = "--time-zone chooses the zone: neither the statement nor what it calls may set \
     another one";

const EXECUTE_HINT: &str = "export the statement itself in the place of EXECUTE";

/// Days of 2026, at 12:00 UTC, as seconds since 1970: the first of January, March, July and
/// October. In March, clocks of Morocco are set back for Ramadan.
const DAYS: [u64; 4] = [1_767_268_800, 1_772_366_400, 1_782_907_200, 1_790_856_000];

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
        let mut hint = HINT;
        let what = match after.filter(|after| *after != before) {
            Some(after) => {
                format!("the statement changed the session's time zone from {before} to {after}")
            }
            None if sets_it_for_itself(&self.bound) => {
                "the statement sets the time zone for itself".to_owned()
            }
            None if Executed::of(&self.bound) == Executed::Unknown => {
                hint = EXECUTE_HINT;
                "the text that EXECUTE runs is not known, and may set the time zone for itself"
                    .to_owned()
            }
            None if has_hint(&self.bound.sql) && !self.is_mariadb()? => {
                "the statement sets the time zone for itself, by SET_VAR".to_owned()
            }
            None => return Ok(None),
        };
        let what = format!("{what}: in which one its TIMESTAMPs are is not known");
        if self.time_zone.is_chosen || self.warning_policy == WarningPolicy::Fail {
            return Err(Error::new(ErrorKind::Query, what).with_hint(hint));
        }
        Ok(Some(what))
    }

    /// Returns the session's time zone if its clocks go back once a year, so that two moments
    /// have one text.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if the connection fails.
    pub fn zone_with_summer_time(&mut self) -> Result<Option<String>> {
        let failed = |error| query_error("cannot ask for the session's time zone", error);
        self.with_driver(|conn| zone_with_summer_time(conn).map_err(failed))
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

/// Returns the session's time zone if its clocks show another difference from UTC on one of
/// [`DAYS`] than on another. The name of the system's zone would not tell: London is GMT to
/// a server that was started in winter.
pub(super) fn zone_with_summer_time(conn: &mut Conn) -> mysql::Result<Option<String>> {
    let is_fixed = |zone: &String| zone.starts_with(['+', '-']) || zone.eq_ignore_ascii_case("UTC");
    let Some(zone) = ask(conn)?.filter(|zone| !is_fixed(zone)) else {
        return Ok(None);
    };
    let difference =
        |day| format!("TIMESTAMPDIFF(SECOND, FROM_UNIXTIME({day}), '2026-01-01') + {day}");
    let differences = DAYS.map(difference).join(", ");
    let rows = allow_refusal(driver::ask(conn, &format!("SELECT {differences}")))?;
    let rows = rows.unwrap_or_default();
    let shown = rows
        .first()
        .map(|row| [0, 1, 2, 3].map(|index| text(row, index)));
    let moves = shown.is_some_and(|shown| shown.iter().any(|one| *one != shown[0]));
    Ok(moves.then_some(zone))
}

/// The SQL modes of MariaDB that read quotes and brackets differently. Which one applies is
/// not asked: a statement that sets the zone in one of them is refused.
const SQL_MODES: [&str; 5] = [
    "",
    "ANSI_QUOTES",
    "NO_BACKSLASH_ESCAPES",
    "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
    "MSSQL",
];

/// Whether the statement is MariaDB's SET STATEMENT … FOR, or executes a text that is,
/// and sets the time zone.
fn sets_it_for_itself(bound: &BoundQuery) -> bool {
    if Executed::of(bound) == Executed::Literal
        && ["statement", VARIABLE]
            .iter()
            .all(|word| literal_may_have(bound, word))
    {
        return true;
    }
    bound.keyword == "SET"
        && SQL_MODES.iter().any(|mode| {
            let words = bound.without_strings_for("MariaDB", mode);
            has_assignment(tokens(&words).collect())
        })
}

/// Whether SET STATEMENT with these tokens assigns a value to the time zone.
fn has_assignment(tokens: Vec<Token>) -> bool {
    let is_word = |token: &Token, word: &str| match token {
        Token::Name(name) => name.eq_ignore_ascii_case(word),
        _ => false,
    };
    // Behind FOR may stand another one.
    let is_end = |pair: &[Token]| is_word(&pair[0], "for") && !is_word(&pair[1], "set");
    let end = tokens.windows(2).position(is_end).unwrap_or(tokens.len());
    let header = &tokens[..end];
    let mut pairs = header.windows(2);
    header.iter().any(|token| is_word(token, "statement"))
        && pairs
            .any(|pair| is_word(&pair[0], VARIABLE) && matches!(pair[1], Token::Sign('=' | ':')))
}

/// The system variable of the session's time zone.
const VARIABLE: &str = "time_zone";

/// The quotes in which a backslash escapes the next character, in each SQL mode.
const ESCAPING_QUOTES: [&str; 3] = ["'\"", "'", ""];

/// Whether an optimizer hint of the statement is MySQL's `SET_VAR(time_zone = …)`, in one
/// of the SQL modes.
fn has_hint(sql: &str) -> bool {
    let sql = sql.to_ascii_lowercase();
    sql.contains("set_var")
        && ESCAPING_QUOTES.iter().any(|escaping| {
            let mut hints = hints(&sql, escaping).into_iter();
            hints.any(sets_variable)
        })
}

/// Whether a hint, in lower case, sets the time zone. What stands in quotes counts too.
fn sets_variable(hint: &str) -> bool {
    hint.match_indices("set_var").any(|(at, _)| {
        let words = hint[at..].split(|c: char| c.is_ascii_whitespace() || "(`\"=".contains(c));
        words.filter(|word| !word.is_empty()).nth(1) == Some(VARIABLE)
    })
}

/// Returns the texts of the optimizer hints of a statement, where a backslash escapes in
/// the quotes `escaping`. A hint ends at its first `*/` outside quotes.
fn hints<'a>(sql: &'a str, escaping: &str) -> Vec<&'a str> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let is_dashes = rest.starts_with("--")
            && !rest[2..].starts_with(|c: char| !c.is_ascii_whitespace() && !c.is_ascii_control());
        at += match first {
            '\'' | '"' | '`' => quoted_length(rest, escaping),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '-' if is_dashes => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*+") => {
                let length = hint_length(rest, escaping);
                found.push(&rest[..length]);
                length
            }
            '/' if rest.starts_with("/*") && !rest.starts_with("/*!") => {
                rest[2..].find("*/").map_or(rest.len(), |end| end + 4)
            }
            c => c.len_utf8(),
        };
    }
    found
}

/// Returns the length of the hint at the beginning of `text`.
fn hint_length(text: &str, escaping: &str) -> usize {
    let mut at = 3;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        at += match first {
            '\'' | '"' | '`' => quoted_length(rest, escaping),
            '*' if rest.starts_with("*/") => return at + 2,
            c => c.len_utf8(),
        };
    }
    at
}

/// Returns the length of the quoted text at the beginning of `text`.
fn quoted_length(text: &str, escaping: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else {
        return 0;
    };
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if escaping.contains(quote) => drop(chars.next()),
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Query};

    #[test]
    fn hints_that_set_the_zone_are_found() {
        #[rustfmt::skip]
        let cases = [
            ("SELECT /*+ SET_VAR(time_zone='+05:00') */ a FROM t", true),
            ("SELECT /*+ MAX_EXECUTION_TIME(9) set_var ( `time_zone` = 'x') */ a", true),
            ("SELECT /*+ SET_VAR(\"time_zone\"='x') */ a", true),
            ("SELECT /*+ QB_NAME(`/*`) SET_VAR(time_zone='x') */ a", true),
            ("SELECT /*+ QB_NAME(`*/`) SET_VAR(time_zone='x') */ a", true),
            ("SELECT '\\', /*+ SET_VAR(time_zone='x') */ 'a'", true),
            ("SELECT /*+ SET_VAR(sort_buffer_size=1) */ @@time_zone, a", false),
            ("SELECT /* SET_VAR(time_zone='x') */ a", false),
            ("SELECT /*+ SET_VAR */ a", false),
            ("SELECT '/*+ SET_VAR(time_zone=1) */', `/*+ SET_VAR(time_zone=1) */`", false),
            ("SELECT a -- /*+ SET_VAR(time_zone=1) */", false),
            ("SELECT /* /*+ */ 1 + /*!80000 2 */ a # /*+ SET_VAR(time_zone=1) */", false),
        ];
        for (sql, expected) in cases {
            assert_eq!(has_hint(sql), expected, "{sql}");
        }
    }

    #[test]
    fn statements_that_set_the_zone_for_themselves_are_found() {
        #[rustfmt::skip]
        let cases = [
            ("SET STATEMENT time_zone='+05:00' FOR SELECT a FROM t", true),
            ("set statement max_statement_time=1, `time_zone` = 'x' for SELECT a", true),
            ("SET STATEMENT \"time_zone\"='x' FOR SELECT a", true),
            ("SET STATEMENT lc_time_names=\"\\\"\", time_zone='x' FOR SELECT a", true),
            ("SET STATEMENT a=1 FOR SET STATEMENT time_zone='x' FOR SELECT a", true),
            ("SET STATEMENT max_statement_time=1 FOR SELECT @@time_zone", false),
            ("SET STATEMENT lc_time_names='time_zone' FOR SELECT 1", false),
            ("SET STATEMENT lc_time_names=\"time_zone\" FOR SELECT 'time_zone' = a", false),
            ("EXECUTE IMMEDIATE 'SET STATEMENT time_zone=\"x\" FOR SELECT a'", true),
            ("EXECUTE IMMEDIATE \"SET STATEMENT time_zone='x' FOR SELECT a\"", true),
            ("EXECUTE IMMEDIATE 'SELECT a'", false),
            ("SELECT /*+ SET_VAR(time_zone='x') */ a", false),
        ];
        for (sql, expected) in cases {
            let bound = Query::parse(sql).expect(sql).bind(Dialect::default(), &[]);
            let bound = bound.expect(sql);
            assert_eq!(sets_it_for_itself(&bound), expected, "{sql}");
        }
    }
}
