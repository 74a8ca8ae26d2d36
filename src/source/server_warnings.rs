//! The server's warnings about a statement that has run, and what they say of its
//! result.

use mysql::{Conn, Row, prelude::Queryable};

use super::{
    codes::{self, Consequence},
    driver::{self, number, text},
    errors::{allow_refusal, query_error},
    options::WarningPolicy,
};
use crate::error::{Error, ErrorKind, Result};

/// The most codes that are told apart. Servers have far fewer for one statement.
const MAX_CODES: usize = 64;

/// What warnings that cannot be read mean.
const UNKNOWN: &str = "whether others say that the result is incomplete or altered is not known";

/// The warnings of a statement that concern its result.
#[derive(Default)]
pub(super) struct ServerWarnings {
    /// One for each code, in the order of the server.
    groups: Vec<WarningGroup>,
    /// Why there may be more of them, if the server does not show all.
    unread: Option<String>,
}

/// The warnings with one code.
struct WarningGroup {
    code: u16,
    consequence: Consequence,
    count: usize,
    /// The server's words in the first of them.
    first: String,
}

impl ServerWarnings {
    /// Reads the warnings of the last statement, of which the server has counted
    /// `count`. Warnings that do not concern the result are skipped.
    pub fn read(conn: &mut Conn, count: u16) -> Result<Self> {
        let mut groups: Vec<WarningGroup> = Vec::new();
        let (mut seen, mut skipped) = (0_usize, 0);
        let look = |row: Row| {
            seen += 1;
            let level = text(&row, 0).unwrap_or_default();
            let code = number(&row, 1).unwrap_or_default();
            let Some(consequence) = codes::consequence(&level, code) else {
                return;
            };
            let message = text(&row, 2).unwrap_or_default();
            if code == codes::TRUNCATED_VALUE && keeps_zero_date(&message) {
                return;
            }
            match groups.iter().position(|group| group.code == code) {
                Some(known) => groups[known].count += 1,
                None if groups.len() == MAX_CODES => skipped += 1,
                None => groups.push(WarningGroup {
                    code,
                    consequence,
                    count: 1,
                    first: message,
                }),
            }
        };
        let warnings = conn.query_iter("SHOW WARNINGS");
        let read = warnings.and_then(|warnings| driver::for_each(warnings, look));
        // A server that refuses has no such statement.
        let _ = allow_refusal(read)
            .map_err(|error| query_error("cannot read the server's warnings", error))?;
        let unread = match seen - skipped {
            read if read < count.into() => {
                format!("the server shows {read} of its {count} warnings")
            }
            _ if count == u16::MAX => {
                format!("the server keeps {count} warnings and has no room for more")
            }
            _ => String::new(),
        };
        let unread = (!unread.is_empty()).then(|| format!("{unread}: {UNKNOWN}"));
        Ok(Self { groups, unread })
    }

    /// Returns these warnings and the `later` ones of the same statement. A code of both
    /// is one warning, which the server has repeated.
    pub fn joined_with(mut self, later: Self) -> Self {
        let is_repeated =
            |group: &WarningGroup| later.groups.iter().any(|it| it.code == group.code);
        self.groups.retain(|group| !is_repeated(group));
        self.groups.extend(later.groups);
        self.unread = self.unread.or(later.unread);
        self
    }

    /// Returns what the user of the statement `sql` should know of its result, with
    /// `others` as the last.
    ///
    /// # Errors
    /// [`ErrorKind::Query`] if something is missing for which `sql` does not ask
    /// itself, or if there is anything to say and `policy` is to fail.
    pub fn report(
        self,
        sql: &str,
        policy: WarningPolicy,
        others: Vec<String>,
    ) -> Result<Vec<String>> {
        let is_missing = |group: &&WarningGroup| {
            group.consequence == Consequence::Incomplete && !group.is_requested(sql)
        };
        if let Some(group) = self.groups.iter().find(is_missing) {
            return Err(group.error());
        }
        let reports = self.groups.iter().map(WarningGroup::report);
        let reports: Vec<String> = reports.chain(self.unread).chain(others).collect();
        if policy == WarningPolicy::Fail && !reports.is_empty() {
            return Err(Error::new(ErrorKind::Query, reports.join("; ")).with_hint(
                "mend the query or its data; without --strict-warnings, this is a warning",
            ));
        }
        Ok(reports)
    }
}

/// Whether a warning is about a zero date in a temporary table. In its default SQL
/// mode, MySQL warns of it and keeps it.
fn keeps_zero_date(message: &str) -> bool {
    let value = message.split('\'').nth(1).unwrap_or_default();
    let has_digit = value.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    value.starts_with("0000-00-00") && !has_digit && message.contains(" for column ")
}

impl WarningGroup {
    /// Whether the statement `sql` itself asks for the limit that makes its result
    /// incomplete: MariaDB's clause LIMIT ROWS EXAMINED.
    fn is_requested(&self, sql: &str) -> bool {
        // The server's words tell this limit from max_recursive_iterations, and the
        // statement's from the limit of a view or a procedure.
        self.code == codes::LIMIT_EXCEEDED
            && self.first.contains("ROWS EXAMINED")
            && sql.to_ascii_uppercase().contains("EXAMINED")
    }

    fn error(&self) -> Error {
        let first = &self.first;
        let (what, hint) = match self.code {
            codes::VALUE_TOO_LARGE => (
                format!("the server made a value NULL that is too long for it ({first})"),
                "raise the server's max_allowed_packet, or have the query make shorter values",
            ),
            codes::LIMIT_EXCEEDED => (
                format!("the result is incomplete: {first}"),
                "raise the limit that the server names: --init 'SET SESSION max_recursive_iterations = …'",
            ),
            _ => (
                format!("the result is incomplete: {first}"),
                "mend what the server's message names, and run it again",
            ),
        };
        Error::new(ErrorKind::Query, what).with_hint(hint)
    }

    fn report(&self) -> String {
        let (what, cure) = match self.code {
            _ if self.consequence == Consequence::Incomplete => {
                ("returns an incomplete result", "")
            }
            codes::GROUP_CONCAT_CUT => (
                "has cut a value",
                "; --init 'SET SESSION group_concat_max_len = …' allows longer ones",
            ),
            codes::SORTED_BY_PREFIX => (
                "has sorted by the beginning of values",
                "; --init 'SET SESSION max_sort_length = …' sorts by more",
            ),
            code if codes::ALTERED.contains(&code) => ("has altered a value", ""),
            _ => ("reports an error", ""),
        };
        let times = match self.count {
            1 => String::new(),
            count => format!(" {count} times"),
        };
        format!("the server {what}{times}: {}{cure}", self.first)
    }
}
