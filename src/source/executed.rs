//! What is known of the text that MariaDB's and MySQL's EXECUTE runs: a prepared statement
//! or an expression has one that no server shows.

use crate::sql::BoundQuery;

/// What a statement runs by EXECUTE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Executed {
    /// Nothing: it is no EXECUTE.
    Nothing,
    /// One string, which stands in the statement itself.
    Literal,
    /// A text that is not known.
    Unknown,
}

impl Executed {
    /// Returns what `bound` runs, also behind SET STATEMENT … FOR.
    pub fn of(bound: &BoundQuery) -> Self {
        let words = bound.without_strings();
        let upper = words.to_ascii_uppercase();
        let executed = match &*bound.keyword {
            "EXECUTE" => upper.strip_prefix("EXECUTE"),
            "SET" => upper.split_once(" FOR EXECUTE").map(|(_, rest)| rest),
            _ => return Self::Nothing,
        };
        let Some(executed) = executed else {
            return match &*bound.keyword {
                "SET" => Self::Nothing,
                // It is in an executable comment.
                _ => Self::Unknown,
            };
        };
        let Some(source) = executed.trim_start().strip_prefix("IMMEDIATE") else {
            return Self::Unknown;
        };
        // A doubled quote divides a string, but not by white space.
        let source = source.trim_start();
        let rest = source.trim_start_matches('\'');
        let is_literal = rest.len() < source.len()
            && (rest.is_empty() || rest.trim_start().starts_with("USING"));
        match is_literal {
            true => Self::Literal,
            false => Self::Unknown,
        }
    }
}

/// Whether a statement that [`Executed::Literal`] describes may have `word` in the text that
/// it runs.
pub(super) fn literal_may_have(bound: &BoundQuery, word: &str) -> bool {
    let text = bound.sql.replace('\\', "").to_ascii_lowercase();
    text.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Dialect, Query};

    #[test]
    fn the_text_of_execute_is_known_or_not() {
        for (sql, expected) in [
            ("SELECT 'EXECUTE'", Executed::Nothing),
            ("SET STATEMENT a=1 FOR SELECT 1", Executed::Nothing),
            ("execute p", Executed::Unknown),
            ("EXECUTE p USING 'a'", Executed::Unknown),
            ("EXECUTE IMMEDIATE @a", Executed::Unknown),
            ("EXECUTE IMMEDIATE CONCAT('a', 'b')", Executed::Unknown),
            ("EXECUTE IMMEDIATE 'a' 'b'", Executed::Unknown),
            ("EXECUTE IMMEDIATE _utf8mb4'a'", Executed::Unknown),
            ("SET STATEMENT a=1 FOR EXECUTE p", Executed::Unknown),
            ("EXECUTE IMMEDIATE 'SELECT ''a'''", Executed::Literal),
            (
                "EXECUTE /* */ IMMEDIATE \"SELECT ?\" USING 1",
                Executed::Literal,
            ),
            (
                "SET STATEMENT a=1 FOR EXECUTE IMMEDIATE 'a'",
                Executed::Literal,
            ),
        ] {
            let bound = Query::parse(sql).expect(sql).bind(Dialect::default(), &[]);
            assert_eq!(Executed::of(&bound.expect(sql)), expected, "{sql}");
        }
    }
}
