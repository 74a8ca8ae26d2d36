//! The line of a statement that a server's message is about, with a caret below
//! the text that the message quotes after "near".

use unicode_width::UnicodeWidthStr;

use crate::text::{HIDDEN, hidden_places, printable, redact, without_places};

/// The most characters of a line that are shown on each side of the place.
const MAX_CONTEXT: usize = 36;

/// Returns the line of `sql` that `message` is about, and a line with a caret below
/// the place. It is empty if the message names no place.
pub(super) fn excerpt(sql: &str, message: &str) -> Vec<String> {
    let Some(place) = place(sql, message) else {
        return Vec::new();
    };
    let start = sql[..place].rfind('\n').map_or(0, |end| end + 1);
    let line = sql[start..].lines().next().unwrap_or_default();
    let end = start + line.len();
    let place = place.min(end);
    // A password that is cut would not be found.
    let hidden = hidden_places(sql);
    let before = redact(&without_places(sql, start..place, &hidden));
    let after = redact(&without_places(sql, place..end, &hidden));
    let before = match before.char_indices().rev().nth(MAX_CONTEXT) {
        Some((cut, _)) => format!("…{}", &before[cut..]),
        None => before,
    };
    let after = match after.char_indices().nth(MAX_CONTEXT) {
        Some((cut, _)) => format!("{}…", &after[..cut]),
        None => after,
    };
    let before = printable(&before);
    let indent = " ".repeat(before.width());
    vec![before + &printable(&after), format!("{indent}^")]
}

/// Returns the server's `message` about `sql` without the passwords of which the text that
/// it quotes after "near" has the beginning only.
pub(super) fn without_passwords(sql: &str, message: &str) -> Option<String> {
    let hidden = hidden_places(sql);
    let (begin, rest) = message.split_once(NEAR).filter(|_| !hidden.is_empty())?;
    let (near, end) = rest.rsplit_once(AT_LINE)?;
    let shown = match place(sql, message) {
        Some(place) => without_places(sql, place..place + near.trim_end().len(), &hidden),
        None => HIDDEN.to_owned(),
    };
    Some([begin, NEAR, &shown, AT_LINE, end].concat())
}

/// What precedes and what follows the quoted text.
const NEAR: &str = " near '";
const AT_LINE: &str = "' at line ";

/// Returns the byte position that `near '…' at line N` means. The quoted text is
/// what the server had not yet read: the rest of the statement, or its first 80
/// characters.
fn place(sql: &str, message: &str) -> Option<usize> {
    let (_, rest) = message.split_once(NEAR)?;
    let (near, line) = rest.rsplit_once(AT_LINE)?;
    let (sql, near) = (sql.trim_end(), near.trim_end());
    if sql.ends_with(near) {
        return Some(sql.len() - near.len());
    }
    let line: usize = line.trim().parse().ok()?;
    let mut starts = sql.match_indices('\n').map(|(end, _)| end + 1);
    let start = match line {
        1 => 0,
        _ => starts.nth(line.checked_sub(2)?)?,
    };
    let mut places = sql[start..].match_indices(near);
    let place = places.next()?.0;
    // An ambiguous place is not shown.
    places.next().is_none().then_some(start + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_is_below_the_quoted_text() {
        let message = |near: &str, line: u32| {
            format!("check the manual for the right syntax to use near '{near}' at line {line}")
        };
        for (sql, near, line, shown) in [
            (
                "SELECT 1 FORM t",
                "FORM t",
                1,
                &["SELECT 1 FORM t", "         ^"][..],
            ),
            ("SELECT x\nFROM x\nWERE x", "WERE x", 3, &["WERE x", "^"]),
            (
                "SELECT '漢', 1 1",
                "1",
                1,
                &["SELECT '漢', 1 1", "               ^"],
            ),
            ("SELECT (1\n", "", 1, &["SELECT (1", "         ^"]),
            (
                "SELECT 'it''s' x y",
                "y",
                1,
                &["SELECT 'it''s' x y", "                 ^"],
            ),
            (
                "select 1 form t",
                "t",
                1,
                &["select 1 form t", "              ^"],
            ),
            (
                "SELECT 'a:x' form '@c' t",
                "t",
                1,
                &["SELECT 'a:x' form '@c' t", "                       ^"],
            ),
            ("SELECT 1", "elsewhere", 1, &[]),
            ("SELECT 1", "SELECT", 7, &[]),
        ] {
            assert_eq!(excerpt(sql, &message(near, line)), shown, "{sql}");
        }
        let long = format!("SELECT {} FORM t", "x".repeat(200));
        let shown = excerpt(&long, &message("FORM t", 1));
        assert_eq!(shown[0], format!("…{} FORM t", "x".repeat(36)));
        assert_eq!(shown[1].len(), 39);
        assert!(excerpt("SELECT 1", "no place at all").is_empty());
    }
}
