//! How a server reads the quotes and comments of SQL text: that depends on the kind
//! of server and on the SQL mode of the session.

/// The way in which a session reads SQL text.
///
/// ```
/// use gold_digger::sql::{Dialect, Query};
///
/// let query = Query::parse(r"SELECT 1 AS [a'b]")?;
/// let mssql = Dialect::of_session("11.8.3-MariaDB", "ANSI_QUOTES,MSSQL");
/// assert!(query.bind(mssql, &[]).is_ok());
/// assert!(query.bind(Dialect::default(), &[]).is_err());
/// # Ok::<(), gold_digger::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    syntax: Syntax,
    escapes: Escapes,
}

/// What encloses names and comments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Syntax {
    /// `/*! … */` is executable, and `/*M! … */` is a comment (MySQL manual,
    /// "Comments").
    #[default]
    MySql,
    /// `/*M! … */` is executable too (MariaDB documentation, "Comment Syntax").
    MariaDb,
    /// MariaDB's SQL mode `MSSQL`: `[…]` is a name too.
    Mssql,
}

/// In which quotes a backslash escapes the next character (MySQL manual, "Server
/// SQL Modes").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escapes {
    /// In `'…'` and `"…"`.
    #[default]
    BothQuotes,
    /// `ANSI_QUOTES`: in `'…'` only, because `"…"` is a name.
    SingleQuotes,
    /// `NO_BACKSLASH_ESCAPES`: in none.
    None,
}

impl Dialect {
    /// The dialects that servers can have.
    pub(super) const ALL: [Self; 8] = [
        Self::new(Syntax::MySql, Escapes::BothQuotes),
        Self::new(Syntax::MySql, Escapes::SingleQuotes),
        Self::new(Syntax::MySql, Escapes::None),
        Self::new(Syntax::MariaDb, Escapes::BothQuotes),
        Self::new(Syntax::MariaDb, Escapes::SingleQuotes),
        Self::new(Syntax::MariaDb, Escapes::None),
        // The mode MSSQL contains ANSI_QUOTES.
        Self::new(Syntax::Mssql, Escapes::SingleQuotes),
        Self::new(Syntax::Mssql, Escapes::None),
    ];

    const fn new(syntax: Syntax, escapes: Escapes) -> Self {
        Self { syntax, escapes }
    }

    /// Returns the dialect for what a server returns for `VERSION()` and for the
    /// session's `@@sql_mode`.
    #[must_use]
    pub fn of_session(version: &str, sql_mode: &str) -> Self {
        let has = |name: &str| {
            let mut modes = sql_mode.split(',');
            modes.any(|mode| mode.eq_ignore_ascii_case(name))
        };
        let syntax = match version.contains("MariaDB") {
            true if has("MSSQL") => Syntax::Mssql,
            true => Syntax::MariaDb,
            false => Syntax::MySql,
        };
        let escapes = if has("NO_BACKSLASH_ESCAPES") {
            Escapes::None
        } else if has("ANSI_QUOTES") || syntax == Syntax::Mssql {
            Escapes::SingleQuotes
        } else {
            Escapes::BothQuotes
        };
        Self { syntax, escapes }
    }

    /// The index of the dialect in [`ALL`](Self::ALL).
    pub(super) fn index(self) -> usize {
        let known = Self::ALL.iter().position(|known| *known == self);
        known.unwrap_or(0)
    }

    /// Returns a dialect that reads `text` in the same way, and is the same for
    /// all dialects that do, as far as single characters tell.
    pub(super) fn simplified_for(self, text: &str) -> Self {
        let has_backslash = text.contains('\\');
        let has_brackets = text.contains('[');
        let syntax = match self.syntax {
            Syntax::Mssql if has_brackets => Syntax::Mssql,
            Syntax::Mssql | Syntax::MariaDb if text.contains("/*M!") => Syntax::MariaDb,
            _ => Syntax::MySql,
        };
        Self {
            syntax,
            escapes: if has_backslash {
                self.escapes
            } else {
                Escapes::None
            },
        }
    }

    /// Whether a backslash escapes the next character within `quote`.
    pub(super) const fn escapes_within(self, quote: u8) -> bool {
        match self.escapes {
            Escapes::BothQuotes => matches!(quote, b'\'' | b'"'),
            Escapes::SingleQuotes => quote == b'\'',
            Escapes::None => false,
        }
    }

    /// Whether `"…"` is a name, as far as the dialect tells.
    pub(super) const fn has_ansi_quotes(self) -> bool {
        matches!(self.escapes, Escapes::SingleQuotes)
    }

    /// Whether `"…"` may be a name, though the dialect does not tell.
    pub(super) const fn may_have_ansi_quotes(self) -> bool {
        matches!(self.escapes, Escapes::SingleQuotes | Escapes::None)
    }

    /// Whether `[…]` is a name.
    pub(super) const fn has_brackets(self) -> bool {
        matches!(self.syntax, Syntax::Mssql)
    }

    /// Returns the length of the beginning of an executable comment, before its
    /// version, if `text` begins with one.
    pub(super) fn executable_comment(self, text: &[u8]) -> Option<usize> {
        let has_m = !matches!(self.syntax, Syntax::MySql);
        match text {
            [b'/', b'*', b'!', ..] => Some(3),
            [b'/', b'*', b'M', b'!', ..] if has_m => Some(4),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_follows_the_version_and_the_mode() {
        for (version, mode, expected) in [
            ("9.7.4", "STRICT_TRANS_TABLES", Dialect::default()),
            ("9.7.4", "MSSQL,ANSI_QUOTES", Dialect::ALL[1]),
            (
                "8.0.40",
                "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
                Dialect::ALL[2],
            ),
            ("10.11.14-MariaDB", "", Dialect::ALL[3]),
            (
                "10.11.14-MariaDB",
                "REAL_AS_FLOAT,ANSI_QUOTES",
                Dialect::ALL[4],
            ),
            ("10.11.14-MariaDB", "no_backslash_escapes", Dialect::ALL[5]),
            (
                "5.5.5-10.11.14-MariaDB",
                "ANSI_QUOTES,MSSQL",
                Dialect::ALL[6],
            ),
            (
                "11.8.9-MariaDB",
                "MSSQL,NO_BACKSLASH_ESCAPES",
                Dialect::ALL[7],
            ),
        ] {
            assert_eq!(
                Dialect::of_session(version, mode),
                expected,
                "{version} {mode}"
            );
        }
    }
}
