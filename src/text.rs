//! Prepares text for people and machines: redacts passwords, escapes control
//! characters, and writes hexadecimal digits.

#[cfg(feature = "cli")]
mod misplaced;

#[cfg(not(feature = "cli"))]
use std::borrow::Cow;
use std::ops::Range;

#[cfg(feature = "cli")]
pub(crate) use self::misplaced::{
    TextPlace, hidden_places, hide_password_behind, hide_passwords_of, hide_passwords_of_part,
    hide_passwords_of_sql, may_hold_password, without_misplaced,
};

/// Returns no places: only the program is given texts that may be in a wrong place.
#[cfg(not(feature = "cli"))]
pub(crate) const fn hidden_places(_: &str) -> Vec<Range<usize>> {
    Vec::new()
}

/// Returns `text`, for the same reason.
#[cfg(not(feature = "cli"))]
const fn without_misplaced(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// Returns `text` in a form that is safe to show: without passwords, with spaces
/// for line ends, and with every other control character escaped.
///
/// ```
/// let shown = gold_digger::text::printable("cannot open\nmysql://me:s3cret@db/\u{1b}");
/// assert_eq!(shown, "cannot open mysql://me:***@db/\\u{1b}");
/// ```
#[must_use]
pub fn printable(text: &str) -> String {
    escape(&redact(text))
}

/// Returns `text` with spaces for line feeds and tabs, without carriage returns,
/// and with every other control character escaped, so that it cannot control a
/// terminal.
///
/// Passwords that were found in the wrong place are not shown.
pub(crate) fn escape(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in without_misplaced(text).chars() {
        match c {
            '\n' | '\t' => shown.push(' '),
            '\r' => {}
            c if is_terminal_control(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Returns whether `c` controls a terminal: control characters, and the marks that
/// reorder or break a line.
pub(crate) fn is_terminal_control(c: char) -> bool {
    let is_mark = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_mark
}

/// Returns `text` with `***` in place of every text that may be a password of a URL: in
/// `://USER:PASSWORD@HOST` at any place, and in the parameter `password=`.
///
/// Without a `://`, such a text may as well be the name of a file or of a column.
///
/// ```
/// let shown = gold_digger::text::redact("x://me:s3cret@db is unknown, 12:30@db.csv is a file");
/// assert_eq!(shown, "x://me:***@db is unknown, 12:30@db.csv is a file");
/// ```
#[must_use]
pub fn redact(text: &str) -> String {
    let text = &*without_misplaced(text);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, after) = rest.split_at(at);
        let begin = |of: &[char]| before.rfind(of).map_or(0, |end| end + 1);
        let (spaces, quotes) = ([' ', '\n', '\t'], ['"', '\'', '`', '\n']);
        let url = |begin: usize| before[begin..].find("://").map(|place| begin + place + 3);
        // The password of a URL may hold quotes, or spaces if the URL is between
        // quotes.
        let start = url(begin(&spaces)).or_else(|| url(begin(&quotes)));
        let colon = start.and_then(|start| Some(start + before[start..].find(':')?));
        match colon {
            // A further @ up to the end of the word belongs to the password too.
            Some(colon) => {
                let word = after
                    .find([' ', '\n', '\t', '"', '\'', '`'])
                    .unwrap_or(after.len());
                let last = after[..word].rfind('@').unwrap_or(0);
                shown.extend([&before[..colon], ":***@"]);
                rest = &after[last + 1..];
            }
            None => {
                shown.extend([before, "@"]);
                rest = &after[1..];
            }
        }
    }
    redact_parameters(&(shown + rest))
}

/// Returns `text` with `***` in place of what follows `?password=` or `&password=`,
/// up to the end of the word: an `&` may be a part of the password.
fn redact_parameters(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let find = |text: &str| {
        let places = ["?password=", "&password="].map(|name| Some(text.find(name)? + name.len()));
        places.into_iter().flatten().min()
    };
    while let Some(begin) = find(rest) {
        let (before, after) = rest.split_at(begin);
        let end = after.find([' ', '\n', '\t', '"', '\'', '`']);
        shown.extend([before, "***"]);
        rest = &after[end.unwrap_or(after.len())..];
    }
    shown + rest
}

/// Returns JSON text without passwords in its strings, and with every character
/// escaped that controls a terminal, including those that JSON does not require
/// to be escaped.
///
/// ```
/// let shown = gold_digger::text::redact_json(r#"{"url":"mysql://me:s3cret@db/"}"#);
/// assert_eq!(shown, r#"{"url":"mysql://me:***@db/"}"#);
/// ```
#[must_use]
pub fn redact_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(open) = rest.find('"') {
        let (before, string) = rest.split_at(open + 1);
        let mut escaped = false;
        let close = string.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let (string, after) = string.split_at(close.unwrap_or(string.len()));
        text += before;
        let is_name = string
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if is_name && after.starts_with("\":") {
            // A key of ours, which may look like a password.
            text += string;
        } else {
            text += &redact_json_string(string);
        }
        // The closing quote, unless the text ends before it.
        let end = after.len().min(1);
        text += &after[..end];
        rest = &after[end..];
    }
    text += rest;
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() || !is_terminal_control(c) {
            shown.push(c);
        } else {
            // All of these characters are in the Basic Multilingual Plane, so four
            // digits are enough.
            shown += &format!("\\u{:04x}", u32::from(c));
        }
    }
    shown
}

/// Returns what stands between the quotes of a JSON string, without passwords.
fn redact_json_string(string: &str) -> String {
    let Ok(text) = serde_json::from_str::<String>(&format!("\"{string}\"")) else {
        return redact(string);
    };
    let redacted = redact(&text);
    if redacted == text {
        return string.to_owned();
    }
    let json = serde_json::Value::from(redacted).to_string();
    json[1..json.len() - 1].to_owned()
}

/// Returns the part of `text` at `range`, without what of it lies in the `hidden` places of
/// `text`.
pub(crate) fn without_places(text: &str, range: Range<usize>, hidden: &[Range<usize>]) -> String {
    let (mut shown, mut end) = (String::new(), range.start);
    for place in hidden {
        let (from, to) = (place.start.max(end), place.end.min(range.end));
        if from < to {
            shown.extend([&text[end..from], HIDDEN]);
            end = to;
        }
    }
    shown + &text[end..range.end]
}

/// What stands in the place of a password.
pub(crate) const HIDDEN: &str = "***";

/// Returns the warning about `count` values, if there are any: the number and what
/// is said of `one` or of `many`.
pub(crate) fn warning(count: u64, one: &str, many: &str) -> Option<String> {
    let what = if count == 1 { one } else { many };
    (count > 0).then(|| format!("{count} {what}"))
}

/// Returns `count` with `noun`, which is in the plural unless the count is 1.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Returns a size for people, such as `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut found = (bytes as f64, "B");
    for unit in units {
        if found.0 >= 1024.0 {
            found = (found.0 / 1024.0, unit);
        }
    }
    match found {
        (bytes, unit @ "B") => format!("{bytes} {unit}"),
        (size, unit) => format!("{size:.1} {unit}"),
    }
}

/// Returns `bytes` as lower-case hexadecimal digits, two for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_redacted() {
        for (text, shown) in [
            (
                "error: unexpected 'mysql://me:s3:c@ret@h/db' found",
                "error: unexpected 'mysql://me:***@h/db' found",
            ),
            (
                "mysql://me@h:3306/ x://a:b@c",
                "mysql://me@h:3306/ x://a:***@c",
            ),
            ("'mysql://me:hun ter2@h/'", "'mysql://me:***@h/'"),
            ("me:hunter2@db is no URL", "me:hunter2@db is no URL"),
            ("me@h: no password, no URL", "me@h: no password, no URL"),
            ("no URL: here", "no URL: here"),
            (
                "'mysql://h/d?user=u&password=a&b' and x://h?password=c",
                "'mysql://h/d?user=u&password=***' and x://h?password=***",
            ),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn printable_text_has_no_password(user in "[a-zä]{1,5}", password in "[a-z0-9:/?#ü'\"]{4,9}", before in "[ \"'@:/a-z]{0,9}", after in "[ \"'@:/a-z]{0,9}") {
            let password = format!("{password}\u{fe}");
            let text = format!("{before} mysql://{user}:{password}@host/{after}");
            proptest::prop_assert!(!printable(&text).contains(&password), "{}", printable(&text));
        }
    }
}
