//! The place in a statement that a server's message is about: its line, and a
//! caret below what the server says "near".

use unicode_width::UnicodeWidthStr;

use crate::error::printable;

/// How much of a long line is shown on each side of the place.
const SIDE: usize = 36;

/// The line of `sql` that `message` is about, and one with a caret below the
/// place; nothing where the message names no place.
pub(super) fn excerpt(sql: &str, message: &str) -> Vec<String> {
    let Some(place) = place(sql, message) else {
        return Vec::new();
    };
    let start = sql[..place].rfind('\n').map_or(0, |end| end + 1);
    let line = sql[start..].lines().next().unwrap_or_default();
    let (before, after) = line.split_at((place - start).min(line.len()));
    let mut shown = String::new();
    match before.char_indices().rev().nth(SIDE) {
        Some((cut, _)) => shown.extend(["…", &before[cut..]]),
        None => shown += before,
    }
    let indent = printable(&shown).width();
    match after.char_indices().nth(SIDE) {
        Some((cut, _)) => shown.extend([&after[..cut], "…"]),
        None => shown += after,
    }
    vec![shown, format!("{}^", " ".repeat(indent))]
}

/// The byte that `near '…' at line N` means. The text is what the server had not
/// yet read, cut after 80 characters; at the statement's end there is none.
fn place(sql: &str, message: &str) -> Option<usize> {
    let (_, rest) = message.split_once(" near '")?;
    let (near, line) = rest.rsplit_once("' at line ")?;
    let line: usize = line.trim().parse().ok()?;
    if near.is_empty() {
        return Some(sql.trim_end().len());
    }
    let mut starts = sql.match_indices('\n').map(|(end, _)| end + 1);
    let start = match line {
        1 => 0,
        _ => starts.nth(line.checked_sub(2)?)?,
    };
    Some(start + sql[start..].find(near)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_what_is_near() {
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
                &["SELECT '漢', 1 1", "             ^"],
            ),
            ("SELECT (1\n", "", 1, &["SELECT (1", "         ^"]),
            (
                "SELECT 'it''s' x y",
                "y",
                1,
                &["SELECT 'it''s' x y", "                 ^"],
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
