//! Passwords in texts that were given to the program, perhaps in a wrong place. From
//! then on, no message shows them, whatever characters they hold and whatever stands
//! around the text.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A password of fewer bytes is hidden only between what stands around it: alone, it
/// may be a part of any word.
const SHORTEST_ALONE: usize = 6;

/// The fewest bytes of a password with what stands around it.
const SHORTEST: usize = 3;

/// What stands before a password among the parameters of a URL, or among the settings
/// of a connection as ODBC, Go and libpq write them, or as a flag. In lower case.
const PARAMETERS: [&str; 10] = [
    "?password=",
    "&password=",
    ";password=",
    ",password=",
    " password=",
    ";pwd=",
    "&pwd=",
    " passwd=",
    "-password=",
    "-password ",
];

/// The same at the beginning of a text.
const FIRST_PARAMETERS: [&str; 3] = ["password=", "pwd=", "passwd="];

/// The word of SQL before what a new account is identified by, in lower case.
const IDENTIFIED: &str = "identified";

/// Parts of the words of SQL that a password follows, in lower case.
const SQL_WORDS: [&str; 2] = ["password", IDENTIFIED];

/// What is hidden, wherever it stands.
static MISPLACED: Mutex<Vec<Misplaced>> = Mutex::new(Vec::new());

/// A text in which a password is hidden.
#[derive(PartialEq, Eq)]
struct Misplaced {
    text: String,
    /// The password's place in it.
    place: Range<usize>,
}

/// Its list is complete at every point that can panic.
fn misplaced() -> MutexGuard<'static, Vec<Misplaced>> {
    MISPLACED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part of a text that may be a password.
#[derive(Debug, PartialEq, Eq)]
struct Found<'a> {
    /// The user's name before it.
    user: Option<&'a str>,
    password: &'a str,
}

/// Where a text stands, which decides what of it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextPlace {
    /// In the place of a name, such as a file's or a column's: only what a URL has in
    /// the place of a password.
    Name,
    /// In the place of a user's name: all behind its first colon.
    User,
    /// Anywhere else: also what stands in `USER:PASSWORD@HOST`.
    Other,
}

/// Returns the parts of `text` that may be passwords, if it is a URL or an account: in
/// `USER:PASSWORD@HOST`, with or without a scheme, up to the last `@`; behind the
/// user's name in a URL without a host; behind `password=` in a URL. An account alone
/// has none in the place of a name.
fn passwords(text: &str, place: TextPlace) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    let scheme = text.find("://").map(|at| at + 3);
    if scheme.is_none() && place == TextPlace::Name {
        return found;
    }
    let account = &text[scheme.unwrap_or(0)..];
    let lower = text.to_ascii_lowercase();
    let is_account = |user: &str| {
        let user = user.to_ascii_lowercase();
        !PARAMETERS.iter().any(|name| user.contains(name))
    };
    if let Some((user, rest)) = account.split_once(':').filter(|(user, _)| is_account(user)) {
        let is_port = || rest.starts_with(|c: char| c.is_ascii_digit());
        let password = match rest.rfind('@') {
            Some(at) => &rest[..at],
            None if place == TextPlace::User => rest,
            None if scheme.is_some() && !user.contains(['/', '?']) && !is_port() => rest,
            None => "",
        };
        let user = Some(user);
        found.push(Found { user, password });
    }
    let parameters = PARAMETERS.iter();
    let parameters = parameters.filter_map(|name| Some(lower.find(name)? + name.len()));
    let first = FIRST_PARAMETERS
        .iter()
        .find(|name| lower.starts_with(**name));
    if let Some(begin) = first
        .map(|name| name.len())
        .into_iter()
        .chain(parameters)
        .min()
    {
        let rest = &text[begin..];
        let around = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
        let separator = |c: char| c.is_whitespace() || matches!(c, ';' | ',' | '&');
        let value = rest.split(separator).next().unwrap_or_default();
        let passwords = [rest, rest.trim_end_matches(around), value];
        found.extend(passwords.map(|password| Found {
            user: None,
            password,
        }));
    }
    found.retain(|found| !found.password.is_empty());
    found
}

/// Returns whether a part of `text` may be a password.
pub(crate) fn may_hold_password(text: &str) -> bool {
    !passwords(text, TextPlace::Other).is_empty()
}

/// Hides what may be a password in `text`, which stands in `place`, from all later
/// messages.
pub(crate) fn hide_passwords_of(text: &str, place: TextPlace) {
    for Found { user, password } in passwords(text, place) {
        let quoted = format!("{password:?}");
        // Messages quote texts as Rust does.
        let quoted = &quoted[1..quoted.len() - 1];
        for form in [password, quoted] {
            hide(&[":"], form, "@", SHORTEST);
            hide(&["password="], form, "", SHORTEST);
            hide(&["password "], form, "", SHORTEST);
            // Where the text is cut before its `@`.
            hide(&[user.unwrap_or_default(), ":"], form, "", SHORTEST);
            hide(&[], form, "", SHORTEST_ALONE);
        }
    }
}

/// Hides `password` from all later messages where it stands behind `before`.
pub(crate) fn hide_password_behind(before: &str, password: &str) {
    hide(&[before], password, "", SHORTEST);
}

/// Hides what stands between quotes in `sql`, if it is about accounts, from all later
/// messages, where it stands between quotes. What is between two strings is hidden, too:
/// an escaped quote, or one in a comment, would change which is which.
pub(crate) fn hide_passwords_of_sql(sql: &str) {
    let lower = sql.to_ascii_lowercase();
    let mut words = lower.split(is_no_word).filter(|word| !word.is_empty());
    let is_about_accounts = match words.next() {
        Some("set" | "alter" | "create" | "grant" | "change") => {
            SQL_WORDS.iter().any(|word| lower.contains(word))
        }
        _ => words.any(|word| word == IDENTIFIED),
    };
    let begin = match is_about_accounts {
        true => Some(0),
        false => end_of_password_word(&lower),
    };
    let Some(begin) = begin else {
        return;
    };
    // What precedes the first quote is no string, unless the statement begins with it.
    let pieces = sql[begin..].split(['\'', '"']);
    for piece in pieces
        .skip(usize::from(!is_about_accounts))
        .filter(|piece| !piece.trim().is_empty())
    {
        // Messages quote statements as Rust does.
        let shown = piece.escape_debug().to_string();
        for quote in ["'", "\"", "\\'", "\\\""] {
            hide(&[quote], piece, "", SHORTEST);
            hide(&[quote], &shown, "", SHORTEST);
        }
    }
}

fn is_no_word(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '_'
}

/// Returns the end of the first word PASSWORD in the statement `lower` that a password may
/// follow: it is called as a function, or compared. The name of a column alone is none.
fn end_of_password_word(lower: &str) -> Option<usize> {
    let ends = lower.match_indices("password").filter_map(|(at, word)| {
        let end = at + word.len();
        let before = lower[..at].strip_suffix("old_").unwrap_or(&lower[..at]);
        let rest = &lower[end..];
        let is_word = before.chars().next_back().is_none_or(is_no_word)
            && rest.chars().next().is_none_or(is_no_word);
        is_word.then_some(end)
    });
    let mut ends = ends.filter(|end| {
        let rest = lower[*end..].trim_start_matches(|c: char| c == '`' || c.is_whitespace());
        let next = rest.split(is_no_word).next().unwrap_or_default();
        rest.starts_with(['(', '=', ':', '<', '>', '!', '/', '\'', '"'])
            || matches!(next, "like" | "in" | "not" | "between" | "regexp" | "rlike")
    });
    ends.next()
}

/// Hides what may be a password in `part`, the beginning of `text` that messages show
/// where its end is taken for something else.
pub(crate) fn hide_passwords_of_part(part: &str, text: &str, place: TextPlace) {
    hide_passwords_of(part, place);
    let count = |text: &str| text.matches('@').count();
    if count(part) < count(text) {
        hide_passwords_of(&format!("{part}@"), place);
    }
}

/// Hides `password` wherever it stands between `before` and `after`, if all of this has
/// at least `shortest` bytes.
fn hide(before: &[&str], password: &str, after: &str, shortest: usize) {
    let before = before.concat();
    let place = before.len()..before.len() + password.len();
    let text = before + password + after;
    let hidden = Misplaced { text, place };
    let mut known = misplaced();
    if hidden.text.len() >= shortest && !known.contains(&hidden) {
        known.push(hidden);
    }
}

/// Returns the places in `text` of the passwords that were found in other texts before,
/// in order and apart from each other.
pub(crate) fn hidden_places(text: &str) -> Vec<Range<usize>> {
    let mut places: Vec<Range<usize>> = Vec::new();
    for hidden in &*misplaced() {
        let found = text.match_indices(&hidden.text);
        // Alone, it may be a part of a word.
        let is_alone = hidden.place.len() == hidden.text.len();
        let is_apart = |at: usize| {
            let (before, after) = (&text[..at], &text[at + hidden.text.len()..]);
            let joins = |c: char| c.is_alphanumeric();
            !(before.ends_with(joins) && hidden.text.starts_with(joins)
                || after.starts_with(joins) && hidden.text.ends_with(joins))
        };
        let found = found.filter(|(at, _)| !is_alone || is_apart(*at));
        places.extend(found.map(|(at, _)| at + hidden.place.start..at + hidden.place.end));
    }
    places.sort_by_key(|place| place.start);
    places.dedup_by(|next, place| {
        // Places that overlap are one.
        let overlaps = next.start < place.end;
        if overlaps {
            place.end = place.end.max(next.end);
        }
        overlaps
    });
    places
}

/// Returns `text` without the passwords that were found in other texts before.
pub(crate) fn without_misplaced(text: &str) -> Cow<'_, str> {
    match &hidden_places(text)[..] {
        [] => Cow::Borrowed(text),
        places => Cow::Owned(super::without_places(text, 0..text.len(), places)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_end_at_the_last_at_sign() {
        for (text, found) in [
            ("mysql://u:p s'@w@h/d", &["p s'@w"][..]),
            ("u:p w@h", &["p w"]),
            ("--user=u:p@h", &["p"]),
            ("mysql://u:p s", &["p s"]),
            (
                "mysql://u:p@h/d?password=q&r' ",
                &["p", "q&r' ", "q&r", "q"],
            ),
            ("host=h;Password=q", &["q", "q", "q"]),
            ("pwd=q r", &["q r", "q r", "q"]),
            ("http://h:80/", &[]),
            ("http://h/a:b", &[]),
            ("c:d", &[]),
            ("me@h", &[]),
            ("a@b:c", &[]),
        ] {
            let found_in = |place| -> Vec<&str> {
                let all = passwords(text, place);
                all.iter().map(|it| it.password).collect()
            };
            assert_eq!(found_in(TextPlace::Other), found, "{text}");
            let of_url = if text.contains("://") { found } else { &[] };
            assert_eq!(found_in(TextPlace::Name), of_url, "{text}");
        }
    }
}
